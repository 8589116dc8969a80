package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Begin implements Journal.
func (d *DB) Begin(ctx context.Context, run Run) error {
	if run.ID == "" {
		return errors.New("a run needs an id")
	}
	if !run.Finished.IsZero() || run.Outcome != "" {
		return fmt.Errorf("run %s: %w", run.ID, ErrFinished)
	}
	me := thisProcess(d.id, d.now())
	run.User = cmp.Or(run.User, me.User)
	run.Host = cmp.Or(run.Host, me.Host)
	run.PID = cmp.Or(run.PID, os.Getpid())
	if run.Started.IsZero() {
		run.Started = me.Seen
	}
	started, err := nanos(run.Started)
	if err != nil {
		return err
	}
	err = d.write(ctx, func(t *tx) error {
		if err := d.register(t, d.now()); err != nil {
			return err
		}
		n, err := t.exec(`INSERT INTO runs (id, command, login, host, pid, process, started, outcome, last_seq)
			VALUES ($1, $2, $3, $4, $5, $6, $7, '', 0) ON CONFLICT (id) DO NOTHING`,
			run.ID, run.Command, run.User, run.Host, run.PID, d.id, started)
		if err == nil && n == 0 {
			err = fmt.Errorf("run %s: %w", run.ID, ErrExists)
		}
		return err
	})
	if err == nil {
		d.startBeating()
	}
	return err
}

// Save implements Journal.
func (d *DB) Save(ctx context.Context, run string, e Entry) error {
	row, err := d.encodeEntry(e)
	if err != nil {
		return fmt.Errorf("run %s: %s of %s: %w", run, e.Device, e.Group, err)
	}
	return d.write(ctx, func(t *tx) error {
		if err := row.write(t, run); err != nil || !e.Step.Touches() {
			return err
		}
		if err := d.mayTouch(t, run, row); err != nil {
			return fmt.Errorf("run %s: %s of %s: %v: %w", run, e.Device, e.Group, e.Step, err)
		}
		return touch(t, run, e.Device)
	})
}

// Commit implements Journal.
func (d *DB) Commit(ctx context.Context, run, group string, put []models.Record, del []models.SessionID) error {
	change, err := encodeRecords(put, del)
	if err != nil {
		return err
	}
	return d.write(ctx, func(t *tx) error {
		if err := runOpen(t, run); err != nil {
			return err
		}
		var st RunState
		if err := scanEntries(t, stepsOf+` AND intent = $2 ORDER BY seq`, []any{run, group}, func(e ExportedEntry) error {
			st.Entries = append(st.Entries, e.Entry)
			return nil
		}); err != nil {
			return err
		}
		for _, e := range st.Latest() {
			if !e.Step.done() {
				continue
			}
			held, err := d.holds(t, e.Device)
			if err != nil {
				return err
			}
			if !held {
				return fmt.Errorf("run %s: %s of %s: commit: %w", run, e.Device, group, ErrNotLocked)
			}
			row, err := d.encodeEntry(Entry{Group: group, Wave: e.Wave, Device: e.Device, Step: Confirmed})
			if err != nil {
				return err
			}
			if err := row.write(t, run); err != nil {
				return err
			}
		}
		return change.write(t)
	})
}

// Finish implements Journal.
func (d *DB) Finish(ctx context.Context, run, outcome string) error {
	return d.write(ctx, func(t *tx) error {
		if err := runOpen(t, run); err != nil {
			return err
		}
		var st RunState
		if err := scanEntries(t, stepsOf+` ORDER BY seq`, []any{run}, func(e ExportedEntry) error {
			st.Entries = append(st.Entries, e.Entry)
			return nil
		}); err != nil {
			return err
		}
		if left := st.Unsettled(); len(left) > 0 {
			return &UnsettledError{Run: run, Entries: left}
		}
		_, err := t.exec(`UPDATE runs SET finished = $2, outcome = $3 WHERE id = $1`, run, d.now().UnixNano(), outcome)
		return err
	})
}

