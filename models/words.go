package models

import (
	"fmt"
	"slices"
	"strings"
)

// DeviceID is a device's name in the inventory. It is unique and case-sensitive.
type DeviceID string

// Direction says which frames of a source are copied, seen from the mirrored
// port of the switch. The zero value is invalid in a validated intent or session.
type Direction uint8

// Directions.
const (
	DirectionUnset Direction = iota
	Rx                       // frames the switch receives on the port
	Tx                       // frames the switch sends out of the port
	Both                     // Rx and Tx
)

// Role is the part one device plays in an intent.
type Role uint8

// Roles. The zero value is invalid in a session.
const (
	RoleUnset       Role = iota
	RoleLocal            // sources and destination on this device, or a tunnel starts here
	RoleSource           // RSPAN: copies go into the remote VLAN here
	RoleDestination      // RSPAN: copies leave the remote VLAN here
)

// SourceKind says what a source is.
type SourceKind uint8

// Source kinds. The zero value is invalid.
const (
	SourceUnset      SourceKind = iota
	SourcePort                  // a physical port
	SourceLAG                   // a link aggregation group
	SourceVLAN                  // all frames of a VLAN
	SourceRemoteVLAN            // the RSPAN VLAN, on the device of the destination
	SourceOther                 // seen on a device, outside of this model (CPU, a tunnel); Name holds the device's words
)

// DestinationKind says where copies go.
type DestinationKind uint8

// Destination kinds. The zero value is invalid in a wanted session; a session
// seen on a device may have none yet.
const (
	DestinationUnset      DestinationKind = iota
	DestinationPort                       // SPAN: one or several local ports
	DestinationRemoteVLAN                 // RSPAN: a VLAN across trunks
	DestinationERSPAN                     // ERSPAN over GRE
	DestinationGRE                        // Ethernet or IP in GRE
	DestinationVXLAN                      // VXLAN
	DestinationCapture                    // an interface of the device itself on which programs capture; it leads nowhere
	DestinationOther                      // seen on a device, outside of this model; Ports holds the device's words
)

// Action says what a filter rule does with the frames that match it.
type Action uint8

// Actions. The zero value is invalid.
const (
	ActionUnset Action = iota
	Include            // copy the frame
	Exclude            // do not copy it
)

// Oversize says what becomes of copies that, wrapped, do not fit the way to the
// receiver. The zero value means that no copy may be too long: where the device can
// tell, such a session is refused.
type Oversize uint8

// Choices for copies that are too long.
const (
	OversizeRefuse   Oversize = iota
	OversizeTruncate          // their ends are cut off
	OversizeFragment          // each leaves as several IP packets
)

// Op is what a change does with a session.
type Op uint8

// Operations. The zero value is invalid.
const (
	OpUnset Op = iota
	Create
	Update
	Delete
)

// OperState tells whether a session copies frames now, as the device says.
type OperState uint8

// Operational states. The zero value means that the device has not said.
const (
	OperUnknown OperState = iota
	OperUp
	OperDown
)

var (
	directionWords   = []string{"", "rx", "tx", "both"}
	roleWords        = []string{"", "local", "source", "destination"}
	sourceWords      = []string{"", "port", "lag", "vlan", "remote-vlan", "other"}
	destinationWords = []string{"", "port", "remote-vlan", "erspan", "gre", "vxlan", "capture", "other"}
	actionWords      = []string{"", "include", "exclude"}
	oversizeWords    = []string{"", "truncate", "fragment"}
	opWords          = []string{"", "create", "update", "delete"}
	operWords        = []string{"unknown", "up", "down"}
)

func word(words []string, n uint8, kind string) string {
	if int(n) >= len(words) {
		return fmt.Sprintf("%s(%d)", kind, n)
	}
	return words[n]
}

// parseWord reads one of words. "" is the zero value, where that has no word of its
// own, so that what was written unset can be read again.
func parseWord[T ~uint8](words []string, text []byte, kind string, to *T) error {
	n := slices.Index(words, string(text))
	if n < 0 {
		var known []string
		for _, w := range words {
			if w != "" {
				known = append(known, w)
			}
		}
		return fmt.Errorf("%s %q: want %s", kind, text, strings.Join(known, ", "))
	}
	*to = T(n)
	return nil
}

// String gives rx, tx, both, or "" when unset.
func (d Direction) String() string { return word(directionWords, uint8(d), "direction") }

// MarshalText gives the word of String.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the words of String.
func (d *Direction) UnmarshalText(b []byte) error {
	return parseWord(directionWords, b, "direction", d)
}

// Has reports whether d covers other: Both covers Rx and Tx.
func (d Direction) Has(other Direction) bool { return d == other || d == Both }

// Join gives the direction that covers d and other.
func (d Direction) Join(other Direction) Direction { return d | other }

// String gives local, source, destination, or "" when unset.
func (r Role) String() string { return word(roleWords, uint8(r), "role") }

// MarshalText gives the word of String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the words of String.
func (r *Role) UnmarshalText(b []byte) error { return parseWord(roleWords, b, "role", r) }

// String gives the word that plans and files use.
func (k SourceKind) String() string { return word(sourceWords, uint8(k), "source kind") }

// MarshalText gives the word of String.
func (k SourceKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the words of String.
func (k *SourceKind) UnmarshalText(b []byte) error {
	return parseWord(sourceWords, b, "source kind", k)
}

// String gives the word that plans and files use.
func (k DestinationKind) String() string {
	return word(destinationWords, uint8(k), "destination kind")
}

// MarshalText gives the word of String.
func (k DestinationKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the words of String.
func (k *DestinationKind) UnmarshalText(b []byte) error {
	return parseWord(destinationWords, b, "destination kind", k)
}

// String gives include, exclude, or "" when unset.
func (a Action) String() string { return word(actionWords, uint8(a), "action") }

// MarshalText gives the word of String.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the words of String.
func (a *Action) UnmarshalText(b []byte) error { return parseWord(actionWords, b, "action", a) }

// String gives truncate, fragment, or "" for OversizeRefuse.
func (o Oversize) String() string { return word(oversizeWords, uint8(o), "oversize") }

// MarshalText gives the word of String.
func (o Oversize) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the words of String.
func (o *Oversize) UnmarshalText(b []byte) error {
	return parseWord(oversizeWords, b, "oversize", o)
}

// String gives create, update, delete, or "" when unset.
func (o Op) String() string { return word(opWords, uint8(o), "operation") }

// MarshalText gives the word of String.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the words of String.
func (o *Op) UnmarshalText(b []byte) error { return parseWord(opWords, b, "operation", o) }

// String gives up, down or unknown.
func (s OperState) String() string { return word(operWords, uint8(s), "state") }

// MarshalText gives the word of String.
func (s OperState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the words of String.
func (s *OperState) UnmarshalText(b []byte) error { return parseWord(operWords, b, "state", s) }
