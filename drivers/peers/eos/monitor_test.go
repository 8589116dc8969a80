package eos_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/internal/require"
)

// monitorLines are the monitor lines of a configuration.
func monitorLines(config string) []string {
	var out []string
	for _, l := range strings.Split(config, "\n") {
		if strings.HasPrefix(l, "monitor ") {
			out = append(out, l)
		}
	}
	return out
}

// TestGeneratedConfig loads what the vendor's generator renders and wants the
// same monitor lines back.
func TestGeneratedConfig(t *testing.T) {
	text, err := os.ReadFile(require.Vendor(t, "transcripts", "arista_eos", "monitor-sessions.cfg"))
	must(t, err)
	sw, err := fabric.New().AddSwitch("leaf1")
	must(t, err)
	for i := 0; i <= 50; i++ {
		must(t, sw.AddPort(port(i)))
	}
	d, err := eos.New(eos.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"a": "b"}, KeepSourceLines: true, StartupConfig: string(text)})
	must(t, err)
	want := monitorLines(string(text))
	if len(want) < 20 {
		t.Fatalf("only %d monitor lines in the transcript", len(want))
	}
	if diff := cmp.Diff(want, monitorLines(d.RunningConfig())); diff != "" {
		t.Errorf("(-transcript +printed):\n%s", diff)
	}
	if !strings.Contains(d.RunningConfig(), "interface Management1\n   description OOB_MANAGEMENT\n   vrf MGMT\n   ip address 10.73.255.122/24\n!\n") {
		t.Errorf("management interface:\n%s", d.RunningConfig())
	}
	// The same with merged source lines means the same.
	e, err := eos.New(eos.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"a": "b"}, StartupConfig: d.RunningConfig()})
	must(t, err)
	if diff := cmp.Diff(d.MonitorSessions(), e.MonitorSessions()); diff != "" {
		t.Errorf("(-as typed +merged):\n%s", diff)
	}
	f, err := eos.New(eos.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"a": "b"}, StartupConfig: e.RunningConfig()})
	must(t, err)
	if diff := cmp.Diff(e.RunningConfig(), f.RunningConfig()); diff != "" {
		t.Errorf("a running configuration does not load as itself:\n%s", diff)
	}
}

func port(i int) string { return fmt.Sprintf("Ethernet%d", i) }

