package hostmirror

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// The report says how each copy is made and what became of its frames.
func TestReport(t *testing.T) {
	b := newBed(t)
	m := b.open(tcnl.U32)
	b.to(m, session("sp-b", []string{"m1"}, port("r0", models.Rx)), session("sp-a", []string{"m0"}, port("r1", models.Tx)))
	left, _ := b.flow("x", 5)
	got, err := m.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	up := models.Status{State: models.OperUp}
	gact := Ability{Name: "gact", Has: Present}
	if m.classifiers.noSample != "" {
		gact.Has, gact.Why = Absent, m.classifiers.noSample
	}
	want := Report{
		Device:  host,
		Filters: []Ability{{Name: tcnl.U32, Has: Present}},
		Actions: []Ability{{Name: "mirred", Has: Present}, gact},
		Copies: []CopyReport{
			{Session: "sp-a", Source: "r1", Direction: models.Tx, Destinations: []string{"m0"}, Method: "tc u32", Offered: uint64(left), Delivered: uint64(left), Status: up},
			{Session: "sp-b", Source: "r0", Direction: models.Rx, Destinations: []string{"m1"}, Method: "tc u32", Offered: uint64(left), Delivered: uint64(left), Status: up},
		},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Report{}, "Hostname", "Kernel", "Programs", "Missing")); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	if got.Hostname == "" || got.Kernel == "" {
		t.Errorf("host %q, kernel %q: want both", got.Hostname, got.Kernel)
	}
}

// What could not be asked is not claimed, and what an apply has found out is remembered
// for the next Mirror.
func TestLacking(t *testing.T) {
	var l Lacking
	hoped := classifiers{usable: tcnl.Kinds()}
	for _, a := range append(hoped.abilities(), hoped.actions()...) {
		if a.Has != Unknown || a.Why != notAsked {
			t.Errorf("%+v was not asked for", a)
		}
	}
	l.tell(&hoped)
	if d := cmp.Diff(tcnl.Kinds(), hoped.usable); d != "" || l.Len() != 0 {
		t.Errorf("nothing is lacking (-want +got):\n%s", d)
	}
	l.add(tcnl.MatchAll, errors.New("TC classifier not found"))
	l.add(tcnl.MatchAll, errors.New("TC classifier not found"))
	l.add("gact", errors.New("no action"))
	l.tell(&hoped)
	if d := cmp.Diff(tcnl.Kinds()[1:], hoped.usable); d != "" || l.Len() != 2 || hoped.noSample != "no action" {
		t.Errorf("%d lacking, %q (-want +got):\n%s", l.Len(), hoped.noSample, d)
	}
	asked := classifiers{usable: tcnl.Kinds(), asked: true}
	l.tell(&asked)
	if d := cmp.Diff(tcnl.Kinds(), asked.usable); d != "" {
		t.Errorf("what the kernel says itself counts (-want +got):\n%s", d)
	}
	var none *Lacking
	none.add("x", nil)
	none.tell(&hoped)
	if none.Len() != 0 {
		t.Error("nil remembers")
	}
}
