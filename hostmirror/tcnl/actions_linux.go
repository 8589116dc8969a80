package tcnl

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of linux/rtnetlink.h and linux/pkt_cls.h.
const (
	tcaMsgSize    = 4 // struct tcamsg
	actTab        = 1 // TCA_ACT_TAB, also TCA_ROOT_TAB
	rootFlags     = 2
	largeDump     = 1 // TCA_ACT_FLAG_LARGE_DUMP_ON, as value and selector
	oneOfTheTable = 1
)

// ErrNotOurs means that the action of a number is another one than was meant.
var ErrNotOurs = errors.New("is another action")

// actionRequest is a request about one action of kind mirred.
func actionRequest(kind, flags int, fill func(action *nl.RtAttr)) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	tab := nl.NewRtAttr(actTab|unix.NLA_F_NESTED, nil)
	a := tab.AddRtAttr(oneOfTheTable, nil)
	a.AddRtAttr(actKind, nl.ZeroTerminated("mirred"))
	fill(a)
	req.AddRawData(append(make([]byte, tcaMsgSize), tab.Serialize()...))
	return req
}

func newAction(index uint32, target int, cookie Cookie, flags int) *nl.NetlinkRequest {
	return actionRequest(unix.RTM_NEWACTION, flags|unix.NLM_F_ACK|unix.NLM_F_ECHO, func(a *nl.RtAttr) {
		a.AddRtAttr(actCookie, cookie[:])
		parms := mirredMirror(target)
		native.PutUint32(parms, index)
		a.AddRtAttr(actOptions, nil).AddRtAttr(mirredParms, parms)
	})
}

// decodeActionMessage reads the payload of a message about actions.
func decodeActionMessage(b []byte) ([]SharedAction, error) {
	if len(b) < tcaMsgSize {
		return nil, fmt.Errorf("%w: actions in %d bytes", ErrMalformed, len(b))
	}
	list, err := attrs(b[tcaMsgSize:])
	if err != nil {
		return nil, err
	}
	tab, _ := find(list, actTab)
	entries, err := attrs(tab)
	if err != nil {
		return nil, err
	}
	var out []SharedAction
	for _, e := range entries {
		a, err := decodeAction(e.value)
		if err != nil {
			return nil, err
		}
		shared := SharedAction{Action: a}
		if a.Mirred != nil { // so that its parameters are whole
			parts, err := attrs(e.value)
			if err != nil {
				return nil, err
			}
			options, _ := find(parts, actOptions)
			inner, err := attrs(options)
			if err != nil {
				return nil, err
			}
			parms, _ := find(inner, mirredParms)
			shared.Refs, shared.Binds = int(native.Uint32(parms[12:])), int(native.Uint32(parms[16:]))
		}
		out = append(out, shared)
	}
	return out, nil
}

// AddAction makes an egress mirror to target that stands by itself: filters are bound to
// it by its number (Mirror.Action), which the kernel chooses. It stays when its filters
// go, until DeleteAction. The answer is read back.
func (c *Conn) AddAction(ctx context.Context, target int, cookie Cookie) (SharedAction, error) {
	if target <= 0 {
		return SharedAction{}, fmt.Errorf("%w: target interface index %d", ErrInvalid, target)
	}
	echo, err := c.execute(ctx, newAction(0, target, cookie, unix.NLM_F_CREATE|unix.NLM_F_EXCL), unix.RTM_NEWACTION)
	if err != nil {
		return SharedAction{}, err
	}
	for _, msg := range echo {
		told, err := decodeActionMessage(msg)
		if err != nil {
			return SharedAction{}, fmt.Errorf("%w: %w", ErrUnseen, err)
		}
		for _, a := range told {
			if a.is(target, cookie) {
				return a, nil
			}
		}
	}
	return SharedAction{}, ErrUnseen
}

// is reports whether a is a mirror as AddAction makes it. A target of 0 stands for any.
func (a Action) is(target int, cookie Cookie) bool {
	return a.Kind == "mirred" && string(a.Cookie) == string(cookie[:]) && a.Verdict == Continue &&
		a.Mirred != nil && a.Mirred.Mode == EgressMirror && (target == 0 || a.Mirred.Ifindex == target)
}

