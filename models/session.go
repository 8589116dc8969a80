package models

import "net/netip"

// Session is one mirror session, wanted or seen, on one device.
type Session struct {
	Device      DeviceID    `json:"device"`
	Name        string      `json:"name,omitempty"`   // as on the device; "" where sessions have only numbers
	Number      int         `json:"number,omitempty"` // 0 where sessions have only names
	Role        Role        `json:"role,omitempty"`
	Sources     []Source    `json:"sources,omitempty"`
	Filter      []Rule      `json:"filter,omitempty"`     // first match wins; see DefaultAction for the rest
	FilterName  string      `json:"filterName,omitempty"` // the device's filter object (an ACL), "" where it has none
	Destination Destination `json:"destination"`
	TruncateTo  uint16      `json:"truncateTo,omitempty"`  // bytes kept, 0 = whole frame
	SampleOneIn uint32      `json:"sampleOneIn,omitempty"` // 0 and 1 = every frame
	Shutdown    bool        `json:"shutdown,omitempty"`    // switched off by configuration

	// Extra holds the device's own lines of this session that the model has no
	// field for, in device order. A wanted session has none, so that one of ours
	// which has some is seen as changed by hand.
	Extra []string `json:"extra,omitempty"`

	// Intent is the name of the intent that the session serves. "" means that the
	// session is not ours. plan.MarkOwned sets it, never a dialect.
	Intent string `json:"intent,omitempty"`

	// Status is what the device says of the session now. It never counts as a
	// difference.
	Status Status `json:"status,omitzero"`
}

// Source is a mirrored port, LAG or VLAN.
type Source struct {
	Kind      SourceKind `json:"kind"`
	Name      string     `json:"name,omitempty"` // port or LAG, as the device writes it; of SourceRemoteVLAN see Capabilities.RSPANPort
	VLAN      uint16     `json:"vlan,omitempty"` // of SourceVLAN and SourceRemoteVLAN
	Direction Direction  `json:"direction"`
}

// Destination is where the copies of a session go.
type Destination struct {
	Kind   DestinationKind `json:"kind,omitempty"`
	Ports  []string        `json:"ports,omitempty"`  // of DestinationPort and DestinationOther; of DestinationRemoteVLAN see Capabilities.RSPANPort
	VLAN   uint16          `json:"vlan,omitempty"`   // of DestinationRemoteVLAN
	Tunnel *Tunnel         `json:"tunnel,omitempty"` // of ERSPAN, GRE and VXLAN
}

// Tunnel is the outer header of copies sent to a remote receiver.
type Tunnel struct {
	Source      netip.Addr `json:"source,omitzero"`
	Destination netip.Addr `json:"destination,omitzero"`
	Version     uint8      `json:"version,omitempty"`   // ERSPAN type 1, 2 or 3
	SessionID   uint16     `json:"sessionId,omitempty"` // ERSPAN
	Key         uint32     `json:"key,omitempty"`       // GRE key; 0 = none
	VNI         uint32     `json:"vni,omitempty"`       // VXLAN
	VRF         string     `json:"vrf,omitempty"`       // "" = the default one
	TTL         uint8      `json:"ttl,omitempty"`       // outer IP TTL or hop limit; 0 = the device's default
	DSCP        uint8      `json:"dscp,omitempty"`
	Protocol    uint16     `json:"protocol,omitempty"` // GRE protocol type; 0 = the device's default
	Oversize    Oversize   `json:"oversize,omitzero"`  // what becomes of copies that are too long for the way
}

// Rule is one filter rule.
type Rule struct {
	Action Action `json:"action"`
	Match  Match  `json:"match"`
}

// Status is the operation of a session, as the device says.
type Status struct {
	State  OperState `json:"state,omitempty"`
	Reason string    `json:"reason,omitempty"` // why it is down, in the device's words
}

// SessionID identifies a session on a device: by name where it has one, else by
// number.
type SessionID struct {
	Device DeviceID `json:"device"`
	Name   string   `json:"name,omitempty"`
	Number int      `json:"number,omitempty"`
}

// ID gives the session's identity on its device. Where a session has a name, its
// number is not part of it.
func (s Session) ID() SessionID {
	if s.Name != "" {
		return SessionID{Device: s.Device, Name: s.Name}
	}
	return SessionID{Device: s.Device, Number: s.Number}
}

// DefaultAction says what happens to a frame that no rule matches: it is copied
// when there is no rule or when every rule excludes; else it is not.
func DefaultAction(rules []Rule) Action {
	for _, r := range rules {
		if r.Action == Include {
			return Exclude
		}
	}
	return Include
}

// Change is one step from what is to what shall be. Both sides are carried so that
// a renderer needs no other state.
type Change struct {
	Op     Op       `json:"op"`
	Before *Session `json:"before,omitempty"` // nil for Create
	After  *Session `json:"after,omitempty"`  // nil for Delete
}

// Session gives the session that the change is about: After, or Before where the
// change deletes.
func (c Change) Session() *Session {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Reverse gives the change that takes c back.
func (c Change) Reverse() Change {
	r := Change{Op: c.Op, Before: c.After, After: c.Before}
	switch c.Op {
	case Create:
		r.Op = Delete
	case Delete:
		r.Op = Create
	}
	return r
}

// ChangeSet is what shall change on one device in one go.
type ChangeSet struct {
	Device  DeviceID `json:"device"`
	Changes []Change `json:"changes,omitempty"`
}

// Empty reports whether nothing changes.
func (cs ChangeSet) Empty() bool { return len(cs.Changes) == 0 }

// Reverse gives the changes that take cs back, last first.
func (cs ChangeSet) Reverse() ChangeSet {
	r := ChangeSet{Device: cs.Device}
	for i := len(cs.Changes) - 1; i >= 0; i-- {
		r.Changes = append(r.Changes, cs.Changes[i].Reverse())
	}
	return r
}
