package bpfcopy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// Frames are copied in the direction that was asked for, each once to each destination,
// production gets each once, and after Detach there is silence and nothing is left.
func TestFrames(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		for _, d := range []models.Direction{models.Rx, models.Tx, models.Both} {
			t.Run(d.String(), func(t *testing.T) {
				b := newBed(t)
				h := b.open(m)
				c0, c1, left, right := b.sensor.Capture("c0"), b.sensor.Capture("c1"), b.left.Capture("s0"), b.right.Capture("d0")
				fromLeft, fromRight := 0, 0
				if d != models.Tx {
					b.apply(h, "r0", models.Rx, b.session("a", "m0", "m1"))
					fromLeft = 20
				}
				if d != models.Rx {
					b.apply(h, "r0", models.Tx, b.session("a", "m0", "m1"))
					fromRight = 30
				}
				b.send("left", "l", 0, 128, 20)
				b.send("right", "r", 0, 128, 30)
				for name, c := range map[string]*kerneltest.Capture{"c0": c0, "c1": c1} {
					count(t, c, name, "l", fromLeft)
					count(t, c, name, "r", fromRight)
				}
				count(t, right, "production", "l", 20)
				count(t, left, "production", "r", 30)
				var got Counter
				for _, c := range b.counters(h) {
					got.Matched, got.Copied, got.Failed = got.Matched+c.Matched, got.Copied+c.Copied, got.Failed+c.Failed
				}
				n := uint64(fromLeft + fromRight)
				if want := (Counter{Matched: n, Copied: 2 * n}); got != want {
					t.Errorf("counters %+v, want %+v", got, want)
				}

				for _, d := range []models.Direction{models.Rx, models.Tx} {
					if err := h.Detach(t.Context(), b.host.Index("r0"), d); err != nil {
						t.Fatal(err)
					}
				}
				b.send("left", "off", 0, 128, 5)
				count(t, right, "production", "off", 5)
				count(t, c0, "c0", "off", 0)
				if left := b.pinned(); len(left) > 0 {
					t.Errorf("pins left: %q", left)
				}
			})
		}
	})
}

// The tag that the kernel keeps beside a received frame counts, and stays with the copy.
func TestVLAN(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		c0, right := b.sensor.Capture("c0"), b.right.Capture("d0")
		s := b.session("a", "m0")
		s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(100)}}}}
		b.apply(h, "r0", models.Rx, s)
		b.send("left", "v100", 100, 128, 7)
		b.send("left", "v200", 200, 128, 7)
		b.send("left", "v0", 0, 128, 7)
		count(t, c0, "c0", "v100", 7)
		count(t, c0, "c0", "v200", 0)
		count(t, c0, "c0", "v0", 0)
		count(t, right, "production", "v200", 7)
		for _, f := range c0.Received("v100") {
			if f.VLAN&0xfff != 100 {
				t.Errorf("copy has VLAN %d, want 100", f.VLAN&0xfff)
			}
		}
	})
}

func TestSampling(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		s := b.session("a", "m0", "m1")
		s.SampleOneIn = 10
		b.apply(h, "r0", models.Rx, s)
		b.send("left", "x", 0, 128, 2000)
		right := b.right.Capture("d0")
		b.send("left", "end", 0, 128, 1)
		count(t, right, "production", "end", 1)
		c := b.counters(h)[0]
		// 2001 frames, 200 +- 13.4: five deviations.
		if c.Matched != 2001 || c.Copied < 2*133 || c.Copied > 2*267 || c.Copied%2 != 0 {
			t.Errorf("counters %+v, want 2001 matched and about 400 copied, the same frames to both", c)
		}
	})
}

