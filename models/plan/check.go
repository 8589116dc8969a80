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
// topology shows to be in use, leases that have ended. Sessions are those of
// Resolve; intents give findings their place.
func Check(net *models.Network, platforms Platforms, intents []models.Intent, sessions []models.Session, pol Policy, now time.Time) models.Findings {
	c := newChecker(intents, pol)
	for _, in := range intents {
		if at := in.Spec.Expires.At; !at.IsZero() && !at.After(now) {
			c.find(in.Metadata.Name, "", "spec.expires", "expired", "the lease ended at %s: give a later time, or delete the intent", at.Format(time.RFC3339))
		}
	}
	uplinks := uplinksOf(net)
	platformOf := make(map[models.DeviceID]string, len(net.Devices))
	for _, d := range net.Devices {
		platformOf[d.ID] = d.Platform
	}
	for _, s := range sessions {
		p := platforms(s.Device)
		if p == nil {
			c.find(s.Intent, s.Device, "", "no-driver", noDriver, platformOf[s.Device])
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

// noDriver takes the platform.
const noDriver = "platform %q has no driver: correct the device's platform in the inventory, or leave the device out"

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
	hint    string // what would need less; "" = nothing is known that would
}

var (
	erspanFeature = map[uint8]models.Feature{
		1: models.FeatureERSPAN1, 2: models.FeatureERSPAN2, 3: models.FeatureERSPAN3,
	}
	featureRank = rankFeatures()
)

func rankFeatures() map[models.Feature]int {
	rank := make(map[models.Feature]int)
	for i, f := range models.Features() {
		rank[f] = i
	}
	return rank
}

// needs gives what s asks of a platform, in the order of the support table, each
// once. s is normalized.
func needs(s models.Session) []need {
	var ns []need
	add := func(f models.Feature, field string) { ns = append(ns, need{feature: f, field: field}) }
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
		version := uint8(2)
		if t := s.Destination.Tunnel; t != nil && t.Version != 0 {
			version = t.Version
		}
		f, ok := erspanFeature[version]
		if !ok {
			f = models.Feature(fmt.Sprintf("erspan-%d", version)) // no platform claims it
		}
		add(f, "spec.destination.erspan")
	case models.DestinationGRE:
		add(models.FeatureGRE, "spec.destination.gre")
	case models.DestinationVXLAN:
		add(models.FeatureVXLAN, "spec.destination.vxlan")
	case models.DestinationCapture:
		add(models.FeatureCapture, "spec.destination.capture")
	}
	if t := s.Destination.Tunnel; t != nil {
		for _, part := range []struct {
			asked   bool
			feature models.Feature
		}{
			{t.VRF != "", models.FeatureTunnelVRF},
			{t.TTL != 0, models.FeatureTunnelTTL},
			{t.DSCP != 0, models.FeatureTunnelDSCP},
			{t.Key != 0, models.FeatureTunnelKey},
			{t.Oversize != models.OversizeRefuse, models.FeatureOversize},
		} {
			if part.asked {
				add(part.feature, "spec.destination")
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
	ns = append(ns, filterNeeds(s.Filter)...)
	if s.TruncateTo > 0 {
		add(models.FeatureTruncate, "spec.truncate")
	}
	if s.SampleOneIn > 1 {
		add(models.FeatureSample, "spec.sample")
	}
	slices.SortStableFunc(ns, func(a, b need) int { return featureRank[a.feature] - featureRank[b.feature] })
	return slices.CompactFunc(ns, func(a, b need) bool { return a.feature == b.feature })
}

// filterNeeds gives what rules ask of a platform. A rule on protocols or ports that
// names no address holds for IPv4 and IPv6: a filter of one of them would lose
// frames without a word.
func filterNeeds(rules []models.Rule) []need {
	const field = "spec.filter"
	var ns []need
	for _, r := range rules {
		m := r.Match
		if len(m.VLANs) > 0 {
			ns = append(ns, need{feature: models.FeatureFilterVLAN, field: field})
		}
		switch {
		case m.Family() == 4:
			ns = append(ns, need{feature: models.FeatureFilterIPv4, field: field})
		case m.Family() == 6:
			ns = append(ns, need{feature: models.FeatureFilterIPv6, field: field})
		case m.Proto != "" || len(m.Sport) > 0 || len(m.Dport) > 0:
			ns = append(ns,
				need{models.FeatureFilterIPv4, field, "a rule holds for IPv4 and IPv6; src or dst ::/0 restricts it to IPv6"},
				need{models.FeatureFilterIPv6, field, "a rule holds for IPv4 and IPv6; src or dst 0.0.0.0/0 restricts it to IPv4"})
		}
	}
	if len(rules) > 0 && len(ns) == 0 {
		ns = append(ns, need{models.FeatureFilterIPv4, field, "all rules match every frame; leave them out"})
	}
	return ns
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
			if n.hint != "" {
				why += " (" + n.hint + ")"
			}
			c.find(s.Intent, s.Device, n.field, "unsupported", "%s cannot do %s: %s", caps.Platform, n.feature, why)
			continue
		}
		if claim.Limit == 0 {
			continue
		}
		switch n.feature {
		case models.FeatureLAGSource:
			c.sourceLimit(s, caps, "LAGs", count(s.Sources, models.SourceLAG), claim.Limit)
		case models.FeatureVLANSource:
			c.sourceLimit(s, caps, "VLANs", count(s.Sources, models.SourceVLAN), claim.Limit)
		case models.FeatureManyDestinations:
			if n := len(s.Destination.Ports); n > claim.Limit {
				c.find(s.Intent, s.Device, "spec.destination", "limit", "has %d destinations; %s takes %d in a session", n, caps.Platform, claim.Limit)
			}
		case models.FeatureTruncate:
			if int(s.TruncateTo) > claim.Limit {
				c.find(s.Intent, s.Device, n.field, "limit", "keeps %d bytes; %s keeps at most %d", s.TruncateTo, caps.Platform, claim.Limit)
			}
		case models.FeatureSample:
			if int64(s.SampleOneIn) > int64(claim.Limit) {
				c.find(s.Intent, s.Device, n.field, "limit", "is one in %d; %s takes at most one in %d", s.SampleOneIn, caps.Platform, claim.Limit)
			}
		}
	}
	if limit := caps.Of(models.FeaturePortSource).Limit; limit > 0 {
		c.sourceLimit(s, caps, "sources", len(s.Sources), limit)
	}
	if caps.NameMax > 0 && len(s.Name) > caps.NameMax {
		c.find(s.Intent, s.Device, "metadata.name", "limit", "session name %q has %d characters; %s takes %d", s.Name, len(s.Name), caps.Platform, caps.NameMax)
	}
	for _, text := range p.Check(s) {
		c.find(s.Intent, s.Device, "", "platform-rule", "%s", text)
	}
}

func (c *checker) sourceLimit(s models.Session, caps models.Capabilities, what string, n, limit int) {
	if n > limit {
		c.find(s.Intent, s.Device, "spec.sources", "limit", "has %d %s; %s takes %d in a session: make several intents", n, what, caps.Platform, limit)
	}
}

func count(sources []models.Source, kind models.SourceKind) int {
	n := 0
	for _, s := range sources {
		if s.Kind == kind {
			n++
		}
	}
	return n
}

// destinationPorts gives the ports that copies leave by and nothing else shall. Those
// by which a host reaches an RSPAN VLAN carry all that a trunk carries.
func destinationPorts(s models.Session) []string {
	if s.Destination.Kind == models.DestinationRemoteVLAN {
		return nil
	}
	return s.Destination.Ports
}

// self refuses a port that would receive copies of itself.
func (c *checker) self(s models.Session) {
	for _, port := range destinationPorts(s) {
		for _, src := range s.Sources {
			if src.Name == port && (src.Kind == models.SourcePort || src.Kind == models.SourceLAG) {
				c.find(s.Intent, s.Device, "spec.destination", "self", "port %s is a source and the destination of the same mirror: choose another destination", port)
			}
		}
	}
}

// between refuses what wanted sessions do to each other.
func (c *checker) between(sessions []models.Session) {
	destinations := make(map[models.End]string) // by whom, as are the others
	vlans := make(map[uint16]string)
	identity := make(map[models.SessionID]string)
	for _, s := range sessions {
		if s.Name != "" {
			if other, dup := identity[s.ID()]; dup && other != s.Intent {
				c.find(s.Intent, s.Device, "metadata.name", "duplicate-session", "session name %q is also that of intent %s: rename one of them", s.Name, other)
			}
			identity[s.ID()] = s.Intent
		}
		for _, port := range destinationPorts(s) {
			end := models.End{Device: s.Device, Port: port}
			other, used := destinations[end]
			switch {
			case !used:
				destinations[end] = s.Intent
			case other == s.Intent:
				c.find(s.Intent, s.Device, "spec.destination", "shared-destination",
					"port %s would be the destination of two sessions of this intent, one for sources of this device and one for the RSPAN VLAN: leave those sources out, or reach the other devices by a tunnel", port)
			default:
				c.find(s.Intent, s.Device, "spec.destination", "shared-destination",
					"port %s is already the destination of intent %s: choose another, or put the sources into one intent", port, other)
			}
		}
		if v := s.Destination.VLAN; v != 0 {
			if other, used := vlans[v]; used && other != s.Intent {
				c.find(s.Intent, s.Device, "spec.destination.remoteVlan.vlan", "shared-vlan",
					"RSPAN VLAN %d is already that of intent %s, and the copies would mix: choose another", v, other)
				continue
			}
			vlans[v] = s.Intent
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
			if other, used := vlans[src.VLAN]; used && src.Kind == models.SourceVLAN {
				c.find(s.Intent, s.Device, "spec.sources", "source-is-destination", "VLAN %d is the RSPAN VLAN of intent %s; copies would be copied", src.VLAN, other)
			}
		}
	}
}
