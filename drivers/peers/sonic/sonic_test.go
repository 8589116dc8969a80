package sonic

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// newDevice makes a switch with ports Ethernet0 to Ethernet20, the first three in a
// VLAN, with a host on each.
func newDevice(t *testing.T, edits ...func(*Options)) (*Device, map[string]*fabric.Host) {
	t.Helper()
	fab := fabric.New()
	sw, err := fab.AddSwitch("sw")
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*fabric.Host{}
	for _, p := range []string{"Ethernet0", "Ethernet1", "Ethernet10", "Ethernet12", "Ethernet16", "Ethernet20"} {
		h, err := fab.AddHost("h" + p)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{sw.AddPort(p), h.AddPort("eth0"), fab.Connect(fabric.Link{A: fabric.End{Node: "sw", Port: p}, B: fabric.End{Node: "h" + p, Port: "eth0"}})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		hosts[p] = h
	}
	o := Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "x"}, ConfigDB: `{
		"VLAN": {"Vlan10": {}}, "PORTCHANNEL": {"PortChannel1": {}},
		"VLAN_MEMBER": {"Vlan10|Ethernet0": {"tagging_mode": "untagged"}, "Vlan10|Ethernet1": {"tagging_mode": "untagged"}, "Vlan10|Ethernet10": {"tagging_mode": "untagged"}},
		"PORTCHANNEL_MEMBER": {"PortChannel1|Ethernet20": {}},
		"INTERFACE": {"Ethernet16|192.0.2.1/24": {}}}`}
	for _, e := range edits {
		e(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, hosts
}

// TestRefusals: what sonic-utilities refuses, with its words and exit status.
func TestRefusals(t *testing.T) {
	d, _ := newDevice(t)
	x := &shell{d: d, user: "admin"}
	for _, tt := range []struct {
		line, want string // want is a part of the answer; "" = no answer
		status     int
	}{
		{"config mirror_session span add s1 Ethernet12 Ethernet10", "Root privileges are required", 1},
		{"sudo config mirror_session span add s1 Ethernet12 Ethernet10 rx", "", 0},
		{"sudo config mirror_session span add s1 Ethernet12 Ethernet10 rx", "Error: s1 already exists", 0},
		{"sudo config mirror_session span add s2 Ethernet0 Ethernet1", "Error: Destination Interface Ethernet0 has vlan config", 2},
		{"sudo config mirror_session span add s2 Ethernet20 Ethernet1", "has portchannel config", 2},
		{"sudo config mirror_session span add s2 Ethernet16 Ethernet1", "is a L3 interface", 2},
		{"sudo config mirror_session span add s2 PortChannel1 Ethernet1", "PortChannel1 is not supported", 2},
		{"sudo config mirror_session span add s2 Ethernet99 Ethernet1", "Destination Interface Ethernet99 is invalid", 2},
		{"sudo config mirror_session span add s2 Ethernet12 Ethernet99", "Source Interface Ethernet99 is invalid", 2},
		{"sudo config mirror_session span add s2 Ethernet12 Ethernet12", "can't be same as Source", 2},
		{"sudo config mirror_session span add s2 Ethernet12 Ethernet0", "Destination Interface Ethernet12 already has mirror config", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0 64 0x88be 0 Ethernet10 both", "already has mirror config in same direction", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0 64 0x88be 0 Ethernet1 rx", "Ethernet1 already has mirror config in same direction", 2}, // part of Ethernet10
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0 64 0x88be 0 Ethernet0 up", "Direction up is invalid", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 64 64", "Invalid value", 2},
		{"sudo config mirror_session erspan add s2 10.0.0 10.0.0.2 0 64", "does not appear to be an IPv4", 2},
		{"sudo config mirror_session erspan add s2 2001:db8::1 10.0.0.2 0 64", "not a valid IPv4 address", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0 64 gre", "not a valid GRE type", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0", "Missing argument", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 0 64 --truncate_size 63", "Invalid value", 2},
		{"sudo config mirror_session span add s2 Ethernet12 Ethernet0 rx 0 --truncate_size 128", "no such option", 2},
		{"sudo config mirror_session span add s2 Ethernet12 Ethernet0 rx 0 9", "unexpected extra argument", 2},
		{"sudo config mirror_session erspan add s2 10.0.0.1 10.0.0.2 8 64 0x88be 0 Ethernet0,PortChannel1 both --sample_rate 100 --truncate_size 128", "", 0},
		{"sudo config mirror_session remove nobody", "", 0},
		{"sudo config mirror_session delete s1", "No such command", 2},
		{"sudo config vlan add 20", "No such command", 2},
		{"show vlan", "No such command", 2},
		{"monitor session 1 source interface Ethernet0", "command not found", 127},
		{"sudo config mirror_session remove s1; reboot", "too simple", 2},
		{"export PAGER=cat", "", 0},
	} {
		out, status := x.run(tt.line)
		if status != tt.status || tt.want == "" && out != "" || !strings.Contains(out, tt.want) {
			t.Errorf("%s: status %d, %q; want %d, %q", tt.line, status, out, tt.status, tt.want)
		}
	}
	want := map[string]string{
		"type": "ERSPAN", "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "dscp": "8", "ttl": "64", "gre_type": "35006", "queue": "0",
		"src_port": "Ethernet0,PortChannel1", "direction": "BOTH", "sample_rate": "100", "truncate_size": "128",
	}
	if diff := cmp.Diff(want, d.Row(table, "s2")); diff != "" {
		t.Errorf("s2 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"s1", "s2"}, d.Keys(table)); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	if _, status := x.run("sudo config save -y"); status != 0 || d.StartupConfig() != d.RunningConfig() {
		t.Error("not saved")
	}
}

// TestOldImage: what older images do not know.
func TestOldImage(t *testing.T) {
	d, _ := newDevice(t, func(o *Options) { o.OldImage = true })
	x := &shell{d: d, user: "root"}
	if out, status := x.run("config mirror_session erspan add s 10.0.0.1 10.0.0.2 0 64 --sample_rate 100"); status != 2 || !strings.Contains(out, "no such option: --sample_rate") {
		t.Errorf("%d %q", status, out)
	}
	if out, _ := x.run("show mirror_session"); strings.Contains(out, "Truncate Size") {
		t.Errorf("%s", out)
	}
	if x.prompt() != "root@leaf1:~# " {
		t.Errorf("prompt %q", x.prompt())
	}
}

// TestFrames: directions, and sessions that do not run.
func TestFrames(t *testing.T) {
	d, hosts := newDevice(t, func(o *Options) {
		o.Reachable = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		o.MaxSessions = 2
	})
	x := &shell{d: d, user: "root"}
	copies := func() int {
		t.Helper()
		hosts["Ethernet12"].ResetCapture()
		frame := append([]byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, make([]byte, 60)...)
		if err := hosts["Ethernet0"].Send("eth0", frame); err != nil {
			t.Fatal(err)
		}
		return len(hosts["Ethernet12"].Captured("eth0"))
	}
	for _, tt := range []struct {
		lines []string
		want  int
		show  string
	}{
		{nil, 0, "SPAN Sessions"},
		{[]string{"config mirror_session span add m Ethernet12 Ethernet0 rx"}, 1, "active"},
		{[]string{"config mirror_session remove m", "config mirror_session span add m Ethernet12 Ethernet0 tx"}, 0, "tx"},
		{[]string{"config mirror_session remove m", "config mirror_session span add m Ethernet12 Ethernet0,Ethernet1"}, 2, "both"},
		{[]string{"config mirror_session erspan add a 192.0.2.1 192.0.2.9 0 64", "config mirror_session erspan add b 192.0.2.1 10.0.0.9 0 64"}, 0, "error"}, // m is one too many
	} {
		for _, l := range tt.lines {
			if out, status := x.run(l); out != "" || status != 0 {
				t.Fatalf("%s: %d %q", l, status, out)
			}
		}
		if got := copies(); got != tt.want {
			t.Errorf("after %q: %d copies, want %d", tt.lines, got, tt.want)
		}
		if out, _ := x.run("show mirror_session"); !strings.Contains(out, tt.show) {
			t.Errorf("after %q:\n%s", tt.lines, out)
		}
	}
	out, _ := x.run("show mirror_session")
	for _, want := range []string{"a       inactive", "b       active", "m       error"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
