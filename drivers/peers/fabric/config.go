package fabric

import "net/netip"

// Config is the whole forwarding state of a switch. [Switch.Configure] takes it
// as one piece; there is no other way to change a switch.
type Config struct {
	// Ports by name. A port of the switch that is absent here is an enabled access
	// port of VLAN 1. A name that the switch does not have is refused.
	Ports map[string]PortConfig
	// LAGs by name: how the bundle switches. Its members are the ports whose
	// PortConfig.LAG names it; there may be none. A LAG may not have a port's name.
	LAGs map[string]PortConfig
	// VLANs that exist, 1 to 4094. VLAN 1 exists always. Frames of a VLAN that does
	// not exist are dropped.
	VLANs map[uint16]VLAN
	// Mirrors in the order of their definition; names are unique.
	Mirrors []Mirror
	Limits  Limits
}

// Mode says how a port treats frames.
type Mode uint8

// Modes of a port.
const (
	ModeUnset Mode = iota // refused, except for a member of a LAG, which has the mode of its LAG
	Access                // one VLAN, untagged on the wire
	Trunk                 // several VLANs, tagged; at most one of them untagged
	Routed                // bridges nothing: frames that arrive are counted and dropped
)

// PortConfig is how a port or a LAG behaves.
type PortConfig struct {
	Shutdown bool // down: neither sends nor receives, and the link is down at the far end too
	Mode     Mode
	// AccessVLAN is the VLAN of an access port; 0 means 1.
	AccessVLAN uint16
	// NativeVLAN is the VLAN of untagged frames on a trunk, if the trunk carries it;
	// 0 means that untagged frames are dropped.
	NativeVLAN uint16
	// TrunkVLANs are the VLANs that a trunk carries; nil is none, see [AllVLANs].
	TrunkVLANs VLANSet
	// LAG makes the port a member of this LAG: only Shutdown of its own
	// configuration counts then. Must be empty in Config.LAGs.
	LAG string
}

// VLAN is a VLAN of a switch.
type VLAN struct {
	// RemoteSPAN makes it an RSPAN VLAN: nothing is learned in it, everything in it
	// is flooded to the trunks that carry it, and its access ports are inactive.
	RemoteSPAN bool
}

// VLANRange is From to To, both included.
type VLANRange struct{ From, To uint16 }

// VLANSet is a set of VLAN numbers, as ranges in any order. nil is empty.
type VLANSet []VLANRange

// AllVLANs returns the set 1 to 4094.
func AllVLANs() VLANSet { return VLANSet{{1, 4094}} }

// Contains reports whether v is in the set.
func (s VLANSet) Contains(v uint16) bool {
	for _, r := range s {
		if r.From <= v && v <= r.To {
			return true
		}
	}
	return false
}

// Limits are refused by [Switch.Configure] when exceeded; 0 is no limit.
type Limits struct {
	Mirrors               int // not counting mirrors that are shut down
	SourcesPerMirror      int
	DestinationsPerMirror int
}

// Direction is seen from the mirrored port of the switch.
type Direction uint8

// Directions of a mirror source.
const (
	DirectionUnset Direction = iota // refused, except for an RSPAN source
	Rx                              // frames the switch receives there
	Tx                              // frames the switch sends there
	Both
)

// String returns "rx", "tx", "both" or "unset".
func (d Direction) String() string {
	switch d {
	case Rx:
		return "rx"
	case Tx:
		return "tx"
	case Both:
		return "both"
	default:
		return "unset"
	}
}

// Mirror is one mirror session.
//
// A frame is first matched by the filter, then sampled, then stripped, then
// truncated; what is left goes to every destination.
//
// One frame passing one port in one direction gives one copy per mirror, however
// many of its sources match there. A frame that is received on one source and sent
// on another is copied at both, so twice, as on switches that mirror at the port.
type Mirror struct {
	Name         string
	Shutdown     bool // configured but copies nothing and claims no destination port
	Sources      []MirrorSource
	Destinations []MirrorDestination // none: copies are counted as dropped
	Filter       Filter              // of all sources
	// StripHeader is the number of bytes removed from the start of the frame; 0 none.
	StripHeader uint16
	// StripTag removes the outermost 802.1Q tag from copies. Without it copies look
	// as on the wire of the mirrored port.
	StripTag bool
	// TruncateTo is the number of bytes kept from the start of the frame, before any
	// tunnel header is put on; 0 = all.
	TruncateTo uint16
	// SampleOneIn copies the Nth, 2Nth, ... of the frames that pass the filter; 0 and
	// 1 = every frame.
	SampleOneIn uint32
}

