package hostmirror

import (
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
	want := Report{
		Device:  host,
		Filters: []Ability{{Name: tcnl.U32, Has: Present}},
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
