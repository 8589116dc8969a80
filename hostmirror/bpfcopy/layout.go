package bpfcopy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

// layout says where the parts of the map "tables" are, in bytes from its start. The
// map has one element, of the machine's byte order. A part that is not needed has no
// place (0).
type layout struct {
	rules, sessions, copies   uint32
	proto, vlan, sport, dport uint32
	src, dst                  addressLayout
	size                      uint32
}

type addressLayout struct{ v4, v6 startsLayout }

// startsLayout is a search table: n starts, a power of two, and n classes behind.
type startsLayout struct {
	at, class uint32
	n         int
}

// The head of the map: what reads it back, and constants that the program needs.
const (
	tablesMagic  = 0x5350_4e01 // "SPN" and the layout's version
	headMagic    = 0           // u32
	headConfigAt = 4           // u32: where the configuration begins, in JSON
	headConfigN  = 8           // u32: its bytes
	headLowBit   = 16          // 64 u8: number of the bit x by the top 6 bits of x*deBruijn
	headSize     = 80

	sessionSize = 20
	deBruijn    = 0x03f79d71b4cb0a89
)

// config is what the program does, in words. It lives in the same map as the tables,
// so that both change in one step.
type config struct {
	Port      Device         `json:"port"`
	Direction string         `json:"direction"`
	Set       Set            `json:"set"`
	Slots     map[string]int `json:"slots"` // number of a session's counters, by name
}

var native = binary.NativeEndian

// encode makes the contents of the maps "tables" and "classes".
func (t *Tables) encode(c config) (tables []byte, classes [][]byte, l layout, err error) {
	b := make([]byte, headSize)
	native.PutUint32(b[headMagic:], tablesMagic)
	for i := range 64 {
		b[headLowBit+(uint64(1)<<i*deBruijn)>>58] = byte(i)
	}
	place := func() uint32 {
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		return uint32(len(b))
	}
	words := func(w []uint32) uint32 {
		at := place()
		for _, x := range w {
			b = native.AppendUint32(b, x)
		}
		return at
	}
	halves := func(w []uint16) uint32 {
		if w == nil {
			return 0
		}
		at := place()
		for _, x := range w {
			b = native.AppendUint16(b, x)
		}
		return at
	}
	rules := make([]uint32, 64*t.words)
	copy(rules, t.rules)
	l.rules = words(rules)
	l.sessions = place()
	for _, s := range t.sessions {
		for _, x := range []uint32{s.slot, s.sample, s.first, s.count, s.truncate} {
			b = native.AppendUint32(b, x)
		}
	}
	l.copies = words(t.copies)
	l.proto, l.vlan, l.sport, l.dport = halves(t.proto), halves(t.vlan), halves(t.sport), halves(t.dport)

	search := func(s starts, wide bool) startsLayout {
		out := startsLayout{n: 1 << bits.Len(uint(len(s.at)-1)), at: place()}
		class := make([]uint16, out.n)
		for i := range out.n {
			k := key{^uint64(0), ^uint64(0)} // padding that is found only by the last value
			class[i] = s.class[len(s.class)-1]
			if i < len(s.at) {
				k, class[i] = s.at[i], s.class[i]
			}
			if wide {
				b = native.AppendUint64(native.AppendUint64(b, k[0]), k[1])
			} else {
				b = native.AppendUint32(b, uint32(k[1]))
			}
		}
		out.class = halves(class)
		return out
	}
	for _, f := range []struct {
		table *addresses
		at    *addressLayout
	}{{t.src, &l.src}, {t.dst, &l.dst}} {
		if f.table != nil {
			f.at.v4, f.at.v6 = search(f.table.v4, false), search(f.table.v6, true)
		}
	}

	text, err := json.Marshal(c)
	if err != nil {
		return nil, nil, layout{}, err
	}
	native.PutUint32(b[headConfigAt:], place())
	native.PutUint32(b[headConfigN:], uint32(len(text)))
	b = append(b, text...)
	l.size = place() // pads b, too

	for _, bits := range t.classes {
		v := make([]byte, 8, 8*(1+t.words))
		var summary uint64
		for i, w := range bits {
			if w != 0 {
				summary |= 1 << i
			}
			v = native.AppendUint64(v, w)
		}
		native.PutUint64(v, summary)
		classes = append(classes, v)
	}
	return b, classes, l, nil
}

var errTables = errors.New("not tables of this version")

// decodeConfig reads the configuration back out of the map "tables".
func decodeConfig(b []byte) (config, error) {
	if len(b) < headSize || native.Uint32(b[headMagic:]) != tablesMagic {
		return config{}, errTables
	}
	at, n := uint64(native.Uint32(b[headConfigAt:])), uint64(native.Uint32(b[headConfigN:]))
	if at+n > uint64(len(b)) {
		return config{}, fmt.Errorf("%w: configuration of %d bytes at %d of %d", errTables, n, at, len(b))
	}
	var c config
	if err := json.Unmarshal(b[at:at+n], &c); err != nil {
		return config{}, fmt.Errorf("%w: %w", errTables, err)
	}
	return c, nil
}
