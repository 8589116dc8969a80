package inventory

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// Inventory is devices, links and sensors as files give them, with inheritance
// resolved. It does not change after LoadInventory and may be used concurrently.
type Inventory struct {
	// Warnings are findings that stop nothing, such as a secret's file that others
	// can read.
	Warnings models.Findings
	// Topologies are the containerlab topologies that were read.
	Topologies []*Topology

	devices []*device // in the order of the files
	byID    map[models.DeviceID]*device
	links   []models.Link
	sensors []models.Sensor
}

// device is a managed device with all that it inherits.
type device struct {
	id      models.DeviceID
	at      Position
	access  Access
	model   models.Device
	node    *Node             // of a lab; nil
	known   map[string]string // spellings of ports that links name -> the device's own
	allowed map[string]bool   // all ports; nil = not said
}

// LoadInventory reads inventory files, containerlab topologies, directories with
// both, and "-" for standard input, as one inventory. The error is models.Findings
// with everything that is wrong.
//
// Settings come from the device, else from its groups in the order in which they
// are named (each before its own groups), else from its lab's topology, else from
// defaults; labels are merged in that order.
func LoadInventory(paths []string, opts Options) (*Inventory, error) {
	var found findings
	l := loader{opts: opts, found: &found, inv: &Inventory{byID: map[models.DeviceID]*device{}},
		creds: map[string]*namedCredential{}, jumps: map[string]*namedJump{}, groups: map[string]*group{}, external: map[string]bool{}}
	l.read(paths)
	l.build()
	if err := found.err(); err != nil {
		return nil, err
	}
	l.inv.Warnings = found.warnings()
	return l.inv, nil
}

type loader struct {
	opts     Options
	found    *findings
	inv      *Inventory
	files    []loadedFile
	creds    map[string]*namedCredential
	jumps    map[string]*namedJump
	groups   map[string]*group
	external map[string]bool
	topo     map[string]bool // files that were read
	defaults []layer
	chains   map[string][]layer  // memo of groups
	patterns map[string][]string // memo of ports
	// unusable tells that a file could not be read, so that names it may define are
	// not reported as unknown.
	unusable bool
}

type loadedFile struct {
	inventoryFile
	doc *document
}

type namedCredential struct {
	Credential
	at Position
}

type namedJump struct {
	jumpSpec
	doc *document
	at  Position
}

type group struct {
	groupSpec
	doc  *document
	at   Position
	path string
}

func (l *loader) read(paths []string) {
	l.topo = map[string]bool{}
	for _, in := range readInputs(paths, l.opts, l.found) {
		if in.isClab || looksLikeClab(in.text) {
			l.topology(in.file)
			continue
		}
		bad := len(l.found.list)
		for _, doc := range documentsOf(in, KindInventory, l.found) {
			f := loadedFile{doc: doc}
			d := decoder{doc: doc, found: l.found, plaintext: l.opts.AllowPlaintext}
			d.decode(&f.inventoryFile)
			l.files = append(l.files, f)
			for i, t := range f.Topology {
				file := absFile(in.file, t)
				if !isFile(file) {
					l.found.add(doc.position(find(doc.root, "topology", i)), "topology", ruleFile, "there is no file %s", quote(file))
					l.unusable = true
					continue
				}
				l.topology(file)
			}
		}
		l.unusable = l.unusable || slices.ContainsFunc(l.found.list[bad:], func(f models.Finding) bool { return f.Rule == ruleSyntax })
	}
	l.unusable = l.unusable || slices.ContainsFunc(l.found.list, func(f models.Finding) bool { return f.Rule == ruleFile })
}

// looksLikeClab tells a topology that is not named *.clab.yml by its keys.
func looksLikeClab(text []byte) bool {
	return !bytes.Contains(text, []byte("apiVersion")) &&
		(bytes.HasPrefix(text, []byte("topology:\n")) || bytes.Contains(text, []byte("\ntopology:\n")) || bytes.Contains(text, []byte("\ntopology:\r\n")))
}

func (l *loader) topology(file string) {
	if key, err := filepath.Abs(file); err == nil {
		if l.topo[key] {
			return // named twice, as by a directory and an inventory in it
		}
		l.topo[key] = true
	}
	bad := len(l.found.list)
	t := loadTopology(file, TopologyOptions{Env: l.opts.Env}, l.found)
	if t == nil || len(l.found.list[bad:].Errors()) > 0 {
		l.unusable = true
		return
	}
	l.inv.Topologies = append(l.inv.Topologies, t)
}

func (l *loader) build() {
	for i := range l.files {
		f := &l.files[i]
		l.define(f)
		if f.Defaults != nil {
			l.defaults = append(l.defaults, layer{settings: f.Defaults, doc: f.doc, node: find(f.doc.root, "defaults"), path: "defaults"})
		}
	}
	l.checkReferences()
	l.chains, l.patterns = map[string][]layer{}, map[string][]string{}
	l.labDevices()
	l.devices()
	l.linkAll()
	l.sensorAll()
}

