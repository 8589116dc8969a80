package hostmirror

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models/plan"
)

type verb string

const (
	addQdisc  verb = "qdisc add"
	addFilter verb = "filter add"
	delFilter verb = "filter del"
)

// operation is one step of a script: a tc command, or a change of a program. Fields that a verb does not use
// are zero.
type operation struct {
	Verb     verb
	Dev      string
	Hook     tcnl.Hook
	Chain    uint32
	Priority uint16
	Protocol uint16
	Kind     string
	Handle   uint32      // of delFilter
	Target   string      // of addFilter
	Cookie   tcnl.Cookie // of addFilter, and what delFilter must find
	// Program and OneIn are those of tcnl.Mirror, for addFilter.
	Program []tcnl.Instruction
	OneIn   uint16

	Link  linknl.Spec // of addLink
	Guard tcnl.Guard  // of verbs of guards, without the interface index

	// Of verbs of programs. Destinations are by name; their indexes are 0.
	Copy   bpfcopy.Session
	Tunnel bpfcopy.Tunnel
	Index  int // interface index, of forgetCopy
}

// selectors are the words with which tc makes a filter take every frame.
var selectors = map[string]string{
	tcnl.MatchAll: "matchall",
	tcnl.U32:      "u32 match u32 0 0",
	tcnl.BPF:      "bpf bytecode '1,6 0 0 4294967295'",
}

// String gives the tc command. A comment says what tc has no word for, the cookie that a
// deleted filter must have, and what the program of a filter does.
func (o operation) String() string {
	if text, ok := o.linkText(); ok {
		return text
	}
	switch o.Verb {
	case addQdisc:
		return "tc qdisc add dev " + quote(o.Dev) + " clsact"
	case addFilter:
		selector, comment := selectors[o.Kind], ""
		if len(o.Program) > 0 {
			selector = "bpf bytecode '" + bytecode(o.Program) + "'"
			if rules, err := rulesOf(o.Program); err == nil {
				comment = " # " + plan.FilterText(rules)
			}
		}
		sample := ""
		if o.OneIn > 1 {
			sample = fmt.Sprintf("action gact continue random determ pipe %d cookie %s ", o.OneIn, o.Cookie)
		}
		return fmt.Sprintf("tc filter add dev %s %s pref %d protocol all %s %saction mirred egress mirror dev %s continue cookie %s%s",
			quote(o.Dev), o.Hook, o.Priority, selector, sample, quote(o.Target), o.Cookie, comment)
	case delFilter:
		chain := ""
		if o.Chain != 0 {
			chain = fmt.Sprintf(" chain %d", o.Chain)
		}
		return fmt.Sprintf("tc filter del dev %s %s%s pref %d protocol %s handle %s %s # cookie %s",
			quote(o.Dev), o.Hook, chain, o.Priority, protocolText(o.Protocol), handleText(o.Kind, o.Handle), o.Kind, o.Cookie)
	default:
		if o.Verb.program() {
			return o.programText()
		}
		return string(o.Verb)
	}
}

// parseOperation reads what String writes, and nothing else.
func parseOperation(s string) (operation, error) {
	o, err := readOperation(s)
	if err == nil && o.String() != s {
		err = fmt.Errorf("is not written as %q", o)
	}
	if err != nil {
		return operation{}, fmt.Errorf("step %q: %w", s, err)
	}
	return o, nil
}

func readOperation(s string) (operation, error) {
	if o, ok, err := readLink(s); ok || err != nil {
		return o, err
	}
	words, err := split(s)
	if err != nil {
		return operation{}, err
	}
	r := &reader{words: words}
	if r.peek() == "bpf" {
		return r.readProgram()
	}
	r.expect("tc")
	o := operation{Verb: verb(r.next() + " " + r.next())}
	r.expect("dev")
	o.Dev = r.next()
	switch o.Verb {
	case addQdisc:
		r.expect("clsact")
	case addFilter:
		o.Hook = r.hook()
		r.expect("pref")
		o.Priority = uint16(r.number(16))
		r.expect("protocol", "all")
		o.Protocol = tcnl.ProtocolAll
		o.Kind = r.next()
		known, err := split(selectors[o.Kind])
		switch {
		case err != nil || len(known) == 0:
			return operation{}, fmt.Errorf("classifier %q is not one that takes every frame", o.Kind)
		case o.Kind == tcnl.BPF:
			r.expect("bytecode")
			if text := r.next(); text != known[2] {
				if o.Program, err = parseBytecode(text); err != nil {
					return operation{}, err
				}
			}
		default:
			r.expect(known[1:]...)
		}
		r.expect("action")
		if r.peek() == "gact" {
			r.expect("gact", "continue", "random", "determ", "pipe")
			o.OneIn = uint16(r.number(16))
			r.expect("cookie")
			o.Cookie = r.cookie()
			r.expect("action")
		}
		r.expect("mirred", "egress", "mirror", "dev")
		o.Target = r.next()
		r.expect("continue", "cookie")
		o.Cookie = r.cookie()
		if r.peek() == "#" { // String must say the same
			r.words = nil
		}
	case delFilter:
		o.Hook = r.hook()
		if r.peek() == "chain" {
			r.next()
			o.Chain = uint32(r.number(32))
		}
		r.expect("pref")
		o.Priority = uint16(r.number(16))
		r.expect("protocol")
		o.Protocol = r.protocol()
		r.expect("handle")
		handle := r.next()
		o.Kind = r.next()
		if o.Handle, err = parseHandle(o.Kind, handle); err != nil {
			return operation{}, err
		}
		r.expect("#", "cookie")
		o.Cookie = r.cookie()
	default:
		return operation{}, fmt.Errorf("%q is not one of qdisc add, filter add, filter del", o.Verb)
	}
	return o, r.end()
}

