package fabric_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// TestDirections mirrors e1 of a switch with four hosts and a probe on e5. Per row:
// one frame from a host to another, and how many copies the probe gets.
func TestDirections(t *testing.T) {
	const flood = -1
	frames := []struct {
		name         string
		from, to     int
		rx, tx, both int
	}{
		{"sent by the mirrored host", 0, 1, 1, 0, 1},
		{"sent to the mirrored host", 1, 0, 0, 1, 1},
		{"between others", 1, 2, 0, 0, 0},
		{"broadcast by the mirrored host", 0, flood, 1, 0, 1},
		{"broadcast by another", 2, flood, 0, 1, 1},
	}
	for _, dir := range []fabric.Direction{fabric.Rx, fabric.Tx, fabric.Both} {
		t.Run(dir.String(), func(t *testing.T) {
			n, sw, hs := star(t, 5)
			probe := hs[4]
			n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{span("m", "e1", dir, "e5")}}))
			for _, tt := range frames {
				forget(hs...)
				give := frame(broadcast, hs[tt.from].MAC("eth0"), 0x88b5, []byte(tt.name))
				if tt.to != flood {
					give = between(hs[tt.from], hs[tt.to], tt.name)
				}
				want := map[fabric.Direction]int{fabric.Rx: tt.rx, fabric.Tx: tt.tx, fabric.Both: tt.both}[dir]
				n.send(hs[tt.from], give)
				have := got(probe)
				if len(have) != want {
					t.Errorf("%s: %d copies, want %d", tt.name, len(have), want)
				}
				for _, f := range have {
					if !bytes.Equal(f, give) {
						t.Errorf("%s: the copy is % x, want % x", tt.name, f, give)
					}
				}
				// The traffic itself is as without the mirror.
				wantTraffic := []int{0, 0, 0, 0}
				for i := range wantTraffic {
					if tt.to == i || tt.to == flood && tt.from != i {
						wantTraffic[i] = 1
					}
				}
				if d := cmp.Diff(wantTraffic, counts(hs[:4]...)); d != "" {
					t.Errorf("%s: traffic (-want +got):\n%s", tt.name, d)
				}
			}
		})
	}
}

