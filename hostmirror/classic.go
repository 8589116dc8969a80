package hostmirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Instructions of classic BPF (linux/bpf_common.h, linux/filter.h). The kernel runs such
// programs without CAP_BPF. They jump forward only, and reading behind the frame's end
// ends a program with 0.
const (
	opLoadWord   = 0x20 // A = 4 bytes at K
	opLoadHalf   = 0x28 // A = 2 bytes at K
	opWordAtX    = 0x40 // A = 4 bytes at X+K
	opHalfAtX    = 0x48 // A = 2 bytes at X+K
	opByteAtX    = 0x50 // A = 1 byte at X+K
	opLength     = 0x80 // A = length of the frame
	opSet        = 0x00 // A = K
	opRecall     = 0x60 // A = M[K]
	opSetX       = 0x01 // X = K
	opRecallX    = 0x61 // X = M[K]
	opStore      = 0x02 // M[K] = A
	opStoreX     = 0x03 // M[K] = X
	opAdd        = 0x04 // A += K
	opAddX       = 0x0c // A += X
	opSubtractX  = 0x1c // A -= X
	opAnd        = 0x54 // A &= K
	opShiftLeft  = 0x64 // A <<= K
	opGoto       = 0x05 // skip K
	opEqual      = 0x15 // A == K ? skip JT : skip JF
	opGreater    = 0x25 // A > K
	opAtLeast    = 0x35 // A >= K
	opAnyBit     = 0x45 // A & K
	opReturn     = 0x06 // return K
	opMoveToX    = 0x07 // X = A
	opMoveFromX  = 0x87 // A = X
	vlanTag      = 0xfffff02c
	vlanPresent  = 0xfffff030
	etherIPv4    = 0x0800
	etherIPv6    = 0x86dd
	etherVLAN    = 0x8100
	etherQinQ    = 0x88a8
	etherSize    = 14
	maxTags      = 2 // in the frame itself
	maxHeaders   = 4 // IPv6 extension headers
	fragmentKind = 44
)

// Places in the program's memory for what the rules ask about.
const (
	memVLAN   = iota // id of the outermost tag
	memFamily        // 4, 6, or 0 for frames that are not IP
	memAt            // bytes of tags in the frame: IP begins behind them and Ethernet's header
	memProto         // IP protocol
	memSport         // ports of TCP, UDP and SCTP, of the source and of the destination
	memDport
)

// Numbers of what a frame does not have. No rule asks for them.
const (
	noVLAN  = 1 << 12
	noProto = 1 << 8
	noPort  = 1 << 16
)

// needs says what the rules of a program ask about.
type needs struct{ vlan, ipv4, ipv6, ports bool }

func needsOf(rules []models.Rule) needs {
	var n needs
	for _, r := range rules {
		m := r.Match
		n.vlan = n.vlan || len(m.VLANs) > 0
		n.ports = n.ports || len(m.Sport) > 0 || len(m.Dport) > 0
		if m.Proto != "" || m.Src.IsValid() || m.Dst.IsValid() || len(m.Sport) > 0 || len(m.Dport) > 0 {
			n.ipv4 = n.ipv4 || m.Family() != 6
			n.ipv6 = n.ipv6 || m.Family() != 4
		}
	}
	return n
}

// errTooLarge means rules that do not fit into one classic program.
var errTooLarge = errors.New("too large")

// compileRules gives the program for rules: the first that a frame matches decides, and
// [models.DefaultAction] where none does. No rules give no program: every frame is
// taken. rulesOf reads the program back.
//
// The VLAN of a frame is its outermost tag, wherever the kernel keeps it. IP is looked
// for behind up to two tags in the frame, IPv4 with its real header length, IPv6 behind
// up to four extension headers; later fragments have no ports. A frame that is too short
// for a header does not have it.
func compileRules(rules []models.Rule) ([]tcnl.Instruction, error) {
	rules = models.NormalizeRules(rules)
	if len(rules) == 0 {
		return nil, nil
	}
	a := &assembler{}
	a.prelude(needsOf(rules))
	for i, r := range rules {
		if err := a.rule(r); err != nil {
			return nil, fmt.Errorf("%w: rule %d of the filter: %w", drivers.ErrUnsupported, i+1, err)
		}
	}
	a.verdict(models.DefaultAction(rules))
	if len(a.out) > tcnl.MaxProgram {
		return nil, fmt.Errorf("%w: %w: the filter comes to a program of %d instructions, and the kernel takes %d: use fewer rules, or fewer ranges in them",
			drivers.ErrUnsupported, errTooLarge, len(a.out), tcnl.MaxProgram)
	}
	return a.out, nil
}

// assembler collects a program. Jumps to labels that come later are filled in there.
type assembler struct {
	out     []tcnl.Instruction
	pending map[string][]int // the opGoto that wait for a label
}

func (a *assembler) emit(code uint16, k uint32) {
	a.out = append(a.out, tcnl.Instruction{Code: code, K: k})
}

