package fabric

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers (IANA, Assigned Internet Protocol Numbers).
const (
	protoHopByHop = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoDestOpts = 60
	protoSCTP     = 132
)

// packet is what filters and flow hashes look at.
type packet struct {
	srcMAC, dstMAC   MAC
	etherType        uint16 // after 802.1Q and 802.1ad tags
	version          uint8  // 4 or 6; 0 if not IP, or cut inside the IP header
	protocol         uint8
	src, dst         netip.Addr
	hasPorts         bool
	srcPort, dstPort uint16
}

// parsePacket reads as far as the frame is sound. frame has an Ethernet header.
func parsePacket(frame []byte) packet {
	p := packet{dstMAC: dstMAC(frame), srcMAC: srcMAC(frame)}
	off := tagOffset
	for {
		if off+2 > len(frame) {
			return p
		}
		p.etherType = binary.BigEndian.Uint16(frame[off:])
		if p.etherType != etherTypeVLAN && p.etherType != etherTypeService {
			break
		}
		off += tagLen
	}
	body := frame[off+2:]
	switch p.etherType {
	case etherTypeIPv4:
		p.parseIPv4(body)
	case etherTypeIPv6:
		p.parseIPv6(body)
	}
	return p
}

func (p *packet) parseIPv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	headerLen := int(b[0]&0x0f) * 4
	if headerLen < 20 || len(b) < headerLen {
		return
	}
	p.version, p.protocol = 4, b[9]
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if binary.BigEndian.Uint16(b[6:])&0x1fff == 0 { // fragment offset
		p.parsePorts(b[headerLen:])
	}
}

func (p *packet) parseIPv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return
	}
	p.version, p.protocol = 6, b[6]
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	b = b[40:]
	for {
		var size int
		switch p.protocol {
		case protoHopByHop, protoRouting, protoDestOpts:
			if len(b) < 2 {
				return
			}
			size = 8 + 8*int(b[1])
		case protoAH:
			if len(b) < 2 {
				return
			}
			size = 8 + 4*int(b[1])
		case protoFragment:
			size = 8
			if len(b) < size {
				return
			}
			if binary.BigEndian.Uint16(b[2:])>>3 != 0 { // a later fragment: no more headers
				p.protocol = b[0]
				return
			}
		default:
			p.parsePorts(b)
			return
		}
		if len(b) < size {
			return
		}
		p.protocol = b[0]
		b = b[size:]
	}
}

func (p *packet) parsePorts(b []byte) {
	switch p.protocol {
	case protoTCP, protoUDP, protoSCTP:
		if len(b) >= 4 {
			p.hasPorts = true
			p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	}
}

// copies reports whether the filter lets a frame through; see [Filter].
func (f Filter) copies(p packet, vlan uint16) bool {
	for i := range f {
		if f[i].matches(&p, vlan) {
			return f[i].Action == Include
		}
	}
	return len(f) == 0
}

func (r *Rule) matches(p *packet, vlan uint16) bool {
	return (r.IPVersion == 0 || r.IPVersion == p.version) &&
		(r.EtherType == 0 || r.EtherType == p.etherType) &&
		(r.VLAN == 0 || r.VLAN == vlan) &&
		r.SrcMAC.matches(p.srcMAC) && r.DstMAC.matches(p.dstMAC) &&
		(r.Protocol == 0 || p.version != 0 && r.Protocol == p.protocol) &&
		(!r.Src.IsValid() || r.Src.Contains(p.src)) &&
		(!r.Dst.IsValid() || r.Dst.Contains(p.dst)) &&
		inRanges(r.SrcPorts, p.srcPort, p.hasPorts) &&
		inRanges(r.DstPorts, p.dstPort, p.hasPorts)
}

func (m MACMask) matches(a MAC) bool {
	for i := range a {
		if (a[i]^m.Addr[i])&m.Mask[i] != 0 {
			return false
		}
	}
	return true
}

func inRanges(ranges []PortRange, port uint16, has bool) bool {
	if len(ranges) == 0 {
		return true
	}
	for _, r := range ranges {
		if has && r.From <= port && port <= r.To {
			return true
		}
	}
	return false
}
