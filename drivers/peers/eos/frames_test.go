package eos_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// frame is UDP over IPv4 with a payload of n bytes.
func frame(dst, src byte, dport uint16, n int) []byte {
	f := []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x08, 0x00}
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+n))
	copy(ip[12:], []byte{10, 0, 0, src})
	copy(ip[16:], []byte{10, 0, 0, dst})
	udp := make([]byte, 8+n)
	binary.BigEndian.PutUint16(udp, 40000)
	binary.BigEndian.PutUint16(udp[2:], dport)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+n))
	return append(append(f, ip...), udp...)
}

// count sends from host src to host dst and returns how many frames each host
// received.
func (l *lab) count(t *testing.T, src, dst byte, dport uint16) map[string]int {
	t.Helper()
	for _, n := range l.fab.Nodes() {
		if h := l.fab.Host(n); h != nil {
			h.ResetCapture()
		}
	}
	must(t, l.fab.Host(fmt.Sprintf("h%d", src)).Send("eth1", frame(dst, src, dport, 200)))
	got := map[string]int{}
	for i := 1; i <= ports; i++ {
		if n := len(l.fab.Host(fmt.Sprintf("h%d", i)).Captured("eth1")); n > 0 {
			got[fmt.Sprintf("h%d", i)] = n
		}
	}
	return got
}

// learn lets the switch know where hosts 1 and 2 are.
func (l *lab) learn(t *testing.T) {
	t.Helper()
	l.count(t, 1, 2, 1)
	l.count(t, 2, 1, 1)
}

