package fabric_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/internal/require"
)

// tunnelled sends two frames, rx untagged and tx tagged, through a mirror into a
// tunnel over two more switches, and returns what the collector got.
func tunnelled(t *testing.T, tu fabric.Tunnel, truncate uint16) (n network, sw [3]*fabric.Switch, sent, outer [][]byte) {
	t.Helper()
	n, sw, config, src, _, _, _ := chain(t)
	collector := n.addHost("collector", "sw3", "e5", "192.0.2.9/24", "2001:db8::9/64")
	tu.Source, tu.Destination = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	tunnel(t, n, sw[0], config, tu, truncate)
	give := between(src, src, strings.Repeat("p", 86))
	copy(give, []byte{2, 9, 9, 9, 9, 9}) // unknown: flooded to the trunk
	n.send(src, give)
	return n, sw, [][]byte{give, tagged(give, 10)}, got(collector)
}

func tunnel(t *testing.T, n network, sw *fabric.Switch, config fabric.Config, tu fabric.Tunnel, truncate uint16) {
	t.Helper()
	n.configure(sw, config, fabric.Mirror{
		Name: "tunnel", TruncateTo: truncate,
		Sources: []fabric.MirrorSource{
			{Kind: fabric.SourcePort, Name: "e3", Direction: fabric.Rx},
			{Kind: fabric.SourcePort, Name: "e2", Direction: fabric.Tx},
		},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationTunnel, Tunnel: tu}},
	})
}

// TestTunnelBytes reads the packets with gopacket.
func TestTunnelBytes(t *testing.T) {
	key := uint32(300)
	gre := func(protocol layers.EthernetType, key, seq *uint32) layers.GRE {
		g := layers.GRE{Protocol: protocol}
		if key != nil {
			g.KeyPresent, g.Key = true, *key
		}
		if seq != nil {
			g.SeqPresent, g.Seq = true, *seq
		}
		return g
	}
	zero, one := uint32(0), uint32(1)
	tests := []struct {
		name     string
		give     fabric.Tunnel
		truncate uint16
		gre      [2]layers.GRE
		header   [2][]byte // ERSPAN
	}{
		{name: "GRE", give: fabric.Tunnel{Kind: fabric.GRE},
			gre: [2]layers.GRE{gre(0x6558, nil, nil), gre(0x6558, nil, nil)}},
		{name: "GRE with everything", give: fabric.Tunnel{Kind: fabric.GRE, Key: &key, Sequence: true, Protocol: 0x88be, TTL: 9, DSCP: 10},
			gre: [2]layers.GRE{gre(0x88be, &key, &zero), gre(0x88be, &key, &one)}},
		{name: "ERSPAN I", give: fabric.Tunnel{Kind: fabric.ERSPAN1},
			gre: [2]layers.GRE{gre(0x88be, nil, nil), gre(0x88be, nil, nil)}},
		{name: "ERSPAN II", give: fabric.Tunnel{Kind: fabric.ERSPAN2, SessionID: 1023, Index: 0xabcde},
			gre: [2]layers.GRE{gre(0x88be, nil, &zero), gre(0x88be, nil, &one)},
			// Version 1, VLAN 10; En 0 without, 3 with the tag in the copy; session 1023.
			header: [2][]byte{{0x10, 10, 0x03, 0xff, 0, 0x0a, 0xbc, 0xde}, {0x10, 10, 0x1b, 0xff, 0, 0x0a, 0xbc, 0xde}}},
		{name: "ERSPAN II truncated", give: fabric.Tunnel{Kind: fabric.ERSPAN2, SessionID: 5}, truncate: 64,
			gre:    [2]layers.GRE{gre(0x88be, nil, &zero), gre(0x88be, nil, &one)},
			header: [2][]byte{{0x10, 10, 0x04, 5, 0, 0, 0, 0}, {0x10, 10, 0x1c, 5, 0, 0, 0, 0}}},
		{name: "ERSPAN III", give: fabric.Tunnel{Kind: fabric.ERSPAN3, SessionID: 7, HardwareID: 5},
			gre: [2]layers.GRE{gre(0x22eb, nil, &zero), gre(0x22eb, nil, &one)},
			// Version 2, VLAN 10, session 7; timestamp; P, hardware id 5, direction.
			header: [2][]byte{{0x20, 10, 0, 7, 0, 0, 0, 0, 0, 0, 0x80, 0x50}, {0x20, 10, 0, 7, 0, 0, 0, 1, 0, 0, 0x80, 0x58}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, sent, outer := tunnelled(t, tt.give, tt.truncate)
			if len(outer) != 2 {
				t.Fatalf("%d packets, want 2", len(outer))
			}
			for i, pkt := range outer {
				var eth layers.Ethernet
				var ip layers.IPv4
				var g layers.GRE
				rest := pkt
				for _, l := range []interface {
					DecodeFromBytes([]byte, gopacket.DecodeFeedback) error
					LayerPayload() []byte
				}{&eth, &ip, &g} {
					if err := l.DecodeFromBytes(rest, gopacket.NilDecodeFeedback); err != nil {
						t.Fatal(err)
					}
					rest = l.LayerPayload()
				}
				if int(ip.Length) != len(pkt)-14 {
					t.Errorf("packet %d: IPv4 length %d of %d bytes", i, ip.Length, len(pkt)-14)
				}
				if sum := checksum(pkt[14:34]); sum != 0 {
					t.Errorf("packet %d: IPv4 header checksum is off by %#x", i, sum)
				}
				ttl := uint8(64)
				if tt.give.TTL != 0 {
					ttl = tt.give.TTL
				}
				wantIP := [...]any{"192.0.2.1", "192.0.2.9", ttl - 2, tt.give.DSCP << 2, layers.IPProtocolGRE, uint16(i), layers.IPv4DontFragment}
				if d := cmp.Diff(wantIP, [...]any{ip.SrcIP.String(), ip.DstIP.String(), ip.TTL, ip.TOS, ip.Protocol, ip.Id, ip.Flags}); d != "" {
					t.Errorf("packet %d: IPv4 (-want +got):\n%s", i, d)
				}
				g.BaseLayer = layers.BaseLayer{}
				if d := cmp.Diff(tt.gre[i], g); d != "" {
					t.Errorf("packet %d: GRE (-want +got):\n%s", i, d)
				}
				inner := sent[i]
				if tt.truncate > 0 {
					inner = inner[:tt.truncate]
				}
				if d := cmp.Diff(append(append([]byte{}, tt.header[i]...), inner...), rest); d != "" {
					t.Errorf("packet %d: ERSPAN header and frame (-want +got):\n%s", i, d)
				}
			}
		})
	}
}

