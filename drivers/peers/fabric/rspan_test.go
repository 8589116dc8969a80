package fabric_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// chain is three switches in a row, trunks between (e1 to the left, e2 to the
// right), hosts on e3 and e4 of the outer two, VLAN 10 for hosts and VLAN 900 for
// RSPAN.
func chain(t *testing.T) (n network, sw [3]*fabric.Switch, config fabric.Config, src, other, probe, far *fabric.Host) {
	n = newNetwork(t)
	trunk := fabric.PortConfig{Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{10, 10}, {900, 900}}}
	access := fabric.PortConfig{Mode: fabric.Access, AccessVLAN: 10}
	config = fabric.Config{
		VLANs: map[uint16]fabric.VLAN{10: {}, 900: {RemoteSPAN: true}},
		Ports: map[string]fabric.PortConfig{"e1": trunk, "e2": trunk, "e3": access, "e4": access},
	}
	for i := range sw {
		sw[i] = n.addSwitch(fmt.Sprintf("sw%d", i+1), 5)
		n.must(sw[i].Configure(config))
	}
	n.link("sw1", "e2", "sw2", "e1")
	n.link("sw2", "e2", "sw3", "e1")
	src, other = n.addHost("src", "sw1", "e3"), n.addHost("other", "sw1", "e4")
	probe, far = n.addHost("probe", "sw3", "e3"), n.addHost("far", "sw3", "e4")
	learn(n, src, other, probe, far)
	return n, sw, config, src, other, probe, far
}

func rspanSource(inner bool) fabric.Mirror {
	return fabric.Mirror{
		Name:         "to-900",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourcePort, Name: "e3", Direction: fabric.Both}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationRSPAN, VLAN: 900, InnerTag: inner}},
	}
}

func rspanDestination(port string) fabric.Mirror {
	return fabric.Mirror{
		Name:         "from-900",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourceRSPAN, VLAN: 900}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationPort, Name: port}},
	}
}

func (n network) configure(sw *fabric.Switch, c fabric.Config, mirrors ...fabric.Mirror) {
	n.t.Helper()
	c.Mirrors = mirrors
	n.must(sw.Configure(c))
}

func TestRSPAN(t *testing.T) {
	n, sw, config, src, other, probe, far := chain(t)
	n.configure(sw[0], config, rspanSource(false))
	n.configure(sw[2], config, rspanDestination("e3"))
	macs := sw[1].MACs()

	there, back := between(src, other, "there"), between(other, src, "back")
	crossing := between(src, far, "crossing")
	n.send(src, there)
	n.send(other, back)
	n.send(src, crossing)
	if d := cmp.Diff([][]byte{there, back, crossing}, got(probe)); d != "" {
		t.Errorf("copies at the far switch (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{1, 1, 1}, counts(src, other, far)); d != "" {
		t.Errorf("traffic (-want +got):\n%s", d)
	}
	if d := cmp.Diff(macs, sw[1].MACs()); d != "" {
		t.Errorf("the transit switch learned from copies (-want +got):\n%s", d)
	}

	// A destination session on the source switch, too: both get all copies.
	sensor := n.addHost("sensor", "sw1", "e5")
	n.configure(sw[0], config, rspanSource(false), rspanDestination("e5"))
	forget(probe)
	n.send(src, there)
	if d := cmp.Diff([]int{1, 1}, counts(probe, sensor)); d != "" {
		t.Errorf("two destination sessions (-want +got):\n%s", d)
	}
}

// TestRSPANPath breaks one thing on the way at a time.
func TestRSPANPath(t *testing.T) {
	plain := func(c fabric.Config) fabric.Config { // VLAN 900 exists, but not for RSPAN
		c.VLANs = map[uint16]fabric.VLAN{10: {}, 900: {}}
		return c
	}
	without := func(c fabric.Config) fabric.Config {
		c.VLANs = map[uint16]fabric.VLAN{10: {}}
		return c
	}
	pruned := func(c fabric.Config) fabric.Config {
		trunk := fabric.PortConfig{Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{10, 10}}}
		c.Ports = map[string]fabric.PortConfig{"e1": trunk, "e2": trunk, "e3": c.Ports["e3"], "e4": c.Ports["e4"]}
		return c
	}
	asIs := func(c fabric.Config) fabric.Config { return c }
	tests := []struct {
		name   string
		edit   [3]func(fabric.Config) fabric.Config
		frames [2]int // captured by the probe of src's unicast to other, and back
		left   fabric.MirrorCounters
	}{
		{"whole", [3]func(fabric.Config) fabric.Config{asIs, asIs, asIs}, [2]int{1, 1}, fabric.MirrorCounters{Matched: 2, Copied: 2}},
		{"no VLAN at the source", [3]func(fabric.Config) fabric.Config{without, asIs, asIs}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Dropped: 2}},
		{"no RSPAN VLAN at the source", [3]func(fabric.Config) fabric.Config{plain, asIs, asIs}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Dropped: 2}},
		{"not on the trunk at the source", [3]func(fabric.Config) fabric.Config{pruned, asIs, asIs}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Dropped: 2}},
		{"no VLAN in transit", [3]func(fabric.Config) fabric.Config{asIs, without, asIs}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Copied: 2}},
		{"not on the trunk in transit", [3]func(fabric.Config) fabric.Config{asIs, pruned, asIs}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Copied: 2}},
		// An ordinary VLAN in transit learns both hosts from the copies, on the port
		// towards the source: the first copy is flooded, the second filtered.
		{"learning in transit", [3]func(fabric.Config) fabric.Config{asIs, plain, asIs}, [2]int{1, 0}, fabric.MirrorCounters{Matched: 2, Copied: 2}},
		{"no VLAN at the end", [3]func(fabric.Config) fabric.Config{asIs, asIs, without}, [2]int{0, 0}, fabric.MirrorCounters{Matched: 2, Copied: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, sw, config, src, other, probe, _ := chain(t)
			n.configure(sw[0], tt.edit[0](config), rspanSource(false))
			n.configure(sw[1], tt.edit[1](config))
			n.configure(sw[2], tt.edit[2](config), rspanDestination("e3"))
			n.send(src, between(src, other, "there"))
			first := len(got(probe))
			n.send(other, between(other, src, "back"))
			if d := cmp.Diff(tt.frames, [2]int{first, len(got(probe)) - first}); d != "" {
				t.Errorf("at the probe (-want +got):\n%s", d)
			}
			c, _ := sw[0].MirrorCounters("to-900")
			if d := cmp.Diff(tt.left, c); d != "" {
				t.Errorf("at the source (-want +got):\n%s", d)
			}
		})
	}
}

