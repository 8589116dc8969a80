package iproute

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// TestLinks reads what differs between versions and what one machine does not have at a
// time; TestAgainstNetlink compares a running one.
func TestLinks(t *testing.T) {
	const text = `[{},{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"addr_info":[{},{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
{"ifindex":3,"link_index":2,"ifname":"eth0","link_netnsid":0,"flags":["BROADCAST","UP","LOWER_UP"],"mtu":1500,"master":"bond0","xdp":{"mode":2,"prog":{"id":9}},
 "linkinfo":{"info_kind":"veth","info_slave_kind":"bond"},"addr_info":[]},
{"ifindex":4,"ifname":"bond0","flags":["NO-CARRIER","BROADCAST","UP"],"mtu":9000,"linkinfo":{"info_kind":"bond"},"new_thing":[1,{"a":2}]},
{"ifindex":5,"link":"bond0","ifname":"bond0.7","flags":["BROADCAST"],"mtu":9000,"linkinfo":{"info_kind":"vlan","info_data":{"id":7}},
 "addr_info":[{"family":"inet6","local":"2001:db8::1","prefixlen":64},{"family":"inet","local":"192.0.2.5","address":"192.0.2.6","prefixlen":32},{"family":"mctp","local":"8","prefixlen":0}]},
{"ifindex":6,"link":null,"ifname":"gre0","flags":["NOARP"],"mtu":1476,"linkinfo":{"info_kind":"gre"}}]`
	links, addrs, err := Links(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []tcnl.Link{
		{Index: 1, Name: "lo", Up: true, Runs: true, MTU: 65536},
		{Index: 3, Name: "eth0", Kind: "veth", Up: true, Runs: true, MTU: 1500, Master: 4, XDP: true},
		{Index: 4, Name: "bond0", Kind: "bond", Up: true, MTU: 9000},
		{Index: 5, Name: "bond0.7", Kind: "vlan", MTU: 9000, Lower: 4},
		{Index: 6, Name: "gre0", Kind: "gre", MTU: 1476},
	}
	if d := cmp.Diff(want, links); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
	wantAddrs := []tcnl.Addr{
		{Ifindex: 1, Prefix: netip.MustParsePrefix("127.0.0.1/8")},
		{Ifindex: 5, Prefix: netip.MustParsePrefix("2001:db8::1/64")},
		{Ifindex: 5, Prefix: netip.MustParsePrefix("192.0.2.5/32")},
	}
	if d := cmp.Diff(wantAddrs, addrs, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("addresses (-want +got):\n%s", d)
	}
}

func TestNeighs(t *testing.T) {
	const text = `[{"mac":"33:33:00:00:00:01","ifname":"p0","flags":["self"],"state":"permanent"},
{"mac":"46:10:71:d4:55:55","ifname":"p0","flags":[],"master":"br0","state":"permanent"},
{"mac":"02:00:00:00:00:01","ifname":"p0","flags":["offload"],"master":"br0","state":""},
{"mac":"02:00:00:00:00:02","ifname":"new","master":"br0","state":""}]`
	got, err := Neighs(text, Names{"p0": 3, "br0": 8})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]tcnl.Neigh{{Ifindex: 3, Master: 8, Permanent: true}, {Ifindex: 3, Master: 8}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func FuzzLinks(f *testing.F) {
	f.Add(`[{"ifindex":3,"link":"p1","ifname":"p0","flags":["UP"],"mtu":1500,"master":"p0","addr_info":[{"local":"192.0.2.1","prefixlen":24}]}]`)
	f.Add(`[{"mac":"02:00:00:00:00:01","ifname":"p0","master":"br0","state":""}]`)
	f.Add(`[null,{}]`)
	f.Fuzz(func(t *testing.T, text string) {
		links, addrs, err := Links(text)
		if err != nil && (!errors.Is(err, tcnl.ErrMalformed) || links != nil || addrs != nil) {
			t.Errorf("%q: %+v, %+v, %v", text, links, addrs, err)
		}
		for _, l := range links {
			if l.Index <= 0 || l.Name == "" || l.Runs && !l.Up {
				t.Errorf("%q gives %+v", text, l)
			}
		}
		for _, a := range addrs {
			if !a.Prefix.IsValid() {
				t.Errorf("%q gives %+v", text, a)
			}
		}
		if _, err := Neighs(text, Names{"p0": 3, "br0": 8}); err != nil && !errors.Is(err, tcnl.ErrMalformed) {
			t.Error(err)
		}
	})
}
