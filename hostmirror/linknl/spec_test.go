package linknl

import (
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	addr4, addr6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	peer4, peer6   = netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
	compareAddr    = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	compareDecoded = cmp.Options{compareAddr, cmp.AllowUnexported(Link{})}
)

// tunnel is a valid tunnel over IPv4, or over IPv6.
func tunnel(k Kind, v6 bool) Spec {
	s := Spec{Name: "span-test", Kind: k, Alias: "spanctl ids-dmz", MTU: 9000, Local: addr4, Remote: peer4, TTL: 61, TOS: TOS(10)}
	if v6 {
		s.Local, s.Remote = addr6, peer6
	}
	switch k {
	case ERSPAN2:
		s.Session, s.PortIndex = 1023, 0x54321
	case ERSPAN3:
		s.Session, s.Egress, s.HWID = 100, true, 0x2a
	case GRETap:
		s.Keyed, s.Key = true, 0xfedcba98
	case VXLAN:
		s.VNI, s.Port = 0xabcdef, VXLANPort
	}
	return s
}

type namedSpec struct {
	name string
	Spec
}

// specs is every kind in every form, with the lower link of the VLAN given.
func specs(lower string) []namedSpec {
	change := func(s Spec, f func(*Spec)) Spec { f(&s); return s }
	plain := func(s *Spec) {
		s.Alias, s.Local, s.TTL, s.TOS, s.MTU = "", netip.Addr{}, 255, 0, 1400
		s.Session, s.PortIndex, s.Egress, s.HWID = 0, 0, false, 0
	}
	inKey := func(k uint32) func(*Spec) { return func(s *Spec) { s.InKey = k } }
	unkeyed := func(s *Spec) { s.Keyed, s.Key = false, 0 }
	return []namedSpec{
		{"erspan1", tunnel(ERSPAN1, false)},
		{"erspan2", tunnel(ERSPAN2, false)},
		{"erspan3", tunnel(ERSPAN3, false)},
		{"gretap", change(tunnel(GRETap, false), unkeyed)},
		{"gretap key", tunnel(GRETap, false)},
		{"gretap key 0", change(tunnel(GRETap, false), func(s *Spec) { s.Key = 0 })},
		{"erspan1 inkey", change(tunnel(ERSPAN1, false), inKey(0xfedc1234))},
		{"erspan2 inkey", change(tunnel(ERSPAN2, false), inKey(7))},
		{"erspan3 inkey", change(tunnel(ERSPAN3, false), inKey(923))},
		{"gretap inkey", change(change(tunnel(GRETap, false), unkeyed), inKey(0xfedc1234))},
		{"gretap key inkey", change(tunnel(GRETap, false), inKey(0x12345678))},
		{"ip6erspan2 inkey", change(tunnel(ERSPAN2, true), inKey(1))},
		{"ip6gretap inkey", change(change(tunnel(GRETap, true), unkeyed), inKey(0xfedc1234))},
		{"ip6gretap key inkey", change(tunnel(GRETap, true), inKey(0x12345678))},
		{"vxlan", tunnel(VXLAN, false)},
		{"erspan1 plain", change(tunnel(ERSPAN1, false), plain)},
		{"erspan2 plain", change(tunnel(ERSPAN2, false), plain)},
		{"erspan3 plain", change(tunnel(ERSPAN3, false), plain)},
		{"erspan2 short", change(tunnel(ERSPAN2, false), func(s *Spec) { s.MTU = 68 })},
		{"vxlan plain", change(tunnel(VXLAN, false), plain)},
		{"ip6erspan2", tunnel(ERSPAN2, true)},
		{"ip6erspan3", tunnel(ERSPAN3, true)},
		{"ip6erspan3 plain", change(tunnel(ERSPAN3, true), func(s *Spec) { plain(s); s.Local = addr6 })},
		{"ip6gretap", change(tunnel(GRETap, true), unkeyed)},
		{"ip6gretap key", tunnel(GRETap, true)},
		{"vxlan over IPv6", tunnel(VXLAN, true)},
		{"vlan", Spec{Name: "span-v", Kind: VLAN, Alias: "it's $HOME; \"quoted\" \\ `x`", MTU: 1500, Lower: lower, VLAN: 900}},
		{"dummy", Spec{Name: "span-d", Kind: Dummy, MTU: 9000}},
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range specs("eth0") {
		if err := tt.Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	tests := []struct {
		name string
		base Spec
		give func(*Spec)
		want string // findings, all of them
	}{
		{"no name", tunnel(ERSPAN2, false), func(s *Spec) { s.Name = "" }, `name "" is not span- and 1 to 10 of a-z 0-9 . - _`},
		{"foreign name", tunnel(ERSPAN2, false), func(s *Spec) { s.Name = "erspan0" }, `name "erspan0" is not span- and 1 to 10 of a-z 0-9 . - _`},
		{"long name", tunnel(ERSPAN2, false), func(s *Spec) { s.Name = "span-12345678901" }, `name "span-12345678901" is not span- and 1 to 10 of a-z 0-9 . - _`},
		{"prefix only", tunnel(ERSPAN2, false), func(s *Spec) { s.Name = "span-" }, `name "span-" is not span- and 1 to 10 of a-z 0-9 . - _`},
		{"two lines", tunnel(ERSPAN2, false), func(s *Spec) { s.Alias = "a\nb" }, `alias "a\nb" is not one line of text`},
		{"long alias", tunnel(ERSPAN2, false), func(s *Spec) { s.Alias = strings.Repeat("x", 256) }, "alias of 256 bytes, at most 255"},
		{"small MTU", tunnel(ERSPAN2, false), func(s *Spec) { s.MTU = 67 }, "MTU 67 is not 68 to 65485"},
		{"large MTU", tunnel(VXLAN, true), func(s *Spec) { s.MTU = 65466 }, "MTU 65466 is not 68 to 65465"},
		{"TTL 0", tunnel(GRETap, false), func(s *Spec) { s.TTL = 0 }, "TTL 0 would be that of each mirrored packet"},
		{"ECN", tunnel(GRETap, false), func(s *Spec) { s.TOS = 0x29 }, "TOS 0x29 has ECN bits; it is the DSCP times 4"},
		{"no remote", tunnel(GRETap, false), func(s *Spec) { s.Remote = netip.Addr{} }, "no remote address"},
		{"families", tunnel(GRETap, false), func(s *Spec) { s.Local = addr6 }, "local 2001:db8::1 and remote 192.0.2.2 are of two families"},
		{"itself", tunnel(GRETap, false), func(s *Spec) { s.Local = peer4 }, "local and remote are both 192.0.2.2"},
		{"group", tunnel(VXLAN, false), func(s *Spec) { s.Remote = netip.MustParseAddr("239.1.1.1") }, "remote 239.1.1.1 is no routed address of one host"},
		{"broadcast", tunnel(VXLAN, false), func(s *Spec) { s.Remote = netip.MustParseAddr("255.255.255.255") }, "remote 255.255.255.255 is no routed address of one host"},
		{"any", tunnel(VXLAN, true), func(s *Spec) { s.Local = netip.IPv6Unspecified() }, "local :: is no routed address of one host"},
		{"zone", tunnel(VXLAN, true), func(s *Spec) { s.Remote = netip.MustParseAddr("2001:db8::2%eth0") }, "remote 2001:db8::2%eth0 is not written plainly"},
		{"type I over IPv6", tunnel(ERSPAN1, true), func(*Spec) {}, "the kernel has no ERSPAN type I over IPv6"},
		{"GRE over IPv6 from anywhere", tunnel(ERSPAN3, true), func(s *Spec) { s.Local = netip.Addr{} }, "no local address, without which GRE over IPv6 sends nothing"},
		{"session", tunnel(ERSPAN3, false), func(s *Spec) { s.Session = 1024 }, "session id 1024 is above 1023"},
		{"index", tunnel(ERSPAN2, false), func(s *Spec) { s.PortIndex = 1 << 20 }, "index 1048576 is above 1048575"},
		{"hwid", tunnel(ERSPAN3, false), func(s *Spec) { s.HWID = 64 }, "hardware id 64 is above 63"},
		{"key without", tunnel(GRETap, false), func(s *Spec) { s.Keyed = false }, "key 4275878552 of a header without key"},
		{"ERSPAN key on receipt", tunnel(ERSPAN2, false), func(s *Spec) { s.InKey = 1024 }, "key 1024 on receipt is above 1023"},
		{"key on receipt twice", tunnel(GRETap, false), func(s *Spec) { s.InKey = s.Key }, "key 4275878552 on receipt is the one of sending, which is written 0"},
		{"VXLAN has no key on receipt", tunnel(VXLAN, false), func(s *Spec) { s.InKey = 1 }, "VXLAN has no key on receipt"},
		{"vni", tunnel(VXLAN, false), func(s *Spec) { s.VNI = 1 << 24 }, "VNI 16777216 is above 16777215"},
		{"port", tunnel(VXLAN, false), func(s *Spec) { s.Port = 0 }, "port 0"},
		{"VLAN 0", Spec{Name: "span-v", Kind: VLAN, MTU: 1500, Lower: "eth0"}, func(*Spec) {}, "VLAN 0 is not 1 to 4094"},
		{"VLAN 4095", Spec{Name: "span-v", Kind: VLAN, MTU: 1500, Lower: "eth0", VLAN: 4095}, func(*Spec) {}, "VLAN 4095 is not 1 to 4094"},
		{"no lower", Spec{Name: "span-v", Kind: VLAN, MTU: 1500, VLAN: 1}, func(*Spec) {}, `lower link "" is no name of one`},
		{"lower itself", Spec{Name: "span-v", Kind: VLAN, MTU: 1500, VLAN: 1, Lower: "span-v"}, func(*Spec) {}, `lower link "span-v" is itself`},
		{"dummy with all", tunnel(ERSPAN2, false), func(s *Spec) {
			s.Kind, s.Egress, s.HWID, s.Keyed, s.VNI, s.Port, s.Lower, s.VLAN = Dummy, true, 1, true, 1, 1, "eth0", 1
		}, "dummy has no addresses; dummy has neither TTL nor TOS; dummy has no session id; dummy has no index; dummy has no direction; " +
			"dummy has no hardware id; dummy has no key; dummy has no VNI; dummy has no port; dummy has no lower link; dummy has no VLAN"},
		{"kind unset", Spec{Name: "span-v", MTU: 1500}, func(*Spec) {}, "kind(0) is none to make"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.base
			tt.give(&s)
			err := s.Validate()
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want one that wraps ErrInvalid", err)
			}
			if d := cmp.Diff("invalid link: "+tt.want, err.Error()); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

func TestName(t *testing.T) {
	a, b := Name("leaf1/ids-dmz"), Name("leaf1/ids-dmz2")
	if a == b || !ourName(a) || len(a) != maxName || a != Name("leaf1/ids-dmz") {
		t.Errorf("names %q and %q: want two of ours, of %d characters, always the same", a, b, maxName)
	}
	if a != "span-dtbhzx3u6j" {
		t.Errorf("name %q: links made before would no longer be found", a)
	}
}

func TestString(t *testing.T) {
	want := map[string]string{
		"erspan1":       "ip link add name span-test mtu 9000 group 0x5350414e type erspan local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df erspan_ver 0 && ip link set dev span-test alias 'spanctl ids-dmz' addrgenmode none && ip link set dev span-test up",
		"erspan3":       "ip link add name span-test mtu 9000 group 0x5350414e type erspan seq key 100 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df erspan_ver 2 erspan_dir egress erspan_hwid 42 && ip link set dev span-test alias 'spanctl ids-dmz' addrgenmode none && ip link set dev span-test up",
		"erspan2 short": "ip link add name span-test mtu 68 group 0x5350414e type erspan seq key 1023 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df erspan_ver 1 erspan 344865 && ip link set dev span-test alias 'spanctl ids-dmz' && ip link set dev span-test up",
		"ip6gretap":     "ip link add name span-test mtu 9000 group 0x5350414e type ip6gretap local 2001:db8::1 remote 2001:db8::2 hoplimit 61 tclass 0x28 encaplimit none && ip link set dev span-test alias 'spanctl ids-dmz' addrgenmode none && ip link set dev span-test up",
		"erspan2 inkey": "ip link add name span-test mtu 9000 group 0x5350414e type erspan seq ikey 7 okey 1023 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df erspan_ver 1 erspan 344865 && ip link set dev span-test alias 'spanctl ids-dmz' addrgenmode none && ip link set dev span-test up",
		"gretap inkey":  "ip link add name span-test mtu 9000 group 0x5350414e type gretap ikey 4275835444 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df && ip link set dev span-test alias 'spanctl ids-dmz' addrgenmode none && ip link set dev span-test up",
		"vxlan plain":   "ip link add name span-test mtu 1400 group 0x5350414e type vxlan id 11259375 remote 192.0.2.2 ttl 255 tos 0x00 dstport 4789 nolearning && ip link set dev span-test addrgenmode none && ip link set dev span-test up",
		"vlan":          `ip link add link 'a b' name span-v mtu 1500 group 0x5350414e type vlan protocol 802.1Q id 900 && ip link set dev span-v alias 'it'\''s $HOME; "quoted" \ ` + "`x`" + `' addrgenmode none && ip link set dev span-v up`,
		"dummy":         "ip link add name span-d mtu 9000 group 0x5350414e type dummy && ip link set dev span-d addrgenmode none && ip link set dev span-d up",
	}
	for _, tt := range specs("a b") {
		w, ok := want[tt.name]
		if !ok {
			continue
		}
		delete(want, tt.name)
		if d := cmp.Diff(w, tt.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
}

// A shell takes the line apart as we do.
func TestStringInShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("SKIPPED, no sh: ", err)
	}
	for _, tt := range specs("a'b $x") {
		out, err := exec.CommandContext(t.Context(), sh, "-c", `ip() { printf '<%s>' "$@"; }; `+tt.String()).Output()
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		words, err := split(tt.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if w != "ip" && w != "&&" {
				want.WriteString("<" + w + ">")
			}
		}
		if d := cmp.Diff(want.String(), string(out)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range specs("eth0.5@x") {
		got, err := Parse(tt.String())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if d := cmp.Diff(tt.Spec, got, compareAddr); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	line := tunnel(ERSPAN2, false).String()
	change := func(old, to string) string {
		t.Helper()
		if !strings.Contains(line, old) {
			t.Fatalf("%q is not in %q", old, line)
		}
		return strings.Replace(line, old, to, 1)
	}
	refused := []struct {
		name, give string
		want       error
	}{
		{"nothing", "", ErrSyntax},
		{"another command", "ip link del dev span-test", ErrSyntax},
		{"a command behind", line + "; reboot", ErrSyntax},
		{"a command before", "true && " + line, ErrSyntax},
		{"another end", change(" up", " down"), ErrSyntax},
		{"another link set up", change("dev span-test up", "dev eth0 up"), ErrSyntax},
		{"without ignore-df", change(" ignore-df", ""), ErrSyntax},
		{"with path MTU discovery", change("nopmtudisc", "pmtudisc"), ErrSyntax},
		{"another group", change("0x5350414e", "7"), ErrSyntax},
		{"another order", change("seq key 1023", "key 1023 seq"), ErrSyntax},
		{"an option of another kind", change(" nopmtudisc", " nolearning nopmtudisc"), ErrSyntax},
		{"an option twice", change("key 1023", "key 1023 key 1023"), ErrSyntax},
		{"another number", change("key 1023", "key 0x3ff"), ErrSyntax},
		{"a large session", change("key 1023", "key 66559"), ErrSyntax}, // 65536+1023
		{"an unknown version", change("erspan_ver 1", "erspan_ver 3"), ErrSyntax},
		{"two spaces", change(" seq", "  seq"), ErrSyntax},
		{"an open quote", line + " '", ErrSyntax},
		{"inherited TTL", change("ttl 61", "ttl inherit"), ErrSyntax},
		{"TTL 0", change("ttl 61", "ttl 0"), ErrInvalid},
		{"a foreign name", strings.ReplaceAll(line, "span-test", "eth0"), ErrInvalid},
		{"an alias too much", change("addrgenmode none", "addrgenmode none alias x"), ErrSyntax},
	}
	for _, tt := range refused {
		if s, err := Parse(tt.give); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v; %+v", tt.name, err, tt.want, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range specs("a b") {
		f.Add(tt.String())
	}
	f.Add(`ip link add name 'a'\''b`)
	f.Fuzz(func(t *testing.T, line string) {
		s, err := Parse(line)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v of no kind", err)
			}
			return
		}
		if s.String() != line {
			t.Fatalf("%q is read, and written as %q", line, s)
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSpec goes the other way: what is valid is written, and read again.
func FuzzSpec(f *testing.F) {
	f.Add(uint8(2), "x", "alias", "eth0", 1500, []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}, uint64(0x1234567890abcdef))
	f.Add(uint8(6), "y", "it's", "a'b c", 70, []byte{}, []byte{}, uint64(900))
	f.Fuzz(func(t *testing.T, kind uint8, name, alias, lower string, mtu int, local, remote []byte, bits uint64) {
		s := Spec{Name: Prefix + name, Kind: Kind(kind % 8), Alias: alias, MTU: mtu}
		s.Local, _ = netip.AddrFromSlice(local)
		s.Remote, _ = netip.AddrFromSlice(remote)
		if s.Kind.Tunnel() {
			s.TTL, s.TOS = uint8(bits), uint8(bits>>8)&^3
		}
		switch s.Kind {
		case ERSPAN2:
			s.Session, s.PortIndex = uint16(bits>>16)&maxSession, uint32(bits>>32)&maxIndex
		case ERSPAN3:
			s.Session, s.Egress, s.HWID = uint16(bits>>16)&maxSession, bits>>32&1 == 1, uint8(bits>>33)&maxHWID
		case GRETap:
			if s.Keyed = bits>>16&1 == 1; s.Keyed {
				s.Key = uint32(bits >> 32)
			}
			s.InKey = uint32(bits>>24) & 0xff
		case ERSPAN1:
			s.InKey = uint32(bits >> 16)
		case VXLAN:
			s.VNI, s.Port = uint32(bits>>16)&maxVNI, uint16(bits>>40)
		case VLAN:
			s.Lower, s.VLAN = lower, uint16(bits)&0xfff
		}
		if s.Validate() != nil {
			return
		}
		got, err := Parse(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if got != s {
			t.Fatalf("%q\n reads as %+v\n but is   %+v", s, got, s)
		}
	})
}

func TestTypeWords(t *testing.T) {
	words := make(map[string]bool)
	for _, w := range TypeWords() {
		words[w] = true
	}
	used := make(map[string]bool)
	for _, tt := range specs("eth0") {
		used[tt.TypeWord()] = true
	}
	if d := cmp.Diff(used, words); d != "" {
		t.Errorf("(-of all kinds +listed):\n%s", d)
	}
}
