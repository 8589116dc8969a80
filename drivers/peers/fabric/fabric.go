package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// DefaultMTU is the MTU of a link that names none, in bytes of Ethernet payload.
// It is the size of common jumbo frames, so that only links that ask for less
// drop anything.
const DefaultMTU = 9214

// maxMTU keeps the length of a tunnel packet within the fields of its headers.
const maxMTU = 65535

// Fabric holds nodes and the links between them. The zero value is not usable;
// see [New]. All its methods, and those of its nodes, may be called from several
// goroutines.
type Fabric struct {
	mu    sync.Mutex // over everything below and in all nodes: one frame at a time
	nodes []*node
	names map[string]*node
	links []Link
	// owners are the host ports by address.
	owners map[netip.Addr]*port
	// topology counts changes of links and of ports' states; routes are valid for one value.
	topology uint64

	frames     uint64 // identities of frames given out so far
	deliveries uint64 // frames captured so far
	queue      []arrival
	forwarded  map[visit]struct{} // during one Send: what has been forwarded where
	failed     error              // of a data plane, since Send has last told
}

// End is a port of a node.
type End struct{ Node, Port string }

// String returns "node:port".
func (e End) String() string { return e.Node + ":" + e.Port }

// Link is a cable.
type Link struct {
	A, B End
	// MTU in bytes of Ethernet payload: the frame without addresses, 802.1Q tags
	// and type. Longer frames are dropped and counted by the sender. 0 = DefaultMTU.
	MTU int
}

// node is what switches and hosts have in common. One of sw and host is set.
type node struct {
	f     *Fabric
	name  string
	index int
	ports []*port
	named map[string]*port
	sw    *Switch
	host  *Host
}

// port is one end of at most one cable.
type port struct {
	node  *node
	name  string
	mac   MAC
	peer  *port // nil without a cable
	mtu   int
	cut   bool // the cable is cut; the same at both ends
	loss  int  // one frame in so many is lost on the way from here; 0 none
	since int  // frames sent since the last one was lost
	shut  bool
	in    Traffic
	out   Traffic
	drops map[Drop]uint64

	// Ports of switches, from the configuration in force.
	iface       *iface
	rx, tx      []tap
	destination bool

	// Ports of hosts.
	addrs    []netip.Prefix
	captured []Capture
}

// New returns an empty fabric.
func New() *Fabric {
	return &Fabric{
		names:     map[string]*node{},
		owners:    map[netip.Addr]*port{},
		forwarded: map[visit]struct{}{},
	}
}

// AddSwitch adds a switch without ports. Names are unique among all nodes.
func (f *Fabric) AddSwitch(name string) (*Switch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.addNode(name)
	if err != nil {
		return nil, err
	}
	n.sw = &Switch{node: n, macs: map[macKey]*iface{}}
	n.sw.plane = n.sw.compile(Config{}, nil)
	return n.sw, nil
}

// AddHost adds a host without ports. Names are unique among all nodes.
func (f *Fabric) AddHost(name string) (*Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.addNode(name)
	if err != nil {
		return nil, err
	}
	n.host = &Host{node: n}
	return n.host, nil
}

func (f *Fabric) addNode(name string) (*node, error) {
	if name == "" {
		return nil, errors.New("a node needs a name")
	}
	if f.names[name] != nil {
		return nil, fmt.Errorf("node %q exists already", name)
	}
	n := &node{f: f, name: name, index: len(f.nodes), named: map[string]*port{}}
	f.nodes = append(f.nodes, n)
	f.names[name] = n
	return n, nil
}

func (n *node) addPort(name string) (*port, error) {
	if name == "" {
		return nil, fmt.Errorf("%s: a port needs a name", n.name)
	}
	if n.named[name] != nil {
		return nil, fmt.Errorf("%s exists already", End{n.name, name})
	}
	// Locally administered, unique for 2^24 nodes of 2^16 ports.
	node, index := n.index, len(n.ports)
	p := &port{
		node: n, name: name, drops: map[Drop]uint64{},
		mac: MAC{0x02, byte(node >> 16), byte(node >> 8), byte(node), byte(index >> 8), byte(index)},
	}
	n.ports = append(n.ports, p)
	n.named[name] = p
	return p, nil
}

