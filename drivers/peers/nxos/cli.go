package nxos

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// cli is the state of a terminal. It needs no connection, so that startup
// configurations are read by the same parser.
type cli struct {
	d       *Device
	user    string
	id      int    // of the connection
	modes   []mode // empty in exec mode, else the first is modeGlobal
	length  int    // lines of a page, 0 = no paging
	quit    bool
	scratch *config // what is configured instead of the device: loading
}

// modeKind says which grammar a mode has.
type modeKind int

const (
	modeGlobal modeKind = iota + 1
	modePort
	modeVLAN
	modeVRF
	modeACL
	modeLocal
	modeSource
	modeDestination
)

type mode struct {
	kind    modeKind
	ports   []string
	vlans   []int
	acl     string
	session int
}

// prompts are what stands between the parentheses (unicon's NX-OS patterns; the
// monitor modes are those of the configuration guides and of public notes).
var prompts = map[modeKind]string{
	modeGlobal: "config", modePort: "config-if", modeVLAN: "config-vlan", modeVRF: "config-vrf", modeACL: "config-acl",
	modeLocal: "config-monitor", modeSource: "config-erspan-src", modeDestination: "config-erspan-dst",
}

var (
	execGrammar = newExecGrammar()
	grammars    = map[modeKind]*grammar{
		modeGlobal: newGlobalGrammar(), modePort: newPortGrammar(), modeVLAN: newVLANGrammar(), modeVRF: leaving(&grammar{}), modeACL: newACLGrammar(),
		modeLocal: newSessionGrammar(typeLocal), modeSource: newSessionGrammar(typeSource), modeDestination: newSessionGrammar(typeDestination),
	}
)

// answer is what a line prints. A refused configuration line has changed nothing.
type answer struct {
	text    string
	refused bool
}

var done = answer{}

func say(text string) answer { return answer{text: text} }

// errorf is a refusal that the parser did not see: "ERROR: " and a sentence.
func errorf(format string, a ...any) answer {
	return answer{"ERROR: " + fmt.Sprintf(format, a...) + "\n", true}
}

// execFunc answers a command; configFunc changes c, which is dropped if it refuses.
type (
	execFunc   func(x *cli, a args) answer
	configFunc func(x *cli, c *config, a args) answer
)

// prompt of the terminal, without the carriage return that is sent before it.
func (x *cli) prompt() string {
	host := x.target().hostname
	if len(x.modes) == 0 {
		return host + "# "
	}
	return host + "(" + prompts[x.mode().kind] + ")# "
}

func (x *cli) mode() *mode { return &x.modes[len(x.modes)-1] }

// enter leaves what is open and opens a mode below the global one.
func (x *cli) enter(m mode) { x.modes = []mode{{kind: modeGlobal}, m} }

func (x *cli) target() *config {
	if x.scratch != nil {
		return x.scratch
	}
	return x.d.running
}

func (x *cli) exists(name string) bool { return x.target().ports[name] != nil }

// run executes the commands of a line, which a blank and a semicolon part (Cisco's
// guide to Python on NX-OS), and returns what they print. A refusal ends the line
// (unverified). d.mu is held where the device is shared.
func (x *cli) run(text string) answer {
	var out answer
	for _, cmd := range strings.Split(text, " ;") {
		one := x.command(cmd)
		out.text += one.text
		if out.refused = one.refused; out.refused {
			break
		}
	}
	return out
}

// command executes a single one. Commands of exec mode work in every mode, without
// "do" (public notes).
func (x *cli) command(text string) answer {
	text = strings.TrimRight(text, " \t\r")
	cmd, filters, wrong := pipes(text)
	toks := tokenize(cmd)
	if len(toks) == 0 || toks[0].text[0] == '!' {
		return done
	}
	if wrong >= 0 {
		return x.complain(badCommand, wrong)
	}
	var best *complaint
	try := []*grammar{execGrammar}
	if len(x.modes) > 0 {
		try = []*grammar{grammars[modeGlobal], execGrammar}
		if k := x.mode().kind; k != modeGlobal {
			try = slices.Insert(try, 0, grammars[k])
		}
	}
	for i, g := range try {
		run, a, why := g.match(toks, x.exists)
		if why == nil {
			return x.do(run, a, filters, len(try) > 2 && i == 1)
		}
		if best == nil || why.tok > best.tok {
			best = why
		}
	}
	at := len(cmd)
	if best.tok < len(toks) {
		at = toks[best.tok].at
	}
	return x.complain(best.text, at)
}