// TestLines checks what lines come to in the running configuration, and that
// taking them away leaves what was before.
func TestLines(t *testing.T) {
	tests := []struct {
		name       string
		give, want []string
		undo       []string
	}{
		{"several sources", []string{"monitor session s source Ethernet1, Ethernet3-5"}, []string{"monitor session s source Ethernet1, Ethernet3-5"},
			[]string{"no monitor session s source Ethernet1,3-5"}},
		{"both is the default", []string{"monitor session s source et1 both"}, []string{"monitor session s source Ethernet1"}, []string{"no monitor session s source Ethernet1"}},
		{"merged", []string{"monitor session s source Et2 rx", "monitor session s source Et1 rx", "monitor session s source Et3 tx"},
			[]string{"monitor session s source Ethernet1-2 rx", "monitor session s source Ethernet3 tx"}, []string{"no monitor session s"}},
		{"the last direction holds", []string{"monitor session s source Et1-3 rx", "monitor session s source Et2 tx"},
			[]string{"monitor session s source Ethernet1, Ethernet3 rx", "monitor session s source Ethernet2 tx"}, []string{"no monitor session s"}},
		{"a port taken out", []string{"monitor session s source Et1-3 rx", "no monitor session s source Et2"},
			[]string{"monitor session s source Ethernet1, Ethernet3 rx"}, []string{"no monitor session s source Et1,3"}},
		{"order", []string{"monitor session s encapsulation gre metadata tx", "monitor session s header remove size 18", "monitor session s rate-limit per-egress-chip 5 mbps",
			"monitor session s rate-limit per-ingress-chip 100 kbps", "monitor session s sample 50", "monitor session s truncate size 160",
			"monitor session s destination Ethernet8", "monitor session s destination cpu", "monitor session s source Ethernet1", "monitor session s ip access-group A"},
			[]string{"monitor session s ip access-group A", "monitor session s source Ethernet1", "monitor session s destination Cpu", "monitor session s destination Ethernet8",
				"monitor session s truncate size 160", "monitor session s sample 50", "monitor session s rate-limit per-ingress-chip 100 kbps",
				"monitor session s rate-limit per-egress-chip 5 mbps", "monitor session s header remove size 18", "monitor session s encapsulation gre metadata tx"},
			[]string{"no monitor session s ip access-group A", "no monitor session s source Et1", "no monitor session s destination Cpu", "no monitor session s destination Ethernet8",
				"no monitor session s truncate", "no monitor session s sample", "no monitor session s rate-limit per-ingress-chip", "no monitor session s rate-limit per-egress-chip",
				"no monitor session s header remove", "no monitor session s encapsulation gre metadata tx"}},
		{"source access-group", []string{"monitor session s source Ethernet1 rx ip access-group A priority 10", "monitor session s source Ethernet2 rx mac access-group M"},
			[]string{"monitor session s source Ethernet1 rx ip access-group A priority 10", "monitor session s source Ethernet2 rx mac access-group M"}, []string{"no monitor session s"}},
		{"gre", []string{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 key 7 ttl 9 protocol 0x88BE dscp 10 vrf MGMT"},
			[]string{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 ttl 9 dscp 10 protocol 0x88be vrf MGMT key 7"},
			[]string{"no monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9"}},
		{"default payload", []string{"monitor session default encapsulation gre payload inner-packet"}, []string{"monitor session default encapsulation gre payload inner-packet"},
			[]string{"no monitor session default encapsulation gre payload"}},
		{"destination Port-Channel", []string{"interface Port-Channel1", "exit", "monitor session s destination po1"}, []string{"monitor session s destination Port-Channel1"},
			[]string{"no monitor session s", "no interface Port-Channel1"}},
		{"abbreviated", []string{"mon ses s sou et1 r"}, []string{"monitor session s source Ethernet1 rx"}, []string{"no mon sess s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil)
			before := l.device.RunningConfig()
			must(t, l.device.Configure(tt.give...))
			if d := cmp.Diff(tt.want, monitorLines(l.device.RunningConfig())); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			must(t, l.device.Configure(tt.undo...))
			if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
				t.Errorf("after undoing (-before +now):\n%s", d)
			}
		})
	}
}

func TestRefusedLines(t *testing.T) {
	const hardware = "% Unavailable command (not supported on this hardware platform)\n"
	l := newLab(t, func(o *eos.Options) {
		o.Unsupported = []eos.Feature{eos.FeatureTruncateSize, eos.FeatureGREKey, eos.FeatureMACACL}
	})
	c := login(t, l.addr)
	c.ok("configure")
	before := l.device.RunningConfig()
	for _, tt := range []struct{ line, want string }{
		{"monitor session s", "% Incomplete command\n"},
		{"monitor session s source", "% Incomplete command\n"},
		{"monitor session s source Ethernet99", "% Invalid input\n"},
		{"monitor session s source Ethernet1-99", "% Invalid input\n"},
		{"monitor session s source Management1", "% Invalid input\n"},
		{"monitor session s source Ethernet1 up", "% Invalid input\n"},
		{"monitor session s source Ethernet1 rx ip access-group", "% Incomplete command\n"},
		{"monitor session s source Port-Channel9", "% Invalid input\n"},
		{"monitor session s destination Port-Channel9", "% Invalid input\n"},
		{"monitor session s source vlan 10", "% Invalid input\n"},
		{"monitor session s sample 0", "% Invalid input\n"},
		{"monitor session s truncate size 128", hardware},
		{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.2 key 3", hardware},
		{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 2001:db8::1", "% Invalid input\n"},
		{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.2 ttl", "% Incomplete command\n"},
		{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.2 ttl 300", "% Invalid input\n"},
		{"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.2 ttl 3 ttl 4", "% Invalid input\n"},
		{"monitor session s mac access-group M", hardware},
		{"monitor session s description hello", "% Invalid input\n"},
		{"monitor session s source Ethernet1 rate-limit", "% Invalid input\n"},
		{"monitor session s s", "% Ambiguous command\n"}, // source, sample
	} {
		if got := c.out(tt.line); got != tt.want {
			t.Errorf("%q answered %q, want %q", tt.line, got, tt.want)
		}
	}
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("refused lines left something (-before +now):\n%s", d)
	}
}

func TestTruth(t *testing.T) {
	l := newLab(t, nil)
	must(t, l.device.Configure(
		"monitor session s source Ethernet1-2 rx ip access-group A priority 5",
		"monitor session s source Ethernet3",
		"monitor session s destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 ttl 9 key 7",
		"monitor session s truncate", "monitor session s sample 10", "monitor session s header remove size 4",
		"monitor session s rate-limit per-ingress-chip 1 mbps",
	))
	key := uint32(7)
	a := eos.ACL{Kind: "ip", Name: "A", Priority: 5}
	want := []eos.MonitorSession{{
		Name:         "s",
		Sources:      []eos.MonitorSource{{Interface: "Ethernet1", Direction: "rx", ACL: a}, {Interface: "Ethernet2", Direction: "rx", ACL: a}, {Interface: "Ethernet3", Direction: "both"}},
		Destinations: []eos.MonitorDestination{{GRE: &eos.GRE{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9"), TTL: 9, DSCP: -1, Key: &key}}},
		Truncate:     true, Sample: 10, HeaderRemove: 4, RateLimits: map[string]string{"per-ingress-chip": "1 mbps"},
	}}
	if d := cmp.Diff(want, l.device.MonitorSessions(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
