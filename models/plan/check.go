package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/spanctl/spanctl/models"
)

// Policy is what a team decides about risks. The zero value refuses what can hurt
// production and warns of what can lose copies.
type Policy struct {
	// Force turns the findings about a destination port in use (uplink, trunk, LAG
	// member, address, neighbours, MAC addresses) into warnings.
	Force bool `json:"force,omitempty"`
	// RefuseOversubscription refuses sources whose line rates exceed the
	// destination's instead of warning of it.
	RefuseOversubscription bool `json:"refuseOversubscription,omitempty"`
}

// Check gives what can be refused without asking a device: features that the
// platform lacks, sessions that contradict each other, destinations that the
// topology shows to be in use, leases that have ended. origins, by intent name,
// gives findings their place.
func Check(net *models.Network, platforms Platforms, intents []models.Intent, sessions []models.Session, pol Policy, now time.Time) models.Findings {
	c := newChecker(intents, pol)
	for _, in := range intents {
		if at := in.Spec.Expires.At; !at.IsZero() && !at.After(now) {
			c.find(in.Metadata.Name, "", "spec.expires", "expired", "the lease ended at %s", at.Format(time.RFC3339))
		}
	}
	uplinks := uplinksOf(net)
	for _, s := range sessions {
		p := platforms(s.Device)
		if p == nil {
			d, _ := net.Device(s.Device)
			c.find(s.Intent, s.Device, "", "no-driver", "platform %q has no driver", d.Platform)
			continue
		}
		c.features(s, p)
		c.self(s)
		for _, port := range s.Destination.Ports {
			if far, ok := uplinks[models.End{Device: s.Device, Port: port}]; ok && s.Destination.Kind == models.DestinationPort {
				c.inUse(s, port, "uplink", far)
			}
		}
	}
	c.between(sessions)
	return c.found
}

type checker struct {
	origins map[string]models.Origin
	pol     Policy
	found   models.Findings
}

func newChecker(intents []models.Intent, pol Policy) *checker {
	c := &checker{origins: make(map[string]models.Origin, len(intents)), pol: pol}
	for _, in := range intents {
		c.origins[in.Metadata.Name] = in.Origin
	}
	return c
}

func (c *checker) find(intent string, dev models.DeviceID, field, rule, format string, args ...any) {
	c.found = append(c.found, models.Finding{
		Origin: c.origins[intent], Intent: intent, Device: dev, Field: field, Rule: rule,
		Message: fmt.Sprintf(format, args...),
	})
}

// inUse is a finding about a destination port that has another duty.
func (c *checker) inUse(s models.Session, port, rule, what string) {
	c.find(s.Intent, s.Device, "spec.destination", rule,
		"port %s is %s; as a destination it would lose that duty: choose a free port, or force it", port, what)
	if c.pol.Force {
		last := &c.found[len(c.found)-1]
		last.Warning = true
		last.Message = fmt.Sprintf("port %s is %s; it loses that duty, as forced", port, what)
	}
}

// uplinksOf gives the ports that lead to other managed devices, or are declared
// as uplinks, with words about where they lead.
func uplinksOf(net *models.Network) map[models.End]string {
	managed := make(map[models.DeviceID]bool, len(net.Devices))
	out := make(map[models.End]string)
	for _, d := range net.Devices {
		managed[d.ID] = true
		for _, p := range d.Uplinks {
			out[models.End{Device: d.ID, Port: p}] = "an uplink by the inventory"
		}
	}
	for _, l := range net.Links {
		if managed[l.A.Device] && managed[l.B.Device] {
			out[l.A] = fmt.Sprintf("the link to %s %s", l.B.Device, l.B.Port)
			out[l.B] = fmt.Sprintf("the link to %s %s", l.A.Device, l.A.Port)
		}
	}
	return out
}

// need is a feature that a session uses, with the field that asks for it.
type need struct {
	feature models.Feature
	field   string
}

func needs(s models.Session) []need {
	var ns []need
	add := func(f models.Feature, field string) { ns = append(ns, need{f, field}) }
	switch s.Destination.Kind {
	case models.DestinationPort:
		if s.Role == models.RoleDestination {
			add(models.FeatureRSPANDestination, "spec.destination.remoteVlan")
		} else {
			add(models.FeatureSPAN, "spec.destination.interface")
		}
		if len(s.Destination.Ports) > 1 {
			add(models.FeatureManyDestinations, "spec.destination")
		}
	case models.DestinationRemoteVLAN:
		add(models.FeatureRSPANSource, "spec.destination.remoteVlan")
	case models.DestinationERSPAN:
		add([]models.Feature{models.FeatureERSPAN1, models.FeatureERSPAN2, models.FeatureERSPAN3}[s.Destination.Tunnel.Version-1], "spec.destination.erspan")
	case models.DestinationGRE:
		add(models.FeatureGRE, "spec.destination.gre")
	case models.DestinationVXLAN:
		add(models.FeatureVXLAN, "spec.destination.vxlan")
	}
	if t := s.Destination.Tunnel; t != nil {
		for f, asked := range map[models.Feature]bool{
			models.FeatureTunnelVRF: t.VRF != "", models.FeatureTunnelTTL: t.TTL != 0,
			models.FeatureTunnelDSCP: t.DSCP != 0, models.FeatureTunnelKey: t.Key != 0,
		} {
			if asked {
				add(f, "spec.destination")
			}
		}
	}
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort:
			add(models.FeaturePortSource, "spec.sources")
		case models.SourceLAG:
			add(models.FeatureLAGSource, "spec.sources")
		case models.SourceVLAN:
			add(models.FeatureVLANSource, "spec.sources")
		case models.SourceRemoteVLAN:
			continue // has a direction only in form
		}
		switch src.Direction {
		case models.Rx:
			add(models.FeatureRx, "spec.sources")
		case models.Tx:
			add(models.FeatureTx, "spec.sources")
		case models.Both:
			add(models.FeatureBoth, "spec.sources")
		}
	}
	for _, r := range s.Filter {
		if len(r.Match.VLANs) > 0 {
			add(models.FeatureFilterVLAN, "spec.filter")
		}
		switch r.Match.Family() {
		case 4:
			add(models.FeatureFilterIPv4, "spec.filter")
		case 6:
			add(models.FeatureFilterIPv6, "spec.filter")
		}
	}
	if s.TruncateTo > 0 {
		add(models.FeatureTruncate, "spec.truncate")
	}
	if s.SampleOneIn > 1 {
		add(models.FeatureSample, "spec.sample")
	}
	slices.SortFunc(ns, func(a, b need) int {
		fs := models.Features()
		return slices.Index(fs, a.feature) - slices.Index(fs, b.feature)
	})
	return slices.Compact(ns)
}

