package bench

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/models"
)

// Layout of a ring of version 3 (linux/if_packet.h, packet_mmap.rst of the kernel).
const (
	blockSize  = 1 << 20
	blockCount = 16
	frameRoom  = 2048

	blockStatusAt, blockNumberAt, blockFirstAt = 8, 12, 16
	frameNextAt, frameSnapAt, frameMACAt       = 0, 12, 24
	frameTypeAt                                = 48 + 10 // sll_pkttype behind struct tpacket3_hdr
)

// userCopier copies frames with a thread of this process: it reads a memory-mapped ring and
// sends many frames with one call. It stays on the other processor.
func userCopier(b *bed, d models.Direction) (string, error) {
	port, _ := where(d)
	from, to := b.host.Index(port), b.host.Index("m0")
	type started struct {
		thread int
		err    error
	}
	ready, stop, done := make(chan started, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.host.Do(func() error {
			err := pin(0, besideOn)
			var ring []byte
			in, out := -1, -1
			if err == nil {
				in, ring, err = openRing(from)
			}
			if err == nil {
				out, err = openOut(to)
			}
			ready <- started{unix.Gettid(), err}
			if err != nil {
				return nil
			}
			defer unix.Close(in)
			defer unix.Close(out)
			defer unix.Munmap(ring)
			return copyFrames(in, out, ring, d == models.Tx, stop)
		})
	}()
	s := <-ready
	if s.err != nil {
		return "", fmt.Errorf("absent: %w", s.err)
	}
	b.helper = append(b.helper, s.thread)
	b.Cleanup(func() {
		close(stop)
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return "", nil
}

func openRing(index int) (fd int, ring []byte, err error) {
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, nil, err
	}
	req := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: blockCount, Frame_size: frameRoom, Frame_nr: blockSize / frameRoom * blockCount,
		Retire_blk_tov: 2, // milliseconds until a block that is not full is given to us
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3)
	if err == nil {
		err = unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req)
	}
	if err == nil {
		ring, err = unix.Mmap(fd, 0, blockSize*blockCount, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: be16(unix.ETH_P_ALL), Ifindex: index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, nil, fmt.Errorf("ring of version 3: %w", err)
	}
	return fd, ring, nil
}

func openOut(index int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// copyFrames works until stop is closed. Frames that the device sent are told by their
// type from those that it received.
func copyFrames(in, out int, ring []byte, sent bool, stop <-chan struct{}) error {
	type message struct { // struct mmsghdr
		hdr unix.Msghdr
		len uint32
		_   [4]byte
	}
	parts, batch := make([]unix.Iovec, blockSize/frameSize), make([]message, blockSize/frameSize)
	for i := range batch {
		batch[i].hdr.Iov = &parts[i]
		batch[i].hdr.SetIovlen(1)
	}
	word := func(b []byte, at uint32) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	for at := 0; ; at = (at + 1) % blockCount {
		block := ring[at*blockSize : (at+1)*blockSize]
		status := (*uint32)(unsafe.Pointer(&block[blockStatusAt]))
		for atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			select {
			case <-stop:
				return nil
			default:
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}}, 20); err != nil && err != unix.EINTR {
				return err
			}
		}
		n := 0
		for i, f := uint32(0), word(block, blockFirstAt); i < word(block, blockNumberAt); i++ {
			frame := block[f:]
			if (frame[frameTypeAt] == unix.PACKET_OUTGOING) == sent {
				parts[n].Base = &frame[binary.NativeEndian.Uint16(frame[frameMACAt:])]
				parts[n].SetLen(int(word(frame, frameSnapAt)))
				n++
			}
			f += word(frame, frameNextAt)
		}
		for done := 0; done < n; {
			r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(out), uintptr(unsafe.Pointer(&batch[done])), uintptr(n-done), 0, 0, 0)
			if errno != 0 && errno != unix.ENOBUFS && errno != unix.EINTR {
				return fmt.Errorf("sendmmsg: %w", errno)
			}
			done += max(int(r), 0)
			if errno == unix.ENOBUFS {
				done++ // this one is lost
			}
		}
		runtime.KeepAlive(parts)
		// The kernel may write the block from here on.
		atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	}
}

func be16(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
