package models

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func prefix(s string) Prefix {
	var p Prefix
	if err := p.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return p
}

func TestNormalize(t *testing.T) {
	port := func(names ...string) Destination { return Destination{Kind: DestinationPort, Ports: names} }
	v4, mapped := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("::ffff:192.0.2.9")
	tests := []struct {
		name       string
		give, want Session
	}{
		{"zero", Session{}, Session{Role: RoleLocal}},
		{
			"sources sort naturally and join",
			Session{Sources: []Source{
				{Kind: SourceVLAN, VLAN: 100, Direction: Rx},
				{Kind: SourcePort, Name: "Ethernet10", Direction: Rx},
				{Kind: SourcePort, Name: "Ethernet2", Direction: Rx},
				{Kind: SourceVLAN, VLAN: 20, Direction: Rx},
				{Kind: SourcePort, Name: "Ethernet2", Direction: Tx},
			}},
			Session{Role: RoleLocal, Sources: []Source{
				{Kind: SourcePort, Name: "Ethernet2", Direction: Both},
				{Kind: SourcePort, Name: "Ethernet10", Direction: Rx},
				{Kind: SourceVLAN, VLAN: 20, Direction: Rx},
				{Kind: SourceVLAN, VLAN: 100, Direction: Rx},
			}},
		},
		{
			"a port and a LAG of one name are two",
			Session{Sources: []Source{{Kind: SourceLAG, Name: "x", Direction: Rx}, {Kind: SourcePort, Name: "x", Direction: Tx}}},
			Session{Role: RoleLocal, Sources: []Source{{Kind: SourcePort, Name: "x", Direction: Tx}, {Kind: SourceLAG, Name: "x", Direction: Rx}}},
		},
		{"ports sort and are unique", Session{Destination: port("e10", "e9", "e10")}, Session{Role: RoleLocal, Destination: port("e9", "e10")}},
		{"empty lists are nil",
			Session{Sources: []Source{}, Filter: []Rule{}, Extra: []string{}, Destination: port()},
			Session{Role: RoleLocal, Destination: Destination{Kind: DestinationPort}}},
		{"every frame", Session{SampleOneIn: 1}, Session{Role: RoleLocal}},
		{"one in two", Session{SampleOneIn: 2}, Session{Role: RoleLocal, SampleOneIn: 2}},
		{"an RSPAN source", Session{Role: RoleLocal, Destination: Destination{Kind: DestinationRemoteVLAN, VLAN: 9}},
			Session{Role: RoleSource, Destination: Destination{Kind: DestinationRemoteVLAN, VLAN: 9}}},
		{"an RSPAN destination", Session{Sources: []Source{{Kind: SourceRemoteVLAN, VLAN: 9, Direction: Rx}}, Destination: port("e1")},
			Session{Role: RoleDestination, Sources: []Source{{Kind: SourceRemoteVLAN, VLAN: 9, Direction: Rx}}, Destination: port("e1")}},
		{
			"ERSPAN is type 2, addresses are IPv4",
			Session{Destination: Destination{Kind: DestinationERSPAN, Tunnel: &Tunnel{Source: mapped, Destination: mapped}}},
			Session{Role: RoleLocal, Destination: Destination{Kind: DestinationERSPAN, Tunnel: &Tunnel{Source: v4, Destination: v4, Version: 2}}},
		},
		{
			"GRE has no version",
			Session{Destination: Destination{Kind: DestinationGRE, Tunnel: &Tunnel{Destination: v4}}},
			Session{Role: RoleLocal, Destination: Destination{Kind: DestinationGRE, Tunnel: &Tunnel{Destination: v4}}},
		},
		{
			"what does not count stays",
			Session{Intent: "i", Extra: []string{"b", "a"}, Status: Status{State: OperUp}, FilterName: "acl", Number: 3, Shutdown: true, TruncateTo: 64},
			Session{Intent: "i", Extra: []string{"b", "a"}, Status: Status{State: OperUp}, FilterName: "acl", Number: 3, Shutdown: true, TruncateTo: 64, Role: RoleLocal},
		},
		{
			"rules are spelled in one way and keep their order",
			Session{Filter: []Rule{
				{Include, Match{Proto: "6", Dst: Prefix{netip.MustParsePrefix("10.1.2.3/8")}, Dport: []Range{One(443), One(80), One(81)}}},
				{Exclude, Match{Proto: "UDP", VLANs: []Range{One(2), One(1)}, Src: prefix("2001:db8::/32")}},
				{Include, Match{Proto: "99"}},
			}},
			Session{Role: RoleLocal, Filter: []Rule{
				{Include, Match{Proto: "tcp", Dst: prefix("10.0.0.0/8"), Dport: []Range{{80, 81}, One(443)}}},
				{Exclude, Match{Proto: "udp", VLANs: []Range{{1, 2}}, Src: prefix("2001:db8::/32")}},
				{Include, Match{Proto: "99"}},
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tt.give.Normalize(), plain); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// drawSession gives any session, sensible or not.
func drawSession(t *rapid.T) Session {
	few := func(name string, max int) int { return rapid.IntRange(0, max).Draw(t, name) }
	ranges := func() []Range {
		var rs []Range
		for range few("ranges", 2) {
			f := rapid.Uint16Range(0, 9).Draw(t, "first")
			rs = append(rs, Range{f, f + rapid.Uint16Range(0, 3).Draw(t, "more")})
		}
		return rs
	}
	prefixes := []Prefix{{}, {}, prefix("0.0.0.0/0"), prefix("::/0"), prefix("10.0.0.0/8"), {netip.MustParsePrefix("10.9.9.9/8")},
		prefix("2001:db8::/32"), {netip.MustParsePrefix("::ffff:10.0.0.0/104")}}
	s := Session{
		Device: "d", Name: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"), Number: few("number", 3),
		SampleOneIn: uint32(few("sample", 2)), TruncateTo: uint16(few("truncate", 2)), Shutdown: rapid.Bool().Draw(t, "shutdown"),
		Role: Role(few("role", 3)),
	}
	for range few("sources", 4) {
		s.Sources = append(s.Sources, Source{
			Kind: SourceKind(few("kind", 5)), Name: rapid.SampledFrom([]string{"", "e1", "e01", "e2", "e10"}).Draw(t, "port"),
			VLAN: uint16(few("vlan", 2)), Direction: Direction(few("direction", 3)),
		})
	}
	for range few("rules", 4) {
		s.Filter = append(s.Filter, Rule{Action(few("action", 2)), Match{
			Proto: rapid.SampledFrom([]string{"", "tcp", "6", "icmp", "58", "what"}).Draw(t, "proto"),
			Src:   rapid.SampledFrom(prefixes).Draw(t, "src"), Dst: rapid.SampledFrom(prefixes).Draw(t, "dst"),
			Sport: ranges(), Dport: ranges(), VLANs: ranges(),
		}})
	}
	s.Destination.Kind = DestinationKind(few("destination", 6))
	for range few("ports", 3) {
		s.Destination.Ports = append(s.Destination.Ports, rapid.SampledFrom([]string{"e1", "e2", "e10"}).Draw(t, "to"))
	}
	if rapid.Bool().Draw(t, "tunnel") {
		s.Destination.Tunnel = &Tunnel{Version: uint8(few("version", 4)), Destination: rapid.SampledFrom([]netip.Addr{
			{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
		}).Draw(t, "address")}
	}
	return s
}

func TestNormalizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSession(t)
		before := clone(s)
		once := s.Normalize()
		if d := cmp.Diff(before, s, plain); d != "" {
			t.Fatalf("changed its argument (-want +got):\n%s", d)
		}
		if d := cmp.Diff(once, once.Normalize(), plain); d != "" {
			t.Fatalf("normalized twice differs (-once +twice):\n%s", d)
		}
		if !SameConfig(s, once) {
			t.Fatalf("a session differs from its normal form")
		}
		// The order of sources and ports means nothing.
		turned := clone(s)
		slices.Reverse(turned.Sources)
		slices.Reverse(turned.Destination.Ports)
		if !SameConfig(s, turned) {
			t.Fatalf("the order of sources counts:\n%s", cmp.Diff(once, turned.Normalize(), plain))
		}
	})
}

func clone(s Session) Session {
	s.Sources, s.Filter, s.Destination.Ports = slices.Clone(s.Sources), slices.Clone(s.Filter), slices.Clone(s.Destination.Ports)
	for i := range s.Filter {
		m := &s.Filter[i].Match
		m.Sport, m.Dport, m.VLANs = slices.Clone(m.Sport), slices.Clone(m.Dport), slices.Clone(m.VLANs)
	}
	if s.Destination.Tunnel != nil {
		t := *s.Destination.Tunnel
		s.Destination.Tunnel = &t
	}
	return s
}

func TestSameConfig(t *testing.T) {
	base := Session{
		Device: "d", Name: "a", Sources: []Source{{Kind: SourcePort, Name: "e1", Direction: Rx}},
		Filter:      []Rule{{Include, Match{Proto: "tcp"}}, {Exclude, Match{}}},
		Destination: Destination{Kind: DestinationPort, Ports: []string{"e9"}},
	}
	tests := []struct {
		name string
		edit func(*Session)
		want bool
	}{
		{"nothing", func(*Session) {}, true},
		{"status", func(s *Session) { s.Status.State = OperDown }, true},
		{"intent", func(s *Session) { s.Intent = "i" }, true},
		{"name of the filter", func(s *Session) { s.FilterName = "acl" }, true},
		{"number beside a name", func(s *Session) { s.Number = 7 }, true},
		{"role follows", func(s *Session) { s.Role = RoleDestination }, true},
		{"sample of one", func(s *Session) { s.SampleOneIn = 1 }, true},
		{"number alone", func(s *Session) { s.Name, s.Number = "", 7 }, false},
		{"device", func(s *Session) { s.Device = "e" }, false},
		{"name", func(s *Session) { s.Name = "b" }, false},
		{"direction", func(s *Session) { s.Sources = []Source{{Kind: SourcePort, Name: "e1", Direction: Tx}} }, false},
		{"case of a port", func(s *Session) { s.Sources = []Source{{Kind: SourcePort, Name: "E1", Direction: Rx}} }, false},
		{"order of rules", func(s *Session) { s.Filter = []Rule{s.Filter[1], s.Filter[0]} }, false},
		{"destination", func(s *Session) { s.Destination.Ports = []string{"e8"} }, false},
		{"truncation", func(s *Session) { s.TruncateTo = 64 }, false},
		{"sampling", func(s *Session) { s.SampleOneIn = 2 }, false},
		{"shutdown", func(s *Session) { s.Shutdown = true }, false},
		{"lines of the device", func(s *Session) { s.Extra = []string{"rate-limit 1"} }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := clone(base)
			tt.edit(&other)
			if got := SameConfig(base, other); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFamily(t *testing.T) {
	v4, v6 := prefix("10.0.0.0/8"), prefix("2001:db8::/32")
	mapped := Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}
	tests := []struct {
		name string
		give Match
		want int
	}{
		{"all", Match{}, 0},
		{"tcp", Match{Proto: "tcp"}, 0},
		{"source", Match{Src: v4}, 4},
		{"destination", Match{Dst: v6}, 6},
		{"any IPv4", Match{Src: prefix("0.0.0.0/0")}, 4},
		{"any IPv6", Match{Dst: prefix("::/0")}, 6},
		{"IPv4 in IPv6", Match{Src: mapped}, 4},
		{"mixed", Match{Src: v4, Dst: v6}, -1},
		{"icmp", Match{Proto: "icmp"}, 4},
		{"icmp by number", Match{Proto: "1"}, 4},
		{"icmpv6", Match{Proto: "icmpv6"}, 6},
		{"icmp of IPv6", Match{Proto: "icmp", Src: v6}, -1},
		{"icmpv6 of IPv4", Match{Proto: "58", Dst: v4}, -1},
		{"icmp of IPv4", Match{Proto: "icmp", Dst: v4}, 4},
	}
	for _, tt := range tests {
		if got := tt.give.Family(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestProtocols(t *testing.T) {
	tests := []struct {
		give string
		num  uint8
		ok   bool
	}{
		{"tcp", 6, true}, {"UDP", 17, true}, {"132", 132, true}, {"0", 0, true}, {"255", 255, true},
		{"256", 255, false}, {"-1", 0, false}, {"", 0, false}, {"any", 0, false},
	}
	for _, tt := range tests {
		n, ok := ProtocolNumber(tt.give)
		if ok != tt.ok || ok && n != tt.num {
			t.Errorf("ProtocolNumber(%q) = %d, %v; want %d, %v", tt.give, n, ok, tt.num, tt.ok)
		}
	}
	for n := range 256 {
		name := ProtocolName(uint8(n))
		if back, ok := ProtocolNumber(name); !ok || int(back) != n {
			t.Errorf("protocol %d is %q, which is %d", n, name, back)
		}
	}
}

func TestCompareNatural(t *testing.T) {
	sorted := []string{
		"", "0", "00", "1", "1a", "01", "2", "10", "Eth1/2", "Eth1/10", "Eth1/10.2", "Eth1/10.10", "Eth2", "Eth10/1",
		"Ethernet1", "eth0", "eth9999999999999999999998", "eth9999999999999999999999", "eth10000000000000000000000", "ethernet-1/1",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			got := CompareNatural(a, b)
			if sign(got) != sign(i-j) {
				t.Errorf("CompareNatural(%q, %q) = %d, want the sign of %d", a, b, got, i-j)
			}
		}
	}
}

// TestCompareNaturalIsTotal: sorting by it has one outcome only.
func TestCompareNaturalIsTotal(t *testing.T) {
	name := rapid.StringMatching(`[ae/0-3.]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		ab, bc, ac := CompareNatural(a, b), CompareNatural(b, c), CompareNatural(a, c)
		if (ab == 0) != (a == b) {
			t.Fatalf("%q and %q compare as %d", a, b, ab)
		}
		if sign(CompareNatural(b, a)) != -sign(ab) {
			t.Fatalf("%q, %q: not the reverse when turned round", a, b)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q <= %q <= %q, but not the first <= the last", a, b, c)
		}
	})
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// TestComparableHasAllFields fails when Session gets a field that nobody has
// thought about for SameConfig.
func TestComparableHasAllFields(t *testing.T) {
	const known = 14
	if n := reflect.TypeFor[Session]().NumField(); n != known {
		t.Errorf("Session has %d fields, this test knows %d: does the new one count as a difference, in SameConfig and in plan.Differences?", n, known)
	}
}
