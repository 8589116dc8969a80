package fabric_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// network is a fabric under test. Hosts have one port, "eth0".
type network struct {
	t testing.TB
	*fabric.Fabric
}

func newNetwork(t testing.TB) network { return network{t, fabric.New()} }

func (n network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// addSwitch adds a switch with ports "e1" to "eN".
func (n network) addSwitch(name string, ports int) *fabric.Switch {
	n.t.Helper()
	sw, err := n.AddSwitch(name)
	n.must(err)
	for i := range ports {
		n.must(sw.AddPort(fmt.Sprintf("e%d", i+1)))
	}
	return sw
}

// addHost adds a host and links it to a port.
func (n network) addHost(name, node, port string, addrs ...string) *fabric.Host {
	n.t.Helper()
	h, err := n.AddHost(name)
	n.must(err)
	var prefixes []netip.Prefix
	for _, a := range addrs {
		prefixes = append(prefixes, netip.MustParsePrefix(a))
	}
	n.must(h.AddPort("eth0", prefixes...))
	n.link(name, "eth0", node, port)
	return h
}

func (n network) link(aNode, aPort, bNode, bPort string) {
	n.t.Helper()
	n.must(n.Connect(fabric.Link{A: fabric.End{Node: aNode, Port: aPort}, B: fabric.End{Node: bNode, Port: bPort}}))
}

func (n network) send(from *fabric.Host, frames ...[]byte) {
	n.t.Helper()
	for _, f := range frames {
		n.must(from.Send("eth0", f))
	}
}

// star is a switch "sw" with hosts "h1" to "hN" on "e1" to "eN", which the switch
// has learned.
func star(t testing.TB, hosts int) (network, *fabric.Switch, []*fabric.Host) {
	t.Helper()
	n := newNetwork(t)
	sw := n.addSwitch("sw", hosts)
	hs := make([]*fabric.Host, hosts)
	for i := range hosts {
		hs[i] = n.addHost(fmt.Sprintf("h%d", i+1), "sw", fmt.Sprintf("e%d", i+1))
	}
	learn(n, hs...)
	return n, sw, hs
}

// learn makes all switches learn all hosts, with frames without a tag, and forgets
// the frames.
func learn(n network, hs ...*fabric.Host) {
	n.t.Helper()
	for _, h := range hs {
		n.send(h, frame(broadcast, h.MAC("eth0"), 0x88b5, nil))
	}
	forget(hs...)
}

func forget(hs ...*fabric.Host) {
	for _, h := range hs {
		h.ResetCapture()
	}
}

var broadcast = fabric.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func frame(dst, src fabric.MAC, etherType uint16, payload []byte) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// tagged returns f with an 802.1Q tag.
func tagged(f []byte, tci uint16) []byte {
	b := append([]byte{}, f[:12]...)
	b = binary.BigEndian.AppendUint16(b, 0x8100)
	b = binary.BigEndian.AppendUint16(b, tci)
	return append(b, f[12:]...)
}

// between returns a frame from one host to another with a marker as payload.
func between(from, to *fabric.Host, marker string) []byte {
	return frame(to.MAC("eth0"), from.MAC("eth0"), 0x88b5, []byte(marker))
}

// got returns the frames captured by a host.
func got(h *fabric.Host) [][]byte {
	var out [][]byte
	for _, c := range h.Captured("eth0") {
		out = append(out, c.Frame)
	}
	return out
}

// counts returns how many frames each host captured.
func counts(hs ...*fabric.Host) []int {
	out := make([]int, len(hs))
	for i, h := range hs {
		out[i] = len(h.Captured("eth0"))
	}
	return out
}

// span is a mirror from one port to others.
func span(name, source string, dir fabric.Direction, destinations ...string) fabric.Mirror {
	m := fabric.Mirror{Name: name, Sources: []fabric.MirrorSource{{Kind: fabric.SourcePort, Name: source, Direction: dir}}}
	for _, d := range destinations {
		m.Destinations = append(m.Destinations, fabric.MirrorDestination{Kind: fabric.DestinationPort, Name: d})
	}
	return m
}
