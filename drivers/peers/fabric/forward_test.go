package fabric_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

func TestLearningAndFlooding(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 4)
	h1, h2, h3 := n.addHost("h1", "sw", "e1"), n.addHost("h2", "sw", "e2"), n.addHost("h3", "sw", "e3")

	n.send(h1, between(h1, h2, "unknown")) // flooded
	if d := cmp.Diff([]int{0, 1, 1}, counts(h1, h2, h3)); d != "" {
		t.Errorf("unknown unicast (-want +got):\n%s", d)
	}
	n.send(h2, between(h2, h1, "known")) // h1 is known now
	if d := cmp.Diff([]int{1, 1, 1}, counts(h1, h2, h3)); d != "" {
		t.Errorf("known unicast (-want +got):\n%s", d)
	}
	want := []fabric.MACEntry{{1, h1.MAC("eth0"), "e1"}, {1, h2.MAC("eth0"), "e2"}}
	if d := cmp.Diff(want, sw.MACs()); d != "" {
		t.Errorf("MACs (-want +got):\n%s", d)
	}
	c, _ := sw.Counters("e1")
	size := uint64(14 + len("known"))
	wantCounters := fabric.Counters{In: fabric.Traffic{Frames: 1, Bytes: size + 2}, Out: fabric.Traffic{Frames: 1, Bytes: size}, Drops: map[fabric.Drop]uint64{}}
	if d := cmp.Diff(wantCounters, c); d != "" {
		t.Errorf("counters of e1 (-want +got):\n%s", d)
	}
	sw.ClearMACs()
	if len(sw.MACs()) != 0 {
		t.Error("addresses left after ClearMACs")
	}
}

func TestFrameToOwnPortIsFiltered(t *testing.T) {
	n, _, hs := star(t, 3)
	// Both addresses are on e1, as behind another bridge.
	other := fabric.MAC{2, 9, 9, 9, 9, 9}
	n.send(hs[0], frame(broadcast, other, 0x88b5, nil))
	forget(hs...)
	n.send(hs[0], frame(other, hs[0].MAC("eth0"), 0x88b5, nil))
	if d := cmp.Diff([]int{0, 0, 0}, counts(hs...)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestVLANs sends one broadcast into a switch whose ports are access 10, access
// 20, a trunk of 10 and 20 with native 20, and a trunk of 10 only.
func TestVLANs(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 5)
	hs := make([]*fabric.Host, 5)
	for i := range hs {
		hs[i] = n.addHost(fmt.Sprintf("h%d", i+1), "sw", fmt.Sprintf("e%d", i+1))
	}
	n.must(sw.Configure(fabric.Config{
		VLANs: map[uint16]fabric.VLAN{10: {}, 20: {}},
		Ports: map[string]fabric.PortConfig{
			"e1": {Mode: fabric.Access, AccessVLAN: 10},
			"e2": {Mode: fabric.Access, AccessVLAN: 20},
			"e3": {Mode: fabric.Trunk, NativeVLAN: 20, TrunkVLANs: fabric.VLANSet{{10, 20}}},
			"e4": {Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{10, 10}, {30, 30}}},
			"e5": {Mode: fabric.Routed},
		},
	}))
	plain := frame(broadcast, fabric.MAC{2, 0, 0, 0, 0, 0xaa}, 0x88b5, []byte("payload"))
	type drops map[fabric.Drop]uint64
	tests := []struct {
		name  string
		from  int // host
		give  []byte
		want  [5][]byte // per host; nil is nothing
		drops drops
	}{
		{"access to trunk", 0, plain, [5][]byte{2: tagged(plain, 10), 3: tagged(plain, 10)}, drops{}},
		{"access to native", 1, plain, [5][]byte{2: plain}, drops{}},
		{"trunk to access", 2, tagged(plain, 10), [5][]byte{0: plain, 3: tagged(plain, 10)}, drops{}},
		{"priority stays", 2, tagged(plain, 5<<13|10), [5][]byte{0: plain, 3: tagged(plain, 5<<13|10)}, drops{}},
		{"native to access", 2, plain, [5][]byte{1: plain}, drops{}},
		{"native with tag", 2, tagged(plain, 20), [5][]byte{1: plain}, drops{}},
		{"priority tag on access", 0, tagged(plain, 3<<13), [5][]byte{2: tagged(plain, 3<<13|10), 3: tagged(plain, 3<<13|10)}, drops{}},
		{"inner tag is payload", 2, tagged(tagged(plain, 7), 10), [5][]byte{0: tagged(plain, 7), 3: tagged(tagged(plain, 7), 10)}, drops{}},
		{"tag on access", 0, tagged(plain, 10), [5][]byte{}, drops{fabric.DropVLAN: 1}},
		{"VLAN not on trunk", 3, tagged(plain, 20), [5][]byte{}, drops{fabric.DropVLAN: 1}},
		{"VLAN that does not exist", 3, tagged(plain, 30), [5][]byte{}, drops{fabric.DropVLAN: 1}},
		{"untagged without native", 3, plain, [5][]byte{}, drops{fabric.DropVLAN: 1}},
		{"routed", 4, plain, [5][]byte{}, drops{fabric.DropRouted: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			forget(hs...)
			port := fmt.Sprintf("e%d", tt.from+1)
			before, _ := sw.Counters(port)
			if err := hs[tt.from].Send("eth0", tt.give); err != nil {
				t.Fatal(err)
			}
			var have [5][]byte
			for i, h := range hs {
				for _, f := range got(h) {
					have[i] = append(have[i], f...)
				}
			}
			if d := cmp.Diff(tt.want, have); d != "" {
				t.Errorf("captured (-want +got):\n%s", d)
			}
			after, _ := sw.Counters(port)
			dropped := drops{}
			for why, c := range after.Drops {
				if c > before.Drops[why] {
					dropped[why] = c - before.Drops[why]
				}
			}
			if d := cmp.Diff(tt.drops, dropped); d != "" {
				t.Errorf("drops (-want +got):\n%s", d)
			}
		})
	}
}

