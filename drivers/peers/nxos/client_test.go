package nxos_test

import (
	"bytes"
	"context"
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
	"github.com/spanctl/spanctl/drivers/peers/nxos"
)

// The client is golang.org/x/crypto/ssh and nothing of the project, so that no driver's
// idea of NX-OS can hide a mistake of the peer's.

var promptAt = regexp.MustCompile(`(?:^|\n)\r([\w.-]+(?:\([\w-]+\))?# )$`)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// term is a shell with a terminal.
type term struct {
	t   testing.TB
	in  io.Writer
	out chan string
}

func open(t testing.TB, d *nxos.Device) *term {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		d.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c, err := ssh.Dial("tcp", ln.Addr().String(), &ssh.ClientConfig{
		User: "admin", Auth: []ssh.AuthMethod{ssh.Password("admin")}, Timeout: 10 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the peer of a test on loopback
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	s, err := c.NewSession()
	must(t, err)
	must(t, s.RequestPty("vt100", 24, 80, ssh.TerminalModes{}))
	in, err := s.StdinPipe()
	must(t, err)
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Shell())
	x := &term{t: t, in: in, out: make(chan string, 1024)}
	go func() {
		defer close(x.out)
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			x.out <- string(b[:n])
			if err != nil {
				return
			}
		}
	}()
	return x
}

func login(t testing.TB, d *nxos.Device) *term {
	t.Helper()
	x := open(t, d)
	x.until(promptAt)
	x.ok("terminal length 0")
	return x
}

// until returns what came up to a match at its end, line ends made "\n".
func (x *term) until(re *regexp.Regexp) string {
	x.t.Helper()
	have := ""
	limit := time.After(10 * time.Second)
	for !re.MatchString(have) {
		select {
		case s, ok := <-x.out:
			if !ok {
				x.t.Fatalf("the shell ended with %q", have)
			}
			have = strings.ReplaceAll(have+s, "\r\n", "\n")
		case <-limit:
			x.t.Fatalf("no %s in %q", re, have)
		}
	}
	return have
}

// run types a line and returns the answer and the prompt behind it.
func (x *term) run(line string) (out, prompt string) {
	x.t.Helper()
	_, err := io.WriteString(x.in, line+"\n")
	must(x.t, err)
	all := x.until(promptAt)
	prompt = promptAt.FindStringSubmatch(all)[1]
	rest, ok := strings.CutPrefix(all, line+"\n")
	if !ok {
		x.t.Fatalf("no echo of %q in %q", line, all)
	}
	return strings.TrimSuffix(rest, "\r"+prompt), prompt
}

// ok runs lines that must answer nothing and returns the last prompt.
func (x *term) ok(lines ...string) (prompt string) {
	x.t.Helper()
	for _, l := range lines {
		var out string
		if out, prompt = x.run(l); out != "" {
			x.t.Fatalf("%q answered %q", l, out)
		}
	}
	return prompt
}

func (x *term) text(line string) string { x.t.Helper(); out, _ := x.run(line); return out }

func (x *term) config() *term {
	x.t.Helper()
	if out := x.text("configure terminal"); out != "Enter configuration commands, one per line. End with CNTL/Z.\n" {
		x.t.Fatalf("configure terminal: %q", out)
	}
	return x
}

// lab is a switch with Ethernet1/1 to 8 and a host hN at each.
type lab struct {
	fab    *fabric.Fabric
	device *nxos.Device
}

func eth(i int) string { return fmt.Sprintf("Ethernet1/%d", i) }

func newLab(t testing.TB, startup string, edits ...func(*nxos.Options)) *lab {
	t.Helper()
	l := &lab{fab: fabric.New()}
	sw, err := l.fab.AddSwitch("n9k")
	must(t, err)
	for i := 1; i <= 8; i++ {
		h, err := l.fab.AddHost(fmt.Sprintf("h%d", i))
		must(t, err)
		prefix := netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i))
		must(t, h.AddPort("eth1", prefix))
		must(t, sw.AddPort(eth(i)))
		must(t, l.fab.Connect(fabric.Link{A: fabric.End{Node: "n9k", Port: eth(i)}, B: fabric.End{Node: fmt.Sprintf("h%d", i), Port: "eth1"}}))
	}
	o := nxos.Options{Hostname: "n9k", Switch: sw, Users: map[string]string{"admin": "admin"}, StartupConfig: startup}
	for _, e := range edits {
		e(&o)
	}
	l.device, err = nxos.New(o)
	must(t, err)
	return l
}

// udp is a frame from host src to host dst; vlan 0 means untagged.
func udp(dst, src byte, port byte, vlan byte, n int) []byte {
	f := []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src}
	if vlan != 0 {
		f = append(f, 0x81, 0, 0, vlan)
	}
	total := 28 + n
	f = append(f, 8, 0, 0x45, 0, byte(total>>8), byte(total), 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst)
	return append(append(f, 0x9c, 0x40, 0, port, byte((8+n)>>8), byte(8+n)), make([]byte, 2+n)...)
}

// copies sends a frame from a host and returns what another one got.
func (l *lab) copies(t testing.TB, from, at string, frame []byte) [][]byte {
	t.Helper()
	h := l.fab.Host(at)
	h.ResetCapture()
	must(t, l.fab.Host(from).Send("eth1", frame))
	var out [][]byte
	for _, c := range h.Captured("eth1") {
		out = append(out, bytes.Clone(c.Frame))
	}
	return out
}

var comparers = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
