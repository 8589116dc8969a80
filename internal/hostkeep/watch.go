package hostkeep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Watcher looks at a host whenever its interfaces change, and now and then for what
// no event tells: files, leases, what others do to filters.
type Watcher struct {
	// Events gives a line for each change. It is closed when ctx ends.
	Events func(ctx context.Context) (<-chan string, error)
	// Look looks and does what is to be done. It is told why, "" when nothing has
	// happened. It gives the moment at which it wants to look again at the latest, zero
	// for no wish.
	Look func(ctx context.Context, why string) (next time.Time)

	// Alarm is told of each event at once, before the silence that Look waits for: it is
	// for what must not wait. nil is none.
	Alarm func(ctx context.Context, event string)

	Settle time.Duration // of silence after an event before looking: changes come in groups
	Most   time.Duration // longest wait while events keep coming
	Every  time.Duration // longest time without a look
}

// Run looks at once and then watches until ctx ends, which is no error. What could
// not be subscribed to is.
func (w Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	// Events first: what changes during the first look is not missed.
	events, err := w.Events(ctx)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range events { // until it is closed
		}
	}()
	why := ""
	for ctx.Err() == nil {
		next := w.Look(ctx, why)
		why = w.wait(ctx, events, next)
	}
	return nil
}

// wait waits for a reason to look again and gives it.
func (w Watcher) wait(ctx context.Context, events <-chan string, next time.Time) string {
	until := w.Every
	if !next.IsZero() {
		until = min(until, max(0, time.Until(next)))
	}
	look := time.NewTimer(until)
	defer look.Stop()
	select {
	case <-ctx.Done():
		return ""
	case <-look.C:
		return ""
	case e, ok := <-events:
		if !ok {
			<-ctx.Done() // it is closed for no other reason
			return ""
		}
		w.alarm(ctx, e)
		return reason(w.gather(ctx, events, e))
	}
}

// gather takes events until there are none for a while.
func (w Watcher) gather(ctx context.Context, events <-chan string, first string) []string {
	all := []string{first}
	most := time.NewTimer(w.Most)
	defer most.Stop()
	for {
		settle := time.NewTimer(w.Settle)
		select {
		case e, ok := <-events:
			settle.Stop()
			if !ok {
				return all
			}
			w.alarm(ctx, e)
			if !slices.Contains(all, e) {
				all = append(all, e)
			}
		case <-settle.C:
			return all
		case <-most.C:
			settle.Stop()
			return all
		case <-ctx.Done():
			settle.Stop()
			return all
		}
	}
}

func (w Watcher) alarm(ctx context.Context, event string) {
	if w.Alarm != nil {
		w.Alarm(ctx, event)
	}
}

// reason puts events into one line.
func reason(events []string) string {
	const most = 4
	if len(events) > most {
		return fmt.Sprintf("%s, and %d more changes", strings.Join(events[:most], ", "), len(events)-most)
	}
	return strings.Join(events, ", ")
}
