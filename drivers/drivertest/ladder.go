package drivertest

import (
	"testing"

	"github.com/spanctl/spanctl/models"
)

// ladder climbs a ladder of wanted states and comes down to nothing.
func ladder(t *testing.T, s Subject) {
	r := newRig(t, s)
	second := models.Rx // the other direction, as far as there is one
	switch {
	case r.caps.Has(models.FeatureBoth):
		second = models.Both
	case r.caps.Has(models.FeatureTx):
		second = models.Tx
	}
	other := models.Rx
	if r.caps.Has(models.FeatureTx) {
		other = models.Tx
	}
	a := r.session(0, func(s *models.Session) { s.Sources[0].Direction = models.Rx })
	direction := r.session(0, func(s *models.Session) { s.Sources[0].Direction = second })
	two := func(other models.Direction) models.Session {
		return r.session(0, func(s *models.Session) { s.Sources = []models.Source{r.source(0, second), r.source(1, other)} })
	}
	sources := two(other)
	if len(s.Planner.Check(sources)) > 0 { // a platform whose sessions have one direction
		sources = two(second)
	}
	b := r.session(1, func(s *models.Session) { s.Sources = []models.Source{r.source(2, models.Rx)} })
	// The destinations change places: each must be free before it is taken.
	moved := r.session(0, func(s *models.Session) { s.Sources, s.Destination = sources.Sources, r.to(1) })
	movedB := r.session(1, func(s *models.Session) { s.Sources, s.Destination = b.Sources, r.to(0) })

	rungs := []struct {
		name string
		want []models.Session
	}{
		{"create", []models.Session{a}},
		{"direction", []models.Session{direction}},
		{"second source", []models.Session{sources}},
		{"second session", []models.Session{sources, b}},
		{"other destination", []models.Session{moved, movedB}},
		{"drop one", []models.Session{movedB}},
		{"empty", nil},
	}
	for _, rung := range rungs {
		ok := t.Run(rung.name, func(t *testing.T) {
			r.t = t
			r.reach(rung.want...)
			r.frames(rung.want)
		})
		r.t = t
		if !ok {
			return // what follows would only repeat it
		}
	}
	r.untouched("at the foot of the ladder")
}

// Numbers of frames that make every direction give another number of copies.
const (
	rxFrames = 3
	txFrames = 5
)

// frames counts the copies of every source of want, and of a port that is none.
func (r *rig) frames(want []models.Session) {
	r.t.Helper()
	if r.p.Frames == nil {
		return
	}
	mirrored := make(map[string]bool)
	for _, s := range want {
		for _, src := range s.Sources {
			mirrored[src.Name] = true
			copies := map[models.Direction]int{models.Rx: rxFrames, models.Tx: txFrames, models.Both: rxFrames + txFrames}[src.Direction]
			for _, to := range s.Destination.Ports {
				if got := r.p.Frames(r.t, src.Name, rxFrames, txFrames, to); got != copies {
					r.t.Errorf("%s received %d and sent %d frames, mirrored %s: %d copies came out of %s; want %d",
						src.Name, rxFrames, txFrames, src.Direction, got, to, copies)
				}
			}
		}
	}
	for _, port := range r.p.Ports.Sources {
		if mirrored[port] {
			continue
		}
		for _, to := range r.p.Ports.Destinations {
			if got := r.p.Frames(r.t, port, rxFrames, txFrames, to); got != 0 {
				r.t.Errorf("%s is not mirrored, but %d copies came out of %s", port, got, to)
			}
		}
		return // one such port tells
	}
}
