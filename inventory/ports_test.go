package inventory

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// What planning needs of an inventory (models/plan PortNames).
var _ interface {
	Ports(models.DeviceID, string) ([]string, error)
} = (*Inventory)(nil)

func TestExpandPorts(t *testing.T) {
	tests := []struct {
		give string
		want []string
	}{
		{"Ethernet1", []string{"Ethernet1"}},
		{"Ethernet5-8", []string{"Ethernet5", "Ethernet6", "Ethernet7", "Ethernet8"}},
		{"Ethernet1/1-3", []string{"Ethernet1/1", "Ethernet1/2", "Ethernet1/3"}},
		{"Ethernet1/1-1/2", []string{"Ethernet1/1", "Ethernet1/2"}},
		{"Ethernet1/1 - Ethernet1/2", []string{"Ethernet1/1", "Ethernet1/2"}},
		{"GE0/0/1 to GE0/0/2", []string{"GE0/0/1", "GE0/0/2"}},
		{"ge-0/0/0-1", []string{"ge-0/0/0", "ge-0/0/1"}},
		{"ge-0/0/0-ge-0/0/1", []string{"ge-0/0/0", "ge-0/0/1"}},
		{"ge-0/0/[0-1]", []string{"ge-0/0/0", "ge-0/0/1"}},
		{"xe-0/0/0:0-3", []string{"xe-0/0/0:0", "xe-0/0/0:1", "xe-0/0/0:2", "xe-0/0/0:3"}},
		{"ethernet-1/1-2", []string{"ethernet-1/1", "ethernet-1/2"}},
		{"ethernet-{1,2}/{1-2}", []string{"ethernet-1/1", "ethernet-1/2", "ethernet-2/1", "ethernet-2/2"}},
		{"Ethernet{0..12..4}", []string{"Ethernet0", "Ethernet4", "Ethernet8", "Ethernet12"}},
		{"e1-{1-2}", []string{"e1-1", "e1-2"}},
		{"lag-1", []string{"lag-1"}},
		{"lag-1-2", []string{"lag-1", "lag-2"}},
		{"Port-Channel1-2", []string{"Port-Channel1", "Port-Channel2"}},
		{"Ethernet5-6,10", []string{"Ethernet5", "Ethernet6", "Ethernet10"}},
		{"Gi1/0/1, 1/0/5-6,9", []string{"Gi1/0/1", "Gi1/0/5", "Gi1/0/6", "Gi1/0/9"}},
		{"1/1/1-2,1/1/9", []string{"1/1/1", "1/1/2", "1/1/9"}},
		{"Ethernet1,Po1-2,Ethernet1", []string{"Ethernet1", "Po1", "Po2"}},
		{"Ethernet9-10", []string{"Ethernet9", "Ethernet10"}},
		{"10GE1/0/1-2", []string{"10GE1/0/1", "10GE1/0/2"}},
		{"container:clab-lab-r1-2/eth0", []string{"container:clab-lab-r1-2/eth0"}},
		{"container:clab-lab-r1/eth1-2", []string{"container:clab-lab-r1/eth1", "container:clab-lab-r1/eth2"}},
		{"container:r-1-2/eth,netns:1-2/lo", []string{"container:r-1-2/eth", "netns:1-2/lo"}},
		{"netns:r{1-2}/eth0", []string{"netns:r1/eth0", "netns:r2/eth0"}},
		{"netns:r1/eth0,2", []string{"netns:r1/eth0", "netns:r1/eth2"}},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			got, err := expandPorts(tt.give, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("expandPorts(%q) (-want +got):\n%s", tt.give, d)
			}
		})
	}
}

func TestExpandPortsRefuses(t *testing.T) {
	tests := []struct{ give, want string }{
		{"", "the interface name is empty"},
		{"Ethernet1,", "an item between commas is empty"},
		{"Ethernet8-5", "the range 8-5 ends before it begins"},
		{"Ethernet01-04", "write 01 without leading zeros"},
		{"Ethernet1-5000", "stands for more than 4096 ports"},
		{"Ethernet1-4097", "stands for more than 4096 ports"},
		{"Ethernet{1-64}/{1-65}", "stands for more than 4096 ports"},
		{"Ethernet1-99999999999999999999", "want a range of numbers"},
		{"Ethernet9999999999-10000000000", "stands for more than"},
		{"Ethernet{1-4", "'}' is missing"},
		{"Ethernet1-4}", "'}' closes nothing"},
		{"Ethernet{1,{2}}", "braces within braces"},
		{"Ethernet{a-b}", "want a range of numbers"},
		{"Ethernet{1..9..0}", "want a step from 1"},
		{"GE0/0/1 to GE1/0/4", "differ in more than their last number"},
		{"Po1,1/1", "has more numbers than"},
		{strings.Repeat("{1,1,1,1,1,1,1,1}", 20), "stands for more than 4096 ports"},
	}
	for _, tt := range tests {
		if got, err := expandPorts(tt.give, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("expandPorts(%q) = %d names, %v; want an error with %q", tt.give, len(got), err, tt.want)
		}
	}
	if got, err := expandPorts("Ethernet1-4096", nil); err != nil || len(got) != 4096 {
		t.Errorf("4096 ports: got %d, %v", len(got), err)
	}
}

