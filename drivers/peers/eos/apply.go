package eos

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// defaultGREProtocol is the protocol type of mirrored frames in GRE when the
// configuration names none. Seen on the wire of a physical switch: "GREv0, length
// 102: gre-proto-0x88be" for a 98 byte frame, so without sequence number and
// without ERSPAN header.
const defaultGREProtocol = 0x88be

// defaultTTL of the outer header (unverified).
const defaultTTL = 128

// fabricConfig is what a configuration means to the packet model.
func (c *config) fabricConfig(truncateSize int) fabric.Config {
	fc := fabric.Config{
		Ports: map[string]fabric.PortConfig{},
		LAGs:  map[string]fabric.PortConfig{},
		VLANs: map[uint16]fabric.VLAN{},
	}
	for v := range c.vlans {
		fc.VLANs[uint16(v)] = fabric.VLAN{}
	}
	for name, i := range c.intfs {
		switch {
		case strings.HasPrefix(name, "Ethernet"):
			pc := i.port()
			if i.group != 0 {
				pc.LAG = lagName(i.group)
			}
			fc.Ports[name] = pc
		case strings.HasPrefix(name, "Port-Channel"):
			fc.LAGs[name] = i.port()
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(c.monitors), naturalCompare) {
		fc.Mirrors = append(fc.Mirrors, c.mirror(name, c.monitors[name], truncateSize))
	}
	return fc
}

func lagName(group int) string { return fmt.Sprintf("Port-Channel%d", group) }

func (i *intf) port() fabric.PortConfig {
	pc := fabric.PortConfig{Shutdown: i.shutdown, Mode: fabric.Access, AccessVLAN: uint16(i.access)}
	switch {
	case i.routed:
		pc.Mode = fabric.Routed
	case i.mode == "trunk":
		pc.Mode = fabric.Trunk
		switch {
		case i.native == 0:
			pc.NativeVLAN = 1
		case i.native > 0:
			pc.NativeVLAN = uint16(i.native)
		}
		pc.TrunkVLANs = fabric.AllVLANs()
		if i.limited {
			pc.TrunkVLANs = fabric.VLANSet{}
			for _, v := range i.allowed {
				pc.TrunkVLANs = append(pc.TrunkVLANs, fabric.VLANRange{From: uint16(v), To: uint16(v)})
			}
		}
	}
	return pc
}

func (c *config) mirror(name string, m *monitor, truncateSize int) fabric.Mirror {
	fm := fabric.Mirror{Name: name, Filter: c.filter(m.group), StripHeader: uint16(m.strip), SampleOneIn: uint32(m.sample)}
	if m.truncate {
		fm.TruncateTo = uint16(truncateSize)
		if m.size != 0 {
			fm.TruncateTo = uint16(m.size)
		}
	}
	eff := m.effective()
	for _, n := range slices.SortedFunc(maps.Keys(eff), compareNames) {
		s := fabric.MirrorSource{Kind: fabric.SourcePort, Name: n, Direction: directions[eff[n].dir], Filter: c.filter(eff[n].group)}
		if strings.HasPrefix(n, "Port-Channel") {
			s.Kind = fabric.SourceLAG
		}
		fm.Sources = append(fm.Sources, s)
	}
	for _, d := range m.destinations {
		fm.Destinations = append(fm.Destinations, d.fabric())
	}
	return fm
}

var directions = map[string]fabric.Direction{"rx": fabric.Rx, "tx": fabric.Tx, "both": fabric.Both}

func (d destination) fabric() fabric.MirrorDestination {
	switch d.kind {
	case "Cpu":
		return fabric.MirrorDestination{Kind: fabric.DestinationCPU}
	case "tunnel":
		t := fabric.Tunnel{Kind: fabric.ERSPAN1, Source: d.tunnel.src, Destination: d.tunnel.dst, VRF: d.tunnel.vrf, TTL: defaultTTL}
		if p := d.tunnel.protocol; p != 0 && p != defaultGREProtocol {
			t.Kind, t.Protocol = fabric.GRE, uint16(p)
		}
		if d.tunnel.ttl > 0 {
			t.TTL = uint8(d.tunnel.ttl)
		}
		if d.tunnel.dscp > 0 {
			t.DSCP = uint8(d.tunnel.dscp)
		}
		if d.tunnel.key >= 0 {
			k := uint32(d.tunnel.key)
			t.Key = &k
		}
		return fabric.MirrorDestination{Kind: fabric.DestinationTunnel, Tunnel: t}
	}
	kind := fabric.DestinationPort
	if strings.HasPrefix(d.name, "Port-Channel") {
		kind = fabric.DestinationLAG
	}
	return fabric.MirrorDestination{Kind: kind, Name: d.name}
}

// conflict returns why a configuration as a whole cannot run, "" if it can.
//
// That EOS refuses these, and its words, are unverified; what is known is that a
// destination port carries nothing but copies ("Introduction to Port Mirroring",
// eos.arista.com), so that it cannot be watched itself.
func (c *config) conflict(o *Options) string {
	destinations := map[string]string{}
	for _, name := range slices.SortedFunc(maps.Keys(c.monitors), naturalCompare) {
		for _, d := range c.monitors[name].destinations {
			if d.name == "" {
				continue
			}
			if other, taken := destinations[d.name]; taken && o.OneSessionPerDestination {
				return fmt.Sprintf("%s is already a destination of session %s", d.name, other)
			}
			destinations[d.name] = name
			if i := c.intfs[d.name]; i == nil {
				return d.name + " does not exist"
			} else if i.group != 0 {
				return fmt.Sprintf("%s is a member of %s", d.name, lagName(i.group))
			}
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(c.monitors), naturalCompare) {
		for n := range c.monitors[name].effective() {
			if c.intfs[n] == nil {
				return n + " does not exist"
			}
			if other, is := destinations[n]; is {
				return fmt.Sprintf("%s is a source of session %s and a destination of session %s", n, name, other)
			}
		}
	}
	if o.MaxSessions > 0 && len(c.monitors) > o.MaxSessions {
		return fmt.Sprintf("more than %d monitor sessions", o.MaxSessions)
	}
	return ""
}