// Copies of the session are cut, and nothing else that leaves by the same port.
func TestTruncation(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		c0, right := b.sensor.Capture("c0"), b.right.Capture("d0")
		cut, whole := b.session("cut", "m0"), b.session("whole", "m0")
		cut.TruncateTo = 100
		b.apply(h, "r0", models.Rx, whole, cut)
		for range 10 { // in turn: what is said of a copy must not be left for the next frame
			b.send("left", "x", 0, 500, 1)
			b.host.Send("m0", kerneltest.TestFrame(kerneltest.Broadcast, "own", 0, 500), 1)
		}
		b.send("left", "v", 7, 500, 10)
		b.send("left", "short", 0, 90, 10)
		count(t, c0, "c0", "x", 20)
		count(t, c0, "c0", "v", 20)
		count(t, c0, "c0", "short", 20)
		count(t, c0, "c0", "own", 10)
		count(t, right, "production", "x", 10)
		lengths := func(c *kerneltest.Capture, mark string) map[int]int {
			out := make(map[int]int)
			for _, f := range c.Received(mark) {
				n := len(f.Data)
				if f.VLAN != 0 {
					n += 4
				}
				out[n]++
			}
			return out
		}
		for _, tt := range []struct {
			name, mark string
			capture    *kerneltest.Capture
			want       map[int]int
		}{
			{"copies", "x", c0, map[int]int{100: 10, 500: 10}},
			{"copies with a tag", "v", c0, map[int]int{100: 10, 500: 10}},
			{"short copies", "short", c0, map[int]int{90: 20}},
			{"the port's own frames", "own", c0, map[int]int{500: 10}},
			{"production", "x", right, map[int]int{500: 10}},
		} {
			if d := cmp.Diff(tt.want, lengths(tt.capture, tt.mark)); d != "" {
				t.Errorf("%s: frames by length (-want +got):\n%s", tt.name, d)
			}
		}
		cut.TruncateTo = 0
		b.apply(h, "r0", models.Rx, cut)
		b.send("left", "again", 0, 500, 5)
		count(t, c0, "c0", "again", 5)
		if d := cmp.Diff(map[int]int{500: 5}, lengths(c0, "again")); d != "" {
			t.Errorf("frames by length after the change (-want +got):\n%s", d)
		}
		if i := slices.IndexFunc(b.pinned(), func(p string) bool { return strings.Contains(p, "-cut-") }); i >= 0 {
			t.Errorf("the cutting program is still there: %q", b.pinned())
		}
	})
}

// While sessions change, every frame is copied exactly once: by the old sessions or by
// the new ones. Counters of a session that stays go on.
func TestUpdateUnderTraffic(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		c0, c1, right := b.sensor.Capture("c0"), b.sensor.Capture("c1"), b.right.Capture("d0")
		stays := b.session("stays", "m0")
		b.apply(h, "r0", models.Rx, stays)
		const frames = 4000
		var wg sync.WaitGroup
		wg.Go(func() {
			for range frames / 20 {
				b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "x", 0, 128), 20)
				time.Sleep(time.Millisecond)
			}
		})
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		changes := 0
	change:
		for {
			select {
			case <-done:
				break change
			default:
			}
			to := []string{"m1", "m0"}[changes%2]
			b.apply(h, "r0", models.Rx, b.session("stays", to), b.session(fmt.Sprint("idle", changes%3), "m1"))
			b.apply(h, "r0", models.Rx, b.session("stays", to))
			changes += 2
		}
		count(t, right, "production", "x", frames)
		deadline := time.Now().Add(10 * time.Second)
		for b.counters(h)[0].Matched < frames && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if c := b.counters(h)[0]; c.Matched != frames || c.Copied != frames {
			t.Errorf("counters after %d changes: %+v, want %d", changes, c, frames)
		}
		var idle int
		idle += len(c0.Received("x"))
		idle += len(c1.Received("x"))
		if idle < frames {
			t.Errorf("%d copies of %d frames", idle, frames)
		}
		t.Logf("%d changes, %d copies", changes, idle)
	})
}

