package linknl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// sniffer collects the frames that a device receives.
type sniffer struct {
	mu     sync.Mutex
	frames [][]byte
	err    error
}

// sniff listens until the test ends. Segmentation offload does not get in the way:
// test frames are sent one by one.
func sniff(t *testing.T, n *kerneltest.NS, dev string) *sniffer {
	t.Helper()
	s, fd, index := &sniffer{}, -1, n.Index(dev)
	err := n.Do(func() error {
		var err error
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		tv := unix.NsecToTimeval((20 * time.Millisecond).Nanoseconds())
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: native.Uint16(be16(unix.ETH_P_ALL)), Ifindex: index}),
		)
	})
	if err != nil {
		t.Fatalf("listen on %s: %v", dev, err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
				continue
			}
			s.mu.Lock()
			if ll, ok := from.(*unix.SockaddrLinklayer); err == nil && (!ok || ll.Pkttype != unix.PACKET_OUTGOING) {
				s.frames = append(s.frames, bytes.Clone(buf[:n]))
			}
			s.err = errors.Join(s.err, err)
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		_ = unix.Close(fd)
	})
	return s
}

// take waits for want frames that match, then for a moment of silence, and gives
// those that came; it forgets all others.
func (s *sniffer) take(t *testing.T, want int, match func([]byte) bool) [][]byte {
	t.Helper()
	matching := func() (out [][]byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			t.Fatal(s.err)
		}
		for _, f := range s.frames {
			if match(f) {
				out = append(out, f)
			}
		}
		return out
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && len(matching()) < want; {
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(150 * time.Millisecond)
	out := matching()
	s.mu.Lock()
	s.frames = nil
	s.mu.Unlock()
	return out
}

// protocols that frames are chosen by.
const (
	protoICMP   = 1
	protoUDP    = 17
	protoGRE    = 47
	protoICMPv6 = 58
	fragment6   = 44
)

// ipProtocol gives the protocol of a frame's packet, in IPv6 that of the first
// header; -1 when it has none.
func ipProtocol(f []byte) int {
	switch {
	case len(f) >= 34 && binary.BigEndian.Uint16(f[12:]) == 0x0800:
		return int(f[23])
	case len(f) >= 54 && binary.BigEndian.Uint16(f[12:]) == 0x86dd:
		return int(f[20])
	default:
		return -1
	}
}

func isTunnel(f []byte) bool {
	p := ipProtocol(f)
	return p == protoGRE || p == protoUDP || p == fragment6
}

// outer is what a tunnel put around a frame.
type outer struct {
	Src, Dst netip.Addr
	TTL, TOS uint8
	DF       bool

	GRE    uint16 // protocol type, 0 of VXLAN
	Key    uint32
	Keyed  bool
	Seq    uint32
	Seqd   bool
	VNI    uint32
	Port   uint16
	ERSPAN erspanHeader
	Inner  []byte
}

// erspanHeader is the header of type II and III (draft-foschiano-erspan-03), without
// the timestamp.
type erspanHeader struct {
	Version   uint8 // 1 of type II, 2 of type III
	VLAN      uint16
	COS       uint8
	En        uint8 // type II: encapsulation of the tag; type III: BSO
	Truncated bool
	Session   uint16
	Index     uint32 // type II
	SGT       uint16 // from here on type III
	Frame     uint8  // FT, with the P bit above it
	HWID      uint8
	Egress    bool
	Gra       uint8
	Optional  bool
}

// decode takes a frame apart. It refuses whatever these tunnels do not send: options,
// fragments, reserved bits, lengths that contradict each other.
func decode(f []byte) (outer, error) {
	if len(f) < 14 {
		return outer{}, errors.New("short frame")
	}
	var o outer
	var proto int
	p := f[14:]
	switch ethertype := binary.BigEndian.Uint16(f[12:]); ethertype {
	case 0x0800:
		total := 0
		if len(p) >= 20 {
			total = int(binary.BigEndian.Uint16(p[2:]))
		}
		if total < 20 || total > len(p) || p[0] != 0x45 {
			return outer{}, fmt.Errorf("IPv4 header %#x of length %d in %d bytes", p[0], total, len(p))
		}
		fragment := binary.BigEndian.Uint16(p[6:])
		if fragment&^0x4000 != 0 {
			return outer{}, fmt.Errorf("fragment %#x", fragment)
		}
		o.TOS, o.TTL, o.DF, proto = p[1], p[8], fragment&0x4000 != 0, int(p[9])
		o.Src, o.Dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		p = p[20:total]
	case 0x86dd:
		if len(p) < 40 || 40+int(binary.BigEndian.Uint16(p[4:])) != len(p) {
			return outer{}, fmt.Errorf("IPv6 packet of %d bytes contradicts its length", len(p))
		}
		o.TOS, o.TTL, proto = uint8(binary.BigEndian.Uint16(p)>>4), p[7], int(p[6])
		o.Src, o.Dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		p = p[40:]
	default:
		return outer{}, fmt.Errorf("ethertype %#04x", ethertype)
	}
	switch proto {
	case protoGRE:
		return o, o.gre(p)
	case protoUDP:
		return o, o.vxlan(p)
	default:
		return outer{}, fmt.Errorf("protocol %d", proto)
	}
}

func (o *outer) vxlan(p []byte) error {
	if len(p) < 16 || int(binary.BigEndian.Uint16(p[4:])) != len(p) {
		return fmt.Errorf("UDP datagram of %d bytes contradicts its length", len(p))
	}
	if flags, reserved := binary.BigEndian.Uint32(p[8:]), p[15]; flags != 0x08000000 || reserved != 0 {
		return fmt.Errorf("VXLAN flags %#08x, reserved %#02x", flags, reserved)
	}
	o.Port, o.VNI, o.Inner = binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[12:])>>8, p[16:]
	return nil
}

