package nxos

import (
	"net/netip"
	"strconv"
	"strings"
)

// grammar is a list of lines that a mode knows. A line is written as words:
//
//	word         a keyword, typed by any prefix that no other keyword shares here
//	key=KIND     a parameter: WORD, LINE (the rest), PORT (an interface there is),
//	             ANYPORT (or a virtual one that is made), PORTS (a list), VLANS (a list),
//	             IP, PREFIX (A.B.C.D/len), a range low-high, or one of {a,b,c}
//	[ ... ]      at the end: may be missing
type grammar struct{ lines []line }

type line struct {
	words []string
	run   any // execFunc or configFunc
}

// add registers a pattern, twice if its end may be missing.
func (g *grammar) add(pattern string, run any) {
	head, tail, optional := strings.Cut(pattern, " [")
	g.lines = append(g.lines, line{strings.Fields(head), run})
	if optional {
		g.lines = append(g.lines, line{strings.Fields(head + " " + strings.TrimSuffix(tail, "]")), run})
	}
}

func (g *grammar) exec(pattern string, run execFunc)     { g.add(pattern, run) }
func (g *grammar) config(pattern string, run configFunc) { g.add(pattern, run) }

// token is a word of a typed line and where it begins, in bytes.
type token struct {
	text string
	at   int
}

func tokenize(text string) []token {
	var out []token
	at := 0
	for _, w := range strings.FieldsFunc(text, blank) {
		at += strings.Index(text[at:], w)
		out = append(out, token{w, at})
		at += len(w)
	}
	return out
}

func blank(r rune) bool { return r == ' ' || r == '\t' }

// args are what the parameters of a line were.
type args struct {
	text  map[string]string
	ports []string
	vlans []int
}

func (a args) num(key string) int    { n, _ := strconv.Atoi(a.text[key]); return n }
func (a args) given(key string) bool { _, ok := a.text[key]; return ok }

// complaint is why a line is no command, at which token.
type complaint struct {
	text string
	tok  int
}

// Texts of refusals. "Invalid command": recorded of a Nexus 5548 (7.3(13)N1(1)).
// "Incomplete command": public notes of a Nexus 9000. "Invalid range", without "%":
// a public capture of 9.3(1), gnetcli's tests. "Ambiguous command": the lists of
// unicon and gnetcli. "Invalid input detected" is in unicon's list, too; that a Nexus
// says it of values is unverified.
const (
	badCommand = "% Invalid command at '^' marker."
	badInput   = "% Invalid input detected at '^' marker."
	badRange   = "Invalid range at '^' marker."
	incomplete = "% Incomplete command at '^' marker."
	ambiguous  = "% Ambiguous command at '^' marker."
)

// match finds the handler of a line. exists says which interfaces there are.
func (g *grammar) match(toks []token, exists func(string) bool) (any, args, *complaint) {
	a := args{text: map[string]string{}}
	live, pos := g.lines, 0
	for i := 0; i < len(toks); pos++ {
		word, used, why := choose(live, pos, toks[i:], exists, &a)
		if used == 0 {
			return nil, a, &complaint{why, i}
		}
		var next []line
		for _, l := range live {
			if pos < len(l.words) && l.words[pos] == word {
				next = append(next, l)
			}
		}
		live, i = next, i+used
	}
	for _, l := range live {
		if len(l.words) == pos {
			return l.run, a, nil
		}
	}
	return nil, a, &complaint{incomplete, len(toks)}
}

// choose picks the word of the patterns that the next tokens are: a whole keyword
// before values, a keyword's beginning before free text.
func choose(live []line, pos int, toks []token, exists func(string) bool, a *args) (word string, used int, why string) {
	typed := strings.ToLower(toks[0].text)
	why = badCommand
	prefixed := map[string]bool{}
	var values, free []string
	for _, l := range live {
		if pos >= len(l.words) {
			continue
		}
		w := l.words[pos]
		_, kind, parameter := strings.Cut(w, "=")
		switch {
		case !parameter && w == typed:
			return w, 1, ""
		case !parameter && strings.HasPrefix(w, typed):
			prefixed[w] = true
		case kind == "WORD" || kind == "LINE":
			free = append(free, w)
		case parameter:
			values = append(values, w)
		}
	}
	for _, w := range values {
		n, problem := value(w, toks, exists, a)
		if n > 0 {
			return w, n, ""
		}
		if problem != "" {
			why = problem
		}
	}
	if len(prefixed) == 1 {
		for w := range prefixed {
			return w, 1, ""
		}
	}
	if len(free) > 0 {
		n, _ := value(free[0], toks, exists, a)
		return free[0], n, ""
	}
	if len(prefixed) > 1 {
		why = ambiguous
	}
	return "", 0, why
}

// value reads a parameter and tells how many tokens it took, 0 for none.
func value(word string, toks []token, exists func(string) bool, a *args) (used int, problem string) {
	key, kind, _ := strings.Cut(word, "=")
	text := toks[0].text
	switch kind {
	case "WORD":
	case "LINE":
		words := make([]string, len(toks))
		for i, t := range toks {
			words[i] = t.text
		}
		a.text[key] = strings.Join(words, " ")
		return len(toks), ""
	case "IP":
		ip, err := netip.ParseAddr(text)
		if err != nil || !ip.Is4() {
			return 0, badInput
		}
	case "PREFIX":
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() {
			return 0, badInput
		}
	case "PORT", "ANYPORT", "PORTS":
		names, n := parsePorts(toks)
		if n == 0 || kind != "PORTS" && len(names) != 1 {
			return 0, badInput
		}
		for _, name := range names {
			if !exists(name) && (kind != "ANYPORT" || !makeable(name)) {
				return 0, badInput
			}
		}
		a.ports, a.text[key] = names, names[0]
		return n, ""
	case "VLANS":
		ids, n, ok := parseVLANs(toks)
		if !ok {
			return 0, badRange
		}
		a.vlans, a.text[key] = ids, vlanList(ids)
		return n, ""
	default:
		if strings.HasPrefix(kind, "{") {
			text = chosen(strings.Split(strings.Trim(kind, "{}"), ","), text)
			if text == "" {
				return 0, ""
			}
			break
		}
		low, high, _ := strings.Cut(kind, "-")
		l, _ := strconv.Atoi(low)
		h, _ := strconv.Atoi(high)
		n, ok := decimal(text)
		if !ok {
			return 0, badInput
		}
		if n < l || n > h {
			return 0, badRange
		}
		text = strconv.Itoa(n)
	}
	a.text[key] = text
	return 1, ""
}

// chosen resolves an abbreviated choice, "" if none or several fit.
func chosen(choices []string, typed string) string {
	found := ""
	for _, c := range choices {
		switch {
		case strings.EqualFold(c, typed):
			return c
		case !strings.HasPrefix(c, strings.ToLower(typed)):
		case found != "":
			return ""
		default:
			found = c
		}
	}
	return found
}

func decimal(s string) (int, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
