package sonic

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// maxWire bounds the kept lines; the older half is dropped when it is reached.
const maxWire = 1 << 16

// shell is one login.
type shell struct {
	d      *Device
	user   string
	status int // of the last command
	quit   bool
}

// handle serves one shell or one command.
func (d *Device) handle(s *sshd.Session) int {
	x := &shell{d: d, user: s.User}
	if s.Command != "" {
		out, ok := x.line(s, s.Command, nil)
		if !ok {
			return 1
		}
		_, _ = io.WriteString(s, out)
		return x.status
	}
	t := sshd.NewTerminal(s, s.Pty)
	defer func() { _ = t.Flush() }()
	if d.opts.MOTD != "" {
		_ = t.Print(strings.TrimRight(d.opts.MOTD, "\n") + "\n")
	}
	for !x.quit {
		line, err := t.ReadLine(x.prompt())
		if errors.Is(err, sshd.ErrInterrupt) {
			x.status = 130
			continue
		}
		if err != nil {
			return x.status
		}
		out, ok := x.line(s, line, func() { _ = t.Flush() })
		if !ok || t.Print(out) != nil {
			return 1
		}
	}
	return x.status
}

func (x *shell) prompt() string {
	sign := "$"
	if x.user == "root" {
		sign = "#"
	}
	return fmt.Sprintf("%s@%s:~%s ", x.user, x.d.opts.Hostname, sign)
}

func (x *shell) line(s *sshd.Session, line string, flush func()) (out string, ok bool) {
	d := x.d
	d.mu.Lock()
	if len(d.wire) >= maxWire {
		d.wire = d.wire[maxWire/2:]
	}
	d.wire = append(d.wire, line)
	o := d.faults.Take(line)
	if o.Refuse != "" {
		x.status = 1
	}
	return fault.Answer(s, &d.mu, o, flush, func() string {
		before, saved := d.db, d.startup
		var out string
		out, x.status = x.run(line)
		if o.Forget {
			_ = d.activate(before) // it ran before
			d.startup = saved
		}
		return out
	})
}

// run does what a line says. A line with a sign that means something to a shell is
// refused: nothing that drives a switch needs one.
func (x *shell) run(line string) (string, int) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return "", x.status
	}
	if line == "echo $?" {
		return fmt.Sprintf("%d\n", x.status), 0
	}
	if i := strings.IndexAny(line, "$`\"'\\|&;<>(){}*?[]!#~"); i >= 0 {
		return fmt.Sprintf("-bash: %c: this shell is too simple for that\n", line[i]), 2
	}
	root := x.user == "root"
	if words[0] == "sudo" {
		if root, words = true, words[1:]; len(words) == 0 {
			return "usage: sudo -h | -K | -k | -V\n", 1
		}
	}
	switch words[0] {
	case "config":
		if !root {
			return "Root privileges are required for this operation\n", 1
		}
		return x.d.config(words[1:])
	case "show":
		return x.d.show(words[1:])
	case "export":
		return "", 0
	case "exit", "logout":
		x.quit = true
		return "", x.status
	default:
		if words[0] != strings.Fields(line)[0] {
			return fmt.Sprintf("sudo: %s: command not found\n", words[0]), 1
		}
		return fmt.Sprintf("-bash: %s: command not found\n", words[0]), 127
	}
}

// config is the program of that name.
func (d *Device) config(words []string) (string, int) {
	switch {
	case len(words) > 0 && words[0] == "mirror_session":
		return d.mirrorSession(words[1:])
	case len(words) == 2 && words[0] == "save" && words[1] == "-y":
		d.startup = d.db
		return "Running command: /usr/local/bin/sonic-cfggen -d --print-data > /etc/sonic/config_db.json\n", 0
	case len(words) == 1 && words[0] == "save":
		return "Existing files will be overwritten, continue? [y/N]: Aborted!\n", 1 // nobody answers here
	}
	return noCommand("config", words)
}

// noCommand is what click says of a word that is no command.
func noCommand(program string, words []string) (string, int) {
	if len(words) == 0 {
		return fmt.Sprintf("Usage: %s [OPTIONS] COMMAND [ARGS]...\n", program), 0
	}
	return usage(program+" [OPTIONS] COMMAND [ARGS]...", program, "No such command %q.", words[0])
}

// usage is what click says of an error in what was typed.
func usage(synopsis, program, format string, args ...any) (string, int) {
	return fmt.Sprintf("Usage: %s\nTry \"%s -h\" for help.\n\nError: %s\n", synopsis, program, fmt.Sprintf(format, args...)), 2
}
