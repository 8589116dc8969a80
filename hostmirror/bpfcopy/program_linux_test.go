package bpfcopy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// compiled loads the program of a set on the running kernel, attached to nothing.
type compiled struct {
	t        testing.TB
	prog     *ebpf.Program
	counters *ebpf.Map
	set      Set
}

var source = Device{Name: "src0", Ifindex: 1000}

func compile(t testing.TB, set Set) *compiled {
	t.Helper()
	require.HaveRoot(t, "loading BPF programs")
	if err := set.Validate(source); err != nil {
		t.Fatal(err)
	}
	number := make(map[string]int)
	for i, s := range set.Sessions {
		number[s.Name] = i
	}
	tables, err := Compile(set, func(name string) uint32 { return uint32(number[name]) })
	if err != nil {
		t.Fatal(err)
	}
	counters, err := newCounters()
	if err != nil {
		t.Fatal(err)
	}
	truncation, err := newTruncation()
	if err != nil {
		t.Fatal(err)
	}
	l, err := load(tables, config{Port: source, Direction: "rx", Set: set, Slots: number}, counters, truncation)
	if err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) {
			log := fmt.Sprintf("%+v", ve)
			t.Fatalf("verifier: ...%s", log[max(0, len(log)-3000):])
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), counters.Close(), truncation.Close()); err != nil {
			t.Error(err)
		}
	})
	return &compiled{t: t, prog: l.prog, counters: counters, set: set}
}

// matched gives how often each session wanted a frame, in the order of the set.
func (c *compiled) matched() []uint64 {
	c.t.Helper()
	var out []uint64
	for i := range c.set.Sessions {
		n, err := readCounter(c.counters, uint32(i))
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, n.Matched)
	}
	return out
}

func (c *compiled) run(frame []byte) {
	c.t.Helper()
	verdict, _, err := c.prog.Test(frame)
	if err != nil {
		c.t.Fatal(err)
	}
	if int32(verdict) != verdictNext {
		c.t.Fatalf("verdict %d, want %d", int32(verdict), verdictNext)
	}
}

// The program finds exactly the sessions that a plain reading of the rules finds, for
// random rules and frames of all kinds.
func TestProgramAgreesWithReference(t *testing.T) {
	require.HaveRoot(t, "loading BPF programs")
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			g := generator{r}
			set := g.set([]int{1, 3, 20, 150}[seed%4])
			c := compile(t, set)
			want := make([]uint64, len(set.Sessions))
			for range 300 {
				f := g.frame()
				before := c.matched()
				c.run(f.bytes())
				var got, now []string
				for i, n := range c.matched() {
					if n != before[i] {
						got = append(got, set.Sessions[i].Name)
					}
				}
				for i, s := range set.Sessions {
					if reference(set.Guard, s.Filter, f) {
						now = append(now, s.Name)
						want[i]++
					}
				}
				if d := cmp.Diff(now, got); d != "" {
					t.Fatalf("frame %+v: sessions (-reference +program):\n%s", f, d)
				}
			}
			if d := cmp.Diff(want, c.matched()); d != "" {
				t.Errorf("matched (-want +got):\n%s", d)
			}
		})
	}
}

// frame is what a test frame consists of.
type frame struct {
	vlans   []uint16
	ip      int    // 4, 6 or 0
	options int    // words of IPv4 options
	headers []byte // IPv6 extension headers
	proto   uint8
	src     netip.Addr
	dst     netip.Addr
	sport   uint16
	dport   uint16
	offset  uint16 // of a fragment, in units of 8 bytes
	cut     int    // bytes that the frame is short of, at its end
}

func (f frame) bytes() []byte {
	b := append(make([]byte, 0, 128), 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)
	for i, v := range f.vlans {
		kind := uint16(0x8100)
		if i+1 < len(f.vlans) {
			kind = 0x88a8
		}
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, v|0x6000)
	}
	payload := binary.BigEndian.AppendUint16(nil, f.sport)
	payload = binary.BigEndian.AppendUint16(payload, f.dport)
	payload = append(payload, make([]byte, 16)...)
	switch f.ip {
	case 4:
		b = binary.BigEndian.AppendUint16(b, 0x0800)
		b = append(b, 0x40|byte(5+f.options), 0, 0, 60, 0, 0)
		b = binary.BigEndian.AppendUint16(b, f.offset)
		b = append(b, 64, f.proto, 0, 0)
		b = append(append(b, f.src.AsSlice()...), f.dst.AsSlice()...)
		b = append(b, make([]byte, 4*f.options)...)
	case 6:
		b = binary.BigEndian.AppendUint16(b, 0x86dd)
		kinds := append(f.headers, f.proto)
		b = append(b, 0x60, 0, 0, 0, 0, 60, kinds[0], 64)
		b = append(append(b, f.src.AsSlice()...), f.dst.AsSlice()...)
		for i, kind := range f.headers {
			h := make([]byte, 8)
			if kind != 44 && i == 0 {
				h = make([]byte, 16)
				h[1] = 1
			}
			h[0] = kinds[i+1]
			if kind == 44 {
				binary.BigEndian.PutUint16(h[2:], f.offset<<3|1)
			}
			b = append(b, h...)
		}
	default:
		b = binary.BigEndian.AppendUint16(b, 0x0806)
	}
	b = append(b, payload...)
	return b[:max(14, len(b)-f.cut)]
}

