package models

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxIntentName is the longest intent name in bytes. Session names on devices add
// a few characters; 63 is the shortest limit that a supported OS documents
// (Junos analyzer names).
const MaxIntentName = 40

var intentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Validate checks what can be checked in the intent alone. It returns all
// findings at once, in the order of the file; none means valid.
func (in Intent) Validate() Findings {
	v := validator{intent: in}
	if in.APIVersion != APIVersion {
		v.add("apiVersion", "api-version", "is %q; want %q", in.APIVersion, APIVersion)
	}
	if in.Kind != KindMirror {
		v.add("kind", "kind", "is %q; want %q", in.Kind, KindMirror)
	}
	v.metadata(in.Metadata)
	v.sources(in.Spec.Sources)
	v.rules(in.Spec.Filter)
	v.destination(in.Spec.Destination)
	if in.Spec.Truncate > 65535 {
		v.add("spec.truncate", "range", "is %d; want at most 65535 bytes", in.Spec.Truncate)
	}
	v.expires(in.Spec.Expires)
	return v.found
}

type validator struct {
	intent Intent
	found  Findings
}

func (v *validator) add(field, rule, format string, args ...any) {
	v.found = append(v.found, Finding{
		Origin: v.intent.Origin, Intent: v.intent.Metadata.Name,
		Field: field, Rule: rule, Message: fmt.Sprintf(format, args...),
	})
}

func (v *validator) expires(e Expiry) {
	switch {
	case e.IsZero():
		v.add("spec.expires", "no-expiry", "is missing: say how long the mirror may live (such as 2h), or never")
	case e.After < 0:
		v.add("spec.expires", "expiry", "is %s; want a duration longer than nothing", e.After)
	case e.Never && (e.After != 0 || !e.At.IsZero()) || e.After != 0 && !e.At.IsZero():
		v.add("spec.expires", "expiry", "says more than one of a duration, a time and never; want one")
	}
}

// text refuses what could end a line, or a word, of a device's configuration.
func (v *validator) text(at, s string, spaces bool) {
	bad := strings.IndexFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r) || r == ' ' && !spaces
	})
	switch {
	case bad < 0:
	case spaces:
		v.add(at, "text", "is %q; want printable characters on one line", s)
	default:
		v.add(at, "text", "is %q; want printable characters without spaces", s)
	}
}

func (v *validator) metadata(m Metadata) {
	switch {
	case m.Name == "":
		v.add("metadata.name", "name", "is missing")
	case len(m.Name) > MaxIntentName:
		v.add("metadata.name", "name", "is %d characters long; want at most %d", len(m.Name), MaxIntentName)
	case !intentName.MatchString(m.Name):
		v.add("metadata.name", "name", "is %q; want lower-case letters, digits and inner hyphens, since it is written on devices", m.Name)
	}
	v.text("metadata.owner", m.Owner, true)
	v.text("metadata.reason", m.Reason, true)
}

func (v *validator) sources(sources []SourceSpec) {
	if len(sources) == 0 {
		v.add("spec.sources", "no-source", "is empty: name at least one port or VLAN to copy")
	}
	for i, s := range sources {
		at := fmt.Sprintf("spec.sources[%d]", i)
		switch {
		case s.Device == "" && len(s.Select) == 0:
			v.add(at, "source-device", "names no device: give device or select")
		case s.Device != "" && len(s.Select) > 0:
			v.add(at, "source-device", "has both device and select; give one")
		}
		if len(s.Interfaces) == 0 && len(s.VLANs) == 0 {
			v.add(at, "no-source", "names nothing to copy: give interfaces or vlans")
		}
		for j, name := range s.Interfaces {
			port := fmt.Sprintf("%s.interfaces[%d]", at, j)
			if name == "" {
				v.add(port, "no-source", "is empty: name a port or LAG, or a range of them")
			}
			v.text(port, name, true)
		}
		v.vlans(at+".vlans", s.VLANs)
		switch s.Direction {
		case Rx, Tx, Both:
		case DirectionUnset:
			v.add(at+".direction", "direction", "is missing; want rx, tx or both, seen from the switch")
		default:
			v.add(at+".direction", "direction", "is %s; want rx, tx or both, seen from the switch", s.Direction)
		}
	}
}

func (v *validator) vlans(at string, rs []Range) {
	for i, r := range rs {
		if r.First < 1 || r.Last > 4094 || r.Last < r.First {
			v.add(fmt.Sprintf("%s[%d]", at, i), "range", "is %s; want VLAN ids from 1 to 4094", r)
		}
	}
}

func (v *validator) rules(rules []RuleSpec) {
	for i, r := range rules {
		at := fmt.Sprintf("spec.filter[%d]", i)
		switch {
		case r.Include == nil && r.Exclude == nil:
			v.add(at, "filter", "is empty; want include or exclude")
		case r.Include != nil && r.Exclude != nil:
			v.add(at, "filter", "has both include and exclude; make two rules, since their order counts")
		case r.Include != nil:
			v.match(at+".include", *r.Include)
		default:
			v.match(at+".exclude", *r.Exclude)
		}
	}
}