func TestVLANsLearnApart(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 2)
	a, b := n.addHost("a", "sw", "e1"), n.addHost("b", "sw", "e2")
	trunk := fabric.PortConfig{Mode: fabric.Trunk, TrunkVLANs: fabric.AllVLANs()}
	n.must(sw.Configure(fabric.Config{
		VLANs: map[uint16]fabric.VLAN{10: {}, 20: {}},
		Ports: map[string]fabric.PortConfig{"e1": trunk, "e2": trunk},
	}))
	mac := fabric.MAC{2, 1, 1, 1, 1, 1}
	n.send(a, tagged(frame(broadcast, mac, 0x88b5, nil), 10))
	n.send(b, tagged(frame(broadcast, mac, 0x88b5, nil), 20))
	want := []fabric.MACEntry{{10, mac, "e1"}, {20, mac, "e2"}}
	if d := cmp.Diff(want, sw.MACs()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// lagPair is two switches joined by a LAG of three links, a host on each.
func lagPair(t *testing.T) (n network, sw [2]*fabric.Switch, a, b *fabric.Host, config fabric.Config) {
	n = newNetwork(t)
	config = fabric.Config{
		Ports: map[string]fabric.PortConfig{"e1": {LAG: "po1"}, "e2": {LAG: "po1"}, "e3": {LAG: "po1"}},
		LAGs:  map[string]fabric.PortConfig{"po1": {Mode: fabric.Access}},
	}
	for i := range sw {
		sw[i] = n.addSwitch(fmt.Sprintf("sw%d", i+1), 5)
		n.must(sw[i].Configure(config))
	}
	for i := range 3 {
		n.link("sw1", fmt.Sprintf("e%d", i+1), "sw2", fmt.Sprintf("e%d", i+1))
	}
	a, b = n.addHost("a", "sw1", "e4"), n.addHost("b", "sw2", "e4")
	learn(n, a, b)
	return n, sw, a, b, config
}

func TestLAG(t *testing.T) {
	n, sw, a, b, config := lagPair(t)
	send := func() {
		for i := range 64 { // 64 flows: source addresses of a bridge behind the host
			n.send(a, frame(b.MAC("eth0"), fabric.MAC{2, 0xcc, 0, 0, 0, byte(i)}, 0x88b5, nil))
		}
	}
	out := func() (frames [3]uint64) {
		for i := range frames {
			c, _ := sw[0].Counters(fmt.Sprintf("e%d", i+1))
			frames[i] = c.Out.Frames
		}
		return frames
	}
	base := out()
	send()
	if d := cmp.Diff([]int{64}, counts(b)); d != "" {
		t.Fatalf("frames over the LAG (-want +got):\n%s", d)
	}
	var used [3]uint64
	for i, o := range out() {
		used[i] = o - base[i]
	}
	if used[0] == 0 || used[1] == 0 || used[2] == 0 || used[0]+used[1]+used[2] != 64 {
		t.Errorf("64 flows over three links: %v", used)
	}
	base = out()
	send()
	for i, o := range out() {
		if o-base[i] != used[i] {
			t.Errorf("link %d: the same flows took %d then %d times", i+1, used[i], o-base[i])
		}
	}
	// A broadcast comes once and does not return by another link.
	forget(a, b)
	n.send(a, frame(broadcast, a.MAC("eth0"), 0x88b5, nil))
	if d := cmp.Diff([]int{0, 1}, counts(a, b)); d != "" {
		t.Errorf("broadcast over the LAG (-want +got):\n%s", d)
	}
	// One link down: all flows move to the others, nothing is relearned.
	config.Ports["e2"] = fabric.PortConfig{LAG: "po1", Shutdown: true}
	n.must(sw[1].Configure(config))
	forget(a, b)
	base = out()
	send()
	if d := cmp.Diff([]int{64}, counts(b)); d != "" {
		t.Errorf("with one link down (-want +got):\n%s", d)
	}
	if now := out(); now[1] != base[1] {
		t.Errorf("%d frames left by the link that is down", now[1]-base[1])
	}
	for _, e := range sw[1].MACs() {
		if e.MAC == a.MAC("eth0") && e.Port != "po1" {
			t.Errorf("address of a is at %s, not at the LAG", e.Port)
		}
	}
	// The LAG itself shut down.
	config.LAGs["po1"] = fabric.PortConfig{Mode: fabric.Access, Shutdown: true}
	n.must(sw[1].Configure(config))
	forget(a, b)
	send()
	if d := cmp.Diff([]int{0}, counts(b)); d != "" {
		t.Errorf("with the LAG shut down (-want +got):\n%s", d)
	}
}

func TestLinkDown(t *testing.T) {
	shut := fabric.Config{Ports: map[string]fabric.PortConfig{"e2": {Mode: fabric.Access, Shutdown: true}}}
	tests := []struct {
		name string
		down func(n network, sw *fabric.Switch) error
		up   func(n network, sw *fabric.Switch) error
	}{
		{"port shut",
			func(_ network, sw *fabric.Switch) error { return sw.Configure(shut) },
			func(_ network, sw *fabric.Switch) error { return sw.Configure(fabric.Config{}) }},
		{"cable cut",
			func(n network, _ *fabric.Switch) error { return n.SetLink(fabric.End{Node: "h2", Port: "eth0"}, false) },
			func(n network, _ *fabric.Switch) error { return n.SetLink(fabric.End{Node: "sw", Port: "e2"}, true) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, sw, hs := star(t, 3)
			status := func() bool { st, _ := sw.PortStatus("e2"); return st.Up }
			if !status() {
				t.Fatal("e2 is not up at first")
			}
			n.must(tt.down(n, sw))
			if status() {
				t.Error("e2 is up")
			}
			n.send(hs[0], between(hs[0], hs[1], "lost"))
			n.send(hs[1], between(hs[1], hs[0], "lost"))
			if d := cmp.Diff([]int{0, 0}, counts(hs[:2]...)); d != "" {
				t.Errorf("while down (-want +got):\n%s", d)
			}
			if c, _ := hs[1].Counters("eth0"); c.Drops[fabric.DropDown] != 1 {
				t.Errorf("h2 counts %v", c.Drops)
			}
			n.must(tt.up(n, sw))
			n.send(hs[1], between(hs[1], hs[0], "back"))
			if d := cmp.Diff([]int{1, 0}, counts(hs[:2]...)); d != "" {
				t.Errorf("up again (-want +got):\n%s", d)
			}
		})
	}
}

func TestLoss(t *testing.T) {
	n, sw, hs := star(t, 3)
	m := span("m", "e1", fabric.Rx, "e3")
	n.must(sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{m}}))
	e3 := fabric.End{Node: "sw", Port: "e3"}
	for _, tt := range []struct{ oneIn, copies int }{{3, 5}, {1, 0}, {0, 7}} { // of 7
		n.must(n.SetLoss(e3, tt.oneIn))
		forget(hs...)
		for range 7 {
			n.send(hs[0], between(hs[0], hs[1], "x"))
		}
		if d := cmp.Diff([]int{0, 7, tt.copies}, counts(hs...)); d != "" {
			t.Errorf("one in %d lost (-want +got):\n%s", tt.oneIn, d)
		}
	}
	if c, _ := sw.Counters("e3"); c.Drops[fabric.DropLoss] != 2+7 || c.Out.Frames != 3*7+2 {
		t.Errorf("e3 counts %+v, want 9 of 23 frames lost", c)
	}
	if c, _ := sw.MirrorCounters("m"); c != (fabric.MirrorCounters{Matched: 21, Copied: 21}) {
		t.Errorf("the switch noticed: %+v", c)
	}
	if err := n.SetLoss(e3, -1); err == nil {
		t.Error("loss of one in -1 was accepted")
	}
}

