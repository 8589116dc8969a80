package fabric

import (
	"errors"
	"net/netip"
)

// DefaultMTU is the MTU of a link that names none, in bytes of Ethernet payload.
const DefaultMTU = 9214

// Fabric holds nodes and the links between them. The zero value is not usable;
// see [New]. All its methods, and those of its nodes, may be called from several
// goroutines.
type Fabric struct{}

// End is a port of a node.
type End struct{ Node, Port string }

// Link is a cable.
type Link struct {
	A, B End
	// MTU in bytes of Ethernet payload: the frame without addresses, 802.1Q tags
	// and type. Longer frames are dropped and counted by the sender. 0 = DefaultMTU.
	MTU int
}

// New returns an empty fabric.
func New() *Fabric { return &Fabric{} }

var errNotYet = errors.New("not written yet")

// AddSwitch adds a switch without ports. Names are unique among all nodes.
func (f *Fabric) AddSwitch(name string) (*Switch, error) { return nil, errNotYet }

// AddHost adds a host without ports. Names are unique among all nodes.
func (f *Fabric) AddHost(name string) (*Host, error) { return nil, errNotYet }

// Connect adds a link. Both ports must exist and be free, and differ.
func (f *Fabric) Connect(l Link) error { return errNotYet }

// SetLink cuts (up false) or mends the cable at e.
func (f *Fabric) SetLink(e End, up bool) error { return errNotYet }

// Switch returns the switch of that name, nil if there is none.
func (f *Fabric) Switch(name string) *Switch { return nil }

// Host returns the host of that name, nil if there is none.
func (f *Fabric) Host(name string) *Host { return nil }

// Nodes returns the names of all nodes in the order of their making.
func (f *Fabric) Nodes() []string { return nil }

// Links returns all links in the order of their making.
func (f *Fabric) Links() []Link { return nil }

// Switch is a bridge with ports.
type Switch struct{}

// PortStatus is what a port knows of itself.
type PortStatus struct {
	MAC  MAC
	Up   bool // neither end is shut and the cable is whole; always false without a cable
	Peer End  // the far end of the cable; zero without a cable
	// MirrorDestination: an active mirror has claimed the port.
	MirrorDestination bool
}

// MACEntry is a learned address.
type MACEntry struct {
	VLAN uint16
	MAC  MAC
	Port string // port or LAG
}

// Traffic counts frames and their bytes, without preamble and check sequence.
type Traffic struct{ Frames, Bytes uint64 }

// Drop is why a frame was not forwarded.
type Drop string

// Reasons for drops, and where they are counted.
const (
	DropMalformed         Drop = "malformed"          // in: shorter than an Ethernet header
	DropVLAN              Drop = "vlan"               // in: the port does not carry the frame's VLAN
	DropRouted            Drop = "routed"             // in: a routed port bridges nothing
	DropMirrorDestination Drop = "mirror-destination" // in: the port carries copies only
	DropLoop              Drop = "loop"               // in: the switch has forwarded this frame in this VLAN already
	DropDown              Drop = "down"               // out: the port is down
	DropMTU               Drop = "mtu"                // out: longer than the link's MTU
	DropTTL               Drop = "ttl"                // in: a tunnel packet ran out of hops
	DropCaptureFull       Drop = "capture-full"       // in, hosts: counted but not kept
)

// Counters of a port.
type Counters struct {
	In, Out Traffic // what passed the wire, dropped afterwards or not
	Drops   map[Drop]uint64
}

// MirrorCounters of a mirror. They start anew when its definition changes.
type MirrorCounters struct {
	Matched uint64 // frames that passed the filter
	Copied  uint64 // copies sent, one per destination
	Dropped uint64 // copies that could not be sent: destination down, absent or without a way, or over the MTU
}

// Name returns the switch's name.
func (s *Switch) Name() string { return "" }

// AddPort adds a port, an access port of VLAN 1 until Configure says otherwise.
func (s *Switch) AddPort(name string) error { return errNotYet }

// Ports returns the names of the ports in the order of their making.
func (s *Switch) Ports() []string { return nil }

// Configure replaces the whole forwarding state. It is checked first: with an
// error nothing has changed. Learned addresses stay where neither port nor VLAN
// changed, counters of mirrors where the mirror did not change.
func (s *Switch) Configure(c Config) error { return errNotYet }

// Config returns a copy of what Configure was given last.
func (s *Switch) Config() Config { return Config{} }

// PortStatus returns the state of a port; ok is false for an unknown one.
func (s *Switch) PortStatus(port string) (st PortStatus, ok bool) { return PortStatus{}, false }

// MACs returns the learned addresses, sorted by VLAN and address.
func (s *Switch) MACs() []MACEntry { return nil }

// ClearMACs forgets all learned addresses.
func (s *Switch) ClearMACs() {}

// Counters returns the counters of a port; ok is false for an unknown one.
func (s *Switch) Counters(port string) (c Counters, ok bool) { return Counters{}, false }

// MirrorCounters returns the counters of a mirror; ok is false for an unknown one.
func (s *Switch) MirrorCounters(name string) (c MirrorCounters, ok bool) {
	return MirrorCounters{}, false
}

// Host sends frames and keeps what it receives.
type Host struct{}

// Capture is a received frame. Seq counts deliveries in the whole fabric, from 1.
type Capture struct {
	Seq   uint64
	Frame []byte
}

// Name returns the host's name.
func (h *Host) Name() string { return "" }

// AddPort adds a port with its addresses, to which tunnels may lead. An address
// belongs to one port of the fabric.
func (h *Host) AddPort(name string, addrs ...netip.Prefix) error { return errNotYet }

// Ports returns the names of the ports in the order of their making.
func (h *Host) Ports() []string { return nil }

// MAC returns the Ethernet address of a port, zero for an unknown one.
func (h *Host) MAC(port string) MAC { return MAC{} }

// Addresses returns the addresses of a port.
func (h *Host) Addresses(port string) []netip.Prefix { return nil }

// Send puts a frame on the wire: Ethernet from the destination address on, without
// preamble and check sequence. When it returns, the frame and all its copies have
// reached their ends. A link that is down or too small is a counted drop, not an
// error; an unknown port or one without a cable is an error.
func (h *Host) Send(port string, frame []byte) error { return errNotYet }

// Captured returns copies of the frames received on a port, in order.
func (h *Host) Captured(port string) []Capture { return nil }

// ResetCapture forgets the frames received on all ports.
func (h *Host) ResetCapture() {}

// Counters returns the counters of a port; ok is false for an unknown one.
func (h *Host) Counters(port string) (c Counters, ok bool) { return Counters{}, false }
