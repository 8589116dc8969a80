// Package openssh runs the system's OpenSSH server on loopback: a server that nobody
// here wrote, before whatever a test has to be reached by SSH. It needs no root; the
// one who may log in is the user who runs it.
package openssh

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// startTime bounds the start of the server.
const startTime = 20 * time.Second

// Missing says what is not there of OpenSSH; "" when all is.
func Missing() string {
	if sshd() == "" {
		return "no sshd (Debian: openssh-server)"
	}
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		return "no ssh-keygen (Debian: openssh-client)"
	}
	return ""
}

// sshd gives the path of the server, which it wants to be started by.
func sshd() string {
	if p, err := exec.LookPath("sshd"); err == nil {
		return p
	}
	const p = "/usr/sbin/sshd"
	if _, err := os.Stat(p); err == nil {
		return p
	}
	return ""
}

// Server is a running server.
type Server struct {
	Address string // 127.0.0.1:PORT
	User    string // who may log in
	KeyFile string // the private key with which
	HostKey string // of the server, as a line of authorized_keys

	cmd *exec.Cmd
	mu  sync.Mutex
	log strings.Builder
}

// Start starts a server that keeps its files in dir. A login runs command whatever it
// asks for, which command finds in $SSH_ORIGINAL_COMMAND.
func Start(dir, command string) (*Server, error) {
	if why := Missing(); why != "" {
		return nil, fmt.Errorf("OpenSSH cannot be run: %s", why)
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if me.Uid == "0" { // what the service's start script makes
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path(name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	hostKey, err := os.ReadFile(path("host.pub"))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Address: l.Addr().String(), User: me.Username, KeyFile: path("user"), HostKey: strings.TrimSpace(string(hostKey))}
	_ = l.Close() // sshd takes the port over
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	conf := strings.Join([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + path("host"), "PidFile none", "AuthorizedKeysFile " + path("user.pub"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
		"SetEnv HOME=" + dir, // keeps the user's own start files out of it
		"ForceCommand " + command, "",
	}, "\n")
	if err := os.WriteFile(path("sshd_config"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(sshd(), "-D", "-e", "-f", path("sshd_config"))
	s.cmd.Stderr = s
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.Address); err == nil {
			_ = c.Close()
			return s, nil
		}
		if time.Now().After(end) {
			s.Close()
			return nil, fmt.Errorf("sshd does not listen:\n%s", s.Log())
		}
	}
}

// Write takes what the server logs.
func (s *Server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

// Log gives what the server has logged.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Close ends the server. Logins that are there go on.
func (s *Server) Close() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
