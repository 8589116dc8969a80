// Package sshd is a small SSH server for the command lines of simulated
// switches: password and public-key login, pty, shell and exec, and a line
// discipline (Terminal) with echo, CR and LF, erase, ^C and ^D.
//
// A vendor's peer supplies a Handler and knows nothing of SSH; this package
// knows nothing of any vendor. Many servers may live in one process: they can
// share one host key, and an idle connection costs its goroutines and buffers
// only.
package sshd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshakeTimeout bounds the time from accept to a finished login.
const handshakeTimeout = 30 * time.Second

// Config says who may log in and what is run for them.
type Config struct {
	// HostKey identifies the server; nil means SharedHostKey.
	HostKey ssh.Signer
	// Password reports whether the password is the user's; nil refuses the
	// method. It must be safe for concurrent use.
	Password func(user, password string) bool
	// PublicKey reports whether the key is the user's; nil refuses the method.
	PublicKey func(user string, key ssh.PublicKey) bool
	// Banner is shown before authentication; empty means none.
	Banner string
	// Version is the identification string, which must begin with "SSH-2.0-".
	// Empty means the library's.
	Version string
	// Latency delays what arrives from the client by one round-trip time without
	// holding back what follows it, as a long path does. It is asked once per
	// connection; nil and 0 mean none.
	Latency func() time.Duration
	// Admit is asked for each new connection, with the number that is open
	// already. False closes it before the SSH handshake. Nil admits all.
	Admit func(open int) bool
	// Handler runs one shell or one command. Its result is the exit status.
	Handler func(*Session) int
}

// Server accepts connections for one Config. The zero value is not usable; see
// New.
type Server struct {
	conf Config
	ssh  *ssh.ServerConfig

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
	wg     sync.WaitGroup
}

// errRefused is what a wrong credential earns; the client sees only that the
// method failed.
var errRefused = errors.New("sshd: permission denied")

// New returns a server. It fails without a Handler or without any way to log
// in.
func New(conf Config) (*Server, error) {
	if conf.Handler == nil {
		return nil, errors.New("sshd: no handler")
	}
	if conf.Password == nil && conf.PublicKey == nil {
		return nil, errors.New("sshd: no way to log in")
	}
	if conf.HostKey == nil {
		key, err := SharedHostKey()
		if err != nil {
			return nil, err
		}
		conf.HostKey = key
	}
	sc := &ssh.ServerConfig{ServerVersion: conf.Version, MaxAuthTries: 6}
	if f := conf.Password; f != nil {
		sc.PasswordCallback = func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			if !f(c.User(), string(p)) {
				return nil, errRefused
			}
			return nil, nil
		}
	}
	if f := conf.PublicKey; f != nil {
		sc.PublicKeyCallback = func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if !f(c.User(), k) {
				return nil, errRefused
			}
			return nil, nil
		}
	}
	if conf.Banner != "" {
		sc.BannerCallback = func(ssh.ConnMetadata) string { return conf.Banner }
	}
	sc.AddHostKey(conf.HostKey)
	return &Server{conf: conf, ssh: sc, open: make(map[net.Conn]struct{})}, nil
}

// EqualSecret compares in constant time.
func EqualSecret(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

var sharedKey = sync.OnceValues(NewHostKey)

// SharedHostKey returns the one key of this process, made on first use.
func SharedHostKey() (ssh.Signer, error) { return sharedKey() }

// NewHostKey makes an Ed25519 key.
func NewHostKey() (ssh.Signer, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sshd: host key: %w", err)
	}
	s, err := ssh.NewSignerFromSigner(priv)
	if err != nil {
		return nil, fmt.Errorf("sshd: host key: %w", err)
	}
	return s, nil
}

