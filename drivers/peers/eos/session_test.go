package eos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
)

func clocked() (*eos.ManualClock, func(*eos.Options)) {
	clock := eos.NewManualClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	return clock, func(o *eos.Options) { o.Clock = clock }
}

var mirrorLines = []string{
	"monitor session ids source Ethernet1 rx",
	"monitor session ids destination Ethernet8",
}

func TestSessionTouchesNothingUntilCommit(t *testing.T) {
	l := newLab(t, nil)
	before := l.device.RunningConfig()
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	if got := l.device.RunningConfig(); got != before {
		t.Errorf("a session changed the running configuration (-before +now):\n%s", cmp.Diff(before, got))
	}
	want := `--- system:/running-config
+++ session:/s1-session-config
@@ -18,3 +18,6 @@
 !
 interface Management1
 !
+monitor session ids source Ethernet1 rx
+monitor session ids destination Ethernet8
+!
`
	if d := cmp.Diff(want, c.out("show session-config diffs")); d != "" {
		t.Errorf("diffs (-want +got):\n%s", d)
	}
	if p := c.ok("commit"); p != "leaf1#" {
		t.Errorf("prompt after commit: %q", p)
	}
	if d := cmp.Diff([]eos.MonitorSession{{
		Name:         "ids",
		Sources:      []eos.MonitorSource{{Interface: "Ethernet1", Direction: "rx"}},
		Destinations: []eos.MonitorDestination{{Interface: "Ethernet8"}},
	}}, l.device.MonitorSessions()); d != "" {
		t.Errorf("after commit (-want +got):\n%s", d)
	}
	// Taken away, the configuration is what it was, byte for byte.
	c.ok("configure session s2", "no monitor session ids", "commit")
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("after removal (-before +now):\n%s", d)
	}
}

func TestAbortAndExit(t *testing.T) {
	l := newLab(t, nil)
	before := l.device.RunningConfig()
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("abort")
	if got := l.device.ConfigSessions(); len(got) != 0 {
		t.Errorf("after abort: %v", got)
	}
	c.ok("configure session s2")
	c.ok(mirrorLines...)
	for _, leave := range []string{"end", "exit"} {
		c.ok(leave)
		if d := cmp.Diff([]eos.ConfigSession{{Name: "s2", State: "pending"}}, l.device.ConfigSessions()); d != "" {
			t.Errorf("after %s (-want +got):\n%s", leave, d)
		}
		c.ok("configure session s2") // what was typed is still there
		if !strings.Contains(c.out("show session-config diffs"), "+monitor session ids source Ethernet1 rx\n") {
			t.Errorf("after %s the lines are gone", leave)
		}
	}
	c.ok("end", "configure session s2 abort")
	if got := l.device.ConfigSessions(); len(got) != 0 {
		t.Errorf("after abort by name: %v", got)
	}
	if got := l.device.RunningConfig(); got != before {
		t.Errorf("configuration changed:\n%s", cmp.Diff(before, got))
	}
	if got := c.out("configure session s2 commit"); got != "% Session s2 not found\n" {
		t.Errorf("commit of a session that is gone: %q", got)
	}
}

func TestTimerLapses(t *testing.T) {
	clock, opt := clocked()
	l := newLab(t, opt)
	before := l.device.RunningConfig()
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:05:00")
	if len(l.device.MonitorSessions()) != 1 {
		t.Fatal("a timed commit did not take effect")
	}
	detail := c.out("show configuration sessions detail")
	for _, want := range []string{"Session with pending commit timer: s1\n", "expiry: in 0:05:00\n", "Maximum number of pending sessions: 5\n"} {
		if !strings.Contains(detail, want) {
			t.Errorf("no %q in:\n%s", want, detail)
		}
	}
	if got := c.out("configure session s1"); !strings.HasPrefix(got, "% Session s1 is already") {
		t.Errorf("a session under a timer could be entered: %q", got)
	}
	clock.Advance(5*time.Minute - time.Second)
	if len(l.device.MonitorSessions()) != 1 {
		t.Fatal("rolled back early")
	}
	clock.Advance(time.Second)
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("not rolled back (-before +now):\n%s", d)
	}
	if got := l.device.ConfigSessions(); len(got) != 0 {
		t.Errorf("sessions after the rollback: %v", got)
	}
}

