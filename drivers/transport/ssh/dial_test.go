package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

// dialFails gives the error of a Dial that must fail.
func dialFails(t testing.TB, o Options) *transport.Error {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err == nil {
		_ = c.Close()
		t.Fatal("no error")
	}
	var te *transport.Error
	if !errors.As(err, &te) {
		t.Fatalf("got %v (%T), want a *transport.Error", err, err)
	}
	return te
}

// works reads once.
func works(t testing.TB, o Options) {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(t.Context(), reqs("show version")); err != nil {
		t.Fatal(err)
	}
}

// listen accepts connections and gives them to f.
func listen(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func TestDialErrors(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	srv := serve(t, switchCLI{host: "leaf1"}.serve)
	noPrompt := serve(t, func(sh *testShell) {
		sh.print("Press RETURN to get started")
		_, _ = sh.in.ReadByte()
		_, _ = sh.in.ReadByte()
	})
	gone := serve(t, func(sh *testShell) { sh.print("Too many users\n") })
	tests := []struct {
		name string
		edit func(o *Options)
		want transport.Kind
		text string
	}{
		{"refused", func(o *Options) { o.Address = free.Addr().String() }, transport.Unreachable, "is SSH enabled"},
		{"no such name", func(o *Options) { o.Address = "no-such-host.invalid:22" }, transport.Unreachable, "does not resolve"},
		{"closes at once", func(o *Options) { o.Address = listen(t, func(net.Conn) {}) }, transport.Unreachable, "too many sessions"},
		{"no SSH", func(o *Options) {
			o.Address = listen(t, func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 2000)) })
		}, transport.Unreachable, ""},
		{"silent", func(o *Options) { o.Address = listen(t, silent) }, transport.Timeout, "not connected within"},
		{"no prompt", func(o *Options) { o.Endpoint = endpoint(t, noPrompt); o.Profile.EarlyInput = false }, transport.Timeout, "Press RETURN"},
		{"shell ends", func(o *Options) { o.Endpoint = endpoint(t, gone); o.Profile.EarlyInput = false }, transport.Unreachable, "before the first prompt"},
		{"invalid", func(o *Options) { o.Address = "leaf1"; o.User = ""; o.Auth = Auth{}; o.HostKeys = nil; o.Profile = nil }, transport.Protocol, "is not host:port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := optionsFor(t, srv)
			o.ConnectTimeout = 400 * time.Millisecond
			tt.edit(&o)
			start := time.Now()
			e := dialFails(t, o)
			if e.Kind != tt.want || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("got %v, want %s with %q", e, tt.want, tt.text)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestValidateTellsAll(t *testing.T) {
	o := Options{Device: "leaf1", ConnectTimeout: -1, Jumps: []Endpoint{{Address: "jump"}}, Profile: &transport.Profile{}}
	err := o.Validate()
	for _, want := range []string{"no prompt", "jump host jump: address", "jump host jump: no user", `address ""`, "no user", "no password", "no host key", "connect timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// TestDialCancel ends ctx while Dial waits, at each place where it waits.
func TestDialCancel(t *testing.T) {
	waiting := make(chan struct{}, 8)
	wait := func(c net.Conn) { waiting <- struct{}{}; _, _ = io.Copy(io.Discard, c) }
	slowLogin := serve(t, nil, func(s *testServer, c *ssh.ServerConfig) {
		c.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
			waiting <- struct{}{}
			time.Sleep(300 * time.Millisecond)
			return nil, nil
		}
	})
	noPrompt := serve(t, func(sh *testShell) { waiting <- struct{}{}; _, _ = io.Copy(io.Discard, sh.in) })
	jump := serve(t, nil)
	for name, edit := range map[string]func(o *Options){
		"handshake": func(o *Options) { o.Address = listen(t, wait) },
		"login":     func(o *Options) { o.Endpoint = endpoint(t, slowLogin) },
		"prompt":    func(o *Options) { o.Endpoint = endpoint(t, noPrompt); o.Profile.EarlyInput = false },
		"behind a jump host": func(o *Options) {
			o.Address = listen(t, wait)
			o.Jumps = []Endpoint{endpoint(t, jump)}
		},
		"secret": func(o *Options) {
			o.Auth.Password = func(ctx context.Context) (string, error) {
				waiting <- struct{}{}
				<-ctx.Done()
				return "", ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, serve(t, switchCLI{host: "leaf1"}.serve))
			edit(&o)
			ctx, cancel := context.WithCancel(t.Context())
			var start time.Time
			go func() {
				<-waiting
				time.Sleep(20 * time.Millisecond)
				start = time.Now()
				cancel()
			}()
			c, err := Dial(ctx, o)
			if err == nil {
				_ = c.Close()
				t.Fatal("no error")
			}
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("returned %v after ctx ended", took)
			}
			if got := failureOf(t, err); got.Kind != transport.Canceled || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestJumpHosts(t *testing.T) {
	target := serve(t, switchCLI{host: "leaf1"}.serve)
	first, second := serve(t, nil), serve(t, nil)
	o := optionsFor(t, target)
	o.Jumps = []Endpoint{endpoint(t, first), endpoint(t, second)}
	var dialled []string
	o.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	works(t, o)
	if d := cmp.Diff([]string{first.addr}, dialled); d != "" {
		t.Errorf("dialled directly (-want +got):\n%s", d)
	}
	if len(second.logins) != 1 || len(target.logins) != 1 {
		t.Errorf("logins: %v, %v", second.logins, target.logins)
	}

	bad := o
	bad.Jumps = []Endpoint{endpoint(t, first), endpoint(t, second)}
	bad.Jumps[1].HostKeys = endpoint(t, target).HostKeys
	if e := dialFails(t, bad); e.Kind != transport.Auth || !strings.Contains(e.Error(), second.addr) {
		t.Errorf("unknown jump host: %v", e)
	}
	bad.Jumps[1] = endpoint(t, second)
	bad.Jumps[1].Auth.Password = secret("wrong")
	if e := dialFails(t, bad); e.Kind != transport.Auth || !strings.Contains(e.Error(), "jump host "+second.addr) {
		t.Errorf("wrong password at a jump host: %v", e)
	}
	bad = o
	bad.Address = listen(t, func(net.Conn) {})
	if e := dialFails(t, bad); e.Kind != transport.Unreachable {
		t.Errorf("closed behind a jump host: %v", e)
	}
	bad.Address = "127.0.0.1:1"
	if e := dialFails(t, bad); e.Kind != transport.Unreachable || !strings.Contains(e.Error(), "through jump host "+second.addr) {
		t.Errorf("refused behind a jump host: %v", e)
	}
}

func TestLegacyAlgorithms(t *testing.T) {
	old := map[string]func(c *ssh.ServerConfig){
		"kex group1":  func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1} },
		"kex group14": func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} },
		"cipher cbc":  func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} },
		"cipher 3des": func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherTripleDESCBC} },
		"mac": func(c *ssh.ServerConfig) {
			c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, []string{ssh.InsecureHMACSHA196}
		},
	}
	servers := map[string]*testServer{}
	for name, f := range old {
		servers[name] = serve(t, switchCLI{host: "leaf1"}.serve, func(_ *testServer, c *ssh.ServerConfig) { f(c) })
	}
	servers["host key ssh-rsa"] = serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, _ *ssh.ServerConfig) {
		key, err := ssh.NewSignerWithAlgorithms(rsaKey(t).(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
		if err != nil {
			t.Fatal(err)
		}
		s.key = key
	})
	for name, srv := range servers {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, srv)
			e := dialFails(t, o)
			if e.Kind != transport.Protocol || !strings.Contains(e.Hint, "legacy") {
				t.Errorf("without opting in: %v", e)
			}
			var log bytes.Buffer
			o.Legacy, o.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
			works(t, o)
			if !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("no warning: %q", log.String())
			}
		})
	}
}

func TestKeepAlive(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1"}.serve)
	o := optionsFor(t, srv)
	o.KeepAlive = 200 * time.Millisecond // an answer that takes as long ends the connection
	c := dial(t, o)
	time.Sleep(700 * time.Millisecond)
	if _, err := c.Read(t.Context(), reqs("show x")); err != nil {
		t.Errorf("kept alive: %v", err)
	}

	// A way that went silent ends the connection.
	var way *silentConn
	o.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
		way = &silentConn{Conn: raw}
		return way, err
	}
	c = dial(t, o)
	if _, err := c.Read(t.Context(), reqs("show x")); err != nil {
		t.Fatal(err)
	}
	way.silence()
	_, err := c.Read(t.Context(), reqs("show x"))
	if got := failureOf(t, err); got.Kind != transport.Unreachable || !strings.Contains(err.Error(), "keep-alive") {
		t.Errorf("got %v", err)
	}
}

// silentConn swallows writes once it is told to.
type silentConn struct {
	net.Conn
	mu  sync.Mutex
	off bool
}

func (c *silentConn) silence() {
	c.mu.Lock()
	c.off = true
	c.mu.Unlock()
}

func (c *silentConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	off := c.off
	c.mu.Unlock()
	if off {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
