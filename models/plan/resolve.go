package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// SessionPrefix begins the name of every session that spanctl makes, where the OS
// has names. The name alone proves nothing; records do.
const SessionPrefix = "sp-"

// SessionName gives the name on the device of the session with which an intent
// plays a role there.
func SessionName(intent string, role models.Role) string {
	if role == models.RoleDestination {
		return SessionPrefix + intent + "-rx"
	}
	return SessionPrefix + intent
}

// Resolved is what intents come to: the sessions wanted on each device.
type Resolved struct {
	// Sessions are normalized, in the order of the intents, within one by device.
	// Numbers and RSPAN VLANs that spanctl chooses itself are still 0: see Allocate.
	Sessions []models.Session
	Notes    []Note
}

// Note says what was decided for an intent, and why.
type Note struct {
	Intent string          `json:"intent"`
	Device models.DeviceID `json:"device,omitempty"`
	Text   string          `json:"text"`
}

// Resolve works out which devices must do what for intents. It returns all
// findings at once; sessions of intents with errors are left out.
func Resolve(net *models.Network, platforms Platforms, names PortNames, intents []models.Intent) (Resolved, models.Findings) {
	r := resolver{net: net, platforms: platforms, names: names, devices: make(map[models.DeviceID]models.Device, len(net.Devices))}
	for _, d := range net.Devices {
		r.devices[d.ID] = d
	}
	seen := make(map[string]models.Origin)
	for _, in := range intents {
		r.intent, r.bad = in, false
		if first, dup := seen[in.Metadata.Name]; dup {
			r.add("metadata.name", "", "duplicate-intent", "%q is already the name of another intent%s", in.Metadata.Name, at(first))
			continue
		}
		seen[in.Metadata.Name] = in.Origin
		if f := in.Validate(); len(f) > 0 {
			r.found = append(r.found, f...)
			continue
		}
		sessions, notes := r.one(in)
		if !r.bad {
			r.out.Sessions = append(r.out.Sessions, sessions...)
			r.out.Notes = append(r.out.Notes, notes...)
		}
	}
	return r.out, r.found
}

func at(o models.Origin) string {
	if s := o.String(); s != "" {
		return " (" + s + ")"
	}
	return ""
}

type resolver struct {
	net       *models.Network
	platforms Platforms
	names     PortNames
	devices   map[models.DeviceID]models.Device

	intent models.Intent // the one at work
	bad    bool          // it has errors
	found  models.Findings
	out    Resolved
}

func (r *resolver) add(field string, dev models.DeviceID, rule, format string, args ...any) {
	r.bad = true
	r.found = append(r.found, models.Finding{
		Origin: r.intent.Origin, Intent: r.intent.Metadata.Name, Field: field, Device: dev,
		Rule: rule, Message: fmt.Sprintf(format, args...),
	})
}

// one resolves one valid intent.
func (r *resolver) one(in models.Intent) ([]models.Session, []Note) {
	sources := r.sources(in.Spec.Sources)
	if r.bad {
		return nil, nil
	}
	base := models.Session{
		Intent:      in.Metadata.Name,
		Filter:      rules(in.Spec.Filter),
		TruncateTo:  uint16(in.Spec.Truncate),
		SampleOneIn: in.Spec.Sample,
	}
	devs := slices.Sorted(maps.Keys(sources))
	var sessions []models.Session
	var notes []Note
	d := in.Spec.Destination
	switch {
	case d.Interface != nil:
		sessions = r.span(base, devs, sources, *d.Interface)
	case d.RemoteVLAN != nil:
		sessions = r.rspan(base, devs, sources, d.RemoteVLAN.VLAN, d.RemoteVLAN.Interface)
	case d.Sensor != "":
		sessions, notes = r.sensor(base, devs, sources, d.Sensor)
	default:
		dest, field := tunnelOf(d)
		for _, dev := range devs {
			sessions = append(sessions, r.tunnel(base, dev, sources[dev], dest, field))
		}
	}
	for i := range sessions {
		sessions[i] = sessions[i].Normalize()
	}
	return sessions, notes
}

// sources expands what is copied, by device.
func (r *resolver) sources(specs []models.SourceSpec) map[models.DeviceID][]models.Source {
	out := make(map[models.DeviceID][]models.Source)
	for i, spec := range specs {
		field := fmt.Sprintf("spec.sources[%d]", i)
		for _, dev := range r.devicesOf(field, spec) {
			for j, pattern := range spec.Interfaces {
				for _, p := range r.ports(fmt.Sprintf("%s.interfaces[%d]", field, j), dev, pattern) {
					out[dev] = append(out[dev], models.Source{Kind: r.portKind(dev, p), Name: p, Direction: spec.Direction})
				}
			}
			for _, v := range spec.VLANs {
				for n := int(v.First); n <= int(v.Last); n++ {
					out[dev] = append(out[dev], models.Source{Kind: models.SourceVLAN, VLAN: uint16(n), Direction: spec.Direction})
				}
			}
		}
	}
	return out
}