// Counters go on while a session stays, and begin at zero for a new one, also where
// another had its place before.
func TestCounters(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		right := b.right.Capture("d0")
		// What is pinned there without a program is of no use, whatever it is.
		other, err := newTruncation()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		p := place{b.host.Index("r0"), roleRx}
		if err := errors.Join(h.makeDir(), other.Pin(h.path(p.pin(partCounters)))); err != nil {
			t.Fatal(err)
		}

		b.apply(h, "r0", models.Rx, b.session("stays", "m0"), b.session("goes", "m0"))
		b.send("left", "x", 0, 128, 5)
		count(t, right, "production", "x", 5)
		b.apply(h, "r0", models.Rx, b.session("stays", "m0"))
		b.apply(h, "r0", models.Rx, b.session("comes", "m0"), b.session("stays", "m0"))
		b.send("left", "y", 0, 128, 3)
		count(t, right, "production", "y", 3)
		want := []Counter{{Session: "comes", Matched: 3, Copied: 3}, {Session: "stays", Matched: 8, Copied: 8}}
		if d := cmp.Diff(want, b.counters(h)); d != "" {
			t.Errorf("counters (-want +got):\n%s", d)
		}
	})
}

// A loop of two ports ends after one round instead of filling production.
func TestLoopEnds(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		c0, right := b.sensor.Capture("c0"), b.right.Capture("d0")
		b.apply(h, "r1", models.Tx, b.session("a", "m0"))
		b.apply(h, "m0", models.Tx, b.session("b", "r1"))
		b.send("left", "x", 0, 128, 10)
		count(t, c0, "c0", "x", 10)
		count(t, right, "production with its duplicates", "x", 20)
		list, err := h.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		looped := uint64(0)
		for _, a := range list {
			looped += a.Looped
		}
		if looped != 10 {
			t.Errorf("looped %d, want 10", looped)
		}
	})
}

// A copy that the destination does not take is counted, production is not concerned.
func TestDestinationDown(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		right, c1 := b.right.Capture("d0"), b.sensor.Capture("c1")
		b.apply(h, "r0", models.Rx, b.session("a", "m0", "m1"))
		if err := b.host.Netlink().LinkSetDown(b.host.Link("m0")); err != nil {
			t.Fatal(err)
		}
		b.send("left", "x", 0, 128, 10)
		count(t, right, "production", "x", 10)
		count(t, c1, "c1", "x", 10)
		if d := cmp.Diff([]Counter{{Session: "a", Matched: 10, Copied: 10, Failed: 10}}, b.counters(h)); d != "" {
			t.Errorf("counters (-want +got):\n%s", d)
		}
	})
}

// Large sends are copied as they are, and cut when that is asked for.
func TestLargeSends(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		cut := b.session("cut", "m1")
		cut.TruncateTo = 128
		b.apply(h, "r0", models.Rx, b.session("whole", "m0"), cut)
		b.left.Run("ip address add 10.9.0.1/24 dev s0")
		b.right.Run("ip address add 10.9.0.2/24 dev d0")
		whole, short := record(t, b.sensor, "c0", 6, 5000), record(t, b.sensor, "c1", 6, 5000)

		const size = 4 << 20
		if got := transfer(t, b.left, b.right, "10.9.0.2:5000", size); got != size {
			t.Errorf("production got %d bytes, want %d", got, size)
		}
		copies, payload, largest := whole(), 0, 0
		for _, f := range copies {
			payload += f.size - 34 - int(f.head[46]>>4)*4
			largest = max(largest, f.size)
		}
		if payload < size {
			t.Errorf("copies hold %d bytes of payload, want %d", payload, size)
		}
		if largest <= 1514 {
			t.Errorf("largest copy has %d bytes, want a large send", largest)
		}
		cuts := short()
		for _, f := range cuts {
			if f.size > 128 {
				t.Fatalf("a cut copy of %d bytes, want at most 128", f.size)
			}
		}
		if len(cuts) != len(copies) {
			t.Errorf("%d cut copies, want %d", len(cuts), len(copies))
		}
	})
}

