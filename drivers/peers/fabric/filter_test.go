package fabric

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// build serializes layers with gopacket, so that the parser under test reads what
// another hand has written.
func build(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eth(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: t}
}

func ip4(p layers.IPProtocol, fragment uint16) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, TTL: 9, Protocol: p, FragOffset: fragment,
		SrcIP: []byte{10, 9, 0, 1}, DstIP: []byte{10, 1, 2, 3}}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: p,
		SrcIP: netip.MustParseAddr("2001:db8::1").AsSlice(), DstIP: netip.MustParseAddr("2001:db8:1::2").AsSlice()}
}

func TestFilter(t *testing.T) {
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 443}
	udp := &layers.UDP{SrcPort: 53, DstPort: 5353}
	vlan := &layers.Dot1Q{VLANIdentifier: 10, Type: layers.EthernetTypeIPv4}
	frames := map[string][]byte{
		"tcp4":   build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 0), tcp),
		"udp4":   build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 0), udp),
		"tagged": build(t, eth(layers.EthernetTypeDot1Q), vlan, ip4(layers.IPProtocolTCP, 0), tcp),
		"later":  build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 100), gopacket.Payload{0x9c, 0x40, 0x01, 0xbb}),
		"tcp6":   build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), tcp),
		"ext6": build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolIPv6HopByHop),
			// Hop-by-hop options of 16 bytes (PadN), then destination options of 8, then TCP.
			gopacket.Payload{60, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 0x9c, 0x40, 0x01, 0xbb}),
		"frag6": build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolIPv6Fragment),
			gopacket.Payload{6, 0, 0, 8, 0, 0, 0, 1, 0x9c, 0x40, 0x01, 0xbb}),
		"arp": build(t, eth(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28))),
		"cut": build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 0), tcp)[:14+19],
	}
	prefix := netip.MustParsePrefix
	only := func(r Rule) Filter { r.Action = Include; return Filter{r} }
	port := func(n uint16) []PortRange { return []PortRange{{n, n}} }
	tests := []struct {
		name string
		give Filter
		want map[string]bool
	}{
		{"empty copies all", nil, map[string]bool{"tcp4": true, "udp4": true, "tagged": true, "later": true, "tcp6": true, "ext6": true, "frag6": true, "arp": true, "cut": true}},
		{"only an exclusion copies nothing", Filter{{Action: Exclude, Protocol: 17}}, nil},
		{"IPv4", only(Rule{IPVersion: 4}), map[string]bool{"tcp4": true, "udp4": true, "tagged": true, "later": true}},
		{"IPv6", only(Rule{IPVersion: 6}), map[string]bool{"tcp6": true, "ext6": true, "frag6": true}},
		{"TCP", only(Rule{Protocol: 6}), map[string]bool{"tcp4": true, "tagged": true, "later": true, "tcp6": true, "ext6": true, "frag6": true}},
		{"TCP port", only(Rule{Protocol: 6, DstPorts: port(443)}), map[string]bool{"tcp4": true, "tagged": true, "tcp6": true, "ext6": true}},
		{"source port range", only(Rule{SrcPorts: []PortRange{{1, 52}, {53, 60}}}), map[string]bool{"udp4": true}},
		{"source prefix", only(Rule{Src: prefix("10.9.0.0/16")}), map[string]bool{"tcp4": true, "udp4": true, "tagged": true, "later": true}},
		{"destination prefix", only(Rule{Dst: prefix("2001:db8:1::/48")}), map[string]bool{"tcp6": true, "ext6": true, "frag6": true}},
		{"every IPv4 prefix is IPv4", only(Rule{Src: prefix("0.0.0.0/0")}), map[string]bool{"tcp4": true, "udp4": true, "tagged": true, "later": true}},
		{"EtherType", only(Rule{EtherType: 0x0806}), map[string]bool{"arp": true}},
		{"VLAN", only(Rule{VLAN: 10}), map[string]bool{"tagged": true}},
		{"MAC", only(Rule{SrcMAC: MACMask{MAC{2, 0, 0, 0, 0, 1}, MAC{255, 255, 255, 255, 255, 255}}, EtherType: 0x0806}), map[string]bool{"arp": true}},
		{"other MAC", only(Rule{DstMAC: MACMask{MAC{2, 0, 0, 0, 0, 1}, MAC{255, 255, 255, 255, 255, 255}}}), nil},
		{"MAC mask", only(Rule{DstMAC: MACMask{MAC{2, 7, 7, 7, 7, 7}, MAC{255}}, EtherType: 0x0806}), map[string]bool{"arp": true}},
		{"first match wins", Filter{
			{Action: Exclude, Src: prefix("10.9.0.0/16"), Protocol: 17},
			{Action: Include, Src: prefix("10.0.0.0/8")},
			{Action: Exclude},
		}, map[string]bool{"tcp4": true, "tagged": true, "later": true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, f := range frames {
				vlan := uint16(1)
				if name == "tagged" {
					vlan = 10
				}
				if have := tt.give.copies(parsePacket(f), vlan); have != tt.want[name] {
					t.Errorf("%s: copied is %t, want %t", name, have, tt.want[name])
				}
			}
		})
	}
}

