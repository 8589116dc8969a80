package hostmirror

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// manySessions are n sessions with rules of their own that copy what a port receives.
func manySessions(n int) []models.Session {
	var out []models.Session
	for i := range n {
		s := session(fmt.Sprintf("sp-%04d", i), []string{"m0"}, port("r0", models.Rx))
		s.Filter = rules(fmt.Sprintf("include udp src 10.%d.%d.1/32 dport %d", i/200, i%200, 1000+i))
		out = append(out, s.Normalize())
	}
	return out
}

// BenchmarkThousandSessions puts 1,000 sessions on one port and takes them away: look,
// plan, render, apply, as a run does. The rendering and applying of each is to take
// less than a second.
func BenchmarkThousandSessions(b *testing.B) {
	host1, sensor := kerneltest.NewNS(b), kerneltest.NewNS(b)
	kerneltest.Veth(b, host1, "r0", sensor, "s0")
	kerneltest.Veth(b, host1, "m0", sensor, "c0")
	m, err := Open(b.Context(), Options{Device: host, Namespace: host1.Path(), Pins: kerneltest.Pins(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	wanted := manySessions(1000)
	var look, render, apply [2][]float64
	for b.Loop() {
		for i, want := range [][]models.Session{wanted, nil} {
			begin := time.Now()
			lap := func(to *[]float64) {
				*to = append(*to, float64(time.Since(begin).Microseconds())/1000)
				begin = time.Now()
			}
			st, err := m.Observe(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			lap(&look[i])
			for j := range st.Sessions {
				st.Sessions[j].Intent = "test"
			}
			cs := plan.Diff(want, st, m.Capabilities().Grain, func(string) bool { return true })
			if len(cs.Changes) != 1000 {
				b.Fatalf("%d changes, want 1000", len(cs.Changes))
			}
			begin = time.Now()
			script, err := m.Render(cs, drivers.RenderOptions{})
			if err != nil {
				b.Fatal(err)
			}
			lap(&render[i])
			if err := m.Apply(b.Context(), drivers.Checkpoint{Device: host, Changes: cs, Script: script}); err != nil {
				b.Fatal(err)
			}
			lap(&apply[i])
		}
	}
	for i, what := range []string{"make", "delete"} {
		b.ReportMetric(middle(look[i]), "ms-"+what+"-look")
		b.ReportMetric(middle(render[i]), "ms-"+what+"-render")
		b.ReportMetric(middle(apply[i]), "ms-"+what+"-apply")
		if all := middle(render[i]) + middle(apply[i]); all > 1000 {
			b.Errorf("to %s 1,000 sessions took %.0f ms, want less than 1000", what, all)
		}
	}
	b.ReportMetric(0, "ns/op")
}

func middle[T cmp.Ordered](x []T) T {
	slices.Sort(x)
	return x[len(x)/2]
}
