package plan

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// Order sorts the changes of all devices into groups, one per intent, and the
// changes of each group into waves: copies begin to flow only when the far end is
// ready, and stop before the far end goes.
//
// A group that frees a session's name or number, a port or an RSPAN VLAN comes
// before the one that takes it. Beyond that, groups that only delete come first,
// then those that leave a device, so that limits are not met on the way, then the
// rest, each in the order of their names. Groups that trade places with each other
// have no right order and keep that of their names. Groups of different devices may
// be carried out side by side; those that share a device, in the order given.
func Order(sets []models.ChangeSet) []Group {
	byIntent := make(map[string]map[models.DeviceID]*models.ChangeSet)
	for _, cs := range sets {
		for _, ch := range cs.Changes {
			intent := ch.Session().Intent
			devs := byIntent[intent]
			if devs == nil {
				devs = make(map[models.DeviceID]*models.ChangeSet)
				byIntent[intent] = devs
			}
			if devs[cs.Device] == nil {
				devs[cs.Device] = &models.ChangeSet{Device: cs.Device}
			}
			devs[cs.Device].Changes = append(devs[cs.Device].Changes, ch)
		}
	}
	intents := slices.Collect(maps.Keys(byIntent))
	ranks := make(map[string]int, len(intents))
	for _, in := range intents {
		ranks[in] = rank(byIntent[in])
	}
	slices.SortFunc(intents, func(a, b string) int {
		return cmp.Or(cmp.Compare(ranks[a], ranks[b]), cmp.Compare(a, b))
	})
	var out []Group
	for _, i := range byNeed(intents, byIntent) {
		out = append(out, Group{Intent: intents[i], Waves: waves(byIntent[intents[i]])})
	}
	return out
}

// rank is 0 for a group that only deletes, 1 for one that leaves fewer sessions on
// some device, else 2.
func rank(devs map[models.DeviceID]*models.ChangeSet) int {
	if onlyDeletes(devs) {
		return 0
	}
	for _, cs := range devs {
		more := 0
		for _, ch := range cs.Changes {
			switch ch.Op {
			case models.Create:
				more++
			case models.Delete:
				more--
			}
		}
		if more < 0 {
			return 1
		}
	}
	return 2
}

// resource is something that one session at a time can have.
type resource struct {
	kind resourceKind
	dev  models.DeviceID
	name string
	n    int
}

type resourceKind uint8

const (
	identity    resourceKind = iota // a session's name or number
	destination                     // a port that copies leave by
	sourcePort                      // a port that is copied; shared, but never with a destination
	rspanVLAN
)

// holds gives what s has, and blocks what others must not have beside it.
func holds(s *models.Session) (has, blocks []resource) {
	id := s.ID()
	has = append(has, resource{identity, id.Device, id.Name, id.Number})
	if v := s.Destination.VLAN; v != 0 {
		has = append(has, resource{kind: rspanVLAN, n: int(v)})
	}
	for _, p := range destinationPorts(*s) {
		has = append(has, resource{kind: destination, dev: s.Device, name: p})
		blocks = append(blocks, resource{kind: sourcePort, dev: s.Device, name: p})
	}
	blocks = append(blocks, has...)
	for _, src := range s.Sources {
		if src.Name != "" {
			has = append(has, resource{kind: sourcePort, dev: s.Device, name: src.Name})
			blocks = append(blocks, resource{kind: destination, dev: s.Device, name: src.Name})
		}
	}
	return has, blocks
}

