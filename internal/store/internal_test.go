package store

import (
	"context"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func openAt(t *testing.T, path string, o Options) *DB {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestLease is about processes that cannot see each other: of two machines or
// containers. Only the lease tells whether the other lives.
func TestLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	o := Options{Lease: time.Hour, Now: c.now} // the real ticker never fires here
	s1, s2 := openAt(t, path, o), openAt(t, path, o)
	s2.scope = "elsewhere"
	lock := func(s *DB) (func() error, error) { return s.Lock(t.Context(), "r", []models.DeviceID{"a"}) }

	if err := s1.Begin(t.Context(), Run{ID: "r"}); err != nil {
		t.Fatal(err)
	}
	release1, err := lock(s1)
	if err != nil {
		t.Fatal(err)
	}
	interrupted := func() bool {
		runs, err := s2.Open(t.Context())
		if err != nil || len(runs) != 1 {
			t.Fatalf("open runs %v, %v", runs, err)
		}
		return runs[0].Interrupted
	}
	c.t = c.t.Add(50 * time.Minute)
	if err := s1.write(t.Context(), s1.giveSign); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(time.Hour) // to the lease's last moment since the sign of life
	var le *LockedError
	if _, err := lock(s2); !errors.As(err, &le) || interrupted() {
		t.Fatalf("within the lease: error %v, interrupted %v", err, interrupted())
	}
	c.t = c.t.Add(1)
	if !interrupted() {
		t.Error("the run is not interrupted after the lease")
	}
	release2, err := lock(s2)
	if err != nil {
		t.Fatalf("after the lease: %v", err)
	}
	if err := release1(); !errors.Is(err, ErrLockLost) {
		t.Errorf("release of a lost lock: %v", err)
	}
	err = s1.Save(t.Context(), "r", Entry{Group: "g", Device: "a", Step: Sending})
	if !errors.Is(err, ErrNotLocked) {
		t.Errorf("save without the lock: %v", err)
	}
	if err := release2(); err != nil {
		t.Error(err)
	}

	// Taken for dead and forgotten, s1 comes back with its next sign of life.
	if err := s2.write(t.Context(), func(t *tx) error {
		_, err := t.exec(`DELETE FROM processes WHERE id = $1`, s1.id)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !interrupted() {
		t.Error("the run of a forgotten process is not interrupted")
	}
	if err := s1.write(t.Context(), s1.giveSign); err != nil {
		t.Fatal(err)
	}
	if interrupted() {
		t.Error("the run is interrupted after a sign of life")
	}
}

func TestSignsOfLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path, Options{Lease: 20 * time.Millisecond})
	if _, err := s.Lock(t.Context(), "r", []models.DeviceID{"a"}); err != nil {
		t.Fatal(err)
	}
	first, err := s.Locked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		now, err := s.Locked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if now[0].Holder.Seen.After(first[0].Holder.Seen) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no sign of life within 500 leases")
		}
	}
}