func TestFramesFollowTheCommit(t *testing.T) {
	l := newLab(t, nil)
	l.learn(t)
	c := login(t, l.addr)
	c.ok("configure session s1", "monitor session m source Ethernet1 rx", "monitor session m destination Ethernet8")
	plain, copied := map[string]int{"h2": 1}, map[string]int{"h2": 1, "h8": 1}
	step := func(what string, want map[string]int) {
		t.Helper()
		if d := cmp.Diff(want, l.count(t, 1, 2, 80)); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	step("before the commit", plain)
	c.ok("commit")
	step("after the commit", copied)
	if d := cmp.Diff(map[string]int{"h1": 1}, l.count(t, 2, 1, 80)); d != "" {
		t.Errorf("rx copies what Ethernet1 sends (-want +got):\n%s", d)
	}
	c.ok("configure", "no monitor session m")
	step("after the live removal", plain)
}

func TestFilterTruncateAndDirections(t *testing.T) {
	l := newLab(t, nil)
	l.learn(t)
	c := login(t, l.addr)
	c.ok("configure session s1",
		"ip access-list WEB", "permit udp any host 10.0.0.2 eq www", "deny ip any any", "exit",
		"monitor session m source Ethernet1", "monitor session m ip access-group WEB", "monitor session m destination Ethernet8",
		"monitor session m truncate size 64", "commit")
	for _, tt := range []struct {
		src, dst byte
		dport    uint16
		want     int
	}{{1, 2, 80, 1}, {1, 2, 81, 0}, {2, 1, 80, 0}} {
		if got := l.count(t, tt.src, tt.dst, tt.dport)["h8"]; got != tt.want {
			t.Errorf("%d to %d port %d: %d copies, want %d", tt.src, tt.dst, tt.dport, got, tt.want)
		}
	}
	l.count(t, 1, 2, 80)
	if got := l.fab.Host("h8").Captured("eth1")[0].Frame; len(got) != 64 {
		t.Errorf("a copy has %d bytes", len(got))
	}
	// A list takes effect when its mode is left, and abort gives it up.
	c.ok("configure", "ip access-list WEB", "no 20", "permit ip any any", "abort")
	if got := l.count(t, 1, 2, 81)["h8"]; got != 0 {
		t.Error("an aborted list took effect")
	}
	c.ok("ip access-list WEB", "no 20", "permit ip any any")
	if got := l.count(t, 1, 2, 81)["h8"]; got != 0 {
		t.Error("a list took effect before its mode was left")
	}
	c.ok("end")
	if got := l.count(t, 1, 2, 81)["h8"]; got != 1 {
		t.Error("a list did not take effect")
	}
	c.ok("configure", "no ip access-list WEB")
	if got := l.count(t, 1, 2, 80)["h8"]; got != 0 {
		t.Error("a list that does not exist lets frames through")
	}
}

func TestVLANsAndLAGs(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	c.ok("configure session s1", "vlan 10", "interface Ethernet1-2", "switchport access vlan 10",
		"interface Ethernet3-4", "channel-group 1 mode active", "interface Port-Channel1", "switchport mode trunk", "switchport trunk allowed vlan 10", "commit")
	got := l.count(t, 1, 9, 80)
	if got["h2"] != 1 || got["h3"]+got["h4"] != 1 || len(got) != 2 {
		t.Errorf("a flood in VLAN 10 reached %v", got)
	}
	c.ok("configure", "interface Ethernet2", "shutdown")
	if got := l.count(t, 1, 9, 80); got["h2"] != 0 {
		t.Errorf("a port that is shut down sent %v", got)
	}
}

func TestGRE(t *testing.T) {
	l := newLab(t, nil)
	l.learn(t)
	h8 := l.fab.Host("h8")
	must(t, h8.AddPort("eth2", netip.MustParsePrefix("192.0.2.9/24")))
	must(t, l.fab.Switch("leaf1").AddPort("Ethernet9"))
	must(t, l.fab.Connect(fabric.Link{A: fabric.End{Node: "leaf1", Port: "Ethernet9"}, B: fabric.End{Node: "h8", Port: "eth2"}}))
	must(t, l.device.Configure("monitor session m source Ethernet1 rx", "monitor session m destination tunnel mode gre source 192.0.2.1 destination 192.0.2.9 ttl 7"))
	l.count(t, 1, 2, 80)
	got := h8.Captured("eth2")
	if len(got) != 1 {
		t.Fatalf("%d frames at the receiver", len(got))
	}
	f := got[0].Frame
	if len(f) < 38 || f[14]>>4 != 4 || f[22] != 7 || f[23] != 47 || binary.BigEndian.Uint16(f[34:]) != 0 || binary.BigEndian.Uint16(f[36:]) != 0x88be {
		t.Errorf("outer headers % x", f[:min(len(f), 42)])
	}
	if d := cmp.Diff(frame(2, 1, 80, 200), f[38:]); d != "" {
		t.Errorf("payload (-sent +copied):\n%s", d)
	}
}

func TestOperationalOutput(t *testing.T) {
	l := newLab(t, func(o *eos.Options) {
		o.Neighbor = func(e fabric.End) (string, string, bool) { return "sw-" + e.Node, e.Port, e.Node != "h2" }
	})
	l.learn(t)
	must(t, l.device.Configure("monitor session 1 source Ethernet7", "monitor session 1 destination Ethernet8",
		"monitor session x source Ethernet1-2 rx", "monitor session x source Ethernet3 tx", "monitor session x destination Cpu", "ip access-list A", "permit ip any any", "exit",
		"interface Ethernet5", "shutdown", "description down for now", "interface Ethernet6", "switchport mode trunk"))
	c := login(t, l.addr)
	c.out("terminal length 0")
	// As a 7150 printed it for its ports 47 and 48.
	want := "Session 1\n------------------------\n\nSource Ports:\n\n  Both:        Et7\n\nDestination Ports:\n\n    Et8 :  active\n"
	if d := cmp.Diff(want, c.out("show monitor session 1")); d != "" {
		t.Errorf("show monitor session 1 (-want +got):\n%s", d)
	}
	var mon struct {
		Sessions map[string]struct {
			SourceRxInterfaces, SourceTxInterfaces, SourceBothInterfaces []string
			TargetInterfaces                                             []struct{ Name string }
		}
	}
	read(t, c, "show monitor session | json", &mon)
	x := mon.Sessions["x"]
	if d := cmp.Diff([]string{"Ethernet1", "Ethernet2"}, x.SourceRxInterfaces); d != "" || len(x.SourceBothInterfaces) != 0 || x.SourceTxInterfaces[0] != "Ethernet3" || x.TargetInterfaces[0].Name != "Cpu" {
		t.Errorf("session x: %+v", x)
	}
	var st struct {
		InterfaceStatuses map[string]struct {
			LinkStatus      string
			VlanInformation struct{ InterfaceMode string }
		}
	}
	read(t, c, "show interfaces status | json", &st)
	for port, want := range map[string]string{"Ethernet1": "connected", "Ethernet5": "disabled", "Management1": "connected"} {
		if got := st.InterfaceStatuses[port].LinkStatus; got != want {
			t.Errorf("%s is %s, want %s", port, got, want)
		}
	}
	if st.InterfaceStatuses["Ethernet6"].VlanInformation.InterfaceMode != "trunk" {
		t.Error("Ethernet6 is no trunk")
	}
	var lldp struct {
		LldpNeighbors []struct{ Port, NeighborDevice, NeighborPort string }
	}
	read(t, c, "show lldp neighbors | json", &lldp)
	if len(lldp.LldpNeighbors) != ports-2 || lldp.LldpNeighbors[0].NeighborDevice != "sw-h1" { // one is down, one is silent
		t.Errorf("LLDP: %+v", lldp)
	}
	var macs struct {
		UnicastTable struct {
			TableEntries []struct{ MacAddress, Interface string }
		}
	}
	read(t, c, "show mac address-table | json", &macs)
	if e := macs.UnicastTable.TableEntries; len(e) != 2 || e[0].MacAddress != "02:00:00:00:00:01" || e[0].Interface != "Ethernet1" {
		t.Errorf("MACs: %+v", e)
	}
	var ver struct{ Version, ModelName string }
	read(t, c, "show version | json", &ver)
	if ver.ModelName != "cEOSLab" || ver.Version == "" {
		t.Errorf("version: %+v", ver)
	}
	var run struct {
		Cmds map[string]*struct{ Cmds map[string]any }
	}
	read(t, c, "show running-config | json", &run)
	if e := run.Cmds["interface Ethernet5"]; e == nil || len(e.Cmds) != 2 {
		t.Errorf("running-config: %+v", run.Cmds)
	}
	if got := c.out("show clock | json | include x"); got != "" {
		t.Errorf("json, then include: %q", got)
	}
	if got := c.out("show ip access-lists | json"); got != "% This is an unconverted command\n" {
		t.Errorf("no JSON form: %q", got)
	}
	for _, tt := range []struct{ line, want string }{
		{"show running-config | section monitor", "!\nmonitor session 1 source Ethernet7\nmonitor session 1 destination Ethernet8\nmonitor session x source Ethernet1-2 rx\nmonitor session x source Ethernet3 tx\nmonitor session x destination Cpu\n"},
		{"show running-config section Ethernet5", "interface Ethernet5\n   description down for now\n   shutdown\n"},
		{"show running-config | include session 1", "monitor session 1 source Ethernet7\nmonitor session 1 destination Ethernet8\n"},
		{"show running-config interfaces Et6", "interface Ethernet6\n   switchport mode trunk\n"},
		{"show interfaces Ethernet5-6 status", "Port       Name         Status       Vlan     Duplex Speed  Type         Flags Encapsulation\n" +
			"Et5        down for now disabled     1        full   10G    10GBASE-CR\nEt6                     connected    trunk    full   10G    10GBASE-CR\n"},
		{"show monitor session nope", "Session nope not created\n"},
		{"show running-config | frobnicate", "% Invalid input\n"},
		{"show hostname | no-more", "Hostname: leaf1\nFQDN:     leaf1\n"},
	} {
		if d := cmp.Diff(tt.want, c.out(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
}

func read(t *testing.T, c *client, line string, v any) {
	t.Helper()
	out := c.out(line)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Errorf("%s: %v:\n%s", line, err, out)
	}
}
