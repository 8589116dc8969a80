package bpfcopy

import (
	"math/bits"

	"github.com/cilium/ebpf/asm"
)

const (
	etherIPv4 = 0x0800
	etherVLAN = 0x8100
	etherIPv6 = 0x86dd
	etherQinQ = 0x88a8

	etherSize  = 14
	maxTags    = 2 // in the frame itself
	maxHeaders = 4 // IPv6 extension headers
)

// bytes loads n bytes of the frame at the offset in scratch, plus more, to the stack.
func (e *emitter) bytes(more int32, to int32, n int32, otherwise string) {
	e.emit(
		asm.Mov.Reg(asm.R1, asm.R6),
		load32(asm.R2, sAt),
		asm.Add.Imm(asm.R2, more),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, to),
		asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, otherwise),
	)
}

// onStack loads a number that is in network order on the stack.
func onStack(dst asm.Register, at int16, size asm.Size) asm.Instructions {
	out := asm.Instructions{asm.LoadMem(dst, asm.RFP, at, size)}
	if size != asm.Byte {
		out = append(out, asm.HostTo(asm.BE, dst, size))
	}
	return out
}

// skip moves the offset in scratch.
func (e *emitter) skip(n int32) {
	e.emit(load32(asm.R1, sAt), asm.Add.Imm(asm.R1, n), store32(sAt, asm.R1))
}

// parse leaves what the rules ask for in scratch. It goes on at "parsed" with what it
// has when the frame is too short for more.
func (e *emitter) parse() {
	e.emit(
		asm.StoreImm(asm.R9, sVLAN, 0, asm.Word),
		asm.StoreImm(asm.R9, sProto, noIP, asm.Word),
		asm.StoreImm(asm.R9, sSport, noPort, asm.Word),
		asm.StoreImm(asm.R9, sDport, noPort, asm.Word),
		asm.StoreImm(asm.R9, sFamily, 0, asm.Word),
		asm.StoreImm(asm.R9, sAt, etherSize, asm.Word),
		asm.StoreImm(asm.R9, sTagged, 0, asm.Word),
		asm.LoadMem(asm.R1, asm.R6, skbVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "no-tag-beside"),
		asm.LoadMem(asm.R1, asm.R6, skbVLANTCI, asm.Word),
		asm.And.Imm(asm.R1, 0xfff),
		store32(sVLAN, asm.R1),
		asm.StoreImm(asm.R9, sTagged, 1, asm.Word),
	)
	e.here("no-tag-beside")
	e.bytes(-2, fSmall, 2, "parsed")
	e.emit(onStack(asm.R7, fSmall, asm.Half)...)
	for range maxTags {
		tag, known, behind := e.fresh("tag"), e.fresh("tag-known"), e.fresh("behind-tag")
		e.emit(
			asm.JEq.Imm(asm.R7, etherVLAN, tag),
			asm.JNE.Imm(asm.R7, etherQinQ, behind),
		)
		e.here(tag)
		e.bytes(0, fSmall, 4, "parsed")
		e.emit(
			load32(asm.R1, sTagged),
			asm.JNE.Imm(asm.R1, 0, known),
		)
		e.emit(onStack(asm.R1, fSmall, asm.Half)...)
		e.emit(
			asm.And.Imm(asm.R1, 0xfff),
			store32(sVLAN, asm.R1),
			asm.StoreImm(asm.R9, sTagged, 1, asm.Word),
		)
		e.here(known)
		e.emit(onStack(asm.R7, fSmall+2, asm.Half)...)
		e.skip(4)
		e.here(behind)
	}
	if e.needsIP() {
		e.emit(
			asm.JEq.Imm(asm.R7, etherIPv4, "ipv4"),
			asm.JEq.Imm(asm.R7, etherIPv6, "ipv6"),
			asm.Ja.Label("parsed"),
		)
		e.ipv4()
		e.ipv6()
		e.ports()
	}
	e.here("parsed")
}

func (e *emitter) ipv4() {
	e.here("ipv4")
	e.bytes(0, fHeader, 20, "parsed")
	e.emit(onStack(asm.R1, fHeader, asm.Byte)...)
	e.emit(
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 4),
		asm.JNE.Imm(asm.R2, 4, "parsed"),
		asm.And.Imm(asm.R1, 0xf),
		asm.JLT.Imm(asm.R1, 5, "parsed"),
		asm.LSh.Imm(asm.R1, 2),
		load32(asm.R2, sAt),
		asm.Add.Reg(asm.R2, asm.R1),
		store32(sAt, asm.R2),
		asm.StoreImm(asm.R9, sFamily, 4, asm.Word),
	)
	e.emit(onStack(asm.R7, fHeader+9, asm.Byte)...)
	e.emit(store32(sProto, asm.R7))
	for _, a := range []struct{ from, to int16 }{{fHeader + 12, sSrc}, {fHeader + 16, sDst}} {
		e.emit(onStack(asm.R1, a.from, asm.Word)...)
		e.emit(asm.StoreMem(asm.R9, a.to+8, asm.R1, asm.DWord))
	}
	e.emit(onStack(asm.R1, fHeader+6, asm.Half)...)
	e.emit(
		asm.And.Imm(asm.R1, 0x1fff), // fragment offset
		asm.JNE.Imm(asm.R1, 0, "parsed"),
		asm.Ja.Label("ports"),
	)
}

