package bpfcopy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

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
	b.pins = kerneltest.Pins(t)
	return b
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
