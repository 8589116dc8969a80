package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// boots gives the names of our sessions that the device would boot with.
func (d *fakeDevice) boots() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, s := range d.startup {
		if s.Name != foreignSession().Name {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

func lasting(name string, expires models.Expiry, port string) models.Intent {
	in := spanIntent(name, "leaf1", models.Rx, port)
	in.Spec.Expires = expires
	in.Spec.Destination.Interface.Name = "Ethernet4" + strings.TrimPrefix(port, "Ethernet") // one for each source
	return in
}

var twoHours = models.Expiry{After: 2 * time.Hour}

// TestSave follows what is saved from one run to the next.
func TestSave(t *testing.T) {
	type step struct {
		name  string
		make  []models.Intent
		rm    []string
		mode  SaveMode
		fail  bool     // the device refuses to save
		saved bool     // it is asked to
		boots []string // with, afterwards
	}
	leased, never := lasting("leased", twoHours, "Ethernet1"), lasting("never", models.NeverExpires, "Ethernet2")
	tests := []struct {
		name  string
		steps []step
	}{
		{"a lease ends with a reboot", []step{
			{name: "make", make: []models.Intent{leased}},
			{name: "remove", rm: []string{"leased"}},
		}},
		{"what never expires is kept, and its removal", []step{
			{name: "make", make: []models.Intent{never}, saved: true, boots: []string{"sp-never"}},
			{name: "remove", rm: []string{"never"}, saved: true},
		}},
		{"always", []step{
			{name: "make", make: []models.Intent{leased}, mode: SaveAlways, saved: true, boots: []string{"sp-leased"}},
			{name: "remove, as it was saved", rm: []string{"leased"}, saved: true},
		}},
		{"never", []step{
			{name: "make", make: []models.Intent{never}, mode: SaveNever},
			{name: "remove, as it was not saved", rm: []string{"never"}},
		}},
		{"never, though it was saved", []step{
			{name: "make", make: []models.Intent{never}, saved: true, boots: []string{"sp-never"}},
			{name: "remove", rm: []string{"never"}, mode: SaveNever, boots: []string{"sp-never"}},
		}},
		{"a lease goes along, and its removal is saved then", []step{
			{name: "lease", make: []models.Intent{leased}},
			{name: "never", make: []models.Intent{never}, saved: true, boots: []string{"sp-leased", "sp-never"}},
			{name: "remove the lease", rm: []string{"leased"}, saved: true, boots: []string{"sp-never"}},
		}},
		{"a change of what was saved", []step{
			{name: "never", make: []models.Intent{never}, saved: true, boots: []string{"sp-never"}},
			{name: "with a lease now", make: []models.Intent{lasting("never", twoHours, "Ethernet3")}, saved: true, boots: []string{"sp-never"}},
		}},
		{"a save that fails", []step{
			{name: "make", make: []models.Intent{never}, saved: true, fail: true},
			{name: "remove, as it was not saved", rm: []string{"never"}},
		}},
		{"a save of a removal that fails", []step{
			{name: "make", make: []models.Intent{never}, saved: true, boots: []string{"sp-never"}},
			{name: "remove", rm: []string{"never"}, saved: true, fail: true, boots: []string{"sp-never"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSite(t, "leaf1")
			p := s.start(0, false)
			d := s.devices["leaf1"]
			for _, st := range tt.steps {
				if st.fail {
					d.fail["save"] = &transport.Error{Kind: transport.Rejected, Reply: "% no space left"}
				}
				res, err := p.Apply(t.Context(), ApplyRequest{Request: Request{Intents: st.make, Remove: st.rm, Save: st.mode}})
				if err != nil {
					t.Fatalf("%s: %v", st.name, err)
				}
				wantOutcome(t, res, Applied)
				got := res.Groups[0].Devices[0]
				if got.Saved != (st.saved && !st.fail) || (got.SaveErr != "") != st.fail || res.Failed() != st.fail {
					t.Errorf("%s: result %+v, failed %v", st.name, got, res.Failed())
				}
				if st.fail && !strings.Contains(got.SaveErr, "leaf1: save: rejected") {
					t.Errorf("%s: %s", st.name, got.SaveErr)
				}
				if d := cmp.Diff(st.boots, d.boots()); d != "" {
					t.Errorf("%s: it boots with (-want +got):\n%s", st.name, d)
				}
				if told := slices.ContainsFunc(res.Plan.Notes, func(n plan.Note) bool { return strings.Contains(n.Text, "saved as a whole") }); told != st.saved {
					t.Errorf("%s: the plan says that all is saved: %v", st.name, told)
				}
			}
		})
	}
}

// TestSaveHeld: a run that waits for a person saves when it is confirmed, not before.
func TestSaveHeld(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p := s.start(0, false)
	d := s.devices["leaf1"]
	res, err := p.Apply(t.Context(), ApplyRequest{Hold: time.Hour, Request: Request{Intents: []models.Intent{lasting("never", models.NeverExpires, "Ethernet1")}}})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Held)
	if got := d.boots(); len(got) > 0 {
		t.Errorf("it boots with %v before the confirmation", got)
	}
	p.die()
	p = s.start(0, false)
	if res, err = p.Confirm(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if dev := res.Groups[0].Devices[0]; !dev.Saved || len(d.boots()) != 1 {
		t.Errorf("result %+v; it boots with %v", dev, d.boots())
	}
	wantOutcome(t, remove(t, p, "never"), Applied)
	if got := d.boots(); len(got) > 0 {
		t.Errorf("after the removal it boots with %v", got)
	}
}

// TestSaveRollback: what is taken back is saved where it was saved before.
func TestSaveRollback(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p := s.start(0, false)
	d := s.devices["leaf1"]
	wantOutcome(t, apply(t, p, lasting("never", models.NeverExpires, "Ethernet1")), Applied)
	res := remove(t, p, "never")
	back, err := p.RollbackPlan(t.Context(), res.Run)
	if err != nil {
		t.Fatal(err)
	}
	if res, err = p.Apply(t.Context(), ApplyRequest{Saved: back}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	if got := d.boots(); len(got) != 1 {
		t.Errorf("after the rollback it boots with %v", got)
	}
}

// TestSavedPlanSaves: a plan that was made before saves as it says.
func TestSavedPlanSaves(t *testing.T) {
	for _, mode := range []SaveMode{SaveAuto, SaveAlways, SaveNever} {
		s := newFakeSite(t, "leaf1")
		p := s.start(0, false)
		made, err := p.Plan(t.Context(), Request{Intents: []models.Intent{lasting("leased", models.Expiry{At: s.now().Add(time.Hour)}, "Ethernet1")}, Save: mode})
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.Apply(t.Context(), ApplyRequest{Saved: made})
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if got := res.Groups[0].Devices[0].Saved; got != (mode == SaveAlways) {
			t.Errorf("%s: saved %v", mode, got)
		}
	}
}

// TestSaveKilled: wherever spanctl dies, recover brings the device and what it boots
// with to one and the same, and the record says so.
func TestSaveKilled(t *testing.T) {
	for n := 1; ; n++ {
		s := newFakeSite(t, "leaf1")
		p := s.start(n, n%2 == 0)
		_, err := p.Apply(t.Context(), ApplyRequest{Request: Request{Intents: []models.Intent{lasting("never", models.NeverExpires, "Ethernet1")}}})
		whole := p.st.alive() == nil
		p.die()
		p = s.start(0, false)
		if _, err := p.Recover(t.Context(), false); err != nil {
			t.Fatalf("killed at write %d: %v", n, err)
		}
		records, rerr := p.st.Records(t.Context())
		if rerr != nil {
			t.Fatal(rerr)
		}
		d := s.devices["leaf1"]
		there := slices.Contains(d.names(), "sp-never")
		if there != (len(d.boots()) == 1) || there != (len(records) == 1) || there && !records[0].Saved {
			t.Errorf("killed at write %d: there %v, it boots with %v, records %+v", n, there, d.boots(), records)
		}
		if whole {
			if err != nil || !there || n < 4 {
				t.Errorf("after %d writes: %v, there %v", n, err, there)
			}
			return
		}
	}
}