func TestMTU(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 3)
	h1, h2 := n.addHost("h1", "sw", "e1"), n.addHost("h2", "sw", "e2")
	small, err := n.AddHost("small")
	n.must(err)
	n.must(small.AddPort("eth0"))
	n.must(n.Connect(fabric.Link{A: fabric.End{Node: "sw", Port: "e3"}, B: fabric.End{Node: "small", Port: "eth0"}, MTU: 1500}))
	fits := frame(broadcast, h1.MAC("eth0"), 0x88b5, make([]byte, 1500))
	n.send(h1, fits, append(fits, 0))
	if d := cmp.Diff([]int{2, 1}, counts(h2, small)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c, _ := sw.Counters("e3"); c.Drops[fabric.DropMTU] != 1 || c.Out.Frames != 1 {
		t.Errorf("e3 counts %+v", c)
	}
	// Tags are not part of the payload.
	trunk := fabric.PortConfig{Mode: fabric.Trunk, TrunkVLANs: fabric.AllVLANs()}
	n.must(sw.Configure(fabric.Config{Ports: map[string]fabric.PortConfig{"e1": trunk, "e2": trunk, "e3": trunk}}))
	forget(small)
	n.send(h1, tagged(fits, 1))
	if d := cmp.Diff([]int{1}, counts(small)); d != "" {
		t.Errorf("with a tag (-want +got):\n%s", d)
	}
}

