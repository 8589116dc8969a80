package arch

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/internal/require"
)

// TestImports keeps the table true for the project as it is.
func TestImports(t *testing.T) {
	found, files, err := check(os.DirFS(require.ProjectRoot(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
	if files < 20 {
		t.Errorf("looked at %d files only: a walk that sees nothing finds nothing", files)
	}
}

// TestWrongImports is the test of the test: each tree breaks one rule, or none.
func TestWrongImports(t *testing.T) {
	const own = module + "/"
	tests := []struct {
		name, file string
		imports    []string
		want       string // part of the only finding; "" = none
	}{
		{"standard library", "models/a.go", []string{"fmt", "net/netip"}, ""},
		{"plan uses models", "models/plan/a.go", []string{own + "models"}, ""},
		{"models uses plan", "models/a.go", []string{own + "models/plan"}, "models may import nothing of this module"},
		{"models uses a library", "models/a.go", []string{"go.yaml.in/yaml/v3"}, "models may use no third-party library"},
		{"models test uses a library", "models/a_test.go", []string{"go.yaml.in/yaml/v3"}, "models may use no third-party library"},
		{"plan uses drivers", "models/plan/a.go", []string{own + "drivers"}, "models/plan may import models"},
		{"inventory uses YAML", "inventory/a.go", []string{"go.yaml.in/yaml/v4", own + "models"}, ""},
		{"engine uses YAML", "internal/engine/a.go", []string{"go.yaml.in/yaml/v4"}, "internal/engine/... may use"},
		{"inventory uses plan", "inventory/a.go", []string{own + "models/plan"}, "inventory/... may import"},
		{"inventory uses a prefix of a name", "inventory/a.go", []string{"go.yaml.in/yamlish"}, "inventory/... may use"},
		{"drivers use an OS", "drivers/a.go", []string{own + "drivers/eos"}, "drivers may import"},
		{"drivers use the engine", "drivers/a.go", []string{own + "internal/engine"}, "drivers may import"},
		{"an OS uses plan", "drivers/eos/a.go", []string{own + "models/plan"}, "drivers/* may import"},
		{"an OS uses another", "drivers/eos/a.go", []string{own + "drivers/nxos"}, "drivers/* may import"},
		{"an OS uses a transport's library", "drivers/eos/a.go", []string{own + "drivers/transport/ssh"}, "drivers/* may import"},
		{"an OS uses scrapligo", "drivers/eos/a.go", []string{"github.com/scrapli/scrapligo/driver/generic"}, "drivers/* may use"},
		{"an OS uses a peer", "drivers/eos/a.go", []string{own + "drivers/peers/eos"}, "drivers/* may import"},
		{"a test of an OS uses a peer", "drivers/eos/a_test.go", []string{own + "drivers/peers/eos", own + "drivers/drivertest"}, ""},
		{"a test of an OS reads YAML", "drivers/eos/a_test.go", []string{"go.yaml.in/yaml/v3"}, ""},
		{"an OS reads YAML", "drivers/eos/a.go", []string{"go.yaml.in/yaml/v3"}, "drivers/* may use"},
		{"all uses an OS", "drivers/all/a.go", []string{own + "drivers/eos", own + "drivers"}, ""},
		{"all uses the test suite", "drivers/all/a.go", []string{own + "drivers/drivertest"}, "only tests may import it"},
		{"ssh uses scrapligo", "drivers/transport/ssh/a.go", []string{"github.com/scrapli/scrapligo/transport"}, ""},
		{"netconf uses scrapligo", "drivers/transport/netconf/a.go", []string{"github.com/scrapli/scrapligo"}, "may use"},
		{"transport uses ssh", "drivers/transport/a.go", []string{own + "drivers/transport/ssh"}, "drivers/transport may import nothing"},
		{"ssh uses models", "drivers/transport/ssh/a.go", []string{own + "models"}, "may import drivers/transport"},
		{"ssh uses SNMP", "drivers/transport/ssh/a.go", []string{"github.com/gosnmp/gosnmp"}, "may use"},
		{"a peer uses a peer", "drivers/peers/eos/a.go", []string{own + "drivers/peers/fabric"}, ""},
		{"a peer uses models", "drivers/peers/eos/a.go", []string{own + "models"}, "drivers/peers/... may import drivers/peers/..."},
		{"a test of a peer uses a driver", "drivers/peers/eos/a_test.go", []string{own + "drivers/eos", own + "internal/require"}, ""},
		{"hostmirror uses netlink", "hostmirror/a_linux.go", []string{"github.com/vishvananda/netlink/nl", own + "models/plan"}, ""},
		{"engine uses netlink", "internal/engine/a.go", []string{"github.com/vishvananda/netlink"}, "may use"},
		{"hostmirror uses scrapligo", "hostmirror/a.go", []string{"github.com/scrapli/scrapligo"}, "may use"},
		{"engine uses store", "internal/engine/a.go", []string{own + "internal/store"}, ""},
		{"engine uses the inventory", "internal/engine/a.go", []string{own + "inventory"}, "may import"},
		{"store uses engine", "internal/store/a.go", []string{own + "internal/engine"}, "may import"},
		{"engine uses cobra", "internal/engine/a.go", []string{"github.com/spf13/cobra"}, "may use"},
		{"inventory uses viper", "inventory/a.go", []string{"github.com/spf13/viper"}, "may use"},
		{"spanctl uses cobra", "cmd/spanctl/a.go", []string{"github.com/spf13/cobra", own + "internal/engine", own + "drivers/all"}, ""},
		{"spanctl uses a peer", "cmd/spanctl/a.go", []string{own + "drivers/peers/fabric"}, "cmd/spanctl/... may import"},
		{"spanctl uses the test suite", "cmd/spanctl/a.go", []string{own + "drivers/drivertest"}, "only tests may import it"},
		{"spanctl uses spanlab", "cmd/spanctl/a.go", []string{own + "cmd/spanlab"}, "may import"},
		{"a test uses a command", "internal/engine/a_test.go", []string{own + "cmd/spanctl"}, "may import"},
		{"spanlab uses a peer", "cmd/spanlab/a.go", []string{own + "drivers/peers/eos", own + "inventory"}, ""},
		{"spanlab uses a driver", "cmd/spanlab/a.go", []string{own + "drivers/eos"}, "cmd/spanlab/... may import"},
		{"code uses go-cmp", "models/a.go", []string{"github.com/google/go-cmp/cmp"}, "for tests only"},
		{"a command uses rapid", "cmd/spanctl/a.go", []string{"pgregory.net/rapid"}, "for tests only"},
		{"code uses testing", "drivers/eos/a.go", []string{"testing"}, "for tests only"},
		{"code uses testing's parts", "internal/store/a.go", []string{"testing/fstest"}, "for tests only"},
		{"code uses require", "drivers/eos/a.go", []string{own + "internal/require"}, "may import"},
		{"a test uses go-cmp", "models/a_test.go", []string{"github.com/google/go-cmp/cmp", "testing", own + "internal/require"}, ""},
		{"the test suite uses go-cmp", "drivers/drivertest/a.go", []string{"github.com/google/go-cmp/cmp", "testing"}, ""},
		{"an external test", "models/a_test.go", []string{own + "models"}, ""},
		{"a package outside of the table", "internal/report/a.go", nil, "is not in the table"},
		{"code in the root", "a.go", nil, "is not in the table"},
		{"a folder of the root", "pkg/a.go", nil, "pkg: is no folder of the project's root"},
		{"a name that says nothing", "hostmirror/utils/a.go", nil, "says nothing"},
		{"code in a build folder", "bin/a.go", nil, "is not in the table"},
		{"a dot folder", ".ci/tool/a.go", []string{"example.org/x"}, ""},
		{"test data", "testdata/a.go", []string{"example.org/x"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := check(tree(tt.file, tt.imports))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("found %q, want nothing", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("found %q, want one finding with %q", got, tt.want)
			}
		})
	}
}

func tree(file string, imports []string) fstest.MapFS {
	var b strings.Builder
	b.WriteString("package x\n")
	for _, i := range imports {
		b.WriteString("import _ \"" + i + "\"\n")
	}
	return fstest.MapFS{file: {Data: []byte(b.String())}}
}

// TestBadSource: a file that does not parse is an error, never a silent pass.
func TestBadSource(t *testing.T) {
	_, _, err := check(fstest.MapFS{"models/a.go": {Data: []byte("packag models")}})
	if err == nil {
		t.Error("no error for a file that does not parse")
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, pkg string
		want         bool
	}{
		{"a", "a", true}, {"a", "a/b", false}, {"a/b", "a", false},
		{"a/*", "a/b", true}, {"a/*", "a", false}, {"a/*", "a/b/c", false},
		{"a/...", "a", true}, {"a/...", "a/b/c", true}, {"a/...", "ab", false},
		{"a/*/oc/...", "a/b/oc", true}, {"a/*/oc/...", "a/b/oc/d", true}, {"a/*/oc/...", "a/b", false},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, matches(tt.pattern, tt.pkg)); d != "" {
			t.Errorf("matches(%q, %q) (-want +got):\n%s", tt.pattern, tt.pkg, d)
		}
	}
}
