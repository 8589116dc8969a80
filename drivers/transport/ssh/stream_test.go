package ssh

import (
	"io"
	"strings"
	"testing"
)

// TestStreamKeepsLastWords: what came before the end is still there when the end
// is known.
func TestStreamKeepsLastWords(t *testing.T) {
	s, err := newStream("leaf1", struct {
		io.Reader
		io.Writer
	}{strings.NewReader("last\r\nwords"), io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	<-s.pipe.lost
	s.close()
	if got := string(s.take()); got != "last\nwords" {
		t.Errorf("got %q", got)
	}
}

// TestStreamBounds: a device that does not stop printing ends the connection.
func TestStreamBounds(t *testing.T) {
	s, err := newStream("leaf1", struct {
		io.Reader
		io.Writer
	}{endless{}, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	if s.pipe.err == nil || !strings.Contains(s.pipe.err.Error(), "64 MB") || s.pipe.IsAlive() {
		t.Errorf("got %v", s.pipe.err)
	}
	if n := len(s.take()); n > maxPending {
		t.Errorf("%d bytes kept", n)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = "flood\r\n"[i%7]
	}
	return len(b), nil
}
