package ssh

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/transport"
)

// These tests drive the simulated EOS switch, whose grammar and terminal were
// written without this package in mind.

func eosScript(name string) []transport.Step {
	return []transport.Step{
		{Phase: transport.Enter, Text: "configure session " + name},
		{Phase: transport.Edit, Text: "no monitor session web"},
		{Phase: transport.Edit, Text: "monitor session web source Ethernet1 rx"},
		{Phase: transport.Edit, Text: "monitor session web destination Ethernet4"},
		{Phase: transport.Commit, Text: "commit timer 00:05:00"},
	}
}

// dialEOS gives a switch and a connection to it.
func dialEOS(t *testing.T, o eos.Options, edit func(*Options)) (*eos.Device, *Conn) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, addr, err := newEOS(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); d.Close() })
	opts := labOptions(addr, insecure(t))
	opts.Profile, opts.StepTimeout = eosProfile(), 2*time.Second
	if edit != nil {
		edit(&opts)
	}
	return d, dial(t, opts)
}

func TestEOS(t *testing.T) {
	d, c := dialEOS(t, eos.Options{MOTD: "leaf1#\nKeep out of leaf1>\n", Banner: "authorized users only#\n"}, nil)
	rs := reqs("show running-config section monitor session", "show monitor session | json", "show running-config")
	rs = append(rs, transport.Request{Text: "show platform nothing", Optional: true})
	if err := c.Send(t.Context(), eosScript("one")); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), []transport.Step{{Phase: transport.Commit, Text: "configure session one commit"}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Read(t.Context(), rs)
	if err != nil {
		t.Fatal(err)
	}
	if want := "monitor session web source Ethernet1 rx\nmonitor session web destination Ethernet4"; !strings.HasSuffix(got[0].Text, want) {
		t.Errorf("got %q, want %q", got[0].Text, want)
	}
	var v struct{ Sessions map[string]any }
	if err := json.Unmarshal([]byte(got[1].Text), &v); err != nil || v.Sessions["web"] == nil {
		t.Errorf("%v in %s", err, got[1].Text)
	}
	if want := strings.TrimRight(d.RunningConfig(), "\n"); !strings.HasSuffix(got[2].Text, want[strings.Index(want, "\n"):]) {
		t.Errorf("running-config (-want +got):\n%s", cmp.Diff(want, got[2].Text))
	}
	if !strings.HasPrefix(got[3].Err, "% Invalid input") {
		t.Errorf("got %+v", got[3])
	}
	want := append([]string{}, opening...)
	for _, s := range eosScript("one") {
		want = append(want, s.Text)
	}
	want = append(want, "configure session one commit")
	for _, r := range rs {
		want = append(want, r.Text)
	}
	wire := d.Wire()
	if n := len(wire); n > 0 && strings.TrimSpace(wire[n-1]) == "" {
		wire = wire[:n-1] // the marker
	}
	if d := cmp.Diff(want, wire); d != "" {
		t.Errorf("on the wire (-want +got):\n%s", d)
	}
}

