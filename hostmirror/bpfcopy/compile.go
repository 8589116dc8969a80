package bpfcopy

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// verdict is what a rule does with a session, or with all of them.
type verdict uint32

const (
	leave verdict = 0 // the session does not want the frame
	take  verdict = 1 // the session wants it
	stop  verdict = 2 // no session gets it
)

// rule is a models.Rule in its place among all rules of a port. Its number is that of
// its bit.
type rule struct {
	match   models.Match
	tunnel  bool // dport holds for frames without ports, too
	session int  // index in Tables.sessions; that of the first one for guards, -1
	verdict verdict
}

// Tables are the contents of the maps of one program.
type Tables struct {
	words    int // 64-bit words of a bit vector
	rules    []uint32
	sessions []sessionEntry
	copies   []uint32 // interface indexes
	classes  [][]uint64

	// One for each field that rules ask for, else nil.
	proto, vlan, sport, dport []uint16 // class by value
	src, dst                  *addresses
	all                       uint16 // class of all rules
}

// sessionEntry is a session as the program needs it.
type sessionEntry struct {
	slot, sample, first, count, truncate uint32
}

// addresses finds the class of an address: that of the last start that is not above it.
type addresses struct {
	v4, v6 starts
	none   uint16 // class of frames without an address
}

type starts struct {
	at    []key
	class []uint16
}

// key is a value of a field as a number of 128 bits: high, low.
type key [2]uint64

func (k key) compare(o key) int { return cmp.Or(cmp.Compare(k[0], o[0]), cmp.Compare(k[1], o[1])) }

// next must not be asked of the last value.
func (k key) next() key {
	k[1]++
	if k[1] == 0 {
		k[0]++
	}
	return k
}

// Values of fields that stand for "has none".
const (
	noIP    = 512     // among protocols: IPv4 0 to 255, IPv6 256 to 511
	noPort  = 1 << 16 // among ports
	maxVLAN = 4095    // 0 is no tag, or one that carries a priority only
)

const vxlanPort = 4789

// Compile makes the tables for set. slot gives the number of a session's counters. The
// set must be valid.
func Compile(set Set, slot func(name string) uint32) (*Tables, error) {
	t := &Tables{}
	rules := guardRules(set.Guard)
	for i, s := range set.Sessions {
		rules = append(rules, sessionRules(s, i)...)
		e := sessionEntry{slot: slot(s.Name), sample: max(s.SampleOneIn, 1), first: uint32(len(t.copies)), count: uint32(len(s.Destinations)), truncate: uint32(s.TruncateTo)}
		for _, d := range s.Destinations {
			t.copies = append(t.copies, uint32(d.Ifindex))
		}
		t.sessions = append(t.sessions, e)
	}
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%w: %d rules (with the implied ones), want at most %d", ErrLimit, len(rules), MaxRules)
	}
	t.words = max(1, (len(rules)+63)/64)
	for _, r := range rules {
		t.rules = append(t.rules, uint32(r.session+1)<<2|uint32(r.verdict))
	}
	c := &classifier{words: t.words, rules: rules, index: make(map[string]uint16)}
	t.all = c.class(c.where(func(rule) bool { return true }))
	c.protocols(t)
	c.vlans(t)
	t.sport = c.ports(func(m models.Match) []models.Range { return m.Sport })
	t.dport = c.ports(func(m models.Match) []models.Range { return m.Dport })
	t.src = c.addresses(func(m models.Match) models.Prefix { return m.Src })
	t.dst = c.addresses(func(m models.Match) models.Prefix { return m.Dst })
	t.classes = c.classes
	if len(t.classes) > MaxClasses {
		return nil, fmt.Errorf("%w: rules tell %d classes of values apart, want at most %d", ErrLimit, len(t.classes), MaxClasses)
	}
	return t, nil
}

// sessionRules gives the rules of a session with what it does with the rest. What it
// leaves needs no rule.
func sessionRules(s Session, index int) []rule {
	var out []rule
	for _, r := range models.NormalizeRules(s.Filter) {
		v := leave
		if r.Action == models.Include {
			v = take
		}
		out = append(out, rule{match: r.Match, session: index, verdict: v})
	}
	if models.DefaultAction(s.Filter) == models.Include {
		out = append(out, rule{session: index, verdict: take})
	}
	return out
}

// guardRules come first, so that they are met before any session's.
func guardRules(tunnels []Tunnel) []rule {
	var out []rule
	for _, g := range tunnels {
		to := g.Destination.Unmap()
		r := rule{session: -1, verdict: stop, match: models.Match{
			Proto: "gre", Dst: models.Prefix{Prefix: netip.PrefixFrom(to, to.BitLen())},
		}}
		if g.VXLAN {
			r.match.Proto, r.match.Dport, r.tunnel = "udp", []models.Range{models.One(vxlanPort)}, true
		}
		out = append(out, r)
	}
	return out
}

// classifier makes classes of values that match the same rules.
type classifier struct {
	words   int
	rules   []rule
	index   map[string]uint16
	classes [][]uint64
	buf     []byte
}

func (c *classifier) class(bits []uint64) uint16 {
	c.buf = c.buf[:0]
	for _, w := range bits {
		c.buf = binary.NativeEndian.AppendUint64(c.buf, w)
	}
	if n, ok := c.index[string(c.buf)]; ok {
		return n
	}
	n := uint16(len(c.classes)) // wraps only where Compile then refuses
	c.index[string(c.buf)] = n
	c.classes = append(c.classes, slices.Clone(bits))
	return n
}

