package eos

import (
	"net/netip"
	"strconv"
	"strings"
)

// A grammar is a tree of keywords and parameters, as the CLI parser of a switch
// is. It is written as patterns:
//
//	word         a keyword; typed by any unique prefix, in any case
//	key=KIND     a parameter: WORD, LINE, INTF, INTFS, ETHS, VLANS, IP, PREFIX,
//	             TIME, or <low-high> for a decimal number
//	[a b]        optional
//	(a|b)        one of
//
// LINE takes the rest of the line, and INTFS and ETHS take as many words as
// belong to an interface list.
type grammar struct{ root *node }

type node struct {
	word      string // keyword, or "" for a parameter
	key, kind string
	low, high uint64 // of kind INT
	kids      []*node
	run       any // handler of a line that ends here; nil: the line is incomplete
}

// args are the words of a line that a pattern matched.
type args struct {
	words  map[string]bool
	params map[string]string
	lists  map[string][]string
}

func (a args) has(word string) bool     { return a.words[word] }
func (a args) str(key string) string    { return a.params[key] }
func (a args) list(key string) []string { return a.lists[key] }
func (a args) given(key string) bool    { _, ok := a.params[key]; return ok }
func (a args) num(key string) int       { n, _ := strconv.Atoi(a.params[key]); return n }
func (a args) oneOf(words ...string) string {
	for _, w := range words {
		if a.words[w] {
			return w
		}
	}
	return ""
}

func newGrammar() *grammar { return &grammar{root: &node{}} }

// add registers a handler for a pattern. Patterns are written in this package,
// so a malformed one is a bug and panics.
func (g *grammar) add(pattern string, run any) {
	seqs, rest := parseSeq(lexPattern(pattern), "")
	if len(rest) != 0 {
		panic("eos: pattern " + pattern)
	}
	for _, seq := range seqs {
		n := g.root
		for _, el := range seq {
			n = n.child(el)
		}
		n.run = run
	}
}

func (n *node) child(el string) *node {
	nn := &node{}
	key, kind, isParam := strings.Cut(el, "=")
	if isParam {
		nn.key, nn.kind = key, kind
		if strings.HasPrefix(kind, "<") {
			lo, hi, _ := strings.Cut(strings.Trim(kind, "<>"), "-")
			nn.kind = "INT"
			nn.low, _ = strconv.ParseUint(lo, 10, 64)
			nn.high, _ = strconv.ParseUint(hi, 10, 64)
		}
	} else {
		nn.word = strings.ToLower(el)
	}
	for _, k := range n.kids {
		if k.word == nn.word && k.key == nn.key && k.kind == nn.kind && k.low == nn.low && k.high == nn.high {
			return k
		}
	}
	n.kids = append(n.kids, nn)
	return nn
}

func lexPattern(p string) []string {
	for _, c := range []string{"[", "]", "(", ")", "|"} {
		p = strings.ReplaceAll(p, c, " "+c+" ")
	}
	return strings.Fields(p)
}

// parseSeq expands a pattern into all its plain sequences, up to the closing
// bracket.
func parseSeq(toks []string, closing string) (seqs [][]string, rest []string) {
	var done [][]string
	seqs = [][]string{nil}
	for len(toks) > 0 {
		t := toks[0]
		toks = toks[1:]
		switch t {
		case "[", "(":
			end := map[string]string{"[": "]", "(": ")"}[t]
			var inner [][]string
			inner, toks = parseSeq(toks, end)
			if t == "[" {
				inner = append(inner, nil)
			}
			var next [][]string
			for _, s := range seqs {
				for _, in := range inner {
					next = append(next, append(append([]string(nil), s...), in...))
				}
			}
			seqs = next
		case "|":
			done, seqs = append(done, seqs...), [][]string{nil}
		case "]", ")":
			if t != closing {
				panic("eos: pattern bracket")
			}
			return append(done, seqs...), toks
		default:
			for i := range seqs {
				seqs[i] = append(seqs[i], t)
			}
		}
	}
	if closing != "" {
		panic("eos: pattern not closed")
	}
	return append(done, seqs...), nil
}

