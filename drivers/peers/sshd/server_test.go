package sshd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// echoes runs a shell that answers each line with its length, and commands that
// answer themselves.
func echoes(s *sshd.Session) int {
	if s.Command != "" {
		fmt.Fprintf(s, "ran %s for %s", s.Command, s.User)
		return 3
	}
	t := sshd.NewTerminal(s, s.Pty)
	defer func() { _ = t.Flush() }()
	for {
		line, err := t.ReadLine("> ")
		switch {
		case errors.Is(err, sshd.ErrInterrupt):
			continue
		case err != nil:
			return 0
		case line == "cut":
			s.Cut()
			return 0
		case line == "secret":
			if line, err = t.ReadSecret("Password: "); err != nil {
				return 0
			}
		}
		_ = t.Print(fmt.Sprintf("%q\n", line))
	}
}

func start(t *testing.T, conf sshd.Config) (addr string, s *sshd.Server) {
	t.Helper()
	if conf.Password == nil {
		conf.Password = func(u, p string) bool { return u == "u" && sshd.EqualSecret(p, "p") }
	}
	conf.Handler = echoes
	s, err := sshd.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve does not return")
		}
	})
	return l.Addr().String(), s
}

func dial(t *testing.T, addr string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{User: "u", Auth: auth, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func TestLineDiscipline(t *testing.T) {
	addr, _ := start(t, sshd.Config{})
	tests := []struct {
		name, give, want string
		pty              bool
	}{
		{"LF", "abc\n\x04", "> abc\r\n\"abc\"\r\n> ", true},
		{"CR", "abc\r\x04", "> abc\r\n\"abc\"\r\n> ", true},
		{"CR LF is one end", "abc\r\nd\n\x04", "> abc\r\n\"abc\"\r\n> d\r\n\"d\"\r\n> ", true},
		{"CR NUL", "a\r\x00b\n\x04", "> a\r\n\"a\"\r\n> b\r\n\"b\"\r\n> ", true},
		{"erase", "abx\x7fc\n\x04", "> abx\b \bc\r\n\"abc\"\r\n> ", true},
		{"erase all", "xy\x15ab\n\x04", "> xy\b \b\b \bab\r\n\"ab\"\r\n> ", true},
		{"interrupt", "abc\x03d\n\x04", "> abc^C\r\n> d\r\n\"d\"\r\n> ", true},
		{"cursor keys", "a\x1b[Ab\x1b[1;5Cc\n\x04", "> abc\r\n\"abc\"\r\n> ", true},
		{"^D inside a line", "a\x04b\n\x04", "> ab\r\n\"ab\"\r\n> ", true},
		{"secret", "secret\nhush\n\x04", "> secret\r\nPassword: \r\n\"hush\"\r\n> ", true},
		{"no pty, no echo", "abc\n\x04", "> \"abc\"\n> ", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dial(t, addr, ssh.Password("p"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			if tt.pty {
				if err := s.RequestPty("vt100", 24, 80, nil); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			s.Stdout = &out
			s.Stdin = strings.NewReader(tt.give)
			if err := s.Shell(); err != nil {
				t.Fatal(err)
			}
			if err := s.Wait(); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
		})
	}
}

func TestExec(t *testing.T) {
	addr, _ := start(t, sshd.Config{})
	c, err := dial(t, addr, ssh.Password("p"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output("show x")
	var status *ssh.ExitError
	if !errors.As(err, &status) || status.ExitStatus() != 3 || string(out) != "ran show x for u" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestAuthentication(t *testing.T) {
	key, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := start(t, sshd.Config{PublicKey: func(u string, k ssh.PublicKey) bool {
		return u == "u" && string(k.Marshal()) == string(key.PublicKey().Marshal())
	}})
	tests := []struct {
		name string
		auth ssh.AuthMethod
		ok   bool
	}{
		{"password", ssh.Password("p"), true},
		{"wrong password", ssh.Password("q"), false},
		{"key", ssh.PublicKeys(key), true},
		{"wrong key", ssh.PublicKeys(other), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := dial(t, addr, tt.auth); (err == nil) != tt.ok {
				t.Errorf("login: %v", err)
			}
		})
	}
}

func TestHostKey(t *testing.T) {
	key, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	shared, err := sshd.SharedHostKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		give ssh.Signer
		want ssh.PublicKey
	}{{"own", key, key.PublicKey()}, {"shared", nil, shared.PublicKey()}} {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := start(t, sshd.Config{HostKey: tt.give})
			c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{User: "u", Auth: []ssh.AuthMethod{ssh.Password("p")}, HostKeyCallback: ssh.FixedHostKey(tt.want)})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	}
}

func TestAdmit(t *testing.T) {
	addr, s := start(t, sshd.Config{Admit: func(open int) bool { return open < 1 }})
	c, err := dial(t, addr, ssh.Password("p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, addr, ssh.Password("p")); err == nil {
		t.Error("a second connection was admitted")
	}
	c.Close()
	for range 500 {
		if s.Open() == 0 {
			if _, err := dial(t, addr, ssh.Password("p")); err != nil {
				t.Error(err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the closed connection still counts")
}

// TestLatency checks that lines sent together pay one delay, not one each.
func TestLatency(t *testing.T) {
	const delay, lines = 60 * time.Millisecond, 20
	addr, _ := start(t, sshd.Config{Latency: func() time.Duration { return delay }})
	c, err := dial(t, addr, ssh.Password("p"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range lines {
		if _, err := io.WriteString(in, "x\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(in, "\x04"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if n := strings.Count(string(got), `"x"`); n != lines {
		t.Errorf("%d answers", n)
	}
	if took < delay || took > lines/2*delay {
		t.Errorf("%d lines took %v at a delay of %v", lines, took, delay)
	}
}

func TestCut(t *testing.T) {
	addr, _ := start(t, sshd.Config{})
	c, err := dial(t, addr, ssh.Password("p"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("cut\n")
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	var missing *ssh.ExitMissingError
	if err := s.Wait(); err == nil || !errors.As(err, &missing) {
		t.Errorf("a cut connection ended with %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	h := func(*sshd.Session) int { return 0 }
	for name, c := range map[string]sshd.Config{
		"no handler":      {Password: func(string, string) bool { return true }},
		"no way to login": {Handler: h},
	} {
		if _, err := sshd.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
