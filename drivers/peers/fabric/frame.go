package fabric

import (
	"encoding/binary"
	"hash/fnv"
	"net"
)

const (
	headerLen = 14 // Ethernet addresses and type
	tagLen    = 4  // 802.1Q tag
	tagOffset = 12

	etherTypeVLAN    = 0x8100
	etherTypeService = 0x88a8 // 802.1ad; payload to a switch, counted as a tag by the MTU
	etherTypeIPv4    = 0x0800
	etherTypeIPv6    = 0x86dd
)

// Frames are shared between queues, captures and copies: nothing may write into
// one after it is made.

func etherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[tagOffset:]) }

// tag returns the tag control information of an 802.1Q tagged frame.
func tag(frame []byte) (tci uint16, ok bool) {
	if len(frame) < headerLen+tagLen || etherType(frame) != etherTypeVLAN {
		return 0, false
	}
	return binary.BigEndian.Uint16(frame[tagOffset+2:]), true
}

// pushTag returns frame with a tag before all others.
func pushTag(frame []byte, tci uint16) []byte {
	out := make([]byte, 0, len(frame)+tagLen)
	out = append(out, frame[:tagOffset]...)
	out = binary.BigEndian.AppendUint16(out, etherTypeVLAN)
	out = binary.BigEndian.AppendUint16(out, tci)
	return append(out, frame[tagOffset:]...)
}

// popTag returns frame without its outermost tag, or frame if it has none.
func popTag(frame []byte) []byte {
	if _, ok := tag(frame); !ok {
		return frame
	}
	out := make([]byte, 0, len(frame)-tagLen)
	out = append(out, frame[:tagOffset]...)
	return append(out, frame[tagOffset+tagLen:]...)
}

// payloadLen is what an MTU limits.
func payloadLen(frame []byte) int {
	off := tagOffset
	for off+tagLen+2 <= len(frame) {
		t := binary.BigEndian.Uint16(frame[off:])
		if t != etherTypeVLAN && t != etherTypeService {
			break
		}
		off += tagLen
	}
	return len(frame) - off - 2
}

// String returns the address as "02:00:00:00:00:01".
func (a MAC) String() string { return net.HardwareAddr(a[:]).String() }

// group reports whether a is a multicast or broadcast address.
func (a MAC) group() bool { return a[0]&1 != 0 }

func dstMAC(frame []byte) MAC { return MAC(frame[0:6]) }
func srcMAC(frame []byte) MAC { return MAC(frame[6:12]) }

// flowHash is the same for all frames of a flow: addresses, and IP addresses,
// protocol and ports where there are any.
func flowHash(frame []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(frame[:tagOffset])
	if p := parsePacket(frame); p.version != 0 {
		src, dst := p.src.As16(), p.dst.As16()
		_, _ = h.Write(src[:])
		_, _ = h.Write(dst[:])
		ports := [5]byte{p.protocol, byte(p.srcPort >> 8), byte(p.srcPort), byte(p.dstPort >> 8), byte(p.dstPort)}
		_, _ = h.Write(ports[:])
	}
	return h.Sum32()
}
