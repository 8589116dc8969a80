package bpfcopy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/models"
)

func prefix(s string) models.Prefix { return models.Prefix{Prefix: netip.MustParsePrefix(s)} }

func include(m models.Match) models.Rule { return models.Rule{Action: models.Include, Match: m} }
func exclude(m models.Match) models.Rule { return models.Rule{Action: models.Exclude, Match: m} }

// look finds the rules that a class stands for.
func (t *Tables) look(class uint16) []int {
	var out []int
	for i := range t.rules {
		if t.classes[class][i/64]&(1<<(i%64)) != 0 {
			out = append(out, i)
		}
	}
	return out
}

func (s starts) find(k key) uint16 {
	at := 0
	for i := range s.at {
		if s.at[i].compare(k) <= 0 {
			at = i
		}
	}
	return s.class[at]
}

var to = []Device{{"m0", 7}}

func compileSet(t *testing.T, set Set) *Tables {
	t.Helper()
	tables, err := Compile(set, func(name string) uint32 { return uint32(len(name)) })
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestCompileRules(t *testing.T) {
	tcp := models.Match{Proto: "tcp"}
	entry := func(session int, v verdict) uint32 { return uint32(session)<<2 | uint32(v) }
	tests := []struct {
		name string
		give Set
		want []uint32
	}{
		{"no rules: everything", Set{Sessions: []Session{{Name: "a", Destinations: to}}}, []uint32{entry(1, take)}},
		{"an include: the rest is left", Set{Sessions: []Session{{Name: "a", Destinations: to, Filter: []models.Rule{include(tcp)}}}}, []uint32{entry(1, take)}},
		{"an exclude: the rest is taken", Set{Sessions: []Session{{Name: "a", Destinations: to, Filter: []models.Rule{exclude(tcp)}}}}, []uint32{entry(1, leave), entry(1, take)}},
		{
			"guards come first, sessions in order",
			Set{
				Sessions: []Session{
					{Name: "a", Destinations: to, Filter: []models.Rule{exclude(tcp), include(models.Match{})}},
					{Name: "b", Destinations: to},
				},
				Guard: []Tunnel{{Destination: netip.MustParseAddr("192.0.2.1")}},
			},
			[]uint32{entry(0, stop), entry(1, leave), entry(1, take), entry(2, take)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, compileSet(t, tt.give).rules); d != "" {
				t.Errorf("rules (-want +got):\n%s", d)
			}
		})
	}
}

func TestCompileSessions(t *testing.T) {
	got := compileSet(t, Set{Sessions: []Session{
		{Name: "a", Destinations: []Device{{"m0", 7}, {"m1", 8}}, SampleOneIn: 10},
		{Name: "bb", Destinations: []Device{{"m2", 9}}, TruncateTo: 128},
	}})
	want := []sessionEntry{{slot: 1, sample: 10, first: 0, count: 2}, {slot: 2, sample: 1, first: 2, count: 1, truncate: 128}}
	if d := cmp.Diff(want, got.sessions, cmp.AllowUnexported(sessionEntry{})); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]uint32{7, 8, 9}, got.copies); d != "" {
		t.Errorf("copies (-want +got):\n%s", d)
	}
}

