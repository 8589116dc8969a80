package iosxe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Check gives what IOS-XE refuses of a wanted session beyond its capabilities.
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

// unsayable gives what of a wanted session cannot be written as lines of IOS-XE.
func unsayable(s models.Session) refusals {
	r := unsafe(s)
	t := s.Destination.Tunnel
	if s.Destination.Kind == models.DestinationERSPAN {
		switch {
		case t == nil || !t.Source.IsValid() || !t.Destination.IsValid():
			r.rule("an ERSPAN tunnel needs a source and a destination address")
		case t.Source.Is4() != t.Destination.Is4():
			r.rule("the addresses of an ERSPAN tunnel are of different IP versions")
		}
		if t != nil {
			if t.Version != 1 && (t.SessionID < 1 || t.SessionID > 1023) {
				r.rule("ERSPAN session id %d: IOS-XE wants one from 1 to 1023; give erspan with a sessionId", t.SessionID)
			}
			if t.TTL == 1 {
				r.rule("TTL 1: IOS-XE takes 2 to 255")
			}
			if t.TTL != 0 && t.Destination.Is6() {
				r.rule("the hop limit of an IPv6 tunnel is in no public source; leave ttl out")
			}
		}
	}
	switch {
	case s.TruncateTo == 0:
	case s.Destination.Kind != models.DestinationERSPAN:
		r.rule("%s", whyTruncate)
	case s.TruncateTo < 176 || s.TruncateTo >= wholeMTU:
		r.rule("truncate %d: IOS-XE takes 176 to %d bytes; a higher value keeps every frame whole: leave truncate out", s.TruncateTo, wholeMTU-1)
	}
	if s.Shutdown && s.Destination.Kind != models.DestinationERSPAN {
		r.rule("IOS-XE cannot switch a local or RSPAN session off and keep it; delete it instead")
	}
	r.mix(s)
	return r
}

// mix refuses sources, filters and destinations that exclude each other.
func (r *refusals) mix(s models.Session) {
	has := func(kinds ...models.SourceKind) bool {
		return slices.ContainsFunc(s.Sources, func(src models.Source) bool { return slices.Contains(kinds, src.Kind) })
	}
	ports, vlans, remote := has(models.SourcePort, models.SourceLAG), has(models.SourceVLAN), has(models.SourceRemoteVLAN)
	switch {
	case ports && vlans:
		r.rule("a session of IOS-XE has either ports or VLANs as sources; make two intents")
	case remote && (ports || vlans || len(s.Sources) > 1):
		r.rule("a session that takes copies out of an RSPAN VLAN has no other source; make two intents")
	case remote && s.Destination.Kind != models.DestinationPort:
		r.rule("copies out of an RSPAN VLAN go to ports")
	}
	if len(s.Filter) > 0 && remote {
		r.rule("a filter belongs to the sources of an RSPAN, not to its destination; filter there")
	}
	if len(s.Filter) > 0 && has(models.SourceLAG) && s.Destination.Kind != models.DestinationERSPAN {
		r.rule("a session with an access list takes no EtherChannel as a source (Catalyst 2960-X guide); name its member ports, or leave the filter out")
	}
}

// unsafe gives what of a session, wanted or to be put back, has no line at all.
// What it lets through is safe in a line: names are single words of letters, digits
// and a few signs, so that none can end a line or begin another.
func unsafe(s models.Session) refusals {
	var r refusals
	if s.Number < 0 || s.Number > maxNumber {
		r.rule("session number %d: want 1 to %d", s.Number, maxNumber)
	}
	for _, src := range s.Sources {
		r.source(src, s)
	}
	r.destination(s.Destination)
	if s.SampleOneIn > 1 {
		r.claimed(whySample)
	}
	if len(s.Filter) > 0 {
		if slices.ContainsFunc(s.Filter, func(rule models.Rule) bool { return len(rule.Match.VLANs) > 0 }) {
			r.claimed(whyVLANIn)
		} else if _, why := filterFamily(s.Filter); why != "" {
			r.rule("%s", why)
		}
	}
	if s.FilterName != "" && !word.MatchString(s.FilterName) {
		r.rule("access list name %q: want letters, digits, dots, hyphens and underscores", s.FilterName)
	}
	if _, bad := splitExtra(s); bad != "" {
		r.rule("line %q is not of session %d", bad, s.Number)
	}
	return r
}

