package sonic

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Check gives what SONiC refuses of a wanted session beyond its capabilities.
func (Dialect) Check(s models.Session) []string {
	r := unsayable(s)
	if len(s.Sources) == 0 {
		r.rule("a session without sources copies only what rules of ACL tables give it; name a port")
	}
	t := s.Destination.Tunnel
	if s.Destination.Kind == models.DestinationGRE && t != nil {
		if t.TTL == defaultTTL {
			r.rule("TTL %d is what is written when an intent gives none; leave ttl out", defaultTTL)
		}
		if t.Protocol == defaultGRE {
			r.rule("GRE type %#x is what is written when nothing else is asked for; leave it out", defaultGRE)
		}
	}
	if s.Destination.Kind == models.DestinationPort && (s.TruncateTo != 0 || s.SampleOneIn > 1) {
		r.rule("SONiC truncates and samples copies in GRE only, not those to a port; use gre")
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

// unsayable gives what of a session, wanted or to be put back, cannot be written as a
// command. What it lets through is safe in a shell's line: words of letters, digits and
// a few signs that mean nothing to a shell.
func unsayable(s models.Session) refusals {
	var r refusals
	if !sessionName.MatchString(s.Name) {
		r.rule("session name %q: want 1 to %d letters, digits, hyphens and underscores, a letter or digit first", s.Name, maxName)
	}
	if s.Shutdown {
		r.rule("SONiC cannot switch a session off and keep it; delete it instead")
	}
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort, models.SourceLAG:
			if !isPort(src.Name) || (Dialect{}).PortKind(src.Name) != src.Kind {
				r.rule("source %q is no port of SONiC; want a name such as Ethernet0 or PortChannel0001", src.Name)
			}
			if src.Direction < models.Rx || src.Direction > models.Both {
				r.rule("source %s has no direction", src.Name)
			}
			if src.Direction != s.Sources[0].Direction {
				r.rule("all sources of a session of SONiC have one direction, and %s is %s where %s is %s; use an intent for each",
					src.Name, src.Direction, s.Sources[0].Name, s.Sources[0].Direction)
			}
		case models.SourceVLAN:
			r.claimed(whyVLAN)
		case models.SourceRemoteVLAN:
			r.claimed(whyRSPAN)
		default:
			r.rule("source %q cannot be written for SONiC", src.Name)
		}
	}
	if len(s.Filter) > 0 {
		r.claimed(whyFilter)
	}
	r.destination(s)
	queue, own := false, false
	for _, line := range s.Extra {
		e, err := readExtra(line)
		if err != nil {
			r.rule("%q cannot be written: %v", line, err)
		}
		queue, own = queue || e.queue != "", own || e.ownGRE
	}
	if own && (queue || len(s.Sources) > 0) {
		r.rule("a session without a GRE type cannot be written with a queue or ports behind it; give it one on the switch first")
	}
	return r
}

func (r *refusals) destination(s models.Session) {
	d := s.Destination
	switch d.Kind {
	case models.DestinationPort:
		switch {
		case len(d.Ports) != 1:
			r.claimed(whyMany)
		case !portName.MatchString(d.Ports[0]):
			r.rule("destination %q is no port of SONiC that can be one; want a name such as Ethernet0 (port channels cannot)", d.Ports[0])
		case slices.ContainsFunc(s.Sources, func(src models.Source) bool { return src.Name == d.Ports[0] }):
			r.rule("%s cannot be source and destination", d.Ports[0])
		}
	case models.DestinationOther:
		if !slices.Equal(d.Ports, []string{"CPU"}) {
			r.rule("destination %q cannot be written for SONiC", strings.Join(d.Ports, " "))
		}
	case models.DestinationGRE:
		t := d.Tunnel
		if t == nil || !t.Source.IsValid() || !t.Destination.IsValid() || t.Source.Zone() != "" || t.Destination.Zone() != "" {
			r.rule("a GRE tunnel needs a source and a destination address")
			return
		}
		if !t.Source.Is4() || !t.Destination.Is4() {
			r.rule("the commands of SONiC take IPv4 addresses for a mirror's tunnel, not %s and %s", t.Source, t.Destination)
		}
		if t.DSCP > 63 {
			r.rule("DSCP %d: want at most 63", t.DSCP)
		}
		if t.VRF != "" {
			r.claimed(whyVRF)
		}
		if t.Key != 0 {
			r.claimed(whyKey)
		}
		if t.Oversize != models.OversizeRefuse {
			r.claimed(whyOversize)
		}
		if t.SessionID != 0 || t.Version != 0 || t.VNI != 0 {
			r.rule("a GRE tunnel has no session id, ERSPAN version or VNI")
		}
		if s.TruncateTo != 0 && (s.TruncateTo < 64 || s.TruncateTo > 9216) {
			r.rule("copies can be cut to 64 to 9216 bytes, not to %d", s.TruncateTo)
		}
	case models.DestinationERSPAN:
		r.claimed(whyERSPAN)
	case models.DestinationVXLAN:
		r.claimed(whyVXLAN)
	case models.DestinationCapture:
		r.claimed(whyCapture)
	case models.DestinationRemoteVLAN:
		r.claimed(whyRSPAN)
	default:
		r.rule("destination kind %q cannot be written for SONiC", d.Kind)
	}
}