// TestLoopsEnd floods through a full mesh of six switches: 15 cables, no tree.
func TestLoopsEnd(t *testing.T) {
	n := newNetwork(t)
	const size = 6
	sws := make([]*fabric.Switch, size)
	hs := make([]*fabric.Host, size)
	for i := range size {
		sws[i] = n.addSwitch(fmt.Sprintf("sw%d", i), size)
	}
	for i := range size {
		for j := i + 1; j < size; j++ {
			n.link(sws[i].Name(), fmt.Sprintf("e%d", j), sws[j].Name(), fmt.Sprintf("e%d", i+1))
		}
	}
	for i := range size {
		n.must(sws[i].AddPort("host"))
		hs[i] = n.addHost(fmt.Sprintf("h%d", i), sws[i].Name(), "host")
	}
	n.send(hs[0], frame(broadcast, hs[0].MAC("eth0"), 0x88b5, nil))
	if d := cmp.Diff([]int{0, 1, 1, 1, 1, 1}, counts(hs...)); d != "" {
		t.Errorf("a broadcast reaches each host once (-want +got):\n%s", d)
	}
	loops := uint64(0)
	for _, sw := range sws {
		for _, p := range sw.Ports() {
			c, _ := sw.Counters(p)
			loops += c.Drops[fabric.DropLoop]
		}
	}
	// Each of the five others sends to the four that have the frame already; the
	// port it came by is left out.
	if loops != 5*4 {
		t.Errorf("%d loop drops, want 20", loops)
	}
	for _, sw := range sws[1:] {
		if e := sw.MACs(); len(e) != 1 || e[0].Port != "e1" {
			t.Errorf("%s learned %v, want sw0's host on e1, its direct link", sw.Name(), e)
		}
	}
}

