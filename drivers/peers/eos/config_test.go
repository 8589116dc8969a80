package eos_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/internal/require"
)

// TestRunningConfig loads a configuration such as labs start switches with, in
// no order, and wants EOS's order and words.
func TestRunningConfig(t *testing.T) {
	const give = `
! a comment
monitor session a destination Ethernet8
monitor session a source Ethernet3-5 rx
interface Ethernet2
   switchport mode trunk
   switchport trunk allowed vlan 10-12
   switchport trunk allowed vlan add 20
   switchport trunk allowed vlan remove 11
   switchport trunk native vlan 10
   description uplink | to spine1
!
int et3
   no switchport
   ip address 10.0.0.1/31
   mtu 9214
   exit
interface Ethernet6-7
   channel-group 5 mode active
   speed forced 10gfull
   no shutdown
interface Ethernet8
   shutdown
   switchport access vlan 30
   switchport mode access
interface Management1
   vrf MGMT
   ip address 192.0.2.1/24
vrf instance MGMT
vlan 30,10-11
vlan 12
   name web
ip access-list WEB
   permit tcp any any eq 80
   20 deny ip any any
mac access-list M
   permit any any
ipv6 access-list V6
   counters per-entry
   permit ipv6 any any
username admin privilege 15 role network-admin nopassword
username ops secret 5 $1$abc
hostname leaf7
service routing protocols model multi-agent
no aaa root
spanning-tree mode mstp
ip route vrf MGMT 0.0.0.0/0 192.0.2.254
ip routing
no ip routing vrf MGMT
management api http-commands
   protocol http
   no shutdown
!
end
`
	const want = `! Command: show running-config
! device: leaf7 (cEOSLab, EOS-4.32.0F)
!
username admin privilege 15 role network-admin nopassword
username ops secret 5 $1$abc
!
no aaa root
!
service routing protocols model multi-agent
!
spanning-tree mode mstp
!
hostname leaf7
!
vlan 10-11
!
vlan 12
   name web
!
vlan 30
!
vrf instance MGMT
!
interface Port-Channel5
!
interface Ethernet1
!
interface Ethernet2
   description uplink | to spine1
   switchport trunk native vlan 10
   switchport trunk allowed vlan 10,12,20
   switchport mode trunk
!
interface Ethernet3
   mtu 9214
   no switchport
   ip address 10.0.0.1/31
!
interface Ethernet4
!
interface Ethernet5
!
interface Ethernet6
   speed forced 10gfull
   channel-group 5 mode active
!
interface Ethernet7
   speed forced 10gfull
   channel-group 5 mode active
!
interface Ethernet8
   shutdown
   switchport access vlan 30
!
interface Management1
   vrf MGMT
   ip address 192.0.2.1/24
!
ip access-list WEB
   10 permit tcp any any eq www
   20 deny ip any any
!
ipv6 access-list V6
   counters per-entry
   10 permit ipv6 any any
!
mac access-list M
   10 permit any any
!
ip routing
!
ip route vrf MGMT 0.0.0.0/0 192.0.2.254
!
monitor session a source Ethernet3-5 rx
monitor session a destination Ethernet8
!
management api http-commands
   protocol http
   no shutdown
!
end
`
	l := newLab(t, func(o *eos.Options) { o.StartupConfig = give })
	if d := cmp.Diff(want, l.device.RunningConfig()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	again := newLab(t, func(o *eos.Options) { o.StartupConfig = want })
	if d := cmp.Diff(want, again.device.RunningConfig()); d != "" {
		t.Errorf("loaded again (-want +got):\n%s", d)
	}
	got := l.fab.Switch("leaf1").Config()
	trunk := fabric.PortConfig{Mode: fabric.Trunk, NativeVLAN: 10, TrunkVLANs: fabric.VLANSet{{From: 10, To: 10}, {From: 12, To: 12}, {From: 20, To: 20}}}
	if d := cmp.Diff(trunk, got.Ports["Ethernet2"]); d != "" {
		t.Errorf("Ethernet2 in the packet model (-want +got):\n%s", d)
	}
	if p := got.Ports["Ethernet6"]; p.LAG != "Port-Channel5" {
		t.Errorf("Ethernet6 in the packet model: %+v", p)
	}
	if got.Ports["Ethernet3"].Mode != fabric.Routed || !got.Ports["Ethernet8"].Shutdown {
		t.Errorf("packet model: %+v", got.Ports)
	}
	if d := cmp.Diff(map[uint16]fabric.VLAN{10: {}, 11: {}, 12: {}, 30: {}}, got.VLANs); d != "" {
		t.Errorf("VLANs (-want +got):\n%s", d)
	}
}

// TestContainerlabStartup loads what containerlab itself wrote for a cEOS node.
func TestContainerlabStartup(t *testing.T) {
	text, err := os.ReadFile(require.Vendor(t, "transcripts", "containerlab", "deployed", "mirrorfab", "leaf-eos.startup-config"))
	must(t, err)
	var lines []string
	for _, l := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(l, "//") { // containerlab's, not EOS's
			lines = append(lines, l)
		}
	}
	l := newLab(t, func(o *eos.Options) { o.Management = "Management0"; o.StartupConfig = strings.Join(lines, "\n") })
	got := l.device.RunningConfig()
	for _, want := range []string{
		"hostname leaf-eos\n", "service routing protocols model multi-agent\n", "ip route 0.0.0.0/0 172.31.250.1\n", "ipv6 route ::0/0 3fff:172:31:250::1\n",
		"interface Management0\n   ip address 172.31.250.21/0\n", "management api gnmi\n   transport grpc default\n", "management api http-commands\n   no shutdown\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.StartupConfig = "username ops secret hunter2\n" })
	got := l.device.RunningConfig()
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "username ops secret sha512 $6$") {
		t.Errorf("got\n%s", got)
	}
}

