package nxos

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var sessionModes = map[string]modeKind{typeLocal: modeLocal, typeSource: modeSource, typeDestination: modeDestination}

// maxSession: ids 1 to 32 (terraform-provider-nxos's monitor session).
const maxSession = 32

// monitorLines are the global lines of sessions.
func monitorLines(g *grammar) {
	id := "n=1-" + strconv.Itoa(maxSession)
	g.config("monitor session "+id, enterSession)
	g.config("monitor session "+id+" type kind={local,erspan-source,erspan-destination}", enterSession)
	// "monitor session N shut" and its form with "no" (configuration guides).
	for no, up := range map[string]bool{"": false, "no ": true} {
		g.config(no+"monitor session "+id+" shut", func(_ *cli, c *config, a args) answer {
			s := c.edit(a.num("n"))
			if s == nil {
				return errorf("Session %d does not exist", a.num("n")) // unverified
			}
			s.up = up
			return done
		})
		g.config(no+"monitor session all shut", func(_ *cli, c *config, _ args) answer {
			for n := range c.sessions {
				c.edit(n).up = up
			}
			return done
		})
	}
	// Of a session that is not there nothing is said (unverified).
	g.config("no monitor session "+id, func(_ *cli, c *config, a args) answer { delete(c.sessions, a.num("n")); return done })
	g.config("no monitor session "+id+" type kind={local,erspan-source,erspan-destination}", func(_ *cli, c *config, a args) answer {
		if s := c.sessions[a.num("n")]; s != nil && s.kind != a.text["kind"] {
			return wrongType(a.num("n"), s)
		}
		delete(c.sessions, a.num("n"))
		return done
	})
	g.config("no monitor session all", func(_ *cli, c *config, _ args) answer { clear(c.sessions); return done })
	g.config("monitor erspan origin ip-address a=IP global", func(_ *cli, c *config, a args) answer {
		c.origin = netip.MustParseAddr(a.text["a"])
		return done
	})
	for _, tail := range []string{"", " a=IP", " a=IP global"} {
		g.config("no monitor erspan origin ip-address"+tail, func(_ *cli, c *config, _ args) answer { c.origin = netip.Addr{}; return done })
	}
}

// wrongType: that the type of a session cannot be changed is known, the words are not.
func wrongType(n int, s *session) answer {
	return errorf("Session %d already exists with type %s; its type cannot be changed", n, s.kind)
}

func enterSession(x *cli, c *config, a args) answer {
	n, kind := a.num("n"), a.text["kind"]
	s := c.sessions[n]
	switch {
	case s == nil:
		if kind == "" {
			kind = typeLocal
		}
		s = newSession(kind)
		c.sessions[n] = s
	case kind != "" && kind != s.kind:
		return wrongType(n, s)
	}
	x.enter(mode{kind: sessionModes[s.kind], session: n})
	return done
}

// newSessionGrammar has the lines of a type. "shut" and "no shut" are whole words: a Nexus
// 9000 does not know "no shutdown" here (batfish's test configuration nxos_monitor).
func newSessionGrammar(kind string) *grammar {
	g := leaving(&grammar{})
	in := func(pattern string, f func(x *cli, c *config, s *session, a args) answer) {
		g.config(pattern, func(x *cli, c *config, a args) answer { return f(x, c, c.edit(x.mode().session), a) })
	}
	set := func(pattern string, f func(s *session, a args)) {
		in(pattern, func(_ *cli, _ *config, s *session, a args) answer { f(s, a); return done })
	}
	set("shut", func(s *session, _ args) { s.up = false })
	set("no shut", func(s *session, _ args) { s.up = true })
	in("description text=LINE", func(_ *cli, _ *config, s *session, a args) answer {
		if len(a.text["text"]) > 32 { // "up to 32 alphanumeric characters" (configuration guides); the words are unverified
			return errorf("description is longer than 32 characters")
		}
		s.description = a.text["text"]
		return done
	})
	set("no description [text=LINE]", func(s *session, _ args) { s.description = "" })
	if kind != typeDestination {
		sourceLines(in, set)
	}
	if kind != typeSource {
		in("destination interface list=PORTS", addDestinations)
		set("no destination interface list=PORTS", func(s *session, a args) {
			for _, p := range a.ports {
				delete(s.destinations, p)
			}
		})
	}
	if kind != typeLocal {
		tunnelLines(set, kind)
	}
	if kind != typeDestination {
		in("mtu n=64-10240", func(x *cli, _ *config, s *session, a args) answer {
			if l := x.d.opts.Limits; a.num("n") < l.MTUMin || a.num("n") > l.MTUMax {
				return errorf("MTU must be from %d to %d", l.MTUMin, l.MTUMax) // unverified
			}
			s.mtu = a.num("n")
			return done
		})
		set("no mtu [n=64-10240]", func(s *session, _ args) { s.mtu = 0 })
	}
	return g
}

type (
	inLine  func(pattern string, f func(x *cli, c *config, s *session, a args) answer)
	setLine func(pattern string, f func(s *session, a args))
)

