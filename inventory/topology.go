package inventory

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// TopologyOptions says how to read a topology. The zero value is fine.
type TopologyOptions struct {
	// Env is used for variables instead of the process's environment; nil = that one.
	Env []string
	// Data is the topology-data.json of the running lab. "" = the one that
	// containerlab puts beside the topology, if it is there; "-" = none.
	Data string
}

// Topology is a containerlab topology, with inheritance resolved as containerlab
// does it.
type Topology struct {
	File   string
	Name   string
	Prefix string // of container names; "clab" unless the file says otherwise
	Mgmt   Management
	Nodes  []*Node // sorted by name, as containerlab sorts them
	Links  []TopologyLink
	// Data is the file that running addresses came from, "" = none.
	Data string
	// Warnings are findings that stop nothing, such as a node that does not run.
	Warnings models.Findings

	byName map[string]*Node
}

// Management is the lab's management network.
type Management struct {
	Network    string
	Bridge     string
	IPv4Subnet string
	IPv6Subnet string
}

// Node is a node of a topology: a switch, a host, or a bridge on the lab's host.
type Node struct {
	Name          string
	Lab           string // name of the topology
	LongName      string // of its container and in the lab's DNS: clab-LAB-NODE
	FQDN          string
	Kind          string // as containerlab has it: lower case, aliases kept
	Platform      string // our key
	Group         string
	Type          string
	Image         string
	Labels        map[string]string
	Env           map[string]string
	StartupConfig string
	NetworkMode   string
	Bindings      []string // port bindings, as written: "127.0.0.1:2222:22/tcp"
	Components    int      // number of chassis components
	// MgmtIPv4 and MgmtIPv6 are the addresses of the running lab, or those that
	// the file asks for; invalid = none known.
	MgmtIPv4 netip.Addr
	MgmtIPv6 netip.Addr
	Username string
	Password Secret
	// IdentityFile is an SSH key, absolute; "" = none.
	IdentityFile string
	Interfaces   []Interface // that links name, in the order of the links
	At           Position

	kind *kind
}

// Interface is a port of a node that a link names.
type Interface struct {
	Name  string // of the network OS: Ethernet1, ethernet-1/1
	Linux string // as containerlab creates it: eth1, e1-1; "" = it depends on the image
	Alias string // as the topology wrote it, where that is not the Linux name
}

// LinkType is the type of a link.
type LinkType string

// Link types, as containerlab has them.
const (
	LinkVeth        LinkType = "veth"
	LinkVethStitch  LinkType = "veth-stitch"
	LinkHost        LinkType = "host"
	LinkMgmtNet     LinkType = "mgmt-net"
	LinkMacvlan     LinkType = "macvlan"
	LinkVXLAN       LinkType = "vxlan"
	LinkVXLANStitch LinkType = "vxlan-stitch"
	LinkDummy       LinkType = "dummy"
)

// TopologyLink is a link of a topology.
type TopologyLink struct {
	Type   LinkType
	A, B   Endpoint // B is the host's side of types that have only one end in the lab
	MTU    int      // bytes; containerlab's 9500 unless the file says otherwise
	Labels map[string]string
	Vars   map[string]any
	Remote string // of vxlan
	VNI    int    // of vxlan
	At     Position
}

// Endpoint is one end of a link. For links to the lab's host, Node is "host", for
// those to the management network "mgmt-net"; a dummy link has no B.
type Endpoint struct {
	Node      string
	Interface Interface
	MAC       string
	IPv4      string // prefix
	IPv6      string
	Vars      map[string]any
}

const (
	defaultPrefix  = "clab"
	defaultLinkMTU = 9500 // containerlab constants.DefaultLinkMTU
	hostNode       = "host"
	mgmtNode       = "mgmt-net"
)

