package hostmirror

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
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
	transportssh "github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
)

// localShell runs commands by a shell in a namespace, without a connection: for
// machines without an SSH server, and where the connection does not matter.
type localShell struct {
	ns  *kerneltest.NS
	env []string // instead of the test's own
	as  uint32   // user; 0 = root
	log []string
}

var _ transport.Runner = (*localShell)(nil)

func (l *localShell) Run(ctx context.Context, command string) (transport.Result, error) {
	l.log = append(l.log, command)
	var out, errOut strings.Builder
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errOut, l.env
	if l.as != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: l.as, Gid: l.as}}
	}
	cmd.WaitDelay = time.Second
	err := l.ns.Do(cmd.Run)
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return transport.Result{}, &transport.Error{Kind: transport.Canceled, InDoubt: true, Err: context.Cause(ctx)}
	case err != nil && !errors.As(err, &ended):
		return transport.Result{}, &transport.Error{Kind: transport.Unreachable, Err: err}
	}
	return transport.Result{Stdout: out.String(), Stderr: errOut.String(), Status: cmd.ProcessState.ExitCode()}, nil
}

func (l *localShell) Close() error { return nil }

// sshHost is OpenSSH's server on loopback, whose login's commands run in a namespace.
type sshHost struct {
	t       testing.TB
	dir     string
	options transportssh.Options
}

// startSSH starts the server. more are lines of its configuration.
func startSSH(t testing.TB, ns *kerneltest.NS, more ...string) *sshHost {
	t.Helper()
	sshd := "/usr/sbin/sshd"
	if p, err := exec.LookPath("sshd"); err == nil {
		sshd = p
	}
	_, err := os.Stat(sshd)
	_, enterErr := exec.LookPath("nsenter")
	require.Need(t, require.OpenSSH, err == nil && enterErr == nil, "a host that is reached by a server that is not ours")
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // what the service's start script makes
		t.Fatal(err)
	}
	h := &sshHost{t: t, dir: t.TempDir()}
	hostKey, _ := sshKey(t)
	userKey, userPub := sshKey(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // sshd takes the port over
	_, port, _ := net.SplitHostPort(addr)
	// A command goes into the namespace, is written down, and is kept waiting when it is
	// the one that the file "hang" is about.
	enter := h.write("enter", fmt.Sprintf(`#!/bin/sh
printf '%%s\n\036' "$SSH_ORIGINAL_COMMAND" >> %[1]s/log
if [ -e %[1]s/hang ]; then
	h=$(cat %[1]s/hang)
	case "$SSH_ORIGINAL_COMMAND" in *"$h"*) rm %[1]s/hang; exec sleep 30;; esac
fi
exec nsenter --net=/proc/%[2]d/fd/%[3]d /bin/sh -c "$SSH_ORIGINAL_COMMAND"
`, h.dir, os.Getpid(), ns.FD()), 0o755)
	config := append([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + h.write("host", hostKey, 0o600), "PidFile none",
		"AuthorizedKeysFile " + h.write("authorized_keys", string(ssh.MarshalAuthorizedKey(userPub)), 0o600),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes", "ForceCommand " + enter,
		"SetEnv SHLVL=3", // keeps bash from the start file of whoever runs the test
	}, more...)
	cmd := exec.Command(sshd, "-D", "-e", "-f", h.write("sshd_config", strings.Join(config, "\n")+"\n", 0o600))
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
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("sshd does not listen")
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := transportssh.NewHostKeys(transportssh.AcceptNew, filepath.Join(h.dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	h.options = transportssh.Options{
		Device: string(host), ConnectTimeout: 10 * time.Second, StepTimeout: 10 * time.Second,
		Endpoint: transportssh.Endpoint{
			Address: addr, User: me.Username, HostKeys: keys,
			Auth: transportssh.Auth{PrivateKey: func(context.Context) (string, error) { return userKey, nil }},
		},
	}
	return h
}

func (h *sshHost) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	p := filepath.Join(h.dir, name)
	if err := os.WriteFile(p, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// commands gives what the login's shell was given so far.
func (h *sshHost) commands() []string {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, "log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	list := strings.Split(string(b), "\n\x1e")
	return list[:len(list)-1]
}

// hang keeps the next command that holds text waiting.
func (h *sshHost) hang(text string) { h.write("hang", text, 0o644) }

func (h *sshHost) noHang() { _ = os.Remove(filepath.Join(h.dir, "hang")) }

func (h *sshHost) open(ctx context.Context, o Options) (*Mirror, error) {
	run, err := transportssh.DialExec(ctx, h.options)
	if err != nil {
		return nil, err
	}
	m, err := OpenRemote(ctx, o, run)
	if err != nil {
		_ = run.Close()
		return nil, err
	}
	return m, nil
}

func sshKey(t testing.TB) (private string, public ssh.PublicKey) {
	t.Helper()
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
