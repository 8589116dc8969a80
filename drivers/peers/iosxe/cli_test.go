package iosxe_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
)

func TestPrompts(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	steps := []struct{ line, want string }{
		{"terminal width 0", "sw1#"},
		{"disable", "sw1>"},
		{"enable", "sw1#"},
		{"vlan 10", "sw1#"}, // refused: no exec command
		{"conf t", "sw1(config)#"},
		{"vlan 10", "sw1(config-vlan)#"},
		{"int gi1/0/1", "sw1(config-if)#"}, // a global line leads out of a mode
		{"interface GigabitEthernet 1/0/2", "sw1(config-if)#"},
		{"int range gi1/0/1 - 2 , gi1/0/5", "sw1(config-if-range)#"},
		{"ip access-list extended X", "sw1(config-ext-nacl)#"},
		{"archive", "sw1(config-archive)#"},
		{"line vty 0 4", "sw1(config-line)#"},
		{"monitor session 1 type erspan-source", "sw1(config-mon-erspan-src)#"},
		{"destination", "sw1(config-mon-erspan-src-dst)#"},
		{"no shutdown", "sw1(config-mon-erspan-src-dst)#"}, // refused here
		{"exit", "sw1(config-mon-erspan-src)#"},
		{"monitor session 2 type erspan-destination", "sw1(config-mon-erspan-dst)#"},
		{"source", "sw1(config-mon-erspan-dst-src)#"},
		{"hostname Franklin-9300L-Stack-2", "Franklin-9300L-Stack(config)#"}, // cut to 20 characters
		{"do show privilege", "Franklin-9300L-Stack(config)#"},
		{"end", "Franklin-9300L-Stack-2#"},
		{"configure terminal", "Franklin-9300L-Stack(config)#"},
		{"exit", "Franklin-9300L-Stack-2#"},
	}
	for _, s := range steps {
		if _, got := c.run(s.line); got != s.want {
			t.Fatalf("after %q: prompt %q, want %q", s.line, got, s.want)
		}
	}
}

// invalid is the answer to a line whose word at column, counted behind the prompt, is
// unknown.
func invalid(prompt string, column int) string {
	return strings.Repeat(" ", len(prompt)+column) + "^\n% Invalid input detected at '^' marker.\n\n"
}

