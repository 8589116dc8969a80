package tcnl

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Attribute numbers (linux/rtnetlink.h, linux/pkt_cls.h, linux/gen_stats.h,
// linux/tc_act/tc_mirred.h).
const (
	tcaKind    = 1
	tcaOptions = 2
	tcaChain   = 11

	actKind    = 1
	actOptions = 2
	actIndex   = 3
	actStats   = 4
	actCookie  = 6

	statsBasic = 1
	statsQueue = 3
	statsPkt64 = 8

	mirredParms = 2

	gactParms = 2
	gactProb  = 3

	u32ClassID = 1
	u32Divisor = 4
	u32Sel     = 5

	bpfOpsLen = 4
	bpfOps    = 5
	bpfName   = 7
	bpfFlags  = 8

	nlaTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

	tcMsgSize    = 20
	mirredSize   = 28
	gactSize     = 20
	chanceSize   = 8
	u32SelSize   = 16
	u32KeySize   = 16
	bpfInsnSize  = 8
	magicBlock   = math.MaxUint32 // TCM_IFINDEX_MAGIC_BLOCK
	bpfActDirect = 1
	bpfRetK      = 0x06 // BPF_RET|BPF_K
	bpfRet       = 0x06
	bpfClass     = 0x07
	u32Terminal  = 1
)

// actionsOf gives the attribute that holds the actions of a classifier.
var actionsOf = map[string]uint16{
	MatchAll: 2, U32: 7, BPF: 1, "flower": 3, "basic": 3, "fw": 4, "cgroup": 1, "flow": 9, "route": 6, "tcindex": 7,
}

// parmsOf gives the attribute of an action's options that begins with tc_gen, which
// holds index and verdict (linux/tc_act/*.h).
var parmsOf = map[string]uint16{
	"mirred": mirredParms, "gact": 2, "vlan": 2, "sample": 2, "bpf": 2, "skbedit": 2, "tunnel_key": 2,
	"csum": 1, "connmark": 1, "pedit": 2, "nat": 1, "ct": 1, "mpls": 2, "skbmod": 2, "simple": 2,
}

var native = binary.NativeEndian

type attr struct {
	typ   uint16
	value []byte
}

// attrs splits a list of netlink attributes. Every length is checked.
func attrs(b []byte) ([]attr, error) {
	var out []attr
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			return nil, fmt.Errorf("%w: attribute of %d bytes in %d", ErrMalformed, n, len(b))
		}
		out = append(out, attr{native.Uint16(b[2:]) & nlaTypeMask, b[4:n]})
		b = b[min(len(b), (n+3)&^3):]
	}
	return out, nil
}

func find(list []attr, typ uint16) ([]byte, bool) {
	for _, a := range list {
		if a.typ == typ {
			return a.value, true
		}
	}
	return nil, false
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(s), "?")
}

type tcMsg struct {
	ifindex, handle, parent, info uint32
}

// decodeHeader reads struct tcmsg and the attributes behind it.
func decodeHeader(b []byte) (tcMsg, []attr, error) {
	if len(b) < tcMsgSize {
		return tcMsg{}, nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrMalformed, len(b), tcMsgSize)
	}
	m := tcMsg{native.Uint32(b[4:]), native.Uint32(b[8:]), native.Uint32(b[12:]), native.Uint32(b[16:])}
	list, err := attrs(b[tcMsgSize:])
	return m, list, err
}

func swap16(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return native.Uint16(b[:])
}

// DecodeFilter reads the payload of an RTM_NEWTFILTER message, the part behind the
// netlink header. The kernel lists, beside the filters, one entry per priority that
// holds none: it comes back with handle 0 and no actions. Actions and classifiers
// that are not known keep their kind and what is common to all; a message that
// contradicts itself is an error wrapping ErrMalformed.
func DecodeFilter(b []byte) (Filter, error) {
	m, list, err := decodeHeader(b)
	if err != nil {
		return Filter{}, err
	}
	f := Filter{ID: ID{
		Ifindex:  int(m.ifindex),
		Priority: uint16(m.info >> 16),
		Protocol: swap16(uint16(m.info)),
		Handle:   m.handle,
	}}
	switch {
	case m.ifindex == magicBlock:
		f.Ifindex, f.Block = 0, m.parent
	case m.parent == parentIngress || m.parent == 0xffff0000:
		f.Hook = Ingress
	case m.parent == parentEgress:
		f.Hook = Egress
	}
	if v, ok := find(list, tcaKind); ok {
		f.Kind = text(v)
	}
	if v, ok := find(list, tcaChain); ok {
		if len(v) < 4 {
			return Filter{}, fmt.Errorf("%w: chain of %d bytes", ErrMalformed, len(v))
		}
		f.Chain = native.Uint32(v)
	}
	v, ok := find(list, tcaOptions)
	if !ok {
		return f, nil
	}
	options, err := attrs(v)
	if err != nil {
		return Filter{}, err
	}
	f.classifier(options)
	if typ, ok := actionsOf[f.Kind]; ok {
		if v, ok := find(options, typ); ok {
			if f.Actions, err = decodeActions(v); err != nil {
				return Filter{}, err
			}
		}
	}
	return f, nil
}

