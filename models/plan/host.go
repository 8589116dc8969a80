package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// capture gives the session whose copies stay on the device.
func (r *resolver) capture(base models.Session, devs []models.DeviceID, sources map[models.DeviceID][]models.Source, to models.CaptureSpec) []models.Session {
	const field = "spec.destination.capture"
	if !r.known(field+".device", to.Device) {
		return nil
	}
	var out []models.Session
	for _, dev := range devs {
		if dev != models.DeviceID(to.Device) {
			r.add(field, dev, "destination",
				"has sources, but the copies are to be captured on %s, which takes those of its own ports only: make an intent for each device, or use a tunnel", to.Device)
			continue
		}
		s := base
		s.Device, s.Role, s.Sources = dev, models.RoleLocal, sources[dev]
		s.Name = SessionName(s.Intent, s.Role)
		s.Destination = models.Destination{Kind: models.DestinationCapture}
		out = append(out, s)
	}
	return out
}

// rspanPort gives the port by which dev reaches the RSPAN VLAN on the way to far, where
// its platform has to be told (Capabilities.RSPANPort); else "". It is the first port
// of the shortest way through the topology or, where that shows none, the only uplink
// of the inventory.
func (r *resolver) rspanPort(field string, dev, far models.DeviceID) string {
	p := r.platforms(dev)
	if p == nil || !p.Capabilities().RSPANPort {
		return ""
	}
	if r.ways == nil {
		r.ways = newWays(r.net, nil, nil)
	}
	if path, _ := r.ways.path(dev, far, 0); len(path) > 0 {
		return path[0].A.Port
	}
	uplinks := r.net.Devices[r.devices[dev]].Uplinks
	if len(uplinks) == 1 {
		return uplinks[0]
	}
	known := "none"
	if len(uplinks) > 0 {
		known = strings.Join(uplinks, ", ")
	}
	r.add(field, dev, "rspan-port",
		"by which port it reaches the RSPAN VLAN is not known: the topology shows no way to %s, and the inventory gives as uplinks %s: add the link, or one uplink", far, known)
	return ""
}

// rspanSources gives the sources of the destination role: the RSPAN VLAN and, where
// the platform has to be told, each port by which it comes from devs.
func (r *resolver) rspanSources(field string, dev models.DeviceID, devs []models.DeviceID, vlan uint16) []models.Source {
	var out []models.Source
	for _, far := range devs {
		s := models.Source{Kind: models.SourceRemoteVLAN, Name: r.rspanPort(field, dev, far), VLAN: vlan, Direction: models.Rx}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// tagsItself gives the devices that put the tag of an RSPAN VLAN on copies by
// themselves: whether a port of theirs carries the VLAN is no question.
func tagsItself(platforms Platforms, net *models.Network) map[models.DeviceID]bool {
	out := make(map[models.DeviceID]bool)
	for _, d := range net.Devices {
		if p := platforms(d.ID); p != nil && p.Capabilities().RSPANPort {
			out[d.ID] = true
		}
	}
	return out
}

// byPort gives " by PORT, PORT" of an RSPAN end that names ports, else "".
func byPort(ports []string) string {
	if len(ports) == 0 {
		return ""
	}
	return fmt.Sprintf(" by %s", strings.Join(ports, ", "))
}
