package fabric

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

const maxVLAN = 4094

// check returns everything that is wrong with c, nil if nothing is.
func (s *Switch) check(c Config) error {
	k := checker{sw: s, c: c}
	for _, name := range slices.Sorted(maps.Keys(c.Ports)) {
		if s.node.named[name] == nil {
			k.addf("port %q: the switch has none of that name", name)
		}
		pc := c.Ports[name]
		if pc.LAG == "" {
			k.port(fmt.Sprintf("port %q", name), pc)
		} else if _, ok := c.LAGs[pc.LAG]; !ok {
			k.addf("port %q: no LAG %q", name, pc.LAG)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.LAGs)) {
		if name == "" || s.node.named[name] != nil {
			k.addf("LAG %q: not a name for a LAG", name)
		}
		if c.LAGs[name].LAG != "" {
			k.addf("LAG %q: cannot be a member of a LAG", name)
		}
		k.port(fmt.Sprintf("LAG %q", name), c.LAGs[name])
	}
	for _, v := range slices.Sorted(maps.Keys(c.VLANs)) {
		if v < 1 || v > maxVLAN {
			k.addf("VLAN %d: not from 1 to %d", v, maxVLAN)
		}
	}
	active, names := 0, map[string]bool{}
	for _, m := range c.Mirrors {
		if m.Name == "" || names[m.Name] {
			k.addf("mirror %q: names must be unique and not empty", m.Name)
		}
		names[m.Name] = true
		if !m.Shutdown {
			active++
		}
		k.mirror(m)
	}
	k.limit("mirrors", active, c.Limits.Mirrors)
	return errors.Join(k.errs...)
}

type checker struct {
	sw   *Switch
	c    Config
	errs []error
}

func (k *checker) addf(format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf(format, args...))
}

func (k *checker) limit(what string, have, most int) {
	if most > 0 && have > most {
		k.addf("%d %s, the switch can have %d", have, what, most)
	}
}

func (k *checker) port(what string, pc PortConfig) {
	if pc.Mode != Access && pc.Mode != Trunk && pc.Mode != Routed {
		k.addf("%s: no mode", what)
	}
	if pc.AccessVLAN > maxVLAN || pc.NativeVLAN > maxVLAN {
		k.addf("%s: VLAN not from 1 to %d", what, maxVLAN)
	}
	for _, r := range pc.TrunkVLANs {
		if r.From < 1 || r.From > r.To || r.To > maxVLAN {
			k.addf("%s: VLANs %d to %d not from 1 to %d", what, r.From, r.To, maxVLAN)
		}
	}
}

func (k *checker) mirror(m Mirror) {
	what := fmt.Sprintf("mirror %q", m.Name)
	k.limit("sources of "+what, len(m.Sources), k.c.Limits.SourcesPerMirror)
	k.limit("destinations of "+what, len(m.Destinations), k.c.Limits.DestinationsPerMirror)
	rspan := slices.ContainsFunc(m.Sources, func(s MirrorSource) bool { return s.Kind == SourceRSPAN })
	for _, s := range m.Sources {
		k.source(what, s, rspan)
	}
	for _, d := range m.Destinations {
		k.destination(what, m, d, rspan)
	}
	k.filter(what, m.Filter)
}

func (k *checker) source(what string, s MirrorSource, rspan bool) {
	switch s.Kind {
	case SourcePort:
		k.havePort(what+": source", s.Name)
	case SourceLAG:
		k.haveLAG(what+": source", s.Name)
	case SourceVLAN, SourceRSPAN:
		k.haveVLAN(what+": source", s.VLAN)
	default:
		k.addf("%s: source of no kind", what)
	}
	if rspan != (s.Kind == SourceRSPAN) {
		k.addf("%s: an RSPAN source beside others", what)
	}
	if s.Kind != SourceRSPAN && s.Direction != Rx && s.Direction != Tx && s.Direction != Both {
		k.addf("%s: source %s without direction", what, s.Name)
	}
	k.filter(what+": source "+s.Name, s.Filter)
}

