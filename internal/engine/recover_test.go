package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// TestKilledAtEveryStep kills the process before and after each write to the store
// that a run makes, and recovers: in time, or after the devices' timers are up.
// Every device must then be as before or as wanted, all of them alike, strangers'
// sessions untouched, and the records must say what the devices hold.
func TestKilledAtEveryStep(t *testing.T) {
	web := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
	wider := spanIntent("web", "leaf1", models.Both, "Ethernet1", "Ethernet2")
	far := rspanIntent("far", "leaf3", "leaf1", "leaf2")
	scenarios := []struct {
		name   string
		had    []models.Intent
		change ApplyRequest
	}{
		{"create on one device", nil, ApplyRequest{Request: Request{Intents: []models.Intent{web}}}},
		{"create on three devices", nil, ApplyRequest{Request: Request{Intents: []models.Intent{far}}}},
		{"update", []models.Intent{web}, ApplyRequest{Request: Request{Intents: []models.Intent{wider}}}},
		{"delete", []models.Intent{web, far}, ApplyRequest{Request: Request{Remove: []string{"far"}}}},
		{"two intents", []models.Intent{far}, ApplyRequest{Request: Request{Intents: []models.Intent{web}, Remove: []string{"far"}}}},
	}
	for _, sc := range scenarios {
		for _, support := range []models.Support{models.Yes, models.Emulated} {
			for _, wait := range []time.Duration{0, time.Hour} {
				t.Run(fmt.Sprintf("%s, way back %s, after %s", sc.name, support, wait), func(t *testing.T) {
					t.Parallel()
					steps := 0
					for n := 1; ; n++ {
						done := false
						for _, after := range []bool{false, true} {
							if killedAt(t, sc.had, sc.change, support, wait, n, after) {
								done = true
							}
						}
						if done {
							break
						}
						steps++
					}
					if steps < 5 {
						t.Errorf("only %d steps were enumerated", steps)
					}
				})
			}
		}
	}
}

// killedAt runs one case. It reports whether the run made fewer than n writes.
func killedAt(t *testing.T, had []models.Intent, change ApplyRequest, support models.Support, wait time.Duration, n int, after bool) bool {
	t.Helper()
	where := fmt.Sprintf("write %d, after it: %v", n, after)
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	s.support = support
	first := s.start(0, false)
	if len(had) > 0 {
		wantOutcome(t, apply(t, first, had...), Applied)
	}
	first.die()
	before := s.texts()

	p := s.start(n, after)
	_, err := p.Apply(t.Context(), change)
	finished := p.st.alive() == nil
	p.die()
	if finished {
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return true
	}
	s.pass(wait)

	q := s.start(0, false)
	rec, err := q.Recover(t.Context(), false)
	if err != nil {
		t.Fatalf("%s: recover: %v", where, err)
	}
	for _, r := range rec {
		if r.Failed() {
			t.Fatalf("%s: recover: %+v", where, r)
		}
	}
	if open, err := q.st.Open(t.Context()); err != nil || len(open) > 0 {
		t.Fatalf("%s: open runs %+v, %v", where, open, err)
	}
	recovered := s.texts()
	drift, err := q.Drift(t.Context(), nil)
	if err != nil || len(drift) > 0 {
		t.Fatalf("%s: records and devices differ: %+v, %v", where, drift, err)
	}

	// What is wanted is what a run without a death makes of it.
	res, err := q.Apply(t.Context(), change)
	if err != nil && !errors.Is(err, ErrMoved) {
		t.Fatalf("%s: %v", where, err)
	}
	wanted := s.texts()
	alike(t, where, change, before, recovered, wanted, res)
	for _, id := range deviceIDs(s.devices) {
		found := false
		for _, name := range s.devices[id].names() {
			found = found || name == "tap"
		}
		if !found {
			t.Fatalf("%s: %s: the stranger's session is gone", where, id)
		}
	}
	return false
}

// alike checks that the devices are all as before or all as wanted. With two
// intents each may be on its own side.
func alike(t *testing.T, where string, change ApplyRequest, before, recovered, wanted map[models.DeviceID]string, res *Result) {
	t.Helper()
	if len(change.Intents)+len(change.Remove) > 1 {
		if res != nil && res.Outcome == InDoubt {
			t.Fatalf("%s: the next run ended in doubt", where)
		}
		return // that no device is between is checked by records, which agree with the devices
	}
	if cmp.Equal(before, recovered) || cmp.Equal(wanted, recovered) {
		return
	}
	t.Fatalf("%s: neither as before (-before +recovered):\n%s\nnor as wanted (-wanted +recovered):\n%s",
		where, cmp.Diff(before, recovered), cmp.Diff(wanted, recovered))
}
