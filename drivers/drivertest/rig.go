package drivertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// within is how long devices wait for a confirmation. Lapse moves their clocks, so
// nothing waits that long.
const within = 10 * time.Minute

// patience bounds what must end soon. It is long, since machines are slow; what it
// catches does not end at all.
const patience = 5 * time.Second

// Run runs the whole suite.
func Run(t *testing.T, s Subject) {
	t.Run("ladder", func(t *testing.T) { ladder(t, s) })
	t.Run("claims", func(t *testing.T) { claims(t, s) })
	t.Run("refusal", func(t *testing.T) { refusal(t, s) })
	t.Run("timer", func(t *testing.T) { timer(t, s) })
	t.Run("context", func(t *testing.T) { contexts(t, s) })
	t.Run("text", func(t *testing.T) { text(t, s) })
	t.Run("save", func(t *testing.T) { save(t, s) })
}

// rig is one device at work.
type rig struct {
	t       testing.TB
	s       Subject
	p       *Peer
	d       drivers.Driver
	caps    models.Capabilities
	records []models.Record
	first   string           // configuration at the start
	foreign []models.Session // as the driver saw it at the start
	tags    int
}

func newRig(t testing.TB, s Subject) *rig {
	t.Helper()
	r := &rig{t: t, s: s, p: s.Start(t), caps: s.Planner.Capabilities()}
	if len(r.p.Ports.Sources) < 3 || len(r.p.Ports.Destinations) < 2 || len(r.p.Foreign) == 0 {
		t.Fatal("the subject is incomplete: want 3 sources, 2 destinations and a foreign session")
	}
	if r.p.Config != nil {
		r.first = r.p.Config()
	}
	r.d = r.open()
	if d := gocmp.Diff(r.caps, r.d.Capabilities()); d != "" {
		t.Errorf("driver and planner claim different things (-planner +driver):\n%s", d)
	}
	r.foreign = r.observe().Sessions
	if len(r.foreign) != len(r.p.Foreign) {
		t.Errorf("the driver sees %d sessions at the start; strangers have %d", len(r.foreign), len(r.p.Foreign))
	}
	return r
}

// open makes a driver and closes it with the test.
func (r *rig) open() drivers.Driver {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	d, err := r.p.Open(ctx)
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	r.t.Cleanup(func() { _ = d.Close() })
	return d
}

// observe gives the marked state. What the driver says of ownership must be
// nothing.
func (r *rig) observe() models.DeviceState {
	r.t.Helper()
	st, err := r.d.Observe(r.t.Context())
	if err != nil {
		r.t.Fatalf("observe: %v", err)
	}
	for _, s := range st.Sessions {
		if s.Intent != "" {
			r.t.Errorf("the driver says that session %s is of intent %s; ownership is not the device's to tell", name(s), s.Intent)
		}
	}
	return plan.MarkOwned(st, r.records)
}

// session makes a wanted session.
func (r *rig) session(n int, f func(*models.Session)) models.Session {
	intent := fmt.Sprintf("c%d", n)
	s := models.Session{Device: r.p.Device, Intent: intent, Name: plan.SessionName(intent, models.RoleLocal), Role: models.RoleLocal,
		Sources: []models.Source{r.source(n, models.Rx)}, Destination: r.to(n)}
	if r.caps.Numbered {
		// The first numbers that no stranger has.
		s.Name = ""
		left := n + 1
		for s.Number = 0; left > 0; {
			s.Number++
			if !slices.ContainsFunc(r.p.Foreign, func(o models.Session) bool { return o.Number == s.Number }) {
				left--
			}
		}
	}
	f(&s)
	return s.Normalize()
}

func (r *rig) source(i int, d models.Direction) models.Source {
	if i >= len(r.p.Ports.Sources) {
		r.t.Fatalf("the subject has %d sources; the suite needs one more", len(r.p.Ports.Sources))
	}
	p := r.p.Ports.Sources[i]
	return models.Source{Kind: r.s.Planner.PortKind(p), Name: p, Direction: d}
}

func (r *rig) to(is ...int) models.Destination {
	d := models.Destination{Kind: models.DestinationPort}
	for _, i := range is {
		if i >= len(r.p.Ports.Destinations) {
			r.t.Fatalf("the subject has %d destinations; the suite needs one more", len(r.p.Ports.Destinations))
		}
		d.Ports = append(d.Ports, r.p.Ports.Destinations[i])
	}
	return d
}

// tag names the next script.
func (r *rig) tag() string {
	r.tags++
	return fmt.Sprintf("c%d", r.tags)
}

// plan gives the checkpoint of the way from what is to want. It looks at the script.
func (r *rig) plan(want []models.Session) drivers.Checkpoint {
	r.t.Helper()
	st := r.observe()
	cs := plan.Diff(want, st, r.caps.Grain, func(string) bool { return true })
	o := drivers.RenderOptions{Tag: r.tag(), Within: within, Facts: st.Facts}
	sc, err := r.d.Render(cs, o)
	if err != nil {
		r.t.Fatalf("render: %v", err)
	}
	// Go walks maps in another order each time: some repetitions find what depends
	// on it.
	for range 8 {
		again, err := r.d.Render(cs, o)
		if err != nil {
			r.t.Fatalf("render again: %v", err)
		}
		if d := gocmp.Diff(sc, again); d != "" {
			r.t.Fatalf("the same changes give another script (-first +then):\n%s", d)
		}
	}
	switch r.caps.Of(models.FeatureConfirm).Support {
	case models.Yes:
		if sc.Within < within && !cs.Empty() {
			r.t.Errorf("a way back after %s was asked for and is claimed; the script has %s", within, sc.Within)
		}
	default:
		if sc.Within != 0 {
			r.t.Errorf("the script goes back after %s, which is not claimed", sc.Within)
		}
	}
	return drivers.Checkpoint{Device: r.p.Device, Changes: cs, Script: sc}
}

