package eos

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// cli is one command line: the state of a terminal. It needs no connection, so
// that startup configurations are read by the same parser.
type cli struct {
	d        *Device
	user     string
	terminal string // "vty5"
	id       int    // of the connection
	priv     int    // 1 or 15
	modes    []mode // empty in exec mode
	length   int    // lines per page, 0 = no paging
	width    int
	named    bool // errors name the word: commands that were not typed in a terminal
	quit     bool
	// ask reads a line unseen, for "enable". nil: no terminal to ask at.
	ask func(prompt string) (string, error)
	// flush sends what was answered so far; nil: nothing is kept back.
	flush func()
	// ignoreTimer makes the next timed commit permanent; see ActionIgnoreTimer.
	ignoreTimer bool
}

// modeKind says which grammar a mode has.
type modeKind int

const (
	modeConfig modeKind = iota + 1
	modeInterface
	modeVLAN
	modeVRF
	modeACL
	modeAPI
)

// mode is one level below exec mode. The first of a stack is modeConfig and says
// what is being configured.
type mode struct {
	kind    modeKind
	prompt  string   // "if-Et1"; empty for modeConfig
	session *session // modeConfig in a session
	scratch **config // modeConfig outside any device state: loading
	names   []string // interfaces
	vlans   []int
	key     aclKey
	list    *acl   // edited list; takes effect when the mode is left
	api     string // management api block
}

// execFunc answers a command. configFunc changes c and answers "", a warning, or
// a refusal, which begins with "%".
type (
	execFunc   func(x *cli, a args) answer
	configFunc func(x *cli, c *config, a args) string
)

// answer is what a command prints. json is nil where EOS has no JSON form.
type answer struct {
	text string
	json any
}

func say(text string) answer { return answer{text: text} }

// prompt is "host>", "host#", "host(config)#", "host(config-s-NAME)#" with the
// first six characters of the session's name, and below them "-if-Et1" and the
// like.
func (x *cli) prompt() string {
	h := x.d.hostname()
	if len(x.modes) == 0 {
		if x.priv < 15 {
			return h + ">"
		}
		return h + "#"
	}
	s := h + "(config"
	if sess := x.modes[0].session; sess != nil {
		name := sess.name
		s += "-s-" + name[:min(len(name), 6)]
	}
	if last := x.modes[len(x.modes)-1]; last.prompt != "" {
		s += "-" + last.prompt
	}
	return s + ")#"
}

// run executes one line and returns what it prints. d.mu is held where the
// device is shared.
func (x *cli) run(line string) string {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '!' {
		return ""
	}
	cmd, pipes := splitPipes(line)
	toks := strings.Fields(cmd)
	if len(toks) == 0 {
		return "% " + errInvalid + "\n"
	}
	if len(x.modes) > 0 && len(toks) > 1 && strings.EqualFold(toks[0], "do") {
		return x.pipe(x.exec(toks[1:]), pipes)
	}
	if len(x.modes) == 0 {
		return x.pipe(x.exec(toks), pipes)
	}
	return x.configure(toks, pipes)
}

// configure tries the grammar of the current mode, then those of the modes
// around it, at last that of exec mode: EOS leaves modes by itself when a line
// belongs further out, and has show commands everywhere.
func (x *cli) configure(toks, pipes []string) string {
	var worst *parseError
	keep := func(e *parseError) {
		if worst == nil || e.token > worst.token || e.token == worst.token && e.kind != errInvalid && worst.kind == errInvalid {
			worst = e
		}
	}
	for depth := len(x.modes); depth > 0; depth-- {
		m := x.modes[depth-1]
		if m.kind == modeACL {
			if out, ok := x.aclLine(depth, toks, keep); ok {
				return out
			}
		}
		g := grammars[m.kind]
		if g == nil {
			continue
		}
		run, a, err := g.match(toks, x.exists)
		if err != nil {
			keep(err)
			continue
		}
		before := slices.Clone(x.modes)
		if out := x.leaveTo(depth); out != "" {
			return out
		}
		out := x.configLine(run.(configFunc), a)
		if strings.HasPrefix(out, "%") {
			x.modes = before // a refused line leaves no mode
		}
		return out
	}
	if x.modes[0].session != nil {
		run, a, err := sessionGrammar.match(toks, nil)
		if err == nil {
			return x.pipe(run.(execFunc)(x, a), pipes)
		}
		keep(err)
	}
	run, a, err := x.lookup(toks)
	if err != nil {
		keep(err)
		return worst.text(x.named)
	}
	return x.pipe(run(x, a), pipes)
}

// configLine runs a configuration line on a copy, and keeps the copy unless the
// line is refused.
func (x *cli) configLine(run configFunc, a args) string {
	base := x.modes[0]
	c := x.target().clone()
	out := run(x, c, a)
	if strings.HasPrefix(out, "%") {
		return out
	}
	if refused := x.store(base, c); refused != "" {
		return refused
	}
	return out
}

// target is the configuration that lines of the current mode change.
func (x *cli) target() *config {
	switch m := x.modes[0]; {
	case m.scratch != nil:
		return *m.scratch
	case m.session != nil:
		return m.session.shown()
	}
	return x.d.running
}

