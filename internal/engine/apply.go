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
)

// ApplyRequest is a request to change devices.
type ApplyRequest struct {
	Request
	// Saved is a plan made before; it is applied as it is, or refused when a device
	// has moved since. The Request's intents are then not looked at.
	Saved *Plan
	// Hold leaves the devices' way back running for so long, until Confirm; 0
	// confirms at once when everything is verified.
	Hold time.Duration
	// Approve is asked before anything is sent; nil approves. It is not asked when
	// there is nothing to do.
	Approve func(*Plan) (bool, error)
	Command string // as typed, for the journal
}

// Outcome is how something ended.
type Outcome string

// Outcomes.
const (
	Applied   Outcome = "applied"   // made, verified and confirmed
	Partial   Outcome = "partial"   // of a run: its intents ended in different ways, each whole; see its groups
	Held      Outcome = "held"      // made and verified; goes back unless confirmed in time
	Unchanged Outcome = "unchanged" // there was nothing to do
	Reverted  Outcome = "reverted"  // failed, and everything is as before
	Untouched Outcome = "untouched" // failed, or was not begun, before anything was sent
	InDoubt   Outcome = "in-doubt"  // see spanctl recover
	Declined  Outcome = "declined"  // the user said no
)

// Result is how a run ended.
type Result struct {
	Run     string        `json:"run,omitempty"` // "" when nothing was to be done
	Outcome Outcome       `json:"outcome"`
	Plan    *Plan         `json:"plan"`
	Groups  []GroupResult `json:"groups,omitempty"` // in the order of the plan
	Held    time.Time     `json:"heldUntil,omitzero"`
}

// GroupResult is how the changes of one intent ended.
type GroupResult struct {
	Intent  string         `json:"intent"`
	Outcome Outcome        `json:"outcome"`
	Err     string         `json:"err,omitempty"` // why, when it is not Applied or Held
	Devices []DeviceResult `json:"devices,omitempty"`
}

// DeviceResult is how one device ended in a group.
type DeviceResult struct {
	Device   models.DeviceID `json:"device"`
	Outcome  Outcome         `json:"outcome"`
	Err      string          `json:"err,omitempty"`
	Sessions []models.Status `json:"sessions,omitempty"` // of the changed sessions, after
	Saved    bool            `json:"saved,omitempty"`    // written to the configuration that the device boots with
	SaveErr  string          `json:"saveErr,omitempty"`  // why not, where it was to be
}

// Failed reports whether not all was done that was asked.
func (r *Result) Failed() bool {
	switch r.Outcome {
	case Applied, Held, Unchanged:
		return r.Plan.Failed() || len(r.Unsaved()) > 0
	}
	return true
}

// Unsaved gives the devices that hold the change and did not write it to the
// configuration that they boot with, though they were to.
func (r *Result) Unsaved() []DeviceResult {
	var out []DeviceResult
	for _, g := range r.Groups {
		for _, d := range g.Devices {
			if d.SaveErr != "" {
				out = append(out, d)
			}
		}
	}
	return out
}

