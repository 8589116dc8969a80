package hostmirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// tunnelBed is a bed whose host reaches a collector by its port u0. The collector's
// port is u1. Addresses are known on both ends, so that nothing is asked for on the wire.
type tunnelBed struct {
	*bed
	collector *kerneltest.NS
}

var (
	host4, host6           = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	collector4, collector6 = netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8::9")
)

func newTunnelBed(t *testing.T, mtu int, foreign ...string) *tunnelBed {
	t.Helper()
	kerneltest.NeedIproute(t)
	b := &tunnelBed{bed: newBed(t), collector: kerneltest.NewNS(t)}
	kerneltest.Veth(t, b.host, "u0", b.collector, "u1")
	b.host.Settle("u0")
	b.host.Batch("ip",
		fmt.Sprintf("link set dev u0 mtu %d", mtu),
		fmt.Sprintf("address add %s/24 dev u0", host4), fmt.Sprintf("address add %s/64 dev u0 nodad", host6),
		fmt.Sprintf("neighbour add %s lladdr %s dev u0", collector4, hardware(t, b.collector, "u1")),
		fmt.Sprintf("neighbour add %s lladdr %s dev u0", collector6, hardware(t, b.collector, "u1")),
	)
	b.collector.Run(fmt.Sprintf("ip link set dev u1 mtu %d", mtu))
	// A qdisc of ours is never removed: those that will be needed are there at the start.
	for _, dev := range []string{"r0", "r1", "u0"} {
		if slices.Contains(foreign, dev) {
			b.foreigners(dev)
		} else {
			b.host.Run("tc qdisc add dev " + dev + " clsact")
		}
	}
	return b
}

// everything is, byte for byte, what ip says of all links and tc of the ports.
func (b *tunnelBed) everything() string {
	b.t.Helper()
	return b.host.Objects("r0", "r1", "m0", "m1", "br0", "u0") + b.host.Run("ip -j address show")
}

// try is b.to that skips the test where the kernel has no links of the kind.
func (b *tunnelBed) try(m *Mirror, ses models.Session) {
	b.t.Helper()
	cp := b.plan(m, ses)
	err := m.Apply(b.t.Context(), cp)
	spec, _ := specOf(ses)
	var e *drivers.Error
	require.Need(b.t, spec.TypeWord(), !errors.As(err, &e) || e.Kind != drivers.Unsupported, fmt.Sprint(err))
	if err != nil {
		b.t.Fatal(err)
	}
	if again := b.plan(m, ses); !again.Script.Empty() {
		b.t.Errorf("a second plan is not empty: %q\n%+v", texts(again.Script), again.Changes)
	}
}

func tunnelTo(kind models.DestinationKind, v6 bool, f func(*models.Tunnel)) models.Destination {
	t := &models.Tunnel{Source: host4, Destination: collector4}
	if v6 {
		t.Source, t.Destination = host6, collector6
	}
	f(t)
	return models.Destination{Kind: kind, Tunnel: t}
}

func into(name string, d models.Destination, sources ...models.Source) models.Session {
	return models.Session{Device: host, Name: name, Sources: sources, Destination: d}.Normalize()
}

func wrapped(v6 bool, f func(*wrapper)) wrapper {
	w := wrapper{Src: host4, Dst: collector4, TTL: 64, Key: -1}
	if v6 {
		w.Src, w.Dst = host6, collector6
	}
	f(&w)
	return w
}

