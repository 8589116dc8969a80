package tcnl

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listOf is the request for a listing whose body is size zero bytes, but for the
// family.
func listOf(kind, family, size int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, unix.NLM_F_DUMP)
	body := make([]byte, size)
	body[0] = byte(family)
	req.AddRawData(body)
	return req
}

func decodeAll[T any](msgs [][]byte, decode func([]byte) (T, error)) ([]T, error) {
	var out []T
	for _, m := range msgs {
		x, err := decode(m)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// Links lists the devices of the namespace.
func (c *Conn) Links(ctx context.Context) ([]Link, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest { return listOf(unix.RTM_GETLINK, unix.AF_UNSPEC, ifInfoSize) }, unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return decodeAll(msgs, DecodeLink)
}

// Addrs lists the IPv4 and IPv6 addresses of all devices.
func (c *Conn) Addrs(ctx context.Context) ([]Addr, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest { return listOf(unix.RTM_GETADDR, unix.AF_UNSPEC, ifAddrSize) }, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return decodeAll(msgs, DecodeAddr)
}

// Neighs lists the addresses that bridges know on their ports.
func (c *Conn) Neighs(ctx context.Context) ([]Neigh, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest { return listOf(unix.RTM_GETNEIGH, unix.AF_BRIDGE, ndMsgSize) }, unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, fmt.Errorf("list learned addresses: %w", err)
	}
	return decodeAll(msgs, DecodeNeigh)
}
