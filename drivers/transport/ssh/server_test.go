package ssh

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/spanctl/spanctl/drivers/transport"
)

// testServer is an SSH server whose shell is a function. It also forwards TCP
// connections, as a jump host does.
type testServer struct {
	addr    string
	key     ssh.Signer
	handler func(sh *testShell)
	// exec runs a command and gives its status, or true for none to tell. Nil
	// refuses commands.
	exec func(sh *testShell, command string) (status uint32, silent bool)
	// oneAtATime refuses a second session while there is one.
	oneAtATime bool

	mu     sync.Mutex
	open   int      // sessions
	logins []string // "method user" of each try
	typed  []string // lines, over all shells
	conns  []net.Conn
}

// testShell is one shell on the server.
type testShell struct {
	t    testing.TB
	srv  *testServer
	ch   ssh.Channel
	raw  net.Conn
	in   *bufio.Reader
	cols uint32
}

type serverOption func(*testServer, *ssh.ServerConfig)

func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rsaKey(t testing.TB) ssh.Signer {
	t.Helper()
	priv, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts a server on loopback, which ends with the test.
func serve(t testing.TB, handler func(*testShell), opts ...serverOption) *testServer {
	t.Helper()
	s := &testServer{key: newKey(t), handler: handler}
	cfg := &ssh.ServerConfig{
		PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			s.note("password " + c.User())
			if c.User() != "admin" || string(p) != "right" {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, nil
		},
	}
	for _, o := range opts {
		o(s, cfg)
	}
	cfg.AddHostKey(s.key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			wg.Add(1)
			go func() { defer wg.Done(); s.conn(t, c, cfg, &wg) }()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *testServer) note(login string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins = append(s.logins, login)
}

// lines gives what was typed so far.
func (s *testServer) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.typed...)
}

func (s *testServer) conn(t testing.TB, raw net.Conn, cfg *ssh.ServerConfig, wg *sync.WaitGroup) {
	defer raw.Close()
	conn, chans, reqs, err := ssh.NewServerConn(raw, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		switch nc.ChannelType() {
		case "direct-tcpip":
			var to struct {
				Host  string
				Port  uint32
				Host2 string
				Port2 uint32
			}
			_ = ssh.Unmarshal(nc.ExtraData(), &to)
			out, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
			if err != nil {
				_ = nc.Reject(ssh.ConnectionFailed, err.Error())
				continue
			}
			ch, reqs, err := nc.Accept()
			if err != nil {
				_ = out.Close()
				return
			}
			go ssh.DiscardRequests(reqs)
			wg.Add(2)
			go func() { defer wg.Done(); _, _ = io.Copy(ch, out); _ = ch.Close() }()
			go func() { defer wg.Done(); _, _ = io.Copy(out, ch); _ = out.Close() }()
		case "session":
			s.mu.Lock()
			full := s.oneAtATime && s.open > 0
			if !full {
				s.open++
			}
			s.mu.Unlock()
			if full {
				_ = nc.Reject(ssh.Prohibited, "one at a time")
				continue
			}
			ch, reqs, err := nc.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer func() { s.mu.Lock(); s.open--; s.mu.Unlock() }()
				sh := &testShell{t: t, srv: s, ch: ch, raw: raw, in: bufio.NewReaderSize(ch, 64<<10)}
				for r := range reqs {
					switch r.Type {
					case "pty-req":
						var p struct {
							Term                string
							Cols, Rows, Wpx, Hp uint32
							Modes               string
						}
						_ = ssh.Unmarshal(r.Payload, &p)
						sh.cols = p.Cols
					case "exec":
						if s.exec == nil {
							_ = r.Reply(false, nil)
							continue
						}
						var p struct{ Command string }
						_ = ssh.Unmarshal(r.Payload, &p)
						_ = r.Reply(true, nil)
						wg.Add(1)
						go func() {
							defer wg.Done()
							if status, silent := s.exec(sh, p.Command); !silent {
								_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
							}
							_ = ch.Close()
						}()
						continue
					case "signal":
						s.note("signal")
					case "shell":
						if s.handler != nil {
							wg.Add(1)
							go func() { defer wg.Done(); s.handler(sh); _ = ch.Close() }()
						}
					}
					if r.WantReply {
						_ = r.Reply(true, nil)
					}
				}
			}()
		default:
			_ = nc.Reject(ssh.UnknownChannelType, "")
		}
	}
}

// print writes text with the line ends of a terminal.
func (sh *testShell) print(text string) {
	_, _ = io.WriteString(sh.ch, strings.ReplaceAll(text, "\n", "\r\n"))
}

