package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

// hops is the way to a device: an SSH client for each host on it, all over one TCP
// connection. What talks to the device embeds it.
type hops struct {
	log     *slog.Logger
	root    net.Conn      // the first TCP connection
	clients []*ssh.Client // one per hop, the device last

	mu         sync.Mutex
	dead       error // why the connection is of no more use
	closed     bool
	stop       []func()
	background sync.WaitGroup
}

// end ends the connection and waits for all that belongs to it, once; rest is called
// when the clients are gone.
func (h *hops) end(rest func()) {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return
	}
	h.cut(errors.New("closed"))
	for _, f := range h.stop {
		f()
	}
	for i := len(h.clients) - 1; i >= 0; i-- {
		_ = h.clients[i].Close()
		_ = h.clients[i].Wait()
	}
	rest()
	h.background.Wait()
}

// cut ends the connection at once, for the reason why, and waits for nothing.
func (h *hops) cut(why error) {
	h.mu.Lock()
	if h.dead == nil {
		h.dead = why
	}
	h.mu.Unlock()
	if h.root != nil {
		_ = h.root.Close()
	}
}

// usable gives an error when the connection is of no more use.
func (h *hops) usable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead != nil {
		return &transport.Error{Kind: transport.Unreachable, Err: fmt.Errorf("the connection is gone: %w", h.dead)}
	}
	return nil
}

// lost is the error of a connection that broke with err, or was cut before.
func (h *hops) lost(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead != nil {
		err = h.dead
	}
	return &transport.Error{Kind: transport.Unreachable, Err: fmt.Errorf("the connection broke: %w", err)}
}

// connect makes the connections from hop to hop.
func (h *hops) connect(ctx context.Context, o *Options) error {
	hops := append(append([]Endpoint(nil), o.Jumps...), o.Endpoint)
	raw, err := o.NetDial(ctx, "tcp", hops[0].Address)
	if err != nil {
		return unreachable(hops[0].Address, err)
	}
	h.root = raw
	// Everything hangs on the first TCP connection: closing it ends all waiting.
	stop := context.AfterFunc(ctx, func() { _ = h.root.Close() })
	defer stop()
	for i := range hops {
		if i > 0 {
			raw, err = h.clients[i-1].Dial("tcp", hops[i].Address)
			if err != nil {
				return unreachable(hops[i].Address, fmt.Errorf("through jump host %s: %w", hops[i-1].Address, err))
			}
		}
		client, err := h.handshake(ctx, raw, &hops[i])
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
		h.clients = append(h.clients, client)
	}
	return nil
}

// handshake does SSH's key exchange and login on raw.
func (h *hops) handshake(ctx context.Context, raw net.Conn, e *Endpoint) (*ssh.Client, error) {
	if e.HostKeys.Policy() == Insecure {
		h.log.Warn("the host key is not checked: anybody on the way can be the device", "address", e.Address)
	}
	if e.Legacy {
		h.log.Warn("unsafe SSH algorithms are allowed for this device", "address", e.Address)
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

// keepAlive asks the server for a sign of life every d, and closes the connection
// when none came until the next. It stops when lost is closed.
func (h *hops) keepAlive(d time.Duration, lost <-chan struct{}) {
	client, stop := h.clients[len(h.clients)-1], make(chan struct{})
	alive := make(chan struct{}, 1)
	h.background.Add(2)
	h.stop = append(h.stop, func() { close(stop) })
	ask := make(chan struct{})
	go func() {
		defer h.background.Done()
		for range ask {
			if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
			alive <- struct{}{}
		}
	}()
	go func() {
		defer h.background.Done()
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
					h.log.Debug("no answer to keep-alive")
					h.cut(fmt.Errorf("no answer to a keep-alive within %v", d))
					return
				}
				select {
				case ask <- struct{}{}:
					waiting = true
				case <-lost:
					return
				case <-stop:
					return
				}
			}
		}
	}()
}
