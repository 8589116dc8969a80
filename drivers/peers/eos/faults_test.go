package eos_test

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
)

func spec(t *testing.T, text string) eos.FaultSpec {
	t.Helper()
	var s eos.FaultSpec
	must(t, json.Unmarshal([]byte(text), &s))
	return s
}

func TestFaultRefuse(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.SetFaults(spec(t, `{"lines":[{"line":"^monitor .* destination","action":"refuse","text":"% No resources","times":1}]}`)))
	c := login(t, l.addr)
	c.ok("configure session s1", mirrorLines[0])
	if got := c.out(mirrorLines[1]); got != "% No resources\n" {
		t.Errorf("got %q", got)
	}
	if got := c.out("show session-config diffs"); strings.Contains(got, "destination") {
		t.Errorf("a refused line took effect:\n%s", got)
	}
	c.ok(mirrorLines[1]) // the fault is used up
}

func TestFaultHang(t *testing.T) {
	for _, tt := range []struct {
		action string
		effect bool
	}{{"hang", false}, {"hang-after", true}} {
		t.Run(tt.action, func(t *testing.T) {
			l := newLab(t, nil)
			must(t, l.device.SetFaults(spec(t, `{"lines":[{"line":"^hostname","action":"`+tt.action+`"}]}`)))
			c := login(t, l.addr)
			c.ok("configure")
			c.send("hostname other\n")
			time.Sleep(50 * time.Millisecond)
			c.mu.Lock()
			if got := c.buf.String(); got != "" && got != "hostname other\r\n" {
				t.Errorf("a line that hangs was answered: %q", got)
			}
			c.mu.Unlock()
			login(t, l.addr).ok("") // others are served
			// What was typed in the same breath before is answered.
			must(t, l.device.SetFaults(spec(t, `{"lines":[{"line":"^vlan","action":"`+tt.action+`"}]}`)))
			c2 := login(t, l.addr)
			c2.send("show hostname\nvlan 9\n")
			c2.until(regexp.MustCompile(`FQDN: `))
			if got := l.device.Hostname() == "other"; got != tt.effect {
				t.Errorf("took effect: %v", got)
			}
		})
	}
}

func TestFaultCut(t *testing.T) {
	for _, tt := range []struct {
		action string
		effect bool
	}{{"cut-before", false}, {"cut-after", true}} {
		t.Run(tt.action, func(t *testing.T) {
			clock, opt := clocked()
			l := newLab(t, opt)
			before := l.device.RunningConfig()
			must(t, l.device.AddFault(eos.Fault{Line: "^commit", Action: eos.Action(tt.action), Times: 1}))
			c := login(t, l.addr)
			c.ok("configure session s1")
			c.ok(mirrorLines...)
			c.send("commit timer 00:01:00\n")
			c.dead()
			if got := len(l.device.MonitorSessions()) == 1; got != tt.effect {
				t.Errorf("took effect: %v", got)
			}
			// The timer and the session outlive the connection.
			clock.Advance(time.Minute)
			if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
				t.Errorf("after the timer (-before +now):\n%s", d)
			}
			if got := len(l.device.ConfigSessions()) == 1; got == tt.effect {
				t.Errorf("session left: %v", got)
			}
		})
	}
}

func TestFaultForget(t *testing.T) {
	l := newLab(t, nil)
	before := l.device.RunningConfig()
	must(t, l.device.AddFault(eos.Fault{Line: "^commit", Action: eos.ActionForget}))
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	if p := c.ok("commit"); p != "leaf1#" {
		t.Errorf("prompt %q", p)
	}
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("(-before +now):\n%s", d)
	}
	must(t, l.device.AddFault(eos.Fault{Line: "^hostname", Action: eos.ActionForget}))
	c.ok("configure", "hostname other")
	if got := l.device.Hostname(); got != "leaf1" {
		t.Errorf("host name %q", got)
	}
}

func TestFaultIgnoreTimer(t *testing.T) {
	clock, opt := clocked()
	l := newLab(t, opt)
	must(t, l.device.AddFault(eos.Fault{Line: "timer", Action: eos.ActionIgnoreTimer}))
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:01:00")
	clock.Advance(time.Hour)
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("rolled back all the same")
	}
	c.ok("configure session s1 commit")
}

