package hostmirror

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Names of links are kept on hosts: another name for a session means that its link is no
// longer found.
func TestLinkName(t *testing.T) {
	h := hashOf(host, "sp-a")
	in, out := linkName(h, tcnl.Ingress), linkName(h, tcnl.Egress)
	if in != "span-bd4exxtrja" || out != "span-bd4exxtr-t" {
		t.Errorf("names %q and %q", in, out)
	}
	for _, name := range []string{in, out} {
		got, ok := hashOfLink(name)
		if !ok || linkName(got, tcnl.Ingress) != name && linkName(got, tcnl.Egress) != name {
			t.Errorf("%s: read as %x, %t", name, got, ok)
		}
	}
	for _, name := range []string{"", "span-", "span-UPPER", "eth0", "span-0000000000", "span-toolongforone"} {
		if _, ok := hashOfLink(name); ok {
			t.Errorf("%q is read as a name of ours", name)
		}
	}
	ports := []string{in, out, "m0"}
	if d := cmp.Diff([]string{in, "m0"}, targetsOf(ports, tcnl.Ingress)); d != "" {
		t.Errorf("received (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{out, "m0"}, targetsOf(ports, tcnl.Egress)); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{out}, targetsOf([]string{out}, tcnl.Ingress)); d != "" {
		t.Errorf("one alone (-want +got):\n%s", d)
	}
}

func TestAlias(t *testing.T) {
	for _, a := range []asked{
		{}, {ttl: true}, {oversize: models.OversizeFragment}, {truncate: 128}, {true, models.OversizeTruncate, 200},
	} {
		ses := models.Session{Name: "sp-a ttl=64x", TruncateTo: a.truncate, Destination: models.Destination{
			Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Oversize: a.oversize},
		}}
		if a.ttl {
			ses.Destination.Tunnel.TTL = defaultTTL
		}
		name, got, ok := readAlias(aliasOf(ses))
		if !ok || name != ses.Name || got != a {
			t.Errorf("%q is read as %q %+v", aliasOf(ses), name, got)
		}
	}
	if _, _, ok := readAlias("somebody's"); ok {
		t.Error("a foreign alias is read")
	}
}

// What the way to the collector does not carry is refused with the numbers, unless the
// session says what shall become of it.
func TestUnderlay(t *testing.T) {
	erspan := func(f func(*models.Tunnel)) models.Destination {
		d := models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: 2}}
		f(d.Tunnel)
		return d
	}
	over6 := func(t *models.Tunnel) {
		t.Source, t.Destination = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9")
	}
	vxlan := func(d models.Destination) models.Destination {
		d.Kind, d.Tunnel.Version, d.Tunnel.VNI = models.DestinationVXLAN, 0, 5
		return d
	}
	tests := []struct {
		name string
		to   models.Destination
		way  underlay
		want string // part of the error; "" = none
		mtu  int    // of the link
	}{
		{"wide enough", erspan(func(*models.Tunnel) {}), underlay{Route: linknl.Route{Dev: "m0", MTU: 1554}}, "", 9000},
		{"a byte too narrow", erspan(func(*models.Tunnel) {}), underlay{Route: linknl.Route{Dev: "m0", MTU: 1553}},
			"up to 1518 bytes (MTU 1500, with a VLAN tag), which are 1554 with the 36 around them; the way to 192.0.2.9 by m0 takes 1553: raise its MTU to 1554, or choose oversize truncate, which keeps 1517 bytes of a frame, or choose oversize fragment", 0},
		{"cut", erspan(func(t *models.Tunnel) { t.Oversize = models.OversizeTruncate }), underlay{Route: linknl.Route{Dev: "m0", MTU: 1500}}, "", 1450},
		{"cut, without need", erspan(func(t *models.Tunnel) { t.Oversize = models.OversizeTruncate }), underlay{Route: linknl.Route{Dev: "m0", MTU: 9000}}, "", 9000},
		{"in pieces", erspan(func(t *models.Tunnel) { t.Oversize = models.OversizeFragment }), underlay{Route: linknl.Route{Dev: "m0", MTU: 1500}}, "", 9000},
		{"over IPv6 it harms", erspan(over6), underlay{Route: linknl.Route{Dev: "m0", MTU: 1500}}, "the kernel would tell the senders of production packets", 0},
		{"over IPv6 cut", erspan(func(t *models.Tunnel) { over6(t); t.Oversize = models.OversizeTruncate }), underlay{Route: linknl.Route{Dev: "m0", MTU: 1500}}, "", 1430},
		{"VXLAN over IPv6 is lost", vxlan(erspan(over6)), underlay{Route: linknl.Route{Dev: "m0", MTU: 1500}}, "would be lost", 0},
		{"no way", erspan(func(*models.Tunnel) {}), underlay{err: "no route"}, "192.0.2.9 cannot be reached", 0},
		{"this host", erspan(func(*models.Tunnel) {}), underlay{Route: linknl.Route{Dev: "lo", MTU: 65536, Local: true}}, "is an address of this host", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			ses := models.Session{Device: host, Name: "sp-a", Sources: []models.Source{port("r0", models.Rx)}, Destination: tt.to}.Normalize()
			s.routes = map[ends]underlay{{ses.Destination.Tunnel.Source, ses.Destination.Tunnel.Destination}: tt.way}
			script, err := render(host, s, kernel{kind: tcnl.MatchAll, method: MethodTC}, create(ses))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range script.Steps {
				o, err := parseOperation(step.Text)
				if err != nil {
					t.Error(err)
				}
				if o.Verb == addLink && o.Link.MTU != tt.mtu {
					t.Errorf("MTU %d, want %d", o.Link.MTU, tt.mtu)
				}
			}
		})
	}
}

