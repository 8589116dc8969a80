package sshd

import (
	"io"
	"net"
	"sync"
	"time"
)

// latencyConn delivers each chunk that arrived a fixed time after its arrival.
// Chunks that arrive together are delivered together: the delay is that of a
// path, not of a slow device.
type latencyConn struct {
	net.Conn
	delay time.Duration

	chunks chan chunk
	rest   []byte
	done   chan struct{}
	once   sync.Once
}

type chunk struct {
	due  time.Time
	data []byte
	err  error
}

func withLatency(c net.Conn, d time.Duration) *latencyConn {
	// 64 chunks in flight are far beyond what a CLI session sends in one
	// round trip; a fuller path makes the sender wait, as a window does.
	l := &latencyConn{Conn: c, delay: d, chunks: make(chan chunk, 64), done: make(chan struct{})}
	go l.pump()
	return l
}

func (l *latencyConn) pump() {
	buf := make([]byte, 4096)
	for {
		n, err := l.Conn.Read(buf)
		c := chunk{due: time.Now().Add(l.delay), err: err}
		if n > 0 {
			c.data = append([]byte(nil), buf[:n]...)
		}
		select {
		case l.chunks <- c:
		case <-l.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read returns what is due. It is used by one reader, as the SSH transport is.
func (l *latencyConn) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		select {
		case c := <-l.chunks:
			if err := l.wait(c.due); err != nil {
				return 0, err
			}
			if c.err != nil {
				// What came with the error was lost with the connection.
				l.chunks <- chunk{err: c.err}
				return 0, c.err
			}
			l.rest = c.data
		case <-l.done:
			return 0, net.ErrClosed
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *latencyConn) wait(due time.Time) error {
	d := time.Until(due)
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *latencyConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Conn.Close()
}

var _ io.ReadWriteCloser = (*latencyConn)(nil)
