package fabric

import (
	"encoding/binary"
	"net/netip"
)

// GRE protocol types: RFC 1701 and IANA (transparent Ethernet bridging);
// draft-foschiano-erspan-03 section 4 (ERSPAN).
const (
	protocolTEB     = 0x6558
	protocolERSPAN2 = 0x88be // also type I
	protocolERSPAN3 = 0x22eb
)

const portVXLAN = 4789 // RFC 7348 section 5

const defaultTTL = 64

// tunnel encapsulates a copy and sends it on its way. It reports whether the
// packet left this switch.
func (s *Switch) tunnel(m *mirror, t *Tunnel, frame []byte, info copied) bool {
	if s.way(t.Destination.Unmap()) == nil {
		return false
	}
	return s.carry(encapsulate(m, t, frame, info), t.Destination)
}

// carry sends a packet, which it may write to, the shortest way to its receiver. It
// reports whether the packet left this switch.
func (s *Switch) carry(pkt []byte, to netip.Addr) bool {
	way := s.way(to.Unmap())
	if way == nil {
		return false
	}
	for hop, out := range way {
		in := out.peer
		copy(pkt[0:6], in.mac[:])
		copy(pkt[6:12], out.mac[:])
		if payloadLen(pkt) > out.mtu {
			out.drop(DropMTU)
			return hop > 0
		}
		out.out.count(pkt)
		if out.loses() {
			return true
		}
		in.in.count(pkt)
		if in.node.host != nil {
			in.capture(pkt)
			return true
		}
		if !decrementTTL(pkt) {
			in.drop(DropTTL)
			return true
		}
	}
	return true
}

// way returns the ports by which a packet leaves the switches on the shortest way
// to the owner of an address, nil if there is none.
func (s *Switch) way(to netip.Addr) []*port {
	f := s.node.f
	if s.routes == nil || s.routesAt != f.topology {
		s.routes, s.routesAt = map[netip.Addr][]*port{}, f.topology
	}
	way, known := s.routes[to]
	if !known {
		if owner := f.owners[to]; owner != nil {
			way = s.search(owner)
		}
		s.routes[to] = way
	}
	return way
}

