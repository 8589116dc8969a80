package hostmirror

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

var testCookie = mark{session: hashOf("host1", "sp-web"), hook: tcnl.Ingress}.cookie()

// vlan100Text is the program of "include vlan 100" as tc writes it.
const vlan100Text = "25,0 0 0 4096,2 0 0 0,32 0 0 4294963248,21 0 1 0,5 0 0 2,32 0 0 4294963244,5 0 0 9,128 0 0 0,53 1 0 18,5 0 0 8,40 0 0 12," +
	"21 0 1 33024,5 0 0 2,21 1 0 34984,5 0 0 3,40 0 0 14,84 0 0 4095,2 0 0 0,96 0 0 0,53 0 2 100,37 1 0 100,5 0 0 1,5 0 0 1," +
	"6 0 0 4294967295,6 0 0 0"

func programFor(text string) []tcnl.Instruction {
	program, err := compileRules(rules(text))
	if err != nil {
		panic(err)
	}
	return program
}

var operationTests = []struct {
	name, text string
	op         operation
}{
	{"qdisc", "tc qdisc add dev r0 clsact", operation{Verb: addQdisc, Dev: "r0"}},
	{
		"matchall",
		"tc filter add dev r0 ingress pref 21328 protocol all matchall action mirred egress mirror dev m0 continue cookie " + testCookie.String(),
		operation{Verb: addFilter, Dev: "r0", Hook: tcnl.Ingress, Priority: 21328, Protocol: tcnl.ProtocolAll, Kind: tcnl.MatchAll, Target: "m0", Cookie: testCookie},
	},
	{
		"u32 and names that need quotes",
		"tc filter add dev 'a$b' egress pref 21360 protocol all u32 match u32 0 0 action mirred egress mirror dev 'it'\\''s' continue cookie " + testCookie.String(),
		operation{Verb: addFilter, Dev: "a$b", Hook: tcnl.Egress, Priority: 21360, Protocol: tcnl.ProtocolAll, Kind: tcnl.U32, Target: "it's", Cookie: testCookie},
	},
	{
		"bpf",
		"tc filter add dev r0 ingress pref 21329 protocol all bpf bytecode '1,6 0 0 4294967295' action mirred egress mirror dev m0 continue cookie " + testCookie.String(),
		operation{Verb: addFilter, Dev: "r0", Hook: tcnl.Ingress, Priority: 21329, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Target: "m0", Cookie: testCookie},
	},
	{
		"rules",
		"tc filter add dev r0 ingress pref 21328 protocol all bpf bytecode '" + vlan100Text +
			"' action mirred egress mirror dev m0 continue cookie " + testCookie.String() + " # include VLAN 100; else exclude",
		operation{
			Verb: addFilter, Dev: "r0", Hook: tcnl.Ingress, Priority: 21328, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Target: "m0", Cookie: testCookie,
			Program: programFor("include vlan 100"),
		},
	},
	{
		"sampling",
		"tc filter add dev r0 egress pref 21360 protocol all matchall action gact continue random determ pipe 10 cookie " + testCookie.String() +
			" action mirred egress mirror dev m0 continue cookie " + testCookie.String(),
		operation{
			Verb: addFilter, Dev: "r0", Hook: tcnl.Egress, Priority: 21360, Protocol: tcnl.ProtocolAll, Kind: tcnl.MatchAll, Target: "m0", Cookie: testCookie,
			OneIn: 10,
		},
	},
	{
		"rules and sampling",
		"tc filter add dev r0 ingress pref 21328 protocol all bpf bytecode '" + vlan100Text +
			"' action gact continue random determ pipe 10000 cookie " + testCookie.String() +
			" action mirred egress mirror dev m0 continue cookie " + testCookie.String() + " # include VLAN 100; else exclude",
		operation{
			Verb: addFilter, Dev: "r0", Hook: tcnl.Ingress, Priority: 21328, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Target: "m0", Cookie: testCookie,
			Program: programFor("include vlan 100"), OneIn: 10000,
		},
	},
	{
		"delete",
		"tc filter del dev r0 ingress pref 21328 protocol all handle 0x1 matchall # cookie " + testCookie.String(),
		operation{Verb: delFilter, Dev: "r0", Hook: tcnl.Ingress, Priority: 21328, Protocol: tcnl.ProtocolAll, Kind: tcnl.MatchAll, Handle: 1, Cookie: testCookie},
	},
	{
		"delete of u32 in a chain",
		"tc filter del dev eth0.100 egress chain 7 pref 21360 protocol 0x0800 handle 801:a:802 u32 # cookie " + testCookie.String(),
		operation{Verb: delFilter, Dev: "eth0.100", Hook: tcnl.Egress, Chain: 7, Priority: 21360, Protocol: 0x0800, Kind: tcnl.U32, Handle: 0x8010a802, Cookie: testCookie},
	},
}

