package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

func testLocks(t *testing.T, s store.Store) {
	release, err := s.Lock(t.Context(), "r1", []models.DeviceID{"c", "a", "c"})
	ok(t, err)
	locked := func() (out []string) {
		t.Helper()
		locks, err := s.Locked(t.Context())
		ok(t, err)
		for _, l := range locks {
			if l.Holder.Dead || l.Holder.PID == 0 || l.Holder.User == "" || l.Holder.Host == "" || l.Since.IsZero() {
				t.Errorf("lock of a living process: %+v", l)
			}
			out = append(out, string(l.Device)+" "+l.Run)
		}
		return out
	}
	equal(t, "locked", []string{"a r1", "c r1"}, locked())

	_, err = s.Lock(t.Context(), "r2", []models.DeviceID{"d", "c", "b", "a"})
	var le *store.LockedError
	if !errors.As(err, &le) || len(le.Locks) != 2 || le.Locks[0].Device != "a" || le.Locks[1].Run != "r1" {
		t.Fatalf("error %v, want a LockedError on a and c", err)
	}
	for _, want := range []string{"a is locked by ", "run r1", "c is locked by ", "pid "} {
		if !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	equal(t, "locked after a refusal", []string{"a r1", "c r1"}, locked())
	if _, err = s.Lock(t.Context(), "r1", []models.DeviceID{"a"}); !errors.As(err, &le) {
		t.Errorf("the same run again: error %v, want a LockedError", err)
	}

	release2 := lock(t, s, "r2", "b", "d")
	ok(t, release())
	equal(t, "after release", []string{"b r2", "d r2"}, locked())
	release3 := lock(t, s, "r3", "a")
	ok(t, release()) // does nothing: a is another's now
	equal(t, "after a second release", []string{"a r3", "b r2", "d r2"}, locked())
	release2()
	release3()
	equal(t, "in the end", []string(nil), locked())

	none, err := s.Lock(t.Context(), "r", nil)
	ok(t, err)
	ok(t, none())
	if _, err := s.Lock(t.Context(), "r", []models.DeviceID{"a", ""}); err == nil {
		t.Error("a device without a name: no error")
	}
	if _, err := s.Lock(t.Context(), "", []models.DeviceID{"a"}); err == nil {
		t.Error("no run: no error")
	}
	equal(t, "after bad calls", []string(nil), locked())
}

func testEdits(t *testing.T, s store.Store) {
	next := func(run string, devices ...models.DeviceID) map[models.DeviceID]int64 {
		t.Helper()
		got, err := s.NextEdits(t.Context(), run, devices...)
		ok(t, err)
		return got
	}
	type m = map[models.DeviceID]int64
	begin(t, s, "r1")
	begin(t, s, "r2")
	release := lock(t, s, "r", "a", "b")
	defer release()
	touch := func(run string, dev models.DeviceID) {
		t.Helper()
		save(t, s, run, store.Entry{Group: "g", Device: dev, Step: store.Planned, Checkpoint: checkpoint(dev)})
		want := next("", dev)
		save(t, s, run, store.Entry{Group: "g", Device: dev, Step: store.Sending})
		equal(t, "the run's own number stays what the plan had", want, next(run, dev))
		save(t, s, run, store.Entry{Group: "g", Device: dev, Step: store.Applied},
			store.Entry{Group: "g", Device: dev, Step: store.Confirming}, store.Entry{Group: "g", Device: dev, Step: store.Reverting})
		equal(t, "and after more steps", want, next(run, dev))
	}
	equal(t, "nothing yet", m{"a": 1, "b": 1}, next("", "a", "b"))
	equal(t, "no devices", m{}, next(""))
	touch("r1", "a")
	equal(t, "for others", m{"a": 2, "b": 1}, next("", "a", "b"))
	equal(t, "for the next run", m{"a": 2}, next("r2", "a"))
	touch("r2", "a")
	equal(t, "after two runs", m{"a": 3, "b": 1}, next("r3", "b", "a"))
}

func testExport(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release := lock(t, s, "r", "a")
	defer release()
	e := store.Entry{Group: "g", Device: "a", Step: store.Sending, Checkpoint: checkpoint("a"), At: at}
	save(t, s, "r", e)
	r := record("a", "x", 0, at)
	ok(t, s.Apply(t.Context(), []models.Record{r}, nil))
	run, err := s.Run(t.Context(), "r")
	ok(t, err)
	var b bytes.Buffer
	ok(t, s.Export(t.Context(), &b))
	var got []store.Line
	for dec := json.NewDecoder(&b); ; {
		var l store.Line
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		ok(t, err)
		got = append(got, l)
	}
	equal(t, "lines", []store.Line{
		{Kind: "run", Run: &run.Run},
		{Kind: "entry", Entry: &store.ExportedEntry{Run: "r", Entry: e}},
		{Kind: "record", Record: &r},
	}, got)
	if err := s.Export(t.Context(), badWriter{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a writer that fails: error %v", err)
	}
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func testContext(t *testing.T, s store.Store) {
	begin(t, s, "r")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, lockErr := s.Lock(ctx, "r", []models.DeviceID{"a"})
	_, recordsErr := s.Records(ctx)
	_, openErr := s.Open(ctx)
	for name, err := range map[string]error{
		"lock":    lockErr,
		"records": recordsErr,
		"open":    openErr,
		"apply":   s.Apply(ctx, []models.Record{record("a", "x", 0, at)}, nil),
		"begin":   s.Begin(ctx, store.Run{ID: "r2"}),
		"save":    s.Save(ctx, "r", store.Entry{Group: "g", Device: "a", Step: store.Planned}),
		"commit":  s.Commit(ctx, "r", "g", nil, nil),
		"finish":  s.Finish(ctx, "r", "done"),
		"export":  s.Export(ctx, io.Discard),
	} {
		wantErr(t, name, err, context.Canceled)
	}
	var b bytes.Buffer
	ok(t, s.Export(t.Context(), &b))
	if n := bytes.Count(b.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("%d lines, want only the run:\n%s", n, &b)
	}
}

func testClosed(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release, err := s.Lock(t.Context(), "r", []models.DeviceID{"a"})
	ok(t, err)
	ok(t, s.Close())
	ok(t, s.Close())
	ok(t, release()) // Close has given it back
	_, recordsErr := s.Records(t.Context())
	wantErr(t, "records", recordsErr, store.ErrClosed)
	wantErr(t, "begin", s.Begin(t.Context(), store.Run{ID: "r2"}), store.ErrClosed)
}

func testConcurrent(t *testing.T, s store.Store) {
	const devices = 50
	begin(t, s, "r")
	var wg sync.WaitGroup
	for i := range devices {
		wg.Go(func() {
			dev := models.DeviceID(fmt.Sprintf("leaf%02d", i))
			group := "g-" + string(dev)
			release, err := s.Lock(t.Context(), "r", []models.DeviceID{dev})
			if err != nil {
				t.Error(err)
				return
			}
			steps := []store.Entry{
				{Step: store.Planned, Checkpoint: checkpoint(dev)}, {Step: store.Sending}, {Step: store.Applied}, {Step: store.Confirming},
			}
			for _, e := range steps {
				e.Group, e.Device = group, dev
				if err := s.Save(t.Context(), "r", e); err != nil {
					t.Error(err)
				}
				// Refusals of some must not cost others anything.
				if err := s.Begin(t.Context(), store.Run{ID: "r"}); !errors.Is(err, store.ErrExists) {
					t.Errorf("begin: %v", err)
				}
			}
			if err := s.Commit(t.Context(), "r", group, []models.Record{record(dev, "x", 0, at)}, nil); err != nil {
				t.Error(err)
			}
			if got, err := s.Records(t.Context(), dev); err != nil || len(got) != 1 {
				t.Errorf("records of %s: %v, %v", dev, got, err)
			}
			if err := release(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ok(t, s.Finish(t.Context(), "r", "done"))
	st, err := s.Run(t.Context(), "r")
	ok(t, err)
	if len(st.Entries) != 5*devices {
		t.Errorf("%d entries, want %d", len(st.Entries), 5*devices)
	}
}
