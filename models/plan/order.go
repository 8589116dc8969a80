package plan

import (
	"maps"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// Order sorts the changes of all devices into groups, one per intent, and the
// changes of each group into waves: copies begin to flow only when the far end is
// ready, and stop before the far end goes. Groups that only delete come first, so
// that what they free can be used; otherwise they are in the order of their names.
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
	var deleting, rest []Group
	for _, intent := range slices.Sorted(maps.Keys(byIntent)) {
		g := Group{Intent: intent, Waves: waves(byIntent[intent])}
		if onlyDeletes(byIntent[intent]) {
			deleting = append(deleting, g)
		} else {
			rest = append(rest, g)
		}
	}
	return append(deleting, rest...)
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
	does := func(dev models.DeviceID, role models.Role, begins bool) bool {
		return slices.ContainsFunc(devs[dev].Changes, func(c models.Change) bool {
			return c.Session().Role == role && (c.After != nil) == begins
		})
	}
	order := func(firstRole, thenRole models.Role, begins bool) {
		for _, first := range ids {
			if !does(first, firstRole, begins) {
				continue
			}
			for _, then := range ids {
				// What begins to flow weighs more than what stops, should a device do both.
				if does(then, thenRole, begins) && !after[first][then] {
					wait(then, first)
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