// complain points at a column of the line, which stands behind the prompt. To point at
// the beginning of a word is unverified; behind the line where it is incomplete is not.
func (x *cli) complain(text string, column int) answer {
	return answer{strings.Repeat(" ", len(x.prompt())+column) + "^\n" + text + "\n", true}
}

// do runs a handler; global tells that a line of the global mode leads out of another.
func (x *cli) do(run any, a args, filters []func(string) string, global bool) answer {
	if f, ok := run.(execFunc); ok {
		out := f(x, a)
		for _, keep := range filters {
			if !out.refused {
				out.text = keep(out.text)
			}
		}
		return out
	}
	before := x.modes
	if global {
		x.modes = x.modes[:1:1]
	} else if gone := x.vanished(); gone != "" {
		return errorf("%s does not exist", gone) // unverified
	}
	out := x.change(func(c *config) answer { return run.(configFunc)(x, c, a) })
	if out.refused {
		x.modes = before
	}
	return out
}

// vanished names what the mode is about if another terminal removed it meanwhile.
func (x *cli) vanished() string {
	m, c := x.mode(), x.target()
	for _, p := range m.ports {
		if c.ports[p] == nil {
			return "Interface " + p
		}
	}
	if m.acl != "" && c.acls[m.acl] == nil {
		return "Access list " + m.acl
	}
	if s := c.sessions[m.session]; m.session != 0 && (s == nil || sessionModes[s.kind] != m.kind) {
		return fmt.Sprintf("Session %d", m.session)
	}
	return ""
}

// change runs f on a copy of the configuration and puts that in force, at once.
func (x *cli) change(f func(c *config) answer) answer {
	c := x.target().clone()
	out := f(c)
	switch {
	case out.refused:
	case x.scratch != nil:
		*x.scratch = *c
	default:
		if err := x.d.activate(c); err != nil {
			return errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	return out
}

// leaving adds the lines that lead out of a mode.
func leaving(g *grammar) *grammar {
	g.exec("exit", func(x *cli, _ args) answer { x.modes = x.modes[:len(x.modes)-1]; return done })
	g.exec("end", func(x *cli, _ args) answer { x.modes = nil; return done })
	return g
}

// pipes parts a show command from its filters; in other lines "|" is text. wrong is the
// column of what is no filter, -1 if all is well.
func pipes(text string) (cmd string, filters []func(string) string, wrong int) {
	first, _, _ := strings.Cut(strings.TrimLeft(text, " \t"), " ")
	if len(first) < 2 || !strings.HasPrefix("show", strings.ToLower(first)) {
		return text, nil, -1
	}
	// A blank stands before the bar of a filter; without one it belongs to a pattern.
	parts := strings.Split(text, " |")
	at := len(parts[0]) + 1
	for _, p := range parts[1:] {
		toks := tokenize(p)
		if len(toks) == 0 {
			return parts[0], nil, at
		}
		pattern := ""
		if len(toks) > 1 {
			pattern = strings.TrimSpace(p[toks[1].at:])
		}
		re, err := regexp.Compile(strings.Trim(pattern, `"`))
		how := chosen([]string{"begin", "count", "exclude", "include", "no-more", "section"}, toks[0].text)
		if err != nil || how == "" || (pattern == "") != (how == "count" || how == "no-more") {
			return parts[0], nil, at + 1 + toks[0].at
		}
		filters = append(filters, func(text string) string { return filtered(how, re, text) })
		at += 2 + len(p)
	}
	return parts[0], filters, -1
}

// filtered keeps the lines that a filter keeps. A section is a line that matches with
// what is indented deeper below it.
func filtered(how string, re *regexp.Regexp, text string) string {
	var out []string
	begun, section := false, -1
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	for _, l := range lines {
		bare := strings.TrimRight(l, "\n")
		hit := re.MatchString(bare)
		indent := len(bare) - len(strings.TrimLeft(bare, " "))
		begun = begun || hit
		if section >= 0 && indent <= section {
			section = -1
		}
		if hit && section < 0 {
			section = indent
		}
		if map[string]bool{"begin": begun, "exclude": !hit, "include": hit, "section": section >= 0, "no-more": true, "count": true}[how] {
			out = append(out, bare+"\n")
		}
	}
	if how == "count" {
		return fmt.Sprintf("%d\n", len(lines))
	}
	return strings.Join(out, "")
}
