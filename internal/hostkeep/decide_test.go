package hostkeep

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// anyHost is a platform that takes everything.
type anyHost struct{}

func (anyHost) Capabilities() models.Capabilities                   { return models.Capabilities{Platform: "linux"} }
func (anyHost) Check(models.Session) []string                       { return nil }
func (anyHost) PortKind(string) models.SourceKind                   { return models.SourcePort }
func (anyHost) Ports(_ models.DeviceID, p string) ([]string, error) { return []string{p}, nil }

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	network = models.Network{Devices: []models.Device{
		{ID: "probe", Platform: "linux", Labels: map[string]string{"role": "host"}},
		{ID: "leaf1", Platform: "arista_eos", Labels: map[string]string{"role": "leaf"}},
	}}
)

func checkIntents(intents []models.Intent) ([]models.Session, []plan.Note, models.Findings) {
	r, found := plan.Resolve(&network, func(models.DeviceID) plan.Platform { return anyHost{} }, anyHost{}, intents)
	return r.Sessions, r.Notes, found
}

// tap is an intent to copy eth0 of a device to its mon0.
func tap(name, device string, e models.Expiry) models.Intent {
	return models.Intent{
		APIVersion: models.APIVersion, Kind: models.KindMirror, Metadata: models.Metadata{Name: name, Owner: "secops"},
		Spec: models.Spec{
			Sources:     []models.SourceSpec{{Device: device, Interfaces: []string{"eth0"}, Direction: models.Rx}},
			Destination: models.DestinationSpec{Interface: &models.InterfaceSpec{Device: device, Name: "mon0"}},
			Expires:     e,
		},
	}
}

// recordOf is what an apply of the intent at since has left.
func recordOf(t *testing.T, in models.Intent, since time.Time) models.Record {
	t.Helper()
	sessions, _, found := checkIntents([]models.Intent{in})
	if len(sessions) != 1 {
		t.Fatalf("%s: %d sessions, %v", in.Metadata.Name, len(sessions), found)
	}
	return models.Record{Session: sessions[0], Intent: in.Metadata.Name, Owner: in.Metadata.Owner, Since: since, Expires: in.Spec.Expires.Deadline(since)}
}

func after(d time.Duration) models.Expiry { return models.Expiry{After: d} }
func at(d time.Duration) models.Expiry    { return models.Expiry{At: now.Add(d)} }