// classifier reads the options that say what a filter matches.
func (f *Filter) classifier(options []attr) {
	switch f.Kind {
	case MatchAll:
		f.CatchAll = f.Handle != 0
	case U32:
		if _, ok := find(options, u32Divisor); ok {
			f.Table = true
			return
		}
		sel, ok := find(options, u32Sel)
		f.CatchAll = ok && u32CatchAll(sel)
		if !f.CatchAll {
			f.Keys = u32Keys(sel)
		}
		if v, ok := find(options, u32ClassID); ok && len(v) >= 4 {
			f.Class = native.Uint32(v)
		}
	case BPF:
		if v, ok := find(options, bpfFlags); ok && len(v) >= 4 {
			f.Direct = native.Uint32(v)&bpfActDirect != 0
		}
		if v, ok := find(options, bpfName); ok {
			f.Name = text(v)
		}
		ops, _ := find(options, bpfOps)
		f.CatchAll = !f.Direct && len(ops) == bpfInsnSize &&
			native.Uint16(ops) == bpfRetK && native.Uint32(ops[4:]) == math.MaxUint32
		f.DropAll = f.Direct && len(ops) == bpfInsnSize && native.Uint16(ops) == bpfRetK && Verdict(native.Uint32(ops[4:])) == Shot
		if !f.CatchAll && !f.Direct && len(ops)%bpfInsnSize == 0 {
			f.Program = decodeProgram(ops)
		}
	}
}

func decodeProgram(ops []byte) []Instruction {
	var out []Instruction
	for ; len(ops) >= bpfInsnSize; ops = ops[bpfInsnSize:] {
		out = append(out, Instruction{Code: native.Uint16(ops), JT: ops[2], JF: ops[3], K: native.Uint32(ops[4:])})
	}
	return out
}

// u32CatchAll reports whether no key of the selector looks at a bit.
func u32CatchAll(sel []byte) bool {
	if len(sel) < u32SelSize {
		return false
	}
	keys := sel[u32SelSize:]
	if len(keys) < int(sel[2])*u32KeySize || sel[0]&u32Terminal == 0 {
		return false
	}
	for i := range int(sel[2]) {
		if native.Uint32(keys[i*u32KeySize:]) != 0 { // mask; 0 in any byte order
			return false
		}
	}
	return true
}

func decodeActions(b []byte) ([]Action, error) {
	list, err := attrs(b)
	if err != nil {
		return nil, err
	}
	out := make([]Action, 0, len(list))
	for _, a := range list {
		act, err := decodeAction(a.value)
		if err != nil {
			return nil, err
		}
		out = append(out, act)
	}
	return out, nil
}

func decodeAction(b []byte) (Action, error) {
	list, err := attrs(b)
	if err != nil {
		return Action{}, err
	}
	var a Action
	if v, ok := find(list, actKind); ok {
		a.Kind = text(v)
	}
	if v, ok := find(list, actIndex); ok && len(v) >= 4 {
		a.Index = native.Uint32(v)
	}
	if v, ok := find(list, actCookie); ok {
		a.Cookie = bytes.Clone(v)
	}
	if v, ok := find(list, actStats); ok {
		if a.Stats, err = decodeStats(v); err != nil {
			return Action{}, err
		}
	}
	if v, ok := find(list, actOptions); ok {
		if err := a.options(v); err != nil {
			return Action{}, err
		}
	}
	return a, nil
}

// options reads what the kinds have in common: struct tc_gen with index, capab,
// action, refcnt, bindcnt, and for mirred what follows it.
func (a *Action) options(b []byte) error {
	list, err := attrs(b)
	if err != nil {
		return err
	}
	typ, known := parmsOf[a.Kind]
	if !known {
		return nil
	}
	v, ok := find(list, typ)
	if !ok || len(v) < 12 {
		if a.Kind == "mirred" {
			return fmt.Errorf("%w: mirred without parameters", ErrMalformed)
		}
		return nil
	}
	a.Index = native.Uint32(v)
	a.Verdict = Verdict(native.Uint32(v[8:]))
	if p, ok := find(list, gactProb); ok && a.Kind == "gact" && len(p) >= chanceSize {
		c := Chance{Type: ChanceType(native.Uint16(p)), OneIn: native.Uint16(p[2:]), Verdict: Verdict(native.Uint32(p[4:]))}
		if c.Type != 0 { // 0 is no chance at all
			a.Chance = &c
		}
	}
	if a.Kind == "mirred" {
		if len(v) < mirredSize {
			return fmt.Errorf("%w: mirred parameters of %d bytes, want %d", ErrMalformed, len(v), mirredSize)
		}
		a.Mirred = &Mirred{Mode: MirredMode(native.Uint32(v[20:])), Ifindex: int(native.Uint32(v[24:]))}
	}
	return nil
}

// decodeStats reads gnet_stats_basic (u64 bytes, u32 packets), gnet_stats_queue
// (qlen, backlog, drops, requeues, overlimits) and the 64-bit packet counter, which
// the kernel adds once 32 bits do not hold it.
func decodeStats(b []byte) (Stats, error) {
	list, err := attrs(b)
	if err != nil {
		return Stats{}, err
	}
	var s Stats
	if v, ok := find(list, statsBasic); ok && len(v) >= 12 {
		s.Bytes = native.Uint64(v)
		s.Packets = uint64(native.Uint32(v[8:]))
	}
	if v, ok := find(list, statsPkt64); ok && len(v) >= 8 {
		s.Packets = native.Uint64(v)
	}
	if v, ok := find(list, statsQueue); ok && len(v) >= 20 {
		s.Qlen = native.Uint32(v)
		s.Backlog = native.Uint32(v[4:])
		s.Drops = native.Uint32(v[8:])
		s.Requeues = native.Uint32(v[12:])
		s.Overlimits = native.Uint32(v[16:])
	}
	return s, nil
}

// DecodeQdisc reads the payload of an RTM_NEWQDISC message.
func DecodeQdisc(b []byte) (Qdisc, error) {
	m, list, err := decodeHeader(b)
	if err != nil {
		return Qdisc{}, err
	}
	q := Qdisc{Ifindex: int(m.ifindex), Handle: m.handle, Parent: m.parent}
	if v, ok := find(list, tcaKind); ok {
		q.Kind = text(v)
	}
	return q, nil
}