func TestDefaultsAndRemovals(t *testing.T) {
	for _, tt := range []struct {
		name       string
		give, undo []string
	}{
		{"interface lines", []string{"interface Ethernet1", "description x", "shutdown", "switchport mode trunk", "switchport access vlan 9", "switchport trunk native vlan 7",
			"switchport trunk allowed vlan none", "no switchport", "vrf V", "ip address dhcp", "mtu 1600", "speed auto", "lldp transmit", "spanning-tree portfast"},
			[]string{"interface Ethernet1", "no description", "no shutdown", "no switchport mode", "default switchport access vlan", "no switchport trunk native vlan",
				"switchport trunk allowed vlan all", "switchport", "no vrf", "no mtu", "no speed", "no lldp transmit", "no spanning-tree portfast"}},
		{"default interface", []string{"interface Ethernet1", "description x", "channel-group 3 mode on"}, []string{"default interface Ethernet1", "no interface Port-Channel3"}},
		{"a LAG with its members", []string{"interface Ethernet1-2", "channel-group 3 mode on"}, []string{"no interface Port-Channel3"}},
		{"vlan", []string{"vlan 5-9", "name x"}, []string{"no vlan 5-9"}},
		{"globals", []string{"no aaa root", "ip routing", "spanning-tree mode rstp", "ntp server 1.2.3.4", "vrf instance A", "username z nopassword", "management api gnmi", "transport grpc default"},
			[]string{"no ip routing", "no spanning-tree mode rstp", "no ntp server 1.2.3.4", "no vrf instance A", "no username z", "no management api gnmi", "aaa root"}},
		{"lists", []string{"ip access-list A", "permit ip any any", "ipv6 access-list B", "deny ipv6 any any", "mac access-list C", "permit any any"},
			[]string{"no ip access-list A", "no ipv6 access-list B", "no mac access-list C"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil)
			before := l.device.RunningConfig()
			must(t, l.device.Configure(tt.give...))
			if l.device.RunningConfig() == before {
				t.Error("nothing changed")
			}
			must(t, l.device.Configure(tt.undo...))
			got := strings.ReplaceAll(l.device.RunningConfig(), "no ip routing\n!\n", "") // said, it is printed
			if d := cmp.Diff(before, got); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

func TestStartupRefused(t *testing.T) {
	for _, tt := range []struct{ name, give, want string }{
		{"unknown line", "hostname a\nfrobnicate\n", `line 2: "frobnicate": % Invalid input`},
		{"unknown port", "interface Ethernet99\n", "line 1"},
		{"conflict", "monitor session a source Ethernet1\nmonitor session a destination Ethernet1\n", "Ethernet1 is a source"},
		{"behind the end", "end\nhostname a\n", "line 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sw, err := fabric.New().AddSwitch("s")
			must(t, err)
			must(t, sw.AddPort("Ethernet1"))
			_, err = eos.New(eos.Options{Hostname: "s", Switch: sw, Users: map[string]string{"a": "b"}, StartupConfig: tt.give})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	sw, err := fabric.New().AddSwitch("s")
	must(t, err)
	must(t, sw.AddPort("eth0"))
	users := map[string]string{"a": "b"}
	for name, o := range map[string]eos.Options{
		"no name":         {Switch: sw, Users: users},
		"no switch":       {Hostname: "s", Users: users},
		"no user":         {Hostname: "s", Switch: sw},
		"unknown feature": {Hostname: "s", Switch: sw, Users: users, Unsupported: []eos.Feature{"flying"}},
		"port name":       {Hostname: "s", Switch: sw, Users: users},
	} {
		if _, err := eos.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
