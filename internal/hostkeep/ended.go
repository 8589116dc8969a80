package hostkeep

import (
	"context"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// Journal is what EndedLeases reads.
type Journal interface {
	Records(ctx context.Context, devices ...models.DeviceID) ([]models.Record, error)
	Run(ctx context.Context, id string) (store.RunState, error)
	History(ctx context.Context, f store.Filter) ([]store.Run, error)
}

// EndedLeases finds the intents among those given that have no record on dev because
// their lease ended, and the record that each had. What took them away, or what made
// them where they vanished with a reboot, is read from the journal.
func EndedLeases(ctx context.Context, j Journal, dev models.DeviceID, intents []models.Intent) (map[string]models.Record, error) {
	records, err := j.Records(ctx, dev)
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool, len(records))
	for _, r := range records {
		have[r.Intent] = true
	}
	out := make(map[string]models.Record)
	for _, in := range intents {
		name := in.Metadata.Name
		if have[name] || in.Spec.Expires.After == 0 {
			continue
		}
		r, ok, err := lastLease(ctx, j, dev, name)
		if err != nil {
			return nil, err
		}
		if ok {
			out[name] = r
		}
	}
	return out, nil
}

// lastLease gives the last record of an intent if its lease was what ended it.
func lastLease(ctx context.Context, j Journal, dev models.DeviceID, intent string) (models.Record, bool, error) {
	runs, err := j.History(ctx, store.Filter{Device: dev, Intent: intent})
	if err != nil {
		return models.Record{}, false, err
	}
	for _, run := range runs {
		rs, err := j.Run(ctx, run.ID)
		if err != nil {
			return models.Record{}, false, err
		}
		for _, e := range rs.Latest() {
			if e.Group != intent || e.Device != dev || e.Step != store.Confirmed || e.Checkpoint == nil {
				continue
			}
			if next := e.Checkpoint.Next; len(next) > 0 {
				// Made or changed, and gone since without a run: what the host lost in a reboot
				// was forgotten when its lease ended.
				return next[0], !next[0].Expires.IsZero(), nil
			}
			for _, prior := range e.Checkpoint.Prior {
				return prior, prior.Due(e.At), nil
			}
		}
	}
	return models.Record{}, false, nil
}
