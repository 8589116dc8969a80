package inventory

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// linkType reads the type of a link as containerlab's links/link.go parseLinkType;
// "" is none of them.
func linkType(s string) string {
	s = strings.TrimSpace(strings.ToLower(s))
	switch s {
	case "macvlan", "veth", "veth-stitch", "mgmt-net", "host", "brief", "vxlan", "vxlan-stitch", "dummy":
		return s
	}
	return ""
}

func (b *topologyBuilder) links() {
	b.ends = map[string]Position{}
	for i := range b.top.Links {
		raw := &b.top.Links[i]
		if raw.Node == nil {
			b.found.add(b.at("topology", "links", i), fmt.Sprintf("topology.links[%d]", i), ruleMissing, "the link is empty")
			continue
		}
		if raw.bad {
			continue
		}
		b.link(i, raw)
	}
}

// link resolves one link. The order of ends is that of containerlab's export: the
// node of the lab is A, the host's side B, except for links to the management
// network, whose bridge comes first there; here it is B too.
func (b *topologyBuilder) link(i int, raw *clabLink) {
	path := fmt.Sprintf("topology.links[%d]", i)
	l := TopologyLink{
		Type: LinkType(raw.Type), MTU: raw.Common.MTU, Labels: raw.Common.Labels, Vars: raw.Common.Vars,
		Remote: raw.Remote, VNI: raw.VNI, At: b.doc.position(raw.Node),
	}
	if l.MTU == 0 {
		l.MTU = defaultLinkMTU
	}
	bad := len(b.found.list)
	switch l.Type {
	case "":
		b.short(&l, raw, path)
	case LinkVeth, LinkVethStitch:
		if len(raw.Ends) != 2 {
			b.found.add(b.doc.position(find(raw.Node, "endpoints")), path+".endpoints", ruleValue, "want two endpoints, got %d", len(raw.Ends))
			return
		}
		l.A = b.extended(&raw.Ends[0], path+".endpoints[0]")
		l.B = b.extended(&raw.Ends[1], path+".endpoints[1]")
	default:
		b.single(&l, raw, path)
	}
	if len(b.found.list) == bad {
		b.t.Links = append(b.t.Links, l)
	}
}

// single reads the types that have one end in the lab.
func (b *topologyBuilder) single(l *TopologyLink, raw *clabLink, path string) {
	if raw.Endpoint == nil {
		b.found.add(l.At, path+".endpoint", ruleMissing, "is missing")
		return
	}
	l.A = b.extended(raw.Endpoint, path+".endpoint")
	switch l.Type {
	case LinkHost, LinkMacvlan, LinkMgmtNet:
		if raw.HostIf == "" {
			b.found.add(l.At, path+".host-interface", ruleMissing, "is missing")
		}
		l.B = hostEnd(l.Type, raw.HostIf)
		if l.Type != LinkMacvlan { // macvlans share their parent
			b.unique(l.B, l.At, path)
		}
	case LinkVXLAN, LinkVXLANStitch:
		if raw.Remote == "" {
			b.found.add(l.At, path+".remote", ruleMissing, "is missing")
		}
		l.B = Endpoint{Node: hostNode}
	case LinkDummy:
	}
}

func hostEnd(t LinkType, iface string) Endpoint {
	node := hostNode
	if t == LinkMgmtNet {
		node = mgmtNode
	}
	return Endpoint{Node: node, Interface: Interface{Name: iface, Linux: iface}}
}

// short reads endpoints: ["node:port", "node:port"], where "host", "mgmt-net" and
// "macvlan" instead of a node make a link of that type (links/link_brief.go).
func (b *topologyBuilder) short(l *TopologyLink, raw *clabLink, path string) {
	list := find(raw.Node, "endpoints")
	if len(raw.Short) != 2 {
		b.found.add(b.doc.position(list), path+".endpoints", ruleValue, "want two endpoints, got %d", len(raw.Short))
		return
	}
	var names, ports [2]string
	for i, s := range raw.Short {
		var err error
		if names[i], ports[i], err = splitEndpoint(s); err != nil {
			b.found.add(b.doc.position(find(list, i)), fmt.Sprintf("%s.endpoints[%d]", path, i), ruleValue, "%s", err)
		}
	}
	if names[0] == "" || names[1] == "" {
		return
	}
	l.Type = LinkVeth
	special := -1
	for i := 0; i < 2 && special < 0; i++ {
		switch t := linkType(names[i]); t {
		case "host", "mgmt-net", "macvlan":
			special, l.Type = i, LinkType(t)
		}
	}
	end := func(i int) Endpoint {
		return b.end(names[i], ports[i], find(list, i), fmt.Sprintf("%s.endpoints[%d]", path, i))
	}
	if special >= 0 {
		l.A, l.B = end(1-special), hostEnd(l.Type, ports[special])
		if l.Type != LinkMacvlan {
			b.unique(l.B, b.doc.position(find(list, special)), fmt.Sprintf("%s.endpoints[%d]", path, special))
		}
		return
	}
	l.A, l.B = end(0), end(1)
	b.shortAddresses(l, raw, path)
}

// splitEndpoint splits "node:port" at the first colon: a node's name has none.
func splitEndpoint(s string) (node, port string, err error) {
	node, port, ok := strings.Cut(s, ":")
	if !ok || node == "" || port == "" {
		return "", "", fmt.Errorf("%s: want NODE:INTERFACE", quote(s))
	}
	return node, port, nil
}

