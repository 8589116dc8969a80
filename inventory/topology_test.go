package inventory

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func loadFabric(t testing.TB, env ...string) *Topology {
	t.Helper()
	if env == nil {
		env = []string{}
	}
	topo, err := LoadTopology(testdata(t, "lab", "fabric.clab.yml"), TopologyOptions{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func TestTopologyInheritance(t *testing.T) {
	topo := loadFabric(t)
	want := []Node{
		{Name: "h1", Kind: "linux", Platform: "linux", Image: "alpine:3", Labels: map[string]string{"site": "lab", "spanctl.role": "host"}, Env: map[string]string{"LEVEL": "defaults", "ONLY_DEFAULTS": "1"}},
		{Name: "ids1", Kind: "linux", Platform: "linux", Image: "alpine:3", Labels: map[string]string{"site": "lab", "spanctl.role": "collector", "spanctl.address": "192.0.2.9", "spanctl.accepts": "erspan3, gre"},
			Env: map[string]string{"LEVEL": "defaults", "ONLY_DEFAULTS": "1"}},
		{Name: "leaf1", Kind: "arista_ceos", Platform: "arista_eos", Group: "leaves", Image: "ceos:4.32.0F", MgmtIPv4: netip.MustParseAddr("172.30.0.21"), Labels: map[string]string{"site": "lab", "spanctl.role": "leaf"},
			Env: map[string]string{"LEVEL": "node", "ONLY_DEFAULTS": "1"}, Username: "admin", Password: NewSecret("admin")},
		{Name: "leaf2", Kind: "cisco_n9kv", Platform: "cisco_nxos", Group: "leaves", MgmtIPv4: netip.MustParseAddr("172.30.0.22"), Labels: map[string]string{"site": "lab", "spanctl.role": "leaf"},
			Env: map[string]string{"LEVEL": "group", "ONLY_DEFAULTS": "1"}, Username: "netops", Password: NewSecret("admin")},
		{Name: "leaf3", Kind: "juniper_vjunosswitch", Platform: "juniper_junos", Labels: map[string]string{"site": "lab"}, Env: map[string]string{"LEVEL": "defaults", "ONLY_DEFAULTS": "1"}, Username: "admin", Password: NewSecret("admin@123")},
		{Name: "spine1", Kind: "nokia_srlinux", Platform: "nokia_srl", Group: "spines", Type: "ixr-d2l", MgmtIPv4: netip.MustParseAddr("172.30.0.11"), Labels: map[string]string{"site": "lab", "spanctl.role": "spine"},
			Env: map[string]string{"LEVEL": "defaults", "ONLY_DEFAULTS": "1"}, Username: "admin", Password: NewSecret("NokiaSrl1!")},
	}
	var got []Node
	for _, n := range topo.Nodes {
		got = append(got, *n)
	}
	opts := cmp.Options{cmpAddr(), cmpopts.IgnoreUnexported(Node{}), cmpopts.IgnoreFields(Node{}, "Lab", "LongName", "FQDN", "At", "Interfaces")}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
}

func TestTopologyLinks(t *testing.T) {
	port := func(name, linux, alias string) Interface { return Interface{Name: name, Linux: linux, Alias: alias} }
	same := func(name string) Interface { return port(name, name, "") }
	want := []TopologyLink{
		{Type: LinkVeth, A: Endpoint{Node: "spine1", Interface: port("ethernet-1/1", "e1-1", "ethernet-1/1")}, B: Endpoint{Node: "leaf1", Interface: port("Ethernet49", "eth49", "")}},
		{Type: LinkVeth, A: Endpoint{Node: "spine1", Interface: port("ethernet-1/2", "e1-2", "")}, B: Endpoint{Node: "leaf2", Interface: port("Ethernet1/49", "eth49", "Ethernet1/49")}},
		{Type: LinkVeth, A: Endpoint{Node: "spine1", Interface: port("ethernet-1/3/1", "e1-3-1", "ethernet-1/3/1")}, B: Endpoint{Node: "leaf3", Interface: port("xe-0/0/3", "eth4", "xe-0/0/3")}},
		{Type: LinkVeth, MTU: 1600, A: Endpoint{Node: "leaf1", Interface: port("Ethernet1", "et1", "")}, B: Endpoint{Node: "h1", Interface: same("eth1")}},
		{Type: LinkVeth, Labels: map[string]string{"use": "mirror"}, Vars: map[string]any{"speed": 10}, A: Endpoint{Node: "leaf1", Interface: port("Ethernet48", "eth48", "")},
			B: Endpoint{Node: "ids1", Interface: same("eth1"), MAC: "02:00:00:00:00:01", IPv4: "192.0.2.9/24"}},
		{Type: LinkHost, A: Endpoint{Node: "leaf2", Interface: port("Ethernet1/2", "eth2", "")}, B: Endpoint{Node: "host", Interface: same("leaf2-tap")}},
		{Type: LinkMgmtNet, A: Endpoint{Node: "ids1", Interface: same("eth9")}, B: Endpoint{Node: "mgmt-net", Interface: same("ids-mgmt")}},
		{Type: LinkMacvlan, A: Endpoint{Node: "h1", Interface: same("eth2")}, B: Endpoint{Node: "host", Interface: same("eno1")}},
		{Type: LinkVXLAN, A: Endpoint{Node: "leaf1", Interface: port("Ethernet7", "eth7", "")}, B: Endpoint{Node: "host"}, Remote: "203.0.113.1", VNI: 100},
		{Type: LinkDummy, A: Endpoint{Node: "h1", Interface: same("dummy0")}},
	}
	for i := range want {
		if want[i].MTU == 0 {
			want[i].MTU = 9500
		}
	}
	if d := cmp.Diff(want, loadFabric(t).Links, cmpopts.IgnoreFields(TopologyLink{}, "At")); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
}

func TestTopologyEnvironment(t *testing.T) {
	n, _ := loadFabric(t, "CEOS_VERSION=4.33.1F").Node("leaf1")
	if n.Image != "ceos:4.33.1F" {
		t.Errorf("got image %q, want the variable's value in it", n.Image)
	}
}

func TestExpandEnv(t *testing.T) {
	env := []string{"SET=value", "EMPTY=", "LINES=a\nb"}
	tests := []struct{ name, give, want string }{
		{"plain", "a $SET b ${SET}", "a value b value"},
		{"unset stays", "P4s$w0rd ${nope}", "P4s$w0rd $nope"},
		{"empty stays", "$EMPTY ${EMPTY}", "$EMPTY $EMPTY"},
		{"default", "${nope:-x} ${nope-x} ${nope:=x} ${SET:-x} ${EMPTY:-x}", "x x x value x"},
		{"alternative", "${SET:+y} ${nope:+y}|", "y |"},
		{"default of a variable", "${nope:-$SET}", "value"},
		{"digits are text", "$1 ${2} a$", "$1 ${2} a$"},
		{"escaped", "$$SET", "$SET"},
		{"in a comment", "# $SET", "# value"},
		{"colon and slash", "${nope:-ghcr.io/x:1}", "ghcr.io/x:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found findings
			got, _ := expandEnv("f", []byte(tt.give), env, &found)
			if err := found.err(); err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("expandEnv(%q) = %q, want %q", tt.give, got, tt.want)
			}
		})
	}
	var found findings
	_, got := expandEnv("f", []byte("1\n2 $LINES\n3 $LINES $LINES\n4"), env, &found)
	if d := cmp.Diff([]int{1, 2, 2, 3, 3, 3, 4}, got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

func TestTopologyFindings(t *testing.T) {
	nodes := "name: x\ntopology:\n  nodes:\n    a: {kind: ceos}\n    b: {kind: srl}\n"
	tests := []struct {
		name, give string
		want       []string
	}{
		{"nothing", "", []string{"FILE:1:1: has no topology in it"}},
		{"no nodes", "name: x\ntopology: {}\n", []string{"FILE:1:1: topology.nodes: names no nodes"}},
		{"no name", "topology: {nodes: {a: {kind: linux}}}\n", []string{"FILE:1:1: name: is missing"}},
		{"unknown keys", "name: x\nmgmt: {netwrok: y}\ntopology:\n  nodes:\n    a: {kind: linux, imgae: z, dns: {server: [a]}}\n  link: []\n", []string{
			`FILE:2:8: mgmt.netwrok: unknown key; did you mean "network"?`,
			`FILE:5:22: topology.nodes.a.imgae: unknown key; did you mean "image"?`,
			`FILE:5:38: topology.nodes.a.dns.server: unknown key; did you mean "servers"?`,
			`FILE:6:3: topology.link: unknown key; did you mean "links"?`}},
		{"wrong types", "name: x\ntopology:\n  nodes:\n    a: {kind: linux, cpu: much, ports: 80, privileged: yes, startup-delay: -1}\n", []string{
			`FILE:4:27: topology.nodes.a.cpu: want a number, got "much"`,
			`FILE:4:40: topology.nodes.a.ports: want a list, got the number 80`,
			`FILE:4:76: topology.nodes.a.startup-delay: want a whole number from 0, got "-1"`}},
		{"unknown kind", "name: x\ntopology:\n  nodes:\n    a: {kind: arista_ecos}\n    b: {}\n", []string{
			`FILE:4:15: topology.nodes.a.kind: "arista_ecos" is no kind of containerlab's; did you mean "arista_ceos"?`,
			`FILE:5:8: topology.nodes.b.kind: is missing, and neither a group nor the defaults have one`}},
		{"key twice", "name: x\nname: y\ntopology: {nodes: {a: {kind: linux}}}\n", []string{"FILE:2:1: name: given twice: first in line 1"}},
		{"addresses", "name: x\ntopology:\n  nodes:\n    a: {kind: linux, mgmt-ipv4: 10.0.0.300}\n    b: {kind: linux, mgmt-ipv4: 10.0.0.1}\n    c: {kind: linux, mgmt-ipv4: 10.0.0.1}\n", []string{
			`FILE:4:33: topology.nodes.a.mgmt-ipv4: "10.0.0.300" is no IPv4 address`,
			`FILE:6:8: topology.nodes.c: management address 10.0.0.1 is that of b already`}},
		{"endpoints", nodes + "  links:\n    - endpoints: [a:eth1]\n    - endpoints: [a:eth1, c:e1-1]\n    - endpoints: [a, b:e1-1]\n    - endpoints: [a:eth1, b:e1-2]\n    - endpoint: [a:eth1]\n    - a:eth1\n", []string{
			"FILE:7:18: topology.links[0].endpoints: want two endpoints, got 1",
			`FILE:8:27: topology.links[1].endpoints[1]: "c" is no node of the topology`,
			`FILE:9:19: topology.links[2].endpoints[0]: "a": want NODE:INTERFACE`,
			"FILE:10:19: topology.links[3].endpoints[0]: a:eth1 is used by another link already, in line 8",
			`FILE:11:7: topology.links[4].endpoint: unknown key; did you mean "endpoints"?`,
			"FILE:11:7: topology.links[4].endpoints: want two endpoints, got 0",
			`FILE:12:7: topology.links[5]: want a link with endpoints, got "a:eth1"`}},
		{"interface names", nodes + "  links:\n    - endpoints: [a:Gi1, b:eth1]\n    - endpoints: [a:eth0, b:ethernet-0/1]\n", []string{
			`FILE:7:19: topology.links[0].endpoints[0]: a (kind ceos): interface "Gi1": want ethX or etX (X >= 1)`,
			`FILE:7:26: topology.links[0].endpoints[1]: b (kind srl): interface "eth1": want ethernet-L/P, ethernet-L/P/C, eL-P or eL-P-C (L, P, C >= 1)`,
			`FILE:8:19: topology.links[1].endpoints[0]: a (kind ceos): interface "eth0": want ethX or etX (X >= 1)`,
			`FILE:8:27: topology.links[1].endpoints[1]: b (kind srl): interface "ethernet-0/1": line cards, ports and channels begin at 1`}},
		{"alias and Linux name are one port", nodes + "  links:\n    - endpoints: [a:eth1, b:ethernet-1/1]\n    - endpoints: [a:eth2, b:e1-1]\n", []string{
			"FILE:8:27: topology.links[1].endpoints[1]: b:e1-1 is used by another link already, in line 7"}},
		{"names on the host", "name: x\ntopology:\n  nodes:\n    a: {kind: ceos}\n    br1: {kind: bridge}\n    br2: {kind: ovs-bridge}\n  links:\n    - endpoints: [a:eth1, br1:p1]\n    - endpoints: [a:eth2, br2:p1]\n    - endpoints: [a:eth3, host:p1]\n", []string{
			"FILE:9:27: topology.links[1].endpoints[1]: br2:p1 is used by another link already, in line 8",
			"FILE:10:27: topology.links[2].endpoints[1]: host:p1 is used by another link already, in line 8"}},
		{"management interfaces", "name: x\ntopology:\n  nodes:\n    a: {kind: linux}\n    b: {kind: srl}\n    c: {kind: linux, network-mode: none}\n  links:\n    - endpoints: [a:eth0, b:mgmt0]\n    - endpoints: [c:eth0, a:eth1]\n", []string{
			`FILE:8:19: topology.links[0].endpoints[0]: a (kind linux): interface "eth0" belongs to the management network unless network-mode is none`,
			`FILE:8:27: topology.links[0].endpoints[1]: b (kind srl): interface "mgmt0" belongs to the management network unless network-mode is none`}},
		{"extended links", nodes + "  links:\n    - {type: vteh, endpoints: []}\n    - {type: host, endpoint: {node: a, interface: eth1}}\n    - {type: vxlan, host-interface: x}\n    - {type: veth, endpoints: [{node: a, interface: eth2, mac: zz, ipv4: 10.0.0.1}, {node: b}]}\n", []string{
			`FILE:7:14: topology.links[0].type: unknown link type "vteh"`,
			"FILE:8:7: topology.links[1].host-interface: is missing",
			`FILE:9:21: topology.links[2].host-interface: unknown key`,
			"FILE:9:7: topology.links[2].endpoint: is missing",
			`FILE:10:64: topology.links[3].endpoints[0].mac: "zz" is no MAC address`,
			`FILE:10:74: topology.links[3].endpoints[0].ipv4: "10.0.0.1" is no IPv4 prefix such as 192.0.2.1/24`,
			"FILE:10:85: topology.links[3].endpoints[1].interface: is missing"}},
		{"template", nodes + "{{- range seq 1 2 }}\n", []string{"FILE:6:1: is a Go template: read the topology that containerlab makes of it"}},
		{"open variable", "name: x${Y:-hunter2\n", []string{"FILE:1:8: environment variable ${Y: closing brace expected"}},
		{"line after a variable with line ends", "# $TWO\nname: x\nbad: 1\ntopology: {nodes: {a: {kind: linux}}}\n", []string{"FILE:3:1: bad: unknown key"}},
		{"anchor that holds itself", "name: x\ntopology: &t\n  nodes: {a: {kind: linux, config: {vars: {x: *t}}}}\n", []string{"FILE:2:11: topology.nodes.a.config.vars.x: anchor 't' value contains itself"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, "x.clab.yml", tt.give)
			_, err := LoadTopology(file, TopologyOptions{Env: []string{"TWO=1\n# 2"}})
			if d := cmp.Diff(tt.want, lines(t, err, file), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// What containerlab tolerates loads: YAML 1.1 booleans, numbers as text, old keys,
// merge keys, empty nodes with a default kind, kinds in capitals.
func TestTopologyTolerance(t *testing.T) {
	file := write(t, "x.clab.yml", `name: 7
prefix: ""
mgmt: {ipv4_subnet: 10.0.0.0/24}
topology:
  defaults: {kind: Linux, privileged: yes}
  nodes:
    a: &a {kind: ceos, username: old, password: 1234, labels: {n: 1, b: true}}
    b: {<<: *a, image: x}
    c:
  links:
`)
	topo, err := LoadTopology(file, TopologyOptions{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if topo.Name != "7" || topo.Mgmt.IPv4Subnet != "10.0.0.0/24" {
		t.Errorf("got name %q and subnet %q", topo.Name, topo.Mgmt.IPv4Subnet)
	}
	b, _ := topo.Node("b")
	c, _ := topo.Node("c")
	if b.Kind != "ceos" || b.Image != "x" || b.Username != "old" || b.Password.Reveal() != "1234" || b.Labels["n"] != "1" || b.Labels["b"] != "true" || b.LongName != "b" {
		t.Errorf("got node %+v", b)
	}
	if c.Kind != "linux" {
		t.Errorf("got kind %q of an empty node, want the default", c.Kind)
	}
}

func TestTemplateByName(t *testing.T) {
	file := write(t, "x.clab.gotmpl", "name: x\ntopology: {nodes: {a: {kind: ceos}}}\n")
	if _, err := LoadTopology(file, TopologyOptions{}); err == nil || !strings.Contains(err.Error(), file+":1:1: is a Go template by its name") {
		t.Errorf("got error %v, want the refusal of a template", err)
	}
}

func TestTopologyOfDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadTopology(dir, TopologyOptions{}); err == nil || !strings.Contains(err.Error(), "has no *.clab.yml") {
		t.Errorf("empty directory: got error %v", err)
	}
	text := "name: l\ntopology: {nodes: {a: {kind: ceos}}}\n"
	for _, f := range []string{"l.clab.yml", "m.clab.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadTopology(dir, TopologyOptions{})
		if f == "l.clab.yml" && err != nil {
			t.Errorf("one topology: %v", err)
		}
		if f == "m.clab.yaml" && (err == nil || !strings.Contains(err.Error(), "several topologies (l.clab.yml, m.clab.yaml)")) {
			t.Errorf("two topologies: got error %v", err)
		}
	}
}

// A running lab's addresses win over those of the file; another lab's data are
// refused.
func TestRunningAddresses(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	topology := put("l.clab.yml", "name: l\ntopology: {nodes: {a: {kind: ceos, mgmt-ipv4: 10.0.0.1}, b: {kind: ceos}}}\n")
	put("clab-l/topology-data.json", `{"name":"l","type":"clab","nodes":{"a":{"longname":"clab-l-a","kind":"ceos","mgmt-ipv4-address":"10.0.0.9","mgmt-ipv6-address":""}}}`)
	topo, err := LoadTopology(topology, TopologyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := topo.Node("a"); a.MgmtIPv4 != netip.MustParseAddr("10.0.0.9") || filepath.Base(filepath.Dir(topo.Data)) != "clab-l" {
		t.Errorf("got address %s from %q, want the running lab's", a.MgmtIPv4, topo.Data)
	}
	if len(topo.Warnings) != 1 {
		t.Errorf("got warnings %v of the topology, want one of node b", topo.Warnings)
	}
	inv, err := LoadInventory([]string{topology}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Warnings) != 1 || !strings.Contains(inv.Warnings[0].Message, "b is not in the running lab") {
		t.Errorf("got warnings %v, want one of node b", inv.Warnings)
	}
	other := put("other.json", `{"name":"m","type":"clab","nodes":{}}`)
	if _, err := LoadTopology(topology, TopologyOptions{Data: other}); err == nil || !strings.Contains(err.Error(), `data are of "m"`) {
		t.Errorf("another lab's data: got error %v", err)
	}
	broken := put("broken.json", `{"nodes":`)
	if _, err := LoadRunningLab(broken, TopologyOptions{}); err == nil || !strings.Contains(err.Error(), "is no topology-data.json") {
		t.Errorf("broken data: got error %v", err)
	}
}

// Each kind's names and aliases are unique, and its default credentials are a pair
// or none.
func TestKindTable(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kinds {
		for _, n := range k.names {
			if seen[n] || n != strings.ToLower(n) {
				t.Errorf("kind %q is there twice or has capitals", n)
			}
			seen[n] = true
		}
		if (k.user == "") != (k.password == "") || k.platform == "" {
			t.Errorf("kind %q: half a pair of credentials, or no platform", k.names[0])
		}
	}
	if !slices.Contains(Platforms(), "arista_eos") {
		t.Errorf("Platforms() = %v", Platforms())
	}
}

// For every kind of ours: what the topology may write, the Linux name and the NOS's
// name. Sources as at kinds.
func TestLabNames(t *testing.T) {
	tests := []struct{ kind, give, linux, name string }{
		{"arista_ceos", "eth1", "eth1", "Ethernet1"}, {"arista_ceos", "et2", "et2", "Ethernet2"}, {"arista_ceos", "eth2_1_1", "eth2_1_1", "Ethernet2/1/1"},
		{"arista_veos", "eth1", "eth1", "Ethernet1/1"}, {"arista_veos", "Et1/2", "eth2", "Ethernet1/2"},
		{"nokia_srlinux", "e1-1", "e1-1", "ethernet-1/1"}, {"nokia_srlinux", "ethernet-2/10/4", "e2-10-4", "ethernet-2/10/4"},
		{"nokia_sros", "eth1", "eth1", "1/1/1"}, {"nokia_sros", "1/1/c3/1", "eth3", "1/1/c3/1"},
		{"nokia_srsim", "1/2/3", "e1-2-3", "1/2/3"}, {"nokia_srsim", "e1-x2-3-c4-5", "e1-x2-3-c4-5", "1/x2/3/c4/5"}, {"nokia_srsim", "1/x2/3/c4/5", "e1-x2-3-c4-5", "1/x2/3/c4/5"},
		{"cisco_xrd", "Gi0-0-0-7", "Gi0-0-0-7", "GigabitEthernet0/0/0/7"}, {"cisco_c8000", "Hu0_0_0_1", "Hu0_0_0_1", "HundredGigE0/0/0/1"}, {"cisco_c8000", "FH0_0_0_1", "FH0_0_0_1", "FourHundredGigE0/0/0/1"},
		{"cisco_xrd_vrouter", "eth1", "eth1", "TenGigE0/0/0/0"}, {"cisco_xrv9k", "Gi0/0/0/1", "eth2", "GigabitEthernet0/0/0/1"}, {"cisco_xrv", "eth1", "eth1", "GigabitEthernet0/0/0/0"},
		{"cisco_cat9kv", "eth1", "eth1", "GigabitEthernet1/0/1"}, {"cisco_c8000v", "eth1", "eth1", "GigabitEthernet2"}, {"cisco_c8000v", "Gi2", "eth1", "GigabitEthernet2"}, {"cisco_csr1000v", "eth3", "eth3", "GigabitEthernet4"},
		{"cisco_iol", "eth1", "eth1", "Ethernet0/1"}, {"cisco_iol", "eth4", "eth4", "Ethernet1/0"}, {"cisco_iol", "eth7", "eth7", "Ethernet1/3"}, {"cisco_iol", "e1/1", "eth5", "Ethernet1/1"},
		{"cisco_n9kv", "eth1", "eth1", "Ethernet1/1"}, {"cisco_n9kv", "Et1/3", "eth3", "Ethernet1/3"},
		{"juniper_vjunosswitch", "eth1", "eth1", "ge-0/0/0"}, {"juniper_vjunosevolved", "eth1", "eth1", "et-0/0/0"}, {"juniper_vmx", "xe-0/0/2", "eth3", "xe-0/0/2"},
		{"juniper_cjunosevolved", "eth4", "eth4", "et-0/0/0"}, {"juniper_cjunosevolved", "et-0/0/1", "eth5", "et-0/0/1"}, {"juniper_crpd", "eth1", "eth1", "eth1"},
		{"sonic-vs", "eth1", "eth1", "Ethernet0"}, {"sonic-vm", "eth3", "eth3", "Ethernet8"}, {"dell_sonic", "eth2", "eth2", "Ethernet4"},
		{"nvidia_cumulusvx", "swp1", "eth1", "swp1"}, {"nvidia_cumulusvx", "eth2", "eth2", "swp2"}, {"cumulus_cvx", "swp12", "swp12", "swp12"},
		{"aruba_aoscx", "1/1/2", "eth2", "1/1/2"}, {"huawei_vrp", "eth1", "eth1", "Ethernet1/0/0"}, {"mikrotik_ros", "eth1", "eth1", "ether2"}, {"mikrotik_ros", "ether3", "eth2", "ether3"},
		{"vyosnetworks_vyos", "eth1", "eth1", "eth1"}, {"ipinfusion_ocnos", "eth1", "eth1", "eth1"}, {"linux", "anything", "anything", "anything"},
	}
	for _, tt := range tests {
		k := kindIndex()[tt.kind]
		n := Node{Kind: tt.kind, Platform: k.platform, kind: k}
		got, err := n.resolveInterface(tt.give)
		if err != nil || got.Linux != tt.linux || got.Name != tt.name || (got.Alias == "") != (tt.give == tt.linux) {
			t.Errorf("%s %s: got %+v, %v; want %s and %s", tt.kind, tt.give, got, err, tt.linux, tt.name)
		}
	}
	refused := []struct{ kind, give, want string }{
		{"cisco_n9kv", "Ethernet1/0", "the first port has number 1"}, {"cisco_c8000v", "Gi1", "the first port has number 2"}, {"mikrotik_ros", "ether1", "the first port has number 2"},
		{"cisco_n9kv", "Ethernet1/99999999999999999999", "the port number is too large"}, {"cisco_iol", "Ethernet0/0", "want ethX"}, {"nokia_sros", "2/1/1", "slot 1, mda 1"},
		{"nokia_sros", "1/1/c1/2", "breakout"}, {"nokia_srsim", "1/0/3", "begin at 1"}, {"huawei_vrp", "GE1/0/0", "want ethX"}, {"cisco_xrd", "Gi0/0/0/0", "want Gi0-0-0-X"},
	}
	for _, tt := range refused {
		k := kindIndex()[tt.kind]
		n := Node{Kind: tt.kind, Platform: k.platform, kind: k}
		if got, err := n.resolveInterface(tt.give); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: got %+v, %v; want an error with %q", tt.kind, tt.give, got, err, tt.want)
		}
	}
}

func FuzzTopology(f *testing.F) {
	text, err := os.ReadFile(testdata(f, "lab", "fabric.clab.yml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("name: x\ntopology: {nodes: {a: {kind: ceos}}, links: [{endpoints: [a:eth1, host:x]}]}")
	f.Add("name: x\ntopology: &t {nodes: {a: *t}}")
	f.Add("name: ${A:-b}\ntopology: {nodes: {a: {kind: nokia_sros, components: [{slot: A}]}}, links: [{type: dummy, endpoint: {node: a, interface: 1/1/c1/1}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		var found findings
		raw, doc := readTopology("f", []byte(text), []string{}, &found)
		if raw == nil {
			if found.err() == nil {
				t.Fatal("nothing was read, and no finding says why")
			}
			return
		}
		b := topologyBuilder{raw: raw, doc: doc, found: &found}
		topo := b.build("f")
		if topo == nil || found.err() != nil {
			return
		}
		for _, l := range topo.Links {
			if l.A.Node == "" || l.A.Interface.Name == "" {
				t.Errorf("a link without an end: %+v", l)
			}
		}
	})
}

func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"ethernet-1/1", "e1-1-1", "eth1_2_3", "Gi0-0-0-0", "ge-0/0/7", "1/1/c1/1", "1/x2/3/c4/5", "Ethernet0/1", "swp1", "Hu0_0_0_3", "ether2", "eth99999999999999999999"} {
		for i := range kinds {
			f.Add(i, s)
		}
	}
	f.Fuzz(func(t *testing.T, k int, name string) {
		if k < 0 || k >= len(kinds) || name == "" {
			return
		}
		n := Node{Name: "n", Kind: kinds[k].names[0], Platform: kinds[k].platform, kind: &kinds[k]}
		i, err := n.resolveInterface(name)
		if err != nil {
			return
		}
		if i.Name == "" || i.Linux == "" && n.Components == 0 {
			t.Fatalf("%s %q: got an empty name: %+v", n.Kind, name, i)
		}
		// The Linux name resolves to itself, whatever spelling led to it.
		again, err := n.resolveInterface(i.Linux)
		if err != nil || again.Linux != i.Linux {
			t.Errorf("%s %q: Linux name %q resolves to %+v, %v", n.Kind, name, i.Linux, again, err)
		}
	})
}
