package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

func testKept(t *testing.T, open func() store.Store) {
	s := open()
	begin(t, s, "r")
	release := lock(t, s, "r", "a")
	save(t, s, "r", store.Entry{Group: "g", Device: "a", Step: store.Sending, Checkpoint: checkpoint("a"), At: at})
	r := record("a", "x", 0, at)
	ok(t, s.Apply(t.Context(), []models.Record{r}, nil))
	want, err := s.Run(t.Context(), "r")
	ok(t, err)
	release()
	ok(t, s.Close())

	s = open()
	got, err := s.Run(t.Context(), "r")
	ok(t, err)
	want.Interrupted = true
	equal(t, "run", want, got)
	records, err := s.Records(t.Context())
	ok(t, err)
	equal(t, "records", []models.Record{r}, records)
	edits, err := s.NextEdits(t.Context(), "", "a")
	ok(t, err)
	equal(t, "edits", map[models.DeviceID]int64{"a": 2}, edits)
}

func testSeen(t *testing.T, open func() store.Store) {
	s1, s2 := open(), open()
	begin(t, s1, "r")
	r := record("a", "x", 0, at)
	ok(t, s1.Apply(t.Context(), []models.Record{r}, nil))
	got, err := s2.Records(t.Context(), "a")
	ok(t, err)
	equal(t, "records", []models.Record{r}, got)
	runs, err := s2.Open(t.Context())
	ok(t, err)
	if len(runs) != 1 || runs[0].Interrupted {
		t.Errorf("open runs: %+v, want one that is at work", runs)
	}
	wantErr(t, "begin", s2.Begin(t.Context(), store.Run{ID: "r"}), store.ErrExists)
}

func testLockedOut(t *testing.T, open func() store.Store) {
	s1, s2 := open(), open()
	begin(t, s1, "r1")
	begin(t, s2, "r2")
	release := lock(t, s1, "r1", "a", "b")
	_, err := s2.Lock(t.Context(), "r2", []models.DeviceID{"b", "c"})
	var le *store.LockedError
	if !errors.As(err, &le) || len(le.Locks) != 1 || le.Locks[0].Run != "r1" {
		t.Fatalf("error %v, want a LockedError", err)
	}
	// The lock counts, not the run.
	e := store.Entry{Group: "g", Device: "a", Step: store.Sending, Checkpoint: checkpoint("a")}
	wantErr(t, "save", s2.Save(t.Context(), "r1", e), store.ErrNotLocked)
	release()
	release = lock(t, s2, "r2", "a", "b", "c")
	save(t, s2, "r1", e) // as recover does
	wantErr(t, "save", s1.Save(t.Context(), "r1", e), store.ErrNotLocked)
	release()
}

func testClose(t *testing.T, open func() store.Store) {
	s1, s2 := open(), open()
	begin(t, s1, "r1")
	begin(t, s2, "r2")
	lock(t, s1, "r1", "a")
	lock(t, s2, "r2", "b")
	ok(t, s1.Close())
	locks, err := s2.Locked(t.Context())
	ok(t, err)
	if len(locks) != 1 || locks[0].Device != "b" {
		t.Errorf("locked: %v, want only b", locks)
	}
	runs, err := s2.Open(t.Context())
	ok(t, err)
	if len(runs) != 2 || !runs[0].Interrupted || runs[1].Interrupted {
		t.Errorf("open runs: %+v, want r1 interrupted and r2 at work", runs)
	}
}

func testRace(t *testing.T, open func() store.Store) {
	stores := []store.Store{open(), open(), open()}
	for range 20 {
		var won atomic.Int32
		var releases [3]func() error
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				release, err := s.Lock(t.Context(), "r", []models.DeviceID{"b", "a"})
				var le *store.LockedError
				switch {
				case err == nil:
					won.Add(1)
					releases[i] = release
				case !errors.As(err, &le):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d have the lock, want 1", won.Load())
		}
		for _, release := range releases {
			if release != nil {
				ok(t, release())
			}
		}
	}
}
