package iosxe_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
)

func TestDirections(t *testing.T) {
	l := newLab(t, nil)
	l.learn(t)
	c := login(t, l.addr).config()
	copied := func(src, dst byte) int { return l.send(t, fmt.Sprintf("h%d", src), udp(dst, src, 80, 0, 50))["h8"] }
	for _, tt := range []struct {
		lines  []string
		in, on int // copies of a frame from h1 to h2, and of one back
	}{
		{[]string{"monitor session 1 source interface Gi1/0/1 rx"}, 0, 0}, // no destination yet
		{[]string{"monitor session 1 destination interface Gi1/0/8"}, 1, 0},
		{[]string{"monitor session 1 source interface Gi1/0/1 tx"}, 1, 1}, // adds up to both
		{[]string{"no monitor session 1 source interface Gi1/0/1 rx"}, 0, 1},
		{[]string{"no monitor session 1 source interface Gi1/0/1", "monitor session 1 source interface Gi1/0/1"}, 1, 1},
		{[]string{"monitor session 1 source interface Gi1/0/2 rx"}, 1, 2}, // received on 2, sent on 1: twice
		{[]string{"no monitor session 1 source interface Gi1/0/1 - 2"}, 0, 0},
		{[]string{"monitor session 1 source vlan 1 rx"}, 1, 1},
		{[]string{"no monitor session 1 source vlan 1", "monitor session 1 source vlan 2"}, 0, 0},
		{[]string{"no monitor session 1"}, 0, 0},
	} {
		c.ok(tt.lines...)
		if in, on := copied(1, 2), copied(2, 1); in != tt.in || on != tt.on {
			t.Errorf("after %q: %d and %d copies, want %d and %d", tt.lines, in, on, tt.in, tt.on)
		}
	}
	if got := l.send(t, "h1", udp(9, 1, 80, 0, 50)); got["h8"] != 1 {
		t.Error("a port that is no destination any more gets no traffic")
	}
}

func TestDestinationPortCarriesCopiesOnly(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	c.ok("monitor session 1 source interface Gi1/0/2", "monitor session 1 destination interface Gi1/0/8")
	if got := l.send(t, "h1", udp(9, 1, 80, 0, 50)); got["h8"] != 1 || got["h3"] != 1 {
		t.Errorf("a flood gave %v: h8 must get the copy of what Gi1/0/2 sends and nothing more", got)
	}
	if got := l.send(t, "h8", udp(1, 8, 80, 0, 50)); len(got) != 0 {
		t.Errorf("a destination port let %v in", got)
	}
}

func TestEncapsulationAndVLANFilter(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	c.ok("vlan 10,20", "interface range Gi1/0/1 - 2", "switchport mode trunk",
		"monitor session 1 source interface Gi1/0/1 rx", "monitor session 1 destination interface Gi1/0/7",
		"monitor session 1 destination interface Gi1/0/8 encapsulation replicate")
	got := func() (native, tagged []byte) {
		l.send(t, "h1", udp(9, 1, 80, 10, 50))
		for i, f := range []*[]byte{&native, &tagged} {
			if got := l.fab.Host(fmt.Sprintf("h%d", 7+i)).Captured("eth1"); len(got) == 1 {
				*f = got[0].Frame
			}
		}
		return native, tagged
	}
	native, tagged := got()
	if d := cmp.Diff(udp(9, 1, 80, 0, 50), native); d != "" {
		t.Errorf("native copy (-want +got):\n%s", d)
	}
	if d := cmp.Diff(udp(9, 1, 80, 10, 50), tagged); d != "" {
		t.Errorf("replicated copy (-want +got):\n%s", d)
	}
	c.ok("monitor session 1 filter vlan 20 , 30 - 32")
	if native, tagged := got(); native != nil || tagged != nil {
		t.Error("a frame of VLAN 10 passed the filter")
	}
	if got := l.send(t, "h1", udp(9, 1, 80, 20, 50)); got["h7"] != 1 || got["h8"] != 1 {
		t.Errorf("a frame of VLAN 20 did not pass the filter: %v", got)
	}
	// Access ports are not filtered.
	c.ok("monitor session 1 source interface Gi1/0/3 rx")
	if got := l.send(t, "h3", udp(9, 3, 80, 0, 50)); got["h7"] != 1 {
		t.Errorf("an access port is filtered by VLAN: %v", got)
	}
	// Without the keyword the port returns to native form.
	c.ok("no monitor session 1 filter vlan 20 , 30 - 32", "monitor session 1 destination interface Gi1/0/8")
	if _, f := got(); len(f) != len(native) {
		t.Errorf("Gi1/0/8 is still tagged: % x", f)
	}
}

