package hostmirror

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

var errProgram = errors.New("a program that spanctl does not make")

// rulesOf reads the rules out of a program of compileRules, normalized. A program that
// compileRules does not make of those very rules is refused.
func rulesOf(program []tcnl.Instruction) ([]models.Rule, error) {
	if len(program) == 0 {
		return nil, nil
	}
	for i := range 16 {
		n := needs{vlan: i&1 != 0, ipv4: i&2 != 0, ipv6: i&4 != 0, ports: i&8 != 0}
		a := &assembler{}
		a.prelude(n)
		rest := program
		if len(rest) < len(a.out) || !slices.Equal(rest[:len(a.out)], a.out) {
			continue
		}
		d := &disassembler{rest: rest[len(a.out):]}
		rules := d.rules()
		again, err := compileRules(rules)
		if err == nil && slices.Equal(again, program) {
			return models.NormalizeRules(rules), nil
		}
	}
	return nil, errProgram
}

// disassembler takes instructions one by one. It need not notice what does not belong
// there: its rules are compiled again and compared.
type disassembler struct{ rest []tcnl.Instruction }

func (d *disassembler) next() tcnl.Instruction {
	if len(d.rest) == 0 {
		return tcnl.Instruction{}
	}
	in := d.rest[0]
	d.rest = d.rest[1:]
	return in
}

func (d *disassembler) rules() []models.Rule {
	var out []models.Rule
	for len(d.rest) > 1 { // the last instruction is for what no rule matches
		out = append(out, d.rule())
	}
	return out
}

func (d *disassembler) rule() models.Rule {
	r := models.Rule{Action: models.Exclude}
	m := &r.Match
	family := 0
	for len(d.rest) > 0 {
		switch in := d.next(); in.Code {
		case opReturn:
			if in.K == math.MaxUint32 {
				r.Action = models.Include
			}
			if family != 0 && m.Family() == 0 {
				all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
				if family == 6 {
					all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
				}
				m.Src = models.Prefix{Prefix: all}
			}
			return r
		case opRecall:
			switch in.K {
			case memVLAN:
				m.VLANs = d.ranges()
			case memSport:
				m.Sport = d.ranges()
			case memDport:
				m.Dport = d.ranges()
			case memFamily:
				family = int(d.equal() & 0xff)
			case memProto:
				m.Proto = models.ProtocolName(uint8(d.equal()))
			}
		case opRecallX:
			src, dst := addressAt(family)
			m.Src.Prefix = d.prefix(family, src)
			m.Dst.Prefix = d.prefix(family, dst)
		}
	}
	return r
}

// equal reads a comparison and the jump behind it.
func (d *disassembler) equal() uint32 {
	k := d.next().K
	d.next()
	return k
}

func (d *disassembler) ranges() []models.Range {
	var out []models.Range
	for len(d.rest) > 0 && d.rest[0].Code == opAtLeast {
		first := d.next()
		last := d.next()
		d.next() // to the end of the list
		out = append(out, models.Range{First: uint16(first.K), Last: uint16(last.K)})
	}
	d.next() // to the next rule
	return out
}

func (d *disassembler) prefix(family int, at uint32) netip.Prefix {
	size := uint32(4)
	if family == 6 {
		size = 16
	}
	addr := make([]byte, size)
	bits := 0
	for word := uint32(0); word < size && len(d.rest) > 0 && d.rest[0] == (tcnl.Instruction{Code: opWordAtX, K: at + word}); word += 4 {
		d.next()
		mask := uint32(math.MaxUint32)
		if len(d.rest) > 0 && d.rest[0].Code == opAnd {
			mask = d.next().K
		}
		for ; mask != 0; mask <<= 1 {
			bits++
		}
		binary.BigEndian.PutUint32(addr[word:], d.equal())
	}
	if bits == 0 {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(addr)
	return netip.PrefixFrom(a, bits)
}
