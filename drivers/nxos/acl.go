package nxos

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// listPrefix begins the names of access lists that belong to sessions of ours; the
// number of the session follows.
const listPrefix = "sp-session-"

const (
	listHead = "ip access-list " // a name follows
	sctp     = 132
)

// listName gives the access list that is session n's own.
func listName(n int) string { return listPrefix + strconv.Itoa(n) }

// listNumber gives the session to which an access list of that name belongs.
func listNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, listPrefix)
	if !ok || digits == "" || digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && 0 < n && n <= maxSeen
}

// filterKind is how a filter is said.
type filterKind int

const (
	noFilter filterKind = iota
	aclFilter
	vlanFilter
)

// kindOf tells how rules are said, or why they cannot be: claimed tells that a
// capability refuses them already.
func kindOf(rules []models.Rule) (k filterKind, why string, claimed bool) {
	if len(rules) == 0 {
		return noFilter, "", false
	}
	if slices.ContainsFunc(rules, func(r models.Rule) bool { return len(r.Match.VLANs) > 0 }) {
		m := rules[0].Match
		rest := m
		rest.VLANs = nil
		alone := len(rules) == 1 && rules[0].Action == models.Include && rest.Family() == 0 && rest.Proto == "" && len(rest.Sport)+len(rest.Dport) == 0
		if !alone || slices.ContainsFunc(m.VLANs, func(r models.Range) bool { return r.First < 1 || r.Last > 4094 }) {
			return noFilter, whyVLANAlone, false
		}
		return vlanFilter, "", false
	}
	if models.DefaultAction(rules) == models.Include {
		return noFilter, "the filter only excludes: NX-OS copies what an IPv4 access list permits, so that the rest could not be copied as asked; " +
			"end the filter with include {src: 0.0.0.0/0}", false
	}
	seen := make(map[string]bool)
	for i, r := range rules {
		switch f := r.Match.Family(); {
		case f < 0:
			return noFilter, fmt.Sprintf("filter rule %d mixes IP versions: no frame can match", i+1), false
		case f == 0:
			return noFilter, fmt.Sprintf("filter rule %d holds for IPv4 and IPv6, and a session takes one access list, of IPv4; add src: 0.0.0.0/0 to it", i+1), true
		case f == 6:
			return noFilter, whyFilter6, true
		}
		if n, _ := models.ProtocolNumber(r.Match.Proto); n == sctp && len(r.Match.Sport)+len(r.Match.Dport) > 0 {
			return noFilter, fmt.Sprintf("filter rule %d is about ports of SCTP, which access lists of NX-OS are not known to take; leave the ports out", i+1), false
		}
		for _, e := range aclEntries([]models.Rule{r}) {
			if seen[e] {
				return noFilter, fmt.Sprintf("the filter says %q twice, and an access list has an entry once; leave it out where it comes later: an earlier rule decides already", e), false
			}
			seen[e] = true
		}
	}
	return aclFilter, "", false
}

// aclEntries gives the entries of the access list that says rules, without indent
// and number: NX-OS numbers them itself. The list ends with an implicit deny, as a
// filter with an inclusion does. Lists of ports become an entry per port or range.
func aclEntries(rules []models.Rule) []string {
	var out []string
	for _, r := range rules {
		verb := "permit"
		if r.Action == models.Exclude {
			verb = "deny"
		}
		m := r.Match
		for _, sp := range portsOrAll(m.Sport) {
			for _, dp := range portsOrAll(m.Dport) {
				out = append(out, fmt.Sprintf("%s %s %s%s %s%s", verb, aclProto(m.Proto), aclAddress(m.Src), sp, aclAddress(m.Dst), dp))
			}
		}
	}
	return out
}

func aclProto(proto string) string {
	switch proto {
	case "":
		return "ip"
	case "tcp", "udp", "icmp":
		return proto
	}
	n, _ := models.ProtocolNumber(proto)
	return strconv.Itoa(int(n))
}