func (x *cli) store(m mode, c *config) string {
	switch {
	case m.scratch != nil:
		*m.scratch = c
	case m.session != nil:
		if m.session.state != statePending {
			return "% Session " + m.session.name + " is no longer pending\n" // unverified
		}
		m.session.candidate = c
	default:
		if why := c.conflict(&x.d.opts); why != "" {
			return "% " + why + "\n"
		}
		if err := x.d.activate(c); err != nil {
			return "% Error: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\n"
		}
	}
	return ""
}

func (x *cli) push(m mode) { x.modes = append(x.modes[:1:1], m) }

// leaveTo pops modes until depth are left. A list that was edited takes effect
// then: access list modes are group changes.
func (x *cli) leaveTo(depth int) string {
	for len(x.modes) > depth {
		m := x.modes[len(x.modes)-1]
		base := x.modes[0]
		x.modes = x.modes[:len(x.modes)-1]
		if m.list == nil || len(x.modes) == 0 {
			continue
		}
		c := x.target().clone()
		c.acls[m.key] = m.list
		if out := x.store(base, c); out != "" {
			return out
		}
	}
	return ""
}

func (x *cli) leaveAll() string {
	if len(x.modes) == 0 {
		return ""
	}
	out := x.leaveTo(1)
	x.modes = nil
	return out
}

// exists reports whether an interface can be named: front ports come from the
// switch, and aggregates and virtual ones from the configuration.
func (x *cli) exists(name string) bool {
	c := x.d.running
	if len(x.modes) > 0 {
		c = x.target()
	}
	return c.intfs[name] != nil
}

// exec answers a command of exec mode.
func (x *cli) exec(toks []string) answer {
	run, a, err := x.lookup(toks)
	if err != nil {
		return say(err.text(x.named))
	}
	return run(x, a)
}

func (x *cli) lookup(toks []string) (execFunc, args, *parseError) {
	run, a, err := userGrammar.match(toks, x.exists)
	if err == nil {
		return run.(execFunc), a, nil
	}
	run, a, perr := privGrammar.match(toks, x.exists)
	if perr == nil && x.priv < 15 {
		// Text remembered, unverified.
		return func(*cli, args) answer { return say("% Invalid input (privileged mode required)\n") }, a, nil
	}
	if perr == nil {
		return run.(execFunc), a, nil
	}
	if x.priv >= 15 && (perr.token > err.token || perr.token == err.token && perr.kind != errInvalid) {
		err = perr
	}
	return nil, a, err
}

// splitPipes parts a show command from its pipes. In other commands "|" is text.
func splitPipes(line string) (cmd string, pipes []string) {
	first, rest, _ := strings.Cut(line, " ")
	if strings.EqualFold(first, "do") {
		first, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
	}
	if !strings.HasPrefix("show", strings.ToLower(first)) || !strings.Contains(line, "|") {
		return line, nil
	}
	parts := strings.Split(line, "|")
	for _, p := range parts[1:] {
		pipes = append(pipes, strings.TrimSpace(p))
	}
	return parts[0], pipes
}

// pipe applies "| json", "| no-more" and the text filters, in order.
func (x *cli) pipe(a answer, pipes []string) string {
	out := a.text
	if strings.HasPrefix(out, "%") {
		return out
	}
	for _, p := range pipes {
		problem := errInvalid
		word, arg, _ := strings.Cut(p, " ")
		arg = strings.Trim(strings.TrimSpace(arg), `"`)
		switch w := (&words{toks: []string{word}}).keyword("json", "no-more", "section", "include", "exclude", "begin"); w {
		case "no-more":
			problem = ""
		case "json":
			out, problem = jsonText(a.json)
		case "section", "include", "exclude", "begin":
			out, problem = filterText(w, arg, out)
		}
		if problem != "" {
			return "% " + problem + "\n"
		}
	}
	return out
}

func jsonText(v any) (text, problem string) {
	if v == nil {
		return "", "This is an unconverted command" // as eAPI says it
	}
	b, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		return "", err.Error()
	}
	return string(b) + "\n", ""
}

func filterText(how, pattern, text string) (filtered, problem string) {
	if pattern == "" {
		return "", errIncomplete
	}
	// EOS matches without regard to case (unverified).
	re, err := regexp.Compile("(?i)" + pattern)
	if err != nil {
		return "", errInvalid
	}
	if how == "section" {
		return sections(text, re, true), ""
	}
	var b strings.Builder
	begun := false
	for _, l := range strings.SplitAfter(text, "\n") {
		m := re.MatchString(strings.TrimRight(l, "\n"))
		begun = begun || m
		if l != "" && (how == "include" && m || how == "exclude" && !m || how == "begin" && begun) {
			b.WriteString(l)
		}
	}
	return b.String(), ""
}

// sections returns the top-level lines, with what is indented below them, of
// which any line matches. With marks the "!" that stood before a group comes along,
// as captures of "show running-config | section monitor" on a 7150 have it.
func sections(text string, re *regexp.Regexp, marks bool) string {
	var b strings.Builder
	mark := false
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && strings.HasPrefix(lines[j], " ") {
			j++
		}
		block := lines[i:j]
		i = j
		if strings.HasPrefix(block[0], "!") {
			mark = block[0] == "!"
			continue
		}
		if slices.ContainsFunc(block, re.MatchString) {
			if mark && (marks || b.Len() > 0) {
				b.WriteString("!\n")
			}
			mark = false
			b.WriteString(strings.Join(block, "\n") + "\n")
		}
	}
	return b.String()
}

// vty names a terminal.
func vty(n int) string { return "vty" + strconv.Itoa(n) }
