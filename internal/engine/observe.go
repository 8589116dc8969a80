package engine

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// Observation is what one device showed, or why it did not.
type Observation struct {
	Device models.DeviceID
	State  models.DeviceState
	Err    error
}

// Observe looks at devices and gives the observations in the same order. A device
// that cannot be reached is a result, not an error.
func (e *Engine) Observe(ctx context.Context, devices []models.DeviceID) []Observation {
	cs := newConns(e.c.Open, e.c.MaxOpen)
	defer cs.closeAll()
	return e.observe(ctx, cs, devices, nil)
}

// observe is Observe for devices on which sessions are wanted.
func (e *Engine) observe(ctx context.Context, cs *conns, devices []models.DeviceID, wanted []models.Session) []Observation {
	out := make([]Observation, len(devices))
	byDevice := make(map[models.DeviceID][]models.Session)
	for _, s := range wanted {
		byDevice[s.Device] = append(byDevice[s.Device], s)
	}
	e.c.Progress.Start(drivers.PhaseObserve, len(devices))
	e.each(ctx, devices, func(i int, dev models.DeviceID) {
		out[i] = Observation{Device: dev}
		out[i].Err = cs.with(ctx, dev, func(d drivers.Driver) error {
			if x, ok := d.(drivers.Expecter); ok {
				x.Expect(byDevice[dev])
			}
			st, err := d.Observe(ctx)
			if err != nil {
				return drivers.WrapError(dev, drivers.PhaseObserve, err)
			}
			st.Device = dev
			out[i].State = st
			return nil
		})
		e.c.Progress.Done(drivers.PhaseObserve, dev, out[i].Err)
		if out[i].Err != nil {
			e.c.Log.Info("not observed", "device", dev, "phase", drivers.PhaseObserve, "error", out[i].Err)
		} else {
			e.c.Log.Info("observed", "device", dev, "phase", drivers.PhaseObserve, "sessions", len(out[i].State.Sessions))
		}
	}, func(i int, dev models.DeviceID, err error) {
		out[i] = Observation{Device: dev, Err: drivers.WrapError(dev, drivers.PhaseObserve, err)}
		e.c.Progress.Done(drivers.PhaseObserve, dev, out[i].Err)
	})
	return out
}

// each runs f for every device, bounded by the engine's slots, and waits. skipped
// is called instead for devices whose turn had not come when ctx ended.
func (e *Engine) each(ctx context.Context, devices []models.DeviceID, f func(int, models.DeviceID), skipped func(int, models.DeviceID, error)) {
	one := func(i int, dev models.DeviceID) {
		release, err := e.slot(ctx)
		if err != nil {
			skipped(i, dev, err)
			return
		}
		defer release()
		f(i, dev)
	}
	if len(devices) == 1 { // the common case of a wave, of which there may be thousands
		one(0, devices[0])
		return
	}
	var g errgroup.Group
	g.SetLimit(cap(e.slots))
	for i, dev := range devices {
		g.Go(func() error {
			one(i, dev)
			return nil
		})
	}
	_ = g.Wait() // the functions above give no error
}

// inventoryOrder sorts devices as the inventory has them; unknown ones come last.
func (e *Engine) inventoryOrder(set map[models.DeviceID]bool) []models.DeviceID {
	out := make([]models.DeviceID, 0, len(set))
	known := make(map[models.DeviceID]bool, len(set))
	for _, d := range e.c.Network.Devices {
		if set[d.ID] && !known[d.ID] {
			known[d.ID] = true
			out = append(out, d.ID)
		}
	}
	var rest []models.DeviceID
	for id := range set {
		if !known[id] {
			rest = append(rest, id)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}
