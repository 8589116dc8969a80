package tcnl_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
)

// bed is a host with a port p0 (peer p1 in outside) and a monitor port m0 (peer m1).
type bed struct {
	host, outside *kerneltest.NS
	conn          *tcnl.Conn
}

func newBed(t *testing.T) bed {
	t.Helper()
	b := bed{host: kerneltest.NewNS(t), outside: kerneltest.NewNS(t)}
	kerneltest.Veth(t, b.host, "p0", b.outside, "p1")
	kerneltest.Veth(t, b.host, "m0", b.outside, "m1")
	conn, err := tcnl.Open(b.host.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	b.conn = conn
	if err := conn.AddClsact(t.Context(), b.host.Index("p0")); err != nil {
		t.Fatal(err)
	}
	return b
}

var cookie = tcnl.Cookie{'S', 'P', 'N', 1, 1, 2, 3, 4, 5, 6, 7, 8, 'I', 'm', 0xbe, 0xef}

// add makes a mirror of p0 to m0, or skips where the kernel has no such classifier.
func (b bed) add(t *testing.T, hook tcnl.Hook, kind string, prio uint16) tcnl.Filter {
	t.Helper()
	f, err := b.conn.AddMirror(t.Context(), tcnl.Mirror{
		Ifindex: b.host.Index("p0"), Hook: hook, Priority: prio, Kind: kind, Target: b.host.Index("m0"), Cookie: cookie,
	})
	require.Need(t, "cls_"+kind, !errors.Is(err, syscall.ENOENT), fmt.Sprint(err))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (b bed) send(t *testing.T, hook tcnl.Hook, mark string, count int) {
	t.Helper()
	frame := kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 64)
	if hook == tcnl.Ingress {
		b.outside.Send("p1", frame, count)
	} else {
		b.host.Send("p0", frame, count)
	}
}

func eachKindAndHook(t *testing.T, f func(t *testing.T, kind string, hook tcnl.Hook)) {
	for _, kind := range tcnl.Kinds() {
		for _, hook := range []tcnl.Hook{tcnl.Ingress, tcnl.Egress} {
			t.Run(kind+"/"+hook.String(), func(t *testing.T) { f(t, kind, hook) })
		}
	}
}

// What AddMirror made is, in the words of tc, an egress mirror that continues; its
// counters and the frames that arrive agree; DeleteFilter leaves what was before.
func TestMirrorOnKernel(t *testing.T) {
	eachKindAndHook(t, func(t *testing.T, kind string, hook tcnl.Hook) {
		kerneltest.NeedIproute(t)
		b := newBed(t)
		before := b.host.Objects("p0")
		f := b.add(t, hook, kind, 21330)
		if !f.CatchAll {
			t.Error("read back as a filter that does not take every frame")
		}

		at := kerneltest.At{Dev: "p0", Hook: hook.String()}
		got := b.host.TCFilters(at)[at]
		if len(got) != 1 {
			t.Fatalf("tc lists %d filters, want 1", len(got))
		}
		var a kerneltest.TCAction
		a.Kind, a.Mode, a.Direction, a.To, a.Cookie = "mirred", "mirror", "egress", "m0", cookie.String()
		a.Control.Type = "continue"
		want := kerneltest.TCFilter{Protocol: "all", Pref: 21330, Kind: kind, Handle: got[0].Handle, Actions: []kerneltest.TCAction{a}}
		if kind == tcnl.BPF {
			want.Program = []kerneltest.TCInstruction{{Code: 6, K: 4294967295}} // return -1
		}
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Errorf("tc (-want +got):\n%s", d)
		}

		monitor := b.outside.Capture("m1")
		b.send(t, hook, "one", 20)
		if n := monitor.Count("one", 20); n != 20 {
			t.Errorf("%d copies of 20 frames", n)
		}
		list, err := b.conn.Filters(t.Context(), b.host.Index("p0"), hook)
		if err != nil {
			t.Fatal(err)
		}
		var stats tcnl.Stats
		for _, l := range list {
			if l.ID == f.ID {
				stats = l.Actions[0].Stats
			}
		}
		size := uint64(64)
		if hook == tcnl.Ingress {
			size -= 14 // the kernel has taken the Ethernet header off before it counts
		}
		if d := cmp.Diff(tcnl.Stats{Packets: 20, Bytes: 20 * size}, stats); d != "" {
			t.Errorf("counters (-want +got):\n%s", d)
		}
		tc := b.host.TCFilters(at)[at][0].Actions[0].Stats
		if tc.Packets != stats.Packets || tc.Bytes != stats.Bytes || tc.Overlimits != uint64(stats.Overlimits) {
			t.Errorf("tc counts %+v, we %+v", tc, stats)
		}

		if err := b.conn.DeleteFilter(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, b.host.Objects("p0")); d != "" {
			t.Errorf("after the delete (-before +after):\n%s", d)
		}
		b.send(t, hook, "two", 20)
		if n := monitor.Count("two", 0); n != 0 {
			t.Errorf("%d copies after the delete", n)
		}
	})
}

