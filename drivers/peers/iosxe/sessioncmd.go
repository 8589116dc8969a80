package iosxe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Session numbers: the native YANG and the "monitor session" references of switches
// have 1 to 66, "Configuring ERSPAN" of the ASR 1000 has 1 to 1024.
const (
	maxSwitchSession = 66
	maxRouterSession = 1024
)

// sessionLines has the global lines of monitor sessions. Routers have type sessions
// only ("Configuring ERSPAN"), switches the flat lines and ERSPAN.
func sessionLines(g *grammar, router bool) {
	id := "n=<1-" + strconv.Itoa(maxSwitchSession) + ">"
	types := []string{kindSource, kindDestination}
	if router {
		id = "n=<1-" + strconv.Itoa(maxRouterSession) + ">"
		types = append(types, kindLocal)
	}
	for _, kind := range types {
		g.config("monitor session "+id+" type "+kind, enterSession(kind))
		g.config("no monitor session "+id+" type "+kind, func(_ *cli, c *config, a args) answer { delete(c.sessions, a.num("n")); return done })
	}
	// Removing what is not there says nothing (unverified).
	g.config("no monitor session "+id, func(_ *cli, c *config, a args) answer { delete(c.sessions, a.num("n")); return done })
	g.config("no monitor session (all|local|remote)", func(_ *cli, c *config, a args) answer {
		for n, s := range c.sessions {
			if a.has("all") || a.has("local") && s.local() || a.has("remote") && s.remote() {
				delete(c.sessions, n)
			}
		}
		return done
	})
	g.config("no monitor session range ids=VLANSET", func(_ *cli, c *config, a args) answer {
		for _, n := range a.vlans["ids"] {
			delete(c.sessions, n)
		}
		return done
	})
	if router {
		return
	}
	for pattern, set := range map[string]sessionFunc{
		"source interface ports=PORTS [(both|rx|tx)]":            addSourcePorts,
		"no source interface ports=PORTS [(both|rx|tx)]":         removeSourcePorts,
		"source vlan ids=VLANS [(both|rx|tx)]":                   addSourceVLANs,
		"no source vlan ids=VLANS [(both|rx|tx)]":                removeSourceVLANs,
		"source remote vlan v=<1-4094>":                          setRemoteSource,
		"no source remote vlan v=<1-4094>":                       clearRemote(func(s *session) *int { return &s.remoteSource }),
		"destination interface ports=PORTS" + destinationForm:    addDestinations,
		"no destination interface ports=PORTS" + destinationForm: removeDestinations,
		"destination remote vlan v=<1-4094>":                     setRemoteDestination,
		"no destination remote vlan v=<1-4094>":                  clearRemote(func(s *session) *int { return &s.remoteDest }),
		"filter vlan ids=VLANS":                                  addFilterVLANs,
		"no filter vlan [ids=VLANS]":                             removeFilterVLANs,
		"filter (ip|ipv6) access-group name=WORD":                setFilter,
		"no filter (ip|ipv6) access-group [name=WORD]":           clearFilter,
	} {
		g.config(flatPattern(pattern, id), flat(set))
	}
}

const destinationForm = " [encapsulation form={dot1q,replicate}] [ingress [tag={dot1q,untagged}] vlan v=<1-4094>]"

// flatPattern puts the session in front: "no source x" is "no monitor session n source x".
func flatPattern(pattern, id string) string {
	if rest, ok := cutNo(pattern); ok {
		return "no monitor session " + id + " " + rest
	}
	return "monitor session " + id + " " + pattern
}

func cutNo(pattern string) (rest string, ok bool) {
	if len(pattern) > 3 && pattern[:3] == "no " {
		return pattern[3:], true
	}
	return pattern, false
}

// sessionFunc changes session n, a copy that belongs to c.
type sessionFunc func(x *cli, c *config, n int, s *session, a args) answer

// flat makes a global line of set. It makes the session, and removes it with its last
// line (that nothing is left then is unverified for a session that loses its last source).
func flat(set sessionFunc) configFunc {
	return func(x *cli, c *config, a args) answer {
		n := a.num("n")
		s := c.editSession(n)
		if s == nil {
			s = newSession(kindFlat)
			c.sessions[n] = s
		}
		if s.kind != kindFlat {
			return typeRefusal(n)
		}
		out := set(x, c, n, s, a)
		if s.empty() {
			delete(c.sessions, n)
		}
		return out
	}
}