func TestRefusals(t *testing.T) {
	l := newLab(t, func(o *iosxe.Options) { o.Limits = iosxe.Limits{Sources: 2, ERSPANRx: 1} })
	must(t, l.device.Configure("vlan 900", "remote-span", "vlan 10",
		"monitor session 1 source interface Gi1/0/1 - 2", "monitor session 1 destination interface Gi1/0/8",
		"monitor session 3 source vlan 10", "monitor session 4 type erspan-source", "source interface Gi1/0/3 rx",
		"monitor session 5 type erspan-source"))
	before := l.device.RunningConfig()
	c := login(t, l.addr).config()
	top := "sw1(config)#"
	for _, tt := range []struct{ line, want string }{
		{"monitor session 0 source interface Gi1/0/3", invalid(top, 16)},
		{"monitor session 67 source interface Gi1/0/3", invalid(top, 16)},
		{"monitor session 2 type local", invalid(top, 23)}, // a router's
		{"monitor session 2 shutdown", invalid(top, 18)},   // flat sessions have no such line
		{"monitor session 2 description x", invalid(top, 18)},
		{"monitor session 2 source interface", "% Incomplete command.\n\n"},
		{"monitor session 2", "% Incomplete command.\n\n"},
		{"monitor session 2 source interface Gi1/0/9", invalid(top, 35)},
		{"monitor session 2 source interface Gi1/0/3-4", invalid(top, 35)},
		{"monitor session 2 source interface Gi1/0/3,Gi1/0/4", invalid(top, 35)},
		{"monitor session 2 source interface Gi1/0/4 - 3", invalid(top, 35)},
		{"monitor session 2 source interface Gi1/0/3 in", invalid(top, 43)},
		{"monitor session 2 source vlan 4095", invalid(top, 30)},
		{"monitor session 2 source remote vlan 1002", invalid(top, 37)},
		{"monitor session 2 destination remote vlan 10", "% VLAN 10 is not configured as an RSPAN VLAN\n"},
		{"monitor session 2 destination remote vlan 1", invalid(top, 42)},
		{"monitor session 2 source interface Gi1/0/8", "% Interface(s) Gi1/0/8 already configured as monitor destinations\n"},
		{"monitor session 2 source interface Gi1/0/7 - 8", "% Interface(s) Gi1/0/8 already configured as monitor destinations\n"},
		{"monitor session 1 source interface Gi1/0/8", "% Interface(s) Gi1/0/8 already configured as monitor destinations\n"},
		{"monitor session 2 destination interface Gi1/0/2", "% Interface(s) Gi1/0/2 already configured as monitor sources\n"},
		{"monitor session 2 destination interface Gi1/0/8", "% Interface(s) Gi1/0/8 already configured as monitor destinations\n"},
		{"monitor session 1 source vlan 10", "% Session 1 cannot have sources of different kinds\n"},
		{"monitor session 1 source remote vlan 900", "% Session 1 cannot have sources of different kinds\n"},
		{"monitor session 1 destination remote vlan 900", "% Session 1 cannot have an RSPAN VLAN as destination\n"},
		{"monitor session 3 filter vlan 10", "% Session 3 cannot have VLAN sources and a VLAN filter\n"},
		{"monitor session 1 filter mac access-group X", invalid(top, 25)},
		{"monitor session 2 source interface Gi1/0/5", "% Local Session limit has been exceeded\n"},
		{"monitor session 4 source interface Gi1/0/5", "% Session 4 is already configured with another type. Remove it first.\n"},
		{"monitor session 4 type erspan-destination", "% Session 4 is already configured with another type. Remove it first.\n"},
		{"monitor session 1 type erspan-source", "% Session 1 is already configured with another type. Remove it first.\n"},
		{"mon ses 1 d i gi1/0/8 enc foo", invalid(top, 26)},
		{"s", "% Ambiguous command:  \"s\"\n"},
		{"no vlan 1", "% Default VLAN 1 may not be deleted.\n"},
		{"show version", invalid(top, 0)}, // wants "do"
	} {
		out, prompt := c.run(tt.line)
		if d := cmp.Diff(tt.want, out); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
		if prompt != top {
			t.Errorf("%s led to %s", tt.line, prompt)
		}
	}
	c.ok("monitor session 5 type erspan-source")
	src := "sw1(config-mon-erspan-src)#"
	for _, tt := range []struct{ line, want string }{
		{"source interface Gi1/0/5", "% ERSPAN Source Session limit has been exceeded\n"},
		{"header-type 3", "% ERSPAN header type III is not supported\n"},
		{"header-type 4", invalid(src, 12)},
		{"erspan-id 1", invalid(src, 0)},
		{"destination interface Gi1/0/7", invalid(src, 12)},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("refused lines left something (-before +after):\n%s", d)
	}
	c.ok("destination")
	dst := "sw1(config-mon-erspan-src-dst)#"
	for _, tt := range []struct{ line, want string }{
		{"erspan-id 0", invalid(dst, 10)}, {"erspan-id 1024", invalid(dst, 10)},
		{"ip ttl 1", invalid(dst, 7)}, {"ip ttl 256", invalid(dst, 7)},
		{"ip dscp 64", invalid(dst, 8)},
		{"mtu 175", invalid(dst, 4)}, {"mtu 9001", invalid(dst, 4)},
		{"ip address 10.0.0.300", invalid(dst, 11)}, {"ip address 2001:db8::1", invalid(dst, 11)},
		{"ip address", "% Incomplete command.\n\n"},
		{"erspan-id 1023", ""}, {"ip ttl 2", ""}, {"ip ttl 255", ""}, {"ip dscp 63", ""}, {"mtu 176", ""}, {"mtu 9000", ""},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
}

func TestRefusalsOfExecMode(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	for _, tt := range []struct{ line, want string }{
		{"show monitor session 5", " No SPAN configuration is present in the system for session [5].\n\n"},
		{"show monitor session all", " No SPAN configuration is present in the system.\n\n"},
		{"show monitor session", "% Incomplete command.\n\n"},
		{"show nonsense", invalid("sw1#", 5)},
		{"show version | nonsense x", invalid("sw1#", 15)},
		{"show version | include", invalid("sw1#", 13)},
		{"c", "% Ambiguous command:  \"c\"\n"},
		{"nonsense", "% Bad IP address or host name\n% Unknown command or computer name, or unable to find computer address\n"},
		{"nonsense here", invalid("sw1#", 0)},
		{"configure terminal revert timer 0", invalid("sw1#", 32)},
		{"configure terminal revert timer 121", invalid("sw1#", 32)},
		{"configure terminal revert timer 5", "%Turn config archive on before using Rollback Confirmed Change\n"},
		{"configure confirm", "%No Rollback Confirmed Change pending\n"},
		{"configure revert now", "%No Rollback Confirmed Change pending\n"},
		{"show archive config rollback timer", "%No Rollback Confirmed Change pending\n"},
		{"show archive", "Archive feature not enabled\n\n"},
		{"show startup-config", "startup-config is not present\n"},
		{"write memory", "Building configuration...\n[OK]\n"},
		{"! a remark", ""},
		{"", ""},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
	if p := c.ok("disable"); p != "sw1>" {
		t.Fatal(p)
	}
	if d := cmp.Diff(invalid("sw1>", 5), c.out("show running-config")); d != "" {
		t.Errorf("show running-config without privilege (-want +got):\n%s", d)
	}
}

func TestQuestionsAndPasswords(t *testing.T) {
	l := newLab(t, func(o *iosxe.Options) { o.LoginPrivilege, o.EnableSecret = 1, "s3cret" })
	c := open(t, l.addr)
	if got := c.until(promptAt); got != "\nsw1>" {
		t.Errorf("greeting %q", got)
	}
	password := regexp.MustCompile(`Password: $`)
	c.send("enable\n")
	for range 2 {
		c.until(password)
		c.send("wrong\n")
	}
	c.until(password)
	c.send("wrong\n")
	if got := c.until(promptAt); !strings.Contains(got, "% Bad secrets\n\nsw1>") {
		t.Errorf("three wrong secrets: %q", got)
	}
	c.send("enable\n")
	c.until(password)
	c.send("s3cret\n")
	if got := c.until(promptAt); !strings.HasSuffix(got, "sw1#") || strings.Contains(got, "s3cret") {
		t.Errorf("the right secret: %q", got)
	}
	c.send("copy running-config startup-config\n")
	c.until(regexp.MustCompile(`Destination filename \[startup-config\]\? $`))
	c.send("\n")
	if got := c.until(promptAt); !strings.Contains(got, "Building configuration...\n[OK]\n") {
		t.Errorf("copy: %q", got)
	}
	if l.device.StartupConfig() == "" {
		t.Error("nothing was saved")
	}
	c.send("configure\n")
	c.until(regexp.MustCompile(`network \[terminal\]\? $`))
	c.send("\n")
	if got := c.until(promptAt); !strings.HasSuffix(got, "sw1(config)#") {
		t.Errorf("configure: %q", got)
	}
	want := []string{"enable", "enable", "copy running-config startup-config", "configure"}
	if d := cmp.Diff(want, l.device.Wire()); d != "" {
		t.Errorf("wire (-want +got):\n%s", d)
	}
	l.device.ResetWire()
	if got := l.device.Wire(); len(got) != 0 {
		t.Errorf("after ResetWire: %q", got)
	}
}

func TestPaging(t *testing.T) {
	l := newLab(t, nil)
	c := open(t, l.addr)
	c.until(promptAt)
	mark := regexp.MustCompile(` --More-- $`)
	c.send("show running-config\n")
	first := c.until(mark)
	if n := strings.Count(first, "\n"); n != 1+23 { // the echo, and a page
		t.Errorf("the first page has %d lines: %q", n, first)
	}
	c.send("\r")
	if next := c.until(mark); strings.Count(next, "\n") != 1 || !strings.HasPrefix(next, strings.Repeat("\b", 9)+"        "+strings.Repeat("\b", 9)) {
		t.Errorf("return shows %q", next)
	}
	c.send("q")
	c.until(promptAt)
	c.send("show running-config\n")
	c.until(mark)
	c.send(" ")
	all := c.until(regexp.MustCompile(`( --More-- |#)$`))
	c.send("q")
	if !strings.Contains(all, "interface TenGigabitEthernet1/1/1") {
		t.Errorf("the second page: %q", all)
	}
}

func TestFilters(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.Configure("monitor session 1 source interface Gi1/0/1", "monitor session 1 destination interface Gi1/0/8",
		"monitor session 2 type erspan-source", "source interface Gi1/0/2 rx", "destination", "erspan-id 5", "interface Gi1/0/3", "description session of nobody"))
	c := login(t, l.addr)
	for _, tt := range []struct{ line, want string }{
		{"show running-config | section ^monitor session", "monitor session 1 source interface Gi1/0/1\nmonitor session 1 destination interface Gi1/0/8\n" +
			"monitor session 2 type erspan-source\n shutdown\n source interface Gi1/0/2 rx\n destination\n  erspan-id 5\n"},
		{"sh run | inc session", " description session of nobody\nmonitor session 1 source interface Gi1/0/1\nmonitor session 1 destination interface Gi1/0/8\nmonitor session 2 type erspan-source\n"},
		{"sh run | begin ^ +erspan", "  erspan-id 5\n!\nend\n\n"},
		{"sh run | section interface GigabitEthernet1/0/3", "interface GigabitEthernet1/0/3\n description session of nobody\n"},
		{"sh run | count ^monitor", "Number of lines which match regexp = 3\n"},
		{"sh run | include ^MONITOR", ""},
		{"show monitor session all | include Session$", "Type                   : Local Session\nType                   : ERSPAN Source Session\n"},
		{"show running-config interface gi1/0/3", "Building configuration...\n\nCurrent configuration : 68 bytes\n!\ninterface GigabitEthernet1/0/3\n description session of nobody\nend\n\n"},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
	c.ok("terminal exec prompt timestamp")
	if got := c.out("show privilege"); !regexp.MustCompile(`^Load for five secs: .*\nTime source is NTP, .*\n\nCurrent privilege level is 15\n$`).MatchString(got) {
		t.Errorf("with timestamps: %q", got)
	}
}

// TestGivesBack creates sessions of every kind and takes them away: the configuration
// is what it was, byte for byte.
func TestGivesBack(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.Configure("vlan 900", "remote-span", "ip access-list extended A", "permit ip any any", "interface Gi1/0/8", "description analyzer",
		"monitor session 7 source interface Gi1/0/7", "monitor session 7 destination interface Gi1/0/6"))
	before := l.device.RunningConfig()
	c := login(t, l.addr)
	for _, tt := range []struct {
		name      string
		make, end []string
	}{
		{"local", []string{"monitor session 1 source interface Gi1/0/1 - 2 , Gi1/0/4 rx", "monitor session 1 filter ip access-group A",
			"monitor session 1 destination interface Gi1/0/8 encapsulation replicate ingress untagged vlan 5"}, []string{"no monitor session 1"}},
		{"line by line", []string{"monitor session 1 source interface Gi1/0/1 - 2 rx", "monitor session 1 filter vlan 5 , 7 - 9", "monitor session 1 destination interface Gi1/0/8"},
			[]string{"no monitor session 1 source interface Gi1/0/1 - 2 rx", "no monitor session 1 filter vlan 5 , 7 - 9", "no monitor session 1 destination interface Gi1/0/8"}},
		{"RSPAN", []string{"monitor session 2 source vlan 10 tx", "monitor session 2 destination remote vlan 900", "monitor session 3 source remote vlan 900",
			"monitor session 3 destination interface Gi1/0/8"}, []string{"no monitor session remote"}},
		{"ERSPAN", []string{"monitor session 10 type erspan-source", "description x y", "source interface Gi1/0/1", "no shutdown", "destination", "erspan-id 1",
			"ip address 10.0.0.9", "origin ip address 10.0.0.1", "vrf RED", "ip ttl 9", "exit", "exit", "monitor session 11 type erspan-destination",
			"destination interface Gi1/0/8", "source", "ip address 10.0.0.1", "erspan-id 1", "exit", "exit"}, []string{"no monitor session range 10-11"}},
	} {
		c.config().ok(tt.make...)
		c.ok("end")
		if l.device.RunningConfig() == before {
			t.Errorf("%s: nothing was configured", tt.name)
		}
		c.config().ok(tt.end...)
		c.ok("end")
		if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
			t.Errorf("%s (-before +after):\n%s", tt.name, d)
		}
	}
	c.config().ok("no monitor session all")
	if got := l.device.MonitorSessions(); len(got) != 0 {
		t.Errorf("after all were removed: %+v", got)
	}
}

