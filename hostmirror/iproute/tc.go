package iproute

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// Names gives the interface index of a name, 0 for one that is not there.
type Names map[string]int

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{tcnl.ErrMalformed}, args...)...)
}

// Qdiscs reads what "tc qdisc show" prints. Those of devices that names does not have
// are left out: the device was there a moment ago.
func Qdiscs(text string, names Names) ([]tcnl.Qdisc, error) {
	var out []tcnl.Qdisc
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if !strings.HasPrefix(line, "qdisc ") {
			continue // statistics and options that take a line of their own
		}
		if len(w) < 5 || w[3] != "dev" {
			return nil, malformed("qdisc line %q", line)
		}
		q := tcnl.Qdisc{Kind: w[1], Ifindex: names[w[4]], Parent: math.MaxUint32}
		var err error
		if q.Handle, err = classID(w[2]); err != nil {
			return nil, err
		}
		if len(w) > 6 && w[5] == "parent" {
			if q.Parent, err = classID(w[6]); err != nil {
				return nil, err
			}
		}
		if q.Ifindex != 0 {
			out = append(out, q)
		}
	}
	return out, nil
}

// classID reads "ffff:fff1", "800a:" or ":1": two hexadecimal numbers of 16 bits.
func classID(s string) (uint32, error) {
	major, minor, ok := strings.Cut(s, ":")
	var id uint32
	for i, part := range []string{major, minor} {
		if part == "" {
			continue
		}
		n, err := strconv.ParseUint(part, 16, 16)
		if err != nil {
			return 0, malformed("handle %q", s)
		}
		id |= uint32(n) << (16 * (1 - i))
	}
	if !ok {
		return 0, malformed("handle %q", s)
	}
	return id, nil
}

// Filters reads what "tc -s filter show dev DEV ingress", or egress, prints: the
// filters of the hook of the device ifindex in the order of the kernel, u32 tables
// included, as tcnl.Conn.Filters gives them. A target that names does not have is one
// that is gone.
func Filters(text string, ifindex int, hook tcnl.Hook, names Names) ([]tcnl.Filter, error) {
	r := filterReader{names: names}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		var err error
		switch {
		case strings.HasPrefix(line, "filter "):
			r.done()
			err = r.header(line)
		case r.f == nil:
			if strings.TrimSpace(line) != "" {
				err = malformed("%q before the first filter", line)
			}
		case strings.HasPrefix(line, "\taction order "):
			err = r.action(line)
		case len(r.f.Actions) > 0:
			err = r.detail(line)
		case strings.HasPrefix(line, "  match "):
			r.match(line)
		case strings.HasPrefix(line, "    offset "), strings.HasPrefix(line, "    hash mask "):
			r.strange = true
		}
		if err != nil {
			return nil, err
		}
	}
	r.done()
	for i := range r.out {
		r.out[i].Ifindex, r.out[i].Hook = ifindex, hook
	}
	return r.out, nil
}

// filterReader reads filters line by line.
type filterReader struct {
	names Names
	out   []tcnl.Filter

	f        *tcnl.Filter // the one being read
	terminal bool         // u32: what matches is taken
	matches  int          // u32
	masked   bool         // u32: one of the matches looks at something
	strange  bool         // u32: it does more than compare
}

// done ends the filter being read. Those without a handle stand for a priority as
// such.
func (r *filterReader) done() {
	if r.f == nil || r.f.Handle == 0 {
		r.f = nil
		return
	}
	if r.f.Kind == tcnl.U32 {
		r.f.CatchAll = !r.f.Table && r.terminal && r.matches > 0 && !r.masked
		if r.f.CatchAll || r.f.Table || !r.terminal || r.strange || len(r.f.Keys) != r.matches {
			r.f.Keys = nil
		}
	}
	r.out = append(r.out, *r.f)
	r.f = nil
}