// typeRefusal: the guides say that number and type of a session cannot be changed
// and that it must be removed first. The words are unverified.
func typeRefusal(n int) answer {
	return refusef("Session %d is already configured with another type. Remove it first.", n)
}

func enterSession(kind string) configFunc {
	m := map[string]modeKind{kindSource: modeSource, kindDestination: modeDestination, kindLocal: modeLocal}[kind]
	return func(x *cli, c *config, a args) answer {
		n := a.num("n")
		if s := c.sessions[n]; s == nil {
			c.sessions[n] = newSession(kind)
		} else if s.kind != kind {
			return typeRefusal(n)
		}
		x.enter(mode{kind: m, session: n})
		return done
	}
}

// inSession makes a line of a session's mode of set.
func inSession(set sessionFunc) configFunc {
	return func(x *cli, c *config, a args) answer {
		n := x.mode().session
		s := c.editSession(n)
		if s == nil { // removed from another terminal meanwhile (text unverified)
			return refusef("Session %d does not exist", n)
		}
		return set(x, c, n, s, a)
	}
}

func addSourcePorts(_ *cli, c *config, n int, s *session, a args) answer {
	ports := a.ports["ports"]
	if slices.ContainsFunc(ports, func(p string) bool { return !isFront(p) && !isLAG(p) }) {
		return unknown // an SVI is watched as a VLAN
	}
	if len(s.vlans) > 0 || s.remoteSource != 0 {
		return mixedSources(n)
	}
	if taken := slices.DeleteFunc(slices.Clone(ports), func(p string) bool { return c.claimed()[p] == 0 }); len(taken) > 0 {
		return refusef("Interface(s) %s already configured as monitor destinations", showPorts(taken))
	}
	for _, p := range ports {
		s.sources[p] |= directionOf(a)
	}
	return done
}

// mixedSources: a session has interfaces, or VLANs, or an RSPAN VLAN as sources
// (configuration guides). The words are unverified.
func mixedSources(n int) answer {
	return refusef("Session %d cannot have sources of different kinds", n)
}

func removeSourcePorts(_ *cli, _ *config, _ int, s *session, a args) answer {
	for _, p := range a.ports["ports"] {
		take(s.sources, p, directionOf(a))
	}
	return done
}

func take[K comparable](m map[K]direction, k K, d direction) {
	if m[k] &^= d; m[k] == 0 {
		delete(m, k)
	}
}

func addSourceVLANs(_ *cli, _ *config, n int, s *session, a args) answer {
	if len(s.sources) > 0 || s.remoteSource != 0 {
		return mixedSources(n)
	}
	if len(s.filterVLANs) > 0 {
		return vlanFilter(n)
	}
	for _, v := range a.vlans["ids"] {
		s.vlans[v] |= directionOf(a)
	}
	return done
}

func removeSourceVLANs(_ *cli, _ *config, _ int, s *session, a args) answer {
	for _, v := range a.vlans["ids"] {
		take(s.vlans, v, directionOf(a))
	}
	return done
}

// setRemoteSource takes copies from an RSPAN VLAN.
func setRemoteSource(_ *cli, c *config, n int, s *session, a args) answer {
	v := a.num("v")
	if reservedVLAN(v) {
		return unknown // native YANG: 2..1001, 1006..4094
	}
	if len(s.sources)+len(s.vlans)+s.remoteDest > 0 {
		return mixedSources(n)
	}
	if !c.vlans[v].remote {
		return notRemote(v)
	}
	s.remoteSource = v
	return done
}

func setRemoteDestination(_ *cli, c *config, n int, s *session, a args) answer {
	v := a.num("v")
	if reservedVLAN(v) {
		return unknown
	}
	if len(s.destinations)+s.remoteSource > 0 {
		// A session is local, RSPAN source or RSPAN destination (words unverified).
		return refusef("Session %d cannot have an RSPAN VLAN as destination", n)
	}
	if !c.vlans[v].remote {
		return notRemote(v)
	}
	s.remoteDest = v
	return done
}

// notRemote: the guides want the VLAN to be an RSPAN VLAN first. The words are
// unverified.
func notRemote(v int) answer { return refusef("VLAN %d is not configured as an RSPAN VLAN", v) }

