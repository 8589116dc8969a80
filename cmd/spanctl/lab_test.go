package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
	"github.com/spanctl/spanctl/inventory"
)

// testLab is a network of simulated switches in this process. spanctl reaches them
// over SSH; the test looks at them from the other side.
type testLab struct {
	lab      *lab.Lab
	fabric   *fabric.Fabric
	switches map[string]*eos.Device
	keys     map[string]ssh.PublicKey
	order    []string // names of switches, as in the topology
	before   map[string]string
	cancel   context.CancelFunc
}

// labFront lets the control interface pass faults on.
type labFront struct{ *eos.Device }

func (f labFront) SetFaults(spec json.RawMessage) error {
	var s eos.FaultSpec
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return err
	}
	return f.Device.SetFaults(s)
}

// startLab brings a topology up and writes an inventory and host keys to dir.
func startLab(topology, dir string) (*testLab, error) {
	t, err := inventory.LoadTopology(topology, inventory.TopologyOptions{Data: "-"})
	if err != nil {
		return nil, err
	}
	l := &testLab{fabric: fabric.New(), switches: map[string]*eos.Device{}, keys: map[string]ssh.PublicKey{}}
	var nodes []lab.Node
	for _, n := range t.Nodes {
		node, err := l.add(t, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		nodes = append(nodes, node)
	}
	for _, k := range t.Links {
		a, b := fabric.End{Node: k.A.Node, Port: k.A.Interface.Name}, fabric.End{Node: k.B.Node, Port: k.B.Interface.Name}
		if err := l.fabric.Connect(fabric.Link{A: a, B: b}); err != nil {
			return nil, err
		}
	}
	for i, n := range t.Nodes {
		if nodes[i].Switch == nil {
			continue
		}
		if nodes[i].FrontEnd, err = l.front(n, nodes[i].Switch); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	if l.lab, err = lab.New(nodes); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	if err := l.lab.Start(ctx, lab.Options{Listen: netip.MustParseAddr("127.0.0.1"), Control: "127.0.0.1:0"}); err != nil {
		cancel()
		return nil, err
	}
	l.before = l.configs()
	return l, l.writeInventory(t, dir)
}

func (l *testLab) add(t *inventory.Topology, n *inventory.Node) (lab.Node, error) {
	node := lab.Node{Name: n.Name, Kind: n.Kind, Fabric: l.fabric}
	if n.Platform == inventory.PlatformLinux {
		h, err := l.fabric.AddHost(n.Name)
		if err != nil {
			return node, err
		}
		addresses := make(map[string][]netip.Prefix)
		for _, k := range t.Links {
			for _, e := range []inventory.Endpoint{k.A, k.B} {
				if e.Node == n.Name && e.IPv4 != "" {
					addresses[e.Interface.Name] = append(addresses[e.Interface.Name], netip.MustParsePrefix(e.IPv4))
				}
			}
		}
		for _, i := range n.Interfaces {
			if err := h.AddPort(i.Name, addresses[i.Name]...); err != nil {
				return node, err
			}
		}
		node.Host = h
		return node, nil
	}
	sw, err := l.fabric.AddSwitch(n.Name)
	if err != nil {
		return node, err
	}
	for _, i := range n.Interfaces {
		if err := sw.AddPort(i.Name); err != nil {
			return node, err
		}
	}
	node.Switch = sw
	return node, nil
}

func (l *testLab) front(n *inventory.Node, sw *fabric.Switch) (lab.FrontEnd, error) {
	key, err := sshd.NewHostKey()
	if err != nil {
		return nil, err
	}
	d, err := eos.New(eos.Options{
		Hostname: n.Name, Switch: sw, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15,
		StartupConfig: n.StartupConfig, HostKey: key, Management: "Management0", MaxSessions: 4,
		Neighbor: func(e fabric.End) (string, string, bool) { return e.Node, e.Port, l.fabric.Switch(e.Node) != nil },
	})
	if err != nil {
		return nil, err
	}
	l.switches[n.Name], l.keys[n.Name] = d, key.PublicKey()
	l.order = append(l.order, n.Name)
	return labFront{d}, nil
}

// writeInventory writes inventory.yaml and known_hosts; and, for tests of what goes
// wrong, password.yaml, which has a file "wrong" as the password of all,
// wrong_hosts, which has another key for leaf1, and pinned.yaml, which pins the key
// of leaf1 for leaf1 and leaf2.
func (l *testLab) writeInventory(t *inventory.Topology, dir string) error {
	topology, err := filepath.Abs(t.File)
	if err != nil {
		return err
	}
	var inv, known, wrong strings.Builder
	fmt.Fprintf(&inv, "apiVersion: spanctl/v1\nkind: Inventory\ntopology: %s\ndefaults:\n  hostKey: {policy: strict, knownHosts: known_hosts}\ndevices:\n", topology)
	for _, name := range l.order {
		addr, ok := l.lab.Address(name)
		if !ok {
			return fmt.Errorf("%s has no address", name)
		}
		host, port, err := net.SplitHostPort(addr.String())
		if err != nil {
			return err
		}
		fmt.Fprintf(&inv, "  - {name: %s, address: %s, port: %s%s}\n", name, host, port, tunnelSource(t, name))
		fmt.Fprintln(&known, knownhosts.Line([]string{addr.String()}, l.keys[name]))
		if name == "leaf1" {
			fmt.Fprintln(&wrong, knownhosts.Line([]string{addr.String()}, l.keys["leaf2"]))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "wrong_hosts"), []byte(wrong.String()), 0o600); err != nil {
		return err
	}
	// Pinned: leaf1 by its own key, leaf2 by that of another.
	pin := ssh.FingerprintSHA256(l.keys["leaf1"])
	pinned := strings.NewReplacer("{name: leaf1,", "{hostKey: {fingerprints: ["+pin+"]}, name: leaf1,", "{name: leaf2,", "{hostKey: {fingerprints: ["+pin+"]}, name: leaf2,").Replace(inv.String())
	if err := os.WriteFile(filepath.Join(dir, "pinned.yaml"), []byte(pinned), 0o600); err != nil {
		return err
	}
	text := strings.Replace(inv.String(), "defaults:\n", "credentials:\n  wrong: {username: admin, password: {file: wrong}}\ndefaults:\n", 1)
	text = strings.ReplaceAll(text, "{name: ", "{credentials: wrong, name: ")
	if err := os.WriteFile(filepath.Join(dir, "password.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "known_hosts"), []byte(known.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "inventory.yaml"), []byte(inv.String()), 0o600)
}

func tunnelSource(t *inventory.Topology, name string) string {
	for _, n := range t.Nodes {
		if a := n.Labels["spanctl.tunnel-source"]; n.Name == name && a != "" {
			return ", tunnelSource: " + a
		}
	}
	return ""
}

func (l *testLab) close() {
	l.cancel()
	_ = l.lab.Close() // nothing to do about it in a test that is over
}

// configs gives every switch's running configuration as the switch prints it.
func (l *testLab) configs() map[string]string {
	out := make(map[string]string, len(l.switches))
	for name, d := range l.switches {
		out[name] = d.RunningConfig()
	}
	return out
}

// foreign gives the lines of sessions and access lists that are not spanctl's.
func foreign(config string) string {
	var out []string
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "monitor session ") && !strings.HasPrefix(line, "monitor session sp-") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// unchanged tells how switches differ from what they were at the beginning; "" when
// they do not.
func (l *testLab) unchanged() string { return cmp.Diff(l.before, l.configs()) }

// strangers tells how sessions that are not spanctl's differ from the beginning; ""
// when they do not.
func (l *testLab) strangers() string {
	have := l.configs()
	var out strings.Builder
	for _, name := range l.order {
		if d := cmp.Diff(foreign(l.before[name]), foreign(have[name])); d != "" {
			fmt.Fprintf(&out, "%s: a stranger's session (-before +after):\n%s", name, d)
		}
	}
	return out.String()
}

// wired reports whether a switch has received a line with text in it.
func (l *testLab) wired(name, text string) bool {
	return slices.ContainsFunc(l.switches[name].Wire(), func(line string) bool { return strings.Contains(line, text) })
}

// await waits until ok, at most 20 s.
func await(ok func() bool) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}
