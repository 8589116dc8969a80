package bpfcopy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Limits of one port and direction. What goes beyond is refused with ErrLimit.
const (
	// MaxSessions is the number of sessions.
	MaxSessions = 1024
	// MaxRules is the number of rules of all sessions together. A session that takes
	// what no rule matches needs one for that; so does a session without rules, and a
	// guarded tunnel needs one.
	MaxRules = 4096
	// MaxCopies is the number of destinations of all sessions together.
	MaxCopies = 1024
	// MaxClasses is the number of different bit vectors: how many groups of addresses,
	// ports, VLANs and protocols the rules tell apart.
	MaxClasses = math.MaxUint16
	// MinTruncate is the smallest number of bytes that copies are cut to. Below, the
	// kernel refuses to cut frames whose headers are longer.
	MinTruncate = 80
)

// Errors.
var (
	// ErrLimit means more than a program can hold; see the limits.
	ErrLimit = errors.New("too many for one port and direction")
	// ErrInvalid means a session that cannot be made on any host.
	ErrInvalid = errors.New("invalid session")
	// ErrUnsupported means that this system or kernel cannot do it.
	ErrUnsupported = errors.New("not supported here")
	// ErrForeign means that something is in the way that is not ours.
	ErrForeign = errors.New("not ours")
	// ErrReplaced means that an interface index now belongs to another interface.
	ErrReplaced = errors.New("another interface")
)

// Device is an interface. Both fields are needed: an index can be given to another
// interface later, and then copies would go to a stranger.
type Device struct {
	Name    string `json:"name"`
	Ifindex int    `json:"ifindex"`
}

// String gives "eth0 (index 2)".
func (d Device) String() string { return fmt.Sprintf("%s (index %d)", d.Name, d.Ifindex) }

// Session is what is copied from one port in one direction, and where to.
type Session struct {
	Name         string        `json:"name"`
	Destinations []Device      `json:"destinations"`
	Filter       []models.Rule `json:"filter,omitempty"`      // first match wins; see models.DefaultAction for the rest
	SampleOneIn  uint32        `json:"sampleOneIn,omitempty"` // 0 and 1 = every frame; by chance, not by counting
	TruncateTo   uint16        `json:"truncateTo,omitempty"`  // bytes kept of each copy, 0 = whole frame
	Reason       string        `json:"reason,omitempty"`      // why it is done by BPF; kept for people
}

// Tunnel is the outer header of a tunnel that carries copies away from this host. A
// frame that has it is not copied, so that copies of copies do not arise where the
// tunnel leaves by a mirrored port.
type Tunnel struct {
	Destination netip.Addr `json:"destination"`
	// VXLAN is set for UDP port 4789, else it is GRE. UDP fragments without a port to
	// that address count as the tunnel's.
	VXLAN bool `json:"vxlan,omitempty"`
}

// Set is all that a port copies in one direction.
type Set struct {
	Sessions []Session `json:"sessions"`
	Guard    []Tunnel  `json:"guard,omitempty"`
}

// FromModel gives the part of s that this package does. find gives the interface of a
// name. Sources are not looked at: the caller attaches the session to each. A
// destination that is not a port is an error, as the caller makes the interface of a
// tunnel.
func FromModel(s models.Session, find func(name string) (Device, bool)) (Session, error) {
	if s.Destination.Kind != models.DestinationPort {
		return Session{}, fmt.Errorf("%w %s: destination of kind %s is not an interface", ErrInvalid, s.Name, s.Destination.Kind)
	}
	out := Session{Name: s.Name, Filter: s.Filter, SampleOneIn: s.SampleOneIn, TruncateTo: s.TruncateTo}
	for _, name := range s.Destination.Ports {
		d, ok := find(name)
		if !ok {
			return Session{}, fmt.Errorf("%w %s: there is no interface %s", ErrInvalid, s.Name, name)
		}
		out.Destinations = append(out.Destinations, d)
	}
	return out, nil
}

// Validate checks what can be checked without a kernel, for a port as the source.
func (s Set) Validate(port Device) error {
	if n := len(s.Sessions); n > MaxSessions {
		return fmt.Errorf("%w: %d sessions, want at most %d", ErrLimit, n, MaxSessions)
	}
	if port.Ifindex <= 0 || port.Name == "" {
		return fmt.Errorf("%w: source %s", ErrInvalid, port)
	}
	seen, copies := make(map[string]bool), 0
	for _, session := range s.Sessions {
		if err := session.validate(port); err != nil {
			return fmt.Errorf("%w %q: %w", ErrInvalid, session.Name, err)
		}
		if seen[session.Name] {
			return fmt.Errorf("%w %q: is there twice", ErrInvalid, session.Name)
		}
		seen[session.Name] = true
		copies += len(session.Destinations)
	}
	if copies > MaxCopies {
		return fmt.Errorf("%w: %d destinations, want at most %d", ErrLimit, copies, MaxCopies)
	}
	for _, g := range s.Guard {
		if !g.Destination.IsValid() || g.Destination.Zone() != "" {
			return fmt.Errorf("%w: guarded tunnel to %q", ErrInvalid, g.Destination)
		}
	}
	return nil
}

func (s Session) validate(port Device) error {
	if s.Name == "" || strings.ContainsRune(s.Name, 0) {
		return errors.New("needs a name")
	}
	if len(s.Destinations) == 0 {
		return errors.New("has no destination")
	}
	seen := make(map[int]bool)
	for _, d := range s.Destinations {
		switch {
		case d.Ifindex <= 0 || d.Ifindex > math.MaxInt32 || d.Name == "":
			return fmt.Errorf("destination %s", d)
		case d.Ifindex == port.Ifindex:
			return fmt.Errorf("%s would be mirrored to itself", port)
		case seen[d.Ifindex]:
			return fmt.Errorf("destination %s is there twice", d)
		}
		seen[d.Ifindex] = true
	}
	if s.TruncateTo != 0 && s.TruncateTo < MinTruncate {
		return fmt.Errorf("copies cannot be cut to %d bytes: the kernel keeps headers whole, want at least %d", s.TruncateTo, MinTruncate)
	}
	for i, r := range s.Filter {
		if err := validateRule(r); err != nil {
			return fmt.Errorf("rule %d %w", i+1, err)
		}
	}
	return nil
}

func validateRule(r models.Rule) error {
	if r.Action != models.Include && r.Action != models.Exclude {
		return errors.New("neither includes nor excludes")
	}
	m := r.Match
	proto, known := models.ProtocolNumber(m.Proto)
	switch {
	case m.Proto != "" && !known:
		return fmt.Errorf("has the unknown protocol %q", m.Proto)
	case len(m.Sport)+len(m.Dport) > 0 && (m.Proto == "" || !hasPorts(proto)):
		return errors.New("has ports, which need tcp, udp or sctp")
	case m.Family() < 0:
		return errors.New("mixes IPv4 and IPv6: no frame can match")
	}
	for _, list := range [][]models.Range{m.Sport, m.Dport, m.VLANs} {
		for _, one := range list {
			if one.Last < one.First {
				return fmt.Errorf("has the range %s, which ends before it begins", one)
			}
		}
	}
	for _, v := range m.VLANs {
		if v.First < 1 || v.Last > 4094 {
			return fmt.Errorf("has the VLANs %s, want 1 to 4094", v)
		}
	}
	return nil
}

func hasPorts(proto uint8) bool { return proto == 6 || proto == 17 || proto == 132 }
