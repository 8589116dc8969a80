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
// one way. Their order is kept, since the first match wins.
func NormalizeRules(in []Rule) []Rule {
	if len(in) == 0 {
		return nil
	}
	out := make([]Rule, len(in))
	for i, r := range in {
		r.Match.Proto = canonicalProto(r.Match.Proto)
		r.Match.Src = r.Match.Src.normalize()
		r.Match.Dst = r.Match.Dst.normalize()
		r.Match.Sport = MergeRanges(r.Match.Sport)
		r.Match.Dport = MergeRanges(r.Match.Dport)
		r.Match.VLANs = MergeRanges(r.Match.VLANs)
		out[i] = r
	}
	return out
}

// normalize writes 0.0.0.0/0 and ::/0 as they are: they say which family.
func (p Prefix) normalize() Prefix {
	if !p.IsValid() {
		return Prefix{}
	}
	return Prefix{p.Masked()}
}

// Family gives 4 or 6 for a match that can hold for one IP version only, 0 for
// one that holds for both, and -1 for one whose prefixes contradict each other.
func (m Match) Family() int {
	fam := 0
	for _, p := range []netip.Prefix{m.Src.Prefix, m.Dst.Prefix} {
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
