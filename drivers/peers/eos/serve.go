package eos

import (
	"errors"
	"io"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// handle serves one shell or one command.
func (d *Device) handle(s *sshd.Session) int {
	d.mu.Lock()
	d.serial++
	x := &cli{d: d, user: s.User, id: d.serial, terminal: vty(d.serial), priv: 1, width: 80}
	if d.opts.LoginPrivilege >= 15 {
		x.priv = 15
	}
	d.users[x] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.users, x)
		d.mu.Unlock()
	}()
	if s.Command != "" {
		return d.command(x, s)
	}
	d.shell(x, s)
	return 0
}

// command runs the lines of an exec request. The status is 1 after a refusal
// (unverified).
func (d *Device) command(x *cli, s *sshd.Session) int {
	x.named = true
	status := 0
	for _, line := range strings.Split(s.Command, "\n") {
		out, ok := d.line(s, x, strings.TrimRight(line, "\r"))
		if !ok {
			return 1
		}
		if strings.HasPrefix(out, "%") {
			status = 1
		}
		if _, err := io.WriteString(s, out); err != nil || x.quit {
			break
		}
	}
	return status
}

func (d *Device) shell(x *cli, s *sshd.Session) {
	t := sshd.NewTerminal(s, s.Pty)
	defer func() { _ = t.Flush() }()
	if s.Pty {
		x.length = 24
		if cols, rows := s.Size(); rows > 0 && cols > 0 {
			x.width, x.length = cols, rows
		}
	}
	x.flush = func() { _ = t.Flush() }
	x.ask = func(prompt string) (string, error) {
		// Nobody else has to wait while a person types.
		d.mu.Unlock()
		defer d.mu.Lock()
		line, err := t.ReadSecret(prompt)
		if errors.Is(err, sshd.ErrInterrupt) {
			err = errCancelled
		}
		return line, err
	}
	if d.opts.MOTD != "" {
		_ = t.Print(strings.TrimRight(d.opts.MOTD, "\n") + "\n")
	}
	for !x.quit {
		d.mu.Lock()
		prompt := x.prompt()
		d.mu.Unlock()
		line, err := t.ReadLine(prompt)
		if errors.Is(err, sshd.ErrInterrupt) {
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

// line logs a line, runs it under the faults that are set, and returns its
// answer. ok false: the connection is gone.
func (d *Device) line(s *sshd.Session, x *cli, line string) (out string, ok bool) {
	d.mu.Lock()
	d.log(x, line)
	o := d.faults.Take(line)
	return fault.Answer(s, &d.mu, o, x.flush, func() string {
		if o.Forget {
			return d.forgetful(x, line)
		}
		x.ignoreTimer = o.TimerStuck
		defer func() { x.ignoreTimer = false }()
		return x.run(line)
	})
}

// forgetful runs a line and then puts all configurations back, so that the
// answer is as ever and the effect is lost.
func (d *Device) forgetful(x *cli, line string) string {
	running, startup := d.running, d.startup
	candidates := map[*session]*config{}
	for _, s := range d.sessions {
		candidates[s] = s.candidate
	}
	out := x.run(line)
	if d.running != running {
		if err := d.activate(running); err != nil {
			return "% Error: " + err.Error() + "\n"
		}
	}
	d.startup = startup
	for s, c := range candidates {
		if s.state == statePending {
			s.candidate = c
		}
	}
	return out
}

const more = " --More-- "

// page prints an answer, a page at a time where the terminal has a length. The
// space bar shows a page more, return a line more, q or ^C nothing more.
func (d *Device) page(t *sshd.Terminal, x *cli, out string) error {
	if x.length == 0 {
		return t.Print(out)
	}
	left := x.length - 1
	for _, l := range strings.SplitAfter(out, "\n") {
		if l == "" {
			break
		}
		for left <= 0 {
			if err := t.Print(more); err != nil {
				return err
			}
			k, err := t.ReadKey()
			if err != nil {
				return err
			}
			if err := t.Print("\r" + strings.Repeat(" ", len(more)) + "\r"); err != nil {
				return err
			}
			switch k {
			case ' ':
				left = x.length - 1
			case '\r', '\n':
				left = 1
			case 'q', 'Q', 0x03:
				return nil
			}
		}
		if err := t.Print(l); err != nil {
			return err
		}
		left--
	}
	return nil
}
