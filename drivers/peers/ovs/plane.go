package ovs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// Plane is a bridge of a [Switch] as the data plane of a switch of the packet model:
// what the front end's configuration comes to is told to Open vSwitch, which forwards
// and copies.
//
// It refuses what Open vSwitch does not do: filters by more than ports and VLANs,
// sampling, removal of headers, LAGs, ERSPAN type I, a GRE protocol or sequence of its
// own, VLAN sources of another direction than rx, and VLANs beside ports.
//
// Where it differs from the model, since Open vSwitch does:
//
//   - A frame is copied to a destination once, also when it comes in on one source and
//     leaves by another.
//   - The header of ERSPAN has no VLAN.
//   - Changing a mirror forgets the learned addresses.
//   - Frames of a VLAN that their port does not carry are dropped before they could be
//     copied.
type Plane struct {
	sw     *Switch
	index  int
	bridge string
	names  []string       // of the model's ports
	number map[string]int // of a port in names

	last     string            // the transaction in force
	copiesBy map[string]string // mirrors by the port of ours that their copies leave by
	rspan    map[uint16]string // and by their RSPAN VLAN
	tunnels  map[string]tunnelEnd
	under    []string // bridges of underlays in force
	made     int      // underlays so far
}

// tunnelEnd is where the packets of an underlay's port lead.
type tunnelEnd struct {
	mirror   string
	receiver netip.Addr
}

var _ fabric.DataPlane = (*Plane)(nil)

// NewPlane makes a bridge with a port for each of a switch of the packet model.
func (s *Switch) NewPlane(ports []string) (*Plane, error) {
	s.mu.Lock()
	s.planes++
	p := &Plane{sw: s, index: s.planes, number: make(map[string]int)}
	s.mu.Unlock()
	p.bridge = fmt.Sprintf("br%d", p.index)
	if p.index == 1 {
		// Frames are looked at one by one: no flow is cached, which would go on doing what
		// the configuration before had said.
		if _, err := s.Vsctl("set", "Open_vSwitch", ".", "other_config:flow-limit=0"); err != nil {
			return nil, err
		}
	}
	if err := s.AddBridge(p.bridge); err != nil {
		return nil, err
	}
	if _, err := s.Vsctl("set", "Bridge", p.bridge, "other_config:forward-bpdu=true", "other_config:mac-aging-time=86400", "other_config:mac-table-size=65536"); err != nil {
		return nil, err
	}
	var ours []string
	for i, n := range ports {
		p.names = append(p.names, n)
		p.number[n] = i
		ours = append(ours, p.port(n))
	}
	if len(ours) == 0 {
		return p, nil
	}
	return p, s.AddPorts(p.bridge, ours...)
}

// port gives our name of a port of the model.
func (p *Plane) port(name string) string { return fmt.Sprintf("%sp%d", p.bridge, p.number[name]) }

// isolated is a VLAN that nothing has: a port of it alone takes part in nothing.
const isolated = 4095

// Configure puts a configuration in force as one transaction.
func (p *Plane) Configure(c fabric.Config, up map[string]bool) error {
	t := translation{plane: p, c: c, copiesBy: make(map[string]string), rspan: make(map[uint16]string), wire: make(map[string]wireForm)}
	for _, m := range c.Mirrors {
		if !m.Shutdown {
			t.mirror(m)
		}
	}
	t.ports(up)
	if len(t.errs) > 0 {
		return fmt.Errorf("the data plane (Open vSwitch) cannot do this: %w", errors.Join(t.errs...))
	}
	text := strings.Join(append(slices.Clone(t.portArgs), t.mirrorArgs...), " ") + fmt.Sprint(t.tunnels)
	if text == p.last {
		return nil
	}
	if err := p.apply(&t); err != nil {
		return err
	}
	p.last, p.copiesBy, p.rspan = text, t.copiesBy, t.rspan
	return nil
}

