package sshd

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// maxLine bounds a line in bytes. What is typed beyond it is dropped, as a
// terminal driver does.
const maxLine = 16 << 10

// ErrInterrupt is what ^C does to the line being read.
var ErrInterrupt = errors.New("sshd: interrupted")

// Terminal is a line discipline over a byte stream. With echo, which a client's
// pty request turns on, typed characters come back and "\n" is written as
// "\r\n". Output is kept until the next read would wait, so that an answer and
// the prompt after it travel together.
//
// It is for one goroutine.
type Terminal struct {
	r    *bufio.Reader
	w    *bufio.Writer
	echo bool
	// skipLF drops the LF of a CR LF pair, whose CR ended the line before.
	skipLF bool
}

// NewTerminal wraps rw. Echo is on for a client with a pty.
func NewTerminal(rw io.ReadWriter, echo bool) *Terminal {
	return &Terminal{r: bufio.NewReaderSize(rw, 1024), w: bufio.NewWriterSize(rw, 2048), echo: echo}
}

// Print writes text.
func (t *Terminal) Print(text string) error {
	if t.echo {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	_, err := t.w.WriteString(text)
	return err
}

// Flush sends what was printed.
func (t *Terminal) Flush() error { return t.w.Flush() }

// ReadLine prints the prompt and returns the next line without its end. The
// error is io.EOF when the client is gone or typed ^D on an empty line, and
// ErrInterrupt after ^C.
func (t *Terminal) ReadLine(prompt string) (string, error) {
	return t.readLine(prompt, t.echo)
}

// ReadSecret is ReadLine with the echo off.
func (t *Terminal) ReadSecret(prompt string) (string, error) {
	return t.readLine(prompt, false)
}

func (t *Terminal) readLine(prompt string, echo bool) (string, error) {
	if err := t.Print(prompt); err != nil {
		return "", err
	}
	var line []byte
	for {
		c, err := t.readByte()
		if err != nil {
			return "", err
		}
		switch c {
		case '\n':
			return t.endLine(line)
		case '\r':
			t.skipLF = true
			return t.endLine(line)
		case 0x03: // ^C
			if err := t.end("^C"); err != nil {
				return "", err
			}
			return "", ErrInterrupt
		case 0x04: // ^D
			if len(line) == 0 {
				return "", io.EOF
			}
		case 0x08, 0x7f: // erase
			if len(line) > 0 {
				line = line[:len(line)-1]
				if echo {
					_, err = t.w.WriteString("\b \b")
				}
			}
		case 0x15: // ^U
			if echo {
				_, err = t.w.WriteString(strings.Repeat("\b \b", len(line)))
			}
			line = line[:0]
		case 0x1b: // cursor keys and the like move nothing here
			err = t.skipEscape()
		default:
			if c < 0x20 && c != '\t' || len(line) >= maxLine {
				continue
			}
			line = append(line, c)
			if echo {
				err = t.w.WriteByte(c)
			}
		}
		if err != nil {
			return "", err
		}
	}
}

// endLine shows the end of the line also where its text was secret.
func (t *Terminal) endLine(line []byte) (string, error) {
	return string(line), t.end("")
}

func (t *Terminal) end(mark string) error {
	if !t.echo {
		return nil
	}
	_, err := t.w.WriteString(mark + "\r\n")
	return err
}

// skipEscape drops the rest of an escape sequence: ESC [ ... final byte, or
// ESC and one character.
func (t *Terminal) skipEscape() error {
	c, err := t.readByte()
	if err != nil || c != '[' && c != 'O' {
		return err
	}
	for {
		c, err = t.readByte()
		if err != nil || c >= 0x40 && c <= 0x7e {
			return err
		}
	}
}

// ReadKey returns the next character, unechoed: for pagers.
func (t *Terminal) ReadKey() (byte, error) { return t.readByte() }

func (t *Terminal) readByte() (byte, error) {
	for {
		if t.r.Buffered() == 0 {
			if err := t.w.Flush(); err != nil {
				return 0, err
			}
		}
		c, err := t.r.ReadByte()
		if err != nil {
			return 0, err
		}
		skip := t.skipLF && c == '\n'
		t.skipLF = false
		if !skip && c != 0 { // telnet habits send CR NUL
			return c, nil
		}
	}
}
