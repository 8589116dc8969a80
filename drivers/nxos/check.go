package nxos

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// maxDescription is the longest description of a session [dev].
const maxDescription = 32

// Check gives what NX-OS refuses of a wanted session beyond its capabilities.
func (Dialect) Check(s models.Session) []string { return unsayable(s).rules }

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

// unsayable gives what of a wanted session cannot be written as lines of NX-OS.
func unsayable(s models.Session) refusals {
	r := unsafe(s)
	if s.Number > maxNumber {
		r.rule("session number %d: want 1 to %d", s.Number, maxNumber)
	}
	if t := s.Destination.Tunnel; s.Destination.Kind == models.DestinationERSPAN && t != nil {
		if !t.Destination.Is4() || !t.Source.Is4() {
			r.rule("an ERSPAN tunnel of NX-OS needs an IPv4 source and destination address")
		}
		if t.Version != 1 && (t.SessionID < 1 || t.SessionID > 1023) {
			r.rule("ERSPAN session id %d: NX-OS wants one from 1 to 1023; give erspan with a sessionId", t.SessionID)
		}
		if t.VNI != 0 || t.Protocol != 0 || t.Version > 3 {
			r.rule("an ERSPAN tunnel of NX-OS has version 2 or 3, and no VNI and no protocol of its own")
		}
	}
	if s.TruncateTo > 0 && (s.TruncateTo < 64 || s.TruncateTo >= wholeMTU) {
		r.rule("truncate %d: NX-OS takes 64 to %d bytes; leave truncate out for whole frames", s.TruncateTo, wholeMTU-1)
	}
	if k, _, _ := kindOf(s.Filter); k == aclFilter {
		for _, src := range s.Sources {
			if src.Direction != models.Rx {
				r.rule("%s: an access list of a mirror filters received frames only (Cisco TAC); use the direction rx, or leave the filter out", sourceName(src))
				break
			}
		}
	}
	return r
}

func sourceName(src models.Source) string {
	if src.Name == "" {
		return fmt.Sprintf("source VLAN %d", src.VLAN)
	}
	return "source " + src.Name
}

// unsafe gives what of a session, wanted or to be put back, has no line at all.
// What it lets through is safe in a line: names are single words of letters, digits
// and a few signs, so that none can end a line or begin another.
func unsafe(s models.Session) refusals {
	var r refusals
	if s.Number < 0 || s.Number > maxSeen {
		r.rule("session number %d: want 1 to %d", s.Number, maxNumber)
	}
	x, bad := splitExtra(s)
	if bad != "" {
		r.rule("line %q is not of session %d", bad, s.Number)
	}
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort, models.SourceLAG:
			if !portName.MatchString(src.Name) || (Dialect{}).PortKind(src.Name) != src.Kind {
				r.rule("source %q is no port of NX-OS; want a name such as Ethernet1/1 or port-channel1", src.Name)
			}
		case models.SourceVLAN:
			if src.VLAN < 1 || src.VLAN > 4094 {
				r.rule("source VLAN %d: want 1 to 4094", src.VLAN)
			}
		case models.SourceRemoteVLAN:
			r.claimed(whyRSPANDst)
			continue
		case models.SourceOther:
			if x.head == "" {
				r.rule("source %q cannot be written for NX-OS", src.Name)
			}
			continue
		default:
			r.rule("source %q cannot be written for NX-OS", src.Name)
			continue
		}
		if src.Direction < models.Rx || src.Direction > models.Both {
			r.rule("%s has no direction", sourceName(src))
		}
	}
	r.destination(s.Destination, x)
	if s.SampleOneIn > 1 {
		r.claimed(whySample)
	}
	if _, why, claimed := kindOf(s.Filter); claimed {
		r.claimed(why)
	} else if why != "" {
		r.rule("%s", why)
	}
	if s.FilterName != "" && !word.MatchString(s.FilterName) {
		r.rule("access list name %q: want letters, digits, dots, hyphens and underscores", s.FilterName)
	}
	return r
}

func (r *refusals) destination(d models.Destination, x extra) {
	switch d.Kind {
	case models.DestinationUnset: // a session seen without one
	case models.DestinationPort:
		if len(d.Ports) > 1 && x.head == "" {
			r.claimed(whyMany)
		}
		for _, p := range d.Ports {
			if !portName.MatchString(p) || (Dialect{}).PortKind(p) == models.SourceLAG && x.head == "" {
				r.rule("destination %q is no physical port of NX-OS; want a name such as Ethernet1/1", p)
			}
		}
	case models.DestinationERSPAN:
		t := d.Tunnel
		switch {
		case t == nil:
			r.rule("an ERSPAN tunnel needs a source and a destination address")
			return
		case t.Version == 1:
			r.claimed(whyERSPAN1)
		case t.Key != 0:
			r.claimed(whyKey)
		}
		if t.Destination.IsValid() && !t.Destination.Is4() {
			r.rule("destination %s is not an IPv4 address", t.Destination)
		}
		if t.Oversize != models.OversizeRefuse {
			r.claimed(whyOversize)
		}
		if t.DSCP > 63 {
			r.rule("DSCP %d: want at most 63", t.DSCP)
		}
		if t.VRF != "" && (!word.MatchString(t.VRF) || len(t.VRF) > 32) {
			r.rule("VRF %q: want up to 32 letters, digits, dots, hyphens and underscores", t.VRF)
		}
	case models.DestinationRemoteVLAN:
		r.claimed(whyRSPAN)
	case models.DestinationCapture:
		r.claimed(whyCapture)
	case models.DestinationGRE:
		r.claimed(whyGRE)
	case models.DestinationVXLAN:
		r.claimed(whyVXLAN)
	default:
		r.rule("destination kind %q cannot be written for NX-OS", d.Kind)
	}
}

// extra is Session.Extra, sorted by where the lines go.
type extra struct {
	head  string            // of a session whose type is outside of the model; block is then all of it
	block []string          // of the session's own mode
	noVRF bool              // the session has none
	ports map[string]string // what a destination port has in place of "switchport monitor"
	lists []string          // an access list of the session's own
}

// splitExtra sorts the lines of s.Extra; bad is the first that is none of the
// session's.
func splitExtra(s models.Session) (x extra, bad string) {
	x.ports = make(map[string]string)
	const session, port, list = 0, 1, 2
	at, name := session, ""
	for _, line := range s.Extra {
		indented := strings.HasPrefix(line, "  ") && strings.TrimSpace(line) != ""
		p, isPort := strings.CutPrefix(line, "interface ")
		switch {
		case !printable(line):
			return x, line
		case line == listHead+listName(s.Number):
			at = list
			x.lists = append(x.lists, line)
		case indented && at == list:
			x.lists = append(x.lists, line)
		case isPort && slices.Contains(s.Destination.Ports, p):
			at, name = port, p
		case at == port && (line == noMonitorLine || strings.HasPrefix(line, monitorLine+" ")):
			x.ports[name] = line
		case indented && at == session && line == noVRFLine && x.head == "":
			x.noVRF = true
		case indented && at == session:
			x.block = append(x.block, line)
		case strings.HasPrefix(line, fmt.Sprintf("monitor session %d ", s.Number)) && len(x.block) == 0 && x.head == "":
			x.head = line
		default:
			return x, line
		}
	}
	return x, ""
}

// printable reports whether line is one line of visible ASCII.
func printable(line string) bool {
	return !strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' })
}