func (r *resolver) portKind(dev models.DeviceID, port string) models.SourceKind {
	if p := r.platforms(dev); p != nil {
		return p.PortKind(port)
	}
	return models.SourcePort
}

func (r *resolver) devicesOf(field string, spec models.SourceSpec) []models.DeviceID {
	if spec.Device != "" {
		if !r.known(field+".device", spec.Device) {
			return nil
		}
		return []models.DeviceID{models.DeviceID(spec.Device)}
	}
	var ids []models.DeviceID
	for _, d := range r.net.Devices {
		if Selects(spec.Select, d) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		r.add(field+".select", "", "empty-selector", "matches no device: %s", selectorText(spec.Select))
	}
	return ids
}

// Selects reports whether d has all labels of sel. The keys name and platform stand
// for the device's own name and platform, unless it has labels of those names.
func Selects(sel map[string]string, d models.Device) bool {
	for k, want := range sel {
		have, ok := d.Labels[k]
		if !ok {
			switch k {
			case "name":
				have = string(d.ID)
			case "platform":
				have = d.Platform
			default:
				return false
			}
		}
		if have != want {
			return false
		}
	}
	return true
}

func selectorText(sel map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(sel)) {
		parts = append(parts, k+"="+sel[k])
	}
	return strings.Join(parts, ", ")
}

func (r *resolver) known(field, device string) bool {
	if _, ok := r.devices[models.DeviceID(device)]; ok {
		return true
	}
	hint := ""
	if near := Nearest(device, deviceNames(r.net)); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	r.add(field, "", "unknown-device", "%q is not a device of the inventory%s", device, hint)
	return false
}

func deviceNames(net *models.Network) []string {
	names := make([]string, len(net.Devices))
	for i, d := range net.Devices {
		names[i] = string(d.ID)
	}
	return names
}

func (r *resolver) ports(field string, dev models.DeviceID, pattern string) []string {
	ports, err := r.names.Ports(dev, pattern)
	if err != nil {
		r.add(field, dev, "unknown-port", "%v", err)
		return nil
	}
	return ports
}

// port resolves a destination port to exactly one.
func (r *resolver) port(field string, p models.InterfaceSpec) (models.End, bool) {
	if !r.known(field+".device", p.Device) {
		return models.End{}, false
	}
	dev := models.DeviceID(p.Device)
	ports, err := r.names.Ports(dev, p.Name)
	switch {
	case err != nil:
		r.add(field+".name", dev, "unknown-port", "%v", err)
		return models.End{}, false
	case len(ports) != 1:
		r.add(field+".name", dev, "destination", "%q names %d ports; want one", p.Name, len(ports))
		return models.End{}, false
	}
	return models.End{Device: dev, Port: ports[0]}, true
}

func rules(specs []models.RuleSpec) []models.Rule {
	var out []models.Rule
	for _, s := range specs {
		if s.Include != nil {
			out = append(out, models.Rule{Action: models.Include, Match: *s.Include})
		} else {
			out = append(out, models.Rule{Action: models.Exclude, Match: *s.Exclude})
		}
	}
	return out
}

func (r *resolver) span(base models.Session, devs []models.DeviceID, sources map[models.DeviceID][]models.Source, to models.InterfaceSpec) []models.Session {
	end, ok := r.port("spec.destination.interface", to)
	if !ok {
		return nil
	}
	var out []models.Session
	for _, dev := range devs {
		if dev != end.Device {
			r.add("spec.destination.interface", dev, "destination",
				"has sources, but the destination port is on %s; a port takes copies of its own switch only: use remoteVlan, erspan or a sensor", end.Device)
			continue
		}
		out = append(out, local(base, end, sources[dev]))
	}
	return out
}

func local(base models.Session, end models.End, sources []models.Source) models.Session {
	s := base
	s.Device, s.Role = end.Device, models.RoleLocal
	s.Name = SessionName(s.Intent, s.Role)
	s.Sources = sources
	s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{end.Port}}
	return s
}

// rspan gives a source session on each device with sources and one destination
// session on the device of the port. vlan 0 means that Allocate chooses one.
func (r *resolver) rspan(base models.Session, devs []models.DeviceID, sources map[models.DeviceID][]models.Source, vlan uint16, to models.InterfaceSpec) []models.Session {
	const field = "spec.destination.remoteVlan"
	end, ok := r.port(field+".interface", to)
	if !ok {
		return nil
	}
	var out []models.Session
	for _, dev := range devs {
		if dev == end.Device {
			r.add(field, dev, "destination",
				"has sources and the port where the copies leave the VLAN; within one switch use destination.interface, in an intent of its own")
			continue
		}
		s := base
		s.Device, s.Role, s.Sources = dev, models.RoleSource, sources[dev]
		s.Name = SessionName(s.Intent, s.Role)
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: vlan}
		out = append(out, s)
	}
	// Filter, truncation and sampling happen where the frames are copied first.
	d := models.Session{Intent: base.Intent, Device: end.Device, Role: models.RoleDestination}
	d.Name = SessionName(d.Intent, d.Role)
	d.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: vlan, Direction: models.Rx}}
	d.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{end.Port}}
	return append(out, d)
}

