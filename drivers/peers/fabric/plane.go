package fabric

import (
	"bytes"
	"fmt"
	"net/netip"
)

// DataPlane forwards and copies the frames of one switch in place of the model: a real
// switch behind the ports, the cables and the hosts of the fabric. Its methods are
// called one at a time.
type DataPlane interface {
	// Configure puts a configuration in force that the switch has found sound, and tells
	// which ports are up. An error says what of it the data plane cannot do; then nothing
	// has changed.
	Configure(c Config, up map[string]bool) error
	// Receive takes a frame that arrived at a port and gives all that leaves the switch
	// because of it, in an order that depends on nothing else.
	Receive(port string, frame []byte) ([]Sent, error)
	// MACs gives the learned addresses; ClearMACs forgets them.
	MACs() ([]MACEntry, error)
	ClearMACs() error
}

// Sent is a frame that leaves a switch.
type Sent struct {
	Port   string // "" for a packet of a tunnel
	Frame  []byte
	Mirror string // the mirror that made the copy; "" for what is forwarded
	// Receiver is where a packet of a tunnel leads; its Ethernet addresses do not matter.
	Receiver netip.Addr
}

// SetDataPlane puts dp in place of the model's own forwarding, from the next frame on.
// The switch has its ports by then and gets no others. What the model keeps is what is
// between switches: cables, their MTU and loss, counters of ports, the way of tunnel
// packets to their receivers, and that a frame is forwarded once per VLAN.
//
// A data plane does not know copies that other switches made: it mirrors them like
// other frames.
func (s *Switch) SetDataPlane(dp DataPlane) error {
	f := s.node.f
	f.mu.Lock()
	defer f.mu.Unlock()
	up := s.portsUp()
	if err := dp.Configure(s.plane.config.clone(), up); err != nil {
		return err
	}
	s.data, s.dataUp, s.dataAt = dp, up, f.topology
	return nil
}

func (s *Switch) portsUp() map[string]bool {
	up := make(map[string]bool, len(s.node.ports))
	for _, p := range s.node.ports {
		up[p.name] = p.up()
	}
	return up
}

// portsUpIn gives which ports will be up once c is in force.
func (s *Switch) portsUpIn(c Config) map[string]bool {
	up := make(map[string]bool, len(s.node.ports))
	for _, p := range s.node.ports {
		pc := c.Ports[p.name]
		shut := pc.Shutdown || pc.LAG != "" && c.LAGs[pc.LAG].Shutdown
		up[p.name] = p.peer != nil && !p.cut && !shut && !p.peer.shut
	}
	return up
}

// syncData tells the data plane of links that went up or down.
func (s *Switch) syncData() error {
	f := s.node.f
	if s.dataAt == f.topology {
		return nil
	}
	up := s.portsUp()
	for name, was := range s.dataUp {
		if up[name] != was {
			if err := s.data.Configure(s.plane.config.clone(), up); err != nil {
				return err
			}
			break
		}
	}
	s.dataUp, s.dataAt = up, f.topology
	return nil
}

// receiveData lets the data plane forward a frame.
func (s *Switch) receiveData(a arrival) error {
	f, in := s.node.f, a.to
	if len(a.frame) < headerLen {
		in.drop(DropMalformed)
		return nil
	}
	if vlan, why := in.iface.classify(s.plane, a.frame); why == "" && !s.firstVisit(vlan, a.id) {
		in.drop(DropLoop)
		return nil
	}
	if err := s.syncData(); err != nil {
		return err
	}
	out, err := s.data.Receive(in.name, bytes.Clone(a.frame))
	if err != nil {
		return err
	}
	for _, o := range out {
		m := s.plane.byName[o.Mirror]
		if (m == nil) != (o.Mirror == "") {
			return fmt.Errorf("the data plane of %s names no mirror of it: %q", s.node.name, o.Mirror)
		}
		left := false
		switch p := s.node.named[o.Port]; {
		case o.Receiver.IsValid():
			left = s.carry(o.Frame, o.Receiver)
		case p == nil:
			return fmt.Errorf("the data plane of %s sends by port %q", s.node.name, o.Port)
		case m != nil:
			left = f.transmit(p, o.Frame, f.newID(), true)
		default:
			f.transmit(p, o.Frame, a.id, a.copy)
		}
		if m == nil {
			continue
		}
		m.counters.Matched++
		if left {
			m.counters.Copied++
		} else {
			m.counters.Dropped++
		}
	}
	return nil
}
