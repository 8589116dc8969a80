package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// SessionStatus is one session of one device.
type SessionStatus struct {
	Device  models.DeviceID `json:"device"`
	Session models.Session  `json:"session"`
	Whose   string          `json:"whose"` // ours, adopted, or foreign
	Intent  string          `json:"intent,omitempty"`
	Owner   string          `json:"owner,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Expires time.Time       `json:"expires,omitzero"` // zero = never, or not ours
	Due     bool            `json:"due,omitempty"`
	// Held is set while the session waits for a confirmation: then it goes back.
	Held time.Time `json:"heldUntil,omitzero"`
	Run  string    `json:"run,omitempty"` // to confirm
}

// Whose a session is.
const (
	Ours    = "ours"
	Adopted = "adopted"
	Foreign = "foreign"
)

// Status gives all sessions of devices, in inventory and device order, and the
// devices that could not be observed. No devices means all of the inventory.
func (e *Engine) Status(ctx context.Context, devices []models.DeviceID) ([]SessionStatus, []Observation, error) {
	if len(devices) == 0 {
		for _, d := range e.c.Network.Devices {
			devices = append(devices, d.ID)
		}
	}
	records, err := e.c.Store.Records(ctx, devices...)
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[models.SessionID]models.Record, len(records))
	for _, r := range records {
		byID[r.ID()] = r
	}
	waiting, err := e.waiting(ctx)
	if err != nil {
		return nil, nil, err
	}
	var out []SessionStatus
	var failed []Observation
	for _, o := range e.Observe(ctx, devices) {
		if o.Err != nil {
			failed = append(failed, o)
			continue
		}
		for _, s := range o.State.Sessions {
			s.Device = o.Device
			st := SessionStatus{Device: o.Device, Session: s, Whose: Foreign}
			if r, ok := byID[s.ID()]; ok {
				st.Whose, st.Intent, st.Owner, st.Reason, st.Expires = Ours, r.Intent, r.Owner, r.Reason, r.Expires
				st.Due = r.Due(e.c.Now())
				if r.Adopted {
					st.Whose = Adopted
				}
			}
			if w, ok := waiting[s.ID()]; ok {
				st.Whose, st.Intent, st.Owner, st.Reason, st.Expires = Ours, w.Intent, w.Owner, w.Reason, w.Expires
				st.Held, st.Run = w.until, w.run
			}
			out = append(out, st)
		}
	}
	return out, failed, nil
}

// heldRecord is what is recorded of a session once its run is confirmed.
type heldRecord struct {
	models.Record
	run   string
	until time.Time
}

// waiting gives the sessions that runs have made which wait for a confirmation and
// have time left.
func (e *Engine) waiting(ctx context.Context) (map[models.SessionID]heldRecord, error) {
	open, err := e.c.Store.Open(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[models.SessionID]heldRecord)
	for _, rs := range open {
		for _, en := range rs.Unsettled() {
			cp := en.Checkpoint
			if en.Step != store.Verified || cp == nil || !cp.HeldUntil.After(e.c.Now()) {
				continue
			}
			for _, r := range cp.Next {
				out[r.ID()] = heldRecord{r, rs.ID, cp.HeldUntil}
			}
		}
	}
	return out, nil
}

// Drift is one session that is not as it was applied.
type Drift struct {
	Device  models.DeviceID `json:"device"`
	Intent  string          `json:"intent"`
	Session string          `json:"session"`
	Kind    string          `json:"kind"`              // missing, changed, or unknown
	Details []string        `json:"details,omitempty"` // what differs, or why it is not known
}

// Drift compares what was applied with what the devices show. No devices means all
// that have records.
func (e *Engine) Drift(ctx context.Context, devices []models.DeviceID) ([]Drift, error) {
	records, err := e.c.Store.Records(ctx, devices...)
	if err != nil {
		return nil, err
	}
	set := make(map[models.DeviceID]bool)
	for _, r := range records {
		set[r.Session.Device] = true
	}
	obs := make(map[models.DeviceID]Observation)
	for _, o := range e.Observe(ctx, e.inventoryOrder(set)) {
		obs[o.Device] = o
	}
	var out []Drift
	for _, dev := range e.inventoryOrder(set) {
		for _, r := range records {
			if r.Session.Device != dev {
				continue
			}
			if d, ok := drifted(r, obs[dev]); ok {
				out = append(out, d)
			}
		}
	}
	return out, nil
}

func drifted(r models.Record, o Observation) (Drift, bool) {
	d := Drift{Device: r.Session.Device, Intent: r.Intent, Session: sessionName(r.Session)}
	if o.Err != nil {
		d.Kind, d.Details = "unknown", []string{o.Err.Error()}
		return d, true
	}
	i := slices.IndexFunc(o.State.Sessions, func(s models.Session) bool {
		s.Device = o.Device
		return s.ID() == r.ID()
	})
	if i < 0 {
		d.Kind, d.Details = "missing", []string{"the device has no such session"}
		return d, true
	}
	have := o.State.Sessions[i]
	have.Device = o.Device
	if models.SameConfig(r.Session, have) {
		return d, false
	}
	d.Kind, d.Details = "changed", plan.Differences(r.Session, have)
	return d, true
}

func sessionName(s models.Session) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprint(s.Number)
}

// Verdict is what verification says of one session.
type Verdict struct {
	Device  models.DeviceID `json:"device"`
	Intent  string          `json:"intent"`
	Session string          `json:"session"`
	Config  bool            `json:"config"` // the device shows what is wanted
	State   models.Status   `json:"state,omitzero"`
	Details []string        `json:"details,omitempty"`
	Err     string          `json:"err,omitempty"` // why it could not be looked at
}

// OK reports whether the session is as intended and not known to be down.
func (v Verdict) OK() bool { return v.Err == "" && v.Config && v.State.State != models.OperDown }

// Verify compares the devices with what intents want, configuration and operation.
// The sessions come in the order of the intents. Findings that are errors mean that
// the intents themselves are wrong.
func (e *Engine) Verify(ctx context.Context, intents []models.Intent) ([]Verdict, []models.Session, models.Findings, error) {
	t, err := e.resolve(ctx, Request{Intents: intents})
	if err != nil || len(t.found.Errors()) > 0 {
		return nil, nil, t.findings(), err
	}
	cs := newConns(e.c.Open, e.c.MaxOpen)
	defer cs.closeAll()
	states, failed := e.states(ctx, cs, t, &Plan{})
	sessions, found := plan.Allocate(e.c.Network, e.c.Platforms, intents, t.sessions, states, t.records)
	var out []Verdict
	for _, s := range sessions {
		v := Verdict{Device: s.Device, Intent: s.Intent, Session: sessionName(s)}
		if err := failed[s.Device]; err != nil {
			v.Err = err.Error()
			out = append(out, v)
			continue
		}
		have := states[s.Device].Sessions
		i := slices.IndexFunc(have, func(h models.Session) bool { return h.ID() == s.ID() })
		switch {
		case i < 0:
			v.Details = []string{"the device has no such session"}
		case models.SameConfig(s, have[i]):
			v.Config, v.State = true, have[i].Status
		default:
			v.State, v.Details = have[i].Status, plan.Differences(s, have[i])
		}
		out = append(out, v)
	}
	return out, sessions, append(t.found, found...), nil
}

func (t *task) findings() models.Findings {
	if t == nil {
		return nil
	}
	return t.found
}

// Due gives the intents of which a lease has ended, sorted.
func (e *Engine) Due(ctx context.Context) ([]string, error) {
	records, err := e.c.Store.Due(ctx, e.c.Now())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range records {
		if !slices.Contains(out, r.Intent) {
			out = append(out, r.Intent)
		}
	}
	slices.Sort(out)
	return out, nil
}

// RollbackPlan makes the plan that takes a finished run back. It is refused where a
// session is no longer as the run left it. Apply it as a saved plan.
func (e *Engine) RollbackPlan(ctx context.Context, id string) (*Plan, error) {
	rs, err := e.c.Store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(rs.Unsettled()) > 0 {
		return nil, fmt.Errorf("run %s is not settled: use spanctl recover", id)
	}
	byDevice := make(map[models.DeviceID][]store.Entry)
	set := make(map[models.DeviceID]bool)
	for _, en := range rs.Latest() {
		if en.Step == store.Confirmed && en.Checkpoint != nil {
			byDevice[en.Device] = append(byDevice[en.Device], en)
			set[en.Device] = true
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("run %s left nothing on any device", id)
	}
	t := &task{devices: e.inventoryOrder(set), kept: make(map[models.SessionID]bool)}
	if t.records, err = e.c.Store.Records(ctx, t.devices...); err != nil {
		return nil, err
	}
	cs := newConns(e.c.Open, e.c.MaxOpen)
	defer cs.closeAll()
	p := &Plan{Version: PlanVersion, Made: e.c.Now()}
	states, failed := e.states(ctx, cs, t, p)
	var sets []models.ChangeSet
	prior := make(map[models.DeviceID][]models.Record)
	for _, dev := range t.devices {
		if err := failed[dev]; err != nil {
			return nil, err
		}
		set := models.ChangeSet{Device: dev}
		for _, en := range byDevice[dev] {
			if left := plan.Missing(en.Checkpoint.Changes, states[dev]); !left.Empty() {
				return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseObserve, Kind: drivers.Mismatch,
					Session: sessionName(*left.Changes[0].Session()),
					Err:     fmt.Errorf("is no longer as run %s left it", id), Hint: "change it by an intent instead"}
			}
			set.Changes = append(set.Changes, en.Checkpoint.Changes.Reverse().Changes...)
			prior[dev] = append(prior[dev], en.Checkpoint.Prior...)
			for _, rec := range en.Checkpoint.Prior {
				if rec.Saved {
					t.kept[rec.ID()] = true
				}
			}
		}
		sets = append(sets, set)
	}
	if err := e.render(ctx, cs, t, p, sets, ""); err != nil {
		return nil, err
	}
	for _, g := range p.Groups {
		for _, w := range g.Waves {
			for i := range w {
				w[i].Next = restored(w[i].Changes, prior[w[i].Device])
			}
		}
	}
	return p, nil
}

// restored gives the records that hold again once cs is applied.
func restored(cs models.ChangeSet, prior []models.Record) []models.Record {
	out := []models.Record{} // not nil: this is all there is
	for _, ch := range cs.Changes {
		if ch.After == nil {
			continue
		}
		for _, r := range prior {
			if r.ID() == ch.After.ID() {
				out = append(out, r)
			}
		}
	}
	return out
}
