package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestThousandDevices applies one intent each to 1,000 devices and deletes them
// again. Work at once, goroutines and connections stay within their bounds, and
// Progress hears of every device once a phase.
func TestThousandDevices(t *testing.T) {
	const n, parallel, maxOpen = 1000, 8, 50
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("sw%d", i))
	}
	s := newFakeSite(t, ids...)
	p := s.start(0, false)
	var atWork, most, openConns, mostOpen atomic.Int64
	raise := func(to *atomic.Int64, v int64) {
		for old := to.Load(); v > old && !to.CompareAndSwap(old, v); old = to.Load() {
		}
	}
	c := p.c
	inner := c.Open
	c.Parallel, c.MaxOpen = parallel, maxOpen
	counts := &counting{started: map[drivers.Phase]int{}, done: map[drivers.Phase]int{}}
	c.Progress = counts
	c.Open = func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
		d, err := inner(ctx, dev)
		if err != nil {
			return nil, err
		}
		raise(&mostOpen, openConns.Add(1))
		return &watched{Driver: d, begin: func() func() {
			raise(&most, atWork.Add(1))
			return func() { atWork.Add(-1) }
		}, closed: func() { openConns.Add(-1) }}, nil
	}
	e := New(c)
	var intents []models.Intent
	var names []string
	for _, id := range ids {
		intents = append(intents, spanIntent("m-"+id, id, models.Rx, "Ethernet1"))
		names = append(names, "m-"+id)
	}
	before := s.texts()
	base := runtime.NumGoroutine()
	var mostGoroutines atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				raise(&mostGoroutines, int64(runtime.NumGoroutine()-base))
			}
		}
	})
	res, err := e.Apply(t.Context(), ApplyRequest{Request: Request{Intents: intents}})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	if res, err = e.Apply(t.Context(), ApplyRequest{Request: Request{Remove: names}}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, res, Applied)
	close(stop)
	wg.Wait()
	if d := cmp.Diff(before, s.texts()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if got := most.Load(); got > parallel || got < 2 {
		t.Errorf("%d devices at once, want 2 to %d", got, parallel)
	}
	if got := mostOpen.Load(); got > maxOpen+parallel {
		t.Errorf("%d connections open at once, want at most %d and those at work", got, maxOpen)
	}
	if got := openConns.Load(); got != 0 {
		t.Errorf("%d connections are left open", got)
	}
	// Two groups for every slot, and those that close connections at the end.
	if got := mostGoroutines.Load(); got > 2*parallel+100+20 {
		t.Errorf("%d goroutines at once", got)
	}
	want := map[drivers.Phase]int{drivers.PhaseObserve: 2 * n, drivers.PhaseApply: 2 * n}
	if d := cmp.Diff(want, counts.started); d != "" {
		t.Errorf("announced (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, counts.done); d != "" {
		t.Errorf("done (-want +got):\n%s", d)
	}
}

// watched is a driver that tells when it is at work.
type watched struct {
	drivers.Driver
	begin  func() func()
	closed func()
}

func (w *watched) Observe(ctx context.Context) (models.DeviceState, error) {
	defer w.begin()()
	return w.Driver.Observe(ctx)
}

func (w *watched) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	defer w.begin()()
	return w.Driver.Apply(ctx, cp)
}

func (w *watched) Confirm(ctx context.Context, cp drivers.Checkpoint) error {
	defer w.begin()()
	return w.Driver.Confirm(ctx, cp)
}

func (w *watched) Close() error {
	w.closed()
	return w.Driver.Close()
}

type counting struct {
	mu            sync.Mutex
	started, done map[drivers.Phase]int
}

func (c *counting) Start(p drivers.Phase, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started[p] += n
}

func (c *counting) Done(p drivers.Phase, _ models.DeviceID, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[p]++
}

// TestProgressCountsAll fails a device of the first wave: those of the second are
// told of, too.
func TestProgressCountsAll(t *testing.T) {
	s := newFakeSite(t, "leaf1", "leaf2", "leaf3")
	s.devices["leaf3"].fail["edit"] = refused("%% Invalid input")
	p := s.start(0, false)
	counts := &counting{started: map[drivers.Phase]int{}, done: map[drivers.Phase]int{}}
	p.c.Progress = counts
	wantOutcome(t, apply(t, p, rspanIntent("far", "leaf3", "leaf1", "leaf2")), Reverted)
	if d := cmp.Diff(counts.started, counts.done); d != "" {
		t.Errorf("(-announced +done):\n%s", d)
	}
}

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
				if d, err := inner(ctx, dev); err != nil || dev > "leaf2" {
					return d, err
				} else {
					return slow{d}, nil
				}
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
			if res.Failed() != true || res.Held.IsZero() != (hold == 0) {
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

// TestLongQuestion lets a person think while somebody changes the device.
func TestLongQuestion(t *testing.T) {
	for _, change := range []bool{false, true} {
		t.Run(fmt.Sprintf("changed meanwhile: %v", change), func(t *testing.T) {
			s := newFakeSite(t, "leaf1")
			p := s.start(0, false)
			res, err := p.Apply(t.Context(), ApplyRequest{
				Request: Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}},
				Approve: func(*Plan) (bool, error) {
					s.pass(time.Minute)
					if change {
						s.devices["leaf1"].sessions[0].TruncateTo = 64
					}
					return true, nil
				}})
			if change {
				if !errors.Is(err, ErrMoved) || len(s.devices["leaf1"].names()) != 1 {
					t.Errorf("error %v, sessions %v; want ErrMoved and nothing sent", err, s.devices["leaf1"].names())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, res, Applied)
		})
	}
}

// TestSavedPlanIsNotBlindlySent refuses saved plans that were altered, whose edit is
// not the next of its device, whose lease has ended, or whose timer is not the one
// that is asked for.
func TestSavedPlanIsNotBlindlySent(t *testing.T) {
	at := func(s *fakeSite) models.Expiry { return models.Expiry{At: s.now().Add(time.Hour)} }
	tests := []struct {
		name string
		do   func(*testing.T, *fakeSite, *process, *Plan)
		hold time.Duration
		want string
	}{
		{"altered", func(_ *testing.T, _ *fakeSite, _ *process, p *Plan) {
			p.Groups[0].Waves[0][0].Script.Steps[1].Text = "reload"
		}, 0, "the plan was altered"},
		{"applied and deleted since", func(t *testing.T, s *fakeSite, p *process, _ *Plan) {
			in := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
			wantOutcome(t, apply(t, p, in), Applied)
			wantOutcome(t, remove(t, p, "web"), Applied)
		}, 0, "moved"},
		{"too late", func(_ *testing.T, s *fakeSite, _ *process, _ *Plan) { s.pass(2 * time.Hour) }, 0, "the lease ended"},
		{"another timer", func(*testing.T, *fakeSite, *process, *Plan) {}, time.Minute, "--way-back 1m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSite(t, "leaf1")
			p := s.start(0, false)
			in := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
			in.Spec.Expires = at(s)
			saved, err := p.Plan(t.Context(), Request{Intents: []models.Intent{in}})
			if err != nil {
				t.Fatal(err)
			}
			tt.do(t, s, p, saved)
			before := s.texts()
			res, err := p.Apply(t.Context(), ApplyRequest{Saved: saved, Hold: tt.hold})
			got := fmt.Sprint(err)
			if err == nil {
				got = res.Plan.Findings.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("refused with %q, want %q", got, tt.want)
			}
			if d := cmp.Diff(before, s.texts()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}
