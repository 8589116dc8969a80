package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Apply does the steps of the checkpoint's script, each in its namespace, all or none:
// all are read, and looked at whether they fit, before the first is done, and when one
// fails all before it are undone, also in other namespaces.
func (h *Host) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	h.rememberChanges(cp.Changes)
	h.made = nil
	if len(placesOf(sessionsOf(cp.Changes)...)) == 0 {
		return h.base.m.Apply(ctx, cp)
	}
	if err := h.look(ctx, h.places()); err != nil {
		return h.failed(drivers.PhaseApply, err)
	}
	runs, err := h.runs(cp)
	if err != nil {
		return err
	}
	whole := make(map[*space]*stretch)
	for _, r := range runs {
		if whole[r.sp] == nil {
			whole[r.sp] = &stretch{sp: r.sp, cp: drivers.Checkpoint{Device: cp.Device, Script: transport.Script{Encoding: cp.Script.Encoding}}}
		}
		w := whole[r.sp]
		w.cp.Script.Steps, w.texts = append(w.cp.Script.Steps, r.cp.Script.Steps...), append(w.texts, r.texts...)
	}
	for _, sp := range h.spaces() {
		if w := whole[sp]; w != nil {
			if _, err := sp.m.ready(ctx, w.cp); err != nil {
				return h.inPlace(sp, w.asTyped(err))
			}
		}
	}
	var undo []func(context.Context) error
	for _, r := range runs {
		back, err := r.sp.m.apply(ctx, r.cp)
		if err != nil {
			var failure *drivers.Error
			if errors.As(err, &failure) {
				takeBack(ctx, undo, failure)
			}
			return h.inPlace(r.sp, r.asTyped(err))
		}
		undo = append(undo, back...)
	}
	return nil
}

// stretch is a run of steps in one namespace.
type stretch struct {
	sp    *space
	cp    drivers.Checkpoint
	texts []string // the steps as they were typed
}

// asTyped gives the command of an error as it stands in the script.
func (r stretch) asTyped(err error) error {
	var e *drivers.Error
	if errors.As(err, &e) {
		for i, s := range r.cp.Script.Steps {
			if s.Redacted() == e.Command {
				e.Command = r.texts[i]
				break
			}
		}
	}
	return err
}

// runs reads in which namespace each step is to be done.
func (h *Host) runs(cp drivers.Checkpoint) ([]stretch, error) {
	if cp.Device != h.o.Device {
		return nil, h.failed(drivers.PhaseApply, fmt.Errorf("the checkpoint is of device %q", cp.Device))
	}
	var out []stretch
	for i, s := range cp.Script.Steps {
		text := s.Text
		sp, plain, err := h.untyped(s, cp.Changes)
		if err != nil {
			return nil, h.base.m.stepFailed(cp.Script.Steps, i, err)
		}
		s.Text = plain
		if n := len(out); n == 0 || out[n-1].sp != sp {
			out = append(out, stretch{sp: sp, cp: drivers.Checkpoint{Device: cp.Device, Changes: cp.Changes, Script: transport.Script{Encoding: cp.Script.Encoding}}})
		}
		r := &out[len(out)-1]
		r.cp.Script.Steps, r.texts = append(r.cp.Script.Steps, s), append(r.texts, text)
	}
	return out, nil
}

// untyped reads what part.typed wrote, and nothing else: the namespace of a step and
// its text for there. Only namespaces that the changes name, as their names lead to
// them now, are taken, and what a comment says of a cable must be so now.
func (h *Host) untyped(step transport.Step, cs models.ChangeSet) (*space, string, error) {
	sp, text := h.base, step.Text
	for _, place := range placesOf(sessionsOf(cs)...) {
		at, _, err := h.in(models.JoinPlace(place, "lo"))
		if err != nil || at == h.base {
			continue
		}
		for _, f := range at.places {
			if rest, ok := strings.CutPrefix(step.Text, f.enter()); ok {
				sp, text = at, rest
			}
		}
	}
	if sp == h.base && (strings.HasPrefix(text, "ip netns ") || strings.HasPrefix(text, "nsenter ")) {
		for _, place := range placesOf(sessionsOf(cs)...) {
			if err := h.lost[place]; err != nil {
				return nil, "", err
			}
		}
		return nil, "", errors.New("is for a network namespace to which no name of the changes leads now: a container was started again, or it is not this plan's; plan again")
	}
	at := strings.LastIndex(text, noteMark)
	if at < 0 {
		return sp, text, nil
	}
	said := text[at:]
	words := strings.Split(strings.TrimPrefix(said, noteMark), " ")
	if len(words) != 2 || words[1] != models.Rx.String() && words[1] != models.Tx.String() {
		return sp, text, nil // a comment of the step itself
	}
	text = text[:at]
	o, err := parseOperation(text)
	if err != nil {
		return nil, "", err
	}
	l, swapped, err := h.reach(words[0], sp)
	if err != nil {
		return nil, "", err
	}
	if !copies(o) || !swapped || l.name != o.Dev || (note{name: words[0]}).mark(o.Hook) != said {
		return nil, "", fmt.Errorf("is not what copies %s %s now; plan again", words[0], words[1])
	}
	return sp, text, nil
}
