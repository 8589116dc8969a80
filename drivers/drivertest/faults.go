package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// change is a change set that updates one session and makes another, and its way.
func (r *rig) change() (before []models.Session, cp drivers.Checkpoint, after []models.Session) {
	r.t.Helper()
	a := r.session(0, func(*models.Session) {})
	before = []models.Session{a}
	r.reach(before...)
	after = []models.Session{
		r.session(0, func(s *models.Session) { s.Sources = append(s.Sources, r.source(1, models.Rx)) }),
		r.session(1, func(s *models.Session) { s.Sources = []models.Source{r.source(2, models.Rx)} }),
	}
	return before, r.plan(after), after
}

// now is the time of plans; no session of the suite has a lease.
func (r *rig) now() time.Time { return time.Time{} }

// refusal lets the device refuse each step of a script in turn.
func refusal(t *testing.T, s Subject) {
	probe := newRig(t, s)
	_, cp, _ := probe.change()
	for i, step := range cp.Script.Steps {
		if slices.IndexFunc(cp.Script.Steps, func(s transport.Step) bool { return s.Text == step.Text }) < i {
			continue // the device refuses the first of that text
		}
		t.Run(string(step.Phase)+" "+strings.TrimSpace(step.Text), func(t *testing.T) {
			r := newRig(t, s)
			before, cp, _ := r.change()
			step := cp.Script.Steps[i]
			r.p.ResetWire()
			r.p.Refuse(step.Text)
			err := r.d.Apply(t.Context(), cp)
			var de *drivers.Error
			if !errors.As(err, &de) {
				t.Fatalf("the device refused %q, and apply gives %v", step.Text, err)
			}
			type told struct {
				Device           models.DeviceID
				Phase            drivers.Phase
				Kind             transport.Kind
				Session, Command string
			}
			want := told{r.p.Device, drivers.PhaseApply, transport.Rejected, step.Session, step.Redacted()}
			if d := gocmp.Diff(want, told{de.Device, de.Phase, de.Kind, de.Session, de.Command}); d != "" {
				t.Errorf("the error tells something else (-want +got):\n%s", d)
			}
			if de.Reply == "" {
				t.Error("the error does not tell what the device said")
			}
			if step.Phase == transport.Edit && step.Session == "" {
				t.Error("the step does not tell which session it serves")
			}
			for j, later := range cp.Script.Steps {
				if j > i && later.Phase == transport.Commit && slices.Contains(r.p.Wire(), later.Text) {
					t.Errorf("%q was sent after %q had been refused", later.Text, step.Text)
				}
			}
			if slices.ContainsFunc(cp.Script.Steps, func(s transport.Step) bool { return s.Phase == transport.Commit }) {
				r.truth("after the refusal", before...) // nothing is live before it
			}
			// Whatever is left, the driver must say it as it is; the connection may be
			// of no more use.
			r.d = r.open()
			if d := gocmp.Diff(clean(r.p.Truth()), clean(r.observe().Sessions), options); d != "" {
				t.Errorf("the driver does not see what is left (-device +driver):\n%s", d)
			}
			if err := r.d.Revert(t.Context(), cp); err != nil {
				t.Errorf("revert: %v", err)
			}
			r.truth("after revert", before...)
			r.reach()
			r.untouched("after all")
		})
	}
}

// stored gives the checkpoint as another process would read it.
func stored(t testing.TB, cp drivers.Checkpoint) drivers.Checkpoint {
	t.Helper()
	text, err := json.Marshal(cp)
	if err != nil {
		t.Fatal(err)
	}
	var out drivers.Checkpoint
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(cp, out, options); d != "" {
		t.Fatalf("the checkpoint is another one when it is read again (-stored +read):\n%s", d)
	}
	return out
}

// timer tests the ways back.
func timer(t *testing.T, s Subject) {
	confirms := s.Planner.Capabilities().Of(models.FeatureConfirm).Support == models.Yes
	t.Run("lapse", func(t *testing.T) {
		r := newRig(t, s)
		before, cp, after := r.change()
		r.apply(cp)
		r.truth("after apply", after...)
		r.p.Lapse(2 * within)
		if !confirms {
			r.truth("after the time, without a timer", after...)
			return
		}
		r.truth("after the time", before...)
		if err := r.d.Confirm(t.Context(), cp); err == nil {
			t.Error("confirm after the time gives no error")
		}
		r.truth("after a late confirm", before...)
		if err := r.d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert after the time: %v", err)
		}
		r.truth("after revert", before...)
	})
	// The points at which a process may die; another goes back.
	for _, at := range []struct {
		name    string
		send    bool
		confirm bool
	}{{"before apply", false, false}, {"before confirm", true, false}, {"after confirm", true, true}} {
		t.Run("second connection "+at.name, func(t *testing.T) {
			r := newRig(t, s)
			before, cp, after := r.change()
			if at.send {
				r.apply(cp)
			}
			if at.confirm {
				r.confirm(cp)
				r.truth("after confirm", after...)
			}
			_ = r.d.Close()
			r.d = r.open()
			if err := r.d.Revert(t.Context(), stored(t, cp)); err != nil {
				t.Errorf("revert: %v", err)
			}
			r.truth("after revert", before...)
			r.p.Lapse(2 * within)
			r.truth("after revert and the time", before...)
			r.reach()
			r.untouched("after all")
		})
	}
	t.Run("second connection confirms", func(t *testing.T) {
		r := newRig(t, s)
		_, cp, after := r.change()
		r.apply(cp)
		_ = r.d.Close()
		r.d = r.open()
		r.confirm(stored(t, cp))
		r.p.Lapse(2 * within)
		r.truth("after confirm and the time", after...)
	})
}

