package bpfcopy

import (
	"math/bits"
	"strconv"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// The scratch map: one element per processor, in which the main program and the
// function "next" leave things for each other. What is loaded from there is an unknown
// number to the verifier, so that the many ways through the parser are one way behind
// it, and the function needs no arguments: one with a pointer to the frame would need a
// kernel that was built with type information (BTF).
const (
	sBusy    = 0   // u64: the program runs on this processor
	sSummary = 8   // u64: words of the vectors still to look at
	sWord    = 16  // u64: rules still to look at in the current word
	sWordNo  = 24  // u32
	sLast    = 28  // u32: 1 + the session that was decided last, 0 = none
	sCopies  = 32  // u32: copies still to make for the current session
	sCopy    = 36  // u32: the next of them
	sTo      = 40  // u32: interface index of the copy that next asks for
	sSlot    = 44  // u32: counters of its session
	sKeep    = 48  // u32: bytes to keep of it
	sFamily  = 52  // u32: 4, 6, or 0 when the frame is not IP
	sClass   = 64  // u32 for each of up to 6 fields
	sVLAN    = 88  // u32
	sProto   = 92  // u32
	sSport   = 96  // u32
	sDport   = 100 // u32
	sAt      = 104 // u32: offset of the header that is looked at
	sTagged  = 108 // u32: the VLAN is known
	sSrc     = 112 // u64 high, u64 low
	sDst     = 128
	sSize    = 144
)

// The counters map: an element per processor and session, and behind them one whose
// cMatched counts frames that came back while the program ran.
const (
	cMatched = 0
	cCopied  = 8
	cFailed  = 16
	cSize    = 24
)

// The truncation map: one element per processor, that says how the frame which is
// being copied at this moment is to be cut, and on which interface. The program there
// that cuts runs before our others, which may make copies of the copy and set this anew.
const (
	tIfindex = 0
	tBytes   = 4
	tSize    = 8
)

// Fields of struct __sk_buff (linux/bpf.h).
const (
	skbLen         = 0
	skbVLANPresent = 20
	skbVLANTCI     = 24
	skbIfindex     = 40
)

const (
	verdictNext = -1 // TCX_NEXT and TC_ACT_UNSPEC
	verdictShot = 2  // TC_ACT_SHOT

	// nextSteps bounds one call of next, so that the verifier walks through few of
	// them; the caller calls again.
	nextSteps = 32

	answerDone, answerCopy, answerAgain = 0, 1, 2
)

// Places on the stack.
const (
	fKey    = -8
	fSmall  = -16
	fHeader = -56 // 40 bytes
)

type mapFDs struct{ tables, classes, scratch, counters, truncation int }

// emitter writes a program. Registers: R6 the frame, R7 free, R8 summary of the rules
// that are left, R9 scratch.
type emitter struct {
	t      *Tables
	l      layout
	m      mapFDs
	ins    asm.Instructions
	label  string // symbol for the next instruction
	labels int
	fields int // that next has to combine
}

func (e *emitter) emit(list ...asm.Instruction) {
	for _, in := range list {
		if e.label != "" {
			in = in.WithSymbol(e.label)
			e.label = ""
		}
		e.ins = append(e.ins, in)
	}
}

// here gives the next instruction a name.
func (e *emitter) here(label string) {
	if e.label != "" { // two names for one place
		e.emit(asm.Mov.Reg(asm.R9, asm.R9))
	}
	e.label = label
}

func (e *emitter) fresh(stem string) string {
	e.labels++
	return stem + strconv.Itoa(e.labels)
}

func load32(dst asm.Register, at int16) asm.Instruction {
	return asm.LoadMem(dst, asm.R9, at, asm.Word)
}

func store32(at int16, src asm.Register) asm.Instruction {
	return asm.StoreMem(asm.R9, at, src, asm.Word)
}

// element looks up the element of an array by the u32 at R9+at; R0 points to it.
func (e *emitter) element(fd int, at int16, otherwise string) {
	ok := e.fresh("element")
	e.emit(
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Add.Imm(asm.R2, int32(at)),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, ok),
		asm.Ja.Label(otherwise),
	)
	e.here(ok)
}

