package linkwatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Open gives a line for each interface that comes, goes or is renamed in the network
// namespace at path, "" for the current one. A namespace other than the current one
// needs CAP_SYS_ADMIN. When the kernel drops events because too many came at once, a
// line says so, and the subscription is made anew. The channel is closed when ctx
// ends.
func Open(ctx context.Context, path string) (<-chan string, error) {
	return open(ctx, path, 1<<20)
}

func open(ctx context.Context, path string, buffer int) (<-chan string, error) {
	w := &watch{path: path, buffer: buffer, out: make(chan string, 16), names: make(map[int]string)}
	if err := w.subscribe(); err != nil {
		return nil, fmt.Errorf("interface events: %w", err)
	}
	go func() {
		defer close(w.out)
		w.run(ctx)
	}()
	return w.out, nil
}

type watch struct {
	path   string
	buffer int // of the socket, bytes
	out    chan string
	names  map[int]string // of all interfaces, by index

	events chan netlink.LinkUpdate
	done   chan struct{} // closed to end the subscription
}

// subscribe learns the names that there are and subscribes, in this order: who looks
// at the host after it sees what this has missed between the two.
func (w *watch) subscribe() error {
	opts := netlink.LinkSubscribeOptions{ReceiveBufferSize: w.buffer}
	if w.path != "" {
		ns, err := netns.GetFromPath(w.path)
		if err != nil {
			return fmt.Errorf("network namespace %s: %w", w.path, err)
		}
		defer ns.Close()
		opts.Namespace = &ns
	}
	if err := w.list(opts.Namespace); err != nil {
		return err
	}
	events, done := make(chan netlink.LinkUpdate), make(chan struct{})
	if err := netlink.LinkSubscribeWithOptions(events, done, opts); err != nil {
		close(done)
		return err
	}
	w.events, w.done = events, done
	return nil
}

func (w *watch) list(ns *netns.NsHandle) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if ns != nil {
		h, err = netlink.NewHandleAt(*ns, unix.NETLINK_ROUTE)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // half a list costs needless lines only
		return err
	}
	clear(w.names)
	for _, l := range links {
		w.names[l.Attrs().Index] = l.Attrs().Name
	}
	return nil
}

// run passes events on until ctx ends.
func (w *watch) run(ctx context.Context) {
	for {
		lost := w.pass(ctx)
		close(w.done)
		for range w.events { // the library's goroutine must not hang
		}
		if !lost {
			return
		}
		for w.subscribe() != nil {
			select { // as when memory is short
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		// Only now, so that a look which follows comes after the new subscription.
		if !w.send(ctx, "interface events were lost") {
			return
		}
	}
}

// pass gives false when ctx has ended, true when the subscription has.
func (w *watch) pass(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case u, ok := <-w.events:
			if !ok {
				return ctx.Err() == nil
			}
			if text := w.text(u); text != "" && !w.send(ctx, text) {
				return false
			}
		}
	}
}

func (w *watch) send(ctx context.Context, text string) bool {
	select {
	case w.out <- text:
		return true
	case <-ctx.Done():
		return false
	}
}

// text says what an event means; "" for one that changes nothing here, such as one
// about carrier or counters.
func (w *watch) text(u netlink.LinkUpdate) string {
	// What the kernel sets in ifi_change of a device that is registered or comes from
	// another namespace (register_netdevice, dev_change_net_namespace).
	const all = ^uint32(0)
	index, name := int(u.Index), u.Attrs().Name
	old, known := w.names[index]
	switch {
	case u.IfInfomsg.Family == unix.AF_BRIDGE: // a port enters or leaves its bridge
		return ""
	case u.Header.Type == unix.RTM_DELLINK:
		delete(w.names, index)
		return fmt.Sprintf("%s went (index %d)", name, index)
	case u.Change == all && (!known || old == name):
		w.names[index] = name
		return fmt.Sprintf("%s came (index %d)", name, index)
	case !known:
		w.names[index] = name
		return fmt.Sprintf("%s changed (index %d)", name, index)
	case old != name:
		w.names[index] = name
		return fmt.Sprintf("%s is called %s now (index %d)", old, name, index)
	}
	return ""
}
