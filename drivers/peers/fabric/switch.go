package fabric

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
)

// Switch is a bridge with ports. It forwards from its first port on, all ports
// being access ports of VLAN 1, until [Switch.Configure] says otherwise.
type Switch struct {
	node  *node
	plane *plane
	macs  map[macKey]*iface
	// routes of tunnels, valid while the fabric's topology is routesAt.
	routes   map[netip.Addr][]*port
	routesAt uint64

	data   DataPlane // nil: the model's own forwarding
	dataUp map[string]bool
	dataAt uint64 // the topology that data knows
}

type macKey struct {
	vlan uint16
	mac  MAC
}

// plane is a configuration made ready for forwarding.
type plane struct {
	config  Config
	ifaces  []*iface // in the order of ports, then LAGs by name
	mirrors []*mirror
	byName  map[string]*mirror
	rspan   map[uint16][]tap // mirrors that take from an RSPAN VLAN
}

// iface is what frames are bridged between: a port or a LAG.
type iface struct {
	name    string
	config  PortConfig
	members []*port
}

// PortStatus is what a port knows of itself.
type PortStatus struct {
	MAC  MAC
	Up   bool // neither end is shut and the cable is whole; always false without a cable
	Peer End  // the far end of the cable; zero without a cable
	MTU  int  // of the cable; 0 without one
	// MirrorDestination: an active mirror has claimed the port.
	MirrorDestination bool
}

// MACEntry is a learned address.
type MACEntry struct {
	VLAN uint16
	MAC  MAC
	Port string // port or LAG
}

// Name returns the switch's name.
func (s *Switch) Name() string { return s.node.name }

// AddPort adds a port, an access port of VLAN 1 until Configure says otherwise.
func (s *Switch) AddPort(name string) error {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	if s.data != nil {
		return fmt.Errorf("switch %q has a data plane and gets no more ports", s.node.name)
	}
	if _, err := s.node.addPort(name); err != nil {
		return err
	}
	s.apply(s.plane.config)
	return nil
}

// Ports returns the names of the ports in the order of their making.
func (s *Switch) Ports() []string {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	return s.node.portNames()
}

// Configure replaces the whole forwarding state. It is checked first: with an
// error, which holds all findings, nothing has changed. Learned addresses stay
// where neither port nor VLAN changed, counters of mirrors where the mirror did
// not change. c is copied.
func (s *Switch) Configure(c Config) error {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	if err := s.check(c); err != nil {
		return err
	}
	if s.data != nil {
		if err := s.data.Configure(c.clone(), s.portsUpIn(c)); err != nil {
			return err
		}
	}
	s.apply(c.clone())
	if s.data != nil {
		s.dataUp = s.portsUp()
	}
	return nil
}

// Config returns a copy of what Configure was given last.
func (s *Switch) Config() Config {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	return s.plane.config.clone()
}

// PortStatus returns the state of a port; ok is false for an unknown one.
func (s *Switch) PortStatus(port string) (st PortStatus, ok bool) {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	return s.node.status(port)
}

func (n *node) status(port string) (st PortStatus, ok bool) {
	p := n.named[port]
	if p == nil {
		return PortStatus{}, false
	}
	st = PortStatus{MAC: p.mac, Up: p.up(), MTU: p.mtu, MirrorDestination: p.destination}
	if p.peer != nil {
		st.Peer = p.peer.end()
	}
	return st, true
}

