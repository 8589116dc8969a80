package iosxe

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// handle serves one shell or one command.
func (d *Device) handle(s *sshd.Session) int {
	d.mu.Lock()
	x := &cli{d: d, user: s.User, id: d.serial + 1, terminal: "vty " + strconv.Itoa(d.serial), priv: 1, width: 80}
	d.serial++
	d.mu.Unlock()
	if d.opts.LoginPrivilege >= 15 {
		x.priv = 15
	}
	if s.Command == "" {
		d.shell(x, s)
		return 0
	}
	// A command: IOS runs one line and hangs up. Its exit status is unverified.
	out, ok := d.line(s, x, s.Command)
	if !ok {
		return 1
	}
	_, _ = io.WriteString(s, out)
	return 0
}

func (d *Device) shell(x *cli, s *sshd.Session) {
	t := sshd.NewTerminal(s, s.Pty)
	defer func() { _ = t.Flush() }()
	if s.Pty {
		// IOS does not ask the client for its rows: 24 is its default.
		x.length = 24
	}
	x.flush = func() { _ = t.Flush() }
	x.ask = func(question string, secret bool) (string, error) {
		d.mu.Unlock() // nobody else has to wait while a person types
		defer d.mu.Lock()
		if secret {
			return t.ReadSecret(question)
		}
		return t.ReadLine(question)
	}
	if d.opts.MOTD != "" {
		_ = t.Print(strings.TrimRight(d.opts.MOTD, "\n") + "\n")
	}
	// IOS begins with an empty line before the first prompt.
	_ = t.Print("\n")
	for !x.quit {
		d.mu.Lock()
		prompt := x.prompt()
		d.mu.Unlock()
		line, err := t.ReadLine(prompt)
		if errors.Is(err, sshd.ErrInterrupt) {
			// ^C leaves configuration mode, as ^Z does.
			d.mu.Lock()
			x.modes = nil
			d.mu.Unlock()
			continue
		}
		if err != nil {
			return
		}
		out, ok := d.line(s, x, line)
		if !ok || d.page(t, x, out) != nil {
			return
		}
	}
}

// line notes a line, runs it under the faults that are set, and returns its answer.
// ok false: the connection is gone.
func (d *Device) line(s *sshd.Session, x *cli, line string) (out string, ok bool) {
	d.mu.Lock()
	d.log(x, line)
	o := d.faults.Take(line)
	return fault.Answer(s, &d.mu, o, x.flush, func() string {
		running, startup := d.running, d.startup
		x.ignoreTimer = o.TimerStuck
		defer func() { x.ignoreTimer = false }()
		out := x.run(line).text
		if o.Forget {
			if d.running != running {
				_ = d.activate(running, "") // it ran before
			}
			d.startup = startup
		}
		return out
	})
}

// The pager, and how it takes its mark away (captures in several public tests).
const (
	more  = " --More-- "
	wiped = "\b\b\b\b\b\b\b\b\b        \b\b\b\b\b\b\b\b\b"
)

// page prints an answer, a page at a time where the terminal has a length: the space
// bar shows a page more, return a line more, anything else nothing more.
func (d *Device) page(t *sshd.Terminal, x *cli, out string) error {
	if x.length == 0 {
		return t.Print(out)
	}
	left := x.length - 1
	lines := strings.SplitAfter(out, "\n")
	for i, l := range lines {
		if l == "" && i == len(lines)-1 {
			break
		}
		if left <= 0 {
			if err := t.Print(more); err != nil {
				return err
			}
			k, err := t.ReadKey()
			if err != nil {
				return err
			}
			if err := t.Print(wiped); err != nil {
				return err
			}
			switch k {
			case ' ':
				left = x.length - 1
			case '\r', '\n':
				left = 1
			default:
				return t.Print("\n")
			}
		}
		if err := t.Print(l); err != nil {
			return err
		}
		left--
	}
	return nil
}