// search is a breadth-first search over links that are up and not given to mirrors.
func (s *Switch) search(owner *port) []*port {
	cameBy := map[*node]*port{s.node: nil} // the port by which the previous node sends to this one
	queue := []*node{s.node}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, p := range n.ports {
			if !p.up() || p.destination {
				continue
			}
			if p.peer == owner {
				return trace(cameBy, p)
			}
			next := p.peer.node
			if next.sw == nil || p.peer.destination {
				continue
			}
			if _, seen := cameBy[next]; !seen {
				cameBy[next] = p
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func trace(cameBy map[*node]*port, last *port) []*port {
	var back []*port
	for p := last; p != nil; p = cameBy[p.node] {
		back = append(back, p)
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return back
}

// encapsulate returns the whole outer frame, its Ethernet addresses still zero.
func encapsulate(m *mirror, t *Tunnel, frame []byte, info copied) []byte {
	var protocol uint8 = protoGRE
	var head []byte
	switch t.Kind {
	case VXLAN:
		protocol = protoUDP
		head = appendVXLAN(nil, t, frame)
	case ERSPAN2:
		head = appendERSPAN2(appendGRE(nil, m, t), t, info)
	case ERSPAN3:
		head = appendERSPAN3(appendGRE(nil, m, t), t, info, m.sequence)
	default: // GRE and ERSPAN I
		head = appendGRE(nil, m, t)
	}
	pkt := make([]byte, tagOffset, headerLen+40+len(head)+len(frame))
	pkt = appendIP(pkt, m, t, protocol, len(head)+len(frame))
	m.sequence++
	m.packetID++
	pkt = append(pkt, head...)
	return append(pkt, frame...)
}

// appendIP appends the Ethernet type and the IPv4 or IPv6 header for a payload of
// n bytes. Packets must not be fragmented (IPv4: DF): mirrors do not.
func appendIP(b []byte, m *mirror, t *Tunnel, protocol uint8, n int) []byte {
	ttl := t.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	src, dst := t.Source.Unmap(), t.Destination.Unmap()
	if src.Is4() {
		b = binary.BigEndian.AppendUint16(b, etherTypeIPv4)
		start := len(b)
		b = append(b, 0x45, t.DSCP<<2)
		b = binary.BigEndian.AppendUint16(b, uint16(20+n))
		b = binary.BigEndian.AppendUint16(b, m.packetID)
		b = append(b, 0x40, 0, ttl, protocol, 0, 0)
		b = append(b, src.AsSlice()...)
		b = append(b, dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[start+10:], headerChecksum(b[start:]))
		return b
	}
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(t.DSCP)<<22)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, protocol, ttl)
	b = append(b, src.AsSlice()...)
	return append(b, dst.AsSlice()...)
}

// appendGRE appends the header of RFC 2784 with the key and sequence number of
// RFC 2890.
func appendGRE(b []byte, m *mirror, t *Tunnel) []byte {
	protocol, sequence := t.Protocol, t.Sequence
	switch t.Kind {
	case ERSPAN1:
		protocol, sequence = orDefault(protocol, protocolERSPAN2), false
	case ERSPAN2:
		protocol, sequence = orDefault(protocol, protocolERSPAN2), true
	case ERSPAN3:
		protocol, sequence = orDefault(protocol, protocolERSPAN3), true
	default:
		protocol = orDefault(protocol, protocolTEB)
	}
	var flags uint16
	if t.Key != nil {
		flags |= 0x2000
	}
	if sequence {
		flags |= 0x1000
	}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, protocol)
	if t.Key != nil {
		b = binary.BigEndian.AppendUint32(b, *t.Key)
	}
	if sequence {
		b = binary.BigEndian.AppendUint32(b, m.sequence)
	}
	return b
}

// appendVXLAN appends the UDP header and that of RFC 7348, which wants a source
// port made of the flow and allows a checksum of zero.
func appendVXLAN(b []byte, t *Tunnel, frame []byte) []byte {
	var flow uint32
	if len(frame) >= headerLen {
		flow = flowHash(frame)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(49152+flow%16384))
	b = binary.BigEndian.AppendUint16(b, portVXLAN)
	b = binary.BigEndian.AppendUint16(b, uint16(8+8+len(frame)))
	b = append(b, 0, 0)
	b = append(b, 0x08, 0, 0, 0) // the VNI is valid
	return binary.BigEndian.AppendUint32(b, t.VNI<<8)
}

func orDefault(v, def uint16) uint16 {
	if v == 0 {
		return def
	}
	return v
}

// erspanBase is the first word of both headers: version, VLAN, class of service,
// two bits that differ, truncated, session.
func erspanBase(version uint32, bits uint32, t *Tunnel, info copied) uint32 {
	w := version<<28 | uint32(info.vlan)<<16 | uint32(info.priority)<<13 | bits<<11 | uint32(t.SessionID)
	if info.truncated {
		w |= 1 << 10
	}
	return w
}

// appendERSPAN2 appends the header of draft-foschiano-erspan-03 section 4.2.
func appendERSPAN2(b []byte, t *Tunnel, info copied) []byte {
	var en uint32 // the frame had no tag
	if info.tagged {
		en = 3 // its tag is kept in the copy
	}
	b = binary.BigEndian.AppendUint32(b, erspanBase(1, en, t, info))
	return binary.BigEndian.AppendUint32(b, t.Index)
}

// appendERSPAN3 appends the header of draft-foschiano-erspan-03 section 4.3,
// without the optional part. The fabric has no clock: the timestamp, in units of
// 100 microseconds, is the number of the packet.
func appendERSPAN3(b []byte, t *Tunnel, info copied, timestamp uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, erspanBase(2, 0, t, info))
	b = binary.BigEndian.AppendUint32(b, timestamp)
	w := uint32(1)<<15 | uint32(t.HardwareID)<<4 // P: the frame is a whole Ethernet frame
	if info.direction == Tx {
		w |= 1 << 3
	}
	return binary.BigEndian.AppendUint32(b, w)
}

// decrementTTL makes one hop of the packet, which it may write to, and reports
// whether it lives.
func decrementTTL(pkt []byte) bool {
	ip := pkt[headerLen:]
	if etherType(pkt) == etherTypeIPv6 {
		if ip[7] <= 1 {
			return false
		}
		ip[7]--
		return true
	}
	if ip[8] <= 1 {
		return false
	}
	ip[8]--
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip[:20]))
	return true
}

// headerChecksum is the Internet checksum (RFC 1071) of an IPv4 header whose
// checksum field is zero.
func headerChecksum(h []byte) uint16 {
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
