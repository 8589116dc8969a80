package ovs_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/internal/require"
)

// switchOS is a front end: it takes a vendor's lines.
type switchOS interface{ Configure(lines ...string) error }

// bed is two switches with a trunk between them and a host on each other port. h9 on
// the second has the address to which tunnels lead.
type bed struct {
	fab   *fabric.Fabric
	sw    [2]*fabric.Switch
	front [2]switchOS
	hosts map[string]*fabric.Host
}

// hostPorts are the ports of each switch that have hosts; the one behind them leads to
// the other switch.
const hostPorts = 4

// newBed makes a bed of a vendor's switches, whose frames are forwarded by the model or,
// where real is set, by Open vSwitch.
func newBed(t testing.TB, vendor string, real *ovs.Switch) *bed {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	port := map[string]string{"eos": "Ethernet%d", "iosxe": "GigabitEthernet1/0/%d"}[vendor]
	b := &bed{fab: fabric.New(), hosts: map[string]*fabric.Host{}}
	for i := range b.sw {
		name := fmt.Sprint("sw", i+1)
		sw, err := b.fab.AddSwitch(name)
		must(err)
		for n := 1; n <= hostPorts+1; n++ {
			must(sw.AddPort(fmt.Sprintf(port, n)))
		}
		for n := 1; n <= hostPorts; n++ {
			h, err := b.fab.AddHost(fmt.Sprintf("h%d%d", i+1, n))
			must(err)
			var addrs []netip.Prefix
			if h.Name() == "h24" {
				addrs = append(addrs, netip.MustParsePrefix("192.0.2.9/24"))
			}
			must(h.AddPort("eth1", addrs...))
			must(b.fab.Connect(fabric.Link{A: fabric.End{Node: name, Port: fmt.Sprintf(port, n)}, B: fabric.End{Node: h.Name(), Port: "eth1"}}))
			b.hosts[h.Name()] = h
		}
		b.sw[i] = sw
	}
	must(b.fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: fmt.Sprintf(port, hostPorts+1)}, B: fabric.End{Node: "sw2", Port: fmt.Sprintf(port, hostPorts+1)}}))
	for i, sw := range b.sw {
		if real != nil {
			p, err := real.NewPlane(sw.Ports())
			must(err)
			must(sw.SetDataPlane(p))
		}
		users := map[string]string{"admin": "right"}
		switch vendor {
		case "eos":
			d, err := eos.New(eos.Options{Hostname: sw.Name(), Switch: sw, Users: users})
			must(err)
			t.Cleanup(d.Close)
			b.front[i] = d
		case "iosxe":
			d, err := iosxe.New(iosxe.Options{Hostname: sw.Name(), Switch: sw, Users: users})
			must(err)
			t.Cleanup(d.Close)
			b.front[i] = d
		}
	}
	return b
}

// frame is an IPv4 frame from one host to another, tagged where vlan is not 0.
func (b *bed) frame(from, to string, vlan uint16, number byte, n int) []byte {
	d, s := b.hosts[to].MAC("eth1"), b.hosts[from].MAC("eth1")
	f := append(d[:], s[:]...)
	if vlan != 0 {
		f = binary.BigEndian.AppendUint16(append(f, 0x81, 0x00), vlan)
	}
	f = append(f, 0x08, 0x00, 0x45, 0, byte((n-14)>>8), byte(n-14), 0, number, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x80, 0, 0, 80, 0, 0, 0, 0)
	return append(f, make([]byte, max(0, n-len(f)))...)
}

// traffic sends the same frames each time and gives what every host received.
func (b *bed) traffic(t testing.TB, vlan uint16) map[string][]string {
	t.Helper()
	send := func(from, to string, number byte, n int) {
		t.Helper()
		if err := b.hosts[from].Send("eth1", b.frame(from, to, vlan, number, n)); err != nil {
			t.Fatal(err)
		}
	}
	// The addresses are learned first: what floods before is no matter of mirrors.
	for _, p := range [][2]string{{"h11", "h12"}, {"h12", "h11"}, {"h21", "h11"}, {"h11", "h21"}} {
		send(p[0], p[1], 0, 60)
	}
	for _, h := range b.hosts {
		h.ResetCapture()
	}
	for i := range 3 {
		send("h11", "h12", byte(i), 60+100*i)
		send("h12", "h11", byte(10+i), 60+100*i)
		send("h11", "h21", byte(20+i), 60+100*i)
		send("h21", "h11", byte(30+i), 60+100*i)
	}
	// One that floods: nobody has this address.
	f := b.frame("h12", "h11", vlan, 40, 100)
	copy(f, []byte{2, 0xff, 0xff, 0xff, 0xff, 0xff})
	if err := b.hosts["h12"].Send("eth1", f); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for name, h := range b.hosts {
		for _, c := range h.Captured("eth1") {
			got[name] = append(got[name], fmt.Sprintf("%x", comparable(c.Frame)))
		}
	}
	return got
}

