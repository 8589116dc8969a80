package inventory

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/models"
)

// Access is how to reach a device and log in.
type Access struct {
	Device    models.DeviceID
	Platform  string
	Address   string // IP address or host name
	Port      uint16 // 0 = the transport's standard port
	Transport string // ssh, netconf, gnmi, snmp, local; "" = what the platform prefers
	// Become is how the login gets the rights to change a Linux host that is reached by
	// ssh: "sudo", or "" where it has them.
	Become     string
	Credential Credential
	HostKey    HostKey
	Jump       []Jump // hosts on the way, the nearest to us first
	// LegacyAlgorithms allows SSH algorithms that are weak today.
	LegacyAlgorithms bool
	ConnectTimeout   time.Duration // 0 = the default
	CommandTimeout   time.Duration // 0 = the default
	// Lab is the name of the containerlab lab that the device is a node of, "" = none.
	Lab string

	legacySet bool
}

// HostKeyPolicy says what is done with a host key that is not known.
type HostKeyPolicy string

// Host key policies. The zero value leaves the choice to the tool's settings.
const (
	HostKeyStrict    HostKeyPolicy = "strict"     // refuse it
	HostKeyAcceptNew HostKeyPolicy = "accept-new" // remember it; refuse another one later
	HostKeyIgnore    HostKeyPolicy = "ignore"     // take any: for labs
)

// HostKey is how the SSH host key of a device is checked.
type HostKey struct {
	Policy       HostKeyPolicy
	KnownHosts   string   // file; "" = the tool's
	Fingerprints []string // SHA256:...; when there are some, one must match
}

// Jump is an SSH host on the way to a device.
type Jump struct {
	Name       string
	Address    string
	Port       uint16 // 0 = 22
	Credential Credential
	HostKey    HostKey
}

// Len is the number of devices.
func (inv *Inventory) Len() int { return len(inv.devices) }

// Devices gives the names of the devices in the order of the files.
func (inv *Inventory) Devices() iter.Seq[models.DeviceID] {
	return func(yield func(models.DeviceID) bool) {
		for _, d := range inv.devices {
			if !yield(d.id) {
				return
			}
		}
	}
}

// Access gives how to reach a device. The error names devices that are near.
func (inv *Inventory) Access(id models.DeviceID) (Access, error) {
	d, err := inv.device(id)
	if err != nil {
		return Access{}, err
	}
	return d.access, nil
}

// Origin gives the place where a device is defined.
func (inv *Inventory) Origin(id models.DeviceID) (Position, error) {
	d, err := inv.device(id)
	if err != nil {
		return Position{}, err
	}
	return d.at, nil
}

func (inv *Inventory) device(id models.DeviceID) (*device, error) {
	d, ok := inv.byID[id]
	if !ok {
		near := didYouMean(string(id), func(yield func(string) bool) {
			for _, d := range inv.devices {
				if !yield(string(d.id)) {
					return
				}
			}
		})
		return nil, fmt.Errorf("%s is no device of the inventory%s", quote(string(id)), near)
	}
	return d, nil
}

// Network gives what planning needs. Hosts of labs are in links, not in devices.
func (inv *Inventory) Network() models.Network {
	n := models.Network{Devices: make([]models.Device, len(inv.devices)), Links: slices.Clone(inv.links), Sensors: slices.Clone(inv.sensors)}
	for i, d := range inv.devices {
		n.Devices[i] = d.model
	}
	return n
}

// Ports gives the ports of a device that a pattern stands for, in the device's own
// spelling, in order and without repetition.
//
//	pattern = item { "," item }
//	item    = name                  Ethernet1
//	        | name "-" last         Ethernet5-8, Ethernet1/1-4, ge-0/0/0-3
//	        | name "-" tail         Ethernet1/1-1/4, Ethernet1/1-Ethernet1/4
//	        | name " to " tail      GE0/0/1 to GE0/0/4
//	        | set                   after another item: its numbers replace the last
//	                                ones of that item, as in Ethernet5-8,10 or
//	                                Gi1/0/1,1/0/5-7
//	        | text "{" set "}" text ethernet-{1,2}/{1-4}, Ethernet{0..12..4}; also "[" "]"
//	set     = span { "," span }     within braces
//	span    = number | first "-" last | first ".." last [ ".." step ]
//
// Names may be spelled as the device, its abbreviations or its lab write them: et1,
// Ethernet1 and the lab's eth1 are one port. A "-" between two numbers is a range,
// except where the item as a whole is one port that a link names, or is spelled as
// labs do ("e1-1" of SR Linux): then braces make ranges ("e1-{1-4}"). Numbers in
// ranges have no leading zeros.
//
// A Linux host has, beside its own, interfaces in containers and other network
// namespaces, container:NAME/eth0 and netns:NAME/eth0. Ranges are those of the
// interface; a "-" in NAME is part of it, and braces work in both.
//
// More than 4096 ports, a range that runs backwards, a name that the platform cannot
// have, and, where the inventory lists the device's ports, any other, are errors.
func (inv *Inventory) Ports(id models.DeviceID, pattern string) ([]string, error) {
	d, err := inv.device(id)
	if err != nil {
		return nil, err
	}
	return d.ports(pattern)
}

