package eos

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// parseEntry reads a rule or remark of a list of this kind, from behind an
// optional sequence number. The error is a text of the grammar; at is the word it
// is about.
func parseEntry(kind string, toks []string) (e entry, at int, problem string) {
	p := &words{toks: toks}
	if n, ok := number(p.peek()); ok {
		if n == 0 {
			return e, 0, errInvalid
		}
		e.seq = n
		p.i++
	}
	switch p.keyword("permit", "deny", "remark") {
	case "permit":
		e.permit = true
	case "deny":
	case "remark":
		if p.done() {
			return e, p.i, errIncomplete
		}
		e.remark = strings.Join(p.toks[p.i:], " ")
		return e, 0, ""
	default:
		return e, p.i, p.problem()
	}
	if kind == "mac" {
		return p.macRule(e)
	}
	return p.ipRule(kind, e)
}

// words walks over the words of a line.
type words struct {
	toks []string
	i    int
}

func (w *words) done() bool { return w.i >= len(w.toks) }

func (w *words) peek() string {
	if w.done() {
		return ""
	}
	return strings.ToLower(w.toks[w.i])
}

// problem is what is wrong with the word that nothing took.
func (w *words) problem() string {
	if w.done() {
		return errIncomplete
	}
	return errInvalid
}

// keyword takes the next word if it is a unique prefix of one of these.
func (w *words) keyword(list ...string) string {
	t := w.peek()
	if t == "" {
		return ""
	}
	found := ""
	for _, k := range list {
		if k == t {
			found = k
			break
		}
		if strings.HasPrefix(k, t) {
			if found != "" {
				return ""
			}
			found = k
		}
	}
	if found != "" {
		w.i++
	}
	return found
}

func (w *words) ipRule(kind string, e entry) (entry, int, string) {
	all := map[string]string{"ip": "ip", "ipv6": "ipv6"}[kind]
	if !w.protocol(kind, all, &e) {
		return e, w.i, w.problem()
	}
	withPorts := e.number == 6 || e.number == 17
	for _, side := range []struct {
		a *addr
		p *ports
	}{{&e.src, &e.sports}, {&e.dst, &e.dports}} {
		if !w.ip(kind == "ipv6", side.a) {
			return e, w.i, w.problem()
		}
		if withPorts && !w.portCondition(side.p) {
			return e, w.i, w.problem()
		}
	}
	for !w.done() {
		if w.keyword("log") == "" {
			return e, w.i, errInvalid
		}
		e.log = true
	}
	return e, 0, ""
}

func (w *words) protocol(kind, all string, e *entry) bool {
	t := w.peek()
	if n, ok := number(t); ok && n <= 255 {
		e.proto, e.number = strconv.Itoa(n), n
		for name, v := range protoNames {
			if v == n && kind == "ip" {
				e.proto = name
			}
		}
		w.i++
		return true
	}
	names := append(slices.Sorted(maps.Keys(protoNames)), all)
	if kind == "ipv6" {
		names = []string{"icmpv6", "tcp", "udp", "ipv6", "ospf"}
	}
	name := w.keyword(names...)
	switch name {
	case "":
		return false
	case all:
		e.number = -1
	case "icmpv6":
		e.number = 58
	default:
		e.number = protoNames[name]
	}
	e.proto = name
	return true
}

func (w *words) ip(v6 bool, a *addr) bool {
	switch w.keyword("any", "host") {
	case "any":
		return true
	case "host":
		ip, err := netip.ParseAddr(w.peek())
		if err != nil || ip.Is6() != v6 {
			return false
		}
		*a = addr{ip: netip.PrefixFrom(ip, ip.BitLen()), set: true}
		w.i++
		return true
	}
	if p, err := netip.ParsePrefix(w.peek()); err == nil {
		if p.Addr().Is6() != v6 {
			return false
		}
		w.i++
		p = p.Masked()
		if p.Bits() > 0 { // a prefix of length 0 is "any"
			*a = addr{ip: p, set: true}
		}
		return true
	}
	// "10.0.0.0 0.0.0.255": a wildcard mask, kept as the prefix it means.
	ip, err := netip.ParseAddr(w.peek())
	if err != nil || v6 || !ip.Is4() || w.i+1 >= len(w.toks) {
		return false
	}
	wild, err := netip.ParseAddr(w.toks[w.i+1])
	if err != nil || !wild.Is4() {
		w.i++
		return false
	}
	m := wild.As4()
	v := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
	if v&(v+1) != 0 {
		w.i++
		return false // not a prefix; the packet model has none such
	}
	if n := 32 - bits.OnesCount32(v); n > 0 {
		*a = addr{ip: netip.PrefixFrom(ip, n).Masked(), set: true}
	}
	w.i += 2
	return true
}

func (w *words) portCondition(p *ports) bool {
	op := w.keyword("eq", "neq", "gt", "lt", "range")
	if op == "" {
		return true
	}
	p.op = op
	for !w.done() {
		n, ok := w.port()
		if !ok {
			break
		}
		p.list = append(p.list, n)
	}
	switch op {
	case "range":
		return len(p.list) == 2 && p.list[0] <= p.list[1]
	case "gt":
		return len(p.list) == 1 && p.list[0] < 65535
	case "lt":
		return len(p.list) == 1 && p.list[0] > 0
	}
	return len(p.list) >= 1
}

func (w *words) port() (int, bool) {
	t := w.peek()
	if n, ok := number(t); ok && n <= 65535 {
		w.i++
		return n, true
	}
	for n, name := range portNames {
		if name == t {
			w.i++
			return n, true
		}
	}
	return 0, false
}

func (w *words) macRule(e entry) (entry, int, string) {
	e.proto, e.number = "mac", -1
	for _, a := range []*addr{&e.src, &e.dst} {
		if w.keyword("any") != "" {
			continue
		}
		mac, ok := parseMAC(w.peek())
		if !ok {
			return e, w.i, w.problem()
		}
		w.i++
		wild, ok := parseMAC(w.peek())
		if !ok {
			return e, w.i, w.problem()
		}
		w.i++
		*a = addr{mac: mac, wild: wild, set: true}
	}
	for !w.done() {
		if t := w.keyword("arp", "ip", "ipv6", "log"); t == "log" {
			e.log = true
			continue
		} else if t != "" {
			e.proto = "mac " + t
			continue
		}
		v, err := strconv.ParseUint(w.peek(), 0, 16)
		if err != nil || e.proto != "mac" {
			return e, w.i, errInvalid
		}
		e.proto = fmt.Sprintf("mac 0x%04x", v)
		w.i++
	}
	return e, 0, ""
}

func parseMAC(s string) (fabric.MAC, bool) {
	b, err := hex.DecodeString(strings.NewReplacer(".", "", ":", "").Replace(s))
	if err != nil || len(b) != 6 {
		return fabric.MAC{}, false
	}
	return fabric.MAC(b), true
}