// FuzzSend lets any bytes through a switch that looks at all of them: it must not
// panic, and with no filter and no cutting the copy is the frame.
func FuzzSend(f *testing.F) {
	tcp := &layers.TCP{SrcPort: 1, DstPort: 443}
	f.Add(build(f, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 0), tcp))
	f.Add(build(f, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolIPv6HopByHop), gopacket.Payload{6, 9, 1}))
	f.Add(build(f, eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 1, Type: layers.EthernetTypeDot1Q}, gopacket.Payload{1}))
	f.Add(make([]byte, 15))
	f.Fuzz(func(t *testing.T, give []byte) {
		fab := New()
		sw, _ := fab.AddSwitch("sw")
		h, _ := fab.AddHost("h")
		probe, _ := fab.AddHost("probe")
		for _, p := range []string{"e1", "e2"} {
			if err := sw.AddPort(p); err != nil {
				t.Fatal(err)
			}
		}
		_ = h.AddPort("eth0")
		_ = probe.AddPort("eth0", netip.MustParsePrefix("192.0.2.9/24"))
		_ = fab.Connect(Link{A: End{"h", "eth0"}, B: End{"sw", "e1"}})
		_ = fab.Connect(Link{A: End{"probe", "eth0"}, B: End{"sw", "e2"}, MTU: 65535})
		source := []MirrorSource{{Kind: SourcePort, Name: "e1", Direction: Rx}}
		tu := MirrorDestination{Kind: DestinationTunnel, Tunnel: Tunnel{Kind: ERSPAN3,
			Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9")}}
		err := sw.Configure(Config{
			VLANs: map[uint16]VLAN{900: {RemoteSPAN: true}},
			Ports: map[string]PortConfig{"e1": {Mode: Trunk, NativeVLAN: 5, TrunkVLANs: AllVLANs()}},
			Mirrors: []Mirror{
				{Name: "filtered", Sources: source, Destinations: []MirrorDestination{{Kind: DestinationCPU}, {Kind: DestinationRSPAN, VLAN: 900}},
					Filter: Filter{{Action: Include, Protocol: 6, DstPorts: []PortRange{{443, 443}}}}, TruncateTo: 13},
				{Name: "tunnel", Sources: source, Destinations: []MirrorDestination{tu}},
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Send("eth0", give); err != nil {
			if len(give) >= headerLen {
				t.Fatal(err)
			}
			return
		}
		if payloadLen(give) > DefaultMTU {
			return
		}
		var copies int
		for _, c := range probe.Captured("eth0") {
			if len(c.Frame) == len(give)+14+20+8+12 && string(c.Frame[54:]) == string(give) {
				copies++
			}
		}
		if copies != 1 {
			t.Fatalf("%d true copies of % x", copies, give)
		}
	})
}
