package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// read takes a snapshot. It changes nothing and needs no privilege.
func (m *Mirror) read(ctx context.Context) (*snapshot, error) {
	s := &snapshot{}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	s.hostname = unix.ByteSliceToString(uts.Nodename[:])
	s.release = unix.ByteSliceToString(uts.Release[:])
	if err := m.readLinks(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if s.qdiscs, err = m.tc.Qdiscs(ctx, 0); err != nil {
		return nil, err
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
				return nil, fmt.Errorf("%s %s: %w", l.name, hook, err)
			}
			s.filters = append(s.filters, filters...)
		}
	}
	return s, nil
}

// again repeats a listing that the kernel says was disturbed by a change.
func again[T any](ctx context.Context, list func() ([]T, error)) ([]T, error) {
	for range 10 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return nil, netlink.ErrDumpInterrupted
}

func (m *Mirror) readLinks(ctx context.Context, s *snapshot) error {
	links, err := again(ctx, m.links.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := again(ctx, func() ([]netlink.Addr, error) { return m.links.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	learned, err := again(ctx, func() ([]netlink.Neigh, error) { return m.links.NeighList(0, unix.AF_BRIDGE) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // a kernel without bridges
		return fmt.Errorf("list learned addresses: %w", err)
	}
	for _, nl := range links {
		a := nl.Attrs()
		l := link{
			index: a.Index, name: a.Name, kind: nl.Type(), mtu: a.MTU, master: a.MasterIndex,
			up: a.RawFlags&unix.IFF_UP != 0,
		}
		l.runs = l.up && a.RawFlags&unix.IFF_RUNNING != 0
		// IFLA_LINK is the device below, or the other end of a veth. It counts only
		// where it is in this namespace.
		if here := a.NetNsID < 0; here && a.ParentIndex != 0 && a.ParentIndex != a.Index {
			switch l.kind {
			case "veth":
				l.peer = a.ParentIndex
			case "vlan", "macvlan", "macvtap", "ipvlan", "macsec":
				l.parent = a.ParentIndex
			}
		}
		for _, addr := range addrs {
			if addr.LinkIndex != a.Index {
				continue
			}
			if ip, ok := netip.AddrFromSlice(addr.IP); ok {
				bits, _ := addr.Mask.Size()
				l.addrs = append(l.addrs, netip.PrefixFrom(ip.Unmap(), bits))
			}
		}
		for _, n := range learned {
			if n.LinkIndex == a.Index && n.MasterIndex == a.MasterIndex && n.State&netlink.NUD_PERMANENT == 0 {
				l.macs++
			}
		}
		s.links = append(s.links, l)
	}
	return nil
}
