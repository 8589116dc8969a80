package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/inventory"
)

// buildOptions say what is made of a topology.
type buildOptions struct {
	replicas    int
	rtt         time.Duration
	skipUnknown bool
	// vswitch forwards the frames of all switches; nil = the packet model does.
	vswitch *ovs.Switch
}

// built is a lab that is ready to start.
type built struct {
	nodes    []lab.Node
	switches []simulated
	warnings []string // of what the topology has and the lab has not
}

// simulated is what clients must know of a switch besides its address.
type simulated struct {
	name    string // in the lab: the node's, with a number in all replicas but the first
	node    *inventory.Node
	hostKey ssh.PublicKey
}

// front is the front end of a platform.
type front struct {
	make func(spec frontSpec) (lab.FrontEnd, ssh.PublicKey, error)
}

// frontSpec is what front ends are made of.
type frontSpec struct {
	name     string
	node     *inventory.Node
	dir      string // of the topology
	sw       *fabric.Switch
	rtt      time.Duration
	neighbor func(fabric.End) (node, port string, isSwitch bool)
}

// fronts are the platforms that can be simulated.
var fronts = map[string]front{
	inventory.PlatformEOS:   {makeEOS},
	inventory.PlatformIOSXE: {makeIOSXE},
	inventory.PlatformNXOS:  {makeNXOS},
	inventory.PlatformSONiC: {makeSONiC},
}

// build makes the nodes of every replica. Each replica is a network of its own.
func build(t *inventory.Topology, dir string, o buildOptions) (*built, error) {
	b := &built{}
	for i := range max(o.replicas, 1) {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("-%d", i+1)
		}
		r := replica{topology: t, dir: dir, options: o, suffix: suffix, fabric: fabric.New(), into: b, left: map[string]bool{}}
		if err := r.build(); err != nil {
			return nil, err
		}
		if i == 0 {
			b.warnings = r.warnings // the others have the same
		}
	}
	if len(b.switches) == 0 {
		return nil, errors.New("the topology has no switch that can be simulated")
	}
	return b, nil
}

type replica struct {
	topology *inventory.Topology
	dir      string
	options  buildOptions
	suffix   string
	fabric   *fabric.Fabric
	into     *built
	left     map[string]bool // nodes left out
	hosts    []lab.Node      // which come after the switches
	warnings []string
}

func (r *replica) warnf(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *replica) build() error {
	var unknown []error
	for _, n := range r.topology.Nodes {
		if _, ok := fronts[n.Platform]; ok || isHost(n) {
			continue
		}
		err := fmt.Errorf("%s: node %s: kind %s cannot be simulated (only %s and linux can)", n.At, n.Name, n.Kind, known())
		if !r.options.skipUnknown {
			unknown = append(unknown, err)
			continue
		}
		r.left[n.Name] = true
		r.warnf("%s: left out", err)
	}
	if len(unknown) > 0 {
		return errors.Join(unknown...)
	}
	switches := map[string]*fabric.Switch{}
	for _, n := range r.topology.Nodes {
		var err error
		switch {
		case r.left[n.Name]:
		case isHost(n):
			err = r.addHost(n)
		default:
			switches[n.Name], err = r.addSwitch(n)
		}
		if err != nil {
			return fmt.Errorf("%s: node %s: %w", n.At, n.Name, err)
		}
	}
	for _, l := range r.topology.Links {
		if err := r.connect(l); err != nil {
			return fmt.Errorf("%s: %w", l.At, err)
		}
	}
	// Last, since they read their ports when they are made.
	for _, n := range r.topology.Nodes {
		sw := switches[n.Name]
		if sw == nil {
			continue
		}
		spec := frontSpec{name: n.Name + r.suffix, node: n, dir: r.dir, sw: sw, rtt: r.options.rtt, neighbor: r.neighbor}
		fe, key, err := fronts[n.Platform].make(spec)
		if err != nil {
			return fmt.Errorf("%s: node %s: %w", n.At, n.Name, err)
		}
		r.into.nodes = append(r.into.nodes, lab.Node{Name: spec.name, Kind: n.Kind, Fabric: r.fabric, Switch: sw, FrontEnd: fe})
		r.into.switches = append(r.into.switches, simulated{name: spec.name, node: n, hostKey: key})
	}
	r.into.nodes = append(r.into.nodes, r.hosts...)
	return nil
}