// comparable takes out of a tunnel packet what is each sender's own affair: the outer
// Ethernet addresses, the identification and checksum of IP, the GRE sequence number,
// and of ERSPAN the timestamp and the VLAN, which Open vSwitch does not fill in.
func comparable(f []byte) []byte {
	f = append([]byte{}, f...)
	if len(f) < 38 || f[12] != 0x08 || f[13] != 0 || f[23] != 47 {
		return f
	}
	clear(f[:12])   // addresses of the next hop
	clear(f[18:20]) // identification
	clear(f[24:26]) // checksum
	if f[34]&0x10 != 0 {
		clear(f[38:42]) // sequence, without a key before it
	}
	erspan3 := f[36] == 0x22 && f[37] == 0xeb
	if erspan3 || f[36] == 0x88 && f[37] == 0xbe {
		f[42], f[43] = f[42]&0xf0, 0
	}
	if erspan3 {
		clear(f[46:50]) // timestamp
	}
	return f
}

// TestBothPlanes sends the same frames through the packet model and through Open
// vSwitch, below the same lines of the same front end: every host receives the same
// frames in the same order, byte for byte.
func TestBothPlanes(t *testing.T) {
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	tests := []struct {
		vendor, name string
		one, two     string // lines of the two switches
		vlan         uint16 // of the frames' tags
		sink         string
		copies       int
	}{
		{"eos", "no mirror", "", "", 0, "h14", 1},
		{"eos", "rx", "monitor session a source Ethernet1 rx|monitor session a destination Ethernet4", "", 0, "h14", 6},
		{"eos", "tx", "monitor session a source Ethernet1 tx|monitor session a destination Ethernet4", "", 0, "h14", 7},
		{"eos", "both", "monitor session a source Ethernet1|monitor session a destination Ethernet4", "", 0, "h14", 13},
		{"eos", "truncated", "monitor session a source Ethernet1|monitor session a destination Ethernet4|monitor session a truncate|monitor session a truncate size 64", "", 0, "h14", 13},
		{"eos", "two destinations", "monitor session a source Ethernet1 rx|monitor session a destination Ethernet3|monitor session a destination Ethernet4", "", 0, "h13", 6},
		{"eos", "two sessions", "monitor session a source Ethernet1 rx|monitor session a destination Ethernet4|monitor session b source Ethernet2 tx|monitor session b destination Ethernet3", "", 0, "h13", 3},
		{"eos", "the trunk between", "interface Ethernet5|switchport mode trunk|monitor session a source Ethernet5|monitor session a destination Ethernet4", "interface Ethernet5|switchport mode trunk", 0, "h14", 7},
		{"eos", "tagged frames", "vlan 10|interface Ethernet1-5|switchport mode trunk|exit|monitor session a source Ethernet1|monitor session a destination Ethernet4", "vlan 10|interface Ethernet1-5|switchport mode trunk", 10, "h14", 13},
		{"eos", "gre", "monitor session a source Ethernet1 rx|monitor session a destination tunnel mode gre source 198.51.100.1 destination 192.0.2.9 ttl 33 dscp 10 protocol 0x6558", "", 0, "h24", 7},
		{"iosxe", "native copies of tagged frames", "vlan 10|interface range Gi1/0/1 - 5|switchport mode trunk|monitor session 1 source interface Gi1/0/1|monitor session 1 destination interface Gi1/0/4", "vlan 10|interface range Gi1/0/1 - 5|switchport mode trunk", 10, "h14", 13},
		{"iosxe", "replicated", "vlan 10|interface range Gi1/0/1 - 5|switchport mode trunk|monitor session 1 source interface Gi1/0/1|monitor session 1 destination interface Gi1/0/4 encapsulation replicate", "vlan 10|interface range Gi1/0/1 - 5|switchport mode trunk", 10, "h14", 13},
		{"iosxe", "VLAN", "monitor session 1 source vlan 1 rx|monitor session 1 destination interface Gi1/0/4", "", 0, "h14", 13},
		{"iosxe", "RSPAN", "vlan 900|remote-span|interface Gi1/0/5|switchport mode trunk|monitor session 1 source interface Gi1/0/1|monitor session 1 destination remote vlan 900",
			"vlan 900|remote-span|interface Gi1/0/5|switchport mode trunk|monitor session 1 source remote vlan 900|monitor session 1 destination interface Gi1/0/3", 0, "h23", 13},
		{"iosxe", "ERSPAN", "monitor session 1 type erspan-source|no shutdown|source interface Gi1/0/1 rx|destination|erspan-id 100|ip address 192.0.2.9|origin ip address 198.51.100.1", "", 0, "h24", 7},
	}
	real, err := ovs.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := real.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range tests {
		t.Run(tt.vendor+" "+tt.name, func(t *testing.T) {
			var got [2]map[string][]string
			for i, plane := range []*ovs.Switch{nil, real} {
				b := newBed(t, tt.vendor, plane)
				for j, lines := range []string{tt.one, tt.two} {
					if lines == "" {
						continue
					}
					if err := b.front[j].Configure(strings.Split(lines, "|")...); err != nil {
						t.Fatal(err)
					}
				}
				got[i] = b.traffic(t, tt.vlan)
			}
			if n := len(got[0][tt.sink]); n != tt.copies {
				t.Errorf("%d frames at the sink; want %d", n, tt.copies)
			}
			if d := cmp.Diff(got[0], got[1]); d != "" {
				t.Errorf("the hosts received other frames (-model +Open vSwitch):\n%s", d)
			}
		})
	}
}

