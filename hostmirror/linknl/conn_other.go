//go:build !linux

package linknl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Conn is a netlink socket. On other systems than Linux Open makes none.
type Conn struct{}

func unsupported() error {
	return fmt.Errorf("links of a Linux host: %w", errors.ErrUnsupported)
}

// Open gives an error that wraps errors.ErrUnsupported.
func Open(int) (*Conn, error) { return nil, unsupported() }

// Close does nothing.
func (*Conn) Close() {}

// Links gives an error that wraps errors.ErrUnsupported.
func (*Conn) Links(context.Context) ([]Link, error) { return nil, unsupported() }

// Link gives an error that wraps errors.ErrUnsupported.
func (*Conn) Link(context.Context, int) (Link, error) { return Link{}, unsupported() }

// LinkByName gives an error that wraps errors.ErrUnsupported.
func (*Conn) LinkByName(context.Context, string) (Link, error) { return Link{}, unsupported() }

// Create gives an error that wraps errors.ErrUnsupported.
func (*Conn) Create(context.Context, Spec) (Link, error) { return Link{}, unsupported() }

// Delete gives an error that wraps errors.ErrUnsupported.
func (*Conn) Delete(context.Context, Link) error { return unsupported() }

// RouteTo gives an error that wraps errors.ErrUnsupported.
func (*Conn) RouteTo(context.Context, netip.Addr, netip.Addr) (Route, error) {
	return Route{}, unsupported()
}
