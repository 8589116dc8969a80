package iproute

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

var cookie = []byte{0x53, 0x50, 0x4e, 1, 0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44, 0x49, 0x6d, 0, 0}

const cookieHex = "53504e01aabbccdd11223344496d0000"

// ourAction is a copy as spanctl makes it, to m0 with index 7.
func ourAction(index uint32) tcnl.Action {
	return tcnl.Action{Kind: "mirred", Index: index, Verdict: tcnl.Continue, Cookie: cookie, Mirred: &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: 7}}
}

// TestFilters reads the texts of several versions. TestAgainstNetlink compares all of a
// running kernel and its tc; these are what is not on one machine at a time.
func TestFilters(t *testing.T) {
	id := func(pref uint16, proto uint16, kind string, h uint32) tcnl.ID {
		return tcnl.ID{Ifindex: 3, Hook: tcnl.Ingress, Priority: pref, Protocol: proto, Kind: kind, Handle: h}
	}
	const all = tcnl.ProtocolAll
	tests := []struct {
		name, give string
		want       []tcnl.Filter
	}{
		{"nothing", "", nil},
		{"6.1 matchall with statistics", `filter protocol all pref 21328 matchall chain 0 
filter protocol all pref 21328 matchall chain 0 handle 0x1 
  not_in_hw (rule hit 12)
	action order 1: mirred (Egress Mirror to device m0) continue
 	index 1 ref 1 bind 1 installed 3 sec used 2 sec firstused 3 sec
	Action statistics:
	Sent 4294967400 bytes 12 pkt (dropped 1, overlimits 2 requeues 3) 
	backlog 0b 0p requeues 0
	cookie ` + cookieHex + `
	no_percpu
	used_hw_stats delayed

`, []tcnl.Filter{{ID: id(21328, all, "matchall", 1), CatchAll: true, Actions: []tcnl.Action{func() tcnl.Action {
			a := ourAction(1)
			a.Stats = tcnl.Stats{Bytes: 4294967400, Packets: 12, Drops: 1, Overlimits: 2, Requeues: 3}
			return a
		}()}}}},
		{"4.12: no chain, the cookie with its length", `filter protocol all pref 21328 u32 
filter protocol all pref 21328 u32 fh 800: ht divisor 1 
filter protocol all pref 21328 u32 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid ??? 
  match 00000000/00000000 at 0
	action order 1: mirred (Egress Mirror to device m0) continue
 	index 4 ref 1 bind 1
	cookie len 16 ` + cookieHex + ` 

`, []tcnl.Filter{
			{ID: id(21328, all, "u32", 0x80000000), Table: true},
			{ID: id(21328, all, "u32", 0x80000800), CatchAll: true, Actions: []tcnl.Action{ourAction(4)}},
		}},
		{"filter get names device and hook", `filter dev p0 ingress protocol all pref 21328 u32 chain 0 fh 800:12:801 order 2049 key ht 800 bkt 12 terminal flowid not_in_hw 
  match 00000000/00000000 at 0
	action order 1: mirred (Egress Mirror to device m0) continue
	index 1 ref 1 bind 1
	cookie ` + cookieHex + `
`, []tcnl.Filter{{ID: id(21328, all, "u32", 0x80012801), CatchAll: true, Actions: []tcnl.Action{ourAction(1)}}}},
		{"a shared block", "filter block 22 protocol ip pref 5 flower chain 0 handle 0x2 \n  eth_type ipv4\n\taction order 1: gact action drop\n\t random type none pass val 0\n\t index 1 ref 1 bind 1\n",
			[]tcnl.Filter{{ID: id(5, 0x0800, "flower", 2), Block: 22, Actions: []tcnl.Action{{Kind: "gact", Index: 1, Verdict: tcnl.Shot}}}}},
		{"u32 that is not terminal, that looks at a bit, that has no match", `filter protocol ip pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 link 1: 
  match 00000000/00000000 at 0
filter protocol ip pref 2 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 *flowid 1:1 not_in_hw 
  match 00000000/00000000 at 0 (success 0 ) 
  match 0a000000/ff000000 at nexthdr+16
filter protocol ip pref 3 u32 chain 0 fh 802::800 order 2048 key ht 802 bkt 0 flowid 1:1 not_in_hw  (rule hit 3 success 3)
  match 00000000/00000000 at 0 (success 3 ) 
filter protocol ip pref 4 u32 chain 0 fh 803::800 order 2048 key ht 803 bkt 0 terminal flowid 
`, []tcnl.Filter{
			{ID: id(1, 0x0800, "u32", 0x80000800)}, {ID: id(2, 0x0800, "u32", 0x80100800), Class: 0x10001},
			{ID: id(3, 0x0800, "u32", 0x80200800), CatchAll: true, Class: 0x10001}, {ID: id(4, 0x0800, "u32", 0x80300800)},
		}},
		{"u32 that compares, and that does more", `filter protocol all pref 21327 u32 chain 0 
filter protocol all pref 21327 u32 chain 0 fh 800: ht divisor 1 
filter protocol all pref 21327 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 5350:45 not_in_hw 
  match 40000000/f0000000 at 0
  match 002f0000/00ff0000 at 8 (success 0 ) 
  match c0000209/ffffffff at 16
filter protocol all pref 21328 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 flowid 5350:45 not_in_hw 
  match 40000000/f0000000 at 0
    offset 0f00>>6 at 0  eat 
`, []tcnl.Filter{
			{ID: id(21327, all, "u32", 0x80000000), Table: true},
			{ID: id(21327, all, "u32", 0x80000800), Class: 0x53500045, Keys: []tcnl.Key{
				{Value: 0x40000000, Mask: 0xf0000000}, {Value: 0x2f0000, Mask: 0xff0000, Offset: 8}, {Value: 0xc0000209, Mask: 0xffffffff, Offset: 16},
			}},
			{ID: id(21328, all, "u32", 0x80100800), Class: 0x53500045},
		}},
		{"a program that drops all", "filter protocol all pref 1 bpf chain 0 handle 0x1 direct-action not_in_hw bytecode '1,6 0 0 2'\n",
			[]tcnl.Filter{{ID: id(1, all, "bpf", 1), Direct: true, DropAll: true}}},
		{"programs", `filter protocol all pref 1 bpf chain 0 handle 0x1 mirror.o:[classifier] direct-action not_in_hw id 12 name mirror tag 3b185187f1855c4c jited 
filter protocol all pref 2 bpf chain 0 handle 0x1 flowid 1:1 not_in_hw bytecode '1,6 0 0 4294967295'
filter protocol all pref 3 bpf chain 0 handle 0x1 bytecode '2,40 0 0 12,6 0 0 0'
filter protocol all pref 4 bpf chain 0 handle 0x1 bytecode '3,40 0 0 12,6 0 0 0'
filter protocol all pref 5 bpf chain 0 handle 0x1 id 7 tag 3b185187f1855c4c 
`, []tcnl.Filter{
			{ID: id(1, all, "bpf", 1), Direct: true, Name: "mirror.o:[classifier]"},
			{ID: id(2, all, "bpf", 1), CatchAll: true},
			{ID: id(3, all, "bpf", 1), Program: []tcnl.Instruction{{Code: 40, K: 12}, {Code: 6}}},
			{ID: id(4, all, "bpf", 1)},
			{ID: id(5, all, "bpf", 1)},
		}},
		{"sampled", "filter protocol all pref 21328 matchall chain 0 handle 0x1\n\taction order 1: gact action continue\n\t random type determ pipe val 10\n\t index 1 ref 1 bind 1\n\tcookie " + cookieHex +
			"\n\taction order 2: mirred (Egress Mirror to device m0) continue\n\tindex 2 ref 1 bind 1\n\tcookie " + cookieHex + "\n",
			[]tcnl.Filter{{ID: id(21328, all, "matchall", 1), CatchAll: true, Actions: []tcnl.Action{
				{Kind: "gact", Index: 1, Verdict: tcnl.Continue, Cookie: cookie, Chance: &tcnl.Chance{Type: tcnl.Determ, OneIn: 10, Verdict: tcnl.Pipe}}, ourAction(2),
			}}}},
		{"what others have", `filter protocol [4660] pref 9 flower chain 0 handle 0x1 
  dst_mac 02:00:00:00:00:01
	action order 1:  police 0x1 rate 1Mbit burst 10Kb mtu 2Kb action drop overhead 0b 
	ref 1 bind 1
	action order 2: tunnel_key  set
	src_ip 192.0.2.1
	dst_ip 192.0.2.2 pipe
	 index 1 ref 1 bind 1
	action order 3: mirred (Egress Redirect to device gone) stolen
	index 2 ref 1 bind 1
	action order 4: mirred (Egress Mirror to blockid 22) pipe
	index 3 ref 1 bind 1
filter protocol snap pref 10 fw chain 0 handle 0x1/0xff classid 1:1 
filter parent ffff: protocol ip pref 11 exotic chain 0 fh 0000000a [Unknown filter, optlen=8] 
filter protocol ip pref 12 flower chain 0 handle 0x1 
	action order 1: gact action goto chain 5
`, []tcnl.Filter{
			{ID: id(9, 4660, "flower", 1), Actions: []tcnl.Action{
				{Kind: "police"}, {Kind: "tunnel_key", Index: 1},
				{Kind: "mirred", Index: 2, Verdict: tcnl.Stolen, Mirred: &tcnl.Mirred{Mode: tcnl.EgressRedirect}},
				{Kind: "mirred", Index: 3, Verdict: tcnl.Pipe, Mirred: &tcnl.Mirred{Mode: tcnl.EgressMirror}},
			}},
			{ID: id(10, otherProtocol, "fw", 1)}, {ID: id(11, 0x0800, "exotic", 10)},
			{ID: id(12, 0x0800, "flower", 1), Actions: []tcnl.Action{{Kind: "gact"}}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Filters(tt.give, 3, tcnl.Ingress, Names{"m0": 7, "p0": 3})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestMalformed: what concerns a mirror and is not understood is an error.
func TestMalformed(t *testing.T) {
	filters := func(text string) error { _, err := Filters(text, 3, tcnl.Ingress, nil); return err }
	qdiscs := func(text string) error { _, err := Qdiscs(text, Names{"p0": 3}); return err }
	links := func(text string) error { _, _, err := Links(text); return err }
	neighs := func(text string) error { _, err := Neighs(text, nil); return err }
	tests := []struct {
		name string
		read func(string) error
		text string
	}{
		{"not a filter", filters, "Usage: tc [ OPTIONS ] OBJECT\n"},
		{"cut header", filters, "filter protocol all pref\n"},
		{"no protocol", filters, "filter pref 5 u32 chain 0\n"},
		{"priority", filters, "filter protocol all pref 65536 u32 chain 0\n"},
		{"priority 0", filters, "filter protocol all pref 0 u32 chain 0\n"},
		{"chain", filters, "filter protocol all pref 5 u32 chain x handle 0x1\n"},
		{"block", filters, "filter block x protocol all pref 5 u32\n"},
		{"handle", filters, "filter protocol all pref 5 matchall chain 0 handle zero\n"},
		{"u32 handle", filters, "filter protocol all pref 5 u32 chain 0 fh 800\n"},
		{"u32 handle too large", filters, "filter protocol all pref 5 u32 chain 0 fh 800::8000\n"},
		{"protocol number", filters, "filter protocol [65536] pref 5 u32 chain 0\n"},
		{"action without a name", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1:\n"},
		{"mirred", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1: mirred something else\n"},
		{"odd cookie", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1: gact action pass\n\tcookie 535\n"},
		{"chance", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1: gact action pass\n\t random type determ pass val 65536\n"},
		{"counters", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1: gact action pass\n\tSent 99999999999999999999 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)\n"},
		{"index", filters, "filter protocol all pref 5 matchall chain 0 handle 0x1\n\taction order 1: gact action pass\n\tindex 4294967296 ref 1\n"},
		{"qdisc without device", qdiscs, "qdisc clsact ffff: parent ffff:fff1\n"},
		{"qdisc handle", qdiscs, "qdisc clsact zzz: dev p0 parent ffff:fff1\n"},
		{"qdisc parent", qdiscs, "qdisc clsact ffff: dev p0 parent fff1\n"},
		{"links are no JSON", links, "1: lo: <LOOPBACK>"},
		{"links cut", links, `[{"ifindex":1,"ifname":"lo"`},
		{"link without index", links, `[{"ifname":"p0","mtu":1500}]`},
		{"link without name", links, `[{"ifindex":3}]`},
		{"master", links, `[{"ifindex":3,"ifname":"p0","master":"br0"}]`},
		{"prefix length", links, `[{"ifindex":3,"ifname":"p0","addr_info":[{"local":"192.0.2.1","prefixlen":33}]}]`},
		{"addresses learned are no JSON", neighs, "33:33:00:00:00:01 dev p0 self permanent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.read(tt.text); !errors.Is(err, tcnl.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestQdiscs(t *testing.T) {
	const text = `qdisc noqueue 0: dev lo root refcnt 2 
qdisc clsact ffff: dev p0 parent ffff:fff1 ingress_block 22 ----------------
qdisc fq_codel 8001: dev p0 root refcnt 2 limit 10240p flows 1024
 Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) 
qdisc fq_codel 0: dev p0 parent 8002:1a limit 10240p
qdisc clsact ffff: dev new parent ffff:fff1 
`
	got, err := Qdiscs(text, Names{"lo": 1, "p0": 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []tcnl.Qdisc{
		{Ifindex: 1, Kind: "noqueue", Parent: 0xffffffff}, {Ifindex: 3, Kind: "clsact", Handle: 0xffff0000, Parent: 0xfffffff1},
		{Ifindex: 3, Kind: "fq_codel", Handle: 0x80010000, Parent: 0xffffffff}, {Ifindex: 3, Kind: "fq_codel", Parent: 0x8002001a},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestVersion(t *testing.T) {
	tests := []struct {
		give, want string
		cookies    bool
	}{
		{"tc utility, iproute2-6.1.0, libbpf 1.1.2\n", "6.1.0", true},
		{"tc utility, iproute2-5.10.0\n", "5.10.0", true},
		{"tc utility, iproute2-ss200127\n", "200127", true},
		{"tc utility, iproute2-ss170501\n", "170501", false},
		{"tc utility, iproute2-ss190107, libbpf 0.1\n", "190107", true},
		{"BusyBox v1.35.0 (Debian 1:1.35.0-4) multi-call binary.\n", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got, cookies := Version(tt.give); got != tt.want || cookies != tt.cookies {
			t.Errorf("Version(%q) = %q, %t, want %q, %t", tt.give, got, cookies, tt.want, tt.cookies)
		}
	}
}

// FuzzFilters: no text makes the readers fail, and what they give is whole.
func FuzzFilters(f *testing.F) {
	f.Add("filter protocol all pref 21328 matchall chain 0 handle 0x1 \n\taction order 1: mirred (Egress Mirror to device m0) continue\n\tindex 1 ref 1 bind 1\n\tcookie " + cookieHex + "\n")
	f.Add("filter protocol all pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid\n  match 00000000/00000000 at 0\n")
	f.Add("filter protocol all pref 3 bpf chain 0 handle 0x1 bytecode '2,40 0 0 12,6 0 0 0'\n\taction order 1: gact action continue\n\t random type determ pipe val 10\n")
	f.Add("filter block 22 protocol ip pref 5 flower chain 0 handle 0x2\n  match \n")
	f.Add("qdisc clsact ffff: dev p0 parent ffff:fff1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := Filters(text, 3, tcnl.Egress, Names{"m0": 7}); err == nil {
			for _, g := range got {
				if g.Ifindex != 3 || g.Hook != tcnl.Egress || g.Priority == 0 || g.Protocol == 0 || g.Handle == 0 || g.Kind == "" {
					t.Errorf("%q gives %+v", text, g)
				}
			}
		} else if !errors.Is(err, tcnl.ErrMalformed) || got != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if _, err := Qdiscs(text, Names{"p0": 3}); err != nil && !errors.Is(err, tcnl.ErrMalformed) {
			t.Error(err)
		}
		Version(text)
	})
}
