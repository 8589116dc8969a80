package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Imported is an intent made of sessions found on devices.
type Imported struct {
	Intent   models.Intent
	Sessions []models.Session // normalized
}

// Import makes intents of sessions. The RSPAN sessions of one VLAN become one
// intent when exactly one of them is a destination; any other session becomes an
// intent of its own. What an intent cannot say is left out and noted: nothing is
// dropped silently. The leases of imported intents never end.
func Import(sessions []models.Session) ([]Imported, []Note) {
	var out []Imported
	var notes []Note
	taken := make(map[string]bool)
	skip := func(s models.Session, format string, args ...any) {
		notes = append(notes, Note{Device: s.Device, Text: fmt.Sprintf("session %s: ", sessionLabel(s)) + fmt.Sprintf(format, args...)})
	}
	remote := make(map[uint16][]models.Session)
	var vlans []uint16
	for _, s := range sessions {
		s = s.Normalize()
		if why := inexpressible(s); why != "" {
			skip(s, "%s", why)
			continue
		}
		if v := vlanBetween(s); v != 0 {
			if remote[v] == nil {
				vlans = append(vlans, v)
			}
			remote[v] = append(remote[v], s)
			continue
		}
		in := newIntent(intentNameOf(taken, s.Name, string(s.Device), s.Number), s)
		in.Spec.Sources = sourceSpecs(s)
		in.Spec.Destination = destinationSpec(s)
		out = append(out, Imported{in, []models.Session{s}})
	}
	for _, v := range vlans {
		group := remote[v]
		ends := 0
		for _, s := range group {
			if s.Role == models.RoleDestination {
				ends++
			}
		}
		if ends != 1 || len(group) < 2 {
			for _, s := range group {
				skip(s, "RSPAN VLAN %d has %d destination and %d source sessions among those looked at; an intent needs one and at least one", v, ends, len(group)-ends)
			}
			continue
		}
		out = append(out, importRemote(taken, v, group))
	}
	return out, notes
}

func importRemote(taken map[string]bool, vlan uint16, group []models.Session) Imported {
	i := slices.IndexFunc(group, func(s models.Session) bool { return s.Role == models.RoleSource })
	in := newIntent(intentNameOf(taken, group[i].Name, fmt.Sprintf("rspan-%d", vlan), 0), group[i])
	for _, s := range group {
		if s.Role == models.RoleDestination {
			in.Spec.Destination.RemoteVLAN = &models.RemoteVLANSpec{VLAN: vlan,
				Interface: models.InterfaceSpec{Device: string(s.Device), Name: s.Destination.Ports[0]}}
			continue
		}
		in.Spec.Sources = append(in.Spec.Sources, sourceSpecs(s)...)
	}
	return Imported{in, group}
}

func sessionLabel(s models.Session) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprint(s.Number)
}

func vlanBetween(s models.Session) uint16 {
	switch s.Role {
	case models.RoleSource:
		return s.Destination.VLAN
	case models.RoleDestination:
		return s.Sources[0].VLAN
	}
	return 0
}

// inexpressible says what of s an intent cannot say; "" when it can say all.
func inexpressible(s models.Session) string {
	switch {
	case len(s.Sources) == 0:
		return "it has no source"
	case s.Destination.Kind == models.DestinationUnset:
		return "it has no destination"
	case s.Destination.Kind == models.DestinationOther:
		return fmt.Sprintf("its destination %s is outside of what an intent can say", strings.Join(s.Destination.Ports, ", "))
	case s.Destination.Kind == models.DestinationPort && len(s.Destination.Ports) != 1:
		return fmt.Sprintf("it has %d destination ports; an intent has one", len(s.Destination.Ports))
	case len(s.Extra) > 0:
		return fmt.Sprintf("an intent cannot say %q", strings.Join(s.Extra, `", "`))
	case s.FilterName != "" && len(s.Filter) == 0:
		return fmt.Sprintf("its filter %s is outside of what an intent can say", s.FilterName)
	case s.Shutdown:
		return "it is shut down; an intent is for a mirror that runs"
	}
	for _, src := range s.Sources {
		if src.Kind == models.SourceOther {
			return fmt.Sprintf("its source %s is outside of what an intent can say", src.Name)
		}
	}
	return ""
}

