package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/nsname"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Host is the driver of a whole host: of one network namespace, its own, and of others
// on it that sessions name, as container:NAME/eth0 or netns:NAME/eth0. Each namespace
// has a [Mirror]. It is used by one goroutine at a time.
//
// A session is made in one namespace: that of its destination, or of its sources where
// its copies leave in a tunnel. A source elsewhere is taken where its cable ends: of a
// veth pair with one end in a container and the other in the session's namespace, what
// the container's end receives is what the near end sends. So the usual container, a
// cable to the host and a destination on the host, is mirrored without touching the
// container; the step says which port was meant. Where the session names a port, it is
// read back by that name. A source without such a cable is refused: an action of the
// kernel reaches devices of its own namespace only.
//
// Steps for another namespace are typed with "ip netns exec" or, of a container,
// "nsenter" and the process whose namespace it is. They are done only while the name
// still leads to that process: the namespace of a container that was started again
// has none of our filters.
type Host struct {
	o     HostOptions
	find  finder
	base  *space
	other []*space

	// forms are sessions as they were asked for, by name, the latest first. Those that
	// are known may be there already; others are only wanted.
	forms map[string][]models.Session
	known []models.Session
	// lost is why places that were looked for were not found.
	lost map[string]error
	// made are the change sets that were rendered since the last look, split up.
	made []rendering
}

// finder is what a Host needs of nsname.Finder.
type finder interface {
	Open(ctx context.Context, place string) (*nsname.Namespace, error)
	Names() ([]string, error)
}

// HostOptions say where a [Host] works.
type HostOptions struct {
	// Options are those of the host's own namespace. Known is not needed for Sessions.
	Options
	// Sessions are those that may be found, as they were asked for: what the records
	// tell. Observe looks into the namespaces that they name.
	Sessions []models.Session
	// AllNamespaces has Observe look into every namespace that ip netns lists, too.
	AllNamespaces bool
}

// space is a network namespace.
type space struct {
	m      *Mirror
	file   *os.File
	info   fs.FileInfo
	places []found // names that led here, in the order in which they were looked up
	state  models.DeviceState
	nsids  map[*space]*int // by which numbers it knows others; nil = does not
}

// found is a name of a namespace.
type found struct {
	place  string
	pid    int
	paused bool
}

var (
	_ drivers.Driver   = (*Host)(nil)
	_ drivers.Adviser  = (*Host)(nil)
	_ drivers.Expecter = (*Host)(nil)
	_ plan.Platform    = (*Host)(nil)
)

// OpenHost opens the host's own namespace, that which o.Namespace names. Others are
// opened when they are looked at, which needs CAP_SYS_ADMIN.
func OpenHost(ctx context.Context, o HostOptions) (*Host, error) {
	return openHost(ctx, o, &nsname.Finder{})
}

