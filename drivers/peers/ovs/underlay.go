package ovs

import (
	"fmt"
	"net/netip"
	"slices"
)

// AddUnderlay gives the switch a bridge over which tunnels to receivers leave by one
// port of it. Their packets have from as outer source address, where the tunnel does
// not say another, and lead to mac.
func (s *Switch) AddUnderlay(bridge, port string, from netip.Prefix, mac string, receivers ...netip.Addr) error {
	if err := s.AddBridge(bridge); err != nil {
		return err
	}
	if err := s.AddPorts(bridge, port); err != nil {
		return err
	}
	order := "netdev-dummy/ip4addr"
	if from.Addr().Is6() {
		order = "netdev-dummy/ip6addr"
	}
	if _, err := s.Appctl(order, bridge, from.String()); err != nil {
		return err
	}
	for _, r := range receivers {
		if err := s.AddReceiver(bridge, r, mac); err != nil {
			return err
		}
	}
	return nil
}

// AddReceiver makes an underlay lead to one more receiver.
func (s *Switch) AddReceiver(bridge string, receiver netip.Addr, mac string) error {
	if _, err := s.Appctl("ovs/route/add", netip.PrefixFrom(receiver, receiver.BitLen()).String(), bridge); err != nil {
		return fmt.Errorf("route to %s: %w", receiver, err)
	}
	if _, err := s.Appctl("tnl/neigh/set", bridge, receiver.String(), mac); err != nil {
		return fmt.Errorf("neighbour %s: %w", receiver, err)
	}
	return nil
}

// addMarkedUnderlay makes an underlay for one tunnel, whose packets carry a mark in the
// switch: so tunnels from other sources to the same receiver go their own way.
func (s *Switch) addMarkedUnderlay(bridge string, t planeTunnel, mark string) error {
	// Any receiver is a neighbour.
	if err := s.AddUnderlay(bridge, bridge+"p", netip.PrefixFrom(t.Source.Unmap(), 0), ""); err != nil {
		return err
	}
	to := t.Destination.Unmap()
	if _, err := s.Appctl("ovs/route/add", netip.PrefixFrom(to, to.BitLen()).String(), bridge, "pkt_mark="+mark); err != nil {
		return fmt.Errorf("route to %s: %w", to, err)
	}
	if _, err := s.Appctl("tnl/neigh/set", bridge, to.String(), "02:00:00:00:00:01"); err != nil {
		return fmt.Errorf("neighbour %s: %w", to, err)
	}
	return nil
}

// dropUnderlay takes an underlay away. What is left of it does nothing.
func (s *Switch) dropUnderlay(bridge string) {
	s.mu.Lock()
	if p := s.ports[bridge+"p"]; p != nil {
		delete(s.ports, p.name)
		s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == p.name })
		defer p.close()
	}
	s.mu.Unlock()
	_, _ = s.Vsctl("--if-exists", "del-br", bridge)
}