// single looks up the only element of a per-processor array; R0 points to it.
func (e *emitter) single(fd int, otherwise string) {
	ok := e.fresh("single")
	e.emit(
		asm.StoreImm(asm.RFP, fKey, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, fKey),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, ok),
		asm.Ja.Label(otherwise),
	)
	e.here(ok)
}

// table loads from a part of the tables: dst = part[index], of width bytes. index is
// below n and is destroyed.
func (e *emitter) table(dst, index asm.Register, part uint32, size asm.Size) {
	if shift := bits.TrailingZeros(uint(size.Sizeof())); shift > 0 {
		e.emit(asm.LSh.Imm(index, int32(shift)))
	}
	e.emit(
		asm.LoadMapValue(dst, e.m.tables, part),
		asm.Add.Reg(dst, index),
		asm.LoadMem(dst, dst, 0, size),
	)
}

// lowBit makes dst the number of the lowest bit of x, which is not zero. tmp is
// destroyed.
func (e *emitter) lowBit(dst, x, tmp asm.Register) {
	e.emit(
		asm.Mov.Reg(dst, x),
		asm.Neg.Imm(dst, 0),
		asm.And.Reg(dst, x),
		asm.LoadImm(tmp, deBruijn, asm.DWord),
		asm.Mul.Reg(dst, tmp),
		asm.RSh.Imm(dst, 58),
		asm.LoadMapValue(tmp, e.m.tables, headLowBit),
		asm.Add.Reg(tmp, dst),
		asm.LoadMem(dst, tmp, 0, asm.Byte),
	)
}

func (e *emitter) needsIP() bool {
	return e.t.proto != nil || e.t.sport != nil || e.t.dport != nil || e.t.src != nil || e.t.dst != nil
}

func (e *emitter) truncates() bool {
	for _, s := range e.t.sessions {
		if s.truncate != 0 {
			return true
		}
	}
	return false
}

// program is the whole program: main, which looks at the frame and makes the copies,
// and next, which finds out what the next copy is.
func program(t *Tables, l layout, m mapFDs) asm.Instructions {
	e := &emitter{t: t, l: l, m: m}
	e.main()
	e.next()
	return e.ins
}

func (e *emitter) main() {
	context := &btf.Pointer{Target: &btf.Struct{Name: "__sk_buff", Size: 4, Members: []btf.Member{{Name: "len", Type: u32}}}}
	e.label = "main"
	e.emit(asm.Mov.Reg(asm.R6, asm.R1))
	e.ins[0] = function(e.ins[0], "main", btf.FuncParam{Name: "skb", Type: context})

	e.single(e.m.scratch, "out")
	e.emit(
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.LoadMem(asm.R1, asm.R9, sBusy, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "free"),
		// A copy of ours has come back to us while we make it: a loop.
		asm.StoreImm(asm.RFP, fKey, slots, asm.Word),
		asm.LoadMapPtr(asm.R1, e.m.counters),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, fKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.LoadMem(asm.R1, asm.R0, cMatched, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, cMatched, asm.R1, asm.DWord),
		asm.Ja.Label("out"),
	)
	e.here("free")
	if e.t.vlan != nil || e.needsIP() {
		e.parse()
	}
	e.classify()
	e.copies()
	e.here("out")
	e.emit(asm.Mov.Imm(asm.R0, verdictNext), asm.Return())
}

var (
	u32     = &btf.Int{Name: "unsigned int", Size: 4}
	integer = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
)

func function(in asm.Instruction, name string, params ...btf.FuncParam) asm.Instruction {
	return btf.WithFuncMetadata(in.WithSymbol(name), &btf.Func{
		Name: name, Linkage: btf.GlobalFunc, Type: &btf.FuncProto{Return: integer, Params: params},
	})
}

