package eos

import (
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Check gives what EOS refuses of a wanted session beyond its capabilities.
func (Dialect) Check(s models.Session) []string {
	out := unsayable(s)
	if t := s.Destination.Tunnel; s.Destination.Kind == models.DestinationGRE && t != nil && (t.Source.Is6() || t.Destination.Is6()) {
		out = append(out, "an IPv6 tunnel is in no public source for mirrors of EOS; give the receiver an IPv4 address")
	}
	return out
}

// unsayable gives what of a session, wanted or to be put back, cannot be written as
// lines of EOS. What it lets through is safe in a line: names are single words of
// letters, digits and a few signs, so that none can end a line or begin another.
func unsayable(s models.Session) []string {
	var out []string
	no := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case !safeWord.MatchString(s.Name):
		no("session name %q: want letters, digits, dots, hyphens and underscores", s.Name)
	case s.Name == "default":
		no("session name %q stands for all sessions on EOS; choose another", s.Name)
	}
	if s.Shutdown {
		no("EOS cannot switch a session off and keep it; delete it instead")
	}
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort, models.SourceLAG:
			if !isPort(src.Name) || (Dialect{}).PortKind(src.Name) != src.Kind {
				no("source %q is no port of EOS; want a name such as Ethernet1, Ethernet1/1 or Port-Channel1", src.Name)
			}
			if src.Direction < models.Rx || src.Direction > models.Both {
				no("source %s has no direction", src.Name)
			}
		case models.SourceVLAN:
			no("%s", whyVLAN)
		case models.SourceRemoteVLAN:
			no("%s", whyRSPAN)
		default:
			no("source %q cannot be written for EOS", src.Name)
		}
	}
	out = append(out, unsayableDestination(s.Destination)...)
	if len(s.Filter) > 0 {
		if _, why := filterFamily(s.Filter); why != "" {
			no("%s", why)
		}
	}
	if s.FilterName != "" && !safeWord.MatchString(s.FilterName) {
		no("access list name %q: want letters, digits, dots, hyphens and underscores", s.FilterName)
	}
	inList := false
	for _, line := range s.Extra {
		head := isListHead(line, s.Name)
		inList = head || inList && strings.HasPrefix(line, " ")
		if !inList && !strings.HasPrefix(line, "monitor session "+s.Name+" ") || !printable(line) {
			no("line %q is not of session %s", line, s.Name)
		}
	}
	return out
}

func unsayableDestination(d models.Destination) []string {
	var out []string
	no := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch d.Kind {
	case models.DestinationUnset: // a session seen without one
	case models.DestinationPort:
		for _, p := range d.Ports {
			if !isPort(p) {
				no("destination %q is no port of EOS; want a name such as Ethernet1, Ethernet1/1 or Port-Channel1", p)
			}
		}
	case models.DestinationOther:
		for _, p := range d.Ports {
			if p != "Cpu" {
				no("destination %q cannot be written for EOS", p)
			}
		}
	case models.DestinationGRE:
		t := d.Tunnel
		if t == nil || !t.Source.IsValid() || !t.Destination.IsValid() || t.Source.Zone() != "" || t.Destination.Zone() != "" {
			no("a GRE tunnel needs a source and a destination address")
			break
		}
		if t.VRF != "" && !safeWord.MatchString(t.VRF) {
			no("VRF %q: want letters, digits, dots, hyphens and underscores", t.VRF)
		}
		if t.DSCP > 63 {
			no("DSCP %d: want at most 63", t.DSCP)
		}
		if t.SessionID != 0 || t.Version != 0 || t.VNI != 0 {
			no("a GRE tunnel has no session id, ERSPAN version or VNI; use key")
		}
	case models.DestinationERSPAN:
		no("%s", whyERSPAN)
	case models.DestinationVXLAN:
		no("%s", whyVXLAN)
	case models.DestinationRemoteVLAN:
		no("%s", whyRSPAN)
	default:
		no("destination kind %q cannot be written for EOS", d.Kind)
	}
	return out
}

func isListHead(line, name string) bool {
	return line == "ip access-list "+name || line == "ipv6 access-list "+name || line == "mac access-list "+name
}

// printable reports whether line is one line of visible ASCII.
func printable(line string) bool {
	for i := 0; i < len(line); i++ {
		if line[i] < ' ' || line[i] > '~' {
			return false
		}
	}
	return true
}
