package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
)

// openSSH starts OpenSSH's server on loopback with bash as the shell, and gives
// options that reach it.
func openSSH(t *testing.T) Options {
	t.Helper()
	rc := filepath.Join(t.TempDir(), "rc")
	if err := os.WriteFile(rc, []byte("PS1='admin@sonic:~$ '\nbind 'set enable-bracketed-paste on'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startSSHD(t, "ForceCommand /bin/bash --noprofile --rcfile "+rc+" -i")
}

// startSSHD starts OpenSSH's server on loopback with more lines of configuration.
func startSSHD(t testing.TB, more ...string) Options {
	t.Helper()
	sshd := "/usr/sbin/sshd"
	if p, err := exec.LookPath("sshd"); err == nil {
		sshd = p
	}
	_, err := os.Stat(sshd)
	require.Need(t, require.OpenSSH, err == nil, "the transport against a server that is not ours")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // what the service's start script makes
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key := func() (private string, public ssh.PublicKey) {
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ssh.MarshalPrivateKey(priv, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := ssh.NewPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(b)), p
	}
	hostKey, _ := key()
	userKey, userPub := key()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // sshd takes the port over
	_, port, _ := net.SplitHostPort(addr)
	conf := write("sshd_config", strings.Join(append([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + write("host", hostKey), "PidFile none",
		"AuthorizedKeysFile " + write("authorized_keys", string(ssh.MarshalAuthorizedKey(userPub))),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
	}, append(more, "")...), "\n"))
	cmd := exec.Command(sshd, "-D", "-e", "-f", conf)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("sshd does not listen")
		}
	}
	return Options{
		Device: "sonic", ConnectTimeout: 10 * time.Second, StepTimeout: 5 * time.Second,
		Endpoint: Endpoint{
			Address: addr, User: me.Username, Auth: Auth{PrivateKey: secret(userKey)},
			HostKeys: hostKeys(t, AcceptNew, filepath.Join(dir, "known_hosts")),
		},
		Profile: &transport.Profile{
			Name:   "bash",
			Prompt: regexp.MustCompile(`^(?P<host>[\w.\-]+@[\w.\-]+):\S*[$#] $`),
			Open:   []string{"export PAGER=cat"},
			Questions: []transport.Question{
				{Pattern: regexp.MustCompile(`\[y/N\] $`), Refuse: "n"},
			},
			Marker: "   ", EarlyInput: true,
		},
	}
}

// TestOpenSSH drives bash behind OpenSSH: a real terminal, a real line editor.
func TestOpenSSH(t *testing.T) {
	o := openSSH(t)
	for _, tt := range []struct {
		name        string
		early, each bool
	}{{"early input", true, false}, {"after the prompt", false, false}, {"one at a time", false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			p := *o.Profile
			p.EarlyInput, p.OneAtATime = tt.early, tt.each
			o := o
			o.Profile = &p
			c := dial(t, o)
			rs := reqs("echo one; echo 'admin@sonic:~$ '; sleep 0.2; echo two", "seq 100000 | tail -n 20000", "echo $COLUMNS",
				"printf '\\033[1mbold\\033[0m\\rB\\n'", "echo "+strings.Repeat("long ", 80))
			for range 2 {
				got, err := c.Read(t.Context(), rs)
				if err != nil {
					t.Fatal(err)
				}
				var seq strings.Builder
				for i := 80001; i <= 100000; i++ {
					fmt.Fprintln(&seq, i)
				}
				want := []string{"one\nadmin@sonic:~$ \ntwo", strings.TrimSpace(seq.String()), "511", "Bold", strings.TrimSpace(strings.Repeat("long ", 80))}
				if d := cmp.Diff(want, texts(got)); d != "" {
					t.Errorf("(-want +got):\n%.3000s", d)
				}
			}
			file := filepath.Join(t.TempDir(), "live")
			steps := []transport.Step{
				{Phase: transport.Edit, Text: "echo 1 >> " + file},
				{Phase: transport.Edit, Text: "read -p 'Really? [y/N] ' x && echo $x >> " + file},
				{Phase: transport.Edit, Text: "echo 3 >> " + file},
			}
			err := c.Send(t.Context(), steps)
			want := failure{Kind: transport.Rejected, Step: steps[1].Text, Reply: "Really? [y/N]", Sent: 1}
			if d := cmp.Diff(want, failureOf(t, err)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != "1\nn\n" {
				t.Errorf("%q, %v", b, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := c.Read(ctx, reqs("sleep 60")); !errors.Is(err, context.DeadlineExceeded) || failureOf(t, err).Kind != transport.Canceled {
				t.Errorf("got %v", err)
			}
		})
	}
}
