package eos

import (
	"cmp"
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

// aclKey names an access list: the three kinds have names of their own.
type aclKey struct{ kind, name string }

func (k aclKey) header() string { return k.kind + " access-list " + k.name }

// acl is an access list. Its entries are sorted by sequence number.
type acl struct {
	counters string // "counters per-entry", "statistics per-entry"; "" = none
	entries  []entry
}

// entry is one line: a rule, or a remark.
type entry struct {
	seq    int
	remark string
	permit bool
	proto  string // as printed: "ip", "tcp", "47"; mac lists: the type as typed, "" = any
	number int    // IP protocol number; -1 = any
	src    addr
	dst    addr
	sports ports
	dports ports
	log    bool
}

// addr is an IP prefix or a MAC address with its mask. The zero value is "any".
type addr struct {
	ip   netip.Prefix
	mac  fabric.MAC
	wild fabric.MAC // bits that may differ, as in the line
	set  bool
}

// ports is a port condition. The zero value matches all.
type ports struct {
	op   string // eq, neq, gt, lt, range
	list []int
}

// Names that EOS prints for numbers, from "show ip access-lists" in
// networktocode/ntc-templates; the numbers are IANA's.
var portNames = map[int]string{
	22: "ssh", 23: "telnet", 37: "time", 67: "bootps", 68: "bootpc", 80: "www", 123: "ntp", 161: "snmp", 175: "vmnet",
	179: "bgp", 210: "z39-50", 401: "ups", 443: "https", 520: "rip", 540: "uucp", 604: "tunnel", 639: "msdp", 3784: "bfd",
}

var protoNames = map[string]int{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "ahp": 51, "ospf": 89, "pim": 103, "vrrp": 112,
}

func (c *config) aclKeys() []aclKey {
	return slices.SortedFunc(maps.Keys(c.acls), func(a, b aclKey) int {
		return cmp.Or(slices.Index(aclKinds, a.kind)-slices.Index(aclKinds, b.kind), cmp.Compare(a.name, b.name))
	})
}

var aclKinds = []string{"ip", "ipv6", "mac"}

func (a *acl) clone() *acl {
	if a == nil {
		return &acl{}
	}
	return &acl{counters: a.counters, entries: slices.Clone(a.entries)}
}

func (a *acl) lines() []string {
	var out []string
	if a.counters != "" {
		out = append(out, "   "+a.counters)
	}
	for _, e := range a.entries {
		out = append(out, "   "+e.String())
	}
	return out
}

// put adds a rule. Without a number it gets the last one plus 10, as EOS
// numbers them; with one it replaces that line. An equal rule that is there
// already is left where it is (unverified).
func (a *acl) put(e entry) {
	if e.seq == 0 {
		if i := slices.IndexFunc(a.entries, e.sameRule); i >= 0 {
			return
		}
		e.seq = 10
		if n := len(a.entries); n > 0 {
			e.seq = a.entries[n-1].seq + 10
		}
	}
	a.entries = slices.DeleteFunc(a.entries, func(o entry) bool { return o.seq == e.seq })
	a.entries = append(a.entries, e)
	slices.SortFunc(a.entries, func(x, y entry) int { return x.seq - y.seq })
}

func (e entry) sameRule(o entry) bool {
	e.seq, o.seq = 0, 0
	return e.String() == o.String()
}

// drop removes a rule by number, or the one equal to e.
func (a *acl) drop(e entry) bool {
	n := len(a.entries)
	a.entries = slices.DeleteFunc(a.entries, func(o entry) bool {
		if e.proto == "" && e.remark == "" && !e.src.set {
			return o.seq == e.seq
		}
		return e.sameRule(o) && (e.seq == 0 || e.seq == o.seq)
	})
	return len(a.entries) != n
}

func (e entry) String() string {
	s := strconv.Itoa(e.seq) + " "
	if e.remark != "" {
		return s + "remark " + e.remark
	}
	s += map[bool]string{true: "permit", false: "deny"}[e.permit]
	if e.proto != "" && !e.isMAC() {
		s += " " + e.proto
	}
	s += " " + e.src.String() + e.sports.String() + " " + e.dst.String() + e.dports.String()
	if e.isMAC() && e.proto != "mac" {
		s += " " + strings.TrimPrefix(e.proto, "mac ")
	}
	if e.log {
		s += " log"
	}
	return s
}

func (e entry) isMAC() bool { return e.proto == "mac" || strings.HasPrefix(e.proto, "mac ") }

func (a addr) String() string {
	switch {
	case !a.set:
		return "any"
	case !a.ip.IsValid():
		return macText(a.mac) + " " + macText(a.wild)
	case a.ip.IsSingleIP():
		return "host " + a.ip.Addr().String()
	}
	return a.ip.String()
}

func macText(m fabric.MAC) string {
	h := hex.EncodeToString(m[:])
	return h[:4] + "." + h[4:8] + "." + h[8:]
}

func (p ports) String() string {
	if p.op == "" {
		return ""
	}
	s := " " + p.op
	for _, n := range p.list {
		name := portNames[n]
		if name == "" {
			name = strconv.Itoa(n)
		}
		s += " " + name
	}
	return s
}

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

// filter is what an access list means to the packet model: first match decides,
// nothing matched is not copied. A list that does not exist copies nothing
// (unverified).
func (c *config) filter(g group) fabric.Filter {
	if g.kind == "" {
		return nil
	}
	f := fabric.Filter{}
	if a := c.acls[aclKey{g.kind, g.name}]; a != nil {
		for _, e := range a.entries {
			if e.remark == "" {
				f = append(f, e.rule(g.kind))
			}
		}
	}
	// An empty filter would copy everything.
	return append(f, fabric.Rule{Action: fabric.Exclude})
}

func (e entry) rule(kind string) fabric.Rule {
	r := fabric.Rule{Action: fabric.Exclude}
	if e.permit {
		r.Action = fabric.Include
	}
	if kind == "mac" {
		r.SrcMAC, r.DstMAC = e.src.mask(), e.dst.mask()
		switch t := strings.TrimPrefix(e.proto, "mac "); t {
		case "mac":
		case "ip":
			r.EtherType = 0x0800
		case "ipv6":
			r.EtherType = 0x86dd
		case "arp":
			r.EtherType = 0x0806
		default:
			v, _ := strconv.ParseUint(t, 0, 16)
			r.EtherType = uint16(v)
		}
		return r
	}
	r.IPVersion = map[string]uint8{"ip": 4, "ipv6": 6}[kind]
	if e.number > 0 {
		r.Protocol = uint8(e.number)
	}
	r.Src, r.Dst = e.src.ip, e.dst.ip
	r.SrcPorts, r.DstPorts = e.sports.ranges(), e.dports.ranges()
	return r
}

func (a addr) mask() fabric.MACMask {
	if !a.set {
		return fabric.MACMask{}
	}
	m := fabric.MACMask{Addr: a.mac}
	for i := range a.wild {
		m.Mask[i] = ^a.wild[i]
		m.Addr[i] &= m.Mask[i]
	}
	return m
}

func (p ports) ranges() []fabric.PortRange {
	var out []fabric.PortRange
	add := func(lo, hi int) {
		if lo <= hi {
			out = append(out, fabric.PortRange{From: uint16(lo), To: uint16(hi)})
		}
	}
	switch p.op {
	case "eq":
		for _, n := range p.list {
			add(n, n)
		}
	case "range":
		add(p.list[0], p.list[1])
	case "gt":
		add(p.list[0]+1, 65535)
	case "lt":
		add(0, p.list[0]-1)
	case "neq":
		lo := 0
		for _, n := range slices.Sorted(slices.Values(p.list)) {
			add(lo, n-1)
			lo = n + 1
		}
		add(lo, 65535)
	}
	return out
}
