package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

func apply(t *testing.T, p *process, intents ...models.Intent) *Result {
	t.Helper()
	res, err := p.Apply(t.Context(), ApplyRequest{Request: Request{Intents: intents}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func remove(t *testing.T, p *process, names ...string) *Result {
	t.Helper()
	res, err := p.Apply(t.Context(), ApplyRequest{Request: Request{Remove: names}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func wantOutcome(t *testing.T, res *Result, want Outcome) {
	t.Helper()
	if res.Outcome != want {
		t.Fatalf("outcome %s, want %s; findings %v, blocked %v, groups %+v", res.Outcome, want, res.Plan.Findings, res.Plan.Blocked, res.Groups)
	}
}

func TestApplyThenNothingThenDelete(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	before := s.texts()
	p := s.start(0, false)
	intents := []models.Intent{spanIntent("web", "leaf1", models.Both, "Ethernet1", "Ethernet2"), rspanIntent("far", "leaf3", "leaf1", "leaf2")}
	wantOutcome(t, apply(t, p, intents...), Applied)
	if d := cmp.Diff([]string{"sp-far", "sp-web", "tap"}, s.devices["leaf1"].names()); d != "" {
		t.Errorf("leaf1 (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"sp-far-rx", "tap"}, s.devices["leaf3"].names()); d != "" {
		t.Errorf("leaf3 (-want +got):\n%s", d)
	}
	s.order = nil
	wantOutcome(t, apply(t, p, intents...), Unchanged)
	if len(s.order) > 0 {
		t.Errorf("a second apply changed %v", s.order)
	}
	drift, err := p.Drift(t.Context(), nil)
	if err != nil || len(drift) > 0 {
		t.Errorf("drift %v, %v", drift, err)
	}
	wantOutcome(t, remove(t, p, "web", "far"), Applied)
	if d := cmp.Diff(before, s.texts()); d != "" {
		t.Errorf("after delete (-before +after):\n%s", d)
	}
	if recs, err := p.st.Records(t.Context()); err != nil || len(recs) > 0 {
		t.Errorf("records left: %v, %v", recs, err)
	}
}

func TestDestinationComesFirstAndGoesLast(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	p := s.start(0, false)
	wantOutcome(t, apply(t, p, rspanIntent("far", "leaf3", "leaf1", "leaf2")), Applied)
	if len(s.order) != 3 || s.order[0] != "leaf3" {
		t.Errorf("created in order %v; want leaf3, the destination, first", s.order)
	}
	s.order = nil
	wantOutcome(t, remove(t, p, "far"), Applied)
	if len(s.order) != 3 || s.order[2] != "leaf3" {
		t.Errorf("deleted in order %v; want leaf3, the destination, last", s.order)
	}
}

func TestFailureTakesAllBack(t *testing.T) {
	lost := &transport.Error{Kind: transport.Unreachable, InDoubt: true, Err: errors.New("connection lost")}
	tests := []struct {
		name string
		verb string
		err  error
		want Outcome
	}{
		{"a refused line", "edit", refused("%% Invalid input"), Reverted},
		{"a refused commit", "commit", refused("%% Cannot commit"), Reverted},
		{"the connection cut after the commit was heard", "commit", lost, Reverted},
		{"no answer to the observation after", "observe", nil, Applied}, // set up below: the first observation
	}
	for _, tt := range tests[:3] {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
			before := s.texts()
			s.devices["leaf2"].fail[tt.verb] = tt.err
			p := s.start(0, false)
			res := apply(t, p, rspanIntent("far", "leaf3", "leaf1", "leaf2"))
			wantOutcome(t, res, tt.want)
			if d := cmp.Diff(before, s.texts()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
			for _, want := range []string{"leaf2", "apply"} {
				if !strings.Contains(res.Groups[0].Err, want) {
					t.Errorf("error %q does not name %q", res.Groups[0].Err, want)
				}
			}
			open, err := p.st.Open(t.Context())
			if err != nil || len(open) > 0 {
				t.Errorf("open runs %v, %v", open, err)
			}
		})
	}
}

// TestOnlyVerifiedCounts lets a device accept everything and do nothing.
func TestOnlyVerifiedCounts(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p := s.start(0, false)
	forget := func(_ context.Context, dev models.DeviceID) (drivers.Driver, error) {
		return drivers.Compose(dev, fakeDialect{fakePlatform{models.Yes}}, forgetful{&fakeConn{d: s.devices[dev], kill: p.st.alive}}), nil
	}
	p.c.Open = forget
	res := apply(t, p, spanIntent("web", "leaf1", models.Rx, "Ethernet1"))
	wantOutcome(t, res, Reverted)
	if !strings.Contains(res.Groups[0].Err, "does not show it") {
		t.Errorf("error %q", res.Groups[0].Err)
	}
}

type forgetful struct{ transport.Conn }

func (forgetful) Send(context.Context, []transport.Step) error { return nil }

func TestDeadDeviceStopsOnlyItsIntents(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	s.devices["leaf2"].dead = true
	p := s.start(0, false)
	res := apply(t, p, spanIntent("web", "leaf1", models.Rx, "Ethernet1"), rspanIntent("far", "leaf3", "leaf2"))
	wantOutcome(t, res, Applied)
	if !res.Failed() {
		t.Error("an intent was left alone, and the result is good")
	}
	if d := cmp.Diff([]string{"sp-web", "tap"}, s.devices["leaf1"].names()); d != "" {
		t.Errorf("leaf1 (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"tap"}, s.devices["leaf3"].names()); d != "" {
		t.Errorf("leaf3 (-want +got):\n%s", d)
	}
	if len(res.Plan.Blocked) != 1 || res.Plan.Blocked[0].Intent != "far" || res.Plan.Blocked[0].Device != "leaf2" {
		t.Errorf("blocked %+v", res.Plan.Blocked)
	}
}

func TestForeignNameIsRefused(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	f := foreignSession()
	f.Name = "sp-web"
	s.devices["leaf1"].sessions = append(s.devices["leaf1"].sessions, f)
	before := s.texts()
	res := apply(t, s.start(0, false), spanIntent("web", "leaf1", models.Rx, "Ethernet1"))
	wantOutcome(t, res, Untouched)
	if !strings.Contains(res.Plan.Findings.Error(), "not spanctl's") {
		t.Errorf("findings %v", res.Plan.Findings)
	}
	if d := cmp.Diff(before, s.texts()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

func TestHold(t *testing.T) {
	hold := func(t *testing.T, s *fakeSite) *Result {
		t.Helper()
		p := s.start(0, false)
		res, err := p.Apply(t.Context(), ApplyRequest{Hold: 5 * time.Minute,
			Request: Request{Intents: []models.Intent{rspanIntent("far", "leaf2", "leaf1")}}})
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, res, Held)
		p.die()
		return res
	}
	t.Run("confirmed", func(t *testing.T) {
		s := newFakeSite(t, "leaf1", "leaf2")
		hold(t, s)
		p := s.start(0, false)
		s.pass(4 * time.Minute)
		res, err := p.Confirm(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, res, Applied)
		s.pass(time.Hour)
		if d := cmp.Diff([]string{"sp-far", "tap"}, s.devices["leaf1"].names()); d != "" {
			t.Errorf("leaf1 (-want +got):\n%s", d)
		}
		if recs, _ := p.st.Records(t.Context()); len(recs) != 2 {
			t.Errorf("records %v", recs)
		}
	})
	t.Run("another apply waits", func(t *testing.T) {
		s := newFakeSite(t, "leaf1", "leaf2")
		run := hold(t, s).Run
		_, err := s.start(0, false).Apply(t.Context(), ApplyRequest{Request: Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet2")}}})
		if err == nil || !strings.Contains(err.Error(), run) || !strings.Contains(err.Error(), "spanctl confirm") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("lapsed", func(t *testing.T) {
		s := newFakeSite(t, "leaf1", "leaf2")
		before := s.texts()
		run := hold(t, s).Run
		s.pass(6 * time.Minute)
		p := s.start(0, false)
		if _, err := p.Confirm(t.Context(), run); err == nil || !strings.Contains(err.Error(), "time to confirm") {
			t.Errorf("error %v", err)
		}
		if _, err := p.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, s.texts()); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
		if open, _ := p.st.Open(t.Context()); len(open) > 0 {
			t.Errorf("open runs %v", open)
		}
	})
	t.Run("recover leaves it alone, recover --revert does not", func(t *testing.T) {
		s := newFakeSite(t, "leaf1", "leaf2")
		before := s.texts()
		hold(t, s)
		held := s.texts()
		p := s.start(0, false)
		if _, err := p.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(held, s.texts()); d != "" {
			t.Errorf("recover (-held +after):\n%s", d)
		}
		if _, err := p.Recover(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, s.texts()); d != "" {
			t.Errorf("recover --revert (-before +after):\n%s", d)
		}
	})
}

func TestSavedPlan(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p := s.start(0, false)
	saved, err := p.Plan(t.Context(), Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}})
	if err != nil {
		t.Fatal(err)
	}
	s.devices["leaf1"].sessions[0].TruncateTo = 64 // a stranger changes his own
	if _, err := p.Apply(t.Context(), ApplyRequest{Saved: saved}); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "leaf1") {
		t.Errorf("error %v, want ErrMoved of leaf1", err)
	}
	s.devices["leaf1"].sessions[0].TruncateTo = 0
	res, err := p.Apply(t.Context(), ApplyRequest{Saved: saved})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	recs, err := p.st.Records(t.Context())
	if err != nil || len(recs) != 1 || recs[0].Owner != "secops" || !recs[0].Expires.Equal(s.now().Add(2*time.Hour)) {
		t.Errorf("records %+v, %v", recs, err)
	}
}

// TestPlanIsTruth compares what a plan shows with what the apply after it sends.
func TestPlanIsTruth(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2")
	p := s.start(0, false)
	req := Request{Intents: []models.Intent{rspanIntent("far", "leaf2", "leaf1")}}
	scripts := func(p *Plan) []transport.Script {
		var out []transport.Script
		for _, g := range p.Groups {
			for _, w := range g.Waves {
				for _, cp := range w {
					out = append(out, cp.Script)
				}
			}
		}
		return out
	}
	for round := range 2 {
		shown, err := p.Plan(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.Apply(t.Context(), ApplyRequest{Request: req})
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, res, Applied)
		if d := cmp.Diff(scripts(shown), scripts(res.Plan)); d != "" {
			t.Errorf("round %d (-shown +sent):\n%s", round, d)
		}
		if round == 0 {
			first := scripts(shown)[0].Steps[0].Text
			wantOutcome(t, remove(t, p, "far"), Applied)
			again, err := p.Plan(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if scripts(again)[0].Steps[0].Text == first {
				t.Errorf("the same edit name %q twice on one device", first)
			}
		}
	}
}

func TestDriftAndRepair(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p := s.start(0, false)
	in := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
	wantOutcome(t, apply(t, p, in), Applied)
	d := s.devices["leaf1"]
	for i := range d.sessions {
		if d.sessions[i].Name == "sp-web" {
			d.sessions[i].Sources[0].Direction = models.Both
		}
	}
	drift, err := p.Drift(t.Context(), nil)
	if err != nil || len(drift) != 1 || drift[0].Kind != "changed" || !strings.Contains(fmt.Sprint(drift[0].Details), "want rx, have both") {
		t.Fatalf("drift %+v, %v", drift, err)
	}
	wantOutcome(t, apply(t, p, in), Applied)
	if drift, _ = p.Drift(t.Context(), nil); len(drift) > 0 {
		t.Errorf("drift after repair %+v", drift)
	}
	d.sessions = d.sessions[:1]
	if drift, _ = p.Drift(t.Context(), nil); len(drift) != 1 || drift[0].Kind != "missing" {
		t.Errorf("drift %+v, want one missing", drift)
	}
	wantOutcome(t, remove(t, p, "web"), Unchanged)
	if recs, _ := p.st.Records(t.Context()); len(recs) > 0 {
		t.Errorf("the record of a session that is gone stays: %v", recs)
	}
}

func TestRollback(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	before := s.texts()
	p := s.start(0, false)
	first := apply(t, p, spanIntent("web", "leaf1", models.Rx, "Ethernet1"))
	one := s.texts()
	second := apply(t, p, spanIntent("web", "leaf1", models.Both, "Ethernet1", "Ethernet2"))
	back := func(run string) (*Result, error) {
		rp, err := p.RollbackPlan(t.Context(), run)
		if err != nil {
			return nil, err
		}
		return p.Apply(t.Context(), ApplyRequest{Saved: rp})
	}
	if _, err := back(first.Run); err == nil || !strings.Contains(err.Error(), "no longer as run") {
		t.Errorf("rollback of a run that is built upon: %v", err)
	}
	res, err := back(second.Run)
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	if d := cmp.Diff(one, s.texts()); d != "" {
		t.Errorf("(-first +after rollback of second):\n%s", d)
	}
	if drift, _ := p.Drift(t.Context(), nil); len(drift) > 0 {
		t.Errorf("drift after rollback: %+v", drift)
	}
	if res, err = back(first.Run); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	if d := cmp.Diff(before, s.texts()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if recs, _ := p.st.Records(t.Context()); len(recs) > 0 {
		t.Errorf("records left: %v", recs)
	}
}

func TestTwoAtOnce(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	p, q := s.start(0, false), s.start(0, false)
	var second error
	res, err := p.Apply(t.Context(), ApplyRequest{
		Request: Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}},
		Approve: func(*Plan) (bool, error) {
			_, second = q.Apply(t.Context(), ApplyRequest{Request: Request{Intents: []models.Intent{spanIntent("dns", "leaf1", models.Rx, "Ethernet2")}}})
			return true, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	var locked *store.LockedError
	if !errors.As(second, &locked) || !strings.Contains(second.Error(), "leaf1") {
		t.Errorf("the second run got %v, want a LockedError of leaf1", second)
	}
}

func TestCancelInEveryPhase(t *testing.T) {
	for _, at := range []string{"observe", "enter", "edit", "commit", "confirm"} {
		t.Run(at, func(t *testing.T) {
			s := newFakeSite(t, "leaf1", "leaf2")
			before := s.texts()
			ctx, cancel := context.WithCancel(t.Context())
			p := s.start(0, false)
			inner := p.c.Open
			p.c.Open = func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
				d, err := inner(ctx, dev)
				if err != nil {
					return nil, err
				}
				return &canceling{Driver: d, at: at, cancel: cancel}, nil
			}
			res, err := p.Apply(ctx, ApplyRequest{Request: Request{Intents: []models.Intent{rspanIntent("far", "leaf2", "leaf1")}}})
			s.pass(time.Hour) // no timer may be needed
			switch {
			case at == "confirm":
				// The first confirmation was sent: there is only forward.
				if err != nil {
					t.Fatal(err)
				}
				wantOutcome(t, res, Applied)
			case err != nil:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				fallthrough
			default:
				if d := cmp.Diff(before, s.texts()); d != "" {
					t.Errorf("(-before +after):\n%s", d)
				}
			}
			if open, _ := p.st.Open(t.Context()); len(open) > 0 {
				t.Errorf("open runs %+v", open)
			}
		})
	}
}

// canceling cancels the run when its driver comes to a phase, as Ctrl-C would.
type canceling struct {
	drivers.Driver
	at     string
	cancel func()
}

func (c *canceling) Observe(ctx context.Context) (models.DeviceState, error) {
	if c.at == "observe" {
		c.cancel()
		return models.DeviceState{}, ctx.Err()
	}
	return c.Driver.Observe(ctx)
}

func (c *canceling) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	switch c.at {
	case "enter":
		c.cancel()
		return ctx.Err()
	case "edit", "commit":
		err := c.Driver.Apply(ctx, cp)
		c.cancel()
		if c.at == "edit" {
			return ctx.Err() // whether it was heard is not known
		}
		return err
	}
	return c.Driver.Apply(ctx, cp)
}

func (c *canceling) Confirm(ctx context.Context, cp drivers.Checkpoint) error {
	if c.at == "confirm" {
		c.cancel()
	}
	return c.Driver.Confirm(ctx, cp)
}

// TestFactsReachTheRenderer: what a device says of itself chooses the form of its
// commands, in a plan, in a saved one, and when a change is made again.
func TestFactsReachTheRenderer(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	s.devices["leaf1"].facts = models.Facts{Model: "model-x"}
	p := s.start(0, false)
	req := Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}}
	made, err := p.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got := made.Groups[0].Waves[0][0].Script.Steps[0].Text; !strings.HasSuffix(got, " model-x") {
		t.Errorf("first step %q does not know the model", got)
	}
	res, err := p.Apply(t.Context(), ApplyRequest{Saved: made})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
}

// TestWayBackStopsCopiesFirst: after a failure the devices that send copies go back
// before the one that receives them.
func TestWayBackStopsCopiesFirst(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	s.devices["leaf2"].fail["commit"] = refused("%% Cannot commit")
	wantOutcome(t, apply(t, s.start(0, false), rspanIntent("far", "leaf3", "leaf1", "leaf2")), Reverted)
	if d := cmp.Diff([]string{"leaf3", "leaf1", "leaf1", "leaf3"}, s.order); d != "" {
		t.Errorf("made and taken back in order (-want +got):\n%s", d)
	}
}