// byNeed gives the indexes of intents so that one that frees something comes before
// one that takes it, and else in the order given.
func byNeed(intents []string, byIntent map[string]map[models.DeviceID]*models.ChangeSet) []int {
	freedBy := make(map[resource][]int)
	each := func(i int, do func(models.Change)) {
		for _, cs := range byIntent[intents[i]] {
			for _, ch := range cs.Changes {
				do(ch)
			}
		}
	}
	for i := range intents {
		each(i, func(ch models.Change) {
			if ch.Before != nil {
				has, _ := holds(ch.Before)
				for _, r := range has {
					if by := freedBy[r]; len(by) == 0 || by[len(by)-1] != i {
						freedBy[r] = append(by, i)
					}
				}
			}
		})
	}
	unblocks := make([][]int, len(intents))
	needs := make([][]int, len(intents)) // the reverse
	waits := make([]int, len(intents))   // how many of needs are not done
	for i := range intents {
		each(i, func(ch models.Change) {
			if ch.After != nil {
				_, blocks := holds(ch.After)
				for _, r := range blocks {
					for _, by := range freedBy[r] {
						if by != i {
							unblocks[by] = append(unblocks[by], i)
							needs[i] = append(needs[i], by)
							waits[i]++
						}
					}
				}
			}
		})
	}
	var ready intHeap
	for i, n := range waits {
		if n == 0 {
			ready = append(ready, i) // ascending: a heap already
		}
	}
	out := make([]int, 0, len(intents))
	done := make([]bool, len(intents))
	for stuck := 0; len(out) < len(intents); {
		if len(ready) == 0 {
			for done[stuck] {
				stuck++
			}
			ready = append(ready, firstOfRing(stuck, needs, done))
		}
		i := heap.Pop(&ready).(int)
		if done[i] {
			continue
		}
		done[i] = true
		out = append(out, i)
		for _, next := range unblocks[i] {
			if waits[next]--; waits[next] == 0 && !done[next] {
				heap.Push(&ready, next)
			}
		}
	}
	return out
}

// firstOfRing goes from one that waits to what it waits for, until that closes a
// ring, and gives the first of the ring.
func firstOfRing(at int, needs [][]int, done []bool) int {
	var path []int
	place := make(map[int]int)
	for {
		if begin, again := place[at]; again {
			return slices.Min(path[begin:])
		}
		place[at] = len(path)
		path = append(path, at)
		next := -1 // the first: needs are in no order
		for _, by := range needs[at] {
			if !done[by] && (next < 0 || by < next) {
				next = by
			}
		}
		at = next
	}
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func onlyDeletes(devs map[models.DeviceID]*models.ChangeSet) bool {
	for _, cs := range devs {
		for _, ch := range cs.Changes {
			if ch.Op != models.Delete {
				return false
			}
		}
	}
	return true
}

// waves puts devices into levels. A device that begins to receive from an RSPAN
// VLAN comes before those that begin to send into one; a device that stops sending
// comes before the one that stops receiving.
func waves(devs map[models.DeviceID]*models.ChangeSet) [][]models.ChangeSet {
	ids := slices.Sorted(maps.Keys(devs))
	after := make(map[models.DeviceID]map[models.DeviceID]bool) // device: those it must wait for
	wait := func(dev, first models.DeviceID) {
		if dev == first {
			return
		}
		if after[dev] == nil {
			after[dev] = make(map[models.DeviceID]bool)
		}
		after[dev][first] = true
	}
	// An update ends one flow and begins another.
	with := func(role models.Role, begins bool) []models.DeviceID {
		var out []models.DeviceID
		for _, dev := range ids {
			if slices.ContainsFunc(devs[dev].Changes, func(c models.Change) bool {
				s := c.Before
				if begins {
					s = c.After
				}
				return s != nil && s.Role == role
			}) {
				out = append(out, dev)
			}
		}
		return out
	}
	order := func(firstRole, thenRole models.Role, begins bool) {
		then := with(thenRole, begins)
		for _, first := range with(firstRole, begins) {
			for _, dev := range then {
				// What begins to flow weighs more than what stops, should a device do both.
				if !after[first][dev] {
					wait(dev, first)
				}
			}
		}
	}
	order(models.RoleDestination, models.RoleSource, true)
	order(models.RoleSource, models.RoleDestination, false)

	var out [][]models.ChangeSet
	done := make(map[models.DeviceID]bool)
	for len(done) < len(ids) {
		var wave []models.ChangeSet
		for _, dev := range ids {
			if !done[dev] && allIn(after[dev], done) {
				wave = append(wave, *devs[dev])
			}
		}
		if len(wave) == 0 {
			// A ring of three or more devices that swap their roles: no order is right,
			// so none may be worse; the rest goes at once.
			for _, dev := range ids {
				if !done[dev] {
					wave = append(wave, *devs[dev])
				}
			}
		}
		for _, cs := range wave {
			done[cs.Device] = true
		}
		out = append(out, wave)
	}
	return out
}

func allIn(want, have map[models.DeviceID]bool) bool {
	for k := range want {
		if !have[k] {
			return false
		}
	}
	return true
}