// copies asks next for copies and makes them.
func (e *emitter) copies() {
	steps := e.t.words + len(e.t.rules) + len(e.t.sessions)
	rounds := len(e.t.copies) + steps/nextSteps + 2
	e.emit(
		asm.StoreMem(asm.R9, sSummary, asm.R8, asm.DWord),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R9, sWord, asm.R1, asm.DWord),
		asm.StoreImm(asm.R9, sLast, 0, asm.Word),
		asm.StoreImm(asm.R9, sCopies, 0, asm.Word),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, sBusy, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R7, 0),
	)
	// The way on is the one that the verifier takes last, so that it keeps few open.
	e.here("round")
	e.emit(
		asm.Call.Label("next"),
		asm.JNE.Imm(asm.R0, answerDone, "answered"),
		asm.Ja.Label("finish"),
	)
	e.here("answered")
	e.emit(asm.JEq.Imm(asm.R0, answerAgain, "again"))
	if e.truncates() {
		e.single(e.m.truncation, "finish")
		e.emit(
			load32(asm.R1, sTo), asm.StoreMem(asm.R0, tIfindex, asm.R1, asm.Word),
			load32(asm.R1, sKeep), asm.StoreMem(asm.R0, tBytes, asm.R1, asm.Word),
		)
	}
	e.emit(
		asm.Mov.Reg(asm.R1, asm.R6),
		load32(asm.R2, sTo),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnCloneRedirect.Call(),
		// R8 = 0 for a copy that was taken, 1 for one that was not.
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Neg.Imm(asm.R8, 0),
		asm.Or.Reg(asm.R8, asm.R0),
		asm.RSh.Imm(asm.R8, 63),
	)
	if e.truncates() {
		e.single(e.m.truncation, "finish")
		e.emit(asm.StoreImm(asm.R0, tIfindex, 0, asm.Word))
	}
	e.element(e.m.counters, sSlot, "finish")
	e.emit(
		asm.LSh.Imm(asm.R8, 3),
		asm.And.Imm(asm.R8, 8),
		asm.Add.Reg(asm.R0, asm.R8),
		asm.LoadMem(asm.R1, asm.R0, cCopied, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, cCopied, asm.R1, asm.DWord),
	)
	e.here("again")
	e.emit(
		asm.Add.Imm(asm.R7, 1),
		asm.JLT.Imm(asm.R7, int32(rounds), "round"),
	)
	e.here("finish")
	e.emit(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R9, sBusy, asm.R1, asm.DWord))
}