// reference reads rules as models describes them.
func reference(guard []Tunnel, rules []models.Rule, f frame) bool {
	for _, g := range guard {
		if f.ip != 0 && f.dst == g.Destination {
			_, later := f.ports()
			if !g.VXLAN && f.proto == 47 || g.VXLAN && f.proto == 17 && (!later || f.dport == 4789) {
				return false
			}
		}
	}
	for _, r := range rules {
		if matches(r.Match, f) {
			return r.Action == models.Include
		}
	}
	return models.DefaultAction(rules) == models.Include
}

// ports gives whether the frame has any.
func (f frame) ports() (struct{}, bool) {
	return struct{}{}, f.ip != 0 && hasPorts(f.proto) && f.offset == 0 && f.cut == 0
}

func matches(m models.Match, f frame) bool {
	if len(m.VLANs) > 0 && (len(f.vlans) == 0 || !models.RangesContain(m.VLANs, f.vlans[0])) {
		return false
	}
	if m.Proto != "" {
		n, _ := models.ProtocolNumber(m.Proto)
		if f.ip == 0 || n != f.proto || n == 1 && f.ip != 4 || n == 58 && f.ip != 6 {
			return false
		}
	}
	for _, a := range []struct {
		p models.Prefix
		a netip.Addr
	}{{m.Src, f.src}, {m.Dst, f.dst}} {
		if a.p.IsValid() && (f.ip == 0 || !a.p.Contains(a.a)) {
			return false
		}
	}
	_, ports := f.ports()
	if len(m.Sport) > 0 && (!ports || !models.RangesContain(m.Sport, f.sport)) {
		return false
	}
	return len(m.Dport) == 0 || ports && models.RangesContain(m.Dport, f.dport)
}

// generator makes rules and frames out of few values, so that they often meet.
type generator struct{ r *rand.Rand }

func one[T any](g generator, of ...T) T { return of[g.r.IntN(len(of))] }

func (g generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g generator) port() uint16 {
	return one[uint16](g, 0, 1, 52, 53, 54, 80, 443, 4789, 65534, 65535)
}

func (g generator) v4() netip.Addr {
	return netip.AddrFrom4([4]byte{one[byte](g, 0, 10, 255), one[byte](g, 0, 1, 255), one[byte](g, 0, 128, 255), one[byte](g, 0, 1, 127, 255)})
}

func (g generator) v6() netip.Addr {
	b := netip.MustParseAddr("2001:db8::").As16()
	if g.chance(20) {
		b = [16]byte{}
	}
	if g.chance(20) {
		for i := range b {
			b[i] = 0xff
		}
	}
	b[7], b[8], b[15] = one[byte](g, 0, 127, 255), one[byte](g, 0, 128, 255), one[byte](g, 0, 1, 255)
	return netip.AddrFrom16(b)
}

func (g generator) prefix(v4 bool) models.Prefix {
	if v4 {
		return models.Prefix{Prefix: netip.PrefixFrom(g.v4(), one(g, 0, 1, 8, 9, 16, 24, 25, 31, 32)).Masked()}
	}
	return models.Prefix{Prefix: netip.PrefixFrom(g.v6(), one(g, 0, 1, 32, 63, 64, 65, 72, 127, 128)).Masked()}
}

func (g generator) ranges(of func() uint16) []models.Range {
	var out []models.Range
	for range 1 + g.r.IntN(3) {
		a, b := of(), of()
		if g.chance(60) {
			b = a
		}
		out = append(out, models.Range{First: min(a, b), Last: max(a, b)})
	}
	return out
}

func (g generator) match() models.Match {
	var m models.Match
	if g.chance(70) {
		m.Proto = one(g, "tcp", "udp", "sctp", "icmp", "icmpv6", "gre", "17", "0", "255")
	}
	v4 := m.Proto != "icmpv6" && (m.Proto == "icmp" || g.chance(60))
	if g.chance(40) {
		m.Src = g.prefix(v4)
	}
	if g.chance(40) {
		m.Dst = g.prefix(v4)
	}
	if n, _ := models.ProtocolNumber(m.Proto); m.Proto != "" && hasPorts(n) {
		if g.chance(40) {
			m.Sport = g.ranges(g.port)
		}
		if g.chance(60) {
			m.Dport = g.ranges(g.port)
		}
	}
	if g.chance(30) {
		m.VLANs = g.ranges(func() uint16 { return one[uint16](g, 1, 99, 100, 101, 4094) })
	}
	return m
}

