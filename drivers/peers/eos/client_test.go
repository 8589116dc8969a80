package eos_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// The client of these tests is golang.org/x/crypto/ssh and nothing of the
// project, so that no driver's idea of EOS can hide a mistake of the peer's.

const wait = 10 * time.Second

// promptAt matches a prompt at the end of what was received.
var promptAt = regexp.MustCompile(`(?:^|[\n\r])([\w.-]+(?:\(config[^)\n]*\))?[>#])$`)

type client struct {
	t    testing.TB
	conn *ssh.Client
	in   io.WriteCloser

	mu   sync.Mutex
	buf  bytes.Buffer
	eof  bool
	cond *sync.Cond
}

func dial(t testing.TB, addr, user, password string) (*ssh.Client, error) {
	t.Helper()
	return ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the peer of a test on loopback
		Timeout:         wait,
	})
}

// login opens a shell with a pty and waits for the prompt.
func login(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := dial(t, addr, "admin", "admin")
	if err != nil {
		t.Fatal(err)
	}
	c := shell(t, conn, 0)
	c.prompt()
	return c
}

// shell opens a shell; rows 0 means a terminal of unknown size.
func shell(t testing.TB, conn *ssh.Client, rows int) *client {
	t.Helper()
	s, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("vt100", rows, 80*min(rows, 1), ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn}
	c.cond = sync.NewCond(&c.mu)
	if c.in, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			c.mu.Lock()
			c.buf.Write(b[:n])
			c.eof = c.eof || err != nil
			c.cond.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		c.t.Fatalf("send %q: %v", text, err)
	}
}

// until waits for a pattern at the end of what came and takes it all.
func (c *client) until(re *regexp.Regexp) string {
	c.t.Helper()
	limit := time.AfterFunc(wait, func() { c.mu.Lock(); c.eof = true; c.cond.Broadcast(); c.mu.Unlock() })
	defer limit.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !re.Match(c.buf.Bytes()) {
		if c.eof {
			c.t.Fatalf("no %s in %q", re, c.buf.String())
		}
		c.cond.Wait()
	}
	s := c.buf.String()
	c.buf.Reset()
	return s
}

func (c *client) prompt() string {
	c.t.Helper()
	return promptAt.FindStringSubmatch(c.until(promptAt))[1]
}

// run types a line and returns its answer and the prompt after it. The echo is
// checked and taken away, and line ends are made "\n".
func (c *client) run(line string) (out, prompt string) {
	c.t.Helper()
	c.send(line + "\n")
	all := c.until(promptAt)
	prompt = promptAt.FindStringSubmatch(all)[1]
	if !strings.HasPrefix(all, line+"\r\n") {
		c.t.Fatalf("no echo of %q in %q", line, all)
	}
	out = strings.TrimSuffix(strings.TrimPrefix(all, line+"\r\n"), prompt)
	return strings.ReplaceAll(out, "\r\n", "\n"), prompt
}

// ok runs lines that must answer nothing and returns the last prompt.
func (c *client) ok(lines ...string) (prompt string) {
	c.t.Helper()
	for _, l := range lines {
		var out string
		if out, prompt = c.run(l); out != "" {
			c.t.Fatalf("%q answered %q", l, out)
		}
	}
	return prompt
}

// out is run without the prompt.
func (c *client) out(line string) string {
	c.t.Helper()
	out, _ := c.run(line)
	return out
}

// ended waits for the end of the shell.
func (c *client) ended() {
	c.t.Helper()
	limit := time.AfterFunc(wait, func() { c.mu.Lock(); c.cond.Broadcast(); c.mu.Unlock() })
	defer limit.Stop()
	begun := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.eof {
		if time.Since(begun) > wait {
			c.t.Fatalf("the shell is still there: %q", c.buf.String())
		}
		c.cond.Wait()
	}
}

// dead waits for the connection to end.
func (c *client) dead() {
	c.t.Helper()
	done := make(chan struct{})
	go func() { _ = c.conn.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(wait):
		c.t.Fatal("the connection is still there")
	}
}

// lab is a switch with hosts on its ports.
type lab struct {
	fab    *fabric.Fabric
	device *eos.Device
	addr   string
}

const ports = 8

// newLab has a switch leaf1 with Ethernet1 to 8 and a host hN at each port.
func newLab(t testing.TB, change func(*eos.Options)) *lab {
	t.Helper()
	l := &lab{fab: fabric.New()}
	sw, err := l.fab.AddSwitch("leaf1")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= ports; i++ {
		port, host := fmt.Sprintf("Ethernet%d", i), fmt.Sprintf("h%d", i)
		h, err := l.fab.AddHost(host)
		must(t, err)
		must(t, h.AddPort("eth1"))
		must(t, sw.AddPort(port))
		must(t, l.fab.Connect(fabric.Link{A: fabric.End{Node: "leaf1", Port: port}, B: fabric.End{Node: host, Port: "eth1"}}))
	}
	o := eos.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15}
	if change != nil {
		change(&o)
	}
	if l.device, err = eos.New(o); err != nil {
		t.Fatal(err)
	}
	l.addr = serve(t, l.device)
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t testing.TB, d *eos.Device) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		d.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}