// next is a function without arguments: it walks the rules that the frame matches, in
// order, and stops at a copy to make. Registers: R8 steps, R9 scratch.
func (e *emitter) next() {
	start := len(e.ins)
	e.emit(asm.Mov.Imm(asm.R8, 0))
	e.ins[start] = function(e.ins[start], "next")
	e.single(e.m.scratch, "next-done")
	e.emit(asm.Mov.Reg(asm.R9, asm.R0))
	e.here("step")

	// Copies that are left of the session.
	e.emit(
		load32(asm.R1, sCopies),
		asm.JEq.Imm(asm.R1, 0, "no-copy"),
		asm.Sub.Imm(asm.R1, 1),
		store32(sCopies, asm.R1),
		load32(asm.R1, sCopy),
		asm.JGE.Imm(asm.R1, int32(len(e.t.copies)), "next-done"),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, 1),
		store32(sCopy, asm.R2),
	)
	e.table(asm.R3, asm.R1, e.l.copies, asm.Word)
	e.emit(
		store32(sTo, asm.R3),
		asm.Mov.Imm(asm.R0, answerCopy),
		asm.Return(),
	)

	// Rules that are left of the word.
	e.here("no-copy")
	e.emit(
		asm.LoadMem(asm.R1, asm.R9, sWord, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "rule"),
		// Words that are left.
		asm.LoadMem(asm.R1, asm.R9, sSummary, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "next-done"),
	)
	e.lowBit(asm.R2, asm.R1, asm.R3)
	e.emit(
		store32(sWordNo, asm.R2),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Sub.Imm(asm.R3, 1),
		asm.And.Reg(asm.R1, asm.R3),
		asm.StoreMem(asm.R9, sSummary, asm.R1, asm.DWord),
		asm.LoadImm(asm.R6, -1, asm.DWord),
	)
	for i := range e.fields {
		e.element(e.m.classes, int16(sClass+4*i), "next-done")
		e.emit(
			load32(asm.R1, sWordNo),
			asm.JGE.Imm(asm.R1, int32(e.t.words), "next-done"),
			asm.LSh.Imm(asm.R1, 3),
			asm.Add.Reg(asm.R0, asm.R1),
			asm.LoadMem(asm.R1, asm.R0, 8, asm.DWord),
			asm.And.Reg(asm.R6, asm.R1),
		)
	}
	e.emit(
		asm.StoreMem(asm.R9, sWord, asm.R6, asm.DWord),
		asm.Ja.Label("step-end"),
	)

	e.here("rule")
	e.lowBit(asm.R2, asm.R1, asm.R3)
	e.emit(
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Sub.Imm(asm.R3, 1),
		asm.And.Reg(asm.R1, asm.R3),
		asm.StoreMem(asm.R9, sWord, asm.R1, asm.DWord),
		load32(asm.R1, sWordNo),
		asm.JGE.Imm(asm.R1, int32(e.t.words), "next-done"),
		asm.And.Imm(asm.R2, 63),
		asm.LSh.Imm(asm.R1, 6),
		asm.Add.Reg(asm.R1, asm.R2),
	)
	e.table(asm.R2, asm.R1, e.l.rules, asm.Word)
	e.emit(
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.And.Imm(asm.R3, 3), // verdict
		asm.RSh.Imm(asm.R2, 2), // 1 + session
		load32(asm.R1, sLast),
		asm.JEq.Imm(asm.R3, int32(stop), "next-done"),
		asm.JEq.Reg(asm.R1, asm.R2, "step-end"),
		store32(sLast, asm.R2),
		asm.JEq.Imm(asm.R3, int32(leave), "step-end"),
		asm.Sub.Imm(asm.R2, 1),
		asm.JGE.Imm(asm.R2, int32(len(e.t.sessions)), "next-done"),
		asm.Mul.Imm(asm.R2, sessionSize),
		asm.LoadMapValue(asm.R7, e.m.tables, e.l.sessions),
		asm.Add.Reg(asm.R7, asm.R2),
		asm.LoadMem(asm.R1, asm.R7, 0, asm.Word), store32(sSlot, asm.R1),
	)
	e.element(e.m.counters, sSlot, "next-done")
	e.emit(
		asm.LoadMem(asm.R1, asm.R0, cMatched, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, cMatched, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Word), // one in
		asm.JEq.Imm(asm.R1, 1, "sampled"),
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Reg32(asm.R0, asm.R0),
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Word),
		asm.Mod.Reg(asm.R0, asm.R1),
		asm.JNE.Imm(asm.R0, 0, "step-end"),
	)
	e.here("sampled")
	e.emit(
		asm.LoadMem(asm.R1, asm.R7, 8, asm.Word), store32(sCopy, asm.R1),
		asm.LoadMem(asm.R1, asm.R7, 12, asm.Word), store32(sCopies, asm.R1),
		asm.LoadMem(asm.R1, asm.R7, 16, asm.Word), store32(sKeep, asm.R1),
	)
	e.here("step-end")
	e.emit(
		asm.Add.Imm(asm.R8, 1),
		asm.JLT.Imm(asm.R8, nextSteps, "step"),
		asm.Mov.Imm(asm.R0, answerAgain),
		asm.Return(),
	)
	e.here("next-done")
	e.emit(asm.Mov.Imm(asm.R0, answerDone), asm.Return())
}