func (g generator) set(sessions int) Set {
	var set Set
	for i := range sessions {
		s := Session{Name: fmt.Sprint("s", i), Destinations: []Device{{Name: "gone", Ifindex: 1 << 30}}}
		for range g.r.IntN(6) {
			s.Filter = append(s.Filter, models.Rule{Action: one(g, models.Include, models.Exclude), Match: g.match()})
		}
		set.Sessions = append(set.Sessions, s)
	}
	if g.chance(50) {
		set.Guard = append(set.Guard, Tunnel{Destination: g.v4()}, Tunnel{Destination: g.v4(), VXLAN: true}, Tunnel{Destination: g.v6(), VXLAN: true})
	}
	return set
}

func (g generator) frame() frame {
	f := frame{ip: one(g, 4, 4, 4, 6, 6, 0), proto: one[uint8](g, 6, 17, 17, 132, 1, 58, 47, 255), sport: g.port(), dport: g.port()}
	for range g.r.IntN(3) {
		f.vlans = append(f.vlans, one[uint16](g, 1, 99, 100, 101, 4094))
	}
	switch f.ip {
	case 4:
		f.src, f.dst = g.v4(), g.v4()
		f.options = one(g, 0, 0, 1, 10)
		f.offset = one[uint16](g, 0, 0, 0, 1, 4096, 8191)
	case 6:
		f.src, f.dst = g.v6(), g.v6()
		for range g.r.IntN(5) {
			f.headers = append(f.headers, one[byte](g, 0, 43, 60, 60))
		}
		if len(f.headers) > 0 && g.chance(40) {
			f.headers[len(f.headers)-1] = 44
			f.offset = one[uint16](g, 0, 0, 5)
		}
	}
	if g.chance(10) {
		f.cut = 17 + g.r.IntN(3) // of the ports one, two or three bytes are left
	}
	return f
}

// As many sessions, rules and copies as there can be, and a frame that all of them match:
// each session makes its copy, once.
func TestEverythingMatches(t *testing.T) {
	set := Set{}
	for i := range MaxSessions {
		s := Session{Name: fmt.Sprint("s", i), Destinations: []Device{{Name: "gone", Ifindex: 1 << 30}}}
		for j := range MaxRules / MaxSessions {
			s.Filter = append(s.Filter, models.Rule{Action: models.Include, Match: models.Match{Proto: "udp", Dport: []models.Range{{First: 1, Last: uint16(2 + j)}}}})
		}
		if i%2 == 1 {
			s.Filter[0].Action = models.Exclude
		}
		set.Sessions = append(set.Sessions, s)
	}
	c := compile(t, set)
	f := frame{ip: 4, proto: 17, src: netip.MustParseAddr("1.2.3.4"), dst: netip.MustParseAddr("1.2.3.5"), dport: 1}
	c.run(f.bytes())
	for i := range set.Sessions {
		got, err := readCounter(c.counters, uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		want := Counter{Matched: 1, Failed: 1} // the destination is gone
		if i%2 == 1 {
			want = Counter{}
		}
		if got != want {
			t.Errorf("session %d: %+v, want %+v", i, got, want)
		}
	}
}

// The most rules that there can be, of all kinds.
func TestLargestProgram(t *testing.T) {
	set := Set{}
	for i := range MaxSessions {
		s := Session{Name: fmt.Sprint("s", i), Destinations: []Device{{Name: "gone", Ifindex: 1 << 30}}, TruncateTo: 100, SampleOneIn: 2}
		for j := range MaxRules / MaxSessions {
			p := uint16(i*4 + j)
			addr := netip.AddrFrom4([4]byte{10, byte(p >> 8), byte(p), 1})
			six := netip.AddrFrom16([16]byte{0x20, 1, 14: byte(p >> 8), 15: byte(p)})
			m := models.Match{Proto: "udp", Dst: models.Prefix{Prefix: netip.PrefixFrom(addr, 32)}, Dport: []models.Range{models.One(p)}}
			if j%2 == 1 {
				m = models.Match{Proto: "tcp", Src: models.Prefix{Prefix: netip.PrefixFrom(six, 128)}, Sport: []models.Range{models.One(p)}, VLANs: []models.Range{models.One(p%4094 + 1)}}
			}
			s.Filter = append(s.Filter, models.Rule{Action: models.Include, Match: m})
		}
		set.Sessions = append(set.Sessions, s)
	}
	c := compile(t, set)
	info, err := c.prog.Info()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := info.VerifiedInstructions(); ok {
		t.Logf("%d instructions verified", n)
	}
	f := frame{ip: 4, proto: 17, src: netip.MustParseAddr("1.2.3.4"), dst: netip.MustParseAddr("10.3.232.1"), dport: 1000}
	c.run(f.bytes())
	for i, n := range c.matched() {
		if want := uint64(0); i == 250 {
			want = 1
			if n != want {
				t.Errorf("session %d matched %d, want %d", i, n, want)
			}
		} else if n != 0 {
			t.Errorf("session %d matched %d, want 0", i, n)
		}
	}
	set.Sessions[0].Filter = append(set.Sessions[0].Filter, models.Rule{Action: models.Exclude, Match: models.Match{Proto: "gre"}})
	if _, err := Compile(set, func(string) uint32 { return 0 }); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "4097") {
		t.Errorf("Compile of one rule more: %v, want ErrLimit with the number", err)
	}
}
