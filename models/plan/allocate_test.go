package plan

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanctl/spanctl/models"
)

func TestAllocateNumbers(t *testing.T) {
	a, b := session("leaf1", "a", toPorts("e48"), port("e1")), session("leaf1", "b", toPorts("e47"), port("e2"))
	other := session("leaf2", "c", toPorts("e48"), port("e1"))
	foreign := func(dev models.DeviceID, n int) models.Session { return models.Session{Device: dev, Number: n} }
	record := func(s models.Session, n int) models.Record {
		intent := s.Intent
		s.Intent, s.Name, s.Number = "", "", n
		return models.Record{Intent: intent, Session: s}
	}
	type states = map[models.DeviceID]models.DeviceState
	tests := []struct {
		name    string
		give    []models.Session
		on      *fake
		states  states
		records []models.Record
		want    []string // "intent name number"
		found   []string
	}{
		{name: "names stay names", give: []models.Session{a}, on: able(), want: []string{"a sp-a 0"}},
		{name: "from one", give: []models.Session{a, b, other}, want: []string{"a  1", "b  2", "c  1"}},
		{name: "round a stranger", give: []models.Session{a, b}, states: states{"leaf1": {Sessions: []models.Session{foreign("leaf1", 1), foreign("leaf1", 3)}}}, want: []string{"a  2", "b  4"}},
		{name: "a stranger on another device", give: []models.Session{a}, states: states{"leaf2": {Sessions: []models.Session{foreign("leaf2", 1)}}}, want: []string{"a  1"}},
		{name: "kept", give: []models.Session{a, b}, records: []models.Record{record(b, 1)}, want: []string{"a  2", "b  1"}},
		{name: "kept beside its own session", give: []models.Session{a}, records: []models.Record{record(a, 7)},
			states: states{"leaf1": {Sessions: []models.Session{{Device: "leaf1", Number: 7, Intent: "a"}}}}, want: []string{"a  7"}},
		{name: "not that of an intent that is not here", give: []models.Session{a}, records: []models.Record{record(b, 1)}, want: []string{"a  2"}},
		{name: "the record of another role is another", give: []models.Session{session("leaf1", "a", toVLAN(9), port("e1"))}, records: []models.Record{record(a, 5)}, want: []string{"a  1"}},
		{name: "all taken", give: []models.Session{a, b}, on: able().numbered().limit(models.FeatureSessions, 1), want: []string{"a  1", "b  0"}, found: []string{"session-limit leaf1 "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on := tt.on
			if on == nil {
				on = able().numbered()
			}
			out, found := Allocate(leafSpine(), all(on), nil, tt.give, tt.states, tt.records)
			var got []string
			for _, s := range out {
				got = append(got, fmt.Sprintf("%s %s %d", s.Intent, s.Name, s.Number))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.found, brief(found)); d != "" {
				t.Errorf("found (-want +got):\n%s", d)
			}
		})
	}
}

