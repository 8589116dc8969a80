// Package engine runs plans: it observes devices, plans, applies all or nothing
// per intent, verifies, and recovers what was interrupted.
//
// A run locks its devices, observes them, plans, and writes down what it is about
// to do before it does it. Every operation on a device is bounded by Parallel; one
// device is worked on by one group of changes at a time. Results come in the order
// of the inventory or of the plan, whatever finishes first.
package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Locks give the right to change devices.
type Locks interface {
	// Lock takes all devices or none.
	Lock(ctx context.Context, run string, devices []models.DeviceID) (release func() error, err error)
}

// Journal holds what is about to be done and what was done. See store.Journal.
type Journal interface {
	Begin(ctx context.Context, r store.Run) error
	Save(ctx context.Context, run string, e store.Entry) error
	Commit(ctx context.Context, run, group string, put []models.Record, del []models.SessionID) error
	Finish(ctx context.Context, run, outcome string) error
	Open(ctx context.Context) ([]store.RunState, error)
	Run(ctx context.Context, id string) (store.RunState, error)
}

// Records are what spanctl knows to be its own.
type Records interface {
	Records(ctx context.Context, devices ...models.DeviceID) ([]models.Record, error)
	Apply(ctx context.Context, put []models.Record, del []models.SessionID) error
	Due(ctx context.Context, now time.Time) ([]models.Record, error)
	NextEdits(ctx context.Context, run string, devices ...models.DeviceID) (map[models.DeviceID]int64, error)
}

// Store is all three. They are separate so that each can be replaced.
type Store interface {
	Locks
	Journal
	Records
}

// Opener connects to a device. The driver is closed by the engine.
type Opener func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error)

// Config is what an engine works with. Network, Platforms, Open and Store are
// needed; the zero value of the rest is useful.
type Config struct {
	Network   *models.Network
	Platforms plan.Platforms // nil for a device without a driver
	Names     plan.PortNames
	Open      Opener
	Store     Store

	Policy   plan.Policy
	Parallel int           // operations on devices at once; 0 = 20
	Within   time.Duration // the devices' timer during an apply; 0 = 10 min
	MaxOpen  int           // connections kept between observing and applying; 0 = 2000
	User     string        // who runs it, for the journal
	Now      func() time.Time
	Log      *slog.Logger
	Progress Progress // nil = none
}

// Progress is told of what happens. Its methods are called from many goroutines.
type Progress interface {
	// Start says that n devices are about to go through a phase.
	Start(phase drivers.Phase, n int)
	// Done says that one device went through it.
	Done(phase drivers.Phase, dev models.DeviceID, err error)
}

// Engine runs plans. It is safe for concurrent use; runs on the same device
// exclude each other by the store's locks.
type Engine struct {
	c     Config
	slots chan struct{} // one per operation on a device
}

// New makes an engine.
func New(c Config) *Engine {
	if c.Parallel <= 0 {
		c.Parallel = 20
	}
	if c.Within <= 0 {
		c.Within = 10 * time.Minute
	}
	if c.MaxOpen <= 0 {
		c.MaxOpen = 2000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = noProgress{}
	}
	return &Engine{c: c, slots: make(chan struct{}, c.Parallel)}
}

type noProgress struct{}

func (noProgress) Start(drivers.Phase, int)                   {}
func (noProgress) Done(drivers.Phase, models.DeviceID, error) {}

// slot waits for the right to talk to one more device.
func (e *Engine) slot(ctx context.Context) (func(), error) {
	select {
	case e.slots <- struct{}{}:
		return func() { <-e.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conns keeps the connections of one run. A device's driver is used under its
// device's lock; the map has its own.
type conns struct {
	open Opener
	max  int

	mu   sync.Mutex
	devs map[models.DeviceID]*conn
	live int
}

type conn struct {
	mu  sync.Mutex // held while the driver is used
	drv drivers.Driver
}

func newConns(open Opener, limit int) *conns {
	return &conns{open: open, max: limit, devs: make(map[models.DeviceID]*conn)}
}

// with runs f with the driver of dev, which it opens when needed. A driver whose
// call failed because the connection did is closed, so that the next call opens
// another.
func (cs *conns) with(ctx context.Context, dev models.DeviceID, f func(drivers.Driver) error) error {
	cs.mu.Lock()
	c := cs.devs[dev]
	if c == nil {
		c = &conn{}
		cs.devs[dev] = c
	}
	cs.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drv == nil {
		d, err := cs.open(ctx, dev)
		if err != nil {
			return drivers.WrapError(dev, drivers.PhaseConnect, err)
		}
		c.drv = d
		cs.count(1)
	}
	err := f(c.drv)
	if err != nil && connectionLost(err) || cs.over() {
		_ = c.drv.Close() // the failure that matters is err
		c.drv = nil
		cs.count(-1)
	}
	return err
}

func (cs *conns) count(n int) {
	cs.mu.Lock()
	cs.live += n
	cs.mu.Unlock()
}

func (cs *conns) over() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.live > cs.max
}

// reset closes the connection of dev, if any.
func (cs *conns) reset(dev models.DeviceID) {
	cs.mu.Lock()
	c := cs.devs[dev]
	cs.mu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drv != nil {
		_ = c.drv.Close()
		c.drv = nil
		cs.count(-1)
	}
}

// closeAll closes what is open, many at once.
func (cs *conns) closeAll() {
	cs.mu.Lock()
	devs := cs.devs
	cs.devs = make(map[models.DeviceID]*conn)
	cs.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(100) // closing may wait for the device, but not for much
	for _, c := range devs {
		g.Go(func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.drv != nil {
				_ = c.drv.Close() // the work is done
				c.drv = nil
			}
			return nil
		})
	}
	_ = g.Wait()
}