func (b *topologyBuilder) shortAddresses(l *TopologyLink, raw *clabLink, path string) {
	ends := []*Endpoint{&l.A, &l.B}
	for key, list := range map[string][]string{"ipv4": raw.Common.IPv4, "ipv6": raw.Common.IPv6} {
		for i, s := range list {
			at, p := find(raw.Node, key, i), fmt.Sprintf("%s.%s[%d]", path, key, i)
			if i > 1 {
				b.found.add(b.doc.position(at), p, ruleValue, "is one more than there are endpoints")
				break
			}
			if s = strings.TrimSpace(s); s != "" && b.prefix(s, key == "ipv4", at, p) {
				if key == "ipv4" {
					ends[i].IPv4 = s
				} else {
					ends[i].IPv6 = s
				}
			}
		}
	}
}

func (b *topologyBuilder) prefix(s string, v4 bool, at *yaml.Node, path string) bool {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() != v4 {
		b.found.add(b.doc.position(at), path, ruleValue, "%s is no IPv%s prefix such as %s", quote(s),
			map[bool]string{true: "4", false: "6"}[v4], map[bool]string{true: "192.0.2.1/24", false: "2001:db8::1/64"}[v4])
	}
	return err == nil && p.Addr().Is4() == v4
}

// extended reads an endpoint with node and interface.
func (b *topologyBuilder) extended(raw *clabEndpoint, path string) Endpoint {
	if raw.Node == nil {
		return Endpoint{} // it was no mapping, which the decoder has said
	}
	at := b.doc.position(raw.Node)
	if raw.Name == "" {
		b.found.add(at, path+".node", ruleMissing, "is missing")
	}
	if raw.Iface == "" {
		b.found.add(at, path+".interface", ruleMissing, "is missing")
	}
	if raw.Name == "" || raw.Iface == "" {
		return Endpoint{}
	}
	e := b.end(raw.Name, raw.Iface, raw.Node, path)
	e.MAC, e.Vars = raw.MAC, raw.Vars
	if raw.MAC != "" {
		if _, err := net.ParseMAC(raw.MAC); err != nil {
			b.found.add(b.doc.position(find(raw.Node, "mac")), path+".mac", ruleValue, "%s is no MAC address", quote(raw.MAC))
		}
	}
	if raw.IPv4 != "" && b.prefix(raw.IPv4, true, find(raw.Node, "ipv4"), path+".ipv4") {
		e.IPv4 = raw.IPv4
	}
	if raw.IPv6 != "" && b.prefix(raw.IPv6, false, find(raw.Node, "ipv6"), path+".ipv6") {
		e.IPv6 = raw.IPv6
	}
	return e
}

// end resolves a port of a node and notes it there.
func (b *topologyBuilder) end(node, port string, at *yaml.Node, path string) Endpoint {
	pos := b.doc.position(at)
	if node == hostNode || node == mgmtNode {
		if _, ok := b.top.Nodes[node]; !ok {
			e := Endpoint{Node: node, Interface: Interface{Name: port, Linux: port}}
			b.unique(e, pos, path)
			return e
		}
	}
	n, ok := b.t.byName[node]
	if !ok {
		if _, bad := b.top.Nodes[node]; !bad { // else the node has a finding of its own
			b.found.add(pos, path, ruleUnknown, "%s is no node of the topology%s", quote(node), didYouMean(node, maps.Keys(b.top.Nodes)))
		}
		return Endpoint{}
	}
	ifc, err := n.resolveInterface(port)
	if err != nil {
		b.found.add(pos, path, ruleInterface, "%s (kind %s): %s", node, n.Kind, err)
		return Endpoint{}
	}
	e := Endpoint{Node: node, Interface: ifc}
	if b.unique(e, pos, path) {
		n.Interfaces = append(n.Interfaces, ifc)
	}
	return e
}

// unique reports an interface that two links use.
func (b *topologyBuilder) unique(e Endpoint, at Position, path string) bool {
	port := orElse(e.Interface.Linux, e.Interface.Name)
	key := e.Node + ":" + port
	if b.onHost(e.Node) {
		key = hostNode + ":" + port // one network namespace (core/config.go verifyRootNetNSLinks)
	}
	if first, ok := b.ends[key]; ok {
		b.found.add(at, path, ruleDuplicate, "%s:%s is used by another link already, in line %d", e.Node, port, first.Line)
		return false
	}
	b.ends[key] = at
	return true
}

// onHost reports whether the ports of a node are interfaces of the lab's host.
func (b *topologyBuilder) onHost(node string) bool {
	n, ok := b.t.byName[node]
	if !ok {
		return true // host or mgmt-net
	}
	switch n.Kind {
	case "bridge", "ovs-bridge", "host":
		return n.NetworkMode == ""
	}
	return false
}

// resolveInterface gives the three names of a port as a topology may write it.
func (n *Node) resolveInterface(name string) (Interface, error) {
	ln := n.kind.naming
	if n.Components > 0 && n.Platform == PlatformSROS && n.Kind != "nokia_srsim" && strings.Contains(name, "/") {
		// The Linux name depends on how many ports each card has, which only
		// containerlab's table of cards tells (nodes/vr_sros/interface_map.go).
		nos, err := canonicalPort(n.Platform, name)
		return Interface{Name: nos, Alias: name}, err
	}
	linux, alias, err := ln.resolve(name)
	if err != nil {
		return Interface{}, err
	}
	if (linux == "eth0" || linux == "mgmt0" && n.Platform == PlatformSRL) && !slices.Contains([]string{"bridge", "ovs-bridge", "host"}, n.Kind) && strings.ToLower(n.NetworkMode) != "none" {
		return Interface{}, fmt.Errorf("interface %q belongs to the management network unless network-mode is none", name)
	}
	nos := ln.nos(linux)
	if alias != "" {
		if nos, err = canonicalPort(n.Platform, alias); err != nil {
			return Interface{}, err
		}
	}
	return Interface{Name: nos, Linux: linux, Alias: alias}, nil
}
