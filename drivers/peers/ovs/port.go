package ovs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// batch is how many frames are on their way at once: a port of the switch keeps 100
// that nobody has read (lib/netdev-dummy.c, NETDEV_DUMMY_MAX_QUEUE).
const batch = 32

// port is one port of the switch, as its other end sees it.
type port struct {
	name string
	conn net.Conn
	done sync.WaitGroup

	mu   sync.Mutex
	sent uint64   // frames that went into the switch since it had counted base
	got  uint64   // frames that came out
	out  [][]byte // those that nobody has taken
	base counters
	err  error
}

// counters are what the switch has counted of a port.
type counters struct{ rx, tx uint64 }

// Frame is a frame that the switch sent.
type Frame struct {
	Port string
	Data []byte
}

// AddBridge makes a bridge that learns and forwards by itself.
func (s *Switch) AddBridge(name string) error {
	_, err := s.Vsctl("add-br", name, "--", "set", "Bridge", name, "datapath_type=dummy", "fail_mode=standalone")
	return err
}

// portMTU lets pass what the packet model lets pass.
const portMTU = 9300

// AddPorts gives a bridge ports. Their names have at most 15 bytes.
func (s *Switch) AddPorts(bridge string, names ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var args []string
	paths := make([]string, len(names))
	for i, n := range names {
		if s.ports[n] != nil || len(n) > 15 || n == "" {
			return fmt.Errorf("port %q: there already, or no name", n)
		}
		s.sock++
		paths[i] = filepath.Join(s.dir, fmt.Sprintf("p%d.sock", s.sock))
		args = append(args, "--", "add-port", bridge, n, "--", "set", "Interface", n, "type=dummy",
			fmt.Sprintf("mtu_request=%d", portMTU), "options:pstream=punix:"+paths[i])
	}
	if _, err := s.Vsctl(args...); err != nil {
		return err
	}
	for i, n := range names {
		c, err := net.Dial("unix", paths[i])
		if err != nil {
			return err
		}
		p := &port{name: n, conn: c}
		s.ports[n] = p
		s.order = append(s.order, n)
		p.done.Go(p.read)
	}
	// The switch accepts connections in its main loop, once a round.
	for range 3 {
		if _, err := s.ctl.call("version"); err != nil {
			return err
		}
	}
	now, err := s.counted()
	if err != nil {
		return err
	}
	for _, n := range names {
		s.ports[n].base = now[n]
	}
	return nil
}

// read takes frames from the switch until the connection ends. On the socket each has
// its length in front, two bytes.
func (p *port) read() {
	in := bufio.NewReaderSize(p.conn, 64<<10)
	for {
		var head [2]byte
		_, err := io.ReadFull(in, head[:])
		frame := make([]byte, binary.BigEndian.Uint16(head[:]))
		if err == nil {
			_, err = io.ReadFull(in, frame)
		}
		p.mu.Lock()
		if err != nil {
			p.err = err
			p.mu.Unlock()
			return
		}
		p.got++
		p.out = append(p.out, frame)
		p.mu.Unlock()
	}
}

func (p *port) close() {
	_ = p.conn.Close()
	p.done.Wait()
}

func (p *port) send(frame []byte) error {
	if len(frame) > 1<<16-1 {
		return fmt.Errorf("port %s: a frame of %d bytes", p.name, len(frame))
	}
	p.mu.Lock()
	p.sent++
	p.mu.Unlock()
	_, err := p.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(frame))), frame...))
	return err
}

// Exchange lets the switch receive frames on a port, in order, and gives all that it
// sent because of them: port by port in the order of their making, those of a port in
// the order in which they left. When it returns nothing is on its way.
func (s *Switch) Exchange(name string, frames ...[]byte) ([]Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.ports[name]
	if in == nil {
		return nil, fmt.Errorf("no port %q", name)
	}
	for i, f := range frames {
		if err := in.send(f); err != nil {
			return nil, err
		}
		if i%batch == batch-1 {
			if err := s.settle(); err != nil {
				return nil, err
			}
		}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	var out []Frame
	for _, n := range s.order {
		p := s.ports[n]
		p.mu.Lock()
		for _, f := range p.out {
			out = append(out, Frame{n, f})
		}
		p.out = nil
		p.mu.Unlock()
	}
	return out, nil
}

// settle waits until the switch has received all that was sent to it, and all that it
// has sent has come. What it makes of a frame it makes in the round in which it
// receives it.
func (s *Switch) settle() error {
	for end := time.Now().Add(settleTime); ; {
		now, err := s.counted()
		if err != nil {
			return err
		}
		left := ""
		for _, n := range s.order {
			p := s.ports[n]
			p.mu.Lock()
			err := p.err
			if now[n].rx-p.base.rx != p.sent || now[n].tx-p.base.tx != p.got {
				left = fmt.Sprintf("port %s: sent %d and received %d, the switch counted %+v since %+v", n, p.sent, p.got, now[n], p.base)
			}
			p.mu.Unlock()
			if err != nil {
				return fmt.Errorf("port %s: %w", n, err)
			}
		}
		switch {
		case left == "":
			return nil
		case time.Now().After(end):
			return errors.New("frames do not arrive: " + left)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

var (
	portLine    = regexp.MustCompile(`^\s+port \d+: (\S+)`)
	packetsLine = regexp.MustCompile(`^\s+(RX|TX) packets:(\d+) `)
)

// counted gives the counters of all ports.
func (s *Switch) counted() (map[string]counters, error) {
	text, err := s.ctl.call("dpctl/show", "-s", "dummy@ovs-dummy")
	if err != nil {
		return nil, err
	}
	out := make(map[string]counters)
	name := ""
	for line := range strings.Lines(text) {
		if m := portLine.FindStringSubmatch(line); m != nil {
			name = m[1]
			continue
		}
		m := packetsLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			return nil, err
		}
		c := out[name]
		if m[1] == "RX" {
			c.rx = n
		} else {
			c.tx = n
		}
		out[name] = c
	}
	return out, nil
}
