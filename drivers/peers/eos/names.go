package eos

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// interfaceKinds are the interface types of this switch, with the short form
// that EOS prints in tables and prompts.
var interfaceKinds = []struct{ long, short string }{
	{"Ethernet", "Et"},
	{"Port-Channel", "Po"},
	{"Management", "Ma"},
	{"Vlan", "Vl"},
	{"Loopback", "Lo"},
}

// kindOf resolves a typed interface type: any prefix of the name that no other
// type shares, in any case. "" means none or several.
func kindOf(s string) string {
	found := ""
	for _, k := range interfaceKinds {
		if s != "" && strings.HasPrefix(strings.ToLower(k.long), strings.ToLower(s)) {
			if found != "" {
				return ""
			}
			found = k.long
		}
	}
	return found
}

// splitName parts "Ethernet1/2" into its type and its numbers.
func splitName(name string) (kind, rest string) {
	i := strings.IndexAny(name, "0123456789")
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i:]
}

// shortName is the name in tables: "Et1/2", "Po1", "Ma1".
func shortName(name string) string {
	kind, rest := splitName(name)
	for _, k := range interfaceKinds {
		if k.long == kind {
			return k.short + rest
		}
	}
	return name
}

// maxRange bounds the interfaces that one list may name.
const maxRange = 4096

// parseInterfaces reads an interface list from the start of toks: names,
// comma-separated, with ranges in the last number ("Ethernet1, Ethernet3-5",
// "Et1-4,7", "ethernet 1/1-4", "po1"). It returns full names in the order typed
// and the number of words used; 0 words mean that no list is there.
func parseInterfaces(toks []string) (names []string, used int) {
	kind := ""
	for used < len(toks) {
		parts := strings.Split(toks[used], ",")
		n := 1
		// "Ethernet 1": the number is a word of its own.
		if k := kindOf(toks[used]); k != "" && used+1 < len(toks) && startsWithDigit(toks[used+1]) {
			kind = k
			parts = strings.Split(toks[used+1], ",")
			n = 2
		}
		for _, p := range parts {
			if p == "" {
				continue
			}
			k, rest := splitName(p)
			if k != "" {
				if kind = kindOf(k); kind == "" {
					return nil, 0
				}
			}
			got, ok := expandName(kind, rest)
			if !ok || len(names)+len(got) > maxRange {
				return nil, 0
			}
			names = append(names, got...)
		}
		comma := parts[len(parts)-1] == ""
		used += n
		// The list goes on after a comma, which may be a word of its own.
		if !comma && used < len(toks) && strings.HasPrefix(toks[used], ",") {
			continue
		}
		if !comma {
			break
		}
	}
	if len(names) == 0 {
		return nil, 0
	}
	return names, used
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// expandName turns "1/1-4" into its four names.
func expandName(kind, rest string) ([]string, bool) {
	if kind == "" || rest == "" {
		return nil, false
	}
	head, last := "", rest
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		head, last = rest[:i+1], rest[i+1:]
		for _, p := range strings.Split(rest[:i], "/") {
			if _, ok := number(p); !ok {
				return nil, false
			}
		}
	}
	from, to, ranged := strings.Cut(last, "-")
	lo, ok := number(from)
	if !ok {
		return nil, false
	}
	hi := lo
	if ranged {
		if hi, ok = number(to); !ok || hi < lo || hi-lo >= maxRange {
			return nil, false
		}
	}
	names := make([]string, 0, hi-lo+1)
	for i := lo; i <= hi; i++ {
		names = append(names, kind+head+strconv.Itoa(i))
	}
	return names, true
}

func number(s string) (int, bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// compareNames orders interfaces by type as in interfaceKinds' printing order,
// then by number.
func compareNames(a, b string) int {
	ak, ar := splitName(a)
	bk, br := splitName(b)
	if c := cmp.Compare(kindRank(ak), kindRank(bk)); c != 0 {
		return c
	}
	return naturalCompare(ar, br)
}

// kindRank is the order of interfaces in the running configuration. The place of
// Port-Channel before Ethernet follows the vendor's generator (aristanetworks/avd);
// that of Loopback and Vlan does too.
func kindRank(kind string) int {
	return slices.Index([]string{"Port-Channel", "Ethernet", "Loopback", "Management", "Vlan"}, kind)
}

// naturalCompare compares numbers inside texts by value.
func naturalCompare(a, b string) int {
	for a != "" && b != "" {
		if startsWithDigit(a) && startsWithDigit(b) {
			i, j := digits(a), digits(b)
			an, bn := strings.TrimLeft(a[:i], "0"), strings.TrimLeft(b[:j], "0")
			if c := cmp.Or(cmp.Compare(len(an), len(bn)), cmp.Compare(an, bn)); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
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
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// formatInterfaces compresses a set of names: "Ethernet1, Ethernet3-5".
// The form is that of the lists in aristanetworks/avd's monitor session examples.
func formatInterfaces(names []string) string {
	names = slices.Clone(names)
	slices.SortFunc(names, compareNames)
	names = slices.Compact(names)
	var out []string
	for i := 0; i < len(names); {
		head, n := lastNumber(names[i])
		j := i + 1
		for j < len(names) {
			h, m := lastNumber(names[j])
			if h != head || m != n+j-i {
				break
			}
			j++
		}
		s := names[i]
		if j-i > 1 {
			s += "-" + strconv.Itoa(n+j-i-1)
		}
		out = append(out, s)
		i = j
	}
	return strings.Join(out, ", ")
}

func lastNumber(name string) (head string, n int) {
	i := len(name)
	for i > 0 && name[i-1] >= '0' && name[i-1] <= '9' {
		i--
	}
	n, _ = strconv.Atoi(name[i:])
	return name[:i], n
}

// parseVLANs reads "10,20-30"; the result is sorted and without doubles.
func parseVLANs(s string) ([]int, bool) {
	var ids []int
	for _, p := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(p, "-")
		lo, ok := number(from)
		hi := lo
		if ok && ranged {
			hi, ok = number(to)
		}
		if !ok || lo < 1 || hi > 4094 || lo > hi {
			return nil, false
		}
		for v := lo; v <= hi; v++ {
			ids = append(ids, v)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), true
}

// formatVLANs is the inverse of parseVLANs: "10,20-30".
func formatVLANs(ids []int) string {
	var out []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if j > i {
			out = append(out, fmt.Sprintf("%d-%d", ids[i], ids[j]))
		} else {
			out = append(out, strconv.Itoa(ids[i]))
		}
		i = j + 1
	}
	return strings.Join(out, ",")
}

// parseHMS reads HH:MM:SS.
func parseHMS(s string) (time.Duration, bool) {
	p := strings.Split(s, ":")
	if len(p) != 3 {
		return 0, false
	}
	var v [3]int
	for i := range p {
		n, ok := number(p[i])
		if !ok || len(p[i]) > 2 || i > 0 && n > 59 {
			return 0, false
		}
		v[i] = n
	}
	return time.Duration(v[0])*time.Hour + time.Duration(v[1])*time.Minute + time.Duration(v[2])*time.Second, true
}
