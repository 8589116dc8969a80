package models

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Normalize gives s with its lists in one order, what is said twice joined, and
// defaults written in one way, so that equal means equal. Status, Intent and
// Extra stay as they are. It does not change s.
func (s Session) Normalize() Session {
	s.Sources = normalizeSources(s.Sources)
	s.Filter = NormalizeRules(s.Filter)
	s.Destination = s.Destination.normalize()
	if s.SampleOneIn == 1 {
		s.SampleOneIn = 0
	}
	if len(s.Extra) == 0 {
		s.Extra = nil
	}
	s.Role = s.role()
	return s
}

// role follows from where copies come from and go to.
func (s Session) role() Role {
	switch {
	case s.Destination.Kind == DestinationRemoteVLAN:
		return RoleSource
	case slices.ContainsFunc(s.Sources, func(src Source) bool { return src.Kind == SourceRemoteVLAN }):
		return RoleDestination
	default:
		return RoleLocal
	}
}

func normalizeSources(in []Source) []Source {
	if len(in) == 0 {
		return nil
	}
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), CompareNatural(a.Name, b.Name), cmp.Compare(a.VLAN, b.VLAN))
	})
	joined := out[:1]
	for _, s := range out[1:] {
		last := &joined[len(joined)-1]
		if s.Kind == last.Kind && s.Name == last.Name && s.VLAN == last.VLAN {
			last.Direction = last.Direction.Join(s.Direction)
			continue
		}
		joined = append(joined, s)
	}
	return slices.Clip(joined)
}

func (d Destination) normalize() Destination {
	if len(d.Ports) == 0 {
		d.Ports = nil
	} else {
		d.Ports = slices.Clone(d.Ports)
		slices.SortFunc(d.Ports, CompareNatural)
		d.Ports = slices.Compact(d.Ports)
	}
	if d.Tunnel != nil {
		t := *d.Tunnel
		t.Source, t.Destination = t.Source.Unmap(), t.Destination.Unmap()
		if d.Kind == DestinationERSPAN && t.Version == 0 {
			t.Version = 2
		}
		d.Tunnel = &t
	}
	return d
}

// NormalizeRules gives rules with protocol names, prefixes and ranges written in
// one way: the way that an access list of the device, read back, comes to as well.
// Their order is kept, since the first match wins. Beside spelling,
//
//   - a prefix of length 0 stays only where nothing else says the IP version;
//   - where frames of one IP version only can be copied, exclusions that say no
//     version get that one: for other frames they change nothing;
//   - neighbours of one action that differ in one list of ports only are joined.
func NormalizeRules(in []Rule) []Rule {
	if len(in) == 0 {
		return nil
	}
	fam := includedFamily(in)
	var out []Rule
	for _, r := range in {
		r.Match.Proto = canonicalProto(r.Match.Proto)
		r.Match.Src = r.Match.Src.normalize()
		r.Match.Dst = r.Match.Dst.normalize()
		r.Match.Sport = MergeRanges(r.Match.Sport)
		r.Match.Dport = MergeRanges(r.Match.Dport)
		r.Match.VLANs = MergeRanges(r.Match.VLANs)
		if r.Action == Exclude && r.Match.Family() == 0 && fam != 0 {
			r.Match.Src = anyPrefix(fam)
		}
		r.Match = r.Match.withoutIdlePrefix()
		out = append(out, r)
		for len(out) > 1 {
			joined, ok := joinPorts(out[len(out)-2], out[len(out)-1])
			if !ok {
				break
			}
			out = append(out[:len(out)-2], joined)
		}
	}
	return out
}

// includedFamily gives the one IP version that all inclusions hold for; 0 where
// there is none.
func includedFamily(rules []Rule) int {
	fam := 0
	for _, r := range rules {
		if r.Action != Include {
			continue
		}
		f := r.Match.Family()
		if f <= 0 || fam != 0 && f != fam {
			return 0
		}
		fam = f
	}
	return fam
}

