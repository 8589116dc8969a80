package nxos

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// kinds of interfaces as the running configuration writes them, in its order as far as
// public configurations show it: Vlan, port-channel, Ethernet, mgmt, loopback.
var kinds = []struct{ long, short string }{
	{"Vlan", "Vlan"}, {"port-channel", "Po"}, {"Ethernet", "Eth"}, {"mgmt", "mgmt"}, {"loopback", "Lo"},
}

// maxList bounds the interfaces of one list.
const maxList = 4096

func split(name string) (kind, number string) {
	i := strings.IndexAny(name, "0123456789")
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i:]
}

func rank(kind string) int {
	for i, k := range kinds {
		if k.long == kind {
			return i
		}
	}
	return len(kinds)
}

// short is the name in tables: "Eth1/1".
func short(name string) string {
	kind, number := split(name)
	if i := rank(kind); i < len(kinds) {
		return kinds[i].short + number
	}
	return name
}

func shorts(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = short(n)
	}
	return strings.Join(out, " ")
}

func isFront(name string) bool { return strings.HasPrefix(name, "Ethernet") }
func isLAG(name string) bool   { return strings.HasPrefix(name, "port-channel") }
func lagName(group int) string { return "port-channel" + strconv.Itoa(group) }

// maxGroup is the highest port-channel (1 to 4096 in Cisco's interface guides).
const maxGroup = 4096

// makeable reports whether configuring an interface makes it.
func makeable(name string) bool {
	kind, number := split(name)
	n, ok := decimal(number)
	switch kind {
	case "Vlan":
		return ok && n >= 1 && n <= 4094
	case "port-channel":
		return ok && n >= 1 && n <= maxGroup
	case "loopback":
		return ok && n <= 1023
	}
	return false
}

// fullName resolves a typed name ("e1/1", "Eth1/1", "po10"); "" is none.
func fullName(typed string) string {
	kind, number := split(typed)
	for _, part := range strings.Split(number, "/") {
		if n, ok := decimal(part); !ok || strconv.Itoa(n) != part {
			return ""
		}
	}
	found := ""
	for _, k := range kinds {
		if kind != "" && strings.HasPrefix(strings.ToLower(k.long), strings.ToLower(kind)) {
			if found != "" {
				return ""
			}
			found = k.long
		}
	}
	if found == "" {
		return ""
	}
	return found + number
}

// list joins the tokens of a list, which may have blanks around commas and hyphens and
// between a type and its number.
func list(toks []token) (text string, used int) {
	for used < len(toks) {
		t := toks[used].text
		more := text == "" || strings.HasSuffix(text, ",") || strings.HasSuffix(text, "-") || t[0] == ',' || t[0] == '-' ||
			t[0] >= '0' && t[0] <= '9' && !strings.ContainsAny(text[len(text)-1:], "0123456789")
		if !more {
			break
		}
		text += t
		used++
	}
	return text, used
}

// parsePorts reads "e1/1-3, e1/5": full names and the number of tokens, 0 for no list.
func parsePorts(toks []token) (names []string, used int) {
	text, used := list(toks)
	// A hyphen belongs to "port-channel" as well as to ranges.
	text = strings.ReplaceAll(strings.ToLower(text), "port-channel", "po")
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		name := fullName(first)
		if name == "" || len(names) >= maxList {
			return nil, 0
		}
		names = append(names, name)
		if !ranged {
			continue
		}
		at := strings.LastIndexFunc(name, func(r rune) bool { return r < '0' || r > '9' }) + 1
		from, _ := decimal(name[at:])
		if full := fullName(last); strings.HasPrefix(full, name[:at]) { // "e1/1-e1/4"
			last = full[at:]
		} else if _, number := split(name[:at]); number != "" {
			last = strings.TrimPrefix(last, number) // "e1/1-1/4"
		}
		to, ok := decimal(last)
		if !ok || to < from || to-from >= maxList-len(names) {
			return nil, 0
		}
		for n := from + 1; n <= to; n++ {
			names = append(names, name[:at]+strconv.Itoa(n))
		}
	}
	return names, used
}

// parseVLANs reads "10,20-25": sorted numbers without doubles.
func parseVLANs(toks []token) (ids []int, used int, ok bool) {
	text, used := list(toks)
	for _, part := range strings.Split(text, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		l, lok := decimal(low)
		h, hok := decimal(high)
		if !lok || !hok || l < 1 || h > maxVLAN || l > h || len(ids) > maxList {
			return nil, 0, false
		}
		for v := l; v <= h; v++ {
			ids = append(ids, v)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), used, true
}

// maxVLAN is the highest VLAN (3968 to 4094 are reserved on a Nexus 9000 by default; that is not enforced).
const maxVLAN = 4094

// vlanList writes sorted numbers as "10,20-25".
func vlanList(ids []int) string {
	var out []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		text := strconv.Itoa(ids[i])
		if j > i {
			text += "-" + strconv.Itoa(ids[j])
		}
		out = append(out, text)
		i = j + 1
	}
	return strings.Join(out, ",")
}

// comparePorts orders interfaces by type and by number.
func comparePorts(a, b string) int {
	ak, an := split(a)
	bk, bn := split(b)
	return cmp.Or(cmp.Compare(rank(ak), rank(bk)), slices.CompareFunc(strings.Split(an, "/"), strings.Split(bn, "/"), func(x, y string) int {
		xn, _ := decimal(x)
		yn, _ := decimal(y)
		return cmp.Compare(xn, yn)
	}))
}