// TestPatchCable joins two VLANs of one switch by a cable between two of its ports:
// the frame may pass the switch twice, once in each VLAN.
func TestPatchCable(t *testing.T) {
	n := newNetwork(t)
	sw := n.addSwitch("sw", 4)
	a, b := n.addHost("a", "sw", "e1"), n.addHost("b", "sw", "e4")
	n.link("sw", "e2", "sw", "e3")
	n.must(sw.Configure(fabric.Config{
		VLANs: map[uint16]fabric.VLAN{10: {}, 20: {}},
		Ports: map[string]fabric.PortConfig{
			"e1": {Mode: fabric.Access, AccessVLAN: 10}, "e2": {Mode: fabric.Access, AccessVLAN: 10},
			"e3": {Mode: fabric.Access, AccessVLAN: 20}, "e4": {Mode: fabric.Access, AccessVLAN: 20},
		},
	}))
	n.send(a, between(a, b, "through the cable"))
	if d := cmp.Diff([]int{0, 1}, counts(a, b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCaptureIsACopy(t *testing.T) {
	n, _, hs := star(t, 2)
	give := between(hs[0], hs[1], "payload")
	n.send(hs[0], give, give)
	give[14] = 'X'
	hs[1].Captured("eth0")[0].Frame[15] = 'X'
	if have := string(hs[1].Captured("eth0")[0].Frame[14:]); have != "payload" {
		t.Errorf("captured %q", have)
	}
	taken := hs[1].TakeCaptured("eth0")
	if len(taken) != 2 || string(taken[1].Frame[14:]) != "payload" || len(hs[1].Captured("eth0")) != 0 {
		t.Errorf("took %v, left %v", taken, hs[1].Captured("eth0"))
	}
}

func TestRefusedBuilding(t *testing.T) {
	n, sw, hs := star(t, 2)
	e := func(node, port string) fabric.End { return fabric.End{Node: node, Port: port} }
	_, second := n.AddSwitch("h1")
	_, unnamed := n.AddHost("")
	n.must(sw.AddPort("free1"))
	n.must(sw.AddPort("free2"))
	tests := []struct {
		name string
		give error
		want string
	}{
		{"node twice", second, `node "h1" exists already`},
		{"no name", unnamed, "needs a name"},
		{"port twice", sw.AddPort("e1"), "sw:e1 exists already"},
		{"host port twice", hs[0].AddPort("eth0"), "h1:eth0 exists already"},
		{"busy", n.Connect(fabric.Link{A: e("sw", "e1"), B: e("sw", "free1")}), "sw:e1 is linked to h1:eth0"},
		{"to itself", n.Connect(fabric.Link{A: e("sw", "free1"), B: e("sw", "free1")}), "to itself"},
		{"no node", n.Connect(fabric.Link{A: e("nope", "e1"), B: e("sw", "free1")}), `no node "nope"`},
		{"no port", n.Connect(fabric.Link{A: e("sw", "nope"), B: e("sw", "free1")}), `no port "nope"`},
		{"MTU", n.Connect(fabric.Link{A: e("sw", "free1"), B: e("sw", "free2"), MTU: 1 << 20}), "MTU 1048576"},
		{"cut what is not there", n.SetLink(e("sw", "free1"), false), "has no link"},
		{"send by no port", hs[0].Send("eth9", make([]byte, 60)), `no port "eth9"`},
		{"send a stump", hs[0].Send("eth0", make([]byte, 13)), "13 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.give == nil || !strings.Contains(tt.give.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", tt.give, tt.want)
			}
		})
	}
}
