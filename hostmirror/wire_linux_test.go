package hostmirror

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// wrapper is what a tunnel has put around a frame, as far as sessions choose it.
type wrapper struct {
	Src, Dst  netip.Addr
	TTL, DSCP uint8
	Kind      string // such as "gre 6558" or "udp 4789"
	Key       int    // -1 = none
	VNI       uint32
	Version   uint8 // of the ERSPAN header, as it has it: type minus one
	Session   uint16
	VLAN      uint16
	Truncated bool
	Sent      bool // direction bit
}

// unwrap takes one wrapper off a frame of Ethernet. It is written from RFC 2784, 2890 and
// 7348 and from draft-foschiano-erspan-03, and shares nothing with what makes tunnels.
func unwrap(frame []byte) (w wrapper, inner []byte, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("a frame of %d bytes ends too early", len(frame))
		}
	}()
	w.Key = -1
	p, proto := frame[14:], byte(0)
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return w, nil, fmt.Errorf("a fragment")
		}
		w.DSCP, w.TTL, proto = p[1]>>2, p[8], p[9]
		w.Src, w.Dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		p = p[20:binary.BigEndian.Uint16(p[2:])]
	case 0x86dd:
		w.DSCP, proto, w.TTL = uint8(binary.BigEndian.Uint16(p)>>6)&0x3f, p[6], p[7]
		w.Src, w.Dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		p = p[40 : 40+binary.BigEndian.Uint16(p[4:])]
	default:
		return w, nil, fmt.Errorf("ethertype %#04x is no tunnel", binary.BigEndian.Uint16(frame[12:]))
	}
	if proto == 17 {
		w.Kind, w.VNI = fmt.Sprintf("udp %d", binary.BigEndian.Uint16(p[2:])), binary.BigEndian.Uint32(p[12:])>>8
		return w, p[16:], nil
	}
	if proto != 47 {
		return w, nil, fmt.Errorf("protocol %d is no tunnel", proto)
	}
	flags, kind := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	w.Kind = fmt.Sprintf("gre %04x", kind)
	p = p[4:]
	if flags&0x2000 != 0 {
		w.Key, p = int(binary.BigEndian.Uint32(p)), p[4:]
	}
	if flags&0x1000 != 0 {
		p = p[4:]
	} else if kind == 0x88be { // type I has no header of its own
		return w, p, nil
	}
	if kind == 0x6558 {
		return w, p, nil
	}
	a, b := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	w.Version, w.VLAN, w.Session, w.Truncated = uint8(a>>12), a&0xfff, b&0x3ff, b&0x400 != 0
	if w.Version == 1 {
		return w, p[8:], nil
	}
	w.Sent = binary.BigEndian.Uint16(p[10:])&8 != 0
	return w, p[12:], nil
}

// depth counts the wrappers around the innermost frame.
func depth(frame []byte) int {
	n := 0
	for {
		_, inner, err := unwrap(frame)
		if err != nil {
			return n
		}
		n, frame = n+1, inner
	}
}
