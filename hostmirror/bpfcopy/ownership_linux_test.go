package bpfcopy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

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
