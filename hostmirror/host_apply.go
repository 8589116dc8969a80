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
	if len(h.placesFor(cp.Changes)) == 0 {
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
		if r.relay != nil {
			continue
		}
		if whole[r.sp] == nil {
			whole[r.sp] = &stretch{sp: r.sp, cp: drivers.Checkpoint{Device: cp.Device, Script: transport.Script{Encoding: cp.Script.Encoding}}}
		}
		w := whole[r.sp]
		w.cp.Script.Steps, w.texts = append(w.cp.Script.Steps, r.cp.Script.Steps...), append(w.texts, r.texts...)
	}
	for _, w := range whole {
		if _, err := w.sp.m.parse(w.cp); err != nil {
			return h.inPlace(w.sp, w.asTyped(err))
		}
	}
	return h.do(ctx, cp, runs, whole)
}

// do does what Apply has read. Cables that come first are made before anything is looked
// at: other steps are about them.
func (h *Host) do(ctx context.Context, cp drivers.Checkpoint, runs []stretch, whole map[*space]*stretch) error {
	var undo []func(context.Context) error
	fail := func(sp *space, err error) error {
		var failure *drivers.Error
		if errors.As(err, &failure) {
			takeBack(ctx, undo, failure)
		}
		return h.inPlace(sp, err)
	}
	looked := false
	for _, r := range runs {
		if r.relay != nil {
			back, err := h.relayStep(ctx, r.texts[0], *r.relay)
			if err == nil {
				undo = append(undo, back)
				continue
			}
			failure := h.base.m.stepFailed(nil, 0, err)
			failure.Session, failure.Command = r.cp.Script.Steps[0].Session, r.texts[0]
			return fail(h.base, failure)
		}
		if !looked {
			for _, sp := range h.spaces() {
				if w := whole[sp]; w != nil {
					if _, err := sp.m.ready(ctx, w.cp); err != nil {
						return fail(sp, w.asTyped(err))
					}
				}
			}
			looked = true
		}
		back, err := r.sp.m.apply(ctx, r.cp)
		if err != nil {
			return fail(r.sp, r.asTyped(err))
		}
		undo = append(undo, back...)
	}
	return nil
}

// stretch is a run of steps in one namespace.
type stretch struct {
	sp    *space
	relay *relay // of a single step that makes or removes a cable; else nil
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
	relays := h.relaysIn(cp.Changes)
	var out []stretch
	for i, s := range cp.Script.Steps {
		text := s.Text
		if r := h.relayOf(text, relays); r != nil {
			out = append(out, stretch{relay: r, texts: []string{text}, cp: drivers.Checkpoint{Script: transport.Script{Steps: []transport.Step{s}}}})
			continue
		}
		sp, plain, err := h.untyped(s, cp.Changes)
		if err != nil {
			return nil, h.base.m.stepFailed(cp.Script.Steps, i, err)
		}
		s.Text = plain
		if n := len(out); n == 0 || out[n-1].sp != sp || out[n-1].relay != nil {
			out = append(out, stretch{sp: sp, cp: drivers.Checkpoint{Device: cp.Device, Changes: cp.Changes, Script: transport.Script{Encoding: cp.Script.Encoding}}})
		}
		r := &out[len(out)-1]
		r.cp.Script.Steps, r.texts = append(r.cp.Script.Steps, s), append(r.texts, text)
	}
	return out, nil
}

// untyped reads what part.typed wrote, and nothing else: the namespace of a step and
// its text for there. Only namespaces that the sessions name, or were known to, as the
// names lead to them now, are taken, and what a comment says of a cable must be so now.
func (h *Host) untyped(step transport.Step, cs models.ChangeSet) (*space, string, error) {
	sp, text := h.base, step.Text
	for _, place := range h.placesFor(cs) {
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
		for _, place := range h.placesFor(cs) {
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
