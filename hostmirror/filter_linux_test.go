package hostmirror

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// mix is traffic in which filters are easily mistaken, by name.
func mix() map[string]testFrame {
	base := testFrame{
		beside: -1, ip: 4, proto: 17,
		src: netip.MustParseAddr("10.1.0.1"), dst: netip.MustParseAddr("10.2.0.1"), sport: 1234, dport: 5678,
	}
	with := func(change func(*testFrame)) testFrame {
		f := base
		change(&f)
		return f
	}
	return map[string]testFrame{
		"match":       base,
		"tcp":         with(func(f *testFrame) { f.proto = 6 }),
		"port":        with(func(f *testFrame) { f.dport = 5679 }),
		"source":      with(func(f *testFrame) { f.src = netip.MustParseAddr("10.1.0.2") }),
		"vlan100":     with(func(f *testFrame) { f.tags = []uint16{100} }),
		"vlan100port": with(func(f *testFrame) { f.tags, f.dport = []uint16{100}, 5679 }),
		"vlan200":     with(func(f *testFrame) { f.tags = []uint16{200} }),
		"qinq":        with(func(f *testFrame) { f.tags = []uint16{100, 7} }),
		"ipv6": with(func(f *testFrame) {
			f.ip, f.src, f.dst = 6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		}),
		"ipv6ext": with(func(f *testFrame) {
			f.ip, f.src, f.dst, f.headers = 6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), []byte{0, 60}
		}),
		"ipv6fragment": with(func(f *testFrame) {
			f.ip, f.src, f.dst = 6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
			f.headers, f.fragment = []byte{fragmentKind}, 100
		}),
		"options":  with(func(f *testFrame) { f.options = 3 }),
		"fragment": with(func(f *testFrame) { f.fragment = 100 }),
		"arp":      with(func(f *testFrame) { f.ip = 0 }),
	}
}

// sendMix sends each frame of the mix through the host, from left to right, count times.
func (b *bed) sendMix(mark string, count int) {
	b.t.Helper()
	for name, f := range mix() {
		b.left.Send("s0", f.bytes(mark+"-"+name+"\x00"+strings.Repeat("x", 32)), count)
	}
}

// expectMix looks which frames of the mix have come, each count times.
func (b *bed) expectMix(c *kerneltest.Capture, mark string, count int, names ...string) {
	b.t.Helper()
	expected, want := make(map[string]int), make(map[string]int)
	for name := range mix() {
		expected[mark+"-"+name] = 0
	}
	for _, name := range names {
		expected[mark+"-"+name], want[mark+"-"+name] = count, count
	}
	got := c.Counts(expected)
	maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("%s: copies (-want +got):\n%s", mark, d)
	}
}

func filtered(text string, s models.Session) models.Session {
	s.Filter = rules(text)
	return s.Normalize()
}

