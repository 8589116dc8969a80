package hostmirror

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// guards gives those that are there.
func (s *snapshot) guards() map[guarded]tcnl.Filter {
	out := make(map[guarded]tcnl.Filter)
	for _, f := range s.filters {
		if g, ok := ourGuard(f); ok {
			out[g] = f
		}
	}
	return out
}

// guardsWanted gives the places where guards belong: those that outer packets of our
// tunnels pass, from the interface by which they leave on, and where a session of ours
// copies, by a filter. Programs have guards of their own. Mirrors of others are theirs
// to keep from harm.
func (s *snapshot) guardsWanted() []guarded {
	mirrored := make(map[point]bool)
	for _, f := range s.filters {
		if m, ok := markOf(f); ok && m.hook == f.Hook {
			mirrored[point{f.Ifindex, f.Hook}] = true
		}
	}
	return s.passing(mirrored)
}

// passing gives which tunnels of ours, that copies go into, have packets that pass which
// of the places.
func (s *snapshot) passing(places map[point]bool) []guarded {
	targets := s.copiedInto()
	next := make(map[point][]point)
	s.stack(func(from, to point) { next[from] = append(next[from], to) })
	passed := make(map[int][]point) // by interface that packets leave by
	passedFrom := func(index int) []point {
		if _, known := passed[index]; !known {
			passed[index] = []point{}
			for at := range places {
				if reaches(next, point{index, tcnl.Egress}, at) {
					passed[index] = append(passed[index], at)
				}
			}
		}
		return passed[index]
	}
	seen := make(map[guarded]bool)
	var out []guarded
	for _, l := range s.links {
		way, known := s.routes[endsOf(l.as.Spec)]
		if !targets[l.index] || !l.as.Ours() || !l.as.Kind.Tunnel() || !known || way.err != "" {
			continue
		}
		for _, at := range passedFrom(way.Ifindex) {
			if g := (guarded{at: at, to: l.as.Remote, port: l.as.Port}); !seen[g] {
				seen[g] = true
				out = append(out, g)
			}
		}
	}
	slices.SortFunc(out, func(a, b guarded) int {
		return cmp.Or(a.at.index-b.at.index, int(a.at.hook)-int(b.at.hook), a.to.Compare(b.to), int(a.port)-int(b.port))
	})
	return out
}

// copiedInto gives the interfaces that copies of ours go into.
func (s *snapshot) copiedInto() map[int]bool {
	out := make(map[int]bool)
	for _, f := range s.filters {
		if m, ok := markOf(f); ok && m.hook == f.Hook {
			for _, a := range f.Actions {
				if a.Mirred != nil {
					out[a.Mirred.Ifindex] = true
				}
			}
		}
	}
	for i := range s.programs {
		for _, ses := range s.programs[i].set.Sessions {
			for _, d := range ses.Destinations {
				if l, ok := s.byName(d.Name); ok && !s.programs[i].elsewhere {
					out[l.index] = true
				}
			}
		}
	}
	return out
}

// programGuards gives the tunnels that programs of ours must leave alone, by place.
func (s *snapshot) programGuards() map[point][]bpfcopy.Tunnel {
	places := make(map[point]bool)
	for i := range s.programs {
		if p := &s.programs[i]; !p.elsewhere && len(p.set.Sessions) > 0 {
			places[p.at] = true
		}
	}
	out := make(map[point][]bpfcopy.Tunnel)
	if len(places) == 0 {
		return out
	}
	for _, g := range s.passing(places) {
		out[g.at] = append(out[g.at], bpfcopy.Tunnel{Destination: g.to, VXLAN: g.port != 0})
	}
	return out
}