// jumpTo goes to a label, however far away it is.
func (a *assembler) jumpTo(label string) {
	if a.pending == nil {
		a.pending = make(map[string][]int)
	}
	a.pending[label] = append(a.pending[label], len(a.out))
	a.emit(opGoto, 0)
}

// unless goes on behind it where the condition holds, else to the label.
func (a *assembler) unless(code uint16, k uint32, label string) {
	a.out = append(a.out, tcnl.Instruction{Code: code, JT: 1, K: k})
	a.jumpTo(label)
}

// when goes to the label where the condition holds, else on behind it.
func (a *assembler) when(code uint16, k uint32, label string) {
	a.out = append(a.out, tcnl.Instruction{Code: code, JF: 1, K: k})
	a.jumpTo(label)
}

// here is where jumps to the label go.
func (a *assembler) here(label string) {
	for _, at := range a.pending[label] {
		a.out[at].K = uint32(len(a.out) - at - 1)
	}
	delete(a.pending, label)
}

func (a *assembler) verdict(action models.Action) {
	k := uint32(0)
	if action == models.Include {
		k = math.MaxUint32
	}
	a.emit(opReturn, k)
}

func (a *assembler) set(mem, value uint32) {
	a.emit(opSet, value)
	a.emit(opStore, mem)
}

// has goes to the label when the frame has fewer than n bytes behind X.
func (a *assembler) has(n uint32, otherwise string) {
	a.emit(opLength, 0)
	a.emit(opSubtractX, 0)
	// X can be behind the end: the difference is a large number then.
	a.out = append(a.out, tcnl.Instruction{Code: opAtLeast, JT: 1, K: 1 << 31})
	a.unless(opAtLeast, n, otherwise)
}

// prelude finds out about the frame what the rules need.
func (a *assembler) prelude(n needs) {
	if n.vlan {
		a.findVLAN()
	}
	if n.ipv4 || n.ipv6 {
		a.findIP(n)
	}
}

func (a *assembler) findVLAN() {
	a.set(memVLAN, noVLAN)
	a.emit(opLoadWord, vlanPresent)
	a.when(opEqual, 0, "in the frame")
	a.emit(opLoadWord, vlanTag)
	a.jumpTo("tag found")
	a.here("in the frame")
	a.emit(opLength, 0)
	a.unless(opAtLeast, etherSize+4, "no tag")
	a.emit(opLoadHalf, 12)
	a.when(opEqual, etherVLAN, "is a tag")
	a.unless(opEqual, etherQinQ, "no tag")
	a.here("is a tag")
	a.emit(opLoadHalf, 14)
	a.here("tag found")
	a.emit(opAnd, 0xfff)
	a.emit(opStore, memVLAN)
	a.here("no tag")
}

// findIP leaves what it has when the frame is too short for more.
func (a *assembler) findIP(n needs) {
	a.set(memFamily, 0)
	a.set(memProto, noProto)
	if n.ports {
		a.set(memSport, noPort)
		a.set(memDport, noPort)
	}
	a.emit(opSetX, 0)
	a.emit(opStoreX, memAt)
	for range maxTags {
		a.emit(opHalfAtX, 12)
		a.when(opEqual, etherVLAN, "one more tag")
		a.unless(opEqual, etherQinQ, "behind tags")
		a.here("one more tag")
		a.has(etherSize+4, "known")
		a.emit(opMoveFromX, 0)
		a.emit(opAdd, 4)
		a.emit(opMoveToX, 0)
	}
	a.here("behind tags")
	a.emit(opStoreX, memAt)
	a.emit(opHalfAtX, 12)
	if n.ipv4 {
		a.unless(opEqual, etherIPv4, "not IPv4")
		a.ipv4(n.ports)
		a.here("not IPv4")
	}
	if n.ipv6 {
		a.unless(opEqual, etherIPv6, "known")
		a.ipv6(n.ports)
	} else {
		a.jumpTo("known")
	}
	if n.ports {
		a.here("ports")
		a.emit(opRecall, memProto)
		a.when(opEqual, 6, "has ports")
		a.when(opEqual, 17, "has ports")
		a.unless(opEqual, 132, "known")
		a.here("has ports")
		a.has(etherSize+4, "known")
		a.emit(opHalfAtX, etherSize)
		a.emit(opStore, memSport)
		a.emit(opHalfAtX, etherSize+2)
		a.emit(opStore, memDport)
	}
	a.here("known")
}

