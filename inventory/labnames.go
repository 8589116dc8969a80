package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// labNaming is how a containerlab kind names ports: what the topology may write,
// which Linux interface containerlab makes of it, and what the network OS inside
// calls that. The zero value takes any name and changes nothing.
//
// Source: containerlab nodes/default_node.go, vr_node.go (AddEndpoint,
// CalculateInterfaceIndex, CheckInterfaceName) and the kinds' own files. Patterns
// are not anchored where containerlab's are not.
type labNaming struct {
	alias   *regexp.Regexp // spellings that containerlab maps to a Linux name; nil = none
	isLinux *regexp.Regexp // what a Linux name must match; nil = anything
	help    string         // what the topology may write
	toLinux func(alias string) (string, error)
	toNOS   func(linux string) (string, bool) // nil = the NOS has the Linux name
}

var vmInterface = regexp.MustCompile(`eth[1-9]\d*$`)

const (
	junosPort    = `(?:et|xe|ge)-0/0/(?P<port>\d+)$`
	maxPortIndex = 1 << 16
)

// resolve gives the Linux name and, where the topology wrote another one, the
// alias, as containerlab has them in topology-data.json and inspect interfaces.
func (ln labNaming) resolve(name string) (linux, alias string, err error) {
	linux = name
	if ln.alias != nil && (ln.isLinux == nil || !ln.isLinux.MatchString(name)) {
		if !ln.alias.MatchString(name) {
			return "", "", fmt.Errorf("interface %q: want %s", name, ln.help)
		}
		if linux, err = ln.toLinux(name); err != nil {
			return "", "", err
		}
		alias = name
	}
	if ln.isLinux != nil && linux != "" && !ln.isLinux.MatchString(linux) {
		return "", "", fmt.Errorf("interface %q: want %s", name, ln.help)
	}
	return linux, alias, nil
}

// nos gives the network OS's name of a Linux interface, the Linux name itself
// where no rule is known.
func (ln labNaming) nos(linux string) string {
	if ln.toNOS != nil {
		if n, ok := ln.toNOS(linux); ok {
			return n
		}
	}
	return linux
}

// vm is the naming of kinds that run a virtual machine: port N of the NOS is
// eth(N - first + 1).
func vm(alias string, first int, format string) labNaming {
	re := regexp.MustCompile(alias)
	ln := labNaming{
		alias: re, isLinux: vmInterface,
		help: fmt.Sprintf("ethX (X >= %d) or %s (X >= %d)", max(1, 1-first), strings.ReplaceAll(format, "%d", "X"), max(first, 0)),
	}
	ln.toLinux = func(name string) (string, error) {
		n, err := strconv.Atoi(re.FindStringSubmatch(name)[re.SubexpIndex("port")])
		if err != nil || n > maxPortIndex {
			return "", fmt.Errorf("interface %q: the port number is too large", name)
		}
		if n-first+1 < 1 {
			return "", fmt.Errorf("interface %q: the first port has number %d", name, first)
		}
		return fmt.Sprintf("eth%d", n-first+1), nil
	}
	ln.toNOS = func(linux string) (string, bool) {
		n, ok := ethIndex(linux)
		if !ok || n-1+first < 0 {
			return "", false
		}
		return fmt.Sprintf(format, n-1+first), true
	}
	return ln
}

// ethOnly is the naming of kinds that take ethX only. eth1 is port 0 of the format;
// with "" the NOS's names are not known from public sources, and stay ethX.
func ethOnly(format string) labNaming {
	ln := labNaming{isLinux: vmInterface, help: "ethX (X >= 1)"}
	if format != "" {
		ln.toNOS = func(linux string) (string, bool) {
			n, ok := ethIndex(linux)
			return fmt.Sprintf(format, n-1), ok
		}
	}
	return ln
}

// sameName is the naming of kinds whose NOS calls the port as Linux does.
func sameName(pattern, help string) labNaming {
	return labNaming{isLinux: regexp.MustCompile(pattern), help: help}
}

func ethIndex(linux string) (int, bool) {
	rest, ok := strings.CutPrefix(linux, "eth")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && n >= 1 && n <= maxPortIndex
}

// rewrite makes a toNOS of a pattern and of what becomes of its groups.
func rewrite(pattern string, build func(m []string) string) func(string) (string, bool) {
	re := regexp.MustCompile(pattern)
	return func(linux string) (string, bool) {
		m := re.FindStringSubmatch(linux)
		if m == nil {
			return "", false
		}
		return build(m), true
	}
}

