package tcnl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
)

// A request that the kernel does not answer ends with its ctx, and the Conn can still
// be used.
func TestCutRequest(t *testing.T) {
	c, err := Open(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	start := time.Now()
	// The kernel takes a NOOP without a word.
	_, err = c.execute(ctx, nl.NewNetlinkRequest(unix.NLMSG_NOOP, 0), 0)
	if !errors.Is(err, ErrCut) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want ErrCut and context.Canceled", err)
	}
	if d := time.Since(start); d > socketTimeout/2 {
		t.Errorf("it took %s", d)
	}
	links, err := c.Links(t.Context())
	if err != nil || len(links) == 0 {
		t.Errorf("afterwards: %d links, %v", len(links), err)
	}
	if _, err := c.Links(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrCut) {
		t.Errorf("with an ended ctx: %v, want context.Canceled before anything is sent", err)
	}
}

// The kernel tells at once which handle a new filter has, so that AddMirror need not list
// all filters of the hook.
func TestEchoTellsTheHandle(t *testing.T) {
	ns, other := kerneltest.NewNS(t), kerneltest.NewNS(t)
	kerneltest.Veth(t, ns, "p0", other, "p1")
	c, err := Open(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.AddClsact(t.Context(), ns.Index("p0")); err != nil {
		t.Fatal(err)
	}
	for i, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			m := Mirror{Ifindex: ns.Index("p0"), Hook: Ingress, Priority: uint16(100 + i), Kind: kind, Target: 1, Cookie: someCookie}
			echo, err := c.execute(t.Context(), addMirror(m), unix.RTM_NEWTFILTER)
			require.Need(t, "cls_"+kind, !errors.Is(err, unix.ENOENT), fmt.Sprint(err))
			if err != nil || len(echo) != 1 {
				t.Fatalf("%d messages, %v", len(echo), err)
			}
			told, err := DecodeFilter(echo[0])
			if err != nil {
				t.Fatal(err)
			}
			if told.Handle == 0 && kind == MatchAll {
				told.Handle = 1
			}
			list, err := c.Filters(t.Context(), m.Ifindex, m.Hook)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(list, func(f Filter) bool { return f.ID == told.ID }) {
				t.Errorf("told %+v, listed %+v", told.ID, list)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(1 << 20); !errors.Is(err, unix.EBADF) {
		t.Errorf("no such descriptor: %v, want EBADF", err)
	}
}

func attrBytes(list ...*nl.RtAttr) []byte {
	var b []byte
	for _, a := range list {
		b = append(b, a.Serialize()...)
	}
	return b
}

func TestDecodeLink(t *testing.T) {
	head := func(flags uint32) []byte { return words(0, 7, flags, 0) }
	info := nl.NewRtAttr(iflaInfo, nil)
	info.AddRtAttr(infoKind, nl.ZeroTerminated("veth"))
	xdp := nl.NewRtAttr(iflaXDP|unix.NLA_F_NESTED, nil)
	xdp.AddRtAttr(xdpAttached, []byte{2})
	rest := attrBytes(
		nl.NewRtAttr(iflaName, nl.ZeroTerminated("r0")), nl.NewRtAttr(iflaMTU, words(1500)),
		nl.NewRtAttr(iflaMaster, words(3)), nl.NewRtAttr(iflaLink, words(9)), info, xdp,
	)
	tests := []struct {
		name string
		give []byte
		want Link
	}{
		{"up and running", append(head(flagUp|flagRunning), rest...), Link{Index: 7, Name: "r0", Kind: "veth", Up: true, Runs: true, MTU: 1500, Master: 3, Lower: 9, XDP: true}},
		{"without carrier", append(head(flagUp), rest...), Link{Index: 7, Name: "r0", Kind: "veth", Up: true, MTU: 1500, Master: 3, Lower: 9, XDP: true}},
		{"lower in another namespace", append(append(head(0), rest...), attrBytes(nl.NewRtAttr(iflaNetNS, words(2)))...), Link{Index: 7, Name: "r0", Kind: "veth", MTU: 1500, Master: 3, Far: &Far{Index: 9, NSID: 2}, XDP: true}},
		{"its own lower", append(head(0), attrBytes(nl.NewRtAttr(iflaLink, words(7)))...), Link{Index: 7}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeLink(tt.give)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// FuzzDecodeOthers feeds the readers of links, addresses, neighbours and qdiscs.
func FuzzDecodeOthers(f *testing.F) {
	f.Add(append(words(0, 7, 1, 0), attrBytes(nl.NewRtAttr(iflaName, nl.ZeroTerminated("r0")), nl.NewRtAttr(iflaInfo, []byte{8, 0, 1, 0, 'x', 0, 0, 0}))...))
	f.Add(append(words(0x180002, 7), attrBytes(nl.NewRtAttr(ifaLocal, []byte{192, 0, 2, 1}))...))
	f.Add(append(words(7, 3, 0x80), attrBytes(nl.NewRtAttr(ndaMaster, words(2)))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, e1 := DecodeLink(b)
		_, e2 := DecodeAddr(b)
		_, e3 := DecodeNeigh(b)
		_, e4 := DecodeQdisc(b)
		for _, err := range []error{e1, e2, e3, e4} {
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
		}
	})
}
