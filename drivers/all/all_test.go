package all

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
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

// paper is a platform that has claims and nothing else.
type paper struct {
	drivers.Planner
	claims map[models.Feature]models.Claim
}

func (p paper) Capabilities() models.Capabilities { return models.Capabilities{Claims: p.claims} }

func TestSupportTableText(t *testing.T) {
	yes := models.Claim{Support: models.Yes, Evidence: models.EvidenceLab}
	limited := models.Claim{Support: models.Yes, Limit: 4, Evidence: models.EvidenceManual}
	emulated := models.Claim{Support: models.Emulated, Why: "by hand"}
	text := SupportTable([]Planned{
		{"a", "OS A", paper{claims: map[models.Feature]models.Claim{models.FeatureSPAN: yes, models.FeatureSessions: limited, models.FeatureRx: emulated}}},
		{"b", "OS | B", paper{claims: map[models.Feature]models.Claim{models.FeatureGRE: {Why: "old"}, models.FeatureVXLAN: {Why: "old"}, models.FeatureTx: yes}}},
	})
	for _, want := range []string{
		"| | OS A | OS \\| B |\n|---|---|---|\n",
		"\n| span | yes (*lab*) | – |\n",
		"\n| rx | emulated | – |\n",
		"\n| tx | – | yes (*lab*) |\n",
		"\n| sessions | yes, up to 4 (*manual*) | – |\n",
		"\nOS A cannot, or with a limit:\n\n- rx: by hand\n",
		"\nOS | B cannot, or with a limit:\n\n- gre, vxlan: old\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the table:\n%s", want, text)
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