func TestRevertTimer(t *testing.T) {
	clock := iosxe.NewManualClock(time.Date(2026, 2, 5, 15, 56, 38, 517e6, time.UTC))
	l := newLab(t, func(o *iosxe.Options) { o.Archive, o.Clock = true, clock })
	before := l.device.RunningConfig()
	if !strings.Contains(before, "\narchive\n path flash:archive\n!\n") {
		t.Fatalf("no archive in\n%s", before)
	}
	c := login(t, l.addr)
	change := []string{"monitor session 1 source interface Gi1/0/1", "monitor session 1 destination interface Gi1/0/8", "end"}
	start := func(want string) {
		t.Helper()
		out, prompt := c.run("configure terminal revert timer 5")
		if d := cmp.Diff(want, out); d != "" || prompt != "sw1(config)#" {
			t.Fatalf("revert timer: prompt %s, (-want +got):\n%s", prompt, d)
		}
		c.ok(change...)
	}
	greeting := "Rollback Confirmed Change: Backing up current running config to flash:archive-Feb--5-%s-%d\n\n" +
		"Enter configuration commands, one per line.  End with CNTL/Z.\n"
	start(fmt.Sprintf(greeting, "15-56-38.517", 0))
	want := "Time configured(or reconfigured): 15:56:38 UTC Thu Feb 5 2026\nTimer type: absolute timer\nTimer value: 5 min\nUser: admin\n"
	if d := cmp.Diff(want, c.out("show archive config rollback timer")); d != "" {
		t.Errorf("timer (-want +got):\n%s", d)
	}
	if got := c.out("configure terminal revert timer 5"); got != "%Rollback Confirmed Change already pending\n" {
		t.Errorf("a second timer: %q", got)
	}
	clock.Advance(5*time.Minute - time.Second)
	if len(l.device.MonitorSessions()) != 1 {
		t.Fatal("taken back before its time")
	}
	if due, pending := l.device.PendingRevert(); !pending || !due.Equal(clock.Now().Add(time.Second)) {
		t.Errorf("pending %v until %s", pending, due)
	}
	clock.Advance(time.Second)
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("after the time has run out (-before +after):\n%s", d)
	}
	if got := c.out("configure confirm"); got != "%No Rollback Confirmed Change pending\n" {
		t.Errorf("confirm too late: %q", got)
	}

	start(fmt.Sprintf(greeting, "16-01-38.517", 1))
	c.ok("configure revert timer 10") // starts anew
	clock.Advance(9 * time.Minute)
	login(t, l.addr).ok("configure confirm") // from another connection
	clock.Advance(time.Hour)
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("taken back though it was confirmed")
	}

	c.config().ok("no monitor session 1", "end")
	out, _ := c.run("configure terminal revert timer 120")
	if !strings.HasPrefix(out, "Rollback Confirmed Change: Backing up") {
		t.Fatal(out)
	}
	c.ok(change...)
	if got := c.out("configure revert now"); !strings.HasPrefix(got, "Rollback Confirmed Change: Rolling to:flash:archive-") || !strings.HasSuffix(got, "Rollback Done\n\n") {
		t.Errorf("revert now: %q", got)
	}
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("after revert now (-before +after):\n%s", d)
	}
	must(t, l.device.SetFaults(iosxe.FaultSpec{Lines: []iosxe.Fault{{Line: "^configure terminal revert", Action: eos.ActionIgnoreTimer}}}))
	c.run("configure terminal revert timer 1")
	c.ok(change...)
	clock.Advance(time.Hour)
	if len(l.device.MonitorSessions()) != 1 {
		t.Error("a timer lapsed that was to be ignored")
	}
}

