package ssh

import (
	"bytes"
	"unicode/utf8"
)

// cancel (ASCII CAN) in cleaned output means: the line so far is void, what
// follows is the line anew. A device cannot send it, since screen drops it.
const cancel = 0x18

// screen makes plain lines of what a device sends to a terminal. It carries out
// carriage return, backspace and the escape sequences that move within a line or
// erase parts of it, and drops all others. Its state survives any cut of the
// input. The zero value is an empty screen.
type screen struct {
	line  []byte // the current line as the terminal shows it
	at    int    // cursor, a byte offset in line, or beyond its end
	given int    // bytes of line that were given out
	void  bool   // what was given out of line is no longer true
	esc   escState
	param []byte // parameters of the sequence being read
}

type escState uint8

const (
	escNone     escState = iota
	escStart             // after ESC
	escCSI               // in ESC [ ...
	escString            // in ESC ] ... and others that end with BEL or ESC \
	escStringE           // ESC within such a string
	escCharset           // after ESC ( and the like: one more character
	maxEscParam = 32
)

// clean appends to dst what in shows and gives dst.
func (s *screen) clean(dst, in []byte) []byte {
	for len(in) > 0 {
		if s.esc == escNone && s.at == len(s.line) {
			if n := plainRun(in); n > 0 {
				s.line = append(s.line, in[:n]...)
				s.at += n
				in = in[n:]
				continue
			}
		}
		c := in[0]
		in = in[1:]
		if s.esc != escNone {
			s.escape(c)
			continue
		}
		switch {
		case c == '\n':
			dst = append(s.give(dst), '\n')
			s.line, s.at, s.given, s.void = s.line[:0], 0, 0, false
			if cap(s.line) > 64<<10 {
				s.line = nil
			}
		case c == '\r':
			s.at = 0
		case c == '\b':
			s.left(1)
		case c == 0x1b:
			s.esc, s.param = escStart, s.param[:0]
		case c >= 0x20 && c != 0x7f, c == '\t':
			s.put(c)
		}
	}
	return s.give(dst)
}

// plainRun gives the length of the printable beginning of in.
func plainRun(in []byte) int {
	for i, c := range in {
		if (c < 0x20 && c != '\t') || c == 0x7f {
			return i
		}
	}
	return len(in)
}

// give appends what of the current line was not given out yet.
func (s *screen) give(dst []byte) []byte {
	if s.void {
		dst = append(append(dst, cancel), s.line...)
		s.void = false
	} else {
		dst = append(dst, s.line[s.given:]...)
	}
	s.given = len(s.line)
	return dst
}

func (s *screen) put(c byte) {
	for s.at > len(s.line) {
		s.line = append(s.line, ' ')
	}
	if s.at == len(s.line) {
		s.line = append(s.line, c)
	} else {
		if s.line[s.at] != c {
			s.line[s.at] = c
			s.touch(s.at)
		}
		if c == ' ' && s.at == len(s.line)-1 {
			// Erased by spaces, as pagers do: spaces at the end are nothing.
			s.cutTo(len(bytes.TrimRight(s.line, " ")))
		}
	}
	s.at++
}

// touch notes that the line changed from offset i on.
func (s *screen) touch(i int) {
	if i < s.given {
		s.void = true
	}
}

// left moves the cursor by n characters.
func (s *screen) left(n int) {
	for ; n > 0 && s.at > 0; n-- {
		s.at--
		for s.at > 0 && s.at < len(s.line) && !utf8.RuneStart(s.line[s.at]) {
			s.at--
		}
	}
}

// cutTo makes the line n bytes long, if it is longer.
func (s *screen) cutTo(n int) {
	if n < len(s.line) {
		s.touch(n)
		s.line = s.line[:n]
	}
}

func (s *screen) escape(c byte) {
	switch s.esc {
	case escStart:
		switch c {
		case '[':
			s.esc = escCSI
		case ']', 'P', 'X', '^', '_':
			s.esc = escString
		case '(', ')', '*', '+', '#', '%', ' ':
			s.esc = escCharset
		case 0x1b:
		default:
			s.esc = escNone
		}
	case escCharset:
		s.esc = escNone
	case escString:
		switch c {
		case 0x07:
			s.esc = escNone
		case 0x1b:
			s.esc = escStringE
		}
	case escStringE:
		s.esc = escString
		if c == '\\' {
			s.esc = escNone
		}
	case escCSI:
		switch {
		case c >= 0x40 && c <= 0x7e:
			s.esc = escNone
			s.control(c)
		case c >= 0x20 && c <= 0x3f:
			if len(s.param) < maxEscParam {
				s.param = append(s.param, c)
			}
		case c == 0x1b:
			s.esc, s.param = escStart, s.param[:0]
		default: // a control character breaks the sequence off
			s.esc = escNone
		}
	}
}

// control carries out ESC [ param c, as far as it concerns one line.
func (s *screen) control(c byte) {
	n := 0
	for _, d := range s.param {
		if d < '0' || d > '9' {
			break
		}
		n = min(n*10+int(d-'0'), 1<<20)
	}
	switch c {
	case 'D': // left
		s.left(max(n, 1))
	case 'C': // right; beyond the end there is nothing to go to
		for i := max(n, 1); i > 0 && s.at < len(s.line); i-- {
			s.at++
			for s.at < len(s.line) && !utf8.RuneStart(s.line[s.at]) {
				s.at++
			}
		}
	case 'G': // column, from 1
		s.at = min(max(n, 1)-1, len(s.line))
	case 'K', 'J': // erase in line, in display
		switch n {
		case 0:
			s.cutTo(s.at)
		case 1:
			for i := range min(s.at+1, len(s.line)) {
				s.line[i] = ' '
			}
			s.touch(0)
		case 2:
			s.cutTo(0)
		}
	case 'H', 'f': // home, of a cleared screen
		s.at = 0
	}
}
