package hostmirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// askedSource gives the source of a session in a namespace as it was asked for: by
// another name of the namespace, or as the far end of a cable, whose directions are
// the other way round.
func (h *Host) askedSource(sp *space, session string, src models.Source) models.Source {
	for _, form := range h.forms[session] {
		swapped := models.Source{}
		for _, asked := range form.Sources {
			l, turned, err := h.reach(asked.Name, sp)
			if err != nil || l.name != src.Name {
				continue
			}
			if !turned {
				src.Name = asked.Name
				return src
			}
			// Elsewhere the session has the ports themselves, and a relay.
			if h.home(form) == sp {
				swapped = models.Source{Kind: src.Kind, Name: asked.Name, Direction: opposite(src.Direction)}
			}
		}
		if swapped.Name != "" {
			return swapped
		}
	}
	src.Name = models.JoinPlace(h.label(sp), src.Name)
	return src
}

// home gives the namespace in which a session of a form is made, nil where that is not
// known now.
func (h *Host) home(form models.Session) *space {
	ports := portsOf(form) // destinations first
	if len(ports) == 0 {
		return h.base
	}
	sp, _, err := h.in(ports[0])
	if err != nil {
		return nil
	}
	return sp
}

// askedPort is askedSource for a destination.
func (h *Host) askedPort(sp *space, session, port string) string {
	for _, form := range h.forms[session] {
		for _, asked := range form.Destination.Ports {
			if at, name, err := h.in(asked); err == nil && at == sp && name == port {
				return asked
			}
		}
	}
	return models.JoinPlace(h.label(sp), port)
}

func opposite(d models.Direction) models.Direction {
	switch d {
	case models.Rx:
		return models.Tx
	case models.Tx:
		return models.Rx
	default:
		return d
	}
}

// in gives the namespace of a port, and its name there.
func (h *Host) in(port string) (*space, string, error) {
	place, name, elsewhere := models.CutPlace(port)
	if !elsewhere {
		return h.base, port, nil
	}
	for _, sp := range h.spaces() {
		for _, f := range sp.places {
			if f.place == place {
				return sp, name, nil
			}
		}
	}
	if err := h.lost[place]; err != nil {
		return nil, "", err
	}
	return nil, "", fmt.Errorf("%s was not looked at", place)
}

// reach gives the link of namespace to where what passes a port can be copied: the
// port itself, or the near end of its cable (swapped). With errNoCable it gives the link
// of the port.
func (h *Host) reach(port string, to *space) (l link, swapped bool, err error) {
	at, name, err := h.in(port)
	if err != nil {
		return link{}, false, err
	}
	l, ok := at.m.snap.byName(name)
	switch {
	case !ok:
		return link{}, false, fmt.Errorf("%s does not exist", port)
	case at == to:
		return l, false, nil
	}
	if near, ok := h.across(at, l, to); ok {
		return near, true, nil
	}
	return l, false, errNoCable
}

// errNoCable means that a port is in another namespace, and no cable leads from it to
// the one that was meant.
var errNoCable = errors.New("no cable leads from there")

// across gives the other end of a veth whose ends are in two namespaces. Both ends
// must know each other.
func (h *Host) across(at *space, l link, to *space) (link, bool) {
	if l.kind != "veth" || l.far == nil || !h.knowsAs(at, to, l.far.NSID) {
		return link{}, false
	}
	near, ok := to.m.snap.byIndex(l.far.Index)
	if !ok || near.kind != "veth" || near.far == nil || near.far.Index != l.index || !h.knowsAs(to, at, near.far.NSID) {
		return link{}, false
	}
	return near, true
}

// knowsAs reports whether a namespace knows another by a number.
func (h *Host) knowsAs(sp, other *space, nsid int) bool {
	id, asked := sp.nsids[other]
	if !asked {
		if n, ok := sp.m.access.(namespaceNumbers); ok && other.file != nil {
			if got, has, err := n.number(context.Background(), other.file); err == nil && has {
				id = &got
			}
		}
		sp.nsids[other] = id
	}
	return id != nil && *id == nsid
}

