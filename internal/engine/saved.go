package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// plan plans, or checks that a saved plan still holds.
func (r *run) plan(ctx context.Context, t *task, saved *Plan) (*Plan, error) {
	if saved == nil {
		return r.e.plan(ctx, r.conns, t, r.id)
	}
	e := r.e
	then := make(map[models.DeviceID]string)
	for _, d := range saved.Devices {
		then[d.Device] = d.Fingerprint
	}
	now := &Plan{}
	states, failed := e.states(ctx, r.conns, t, now)
	for _, dev := range t.devices {
		if err := failed[dev]; err != nil {
			return nil, err
		}
		if have := plan.Fingerprint(states[dev]); have != then[dev] {
			return nil, moved(dev, ErrMoved)
		}
	}
	if err := r.sameScripts(ctx, t, saved); err != nil {
		return nil, err
	}
	// Ports are no part of the fingerprint: a destination may have come into use.
	removed := func(string) bool { return false }
	found := plan.CheckState(e.c.Network, e.c.Platforms, nil, t.sessions, states, removed, e.c.Policy)
	for _, in := range saved.Intents {
		if end := in.Expires.At; !end.IsZero() && !end.After(e.c.Now()) {
			found = append(found, models.Finding{Intent: in.Name, Rule: "expired",
				Message: fmt.Sprintf("the lease ended at %s: give a later time and plan again", end.Format(time.RFC3339))})
		}
	}
	out := *saved
	out.Findings = append(models.Findings{}, found...)
	if len(found.Errors()) > 0 {
		out.Groups = nil
	}
	return &out, nil
}

func moved(dev models.DeviceID, err error) error {
	return &drivers.Error{Device: dev, Phase: drivers.PhaseVerify, Kind: drivers.Mismatch, Err: err, Hint: "plan again"}
}

// sameScripts refuses a saved plan whose commands are not those that its changes
// come to now. A file can be altered; and an edit's name must be new to its device.
func (r *run) sameScripts(ctx context.Context, t *task, saved *Plan) error {
	edits, err := r.e.c.Store.NextEdits(ctx, r.id, t.devices...)
	if err != nil {
		return err
	}
	for _, g := range saved.Groups {
		for _, w := range g.Waves {
			for _, cp := range w {
				o := drivers.RenderOptions{Tag: tag(cp.Changes, edits[cp.Device]), Within: cp.Script.Within, Facts: t.facts[cp.Device],
					Save: len(cp.Script.Save) > 0}
				if len(cp.Script.Restore) > 0 && o.Within == 0 {
					o.Within = r.e.c.Within // a way back was asked for, and the device has no timer
				}
				s, _, err := r.e.script(ctx, r.conns, t, cp.Changes, o)
				if err != nil {
					return err
				}
				if !sameJSON(s, cp.Script) {
					return moved(cp.Device, fmt.Errorf("%w, or the plan was altered: spanctl would send other commands now", ErrMoved))
				}
				if r.hold > 0 && s.Within > 0 && s.Within != r.hold {
					return fmt.Errorf("%s: the saved plan has the device wait for %s, not for %s: plan again with --way-back %s, or apply with --confirm %s",
						cp.Device, s.Within, r.hold, r.hold, s.Within)
				}
			}
		}
	}
	return nil
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
