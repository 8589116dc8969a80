package tcnl

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
// milliseconds; seconds mean that something else holds the network lock.
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
	err := c.Do(func() (err error) {
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

// Do runs f on a thread inside the namespace. No other goroutine ever runs on that
// thread. It needs CAP_SYS_ADMIN where that is not the namespace of the process: a
// thread that is there already enters nothing.
func (c *Conn) Do(f func() error) error { return inside.Do(c.ns, f) }

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

// dump repeats a listing that the kernel says was disturbed by a change.
func (c *Conn) dump(ctx context.Context, build func() *nl.NetlinkRequest, answer uint16) ([][]byte, error) {
	for range 10 {
		msgs, err := c.execute(ctx, build(), answer)
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return msgs, err
		}
	}
	return nil, ErrDisturbed
}

// Filters lists the filters of a hook in all chains, in the order of the kernel,
// u32 hash tables included (Table). The kernel's entries for a priority as such are
// left out. A device without a qdisc for filters gives none. With classifier u32 on
// both hooks of a device the kernel lists the filters of both under each.
func (c *Conn) Filters(ctx context.Context, ifindex int, hook Hook) ([]Filter, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest { return listFilters(ifindex, hook) }, unix.RTM_NEWTFILTER)
	if err != nil {
		return nil, fmt.Errorf("list filters: %w", err)
	}
	var out []Filter
	for _, m := range msgs {
		f, err := DecodeFilter(m)
		if err != nil {
			return nil, err
		}
		if f.Handle != 0 {
			f.Ifindex, f.Hook = ifindex, hook // a shared block shows neither
			out = append(out, f)
		}
	}
	return out, nil
}

// Qdiscs lists the qdiscs of a device, or of all devices when ifindex is 0. The
// kernel tells of all of them either way.
func (c *Conn) Qdiscs(ctx context.Context, ifindex int) ([]Qdisc, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest { return listQdiscs(ifindex) }, unix.RTM_NEWQDISC)
	if err != nil {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	var out []Qdisc
	for _, m := range msgs {
		q, err := DecodeQdisc(m)
		if err != nil {
			return nil, err
		}
		if ifindex == 0 || q.Ifindex == ifindex {
			out = append(out, q)
		}
	}
	return out, nil
}

// AddClsact makes the qdisc that both hooks need. It is no error when the device has
// it already. One that has an ingress qdisc keeps it, and the error says so.
func (c *Conn) AddClsact(ctx context.Context, ifindex int) error {
	_, err := c.execute(ctx, addClsact(ifindex), 0)
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	list, lerr := c.Qdiscs(ctx, ifindex)
	if lerr != nil {
		return lerr
	}
	if slices.ContainsFunc(list, func(q Qdisc) bool { return q.Kind == "clsact" }) {
		return nil
	}
	return fmt.Errorf("the device has an ingress qdisc, beside which clsact cannot be: %w", err)
}

// AddMirror makes the filter and reads it back. The kernel chooses the handle. The
// error is EEXIST where the priority cannot take another filter, EINVAL where it
// belongs to another classifier, and ENOENT where the kernel lacks the classifier or
// the action. A filter that the kernel took but does not list is ErrUnseen: what
// cannot be listed can never be recognised again.
func (c *Conn) AddMirror(ctx context.Context, m Mirror) (Filter, error) {
	if err := m.Validate(); err != nil {
		return Filter{}, err
	}
	echo, err := c.execute(ctx, addMirror(m), unix.RTM_NEWTFILTER)
	if err != nil {
		return Filter{}, err
	}
	// The filter is there: it has to be found also when ctx has ended meanwhile.
	ctx = context.WithoutCancel(ctx)
	for _, msg := range echo {
		told, err := DecodeFilter(msg)
		if err != nil || told.Priority != m.Priority {
			continue
		}
		id := ID{Ifindex: m.Ifindex, Hook: m.Hook, Priority: m.Priority, Protocol: ProtocolAll, Kind: m.Kind, Handle: told.Handle}
		if id.Handle == 0 && m.Kind == MatchAll {
			id.Handle = 1 // up to 6.1 the kernel does not tell; it always chooses 1
		}
		if f, err := c.Filter(ctx, id); err == nil && f.isMirror(m) {
			return f, nil
		}
	}
	list, err := c.Filters(ctx, m.Ifindex, m.Hook)
	if err != nil {
		return Filter{}, fmt.Errorf("%w: %w", ErrUnseen, err)
	}
	for _, f := range list {
		if f.Priority == m.Priority && f.Kind == m.Kind && f.isMirror(m) {
			return f, nil
		}
	}
	return Filter{}, ErrUnseen
}

