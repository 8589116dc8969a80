package nxos

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// Types of sessions.
const (
	typeLocal       = "local"
	typeSource      = "erspan-source"
	typeDestination = "erspan-destination"
)

// session is a monitor session. It is shut until "no shut".
type session struct {
	kind         string
	description  string
	up           bool
	sources      map[string]direction
	vlans        map[int]direction
	destinations map[string]bool // interfaces
	filterVLANs  []int
	filterACL    string

	erspanID   int // 0 = not set
	vrf        string
	address    netip.Addr // "destination ip", "source ip" of a destination session
	ttl, dscp  int        // -1 = default
	mtu        int        // 0 = whole frames
	headerType int        // 0 = 2
}

func newSession(kind string) *session {
	return &session{kind: kind, sources: map[string]direction{}, vlans: map[int]direction{}, destinations: map[string]bool{}, ttl: -1, dscp: -1}
}

// edit returns a copy of a session that belongs to c alone; nil if there is none.
func (c *config) edit(n int) *session {
	old := c.sessions[n]
	if old == nil {
		return nil
	}
	s := *old
	s.sources, s.vlans, s.destinations = maps.Clone(old.sources), maps.Clone(old.vlans), maps.Clone(old.destinations)
	c.sessions[n] = &s
	return &s
}

// direction has a bit for each way, so that lines add up.
type direction int

const (
	rx   direction = 1
	tx   direction = 2
	both           = rx | tx
)

func (d direction) String() string { return [...]string{"", "rx", "tx", "both"}[d&both] }

// directionOf a typed word; none is both.
func directionOf(word string) direction {
	switch word {
	case "rx":
		return rx
	case "tx":
		return tx
	default:
		return both
	}
}

// watching are the sources that have all ways of d: a source of both stands in the rx,
// the tx and the both row of "show monitor session".
func watching[K comparable](m map[K]direction, d direction, compare func(a, b K) int) []K {
	var out []K
	for k, v := range m {
		if v&d == d {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, compare)
	return out
}

func (s *session) ports(d direction) []string { return watching(s.sources, d, comparePorts) }

func (s *session) vlanIDs(d direction) []int {
	return watching(s.vlans, d, func(a, b int) int { return a - b })
}

func (s *session) sends() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(s.sources)), func(d direction) bool { return d&tx != 0 }) ||
		slices.ContainsFunc(slices.Collect(maps.Values(s.vlans)), func(d direction) bool { return d&tx != 0 })
}

func (s *session) bidirectional() bool {
	all := direction(0)
	for _, d := range s.sources {
		all |= d
	}
	for _, d := range s.vlans {
		all |= d
	}
	return all == both
}

func (s *session) destinationPorts() []string {
	return slices.SortedFunc(maps.Keys(s.destinations), comparePorts)
}

// lines prints a session as "show running-config monitor" does. That each interface
// has a line of its own, the order of the lines and that VLANs of one direction share a
// line is unverified; spellings are those of the configuration guides' examples.
func (s *session) lines(n int, all bool) []string {
	out := []string{"monitor session " + strconv.Itoa(n)}
	if s.kind != typeLocal {
		out[0] += " type " + s.kind
	}
	add := func(when bool, text string) {
		if when {
			out = append(out, "  "+text)
		}
	}
	add(s.description != "", "description "+s.description)
	add(s.headerType == 3, "header-type 3")
	add(s.headerType != 3 && all && s.kind == typeSource, "header-type 2")
	add(s.erspanID != 0, "erspan-id "+strconv.Itoa(s.erspanID))
	add(s.vrf != "", "vrf "+s.vrf)
	if s.address.IsValid() {
		add(true, map[string]string{typeSource: "destination", typeDestination: "source"}[s.kind]+" ip "+s.address.String())
	}
	add(s.ttl >= 0 || all && s.kind == typeSource, "ip ttl "+strconv.Itoa(s.shownTTL()))
	add(s.dscp >= 0 || all && s.kind == typeSource, "ip dscp "+strconv.Itoa(max(s.dscp, 0)))
	add(s.mtu != 0, "mtu "+strconv.Itoa(s.mtu))
	for _, p := range s.ports(0) {
		add(true, "source interface "+p+" "+s.sources[p].String())
	}
	for _, d := range []direction{both, rx, tx} {
		ids := slices.DeleteFunc(s.vlanIDs(d), func(v int) bool { return s.vlans[v] != d })
		add(len(ids) > 0, "source vlan "+vlanList(ids)+" "+d.String())
	}
	for _, p := range s.destinationPorts() {
		add(true, "destination interface "+p)
	}
	add(len(s.filterVLANs) > 0, "filter vlan "+vlanList(s.filterVLANs))
	add(s.filterACL != "", "filter access-group "+s.filterACL)
	add(s.up, "no shut")
	add(!s.up && all, "shut")
	return out
}

// defaultTTL: "ip-ttl : 255" of a session without such a line (genieparser's Nexus 7000 capture).
const defaultTTL = 255

func (s *session) shownTTL() int {
	if s.ttl < 0 {
		return defaultTTL
	}
	return s.ttl
}

// Reasons of "state : down (...)": the words of operState in Cisco-NX-OS-device.yang
// (9.3(2)). "Dst in wrong mode" is captured in public notes, too. Which of several is
// shown, and that a missing origin is "No valid IP address", is unverified.
const (
	adminShut  = "Session admin shut"
	wrongMode  = "Dst in wrong mode"
	noSources  = "No sources configured"
	noDest     = "No dest configured"
	noneUp     = "No operational src/dst"
	noHardware = "No hardware resource"
	noErspanID = "No erspan-id specified"
	noVRF      = "No valid VRF"
	noAddress  = "No valid IP address"
	manyDest   = "Multi-dst not allowed"
)

// down tells why a session of the configuration cannot run, whatever the state of
// links and of other sessions; "" if it can.
func (c *config) down(s *session) string {
	switch {
	case !s.up:
		return adminShut
	case s.kind != typeDestination && len(s.sources)+len(s.vlans) == 0:
		return noSources
	case s.kind == typeDestination && !s.address.IsValid():
		return noAddress
	case s.kind == typeSource && !s.address.IsValid(), s.kind != typeSource && len(s.destinations) == 0:
		return noDest
	case s.kind == typeLocal && len(s.destinations) > 1: // "only one destination port in a SPAN session"
		return manyDest
	case s.kind != typeLocal && s.erspanID == 0:
		return noErspanID
	case s.kind != typeLocal && (s.vrf == "" || !c.vrfExists(s.vrf)):
		return noVRF
	case s.kind == typeSource && !c.origin.IsValid():
		return noAddress
	}
	for p := range s.destinations {
		if port := c.ports[p]; port.routed || !port.monitor {
			return wrongMode
		}
	}
	return ""
}

// waiting names the sessions that the hardware has no room for, in the order of their
// numbers (which session loses is unverified): more than o.Limits.Active, and on a 9300
// a fourth with transmitted frames beside three bidirectional ones.
func (c *config) waiting(l Limits) map[int]bool {
	out := map[int]bool{}
	active, bidirectional := 0, 0
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		s := c.sessions[n]
		if c.down(s) != "" || s.kind == typeDestination {
			continue
		}
		if l.Active > 0 && active >= l.Active || l.Bidirectional > 0 && bidirectional >= l.Bidirectional && s.sends() {
			out[n] = true
			continue
		}
		active++
		if s.bidirectional() {
			bidirectional++
		}
	}
	return out
}