// Rules are followed in their order, for received and for sent frames, and the frames
// themselves all go on. What tc shows and a second plan agree with that.
func TestFilters(t *testing.T) {
	kerneltest.NeedIproute(t)
	all := slices.Sorted(maps.Keys(mix()))
	but := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(names, n) })
	}
	const tuple = "udp src 10.1.0.1/32 dst 10.2.0.1/32 sport 1234 dport 5678"
	tests := []struct {
		rules string
		want  []string
	}{
		{"include " + tuple, []string{"match", "vlan100", "vlan200", "qinq", "options"}},
		{"include " + tuple + " vlan 100", []string{"vlan100", "qinq"}},
		{"include vlan 100", []string{"vlan100", "vlan100port", "qinq"}},
		{"include vlan 7", nil},
		{"include vlan 101-200", []string{"vlan200"}},
		{"include tcp", []string{"tcp"}},
		{"include src 2001:db8::/32", []string{"ipv6", "ipv6ext", "ipv6fragment"}},
		{"include udp dst 2001:db8::2/128 dport 5678", []string{"ipv6", "ipv6ext"}},
		{"include udp dport 5679-6000", []string{"port", "vlan100port"}},
		{"include src 10.1.0.2/31", []string{"source"}},
		{"include src 0.0.0.0/0", but("ipv6", "ipv6ext", "ipv6fragment", "arp")},
		{"include src 10.1.0.0/16 vlan 200; include tcp; include src ::/0 dport 5678", []string{"vlan200", "tcp", "ipv6", "ipv6ext"}},
		{"exclude udp", []string{"tcp", "arp"}},
		{"exclude vlan 100; exclude src 10.1.0.1/32", []string{"source", "ipv6", "ipv6ext", "ipv6fragment", "arp"}},
		{"exclude vlan 100; include " + tuple, []string{"match", "vlan200", "options"}},
		{"include vlan 100 dport 5678; exclude vlan 100; include udp dport 5679", []string{"vlan100", "qinq", "port"}},
		{"include", all},
		{"exclude", nil},
	}
	b := newBed(t)
	b.foreigners("r0", "r1")
	before := b.objects()
	m := b.open("")
	require.Need(t, "cls_bpf", m.Capabilities().Has(models.FeatureFilterIPv4), m.classifiers.reasons())
	kind, _ := m.classifiers.best()
	c0, c1, right := b.sensor.CaptureAll("c0"), b.sensor.CaptureAll("c1"), b.right.CaptureAll("d0")
	for i, tt := range tests {
		t.Run(tt.rules, func(t *testing.T) {
			b := &bed{t, b.host, b.left, b.right, b.sensor}
			wanted := []models.Session{
				filtered(tt.rules, session("sp-a", []string{"m0"}, port("r0", models.Rx))),
				filtered(tt.rules, session("sp-b", []string{"m1"}, port("r1", models.Tx))),
			}
			b.to(m, wanted...)
			b.truth(kind, []string{"sp-a", "sp-b"}, wanted...)
			mark := "run" + string(rune('a'+i))
			b.sendMix(mark, 2)
			b.expectMix(c0, mark, 2, tt.want...)
			b.expectMix(c1, mark, 2, tt.want...)
			b.expectMix(right, mark, 2, all...)
		})
	}
	b.to(m)
	if d := cmp.Diff(before, b.objects()); d != "" {
		t.Errorf("what was there before is not as it was (-before +after):\n%s", d)
	}
}

// Neither an included nor an excluded frame is kept from a foreign filter behind ours.
func TestForeignDropBehindFilterStillDrops(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open(tcnl.BPF)
	b.to(m, filtered("exclude tcp; include udp vlan 100", session("sp-a", []string{"m0"}, port("r0", models.Rx))))
	_, err := b.host.Command("tc", "filter", "add", "dev", "r0", "ingress", "pref", "40000", "protocol", "all",
		"bpf", "bytecode", "1,6 0 0 2", "direct-action") // returns TC_ACT_SHOT
	if err != nil {
		t.Fatal(err)
	}
	c0, right := b.sensor.CaptureAll("c0"), b.right.CaptureAll("d0")
	b.sendMix("drop", 3)
	b.expectMix(c0, "drop", 3, "vlan100", "vlan100port", "qinq")
	b.expectMix(right, "drop", 3)
}

