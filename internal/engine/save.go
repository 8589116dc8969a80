package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// SaveMode says what is written to the configuration that a device boots with.
type SaveMode string

// Save modes. The zero value means SaveAuto.
const (
	// SaveAuto saves sessions that never expire, and removals of what was saved.
	// Sessions with a lease end with a reboot.
	SaveAuto   SaveMode = "auto"
	SaveAlways SaveMode = "always"
	SaveNever  SaveMode = "never"
)

// saves tells whether the device is to save after cs. kept are sessions that were
// saved before a run that is taken back.
func (e *Engine) saves(t *task, p *Plan, cs models.ChangeSet) bool {
	pl := e.c.Platforms(cs.Device)
	if pl == nil || !pl.Capabilities().Saves {
		return false
	}
	switch t.req.Save {
	case SaveAlways:
		return true
	case SaveNever:
		return false
	}
	saved := make(map[models.SessionID]bool)
	for _, r := range t.records {
		if r.Saved {
			saved[r.ID()] = true
		}
	}
	for _, ch := range cs.Changes {
		if ch.Before != nil && saved[ch.Before.ID()] {
			return true
		}
		if ch.After == nil {
			continue
		}
		if t.kept[ch.After.ID()] {
			return true
		}
		for _, in := range p.Intents {
			if in.Name == ch.After.Intent && in.Expires.Deadline(e.c.Now()).IsZero() {
				return true
			}
		}
	}
	return false
}

// saveNote says what goes along when a device saves: its whole configuration.
func saveNote(intent string, dev models.DeviceID, t *task) plan.Note {
	text := "the running configuration is saved as a whole: what others changed and did not save goes along"
	leased := 0
	for _, r := range t.records {
		if r.Session.Device == dev && !r.Saved && !r.Expires.IsZero() {
			leased++
		}
	}
	if leased > 0 {
		text += fmt.Sprintf(", and so do spanctl's sessions with a lease (%d), whose removal is then saved, too", leased)
	}
	return plan.Note{Intent: intent, Device: dev, Text: text}
}

// saveBudget bounds the saving after a change: large switches take half a minute.
const saveBudget = 2 * time.Minute

// saved is how saving went, by device: nil where it did. Devices that were not to
// save are not in it.
type saved map[models.DeviceID]error

// write lets the devices of cps save, and notes it in the records of all sessions
// there, since the whole configuration is written. A failure leaves the change as it
// is.
func (r *run) write(ctx context.Context, cps []drivers.Checkpoint) (saved, error) {
	var asked []drivers.Checkpoint
	var devices []models.DeviceID
	for _, cp := range cps {
		if len(cp.Script.Save) > 0 {
			asked = append(asked, cp)
			devices = append(devices, cp.Device)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveBudget)
	defer cancel()
	errs := make([]error, len(asked))
	r.e.each(ctx, devices, func(i int, dev models.DeviceID) {
		errs[i] = drivers.WrapError(dev, drivers.PhaseSave, r.retry(ctx, dev, func(d drivers.Driver) error { return drivers.Save(ctx, d, asked[i]) }))
	}, func(i int, dev models.DeviceID, err error) {
		errs[i] = drivers.WrapError(dev, drivers.PhaseSave, err)
	})
	out := make(saved)
	var done []models.DeviceID
	for i, dev := range devices {
		if out[dev] = errs[i]; errs[i] == nil {
			done = append(done, dev)
		}
	}
	if len(done) == 0 {
		return out, nil
	}
	records, err := r.e.c.Store.Records(ctx, done...)
	if err != nil {
		return out, err
	}
	var put []models.Record
	for _, rec := range records {
		if !rec.Saved {
			rec.Saved = true
			put = append(put, rec)
		}
	}
	return out, r.e.c.Store.Apply(ctx, put, nil)
}

// mark notes in records that hold from now on what was saved.
func (s saved) mark(records []models.Record) []models.Record {
	out := make([]models.Record, len(records))
	for i, rec := range records {
		if err, ok := s[rec.Session.Device]; ok && err == nil {
			rec.Saved = true
		}
		out[i] = rec
	}
	return out
}
