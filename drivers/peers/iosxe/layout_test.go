package iosxe_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/internal/require"
)

// TestLayoutsOfDevices configures what a real device had and compares what is shown
// with what that printed. Lines are compared without blanks at their ends, since copies
// of outputs lose those.
func TestLayoutsOfDevices(t *testing.T) {
	dir := require.Vendor(t, "transcripts", "cisco_iosxe")
	for _, tt := range []struct {
		name, file, show string
		ports            []string
		router           bool
		config           []string
		from, to         string // the part of the file that is compared: from this line to before that one
		drop             []string
	}{
		{
			name: "detail of a C9500", file: "show_monitor_6.txt", show: "show monitor session 1 detail", ports: []string{"TwentyFiveGigE2/0/3", "TwentyFiveGigE1/0/3"},
			config: []string{"monitor session 1 source interface Twe2/0/3", "monitor session 1 destination interface Twe1/0/3"}, from: "Session 1",
		},
		{
			name: "router", file: "show_monitor_1.txt", show: "show monitor", ports: []string{"GigabitEthernet0/1/4", "GigabitEthernet0/1/6"}, router: true,
			config: []string{"monitor session 1 type erspan-source", "source interface Gi0/1/4 tx", "no shutdown", "destination", "ip address 172.18.197.254", "erspan-id 1",
				"origin ip address 172.18.197.254", "monitor session 2 type erspan-destination", "destination interface Gi0/1/6", "no shutdown", "source",
				"ip address 172.18.197.254", "erspan-id 1"},
			from: "Session 1", to: "Router#",
		},
		{
			name: "RSPAN VLANs", file: "show_vlan_remote_span.txt", show: "show vlan remote-span", config: []string{"vlan 100,400,500", "remote-span"}, from: "Remote SPAN VLANs",
		},
		{
			name: "ERSPAN source capability", file: "show_capability_feature_monitor_3.txt", show: "show capability feature monitor erspan-source", from: "ERSPAN Source Session:",
		},
		{
			name: "ERSPAN destination capability", file: "show_capability_feature_monitor_1.txt", show: "show capability feature monitor erspan-destination", from: "ERSPAN Destination Session:",
		},
		{
			name: "hardware, ERSPAN that runs", file: "show_platform_software_fed_active_monitor_1.txt", show: "show platform software fed active monitor 0", ports: []string{"TwentyFiveGigE2/0/33"},
			config: []string{"monitor session 1 type erspan-source", "source interface Twe2/0/33", "no shutdown", "destination", "erspan-id 1", "ip address 4.4.4.2", "origin ip address 5.5.5.5"},
			from:   "Session 0",
			drop:   []string{"Ipv6 flow label", "Dst Ipv6", "Org Ipv6", "Tunnel IfId"}, // of later releases; a number of the device's own
		},
		{
			name: "hardware, ERSPAN that does not run", file: "show_platform_software_fed_active_monitor_3.txt", show: "show platform software fed active monitor 0",
			config: []string{"vlan 100", "monitor session 1 type erspan-source", "source vlan 100"}, from: "Session 0", drop: []string{"Ipv6 flow label", "Dst Ipv6", "Org Ipv6"},
		},
		{
			name: "hardware, local session", file: "show_platform_software_fed_active_monitor_5.txt", show: "show platform software fed switch active monitor 0", ports: []string{"FiftyGigE2/0/1"},
			config: []string{"interface Port-channel1", "monitor session 1 source interface Po1", "monitor session 1 destination interface FiftyGigE2/0/1 encapsulation replicate"},
			from:   "Session 0", drop: []string{"Dst Ipv6", "Org Ipv6"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fab := fabric.New()
			sw, err := fab.AddSwitch("Router")
			must(t, err)
			for _, p := range tt.ports {
				must(t, sw.AddPort(p))
			}
			d, err := iosxe.New(iosxe.Options{Hostname: "Router", Switch: sw, Router: tt.router, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15})
			must(t, err)
			must(t, d.Configure(tt.config...))
			b, err := os.ReadFile(filepath.Join(dir, tt.file))
			must(t, err)
			want := lines(string(b), tt.from, tt.to, tt.drop)
			if len(want) < 3 {
				t.Fatalf("%s has %q only", tt.file, want)
			}
			c := login(t, serve(t, d))
			if d := cmp.Diff(want, lines(c.out(tt.show), tt.from, tt.to, tt.drop)); d != "" {
				t.Errorf("%s (-device +peer):\n%s", tt.show, d)
			}
		})
	}
}

// lines returns the part between two beginnings of lines, without empty lines, blanks at
// the ends, doubled blanks and dropped labels.
func lines(text, from, to string, drop []string) []string {
	var out []string
	begun := false
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimRight(strings.TrimSuffix(l, "\r"), " ")
		begun = begun || strings.HasPrefix(l, from)
		if begun && to != "" && strings.HasPrefix(l, to) {
			break
		}
		dropped := l == ""
		for _, d := range drop {
			dropped = dropped || strings.HasPrefix(strings.TrimSpace(l), d)
		}
		if begun && !dropped {
			indent := l[:len(l)-len(strings.TrimLeft(l, " "))]
			out = append(out, indent+strings.Join(strings.Fields(l), " "))
		}
	}
	return out
}