// TestRealTimer is the same with the system's clock.
func TestRealTimer(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:00:01")
	if len(l.device.MonitorSessions()) != 1 {
		t.Fatal("a timed commit did not take effect")
	}
	deadline := time.Now().Add(wait)
	for len(l.device.MonitorSessions()) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("never rolled back")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestConfirmFromAnotherConnection(t *testing.T) {
	clock, opt := clocked()
	l := newLab(t, opt)
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:01:00")
	c.conn.Close()
	c2 := login(t, l.addr)
	c2.ok("configure session s1 commit")
	clock.Advance(time.Hour)
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("a confirmed commit was rolled back")
	}
	if d := cmp.Diff([]eos.ConfigSession{{Name: "s1", State: "completed"}}, l.device.ConfigSessions()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAbortUnderTimer(t *testing.T) {
	clock, opt := clocked()
	l := newLab(t, opt)
	before := l.device.RunningConfig()
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:01:00", "configure session s1 abort")
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("(-before +now):\n%s", d)
	}
	// What is done later is not touched by the timer of then.
	c.ok("configure session s2")
	c.ok(mirrorLines...)
	c.ok("commit")
	clock.Advance(time.Hour)
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("the timer of an aborted session undid a later one")
	}
}

func TestOneTimerAtATime(t *testing.T) {
	_, opt := clocked()
	l := newLab(t, opt)
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.ok("commit timer 00:01:00", "configure session s2", "hostname other")
	out, prompt := c.run("commit")
	if !strings.HasPrefix(out, "% Cannot commit session s2") || prompt != "leaf1(config-s-s2)#" {
		t.Errorf("got %q at %q", out, prompt)
	}
	if got := l.device.Hostname(); got != "leaf1" {
		t.Errorf("host name %q", got)
	}
}

func TestLostConnectionLeavesSession(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	c.ok("configure session s1")
	c.ok(mirrorLines...)
	c.conn.Close()
	c = login(t, l.addr)
	var got struct {
		Sessions map[string]struct{ State string }
		Max      int `json:"maxOpenSessions"`
	}
	if err := json.Unmarshal([]byte(c.out("show configuration sessions | json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sessions["s1"].State != "pending" || got.Max != 5 {
		t.Errorf("got %+v", got)
	}
	c.ok("configure session s1 commit")
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("the lines of the lost connection are not in the session")
	}
}

// TestTwoInOneSession has a second terminal in a session that the first one
// commits.
func TestTwoInOneSession(t *testing.T) {
	l := newLab(t, nil)
	a, b := login(t, l.addr), login(t, l.addr)
	b.out("terminal length 0")
	a.ok("configure session s1", mirrorLines[0])
	b.ok("configure session s1", mirrorLines[1])
	var got struct {
		Sessions map[string]struct {
			Instances map[string]struct{ CurrentTerminal bool }
		}
	}
	read(t, b, "show configuration sessions | json", &got)
	current := 0
	for _, i := range got.Sessions["s1"].Instances {
		if i.CurrentTerminal {
			current++
		}
	}
	if n := len(got.Sessions["s1"].Instances); n != 2 || current != 1 {
		t.Errorf("%d terminals in the session, %d of them this one", n, current)
	}
	a.ok("commit")
	if got := l.device.MonitorSessions(); len(got) != 1 || len(got[0].Sources) != 1 || len(got[0].Destinations) != 1 {
		t.Errorf("committed: %+v", got)
	}
	before := l.device.RunningConfig()
	for _, line := range []string{"hostname late", "vlan 9", "rollback clean-config", "copy running-config session-config", "commit"} {
		if got := b.out(line); !strings.HasPrefix(got, "% Session s1 is ") {
			t.Errorf("%q after the commit answered %q", line, got)
		}
	}
	b.ok("abort")
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("(-before +now):\n%s", d)
	}
}

