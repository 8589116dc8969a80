package nxos_test

import (
	"encoding/binary"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/nxos"
)

var destination = []string{"interface e1/8", "switchport monitor", "exit"}

// TestDirections follows a session line by line: shut at first, sources that add up.
func TestDirections(t *testing.T) {
	l := newLab(t, "")
	x := login(t, l.device).config()
	l.copies(t, "h1", "h8", udp(2, 1, 1, 0, 20))
	l.copies(t, "h2", "h8", udp(1, 2, 1, 0, 20)) // both are learned
	for _, tt := range []struct {
		lines   []string
		in, on  int // copies of a frame from h1 to h2, and of one back
		state   string
		enabled bool
	}{
		{[]string{"monitor session 1", "source interface e1/1 rx", "destination interface Ethernet1/8"}, 0, 0, "Session admin shut", false},
		{[]string{"no shut"}, 0, 0, "Dst in wrong mode", true},
		{[]string{"interface Ethernet 1/8", "switchport monitor"}, 1, 0, "", true},
		{[]string{"monitor session 1", "source interface Ethernet1/1 tx"}, 1, 1, "", true},
		{[]string{"no source interface e1/1 rx"}, 0, 1, "", true},
		{[]string{"source interface e1/1"}, 1, 1, "", true},
		{[]string{"source interface e1/2-3 , e1/5 rx"}, 1, 2, "", true},
		{[]string{"no source interface e1/2-3,e1/5", "no source interface e1/1"}, 0, 0, "No sources configured", true},
		{[]string{"source vlan 1 rx"}, 1, 1, "", true},
		{[]string{"filter vlan 10"}, 0, 0, "", true},
		{[]string{"no filter vlan", "shut"}, 0, 0, "Session admin shut", false},
		{[]string{"exit", "no monitor session 1 shut"}, 1, 1, "", true},
		{[]string{"interface e1/8", "no switchport monitor"}, 0, 0, "Dst in wrong mode", true},
		{[]string{"switchport monitor", "monitor session 1", "no destination interface e1/8"}, 0, 0, "No dest configured", true},
	} {
		x.ok(tt.lines...)
		in, on := len(l.copies(t, "h1", "h8", udp(2, 1, 80, 0, 50))), len(l.copies(t, "h2", "h8", udp(1, 2, 80, 0, 50)))
		s := l.device.MonitorSessions()[0]
		if in != tt.in || on != tt.on || s.Down != tt.state || s.Enabled != tt.enabled {
			t.Errorf("after %q: %d and %d copies, down %q, enabled %v", tt.lines, in, on, s.Down, s.Enabled)
		}
	}
	if got := l.copies(t, "h1", "h8", udp(9, 1, 1, 0, 20)); len(got) != 0 {
		t.Error("a port with switchport monitor got ordinary traffic")
	}
}

