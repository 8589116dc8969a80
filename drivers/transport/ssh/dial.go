package ssh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Dial connects, logs in and asks for a shell. ctx bounds only the call.
//
// Where the profile has no EarlyInput, or there is an EnableSecret, it also waits
// for the prompt and prepares the terminal; otherwise that is part of the first
// Read or Send. Errors are *transport.Error.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if err := o.Validate(); err != nil {
		return nil, &transport.Error{Kind: transport.Protocol, Err: err, Hint: "correct the inventory"}
	}
	o.setDefaults()
	c := &Conn{
		device: o.Device, p: o.Profile, enable: o.EnableSecret, stepTimeout: o.StepTimeout, sp: newSplitter(o.Profile),
		hops: hops{log: o.Logger.With("device", o.Device)},
	}
	// While connecting, one deadline for all hops.
	dctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	err := c.connect(dctx, &o)
	if err == nil {
		err = c.shell(dctx)
	}
	if err == nil && !(o.Profile.EarlyInput && o.EnableSecret == nil) {
		if err = c.login(dctx); err == nil {
			err = c.prepare(dctx)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, dialError(ctx, dctx, o.ConnectTimeout, err)
	}
	if o.KeepAlive > 0 {
		c.keepAlive(o.KeepAlive, c.st.pipe.lost)
	}
	return c, nil
}

// dialError tells the end of the caller's ctx from that of the connect timeout,
// and both from what the closing of the connection then caused.
func dialError(ctx, dctx context.Context, limit time.Duration, err error) error {
	var te *transport.Error
	switch {
	case ctx.Err() != nil:
		return &transport.Error{Kind: transport.Canceled, Err: context.Cause(ctx)}
	case errors.As(err, &te) && te.Kind == transport.Timeout:
		return err // it knows more
	case dctx.Err() != nil:
		return &transport.Error{Kind: transport.Timeout, Err: fmt.Errorf("not connected within %v", limit),
			Hint: "look at the address, the way to it and filters on it"}
	case te != nil:
		return err
	}
	return &transport.Error{Kind: transport.Unreachable, Err: err}
}

// shell opens a terminal on the last client. The requests for it are sent without
// waiting for their replies, which would cost two round trips and tell nothing
// that the missing prompt does not tell.
func (c *Conn) shell(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.root.Close() })
	defer stop()
	client := c.clients[len(c.clients)-1]
	ch, reqs, err := client.OpenChannel("session", nil)
	if err != nil {
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) {
			return &transport.Error{Kind: transport.Busy, Err: fmt.Errorf("the device refuses a terminal: %s", refused.Message),
				Hint: "too many sessions on the device?"}
		}
		return &transport.Error{Kind: transport.Unreachable, Err: err}
	}
	go ssh.DiscardRequests(reqs)
	columns := c.p.Columns
	if columns == 0 {
		columns = transport.DefaultColumns
	}
	pty := struct {
		Term                  string
		Columns, Rows, Wx, Wy uint32
		Modes                 string
	}{Term: "vt100", Columns: uint32(columns), Rows: 1000, Modes: string([]byte{0})}
	if _, err := ch.SendRequest("pty-req", false, ssh.Marshal(&pty)); err != nil {
		return &transport.Error{Kind: transport.Unreachable, Err: err}
	}
	if _, err := ch.SendRequest("shell", false, nil); err != nil {
		return &transport.Error{Kind: transport.Unreachable, Err: err}
	}
	st, err := newStream(c.device, ch)
	if err != nil {
		return &transport.Error{Kind: transport.Protocol, Err: err}
	}
	c.st = st
	return nil
}