func TestAllocateVLANs(t *testing.T) {
	pair := func(intent string) []models.Session {
		return []models.Session{session("leaf1", intent, toVLAN(0), port("e1")), session("leaf2", intent, toPorts("e48"), fromVLAN(0))}
	}
	got := func(ss []models.Session) []uint16 {
		var out []uint16
		for _, s := range ss {
			out = append(out, remoteVLAN(s))
		}
		return out
	}
	type states = map[models.DeviceID]models.DeviceState
	tests := []struct {
		name    string
		give    []models.Session
		pool    []models.Range // nil = 900-902
		states  states
		records []models.Record
		want    []uint16
		found   []string
	}{
		{name: "one for both ends", give: pair("a"), want: []uint16{900, 900}},
		{name: "one for each intent", give: append(pair("a"), pair("b")...), want: []uint16{900, 900, 901, 901}},
		{name: "an explicit one stays", give: []models.Session{session("leaf1", "x", toVLAN(900), port("e1"))}, want: []uint16{900}},
		{name: "and is not given to others", give: append(pair("a"), session("leaf1", "x", toVLAN(900), port("e1"))), want: []uint16{901, 901, 900}},
		{name: "nor one that is copied", give: append(pair("a"), session("leaf1", "x", toPorts("e47"), models.Source{Kind: models.SourceVLAN, VLAN: 900, Direction: models.Rx})), want: []uint16{901, 901, 0}},
		{name: "nor a stranger's", give: pair("a"), states: states{"spine1": {Sessions: []models.Session{{Destination: toVLAN(900)}}}}, want: []uint16{901, 901}},
		{name: "nor where a stranger's end", give: pair("a"), states: states{"spine1": {Sessions: []models.Session{{Sources: []models.Source{fromVLAN(900)}}}}}, want: []uint16{901, 901}},
		{name: "nor a port's", give: pair("a"), states: states{"leaf3": {Ports: map[string]models.Port{"e1": {AccessVLAN: 900}}}}, want: []uint16{901, 901}},
		{name: "nor a record's", give: pair("a"), records: []models.Record{{Intent: "b", Session: session("leaf1", "b", toVLAN(900), port("e1"))}}, want: []uint16{901, 901}},
		{name: "the one of its record", give: pair("a"), records: []models.Record{{Intent: "a", Session: session("leaf1", "a", toVLAN(902), port("e1"))}}, want: []uint16{902, 902}},
		{name: "also of its far end", give: pair("a"), records: []models.Record{{Intent: "a", Session: session("leaf2", "a", toPorts("e48"), fromVLAN(902))}}, want: []uint16{902, 902}},
		{name: "none left", give: append(pair("a"), pair("b")...), pool: []models.Range{models.One(900)}, want: []uint16{900, 900, 0, 0}, found: []string{"no-rspan-vlan leaf1 spec.destination.sensor"}},
		{name: "pools in pieces", give: append(pair("a"), pair("b")...), pool: []models.Range{models.One(950), models.One(940)}, want: []uint16{940, 940, 950, 950}},
		{name: "never VLAN 0, 1 or 4095", give: append(pair("a"), pair("b")...), pool: []models.Range{{First: 0, Last: 2}, {First: 4095, Last: 9000}}, want: []uint16{2, 2, 0, 0},
			found: []string{"no-rspan-vlan leaf1 spec.destination.sensor"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			net := leafSpine()
			if tt.pool != nil {
				net.RSPANVLANs = tt.pool
			}
			before := fmt.Sprint(tt.give)
			out, found := Allocate(net, all(able()), nil, tt.give, tt.states, tt.records)
			if d := cmp.Diff(tt.want, got(out)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.found, brief(found)); d != "" {
				t.Errorf("found (-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, fmt.Sprint(tt.give)); d != "" {
				t.Errorf("changed its argument:\n%s", d)
			}
		})
	}
}

// TestAllocateGivesNothingTwice: no number and no VLAN that is in use is given, what
// records say is kept, and a second time nothing changes.
func TestAllocateGivesNothingTwice(t *testing.T) {
	devices := []models.DeviceID{"leaf1", "leaf2"}
	rapid.Check(t, func(t *rapid.T) {
		on := all(able().numbered())
		net := leafSpine()
		net.RSPANVLANs = []models.Range{{First: 900, Last: 910}}
		states := make(map[models.DeviceID]models.DeviceState)
		taken := make(map[string]bool) // numbers and VLANs of strangers
		for _, d := range devices {
			st := models.DeviceState{Device: d}
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 4, rapid.ID).Draw(t, "foreign") {
				v := rapid.Uint16Range(900, 903).Draw(t, "vlan")
				st.Sessions = append(st.Sessions, models.Session{Device: d, Number: n, Destination: toVLAN(v)})
				taken[fmt.Sprint(d, n)], taken[fmt.Sprint(v)] = true, true
			}
			states[d] = st
		}
		var wanted []models.Session
		for i := range rapid.IntRange(1, 5).Draw(t, "intents") {
			name := fmt.Sprintf("i%d", i)
			if rapid.Bool().Draw(t, "rspan") {
				wanted = append(wanted, session("leaf1", name, toVLAN(0), port("e1")), session("leaf2", name, toPorts("p"+name), fromVLAN(0)))
			} else {
				wanted = append(wanted, session(rapid.SampledFrom(devices).Draw(t, "device"), name, toPorts("p"+name), port("e1")))
			}
		}
		first, found := Allocate(net, on, nil, wanted, states, nil)
		if len(found) > 0 {
			t.Fatalf("found %v", found)
		}
		vlanOf := make(map[uint16]string)
		for _, s := range first {
			slot := fmt.Sprint(s.Device, s.Number)
			if s.Number < 1 || taken[slot] {
				t.Fatalf("%s has number %d on %s, which is taken", s.Intent, s.Number, s.Device)
			}
			taken[slot] = true
			if v := remoteVLAN(s); v != 0 {
				if taken[fmt.Sprint(v)] || vlanOf[v] != "" && vlanOf[v] != s.Intent {
					t.Fatalf("%s has VLAN %d, which is taken", s.Intent, v)
				}
				vlanOf[v] = s.Intent
			}
		}
		// Some of them are applied; all intents are planned again, in another order.
		var records []models.Record
		for _, s := range first {
			if rapid.Bool().Draw(t, "applied") {
				st := states[s.Device]
				st.Sessions = append(st.Sessions, s)
				states[s.Device] = st
				records = append(records, models.Record{Intent: s.Intent, Session: s})
			}
		}
		second, _ := Allocate(net, on, nil, rapid.Permutation(wanted).Draw(t, "order"), states, records)
		kept := make(map[string]models.Session)
		for _, s := range second {
			kept[fmt.Sprint(s.Device, s.Intent)] = s
		}
		for _, r := range records {
			got := kept[fmt.Sprint(r.Session.Device, r.Intent)]
			if got.Number != r.Session.Number || remoteVLAN(got) != remoteVLAN(r.Session) {
				t.Fatalf("%s on %s was given %d and VLAN %d, now %d and %d", r.Intent, r.Session.Device,
					r.Session.Number, remoteVLAN(r.Session), got.Number, remoteVLAN(got))
			}
		}
	})
}