// Open implements Journal.
func (d *DB) Open(ctx context.Context) ([]RunState, error) {
	var out []RunState
	err := d.read(ctx, func(t *tx) (err error) {
		out, err = d.runStates(t, runColumns+` WHERE finished IS NULL ORDER BY started, id`)
		return err
	})
	return out, err
}

// Run implements Journal.
func (d *DB) Run(ctx context.Context, id string) (RunState, error) {
	var out []RunState
	err := d.read(ctx, func(t *tx) (err error) {
		out, err = d.runStates(t, runColumns+` WHERE id = $1`, id)
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("run %s: %w", id, ErrNoRun)
	}
	if err != nil {
		return RunState{}, err
	}
	return out[0], nil
}

// History implements Journal.
func (d *DB) History(ctx context.Context, f Filter) ([]Run, error) {
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	switch {
	case f.Device != "" && f.Intent != "":
		where = append(where, `id IN (SELECT run FROM entries WHERE intent = `+arg(f.Intent)+` AND device = `+arg(string(f.Device))+`)`)
	case f.Device != "":
		where = append(where, `id IN (SELECT run FROM entries WHERE device = `+arg(string(f.Device))+`)`)
	case f.Intent != "":
		where = append(where, `id IN (SELECT run FROM entries WHERE intent = `+arg(f.Intent)+`)`)
	}
	query := runColumns
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, ` AND `)
	}
	query += ` ORDER BY started DESC, id DESC`
	if f.Limit > 0 {
		query += ` LIMIT ` + arg(f.Limit)
	}
	var out []Run
	err := d.read(ctx, func(t *tx) error {
		out = nil
		return scanRuns(t, query, args, func(r Run, _ string) error {
			out = append(out, r)
			return nil
		})
	})
	return out, err
}

// done tells whether the device has what was wanted.
func (s Step) done() bool { return s == Applied || s == Verified || s == Confirming }

func (d *DB) runStates(t *tx, query string, args ...any) ([]RunState, error) {
	all, err := processes(t)
	if err != nil {
		return nil, err
	}
	now := d.now()
	var out []RunState
	err = scanRuns(t, query, args, func(r Run, owner string) error {
		p, known := all[owner]
		out = append(out, RunState{Run: r, Interrupted: r.Finished.IsZero() && (!known || p.dead(d.scope, now, d.lease))})
		return nil
	})
	for i := range out {
		if err != nil {
			break
		}
		err = scanEntries(t, entriesOf+` ORDER BY seq`, []any{out[i].ID}, func(e ExportedEntry) error {
			out[i].Entries = append(out[i].Entries, e.Entry)
			return nil
		})
	}
	return out, err
}

// runOpen is an error where there is no such run, or it is finished.
func runOpen(t *tx, run string) error {
	var finished nanoTime
	found, err := t.row(`SELECT finished FROM runs WHERE id = $1`, []any{run}, &finished)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("run %s: %w", run, ErrNoRun)
	case !time.Time(finished).IsZero():
		return fmt.Errorf("run %s: %w", run, ErrFinished)
	}
	return nil
}

// mayTouch is an error where the device must not be spoken to.
func (d *DB) mayTouch(t *tx, run string, row entryRow) error {
	held, err := d.holds(t, row.e.Device)
	if err != nil {
		return err
	}
	if !held {
		return ErrNotLocked
	}
	if row.checkpoint != nil {
		return nil
	}
	var one int
	found, err := t.row(`SELECT 1 FROM entries WHERE run = $1 AND intent = $2 AND device = $3 AND checkpoint IS NOT NULL LIMIT 1`,
		[]any{run, row.e.Group, string(row.e.Device)}, &one)
	if err == nil && !found {
		err = ErrNoCheckpoint
	}
	return err
}

// entryRow is an entry as the table has it.
type entryRow struct {
	e          Entry
	step       string
	checkpoint any // JSON, or nil
	at         int64
}