// join puts the parts that are not empty together, with sep between.
func join(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

// ceosNaming: INTFTYPE decides between eth and et; eth1_2_3 is Ethernet1/2/3. A
// mapping file bound into the node may rename ports; then the topology cannot tell.
var ceosNaming = labNaming{
	isLinux: regexp.MustCompile(`eth[1-9][\w.]*$|et[1-9][\w.]*$`),
	help:    "ethX or etX (X >= 1)",
	toNOS: rewrite(`^eth?(\d+(?:_\d+)*)$`, func(m []string) string {
		return "Ethernet" + strings.ReplaceAll(m[1], "_", "/")
	}),
}

var srlNaming = labNaming{
	alias:   regexp.MustCompile(`ethernet-(\d+)/(\d+)(?:/(\d+))?`),
	isLinux: regexp.MustCompile(`(:?e|ethernet)\d+-\d+(-\d+)?|mgmt0`),
	help:    "ethernet-L/P, ethernet-L/P/C, eL-P or eL-P-C (L, P, C >= 1)",
	toLinux: func(name string) (string, error) {
		m := regexp.MustCompile(`ethernet-(\d+)/(\d+)(?:/(\d+))?`).FindStringSubmatch(name)
		for _, n := range m[1:] {
			if n != "" && strings.Trim(n, "0") == "" {
				return "", fmt.Errorf("interface %q: line cards, ports and channels begin at 1", name)
			}
		}
		return "e" + join("-", number(m[1]), number(m[2]), number(m[3])), nil
	},
	toNOS: rewrite(`^(?:e|ethernet)(\d+)-(\d+)(?:-(\d+))?$`, func(m []string) string {
		return "ethernet-" + join("/", m[1:]...)
	}),
}

// number drops leading zeros, as Atoi and back does.
func number(s string) string {
	if s == "" {
		return ""
	}
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return "0"
}

// srosNaming is vrnetlab's SR OS: slot 1, mda 1. Nodes with components have ports
// whose Linux name depends on the cards' port counts; see portOf.
var srosNaming = labNaming{
	alias:   regexp.MustCompile(`^(\d+)/(?:x(\d+)/)?(\d+)/(?:c(\d+)/)?(\d+)$`),
	isLinux: vmInterface,
	help:    "1/1/X, 1/1/cX/1 or ethX (X >= 1)",
	toLinux: func(name string) (string, error) {
		m := regexp.MustCompile(`^(\d+)/(?:x(\d+)/)?(\d+)/(?:c(\d+)/)?(\d+)$`).FindStringSubmatch(name)
		slot, mda, conn, port := number(m[1]), number(m[3]), number(m[4]), number(m[5])
		switch {
		case port == "0":
			return "", fmt.Errorf("interface %q: ports begin at 1", name)
		case slot != "1" || mda != "1":
			return "", fmt.Errorf("interface %q: without components only ports of slot 1, mda 1 can be named so; use ethX", name)
		case conn != "" && port != "1":
			return "", fmt.Errorf("interface %q: breakout ports cannot be named so; use ethX", name)
		case conn != "":
			return "eth" + conn, nil
		}
		return "eth" + port, nil
	},
	toNOS: rewrite(`^eth([1-9]\d*)$`, func(m []string) string { return "1/1/" + m[1] }),
}

var srsimNaming = labNaming{
	alias:   regexp.MustCompile(`^(\d+)/(?:x(\d+)/)?(\d+)(?:/c(\d+))?/(\d+)$`),
	isLinux: regexp.MustCompile(`^(?:e(\d+)-(?:x(\d+)-)?(\d+)(?:-c(\d+))?-(\d+)|eth(\d+))$`),
	help:    "1/2/3, 1/2/c3/4, 1/x2/3/4, 1/x2/3/c4/5 or e1-2-3, e1-2-c3-4, e1-x2-3-4, e1-x2-3-c4-5",
	toLinux: func(name string) (string, error) {
		m := regexp.MustCompile(`^(\d+)/(?:x(\d+)/)?(\d+)(?:/c(\d+))?/(\d+)$`).FindStringSubmatch(name)
		for i, n := range m[1:] {
			if m[i+1] = number(n); m[i+1] == "0" {
				return "", fmt.Errorf("interface %q: cards, mdas and ports begin at 1", name)
			}
		}
		return "e" + join("-", m[1], with("x", m[2]), m[3], with("c", m[4]), m[5]), nil
	},
	toNOS: rewrite(`^e(\d+)-(?:x(\d+)-)?(\d+)(?:-c(\d+))?-(\d+)$`, func(m []string) string {
		return join("/", m[1], with("x", m[2]), m[3], with("c", m[4]), m[5])
	}),
}

func with(letter, s string) string {
	if s == "" {
		return ""
	}
	return letter + s
}

var xrdNaming = labNaming{
	isLinux: regexp.MustCompile(`^Gi0-0-0-\d+$`),
	help:    "Gi0-0-0-X (X >= 0)",
	toNOS:   rewrite(`^Gi0-0-0-(\d+)$`, func(m []string) string { return "GigabitEthernet0/0/0/" + m[1] }),
}

var c8000Naming = labNaming{
	isLinux: regexp.MustCompile(`^(Fi|Hu|FH)0_0_0_\d+$`),
	help:    "Fi0_0_0_X, Hu0_0_0_X or FH0_0_0_X (X >= 0)",
	toNOS: rewrite(`^(Fi|Hu|FH)0_0_0_(\d+)$`, func(m []string) string {
		return map[string]string{"Fi": "FiftyGigE", "Hu": "HundredGigE", "FH": "FourHundredGigE"}[m[1]] + "0/0/0/" + m[2]
	}),
}

// iolNaming: slots of four ports; eth1 is Ethernet0/1, Ethernet0/0 is management.
var iolNaming = labNaming{
	alias:   regexp.MustCompile(`(?:e|Ethernet)(?:0/[123]|[1-9]/[0-3])$`),
	isLinux: vmInterface,
	help:    "ethX (X >= 1), Ethernet0/1 to 0/3, or EthernetS/P (S 1 to 9, P 0 to 3)",
	toLinux: func(name string) (string, error) {
		slot, port := name[len(name)-3]-'0', name[len(name)-1]-'0' // by the pattern
		return fmt.Sprintf("eth%d", slot*4+port), nil
	},
	toNOS: func(linux string) (string, bool) {
		n, ok := ethIndex(linux)
		return fmt.Sprintf("Ethernet%d/%d", n/4, n%4), ok
	},
}

func sonicPort(linux string) (string, bool) {
	n, ok := ethIndex(linux)
	return fmt.Sprintf("Ethernet%d", (n-1)*4), ok
}

// SONiC counts lanes: eth1 is Ethernet0, eth2 Ethernet4.
var (
	sonicNaming   = labNaming{toNOS: sonicPort}
	sonicVMNaming = labNaming{isLinux: vmInterface, help: "ethX (X >= 1)", toNOS: sonicPort}
)
