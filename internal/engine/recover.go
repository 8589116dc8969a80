package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Recovered is what became of one interrupted run.
type Recovered struct {
	Run    string        `json:"run"`
	Groups []GroupResult `json:"groups,omitempty"`
	// Note says why a run was left alone.
	Note string `json:"note,omitempty"`
}

// Failed reports whether a device is still in doubt.
func (r Recovered) Failed() bool {
	return slices.ContainsFunc(r.Groups, func(g GroupResult) bool { return g.Outcome == InDoubt })
}

// Recover settles interrupted runs: a group of which a confirmation may have been
// sent is brought to its end, any other back to its beginning. Runs that wait for a
// person (Hold) are left alone until their time is up, unless revertHeld is set.
// runs chooses some; none means all.
func (e *Engine) Recover(ctx context.Context, revertHeld bool, runs ...string) ([]Recovered, error) {
	open, err := e.c.Store.Open(ctx)
	if err != nil {
		return nil, err
	}
	var out []Recovered
	for _, rs := range open {
		if len(runs) > 0 && !slices.Contains(runs, rs.ID) {
			continue
		}
		rec, err := e.recover(ctx, rs, revertHeld)
		if err != nil {
			return out, fmt.Errorf("run %s: %w", rs.ID, err)
		}
		out = append(out, rec)
	}
	for _, id := range runs {
		if !slices.ContainsFunc(open, func(rs store.RunState) bool { return rs.ID == id }) {
			return out, fmt.Errorf("run %s is not open: there is nothing to recover", id)
		}
	}
	return out, nil
}

func (e *Engine) recover(ctx context.Context, rs store.RunState, revertHeld bool) (Recovered, error) {
	rec := Recovered{Run: rs.ID}
	if !rs.Interrupted {
		rec.Note = fmt.Sprintf("is at work (%s@%s pid %d)", rs.User, rs.Host, rs.PID)
		return rec, nil
	}
	r, release, err := e.reopen(ctx, rs)
	if err != nil {
		return rec, err
	}
	defer release()
	held := false
	for _, g := range groupsOf(rs) {
		switch {
		case g.confirming:
			rec.Groups = append(rec.Groups, r.finish(ctx, g))
		case g.held(e.c.Now()) && !revertHeld:
			held = true
		default:
			rec.Groups = append(rec.Groups, r.takeBack(ctx, g))
		}
	}
	if held {
		rec.Note = "waits for a confirmation: use spanctl confirm, or recover --revert"
		return rec, nil
	}
	if rec.Failed() {
		rec.Note = "stays open, since devices are in doubt: run recover again when they can be reached"
		return rec, nil
	}
	return rec, e.c.Store.Finish(ctx, rs.ID, "recovered")
}

// reopen takes the locks of an interrupted run's unsettled devices.
func (e *Engine) reopen(ctx context.Context, rs store.RunState) (*run, func(), error) {
	set := make(map[models.DeviceID]bool)
	for _, en := range rs.Unsettled() {
		set[en.Device] = true
	}
	r := &run{e: e, id: rs.ID, conns: newConns(e.c.Open, e.c.MaxOpen)}
	if len(set) == 0 {
		return r, func() {}, nil
	}
	release, err := e.c.Store.Lock(ctx, rs.ID, e.inventoryOrder(set))
	if err != nil {
		return nil, nil, err
	}
	return r, func() {
		r.conns.closeAll()
		_ = release()
	}, nil
}

// openGroup is an unsettled group of an interrupted run.
type openGroup struct {
	intent     string
	entries    []store.Entry // the latest of each unsettled device, with checkpoint
	confirming bool          // a confirmation was, or may have been, sent
}

