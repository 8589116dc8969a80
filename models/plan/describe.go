package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Differences says, a line per attribute, how have differs from want in the words
// of the neutral model. Sessions configured alike have none.
func Differences(want, have models.Session) []string {
	w, h := want.Normalize(), have.Normalize()
	var out []string
	diff := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s: want %s, have %s", what, orNone(a), orNone(b)))
		}
	}
	for _, s := range w.Sources {
		if i := slices.IndexFunc(h.Sources, func(o models.Source) bool { return sameSource(s, o) }); i < 0 {
			out = append(out, fmt.Sprintf("source %s: missing", SourceText(s)))
		} else if h.Sources[i].Direction != s.Direction {
			diff("source "+sourceName(s), s.Direction.String(), h.Sources[i].Direction.String())
		}
	}
	for _, s := range h.Sources {
		if !slices.ContainsFunc(w.Sources, func(o models.Source) bool { return sameSource(s, o) }) {
			out = append(out, fmt.Sprintf("source %s: not wanted", SourceText(s)))
		}
	}
	diff("destination", DestinationText(w.Destination), DestinationText(h.Destination))
	diff("filter", FilterText(w.Filter), FilterText(h.Filter))
	diff("truncate", number(uint64(w.TruncateTo)), number(uint64(h.TruncateTo)))
	diff("sample", number(uint64(w.SampleOneIn)), number(uint64(h.SampleOneIn)))
	if w.Shutdown != h.Shutdown {
		diff("shutdown", fmt.Sprint(w.Shutdown), fmt.Sprint(h.Shutdown))
	}
	for _, line := range h.Extra {
		if !slices.Contains(w.Extra, line) {
			out = append(out, fmt.Sprintf("not wanted: %q", line))
		}
	}
	for _, line := range w.Extra {
		if !slices.Contains(h.Extra, line) {
			out = append(out, fmt.Sprintf("missing: %q", line))
		}
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func sameSource(a, b models.Source) bool {
	return a.Kind == b.Kind && a.Name == b.Name && a.VLAN == b.VLAN
}

func sourceName(s models.Source) string {
	switch s.Kind {
	case models.SourceVLAN:
		return fmt.Sprintf("VLAN %d", s.VLAN)
	case models.SourceRemoteVLAN:
		text := fmt.Sprintf("RSPAN VLAN %d", s.VLAN)
		if s.Name != "" {
			text += byPort([]string{s.Name})
		}
		return text
	default:
		return s.Name
	}
}

// SourceText gives "Ethernet1 rx".
func SourceText(s models.Source) string {
	if s.Kind == models.SourceRemoteVLAN {
		return sourceName(s)
	}
	return sourceName(s) + " " + s.Direction.String()
}

// DestinationText gives "Ethernet48", "RSPAN VLAN 900" or "erspan type 2 id 100
// 10.0.0.1 -> 192.0.2.9"; "" when there is none.
func DestinationText(d models.Destination) string {
	switch d.Kind {
	case models.DestinationPort, models.DestinationOther:
		return strings.Join(d.Ports, ", ")
	case models.DestinationRemoteVLAN:
		return fmt.Sprintf("RSPAN VLAN %d", d.VLAN) + byPort(d.Ports)
	case models.DestinationCapture:
		return "capture on the device"
	case models.DestinationUnset:
		return ""
	}
	t := d.Tunnel
	if t == nil {
		return d.Kind.String()
	}
	parts := []string{d.Kind.String()}
	add := func(set bool, format string, args ...any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(d.Kind == models.DestinationERSPAN, "type %d id %d", t.Version, t.SessionID)
	add(t.Key != 0, "key %d", t.Key)
	add(d.Kind == models.DestinationVXLAN, "vni %d", t.VNI)
	add(true, "%s -> %s", t.Source, t.Destination)
	add(t.VRF != "", "vrf %s", t.VRF)
	add(t.TTL != 0, "ttl %d", t.TTL)
	add(t.DSCP != 0, "dscp %d", t.DSCP)
	add(t.Protocol != 0, "protocol 0x%04x", t.Protocol)
	add(t.Oversize != models.OversizeRefuse, "oversize %s", t.Oversize)
	return strings.Join(parts, " ")
}

// FilterText gives "include tcp to 10.0.0.0/8 port 80; then exclude"; "" when
// there is no rule.
func FilterText(rules []models.Rule) string {
	if len(rules) == 0 {
		return ""
	}
	var parts []string
	for _, r := range rules {
		parts = append(parts, r.Action.String()+" "+matchText(r.Match))
	}
	return strings.Join(parts, "; ") + "; else " + models.DefaultAction(rules).String()
}

func matchText(m models.Match) string {
	var parts []string
	add := func(set bool, text string) {
		if set {
			parts = append(parts, text)
		}
	}
	add(m.Proto != "", m.Proto)
	add(m.Src.IsValid(), "from "+m.Src.String())
	add(len(m.Sport) > 0, "source port "+rangesText(m.Sport))
	add(m.Dst.IsValid(), "to "+m.Dst.String())
	add(len(m.Dport) > 0, "port "+rangesText(m.Dport))
	add(len(m.VLANs) > 0, "VLAN "+rangesText(m.VLANs))
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}
