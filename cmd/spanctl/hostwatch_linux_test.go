package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/spanctl/spanctl/internal/require"
)

// watching is a host watch under way.
type watching struct {
	*process
	t    *testing.T
	read int // bytes of its output that were looked at
}

func (b *hostBed) watch(args ...string) *watching {
	b.t.Helper()
	w := &watching{b.start(nil, b.host(append([]string{"watch", "-o", "json"}, args...)...)...), b.t, 0}
	b.t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Process.Kill()
			w.wait()
		}
	})
	return w
}

// next waits for the next line of an action with text in it, and gives it.
func (w *watching) next(action, text string) WatchAction {
	w.t.Helper()
	var found *WatchAction
	if !await(func() bool {
		out := w.out.String()
		for {
			line, _, whole := strings.Cut(out[w.read:], "\n")
			if !whole {
				return false
			}
			w.read += len(line) + 1
			var a WatchAction
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				w.t.Fatalf("%q: %v", line, err)
			}
			if (a.Action == action || action == "") && strings.Contains(a.Text, text) {
				found = &a
				return true
			}
		}
	}) {
		w.t.Fatalf("no %s %q in:\n%s%s", action, text, w.out.String(), w.err.String())
	}
	return *found
}

func (w *watching) end(sig syscall.Signal) ended {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
	return w.wait()
}

// index gives the index of an interface.
func (b *hostBed) index(name string) string {
	b.t.Helper()
	m := regexp.MustCompile(`^(\d+):`).FindStringSubmatch(b.in("ip -o link show dev " + name))
	if m == nil {
		b.t.Fatalf("no index of %s", name)
	}
	return m[1]
}

