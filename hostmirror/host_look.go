package hostmirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/nsname"
	"github.com/spanctl/spanctl/models"
)

// Observe gives the sessions of the host's own namespace and of those that known
// sessions name, as they were asked for, and the ports of all of them. The facts'
// traits say which were looked at: "netns:blue", "container:web". A namespace that is
// no longer there has no sessions. One of a known session that cannot be looked into
// is an error: whether the session is there is not known then.
func (h *Host) Observe(ctx context.Context) (models.DeviceState, error) {
	places := h.places()
	if err := h.look(ctx, places); err != nil {
		return models.DeviceState{}, h.failed(drivers.PhaseObserve, err)
	}
	for _, place := range placesOf(h.known...) {
		if err := h.lost[place]; err != nil && !errors.Is(err, nsname.ErrGone) {
			return models.DeviceState{}, h.failed(drivers.PhaseObserve, err)
		}
	}
	return h.state(), nil
}

// places gives the places to look at, in a steady order.
func (h *Host) places() []string {
	var out []string
	for _, forms := range h.forms {
		for _, place := range placesOf(forms...) {
			if !slices.Contains(out, place) {
				out = append(out, place)
			}
		}
	}
	if h.o.AllNamespaces {
		names, err := h.find.Names()
		if err != nil {
			h.o.logger().Warn("not looked at", "device", h.o.Device, "error", err)
		}
		out = append(out, names...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spaces gives all namespaces that are open, the host's own first.
func (h *Host) spaces() []*space { return append([]*space{h.base}, h.other...) }

// look finds places and looks into them and into the host's own namespace. Namespaces
// that none of them leads to are closed: they may be kept alive by that alone.
func (h *Host) look(ctx context.Context, places []string) error {
	h.made = nil
	h.lost = make(map[string]error)
	for _, sp := range h.spaces() {
		sp.places = nil
	}
	for _, place := range places {
		if err := h.open(ctx, place); err != nil {
			if ctx.Err() != nil {
				return err
			}
			h.lost[place] = err
			h.o.logger().InfoContext(ctx, "not looked at", "device", h.o.Device, "place", place, "error", err)
		}
	}
	var open []*space
	for _, sp := range h.other {
		if len(sp.places) > 0 {
			open = append(open, sp)
		} else if err := sp.close(); err != nil {
			return err
		}
	}
	h.other = open
	for _, sp := range h.spaces() {
		sp.nsids = make(map[*space]*int)
		var err error
		if sp.state, err = sp.m.Observe(ctx); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(h.label(sp), "the host"), err)
		}
	}
	return nil
}

// open finds a place and makes it a name of its namespace.
func (h *Host) open(ctx context.Context, place string) (err error) {
	ns, err := h.find.Open(ctx, place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.File.Close()) }()
	info, err := ns.File.Stat()
	if err != nil {
		return err
	}
	for _, sp := range h.spaces() {
		if os.SameFile(sp.info, info) {
			if sp == h.base && ns.PID > 0 && ns.Own {
				return &nsname.Error{Place: place, Err: fmt.Errorf("%w: process %d, said to be its own, is in the namespace of the host", nsname.ErrUnknown, ns.PID),
					Hint: "run spanctl on the host itself: where it runs in a container, that one needs the host's PID namespace"}
			}
			sp.places = append(sp.places, found{place, ns.PID, ns.Paused})
			return nil
		}
	}
	o := h.o.Options
	o.Namespace = fmt.Sprintf("/proc/self/fd/%d", ns.File.Fd())
	sp := &space{places: []found{{place, ns.PID, ns.Paused}}}
	if sp.m, err = Open(ctx, o); err != nil {
		return entering(place, err)
	}
	if err := sp.identify(o.Namespace); err != nil {
		return errors.Join(err, sp.m.Close())
	}
	for _, s := range h.known {
		sp.m.learn(s.Name)
	}
	sp.m.tap = h.base.m.tap
	h.other = append(h.other, sp)
	return nil
}

// state puts together what the namespaces show.
func (h *Host) state() models.DeviceState {
	out := models.DeviceState{Device: h.o.Device, Facts: h.base.state.Facts, Ports: make(map[string]models.Port), VLANs: h.base.state.VLANs}
	ours := make(map[string][]piece)
	var foreign []models.Session
	for _, sp := range h.spaces() {
		for _, s := range sp.state.Sessions {
			if _, ok := cutForeign(s.Name); ok {
				foreign = append(foreign, h.foreign(sp, s))
				continue
			}
			ours[s.Name] = append(ours[s.Name], piece{sp, s})
		}
		h.ports(sp, out.Ports)
		for _, f := range sp.places {
			out.Facts.Traits = append(out.Facts.Traits, f.place)
		}
	}
	slices.Sort(out.Facts.Traits)
	for _, pieces := range ours {
		out.Sessions = append(out.Sessions, h.join(pieces))
	}
	slices.SortFunc(out.Sessions, func(a, b models.Session) int { return cmp.Compare(a.Name, b.Name) })
	out.Sessions = append(out.Sessions, foreign...)
	return out
}