// parseError is why a line is no command, and at which of its words, from 0.
type parseError struct {
	kind  string // the text after "% "
	token int
	word  string
}

// Texts as in ARISTA transcripts: a line typed in a terminal earns the bare
// text, a command run without one also names the word, as eAPI does
// ("Invalid input (at token 1: 'bad')": aristanetworks/pyeapi and anta tests).
func (e *parseError) text(named bool) string {
	if !named {
		return "% " + e.kind + "\n"
	}
	return "% " + e.kind + " (at token " + strconv.Itoa(e.token) + ": '" + e.word + "')\n"
}

const (
	errInvalid    = "Invalid input"
	errIncomplete = "Incomplete command"
	errAmbiguous  = "Ambiguous command"
)

// match finds the handler of a line. exists says which interfaces the switch
// has; nil accepts every well-formed name.
func (g *grammar) match(toks []string, exists func(string) bool) (any, args, *parseError) {
	a := args{words: map[string]bool{}, params: map[string]string{}, lists: map[string][]string{}}
	n := g.root
	for i := 0; i < len(toks); {
		next, used, err := n.step(toks[i:], exists, &a)
		if err != "" {
			return nil, a, &parseError{kind: err, token: i, word: toks[i]}
		}
		n, i = next, i+used
	}
	if n.run == nil {
		last := ""
		if len(toks) > 0 {
			last = toks[len(toks)-1]
		}
		return nil, a, &parseError{kind: errIncomplete, token: max(len(toks)-1, 0), word: last}
	}
	return n.run, a, nil
}

// step consumes the next word or parameter. An exact keyword wins over
// everything, a WORD parameter over a keyword's prefix.
func (n *node) step(toks []string, exists func(string) bool, a *args) (next *node, used int, err string) {
	low := strings.ToLower(toks[0])
	var prefixed []*node
	free := false
	for _, k := range n.kids {
		if k.word == "" {
			free = free || k.kind == "WORD" || k.kind == "LINE"
			continue
		}
		if k.word == low {
			a.words[k.word] = true
			return k, 1, ""
		}
		if strings.HasPrefix(k.word, low) {
			prefixed = append(prefixed, k)
		}
	}
	if !free && len(prefixed) == 1 {
		a.words[prefixed[0].word] = true
		return prefixed[0], 1, ""
	}
	for _, k := range n.kids {
		if k.word != "" {
			continue
		}
		if used := k.param(toks, exists, a); used > 0 {
			return k, used, ""
		}
	}
	if len(prefixed) > 1 {
		return nil, 0, errAmbiguous
	}
	return nil, 0, errInvalid
}

// param reads a parameter and returns how many words it took, 0 for no match.
func (n *node) param(toks []string, exists func(string) bool, a *args) int {
	t := toks[0]
	switch n.kind {
	case "WORD":
	case "LINE":
		a.params[n.key] = strings.Join(toks, " ")
		return len(toks)
	case "INT":
		v, err := strconv.ParseUint(t, 10, 64)
		if err != nil || v < n.low || v > n.high {
			return 0
		}
		t = strconv.FormatUint(v, 10)
	case "INTF", "INTFS", "ETHS":
		names, used := parseInterfaces(toks)
		if used == 0 || n.kind == "INTF" && len(names) != 1 {
			return 0
		}
		for _, name := range names {
			if exists != nil && !exists(name) || n.kind == "ETHS" && !strings.HasPrefix(name, "Ethernet") && !strings.HasPrefix(name, "Port-Channel") {
				return 0
			}
		}
		a.lists[n.key] = names
		a.params[n.key] = names[0]
		return used
	case "VLANS":
		ids, ok := parseVLANs(t)
		if !ok {
			return 0
		}
		t = formatVLANs(ids)
	case "IP":
		ip, err := netip.ParseAddr(t)
		if err != nil || ip.Zone() != "" {
			return 0
		}
		t = ip.String()
	case "PREFIX":
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return 0
		}
		t = p.String()
	case "TIME":
		if _, ok := parseHMS(t); !ok {
			return 0
		}
	default:
		panic("eos: parameter kind " + n.kind)
	}
	a.params[n.key] = t
	return 1
}