// addresses compares addresses and prefixes as values.
var addresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

func TestOperationText(t *testing.T) {
	for _, tt := range slices.Concat(operationTests, programOperationTests) {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.op.String(); got != tt.text {
				t.Errorf("String:\n got %s\nwant %s", got, tt.text)
			}
			got, err := parseOperation(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.op, got, addresses); d != "" {
				t.Errorf("parseOperation (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseOperationRefuses(t *testing.T) {
	text := func(name string) string {
		t.Helper()
		for _, tt := range operationTests {
			if tt.name == name {
				return tt.text
			}
		}
		t.Fatalf("there is no operation %q", name)
		return ""
	}
	add, del, some, sampled := text("matchall"), text("delete"), text("rules"), text("sampling")
	tests := map[string]string{
		"empty":                             "",
		"other program":                     strings.Replace(add, "tc", "ip", 1),
		"redirect":                          strings.Replace(add, "egress mirror", "egress redirect", 1),
		"ingress mirror":                    strings.Replace(add, "mirred egress", "mirred ingress", 1),
		"other verdict":                     strings.Replace(add, "continue", "pipe", 1),
		"no verdict":                        strings.Replace(add, " continue", "", 1),
		"no cookie":                         add[:strings.Index(add, " cookie")],
		"short cookie":                      add[:len(add)-2],
		"other classifier":                  strings.Replace(add, "matchall", "flower", 1),
		"a selector of its own":             strings.Replace(text("u32 and names that need quotes"), "match u32 0 0", "match u32 1 1", 1),
		"one protocol only":                 strings.Replace(add, "protocol all", "protocol ip", 1),
		"priority too large":                strings.Replace(add, "21328", "65536", 1),
		"qdisc deleted":                     "tc qdisc del dev r0 clsact",
		"qdisc replaced":                    "tc qdisc replace dev r0 clsact",
		"filter replaced":                   strings.Replace(add, "filter add", "filter replace", 1),
		"delete without handle":             strings.Replace(del, " handle 0x1", "", 1),
		"delete of handle 0":                strings.Replace(del, "0x1", "0x0", 1),
		"delete without cookie":             del[:strings.Index(del, " #")],
		"something behind":                  add + " index 1",
		"second command":                    add + "; reboot",
		"open quote":                        "tc qdisc add dev 'r0 clsact",
		"other spelling":                    strings.Replace(add, "dev r0", "dev 'r0'", 1),
		"program of nobody":                 strings.Replace(some, vlan100Text, "1,6 0 0 0", 1),
		"program with another verdict":      strings.Replace(some, ",6 0 0 4294967295", ",6 0 0 1", 1),
		"program without its length":        strings.Replace(some, vlan100Text, vlan100Text[strings.Index(vlan100Text, ",")+1:], 1),
		"program with a wrong length":       strings.Replace(some, vlan100Text, "9"+vlan100Text, 1),
		"instruction of three numbers":      strings.Replace(some, ",6 0 0 0", ",6 0 0", 1),
		"instruction too large":             strings.Replace(some, ",6 0 0 0", ",65536 0 0 0", 1),
		"program behind another classifier": strings.Replace(add, "matchall", "matchall bytecode '"+vlan100Text+"'", 1),
		"comment about other rules":         strings.Replace(some, "# include VLAN 100", "# include VLAN 101", 1),
		"no comment about rules":            strings.Replace(some, " # include VLAN 100; else exclude", "", 1),
		"comment about no rules":            add + " # include VLAN 100; else exclude",
		"one in one":                        strings.Replace(sampled, "pipe 10 ", "pipe 1 ", 1),
		"one in none":                       strings.Replace(sampled, "pipe 10 ", "pipe 0 ", 1),
		"sampling by random":                strings.Replace(sampled, "determ", "netrand", 1),
		"sampling that drops":               strings.Replace(sampled, "gact continue", "gact drop", 1),
		"sampling that ends classification": strings.Replace(sampled, "pipe 10", "pass 10", 1),
		"sampling with another cookie":      strings.Replace(sampled, testCookie.String(), strings.Repeat("0", 32), 1),
		"sampling without cookie":           strings.Replace(sampled, " cookie "+testCookie.String(), "", 1),
		"sampling twice":                    strings.Replace(sampled, "action gact", "action gact continue random determ pipe 10 cookie "+testCookie.String()+" action gact", 1),
		"backslash at the end":              "tc qdisc add dev r0 clsact\\",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if o, err := parseOperation(text); err == nil {
				t.Errorf("%q was read as %+v", text, o)
			}
		})
	}
}

func FuzzParseOperation(f *testing.F) {
	for _, tt := range slices.Concat(operationTests, programOperationTests) {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOperation(s)
		if err != nil {
			return
		}
		if o.String() != s {
			t.Errorf("%q was accepted but is written %q", s, o)
		}
		if o.Verb == delFilter && o.Handle == 0 {
			t.Errorf("%q deletes more than one filter", s)
		}
	})
}

