package tcnl_test

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
)

var guards = map[string]tcnl.Guard{
	"GRE":             {Collector: netip.MustParseAddr("192.0.2.9")},
	"VXLAN":           {Collector: netip.MustParseAddr("192.0.2.9"), Port: 4789},
	"GRE over IPv6":   {Collector: netip.MustParseAddr("2001:db8::9")},
	"VXLAN over IPv6": {Collector: netip.MustParseAddr("2001:db8::9"), Port: 4789},
}

// A guard is read back as it was made; tc makes the very same of its words, and says
// the same of both; an exact delete leaves what was before.
func TestGuardOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	for name, g := range guards {
		for _, hook := range []tcnl.Hook{tcnl.Egress, tcnl.Ingress} {
			t.Run(name+" "+hook.String(), func(t *testing.T) {
				a, b := newBed(t), newBed(t)
				before := a.host.Objects("p0")
				g.Ifindex, g.Hook, g.Priority, g.Class = a.host.Index("p0"), hook, 21327, 0x53500045
				f, err := a.conn.AddGuard(t.Context(), g)
				require.Need(t, "cls_u32", !errors.Is(err, syscall.ENOENT), "no u32")
				if err != nil {
					t.Fatal(err)
				}
				if got, ok := f.Guards(); !ok || got != g {
					t.Errorf("read back as %+v, %t; want %+v", got, ok, g)
				}
				if len(f.Actions) > 0 || f.CatchAll {
					t.Errorf("%+v", f)
				}
				b.host.Run("tc filter add dev p0 " + hook.String() + " pref 21327 protocol all u32 " + g.Selector())
				if d := cmp.Diff(a.host.Run("tc -j filter show dev p0 "+hook.String()), b.host.Run("tc -j filter show dev p0 "+hook.String())); d != "" {
					t.Errorf("by netlink (-), by tc (+):\n%s", d)
				}
				if err := a.conn.DeleteFilter(t.Context(), f.ID); err != nil {
					t.Fatal(err)
				}
				if _, err := a.conn.DropEmptyU32(t.Context(), f.ID); err != nil {
					t.Fatal(err)
				}
				if after := a.host.Objects("p0"); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
			})
		}
	}
}

// Filters that are nearly guards are none.
func TestNearlyGuards(t *testing.T) {
	kerneltest.NeedIproute(t)
	words := guards["VXLAN"].Selector()
	words = strings.TrimSuffix(words, "classid 0:0") + "classid 5350:45"
	for name, line := range map[string]string{
		"with an action":    words + " action mirred egress mirror dev m0 continue",
		"another version":   strings.Replace(words, "0x40", "0x50", 1),
		"a prefix":          strings.Replace(words, "/32", "/24", 1),
		"a key more":        strings.Replace(words, "classid", "match ip tos 0x10 0xff classid", 1),
		"part of the port":  strings.Replace(words, "0xffff", "0xff00", 1),
		"without a class":   strings.Replace(words, "classid 5350:45", "", 1),
		"without the proto": strings.Replace(words, "match ip protocol 17 0xff ", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if line == words {
				t.Fatal("nothing was changed")
			}
			b := newBed(t)
			b.host.Run("tc filter add dev p0 egress pref 21327 protocol all u32 " + line)
			list, err := b.conn.Filters(t.Context(), b.host.Index("p0"), tcnl.Egress)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range list {
				if g, ok := f.Guards(); ok {
					t.Errorf("is read as %+v", g)
				}
			}
		})
	}
}

// A port with the drop filter receives nothing; it sends as before.
func TestDropOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	a, b := newBed(t), newBed(t)
	f, err := a.conn.AddDrop(t.Context(), a.host.Index("p0"), 1)
	require.Need(t, "cls_bpf", !errors.Is(err, syscall.ENOENT), "no cls_bpf")
	if err != nil {
		t.Fatal(err)
	}
	if !f.DropAll {
		t.Errorf("%+v", f)
	}
	if _, err := b.host.Command("tc", "filter", "add", "dev", "p0", "ingress", "pref", "1", "protocol", "all", "bpf", "bytecode", "1,6 0 0 2", "direct-action"); err != nil {
		t.Fatal(err)
	}
	show := "tc -j filter show dev p0 ingress"
	if d := cmp.Diff(a.host.Run(show), b.host.Run(show)); d != "" {
		t.Errorf("by netlink (-), by tc (+):\n%s", d)
	}
	// Behind the filter there is one that copies: it sees nothing.
	a.host.Batch("tc", "filter add dev p0 ingress pref 2 protocol all u32 match u32 0 0 action mirred egress mirror dev m0 continue")
	arrived, sent := a.outside.Capture("m1"), a.outside.Capture("p1")
	a.send(t, tcnl.Ingress, "in", 5)
	a.send(t, tcnl.Egress, "out", 5)
	if n := sent.Count("out", 5); n != 5 {
		t.Errorf("%d of 5 frames were sent", n)
	}
	if n := arrived.Count("in", 0); n != 0 {
		t.Errorf("%d frames came past the filter", n)
	}
}
