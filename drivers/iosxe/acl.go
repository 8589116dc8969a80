package iosxe

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// listPrefix begins the names of access lists that belong to sessions of ours;
// the number of the session follows.
const listPrefix = "sp-session-"

// listName gives the access list that is session n's own.
func listName(n int) string { return listPrefix + strconv.Itoa(n) }

// listNumber gives the session to which an access list of that name belongs.
func listNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, listPrefix)
	if !ok || digits == "" || digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && 0 < n && n <= maxNumber
}

// listHead gives the line that begins an access list.
func listHead(family int, name string) string {
	if family == 6 {
		return "ipv6 access-list " + name
	}
	return "ip access-list extended " + name
}

func isOwnHead(line string, n int) bool {
	return line == listHead(4, listName(n)) || line == listHead(6, listName(n))
}

// filterFamily gives the IP version of the access list that says rules, or why
// there is none.
func filterFamily(rules []models.Rule) (int, string) {
	if models.DefaultAction(rules) == models.Include {
		return 0, "the filter only excludes: IOS-XE copies what the access list of one IP version permits, so the rest could not be copied as asked; " +
			"end the filter with include {src: 0.0.0.0/0} or include {src: ::/0}, and use a mirror of its own for the other version"
	}
	fam := 0
	for i, r := range rules {
		if len(r.Match.VLANs) > 0 {
			return 0, whyVLANIn
		}
		f := r.Match.Family()
		switch {
		case f < 0:
			return 0, fmt.Sprintf("filter rule %d mixes IP versions: no frame can match", i+1)
		case f == 0:
			return 0, fmt.Sprintf("filter rule %d holds for IPv4 and IPv6, and a session has one access list of one version; "+
				"add src: 0.0.0.0/0 or src: ::/0 to it, and use a mirror of its own for the other version", i+1)
		case fam != 0 && f != fam:
			return 0, fmt.Sprintf("filter rule %d is about IPv%d and those before it about IPv%d, and a session has one access list of one version; "+
				"use a mirror for each version", i+1, f, fam)
		}
		if n, _ := models.ProtocolNumber(r.Match.Proto); n == sctp && len(r.Match.Sport)+len(r.Match.Dport) > 0 {
			return 0, fmt.Sprintf("filter rule %d is about ports of SCTP, which extended access lists of IOS-XE are not known to take; leave the ports out", i+1)
		}
		fam = f
	}
	seen := make(map[string]bool)
	for _, e := range aclEntries(rules, fam) {
		if seen[e] {
			return 0, fmt.Sprintf("the filter says %q twice, and an access list has an entry once; leave it out where it comes later: an earlier rule decides already", e)
		}
		seen[e] = true
	}
	return fam, ""
}

const sctp = 132

// aclEntries gives the entries of the access list that says rules, without indent
// and number: IOS numbers them itself. An access list ends with an implicit deny,
// as a filter with an inclusion does. Lists of ports become an entry per port or
// range.
func aclEntries(rules []models.Rule, family int) []string {
	var out []string
	for _, r := range rules {
		verb := "permit"
		if r.Action == models.Exclude {
			verb = "deny"
		}
		m := r.Match
		src, dst := aclAddress(m.Src), aclAddress(m.Dst)
		for _, sp := range portsOrAll(m.Sport) {
			for _, dp := range portsOrAll(m.Dport) {
				out = append(out, fmt.Sprintf("%s %s %s%s %s%s", verb, aclProto(m.Proto, family), src, sp, dst, dp))
			}
		}
	}
	return out
}

func aclProto(proto string, family int) string {
	switch {
	case proto == "" && family == 6:
		return "ipv6"
	case proto == "":
		return "ip"
	case proto == "tcp" || proto == "udp" || proto == "icmp":
		return proto
	case proto == "icmpv6":
		return "icmp" // in a list of IPv6 [xe]
	}
	n, _ := models.ProtocolNumber(proto)
	return strconv.Itoa(int(n))
}

// aclAddress gives any, host A, A WILDCARD for IPv4, or the prefix for IPv6.
func aclAddress(p models.Prefix) string {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return "any"
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case p.Addr().Is4():
		return p.Addr().String() + " " + wildcard(p.Bits()).String()
	default:
		return p.String()
	}
}

