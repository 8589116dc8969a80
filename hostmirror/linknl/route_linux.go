package linknl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	rtMsgSize  = 12
	rtaDst     = 1
	rtaSrc     = 2
	rtaOIF     = 4
	rtaGateway = 5
	rtaPrefSrc = 7
	rtaMetrics = 8
	rtaVia     = 18 // struct rtvia: a gateway of the other family
	rtaxMTU    = 2
)

// RouteTo asks the kernel for the way to a collector. local is the source address of
// the tunnel, or zero. Of a route with several next hops it is the one that the
// kernel takes for a packet without ports; VXLAN packets spread over all of them.
// The error wraps ErrNoRoute when there is no way, or only one that drops packets.
func (c *Conn) RouteTo(ctx context.Context, collector, local netip.Addr) (Route, error) {
	if !collector.IsValid() || local.IsValid() && local.Is4() != collector.Is4() {
		return Route{}, fmt.Errorf("%w: route from %s to %s", ErrInvalid, local, collector)
	}
	msg, err := c.one(ctx, getRoute(collector, local), unix.RTM_NEWROUTE)
	if err != nil {
		for _, e := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EINVAL} {
			if errors.Is(err, e) {
				err = fmt.Errorf("%w: %w", ErrNoRoute, err)
				break
			}
		}
		return Route{}, fmt.Errorf("route to %s: %w", collector, err)
	}
	r, err := decodeRoute(msg)
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", collector, err)
	}
	l, err := c.Link(ctx, r.Ifindex)
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", collector, err)
	}
	r.Dev = l.Name
	if r.MTU == 0 || l.MTU < r.MTU {
		r.MTU = l.MTU
	}
	return r, nil
}

// getRoute asks what "ip route get" asks. struct rtmsg: family, destination length,
// source length, and nothing else.
func getRoute(dst, src netip.Addr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_ACK)
	body := make([]byte, rtMsgSize)
	body[0] = unix.AF_INET
	if dst.Is6() {
		body[0] = unix.AF_INET6
	}
	body[1] = byte(dst.BitLen())
	if src.IsValid() {
		body[2] = byte(src.BitLen())
	}
	req.AddData(head(body))
	req.AddData(nl.NewRtAttr(rtaDst, dst.AsSlice()))
	if src.IsValid() {
		req.AddData(nl.NewRtAttr(rtaSrc, src.AsSlice()))
	}
	return req
}

// decodeRoute reads the payload of an RTM_NEWROUTE message. MTU is that of the route,
// 0 when it has none.
func decodeRoute(b []byte) (Route, error) {
	if len(b) < rtMsgSize {
		return Route{}, fmt.Errorf("%w: route of %d bytes", ErrMalformed, len(b))
	}
	list, err := parseAttrs(b[rtMsgSize:])
	if err != nil {
		return Route{}, err
	}
	r := Route{Ifindex: int(list.u32(rtaOIF))}
	switch typ := b[7]; typ {
	case unix.RTN_UNICAST:
	case unix.RTN_LOCAL:
		r.Local = true
	default:
		return Route{}, fmt.Errorf("%w: its type is %d", ErrNoRoute, typ)
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	r.Gateway, r.Source = list.addr(rtaGateway, size), list.addr(rtaPrefSrc, size)
	if via := list.bytes(rtaVia, 2); via != nil {
		r.Gateway, _ = netip.AddrFromSlice(via[2:])
	}
	metrics, err := list.nested(rtaMetrics)
	if err != nil {
		return Route{}, err
	}
	r.MTU = int(metrics.u32(rtaxMTU))
	return r, errors.Join(list.err, metrics.err)
}
