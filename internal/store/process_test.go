package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// childEnv makes the test binary a child that does what the variable names, on
// the store at pathEnv.
const (
	childEnv = "SPANCTL_STORE_CHILD"
	pathEnv  = "SPANCTL_STORE_PATH"
)

var children = map[string]func(ctx context.Context, s *store.DB) error{
	"lock":    lockAndWait,
	"write":   writeForever,
	"count":   countUp,
	"reading": readOnlyChild,
}

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		goleak.VerifyTestMain(m)
		return
	}
	err := func() error {
		s, err := store.Open(context.Background(), os.Getenv(pathEnv), store.Options{})
		if err != nil {
			return err
		}
		return errors.Join(children[name](context.Background(), s), s.Close())
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+name, pathEnv+"="+path)
	return cmd
}

// startChild starts a child and waits for its first line.
func startChild(t *testing.T, name, path string) (*exec.Cmd, *bufio.Reader, io.WriteCloser) {
	t.Helper()
	cmd := child(t, name, path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatalf("the child %q said nothing: %v", name, err)
	}
	return cmd, r, in
}

// lockAndWait is in the middle of a run until its standard input ends.
func lockAndWait(ctx context.Context, s *store.DB) error {
	if err := s.Begin(ctx, store.Run{ID: "child", Command: "apply"}); err != nil {
		return err
	}
	if _, err := s.Lock(ctx, "child", []models.DeviceID{"a", "b"}); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestLockOfOtherProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only on Linux is the death of a process seen before the lease ends")
	}
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, store.Options{})
	cmd, _, in := startChild(t, "lock", path)

	_, err := s.Lock(t.Context(), "r", []models.DeviceID{"b", "c"})
	var le *store.LockedError
	if !errors.As(err, &le) || len(le.Locks) != 1 || le.Locks[0].Device != "b" || le.Locks[0].Holder.PID != cmd.Process.Pid {
		t.Fatalf("error %v, want that pid %d holds b", err, cmd.Process.Pid)
	}
	if !strings.Contains(err.Error(), "pid "+strconv.Itoa(cmd.Process.Pid)+", run child, since ") {
		t.Errorf("error %q does not say who", err)
	}
	interrupted := func(want bool) {
		t.Helper()
		runs, err := s.Open(t.Context())
		if err != nil || len(runs) != 1 || runs[0].Interrupted != want {
			t.Errorf("open runs %+v, %v; want one with interrupted %v", runs, err, want)
		}
	}
	interrupted(false)

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Nobody has waited for it yet: it is a zombie, which holds nothing any more.
	deadline := time.Now().Add(10 * time.Second)
	for {
		locks, err := s.Locked(t.Context())
		if err != nil || len(locks) != 2 {
			t.Fatalf("locked: %v, %v", locks, err)
		}
		if locks[0].Holder.Dead {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the killed process does not count as dead")
		}
		time.Sleep(time.Millisecond)
	}
	_ = in.Close()
	_ = cmd.Wait()
	interrupted(true)
	release, err := s.Lock(t.Context(), "r", []models.DeviceID{"b"})
	if err != nil {
		t.Fatalf("taking over the lock of a dead process: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// countUp adds one to a number kept in a record, under a lock, a hundred times.
func countUp(ctx context.Context, s *store.DB) error {
	for range 100 {
		var release func() error
		for {
			var err error
			var le *store.LockedError
			if release, err = s.Lock(ctx, "r", []models.DeviceID{"a"}); err == nil {
				break
			} else if !errors.As(err, &le) {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		rs, err := s.Records(ctx, "a")
		if err != nil {
			return err
		}
		r := models.Record{Session: models.Session{Device: "a", Number: 1}}
		if len(rs) > 0 {
			r = rs[0]
		}
		r.Session.TruncateTo++
		if err := s.Apply(ctx, []models.Record{r}, nil); err != nil {
			return err
		}
		if err := release(); err != nil {
			return err
		}
	}
	return nil
}

// readOnlyChild says how many records it reads and what it hears when it writes.
func readOnlyChild(ctx context.Context, s *store.DB) error {
	rs, err := s.Records(ctx)
	if err != nil {
		return err
	}
	err = s.Apply(ctx, manyRecords(1), nil)
	fmt.Println(len(rs), s.ReadOnly(), errors.Is(err, store.ErrReadOnly))
	return nil
}

// TestProcessesShare has four processes make the store and count, at once.
func TestProcessesShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.db")
	var wg sync.WaitGroup
	for range 4 {
		cmd := child(t, "count", path)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	s := open(t, path, store.Options{})
	rs, err := s.Records(t.Context())
	if err != nil || len(rs) != 1 || rs[0].Session.TruncateTo != 400 {
		t.Errorf("counted %+v, %v; want 400", rs, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// killedRecords is how many records each run of writeForever puts: enough that
// many a kill would fall between two of them if they were not written at once.
const killedRecords = 20

// writeForever runs run after run of one group on two devices, and says a run's
// number once it was told that the run is committed.
func writeForever(ctx context.Context, s *store.DB) error {
	devices := []models.DeviceID{"a", "b"}
	release, err := s.Lock(ctx, "child", devices)
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	fmt.Println("begun")
	seed := uint64(time.Now().UnixNano())
	for i := 1; ; i++ {
		run := fmt.Sprintf("r%d-%d", seed, i)
		if err := s.Begin(ctx, store.Run{ID: run}); err != nil {
			return err
		}
		var put []models.Record
		for _, dev := range devices {
			cp := checkpointOf(dev)
			for _, step := range []store.Step{store.Planned, store.Sending, store.Applied, store.Confirming} {
				if err := s.Save(ctx, run, store.Entry{Group: "g", Device: dev, Step: step, Checkpoint: cp}); err != nil {
					return err
				}
				cp = nil
			}
			for n := range killedRecords / len(devices) {
				put = append(put, models.Record{Session: models.Session{Device: dev, Number: 1 + n}, Run: run})
			}
		}
		if err := s.Commit(ctx, run, "g", put, nil); err != nil {
			return err
		}
		fmt.Println(run)
		if err := s.Finish(ctx, run, "done"); err != nil {
			return err
		}
	}
}

// TestKilled kills a process that writes, again and again. What it was told to be
// committed must be there, and records and steps must agree.
func TestKilled(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "state.db")
	committed := 0
	for round := range rounds {
		cmd, out, _ := startChild(t, "write", path)
		told := ""
		if round == 0 { // however slow the machine is, one life is long enough
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			told = strings.TrimSpace(line)
			committed++
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for {
			line, err := out.ReadString('\n')
			if err != nil {
				break // a line without its end was not told
			}
			told = strings.TrimSpace(line)
			committed++
		}
		timer.Stop()
		_ = cmd.Wait()
		checkAfterKill(t, path, told)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d runs were committed in %d lives", committed, rounds)
}

func checkAfterKill(t *testing.T, path, told string) {
	t.Helper()
	s, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	records, err := s.Records(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owner := ""
	if len(records) > 0 {
		owner = records[0].Run
	}
	others := slices.ContainsFunc(records, func(r models.Record) bool { return r.Run != owner })
	if others || len(records) != 0 && len(records) != killedRecords {
		t.Errorf("%d records of %d, of more than one run: %v", len(records), killedRecords, others)
	}
	if told != "" {
		st, err := s.Run(t.Context(), told)
		if err != nil || len(st.Unsettled()) > 0 || len(st.Latest()) != 2 || st.Latest()[0].Step != store.Confirmed {
			t.Errorf("run %s was said to be committed, and is %+v, %v", told, st.Latest(), err)
		}
	}
	if owner != "" {
		st, err := s.Run(t.Context(), owner)
		if err != nil || len(st.Unsettled()) > 0 || len(st.Latest()) != 2 || st.Latest()[1].Step != store.Confirmed {
			t.Errorf("the records are of run %s, whose steps are %+v, %v", owner, st.Latest(), err)
		}
	}
	checkNewestCommit(t, s, owner)
	runs, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if !r.Interrupted {
			t.Errorf("run %s of a dead process is not interrupted", r.ID)
		}
		for _, e := range r.Latest() {
			if e.Checkpoint == nil {
				t.Errorf("run %s: %s has no checkpoint", r.ID, e.Device)
			}
		}
		for _, e := range r.Unsettled() {
			if err := abandon(t.Context(), s, r.ID, e); err != nil {
				t.Error(err)
			}
		}
		if err := s.Finish(t.Context(), r.ID, "killed"); err != nil {
			t.Error(err)
		}
	}
	if len(runs) > 1 {
		t.Errorf("%d runs were open at once, though the child has one at a time", len(runs))
	}
}

// checkNewestCommit wants the newest run with a confirmed step to have both, and
// the records to be its own.
func checkNewestCommit(t *testing.T, s *store.DB, owner string) {
	t.Helper()
	runs, err := s.History(t.Context(), store.Filter{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		st, err := s.Run(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		confirmed := 0
		for _, e := range st.Latest() {
			if e.Step == store.Confirmed {
				confirmed++
			}
		}
		if confirmed == 0 {
			continue
		}
		if confirmed != 2 || r.ID != owner {
			t.Errorf("run %s has %d confirmed devices of 2, and the records are of run %q", r.ID, confirmed, owner)
		}
		return
	}
}

func abandon(ctx context.Context, s *store.DB, run string, e store.Entry) error {
	e.Step, e.Checkpoint = store.Abandoned, nil
	return s.Save(ctx, run, e)
}