// Apply locks, observes, plans, asks, and carries out. An error means that nothing
// was sent; what happened after that is in the result.
func (e *Engine) Apply(ctx context.Context, req ApplyRequest) (*Result, error) {
	t, err := e.task(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(t.devices) == 0 {
		p, err := e.plan(ctx, newConns(e.c.Open, e.c.MaxOpen), t, "")
		return &Result{Outcome: outcomeOf(p), Plan: p}, err
	}
	r := &run{e: e, id: store.NewRunID(e.c.Now()), hold: req.Hold, conns: newConns(e.c.Open, e.c.MaxOpen)}
	defer r.conns.closeAll()
	release, err := e.c.Store.Lock(ctx, r.id, t.devices)
	if err != nil {
		return nil, err
	}
	defer func() { _ = release() }() // what it could report is that another took over: too late to act on
	if err := e.noneOpen(ctx, t.devices); err != nil {
		return nil, err
	}
	if req.Hold > 0 {
		t.req.Within = req.Hold
	}
	p, err := r.plan(ctx, t, req.Saved)
	if err != nil {
		return nil, err
	}
	res := &Result{Outcome: outcomeOf(p), Plan: p}
	if p.Empty() && len(p.Renew) == 0 && len(p.Gone) == 0 {
		return res, nil
	}
	if !p.Empty() && req.Approve != nil {
		asked := e.c.Now()
		ok, err := req.Approve(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			res.Outcome = Declined
			return res, nil
		}
		// A person took time, in which others may have worked on the devices.
		if e.c.Now().Sub(asked) > fresh {
			if p, err = r.plan(ctx, t, p); err != nil {
				return nil, err
			}
			if res = (&Result{Outcome: outcomeOf(p), Plan: p}); p.Empty() {
				return res, nil
			}
		}
	}
	if err := e.c.Store.Apply(ctx, p.Renew, p.Gone); err != nil {
		return nil, err
	}
	if p.Empty() {
		return res, nil
	}
	res.Run = r.id
	if err := e.c.Store.Begin(ctx, store.Run{ID: r.id, Command: req.Command, User: e.c.User}); err != nil {
		return nil, err
	}
	r.execute(ctx, p, res)
	return res, nil
}

// fresh is how long an observation counts as the state of a device.
const fresh = 3 * time.Second

func outcomeOf(p *Plan) Outcome {
	if p == nil || p.Failed() {
		return Untouched
	}
	return Unchanged
}

func (e *Engine) task(ctx context.Context, req ApplyRequest) (*task, error) {
	if req.Saved == nil {
		return e.resolve(ctx, req.Request)
	}
	if req.Saved.Version != PlanVersion {
		return nil, fmt.Errorf("the plan has version %d; this spanctl knows version %d: plan again", req.Saved.Version, PlanVersion)
	}
	t := &task{}
	set := make(map[models.DeviceID]bool)
	for _, g := range req.Saved.Groups {
		for _, w := range g.Waves {
			for _, cp := range w {
				set[cp.Device] = true
				for _, ch := range cp.Changes.Changes {
					if ch.After != nil {
						t.sessions = append(t.sessions, *ch.After)
					}
				}
			}
		}
	}
	t.devices = e.inventoryOrder(set)
	if len(t.devices) == 0 {
		return t, nil
	}
	var err error
	t.records, err = e.c.Store.Records(ctx, t.devices...)
	return t, err
}

// noneOpen refuses devices on which an earlier run is not settled.
func (e *Engine) noneOpen(ctx context.Context, devices []models.DeviceID) error {
	runs, err := e.c.Store.Open(ctx)
	if err != nil {
		return err
	}
	mine := make(map[models.DeviceID]bool, len(devices))
	for _, d := range devices {
		mine[d] = true
	}
	for _, rs := range runs {
		for _, en := range rs.Unsettled() {
			if !mine[en.Device] {
				continue
			}
			if cp := en.Checkpoint; cp != nil && en.Step == store.Verified && cp.HeldUntil.After(e.c.Now()) {
				return fmt.Errorf("%s: run %s waits for a confirmation until %s: use spanctl confirm, or spanctl recover --revert, first",
					en.Device, rs.ID, cp.HeldUntil.Format(time.TimeOnly))
			}
			return fmt.Errorf("%s: run %s was interrupted and is not settled (%s): use spanctl recover first", en.Device, rs.ID, en.Step)
		}
	}
	return nil
}

// run is one execution of a plan.
type run struct {
	e     *Engine
	id    string
	hold  time.Duration
	until time.Time // of a held run
	conns *conns
}

// errSkipped is what Progress hears of devices whose turn does not come.
var errSkipped = errors.New("not begun")

// execute carries out the groups. Groups that share no device and no RSPAN VLAN run
// at the same time; of those that share one, the earlier goes first.
func (r *run) execute(ctx context.Context, p *Plan, res *Result) {
	if r.hold > 0 {
		r.until = r.e.c.Now().Add(r.hold)
		res.Held = r.until
	}
	n := 0
	for _, g := range p.Groups {
		for _, w := range g.Waves {
			n += len(w)
		}
	}
	r.e.c.Progress.Start(drivers.PhaseApply, n)
	res.Groups = make([]GroupResult, len(p.Groups))
	done := make([]chan struct{}, len(p.Groups))
	last := make(map[shared]int) // the latest group of each
	// More groups than devices at once, since some wait for others. They wait for
	// earlier ones only, so that some group can always go on.
	slots := make(chan struct{}, 2*cap(r.e.slots))
	for i := range p.Groups {
		g := &p.Groups[i]
		done[i] = make(chan struct{})
		var before []int
		for _, s := range g.shares() {
			if j, ok := last[s]; ok && j != i && !slices.Contains(before, j) {
				before = append(before, j)
			}
			last[s] = i
		}
		slots <- struct{}{}
		go func() {
			defer func() { close(done[i]); <-slots }()
			for _, j := range before {
				<-done[j]
				if out := res.Groups[j]; stops(p.Groups[j], out) {
					res.Groups[i] = GroupResult{Intent: g.Intent, Outcome: Untouched,
						Err: fmt.Sprintf("intent %s, which comes first on a device or VLAN they share, ended %s", out.Intent, out.Outcome)}
					for _, dev := range g.devices() {
						r.e.c.Progress.Done(drivers.PhaseApply, dev, errSkipped)
					}
					return
				}
			}
			res.Groups[i] = r.group(ctx, *g, p.info(g.Intent))
		}()
	}
	for i := range done {
		<-done[i]
	}
	res.Outcome = overall(res.Groups)
	if slices.ContainsFunc(res.Groups, func(g GroupResult) bool { return g.Outcome == Held }) {
		return // open until it is confirmed or lapses
	}
	res.Held = time.Time{}
	if err := r.e.c.Store.Finish(context.WithoutCancel(ctx), r.id, string(res.Outcome)); err != nil {
		if !isUnsettled(err) {
			r.e.c.Log.Warn("run stays open", "run", r.id, "error", err)
			return
		}
		res.Outcome = InDoubt // the devices' results say why
	}
}

func isUnsettled(err error) bool {
	var u *store.UnsettledError
	return errors.As(err, &u)
}

// stops reports whether a later group on the same device may not go on: what it
// counts on may not be there.
func stops(g Group, out GroupResult) bool {
	switch out.Outcome {
	case Applied, Held:
		return false
	case InDoubt:
		return true
	}
	for _, w := range g.Waves {
		for _, cp := range w {
			for _, ch := range cp.Changes.Changes {
				if ch.Before != nil {
					return true // a port, number or VLAN may have been to become free
				}
			}
		}
	}
	return false
}

// overall is what all groups came to, InDoubt if one did.
func overall(groups []GroupResult) Outcome {
	out := Applied
	for i, g := range groups {
		switch {
		case g.Outcome == InDoubt:
			return InDoubt
		case i == 0:
			out = g.Outcome
		case g.Outcome != out:
			out = Partial
		}
	}
	return out
}

// shared is what groups that follow each other may both need: a device, or an RSPAN
// VLAN, which all devices share.
type shared struct {
	device models.DeviceID
	vlan   uint16
}

func (g Group) shares() []shared {
	var out []shared
	for _, w := range g.Waves {
		for _, cp := range w {
			out = append(out, shared{device: cp.Device})
			for _, ch := range cp.Changes.Changes {
				for _, s := range []*models.Session{ch.Before, ch.After} {
					if s != nil && s.Destination.VLAN != 0 {
						out = append(out, shared{vlan: s.Destination.VLAN})
					}
				}
			}
		}
	}
	return out
}

func (g Group) devices() []models.DeviceID {
	var out []models.DeviceID
	for _, w := range g.Waves {
		for _, cp := range w {
			out = append(out, cp.Device)
		}
	}
	return out
}

// revertBudget bounds the way back after a failure or Ctrl-C.
const revertBudget = time.Minute

// group carries out the changes of one intent: all or none.
func (r *run) group(ctx context.Context, g Group, info IntentInfo) GroupResult {
	tx := &transaction{run: r, intent: g.Intent, results: make(map[models.DeviceID]*DeviceResult)}
	for _, w := range g.Waves {
		wave := make([]drivers.Checkpoint, len(w))
		for i, cp := range w {
			if cp.Next == nil { // a rollback brings its own
				cp.Next = r.next(cp, info)
			}
			cp.HeldUntil = r.until
			wave[i] = cp
			tx.results[cp.Device] = &DeviceResult{Device: cp.Device, Outcome: Untouched}
		}
		tx.waves = append(tx.waves, wave)
	}
	err := tx.forward(ctx)
	tx.skipped()
	out := GroupResult{Intent: g.Intent, Outcome: tx.outcome(err)}
	if err != nil {
		out.Err = err.Error()
	}
	for _, w := range tx.waves {
		for _, cp := range w {
			out.Devices = append(out.Devices, *tx.results[cp.Device])
		}
	}
	r.e.c.Log.Info("group ended", "run", r.id, "intent", g.Intent, "outcome", out.Outcome, "error", out.Err)
	return out
}

// next gives the records that hold once cp is confirmed.
func (r *run) next(cp drivers.Checkpoint, info IntentInfo) []models.Record {
	prior := make(map[models.SessionID]models.Record, len(cp.Prior))
	for _, rec := range cp.Prior {
		prior[rec.ID()] = rec
	}
	var out []models.Record
	for _, ch := range cp.Changes.Changes {
		if ch.After == nil {
			continue
		}
		rec := record(*ch.After, info, prior[ch.After.ID()], r.e.c.Now())
		rec.Run = r.id
		out = append(out, rec)
	}
	return out
}

// gone gives the identities that cp takes away for good.
func gone(cp drivers.Checkpoint) []models.SessionID {
	stays := make(map[models.SessionID]bool)
	for _, ch := range cp.Changes.Changes {
		if ch.After != nil {
			stays[ch.After.ID()] = true
		}
	}
	var out []models.SessionID
	for _, ch := range cp.Changes.Changes {
		if ch.Before != nil && !stays[ch.Before.ID()] {
			out = append(out, ch.Before.ID())
		}
	}
	return out
}
