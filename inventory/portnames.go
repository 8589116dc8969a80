package inventory

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// portType is a kind of interface of a network OS: its name as the OS writes it
// and the shape of the number behind it.
type portType struct {
	name  string
	short []string // further spellings the OS takes or prints
	shape *regexp.Regexp
}

// portGrammar is how a platform names interfaces. A name is a type and a number;
// letters count in any case, and blanks between the two are dropped.
type portGrammar struct {
	types []portType
	// abbreviate tells that the OS takes every unambiguous beginning of a type.
	abbreviate bool
	// lab rewrites spellings of labs that cannot be mistaken for others.
	lab  func(string) (string, bool)
	help string
}

var (
	numbered = regexp.MustCompile(`^\d+$`)
	unit     = regexp.MustCompile(`^\d+(\.\d+)?$`)
	slotted  = regexp.MustCompile(`^\d+(/\d+){0,3}(\.\d+)?$`)
	slotPort = regexp.MustCompile(`^\d+/\d+(/\d+)?(\.\d+)?$`)
	eosPort  = regexp.MustCompile(`^\d+(/\d+){0,2}(\.\d+)?$`)
	xrPort   = regexp.MustCompile(`^\d+/\d+/\d+/\d+(/\d+)?(\.\d+)?$`)
	vrpPort  = regexp.MustCompile(`^\d+/\d+(/\d+){0,2}(:\d+)?(\.\d+)?$`)
	// xrManagement is the one shape with letters that count: 0/RP0/CPU0/0.
	xrManagement = regexp.MustCompile(`^\d+/(RP|RSP)?\d+/CPU\d+/\d+$`)
	fpcPort      = regexp.MustCompile(`^-\d+/\d+/\d+(:\d+)?(\.\d+)?$`)
)

// types makes portTypes of one shape; each is "Name" or "Name=short,short".
func types(shape *regexp.Regexp, names ...string) []portType {
	var out []portType
	for _, n := range names {
		name, short, _ := strings.Cut(n, "=")
		t := portType{name: name, shape: shape}
		if short != "" {
			t.short = strings.Split(short, ",")
		}
		out = append(out, t)
	}
	return out
}

// portGrammars: spellings are those of the vendors' configurations as collected in
// the transcripts, YANG and manuals that drivers cite, and of containerlab's
// interface help texts. A platform that is not here takes any name as it is.
var portGrammars = map[string]portGrammar{
	PlatformEOS: {abbreviate: true, help: "Ethernet1, Ethernet1/1, Port-Channel10",
		types: slices.Concat(types(eosPort, "Ethernet=Et"), types(unit, "Port-Channel=Po", "Vlan=Vl", "Loopback=Lo"), types(slotted, "Management=Ma"))},
	PlatformNXOS: {abbreviate: true, help: "Ethernet1/1, port-channel10",
		types: slices.Concat(types(slotPort, "Ethernet=Eth"), types(unit, "port-channel=Po", "Vlan", "loopback=Lo"), types(numbered, "mgmt"))},
	PlatformIOS:   {abbreviate: true, help: "GigabitEthernet0/1, Ethernet0/1, Port-channel1", types: iosTypes},
	PlatformIOSXE: {abbreviate: true, help: "GigabitEthernet1/0/1, Port-channel1", types: iosTypes},
	PlatformIOSXR: {abbreviate: true, help: "GigabitEthernet0/0/0/1, Bundle-Ether1", lab: xrdNaming.toNOS,
		types: slices.Concat(types(xrPort, "GigabitEthernet=Gi", "TenGigE=Te,TenGigabitEthernet", "TwentyFiveGigE=TF", "FortyGigE=Fo", "FiftyGigE=Fi",
			"HundredGigE=Hu", "TwoHundredGigE=TH", "FourHundredGigE=FH"), types(unit, "Bundle-Ether=BE", "Loopback=Lo"),
			types(xrManagement, "MgmtEth=Mg"))},
	PlatformJunos: {help: "ge-0/0/0, xe-0/0/0:1, ae0",
		types: slices.Concat(types(fpcPort, "ge", "xe", "et", "fe", "mge"), types(unit, "ae", "irb", "em", "fxp", "me", "lo"), types(regexp.MustCompile(`^$`), "vme"))},
	PlatformSRL: {help: "ethernet-1/1, ethernet-1/1/1, lag1", lab: srlNaming.toNOS,
		types: slices.Concat(types(regexp.MustCompile(`^-\d+/\d+(/\d+)?(\.\d+)?$`), "ethernet"), types(unit, "lag", "irb", "mgmt", "system", "lo"))},
	PlatformSROS: {help: "1/1/1, 1/1/c1/1, lag-1", lab: srsimNaming.toNOS,
		types: slices.Concat(types(regexp.MustCompile(`^\d+/(x\d+/)?\d+(/c\d+)?/\d+$`), ""), types(regexp.MustCompile(`^-\d+$`), "lag"))},
	PlatformSONiC: {help: "Ethernet0, PortChannel0001", types: types(unit, "Ethernet", "PortChannel", "Vlan")},
	PlatformAOSCX: {help: "1/1/1, lag1",
		types: slices.Concat(types(regexp.MustCompile(`^\d+/\d+/\d+(:\d+)?$`), ""), types(numbered, "lag", "vlan"))},
	PlatformVRP: {abbreviate: true, help: "GigabitEthernet0/0/1, 10GE1/0/1, Eth-Trunk1",
		types: slices.Concat(types(vrpPort, "Ethernet=Eth", "GigabitEthernet=GE", "XGigabitEthernet=XGE", "10GE", "25GE", "40GE", "50GE", "100GE", "200GE", "400GE", "MEth"),
			types(unit, "Eth-Trunk", "Vlanif"))},
	PlatformLinux:   linuxGrammar,
	PlatformCumulus: linuxGrammar,
}

