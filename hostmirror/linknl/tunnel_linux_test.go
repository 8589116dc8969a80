package linknl

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// Addresses of production, and of its frames.
var (
	inSrc, inDst = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")
	inMAC        = []byte{0x02, 0, 0, 0, 0, 0x02}
)

// sent is a frame that goes into a tunnel.
type sent struct {
	name string
	vlan uint16
	data []byte
}

// sentInto gives what goes into a tunnel, one after the other.
func sentInto(s Spec) []sent {
	other := kerneltest.TestFrame(inMAC, "other", 0, 100)
	all := []sent{
		{"short", 0, udpFrame(inMAC, inSrc, inDst, 0, 0x20, 64)},
		{"IPv4", 0, udpFrame(inMAC, inSrc, inDst, 0, 0x90, 100)},
		{"IPv4 in VLAN 100", 100, udpFrame(inMAC, inSrc, inDst, 3<<13|100, 0, 100)},
		{"no IP", 0, other},
		{"full size in VLAN 4094", 4094, udpFrame(inMAC, inSrc, inDst, 4094, 0, 1518)},
		{"full size", 0, udpFrame(inMAC, inSrc, inDst, 0, 0x48, 1514)},
	}
	return slices.DeleteFunc(all, func(f sent) bool {
		return len(f.data) > s.MTU+ethernetHeader // the socket refuses it; see TestTruncation
	})
}

// wanted is what the tunnel puts around the frame that is the n-th of its link.
func wanted(s Spec, f sent, n int) outer {
	o := outer{Src: s.Local, Dst: s.Remote, TTL: s.TTL, TOS: s.TOS, Inner: f.data}
	if !o.Src.IsValid() {
		o.Src = addr4
		if s.V6() {
			o.Src = addr6
		}
	}
	erspan := func(gre uint16, version uint8) {
		o.GRE, o.Seqd, o.Seq = gre, true, uint32(n)
		o.ERSPAN = erspanHeader{Version: version, VLAN: f.vlan, Session: s.Session}
		// COS is not that of the tag: the kernel takes the upper bits of what would be
		// the TOS, be the frame IP or not, and over IPv6 what would be the traffic class
		// of IPv6 (erspan_build_header in include/net/erspan.h).
		network := f.data[14:]
		if f.vlan != 0 {
			network = f.data[18:]
		}
		o.ERSPAN.COS = network[1] >> 5
		if s.V6() {
			o.ERSPAN.COS = network[0] & 0xf >> 1
		}
		// Nor is the traffic class of the packet what it was asked to be, unless the
		// frame is IP without a tag (ip6erspan_tunnel_xmit in net/ipv6/ip6_gre.c).
		if s.V6() && (f.data[12] != 0x08 || f.data[13] != 0x00) {
			o.TOS = 0
		}
	}
	switch s.Kind {
	case ERSPAN1:
		o.GRE = 0x88be
	case ERSPAN2:
		erspan(0x88be, 1)
		o.ERSPAN.Index = s.PortIndex
		if f.vlan != 0 {
			o.ERSPAN.En = 3 // tag kept in the frame
		}
	case ERSPAN3:
		erspan(0x22eb, 2)
		o.ERSPAN.HWID, o.ERSPAN.Egress, o.ERSPAN.Frame = s.HWID, s.Egress, 0x20 // P: an Ethernet frame
		if len(f.data) > 1514 {
			o.ERSPAN.En = 2 // BSO: an oversized frame
		}
	case GRETap:
		o.GRE, o.Keyed, o.Key = 0x6558, s.Keyed, s.Key
	case VXLAN:
		o.VNI, o.Port = s.VNI, s.Port
	}
	return o
}

// Every frame that is sent into a tunnel arrives at the collector, whole, with the
// header that the Spec says, and nothing of the frame's own TTL, TOS or DF outside.
// Beside them the tunnel sends nothing, such as multicast reports of its own.
func TestTunnelsOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	h := newHost(t, 1600)
	wire := sniff(t, h.collector, "u1")
	for _, tt := range specs("") {
		if !tt.Kind.Tunnel() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			l := h.create(t, tt.Spec)
			defer h.remove(t, l)
			frames := sentInto(tt.Spec)
			for _, f := range frames {
				h.Send(tt.Name, f.data, 1)
			}
			got := wire.take(t, len(frames), isTunnel)
			if len(got) != len(frames) {
				t.Errorf("%d frames on the wire, want %d", len(got), len(frames))
			}
			for i := range min(len(got), len(frames)) {
				o, err := decode(got[i])
				if err != nil {
					t.Errorf("%s: %v\n% x", frames[i].name, err, got[i])
					continue
				}
				if d := cmp.Diff(wanted(tt.Spec, frames[i], i), o, compareAddr); d != "" {
					t.Errorf("%s (-want +got):\n%s", frames[i].name, d)
				}
				if used := len(got[i]) - 14 - len(o.Inner); used != tt.Overhead() {
					t.Errorf("%s: %d bytes around the frame, Overhead says %d", frames[i].name, used, tt.Overhead())
				}
				export(tt.name, i, got[i])
			}
			// A sending ERSPAN link forgets its key flag; it must not look changed for that.
			now, err := h.conn.Link(t.Context(), l.Index)
			if err != nil {
				t.Fatal(err)
			}
			if d := now.Differences(tt.Spec); len(d) > 0 {
				t.Errorf("after it has sent: %q", d)
			}
		})
	}
}

// A VLAN link puts its tag in front of a frame's own.
func TestVLANOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	h := newHost(t, 1600)
	l := h.create(t, Spec{Name: "span-v", Kind: VLAN, MTU: 1504, Lower: "u0", VLAN: 900})
	defer h.remove(t, l)
	capture := h.collector.Capture("u1")
	for mark, vlan := range map[string]uint16{"plain": 0, "tagged": 7} {
		frame := kerneltest.TestFrame(kerneltest.Broadcast, mark, vlan, 100)
		h.Send(l.Name, frame, 1)
		if n := capture.Count(mark, 1); n != 1 {
			t.Fatalf("%s: %d frames, want 1", mark, n)
		}
		got := capture.Received(mark)[0]
		if got.VLAN != 900 || !slices.Equal(got.Data, frame) {
			t.Errorf("%s: tag %d, want 900 with priority 0; frame\n% x, want\n% x", mark, got.VLAN, got.Data, frame)
		}
	}
}

// export writes a frame to standard output for the process that runs the kernel lab,
// see TestTunnelsByTshark.
func export(link string, n int, frame []byte) {
	if os.Getenv("SPANCTL_LINKNL_EXPORT") != "" {
		fmt.Printf("\nFRAME\t%s\t%d\t%s\n", link, n, base64.StdEncoding.EncodeToString(frame))
	}
}