// ports adds the ports of a namespace under every name that it has.
func (h *Host) ports(sp *space, to map[string]models.Port) {
	var places []string
	if sp == h.base {
		places = []string{""}
	}
	for _, f := range sp.places {
		places = append(places, f.place)
	}
	for _, place := range places {
		for name, p := range sp.state.Ports {
			p.Name = models.JoinPlace(place, name)
			if p.LAG != "" {
				p.LAG = models.JoinPlace(place, p.LAG)
			}
			to[p.Name] = p
		}
	}
}

// piece is what one namespace holds of a session.
type piece struct {
	sp *space
	s  models.Session
}

// join makes one session, as it was asked for, of what namespaces hold of it: one has
// its destination, others what comes to that one by relays. What does not fit together
// is a change half done, or one by hand: it shows as lines of Extra.
func (h *Host) join(pieces []piece) models.Session {
	var out models.Session
	var far, near []piece
	takes := make(map[string]*space) // relays from which a namespace takes copies
	for _, p := range pieces {
		if h.intoRelays(p) {
			far = append(far, p)
			continue
		}
		near = append(near, p)
		for _, src := range p.s.Sources {
			if l, ok := p.sp.m.snap.byName(src.Name); ok && isRelay(l) {
				takes[src.Name] = p.sp
			}
		}
	}
	for i, p := range near {
		p.s.Sources = slices.DeleteFunc(slices.Clone(p.s.Sources), func(src models.Source) bool { return takes[src.Name] == p.sp })
		s := h.asAsked(p.sp, p.s)
		if i == 0 {
			out = s
			continue
		}
		out.Sources = append(out.Sources, s.Sources...)
		out.Destination.Ports = append(out.Destination.Ports, s.Destination.Ports...)
		out.Extra = append(out.Extra, s.Extra...)
		out.Extra = append(out.Extra, fmt.Sprintf("made in %s as well as in %s", h.where(p.sp), h.where(near[0].sp)))
		if out.Status.State != models.OperDown {
			out.Status = s.Status
		}
	}
	for _, p := range far {
		if len(near) == 0 && out.Name == "" {
			out = models.Session{Device: p.s.Device, Name: p.s.Name, Filter: p.s.Filter, Destination: models.Destination{Kind: models.DestinationPort}}
		}
		h.joinFar(&out, p, takes)
	}
	for name, sp := range takes {
		out.Extra = append(out.Extra, fmt.Sprintf("nothing is copied into cable %s, from which %s takes copies", name, h.where(sp)))
	}
	return out.Normalize()
}

// intoRelays reports whether all copies of a piece go into relays.
func (h *Host) intoRelays(p piece) bool {
	return len(p.s.Destination.Ports) > 0 && !slices.ContainsFunc(p.s.Destination.Ports, func(port string) bool {
		l, ok := p.sp.m.snap.byName(port)
		return !ok || !isRelay(l)
	})
}

// joinFar adds what comes by a relay, and takes the relay out of those that are taken
// from.
func (h *Host) joinFar(out *models.Session, p piece, takes map[string]*space) {
	for _, name := range p.s.Destination.Ports {
		to := takes[name]
		if to == nil {
			out.Extra = append(out.Extra, fmt.Sprintf("copies in %s go into cable %s, from which nothing takes them", h.where(p.sp), name))
		} else if why := (relay{name, to, p.sp}).fault(); why != "" {
			out.Extra = append(out.Extra, fmt.Sprintf("cable %s from %s to %s: %s", name, h.where(p.sp), h.where(to), why))
		}
		delete(takes, name)
	}
	if !reflect.DeepEqual(models.NormalizeRules(p.s.Filter), models.NormalizeRules(out.Filter)) {
		out.Extra = append(out.Extra, fmt.Sprintf("%s: the filter is another one", h.where(p.sp)))
	}
	s := h.asAsked(p.sp, p.s)
	out.Sources = append(out.Sources, s.Sources...)
	out.Extra = append(out.Extra, s.Extra...)
	if out.Status.State != models.OperDown && s.Status.State != models.OperUp {
		out.Status = s.Status
	}
}

func (h *Host) where(sp *space) string { return cmp.Or(h.label(sp), "the host's own namespace") }

// asAsked gives a session of a namespace with the names of ports that it was asked
// for with.
func (h *Host) asAsked(sp *space, s models.Session) models.Session {
	s.Sources = slices.Clone(s.Sources)
	for i, src := range s.Sources {
		if src.Name != "" {
			s.Sources[i] = h.askedSource(sp, s.Name, src)
		}
	}
	if s.Destination.Kind != models.DestinationOther {
		s.Destination.Ports = slices.Clone(s.Destination.Ports)
		for i, port := range s.Destination.Ports {
			s.Destination.Ports[i] = h.askedPort(sp, s.Name, port)
		}
	}
	if label := h.label(sp); label != "" {
		s.Extra = slices.Clone(s.Extra)
		for i := range s.Extra {
			s.Extra[i] = label + ": " + s.Extra[i]
		}
		if s.Status.Reason != "" {
			s.Status.Reason = label + ": " + s.Status.Reason
		}
	}
	return s.Normalize()
}

// foreign gives a mirror of somebody else in a namespace a name of the host.
func (h *Host) foreign(sp *space, s models.Session) models.Session {
	label := h.label(sp)
	if label == "" {
		return s
	}
	s.Name = foreignPrefix + label + "/" + strings.TrimPrefix(s.Name, foreignPrefix)
	return h.asAsked(sp, s)
}
