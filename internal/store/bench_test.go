package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// manyRecords gives n records, ten per device.
func manyRecords(n int) []models.Record {
	out := make([]models.Record, n)
	for i := range out {
		dev := models.DeviceID(fmt.Sprintf("leaf%05d", i/10))
		out[i] = models.Record{
			Session: models.Session{
				Device: dev, Name: fmt.Sprintf("ids-%d", i%10), Role: models.RoleLocal,
				Sources: []models.Source{
					{Kind: models.SourcePort, Name: "Ethernet1", Direction: models.Both},
					{Kind: models.SourcePort, Name: "Ethernet2", Direction: models.Rx},
				},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48"}},
			},
			Intent: "ids", Owner: "secops", Reason: "CHG-1234", Run: "r1",
			Since: time.Unix(0, 0), Expires: time.Unix(int64(i), 0),
		}
	}
	return out
}

// fill makes a store with n records, closed.
func fill(tb testing.TB, n int) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "state.db")
	s, err := store.Open(tb.Context(), path, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Apply(tb.Context(), manyRecords(n), nil); err != nil {
		tb.Fatal(err)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

func BenchmarkCreate(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		s, err := store.Open(b.Context(), filepath.Join(dir, fmt.Sprint(i)), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 1000, 100_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			path := fill(b, n)
			st, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := store.Open(b.Context(), path, store.Options{})
				if err != nil {
					b.Fatal(err)
				}
				_ = s.Close()
			}
			b.ReportMetric(float64(st.Size()), "file-bytes")
		})
	}
}

// BenchmarkCheck reads a file of 100,000 records whole.
func BenchmarkCheck(b *testing.B) {
	s := open(b, fill(b, 100_000), store.Options{})
	for b.Loop() {
		if err := s.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "state.db"), store.Options{})
			records := manyRecords(n)
			for b.Loop() {
				if err := s.Apply(b.Context(), records, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRecords reads from a store of 100,000 records.
func BenchmarkRecords(b *testing.B) {
	s := open(b, fill(b, 100_000), store.Options{})
	for _, devices := range []int{1, 100, 0} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			var ids []models.DeviceID
			for i := range devices {
				ids = append(ids, models.DeviceID(fmt.Sprintf("leaf%05d", i*7)))
			}
			want := devices * 10
			if devices == 0 {
				want = 100_000
			}
			for b.Loop() {
				got, err := s.Records(b.Context(), ids...)
				if err != nil || len(got) != want {
					b.Fatalf("%d records, %v", len(got), err)
				}
			}
		})
	}
}

// BenchmarkRun is all that a run on 1,000 devices asks of the store, 200 at a
// time: seven steps per device, each durable.
func BenchmarkRun(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "state.db"), store.Options{})
	for b.Loop() {
		run := store.NewRunID(time.Now())
		if err := s.Begin(b.Context(), store.Run{ID: run}); err != nil {
			b.Fatal(err)
		}
		work := make(chan int)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				for i := range work {
					if err := oneDevice(b.Context(), s, run, models.DeviceID(fmt.Sprintf("leaf%04d", i))); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range 1000 {
			work <- i
		}
		close(work)
		wg.Wait()
		if err := s.Finish(b.Context(), run, "done"); err != nil {
			b.Fatal(err)
		}
	}
}

func oneDevice(ctx context.Context, s *store.DB, run string, dev models.DeviceID) error {
	release, err := s.Lock(ctx, run, []models.DeviceID{dev})
	if err != nil {
		return err
	}
	cp := checkpointOf(dev)
	group := "intent-" + string(dev)
	for _, step := range []store.Step{store.Planned, store.Sending, store.Applied, store.Verified, store.Confirming} {
		if err := s.Save(ctx, run, store.Entry{Group: group, Device: dev, Step: step, Checkpoint: cp}); err != nil {
			return err
		}
		cp = nil
	}
	if err := s.Commit(ctx, run, group, []models.Record{{Session: models.Session{Device: dev, Name: "x"}, Run: run}}, nil); err != nil {
		return err
	}
	return release()
}

func checkpointOf(dev models.DeviceID) *drivers.Checkpoint {
	session := models.Session{Device: dev, Name: "x"}
	return &drivers.Checkpoint{Device: dev, Script: transport.Script{Steps: []transport.Step{{Text: "monitor session x source Ethernet1"}}},
		Changes: models.ChangeSet{Device: dev, Changes: []models.Change{{Op: models.Create, After: &session}}}}
}