func (o *outer) gre(p []byte) error {
	if len(p) < 4 {
		return errors.New("short GRE header")
	}
	flags := binary.BigEndian.Uint16(p)
	o.GRE = binary.BigEndian.Uint16(p[2:])
	o.Keyed, o.Seqd = flags&greKeyFlag != 0, flags&greSeqFlag != 0
	if flags&^(greKeyFlag|greSeqFlag) != 0 {
		return fmt.Errorf("GRE flags %#04x", flags)
	}
	p = p[4:]
	for _, option := range []struct {
		has bool
		to  *uint32
	}{{o.Keyed, &o.Key}, {o.Seqd, &o.Seq}} {
		if option.has && len(p) < 4 {
			return errors.New("short GRE header")
		}
		if option.has {
			*option.to, p = binary.BigEndian.Uint32(p), p[4:]
		}
	}
	if o.GRE == 0x88be && !o.Seqd || o.GRE == 0x6558 { // ERSPAN type I has no header
		o.Inner = p
		return nil
	}
	return o.erspan(p)
}

func (o *outer) erspan(p []byte) error {
	if len(p) < 12 {
		return errors.New("short ERSPAN header")
	}
	first, second, third := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[4:])
	e := &o.ERSPAN
	e.Version, e.VLAN = uint8(first>>12), first&0xfff
	e.COS, e.En, e.Truncated, e.Session = uint8(second>>13), uint8(second>>11&3), second>>10&1 == 1, second&maxSession
	switch {
	case e.Version == 1 && o.GRE == 0x88be:
		if third>>20 != 0 {
			return fmt.Errorf("reserved bits %#x", third>>20)
		}
		e.Index, o.Inner = third&maxIndex, p[8:]
	case e.Version == 2 && o.GRE == 0x22eb:
		last := binary.BigEndian.Uint16(p[10:])
		e.SGT, e.Frame = binary.BigEndian.Uint16(p[8:]), uint8(last>>10)
		e.HWID, e.Egress, e.Gra, e.Optional = uint8(last>>4)&maxHWID, last>>3&1 == 1, uint8(last>>1&3), last&1 == 1
		o.Inner = p[12:]
	default:
		return fmt.Errorf("ERSPAN version %d in GRE protocol %#04x", e.Version, o.GRE)
	}
	return nil
}

// udpFrame is a frame from src to dst of size bytes in all, with a tag when tci is not
// 0. Its packet has TTL 1 and the TOS given, and must not be fragmented.
func udpFrame(dstMAC []byte, src, dst netip.Addr, tci uint16, tos uint8, size int) []byte {
	f := append(append([]byte{}, dstMAC...), 0x02, 0, 0, 0, 0, 0x01)
	if tci != 0 {
		f = append(f, 0x81, 0x00, byte(tci>>8), byte(tci))
	}
	f = append(f, 0x08, 0x00)
	ip := make([]byte, size-len(f))
	ip[0], ip[1], ip[6], ip[8], ip[9] = 0x45, tos, 0x40, 64, protoUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(ip[20:], 4000)
	binary.BigEndian.PutUint16(ip[22:], 4001)
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	for i := 28; i < len(ip); i++ {
		ip[i] = byte(i)
	}
	return append(f, ip...)
}
