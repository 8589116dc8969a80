package hostmirror

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// A relay is a cable of ours, a veth pair, from a namespace that has sources of a
// session to the one where the session's destination is. Copies go into the far end and
// come in at the near end, from where the session copies them on. That costs a second
// copy of each frame.
//
// Nothing else may come of them there: the near end drops what it has received, behind
// the mirrors, before the namespace's own stack sees it. The filter for that is there
// before the end is up. Both ends are without ARP, multicast and addresses of IPv6, so
// that the stacks on both sides send nothing by themselves.
//
// Both ends have one name, relayPrefix and 9 letters and digits of a hash, and the
// interface group linknl.Group.
type relay struct {
	name      string
	near, far *space
}

// relayPrefix begins the name of a relay. The names of other links that sessions have
// (package linknl) are without 0.
const relayPrefix = linknl.Prefix + "0"

const (
	relayDigits = 9
	relayMTU    = 65535 // the largest of a veth: no copy may be too long
	// dropBehind is the priority of the filter that drops, behind all mirrors.
	dropBehind = egressPriority + filtersPerHook
)

func relayName(dev models.DeviceID, session, place string) string {
	sum := sha256.Sum256([]byte(string(dev) + "/" + session + "/" + place))
	return relayPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:relayDigits]
}

func isRelay(l link) bool { return l.kind == "veth" && strings.HasPrefix(l.name, relayPrefix) }

// relayFor gives the relay by which a session has, or shall have, sources of another
// namespace.
func (h *Host) relayFor(session string, near, far *space) relay {
	place := h.label(far)
	if place == "" {
		place = "the host" // no place is named so
	}
	for _, l := range far.m.last().links { // by whatever name of the namespace it was made
		for _, f := range far.places {
			if isRelay(l) && l.name == relayName(h.o.Device, session, f.place) {
				return relay{l.name, near, far}
			}
		}
	}
	return relay{relayName(h.o.Device, session, place), near, far}
}

// maker gives the end from which the pair is made and removed, and the other one. The
// host's own namespace has no name that ip could be told.
func (h *Host) maker(r relay) (maker, other *space) {
	if r.far == h.base {
		return r.far, r.near
	}
	return r.near, r.far
}

// addText gives the commands that make r.
func (h *Host) addText(r relay) string {
	maker, other := h.maker(r)
	to := strings.TrimPrefix(other.places[0].place, models.PlaceNetNS)
	if pid := other.places[0].pid; pid > 0 {
		to = strconv.Itoa(pid)
	}
	const quiet = "arp off multicast off addrgenmode none"
	return strings.Join([]string{
		fmt.Sprintf("%sip link add %s group %d mtu %d type veth peer name %s mtu %d netns %s", h.enter(maker), r.name, linknl.Group, relayMTU, r.name, relayMTU, quote(to)),
		fmt.Sprintf("%sip link set dev %s group %d %s", h.enter(r.near), r.name, linknl.Group, quiet),
		fmt.Sprintf("%stc qdisc add dev %s clsact", h.enter(r.near), r.name),
		fmt.Sprintf("%stc filter add dev %s ingress pref %d protocol all bpf %s", h.enter(r.near), r.name, dropBehind, tcnl.DropWords),
		fmt.Sprintf("%sip link set dev %s up", h.enter(r.near), r.name),
		fmt.Sprintf("%sip link set dev %s group %d %s up", h.enter(r.far), r.name, linknl.Group, quiet),
	}, " && ")
}

// delText gives the command that removes r.
func (h *Host) delText(r relay) string {
	maker, _ := h.maker(r)
	return fmt.Sprintf("%sip link del dev %s # group %d type veth", h.enter(maker), r.name, linknl.Group)
}

// supposeAdded has what is thought ahead of both namespaces show r, supposeGone no more.
func (r relay) supposeAdded() {
	near, far := r.near.m.last(), r.far.m.last()
	for _, s := range []*snapshot{near, far} {
		index := 0
		for _, l := range s.links {
			index = max(index, l.index)
		}
		s.links = append(slices.Clip(s.links), link{index: index + 1, name: r.name, kind: "veth", up: true, runs: true, mtu: relayMTU})
		if s == near {
			s.qdiscs = append(slices.Clip(s.qdiscs), tcnl.Qdisc{Ifindex: index + 1, Kind: "clsact"})
			s.filters = append(slices.Clip(s.filters), tcnl.Filter{DropAll: true, Direct: true, ID: tcnl.ID{
				Ifindex: index + 1, Hook: tcnl.Ingress, Priority: dropBehind, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Handle: 1}})
		}
	}
}

