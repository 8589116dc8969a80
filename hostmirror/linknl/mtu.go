package linknl

import "fmt"

// Sizes in bytes.
const (
	ethernetHeader = 14
	vlanTag        = 4
	minMTU         = 68    // ETH_MIN_MTU: what the kernel takes for any of these links
	maxMTU         = 65535 // the longest IP packet
	minIPv6MTU     = 1280  // below it the kernel has no IPv6 on a link

	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8
	greHeader  = 4
	greOption  = 4 // each of key and sequence number
)

// MinTruncate is the smallest number of bytes that truncation by MTU can keep.
const MinTruncate = minMTU + ethernetHeader

// header is the number of bytes between outer IP header and mirrored frame.
var header = map[Kind]int{
	ERSPAN1: greHeader,
	ERSPAN2: greHeader + greOption + 8,
	ERSPAN3: greHeader + greOption + 12,
	GRETap:  greHeader,
	VXLAN:   udpHeader + 8,
}

// Overhead gives the bytes that a link of the kind puts in front of a frame, from the
// beginning of the outer IP header: what has to fit into the underlay's MTU beside
// the frame. v6 is a tunnel over IPv6; keyed is a GRE header with key. A VLAN link
// adds its tag; a dummy nothing.
func Overhead(k Kind, v6, keyed bool) int {
	if k == VLAN {
		return vlanTag
	}
	if !k.Tunnel() {
		return 0
	}
	n := header[k]
	if k == GRETap && keyed {
		n += greOption
	}
	if v6 {
		return n + ipv6Header
	}
	return n + ipv4Header
}

// Overhead is the function of that name for the link.
func (s Spec) Overhead() int { return Overhead(s.Kind, s.V6(), s.Keyed) }

// frameSize is the longest frame of a source.
func frameSize(sourceMTU int, tagged bool) int {
	if tagged {
		return sourceMTU + ethernetHeader + vlanTag
	}
	return sourceMTU + ethernetHeader
}

// UnderlayMTU gives the MTU that the route to the collector needs for whole copies,
// each in one packet, of a source's longest frames. tagged is set when the source's
// frames can carry an 802.1Q tag. For a VLAN link it is the MTU that the lower link
// needs, which does not count one tag; for a dummy there is nothing to pass, 0.
func (s Spec) UnderlayMTU(sourceMTU int, tagged bool) int {
	switch {
	case s.Kind.Tunnel():
		return frameSize(sourceMTU, tagged) + s.Overhead()
	case s.Kind == VLAN:
		return frameSize(sourceMTU, tagged) - ethernetHeader
	default:
		return 0
	}
}

// FitMTU gives the tunnel's MTU with which its packets fit an underlay of the given
// MTU: what the kernel chooses for GRE and ERSPAN by itself. With ERSPAN longer
// frames are then cut. The result can be below what a link takes.
func (s Spec) FitMTU(underlay int) int { return underlay - s.Overhead() - ethernetHeader }

// MostMTU gives the largest MTU that a link of the kind can have.
func (s Spec) MostMTU() int {
	if s.Kind.Tunnel() {
		return maxMTU - s.Overhead() - ethernetHeader
	}
	return maxMTU
}

// DeviceMTU gives the MTU of a tunnel that shall not look at the size of frames from
// a source of the given MTU: 9000, or as much as its longest tagged frame has.
func DeviceMTU(sourceMTU int) int { return max(9000, frameSize(sourceMTU, true)) }

// TruncateMTU gives the MTU with which ERSPAN keeps n bytes of each frame and sets
// the truncation bit (types II and III). The error wraps ErrInvalid.
func TruncateMTU(n int) (int, error) {
	if n < MinTruncate {
		return 0, fmt.Errorf("%w: %d bytes to keep, the kernel cannot keep less than %d", ErrInvalid, n, MinTruncate)
	}
	return n - ethernetHeader, nil
}

// Fate is what becomes of the copies of a source's longest frames.
type Fate uint8

// Fates. The zero value is invalid.
const (
	FateUnset  Fate = iota
	Whole           // the copy arrives as it was
	Truncated       // its end is cut off
	Fragmented      // it arrives whole, as several IP packets
	Lost            // it does not arrive
	// Harmful means that it is lost and that the kernel tells the sender of the
	// production packet, by ICMP, to send smaller ones.
	Harmful
)

// String gives a word for reports.
func (f Fate) String() string {
	switch f {
	case Whole:
		return "whole"
	case Truncated:
		return "truncated"
	case Fragmented:
		return "fragmented"
	case Lost:
		return "lost"
	case Harmful:
		return "harmful"
	default:
		return fmt.Sprintf("fate(%d)", uint8(f))
	}
}

// Fate tells what becomes of the copies of a source's longest frames, on a route of
// the given MTU. tagged is set when the frames can carry an 802.1Q tag.
//
// ERSPAN cuts what is longer than its MTU allows, whatever the underlay. What then
// does not fit is fragmented over IPv4. Over IPv6 there are no fragments: VXLAN drops
// the copy, and GRE and ERSPAN, which have no ignore-df there, drop it and blame the
// production packet, so that only a wide enough route or, for ERSPAN, an MTU of at
// most FitMTU keeps production unharmed. A VLAN or a dummy has no route: underlay is
// the MTU of the VLAN's lower link.
func (s Spec) Fate(sourceMTU, underlay int, tagged bool) Fate {
	frame := frameSize(sourceMTU, tagged)
	switch {
	case s.Kind == Dummy:
		return Whole
	case s.Kind == VLAN:
		if s.UnderlayMTU(sourceMTU, tagged) <= underlay {
			return Whole
		}
		return Lost
	case !s.Kind.Tunnel():
		return FateUnset
	}
	fate := Whole
	if keep := s.MTU + ethernetHeader; s.Kind.erspan() && frame > keep {
		frame, fate = keep, Truncated
	}
	switch {
	case frame+s.Overhead() <= underlay:
		return fate
	case s.V6() && s.Kind == VXLAN:
		return Lost
	case s.V6():
		return Harmful
	case fate == Whole:
		return Fragmented
	default: // in pieces, and cut as well
		return Truncated
	}
}

// PassesErrors reports whether the kernel answers the senders of mirrored packets with
// "host unreachable" when the way to the collector does not carry the copies: once for
// each ICMP "destination unreachable" (network, host, protocol, prohibited) that a
// copy gets from a router or the collector. It concerns packets mirrored on egress,
// which have a route by then; those mirrored on ingress have none, and stay
// unharmed. Safe are VXLAN, ERSPAN II and III over IPv4, and every link with an InKey:
// the kernel does not find the link by such an error. (err_count in net/ipv4/ip_tunnel.c and
// net/ipv6/ip6_tunnel.c; seen on 6.1.)
func (s Spec) PassesErrors() bool {
	if s.InKey != 0 {
		return false
	}
	switch s.Kind {
	case GRETap, ERSPAN1:
		return true
	case ERSPAN2, ERSPAN3:
		return s.V6()
	default:
		return false
	}
}