func TestPendingLimit(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.MaxPending = 2 })
	c := login(t, l.addr)
	c.ok("configure session a", "end", "configure session b", "end")
	out, prompt := c.run("configure session c")
	if !strings.HasPrefix(out, "% Maximum number of pending sessions") || prompt != "leaf1#" {
		t.Errorf("got %q at %q", out, prompt)
	}
	c.ok("configure session a", "end") // one that exists can be entered
	c.ok("configure session b abort", "configure session c", "abort")
	if p := c.ok("configure session"); !strings.HasPrefix(p, "leaf1(config-s-sess-2") {
		t.Errorf("unnamed session: prompt %q", p)
	}
}

func TestCommitRefused(t *testing.T) {
	tests := []struct {
		name  string
		opt   func(*eos.Options)
		lines []string
		why   string
	}{
		{"source is a destination", nil, []string{"monitor session a source Ethernet8", "monitor session a destination Ethernet8"}, "Ethernet8 is a source"},
		{"of another session", nil, []string{"monitor session a source Ethernet1", "monitor session a destination Ethernet2", "monitor session b source Ethernet2"}, "Ethernet2 is a source"},
		{"member of a LAG", nil, []string{"interface Ethernet8", "channel-group 3 mode active", "monitor session a source Ethernet1", "monitor session a destination Ethernet8"}, "member of Port-Channel3"},
		{"too many", func(o *eos.Options) { o.MaxSessions = 1 }, []string{"monitor session a source Ethernet1", "monitor session b source Ethernet2"}, "more than 1 monitor sessions"},
		{"one destination twice", func(o *eos.Options) { o.OneSessionPerDestination = true },
			[]string{"monitor session a source Ethernet1", "monitor session a destination Ethernet8", "monitor session b source Ethernet2", "monitor session b destination Ethernet8"}, "already a destination"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.opt)
			before := l.device.RunningConfig()
			c := login(t, l.addr)
			c.ok("configure session s1")
			c.ok(tt.lines...)
			out, prompt := c.run("commit")
			if !strings.HasPrefix(out, "% Cannot commit session s1: ") || !strings.Contains(out, tt.why) {
				t.Errorf("commit answered %q", out)
			}
			if !strings.HasPrefix(prompt, "leaf1(config-s-s1") {
				t.Errorf("prompt %q", prompt)
			}
			if got := l.device.RunningConfig(); got != before {
				t.Errorf("changed:\n%s", cmp.Diff(before, got))
			}
			// Live, the line that makes it wrong is refused.
			c.ok("abort", "configure terminal")
			last := ""
			for _, line := range tt.lines {
				last = c.out(line)
			}
			if !strings.HasPrefix(last, "% ") || !strings.Contains(last, tt.why) {
				t.Errorf("live, the last line answered %q", last)
			}
		})
	}
}

func TestRollbackCleanConfig(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.StartupConfig = "vlan 10\n   name web\nmonitor session a source Ethernet1\n" })
	c := login(t, l.addr)
	c.ok("configure session s1", "rollback clean-config", "hostname clean", "commit")
	if got := l.device.RunningConfig(); strings.Contains(got, "vlan 10") || strings.Contains(got, "monitor") || !strings.Contains(got, "hostname clean\n") {
		t.Errorf("got\n%s", got)
	}
	c.ok("configure session s2", "copy running-config session-config", "abort")
}

func TestStartupConfig(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	if got := l.device.StartupConfig(); got != "" {
		t.Errorf("startup before anything was saved: %q", got)
	}
	c.out("terminal length 0")
	for i, line := range []string{"write memory", "copy running-config startup-config", "wr"} {
		c.ok("configure", fmt.Sprintf("hostname sw%d", i), "end")
		if got := c.out(line); got != "Copy completed successfully.\n" {
			t.Errorf("%q answered %q", line, got)
		}
		if got := c.out("show startup-config"); !strings.Contains(got, fmt.Sprintf("\nhostname sw%d\n", i)) {
			t.Errorf("after %q:\n%s", line, got)
		}
	}
}
