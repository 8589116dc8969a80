package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanctl/spanctl/models"
)

// beatsPerLease is how often a process gives a sign of life in one lease.
const beatsPerLease = 4

// Lock implements Locks.
func (d *DB) Lock(ctx context.Context, run string, devices []models.DeviceID) (func() error, error) {
	devices = slices.Clone(devices)
	slices.Sort(devices)
	devices = slices.Compact(devices)
	if run == "" {
		return nil, errors.New("a lock needs the id of a run")
	}
	if len(devices) > 0 && devices[0] == "" {
		return nil, errors.New("a lock needs the name of a device")
	}
	token := rand.Text()
	err := d.write(ctx, func(t *tx) error {
		now := d.now()
		if err := d.register(t, now); err != nil {
			return err
		}
		var held []Lock
		for _, dev := range devices {
			locks, err := d.lockRows(t, lockOf, now, dev)
			if err != nil {
				return err
			}
			if len(locks) > 0 && !locks[0].Holder.Dead {
				held = append(held, locks[0])
			}
		}
		if len(held) > 0 {
			return &LockedError{Locks: held}
		}
		for _, dev := range devices {
			_, err := t.exec(`INSERT INTO locks (device, run, process, token, since) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (device) DO UPDATE SET run = excluded.run, process = excluded.process, token = excluded.token, since = excluded.since`,
				string(dev), run, d.id, token, now.UnixNano())
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.startBeating()
	var once sync.Once
	return func() error {
		var err error
		once.Do(func() { err = d.unlock(token, len(devices)) })
		return err
	}, nil
}

// unlock gives n devices back.
func (d *DB) unlock(token string, n int) error {
	lost := false
	err := d.write(context.Background(), func(t *tx) error {
		left, err := t.exec(`DELETE FROM locks WHERE token = $1`, token)
		lost = int(left) < n
		return err
	})
	if errors.Is(err, ErrClosed) {
		return nil // Close has given them back
	}
	if err == nil && lost {
		err = ErrLockLost
	}
	return err
}

// Locked implements Locks.
func (d *DB) Locked(ctx context.Context) ([]Lock, error) {
	var out []Lock
	err := d.read(ctx, func(t *tx) (err error) {
		out, err = d.lockRows(t, allLocks, d.now())
		return err
	})
	slices.SortFunc(out, func(a, b Lock) int { return strings.Compare(string(a.Device), string(b.Device)) })
	return out, err
}

const (
	allLocks = `SELECT l.device, l.run, l.since, p.id, p.login, p.host, p.pid, p.scope, p.pid_start, p.seen
		FROM locks l JOIN processes p ON p.id = l.process`
	lockOf = allLocks + ` WHERE l.device = $1`
)

func (d *DB) lockRows(t *tx, query string, now time.Time, device ...models.DeviceID) ([]Lock, error) {
	var args []any
	for _, dev := range device {
		args = append(args, string(dev))
	}
	var out []Lock
	err := t.rows(query, args, func(scan func(...any) error) error {
		var l Lock
		var p process
		var since int64
		if err := scan(append([]any{&l.Device, &l.Run, &since}, p.columns()...)...); err != nil {
			return err
		}
		l.Since = time.Unix(0, since).UTC()
		l.Holder = p.judged(d.scope, now, d.lease)
		out = append(out, l)
		return nil
	})
	return out, err
}

// holds reports whether this store holds the lock of dev.
func (d *DB) holds(t *tx, dev models.DeviceID) (bool, error) {
	var one int
	return t.row(`SELECT 1 FROM locks WHERE device = $1 AND process = $2`, []any{string(dev), d.id}, &one)
}

// register writes down that this store is open, and forgets the dead that have
// left nothing behind.
func (d *DB) register(t *tx, now time.Time) error {
	d.registered.Store(true)
	var one int
	known, err := t.row(`SELECT 1 FROM processes WHERE id = $1`, []any{d.id}, &one)
	if err != nil || known {
		return err
	}
	p := thisProcess(d.id, now)
	if _, err := t.exec(`INSERT INTO processes (id, login, host, pid, scope, pid_start, seen) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		p.id, p.User, p.Host, p.PID, p.scope, p.start, now.UnixNano()); err != nil {
		return err
	}
	all, err := processes(t)
	if err != nil {
		return err
	}
	for _, p := range all {
		if !p.dead(d.scope, now, d.lease) {
			continue
		}
		if _, err := t.exec(`DELETE FROM processes WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM locks WHERE process = $1)`, p.id); err != nil {
			return err
		}
	}
	return nil
}

// unregister gives up what register and Lock have made.
func (d *DB) unregister(t *tx) error {
	if _, err := t.exec(`DELETE FROM locks WHERE process = $1`, d.id); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM processes WHERE id = $1`, d.id)
	return err
}

// startBeating makes the store give signs of life until it is closed.
func (d *DB) startBeating() {
	d.beat.Do(func() {
		d.running.Go(func() {
			tick := time.NewTicker(max(d.lease/beatsPerLease, time.Millisecond))
			defer tick.Stop()
			for {
				select {
				case <-d.stopped.Done():
					return
				case <-tick.C:
				}
				// A write that fails is tried again at the next tick. Who has been silent
				// for a whole lease loses locks, which Save and release then tell.
				_ = d.write(d.stopped, d.giveSign)
			}
		})
	})
}

// giveSign tells other processes that this one lives.
func (d *DB) giveSign(t *tx) error {
	now := d.now()
	n, err := t.exec(`UPDATE processes SET seen = $2 WHERE id = $1`, d.id, now.UnixNano())
	if err == nil && n == 0 { // taken for dead, and forgotten
		err = d.register(t, now)
	}
	return err
}

// processes gives all processes by id.
func processes(t *tx) (map[string]process, error) {
	out := make(map[string]process)
	err := t.rows(`SELECT id, login, host, pid, scope, pid_start, seen FROM processes`, nil, func(scan func(...any) error) error {
		var p process
		if err := scan(p.columns()...); err != nil {
			return err
		}
		out[p.id] = p
		return nil
	})
	return out, err
}

// columns gives where to scan id, login, host, pid, scope, pid_start and seen to.
func (p *process) columns() []any {
	return []any{&p.id, &p.User, &p.Host, &p.PID, &p.scope, &p.start, (*nanoTime)(&p.Seen)}
}

func (p process) judged(scope string, now time.Time, lease time.Duration) Process {
	p.Dead = p.dead(scope, now, lease)
	return p.Process
}

// nanoTime scans a column of nanoseconds.
type nanoTime time.Time

// Scan implements sql.Scanner.
func (n *nanoTime) Scan(v any) error {
	var i sql.NullInt64
	if err := i.Scan(v); err != nil {
		return err
	}
	*n = nanoTime(fromNanos(i))
	return nil
}
