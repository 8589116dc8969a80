package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/drivers"
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