func TestAccessListFilter(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	c.ok("ip access-list extended WEB", "permit udp any host 10.0.0.9 eq www", "deny ip any any", "exit",
		"monitor session 1 source interface Gi1/0/1 rx", "monitor session 1 filter ip access-group WEB", "monitor session 1 destination interface Gi1/0/8")
	for _, tt := range []struct {
		dst  byte
		port uint16
		want int
	}{{9, 80, 1}, {9, 81, 0}, {10, 80, 0}} {
		if got := l.send(t, "h1", udp(tt.dst, 1, tt.port, 0, 50))["h8"]; got != tt.want {
			t.Errorf("to 10.0.0.%d port %d: %d copies, want %d", tt.dst, tt.port, got, tt.want)
		}
	}
	c.ok("ip access-list extended WEB", "no 20") // what no line permits is denied
	if got := l.send(t, "h1", udp(9, 1, 81, 0, 50))["h8"]; got != 0 {
		t.Error("a frame that no line is about was copied")
	}
	c.ok("20 permit udp any 10.0.0.8 0.0.0.7 range 81 90")
	if got := l.send(t, "h1", udp(9, 1, 81, 0, 50))["h8"]; got != 1 {
		t.Errorf("after the change of the list: %d copies", got)
	}
}

func TestStandardListFilter(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	c.ok("ip access-list standard 1", "permit host 10.0.0.1", "exit",
		"monitor session 1 source interface Gi1/0/1 - 2 rx", "monitor session 1 filter ip access-group 1", "monitor session 1 destination interface Gi1/0/8")
	for host, want := range map[byte]int{1: 1, 2: 0} {
		if got := l.send(t, fmt.Sprintf("h%d", host), udp(9, host, 80, 0, 50))["h8"]; got != want {
			t.Errorf("from 10.0.0.%d: %d copies, want %d", host, got, want)
		}
	}
}

func TestFilterWithoutList(t *testing.T) {
	l := newLab(t, nil)
	login(t, l.addr).config().ok("monitor session 1 source interface Gi1/0/1 rx", "monitor session 1 destination interface Gi1/0/8", "monitor session 1 filter ip access-group NOBODY")
	if got := l.send(t, "h1", udp(9, 1, 80, 0, 50))["h8"]; got != 0 {
		t.Error("a list that does not exist lets frames through")
	}
}

// TestRSPAN has two switches with a trunk, and a third VLAN beside the RSPAN VLAN.
func TestRSPAN(t *testing.T) {
	l := newLab(t, nil)
	far, farAddr := l.addSwitch(t, "sw2", "k", nil)
	must(t, l.fab.Connect(fabric.Link{
		A: fabric.End{Node: "sw1", Port: "TenGigabitEthernet1/1/1"}, B: fabric.End{Node: "sw2", Port: "TenGigabitEthernet1/1/1"},
	}))
	near := login(t, l.addr).config()
	end := login(t, farAddr).config()
	trunk := []string{"interface Te1/1/1", "switchport mode trunk", "switchport trunk allowed vlan 1,900", "exit"}
	vlan := []string{"vlan 900", "remote-span", "exit"}
	near.ok(append(trunk, vlan...)...)
	near.ok("monitor session 1 source interface Gi1/0/1 rx", "monitor session 1 destination remote vlan 900")
	end.ok(trunk...)
	// The far end needs the VLAN, and needs it to be an RSPAN VLAN.
	if got := end.out("monitor session 1 source remote vlan 900"); got != "% VLAN 900 is not configured as an RSPAN VLAN\n" {
		t.Errorf("source remote vlan without the VLAN: %q", got)
	}
	end.ok(vlan...)
	end.ok("monitor session 1 source remote vlan 900", "monitor session 1 destination interface Gi1/0/8")
	f := udp(9, 1, 80, 0, 50)
	got := l.send(t, "h1", f)
	if got["k8"] != 1 {
		t.Fatalf("copies: %v", got)
	}
	if d := cmp.Diff(f, l.fab.Host("k8").Captured("eth1")[0].Frame); d != "" {
		t.Errorf("copy (-sent +got):\n%s", d)
	}
	near.ok("interface Te1/1/1", "switchport trunk allowed vlan remove 900")
	if got := l.send(t, "h1", f)["k8"]; got != 0 {
		t.Error("a copy came without a way")
	}
	near.ok("switchport trunk allowed vlan add 900", "vlan 900", "no remote-span")
	if got := l.send(t, "h1", f)["k8"]; got != 0 {
		t.Error("a copy came through a VLAN that is no RSPAN VLAN")
	}
	want := []iosxe.MonitorSession{{
		Number: 1, Enabled: true, Programmed: true, SourceRSPAN: 900, Destinations: []iosxe.MonitorDestination{{Interface: gi(8)}},
	}}
	if d := cmp.Diff(want, far.MonitorSessions(), comparers); d != "" {
		t.Errorf("sessions of sw2 (-want +got):\n%s", d)
	}
}

