package linknl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Create makes the link, sets it up and reads it back: the Spec of the result is s.
// It needs CAP_NET_ADMIN. Nothing is left of a link that could not be finished, unless
// the error wraps ErrLeft, or ErrCut while the kernel was asked to make it.
//
// Errors: ErrInvalid before the kernel is asked; ErrLacking; ErrAltered; EEXIST when
// the name is taken, or when a tunnel with the same addresses and key exists, of
// whatever name; for a VLAN ENODEV without the lower link, ENETDOWN when that is
// down, EINVAL for an MTU above its own.
func (c *Conn) Create(ctx context.Context, s Spec) (Link, error) {
	if err := s.Validate(); err != nil {
		return Link{}, err
	}
	lower := 0
	if s.Kind == VLAN {
		l, err := c.LinkByName(ctx, s.Lower)
		if err != nil {
			return Link{}, err
		}
		lower = l.Index
	}
	if _, err := c.execute(ctx, addLink(s, lower), 0); err != nil {
		if lacking(err) {
			err = fmt.Errorf("%w: %w", ErrLacking, err)
		}
		return Link{}, fmt.Errorf("add %s link %s: %w", s.TypeWord(), s.Name, err)
	}
	// From here on the link is there: it has to be found, and removed if need be, also
	// when ctx has ended meanwhile.
	sure := context.WithoutCancel(ctx)
	made, err := c.LinkByName(sure, s.Name)
	if err == nil && (!made.Ours() || made.Kind != s.Kind) {
		return Link{}, fmt.Errorf("%w: %s was replaced while it was made", ErrForeign, s.Name)
	}
	if err != nil {
		return Link{}, fmt.Errorf("%w: %s: %w", ErrLeft, s.Name, err)
	}
	l, err := c.finish(ctx, s, made.Index)
	if err != nil {
		err = fmt.Errorf("link %s: %w", s.Name, err)
		if derr := c.Delete(sure, made); derr != nil {
			err = fmt.Errorf("%w: %w; %w", ErrLeft, derr, err)
		}
		return Link{}, err
	}
	return l, nil
}

func lacking(err error) bool {
	for _, e := range []error{syscall.EOPNOTSUPP, syscall.ENOENT, syscall.EAFNOSUPPORT, syscall.EPFNOSUPPORT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// finish does what the kernel ignores in the request that makes a link, in the order
// of String, and compares.
func (c *Conn) finish(ctx context.Context, s Spec, index int) (Link, error) {
	if s.Alias != "" {
		if _, err := c.execute(ctx, setLink(index, 0, nl.NewRtAttr(iflaAlias, []byte(s.Alias))), 0); err != nil {
			return Link{}, fmt.Errorf("alias: %w", err)
		}
	}
	if s.MTU >= minIPv6MTU {
		// EAFNOSUPPORT: this kernel, or this namespace, has no IPv6.
		if _, err := c.execute(ctx, noIPv6Address(index), 0); err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) {
			return Link{}, fmt.Errorf("address generation mode: %w", err)
		}
	}
	if _, err := c.execute(ctx, setLink(index, unix.IFF_UP), 0); err != nil {
		return Link{}, fmt.Errorf("up: %w", err)
	}
	l, err := c.Link(ctx, index)
	if err != nil {
		return Link{}, err
	}
	if d := l.Differences(s); len(d) > 0 {
		return Link{}, fmt.Errorf("%w: %s", ErrAltered, strings.Join(d, "; "))
	}
	return l, nil
}

// Delete removes a link of ours. It is read again by its index right before; name,
// group and kind have to be what they were and ours. The error wraps ErrForeign when
// they are not, and ENODEV when no link has the index. The kernel can be told only the
// index, and does not give one out again soon; that the link is renamed or moved
// between the look and the removal is the gap that remains.
func (c *Conn) Delete(ctx context.Context, l Link) error {
	now, err := c.Link(ctx, l.Index)
	if err != nil {
		return err
	}
	f := now.foreign()
	if now.Name != l.Name {
		f = append(f, fmt.Sprintf("its name is %q, not %q", now.Name, l.Name))
	}
	if now.Kind != l.Kind || now.KernelKind != l.KernelKind {
		f = append(f, fmt.Sprintf("it is %s (%s), not %s (%s)", now.Kind, now.KernelKind, l.Kind, l.KernelKind))
	}
	if len(f) > 0 {
		return fmt.Errorf("%w: link %d: %s", ErrForeign, l.Index, strings.Join(f, "; "))
	}
	if _, err := c.execute(ctx, deleteLink(l.Index), 0); err != nil {
		return fmt.Errorf("delete link %s: %w", l.Name, err)
	}
	return nil
}
