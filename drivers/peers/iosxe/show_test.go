package iosxe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
)

func TestOperationalOutput(t *testing.T) {
	clock := iosxe.NewManualClock(time.Date(2026, 11, 24, 16, 0, 0, 0, time.UTC))
	l := newLab(t, func(o *iosxe.Options) {
		o.Clock, o.Serial = clock, "9ABC"
		o.Neighbor = func(e fabric.End) (string, string, bool) {
			return "a-neighbour-with-a-long-name", "GigabitEthernet1/0/48", e.Node == "h1"
		}
	})
	must(t, l.device.Configure("vlan 10", "name USERS", "vlan 900", "remote-span", "interface range Gi1/0/1 - 2", "switchport access vlan 10", "switchport mode access",
		"interface Gi1/0/3", "description to the core, a long way", "switchport mode trunk", "interface Gi1/0/4", "shutdown", "interface Gi1/0/5", "no switchport",
		"interface Gi1/0/6", "channel-group 3 mode on", "ip access-list extended A", "permit tcp 10.0.0.0 0.0.0.255 gt 1023 host 10.0.0.9 range 80 90 log",
		"remark nothing else", "deny 47 any any", "deny ospf any any", "ipv6 access-list B", "permit udp 2001:db8::/32 any neq domain",
		"monitor session 1 source interface Gi1/0/1 , Gi1/0/3 rx", "monitor session 1 source interface Gi1/0/2 tx", "monitor session 1 filter vlan 10 - 12 , 20",
		"monitor session 1 filter ip access-group A", "monitor session 1 destination interface Gi1/0/8 ingress untagged vlan 10",
		"monitor session 1 destination interface Gi1/0/7 encapsulation replicate", "monitor session 2 source vlan 10 , 900", "monitor session 2 destination remote vlan 900",
		"monitor session 5 type erspan-source", "source vlan 10 rx", "destination", "erspan-id 9", "ip address 10.0.0.9", "ip ttl 9", "ip dscp 8", "mtu 1400", "vrf RED"))
	l.send(t, "h1", udp(2, 1, 80, 0, 20))
	clock.Advance(61 * time.Minute)
	c := login(t, l.addr)
	for _, tt := range []struct{ line, want string }{
		{"show interfaces status", `
Port         Name               Status       Vlan       Duplex  Speed Type
Gi1/0/1                         connected    10         a-full a-1000 10/100/1000BaseTX
Gi1/0/2                         connected    10         a-full a-1000 10/100/1000BaseTX
Gi1/0/3      to the core, a lon connected    trunk      a-full a-1000 10/100/1000BaseTX
Gi1/0/4                         disabled     1            auto   auto 10/100/1000BaseTX
Gi1/0/5                         connected    routed     a-full a-1000 10/100/1000BaseTX
Gi1/0/6                         connected    1          a-full a-1000 10/100/1000BaseTX
Gi1/0/7                         monitoring   1          a-full a-1000 10/100/1000BaseTX
Gi1/0/8                         monitoring   1          a-full a-1000 10/100/1000BaseTX
Te1/1/1                         notconnect   1            auto   auto 10/100/1000BaseTX
Po3                             connected    1          a-full a-1000 N/A
`},
		{"show interfaces gi1/0/8 status", `
Port         Name               Status       Vlan       Duplex  Speed Type
Gi1/0/8                         monitoring   1          a-full a-1000 10/100/1000BaseTX
`},
		{"show vlan brief", `
VLAN Name                             Status    Ports
---- -------------------------------- --------- -------------------------------
1    default                          active    Gi1/0/4, Te1/1/1, Po3
10   USERS                            active    Gi1/0/1, Gi1/0/2
900  VLAN0900                         active    
1002 fddi-default                     act/unsup 
1003 token-ring-default               act/unsup 
1004 fddinet-default                  act/unsup 
1005 trnet-default                    act/unsup 
`},
		{"show mac address-table", `          Mac Address Table
-------------------------------------------

Vlan    Mac Address       Type        Ports
----    -----------       --------    -----
  10    0200.0000.0001    DYNAMIC     Gi1/0/1
Total Mac Addresses for this criterion: 1
`},
		{"show lldp neighbors", "% LLDP is not enabled\n"},
		{"show ip access-lists", `Extended IP access list A
    10 permit tcp 10.0.0.0 0.0.0.255 gt 1023 host 10.0.0.9 range www 90 log
    20 remark nothing else
    30 deny gre any any
    40 deny ospf any any
`},
		{"show ipv6 access-list B", "IPv6 access list B\n    10 permit udp 2001:db8::/32 any neq domain\n"},
		{"show monitor session range 1-2", `Session 1
---------
Type                   : Local Session
Source Ports           : 
    RX Only            : Gi1/0/1,Gi1/0/3
    TX Only            : Gi1/0/2
Destination Ports      : Gi1/0/7
    Encapsulation      : Replicate
          Ingress      : Disabled
Destination Ports      : Gi1/0/8
    Encapsulation      : Native
          Ingress      : Enabled, default VLAN = 10
    Ingress encap      : Untagged
Filter VLANs           : 10-12,20
IP Access-group        : A


Session 2
---------
Type                   : Remote Source Session
Source VLANs           : 
    Both               : 10,900
Dest RSPAN VLAN        : 900


`},
		{"show monitor session 5", `Session 5
---------
Type                   : ERSPAN Source Session
Status                 : Admin Disabled
Source VLANs           : 
    RX Only            : 10
Destination IP Address : 10.0.0.9
MTU                    : 1400
Destination ERSPAN ID  : 9
IP TTL                 : 9
IP DSCP                : 8
VRF                    : RED


`},
		{"show monitor session local | include ^Session", "Session 1\n"},
		{"show monitor session remote | include ^Session", "Session 2\n"},
		{"show monitor session erspan-source | include ^Session", "Session 5\n"},
		{"show monitor session erspan-destination", " No SPAN configuration is present in the system.\n\n"},
		{"show platform software fed switch active monitor 3", ""},
		{"show platform software fed switch active monitor 1 | include VLAN", `  Source VLANs         : VLAN-10 VLAN-900
  Destination VLANs    : VLAN-10 VLAN-900
  Source RSPAN VLAN    : 0
  DST RSPAN VLAN       : 900
  Filter VLANs         : None
`},
		{"show platform software monitor session 5 | include Session|Type", "Span Session 5 (FED Session 2):\n  Type:      ERSPAN Source\n"},
		{"show clock", "17:01:00.000 UTC Tue Nov 24 2026\n"},
		{"show version | include uptime is|^Model Number|System Serial|Version 17|^\\*", `Cisco IOS XE Software, Version 17.09.04a
Cisco IOS Software [Cupertino], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 17.9.4a, RELEASE SOFTWARE (fc3)
sw1 uptime is 1 hours, 1 minutes
Model Number                       : C9KV-UADP-8P
System Serial Number               : 9ABC
*    1 9     C9KV-UADP-8P       17.09.04a         CAT9K_IOSXE           INSTALL
`},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
	// The port of a session that is shut is an ordinary one.
	must(t, l.device.Configure("monitor session 6 type erspan-destination", "destination interface Gi1/0/6"))
	status := func() string { t.Helper(); return c.out("show interfaces status | include ^Gi1/0/6") }
	if got := status(); !strings.Contains(got, "connected") {
		t.Errorf("destination port of a session that is shut: %q", got)
	}
	must(t, l.device.Configure("monitor session 6 type erspan-destination", "no shutdown"))
	if got := status(); !strings.Contains(got, "monitoring") {
		t.Errorf("destination port of a session that is not shut: %q", got)
	}
	must(t, l.device.Configure("lldp run"))
	want := `Device ID           Local Intf     Hold-time  Capability      Port ID
a-neighbour-with-a-lGi1/0/1        120        B               Gi1/0/48

Total entries displayed: 1

`
	if got := c.out("show lldp neighbors"); !strings.HasSuffix(got, want) {
		t.Errorf("LLDP: %q", got)
	}
}

// TestRunningConfig has a line of every kind, read from a file as devices print it.
func TestRunningConfig(t *testing.T) {
	startup := `Building configuration...

Current configuration : 20546 bytes
!
! Last configuration change at 09:37:40 CEST Tue Aug 20 2024 by somebody
!
version 17.9
service timestamps debug datetime msec
!
hostname access1
!
vrf definition Mgmt-vrf
 address-family ipv4
 exit-address-family
!
aaa new-model
no ip domain lookup
spanning-tree mode rapid-pvst
username admin privilege 15 secret 9 $9$abc
!
archive
 path flash:backup
 maximum 5
 write-memory
!
vlan 2
 name two
!
vlan 900
 remote-span
!
lldp run
!
interface Port-channel1
 switchport mode trunk
!
interface GigabitEthernet1/0/1
 description oxidized test one
 switchport access vlan 2
 switchport mode access
 no snmp trap link-status
 spanning-tree portfast
!
interface GigabitEthernet1/0/2
 switchport trunk native vlan 2
 switchport trunk allowed vlan 2,900
 switchport mode trunk
 shutdown
 switchport nonegotiate
!
interface GigabitEthernet1/0/3
 no switchport
 vrf forwarding Mgmt-vrf
 ip address 10.0.0.1 255.255.255.0
!
interface GigabitEthernet1/0/4
 channel-group 1 mode active
!
interface Vlan2
 description network management
 ip address 10.42.11.42 255.255.255.0
!
ip default-gateway 10.41.11.1
no ip http server
ip ssh version 2
!
ip access-list extended WEB
 10 permit tcp any 10.0.0.0 0.0.0.255 eq www
 20 deny ip any any log
!
line con 0
 stopbits 1
!
line vty 0 4
 exec-timeout 0 0
 transport input ssh
!
monitor session 1 source interface Gi1/0/1
monitor session 1 filter ip access-group WEB
monitor session 1 destination interface Gi1/0/2 encapsulation replicate
monitor session 9 type erspan-destination
 description from afar
 no shutdown
 destination interface Gi1/0/3
 source
  erspan-id 3
  ip address 10.0.0.1
!
end
`
	d := small(t, false, startup)
	body := func(s string) string { return strings.TrimRight(s[strings.Index(s, "version"):], "\n") }
	if diff := cmp.Diff(body(startup), body(d.RunningConfig())); diff != "" {
		t.Errorf("(-startup +running):\n%s", diff)
	}
	if got := d.Hostname(); got != "access1" {
		t.Errorf("host name %q", got)
	}
	if !strings.HasPrefix(d.StartupConfig(), "!\nversion 17.9\n") {
		t.Errorf("startup configuration %q", d.StartupConfig())
	}
	// Each of these takes back a line.
	must(t, d.Configure("no vlan 2", "no archive", "no lldp run", "no line con 0", "no aaa new-model", "ip domain lookup", "no ip ssh version 2",
		"no ip access-list extended WEB", "default interface Gi1/0/1", "no interface Vlan2", "no interface Port-channel1", "no vrf definition Mgmt-vrf",
		"interface Gi1/0/2", "no switchport nonegotiate", "no switchport trunk native vlan", "no switchport trunk allowed vlan", "no switchport mode", "no shutdown",
		"interface Gi1/0/3", "no ip address", "no vrf forwarding", "switchport", "line vty 0 4", "no exec-timeout 0 0",
		"monitor session 9 type erspan-destination", "no source", "no destination interface Gi1/0/3", "no description", "shutdown",
		"no monitor session 1 filter ip access-group WEB"))
	want := `version 17.9
service timestamps debug datetime msec
!
hostname access1
!
ip domain lookup
spanning-tree mode rapid-pvst
username admin privilege 15 secret 9 $9$abc
!
vlan 900
 remote-span
!
interface GigabitEthernet1/0/1
!
interface GigabitEthernet1/0/2
!
interface GigabitEthernet1/0/3
!
interface GigabitEthernet1/0/4
!
ip default-gateway 10.41.11.1
no ip http server
!
line vty 0 4
 transport input ssh
!
monitor session 1 source interface Gi1/0/1
monitor session 1 destination interface Gi1/0/2 encapsulation replicate
monitor session 9 type erspan-destination
 shutdown
!
end`
	if diff := cmp.Diff(want, body(d.RunningConfig())); diff != "" {
		t.Errorf("after the removals (-want +got):\n%s", diff)
	}
}

func TestOptions(t *testing.T) {
	clock := iosxe.NewManualClock(time.Date(2026, 11, 24, 16, 0, 0, 0, time.UTC))
	l := newLab(t, func(o *iosxe.Options) {
		o.ChangeComments, o.HideShutdown, o.Clock, o.HeaderTypeIII = true, true, clock, true
	})
	if got := l.device.RunningConfig(); strings.Contains(got, "! Last") {
		t.Errorf("before the first change:\n%s", got)
	}
	c := login(t, l.addr).config()
	c.ok("monitor session 1 type erspan-source", "header-type 3", "end")
	c.out("write memory")
	want := "\n!\n! Last configuration change at 16:00:00 UTC Tue Nov 24 2026 by admin\n! NVRAM config last updated at 16:00:00 UTC Tue Nov 24 2026 by admin\n!\nversion 17.9\n"
	if got := l.device.RunningConfig(); !strings.Contains(got, want) || !strings.Contains(got, "\nmonitor session 1 type erspan-source\n header-type 3\n!\n") {
		t.Errorf("comments and a hidden shutdown:\n%s", got)
	}
	if got := c.out("show capability feature monitor erspan-source | include Header"); got != "ERSPAN Header Type supported: II and III\n" {
		t.Errorf("header types: %q", got)
	}
	if got := c.out("show startup-config | count ."); !strings.HasPrefix(got, "Number of lines") {
		t.Errorf("startup-config: %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	sw, err := fabric.New().AddSwitch("x")
	must(t, err)
	must(t, sw.AddPort("GigabitEthernet1/0/1"))
	odd, err := fabric.New().AddSwitch("x")
	must(t, err)
	must(t, odd.AddPort("Ethernet1"))
	users := map[string]string{"u": "p"}
	for name, o := range map[string]iosxe.Options{
		"nothing":         {},
		"no user":         {Hostname: "x", Switch: sw},
		"foreign port":    {Hostname: "x", Switch: odd, Users: users},
		"unknown line":    {Hostname: "x", Switch: sw, Users: users, StartupConfig: "vlan 5\n nonsense\n"},
		"behind the end":  {Hostname: "x", Switch: sw, Users: users, StartupConfig: "end\nvlan 5\n"},
		"over the limits": {Hostname: "x", Switch: sw, Users: users, Limits: iosxe.Limits{DestinationPorts: -1, Sources: 1}, StartupConfig: "monitor session 1 source vlan 1\nmonitor session 2 source vlan 1\n"},
	} {
		if d, err := iosxe.New(o); err == nil {
			t.Errorf("%s: made %v", name, d.Hostname())
		}
	}
}

func TestRouter(t *testing.T) {
	l := newLab(t, func(o *iosxe.Options) { o.Router, o.Hostname = true, "r1" })
	c := login(t, l.addr).config()
	if got := c.out("monitor session 1 source interface Gi1/0/1"); got != invalid("r1(config)#", 18) {
		t.Errorf("a flat line: %q", got)
	}
	if got := c.out("monitor session 1025 type local"); got != invalid("r1(config)#", 16) {
		t.Errorf("session 1025: %q", got)
	}
	if p := c.ok("monitor session 1024 type local", "source interface Gi1/0/1 rx", "destination interface Gi1/0/8"); p != "r1(config-mon-local)#" {
		t.Errorf("prompt %q", p)
	}
	if got := l.send(t, "h1", udp(2, 1, 80, 0, 20)); len(got) != 0 {
		t.Errorf("a session that is shut copied: %v", got)
	}
	c.ok("no shutdown")
	if got := l.send(t, "h1", udp(2, 1, 80, 0, 20)); len(got) != 1 || got["h8"] != 1 {
		t.Errorf("after no shutdown: %v", got)
	}
	if got := l.device.RunningConfig(); !strings.Contains(got, "interface GigabitEthernet1/0/1\n no ip address\n!\n") {
		t.Errorf("a router's ports:\n%s", got)
	}
}
