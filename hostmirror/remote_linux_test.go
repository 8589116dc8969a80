package hostmirror

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
)

// TestRemoteConformance is TestConformance for a host that is reached by OpenSSH: the
// same suite, truth, notifications of the kernel and frames.
func TestRemoteConformance(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		needShell(t)
		kerneltest.NeedIproute(t)
		prober := &remoteAccess{run: &localShell{ns: kerneltest.NewNS(t)}, mark: "@test"}
		why := prober.probe(t.Context(), []string{kind})
		require.Need(t, "cls_"+kind, len(why.usable) == 1, why.reasons())
		with := prober.probe(t.Context(), slices.Compact([]string{kind, tcnl.BPF})).kernel(kind)
		with.noPrograms, with.noLinks = noPrograms{}, noLinksAtAll()
		drivertest.Run(t, drivertest.Subject{
			Planner: onKernel{Planner{}, with},
			Start:   func(t testing.TB) *drivertest.Peer { return remotePeer(t, kind) },
			Ask:     askLinks,
		})
	})
}

// remotePeer is a kernelPeer that is reached by a shell.
func remotePeer(t testing.TB, kind string) *drivertest.Peer {
	p := newKernelPeer(t, kind)
	o := Options{Device: host, Prefer: slices.Compact([]string{kind, tcnl.BPF})}
	for i := range 6 {
		o.Known = append(o.Known, fmt.Sprintf("sp-c%d", i))
	}
	peer := p.peer()
	h := startSSH(t, p.host)
	peer.Open = func(ctx context.Context) (drivers.Driver, error) {
		h.noHang() // one that was never reached
		m, err := h.open(ctx, o)
		if err != nil {
			return nil, err
		}
		m.tap = p.tap
		return m, nil
	}
	peer.Hang = h.hang
	return peer
}

// BenchmarkRemoteRead is a look at a host with 3 mirrored ports by a shell.
func BenchmarkRemoteRead(b *testing.B) {
	p := newKernelPeer(b, tcnl.U32)
	for _, dev := range []string{"p0", "p2"} {
		p.host.Run("tc qdisc add dev " + dev + " clsact")
	}
	r := &remoteAccess{run: &localShell{ns: p.host}, mark: "@bench"}
	for b.Loop() {
		if _, err := r.read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
