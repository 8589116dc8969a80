package linknl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/inside"
)

// socketTimeout bounds one request. The kernel answers in microseconds to
// milliseconds; seconds mean that something else holds the network lock, or that it
// loads a module.
const socketTimeout = 10 * time.Second

// Conn is a netlink socket in one network namespace. It may be used from several
// goroutines. Close it when done.
//
// A request whose ctx ends while the kernel is silent returns at once, with the
// error of ctx; what it asked for may have been done all the same. The Conn stays
// usable.
type Conn struct {
	ns netns.NsHandle // our own, for another socket when one had to be closed

	mu     sync.Mutex
	socket *nl.SocketHandle // nil when it had to be closed
}

// Open opens a Conn in the network namespace of the open file descriptor ns, which it
// does not keep; -1 is the one of the calling thread. It needs CAP_SYS_ADMIN for
// another namespace than the current one.
func Open(ns int) (*Conn, error) {
	c := &Conn{}
	var err error
	if ns < 0 {
		c.ns, err = netns.Get()
	} else {
		var fd int
		fd, err = unix.FcntlInt(uintptr(ns), unix.F_DUPFD_CLOEXEC, 0)
		c.ns = netns.NsHandle(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	if err := c.open(); err != nil {
		_ = c.ns.Close()
		return nil, err
	}
	return c, nil
}

// open makes a socket. The kernel's explanations are asked for on it alone: the
// library's switch for that, nl.EnableErrorMessageReporting, is a global one.
func (c *Conn) open() error {
	var s *nl.NetlinkSocket
	err := inside.Do(c.ns, func() (err error) {
		s, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	tv := unix.NsecToTimeval(socketTimeout.Nanoseconds())
	err = errors.Join(s.SetSendTimeout(&tv), s.SetReceiveTimeout(&tv), s.SetExtAck(true))
	if err != nil {
		s.Close()
		return fmt.Errorf("netlink socket options: %w", err)
	}
	c.socket = &nl.SocketHandle{Socket: s}
	return nil
}

// Close releases the socket.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
	if c.ns.IsOpen() {
		_ = c.ns.Close()
	}
}

func (c *Conn) execute(ctx context.Context, req *nl.NetlinkRequest, answer uint16) ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.socket == nil {
		if err := c.open(); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, c.socket.Close)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: c.socket}
	out, err := req.Execute(unix.NETLINK_ROUTE, answer)
	if !stop() { // the socket is closed, or about to be
		c.socket = nil
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCut, ctx.Err())
		}
	}
	return out, err
}

// one executes a request that is answered by one message.
func (c *Conn) one(ctx context.Context, req *nl.NetlinkRequest, answer uint16) ([]byte, error) {
	msgs, err := c.execute(ctx, req, answer)
	if err != nil {
		return nil, err
	}
	if len(msgs) != 1 {
		return nil, fmt.Errorf("%w: %d answers, want one", ErrMalformed, len(msgs))
	}
	return msgs[0], nil
}

// Links lists all links of the namespace, ours and others, by index.
func (c *Conn) Links(ctx context.Context) ([]Link, error) {
	var msgs [][]byte
	var err error = nl.ErrDumpInterrupted
	for range 10 { // a change of another program disturbs a listing
		if msgs, err = c.execute(ctx, listLinks(), unix.RTM_NEWLINK); !errors.Is(err, nl.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := make([]Link, 0, len(msgs))
	names := make(map[int]string)
	for _, m := range msgs {
		l, err := DecodeLink(m)
		if err != nil {
			return nil, err
		}
		names[l.Index] = l.Name
		out = append(out, l)
	}
	for i := range out {
		out[i].Lower = names[out[i].lower]
	}
	slices.SortFunc(out, func(a, b Link) int { return a.Index - b.Index })
	return out, nil
}

// Link reads the link of an index. The error wraps ENODEV when there is none.
func (c *Conn) Link(ctx context.Context, index int) (Link, error) {
	if index <= 0 {
		return Link{}, fmt.Errorf("link %d: %w", index, syscall.ENODEV)
	}
	l, err := c.read(ctx, getLink(index))
	if err != nil {
		return Link{}, fmt.Errorf("link %d: %w", index, err)
	}
	return l, nil
}

// LinkByName reads the link of a name. The error wraps ENODEV when there is none.
func (c *Conn) LinkByName(ctx context.Context, name string) (Link, error) {
	if name == "" || len(name) > maxName {
		return Link{}, fmt.Errorf("link %q: %w", name, syscall.ENODEV)
	}
	l, err := c.read(ctx, getLinkByName(name))
	if err != nil {
		return Link{}, fmt.Errorf("link %q: %w", name, err)
	}
	return l, nil
}

func (c *Conn) read(ctx context.Context, req *nl.NetlinkRequest) (Link, error) {
	msg, err := c.one(ctx, req, unix.RTM_NEWLINK)
	if err != nil {
		return Link{}, err
	}
	l, err := DecodeLink(msg)
	if err != nil || l.lower == 0 {
		return l, err
	}
	lower, err := c.one(ctx, getLink(l.lower), unix.RTM_NEWLINK)
	if err != nil {
		return Link{}, fmt.Errorf("lower link %d: %w", l.lower, err)
	}
	below, err := DecodeLink(lower)
	l.Lower = below.Name
	return l, err
}
