package hostmirror

import (
	"slices"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// checkLoops is [snapshot.checkLoops] for all namespaces that were looked at together:
// a copy can come round through a cable from one to another. before is what they held.
func (h *Host) checkLoops(before map[*space]*snapshot) error {
	if len(h.other) == 0 {
		return nil // the Mirror has checked
	}
	type at struct {
		sp    *space
		index int
	}
	index := make(map[at]int)
	indexOf := func(sp *space, i int) int {
		if i == 0 {
			return 0
		}
		k := at{sp, i}
		if index[k] == 0 {
			index[k] = len(index) + 1
		}
		return index[k]
	}
	var all snapshot
	var added []mirrored
	for _, sp := range h.spaces() {
		after := sp.m.last()
		for _, l := range after.links {
			own := l
			l.name = models.JoinPlace(h.label(sp), l.name)
			l.index, l.master, l.parent, l.peer = indexOf(sp, l.index), indexOf(sp, l.master), indexOf(sp, l.parent), indexOf(sp, l.peer)
			for _, other := range h.spaces() {
				if far, ok := h.otherEnd(sp, own, other); ok && other != sp {
					l.peer = indexOf(other, far.index)
				}
			}
			all.links = append(all.links, l)
		}
		for _, f := range after.filters {
			isNew := !slices.ContainsFunc(before[sp].filters, func(g tcnl.Filter) bool { return g.ID == f.ID })
			f.Ifindex = indexOf(sp, f.Ifindex)
			f.Actions = slices.Clone(f.Actions)
			for i, a := range f.Actions {
				if a.Mirred != nil {
					f.Actions[i].Mirred = &tcnl.Mirred{Mode: a.Mirred.Mode, Ifindex: indexOf(sp, a.Mirred.Ifindex)}
				}
			}
			all.filters = append(all.filters, f)
			if isNew {
				added = append(added, mirroredBy(f)...)
			}
		}
		was := make(map[mirrored]bool)
		for i := range before[sp].programs {
			for _, m := range before[sp].programs[i].ways() {
				was[m] = true
			}
		}
		for _, p := range clonePrograms(after.programs) {
			for _, m := range p.ways() {
				if !was[m] {
					added = append(added, mirrored{point{indexOf(sp, m.from.index), m.from.hook}, indexOf(sp, m.to)})
				}
			}
			p.at.index = indexOf(sp, p.at.index)
			for i, ses := range p.set.Sessions {
				p.set.Sessions[i].Destinations = slices.Clone(ses.Destinations)
				for j, d := range ses.Destinations {
					p.set.Sessions[i].Destinations[j].Ifindex = indexOf(sp, d.Ifindex)
				}
			}
			all.programs = append(all.programs, p)
		}
	}
	return all.checkLoops(added)
}

// otherEnd gives the other end of a cable between two namespaces, also of a relay that
// is yet to be made.
func (h *Host) otherEnd(at *space, l link, to *space) (link, bool) {
	if near, ok := to.m.last().byName(l.name); ok && isRelay(l) && isRelay(near) {
		return near, true
	}
	return h.across(at, l, to)
}