// tunnelOf gives the destination of an intent that names a tunnel, and the field
// that says so.
func tunnelOf(d models.DestinationSpec) (models.Destination, string) {
	switch {
	case d.ERSPAN != nil:
		e := d.ERSPAN
		return models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: e.Source, Destination: e.Address, Version: e.Version, SessionID: e.SessionID,
			VRF: e.VRF, TTL: e.TTL, DSCP: e.DSCP,
		}}, "spec.destination.erspan"
	case d.GRE != nil:
		g := d.GRE
		return models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{
			Source: g.Source, Destination: g.Address, Key: g.Key, VRF: g.VRF, TTL: g.TTL, DSCP: g.DSCP,
		}}, "spec.destination.gre"
	default:
		x := d.VXLAN
		return models.Destination{Kind: models.DestinationVXLAN, Tunnel: &models.Tunnel{
			Source: x.Source, Destination: x.Address, VNI: x.VNI, VRF: x.VRF, TTL: x.TTL, DSCP: x.DSCP,
		}}, "spec.destination.vxlan"
	}
}

// tunnel gives the session that sends copies of dev's sources into a tunnel.
func (r *resolver) tunnel(base models.Session, dev models.DeviceID, sources []models.Source, dest models.Destination, field string) models.Session {
	s := base
	s.Device, s.Role, s.Sources = dev, models.RoleLocal, sources
	s.Name = SessionName(s.Intent, s.Role)
	t := *dest.Tunnel
	if !t.Source.IsValid() {
		t.Source = r.devices[dev].TunnelSource
	}
	switch {
	case !t.Source.IsValid():
		r.add(field+".source", dev, "tunnel-source",
			"is missing, and the inventory gives the device no tunnelSource: give one of them, an address of the device")
	case t.Source.Unmap().Is4() != t.Destination.Unmap().Is4():
		r.add(field+".source", dev, "tunnel-source", "is %s and the receiver is %s: want the same IP version", t.Source, t.Destination)
	}
	dest.Tunnel = &t
	s.Destination = dest
	return s
}

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
	i := slices.IndexFunc(r.net.Sensors, func(s models.Sensor) bool { return s.Name == name })
	if i < 0 {
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
	sensor := r.net.Sensors[i]
	accepts := sensor.Accepts
	if len(accepts) == 0 {
		accepts = []string{"erspan2"}
	}
	var out []models.Session
	var notes []Note
	var remote []models.DeviceID
	note := func(dev models.DeviceID, format string, args ...any) {
		notes = append(notes, Note{Intent: base.Intent, Device: dev, Text: fmt.Sprintf(format, args...)})
	}
	for _, dev := range devs {
		if dev == sensor.At.Device {
			out = append(out, local(base, sensor.At, sources[dev]))
			note(dev, "SPAN: sensor %s hangs on its port %s", name, sensor.At.Port)
			continue
		}
		kind := r.commonTunnel(dev, sensor, accepts)
		switch {
		case kind != "":
			out = append(out, r.tunnel(base, dev, sources[dev], sensorTunnel(kind, sensor.Address, sensor.VRF), field))
			note(dev, "%s: sensor %s is elsewhere, takes it at %s, and the platform has it", kind, name, sensor.Address)
		case r.canRSPAN(dev, sensor):
			remote = append(remote, dev)
			note(dev, "RSPAN: sensor %s hangs on %s port %s, and no tunnel is common to sensor and platform", name, sensor.At.Device, sensor.At.Port)
		default:
			r.add(field, dev, "unreachable-sensor",
				"cannot reach sensor %q: it is not on this device, takes no tunnel that the platform has (it takes %s at %s), and RSPAN is not possible between them",
				name, strings.Join(accepts, ", "), addrText(sensor.Address))
		}
	}
	if len(remote) > 0 {
		// Sources on the sensor's own device have a SPAN session of their own.
		out = append(out, r.rspan(base, remote, sources, 0, models.InterfaceSpec{Device: string(sensor.At.Device), Name: sensor.At.Port})...)
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
	from, to := r.platforms(dev), r.platforms(sensor.At.Device)
	return from != nil && to != nil &&
		from.Capabilities().Has(models.FeatureRSPANSource) &&
		to.Capabilities().Has(models.FeatureRSPANDestination) &&
		len(r.net.RSPANVLANs) > 0
}
