package kerneltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EtherTest is the ethertype of test frames: IEEE 802 local experimental 1, which
// nothing on the host answers to.
const EtherTest = 0x88b5

// Frame is what a capture saw.
type Frame struct {
	Data     []byte // from the destination address on, without the tag in VLAN
	VLAN     uint16 // tag control information (priority and id) that the kernel keeps beside the frame; 0 = none
	Outgoing bool   // the device sent it
}

// TestFrame makes a frame of size bytes (at least 64) to dst that carries mark. With
// vlan > 0 it has an 802.1Q tag.
func TestFrame(dst net.HardwareAddr, mark string, vlan uint16, size int) []byte {
	f := make([]byte, 0, max(size, 64))
	f = append(f, dst...)
	f = append(f, 0x02, 0, 0, 0, 0, 0x01)
	if vlan > 0 {
		f = append(f, 0x81, 0x00)
		f = binary.BigEndian.AppendUint16(f, vlan)
	}
	f = binary.BigEndian.AppendUint16(f, EtherTest)
	f = append(f, mark...)
	f = append(f, 0)
	return f[:cap(f)]
}

// Broadcast is the address that every port takes.
var Broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Send sends a frame count times out of a device.
func (n *NS) Send(dev string, frame []byte, count int) {
	n.t.Helper()
	index := n.Index(dev)
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
		for range count {
			for { // ENOBUFS: the device's queue is full for the moment
				err = unix.Sendto(fd, frame, 0, to)
				if !errors.Is(err, unix.ENOBUFS) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatalf("send on %s: %v", dev, err)
	}
}

// Capture collects the frames with ethertype EtherTest that pass a device.
type Capture struct {
	t      testing.TB
	dev    string
	all    bool
	fd     int
	mu     sync.Mutex
	frames []Frame
	err    error
}

// Capture starts to listen on a device until the test ends.
func (n *NS) Capture(dev string) *Capture {
	n.t.Helper()
	return n.capture(dev, false)
}

// CaptureAll is Capture for frames of every ethertype.
func (n *NS) CaptureAll(dev string) *Capture {
	n.t.Helper()
	return n.capture(dev, true)
}

func (n *NS) capture(dev string, all bool) *Capture {
	n.t.Helper()
	c := &Capture{t: n.t, dev: dev, all: all, fd: -1}
	index := n.Index(dev)
	err := n.Do(func() error {
		var err error
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		tv := unix.NsecToTimeval((20 * time.Millisecond).Nanoseconds())
		return errors.Join(
			unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: be16(unix.ETH_P_ALL), Ifindex: index}),
		)
	})
	if err != nil {
		n.t.Fatalf("capture on %s: %v", dev, err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				c.receive()
			}
		}
	}()
	n.t.Cleanup(func() {
		close(stop)
		<-done
		_ = unix.Close(c.fd)
	})
	return c
}

func (c *Capture) receive() {
	buf, oob := make([]byte, 1<<16), make([]byte, 256)
	n, oobn, _, from, err := unix.Recvmsg(c.fd, buf, oob, 0)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
		return
	case err != nil:
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		return
	}
	f := Frame{Data: bytes.Clone(buf[:n])}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	f.VLAN = auxVLAN(oob[:oobn])
	if len(f.Data) < 14 || !c.all && etherType(f.Data) != EtherTest {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
}

// etherType looks behind the tags that are in the frame itself.
func etherType(b []byte) uint16 {
	for at := 12; at+2 <= len(b); at += 4 {
		if t := binary.BigEndian.Uint16(b[at:]); t != 0x8100 && t != 0x88a8 {
			return t
		}
	}
	return 0
}

// auxVLAN reads struct tpacket_auxdata: the kernel takes the outer tag out of a
// frame before it shows it.
func auxVLAN(oob []byte) uint16 {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA ||
			len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		if status&unix.TP_STATUS_VLAN_VALID != 0 {
			return binary.NativeEndian.Uint16(m.Data[16:])
		}
	}
	return 0
}

func be16(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// Timing of Count. Delivery over veth takes microseconds; a loaded machine or an
// emulated one can stop us for much longer, so waiting ends with the frames, and
// only the proof of silence takes its full time.
const (
	arriveWithin = 10 * time.Second
	quiet        = 150 * time.Millisecond
)

// Count is Counts for one mark.
func (c *Capture) Count(mark string, want int) int {
	c.t.Helper()
	return c.Counts(map[string]int{mark: want})[mark]
}

// Counts waits for as many received frames of each mark as want says, then for a
// moment of silence, and gives the numbers that came, which may be smaller or larger.
func (c *Capture) Counts(want map[string]int) map[string]int {
	c.t.Helper()
	complete := func() bool {
		for mark, n := range want {
			if len(c.Received(mark)) < n {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(arriveWithin); time.Now().Before(deadline) && !complete(); {
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(quiet)
	got := make(map[string]int)
	for mark := range want {
		got[mark] = len(c.Received(mark))
	}
	return got
}

// Received gives the frames with mark that the device has received so far.
func (c *Capture) Received(mark string) []Frame {
	c.t.Helper()
	return c.passed(mark, false)
}

// Sent gives the frames with mark that the device has sent so far.
func (c *Capture) Sent(mark string) []Frame {
	c.t.Helper()
	return c.passed(mark, true)
}

func (c *Capture) passed(mark string, outgoing bool) []Frame {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.t.Fatalf("capture on %s: %v", c.dev, c.err)
	}
	needle := fmt.Appendf(nil, "%s\x00", mark)
	var out []Frame
	for _, f := range c.frames {
		if f.Outgoing == outgoing && bytes.Contains(f.Data, needle) {
			out = append(out, f)
		}
	}
	return out
}
