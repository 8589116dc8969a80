package bench

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// bed is a host that routes from its port r0 to its port r1, with a monitor port m0. Their
// other ends s0, d0 and c0 are in outside, which drops what arrives. The collector
// 192.0.2.2 is c0.
type bed struct {
	testing.TB
	host, outside *kerneltest.NS
	frame         []byte
	socket        int   // sends out of s0
	helper        []int // processes and threads beside, that work for the mirror
	switched      bool  // a program in user space forwards, not the kernel
	aside         bool  // what socket sends does not come to d0
	undo          []func()
}

const (
	collector = "192.0.2.2"
	frameSize = 64
)

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{TB: t, socket: -1}
	b.host, b.outside = kerneltest.NewNS(b), kerneltest.NewNS(b)
	for inside, outside := range map[string]string{"r0": "s0", "r1": "d0", "m0": "c0"} {
		kerneltest.Veth(b, b.host, inside, b.outside, outside)
	}
	b.host.Settle("r0", "r1", "m0")
	for dev, cidr := range map[string]string{"r0": "10.1.0.1/24", "r1": "10.2.0.1/24", "m0": "192.0.2.1/24"} {
		addr, err := netlink.ParseAddr(cidr)
		if err == nil {
			err = b.host.Netlink().AddrAdd(b.host.Link(dev), addr)
		}
		if err != nil {
			t.Fatalf("%s on %s: %v", cidr, dev, err)
		}
	}
	b.neighbour("r1", "10.2.0.2", "d0")
	b.neighbour("m0", collector, "c0")
	err := b.host.Do(func() error {
		for name, value := range map[string]string{"ip_forward": "1", "conf/all/rp_filter": "0", "conf/r0/rp_filter": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.frame = b.udp("r0")
	b.open()
	return b
}

// Cleanup puts off until close, so that beds go before the benchmark ends.
func (b *bed) Cleanup(f func()) { b.undo = append(b.undo, f) }

func (b *bed) close() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
	b.undo = nil
}

// neighbour tells the host the address of a port outside.
func (b *bed) neighbour(dev, ip, port string) {
	b.Helper()
	err := b.host.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: b.host.Index(dev), IP: net.ParseIP(ip), State: netlink.NUD_PERMANENT,
		HardwareAddr: b.outside.Link(port).Attrs().HardwareAddr,
	})
	if err != nil {
		b.Fatalf("neighbour %s: %v", ip, err)
	}
}

// udp is the frame that is sent, from 10.1.0.2 port 7 to 10.2.0.2 port 9, and to the
// Ethernet address of a port.
func (b *bed) udp(port string) []byte {
	ns := b.host
	if port == "d0" {
		ns = b.outside
	}
	f := append([]byte(nil), ns.Link(port).Attrs().HardwareAddr...)
	f = append(f, b.outside.Link("s0").Attrs().HardwareAddr...)
	f = append(f, 8, 0, 0x45, 0, 0, frameSize-14, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2)
	sum := uint32(0)
	for i := 14; i < len(f); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum+sum>>16))
	f = append(f, 0, 7, 0, 9, 0, frameSize-34, 0, 0)
	return append(f, make([]byte, frameSize-len(f))...)
}

// open makes the socket that sends. A socket stays in the namespace that it was made in.
func (b *bed) open() {
	b.Helper()
	b.socket = b.sender(b.outside, "s0")
}