// Each kind of tunnel carries each frame once and whole, with the header that the session
// asks for; it is read back as it was asked for; and its end leaves nothing.
func TestTunnelDestinations(t *testing.T) {
	erspan := func(version uint8, session uint16) func(*models.Tunnel) {
		return func(t *models.Tunnel) { t.Version, t.SessionID = version, session }
	}
	type row struct {
		name string
		to   models.Destination
		want wrapper
	}
	var rows []row
	for _, v6 := range []bool{false, true} {
		over := map[bool]string{false: " over IPv4", true: " over IPv6"}[v6]
		rows = append(rows,
			row{"ERSPAN II" + over, tunnelTo(models.DestinationERSPAN, v6, erspan(2, 100)), wrapped(v6, func(w *wrapper) { w.Kind, w.Version, w.Session = "gre 88be", 1, 100 })},
			row{"ERSPAN III" + over, tunnelTo(models.DestinationERSPAN, v6, erspan(3, 1023)), wrapped(v6, func(w *wrapper) { w.Kind, w.Version, w.Session = "gre 22eb", 2, 1023 })},
			row{"GRE" + over, tunnelTo(models.DestinationGRE, v6, func(t *models.Tunnel) { t.TTL, t.DSCP = 17, 10 }),
				wrapped(v6, func(w *wrapper) { w.Kind, w.TTL, w.DSCP = "gre 6558", 17, 10 })},
			row{"GRE with a key" + over, tunnelTo(models.DestinationGRE, v6, func(t *models.Tunnel) { t.Key, t.TTL = 77, 64 }),
				wrapped(v6, func(w *wrapper) { w.Kind, w.Key = "gre 6558", 77 })},
			row{"VXLAN" + over, tunnelTo(models.DestinationVXLAN, v6, func(t *models.Tunnel) { t.VNI, t.TTL, t.DSCP = 5000, 255, 46 }),
				wrapped(v6, func(w *wrapper) { w.Kind, w.VNI, w.TTL, w.DSCP = "udp 4789", 5000, 255, 46 })},
		)
	}
	rows = append(rows, row{"ERSPAN I over IPv4", tunnelTo(models.DestinationERSPAN, false, erspan(1, 0)), wrapped(false, func(w *wrapper) { w.Kind = "gre 88be" })})
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			b := newTunnelBed(t, 1700, "r0")
			before := b.everything()
			m := b.open("")
			ses := into("sp-tunnel", tt.to, port("r0", models.Both))
			b.try(m, ses)
			wire := b.collector.CaptureAll("u1")
			left, right := b.flow("t", 5)
			n := wire.Counts(map[string]int{"t-left": left, "t-right": right})
			if got, want := n, map[string]int{"t-left": left, "t-right": right}; !cmp.Equal(got, want) {
				t.Errorf("copies %v, want %v", got, want)
			}
			for mark, sent := range map[string]bool{"t-left": false, "t-right": true} {
				whole := kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 128)
				want := tt.want
				want.Sent = sent && want.Version == 2
				for _, f := range wire.Received(mark) {
					w, inner, err := unwrap(f.Data)
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(want, w, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
						t.Errorf("%s (-want +got):\n%s", mark, d)
					}
					if !bytes.Equal(inner, whole) {
						t.Errorf("%s: the copy is\n% x, want\n% x", mark, inner, whole)
					}
				}
			}
			st, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range st.Sessions {
				if s.Name == ses.Name && s.Status.State == models.OperDown {
					t.Errorf("status %+v", s.Status)
				}
			}
			b.to(m)
			if d := cmp.Diff(before, b.everything()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

// Copies stay on the host: a capture on the link sees them, and nothing is sent on.
func TestCaptureDestination(t *testing.T) {
	b := newTunnelBed(t, 1500)
	before := b.everything()
	m := b.open("")
	ses := into("sp-capture", models.Destination{Kind: models.DestinationCapture}, port("r0", models.Both))
	b.try(m, ses)
	seen := b.host.Capture(linkName(hashOf(host, ses.Name), 1))
	wire := b.collector.CaptureAll("u1")
	left, right := b.flow("c", 5)
	wire.Counts(map[string]int{"c-left": 0})
	if l, r := len(seen.Sent("c-left")), len(seen.Sent("c-right")); l != left || r != right {
		t.Errorf("captured %d and %d frames, want %d and %d", l, r, left, right)
	}
	if n := len(wire.Received("c-left")) + len(wire.Received("c-right")); n != 0 {
		t.Errorf("%d frames left the host", n)
	}
	b.to(m)
	if d := cmp.Diff(before, b.everything()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// Copies leave with the tag of the RSPAN VLAN and their own tag inside; frames of that
// VLAN that come in do not reach the host, whose stack else takes them for its own.
func TestRSPANSource(t *testing.T) {
	b := newTunnelBed(t, 1504)
	before := b.everything()
	m := b.open("")
	ses := into("sp-rspan", models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900, Ports: []string{"u0"}}, port("r0", models.Rx))
	b.try(m, ses)
	wire := b.collector.Capture("u1")
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "plain", 0, 128), 3)
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "tagged", 7, 128), 4)
	n := wire.Counts(map[string]int{"plain": 3, "tagged": 4})
	if n["plain"] != 3 || n["tagged"] != 4 {
		t.Errorf("copies %v, want 3 and 4", n)
	}
	for _, mark := range []string{"plain", "tagged"} {
		for _, f := range wire.Received(mark) {
			inside := bytes.Contains(f.Data[:18], []byte{0x81, 0x00, 0, 7})
			if f.VLAN&0xfff != 900 || inside != (mark == "tagged") {
				t.Errorf("%s: outer VLAN %d, % x", mark, f.VLAN&0xfff, f.Data)
			}
		}
	}
	// The host answers a ping of its address; not one that comes in by the VLAN.
	name := linkName(hashOf(host, ses.Name), 1)
	heard := b.host.CaptureAll(name)
	b.host.Run("ip address add 203.0.113.1/24 dev lo")
	answers := b.collector.CaptureAll("u1")
	arp := func(vlan uint16) []byte {
		f := kerneltest.TestFrame(kerneltest.Broadcast, "", vlan, 64)
		at := 12
		if vlan != 0 {
			at = 16
		}
		copy(f[at:], []byte{0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 203, 0, 113, 2, 0, 0, 0, 0, 0, 0, 203, 0, 113, 1})
		return f
	}
	asked := func(frames []kerneltest.Frame) int {
		n := 0
		for _, f := range frames {
			if bytes.Contains(f.Data, []byte{0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2}) {
				n++
			}
		}
		return n
	}
	b.collector.Send("u1", arp(900), 5)
	heard.Counts(map[string]int{"": 1})
	if n := asked(answers.Received("")); n != 0 {
		t.Errorf("the host answers %d requests that came in by the RSPAN VLAN", n)
	}
	b.collector.Send("u1", arp(0), 5)
	answers.Counts(map[string]int{"": 1})
	if asked(answers.Received("")) == 0 {
		t.Error("the host answers nobody: the test shows nothing")
	}
	b.host.Run("ip address del 203.0.113.1/24 dev lo")
	b.to(m)
	if d := cmp.Diff(before, b.everything()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// Frames of the RSPAN VLAN that come in by the trunk go to the port; others do not.
func TestRSPANDestination(t *testing.T) {
	b := newTunnelBed(t, 1504)
	before := b.everything()
	m := b.open("")
	ses := models.Session{
		Device: host, Name: "sp-rspan-rx", Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"m0"}},
		Sources: []models.Source{{Kind: models.SourceRemoteVLAN, Name: "u0", VLAN: 900, Direction: models.Rx}},
	}.Normalize()
	b.to(m, ses)
	sensor := b.sensor.Capture("c0")
	for vlan, mark := range map[uint16]string{900: "in", 901: "other", 0: "none"} {
		b.collector.Send("u1", kerneltest.TestFrame(kerneltest.Broadcast, mark, vlan, 128), 5)
	}
	n := sensor.Counts(map[string]int{"in": 5, "other": 0, "none": 0})
	if d := cmp.Diff(map[string]int{"in": 5, "other": 0, "none": 0}, n); d != "" {
		t.Errorf("copies (-want +got):\n%s", d)
	}
	b.to(m)
	if d := cmp.Diff(before, b.everything()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// Two sessions can send alike to one collector, which two links without keys of their
// own could not: such are the sessions of a sensor.
func TestTwoSessionsToOneCollector(t *testing.T) {
	for name, to := range map[string]models.Destination{
		"GRE":           tunnelTo(models.DestinationGRE, false, func(*models.Tunnel) {}),
		"ERSPAN II":     tunnelTo(models.DestinationERSPAN, false, func(t *models.Tunnel) { t.Version = 2 }),
		"GRE over IPv6": tunnelTo(models.DestinationGRE, true, func(*models.Tunnel) {}),
	} {
		t.Run(name, func(t *testing.T) {
			b := newTunnelBed(t, 1700)
			m := b.open("")
			a := into("sp-a", to, port("r0", models.Rx))
			b.try(m, a)
			b.to(m, a, into("sp-b", to, port("r1", models.Rx)))
			wire := b.collector.CaptureAll("u1")
			left, right := b.flow("two", 3)
			n := wire.Counts(map[string]int{"two-left": left, "two-right": right})
			if n["two-left"] != left || n["two-right"] != right {
				t.Errorf("copies %v, want %d and %d", n, left, right)
			}
			b.to(m)
		})
	}
}

// A route to the collector by a mirrored port: each copy has one wrapper, with the guard;
// without it there are more, so that the guard is what keeps them away.
func TestGuard(t *testing.T) {
	tests := []struct {
		name string
		to   models.Destination
		self *models.Destination // for a session that mirrors the port of the way itself
	}{
		{"VXLAN", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 7 }), nil},
		{"VXLAN over IPv6", tunnelTo(models.DestinationVXLAN, true, func(t *models.Tunnel) { t.VNI = 7 }), nil},
		{"ERSPAN II", tunnelTo(models.DestinationERSPAN, false, func(t *models.Tunnel) { t.Version = 2 }), new(
			tunnelTo(models.DestinationERSPAN, false, func(t *models.Tunnel) { t.Version, t.Oversize = 2, models.OversizeTruncate }))},
		{"GRE", tunnelTo(models.DestinationGRE, false, func(*models.Tunnel) {}), new(
			tunnelTo(models.DestinationGRE, false, func(t *models.Tunnel) { t.Oversize = models.OversizeFragment }))},
		{"GRE over IPv6", tunnelTo(models.DestinationGRE, true, func(*models.Tunnel) {}), nil},
		{"ERSPAN III over IPv6", tunnelTo(models.DestinationERSPAN, true, func(t *models.Tunnel) { t.Version = 3 }), new(
			tunnelTo(models.DestinationERSPAN, true, func(t *models.Tunnel) { t.Version, t.Oversize = 3, models.OversizeTruncate }))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newTunnelBed(t, 2000, "u0")
			before := b.everything()
			m := b.open("")
			guards := func(want int) map[guarded]tcnl.Filter {
				t.Helper()
				g := m.mustRead(t).guards()
				if len(g) != want {
					t.Errorf("%d guards, want %d", len(g), want)
				}
				return g
			}
			// without takes the guards away behind our back.
			without := func() {
				t.Helper()
				for _, f := range guards(1) {
					b.host.Run(fmt.Sprintf("tc filter del dev u0 egress pref %d protocol all handle %s u32", f.Priority, handleText(f.Kind, f.Handle)))
				}
			}
			// The first session alone needs no guard; the second makes its way a mirrored one.
			first := into("sp-first", tt.to, port("r0", models.Rx))
			b.try(m, first)
			guards(0)
			second := into("sp-second", models.Destination{Kind: models.DestinationPort, Ports: []string{"m0"}}, port("u0", models.Tx))
			b.to(m, first, second)
			guards(1)
			sensor := b.sensor.CaptureAll("c0")
			left, _ := b.flow("first", 3)
			if n := sensor.Count("first-left", 0); n != 0 {
				t.Errorf("%d copies of copies with the guard", n)
			}
			without()
			b.flow("bare", 3)
			if n := sensor.Count("bare-left", left); n != left {
				t.Errorf("%d copies of copies without the guard, want %d: the test shows nothing", n, left)
			}
			if again := b.plan(m, first, second); again.Script.Empty() {
				t.Error("a missing guard is no difference")
			}
			b.to(m, first, second)
			guards(1)
			b.to(m, second) // it goes with the last tunnel that needs it
			guards(0)
			if tt.self != nil {
				b.selfMirror(m, into("sp-self", *tt.self, port("u0", models.Both)), without)
			}
			b.to(m)
			if d := cmp.Diff(before, b.everything()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

// selfMirror mirrors the very port that the copies leave by.
func (b *tunnelBed) selfMirror(m *Mirror, self models.Session, without func()) {
	b.t.Helper()
	b.to(m, self)
	wire := b.collector.CaptureAll("u1")
	const sent = 4
	b.host.Send("u0", kerneltest.TestFrame(kerneltest.Broadcast, "guarded", 0, 128), sent)
	if n := wire.Count("guarded", 2*sent); n != 2*sent {
		b.t.Errorf("%d frames on the wire, want %d and a copy of each", n, sent)
	}
	deepest := func(mark string) (n int) {
		for _, f := range wire.Received(mark) {
			n = max(n, depth(f.Data))
		}
		return n
	}
	if d := deepest("guarded"); d != 1 {
		b.t.Errorf("copies have up to %d wrappers, want 1", d)
	}
	without()
	b.host.Send("u0", kerneltest.TestFrame(kerneltest.Broadcast, "bare", 0, 128), sent)
	n := wire.Count("bare", 3*sent)
	b.t.Logf("without the guard: %d frames on the wire for %d, up to %d wrappers", n, sent, deepest("bare"))
	if deepest("bare") < 2 {
		b.t.Errorf("copies are not copied again without the guard: the test shows nothing")
	}
	b.to(m, self)
}

func (m *Mirror) mustRead(t *testing.T) *snapshot {
	t.Helper()
	s, err := m.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What somebody does to a link of ours is seen, and mended.
func TestLinkDrift(t *testing.T) {
	b := newTunnelBed(t, 1700)
	m := b.open("")
	ses := into("sp-x", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 9 }), port("r0", models.Rx))
	b.try(m, ses)
	name := linkName(hashOf(host, ses.Name), 1)
	for what, line := range map[string]string{
		"MTU":   "ip link set dev " + name + " mtu 1400",
		"down":  "ip link set dev " + name + " down",
		"alias": "ip link set dev " + name + " alias mine",
		"gone":  "ip link del dev " + name,
	} {
		t.Run(what, func(t *testing.T) {
			b.host.Run(line)
			st, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(st.Sessions, func(s models.Session) bool { return s.Name == ses.Name })
			if i < 0 || len(st.Sessions[i].Extra) == 0 {
				t.Fatalf("not seen: %+v", st.Sessions)
			}
			b.to(m, ses)
		})
	}
	t.Run("group", func(t *testing.T) { // no longer ours to touch
		b.host.Run("ip link set dev " + name + " group 7")
		st, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := ses
		for _, s := range st.Sessions {
			if s.Name == ses.Name {
				before = s
			}
		}
		_, err = m.Render(models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Update, Before: &before, After: &ses}}}, drivers.RenderOptions{})
		if err == nil || !strings.Contains(err.Error(), "is left alone") {
			t.Errorf("error %v", err)
		}
		b.host.Run(fmt.Sprintf("ip link set dev %s group %d", name, uint32(linknl.Group)))
	})
	b.to(m)
}

