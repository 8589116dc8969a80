package hostmirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

func TestPlannerRender(t *testing.T) {
	a := session("sp-a", []string{"m0"}, port("r0", models.Both))
	moved := session("sp-a", []string{"m1"}, port("r0", models.Rx))
	const (
		in  = "53504e0108f84bde7148090f496d0000"
		out = "53504e0108f84bde7148090f456d0000"
	)
	tests := []struct {
		name   string
		change models.Change
		want   []string
	}{
		{"create", models.Change{Op: models.Create, After: &a}, []string{
			"tc qdisc add dev r0 clsact",
			"tc filter add dev r0 ingress pref 21328 protocol all matchall action mirred egress mirror dev m0 continue cookie " + in,
			"tc filter add dev r0 egress pref 21360 protocol all matchall action mirred egress mirror dev m0 continue cookie " + out,
		}},
		{"update", models.Change{Op: models.Update, Before: &a, After: &moved}, []string{
			"tc filter add dev r0 ingress pref 21329 protocol all matchall action mirred egress mirror dev m1 continue cookie " + in,
			"tc filter del dev r0 ingress pref 21328 protocol all handle 0x1 matchall # cookie " + in,
			"tc filter del dev r0 egress pref 21360 protocol all handle 0x1 matchall # cookie " + out,
		}},
		{"delete", models.Change{Op: models.Delete, Before: &a}, []string{
			"tc filter del dev r0 ingress pref 21328 protocol all handle 0x1 matchall # cookie " + in,
			"tc filter del dev r0 egress pref 21360 protocol all handle 0x1 matchall # cookie " + out,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Planner{}.Render(models.ChangeSet{Device: host, Changes: []models.Change{tt.change}}, drivers.RenderOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, texts(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The planner refuses what the driver would refuse without looking at the host.
func TestPlannerRefuses(t *testing.T) {
	s := session("sp-a", []string{"r0"}, port("r0", models.Rx))
	if script, err := (Planner{}).Render(create(s), drivers.RenderOptions{}); err == nil {
		t.Errorf("to itself: %q", texts(script))
	}
}
