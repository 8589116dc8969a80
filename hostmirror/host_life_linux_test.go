package hostmirror

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/nsname"
	"github.com/spanctl/spanctl/models"
)

// A container that was started again has none of our filters, and a plan for the old
// one is refused. One that is gone has no sessions; one that nobody can tell of is an
// error.
func TestContainerComesAndGoes(t *testing.T) {
	b := newHostBed(t)
	inB := session("sp-b", []string{"container:b/mb"}, port("container:b/eth0", models.Rx))
	near := session("sp-n", []string{"m0"}, port("container:b/eth0", models.Rx))
	h := b.open()
	b.to(h, inB, near)
	stale, err := b.plan(h, inB)
	if err != nil {
		t.Fatal(err)
	}
	moreInB := session("sp-b", []string{"container:b/mb"}, port("container:b/eth0", models.Both))
	staleInB, err := b.plan(h, moreInB, near)
	if err != nil {
		t.Fatal(err)
	}
	staleNear, err := b.plan(h, inB, session("sp-n", []string{"m0"}, port("container:b/eth0", models.Both)))
	if err != nil {
		t.Fatal(err)
	}

	again := kerneltest.NewNS(t)
	kerneltest.Veth(t, again, "eth0", b.host, "vb1")
	kerneltest.Veth(t, again, "mb", b.sensor, "cb1")
	b.finder["container:b"] = &fakePlace{ns: again, pid: 5000}
	// The old cable is still there: the copy is made, but not of what was asked for.
	b.shows(h, session("sp-n", []string{"m0"}, port("vb0", models.Tx)))
	wantKind(t, h.Apply(t.Context(), staleInB), transport.Rejected, "plan again")
	wantKind(t, h.Apply(t.Context(), staleNear), transport.Rejected, "plan again")
	b.to(h, inB, near)
	if err := h.Apply(t.Context(), stale); err == nil {
		t.Error("a stale delete: no error")
	}

	delete(b.finder, "container:b")
	b.shows(b.open(inB, near), session("sp-n", []string{"m0"}, port("vb1", models.Tx)))
	b.finder["container:b"] = &fakePlace{err: &nsname.Error{Place: "container:b", Err: nsname.ErrUnknown, Hint: "start the service"}}
	_, err = b.open(inB, near).Observe(t.Context())
	wantKind(t, err, transport.Unreachable, "start the service")
}

// A script that was altered is refused before anything is done.
func TestHostReadsStrictly(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	good, err := b.plan(h, session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx)), session("sp-b", []string{"netns:a/ma"}, port("netns:a/eth0", models.Rx)))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	before := b.objects()
	for name, change := range map[string]func(string) string{
		"another namespace":             replace("ip netns exec a ", "ip netns exec b "),
		"an unnamed one":                replace("ip netns exec a ", "nsenter --net=/proc/1/ns/net "),
		"another program":               replace("ip netns exec a tc", "ip netns exec a rm"),
		"another direction":             replace("netns:a/eth0 rx", "netns:a/eth0 tx"),
		"another port":                  replace("netns:a/eth0 rx", "netns:a/eth1 rx"),
		"another near end":              replace("dev va0 egress", "dev vb0 egress"),
		"more behind the comment":       replace("netns:a/eth0 rx", "netns:a/eth0 rx; reboot"),
		"a comment on something else":   replace("va0 clsact", "va0 clsact # netns:a/eth0 rx"),
		"a blank more behind the enter": replace("exec a tc", "exec a  tc"),
	} {
		t.Run(name, func(t *testing.T) {
			cp := good
			cp.Script.Steps = slices.Clone(good.Script.Steps)
			n := 0
			for i := range cp.Script.Steps {
				if s := change(cp.Script.Steps[i].Text); s != cp.Script.Steps[i].Text {
					cp.Script.Steps[i].Text = s
					n++
				}
			}
			if n == 0 {
				t.Fatalf("nothing altered in %q", texts(cp.Script))
			}
			if err := h.Apply(t.Context(), cp); err == nil {
				t.Error("no error")
			}
			if d := cmp.Diff(before, b.objects()); d != "" {
				t.Errorf("something was done: %s", d)
			}
		})
	}
	if err := h.Apply(t.Context(), good); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// The driver of one namespace alone refuses ports of others.
func TestMirrorRefusesPlaces(t *testing.T) {
	b := newHostBed(t)
	m := b.open().base.m
	for _, s := range []models.Session{session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx)), session("sp-a", []string{"netns:a/ma"}, port("va0", models.Rx))} {
		_, err := m.Render(create(s), drivers.RenderOptions{})
		wantKind(t, err, drivers.Unsupported, "by a spanctl that runs on the host itself")
	}
}

// Observe says where it looked, and shows mirrors of others there.
func TestHostObserve(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newHostBed(t)
	b.a.Batch("tc", "qdisc add dev eth0 clsact", "filter add dev eth0 ingress pref 5 protocol all u32 match u32 0 0 action mirred egress mirror dev ma pipe")
	b.finder["netns:same"] = b.finder["netns:a"]
	see := func(h *Host) models.DeviceState {
		t.Helper()
		st, err := h.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := see(b.open())
	if len(st.Facts.Traits) > 0 || len(st.Sessions) > 0 || st.Ports["va0"].Name != "va0" {
		t.Errorf("the host alone: looked at %q, sessions %+v", st.Facts.Traits, st.Sessions)
	}
	all, err := openHost(t.Context(), HostOptions{Options: Options{Device: host, Namespace: b.host.Path()}, AllNamespaces: true}, b.finder)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	st = see(all)
	if d := cmp.Diff([]string{"netns:a", "netns:same"}, st.Facts.Traits); d != "" {
		t.Errorf("looked at (-want +got):\n%s", d)
	}
	if len(st.Sessions) != 1 || !strings.HasPrefix(st.Sessions[0].Name, "tc/netns:a/eth0/ingress/5/") ||
		st.Sessions[0].Sources[0].Name != "netns:a/eth0" || st.Sessions[0].Destination.Ports[0] != "netns:a/ma" {
		t.Errorf("a mirror of others: %+v", st.Sessions)
	}
	for _, name := range []string{"va0", "netns:a/eth0", "netns:same/eth0"} {
		if p := st.Ports[name]; p.Name != name || p.Oper != models.OperUp {
			t.Errorf("port %s: %+v", name, p)
		}
	}
	c := b.open(session("sp-a", []string{"m0"}, port("container:b/eth0", models.Rx)))
	if st = see(c); !slices.Equal(st.Facts.Traits, []string{"container:b"}) || st.Ports["container:b/mb"].Name == "" {
		t.Errorf("by a record: looked at %q", st.Facts.Traits)
	}
}

// The counters of copies have the names that were asked for.
func TestHostCounters(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	b.to(h, session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx)), session("sp-b", []string{"container:b/mb"}, port("container:b/eth0", models.Tx)))
	b.send()
	got, err := h.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d", c.Session, c.Source, c.Direction, c.Destination, c.Packets))
	}
	slices.Sort(lines)
	if d := cmp.Diff([]string{"sp-a netns:a/eth0 rx m0 5", "sp-b container:b/eth0 tx container:b/mb 5"}, lines); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
