package drivertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// save writes a change to the configuration that the device boots with, where the
// platform says that it can, and sees it refused.
func save(t *testing.T, s Subject) {
	r := newRig(t, s)
	before := r.session(0, func(*models.Session) {})
	script := func(want []models.Session, asked bool) drivers.Checkpoint {
		st := r.observe()
		cs := plan.Diff(want, st, r.caps.Grain, func(string) bool { return true })
		sc, err := r.d.Render(cs, drivers.RenderOptions{Tag: r.tag(), Facts: st.Facts, Save: asked})
		if err != nil {
			t.Fatalf("render: %v", err)
		}
		if want := asked && r.caps.Saves; (len(sc.Save) > 0) != want {
			t.Errorf("asked to save: %v; the script saves by %+v", asked, sc.Save)
		}
		return drivers.Checkpoint{Device: r.p.Device, Changes: cs, Script: sc}
	}
	script([]models.Session{before}, false)
	cp := script([]models.Session{before}, true)
	if !r.caps.Saves {
		return
	}
	if r.p.Saved == nil {
		t.Fatal("the subject does not tell what the device boots with, and saving is claimed")
	}
	r.apply(cp)
	if r.p.Saved() {
		t.Error("the change is saved, and nothing was asked for yet")
	}
	step := cp.Script.Save[len(cp.Script.Save)-1]
	r.p.Refuse(step.Text)
	var de *drivers.Error
	if err := drivers.Save(t.Context(), r.d, cp); !errors.As(err, &de) || de.Phase != drivers.PhaseSave || de.Kind != transport.Rejected || de.Command != strings.TrimSpace(step.Text) {
		t.Errorf("the device refuses to save, and the error is %v", err)
	}
	if r.p.Saved() {
		t.Error("it was refused, and it is saved")
	}
	r.p.ResetWire()
	if err := drivers.Save(t.Context(), r.d, cp); err != nil {
		t.Errorf("save: %v", err)
	}
	r.wire(cp.Script.Save)
	if !r.p.Saved() {
		t.Error("the device said that it saved, and boots with something else")
	}
}