// SourceKind says what a MirrorSource names.
type SourceKind uint8

// Kinds of mirror sources.
const (
	SourceUnset SourceKind = iota
	SourcePort             // Name is a port
	SourceLAG              // Name is a LAG: all its members
	SourceVLAN             // VLAN: frames received in it (rx), and sent in it (tx), on any port
	SourceRSPAN            // VLAN is an RSPAN VLAN of this switch: copies that arrive in it, without its tag
)

// MirrorSource is where frames are copied. A mirror with an RSPAN source has no
// source of another kind, and only ports, LAGs and the CPU as destinations.
type MirrorSource struct {
	Kind      SourceKind
	Name      string
	VLAN      uint16
	Direction Direction
	Filter    Filter // of this source, besides the mirror's own
}

// DestinationKind says where copies go.
type DestinationKind uint8

// Kinds of mirror destinations.
const (
	DestinationUnset  DestinationKind = iota
	DestinationPort                   // Name is a port: it carries copies only and drops what it receives
	DestinationLAG                    // Name is a LAG: each copy leaves by one member
	DestinationRSPAN                  // VLAN is an RSPAN VLAN of this switch: flooded over the trunks carrying it
	DestinationTunnel                 // Tunnel
	DestinationCPU                    // the switch's own CPU: counted, then gone
)

// MirrorDestination is where copies go.
type MirrorDestination struct {
	Kind DestinationKind
	Name string
	VLAN uint16
	// InnerTag keeps a frame's own 802.1Q tag below the tag of the RSPAN VLAN;
	// without it the RSPAN VLAN takes the place of the tag.
	InnerTag bool
	Tunnel   Tunnel
}

// TunnelKind is the encapsulation of a tunnel.
type TunnelKind uint8

// Encapsulations.
const (
	TunnelUnset TunnelKind = iota
	GRE                    // RFC 2784/2890; the payload is the frame
	ERSPAN1                // GRE 0x88be without sequence number, no ERSPAN header
	ERSPAN2                // GRE 0x88be with sequence number, 8 byte header
	ERSPAN3                // GRE 0x22eb with sequence number, 12 byte header
	VXLAN                  // RFC 7348, UDP port 4789
)

// Tunnel is where and how copies travel by IP.
//
// Addresses are both IPv4 or both IPv6. The source address is only written into
// the packet. The packet takes the shortest way over the fabric's links to the
// host that has the destination address, see the package comment.
type Tunnel struct {
	Kind        TunnelKind
	Source      netip.Addr
	Destination netip.Addr
	SessionID   uint16  // ERSPAN II and III, 0 to 1023
	Key         *uint32 // GRE key; nil = none. ERSPAN II and III refuse it
	Sequence    bool    // GRE with sequence numbers; ERSPAN II and III always have them
	Protocol    uint16  // GRE protocol type; 0 = 0x6558 for GRE, and as listed above for ERSPAN
	VNI         uint32  // VXLAN network identifier, 24 bits
	TTL         uint8   // outer time to live or hop limit; 0 = 64
	DSCP        uint8   // 0 to 63
	Index       uint32  // ERSPAN II index, 20 bits
	HardwareID  uint8   // ERSPAN III, 6 bits
	VRF         string  // kept, not looked at
}

// Action of a filter rule.
type Action uint8

// Actions.
const (
	ActionUnset Action = iota
	Include            // copy
	Exclude            // do not copy
)

// Filter is an ordered list; the first rule that matches decides. An empty filter
// copies everything; one with rules of which none matches copies nothing, like an
// ACL.
type Filter []Rule

// Rule is an action for the frames that match all its fields. Zero fields match
// every frame.
type Rule struct {
	Action             Action
	IPVersion          uint8 // 4 or 6
	EtherType          uint16
	VLAN               uint16 // of the frame in the switch, tagged on the wire or not
	SrcMAC, DstMAC     MACMask
	Protocol           uint8 // IP protocol, after IPv6 extension headers
	Src, Dst           netip.Prefix
	SrcPorts, DstPorts []PortRange // TCP, UDP or SCTP ports; fragments after the first never match
}

// MAC is an Ethernet address.
type MAC [6]byte

// MACMask matches the addresses that equal Addr in the bits set in Mask. A zero
// Mask matches every address.
type MACMask struct{ Addr, Mask MAC }

// PortRange is From to To, both included.
type PortRange struct{ From, To uint16 }
