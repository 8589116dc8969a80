package nxos

import (
	"maps"
	"slices"
	"strconv"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// fabricConfig is what a configuration means to the packet model.
func (c *config) fabricConfig(front []string, l Limits) fabric.Config {
	fc := fabric.Config{Ports: map[string]fabric.PortConfig{}, LAGs: map[string]fabric.PortConfig{}, VLANs: map[uint16]fabric.VLAN{}}
	for v := range c.vlans {
		fc.VLANs[uint16(v)] = fabric.VLAN{}
	}
	for _, name := range front {
		pc := c.ports[name].fabric()
		if g := c.ports[name].group; g != 0 {
			pc.LAG = lagName(g)
		}
		fc.Ports[name] = pc
	}
	for name, p := range c.ports {
		if isLAG(name) {
			fc.LAGs[name] = p.fabric()
		}
	}
	waiting := c.waiting(l)
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		fc.Mirrors = append(fc.Mirrors, c.mirror(n, waiting[n]))
	}
	return fc
}

func (p *port) fabric() fabric.PortConfig {
	pc := fabric.PortConfig{Shutdown: p.shutdown, Mode: fabric.Access, AccessVLAN: uint16(p.access)}
	switch {
	case p.routed:
		pc.Mode = fabric.Routed
	case p.monitor:
		// It takes part in no VLAN: "monitor" in that column of "show interface brief".
		pc.Mode = fabric.Trunk
	case p.trunk:
		pc.Mode, pc.NativeVLAN, pc.TrunkVLANs = fabric.Trunk, uint16(max(p.native, 1)), fabric.AllVLANs()
		if p.limited {
			pc.TrunkVLANs = fabric.VLANSet{}
		}
		for _, v := range p.allowed {
			pc.TrunkVLANs = append(pc.TrunkVLANs, fabric.VLANRange{From: uint16(v), To: uint16(v)})
		}
	}
	return pc
}

// mirror of a session. Copies at a port keep their tag (unverified). A destination session
// is silent: the packet model unpacks no tunnels.
func (c *config) mirror(n int, waits bool) fabric.Mirror {
	s := c.sessions[n]
	m := fabric.Mirror{Name: strconv.Itoa(n), Shutdown: c.down(s) != "" || waits, TruncateTo: uint16(s.mtu)}
	if s.filterACL != "" {
		if a := c.acls[s.filterACL]; a != nil {
			m.Filter = a.rules()
		}
		m.Filter = append(m.Filter, fabric.Rule{Action: fabric.Exclude}) // of a list that is missing too (unverified)
	}
	var vlans fabric.Filter
	for _, v := range s.filterVLANs {
		vlans = append(vlans, fabric.Rule{Action: fabric.Include, VLAN: uint16(v)})
	}
	directions := map[direction]fabric.Direction{rx: fabric.Rx, tx: fabric.Tx, both: fabric.Both}
	for _, name := range s.ports(0) {
		kind := fabric.SourcePort
		if isLAG(name) {
			kind = fabric.SourceLAG
		}
		m.Sources = append(m.Sources, fabric.MirrorSource{Kind: kind, Name: name, Direction: directions[s.sources[name]], Filter: vlans})
	}
	for _, v := range s.vlanIDs(0) {
		m.Sources = append(m.Sources, fabric.MirrorSource{Kind: fabric.SourceVLAN, VLAN: uint16(v), Direction: directions[s.vlans[v]], Filter: vlans})
	}
	for _, p := range s.destinationPorts() {
		m.Destinations = append(m.Destinations, fabric.MirrorDestination{Kind: fabric.DestinationPort, Name: p})
	}
	if s.kind == typeSource && !m.Shutdown {
		t := fabric.Tunnel{
			Kind: fabric.ERSPAN2, Source: c.origin, Destination: s.address, SessionID: uint16(s.erspanID),
			TTL: uint8(s.shownTTL()), DSCP: uint8(max(s.dscp, 0)), VRF: s.vrf,
		}
		if s.headerType == 3 {
			t.Kind = fabric.ERSPAN3
		}
		m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationTunnel, Tunnel: t}}
	}
	return m
}