// read reads a line that ends with CR or LF, with echo. ok is false at the end.
func (sh *testShell) read(echo bool) (line string, ok bool) {
	var b []byte
	for {
		c, err := sh.in.ReadByte()
		if err != nil {
			return "", false
		}
		switch c {
		case '\r', '\n':
			sh.print("\n")
			sh.srv.mu.Lock()
			sh.srv.typed = append(sh.srv.typed, string(b))
			sh.srv.mu.Unlock()
			return string(b), true
		case 3:
			sh.print("^C\n")
			return "\x03", true
		default:
			b = append(b, c)
			if echo {
				_, _ = sh.ch.Write([]byte{c})
			}
		}
	}
}

// switchCLI is a small command line: configuration sessions, show commands, and
// errors for the rest.
type switchCLI struct {
	host   string
	banner string
	// say overrides the answer to a line. It may print by itself and give "".
	say map[string]func(sh *testShell, c *switchCLI) string
	// mode is "" or what stands in the prompt's parentheses.
	mode string
	mark string // "#" or ">"
}

func (c switchCLI) serve(sh *testShell) {
	if c.mark == "" {
		c.mark = "#"
	}
	sh.print(c.banner)
	for {
		sh.print(c.prompt())
		line, ok := sh.read(true)
		if !ok || line == "exit" {
			return
		}
		if f := c.say[line]; f != nil {
			sh.print(f(sh, &c))
			continue
		}
		sh.print(c.answer(line))
	}
}

func (c *switchCLI) prompt() string {
	if c.mode != "" {
		return c.host + "(" + c.mode + ")" + c.mark
	}
	return c.host + c.mark
}

func (c *switchCLI) answer(line string) string {
	line = strings.TrimSpace(line)
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || word == "terminal":
		return ""
	case word == "enable":
		c.mark = "#"
		return ""
	case strings.HasPrefix(line, "show version"):
		return "Version 4.30\nUptime: 3 days\n"
	case word == "show" && c.mark == "#":
		return "you asked for " + rest + "\n"
	case strings.HasPrefix(line, "configure") && c.mark == "#":
		c.mode = "config"
		if _, name, ok := strings.Cut(line, "session "); ok {
			c.mode = "config-s-" + name
		}
		return ""
	case line == "end" || line == "commit" || line == "abort":
		c.mode = ""
		return ""
	case c.mode != "" && (word == "monitor" || word == "no"):
		return ""
	}
	return "% Invalid input\n"
}

// compiled fits switchCLI.
var compiled = transport.Profile{
	Name:      "test",
	Prompt:    regexp.MustCompile(`^(?P<host>[\w.\-#>]{1,63}?)(\([\w\-/:.]{1,63}\))?[>#]\s?$`),
	Exec:      regexp.MustCompile(`^[\w.\-#>]{1,63}#\s?$`),
	Open:      []string{"terminal length 0", "terminal width 32767"},
	Home:      "end",
	Privilege: &transport.Privilege{Unprivileged: regexp.MustCompile(`^[\w.\-#]{1,63}>\s?$`), Command: "enable", Question: regexp.MustCompile(`^Password:\s?$`)},
	Refused:   []*regexp.Regexp{regexp.MustCompile(`^% `)},
	Busy:      []*regexp.Regexp{regexp.MustCompile(`locked by`)},
	Async:     regexp.MustCompile(`^\*?\w{3} [ \d]\d \d\d:\d\d:\d\d.*%[A-Z0-9_]+-\d-`),
	Pager:     regexp.MustCompile(`^ ?--More--\s?$`),
	Questions: []transport.Question{
		{Pattern: regexp.MustCompile(`\[(y/n|confirm|yes/no)\]:?\s?$`), Refuse: "n"},
	},
	Marker: "   ", Hot: "?", EarlyInput: true, Columns: 32767,
}

// testProfile gives a copy of compiled, to change.
func testProfile() *transport.Profile {
	p := compiled
	return &p
}

func secret(s string) Secret {
	return func(context.Context) (string, error) { return s, nil }
}

// optionsFor reach srv with the right password and its key known.
func optionsFor(t testing.TB, srv *testServer) Options {
	t.Helper()
	return Options{
		Device: "leaf1", Profile: testProfile(), Endpoint: endpoint(t, srv),
		ConnectTimeout: 5 * time.Second, StepTimeout: 5 * time.Second,
	}
}

func endpoint(t testing.TB, srv *testServer) Endpoint {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := appendLine(file, knownhosts.Line([]string{knownhosts.Normalize(srv.addr)}, srv.key.PublicKey())); err != nil {
		t.Fatal(err)
	}
	keys, err := NewHostKeys(Strict, file)
	if err != nil {
		t.Fatal(err)
	}
	return Endpoint{Address: srv.addr, User: "admin", Auth: Auth{Password: secret("right")}, HostKeys: keys}
}

func dial(t testing.TB, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
