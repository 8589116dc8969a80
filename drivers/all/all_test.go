package all

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

func TestPlatforms(t *testing.T) {
	r, err := Registry()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range Platforms() {
		keys = append(keys, p.Key)
		if key, ok := inventory.PlatformKey(p.Key); !ok || key != p.Key {
			t.Errorf("the inventory does not know %q", p.Key)
		}
		if p.Name == "" || len(p.Transports) == 0 {
			t.Errorf("%q has no name or no transport", p.Key)
		}
		if got := p.Dialect().Capabilities().Platform; got != p.Key {
			t.Errorf("%q claims things for %q", p.Key, got)
		}
	}
	if d := cmp.Diff(r.Keys(), keys); d != "" {
		t.Errorf("the list is not sorted (-sorted +list):\n%s", d)
	}
}

// TestClaims: every refusal has a reason, every claim evidence and a source, and
// nothing is claimed that the table does not show.
func TestClaims(t *testing.T) {
	for _, p := range Planners() {
		caps := p.Planner.Capabilities()
		for f, c := range caps.Claims {
			if !slices.Contains(models.Features(), f) {
				t.Errorf("%s claims %q, which is no feature", p.Key, f)
			}
			if c.Support != models.No && f != models.FeatureSessions && (c.Evidence == models.EvidenceUnknown || c.Source == "") {
				t.Errorf("%s: %s is claimed without evidence or source", p.Key, f)
			}
		}
		for _, f := range models.Features() {
			if c := caps.Of(f); c.Support == models.No && c.Why == "" {
				t.Errorf("%s: %s is refused without a reason", p.Key, f)
			}
		}
	}
}

const (
	tableBegin = "<!-- support:begin -->\n"
	tableEnd   = "<!-- support:end -->"
)

// TestSupportTable compares the table in README.md with what is claimed; -update
// writes it.
func TestSupportTable(t *testing.T) {
	path := filepath.Join(require.ProjectRoot(t), "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	old, after, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		t.Fatalf("README.md has no lines %q and %q", strings.TrimSpace(tableBegin), tableEnd)
	}
	want := SupportTable(Planners())
	if drivertest.Update() {
		if err := os.WriteFile(path, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, old); d != "" {
		t.Errorf("the table is not what is claimed; run go generate ./drivers/all (-claimed +README):\n%s", d)
	}
}
