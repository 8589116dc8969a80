package hostmirror

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// do does one operation and gives the way back, nil where there is nothing to undo.
func (n *netlinkAccess) do(ctx context.Context, o operation) (func(context.Context) error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if back, ok, err := n.doLink(ctx, o); ok {
		return back, err
	}
	dev, err := n.index(ctx, o.Dev)
	if err != nil {
		return nil, err
	}
	switch o.Verb {
	case addQdisc:
		return nil, n.conn.AddClsact(ctx, dev)
	case addFilter:
		target, err := n.index(ctx, o.Target)
		if err != nil {
			return nil, err
		}
		f, err := n.conn.AddMirror(ctx, tcnl.Mirror{
			Ifindex: dev, Hook: o.Hook, Priority: o.Priority, Kind: o.Kind, Target: target, Cookie: o.Cookie,
			Program: o.Program, OneIn: o.OneIn,
		})
		switch {
		case inDoubt(err):
			return func(ctx context.Context) error { return n.removeIfThere(ctx, dev, o) }, err
		case err != nil:
			return nil, err
		}
		return func(ctx context.Context) error { return n.remove(ctx, f.ID) }, nil
	case delFilter:
		filters, err := n.thoseLike(ctx, o.identity(dev))
		if err != nil {
			return nil, err
		}
		f, err := find(filters, o, dev)
		if err != nil {
			return nil, err
		}
		target := n.targetOf(ctx, f)
		err = n.conn.DeleteFilter(ctx, f.ID)
		switch {
		case inDoubt(err):
			return func(ctx context.Context) error { return n.restoreIfGone(ctx, f, target) }, err
		case err != nil:
			return nil, err
		}
		return func(ctx context.Context) error { return n.restore(ctx, f, target) }, n.tidy(ctx, f.ID)
	default:
		return nil, fmt.Errorf("verb %q is not known", o.Verb)
	}
}

func (n *netlinkAccess) index(ctx context.Context, name string) (int, error) {
	l, err := n.conn.LinkByName(ctx, name)
	return l.Index, err
}

// thoseLike reads the filter with this identity, and all of its hook where there is none:
// what is there instead is to be told.
func (n *netlinkAccess) thoseLike(ctx context.Context, id tcnl.ID) ([]tcnl.Filter, error) {
	f, err := n.conn.Filter(ctx, id)
	if err == nil {
		return []tcnl.Filter{f}, nil
	}
	return n.conn.Filters(ctx, id.Ifindex, id.Hook)
}

// remove deletes one filter.
func (n *netlinkAccess) remove(ctx context.Context, id tcnl.ID) error {
	if err := n.conn.DeleteFilter(ctx, id); err != nil {
		return err
	}
	return n.tidy(ctx, id)
}

// tidy takes away the empty table that a deleted u32 filter can leave behind. Other
// classifiers vanish with their last filter by themselves.
func (n *netlinkAccess) tidy(ctx context.Context, id tcnl.ID) error {
	if id.Kind != tcnl.U32 {
		return nil
	}
	_, err := n.conn.DropEmptyU32(context.WithoutCancel(ctx), id)
	return err
}

// clean removes empty tables of u32.
func (n *netlinkAccess) clean(ctx context.Context, residue []tcnl.ID) error {
	for _, id := range residue {
		if err := n.tidy(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// removeIfThere takes a filter back of which it is not known whether it was made.
func (n *netlinkAccess) removeIfThere(ctx context.Context, dev int, o operation) error {
	filters, err := n.conn.Filters(ctx, dev, o.Hook)
	if err != nil {
		return err
	}
	for _, f := range filters {
		_, ours := markOf(f)
		if ours && f.Priority == o.Priority && f.Kind == o.Kind && bytes.Equal(f.Actions[0].Cookie, o.Cookie[:]) {
			return n.remove(ctx, f.ID)
		}
	}
	return nil
}

// restoreIfGone makes a filter anew of which it is not known whether it was deleted.
func (n *netlinkAccess) restoreIfGone(ctx context.Context, f tcnl.Filter, target string) error {
	filters, err := n.conn.Filters(ctx, f.Ifindex, f.Hook)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(filters, func(g tcnl.Filter) bool { return g.ID == f.ID }) {
		return nil
	}
	return n.restore(ctx, f, target)
}

// targetOf gives the name of the interface that a filter copies to: should that be made
// anew, its index is another one. "" where it cannot be told.
func (n *netlinkAccess) targetOf(ctx context.Context, f tcnl.Filter) string {
	index, _, _ := f.Copies()
	links, err := n.conn.Links(ctx)
	if err != nil {
		return ""
	}
	for _, l := range links {
		if l.Index == index {
			return l.Name
		}
	}
	return ""
}

// restore makes a filter anew that remove took away.
func (n *netlinkAccess) restore(ctx context.Context, f tcnl.Filter, name string) error {
	mk, _ := markOf(f)
	target, oneIn, ok := f.Copies()
	if name != "" {
		var err error
		if target, err = n.index(ctx, name); err != nil {
			return err
		}
	}
	if !ok || target == 0 {
		return fmt.Errorf("the filter pref %d did not copy as spanctl makes it, and is not made again", f.Priority)
	}
	_, err := n.conn.AddMirror(ctx, tcnl.Mirror{
		Ifindex: f.Ifindex, Hook: f.Hook, Priority: f.Priority, Kind: f.Kind,
		Target: target, Cookie: mk.cookie(), Program: f.Program, OneIn: oneIn,
	})
	return err
}
