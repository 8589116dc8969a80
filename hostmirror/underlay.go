package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// ends are those of a tunnel.
type ends struct{ local, remote netip.Addr }

// underlay is the way from one end of a tunnel to the other.
type underlay struct {
	linknl.Route
	err string // why there is none, "" where there is one
}

func endsOf(l linknl.Spec) ends { return ends{l.Local, l.Remote} }

// routes asks for the ways of tunnels: those of our links and those in more.
func (m *Mirror) routes(ctx context.Context, s *snapshot, more ...ends) error {
	for _, l := range s.links {
		if l.as.Ours() && l.as.Kind.Tunnel() {
			more = append(more, endsOf(l.as.Spec))
		}
	}
	for _, e := range more {
		if _, known := s.routes[e]; known {
			continue
		}
		if s.routes == nil {
			s.routes = make(map[ends]underlay)
		}
		r, err := m.access.route(ctx, e.remote, e.local)
		switch {
		case errors.Is(err, linknl.ErrNoRoute):
			s.routes[e] = underlay{err: err.Error()}
		case err != nil:
			return err
		default:
			s.routes[e] = underlay{Route: r}
		}
	}
	return nil
}

// endsIn gives the tunnels that a change set asks for.
func endsIn(cs models.ChangeSet) []ends {
	var out []ends
	for _, c := range cs.Changes {
		if c.After == nil {
			continue
		}
		if l, ok := specOf(*c.After); ok && l.Kind.Tunnel() && l.Remote.IsValid() && (!l.Local.IsValid() || l.Local.Is4() == l.Remote.Is4()) {
			out = append(out, endsOf(l))
		}
	}
	return out
}

// usualMTU is taken of devices whose MTU is not known.
const usualMTU = 1500

// sourceMTU gives the largest MTU of a session's sources, and the source that has it.
func (s *snapshot) sourceMTU(ses models.Session) (mtu int, name string) {
	for _, src := range ses.Sources {
		l, ok := s.byName(src.Name)
		if n := l.mtu; ok && n > mtu {
			mtu, name = n, src.Name
		}
	}
	if mtu == 0 {
		mtu = usualMTU
	}
	return mtu, name
}

// linkMTU gives the MTU of a session's link. A tunnel does not look at the size of
// frames, unless it shall cut them.
func (s *snapshot) linkMTU(ses models.Session, l linknl.Spec) int {
	source, _ := s.sourceMTU(ses)
	switch l.Kind {
	case linknl.Dummy:
		return min(linknl.DeviceMTU(source), l.MostMTU())
	case linknl.VLAN:
		if lower, ok := s.byName(l.Lower); ok && lower.mtu > 0 {
			return lower.mtu
		}
		return usualMTU
	}
	l.MTU = min(linknl.DeviceMTU(source), l.MostMTU())
	if n := cutByLink(ses); n != 0 {
		if cut, err := linknl.TruncateMTU(int(n)); err == nil {
			l.MTU = min(l.MTU, cut)
		}
	}
	way, known := s.routes[endsOf(l)]
	if ses.Destination.Tunnel.Oversize == models.OversizeTruncate && known && way.err == "" && l.Fate(source, way.MTU, true) != linknl.Whole {
		l.MTU = min(l.MTU, l.FitMTU(way.MTU))
	}
	return l.MTU
}

