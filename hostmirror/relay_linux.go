package hostmirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/linknl"
)

const noAddresses = 1 // IN6_ADDR_GEN_MODE_NONE (linux/if_link.h)

// addRelay makes r as addText says. What it could not finish, it removes.
func (n *netlinkAccess) addRelay(ctx context.Context, r relay) (func(context.Context) error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := inNamespace(r.near, func(near *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Group, attrs.MTU = r.name, linknl.Group, relayMTU
		pair := netlink.NewVeth(attrs)
		pair.PeerName, pair.PeerMTU, pair.PeerNamespace = r.name, relayMTU, netlink.NsFd(r.far.file.Fd())
		return near.LinkAdd(pair)
	})
	if err != nil {
		return nil, fmt.Errorf("cable %s: %w", r.name, err)
	}
	back := func(ctx context.Context) error { return n.delRelay(ctx, r) }
	if err := n.finishRelay(r); err != nil {
		return nil, errors.Join(fmt.Errorf("cable %s: %w", r.name, err), back(context.WithoutCancel(ctx)))
	}
	return back, nil
}

// finishRelay sets both ends up, the near one with the filter that drops.
func (n *netlinkAccess) finishRelay(r relay) error {
	ctx := context.Background() // it is there, and must not stay half done
	err := inNamespace(r.near, func(near *netlink.Handle) error {
		l, err := silence(near, r.name)
		if err != nil {
			return err
		}
		if err := n.conn.AddClsact(ctx, l.Attrs().Index); err != nil {
			return err
		}
		if _, err := n.conn.AddDrop(ctx, l.Attrs().Index, dropBehind); err != nil {
			return err
		}
		return near.LinkSetUp(l)
	})
	if err != nil {
		return err
	}
	return inNamespace(r.far, func(far *netlink.Handle) error {
		l, err := silence(far, r.name)
		if err != nil {
			return err
		}
		return far.LinkSetUp(l)
	})
}

// silence marks an end as ours, and keeps the stack from sending by it.
func silence(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if err != nil {
		return nil, err
	}
	mode := h.LinkSetIP6AddrGenMode(l, noAddresses)
	if errors.Is(mode, unix.EAFNOSUPPORT) || errors.Is(mode, unix.EOPNOTSUPP) {
		mode = nil // no IPv6 here
	}
	return l, errors.Join(h.LinkSetGroup(l, linknl.Group), h.LinkSetARPOff(l), h.LinkSetMulticastOff(l), mode)
}

// delRelay removes r, if it is a cable of ours; both ends go.
func (n *netlinkAccess) delRelay(_ context.Context, r relay) error {
	return inNamespace(r.near, func(near *netlink.Handle) error {
		l, err := near.LinkByName(r.name)
		if err != nil {
			return err
		}
		if l.Type() != "veth" || l.Attrs().Group != linknl.Group {
			return fmt.Errorf("%s has type %s and group %#x: %w", r.name, l.Type(), l.Attrs().Group, linknl.ErrForeign)
		}
		return near.LinkDel(l)
	})
}

// inNamespace gives f a way to the links of a namespace.
func inNamespace(sp *space, f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(sp.file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}