// apply sends the checkpoint's script and compares with what the device received.
func (r *rig) apply(cp drivers.Checkpoint) {
	r.t.Helper()
	r.p.ResetWire()
	if err := r.d.Apply(r.t.Context(), cp); err != nil {
		r.t.Fatalf("apply: %v", err)
	}
	r.wire(cp.Script.Steps)
}

func (r *rig) confirm(cp drivers.Checkpoint) {
	r.t.Helper()
	r.p.ResetWire()
	if err := r.d.Confirm(r.t.Context(), cp); err != nil {
		r.t.Fatalf("confirm: %v", err)
	}
	r.wire(cp.Script.Confirm)
}

func (r *rig) wire(steps []transport.Step) {
	r.t.Helper()
	want := make([]string, 0, len(steps))
	for _, s := range steps {
		want = append(want, s.Text)
	}
	if d := gocmp.Diff(want, append([]string{}, r.p.Wire()...)); d != "" {
		r.t.Errorf("the device received something else than the script (-script +received):\n%s", d)
	}
}

// reach goes from what is to want, and looks at everything afterwards.
func (r *rig) reach(want ...models.Session) {
	r.t.Helper()
	cp := r.plan(want)
	r.apply(cp)
	r.truth("after apply", want...)
	r.confirm(cp)
	r.records = nil
	for _, s := range want {
		r.records = append(r.records, models.Record{Session: s, Intent: s.Intent})
	}
	r.p.Lapse(2 * within)
	r.truth("after confirm", want...)

	st := r.observe()
	if again := plan.Diff(want, st, r.caps.Grain, func(string) bool { return true }); !again.Empty() {
		r.t.Errorf("a second plan is not empty:\n%s", gocmp.Diff(nil, again.Changes, options))
	}
	var strangers []models.Session
	for _, s := range st.Sessions {
		if s.Intent == "" {
			strangers = append(strangers, s)
		}
	}
	if d := gocmp.Diff(clean(r.foreign), clean(strangers), options); d != "" {
		r.t.Errorf("sessions of strangers changed (-before +after):\n%s", d)
	}
}

// truth compares the device's own view with want and what strangers have.
func (r *rig) truth(when string, want ...models.Session) {
	r.t.Helper()
	if d := gocmp.Diff(clean(slices.Concat(want, r.p.Foreign)), clean(r.p.Truth()), options); d != "" {
		r.t.Errorf("%s: the device has something else (-want +device):\n%s", when, d)
	}
}

// untouched checks that the configuration is the first one, byte for byte.
func (r *rig) untouched(when string) {
	r.t.Helper()
	if r.p.Config == nil {
		return
	}
	if d := gocmp.Diff(r.first, r.p.Config()); d != "" {
		r.t.Errorf("%s: the configuration is not what it was (-before +after):\n%s", when, d)
	}
}

// refused checks that a wanted session is refused before anything is sent: by the
// plan, and by the driver should it be asked all the same.
func (r *rig) refused(s models.Session) {
	r.t.Helper()
	r.p.ResetWire()
	net := &models.Network{Devices: []models.Device{{ID: r.p.Device, Platform: r.caps.Platform}}}
	platforms := func(models.DeviceID) plan.Platform { return r.s.Planner }
	found := plan.Check(net, platforms, nil, []models.Session{s}, plan.Policy{}, time.Time{}).Errors()
	if len(found) == 0 {
		r.t.Errorf("a plan does not refuse it: %+v", s)
	}
	cs := models.ChangeSet{Device: r.p.Device, Changes: []models.Change{{Op: models.Create, After: &s}}}
	sc, err := r.d.Render(cs, drivers.RenderOptions{Tag: r.tag()})
	var de *drivers.Error
	switch {
	case err == nil:
		r.t.Errorf("the driver renders it:\n%s", gocmp.Diff(nil, sc.Steps))
	case !errors.As(err, &de) || de.Kind != drivers.Unsupported || de.Phase != drivers.PhaseRender:
		r.t.Errorf("the driver refuses it with %#v; want a *drivers.Error of kind %s", err, drivers.Unsupported)
	}
	if got := r.p.Wire(); len(got) > 0 {
		r.t.Errorf("the device received %q", got)
	}
}

func name(s models.Session) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprint(s.Number)
}

// clean gives sessions in one order and without what is not their configuration.
func clean(in []models.Session) []models.Session {
	out := make([]models.Session, 0, len(in))
	for _, s := range in {
		s = s.Normalize()
		s.Device, s.Status, s.Intent, s.FilterName = "", models.Status{}, "", ""
		if s.Name != "" {
			s.Number = 0
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b models.Session) int {
		return cmp.Or(models.CompareNatural(a.Name, b.Name), a.Number-b.Number)
	})
	return out
}

var options = gocmp.Options{
	gocmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	gocmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

// leakFree runs f and then waits until no more goroutines run than before.
func leakFree(t testing.TB, f func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	f()
	var now int
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now = runtime.NumGoroutine(); now <= before {
			return
		}
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines are left over:\n%s", now-before, buf[:runtime.Stack(buf, true)])
}

func equal(a, b models.DeviceState) bool { return reflect.DeepEqual(a, b) }
