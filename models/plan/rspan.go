package plan

import (
	"strings"

	"github.com/spanctl/spanctl/models"
)

// remoteVLANs checks, as far as topology and device states tell, that the VLAN of
// an RSPAN intent crosses the trunks from each source device to the destination,
// and warns where they do not tell. spanctl does not create the VLAN.
//
// Of all ways through the topology one that is known to carry the VLAN is enough;
// else one that is not known to refuse it is warned about; else the shortest tells
// what is in the way.
func (c *checker) remoteVLANs(net *models.Network, platforms Platforms, sessions []models.Session, states map[models.DeviceID]models.DeviceState) {
	ends := make(map[string]models.Session) // the destination session, by intent
	for _, s := range sessions {
		if s.Role == models.RoleDestination && remoteVLAN(s) != 0 {
			ends[s.Intent] = s
		}
	}
	if len(ends) == 0 {
		return
	}
	w := newWays(net, states, tagsItself(platforms, net))
	for _, s := range sessions {
		end, ok := ends[s.Intent]
		if !ok {
			continue
		}
		vlan := remoteVLAN(end)
		if s.Role == models.RoleDestination {
			c.markedOn(s.Intent, s.Device, vlan, platforms, states)
			if !w.tags[s.Device] {
				c.vlanOn(s.Intent, s.Device, w.look(s.Device, vlan), vlan)
			}
			continue
		}
		if s.Role != models.RoleSource {
			continue
		}
		c.markedOn(s.Intent, s.Device, vlan, platforms, states)
		if !w.tags[s.Device] {
			c.vlanOn(s.Intent, s.Device, w.look(s.Device, vlan), vlan)
		}
		path, known := w.path(s.Device, end.Device, vlan)
		switch {
		case known == carries:
			continue
		case path == nil:
			c.pathFinding(s, true, "the topology shows no path to %s: whether VLAN %d reaches it is not known", end.Device, vlan)
			continue
		}
		for _, hop := range path {
			for _, e := range []models.End{hop.A, hop.B} {
				if !w.tags[e.Device] {
					c.trunkCarries(s, e, vlan, states)
				}
			}
			if hop.B.Device != end.Device {
				c.markedOn(s.Intent, hop.B.Device, vlan, platforms, states)
				c.vlanOn(s.Intent, hop.B.Device, w.look(hop.B.Device, vlan), vlan)
			}
		}
	}
	c.found = dedupe(c.found)
}

func (c *checker) pathFinding(s models.Session, warning bool, format string, args ...any) {
	c.find(s.Intent, s.Device, "spec.destination.remoteVlan", "rspan-path", format, args...)
	c.found[len(c.found)-1].Warning = warning
}

// markedOn says whether a device that sets RSPAN VLANs apart has this one among
// them.
func (c *checker) markedOn(intent string, dev models.DeviceID, vlan uint16, platforms Platforms, states map[models.DeviceID]models.DeviceState) {
	p := platforms(dev)
	if p == nil || !p.Capabilities().RSPANMark {
		return
	}
	if v, exists := states[dev].VLANs[vlan]; exists && !v.RemoteSPAN {
		c.find(intent, dev, "spec.destination.remoteVlan.vlan", "rspan-vlan-unmarked",
			"VLAN %d exists here and is an ordinary one, which the device does not take for RSPAN: make it one (vlan %d, remote-span), or choose another", vlan, vlan)
	}
}

// vlanOn says what is wrong with the RSPAN VLAN on one device of a path.
func (c *checker) vlanOn(intent string, dev models.DeviceID, v *vlanView, vlan uint16) {
	const field = "spec.destination.remoteVlan.vlan"
	switch v.exists {
	case unknown:
		c.find(intent, dev, field, "rspan-path", "whether VLAN %d exists here is not known", vlan)
		c.found[len(c.found)-1].Warning = true
	case refuses:
		c.find(intent, dev, field, "rspan-path", "VLAN %d does not exist here; create it on the whole path", vlan)
	}
	for _, name := range v.access {
		c.find(intent, dev, field, "rspan-vlan-in-use", "VLAN %d is the access VLAN of port %s; an RSPAN VLAN is used for nothing else", vlan, name)
	}
}

// trunkCarries says what is wrong with one end of a link on the path.
func (c *checker) trunkCarries(s models.Session, e models.End, vlan uint16, states map[models.DeviceID]models.DeviceState) {
	st, ok := states[e.Device]
	if !ok || st.Ports == nil {
		c.pathFinding(s, true, "whether %s %s carries VLAN %d is not known", e.Device, e.Port, vlan)
		return
	}
	p, ok := trunkPort(st, e.Port)
	switch {
	case !ok:
		c.pathFinding(s, true, "%s has no port %s: the topology and the device disagree", e.Device, e.Port)
	case p.Mode == "":
		c.pathFinding(s, true, "whether %s %s carries VLAN %d is not known", e.Device, e.Port, vlan)
	case p.Mode != models.PortTrunk:
		c.pathFinding(s, false, "%s %s on the way is no trunk (%s): VLAN %d does not cross it", e.Device, e.Port, p.Mode, vlan)
	case carriesVLAN(p, vlan) == refuses:
		c.pathFinding(s, false, "%s %s on the way does not carry VLAN %d (it carries %s): allow it on the trunk", e.Device, e.Port, vlan, rangesText(p.TrunkVLANs))
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

func dedupe(fs models.Findings) models.Findings {
	seen := make(map[models.Finding]bool, len(fs))
	out := fs[:0]
	for _, f := range fs {
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out
}
