package arch

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/spanctl/spanctl"

// rule says what the packages that match pkg may import. Patterns: "a/b" is that
// package alone, "a/*" one below a, "a/..." a and everything below it.
type rule struct {
	pkg   string
	own   []string // packages of this module
	third []string // prefixes of third-party import paths; "*" = any
	tests []string // as third, in tests only: what reads fixtures, or checks independently
	help  bool     // helps tests: may use test libraries; only tests may import it
}

// rules is the table; the first rule that matches a package counts. A package that
// none matches is a finding, so that nothing grows outside of the table.
var rules = []rule{
	{pkg: "models"},
	{pkg: "models/plan", own: []string{"models"}},
	{pkg: "inventory/...", own: []string{"models", "inventory/..."}, third: []string{
		"go.yaml.in/yaml", "github.com/goccy/go-yaml", // YAML decoders
		"github.com/a8m/envsubst",       // ${VAR} in containerlab topologies
		"github.com/zalando/go-keyring", // credential references
		"github.com/invopop/jsonschema", // the published schema
	}, tests: []string{"github.com/santhosh-tekuri/jsonschema"}},

	{pkg: "drivers", own: []string{"models", "models/plan", "drivers/transport"}},
	{pkg: "drivers/all", own: []string{"models", "drivers", "drivers/transport", "drivers/*", "hostmirror"}},
	{pkg: "drivers/drivertest/...", own: []string{"models", "models/plan", "drivers", "drivers/transport"}, help: true},
	{pkg: "drivers/transport"},
	{pkg: "drivers/transport/ssh/...", own: []string{"drivers/transport"}, third: []string{
		"github.com/scrapli/scrapligo", "golang.org/x/crypto", "golang.org/x/sync",
	}},
	{pkg: "drivers/transport/gnmi/...", own: []string{"drivers/transport"}, third: []string{
		"github.com/openconfig/gnmi", "google.golang.org",
	}},
	{pkg: "drivers/transport/snmp/...", own: []string{"drivers/transport"}, third: []string{"github.com/gosnmp/gosnmp"}},
	{pkg: "drivers/transport/*", own: []string{"drivers/transport"}, third: []string{"golang.org/x/crypto", "golang.org/x/sync"}},
	{pkg: "drivers/peers/...", own: []string{"drivers/peers/..."}, third: []string{
		"github.com/gliderlabs/ssh", "github.com/anmitsu/go-shlex", "golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/term",
		"github.com/gopacket/gopacket", "github.com/openconfig/gnmi", "google.golang.org", "github.com/gosnmp/gosnmp",
	}},
	{pkg: "drivers/*/oc/...", third: []string{"github.com/openconfig/ygot", "github.com/openconfig/goyang"}},
	{pkg: "drivers/*", own: []string{"models", "drivers", "drivers/transport", "drivers/*/oc/..."}, third: []string{"github.com/openconfig/ygot"},
		tests: []string{"go.yaml.in/yaml"}},

	{pkg: "hostmirror/internal/kerneltest/...", own: []string{"hostmirror/...", "internal/require"}, help: true,
		third: []string{"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "golang.org/x/sys"}},
	{pkg: "hostmirror/capture", third: []string{"github.com/gopacket/gopacket", "github.com/vishvananda/netns", "golang.org/x/sys"},
		tests: []string{"github.com/vishvananda/netlink"}},
	{pkg: "hostmirror/...", own: []string{"models", "models/plan", "drivers", "drivers/transport", "hostmirror/..."}, third: []string{
		"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "golang.org/x/sys", "github.com/cilium/ebpf",
	}, tests: []string{"golang.org/x/crypto"}}, // keys for an SSH server

	// Checkpoints carry scripts, and errors kinds, that transport defines.
	{pkg: "internal/store/storetest", own: []string{"models", "drivers", "drivers/transport", "internal/store"}, help: true},
	{pkg: "internal/store/...", own: []string{"models", "drivers", "drivers/transport", "internal/store/..."}, third: []string{"modernc.org/sqlite", "golang.org/x/sys"}},
	{pkg: "internal/engine/...", own: []string{"models", "models/plan", "drivers", "drivers/transport", "internal/store", "internal/engine/..."}, third: []string{
		"golang.org/x/sync", "github.com/cenkalti/backoff",
	}},
	{pkg: "internal/hostkeep", own: []string{"models", "models/plan", "internal/store"}},
	{pkg: "internal/require", help: true},
	{pkg: "internal/arch", own: []string{"internal/require"}},

	{pkg: "cmd/spanctl/...", third: []string{"*"}, own: []string{
		"models", "models/plan", "inventory/...", "drivers", "drivers/all", "drivers/*", "drivers/transport", "drivers/transport/...",
		"hostmirror", "hostmirror/...", "internal/engine/...", "internal/hostkeep", "internal/store/...", "cmd/spanctl/...",
	}},
	{pkg: "cmd/spanlab/...", third: []string{"*"}, own: []string{"models", "inventory/...", "drivers/peers/...", "cmd/spanlab/..."}},
}

// topFolders are the folders of the project's root that may be there, beside those
// whose names begin with a dot.
var topFolders = []string{"cmd", "drivers", "hostmirror", "internal", "inventory", "models", "testdata"}

// buildFolders are made by the build and kept out of git; no Go file may be in them.
var buildFolders = []string{"bin"}

// badNames say nothing of what a package is for.
var badNames = []string{"pkg", "util", "utils", "common", "types", "helpers", "misc"}

// testLibraries are third-party packages that only tests and their helpers may
// import.
var testLibraries = []string{
	"github.com/google/go-cmp", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal", "honnef.co/go/tools",
}

// testStandard are the parts of the standard library for tests.
var testStandard = []string{"testing", "net/http/httptest"}

// check gives what in the Go files of fsys breaks the rules, sorted, and the number
// of files that it has seen.
func check(fsys fs.FS) (found []string, files int, err error) {
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return folder(name, bad)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		files++
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		r, ok := ruleOf(pkg)
		if !ok {
			bad("%s: package %s is not in the table of import rules: add a line for it", name, pkg)
			return nil
		}
		for _, imp := range f.Imports {
			target, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if why := refuse(r, pkg, target, strings.HasSuffix(name, "_test.go")); why != "" {
				bad("%s: imports %s: %s", name, target, why)
			}
		}
		return nil
	})
	slices.Sort(found)
	return slices.Compact(found), files, err
}

