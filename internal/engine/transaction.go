package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// transaction is the changes of one intent under way.
type transaction struct {
	run    *run
	intent string
	waves  [][]drivers.Checkpoint

	mu        sync.Mutex
	results   map[models.DeviceID]*DeviceResult
	touched   map[models.DeviceID]bool // something was, or may have been, sent
	told      map[models.DeviceID]bool // Progress knows
	confirmed bool                     // the first confirmation was sent: there is only forward now
	reverted  bool
	doubt     bool
}

// forward applies wave by wave, verifies, and confirms. An error before the first
// confirmation takes back what was done.
func (tx *transaction) forward(ctx context.Context) error {
	tx.touched, tx.told = make(map[models.DeviceID]bool), make(map[models.DeviceID]bool)
	for i, wave := range tx.waves {
		if err := tx.all(ctx, wave, func(ctx context.Context, cp drivers.Checkpoint) error {
			return tx.apply(ctx, i, cp)
		}); err != nil {
			return tx.back(ctx, err)
		}
	}
	if tx.run.hold > 0 {
		if !tx.run.e.c.Now().Before(tx.run.until) {
			return tx.back(ctx, fmt.Errorf("the time to confirm was up before the run was done: give --confirm more than %s", tx.run.hold))
		}
		return nil
	}
	return tx.confirm(ctx)
}

// all runs f for the devices of a wave, each when a slot is free, and joins the
// errors.
func (tx *transaction) all(ctx context.Context, wave []drivers.Checkpoint, f func(context.Context, drivers.Checkpoint) error) error {
	devices := make([]models.DeviceID, len(wave))
	for i, cp := range wave {
		devices[i] = cp.Device
	}
	errs := make([]error, len(wave))
	tx.run.e.each(ctx, devices, func(i int, _ models.DeviceID) {
		errs[i] = f(ctx, wave[i])
	}, func(i int, dev models.DeviceID, err error) {
		errs[i] = drivers.WrapError(dev, drivers.PhaseApply, err)
	})
	return joinErrors(errs)
}

// apply brings one device to what is wanted and looks whether it is.
func (tx *transaction) apply(ctx context.Context, wave int, cp drivers.Checkpoint) error {
	r := tx.run
	err := ctx.Err()
	if err == nil {
		err = r.save(ctx, tx.intent, wave, cp, store.Sending, nil)
	}
	if err == nil {
		tx.touch(cp.Device)
		err = r.conns.with(ctx, cp.Device, func(d drivers.Driver) error {
			if err := d.Apply(ctx, cp); err != nil && !settled(ctx, d, cp, err) {
				return err
			}
			return tx.verify(ctx, d, cp)
		})
	}
	err = drivers.WrapError(cp.Device, drivers.PhaseApply, err)
	if err == nil && r.hold > 0 {
		// Else the next entry, Confirming, says as much, and one write less is made.
		err = r.save(ctx, tx.intent, wave, cp, store.Verified, nil)
	}
	if err != nil {
		tx.set(cp.Device, Untouched, err)
	}
	tx.tell(cp.Device, err)
	return err
}

func (tx *transaction) tell(dev models.DeviceID, err error) {
	tx.mu.Lock()
	tx.told[dev] = true
	tx.mu.Unlock()
	tx.run.e.c.Progress.Done(drivers.PhaseApply, dev, err)
}

// skipped tells Progress of the devices whose turn did not come.
func (tx *transaction) skipped() {
	for _, w := range tx.waves {
		for _, cp := range w {
			if !tx.told[cp.Device] {
				tx.tell(cp.Device, errSkipped)
			}
		}
	}
}

// settled looks, after a failure that leaves open whether the script took effect,
// whether it did. It cannot when the connection is gone.
func settled(ctx context.Context, d drivers.Driver, cp drivers.Checkpoint, err error) bool {
	var de *drivers.Error
	if !errors.As(err, &de) || !de.InDoubt || connectionLost(err) {
		return false
	}
	st, oerr := d.Observe(ctx)
	return oerr == nil && plan.Missing(cp.Changes, st).Empty()
}