func (r relay) supposeGone() {
	for _, s := range []*snapshot{r.near.m.last(), r.far.m.last()} {
		l, ok := s.byName(r.name)
		if !ok {
			continue
		}
		s.links = slices.DeleteFunc(slices.Clone(s.links), func(o link) bool { return o.index == l.index })
		s.qdiscs = slices.DeleteFunc(slices.Clone(s.qdiscs), func(q tcnl.Qdisc) bool { return q.Ifindex == l.index })
		s.filters = slices.DeleteFunc(slices.Clone(s.filters), func(f tcnl.Filter) bool { return f.Ifindex == l.index })
	}
}

// there reports whether both ends are there, in what is thought ahead.
func (r relay) there() bool {
	_, near := r.near.m.last().byName(r.name)
	_, far := r.far.m.last().byName(r.name)
	return near && far
}

// fault says what keeps r from being as it is made; "" for nothing.
func (r relay) fault() string {
	near, ok := r.near.m.last().byName(r.name)
	if !ok {
		return "its near end is gone"
	}
	far, ok := r.far.m.last().byName(r.name)
	switch {
	case !ok:
		return "its far end is gone"
	case !near.up || !far.up:
		return "it is down"
	case !slices.ContainsFunc(r.near.m.last().on(near.index, tcnl.Ingress), func(f tcnl.Filter) bool { return f.DropAll && f.Priority == dropBehind }):
		return "copies come into the namespace itself, since the filter that drops them behind the mirror is gone"
	}
	return ""
}

// relaysOf gives the relays that a session has: all whose names could be its.
func (h *Host) relaysOf(session string) []relay {
	var out []relay
	for _, far := range h.spaces() {
		places := []string{"the host"}
		for _, f := range far.places {
			places = append(places, f.place)
		}
		for _, place := range places {
			name := relayName(h.o.Device, session, place)
			if l, ok := far.m.last().byName(name); ok && isRelay(l) {
				for _, near := range h.spaces() {
					if m, ok := near.m.last().byName(name); ok && near != far && isRelay(m) && (place == "the host") == (far == h.base) {
						out = append(out, relay{name, near, far})
					}
				}
			}
		}
	}
	return out
}

// relayMaker is an access that can make and remove relays. The file of a namespace
// names the other end's.
type relayMaker interface {
	addRelay(ctx context.Context, r relay) (back func(context.Context) error, err error)
	delRelay(ctx context.Context, r relay) error
}

var errNoRelays = errors.New("this way to the kernel makes no cables between namespaces")

// relaysIn gives the relays that the sessions of a change set have or shall have.
func (h *Host) relaysIn(cs models.ChangeSet) []relay {
	var out []relay
	for _, s := range sessionsOf(cs) {
		have := h.relaysOf(s.Name)
		if p, err := h.place(s); err == nil { // one that cannot be placed has no relays to come
			have = append(have, p.relays...)
		}
		for _, r := range have {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// relayOf gives the relay that a step makes or removes, nil for other steps.
func (h *Host) relayOf(text string, relays []relay) *relay {
	for _, r := range relays {
		if text == h.addText(r) || text == h.delText(r) {
			return &r
		}
	}
	return nil
}

// relayStep does a step that makes or removes r.
func (h *Host) relayStep(ctx context.Context, text string, r relay) (back func(context.Context) error, err error) {
	m, can := r.near.m.access.(relayMaker)
	if !can {
		return nil, errNoRelays
	}
	err = r.near.m.tap(ctx, text, func() (err error) {
		if text == h.addText(r) {
			back, err = m.addRelay(ctx, r)
			return err
		}
		return m.delRelay(ctx, r)
	})
	if back == nil { // of a removal, which comes last: see sweep
		back = func(context.Context) error { return fmt.Errorf("cable %s is gone", r.name) }
	}
	return back, err
}

// sweep removes relays of sessions that no copy goes through any more, as a process
// leaves them that dies before the first one or behind the last.
func (h *Host) sweep(ctx context.Context, cs models.ChangeSet) error {
	for _, s := range sessionsOf(cs) {
		for _, r := range h.relaysOf(s.Name) {
			if r.used(h.o.Device) {
				continue
			}
			m, can := r.near.m.access.(relayMaker)
			if !can {
				return errNoRelays
			}
			if err := m.delRelay(ctx, r); err != nil {
				return err
			}
			r.supposeGone()
		}
	}
	return nil
}

// used reports whether any session of ours copies into r, or from it.
func (r relay) used(dev models.DeviceID) bool {
	for _, sp := range []*space{r.near, r.far} {
		for _, s := range sp.m.last().ourSessions(dev, sp.m.names) {
			if slices.Contains(portsOf(s), r.name) {
				return true
			}
		}
	}
	return false
}
