package nxos

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

const (
	portType = "Ethernet"
	lagType  = "port-channel"
	cpu      = "sup-eth0" // the inband interface, a destination outside of the model [tac]
)

var (
	portName = regexp.MustCompile(`^(Ethernet[0-9]{1,4}(/[0-9]{1,4}){1,2}|port-channel[0-9]{1,4})$`)
	// item is a name or a range, short or long: Eth1/1, Ethernet1/1-4, po10.
	item = regexp.MustCompile(`^(?i:(e[a-z]*|po[a-z-]*) ?)((?:[0-9]{1,4}/){0,2})([0-9]{1,4})(?:-([0-9]{1,4}))?$`)
	// again is the rest of a range that repeats the name: Eth1/1-Eth1/4, Eth1/1-1/4.
	again = regexp.MustCompile(`-(?i:[a-z]+ ?)?(?:[0-9]{1,4}/){1,2}([0-9]{1,4})$`)
	// word is what may stand for an access list or a VRF in a line.
	word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
)

// maxRange bounds what the list in a line may expand to.
const maxRange = 4096

// PortKind tells a port from a LAG by its name.
func (Dialect) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, lagType) {
		return models.SourceLAG
	}
	return models.SourcePort
}

// longName gives a single name in full: Eth1/1 is Ethernet1/1.
func longName(s string) (string, bool) {
	names, err := expand(s)
	if err != nil || len(names) != 1 {
		return "", false
	}
	return names[0], true
}

// expand gives the names that a list such as "Eth1/1, Eth1/3-5" stands for.
func expand(list string) ([]string, error) {
	var out []string
	for _, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		m := item.FindStringSubmatch(again.ReplaceAllString(s, "-$1"))
		if m == nil {
			return nil, fmt.Errorf("%q is not an interface", s)
		}
		kind, lower := "", strings.ToLower(m[1])
		switch {
		case strings.HasPrefix("ethernet", lower):
			kind = portType
		case strings.HasPrefix(lagType, lower):
			kind = lagType
		}
		if kind == "" || (kind == lagType) != (m[2] == "") {
			return nil, fmt.Errorf("%q is not an interface", s)
		}
		first, _ := strconv.Atoi(m[3]) // at most four digits
		last := first
		if m[4] != "" {
			last, _ = strconv.Atoi(m[4])
		}
		if last < first || len(out)+last-first >= maxRange {
			return nil, fmt.Errorf("%q is no range of interfaces", s)
		}
		for n := first; n <= last; n++ {
			out = append(out, kind+m[2]+strconv.Itoa(n))
		}
	}
	return out, nil
}

// parseVLANs reads "10,20-30".
func parseVLANs(list string) ([]models.Range, error) {
	var out []models.Range
	for _, s := range strings.Split(list, ",") {
		var r models.Range
		if err := r.UnmarshalText([]byte(strings.TrimSpace(s))); err != nil {
			return nil, err
		}
		if r.First < 1 || r.Last > 4094 || r.Last < r.First {
			return nil, fmt.Errorf("VLAN %q: want ids from 1 to 4094", s)
		}
		out = append(out, r)
	}
	return out, nil
}

func vlanList(rs []models.Range) string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.String()
	}
	return strings.Join(out, ",")
}