// LoadTopology reads a containerlab topology file, or the one *.clab.y*ml of a
// directory. Errors are models.Findings with file, line and column; lines are those
// of the file, columns are counted after variables were replaced.
//
// As containerlab does, it replaces environment variables, refuses unknown keys,
// takes kind, group and type from where they may stand, and resolves interface
// names. Go templates are refused: read what containerlab made of them.
func LoadTopology(path string, opts TopologyOptions) (*Topology, error) {
	var found findings
	t := loadTopology(path, opts, &found)
	if err := found.err(); err != nil {
		return nil, err
	}
	t.Warnings = found.warnings()
	return t, nil
}

func loadTopology(path string, opts TopologyOptions, found *findings) *Topology {
	file, err := topologyFile(path)
	if err != nil {
		found.add(Position{File: path}, "", ruleFile, "%s", err)
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		found.add(Position{File: file}, "", ruleFile, "%s", unwrapPath(err))
		return nil
	}
	bad := len(found.list)
	raw, doc := readTopology(file, text, opts.Env, found)
	if raw == nil {
		return nil
	}
	b := topologyBuilder{raw: raw, doc: doc, found: found}
	t := b.build(file)
	if t == nil || len(found.list[bad:].Errors()) > 0 {
		return nil
	}
	data := opts.Data
	if data == "" {
		data = findData(file, t.Name)
	}
	if data != "" && data != "-" {
		d, err := readData(data)
		if err != nil {
			found.add(Position{File: data}, "", ruleFile, "%s", err)
			return nil
		}
		t.Data = data
		t.merge(d, found)
	}
	return t
}

// topologyFile finds the one topology of a directory, as containerlab does.
func topologyFile(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", unwrapPath(err)
	}
	if !fi.IsDir() {
		return path, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.clab.y*ml"))
	if err != nil {
		return "", err
	}
	switch len(files) {
	case 1:
		return files[0], nil
	case 0:
		return "", fmt.Errorf("the directory has no *.clab.yml")
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return "", fmt.Errorf("the directory has several topologies (%s): name one", strings.Join(files, ", "))
}

var templateAction = regexp.MustCompile(`\{\{-?\s*[^\s}]`)

// readTopology decodes the text of a topology. It gives nil with a finding when
// nothing can be read from it.
func readTopology(file string, text []byte, env []string, found *findings) (*clabFile, *document) {
	for no, line := range strings.Split(string(text), "\n") {
		if m := templateAction.FindStringIndex(line); m != nil && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			found.add(Position{File: file, Line: no + 1, Column: len([]rune(line[:m[0]])) + 1}, "", ruleTemplate,
				"is a Go template: read the topology that containerlab makes of it")
			return nil, nil
		}
	}
	if strings.HasSuffix(file, ".gotmpl") {
		found.add(Position{File: file, Line: 1, Column: 1}, "", ruleTemplate, "is a Go template by its name: read the topology that containerlab makes of it")
		return nil, nil
	}
	bad := len(found.list)
	expanded, lines := expandEnv(file, text, env, found)
	docs := parseYAML(file, expanded, lines, found)
	if len(found.list) > bad {
		return nil, nil
	}
	if len(docs) == 0 || docs[0].root == nil {
		found.add(Position{File: file, Line: 1, Column: 1}, "", ruleMissing, "has no topology in it")
		return nil, nil
	}
	raw := new(clabFile)
	d := decoder{doc: docs[0], found: found, lax: true}
	d.decode(raw)
	return raw, docs[0]
}

// Node finds a node by its name.
func (t *Topology) Node(name string) (*Node, bool) {
	n, ok := t.byName[name]
	return n, ok
}

// Passive reports whether a node is nothing to log in to: a host of the lab, a
// bridge, the lab's host.
func (n *Node) Passive() bool { return n.kind.passive }

// longName is containerlab's core/config.go nodeLongName.
func longName(prefix, lab, node string) string {
	switch prefix {
	case "":
		return node
	case "__lab-name":
		return lab + "-" + node
	default:
		return prefix + "-" + lab + "-" + node
	}
}

// topologyBuilder resolves what a file says into a Topology.
type topologyBuilder struct {
	raw   *clabFile
	doc   *document
	found *findings
	top   clabTopology
	t     *Topology
	ends  map[string]Position // node and Linux name -> first use
}