// header reads the line that a filter begins with:
//
//	filter [block N] [dev DEV] [ingress] protocol all pref 1 u32 chain 0 fh 800::800 ...
//
// What is in brackets is there when the command did not name it.
func (r *filterReader) header(line string) error {
	*r = filterReader{names: r.names, out: r.out, f: &tcnl.Filter{}}
	f, bad := r.f, func() error { return malformed("filter line %q", line) }
	w := strings.Fields(line)[1:]
	number := func(bits int) uint64 {
		n := uint64(math.MaxUint64)
		if len(w) > 1 {
			if v, err := strconv.ParseUint(w[1], 10, bits); err == nil {
				n = v
			}
			w = w[2:]
		}
		return n
	}
	for f.Protocol == 0 {
		if len(w) < 2 {
			return bad()
		}
		switch w[0] {
		case "root", "ingress", "egress":
			w = w[1:]
		case "dev", "parent":
			w = w[2:]
		case "block":
			n := number(32)
			if n == math.MaxUint64 {
				return bad()
			}
			f.Block = uint32(n)
		case "protocol":
			p, ok := protocol(w[1])
			if !ok {
				return bad()
			}
			f.Protocol = p
			w = w[2:]
		default:
			return bad()
		}
	}
	if len(w) < 3 || w[0] != "pref" {
		return bad()
	}
	pref := number(16)
	if pref == math.MaxUint64 || pref == 0 {
		return bad()
	}
	f.Priority, f.Kind = uint16(pref), w[0]
	w = w[1:]
	if len(w) > 1 && w[0] == "chain" { // of tc and kernel since 2017
		n := number(32)
		if n == math.MaxUint64 {
			return bad()
		}
		f.Chain = uint32(n)
	}
	if len(w) < 2 || w[0] != "handle" && w[0] != "fh" {
		return nil
	}
	h, ok := handle(f.Kind, w[0], w[1])
	if !ok {
		return bad()
	}
	f.Handle = h
	r.classifier(line, w[2:])
	return nil
}

// classifier reads what follows the handle.
func (r *filterReader) classifier(line string, w []string) {
	f := r.f
	switch f.Kind {
	case tcnl.MatchAll:
		f.CatchAll = true
	case tcnl.U32:
		for i, word := range w {
			switch {
			case word == "ht" && i+1 < len(w) && w[i+1] == "divisor":
				f.Table = true
			case word == "link":
				r.terminal = false
				return
			// The asterisk means "not terminal", but for 6.1 and 6.2, where it means the
			// opposite; what has a flow and no link is terminal.
			case word == "flowid", word == "*flowid":
				r.terminal = true
				if i+1 < len(w) {
					f.Class = class(w[i+1])
				}
			}
		}
	case tcnl.BPF:
		r.bpf(line, w)
	}
}

// bpfWords can follow the handle of a bpf filter that has no name.
var bpfWords = map[string]bool{
	"direct-action": true, "skip_hw": true, "skip_sw": true, "in_hw": true, "not_in_hw": true, "bytecode": true, "id": true, "tag": true, "jited": true,
}

func (r *filterReader) bpf(line string, w []string) {
	if len(w) > 1 && w[0] == "flowid" {
		w = w[2:]
	}
	if len(w) > 0 && !bpfWords[w[0]] {
		r.f.Name = w[0]
		w = w[1:]
	}
	for len(w) > 0 && bpfWords[w[0]] && w[0] != "bytecode" && w[0] != "id" && w[0] != "tag" {
		r.f.Direct = r.f.Direct || w[0] == "direct-action"
		w = w[1:]
	}
	if len(w) == 0 || w[0] != "bytecode" {
		return
	}
	_, text, _ := strings.Cut(line, " bytecode '")
	text, _, _ = strings.Cut(text, "'")
	r.f.CatchAll = !r.f.Direct && text == catchAllProgram
	r.f.DropAll = r.f.Direct && text == dropAllProgram
	if !r.f.CatchAll && !r.f.Direct {
		r.f.Program = program(text)
	}
}

// catchAllProgram is the classic program "return -1" as tc writes it.
const catchAllProgram = "1,6 0 0 4294967295"

// dropAllProgram is "return 2", which with direct action drops the frame.
const dropAllProgram = "1,6 0 0 2"

