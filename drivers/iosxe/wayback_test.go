package iosxe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/iosxe"
	peer "github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/models"
)

// TestTimer: with an archive the device takes a change back by itself, is stopped
// by a confirmation from another connection, and goes back on request.
func TestTimer(t *testing.T) {
	s := models.Session{Device: "sw1", Number: 1, Intent: "x",
		Sources:     []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(5)}}}.Normalize()
	setup := func(t *testing.T) (*bed, drivers.Driver, drivers.Checkpoint, string) {
		b := startSwitch(t, func(o *peer.Options) { o.Archive = true })
		first := b.dev.RunningConfig()
		d, err := b.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		st, err := d.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cs := models.ChangeSet{Device: "sw1", Changes: []models.Change{{Op: models.Create, After: &s}}}
		sc, err := d.Render(cs, drivers.RenderOptions{Within: 10 * time.Minute, Facts: st.Facts})
		if err != nil {
			t.Fatal(err)
		}
		if sc.Within != 10*time.Minute {
			t.Fatalf("the script goes back after %s; the device has an archive: %v", sc.Within, st.Facts)
		}
		cp := drivers.Checkpoint{Device: "sw1", Changes: cs, Script: sc}
		if err := d.Apply(t.Context(), cp); err != nil {
			t.Fatal(err)
		}
		if b.dev.RunningConfig() == first {
			t.Fatal("nothing is applied")
		}
		_ = d.Close()
		if d, err = b.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return b, d, cp, first
	}
	t.Run("lapse", func(t *testing.T) {
		b, d, cp, first := setup(t)
		b.clock.Advance(11 * time.Minute)
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("after the time (-before +after):\n%s", diff)
		}
		if err := d.Confirm(t.Context(), cp); err == nil {
			t.Error("a late confirm gives no error")
		}
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert after the time: %v", err)
		}
	})
	t.Run("confirm", func(t *testing.T) {
		b, d, cp, first := setup(t)
		if err := d.Confirm(t.Context(), cp); err != nil {
			t.Fatal(err)
		}
		after := b.dev.RunningConfig()
		b.clock.Advance(time.Hour)
		if b.dev.RunningConfig() != after || after == first {
			t.Error("the confirmed change is gone")
		}
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("after revert (-before +after):\n%s", diff)
		}
	})
	t.Run("revert", func(t *testing.T) {
		b, d, cp, first := setup(t)
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, b.dev.RunningConfig()); diff != "" {
			t.Errorf("after revert (-before +after):\n%s", diff)
		}
		if _, pending := b.dev.PendingRevert(); pending {
			t.Error("the timer still runs")
		}
	})
}

// TestTypeIIOnly: a device that says that it sends type II only is not asked for
// III.
func TestTypeIIOnly(t *testing.T) {
	b := startSwitch(t, func(o *peer.Options) { o.HeaderTypeIII = false })
	d, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	st, err := d.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !st.Facts.HasTrait(iosxe.TraitTypeII) {
		t.Errorf("facts %+v; the device says type II", st.Facts)
	}
}

// TestConnectionAfterRefusal: a line that is refused in the middle of a mode leaves
// the connection of use, and what was taken before it can be taken back.
func TestConnectionAfterRefusal(t *testing.T) {
	b := startSwitch(t)
	first := b.dev.RunningConfig()
	d, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := models.Session{Device: "sw1", Number: 1, Intent: "x",
		Sources: []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: tunnel.Source, Destination: tunnel.Destination, Version: 2, SessionID: 9}},
		Filter: []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmp"}}},
	}.Normalize()
	cs := models.ChangeSet{Device: "sw1", Changes: []models.Change{{Op: models.Create, After: &s}}}
	for _, line := range []string{" permit icmp any any", "  erspan-id 9", " no shutdown", "exit"} {
		sc, err := d.Render(cs, drivers.RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		cp := drivers.Checkpoint{Device: "sw1", Changes: cs, Script: sc}
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
	}
}