// TestDeadAreForgotten has a process die that has left nothing behind, and one
// that has left a lock.
func TestDeadAreForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	c := &clock{time.Unix(1e9, 0)}
	s := openAt(t, path, Options{Now: c.now, Lease: time.Hour})
	if err := s.write(t.Context(), func(t *tx) error {
		for _, id := range []string{"gone", "holder"} {
			if _, err := t.exec(`INSERT INTO processes (id, login, host, pid, scope, pid_start, seen) VALUES ($1, '', '', 1, 'far', 0, 0)`, id); err != nil {
				return err
			}
		}
		_, err := t.exec(`INSERT INTO locks (device, run, process, token, since) VALUES ('a', 'r', 'holder', 'x', 0)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), Run{ID: "r"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]process
	if err := s.read(t.Context(), func(t *tx) (err error) {
		got, err = processes(t)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, holder := got["holder"]; !holder || len(got) != 2 {
		t.Errorf("processes %v, want the holder and this one", got)
	}
}

func TestDead(t *testing.T) {
	now := time.Unix(1e9, 0)
	me := thisProcess("x", now)
	reused, unknown, absent := me, me, me
	reused.start++
	unknown.start = 0
	absent.PID = 1 << 30
	for _, tt := range []struct {
		name  string
		p     process
		scope string
		now   time.Time
		want  bool
	}{
		{"alive, silent for long", me, me.scope, now.Add(time.Hour), me.scope == ""},
		{"elsewhere, silent", me, "elsewhere", now.Add(time.Minute + 1), true},
		{"elsewhere, not silent", me, "elsewhere", now.Add(time.Minute), false},
		{"elsewhere, its clock ahead", me, "elsewhere", now.Add(-time.Hour), false},
		{"another of the same pid", reused, me.scope, now, me.scope != ""},
		{"start time unknown", unknown, me.scope, now, false},
		{"no such pid", absent, me.scope, now, me.scope != ""},
	} {
		if got := tt.p.dead(tt.scope, tt.now, time.Minute); got != tt.want {
			t.Errorf("%s: dead %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMigrations(t *testing.T) {
	v1 := [][]string{{`CREATE TABLE a (x BIGINT NOT NULL)`, `INSERT INTO a (x) VALUES (1)`}}
	v2 := append(v1[:1:1], []string{`ALTER TABLE a ADD COLUMN y BIGINT`, `UPDATE a SET y = x + 1`})
	bad := append(v2[:2:2], []string{`UPDATE a SET y = 7`, `no such statement`})
	path := filepath.Join(t.TempDir(), "state.db")
	with := func(name string, steps [][]string, o Options, want error) {
		t.Helper()
		s, err := open(context.Background(), path, o, steps)
		if err == nil {
			err = s.Close()
		}
		if (err == nil) != (want == nil) || want != nil && want != errAny && !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
	with("make", v1, Options{}, nil)
	with("open", v1, Options{}, nil)
	with("older, to be read", v2, Options{ReadOnly: true}, ErrReadOnly)
	with("migrate", v2, Options{}, nil)
	with("a migration that fails", bad, Options{}, errAny)
	with("open after it", v2, Options{ReadOnly: true}, nil)
	with("newer", v1, Options{}, ErrNewer)

	s, err := open(context.Background(), path, Options{}, v2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var got []int
	if err := s.read(t.Context(), func(t *tx) error {
		return t.rows(`SELECT y FROM a`, nil, func(scan func(...any) error) error {
			got = append(got, 0)
			return scan(&got[len(got)-1])
		})
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{2}, got); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// TestDurable looks at what makes a write survive a power cut, which no test here
// can make.
func TestDurable(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "fullfsync": "1", "foreign_keys": "1", "busy_timeout": "15000", "trusted_schema": "0",
	} {
		// Both of the writer and of another connection of the pool.
		for name, run := range map[string]func(context.Context, func(*tx) error) error{"writer": s.write, "reader": s.read} {
			var got string
			if err := run(t.Context(), func(t *tx) error {
				_, err := t.row(`PRAGMA `+pragma, nil, &got)
				return err
			}); err != nil || got != want {
				t.Errorf("%s of the %s is %q, %v; want %q", pragma, name, got, err, want)
			}
		}
	}
}

// TestOneFailureCostsOthersNothing has writes share a transaction with one that
// fails after it has written.
func TestOneFailureCostsOthersNothing(t *testing.T) {
	s := openAt(t, Memory, Options{})
	block, blocked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // so that the others gather behind it
		_ = s.write(t.Context(), func(*tx) error {
			close(blocked)
			<-block
			return nil
		})
	})
	<-blocked
	touched := func(dev string, fail error) func(*tx) error {
		return func(t *tx) error { return errors.Join(touch(t, "r", models.DeviceID(dev)), fail) }
	}
	canceled, cancel := context.WithCancel(t.Context())
	errs := make([]error, 4)
	for i, f := range []func(*tx) error{touched("a", nil), touched("b", errAny), touched("c", nil), touched("d", nil)} {
		ctx := t.Context()
		if i == 3 {
			ctx = canceled
		}
		wg.Go(func() {
			errs[i] = s.write(ctx, f)
			if i == 3 {
				close(block) // the canceled one returns while the writer is busy
			}
		})
	}
	for waiting := 0; waiting < 4; time.Sleep(time.Millisecond) {
		s.queue.mu.Lock()
		waiting = len(s.queue.jobs)
		s.queue.mu.Unlock()
	}
	cancel()
	wg.Wait()
	if !errors.Is(errs[3], context.Canceled) {
		t.Errorf("the canceled write: %v", errs[3])
	}
	if d := cmp.Diff([]bool{true, false, true}, []bool{errs[0] == nil, errs[1] == nil, errs[2] == nil}); d != "" {
		t.Errorf("writes that succeed (-want +got):\n%s", d)
	}
	got, err := s.NextEdits(t.Context(), "", "a", "b", "c", "d")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[models.DeviceID]int64{"a": 2, "b": 1, "c": 2, "d": 1}, got); d != "" {
		t.Errorf("edits (-want +got):\n%s", d)
	}
}

var errAny = errors.New("any")

func TestNanos(t *testing.T) {
	for _, tt := range []struct {
		name string
		give time.Time
		ok   bool
	}{
		{"never", time.Time{}, true},
		{"1970", time.Unix(0, 0), true},
		{"a nanosecond before", time.Unix(0, -1), true},
		{"first", time.Unix(0, -1<<63), true},
		{"last", time.Unix(0, 1<<63-1), true},
		{"too early", time.Unix(0, -1<<63).Add(-1), false},
		{"too late", time.Unix(0, 1<<63-1).Add(1), false},
	} {
		n, err := nanos(tt.give)
		if (err == nil) != tt.ok {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if got := fromNanos(n); tt.ok && !got.Equal(tt.give) {
			t.Errorf("%s: %v became %v", tt.name, tt.give, got)
		}
	}
}

func TestStepText(t *testing.T) {
	for s := Planned; s <= Abandoned; s++ {
		b, err := s.MarshalText()
		var got Step
		if err := errors.Join(err, got.UnmarshalText(b)); err != nil || got != s || s.String() != string(b) {
			t.Errorf("%v became %q, then %v, %v", s, b, got, err)
		}
	}
	for _, s := range []Step{0, Abandoned + 1} {
		if b, err := s.MarshalText(); err == nil {
			t.Errorf("step %d has the text %q", s, b)
		}
	}
	var s Step
	for _, text := range []string{"", "Planned", "no"} {
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is the step %v", text, s)
		}
	}
}

// TestPortable keeps what only SQLite understands in sqlite.go.
func TestPortable(t *testing.T) {
	only := regexp.MustCompile(`PRAGMA|sqlite_|rowid|\bIMMEDIATE\b|INSERT OR|REPLACE INTO|\bGLOB\b|AUTOINCREMENT|\(\?|= \?`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		var uses []string
		for _, im := range f.Imports {
			if strings.Contains(im.Path.Value, "sqlite") {
				uses = append(uses, im.Path.Value)
			}
		}
		if m := only.Find(b); m != nil {
			uses = append(uses, string(m))
		}
		if name == "sqlite.go" {
			found = len(uses) >= 3
		} else if len(uses) > 0 {
			t.Errorf("%s uses %v, which only SQLite knows", name, uses)
		}
	}
	if !found {
		t.Error("nothing was found in sqlite.go: this test sees nothing")
	}
}
