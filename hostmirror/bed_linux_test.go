package hostmirror

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// bed is a host under test that forwards between its ports r0 and r1 by a bridge;
// left hangs on r0 (its port s0), right on r1 (d0). m0 and m1 are monitor ports, and
// what they send arrives at sensor's c0 and c1.
type bed struct {
	t                         *testing.T
	host, left, right, sensor *kerneltest.NS
}

func newBed(t *testing.T) *bed {
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
	return b
}

// open opens the driver on the host, with filters only. With a kind it may use that classifier only, and
// the test is skipped where the kernel lacks it.
func (b *bed) open(kind string, known ...string) *Mirror {
	b.t.Helper()
	o := Options{Device: host, Namespace: b.host.Path(), Known: known, Method: MethodTC}
	if kind != "" {
		o.Prefer = []string{kind}
	}
	m, err := Open(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.t.Error(err)
		}
	})
	if kind != "" {
		_, ok := m.classifiers.best()
		require.Need(b.t, "cls_"+kind, ok, m.classifiers.reasons())
	}
	return m
}

// to makes the host have exactly want of our sessions, as the engine would: look,
// plan, render, apply, look again. It gives the checkpoint.
func (b *bed) to(m *Mirror, want ...models.Session) drivers.Checkpoint {
	b.t.Helper()
	cp := b.plan(m, want...)
	if err := m.Apply(b.t.Context(), cp); err != nil {
		b.t.Fatal(err)
	}
	if again := b.plan(m, want...); !again.Script.Empty() {
		b.t.Errorf("a second plan is not empty: %q", texts(again.Script))
	}
	return cp
}

