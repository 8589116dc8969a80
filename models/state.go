package models

import (
	"net/netip"
	"slices"
)

// DeviceState is what one device has and does, as far as mirroring is concerned:
// all sessions, ours or not, and the ports that they may touch.
type DeviceState struct {
	Device   DeviceID        `json:"device"`
	Facts    Facts           `json:"facts,omitzero"`
	Sessions []Session       `json:"sessions,omitempty"` // in device order
	Ports    map[string]Port `json:"ports,omitempty"`    // nil when the device was not asked; else all ports
	VLANs    map[uint16]VLAN `json:"vlans,omitempty"`    // nil when the device was not asked
}

// Facts are what a device says of itself. Unknown ones are empty.
type Facts struct {
	Hostname    string `json:"hostname,omitempty"`
	Version     string `json:"version,omitempty"` // software version
	Model       string `json:"model,omitempty"`
	Serial      string `json:"serial,omitempty"`
	MaxSessions int    `json:"maxSessions,omitempty"` // mirror sessions that the device says it can have; 0 = not said

	// Traits are further things that a script depends on, in words of the dialect
	// that read them, sorted; such as "archive", without which a device of Cisco
	// IOS-XE has no way back of its own.
	Traits []string `json:"traits,omitempty"`
}

// HasTrait reports whether t is among the traits.
func (f Facts) HasTrait(t string) bool { return slices.Contains(f.Traits, t) }

// Port is a port or LAG as it is configured and runs.
type Port struct {
	Name       string         `json:"name"`
	Mode       PortMode       `json:"mode,omitempty"`
	AdminDown  bool           `json:"adminDown,omitempty"`
	Oper       OperState      `json:"oper,omitempty"` // link
	LAG        string         `json:"lag,omitempty"`  // the group that the port is a member of
	Addresses  []netip.Prefix `json:"addresses,omitempty"`
	AccessVLAN uint16         `json:"accessVlan,omitempty"`
	TrunkVLANs []Range        `json:"trunkVlans,omitempty"` // allowed on the trunk; nil of a trunk = all
	SpeedMbps  uint32         `json:"speedMbps,omitempty"`  // 0 = unknown
	MTU        uint32         `json:"mtu,omitempty"`        // bytes of layer 3 payload; 0 = unknown
	MACs       int            `json:"macs,omitempty"`       // addresses learned; 0 also when not asked
	Neighbors  []string       `json:"neighbors,omitempty"`  // LLDP, "system port"
}

// PortMode is what a port does with frames.
type PortMode string

// Port modes. The zero value means unknown.
const (
	PortAccess PortMode = "access"
	PortTrunk  PortMode = "trunk"
	PortRouted PortMode = "routed"
)

// VLAN is a VLAN of a device.
type VLAN struct {
	Name       string `json:"name,omitempty"`
	RemoteSPAN bool   `json:"remoteSpan,omitempty"` // set apart for RSPAN, where the OS has such a mark
}

// Network is the part of the inventory that planning needs: devices, how they
// hang together, and who receives.
type Network struct {
	Devices []Device
	Links   []Link
	Sensors []Sensor

	// RSPANVLANs are the VLANs from which spanctl may choose one for a sensor that
	// is reached by RSPAN; each is used for nothing else. Empty = it may not choose.
	RSPANVLANs []Range
}

// Device is a managed switch or host.
type Device struct {
	ID           DeviceID
	Platform     string            // key of its network OS, such as "arista_eos"
	Labels       map[string]string // for selectors
	TunnelSource netip.Addr        // outer source address of its tunnels; invalid = not known
	Uplinks      []string          // ports declared as such, beside those that links tell
}

// End is one end of a link. Device may be a node that spanctl does not manage.
type End struct {
	Device DeviceID
	Port   string // as the device writes it
}

// Link is a cable between two ports.
type Link struct{ A, B End }

// Sensor receives copies. It hangs on a port of a device, has an address for
// tunnels, or both.
type Sensor struct {
	Name    string
	At      End        // zero when not attached to a managed device
	Address netip.Addr // invalid when it takes no tunnels
	Accepts []string   // tunnels it can take, best first: erspan3, erspan2, erspan1, gre, vxlan; empty = erspan2
	VRF     string     // VRF in which devices reach Address
}

// Device finds a device by name.
func (n *Network) Device(id DeviceID) (Device, bool) {
	for i := range n.Devices {
		if n.Devices[i].ID == id {
			return n.Devices[i], true
		}
	}
	return Device{}, false
}
