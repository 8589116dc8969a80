package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/spanctl/spanctl/models"
)

// steps writes a change set as "create sp-a, delete sp-b".
func steps(cs models.ChangeSet) string {
	var out []string
	for _, c := range cs.Changes {
		out = append(out, fmt.Sprintf("%s %s", c.Op, c.Session().Name))
	}
	return strings.Join(out, ", ")
}

func TestDiff(t *testing.T) {
	a, b, c := session("leaf1", "a", toPorts("e48"), port("e1")), session("leaf1", "b", toPorts("e47"), port("e2")), session("leaf1", "c", toPorts("e46"), port("e3"))
	edit := func(s models.Session, e func(*models.Session)) models.Session { e(&s); return s }
	otherPort := func(s models.Session) models.Session {
		return edit(s, func(s *models.Session) { s.Destination = toPorts("e40") })
	}
	foreign := edit(c, func(s *models.Session) { s.Intent, s.Name = "", "theirs" })
	everything := func(string) bool { return true }
	only := func(names ...string) func(string) bool {
		return func(i string) bool { return slices.Contains(names, i) }
	}
	tests := []struct {
		name       string
		want, have []models.Session
		scope      func(string) bool // nil = everything
		session    string
		update     string // with GrainUpdate; "" = the same
	}{
		{name: "nothing"},
		{name: "create", want: []models.Session{a, b}, session: "create sp-a, create sp-b"},
		{name: "as it is", want: []models.Session{a}, have: []models.Session{edit(a, func(s *models.Session) {
			s.Status.State, s.FilterName, s.Number, s.Role = models.OperDown, "acl", 4, models.RoleUnset
		})}},
		{name: "delete", have: []models.Session{a}, session: "delete sp-a"},
		{name: "of other intents nothing is deleted", have: []models.Session{a, b}, scope: only("b"), session: "delete sp-b"},
		{name: "strangers stay", want: []models.Session{a}, have: []models.Session{foreign}, session: "create sp-a"},
		{name: "changed", want: []models.Session{a}, have: []models.Session{otherPort(a)}, session: "delete sp-a, create sp-a", update: "update sp-a"},
		{name: "changed by hand, with lines of its own", want: []models.Session{a}, have: []models.Session{edit(a, func(s *models.Session) { s.Extra = []string{"x"} })},
			session: "delete sp-a, create sp-a", update: "update sp-a"},
		{name: "shut down by hand", want: []models.Session{a}, have: []models.Session{edit(a, func(s *models.Session) { s.Shutdown = true })},
			session: "delete sp-a, create sp-a", update: "update sp-a"},
		{name: "deletes first, creates last", want: []models.Session{c, a}, have: []models.Session{otherPort(a), b, foreign},
			session: "delete sp-a, delete sp-b, create sp-c, create sp-a", update: "delete sp-b, update sp-a, create sp-c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scope := tt.scope
			if scope == nil {
				scope = everything
			}
			have := models.DeviceState{Device: "leaf1", Sessions: tt.have}
			if got := steps(Diff(tt.want, have, models.GrainSession, scope)); got != tt.session {
				t.Errorf("session by session: %q, want %q", got, tt.session)
			}
			update := tt.update
			if update == "" {
				update = tt.session
			}
			if got := steps(Diff(tt.want, have, models.GrainUpdate, scope)); got != update {
				t.Errorf("with updates: %q, want %q", got, update)
			}
		})
	}
	t.Run("a stranger in the way", func(t *testing.T) {
		defer func() {
			if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "was not refused") {
				t.Errorf("recovered %v, want the panic of a broken invariant", r)
			}
		}()
		Diff([]models.Session{a}, models.DeviceState{Device: "leaf1", Sessions: []models.Session{edit(a, func(s *models.Session) { s.Intent = "" })}}, models.GrainSession, everything)
	})
}

