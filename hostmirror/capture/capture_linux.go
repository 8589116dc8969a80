package capture

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"
	"unsafe"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Capture listens to an interface from Open on: what comes before Run is in the
// kernel's buffer.
type Capture struct {
	o     Options
	fd    int
	index int // of the interface
}

// Open begins to listen to the frames that the interface sends.
func Open(o Options) (*Capture, error) {
	c := &Capture{o: o, fd: -1}
	if c.o.Buffer <= 0 {
		c.o.Buffer = defaultBuffer
	}
	if err := within(o.Namespace, c.open); err != nil {
		if c.fd >= 0 {
			_ = unix.Close(c.fd)
		}
		return nil, fmt.Errorf("capture on %s: %w", o.Interface, err)
	}
	return c, nil
}

// within runs f in a network namespace, on a thread that nobody uses afterwards.
func within(path string, f func() error) error {
	if path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromPath(path)
		if err != nil {
			done <- fmt.Errorf("network namespace %s: %w", path, err)
			return
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("network namespace %s: %w", path, err)
			return
		}
		done <- f()
	}()
	return <-done
}

func (c *Capture) open() error {
	ifc, err := net.InterfaceByName(c.o.Interface)
	if err != nil {
		return err
	}
	c.index = ifc.Index
	// Protocol 0: nothing is received before the socket is bound to the interface.
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	// Beyond net.core.rmem_max it takes CAP_NET_ADMIN, without which there is less room.
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, c.o.Buffer) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, c.o.Buffer)
	}
	if err := errors.Join(
		unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
	); err != nil {
		return err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index})
}

// Close ends listening.
func (c *Capture) Close() error { return unix.Close(c.fd) }

// idle is how long a reader of the file waits at most for frames that are there.
const idle = 100 * time.Millisecond

// drain is how long the buffer is emptied at most when the capture ends.
const drain = time.Second

// Run writes frames to w until ctx ends, the wanted number is there, the interface is
// gone or writing fails. The end of ctx is no error. The result holds in any case.
func (c *Capture) Run(ctx context.Context, w io.Writer) (Result, error) {
	begin := time.Now()
	var res Result
	out, err := pcapgo.NewNgWriterInterface(bufio.NewWriterSize(w, 1<<18), pcapgo.NgInterface{
		Name: c.o.Name, Description: c.o.Description, Filter: c.o.Filter, OS: runtime.GOOS, LinkType: layers.LinkTypeEthernet,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "spanctl", OS: runtime.GOOS, Hardware: runtime.GOARCH}})
	if err == nil {
		err = out.Flush() // a reader on a pipe learns at once that there is a capture
	}
	if err == nil {
		err = c.frames(ctx, out, &res)
	}
	res.Took = time.Since(begin)
	var statErr error
	res.Dropped, statErr = c.drops()
	if err == nil && statErr == nil {
		err = out.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
			LastUpdate: time.Now(), StartTime: begin, EndTime: begin.Add(res.Took), PacketsReceived: res.Captured + res.Dropped, PacketsDropped: res.Dropped,
		})
	}
	if out != nil {
		err = errors.Join(err, out.Flush())
	}
	return res, errors.Join(err, statErr)
}

func (c *Capture) frames(ctx context.Context, out *pcapgo.NgWriter, res *Result) error {
	r := newReceiver(c.fd)
	// When ctx ends, what came before is in the buffer still. It is written, but what
	// comes then may not keep this from ending.
	var end time.Time
	for c.o.Count == 0 || res.Captured < c.o.Count {
		if ctx.Err() != nil && end.IsZero() {
			end = time.Now().Add(drain)
		}
		if !end.IsZero() && time.Now().After(end) {
			return nil
		}
		f, err := r.next()
		switch {
		case errors.Is(err, unix.EAGAIN):
			if err := out.Flush(); err != nil {
				return err
			}
			if !end.IsZero() {
				return nil
			}
			if err := r.wait(); err != nil {
				return err
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENETDOWN): // set down, or gone
			if err := c.gone(); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("capture on %s: %w", c.o.Interface, err)
		}
		if !f.outgoing {
			continue
		}
		info := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: f.length}
		if err := out.WritePacket(info, f.data); err != nil {
			return err
		}
		res.Captured++
		res.Bytes += uint64(f.length)
		if f.unsegmented {
			res.Unsegmented++
		}
	}
	return nil
}

// drops gives the frames that did not fit into the buffer since it was asked last.
func (c *Capture) drops() (uint64, error) {
	s, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, err
	}
	return uint64(s.Drops), nil
}

// gone gives an error when the interface is not there any more.
func (c *Capture) gone() error {
	return within(c.o.Namespace, func() error {
		if _, err := net.InterfaceByIndex(c.index); err != nil {
			return fmt.Errorf("capture on %s: the interface is gone", c.o.Interface)
		}
		return nil
	})
}

// frame is one frame; data is valid until the next.
type frame struct {
	data        []byte
	length      int // of the whole frame
	at          time.Time
	outgoing    bool
	unsegmented bool
}

type receiver struct {
	fd       int
	buf, oob []byte
}

// maxFrame is beyond the largest frame of a device with "BIG TCP" (512 KiB and
// headers, GSO_MAX_SIZE of linux/netdevice.h).
const maxFrame = 520 << 10

func newReceiver(fd int) *receiver {
	return &receiver{fd: fd, buf: make([]byte, vnetSize+maxFrame), oob: make([]byte, 256)}
}

// next gives the next frame, or EAGAIN when there is none.
func (r *receiver) next() (frame, error) {
	n, oobn, _, from, err := unix.Recvmsg(r.fd, r.buf, r.oob, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil {
		return frame{}, err
	}
	have := min(n, len(r.buf))
	h, err := parseVnet(r.buf[:have])
	if err != nil {
		return frame{}, err
	}
	f := frame{data: r.buf[vnetSize:have], length: n - vnetSize, at: time.Now(), unsegmented: h.gso()}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	if f.length == len(f.data) {
		finishChecksum(f.data, h)
	}
	t, tagged, err := r.control(r.oob[:oobn], &f)
	if err != nil {
		return frame{}, err
	}
	if tagged && len(f.data) >= macs {
		f.data = r.buf[vnetSize-tagSize : have] // into the room of the header
		insertTag(f.data, t)
		f.length += tagSize
	}
	return f, nil
}

// control reads what the kernel tells beside a frame: its time and its tag.
func (r *receiver) control(oob []byte, f *frame) (t tag, tagged bool, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return tag{}, false, fmt.Errorf("what the kernel tells of a frame: %w", err)
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})):
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			f.at = time.Unix(ts.Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
			if aux.Status&unix.TP_STATUS_VLAN_VALID == 0 {
				continue
			}
			t, tagged = tag{tpid: unix.ETH_P_8021Q, tci: aux.Vlan_tci}, true
			if aux.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
				t.tpid = aux.Vlan_tpid
			}
		}
	}
	return t, tagged, nil
}

// wait waits for a frame, but not for long.
func (r *receiver) wait() error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, int(idle.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