func (c *checker) features(s models.Session, p Platform) {
	caps := p.Capabilities()
	for _, n := range needs(s) {
		claim := caps.Of(n.feature)
		if claim.Support == models.No {
			why := claim.Why
			if why == "" {
				why = "nothing is known that says it could"
			}
			c.find(s.Intent, s.Device, n.field, "unsupported", "%s cannot do %s: %s", caps.Platform, n.feature, why)
			continue
		}
		if claim.Limit == 0 {
			continue
		}
		switch n.feature {
		case models.FeaturePortSource:
			if len(s.Sources) > claim.Limit {
				c.find(s.Intent, s.Device, n.field, "limit", "has %d sources; %s takes %d in a session", len(s.Sources), caps.Platform, claim.Limit)
			}
		case models.FeatureManyDestinations:
			if len(s.Destination.Ports) > claim.Limit {
				c.find(s.Intent, s.Device, n.field, "limit", "has %d destinations; %s takes %d in a session", len(s.Destination.Ports), caps.Platform, claim.Limit)
			}
		}
	}
	if caps.NameMax > 0 && len(s.Name) > caps.NameMax {
		c.find(s.Intent, s.Device, "metadata.name", "limit", "session name %q has %d characters; %s takes %d", s.Name, len(s.Name), caps.Platform, caps.NameMax)
	}
	for _, text := range p.Check(s) {
		c.find(s.Intent, s.Device, "", "platform-rule", "%s", text)
	}
}

// self refuses a port that would receive copies of itself.
func (c *checker) self(s models.Session) {
	for _, port := range s.Destination.Ports {
		for _, src := range s.Sources {
			if src.Name == port && (src.Kind == models.SourcePort || src.Kind == models.SourceLAG) {
				c.find(s.Intent, s.Device, "spec.destination", "self", "port %s is a source and the destination of the same mirror", port)
			}
		}
	}
}

// between refuses what wanted sessions do to each other.
func (c *checker) between(sessions []models.Session) {
	type vlanUse struct{ intent string }
	destinations := make(map[models.End]string)
	vlans := make(map[uint16]vlanUse)
	identity := make(map[models.SessionID]string)
	for _, s := range sessions {
		if s.Name != "" {
			if other, dup := identity[s.ID()]; dup && other != s.Intent {
				c.find(s.Intent, s.Device, "metadata.name", "duplicate-session", "session name %q is also that of intent %s", s.Name, other)
			}
			identity[s.ID()] = s.Intent
		}
		for _, port := range s.Destination.Ports {
			end := models.End{Device: s.Device, Port: port}
			if other, used := destinations[end]; used {
				c.find(s.Intent, s.Device, "spec.destination", "shared-destination", "port %s is already the destination of intent %s", port, other)
				continue
			}
			destinations[end] = s.Intent
		}
		if v := s.Destination.VLAN; v != 0 {
			if u, used := vlans[v]; used && u.intent != s.Intent {
				c.find(s.Intent, s.Device, "spec.destination.remoteVlan.vlan", "shared-vlan", "RSPAN VLAN %d is already that of intent %s: the copies would mix", v, u.intent)
				continue
			}
			vlans[v] = vlanUse{s.Intent}
		}
	}
	for _, s := range sessions {
		for _, src := range s.Sources {
			if src.Name == "" {
				continue
			}
			if other, used := destinations[models.End{Device: s.Device, Port: src.Name}]; used && other != s.Intent {
				c.find(s.Intent, s.Device, "spec.sources", "source-is-destination", "port %s is the destination of intent %s; copies would be copied", src.Name, other)
			}
		}
		for _, src := range s.Sources {
			if u, used := vlans[src.VLAN]; used && src.Kind == models.SourceVLAN {
				c.find(s.Intent, s.Device, "spec.sources", "source-is-destination", "VLAN %d is the RSPAN VLAN of intent %s; copies would be copied", src.VLAN, u.intent)
			}
		}
	}
}
