package iosxe

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// aclKey names an access list; the kinds have names of their own.
type aclKey struct{ kind, name string }

// acl is an access list, its entries sorted by sequence number. A standard list, of
// kind ip, looks at source addresses only.
type acl struct {
	standard bool
	entries  []entry
}

func (a *acl) header(k aclKey) string {
	switch {
	case k.kind == "ipv6":
		return "ipv6 access-list " + k.name
	case a.standard:
		return "ip access-list standard " + k.name
	}
	return "ip access-list extended " + k.name
}

type entry struct {
	seq      int
	remark   string
	permit   bool
	protocol string // as printed: ip, ipv6, tcp, "47"
	src, dst side
	log      bool
}

// side is a prefix, the zero value of which is any, and a port condition.
type side struct {
	prefix netip.Prefix
	op     string // eq, neq, gt, lt, range; "" = none
	low    int
	high   int // of range
}

// protocols that IOS names in extended lists; numbers are IANA's.
var protocols = map[string]uint8{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ahp": 51, "eigrp": 88, "ospf": 89, "pim": 103, "sctp": 132,
}

// portNames are names that IOS prints for some port numbers ("show ip access-lists" in
// networktocode/ntc-templates). A name is common to TCP and UDP here, which for these
// numbers it is in IOS too or the other protocol does not use.
var portNames = map[int]string{
	20: "ftp-data", 21: "ftp", 23: "telnet", 25: "smtp", 53: "domain", 67: "bootps", 68: "bootpc", 69: "tftp", 80: "www",
	123: "ntp", 161: "snmp", 162: "snmptrap", 179: "bgp", 514: "syslog",
}

