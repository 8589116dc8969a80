package iosxe

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// defaultTTL and defaultMTU are what "show platform software fed" prints for source
// sessions without such lines (captures of Catalyst 9000s: "Ip Ttl 255", "MTU 9000").
// Routers print "MTU 1464" in "show monitor".
const (
	defaultTTL       = 255
	defaultMTU       = 9000
	defaultRouterMTU = 1464
)

func (o *Options) mtu() int {
	if o.Router {
		return defaultRouterMTU
	}
	return defaultMTU
}

// fabricConfig is what a configuration means to the packet model.
func (c *config) fabricConfig(o *Options) fabric.Config {
	fc := fabric.Config{
		Ports: map[string]fabric.PortConfig{}, LAGs: map[string]fabric.PortConfig{}, VLANs: map[uint16]fabric.VLAN{},
	}
	for id, v := range c.vlans {
		fc.VLANs[uint16(id)] = fabric.VLAN{RemoteSPAN: v.remote}
	}
	// A member of an EtherChannel leaves it while it is a destination (command reference).
	claimed := c.claimed()
	for name, p := range c.ports {
		switch {
		case isLAG(name):
			fc.LAGs[name] = p.fabric()
		case isFront(name):
			pc := p.fabric()
			if p.group != 0 && claimed[name] == 0 {
				pc.LAG = lagName(p.group)
			}
			fc.Ports[name] = pc
		}
	}
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		fc.Mirrors = append(fc.Mirrors, c.mirrors(n, o)...)
	}
	return fc
}

// claimed are the destination ports with their sessions.
func (c *config) claimed() map[string]int {
	out := map[string]int{}
	for n, s := range c.sessions {
		for p := range s.destinations {
			out[p] = n
		}
	}
	return out
}

func (p *port) fabric() fabric.PortConfig {
	pc := fabric.PortConfig{Shutdown: p.shutdown, Mode: fabric.Access, AccessVLAN: uint16(p.access)}
	switch {
	case p.routed:
		pc.Mode = fabric.Routed
	case p.mode == "trunk":
		pc.Mode = fabric.Trunk
		pc.NativeVLAN = uint16(max(p.native, 1))
		pc.TrunkVLANs = fabric.AllVLANs()
		if p.limited {
			pc.TrunkVLANs = fabric.VLANSet{}
			for _, v := range p.allowed {
				pc.TrunkVLANs = append(pc.TrunkVLANs, fabric.VLANRange{From: uint16(v), To: uint16(v)})
			}
		}
	}
	return pc
}

// mirrors makes a mirror of a session, and one more for each further encapsulation
// of its destination ports, since the packet model has one form of copies in a mirror.
func (c *config) mirrors(n int, o *Options) []fabric.Mirror {
	s := c.sessions[n]
	m := fabric.Mirror{Name: strconv.Itoa(n), Shutdown: !s.up, Sources: c.mirrorSources(s), Filter: c.filter(s)}
	switch {
	case s.kind == kindSource:
		// An incomplete session runs nowhere.
		m.Shutdown = !s.programmed()
		if s.erspan.complete() {
			m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationTunnel, Tunnel: s.tunnel()}}
			m.TruncateTo = uint16(o.mtu())
			if s.erspan.mtu != 0 {
				m.TruncateTo = uint16(s.erspan.mtu)
			}
		}
		return []fabric.Mirror{m}
	case s.kind == kindDestination:
		// The packet model unpacks no tunnels: the ports are claimed and silent.
		m.Sources = nil
	case s.remoteDest != 0:
		m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationRSPAN, VLAN: uint16(s.remoteDest)}}
		return []fabric.Mirror{m}
	}
	var out []fabric.Mirror
	for _, native := range []bool{true, false} {
		v := m
		v.StripTag = native
		v.Destinations = nil
		for _, p := range s.destinationPorts() {
			if (s.destinations[p].encapsulation == "") == native {
				v.Destinations = append(v.Destinations, fabric.MirrorDestination{Kind: fabric.DestinationPort, Name: p})
			}
		}
		if len(v.Destinations) > 0 {
			if len(out) > 0 {
				v.Name = fmt.Sprintf("%d tagged", n)
			}
			out = append(out, v)
		}
	}
	return out
}

func (s *session) tunnel() fabric.Tunnel {
	t := fabric.Tunnel{
		Kind: fabric.ERSPAN2, Source: s.erspan.origin, Destination: s.erspan.address, SessionID: uint16(s.erspan.id),
		TTL: defaultTTL, DSCP: uint8(s.erspan.dscp), VRF: s.erspan.vrf,
	}
	if s.headerType == 3 {
		t.Kind = fabric.ERSPAN3
	}
	if s.erspan.ttl != 0 {
		t.TTL = uint8(s.erspan.ttl)
	}
	return t
}

var fabricDirections = map[direction]fabric.Direction{rx: fabric.Rx, tx: fabric.Tx, both: fabric.Both}

// mirrorSources of a session. "filter vlan" limits what trunk ports give and
// nothing else (configuration guides: "VLAN filtering applies only to trunk ports
// or to voice VLAN ports").
func (c *config) mirrorSources(s *session) []fabric.MirrorSource {
	var out []fabric.MirrorSource
	for _, name := range slices.SortedFunc(maps.Keys(s.sources), comparePorts) {
		src := fabric.MirrorSource{Kind: fabric.SourcePort, Name: name, Direction: fabricDirections[s.sources[name]]}
		p := c.ports[name]
		if p.group != 0 {
			p = c.ports[lagName(p.group)]
		}
		if isLAG(name) {
			src.Kind = fabric.SourceLAG
		}
		if p.mode == "trunk" && !p.routed {
			for _, v := range s.filterVLANs {
				src.Filter = append(src.Filter, fabric.Rule{Action: fabric.Include, VLAN: uint16(v)})
			}
		}
		out = append(out, src)
	}
	for _, v := range slices.Sorted(maps.Keys(s.vlans)) {
		out = append(out, fabric.MirrorSource{Kind: fabric.SourceVLAN, VLAN: uint16(v), Direction: fabricDirections[s.vlans[v]]})
	}
	if s.remoteSource != 0 {
		out = append(out, fabric.MirrorSource{Kind: fabric.SourceRSPAN, VLAN: uint16(s.remoteSource)})
	}
	return out
}

// filter is what the access lists of a session let through. Frames of which no list
// speaks are not copied, and a list that does not exist lets nothing through
// (both unverified).
func (c *config) filter(s *session) fabric.Filter {
	if len(s.filters) == 0 {
		return nil
	}
	var f fabric.Filter
	for _, kind := range filterKinds {
		if name := s.filters[kind]; name != "" {
			k := aclKey{kind, name}
			if kind == "" {
				k.kind = "ip"
			}
			if a := c.acls[k]; a != nil {
				f = append(f, a.rules(k.kind)...)
			}
		}
	}
	return append(f, fabric.Rule{Action: fabric.Exclude}) // an empty filter would copy all
}