// drawn is a marked state and wanted sessions of one device, such as CheckState lets
// pass: no wanted session has the identity of a stranger.
func drawn(t *rapid.T) (want []models.Session, have models.DeviceState, foreign []models.Session) {
	any := func(name, intent string) models.Session {
		s := session("leaf1", intent, toPorts(rapid.SampledFrom([]string{"e40", "e41"}).Draw(t, "to")), port(rapid.SampledFrom([]string{"e1", "e2"}).Draw(t, "from")))
		s.Name = name
		s.TruncateTo = rapid.SampledFrom([]uint16{0, 64}).Draw(t, "truncate")
		s.SampleOneIn = rapid.SampledFrom([]uint32{0, 1, 8}).Draw(t, "sample")
		return s
	}
	have.Device = "leaf1"
	for i := range 4 {
		name, intent := fmt.Sprintf("sp-i%d", i), fmt.Sprintf("i%d", i)
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			want = append(want, any(name, intent))
		case 1:
			have.Sessions = append(have.Sessions, any(name, intent))
		case 2:
			want = append(want, any(name, intent))
			have.Sessions = append(have.Sessions, any(name, intent))
		case 3:
			s := any(name, "")
			s.Extra = []string{"theirs"}
			have.Sessions = append(have.Sessions, s)
			foreign = append(foreign, s)
		}
	}
	return want, have, foreign
}

// asSet gives sessions in an order that does not depend on theirs.
func asSet(ss []models.Session) []models.Session {
	out := make([]models.Session, 0, len(ss))
	for _, s := range ss {
		out = append(out, s.Normalize())
	}
	slices.SortFunc(out, func(a, b models.Session) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have, foreign := drawn(t)
		grain := rapid.SampledFrom([]models.Grain{models.GrainSession, models.GrainUpdate}).Draw(t, "grain")
		inScope := rapid.SampledFrom([]string{"i0", "i1", "i2", "i3"}).Draw(t, "scope")
		scope := func(i string) bool {
			return i == inScope || slices.ContainsFunc(want, func(w models.Session) bool { return w.Intent == i })
		}
		had := fmt.Sprint(have)
		cs := Diff(want, have, grain, scope)
		after := Apply(have, cs)
		if again := Diff(want, after, grain, scope); !again.Empty() {
			t.Fatalf("after %s there is still %s", steps(cs), steps(again))
		}
		for _, c := range cs.Changes {
			if intent := c.Session().Intent; intent == "" || !scope(intent) {
				t.Fatalf("%s changes %q, which is a stranger's or out of scope", steps(cs), c.Session().Name)
			}
			if grain == models.GrainSession && c.Op == models.Update {
				t.Fatalf("%s has an update", steps(cs))
			}
		}
		strangers := slices.DeleteFunc(slices.Clone(after.Sessions), func(s models.Session) bool { return s.Intent != "" })
		if d := cmp.Diff(foreign, strangers, plain, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("strangers (-before +after):\n%s", d)
		}
		if miss := Missing(cs, after); !miss.Empty() {
			t.Fatalf("after %s, missing is %s", steps(cs), steps(miss))
		}
		back := Back(cs, after)
		if d := cmp.Diff(asSet(have.Sessions), asSet(Apply(after, back).Sessions), plain); d != "" {
			t.Fatalf("%s and back by %s (-before +after):\n%s", steps(cs), steps(back), d)
		}
		if fmt.Sprint(have) != had {
			t.Fatal("changed the state that it was given")
		}

		// Stopped after any number of steps, on a device that knows no owners: it can
		// go forward to the end or back to the beginning.
		n := rapid.IntRange(0, len(cs.Changes)).Draw(t, "done")
		part := Apply(have, models.ChangeSet{Device: cs.Device, Changes: cs.Changes[:n]})
		if d := cmp.Diff(asSet(have.Sessions), asSet(Apply(part, Back(cs, part)).Sessions), plain); d != "" {
			t.Fatalf("after %d of %s, back (-want +got):\n%s", n, steps(cs), d)
		}
		if d := cmp.Diff(asSet(after.Sessions), asSet(Apply(part, Missing(cs, part)).Sessions), plain); d != "" {
			t.Fatalf("after %d of %s, forward (-want +got):\n%s", n, steps(cs), d)
		}
		if got := Back(cs, have); !got.Empty() {
			t.Fatalf("nothing was done, but back is %s", steps(got))
		}
	})
}