func TestCanonicalPort(t *testing.T) {
	tests := []struct {
		platform, give, want string // want "" = refused
	}{
		{PlatformEOS, "et1", "Ethernet1"}, {PlatformEOS, "Et1", "Ethernet1"}, {PlatformEOS, "eth1", "Ethernet1"}, {PlatformEOS, "ETHERNET 1/1", "Ethernet1/1"},
		{PlatformEOS, "e1", "Ethernet1"}, {PlatformEOS, "po10", "Port-Channel10"}, {PlatformEOS, "port-channel10", "Port-Channel10"}, {PlatformEOS, "Ethernet1.100", "Ethernet1.100"},
		{PlatformEOS, "Gi1", ""}, {PlatformEOS, "Ethernet", ""}, {PlatformEOS, "Ethernet1/2/3/4", ""}, {PlatformEOS, "Ethernet1; reload", ""}, {PlatformEOS, "Ethernet1\nreload", ""},
		{PlatformNXOS, "e1/1", "Ethernet1/1"}, {PlatformNXOS, "eth1/49/1", "Ethernet1/49/1"}, {PlatformNXOS, "Po5", "port-channel5"}, {PlatformNXOS, "Ethernet1", ""},
		{PlatformIOSXE, "Gi1/0/1", "GigabitEthernet1/0/1"}, {PlatformIOSXE, "gig 1/0/1", "GigabitEthernet1/0/1"}, {PlatformIOSXE, "Te1/1/1", "TenGigabitEthernet1/1/1"},
		{PlatformIOSXE, "Twe1/0/1", "TwentyFiveGigE1/0/1"}, {PlatformIOSXE, "Po1", "Port-channel1"}, {PlatformIOSXE, "F1/0/1", ""}, // several types begin so
		{PlatformIOSXR, "Gi0/0/0/1", "GigabitEthernet0/0/0/1"}, {PlatformIOSXR, "Gi0-0-0-1", "GigabitEthernet0/0/0/1"}, {PlatformIOSXR, "TenGigabitEthernet0/0/0/1", "TenGigE0/0/0/1"},
		{PlatformIOSXR, "BE10", "Bundle-Ether10"}, {PlatformIOSXR, "mgmteth0/rp0/cpu0/0", "MgmtEth0/RP0/CPU0/0"}, {PlatformIOSXR, "Gi0/0/1", ""},
		{PlatformJunos, "ge-0/0/0", "ge-0/0/0"}, {PlatformJunos, "XE-0/0/0:1", "xe-0/0/0:1"}, {PlatformJunos, "ae0.100", "ae0.100"}, {PlatformJunos, "ge-0/0", ""},
		{PlatformSRL, "e1-1", "ethernet-1/1"}, {PlatformSRL, "e1-3-1", "ethernet-1/3/1"}, {PlatformSRL, "Ethernet-1/1", "ethernet-1/1"}, {PlatformSRL, "lag1", "lag1"}, {PlatformSRL, "Ethernet1", ""},
		{PlatformSROS, "1/1/1", "1/1/1"}, {PlatformSROS, "1/1/c2/1", "1/1/c2/1"}, {PlatformSROS, "e1-1-c2-1", "1/1/c2/1"}, {PlatformSROS, "LAG-1", "lag-1"},
		{PlatformSONiC, "ethernet4", "Ethernet4"}, {PlatformSONiC, "PortChannel0001", "PortChannel0001"}, {PlatformSONiC, "Eth4", ""},
		{PlatformAOSCX, "1/1/1", "1/1/1"}, {PlatformAOSCX, "lag 1", "lag1"}, {PlatformAOSCX, "1/1", ""},
		{PlatformVRP, "GE0/0/1", "GigabitEthernet0/0/1"}, {PlatformVRP, "10GE1/0/1", "10GE1/0/1"}, {PlatformVRP, "eth-trunk 5", "Eth-Trunk5"}, {PlatformVRP, "Eth1/0/0", "Ethernet1/0/0"},
		{PlatformLinux, "eth0.100", "eth0.100"}, {PlatformLinux, "sixteen-letters0", ""}, {PlatformLinux, "a/b", ""},
		{PlatformLinux, "container:clab-x-r1/eth1", "container:clab-x-r1/eth1"}, {PlatformLinux, "netns:blue/eth0.100", "netns:blue/eth0.100"},
		{PlatformLinux, "container:web", ""}, {PlatformLinux, "container:web/", ""}, {PlatformLinux, "container:a/b/c", ""}, {PlatformLinux, "netns:../eth0", ""},
		{PlatformLinux, "netns:blue/sixteen-letters0", ""}, {PlatformLinux, "netns:blue/..", ""}, {PlatformLinux, "pod:web/eth0", ""},
		{PlatformEOS, "container:web/eth0", ""}, {PlatformCumulus, "netns:blue/swp1", ""}, {"fortinet_fortios", "netns:blue/eth0", ""},
		{"fortinet_fortios", "port1", "port1"},
	}
	for _, tt := range tests {
		got, err := canonicalPort(tt.platform, tt.give)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("canonicalPort(%s, %q) = %q, %v; want %q", tt.platform, tt.give, got, err, tt.want)
		}
	}
}