func TestMarkOwned(t *testing.T) {
	st := models.DeviceState{Device: "leaf1", Sessions: []models.Session{
		{Name: "sp-a", Intent: "a liar"}, {Name: "sp-b"}, {Number: 3}, {Name: "sp-c", Number: 3},
	}}
	records := []models.Record{
		{Intent: "b", Session: models.Session{Device: "leaf1", Name: "sp-b"}},
		{Intent: "n", Session: models.Session{Device: "leaf1", Number: 3}},
		{Intent: "a", Session: models.Session{Device: "leaf2", Name: "sp-a"}},
		{Intent: "gone", Session: models.Session{Device: "leaf1", Name: "sp-gone"}},
	}
	got := MarkOwned(st, records)
	want := []models.Session{
		{Device: "leaf1", Name: "sp-a"}, {Device: "leaf1", Name: "sp-b", Intent: "b"},
		{Device: "leaf1", Number: 3, Intent: "n"}, {Device: "leaf1", Name: "sp-c", Number: 3},
	}
	if d := cmp.Diff(want, got.Sessions, plain); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if st.Sessions[0].Intent != "a liar" || st.Sessions[1].Device != "" {
		t.Error("changed its argument")
	}
	by := RecordsByDevice(records)
	if len(by) != 2 || len(by["leaf1"]) != 3 || by["leaf1"][2].Intent != "gone" || len(by["leaf2"]) != 1 {
		t.Errorf("by device: %v", by)
	}
	if d := cmp.Diff(want, MarkOwned(st, by["leaf1"]).Sessions, plain); d != "" {
		t.Errorf("with its own records (-want +got):\n%s", d)
	}
}