func TestFaultLogAndDelay(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.SetFaults(spec(t, `{"delay":"30ms","lines":[{"line":"hostname","action":"log","text":"Nov 24 12:00:00 leaf1 Ebra: %LINEPROTO-5-UPDOWN: down"}]}`)))
	c := login(t, l.addr)
	began := time.Now()
	want := "Hostname: leaf1\nNov 24 12:00:00 leaf1 Ebra: %LINEPROTO-5-UPDOWN: down\nFQDN:     leaf1\n"
	if d := cmp.Diff(want, c.out("show hostname")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}

func TestFaultLogins(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.SetFaults(spec(t, `{"maxLogins":1}`)))
	login(t, l.addr)
	if _, err := dial(t, l.addr, "admin", "admin"); err == nil {
		t.Error("a second login was admitted")
	}
	must(t, l.device.SetFaults(eos.FaultSpec{}))
	login(t, l.addr)
}

func TestFaultSpecRefused(t *testing.T) {
	l := newLab(t, nil)
	for _, f := range []eos.Fault{{Action: "explode"}, {Action: eos.ActionHang, Line: "("}, {Action: eos.ActionHang, Times: -1}} {
		if err := l.device.AddFault(f); err == nil {
			t.Errorf("%+v accepted", f)
		}
	}
	var s eos.FaultSpec
	if err := json.Unmarshal([]byte(`{"delay":"-1s"}`), &s); err == nil {
		t.Error("a negative delay was accepted")
	}
}

func TestWire(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	lines := append([]string{"configure session s1"}, append(slices.Clone(mirrorLines), "commit")...)
	c.ok(lines...)
	if d := cmp.Diff(lines, l.device.Wire()); d != "" {
		t.Errorf("(-typed +received):\n%s", d)
	}
	if got := l.device.WireLines()[1]; got.Prompt != "leaf1(config-s-s1)#" || got.User != "admin" {
		t.Errorf("%+v", got)
	}
	l.device.ResetWire()
	if got := l.device.Wire(); got != nil {
		t.Errorf("after reset: %q", got)
	}
}

// TestPipelined types everything at once, as a fast driver does.
func TestPipelined(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.RTT = 150 * time.Millisecond })
	c := login(t, l.addr)
	began := time.Now()
	c.send("configure session s1\n" + strings.Join(mirrorLines, "\n") + "\nshow session-config diffs\ncommit\nshow hostname\n")
	for !strings.Contains(c.until(promptAt), "FQDN") {
	}
	if took := time.Since(began); took < 150*time.Millisecond || took > 450*time.Millisecond {
		t.Errorf("six lines in one go took %v at a round trip of 150 ms", took)
	}
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("not committed")
	}
}

// TestManyClients has 200 clients at once: half of them on one device, each in a
// session of its own, half on devices of their own.
func TestManyClients(t *testing.T) {
	const shared, own = 100, 100
	l := newLab(t, func(o *eos.Options) { o.MaxPending = shared })
	addrs := make([]string, own)
	devices := make([]*eos.Device, own)
	for i := range own {
		o := newLab(t, nil)
		addrs[i], devices[i] = o.addr, o.device
	}
	var wg sync.WaitGroup
	work := func(addr, name string) error {
		conn, err := dial(t, addr, "admin", "admin")
		if err != nil {
			return err
		}
		defer conn.Close()
		s, err := conn.NewSession()
		if err != nil {
			return err
		}
		out, err := s.CombinedOutput("configure session " + name + "\nvlan 77\nmonitor session " + name + " source Ethernet1 rx\nshow session-config diffs\nabort\nshow hostname")
		if err == nil && (!strings.Contains(string(out), "+monitor session "+name+" source Ethernet1 rx\n") || !strings.Contains(string(out), "Hostname: leaf1\n")) {
			err = fmt.Errorf("answered %q", out)
		}
		return err
	}
	errs := make([]error, shared+own)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			addr := l.addr
			if i >= shared {
				addr = addrs[i-shared]
			}
			errs[i] = work(addr, fmt.Sprintf("c%d", i))
		}()
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	for _, d := range append(devices, l.device) {
		if got := d.ConfigSessions(); len(got) != 0 {
			t.Errorf("sessions left: %v", got)
		}
	}
}

func TestServeEnds(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	l.device.Close()
	c.dead()
	if conn, err := net.DialTimeout("tcp", l.addr, time.Second); err == nil {
		defer conn.Close()
		if _, err := dial(t, l.addr, "admin", "admin"); err == nil {
			t.Error("a closed device lets users in")
		}
	}
}
