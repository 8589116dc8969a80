package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Exec runs commands on a host, each on an SSH channel of its own: a
// transport.Runner. The login's shell gets the command as it is.
//
// The channel of the next command is opened while one runs, so that a command costs
// one round trip.
type Exec struct {
	hops
	timeout time.Duration
	gone    chan struct{} // closed when the last client is
	next    chan opened   // the channel opened ahead, with room for one; nil = none was asked for
}

var _ transport.Runner = (*Exec)(nil)

// opened is a channel for a command, or why there is none.
type opened struct {
	ch   ssh.Channel
	reqs <-chan *ssh.Request
	err  error
}

// DialExec connects and logs in as Dial does, and asks for no shell. The Profile and
// the EnableSecret do not matter. StepTimeout bounds the silence of a command: one
// that goes on printing is not timed out. ctx bounds only the call. Errors are
// *transport.Error.
func DialExec(ctx context.Context, o Options) (*Exec, error) {
	if err := o.validateAccess(); err != nil {
		return nil, &transport.Error{Kind: transport.Protocol, Err: err, Hint: "correct the inventory"}
	}
	o.setDefaults()
	e := &Exec{hops: hops{log: o.Logger.With("device", o.Device)}, timeout: o.StepTimeout, gone: make(chan struct{})}
	dctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	if err := e.connect(dctx, &o); err != nil {
		e.end(func() {})
		return nil, dialError(ctx, dctx, o.ConnectTimeout, err)
	}
	e.background.Add(1)
	go func() {
		defer e.background.Done()
		err := e.clients[len(e.clients)-1].Wait()
		if err == nil {
			err = io.EOF
		}
		e.cut(err)
		close(e.gone)
	}()
	if o.KeepAlive > 0 {
		e.keepAlive(o.KeepAlive, e.gone)
	}
	e.openAhead()
	return e, nil
}

// Close ends the connection, and commands that still run lose it. It may be called
// again.
func (e *Exec) Close() error {
	e.end(func() {})
	return nil
}

func (e *Exec) open() opened {
	ch, reqs, err := e.clients[len(e.clients)-1].OpenChannel("session", nil)
	return opened{ch, reqs, err}
}

// openAhead begins to open the channel of the next command.
func (e *Exec) openAhead() {
	next := make(chan opened, 1)
	e.next = next
	e.background.Add(1)
	go func() {
		defer e.background.Done()
		next <- e.open()
	}()
}

// channel gives a channel for a command. A server that allows one at a time has
// refused the one that was asked for ahead.
func (e *Exec) channel(ctx context.Context) (opened, error) {
	for ahead := e.next != nil; ; ahead = false {
		if !ahead {
			e.openAhead()
		}
		var got opened
		t := time.NewTimer(e.timeout)
		defer t.Stop()
		select {
		case got = <-e.next:
		case <-ctx.Done():
			return opened{}, &transport.Error{Kind: transport.Canceled, Err: context.Cause(ctx)}
		case <-t.C:
			err := fmt.Errorf("the host said nothing for %v", e.timeout)
			e.cut(err)
			return opened{}, &transport.Error{Kind: transport.Timeout, Err: err}
		}
		e.next = nil
		var refused *ssh.OpenChannelError
		switch {
		case got.err == nil:
			return got, nil
		case errors.As(got.err, &refused) && ahead:
			continue
		case refused != nil:
			return opened{}, &transport.Error{Kind: transport.Busy, Err: fmt.Errorf("the host refuses to run a command: %s", refused.Message),
				Hint: "too many sessions on the host?"}
		default:
			return opened{}, e.lost(got.err)
		}
	}
}

// Run runs a command. See transport.Runner.
func (e *Exec) Run(ctx context.Context, command string) (transport.Result, error) {
	if err := e.usable(); err != nil {
		return transport.Result{}, err
	}
	if ctx.Err() != nil {
		return transport.Result{}, &transport.Error{Kind: transport.Canceled, Err: context.Cause(ctx)}
	}
	got, err := e.channel(ctx)
	if err != nil {
		return transport.Result{}, err
	}
	r := &running{ch: got.ch, heard: make(chan struct{}, 1), done: make(chan struct{}), limit: maxPending}
	e.background.Add(1)
	go func() {
		defer e.background.Done()
		r.run(command, got.reqs)
	}()
	res, err := r.wait(ctx, e)
	_ = r.ch.Close()
	if err == nil {
		e.openAhead()
	}
	return res, err
}

