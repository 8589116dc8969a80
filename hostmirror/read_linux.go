package hostmirror

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// read takes a snapshot. It changes nothing and needs no privilege.
func (m *Mirror) read(ctx context.Context) (*snapshot, error) {
	s := &snapshot{}
	err := m.tap(ctx, "", func() error { return m.readInto(ctx, s) })
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (m *Mirror) readInto(ctx context.Context, s *snapshot) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	s.hostname = unix.ByteSliceToString(uts.Nodename[:])
	s.release = unix.ByteSliceToString(uts.Release[:])
	if err := m.readLinks(ctx, s); err != nil {
		return err
	}
	var err error
	if s.qdiscs, err = m.tc.Qdiscs(ctx, 0); err != nil {
		return err
	}
	for _, l := range s.links {
		var hooks []tcnl.Hook
		switch {
		case s.hasQdisc(l.index, "clsact"):
			hooks = []tcnl.Hook{tcnl.Ingress, tcnl.Egress}
		case s.hasQdisc(l.index, "ingress"):
			hooks = []tcnl.Hook{tcnl.Ingress}
		}
		for _, hook := range hooks {
			filters, err := m.tc.Filters(ctx, l.index, hook)
			if err != nil {
				return fmt.Errorf("%s %s: %w", l.name, hook, err)
			}
			s.filters = append(s.filters, filters...)
		}
	}
	m.readTCX(ctx, s)
	return nil
}

func (m *Mirror) readLinks(ctx context.Context, s *snapshot) error {
	links, err := m.tc.Links(ctx)
	if err != nil {
		return err
	}
	addrs, err := m.tc.Addrs(ctx)
	if err != nil {
		return err
	}
	neighs, err := m.tc.Neighs(ctx)
	if err != nil {
		return err
	}
	for _, from := range links {
		l := link{
			index: from.Index, name: from.Name, kind: from.Kind, up: from.Up, runs: from.Runs,
			mtu: from.MTU, master: from.Master, xdp: from.XDP,
		}
		switch l.kind {
		case "veth":
			l.peer = from.Lower
		case "vlan", "macvlan", "macvtap", "ipvlan", "macsec":
			l.parent = from.Lower
		}
		for _, a := range addrs {
			if a.Ifindex == l.index && a.Prefix.IsValid() {
				l.addrs = append(l.addrs, a.Prefix)
			}
		}
		for _, n := range neighs {
			if n.Ifindex == l.index && n.Master == l.master && !n.Permanent {
				l.macs++
			}
		}
		s.links = append(s.links, l)
	}
	return nil
}
