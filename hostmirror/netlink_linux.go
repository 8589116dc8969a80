package hostmirror

import (
	"fmt"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// netlinkAccess is the access to a network namespace of this host.
type netlinkAccess struct{ conn *tcnl.Conn }

var _ access = (*netlinkAccess)(nil)

// openNetlink opens the network namespace at path, "" for the current one.
func openNetlink(path string) (access, error) {
	fd := -1
	if path != "" {
		ns, err := netns.GetFromPath(path)
		if err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		defer ns.Close()
		fd = int(ns)
	}
	conn, err := tcnl.Open(fd)
	if err != nil {
		return nil, err
	}
	return &netlinkAccess{conn}, nil
}

func (n *netlinkAccess) close() error {
	n.conn.Close()
	return nil
}

func errnoName(e syscall.Errno) string { return unix.ErrnoName(e) }