// verify observes the device and compares.
func (tx *transaction) verify(ctx context.Context, d drivers.Driver, cp drivers.Checkpoint) error {
	st, err := d.Observe(ctx)
	if err != nil {
		err = drivers.WrapError(cp.Device, drivers.PhaseVerify, err)
		var de *drivers.Error
		if errors.As(err, &de) {
			de.Phase = drivers.PhaseVerify
		}
		return err
	}
	if left := plan.Missing(cp.Changes, st); !left.Empty() {
		return &drivers.Error{Device: cp.Device, Phase: drivers.PhaseVerify, Kind: drivers.Mismatch,
			Session: left.Changes[0].Session().Name,
			Err:     fmt.Errorf("the device accepted the change and does not show it: still to %s", left.Changes[0].Op)}
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for _, ch := range cp.Changes.Changes {
		if ch.After == nil {
			continue
		}
		for _, s := range st.Sessions {
			if id := s.ID(); id.Name == ch.After.Name && id.Number == ch.After.ID().Number {
				tx.results[cp.Device].Sessions = append(tx.results[cp.Device].Sessions, s.Status)
			}
		}
	}
	return nil
}

func (tx *transaction) touch(dev models.DeviceID) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.touched[dev] = true
}

func (tx *transaction) set(dev models.DeviceID, o Outcome, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	res := tx.results[dev]
	res.Outcome = o
	if err != nil && res.Err == "" {
		res.Err = err.Error()
	}
}

// back takes the devices back in reverse order of the waves. cause is why; it is
// what the caller reports.
func (tx *transaction) back(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertBudget)
	defer cancel()
	for i := len(tx.waves) - 1; i >= 0; i-- {
		var wave []drivers.Checkpoint
		for _, cp := range tx.waves[i] {
			if tx.touched[cp.Device] {
				wave = append(wave, cp)
			}
		}
		_ = tx.all(ctx, wave, func(ctx context.Context, cp drivers.Checkpoint) error { // errors are in the results
			err := tx.run.revert(ctx, tx.intent, i, cp)
			if err != nil {
				tx.doubtful(cp, err)
				return err
			}
			tx.set(cp.Device, Reverted, nil)
			return nil
		})
	}
	tx.reverted = len(tx.touched) > 0
	return cause
}

// doubtful notes that nobody knows how the device is.
func (tx *transaction) doubtful(cp drivers.Checkpoint, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.doubt = true
	res := tx.results[cp.Device]
	res.Outcome = InDoubt
	text := err.Error()
	if res.Err != "" {
		text = res.Err + "; then " + strings.TrimPrefix(text, string(cp.Device)+": ")
	}
	if cp.Script.Within > 0 && !tx.confirmed {
		text += fmt.Sprintf("; the device goes back by itself within %s", cp.Script.Within)
	}
	res.Err = text
}

// confirm makes the change stay on all devices, and records it. From its first
// message on there is only forward, also for Ctrl-C.
func (tx *transaction) confirm(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return tx.back(ctx, err)
	}
	r := tx.run
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertBudget)
	defer cancel()
	var errs []error
	tx.confirmed = true
	for i, wave := range tx.waves {
		errs = append(errs, tx.all(ctx, wave, func(ctx context.Context, cp drivers.Checkpoint) error {
			err := r.confirm(ctx, tx.intent, i, cp)
			if err != nil && !connectionLost(err) {
				// Refused, and the device does not show the change: its time was up. Another
				// device may be confirmed already, so forward it is.
				if err = drivers.WrapError(cp.Device, drivers.PhaseConfirm, r.makeAgain(ctx, cp)); err == nil {
					err = r.save(ctx, tx.intent, i, cp, store.Verified, nil)
				}
			}
			if err != nil {
				tx.doubtful(cp, err)
			} else {
				tx.set(cp.Device, Applied, nil)
			}
			return err
		}))
	}
	if err := joinErrors(errs); err != nil {
		return err
	}
	put, del := tx.records()
	done, err := r.write(ctx, slices.Concat(tx.waves...))
	if err != nil {
		r.e.c.Log.Warn("what was saved is not recorded", "run", r.id, "error", err)
	}
	for dev, err := range done {
		tx.saved(dev, err)
	}
	if err := r.e.c.Store.Commit(context.WithoutCancel(ctx), r.id, tx.intent, done.mark(put), del); err != nil {
		tx.doubt = true
		return fmt.Errorf("intent %s is applied, but not recorded: %w", tx.intent, err)
	}
	return nil
}

