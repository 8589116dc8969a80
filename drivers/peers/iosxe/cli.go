package iosxe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// cli is one command line: the state of a terminal. It needs no connection, so that
// startup configurations are read by the same parser.
type cli struct {
	d        *Device
	user     string
	terminal string // "vty 0"
	id       int    // of the connection
	priv     int    // 1 or 15
	modes    []mode // empty in exec mode, else the first is modeGlobal
	length   int    // lines of a page, 0 = no paging
	width    int
	stamp    bool // terminal exec prompt timestamp
	quit     bool
	// ask shows a question and reads the answer. nil: nobody can be asked.
	ask func(question string, secret bool) (string, error)
	// flush sends what was answered so far; nil: nothing is kept back.
	flush func()
	// scratch is what is configured instead of the device: loading.
	scratch *config
	// ignoreTimer makes the next revert timer never lapse; see ActionIgnoreTimer.
	ignoreTimer bool
}

// modeKind says which grammar a mode has.
type modeKind int

const (
	modeGlobal modeKind = iota + 1
	modePort
	modePortRange
	modeVLAN
	modeArchive
	modeACL
	modeStandardACL
	modeACL6
	modeBlock
	modeSource
	modeSourceTunnel
	modeDestination
	modeDestinationTunnel
	modeLocal
)

// mode is one level of configuration mode.
type mode struct {
	kind    modeKind
	ports   []string
	vlans   []int
	list    aclKey
	session int
	block   string // header of a kept block
	form    int    // of it, in keptBlocks
}

// prompts are what stands between the parentheses. Source: recorded dialogs in
// unicon and oxidized; the ERSPAN modes of the configuration guides; "mon-local"
// and "mon-erspan-dst-src" are the guides' too.
var prompts = map[modeKind]string{
	modeGlobal: "config", modePort: "config-if", modePortRange: "config-if-range", modeVLAN: "config-vlan",
	modeArchive: "config-archive", modeACL: "config-ext-nacl", modeStandardACL: "config-std-nacl", modeACL6: "config-ipv6-acl",
	modeSource: "config-mon-erspan-src", modeSourceTunnel: "config-mon-erspan-src-dst",
	modeDestination: "config-mon-erspan-dst", modeDestinationTunnel: "config-mon-erspan-dst-src", modeLocal: "config-mon-local",
}

// answer is what a line prints. A refused configuration line has changed nothing.
type answer struct {
	text    string
	refused bool
	unknown bool // "Invalid input" at the last word, found by a handler
}

var (
	done    = answer{}
	unknown = answer{refused: true, unknown: true}
)

func say(text string) answer { return answer{text: text} }

// refusef is a refusal in IOS's manner: "% " and a sentence.
func refusef(format string, a ...any) answer {
	return answer{text: "% " + fmt.Sprintf(format, a...) + "\n", refused: true}
}

// execFunc answers a command; configFunc changes c, which is dropped if it refuses.
type (
	execFunc   func(x *cli, a args) answer
	configFunc func(x *cli, c *config, a args) answer
)

// configHost is how many characters of the host name configuration prompts have:
// netmiko cuts its base prompt for that reason.
const configHost = 20

func (x *cli) prompt() string {
	host := x.d.hostname()
	if len(x.modes) == 0 {
		return host + map[bool]string{true: "#", false: ">"}[x.priv >= 15]
	}
	m := x.mode()
	name := prompts[m.kind]
	if m.kind == modeBlock {
		name = keptBlocks[m.form].prompt
	}
	return host[:min(len(host), configHost)] + "(" + name + ")#"
}

func (x *cli) mode() *mode { return &x.modes[len(x.modes)-1] }

func (x *cli) push(m mode) { x.modes = append(slices.Clone(x.modes), m) }

// enter leaves what is open and opens a mode directly below the global one.
func (x *cli) enter(m mode) { x.modes = []mode{{kind: modeGlobal}, m} }

// run executes a line and returns what it prints. d.mu is held where the device is
// shared.
func (x *cli) run(line string) answer {
	line = strings.TrimRight(line, " \t\r")
	cmd, pipe, problem := splitPipe(line)
	toks := tokenize(cmd)
	if len(toks) == 0 || toks[0].text[0] == '!' {
		return done
	}
	if problem >= 0 {
		return x.invalidAt(problem)
	}
	var out answer
	switch {
	case len(x.modes) == 0:
		out = x.exec(cmd, toks)
	case strings.EqualFold(toks[0].text, "do") && len(toks) > 1:
		out = x.exec(cmd, toks[1:])
	default:
		out = x.configure(cmd, toks)
	}
	if out.unknown {
		return x.invalidAt(toks[len(toks)-1].at)
	}
	if pipe != nil && !out.refused {
		out.text = pipe(out.text)
	}
	if x.stamp && len(x.modes) == 0 && strings.HasPrefix("show", strings.ToLower(toks[0].text)) && !out.refused {
		out.text = x.d.timestamp() + out.text
	}
	return out
}

// exec answers a command of exec mode.
func (x *cli) exec(line string, toks []token) answer {
	run, a, fail := userGrammar.match(toks, x.exists)
	if fail != nil && x.priv >= 15 {
		r, pa, pfail := enabledGrammar.match(toks, x.exists)
		if pfail == nil || pfail.worse(fail) {
			run, a, fail = r, pa, pfail
		}
	}
	if fail == nil {
		return run.(execFunc)(x, a)
	}
	if fail.kind == invalid && fail.tok == 0 && len(toks) == 1 {
		// A lone word may be a host to connect to. Text as on switches that have
		// "no ip domain lookup" (unicon lists its second half).
		return answer{text: "% Bad IP address or host name\n% Unknown command or computer name, or unable to find computer address\n", refused: true}
	}
	return x.complain(line, toks, fail)
}

