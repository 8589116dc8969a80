package bpfcopy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// bed is a host under test that forwards between its ports r0 and r1 by a bridge; left
// hangs on r0 (its port s0), right on r1 (d0). What m0 and m1 send arrives at sensor's
// c0 and c1.
type bed struct {
	t                         testing.TB
	host, left, right, sensor *kerneltest.NS
	pins                      string
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t, host: kerneltest.NewNS(t), left: kerneltest.NewNS(t), right: kerneltest.NewNS(t), sensor: kerneltest.NewNS(t)}
	kerneltest.Veth(t, b.host, "r0", b.left, "s0")
	kerneltest.Veth(t, b.host, "r1", b.right, "d0")
	kerneltest.Veth(t, b.host, "m0", b.sensor, "c0")
	kerneltest.Veth(t, b.host, "m1", b.sensor, "c1")
	nl := b.host.Netlink()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	off := false
	if err := nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		t.Fatal(err)
	}
	b.host.Up("br0")
	for _, port := range []string{"r0", "r1"} {
		if err := nl.LinkSetMaster(b.host.Link(port), b.host.Link("br0")); err != nil {
			t.Fatal(err)
		}
	}
	b.host.Settle("r0", "r1", "m0", "m1", "br0")
	b.pins = bpffs(t)
	return b
}

// bpffs mounts a BPF file system of its own for a test.
func bpffs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "spanctl")
}

// eachMethod runs a test for every way to attach that the kernel has.
func eachMethod(t *testing.T, f func(*testing.T, Method)) {
	require.HaveRoot(t, "loading BPF programs")
	for _, m := range []Method{MethodTCX, MethodFilter} {
		t.Run(m.String(), func(t *testing.T) {
			if m == MethodTCX {
				needTCX(t)
			}
			f(t, m)
		})
	}
}

func needTCX(t *testing.T) {
	t.Helper()
	ns := kerneltest.NewNS(t)
	err := ns.Do(func() error {
		_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
		return err
	})
	require.Need(t, "tcx", err == nil, fmt.Sprintf("Linux 6.6 or later (%v)", err))
}

func (b *bed) open(m Method) *Host {
	b.t.Helper()
	h, err := Open(Options{Namespace: b.host.Path(), Pins: b.pins, Method: m})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := h.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return h
}

func (b *bed) device(name string) Device { return Device{name, b.host.Index(name)} }

func (b *bed) session(name string, to ...string) Session {
	s := Session{Name: name}
	for _, dev := range to {
		s.Destinations = append(s.Destinations, b.device(dev))
	}
	return s
}

func (b *bed) apply(h *Host, port string, d models.Direction, sessions ...Session) {
	b.t.Helper()
	if err := h.Apply(b.t.Context(), b.device(port), d, Set{Sessions: sessions}); err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) {
			b.t.Logf("%+v", ve)
		}
		b.t.Fatal(err)
	}
}

func (b *bed) counters(h *Host) []Counter {
	b.t.Helper()
	list, err := h.Observe(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var out []Counter
	for _, a := range list {
		if len(a.Problems) > 0 {
			b.t.Errorf("problems: %q", a.Problems)
		}
		out = append(out, a.Counters...)
	}
	return out
}

func (b *bed) send(from, mark string, vlan uint16, size, n int) {
	b.t.Helper()
	ns, dev := b.left, "s0"
	if from == "right" {
		ns, dev = b.right, "d0"
	}
	ns.Send(dev, kerneltest.TestFrame(kerneltest.Broadcast, mark, vlan, size), n)
}

func count(t *testing.T, c *kerneltest.Capture, what, mark string, want int) {
	t.Helper()
	if got := c.Count(mark, want); got != want {
		t.Errorf("%s: %d frames %q, want %d", what, got, mark, want)
	}
}

// pinned lists what is pinned.
func (b *bed) pinned() []string {
	b.t.Helper()
	var out []string
	err := filepath.WalkDir(b.pins, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, filepath.Base(path))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return out
}

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

// Closing leaves everything at work; another process finds it again.
func TestReopen(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		c0 := b.sensor.Capture("c0")
		s := b.session("a", "m0")
		s.Filter = []models.Rule{{Action: models.Exclude, Match: models.Match{Proto: "gre"}}}
		set := Set{Sessions: []Session{s}, Guard: []Tunnel{{Destination: netip.MustParseAddr("192.0.2.1"), VXLAN: true}}}
		h, err := Open(Options{Namespace: b.host.Path(), Pins: b.pins, Method: m})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Apply(t.Context(), b.device("r0"), models.Rx, set); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		b.send("left", "x", 0, 128, 9)
		count(t, c0, "c0", "x", 9)
		list, err := b.open(MethodAny).Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if list[i].Program == 0 {
				t.Error("program without a number")
			}
			list[i].Program = 0
		}
		want := []Attached{{
			Port: b.device("r0"), Direction: models.Rx, Method: m, Set: set,
			Counters: []Counter{{Session: "a", Matched: 9, Copied: 9}},
		}}
		if d := cmp.Diff(want, list, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b models.Prefix) bool { return a == b })); d != "" {
			t.Errorf("Observe (-want +got):\n%s", d)
		}
	})
}

