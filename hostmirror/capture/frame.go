package capture

import (
	"encoding/binary"
	"errors"
)

// vnetHeader is struct virtio_net_hdr (linux/virtio_net.h), which the kernel puts
// before each frame of a packet socket that asks for it. Its integers are of the
// host's byte order.
type vnetHeader struct {
	flags              uint8
	gsoType            uint8
	hdrLen, gsoSize    uint16
	csumStart, csumOff uint16
}

const (
	vnetSize      = 10
	vnetNeedsCsum = 1 // the checksum from csumStart on is to be worked out and put at csumStart + csumOff
)

func parseVnet(b []byte) (vnetHeader, error) {
	if len(b) < vnetSize {
		return vnetHeader{}, errors.New("the kernel gave a frame without its header")
	}
	ne := binary.NativeEndian
	return vnetHeader{
		flags: b[0], gsoType: b[1], hdrLen: ne.Uint16(b[2:]), gsoSize: ne.Uint16(b[4:]), csumStart: ne.Uint16(b[6:]), csumOff: ne.Uint16(b[8:]),
	}, nil
}

// gso reports whether the frame is one that is to be cut into several.
func (h vnetHeader) gso() bool { return h.gsoType != 0 }

// finishChecksum works out the checksum of a whole frame that was left to hardware:
// that of RFC 1071 over everything from the start on, where the field itself holds the
// sum of the pseudo header. A frame that is too short for what its header says stays as
// it is.
func finishChecksum(frame []byte, h vnetHeader) {
	start, at := int(h.csumStart), int(h.csumStart)+int(h.csumOff)
	if h.flags&vnetNeedsCsum == 0 || at+2 > len(frame) {
		return
	}
	var sum uint64
	rest := frame[start:]
	for ; len(rest) >= 2; rest = rest[2:] {
		sum += uint64(rest[0])<<8 | uint64(rest[1])
	}
	if len(rest) == 1 {
		sum += uint64(rest[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	result := ^uint16(sum)
	if result == 0 {
		result = 0xffff // 0 means "none" in UDP, and is the same number in TCP
	}
	binary.BigEndian.PutUint16(frame[at:], result)
}

// tag is an 802.1Q or 802.1ad tag that the kernel keeps beside a frame.
type tag struct {
	tpid, tci uint16
}

const macs = 12 // bytes of both addresses, before which no tag goes

// insertTag puts a tag into the frame that begins at buf[tagSize]. The result begins
// at buf[0].
func insertTag(buf []byte, t tag) {
	copy(buf, buf[tagSize:tagSize+macs])
	binary.BigEndian.PutUint16(buf[macs:], t.tpid)
	binary.BigEndian.PutUint16(buf[macs+2:], t.tci)
}

const tagSize = 4