// run renders and applies changes.
func (b *bed) run(m *Mirror, cs models.ChangeSet) {
	b.t.Helper()
	if _, err := m.Observe(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	script, err := m.Render(cs, drivers.RenderOptions{})
	if err == nil {
		err = m.Apply(b.t.Context(), drivers.Checkpoint{Device: cs.Device, Changes: cs, Script: script})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// refuse is a tap that lets the kernel refuse a step.
func refuse(step string) func(context.Context, string, func() error) error {
	return func(_ context.Context, what string, do func() error) error {
		if what == step {
			return fmt.Errorf("%w: refused by the test", unix.EINVAL)
		}
		return do()
	}
}

func (b *bed) plan(m *Mirror, want ...models.Session) drivers.Checkpoint {
	b.t.Helper()
	cp, err := b.render(m, want...)
	if err != nil {
		b.t.Fatal(err)
	}
	return cp
}

// render is plan that gives the error of the driver.
func (b *bed) render(m *Mirror, want ...models.Session) (drivers.Checkpoint, error) {
	b.t.Helper()
	st, err := m.Observe(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range st.Sessions {
		if !strings.HasPrefix(st.Sessions[i].Name, foreignPrefix) {
			st.Sessions[i].Intent = "test"
		}
	}
	cs := plan.Diff(want, st, m.Capabilities().Grain, func(string) bool { return true })
	script, err := m.Render(cs, drivers.RenderOptions{})
	return drivers.Checkpoint{Device: host, Changes: cs, Script: script}, err
}

// flow sends frames through the host, n from left and n+10 from right.
func (b *bed) flow(mark string, n int) (fromLeft, fromRight int) {
	b.t.Helper()
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, mark+"-left", 0, 128), n)
	b.right.Send("d0", kerneltest.TestFrame(kerneltest.Broadcast, mark+"-right", 0, 128), n+10)
	return n, n + 10
}

// want is how many copies of the frames from left and from right arrive.
type want struct{ left, right int }

func (b *bed) expect(c *kerneltest.Capture, mark string, w want) {
	b.t.Helper()
	n := c.Counts(map[string]int{mark + "-left": w.left, mark + "-right": w.right})
	if got := (want{n[mark+"-left"], n[mark+"-right"]}); got != w {
		b.t.Errorf("%s: copies %+v, want %+v", mark, got, w)
	}
}

// foreigners puts objects of others on the host's ports that mirrors must live with:
// filters before, between and behind ours. They need no module that a lean kernel
// lacks.
func (b *bed) foreigners(devs ...string) {
	b.t.Helper()
	kerneltest.NeedIproute(b.t)
	var lines []string
	for _, dev := range devs {
		lines = append(lines, "qdisc add dev "+dev+" clsact")
		for _, line := range []string{
			"ingress pref 5 protocol ip u32 match ip dst 192.0.2.1 action mirred egress mirror dev m1 pipe",
			"egress pref 6 protocol ip u32 match ip src 192.0.2.1 flowid 1:1",
			"ingress pref 21340 protocol all u32 match u32 0x12345678 0xffffffff at 0 action mirred egress mirror dev m1 continue",
			"egress pref 21380 protocol all u32 match u32 0x12345678 0xffffffff at 0 action mirred egress mirror dev m1 continue cookie 53504e02aabbccdd1122334449010001",
			"egress pref 60000 protocol ip u32 match ip src 192.0.2.2 action mirred egress redirect dev m1",
		} {
			lines = append(lines, "filter add dev "+dev+" "+line)
		}
	}
	b.host.Batch("tc", lines...)
}

func (b *bed) objects() string {
	b.t.Helper()
	return b.host.Objects("r0", "r1", "m0", "m1", "br0")
}

func eachKind(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range tcnl.Kinds() {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

// truth compares what tc says of the filters of sessions named names on r0 and r1 with
// what wanted sessions come to. It knows nothing of priorities and handles.
func (b *bed) truth(kind string, names []string, wanted ...models.Session) {
	b.t.Helper()
	kerneltest.NeedIproute(b.t)
	got, want := make(map[kerneltest.At][]kerneltest.TCFilter), make(map[kerneltest.At][]kerneltest.TCFilter)
	var hooks []kerneltest.At
	cookies := make(map[string]bool)
	for _, dev := range []string{"r0", "r1"} {
		for _, hook := range []tcnl.Hook{tcnl.Ingress, tcnl.Egress} {
			hooks = append(hooks, kerneltest.At{Dev: dev, Hook: hook.String()})
			for _, name := range names {
				cookies[mark{session: hashOf(host, name), hook: hook}.cookie().String()] = true
			}
		}
	}
	for at, list := range b.host.TCFilters(hooks...) {
		for _, f := range list {
			if slices.ContainsFunc(f.Actions, func(a kerneltest.TCAction) bool { return cookies[a.Cookie] }) {
				f.Handle, f.Pref = "", 0
				for i := range f.Actions {
					f.Actions[i].Stats = kerneltest.TCStats{}
				}
				got[at] = append(got[at], f)
			}
		}
	}
	for _, ses := range wanted {
		for _, src := range ses.Sources {
			for _, hook := range map[models.Direction][]string{models.Rx: {"ingress"}, models.Tx: {"egress"}, models.Both: {"ingress", "egress"}}[src.Direction] {
				h := map[string]tcnl.Hook{"ingress": tcnl.Ingress, "egress": tcnl.Egress}[hook]
				for _, to := range ses.Destination.Ports {
					a := kerneltest.TCAction{
						Kind: "mirred", Mode: "mirror", Direction: "egress", To: to,
						Cookie: mark{session: hashOf(host, ses.Name), hook: h}.cookie().String(),
					}
					a.Control.Type = "continue"
					at := kerneltest.At{Dev: src.Name, Hook: hook}
					f := kerneltest.TCFilter{Protocol: "all", Kind: kind, Actions: []kerneltest.TCAction{a}}
					if program := programOf(b.t, ses); len(program) > 0 {
						f.Kind, f.Program = tcnl.BPF, program
					} else if kind == tcnl.BPF {
						f.Program = []kerneltest.TCInstruction{{Code: opReturn, K: 1<<32 - 1}}
					}
					if ses.SampleOneIn > 1 {
						g := kerneltest.TCAction{Kind: "gact", Cookie: a.Cookie}
						g.Control.Type, g.Random.Type, g.Random.Control.Type, g.Random.Value = "continue", "determ", "pipe", int(ses.SampleOneIn)
						f.Actions = []kerneltest.TCAction{g, a}
					}
					want[at] = append(want[at], f)
				}
			}
		}
	}
	order := cmpopts.SortSlices(func(a, b kerneltest.TCFilter) bool {
		return a.Actions[0].Cookie+a.Actions[0].To < b.Actions[0].Cookie+b.Actions[0].To
	})
	if d := cmp.Diff(want, got, order); d != "" {
		b.t.Errorf("tc (-want +got):\n%s", d)
	}
}

// programOf gives the program for a session's rules as tc shows it.
func programOf(t *testing.T, ses models.Session) []kerneltest.TCInstruction {
	t.Helper()
	program, err := compileRules(ses.Filter)
	if err != nil {
		t.Fatal(err)
	}
	var out []kerneltest.TCInstruction
	for _, in := range program {
		out = append(out, kerneltest.TCInstruction{Code: in.Code, JT: in.JT, JF: in.JF, K: in.K})
	}
	return out
}

func hardware(t *testing.T, n *kerneltest.NS, dev string) net.HardwareAddr {
	t.Helper()
	return n.Link(dev).Attrs().HardwareAddr
}

// sources gives the non-test Go files of this folder and those below it.
func sources(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{".", "tcnl"} {
		list, err := filepath.Glob(filepath.Join(require.ProjectRoot(t), "hostmirror", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if !strings.HasSuffix(f, "_test.go") {
				out = append(out, f)
			}
		}
	}
	_, err := os.Stat(filepath.Join(require.ProjectRoot(t), "hostmirror"))
	require.Need(t, "sources", err == nil, "the source text of this package is not on this machine")
	return out
}