func known() string {
	var names []string
	for p := range fronts {
		names = append(names, p)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// isHost reports whether a node becomes a host. Linux nodes that play a switch do
// not: there is nothing to simulate them with.
func isHost(n *inventory.Node) bool {
	return n.Platform == inventory.PlatformLinux && n.Kind == "linux" && label(n, "role") != "switch"
}

// label reads a label in both spellings that the inventory reads.
func label(n *inventory.Node, name string) string {
	if v := n.Labels["spanctl."+name]; v != "" {
		return v
	}
	return n.Labels["spanctl-"+name]
}

func (r *replica) addSwitch(n *inventory.Node) (*fabric.Switch, error) {
	sw, err := r.fabric.AddSwitch(n.Name + r.suffix)
	if err != nil {
		return nil, err
	}
	for _, i := range n.Interfaces {
		if err := sw.AddPort(i.Name); err != nil {
			return nil, err
		}
	}
	if v := r.options.vswitch; v != nil {
		plane, err := v.NewPlane(sw.Ports())
		if err != nil {
			return nil, err
		}
		if err := sw.SetDataPlane(plane); err != nil {
			return nil, err
		}
	}
	return sw, nil
}

func (r *replica) addHost(n *inventory.Node) error {
	h, err := r.fabric.AddHost(n.Name + r.suffix)
	if err != nil {
		return err
	}
	addrs, err := hostAddresses(r.topology, n)
	if err != nil {
		return err
	}
	for _, i := range n.Interfaces {
		if err := h.AddPort(i.Name, addrs[i.Name]...); err != nil {
			return err
		}
	}
	r.hosts = append(r.hosts, lab.Node{Name: n.Name + r.suffix, Kind: n.Kind, Fabric: r.fabric, Host: h})
	return nil
}

// hostAddresses are those that links give to a node's interfaces. The address that
// a label says to be its own belongs to its first interface if no link has it.
func hostAddresses(t *inventory.Topology, n *inventory.Node) (map[string][]netip.Prefix, error) {
	out := map[string][]netip.Prefix{}
	var all []netip.Addr
	for _, l := range t.Links {
		for _, e := range []inventory.Endpoint{l.A, l.B} {
			if e.Node != n.Name {
				continue
			}
			for _, s := range []string{e.IPv4, e.IPv6} {
				if s == "" {
					continue
				}
				p, err := netip.ParsePrefix(s)
				if err != nil {
					return nil, err
				}
				out[e.Interface.Name] = append(out[e.Interface.Name], p)
				all = append(all, p.Addr())
			}
		}
	}
	s := label(n, "address")
	if s == "" || len(n.Interfaces) == 0 {
		return out, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return nil, fmt.Errorf("label address: %w", err)
	}
	if !slices.Contains(all, a) {
		first := n.Interfaces[0].Name
		out[first] = append(out[first], netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// connect lays the cables of links between two nodes. Other links end outside of
// the lab: their ports stay without a cable.
func (r *replica) connect(l inventory.TopologyLink) error {
	a, b := l.A, l.B
	ends := fmt.Sprintf("%s: link %s:%s to %s:%s", l.At, a.Node, a.Interface.Name, b.Node, b.Interface.Name)
	if l.Type != inventory.LinkVeth {
		r.warnf("%s: of type %s: no cable", ends, l.Type)
		return nil
	}
	for _, e := range []inventory.Endpoint{a, b} {
		if r.left[e.Node] {
			r.warnf("%s: %s is left out: no cable", ends, e.Node)
			return nil
		}
	}
	return r.fabric.Connect(fabric.Link{A: r.end(a), B: r.end(b), MTU: l.MTU})
}

func (r *replica) end(e inventory.Endpoint) fabric.End {
	return fabric.End{Node: e.Node + r.suffix, Port: e.Interface.Name}
}

func (r *replica) neighbor(e fabric.End) (node, port string, isSwitch bool) {
	return e.Node, e.Port, r.fabric.Switch(e.Node) != nil
}
