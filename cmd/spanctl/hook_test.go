package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// Environment variables of processes that dieAtWrite prepares.
const (
	envDie   = "SPANCTL_TEST_DIE"   // "3 before" or "3 after": at the third write to the store
	envCount = "SPANCTL_TEST_COUNT" // file that gets the names of all writes, one a line
)

// dieAtWrite makes this process kill itself, as kill -9 does, at a write to its
// store. It is called in processes that play spanctl, before anything else.
func dieAtWrite() {
	w := &deadlyStore{count: os.Getenv(envCount)}
	if at, when, ok := strings.Cut(os.Getenv(envDie), " "); ok {
		n, err := strconv.Atoi(at)
		if err != nil || when != "before" && when != "after" {
			panic(envDie + ": want NUMBER before|after")
		}
		w.at, w.after = n, when == "after"
	}
	if w.at == 0 && w.count == "" {
		return
	}
	wrapStore = func(s store.Store) store.Store {
		w.Store = s
		return w
	}
}

// deadlyStore counts writes, and dies at one of them.
type deadlyStore struct {
	store.Store
	at    int
	after bool
	count string

	mu     sync.Mutex
	writes int
}

func (d *deadlyStore) write(name string, f func() error) error {
	d.mu.Lock()
	d.writes++
	hit := d.writes == d.at
	if d.count != "" {
		f, err := os.OpenFile(d.count, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(f, name)
		_ = f.Close()
	}
	if hit && !d.after {
		die()
	}
	d.mu.Unlock()
	err := f()
	if hit {
		die()
	}
	return err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

func (d *deadlyStore) Lock(ctx context.Context, run string, devices []models.DeviceID) (func() error, error) {
	var release func() error
	err := d.write("lock", func() (err error) {
		release, err = d.Store.Lock(ctx, run, devices)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func() error { return d.write("release", release) }, nil
}

func (d *deadlyStore) Begin(ctx context.Context, r store.Run) error {
	return d.write("begin", func() error { return d.Store.Begin(ctx, r) })
}

func (d *deadlyStore) Save(ctx context.Context, run string, e store.Entry) error {
	return d.write(e.Step.String()+" "+string(e.Device), func() error { return d.Store.Save(ctx, run, e) })
}

func (d *deadlyStore) Commit(ctx context.Context, run, group string, put []models.Record, del []models.SessionID) error {
	return d.write("commit", func() error { return d.Store.Commit(ctx, run, group, put, del) })
}

func (d *deadlyStore) Finish(ctx context.Context, run, outcome string) error {
	return d.write("finish", func() error { return d.Store.Finish(ctx, run, outcome) })
}

func (d *deadlyStore) Apply(ctx context.Context, put []models.Record, del []models.SessionID) error {
	return d.write("apply", func() error { return d.Store.Apply(ctx, put, del) })
}