// TestERSPAN follows a session from nothing to the bytes at the collector.
func TestERSPAN(t *testing.T) {
	l := newLab(t, "interface Ethernet1/7\n  no switchport\n  ip address 192.0.2.1/24\n")
	h := l.fab.Host("h7")
	must(t, h.AddPort("eth2", netip.MustParsePrefix("192.0.2.9/24")))
	x := login(t, l.device)
	before := l.device.RunningConfig()
	x.config()
	x.ok("monitor erspan origin ip-address 192.0.2.1 global", "monitor session 2 type erspan-source", "source interface e1/1 rx",
		"destination ip 10.0.0.7", "ip dscp 10", "no shut")
	want := func(down string, copies int) [][]byte {
		t.Helper()
		got := l.copies(t, "h1", "h7", udp(9, 1, 80, 0, 400))
		if s := l.device.MonitorSessions()[0]; s.Down != down || len(got) != copies {
			t.Fatalf("down %q, want %q; %d copies, want %d", s.Down, down, len(got), copies)
		}
		return got
	}
	want("No erspan-id specified", 0)
	x.ok("erspan-id 101")
	want("No valid VRF", 0)
	x.ok("vrf default")
	f := want("", 1)[0]
	// Ethernet, IPv4 with DSCP 10 and TTL 255, GRE with a sequence number, ERSPAN II, frame.
	ip := f[14:]
	if ip[1]>>2 != 10 || ip[8] != 255 || ip[9] != 47 || [4]byte(ip[12:16]) != [4]byte{192, 0, 2, 1} || [4]byte(ip[16:20]) != [4]byte{10, 0, 0, 7} {
		t.Errorf("IP header % x", ip[:20])
	}
	if gre := ip[20:]; binary.BigEndian.Uint32(gre) != 0x100088be {
		t.Errorf("GRE header % x", gre[:8])
	}
	if w := binary.BigEndian.Uint32(ip[28:]); w>>28 != 1 || w&0x3ff != 101 {
		t.Errorf("ERSPAN header % x", ip[28:36])
	}
	if d := cmp.Diff(udp(9, 1, 80, 0, 400), ip[36:]); d != "" {
		t.Errorf("copy (-sent +got):\n%s", d)
	}
	x.ok("mtu 320", "header-type 3", "ip ttl 9")
	f = want("", 1)[0]
	if len(f) != 14+20+8+12+320 || f[14+8] != 9 || binary.BigEndian.Uint32(f[34:]) != 0x100022eb {
		t.Errorf("type III with mtu 320: %d bytes, % x", len(f), f[14:50])
	}
	wantSession := []nxos.MonitorSession{{
		Number: 2, Type: "erspan-source", Enabled: true, MTU: 320, Sources: []nxos.MonitorSource{{Interface: "Ethernet1/1", Direction: "rx"}},
		ERSPAN: &nxos.ERSPAN{ID: 101, VRF: "default", Address: netip.MustParseAddr("10.0.0.7"), Origin: netip.MustParseAddr("192.0.2.1"), TTL: 9, DSCP: 10, HeaderType: 3},
	}}
	if d := cmp.Diff(wantSession, l.device.MonitorSessions(), comparers); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
	x.ok("no monitor session 2", "no monitor erspan origin ip-address 192.0.2.1 global")
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("after create and delete (-before +after):\n%s", d)
	}
}

func TestAccessListFilterAndTags(t *testing.T) {
	l := newLab(t, "vlan 10\ninterface Ethernet1/1\n  switchport mode trunk\n")
	x := login(t, l.device).config()
	x.ok(destination...)
	if p := x.ok("ip access-list WEB"); p != "n9k(config-acl)# " {
		t.Errorf("prompt %q", p)
	}
	x.ok("permit udp any host 10.0.0.9 eq 80", "20 deny ip 10.0.0.0 0.0.0.255 any", "monitor session 1", "source interface e1/1 rx", "destination interface e1/8", "filter access-group WEB", "no shut")
	if got := l.copies(t, "h1", "h8", udp(9, 1, 80, 10, 50)); len(got) != 1 || !cmp.Equal(got[0], udp(9, 1, 80, 10, 50)) {
		t.Errorf("copies %x", got)
	}
	for _, f := range [][]byte{udp(9, 1, 81, 10, 50), udp(7, 1, 80, 10, 50)} {
		if got := l.copies(t, "h1", "h8", f); len(got) != 0 {
			t.Error("a frame passed that the list denies")
		}
	}
	if c := l.device.RunningConfig(); !strings.Contains(c, "ip access-list WEB\n  10 permit udp any 10.0.0.9/32 eq www\n  20 deny ip 10.0.0.0/24 any\n") {
		t.Errorf("access list:\n%s", c)
	}
	x.ok("filter vlan 20")
	if got := l.copies(t, "h1", "h8", udp(9, 1, 80, 10, 50)); len(got) != 0 {
		t.Error("a frame passed the VLAN filter")
	}
}