// TestSources sends one frame from h1 (e1) to h2 (e2) under mirrors of several
// sources and counts copies at the probe on e4.
func TestSources(t *testing.T) {
	port := func(name string, dir fabric.Direction) fabric.MirrorSource {
		return fabric.MirrorSource{Kind: fabric.SourcePort, Name: name, Direction: dir}
	}
	vlan := func(v uint16, dir fabric.Direction) fabric.MirrorSource {
		return fabric.MirrorSource{Kind: fabric.SourceVLAN, VLAN: v, Direction: dir}
	}
	only6 := fabric.Filter{{Action: fabric.Include, IPVersion: 6}}
	filtered := port("e1", fabric.Rx)
	filtered.Filter = only6
	tests := []struct {
		name     string
		sessions [][]fabric.MirrorSource
		want     int
	}{
		{"none", [][]fabric.MirrorSource{{}}, 0},
		{"rx and tx on the way: twice", [][]fabric.MirrorSource{{port("e1", fabric.Rx), port("e2", fabric.Tx)}}, 2},
		{"both on both ports: twice", [][]fabric.MirrorSource{{port("e1", fabric.Both), port("e2", fabric.Both)}}, 2},
		{"the wrong directions", [][]fabric.MirrorSource{{port("e1", fabric.Tx), port("e2", fabric.Rx)}}, 0},
		{"the same twice: once", [][]fabric.MirrorSource{{port("e1", fabric.Rx), port("e1", fabric.Both)}}, 1},
		{"VLAN rx", [][]fabric.MirrorSource{{vlan(1, fabric.Rx)}}, 1},
		{"VLAN both", [][]fabric.MirrorSource{{vlan(1, fabric.Both)}}, 2},
		{"another VLAN", [][]fabric.MirrorSource{{vlan(2, fabric.Both)}}, 0},
		{"port and VLAN at one place: once", [][]fabric.MirrorSource{{port("e1", fabric.Rx), vlan(1, fabric.Rx)}}, 1},
		{"two sessions", [][]fabric.MirrorSource{{port("e1", fabric.Rx)}, {port("e2", fabric.Tx)}}, 2},
		{"two sessions on one port", [][]fabric.MirrorSource{{port("e1", fabric.Rx)}, {port("e1", fabric.Rx)}}, 2},
		{"filter of a source", [][]fabric.MirrorSource{{filtered, port("e2", fabric.Tx)}}, 1},
		{"filter of a source, another matches", [][]fabric.MirrorSource{{filtered, port("e1", fabric.Rx)}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, sw, hs := star(t, 4)
			var c fabric.Config
			for i, sources := range tt.sessions {
				m := span(fmt.Sprint("m", i), "", fabric.Rx, "e4")
				m.Sources = sources
				c.Mirrors = append(c.Mirrors, m)
			}
			n.must(sw.Configure(c))
			n.send(hs[0], between(hs[0], hs[1], "x"))
			if d := cmp.Diff([]int{0, 1, 0, tt.want}, counts(hs...)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTagOfCopies(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 3)
	access, trunk, probe := n.addHost("access", "sw", "e1"), n.addHost("trunk", "sw", "e2"), n.addHost("probe", "sw", "e3")
	c := fabric.Config{
		VLANs: map[uint16]fabric.VLAN{10: {}},
		Ports: map[string]fabric.PortConfig{
			"e1": {Mode: fabric.Access, AccessVLAN: 10},
			"e2": {Mode: fabric.Trunk, TrunkVLANs: fabric.AllVLANs()},
		},
	}
	plain := frame(broadcast, fabric.MAC{2, 1, 1, 1, 1, 1}, 0x88b5, []byte("payload"))
	tests := []struct {
		name   string
		source string
		dir    fabric.Direction
		strip  bool
		from   *fabric.Host
		give   []byte
		want   []byte
	}{
		{"rx on access", "e1", fabric.Rx, false, access, plain, plain},
		{"tx on trunk", "e2", fabric.Tx, false, access, plain, tagged(plain, 10)},
		{"rx on trunk", "e2", fabric.Rx, false, trunk, tagged(plain, 10), tagged(plain, 10)},
		{"tx on access", "e1", fabric.Tx, false, trunk, tagged(plain, 10), plain},
		{"tag stripped", "e2", fabric.Rx, true, trunk, tagged(plain, 10), plain},
		{"no tag to strip", "e1", fabric.Rx, true, access, plain, plain},
		{"rx copies what is then dropped", "e2", fabric.Rx, false, trunk, tagged(plain, 99), tagged(plain, 99)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := span("m", tt.source, tt.dir, "e3")
			m.StripTag = tt.strip
			c.Mirrors = []fabric.Mirror{m}
			if err := sw.Configure(c); err != nil {
				t.Fatal(err)
			}
			forget(probe)
			if err := tt.from.Send("eth0", tt.give); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([][]byte{tt.want}, got(probe)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestShaping sends frames of 100 bytes, numbered in their last byte.
func TestShaping(t *testing.T) {
	tests := []struct {
		name     string
		mirror   fabric.Mirror
		want     []int // last bytes of the copies' originals, or lengths
		counters fabric.MirrorCounters
	}{
		{"whole", fabric.Mirror{}, []int{100, 100, 100, 100, 100, 100}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"truncated", fabric.Mirror{TruncateTo: 64}, []int{64, 64, 64, 64, 64, 64}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"truncated longer than the frame", fabric.Mirror{TruncateTo: 101}, []int{100, 100, 100, 100, 100, 100}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"one in one", fabric.Mirror{SampleOneIn: 1}, []int{100, 100, 100, 100, 100, 100}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"one in four", fabric.Mirror{SampleOneIn: 4}, []int{100}, fabric.MirrorCounters{Matched: 6, Copied: 1}},
		{"one in three, cut", fabric.Mirror{SampleOneIn: 3, TruncateTo: 20}, []int{20, 20}, fabric.MirrorCounters{Matched: 6, Copied: 2}},
		{"header removed", fabric.Mirror{StripHeader: 14}, []int{86, 86, 86, 86, 86, 86}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"header removed, cut", fabric.Mirror{StripHeader: 14, TruncateTo: 86}, []int{86, 86, 86, 86, 86, 86}, fabric.MirrorCounters{Matched: 6, Copied: 6}},
		{"nothing left", fabric.Mirror{StripHeader: 200}, nil, fabric.MirrorCounters{Matched: 6, Dropped: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, sw, hs := star(t, 3)
			m := span("m", "e1", fabric.Rx, "e3")
			m.TruncateTo, m.SampleOneIn, m.StripHeader = tt.mirror.TruncateTo, tt.mirror.SampleOneIn, tt.mirror.StripHeader
			n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))
			give := between(hs[0], hs[1], string(bytes.Repeat([]byte{7}, 86)))
			for range 6 {
				n.send(hs[0], give)
			}
			var lengths []int
			for _, f := range got(hs[2]) {
				lengths = append(lengths, len(f))
				if !bytes.Equal(f, give[m.StripHeader:][:len(f)]) {
					t.Errorf("not the start of the frame: % x", f)
				}
			}
			if d := cmp.Diff(tt.want, lengths); d != "" {
				t.Errorf("lengths (-want +got):\n%s", d)
			}
			c, _ := sw.MirrorCounters("m")
			if d := cmp.Diff(tt.counters, c); d != "" {
				t.Errorf("counters (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]int{6}, counts(hs[1])); d != "" {
				t.Errorf("traffic (-want +got):\n%s", d)
			}
		})
	}
}

func TestSamplingTakesEveryNth(t *testing.T) {
	n, sw, hs := star(t, 3)
	m := span("m", "e1", fabric.Rx, "e3")
	m.SampleOneIn = 3
	n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))
	var have []byte
	for i := range 10 {
		n.send(hs[0], between(hs[0], hs[1], string(rune('0'+i))))
	}
	for _, f := range got(hs[2]) {
		have = append(have, f[14])
	}
	if string(have) != "258" { // the 3rd, 6th and 9th, numbered from 0
		t.Errorf("copied frames %s, want 258", have)
	}
}

func TestDestinations(t *testing.T) {
	n, sw, hs := star(t, 5)
	m := span("m", "e1", fabric.Both, "e3", "e4")
	m.Destinations = append(m.Destinations, fabric.MirrorDestination{Kind: fabric.DestinationCPU})
	n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))

	// Several destinations: each gets every copy; none gets anything else.
	n.send(hs[0], between(hs[0], hs[1], "1"))
	n.send(hs[1], frame(broadcast, hs[1].MAC("eth0"), 0x88b5, []byte("2")))
	n.send(hs[4], between(hs[4], hs[1], "not mirrored"))
	n.send(hs[4], between(hs[4], hs[2], "to a destination's old address: flooded"))
	if d := cmp.Diff([]int{2, 3, 3, 3, 1}, counts(hs...)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c, _ := sw.MirrorCounters("m"); c != (fabric.MirrorCounters{Matched: 3, Copied: 9}) {
		t.Errorf("counters %+v", c)
	}

	// What arrives on a destination port is dropped, counted, neither learned nor mirrored.
	forget(hs...)
	n.send(hs[2], frame(broadcast, hs[2].MAC("eth0"), 0x88b5, nil), between(hs[2], hs[1], "into the destination"))
	if d := cmp.Diff([]int{0, 0, 0, 0, 0}, counts(hs...)); d != "" {
		t.Errorf("sent into a destination (-want +got):\n%s", d)
	}
	if c, _ := sw.Counters("e3"); c.Drops[fabric.DropMirrorDestination] != 2 {
		t.Errorf("drops %v", c.Drops)
	}
	for _, e := range sw.MACs() {
		if e.Port == "e3" || e.Port == "e4" {
			t.Errorf("learned on a destination: %v", e)
		}
	}
	if st, _ := sw.PortStatus("e3"); !st.MirrorDestination {
		t.Error("e3 is not shown as a mirror destination")
	}

	// A destination that is down loses its copies; the traffic and the other do not care.
	n.must(n.SetLink(fabric.End{Node: "sw", Port: "e3"}, false))
	n.send(hs[0], between(hs[0], hs[1], "3"))
	if d := cmp.Diff([]int{0, 1, 0, 1, 0}, counts(hs...)); d != "" {
		t.Errorf("one destination down (-want +got):\n%s", d)
	}
	if c, _ := sw.MirrorCounters("m"); c != (fabric.MirrorCounters{Matched: 4, Copied: 11, Dropped: 1}) {
		t.Errorf("counters with one destination down %+v", c)
	}

	// Shut down, the mirror gives its ports back.
	n.must(n.SetLink(fabric.End{Node: "sw", Port: "e3"}, true))
	m.Shutdown = true
	n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))
	forget(hs...)
	n.send(hs[2], frame(broadcast, hs[2].MAC("eth0"), 0x88b5, nil))
	if d := cmp.Diff([]int{1, 1, 0, 1, 1}, counts(hs...)); d != "" {
		t.Errorf("mirror shut down (-want +got):\n%s", d)
	}
	// Gone, its counters are gone.
	n.must(sw.Configure(fabric.Config{}))
	if _, ok := sw.MirrorCounters("m"); ok {
		t.Error("counters of a mirror that is gone")
	}
}

func TestLAGAsSourceAndDestination(t *testing.T) {
	n, sw, a, b, config := lagPair(t)
	probe := n.addHost("probe", "sw1", "e5")
	source := fabric.Mirror{
		Name:         "m",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourceLAG, Name: "po1", Direction: fabric.Both}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationPort, Name: "e5"}},
	}
	config.Mirrors = []fabric.Mirror{source}
	n.must(sw[0].Configure(config))
	for i := range 32 {
		n.send(a, frame(b.MAC("eth0"), fabric.MAC{2, 0xcc, 0, 0, 0, byte(i)}, 0x88b5, nil))
	}
	n.send(b, between(b, a, "back"))
	if d := cmp.Diff([]int{1, 32, 33}, counts(a, b, probe)); d != "" {
		t.Errorf("LAG as source (-want +got):\n%s", d)
	}

	// The LAG as destination: copies of a host's frames leave by its members, each
	// once, and the traffic loses its way, as it must.
	config.Mirrors = []fabric.Mirror{{
		Name:         "m",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourcePort, Name: "e4", Direction: fabric.Rx}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationLAG, Name: "po1"}},
	}}
	n.must(sw[0].Configure(config))
	forget(a, b, probe)
	for i := range 32 {
		n.send(a, frame(b.MAC("eth0"), fabric.MAC{2, 0xcc, 0, 0, 0, byte(i)}, 0x88b5, nil))
	}
	n.send(b, between(b, a, "into the destination"))
	if d := cmp.Diff([]int{0, 32, 32}, counts(a, b, probe)); d != "" {
		t.Errorf("LAG as destination (-want +got):\n%s", d)
	}
	if c, _ := sw[0].MirrorCounters("m"); c.Copied != 32 {
		t.Errorf("counters %+v", c)
	}
}