func (e *emitter) ipv6() {
	e.here("ipv6")
	e.bytes(0, fHeader, 40, "parsed")
	e.emit(onStack(asm.R1, fHeader, asm.Byte)...)
	e.emit(
		asm.RSh.Imm(asm.R1, 4),
		asm.JNE.Imm(asm.R1, 6, "parsed"),
		asm.StoreImm(asm.R9, sFamily, 6, asm.Word),
	)
	for i, at := range []int16{sSrc, sSrc + 8, sDst, sDst + 8} {
		e.emit(onStack(asm.R1, int16(fHeader+8+8*i), asm.DWord)...)
		e.emit(asm.StoreMem(asm.R9, at, asm.R1, asm.DWord))
	}
	e.emit(onStack(asm.R7, fHeader+6, asm.Byte)...)
	e.skip(40)
	// sProto holds the header kind from here on, R7 too.
	for range maxHeaders {
		e.emit(
			asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, 256), store32(sProto, asm.R1),
		)
		fragment, options, end := e.fresh("fragment"), e.fresh("options"), e.fresh("header-end")
		e.emit(
			asm.JEq.Imm(asm.R7, 44, fragment),
			asm.JEq.Imm(asm.R7, 0, options),
			asm.JEq.Imm(asm.R7, 43, options),
			asm.JEq.Imm(asm.R7, 60, options),
			asm.Ja.Label("ports"),
		)
		e.here(options)
		e.bytes(0, fSmall, 2, "parsed")
		e.emit(onStack(asm.R7, fSmall, asm.Byte)...)
		e.emit(onStack(asm.R1, fSmall+1, asm.Byte)...)
		e.emit(
			asm.Add.Imm(asm.R1, 1),
			asm.LSh.Imm(asm.R1, 3),
			load32(asm.R2, sAt),
			asm.Add.Reg(asm.R2, asm.R1),
			store32(sAt, asm.R2),
			asm.Ja.Label(end),
		)
		e.here(fragment)
		e.bytes(0, fSmall, 4, "parsed")
		e.emit(onStack(asm.R7, fSmall, asm.Byte)...)
		e.emit(onStack(asm.R1, fSmall+2, asm.Half)...)
		e.emit(asm.RSh.Imm(asm.R1, 3)) // fragment offset
		first := e.fresh("first-fragment")
		e.emit(
			asm.JEq.Imm(asm.R1, 0, first),
			asm.Add.Imm(asm.R7, 256), store32(sProto, asm.R7),
			asm.Ja.Label("parsed"),
		)
		e.here(first)
		e.skip(8)
		e.here(end)
	}
	e.emit(asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, 256), store32(sProto, asm.R1))
}

// ports are looked for at the offset in scratch; R7 is the protocol.
func (e *emitter) ports() {
	e.here("ports")
	if e.t.sport == nil && e.t.dport == nil {
		return
	}
	e.emit(
		asm.JEq.Imm(asm.R7, 6, "has-ports"),
		asm.JEq.Imm(asm.R7, 17, "has-ports"),
		asm.JNE.Imm(asm.R7, 132, "parsed"),
	)
	e.here("has-ports")
	e.bytes(0, fSmall, 4, "parsed")
	e.emit(onStack(asm.R1, fSmall, asm.Half)...)
	e.emit(store32(sSport, asm.R1))
	e.emit(onStack(asm.R1, fSmall+2, asm.Half)...)
	e.emit(store32(sDport, asm.R1))
}

// classify leaves the class of each field in scratch, and in R8 the words in which
// rules may be left; it goes to "out" when there are none. The cheap fields come first.
func (e *emitter) classify() {
	e.emit(asm.LoadImm(asm.R8, -1, asm.DWord))
	byValue := func(table []uint16, part uint32, at int16) {
		if table == nil {
			return
		}
		e.emit(
			load32(asm.R1, at),
			asm.JGE.Imm(asm.R1, int32(len(table)), "out"),
		)
		e.table(asm.R2, asm.R1, part, asm.Half)
		e.class()
	}
	byValue(e.t.proto, e.l.proto, sProto)
	byValue(e.t.vlan, e.l.vlan, sVLAN)
	byValue(e.t.dport, e.l.dport, sDport)
	byValue(e.t.sport, e.l.sport, sSport)
	e.byAddress(e.t.dst, e.l.dst, sDst)
	e.byAddress(e.t.src, e.l.src, sSrc)
	if e.fields == 0 {
		e.emit(asm.Mov.Imm(asm.R2, int32(e.t.all)))
		e.class()
	}
}

