package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// particular is a driver that only itself can render for: it has advice on every
// change and refuses the session "refused".
type particular struct{ drivers.Driver }

func (p particular) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	for _, c := range cs.Changes {
		if strings.Contains(c.Session().Name, "refused") {
			return transport.Script{}, &drivers.Error{Device: cs.Device, Phase: drivers.PhaseRender, Kind: transport.Rejected, Err: errors.New("no such port")}
		}
	}
	return p.Driver.Render(cs, o)
}

func (particular) Advise(cs models.ChangeSet) models.Findings {
	return models.Findings{{Rule: "small-mtu", Message: "session " + cs.Changes[0].Session().Name + ": long frames are lost"}}
}

// startParticular begins a life in which devices are rendered for by their drivers.
func (s *fakeSite) startParticular() *process {
	p := s.start(0, false)
	open := p.c.Open
	p.c.Platforms = func(models.DeviceID) plan.Platform { return struct{ plan.Platform }{fakePlatform{s.support}} }
	p.c.Open = func(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
		d, err := open(ctx, dev)
		return particular{d}, err
	}
	return p
}

// TestAdvice: what a driver says of a change is a warning of the plan, and stops nothing.
func TestAdvice(t *testing.T) {
	p := newFakeSite(t, "leaf1").startParticular()
	made, err := p.Plan(t.Context(), Request{Intents: []models.Intent{spanIntent("web", "leaf1", models.Rx, "Ethernet1")}})
	if err != nil {
		t.Fatal(err)
	}
	name := made.Groups[0].Waves[0][0].Changes.Changes[0].After.Name
	want := models.Findings{{Intent: "web", Device: "leaf1", Rule: "small-mtu", Message: "session " + name + ": long frames are lost", Warning: true}}
	if d := cmp.Diff(want, made.Findings); d != "" || made.Failed() {
		t.Errorf("failed %v, findings (-want +got):\n%s", made.Failed(), d)
	}
}

// TestRenderRefusal: a change that a driver refuses stops everything, or only its
// intent when the others are to go on.
func TestRenderRefusal(t *testing.T) {
	p := newFakeSite(t, "leaf1", "leaf2").startParticular()
	req := Request{Intents: []models.Intent{
		spanIntent("refused", "leaf1", models.Rx, "Ethernet1"), spanIntent("web", "leaf2", models.Rx, "Ethernet1"),
	}}
	if _, err := p.Plan(t.Context(), req); err == nil || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("error %v, want the driver's", err)
	}
	req.KeepGoing = true
	made, err := p.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Groups) != 1 || made.Groups[0].Intent != "web" || len(made.Blocked) != 1 ||
		made.Blocked[0].Intent != "refused" || made.Blocked[0].Device != "leaf1" || !strings.Contains(made.Blocked[0].Reason, "no such port") {
		t.Errorf("groups %+v, blocked %+v: want web to go on and refused to be blocked", made.Groups, made.Blocked)
	}
}