// TestEOSFaults: what an error says about the device agrees with the device.
func TestEOSFaults(t *testing.T) {
	steps := eosScript("one")
	tests := []struct {
		name    string
		fault   eos.Fault
		want    failure
		changed bool
	}{
		{"refused line", eos.Fault{Line: "destination", Action: eos.ActionRefuse, Text: "% Unavailable command (not supported on this hardware platform)"},
			failure{Kind: transport.Rejected, Step: steps[3].Text, Reply: "% Unavailable command (not supported on this hardware platform)", Sent: 3}, false},
		{"refused commit", eos.Fault{Line: "^commit", Action: eos.ActionRefuse, Text: "% Cannot commit"},
			failure{Kind: transport.Rejected, Step: steps[4].Text, Reply: "% Cannot commit", Sent: 4}, false},
		{"cut before the commit", eos.Fault{Line: "^commit", Action: eos.ActionCutBefore},
			failure{Kind: transport.Unreachable, Step: steps[4].Text, Sent: 4, InDoubt: true}, false},
		{"cut after the commit", eos.Fault{Line: "^commit", Action: eos.ActionCutAfter},
			failure{Kind: transport.Unreachable, Step: steps[4].Text, Sent: 4, InDoubt: true}, true},
		{"hang before the commit", eos.Fault{Line: "^commit", Action: eos.ActionHang},
			failure{Kind: transport.Timeout, Step: steps[4].Text, Sent: 4, InDoubt: true}, false},
		{"hang after the commit", eos.Fault{Line: "^commit", Action: eos.ActionHangAfter},
			failure{Kind: transport.Timeout, Step: steps[4].Text, Sent: 4, InDoubt: true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, c := dialEOS(t, eos.Options{}, func(o *Options) { o.StepTimeout = 400 * time.Millisecond })
			if err := d.AddFault(tt.fault); err != nil {
				t.Fatal(err)
			}
			err := c.Send(t.Context(), steps)
			got := failureOf(t, err)
			if got.Kind == transport.Timeout {
				got.Reply = "" // how far the device got
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
			if n := len(d.MonitorSessions()); n > 0 != tt.changed {
				t.Errorf("the device has %d sessions", n)
			}
			if tt.want.InDoubt {
				return
			}
			// Back in exec mode: the candidate can be taken away.
			if err := c.Send(t.Context(), []transport.Step{{Phase: transport.Edit, Text: "configure session one abort"}}); err != nil {
				t.Error(err)
			}
			if s := d.ConfigSessions(); len(s) > 0 && s[0].State == "pending" {
				t.Errorf("left: %+v", s)
			}
		})
	}
}

// TestEOSCutInAnEdit: how many answers still arrive depends on what the switch had
// flushed; the error must agree with itself and with the device.
func TestEOSCutInAnEdit(t *testing.T) {
	d, c := dialEOS(t, eos.Options{}, nil)
	if err := d.AddFault(eos.Fault{Line: "source", Action: eos.ActionCutAfter}); err != nil {
		t.Fatal(err)
	}
	steps := eosScript("one")
	err := c.Send(t.Context(), steps)
	got := failureOf(t, err)
	if got.Sent > 2 || got.Kind != transport.Unreachable || !got.InDoubt || got.Step != steps[got.Sent].Text {
		t.Errorf("got %v, %+v", err, got)
	}
	if n := len(d.MonitorSessions()); n > 0 {
		t.Errorf("the device has %d sessions", n)
	}
}

func TestEOSLogLine(t *testing.T) {
	d, c := dialEOS(t, eos.Options{}, nil)
	const log = "Nov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOTCHANGE: root changed"
	for _, line := range []string{"show running-config", "source", "^commit"} {
		if err := d.AddFault(eos.Fault{Line: line, Action: eos.ActionLog, Text: log}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Send(t.Context(), eosScript("one")); err != nil {
		t.Error(err)
	}
	got, err := c.Read(t.Context(), reqs("show running-config section monitor session"))
	if err != nil || strings.Contains(got[0].Text, "SPANTREE") || !strings.Contains(got[0].Text, "destination Ethernet4") {
		t.Errorf("%v, %v", got, err)
	}
}

// TestEOSPager: a switch that does not let paging be turned off.
func TestEOSPager(t *testing.T) {
	refuse := eos.Fault{Line: "terminal length", Action: eos.ActionRefuse, Text: "% Invalid input"}
	long := reqs("show running-config", "show running-config")
	d, c := dialEOS(t, eos.Options{StartupConfig: manyVLANs(1500)}, func(o *Options) { o.Profile.OneAtATime = true })
	if err := d.AddFault(refuse); err != nil {
		t.Fatal(err)
	}
	got, err := c.Read(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		if n := strings.Count(g.Text, "name v"); n != 1500 || strings.Contains(g.Text, "More") {
			t.Errorf("%d VLANs of 1500", n)
		}
	}

	d, c = dialEOS(t, eos.Options{StartupConfig: manyVLANs(1500)}, func(o *Options) { o.StepTimeout = 500 * time.Millisecond })
	if err := d.AddFault(refuse); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Read(t.Context(), long); err == nil {
		t.Errorf("typed ahead into a pager: %d and %d bytes", len(got[0].Text), len(got[1].Text))
	}
}

func manyVLANs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "vlan %d\n   name v%d\n!\n", i+2, i+2)
	}
	return b.String()
}

func TestEOSEnableSecret(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d, addr, err := newEOS(ctx, eos.Options{EnableSecret: "hush"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o := labOptions(addr, insecure(t))
	o.EnableSecret = secret("hush")
	works(t, o)
}

// TestMany connects to 200 devices at the same time, with a round-trip time, and
// changes them all.
func TestMany(t *testing.T) {
	const n = 200
	addrs := lab(t, n, 20*time.Millisecond)
	keys := insecure(t)
	g, ctx := errgroup.WithContext(t.Context())
	for _, a := range addrs {
		g.Go(func() error { return applyOurs(ctx, labOptions(a, keys)) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestManyCancelled ends ctx while 100 devices are being changed.
func TestManyCancelled(t *testing.T) {
	addrs := lab(t, 100, 50*time.Millisecond)
	keys := insecure(t)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(addrs))
	for i, a := range addrs {
		wg.Add(1)
		go func() { defer wg.Done(); errs[i] = applyOurs(ctx, labOptions(a, keys)) }()
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && failureOf(t, err).Kind != transport.Canceled {
			t.Errorf("%s: %v", addrs[i], err)
		}
	}
}