func (f Filter) isMirror(m Mirror) bool {
	program := m.Program
	if slices.Equal(program, bpfMatchAll) {
		program = nil
	}
	if !slices.Equal(f.Program, program) || f.CatchAll != (len(program) == 0) {
		return false
	}
	for _, a := range f.Actions {
		if string(a.Cookie) != string(m.Cookie[:]) {
			return false
		}
	}
	to, oneIn, ok := f.Copies()
	return ok && to == m.Target && oneIn == max(m.OneIn, 1)
}

// Filter reads one filter. The error is ENOENT where there is none, and EINVAL where
// the priority belongs to another classifier.
func (c *Conn) Filter(ctx context.Context, id ID) (Filter, error) {
	if err := id.exact(); err != nil {
		return Filter{}, err
	}
	msgs, err := c.execute(ctx, getFilter(id), unix.RTM_NEWTFILTER)
	if err != nil {
		return Filter{}, fmt.Errorf("read filter: %w", err)
	}
	for _, m := range msgs {
		f, err := DecodeFilter(m)
		if err != nil {
			return Filter{}, err
		}
		f.Ifindex, f.Hook = id.Ifindex, id.Hook // a shared block shows neither
		if f.ID == id {
			return f, nil
		}
	}
	return Filter{}, fmt.Errorf("read filter: %w", syscall.ENOENT)
}

// exact refuses an identity with a part missing.
func (id ID) exact() error {
	if id.Ifindex <= 0 || id.Hook.Parent() == 0 || id.Priority == 0 || id.Protocol == 0 || id.Kind == "" || id.Handle == 0 {
		return fmt.Errorf("%w: %+v", ErrInexact, id)
	}
	if id.Kind == U32 && id.Handle&0xfff == 0 {
		return fmt.Errorf("%w: %#x is a u32 hash table, not a filter", ErrInexact, id.Handle)
	}
	return nil
}

// DeleteFilter deletes exactly one filter. An identity with a part missing is
// refused with ErrInexact: the kernel takes a handle of 0 for every filter of the
// priority.
func (c *Conn) DeleteFilter(ctx context.Context, id ID) error {
	if err := id.exact(); err != nil {
		return err
	}
	_, err := c.execute(ctx, deleteFilter(id), 0)
	return err
}

// DropEmptyU32 removes a u32 priority that holds its hash table and no filter any
// more. The kernel leaves such a thing behind while the device has other u32
// filters; it matches nothing. Nothing happens, and the answer is false, when the
// priority is absent or lists any filter, be it one of the other hook (see Filters).
// Between the look and the removal, which the kernel can do for a whole priority
// only, another program could add a filter to this very priority; no call of the
// kernel closes that gap. The handle of id does not matter.
func (c *Conn) DropEmptyU32(ctx context.Context, id ID) (bool, error) {
	list, err := c.Filters(ctx, id.Ifindex, id.Hook)
	if err != nil {
		return false, err
	}
	found := false
	for _, f := range list {
		if f.Priority != id.Priority || f.Chain != id.Chain || f.Protocol != id.Protocol {
			continue
		}
		if f.Kind != U32 || !f.Table {
			return false, nil
		}
		found = true
	}
	if !found {
		return false, nil
	}
	id.Kind, id.Handle = U32, 0
	_, err = c.execute(ctx, deleteFilter(id), 0)
	return err == nil, err
}