// TestHardware: a fourth session with tx beside three of both ways, and a fifth.
func TestHardware(t *testing.T) {
	l := newLab(t, "")
	for i := 5; i <= 8; i++ {
		must(t, l.device.Configure("interface "+eth(i), "switchport monitor", "monitor session "+eth(i)[10:], "source interface e1/1 both", "destination interface "+eth(i), "no shut"))
	}
	downs := func() (out []string) {
		for _, s := range l.device.MonitorSessions() {
			out = append(out, s.Down)
		}
		return out
	}
	if d := cmp.Diff([]string{"", "", "", "No hardware resource"}, downs()); d != "" {
		t.Errorf("four of both ways (-want +got):\n%s", d)
	}
	must(t, l.device.Configure("monitor session 8", "no source interface e1/1 tx", "interface e1/4", "switchport monitor",
		"monitor session 9", "source interface e1/1 rx", "destination interface e1/4", "no shut"))
	if d := cmp.Diff([]string{"", "", "", "", "No hardware resource"}, downs()); d != "" {
		t.Errorf("a fifth (-want +got):\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	l := newLab(t, "feature lacp\ninterface Ethernet1/3\n  channel-group 5 mode active\nmonitor session 3 type erspan-source\n")
	x := login(t, l.device)
	session := []string{"configure terminal", "monitor session 1"}
	erspan := []string{"configure terminal", "monitor session 3"}
	for _, tt := range []struct {
		in         []string // lines before
		give, want string
	}{
		{nil, "show inventory all", "         ^\n% Invalid command at '^' marker.\n"},
		{nil, "show", "        ^\n% Incomplete command at '^' marker.\n"},
		{nil, "show monitor session 33", "                         ^\nInvalid range at '^' marker.\n"},
		{nil, "show running-config | grep x", "                           ^\n% Invalid command at '^' marker.\n"},
		{nil, "show lldp neighbors", "         ^\n% Invalid command at '^' marker.\n"}, // without its feature
		{session, "no shutdown", "                        ^\n% Invalid command at '^' marker.\n"},
		{session, "source interface e1/99", "                                      ^\n% Invalid input detected at '^' marker.\n"},
		{session, "source interface e1/3", "ERROR: Eth1/3: Interface is a PC member\n"},
		{session, "destination interface po5", "ERROR: Po5: Interface cannot be a destination\n"},
		{session, "erspan-id 5", "                     ^\n% Invalid command at '^' marker.\n"},
		{erspan, "erspan-id 1024", "                                  ^\nInvalid range at '^' marker.\n"},
		{erspan, "ip ttl 256", "                               ^\nInvalid range at '^' marker.\n"},
		{erspan, "ip dscp 64", "                                ^\nInvalid range at '^' marker.\n"},
		{erspan, "mtu 9000", "ERROR: MTU must be from 320 to 1518\n"},
		{erspan, "monitor session 3 type local", "ERROR: Session 3 already exists with type erspan-source; its type cannot be changed\n"},
		{[]string{"configure terminal", "interface e1/1", "no switchport"}, "ip address 10.0.0.1 255.0.255.0", "ERROR: Invalid mask\n"},
		{[]string{"configure terminal", "interface e1/1", "no switchport"}, "ip address 10.0.0.1 0.0.0.0", "ERROR: Invalid mask\n"},
		{[]string{"configure terminal"}, "monitor session 33", "                              ^\nInvalid range at '^' marker.\n"},
	} {
		for _, line := range append([]string{"end"}, tt.in...) {
			x.run(line)
		}
		before := l.device.RunningConfig()
		got := x.text(tt.give)
		if _, caret, _ := strings.Cut(tt.want, "^\n"); caret != "" {
			// The column is checked against the word at which the line fails.
			if _, g, ok := strings.Cut(got, "^\n"); !ok || g != caret {
				t.Errorf("%q after %q answered %q, want %q", tt.give, tt.in, got, tt.want)
			}
		} else if got != tt.want {
			t.Errorf("%q after %q answered %q, want %q", tt.give, tt.in, got, tt.want)
		}
		if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
			t.Errorf("%q was refused, but (-before +after):\n%s", tt.give, d)
		}
	}
	x.run("end")
	if got, want := x.text("show inventory all"), strings.Repeat(" ", len("n9k# show "))+"^\n% Invalid command at '^' marker.\n"; got != want {
		t.Errorf("caret: %q, want %q", got, want)
	}
	if got, want := x.text("configure t x"), strings.Repeat(" ", len("n9k# configure t "))+"^\n% Invalid command at '^' marker.\n"; got != want {
		t.Errorf("caret: %q, want %q", got, want)
	}
	if got, want := x.text("copy run"), strings.Repeat(" ", len("n9k# copy run"))+"^\n% Incomplete command at '^' marker.\n"; got != want {
		t.Errorf("caret: %q, want %q", got, want)
	}
}

func TestDestinationHygiene(t *testing.T) {
	l := newLab(t, "")
	must(t, l.device.Configure("monitor session 1", "source interface e1/1", "destination interface e1/8", "monitor session 2"))
	for _, tt := range [][]string{
		{"monitor session 2", "destination interface e1/8"}, {"monitor session 2", "destination interface e1/1"},
		{"monitor session 2", "source interface e1/8"}, {"interface e1/8", "channel-group 1"},
	} {
		if err := l.device.Configure(tt...); err == nil || !strings.Contains(err.Error(), "ERROR: ") {
			t.Errorf("%q: %v", tt, err)
		}
	}
}

func TestPromptsAndModes(t *testing.T) {
	l := newLab(t, "")
	x := login(t, l.device).config()
	for _, tt := range []struct{ give, want string }{
		{"interface e1/1-2", "n9k(config-if)# "}, {"vlan 10,20-21", "n9k(config-vlan)# "}, {"exit", "n9k(config)# "},
		{"monitor session 1", "n9k(config-monitor)# "}, {"monitor session 2 type erspan-source", "n9k(config-erspan-src)# "},
		{"monitor session 3 type erspan-destination", "n9k(config-erspan-dst)# "}, {"mon sess 2", "n9k(config-erspan-src)# "},
		{"ip access-list A", "n9k(config-acl)# "}, {"hostname sw-2", "sw-2(config)# "}, {"end", "sw-2# "},
	} {
		if got := x.ok(tt.give); got != tt.want {
			t.Errorf("after %q the prompt is %q, want %q", tt.give, got, tt.want)
		}
	}
	x.config()
	if got := x.text("show run | section session"); got != "monitor session 1\nmonitor session 2 type erspan-source\nmonitor session 3 type erspan-destination\n" {
		t.Errorf("show from configuration mode: %q", got)
	}
}

// TestModels: what one model takes another refuses.
func TestModels(t *testing.T) {
	for model, refused := range map[string]bool{"C93180YC-EX": false, "C93240YC-FX2": false, "C9372PX": true, "C9504": true} {
		x := login(t, newLab(t, "", func(o *nxos.Options) { o.Model = model }).device).config()
		x.ok("monitor session 1")
		if got := x.text("source vlan 10 tx"); strings.HasPrefix(got, "ERROR: ") != refused {
			t.Errorf("%s answers %q", model, got)
		}
		x.ok("source vlan 10", "source vlan 11 rx")
		want := map[bool]string{false: "  source vlan 10 both\n  source vlan 11 rx", true: "  source vlan 10-11 rx"}[refused]
		if got := x.text("show running-config monitor"); !strings.Contains(got, want) {
			t.Errorf("%s shows %q; want %q", model, got, want)
		}
	}
}

// TestLimits: a session has up to 48 source interfaces, and one destination.
func TestLimits(t *testing.T) {
	fab := fabric.New()
	sw, err := fab.AddSwitch("n9k")
	must(t, err)
	for i := 1; i <= 54; i++ {
		must(t, sw.AddPort(eth(i)))
	}
	d, err := nxos.New(nxos.Options{Hostname: "n9k", Switch: sw, Users: map[string]string{"a": "b"}})
	must(t, err)
	must(t, d.Configure("monitor session 1", "source interface e1/1-48 rx"))
	if err := d.Configure("monitor session 1", "source interface e1/49 rx"); err == nil {
		t.Error("49 sources are taken")
	}
	must(t, d.Configure("monitor session 1", "destination interface e1/50 , e1/51", "no shut"))
	if got := d.MonitorSessions()[0].Down; got != "Multi-dst not allowed" {
		t.Errorf("with two destinations it is down: %q", got)
	}
	must(t, d.Configure("monitor session 2 type erspan-source", "erspan-id 1", "vrf NONE", "destination ip 10.0.0.1", "source interface e1/1", "no shut"))
	if got := d.MonitorSessions()[1].Down; got != "No valid VRF" {
		t.Errorf("with a VRF that is not there it is down: %q", got)
	}
}

// TestProtocolNumbers: a protocol is one thing by name and by number.
func TestProtocolNumbers(t *testing.T) {
	l := newLab(t, "ip access-list A\n  permit 47 any any\n  permit 99 any 10.0.0.0 0.0.0.255\n")
	if got := l.device.RunningConfig(); !strings.Contains(got, "ip access-list A\n  10 permit gre any any\n  20 permit 99 any 10.0.0.0/24\n") {
		t.Error(got)
	}
}

// TestSeveralCommands: a line may have several, and a refusal ends it.
func TestSeveralCommands(t *testing.T) {
	l := newLab(t, "ip domain-name example.net\n")
	x := login(t, l.device)
	if got := x.text("show hostname ; show bogus ; show hostname"); !strings.HasPrefix(got, "n9k.example.net \n") || !strings.HasSuffix(got, "% Invalid command at '^' marker.\n") {
		t.Errorf("%q", got)
	}
	x.text("configure terminal ; interface e1/8 ; switchport monitor")
	if !strings.Contains(l.device.RunningConfig(), "interface Ethernet1/8\n  switchport monitor\n") {
		t.Error("the last command of the line did nothing")
	}
}

func TestCheckpointAndRollback(t *testing.T) {
	l := newLab(t, "")
	x := login(t, l.device)
	before := l.device.RunningConfig()
	if got := x.text("checkpoint spanctl"); got != ".Done\n" {
		t.Errorf("checkpoint: %q", got)
	}
	x.config().ok(append(destination, "monitor session 1", "source interface e1/1", "destination interface e1/8", "no shut", "end")...)
	if got := x.text("rollback running-config checkpoint spanctl atomic"); !strings.Contains(got, "Rollback completed successfully.") {
		t.Errorf("rollback: %q", got)
	}
	if d := cmp.Diff(before, l.device.RunningConfig()); d != "" {
		t.Errorf("after the rollback (-before +after):\n%s", d)
	}
	if got := l.copies(t, "h1", "h8", udp(9, 1, 1, 0, 20)); len(got) != 1 {
		t.Errorf("%d frames at Ethernet1/8, which is an ordinary port again", len(got))
	}
	if got := x.text("rollback running-config checkpoint other"); !strings.HasPrefix(got, "ERROR: ") {
		t.Errorf("rollback to nothing: %q", got)
	}
	if got := x.text("checkpoint spanctl"); got != "ERROR: Checkpoint spanctl already exists\n" {
		t.Errorf("checkpoint again: %q", got)
	}
	x.ok("no checkpoint spanctl")
	if got := x.text("no checkpoint spanctl"); !strings.HasPrefix(got, "ERROR: ") {
		t.Errorf("no checkpoint again: %q", got)
	}
	if d := l.device.Checkpoints(); len(d) > 0 {
		t.Errorf("checkpoints %q are left", d)
	}
	if got := l.device.StartupConfig(); got != "" {
		t.Errorf("startup configuration %q", got)
	}
	x.text("copy running-config startup-config")
	if d := cmp.Diff(before, l.device.StartupConfig()); d != "" {
		t.Errorf("saved (-running +startup):\n%s", d)
	}
}

const wantConfig = `version 9.3(10) Bios:version 07.69 
hostname n9k

feature lacp
feature lldp

ntp server 192.0.2.3

ip access-list WEB
  10 permit tcp any any eq www

vlan 1,10,20-21
vlan 10
  name USERS

vrf context RED
vrf context management

interface port-channel5

interface Ethernet1/1
  description to: server | 1
  switchport access vlan 10

interface Ethernet1/2
  switchport mode trunk
  switchport trunk allowed vlan 10,20-21

interface Ethernet1/3
  channel-group 5 mode active

interface Ethernet1/4
  no switchport
  ip address 192.0.2.1/24
  no shutdown

interface Ethernet1/5
  shutdown

interface Ethernet1/6

interface Ethernet1/7

interface Ethernet1/8
  switchport monitor

interface mgmt0
  vrf member management
  ip address 198.51.100.1/24

interface loopback0
  ip address 203.0.113.1/32

monitor session 1
  description ours
  source interface Ethernet1/1 both
  source interface Ethernet1/2 rx
  source vlan 20-21 rx
  destination interface Ethernet1/8
  filter access-group WEB
  no shut
monitor session 2 type erspan-source
  erspan-id 7
  vrf default
  destination ip 192.0.2.9
  ip ttl 64
  source interface Ethernet1/1 rx
monitor erspan origin ip-address 203.0.113.1 global

`

// TestConfigurationReadsBack: a switch that boots with a printed configuration prints it.
func TestConfigurationReadsBack(t *testing.T) {
	l := newLab(t, wantConfig)
	if d := cmp.Diff(wantConfig, l.device.RunningConfig()); d != "" {
		t.Errorf("(-loaded +printed):\n%s", d)
	}
	x := login(t, l.device)
	show := x.text("show running-config monitor")
	head, rest, _ := strings.Cut(show, "version 9.3")
	if !regexp.MustCompile(`^\n!Command: show running-config monitor\n!Time: \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\n\n$`).MatchString(head) {
		t.Errorf("head %q", head)
	}
	if !strings.HasSuffix(rest, wantConfig[strings.Index(wantConfig, "\nmonitor session 1"):]) {
		t.Errorf("show running-config monitor: %s", show)
	}
	if got := x.text("show running-config monitor all | include shut"); got != "  no shut\n  shut\n" {
		t.Errorf("all: %q", got)
	}
}

func TestShow(t *testing.T) {
	l := newLab(t, wantConfig)
	x := login(t, l.device)
	l.copies(t, "h1", "h8", udp(9, 1, 1, 0, 20))
	for _, tt := range []struct{ give, want string }{
		{"show monitor", "Session  State        Reason                  Description\n-------  -----------  ----------------------  --------------------------------\n" +
			"1        up           The session is up       ours\n2        down         Session admin shut\n"},
		{"show monitor session 2", "   session 2\n---------------\ntype              : erspan-source\nversion           : 2\nstate             : down (Session admin shut)\n" +
			"erspan-id         : 7\nvrf-name          : default\nacl-name          : acl-name not specified\nip-ttl            : 64\nip-dscp           : 0\nheader-type       : 2\n" +
			"destination-ip    : 192.0.2.9\norigin-ip         : 203.0.113.1 (global)\nsource intf       : \n    rx            : Eth1/1\n    tx            : \n    both          : \n" +
			"source VLANs      : \n    rx            : \n    tx            : \n    both          : \nfilter VLANs      : filter not specified\n\n"},
		{"show monitor session all | include both|ports|VLANs", "    both          : Eth1/1\nsource VLANs      : \n    both          : \nfilter VLANs      : filter not specified\n" +
			"destination ports : Eth1/8\n    both          : \nsource VLANs      : \n    both          : \nfilter VLANs      : filter not specified\n"},
		{"show interface brief | include Eth1/[578]", "Eth1/5        1       eth  access down    Administratively down     auto(D) --\n" +
			"Eth1/7        1       eth  access up      none                       10G(D) --\nEth1/8        monitor eth  access up      none                       10G(D) --\n"},
		{"show interface status | include Eth1/[258]", "Eth1/2        --                 connected trunk     full    10G     10Gbase-SR\n" +
			"Eth1/5        --                 disabled  1         full    10G     10Gbase-SR\nEth1/8        --                 connected monitor   full    10G     10Gbase-SR\n"},
		{"show vlan | begin 10", "10   USERS                            active    Eth1/1, Eth1/2\n20   VLAN0020                         active    Eth1/2\n21   VLAN0021                         active    Eth1/2\n"},
		{"show mac address-table | include Eth", "*   10     0200.0000.0001   dynamic  0         F      F    Eth1/1\n"},
		{"show lldp neighbors | include h8|Total", "h8                   Eth1/8          120        BR          eth1\nTotal entries displayed: 7\n"},
		{"show version | include NXOS:|Device", "  NXOS: version 9.3(10)\n  Device name: n9k\n"},
		{"show monitor session 9", "session 9 is not configured\n"},
	} {
		if d := cmp.Diff(tt.want, x.text(tt.give)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.give, d)
		}
	}
}