// An index that was given to another interface gets no copies once Prune has run.
func TestPrune(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		b := newBed(t)
		h := b.open(m)
		b.apply(h, "r0", models.Rx, b.session("a", "m0", "m1"), b.session("b", "m0"))
		b.apply(h, "r1", models.Rx, b.session("c", "m1"))
		b.apply(h, "m0", models.Tx, b.session("d", "m1"))
		index := b.host.Index("m0")
		if err := b.host.Netlink().LinkDel(b.host.Link("m0")); err != nil {
			t.Fatal(err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Index = "stranger", index
		if err := b.host.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "c9", PeerNamespace: netlink.NsFd(b.sensor.FD())}); err != nil {
			t.Fatal(err)
		}
		b.host.Up("stranger")
		b.sensor.Up("c9")
		b.host.Settle("stranger")
		c9, c1 := b.sensor.Capture("c9"), b.sensor.Capture("c1")
		b.send("left", "before", 0, 128, 3)
		count(t, c9, "the stranger, as proof of the danger", "before", 6)

		err := h.Apply(t.Context(), b.device("r1"), models.Rx, Set{Sessions: []Session{{Name: "x", Destinations: []Device{{"m0", index}}}}})
		if !errors.Is(err, ErrReplaced) {
			t.Errorf("Apply to the stranger: %v, want ErrReplaced", err)
		}
		done, err := h.Prune(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%q", done)
		b.send("left", "after", 0, 128, 3)
		count(t, c1, "c1", "after", 3)
		count(t, c9, "the stranger", "after", 0)
		list, err := h.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range list {
			for _, s := range a.Set.Sessions {
				got = append(got, fmt.Sprintf("%s %s %s %v %d", a.Port.Name, a.Direction, s.Name, s.Destinations, len(a.Problems)))
			}
		}
		m1 := b.device("m1")
		want := []string{fmt.Sprintf("r0 rx a [%s] 0", m1), fmt.Sprintf("r1 rx c [%s] 0", m1)}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("sessions left (-want +got):\n%s", d)
		}
		if i := slices.IndexFunc(b.pinned(), func(p string) bool { return strings.HasPrefix(p, fmt.Sprint(index, "-")) }); i >= 0 {
			t.Errorf("pins of the interface that is gone: %q", b.pinned())
		}
	})
}

