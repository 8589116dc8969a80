package hostmirror

import (
	"net/netip"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// snapshot is what the kernel held at one moment, as far as mirroring is concerned.
// Everything that is decided here is decided from it, without I/O.
type snapshot struct {
	hostname, release string
	tools             string // what does the work on a remote host, such as "iproute2 6.1.0"; "" = the kernel itself
	links             []link
	qdiscs            []tcnl.Qdisc
	filters           []tcnl.Filter          // of all devices and both hooks; u32 tables are in
	routes            map[ends]underlay      // ways of tunnels, as far as they were asked for
	tcx               map[point][]tcxProgram // of hooks that have some, in the order in which they run; nil = not known
	programs          []program
	// hidden is why programs of ours cannot be looked for, "" where they can.
	hidden string
	// attach is how programs will be attached that are planned on this snapshot.
	attach bpfcopy.Method
}

// tcxProgram is a program that runs before all filters.
type tcxProgram struct {
	name string // "" when not known
	ours bool
}

// link is a network device.
type link struct {
	index  int
	name   string
	kind   string // such as veth, bond, vlan; "" or "device" for a physical one
	up     bool   // set up by configuration
	runs   bool   // up and with carrier
	mtu    int
	master int       // index of the bridge or bond that it belongs to, 0 = none
	parent int       // index of the device that it sits on (vlan, macvlan), 0 = none or elsewhere
	peer   int       // index of the other end of a veth in this namespace, 0 = elsewhere
	far    *tcnl.Far // the other end of a veth in another namespace, nil = here or not known
	addrs  []netip.Prefix
	macs   int         // addresses that a bridge has learned on it
	as     linknl.Link // what it is as a link that spanctl can make; of an unset kind where it could not
	xdp    bool        // a program sees received frames before any filter does
}

// setLinks takes the devices, their addresses and what bridges have learned on them.
func (s *snapshot) setLinks(links []tcnl.Link, addrs []tcnl.Addr, neighs []tcnl.Neigh) {
	for _, from := range links {
		l := link{
			index: from.Index, name: from.Name, kind: from.Kind, up: from.Up, runs: from.Runs,
			mtu: from.MTU, master: from.Master, xdp: from.XDP,
		}
		switch l.kind {
		case "veth":
			l.peer, l.far = from.Lower, from.Far
		case "vlan", "macvlan", "macvtap", "ipvlan", "macsec":
			l.parent = from.Lower
		}
		for _, a := range addrs {
			// An IPv6 link-local address tells of no duty: the kernel gives one to every device
			// that is up.
			if a.Ifindex == l.index && a.Prefix.IsValid() && !(a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast()) {
				l.addrs = append(l.addrs, a.Prefix)
			}
		}
		for _, n := range neighs {
			if n.Ifindex == l.index && n.Master == l.master && !n.Permanent {
				l.macs++
			}
		}
		s.links = append(s.links, l)
	}
}

func (s *snapshot) byName(name string) (link, bool) {
	for _, l := range s.links {
		if l.name == name {
			return l, true
		}
	}
	return link{}, false
}

func (s *snapshot) byIndex(index int) (link, bool) {
	for _, l := range s.links {
		if l.index == index {
			return l, true
		}
	}
	return link{}, false
}

func (s *snapshot) hasQdisc(index int, kind string) bool {
	for _, q := range s.qdiscs {
		if q.Ifindex == index && q.Kind == kind {
			return true
		}
	}
	return false
}

// dropLink takes a link out, and its qdiscs and filters with it.
func (s *snapshot) dropLink(index int) {
	s.links = slices.DeleteFunc(s.links, func(l link) bool { return l.index == index })
	s.qdiscs = slices.DeleteFunc(s.qdiscs, func(q tcnl.Qdisc) bool { return q.Ifindex == index })
	s.filters = slices.DeleteFunc(s.filters, func(f tcnl.Filter) bool { return f.Ifindex == index })
}

// on gives the filters of a device's hook.
func (s *snapshot) on(index int, hook tcnl.Hook) []tcnl.Filter {
	var out []tcnl.Filter
	for _, f := range s.filters {
		if f.Ifindex == index && f.Hook == hook {
			out = append(out, f)
		}
	}
	return out
}

// residue gives the tables of u32 at our priorities that hold no filter: what is left
// when a process dies after it has deleted a filter and before it has tidied up, on a
// device with other u32 filters. They match nothing.
func (s *snapshot) residue() []tcnl.ID {
	var out []tcnl.ID
	for _, f := range s.filters {
		if !f.Table || f.Priority < guardIngress || f.Priority >= egressPriority+filtersPerHook {
			continue
		}
		if !slices.ContainsFunc(s.on(f.Ifindex, f.Hook), func(g tcnl.Filter) bool { return !g.Table && g.Priority == f.Priority }) {
			out = append(out, f.ID)
		}
	}
	return out
}

// ours gives the filters of a session. The classifier u32 can list a filter under
// the other hook of its device too; the cookie tells which is right.
func (s *snapshot) ours(h sessionHash) []tcnl.Filter {
	var out []tcnl.Filter
	for i := range s.filters {
		f := &s.filters[i]
		if !h.isIn(*f) { // of many filters few are of one session
			continue
		}
		if m, ok := markOf(*f); ok && m.session == h && m.hook == f.Hook {
			out = append(out, *f)
		}
	}
	return out
}

// copyKey is one copy that a session makes: what passes a hook of a device goes to
// another device.
type copyKey struct {
	source string
	hook   tcnl.Hook
	target string
}

// faults gives what keeps a filter with our cookie from being the one that we make,
// in words; none for one as we make it.
func (s *snapshot) faults(f tcnl.Filter) []string {
	var out []string
	bad := func(text string) { out = append(out, text) }
	if f.Protocol != tcnl.ProtocolAll || f.Chain != 0 {
		bad("does not see every frame")
	} else if _, err := rulesOf(f.Program); err != nil {
		bad("has " + err.Error())
	} else if !f.CatchAll && len(f.Program) == 0 {
		bad("does not take every frame")
	}
	actions := f.Actions
	if len(actions) == 2 && actions[0].Chance != nil {
		actions = actions[1:]
		c := f.Actions[0].Chance
		if f.Actions[0].Verdict != tcnl.Continue || c.Type != tcnl.Determ || c.Verdict != tcnl.Pipe || c.OneIn < 2 {
			bad("does not sample as spanctl makes it")
		}
	}
	if len(actions) != 1 {
		bad("has more than one action")
	}
	a := actions[0]
	if a.Mirred == nil {
		bad("has the action " + a.Kind)
		return out
	}
	if a.Mirred.Mode != tcnl.EgressMirror {
		bad("does an " + a.Mirred.Mode.String())
	}
	if a.Verdict != tcnl.Continue {
		bad("ends with " + a.Verdict.String())
	}
	if _, ok := s.byIndex(a.Mirred.Ifindex); !ok {
		bad("has lost its destination")
	}
	return out
}

// key gives the copy that a filter makes. Names are "" where the device is gone.
func (s *snapshot) key(f tcnl.Filter) copyKey {
	source, _ := s.byIndex(f.Ifindex)
	k := copyKey{source: source.name, hook: f.Hook}
	for _, a := range f.Actions {
		if a.Mirred != nil {
			target, _ := s.byIndex(a.Mirred.Ifindex)
			k.target = target.name
			break
		}
	}
	return k
}
