package nxos_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/nxos"
	"github.com/spanctl/spanctl/drivers/peers/eos"
	peer "github.com/spanctl/spanctl/drivers/peers/nxos"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

func TestProfilePatterns(t *testing.T) {
	p := nxos.Dialect{}.Profile()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	prompts := []struct {
		text, host string // host "" = no prompt
		exec       bool
	}{
		{"sw1# ", "sw1", true}, {"TEST-12345#", "TEST-12345", true}, {"n9k.example.net# ", "n9k.example.net", true}, {"sw1> ", "sw1", false},
		{"SW-100G(config)# ", "SW-100G", false}, {"SW-100G(config-erspan-src)# ", "SW-100G", false}, {"switch(config-monitor)#", "switch", false},
		{"switch(config-if-range)# ", "switch", false}, {"sw1(maint-mode)# ", "sw1", true}, {"sw1(maint-mode)(config-if)# ", "sw1", false},
		{"sw1# show version", "", false}, {"   session 1", "", false}, {"#", "", false}, {"banner motd #", "", false},
		{"rx            : Eth1/31", "", false}, {"% Invalid command at '^' marker.", "", false},
	}
	for _, tt := range prompts {
		host := ""
		if m := p.Prompt.FindStringSubmatch(tt.text); m != nil {
			host = m[p.Prompt.SubexpIndex(transport.PromptHost)]
		}
		if host != tt.host || p.Exec.MatchString(tt.text) != tt.exec {
			t.Errorf("%q: host %q, exec %v", tt.text, host, p.Exec.MatchString(tt.text))
		}
	}
	for line, want := range map[string]bool{
		"2026 Nov 24 16:44:15 sw1 %ETHPORT-5-IF_DOWN_ADMIN_DOWN: Interface Ethernet1/1 is down":                  true,
		"2026 Jan  1 00:00:00.123456 sw1 %VSHD-5-VSHD_SYSLOG_CONFIG_I: Configured from vty by admin":             true,
		"2026 Nov 24 16:44:15 n7k %$ VDC-1 %$ %ETH_PORT_CHANNEL-5-PORT_DOWN: port-channel1: Ethernet1/1 is down": true,
		"% Invalid command at '^' marker.": false, "2026 Nov 24 16:44:15 sw1 says hello": false, "description 2026 Nov 24 16:44:15 sw1 %A-1-B: x": false,
	} {
		if got := p.Async.MatchString(line); got != want {
			t.Errorf("%q is printed in between: %v; want %v", line, got, want)
		}
	}
	for line, want := range map[string]bool{
		"% Invalid command at '^' marker.": true, "Invalid range at '^' marker.": true, "% Ambiguous command at '^' marker.": true, "% Permission denied for the role": true,
		"ERROR: Eth1/3: Interface is a PC member": true, "Syntax error while parsing 'x'": true, "   session 1": false, "version 9.3(10)": false, "Invalid mac address count: 0": false,
	} {
		got := false
		for _, re := range p.Refused {
			got = got || re.MatchString(line)
		}
		if got != want {
			t.Errorf("%q is a refusal: %v; want %v", line, got, want)
		}
	}
	for text, want := range map[string]bool{
		"This command will reboot the system. (y/n)?  [n] ": true, "Do you want to overwrite (yes/no)? [no] ": true, "Are you sure (y/n)? ": true,
		"description why (y/n)? not": false,
	} {
		if got := p.Questions[0].Pattern.MatchString(text); got != want {
			t.Errorf("%q is a question: %v; want %v", text, got, want)
		}
	}
	if !p.Pager.MatchString("--More--") {
		t.Error("the pager is not known")
	}
}

// TestLogLines: messages in the middle of answers are no part of them, and no
// refusal of a step.
func TestLogLines(t *testing.T) {
	b := startSwitch(t)
	d := open(t, b)
	quiet, err := d.Observe(t.Context())
	must(t, err)
	must(t, b.dev.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Action: eos.ActionLog}}}))
	noisy, err := d.Observe(t.Context())
	must(t, err)
	if diff := cmp.Diff(quiet, noisy, cmpAddr); diff != "" {
		t.Errorf("messages change the state (-quiet +noisy):\n%s", diff)
	}
	cp := checkpoint(t, d, quiet, models.Change{Op: models.Create, After: &local})
	if err := d.Apply(t.Context(), cp); err != nil {
		t.Errorf("steps among messages: %v", err)
	}
}

// TestBanners: what is printed at login, with signs of prompts in it, hinders
// nothing.
func TestBanners(t *testing.T) {
	for name, edit := range map[string]func(*peer.Options){
		"banner":    func(o *peer.Options) { o.Banner = "Only for sw1# staff!\nsw1# \n" },
		"message":   func(o *peer.Options) { o.MOTD = "Welcome to\nsw1#\nother# \n--More--\nAre you sure (y/n)? [n] \n" },
		"hash name": func(o *peer.Options) { o.Hostname = "sw1.example-net_2" },
	} {
		t.Run(name, func(t *testing.T) {
			st, err := open(t, startSwitch(t, edit)).Observe(t.Context())
			if err != nil || len(st.Sessions) != 4 {
				t.Errorf("%d sessions, %v", len(st.Sessions), err)
			}
		})
	}
}

// TestPager: a switch that does not take "terminal length 0" shows page after page,
// which works where lines are typed one at a time; and one that is slow is waited for.
func TestPager(t *testing.T) {
	b := startSwitch(t)
	want, err := open(t, b).Observe(t.Context())
	must(t, err)
	must(t, b.dev.SetFaults(eos.FaultSpec{Lines: []eos.Fault{
		{Line: "^terminal length", Action: eos.ActionRefuse, Text: "% Permission denied for the role"},
		{Line: "^show version", Action: eos.ActionDelay, Delay: eos.Duration(300 * time.Millisecond)},
	}}))
	b.profile.OneAtATime = true
	got, err := open(t, b).Observe(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
		t.Errorf("pages change the state (-whole +pages):\n%s", diff)
	}
}

func open(t testing.TB, b *bed) drivers.Driver {
	t.Helper()
	d, err := b.Open(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}
