package drivertest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files instead of comparing with them")

// Update reports whether files are to be rewritten; for tests that keep other
// generated text.
func Update() bool { return *update }

// GoldenCase is an intent and, where it was applied before in another form, that
// form.
type GoldenCase struct {
	Intent models.Intent
	Before *models.Intent
}

// GoldenSite is where the intents of golden files belong: devices of one platform.
type GoldenSite struct {
	Network *models.Network
	Names   plan.PortNames
	Planner drivers.Planner
	// Stranger is on every device: a session that no plan may touch. Device is left
	// open.
	Stranger models.Session
}

// Golden compares what a platform makes of each intent with DIR/NAME.txtar, or
// writes that file with -update. A file has the sections have, changes, script and
// undo, or refused; and notes where there is something to say. A file without an
// intent is an error.
func Golden(t *testing.T, dir string, site GoldenSite, cases []GoldenCase) {
	known := make(map[string]bool)
	for _, c := range cases {
		file := c.Intent.Metadata.Name + ".txtar"
		known[file] = true
		t.Run(c.Intent.Metadata.Name, func(t *testing.T) {
			got := site.sections(t, c)
			if again := site.sections(t, c); again != got {
				t.Fatalf("it comes out differently (-first +then):\n%s", gocmp.Diff(got, again))
			}
			path := filepath.Join(dir, file)
			if *update {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (write it with -update, and read it)", err)
			}
			if d := gocmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (-file +now; rewrite it with -update):\n%s", file, d)
			}
		})
	}
	have, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if !known[filepath.Base(path)] {
			t.Errorf("%s belongs to no intent", path)
		}
	}
}

// archive writes sections in the txtar format.
type archive struct{ strings.Builder }

func (a *archive) section(name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(a, "-- %s --\n%s\n", name, strings.Join(lines, "\n"))
}

// sections gives the text of the golden file of c.
func (g GoldenSite) sections(t testing.TB, c GoldenCase) string {
	t.Helper()
	var out archive
	states := make(map[models.DeviceID]models.DeviceState)
	var records []models.Record
	for _, d := range g.Network.Devices {
		s := g.Stranger
		s.Device = d.ID
		states[d.ID] = models.DeviceState{Device: d.ID, Sessions: []models.Session{s}}
	}
	if c.Before != nil {
		before, _, found := g.resolve(*c.Before, states, nil)
		if len(found) > 0 {
			// What cannot be said now could not be said before either.
			out.section("refused", append([]string{"as it was before:"}, found...))
			return out.String()
		}
		for _, s := range before {
			records = append(records, models.Record{Session: s, Intent: s.Intent})
			st := states[s.Device]
			st.Sessions = append(slices.Clone(st.Sessions), s)
			states[s.Device] = st
		}
	}
	for dev, st := range states {
		states[dev] = plan.MarkOwned(st, records)
	}
	want, notes, found := g.resolve(c.Intent, states, records)
	out.section("notes", notes)
	if len(found) > 0 {
		out.section("refused", found)
		return out.String()
	}

	var have []string
	var sets []models.ChangeSet
	for _, d := range g.Network.Devices {
		var mine []models.Session
		for _, s := range want {
			if s.Device == d.ID {
				mine = append(mine, s)
			}
		}
		cs := plan.Diff(mine, states[d.ID], g.Planner.Capabilities().Grain, func(i string) bool { return i == c.Intent.Metadata.Name })
		if cs.Empty() {
			continue
		}
		sets = append(sets, cs)
		for _, s := range states[d.ID].Sessions {
			have = append(have, fmt.Sprintf("%s: %s", d.ID, sessionTitle(s)))
			have = append(have, describe(s)...)
		}
	}
	out.section("have", have)

	var changes, script, undo []string
	for _, group := range plan.Order(sets) {
		for i, wave := range group.Waves {
			for _, cs := range wave {
				for _, ch := range cs.Changes {
					changes = append(changes, fmt.Sprintf("%s, wave %d: %s %s", cs.Device, i+1, ch.Op, sessionTitle(*ch.Session())))
					changes = append(changes, describeChange(ch)...)
				}
				script = append(script, g.script(t, cs, drivers.RenderOptions{Tag: "golden", Within: 10 * time.Minute})...)
			}
		}
		for _, wave := range slices.Backward(group.Waves) {
			for _, cs := range slices.Backward(wave) {
				undo = append(undo, g.script(t, cs.Reverse(), drivers.RenderOptions{Tag: "golden-undo"})...)
			}
		}
	}
	out.section("changes", changes)
	out.section("script", script)
	out.section("undo", undo)
	return out.String()
}

// resolve plans one intent up to its sessions. found is what refuses it.
func (g GoldenSite) resolve(in models.Intent, states map[models.DeviceID]models.DeviceState, records []models.Record) (sessions []models.Session, notes, found []string) {
	in.Origin = models.Origin{} // files move
	intents := []models.Intent{in}
	platforms := func(models.DeviceID) plan.Platform { return g.Planner }
	none := func(string) bool { return false }
	r, fs := plan.Resolve(g.Network, platforms, g.Names, intents)
	sessions = r.Sessions
	if fs.Err() == nil {
		fs = append(fs, plan.Check(g.Network, platforms, intents, sessions, plan.Policy{}, time.Time{})...)
	}
	if fs.Err() == nil {
		var more models.Findings
		sessions, more = plan.Allocate(g.Network, platforms, intents, sessions, states, records)
		fs = append(fs, more...)
		fs = append(fs, plan.CheckState(g.Network, platforms, intents, sessions, states, none, plan.Policy{})...)
	}
	for _, n := range r.Notes {
		notes = append(notes, fmt.Sprintf("%s: %s", n.Device, n.Text))
	}
	for _, f := range fs {
		if f.Warning {
			notes = append(notes, "warning: "+f.String())
		} else {
			found = append(found, f.String())
		}
	}
	return sessions, notes, found
}

// script gives the lines for one device, and those that end its timer.
func (g GoldenSite) script(t testing.TB, cs models.ChangeSet, o drivers.RenderOptions) []string {
	t.Helper()
	sc, err := g.Planner.Render(cs, o)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	var out []string
	part := func(what string, steps []transport.Step) {
		if len(steps) == 0 {
			return
		}
		out = append(out, fmt.Sprintf("# %s%s", cs.Device, what))
		for _, s := range steps {
			out = append(out, s.Redacted())
		}
	}
	part("", sc.Steps)
	part(", to confirm", sc.Confirm)
	part(", to cancel", sc.Cancel)
	part(", where sessions cannot be brought back", sc.Restore)
	return out
}

func describeChange(ch models.Change) []string {
	if ch.Op != models.Update {
		return describe(*ch.Session())
	}
	var out []string
	for _, d := range plan.Differences(*ch.After, *ch.Before) {
		out = append(out, "  "+d)
	}
	return out
}

func sessionTitle(s models.Session) string {
	return fmt.Sprintf("%s session %s", s.Role, name(s))
}

func describe(s models.Session) []string {
	s = s.Normalize()
	var out []string
	add := func(text string) { out = append(out, "  "+text) }
	for _, src := range s.Sources {
		add("source " + plan.SourceText(src))
	}
	add("destination " + plan.DestinationText(s.Destination))
	if f := plan.FilterText(s.Filter); f != "" {
		add("filter " + f)
	}
	if s.TruncateTo > 0 {
		add(fmt.Sprintf("truncate %d", s.TruncateTo))
	}
	if s.SampleOneIn > 1 {
		add(fmt.Sprintf("sample %d", s.SampleOneIn))
	}
	for _, l := range s.Extra {
		add("line " + l)
	}
	return out
}