func (d *DB) encodeEntry(e Entry) (entryRow, error) {
	if e.Group == "" || e.Device == "" {
		return entryRow{}, errors.New("an entry needs a group and a device")
	}
	step, err := e.Step.MarshalText()
	if err != nil {
		return entryRow{}, err
	}
	if e.At.IsZero() {
		e.At = d.now()
	}
	at, err := nanos(e.At)
	if err != nil {
		return entryRow{}, err
	}
	row := entryRow{e: e, step: string(step), at: at.Int64}
	if e.Checkpoint == nil {
		return row, nil
	}
	if e.Checkpoint.Device != e.Device {
		return row, fmt.Errorf("its checkpoint is one of %q", e.Checkpoint.Device)
	}
	cp, err := withoutSecrets(*e.Checkpoint)
	if err != nil {
		return row, err
	}
	b, err := json.Marshal(cp)
	if err != nil {
		return row, err
	}
	row.checkpoint = string(b)
	return row, nil
}

// write adds the entry to run, which must be open.
func (r entryRow) write(t *tx, run string) error {
	var seq int64
	open, err := t.row(`UPDATE runs SET last_seq = last_seq + 1 WHERE id = $1 AND finished IS NULL RETURNING last_seq`, []any{run}, &seq)
	if err == nil && !open {
		err = runOpen(t, run)
	}
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO entries (run, seq, intent, wave, device, step, checkpoint, err, saved)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		run, seq, r.e.Group, r.e.Wave, string(r.e.Device), r.step, r.checkpoint, r.e.Err, r.at)
	return err
}

// withoutSecrets gives cp with the text of secret steps left out; only the way
// there may have them.
func withoutSecrets(cp drivers.Checkpoint) (drivers.Checkpoint, error) {
	isSecret := func(s transport.Step) bool { return s.Secret }
	for _, steps := range [][]transport.Step{cp.Script.Confirm, cp.Script.Cancel, cp.Script.Discard, cp.Script.Restore, cp.Script.Forget, cp.Script.Save} {
		if slices.ContainsFunc(steps, isSecret) {
			return cp, fmt.Errorf("%w, and the way back would need it", ErrSecret)
		}
	}
	if slices.ContainsFunc(cp.Script.Steps, isSecret) {
		cp.Script.Steps = slices.Clone(cp.Script.Steps)
		for i, s := range cp.Script.Steps {
			cp.Script.Steps[i].Text = s.Redacted()
		}
	}
	return cp, nil
}

const (
	runColumns   = `SELECT id, command, login, host, pid, process, started, finished, outcome FROM runs`
	entryColumns = `SELECT run, intent, wave, device, step, checkpoint, err, saved FROM entries`
	entriesOf    = entryColumns + ` WHERE run = $1`
	// stepsOf is entriesOf without the checkpoints, which are most of the bytes.
	stepsOf = `SELECT run, intent, wave, device, step, NULL, err, saved FROM entries WHERE run = $1`
)

// scanRuns calls f with each run and the process that began it.
func scanRuns(t *tx, query string, args []any, f func(r Run, process string) error) error {
	return t.rows(query, args, func(scan func(...any) error) error {
		var r Run
		var process string
		if err := scan(&r.ID, &r.Command, &r.User, &r.Host, &r.PID, &process,
			(*nanoTime)(&r.Started), (*nanoTime)(&r.Finished), &r.Outcome); err != nil {
			return err
		}
		return f(r, process)
	})
}

func scanEntries(t *tx, query string, args []any, f func(e ExportedEntry) error) error {
	return t.rows(query, args, func(scan func(...any) error) error {
		var e ExportedEntry
		var step string
		var checkpoint []byte
		if err := scan(&e.Run, &e.Group, &e.Wave, &e.Device, &step, &checkpoint, &e.Err, (*nanoTime)(&e.At)); err != nil {
			return err
		}
		if err := e.Step.UnmarshalText([]byte(step)); err != nil {
			return fmt.Errorf("%w: run %s: %w", ErrCorrupt, e.Run, err)
		}
		if checkpoint != nil {
			e.Checkpoint = new(drivers.Checkpoint)
			if err := json.Unmarshal(checkpoint, e.Checkpoint); err != nil {
				return fmt.Errorf("%w: run %s: a checkpoint of %s: %w", ErrCorrupt, e.Run, e.Device, err)
			}
		}
		return f(e)
	})
}