func TestPaging(t *testing.T) {
	x := open(t, newLab(t, "").device)
	x.until(promptAt)
	_, err := io.WriteString(x.in, "show running-config\n")
	must(t, err)
	more := regexp.MustCompile(`\x1b\[7m--More--\x1b\[m$`)
	if got := x.until(more); strings.Count(got, "\n") != 24 { // the echo and 23 lines
		t.Errorf("a page has %d lines", strings.Count(got, "\n"))
	}
	_, err = io.WriteString(x.in, "q")
	must(t, err)
	x.until(promptAt)
}

func TestFaultsAndWire(t *testing.T) {
	l := newLab(t, "")
	x := login(t, l.device)
	l.device.ResetWire()
	must(t, l.device.SetFaults(eos.FaultSpec{Lines: []eos.Fault{
		{Line: "^no shut", Action: eos.ActionRefuse, Text: "ERROR: no", Times: 1}, {Line: "^description", Action: eos.ActionForget},
		{Line: "show clock", Action: eos.ActionLog, Text: "LOG"},
	}}))
	x.config().ok("monitor session 1")
	if got := x.text("no shut"); got != "ERROR: no\n" {
		t.Errorf("refused: %q", got)
	}
	x.ok("no shut", "description x")
	if got := x.text("show clock"); !strings.Contains(got, "LOG\n") {
		t.Errorf("log: %q", got)
	}
	if s := l.device.MonitorSessions()[0]; !s.Enabled || s.Description != "" {
		t.Errorf("session %+v", s)
	}
	if d := cmp.Diff([]string{"configure terminal", "monitor session 1", "no shut", "no shut", "description x", "show clock"}, l.device.Wire()); d != "" {
		t.Errorf("wire (-want +got):\n%s", d)
	}
	if err := l.device.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Action: "explode"}}}); err == nil {
		t.Error("an unknown action was taken")
	}
}