// ipv4 ends with X such that the next header begins etherSize bytes behind it.
func (a *assembler) ipv4(ports bool) {
	a.has(etherSize+20, "known")
	a.emit(opByteAtX, etherSize)
	a.unless(opAtLeast, 0x45, "known") // the version, and words of header
	a.when(opGreater, 0x4f, "known")
	a.set(memFamily, 4)
	a.emit(opByteAtX, etherSize+9)
	a.emit(opStore, memProto)
	if ports {
		a.emit(opHalfAtX, etherSize+6)
		a.when(opAnyBit, 0x1fff, "known") // a later fragment
		a.emit(opByteAtX, etherSize)
		a.emit(opAnd, 0x0f)
		a.emit(opShiftLeft, 2)
		a.emit(opAddX, 0)
		a.emit(opMoveToX, 0)
		a.jumpTo("ports")
		return
	}
	a.jumpTo("known")
}

// ipv6 ends like ipv4. What comes behind more extension headers than it reads counts as
// the protocol.
func (a *assembler) ipv6(ports bool) {
	a.has(etherSize+40, "known")
	a.emit(opByteAtX, etherSize)
	a.emit(opAnd, 0xf0)
	a.unless(opEqual, 0x60, "known") // the version
	a.set(memFamily, 6)
	a.emit(opByteAtX, etherSize+6)
	a.emit(opStore, memProto)
	a.emit(opMoveFromX, 0)
	a.emit(opAdd, 40)
	a.emit(opMoveToX, 0)
	last := "known"
	if ports {
		last = "ports"
	}
	for range maxHeaders {
		a.emit(opRecall, memProto)
		a.when(opEqual, fragmentKind, "fragment")
		a.when(opEqual, 0, "options")  // hop-by-hop
		a.when(opEqual, 43, "options") // routing
		a.unless(opEqual, 60, last)    // destination
		a.here("options")
		a.has(etherSize+8, "known")
		a.emit(opByteAtX, etherSize)
		a.emit(opStore, memProto)
		a.emit(opByteAtX, etherSize+1)
		a.emit(opShiftLeft, 3)
		a.emit(opAdd, 8)
		a.emit(opAddX, 0)
		a.emit(opMoveToX, 0)
		a.jumpTo("next header")
		a.here("fragment")
		a.has(etherSize+8, "known")
		a.emit(opByteAtX, etherSize)
		a.emit(opStore, memProto)
		a.emit(opHalfAtX, etherSize+2)
		a.when(opAnyBit, 0xfff8, "known") // a later fragment
		a.emit(opMoveFromX, 0)
		a.emit(opAdd, 8)
		a.emit(opMoveToX, 0)
		a.here("next header")
	}
	if !ports {
		a.jumpTo("known")
	}
}

// rule is the tests of a rule, in a fixed order, and its verdict.
func (a *assembler) rule(r models.Rule) error {
	const next = "next rule"
	m := r.Match
	family := m.Family()
	if family < 0 {
		return fmt.Errorf("its addresses and protocol are of different IP versions")
	}
	a.ranges(memVLAN, m.VLANs)
	if family != 0 {
		a.emit(opRecall, memFamily)
		a.unless(opEqual, uint32(family), next)
	}
	if m.Proto != "" {
		n, ok := models.ProtocolNumber(m.Proto)
		if !ok {
			return fmt.Errorf("protocol %q is not known", m.Proto)
		}
		a.emit(opRecall, memProto)
		a.unless(opEqual, uint32(n), next)
	}
	if m.Src.IsValid() && m.Src.Bits() > 0 || m.Dst.IsValid() && m.Dst.Bits() > 0 {
		a.emit(opRecallX, memAt)
	}
	src, dst := addressAt(family)
	a.prefix(m.Src.Prefix, src)
	a.prefix(m.Dst.Prefix, dst)
	a.ranges(memSport, m.Sport)
	a.ranges(memDport, m.Dport)
	a.verdict(r.Action)
	a.here(next)
	return nil
}

// addressAt gives where a header has its addresses, counted from X.
func addressAt(family int) (src, dst uint32) {
	if family == 6 {
		return etherSize + 8, etherSize + 24
	}
	return etherSize + 12, etherSize + 16
}

// prefix compares as many words of the address as the prefix reaches into.
func (a *assembler) prefix(p netip.Prefix, at uint32) {
	if !p.IsValid() {
		return
	}
	b := p.Masked().Addr().AsSlice()
	for word, left := uint32(0), p.Bits(); left > 0; word, left = word+4, left-32 {
		a.emit(opWordAtX, at+word)
		if left < 32 {
			a.emit(opAnd, ^uint32(0)<<(32-left))
		}
		a.unless(opEqual, binary.BigEndian.Uint32(b[word:]), "next rule")
	}
}

// ranges holds when the number in memory lies in one of them.
func (a *assembler) ranges(mem uint32, list []models.Range) {
	if len(list) == 0 {
		return
	}
	a.emit(opRecall, mem)
	for _, r := range list {
		a.out = append(a.out,
			tcnl.Instruction{Code: opAtLeast, JF: 2, K: uint32(r.First)},
			tcnl.Instruction{Code: opGreater, JT: 1, K: uint32(r.Last)})
		a.jumpTo("in a range")
	}
	a.jumpTo("next rule")
	a.here("in a range")
}
