package eos

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Ports keep EOS's long names. Ethernet4, Ethernet4/1 and Ethernet3/4/1 are ports
// of fixed, breakout and modular switches.
var (
	ethernetName = regexp.MustCompile(`^Ethernet[0-9]{1,4}(/[0-9]{1,4}){0,2}$`)
	lagName      = regexp.MustCompile(`^Port-Channel[0-9]{1,6}$`)
	// A word is what may stand for a session, an access list or a VRF in a line.
	safeWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	// interfaceItem is a name or a range in an interface list: type, the part before
	// the last number, first number, and what ends the range.
	interfaceItem = regexp.MustCompile(`^([A-Za-z][A-Za-z-]*?)?((?:[0-9]{1,4}/){0,2})([0-9]{1,6})(?:-((?:[0-9]{1,4}/){0,2})([0-9]{1,6}))?$`)
)

// maxRange bounds what a range in a line may expand to; a modular switch has fewer
// ports.
const maxRange = 4096

// PortKind tells a port from a LAG by its name.
func (Dialect) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, "Port-Channel") {
		return models.SourceLAG
	}
	return models.SourcePort
}

// interfaceTypes gives the long name of an interface type as EOS abbreviates it.
var interfaceTypes = map[string]string{
	"et": "Ethernet", "eth": "Ethernet", "ethernet": "Ethernet",
	"po": "Port-Channel", "port-channel": "Port-Channel",
}

// expandInterfaces gives the names that a list such as "Ethernet3, Ethernet5-8" or
// "Ethernet1/1-4,Port-Channel7" stands for. An item without a type is of the type
// before it.
func expandInterfaces(list string) ([]string, error) {
	var out []string
	kind := ""
	for _, item := range strings.Split(list, ",") {
		item = strings.TrimSpace(item)
		m := interfaceItem.FindStringSubmatch(item)
		if m == nil {
			return nil, fmt.Errorf("%q is not an interface", item)
		}
		if m[1] != "" {
			kind = interfaceTypes[strings.ToLower(m[1])]
		}
		if kind == "" || kind == "Port-Channel" && m[2] != "" {
			return nil, fmt.Errorf("%q is not an interface", item)
		}
		if m[4] != "" && m[4] != m[2] {
			return nil, fmt.Errorf("%q is a range over more than its last number", item)
		}
		first, err := strconv.Atoi(m[3])
		if err != nil {
			return nil, err
		}
		last := first
		if m[5] != "" {
			if last, err = strconv.Atoi(m[5]); err != nil {
				return nil, err
			}
		}
		if last < first || last-first >= maxRange || len(out) >= maxRange {
			return nil, fmt.Errorf("%q is not a range of interfaces", item)
		}
		for n := first; n <= last; n++ {
			out = append(out, kind+m[2]+strconv.Itoa(n))
		}
	}
	return out, nil
}

func isPort(name string) bool { return ethernetName.MatchString(name) || lagName.MatchString(name) }