// guardPrograms makes programs leave the tunnels alone whose packets pass them. A
// program that a step of the script changes gets its guard in the same change, another
// one before the first copy begins; guards that nobody needs any more go last.
func (r *renderer) guardPrograms(session string) error {
	wanted := r.snap.programGuards()
	for i := range r.snap.programs {
		p := &r.snap.programs[i]
		dev, ok := r.snap.byIndex(p.at.index)
		if p.elsewhere || !ok {
			continue
		}
		o := operation{Dev: dev.name, Hook: p.at.hook}
		for _, t := range wanted[p.at] {
			if slices.Contains(p.set.Guard, t) {
				continue
			}
			o.Verb, o.Tunnel = addGuard, t
			at := slices.IndexFunc(r.ops, func(c operation) bool {
				return (c.Verb == addCopy || c.Verb == changeCopy) && c.Dev == o.Dev && c.Hook == o.Hook
			}) + 1
			if at == 0 {
				at = r.firstCopy()
			}
			r.insert(at, session, o)
			if err := r.snap.do(o); err != nil {
				return err
			}
		}
		if len(p.set.Sessions) == 0 {
			continue // it is gone with its last session
		}
		for _, t := range slices.Clone(p.set.Guard) {
			if !slices.Contains(wanted[p.at], t) {
				o.Verb, o.Tunnel = delGuard, t
				if err := r.program(session, o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// firstCopy gives the number of the first step that begins a copy.
func (r *renderer) firstCopy() int {
	n := slices.IndexFunc(r.ops, func(o operation) bool { return o.Verb == addFilter || o.Verb == addCopy || o.Verb == changeCopy })
	if n < 0 {
		return len(r.ops)
	}
	return n
}

// insert puts a step in front of the n-th.
func (r *renderer) insert(n int, session string, o operation) {
	r.ops = slices.Insert(r.ops, n, o)
	r.steps = slices.Insert(r.steps, n, transport.Step{Phase: transport.Edit, Text: o.String(), Session: session})
}

// guardsMissing gives the guards that are wanted and not there.
func (s *snapshot) guardsMissing() []guarded {
	wanted := s.guardsWanted()
	if len(wanted) == 0 {
		return nil
	}
	have := s.guards()
	return slices.DeleteFunc(wanted, func(g guarded) bool {
		_, ok := have[g]
		return ok
	})
}

// guard adds the guards that the changed sessions need, before the first copy begins,
// and takes those away that nobody needs any more, after the last one has ended.
func (r *renderer) guard(session string) error {
	wanted, have := r.snap.guardsWanted(), r.snap.guards()
	at := r.firstCopy()
	for _, g := range wanted {
		if _, there := have[g]; there {
			continue
		}
		if err := r.guardable(g); err != nil {
			return err
		}
		dev, _ := r.snap.byIndex(g.at.index)
		// The qdisc is in the script where a copy of that port needs it; a guard is earlier.
		if q := slices.IndexFunc(r.ops, func(o operation) bool { return o.Verb == addQdisc && o.Dev == dev.name }); q > at {
			o := r.ops[q]
			r.ops, r.steps = slices.Delete(r.ops, q, q+1), slices.Delete(r.steps, q, q+1)
			r.insert(at, session, o)
			at++
		}
		r.insert(at, session, operation{Verb: addGuardFilter, Dev: dev.name, Hook: g.at.hook, Priority: guardPriority(g.at.hook), Guard: g.words()})
		at++
		r.snap.filters = append(r.snap.filters, r.snap.guardAt(g.at, g.filter()))
	}
	for _, f := range slices.Clone(r.snap.filters) {
		g, ok := ourGuard(f)
		if !ok || slices.Contains(wanted, g) {
			continue
		}
		dev, _ := r.snap.byIndex(f.Ifindex)
		r.step(session, operation{
			Verb: delGuardFilter, Dev: dev.name, Hook: f.Hook, Priority: f.Priority, Kind: f.Kind, Handle: f.Handle, Guard: g.words(),
		})
		r.snap.filters = slices.DeleteFunc(r.snap.filters, func(o tcnl.Filter) bool { return o.ID == f.ID })
	}
	return r.guardPrograms(session)
}

// guardable refuses what a guard cannot hide: later fragments of UDP have no port.
func (r *renderer) guardable(g guarded) error {
	if g.port == 0 {
		return nil
	}
	for _, l := range r.snap.links {
		if l.as.Remote != g.to || l.as.Kind != linknl.VXLAN || !l.as.Ours() {
			continue
		}
		way := r.snap.routes[endsOf(l.as.Spec)]
		longest := 0
		for _, f := range r.snap.filters {
			for _, a := range f.Actions {
				if src, ok := r.snap.byIndex(f.Ifindex); ok && a.Mirred != nil && a.Mirred.Ifindex == l.index {
					longest = max(longest, src.mtu)
				}
			}
		}
		if l.as.Fate(longest, way.MTU, true) == linknl.Fragmented {
			return unsupported("copies leave by %s, which is mirrored itself, and would be fragments there, which nothing keeps from being copied again: use gre, or raise the MTU of the way", way.Dev)
		}
	}
	return nil
}

// guardAt is a guard as the kernel will show it.
func (s *snapshot) guardAt(at point, g tcnl.Guard) tcnl.Filter {
	return tcnl.Filter{
		ID: tcnl.ID{
			Ifindex: at.index, Hook: at.hook, Priority: g.Priority, Protocol: tcnl.ProtocolAll, Kind: tcnl.U32,
			Handle: 0x80000800 + uint32(len(s.on(at.index, at.hook))),
		},
		Keys: g.Keys(), Class: g.Class,
	}
}

// findGuard finds the guard that a delete is about.
func findGuard(filters []tcnl.Filter, o operation, index int) (tcnl.Filter, error) {
	for _, f := range filters {
		if f.Priority != o.Priority || f.Handle != o.Handle || f.Kind != o.Kind {
			continue
		}
		want := o.Guard
		want.Ifindex = index
		if g, ok := f.Guards(); ok && g == want {
			return f, nil
		}
	}
	return tcnl.Filter{}, errors.New("the guard is no longer there; plan again")
}

// unguarded gives an error for the first place where a guard is missing.
func (s *snapshot) unguarded() error {
	for _, g := range s.guardsMissing() {
		dev, _ := s.byIndex(g.at.index)
		return fmt.Errorf("copies to %s leave by %s, which is mirrored, and nothing keeps them from being copied again: plan again", g.to, dev.name)
	}
	for at, tunnels := range s.programGuards() {
		p := s.programAt(at)
		for _, t := range tunnels {
			if dev, _ := s.byIndex(at.index); !slices.Contains(p.set.Guard, t) {
				return fmt.Errorf("copies to %s leave by %s, which a program mirrors, and it does not leave them alone: plan again", t.Destination, dev.name)
			}
		}
	}
	return nil
}

// guardText is the tc command of a verb of guards.
func (o operation) guardText() string {
	g := o.Guard
	if o.Verb == addGuardFilter {
		return fmt.Sprintf("tc filter add dev %s %s pref %d protocol all u32 %s", quote(o.Dev), o.Hook, o.Priority, g.Selector())
	}
	kind := "gre"
	if g.Port != 0 {
		kind = fmt.Sprintf("udp %d", g.Port)
	}
	return fmt.Sprintf("tc filter del dev %s %s pref %d protocol all handle %s u32 # guard %s %s", quote(o.Dev), o.Hook, o.Priority,
		handleText(tcnl.U32, o.Handle), g.Collector, kind)
}