// wildcard gives the inverted mask of an IPv4 prefix length.
func wildcard(bits int) netip.Addr {
	n := ^uint32(0) >> bits
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func portsOrAll(rs []models.Range) []string {
	if len(rs) == 0 {
		return []string{""}
	}
	out := make([]string, len(rs))
	for i, r := range rs {
		if r.First == r.Last {
			out[i] = fmt.Sprintf(" eq %d", r.First)
		} else {
			out[i] = fmt.Sprintf(" range %d %d", r.First, r.Last)
		}
	}
	return out
}

// accessList is an access list as the running configuration shows it.
type accessList struct {
	head   string // its first line
	name   string
	family int      // 4 or 6; 0 for one that a filter cannot be read from
	lines  []string // entries as shown, with their indent
}

// block gives the access list as lines of its own.
func (a *accessList) block() []string { return append([]string{a.head}, a.lines...) }

// rules gives the access list as a filter, and false where it says more than the
// model can.
func (a *accessList) rules() ([]models.Rule, bool) {
	if a == nil || a.family == 0 || len(a.lines) == 0 {
		return nil, false
	}
	var out []models.Rule
	for _, line := range a.lines {
		r, ok := parseEntry(line, a.family)
		if !ok {
			return nil, false
		}
		out = append(out, r)
	}
	out = models.NormalizeRules(out)
	if f, _ := filterFamily(out); f != a.family {
		return nil, false // such as one that permits nothing
	}
	return out, true
}

// parseEntry reads an entry such as "10 permit tcp any eq bgp host 10.0.0.1" or
// "sequence 10 permit ipv6 any any"; old releases print the number last, or none.
// Other words, such as log, make it fail.
func parseEntry(line string, family int) (models.Rule, bool) {
	w := strings.Fields(line)
	switch {
	case len(w) > 2 && family == 6 && w[0] == "sequence" && isNumber(w[1]):
		w = w[2:]
	case len(w) > 2 && family == 6 && w[len(w)-2] == "sequence" && isNumber(w[len(w)-1]):
		w = w[:len(w)-2]
	case len(w) > 0 && isNumber(w[0]):
		w = w[1:]
	}
	var r models.Rule
	if len(w) < 2 {
		return r, false
	}
	switch w[0] {
	case "permit":
		r.Action = models.Include
	case "deny":
		r.Action = models.Exclude
	default:
		return r, false
	}
	var ok bool
	if r.Match.Proto, ok = parseProto(w[1], family); !ok {
		return r, false
	}
	ports := servicePorts[r.Match.Proto]
	w = w[2:]
	if r.Match.Src, w, ok = parseAddress(w, family); !ok {
		return r, false
	}
	if r.Match.Sport, w, ok = parsePorts(w, ports); !ok {
		return r, false
	}
	if r.Match.Dst, w, ok = parseAddress(w, family); !ok {
		return r, false
	}
	if r.Match.Dport, w, ok = parsePorts(w, ports); !ok || len(w) > 0 {
		return r, false
	}
	return r, r.Match.Family() == family
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// aclProtocols are the names of protocols in access lists [xe], by number (IANA).
var aclProtocols = map[string]uint8{
	"tcp": 6, "udp": 17, "icmp": 1, "igmp": 2, "gre": 47, "esp": 50, "ahp": 51, "eigrp": 88, "ospf": 89,
	"nos": 94, "ipinip": 4, "pim": 103, "pcp": 108, "sctp": 132,
}

func parseProto(w string, family int) (string, bool) {
	switch {
	case w == "ip" && family == 4, w == "ipv6" && family == 6:
		return "", true
	case w == "icmp" && family == 6:
		return "icmpv6", true
	}
	if n, ok := aclProtocols[w]; ok {
		return models.ProtocolName(n), true
	}
	n, err := strconv.ParseUint(w, 10, 8)
	if err != nil {
		return "", false
	}
	return models.ProtocolName(uint8(n)), true
}

// parseAddress reads any, host ADDRESS, an IPv6 prefix, or an IPv4 address with
// the wildcard mask of a prefix.
func parseAddress(w []string, family int) (models.Prefix, []string, bool) {
	var none models.Prefix
	switch {
	case len(w) == 0:
		return none, nil, false
	case w[0] == "any":
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == 6 {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return models.Prefix{Prefix: all}, w[1:], true
	case w[0] == "host":
		if len(w) < 2 {
			return none, nil, false
		}
		a, err := netip.ParseAddr(w[1])
		if err != nil || a.Zone() != "" {
			return none, nil, false
		}
		return models.Prefix{Prefix: netip.PrefixFrom(a, a.BitLen())}, w[2:], true
	case family == 6:
		p, err := netip.ParsePrefix(w[0])
		if err != nil || p != p.Masked() {
			return none, nil, false
		}
		return models.Prefix{Prefix: p}, w[1:], true
	}
	if len(w) < 2 {
		return none, nil, false
	}
	a, err := netip.ParseAddr(w[0])
	m, err2 := netip.ParseAddr(w[1])
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return none, nil, false
	}
	for bits := 0; bits <= 32; bits++ {
		if wildcard(bits) == m {
			p := netip.PrefixFrom(a, bits)
			return models.Prefix{Prefix: p}, w[2:], p == p.Masked()
		}
	}
	return none, nil, false // a mask with holes
}

// servicePorts are the names that IOS-XE shows for ports, of the enumerations
// acl-tcp-port-type and acl-udp-port-type [xe]; the numbers are IANA's, and IOS's
// own for those that IANA has not.
var servicePorts = map[string]map[string]uint16{
	"tcp": {
		"bgp": 179, "chargen": 19, "cmd": 514, "daytime": 13, "discard": 9, "domain": 53, "echo": 7, "exec": 512,
		"finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "hostname": 101, "ident": 113, "irc": 194, "klogin": 543,
		"kshell": 544, "login": 513, "lpd": 515, "msrpc": 135, "nntp": 119, "onep-plain": 15001, "onep-tls": 15002,
		"pim-auto-rp": 496, "pop2": 109, "pop3": 110, "smtp": 25, "sunrpc": 111, "syslog": 514, "tacacs": 49, "talk": 517,
		"telnet": 23, "time": 37, "uucp": 540, "whois": 43, "www": 80,
	},
	"udp": {
		"biff": 512, "bootpc": 68, "bootps": 67, "discard": 9, "dnsix": 195, "domain": 53, "echo": 7, "isakmp": 500,
		"mobile-ip": 434, "nameserver": 42, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139, "non500-isakmp": 4500,
		"ntp": 123, "pim-auto-rp": 496, "rip": 520, "ripv6": 521, "snmp": 161, "snmptrap": 162, "sunrpc": 111, "syslog": 514,
		"tacacs": 49, "talk": 517, "tftp": 69, "time": 37, "who": 513, "xdmcp": 177,
	},
}

func parsePort(w string, names map[string]uint16) (uint16, bool) {
	if n, ok := names[w]; ok {
		return n, true
	}
	for _, others := range servicePorts { // a name means one number
		if n, ok := others[w]; ok {
			return n, true
		}
	}
	n, err := strconv.ParseUint(w, 10, 16)
	return uint16(n), err == nil
}

// parsePorts reads "eq PORT...", "range FIRST LAST", "gt PORT", "lt PORT" or
// nothing. names are those of the protocol's ports; nil for one without ports.
func parsePorts(w []string, names map[string]uint16) ([]models.Range, []string, bool) {
	if len(w) == 0 || names == nil {
		return nil, w, true
	}
	op := w[0]
	switch op {
	case "eq":
		var rs []models.Range
		w = w[1:]
		for len(w) > 0 {
			n, ok := parsePort(w[0], names)
			if !ok {
				break
			}
			rs = append(rs, models.One(n))
			w = w[1:]
		}
		return rs, w, len(rs) > 0
	case "range":
		if len(w) < 3 {
			return nil, nil, false
		}
		a, ok1 := parsePort(w[1], names)
		b, ok2 := parsePort(w[2], names)
		return []models.Range{{First: a, Last: b}}, w[3:], ok1 && ok2 && a <= b
	case "gt", "lt":
		if len(w) < 2 {
			return nil, nil, false
		}
		n, ok := parsePort(w[1], names)
		switch {
		case !ok || op == "gt" && n == 65535 || op == "lt" && n == 0:
			return nil, nil, false
		case op == "gt":
			return []models.Range{{First: n + 1, Last: 65535}}, w[2:], true
		default:
			return []models.Range{{First: 0, Last: n - 1}}, w[2:], true
		}
	}
	return nil, w, true
}