// Filter reads what Filters lists, and nothing else.
func TestFilterOnKernel(t *testing.T) {
	eachKindAndHook(t, func(t *testing.T, kind string, hook tcnl.Hook) {
		b := newBed(t)
		f := b.add(t, hook, kind, 21330)
		b.add(t, hook, kind, 21331)
		got, err := b.conn.Filter(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got); d != "" {
			t.Errorf("(-added +read):\n%s", d)
		}
		list, err := b.conn.Filters(t.Context(), f.Ifindex, hook)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(l tcnl.Filter) bool { return cmp.Equal(l, got) }) {
			t.Errorf("it is not among those listed: %+v", list)
		}
		other := map[string]func(*tcnl.ID){
			"handle":   func(id *tcnl.ID) { id.Handle++ },
			"priority": func(id *tcnl.ID) { id.Priority++; id.Handle += 5 },
			"chain":    func(id *tcnl.ID) { id.Chain = 7 },
			"device":   func(id *tcnl.ID) { id.Ifindex = b.host.Index("m0") },
			"kind":     func(id *tcnl.ID) { id.Kind = "flower" },
			"protocol": func(id *tcnl.ID) { id.Protocol = 0x0800 },
		}
		for name, change := range other {
			id := f.ID
			change(&id)
			if got, err := b.conn.Filter(t.Context(), id); err == nil {
				t.Errorf("another %s: read %+v", name, got)
			}
		}
		id := f.ID
		id.Handle = 0
		if _, err := b.conn.Filter(t.Context(), id); !errors.Is(err, tcnl.ErrInexact) {
			t.Errorf("without handle: %v, want ErrInexact", err)
		}
		if err := b.conn.DeleteFilter(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := b.conn.Filter(t.Context(), f.ID); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("after the delete: %v, want ENOENT", err)
		}
	})
}

// A device is found by its name, not by a second one.
func TestLinkByName(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	b.host.Run("ip link property add dev p0 altname a-second-name")
	b.host.Run("ip link property add dev p0 altname short2")
	got, err := b.conn.LinkByName(t.Context(), "p0")
	if err != nil {
		t.Fatal(err)
	}
	links, err := b.conn.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(links, func(l tcnl.Link) bool { return l.Name == "p0" }); i < 0 || !cmp.Equal(links[i], got) {
		t.Errorf("found %+v; listed are %+v", got, links)
	}
	for _, name := range []string{"absent", "", "a-second-name", "short2", "longer-than-a-name-can-be"} {
		if l, err := b.conn.LinkByName(t.Context(), name); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("%q: %+v, %v, want ENODEV", name, l, err)
		}
	}
}

// A target that does not take the copies is counted as such, and a target that is
// gone shows as index 0.
func TestLostCopies(t *testing.T) {
	eachKindAndHook(t, func(t *testing.T, kind string, hook tcnl.Hook) {
		b := newBed(t)
		f := b.add(t, hook, kind, 21330)
		if err := b.host.Netlink().LinkSetDown(b.host.Link("m0")); err != nil {
			t.Fatal(err)
		}
		b.send(t, hook, "lost", 5)
		read := func() tcnl.Action {
			t.Helper()
			list, err := b.conn.Filters(t.Context(), f.Ifindex, hook)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range list {
				if l.ID == f.ID {
					return l.Actions[0]
				}
			}
			t.Fatal("the filter is gone")
			return tcnl.Action{}
		}
		if s := read().Stats; s.Packets != 5 || s.Overlimits != 5 {
			t.Errorf("counters %+v, want 5 packets, 5 overlimits", s)
		}
		if err := b.host.Netlink().LinkDel(b.host.Link("m0")); err != nil {
			t.Fatal(err)
		}
		if m := read().Mirred; m == nil || *m != (tcnl.Mirred{Mode: tcnl.EgressMirror}) {
			t.Errorf("mirred %+v after its target was deleted, want index 0", m)
		}
	})
}