// running is a command at work.
type running struct {
	ch    ssh.Channel
	heard chan struct{} // something came
	done  chan struct{} // it ended; the fields below are complete
	limit int64
	size  atomic.Int64

	out    strings.Builder
	errOut strings.Builder
	status int
	ended  bool // the host told the status
	err    error
}

func (r *running) hear() {
	select {
	case r.heard <- struct{}{}:
	default:
	}
}

// run starts the command and collects what comes of it.
func (r *running) run(command string, reqs <-chan *ssh.Request) {
	defer close(r.done)
	var collect sync.WaitGroup
	collect.Add(1)
	go func() {
		defer collect.Done()
		for req := range reqs {
			r.request(req)
		}
	}()
	ok, err := r.ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	switch {
	case err != nil:
		r.err = err
	case !ok:
		r.err = errNoCommand
	default:
		r.hear()
		_ = r.ch.CloseWrite() // it has no input
		var errs [2]error
		collect.Add(1)
		go func() {
			defer collect.Done()
			_, errs[1] = io.Copy(counted{r, &r.errOut}, r.ch.Stderr())
		}()
		_, errs[0] = io.Copy(counted{r, &r.out}, r.ch)
		defer func() { r.err = errors.Join(errs[:]...) }()
	}
	if r.err != nil {
		_ = r.ch.Close()
	}
	collect.Wait()
}

var errNoCommand = errors.New("the host runs no commands for this login")

// request takes what the host tells of the command (RFC 4254, section 6.10).
func (r *running) request(req *ssh.Request) {
	switch req.Type {
	case "exit-status":
		var m struct{ Status uint32 }
		if ssh.Unmarshal(req.Payload, &m) == nil {
			r.status, r.ended = int(m.Status), true
		}
	case "exit-signal":
		var m struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}
		if ssh.Unmarshal(req.Payload, &m) == nil {
			r.status, r.ended = 128, true
			for n, name := range signals {
				if name == m.Signal {
					r.status += n
				}
			}
		}
	}
	if req.WantReply {
		_ = req.Reply(false, nil)
	}
	r.hear()
}

// signals are the signals of RFC 4254 that have the same number on all systems.
var signals = map[int]string{1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE", 14: "ALRM", 15: "TERM"}

// counted bounds what a command prints.
type counted struct {
	r *running
	b *strings.Builder
}

func (c counted) Write(p []byte) (int, error) {
	c.r.hear()
	if c.r.size.Add(int64(len(p))) > c.r.limit {
		_ = c.r.ch.Close()
		return 0, fmt.Errorf("the command printed more than %d MB", c.r.limit>>20)
	}
	return c.b.Write(p)
}

// wait waits for the end of the command, of ctx, or of patience.
func (r *running) wait(ctx context.Context, e *Exec) (transport.Result, error) {
	t := time.NewTimer(e.timeout)
	defer t.Stop()
	for {
		select {
		case <-r.heard:
			t.Reset(e.timeout)
			continue
		case <-r.done:
		case <-ctx.Done():
			// What a host makes of the signal is its own affair; older ones ignore it.
			_, _ = r.ch.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{"KILL"}))
			return transport.Result{}, &transport.Error{Kind: transport.Canceled, InDoubt: true, Err: context.Cause(ctx)}
		case <-t.C:
			err := fmt.Errorf("the host said nothing for %v", e.timeout)
			e.cut(err)
			return transport.Result{}, &transport.Error{Kind: transport.Timeout, InDoubt: true, Err: err}
		}
		break
	}
	switch {
	case errors.Is(r.err, errNoCommand):
		return transport.Result{}, &transport.Error{Kind: transport.Rejected, Err: r.err, Hint: "the login's settings on the host allow no commands"}
	case r.ended && r.err == nil:
		return transport.Result{Stdout: r.out.String(), Stderr: r.errOut.String(), Status: r.status}, nil
	}
	select {
	case <-e.gone:
	default:
		// The channel alone ended. A connection that just broke ends its channels first.
		grace := time.NewTimer(100 * time.Millisecond)
		defer grace.Stop()
		select {
		case <-e.gone:
		case <-grace.C:
			err := r.err
			if err == nil {
				err = errors.New("the host did not tell how the command ended")
			}
			return transport.Result{}, &transport.Error{Kind: transport.Protocol, InDoubt: true, Reply: r.errOut.String(), Err: err}
		}
	}
	err := e.lost(errors.Join(r.err, io.EOF))
	var te *transport.Error
	if errors.As(err, &te) {
		te.InDoubt = true
	}
	return transport.Result{}, err
}