// placed is a session in the namespace where it is made, with the names of there.
type placed struct {
	sp    *space
	s     models.Session
	notes map[string]note // of sources that stand for others, by their names there

	// far are the parts of the session in other namespaces, whose copies come by a relay.
	far    map[*space]models.Session
	relays []relay
}

// note says for which source another one stands.
type note struct {
	name      string           // of the port that was asked for
	direction models.Direction // that was asked for
}

// place decides where a session is made. The host must have looked at the places
// that it names.
func (h *Host) place(s models.Session) (placed, error) {
	p := placed{s: s, notes: make(map[string]note), far: make(map[*space]models.Session)}
	for _, name := range portsOf(s) {
		if _, _, err := h.in(name); err != nil {
			return p, err
		}
	}
	p.sp = h.home(s)
	if err := p.sp.awake(); err != nil {
		return p, err
	}
	p.s.Destination.Ports = nil
	for _, name := range s.Destination.Ports {
		at, local, err := h.in(name)
		switch {
		case err != nil:
			return p, err
		case at != p.sp:
			return p, fmt.Errorf("%w: destinations %s and %s are in different network namespaces: make a session for each", drivers.ErrUnsupported, s.Destination.Ports[0], name)
		}
		if _, ok := at.m.snap.byName(local); !ok {
			return p, fmt.Errorf("destination %s does not exist", name)
		}
		p.s.Destination.Ports = append(p.s.Destination.Ports, local)
	}
	p.s.Sources = nil
	asked := make(map[string]string)
	for _, src := range s.Sources {
		if src.Name == "" {
			p.s.Sources = append(p.s.Sources, src)
			continue
		}
		l, swapped, err := h.reach(src.Name, p.sp)
		if errors.Is(err, errNoCable) {
			if err := h.placeFar(&p, s, src, l); err != nil {
				return p, err
			}
			continue
		}
		if err != nil {
			return p, fmt.Errorf("source %w", err)
		}
		if first, twice := asked[l.name]; twice && first != src.Name {
			return p, fmt.Errorf("%w: sources %s and %s are one cable or one port: each frame would be copied twice, so name one of them", drivers.ErrUnsupported, first, src.Name)
		}
		asked[l.name] = src.Name
		name := src.Name
		src.Name = l.name
		if swapped {
			p.notes[l.name] = note{name, src.Direction}
			src.Direction = opposite(src.Direction)
		}
		p.s.Sources = append(p.s.Sources, src)
	}
	p.s = p.s.Normalize()
	return p, nil
}

// absent says that a namespace has no such port, or that the port is in another one.
func absent(what, name string) error {
	if _, _, elsewhere := models.CutPlace(name); elsewhere {
		return fmt.Errorf("%w: %s %s is in another network namespace: it can be mirrored by a spanctl that runs on the host itself", drivers.ErrUnsupported, what, name)
	}
	return fmt.Errorf("%s %s does not exist", what, name)
}

// awake refuses a namespace whose container stands still.
func (sp *space) awake() error {
	for _, f := range sp.places {
		if f.paused {
			return fmt.Errorf("%s is paused: let it go on before anything is changed in it", f.place)
		}
	}
	return nil
}

// placeFar has a source copied in its own namespace, into a relay to that of the
// session. Filters hold at both ends, so that the relay carries no more than needed;
// what counts frames or changes copies, at the near end only.
func (h *Host) placeFar(p *placed, s models.Session, src models.Source, l link) error {
	at, _, err := h.in(src.Name)
	if err != nil {
		return err
	}
	part, ok := p.far[at]
	if !ok {
		if err := at.awake(); err != nil {
			return err
		}
		r := h.relayFor(s.Name, p.sp, at)
		p.relays = append(p.relays, r)
		p.s.Sources = append(p.s.Sources, models.Source{Kind: models.SourcePort, Name: r.name, Direction: models.Rx})
		part = models.Session{Device: s.Device, Name: s.Name, Role: models.RoleLocal, Filter: s.Filter,
			Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{r.name}}}
	}
	src.Name = l.name
	part.Sources = append(part.Sources, src)
	p.far[at] = part.Normalize()
	return nil
}