func TestDecide(t *testing.T) {
	const h = time.Hour
	renewed := recordOf(t, tap("a", "probe", after(2*h)), now.Add(-3*h))
	renewed.Expires = now.Add(h)
	twice := tap("far", "probe", models.NeverExpires)
	twice.Spec.Sources = append(twice.Spec.Sources, models.SourceSpec{Device: "leaf1", Interfaces: []string{"Ethernet1"}, Direction: models.Rx})
	twice.Spec.Destination = models.DestinationSpec{GRE: &models.GRESpec{Address: netip.MustParseAddr("192.0.2.9")}}
	selected := tap("sel", "probe", models.NeverExpires)
	selected.Spec.Sources[0].Device, selected.Spec.Sources[0].Select = "", map[string]string{"role": "host"}
	odd := recordOf(t, tap("odd", "probe", models.NeverExpires), now)
	odd.Session.Extra = []string{"as nobody can say it"}
	adopted := recordOf(t, tap("old", "probe", models.NeverExpires), now)
	adopted.Session.Name, adopted.Adopted = "somebody's", true
	unknown := tap("typo", "prbe", models.NeverExpires)
	broken := tap("broken", "probe", models.NeverExpires)
	broken.Spec.Destination.Interface.Device = "nowhere"

	tests := []struct {
		name    string
		intents []models.Intent
		records []models.Record
		ended   []models.Record
		remove  []string
		want    Decision // of notes, parts of the texts
	}{
		{name: "nothing"},
		{
			name:    "a lease begins",
			intents: []models.Intent{tap("a", "probe", after(2*h)), tap("b", "probe", models.NeverExpires), tap("c", "probe", at(h))},
			want:    Decision{Intents: []models.Intent{tap("a", "probe", at(2*h)), tap("b", "probe", models.NeverExpires), tap("c", "probe", at(h))}, Next: now.Add(h)},
		},
		{
			name:    "a lease is not made longer by looking again",
			intents: []models.Intent{tap("a", "probe", after(2*h))},
			records: []models.Record{recordOf(t, tap("a", "probe", after(2*h)), now.Add(-h))},
			want:    Decision{Intents: []models.Intent{tap("a", "probe", at(h))}, Next: now.Add(h)},
		},
		{
			name:    "a lease ends on its second",
			intents: []models.Intent{tap("a", "probe", after(2*h))},
			records: []models.Record{recordOf(t, tap("a", "probe", after(2*h)), now.Add(-2*h))},
			want:    Decision{Remove: []string{"a"}},
		},
		{
			name:    "an ended lease stays ended",
			intents: []models.Intent{tap("a", "probe", after(2*h))},
			ended:   []models.Record{recordOf(t, tap("a", "probe", after(2*h)), now.Add(-9*h))},
			want:    Decision{Notes: []Note{{"a", "its lease ended at"}}},
		},
		{
			name:    "until its file gives it more time",
			intents: []models.Intent{tap("a", "probe", after(10*h))},
			ended:   []models.Record{recordOf(t, tap("a", "probe", after(2*h)), now.Add(-9*h))},
			want:    Decision{Intents: []models.Intent{tap("a", "probe", at(h))}, Next: now.Add(h)},
		},
		{
			name:    "time that an apply by hand added is kept",
			intents: []models.Intent{tap("a", "probe", after(2*h))},
			records: []models.Record{renewed},
			want:    Decision{Intents: []models.Intent{tap("a", "probe", at(h))}, Next: now.Add(h)},
		},
		{
			name:    "a point in time that has passed",
			intents: []models.Intent{tap("a", "probe", at(-h)), tap("b", "probe", at(-h))},
			records: []models.Record{recordOf(t, tap("a", "probe", at(-h)), now.Add(-9*h))},
			want:    Decision{Remove: []string{"a"}, Notes: []Note{{"b", "its lease ended at"}}},
		},
		{
			name:    "what was recorded without a file is made again, or taken away",
			records: []models.Record{recordOf(t, tap("m", "probe", after(2*h)), now.Add(-h)), recordOf(t, tap("n", "probe", after(2*h)), now.Add(-3*h))},
			want:    Decision{Intents: []models.Intent{tap("m", "probe", at(h))}, Remove: []string{"n"}, Next: now.Add(h)},
		},
		{
			name:    "what a record does not tell is not made up",
			records: []models.Record{odd, adopted},
			want:    Decision{Notes: []Note{{"odd", "as nobody can say it"}, {"old", "another session"}}},
		},
		{
			name:    "other devices are none of its business",
			intents: []models.Intent{tap("leaf", "leaf1", models.NeverExpires)},
			records: []models.Record{recordOf(t, tap("leaf", "leaf1", after(h)), now.Add(-9*h))},
		},
		{
			name:    "an intent of this host and others is left to spanctl apply",
			intents: []models.Intent{twice},
			want:    Decision{Notes: []Note{{"far", "it is about leaf1 too"}}},
		},
		{
			name:    "so is one that was on others when it was applied last",
			intents: []models.Intent{tap("a", "probe", models.NeverExpires)},
			records: []models.Record{recordOf(t, tap("a", "leaf1", models.NeverExpires), now)},
			want:    Decision{Notes: []Note{{"a", "it is about leaf1 too"}}},
		},
		{
			name:    "and a record of both, even a due one",
			records: []models.Record{recordOf(t, tap("a", "leaf1", after(h)), now.Add(-9*h)), recordOf(t, tap("a", "probe", after(h)), now.Add(-9*h))},
			want:    Decision{Notes: []Note{{"a", "it has sessions on leaf1 too"}}},
		},
		{
			name:    "what is to go goes, also before its time and with a file",
			intents: []models.Intent{tap("a", "probe", models.NeverExpires)},
			records: []models.Record{
				recordOf(t, tap("a", "probe", after(h)), now), recordOf(t, tap("b", "probe", after(h)), now),
				recordOf(t, tap("c", "probe", after(h)), now), recordOf(t, tap("c", "leaf1", after(h)), now),
			},
			remove: []string{"a", "b", "c", "typo"},
			want:   Decision{Remove: []string{"a", "b", "typo"}, Notes: []Note{{"c", "use spanctl delete"}}},
		},
		{
			name:    "labels choose this host",
			intents: []models.Intent{selected},
			want:    Decision{Intents: []models.Intent{selected}},
		},
		{
			name:    "a mistyped name of this host is said",
			intents: []models.Intent{unknown},
			want:    Decision{Notes: []Note{{"typo", `it is about "prbe"; this host is "probe"`}}},
		},
		{
			name:    "a wrong intent about this host and what nobody knows",
			intents: []models.Intent{broken},
			want:    Decision{Notes: []Note{{"broken", "it is about nowhere too"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(map[string]models.Record)
			for _, r := range tt.ended {
				ended[r.Intent] = r
			}
			got := Decide(Input{Device: "probe", Network: &network, Intents: tt.intents, Records: tt.records, Ended: ended, Remove: tt.remove, Check: checkIntents, Now: now})
			note := cmp.Comparer(func(a, b Note) bool {
				return a.Intent == b.Intent && (strings.Contains(a.Text, b.Text) || strings.Contains(b.Text, a.Text))
			})
			if d := cmp.Diff(tt.want, got, note, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
				t.Errorf("Decide (-want +got):\n%s", d)
			}
		})
	}
}
