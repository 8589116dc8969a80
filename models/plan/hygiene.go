package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// CheckState gives what the observed states refuse of sessions: ports that do not
// exist, destinations in use, strangers in the way, limits, oversubscription, and
// what is known of the path of RSPAN copies. states are marked (MarkOwned);
// devices without a state are not looked at. deleted tells which of our sessions
// this run takes away, by intent; they no longer count.
func CheckState(net *models.Network, platforms Platforms, intents []models.Intent, sessions []models.Session,
	states map[models.DeviceID]models.DeviceState, deleted func(intent string) bool, pol Policy) models.Findings {
	c := newChecker(intents, pol)
	byDevice := make(map[models.DeviceID][]models.Session)
	var order []models.DeviceID
	again := make(map[string]bool) // intents of this run: what they leave behind, Diff takes away
	for _, s := range sessions {
		again[s.Intent] = true
		if _, seen := byDevice[s.Device]; !seen {
			order = append(order, s.Device)
		}
		byDevice[s.Device] = append(byDevice[s.Device], s)
	}
	for _, dev := range order {
		st, ok := states[dev]
		if !ok {
			continue
		}
		others := stays(st, func(intent string) bool { return again[intent] || deleted(intent) })
		for _, s := range byDevice[dev] {
			c.strangers(s, others)
			c.sourcePorts(s, st)
			c.destinationPorts(s, st)
			c.rates(s, st)
		}
		if p := platforms(dev); p != nil {
			c.sessionLimit(byDevice[dev], others, p, st)
		}
	}
	c.remoteVLANs(net, platforms, sessions, states)
	return c.found
}

// stays gives the sessions of st that will still be there beside the wanted ones:
// foreign ones, and those of intents that this run is not about.
func stays(st models.DeviceState, handled func(intent string) bool) []models.Session {
	var out []models.Session
	for _, s := range st.Sessions {
		if s.Intent == "" || !handled(s.Intent) {
			s.Device = st.Device
			out = append(out, s)
		}
	}
	return out
}

func whose(s models.Session) string {
	name := s.Name
	if name == "" {
		name = fmt.Sprint(s.Number)
	}
	if s.Intent == "" {
		return fmt.Sprintf("session %q, which is not spanctl's", name)
	}
	return fmt.Sprintf("session %q of intent %s", name, s.Intent)
}

// strangers refuses to take a name, a destination or a source from a session that
// stays.
func (c *checker) strangers(s models.Session, others []models.Session) {
	for _, o := range others {
		switch {
		case o.ID() != s.ID():
		case o.Intent == "":
			c.find(s.Intent, s.Device, "metadata.name", "foreign-session",
				"%s already exists; adopt it, or choose another name", whose(o))
			continue
		default:
			c.find(s.Intent, s.Device, "metadata.name", "duplicate-session",
				"%s already exists; choose another name, or delete that intent first", whose(o))
			continue
		}
		for _, port := range destinationPorts(s) {
			if slices.Contains(destinationPorts(o), port) {
				c.find(s.Intent, s.Device, "spec.destination", "shared-destination", "port %s is already the destination of %s: choose another", port, whose(o))
			}
			if slices.ContainsFunc(o.Sources, func(src models.Source) bool { return src.Name == port }) {
				c.find(s.Intent, s.Device, "spec.destination", "destination-is-source", "port %s is a source of %s; copies would be copied", port, whose(o))
			}
		}
		for _, src := range s.Sources {
			if src.Name != "" && slices.Contains(destinationPorts(o), src.Name) {
				c.find(s.Intent, s.Device, "spec.sources", "source-is-destination", "port %s is the destination of %s; copies would be copied", src.Name, whose(o))
			}
		}
		if v := remoteVLAN(s); v != 0 && remoteVLAN(o) == v {
			c.find(s.Intent, s.Device, "spec.destination.remoteVlan.vlan", "shared-vlan", "RSPAN VLAN %d is already that of %s, and the copies would mix: choose another", v, whose(o))
		}
	}
}

// knownPort finds a port, or finds fault with its absence. Without a list of ports
// nothing is known.
func (c *checker) knownPort(s models.Session, st models.DeviceState, field, name string) (models.Port, bool) {
	if st.Ports == nil {
		return models.Port{}, false
	}
	p, ok := st.Ports[name]
	if !ok && unseenPlace(st, name) {
		return models.Port{}, false
	}
	if !ok {
		hint := ""
		names := make([]string, 0, len(st.Ports))
		for n := range st.Ports {
			names = append(names, n)
		}
		slices.SortFunc(names, models.CompareNatural)
		if near := Nearest(name, names); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		c.find(s.Intent, s.Device, field, "unknown-port", "the device has no port %s%s", name, hint)
	}
	return p, ok
}