// A copy that is cut and then wrapped into a tunnel is not cut again on the port that the
// tunnel leaves by, although others are cut there.
func TestTruncationBeforeTunnel(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		b.host.Run("ip address add 192.0.2.1/24 dev m1")
		b.host.Run("ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:09 dev m1")
		_, err := b.host.Command("ip", strings.Fields("link add vx0 type vxlan id 5 remote 192.0.2.2 dstport 4789 dev m1")...)
		require.Need(t, "vxlan", err == nil, fmt.Sprint("a tunnel behind a copy: ", err))
		b.host.Up("vx0")
		tunnel, other := b.session("tunnel", "vx0"), b.session("other", "m1")
		tunnel.TruncateTo, other.TruncateTo = 100, 80
		b.apply(h, "r1", models.Rx, other)
		b.apply(h, "r0", models.Rx, tunnel)
		outer, plain := record(t, b.sensor, "c1", 17, 4789), b.sensor.Capture("c1")
		b.send("left", "x", 0, 500, 10)
		b.send("right", "y", 0, 500, 10)
		count(t, plain, "c1", "y", 10)
		for _, f := range plain.Received("y") {
			if len(f.Data) != 80 {
				t.Errorf("a cut copy of %d bytes, want 80", len(f.Data))
			}
		}
		frames := outer()
		if len(frames) != 10 {
			t.Errorf("%d copies in the tunnel, want 10", len(frames))
		}
		for _, f := range frames {
			if f.size != 50+100 {
				t.Errorf("a tunnel's frame of %d bytes, want 150", f.size)
			}
		}
	})
}

// What a port sends is cut there first and then mirrored, whichever was asked for first.
func TestTruncationBeforeCopies(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		for _, first := range []string{"cut", "copy"} {
			t.Run(first+" first", func(t *testing.T) {
				b := newBed(t)
				h := b.open(m)
				cut := b.session("cut", "m0")
				cut.TruncateTo = 100
				steps := []func(){
					func() { b.apply(h, "r0", models.Rx, cut) },
					func() { b.apply(h, "m0", models.Tx, b.session("copy", "m1")) },
				}
				if first == "copy" {
					slices.Reverse(steps)
				}
				for _, step := range steps {
					step()
				}
				c1 := b.sensor.Capture("c1")
				b.send("left", "x", 0, 500, 10)
				count(t, c1, "c1", "x", 10)
				for _, f := range c1.Received("x") {
					if len(f.Data) != 100 {
						t.Errorf("a copy of %d bytes, want 100", len(f.Data))
					}
				}
			})
		}
	})
}

// seen is a frame as a device received it, up to 128 bytes of it.
type seen struct {
	head []byte
	size int
}

// record collects IPv4 frames of a protocol to a port that a device receives, and gives
// those that have come once there is silence.
func record(t *testing.T, ns *kerneltest.NS, dev string, proto byte, port uint16) func() []seen {
	t.Helper()
	fd := -1
	index := ns.Index(dev)
	err := ns.Do(func() error {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}), Ifindex: index}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func() []seen {
		var out []seen
		buf := make([]byte, 1<<17)
		for idle := 0; idle < 20; {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EAGAIN) {
				idle++
				time.Sleep(10 * time.Millisecond)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if n >= 54 && buf[12] == 8 && buf[13] == 0 && buf[23] == proto && binary.BigEndian.Uint16(buf[36:]) == port {
				out = append(out, seen{slices.Clone(buf[:min(n, 128)]), n})
			}
		}
		return out
	}
}

func transfer(t *testing.T, from, to *kerneltest.NS, address string, size int) int64 {
	t.Helper()
	var l net.Listener
	err := to.Do(func() error {
		var err error
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var n int64
	got := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			n, err = io.Copy(io.Discard, c)
			_ = c.Close()
		}
		got <- err
	}()
	err = from.Do(func() error {
		c, err := net.DialTimeout("tcp4", address, 10*time.Second)
		if err != nil {
			return err
		}
		_, err = c.Write(make([]byte, size))
		return errors.Join(err, c.Close())
	})
	if err := errors.Join(err, <-got); err != nil {
		t.Fatal(err)
	}
	return n
}
