package iproute

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// TestAgainstNetlink makes filters of all sorts and compares what is read of the
// commands' output with what the kernel itself tells over netlink.
func TestAgainstNetlink(t *testing.T) {
	kerneltest.NeedIproute(t)
	n, other := kerneltest.NewNS(t), kerneltest.NewNS(t)
	names := make(Names)
	for _, dev := range []string{"p0", "p1", "m'0", "a)b", "gone"} {
		kerneltest.Veth(t, n, dev, other, dev)
		names[dev] = n.Index(dev)
	}
	names["lo"] = 1
	for _, line := range []string{
		"ip link set lo up", "ip address add 192.0.2.1/24 dev p1", "ip address add 192.0.2.5 peer 192.0.2.6/32 dev p1", "ip address add 2001:db8::1/64 dev p1",
		"ip link add br0 type bridge", "ip link set p0 master br0", "ip link set br0 up", "ip link set p1 down",
		"ip link add v0 type veth peer name v1", "ip link add link p1 name mv0 type macvlan",
		"bridge fdb add 02:00:00:00:00:01 dev p0 master", "bridge fdb add 02:00:00:00:00:02 dev p0 master dynamic",
		"tc qdisc add dev p0 clsact", "tc qdisc add dev p1 ingress", "tc qdisc add dev m'0 root handle 8001: prio",
	} {
		w := strings.Fields(line)
		if _, err := n.Command(w[0], w[1:]...); err != nil && !strings.Contains(line, "macvlan") && !strings.Contains(line, "prio") {
			t.Fatal(err)
		}
	}
	const cookie = " cookie 53504e01aabbccdd1122334449010001"
	made := make(map[string]int)
	for _, line := range []string{
		"dev p0 ingress pref 1 protocol all matchall action mirred egress mirror dev m'0 continue" + cookie,
		"dev p0 ingress pref 2 protocol all u32 match u32 0 0 action mirred egress mirror dev a)b continue" + cookie,
		"dev p0 ingress pref 3 protocol all bpf bytecode 1,6__0__0__4294967295 action mirred egress mirror dev m'0 continue" + cookie,
		"dev p0 ingress pref 4 protocol all bpf bytecode 4,40__0__0__12,21__0__1__2048,6__0__0__4294967295,6__0__0__0 action mirred egress mirror dev gone continue" + cookie,
		"dev p0 ingress pref 5 protocol ip u32 match ip dst 192.0.2.1/32 match ip sport 80 0xffff action mirred egress redirect dev m'0",
		"dev p0 ingress pref 6 protocol ipv6 u32 match u32 0 0 flowid 1:1",
		"dev p0 ingress pref 7 protocol 0x1234 u32 match u32 0 0 action mirred ingress mirror dev m'0 pipe action mirred ingress redirect dev m'0 index 77",
		"dev p0 ingress pref 8 protocol 802.1Q u32 divisor 16",
		"dev p0 ingress pref 9 protocol all flower action mirred egress mirror dev m'0 continue" + cookie,
		"dev p0 ingress pref 10 protocol ip flower dst_ip 192.0.2.0/24 ip_proto tcp dst_port 80 action drop",
		"dev p0 ingress pref 11 protocol all matchall action gact continue random determ pipe 10" + cookie + " action mirred egress mirror dev m'0 continue" + cookie,
		"dev p0 ingress pref 12 protocol all matchall action gact continue random netrand drop 300",
		"dev p0 ingress pref 13 protocol all matchall action vlan push id 100 pipe action mirred egress redirect dev m'0",
		"dev p0 ingress pref 14 protocol all matchall action skbedit mark 1 continue",
		"dev p0 ingress pref 15 protocol all matchall action pass",
		"dev p0 ingress pref 16 chain 3 protocol all u32 match u32 0 0 action mirred egress mirror dev m'0 continue cookie 0102",
		"dev p0 egress pref 17 protocol all u32 match u32 0x12345678 0xffffffff at 0 action mirred egress mirror dev m'0 continue" + cookie,
		"dev p0 egress pref 18 protocol all bpf bytecode 1,6__0__0__0 direct-action",
		"dev p0 egress pref 19 protocol all basic action mirred egress mirror dev m'0 pipe",
		"dev p1 egress pref 21327 protocol all u32 match u8 0x40 0xf0 at 0 match ip protocol 47 0xff match ip dst 192.0.2.9/32 classid 5350:45",
		"dev p1 egress pref 21327 protocol all u32 match u8 0x60 0xf0 at 0 match ip6 protocol 17 0xff match ip6 dst 2001:db8::9/128 match ip6 dport 4789 0xffff classid 5350:45",
		"dev p1 ingress pref 1 protocol all bpf bytecode 1,6__0__0__2 direct-action",
		"dev p1 ingress pref 49152 protocol arp u32 match u32 0 0 action mirred egress mirror dev m'0 continue",
	} {
		w := strings.Fields("filter add " + line)
		for i := range w {
			w[i] = strings.ReplaceAll(w[i], "__", " ")
		}
		if _, err := n.Command("tc", w...); err != nil {
			t.Logf("not here: %v", err) // a kernel without this kind of filter or action
			continue
		}
		for _, kind := range []string{"matchall", "u32", "bpf", "flower", "basic", "gact"} {
			if slices.Contains(w, kind) {
				made[kind]++
			}
		}
	}
	if made["u32"] == 0 && made["matchall"] == 0 {
		t.Fatalf("made %v: too little to compare", made)
	}
	t.Logf("compared: %v", made)
	n.Run("ip link del gone")
	delete(names, "gone")
	other.Send("p0", kerneltest.TestFrame(kerneltest.Broadcast, "count", 0, 100), 5)

	conn, err := tcnl.Open(n.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)

	links, addrs, err := Links(n.Run("ip -j -d addr show"))
	if err != nil {
		t.Fatal(err)
	}
	wantLinks, err := conn.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	far := cmpopts.IgnoreFields(tcnl.Link{}, "Far") // where the other end is, ip does not tell
	if d := cmp.Diff(wantLinks, links, far); d != "" {
		t.Errorf("links (-netlink +ip):\n%s", d)
	}
	wantAddrs, err := conn.Addrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	order := cmpopts.SortSlices(func(a, b tcnl.Addr) bool { return a.Prefix.String() < b.Prefix.String() })
	if d := cmp.Diff(wantAddrs, addrs, order, cmpopts.EquateComparable(tcnl.Addr{}.Prefix)); d != "" {
		t.Errorf("addresses (-netlink +ip):\n%s", d)
	}
	for _, l := range links {
		names[l.Name] = l.Index
	}
	neighs, err := Neighs(n.Run("bridge -j fdb show"), names)
	if err != nil {
		t.Fatal(err)
	}
	all, err := conn.Neighs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wantNeighs []tcnl.Neigh
	for _, k := range all {
		if k.Master != 0 {
			wantNeighs = append(wantNeighs, k)
		}
	}
	if d := cmp.Diff(wantNeighs, neighs); d != "" || len(neighs) < 3 {
		t.Errorf("learned addresses (-netlink +bridge):\n%s", d)
	}
	qdiscs, err := Qdiscs(n.Run("tc qdisc show"), names)
	if err != nil {
		t.Fatal(err)
	}
	wantQdiscs, err := conn.Qdiscs(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantQdiscs, qdiscs); d != "" {
		t.Errorf("qdiscs (-netlink +tc):\n%s", d)
	}

	for _, at := range []struct {
		dev  string
		hook tcnl.Hook
	}{{"p0", tcnl.Ingress}, {"p0", tcnl.Egress}, {"p1", tcnl.Ingress}} {
		text := n.Run("tc -s filter show dev " + at.dev + " " + at.hook.String())
		got, err := Filters(text, names[at.dev], at.hook, names)
		if err != nil {
			t.Fatal(err)
		}
		want, err := conn.Filters(t.Context(), names[at.dev], at.hook)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(tcnl.Stats{}, "Backlog", "Qlen")); d != "" || len(got) == 0 {
			t.Errorf("%s %s (-netlink +tc):\n%s\n%s", at.dev, at.hook, d, text)
		}
	}
}
