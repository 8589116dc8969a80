package hostmirror

import (
	"context"
	"fmt"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// askedSource gives the source of a session in a namespace as it was asked for: by
// another name of the namespace, or as the far end of a cable, whose directions are
// the other way round.
func (h *Host) askedSource(sp *space, session string, src models.Source) models.Source {
	for _, form := range h.forms[session] {
		for _, asked := range form.Sources {
			l, swapped, err := h.reach(asked.Name, sp)
			if err != nil || l.name != src.Name {
				continue
			}
			src.Name = asked.Name
			if swapped {
				src.Direction = opposite(src.Direction)
			}
			return src
		}
	}
	src.Name = models.JoinPlace(h.label(sp), src.Name)
	return src
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
// port itself, or the near end of its cable (swapped).
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
	return link{}, false, fmt.Errorf("%w: %s is in %s, and no cable (veth) leads from it to %s, where the copies shall go: a copy cannot leave its namespace by itself; "+
		"name a destination in the same namespace, or send the copies from there in a tunnel", drivers.ErrUnsupported, port, h.where(at), h.where(to))
}

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
}

// note says for which source another one stands.
type note struct {
	name      string           // of the port that was asked for
	direction models.Direction // that was asked for
}

// place decides where a session is made. The host must have looked at the places
// that it names.
func (h *Host) place(s models.Session) (placed, error) {
	p := placed{s: s, notes: make(map[string]note)}
	for _, name := range portsOf(s) { // destinations first
		at, _, err := h.in(name)
		switch {
		case err != nil:
			return p, err
		case p.sp == nil:
			p.sp = at
		}
	}
	if p.sp == nil {
		p.sp = h.base
	}
	for _, f := range p.sp.places {
		if f.paused {
			return p, fmt.Errorf("%s is paused: let it go on before anything is changed in it", f.place)
		}
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