func (c *classifier) where(f func(rule) bool) []uint64 {
	bits := make([]uint64, c.words)
	for i, r := range c.rules {
		if f(r) {
			set(bits, i)
		}
	}
	return bits
}

func (c *classifier) any(f func(rule) bool) bool { return slices.ContainsFunc(c.rules, f) }

func set(bits []uint64, i int)   { bits[i/64] |= 1 << (i % 64) }
func unset(bits []uint64, i int) { bits[i/64] &^= 1 << (i % 64) }

// protocols is the field of IP version and protocol.
func (c *classifier) protocols(t *Tables) {
	if !c.any(func(r rule) bool { return r.match.Proto != "" || r.match.Family() != 0 }) {
		return
	}
	bits := make([][]uint64, noIP+1)
	for i := range bits {
		bits[i] = make([]uint64, c.words)
	}
	for i, r := range c.rules {
		first, last := 0, 255
		if r.match.Proto != "" {
			n, _ := models.ProtocolNumber(r.match.Proto)
			first, last = int(n), int(n)
		}
		family := r.match.Family()
		for p := first; p <= last; p++ {
			if family != 6 {
				set(bits[p], i)
			}
			if family != 4 {
				set(bits[256+p], i)
			}
		}
		if family == 0 && r.match.Proto == "" {
			set(bits[noIP], i)
		}
	}
	for _, b := range bits {
		t.proto = append(t.proto, c.class(b))
	}
}

func (c *classifier) vlans(t *Tables) {
	if !c.any(func(r rule) bool { return len(r.match.VLANs) > 0 }) {
		return
	}
	s := c.sweep(key{0, maxVLAN}, func(r rule) ([]span, bool) { return spans(r.match.VLANs), len(r.match.VLANs) > 0 })
	t.vlan = s.table(maxVLAN + 1)
}

// ports gives classes by port, and behind them that of frames without ports.
func (c *classifier) ports(of func(models.Match) []models.Range) []uint16 {
	if !c.any(func(r rule) bool { return len(of(r.match)) > 0 }) {
		return nil
	}
	s := c.sweep(key{0, noPort - 1}, func(r rule) ([]span, bool) { return spans(of(r.match)), len(of(r.match)) > 0 })
	return append(s.table(noPort), c.class(c.where(func(r rule) bool { return len(of(r.match)) == 0 || r.tunnel })))
}

func (c *classifier) addresses(of func(models.Match) models.Prefix) *addresses {
	if !c.any(func(r rule) bool { return of(r.match).IsValid() }) {
		return nil
	}
	family := func(v4 bool, last key) starts {
		return c.sweep(last, func(r rule) ([]span, bool) {
			p := of(r.match)
			if !p.IsValid() || p.Addr().Is4() != v4 {
				return nil, p.IsValid()
			}
			return []span{prefixSpan(p.Prefix)}, true
		})
	}
	return &addresses{
		v4: family(true, key{0, 1<<32 - 1}), v6: family(false, key{^uint64(0), ^uint64(0)}),
		none: c.class(c.where(func(r rule) bool { return !of(r.match).IsValid() })),
	}
}

type span struct{ first, last key }

func spans(rs []models.Range) []span {
	var out []span
	for _, r := range rs {
		out = append(out, span{key{0, uint64(r.First)}, key{0, uint64(r.Last)}})
	}
	return out
}

func addressKey(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func prefixSpan(p netip.Prefix) span {
	first := addressKey(p.Masked().Addr())
	host := p.Addr().BitLen() - p.Bits()
	last := first
	switch {
	case host >= 128:
		last = key{^uint64(0), ^uint64(0)}
	case host >= 64:
		last[0] |= 1<<(host-64) - 1
		last[1] = ^uint64(0)
	default:
		last[1] |= 1<<host - 1
	}
	return span{first, last}
}

// sweep cuts the values 0 to last of a field where the set of rules that match changes.
// of gives the spans of a rule, which must not overlap or touch, and whether the rule
// is about the field at all; else it matches all values.
func (c *classifier) sweep(last key, of func(rule) (in []span, about bool)) starts {
	type edge struct {
		at   key
		rule int
		on   bool
	}
	bits := make([]uint64, c.words)
	edges := []edge{}
	for i, r := range c.rules {
		in, about := of(r)
		if !about {
			set(bits, i)
		}
		for _, s := range in {
			edges = append(edges, edge{s.first, i, true})
			if s.last.compare(last) < 0 {
				edges = append(edges, edge{s.last.next(), i, false})
			}
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return a.at.compare(b.at) })
	var out starts
	for at := (key{}); ; at = edges[0].at {
		for len(edges) > 0 && edges[0].at == at {
			if edges[0].on {
				set(bits, edges[0].rule)
			} else {
				unset(bits, edges[0].rule)
			}
			edges = edges[1:]
		}
		if n := c.class(bits); len(out.at) == 0 || out.class[len(out.class)-1] != n {
			out.at, out.class = append(out.at, at), append(out.class, n)
		}
		if len(edges) == 0 {
			return out
		}
	}
}

// table gives the class of each value below n.
func (s starts) table(n int) []uint16 {
	out := make([]uint16, n)
	at := 0
	for v := range out {
		for at+1 < len(s.at) && s.at[at+1].compare(key{0, uint64(v)}) <= 0 {
			at++
		}
		out[v] = s.class[at]
	}
	return out
}
