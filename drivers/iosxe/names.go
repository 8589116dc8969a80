package iosxe

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// interfaceType is a kind of interface with the short name that IOS prints, as in
// "monitor session 1 source interface Gi1/0/1".
type interfaceType struct{ name, short string }

// interfaceTypes are those that can be in a mirror session, beside Vlan. Short
// names are those of real outputs [gp, ntc].
var interfaceTypes = []interfaceType{
	{"Ethernet", "Et"}, {"FastEthernet", "Fa"}, {"GigabitEthernet", "Gi"}, {"TwoGigabitEthernet", "Tw"},
	{"FiveGigabitEthernet", "Fi"}, {"TenGigabitEthernet", "Te"}, {"TwentyFiveGigE", "Twe"}, {"FortyGigabitEthernet", "Fo"},
	{"FiftyGigE", "Fif"}, {"HundredGigE", "Hu"}, {"TwoHundredGigE", "TwoH"}, {"FourHundredGigE", "Fou"},
	{"AppGigabitEthernet", "Ap"}, {"Port-channel", "Po"},
}

const lagType = "Port-channel"

var (
	// portName is a name as this package gives it: a type in full and up to four
	// numbers; a router's subinterface has one more behind a dot.
	portName = regexp.MustCompile(`^([A-Z][A-Za-z-]+?)([0-9]{1,4}(?:/[0-9]{1,4}){0,3}(?:\.[0-9]{1,10})?)$`)
	// interfaceItem is a name or a range: type, all but the last number, the last
	// number, a subinterface, and the number that ends the range.
	interfaceItem = regexp.MustCompile(`^([A-Za-z][A-Za-z-]*?)? ?((?:[0-9]{1,4}/){0,3})([0-9]{1,4})(\.[0-9]{1,10})?(?:-(?:([A-Za-z][A-Za-z-]*?)? ?((?:[0-9]{1,4}/){0,3}))([0-9]{1,4}))?$`)
	// word is what may stand for an access list or a VRF in a line.
	word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	// listSigns are the signs of a list, which IOS wants between blanks and prints so;
	// a hyphen without blanks may be part of a name (Port-channel1).
	listSigns = regexp.MustCompile(` *, *| +- +`)
)

// maxRange bounds what a range in a line may expand to.
const maxRange = 4096

// PortKind tells a port from a LAG by its name.
func (Dialect) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, lagType) {
		return models.SourceLAG
	}
	return models.SourcePort
}

func isPort(name string) bool {
	m := portName.FindStringSubmatch(name)
	if m == nil || m[1] == lagType && strings.ContainsAny(m[2], "/.") {
		return false
	}
	return slices.ContainsFunc(interfaceTypes, func(t interfaceType) bool { return t.name == m[1] })
}

// longType gives the full name of a type from its short name or any beginning that
// only one type has; "" where there is none.
func longType(s string) string {
	for _, t := range interfaceTypes {
		if strings.EqualFold(s, t.short) || strings.EqualFold(s, t.name) {
			return t.name
		}
	}
	found := ""
	for _, t := range interfaceTypes {
		if len(s) >= 2 && len(s) < len(t.name) && strings.EqualFold(s, t.name[:len(s)]) {
			if found != "" {
				return ""
			}
			found = t.name
		}
	}
	return found
}

// longName gives a single name in full: Gi1/0/1 is GigabitEthernet1/0/1.
func longName(s string) (string, bool) {
	names, err := expandInterfaces(s)
	if err != nil || len(names) != 1 {
		return "", false
	}
	return names[0], true
}

// splitList takes the list off the beginning of words: "Gi1/0/1 , Gi1/0/3 - 5 rx"
// is the items Gi1/0/1 and Gi1/0/3-5, and the word rx.
func splitList(text string) (items []string, rest []string) {
	text = listSigns.ReplaceAllStringFunc(text, strings.TrimSpace)
	w := strings.Fields(text)
	if len(w) == 0 {
		return nil, nil
	}
	// "interface TenGigabitEthernet 1/0/1" is typed with a blank by some; IOS prints
	// none.
	return strings.Split(w[0], ","), w[1:]
}

// expandInterfaces gives the names that a list such as "Gi1/0/1,Gi1/0/3-5" stands
// for. A range ends with a number or with the whole name again.
func expandInterfaces(items ...string) ([]string, error) {
	var out []string
	for _, item := range items {
		m := interfaceItem.FindStringSubmatch(item)
		if m == nil {
			return nil, fmt.Errorf("%q is not an interface", item)
		}
		kind := longType(m[1])
		if kind == "" || kind == lagType && (m[2] != "" || m[4] != "") {
			return nil, fmt.Errorf("%q is not an interface", item)
		}
		if m[7] == "" {
			out = append(out, kind+m[2]+m[3]+m[4])
			continue
		}
		if m[4] != "" || m[5] != "" && longType(m[5]) != kind || m[6] != "" && m[6] != m[2] {
			return nil, fmt.Errorf("%q is a range over more than its last number", item)
		}
		first, last, err := bounds(m[3], m[7], item)
		if err != nil {
			return nil, err
		}
		if len(out)+last-first >= maxRange {
			return nil, fmt.Errorf("%q is too long a range", item)
		}
		for n := first; n <= last; n++ {
			out = append(out, kind+m[2]+strconv.Itoa(n))
		}
	}
	return out, nil
}

func bounds(a, b, item string) (first, last int, err error) {
	if first, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	if last, err = strconv.Atoi(b); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("%q ends before it begins", item)
	}
	return first, last, nil
}

// parseVLANs reads the items of "10,20-30".
func parseVLANs(items ...string) ([]models.Range, error) {
	var out []models.Range
	for _, item := range items {
		var r models.Range
		if err := r.UnmarshalText([]byte(strings.TrimSpace(item))); err != nil {
			return nil, err
		}
		if r.First < 1 || r.Last > 4094 {
			return nil, fmt.Errorf("VLAN %q: want ids from 1 to 4094", item)
		}
		out = append(out, r)
	}
	return out, nil
}
