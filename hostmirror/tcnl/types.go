// Package tcnl speaks the part of the kernel's traffic control netlink that a
// mirror needs and that github.com/vishvananda/netlink v1.3.1 leaves out: action
// cookies (neither written nor read there), the control verdict of every action,
// the probability of gact, the 64-bit packet counter, and filters of the classifiers
// matchall, u32 and bpf that take every frame, or, of bpf, what a classic program
// takes; and, beside it, the devices that filters are about, by requests that ctx can
// end.
//
// It can only ask for what does not hurt production: an egress mirror whose verdict
// is "continue". A redirect, an ingress mirror and another verdict cannot be
// expressed. Filters are deleted by their full identity only, and there is no call
// that deletes or replaces a qdisc.
//
// A [Conn] works in the network namespace it was opened on, from any goroutine; the
// package keeps no global state. Numbers are those of linux/pkt_cls.h,
// linux/pkt_sched.h, linux/rtnetlink.h and linux/tc_act/tc_mirred.h.
package tcnl

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// Hook is the place in a device's path where filters look at frames.
type Hook uint8

// Hooks. The zero value is invalid.
const (
	HookUnset Hook = iota
	Ingress        // frames that the device receives
	Egress         // frames that the device sends
)

// Parents of the two hooks of clsact: TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) and
// the same for egress. The ingress qdisc takes the first of them, too.
const (
	parentIngress = 0xfffffff2
	parentEgress  = 0xfffffff3
)

// Parent gives the netlink parent handle of the hook, 0 for an invalid hook.
func (h Hook) Parent() uint32 {
	switch h {
	case Ingress:
		return parentIngress
	case Egress:
		return parentEgress
	default:
		return 0
	}
}

// String gives the word that the tc command uses.
func (h Hook) String() string {
	switch h {
	case Ingress:
		return "ingress"
	case Egress:
		return "egress"
	default:
		return fmt.Sprintf("hook(%d)", uint8(h))
	}
}

// Kinds of classifiers that can carry a mirror of every frame.
const (
	MatchAll = "matchall"
	U32      = "u32"
	BPF      = "bpf"
)

// Kinds lists the classifiers in the order in which they should be tried.
// Matchall is the plainest; u32 is in nearly every kernel; bpf runs a classic
// one-instruction program, so that it needs no CAP_BPF.
func Kinds() []string { return []string{MatchAll, U32, BPF} }

// ProtocolAll is ETH_P_ALL: a filter of this protocol sees every frame.
const ProtocolAll = 0x0003

// Verdict is what a filter tells the kernel to do with the frame after its actions.
type Verdict int32

// Verdicts that people meet (linux/pkt_cls.h, TC_ACT_*).
const (
	Continue Verdict = -1 // TC_ACT_UNSPEC: go on with the next filter; the only one a mirror may give
	OK       Verdict = 0  // accept, ask no further filter
	Shot     Verdict = 2  // drop
	Pipe     Verdict = 3  // go on with the next action; behind the last one it ends like OK
	Stolen   Verdict = 4  // the frame is consumed
)

var verdictWords = map[Verdict]string{
	Continue: "continue", OK: "pass", 1: "reclassify", Shot: "drop", Pipe: "pipe", Stolen: "stolen", 8: "trap",
}

// String gives the word that the tc command uses, or the number.
func (v Verdict) String() string {
	if w, ok := verdictWords[v]; ok {
		return w
	}
	return fmt.Sprintf("verdict(%d)", int32(v))
}

// CookieSize is the length of a [Cookie]: the most the kernel keeps
// (TC_COOKIE_MAX_SIZE; 17 bytes are answered with ERANGE).
const CookieSize = 16

// Cookie is the mark on an action that the kernel keeps and gives back, but does not
// look at.
type Cookie [CookieSize]byte

// String gives the hexadecimal digits as tc writes and reads them.
func (c Cookie) String() string { return hex.EncodeToString(c[:]) }

// ParseCookie reads the 32 hexadecimal digits of String.
func ParseCookie(s string) (Cookie, error) {
	var c Cookie
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != CookieSize {
		return Cookie{}, fmt.Errorf("cookie %q: want %d hexadecimal digits", s, 2*CookieSize)
	}
	copy(c[:], b)
	return c, nil
}