// program reads "2,40 0 0 12,6 0 0 0": the number of instructions and, for each, code,
// both jumps and operand. It gives nil for what it cannot read, which then is a program
// that nobody knows.
func program(text string) []tcnl.Instruction {
	count, list, _ := strings.Cut(text, ",")
	var out []tcnl.Instruction
	for item := range strings.SplitSeq(list, ",") {
		w := strings.Fields(item)
		var n [4]uint64
		if len(w) != len(n) {
			return nil
		}
		for i, bits := range []int{16, 8, 8, 32} {
			var err error
			if n[i], err = strconv.ParseUint(w[i], 10, bits); err != nil {
				return nil
			}
		}
		out = append(out, tcnl.Instruction{Code: uint16(n[0]), JT: uint8(n[1]), JF: uint8(n[2]), K: uint32(n[3])})
	}
	if count != strconv.Itoa(len(out)) {
		return nil
	}
	return out
}

// match reads a line such as "  match 00000000/00000000 at 0".
func (r *filterReader) match(line string) {
	r.matches++
	w := strings.Fields(line)
	text, mask, ok := strings.Cut(w[1%len(w)], "/")
	n, err := strconv.ParseUint(mask, 16, 32)
	if !ok || err != nil || n != 0 {
		r.masked = true
	}
	value, verr := strconv.ParseUint(text, 16, 32)
	if err != nil || verr != nil || len(w) < 4 || w[2] != "at" {
		return // such as an offset that the packet gives: not one of the keys
	}
	if at, err := strconv.ParseInt(w[3], 10, 32); err == nil {
		r.f.Keys = append(r.f.Keys, tcnl.Key{Value: uint32(value), Mask: uint32(n), Offset: int32(at)})
	}
}

// class reads a class, major and minor in hexadecimal; 0 of what is none.
func class(s string) uint32 {
	major, minor, ok := strings.Cut(s, ":")
	a, aerr := strconv.ParseUint("0"+major, 16, 16)
	b, berr := strconv.ParseUint("0"+minor, 16, 16)
	if !ok || aerr != nil || berr != nil {
		return 0
	}
	return uint32(a<<16 | b)
}

// handle reads a filter's handle: hash table, bucket and node of u32, a number of the
// others. A kind that tc does not know it writes as fh and eight digits.
func handle(kind, word, s string) (uint32, bool) {
	if kind == tcnl.U32 {
		return u32Handle(s)
	}
	s, _, _ = strings.Cut(s, "/") // the mask of fw
	base := 0
	if word == "fh" && !strings.HasPrefix(s, "0x") {
		base = 16
	}
	n, err := strconv.ParseUint(s, base, 32)
	return uint32(n), err == nil
}

func u32Handle(s string) (uint32, bool) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	var h uint32
	for i, f := range []struct{ bits, shift int }{{12, 20}, {8, 12}, {12, 0}} {
		if i >= len(parts) || parts[i] == "" {
			continue
		}
		n, err := strconv.ParseUint(parts[i], 16, f.bits)
		if err != nil {
			return 0, false
		}
		h |= uint32(n) << f.shift
	}
	return h, true
}

// protocols are the names that tc gives to protocols without asking a file
// (lib/ll_proto.c), as far as hosts filter for them. Others are written as a number in
// brackets, or with a name that is of no interest here.
var protocols = map[string]uint16{
	"all": tcnl.ProtocolAll, "ip": 0x0800, "ipv4": 0x0800, "arp": 0x0806, "ipv6": 0x86dd, "802.1Q": 0x8100, "802.1ad": 0x88a8,
	"mpls_uc": 0x8847, "mpls_mc": 0x8848, "ppp_disc": 0x8863, "ppp_ses": 0x8864, "802_3": 0x0001, "802_2": 0x0004, "LLDP": 0x88cc,
	"aoe": 0x88a2, "tipc": 0x88ca, "rarp": 0x8035, "loop": 0x0060, "teb": 0x6558, "cfm": 0x8902, "x25": 0x0805, "ipx": 0x8137, "profinet": 0x8892, "ethercat": 0x88a4,
}

var bracketed = regexp.MustCompile(`^\[(\d+)\]$`)

// otherProtocol stands for a protocol whose name is not known. It is not ours.
const otherProtocol = 0xffff

