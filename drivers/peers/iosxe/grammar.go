package iosxe

import (
	"net/netip"
	"strconv"
	"strings"
)

// A grammar is a tree of keywords and parameters. It is written as patterns:
//
//	word         a keyword; typed by any prefix that no other keyword shares, in any case
//	key=KIND     a parameter: WORD, LINE (the rest of the line), PORT (an interface
//	             that exists), ANYPORT (or a virtual one to be made), PORTS and VLANS
//	             (lists in the manner of "monitor session", with blanks), VLANSET
//	             (without blanks), IP, IP6, <low-high>, {a,b,c}
//	[a b]        optional
//	(a|b)        one of
type grammar struct{ root *node }

type node struct {
	word      string // keyword in lower case, or "" for a parameter
	key, kind string
	low, high uint64   // of kind INT
	choices   []string // of kind CHOICE
	next      []*node
	run       any // handler of a line that ends here; nil: the line is incomplete
}

// token is a word of a line and where it begins, in bytes.
type token struct {
	text string
	at   int
}

func tokenize(line string) []token {
	var out []token
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		j := i
		for j < len(line) && line[j] != ' ' && line[j] != '\t' {
			j++
		}
		out = append(out, token{line[i:j], i})
		i = j
	}
	return out
}

// args are what a pattern matched.
type args struct {
	words map[string]bool
	text  map[string]string
	ports map[string][]string // full names
	vlans map[string][]int    // sorted
}

func newArgs() args {
	return args{words: map[string]bool{}, text: map[string]string{}, ports: map[string][]string{}, vlans: map[string][]int{}}
}

func (a args) has(word string) bool  { return a.words[word] }
func (a args) given(key string) bool { _, ok := a.text[key]; return ok }
func (a args) num(key string) int    { n, _ := strconv.Atoi(a.text[key]); return n }
func (a args) oneOf(words ...string) string {
	for _, w := range words {
		if a.words[w] {
			return w
		}
	}
	return ""
}

// failure is why a line is no command: what IOS says and at which token.
type failure struct {
	kind failureKind
	tok  int
}

type failureKind int

const (
	invalid failureKind = iota + 1
	incomplete
	ambiguous
)

// worse tells which of two failures says more: the one that got further.
func (f *failure) worse(o *failure) bool {
	return o == nil || f.tok > o.tok || f.tok == o.tok && f.kind != invalid && o.kind == invalid
}

// add registers the handler of a pattern. Patterns are written in this package: a
// malformed one is a bug and panics.
func (g *grammar) add(pattern string, run any) {
	if g.root == nil {
		g.root = &node{}
	}
	p := patternParser{toks: patternTokens(pattern)}
	seqs := p.alternatives()
	if len(p.toks) > 0 {
		panic("iosxe: pattern " + pattern)
	}
	for _, seq := range seqs {
		n := g.root
		for _, element := range seq {
			n = n.child(element)
		}
		n.run = run
	}
}

func patternTokens(pattern string) []string {
	return strings.Fields(strings.NewReplacer("[", " [ ", "]", " ] ", "(", " ( ", ")", " ) ", "|", " | ").Replace(pattern))
}

type patternParser struct{ toks []string }

// alternatives reads up to a closing bracket or the end and returns every plain
// sequence of elements that the pattern stands for.
func (p *patternParser) alternatives() [][]string {
	var all [][]string
	current := [][]string{nil}
	for len(p.toks) > 0 {
		t := p.toks[0]
		if t == "]" || t == ")" {
			break
		}
		p.toks = p.toks[1:]
		tails := [][]string{{t}}
		switch t {
		case "|":
			all, current = append(all, current...), [][]string{nil}
			continue
		case "[", "(":
			tails = p.alternatives()
			if len(p.toks) == 0 {
				panic("iosxe: a bracket is not closed")
			}
			p.toks = p.toks[1:]
			if t == "[" {
				tails = append(tails, nil)
			}
		}
		var longer [][]string
		for _, head := range current {
			for _, tail := range tails {
				longer = append(longer, append(append([]string(nil), head...), tail...))
			}
		}
		current = longer
	}
	return append(all, current...)
}