// bytecode writes a program as tc does: the number of instructions and, for each, code,
// both jumps and operand.
func bytecode(program []tcnl.Instruction) string {
	var b strings.Builder
	fmt.Fprint(&b, len(program))
	for _, in := range program {
		fmt.Fprintf(&b, ",%d %d %d %d", in.Code, in.JT, in.JF, in.K)
	}
	return b.String()
}

// parseBytecode reads what bytecode writes of a program that stands for rules.
func parseBytecode(s string) ([]tcnl.Instruction, error) {
	_, list, _ := strings.Cut(s, ",")
	var out []tcnl.Instruction
	for text := range strings.SplitSeq(list, ",") {
		var numbers [4]uint64
		fields := strings.Split(text, " ")
		if len(fields) != len(numbers) {
			return nil, fmt.Errorf("instruction %q: want four numbers", text)
		}
		for i, bits := range []int{16, 8, 8, 32} {
			var err error
			if numbers[i], err = strconv.ParseUint(fields[i], 10, bits); err != nil {
				return nil, fmt.Errorf("instruction %q: %q is not a number of %d bits", text, fields[i], bits)
			}
		}
		out = append(out, tcnl.Instruction{Code: uint16(numbers[0]), JT: uint8(numbers[1]), JF: uint8(numbers[2]), K: uint32(numbers[3])})
	}
	if _, err := rulesOf(out); err != nil {
		return nil, err
	}
	return out, nil
}

// reader takes words one by one and keeps the first error.
type reader struct {
	words []string
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

func (r *reader) next() string {
	if len(r.words) == 0 {
		r.fail("ends too early")
		return ""
	}
	w := r.words[0]
	r.words = r.words[1:]
	return w
}

func (r *reader) expect(words ...string) {
	for _, w := range words {
		if got := r.next(); got != w {
			r.fail("has %q where %q belongs", got, w)
		}
	}
}

func (r *reader) number(bits int) uint64 {
	w := r.next()
	n, err := strconv.ParseUint(w, 10, bits)
	if err != nil {
		r.fail("%q is not a number of %d bits", w, bits)
	}
	return n
}

func (r *reader) hook() tcnl.Hook {
	switch w := r.next(); w {
	case "ingress":
		return tcnl.Ingress
	case "egress":
		return tcnl.Egress
	default:
		r.fail("%q is neither ingress nor egress", w)
		return tcnl.HookUnset
	}
}

func (r *reader) protocol() uint16 {
	w := r.next()
	if w == "all" {
		return tcnl.ProtocolAll
	}
	n, err := strconv.ParseUint(w, 0, 16)
	if err != nil {
		r.fail("protocol %q is neither all nor a number", w)
	}
	return uint16(n)
}

func (r *reader) cookie() tcnl.Cookie {
	c, err := tcnl.ParseCookie(r.next())
	if err != nil {
		r.fail("%w", err)
	}
	return c
}

func (r *reader) end() error {
	if len(r.words) > 0 {
		r.fail("has %q too much", r.words[0])
	}
	return r.err
}

func protocolText(p uint16) string {
	if p == tcnl.ProtocolAll {
		return "all"
	}
	return fmt.Sprintf("%#04x", p)
}

// handleText writes a handle as tc does: hash table, bucket and node of u32, a
// number of the others.
func handleText(kind string, h uint32) string {
	if kind != tcnl.U32 {
		return fmt.Sprintf("%#x", h)
	}
	bucket := ""
	if b := h >> 12 & 0xff; b != 0 {
		bucket = strconv.FormatUint(uint64(b), 16)
	}
	return fmt.Sprintf("%x:%s:%x", h>>20, bucket, h&0xfff)
}

var errHandle = errors.New("is not a handle")

func parseHandle(kind, s string) (uint32, error) {
	if kind != tcnl.U32 {
		n, err := strconv.ParseUint(s, 0, 32)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%q %w", s, errHandle)
		}
		return uint32(n), nil
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q %w of u32", s, errHandle)
	}
	var h uint32
	for i, f := range []struct{ bits, shift int }{{12, 20}, {8, 12}, {12, 0}} {
		if i == 1 && parts[i] == "" {
			continue
		}
		n, err := strconv.ParseUint(parts[i], 16, f.bits)
		if err != nil {
			return 0, fmt.Errorf("%q %w of u32", s, errHandle)
		}
		h |= uint32(n) << f.shift
	}
	return h, nil
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@+-/,="

// quote writes a word for a shell. Interface names may hold nearly anything.
func quote(s string) string {
	if s != "" && strings.Trim(s, plainRunes) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// split takes a line apart as a shell would: words between spaces, single quotes,
// a quote mark behind a backslash. The mark of a comment is a word here.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, inQuotes := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\'':
			inQuotes, inWord = !inQuotes, true
		case inQuotes:
			word.WriteByte(c)
		case c == '\\':
			i++
			if i == len(s) {
				return nil, errors.New("ends with a backslash")
			}
			word.WriteByte(s[i])
			inWord = true
		case c == ' ':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inQuotes {
		return nil, errors.New("has an open quote")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
