package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// remoteVLANs checks, as far as topology and device states tell, that the VLAN of
// an RSPAN intent crosses the trunks from each source device to the destination,
// and warns where they do not tell. spanctl does not create the VLAN.
func (c *checker) remoteVLANs(net *models.Network, sessions []models.Session, states map[models.DeviceID]models.DeviceState) {
	ends := make(map[string]models.Session) // the destination session, by intent
	for _, s := range sessions {
		if s.Role == models.RoleDestination {
			ends[s.Intent] = s
		}
	}
	adj := adjacency(net)
	for _, s := range sessions {
		end, ok := ends[s.Intent]
		if s.Role != models.RoleSource || !ok {
			continue
		}
		vlan := s.Destination.VLAN
		c.vlanOn(s.Intent, s.Device, vlan, states)
		path := shortest(adj, s.Device, end.Device)
		if path == nil {
			c.warn(s, "rspan-path", "the topology shows no path to %s: whether VLAN %d reaches it is not known", end.Device, vlan)
			continue
		}
		for _, hop := range path {
			for _, e := range []models.End{hop.A, hop.B} {
				c.trunkCarries(s, e, vlan, states)
			}
			if hop.B.Device != end.Device {
				c.vlanOn(s.Intent, hop.B.Device, vlan, states)
			}
		}
	}
	for _, end := range ends {
		c.vlanOn(end.Intent, end.Device, end.Sources[0].VLAN, states)
	}
	c.found = dedupe(c.found)
}

func (c *checker) warn(s models.Session, rule, format string, args ...any) {
	c.find(s.Intent, s.Device, "spec.destination.remoteVlan", rule, format, args...)
	c.found[len(c.found)-1].Warning = true
}

func (c *checker) vlanOn(intent string, dev models.DeviceID, vlan uint16, states map[models.DeviceID]models.DeviceState) {
	const field = "spec.destination.remoteVlan.vlan"
	st, ok := states[dev]
	if !ok || st.VLANs == nil {
		c.find(intent, dev, field, "rspan-path", "whether VLAN %d exists here is not known", vlan)
		c.found[len(c.found)-1].Warning = true
		return
	}
	if _, ok := st.VLANs[vlan]; !ok {
		c.find(intent, dev, field, "rspan-path", "VLAN %d does not exist here; create it on the whole path", vlan)
	}
	for _, name := range sortedPorts(st.Ports) {
		if p := st.Ports[name]; p.Mode == models.PortAccess && p.AccessVLAN == vlan {
			c.find(intent, dev, field, "rspan-vlan-in-use", "VLAN %d is the access VLAN of port %s; an RSPAN VLAN is used for nothing else", vlan, name)
		}
	}
}

func sortedPorts(ports map[string]models.Port) []string {
	names := make([]string, 0, len(ports))
	for n := range ports {
		names = append(names, n)
	}
	slices.SortFunc(names, models.CompareNatural)
	return names
}

// trunkCarries checks one end of a link on the path.
func (c *checker) trunkCarries(s models.Session, e models.End, vlan uint16, states map[models.DeviceID]models.DeviceState) {
	st, ok := states[e.Device]
	if !ok || st.Ports == nil {
		return // vlanOn has said that nothing is known of the device
	}
	p, ok := st.Ports[e.Port]
	if ok && p.LAG != "" {
		p, ok = st.Ports[p.LAG]
	}
	switch {
	case !ok:
		c.warn(s, "rspan-path", "%s has no port %s: the topology and the device disagree", e.Device, e.Port)
	case p.Mode == "":
		c.warn(s, "rspan-path", "whether %s %s carries VLAN %d is not known", e.Device, e.Port, vlan)
	case p.Mode != models.PortTrunk:
		c.find(s.Intent, s.Device, "spec.destination.remoteVlan", "rspan-path", "%s %s on the way is no trunk (%s): VLAN %d does not cross it", e.Device, e.Port, p.Mode, vlan)
	case p.TrunkVLANs != nil && !models.RangesContain(p.TrunkVLANs, vlan):
		c.find(s.Intent, s.Device, "spec.destination.remoteVlan", "rspan-path", "%s %s on the way does not carry VLAN %d (it carries %s)", e.Device, e.Port, vlan, rangesText(p.TrunkVLANs))
	}
}

func rangesText(rs []models.Range) string {
	var parts []string
	for _, r := range rs {
		parts = append(parts, r.String())
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

func adjacency(net *models.Network) map[models.DeviceID][]models.Link {
	managed := make(map[models.DeviceID]bool, len(net.Devices))
	for _, d := range net.Devices {
		managed[d.ID] = true
	}
	adj := make(map[models.DeviceID][]models.Link)
	for _, l := range net.Links {
		if managed[l.A.Device] && managed[l.B.Device] {
			adj[l.A.Device] = append(adj[l.A.Device], l)
			adj[l.B.Device] = append(adj[l.B.Device], models.Link{A: l.B, B: l.A})
		}
	}
	return adj
}

// shortest gives the links of a shortest path, each from the near to the far end;
// nil when there is none. Of several, the one whose links come first in the
// topology.
func shortest(adj map[models.DeviceID][]models.Link, from, to models.DeviceID) []models.Link {
	cameBy := map[models.DeviceID]models.Link{from: {}}
	queue := []models.DeviceID{from}
	for len(queue) > 0 {
		dev := queue[0]
		queue = queue[1:]
		if dev == to {
			var path []models.Link
			for dev != from {
				l := cameBy[dev]
				path = append(path, l)
				dev = l.A.Device
			}
			slices.Reverse(path)
			return path
		}
		for _, l := range adj[dev] {
			if _, seen := cameBy[l.B.Device]; !seen {
				cameBy[l.B.Device] = l
				queue = append(queue, l.B.Device)
			}
		}
	}
	return nil
}

func dedupe(fs models.Findings) models.Findings {
	seen := make(map[string]bool, len(fs))
	out := fs[:0]
	for _, f := range fs {
		key := fmt.Sprint(f.Rule, f.Warning, f)
		if !seen[key] {
			seen[key] = true
			out = append(out, f)
		}
	}
	return out
}
