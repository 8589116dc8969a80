package plan

import (
	"fmt"
	"maps"
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
	r := resolver{
		net: net, platforms: platforms, names: names,
		devices: make(map[models.DeviceID]int, len(net.Devices)),
		sensors: make(map[string]models.Sensor, len(net.Sensors)),
		labels:  make(map[string]map[string][]int),
		hints:   make(map[string]string),
	}
	for i, d := range net.Devices {
		r.devices[d.ID] = i
	}
	for _, s := range net.Sensors {
		r.sensors[s.Name] = s
	}
	seen := make(map[string]models.Origin)
	for _, in := range intents {
		r.intent, r.bad = in, false
		if first, dup := seen[in.Metadata.Name]; !dup {
			seen[in.Metadata.Name] = in.Origin
		} else if in.Metadata.Name != "" { // else Validate says that it is missing
			r.add("metadata.name", "", "duplicate-intent", "%q is already the name of another intent%s: choose another", in.Metadata.Name, at(first))
		}
		f := in.Validate()
		r.found = append(r.found, f...)
		if r.bad || f.Err() != nil {
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
	devices   map[models.DeviceID]int // into net.Devices
	sensors   map[string]models.Sensor
	labels    map[string]map[string][]int // by key and value, as selectors ask for them: devices
	ways      *ways                       // made when first asked for; knows the topology only
	hints     map[string]string           // by unknown device: the one that was meant

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
	case d.Capture != nil:
		sessions = r.capture(base, devs, sources, *d.Capture)
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
	for _, i := range r.candidates(spec.Select) {
		if d := r.net.Devices[i]; Selects(spec.Select, d) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		r.add(field+".select", "", "empty-selector", "matches no device: %s; look at the labels in the inventory", selectorText(spec.Select))
	}
	return ids
}

// candidates gives the devices that have the rarest of the labels of sel, so that
// many intents with selectors do not each look at every device.
func (r *resolver) candidates(sel map[string]string) []int {
	var best []int
	first := true
	for k, want := range sel {
		byValue := r.labels[k]
		if byValue == nil {
			byValue = make(map[string][]int)
			for i, d := range r.net.Devices {
				if have, ok := label(d, k); ok {
					byValue[have] = append(byValue[have], i)
				}
			}
			r.labels[k] = byValue
		}
		if first || len(byValue[want]) < len(best) {
			best, first = byValue[want], false
		}
	}
	return best
}

// Selects reports whether d has all labels of sel. The keys name and platform stand
// for the device's own name and platform, unless it has labels of those names.
func Selects(sel map[string]string, d models.Device) bool {
	for k, want := range sel {
		if have, ok := label(d, k); !ok || have != want {
			return false
		}
	}
	return true
}

func label(d models.Device, key string) (string, bool) {
	if v, ok := d.Labels[key]; ok {
		return v, true
	}
	switch key {
	case "name":
		return string(d.ID), true
	case "platform":
		return d.Platform, true
	}
	return "", false
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
	near, asked := r.hints[device]
	if !asked && len(r.hints) < maxHints {
		near = Nearest(device, deviceNames(r.net))
		r.hints[device] = near
	}
	hint := ""
	if near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	r.add(field, "", "unknown-device", "%q is not a device of the inventory%s", device, hint)
	return false
}

// maxHints is how many unknown devices are compared with all known ones: a wrong
// inventory makes all of them unknown.
const maxHints = 50

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
	if len(ports) == 0 {
		r.add(field, dev, "unknown-port", "%q names no port of the device", pattern)
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
	if slices.Contains(devs, end.Device) {
		r.add(field, end.Device, "destination",
			"has sources and the port where the copies leave the VLAN; within one switch use destination.interface, in an intent of its own and to another port")
		return nil
	}
	return r.remote(field, base, devs, sources, vlan, end)
}

// remote gives the sessions of an RSPAN from devs to end.
func (r *resolver) remote(field string, base models.Session, devs []models.DeviceID, sources map[models.DeviceID][]models.Source, vlan uint16, end models.End) []models.Session {
	var out []models.Session
	for _, dev := range devs {
		s := base
		s.Device, s.Role, s.Sources = dev, models.RoleSource, sources[dev]
		s.Name = SessionName(s.Intent, s.Role)
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: vlan}
		if port := r.rspanPort(field, dev, end.Device); port != "" {
			s.Destination.Ports = []string{port}
		}
		out = append(out, s)
	}
	// Filter, truncation and sampling happen where the frames are copied first.
	d := models.Session{Intent: base.Intent, Device: end.Device, Role: models.RoleDestination}
	d.Name = SessionName(d.Intent, d.Role)
	d.Sources = r.rspanSources(field, end.Device, devs, vlan)
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
			VRF: e.VRF, TTL: e.TTL, DSCP: e.DSCP, Oversize: e.Oversize,
		}}, "spec.destination.erspan"
	case d.GRE != nil:
		g := d.GRE
		return models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{
			Source: g.Source, Destination: g.Address, Key: g.Key, VRF: g.VRF, TTL: g.TTL, DSCP: g.DSCP, Oversize: g.Oversize,
		}}, "spec.destination.gre"
	default:
		x := d.VXLAN
		return models.Destination{Kind: models.DestinationVXLAN, Tunnel: &models.Tunnel{
			Source: x.Source, Destination: x.Address, VNI: x.VNI, VRF: x.VRF, TTL: x.TTL, DSCP: x.DSCP, Oversize: x.Oversize,
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
		t.Source = r.net.Devices[r.devices[dev]].TunnelSource
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
