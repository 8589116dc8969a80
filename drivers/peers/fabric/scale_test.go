package fabric_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// TestDeterminism runs one scene twice: floods in a mesh with mirrors and a LAG.
func TestDeterminism(t *testing.T) {
	scene := func() map[string][]fabric.Capture {
		n, sw, a, b, config := lagPair(t)
		config.Mirrors = []fabric.Mirror{
			{Name: "m", SampleOneIn: 2, Sources: []fabric.MirrorSource{{Kind: fabric.SourceVLAN, VLAN: 1, Direction: fabric.Both}},
				Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationPort, Name: "e5"}}},
		}
		probe := n.addHost("probe", "sw2", "e5")
		n.must(sw[1].Configure(config))
		for i := range 100 {
			dst := b.MAC("eth0")
			if i%3 == 0 {
				dst = broadcast
			}
			n.send(a, frame(dst, fabric.MAC{2, 0xcc, 0, 0, 0, byte(i)}, 0x88b5, []byte{byte(i)}))
		}
		return map[string][]fabric.Capture{"a": a.Captured("eth0"), "b": b.Captured("eth0"), "probe": probe.Captured("eth0")}
	}
	first := scene()
	if len(first["probe"]) == 0 || len(first["b"]) != 100 {
		t.Fatalf("the scene shows %d copies and %d frames", len(first["probe"]), len(first["b"]))
	}
	for range 5 {
		if d := cmp.Diff(first, scene()); d != "" {
			t.Fatalf("another run differs (-first +this):\n%s", d)
		}
	}
}

// TestThousands builds 2,000 leaves on 20 spines, in a star of spines, each leaf
// with a host, and mirrors a leaf at the far end.
func TestThousands(t *testing.T) {
	const spines, leaves = 20, 2000
	n := newNetwork(t)
	core := n.addSwitch("core", spines)
	for s := range spines {
		n.addSwitch(fmt.Sprintf("spine%d", s), 1+leaves/spines)
		n.link("core", fmt.Sprintf("e%d", s+1), fmt.Sprintf("spine%d", s), "e1")
	}
	hs := make([]*fabric.Host, leaves)
	for l := range leaves {
		leaf := fmt.Sprintf("leaf%d", l)
		sw := n.addSwitch(leaf, 3)
		n.link(leaf, "e1", fmt.Sprintf("spine%d", l%spines), fmt.Sprintf("e%d", 2+l/spines))
		hs[l] = n.addHost(fmt.Sprintf("h%d", l), leaf, "e2")
		n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{span("m", "e2", fabric.Both, "e3")}}))
	}
	probe := n.addHost("probe", "leaf1999", "e3")
	n.send(hs[0], frame(broadcast, hs[0].MAC("eth0"), 0x88b5, nil))
	for i, h := range hs {
		want := 1
		if i == 0 {
			want = 0
		}
		if have := len(h.Captured("eth0")); have != want {
			t.Fatalf("h%d has %d frames of a broadcast, want %d", i, have, want)
		}
	}
	n.send(hs[1999], between(hs[1999], hs[0], "across"))
	if d := cmp.Diff([]int{1, 2}, counts(hs[0], probe)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c, _ := core.Counters("e1"); c.In.Frames != 1 || c.Out.Frames != 1 {
		t.Errorf("core counts %+v", c)
	}
}

// TestConcurrentUse sends from many hosts while the switch is configured over and
// over: frames of unchanged ports are neither lost nor doubled.
func TestConcurrentUse(t *testing.T) {
	const senders, frames = 8, 200
	n, sw, hs := star(t, senders+2)
	sink := hs[senders]
	learn(n, sink)
	var wg sync.WaitGroup
	for _, h := range hs[:senders] {
		wg.Go(func() {
			for range frames {
				if err := h.Send("eth0", between(h, sink, "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	probe := fmt.Sprintf("e%d", senders+2)
	wg.Go(func() {
		for i := range 100 {
			c := fabric.Config{Mirrors: []fabric.Mirror{span("m", "e1", fabric.Rx, probe)}}
			if i%2 == 0 {
				c = fabric.Config{}
			}
			if err := sw.Configure(c); err != nil {
				t.Error(err)
			}
			_, _ = sw.Config(), sw.MACs()
			_, _ = sw.Counters("e1")
			_ = n.Links()
		}
	})
	wg.Wait()
	if have := len(sink.Captured("eth0")); have != senders*frames {
		t.Errorf("%d frames arrived, want %d", have, senders*frames)
	}
	seen := map[uint64]bool{}
	for _, h := range hs {
		for _, c := range h.Captured("eth0") {
			if seen[c.Seq] {
				t.Errorf("sequence number %d twice", c.Seq)
			}
			seen[c.Seq] = true
		}
	}
}

func TestCaptureLimit(t *testing.T) {
	n, _, hs := star(t, 2)
	give := between(hs[0], hs[1], "x")
	for range fabric.MaxCapture + 5 {
		n.send(hs[0], give)
	}
	c, _ := hs[1].Counters("eth0")
	if have := len(hs[1].Captured("eth0")); have != fabric.MaxCapture || c.Drops[fabric.DropCaptureFull] != 5 || c.In.Frames != fabric.MaxCapture+6 {
		t.Errorf("%d frames kept, counters %+v", have, c)
	}
}

// BenchmarkFrames counts frames sent by a host; each crosses three switches, with
// and without a mirror on the first.
func BenchmarkFrames(b *testing.B) {
	for _, tt := range []struct {
		name    string
		mirrors []fabric.Mirror
	}{{"plain", nil}, {"mirrored", []fabric.Mirror{span("m", "e1", fabric.Rx, "e3")}}} {
		b.Run(tt.name, func(b *testing.B) {
			n := newNetwork(b)
			first := n.addSwitch("sw1", 3)
			n.addSwitch("sw2", 2)
			n.addSwitch("sw3", 2)
			n.link("sw1", "e2", "sw2", "e1")
			n.link("sw2", "e2", "sw3", "e1")
			src, dst := n.addHost("src", "sw1", "e1"), n.addHost("dst", "sw3", "e2")
			probe := n.addHost("probe", "sw1", "e3")
			learn(n, src, dst)
			n.must(first.Configure(fabric.Config{Mirrors: tt.mirrors}))
			give := between(src, dst, string(make([]byte, 1000)))
			b.ReportAllocs()
			sent := 0
			for b.Loop() {
				n.send(src, give)
				if sent++; sent%1000 == 0 {
					forget(dst, probe)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
