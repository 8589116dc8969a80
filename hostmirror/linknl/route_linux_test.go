package linknl

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// parse reads an address; "" is the zero one.
func parse(t *testing.T, s string) netip.Addr {
	t.Helper()
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestRouteTo(t *testing.T) {
	kerneltest.NeedIproute(t)
	h := newHost(t, 1600)
	u0 := h.Index("u0")
	for _, line := range []string{
		"ip route add 198.51.100.0/24 via 192.0.2.2",
		"ip route add 198.51.100.1/32 via 192.0.2.2 mtu 1400",
		"ip route add 198.51.100.2/32 via 192.0.2.2 mtu 9000",
		"ip route add 198.51.100.3/32 via inet6 2001:db8::2 dev u0",
		"ip route add unreachable 203.0.113.1/32",
		"ip route add blackhole 203.0.113.2/32",
		"ip route add prohibit 203.0.113.3/32",
		"ip -6 route add 2001:db8:1::/48 via 2001:db8::2 mtu 1500",
		"ip -6 route add unreachable 2001:db8:2::1/128",
		"ip -6 route add blackhole 2001:db8:2::2/128",
	} {
		h.Run(line)
	}
	tests := []struct {
		name, to, from string
		want           Route
	}{
		{"on the link", "192.0.2.2", "", Route{Ifindex: u0, Dev: "u0", Source: addr4, MTU: 1600}},
		{"from an address", "192.0.2.2", "192.0.2.1", Route{Ifindex: u0, Dev: "u0", MTU: 1600}},
		{"behind a gateway", "198.51.100.9", "", Route{Ifindex: u0, Dev: "u0", Gateway: peer4, Source: addr4, MTU: 1600}},
		{"MTU of the route", "198.51.100.1", "", Route{Ifindex: u0, Dev: "u0", Gateway: peer4, Source: addr4, MTU: 1400}},
		{"MTU of the route above that of the interface", "198.51.100.2", "", Route{Ifindex: u0, Dev: "u0", Gateway: peer4, Source: addr4, MTU: 1600}},
		{"gateway of the other family", "198.51.100.3", "", Route{Ifindex: u0, Dev: "u0", Gateway: peer6, Source: addr4, MTU: 1600}},
		{"this host", "192.0.2.1", "", Route{Ifindex: 1, Dev: "lo", Source: addr4, MTU: 65536, Local: true}},
		{"IPv6", "2001:db8::2", "", Route{Ifindex: u0, Dev: "u0", Source: addr6, MTU: 1600}},
		{"IPv6 behind a gateway", "2001:db8:1::7", "2001:db8::1", Route{Ifindex: u0, Dev: "u0", Gateway: peer6, Source: addr6, MTU: 1500}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := h.conn.RouteTo(t.Context(), parse(t, tt.to), parse(t, tt.from))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, compareAddr); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	for _, to := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "2001:db8:2::1", "2001:db8:2::2", "2001:db8:3::1"} {
		if r, err := h.conn.RouteTo(t.Context(), parse(t, to), parse(t, "")); !errors.Is(err, ErrNoRoute) {
			t.Errorf("to %s: %+v, %v; want ErrNoRoute", to, r, err)
		}
	}
	if _, err := h.conn.RouteTo(t.Context(), peer4, addr6); !errors.Is(err, ErrInvalid) {
		t.Errorf("from IPv6 to IPv4: %v, want ErrInvalid", err)
	}
}
