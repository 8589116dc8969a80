package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Request says what a run is about.
type Request struct {
	Intents []models.Intent // to be there, as they say
	Remove  []string        // names of intents to be gone

	// Offline holds recorded states to plan from instead of observing; nil observes.
	Offline map[models.DeviceID]models.DeviceState
	// KeepGoing plans the other intents when one is refused. Otherwise one refusal
	// stops all.
	KeepGoing bool
	// Within is the time that devices wait for a confirmation; 0 = the engine's.
	Within time.Duration
	// Save says whether devices write what is changed to the configuration that they
	// boot with; "" = SaveAuto.
	Save SaveMode
}

// Plan is what a run will do: everything that is sent is in it.
type Plan struct {
	Version  int             `json:"version"`
	Made     time.Time       `json:"made"`
	Intents  []IntentInfo    `json:"intents,omitempty"`
	Devices  []DeviceInfo    `json:"devices,omitempty"` // in inventory order
	Groups   []Group         `json:"groups,omitempty"`  // in the order of execution
	Blocked  []Blocked       `json:"blocked,omitempty"` // intents that this plan leaves alone, and why
	Findings models.Findings `json:"findings,omitempty"`
	Notes    []plan.Note     `json:"notes,omitempty"`

	// Renew are records of sessions that need no change but whose lease, owner or
	// reason an apply writes anew.
	Renew []models.Record `json:"renew,omitempty"`
	// Gone are recorded sessions to be removed that the devices no longer have; an
	// apply forgets them.
	Gone []models.SessionID `json:"gone,omitempty"`
}

// PlanVersion is the version of the saved form of a plan.
const PlanVersion = 1