func newIntent(name string, s models.Session) models.Intent {
	in := models.Intent{APIVersion: models.APIVersion, Kind: models.KindMirror, Metadata: models.Metadata{Name: name}}
	in.Spec.Truncate = uint32(s.TruncateTo)
	in.Spec.Sample = s.SampleOneIn
	in.Spec.Expires = models.NeverExpires
	for _, r := range s.Filter {
		m := r.Match
		if r.Action == models.Include {
			in.Spec.Filter = append(in.Spec.Filter, models.RuleSpec{Include: &m})
		} else {
			in.Spec.Filter = append(in.Spec.Filter, models.RuleSpec{Exclude: &m})
		}
	}
	return in
}

// sourceSpecs gathers the sources of s by direction.
func sourceSpecs(s models.Session) []models.SourceSpec {
	var out []models.SourceSpec
	for _, dir := range []models.Direction{models.Rx, models.Tx, models.Both} {
		spec := models.SourceSpec{Device: string(s.Device), Direction: dir}
		for _, src := range s.Sources {
			if src.Direction != dir {
				continue
			}
			if src.Kind == models.SourceVLAN {
				spec.VLANs = append(spec.VLANs, models.One(src.VLAN))
			} else {
				spec.Interfaces = append(spec.Interfaces, src.Name)
			}
		}
		if len(spec.Interfaces)+len(spec.VLANs) > 0 {
			spec.VLANs = models.MergeRanges(spec.VLANs)
			out = append(out, spec)
		}
	}
	return out
}

func destinationSpec(s models.Session) models.DestinationSpec {
	var d models.DestinationSpec
	t := s.Destination.Tunnel
	switch s.Destination.Kind {
	case models.DestinationPort:
		d.Interface = &models.InterfaceSpec{Device: string(s.Device), Name: s.Destination.Ports[0]}
	case models.DestinationERSPAN:
		d.ERSPAN = &models.ERSPANSpec{Address: t.Destination, Source: t.Source, Version: t.Version, SessionID: t.SessionID, VRF: t.VRF, TTL: t.TTL, DSCP: t.DSCP, Oversize: t.Oversize}
	case models.DestinationGRE:
		d.GRE = &models.GRESpec{Address: t.Destination, Source: t.Source, Key: t.Key, VRF: t.VRF, TTL: t.TTL, DSCP: t.DSCP, Oversize: t.Oversize}
	case models.DestinationVXLAN:
		d.VXLAN = &models.VXLANSpec{Address: t.Destination, Source: t.Source, VNI: t.VNI, VRF: t.VRF, TTL: t.TTL, DSCP: t.DSCP, Oversize: t.Oversize}
	case models.DestinationCapture:
		d.Capture = &models.CaptureSpec{Device: string(s.Device)}
	}
	return d
}

// intentNameOf makes a name that no other intent of this import has.
func intentNameOf(taken map[string]bool, session, device string, number int) string {
	base := strings.TrimPrefix(slug(session), SessionPrefix)
	if base == "" {
		base = slug(fmt.Sprintf("%s-%d", device, number))
	}
	name := clip(base, "")
	if taken[name] {
		name = clip(slug(device+"-"+base), "")
	}
	for n := 2; taken[name]; n++ {
		name = clip(base, fmt.Sprintf("-%d", n))
	}
	taken[name] = true
	return name
}

func clip(base, suffix string) string {
	if limit := models.MaxIntentName - len(suffix); len(base) > limit {
		base = strings.Trim(base[:limit], "-")
	}
	return base + suffix
}

// slug makes lower-case letters, digits and inner hyphens of s.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
