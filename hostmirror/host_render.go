package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// rendering is a change set and what it comes to in each namespace, in the order of the
// script.
type rendering struct {
	changes models.ChangeSet
	script  transport.Script
	parts   []part
}

// part is the changes in one namespace.
type part struct {
	sp    *space
	cs    models.ChangeSet
	notes map[string]note // of sources that stand for others, by session and name there
}

// Render gives the commands for cs, as [Mirror.Render] does, for each namespace that
// it is about: first where something is made, then where something only goes.
func (h *Host) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	if cs.Device != h.o.Device {
		return transport.Script{}, h.failed(drivers.PhaseRender, fmt.Errorf("the changes are for device %q", cs.Device))
	}
	for _, m := range h.made {
		if reflect.DeepEqual(m.changes, cs) {
			return m.script, nil
		}
	}
	h.Expect(sessionsOf(cs))
	if !h.looked(placesOf(sessionsOf(cs)...)) {
		if err := h.look(context.Background(), h.places()); err != nil {
			return transport.Script{}, h.failed(drivers.PhaseRender, err)
		}
	}
	parts, cables, err := h.split(cs)
	if err != nil {
		return transport.Script{}, err
	}
	script, err := h.renderParts(parts, cables, o)
	if err != nil {
		return transport.Script{}, err
	}
	h.made = append(h.made, rendering{cs, script, parts})
	return script, nil
}

// looked reports whether the last look is not out of date and has looked for places.
func (h *Host) looked(places []string) bool {
	for _, sp := range h.spaces() {
		if sp.m.snap == nil {
			return false
		}
	}
	return !slices.ContainsFunc(places, func(place string) bool {
		_, _, err := h.in(models.JoinPlace(place, "lo"))
		return err != nil && h.lost[place] == nil
	})
}

// renderParts has each namespace render its part. A failure leaves no trace in what
// the namespaces think ahead.
func (h *Host) renderParts(parts []part, cables *relayChanges, o drivers.RenderOptions) (script transport.Script, err error) {
	ahead := make(map[*space]int)
	before := make(map[*space]*snapshot)
	for _, sp := range h.spaces() {
		ahead[sp], before[sp] = len(sp.m.ahead), sp.m.last()
	}
	defer func() {
		if err != nil {
			for sp, n := range ahead {
				sp.m.ahead = sp.m.ahead[:n]
			}
			for _, c := range cables.add {
				c.relay.supposeGone()
			}
		}
	}()
	script.Encoding = transport.TC
	for _, c := range cables.add {
		script.Steps = append(script.Steps, transport.Step{Phase: transport.Edit, Text: h.addText(c.relay), Session: c.session})
		c.relay.supposeAdded()
	}
	for _, p := range parts {
		s, err := p.sp.m.Render(p.cs, o)
		if err != nil {
			return transport.Script{}, h.inPlace(p.sp, err)
		}
		for _, step := range s.Steps {
			step.Text = p.typed(step, h.enter(p.sp))
			script.Steps = append(script.Steps, step)
		}
	}
	if err := h.checkLoops(before); err != nil {
		return transport.Script{}, &drivers.Error{Device: h.o.Device, Phase: drivers.PhaseRender, Kind: transport.Rejected, Err: err}
	}
	for _, c := range cables.del {
		script.Steps = append(script.Steps, transport.Step{Phase: transport.Edit, Text: h.delText(c.relay), Session: c.session})
		c.relay.supposeGone()
	}
	return script, nil
}

// last is what the kernel will hold once all that was rendered is made.
func (m *Mirror) last() *snapshot {
	if n := len(m.ahead); n > 0 {
		return m.ahead[n-1].after
	}
	return m.snap
}

// inPlace says of an error which namespace it is about.
func (h *Host) inPlace(sp *space, err error) error {
	var e *drivers.Error
	if label := h.label(sp); label != "" && errors.As(err, &e) && e.Err != nil {
		e.Err = fmt.Errorf("%s: %w", label, e.Err)
	}
	return err
}