// sourceLines are what is watched. Sources add up.
func sourceLines(in inLine, set setLine) {
	in("source interface list=PORTS [way={rx,tx,both}]", addSources)
	set("no source interface list=PORTS [way={rx,tx,both}]", func(s *session, a args) {
		for _, p := range a.ports {
			drop(s.sources, p, directionOf(a.text["way"]))
		}
	})
	in("source vlan ids=VLANS [way={rx,tx,both}]", func(x *cli, _ *config, s *session, a args) answer {
		d := directionOf(a.text["way"])
		if !vlanBoth.MatchString(x.d.opts.Model) {
			// "VLANs can be SPAN sources only in the ingress direction"; words unverified.
			if a.given("way") && d != rx {
				return errorf("VLAN sources are supported in the rx direction only")
			}
			d = rx
		}
		for _, v := range a.vlans {
			s.vlans[v] |= d
		}
		return done
	})
	set("no source vlan ids=VLANS [way={rx,tx,both}]", func(s *session, a args) {
		for _, v := range a.vlans {
			drop(s.vlans, v, directionOf(a.text["way"]))
		}
	})
	set("filter vlan ids=VLANS", func(s *session, a args) { s.filterVLANs = merged(s.filterVLANs, a.vlans) })
	set("no filter vlan [ids=VLANS]", func(s *session, a args) {
		s.filterVLANs = slices.DeleteFunc(slices.Clone(s.filterVLANs), func(v int) bool {
			_, gone := slices.BinarySearch(a.vlans, v)
			return gone || !a.given("ids")
		})
	})
	set("filter access-group name=WORD", func(s *session, a args) { s.filterACL = a.text["name"] })
	set("no filter access-group [name=WORD]", func(s *session, _ args) { s.filterACL = "" })
}

// vlanBoth are the models whose VLANs can be sources in every direction (Nexus 9000
// guide 10.3(x)).
var vlanBoth = regexp.MustCompile(`-(EX|FX|FX2|FX3|GX)\w?$`)

// maxSources: "a maximum of 48 source interfaces are supported per SPAN session"
// (Nexus 9000 guide 7.x, since 7.0(3)I1(1)).
const maxSources = 48

func drop[K comparable](m map[K]direction, k K, d direction) {
	if m[k] &^= d; m[k] == 0 {
		delete(m, k)
	}
}

// memberProblem refuses members of port-channels. Text: public notes on a Nexus 5000.
func (c *config) memberProblem(ports []string) string {
	var out []string
	for _, p := range ports {
		if c.ports[p].group != 0 {
			out = append(out, short(p)+": Interface is a PC member")
		}
	}
	return strings.Join(out, "\n")
}

func addSources(_ *cli, c *config, s *session, a args) answer {
	if why := c.memberProblem(a.ports); why != "" {
		return errorf("%s", why)
	}
	for _, p := range a.ports {
		switch {
		case !isFront(p) && !isLAG(p):
			return errorf("%s: Interface cannot be a source", short(p)) // unverified
		case c.sessionOf(p) != 0:
			return errorf("%s: Interface is already configured as a destination", short(p)) // "cannot also be a source port"; words unverified
		}
		s.sources[p] |= directionOf(a.text["way"])
	}
	if len(s.sources) > maxSources {
		return errorf("Maximum of %d source interfaces exceeded", maxSources) // unverified
	}
	return done
}

// addDestinations: "a destination port can be configured in only one SPAN session at a
// time" and "cannot also be configured as a source port" (configuration guide); the
// words are unverified. A port-channel cannot be one on a 9300.
func addDestinations(x *cli, c *config, s *session, a args) answer {
	if why := c.memberProblem(a.ports); why != "" {
		return errorf("%s", why)
	}
	for _, p := range a.ports {
		n := c.sessionOf(p)
		watched := slices.ContainsFunc(c.portNames(), func(name string) bool {
			for _, o := range c.sessions {
				if name == p && o.sources[p] != 0 {
					return true
				}
			}
			return false
		})
		switch {
		case !isFront(p):
			return errorf("%s: Interface cannot be a destination", short(p))
		case n != 0 && n != x.mode().session:
			return errorf("%s: Interface is already a destination of session %d", short(p), n)
		case watched:
			return errorf("%s: Interface is already configured as a source", short(p))
		}
		s.destinations[p] = true
	}
	return done
}

// tunnelLines: ranges of terraform-provider-nxos.
func tunnelLines(set setLine, kind string) {
	set("erspan-id n=1-1023", func(s *session, a args) { s.erspanID = a.num("n") })
	set("no erspan-id [n=1-1023]", func(s *session, _ args) { s.erspanID = 0 })
	set("vrf name=WORD", func(s *session, a args) { s.vrf = a.text["name"] })
	set("no vrf [name=WORD]", func(s *session, _ args) { s.vrf = "" })
	end := map[string]string{typeSource: "destination", typeDestination: "source"}[kind]
	set(end+" ip a=IP", func(s *session, a args) { s.address = netip.MustParseAddr(a.text["a"]) })
	set("no "+end+" ip [a=IP]", func(s *session, _ args) { s.address = netip.Addr{} })
	if kind == typeDestination {
		return
	}
	set("ip ttl n=1-255", func(s *session, a args) { s.ttl = a.num("n") })
	set("no ip ttl [n=1-255]", func(s *session, _ args) { s.ttl = -1 })
	set("ip dscp n=0-63", func(s *session, a args) { s.dscp = a.num("n") })
	set("no ip dscp [n=0-63]", func(s *session, _ args) { s.dscp = -1 })
	set("header-type n=2-3", func(s *session, a args) { s.headerType = a.num("n") })
	set("no header-type [n=2-3]", func(s *session, _ args) { s.headerType = 0 })
}
