package linkwatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// expect reads events until all of want were in them, in order.
func expect(t *testing.T, events <-chan string, want ...string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for len(want) > 0 {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("ended; still wanted: %q", want)
			}
			if strings.HasPrefix(e, want[0]) {
				want = want[1:]
			}
		case <-deadline:
			t.Fatalf("still wanted: %q", want)
		}
	}
}

func TestEvents(t *testing.T) {
	ns := kerneltest.NewNS(t)
	kerneltest.Veth(t, ns, "old0", ns, "old1")
	other := kerneltest.NewNS(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := Open(ctx, ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	nl := ns.Netlink()
	kerneltest.Veth(t, ns, "m0", ns, "m1")
	old, m0 := ns.Link("old0"), ns.Link("m0")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(nl.LinkSetDown(old))
	must(nl.LinkSetName(old, "new0"))
	must(nl.LinkSetNsFd(m0, other.FD()))
	must(other.Netlink().LinkSetNsFd(other.Link("m0"), ns.FD()))
	must(nl.LinkDel(ns.Link("m0")))
	at := func(text string, l netlink.Link) string { return fmt.Sprintf("%s (index %d)", text, l.Attrs().Index) }
	want := []string{ // of a pair of veths, each is told by itself, in an order of the kernel's
		at("m0 came", m0), at("old0 is called new0 now", old), at("m0 went", m0), at("m0 came", m0), at("m0 went", m0),
	}
	var got []string
	deadline := time.After(10 * time.Second)
	for len(got) < len(want) {
		select {
		case e := <-events:
			if !strings.HasPrefix(e, "m1 ") {
				got = append(got, e)
			}
		case <-deadline:
			t.Fatalf("only %q", got)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	cancel()
	for range events { // closed, or the test hangs
	}
}

// TestEventsLost: the kernel drops events when nobody reads them in time. That is said,
// and what comes later is seen.
func TestEventsLost(t *testing.T) {
	ns := kerneltest.NewNS(t)
	events, err := open(t.Context(), ns.Path(), 32<<10)
	if err != nil {
		t.Fatal(err)
	}
	nl := ns.Netlink()
	for i := range 200 { // nobody reads
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("f%d", i)
		if err := nl.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, events, "interface events were lost")
	kerneltest.Veth(t, ns, "late0", ns, "late1")
	expect(t, events, "late")
}

func TestNoNamespace(t *testing.T) {
	if _, err := Open(t.Context(), "/run/netns/nosuch-spanctl"); err == nil {
		t.Error("no error for a namespace that is not there")
	}
}
