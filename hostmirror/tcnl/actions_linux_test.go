package tcnl_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
)

// newActionBed makes a bed that has a second source q0 (peer q1) and a second monitor port n0 (peer n1).
func newActionBed(t *testing.T) bed {
	t.Helper()
	b := newBed(t)
	kerneltest.Veth(t, b.host, "q0", b.outside, "q1")
	kerneltest.Veth(t, b.host, "n0", b.outside, "n1")
	if err := b.conn.AddClsact(t.Context(), b.host.Index("q0")); err != nil {
		t.Fatal(err)
	}
	return b
}

// bind makes a mirror of a port that uses a.
func (b bed) bind(t *testing.T, dev, kind string, a tcnl.SharedAction, target string) tcnl.Filter {
	t.Helper()
	f, err := b.conn.AddMirror(t.Context(), tcnl.Mirror{
		Ifindex: b.host.Index(dev), Hook: tcnl.Ingress, Priority: 21330, Kind: kind, Target: b.host.Index(target), Cookie: cookie, Action: a.Index,
	})
	require.Need(t, "cls_"+kind, !errors.Is(err, syscall.ENOENT), fmt.Sprint(err))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Actions) != 1 || f.Actions[0].Index != a.Index {
		t.Fatalf("bound to %+v, want action %d", f.Actions, a.Index)
	}
	return f
}

func (b bed) action(t *testing.T, target string) tcnl.SharedAction {
	t.Helper()
	a, err := b.conn.AddAction(t.Context(), b.host.Index(target), cookie)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (b bed) actions(t *testing.T) []tcnl.SharedAction {
	t.Helper()
	list, err := b.conn.Actions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// An action by itself is what tc calls an egress mirror that continues; it outlives its
// filters, and is deleted only when none is left.
func TestActionOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	for _, kind := range tcnl.Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := newActionBed(t)
			a := b.action(t, "m0")
			if a.Index == 0 || a.Refs != 1 || a.Binds != 0 {
				t.Errorf("made %+v, want a number, one reference and no filter", a)
			}
			p, q := b.bind(t, "p0", kind, a, "m0"), b.bind(t, "q0", kind, a, "m0")
			at := kerneltest.At{Dev: "p0", Hook: "ingress"}
			if got := b.host.TCFilters(at)[at][0].Actions[0]; got.Mode != "mirror" || got.Direction != "egress" || got.To != "m0" || got.Control.Type != "continue" || got.Cookie != cookie.String() {
				t.Errorf("tc shows %+v", got)
			}
			if list := b.actions(t); len(list) != 1 || list[0].Refs != 3 || list[0].Binds != 2 || list[0].Index != a.Index {
				t.Errorf("listed %+v, want one with two filters", list)
			}
			if err := b.conn.DeleteAction(t.Context(), a.Index, cookie); !errors.Is(err, syscall.EPERM) {
				t.Errorf("deleting while bound: %v, want EPERM", err)
			}
			for _, f := range []tcnl.Filter{p, q} {
				if err := b.conn.DeleteFilter(t.Context(), f.ID); err != nil {
					t.Fatal(err)
				}
			}
			if list := b.actions(t); len(list) != 1 || list[0].Index != a.Index {
				t.Errorf("without filters: %+v, want the action alone", list)
			}
			if err := b.conn.DeleteAction(t.Context(), a.Index, cookie); err != nil {
				t.Fatal(err)
			}
			if list := b.actions(t); len(list) > 0 {
				t.Errorf("left: %+v", list)
			}
			if err := b.conn.DeleteAction(t.Context(), a.Index, cookie); !errors.Is(err, syscall.ENOENT) {
				t.Errorf("deleting again: %v, want ENOENT", err)
			}
		})
	}
}

// While frames flow, an action changes its target many times: each frame is copied to
// exactly one of the targets, of both ports, and the counters go on.
func TestRetargetUnderTraffic(t *testing.T) {
	for _, kind := range tcnl.Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := newActionBed(t)
			a := b.action(t, "m0")
			b.bind(t, "p0", kind, a, "m0")
			b.bind(t, "q0", kind, a, "m0")
			frames := 400
			if os.Getenv("SPANCTL_KERNELLAB") != "" {
				frames = 60 // an emulated processor needs seconds for more
			}
			m, n := b.outside.Capture("m1"), b.outside.Capture("n1")
			var wg sync.WaitGroup
			for _, dev := range []string{"p1", "q1"} {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for i := range frames {
						b.outside.Send(dev, kerneltest.TestFrame(kerneltest.Broadcast, fmt.Sprintf("%s-%d", dev, i), 0, 64), 1)
					}
				}()
			}
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			targets, changes := []int{b.host.Index("n0"), b.host.Index("m0")}, 0
			for sending := true; sending; changes++ {
				if err := b.conn.RetargetAction(t.Context(), a.Index, cookie, targets[changes%2]); err != nil {
					t.Error(err)
					<-done
					return
				}
				select {
				case <-done:
					sending = false
				case <-time.After(time.Millisecond):
				}
			}
			for _, dev := range []string{"p1", "q1"} {
				last := fmt.Sprintf("%s-%d", dev, frames-1)
				for deadline := time.Now().Add(10 * time.Second); len(m.Received(last))+len(n.Received(last)) == 0 && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
			}
			time.Sleep(100 * time.Millisecond)
			var bad []string
			toM, toN := 0, 0
			for _, dev := range []string{"p1", "q1"} {
				for i := range frames {
					mark := fmt.Sprintf("%s-%d", dev, i)
					x, y := len(m.Received(mark)), len(n.Received(mark))
					toM, toN = toM+x, toN+y
					if x+y != 1 {
						bad = append(bad, fmt.Sprintf("%s: %d+%d", mark, x, y))
					}
				}
			}
			if len(bad) > 0 {
				t.Errorf("%d frames not copied exactly once, such as %v", len(bad), bad[:min(5, len(bad))])
			}
			if toM == 0 || toN == 0 || changes < 10 {
				t.Errorf("%d changes, %d and %d copies: the test saw no change under traffic", changes, toM, toN)
			}
			got, err := b.conn.Action(t.Context(), a.Index)
			if err != nil {
				t.Fatal(err)
			}
			if got.Stats.Packets != uint64(2*frames) || got.Stats.Overlimits != 0 || string(got.Cookie) != string(cookie[:]) || got.Verdict != tcnl.Continue {
				t.Errorf("afterwards %+v, want %d packets and the cookie", got, 2*frames)
			}
			t.Logf("%d changes; %d copies to one, %d to the other", changes, toM, toN)
		})
	}
}

