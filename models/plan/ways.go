package plan

import (
	"slices"

	"github.com/spanctl/spanctl/models"
)

// known says what topology and states tell of a VLAN at some place.
type known uint8

const (
	refuses known = iota // it does not pass
	unknown
	carries
)

// ways finds paths through the topology that a VLAN can take. What it has worked
// out it keeps: many sources share a destination and its VLAN.
type ways struct {
	states map[models.DeviceID]models.DeviceState
	tags   map[models.DeviceID]bool // devices that tag copies by themselves
	index  map[models.DeviceID]int
	links  [][]way // by device, in the order of the topology
	views  map[place]*vlanView
	goal   place // of searches
	search map[known]*search
}

// way is a link as seen from one of its ends.
type way struct {
	near, far models.End
	to        int // the device at the far end
}

type place struct {
	dev  models.DeviceID
	vlan uint16
}

// search is a breadth-first search from the device of its goal over links on which
// the VLAN is at least need. It goes on only as far as it is asked.
type search struct {
	need  known
	next  map[int]way // by device: the first way on a shortest path to the goal
	queue []int
}

// vlanView is what one device tells of one VLAN.
type vlanView struct {
	exists known
	access []string // ports whose access VLAN it is
}

func newWays(net *models.Network, states map[models.DeviceID]models.DeviceState, tags map[models.DeviceID]bool) *ways {
	w := &ways{
		states: states, tags: tags,
		index: make(map[models.DeviceID]int, len(net.Devices)),
		links: make([][]way, len(net.Devices)),
		views: make(map[place]*vlanView),
	}
	for i, d := range net.Devices {
		w.index[d.ID] = i
	}
	for _, l := range net.Links {
		a, okA := w.index[l.A.Device]
		b, okB := w.index[l.B.Device]
		if okA && okB && a != b {
			w.links[a] = append(w.links[a], way{l.A, l.B, b})
			w.links[b] = append(w.links[b], way{l.B, l.A, a})
		}
	}
	return w
}

// look gives what dev tells of vlan.
func (w *ways) look(dev models.DeviceID, vlan uint16) *vlanView {
	at := place{dev, vlan}
	if v, ok := w.views[at]; ok {
		return v
	}
	v := &vlanView{exists: unknown}
	if st, ok := w.states[dev]; ok {
		if st.VLANs != nil {
			v.exists = refuses
			if _, ok := st.VLANs[vlan]; ok {
				v.exists = carries
			}
		}
		for name, p := range st.Ports {
			if p.Mode == models.PortAccess && p.AccessVLAN == vlan {
				v.access = append(v.access, name)
			}
		}
		slices.SortFunc(v.access, models.CompareNatural)
	}
	w.views[at] = v
	return v
}

// path gives a shortest path, each way from its near to its far end, and what is
// known of the VLAN on it; nil when the topology has none, and when the ends are
// the same. Of several paths, the one whose links come first in the topology, seen
// from to.
func (w *ways) path(from, to models.DeviceID, vlan uint16) ([]models.Link, known) {
	i, okFrom := w.index[from]
	root, okTo := w.index[to]
	if !okFrom || !okTo {
		return nil, unknown
	}
	if from == to {
		return nil, carries
	}
	if goal := (place{to, vlan}); goal != w.goal || w.search == nil {
		w.goal, w.search = goal, make(map[known]*search) // of one intent after the other: keep no more
	}
	for _, need := range []known{carries, unknown, refuses} {
		sr := w.search[need]
		if sr == nil {
			sr = &search{need: need, next: make(map[int]way), queue: []int{root}}
			w.search[need] = sr
		}
		if !w.reach(sr, i) {
			continue
		}
		var out []models.Link
		for at := i; at != root; at = sr.next[at].to {
			out = append(out, models.Link{A: sr.next[at].near, B: sr.next[at].far})
		}
		return out, need
	}
	return nil, unknown
}

// reach goes on with a search until it has found the device.
func (w *ways) reach(sr *search, device int) bool {
	root := w.index[w.goal.dev]
	for {
		if _, ok := sr.next[device]; ok {
			return true
		}
		if len(sr.queue) == 0 {
			return false
		}
		at := sr.queue[0]
		sr.queue = sr.queue[1:]
		for _, l := range w.links[at] {
			if _, seen := sr.next[l.to]; seen || l.to == root || w.over(l) < sr.need {
				continue
			}
			sr.next[l.to] = way{near: l.far, far: l.near, to: at}
			sr.queue = append(sr.queue, l.to)
		}
	}
}

// over tells whether the VLAN of the goal crosses a link from the device before.
// That it exists on both ends of the whole path is looked at apart.
func (w *ways) over(l way) known {
	k := min(w.end(l.near, w.goal.vlan), w.end(l.far, w.goal.vlan))
	if l.near.Device != w.goal.dev {
		k = min(k, w.look(l.near.Device, w.goal.vlan).exists)
	}
	return k
}

func (w *ways) end(e models.End, vlan uint16) known {
	if w.tags[e.Device] {
		return carries
	}
	st, ok := w.states[e.Device]
	if !ok || st.Ports == nil {
		return unknown
	}
	p, ok := trunkPort(st, e.Port)
	if !ok {
		return unknown
	}
	return carriesVLAN(p, vlan)
}

// trunkPort gives the port that decides on VLANs: the LAG of a member.
func trunkPort(st models.DeviceState, name string) (models.Port, bool) {
	p, ok := st.Ports[name]
	if ok && p.LAG != "" {
		p, ok = st.Ports[p.LAG]
	}
	return p, ok
}

// carriesVLAN tells whether a port carries the VLAN with its tag.
func carriesVLAN(p models.Port, vlan uint16) known {
	switch {
	case p.Mode == "":
		return unknown
	case p.Mode != models.PortTrunk:
		return refuses
	case p.TrunkVLANs != nil && !models.RangesContain(p.TrunkVLANs, vlan):
		return refuses
	}
	return carries
}
