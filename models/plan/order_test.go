package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanctl/spanctl/models"
)

func create(s models.Session) models.Change { return models.Change{Op: models.Create, After: &s} }
func remove(s models.Session) models.Change { return models.Change{Op: models.Delete, Before: &s} }
func update(a, b models.Session) models.Change {
	return models.Change{Op: models.Update, Before: &a, After: &b}
}

// setsOf puts changes into a set per device, in the order of the devices.
func setsOf(changes ...models.Change) []models.ChangeSet {
	var out []models.ChangeSet
	for _, c := range changes {
		dev := c.Session().Device
		i := slices.IndexFunc(out, func(cs models.ChangeSet) bool { return cs.Device == dev })
		if i < 0 {
			i, out = len(out), append(out, models.ChangeSet{Device: dev})
		}
		out[i].Changes = append(out[i].Changes, c)
	}
	return out
}

// text writes groups as "a: leaf1(create) | leaf2(delete create)": waves are divided
// by a bar.
func text(gs []Group) []string {
	var out []string
	for _, g := range gs {
		var waves []string
		for _, w := range g.Waves {
			var devs []string
			for _, cs := range w {
				var ops []string
				for _, c := range cs.Changes {
					ops = append(ops, c.Op.String())
				}
				devs = append(devs, fmt.Sprintf("%s(%s)", cs.Device, strings.Join(ops, " ")))
			}
			waves = append(waves, strings.Join(devs, " "))
		}
		out = append(out, g.Intent+": "+strings.Join(waves, " | "))
	}
	return out
}

