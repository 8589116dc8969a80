package models

import (
	"fmt"
	"net/netip"
)

// What an intent file must say in apiVersion and kind.
const (
	APIVersion = "spanctl/v1"
	KindMirror = "Mirror"
)

// Intent is what a person asks for: which traffic, copied to where, for how long.
// It may span devices and names no vendor command.
type Intent struct {
	APIVersion string   `json:"apiVersion" yaml:"apiVersion" jsonschema:"enum=spanctl/v1,description=Version of this format"`
	Kind       string   `json:"kind" yaml:"kind" jsonschema:"enum=Mirror"`
	Metadata   Metadata `json:"metadata" yaml:"metadata"`
	Spec       Spec     `json:"spec" yaml:"spec"`

	// Origin is where the intent was read; it is not part of the file.
	Origin Origin `json:"-" yaml:"-"`
}

// Origin is a place in a file. The zero value means that the intent came from
// elsewhere, such as the command line.
type Origin struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 = not known
}

// String gives FILE:LINE, or "" for the zero value.
func (o Origin) String() string {
	if o.File == "" {
		return ""
	}
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Metadata identifies an intent and says who answers for it.
type Metadata struct {
	Name   string `json:"name" yaml:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]*[a-z0-9])?$,maxLength=40,description=Identity: unique; written on the device wherever it has names or descriptions"`
	Owner  string `json:"owner,omitempty" yaml:"owner,omitempty" jsonschema:"description=Person or team that answers for the copies"`
	Reason string `json:"reason,omitempty" yaml:"reason,omitempty" jsonschema:"description=Why the traffic is copied: a ticket or a change number"`
}

// Spec is the body of an intent.
type Spec struct {
	Sources     []SourceSpec    `json:"sources" yaml:"sources" jsonschema:"minItems=1,description=What is copied"`
	Filter      []RuleSpec      `json:"filter,omitempty" yaml:"filter,omitempty" jsonschema:"description=First match wins. No rule: everything is copied. A frame that no rule matches is copied only if every rule is an exclude"`
	Destination DestinationSpec `json:"destination" yaml:"destination" jsonschema:"description=Where the copies go: exactly one of the fields"`
	Truncate    uint32          `json:"truncate,omitempty" yaml:"truncate,omitempty" jsonschema:"maximum=65535,description=Bytes kept of each copy; 0 or absent: the whole frame"`
	Sample      uint32          `json:"sample,omitempty" yaml:"sample,omitempty" jsonschema:"description=One frame in N is copied; 0 1 or absent: every frame"`
	Expires     Expiry          `json:"expires" yaml:"expires" jsonschema:"description=How long the mirror may live: a duration (2h or 7d) a time (RFC 3339) or never"`
}

// SourceSpec names what is copied on one device, or on all devices that a
// selector matches. Exactly one of Device and Select is set, and at least one of
// Interfaces and VLANs.
type SourceSpec struct {
	Device     string            `json:"device,omitempty" yaml:"device,omitempty" jsonschema:"description=A device of the inventory"`
	Select     map[string]string `json:"select,omitempty" yaml:"select,omitempty" jsonschema:"description=Labels that a device must have; platform and name work as labels"`
	Interfaces []string          `json:"interfaces,omitempty" yaml:"interfaces,omitempty" jsonschema:"description=Ports or LAGs; ranges such as Ethernet5-8 expand"`
	VLANs      []Range           `json:"vlans,omitempty" yaml:"vlans,omitempty" jsonschema:"description=VLAN ids or ranges"`
	Direction  Direction         `json:"direction" yaml:"direction" jsonschema:"description=Seen from the switch: rx is what it receives on the port"`
}

// RuleSpec is one filter rule: exactly one of its fields is set.
type RuleSpec struct {
	Include *Match `json:"include,omitempty" yaml:"include,omitempty" jsonschema:"description=Copy the frames that match"`
	Exclude *Match `json:"exclude,omitempty" yaml:"exclude,omitempty" jsonschema:"description=Do not copy the frames that match"`
}

// Match names frames; all of its set fields must hold. The zero value matches
// every frame.
type Match struct {
	Proto string  `json:"proto,omitempty" yaml:"proto,omitempty" jsonschema:"description=tcp udp icmp icmpv6 gre esp ah sctp or an IP protocol number"`
	Src   Prefix  `json:"src,omitzero" yaml:"src,omitempty" jsonschema:"description=Source address or prefix"`
	Dst   Prefix  `json:"dst,omitzero" yaml:"dst,omitempty" jsonschema:"description=Destination address or prefix"`
	Sport []Range `json:"sport,omitempty" yaml:"sport,omitempty" jsonschema:"description=Source ports of tcp udp or sctp"`
	Dport []Range `json:"dport,omitempty" yaml:"dport,omitempty" jsonschema:"description=Destination ports of tcp udp or sctp"`
	VLANs []Range `json:"vlans,omitempty" yaml:"vlans,omitempty" jsonschema:"description=VLAN ids of the frame's tag"`
}

// DestinationSpec says where copies go. Exactly one field is set.
type DestinationSpec struct {
	Interface  *InterfaceSpec  `json:"interface,omitempty" yaml:"interface,omitempty" jsonschema:"description=SPAN: a local port"`
	RemoteVLAN *RemoteVLANSpec `json:"remoteVlan,omitempty" yaml:"remoteVlan,omitempty" jsonschema:"description=RSPAN: a VLAN across the trunks between"`
	ERSPAN     *ERSPANSpec     `json:"erspan,omitempty" yaml:"erspan,omitempty" jsonschema:"description=ERSPAN to an address"`
	GRE        *GRESpec        `json:"gre,omitempty" yaml:"gre,omitempty" jsonschema:"description=Frames in GRE to an address"`
	VXLAN      *VXLANSpec      `json:"vxlan,omitempty" yaml:"vxlan,omitempty" jsonschema:"description=Frames in VXLAN to an address"`
	Capture    *CaptureSpec    `json:"capture,omitempty" yaml:"capture,omitempty" jsonschema:"description=An interface of the device itself for programs that capture there; only hosts have it"`
	Sensor     string          `json:"sensor,omitempty" yaml:"sensor,omitempty" jsonschema:"description=A sensor of the inventory: SPAN RSPAN or a tunnel is chosen from where it is attached"`
}

// InterfaceSpec is a port of a device.
type InterfaceSpec struct {
	Device string `json:"device" yaml:"device" jsonschema:"description=A device of the inventory"`
	Name   string `json:"name" yaml:"name" jsonschema:"description=The port"`
}

// RemoteVLANSpec is an RSPAN destination.
type RemoteVLANSpec struct {
	VLAN      uint16        `json:"vlan" yaml:"vlan" jsonschema:"minimum=2,maximum=4094,description=The RSPAN VLAN; used for nothing else"`
	Interface InterfaceSpec `json:"interface" yaml:"interface" jsonschema:"description=Where the copies leave the VLAN"`
}

// ERSPANSpec is an ERSPAN destination.
type ERSPANSpec struct {
	Address   netip.Addr `json:"address" yaml:"address" jsonschema:"description=The receiver"`
	Source    netip.Addr `json:"source,omitzero" yaml:"source,omitempty" jsonschema:"description=Outer source address; absent: the device's tunnelSource of the inventory"`
	Version   uint8      `json:"version,omitempty" yaml:"version,omitempty" jsonschema:"minimum=1,maximum=3,description=ERSPAN type 1 2 or 3; absent: 2"`
	SessionID uint16     `json:"sessionId,omitempty" yaml:"sessionId,omitempty" jsonschema:"maximum=1023,description=Session id in the ERSPAN header"`
	VRF       string     `json:"vrf,omitempty" yaml:"vrf,omitempty" jsonschema:"description=VRF in which the receiver is reached"`
	TTL       uint8      `json:"ttl,omitempty" yaml:"ttl,omitempty" jsonschema:"description=Outer IP TTL or hop limit; absent: the device's default"`
	DSCP      uint8      `json:"dscp,omitempty" yaml:"dscp,omitempty" jsonschema:"maximum=63,description=Outer DSCP"`
	Oversize  Oversize   `json:"oversize,omitzero" yaml:"oversize,omitempty" jsonschema:"description=What becomes of copies that do not fit the way to the receiver: truncate or fragment; absent: they are refused where that can be told"`
}

// GRESpec is a GRE destination.
type GRESpec struct {
	Address  netip.Addr `json:"address" yaml:"address" jsonschema:"description=The receiver"`
	Source   netip.Addr `json:"source,omitzero" yaml:"source,omitempty" jsonschema:"description=Outer source address; absent: the device's tunnelSource of the inventory"`
	Key      uint32     `json:"key,omitempty" yaml:"key,omitempty" jsonschema:"description=GRE key; absent: none"`
	VRF      string     `json:"vrf,omitempty" yaml:"vrf,omitempty" jsonschema:"description=VRF in which the receiver is reached"`
	TTL      uint8      `json:"ttl,omitempty" yaml:"ttl,omitempty" jsonschema:"description=Outer IP TTL or hop limit; absent: the device's default"`
	DSCP     uint8      `json:"dscp,omitempty" yaml:"dscp,omitempty" jsonschema:"maximum=63,description=Outer DSCP"`
	Oversize Oversize   `json:"oversize,omitzero" yaml:"oversize,omitempty" jsonschema:"description=What becomes of copies that do not fit the way to the receiver: truncate or fragment; absent: they are refused where that can be told"`
}

// VXLANSpec is a VXLAN destination.
type VXLANSpec struct {
	Address  netip.Addr `json:"address" yaml:"address" jsonschema:"description=The receiver"`
	Source   netip.Addr `json:"source,omitzero" yaml:"source,omitempty" jsonschema:"description=Outer source address; absent: the device's tunnelSource of the inventory"`
	VNI      uint32     `json:"vni,omitempty" yaml:"vni,omitempty" jsonschema:"maximum=16777215,description=VXLAN network identifier"`
	VRF      string     `json:"vrf,omitempty" yaml:"vrf,omitempty" jsonschema:"description=VRF in which the receiver is reached"`
	TTL      uint8      `json:"ttl,omitempty" yaml:"ttl,omitempty" jsonschema:"description=Outer IP TTL or hop limit; absent: the device's default"`
	DSCP     uint8      `json:"dscp,omitempty" yaml:"dscp,omitempty" jsonschema:"maximum=63,description=Outer DSCP"`
	Oversize Oversize   `json:"oversize,omitzero" yaml:"oversize,omitempty" jsonschema:"description=What becomes of copies that do not fit the way to the receiver: truncate or fragment; absent: they are refused where that can be told"`
}

// CaptureSpec is an interface that a device makes for the copies of its own ports.
// Programs on the device capture there; the copies go no further.
type CaptureSpec struct {
	Device string `json:"device" yaml:"device" jsonschema:"description=The device whose ports are copied"`
}