// The rules: 0 tcp to a /8, ports 80 and 443; 1 VLANs 100-200; 2 icmp; 3 IPv6; 4 the
// rest, by an exclude of everything.
func TestCompileFields(t *testing.T) {
	set := Set{Sessions: []Session{{Name: "a", Destinations: to, Filter: []models.Rule{
		include(models.Match{Proto: "tcp", Dst: prefix("10.0.0.0/8"), Dport: []models.Range{models.One(80), models.One(443)}}),
		include(models.Match{VLANs: []models.Range{{First: 100, Last: 200}}}),
		include(models.Match{Proto: "icmp"}),
		include(models.Match{Src: prefix("2001:db8::/32")}),
		exclude(models.Match{}),
	}}}}
	tables := compileSet(t, set)
	if tables.sport != nil {
		t.Error("there is a table of source ports, for which no rule asks")
	}
	if tables.words != 1 {
		t.Errorf("%d words, want 1", tables.words)
	}
	v4 := func(s string) key { return addressKey(netip.MustParseAddr(s)) }
	tests := []struct {
		name string
		give uint16
		want []int
	}{
		{"IPv4 tcp", tables.proto[6], []int{0, 1, 4}},
		{"IPv6 tcp", tables.proto[256+6], []int{1, 3, 4}},
		{"icmp", tables.proto[1], []int{1, 2, 4}},
		{"protocol 1 in IPv6", tables.proto[256+1], []int{1, 3, 4}},
		{"not IP", tables.proto[noIP], []int{1, 4}},
		{"VLAN 99", tables.vlan[99], []int{0, 2, 3, 4}},
		{"VLAN 100", tables.vlan[100], []int{0, 1, 2, 3, 4}},
		{"VLAN 200", tables.vlan[200], []int{0, 1, 2, 3, 4}},
		{"VLAN 201", tables.vlan[201], []int{0, 2, 3, 4}},
		{"no VLAN", tables.vlan[0], []int{0, 2, 3, 4}},
		{"port 79", tables.dport[79], []int{1, 2, 3, 4}},
		{"port 80", tables.dport[80], []int{0, 1, 2, 3, 4}},
		{"port 81", tables.dport[81], []int{1, 2, 3, 4}},
		{"no port", tables.dport[noPort], []int{1, 2, 3, 4}},
		{"before the prefix", tables.dst.v4.find(v4("9.255.255.255")), []int{1, 2, 3, 4}},
		{"its first address", tables.dst.v4.find(v4("10.0.0.0")), []int{0, 1, 2, 3, 4}},
		{"its last address", tables.dst.v4.find(v4("10.255.255.255")), []int{0, 1, 2, 3, 4}},
		{"behind it", tables.dst.v4.find(v4("11.0.0.0")), []int{1, 2, 3, 4}},
		{"an IPv6 destination", tables.dst.v6.find(v4("2001:db8::1")), []int{1, 2, 3, 4}},
		{"no destination", tables.dst.none, []int{1, 2, 3, 4}},
		{"an IPv4 source", tables.src.v4.find(v4("10.0.0.0")), []int{0, 1, 2, 4}},
		{"last IPv6 source", tables.src.v6.find(v4("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")), []int{0, 1, 2, 3, 4}},
		{"behind it", tables.src.v6.find(v4("2001:db9::")), []int{0, 1, 2, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tables.look(tt.give)); d != "" {
				t.Errorf("rules (-want +got):\n%s", d)
			}
		})
	}
}