func TestCopiesAreNotMirrored(t *testing.T) {
	// Two switches mirror their link to each other in both directions: the classic
	// way to melt a network.
	n := newNetwork(t)
	sw1, sw2 := n.addSwitch("sw1", 3), n.addSwitch("sw2", 3)
	a, b := n.addHost("a", "sw1", "e1"), n.addHost("b", "sw2", "e1")
	n.link("sw1", "e2", "sw2", "e2")
	n.link("sw1", "e3", "sw2", "e3")
	learn(n, a, b)
	m := span("m", "e2", fabric.Both, "e3")
	n.must(sw1.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))
	// On sw2, e3 is an ordinary port: it takes the copies as traffic. They are
	// bridged, so b gets them too, but not mirrored.
	n.must(sw2.Configure(fabric.Config{Mirrors: []fabric.Mirror{{
		Name: "back",
		Sources: []fabric.MirrorSource{
			{Kind: fabric.SourcePort, Name: "e3", Direction: fabric.Both},
			{Kind: fabric.SourcePort, Name: "e1", Direction: fabric.Tx},
		},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationCPU}},
	}}}))
	n.send(a, between(a, b, "x"))
	if d := cmp.Diff([]int{0, 2}, counts(a, b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c, _ := sw2.MirrorCounters("back"); c.Matched != 1 {
		t.Errorf("want the original mirrored as it leaves e1 and no copy: %+v", c)
	}
}

// TestConfigureWhileForwarding: what is unchanged keeps its state.
func TestConfigureKeepsState(t *testing.T) {
	n, sw, hs := star(t, 4)
	m := span("m", "e1", fabric.Rx, "e4")
	c := fabric.Config{Mirrors: []fabric.Mirror{m}}
	n.must(sw.Configure(c))
	macs := sw.MACs()
	if len(macs) != 3 { // not the destination's
		t.Fatalf("learned %v", macs)
	}
	n.send(hs[0], between(hs[0], hs[1], "x"))
	c.Mirrors = append(c.Mirrors, span("other", "e2", fabric.Rx, "e4"))
	n.must(sw.Configure(c))
	if d := cmp.Diff(macs, sw.MACs()); d != "" {
		t.Errorf("addresses after adding a mirror (-want +got):\n%s", d)
	}
	if mc, _ := sw.MirrorCounters("m"); mc.Copied != 1 {
		t.Errorf("counters of the mirror that stayed: %+v", mc)
	}
	c.Mirrors[0].Sources[0].Direction = fabric.Both
	c.Ports = map[string]fabric.PortConfig{"e2": {Mode: fabric.Access, AccessVLAN: 7}}
	n.must(sw.Configure(c))
	if mc, _ := sw.MirrorCounters("m"); mc.Copied != 0 {
		t.Errorf("counters of the mirror that changed: %+v", mc)
	}
	want := slices.DeleteFunc(slices.Clone(macs), func(e fabric.MACEntry) bool { return e.Port == "e2" })
	if d := cmp.Diff(want, sw.MACs()); d != "" {
		t.Errorf("addresses after changing e2 (-want +got):\n%s", d)
	}
	// A refused configuration changes nothing, and what Config gives is a copy.
	bad := sw.Config()
	bad.Mirrors[0].Sources[0].Name = "e99"
	bad.Ports["e1"] = fabric.PortConfig{Mode: fabric.Access, Shutdown: true}
	if err := sw.Configure(bad); err == nil {
		t.Error("a source that does not exist was accepted")
	}
	if d := cmp.Diff(c, sw.Config(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if st, _ := sw.PortStatus("e1"); !st.Up {
		t.Error("e1 went down with a refused configuration")
	}
}
