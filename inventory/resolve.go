package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// layer is settings with the place that they were read from.
type layer struct {
	*settings
	doc  *document
	node *yaml.Node
	path string
}

// groupLayers gives the layers of groups, depth first, each group once.
func (l *loader) groupLayers(names []string) []layer {
	key := strings.Join(names, "\x00")
	if c, ok := l.chains[key]; ok {
		return c
	}
	var out []layer
	seen := map[string]bool{}
	var visit func([]string)
	visit = func(names []string) {
		for _, n := range names {
			g := l.groups[n]
			if g == nil || seen[n] {
				continue // unknown ones are reported; a circle too
			}
			seen[n] = true
			out = append(out, layer{settings: &g.settings, doc: g.doc, node: g.Node, path: g.path})
			visit(g.Groups)
		}
	}
	visit(names)
	l.chains[key] = out
	return out
}

// labDevices makes devices of the nodes that are switches.
func (l *loader) labDevices() {
	for _, t := range l.inv.Topologies {
		for _, n := range t.Nodes {
			if !n.managed() {
				continue
			}
			id := models.DeviceID(n.Name)
			if first, ok := l.inv.byID[id]; ok {
				l.found.add(n.At, "topology.nodes."+n.Name, ruleDuplicate, "the name is taken at %s already", first.at)
				continue
			}
			d := &device{id: id, at: n.At, node: n}
			l.inv.devices = append(l.inv.devices, d)
			l.inv.byID[id] = d
		}
	}
}

// managed reports whether a node of a lab is a device of the inventory: a switch,
// or a Linux node that the label spanctl.role says to be one.
func (n *Node) managed() bool { return !n.Passive() || n.label("role") == "switch" }

// linuxNode finds the Linux node of a lab that a native device means by its name; nil
// where there is none. Named so, a host of the lab is a device too.
func (l *loader) linuxNode(name string) *Node {
	for _, t := range l.inv.Topologies {
		if n, ok := t.Node(name); ok && n.Passive() && n.Kind == "linux" {
			return n
		}
	}
	return nil
}

// devices resolves native devices and those of labs.
func (l *loader) devices() {
	native := map[models.DeviceID]bool{}
	for i := range l.files {
		f := &l.files[i]
		for j := range f.Devices {
			s := &f.Devices[j]
			if s.Node == nil || s.Name == "" {
				continue // reported by the decoder
			}
			s.doc = f.doc
			path := fmt.Sprintf("devices[%d]", j)
			id := models.DeviceID(s.Name)
			at := f.doc.position(find(s.Node, "name"))
			d, ok := l.inv.byID[id]
			switch {
			case ok && native[id]:
				l.found.add(at, path+".name", ruleDuplicate, "the name %s is taken at %s already", quote(s.Name), d.at)
				continue
			case !ok:
				d = &device{id: id, node: l.linuxNode(s.Name)}
				l.inv.devices = append(l.inv.devices, d)
				l.inv.byID[id] = d
			}
			native[id] = true
			d.at = at
			l.checkSettings(&s.settings, f.doc, s.Node, path)
			l.checkGroups(s.Groups, f.doc, s.Node, path)
			own := layer{settings: &s.settings, doc: f.doc, node: s.Node, path: path}
			l.resolve(d, s, append([]layer{own}, l.groupLayers(s.Groups)...))
		}
	}
	for _, d := range l.inv.devices {
		if !native[d.id] {
			l.resolve(d, nil, nil)
		}
	}
}

// resolve fills d from its layers, its lab's node and the defaults.
func (l *loader) resolve(d *device, s *deviceSpec, layers []layer) {
	d.model.ID = d.id
	d.access = Access{Device: d.id}
	labels := map[string]string{}
	for _, y := range layers {
		l.apply(d, y, labels)
	}
	if d.node != nil {
		d.applyNode(labels)
	}
	public := d.access.Credential
	if public.Default {
		// What a person names for all devices goes before a kind's public login, which
		// nobody has chosen.
		d.access.Credential = Credential{}
	}
	for _, y := range l.defaults {
		l.apply(d, y, labels)
	}
	if d.access.Credential.IsZero() {
		d.access.Credential = public
	}
	if s != nil {
		d.access.Address = orElse(s.Address, d.access.Address)
		d.model.TunnelSource = s.TunnelSource
	}
	d.access.Address = orElse(d.access.Address, string(d.id))
	d.model.Labels = labels
	d.model.Platform = d.access.Platform
	if d.model.Platform == "" && !l.unusable {
		path := ""
		if len(layers) > 0 {
			path = layers[0].path + "."
		}
		l.found.add(d.at, path+"platform", ruleMissing, "device %s has no platform, neither itself nor from a group or the defaults", d.id)
		return
	}
	l.resolvePorts(d, append(slices.Clone(layers), l.defaults...))
}