// A guard sits where the outer packets pass a mirrored port, be it below the interface
// that the route names, and comes before the first copy.
func TestGuardPlaces(t *testing.T) {
	tunnel := models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9")}}
	const guard = "tc filter add dev r0 egress pref 21327 protocol all u32 match u8 0x40 0xf0 at 0 match ip protocol 47 0xff match ip dst 192.0.2.9/32 classid 5350:45"
	for _, tt := range []struct {
		name   string
		out    int // interface that the route names
		source models.Source
		want   bool
	}{
		{"the port itself", 1, port("r0", models.Tx), true},
		{"the bridge above it", 8, port("r0", models.Tx), true},
		{"the VLAN above it", 7, port("r0", models.Both), true},
		{"received only", 1, port("r0", models.Rx), false},
		{"another port", 3, port("r0", models.Tx), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.routes = map[ends]underlay{{tunnel.Tunnel.Source, tunnel.Tunnel.Destination}: {Route: linknl.Route{Ifindex: tt.out, Dev: "x", MTU: 9000}}}
			ses := models.Session{Device: host, Name: "sp-a", Sources: []models.Source{tt.source}, Destination: tunnel}.Normalize()
			script, err := render(host, s, kernel{kind: tcnl.MatchAll, method: MethodTC}, create(ses))
			if err != nil {
				t.Fatal(err)
			}
			found, copies := -1, -1
			for i, text := range texts(script) {
				if text == guard {
					found = i
				}
				if strings.Contains(text, "mirred") && copies < 0 {
					copies = i
				}
			}
			if (found >= 0) != tt.want || tt.want && found > copies {
				t.Errorf("guard %d, first copy %d in %q", found, copies, texts(script))
			}
		})
	}
}

// Steps about links are read as they are written, and nothing near to them.
func TestLinkOperations(t *testing.T) {
	for _, line := range []string{
		"ip link del dev span-x # group 0x5350414e type erspan",
		"tc filter add dev span-x ingress pref 1 protocol all bpf bytecode '1,6 0 0 2' direct-action",
		"tc filter add dev r0 ingress pref 21326 protocol all u32 match u8 0x60 0xf0 at 0 match ip6 protocol 17 0xff match ip6 dst 2001:db8::9/128 match ip6 dport 4789 0xffff classid 5350:49",
		"tc filter del dev r0 egress pref 21327 protocol all handle 800::800 u32 # guard 192.0.2.9 gre",
		"tc filter del dev r0 egress pref 21327 protocol all handle 800::801 u32 # guard 2001:db8::9 udp 4789",
	} {
		o, err := parseOperation(line)
		if err != nil || o.String() != line {
			t.Errorf("%q is read as %q, %v", line, o, err)
		}
	}
	for _, line := range []string{
		"ip link del dev eth0 # group 0x5350414e type erspan",
		"ip link del dev span-x",
		"ip link del dev span-x # group 0x0 type erspan",
		"tc filter add dev eth0 ingress pref 1 protocol all bpf bytecode '1,6 0 0 2' direct-action",
		"tc filter add dev span-x ingress pref 1 protocol all bpf bytecode '1,6 0 0 0' direct-action",
		"tc filter add dev r0 egress pref 21328 protocol all u32 match u8 0x40 0xf0 at 0 match ip protocol 47 0xff match ip dst 192.0.2.9/32 classid 5350:45",
		"tc filter add dev r0 egress pref 21327 protocol all u32 match u8 0x40 0xf0 at 0 match ip protocol 47 0xff match ip dst 192.0.2.0/24 classid 5350:45",
		"tc filter del dev r0 egress pref 21327 protocol all handle 800::800 u32 # guard nobody gre",
	} {
		if o, err := parseOperation(line); err == nil {
			t.Errorf("%q is read as %+v", line, o)
		}
	}
}