// Deleting takes one filter: others of the same priority stay, and an identity with
// a part missing is refused before the kernel sees it.
func TestDeleteIsExact(t *testing.T) {
	for _, kind := range []string{tcnl.U32, tcnl.BPF} { // matchall has one filter a priority
		t.Run(kind, func(t *testing.T) {
			b := newBed(t)
			foreign := b.add(t, tcnl.Ingress, kind, 21330)
			ours := b.add(t, tcnl.Ingress, kind, 21330)
			if foreign.ID == ours.ID {
				// AddMirror finds by cookie, and both have the same one here.
				list, err := b.conn.Filters(t.Context(), ours.Ifindex, tcnl.Ingress)
				if err != nil {
					t.Fatal(err)
				}
				ours = list[len(list)-1]
			}
			for name, drop := range map[string]func(*tcnl.ID){
				"handle":   func(id *tcnl.ID) { id.Handle = 0 },
				"priority": func(id *tcnl.ID) { id.Priority = 0 },
				"kind":     func(id *tcnl.ID) { id.Kind = "" },
				"protocol": func(id *tcnl.ID) { id.Protocol = 0 },
				"hook":     func(id *tcnl.ID) { id.Hook = tcnl.HookUnset },
				"device":   func(id *tcnl.ID) { id.Ifindex = 0 },
			} {
				id := ours.ID
				drop(&id)
				if err := b.conn.DeleteFilter(t.Context(), id); !errors.Is(err, tcnl.ErrInexact) {
					t.Errorf("without %s: %v, want ErrInexact", name, err)
				}
			}
			if err := b.conn.DeleteFilter(t.Context(), ours.ID); err != nil {
				t.Fatal(err)
			}
			list, err := b.conn.Filters(t.Context(), ours.Ifindex, tcnl.Ingress)
			if err != nil {
				t.Fatal(err)
			}
			var left []tcnl.ID
			for _, f := range list {
				if !f.Table {
					left = append(left, f.ID)
				}
			}
			if d := cmp.Diff([]tcnl.ID{foreign.ID}, left); d != "" {
				t.Errorf("left (-want +got):\n%s", d)
			}
		})
	}
}

// With u32 on both hooks, a deleted filter leaves its table behind. DropEmptyU32
// takes it, and nothing that is in use.
func TestDropEmptyU32(t *testing.T) {
	b := newBed(t)
	in := b.add(t, tcnl.Ingress, tcnl.U32, 21330)
	out := b.add(t, tcnl.Egress, tcnl.U32, 21362)
	if did, err := b.conn.DropEmptyU32(t.Context(), in.ID); did || err != nil {
		t.Fatalf("dropped %v, %v: the priority is in use", did, err)
	}
	if err := b.conn.DeleteFilter(t.Context(), in.ID); err != nil {
		t.Fatal(err)
	}
	list, err := b.conn.Filters(t.Context(), in.Ifindex, tcnl.Ingress)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || !list[0].Table {
		t.Errorf("the kernel left %+v; this test expects one table", list)
	}
	if did, err := b.conn.DropEmptyU32(t.Context(), in.ID); !did || err != nil {
		t.Fatalf("dropped %v, %v", did, err)
	}
	for hook, want := range map[tcnl.Hook]int{tcnl.Ingress: 0, tcnl.Egress: 2} {
		list, err := b.conn.Filters(t.Context(), in.Ifindex, hook)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != want {
			t.Errorf("%s lists %+v, want %d entries", hook, list, want)
		}
	}
	if did, err := b.conn.DropEmptyU32(t.Context(), in.ID); did || err != nil {
		t.Errorf("dropped %v, %v: the priority is gone", did, err)
	}
	if err := b.conn.DeleteFilter(t.Context(), out.ID); err != nil {
		t.Error(err)
	}
}

func TestClsact(t *testing.T) {
	b := newBed(t)
	index := b.host.Index("p0")
	if err := b.conn.AddClsact(t.Context(), index); err != nil {
		t.Errorf("clsact where it is: %v", err)
	}
	list, err := b.conn.Qdiscs(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, q := range list {
		kinds = append(kinds, q.Kind)
	}
	if d := cmp.Diff([]string{"noqueue", "clsact"}, kinds); d != "" {
		t.Errorf("qdiscs (-want +got):\n%s", d)
	}
}

func TestClsactBesideIngress(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	b.host.Run("tc qdisc add dev m0 ingress")
	before := b.host.Objects("m0")
	err := b.conn.AddClsact(t.Context(), b.host.Index("m0"))
	if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "ingress qdisc") {
		t.Errorf("error %v, want EEXIST that speaks of the ingress qdisc", err)
	}
	if d := cmp.Diff(before, b.host.Objects("m0")); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// The kernel's own words come with its errors.
func TestErrorsCarryTheKernelsText(t *testing.T) {
	b := newBed(t)
	b.add(t, tcnl.Ingress, tcnl.U32, 21330)
	_, err := b.conn.AddMirror(t.Context(), tcnl.Mirror{
		Ifindex: b.host.Index("p0"), Hook: tcnl.Ingress, Priority: 21330, Kind: tcnl.BPF, Target: b.host.Index("m0"), Cookie: cookie,
	})
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(fmt.Sprint(err), "kind does not match") {
		t.Errorf("error %v, want EINVAL with the kernel's text", err)
	}
}
