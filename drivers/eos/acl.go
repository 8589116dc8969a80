package eos

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// aclFamilies are the words for access lists that a mirror session can use.
var aclFamilies = map[int]string{4: "ip", 6: "ipv6"}

// filterFamily gives the IP version of the access list that says rules, or why
// there is none.
func filterFamily(rules []models.Rule) (int, string) {
	if models.DefaultAction(rules) == models.Include {
		return 0, "the filter only excludes: EOS copies what an access list of one IP version permits, so the rest could not be copied as asked; " +
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
			return 0, fmt.Sprintf("filter rule %d holds for IPv4 and IPv6, and EOS filters a mirror by one access list of one version; "+
				"add src: 0.0.0.0/0 or src: ::/0 to it, and use a mirror of its own for the other version", i+1)
		case fam != 0 && f != fam:
			return 0, fmt.Sprintf("filter rule %d is about IPv%d and those before it about IPv%d, and EOS filters a mirror by one access list of one version; "+
				"use a mirror for each version", i+1, f, fam)
		}
		fam = f
	}
	return fam, ""
}

// aclEntries gives the lines of the access list that says rules, without their
// indent. An access list ends with an implicit deny, as a filter with an inclusion
// does. Lists of ports become an entry per port or range: what a port expression
// with several ports may hold differs between releases.
func aclEntries(rules []models.Rule, family int) []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%d ", 10*(len(out)+1))+fmt.Sprintf(format, args...))
	}
	for _, r := range rules {
		verb := "permit"
		if r.Action == models.Exclude {
			verb = "deny"
		}
		m := r.Match
		src, dst := aclAddress(m.Src), aclAddress(m.Dst)
		for _, sp := range portsOrAll(m.Sport) {
			for _, dp := range portsOrAll(m.Dport) {
				add("%s %s %s%s %s%s", verb, aclProto(m.Proto, family), src, sp, dst, dp)
			}
		}
	}
	return out
}

func aclProto(proto string, family int) string {
	switch proto {
	case "":
		return map[int]string{4: "ip", 6: "ipv6"}[family]
	case "tcp", "udp", "icmp", "icmpv6":
		return proto
	}
	n, _ := models.ProtocolNumber(proto)
	return strconv.Itoa(int(n))
}

func aclAddress(p models.Prefix) string {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return "any"
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	default:
		return p.String()
	}
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
	family string   // ip, ipv6 or mac
	head   string   // its first line
	lines  []string // entries as shown, with their indent
}

// rules gives the access list as a filter, and false where it says more than the
// model can.
func (a accessList) rules() ([]models.Rule, bool) {
	fam := map[string]int{"ip": 4, "ipv6": 6}[a.family]
	if fam == 0 || len(a.lines) == 0 {
		return nil, false
	}
	var out []models.Rule
	for _, line := range a.lines {
		r, ok := parseEntry(line, fam)
		if !ok {
			return nil, false
		}
		out = append(out, r...)
	}
	out = models.NormalizeRules(out)
	if f, _ := filterFamily(out); f != fam {
		return nil, false // such as one that permits nothing
	}
	return out, true
}

// parseEntry reads an entry such as "10 permit tcp any eq bgp host 10.0.0.1". An
// entry with several ports gives a rule; other words make it fail.
func parseEntry(line string, family int) ([]models.Rule, bool) {
	w := strings.Fields(line)
	if len(w) > 0 {
		if _, err := strconv.ParseUint(w[0], 10, 32); err == nil {
			w = w[1:]
		}
	}
	if len(w) < 2 {
		return nil, false
	}
	var r models.Rule
	switch w[0] {
	case "permit":
		r.Action = models.Include
	case "deny":
		r.Action = models.Exclude
	default:
		return nil, false
	}
	proto, ok := parseProto(w[1], family)
	if !ok {
		return nil, false
	}
	r.Match.Proto = proto
	w = w[2:]
	ported := proto == "tcp" || proto == "udp" || proto == "sctp"
	if r.Match.Src, w, ok = parseAddress(w, family); !ok {
		return nil, false
	}
	if r.Match.Sport, w, ok = parsePorts(w, ported); !ok {
		return nil, false
	}
	if r.Match.Dst, w, ok = parseAddress(w, family); !ok {
		return nil, false
	}
	if r.Match.Dport, w, ok = parsePorts(w, ported); !ok || len(w) > 0 {
		return nil, false
	}
	return []models.Rule{r}, r.Match.Family() == family
}

// aclProtocols are names of protocols in access lists [manual, examples].
var aclProtocols = map[string]string{
	"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "icmpv6", "igmp": "igmp", "ospf": "ospf",
	"pim": "pim", "vrrp": "vrrp", "ahp": "ah", "esp": "esp", "gre": "gre", "sctp": "sctp", "rsvp": "46",
}

func parseProto(w string, family int) (string, bool) {
	if w == aclFamilies[family] {
		return "", true
	}
	if p, ok := aclProtocols[w]; ok {
		return p, true
	}
	n, err := strconv.ParseUint(w, 10, 8)
	if err != nil {
		return "", false
	}
	return models.ProtocolName(uint8(n)), true
}

// parseAddress reads any, host ADDRESS, a prefix or an address with a wildcard
// mask of a prefix.
func parseAddress(w []string, family int) (models.Prefix, []string, bool) {
	if len(w) == 0 {
		return models.Prefix{}, nil, false
	}
	if w[0] == "any" {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == 6 {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return models.Prefix{Prefix: all}, w[1:], true
	}
	if w[0] == "host" {
		if len(w) < 2 || strings.Contains(w[1], "/") {
			return models.Prefix{}, nil, false
		}
		w = w[1:]
	}
	var p models.Prefix
	if err := p.UnmarshalText([]byte(w[0])); err != nil || !p.IsValid() {
		return models.Prefix{}, nil, false
	}
	return p, w[1:], true
}

// servicePorts are the names that EOS shows for ports, as far as public output of
// EOS shows them (ntc-templates, show ip access-lists; the manual's default
// control-plane list); the numbers are IANA's or EOS's own. Of a name that is not
// here the access list counts as one that the model cannot say.
var servicePorts = map[string]uint16{
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "domain": 53, "bootps": 67,
	"bootpc": 68, "tftp": 69, "www": 80, "pop3": 110, "ntp": 123, "snmp": 161, "snmptrap": 162, "vmnet": 175,
	"bgp": 179, "z39-50": 210, "ups": 401, "https": 443, "syslog": 514, "rip": 520, "uucp": 540, "tunnel": 604,
	"msdp": 639, "ldp": 646, "netconf-ssh": 830, "bfd": 3784, "bfd-echo": 3785, "mlag": 4432,
	"multihop-bfd": 4784, "gnmi": 6030,
}

func parsePort(w string) (uint16, bool) {
	if n, ok := servicePorts[w]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(w, 10, 16)
	return uint16(n), err == nil
}

// parsePorts reads "eq PORT...", "range FIRST LAST", "gt PORT", "lt PORT" or
// nothing.
func parsePorts(w []string, ported bool) ([]models.Range, []string, bool) {
	if len(w) == 0 || !ported {
		return nil, w, true
	}
	op := w[0]
	switch op {
	case "eq":
		var rs []models.Range
		w = w[1:]
		for len(w) > 0 {
			n, ok := parsePort(w[0])
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
		a, ok1 := parsePort(w[1])
		b, ok2 := parsePort(w[2])
		return []models.Range{{First: a, Last: b}}, w[3:], ok1 && ok2 && a <= b
	case "gt", "lt":
		if len(w) < 2 {
			return nil, nil, false
		}
		n, ok := parsePort(w[1])
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
