package iosxe

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Kinds of sessions: the flat lines of switches, and those with a mode of their own.
const (
	kindFlat        = ""
	kindSource      = "erspan-source"
	kindDestination = "erspan-destination"
	kindLocal       = "local"
)

// session is a monitor session.
type session struct {
	kind         string
	description  string
	sources      map[string]direction // by interface
	vlans        map[int]direction    // source VLANs
	destinations map[string]destination
	remoteSource int // RSPAN VLAN that copies are taken from, 0 = none
	remoteDest   int // RSPAN VLAN that copies go to
	filterVLANs  []int
	filters      map[string]string // access list by kind: ip, ipv6
	up           bool              // no shutdown; flat sessions are always up
	headerType   int               // 0 = 2
	erspan       erspan
}

// erspan is the "destination" block of a source session, or the "source" block of a
// destination session.
type erspan struct {
	open    bool // the block was entered, so it is printed
	id      int  // 0 = not set
	address netip.Addr
	origin  netip.Addr
	ttl     int // 0 = default
	dscp    int // 0 = default
	mtu     int // 0 = default
	vrf     string
}

// direction has a bit for each way, so that lines add up.
type direction int

const (
	rx   direction = 1
	tx   direction = 2
	both           = rx | tx
)

func (d direction) String() string { return [...]string{"", "rx", "tx", "both"}[d&both] }

func directionOf(a args) direction {
	switch a.oneOf("rx", "tx") {
	case "rx":
		return rx
	case "tx":
		return tx
	}
	return both
}

// destination is a port that copies go to.
type destination struct {
	encapsulation string // dot1q or replicate; "" = native
	ingress       string // as printed behind "ingress "; "" = none
}

func (s *session) clone() *session {
	n := *s
	n.sources, n.vlans, n.destinations = maps.Clone(s.sources), maps.Clone(s.vlans), maps.Clone(s.destinations)
	n.filterVLANs, n.filters = slices.Clone(s.filterVLANs), maps.Clone(s.filters)
	return &n
}

func newSession(kind string) *session {
	return &session{
		kind: kind, up: kind == kindFlat, sources: map[string]direction{}, vlans: map[int]direction{},
		destinations: map[string]destination{}, filters: map[string]string{},
	}
}

// editSession returns a copy that belongs to c alone, nil if there is none.
func (c *config) editSession(n int) *session {
	old := c.sessions[n]
	if old == nil {
		return nil
	}
	s := old.clone()
	c.sessions[n] = s
	return s
}

func (s *session) empty() bool {
	return len(s.sources)+len(s.vlans)+len(s.destinations)+len(s.filters)+len(s.filterVLANs)+s.remoteSource+s.remoteDest == 0
}

// sourcePorts are the interfaces that are watched in exactly this direction.
func (s *session) sourcePorts(d direction) []string {
	return keysWith(s.sources, d, comparePorts)
}

func (s *session) sourceVLANs(d direction) []int {
	return keysWith(s.vlans, d, func(a, b int) int { return a - b })
}

