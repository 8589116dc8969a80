package iosxe

import (
	"maps"
	"net/netip"
	"slices"
)

// MonitorSession is a session of the running configuration as this device
// understands it.
type MonitorSession struct {
	Number      int
	Type        string // "" for flat lines, else erspan-source, erspan-destination, local
	Description string
	Enabled     bool // false: shut
	// Programmed: copies are made, or with a destination session taken in.
	Programmed   bool
	Sources      []MonitorSource // interfaces, then VLANs
	Destinations []MonitorDestination
	SourceRSPAN  int // VLAN; 0 = none
	DestRSPAN    int
	FilterVLANs  []int
	FilterIP     string // access lists
	FilterIPv6   string
	ERSPAN       *ERSPAN // nil for sessions without
}

// MonitorSource is a watched interface or VLAN; the other one is zero.
type MonitorSource struct {
	Interface string // full name
	VLAN      int
	Direction string // rx, tx, both
}

// MonitorDestination is a port that copies go to.
type MonitorDestination struct {
	Interface     string // full name
	Encapsulation string // replicate or dot1q; "" = native
	Ingress       string // as configured; "" = none
}

// ERSPAN is the tunnel of a session; what is not configured is zero.
type ERSPAN struct {
	ID              int
	Address, Origin netip.Addr
	TTL, DSCP, MTU  int
	VRF             string
	HeaderType      int // 2 or 3
}

// MonitorSessions returns the sessions by number.
func (d *Device) MonitorSessions() []MonitorSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []MonitorSession
	for _, n := range slices.Sorted(maps.Keys(d.running.sessions)) {
		out = append(out, d.running.sessions[n].truth(n))
	}
	return out
}

func (s *session) truth(n int) MonitorSession {
	t := MonitorSession{
		Number: n, Type: s.kind, Description: s.description, Enabled: s.up, Programmed: s.programmed(),
		SourceRSPAN: s.remoteSource, DestRSPAN: s.remoteDest, FilterVLANs: append([]int(nil), s.filterVLANs...),
		FilterIP: s.filters["ip"] + s.filters[""], FilterIPv6: s.filters["ipv6"],
	}
	for _, p := range slices.SortedFunc(maps.Keys(s.sources), comparePorts) {
		t.Sources = append(t.Sources, MonitorSource{Interface: p, Direction: s.sources[p].String()})
	}
	for _, v := range slices.Sorted(maps.Keys(s.vlans)) {
		t.Sources = append(t.Sources, MonitorSource{VLAN: v, Direction: s.vlans[v].String()})
	}
	for _, p := range s.destinationPorts() {
		d := s.destinations[p]
		t.Destinations = append(t.Destinations, MonitorDestination{Interface: p, Encapsulation: d.encapsulation, Ingress: d.ingress})
	}
	if s.kind == kindSource || s.kind == kindDestination {
		e := s.erspan
		t.ERSPAN = &ERSPAN{ID: e.id, Address: e.address, Origin: e.origin, TTL: e.ttl, DSCP: e.dscp, MTU: e.mtu, VRF: e.vrf, HeaderType: max(s.headerType, 2)}
	}
	return t
}
