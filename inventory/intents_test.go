package inventory

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/models"
)

func TestLoadIntents(t *testing.T) {
	file := testdata(t, "intents", "all.yml")
	got, err := LoadIntents([]string{file}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := models.Intent{
		APIVersion: "spanctl/v1", Kind: "Mirror", Origin: models.Origin{File: file, Line: 1},
		Metadata: models.Metadata{Name: "ids-dmz", Owner: "secops", Reason: "CHG-1234"},
		Spec: models.Spec{
			Sources: []models.SourceSpec{
				{Device: "leaf1", Interfaces: []string{"Ethernet1", "Ethernet5-8"}, Direction: models.Both},
				{Select: map[string]string{"role": "leaf", "site": "lab"}, VLANs: []models.Range{{First: 100, Last: 110}, {First: 120, Last: 120}}, Direction: models.Rx},
			},
			Filter: []models.RuleSpec{
				{Exclude: &models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("10.9.0.0/16")}}},
				{Include: &models.Match{Proto: "tcp", Dst: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, Dport: []models.Range{{First: 80, Last: 80}, {First: 443, Last: 443}, {First: 8000, Last: 8080}}}},
			},
			Destination: models.DestinationSpec{Sensor: "ids1"},
			Truncate:    128, Sample: 1000, Expires: models.Expiry{After: 2 * time.Hour},
		},
	}
	if d := cmp.Diff(want, got[0], cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("first intent (-want +got):\n%s", d)
	}
	var names []string
	var lines []int
	for _, in := range got {
		names, lines = append(names, in.Metadata.Name), append(lines, in.Origin.Line)
	}
	if d := cmp.Diff([]string{"ids-dmz", "span", "rspan", "erspan", "gre", "vxlan"}, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{1, 24, 32, 40, 48, 56}, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

func TestIntentFindings(t *testing.T) {
	const head = "apiVersion: spanctl/v1\nkind: Mirror\n"
	const good = head + "metadata: {name: a}\nspec:\n  sources: [{device: d, interfaces: [Et1], direction: rx}]\n  destination: {sensor: s}\n  expires: 1h\n"
	tests := []struct {
		name, give string
		want       []string
	}{
		{"empty", "", []string{"FILE: has no mirror in it"}},
		{"only dashes", "---\n---\n", []string{"FILE: has no mirror in it"}},
		{"inventory", "apiVersion: spanctl/v1\nkind: Inventory\n", []string{`FILE:2:7: kind: want Mirror here, got "Inventory"`}},
		{"wrong version", strings.Replace(good, "spanctl/v1", "spanctl/v2", 1), []string{`FILE:1:13: intent a: apiVersion: want spanctl/v1, got "spanctl/v2"; did you mean "spanctl/v1"?`}},
		{"wrong kind", strings.Replace(good, "Mirror", "Mirorr", 1), []string{`FILE:2:7: intent a: kind: want Mirror, got "Mirorr"; did you mean "Mirror"?`}},
		{"same name", good + "---\n" + good, []string{`FILE:11:18: metadata.name: "a" is the name of the intent at FILE:3:18 already`}},
		{"all of one document", head + `metadata: {name: A_b, ownr: me}
spec:
  source: []
  sources:
    - {device: d, select: {a: b}, interfaces: [Et1, ""], direction: up}
    - {device: d, direction: rx}
  filter:
    - include: {proto: tpc, dport: [80-70], src: 10.0.0.1/8}
      exclude: {}
  destination:
    remoteVlan: {vlan: 5000, interface: {device: c}}
    sensor: s
  truncate: 70000
  expires: soon
`, []string{
			`FILE:3:18: intent A_b: metadata.name: "A_b" does not match ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`,
			`FILE:3:23: intent A_b: metadata.ownr: unknown key; did you mean "owner"?`,
			`FILE:5:3: intent A_b: spec.source: unknown key; did you mean "sources"?`,
			`FILE:7:69: intent A_b: spec.sources[0].direction: direction "up": want rx, tx, both`,
			`FILE:7:53: intent A_b: spec.sources[0].interfaces[1]: is empty…`,
			`FILE:8:7: intent A_b: spec.sources[1]: names nothing to copy…`,
			`FILE:10:37: intent A_b: spec.filter[0].include.dport[0]: range "80-70": ends before it begins`,
			`FILE:10:50: intent A_b: spec.filter[0].include.src: prefix "10.0.0.1/8": has bits set behind its length; did you mean 10.0.0.0/8?`,
			`FILE:13:24: intent A_b: spec.destination.remoteVlan.vlan: 5000 is more than 4094`,
			`FILE:13:41: intent A_b: spec.destination.remoteVlan.interface.name: is missing`,
			`FILE:15:13: intent A_b: spec.truncate: 70000 is more than 65535`,
			`FILE:16:12: intent A_b: spec.expires: expiry "soon": want never, a duration such as 2h or 7d, or a time such as 2026-01-31T18:00:00Z`,
		}},
		{"nothing in it", head, []string{"FILE:1:1: metadata: is missing", "FILE:1:1: spec: is missing"}},
		{"no expiry", strings.Replace(good, "  expires: 1h\n", "", 1), []string{"FILE:5:3: intent a: spec.expires: is missing"}},
		{"two destinations", strings.Replace(good, "{sensor: s}", "{sensor: s, gre: {address: 192.0.2.1}}", 1), []string{
			"FILE:6:16: intent a: spec.destination: has 2 destinations…"}},
		{"nested beyond measure", "a: " + strings.Repeat("[", 10001), []string{"FILE:1:1: not YAML: exceeded max depth of 10000"}},
		{"not YAML in the second document", good + "---\na: [\n", []string{"FILE:9:4: not YAML: sequence end token ']' not found"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, "i.yml", tt.give)
			_, err := LoadIntents([]string{file}, Options{})
			if d := cmp.Diff(tt.want, shorten(lines(t, err, file), tt.want), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// shorten cuts lines that begin as a wanted one that ends in "…": words that
// models chooses.
func shorten(got, want []string) []string {
	for i, g := range got {
		for _, w := range want {
			if p, ok := strings.CutSuffix(w, "…"); ok && strings.HasPrefix(g, p) {
				got[i] = w
			}
		}
	}
	return got
}

func TestIntentsOfDirectory(t *testing.T) {
	dir := t.TempDir()
	intent := func(name string) string {
		return "apiVersion: spanctl/v1\nkind: Mirror\nmetadata: {name: " + name + "}\nspec: {sources: [{device: d, vlans: [1], direction: rx}], destination: {sensor: s}, expires: 1h}\n"
	}
	for name, text := range map[string]string{
		"b.yml": intent("b"), "a.yaml": intent("a") + "---\n" + intent("c"), "inventory.yml": "apiVersion: spanctl/v1\nkind: Inventory\n",
		"l.clab.yml": "name: l\ntopology: {}\n", "README.md": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadIntents([]string{dir, "-"}, Options{Stdin: strings.NewReader(intent("d"))})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, in := range got {
		names = append(names, in.Metadata.Name)
	}
	if d := cmp.Diff([]string{"a", "c", "b", "d"}, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if o := got[3].Origin.String(); o != "-:1" {
		t.Errorf("origin of standard input: got %q", o)
	}
	other := write(t, "x.yml", intent("b"))
	_, err = LoadIntents([]string{dir, other}, Options{})
	if err == nil || !strings.Contains(err.Error(), other+":3:18: ") || !strings.Contains(err.Error(), filepath.Join(dir, "b.yml")+":3:18 already") {
		t.Errorf("name in two files: got error %v, want both places", err)
	}
}

func FuzzIntents(f *testing.F) {
	text, err := os.ReadFile(testdata(f, "intents", "all.yml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("apiVersion: spanctl/v1\nkind: Mirror\nmetadata: &m {name: *m}\n")
	f.Add("a: &a [*a, *a]\nb: {<<: *a}\n")
	f.Add("? [x]\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		intents, err := LoadIntents([]string{"-"}, Options{Stdin: strings.NewReader(text)})
		if err == nil && len(intents) == 0 && strings.Contains(text, "kind: Mirror") && !strings.Contains(text, "#") {
			t.Log("nothing was read") // for instance only other documents
		}
		for _, f := range asFindings(t, err) {
			if f.Message == "" || f.Rule == "" {
				t.Errorf("finding without words: %+v", f)
			}
		}
		for _, in := range intents {
			if v := in.Validate().Err(); v != nil {
				t.Errorf("an intent was given out that is not valid: %v", v)
			}
		}
	})
}