func TestMark(t *testing.T) {
	m := mark{session: hashOf("host1", "sp-web"), hook: tcnl.Egress}
	c := m.cookie()
	if got, ok := parseMark(c[:]); !ok || got != m {
		t.Errorf("parseMark(%s) = %v, %v", c, got, ok)
	}
	if hashOf("host1", "sp-web") == hashOf("host2", "sp-web") {
		t.Error("two devices have the same mark")
	}
	// SHA-256("host1/sp-web"), checked with sha256sum: marks in a kernel must be
	// recognised by every later version.
	if got, want := c.String(), "53504e01"+"14c5898e2ef936af"+"456d0000"; got != want {
		t.Errorf("cookie %s, want %s", got, want)
	}
	for name, change := range map[string]func([]byte) []byte{
		"length":   func(b []byte) []byte { return b[:15] },
		"magic":    func(b []byte) []byte { b[0] = 'X'; return b },
		"version":  func(b []byte) []byte { b[3] = 2; return b },
		"hook":     func(b []byte) []byte { b[12] = 'x'; return b },
		"role":     func(b []byte) []byte { b[13] = 'g'; return b },
		"reserved": func(b []byte) []byte { b[15] = 1; return b },
	} {
		c := m.cookie()
		if _, ok := parseMark(change(c[:])); ok {
			t.Errorf("a cookie with another %s is taken for ours", name)
		}
	}
}

func TestUnknownName(t *testing.T) {
	h := hashOf("host1", "sp-web")
	if got := hashOf("host1", h.name()); got != h {
		t.Errorf("%s leads to %x, want %x", h.name(), got, h)
	}
	for _, name := range []string{"cookie:", "cookie:00", "cookie:zz6aef16b0a3b7c1", "sp-web"} {
		if _, ok := unknownHash(name); ok {
			t.Errorf("%q is taken for a hash", name)
		}
	}
}
