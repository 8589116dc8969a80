package hostmirror

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

func (n *netlinkAccess) read(ctx context.Context) (*snapshot, error) {
	s := &snapshot{}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	s.hostname = unix.ByteSliceToString(uts.Nodename[:])
	s.release = unix.ByteSliceToString(uts.Release[:])
	if err := n.readLinks(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if s.qdiscs, err = n.conn.Qdiscs(ctx, 0); err != nil {
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
			filters, err := n.conn.Filters(ctx, l.index, hook)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", l.name, hook, err)
			}
			s.filters = append(s.filters, filters...)
		}
	}
	if err := n.readPrograms(ctx, s); err != nil {
		return nil, err
	}
	if err := n.readTCX(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (n *netlinkAccess) readLinks(ctx context.Context, s *snapshot) error {
	links, err := n.conn.Links(ctx)
	if err != nil {
		return err
	}
	addrs, err := n.conn.Addrs(ctx)
	if err != nil {
		return err
	}
	neighs, err := n.conn.Neighs(ctx)
	if err != nil {
		return err
	}
	s.setLinks(links, addrs, neighs)
	made, err := n.links.Links(ctx)
	if err != nil {
		return err
	}
	as := make(map[int]linknl.Link, len(made))
	for _, l := range made {
		as[l.Index] = l
	}
	for i := range s.links {
		s.links[i].as = as[s.links[i].index]
	}
	return nil
}