// A process that died between link and filter leaves a link: it is reported, by a name
// that is known or told by the link itself, and removed.
func TestLinkWithoutFilters(t *testing.T) {
	b := newTunnelBed(t, 1700)
	before := b.everything()
	m := b.open("")
	ses := into("sp-dead", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 9 }), port("r0", models.Rx))
	cp := b.plan(m, ses)
	cp.Script.Steps = cp.Script.Steps[:1]
	if err := m.Apply(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"", "spanctl cookie:x"} {
		if alias != "" { // then nobody can tell the name
			b.host.Run("ip link set dev " + linkName(hashOf(host, ses.Name), 1) + " alias unknown")
		}
		other := b.open("") // knows no names
		st, err := other.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Sessions) != 1 || len(st.Sessions[0].Extra) == 0 || st.Sessions[0].Destination.Kind != models.DestinationVXLAN {
			t.Fatalf("sessions %+v", st.Sessions)
		}
		got := st.Sessions[0]
		if known := got.Name == ses.Name; known != (alias == "") {
			t.Errorf("its name is %q", got.Name)
		}
		if alias == "" {
			continue
		}
		cs := models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Delete, Before: &got}}}
		script, err := other.Render(cs, drivers.RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Apply(t.Context(), drivers.Checkpoint{Device: host, Changes: cs, Script: script}); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(before, b.everything()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// When a step fails, links are taken back with the rest; a link that was removed comes
// back with its filters, into which copies go as before.
func TestLinksAreUndone(t *testing.T) {
	b := newTunnelBed(t, 1700)
	m := b.open("")
	first := into("sp-x", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 9 }), port("r0", models.Rx))
	second := into("sp-x", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 10 }), port("r0", models.Both))
	broken := errors.New("broken by the test")
	for _, give := range []struct {
		name string
		have []models.Session
		want models.Session
	}{{"create", nil, first}, {"another VNI", []models.Session{first}, second}} {
		t.Run(give.name, func(t *testing.T) {
			for i := 0; ; i++ {
				b.to(m, give.have...)
				wire := b.collector.CaptureAll("u1")
				before := stable(b.everything())
				cp := b.plan(m, give.want)
				if i == len(cp.Script.Steps) {
					break
				}
				m.tap = failing(cp.Script.Steps[i].Text, broken)
				err := m.Apply(t.Context(), cp)
				m.tap = failing("never", nil)
				if !errors.Is(err, broken) {
					t.Fatalf("step %d: error %v", i, err)
				}
				if d := cmp.Diff(before, stable(b.everything())); d != "" {
					t.Errorf("step %d (-before +after):\n%s", i, d)
				}
				mark := fmt.Sprintf("undo%d", i)
				left, _ := b.flow(mark, 2)
				if n := wire.Count(mark+"-left", left*len(give.have)); n != left*len(give.have) {
					t.Errorf("step %d: %d copies of %d", i, n, left*len(give.have))
				}
			}
			b.to(m)
		})
	}
}

// An interface that was made anew has another index and address, and filters that name it
// have other handles.
func stable(s string) string {
	for _, p := range unstable {
		s = p.ReplaceAllString(s, "")
	}
	return s
}

var unstable = []*regexp.Regexp{
	regexp.MustCompile(`"(ifindex|index|handle)":"?[0-9a-fx:]+"?,?`), regexp.MustCompile(`"address":"[0-9a-f:]+",?`),
	regexp.MustCompile(`"(link_index)":[0-9]+,?`),
}

func failing(step string, with error) func(context.Context, string, func() error) error {
	return func(_ context.Context, what string, do func() error) error {
		if what == step {
			return with
		}
		return do()
	}
}