// An action is switched alone where another sees the same frames, and one whose target
// went away copies again.
func TestRetargetAfterLoss(t *testing.T) {
	b := newActionBed(t)
	a := b.action(t, "m0")
	b.bind(t, "p0", tcnl.U32, a, "m0")
	if err := b.host.Netlink().LinkDel(b.host.Link("m0")); err != nil {
		t.Fatal(err)
	}
	got, err := b.conn.Action(t.Context(), a.Index)
	if err != nil || got.Mirred == nil || got.Mirred.Ifindex != 0 {
		t.Fatalf("without its target: %+v, %v", got, err)
	}
	if err := b.conn.RetargetAction(t.Context(), a.Index, cookie, b.host.Index("n0")); err != nil {
		t.Fatal(err)
	}
	c := b.outside.Capture("n1")
	b.send(t, tcnl.Ingress, "again", 10)
	if n := c.Count("again", 10); n != 10 {
		t.Errorf("%d copies of 10", n)
	}
}

// Actions of others, by themselves or in filters, are neither changed nor deleted, and
// ours are found among many by the cookie, as after a crash.
func TestForeignActions(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newActionBed(t)
	var lines []string
	for i := range 100 { // more than one message of a listing holds
		lines = append(lines, fmt.Sprintf("actions add action mirred egress mirror dev m0 continue index %d cookie aabb%02x", 1000+i, i))
	}
	lines = append(lines,
		"actions add action mirred egress redirect dev n0 index 2000 cookie "+cookie.String(), // our cookie on another kind of copy
		"filter add dev q0 ingress pref 5 protocol all u32 match u32 0 0 action mirred egress mirror dev n0 pipe",
	)
	b.host.Batch("tc", lines...)
	ours := b.action(t, "m0")
	before := b.host.Run("tc actions list action mirred")
	list := b.actions(t)
	if len(list) != 103 {
		t.Errorf("%d actions listed, want 103", len(list))
	}
	var orphans []uint32
	for _, a := range list {
		if string(a.Cookie) == string(cookie[:]) && a.Binds == 0 && a.Verdict == tcnl.Continue {
			orphans = append(orphans, a.Index)
		}
	}
	if !slices.Equal(orphans, []uint32{ours.Index}) {
		t.Errorf("orphans %v, want %d", orphans, ours.Index)
	}
	filter := slices.IndexFunc(list, func(a tcnl.SharedAction) bool { return a.Binds == 1 })
	for name, index := range map[string]uint32{"another cookie": 1003, "a redirect": 2000, "a filter's": list[filter].Index} {
		if err := b.conn.RetargetAction(t.Context(), index, cookie, b.host.Index("n0")); !errors.Is(err, tcnl.ErrNotOurs) {
			t.Errorf("retarget %s: %v, want ErrNotOurs", name, err)
		}
		if err := b.conn.DeleteAction(t.Context(), index, cookie); !errors.Is(err, tcnl.ErrNotOurs) {
			t.Errorf("delete %s: %v, want ErrNotOurs", name, err)
		}
	}
	for name, err := range map[string]error{
		"retarget one that is not there": b.conn.RetargetAction(t.Context(), 4000, cookie, b.host.Index("n0")),
		"delete one that is not there":   b.conn.DeleteAction(t.Context(), 4000, cookie),
		"the number 0":                   b.conn.DeleteAction(t.Context(), 0, cookie),
	} {
		if !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s: %v, want ENOENT", name, err)
		}
	}
	if _, err := b.conn.AddAction(t.Context(), 0, cookie); !errors.Is(err, tcnl.ErrInvalid) {
		t.Errorf("without a target: %v", err)
	}
	if d := cmp.Diff(before, b.host.Run("tc actions list action mirred")); d != "" {
		t.Errorf("tc (-before +after):\n%s", d)
	}
	if err := b.conn.DeleteAction(t.Context(), ours.Index, cookie); err != nil {
		t.Error(err)
	}
	if n := len(b.actions(t)); n != 102 {
		t.Errorf("%d actions left, want 102", n)
	}
}
