package tcnl

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of linux/net_namespace.h.
const (
	netnsaNSID  = 1
	netnsaFD    = 3
	rtGenSize   = 4  // struct rtgenmsg, padded
	notAssigned = -1 // NETNSA_NSID_NOT_ASSIGNED
)

// NamespaceID gives the number by which this namespace knows the one of the open
// file descriptor ns, as in [Far]. ok is false where it has none for it: then no
// device here has its other end there.
func (c *Conn) NamespaceID(ctx context.Context, ns int) (id int, ok bool, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	req.AddRawData(append(make([]byte, rtGenSize), nl.NewRtAttr(netnsaFD, nl.Uint32Attr(uint32(ns))).Serialize()...))
	msgs, err := c.execute(ctx, req, unix.RTM_NEWNSID)
	if err != nil {
		return 0, false, fmt.Errorf("number of a network namespace: %w", err)
	}
	for _, m := range msgs {
		if len(m) < rtGenSize {
			return 0, false, fmt.Errorf("%w: namespace id of %d bytes", ErrMalformed, len(m))
		}
		list, err := attrs(m[rtGenSize:])
		if err != nil {
			return 0, false, err
		}
		if v, has := find(list, netnsaNSID); has && len(v) >= 4 {
			id = int(int32(native.Uint32(v)))
			return id, id != notAssigned, nil
		}
	}
	return 0, false, fmt.Errorf("%w: an answer without a namespace id", ErrMalformed)
}