// ID is the full identity of a filter. Nothing less may be used to delete one: a
// handle of 0 would mean every filter of the priority.
type ID struct {
	Ifindex  int
	Hook     Hook
	Chain    uint32
	Priority uint16
	Protocol uint16 // in host order, such as 0x0800; ProtocolAll for all
	Kind     string
	Handle   uint32
}

// Filter is a filter as the kernel shows it.
type Filter struct {
	ID
	// Block is the number of the shared block that the filter lives in, 0 for the
	// usual case of a filter that belongs to the device alone.
	Block uint32
	// Table is set for a u32 hash table. It is listed like a filter but matches
	// nothing by itself.
	Table bool
	// CatchAll is set when the filter provably takes every frame of its protocol.
	CatchAll bool
	// DropAll is set for a bpf program that drops every frame.
	DropAll bool
	// Keys are the comparisons of a u32 filter that does nothing else; Class is the class
	// that it gives to packets, 0 = none.
	Keys  []Key
	Class uint32
	// Direct is set for a bpf program that decides by itself, without actions.
	Direct bool
	// Name is the name that a bpf program was loaded with, mostly "".
	Name string
	// Program is the classic program of a bpf filter that has one, neither takes every
	// frame nor decides by itself.
	Program []Instruction
	Actions []Action
}

// Instruction is one instruction of a classic BPF program: struct sock_filter of
// linux/filter.h.
type Instruction struct {
	Code   uint16
	JT, JF uint8
	K      uint32
}

// MaxProgram is the largest number of instructions that the kernel takes
// (BPF_MAXINSNS of linux/bpf_common.h).
const MaxProgram = 4096

// Copies reads the actions of a filter as those of a [Mirror]: it gives the interface
// index of the target, 0 once that is gone, and that one frame in how many is copied. ok
// is false for actions that are not those of a Mirror.
func (f Filter) Copies() (target int, oneIn uint16, ok bool) {
	oneIn = 1
	actions := f.Actions
	if len(actions) == 2 {
		c := actions[0].Chance
		if c == nil || actions[0].Verdict != Continue || c.Type != Determ || c.Verdict != Pipe || c.OneIn < 2 {
			return 0, 0, false
		}
		oneIn, actions = c.OneIn, actions[1:]
	}
	if len(actions) != 1 {
		return 0, 0, false
	}
	a := actions[0]
	if a.Verdict != Continue || a.Mirred == nil || a.Mirred.Mode != EgressMirror {
		return 0, 0, false
	}
	return a.Mirred.Ifindex, oneIn, true
}

// Action is one action of a filter, in the order of execution.
type Action struct {
	Kind    string  // such as mirred, gact, vlan
	Index   uint32  // number of the action object within its kind
	Verdict Verdict // OK also where the kind is not known to this package
	Cookie  []byte  // nil = none; up to CookieSize bytes
	Mirred  *Mirred // of kind mirred only
	Chance  *Chance // of kind gact, where it has one
	Stats   Stats
}

// SharedAction is an action as the kernel lists it by itself.
type SharedAction struct {
	Action
	Refs  int // filters that hold it, and one more for an action that stands by itself
	Binds int // filters that hold it
}

// Mirred says what an action of kind mirred does with a frame.
type Mirred struct {
	Mode    MirredMode
	Ifindex int // 0 once the target device is gone: the kernel then copies nowhere, for good
}

// Chance is what an action of kind gact does with some of the frames instead of its
// verdict (linux/tc_act/tc_gact.h).
type Chance struct {
	Type    ChanceType
	OneIn   uint16
	Verdict Verdict // for one frame in so many
}

// ChanceType says how the frames are chosen.
type ChanceType uint16

// Types of chance.
const (
	NetRand ChanceType = 1 // by a random number
	Determ  ChanceType = 2 // by counting: each so-manyth frame
)

// MirredMode says how frames get to the target (tc_mirred.h, TCA_*_REDIR, TCA_*_MIRROR).
type MirredMode int32

// Modes of mirred.
const (
	EgressRedirect  MirredMode = 1
	EgressMirror    MirredMode = 2 // the only one this package asks for
	IngressRedirect MirredMode = 3
	IngressMirror   MirredMode = 4
)

// String gives the words that the tc command uses.
func (m MirredMode) String() string {
	switch m {
	case EgressRedirect:
		return "egress redirect"
	case EgressMirror:
		return "egress mirror"
	case IngressRedirect:
		return "ingress redirect"
	case IngressMirror:
		return "ingress mirror"
	default:
		return fmt.Sprintf("mode(%d)", int32(m))
	}
}