func TestBackAndMissing(t *testing.T) {
	a := session("leaf1", "a", toPorts("e48"), port("e1"))
	b := a
	b.TruncateTo = 64
	update := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Update, Before: &a, After: &b}}}
	unmarked := func(s models.Session) models.Session { s.Intent, s.Device = "", ""; return s } // as a dialect reads it
	st := func(ss ...models.Session) models.DeviceState {
		return models.DeviceState{Device: "leaf1", Sessions: ss}
	}
	tests := []struct {
		name          string
		cs            models.ChangeSet
		st            models.DeviceState
		back, missing string
	}{
		{"not begun", update, st(unmarked(a)), "", "delete sp-a, create sp-a"},
		{"done", update, st(unmarked(b)), "delete sp-a, create sp-a", ""},
		{"lost in between", update, st(), "create sp-a", "create sp-a"},
		{"nothing to do", models.ChangeSet{Device: "leaf1"}, st(unmarked(a)), "", ""},
		{"deleted", models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Delete, Before: &a}}}, st(), "create sp-a", ""},
		{"created", models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Create, After: &a}}}, st(unmarked(a)), "delete sp-a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := steps(Back(tt.cs, tt.st)); got != tt.back {
				t.Errorf("back %q, want %q", got, tt.back)
			}
			if got := steps(Missing(tt.cs, tt.st)); got != tt.missing {
				t.Errorf("missing %q, want %q", got, tt.missing)
			}
		})
	}
}

// TestApplyToUnmarked: sessions as a dialect reads them, without a device, are found.
func TestApplyToUnmarked(t *testing.T) {
	a := session("leaf1", "a", toPorts("e48"), port("e1"))
	read := a
	read.Device, read.Intent = "", ""
	cs := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Delete, Before: &a}}}
	if got := Apply(models.DeviceState{Sessions: []models.Session{read}}, cs); len(got.Sessions) != 0 {
		t.Errorf("left %v", got.Sessions)
	}
}

func TestFingerprint(t *testing.T) {
	a, b := session("leaf1", "a", toPorts("e48"), port("e1"), port("e2")), session("leaf1", "", toPorts("e47"), port("e2"))
	b.Name = "theirs"
	st := func(ss ...models.Session) models.DeviceState {
		return models.DeviceState{Device: "leaf1", Sessions: ss}
	}
	base := Fingerprint(st(a, b))
	edit := func(e func(*models.Session)) models.Session {
		s := a
		s.Sources = slices.Clone(a.Sources)
		e(&s)
		return s
	}
	tests := []struct {
		name string
		give models.DeviceState
		same bool
	}{
		{"again", st(a, b), true},
		{"another order", st(b, a), true},
		{"another order of sources", st(edit(func(s *models.Session) { slices.Reverse(s.Sources) }), b), true},
		{"owner", st(edit(func(s *models.Session) { s.Intent = "" }), b), true},
		{"operation", st(edit(func(s *models.Session) { s.Status = models.Status{State: models.OperDown, Reason: "x"} }), b), true},
		{"device not written", st(edit(func(s *models.Session) { s.Device = "" }), b), true},
		{"ports", models.DeviceState{Device: "leaf1", Sessions: []models.Session{a, b}, Ports: free("e1")}, true},
		{"a session less", st(a), false},
		{"a stranger's direction", st(a, func() models.Session {
			s := b
			s.Sources = []models.Source{{Kind: models.SourcePort, Name: "e2", Direction: models.Tx}}
			return s
		}()), false},
		{"truncation", st(edit(func(s *models.Session) { s.TruncateTo = 64 }), b), false},
		{"lines of the device", st(edit(func(s *models.Session) { s.Extra = []string{"x"} }), b), false},
		{"filter object", st(edit(func(s *models.Session) { s.FilterName = "acl" }), b), false},
		{"number", st(edit(func(s *models.Session) { s.Number = 1 }), b), false},
		{"another device", models.DeviceState{Device: "leaf2", Sessions: []models.Session{a, b}}, false},
	}
	for _, tt := range tests {
		if got := Fingerprint(tt.give) == base; got != tt.same {
			t.Errorf("%s: same is %v, want %v", tt.name, got, tt.same)
		}
	}
	if len(base) != 16 {
		t.Errorf("%q has %d characters, want 16", base, len(base))
	}
}

// TestDifferences: words about a difference are there when, and only when, there is
// one.
func TestDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have, _ := drawn(t)
		for _, w := range want {
			for _, h := range have.Sessions {
				h.Name, h.Device = w.Name, w.Device
				if got := Differences(w, h); (len(got) == 0) != models.SameConfig(w, h) {
					t.Fatalf("differences %q, but SameConfig is %v", got, models.SameConfig(w, h))
				}
			}
		}
	})
}
