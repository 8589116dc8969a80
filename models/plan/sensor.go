package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// tunnelFeature gives the feature that a kind of tunnel needs.
var tunnelFeature = map[string]models.Feature{
	"erspan1": models.FeatureERSPAN1, "erspan2": models.FeatureERSPAN2, "erspan3": models.FeatureERSPAN3,
	"gre": models.FeatureGRE, "vxlan": models.FeatureVXLAN,
}

func sensorTunnel(kind string, to netip.Addr, vrf string) models.Destination {
	t := &models.Tunnel{Destination: to, VRF: vrf}
	switch kind {
	case "gre":
		return models.Destination{Kind: models.DestinationGRE, Tunnel: t}
	case "vxlan":
		return models.Destination{Kind: models.DestinationVXLAN, Tunnel: t}
	default:
		t.Version = kind[len(kind)-1] - '0'
		return models.Destination{Kind: models.DestinationERSPAN, Tunnel: t}
	}
}

// sensor chooses, device by device: SPAN where the sensor hangs on the device
// itself, else the first tunnel that the sensor takes and the platform has, else
// RSPAN to the port on which the sensor hangs.
func (r *resolver) sensor(base models.Session, devs []models.DeviceID, sources map[models.DeviceID][]models.Source, name string) ([]models.Session, []Note) {
	const field = "spec.destination.sensor"
	sensor, ok := r.sensors[name]
	if !ok {
		hint := ""
		var known []string
		for _, s := range r.net.Sensors {
			known = append(known, s.Name)
		}
		if near := Nearest(name, known); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		r.add(field, "", "unknown-sensor", "%q is not a sensor of the inventory%s", name, hint)
		return nil, nil
	}
	accepts := sensor.Accepts
	if len(accepts) == 0 {
		accepts = []string{"erspan2"}
	}
	var out []models.Session
	var notes []Note
	var far []models.DeviceID
	note := func(dev models.DeviceID, format string, args ...any) {
		notes = append(notes, Note{Intent: base.Intent, Device: dev, Text: fmt.Sprintf(format, args...)})
	}
	for _, dev := range devs {
		if dev == sensor.At.Device {
			out = append(out, local(base, sensor.At, sources[dev]))
			note(dev, "SPAN: sensor %s hangs on its port %s", name, sensor.At.Port)
			continue
		}
		if r.platforms(dev) == nil {
			r.add(field, dev, "no-driver", noDriver, r.net.Devices[r.devices[dev]].Platform)
			continue
		}
		kind := r.commonTunnel(dev, sensor, accepts)
		switch {
		case kind != "":
			out = append(out, r.tunnel(base, dev, sources[dev], sensorTunnel(kind, sensor.Address, sensor.VRF), field))
			note(dev, "%s: sensor %s is elsewhere, takes it at %s, and the platform has it", kind, name, sensor.Address)
		case r.canRSPAN(dev, sensor):
			far = append(far, dev)
			note(dev, "RSPAN: sensor %s hangs on %s port %s, and no tunnel is common to sensor and platform", name, sensor.At.Device, sensor.At.Port)
		default:
			r.add(field, dev, "unreachable-sensor",
				"cannot reach sensor %q: it is not on this device, takes no tunnel that the platform has (it takes %s at %s), and RSPAN is not possible between them",
				name, strings.Join(accepts, ", "), addrText(sensor.Address))
		}
	}
	if len(far) > 0 {
		// Sources on the sensor's own device have a SPAN session of their own.
		out = append(out, r.remote(field, base, far, sources, 0, sensor.At)...)
	}
	return out, notes
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	return a.String()
}

func (r *resolver) commonTunnel(dev models.DeviceID, sensor models.Sensor, accepts []string) string {
	p := r.platforms(dev)
	if p == nil || !sensor.Address.IsValid() {
		return ""
	}
	for _, kind := range accepts {
		if f, ok := tunnelFeature[kind]; ok && p.Capabilities().Has(f) {
			return kind
		}
	}
	return ""
}

func (r *resolver) canRSPAN(dev models.DeviceID, sensor models.Sensor) bool {
	if _, managed := r.devices[sensor.At.Device]; !managed {
		return false // it hangs on no device, or on one that is not managed
	}
	from, to := r.platforms(dev), r.platforms(sensor.At.Device)
	return from != nil && to != nil &&
		from.Capabilities().Has(models.FeatureRSPANSource) &&
		to.Capabilities().Has(models.FeatureRSPANDestination) &&
		len(r.net.RSPANVLANs) > 0
}
