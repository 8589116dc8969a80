package hostmirror

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// netlinkAccess is the access to a network namespace of this host.
type netlinkAccess struct {
	conn     *tcnl.Conn
	links    *linknl.Conn
	ns       netns.NsHandle
	programs programHost
}

var _ access = (*netlinkAccess)(nil)

// openNetlink opens the network namespace of o.
func openNetlink(o Options) (access, error) {
	var ns netns.NsHandle
	var err error
	if o.Namespace == "" {
		ns, err = netns.Get()
	} else {
		ns, err = netns.GetFromPath(o.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", o.Namespace, err)
	}
	conn, err := tcnl.Open(int(ns))
	if err != nil {
		_ = ns.Close()
		return nil, err
	}
	links, err := linknl.Open(int(ns))
	if err != nil {
		conn.Close()
		_ = ns.Close()
		return nil, err
	}
	return &netlinkAccess{conn: conn, links: links, ns: ns, programs: programHost{options: bpfcopy.Options{
		// Programs are opened later, perhaps on a thread in another namespace.
		Namespace: fmt.Sprintf("/proc/self/fd/%d", int(ns)),
		Pins:      o.Pins, Method: o.Method.attach(),
	}}}, nil
}

func (n *netlinkAccess) close() error {
	n.conn.Close()
	n.links.Close()
	return errors.Join(n.programs.close(), n.ns.Close())
}

func errnoName(e syscall.Errno) string { return unix.ErrnoName(e) }