// IntentInfo is what records need to know of an intent.
type IntentInfo struct {
	Name    string        `json:"name"`
	Owner   string        `json:"owner,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Expires models.Expiry `json:"expires"`
}

// DeviceInfo is a device as the plan found it.
type DeviceInfo struct {
	Device      models.DeviceID `json:"device"`
	Platform    string          `json:"platform"`
	Fingerprint string          `json:"fingerprint,omitempty"` // of all its sessions; "" when not observed
	WayBack     models.Support  `json:"wayBack,omitempty"`     // whether the device goes back by itself
	Err         string          `json:"err,omitempty"`         // why it was not observed
}

// Group is the changes of one intent: all or none, wave by wave.
type Group struct {
	Intent string                 `json:"intent"`
	Waves  [][]drivers.Checkpoint `json:"waves"`
}

// Blocked is an intent that cannot be carried out now.
type Blocked struct {
	Intent string          `json:"intent"`
	Device models.DeviceID `json:"device,omitempty"`
	Reason string          `json:"reason"`
}

// Empty reports whether nothing would be sent.
func (p *Plan) Empty() bool { return len(p.Groups) == 0 }

// Failed reports whether something stands in the way of what was asked.
func (p *Plan) Failed() bool { return len(p.Findings.Errors()) > 0 || len(p.Blocked) > 0 }

// info finds an intent.
func (p *Plan) info(intent string) IntentInfo {
	for _, i := range p.Intents {
		if i.Name == intent {
			return i
		}
	}
	return IntentInfo{Name: intent}
}

// Plan observes and plans; it changes nothing and takes no lock.
func (e *Engine) Plan(ctx context.Context, req Request) (*Plan, error) {
	cs := newConns(e.c.Open, e.c.MaxOpen)
	defer cs.closeAll()
	t, err := e.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	return e.plan(ctx, cs, t, "")
}

// task is a request, resolved: what is wanted, and which devices it touches.
type task struct {
	req      Request
	sessions []models.Session
	found    models.Findings
	notes    []plan.Note
	records  []models.Record // of all devices of the task
	devices  []models.DeviceID
	facts    map[models.DeviceID]models.Facts // what the observed devices say of themselves
	kept     map[models.SessionID]bool        // saved before a run that is taken back
}

// Check resolves intents and checks them, with no device in reach.
func (e *Engine) Check(intents []models.Intent) ([]models.Session, []plan.Note, models.Findings) {
	r, found := plan.Resolve(e.c.Network, e.c.Platforms, e.c.Names, intents)
	found = append(found, plan.Check(e.c.Network, e.c.Platforms, intents, r.Sessions, e.c.Policy, e.c.Now())...)
	return r.Sessions, r.Notes, found
}

func (e *Engine) resolve(ctx context.Context, req Request) (*task, error) {
	t := &task{req: req}
	t.sessions, t.notes, t.found = e.Check(req.Intents)
	scope := t.scope()
	all, err := e.c.Store.Records(ctx)
	if err != nil {
		return nil, err
	}
	set := make(map[models.DeviceID]bool)
	for _, s := range t.sessions {
		set[s.Device] = true
	}
	known := make(map[string]bool)
	for _, r := range all {
		known[r.Intent] = true
		if scope(r.Intent) {
			set[r.Session.Device] = true
		}
	}
	for _, name := range req.Remove {
		if known[name] {
			continue
		}
		waiting, err := e.waiting(ctx)
		if err != nil {
			return nil, err
		}
		t.found = append(t.found, unknownIntent(name, known, waiting))
	}
	t.devices = e.inventoryOrder(set)
	for _, r := range all {
		if set[r.Session.Device] {
			t.records = append(t.records, r)
		}
	}
	return t, nil
}

// unknownIntent says why an intent that is to be removed has no record.
func unknownIntent(name string, known map[string]bool, waiting map[models.SessionID]heldRecord) models.Finding {
	for _, w := range waiting {
		if w.Intent == name {
			return models.Finding{Intent: name, Rule: "held", Message: fmt.Sprintf(
				"run %s waits for a confirmation of it until %s: use spanctl confirm, or spanctl recover --revert, first", w.run, w.until.Format(time.TimeOnly))}
		}
	}
	return models.Finding{Intent: name, Rule: "unknown-intent", Message: "nothing of this name was applied" + didYouMean(name, known)}
}

func didYouMean(name string, known map[string]bool) string {
	var names []string
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	if near := plan.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// scope tells which intents the task may change.
func (t *task) scope() func(string) bool {
	in := make(map[string]bool, len(t.req.Intents)+len(t.req.Remove))
	for _, i := range t.req.Intents {
		in[i.Metadata.Name] = true
	}
	for _, n := range t.req.Remove {
		in[n] = true
	}
	return func(intent string) bool { return in[intent] }
}

// plan observes the task's devices and decides. run is the id of the run that
// would carry it out, "" for none.
func (e *Engine) plan(ctx context.Context, cs *conns, t *task, run string) (*Plan, error) {
	p := &Plan{Version: PlanVersion, Made: e.c.Now(), Findings: slices.Clone(t.found), Notes: t.notes}
	for _, in := range t.req.Intents {
		p.Intents = append(p.Intents, IntentInfo{Name: in.Metadata.Name, Owner: in.Metadata.Owner,
			Reason: in.Metadata.Reason, Expires: in.Spec.Expires})
	}
	if len(p.Findings.Errors()) > 0 && !t.req.KeepGoing {
		return p, nil // nothing is asked of any device before the files are right
	}
	states, failed := e.states(ctx, cs, t, p)
	if ctx.Err() != nil {
		return nil, canceled(ctx, t.devices, failed)
	}
	blocked := e.block(t, p, failed)
	live := slices.DeleteFunc(slices.Clone(t.sessions), func(s models.Session) bool { return blocked[s.Intent] })
	scope := t.scope()
	removed := func(intent string) bool { return scope(intent) && !blocked[intent] && !wants(live, intent) }

	live, found := plan.Allocate(e.c.Network, e.c.Platforms, t.req.Intents, live, states, t.records)
	found = append(found, plan.CheckState(e.c.Network, e.c.Platforms, t.req.Intents, live, states, removed, e.c.Policy)...)
	p.Findings = append(p.Findings, found...)
	if bad := found.Errors(); len(bad) > 0 {
		if !t.req.KeepGoing {
			return p, nil
		}
		for _, f := range bad {
			blocked[f.Intent] = true
			p.Blocked = append(p.Blocked, Blocked{Intent: f.Intent, Device: f.Device, Reason: f.Message})
		}
		live = slices.DeleteFunc(live, func(s models.Session) bool { return blocked[s.Intent] })
	}
	open := func(intent string) bool { return scope(intent) && !blocked[intent] }
	return p, e.changes(ctx, cs, t, p, live, states, open, run)
}

// canceled says at which devices ctx ended.
func canceled(ctx context.Context, devices []models.DeviceID, failed map[models.DeviceID]error) error {
	const most = 3
	var errs []error
	n := 0
	for _, dev := range devices {
		if err := failed[dev]; err != nil {
			if n++; n <= most {
				errs = append(errs, err)
			}
		}
	}
	switch {
	case n == 0:
		return context.Cause(ctx)
	case n > most:
		errs = append(errs, fmt.Errorf("and %d more devices", n-most))
	}
	return joinErrors(errs)
}

func wants(sessions []models.Session, intent string) bool {
	return slices.ContainsFunc(sessions, func(s models.Session) bool { return s.Intent == intent })
}

// states gives the marked states of the task's devices, and why some have none.
func (e *Engine) states(ctx context.Context, cs *conns, t *task, p *Plan) (map[models.DeviceID]models.DeviceState, map[models.DeviceID]error) {
	states := make(map[models.DeviceID]models.DeviceState, len(t.devices))
	failed := make(map[models.DeviceID]error)
	t.facts = make(map[models.DeviceID]models.Facts, len(t.devices))
	var obs []Observation
	if t.req.Offline != nil {
		for _, dev := range t.devices {
			st, ok := t.req.Offline[dev]
			o := Observation{Device: dev, State: st}
			if !ok {
				o.Err = &drivers.Error{Device: dev, Phase: drivers.PhaseObserve, Kind: drivers.Unsupported,
					Err: errors.New("no recorded state"), Hint: "record it with spanctl devices --record"}
			}
			obs = append(obs, o)
		}
	} else {
		obs = e.observe(ctx, cs, t.devices, t.sessions)
	}
	byDevice := plan.RecordsByDevice(t.records)
	for _, o := range obs {
		info := DeviceInfo{Device: o.Device}
		if pl := e.c.Platforms(o.Device); pl != nil {
			caps := pl.Capabilities()
			info.Platform, info.WayBack = caps.Platform, caps.Of(models.FeatureConfirm).Support
		}
		if o.Err != nil {
			failed[o.Device] = o.Err
			info.Err = o.Err.Error()
		} else {
			info.Fingerprint = plan.Fingerprint(o.State)
			states[o.Device] = plan.MarkOwned(o.State, byDevice[o.Device])
			t.facts[o.Device] = o.State.Facts
		}
		p.Devices = append(p.Devices, info)
	}
	return states, failed
}

// block finds the intents that a device without a state belongs to.
func (e *Engine) block(t *task, p *Plan, failed map[models.DeviceID]error) map[string]bool {
	blocked := make(map[string]bool)
	block := func(intent string, dev models.DeviceID, reason string) {
		if !blocked[intent] {
			p.Blocked = append(p.Blocked, Blocked{Intent: intent, Device: dev, Reason: reason})
		}
		blocked[intent] = true
	}
	for _, f := range p.Findings.Errors() { // only with KeepGoing
		block(f.Intent, f.Device, f.Message)
	}
	for _, s := range t.sessions {
		if err := failed[s.Device]; err != nil {
			block(s.Intent, s.Device, err.Error())
		}
	}
	scope := t.scope()
	for _, r := range t.records {
		if err := failed[r.Session.Device]; err != nil && scope(r.Intent) {
			block(r.Intent, r.Session.Device, err.Error())
		}
	}
	return blocked
}

// changes fills p with what differs, ordered and rendered.
func (e *Engine) changes(ctx context.Context, conns *conns, t *task, p *Plan, live []models.Session,
	states map[models.DeviceID]models.DeviceState, scope func(string) bool, run string) error {
	byDevice := make(map[models.DeviceID][]models.Session)
	for _, s := range live {
		byDevice[s.Device] = append(byDevice[s.Device], s)
	}
	var sets []models.ChangeSet
	changed := make(map[models.SessionID]bool)
	for _, dev := range t.devices {
		st, ok := states[dev]
		if !ok {
			continue
		}
		pl := e.c.Platforms(dev)
		if pl == nil {
			continue // Check has refused what is wanted there; what is recorded there stays
		}
		cs := plan.Diff(byDevice[dev], st, pl.Capabilities().Grain, scope)
		for _, ch := range cs.Changes {
			changed[ch.Session().ID()] = true
		}
		sets = append(sets, cs)
	}
	if err := e.render(ctx, conns, t, p, sets, run); err != nil {
		return err
	}
	e.renew(t, p, live, changed)
	forget(t, p, states, live, scope)
	return nil
}

// renew finds the records whose lease, owner or reason an apply writes anew.
func (e *Engine) renew(t *task, p *Plan, live []models.Session, changed map[models.SessionID]bool) {
	have := make(map[models.SessionID]models.Record, len(t.records))
	for _, r := range t.records {
		have[r.ID()] = r
	}
	for _, s := range live {
		r, ok := have[s.ID()]
		if !ok || changed[s.ID()] {
			continue
		}
		next := record(s, p.info(s.Intent), r, e.c.Now())
		if next.Owner != r.Owner || next.Reason != r.Reason || !next.Expires.Equal(r.Expires) {
			p.Renew = append(p.Renew, next)
		}
	}
}

// forget takes up what records say of sessions that are already gone: an intent
// removed by hand on the device leaves only a record to delete.
func forget(t *task, p *Plan, states map[models.DeviceID]models.DeviceState, live []models.Session, scope func(string) bool) {
	wanted := make(map[models.SessionID]bool, len(live))
	for _, s := range live {
		wanted[s.ID()] = true
	}
	for _, r := range t.records {
		st, ok := states[r.Session.Device]
		if !ok || wanted[r.ID()] || !scope(r.Intent) {
			continue
		}
		if !slices.ContainsFunc(st.Sessions, func(s models.Session) bool { return s.ID() == r.ID() }) {
			p.Gone = append(p.Gone, r.ID())
		}
	}
}

// record is what is remembered of s, which intent asks for. old is the record that
// it replaces, or the zero one.
func record(s models.Session, intent IntentInfo, old models.Record, now time.Time) models.Record {
	r := models.Record{Session: s.Normalize(), Intent: intent.Name, Owner: intent.Owner, Reason: intent.Reason,
		Since: old.Since, Expires: intent.Expires.Deadline(now), Run: old.Run, Adopted: old.Adopted, Saved: old.Saved}
	r.Session.Status = models.Status{}
	if r.Since.IsZero() {
		r.Since = now
	}
	return r
}

// Summary counts the changes of a plan, as "2 to create, 1 to delete".
func (p *Plan) Summary() string {
	n := make(map[models.Op]int)
	for _, g := range p.Groups {
		for _, w := range g.Waves {
			for _, cp := range w {
				for _, c := range cp.Changes.Changes {
					n[c.Op]++
				}
			}
		}
	}
	var parts []string
	for _, op := range []models.Op{models.Create, models.Update, models.Delete} {
		if n[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n[op], op))
		}
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}
