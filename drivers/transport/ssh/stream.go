package ssh

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/scrapli/scrapligo/channel"
	"github.com/scrapli/scrapligo/driver/options"
	"github.com/scrapli/scrapligo/logging"
	"github.com/scrapli/scrapligo/transport"
)

// maxPending bounds the bytes of a device that wait to be looked at, and so the
// largest answer.
const maxPending = 64 << 20

// stream is the shell of a device: scrapligo's channel, whose reads are made by
// its own goroutine, and a signal for each that brought something.
type stream struct {
	ch   *channel.Channel
	pipe *pipe
	wake chan struct{}
}

// newStream reads shell until it ends. The caller ends it by closing what is
// below and then calls close.
func newStream(host string, shell io.ReadWriter) (*stream, error) {
	s := &stream{
		pipe: &pipe{shell: shell, buf: make([]byte, 4<<10), lost: make(chan struct{})},
		wake: make(chan struct{}, 1),
	}
	log, err := logging.NewInstance() // without a logger: silent
	if err != nil {
		return nil, err
	}
	t, err := transport.NewTransport(log, host, transport.StandardTransport, options.WithCustomTransport(s.pipe))
	if err != nil {
		return nil, err
	}
	s.ch, err = channel.NewChannel(log, t)
	if err != nil {
		return nil, err
	}
	s.ch.AuthBypass = true // SSH has seen to it
	s.ch.ChannelLog = waker(s.wake)
	return s, s.ch.Open()
}

// take gives all that arrived. It does not wait. The channel's own Read is not
// used: once the connection is lost it no longer gives what came before.
func (s *stream) take() []byte {
	b := s.ch.Q.DequeueAll()
	s.pipe.pending.Add(-int64(len(b)))
	return b
}

// close waits for the channel's reader.
func (s *stream) close() {
	<-s.pipe.lost
	_ = s.ch.Close()
}

// waker makes the channel's log, which is written after its queue is filled, a
// signal.
type waker chan struct{}

func (w waker) Write(b []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(b), nil
}

// pipe is the transport below scrapligo's channel.
type pipe struct {
	shell   io.ReadWriter
	buf     []byte
	screen  screen
	pending atomic.Int64
	lost    chan struct{} // closed when no more will arrive
	err     error         // why; to be read after lost
}

var _ transport.Implementation = (*pipe)(nil)

func (p *pipe) Open(*transport.Args) error { return nil }
func (p *pipe) Close() error               { return nil } // Conn.Close has closed it

// IsAlive reports whether more may arrive.
func (p *pipe) IsAlive() bool {
	select {
	case <-p.lost:
		return false
	default:
		return true
	}
}

// Read gives cleaned text, see screen. The end of the shell, however it came, is
// io.EOF to scrapligo: it would try other errors again.
func (p *pipe) Read(int) ([]byte, error) {
	n, err := p.shell.Read(p.buf)
	if n > 0 {
		out := p.screen.clean(nil, p.buf[:n])
		if n == len(p.buf) && n < 32<<10 {
			p.buf = make([]byte, 32<<10) // a long answer: larger and fewer pieces
		}
		if p.pending.Add(int64(len(out))) <= maxPending {
			return out, nil
		}
		err = fmt.Errorf("the device sent more than %d MB at once", maxPending>>20)
	}
	if err == nil {
		return nil, nil
	}
	p.err = err
	close(p.lost)
	return nil, io.EOF
}

// Write types b.
func (p *pipe) Write(b []byte) error {
	_, err := p.shell.Write(b)
	return err
}