var iosTypes = slices.Concat(
	types(slotted, "Ethernet=Et", "FastEthernet=Fa", "GigabitEthernet=Gi", "TwoGigabitEthernet=Tw", "FiveGigabitEthernet=Fi", "TenGigabitEthernet=Te",
		"TwentyFiveGigE=Twe", "FortyGigabitEthernet=Fo", "FiftyGigE", "HundredGigE=Hu", "FourHundredGigE", "AppGigabitEthernet=Ap"),
	types(unit, "Port-channel=Po", "Vlan=Vl", "Loopback=Lo", "Tunnel=Tu"))

// linuxGrammar takes what the kernel takes (net/core/dev.c dev_valid_name): up to
// 15 bytes without blanks, slashes and colons. Names keep their case.
var linuxGrammar = portGrammar{help: "a Linux interface name of up to 15 characters"}

var linuxName = regexp.MustCompile(`^[^\s/:]{1,15}$`)

// canonicalPort gives the platform's own spelling of an interface name:
// "et1" is Ethernet1 on EOS, "Gi1/0/1" GigabitEthernet1/0/1 on IOS XE. An error
// says what names look like there. Names of platforms without a grammar are kept.
func canonicalPort(platform, name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", fmt.Errorf("the interface name is empty")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\'' || r == ';' || r == '`' }) {
		return "", fmt.Errorf("interface %q: has characters that no interface name has", name)
	}
	if place, port, ok := models.CutPlace(name); ok {
		if err := placed(platform, name, place, port); err != nil {
			return "", err
		}
		return name, nil
	}
	g, ok := portGrammars[platform]
	if !ok {
		return name, nil
	}
	if g.types == nil {
		if !linuxName.MatchString(name) || name == "." || name == ".." {
			return "", fmt.Errorf("interface %q: want %s", name, g.help)
		}
		return name, nil
	}
	if g.lab != nil {
		if n, ok := g.lab(name); ok {
			return n, nil
		}
	}
	if n, ok := g.exact(name); ok {
		return n, nil
	}
	if g.abbreviate {
		switch names := g.abbreviated(name); len(names) {
		case 1:
			return names[0], nil
		case 0:
		default:
			return "", fmt.Errorf("interface %q: may be %s", name, strings.Join(names, " or "))
		}
	}
	return "", fmt.Errorf("interface %q: want names such as %s", name, g.help)
}

// placed checks the name of an interface in another network namespace of a host.
func placed(platform, name, place, port string) error {
	if platform != PlatformLinux {
		return fmt.Errorf("interface %q: only a device of platform %s has interfaces in containers and network namespaces", name, PlatformLinux)
	}
	if err := models.PlaceError(place); err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	if !linuxName.MatchString(port) || port == "." || port == ".." {
		return fmt.Errorf("interface %q: want %s behind the slash", name, linuxGrammar.help)
	}
	return nil
}

// exact finds the type whose full or short spelling begins name. Numbers begin with
// a digit or a dash, so that no two types can match.
func (g portGrammar) exact(name string) (string, bool) {
	for _, t := range g.types {
		for _, s := range append([]string{t.name}, t.short...) {
			if len(name) < len(s) || !strings.EqualFold(name[:len(s)], s) {
				continue
			}
			rest := strings.ToLower(strings.TrimLeft(name[len(s):], " "))
			if t.shape == xrManagement {
				rest = strings.ToUpper(rest)
			}
			if t.shape.MatchString(rest) {
				return t.name + rest, true
			}
		}
	}
	return "", false
}

// abbreviated gives the names that the beginning of a type may stand for.
func (g portGrammar) abbreviated(name string) []string {
	i := strings.IndexFunc(name, func(r rune) bool { return r >= '0' && r <= '9' || r == ' ' })
	if i < 1 {
		return nil
	}
	head, rest := strings.ToLower(name[:i]), strings.TrimLeft(name[i:], " ")
	var names []string
	for _, t := range g.types {
		if strings.HasPrefix(strings.ToLower(t.name), head) && t.shape.MatchString(rest) {
			names = append(names, t.name+rest)
		}
	}
	return names
}