// sender makes a socket that sends out of a device.
func (b *bed) sender(ns *kerneltest.NS, dev string) int {
	b.Helper()
	fd := -1
	index := ns.Index(dev)
	err := ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index})
	})
	if err != nil {
		b.Fatalf("socket on %s: %v", dev, err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// send sends n times the frame and says how long this thread took for it.
func send(fd int, frame []byte, n int, clock func() time.Duration) (time.Duration, error) {
	begin := clock()
	for range n {
		if _, err := unix.Write(fd, frame); err != nil && err != unix.ENOBUFS {
			return 0, err
		}
	}
	return clock() - begin, nil
}

// spent is what frames cost, in nanoseconds a frame, and how many of them there were.
type spent struct {
	forward, beside         float64 // on the processor that forwards, and on others
	sent, delivered, copies int
}

// push sends n frames through the host. A bed whose forwarding is switched by a program
// counts that program's time only, for each frame that came through.
func (b *bed) push(n int, clock func() time.Duration) spent {
	b.Helper()
	d0, c0 := b.received("d0"), b.received("c0")
	before := b.helperTime()
	took, err := send(b.socket, b.frame, n, clock)
	if err != nil {
		b.Fatal(err)
	}
	switch {
	case len(b.helper) > 0:
		b.drain()
	case !b.aside:
		took += b.late(d0+n, clock)
	}
	s := spent{sent: n, forward: float64(took.Nanoseconds()) / float64(n)}
	s.delivered, s.copies = b.received("d0")-d0, b.received("c0")-c0
	beside := float64((b.helperTime() - before).Nanoseconds())
	if b.switched {
		s.forward = beside / float64(max(s.delivered, 1))
	} else {
		s.beside = beside / float64(n)
	}
	return s
}

// late waits for frames that the kernel has put off, as it does on a slow processor, and
// gives the time that went by until d0 had as many as it shall have.
func (b *bed) late(want int, clock func() time.Duration) time.Duration {
	if b.received("d0") >= want {
		return 0
	}
	begin := clock()
	for start := time.Now(); b.received("d0") < want && time.Since(start) < 2*time.Second; {
		time.Sleep(50 * time.Microsecond)
	}
	return clock() - begin
}

// drain waits until programs beside have nothing more to do: they sleep, and nothing
// comes for a moment. One that waits for a processor does not sleep.
func (b *bed) drain() {
	last, since := -1, time.Now()
	for begin := time.Now(); time.Since(begin) < 5*time.Second && time.Since(since) < 10*time.Millisecond; time.Sleep(time.Millisecond) {
		if n := b.received("d0") + b.received("c0"); n != last || b.busy() {
			last, since = n, time.Now()
		}
	}
}

// busy reports whether a helper runs or waits for a processor; of a process, its first
// thread (proc(5), the state in /proc/PID/stat).
func (b *bed) busy() bool {
	for _, pid := range b.helper {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		if _, rest, _ := strings.Cut(string(text), ") "); strings.HasPrefix(rest, "R") {
			return true
		}
	}
	return false
}

func (b *bed) received(dev string) int {
	b.Helper()
	s := b.outside.Link(dev).Attrs().Statistics
	if s == nil {
		b.Fatalf("%s has no counters", dev)
	}
	return int(s.RxPackets)
}

// helperTime is the processor time of all threads of the helpers.
func (b *bed) helperTime() time.Duration {
	b.Helper()
	var sum time.Duration
	for _, pid := range b.helper {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if _, ours := os.Stat(fmt.Sprintf("/proc/self/task/%d", pid)); ours == nil {
			files = []string{fmt.Sprintf("/proc/self/task/%d/schedstat", pid)}
		}
		if err != nil || len(files) == 0 {
			b.Fatalf("process %d is gone", pid)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				continue // a thread that has ended
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(first, 10, 64)
			if err != nil {
				b.Fatalf("%s: %v", f, err)
			}
			sum += time.Duration(ns)
		}
	}
	return sum
}

var forwardOn, besideOn = processors()

// processors are the one on which frames are sent and forwarded, and the one for programs
// beside, which is the same where there is no other. They are asked for before any thread
// is kept on one.
func processors() (forward, beside int) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return 0, 0
	}
	var list []int
	for i := range 1024 {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return 0, 0
	}
	return list[len(list)-1], list[0]
}

// pin keeps a thread of ours, or 0 for the calling one, on a processor.
func pin(thread, processor int) error {
	var set unix.CPUSet
	set.Set(processor)
	return unix.SchedSetaffinity(thread, &set)
}

// pinned keeps this goroutine on a thread, and the thread on the processor that
// forwards. Both end with the benchmark.
func pinned(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: no other goroutine shall inherit the processor
	if err := pin(0, forwardOn); err != nil {
		t.Fatalf("stay on processor %d: %v", forwardOn, err)
	}
}

func clockOf(id int32) func() time.Duration {
	return func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(id, &ts); err != nil {
			return 0
		}
		return time.Duration(ts.Nano())
	}
}

// chooseClock gives the clock to measure with, and its name. A kernel that accounts for
// interrupts apart does not count forwarding in the time of the thread that sends.
func chooseClock(b *bed) (func() time.Duration, string) {
	b.Helper()
	thread, wall := clockOf(unix.CLOCK_THREAD_CPUTIME_ID), clockOf(unix.CLOCK_MONOTONIC)
	var part sample
	for range 20 {
		begin := wall()
		took, err := send(b.socket, b.frame, 500, thread)
		if err != nil {
			b.Fatal(err)
		}
		part = append(part, float64(took)/float64(wall()-begin))
	}
	if part.at(0.9) < 0.9 {
		return wall, "time on the wall"
	}
	return thread, "processor time of the sending thread"
}
