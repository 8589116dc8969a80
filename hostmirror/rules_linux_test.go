package hostmirror

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// Each of these tests holds one rule whose breach hurts production. Most were seen
// to hurt it on real kernels before they became rules.

// A foreign filter behind ours still decides: a frame that it drops is dropped, and
// copied all the same.
func TestForeignDropBehindUsStillDrops(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		kerneltest.NeedIproute(t)
		b := newBed(t)
		m := b.open(kind)
		b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
		_, err := b.host.Command("tc", "filter", "add", "dev", "r0", "ingress", "pref", "40000", "protocol", "all",
			"bpf", "bytecode", "1,6 0 0 2", "direct-action") // returns TC_ACT_SHOT
		if err != nil {
			t.Fatal(err)
		}
		sensor, right := b.sensor.Capture("c0"), b.right.Capture("d0")
		left, _ := b.flow("drop", 20)
		b.expect(sensor, "drop", want{left: left})
		b.expect(right, "drop", want{})
	})
}

// The calls of the netlink library that redirect, that write back what they have
// misread, or that take away more than they say, are not used at all.
func TestDangerousCallsAreNotUsed(t *testing.T) {
	forbidden := map[string]string{
		"NewMirredAction": "its default is a redirect",
		"FilterAdd":       "carries a mirror that was read back as a redirect",
		"FilterReplace":   "carries a mirror that was read back as a redirect",
		"FilterList":      "turns a mirror into a redirect when written back",
		"FilterDel":       "takes every filter of a priority when the handle is 0",
		"QdiscDel":        "takes a clsact with everybody's filters",
		"QdiscReplace":    "replaces what others made",
		"QdiscAdd":        "does not say whether it was there",
	}
	numbers := map[string]string{
		"RTM_DELQDISC":     "a qdisc is never deleted",
		"NLM_F_REPLACE":    "nothing is ever replaced",
		"TCA_EGRESS_REDIR": "nothing is ever redirected",
	}
	allowed := map[string]bool{
		"actions_linux.go NLM_F_REPLACE": true, // gives an action of ours, by its number and cookie, another destination
	}
	files := sources(t)
	if len(files) < 10 {
		t.Fatalf("only %d source files found", len(files))
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				for _, list := range []map[string]string{forbidden, numbers} {
					if why, bad := list[sel.Sel.Name]; bad && !allowed[filepath.Base(file)+" "+sel.Sel.Name] {
						t.Errorf("%s uses %s: %s", file, sel.Sel.Name, why)
					}
				}
			}
			return true
		})
	}
}