// TestRSPANOnTheWire looks at the trunk itself: a host in the place of the second
// switch.
func TestRSPANOnTheWire(t *testing.T) {
	plain := frame(broadcast, fabric.MAC{2, 1, 1, 1, 1, 1}, 0x88b5, []byte("payload"))
	tests := []struct {
		name   string
		inner  bool
		source string
		from   string
		give   []byte
		want   []byte
	}{
		{"untagged", false, "e3", "a", plain, tagged(plain, 900)},
		{"tag replaced, priority kept", false, "e2", "b", tagged(plain, 4<<13|10), tagged(plain, 4<<13|900)},
		{"tag kept inside", true, "e2", "b", tagged(plain, 4<<13|10), tagged(tagged(plain, 4<<13|10), 4<<13|900)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(t)
			sw := n.addSwitch("sw", 4)
			wire := n.addHost("wire", "sw", "e1")
			hs := map[string]*fabric.Host{"a": n.addHost("a", "sw", "e3"), "b": n.addHost("b", "sw", "e2")}
			inactive := n.addHost("inactive", "sw", "e4")
			m := rspanSource(tt.inner)
			m.Sources[0].Name, m.Sources[0].Direction = tt.source, fabric.Rx
			n.configure(sw, fabric.Config{
				VLANs: map[uint16]fabric.VLAN{10: {}, 900: {RemoteSPAN: true}},
				Ports: map[string]fabric.PortConfig{
					"e1": {Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{900, 900}}},
					"e2": {Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{10, 10}}},
					"e3": {Mode: fabric.Access, AccessVLAN: 10},
					"e4": {Mode: fabric.Access, AccessVLAN: 900},
				}}, m)
			n.send(hs[tt.from], tt.give)
			if d := cmp.Diff([][]byte{tt.want}, got(wire)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			n.send(inactive, plain)
			if d := cmp.Diff([]int{1, 0}, counts(wire, inactive)); d != "" {
				t.Errorf("an access port in an RSPAN VLAN (-want +got):\n%s", d)
			}
		})
	}
}

func TestRSPANInARing(t *testing.T) {
	n, sw, config, src, other, probe, _ := chain(t)
	n.link("sw3", "e2", "sw1", "e1")
	n.configure(sw[0], config, rspanSource(false))
	n.configure(sw[2], config, rspanDestination("e3"))
	n.send(src, between(src, other, "x"))
	if d := cmp.Diff([]int{1}, counts(probe)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
