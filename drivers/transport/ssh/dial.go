package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.StepTimeout == 0 {
		o.StepTimeout = DefaultStepTimeout
	}
	if o.NetDial == nil {
		o.NetDial = (&net.Dialer{}).DialContext
	}
	c := &Conn{
		device: o.Device, p: o.Profile, enable: o.EnableSecret, stepTimeout: o.StepTimeout,
		log: o.Logger.With("device", o.Device), sp: newSplitter(o.Profile),
	}
	// While connecting, one deadline for all hops.
	dctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	err := c.connect(dctx, &o)
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
		c.keepAlive(o.KeepAlive)
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

// connect makes the connections from hop to hop and asks the last for a shell.
func (c *Conn) connect(ctx context.Context, o *Options) error {
	hops := append(append([]Endpoint(nil), o.Jumps...), o.Endpoint)
	raw, err := o.NetDial(ctx, "tcp", hops[0].Address)
	if err != nil {
		return unreachable(hops[0].Address, err)
	}
	c.root = raw
	// Everything hangs on the first TCP connection: closing it ends all waiting.
	stop := context.AfterFunc(ctx, func() { _ = c.root.Close() })
	defer stop()
	for i := range hops {
		if i > 0 {
			raw, err = c.clients[i-1].Dial("tcp", hops[i].Address)
			if err != nil {
				return unreachable(hops[i].Address, fmt.Errorf("through jump host %s: %w", hops[i-1].Address, err))
			}
		}
		client, err := c.handshake(ctx, raw, &hops[i])
		if err != nil {
			_ = raw.Close()
			if i < len(hops)-1 {
				var te *transport.Error
				if errors.As(err, &te) {
					te.Err = fmt.Errorf("jump host %s: %w", hops[i].Address, te.Err)
				}
			}
			return err
		}
		c.clients = append(c.clients, client)
	}
	return c.shell()
}

// handshake does SSH's key exchange and login on raw.
func (c *Conn) handshake(ctx context.Context, raw net.Conn, e *Endpoint) (*ssh.Client, error) {
	if e.HostKeys.Policy() == Insecure {
		c.log.Warn("the host key is not checked: anybody on the way can be the device", "address", e.Address)
	}
	if e.Legacy {
		c.log.Warn("unsafe SSH algorithms are allowed for this device", "address", e.Address)
	}
	var seen evidence
	cfg, done, err := e.config(ctx, &seen)
	if err != nil {
		return nil, &transport.Error{Kind: transport.Auth, Err: err}
	}
	defer done()
	conn, chans, reqs, err := ssh.NewClientConn(raw, e.Address, cfg)
	if err != nil {
		return nil, handshakeError(e, &seen, err)
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

func handshakeError(e *Endpoint, seen *evidence, err error) error {
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case seen.hostKey != nil:
		return seen.hostKey
	case seen.secret != nil:
		return &transport.Error{Kind: transport.Auth, Err: seen.secret}
	case errors.As(err, &algorithms):
		hint := "the device and we have no algorithm in common"
		if !e.Legacy {
			hint = "an old device: allow legacy algorithms for it, if the network up to it is trusted"
		}
		return &transport.Error{Kind: transport.Protocol, Err: algorithms, Hint: hint}
	case isNetwork(err):
		return &transport.Error{Kind: transport.Unreachable, Err: fmt.Errorf("%s: the connection ended during the login: %w", e.Address, err),
			Hint: "too many sessions on the device, or an access list that closes ours?"}
	case seen.hostKeyOK:
		return &transport.Error{Kind: transport.Auth, Err: fmt.Errorf("user %q at %s: %w", e.User, e.Address, err),
			Hint: "look at the user and its credential; it is tried once per run, so that the account is not locked"}
	default:
		return &transport.Error{Kind: transport.Unreachable, Err: fmt.Errorf("%s: %w", e.Address, err),
			Hint: "is there an SSH server at this address?"}
	}
}

func isNetwork(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

func unreachable(address string, err error) error {
	e := &transport.Error{Kind: transport.Unreachable, Err: err}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		e.Hint = "the name does not resolve: correct the address in the inventory"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Hint = "nothing listens there: is SSH enabled on the device, and is it this port?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Hint = "there is no route to the device"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		e.Kind = transport.Timeout
	}
	return e
}

// shell opens a terminal on the last client. The requests for it are sent without
// waiting for their replies, which would cost two round trips and tell nothing
// that the missing prompt does not tell.
func (c *Conn) shell() error {
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

// keepAlive asks the server for a sign of life every d, and closes the connection
// when none came until the next.
func (c *Conn) keepAlive(d time.Duration) {
	client, stop := c.clients[len(c.clients)-1], make(chan struct{})
	alive := make(chan struct{}, 1)
	c.background.Add(2)
	c.stop = append(c.stop, func() { close(stop) })
	ask := make(chan struct{})
	go func() {
		defer c.background.Done()
		for range ask {
			if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
			alive <- struct{}{}
		}
	}()
	go func() {
		defer c.background.Done()
		defer close(ask)
		t := time.NewTicker(d)
		defer t.Stop()
		waiting := false
		for {
			select {
			case <-stop:
				return
			case <-alive:
				waiting = false
			case <-t.C:
				if waiting {
					c.log.Debug("no answer to keep-alive")
					c.cut(fmt.Errorf("no answer to a keep-alive within %v", d))
					return
				}
				select {
				case ask <- struct{}{}:
					waiting = true
				case <-c.st.pipe.lost:
					return
				case <-stop:
					return
				}
			}
		}
	}()
}