func TestFaults(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	set := func(f iosxe.Fault) { t.Helper(); must(t, l.device.SetFaults(iosxe.FaultSpec{Lines: []iosxe.Fault{f}})) }
	set(iosxe.Fault{Line: "source", Action: eos.ActionRefuse, Text: "% No resources", Times: 1})
	if got := c.out("monitor session 1 source interface Gi1/0/1"); got != "% No resources\n" || len(l.device.MonitorSessions()) != 0 {
		t.Errorf("refused: %q", got)
	}
	c.ok("monitor session 1 source interface Gi1/0/1")
	set(iosxe.Fault{Line: "destination", Action: eos.ActionForget})
	c.ok("monitor session 1 destination interface Gi1/0/8")
	if got := l.device.MonitorSessions(); len(got[0].Destinations) != 0 {
		t.Errorf("not forgotten: %+v", got)
	}
	set(iosxe.Fault{Line: "show", Action: eos.ActionLog, Text: "*Nov 24 16:00:00.000: %LINK-3-UPDOWN: Interface Gi1/0/1, changed state to up"})
	if got := c.out("do show vlan remote-span"); !strings.Contains(got, "%LINK-3-UPDOWN") || strings.HasPrefix(got, "*") {
		t.Errorf("with a log message: %q", got)
	}
	set(iosxe.Fault{Action: eos.ActionCutAfter})
	c.send("no monitor session 1\n")
	for range c.chunks { // until the connection is gone
	}
	if len(l.device.MonitorSessions()) != 0 {
		t.Error("the line before the cut took no effect")
	}
	must(t, l.device.SetFaults(iosxe.FaultSpec{}))
	for _, bad := range []iosxe.Fault{{Line: "(", Action: eos.ActionHang}, {Action: "burn"}, {Action: eos.ActionHang, Times: -1}} {
		if err := l.device.SetFaults(iosxe.FaultSpec{Lines: []iosxe.Fault{bad}}); err == nil {
			t.Errorf("fault %+v was taken", bad)
		}
	}
}

func TestCommandWithoutTerminal(t *testing.T) {
	l := newLab(t, nil)
	s, err := dial(t, l.addr, "admin").NewSession()
	must(t, err)
	out, err := s.Output("show privilege")
	if err != nil || string(out) != "Current privilege level is 15\n" {
		t.Errorf("%q, %v", out, err)
	}
}