// checkUnderlay refuses a link whose copies would not arrive as asked for, or would harm
// production. Nothing is refused of a way that nobody has looked at.
func (s *snapshot) checkUnderlay(ses models.Session, l linknl.Spec) error {
	source, name := s.sourceMTU(ses)
	if l.Kind == linknl.VLAN {
		lower, ok := s.byName(l.Lower)
		switch {
		case !ok:
			return fmt.Errorf("interface %s, by which copies leave into RSPAN VLAN %d, does not exist", l.Lower, l.VLAN)
		case l.Fate(source, lower.mtu, true) != linknl.Whole && lower.mtu > 0:
			return unsupported("copies of %s can have %d bytes behind the RSPAN tag, and %s takes %d: raise its MTU to %d",
				name, l.UnderlayMTU(source, true), l.Lower, lower.mtu, l.UnderlayMTU(source, true))
		}
		return nil
	}
	way, known := s.routes[endsOf(l)]
	if !l.Kind.Tunnel() || !known {
		return nil
	}
	switch {
	case way.err != "":
		return fmt.Errorf("%s cannot be reached from %s: %s", l.Remote, l.Local, way.err)
	case way.Local:
		return unsupported("%s is an address of this host: capture the copies here instead", l.Remote)
	}
	frame := l.UnderlayMTU(source, true) - l.Overhead()
	numbers := fmt.Sprintf("%s sends and receives frames of up to %d bytes (MTU %d, with a VLAN tag), which are %d with the %d around them; the way to %s by %s takes %d",
		name, frame, source, frame+l.Overhead(), l.Overhead(), l.Remote, way.Dev, way.MTU)
	fits := frame+l.Overhead() <= way.MTU
	asked := ses.Destination.Tunnel.Oversize
	ways := fmt.Sprintf("raise its MTU to %d", frame+l.Overhead())
	erspan := ses.Destination.Kind == models.DestinationERSPAN
	if room := l.FitMTU(way.MTU); erspan && room >= linknl.MinTruncate-ethernetHeader {
		ways += fmt.Sprintf(", or choose oversize truncate, which keeps %d bytes of a frame", room+ethernetHeader)
		fits = fits || l.MTU <= room && (asked == models.OversizeTruncate || cutByLink(ses) != 0)
	}
	switch fate := l.Fate(source, way.MTU, true); {
	case l.MTU < linknl.MinTruncate-ethernetHeader:
		return unsupported("%s, too little for a copy of any size: %s", numbers, ways)
	case fits:
		return nil
	case fate == linknl.Harmful:
		return unsupported("%s, and the kernel would tell the senders of production packets to send smaller ones: %s", numbers, ways)
	case fate == linknl.Lost:
		return unsupported("%s, so that longer copies would be lost: %s", numbers, ways)
	case asked == models.OversizeFragment:
		return nil
	default:
		return unsupported("%s: %s, or choose oversize fragment", numbers, ways)
	}
}

const ethernetHeader = 14

// wayDown says why copies cannot leave for a session's collector, "" for nothing known.
func (s *snapshot) wayDown(links []link) string {
	for _, l := range links {
		way, known := s.routes[endsOf(l.as.Spec)]
		if !l.as.Kind.Tunnel() || !known {
			continue
		}
		dev, _ := s.byIndex(way.Ifindex)
		switch {
		case way.err != "":
			return fmt.Sprintf("%s cannot be reached: %s", l.as.Remote, way.err)
		case !dev.runs && dev.index != 0:
			return fmt.Sprintf("%s, by which %s is reached, is down", dev.name, l.as.Remote)
		}
	}
	return ""
}

// A guarded is a place that outer packets of our tunnels pass and that is mirrored: a
// filter there hides them from what copies.
type guarded struct {
	at   point
	to   netip.Addr
	port uint16 // UDP, 0 = GRE
}

// Marks of our guards. Like mirrors they have a priority for each hook of their own,
// below all of them; the class has the hook in it.
const (
	guardEgress  = firstPriority - 1
	guardIngress = firstPriority - 2
	guardMajor   = 0x5350
)

func guardPriority(h tcnl.Hook) uint16 {
	if h == tcnl.Ingress {
		return guardIngress
	}
	return guardEgress
}

func guardClass(h tcnl.Hook) uint32 { return guardMajor<<16 | uint32(hookBytes[h]) }

// ourGuard reads a filter as a guard of ours: priority, class and exact shape say so.
func ourGuard(f tcnl.Filter) (guarded, bool) {
	g, ok := f.Guards()
	if !ok || f.Priority != guardPriority(f.Hook) || f.Class != guardClass(f.Hook) {
		return guarded{}, false
	}
	return guarded{point{f.Ifindex, f.Hook}, g.Collector, g.Port}, true
}

func (g guarded) filter() tcnl.Guard {
	return tcnl.Guard{
		Ifindex: g.at.index, Hook: g.at.hook, Priority: guardPriority(g.at.hook), Collector: g.to, Port: g.port, Class: guardClass(g.at.hook),
	}
}

// words is the guard as an operation has it.
func (g guarded) words() tcnl.Guard {
	f := g.filter()
	f.Ifindex = 0
	return f
}