// class takes the class in R2 as that of the next field.
func (e *emitter) class() {
	at := int16(sClass + 4*e.fields)
	e.fields++
	left := e.fresh("left")
	e.emit(store32(at, asm.R2))
	e.element(e.m.classes, at, "out")
	e.emit(
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.And.Reg(asm.R8, asm.R1),
		asm.JNE.Imm(asm.R8, 0, left),
		asm.Ja.Label("out"),
	)
	e.here(left)
}

func (e *emitter) byAddress(a *addresses, l addressLayout, at int16) {
	if a == nil {
		return
	}
	four, six, found := e.fresh("four"), e.fresh("six"), e.fresh("found")
	e.emit(
		asm.Mov.Imm(asm.R2, int32(a.none)),
		load32(asm.R1, sFamily),
		asm.JEq.Imm(asm.R1, 4, four),
		asm.JEq.Imm(asm.R1, 6, six),
		asm.Ja.Label(found),
	)
	e.here(four)
	e.emit(asm.LoadMem(asm.R5, asm.R9, at+8, asm.DWord))
	e.search(l.v4, func() {
		e.table(asm.R2, asm.R1, l.v4.at, asm.Word)
		e.emit(
			// R1 = 1 where the address is below the start, else 0.
			asm.Mov.Reg(asm.R1, asm.R5),
			asm.Sub.Reg(asm.R1, asm.R2),
			asm.RSh.Imm(asm.R1, 63),
		)
	})
	e.emit(asm.Ja.Label(found))
	e.here(six)
	e.emit(
		asm.LoadMem(asm.R4, asm.R9, at, asm.DWord),
		asm.LoadMem(asm.R5, asm.R9, at+8, asm.DWord),
	)
	e.search(l.v6, func() {
		e.emit(
			asm.LSh.Imm(asm.R1, 4),
			asm.LoadMapValue(asm.R2, e.m.tables, l.v6.at),
			asm.Add.Reg(asm.R2, asm.R1),
			asm.LoadMem(asm.R1, asm.R2, 8, asm.DWord),
			asm.LoadMem(asm.R2, asm.R2, 0, asm.DWord),
			asm.Mov.Imm(asm.R0, 0),
		)
		e.borrow(asm.R5, asm.R1)
		e.borrow(asm.R4, asm.R2)
		e.emit(asm.Mov.Reg(asm.R1, asm.R0))
	})
	e.here(found)
	e.class()
}

// borrow makes R0 the borrow of a - b - R0, without a jump: a jump in each step of a
// search would be a way of its own for the verifier. R7 and b are destroyed.
// (a, b unsigned: the borrow is the top bit of ~a&b | (~a|b)&(a-b-borrow).)
func (e *emitter) borrow(a, b asm.Register) {
	e.emit(
		asm.Mov.Reg(asm.R7, a),
		asm.Sub.Reg(asm.R7, b),
		asm.Sub.Reg(asm.R7, asm.R0), // a-b-borrow
		asm.Mov.Reg(asm.R0, a),
		asm.Xor.Imm(asm.R0, -1), // ~a
		asm.StoreMem(asm.R9, sWord, asm.R0, asm.DWord),
		asm.Or.Reg(asm.R0, b),
		asm.And.Reg(asm.R0, asm.R7),
		asm.LoadMem(asm.R7, asm.R9, sWord, asm.DWord),
		asm.And.Reg(asm.R7, b),
		asm.Or.Reg(asm.R0, asm.R7),
		asm.RSh.Imm(asm.R0, 63),
	)
}

// search leaves the class in R2. below takes the place in R1 and makes R1 1 where the
// address is below the start there; it keeps R3 to R5.
func (e *emitter) search(l startsLayout, below func()) {
	e.emit(asm.Mov.Imm(asm.R3, 0))
	mask := int32(l.n - 1)
	for step := l.n / 2; step > 0; step /= 2 {
		e.emit(
			asm.Mov.Reg(asm.R1, asm.R3),
			asm.Add.Imm(asm.R1, int32(step)),
			asm.And.Imm(asm.R1, mask),
		)
		below()
		e.emit(
			asm.Xor.Imm(asm.R1, 1),
			asm.And.Imm(asm.R1, 1),
		)
		if shift := bits.TrailingZeros(uint(step)); shift > 0 {
			e.emit(asm.LSh.Imm(asm.R1, int32(shift)))
		}
		e.emit(asm.Add.Reg(asm.R3, asm.R1))
	}
	e.emit(asm.And.Imm(asm.R3, mask))
	e.table(asm.R2, asm.R3, l.class, asm.Half)
}