// checksum is the sum of RFC 1071 over a header with its checksum in place, 0 if
// that is right.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func TestTunnelOverIPv6(t *testing.T) {
	n, sw, config, src, other, _, _ := chain(t)
	collector := n.addHost("collector", "sw3", "e5", "2001:db8::9/64")
	tunnel(t, n, sw[0], config, fabric.Tunnel{Kind: fabric.ERSPAN2, TTL: 5, DSCP: 46,
		Source: netip.MustParseAddr("2001:db8::1"), Destination: netip.MustParseAddr("2001:db8::9")}, 0)
	give := between(src, other, "x")
	n.send(src, give)
	outer := got(collector)
	if len(outer) != 1 {
		t.Fatalf("%d packets, want 1", len(outer))
	}
	p := gopacket.NewPacket(outer[0], layers.LayerTypeEthernet, gopacket.Default)
	ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if !ok {
		t.Fatalf("not IPv6:\n%s", p)
	}
	if ip.HopLimit != 3 || ip.TrafficClass != 46<<2 || int(ip.Length) != len(ip.Payload) || ip.SrcIP.String() != "2001:db8::1" || ip.DstIP.String() != "2001:db8::9" {
		t.Errorf("IPv6 header %+v", ip)
	}
	e, ok := p.Layer(layers.LayerTypeERSPANII).(*layers.ERSPANII)
	if !ok || cmp.Diff(give, e.Payload) != "" {
		t.Errorf("no ERSPAN II with the frame:\n%s", p)
	}
}