// RetargetAction has an action of AddAction copy to another device. All filters that are
// bound to it do so from one frame to the next; its counters go on. The error wraps
// ErrNotOurs when the action of that number is not such a one with the cookie, and
// ENOENT when there is none.
func (c *Conn) RetargetAction(ctx context.Context, index uint32, cookie Cookie, target int) error {
	if target <= 0 {
		return fmt.Errorf("%w: target interface index %d", ErrInvalid, target)
	}
	if err := c.sameAction(ctx, index, cookie); err != nil {
		return err
	}
	// Without NLM_F_CREATE an action that went away meanwhile would be made all the same;
	// the kernel looks at NLM_F_REPLACE alone.
	if _, err := c.execute(ctx, newAction(index, target, cookie, unix.NLM_F_REPLACE), unix.RTM_NEWACTION); err != nil {
		return err
	}
	a, err := c.Action(context.WithoutCancel(ctx), index)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnseen, err)
	case !a.is(target, cookie):
		return ErrUnseen
	}
	return nil
}

// DeleteAction removes an action of AddAction. The kernel lets go of the actions of a
// filter a moment after the filter is deleted, and refuses until then: that is waited
// for. The error wraps EPERM when a filter is bound to the action still, ErrNotOurs when
// the action of that number is another one, and ENOENT when there is none.
func (c *Conn) DeleteAction(ctx context.Context, index uint32, cookie Cookie) error {
	for deadline := time.Now().Add(unbindWithin); ; {
		if err := c.sameAction(ctx, index, cookie); err != nil {
			return err
		}
		_, err := c.execute(ctx, actionRequest(unix.RTM_DELACTION, unix.NLM_F_ACK, func(a *nl.RtAttr) {
			a.AddRtAttr(actIndex, nl.Uint32Attr(index))
		}), 0)
		if !errors.Is(err, syscall.EPERM) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(unbindPause):
		}
	}
}

// A filter that was deleted is freed by a work queue after a grace period of RCU: some
// tens of milliseconds.
const (
	unbindWithin = time.Second
	unbindPause  = 5 * time.Millisecond
)

func (c *Conn) sameAction(ctx context.Context, index uint32, cookie Cookie) error {
	a, err := c.Action(ctx, index)
	if err == nil && !a.is(0, cookie) {
		err = fmt.Errorf("mirred action %d %w", index, ErrNotOurs)
	}
	return err
}

// Action reads the action of kind mirred with a number, of a filter or by itself. The
// error wraps ENOENT when there is none.
func (c *Conn) Action(ctx context.Context, index uint32) (SharedAction, error) {
	if index == 0 {
		return SharedAction{}, fmt.Errorf("mirred action 0: %w", syscall.ENOENT)
	}
	msgs, err := c.execute(ctx, actionRequest(unix.RTM_GETACTION, 0, func(a *nl.RtAttr) {
		a.AddRtAttr(actIndex, nl.Uint32Attr(index))
	}), unix.RTM_GETACTION)
	if err != nil {
		return SharedAction{}, fmt.Errorf("mirred action %d: %w", index, err)
	}
	for _, msg := range msgs {
		list, err := decodeActionMessage(msg)
		if err != nil {
			return SharedAction{}, err
		}
		for _, a := range list {
			if a.Index == index {
				return a, nil
			}
		}
	}
	return SharedAction{}, fmt.Errorf("mirred action %d: %w", index, syscall.ENOENT)
}

// Actions lists all actions of kind mirred of the namespace, those of filters too. Refs
// and Binds tell them apart: an action by itself has a reference more than it has
// filters.
func (c *Conn) Actions(ctx context.Context) ([]SharedAction, error) {
	msgs, err := c.dump(ctx, func() *nl.NetlinkRequest {
		req := actionRequest(unix.RTM_GETACTION, unix.NLM_F_DUMP, func(*nl.RtAttr) {})
		flags := append(native.AppendUint32(nil, largeDump), native.AppendUint32(nil, largeDump)...)
		req.AddRawData(append(req.RawData, nl.NewRtAttr(rootFlags, flags).Serialize()...))
		return req
	}, unix.RTM_GETACTION)
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	var out []SharedAction
	for _, msg := range msgs {
		list, err := decodeActionMessage(msg)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}