// apply makes underlays for the tunnels, then everything else in one transaction, and
// then takes away the underlays from before.
func (p *Plane) apply(t *translation) error {
	tunnels := make(map[string]tunnelEnd)
	var under, args []string
	for _, tn := range t.tunnels {
		p.made++
		bridge := fmt.Sprintf("u%dx%d", p.index, p.made)
		mark := strconv.Itoa(p.index<<16 | p.made&0xffff)
		if err := p.sw.addMarkedUnderlay(bridge, tn, mark); err != nil {
			return err
		}
		under = append(under, bridge)
		tunnels[bridge+"p"] = tunnelEnd{tn.mirror, tn.Destination.Unmap()}
		args = append(args, "--", "add-port", p.bridge, tn.port, "--", "set", "Interface", tn.port, "type="+tn.kind,
			`options:remote_ip="`+tn.Destination.Unmap().String()+`"`, "options:egress_pkt_mark="+mark)
		args = append(args, tn.options...)
		args = append(args, tn.form.vlans(tn.port)...)
	}
	var all []string
	for n := range p.under { // a tunnel port each
		all = append(all, "--", "--if-exists", "del-port", p.bridge, fmt.Sprintf("%st%d", p.bridge, n))
	}
	all = append(all, "--", "clear", "Bridge", p.bridge, "mirrors") // the bridge is ours alone
	all = append(all, t.portArgs...)
	all = append(all, args...)
	all = append(all, t.mirrorArgs...)
	if _, err := p.sw.Vsctl(all...); err != nil {
		for _, b := range under {
			p.sw.dropUnderlay(b)
		}
		return err
	}
	for _, b := range p.under {
		p.sw.dropUnderlay(b)
	}
	p.tunnels, p.under = tunnels, under
	return nil
}

// Receive takes a frame into the bridge.
func (p *Plane) Receive(port string, frame []byte) ([]fabric.Sent, error) {
	out, err := p.sw.Exchange(p.port(port), frame)
	if err != nil {
		return nil, err
	}
	var sent []fabric.Sent
	for _, f := range out {
		if end, ok := p.tunnels[f.Port]; ok {
			sent = append(sent, fabric.Sent{Frame: f.Data, Mirror: end.mirror, Receiver: end.receiver})
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(f.Port, p.bridge+"p"))
		if err != nil || n >= len(p.names) {
			return nil, fmt.Errorf("bridge %s sends by port %s", p.bridge, f.Port)
		}
		s := fabric.Sent{Port: p.names[n], Frame: f.Data, Mirror: p.copiesBy[f.Port]}
		if s.Mirror == "" && vlanOf(f.Data) != vlanOf(frame) {
			s.Mirror = p.rspan[vlanOf(f.Data)]
		}
		sent = append(sent, s)
	}
	return sent, nil
}

// vlanOf gives the VLAN of a frame's tag, 0 without one.
func vlanOf(f []byte) uint16 {
	if len(f) < 16 || binary.BigEndian.Uint16(f[12:]) != 0x8100 {
		return 0
	}
	return binary.BigEndian.Uint16(f[14:]) & 0xfff
}

// MACs gives what the bridge has learned, by fdb/show: OpenFlow port, VLAN, address and
// age.
func (p *Plane) MACs() ([]fabric.MACEntry, error) {
	ofports := make(map[string]string)
	for _, n := range p.names {
		of, err := p.sw.Vsctl("get", "Interface", p.port(n), "ofport")
		if err != nil {
			return nil, err
		}
		ofports[of] = n
	}
	text, err := p.sw.Appctl("fdb/show", p.bridge)
	if err != nil {
		return nil, err
	}
	var out []fabric.MACEntry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || ofports[f[0]] == "" {
			continue
		}
		vlan, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("fdb/show: %q", line)
		}
		e := fabric.MACEntry{VLAN: uint16(vlan), Port: ofports[f[0]]}
		var mac [6]byte
		if _, err := fmt.Sscanf(f[2], "%02x:%02x:%02x:%02x:%02x:%02x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]); err != nil {
			return nil, fmt.Errorf("fdb/show: %q", line)
		}
		e.MAC = mac
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b fabric.MACEntry) int {
		if a.VLAN != b.VLAN {
			return int(a.VLAN) - int(b.VLAN)
		}
		return slices.Compare(a.MAC[:], b.MAC[:])
	})
	return out, nil
}

// ClearMACs makes the bridge forget what it has learned.
func (p *Plane) ClearMACs() error {
	_, err := p.sw.Appctl("fdb/flush", p.bridge)
	return err
}