// TestPlaneRefuses: what Open vSwitch cannot do is an error to the front end, and leaves
// everything as it was.
func TestPlaneRefuses(t *testing.T) {
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	real, err := ovs.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	b := newBed(t, "eos", real)
	if err := b.front[0].Configure("monitor session a source Ethernet1 rx", "monitor session a destination Ethernet4"); err != nil {
		t.Fatal(err)
	}
	for lines, want := range map[string]string{
		"monitor session b source Ethernet2|monitor session b destination tunnel mode gre source 198.51.100.1 destination 192.0.2.9": "ERSPAN of type I",
		"monitor session a sample 10":                                                 "sampling",
		"monitor session a header remove size 4":                                      "removal of headers",
		"ip access-list L|permit ip any any|exit|monitor session a ip access-group L": "a filter",
		"interface Ethernet2-3|channel-group 1 mode on":                               "member of Port-Channel1",
		"vlan 10|interface Ethernet2|switchport mode trunk|interface Ethernet3|switchport access vlan 10|exit|monitor session a source Ethernet2-3": "look different on the wire",
	} {
		err := b.front[0].Configure(strings.Split(lines, "|")...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v; want %q", lines, err, want)
		}
	}
	if n := len(b.traffic(t, 0)["h14"]); n != 6 {
		t.Errorf("%d copies after all refusals; want the 6 of before", n)
	}
	if p, ok := b.sw[0].Counters("Ethernet4"); !ok || p.Out.Frames == 0 {
		t.Errorf("counters of the destination: %+v", p)
	}
	if c, _ := b.sw[0].MirrorCounters("a"); c.Copied < 6 || c.Dropped != 0 {
		t.Errorf("counters of the mirror: %+v", c)
	}
	learned := map[string]bool{}
	for _, e := range b.sw[0].MACs() {
		learned[e.MAC.String()+" "+e.Port] = true
	}
	if mac := b.hosts["h11"].MAC("eth1"); !learned[mac.String()+" Ethernet1"] {
		t.Errorf("h11 is not among the learned addresses: %v", learned)
	}
	b.sw[0].ClearMACs()
	if left := b.sw[0].MACs(); len(left) != 0 {
		t.Errorf("learned after they were forgotten: %v", left)
	}
}

// TestPlaneDiffers holds what the two planes do not do alike: a frame that comes in on
// one source and leaves by another.
func TestPlaneDiffers(t *testing.T) {
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	real, err := ovs.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	for plane, want := range map[*ovs.Switch]int{nil: 13 + 7, real: 13} {
		b := newBed(t, "eos", plane)
		if err := b.front[0].Configure("monitor session a source Ethernet1", "monitor session a source Ethernet2", "monitor session a destination Ethernet4"); err != nil {
			t.Fatal(err)
		}
		if n := len(b.traffic(t, 0)["h14"]); n != want {
			t.Errorf("%d copies (Open vSwitch: %v); want %d", n, plane != nil, want)
		}
	}
}

// TestPlaneLinks: a port whose cable is cut sends nothing, and is not mirrored as if it
// did.
func TestPlaneLinks(t *testing.T) {
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	real, err := ovs.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	for _, plane := range []*ovs.Switch{nil, real} {
		b := newBed(t, "eos", plane)
		if err := b.front[0].Configure("monitor session a source Ethernet3 tx", "monitor session a destination Ethernet4"); err != nil {
			t.Fatal(err)
		}
		for _, up := range []bool{true, false, true} {
			if err := b.fab.SetLink(fabric.End{Node: "sw1", Port: "Ethernet3"}, up); err != nil {
				t.Fatal(err)
			}
			want := map[bool]int{true: 1, false: 0}[up] // the frame that floods
			got := b.traffic(t, 0)
			if len(got["h13"]) != want || len(got["h14"]) != want {
				t.Errorf("Open vSwitch: %v, up: %v: %d frames and %d copies; want %d", plane != nil, up, len(got["h13"]), len(got["h14"]), want)
			}
		}
	}
}
