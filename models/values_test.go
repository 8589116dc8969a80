package models

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// plain compares addresses and prefixes, which have no exported fields, by ==.
var plain = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestRangeText(t *testing.T) {
	tests := []struct {
		give string
		want Range
		text string
	}{
		{"0", Range{0, 0}, "0"},
		{"100", One(100), "100"},
		{"100-110", Range{100, 110}, "100-110"},
		{" 5 - 8 ", Range{5, 8}, "5-8"},
		{"7-7", One(7), "7"},
		{"0-65535", Range{0, 65535}, "0-65535"},
	}
	for _, tt := range tests {
		var got Range
		if err := got.UnmarshalText([]byte(tt.give)); err != nil {
			t.Errorf("%q: %v", tt.give, err)
		}
		if got != tt.want || got.String() != tt.text {
			t.Errorf("%q: got %v written %q, want %v written %q", tt.give, got, got, tt.want, tt.text)
		}
	}
	for give, want := range map[string]string{
		"": "want a number", "x": "want a number", "1-": "want a number", "-1": "want a number", "1-2-3": "want a number",
		"65536": "up to 65535", "1-65536": "up to 65535", "+1": "want a number", "9-8": "ends before it begins",
	} {
		got := One(1)
		if err := got.UnmarshalText([]byte(give)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", give, err, want)
		}
		if got != One(1) {
			t.Errorf("%q: changed the range to %v beside an error", give, got)
		}
	}
}

func TestRangeContains(t *testing.T) {
	rs := []Range{{5, 8}, One(20)}
	for n, want := range map[uint16]bool{4: false, 5: true, 8: true, 9: false, 20: true, 21: false} {
		if got := RangesContain(rs, n); got != want {
			t.Errorf("contains %d: %v, want %v", n, got, want)
		}
	}
	if RangesContain(nil, 1) {
		t.Error("no range contains 1")
	}
}

func TestMergeRanges(t *testing.T) {
	tests := []struct {
		name string
		give []Range
		want []Range
	}{
		{"none", nil, nil},
		{"empty", []Range{}, nil},
		{"sorts", []Range{{9, 9}, {1, 2}}, []Range{{1, 2}, {9, 9}}},
		{"touching", []Range{{1, 4}, {5, 8}}, []Range{{1, 8}}},
		{"overlapping", []Range{{1, 6}, {5, 8}, {2, 3}}, []Range{{1, 8}}},
		{"within", []Range{{1, 9}, {2, 3}}, []Range{{1, 9}}},
		{"a gap of one", []Range{{1, 4}, {6, 8}}, []Range{{1, 4}, {6, 8}}},
		{"at the end", []Range{{65535, 65535}, {0, 65535}, {65534, 65535}}, []Range{{0, 65535}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			give := append([]Range(nil), tt.give...)
			if d := cmp.Diff(tt.want, MergeRanges(give)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(append([]Range(nil), tt.give...), give); d != "" {
				t.Errorf("changed its argument:\n%s", d)
			}
		})
	}
}

// TestMergeRangesKeepsValues: the merged ranges hold the same values, are sorted
// and do not touch.
func TestMergeRangesKeepsValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Range {
			first := rapid.Uint16Range(0, 40).Draw(t, "first")
			return Range{first, first + rapid.Uint16Range(0, 5).Draw(t, "more")}
		})).Draw(t, "ranges")
		got := MergeRanges(rs)
		for n := range uint16(50) {
			if RangesContain(rs, n) != RangesContain(got, n) {
				t.Fatalf("%v merges to %v, which differs at %d", rs, got, n)
			}
		}
		for i := 1; i < len(got); i++ {
			if got[i].First <= got[i-1].Last+1 {
				t.Fatalf("%v merges to %v: out of order or touching", rs, got)
			}
		}
	})
}

func TestPrefixText(t *testing.T) {
	tests := []struct{ give, want string }{
		{"", ""},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"2001:DB8::1", "2001:db8::1/128"},
		{"::ffff:10.1.2.3", "10.1.2.3/32"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
	}
	for _, tt := range tests {
		var p Prefix
		if err := p.UnmarshalText([]byte(tt.give)); err != nil {
			t.Errorf("%q: %v", tt.give, err)
		}
		b, err := p.MarshalText()
		if err != nil || string(b) != tt.want {
			t.Errorf("%q: written %q (%v), want %q", tt.give, b, err, tt.want)
		}
		if p.IsZero() != (tt.want == "") {
			t.Errorf("%q: IsZero %v", tt.give, p.IsZero())
		}
	}
	for give, want := range map[string]string{
		"10.0.0.1/8":    "did you mean 10.0.0.0/8?",
		"2001:db8::1/8": "did you mean 2000::/8?",
		"10.0.0.0/33":   "want an address or ADDRESS/LENGTH",
		"10.0.0":        "want an address or ADDRESS/LENGTH",
		"any":           "want an address or ADDRESS/LENGTH",
		"fe80::1%eth0":  "want an address or ADDRESS/LENGTH",
		" 10.0.0.0/8":   "want an address or ADDRESS/LENGTH",
	} {
		if err := new(Prefix).UnmarshalText([]byte(give)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", give, err, want)
		}
	}
}