func (r *refusals) source(src models.Source, s models.Session) {
	switch src.Kind {
	case models.SourcePort, models.SourceLAG:
		if !isPort(src.Name) || (Dialect{}).PortKind(src.Name) != src.Kind {
			r.rule("source %q is no port of IOS-XE; want a name such as GigabitEthernet1/0/1 or Port-channel1", src.Name)
		}
	case models.SourceVLAN:
		if src.VLAN < 1 || src.VLAN > 4094 {
			r.rule("source VLAN %d: want 1 to 4094", src.VLAN)
		}
	case models.SourceRemoteVLAN:
		r.remoteVLAN(src.VLAN)
		return
	case models.SourceOther:
		if x, _ := splitExtra(s); x.head == "" {
			r.rule("source %q cannot be written for IOS-XE", src.Name)
		}
		return
	default:
		r.rule("source %q cannot be written for IOS-XE", src.Name)
		return
	}
	if src.Direction < models.Rx || src.Direction > models.Both {
		r.rule("source %s%s has no direction", src.Name, vlanText(src.VLAN))
	}
}

func vlanText(v uint16) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("VLAN %d", v)
}

// remoteVLAN refuses ids that cannot be RSPAN VLANs [xe]; 0 is one that spanctl has
// yet to choose.
func (r *refusals) remoteVLAN(v uint16) {
	if v == 1 || v > 1001 && v < 1006 || v > 4094 {
		r.rule("VLAN %d cannot be an RSPAN VLAN: want 2 to 1001 or 1006 to 4094", v)
	}
}

func (r *refusals) destination(d models.Destination) {
	switch d.Kind {
	case models.DestinationUnset: // a session seen without one
	case models.DestinationPort:
		for _, p := range d.Ports {
			if !isPort(p) {
				r.rule("destination %q is no port of IOS-XE; want a name such as GigabitEthernet1/0/1", p)
			} else if (Dialect{}).PortKind(p) == models.SourceLAG {
				r.rule("destination %s is an EtherChannel; IOS-XE takes physical ports (Catalyst command reference)", p)
			}
		}
	case models.DestinationRemoteVLAN:
		r.remoteVLAN(d.VLAN)
		if len(d.Ports) > 0 {
			r.rule("an RSPAN VLAN leaves by all its trunks, not by %s alone", d.Ports[0])
		}
	case models.DestinationERSPAN:
		t := d.Tunnel
		if t == nil {
			r.rule("an ERSPAN destination without a tunnel")
			return
		}
		if t.Version == 1 {
			r.claimed(whyERSPAN1)
		} else if t.Version > 3 {
			r.rule("ERSPAN version %d: want 2 or 3", t.Version)
		}
		if t.Key != 0 {
			r.claimed(whyKey)
		}
		if t.Source.Zone() != "" || t.Destination.Zone() != "" {
			r.rule("an address of a tunnel has a zone")
		}
		if t.VRF != "" && !word.MatchString(t.VRF) {
			r.rule("VRF %q: want letters, digits, dots, hyphens and underscores", t.VRF)
		}
		if t.DSCP > 63 {
			r.rule("DSCP %d: want at most 63", t.DSCP)
		}
		if t.Oversize != models.OversizeRefuse {
			r.claimed(whyOversize)
		}
		if t.VNI != 0 || t.Protocol != 0 {
			r.rule("an ERSPAN tunnel has no VNI and no protocol of its own")
		}
	case models.DestinationGRE:
		r.claimed(whyGRE)
	case models.DestinationVXLAN:
		r.claimed(whyVXLAN)
	case models.DestinationCapture:
		r.claimed(whyCapture)
	default:
		r.rule("destination kind %q cannot be written for IOS-XE", d.Kind)
	}
}

// extra is Session.Extra, sorted by where the lines go.
type extra struct {
	head   string   // of a session whose type is outside of the model; block is then all of it
	block  []string // of the session's own mode, indented by one or two
	flat   []string
	lists  []string
	covers draft // the destination ports that its lines name
}

// splitExtra sorts the lines of s.Extra; bad is the first that is none of the
// session's.
func splitExtra(s models.Session) (x extra, bad string) {
	prefix := fmt.Sprintf("monitor session %d ", s.Number)
	inList := false
	for _, line := range s.Extra {
		indented := strings.HasPrefix(line, " ") && strings.TrimSpace(line) != ""
		switch {
		case !printable(line):
			return x, line
		case isOwnHead(line, s.Number):
			inList = true
			x.lists = append(x.lists, line)
		case inList && indented:
			x.lists = append(x.lists, line)
		case indented && len(x.flat) == 0 && len(x.lists) == 0:
			x.block = append(x.block, line)
			if rest, ok := strings.CutPrefix(line, " destination interface "); ok && x.head == "" {
				_ = x.covers.destination("interface "+rest, line)
			}
		case strings.HasPrefix(line, prefix+"type ") && len(x.block) == 0 && x.head == "":
			x.head = line
		case strings.HasPrefix(line, prefix):
			inList = false
			x.flat = append(x.flat, line)
			if rest, ok := strings.CutPrefix(line, prefix+"destination "); ok {
				_ = x.covers.destination(rest, line)
			}
		default:
			return x, line
		}
	}
	return x, ""
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