// apply takes what d does not have yet.
func (l *loader) apply(d *device, y layer, labels map[string]string) {
	a := &d.access
	a.Platform = orElse(a.Platform, y.Platform)
	if a.Port == 0 {
		a.Port = y.Port
	}
	a.Transport = orElse(a.Transport, y.Transport)
	a.Become = orElse(a.Become, y.Become)
	if a.Credential.IsZero() && y.Credentials != nil {
		a.Credential = l.credential(y.Credentials)
	}
	if y.HostKey != nil {
		a.HostKey.apply(y.HostKey, y.doc.file)
	}
	if a.Jump == nil && y.Jump != "" {
		a.Jump = l.jumpChain(y.Jump)
	}
	if y.LegacyAlgorithms != nil && !a.legacySet {
		a.LegacyAlgorithms, a.legacySet = *y.LegacyAlgorithms, true
	}
	if t := y.Timeouts; t != nil {
		if a.ConnectTimeout == 0 {
			a.ConnectTimeout = time.Duration(t.Connect)
		}
		if a.CommandTimeout == 0 {
			a.CommandTimeout = time.Duration(t.Command)
		}
	}
	for k, v := range y.Labels {
		if _, ok := labels[k]; !ok {
			labels[k] = v
		}
	}
}

func (l *loader) credential(c *credentialRef) Credential {
	if c.name == "" {
		return c.spec.credential("", c.file)
	}
	if n := l.creds[c.name]; n != nil {
		return n.Credential
	}
	return Credential{}
}

func (h *HostKey) apply(s *hostKeySpec, file string) {
	h.Policy = HostKeyPolicy(orElse(string(h.Policy), s.Policy))
	h.KnownHosts = orElse(h.KnownHosts, absFile(file, s.KnownHosts))
	if h.Fingerprints == nil {
		h.Fingerprints = s.Fingerprints
	}
}

// jumpChain gives the hosts on the way, the nearest to us first.
func (l *loader) jumpChain(name string) []Jump {
	var chain []Jump
	seen := map[string]bool{}
	for name != "" && !seen[name] { // circles are reported
		seen[name] = true
		j := l.jumps[name]
		if j == nil {
			return chain
		}
		hop := Jump{Name: name, Address: j.Address, Port: j.Port}
		if j.Credentials != nil {
			hop.Credential = l.credential(j.Credentials)
		}
		if j.HostKey != nil {
			hop.HostKey.apply(j.HostKey, j.doc.file)
		}
		chain = append([]Jump{hop}, chain...)
		name = j.Jump
	}
	return chain
}

// applyNode takes what the lab's topology says. Labels spanctl.NAME are also labels
// NAME, so that selectors need no prefix.
func (d *device) applyNode(labels map[string]string) {
	n, a := d.node, &d.access
	a.Lab = n.Lab
	a.Platform = orElse(a.Platform, n.Platform)
	if a.Credential.IsZero() && (n.Username != "" || !n.Password.IsZero() || n.IdentityFile != "") {
		a.Credential = Credential{
			Username: Reference{Literal: NewSecret(n.Username)}, Password: Reference{Literal: n.Password}, KeyFile: n.IdentityFile,
			Default: n.kind.user != "" && n.Username == n.kind.user && n.Password.Reveal() == n.kind.password,
		}
	}
	switch {
	case n.MgmtIPv4.IsValid():
		a.Address = n.MgmtIPv4.String()
	case n.MgmtIPv6.IsValid():
		a.Address = n.MgmtIPv6.String()
	default:
		a.Address = n.LongName // containerlab writes it to /etc/hosts
	}
	for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
		for _, key := range []string{k, strings.TrimPrefix(strings.TrimPrefix(k, "spanctl."), "spanctl-")} {
			if _, ok := labels[key]; !ok {
				labels[key] = n.Labels[k]
			}
		}
	}
	d.known = make(map[string]string, 3*len(n.Interfaces))
	for _, i := range n.Interfaces {
		for _, s := range []string{i.Linux, i.Alias, i.Name} {
			if s != "" {
				d.known[s] = i.Name
			}
		}
	}
}

// resolvePorts reads the ports and uplinks of the first layer that has some.
func (l *loader) resolvePorts(d *device, layers []layer) {
	read := func(get func(*settings) []string, key string) ([]string, bool) {
		for _, y := range layers {
			patterns := get(y.settings)
			if patterns == nil {
				continue
			}
			var out []string
			for i, p := range patterns {
				names, err := l.groupPorts(d, p)
				if err != nil {
					l.found.add(y.doc.position(find(y.node, key, i)), fmt.Sprintf("%s.%s[%d]", y.path, key, i), ruleInterface, "device %s: %s", d.id, err)
					continue
				}
				out = append(out, names...)
			}
			return out, true
		}
		return nil, false
	}
	if names, ok := read(func(s *settings) []string { return s.Ports }, "ports"); ok {
		d.allowed = make(map[string]bool, len(names))
		for _, n := range names {
			d.allowed[n] = true
		}
	}
	d.model.Uplinks, _ = read(func(s *settings) []string { return s.Uplinks }, "uplinks")
}

// groupPorts is d.ports, with a memory for devices that differ in nothing that
// counts there: a hundred thousand of them share the patterns of a few groups.
func (l *loader) groupPorts(d *device, pattern string) ([]string, error) {
	if d.node != nil || d.allowed != nil {
		return d.ports(pattern)
	}
	key := d.access.Platform + "\x00" + pattern
	names, ok := l.patterns[key]
	if !ok {
		var err error
		if names, err = d.ports(pattern); err != nil {
			return nil, err
		}
		l.patterns[key] = names
	}
	return names, nil
}
