package iosxe_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
)

// The client of these tests is golang.org/x/crypto/ssh and nothing of the project, so
// that no driver's idea of IOS can hide a mistake of the peer's.

const wait = 10 * time.Second

var promptAt = regexp.MustCompile(`(?:^|\n)([\w.-]+(?:\([\w-]+\))?[>#])$`)

// term is a shell with a terminal. What comes is read by one goroutine.
type term struct {
	t      testing.TB
	in     io.Writer
	chunks chan string // closed when the shell has ended
	have   string
}

func dial(t testing.TB, addr, password string) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: "admin", Auth: []ssh.AuthMethod{ssh.Password(password)}, Timeout: wait,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the peer of a test on loopback
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// open opens a shell and reads nothing of it.
func open(t testing.TB, addr string) *term {
	t.Helper()
	s, err := dial(t, addr, "admin").NewSession()
	must(t, err)
	must(t, s.RequestPty("vt100", 24, 80, ssh.TerminalModes{}))
	in, err := s.StdinPipe()
	must(t, err)
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Shell())
	c := &term{t: t, in: in, chunks: make(chan string, 1024)}
	go func() {
		defer close(c.chunks)
		r := bufio.NewReader(out)
		for {
			b := make([]byte, 4096)
			n, err := r.Read(b)
			if n > 0 {
				c.chunks <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// login opens a shell that does not page.
func login(t testing.TB, addr string) *term {
	t.Helper()
	c := open(t, addr)
	c.until(promptAt)
	c.run("terminal length 0")
	return c
}

// until returns what came up to a match at its end, line ends made "\n".
func (c *term) until(re *regexp.Regexp) string {
	c.t.Helper()
	limit := time.After(wait)
	for !re.MatchString(c.have) {
		select {
		case s, ok := <-c.chunks:
			if !ok {
				c.t.Fatalf("the shell ended with %q", c.have)
			}
			c.have += strings.ReplaceAll(s, "\r\n", "\n")
		case <-limit:
			c.t.Fatalf("no %s in %q", re, c.have)
		}
	}
	s := c.have
	c.have = ""
	return s
}

func (c *term) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.in, text)
	must(c.t, err)
}

// run types a line and returns the answer and the prompt behind it.
func (c *term) run(line string) (out, prompt string) {
	c.t.Helper()
	c.send(line + "\n")
	all := c.until(promptAt)
	prompt = promptAt.FindStringSubmatch(all)[1]
	rest, ok := strings.CutPrefix(all, line+"\n")
	if !ok {
		c.t.Fatalf("no echo of %q in %q", line, all)
	}
	return strings.TrimSuffix(rest, prompt), prompt
}

// ok runs lines that must answer nothing and returns the last prompt.
func (c *term) ok(lines ...string) (prompt string) {
	c.t.Helper()
	for _, l := range lines {
		var out string
		if out, prompt = c.run(l); out != "" {
			c.t.Fatalf("%q answered %q", l, out)
		}
	}
	return prompt
}

func (c *term) out(line string) string {
	c.t.Helper()
	out, _ := c.run(line)
	return out
}

// config enters configuration mode.
func (c *term) config() *term {
	c.t.Helper()
	if out := c.out("configure terminal"); out != "Enter configuration commands, one per line.  End with CNTL/Z.\n" {
		c.t.Fatalf("configure terminal: %q", out)
	}
	return c
}

// lab is a switch sw1 with GigabitEthernet1/0/1 to 8 and a host hN at each port.
type lab struct {
	fab    *fabric.Fabric
	device *iosxe.Device
	addr   string
}

const ports = 8

func newLab(t testing.TB, change func(*iosxe.Options)) *lab {
	t.Helper()
	l := &lab{fab: fabric.New()}
	l.device, l.addr = l.addSwitch(t, "sw1", "h", change)
	return l
}

// addSwitch adds a switch with a host at each of its ports.
func (l *lab) addSwitch(t testing.TB, name, hosts string, change func(*iosxe.Options)) (*iosxe.Device, string) {
	t.Helper()
	sw, err := l.fab.AddSwitch(name)
	must(t, err)
	for i := 1; i <= ports; i++ {
		port, host := gi(i), fmt.Sprintf("%s%d", hosts, i)
		h, err := l.fab.AddHost(host)
		must(t, err)
		must(t, h.AddPort("eth1"))
		must(t, sw.AddPort(port))
		must(t, l.fab.Connect(fabric.Link{A: fabric.End{Node: name, Port: port}, B: fabric.End{Node: host, Port: "eth1"}}))
	}
	must(t, sw.AddPort("TenGigabitEthernet1/1/1"))
	o := iosxe.Options{Hostname: name, Switch: sw, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15}
	if change != nil {
		change(&o)
	}
	d, err := iosxe.New(o)
	must(t, err)
	return d, serve(t, d)
}

func serve(t testing.TB, d *iosxe.Device) string {
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

func gi(i int) string { return fmt.Sprintf("GigabitEthernet1/0/%d", i) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// udp is a frame of UDP over IPv4 to host dst from host src with n bytes of payload;
// vlan 0 means untagged.
func udp(dst, src byte, port uint16, vlan uint16, n int) []byte {
	f := []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src}
	if vlan != 0 {
		f = binary.BigEndian.AppendUint16(append(f, 0x81, 0x00), vlan)
	}
	f = append(f, 0x08, 0x00, 0x45, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(28+n))
	f = append(f, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst)
	f = binary.BigEndian.AppendUint16(f, 40000)
	f = binary.BigEndian.AppendUint16(f, port)
	f = binary.BigEndian.AppendUint16(f, uint16(8+n))
	return append(f, make([]byte, 2+n)...)
}

// send sends a frame from a host and returns how many frames every host received.
func (l *lab) send(t *testing.T, host string, frame []byte) map[string]int {
	t.Helper()
	for _, n := range l.fab.Nodes() {
		if h := l.fab.Host(n); h != nil {
			h.ResetCapture()
		}
	}
	must(t, l.fab.Host(host).Send("eth1", frame))
	got := map[string]int{}
	for _, n := range l.fab.Nodes() {
		if h := l.fab.Host(n); h != nil && len(h.Captured("eth1")) > 0 {
			got[n] = len(h.Captured("eth1"))
		}
	}
	return got
}

// learn lets the switch know where hosts 1 and 2 are.
func (l *lab) learn(t *testing.T) {
	t.Helper()
	l.send(t, "h1", udp(2, 1, 1, 0, 20))
	l.send(t, "h2", udp(1, 2, 1, 0, 20))
}

// comparers for values of other packages with hidden fields.
var comparers = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