func anyPrefix(family int) Prefix {
	if family == 6 {
		return Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
}

// withoutIdlePrefix drops prefixes of length 0 whose IP version follows from the
// rest of the match, and keeps one as the source where it does not.
func (m Match) withoutIdlePrefix() Match {
	fam := m.Family()
	if fam < 0 || !m.Src.everything() && !m.Dst.everything() {
		return m
	}
	if m.Src.everything() {
		m.Src = Prefix{}
	}
	if m.Dst.everything() {
		m.Dst = Prefix{}
	}
	if m.Family() == 0 {
		m.Src = anyPrefix(fam)
	}
	return m
}

func (p Prefix) everything() bool { return p.IsValid() && p.Bits() == 0 }

// joinPorts joins two rules that differ in their source ports or in their
// destination ports only. A rule without ports stands for all of them and is not
// joined.
func joinPorts(a, b Rule) (Rule, bool) {
	if a.Action != b.Action {
		return Rule{}, false
	}
	var sport, dport Rule
	sport, dport = a, a
	sport.Match.Sport, dport.Match.Dport = b.Match.Sport, b.Match.Dport
	switch {
	case reflect.DeepEqual(dport, b) && len(a.Match.Dport) > 0 && len(b.Match.Dport) > 0:
		a.Match.Dport = MergeRanges(slices.Concat(a.Match.Dport, b.Match.Dport))
	case reflect.DeepEqual(sport, b) && len(a.Match.Sport) > 0 && len(b.Match.Sport) > 0:
		a.Match.Sport = MergeRanges(slices.Concat(a.Match.Sport, b.Match.Sport))
	default:
		return Rule{}, false
	}
	return a, true
}

// normalize writes 0.0.0.0/0 and ::/0 as they are: they say which family.
func (p Prefix) normalize() Prefix {
	if !p.IsValid() {
		return Prefix{}
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p.Prefix = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return Prefix{p.Masked()}
}

// Family gives 4 or 6 for a match that can hold for one IP version only, 0 for
// one that holds for both, and -1 for one whose prefixes contradict each other.
func (m Match) Family() int {
	fam := 0
	for _, p := range []Prefix{m.Src.normalize(), m.Dst.normalize()} {
		if !p.IsValid() {
			continue
		}
		f := 6
		if p.Addr().Is4() {
			f = 4
		}
		if fam != 0 && fam != f {
			return -1
		}
		fam = f
	}
	switch canonicalProto(m.Proto) {
	case "icmp":
		if fam == 6 {
			return -1
		}
		return 4
	case "icmpv6":
		if fam == 4 {
			return -1
		}
		return 6
	}
	return fam
}

// protocols are the names that filters know, by IP protocol number (IANA
// "Assigned Internet Protocol Numbers").
var protocols = map[string]uint8{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132,
}

// ProtocolNumber gives the IP protocol number of a name or a number in text.
func ProtocolNumber(s string) (uint8, bool) {
	if n, ok := protocols[strings.ToLower(s)]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil
}

// ProtocolName gives the name of an IP protocol number, or the number in text.
func ProtocolName(n uint8) string {
	for name, m := range protocols {
		if m == n {
			return name
		}
	}
	return strconv.Itoa(int(n))
}

func canonicalProto(s string) string {
	if s == "" {
		return ""
	}
	n, ok := ProtocolNumber(s)
	if !ok {
		return s
	}
	return ProtocolName(n)
}

// SameConfig reports whether a and b are configured alike on the same device:
// status, intent and the name of the device's filter object do not count.
func SameConfig(a, b Session) bool {
	return reflect.DeepEqual(a.comparable(), b.comparable())
}

func (s Session) comparable() Session {
	s = s.Normalize()
	s.Status = Status{}
	s.Intent = ""
	s.FilterName = ""
	if s.Name != "" {
		s.Number = 0
	}
	return s
}

// CompareNatural compares port names so that Ethernet2 comes before Ethernet10.
func CompareNatural(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if c := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb), cmp.Compare(da, db)); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
