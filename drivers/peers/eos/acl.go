package eos

import (
	"cmp"
	"encoding/hex"
	"maps"
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
