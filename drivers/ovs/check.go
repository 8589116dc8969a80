package ovs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// minSnaplen is the least that a mirror is cut to: an Ethernet header [db].
const minSnaplen = 14

// Check gives what Open vSwitch refuses of a wanted session beyond its capabilities.
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

// tunnelExtra is a line of Extra about a tunnel: option and value.
var tunnelExtra = regexp.MustCompile(`^tunnel options:([A-Za-z0-9_-]+)=(.+)$`)

// unsayable gives what of a session cannot be written.
func unsayable(s models.Session) refusals {
	var r refusals
	switch {
	case !isName(s.Name):
		r.rule("session name %q: want visible characters without blanks, at most 255, not beginning with - or @", s.Name)
	case uuidText.MatchString(s.Name):
		r.rule("mirror %s has no name of its own, by which it could be made again", s.Name)
	}
	if s.Shutdown {
		r.rule("Open vSwitch cannot switch a mirror off and keep it; delete it instead")
	}
	r.sources(s)
	r.destination(s.Destination)
	r.filter(s)
	if s.SampleOneIn > 1 {
		r.claimed(whySample)
	}
	if s.TruncateTo > 0 && s.TruncateTo < minSnaplen {
		r.rule("copies of %d bytes: Open vSwitch keeps at least %d", s.TruncateTo, minSnaplen)
	}
	for _, line := range s.Extra {
		if !tunnelExtra.MatchString(line) && !settingText.MatchString(line) || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' }) {
			r.rule("line %q is none of a mirror", line)
		}
	}
	return r
}

func (r *refusals) sources(s models.Session) {
	ports, vlans, remote := 0, 0, 0
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort, models.SourceLAG:
			ports++
			if !isName(src.Name) {
				r.rule("source %q is no name of a port", src.Name)
			}
			if src.Direction < models.Rx || src.Direction > models.Both {
				r.rule("source %s has no direction", src.Name)
			}
		case models.SourceVLAN:
			vlans++
			if src.Direction != models.Rx {
				r.rule("VLAN %d is to be copied %s: Open vSwitch copies each frame of a VLAN once, when it comes in, whether it leaves again or not: ask for rx", src.VLAN, src.Direction)
			}
		case models.SourceRemoteVLAN:
			remote++
		default:
			r.rule("source %q cannot be written for Open vSwitch", src.Name)
		}
		if src.VLAN > 4094 || src.VLAN < 1 && (src.Kind == models.SourceVLAN || src.Kind == models.SourceRemoteVLAN) {
			r.rule("VLAN %d: want 1 to 4094", src.VLAN)
		}
	}
	if min(ports, vlans+remote) > 0 || min(vlans, remote) > 0 {
		r.rule("ports and VLANs as sources: a mirror of Open vSwitch copies what is of both, not of either; make an intent for the ports and one for the VLANs, or filter by VLAN")
	}
}

func (r *refusals) destination(d models.Destination) {
	t := d.Tunnel
	switch d.Kind {
	case models.DestinationUnset: // a mirror seen without one
	case models.DestinationPort:
		if len(d.Ports) != 1 {
			r.claimed(whyMany)
		}
		for _, p := range d.Ports {
			if !isName(p) {
				r.rule("destination %q is no name of a port", p)
			}
		}
	case models.DestinationRemoteVLAN:
		if d.VLAN < 1 || d.VLAN > 4094 {
			r.rule("VLAN %d: want 1 to 4094", d.VLAN)
		}
	case models.DestinationCapture:
		r.claimed(whyCapture)
	case models.DestinationERSPAN, models.DestinationGRE, models.DestinationVXLAN:
		if t == nil || !t.Source.IsValid() || !t.Destination.IsValid() || t.Source.Zone() != "" || t.Destination.Zone() != "" ||
			t.Source.Unmap().Is4() != t.Destination.Unmap().Is4() {
			r.rule("a tunnel needs a source and a destination address of one IP version")
			return
		}
		r.tunnel(d.Kind, *t)
	default:
		r.rule("destination kind %q cannot be written for Open vSwitch", d.Kind)
	}
}

func (r *refusals) tunnel(kind models.DestinationKind, t models.Tunnel) {
	if t.VRF != "" {
		r.claimed(whyVRF)
	}
	if t.Oversize != models.OversizeRefuse {
		r.claimed(whyLong)
	}
	if t.DSCP > 63 {
		r.rule("DSCP %d: want at most 63", t.DSCP)
	}
	if t.Protocol != 0 {
		r.rule("GRE protocol %#x: Open vSwitch sends what the kind of tunnel has", t.Protocol)
	}
	erspan, gre, vxlan := kind == models.DestinationERSPAN, kind == models.DestinationGRE, kind == models.DestinationVXLAN
	switch {
	case erspan && t.Version != 0 && t.Version != 2 && t.Version != 3:
		r.claimed(whyERSPAN1)
	case erspan && t.SessionID > 1023:
		r.rule("ERSPAN session id %d: want at most 1023", t.SessionID)
	case vxlan && t.VNI >= 1<<24:
		r.rule("VNI %d: want at most %d", t.VNI, 1<<24-1)
	case !gre && t.Key != 0:
		r.rule("a GRE key is of a gre destination; use the session id of ERSPAN or the VNI of VXLAN")
	case !erspan && (t.SessionID != 0 || t.Version != 0), !vxlan && t.VNI != 0:
		r.rule("a session id is of ERSPAN, and a VNI of VXLAN")
	}
}

// filter lets through what selects VLANs of ports.
func (r *refusals) filter(s models.Session) {
	if len(s.Filter) == 0 {
		return
	}
	for _, rule := range s.Filter {
		switch m := rule.Match; {
		case m.Proto != "" || m.Src.IsValid() || m.Dst.IsValid() || len(m.Sport)+len(m.Dport) > 0:
			r.claimed(whyFilter)
			return
		case len(m.VLANs) == 0:
			r.rule("a filter rule that matches everything: leave it out")
			return
		case rule.Action != models.Include || len(s.Filter) > 1:
			r.rule("a mirror of Open vSwitch has one list of the VLANs that it copies: write one rule that includes them")
			return
		}
	}
	for _, src := range s.Sources {
		if src.Kind != models.SourcePort && src.Kind != models.SourceLAG {
			r.rule("VLANs as sources and a filter by VLAN: leave one of them out")
			return
		}
	}
}

// filterVLANs gives the VLANs that a filter lets through.
func filterVLANs(rules []models.Rule) []models.Range {
	if len(rules) == 0 {
		return nil
	}
	return models.MergeRanges(rules[0].Match.VLANs)
}