func TestOrder(t *testing.T) {
	span := func(dev models.DeviceID, intent, to string) models.Session {
		return session(dev, intent, toPorts(to), port("e1"))
	}
	src := func(dev models.DeviceID, vlan uint16) models.Session {
		return session(dev, "r", toVLAN(vlan), port("e1"))
	}
	dst := func(dev models.DeviceID, vlan uint16) models.Session {
		return session(dev, "r", toPorts("e48"), fromVLAN(vlan))
	}
	tests := []struct {
		name string
		give []models.Change
		want []string
	}{
		{"nothing", nil, nil},
		{"by name", []models.Change{create(span("leaf1", "b", "e48")), create(span("leaf2", "a", "e48")), create(span("leaf1", "a", "e47"))},
			[]string{"a: leaf1(create) leaf2(create)", "b: leaf1(create)"}},
		{"what only deletes first", []models.Change{create(span("leaf1", "a", "e48")), remove(span("leaf1", "z", "e47"))},
			[]string{"z: leaf1(delete)", "a: leaf1(create)"}},
		{"RSPAN created: the end first", []models.Change{create(src("leaf1", 9)), create(src("leaf3", 9)), create(dst("leaf2", 9))},
			[]string{"r: leaf2(create) | leaf1(create) leaf3(create)"}},
		{"RSPAN deleted: the end last", []models.Change{remove(dst("leaf1", 9)), remove(src("leaf2", 9)), remove(src("leaf3", 9))},
			[]string{"r: leaf2(delete) leaf3(delete) | leaf1(delete)"}},
		{"RSPAN to another end", []models.Change{remove(dst("leaf1", 9)), create(dst("leaf2", 8)), update(src("leaf3", 9), src("leaf3", 8))},
			[]string{"r: leaf2(create) | leaf3(update) | leaf1(delete)"}},
		{"the same, session by session", []models.Change{remove(dst("leaf1", 9)), create(dst("leaf2", 8)), remove(src("leaf3", 9)), create(src("leaf3", 8))},
			[]string{"r: leaf2(create) | leaf3(delete create) | leaf1(delete)"}},
		{"RSPAN to another VLAN: begins weigh more", []models.Change{
			remove(dst("leaf2", 9)), create(dst("leaf2", 8)), remove(src("leaf1", 9)), create(src("leaf1", 8))},
			[]string{"r: leaf2(delete create) | leaf1(delete create)"}},
		{"source and end trade places", []models.Change{remove(src("leaf1", 9)), create(dst("leaf1", 8)), remove(dst("leaf2", 9)), create(src("leaf2", 8))},
			[]string{"r: leaf1(delete create) | leaf2(delete create)"}},
		{"a source more", []models.Change{create(src("leaf3", 9)), update(dst("leaf2", 9), dst("leaf2", 9))},
			[]string{"r: leaf2(update) | leaf3(create)"}},

		{"a port that another gives up", []models.Change{
			create(span("leaf1", "a", "e48")), update(span("leaf1", "b", "e48"), span("leaf1", "b", "e47"))},
			[]string{"b: leaf1(update)", "a: leaf1(create)"}},
		{"a chain of them", []models.Change{
			create(span("leaf1", "a", "e46")),
			update(span("leaf1", "b", "e46"), span("leaf1", "b", "e47")),
			update(span("leaf1", "c", "e47"), span("leaf1", "c", "e48"))},
			[]string{"c: leaf1(update)", "b: leaf1(update)", "a: leaf1(create)"}},
		{"two that trade ports keep their names' order", []models.Change{
			update(span("leaf1", "b", "e48"), span("leaf1", "b", "e47")),
			update(span("leaf1", "a", "e47"), span("leaf1", "a", "e48"))},
			[]string{"a: leaf1(update)", "b: leaf1(update)"}},
		{"the ring does not hold up what waits for it", []models.Change{
			update(session("leaf1", "b", toPorts("e48"), port("e5")), span("leaf1", "b", "e47")),
			update(span("leaf1", "c", "e47"), span("leaf1", "c", "e48")),
			create(session("leaf1", "a", toPorts("e5"), port("e2"))), create(span("leaf2", "d", "e47"))},
			[]string{"d: leaf2(create)", "b: leaf1(update)", "a: leaf1(create)", "c: leaf1(update)"}},
		{"a source that becomes a destination", []models.Change{
			create(session("leaf1", "a", toPorts("e1"), port("e2"))),
			update(span("leaf1", "b", "e48"), session("leaf1", "b", toPorts("e48"), port("e3")))},
			[]string{"b: leaf1(update)", "a: leaf1(create)"}},
		{"a destination that becomes a source", []models.Change{
			create(session("leaf1", "a", toPorts("e47"), port("e48"))),
			update(span("leaf1", "b", "e48"), span("leaf1", "b", "e46"))},
			[]string{"b: leaf1(update)", "a: leaf1(create)"}},
		{"an RSPAN VLAN", []models.Change{
			create(session("leaf2", "a", toVLAN(9), port("e1"))),
			update(session("leaf1", "b", toVLAN(9), port("e1")), session("leaf1", "b", toVLAN(8), port("e1")))},
			[]string{"b: leaf1(update)", "a: leaf2(create)"}},
		{"a shared source is no reason", []models.Change{
			create(span("leaf1", "a", "e48")), update(span("leaf1", "b", "e47"), span("leaf1", "b", "e46"))},
			[]string{"a: leaf1(create)", "b: leaf1(update)"}},
		{"who leaves a device before who comes", []models.Change{
			create(span("leaf1", "a", "e48")), remove(span("leaf1", "b", "e47")), create(span("leaf2", "b", "e47"))},
			[]string{"b: leaf1(delete) leaf2(create)", "a: leaf1(create)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 5 { // the same every time
				got := Order(setsOf(tt.give...))
				if d := cmp.Diff(tt.want, text(got)); d != "" {
					t.Fatalf("(-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestOrderByNumber(t *testing.T) {
	numbered := func(intent, to string) models.Session {
		s := session("leaf1", intent, toPorts(to), port("e1"))
		s.Name, s.Number = "", 1
		return s
	}
	got := Order(setsOf(create(numbered("a", "e48")), remove(numbered("b", "e47")), create(session("leaf1", "b", toPorts("e46"), port("e1")))))
	if d := cmp.Diff([]string{"b: leaf1(delete create)", "a: leaf1(create)"}, text(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestGroupDevices(t *testing.T) {
	g := Group{Waves: [][]models.ChangeSet{{{Device: "c"}, {Device: "a"}}, {{Device: "b"}}}}
	if d := cmp.Diff([]models.DeviceID{"c", "a", "b"}, g.Devices()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestOrderProperties: each change appears exactly once, within the group of its
// intent; within a group no source begins before its destination is there, and no
// destination goes before its sources have ended. Which devices change and how is
// drawn; a device that is source and destination in turn is TestOrder's.
func TestOrderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var changes []models.Change
		for i := range rapid.IntRange(1, 3).Draw(t, "intents") {
			intent := fmt.Sprintf("i%d", i)
			vlan := rapid.Uint16Range(900, 904)
			for d := range rapid.IntRange(1, 5).Draw(t, "devices") {
				dev := models.DeviceID(fmt.Sprintf("leaf%d", d))
				of := func() models.Session {
					if d < 2 {
						return session(dev, intent, toPorts("e48"), fromVLAN(vlan.Draw(t, "vlan")))
					}
					return session(dev, intent, toVLAN(vlan.Draw(t, "vlan")), port("e1"))
				}
				switch rapid.IntRange(0, 4).Draw(t, "change") {
				case 0:
					changes = append(changes, create(of()))
				case 1:
					changes = append(changes, remove(of()))
				case 2:
					changes = append(changes, update(of(), of()))
				case 3:
					changes = append(changes, remove(of()), create(of()))
				}
			}
		}
		left := make(map[string]int)
		for _, c := range changes {
			left[fmt.Sprintf("%p %p", c.Before, c.After)]++
		}
		groups := Order(setsOf(rapid.Permutation(changes).Draw(t, "order")...))
		seen := make(map[string]bool)
		for _, g := range groups {
			if seen[g.Intent] {
				t.Fatalf("intent %s has two groups", g.Intent)
			}
			seen[g.Intent] = true
			in := make(map[models.DeviceID]int) // wave, from 1
			for w, wave := range g.Waves {
				if len(wave) == 0 {
					t.Fatalf("empty wave in %v", text(groups))
				}
				for _, cs := range wave {
					if in[cs.Device] != 0 {
						t.Fatalf("%s is in two waves of %v", cs.Device, text(groups))
					}
					in[cs.Device] = w + 1
					for _, c := range cs.Changes {
						if c.Session().Intent != g.Intent {
							t.Fatalf("group %s holds a change of %s", g.Intent, c.Session().Intent)
						}
						left[fmt.Sprintf("%p %p", c.Before, c.After)]--
					}
				}
			}
			for _, src := range changes {
				for _, dst := range changes {
					s, d := src.Session(), dst.Session()
					if s.Intent != g.Intent || d.Intent != g.Intent || s.Role != models.RoleSource || d.Role != models.RoleDestination {
						continue
					}
					if src.After != nil && dst.After != nil && in[s.Device] <= in[d.Device] {
						t.Fatalf("%s begins to send before %s receives: %v", s.Device, d.Device, text(groups))
					}
					begins := slices.ContainsFunc(changes, func(c models.Change) bool {
						return c.After != nil && c.After.Device == d.Device && c.After.Intent == g.Intent
					})
					if dst.After == nil && !begins && src.Before != nil && in[d.Device] <= in[s.Device] {
						t.Fatalf("%s stops to receive before %s stops sending: %v", d.Device, s.Device, text(groups))
					}
				}
			}
		}
		for c, n := range left {
			if n != 0 {
				t.Fatalf("change %s is there %d times too few", c, n)
			}
		}
	})
}
