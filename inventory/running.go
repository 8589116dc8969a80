package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// labData is containerlab's topology-data.json (core/export_templates/auto.tmpl):
// what a lab has while it runs. It carries no credentials; interfaces have their
// Linux names.
type labData struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Clab struct {
		Config struct {
			Prefix string `json:"prefix"`
			Mgmt   struct {
				Network    string `json:"network"`
				Bridge     string `json:"bridge"`
				IPv4Subnet string `json:"ipv4-subnet"`
				IPv6Subnet string `json:"ipv6-subnet"`
			} `json:"mgmt"`
		} `json:"config"`
	} `json:"clab"`
	Nodes map[string]labNode `json:"nodes"`
	Links []struct {
		Endpoints struct{ A, Z labEnd } `json:"endpoints"`
		Vars      map[string]any        `json:"vars"`
	} `json:"links"`
}

type labNode struct {
	ShortName string            `json:"shortname"`
	LongName  string            `json:"longname"`
	FQDN      string            `json:"fqdn"`
	Group     string            `json:"group"`
	Kind      string            `json:"kind"`
	Image     string            `json:"image"`
	IPv4      string            `json:"mgmt-ipv4-address"`
	IPv6      string            `json:"mgmt-ipv6-address"`
	Labels    map[string]string `json:"labels"`
}

type labEnd struct {
	Node      string `json:"node"`
	Interface string `json:"interface"`
	MAC       string `json:"mac"`
}

const dataFile = "topology-data.json"

// findData gives the data file that containerlab writes beside a topology file when
// it deploys it: clab-NAME/topology-data.json, or one in the same folder that is of
// that lab. "" = there is none.
func findData(topology, name string) string {
	dir := filepath.Dir(topology)
	if f := filepath.Join(dir, "clab-"+name, dataFile); isFile(f) {
		return f
	}
	f := filepath.Join(dir, dataFile)
	if d, err := readData(f); err == nil && d.Name == name {
		return f
	}
	return ""
}

func isFile(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

func readData(file string) (*labData, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, unwrapPath(err)
	}
	d := new(labData)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("is no %s of containerlab's: %w", dataFile, err)
	}
	if d.Type != "clab" || d.Name == "" {
		return nil, fmt.Errorf("is no %s of containerlab's: name or type is missing", dataFile)
	}
	return d, nil
}

// merge takes the addresses of the running lab. It reports a lab that is not this
// topology's: an address taken from it would lead to a wrong device.
func (t *Topology) merge(d *labData, found *findings) {
	if d.Name != t.Name {
		found.add(Position{File: t.File}, "name", ruleUnknown, "the topology is %s, but the running lab's data are of %s", quote(t.Name), quote(d.Name))
		return
	}
	if b := d.Clab.Config.Mgmt.Bridge; b != "" {
		t.Mgmt.Bridge = b
	}
	for _, n := range t.Nodes {
		r, ok := d.Nodes[n.Name]
		if !ok {
			found.warn(n.At, "topology.nodes."+n.Name, ruleUnknown, "%s is not in the running lab", n.Name)
			continue
		}
		n.LongName = orElse(r.LongName, n.LongName)
		n.setRunning(r)
	}
}

func (n *Node) setRunning(r labNode) {
	if a, err := netip.ParseAddr(r.IPv4); err == nil {
		n.MgmtIPv4 = a
	}
	if a, err := netip.ParseAddr(r.IPv6); err == nil {
		n.MgmtIPv6 = a
	}
}

// LoadRunningLab reads a lab from what containerlab wrote when it deployed it: its
// directory (clab-NAME) or the topology-data.json in it. Credentials and aliases
// stand only in the topology file; the data name it, and it is read too when it is
// still there. Without it, credentials are the kinds' defaults, and interfaces have
// the names that the kinds' default mapping gives.
func LoadRunningLab(path string, opts TopologyOptions) (*Topology, error) {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = filepath.Join(path, dataFile)
	}
	var found findings
	d, err := readData(path)
	if err != nil {
		found.add(Position{File: path}, "", ruleFile, "%s", err)
		return nil, found.err()
	}
	opts.Data = path
	for _, n := range slices.Sorted(maps.Keys(d.Nodes)) {
		if f := d.Nodes[n].Labels["clab-topo-file"]; isFile(f) {
			return LoadTopology(f, opts)
		}
	}
	t := d.topology(path, &found)
	return t, found.err()
}

func (d *labData) topology(file string, found *findings) *Topology {
	t := &Topology{File: file, Name: d.Name, Prefix: d.Clab.Config.Prefix, Data: file, byName: map[string]*Node{}}
	m := d.Clab.Config.Mgmt
	t.Mgmt = Management{Network: m.Network, Bridge: m.Bridge, IPv4Subnet: m.IPv4Subnet, IPv6Subnet: m.IPv6Subnet}
	for _, name := range slices.Sorted(maps.Keys(d.Nodes)) {
		r := d.Nodes[name]
		k, ok := kindIndex()[r.Kind]
		if !ok {
			found.add(Position{File: file}, "nodes."+name+".kind", ruleUnknown, "%s is no kind of containerlab's", quote(r.Kind))
			continue
		}
		n := &Node{
			Name: name, Lab: d.Name, LongName: r.LongName, FQDN: r.FQDN, Kind: r.Kind, Platform: k.platform, Group: r.Group,
			Type: r.Labels["clab-node-type"], Image: r.Image, Labels: map[string]string{}, Env: map[string]string{},
			Username: k.user, Password: NewSecret(k.password), At: Position{File: file}, kind: k,
		}
		for l, v := range r.Labels {
			if l != "containerlab" && !strings.HasPrefix(l, "clab-") { // containerlab's own
				n.Labels[l] = v
			}
		}
		n.setRunning(r)
		t.Nodes = append(t.Nodes, n)
		t.byName[name] = n
	}
	for i, l := range d.Links {
		a, errA := d.end(t, l.Endpoints.A)
		z, errZ := d.end(t, l.Endpoints.Z)
		if err := errors.Join(errA, errZ); err != nil {
			found.add(Position{File: file}, fmt.Sprintf("links[%d]", i), ruleUnknown, "%s", err)
			continue
		}
		link := TopologyLink{Type: LinkVeth, A: a, B: z, Vars: l.Vars, MTU: defaultLinkMTU, At: Position{File: file}}
		if a.Node == hostNode || a.Node == mgmtNode {
			link.A, link.B = z, a
		}
		switch link.B.Node {
		case hostNode:
			link.Type = LinkHost
		case mgmtNode:
			link.Type = LinkMgmtNet
		}
		t.Links = append(t.Links, link)
	}
	return t
}

func (d *labData) end(t *Topology, e labEnd) (Endpoint, error) {
	n, ok := t.byName[e.Node]
	switch {
	case ok:
	case e.Node == hostNode:
		return hostEnd(LinkHost, e.Interface), nil
	case e.Node == d.Clab.Config.Mgmt.Bridge:
		return hostEnd(LinkMgmtNet, e.Interface), nil
	default:
		return Endpoint{}, fmt.Errorf("%s is no node of the lab", quote(e.Node))
	}
	ifc, err := n.resolveInterface(e.Interface)
	if err != nil {
		return Endpoint{}, err
	}
	n.Interfaces = append(n.Interfaces, ifc)
	return Endpoint{Node: e.Node, Interface: ifc, MAC: e.MAC}, nil
}
