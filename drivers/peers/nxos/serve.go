package nxos

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// newFaults is a healthy switch.
func newFaults() fault.Set {
	return fault.Set{RefuseText: "ERROR: refused", LogText: "2026 Jan  1 00:00:00 switch %VSHD-5-VSHD_SYSLOG_CONFIG_I: Configured from vty by admin"}
}

// SetFaults replaces all faults; the zero value heals the switch. With an error nothing
// has changed. No timers run on NX-OS: a fault of one is refused.
func (d *Device) SetFaults(s eos.FaultSpec) error {
	for _, l := range s.Lines {
		if l.Action == eos.ActionIgnoreTimer {
			return fmt.Errorf("nxos: fault action %q: there are no timers", l.Action)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Replace(s)
}

func (d *Device) admit(open int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Admit(open)
}

// maxWire bounds the kept lines; the older half is dropped when it is reached.
const maxWire = 1 << 16

// Wire returns every line received, in the order of receipt over all connections.
func (d *Device) Wire() []string {
	var out []string
	for _, l := range d.WireLines() {
		out = append(out, l.Line)
	}
	return out
}

// WireLines is Wire with what belongs to the lines.
func (d *Device) WireLines() []eos.WireLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wire)
}

// ResetWire forgets the lines received so far.
func (d *Device) ResetWire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wire = nil
}

// welcome is printed after login (first line of the recordings).
const welcome = "\nCisco Nexus Operating System (NX-OS) Software\nTAC support: http://www.cisco.com/tac\n"

// handle serves one shell, or one command.
func (d *Device) handle(s *sshd.Session) int {
	d.mu.Lock()
	d.serial++
	x := &cli{d: d, user: s.User, id: d.serial}
	d.mu.Unlock()
	if s.Command != "" {
		out, ok := d.line(s, x, s.Command, func() {})
		_, _ = io.WriteString(s, out)
		return map[bool]int{true: 0, false: 1}[ok]
	}
	t := sshd.NewTerminal(s, s.Pty)
	defer func() { _ = t.Flush() }()
	if s.Pty {
		x.length = 24 // the client's rows are not asked for
	}
	if d.opts.MOTD != "" {
		_ = t.Print(strings.TrimRight(d.opts.MOTD, "\n") + "\n")
	} else {
		_ = t.Print(welcome)
	}
	for !x.quit {
		d.mu.Lock()
		prompt := x.prompt()
		d.mu.Unlock()
		line, err := t.ReadLine("\r" + prompt) // so both recordings
		if errors.Is(err, sshd.ErrInterrupt) {
			continue
		}
		if err != nil {
			return 0
		}
		out, ok := d.line(s, x, line, func() { _ = t.Flush() })
		if !ok || page(t, x.length, out) != nil {
			return 0
		}
	}
	return 0
}

// line runs a line under the faults that are set. ok false: the connection is gone.
func (d *Device) line(s *sshd.Session, x *cli, text string, flush func()) (out string, ok bool) {
	d.mu.Lock()
	if len(d.wire) >= maxWire {
		d.wire = slices.Delete(d.wire, 0, maxWire/2)
	}
	d.wire = append(d.wire, eos.WireLine{Conn: x.id, User: x.user, Prompt: x.prompt(), Line: text})
	o := d.faults.Take(text)
	return fault.Answer(s, &d.mu, o, flush, func() string {
		running, startup := d.running, d.startup
		out := x.run(text).text
		if o.Forget {
			if d.running != running {
				_ = d.activate(running) // it ran before
			}
			d.startup = startup
		}
		return out
	})
}

// The pager's mark (gnetcli's tests), and how it goes away (unverified).
const (
	more  = "\x1b[7m--More--\x1b[m"
	wiped = "\r        \r"
)

// page prints an answer, a page at a time where the terminal has a length: the space
// bar shows a page more, return a line more, q and others end it.
func page(t *sshd.Terminal, length int, out string) error {
	left := length - 1
	for _, l := range strings.SplitAfter(out, "\n") {
		if length > 0 && left <= 0 && l != "" {
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
				left = length - 1
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
