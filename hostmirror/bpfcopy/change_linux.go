package bpfcopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/models"
)

// lockPoll is how often somebody else's lock is tried: a change takes milliseconds.
const lockPoll = 5 * time.Millisecond

// Change makes of what a port copies in a direction what f makes of it, in one step, as
// Apply does; no other process that uses Change does anything in between. Sessions that
// f leaves as they are lose destinations that are gone or other interfaces by now, and
// go when they have none left. f may change what it is given.
func (h *Host) Change(ctx context.Context, port Device, d models.Direction, f func(Set) (Set, error)) error {
	r, err := roleOf(d)
	if err != nil {
		return err
	}
	unlock, err := h.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := h.find(ctx, place{port.Ifindex, r})
	if err != nil {
		return err
	}
	have.close()
	works := have.attached() && len(have.problems) == 0
	if !works {
		have.config = config{}
	}
	was := have.config.Set
	set, err := f(Set{Sessions: slices.Clone(was.Sessions), Guard: slices.Clone(was.Guard)})
	if err != nil {
		return err
	}
	set = h.alive(set, was)
	if works && have.config.Port == port && reflect.DeepEqual(set, was) {
		return nil
	}
	return h.Apply(ctx, port, d, set)
}

// alive gives set where sessions that are as they were have no destinations that could
// be strangers.
func (h *Host) alive(set, was Set) Set {
	before := make(map[string]Session)
	for _, s := range was.Sessions {
		before[s.Name] = s
	}
	checked := make(map[Device]bool)
	gone := func(d Device) bool {
		bad, done := checked[d]
		if !done {
			bad = h.ethernet(d) != nil
			checked[d] = bad
		}
		return bad
	}
	out := Set{Guard: set.Guard}
	for _, s := range set.Sessions {
		if reflect.DeepEqual(s, before[s.Name]) && slices.ContainsFunc(s.Destinations, gone) {
			s.Destinations = slices.DeleteFunc(slices.Clone(s.Destinations), gone)
			if len(s.Destinations) == 0 {
				continue
			}
		}
		out.Sessions = append(out.Sessions, s)
	}
	return out
}

// lock keeps other processes from changing. It is on the folder of all namespaces,
// which stays.
func (h *Host) lock(ctx context.Context) (func(), error) {
	if err := h.makeDir(); err != nil {
		return nil, err
	}
	for {
		unlock, err := h.tryLock()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process changes BPF programs: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

func (h *Host) tryLock() (func(), error) {
	f, err := os.Open(filepath.Dir(h.dir))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}
