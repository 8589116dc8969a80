package tcnl

import (
	"context"
	"errors"
	"fmt"
	"syscall"

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

// LinkByName finds a device by its name, not by another name that it has beside. The
// error is ENODEV where there is none.
func (c *Conn) LinkByName(ctx context.Context, name string) (Link, error) {
	none := fmt.Errorf("interface %s: %w", name, syscall.ENODEV)
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return Link{}, none
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(iflaName, nl.ZeroTerminated(name)))
	msgs, err := c.execute(ctx, req, unix.RTM_NEWLINK)
	if errors.Is(err, syscall.ENODEV) {
		return Link{}, none
	}
	if err != nil {
		return Link{}, fmt.Errorf("interface %s: %w", name, err)
	}
	for _, m := range msgs {
		l, err := DecodeLink(m)
		if err != nil || l.Name == name {
			return l, err
		}
	}
	return Link{}, none
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
