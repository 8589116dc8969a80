package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

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

func hostKeys(t testing.TB, p HostKeyPolicy, files ...string) *HostKeys {
	t.Helper()
	h, err := NewHostKeys(p, files...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHostKeys(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1"}.serve)
	file := filepath.Join(t.TempDir(), "new", "known_hosts")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("# none"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := optionsFor(t, srv)

	// Strict: an unknown host is refused, and nothing is written.
	o.HostKeys = hostKeys(t, "", file, other)
	e := dialFails(t, o)
	print := ssh.FingerprintSHA256(srv.key.PublicKey())
	if e.Kind != transport.Auth || !strings.Contains(e.Error(), print) || !strings.Contains(e.Hint, "accept-new") || !strings.Contains(e.Hint, file) {
		t.Errorf("unknown host: %v", e)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("strict wrote a file")
	}
	if n := len(srv.logins); n > 0 {
		t.Errorf("a password was given to an unknown host: %v", srv.logins)
	}

	// Accept-new: written once, by many at the same time, and known from then on.
	o.HostKeys = hostKeys(t, AcceptNew, other)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := Dial(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.Close()
		}()
	}
	wg.Wait()
	text, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "ssh-ed25519"); n != 1 || !strings.HasPrefix(string(text), "# none\n") {
		t.Errorf("known hosts: %q", text)
	}
	o.HostKeys = hostKeys(t, Strict, file, other)
	works(t, o)
	o.HostKeys = hostKeys(t, AcceptNew, file)
	works(t, o) // makes the folder
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}

	// A changed key is refused by both, and the hint says what to do.
	for _, policy := range []HostKeyPolicy{Strict, AcceptNew} {
		changed := filepath.Join(t.TempDir(), "known_hosts")
		if err := appendLine(changed, strings.Replace(string(text[len("# none\n"):]), "\n", "", 1)); err != nil {
			t.Fatal(err)
		}
		o.HostKeys = hostKeys(t, policy, changed)
		srv2 := serve(t, switchCLI{host: "leaf1"}.serve)
		o.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, srv2.addr) // somebody in between
		}
		e = dialFails(t, o)
		if e.Kind != transport.Auth || !strings.Contains(e.Error(), "has changed") || !strings.Contains(e.Hint, "ssh-keygen -R") || !strings.Contains(e.Error(), changed+" line 1") {
			t.Errorf("changed key, %s: %v", policy, e)
		}
		if n := len(srv2.logins); n > 0 {
			t.Errorf("a password was given to an impostor: %v", srv2.logins)
		}
	}

	// Also one that changed since it was accepted in this run.
	o.HostKeys = hostKeys(t, AcceptNew, filepath.Join(t.TempDir(), "known_hosts"))
	old := o.NetDial
	works(t, o)
	srv3 := serve(t, switchCLI{host: "leaf1"}.serve)
	o.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, srv3.addr)
	}
	if e = dialFails(t, o); !strings.Contains(e.Error(), "has changed") {
		t.Errorf("changed within a run: %v", e)
	}
	o.NetDial = old

	// Insecure: any, with a warning.
	var log bytes.Buffer
	o.HostKeys, o.Logger = hostKeys(t, Insecure), slog.New(slog.NewTextHandler(&log, nil))
	works(t, o)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "host key is not checked") {
		t.Errorf("no warning: %q", log.String())
	}

	// A revoked key is refused.
	revoked := filepath.Join(t.TempDir(), "known_hosts")
	if err := appendLine(revoked, "@revoked * "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(srv.key.PublicKey())))); err != nil {
		t.Fatal(err)
	}
	o = optionsFor(t, srv)
	o.HostKeys = hostKeys(t, AcceptNew, revoked)
	if e = dialFails(t, o); e.Kind != transport.Auth || !strings.Contains(e.Error(), "revoked") {
		t.Errorf("revoked: %v", e)
	}
}

// TestHostKeyOfSeveral: a server with two keys shows the one that is known.
func TestHostKeyOfSeveral(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.AddHostKey(rsaKey(t))
	})
	works(t, optionsFor(t, srv)) // knows the ed25519 key; RSA would be preferred
}

func TestNewHostKeysErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("this is no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		policy HostKeyPolicy
		files  []string
		want   string
	}{
		{"off", nil, "it is strict, accept-new or insecure"},
		{Strict, nil, "no known_hosts file"},
		{Strict, []string{bad}, "line 1"},
	} {
		if _, err := NewHostKeys(tt.policy, tt.files...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v: got %v, want %q", tt.policy, tt.files, err, tt.want)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			got, err := ask("", "", []string{"Password: "}, []bool{false})
			if err == nil {
				s.note("keyboard " + got[0])
			}
			return nil, errors.New("no")
		}
	})
	o := optionsFor(t, srv)
	o.Auth.Password = secret("wrong")
	e := dialFails(t, o)
	if e.Kind != transport.Auth || e.Hint == "" || strings.Contains(e.Error(), "wrong") {
		t.Errorf("got %v", e)
	}
	if d := cmp.Diff([]string{"password admin"}, srv.logins); d != "" {
		t.Errorf("the password was tried more than once (-want +got):\n%s", d)
	}
	o.Auth.Password = func(context.Context) (string, error) { return "", errors.New("the keyring is locked") }
	if e := dialFails(t, o); e.Kind != transport.Auth || !strings.Contains(e.Error(), "the keyring is locked") {
		t.Errorf("got %v", e)
	}
}

func TestKeyboardInteractive(t *testing.T) {
	questions, echo := []string{"Password: "}, []bool{false}
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.PasswordCallback = nil
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			got, err := ask("", "", questions, echo)
			if err != nil || got[0] != "right" {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	})
	works(t, optionsFor(t, srv))
	echo[0] = true // a question that is no password
	if e := dialFails(t, optionsFor(t, srv)); e.Kind != transport.Auth {
		t.Errorf("got %v", e)
	}
}

// TestKeys logs in by key, locked key and agent.
func TestKeys(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(k.Marshal(), want.Marshal()) {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	})
	open, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte("hush"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(b *pem.Block) Secret { return secret(string(pem.EncodeToMemory(b))) }
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &priv}); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", sock)
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
			_ = agent.ServeAgent(ring, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })

	for name, a := range map[string]Auth{
		"key":        {PrivateKey: text(open)},
		"locked key": {PrivateKey: text(locked), Passphrase: secret("hush")},
		"agent":      {AgentSocket: sock},
		"key that fits not, then the password": {PrivateKey: func(context.Context) (string, error) {
			_, p, _ := ed25519.GenerateKey(rand.Reader)
			b, err := ssh.MarshalPrivateKey(p, "")
			return string(pem.EncodeToMemory(b)), err
		}, Password: secret("right")},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, srv)
			o.Auth = a
			works(t, o)
		})
	}
	for name, a := range map[string]Auth{
		"no passphrase":    {PrivateKey: text(locked)},
		"wrong passphrase": {PrivateKey: text(locked), Passphrase: secret("loud")},
		"no key":           {PrivateKey: secret("nonsense")},
		"no agent":         {AgentSocket: sock + "x"},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, srv)
			o.Auth = a
			if e := dialFails(t, o); e.Kind != transport.Auth || strings.Contains(e.Error(), "loud") {
				t.Errorf("got %v", e)
			}
		})
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
	o.KeepAlive = 20 * time.Millisecond
	c := dial(t, o)
	time.Sleep(150 * time.Millisecond)
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
