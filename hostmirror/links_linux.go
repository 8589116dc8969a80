package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

func (n *netlinkAccess) route(ctx context.Context, collector, local netip.Addr) (linknl.Route, error) {
	return n.links.RouteTo(ctx, collector, local)
}

// doLink does the operations about links and what belongs to them; ok is false for
// others.
func (n *netlinkAccess) doLink(ctx context.Context, o operation) (back func(context.Context) error, ok bool, err error) {
	switch o.Verb {
	case addLink:
		back, err = n.addLink(ctx, o.Link)
	case delLink:
		back, err = n.delLink(ctx, o)
	case addDrop:
		err = n.addDrop(ctx, o.Dev)
	case addGuardFilter:
		back, err = n.addGuard(ctx, o)
	case delGuardFilter:
		back, err = n.delGuard(ctx, o)
	default:
		return nil, false, nil
	}
	return back, true, err
}

func (n *netlinkAccess) addLink(ctx context.Context, spec linknl.Spec) (func(context.Context) error, error) {
	l, err := n.links.Create(ctx, spec)
	switch {
	case errors.Is(err, linknl.ErrLeft), errors.Is(err, linknl.ErrCut):
		return func(ctx context.Context) error { return n.removeLinkIfThere(ctx, spec) }, err
	case err != nil:
		return nil, err
	}
	return func(ctx context.Context) error { return n.links.Delete(ctx, l) }, nil
}

// removeLinkIfThere takes a link back of which it is not known whether it was made.
func (n *netlinkAccess) removeLinkIfThere(ctx context.Context, spec linknl.Spec) error {
	l, err := n.links.LinkByName(ctx, spec.Name)
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil
	case err != nil:
		return err
	}
	return n.links.Delete(ctx, l)
}

func (n *netlinkAccess) delLink(ctx context.Context, o operation) (func(context.Context) error, error) {
	l, err := n.links.LinkByName(ctx, o.Dev)
	if err != nil {
		return nil, err
	}
	if err := deletable(l, o); err != nil {
		return nil, err
	}
	if err := n.links.Delete(ctx, l); err != nil {
		if errors.Is(err, linknl.ErrCut) {
			return func(ctx context.Context) error { return n.restoreLinkIfGone(ctx, l) }, err
		}
		return nil, err
	}
	return func(ctx context.Context) error { return n.restoreLink(ctx, l) }, nil
}

// restoreLink makes a link anew that was deleted, as far as it was as we make it.
func (n *netlinkAccess) restoreLink(ctx context.Context, l linknl.Link) error {
	if len(l.Odd) > 0 || !l.Up {
		return fmt.Errorf("link %s was not as spanctl makes it, and is not made again", l.Name)
	}
	if _, err := n.links.Create(ctx, l.Spec); err != nil {
		return err
	}
	if l.Kind != linknl.VLAN {
		return nil
	}
	return n.addDrop(ctx, l.Name)
}

func (n *netlinkAccess) restoreLinkIfGone(ctx context.Context, l linknl.Link) error {
	_, err := n.links.LinkByName(ctx, l.Name)
	if errors.Is(err, unix.ENODEV) {
		return n.restoreLink(ctx, l)
	}
	return err
}

// addDrop makes a link deaf, with the qdisc for it. It must be one of ours.
func (n *netlinkAccess) addDrop(ctx context.Context, name string) error {
	l, err := n.links.LinkByName(ctx, name)
	switch {
	case err != nil:
		return err
	case !l.Ours():
		return fmt.Errorf("%s: %w", name, linknl.ErrForeign)
	}
	if err := n.conn.AddClsact(ctx, l.Index); err != nil {
		return err
	}
	_, err = n.conn.AddDrop(ctx, l.Index, dropPriority)
	return err
}

func (n *netlinkAccess) addGuard(ctx context.Context, o operation) (func(context.Context) error, error) {
	dev, err := n.index(ctx, o.Dev)
	if err != nil {
		return nil, err
	}
	g := o.Guard
	g.Ifindex = dev
	f, err := n.conn.AddGuard(ctx, g)
	switch {
	case inDoubt(err):
		return func(ctx context.Context) error { return n.removeGuardIfThere(ctx, g) }, err
	case err != nil:
		return nil, err
	}
	return func(ctx context.Context) error { return n.remove(ctx, f.ID) }, nil
}

func (n *netlinkAccess) removeGuardIfThere(ctx context.Context, g tcnl.Guard) error {
	filters, err := n.conn.Filters(ctx, g.Ifindex, g.Hook)
	if err != nil {
		return err
	}
	for _, f := range filters {
		if have, ok := f.Guards(); ok && have == g {
			return n.remove(ctx, f.ID)
		}
	}
	return nil
}

func (n *netlinkAccess) delGuard(ctx context.Context, o operation) (func(context.Context) error, error) {
	dev, err := n.index(ctx, o.Dev)
	if err != nil {
		return nil, err
	}
	filters, err := n.conn.Filters(ctx, dev, o.Hook)
	if err != nil {
		return nil, err
	}
	f, err := findGuard(filters, o, dev)
	if err != nil {
		return nil, err
	}
	g := o.Guard
	g.Ifindex = dev
	restore := func(ctx context.Context) error {
		_, err := n.conn.AddGuard(ctx, g)
		return err
	}
	switch err := n.conn.DeleteFilter(ctx, f.ID); {
	case inDoubt(err):
		return func(ctx context.Context) error {
			filters, err := n.conn.Filters(ctx, dev, o.Hook)
			if err != nil || slices.ContainsFunc(filters, func(h tcnl.Filter) bool { return h.ID == f.ID }) {
				return err
			}
			return restore(ctx)
		}, err
	case err != nil:
		return nil, err
	}
	return restore, n.tidy(ctx, f.ID)
}