func (v *validator) match(at string, m Match) {
	num, known := ProtocolNumber(m.Proto)
	if m.Proto != "" && !known {
		v.add(at+".proto", "filter", "is %q; want tcp, udp, icmp, icmpv6, gre, esp, ah, sctp or a number up to 255", m.Proto)
	}
	if len(m.Sport)+len(m.Dport) > 0 && num != 6 && num != 17 && num != 132 {
		v.add(at, "filter", "has ports, which need proto tcp, udp or sctp")
	}
	if m.Family() < 0 {
		v.add(at, "filter", "mixes IPv4 and IPv6: no frame can match")
	}
	v.ports(at+".sport", m.Sport)
	v.ports(at+".dport", m.Dport)
	v.vlans(at+".vlans", m.VLANs)
}

func (v *validator) ports(at string, rs []Range) {
	for i, r := range rs {
		if r.Last < r.First {
			v.add(fmt.Sprintf("%s[%d]", at, i), "range", "is %s; want a range that begins before it ends", r)
		}
	}
}

func (v *validator) destination(d DestinationSpec) {
	const at = "spec.destination"
	n := 0
	if d.Interface != nil {
		n++
		v.port(at+".interface", *d.Interface)
	}
	if d.RemoteVLAN != nil {
		n++
		if r := d.RemoteVLAN; r.VLAN < 2 || r.VLAN > 4094 {
			v.add(at+".remoteVlan.vlan", "range", "is %d; want a VLAN id from 2 to 4094 that is used for nothing else", r.VLAN)
		}
		v.port(at+".remoteVlan.interface", d.RemoteVLAN.Interface)
	}
	if e := d.ERSPAN; e != nil {
		n++
		v.tunnel(at+".erspan", e.Address, e.Source, e.DSCP, e.VRF, e.Oversize)
		if e.Version > 3 {
			v.add(at+".erspan.version", "range", "is %d; want 1, 2 or 3", e.Version)
		}
		if e.SessionID > 1023 {
			v.add(at+".erspan.sessionId", "range", "is %d; the ERSPAN header has 10 bits for it: want at most 1023", e.SessionID)
		}
		if e.Version == 1 && e.SessionID != 0 {
			v.add(at+".erspan.sessionId", "erspan", "is given, but ERSPAN type 1 has no session id")
		}
	}
	if g := d.GRE; g != nil {
		n++
		v.tunnel(at+".gre", g.Address, g.Source, g.DSCP, g.VRF, g.Oversize)
	}
	if x := d.VXLAN; x != nil {
		n++
		v.tunnel(at+".vxlan", x.Address, x.Source, x.DSCP, x.VRF, x.Oversize)
		if x.VNI >= 1<<24 {
			v.add(at+".vxlan.vni", "range", "is %d; want at most 16777215", x.VNI)
		}
	}
	if c := d.Capture; c != nil {
		n++
		if c.Device == "" {
			v.add(at+".capture.device", "destination", "is missing: the device whose ports are copied")
		}
	}
	if d.Sensor != "" {
		n++
	}
	if n != 1 {
		v.add(at, "destination", "has %d destinations; want exactly one of interface, remoteVlan, erspan, gre, vxlan, capture, sensor", n)
	}
}

func (v *validator) port(at string, p InterfaceSpec) {
	if p.Device == "" {
		v.add(at+".device", "destination", "is missing: the device of the port")
	}
	if p.Name == "" {
		v.add(at+".name", "destination", "is missing: the port that the copies leave by")
	}
	v.text(at+".name", p.Name, true)
}

func (v *validator) tunnel(at string, to, from netip.Addr, dscp uint8, vrf string, oversize Oversize) {
	if !to.IsValid() {
		v.add(at+".address", "destination", "is missing: the address of the receiver")
	} else if !unicast(to) {
		v.add(at+".address", "destination", "is %s; want the unicast address of a receiver", to)
	}
	if from.IsValid() && !unicast(from) {
		v.add(at+".source", "destination", "is %s; want a unicast address of the device", from)
	} else if from.IsValid() && to.IsValid() && from.Unmap().Is4() != to.Unmap().Is4() {
		v.add(at+".source", "destination", "is %s and the receiver is %s: want the same IP version", from, to)
	}
	if dscp > 63 {
		v.add(at+".dscp", "range", "is %d; want at most 63", dscp)
	}
	if oversize > OversizeFragment {
		v.add(at+".oversize", "oversize", "is %s; want truncate or fragment", oversize)
	}
	v.text(at+".vrf", vrf, false)
}

// unicast reports whether a can be an end of a tunnel between machines. A zone
// names an interface of the machine that wrote it, and means nothing elsewhere.
func unicast(a netip.Addr) bool {
	a = a.Unmap()
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != broadcast && a.Zone() == ""
}
