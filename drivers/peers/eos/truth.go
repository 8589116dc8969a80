package eos

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// maxWire bounds the kept lines; older ones are dropped.
const maxWire = 1 << 16

// WireLine is a line as the device received it. Passwords are not lines.
type WireLine struct {
	Conn   int // number of the shell or command, from 1, unique per device
	User   string
	Prompt string // at which it was typed
	Line   string
}

// log notes a line. d.mu is held.
func (d *Device) log(x *cli, line string) {
	if len(d.wire) >= maxWire {
		d.wire = slices.Delete(d.wire, 0, maxWire/2)
	}
	d.wire = append(d.wire, WireLine{Conn: x.id, User: x.user, Prompt: x.prompt(), Line: line})
}

// Wire returns every line received, in the order of receipt over all
// connections; the oldest are dropped after 65,536.
func (d *Device) Wire() []string {
	var out []string
	for _, l := range d.WireLines() {
		out = append(out, l.Line)
	}
	return out
}

// WireLines is Wire with what belongs to the lines.
func (d *Device) WireLines() []WireLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wire)
}

// ResetWire forgets the lines received so far.
func (d *Device) ResetWire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wire = nil
}

// MonitorSession is a mirror session of the running configuration as this device
// understands it.
type MonitorSession struct {
	Name         string
	Sources      []MonitorSource // by interface
	Destinations []MonitorDestination
	ACL          ACL // of the whole session
	Truncate     bool
	TruncateSize int // 0 = the platform's
	Sample       int // one frame in so many; 0 = every
	HeaderRemove int
	RateLimits   map[string]string // "per-ingress-chip" → "100 kbps"
	GREMetadata  bool
}

// ACL is an access-group; the zero value is none.
type ACL struct {
	Kind, Name string // ip, ipv6 or mac
	Priority   int    // 0 = none
}

// MonitorSource is one mirrored interface.
type MonitorSource struct {
	Interface string // full name
	Direction string // rx, tx, both
	ACL       ACL
}

// MonitorDestination is an interface, the CPU or a GRE tunnel.
type MonitorDestination struct {
	Interface string // full name; empty for the others
	CPU       bool
	GRE       *GRE
}

// GRE is a tunnel destination. Fields that the line does not have are zero, TTL
// and DSCP -1.
type GRE struct {
	Source, Destination netip.Addr
	TTL, DSCP           int
	Protocol            uint16
	VRF                 string
	Key                 *uint32
}

// MonitorSessions returns the mirror sessions of the running configuration, by
// name.
func (d *Device) MonitorSessions() []MonitorSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []MonitorSession
	for _, name := range slices.SortedFunc(maps.Keys(d.running.monitors), naturalCompare) {
		out = append(out, d.running.monitors[name].truth(name))
	}
	return out
}

func (g group) truth() ACL { return ACL{Kind: g.kind, Name: g.name, Priority: g.priority} }

func (m *monitor) truth(name string) MonitorSession {
	s := MonitorSession{
		Name: name, ACL: m.group.truth(), Truncate: m.truncate, TruncateSize: m.size, Sample: m.sample,
		HeaderRemove: m.strip, RateLimits: maps.Clone(m.rates), GREMetadata: m.metadata,
	}
	eff := m.effective()
	for _, n := range slices.SortedFunc(maps.Keys(eff), compareNames) {
		s.Sources = append(s.Sources, MonitorSource{Interface: n, Direction: eff[n].dir, ACL: eff[n].group.truth()})
	}
	for _, dst := range m.destinations {
		t := MonitorDestination{Interface: dst.name, CPU: dst.kind == "Cpu"}
		if dst.kind == "tunnel" {
			t.GRE = &GRE{Source: dst.tunnel.src, Destination: dst.tunnel.dst, TTL: dst.tunnel.ttl, DSCP: dst.tunnel.dscp,
				Protocol: uint16(dst.tunnel.protocol), VRF: dst.tunnel.vrf}
			if dst.tunnel.key >= 0 {
				k := uint32(dst.tunnel.key)
				t.GRE.Key = &k
			}
		}
		s.Destinations = append(s.Destinations, t)
	}
	return s
}

// ConfigSession is a configuration session of the device.
type ConfigSession struct {
	Name  string
	State string    // pending, pendingCommitTimer, completed
	Due   time.Time // when a running commit timer lapses; else zero
}

// ConfigSessions returns the configuration sessions in the order of their making.
func (d *Device) ConfigSessions() []ConfigSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []ConfigSession
	for _, name := range d.order {
		s := d.sessions[name]
		c := ConfigSession{Name: name, State: string(s.state)}
		if s.state == stateTimer {
			c.Due = s.due
		}
		out = append(out, c)
	}
	return out
}