func protocol(s string) (uint16, bool) {
	if p, ok := protocols[s]; ok {
		return p, true
	}
	m := bracketed.FindStringSubmatch(s)
	if m == nil {
		return otherProtocol, s != ""
	}
	n, err := strconv.ParseUint(m[1], 10, 16)
	return uint16(n), err == nil && n != 0
}

var verdicts = map[string]tcnl.Verdict{
	"continue": tcnl.Continue, "pass": tcnl.OK, "reclassify": 1, "drop": tcnl.Shot, "pipe": tcnl.Pipe, "stolen": tcnl.Stolen, "trap": 8,
}

var chances = map[string]tcnl.ChanceType{"netrand": tcnl.NetRand, "determ": tcnl.Determ}

var modes = map[string]tcnl.MirredMode{
	"Egress Redirect": tcnl.EgressRedirect, "Egress Mirror": tcnl.EgressMirror,
	"Ingress Redirect": tcnl.IngressRedirect, "Ingress Mirror": tcnl.IngressMirror,
}

var (
	actionLine = regexp.MustCompile(`^\taction order \d+: +(\S+) ?(.*)$`)
	mirredText = regexp.MustCompile(`^\((.*?) to (device|blockid) (.*)\) ?(.*)$`)
	statsLine  = regexp.MustCompile(`^\s*Sent (\d+) bytes (\d+) pkt \(dropped (\d+), overlimits (\d+) requeues (\d+)\)`)
	cookieLine = regexp.MustCompile(`^\tcookie (?:len \d+ )?([0-9a-f]+)\s*$`)
	chanceLine = regexp.MustCompile(`^\s*random type (netrand|determ) (\S+) val (\d+)\s*$`)
	indexLine  = regexp.MustCompile(`^\s*index (\d+) ref \d`)
)

// action reads the line that an action begins with.
func (r *filterReader) action(line string) error {
	m := actionLine.FindStringSubmatch(line)
	if m == nil {
		return malformed("action line %q", line)
	}
	a := tcnl.Action{Kind: m[1]}
	rest := strings.TrimSpace(m[2])
	if a.Kind == "mirred" {
		w := mirredText.FindStringSubmatch(rest)
		if w == nil {
			return malformed("action line %q", line)
		}
		a.Mirred = &tcnl.Mirred{Mode: modes[w[1]]}
		if w[2] == "device" {
			a.Mirred.Ifindex = r.names[w[3]]
		}
		rest = w[4]
	}
	// The verdict ends the line of the actions that have it there. Of others it stays
	// OK, which claims nothing: such a filter decides over frames.
	words := strings.Fields(rest)
	if len(words) > 0 {
		a.Verdict = verdicts[words[len(words)-1]]
	}
	r.f.Actions = append(r.f.Actions, a)
	return nil
}

// detail reads a line about the last action.
func (r *filterReader) detail(line string) error {
	a := &r.f.Actions[len(r.f.Actions)-1]
	if m := statsLine.FindStringSubmatch(line); m != nil {
		var n [5]uint64
		for i, s := range m[1:] {
			var err error
			if n[i], err = strconv.ParseUint(s, 10, 64); err != nil {
				return malformed("statistics %q", line)
			}
		}
		a.Stats = tcnl.Stats{Bytes: n[0], Packets: n[1], Drops: uint32(n[2]), Overlimits: uint32(n[3]), Requeues: uint32(n[4])}
	} else if m := cookieLine.FindStringSubmatch(line); m != nil {
		b, err := hex.DecodeString(m[1])
		if err != nil {
			return malformed("cookie %q", line)
		}
		a.Cookie = b
	} else if m := chanceLine.FindStringSubmatch(line); m != nil && a.Kind == "gact" {
		n, err := strconv.ParseUint(m[3], 10, 16)
		if err != nil {
			return malformed("chance %q", line)
		}
		a.Chance = &tcnl.Chance{Type: chances[m[1]], OneIn: uint16(n), Verdict: verdicts[m[2]]}
	} else if m := indexLine.FindStringSubmatch(line); m != nil {
		n, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return malformed("index %q", line)
		}
		a.Index = uint32(n)
	}
	return nil
}
