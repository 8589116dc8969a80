package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bench is a lab and a folder for spanctl processes of one test.
type bench struct {
	t    *testing.T
	lab  *testLab
	dir  string
	env  []string
	last *process
}

// stderr is what the last process has said so far.
func (b *bench) stderr() string {
	if b.last == nil {
		return ""
	}
	return b.last.err.String()
}

// readdress gives a device of the inventory another address.
func (b *bench) readdress(name, address string) {
	b.t.Helper()
	file := filepath.Join(b.dir, "inventory.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		b.t.Fatal(err)
	}
	re := regexp.MustCompile(`(name: ` + name + `), address: [^,]*, port: \d+`)
	if !re.Match(text) {
		b.t.Fatalf("no device %s in:\n%s", name, text)
	}
	b.write("inventory.yaml", string(re.ReplaceAll(text, []byte("$1, address: "+host+", port: "+port))))
}

// newBench starts a lab. files are written to the folder, by name.
func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	topology, err := filepath.Abs(filepath.Join("testdata", "lab", "pair.clab.yml"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir()}
	if b.lab, err = startLab(topology, b.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.lab.close)
	for name, text := range files {
		b.write(name, text)
	}
	b.env = append(os.Environ(), "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "SPANCTL_STORE="+filepath.Join(b.dir, "store.db"))
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// process is a spanctl under way.
type process struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
}

// lockedBuffer may be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ended is how a spanctl ended.
type ended struct {
	status int // -1: by a signal
	signal syscall.Signal
	out    string
	err    string
}

func (b *bench) start(env []string, args ...string) *process {
	b.t.Helper()
	return b.startWith(nil, env, args...)
}

// command is a spanctl that is not started yet.
func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.Command("spanctl", args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

func (b *bench) startWith(stdin io.Reader, env []string, args ...string) *process {
	b.t.Helper()
	p := &process{cmd: b.command(args...)}
	p.cmd.Env = append(append([]string{}, b.env...), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.out, &p.err
	b.last = p
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// wait waits for the end; after a minute it makes one.
func (p *process) wait() ended {
	timer := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	err := p.cmd.Wait()
	e := ended{out: p.out.String(), err: p.err.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e.status = exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.signal = ws.Signal()
		}
	}
	return e
}

func (b *bench) run(args ...string) ended {
	b.t.Helper()
	return b.start(nil, args...).wait()
}

// must runs a spanctl that must succeed.
func (b *bench) must(args ...string) ended {
	b.t.Helper()
	e := b.run(args...)
	if e.status != 0 {
		b.t.Fatalf("spanctl %s: status %d\n%s%s", strings.Join(args, " "), e.status, e.out, e.err)
	}
	return e
}

// says fails unless text holds all of want.
func says(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// as fails unless switches hold want.
func (b *bench) as(want map[string]string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.lab.configs()); d != "" {
		b.t.Errorf("switches (-want +have):\n%s", d)
	}
	if d := b.lab.strangers(); d != "" {
		b.t.Error(d)
	}
}

// Intents of one device, and of two.
const (
	webIntent = `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: web, owner: secops, reason: CHG-1}
spec:
  sources:
    - {device: leaf1, interfaces: [Ethernet10], direction: rx}
  destination:
    interface: {device: leaf1, name: Ethernet12}
  expires: 2h
`
	farIntent = `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: far, owner: secops, reason: CHG-2}
spec:
  sources:
    - {device: leaf1, interfaces: [Ethernet10], direction: rx}
    - {device: leaf2, interfaces: [Ethernet10], direction: both}
  destination:
    gre: {address: 10.10.0.9}
  expires: 1h
`
)