// A filter that somebody has changed shows as changed, and the next plan repairs it.
func TestFilterChangedByHand(t *testing.T) {
	kerneltest.NeedIproute(t)
	wanted := filtered("exclude udp dport 53; include vlan 100", session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	cookie := mark{session: hashOf(host, "sp-a"), hook: tcnl.Ingress}.cookie().String()
	other, err := compileRules(rules("include vlan 101"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		code  string
		rules []models.Rule
		extra []string
	}{
		"other rules":   {bytecode(other), rules("include vlan 101"), nil},
		"other program": {"2,40 0 0 12,6 0 0 4294967295", nil, []string{"r0 ingress pref 21328: has a program that spanctl does not make"}},
		"every frame":   {"1,6 0 0 4294967295", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			m := b.open(tcnl.BPF)
			b.to(m, wanted)
			b.host.Run("tc filter del dev r0 ingress pref 21328")
			_, err := b.host.Command("tc", "filter", "add", "dev", "r0", "ingress", "pref", "21328", "protocol", "all",
				"bpf", "bytecode", tt.code, "action", "mirred", "egress", "mirror", "dev", "m0", "continue", "cookie", cookie)
			if err != nil {
				t.Fatal(err)
			}
			st, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.rules, st.Sessions[0].Filter, equalPrefix); d != "" {
				t.Errorf("rules (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.extra, st.Sessions[0].Extra); d != "" {
				t.Errorf("extra (-want +got):\n%s", d)
			}
			cp := b.to(m, wanted)
			b.truth(tcnl.BPF, []string{"sp-a"}, wanted)
			if len(cp.Script.Steps) != 2 {
				t.Errorf("steps %q, want one filter more and one less", texts(cp.Script))
			}
			// The way back makes what was there, also a program of somebody else.
			if err := m.Revert(t.Context(), cp); err != nil && len(tt.extra) == 0 {
				t.Error(err)
			}
		})
	}
}

// When a step fails, the filter that was already replaced comes back with its rules.
func TestFilterComesBackWithItsRules(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open(tcnl.BPF)
	one := filtered("include vlan 100", session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	two := filtered("include vlan 200", session("sp-b", []string{"m0"}, port("r1", models.Rx)))
	b.to(m, one, two)
	cp := b.plan(m)
	n := 0
	m.tap = func(_ context.Context, what string, do func() error) error {
		if what == "" {
			return do()
		}
		if n++; n == 2 {
			return unix.EIO
		}
		return do()
	}
	if err := m.Apply(t.Context(), cp); err == nil {
		t.Fatal("no error")
	}
	m.tap = func(_ context.Context, _ string, do func() error) error { return do() }
	b.truth(tcnl.BPF, []string{"sp-a", "sp-b"}, one, two)
}

// One frame in so many is copied, of those that the rules include; the foreign filters
// behind see all. What tc shows and a second plan agree.
func TestSampling(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open("")
	require.Need(t, "act_gact", m.classifiers.noSample == "", m.classifiers.noSample)
	kind, _ := m.classifiers.best()
	sampled := func(n uint32, s models.Session) models.Session {
		s.SampleOneIn = n
		return s
	}
	wanted := []models.Session{
		sampled(10, session("sp-a", []string{"m0"}, port("r0", models.Rx))),
		sampled(7, filtered("include vlan 100", session("sp-b", []string{"m1"}, port("r1", models.Tx)))),
	}
	b.to(m, wanted...)
	b.truth(kind, []string{"sp-a", "sp-b"}, wanted...)
	c0, c1, right := b.sensor.Capture("c0"), b.sensor.Capture("c1"), b.right.Capture("d0")
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "plain", 0, 128), 1400)
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "tagged", 100, 128), 700)
	if n := right.Counts(map[string]int{"plain": 1400, "tagged": 700}); n["plain"] != 1400 || n["tagged"] != 700 {
		t.Errorf("%v frames went on, want all", n)
	}
	if n := c0.Counts(map[string]int{"plain": 140, "tagged": 70}); n["plain"] != 140 || n["tagged"] != 70 {
		t.Errorf("%v copies of all, want one in 10", n)
	}
	if n := c1.Counts(map[string]int{"plain": 0, "tagged": 100}); n["plain"] != 0 || n["tagged"] != 100 {
		t.Errorf("%v copies of the tagged, want one in 7", n)
	}
	counters, err := m.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		if want := map[string]uint64{"sp-a": 210, "sp-b": 100}[c.Session]; c.Packets != want {
			t.Errorf("%s: counter %d, want the %d copies", c.Session, c.Packets, want)
		}
	}
	// Sampling changed by hand shows, and is repaired.
	wanted[0].SampleOneIn = 3
	cp := b.to(m, wanted...)
	if len(cp.Script.Steps) != 2 {
		t.Errorf("steps %q, want one filter more and one less", texts(cp.Script))
	}
	b.truth(kind, []string{"sp-a", "sp-b"}, wanted...)
	if err := m.Revert(t.Context(), cp); err != nil {
		t.Error(err)
	}
}

// Without act_gact sampling is refused with the kernel's own words, and not claimed.
func TestSamplingRefused(t *testing.T) {
	b := newBed(t)
	m := b.open("")
	if m.classifiers.noSample == "" {
		m.classifiers.noSample = "Failed to load TC action module" // what a kernel without it says
	}
	if _, err := m.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	s.SampleOneIn = 10
	_, err := m.Render(create(s), drivers.RenderOptions{})
	wantKind(t, err, drivers.Unsupported, "Failed to load TC action module")
	if c := m.Capabilities().Of(models.FeatureSample); c.Support != models.No || !strings.Contains(c.Why, "Failed to load TC action module") {
		t.Errorf("claim %+v", c)
	}
}

// Without cls_bpf rules are refused with the reason, and not claimed.
func TestFiltersRefused(t *testing.T) {
	b := newBed(t)
	m := b.open(tcnl.U32)
	if _, err := m.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := m.Render(create(filtered("include vlan 100", session("sp-a", []string{"m0"}, port("r0", models.Rx)))), drivers.RenderOptions{})
	wantKind(t, err, drivers.Unsupported, "classifier bpf")
	if c := m.Capabilities().Of(models.FeatureFilterVLAN); c.Support != models.No {
		t.Errorf("claim %+v", c)
	}
}