func TestAmbiguousPort(t *testing.T) {
	_, err := canonicalPort(PlatformIOSXE, "F1/0/1")
	const want = `interface "F1/0/1": may be FastEthernet1/0/1 or FiveGigabitEthernet1/0/1 or FortyGigabitEthernet1/0/1 or FiftyGigE1/0/1 or FourHundredGigE1/0/1`
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestInventoryPorts(t *testing.T) {
	inv := loadNetwork(t)
	tests := []struct {
		device        models.DeviceID
		pattern, want string
	}{
		{"leaf1", "eth49", "Ethernet49"},                 // the lab's name of a linked port
		{"leaf1", "et1", "Ethernet1"},                    //
		{"leaf1", "Ethernet1,Et1,eth1,et1", "Ethernet1"}, // all are one port
		{"leaf1", "eth1-3", "Ethernet1 Ethernet2 Ethernet3"},
		{"leaf1", "eth2_1", "Ethernet2/1"}, // a lab's name of a port without a link
		{"leaf2", "eth2", "Ethernet1/2"},
		{"leaf2", "Eth1/49, e1/50", "Ethernet1/49 Ethernet1/50"},
		{"leaf3", "eth4", "xe-0/0/3"},     // as the topology calls it
		{"leaf3", "ge-0/0/3", "xe-0/0/3"}, // another alias of the same port
		{"leaf3", "eth1", "ge-0/0/0"},     // no link: the kind's default
		{"spine1", "e1-1", "ethernet-1/1"},
		{"spine1", "ethernet-1/1", "ethernet-1/1"},
		{"spine1", "e1-3-1", "ethernet-1/3/1"},
		{"spine1", "e1-{1-2}", "ethernet-1/1 ethernet-1/2"},
		{"spine1", "ethernet-1/{1..5..2}", "ethernet-1/1 ethernet-1/3 ethernet-1/5"},
		{"sw1", "GigabitEthernet1/0/1-2, Te1/1/1", "GigabitEthernet1/0/1 GigabitEthernet1/0/2 TenGigabitEthernet1/1/1"},
	}
	for _, tt := range tests {
		got, err := inv.Ports(tt.device, tt.pattern)
		if err != nil || !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("Ports(%s, %q) = %v, %v; want %s", tt.device, tt.pattern, got, err, tt.want)
		}
	}
	refused := []struct {
		device        models.DeviceID
		pattern, want string
	}{
		{"sw1", "Gi1/0/25", `sw1 has no interface "GigabitEthernet1/0/25"`},
		{"sw1", "Gi1/0/20-30", `sw1 has no interface "GigabitEthernet1/0/25"`},
		{"nosuch", "Gi1/0/1", `"nosuch" is no device of the inventory`},
		{"core1", "ge-0/0/0", "want names such as Ethernet1"},
		{"core1", "Et1-9999", "more than 4096"},
	}
	for _, tt := range refused {
		if got, err := inv.Ports(tt.device, tt.pattern); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Ports(%s, %q) = %v, %v; want an error with %q", tt.device, tt.pattern, got, err, tt.want)
		}
	}
}

func FuzzExpandPorts(f *testing.F) {
	for _, s := range []string{"Ethernet5-8", "Ethernet1/1-1/4", "ethernet-{1,2}/{1-4}", "Ethernet{0..12..4}", "e1-1", "ge-0/0/[0-3]", "A1,2-3,4/5", "GE0/0/1 to GE0/0/4", "{1,1}{1,1}", "1-2-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		names, err := expandPorts(pattern, nil)
		if err != nil {
			return
		}
		if len(names) == 0 || len(names) > maxPorts {
			t.Fatalf("expandPorts(%q): %d names", pattern, len(names))
		}
		seen := map[string]bool{}
		for _, n := range names {
			if n == "" || seen[n] {
				t.Errorf("expandPorts(%q): %q is empty or there twice", pattern, n)
			}
			seen[n] = true
		}
	})
}

// A canonical name is its own canonical name, on every platform.
func FuzzCanonicalPort(f *testing.F) {
	for _, s := range []string{"et1", "Gi1/0/1", "10GE1/0/1", "mgmteth0/rp0/cpu0/0", "e1-1", "1/1/c1/1", "lag 1", "vme"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for platform := range portGrammars {
			got, err := canonicalPort(platform, name)
			if err != nil {
				continue
			}
			if again, err := canonicalPort(platform, got); err != nil || again != got {
				t.Errorf("%s: %q gives %q, which gives %q, %v", platform, name, got, again, err)
			}
		}
	})
}