func TestExpiryText(t *testing.T) {
	day := 24 * time.Hour
	at := time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)
	tests := []struct {
		give string
		want Expiry
		text string
	}{
		{"", Expiry{}, ""},
		{"never", NeverExpires, "never"},
		{"2h", Expiry{After: 2 * time.Hour}, "2h0m0s"},
		{"90m", Expiry{After: 90 * time.Minute}, "1h30m0s"},
		{"7d", Expiry{After: 7 * day}, "168h0m0s"},
		{"1d12h", Expiry{After: 36 * time.Hour}, "36h0m0s"},
		{" 2h ", Expiry{After: 2 * time.Hour}, "2h0m0s"},
		{"2026-01-31T18:00:00Z", Expiry{At: at}, "2026-01-31T18:00:00Z"},
		{"2026-01-31T18:00:00.5Z", Expiry{At: at.Add(time.Second / 2)}, "2026-01-31T18:00:00.5Z"},
		{"2026-01-31T19:00:00+01:00", Expiry{At: at}, "2026-01-31T19:00:00+01:00"},
	}
	for _, tt := range tests {
		got := Expiry{Never: true, After: 1}
		if err := got.UnmarshalText([]byte(tt.give)); err != nil {
			t.Errorf("%q: %v", tt.give, err)
		}
		if got.Never != tt.want.Never || got.After != tt.want.After || !got.At.Equal(tt.want.At) {
			t.Errorf("%q: got %+v, want %+v", tt.give, got, tt.want)
		}
		if got.String() != tt.text {
			t.Errorf("%q: written %q, want %q", tt.give, got, tt.text)
		}
		if got.IsZero() != (tt.give == "") {
			t.Errorf("%q: IsZero %v", tt.give, got.IsZero())
		}
	}
	for give, want := range map[string]string{
		"0":                    "longer than nothing",
		"0d":                   "longer than nothing",
		"-2h":                  "longer than nothing",
		"7":                    "want never, a duration",
		"Never":                "want never, a duration",
		"d":                    "want never, a duration",
		"2d-1h":                "want never, a duration",
		"-2d":                  "want never, a duration",
		"70000d":               "want never, a duration",
		"65535d2562047h":       "want never, a duration",
		"2026-01-31":           "want never, a duration",
		"2026-13-31T18:00:00Z": "want never, a duration",
		"0001-01-01T00:00:00Z": "want never, a duration",
	} {
		if err := new(Expiry).UnmarshalText([]byte(give)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", give, err, want)
		}
	}
}

func TestExpiryDeadline(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		give Expiry
		want time.Time
	}{
		{"never", NeverExpires, time.Time{}},
		{"after", Expiry{After: time.Hour}, now.Add(time.Hour)},
		{"at", Expiry{At: now.Add(time.Minute)}, now.Add(time.Minute)},
		{"unset", Expiry{}, time.Time{}},
		{"negative has ended", Expiry{After: -time.Hour}, now.Add(-time.Hour)},
	}
	for _, tt := range tests {
		if got := tt.give.Deadline(now); !got.Equal(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestRecordDue(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		expires time.Time
		want    bool
	}{
		{time.Time{}, false}, {now.Add(1), false}, {now, true}, {now.Add(-1), true},
	} {
		if got := (Record{Expires: tt.expires}).Due(now); got != tt.want {
			t.Errorf("expires %v: due %v, want %v", tt.expires, got, tt.want)
		}
	}
	r := Record{Session: Session{Device: "d", Name: "n", Number: 3}}
	if got, want := r.ID(), (SessionID{Device: "d", Name: "n"}); got != want {
		t.Errorf("ID %v, want %v", got, want)
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"", "1", "1-2", "2-1", " 1 - 65535", "65536", "-", "1--2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r Range
		if r.UnmarshalText([]byte(s)) != nil {
			return
		}
		if r.Last < r.First {
			t.Fatalf("%q gives %v", s, r)
		}
		roundTrip(t, s, &r, new(Range), func(a, b *Range) bool { return *a == *b })
	})
}

func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"", "10.0.0.0/8", "10.0.0.1", "::ffff:1.2.3.4", "::ffff:1.2.3.0/120", "::/0", "fe80::1%a", "::ffff:0:0/95"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p Prefix
		if p.UnmarshalText([]byte(s)) != nil {
			return
		}
		if p.IsValid() && p.Prefix != p.Masked() {
			t.Fatalf("%q gives %v, with bits behind its length", s, p)
		}
		roundTrip(t, s, &p, new(Prefix), func(a, b *Prefix) bool { return *a == *b })
	})
}

func FuzzExpiry(f *testing.F) {
	for _, s := range []string{"", "never", "2h", "7d", "1d2h3m4.5s", "65535d2562047h", "2026-01-31T18:00:00Z", "2026-01-31T18:00:00,25+24:00", "0001-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var e Expiry
		if e.UnmarshalText([]byte(s)) != nil {
			return
		}
		if e.After < 0 {
			t.Fatalf("%q gives %v", s, e)
		}
		roundTrip(t, s, &e, new(Expiry), func(a, b *Expiry) bool {
			return a.Never == b.Never && a.After == b.After && a.At.Equal(b.At)
		})
	})
}

type textBoth interface {
	MarshalText() ([]byte, error)
	UnmarshalText([]byte) error
}

func roundTrip[T textBoth](t *testing.T, give string, v, into T, same func(a, b T) bool) {
	t.Helper()
	b, err := v.MarshalText()
	if err != nil {
		t.Fatalf("%q: %v", give, err)
	}
	if err := into.UnmarshalText(b); err != nil {
		t.Fatalf("%q is written %q, which is refused: %v", give, b, err)
	}
	if !same(v, into) {
		t.Fatalf("%q is written %q and read as %v, want %v", give, b, into, v)
	}
}