// contexts ends ctx in the middle of things.
func contexts(t *testing.T, s Subject) {
	t.Run("open and close", func(t *testing.T) {
		r := newRig(t, s)
		_ = r.d.Close()
		time.Sleep(20 * time.Millisecond) // the rig's own connection ends
		leakFree(t, func() {
			d := mustOpen(t, r.p)
			if _, err := d.Observe(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	})
	t.Run("read", func(t *testing.T) {
		r := newRig(t, s)
		_ = r.d.Close()
		time.Sleep(20 * time.Millisecond)
		leakFree(t, func() {
			d := mustOpen(t, r.p)
			defer d.Close()
			r.p.Hang("")
			ends(t, func(ctx context.Context) error {
				st, err := d.Observe(ctx)
				if !equal(st, models.DeviceState{}) {
					t.Error("observe gives a state with the error")
				}
				return err
			})
		})
	})
	t.Run("send", func(t *testing.T) {
		r := newRig(t, s)
		before, cp, after := r.change()
		_ = r.d.Close()
		time.Sleep(20 * time.Millisecond)
		last := cp.Script.Steps[len(cp.Script.Steps)-1]
		leakFree(t, func() {
			d := mustOpen(t, r.p)
			defer d.Close()
			r.p.Hang(last.Text)
			err := ends(t, func(ctx context.Context) error { return d.Apply(ctx, cp) })
			var de *drivers.Error
			if errors.As(err, &de) && last.Phase == transport.Commit && !de.InDoubt {
				t.Error("the commit was sent and not answered, and the error does not say that it is in doubt")
			}
		})
		r.d = r.open()
		if err := r.d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert: %v", err)
		}
		r.truth("after revert", before...)
		r.reach(after...)
		r.reach()
		r.untouched("after all")
	})
}

func mustOpen(t testing.TB, p *Peer) drivers.Driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := p.Open(ctx)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

// ends runs f, ends its ctx while the device is silent, and wants f back soon.
func ends(t testing.TB, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		t.Fatalf("the device is silent, but the call gives %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	select {
	case err := <-done:
		var de *drivers.Error
		if !errors.As(err, &de) || de.Kind != transport.Canceled {
			t.Errorf("ctx ended, and the error is %v; want a *drivers.Error of kind %s", err, transport.Canceled)
		}
		return err
	case <-time.After(patience):
		t.Fatal("ctx ended, and the call does not return")
		return nil
	}
}

// strange are answers that no device of any platform gives to what is asked.
var strange = []string{
	"",
	"% Invalid input",
	"<html><body>502 Bad Gateway</body></html>",
	"Building configuration...\n\nCurrent configuration : 120 bytes\n!\nhostname r1\n!\nmonitor session 1 source interface Gi1/0/1\n!\nend\n",
	"set system host-name r1\nset forwarding-options analyzer a input ingress interface ge-0/0/1.0\n",
	"\x00\x01\x02\xff\xfe",
}

// text feeds the dialect with what is not the whole answer.
func text(t *testing.T, s Subject) {
	if s.Dialect == nil {
		t.Log("this driver reads no text")
		return
	}
	r := newRig(t, s)
	r.reach(r.session(0, func(*models.Session) {}), r.session(1, func(*models.Session) {}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := r.p.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	replies, err := conn.Read(ctx, s.Dialect.Reads())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.Dialect.Parse(r.p.Device, replies)
	if err != nil {
		t.Fatalf("the whole text: %v", err)
	}
	with := func(i int, text string) (models.DeviceState, error) {
		rs := slices.Clone(replies)
		rs[i].Text = text
		return s.Dialect.Parse(r.p.Device, rs)
	}
	for i, reply := range replies {
		if reply.Err != "" {
			continue
		}
		t.Run(reply.Request.Text, func(t *testing.T) {
			// About 400 cuts, not at the same places in every line.
			for n := 0; n < len(reply.Text); n += 1 + len(reply.Text)/400 {
				if strings.TrimSpace(reply.Text[:n]) == strings.TrimSpace(reply.Text) {
					continue
				}
				st, err := with(i, reply.Text[:n])
				if err == nil && !equal(st, whole) {
					t.Fatalf("cut after %d of %d bytes, %q, it gives a state without an error", n, len(reply.Text), tail(reply.Text[:n]))
				}
				if err != nil && !equal(st, models.DeviceState{}) {
					t.Fatalf("cut after %d bytes it gives a state with the error", n)
				}
			}
			for _, other := range strange {
				if st, err := with(i, other); err == nil || !equal(st, models.DeviceState{}) {
					t.Errorf("%q gives a state, or no error: %v", tail(other), err)
				}
			}
		})
	}
	for _, rs := range [][]transport.Reply{nil, replies[:len(replies)-1], append(slices.Clone(replies), replies[0])} {
		if st, err := s.Dialect.Parse(r.p.Device, rs); err == nil || !equal(st, models.DeviceState{}) {
			t.Errorf("%d replies to %d requests give a state, or no error: %v", len(rs), len(replies), err)
		}
	}
}

func tail(s string) string {
	if len(s) > 40 {
		return "..." + s[len(s)-40:]
	}
	return s
}