// aclAddress gives any or the prefix, which is how NX-OS shows hosts too [an, rb].
func aclAddress(p models.Prefix) string {
	if !p.IsValid() || p.Bits() == 0 {
		return "any"
	}
	return p.Prefix.String()
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

// accessList is an IPv4 access list as the running configuration shows it.
type accessList struct {
	name  string
	lines []string // entries as shown, with their indent
}

// block gives the access list as lines of its own.
func (a *accessList) block() []string { return append([]string{listHead + a.name}, a.lines...) }

// rules gives the access list as a filter, and false where it says more than the
// model can.
func (a *accessList) rules() ([]models.Rule, bool) {
	if a == nil || len(a.lines) == 0 {
		return nil, false
	}
	var out []models.Rule
	for _, line := range a.lines {
		r, ok := parseEntry(line)
		if !ok {
			return nil, false
		}
		out = append(out, r)
	}
	out = models.NormalizeRules(out)
	k, _, _ := kindOf(out)
	return out, k == aclFilter // not one that permits nothing
}

// parseEntry reads an entry such as "10 permit tcp any eq bgp 10.0.0.1/32". Other
// words, such as log or established, make it fail.
func parseEntry(line string) (models.Rule, bool) {
	w := strings.Fields(line)
	if len(w) > 0 {
		if _, err := strconv.ParseUint(w[0], 10, 32); err == nil {
			w = w[1:]
		}
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
	if r.Match.Proto, ok = parseProto(w[1]); !ok {
		return r, false
	}
	hasPorts := r.Match.Proto == "tcp" || r.Match.Proto == "udp"
	w = w[2:]
	for _, end := range []struct {
		address *models.Prefix
		ports   *[]models.Range
	}{{&r.Match.Src, &r.Match.Sport}, {&r.Match.Dst, &r.Match.Dport}} {
		if *end.address, w, ok = parseAddress(w); !ok {
			return r, false
		}
		if hasPorts {
			if *end.ports, w, ok = parsePorts(w); !ok {
				return r, false
			}
		}
	}
	return r, len(w) == 0 && r.Match.Family() == 4
}

// protocols are the names of protocols in access lists [an], by number (IANA).
var protocols = map[string]uint8{
	"tcp": 6, "udp": 17, "icmp": 1, "igmp": 2, "gre": 47, "esp": 50, "ahp": 51, "eigrp": 88, "ospf": 89, "nos": 94, "pim": 103, "pcp": 108, "sctp": 132,
}

func parseProto(w string) (string, bool) {
	if w == "ip" {
		return "", true
	}
	if n, ok := protocols[w]; ok {
		return models.ProtocolName(n), true
	}
	n, err := strconv.ParseUint(w, 10, 8)
	if err != nil {
		return "", false
	}
	return models.ProtocolName(uint8(n)), true
}

// parseAddress reads any, host A, a prefix, or an address with the wildcard mask of
// a prefix.
func parseAddress(w []string) (models.Prefix, []string, bool) {
	none := models.Prefix{}
	switch {
	case len(w) == 0:
		return none, nil, false
	case w[0] == "any":
		return models.Prefix{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}, w[1:], true
	case w[0] == "host" && len(w) > 1:
		a, err := netip.ParseAddr(w[1])
		if err != nil || !a.Is4() {
			return none, nil, false
		}
		return models.Prefix{Prefix: netip.PrefixFrom(a, 32)}, w[2:], true
	case strings.Contains(w[0], "/"):
		p, err := netip.ParsePrefix(w[0])
		return models.Prefix{Prefix: p}, w[1:], err == nil && p.Addr().Is4() && p == p.Masked()
	case len(w) < 2:
		return none, nil, false
	}
	a, err := netip.ParseAddr(w[0])
	m, err2 := netip.ParseAddr(w[1])
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return none, nil, false
	}
	for bits := 0; bits <= 32; bits++ {
		n := ^uint32(0) >> bits
		if m == netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) {
			p := netip.PrefixFrom(a, bits)
			return models.Prefix{Prefix: p}, w[2:], p == p.Masked()
		}
	}
	return none, nil, false // a mask with holes
}

// parsePorts reads "eq P", "range A B", "gt P", "lt P", or nothing.
func parsePorts(w []string) ([]models.Range, []string, bool) {
	if len(w) == 0 || !slices.Contains([]string{"eq", "range", "gt", "lt", "neq"}, w[0]) {
		return nil, w, true
	}
	n := 2
	if w[0] == "range" {
		n = 3
	}
	if len(w) < n {
		return nil, nil, false
	}
	a, ok := parsePort(w[1])
	b, okB := parsePort(w[n-1])
	var r models.Range
	switch {
	case !ok || !okB:
		return nil, nil, false
	case w[0] == "eq", w[0] == "range":
		r = models.Range{First: a, Last: b}
	case w[0] == "gt" && a < 65535:
		r = models.Range{First: a + 1, Last: 65535}
	case w[0] == "lt" && a > 0:
		r = models.Range{First: 0, Last: a - 1}
	default:
		return nil, nil, false
	}
	return []models.Range{r}, w[n:], r.First <= r.Last
}

// services are the names that NX-OS shows for ports [an]; a name means one number
// with TCP and UDP, which is IANA's, or Cisco's own where IANA has none.
var services = map[string]uint16{
	"bgp": 179, "biff": 512, "bootpc": 68, "bootps": 67, "chargen": 19, "cmd": 514, "daytime": 13, "discard": 9, "dnsix": 195, "domain": 53, "drip": 3949,
	"echo": 7, "exec": 512, "finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "hostname": 101, "ident": 113, "irc": 194, "isakmp": 500, "klogin": 543,
	"kshell": 544, "login": 513, "lpd": 515, "mobile-ip": 434, "nameserver": 42, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139, "nntp": 119,
	"non500-isakmp": 4500, "ntp": 123, "pim-auto-rp": 496, "pop2": 109, "pop3": 110, "rip": 520, "smtp": 25, "snmp": 161, "snmptrap": 162, "sunrpc": 111,
	"syslog": 514, "tacacs": 49, "talk": 517, "telnet": 23, "tftp": 69, "time": 37, "uucp": 540, "who": 513, "whois": 43, "www": 80, "xdmcp": 177,
}

func parsePort(w string) (uint16, bool) {
	if n, ok := services[w]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(w, 10, 16)
	return uint16(n), err == nil
}

// listLine tells the lines that begin an IPv4 access list.
var listLine = regexp.MustCompile(`^ip access-list ([A-Za-z0-9][A-Za-z0-9_.-]{0,63})$`)