// folder looks at the name of a folder, and skips those that hold no packages.
func folder(name string, bad func(string, ...any)) error {
	base := path.Base(name)
	switch {
	case name == ".":
		return nil
	case strings.HasPrefix(base, ".") || base == "testdata":
		return fs.SkipDir
	case !strings.Contains(name, "/") && slices.Contains(buildFolders, name):
		return nil
	case !strings.Contains(name, "/") && !slices.Contains(topFolders, name):
		bad("%s: is no folder of the project's root; the layout has %s", name, strings.Join(topFolders, ", "))
		return fs.SkipDir
	case slices.Contains(badNames, base):
		bad("%s: the name says nothing of what the package is for", name)
	}
	return nil
}

// refuse says why pkg, under r, may not import target; "" when it may.
func refuse(r rule, pkg, target string, isTest bool) string {
	own, isOwn := strings.CutPrefix(target, module+"/")
	switch {
	case isOwn && own == pkg:
		return "" // an external test of the package itself
	case isOwn && matchAny(r.own, own):
		return refuseHelp(r, own, isTest)
	case isOwn && isTest && !matches("cmd/...", own):
		return "" // a test may look at everything but commands
	case isOwn:
		return fmt.Sprintf("%s may import %s", r.pkg, cmp.Or(strings.Join(r.own, ", "), "nothing of this module"))
	case under(testStandard, target) || under(testLibraries, target):
		if isTest || r.help {
			return ""
		}
		return "is for tests only"
	case !strings.Contains(firstElement(target), "."):
		return "" // the standard library
	case slices.Contains(r.third, "*") || under(r.third, target) || isTest && under(r.tests, target):
		return ""
	default:
		return fmt.Sprintf("%s may use %s", r.pkg, cmp.Or(strings.Join(r.third, ", "), "no third-party library"))
	}
}

// refuseHelp keeps packages that help tests out of the program.
func refuseHelp(r rule, own string, isTest bool) string {
	if to, ok := ruleOf(own); ok && to.help && !r.help && !isTest {
		return "helps tests; only tests may import it"
	}
	return ""
}

func ruleOf(pkg string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

func matchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// matches reports whether pkg matches a pattern of a rule.
func matches(pattern, pkg string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(pkg, "/")
	for i, w := range want {
		switch {
		case w == "...":
			return true
		case i >= len(have) || w != "*" && w != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}

// under reports whether target is one of prefixes or below one.
func under(prefixes []string, target string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return target == p || strings.HasPrefix(target, p+"/") })
}

func firstElement(target string) string {
	first, _, _ := strings.Cut(target, "/")
	return first
}