// A device that moves away takes a tcx program along; it is found out and taken away.
func TestSourceMoves(t *testing.T) {
	needRootAndTCX(t)
	b := newBed(t)
	h := b.open(MethodTCX)
	b.apply(h, "m0", models.Tx, b.session("a", "m1"))
	index := b.host.Index("m0")
	if err := b.host.Netlink().LinkSetNsFd(b.host.Link("m0"), b.right.FD()); err != nil {
		t.Fatal(err)
	}
	list, err := h.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || !slices.Contains(list[0].Problems, problemElsewhere) {
		t.Errorf("Observe %+v, want the problem %q", list, problemElsewhere)
	}
	if _, err := h.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := b.pinned(); len(left) > 0 {
		t.Errorf("pins left: %q", left)
	}
	err = b.right.Do(func() error {
		res, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXEgress})
		if err == nil && len(res.Programs) > 0 {
			return fmt.Errorf("%d programs are still attached", len(res.Programs))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func needRootAndTCX(t *testing.T) {
	t.Helper()
	require.HaveRoot(t, "loading BPF programs")
	needTCX(t)
}

// verdictProgram is a foreign program.
func verdictProgram(t *testing.T, name string, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := newProgram(name, asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// Foreign tcx programs stay in their order, also one that decides; we run before it.
func TestForeignTCX(t *testing.T) {
	needRootAndTCX(t)
	b := newBed(t)
	h := b.open(MethodAny)
	c0, right := b.sensor.Capture("c0"), b.right.Capture("d0")
	first, second := verdictProgram(t, "foreign_next", -1), verdictProgram(t, "foreign_drop", 2)
	var links []link.Link
	for _, p := range []*ebpf.Program{first, second} {
		err := b.host.Do(func() error {
			l, err := link.AttachTCX(link.TCXOptions{Interface: b.host.Index("r0"), Program: p, Attach: ebpf.AttachTCXIngress})
			links = append(links, l)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func() []string {
		list, err := h.Programs(t.Context(), b.host.Index("r0"), models.Rx)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, p := range list {
			out = append(out, fmt.Sprint(p.Name, " ", p.Ours))
		}
		return out
	}
	foreign := []string{"foreign_next false", "foreign_drop false"}
	if d := cmp.Diff(foreign, names()); d != "" {
		t.Errorf("before (-want +got):\n%s", d)
	}
	b.apply(h, "r0", models.Rx, b.session("a", "m0"))
	b.apply(h, "r0", models.Rx, b.session("a", "m0"), b.session("b", "m0"))
	if d := cmp.Diff(append([]string{"spanctl_rx true"}, foreign...), names()); d != "" {
		t.Errorf("with ours (-want +got):\n%s", d)
	}
	b.send("left", "x", 0, 128, 4)
	count(t, c0, "c0", "x", 8)
	count(t, right, "what the foreign program drops", "x", 0)
	if err := h.Detach(t.Context(), b.host.Index("r0"), models.Rx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(foreign, names()); d != "" {
		t.Errorf("after (-want +got):\n%s", d)
	}
	for _, l := range links {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	b.send("left", "y", 0, 128, 4)
	count(t, right, "production", "y", 4)
}

// Foreign filters, one with our priority and one with our name, are the same before and
// after; the verdict of one behind us is carried out.
func TestForeignFilters(t *testing.T) {
	require.HaveRoot(t, "loading BPF programs")
	kerneltest.NeedIproute(t)
	b := newBed(t)
	h := b.open(MethodFilter)
	c0, right := b.sensor.Capture("c0"), b.right.Capture("d0")
	b.host.Run("tc qdisc add dev r0 clsact")
	nl := b.host.Netlink()
	for _, f := range []struct {
		priority uint16
		name     string
		verdict  int32
	}{{FilterPriority, "foreign", -1}, {40000, "spanctl/rx", 2}} {
		err := nl.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: b.host.Index("r0"), Parent: netlink.HANDLE_MIN_INGRESS, Priority: f.priority, Protocol: unix.ETH_P_ALL},
			Fd:          verdictProgram(t, "foreign", f.verdict).FD(), Name: f.name, DirectAction: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := b.host.Objects("r0", "m0")
	b.apply(h, "r0", models.Rx, b.session("a", "m0"))
	b.apply(h, "r0", models.Rx, b.session("a", "m0"), b.session("b", "m0"))
	b.send("left", "x", 0, 128, 4)
	count(t, c0, "c0", "x", 8)
	count(t, right, "what the foreign filter drops", "x", 0)
	if before == b.host.Objects("r0", "m0") {
		t.Error("tc does not show our filter")
	}
	if err := h.Detach(t.Context(), b.host.Index("r0"), models.Rx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, b.host.Objects("r0", "m0")); d != "" {
		t.Errorf("foreign objects (-before +after):\n%s", d)
	}

	err := nl.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: b.host.Index("r0"), Parent: netlink.HANDLE_MIN_INGRESS, Priority: FilterPriority, Protocol: unix.ETH_P_ALL},
		Fd:          verdictProgram(t, "forged", -1).FD(), Name: roleRx.filterName(), DirectAction: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	before = b.host.Objects("r0")
	for name, f := range map[string]func() error{
		"Apply": func() error {
			return h.Apply(t.Context(), b.device("r0"), models.Rx, Set{Sessions: []Session{b.session("a", "m0")}})
		},
		"Detach": func() error { return h.Detach(t.Context(), b.host.Index("r0"), models.Rx) },
	} {
		if err := f(); !errors.Is(err, ErrForeign) {
			t.Errorf("%s beside a forged filter: %v, want ErrForeign", name, err)
		}
	}
	if d := cmp.Diff(before, b.host.Objects("r0")); d != "" {
		t.Errorf("forged filter (-before +after):\n%s", d)
	}
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