// Stats are the counters of an action. For mirred, Packets and Bytes count what was
// offered; Overlimits counts copies that the target did not take (down, gone, queue
// full, too small an MTU). Packets counts the segments of a large send, Overlimits
// the large send as one, so that the difference is exact only without segmentation
// offload. Bytes count a received frame without its 14 bytes of Ethernet header, a
// sent one with it.
type Stats struct {
	Bytes      uint64
	Packets    uint64
	Drops      uint32
	Overlimits uint32
	Requeues   uint32
	Backlog    uint32 // bytes
	Qlen       uint32 // packets
}

// Qdisc is a queueing discipline of a device.
type Qdisc struct {
	Ifindex int
	Handle  uint32
	Parent  uint32
	Kind    string // such as clsact, ingress, noqueue
}

// Mirror is a filter to be made: the frames that pass the hook, or those of them that
// Program takes, are copied to the egress of the target device, and classification
// goes on as if the filter were not there. The protocol is ProtocolAll and the chain 0.
type Mirror struct {
	Ifindex  int
	Hook     Hook
	Priority uint16 // 1 to 65535; 0, the kernel's own choice, is refused
	Kind     string // one of Kinds
	Target   int    // interface index of the device that sends the copies
	Cookie   Cookie
	// Program is a classic BPF program for Kind BPF that says which frames are copied:
	// those for which it returns 0xffffffff; it returns 0 for the others. nil takes
	// every frame.
	Program []Instruction
	// OneIn copies one frame in so many of those that the filter takes, by counting, with
	// the action gact in front of the copy. 0 and 1 copy each.
	OneIn uint16
	// Action is the number of an action of AddAction to bind the filter to, instead of one
	// of its own. Target and Cookie are those of that action. 0 = one of its own.
	Action uint32
}

// Errors of this package. Errors of the kernel wrap a syscall.Errno and carry the
// kernel's own words where it gave any.
var (
	// ErrInexact means a delete that could take more than one filter.
	ErrInexact = errors.New("not the full identity of a filter")
	// ErrInvalid means a request that is refused before it is sent.
	ErrInvalid = errors.New("invalid filter")
	// ErrUnseen means that the kernel took a filter that then could not be read back.
	// It may be there.
	ErrUnseen = errors.New("the kernel took the filter, but does not show it")
	// ErrCut means that ctx ended before the kernel answered: what was asked for may
	// have been done.
	ErrCut = errors.New("no answer yet when the time was up")
	// ErrDisturbed means that a listing was overtaken by changes again and again.
	ErrDisturbed = errors.New("the listing was disturbed by changes")
	// ErrMalformed means a message of the kernel that cannot be read.
	ErrMalformed = errors.New("malformed netlink message")
)

// Validate checks what must hold before m is sent. All errors wrap ErrInvalid.
func (m Mirror) Validate() error {
	switch {
	case m.Ifindex <= 0:
		return fmt.Errorf("%w: source interface index %d", ErrInvalid, m.Ifindex)
	case m.Target <= 0:
		return fmt.Errorf("%w: target interface index %d", ErrInvalid, m.Target)
	case m.Target == m.Ifindex:
		return fmt.Errorf("%w: interface %d would be mirrored to itself", ErrInvalid, m.Ifindex)
	case m.Hook.Parent() == 0:
		return fmt.Errorf("%w: %s", ErrInvalid, m.Hook)
	case m.Priority == 0:
		return fmt.Errorf("%w: priority 0 lets the kernel choose", ErrInvalid)
	case m.Kind != MatchAll && m.Kind != U32 && m.Kind != BPF:
		return fmt.Errorf("%w: classifier %q cannot take every frame", ErrInvalid, m.Kind)
	case len(m.Program) > 0 && m.Kind != BPF:
		return fmt.Errorf("%w: classifier %q takes no program", ErrInvalid, m.Kind)
	case len(m.Program) > MaxProgram:
		return fmt.Errorf("%w: a program of %d instructions; the kernel takes %d", ErrInvalid, len(m.Program), MaxProgram)
	}
	for i, in := range m.Program {
		if in.Code&bpfClass == bpfRet && (in.Code != bpfRetK || in.K != 0 && in.K != math.MaxUint32) {
			return fmt.Errorf("%w: instruction %d returns something else than 0 or 0xffffffff", ErrInvalid, i)
		}
	}
	return nil
}
