package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// Generator describes frames: Ethernet, IPv4, UDP, and a payload of the marker, the
// number of the frame as eight decimal digits from 00000000 on, and zeros.
type Generator struct {
	// From and To are hosts: "h1", or "h1:eth2" for a port that is not the first.
	// To may be "broadcast".
	From string `json:"from"`
	To   string `json:"to"`
	// Count of frames; 0 = 1.
	Count int `json:"count,omitempty"`
	// Size of a frame in bytes, from the destination address to the end of the
	// payload, tag included; 0 = as small as holds everything, at least 60.
	Size int `json:"size,omitempty"`
	// VLAN puts an 802.1Q tag on; 0 = none.
	VLAN uint16 `json:"vlan,omitempty"`
	// Priority of the tag, 0 to 7.
	Priority uint8 `json:"priority,omitempty"`
	// Marker is the text by which captured frames are found again.
	Marker string `json:"marker,omitempty"`
	// SourcePort and DestinationPort of UDP; 0 = 49152 and 9 (discard).
	SourcePort      uint16 `json:"sourcePort,omitempty"`
	DestinationPort uint16 `json:"destinationPort,omitempty"`
}

const (
	maxGenerated  = 100_000
	minFrame      = 60 // without the check sequence
	maxFrame      = 65535
	numberLen     = 8
	udpOverhead   = 14 + 20 + 8
	defaultSource = 49152
	defaultDest   = 9
)

// frames builds the generator's frames and says from where they are sent.
func (g *Generator) frames(l *Lab) (from *node, port string, frames [][]byte, err error) {
	from, port, err = l.hostPort(g.From)
	if err != nil {
		return nil, "", nil, fmt.Errorf("from: %w", err)
	}
	src := endpoint(from.Host, port)
	dst := station{mac: fabric.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, addr: netip.AddrFrom4([4]byte{255, 255, 255, 255})}
	if g.To != "broadcast" {
		to, toPort, err := l.hostPort(g.To)
		if err != nil {
			return nil, "", nil, fmt.Errorf("to: %w", err)
		}
		dst = endpoint(to.Host, toPort)
	}
	if err := g.check(); err != nil {
		return nil, "", nil, err
	}
	count := max(g.Count, 1)
	frames = make([][]byte, count)
	for i := range frames {
		frames[i] = g.frame(src, dst, i)
	}
	return from, port, frames, nil
}

func (g *Generator) smallest() int {
	n := udpOverhead + len(g.Marker) + numberLen
	if g.VLAN != 0 {
		n += 4
	}
	return n
}

func (g *Generator) check() error {
	switch {
	case g.Count < 0 || g.Count > maxGenerated:
		return fmt.Errorf("count %d: not from 1 to %d", g.Count, maxGenerated)
	case g.VLAN > 4094 || g.Priority > 7:
		return fmt.Errorf("VLAN %d, priority %d: not up to 4094 and 7", g.VLAN, g.Priority)
	case g.Priority != 0 && g.VLAN == 0:
		return fmt.Errorf("priority %d without VLAN", g.Priority)
	case g.Size != 0 && (g.Size < g.smallest() || g.Size > maxFrame):
		return fmt.Errorf("size %d: these frames have from %d to %d bytes", g.Size, g.smallest(), maxFrame)
	case g.smallest() > maxFrame:
		return fmt.Errorf("marker of %d bytes", len(g.Marker))
	}
	return nil
}

// station is one end of generated traffic.
type station struct {
	mac  fabric.MAC
	addr netip.Addr
}

// endpoint takes the first IPv4 address of a host's port. One without has an
// address of 198.18.0.0/15 (RFC 2544, benchmarks) made of its MAC address.
func endpoint(h *fabric.Host, port string) station {
	s := station{mac: h.MAC(port)}
	for _, p := range h.Addresses(port) {
		if p.Addr().Unmap().Is4() {
			s.addr = p.Addr().Unmap()
			return s
		}
	}
	s.addr = netip.AddrFrom4([4]byte{198, 18 + s.mac[2]&1, s.mac[3], s.mac[5]})
	return s
}

func (g *Generator) frame(src, dst station, number int) []byte {
	size := g.Size
	if size == 0 {
		size = max(g.smallest(), minFrame)
	}
	b := make([]byte, 0, size)
	b = append(append(b, dst.mac[:]...), src.mac[:]...)
	if g.VLAN != 0 {
		b = binary.BigEndian.AppendUint16(b, 0x8100)
		b = binary.BigEndian.AppendUint16(b, uint16(g.Priority)<<13|g.VLAN)
	}
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	ip := len(b)
	length := size - ip
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = binary.BigEndian.AppendUint16(b, uint16(number))
	b = append(b, 0, 0, 64, 17, 0, 0)
	b = append(append(b, src.addr.AsSlice()...), dst.addr.AsSlice()...)
	binary.BigEndian.PutUint16(b[ip+10:], ^sum(0, b[ip:]))
	udp := len(b)
	b = binary.BigEndian.AppendUint16(b, orDefault(g.SourcePort, defaultSource))
	b = binary.BigEndian.AppendUint16(b, orDefault(g.DestinationPort, defaultDest))
	b = binary.BigEndian.AppendUint16(b, uint16(length-20))
	b = append(b, 0, 0)
	b = append(b, g.Marker...)
	b = fmt.Appendf(b, "%0*d", numberLen, number)
	b = b[:size]
	// The checksum of UDP goes over addresses, protocol and length, too.
	pseudo := sum(sum(0, b[ip+12:ip+20]), []byte{0, 17, byte((length - 20) >> 8), byte(length - 20)})
	check := ^sum(pseudo, b[udp:])
	if check == 0 {
		check = 0xffff // 0 would say that there is none
	}
	binary.BigEndian.PutUint16(b[udp+6:], check)
	return b
}

func orDefault(v, def uint16) uint16 {
	if v == 0 {
		return def
	}
	return v
}

// sum adds b to a sum of RFC 1071.
func sum(start uint16, b []byte) uint16 {
	s := uint32(start)
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// hostPort finds "HOST" or "HOST:PORT".
func (l *Lab) hostPort(s string) (*node, string, error) {
	name, port, _ := strings.Cut(s, ":")
	return l.host(name, port)
}

// host finds a host and its port, "" being the first.
func (l *Lab) host(name, port string) (*node, string, error) {
	n := l.byName[name]
	if n == nil {
		return nil, "", notFound("no node %q", name)
	}
	if n.Host == nil {
		return nil, "", fmt.Errorf("%s is a switch, not a host", name)
	}
	ports := n.Host.Ports()
	if port == "" {
		if len(ports) == 0 {
			return nil, "", fmt.Errorf("%s has no port", name)
		}
		return n, ports[0], nil
	}
	for _, p := range ports {
		if p == port {
			return n, port, nil
		}
	}
	return nil, "", notFound("%s has no port %q", name, port)
}