func keysWith[K comparable](m map[K]direction, d direction, compare func(a, b K) int) []K {
	var out []K
	for k, v := range m {
		if v == d {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, compare)
	return out
}

func (s *session) destinationPorts() []string {
	return slices.SortedFunc(maps.Keys(s.destinations), comparePorts)
}

// remote reports whether "show monitor session remote" has it.
func (s *session) remote() bool { return s.kind == kindFlat && s.remoteSource+s.remoteDest > 0 }

func (s *session) local() bool {
	return s.kind == kindLocal || s.kind == kindFlat && !s.remote()
}

// filterKinds are the kinds of access lists of filters, in order of printing. "" is
// the form of routers, "filter access-group", which means an ip list.
var filterKinds = []string{"", "ip", "ipv6"}

// lines prints a session. Flat lines carry the session number each: source, filter,
// destination, as the configuration guides' examples go. That interfaces of one direction
// share a line is unverified, and so is the order of directions.
//
// In type sessions: description, state, source, filter, then the block with the
// tunnel (the order of the guides' examples; the model of the native YANG has it so
// too).
func (s *session) lines(n int, hideShutdown bool) []string {
	head := "monitor session " + strconv.Itoa(n) + " "
	if s.kind == kindFlat {
		var out []string
		for _, l := range slices.Concat(s.sourceLines(), s.filterLines(), s.destinationLines()) {
			out = append(out, head+l)
		}
		return out
	}
	out := []string{head + "type " + s.kind}
	add := func(indent string, lines ...string) {
		for _, l := range lines {
			out = append(out, indent+l)
		}
	}
	if s.description != "" {
		add(" ", "description "+s.description)
	}
	if s.headerType == 3 {
		add(" ", "header-type 3")
	}
	switch {
	case s.up:
		add(" ", "no shutdown")
	case !hideShutdown:
		add(" ", "shutdown")
	}
	add(" ", s.sourceLines()...)
	add(" ", s.filterLines()...)
	add(" ", s.destinationLines()...)
	if s.erspan.open {
		add(" ", map[string]string{kindSource: "destination", kindDestination: "source"}[s.kind])
		add("  ", s.erspan.lines()...)
	}
	return out
}

func (s *session) sourceLines() []string {
	var out []string
	for _, d := range []direction{both, rx, tx} {
		suffix := map[direction]string{both: "", rx: " rx", tx: " tx"}[d]
		if ports := s.sourcePorts(d); len(ports) > 0 {
			out = append(out, "source interface "+configPorts(ports)+suffix)
		}
		if ids := s.sourceVLANs(d); len(ids) > 0 {
			out = append(out, "source vlan "+configVLANs(ids)+suffix)
		}
	}
	if s.remoteSource != 0 {
		out = append(out, "source remote vlan "+strconv.Itoa(s.remoteSource))
	}
	return out
}

func (s *session) filterLines() []string {
	var out []string
	if len(s.filterVLANs) > 0 {
		out = append(out, "filter vlan "+configVLANs(s.filterVLANs))
	}
	for _, k := range filterKinds {
		if s.filters[k] != "" {
			out = append(out, strings.Join(strings.Fields("filter "+k+" access-group "+s.filters[k]), " "))
		}
	}
	return out
}

func (s *session) destinationLines() []string {
	var out []string
	byForm := map[destination][]string{}
	var forms []destination
	for _, p := range s.destinationPorts() {
		d := s.destinations[p]
		if byForm[d] == nil {
			forms = append(forms, d)
		}
		byForm[d] = append(byForm[d], p)
	}
	for _, d := range forms {
		out = append(out, strings.TrimSpace("destination interface "+configPorts(byForm[d])+d.suffix()))
	}
	if s.remoteDest != 0 {
		out = append(out, "destination remote vlan "+strconv.Itoa(s.remoteDest))
	}
	return out
}

func (d destination) suffix() string {
	out := ""
	if d.encapsulation != "" {
		out += " encapsulation " + d.encapsulation
	}
	if d.ingress != "" {
		out += " ingress " + d.ingress
	}
	return out
}

func (e erspan) lines() []string {
	var out []string
	add := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	add(e.id != 0, "erspan-id "+strconv.Itoa(e.id))
	add(e.address.IsValid(), family(e.address)+" address "+e.address.String())
	add(e.mtu != 0, "mtu "+strconv.Itoa(e.mtu))
	add(e.vrf != "", "vrf "+e.vrf)
	add(e.ttl != 0, "ip ttl "+strconv.Itoa(e.ttl))
	add(e.dscp != 0, "ip dscp "+strconv.Itoa(e.dscp))
	add(e.origin.IsValid(), "origin "+family(e.origin)+" address "+e.origin.String())
	return out
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ipv6"
}

// complete reports whether an ERSPAN source session has all that a tunnel needs:
// what "ERSPAN Mandatory Cfg" says.
func (e erspan) complete() bool {
	return e.id != 0 && e.address.IsValid() && e.origin.IsValid() && e.address.Is4() == e.origin.Is4()
}

// programmed reports whether the hardware copies for the session: what "ERSPAN Hw
// Programmed" says of a source session. For the others it means that both ends of
// the session are there.
func (s *session) programmed() bool {
	sources := len(s.sources)+len(s.vlans) > 0
	switch s.kind {
	case kindSource:
		return s.up && sources && s.erspan.complete()
	case kindDestination:
		return s.up && len(s.destinations) > 0 && s.erspan.id != 0 && s.erspan.address.IsValid()
	}
	return s.up && (sources || s.remoteSource != 0) && (len(s.destinations) > 0 || s.remoteDest != 0)
}