// Serve accepts connections until ctx ends, Close is called or l fails, then
// closes l and every connection, waits for their handlers and returns. The
// error is nil when ctx or Close ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close(); s.Close() })
	defer stop()
	defer l.Close()
	defer s.wg.Wait()
	defer s.closeConns()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || s.isClosed() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				continue
			}
			return fmt.Errorf("sshd: %w", err)
		}
		if !s.admit(c) {
			c.Close()
			continue
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer s.forget(c)
			s.serveConn(ctx, c)
		}()
	}
}

func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.conf.Admit != nil && !s.conf.Admit(len(s.open)) {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) forget(c net.Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Open returns the number of connections now open, logged in or not.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close cuts every connection and makes later ones fail. The listener belongs
// to Serve, which returns when its context ends or its listener is closed.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closeConns()
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
}

func (s *Server) serveConn(ctx context.Context, raw net.Conn) {
	var c net.Conn = raw
	if s.conf.Latency != nil {
		if d := s.conf.Latency(); d > 0 {
			c = withLatency(raw, d)
		}
	}
	defer c.Close()
	_ = raw.SetDeadline(time.Now().Add(handshakeTimeout))
	sc, chans, reqs, err := ssh.NewServerConn(c, s.ssh)
	if err != nil {
		return // a failed login is the client's to report
	}
	_ = raw.SetDeadline(time.Time{})
	defer sc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for nc := range chans {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.serveChannel(ctx, sc, raw, ch, reqs)
		}()
	}
}

// Session is one shell or one command of a logged-in user. Reading and writing
// it is reading and writing the channel; see Terminal for a line discipline.
type Session struct {
	ssh.Channel
	// User is the name that logged in.
	User string
	// Command is the command of an exec request; empty for a shell.
	Command string
	// Pty reports whether the client asked for a terminal.
	Pty bool
	// Remote is the client's address.
	Remote net.Addr

	ctx    context.Context
	raw    net.Conn
	width  atomic.Int32
	height atomic.Int32
}

// Context ends when the connection ends.
func (s *Session) Context() context.Context { return s.ctx }

// Size returns the client's columns and rows; 0 means unknown.
func (s *Session) Size() (columns, rows int) {
	return int(s.width.Load()), int(s.height.Load())
}

// Cut closes the TCP connection under the session with nothing said, as a
// broken path does.
func (s *Session) Cut() {
	if tc, ok := s.raw.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = s.raw.Close()
}

func (s *Server) serveChannel(ctx context.Context, sc *ssh.ServerConn, raw net.Conn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	sess := &Session{Channel: ch, User: sc.User(), Remote: sc.RemoteAddr(), ctx: ctx, raw: raw}
	var run sync.WaitGroup
	started := false
	for r := range reqs {
		ok := false
		switch r.Type {
		case "pty-req":
			var p struct {
				Term                string
				Cols, Rows, Wpx, Hp uint32
				Modes               string
			}
			if !started && ssh.Unmarshal(r.Payload, &p) == nil {
				ok = true
				sess.Pty = true
				sess.resize(p.Cols, p.Rows)
			}
		case "window-change":
			var p struct{ Cols, Rows, Wpx, Hp uint32 }
			if ssh.Unmarshal(r.Payload, &p) == nil {
				ok = true
				sess.resize(p.Cols, p.Rows)
			}
		case "env":
			ok = true // accepted and ignored, as switches do
		case "shell", "exec":
			if started {
				break
			}
			if r.Type == "exec" {
				var p struct{ Command string }
				if ssh.Unmarshal(r.Payload, &p) != nil {
					break
				}
				sess.Command = p.Command
			}
			ok, started = true, true
			run.Add(1)
			// The reply goes out before the first byte of the shell.
			if r.WantReply {
				_ = r.Reply(true, nil)
				r.WantReply = false
			}
			go func() {
				defer run.Done()
				code := s.conf.Handler(sess)
				_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
				_ = ch.Close()
			}()
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
	cancel()
	_ = ch.Close()
	run.Wait()
}

func (s *Session) resize(cols, rows uint32) {
	s.width.Store(int32(min(cols, 1<<15)))
	s.height.Store(int32(min(rows, 1<<15)))
}