func (d *device) ports(pattern string) ([]string, error) {
	names, err := expandPorts(pattern, d.single)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(names))
	out := names[:0]
	for _, n := range names {
		p, err := d.port(n)
		if err != nil {
			return nil, err
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out, nil
}

// single reports whether a name with a "-" in it is one port.
func (d *device) single(name string) bool {
	if _, ok := d.known[name]; ok || d.allowed[name] {
		return true
	}
	if g := portGrammars[d.access.Platform]; g.lab != nil {
		_, ok := g.lab(name)
		return ok
	}
	return false
}

// port gives the device's own name of one port.
func (d *device) port(name string) (string, error) {
	if _, _, ok := models.CutPlace(strings.TrimSpace(name)); ok {
		// The inventory lists ports of the device itself, not of what runs on it.
		return canonicalPort(d.access.Platform, name)
	}
	p, ok := d.known[name]
	if !ok && d.node != nil {
		p, ok = d.labPort(name)
	}
	if !ok {
		var err error
		if p, err = canonicalPort(d.access.Platform, name); err != nil {
			return "", err
		}
	}
	if d.allowed != nil && !d.allowed[p] {
		return "", fmt.Errorf("%s has no interface %s%s", d.id, quote(p), didYouMean(p, maps.Keys(d.allowed)))
	}
	return p, nil
}

// labPort gives the device's name of a port that is spelled as its lab does: as the
// Linux interface, or as another alias of a port that a link names (et-0/0/0 where
// the topology says ge-0/0/0).
func (d *device) labPort(name string) (string, bool) {
	naming := d.node.kind.naming
	if linux, _, err := naming.resolve(name); err == nil {
		if p, ok := d.known[linux]; ok {
			return p, true
		}
	}
	if naming.toNOS == nil {
		return "", false
	}
	return naming.toNOS(name)
}

// linkAll takes the links of topologies and files.
func (l *loader) linkAll() {
	for _, t := range l.inv.Topologies {
		for _, k := range t.Links {
			if k.B.Node != "" {
				l.inv.links = append(l.inv.links, models.Link{A: labEndOf(k.A), B: labEndOf(k.B)})
			}
		}
	}
	used := map[models.End]Position{}
	for i := range l.files {
		f := &l.files[i]
		for j, ends := range f.Links {
			path := fmt.Sprintf("links[%d]", j)
			at := f.doc.position(find(f.doc.root, "links", j))
			if len(ends) != 2 {
				l.found.add(at, path, ruleValue, "want two ends, got %d", len(ends))
				continue
			}
			a, okA := l.end(f, ends[0], j, 0, used)
			b, okB := l.end(f, ends[1], j, 1, used)
			if okA && okB {
				l.inv.links = append(l.inv.links, models.Link{A: a, B: b})
			}
		}
	}
}

func labEndOf(e Endpoint) models.End {
	return models.End{Device: models.DeviceID(e.Node), Port: e.Interface.Name}
}

func (l *loader) end(f *loadedFile, text string, link, i int, used map[models.End]Position) (models.End, bool) {
	at := f.doc.position(find(f.doc.root, "links", link, i))
	path := fmt.Sprintf("links[%d][%d]", link, i)
	name, port, err := splitEndpoint(text)
	if err != nil {
		l.found.add(at, path, ruleValue, "%s", err)
		return models.End{}, false
	}
	e := models.End{Device: models.DeviceID(name), Port: port}
	d, ok := l.inv.byID[e.Device]
	switch {
	case ok:
		if e.Port, ok = l.onePort(d, port, at, path); !ok {
			return models.End{}, false
		}
	case l.external[name] || l.isLabNode(name):
	case l.unusable:
		return models.End{}, false
	default:
		_, err := l.inv.device(e.Device)
		l.found.add(at, path, ruleUnknown, "%s; a neighbour that spanctl does not manage is listed under external", err)
		return models.End{}, false
	}
	if first, ok := used[e]; ok {
		l.found.add(at, path, ruleDuplicate, "%s is used by another link already, at %s", text, first)
		return models.End{}, false
	}
	used[e] = at
	return e, true
}

func (l *loader) isLabNode(name string) bool {
	return slices.ContainsFunc(l.inv.Topologies, func(t *Topology) bool { _, ok := t.Node(name); return ok })
}

func (l *loader) onePort(d *device, pattern string, at Position, path string) (string, bool) {
	names, err := d.ports(pattern)
	switch {
	case err != nil:
		l.found.add(at, path, ruleInterface, "device %s: %s", d.id, err)
	case len(names) != 1:
		l.found.add(at, path, ruleInterface, "device %s: want one port, got %d with %s", d.id, len(names), quote(pattern))
	default:
		return names[0], true
	}
	return "", false
}

// sensorAll takes the sensors of files, and the nodes of labs that the label
// spanctl.role says to be one (sensor or collector): they hang on the first switch
// port that a link leads to. Their labels spanctl.address, spanctl.accepts (words
// separated by commas) and spanctl.vrf say the rest.
func (l *loader) sensorAll() {
	taken := map[string]Position{}
	for i := range l.files {
		f := &l.files[i]
		for j := range f.Sensors {
			s := &f.Sensors[j]
			if s.Node == nil || s.Name == "" {
				continue
			}
			path := fmt.Sprintf("sensors[%d]", j)
			at := f.doc.position(find(s.Node, "name"))
			if first, ok := taken[s.Name]; ok {
				l.found.add(at, path+".name", ruleDuplicate, "the name %s is taken at %s already", quote(s.Name), first)
				continue
			}
			taken[s.Name] = at
			if m, ok := l.sensor(f, s, path); ok {
				l.inv.sensors = append(l.inv.sensors, m)
			}
		}
	}
	for _, t := range l.inv.Topologies {
		for _, n := range t.Nodes {
			if _, ok := taken[n.Name]; ok || n.managed() {
				continue // a file says more of it
			}
			if role := n.label("role"); role == "sensor" || role == "collector" {
				taken[n.Name] = n.At
				l.labSensor(t, n)
			}
		}
	}
}

func (l *loader) sensor(f *loadedFile, s *sensorSpec, path string) (models.Sensor, bool) {
	m := models.Sensor{Name: s.Name, Address: s.Address, VRF: s.VRF}
	for _, a := range s.Accepts {
		m.Accepts = append(m.Accepts, string(a))
	}
	at := f.doc.position(s.Node)
	if s.Interface == nil && !s.Address.IsValid() {
		l.found.add(at, path, ruleMissing, "sensor %s needs an interface, an address, or both", quote(s.Name))
		return m, false
	}
	if len(s.Accepts) > 0 && !s.Address.IsValid() {
		l.found.add(f.doc.position(find(s.Node, "accepts")), path+".accepts", ruleValue, "tunnels need an address")
	}
	if s.Interface == nil || s.Interface.Device == "" || s.Interface.Name == "" {
		return m, s.Interface == nil
	}
	d, err := l.inv.device(models.DeviceID(s.Interface.Device))
	if err != nil {
		if !l.unusable {
			l.found.add(f.doc.position(find(s.Node, "interface", "device")), path+".interface.device", ruleUnknown, "%s", err)
		}
		return m, false
	}
	port, ok := l.onePort(d, s.Interface.Name, f.doc.position(find(s.Node, "interface", "name")), path+".interface.name")
	m.At = models.End{Device: d.id, Port: port}
	return m, ok
}

func (l *loader) labSensor(t *Topology, n *Node) {
	m := models.Sensor{Name: n.Name, VRF: n.label("vrf")}
	path := "topology.nodes." + n.Name + ".labels"
	if s := n.label("address"); s != "" {
		a, err := netip.ParseAddr(s)
		if err != nil {
			l.found.add(n.At, path, ruleValue, "label address: %s is no IP address", quote(s))
			return
		}
		m.Address = a
	}
	if s := n.label("accepts"); s != "" {
		for _, w := range strings.Split(s, ",") {
			var e encapsulation
			if err := e.UnmarshalText([]byte(strings.TrimSpace(w))); err != nil {
				l.found.add(n.At, path, ruleValue, "label accepts: %s", err)
				return
			}
			m.Accepts = append(m.Accepts, string(e))
		}
	}
	for _, k := range t.Links {
		for _, e := range [][2]Endpoint{{k.A, k.B}, {k.B, k.A}} {
			if e[0].Node == n.Name && m.At.Device == "" && l.inv.byID[models.DeviceID(e[1].Node)] != nil {
				m.At = labEndOf(e[1])
			}
		}
	}
	if m.At.Device == "" && !m.Address.IsValid() {
		l.found.warn(n.At, path, ruleMissing, "%s is a sensor by its role, but no link leads to a switch and it has no address", n.Name)
		return
	}
	l.inv.sensors = append(l.inv.sensors, m)
}