// saved notes how saving went. The change stays as it is.
func (tx *transaction) saved(dev models.DeviceID, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.results[dev].noteSaved(err)
}

func (d *DeviceResult) noteSaved(err error) {
	if d.Saved = err == nil; err != nil {
		d.SaveErr = err.Error()
	}
}

func (tx *transaction) records() (put []models.Record, del []models.SessionID) {
	for _, w := range tx.waves {
		for _, cp := range w {
			put = append(put, cp.Next...)
			del = append(del, gone(cp)...)
		}
	}
	return put, del
}

func (tx *transaction) outcome(err error) Outcome {
	switch {
	case tx.doubt:
		return InDoubt
	case err == nil && tx.run.hold > 0:
		for _, res := range tx.results {
			res.Outcome = Held
		}
		return Held
	case err == nil:
		return Applied
	case tx.reverted:
		return Reverted
	default:
		return Untouched
	}
}

// save writes one step of one device to the journal. The checkpoint goes with the
// first.
func (r *run) save(ctx context.Context, intent string, wave int, cp drivers.Checkpoint, step store.Step, err error) error {
	en := store.Entry{Group: intent, Wave: wave, Device: cp.Device, Step: step}
	if step == store.Sending {
		en.Checkpoint = &cp
	}
	if err != nil {
		en.Err = err.Error()
	}
	return r.e.c.Store.Save(ctx, r.id, en)
}

// attempts is how often going back or confirming is tried over new connections.
const attempts = 3

// retry tries f over new connections while the failure is of a kind that may pass.
func (r *run) retry(ctx context.Context, dev models.DeviceID, f func(drivers.Driver) error) error {
	var err error
	for i := range attempts {
		if i > 0 {
			select {
			case <-time.After(time.Duration(i) * time.Second):
			case <-ctx.Done():
				return err
			}
		}
		err = r.conns.with(ctx, dev, f)
		var de *drivers.Error
		if err == nil || !errors.As(err, &de) || !de.Retryable() {
			return err
		}
		r.conns.reset(dev)
	}
	return err
}

// revert brings one device back to what it was.
func (r *run) revert(ctx context.Context, intent string, wave int, cp drivers.Checkpoint) error {
	if err := r.save(ctx, intent, wave, cp, store.Reverting, nil); err != nil {
		return err
	}
	// The connection may be stuck in the middle of the script that failed.
	r.conns.reset(cp.Device)
	err := r.retry(ctx, cp.Device, func(d drivers.Driver) error { return d.Revert(ctx, cp) })
	err = drivers.WrapError(cp.Device, drivers.PhaseRevert, err)
	if err != nil {
		return errors.Join(err, r.save(ctx, intent, wave, cp, store.InDoubt, err))
	}
	return r.save(ctx, intent, wave, cp, store.Reverted, nil)
}

// confirm makes the change of one device stay.
func (r *run) confirm(ctx context.Context, intent string, wave int, cp drivers.Checkpoint) error {
	if err := r.save(ctx, intent, wave, cp, store.Confirming, nil); err != nil {
		return err
	}
	if len(cp.Script.Confirm) == 0 {
		return nil
	}
	err := r.retry(ctx, cp.Device, func(d drivers.Driver) error {
		cerr := d.Confirm(ctx, cp)
		var de *drivers.Error
		if cerr == nil || !errors.As(cerr, &de) || de.Kind != transport.Rejected {
			return cerr
		}
		// Refused: no timer runs any more. Either an earlier confirmation was heard and
		// only its answer was lost, or the time is up. The device's state tells.
		st, err := d.Observe(ctx)
		if err != nil {
			return err
		}
		if plan.Missing(cp.Changes, st).Empty() {
			return nil
		}
		return cerr
	})
	err = drivers.WrapError(cp.Device, drivers.PhaseConfirm, err)
	if err != nil {
		return errors.Join(err, r.save(ctx, intent, wave, cp, store.InDoubt, err))
	}
	return nil
}