// configure tries the grammar of the current mode and then the global one: from
// any mode a global line leads out of it.
func (x *cli) configure(line string, toks []token) answer {
	outer := globalGrammars[x.d.opts.Router]
	g := outer
	switch k := x.mode().kind; k {
	case modeGlobal:
	case modeBlock:
		g = blockGrammars[x.mode().form]
	default:
		g = grammars[k]
	}
	run, a, fail := g.match(toks, x.exists)
	global := false
	if fail != nil && len(x.modes) > 1 {
		r, ga, gfail := outer.match(toks, x.exists)
		if gfail == nil || gfail.worse(fail) {
			run, a, fail, global = r, ga, gfail, true
		}
	}
	if fail != nil {
		return x.complain(line, toks, fail)
	}
	if leave, ok := run.(execFunc); ok {
		return leave(x, a)
	}
	before := x.modes
	if global {
		x.modes = x.modes[:1:1]
	} else if gone := x.vanished(); gone != "" {
		return refusef("%s does not exist any more", gone) // unverified
	}
	out := x.change(func(c *config) answer { return run.(configFunc)(x, c, a) })
	if out.refused {
		x.modes = before
	}
	return out
}

// vanished names what the current mode is about if another terminal, or a revert, has
// removed it meanwhile; "" if it is there. Modes of sessions look for themselves.
func (x *cli) vanished() string {
	m := x.mode()
	for _, p := range m.ports {
		if !x.exists(p) {
			return "Interface " + p
		}
	}
	if m.list.name != "" && x.target().acls[m.list] == nil {
		return "Access list " + m.list.name
	}
	return ""
}

// change runs f on a copy of the configuration and puts that in force.
func (x *cli) change(f func(c *config) answer) answer {
	have := x.target()
	c := have.clone()
	out := f(c)
	if out.refused {
		return out
	}
	if why := c.conflict(&x.d.opts); why != "" {
		return refusef("%s", why)
	}
	if x.scratch != nil {
		*x.scratch = *c
		return out
	}
	if err := x.d.activate(c, x.user); err != nil {
		return refusef("Error: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return out
}

func (x *cli) target() *config {
	if x.scratch != nil {
		return x.scratch
	}
	return x.d.running
}

// exists reports whether an interface can be named.
func (x *cli) exists(name string) bool { return x.target().ports[name] != nil }

// complain is what IOS says of a line that is no command.
func (x *cli) complain(line string, toks []token, fail *failure) answer {
	switch fail.kind {
	case incomplete:
		return answer{text: "% Incomplete command.\n\n", refused: true}
	case ambiguous:
		return answer{text: fmt.Sprintf("%% Ambiguous command:  \"%s\"\n", strings.TrimSpace(line)), refused: true}
	default:
		return x.invalidAt(toks[fail.tok].at)
	}
}

// invalidAt points at a column of the line, which stands behind the prompt. Real
// parsers point at the first character that fits nothing, which may be inside a word;
// this one points at the word (as captures with an unknown interface have it).
func (x *cli) invalidAt(column int) answer {
	return answer{
		text:    strings.Repeat(" ", len(x.prompt())+column) + "^\n% Invalid input detected at '^' marker.\n\n",
		refused: true,
	}
}

// splitPipe parts a show command from its filter; in other lines "|" is text.
// problem is the column of what is no filter, -1 if all is well.
func splitPipe(line string) (cmd string, filter func(string) string, problem int) {
	first := tokenize(line)
	if len(first) > 0 && strings.EqualFold(first[0].text, "do") {
		first = first[1:]
	}
	at := strings.Index(line, "|")
	if at < 0 || len(first) == 0 || len(first[0].text) < 2 || !strings.HasPrefix("show", strings.ToLower(first[0].text)) {
		return line, nil, -1
	}
	rest := line[at+1:]
	toks := tokenize(rest)
	if len(toks) < 2 {
		return line, nil, at
	}
	pattern := strings.TrimSpace(rest[toks[1].at:])
	re, err := regexp.Compile(pattern)
	how := chosen([]string{"begin", "count", "exclude", "include", "section"}, toks[0].text)
	if how == "" || err != nil {
		return line, nil, at + 1 + toks[0].at
	}
	return line[:at], func(text string) string { return filterText(how, re, text) }, -1
}

// filterText keeps what a filter keeps. Matching minds the case, as on IOS.
func filterText(how string, re *regexp.Regexp, text string) string {
	if how == "section" {
		return sections(text, re)
	}
	var b strings.Builder
	begun, n := false, 0
	for _, l := range strings.SplitAfter(text, "\n") {
		m := re.MatchString(strings.TrimRight(l, "\n"))
		begun = begun || m
		if m && l != "" {
			n++
		}
		if l != "" && (how == "include" && m || how == "exclude" && !m || how == "begin" && begun) {
			b.WriteString(l)
		}
	}
	if how == "count" {
		return fmt.Sprintf("Number of lines which match regexp = %d\n", n)
	}
	return b.String()
}

// sections returns the lines that match, each with the lines indented below it, and
// lines below which one matches with all that belongs to them.
func sections(text string, re *regexp.Regexp) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && strings.HasPrefix(lines[j], " ") {
			j++
		}
		if slices.ContainsFunc(lines[i:j], re.MatchString) {
			b.WriteString(strings.Join(lines[i:j], "\n") + "\n")
		}
		i = j
	}
	return b.String()
}