// TestHostWatch goes through what happens to interfaces; frames tell what is copied.
func TestHostWatch(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{"tap.yaml": hostIntent("tap", "in0", "out0", "1h")})
	b.veth("alien0", "alien1")
	w := b.watch("--intents", "tap.yaml", "--every", "1h") // what follows comes from events
	w.next("watching", "probe")
	w.next("changed", "+ sp-tap: in0 rx -> out0")
	b.copied("out1", 1)

	// The destination goes.
	old := b.index("out0")
	b.in("ip link delete out0")
	if a := w.next("waiting", "no port out0"); !strings.Contains(a.Why, "out0 went (index "+old+")") || !strings.Contains(a.Text, "until then the host has sp-tap: in0 rx") {
		t.Errorf("waiting: %+v", a)
	}
	// A stranger gets its index, and no copy.
	b.in("ip link add stranger0 index " + old + " type veth peer name stranger1")
	b.up("stranger0", "stranger1")
	if got := b.index("stranger0"); got != old {
		t.Fatalf("the stranger has index %s, want %s", got, old)
	}
	b.copied("stranger1", 0)
	// The destination comes back, with another index.
	b.veth("out0", "out1")
	if a := w.next("changed", "sp-tap"); !strings.Contains(a.Why, "out0 came") {
		t.Errorf("changed: %+v", a)
	}
	b.copied("out1", 1)
	b.copied("stranger1", 0)

	// It goes to another namespace and comes back.
	other := newHostBed(t, nil)
	b.in("ip link set out0 netns " + other.ns + " name away0") // there is an out0 there
	w.next("waiting", "no port out0")
	other.in("ip link set away0 netns " + b.ns + " name out0")
	b.up("out0")
	w.next("changed", "sp-tap")
	b.copied("out1", 1)

	// It is renamed: copies follow the device, which is said, and end with a new out0.
	b.in("ip link set out0 name moved0")
	if a := w.next("waiting", "no port out0"); !strings.Contains(a.Text, "in0 rx -> moved0") {
		t.Errorf("waiting: %+v", a)
	}
	b.copied("out1", 1)
	b.in("ip link set moved0 name out0")
	w.next("well", "")
	b.copied("out1", 1)

	// The source is made anew.
	b.in("ip link delete in0")
	w.next("waiting", "no port in0")
	b.veth("in0", "in1")
	w.next("changed", "+ sp-tap: in0 rx -> out0")
	b.copied("out1", 1)

	// What is none of its business stays as it is, and is not worth a line.
	before := w.out.String()
	b.veth("other0", "other1")
	b.in("ip link delete other0")
	b.in("ip link set alien0 down")
	e := w.end(syscall.SIGTERM)
	if got := strings.TrimPrefix(e.out, before); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"ended"`) {
		t.Errorf("last lines: %s", got)
	}
	if e.status != exitOK {
		t.Errorf("status %d: %s", e.status, e.err)
	}
	says(t, e.err, "interrupted: 1 session stays: tap", "leases end when spanctl host apply or spanctl expire runs")
	b.copied("out1", 1)
	if got := b.filters("alien0", "alien1", "stranger0", "stranger1", "out0", "out1"); got != "" {
		t.Errorf("filters elsewhere: %s", got)
	}
}

// TestHostWatchLease: the lease ends when it ends, not at the next slow look; and a
// second Ctrl-C is not needed.
func TestHostWatchLease(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{"tap.yaml": hostIntent("tap", "in0", "out0", "3s")})
	w := b.watch("--intents", "tap.yaml", "--every", "1h")
	made := w.next("changed", "+ sp-tap")
	gone := w.next("changed", "- sp-tap")
	if d := gone.At.Sub(made.At).Seconds(); d < 2.5 || d > 8 {
		t.Errorf("the lease of 3 s lasted %.1f s", d)
	}
	b.copied("out1", 0)
	if gone.Why != "its lease ended" {
		t.Errorf("gone: %+v", gone)
	}
	e := w.end(syscall.SIGINT)
	if e.status != exitOK {
		t.Errorf("status %d: %s", e.status, e.err)
	}
	says(t, e.err, "no session of spanctl is recorded")
}

// TestHostWatchOthers: files that go wrong, and another spanctl at work, stop nothing.
func TestHostWatchOthers(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{"tap.yaml": hostIntent("tap", "in0", "out0", "1h")})
	if e := b.run(b.host("watch", "--intents", "absent.yaml")...); e.status != exitError || !strings.Contains(e.err, "absent.yaml") {
		t.Errorf("an absent file at the start: %+v", e)
	}
	if e := b.run(b.host("watch", "--every", "0s")...); e.status != exitError || !strings.Contains(e.err, "want 1s or more") {
		t.Errorf("--every 0s: %+v", e)
	}
	w := b.watch("--intents", "tap.yaml", "--every", "1s")
	w.next("changed", "+ sp-tap")
	b.write("tap.yaml", "kind: [")
	w.next("failed", "tap.yaml")
	b.write("tap.yaml", hostIntent("tap", "in0", "out1", "1h"))
	w.next("changed", "destination")
	w.next("well", "")
	b.in("tc filter delete dev in0 ingress")
	w.next("changed", "+ sp-tap")
	b.copied("out0", 1)
	if n := strings.Count(w.out.String(), "\n"); n > 6 {
		t.Errorf("%d lines for 6 things:\n%s", n, w.out.String())
	}
	w.end(syscall.SIGTERM)
}

// TestHostWatchProgram: a program copies to an index, so that a stranger which gets it
// would get the copies too. It gets none.
func TestHostWatchProgram(t *testing.T) {
	t.Parallel()
	cut := strings.Replace(hostIntent("cut", "in0", "out0", "1h"), "  expires", "  truncate: 100\n  expires", 1)
	b := newHostBed(t, map[string]string{"cut.yaml": cut})
	// A BPF file system of its own, which goes with the process: others may have none.
	w := &watching{t: t, process: &process{cmd: exec.Command("unshare", append([]string{"--mount", "sh", "-c", `mount -t bpf bpf /sys/fs/bpf && exec spanctl "$@"`, "sh"},
		b.host("watch", "-o", "json", "--every", "1h", "--intents", "cut.yaml")...)...)}}
	w.cmd.Dir, w.cmd.Env = b.dir, b.env
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.err
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Process.Kill()
			w.wait()
		}
	})
	first := w.next("", "")
	for first.Action == "watching" {
		first = w.next("", "")
	}
	require.Need(t, "bpf", first.Action == "changed", "a BPF program that copies: "+first.Text)
	b.copiedCut("out1", 1)
	old := b.index("out0")
	b.in("ip link delete out0")
	if a := w.next("stopped", "cut"); !strings.Contains(a.Why, "out0 went (index "+old+")") {
		t.Errorf("stopped: %+v", a)
	}
	b.in("ip link add stranger0 index " + old + " type veth peer name stranger1")
	b.up("stranger0", "stranger1")
	b.copiedCut("stranger1", 0)
	w.next("waiting", "no port out0")
	b.copiedCut("stranger1", 0)
	b.veth("out0", "out1")
	w.next("changed", "sp-cut")
	b.copiedCut("out1", 1)
	b.copiedCut("stranger1", 0)
	if e := w.end(syscall.SIGTERM); e.status != exitOK {
		t.Errorf("%+v", e)
	}
}

// copiedCut is copied for copies that are cut to 100 bytes.
func (b *hostBed) copiedCut(to string, want int) {
	b.t.Helper()
	long := append(bytes.Clone(hostFrame), make([]byte, 200)...)
	if n, err := copiesAs(b.ns, "in1", to, long, long[:100]); err != nil || n != want {
		b.t.Errorf("%d cut copies at %s, %v; want %d", n, to, err, want)
	}
}