// MACs returns the learned addresses, sorted by VLAN and address.
func (s *Switch) MACs() []MACEntry {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	if s.data != nil {
		entries, err := s.data.MACs()
		s.node.f.fail(err)
		return entries
	}
	out := make([]MACEntry, 0, len(s.macs))
	for k, i := range s.macs {
		out = append(out, MACEntry{VLAN: k.vlan, MAC: k.mac, Port: i.name})
	}
	slices.SortFunc(out, func(a, b MACEntry) int {
		return cmp.Or(cmp.Compare(a.VLAN, b.VLAN), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	return out
}

// ClearMACs forgets all learned addresses.
func (s *Switch) ClearMACs() {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	if s.data != nil {
		s.node.f.fail(s.data.ClearMACs())
	}
	clear(s.macs)
}

// Counters returns the counters of a port; ok is false for an unknown one.
func (s *Switch) Counters(port string) (c Counters, ok bool) {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	p := s.node.named[port]
	if p == nil {
		return Counters{}, false
	}
	return p.counters(), true
}

// MirrorCounters returns the counters of a mirror; ok is false for an unknown one.
func (s *Switch) MirrorCounters(name string) (c MirrorCounters, ok bool) {
	s.node.f.mu.Lock()
	defer s.node.f.mu.Unlock()
	m := s.plane.byName[name]
	if m == nil {
		return MirrorCounters{}, false
	}
	return m.counters, true
}

// apply puts a checked configuration in force.
func (s *Switch) apply(c Config) {
	old := s.plane
	s.plane = s.compile(c, old)
	s.relearn(old)
	s.node.f.topology++
}

// compile makes a plane of a checked configuration and points the ports to it.
// Mirrors that are the same in old keep their counters.
func (s *Switch) compile(c Config, old *plane) *plane {
	pl := &plane{config: c, byName: map[string]*mirror{}, rspan: map[uint16][]tap{}}
	lags := map[string]*iface{}
	for _, p := range s.node.ports {
		pc, ok := c.Ports[p.name]
		if !ok {
			pc = PortConfig{Mode: Access}
		}
		p.shut, p.rx, p.tx, p.destination = pc.Shutdown, nil, nil, false
		if pc.LAG == "" {
			p.iface = &iface{name: p.name, config: pc, members: []*port{p}}
			pl.ifaces = append(pl.ifaces, p.iface)
			continue
		}
		if lags[pc.LAG] == nil {
			lags[pc.LAG] = &iface{name: pc.LAG, config: c.LAGs[pc.LAG]}
		}
		p.iface = lags[pc.LAG]
		p.iface.members = append(p.iface.members, p)
		p.shut = p.shut || p.iface.config.Shutdown
	}
	for _, name := range slices.Sorted(maps.Keys(lags)) {
		pl.ifaces = append(pl.ifaces, lags[name])
	}
	for _, mc := range c.Mirrors {
		m := &mirror{config: mc}
		if old != nil {
			if was := old.byName[mc.Name]; was != nil && reflect.DeepEqual(was.config, mc) {
				m = was
			}
		}
		pl.mirrors = append(pl.mirrors, m)
		pl.byName[mc.Name] = m
		if !mc.Shutdown {
			s.attach(pl, m)
		}
	}
	return pl
}

// attach hangs the taps of an active mirror on the ports, and claims its
// destination ports.
func (s *Switch) attach(pl *plane, m *mirror) {
	for _, d := range m.config.Destinations {
		for _, p := range s.node.ports {
			if d.Kind == DestinationPort && d.Name == p.name || d.Kind == DestinationLAG && d.Name == p.iface.name {
				p.destination = true
			}
		}
	}
	for _, p := range s.node.ports {
		var rx, tx []*MirrorSource
		for i := range m.config.Sources {
			src := &m.config.Sources[i]
			switch src.Kind {
			case SourcePort:
				if src.Name != p.name {
					continue
				}
			case SourceLAG:
				if src.Name != p.iface.name || p.iface.name == p.name {
					continue
				}
			case SourceVLAN:
			default:
				continue
			}
			if src.Direction == Rx || src.Direction == Both {
				rx = append(rx, src)
			}
			if src.Direction == Tx || src.Direction == Both {
				tx = append(tx, src)
			}
		}
		if rx != nil {
			p.rx = append(p.rx, tap{m, rx})
		}
		if tx != nil {
			p.tx = append(p.tx, tap{m, tx})
		}
	}
	taken := map[uint16][]*MirrorSource{}
	for i := range m.config.Sources {
		if src := &m.config.Sources[i]; src.Kind == SourceRSPAN {
			taken[src.VLAN] = append(taken[src.VLAN], src)
		}
	}
	for vlan, sources := range taken {
		pl.rspan[vlan] = append(pl.rspan[vlan], tap{m, sources})
	}
}

// relearn keeps the addresses whose port and VLAN are as they were under old.
func (s *Switch) relearn(old *plane) {
	now := map[string]*iface{}
	for _, i := range s.plane.ifaces {
		now[i.name] = i
	}
	for k, was := range s.macs {
		i := now[was.name]
		if i == nil || !reflect.DeepEqual(i.config, was.config) || i.members[0].destination ||
			s.plane.vlan(k.vlan) != old.vlan(k.vlan) {
			delete(s.macs, k)
			continue
		}
		s.macs[k] = i
	}
}

// vlanState says what a switch does in a VLAN.
type vlanState uint8

const (
	vlanAbsent vlanState = iota
	vlanNormal
	vlanRSPAN
)

func (pl *plane) vlan(v uint16) vlanState {
	c, ok := pl.config.VLANs[v]
	switch {
	case ok && c.RemoteSPAN:
		return vlanRSPAN
	case ok, v == 1:
		return vlanNormal
	}
	return vlanAbsent
}