func TestVXLAN(t *testing.T) {
	for _, family := range []string{"192.0.2.", "2001:db8::"} {
		t.Run(family, func(t *testing.T) {
			n, sw, config, src, other, _, _ := chain(t)
			collector := n.addHost("collector", "sw3", "e5", "192.0.2.9/24", "2001:db8::9/64")
			tunnel(t, n, sw[0], config, fabric.Tunnel{Kind: fabric.VXLAN, VNI: 0xabcdef,
				Source: netip.MustParseAddr(family + "1"), Destination: netip.MustParseAddr(family + "9")}, 0)
			give := between(src, other, "x")
			n.send(src, give)
			outer := got(collector)
			if len(outer) != 1 {
				t.Fatalf("%d packets, want 1", len(outer))
			}
			p := gopacket.NewPacket(outer[0], layers.LayerTypeEthernet, gopacket.Default)
			v, ok := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN)
			if !ok || !v.ValidIDFlag || v.VNI != 0xabcdef || cmp.Diff(give, v.Payload) != "" {
				t.Fatalf("no VXLAN with the frame:\n%s", p)
			}
			udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			if int(udp.Length) != 8+len(udp.Payload) || udp.SrcPort < 49152 {
				t.Errorf("UDP header %+v", udp)
			}
		})
	}
}