func (c *config) aclKeys() []aclKey {
	return slices.SortedFunc(maps.Keys(c.acls), func(a, b aclKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
}

func (a *acl) lines() []string {
	var out []string
	for _, e := range a.entries {
		out = append(out, " "+e.text(a.standard))
	}
	return out
}

func (e entry) text(standard bool) string {
	s := strconv.Itoa(e.seq) + " "
	if e.remark != "" {
		return s + "remark " + e.remark
	}
	s += map[bool]string{true: "permit", false: "deny"}[e.permit] + " "
	if standard {
		s += strings.TrimPrefix(e.src.String(), "host ") // as IOS prints it
	} else {
		s += e.protocol + " " + e.src.String() + " " + e.dst.String()
	}
	if e.log {
		s += " log"
	}
	return s
}

// String prints addresses as IOS does, with an inverse mask for IPv4.
func (s side) String() string {
	out := "any"
	switch {
	case !s.prefix.IsValid() || s.prefix.Bits() == 0:
	case s.prefix.IsSingleIP():
		out = "host " + s.prefix.Addr().String()
	case s.prefix.Addr().Is4():
		out = s.prefix.Masked().Addr().String() + " " + wildcard(s.prefix.Bits()).String()
	default:
		out = s.prefix.Masked().String()
	}
	if s.op != "" {
		out += " " + s.op + " " + portName(s.low)
	}
	if s.op == "range" {
		out += " " + portName(s.high)
	}
	return out
}

func portName(n int) string {
	if name := portNames[n]; name != "" {
		return name
	}
	return strconv.Itoa(n)
}

func wildcard(length int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(uint64(1)<<(32-length)-1))
	return netip.AddrFrom4(b)
}

// put adds an entry. Without a number it gets the last one's plus 10. A number in
// use takes the place of its entry (unverified: older releases refuse it), and an
// equal rule that is there already stays.
func (a *acl) put(e entry) *acl {
	n := &acl{a.standard, slices.Clone(a.entries)}
	if e.seq == 0 {
		if slices.ContainsFunc(n.entries, e.same) {
			return n
		}
		e.seq = 10
		if len(n.entries) > 0 {
			e.seq = n.entries[len(n.entries)-1].seq + 10
		}
	}
	n.entries = slices.DeleteFunc(n.entries, func(o entry) bool { return o.seq == e.seq })
	n.entries = append(n.entries, e)
	slices.SortFunc(n.entries, func(x, y entry) int { return x.seq - y.seq })
	return n
}

// drop removes entries; found is false if there was none.
func (a *acl) drop(gone func(entry) bool) (n *acl, found bool) {
	n = &acl{a.standard, slices.DeleteFunc(slices.Clone(a.entries), gone)}
	return n, len(n.entries) != len(a.entries)
}

func (e entry) same(o entry) bool {
	o.seq = e.seq
	return e == o
}

// rules is what the list means to the packet model.
func (a *acl) rules(kind string) fabric.Filter {
	var f fabric.Filter
	for _, e := range a.entries {
		if e.remark != "" {
			continue
		}
		r := fabric.Rule{Action: fabric.Exclude, IPVersion: map[string]uint8{"ip": 4, "ipv6": 6}[kind], Src: e.src.prefix, Dst: e.dst.prefix}
		if e.permit {
			r.Action = fabric.Include
		}
		if n, err := strconv.ParseUint(e.protocol, 10, 8); err == nil {
			r.Protocol = uint8(n)
		} else {
			r.Protocol = protocols[e.protocol]
		}
		r.SrcPorts, r.DstPorts = e.src.ranges(), e.dst.ranges()
		f = append(f, r)
	}
	return f
}

func (s side) ranges() []fabric.PortRange {
	var out []fabric.PortRange
	add := func(low, high int) {
		if low <= high {
			out = append(out, fabric.PortRange{From: uint16(low), To: uint16(high)})
		}
	}
	switch s.op {
	case "eq":
		add(s.low, s.low)
	case "range":
		add(s.low, s.high)
	case "gt":
		add(s.low+1, 65535)
	case "lt":
		add(0, s.low-1)
	case "neq":
		add(0, s.low-1)
		add(s.low+1, 65535)
	}
	return out
}

// aclGrammar has the lines below an access list of a kind.
func aclGrammar(kind string, standard bool) *grammar {
	g := &grammar{}
	leaveLines(g)
	address := func(key string) string {
		if kind == "ip" {
			return "(any|host " + key + "=IP|" + key + "=IP " + key + "w=IP)"
		}
		return "(any|host " + key + "=IP6|" + key + "p=WORD)"
	}
	ports := func(key string) string {
		return "[(" + key + "op={eq,gt,lt,neq} " + key + "1=WORD|" + key + "rg={range} " + key + "1=WORD " + key + "2=WORD)]"
	}
	rule := "verb={permit,deny} p=WORD " + address("s") + " " + ports("s") + " " + address("d") + " " + ports("d") + " [log]"
	if standard {
		rule = "verb={permit,deny} (any|[host] s=IP|s=IP sw=IP) [log]"
	}
	g.config("[seq=<1-2147483647>] "+rule, func(x *cli, c *config, a args) answer {
		e, why := entryOf(kind, a)
		if why.refused {
			return why
		}
		c.acls[x.mode().list] = c.acls[x.mode().list].put(e)
		return done
	})
	g.config("[seq=<1-2147483647>] remark text=LINE", func(x *cli, c *config, a args) answer {
		c.acls[x.mode().list] = c.acls[x.mode().list].put(entry{seq: a.num("seq"), remark: a.text["text"]})
		return done
	})
	drop := func(x *cli, c *config, gone func(entry) bool) answer {
		n, found := c.acls[x.mode().list].drop(gone)
		if !found {
			return refusef("Specified access-list line does not exist") // unverified
		}
		c.acls[x.mode().list] = n
		return done
	}
	g.config("no seq=<1-2147483647>", func(x *cli, c *config, a args) answer {
		return drop(x, c, func(e entry) bool { return e.seq == a.num("seq") })
	})
	g.config("no [seq=<1-2147483647>] "+rule, func(x *cli, c *config, a args) answer {
		e, why := entryOf(kind, a)
		if why.refused {
			return why
		}
		return drop(x, c, func(o entry) bool { return o.same(e) && (e.seq == 0 || e.seq == o.seq) })
	})
	g.config("no remark text=LINE", func(x *cli, c *config, a args) answer {
		return drop(x, c, func(e entry) bool { return e.remark == a.text["text"] })
	})
	return g
}

// entryOf makes an entry of a matched line.
func entryOf(kind string, a args) (entry, answer) {
	e := entry{seq: a.num("seq"), permit: a.text["verb"] == "permit", log: a.has("log")}
	p := strings.ToLower(a.text["p"])
	switch n, number := decimal(p); {
	case p == kind, p == "": // a standard list names no protocol
		e.protocol = kind
	case number && n <= 255:
		e.protocol = strconv.Itoa(n)
		for name, v := range protocols {
			if int(v) == n {
				e.protocol = name
			}
		}
	default:
		names := slices.Sorted(maps.Keys(protocols))
		if e.protocol = chosen(names, p); e.protocol == "" {
			return e, unknown
		}
	}
	var why answer
	if e.src, why = sideOf(kind, e.protocol, "s", a); why.refused {
		return e, why
	}
	e.dst, why = sideOf(kind, e.protocol, "d", a)
	return e, why
}

func sideOf(kind, protocol, key string, a args) (side, answer) {
	var s side
	if ip, err := netip.ParseAddr(a.text[key]); err == nil {
		length := ip.BitLen()
		if w, err := netip.ParseAddr(a.text[key+"w"]); err == nil {
			mask := ^binary.BigEndian.Uint32(w.AsSlice())
			length = bits.LeadingZeros32(^mask)
			if bits.OnesCount32(mask) != length {
				// IOS takes any inverse mask; the packet model matches prefixes only.
				return s, refusef("Inverse mask %s is not contiguous: not simulated", w)
			}
		}
		s.prefix = netip.PrefixFrom(ip, length).Masked()
	}
	if text := a.text[key+"p"]; text != "" {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4() {
			return s, unknown
		}
		s.prefix = p.Masked()
	}
	if s.prefix.IsValid() && s.prefix.Bits() == 0 {
		s.prefix = netip.Prefix{}
	}
	s.op = a.text[key+"op"]
	if a.given(key + "rg") {
		s.op = "range"
	}
	if s.op == "" {
		return s, done
	}
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return s, unknown // ports belong to protocols that have them
	}
	var ok bool
	if s.low, ok = portNumber(a.text[key+"1"]); !ok {
		return s, unknown
	}
	if s.op == "range" {
		if s.high, ok = portNumber(a.text[key+"2"]); !ok {
			return s, unknown
		}
		if s.low > s.high {
			s.low, s.high = s.high, s.low
		}
	}
	return s, done
}

func portNumber(text string) (int, bool) {
	if n, ok := decimal(text); ok {
		return n, n <= 65535
	}
	for n, name := range portNames {
		if strings.EqualFold(name, text) {
			return n, true
		}
	}
	return 0, false
}