func (n *node) child(element string) *node {
	c := &node{word: strings.ToLower(element)}
	if key, kind, isParam := strings.Cut(element, "="); isParam {
		c.word, c.key, c.kind = "", key, kind
		switch kind[0] {
		case '<':
			low, high, _ := strings.Cut(strings.Trim(kind, "<>"), "-")
			c.low, _ = strconv.ParseUint(low, 10, 64)
			c.high, _ = strconv.ParseUint(high, 10, 64)
			c.kind = "INT"
		case '{':
			c.choices = strings.Split(strings.Trim(kind, "{}"), ",")
			c.kind = "CHOICE"
		}
	}
	for _, k := range n.next {
		if k.word == c.word && k.key == c.key && k.kind == c.kind && k.low == c.low && k.high == c.high {
			return k
		}
	}
	n.next = append(n.next, c)
	return c
}

// match finds the handler of a line. exists says which interfaces there are.
func (g *grammar) match(toks []token, exists func(string) bool) (any, args, *failure) {
	a := newArgs()
	n := g.root
	for i := 0; i < len(toks); {
		next, used, kind := n.step(toks[i:], exists, &a)
		if next == nil {
			return nil, a, &failure{kind, i}
		}
		n, i = next, i+used
	}
	if n.run == nil {
		return nil, a, &failure{incomplete, len(toks)}
	}
	return n.run, a, nil
}

// step consumes the next keyword or parameter: an exact keyword before everything,
// then numbers, addresses and interfaces, then a keyword's prefix, then free text.
func (n *node) step(toks []token, exists func(string) bool, a *args) (next *node, used int, why failureKind) {
	typed := strings.ToLower(toks[0].text)
	var prefixed []*node
	for _, k := range n.next {
		if k.word == typed {
			a.words[k.word] = true
			return k, 1, 0
		}
		if k.word != "" && strings.HasPrefix(k.word, typed) {
			prefixed = append(prefixed, k)
		}
	}
	for _, k := range n.next {
		if k.word != "" || k.kind == "WORD" || k.kind == "LINE" {
			continue
		}
		if used := k.parameter(toks, exists, a); used > 0 {
			return k, used, 0
		}
	}
	if len(prefixed) == 1 {
		a.words[prefixed[0].word] = true
		return prefixed[0], 1, 0
	}
	for _, k := range n.next {
		if k.kind == "WORD" || k.kind == "LINE" {
			return k, k.parameter(toks, exists, a), 0
		}
	}
	if len(prefixed) > 1 {
		return nil, 0, ambiguous
	}
	return nil, 0, invalid
}

// parameter reads a parameter and returns how many tokens it took, 0 for none.
func (n *node) parameter(toks []token, exists func(string) bool, a *args) int {
	t := toks[0].text
	used := 1
	switch n.kind {
	case "WORD":
	case "LINE":
		used = len(toks)
		words := make([]string, used)
		for i := range toks {
			words[i] = toks[i].text
		}
		t = strings.Join(words, " ")
	case "INT":
		v, err := strconv.ParseUint(t, 10, 64)
		if err != nil || v < n.low || v > n.high {
			return 0
		}
		t = strconv.FormatUint(v, 10)
	case "CHOICE":
		if t = chosen(n.choices, t); t == "" {
			return 0
		}
	case "IP", "IP6":
		ip, err := netip.ParseAddr(t)
		if err != nil || ip.Is4() != (n.kind == "IP") || ip.Zone() != "" {
			return 0
		}
		t = ip.String()
	case "PORT", "ANYPORT":
		name, k := parsePort(toks)
		if k == 0 || !exists(name) && (n.kind == "PORT" || !makeable(name)) {
			return 0
		}
		used, t, a.ports[n.key] = k, name, []string{name}
	case "PORTS":
		names, k := parsePorts(toks)
		for _, name := range names {
			if !exists(name) {
				return 0
			}
		}
		if k == 0 {
			return 0
		}
		used, a.ports[n.key] = k, names
	case "VLANS":
		ids, k := parseSpacedVLANs(toks)
		if k == 0 {
			return 0
		}
		used, a.vlans[n.key] = k, ids
	case "VLANSET":
		ids, ok := parseVLANSet(t)
		if !ok {
			return 0
		}
		a.vlans[n.key] = ids
	default:
		panic("iosxe: parameter kind " + n.kind)
	}
	a.text[n.key] = t
	return used
}

// chosen resolves an abbreviated choice, "" if none or several fit.
func chosen(choices []string, typed string) string {
	found := ""
	for _, c := range choices {
		if strings.EqualFold(c, typed) {
			return c
		}
		if strings.HasPrefix(c, strings.ToLower(typed)) {
			if found != "" {
				return ""
			}
			found = c
		}
	}
	return found
}
