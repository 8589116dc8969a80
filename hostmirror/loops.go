package hostmirror

import (
	"fmt"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// A point is a place that a frame passes: received or sent by a device.
type point struct {
	index int
	hook  tcnl.Hook
}

// mirrored is a way that copies take: what passes a point is sent by a device.
type mirrored struct {
	from point
	to   int
}

// mirroredBy gives the ways that a filter makes.
func mirroredBy(f tcnl.Filter) []mirrored {
	var out []mirrored
	for _, a := range f.Actions {
		if a.Mirred != nil {
			out = append(out, mirrored{point{f.Ifindex, f.Hook}, a.Mirred.Ifindex})
		}
	}
	return out
}

// checkLoops refuses copies among which a frame could come round again, and pairs of
// ports that are mirrored to each other. The kernel protects from neither: two ports
// mirrored to each other put duplicates into production, and a copy that passes its
// own source is copied again until some limit of the kernel ends it.
func (s *snapshot) checkLoops(added []mirrored) error {
	next, mirrors := s.ways()
	done := make(map[mirrored]bool)
	for _, m := range added {
		if done[m] {
			continue
		}
		done[m] = true
		source, _ := s.byIndex(m.from.index)
		target, _ := s.byIndex(m.to)
		if source.index == target.index {
			return fmt.Errorf("%s would be mirrored to itself", source.name)
		}
		if reaches(mirrors, target.index, source.index) {
			return fmt.Errorf("%s is mirrored to %s already, straight or through others: mirroring %s to %s as well puts copies into production",
				target.name, source.name, source.name, target.name)
		}
		if reaches(next, point{target.index, tcnl.Egress}, m.from) {
			return fmt.Errorf("copies sent by %s come past %s again and would be copied without end", target.name, source.name)
		}
	}
	return nil
}

// ways gives where a frame goes next from each point, by mirrors and by how devices
// hang together, and apart from that which device is mirrored to which.
func (s *snapshot) ways() (next map[point][]point, mirrors map[int][]int) {
	next, mirrors = make(map[point][]point), make(map[int][]int)
	way := func(from, to point) { next[from] = append(next[from], to) }
	for _, f := range s.filters {
		for _, a := range f.Actions {
			if a.Mirred == nil || a.Mirred.Ifindex == 0 {
				continue
			}
			to := point{a.Mirred.Ifindex, tcnl.Egress}
			if m := a.Mirred.Mode; m == tcnl.IngressMirror || m == tcnl.IngressRedirect {
				to.hook = tcnl.Ingress
			}
			way(point{f.Ifindex, f.Hook}, to)
			mirrors[f.Ifindex] = append(mirrors[f.Ifindex], a.Mirred.Ifindex)
		}
	}
	seen := make(map[mirrored]bool)
	for i := range s.programs {
		p := &s.programs[i]
		for _, m := range p.ways() {
			if seen[m] {
				continue
			}
			seen[m] = true
			way(m.from, point{m.to, tcnl.Egress})
			mirrors[m.from.index] = append(mirrors[m.from.index], m.to)
		}
	}
	s.stack(way)
	return next, mirrors
}

// stack gives where a frame goes next by how devices hang together.
func (s *snapshot) stack(way func(from, to point)) {
	// below: what the upper device sends leaves by the lower one, and what the lower
	// one receives comes up.
	below := func(upper, lower int) {
		way(point{upper, tcnl.Egress}, point{lower, tcnl.Egress})
		way(point{lower, tcnl.Ingress}, point{upper, tcnl.Ingress})
	}
	for _, l := range s.links {
		if l.parent != 0 {
			below(l.index, l.parent)
		}
		if l.master != 0 {
			below(l.master, l.index)
		}
		if l.peer != 0 {
			way(point{l.index, tcnl.Egress}, point{l.peer, tcnl.Ingress})
		}
		if m, ok := s.byIndex(l.master); ok && m.kind == "bridge" {
			for _, other := range s.links {
				if other.master == l.master && other.index != l.index {
					way(point{l.index, tcnl.Ingress}, point{other.index, tcnl.Egress})
				}
			}
		}
	}
}

func reaches[N comparable](next map[N][]N, from, to N) bool {
	seen := map[N]bool{from: true}
	todo := []N{from}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == to {
			return true
		}
		for _, m := range next[n] {
			if !seen[m] {
				seen[m] = true
				todo = append(todo, m)
			}
		}
	}
	return false
}