func (b *topologyBuilder) build(file string) *Topology {
	root := b.doc.position(b.doc.root)
	if b.raw.Name == "" {
		b.found.add(root, "name", ruleMissing, "is missing")
	}
	if strings.Contains(b.raw.Name, "__git") {
		b.found.warn(b.at("name"), "name", ruleValue, "containerlab puts the branch or hash of the Git repository in: the names of nodes may be wrong")
	}
	if b.raw.Topology == nil || len(b.raw.Topology.Nodes) == 0 {
		b.found.add(root, "topology.nodes", ruleMissing, "names no nodes")
		return nil
	}
	b.top = *b.raw.Topology
	if b.top.Defaults == nil {
		b.top.Defaults = new(clabNode)
	}
	for _, level := range []map[string]*clabNode{{"": b.top.Defaults}, b.top.Kinds, b.top.Groups, b.top.Nodes} {
		for _, n := range level {
			if n != nil {
				n.oldCredentials()
			}
		}
	}
	t := &Topology{File: file, Name: b.raw.Name, Prefix: defaultPrefix, byName: map[string]*Node{}}
	if b.raw.Prefix != nil {
		t.Prefix = *b.raw.Prefix
	}
	if m := b.raw.Mgmt; m != nil {
		t.Mgmt = Management{Network: m.Network, Bridge: m.Bridge, IPv4Subnet: orElse(m.IPv4Subnet, m.OldIPv4Subnet), IPv6Subnet: orElse(m.IPv6Subnet, m.OldIPv6Subnet)}
	}
	b.t = t
	addrs := map[netip.Addr]string{}
	for _, name := range slices.Sorted(maps.Keys(b.top.Nodes)) {
		n := b.node(name)
		if n == nil {
			continue
		}
		t.Nodes = append(t.Nodes, n)
		t.byName[name] = n
		for _, a := range []netip.Addr{n.MgmtIPv4, n.MgmtIPv6} {
			if first, ok := addrs[a]; ok && a.IsValid() {
				b.found.add(n.At, "topology.nodes."+name, ruleDuplicate, "management address %s is that of %s already", a, first)
			}
			addrs[a] = name
		}
	}
	b.links()
	return t
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// oldCredentials takes the keys that credentials replaced.
func (n *clabNode) oldCredentials() {
	if n.Credentials.Username == "" {
		n.Credentials.Username = n.OldUsername
	}
	if n.Credentials.Password.IsZero() {
		n.Credentials.Password = NewSecret(n.OldPassword)
	}
}

func (b *topologyBuilder) at(keys ...any) Position {
	return b.doc.position(find(b.doc.root, keys...))
}

// kindOf, groupOf and the order of levels are containerlab's types/topology.go
// GetNodeKind and GetNodeGroup. A node that is empty (null) has no group of its
// own kind there, only the default one.
func (b *topologyBuilder) kindOf(n *clabNode) string {
	if n != nil {
		if n.Kind != "" {
			return n.Kind
		}
		if g := b.top.Groups[n.Group]; g != nil && g.Kind != "" {
			return g.Kind
		}
	}
	if g := b.top.Groups[b.top.Defaults.Group]; g != nil && g.Kind != "" {
		return g.Kind
	}
	return b.top.Defaults.Kind
}

func (b *topologyBuilder) groupOf(n *clabNode) string {
	if n == nil {
		return b.top.Defaults.Group
	}
	if n.Group != "" {
		return n.Group
	}
	if k := b.top.Kinds[b.kindOf(n)]; k != nil && k.Group != "" {
		return k.Group
	}
	return b.top.Defaults.Group
}

// levels gives the definitions of a node that exist, the most specific first.
func (b *topologyBuilder) levels(n *clabNode) []*clabNode {
	var out []*clabNode
	for _, l := range []*clabNode{n, b.top.Groups[b.groupOf(n)], b.top.Kinds[b.kindOf(n)], b.top.Defaults} {
		if l != nil {
			out = append(out, l)
		}
	}
	return out
}

func first[T any](levels []*clabNode, get func(*clabNode) T, set func(T) bool) T {
	for _, l := range levels {
		if v := get(l); set(v) {
			return v
		}
	}
	var zero T
	return zero
}

func firstText(levels []*clabNode, get func(*clabNode) string) string {
	return first(levels, get, func(s string) bool { return s != "" })
}

func merged(levels []*clabNode, get func(*clabNode) map[string]string) map[string]string {
	out := map[string]string{}
	for _, l := range slices.Backward(levels) {
		maps.Copy(out, get(l))
	}
	return out
}

func (b *topologyBuilder) node(name string) *Node {
	raw := b.top.Nodes[name]
	levels := b.levels(raw)
	at := b.at("topology", "nodes", name)
	path := (*path)(nil).child("topology").child("nodes").child(name).String()
	kindName := strings.ToLower(b.kindOf(raw))
	k, ok := kindIndex()[kindName]
	switch {
	case kindName == "":
		b.found.add(at, path+".kind", ruleMissing, "is missing, and neither a group nor the defaults have one")
		return nil
	case !ok:
		if raw != nil && raw.Kind != "" {
			at = b.at("topology", "nodes", name, "kind")
		}
		b.found.add(at, path+".kind", ruleUnknown, "%s is no kind of containerlab's%s", quote(kindName), didYouMean(kindName, maps.Keys(kindIndex())))
		return nil
	}
	n := &Node{
		Name: name, Lab: b.t.Name, LongName: longName(b.t.Prefix, b.t.Name, name), FQDN: name + "." + b.t.Name + ".io",
		Kind: kindName, Platform: k.platform, Group: b.groupOf(raw), At: at, kind: k,
		Type:          strings.TrimSpace(firstText(levels, func(l *clabNode) string { return l.Type })),
		Image:         firstText(levels, func(l *clabNode) string { return l.Image }),
		StartupConfig: firstText(levels, func(l *clabNode) string { return l.StartupConfig }),
		NetworkMode:   firstText(levels, func(l *clabNode) string { return l.NetworkMode }),
		Bindings:      first(levels, func(l *clabNode) []string { return l.Ports }, func(p []string) bool { return len(p) > 0 }),
		Components:    len(first(levels, func(l *clabNode) []clabComponent { return l.Components }, func(c []clabComponent) bool { return c != nil })),
		Labels:        merged(levels, func(l *clabNode) map[string]string { return l.Labels }),
		Env:           merged(levels, func(l *clabNode) map[string]string { return l.Env }),
		IdentityFile:  absFile(b.t.File, firstText(levels, func(l *clabNode) string { return l.Credentials.IdentityFile })),
	}
	// The pair comes from the first level that has either; what it lacks comes
	// from the kind (core/config.go createNodeCfg).
	c := first(levels, func(l *clabNode) clabCredentials { return l.Credentials },
		func(c clabCredentials) bool { return c.Username != "" || !c.Password.IsZero() })
	n.Username, n.Password = orElse(c.Username, k.user), c.Password
	if n.Password.IsZero() {
		n.Password = NewSecret(k.password)
	}
	if raw != nil {
		n.MgmtIPv4 = b.address(raw.MgmtIPv4, true, name, "mgmt-ipv4")
		n.MgmtIPv6 = b.address(raw.MgmtIPv6, false, name, "mgmt-ipv6")
	}
	return n
}

func (b *topologyBuilder) address(s string, v4 bool, node, key string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is4() != v4 {
		b.found.add(b.at("topology", "nodes", node, key), "topology.nodes."+node+"."+key, ruleValue, "%s is no IPv%s address", quote(s), map[bool]string{true: "4", false: "6"}[v4])
		return netip.Addr{}
	}
	return a
}

// labels that spanctl reads on nodes, in containerlab's dotted style and, for
// tools that refuse dots, with a dash.
func (n *Node) label(name string) string {
	return orElse(n.Labels["spanctl."+name], n.Labels["spanctl-"+name])
}
