package iosxe

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// portKinds are the interface types with their short forms, in the order of the
// running configuration: Loopback and Port-channel first, Vlan last (public
// configurations of Catalyst 9300s; the places of the others are unverified).
var portKinds = []struct{ long, short string }{
	{"Loopback", "Lo"},
	{"Port-channel", "Po"},
	{"Tunnel", "Tu"},
	{"FastEthernet", "Fa"},
	{"GigabitEthernet", "Gi"},
	{"TwoGigabitEthernet", "Tw"},
	{"FiveGigabitEthernet", "Fi"},
	{"TenGigabitEthernet", "Te"},
	{"TwentyFiveGigE", "Twe"},
	{"FortyGigabitEthernet", "Fo"},
	{"FiftyGigE", "Fif"},
	{"HundredGigE", "Hu"},
	{"AppGigabitEthernet", "Ap"},
	{"Vlan", "Vl"},
}

// maxList bounds the interfaces of one list.
const maxList = 4096

// splitPort parts "GigabitEthernet1/0/1" into its type and its numbers.
func splitPort(name string) (kind, number string) {
	if i := strings.IndexAny(name, "0123456789"); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// portKind resolves a typed interface type: a short form, or a prefix of one type
// only. "" means none or several.
func portKind(typed string) string {
	found := ""
	for _, k := range portKinds {
		if strings.EqualFold(k.short, typed) {
			return k.long
		}
		if typed != "" && len(typed) <= len(k.long) && strings.EqualFold(k.long[:len(typed)], typed) {
			if found != "" {
				return ""
			}
			found = k.long
		}
	}
	return found
}

func rank(kind string) int {
	for i, k := range portKinds {
		if k.long == kind {
			return i
		}
	}
	return len(portKinds)
}

// short is the name in tables and in monitor lines: "Gi1/0/1".
func short(name string) string {
	kind, number := splitPort(name)
	if i := rank(kind); i < len(portKinds) {
		return portKinds[i].short + number
	}
	return name
}

// isFront reports whether a name can be that of a port of the packet model.
func isFront(name string) bool {
	kind, _ := splitPort(name)
	return !slices.Contains([]string{"Loopback", "Port-channel", "Tunnel", "Vlan", ""}, kind)
}

func isLAG(name string) bool { return strings.HasPrefix(name, "Port-channel") }

// makeable reports whether configuring an interface makes it.
func makeable(name string) bool {
	kind, number := splitPort(name)
	n, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	switch kind {
	case "Vlan":
		return n >= 1 && n <= 4094
	case "Port-channel":
		return n >= 1 && n <= maxGroup
	case "Loopback":
		return n >= 0
	}
	return false
}

// maxGroup is the highest channel group: "1-128" in the 9300's command reference;
// others have 252 or 512.
const maxGroup = 128

// parsePort reads "Gi1/0/1" or "GigabitEthernet 1/0/1" and returns the full name and
// the number of tokens, 0 for no interface name.
func parsePort(toks []token) (name string, used int) {
	kind, number := splitPort(toks[0].text)
	used = 1
	if number == "" && len(toks) > 1 {
		number, used = toks[1].text, 2
	}
	if kind = portKind(kind); kind == "" {
		return "", 0
	}
	for _, part := range strings.Split(number, "/") {
		if n, ok := decimal(part); !ok || strconv.Itoa(n) != part {
			return "", 0
		}
	}
	return kind + number, used
}

// parsePorts reads a list as the command references want it: blanks around commas
// and hyphens ("Gi1/0/1 - 4 , Gi1/0/6"). Whether IOS-XE takes them without
// blanks too is unverified, so they are refused.
func parsePorts(toks []token) (names []string, used int) {
	for {
		if used >= len(toks) {
			return nil, 0
		}
		name, k := parsePort(toks[used:])
		if k == 0 || len(names) >= maxList {
			return nil, 0
		}
		names = append(names, name)
		used += k
		if used < len(toks) && toks[used].text == "-" {
			head, from := lastNumber(name)
			if used+1 >= len(toks) {
				return nil, 0
			}
			to, ok := decimal(toks[used+1].text)
			if !ok || to < from || to-from >= maxList-len(names) {
				return nil, 0
			}
			for n := from + 1; n <= to; n++ {
				names = append(names, head+strconv.Itoa(n))
			}
			used += 2
		}
		if used >= len(toks) || toks[used].text != "," {
			return names, used
		}
		used++
	}
}

// lastNumber parts a name before its last number.
func lastNumber(name string) (head string, n int) {
	i := strings.LastIndexFunc(name, func(r rune) bool { return r < '0' || r > '9' }) + 1
	n, _ = strconv.Atoi(name[i:])
	return name[:i], n
}

func decimal(s string) (int, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// comparePorts orders interfaces by type and by number.
func comparePorts(a, b string) int {
	ak, an := splitPort(a)
	bk, bn := splitPort(b)
	if c := cmp.Compare(rank(ak), rank(bk)); c != 0 {
		return c
	}
	return slices.CompareFunc(strings.Split(an, "/"), strings.Split(bn, "/"), func(x, y string) int {
		xn, _ := decimal(x)
		yn, _ := decimal(y)
		return cmp.Compare(xn, yn)
	})
}

// portList writes a set of interfaces in short names, neighbours joined.
// configList is how monitor lines have it, showList how show commands do.
func portList(names []string, comma, hyphen string) string {
	names = slices.Clone(names)
	slices.SortFunc(names, comparePorts)
	names = slices.Compact(names)
	var out []string
	for i := 0; i < len(names); {
		head, n := lastNumber(names[i])
		last := n
		j := i + 1
		for ; j < len(names); j++ {
			if h, m := lastNumber(names[j]); h != head || m != last+1 {
				break
			}
			last++
		}
		text := short(names[i])
		if last > n {
			text += hyphen + strconv.Itoa(last)
		}
		out = append(out, text)
		i = j
	}
	return strings.Join(out, comma)
}

func configPorts(names []string) string { return portList(names, " , ", " - ") }
func showPorts(names []string) string   { return portList(names, ",", "-") }

// parseVLANSet reads "10,20-30", sorted and without doubles.
func parseVLANSet(s string) ([]int, bool) {
	if len(s) > 4096 {
		return nil, false
	}
	s = strings.NewReplacer(",", " , ", "-", " - ").Replace(s)
	toks := tokenize(s)
	if len(toks) == 0 {
		return nil, false
	}
	ids, used := parseSpacedVLANs(toks)
	return ids, used > 0 && used == len(toks)
}

// parseSpacedVLANs reads "10 , 20 - 30" from the start of toks.
func parseSpacedVLANs(toks []token) (ids []int, used int) {
	for {
		if used >= len(toks) {
			return nil, 0
		}
		low, ok := decimal(toks[used].text)
		high := low
		used++
		if ok && used+1 < len(toks) && toks[used].text == "-" {
			high, ok = decimal(toks[used+1].text)
			used += 2
		}
		if !ok || low < 1 || high > 4094 || low > high {
			return nil, 0
		}
		for v := low; v <= high; v++ {
			ids = append(ids, v)
		}
		if used >= len(toks) || toks[used].text != "," {
			slices.Sort(ids)
			return slices.Compact(ids), used
		}
		used++
	}
}

// vlanList writes a sorted set of VLANs.
func vlanList(ids []int, comma, hyphen string) string {
	var out []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		text := strconv.Itoa(ids[i])
		if j > i {
			text += hyphen + strconv.Itoa(ids[j])
		}
		out = append(out, text)
		i = j + 1
	}
	return strings.Join(out, comma)
}

func configVLANs(ids []int) string { return vlanList(ids, " , ", " - ") }
func vlanSet(ids []int) string     { return vlanList(ids, ",", "-") }