func clearRemote(which func(*session) *int) sessionFunc {
	return func(_ *cli, _ *config, _ int, s *session, a args) answer {
		if v := which(s); *v == a.num("v") {
			*v = 0
		}
		return done
	}
}

// addDestinations; a port that is there already takes the new form ("enter the
// command without the encapsulation keyword" brings it back to native form).
func addDestinations(_ *cli, c *config, n int, s *session, a args) answer {
	ports := a.ports["ports"]
	if slices.ContainsFunc(ports, func(p string) bool { return !isFront(p) }) {
		return unknown // "EtherChannel ports cannot be configured as SPAN destination ports" (Catalyst 3750 reference)
	}
	if s.remoteDest != 0 {
		return refusef("Session %d already has an RSPAN VLAN as destination", n) // unverified
	}
	var watched, taken []string
	for _, p := range ports {
		for m, other := range c.sessions {
			if _, is := other.sources[p]; is {
				watched = append(watched, p)
			}
			if _, is := other.destinations[p]; is && m != n {
				taken = append(taken, p)
			}
		}
	}
	if len(watched) > 0 {
		return refusef("Interface(s) %s already configured as monitor sources", showPorts(watched))
	}
	if len(taken) > 0 { // a destination port belongs to one session; the words are those of sources (unverified)
		return refusef("Interface(s) %s already configured as monitor destinations", showPorts(taken))
	}
	d := destination{encapsulation: a.text["form"]}
	if a.has("ingress") {
		d.ingress = strings.TrimSpace(a.text["tag"] + " vlan " + a.text["v"])
	}
	for _, p := range ports {
		s.destinations[p] = d
	}
	return done
}

func removeDestinations(_ *cli, _ *config, _ int, s *session, a args) answer {
	for _, p := range a.ports["ports"] {
		delete(s.destinations, p)
	}
	return done
}

func addFilterVLANs(_ *cli, _ *config, n int, s *session, a args) answer {
	if len(s.vlans) > 0 {
		return vlanFilter(n)
	}
	s.filterVLANs = slices.Concat(s.filterVLANs, a.vlans["ids"])
	slices.Sort(s.filterVLANs)
	s.filterVLANs = slices.Compact(s.filterVLANs)
	return done
}

// vlanFilter: "VLAN filtering applies only to port-based sessions and is not allowed
// in sessions with VLAN sources" (configuration guides). The words are unverified.
func vlanFilter(n int) answer {
	return refusef("Session %d cannot have VLAN sources and a VLAN filter", n)
}

func removeFilterVLANs(_ *cli, _ *config, _ int, s *session, a args) answer {
	s.filterVLANs = slices.DeleteFunc(s.filterVLANs, func(v int) bool {
		_, gone := slices.BinarySearch(a.vlans["ids"], v)
		return gone || !a.given("ids")
	})
	return done
}

func setFilter(_ *cli, _ *config, _ int, s *session, a args) answer {
	s.filters[a.oneOf("ipv6", "ip")] = a.text["name"]
	return done
}

func clearFilter(_ *cli, _ *config, _ int, s *session, a args) answer {
	k := a.oneOf("ipv6", "ip")
	if !a.given("name") || s.filters[k] == a.text["name"] {
		delete(s.filters, k)
	}
	return done
}

// typeLines are what all type sessions have.
func typeLines(g *grammar) {
	leaveLines(g)
	edit := func(pattern string, set func(s *session, a args)) {
		g.config(pattern, inSession(func(_ *cli, _ *config, _ int, s *session, a args) answer { set(s, a); return done }))
	}
	edit("description text=LINE", func(s *session, a args) { s.description = a.text["text"] })
	edit("no description [text=LINE]", func(s *session, _ args) { s.description = "" })
	edit("shutdown", func(s *session, _ args) { s.up = false })
	edit("no shutdown", func(s *session, _ args) { s.up = true })
}

func sourceLines(g *grammar) {
	g.config("source interface ports=PORTS [(both|rx|tx)]", inSession(addSourcePorts))
	g.config("no source interface ports=PORTS [(both|rx|tx)]", inSession(removeSourcePorts))
	g.config("source vlan ids=VLANS [(both|rx|tx)]", inSession(addSourceVLANs))
	g.config("no source vlan ids=VLANS [(both|rx|tx)]", inSession(removeSourceVLANs))
	g.config("filter vlan ids=VLANS", inSession(addFilterVLANs))
	g.config("no filter vlan [ids=VLANS]", inSession(removeFilterVLANs))
}

