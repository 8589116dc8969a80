package nxos

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// acl is an "ip access-list", its entries sorted by sequence number.
type acl struct{ entries []entry }

type entry struct {
	seq              int
	permit           bool
	protocol         string
	src, dst         netip.Prefix // 0.0.0.0/0 is any
	srcPort, dstPort portMatch
}

// portMatch is "eq 80" or "range 80 90"; the zero value is none.
type portMatch struct {
	op        string
	low, high int
}

// protocols are printed by name, also where a number was typed (unverified).
var protocols = map[string]uint8{"ip": 0, "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ahp": 51, "eigrp": 88, "ospf": 89, "nos": 94, "pim": 103, "pcp": 108, "sctp": 132}

// portNames are printed instead of numbers, as in public configurations.
var portNames = map[int]string{20: "ftp-data", 21: "ftp", 23: "telnet", 25: "smtp", 53: "domain", 80: "www", 123: "ntp", 161: "snmp", 179: "bgp", 514: "syslog"}

func (e entry) String() string {
	s := strconv.Itoa(e.seq) + map[bool]string{true: " permit ", false: " deny "}[e.permit] + e.protocol
	return s + " " + prefixText(e.src) + e.srcPort.String() + " " + prefixText(e.dst) + e.dstPort.String()
}

// prefixText: a host is written as a prefix, /32 (Ansible's tests, a public capture of 9.3(1)).
func prefixText(p netip.Prefix) string {
	if p.Bits() == 0 {
		return "any"
	}
	return p.String()
}

func (m portMatch) String() string {
	name := func(n int) string {
		if s := portNames[n]; s != "" {
			return s
		}
		return strconv.Itoa(n)
	}
	switch m.op {
	case "":
		return ""
	case "range":
		return " range " + name(m.low) + " " + name(m.high)
	default:
		return " " + m.op + " " + name(m.low)
	}
}

func (m portMatch) ranges() []fabric.PortRange {
	switch {
	case m.op == "eq":
		return []fabric.PortRange{{From: uint16(m.low), To: uint16(m.low)}}
	case m.op == "range":
		return []fabric.PortRange{{From: uint16(m.low), To: uint16(m.high)}}
	default:
		return nil
	}
}

// rules is what the list means to the packet model.
func (a *acl) rules() fabric.Filter {
	var f fabric.Filter
	for _, e := range a.entries {
		proto, named := protocols[e.protocol]
		if n, ok := decimal(e.protocol); ok && !named {
			proto = uint8(n)
		}
		r := fabric.Rule{Action: fabric.Exclude, IPVersion: 4, Protocol: proto, Src: e.src, Dst: e.dst, SrcPorts: e.srcPort.ranges(), DstPorts: e.dstPort.ranges()}
		if e.permit {
			r.Action = fabric.Include
		}
		f = append(f, r)
	}
	return f
}

// newACLGrammar has rules by addresses, protocol and ports; remarks, flags and other
// operators than eq and range are refused.
func newACLGrammar() *grammar {
	g := leaving(&grammar{})
	end := func(key string) []string {
		var out []string
		for _, address := range []string{"any", "host " + key + "h=IP", key + "p=PREFIX", key + "a=IP " + key + "w=IP"} {
			for _, port := range []string{"", " " + key + "op={eq} " + key + "1=WORD", " " + key + "op={range} " + key + "1=WORD " + key + "2=WORD"} {
				out = append(out, address+port)
			}
		}
		return out
	}
	for _, src := range end("s") {
		for _, dst := range end("d") {
			for _, p := range []string{"p={ahp,eigrp,esp,gre,icmp,igmp,ip,nos,ospf,pcp,pim,sctp,tcp,udp}", "p=0-255"} {
				rule := "verb={permit,deny} " + p + " " + src + " " + dst
				for _, seq := range []string{"", "seq=1-4294967 "} {
					g.config(seq+rule, addEntry)
					g.config("no "+seq+rule, removeEntry)
				}
			}
		}
	}
	g.config("no seq=1-4294967", removeEntry)
	return g
}

func addEntry(x *cli, c *config, a args) answer {
	e, ok := entryOf(a)
	if !ok {
		return errorf("the rule is not understood") // unverified
	}
	have := c.acls[x.mode().acl].entries
	if e.seq == 0 {
		e.seq = 10
		if len(have) > 0 {
			e.seq = have[len(have)-1].seq + 10
		}
	}
	entries := append(slices.DeleteFunc(slices.Clone(have), func(o entry) bool { return o.seq == e.seq }), e)
	slices.SortFunc(entries, func(p, q entry) int { return p.seq - q.seq })
	c.acls[x.mode().acl] = &acl{entries}
	return done
}

func removeEntry(x *cli, c *config, a args) answer {
	e, ok := entryOf(a)
	have := c.acls[x.mode().acl].entries
	left := slices.DeleteFunc(slices.Clone(have), func(o entry) bool {
		if !a.given("verb") {
			return o.seq == e.seq
		}
		same := e.seq == 0 || e.seq == o.seq
		o.seq = e.seq
		return same && o == e
	})
	if !ok && a.given("verb") || len(left) == len(have) {
		return errorf("the rule does not exist") // unverified
	}
	c.acls[x.mode().acl] = &acl{left}
	return done
}

func entryOf(a args) (entry, bool) {
	e := entry{seq: a.num("seq"), permit: a.text["verb"] == "permit", protocol: a.text["p"]}
	for name, n := range protocols {
		if e.protocol == strconv.Itoa(int(n)) && n != 0 {
			e.protocol = name
		}
	}
	var okSrc, okDst bool
	e.src, e.srcPort, okSrc = endOf("s", a)
	e.dst, e.dstPort, okDst = endOf("d", a)
	hasPorts := e.protocol == "tcp" || e.protocol == "udp"
	return e, okSrc && okDst && (hasPorts || e.srcPort.op+e.dstPort.op == "")
}

func endOf(key string, a args) (netip.Prefix, portMatch, bool) {
	p := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if h, err := netip.ParseAddr(a.text[key+"h"]); err == nil {
		p = netip.PrefixFrom(h, 32)
	}
	if v, err := netip.ParsePrefix(a.text[key+"p"]); err == nil {
		p = v.Masked()
	}
	if h, err := netip.ParseAddr(a.text[key+"a"]); err == nil {
		w := netip.MustParseAddr(a.text[key+"w"]).As4()
		free := binary.BigEndian.Uint32(w[:])
		if free&(free+1) != 0 {
			return p, portMatch{}, false // the packet model matches prefixes only
		}
		p = netip.PrefixFrom(h, 32-bits.Len32(free)).Masked()
	}
	m := portMatch{op: a.text[key+"op"]}
	if m.op == "" {
		return p, m, true
	}
	var ok bool
	if m.low, ok = portNumber(a.text[key+"1"]); !ok {
		return p, m, false
	}
	if m.op == "range" {
		m.high, ok = portNumber(a.text[key+"2"])
	}
	return p, m, ok && (m.op != "range" || m.low <= m.high)
}

func portNumber(text string) (int, bool) {
	for n, name := range portNames {
		if name == text {
			return n, true
		}
	}
	n, ok := decimal(text)
	return n, ok && n <= 65535
}