// unseenPlace reports whether a port is in another network namespace of a host, into
// which nobody has looked.
func unseenPlace(st models.DeviceState, name string) bool {
	place, _, ok := models.CutPlace(name)
	if !ok {
		return false
	}
	for n := range st.Ports {
		if p, _, _ := models.CutPlace(n); p == place {
			return false
		}
	}
	return true
}

func (c *checker) sourcePorts(s models.Session, st models.DeviceState) {
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourcePort, models.SourceLAG:
			p, _ := c.knownPort(s, st, "spec.sources", src.Name)
			if p.LAG != "" && slices.Contains(s.Destination.Ports, p.LAG) {
				c.find(s.Intent, s.Device, "spec.destination", "self",
					"%s is the destination and holds the source %s: choose another destination", p.LAG, src.Name)
			}
		case models.SourceVLAN:
			if _, ok := st.VLANs[src.VLAN]; st.VLANs != nil && !ok {
				c.find(s.Intent, s.Device, "spec.sources", "unknown-vlan", "the device has no VLAN %d: create it, or leave it out", src.VLAN)
			}
		}
	}
}

// destinationPorts refuses a destination that has another duty (product.md,
// promise 6).
func (c *checker) destinationPorts(s models.Session, st models.DeviceState) {
	if s.Destination.Kind != models.DestinationPort {
		return
	}
	already := alreadyDestination(s, st)
	for _, name := range s.Destination.Ports {
		p, ok := c.knownPort(s, st, "spec.destination", name)
		if !ok || already[name] {
			continue // in use by this very session: what it shows is its duty as a destination
		}
		if p.LAG != "" {
			c.inUse(s, name, "lag-member", "a member of "+p.LAG)
		}
		if len(p.Addresses) > 0 {
			c.inUse(s, name, "routed-port", "a routed port with address "+p.Addresses[0].String())
		} else if p.Mode == models.PortRouted {
			c.inUse(s, name, "routed-port", "a routed port")
		}
		if p.Mode == models.PortTrunk {
			c.inUse(s, name, "trunk", "a trunk")
		}
		if len(p.Neighbors) > 0 {
			c.inUse(s, name, "neighbor", "connected to "+strings.Join(p.Neighbors, ", "))
		}
		if p.MACs > 0 {
			c.inUse(s, name, "mac-addresses", fmt.Sprintf("a port with %d learned MAC addresses", p.MACs))
		}
	}
}

// alreadyDestination gives the ports that s has as destinations on the device now.
func alreadyDestination(s models.Session, st models.DeviceState) map[string]bool {
	out := make(map[string]bool)
	for _, h := range st.Sessions {
		h.Device = st.Device
		if h.ID() == s.ID() && h.Intent == s.Intent {
			for _, p := range h.Destination.Ports {
				out[p] = true
			}
		}
	}
	return out
}

// rates compares line rates: the worst case that sources can offer with what the
// destination can carry.
func (c *checker) rates(s models.Session, st models.DeviceState) {
	if s.Destination.Kind != models.DestinationPort || len(s.Destination.Ports) == 0 || s.SampleOneIn > 1 {
		return
	}
	var offered uint64
	for _, src := range s.Sources {
		p, ok := st.Ports[src.Name]
		if !ok || p.SpeedMbps == 0 {
			return // not known
		}
		n := uint64(p.SpeedMbps)
		if src.Direction == models.Both {
			n *= 2
		}
		offered += n
	}
	for _, name := range s.Destination.Ports {
		p, ok := st.Ports[name]
		if !ok || p.SpeedMbps == 0 || offered <= uint64(p.SpeedMbps) {
			continue
		}
		c.find(s.Intent, s.Device, "spec.sources", "oversubscription",
			"the sources can offer %d Mbit/s and %s carries %d: at full load copies are lost", offered, name, p.SpeedMbps)
		c.found[len(c.found)-1].Warning = !c.pol.RefuseOversubscription
	}
}

func (c *checker) sessionLimit(wanted, others []models.Session, p Platform, st models.DeviceState) {
	limit := p.Capabilities().Of(models.FeatureSessions).Limit
	if st.Facts.MaxSessions > 0 {
		limit = st.Facts.MaxSessions
	}
	total := len(wanted) + len(others)
	if limit == 0 || total <= limit {
		return
	}
	c.find(wanted[len(wanted)-1].Intent, st.Device, "", "session-limit",
		"the device takes %d sessions; %d others are there and %d are wanted: delete one, or put sources into one intent", limit, len(others), len(wanted))
}