// FuzzConfigure enters lines: none panics, a refused one leaves nothing, and what is
// printed reads back.
func FuzzConfigure(f *testing.F) {
	f.Add(wantConfig)
	for _, s := range []string{
		"monitor session 1\nsource interface e1/1-3 , Eth1/4 rx\nno source interface e1/2\nfilter vlan 1,5-9", "monitor session all shut\nno monitor session all",
		"interface e1/1\nswitchport trunk allowed vlan remove 5\nno switchport\nip address 10.0.0.1 255.255.255.0\nspanning-tree port type edge\nno lldp receive",
		"ip access-list A\n5 permit 1\npermit udp 10.0.0.0 0.0.0.255 range 1 5 any\nno 10", "interface port-channel7\nno interface po7\ndefault interface e1/1", "exit\nexit\nend",
	} {
		f.Add(s)
	}
	boot := func(t *testing.T, text string) *nxos.Device {
		sw, err := fabric.New().AddSwitch("n9k")
		must(t, err)
		for i := 1; i <= 8; i++ {
			must(t, sw.AddPort(eth(i)))
		}
		d, err := nxos.New(nxos.Options{Hostname: "n9k", Switch: sw, Users: map[string]string{"a": "b"}, StartupConfig: text})
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		return d
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		d := boot(t, "")
		for _, block := range strings.Split(text, "\n\n") {
			before := d.RunningConfig()
			if err := d.Configure(strings.Split(block, "\n")...); err != nil {
				if diff := cmp.Diff(before, d.RunningConfig()); diff != "" {
					t.Fatalf("%v, but (-before +after):\n%s", err, diff)
				}
			}
		}
		again := boot(t, d.RunningConfig())
		if diff := cmp.Diff(d.RunningConfig(), again.RunningConfig()); diff != "" {
			t.Fatalf("a printed configuration reads differently (-printed +read):\n%s", diff)
		}
		if diff := cmp.Diff(d.MonitorSessions(), again.MonitorSessions(), comparers); diff != "" {
			t.Fatalf("sessions (-had +read):\n%s", diff)
		}
	})
}