func (n *node) portNames() []string {
	names := make([]string, len(n.ports))
	for i, p := range n.ports {
		names[i] = p.name
	}
	return names
}

func (f *Fabric) port(e End) (*port, error) {
	n := f.names[e.Node]
	if n == nil {
		return nil, fmt.Errorf("no node %q", e.Node)
	}
	p := n.named[e.Port]
	if p == nil {
		return nil, fmt.Errorf("node %q has no port %q", e.Node, e.Port)
	}
	return p, nil
}

// Connect adds a link. Both ports must exist and be free, and differ.
func (f *Fabric) Connect(l Link) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, errA := f.port(l.A)
	b, errB := f.port(l.B)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if a == b {
		return fmt.Errorf("%s cannot be linked to itself", l.A)
	}
	for _, p := range []*port{a, b} {
		if p.peer != nil {
			return fmt.Errorf("%s is linked to %s already", p.end(), p.peer.end())
		}
	}
	if l.MTU < 0 || l.MTU > maxMTU {
		return fmt.Errorf("link %s to %s: MTU %d is not from 1 to %d", l.A, l.B, l.MTU, maxMTU)
	}
	if l.MTU == 0 {
		l.MTU = DefaultMTU
	}
	a.peer, b.peer = b, a
	a.mtu, b.mtu = l.MTU, l.MTU
	f.links = append(f.links, l)
	f.topology++
	return nil
}

// SetLink cuts (up false) or mends the cable at e.
func (f *Fabric) SetLink(e End, up bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.port(e)
	if err != nil {
		return err
	}
	if p.peer == nil {
		return fmt.Errorf("%s has no link", e)
	}
	p.cut, p.peer.cut = !up, !up
	f.topology++
	return nil
}

// SetLoss makes the cable at e bad: in each direction one frame in oneIn is lost,
// unnoticed by the sending node but for [DropLoss]. 0 makes it good again, 1 loses
// all.
func (f *Fabric) SetLoss(e End, oneIn int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.port(e)
	if err != nil {
		return err
	}
	if p.peer == nil {
		return fmt.Errorf("%s has no link", e)
	}
	if oneIn < 0 {
		return fmt.Errorf("%s: one frame in %d cannot be lost", e, oneIn)
	}
	for _, end := range []*port{p, p.peer} {
		end.loss, end.since = oneIn, 0
	}
	return nil
}

// Switch returns the switch of that name, nil if there is none.
func (f *Fabric) Switch(name string) *Switch {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		return n.sw
	}
	return nil
}

// Host returns the host of that name, nil if there is none.
func (f *Fabric) Host(name string) *Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		return n.host
	}
	return nil
}

// Nodes returns the names of all nodes in the order of their making.
func (f *Fabric) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, len(f.nodes))
	for i, n := range f.nodes {
		names[i] = n.name
	}
	return names
}

// Links returns all links in the order of their making, with their real MTU.
func (f *Fabric) Links() []Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.links)
}

func (p *port) end() End { return End{p.node.name, p.name} }

func (p *port) up() bool { return p.peer != nil && !p.cut && !p.shut && !p.peer.shut }

// loses counts a frame that has left p and reports whether it is lost.
func (p *port) loses() bool {
	if p.loss == 0 {
		return false
	}
	if p.since++; p.since < p.loss {
		return false
	}
	p.since = 0
	p.drop(DropLoss)
	return true
}

// fail keeps the first error of a data plane until the next Send tells it.
func (f *Fabric) fail(err error) {
	if f.failed == nil {
		f.failed = err
	}
}

func (p *port) drop(why Drop) { p.drops[why]++ }

func (t *Traffic) count(frame []byte) {
	t.Frames++
	t.Bytes += uint64(len(frame))
}
