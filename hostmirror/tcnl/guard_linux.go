package tcnl

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// newFilter begins the request for a filter of ProtocolAll in chain 0.
func newFilter(ifindex int, hook Hook, priority uint16, kind string) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{
		Family: unix.AF_UNSPEC, Ifindex: int32(ifindex), Parent: hook.Parent(), Info: info(priority, ProtocolAll),
	})
	req.AddData(nl.NewRtAttr(tcaKind, nl.ZeroTerminated(kind)))
	return req
}

func addGuard(g Guard) *nl.NetlinkRequest {
	req := newFilter(g.Ifindex, g.Hook, g.Priority, U32)
	keys := g.Keys()
	sel := make([]byte, u32SelSize)
	sel[0], sel[2] = u32Terminal, byte(len(keys))
	for _, k := range keys {
		sel = binary.BigEndian.AppendUint32(sel, k.Mask)
		sel = binary.BigEndian.AppendUint32(sel, k.Value)
		sel = native.AppendUint32(sel, uint32(k.Offset))
		sel = native.AppendUint32(sel, uint32(k.OffsetMask))
	}
	options := nl.NewRtAttr(tcaOptions, nil)
	options.AddRtAttr(u32ClassID, nl.Uint32Attr(g.Class))
	options.AddRtAttr(u32Sel, sel)
	req.AddData(options)
	return req
}

// AddGuard makes the filter and reads it back. The kernel chooses the handle. Errors are
// those of AddMirror.
func (c *Conn) AddGuard(ctx context.Context, g Guard) (Filter, error) {
	if err := g.Validate(); err != nil {
		return Filter{}, err
	}
	if _, err := c.execute(ctx, addGuard(g), 0); err != nil {
		return Filter{}, err
	}
	list, err := c.Filters(context.WithoutCancel(ctx), g.Ifindex, g.Hook)
	if err != nil {
		return Filter{}, fmt.Errorf("%w: %w", ErrUnseen, err)
	}
	for _, f := range list {
		if have, ok := f.Guards(); ok && have == g {
			return f, nil
		}
	}
	return Filter{}, ErrUnseen
}

// AddDrop makes a filter that drops every frame that the device receives (a classic BPF
// program with direct action), and reads it back. It is for devices that spanctl itself
// has made for sending alone: the caller has made sure of that.
func (c *Conn) AddDrop(ctx context.Context, ifindex int, priority uint16) (Filter, error) {
	if ifindex <= 0 || priority == 0 {
		return Filter{}, fmt.Errorf("%w: interface index %d, priority %d", ErrInvalid, ifindex, priority)
	}
	req := newFilter(ifindex, Ingress, priority, BPF)
	options := nl.NewRtAttr(tcaOptions, nil)
	options.AddRtAttr(bpfOpsLen, nl.Uint16Attr(1))
	options.AddRtAttr(bpfOps, encodeProgram([]Instruction{{Code: bpfRetK, K: uint32(Shot)}}))
	options.AddRtAttr(bpfFlags, nl.Uint32Attr(bpfActDirect))
	req.AddData(options)
	if _, err := c.execute(ctx, req, 0); err != nil {
		return Filter{}, err
	}
	list, err := c.Filters(context.WithoutCancel(ctx), ifindex, Ingress)
	if err != nil {
		return Filter{}, fmt.Errorf("%w: %w", ErrUnseen, err)
	}
	for _, f := range list {
		if f.Priority == priority && f.DropAll {
			return f, nil
		}
	}
	return Filter{}, ErrUnseen
}
