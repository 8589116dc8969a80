package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// TestSharedVLANKeepsOrder gives an RSPAN VLAN from one intent to another that
// shares no device with it: the giver goes first, and when it cannot, the taker
// does not begin.
func TestSharedVLANKeepsOrder(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("the giver fails: %v", fails), func(t *testing.T) {
			s := newFakeSite(t, "leaf1", "leaf2", "leaf3", "leaf4")
			p := s.start(0, false)
			wantOutcome(t, apply(t, p, rspanIntent("old", "leaf2", "leaf1")), Applied)
			held := s.texts()
			s.order = nil
			if fails {
				s.devices["leaf1"].fail["commit"] = refused("%% Cannot commit")
			}
			// The giver is slow: without an order the taker would be done long before.
			inner := p.c.Open
			p.c.Open = func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
				d, err := inner(ctx, dev)
				if err == nil && dev <= "leaf2" {
					d = slow{d}
				}
				return d, err
			}
			res, err := p.Apply(t.Context(), ApplyRequest{Request: Request{Remove: []string{"old"}, Intents: []models.Intent{rspanIntent("new", "leaf4", "leaf3")}}})
			if err != nil {
				t.Fatal(err)
			}
			if !fails {
				wantOutcome(t, res, Applied)
				if len(s.order) != 4 || s.order[0] > "leaf2" || s.order[1] > "leaf2" {
					t.Errorf("changed in order %v; want leaf1 and leaf2 first", s.order)
				}
				return
			}
			wantOutcome(t, res, Partial)
			if g := res.Groups[1]; g.Outcome != Untouched || !strings.Contains(g.Err, "intent old, which comes first") {
				t.Errorf("the taker: %+v", g)
			}
			if d := cmp.Diff(held, s.texts()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

type slow struct{ drivers.Driver }

func (s slow) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	time.Sleep(20 * time.Millisecond)
	return s.Driver.Apply(ctx, cp)
}

// TestOneOfTwoFails applies two intents that share nothing: one fails, the other
// stays, and the run says both. Held, the good one can be confirmed.
func TestOneOfTwoFails(t *testing.T) {
	for _, hold := range []time.Duration{0, 5 * time.Minute} {
		t.Run(fmt.Sprintf("held for %s", hold), func(t *testing.T) {
			s := newFakeSite(t, "leaf1", "leaf2")
			before := s.texts()
			s.devices["leaf2"].fail["edit"] = refused("%% Invalid input")
			p := s.start(0, false)
			res, err := p.Apply(t.Context(), ApplyRequest{Hold: hold, Request: Request{Intents: []models.Intent{
				spanIntent("a", "leaf1", models.Rx, "Ethernet1"), spanIntent("b", "leaf2", models.Rx, "Ethernet1")}}})
			if err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, res, Partial)
			if !res.Failed() || res.Held.IsZero() != (hold == 0) {
				t.Errorf("failed %v, held until %v", res.Failed(), res.Held)
			}
			if hold > 0 {
				p.die()
				p = s.start(0, false)
				if res, err = p.Confirm(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				wantOutcome(t, res, Applied)
			}
			if d := cmp.Diff([]string{"sp-a", "tap"}, s.devices["leaf1"].names()); d != "" {
				t.Errorf("leaf1 (-want +got):\n%s", d)
			}
			if d := cmp.Diff(before["leaf2"], s.texts()["leaf2"]); d != "" {
				t.Errorf("leaf2 (-before +after):\n%s", d)
			}
			if open, err := p.st.Open(t.Context()); err != nil || len(open) > 0 {
				t.Errorf("open runs %+v, %v", open, err)
			}
		})
	}
}

// TestTimerLapsesBeforeConfirm lets the timer of one of two devices lapse between
// reading back and confirming: what it lost is made again.
func TestTimerLapsesBeforeConfirm(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2")
	p := s.start(0, false)
	inner := p.c.Open
	p.c.Open = func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
		d, err := inner(ctx, dev)
		if err == nil && dev == "leaf1" {
			d = lapsing{d, s.devices[dev]}
		}
		return d, err
	}
	wantOutcome(t, apply(t, p, rspanIntent("far", "leaf2", "leaf1")), Applied)
	for _, dev := range []models.DeviceID{"leaf1", "leaf2"} {
		if names := s.devices[dev].names(); len(names) != 2 {
			t.Errorf("%s holds %v", dev, names)
		}
	}
	if drift, err := p.Drift(t.Context(), nil); err != nil || len(drift) > 0 {
		t.Errorf("drift %+v, %v", drift, err)
	}
}

type lapsing struct {
	drivers.Driver
	d *fakeDevice
}

func (l lapsing) Confirm(ctx context.Context, cp drivers.Checkpoint) error {
	l.d.mu.Lock()
	if !l.d.deadline.IsZero() {
		l.d.deadline = l.d.now()
	}
	l.d.mu.Unlock()
	return l.Driver.Confirm(ctx, cp)
}

// TestHangIsBounded lets a device never answer again after its commit. The run ends
// after a few attempts, in doubt, and recover settles it when the device is back.
func TestHangIsBounded(t *testing.T) {
	s := newFakeSite(t, "leaf1")
	before := s.texts()
	gone := &transport.Error{Kind: transport.Timeout, Err: context.DeadlineExceeded, InDoubt: true}
	s.devices["leaf1"].fail["commit"] = gone
	s.devices["leaf1"].failAll["cancel"] = gone
	p := s.start(0, false)
	begin := time.Now()
	res := apply(t, p, spanIntent("web", "leaf1", models.Rx, "Ethernet1"))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	wantOutcome(t, res, InDoubt)
	if text := res.Groups[0].Devices[0].Err; !strings.Contains(text, "goes back by itself within") || strings.Count(text, "leaf1") != 1 {
		t.Errorf("error %q", text)
	}
	p.die()
	delete(s.devices["leaf1"].failAll, "cancel")
	q := s.start(0, false)
	rec, err := q.Recover(t.Context(), false)
	if err != nil || len(rec) != 1 || rec[0].Failed() {
		t.Fatalf("%+v, %v", rec, err)
	}
	if d := cmp.Diff(before, s.texts()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

func TestStatusOfAll(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2")
	got, failed, err := s.start(0, false).Status(t.Context(), nil)
	if err != nil || len(failed) > 0 || len(got) != 2 || got[0].Whose != Foreign {
		t.Errorf("status %+v, %v, %v; want the strangers' session of both devices", got, failed, err)
	}
}