// Two ports are never mirrored to each other, nor a port to itself, also when the
// other half is somebody else's; nothing is changed by the attempt.
func TestLoopsAreRefused(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open("")
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Both)))
	b.host.Run("tc qdisc add dev m1 clsact")
	b.host.Run("tc filter add dev m1 egress pref 9 protocol all u32 match u32 0 0 action mirred egress mirror dev r0 continue")
	b.host.Run("ip link add v0 type veth peer name v1")
	before := b.objects()
	if _, err := m.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, ses := range map[string]models.Session{
		"to each other":              session("sp-b", []string{"r0"}, port("m0", models.Rx)),
		"to itself":                  session("sp-b", []string{"r1"}, port("r1", models.Tx)),
		"with a foreign mirror":      session("sp-b", []string{"m1"}, port("r0", models.Rx)),
		"both ends of a veth":        session("sp-b", []string{"v1"}, port("v0", models.Rx)),
		"out by the bridge":          session("sp-b", []string{"br0"}, port("r1", models.Tx)),
		"a bridge instead of a port": session("sp-b", []string{"m0"}, port("br0", models.Rx)),
	} {
		_, err := m.Render(create(ses), drivers.RenderOptions{})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if d := cmp.Diff(before, b.objects()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// A loop that came into being after the plan is refused by Apply.
func TestLoopAfterThePlanIsRefused(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open("")
	cp := b.plan(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	b.host.Run("tc qdisc add dev m0 clsact")
	b.host.Run("tc filter add dev m0 ingress pref 9 protocol all u32 match u32 0 0 action mirred egress mirror dev r0 continue")
	before := b.objects()
	wantKind(t, m.Apply(t.Context(), cp), transport.Rejected, "copies into production")
	if d := cmp.Diff(before, b.objects()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// Foreign filters in our very priority stay when ours goes.
func TestForeignFiltersInOurPriorityStay(t *testing.T) {
	for _, kind := range []string{"u32", "bpf"} { // matchall takes one filter a priority
		t.Run(kind, func(t *testing.T) {
			kerneltest.NeedIproute(t)
			b := newBed(t)
			m := b.open(kind)
			b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Both)))
			match := map[string][]string{
				"u32": {"u32", "match", "u32", "0x12345678", "0xffffffff", "at", "0"},
				"bpf": {"bpf", "bytecode", "1,6 0 0 0"},
			}[kind]
			for hook, pref := range map[string]int{"ingress": firstPriority, "egress": egressPriority} {
				args := append([]string{"filter", "add", "dev", "r0", hook, "pref", fmt.Sprint(pref), "protocol", "all"}, match...)
				args = append(args, "action", "mirred", "egress", "mirror", "dev", "m1", "continue")
				if _, err := b.host.Command("tc", args...); err != nil {
					t.Fatal(err)
				}
			}
			hooks := []kerneltest.At{{Dev: "r0", Hook: "ingress"}, {Dev: "r0", Hook: "egress"}}
			foreign := func() []kerneltest.TCFilter {
				var out []kerneltest.TCFilter
				all := b.host.TCFilters(hooks...)
				for _, at := range hooks {
					for _, f := range all[at] {
						if f.Actions[0].Cookie == "" {
							out = append(out, f)
						}
					}
				}
				return out
			}
			before := foreign()
			if len(before) != 2 {
				t.Fatalf("%d foreign filters, want 2", len(before))
			}
			b.to(m)
			b.truth(kind, []string{"sp-a"})
			if d := cmp.Diff(before, foreign()); d != "" {
				t.Errorf("foreign filters (-before +after):\n%s", d)
			}
		})
	}
}

// A qdisc stays, whoever made it: ours when the last session goes, others' always.
func TestQdiscsStay(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		kerneltest.NeedIproute(t)
		b := newBed(t)
		m := b.open(kind)
		b.host.Run("tc qdisc add dev r0 ingress")
		b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx), port("r1", models.Rx)))
		sensor := b.sensor.Capture("c0")
		left, right := b.flow("x", 5)
		b.expect(sensor, "x", want{left, right})
		b.to(m)
		for dev, qdisc := range map[string]string{"r0": `"kind":"ingress"`, "r1": `"kind":"clsact"`} {
			if got := b.host.Run("tc -j qdisc show dev " + dev); strings.Count(got, qdisc) != 1 {
				t.Errorf("%s: %s, want one with %s", dev, got, qdisc)
			}
		}
	})
}

// Copies leave by the destination; they never enter the host's own stack. With the
// destination in a bridge, an ingress copy would be forwarded and come out by r1.
func TestCopiesDoNotEnterTheHost(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		nl := b.host.Netlink()
		if err := nl.LinkSetMaster(b.host.Link("m0"), b.host.Link("br0")); err != nil {
			t.Fatal(err)
		}
		m := b.open(kind)
		// Bridges learn: frames to a known address are not flooded to m0.
		b.right.Send("d0", kerneltest.TestFrame(kerneltest.Broadcast, "learn", 0, 64), 1)
		right, sensor := b.right.Capture("d0"), b.sensor.Capture("c0")
		b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
		// TestFrame comes from one address: give the two sides different ones.
		frame := kerneltest.TestFrame(hardware(t, b.right, "d0"), "uni-left", 0, 128)
		frame[11] = 2
		learn := kerneltest.TestFrame(kerneltest.Broadcast, "learn2", 0, 64)
		copy(learn[6:12], hardware(t, b.right, "d0"))
		b.right.Send("d0", learn, 1)
		b.left.Send("s0", frame, 20)
		b.expect(sensor, "uni", want{left: 20})
		b.expect(right, "uni", want{left: 20})
	})
}

// One action a filter: many actions are not listed by some kernels, so that a filter
// could not be recognised again.
func TestOneActionAFilter(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open("")
	var to []string
	for i := range 20 {
		name := fmt.Sprintf("x%d", i)
		kerneltest.Veth(t, b.host, name, b.sensor, "y"+name)
		to = append(to, name)
	}
	b.to(m, session("sp-a", to, port("r0", models.Rx)))
	at := kerneltest.At{Dev: "r0", Hook: "ingress"}
	list := b.host.TCFilters(at)[at]
	if len(list) != len(to) {
		t.Errorf("tc lists %d filters, want %d", len(list), len(to))
	}
	for _, f := range list {
		if len(f.Actions) != 1 {
			t.Errorf("filter %d has %d actions", f.Pref, len(f.Actions))
		}
	}
	b.to(m)
}