// What a VXLAN tunnel sends in later fragments has no port, and is guarded all the same.
func TestGuardFragments(t *testing.T) {
	tables := compileSet(t, Set{
		Sessions: []Session{{Name: "a", Destinations: to}},
		Guard:    []Tunnel{{Destination: netip.MustParseAddr("192.0.2.1"), VXLAN: true}},
	})
	for name, class := range map[string]uint16{"port 4789": tables.dport[vxlanPort], "no port": tables.dport[noPort]} {
		if d := cmp.Diff([]int{0, 1}, tables.look(class)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff([]int{1}, tables.look(tables.dport[53])); d != "" {
		t.Errorf("port 53 (-want +got):\n%s", d)
	}
}

func TestPrefixSpan(t *testing.T) {
	const all = math.MaxUint64
	tests := []struct {
		give string
		want span
	}{
		{"0.0.0.0/0", span{key{}, key{0, 0xffffffff}}},
		{"10.0.0.0/8", span{key{0, 0x0a000000}, key{0, 0x0affffff}}},
		{"255.255.255.255/32", span{key{0, 0xffffffff}, key{0, 0xffffffff}}},
		{"::/0", span{key{}, key{all, all}}},
		{"8000::/1", span{key{1 << 63, 0}, key{all, all}}},
		{"2001:db8::/64", span{key{0x20010db8 << 32, 0}, key{0x20010db8 << 32, all}}},
		{"2001:db8::/63", span{key{0x20010db8 << 32, 0}, key{0x20010db8<<32 | 1, all}}},
		{"2001:db8::/65", span{key{0x20010db8 << 32, 0}, key{0x20010db8 << 32, all >> 1}}},
		{"::1/128", span{key{0, 1}, key{0, 1}}},
	}
	for _, tt := range tests {
		if got := prefixSpan(netip.MustParsePrefix(tt.give)); got != tt.want {
			t.Errorf("prefixSpan(%s) = %x, want %x", tt.give, got, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	port := Device{"eth0", 2}
	with := func(change func(*Session)) Set {
		s := Session{Name: "a", Destinations: []Device{{"m0", 7}}}
		change(&s)
		return Set{Sessions: []Session{s}}
	}
	rule := func(r models.Rule) Set { return with(func(s *Session) { s.Filter = []models.Rule{r} }) }
	many := func(n, to int) Set {
		var set Set
		for i := range n {
			s := Session{Name: fmt.Sprint(i)}
			for j := range to {
				s.Destinations = append(s.Destinations, Device{"m", 10 + j})
			}
			set.Sessions = append(set.Sessions, s)
		}
		return set
	}
	tests := []struct {
		name string
		give Set
		want error
		text string
	}{
		{"good", with(func(*Session) {}), nil, ""},
		{"no name", with(func(s *Session) { s.Name = "" }), ErrInvalid, "name"},
		{"no destination", with(func(s *Session) { s.Destinations = nil }), ErrInvalid, "no destination"},
		{"to itself", with(func(s *Session) { s.Destinations = []Device{{"other", 2}} }), ErrInvalid, "mirrored to itself"},
		{"destination twice", with(func(s *Session) { s.Destinations = []Device{{"m0", 7}, {"m0", 7}} }), ErrInvalid, "twice"},
		{"destination without an index", with(func(s *Session) { s.Destinations[0].Ifindex = 0 }), ErrInvalid, "index 0"},
		{"cut too short", with(func(s *Session) { s.TruncateTo = 79 }), ErrInvalid, "at least 80"},
		{"cut short", with(func(s *Session) { s.TruncateTo = 80 }), nil, ""},
		{"twice", Set{Sessions: append(with(func(*Session) {}).Sessions, with(func(*Session) {}).Sessions...)}, ErrInvalid, "twice"},
		{"rule without an action", rule(models.Rule{}), ErrInvalid, "neither"},
		{"unknown protocol", rule(include(models.Match{Proto: "ipx"})), ErrInvalid, `"ipx"`},
		{"ports of icmp", rule(include(models.Match{Proto: "icmp", Dport: []models.Range{models.One(1)}})), ErrInvalid, "need tcp, udp or sctp"},
		{"ports of anything", rule(include(models.Match{Sport: []models.Range{models.One(1)}})), ErrInvalid, "need tcp, udp or sctp"},
		{"both families", rule(include(models.Match{Src: prefix("10.0.0.0/8"), Dst: prefix("::/0")})), ErrInvalid, "mixes"},
		{"VLAN 0", rule(include(models.Match{VLANs: []models.Range{models.One(0)}})), ErrInvalid, "1 to 4094"},
		{"range the wrong way", rule(include(models.Match{VLANs: []models.Range{{First: 7, Last: 6}}})), ErrInvalid, "ends before"},
		{"most sessions", many(MaxSessions, 1), nil, ""},
		{"too many sessions", many(MaxSessions+1, 1), ErrLimit, "1025"},
		{"too many destinations", many(513, 2), ErrLimit, "1026"},
		{"guard without an address", Set{Guard: []Tunnel{{}}}, ErrInvalid, "guarded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.give.Validate(port)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Validate: %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestClassesAreLimited(t *testing.T) {
	var set Set
	for i := range 1000 {
		var ports []models.Range
		for p := range 60 { // every port a class of its own
			ports = append(ports, models.One(uint16(i*60+p)))
		}
		set.Sessions = append(set.Sessions, Session{Name: fmt.Sprint(i), Destinations: to, Filter: []models.Rule{
			include(models.Match{Proto: "tcp", Sport: ports[:30], Dport: ports[30:]}),
		}})
	}
	if _, err := Compile(set, func(string) uint32 { return 0 }); err != nil {
		t.Errorf("ports of 1,000 sessions: %v", err) // classes are by session, not by port
	}
	set.Sessions = nil
	r := 0
	for i := range MaxSessions {
		var rules []models.Rule
		for range MaxRules / MaxSessions {
			var sport, dport []models.Range
			for k := range 12 { // overlaps of their own, all different
				sport = append(sport, models.Range{First: uint16(r + k*5003), Last: uint16(r + k*5003 + 8 + k)})
				dport = append(dport, models.Range{First: uint16(r + k*5003), Last: uint16(r + k*5003 + 16 + k)})
			}
			r++
			rules = append(rules, include(models.Match{Proto: "tcp", Sport: sport, Dport: dport}))
		}
		set.Sessions = append(set.Sessions, Session{Name: fmt.Sprint(i), Destinations: to, Filter: rules})
	}
	if _, err := Compile(set, func(string) uint32 { return 0 }); !errors.Is(err, ErrLimit) {
		t.Errorf("Compile of overlapping ports: %v, want ErrLimit", err)
	}
}

func TestFromModel(t *testing.T) {
	find := func(name string) (Device, bool) { return Device{name, 3}, name == "m0" }
	in := models.Session{
		Name: "a", TruncateTo: 100, SampleOneIn: 5, Filter: []models.Rule{include(models.Match{Proto: "tcp"})},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"m0"}},
	}
	got, err := FromModel(in, find)
	want := Session{Name: "a", TruncateTo: 100, SampleOneIn: 5, Filter: in.Filter, Destinations: []Device{{"m0", 3}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("FromModel = %+v, %v; want %+v", got, err, want)
	}
	in.Destination.Ports = []string{"m9"}
	if _, err := FromModel(in, find); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown interface: %v, want ErrInvalid", err)
	}
	in.Destination = models.Destination{Kind: models.DestinationGRE}
	if _, err := FromModel(in, find); !errors.Is(err, ErrInvalid) {
		t.Errorf("a tunnel: %v, want ErrInvalid", err)
	}
}

func TestSlots(t *testing.T) {
	sessions := []Session{{Name: "new"}, {Name: "kept"}, {Name: "newer"}}
	got := assignSlots(sessions, map[string]int{"gone": 0, "kept": 1, "gone too": 3})
	if d := cmp.Diff(map[string]int{"kept": 1, "new": 2, "newer": 4}, got); d != "" {
		t.Errorf("slots (-want +got):\n%s", d)
	}
}

func TestParsePin(t *testing.T) {
	for _, p := range []place{{1, roleRx}, {42, roleTx}, {7, roleCut}} {
		for _, part := range []string{partLink, partCounters, partProgram + "a", partTables + "b"} {
			got, gotPart, err := parsePin(p.pin(part))
			if err != nil || got != p || gotPart != part {
				t.Errorf("parsePin(%q) = %v, %q, %v", p.pin(part), got, gotPart, err)
			}
		}
	}
	for _, name := range []string{"", "truncation", "1-xx-link", "0-rx-link", "-1-rx-link", "01-rx-link", "1-rx", "x-rx-link"} {
		if p, part, err := parsePin(name); err == nil {
			t.Errorf("parsePin(%q) = %v, %q; want an error", name, p, part)
		}
	}
}

func TestConfigComesBack(t *testing.T) {
	set := Set{
		Sessions: []Session{{Name: "ä\n", Destinations: to, Filter: []models.Rule{include(models.Match{Proto: "tcp", Src: prefix("10.0.0.0/8")})}, TruncateTo: 99}},
		Guard:    []Tunnel{{Destination: netip.MustParseAddr("2001:db8::1"), VXLAN: true}},
	}
	want := config{Port: Device{"eth0", 2}, Direction: "rx", Set: set, Slots: map[string]int{"ä\n": 5}}
	b, _, l, err := compileSet(t, set).encode(want)
	if err != nil || len(b) != int(l.size) {
		t.Fatalf("encode: %d bytes, layout of %d, %v", len(b), l.size, err)
	}
	got, err := decodeConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, models.Prefix{})); d != "" {
		t.Errorf("config (-want +got):\n%s", d)
	}
}

func FuzzDecodeConfig(f *testing.F) {
	t := &Tables{words: 1, classes: [][]uint64{{1}}}
	b, _, _, err := t.encode(config{Port: Device{"eth0", 2}, Direction: "rx"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:headSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeConfig(b); err != nil && !errors.Is(err, errTables) {
			t.Errorf("error %v is not errTables", err)
		}
	})
}
