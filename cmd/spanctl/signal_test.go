package main

import (
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/eos"
)

// stuck makes leaf1 misbehave at a line, and gives what waits for it.
func stuck(line string, action eos.Action) func(*bench) func() bool {
	return func(b *bench) func() bool {
		d := b.lab.switches["leaf1"]
		if err := d.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Line: line, Action: action, Times: 1}}}); err != nil {
			b.t.Fatal(err)
		}
		return func() bool { return received(d.Wire(), line) }
	}
}

// TestCtrlC interrupts an apply on two switches while leaf1 does not answer, in
// every phase. The run ends at once, says what was left, and leaves nothing; once
// the first confirmation is sent it goes on to the end.
func TestCtrlC(t *testing.T) {
	tests := []struct {
		name string
		// prepare gives what tells that the moment has come.
		prepare func(*bench) func() bool
		ask     bool // leave --yes out
		applied bool // it is too late to go back
		status  int
		says    []string
	}{
		{name: "connect", prepare: silent, status: 1, says: []string{"leaf1", "connect", "nothing was sent"}},
		{name: "observe", prepare: stuck("^show", eos.ActionHang), status: 1, says: []string{"leaf1", "nothing was sent"}},
		{name: "question", prepare: func(b *bench) func() bool {
			return func() bool { return strings.Contains(b.stderr(), "[y/N]") }
		}, ask: true, status: 1, says: []string{"apply this?", "nothing was sent"}},
		{name: "edit", prepare: stuck("^monitor session sp-far source", eos.ActionHang), status: 1,
			says: []string{"intent far: reverted: leaf1: apply: canceled", "sp-far", "what was sent was taken back"}},
		{name: "commit", prepare: stuck("^commit timer", eos.ActionHang), status: 1,
			says: []string{"intent far: reverted: leaf1: apply: canceled", `"commit timer`, "what was sent was taken back"}},
		{name: "commit, heard", prepare: stuck("^commit timer", eos.ActionHangAfter), status: 1,
			says: []string{"intent far: reverted: leaf1: apply: canceled", `"commit timer`, "what was sent was taken back"}},
		{name: "read back", prepare: readBack, status: 1,
			says: []string{"intent far: reverted: leaf1: verify: canceled", "what was sent was taken back"}},
		{name: "confirm", prepare: stuck("^configure session .* commit$", eos.ActionHang), applied: true, status: 0,
			says: []string{"intent far: applied", "it was too late to go back"}},
		{name: "confirm, heard", prepare: stuck("^configure session .* commit$", eos.ActionHangAfter), applied: true, status: 0,
			says: []string{"intent far: applied", "it was too late to go back"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"far.yaml": farIntent})
			come := tt.prepare(b)
			args := []string{"apply", "far.yaml", "--timeout", "2s", "--connect-timeout", "20s"}
			if !tt.ask {
				args = append(args, "--yes")
			}
			p := b.begin(args...)
			if !await(come) {
				t.Fatal("the moment did not come")
			}
			sent := time.Now()
			p.signal(t)
			e := p.wait()
			if took := time.Since(sent); took > 8*time.Second {
				t.Errorf("it took %s to end", took)
			}
			if e.status != tt.status || e.signal != 0 {
				t.Errorf("status %d, signal %v; want status %d", e.status, e.signal, tt.status)
			}
			says(t, e.out+e.err, append(tt.says, "interrupted")...)
			if tt.applied == (b.lab.unchanged() == "") {
				t.Errorf("applied: want %v; changes %s", tt.applied, b.lab.unchanged())
			}
			if d := b.lab.strangers(); d != "" {
				t.Error(d)
			}
			if e := b.must("recover"); !strings.Contains(e.out, "no run is open") {
				t.Errorf("recover had something to do: %s", e.out)
			}
			b.must("drift")
		})
	}
}

// TestCtrlCTwice kills a run that does not end at the first Ctrl-C, because the
// switch does not let it.
func TestCtrlCTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"web.yaml": webIntent})
	d := b.lab.switches["leaf1"]
	if err := d.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Line: "^commit timer", Action: eos.ActionHangAfter}, {Line: "abort$", Action: eos.ActionHang}}}); err != nil {
		t.Fatal(err)
	}
	p := b.begin("apply", "--yes", "web.yaml")
	if !await(func() bool { return b.lab.wired("leaf1", "commit timer") }) {
		t.Fatal("no commit")
	}
	p.signal(t)
	if !await(func() bool { return b.lab.wired("leaf1", "abort") }) {
		t.Fatal("the first Ctrl-C does not lead back")
	}
	p.signal(t)
	if e := p.wait(); e.signal != syscall.SIGINT {
		t.Fatalf("the second Ctrl-C did not kill: %+v", e)
	}
	if err := d.SetFaults(eos.FaultSpec{}); err != nil {
		t.Fatal(err)
	}
	e := b.run("apply", "--yes", "web.yaml")
	says(t, e.err, "leaf1", "interrupted", "spanctl recover")
	if e.status != 1 {
		t.Errorf("an apply over an unsettled run: status %d", e.status)
	}
	says(t, b.must("recover").out, "intent web: reverted", "leaf1: reverted")
	b.as(b.lab.before)
}

// received reports whether one of lines matches.
func received(lines []string, pattern string) bool {
	return slices.ContainsFunc(lines, regexp.MustCompile(pattern).MatchString)
}

// silent makes leaf1 a server that takes connections and says nothing.
func silent(b *bench) func() bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = l.Close() })
	came := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		close(came)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	b.readdress("leaf1", l.Addr().String())
	return func() bool {
		select {
		case <-came:
			return true
		default:
			return false
		}
	}
}

// readBack hangs at the first show after the commit.
func readBack(b *bench) func() bool {
	d := b.lab.switches["leaf1"]
	if err := d.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Line: "^commit timer", Action: eos.ActionDelay, Delay: eos.Duration(500 * time.Millisecond)}}}); err != nil {
		b.t.Fatal(err)
	}
	armed := -1
	return func() bool {
		lines := d.Wire()
		if armed < 0 && b.lab.wired("leaf1", "commit timer") {
			armed = len(lines)
			if err := d.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Line: "^show", Action: eos.ActionHang, Times: 1}}}); err != nil {
				b.t.Error(err)
			}
		}
		return armed >= 0 && received(lines[armed:], "^show")
	}
}

// begin starts a spanctl whose standard input stays open and silent, and whose
// standard error can be read meanwhile.
func (b *bench) begin(args ...string) *process {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _, _ = w.Close(), r.Close() })
	return b.startWith(r, nil, args...)
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}
