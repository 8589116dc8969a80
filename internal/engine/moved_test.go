package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// TestLongQuestion lets a person think while somebody changes the device.
func TestLongQuestion(t *testing.T) {
	for i := range 4 {
		change, support := i%2 == 1, []models.Support{models.Yes, models.Emulated}[i/2]
		t.Run(fmt.Sprintf("way back %s, changed meanwhile: %v", support, change), func(t *testing.T) {
			s := newFakeSite(t, "leaf1")
			s.support = support
			p := s.start(0, false)
			res, err := p.Apply(t.Context(), ApplyRequest{
				Request: Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}},
				Approve: func(*Plan) (bool, error) {
					s.pass(time.Minute)
					if change {
						s.devices["leaf1"].sessions[0].TruncateTo = 64
					}
					return true, nil
				}})
			if change {
				if !errors.Is(err, ErrMoved) || len(s.devices["leaf1"].names()) != 1 {
					t.Errorf("error %v, sessions %v; want ErrMoved and nothing sent", err, s.devices["leaf1"].names())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, res, Applied)
		})
	}
}

// TestSavedPlanIsNotBlindlySent refuses saved plans that were altered, whose edit is
// not the next of its device, whose lease has ended, or whose timer is not the one
// that is asked for.
func TestSavedPlanIsNotBlindlySent(t *testing.T) {
	at := func(s *fakeSite) models.Expiry { return models.Expiry{At: s.now().Add(time.Hour)} }
	tests := []struct {
		name string
		do   func(*testing.T, *fakeSite, *process, *Plan)
		hold time.Duration
		want string
	}{
		{"altered", func(_ *testing.T, _ *fakeSite, _ *process, p *Plan) {
			p.Groups[0].Waves[0][0].Script.Steps[1].Text = "reload"
		}, 0, "the plan was altered"},
		{"applied and deleted since", func(t *testing.T, s *fakeSite, p *process, _ *Plan) {
			in := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
			wantOutcome(t, apply(t, p, in), Applied)
			wantOutcome(t, remove(t, p, "web"), Applied)
		}, 0, "moved"},
		{"too late", func(_ *testing.T, s *fakeSite, _ *process, _ *Plan) { s.pass(2 * time.Hour) }, 0, "the lease ended"},
		{"another timer", func(*testing.T, *fakeSite, *process, *Plan) {}, time.Minute, "--way-back 1m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSite(t, "leaf1")
			p := s.start(0, false)
			in := spanIntent("web", "leaf1", models.Rx, "Ethernet1")
			in.Spec.Expires = at(s)
			saved, err := p.Plan(t.Context(), Request{Intents: []models.Intent{in}})
			if err != nil {
				t.Fatal(err)
			}
			tt.do(t, s, p, saved)
			before := s.texts()
			res, err := p.Apply(t.Context(), ApplyRequest{Saved: saved, Hold: tt.hold})
			got := fmt.Sprint(err)
			if err == nil {
				got = res.Plan.Findings.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("refused with %q, want %q", got, tt.want)
			}
			if d := cmp.Diff(before, s.texts()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}