func (k *checker) destination(what string, m Mirror, d MirrorDestination, rspan bool) {
	switch d.Kind {
	case DestinationPort:
		k.havePort(what+": destination", d.Name)
		if lag := k.c.Ports[d.Name].LAG; lag != "" {
			k.addf("%s: destination %q is a member of LAG %q", what, d.Name, lag)
		}
	case DestinationLAG:
		k.haveLAG(what+": destination", d.Name)
	case DestinationRSPAN:
		k.haveVLAN(what+": destination", d.VLAN)
	case DestinationTunnel:
		k.tunnel(what, d.Tunnel)
	case DestinationCPU:
	default:
		k.addf("%s: destination of no kind", what)
	}
	if rspan && (d.Kind == DestinationRSPAN || d.Kind == DestinationTunnel) {
		k.addf("%s: copies taken from an RSPAN VLAN can only go to ports", what)
	}
	for _, s := range m.Sources {
		if d.Name != "" && s.Name == d.Name {
			k.addf("%s: %q is source and destination", what, d.Name)
		}
	}
}

func (k *checker) havePort(what, name string) {
	if k.sw.node.named[name] == nil {
		k.addf("%s: no port %q", what, name)
	}
}

func (k *checker) haveLAG(what, name string) {
	if _, ok := k.c.LAGs[name]; !ok {
		k.addf("%s: no LAG %q", what, name)
	}
}

func (k *checker) haveVLAN(what string, v uint16) {
	if v < 1 || v > maxVLAN {
		k.addf("%s: VLAN %d not from 1 to %d", what, v, maxVLAN)
	}
}

func (k *checker) tunnel(what string, t Tunnel) {
	if t.Kind < GRE || t.Kind > VXLAN {
		k.addf("%s: tunnel of no kind", what)
	}
	if !t.Source.IsValid() || !t.Destination.IsValid() || t.Source.Unmap().Is4() != t.Destination.Unmap().Is4() {
		k.addf("%s: tunnel from %s to %s: two addresses of one family are needed", what, t.Source, t.Destination)
	}
	if t.Key != nil && t.Kind != GRE && t.Kind != ERSPAN1 {
		k.addf("%s: only GRE and ERSPAN I have a GRE key", what)
	}
	if t.SessionID > 1023 || t.DSCP > 63 || t.Index >= 1<<20 || t.HardwareID > 63 || t.VNI >= 1<<24 {
		k.addf("%s: session id over 1023, DSCP or hardware id over 63, index over 20 bits or VNI over 24", what)
	}
}

func (k *checker) filter(what string, f Filter) {
	for i, r := range f {
		if r.Action != Include && r.Action != Exclude {
			k.addf("%s: filter rule %d without action", what, i+1)
		}
		if r.IPVersion != 0 && r.IPVersion != 4 && r.IPVersion != 6 {
			k.addf("%s: filter rule %d: IP version %d", what, i+1, r.IPVersion)
		}
	}
}

// clone returns a copy that shares nothing with c.
func (c Config) clone() Config {
	c.Ports, c.LAGs = clonePorts(c.Ports), clonePorts(c.LAGs)
	c.VLANs = maps.Clone(c.VLANs)
	c.Mirrors = slices.Clone(c.Mirrors)
	for i := range c.Mirrors {
		m := &c.Mirrors[i]
		m.Filter = m.Filter.clone()
		m.Sources = slices.Clone(m.Sources)
		for j := range m.Sources {
			m.Sources[j].Filter = m.Sources[j].Filter.clone()
		}
		m.Destinations = slices.Clone(m.Destinations)
		for j := range m.Destinations {
			if key := m.Destinations[j].Tunnel.Key; key != nil {
				m.Destinations[j].Tunnel.Key = new(uint32)
				*m.Destinations[j].Tunnel.Key = *key
			}
		}
	}
	return c
}

func clonePorts(in map[string]PortConfig) map[string]PortConfig {
	out := maps.Clone(in)
	for name, pc := range out {
		pc.TrunkVLANs = slices.Clone(pc.TrunkVLANs)
		out[name] = pc
	}
	return out
}

func (f Filter) clone() Filter {
	out := slices.Clone(f)
	for i := range out {
		r := &out[i]
		r.SrcPorts, r.DstPorts = slices.Clone(r.SrcPorts), slices.Clone(r.DstPorts)
	}
	return out
}
