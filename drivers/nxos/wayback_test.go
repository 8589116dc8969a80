package nxos_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/models"
)

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

var local = models.Session{Device: "sw1", Number: 1, Intent: "x",
	Sources:     []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
	Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(50)}}}.Normalize()

// checkpoint renders changes, with a way back.
func checkpoint(t testing.TB, d drivers.Driver, st models.DeviceState, cs ...models.Change) drivers.Checkpoint {
	t.Helper()
	set := models.ChangeSet{Device: "sw1", Changes: cs}
	sc, err := d.Render(set, drivers.RenderOptions{Tag: "test", Within: time.Minute, Facts: st.Facts})
	must(t, err)
	return drivers.Checkpoint{Device: "sw1", Changes: set, Script: sc}
}

func applied(t *testing.T) (b *bed, d drivers.Driver, cp drivers.Checkpoint, first string) {
	t.Helper()
	b = startSwitch(t)
	first = b.dev.RunningConfig()
	d = open(t, b)
	st, err := d.Observe(t.Context())
	must(t, err)
	cp = checkpoint(t, d, st, models.Change{Op: models.Create, After: &local})
	must(t, d.Apply(t.Context(), cp))
	if got := b.dev.Checkpoints(); len(got) != 1 || got[0] != "spanctl-test" {
		t.Fatalf("checkpoints %q", got)
	}
	return b, d, cp, first
}

func noCheckpoints(t *testing.T, b *bed) {
	t.Helper()
	if got := b.dev.Checkpoints(); len(got) > 0 {
		t.Errorf("checkpoints %q are left", got)
	}
}

// TestCheckpoint: what is kept for the way back goes with it, or when the change
// stays.
func TestCheckpoint(t *testing.T) {
	t.Run("confirm", func(t *testing.T) {
		b, d, cp, _ := applied(t)
		after := b.dev.RunningConfig()
		must(t, d.Confirm(t.Context(), cp))
		noCheckpoints(t, b)
		if b.dev.RunningConfig() != after {
			t.Error("confirm changed the configuration")
		}
		if err := d.Confirm(t.Context(), cp); err == nil {
			t.Error("there is nothing to confirm, and no error")
		}
	})
	t.Run("revert", func(t *testing.T) {
		b, d, cp, first := applied(t)
		// What others do in the meantime stays: sessions come back one by one.
		must(t, b.dev.Configure("vlan 77"))
		b.ResetWire()
		must(t, d.Revert(t.Context(), cp))
		noCheckpoints(t, b)
		if got := b.dev.RunningConfig(); !strings.Contains(got, "vlan 1,10,20-22,77") {
			t.Errorf("somebody's VLAN is gone:\n%s", got)
		}
		must(t, b.dev.Configure("no vlan 77"))
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("after revert (-before +after):\n%s", diff)
		}
		for _, l := range b.Wire() {
			if strings.HasPrefix(l, "rollback") {
				t.Errorf("%q was not needed", l)
			}
		}
	})
	t.Run("rollback", func(t *testing.T) {
		b, d, cp, first := applied(t)
		must(t, b.dev.SetFaults(eos.FaultSpec{Lines: []eos.Fault{{Line: "^no monitor session 1$", Action: eos.ActionRefuse, Text: "ERROR: busy", Times: 1}}}))
		must(t, d.Revert(t.Context(), cp))
		noCheckpoints(t, b)
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("after the rollback (-before +after):\n%s", diff)
		}
		rolled := false
		for _, l := range b.Wire() {
			rolled = rolled || l == "rollback running-config checkpoint spanctl-test atomic"
		}
		if !rolled {
			t.Error("there was no rollback")
		}
	})
	t.Run("nothing helps", func(t *testing.T) {
		b, d, cp, _ := applied(t)
		must(t, b.dev.SetFaults(eos.FaultSpec{Lines: []eos.Fault{
			{Line: "^no monitor session 1$", Action: eos.ActionRefuse, Text: "ERROR: busy"}, {Line: "^rollback", Action: eos.ActionRefuse, Text: "ERROR: Rollback failed"}}}))
		if err := d.Revert(t.Context(), cp); err == nil || !strings.Contains(err.Error(), "no monitor session 1") {
			t.Errorf("error %v; want the refusal of the way back", err)
		}
		if got := b.dev.Checkpoints(); len(got) != 1 {
			t.Errorf("checkpoints %q; the one is still needed", got)
		}
	})
}

// TestConnectionAfterRefusal: a line that is refused in the middle of a mode leaves
// the connection of use, and what was taken before it can be taken back.
func TestConnectionAfterRefusal(t *testing.T) {
	b := startSwitch(t)
	first := b.dev.RunningConfig()
	d := open(t, b)
	s := models.Session{Device: "sw1", Number: 1, Intent: "x",
		Sources:     []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(50)}},
		Filter:      []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmp"}}},
	}.Normalize()
	st, err := d.Observe(t.Context())
	must(t, err)
	for _, line := range []string{"  permit icmp any any", "monitor session 1", "  destination interface " + port(50), "interface " + port(50), "  switchport monitor", "  no shut", "exit", "end"} {
		cp := checkpoint(t, d, st, models.Change{Op: models.Create, After: &s})
		b.Refuse(line)
		if err := d.Apply(t.Context(), cp); err == nil || !strings.Contains(err.Error(), line) {
			t.Fatalf("%q is refused, and apply gives %v", line, err)
		}
		if _, err := d.Observe(t.Context()); err != nil {
			t.Errorf("observe on the same connection after %q: %v", line, err)
		}
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert on the same connection after %q: %v", line, err)
		}
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("%q: after revert (-before +after):\n%s", line, diff)
		}
		noCheckpoints(t, b)
	}
}

// TestHandWork: a destination port that lost its line shows as a change of the
// session, which an update mends.
func TestHandWork(t *testing.T) {
	b, d, cp, first := applied(t)
	must(t, d.Confirm(t.Context(), cp))
	must(t, b.dev.Configure("interface "+port(50), "no switchport monitor"))
	st, err := d.Observe(t.Context())
	must(t, err)
	var seen models.Session
	for _, s := range st.Sessions {
		if s.Number == 1 {
			seen = s.Normalize()
		}
	}
	if models.SameConfig(seen, local) || seen.Status.Reason != "Dst in wrong mode" {
		t.Errorf("the session is seen as %+v", seen)
	}
	must(t, d.Apply(t.Context(), checkpoint(t, d, st, models.Change{Op: models.Update, Before: &seen, After: &local})))
	if got := b.dev.MonitorSessions()[0]; got.Down != "" {
		t.Errorf("after the update it is down: %s", got.Down)
	}
	st, err = d.Observe(t.Context())
	must(t, err)
	set := models.ChangeSet{Device: "sw1", Changes: []models.Change{{Op: models.Delete, Before: &local}}}
	sc, err := d.Render(set, drivers.RenderOptions{Facts: st.Facts})
	must(t, err)
	must(t, d.Apply(t.Context(), drivers.Checkpoint{Device: "sw1", Changes: set, Script: sc}))
	if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
		t.Errorf("in the end (-before +after):\n%s", diff)
	}
}
