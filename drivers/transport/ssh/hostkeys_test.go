package ssh

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

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