func groupsOf(rs store.RunState) []*openGroup {
	byName := make(map[string]*openGroup)
	var out []*openGroup
	for _, en := range rs.Unsettled() {
		g := byName[en.Group]
		if g == nil {
			g = &openGroup{intent: en.Group}
			byName[en.Group] = g
			out = append(out, g)
		}
		g.entries = append(g.entries, en)
	}
	for _, en := range rs.Entries {
		if g := byName[en.Group]; g != nil && en.Step == store.Confirming {
			g.confirming = true
		}
	}
	return out
}

// until gives the time until which the group waits for a person: all its devices
// are verified and say so. nil when it does not wait.
func (g *openGroup) until() *time.Time {
	var first time.Time
	for _, en := range g.entries {
		if en.Step != store.Verified || en.Checkpoint == nil || en.Checkpoint.HeldUntil.IsZero() {
			return nil
		}
		if t := en.Checkpoint.HeldUntil; first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return &first
}

func (g *openGroup) untilText() string {
	if t := g.until(); t != nil {
		return t.Format(time.RFC3339)
	}
	return "an unknown time"
}

// held reports whether the group waits for a person and has time left.
func (g *openGroup) held(now time.Time) bool {
	t := g.until()
	return t != nil && now.Before(*t)
}

func (g *openGroup) result(outcome Outcome, devices []DeviceResult) GroupResult {
	res := GroupResult{Intent: g.intent, Outcome: outcome, Devices: devices}
	for _, d := range devices {
		if d.Outcome == InDoubt {
			res.Outcome, res.Err = InDoubt, d.Err
		}
	}
	return res
}

// takeBack reverts a group, last wave first.
func (r *run) takeBack(ctx context.Context, g *openGroup) GroupResult {
	entries := slices.Clone(g.entries)
	slices.SortStableFunc(entries, func(a, b store.Entry) int { return b.Wave - a.Wave })
	return g.result(Reverted, r.eachEntry(ctx, entries, Reverted, func(ctx context.Context, en store.Entry) error {
		return r.revert(ctx, g.intent, en.Wave, *en.Checkpoint)
	}))
}

// finish brings a group to its end: confirms what still waits, and makes again what
// went back in the meantime.
func (r *run) finish(ctx context.Context, g *openGroup) GroupResult {
	entries := slices.Clone(g.entries)
	slices.SortStableFunc(entries, func(a, b store.Entry) int { return a.Wave - b.Wave })
	devices := r.eachEntry(ctx, entries, Applied, func(ctx context.Context, en store.Entry) error {
		return r.finishDevice(ctx, g.intent, en)
	})
	res := g.result(Applied, devices)
	if res.Outcome == InDoubt {
		return res
	}
	var put []models.Record
	var del []models.SessionID
	var cps []drivers.Checkpoint
	for _, en := range g.entries {
		cps = append(cps, *en.Checkpoint)
		put = append(put, en.Checkpoint.Next...)
		del = append(del, gone(*en.Checkpoint)...)
	}
	done, err := r.write(ctx, cps)
	if err != nil {
		r.e.c.Log.Warn("what was saved is not recorded", "run", r.id, "error", err)
	}
	for i := range res.Devices {
		if err, ok := done[res.Devices[i].Device]; ok {
			res.Devices[i].noteSaved(err)
		}
	}
	if err := r.e.c.Store.Commit(ctx, r.id, g.intent, done.mark(put), del); err != nil {
		res.Outcome, res.Err = InDoubt, err.Error()
	}
	return res
}

// eachEntry runs f for entries, wave by wave, and gives the devices' results. A
// wave whose device fails does not stop the others: each device that can be
// settled is.
func (r *run) eachEntry(ctx context.Context, entries []store.Entry, good Outcome, f func(context.Context, store.Entry) error) []DeviceResult {
	out := make([]DeviceResult, len(entries))
	for from := 0; from < len(entries); {
		to := from
		for to < len(entries) && entries[to].Wave == entries[from].Wave {
			to++
		}
		var devices []models.DeviceID
		for _, en := range entries[from:to] {
			devices = append(devices, en.Device)
		}
		note := func(i int, dev models.DeviceID, err error) {
			out[from+i] = DeviceResult{Device: dev, Outcome: good}
			if err != nil {
				out[from+i] = DeviceResult{Device: dev, Outcome: InDoubt, Err: err.Error()}
			}
		}
		r.e.each(ctx, devices, func(i int, dev models.DeviceID) {
			note(i, dev, f(ctx, entries[from+i]))
		}, note)
		from = to
	}
	return out
}

func (r *run) finishDevice(ctx context.Context, intent string, en store.Entry) error {
	cp := *en.Checkpoint
	if err := r.confirm(ctx, intent, en.Wave, cp); err != nil {
		var de *drivers.Error
		if !errors.As(err, &de) || connectionLost(de) {
			return err
		}
		// Refused, and the device does not show the change: its time was up.
	}
	if err := r.makeAgain(ctx, cp); err != nil {
		return err
	}
	return r.save(ctx, intent, en.Wave, cp, store.Verified, nil)
}

// makeAgain makes what the device does not show of cp, without a timer.
func (r *run) makeAgain(ctx context.Context, cp drivers.Checkpoint) error {
	return r.retry(ctx, cp.Device, func(d drivers.Driver) error {
		st, err := d.Observe(ctx)
		if err != nil {
			return err
		}
		left := plan.Missing(cp.Changes, st)
		if left.Empty() {
			return nil
		}
		again := drivers.Checkpoint{Device: cp.Device, Changes: left}
		if again.Script, err = d.Render(left, drivers.RenderOptions{Tag: "again-" + tag(left, 0), Facts: st.Facts}); err != nil {
			return err
		}
		if err := d.Apply(ctx, again); err != nil {
			return err
		}
		if st, err = d.Observe(ctx); err != nil {
			return err
		}
		if left := plan.Missing(cp.Changes, st); !left.Empty() {
			return &drivers.Error{Device: cp.Device, Phase: drivers.PhaseVerify, Kind: drivers.Mismatch,
				Session: left.Changes[0].Session().Name, Err: errors.New("the device accepted the change and does not show it")}
		}
		return nil
	})
}

// Confirm makes a held run stay. id chooses it; "" takes the only one there is.
func (e *Engine) Confirm(ctx context.Context, id string) (*Result, error) {
	open, err := e.c.Store.Open(ctx)
	if err != nil {
		return nil, err
	}
	var held []store.RunState
	for _, rs := range open {
		gs := groupsOf(rs)
		if (id == "" || rs.ID == id) && rs.Interrupted && len(gs) > 0 &&
			slices.ContainsFunc(gs, func(g *openGroup) bool { return g.until() != nil }) {
			held = append(held, rs)
		}
	}
	switch {
	case len(held) == 0 && id == "":
		return nil, errors.New("no run waits for a confirmation")
	case len(held) == 0:
		return nil, fmt.Errorf("run %s does not wait for a confirmation (see spanctl history)", id)
	case len(held) > 1:
		return nil, fmt.Errorf("%d runs wait for a confirmation: say which, as in spanctl confirm %s", len(held), held[0].ID)
	}
	rs := held[0]
	r, release, err := e.reopen(ctx, rs)
	if err != nil {
		return nil, err
	}
	defer release()
	res := &Result{Run: rs.ID, Outcome: Applied, Plan: &Plan{Version: PlanVersion}}
	for _, g := range groupsOf(rs) {
		if !g.confirming && !g.held(e.c.Now()) {
			return nil, fmt.Errorf("run %s: the time to confirm %s was up at %s; the devices went back: use spanctl recover, then apply again",
				rs.ID, g.intent, g.untilText())
		}
	}
	for _, g := range groupsOf(rs) {
		res.Groups = append(res.Groups, r.finish(ctx, g))
	}
	res.Outcome = overall(res.Groups)
	if res.Outcome == InDoubt {
		return res, nil
	}
	return res, e.c.Store.Finish(ctx, rs.ID, string(Applied))
}