func TestTunnelWays(t *testing.T) {
	at := func(port string) fabric.End { return fabric.End{Node: "sw2", Port: port} }
	tests := []struct {
		name    string
		spoil   func(n network, sw [3]*fabric.Switch, c fabric.Config)
		ttl     uint8
		want    int
		dropped uint64
		at      fabric.End // where one drop is counted
		why     fabric.Drop
	}{
		{name: "well", want: 1},
		{name: "link cut", spoil: func(n network, _ [3]*fabric.Switch, _ fabric.Config) { n.must(n.SetLink(at("e2"), false)) }, dropped: 1},
		{name: "port shut on the way", spoil: func(n network, sw [3]*fabric.Switch, c fabric.Config) {
			n.configure(sw[1], fabric.Config{Ports: map[string]fabric.PortConfig{"e1": {Mode: fabric.Access, Shutdown: true}}})
		}, dropped: 1},
		{name: "way given to a mirror", spoil: func(n network, sw [3]*fabric.Switch, c fabric.Config) {
			n.configure(sw[1], c, span("m", "e1", fabric.Rx, "e2"))
		}, dropped: 1},
		{name: "another way", spoil: func(n network, _ [3]*fabric.Switch, _ fabric.Config) {
			n.must(n.SetLink(at("e2"), false))
			n.link("sw2", "e5", "sw3", "e2")
		}, want: 1},
		{name: "lost on the way", spoil: func(n network, _ [3]*fabric.Switch, _ fabric.Config) { n.must(n.SetLoss(at("e2"), 1)) }},
		{name: "TTL 3 is enough", ttl: 3, want: 1},
		{name: "TTL runs out", ttl: 2, at: fabric.End{Node: "sw3", Port: "e1"}, why: fabric.DropTTL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, sw, config, src, other, _, _ := chain(t)
			collector := n.addHost("collector", "sw3", "e5", "192.0.2.9/24")
			n.must(sw[0].Configure(config))
			tunnel(t, n, sw[0], config, fabric.Tunnel{Kind: fabric.GRE, TTL: tt.ttl,
				Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9")}, 0)
			n.send(src, between(src, other, "the way is known now"))
			forget(collector)
			before, _ := sw[0].MirrorCounters("tunnel")
			if tt.spoil != nil {
				tt.spoil(n, sw, config)
			}
			n.send(src, between(src, other, "x"))
			if d := cmp.Diff([]int{tt.want}, counts(collector)); d != "" {
				t.Errorf("at the collector (-want +got):\n%s", d)
			}
			after, _ := sw[0].MirrorCounters("tunnel")
			if have := after.Dropped - before.Dropped; have != tt.dropped {
				t.Errorf("%d copies dropped at the source, want %d", have, tt.dropped)
			}
			if tt.why != "" {
				c, _ := n.Switch(tt.at.Node).Counters(tt.at.Port)
				if c.Drops[tt.why] != 2 { // of both frames
					t.Errorf("%s counts %v, want two %s", tt.at, c.Drops, tt.why)
				}
			}
		})
	}
}

// TestTunnelMTU: a full frame plus headers does not pass, as on a real path.
func TestTunnelMTU(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 3)
	h1, h2 := n.addHost("h1", "sw", "e1"), n.addHost("h2", "sw", "e2")
	c, err := n.AddHost("collector")
	n.must(err)
	n.must(c.AddPort("eth0", netip.MustParsePrefix("192.0.2.9/24")))
	n.must(n.Connect(fabric.Link{A: fabric.End{Node: "sw", Port: "e3"}, B: fabric.End{Node: "collector", Port: "eth0"}, MTU: 1500}))
	learn(n, h1, h2)
	c.ResetCapture()
	m := span("m", "e1", fabric.Rx)
	m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationTunnel, Tunnel: fabric.Tunnel{Kind: fabric.ERSPAN2,
		Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9")}}}
	n.configure(sw, fabric.Config{}, m)
	const overhead = 20 + 8 + 8 + 14 // outer IPv4, GRE with sequence, ERSPAN II, inner Ethernet
	fits := strings.Repeat("x", 1500-overhead)
	n.send(h1, between(h1, h2, fits), between(h1, h2, fits+"x"))
	if d := cmp.Diff([]int{2, 1}, counts(h2, c)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if mc, _ := sw.MirrorCounters("m"); mc != (fabric.MirrorCounters{Matched: 2, Copied: 1, Dropped: 1}) {
		t.Errorf("counters %+v", mc)
	}
}

// TestTunnelTshark has Wireshark's dissectors read the packets.
func TestTunnelTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	require.Need(t, require.Tshark, err == nil, "tshark decodes the tunnel packets independently")
	key := uint32(300)
	tests := []struct {
		name   string
		give   fabric.Tunnel
		fields []string
		want   string // per packet, fields separated by commas
	}{
		{"GRE", fabric.Tunnel{Kind: fabric.GRE, Key: &key, Sequence: true}, []string{"gre.proto", "gre.key", "gre.sequence_number"},
			"0x6558,0x0000012c,0\n0x6558,0x0000012c,1\n"},
		{"VXLAN", fabric.Tunnel{Kind: fabric.VXLAN, VNI: 300}, []string{"udp.dstport", "vxlan.vni"}, "4789,300\n4789,300\n"},
		{"ERSPAN I", fabric.Tunnel{Kind: fabric.ERSPAN1}, []string{"gre.proto", "erspan.spanid"}, "0x88be,\n0x88be,\n"}, // no header, so no session
		{"ERSPAN II", fabric.Tunnel{Kind: fabric.ERSPAN2, SessionID: 100, Index: 5, DSCP: 10, TTL: 9},
			[]string{"gre.proto", "gre.sequence_number", "erspan.version", "erspan.vlan", "erspan.encap", "erspan.spanid", "erspan.index", "ip.dsfield.dscp", "ip.ttl"},
			"0x88be,0,1,10,0,100,5,10,7\n0x88be,1,1,10,3,100,5,10,7\n"},
		{"ERSPAN III", fabric.Tunnel{Kind: fabric.ERSPAN3, SessionID: 7, HardwareID: 5},
			[]string{"gre.proto", "gre.sequence_number", "erspan.version", "erspan.vlan", "erspan.spanid", "erspan.hw", "erspan.direction"},
			"0x22eb,0,2,10,7,5,0\n0x22eb,1,2,10,7,5,1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, sent, outer := tunnelled(t, tt.give, 0)
			file := filepath.Join(t.TempDir(), "tunnel.pcapng")
			writePcapng(t, file, outer)
			args := []string{"-r", file, "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=,", "-E", "occurrence=f"}
			for _, f := range tt.fields {
				args = append(args, "-e", f)
			}
			// Versions of tshark differ in how they print booleans.
			have := strings.NewReplacer("False", "0", "True", "1").Replace(run(t, tshark, args...))
			if d := cmp.Diff(tt.want, have); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			// Nothing to complain of, the inner frame found, the outer checksum good.
			bad := run(t, tshark, "-r", file, "-o", "ip.check_checksum:TRUE", "-Y", "_ws.malformed || _ws.expert.severity >= 6291456 || ip.checksum.status != 1")
			if bad != "" {
				t.Errorf("tshark finds fault:\n%s", bad)
			}
			inner := run(t, tshark, "-r", file, "-Y", `eth.src == 02:00:00:03:00:00 && data.data`, "-T", "fields", "-E", "occurrence=l", "-e", "data.len")
			if want := strings.Repeat(fmt.Sprintln(len(sent[0])-14), 2); inner != want {
				t.Errorf("inner payloads %q, want %q", inner, want)
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &testWriter{t}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

func writePcapng(t *testing.T, file string, frames [][]byte) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := pcapgo.NewNgWriter(f, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for i, fr := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(fr), Length: len(fr)}
		if err := w.WritePacket(info, fr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
