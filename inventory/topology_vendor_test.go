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
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// Every topology of containerlab's repository that the vendor data hold loads, or is
// refused with a reason that names the line.
func TestVendorTopologies(t *testing.T) {
	dir := require.Vendor(t, "transcripts", "containerlab", "topologies")
	refused := map[string]string{
		"templated01__templated01.clab.gotmpl":    ":12:1: is a Go template: ",
		"templated01__templated01.clab_vars.yaml": ":1:1: spines: unknown key",
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			file := filepath.Join(dir, f.Name())
			topo, err := LoadTopology(file, TopologyOptions{Env: []string{}})
			if want, ok := refused[f.Name()]; ok {
				if err == nil || !strings.Contains(err.Error(), file+want) {
					t.Errorf("LoadTopology: got error %v, want one with %q", err, file+want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var raw struct {
				Topology struct {
					Nodes map[string]any
					Links []any
				}
			}
			unmarshalFile(t, file, yaml.Unmarshal, &raw)
			if len(topo.Nodes) != len(raw.Topology.Nodes) || len(topo.Links) != len(raw.Topology.Links) {
				t.Errorf("got %d nodes and %d links, the file has %d and %d",
					len(topo.Nodes), len(topo.Links), len(raw.Topology.Nodes), len(raw.Topology.Links))
			}
		})
	}
}

func unmarshalFile(t *testing.T, file string, unmarshal func([]byte, any) error, to any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// labs are topologies that containerlab deployed; the files beside them are its own.
var labs = []struct{ dir, topology string }{
	{"span1", "span.clab.yml"},
	{"mirrorfab", "leafspine.clab.yml"},
	{"ovsspan", "ovs.clab.yml"},
	{"vm1", "ovs.clab.yml"},
}

func loadLab(t *testing.T, dir, topology string) (*Topology, string) {
	t.Helper()
	base := require.Vendor(t, "transcripts", "containerlab", "deployed", dir)
	topo, err := LoadTopology(filepath.Join(base, topology), TopologyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if topo.Data == "" {
		t.Fatal("topology-data.json beside the topology was not found")
	}
	return topo, base
}

// nodeFacts are the fields of topology-data.json that are compared. Left out: index
// (an internal number), labdir and the labels clab-* and containerlab (paths and
// names of the machine that ran the lab), mgmt-net and mgmt-intf (always empty),
// prefix lengths (of the management network, which is not an inventory's matter),
// mac-address (generated at random, or empty).
type nodeFacts struct {
	Short, Long, FQDN, Group, Kind, Image, Type, IPv4, IPv6 string
	Labels                                                  map[string]string
	Bindings                                                []string
}

func TestTopologyDataNodes(t *testing.T) {
	for _, lab := range labs {
		t.Run(lab.dir, func(t *testing.T) {
			topo, base := loadLab(t, lab.dir, lab.topology)
			var data struct {
				Name  string
				Clab  struct{ Config struct{ Prefix string } }
				Nodes map[string]struct {
					ShortName, LongName, FQDN, Group, Kind, Image string
					IPv4                                          string            `json:"mgmt-ipv4-address"`
					IPv6                                          string            `json:"mgmt-ipv6-address"`
					Labels                                        map[string]string `json:"labels"`
					Bindings                                      []struct {
						HostIP   string `json:"host-ip"`
						HostPort int    `json:"host-port"`
						Port     int
						Protocol string
					} `json:"port-bindings"`
				}
			}
			unmarshalFile(t, filepath.Join(base, "topology-data.json"), json.Unmarshal, &data)
			if topo.Name != data.Name || topo.Prefix != data.Clab.Config.Prefix {
				t.Errorf("got lab %q with prefix %q, want %q and %q", topo.Name, topo.Prefix, data.Name, data.Clab.Config.Prefix)
			}
			want := map[string]nodeFacts{}
			for name, n := range data.Nodes {
				f := nodeFacts{Short: n.ShortName, Long: n.LongName, FQDN: n.FQDN, Group: n.Group, Kind: n.Kind, Image: n.Image,
					Type: n.Labels["clab-node-type"], IPv4: n.IPv4, IPv6: n.IPv6, Labels: n.Labels}
				// Kinds with a built-in default type report it; the topology does not say it.
				if n.Kind == "nokia_sros" && f.Type == "sr-1" {
					f.Type = ""
				}
				maps.DeleteFunc(f.Labels, func(k, _ string) bool { return strings.HasPrefix(k, "clab-") || k == "containerlab" })
				for _, b := range n.Bindings {
					f.Bindings = append(f.Bindings, fmt.Sprintf("%s:%d:%d/%s", b.HostIP, b.HostPort, b.Port, b.Protocol))
				}
				want[name] = f
			}
			got := map[string]nodeFacts{}
			for _, n := range topo.Nodes {
				got[n.Name] = nodeFacts{Short: n.Name, Long: n.LongName, FQDN: n.FQDN, Group: n.Group, Kind: n.Kind, Image: n.Image,
					Type: n.Type, IPv4: addrText(n.MgmtIPv4), IPv6: addrText(n.MgmtIPv6), Labels: n.Labels, Bindings: n.Bindings}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("nodes (-topology-data.json +ours):\n%s", d)
			}
		})
	}
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Links have the same ends in the same order; only links to the management network
// have their bridge first in containerlab's export and last in ours. Left out: mac
// (random), and the state of the bridge's name, which is part of Mgmt.
func TestTopologyDataLinks(t *testing.T) {
	type link struct{ A, Z, Vars string }
	for _, lab := range labs {
		t.Run(lab.dir, func(t *testing.T) {
			topo, base := loadLab(t, lab.dir, lab.topology)
			var data struct {
				Links []struct {
					Endpoints struct {
						A, Z struct{ Node, Interface string }
					}
					Vars map[string]any
				}
			}
			unmarshalFile(t, filepath.Join(base, "topology-data.json"), json.Unmarshal, &data)
			var want, got []link
			for _, l := range data.Links {
				want = append(want, link{l.Endpoints.A.Node + ":" + l.Endpoints.A.Interface, l.Endpoints.Z.Node + ":" + l.Endpoints.Z.Interface, fmt.Sprint(l.Vars)})
			}
			for _, l := range topo.Links {
				a, z := l.A, l.B
				if z.Node == mgmtNode {
					a, z = z, a
					a.Node = topo.Mgmt.Bridge
				}
				got = append(got, link{a.Node + ":" + a.Interface.Linux, z.Node + ":" + z.Interface.Linux, fmt.Sprint(l.Vars)})
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("links (-topology-data.json +ours):\n%s", d)
			}
		})
	}
}

// Linux names and aliases equal those of "containerlab inspect interfaces". Its eth0
// and lo, and what commands inside of a node made (span1's br0 and vx, which are no
// veth), are not the topology's; vm1 was not inspected. Where an alias is there, the
// NOS name is the alias in the platform's spelling.
func TestInspectInterfaces(t *testing.T) {
	for _, lab := range labs[:3] {
		t.Run(lab.dir, func(t *testing.T) {
			topo, base := loadLab(t, lab.dir, lab.topology)
			var inspected []struct {
				Name       string
				Interfaces []struct{ Name, Alias, Type string }
			}
			unmarshalFile(t, filepath.Join(base, "inspect-interfaces.json"), json.Unmarshal, &inspected)
			want, got := map[string][]string{}, map[string][]string{}
			for _, c := range inspected {
				for _, i := range c.Interfaces {
					if i.Name != "eth0" && i.Type == "veth" {
						want[c.Name] = append(want[c.Name], i.Name+"="+i.Alias)
					}
				}
				slices.Sort(want[c.Name])
			}
			for _, n := range topo.Nodes {
				if n.Kind == "bridge" {
					continue // no container, so not inspected
				}
				for _, i := range n.Interfaces {
					got[n.LongName] = append(got[n.LongName], i.Linux+"="+i.Alias)
				}
				slices.Sort(got[n.LongName])
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("interfaces (-inspect +ours):\n%s", d)
			}
		})
	}
}

func TestVendorNOSNames(t *testing.T) {
	topo, _ := loadLab(t, "mirrorfab", "leafspine.clab.yml")
	want := map[string][]string{
		"leaf-eos": {"Ethernet1", "Ethernet2", "Ethernet10", "Ethernet11"}, "leaf-xrd": {"GigabitEthernet0/0/0/0"},
		"leaf-junos": {"ge-0/0/0"}, "leaf-sonic": {"Ethernet0"}, "leaf-dsonic": {"Ethernet0"}, "leaf-nxos": {"Ethernet1/1"},
		"leaf-cat9k": {"GigabitEthernet1/0/1"}, "leaf-aoscx": {"1/1/1"}, "leaf-vrp": {"Ethernet1/0/0"}, "leaf-cvx": {"swp1"},
		"edge-sros": {"1/1/1"}, "spine2": {"ethernet-1/1", "ethernet-1/2", "ethernet-1/3", "ethernet-1/4", "ethernet-1/5", "ethernet-1/6"},
	}
	got := map[string][]string{}
	for name := range want {
		n, ok := topo.Node(name)
		if !ok {
			t.Fatalf("no node %s", name)
		}
		for _, i := range n.Interfaces {
			got[name] = append(got[name], i.Name)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("NOS names (-want +got):\n%s", d)
	}
}

// Hosts, addresses and credentials equal those of ansible-inventory.yml. Left out:
// ansible_network_os and ansible_connection (Ansible's own matters). Host variables
// win over those of the kind's group, as in Ansible.
func TestAnsibleInventory(t *testing.T) {
	type host struct{ Kind, Group, Address, User, Password string }
	for _, lab := range labs {
		t.Run(lab.dir, func(t *testing.T) {
			topo, base := loadLab(t, lab.dir, lab.topology)
			var inv struct {
				All struct {
					Children map[string]struct {
						Vars  map[string]string
						Hosts map[string]map[string]string
					}
				}
			}
			unmarshalFile(t, filepath.Join(base, "ansible-inventory.yml"), yaml.Unmarshal, &inv)
			want, got := map[string]host{}, map[string]host{}
			for pass := range 2 { // kinds first, then the extra groups
				for name, child := range inv.All.Children {
					_, isKind := kindIndex()[name]
					if isKind != (pass == 0) {
						continue
					}
					for h, vars := range child.Hosts {
						w := want[h]
						if isKind {
							w = host{Kind: name, Address: vars["ansible_host"],
								User:     orElse(vars["ansible_user"], child.Vars["ansible_user"]),
								Password: orElse(vars["ansible_password"], child.Vars["ansible_password"])}
						} else {
							w.Group = name
						}
						want[h] = w
					}
				}
			}
			for _, n := range topo.Nodes {
				got[n.LongName] = host{Kind: n.Kind, Group: n.Labels["ansible-group"], Address: addrText(n.MgmtIPv4), User: n.Username, Password: n.Password.Reveal()}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("hosts (-ansible-inventory.yml +ours):\n%s", d)
			}
		})
	}
}

// Every field of nornir-simple-inventory*.yml is compared; the platform with the
// naming scheme that the file was written with.
func TestNornirInventory(t *testing.T) {
	type host struct{ Username, Password, Platform, Hostname string }
	schemes := map[string]func(*Node) string{
		"nornir-simple-inventory.yml": func(n *Node) string { return n.Kind },
		"nornir-simple-inventory.scrapli.yml": func(n *Node) string {
			return orElse(n.kind.scrapli, n.Kind)
		},
		"nornir-simple-inventory.napalm.yml": func(n *Node) string {
			if n.kind.scrapli == "" {
				return n.Kind
			}
			return n.kind.napalm
		},
	}
	seen := 0
	for _, lab := range labs {
		for file, platform := range schemes {
			topo, base := loadLab(t, lab.dir, lab.topology)
			if lab.dir != "mirrorfab" && file != "nornir-simple-inventory.yml" {
				continue // written for mirrorfab only
			}
			seen++
			t.Run(lab.dir+"/"+file, func(t *testing.T) {
				var want map[string]host
				unmarshalFile(t, filepath.Join(base, file), yaml.Unmarshal, &want)
				got := map[string]host{}
				for _, n := range topo.Nodes {
					got[n.Name] = host{Username: n.Username, Password: n.Password.Reveal(), Platform: platform(n), Hostname: addrText(n.MgmtIPv4)}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("hosts (-nornir +ours):\n%s", d)
				}
			})
		}
	}
	if seen != 6 {
		t.Errorf("compared %d files, want 6", seen)
	}
}

// Our platform key of every kind in the labs, written out: it is what chooses the
// driver.
func TestVendorPlatforms(t *testing.T) {
	topo, _ := loadLab(t, "mirrorfab", "leafspine.clab.yml")
	want := map[string]string{
		"spine1": "nokia_srl", "spine2": "nokia_srl", "leaf-eos": "arista_eos", "leaf-xrd": "cisco_iosxr", "leaf-junos": "juniper_junos",
		"leaf-sonic": "sonic", "leaf-dsonic": "sonic", "leaf-nxos": "cisco_nxos", "leaf-cat9k": "cisco_iosxe", "leaf-aoscx": "aruba_aoscx",
		"leaf-vrp": "huawei_vrp", "leaf-cvx": "cumulus_linux", "edge-sros": "nokia_sros", "h1": "linux", "collector": "linux",
	}
	got := map[string]string{}
	for _, n := range topo.Nodes {
		got[n.Name] = n.Platform
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("platforms (-want +got):\n%s", d)
	}
}

// The running lab's data alone give the same nodes, links and addresses; only what
// stands in the topology file alone is missing.
func TestRunningLabWithoutTopology(t *testing.T) {
	for _, lab := range labs {
		t.Run(lab.dir, func(t *testing.T) {
			full, base := loadLab(t, lab.dir, lab.topology)
			bare, err := LoadRunningLab(base, TopologyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(bare.Nodes) != len(full.Nodes) || len(bare.Links) != len(full.Links) {
				t.Fatalf("got %d nodes and %d links, want %d and %d", len(bare.Nodes), len(bare.Links), len(full.Nodes), len(full.Links))
			}
			for i, n := range bare.Nodes {
				w := full.Nodes[i]
				if n.Name != w.Name || n.LongName != w.LongName || n.Kind != w.Kind || n.MgmtIPv4 != w.MgmtIPv4 || n.MgmtIPv6 != w.MgmtIPv6 {
					t.Errorf("got node %+v, want %+v", n, w)
				}
				if d := cmp.Diff(w.Labels, n.Labels); d != "" {
					t.Errorf("%s: labels (-want +got):\n%s", n.Name, d)
				}
			}
			for i, l := range bare.Links {
				w := full.Links[i]
				if l.Type != w.Type || l.A.Interface.Name != w.A.Interface.Name || l.B.Interface.Name != w.B.Interface.Name {
					t.Errorf("got link %+v, want %+v", l, w)
				}
			}
		})
	}
}

func asFindings(t *testing.T, err error) models.Findings {
	t.Helper()
	var fs models.Findings
	if err != nil && !errors.As(err, &fs) {
		t.Fatalf("error is no list of findings: %v", err)
	}
	return fs
}
