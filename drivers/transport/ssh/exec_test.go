package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
)

func dialExec(t testing.TB, o Options) *Exec {
	t.Helper()
	o.Profile = nil
	e, err := DialExec(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestExecOpenSSH runs commands by OpenSSH, whose banner and whose shell's start file
// print things of their own.
func TestExecOpenSSH(t *testing.T) {
	banner := filepath.Join(t.TempDir(), "banner")
	if err := os.WriteFile(banner, []byte("Authorized use only\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := dialExec(t, startSSHD(t, "Banner "+banner))
	tests := []struct {
		name, command string
		want          transport.Result
	}{
		{"output and status", "echo out; echo err >&2; exit 3", transport.Result{Stdout: "out\n", Stderr: "err\n", Status: 3}},
		{"nothing", "true", transport.Result{}},
		{"not there", "nothing-of-this-name", transport.Result{Status: 127}},
		{"a comment", "echo a # cookie b", transport.Result{Stdout: "a\n"}},
		{"words as they are", `printf '%s|' 'm'\''0' "a  b" '$x'`, transport.Result{Stdout: "m'0|a  b|$x|"}},
		{"no input", "cat; echo end", transport.Result{Stdout: "end\n"}},
		{"long", "seq 200000 | md5sum; seq 200000", transport.Result{Stdout: longSeq}},
		{"by a signal", "kill -TERM $$", transport.Result{Status: 128 + 15}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.Run(t.Context(), tt.command)
			if err != nil {
				t.Fatal(err)
			}
			switch tt.name {
			case "not there":
				if !strings.Contains(got.Stderr, "not found") {
					t.Errorf("said %q", got.Stderr)
				}
				got.Stderr = ""
			case "long":
				if n := strings.Count(got.Stdout, "\n"); n != 200001 || !strings.HasSuffix(got.Stdout, "\n200000\n") {
					t.Errorf("%d lines, the last %q", n, got.Stdout[max(0, len(got.Stdout)-20):])
				}
				got.Stdout = longSeq
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}

	// A command whose ctx ends is ended, and the next one runs.
	file := filepath.Join(t.TempDir(), "late")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := e.Run(ctx, "sleep 1; echo > "+file)
	if want := (failure{Kind: transport.Canceled, InDoubt: true}); failureOf(t, err) != want || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got, err := e.Run(t.Context(), "echo next"); err != nil || got.Stdout != "next\n" {
		t.Errorf("after that: %+v, %v", got, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Run(t.Context(), "true"); failureOf(t, err).Kind != transport.Unreachable {
		t.Errorf("closed: %v", err)
	}
}

const longSeq = "a long sequence"

// TestExecOneSession: MaxSessions 1 leaves no place for a channel opened ahead.
func TestExecOneSession(t *testing.T) {
	e := dialExec(t, startSSHD(t, "MaxSessions 1"))
	for range 5 {
		if got, err := e.Run(t.Context(), "echo a; sleep 0.02"); err != nil || got.Stdout != "a\n" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
}

// TestExecFaults are servers that do not do what they should.
func TestExecFaults(t *testing.T) {
	tests := []struct {
		name string
		exec func(sh *testShell, command string) (uint32, bool)
		want failure
		text string
		// usable says whether the next command runs.
		usable bool
	}{
		{"no commands", nil, failure{Kind: transport.Rejected}, "runs no commands", true},
		{"no status", func(sh *testShell, _ string) (uint32, bool) {
			_, _ = io.WriteString(sh.ch.Stderr(), "lost it")
			return 0, true
		}, failure{Kind: transport.Protocol, Reply: "lost it", InDoubt: true}, "did not tell how", true},
		{"connection cut", func(sh *testShell, _ string) (uint32, bool) { _ = sh.raw.Close(); return 0, true },
			failure{Kind: transport.Unreachable, InDoubt: true}, "broke", false},
		{"silence", func(sh *testShell, _ string) (uint32, bool) { time.Sleep(2 * time.Second); return 0, false },
			failure{Kind: transport.Timeout, InDoubt: true}, "said nothing for", false},
		{"without end", func(sh *testShell, _ string) (uint32, bool) {
			block := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := sh.ch.Write(block); err != nil {
					return 0, true
				}
			}
		}, failure{Kind: transport.Protocol, InDoubt: true}, "printed more than", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, nil)
			first := true
			if tt.exec != nil {
				srv.exec = func(sh *testShell, command string) (uint32, bool) {
					if first {
						first = false
						return tt.exec(sh, command)
					}
					_, _ = io.WriteString(sh.ch, "again")
					return 0, false
				}
			}
			o := optionsFor(t, srv)
			o.StepTimeout = 300 * time.Millisecond
			if tt.name == "without end" {
				o.StepTimeout = 5 * time.Second
			}
			e := dialExec(t, o)
			_, err := e.Run(t.Context(), "x")
			if d := cmp.Diff(tt.want, failureOf(t, err)); d != "" || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
			if tt.exec == nil {
				return
			}
			got, err := e.Run(t.Context(), "y")
			if usable := err == nil && got.Stdout == "again"; usable != tt.usable {
				t.Errorf("then %+v, %v; want usable %t", got, err, tt.usable)
			}
		})
	}
}

// TestExecSlow: a command that prints now and then takes as long as it wants.
func TestExecSlow(t *testing.T) {
	srv := serve(t, nil)
	srv.oneAtATime = true
	srv.exec = func(sh *testShell, _ string) (uint32, bool) {
		for range 6 {
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(sh.ch, ".")
		}
		return 7, false
	}
	o := optionsFor(t, srv)
	o.StepTimeout = 300 * time.Millisecond
	e := dialExec(t, o)
	if got, err := e.Run(t.Context(), "x"); err != nil || got.Stdout != "......" || got.Status != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestExecRoundTrips: a command costs one round trip once the connection stands.
func TestExecRoundTrips(t *testing.T) {
	const rtt = 200 * time.Millisecond // much longer than what a busy machine adds
	srv := serve(t, nil)
	srv.exec = func(sh *testShell, _ string) (uint32, bool) { _, _ = io.WriteString(sh.ch, "a"); return 0, false }
	o := optionsFor(t, srv)
	o.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return delayed(raw, rtt), nil
	}
	e := dialExec(t, o)
	time.Sleep(2 * rtt)
	best := time.Hour
	for range 3 {
		from := time.Now()
		if _, err := e.Run(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(from))
		time.Sleep(2 * rtt)
	}
	if best < rtt || best > rtt*9/5 {
		t.Errorf("a command took %v, want one round trip of %v", best, rtt)
	}
}

// delayed is a connection whose answers come rtt late.
func delayed(raw net.Conn, rtt time.Duration) net.Conn {
	type piece struct {
		at time.Time
		b  []byte
	}
	pieces := make(chan piece, 1024)
	r, w := io.Pipe()
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := raw.Read(b)
			if n > 0 {
				pieces <- piece{time.Now().Add(rtt), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			_, _ = w.Write(p.b)
		}
		_ = w.Close()
	}()
	return &delayedConn{raw, r}
}

type delayedConn struct {
	net.Conn
	r *io.PipeReader
}

func (c *delayedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

func (c *delayedConn) Close() error {
	_ = c.r.Close()
	return c.Conn.Close()
}

// TestExecDial: the ways to fail before a command, and those that hold the connection.
func TestExecDial(t *testing.T) {
	if _, err := DialExec(t.Context(), Options{}); failureOf(t, err).Kind != transport.Protocol {
		t.Errorf("no options: %v", err)
	}
	srv := serve(t, nil)
	o := optionsFor(t, srv)
	o.Profile = nil
	o.Auth.Password = secret("wrong")
	if _, err := DialExec(t.Context(), o); failureOf(t, err).Kind != transport.Auth {
		t.Errorf("wrong password: %v", err)
	}
	jump := serve(t, nil)
	o = optionsFor(t, srv)
	o.Jumps = []Endpoint{endpoint(t, jump)}
	srv.exec = func(sh *testShell, command string) (uint32, bool) {
		_, _ = io.WriteString(sh.ch, command)
		return 0, false
	}
	e := dialExec(t, o)
	if got, err := e.Run(t.Context(), "by a jump host"); err != nil || got.Stdout != "by a jump host" {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Run(ctx, "x"); failureOf(t, err) != (failure{Kind: transport.Canceled}) {
		t.Errorf("ctx ended before: %v", err)
	}
}