// split sorts changes by the namespaces in which sessions are, and shall be. A session
// that shall be in another one than it is gets made there before it goes here.
func (h *Host) split(cs models.ChangeSet) ([]part, *relayChanges, error) {
	cables := &relayChanges{}
	parts := make(map[*space]*part)
	add := func(sp *space, c models.Change) {
		if parts[sp] == nil {
			parts[sp] = &part{sp: sp, cs: models.ChangeSet{Device: cs.Device}, notes: make(map[string]note)}
		}
		parts[sp].cs.Changes = append(parts[sp].cs.Changes, c)
	}
	held := make(map[string]map[*space]models.Session)
	for _, c := range cs.Changes {
		ses := c.Session()
		if ses == nil {
			add(h.base, c) // for the Mirror to refuse
			continue
		}
		if held[ses.Name] == nil {
			held[ses.Name] = h.holders(ses.Name)
		}
		have := held[ses.Name]
		_, foreign := cutForeign(ses.Name)
		if foreign || c.Op == models.Delete && len(have) == 0 {
			add(h.base, c)
			cables.want(h, ses.Name, nil)
			continue
		}
		var to placed
		if c.Op != models.Delete {
			var err error
			if to, err = h.place(*c.After); err != nil {
				e := h.failed(drivers.PhaseRender, err)
				e.Session = ses.Name
				if errors.Is(err, drivers.ErrUnsupported) {
					e.Kind = drivers.Unsupported
				}
				return nil, nil, e
			}
			for _, r := range to.relays {
				if why := r.fault(); r.there() && why != "" {
					return nil, nil, &drivers.Error{Device: cs.Device, Phase: drivers.PhaseRender, Kind: transport.Rejected, Session: ses.Name,
						Err: fmt.Errorf("cable %s from %s to %s: %s", r.name, h.where(r.far), h.where(r.near), why), Hint: "mend it, or delete the session and make it again"}
				}
			}
			if _, here := have[to.sp]; len(have) > 0 && c.Op == models.Create && !here {
				return nil, nil, &drivers.Error{Device: cs.Device, Phase: drivers.PhaseRender, Kind: transport.Rejected, Session: ses.Name,
					Err: errors.New("is there already, in another network namespace; look at the device again before changing it")}
			}
		}
		for _, sp := range h.spaces() {
			want := to.in(sp)
			before, here := have[sp]
			switch {
			case want == nil && here:
				add(sp, models.Change{Op: models.Delete, Before: &before})
			case want != nil && here:
				add(sp, models.Change{Op: c.Op, Before: &before, After: want})
			case want != nil:
				add(sp, models.Change{Op: models.Create, After: want})
			}
			if want == nil {
				delete(have, sp)
			} else {
				have[sp] = *want
			}
			if want != nil && sp == to.sp {
				for name, n := range to.notes {
					parts[sp].notes[ses.Name+"/"+name] = n
				}
			}
		}
		cables.want(h, ses.Name, to.relays)
	}
	return h.ordered(parts), cables, nil
}

// in gives what a session comes to in a namespace, nil for nothing.
func (p *placed) in(sp *space) *models.Session {
	if sp == p.sp {
		return &p.s
	}
	if s, ok := p.far[sp]; ok {
		return &s
	}
	return nil
}

// relayChanges are relays to be made before, and removed after, all filters.
type relayChanges struct {
	add, del []change
}

// change is a relay and the session that has it.
type change struct {
	session string
	relay   relay
}

// want has a session keep those relays that are as they shall be, and no others.
func (rc *relayChanges) want(h *Host, session string, relays []relay) {
	drop := func(list []change, name string) []change {
		return slices.DeleteFunc(list, func(c change) bool { return c.relay.name == name })
	}
	for _, r := range h.relaysOf(session) {
		if !slices.ContainsFunc(relays, func(w relay) bool { return w == r }) {
			rc.del = append(drop(rc.del, r.name), change{session, r})
		}
	}
	rc.add = slices.DeleteFunc(rc.add, func(c change) bool { return c.session == session })
	for _, r := range relays {
		rc.del = drop(rc.del, r.name)
		if !r.there() {
			rc.add = append(rc.add, change{session, r})
		}
	}
}

// holders gives the namespaces that hold something of a session, and what.
func (h *Host) holders(name string) map[*space]models.Session {
	out := make(map[*space]models.Session)
	for _, sp := range h.spaces() {
		sp.m.learn(name)
		for _, s := range sp.m.last().ourSessions(h.o.Device, sp.m.names) {
			if s.Name == name {
				out[sp] = s
			}
		}
	}
	return out
}

func (h *Host) ordered(parts map[*space]*part) []part {
	var made, gone []part
	for _, sp := range h.spaces() {
		p := parts[sp]
		switch {
		case p == nil:
		case slices.ContainsFunc(p.cs.Changes, func(c models.Change) bool { return c.After != nil }):
			made = append(made, *p)
		default:
			gone = append(gone, *p)
		}
	}
	return append(made, gone...)
}

// enter gives the words in front of commands for a namespace, "" for the host's own.
func (h *Host) enter(sp *space) string {
	if sp == h.base {
		return ""
	}
	return sp.places[0].enter()
}

func (f found) enter() string {
	if f.pid > 0 {
		return fmt.Sprintf("nsenter --net=/proc/%d/ns/net ", f.pid)
	}
	return "ip netns exec " + quote(strings.TrimPrefix(f.place, models.PlaceNetNS)) + " "
}

// typed gives the text of a step as a person would type it. What makes a copy of the
// near end of a cable says which port was meant.
func (p part) typed(step transport.Step, enter string) string {
	o, err := parseOperation(step.Text)
	if n, ok := p.notes[step.Session+"/"+o.Dev]; ok && err == nil && copies(o) {
		return enter + step.Text + n.mark(o.Hook)
	}
	return enter + step.Text
}

// copies reports whether an operation makes copies of what passes a port.
func copies(o operation) bool {
	return o.Verb == addFilter || o.Verb == addCopy || o.Verb == changeCopy
}

// noteMark begins the comment that says which port the near end of a cable stands for.
const noteMark = " # "

func (n note) mark(hook tcnl.Hook) string {
	return noteMark + n.name + " " + opposite(directionOf(hook)).String()
}

// Advise gives what is worth knowing of cs, which was rendered before.
func (h *Host) Advise(cs models.ChangeSet) models.Findings {
	var out models.Findings
	for _, m := range h.made {
		if !reflect.DeepEqual(m.changes, cs) {
			continue
		}
		for _, p := range m.parts {
			for _, f := range p.sp.m.Advise(p.cs) {
				if label := h.label(p.sp); label != "" {
					f.Message = label + ": " + f.Message
				}
				out = append(out, f)
			}
		}
	}
	return out
}
