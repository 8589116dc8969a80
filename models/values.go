package models

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Range is a closed range of VLAN ids or of TCP/UDP ports. First equals Last for
// a single value. It is written "100" or "100-110".
type Range struct {
	First uint16
	Last  uint16
}

// One is the range of a single value.
func One(n uint16) Range { return Range{First: n, Last: n} }

// Contains reports whether n lies in the range.
func (r Range) Contains(n uint16) bool { return r.First <= n && n <= r.Last }

// String gives "100" or "100-110".
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText gives the text of String.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "N" or "N-M" with N <= M <= 65535.
func (r *Range) UnmarshalText(b []byte) error {
	first, last, isRange := strings.Cut(string(b), "-")
	if !isRange {
		last = first
	}
	f, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	if err != nil {
		return fmt.Errorf("range %q: want a number or FIRST-LAST, up to 65535", b)
	}
	l, err := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err != nil {
		return fmt.Errorf("range %q: want a number or FIRST-LAST, up to 65535", b)
	}
	if l < f {
		return fmt.Errorf("range %q: ends before it begins", b)
	}
	*r = Range{First: uint16(f), Last: uint16(l)}
	return nil
}

// MergeRanges sorts rs and joins what overlaps or touches. It does not change rs.
func MergeRanges(rs []Range) []Range {
	if len(rs) == 0 {
		return nil
	}
	sorted := slices.Clone(rs)
	slices.SortFunc(sorted, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	out := sorted[:1]
	for _, r := range sorted[1:] {
		last := &out[len(out)-1]
		if int(r.First) <= int(last.Last)+1 {
			last.Last = max(last.Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return slices.Clip(out)
}

// RangesContain reports whether a range of rs holds n.
func RangesContain(rs []Range, n uint16) bool {
	return slices.ContainsFunc(rs, func(r Range) bool { return r.Contains(n) })
}

// Prefix is an IPv4 or IPv6 prefix. A bare address is read as a host prefix, and
// an IPv4 prefix written in IPv6 (::ffff:10.0.0.0/104) as the IPv4 one. The zero
// value means any address.
type Prefix struct{ netip.Prefix }

// MarshalText gives the prefix, or "" for the zero value.
func (p Prefix) MarshalText() ([]byte, error) {
	if !p.IsValid() {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// IsZero reports whether p means any address; encoders use it for omitempty.
func (p Prefix) IsZero() bool { return !p.IsValid() }

// UnmarshalText reads "10.0.0.0/8", "2001:db8::/32" or a bare address. Bits
// behind the prefix length must be zero: "10.0.0.1/8" is more likely a slip than
// a wish.
func (p *Prefix) UnmarshalText(b []byte) error {
	s := string(b)
	if s == "" {
		*p = Prefix{}
		return nil
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("prefix %q: want an address or ADDRESS/LENGTH", s)
		}
		*p = Prefix{netip.PrefixFrom(a, a.BitLen())}.normalize()
		return nil
	}
	q, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("prefix %q: want an address or ADDRESS/LENGTH", s)
	}
	if q != q.Masked() {
		return fmt.Errorf("prefix %q: has bits set behind its length; did you mean %s?", s, q.Masked())
	}
	*p = Prefix{q}.normalize()
	return nil
}

// Expiry says until when an intent lives: a time from its apply, a point in time,
// or for ever. Exactly one field is set. The zero value means that the intent does
// not say, which Validate refuses.
type Expiry struct {
	Never bool
	After time.Duration // > 0: from the moment of apply
	At    time.Time     // a point in time
}

// NeverExpires is the expiry of an intent that lives until it is deleted.
var NeverExpires = Expiry{Never: true}

// IsZero reports whether the intent does not say.
func (e Expiry) IsZero() bool { return !e.Never && e.After == 0 && e.At.IsZero() }

// Deadline gives the point in time at which an intent applied now ends; the zero
// time means never.
func (e Expiry) Deadline(now time.Time) time.Time {
	switch {
	case e.Never:
		return time.Time{}
	case e.After != 0: // a negative one, which Validate refuses, has ended: never is the worse guess
		return now.Add(e.After)
	case !e.At.IsZero():
		return e.At
	default:
		return time.Time{}
	}
}

// String gives never, a duration such as 2h0m0s, or a time of RFC 3339.
func (e Expiry) String() string {
	switch {
	case e.Never:
		return "never"
	case e.After != 0:
		return e.After.String()
	case !e.At.IsZero():
		return e.At.Format(time.RFC3339Nano)
	default:
		return ""
	}
}

// MarshalText gives the text of String.
func (e Expiry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads never, a duration ("90m", "2h", "7d") or a time of RFC 3339.
// A duration must be positive. "7d" means 7 times 24 hours. "" gives the zero value.
func (e *Expiry) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	switch s {
	case "":
		*e = Expiry{}
		return nil
	case "never":
		*e = NeverExpires
		return nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil && !t.IsZero() {
		*e = Expiry{At: t}
		return nil
	}
	d, err := parseDuration(s)
	if err != nil {
		return fmt.Errorf("expiry %q: want never, a duration such as 2h or 7d, or a time such as 2026-01-31T18:00:00Z", s)
	}
	if d <= 0 {
		return fmt.Errorf("expiry %q: must be longer than nothing", s)
	}
	*e = Expiry{After: d}
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16) // up to 65535 days: no overflow
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	r, err := time.ParseDuration(rest)
	switch {
	case err != nil:
		return 0, err
	case rest[0] == '-' || rest[0] == '+':
		return 0, fmt.Errorf("sign within a duration")
	case r > math.MaxInt64-d:
		return 0, fmt.Errorf("too long")
	}
	return d + r, nil
}
