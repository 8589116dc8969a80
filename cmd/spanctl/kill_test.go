package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// atOnce is how many labs of TestKilledAtEveryWrite run side by side; most of them
// wait for timers.
const atOnce = 6

// TestKilledAtEveryWrite kills spanctl, as kill -9 does, before and after each write
// to its store that a run makes, with the switches' timers running or lapsed before
// spanctl recover. Every switch must then be as before or as wanted, all alike, with
// strangers' sessions as they were, nothing open, and the records must agree with
// the switches.
func TestKilledAtEveryWrite(t *testing.T) {
	wider := strings.Replace(farIntent, "direction: rx", "direction: both", 1)
	scenarios := []struct {
		name  string
		had   string // intent that is there before
		want  string // intent file of the run
		args  []string
		least int // writes
	}{
		{"create on two switches", "", farIntent, []string{"apply", "--yes", "far.yaml"}, 10},
		{"update on one of two", farIntent, wider, []string{"apply", "--yes", "far.yaml"}, 7},
		{"delete on two switches", farIntent, farIntent, []string{"delete", "--yes", "far"}, 10},
	}
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			prepare := func() *bench {
				b := newBench(t, map[string]string{"far.yaml": sc.had})
				if sc.had != "" {
					b.must("apply", "--yes", "far.yaml")
				}
				b.write("far.yaml", sc.want)
				return b
			}
			whole := prepare()
			before := whole.lab.configs()
			writes := whole.writes(sc.args...)
			after := whole.lab.configs()
			if cmp.Equal(before, after) {
				t.Fatal("the run changes nothing")
			}
			if len(writes) < sc.least {
				t.Fatalf("only %d writes: %q", len(writes), writes)
			}
			var wg sync.WaitGroup
			slots := make(chan struct{}, atOnce)
			for n := range writes {
				for _, when := range []string{"before", "after"} {
					for _, lapse := range []bool{false, true} {
						if raceDetector && (lapse || when == "before") {
							continue // races show in half of a half, too
						}
						k := kill{at: n + 1, when: when, what: writes[n], lapse: lapse, before: before, after: after, args: sc.args}
						slots <- struct{}{}
						wg.Go(func() {
							defer func() { <-slots }()
							k.check(t, prepare())
						})
					}
				}
			}
			wg.Wait()
			last := prepare()
			e := last.start([]string{fmt.Sprintf("%s=%d before", envDie, len(writes)+1)}, sc.args...).wait()
			if e.status != 0 {
				t.Errorf("not killed at all: %+v", e)
			}
		})
	}
}

// kill is one case.
type kill struct {
	at            int
	when, what    string
	lapse         bool
	before, after map[string]string
	args          []string
}

func (k kill) check(t *testing.T, b *bench) {
	where := fmt.Sprintf("killed %s write %d (%s), timers lapsed: %v", k.when, k.at, k.what, k.lapse)
	args := k.args
	if k.lapse {
		args = append(args[:len(args):len(args)], "--way-back", "1s")
	}
	p := b.start([]string{fmt.Sprintf("%s=%d %s", envDie, k.at, k.when)}, args...)
	e := p.wait()
	if e.signal != syscall.SIGKILL {
		// A timer of a second may be up before the run is, on a slow machine: then the
		// run went another way, and ended.
		if !k.lapse || e.status == 0 {
			t.Errorf("%s: not killed: %+v", where, e)
			return
		}
	}
	if k.lapse {
		time.Sleep(1200 * time.Millisecond)
	}
	e = b.run("recover")
	if e.status != 0 {
		t.Errorf("%s: recover: %+v", where, e)
		return
	}
	have := b.lab.configs()
	if !cmp.Equal(k.before, have) && !cmp.Equal(k.after, have) {
		t.Errorf("%s: neither as before (-before +recovered):\n%s\nnor as wanted (-wanted +recovered):\n%s\nrecover said: %s",
			where, cmp.Diff(k.before, have), cmp.Diff(k.after, have), e.out)
	}
	if d := b.lab.strangers(); d != "" {
		t.Errorf("%s: %s", where, d)
	}
	for name, d := range b.lab.switches {
		for _, s := range d.ConfigSessions() {
			if s.State != "completed" && strings.HasPrefix(s.Name, "spanctl-") {
				t.Errorf("%s: %s: a configuration session is left: %+v", where, name, s)
			}
		}
	}
	if e := b.run("drift"); e.status != 0 {
		t.Errorf("%s: the records differ from the switches: %+v", where, e)
	}
	if e := b.run("recover"); !strings.Contains(e.out, "no run is open") {
		t.Errorf("%s: after recover: %+v", where, e)
	}
	// The next run is not hindered, and gets everything where it was to be.
	if e := b.run(k.args...); e.status != 0 && !strings.Contains(e.out+e.err, "nothing of this name was applied") {
		t.Errorf("%s: again: %+v", where, e)
	}
	if d := cmp.Diff(k.after, b.lab.configs()); d != "" {
		t.Errorf("%s: again (-want +have):\n%s", where, d)
	}
}

// TestRecoverIsKilled kills spanctl recover, too, at each of its own writes. The next
// one settles everything all the same. One switch at a time, so that all runs make the
// same writes.
func TestRecoverIsKilled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		step  string // after which the apply is killed
		stays bool   // recover goes forward
	}{
		{"on the way back", "sending leaf1", false},
		{"on the way forward", "confirming leaf1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := newBench(t, map[string]string{"far.yaml": farIntent})
			before := whole.lab.configs()
			steps := whole.writes("apply", "--yes", "--parallel", "1", "far.yaml")
			want := before
			if tt.stays {
				want = whole.lab.configs()
			}
			at := slices.Index(steps, tt.step) + 1
			if at == 0 {
				t.Fatalf("no step %q in %q", tt.step, steps)
			}
			prepare := func() *bench {
				b := newBench(t, map[string]string{"far.yaml": farIntent})
				if e := b.start([]string{fmt.Sprintf("%s=%d after", envDie, at)}, "apply", "--yes", "--parallel", "1", "far.yaml").wait(); e.signal != syscall.SIGKILL {
					t.Fatalf("the apply was not killed: %+v", e)
				}
				return b
			}
			steps = prepare().writes("recover", "--parallel", "1")
			if len(steps) < 4 {
				t.Fatalf("recover makes only the writes %q", steps)
			}
			for n, what := range steps {
				for _, when := range []string{"before", "after"} {
					where := fmt.Sprintf("recover killed %s write %d (%s)", when, n+1, what)
					b := prepare()
					if e := b.start([]string{fmt.Sprintf("%s=%d %s", envDie, n+1, when)}, "recover", "--parallel", "1").wait(); e.signal != syscall.SIGKILL {
						t.Fatalf("%s: not killed: %+v", where, e)
					}
					if e := b.run("recover", "--parallel", "1"); e.status != 0 {
						t.Errorf("%s: %+v", where, e)
					}
					if d := cmp.Diff(want, b.lab.configs()); d != "" {
						t.Errorf("%s (-want +have):\n%s", where, d)
					}
					if e := b.run("drift"); e.status != 0 {
						t.Errorf("%s: the records differ: %+v", where, e)
					}
				}
			}
		})
	}
}

// writes runs a spanctl that must succeed and gives the writes that it made to its
// store.
func (b *bench) writes(args ...string) []string {
	b.t.Helper()
	count := filepath.Join(b.dir, "writes")
	if e := b.start([]string{envCount + "=" + count}, args...).wait(); e.status != 0 {
		b.t.Fatalf("undisturbed: %+v", e)
	}
	text, err := os.ReadFile(count)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