// TestERSPAN follows a session from nothing to the bytes at the collector.
func TestERSPAN(t *testing.T) {
	l := newLab(t, nil)
	collector := l.fab.Host("h8")
	must(t, collector.AddPort("eth2", netip.MustParsePrefix("192.0.2.9/24")))
	must(t, l.fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: "TenGigabitEthernet1/1/1"}, B: fabric.End{Node: "h8", Port: "eth2"}}))
	must(t, l.device.Configure("interface Te1/1/1", "no switchport", "ip address 192.0.2.1 255.255.255.0"))
	c := login(t, l.addr)
	copies := func() [][]byte {
		t.Helper()
		collector.ResetCapture()
		must(t, l.fab.Host("h1").Send("eth1", udp(9, 1, 80, 0, 300)))
		var out [][]byte
		for _, f := range collector.Captured("eth2") {
			out = append(out, f.Frame)
		}
		return out
	}
	c.config()
	if p := c.ok("monitor session 10 type erspan-source"); p != "sw1(config-mon-erspan-src)#" {
		t.Errorf("prompt %q", p)
	}
	if p := c.ok("source interface Gi1/0/1 rx", "destination"); p != "sw1(config-mon-erspan-src-dst)#" {
		t.Errorf("prompt %q", p)
	}
	if p := c.ok("erspan-id 101", "ip address 192.0.2.9", "origin ip address 192.0.2.1", "ip dscp 10", "exit"); p != "sw1(config-mon-erspan-src)#" {
		t.Errorf("prompt %q", p)
	}
	if got := copies(); len(got) != 0 {
		t.Fatal("a session that was never enabled copied a frame")
	}
	c.ok("no shutdown")
	got := copies()
	if len(got) != 1 {
		t.Fatalf("%d copies after no shutdown", len(got))
	}
	f := got[0]
	// Ethernet, IPv4 (DSCP 10, DF, TTL 255, protocol 47), GRE with a sequence number and
	// type 0x88be, ERSPAN II: version 1, VLAN 1, session 101.
	head := []byte{0x08, 0x00, 0x45, 10 << 2}
	if d := cmp.Diff(head, f[12:16]); d != "" {
		t.Errorf("outer header (-want +got):\n%s", d)
	}
	if f[22] != 255 || f[23] != 47 || netip.AddrFrom4([4]byte(f[26:30])) != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("IPv4 header % x", f[14:34])
	}
	if d := cmp.Diff([]byte{0x10, 0x00, 0x88, 0xbe, 0, 0, 0, 0}, f[34:42]); d != "" {
		t.Errorf("GRE (-want +got):\n%s", d)
	}
	if word := binary.BigEndian.Uint32(f[42:]); word>>28 != 1 || word>>16&0xfff != 1 || word&0x3ff != 101 {
		t.Errorf("ERSPAN header %08x", word)
	}
	if d := cmp.Diff(udp(9, 1, 80, 0, 300), f[50:]); d != "" {
		t.Errorf("payload (-sent +copied):\n%s", d)
	}
	c.ok("destination", "mtu 200")
	if got := copies(); len(got) != 1 || len(got[0]) != 50+200 {
		t.Errorf("mtu 200: %d copies, %d bytes", len(got), len(got[0]))
	}
	c.ok("exit", "shutdown")
	if got := copies(); len(got) != 0 {
		t.Error("a session that is shut copied a frame")
	}
	// Mandatory lines: without one of them nothing is programmed.
	programmed := func() string {
		t.Helper()
		return c.out("do show platform software fed switch active monitor 0 | include Enable|Prog|Mand")
	}
	c.ok("no shutdown", "destination")
	if got := programmed(); got != "  ERSPAN Enable        : 1\n  ERSPAN Hw Programmed : 1\n  ERSPAN Mandatory Cfg : 1\n" {
		t.Errorf("hardware of a session that runs:\n%s", got)
	}
	c.ok("no origin ip address")
	if got := programmed(); got != "  ERSPAN Enable        : 1\n  ERSPAN Hw Programmed : 0\n  ERSPAN Mandatory Cfg : 0\n" {
		t.Errorf("hardware of a session without origin:\n%s", got)
	}
	if got := copies(); len(got) != 0 {
		t.Error("a session without origin copied a frame")
	}
}

func TestLAGs(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr).config()
	if got := c.out("interface range Gi1/0/3 - 4"); got != "" {
		t.Fatal(got)
	}
	if got := c.out("channel-group 1 mode active"); got != "Creating a port-channel interface Port-channel 1\n" {
		t.Errorf("channel-group: %q", got)
	}
	if got := l.send(t, "h1", udp(9, 1, 80, 0, 50)); got["h3"]+got["h4"] != 1 {
		t.Errorf("a flood gave %v: one member must carry it", got)
	}
	c.ok("monitor session 1 source interface Po1", "monitor session 1 destination interface Gi1/0/8")
	if got := l.send(t, "h3", udp(9, 3, 80, 0, 50))["h8"]; got != 1 {
		t.Errorf("%d copies of what a member receives", got)
	}
	// A member that becomes a destination leaves the bundle.
	c.ok("monitor session 2 source interface Gi1/0/5 rx", "monitor session 2 destination interface Gi1/0/4")
	for i := range 8 {
		if got := l.send(t, "h1", udp(byte(20+i), 1, 80, 0, 50)); got["h4"] != 0 || got["h3"] != 1 {
			t.Fatalf("a flood gave %v: h3 alone must get it", got)
		}
	}
}