func newSourceGrammar() *grammar {
	g := &grammar{}
	typeLines(g)
	sourceLines(g)
	g.config("filter [(ip|ipv6)] access-group name=WORD", inSession(setFilter))
	g.config("no filter [(ip|ipv6)] access-group [name=WORD]", inSession(clearFilter))
	g.config("header-type v=<2-3>", inSession(func(x *cli, _ *config, _ int, s *session, a args) answer {
		if a.num("v") == 3 && !x.d.opts.HeaderTypeIII {
			return refusef("ERSPAN header type III is not supported") // unverified
		}
		s.headerType = a.num("v")
		return done
	}))
	g.config("no header-type [v=<2-3>]", inSession(func(_ *cli, _ *config, _ int, s *session, _ args) answer { s.headerType = 0; return done }))
	g.config("destination", openTunnel(modeSourceTunnel))
	g.config("no destination", closeTunnel)
	return g
}

func newDestinationGrammar() *grammar {
	g := &grammar{}
	typeLines(g)
	g.config("destination interface ports=PORTS", inSession(addDestinations))
	g.config("no destination interface ports=PORTS", inSession(removeDestinations))
	g.config("source", openTunnel(modeDestinationTunnel))
	g.config("no source", closeTunnel)
	return g
}

func newLocalGrammar() *grammar {
	g := &grammar{}
	typeLines(g)
	sourceLines(g)
	g.config("destination interface ports=PORTS", inSession(addDestinations))
	g.config("no destination interface ports=PORTS", inSession(removeDestinations))
	return g
}

func openTunnel(m modeKind) configFunc {
	return inSession(func(x *cli, _ *config, n int, s *session, _ args) answer {
		s.erspan.open = true
		x.push(mode{kind: m, session: n})
		return done
	})
}

func closeTunnel(x *cli, c *config, a args) answer {
	return inSession(func(_ *cli, _ *config, _ int, s *session, _ args) answer { s.erspan = erspan{}; return done })(x, c, a)
}

// newTunnelGrammar has the lines below "destination" of a source session, or below
// "source" of a destination session. Ranges are those of the native YANG; genielibs
// has 196 as the lowest MTU.
func newTunnelGrammar(source bool) *grammar {
	g := &grammar{}
	leaveLines(g)
	edit := func(pattern string, set func(e *erspan, a args)) {
		g.config(pattern, inSession(func(_ *cli, _ *config, _ int, s *session, a args) answer { set(&s.erspan, a); return done }))
	}
	edit("erspan-id v=<1-1023>", func(e *erspan, a args) { e.id = a.num("v") })
	edit("no erspan-id [v=<1-1023>]", func(e *erspan, _ args) { e.id = 0 })
	edit("vrf name=WORD", func(e *erspan, a args) { e.vrf = a.text["name"] })
	edit("no vrf [name=WORD]", func(e *erspan, _ args) { e.vrf = "" })
	for family, kind := range map[string]string{"ip": "IP", "ipv6": "IP6"} {
		edit(family+" address x="+kind, func(e *erspan, a args) { e.address = netip.MustParseAddr(a.text["x"]) })
		edit("no "+family+" address [x="+kind+"]", func(e *erspan, _ args) { e.address = netip.Addr{} })
		if source {
			edit("origin "+family+" address x="+kind, func(e *erspan, a args) { e.origin = netip.MustParseAddr(a.text["x"]) })
			edit("no origin "+family+" address [x="+kind+"]", func(e *erspan, _ args) { e.origin = netip.Addr{} })
		}
	}
	if !source {
		return g
	}
	edit("ip ttl v=<2-255>", func(e *erspan, a args) { e.ttl = a.num("v") })
	edit("no ip ttl [v=<2-255>]", func(e *erspan, _ args) { e.ttl = 0 })
	edit("ip dscp v=<0-63>", func(e *erspan, a args) { e.dscp = a.num("v") })
	edit("no ip dscp [v=<0-63>]", func(e *erspan, _ args) { e.dscp = 0 })
	edit("mtu v=<176-9000>", func(e *erspan, a args) { e.mtu = a.num("v") })
	edit("no mtu [v=<176-9000>]", func(e *erspan, _ args) { e.mtu = 0 })
	return g
}