func openHost(ctx context.Context, o HostOptions, f finder) (*Host, error) {
	h := &Host{o: o, find: f, forms: make(map[string][]models.Session), lost: make(map[string]error)}
	m, err := Open(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	h.base = &space{m: m}
	path := o.Namespace
	if path == "" {
		path = "/proc/thread-self/ns/net"
	}
	if err := h.base.identify(path); err != nil {
		return nil, errors.Join(m.failed(drivers.PhaseConnect, err), m.Close())
	}
	for _, s := range o.Sessions {
		h.remember(s)
	}
	return h, nil
}

// identify opens the file by which a namespace is told from others.
func (sp *space) identify(path string) (err error) {
	if sp.file, err = os.Open(path); err != nil {
		return err
	}
	sp.info, err = sp.file.Stat()
	return err
}

func (sp *space) close() error {
	var err error
	if sp.file != nil {
		err = sp.file.Close()
	}
	return errors.Join(err, sp.m.Close())
}

// label is the name of a namespace in names of ports: "" of the host's own.
func (h *Host) label(sp *space) string {
	if sp == h.base {
		return ""
	}
	return sp.places[0].place
}

// Close releases what is open. What was made in the kernel stays.
func (h *Host) Close() error {
	err := h.base.close()
	for _, sp := range h.other {
		err = errors.Join(err, sp.close())
	}
	h.other = nil
	return err
}

// Capabilities are those of a Linux host.
func (h *Host) Capabilities() models.Capabilities { return capabilities() }

// Check gives what is refused of a session on any Linux host.
func (h *Host) Check(s models.Session) []string { return check(s) }

// PortKind says that every interface is a port.
func (h *Host) PortKind(string) models.SourceKind { return models.SourcePort }

// Expect tells of sessions that may come to be wanted, so that the next Observe looks
// into the namespaces that they name. A namespace that is not found is no failure of
// Observe then: Render refuses what needs it.
func (h *Host) Expect(sessions []models.Session) {
	for _, s := range sessions {
		if !slices.ContainsFunc(h.forms[s.Name], func(o models.Session) bool { return samePorts(o, s) }) {
			h.forms[s.Name] = append(h.forms[s.Name], s) // last: it is not there yet
		}
	}
}

// remember takes up a session that may be there, as it was asked for.
func (h *Host) remember(s models.Session) {
	h.known = append(h.known, s)
	h.base.m.learn(s.Name)
	for _, sp := range h.other {
		sp.m.learn(s.Name)
	}
	rest := slices.DeleteFunc(slices.Clone(h.forms[s.Name]), func(o models.Session) bool { return samePorts(o, s) })
	h.forms[s.Name] = append([]models.Session{s}, rest...)
}

func (h *Host) rememberChanges(cs models.ChangeSet) {
	for _, s := range sessionsOf(cs) {
		h.remember(s)
	}
}

func samePorts(a, b models.Session) bool { return slices.Equal(portsOf(a), portsOf(b)) }

// portsOf gives the names of all ports of a session: its destinations, then its
// sources.
func portsOf(s models.Session) []string {
	out := slices.Clone(s.Destination.Ports)
	if s.Destination.Kind == models.DestinationOther {
		out = nil // words of tc
	}
	for _, src := range s.Sources {
		if src.Name != "" {
			out = append(out, src.Name)
		}
	}
	return out
}

// placesOf gives the places that sessions name, each once.
func placesOf(sessions ...models.Session) []string {
	var out []string
	for _, s := range sessions {
		for _, name := range portsOf(s) {
			if place, _, ok := models.CutPlace(name); ok && !slices.Contains(out, place) {
				out = append(out, place)
			}
		}
	}
	return out
}

// placesFor gives the places that the sessions of a change set name, or are known to
// have named.
func (h *Host) placesFor(cs models.ChangeSet) []string {
	all := sessionsOf(cs)
	for _, s := range all {
		all = append(all, h.forms[s.Name]...)
	}
	return placesOf(all...)
}

// sessionsOf gives all sessions that a change set names, before and after.
func sessionsOf(cs models.ChangeSet) []models.Session {
	var all []models.Session
	for _, c := range cs.Changes {
		for _, s := range []*models.Session{c.Before, c.After} {
			if s != nil {
				all = append(all, *s)
			}
		}
	}
	return all
}

// Confirm does nothing: there is no timer to stop.
func (h *Host) Confirm(context.Context, drivers.Checkpoint) error { return nil }

// Revert looks, plans back to what the checkpoint's sessions were before it, and
// applies that.
func (h *Host) Revert(ctx context.Context, cp drivers.Checkpoint) error {
	h.rememberChanges(cp.Changes)
	if err := revert(ctx, h, h.o.Device, cp); err != nil {
		return err
	}
	if err := h.sweep(ctx, cp.Changes); err != nil {
		return h.failed(drivers.PhaseRevert, err)
	}
	return nil
}

// Counters gives the counters of all copies of our sessions, with the names of ports
// that Observe gives.
func (h *Host) Counters(ctx context.Context) ([]Counter, error) {
	if err := h.look(ctx, h.places()); err != nil {
		return nil, h.failed(drivers.PhaseObserve, err)
	}
	var out []Counter
	for _, sp := range h.spaces() {
		for _, c := range sp.m.snap.counters(sp.m.names) {
			h.nameCounter(sp, &c)
			out = append(out, c)
		}
	}
	return out, nil
}

// Report looks at the host: what its kernel can do, and the copies of all namespaces,
// with the names of ports that Observe gives.
func (h *Host) Report(ctx context.Context) (Report, error) {
	if err := h.look(ctx, h.places()); err != nil {
		return Report{}, h.failed(drivers.PhaseObserve, err)
	}
	var out Report
	for _, sp := range h.spaces() {
		r, err := sp.m.Report(ctx)
		if err != nil {
			return Report{}, h.inPlace(sp, err)
		}
		for i := range r.Copies {
			c := &r.Copies[i]
			src := h.countedSource(sp, c.Session, models.Source{Kind: models.SourcePort, Name: c.Source, Direction: c.Direction})
			c.Source, c.Direction = src.Name, src.Direction
			for j := range c.Destinations {
				c.Destinations[j] = h.askedPort(sp, c.Session, c.Destinations[j])
			}
		}
		if sp != h.base {
			r.Copies, out.Copies = nil, append(out.Copies, r.Copies...)
			continue
		}
		out = r
	}
	slices.SortStableFunc(out.Copies, func(a, b CopyReport) int { return strings.Compare(a.Session, b.Session) })
	return out, nil
}

func (h *Host) nameCounter(sp *space, c *Counter) {
	src := h.countedSource(sp, c.Session, models.Source{Kind: models.SourcePort, Name: c.Source, Direction: c.Direction})
	c.Source, c.Direction = src.Name, src.Direction
	if c.Destination == "" {
		return
	}
	to := strings.Fields(c.Destination)
	for i := range to {
		to[i] = h.askedPort(sp, c.Session, to[i])
	}
	c.Destination = strings.Join(to, " ")
}

// countedSource is askedSource that names, for the near end of a relay, the place where
// the frames came from: "by container:web".
func (h *Host) countedSource(sp *space, session string, src models.Source) models.Source {
	if l, ok := sp.m.snap.byName(src.Name); ok && isRelay(l) {
		for _, other := range h.spaces() {
			if end, ok := other.m.snap.byName(l.name); ok && other != sp && isRelay(end) {
				src.Name = "by " + h.where(other)
			}
		}
		return src
	}
	return h.askedSource(sp, session, src)
}

// failed makes err a drivers.Error of this host.
func (h *Host) failed(phase drivers.Phase, err error) *drivers.Error {
	var lost *nsname.Error
	if !errors.As(err, &lost) {
		return h.base.m.failed(phase, err)
	}
	e := &drivers.Error{Device: h.o.Device, Phase: phase, Kind: transport.Rejected, Hint: lost.Hint, Err: lost}
	switch {
	case errors.Is(err, context.Canceled):
		e.Kind = transport.Canceled
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		e.Kind = transport.Auth
	case errors.Is(err, nsname.ErrUnknown):
		e.Kind = transport.Unreachable
	}
	return e
}

// entering says of an error what entering a namespace needs.
func entering(place string, err error) error {
	if errors.Is(err, syscall.EPERM) {
		return &nsname.Error{Place: place, Err: fmt.Errorf("entering the network namespace: %w", err), Hint: "entering another network namespace needs root, or CAP_SYS_ADMIN"}
	}
	return fmt.Errorf("%s: %w", place, err)
}
