package models

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNormalizeRules(t *testing.T) {
	pfx := func(s string) Prefix { return Prefix{netip.MustParsePrefix(s)} }
	incl := func(m Match) Rule { return Rule{Action: Include, Match: m} }
	excl := func(m Match) Rule { return Rule{Action: Exclude, Match: m} }
	tests := []struct {
		name       string
		give, want []Rule
	}{
		{"none", nil, nil},
		{"protocol number gets its name",
			[]Rule{incl(Match{Proto: "6", Src: pfx("10.0.0.0/8")})},
			[]Rule{incl(Match{Proto: "tcp", Src: pfx("10.0.0.0/8")})}},
		{"any beside a prefix says nothing",
			[]Rule{incl(Match{Src: pfx("0.0.0.0/0"), Dst: pfx("10.0.0.0/8")})},
			[]Rule{incl(Match{Dst: pfx("10.0.0.0/8")})}},
		{"any beside icmp says nothing",
			[]Rule{incl(Match{Proto: "icmp", Dst: pfx("0.0.0.0/0")})},
			[]Rule{incl(Match{Proto: "icmp"})}},
		{"any that says the version moves to the source",
			[]Rule{incl(Match{Proto: "tcp", Dst: pfx("::/0")})},
			[]Rule{incl(Match{Proto: "tcp", Src: pfx("::/0")})}},
		{"both any",
			[]Rule{incl(Match{Src: pfx("0.0.0.0/0"), Dst: pfx("0.0.0.0/0")})},
			[]Rule{incl(Match{Src: pfx("0.0.0.0/0")})}},
		{"exclusion takes the version of all inclusions",
			[]Rule{excl(Match{Proto: "tcp"}), incl(Match{Src: pfx("10.0.0.0/8")})},
			[]Rule{excl(Match{Proto: "tcp", Src: pfx("0.0.0.0/0")}), incl(Match{Src: pfx("10.0.0.0/8")})}},
		{"exclusion of two versions stays",
			[]Rule{excl(Match{Proto: "tcp"}), incl(Match{Src: pfx("10.0.0.0/8")}), incl(Match{Src: pfx("2001:db8::/32")})},
			[]Rule{excl(Match{Proto: "tcp"}), incl(Match{Src: pfx("10.0.0.0/8")}), incl(Match{Src: pfx("2001:db8::/32")})}},
		{"exclusions alone stay",
			[]Rule{excl(Match{Proto: "tcp"})},
			[]Rule{excl(Match{Proto: "tcp"})}},
		{"inclusion of both versions stays",
			[]Rule{excl(Match{Proto: "udp"}), incl(Match{Proto: "tcp"})},
			[]Rule{excl(Match{Proto: "udp"}), incl(Match{Proto: "tcp"})}},
		{"ports of neighbours are joined",
			[]Rule{incl(Match{Proto: "tcp", Dport: []Range{One(80)}}), incl(Match{Proto: "tcp", Dport: []Range{One(443)}})},
			[]Rule{incl(Match{Proto: "tcp", Dport: []Range{One(80), One(443)}})}},
		{"a product of ports is joined",
			[]Rule{
				incl(Match{Proto: "tcp", Sport: []Range{One(1)}, Dport: []Range{One(10)}}),
				incl(Match{Proto: "tcp", Sport: []Range{One(1)}, Dport: []Range{One(20)}}),
				incl(Match{Proto: "tcp", Sport: []Range{One(5)}, Dport: []Range{One(10)}}),
				incl(Match{Proto: "tcp", Sport: []Range{One(5)}, Dport: []Range{One(20)}}),
			},
			[]Rule{incl(Match{Proto: "tcp", Sport: []Range{One(1), One(5)}, Dport: []Range{One(10), One(20)}})}},
		{"no port is all ports, and is not joined",
			[]Rule{incl(Match{Proto: "tcp"}), incl(Match{Proto: "tcp", Dport: []Range{One(443)}})},
			[]Rule{incl(Match{Proto: "tcp"}), incl(Match{Proto: "tcp", Dport: []Range{One(443)}})}},
		{"other action is not joined",
			[]Rule{incl(Match{Proto: "tcp", Dport: []Range{One(80)}}), excl(Match{Proto: "tcp", Dport: []Range{One(443)}})},
			[]Rule{incl(Match{Proto: "tcp", Dport: []Range{One(80)}}), excl(Match{Proto: "tcp", Dport: []Range{One(443)}})}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := NormalizeRules(tt.give)
			if d := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b Prefix) bool { return a == b })); d != "" {
				t.Errorf("NormalizeRules (-want +got):\n%s", d)
			}
			if d := cmp.Diff(got, NormalizeRules(got), cmp.Comparer(func(a, b Prefix) bool { return a == b })); d != "" {
				t.Errorf("normalizing again changes it (-once +twice):\n%s", d)
			}
		})
	}
}
