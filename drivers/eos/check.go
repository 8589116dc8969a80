package eos

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Check gives what EOS refuses of a wanted session beyond its capabilities.
func (Dialect) Check(s models.Session) []string {
	r := unsayable(s)
	if t := s.Destination.Tunnel; s.Destination.Kind == models.DestinationGRE && t != nil && (t.Source.Is6() || t.Destination.Is6()) {
		r.rule("an IPv6 tunnel is in no public source for mirrors of EOS; give the receiver an IPv4 address")
	}
	if t := s.Destination.Tunnel; t != nil && t.VRF == "default" {
		r.rule("VRF default is what EOS takes without a word, and may not be shown again; leave vrf out")
	}
	return r.rules
}

// refusals are reasons why a session cannot be written.
type refusals struct {
	rules   []string // beyond the capabilities
	byClaim []string // what the capabilities refuse already
}

func (r *refusals) rule(format string, args ...any) {
	r.rules = append(r.rules, fmt.Sprintf(format, args...))
}

func (r *refusals) claimed(why string) { r.byClaim = append(r.byClaim, why) }

func (r *refusals) all() []string { return slices.Concat(r.byClaim, r.rules) }

// unsayable gives what of a session, wanted or to be put back, cannot be written as
// lines of EOS. What it lets through is safe in a line: names are single words of
// letters, digits and a few signs, so that none can end a line or begin another.
func unsayable(s models.Session) refusals {
	var r refusals
	switch {
	case !safeWord.MatchString(s.Name):
		r.rule("session name %q: want letters, digits, dots, hyphens and underscores", s.Name)
	case s.Name == "default":
		r.rule("session name %q stands for all sessions on EOS; choose another", s.Name)
	}
	if s.Shutdown {
		r.rule("EOS cannot switch a session off and keep it; delete it instead")
	}
	for _, src := range s.Sources {
		r.source(src)
	}
	r.destination(s.Destination)
	r.filter(s.Filter)
	if s.FilterName != "" && !safeWord.MatchString(s.FilterName) {
		r.rule("access list name %q: want letters, digits, dots, hyphens and underscores", s.FilterName)
	}
	inList := false
	for _, line := range s.Extra {
		head := isListHead(line, s.Name)
		inList = head || inList && strings.HasPrefix(line, " ")
		if !inList && !strings.HasPrefix(line, "monitor session "+s.Name+" ") || !printable(line) {
			r.rule("line %q is not of session %s", line, s.Name)
		}
	}
	return r
}

func (r *refusals) source(src models.Source) {
	switch src.Kind {
	case models.SourcePort, models.SourceLAG:
		if !isPort(src.Name) || (Dialect{}).PortKind(src.Name) != src.Kind {
			r.rule("source %q is no port of EOS; want a name such as Ethernet1, Ethernet1/1 or Port-Channel1", src.Name)
		}
		if src.Direction < models.Rx || src.Direction > models.Both {
			r.rule("source %s has no direction", src.Name)
		}
	case models.SourceVLAN:
		r.claimed(whyVLAN)
	case models.SourceRemoteVLAN:
		r.claimed(whyRSPAN)
	default:
		r.rule("source %q cannot be written for EOS", src.Name)
	}
}

func (r *refusals) filter(rules []models.Rule) {
	if len(rules) == 0 {
		return
	}
	if slices.ContainsFunc(rules, func(rule models.Rule) bool { return len(rule.Match.VLANs) > 0 }) {
		r.claimed(whyVLANIn)
		return
	}
	if _, why := filterFamily(rules); why != "" {
		r.rule("%s", why)
	}
}

func (r *refusals) destination(d models.Destination) {
	switch d.Kind {
	case models.DestinationUnset: // a session seen without one
	case models.DestinationPort:
		for _, p := range d.Ports {
			if !isPort(p) {
				r.rule("destination %q is no port of EOS; want a name such as Ethernet1, Ethernet1/1 or Port-Channel1", p)
			}
		}
	case models.DestinationOther:
		for _, p := range d.Ports {
			if p != "Cpu" {
				r.rule("destination %q cannot be written for EOS", p)
			}
		}
	case models.DestinationGRE:
		t := d.Tunnel
		if t == nil || !t.Source.IsValid() || !t.Destination.IsValid() || t.Source.Zone() != "" || t.Destination.Zone() != "" {
			r.rule("a GRE tunnel needs a source and a destination address")
			return
		}
		if t.VRF != "" && !safeWord.MatchString(t.VRF) {
			r.rule("VRF %q: want letters, digits, dots, hyphens and underscores", t.VRF)
		}
		if t.DSCP > 63 {
			r.rule("DSCP %d: want at most 63", t.DSCP)
		}
		if t.SessionID != 0 || t.Version != 0 || t.VNI != 0 {
			r.rule("a GRE tunnel has no session id, ERSPAN version or VNI; use key")
		}
		if t.Oversize != models.OversizeRefuse {
			r.claimed(whyOversize)
		}
	case models.DestinationCapture:
		r.claimed(whyCapture)
	case models.DestinationERSPAN:
		r.claimed(whyERSPAN)
	case models.DestinationVXLAN:
		r.claimed(whyVXLAN)
	case models.DestinationRemoteVLAN:
		r.claimed(whyRSPAN)
	default:
		r.rule("destination kind %q cannot be written for EOS", d.Kind)
	}
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