// define collects what has a name.
func (l *loader) define(f *loadedFile) {
	for _, name := range slices.Sorted(maps.Keys(f.Credentials)) {
		at := f.doc.position(keyNode(f.doc.root, "credentials", name))
		if first, ok := l.creds[name]; ok {
			l.found.add(at, "credentials."+name, ruleDuplicate, "is defined already at %s", first.at)
			continue
		}
		l.creds[name] = &namedCredential{f.Credentials[name].credential(name, f.doc.file), at}
	}
	for _, name := range slices.Sorted(maps.Keys(f.JumpHosts)) {
		at := f.doc.position(keyNode(f.doc.root, "jumpHosts", name))
		if first, ok := l.jumps[name]; ok {
			l.found.add(at, "jumpHosts."+name, ruleDuplicate, "is defined already at %s", first.at)
			continue
		}
		l.jumps[name] = &namedJump{f.JumpHosts[name], f.doc, at}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Groups)) {
		at := f.doc.position(keyNode(f.doc.root, "groups", name))
		if first, ok := l.groups[name]; ok {
			l.found.add(at, "groups."+name, ruleDuplicate, "is defined already at %s", first.at)
			continue
		}
		l.groups[name] = &group{f.Groups[name], f.doc, at, "groups." + name}
	}
	for _, name := range f.External {
		l.external[name] = true
	}
}

// keyNode gives the key of an entry: where it is defined.
func keyNode(root *yaml.Node, section, name string) *yaml.Node {
	m := find(root, section)
	for i := 0; m != nil && m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i]
		}
	}
	return m
}

// checkReferences reports names of groups, credentials and jump hosts that nothing
// defines, and groups and jump hosts that go in circles.
func (l *loader) checkReferences() {
	for _, name := range slices.Sorted(maps.Keys(l.groups)) {
		g := l.groups[name]
		l.checkSettings(&g.settings, g.doc, g.Node, g.path)
		l.checkGroups(g.Groups, g.doc, g.Node, g.path)
	}
	for i := range l.defaults {
		d := &l.defaults[i]
		l.checkSettings(d.settings, d.doc, d.node, d.path)
	}
	for _, name := range slices.Sorted(maps.Keys(l.jumps)) {
		j := l.jumps[name]
		path := "jumpHosts." + name
		l.checkCredentials(j.Credentials, j.doc, path)
		l.checkJump(j.Jump, j.doc, j.Node, path)
	}
	l.circles("group", func(n string) []string {
		if g := l.groups[n]; g != nil {
			return g.Groups
		}
		return nil
	}, slices.Sorted(maps.Keys(l.groups)), func(n string) (Position, string) { return l.groups[n].at, l.groups[n].path })
	l.circles("jump host", func(n string) []string {
		if j := l.jumps[n]; j != nil && j.Jump != "" {
			return []string{j.Jump}
		}
		return nil
	}, slices.Sorted(maps.Keys(l.jumps)), func(n string) (Position, string) { return l.jumps[n].at, "jumpHosts." + n })
}

func (l *loader) checkGroups(names []string, doc *document, n *yaml.Node, path string) {
	for i, g := range names {
		if _, ok := l.groups[g]; g != "" && !ok && !l.unusable {
			l.found.add(doc.position(find(n, "groups", i)), fmt.Sprintf("%s.groups[%d]", path, i), ruleUnknown, "there is no group %s%s", quote(g), didYouMean(g, maps.Keys(l.groups)))
		}
	}
}

func (l *loader) checkSettings(s *settings, doc *document, n *yaml.Node, path string) {
	if s.Platform != "" {
		if key, ok := PlatformKey(s.Platform); ok {
			s.Platform = key
		} else {
			l.found.add(doc.position(find(n, "platform")), path+".platform", ruleUnknown, "%s is no platform that spanctl knows%s", quote(s.Platform), didYouMean(s.Platform, slices.Values(Platforms())))
		}
	}
	l.checkCredentials(s.Credentials, doc, path)
	l.checkJump(s.Jump, doc, n, path)
}

func (l *loader) checkCredentials(c *credentialRef, doc *document, path string) {
	if c == nil || c.name == "" || l.unusable {
		return
	}
	if _, ok := l.creds[c.name]; !ok {
		l.found.add(doc.position(c.node), path+".credentials", ruleUnknown, "there are no credentials %s%s", quote(c.name), didYouMean(c.name, maps.Keys(l.creds)))
	}
}

func (l *loader) checkJump(name string, doc *document, n *yaml.Node, path string) {
	if _, ok := l.jumps[name]; name != "" && !ok && !l.unusable {
		l.found.add(doc.position(find(n, "jump")), path+".jump", ruleUnknown, "there is no jump host %s%s", quote(name), didYouMean(name, maps.Keys(l.jumps)))
	}
}

// circles reports each circle once, with the way round.
func (l *loader) circles(what string, next func(string) []string, names []string, place func(string) (Position, string)) {
	const open, done = 1, 2
	state := map[string]int{}
	var way []string
	var visit func(string)
	visit = func(n string) {
		switch state[n] {
		case open:
			i := slices.Index(way, n)
			at, path := place(n)
			l.found.add(at, path, ruleCycle, "the %s leads back to itself: %s", what, strings.Join(append(slices.Clone(way[i:]), n), " -> "))
			return
		case done:
			return
		}
		state[n] = open
		way = append(way, n)
		for _, m := range next(n) {
			visit(m)
		}
		way = way[:len(way)-1]
		state[n] = done
	}
	for _, n := range names {
		visit(n)
	}
}
