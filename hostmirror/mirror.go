package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Mirror is the driver of one network namespace of this host. It is used by one
// goroutine at a time.
type Mirror struct {
	dev         models.DeviceID
	log         *slog.Logger
	access      access
	classifiers classifiers
	lacking     *Lacking // nil when nobody shares it
	method      Method
	programs    *bpfcopy.Support // nil = not asked yet
	names       map[sessionHash]string

	// snap is what Render decides from: the last look, nil once it is out of date.
	// ahead are the changes that have been rendered since.
	snap  *snapshot
	ahead []ahead

	// tap stands around every look at the kernel (what is "") and every step (its
	// text), so that tests can let the kernel refuse or be silent.
	tap func(ctx context.Context, what string, do func() error) error
}

// ahead is a rendered change and what the kernel will hold once it is made.
type ahead struct {
	changes models.ChangeSet
	script  transport.Script
	after   *snapshot
}

var (
	_ drivers.Driver  = (*Mirror)(nil)
	_ drivers.Adviser = (*Mirror)(nil)
	_ plan.Platform   = (*Mirror)(nil)
)

// Open opens the network namespace that o names. Looking needs no privilege beyond
// entering the namespace; changing needs CAP_NET_ADMIN in it.
func Open(ctx context.Context, o Options) (*Mirror, error) {
	return open(ctx, o, func() (access, error) { return openNetlink(o) })
}

func open(ctx context.Context, o Options, kernel func() (access, error)) (*Mirror, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &Mirror{
		dev: o.Device, log: o.Logger, method: o.Method, lacking: o.Lacking, names: make(map[sessionHash]string),
		tap: func(_ context.Context, _ string, do func() error) error { return do() },
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.learn(o.Known...)
	var err error
	if m.access, err = kernel(); err != nil {
		return nil, &drivers.Error{Device: o.Device, Phase: drivers.PhaseConnect, Kind: errnoKind(err), Err: err}
	}
	prefer := o.Prefer
	if len(prefer) == 0 {
		prefer = tcnl.Kinds()
	}
	m.classifiers = m.access.probe(ctx, prefer)
	m.lacking.tell(&m.classifiers)
	return m, nil
}

// Close releases the socket. What was made in the kernel stays.
func (m *Mirror) Close() error {
	return m.access.close()
}

// learn remembers names by which sessions can be recognised.
func (m *Mirror) learn(names ...string) {
	for _, n := range names {
		if _, unknown := unknownHash(n); !unknown && n != "" {
			m.names[hashOf(m.dev, n)] = n
		}
	}
}

func (m *Mirror) learnFrom(cs models.ChangeSet) {
	for _, c := range cs.Changes {
		for _, s := range []*models.Session{c.Before, c.After} {
			if s != nil {
				m.learn(s.Name)
			}
		}
	}
}

// kernel is what copies can be made of here.
func (m *Mirror) kernel() kernel {
	kind, _ := m.classifiers.best()
	k := m.classifiers.kernel(kind)
	k.method, k.support = m.method, m.support
	if m.programs != nil {
		k.noPrograms = m.programs.Err
	}
	return k
}

// support tells whether programs can be made here. The kernel is asked once.
func (m *Mirror) support() bpfcopy.Support {
	if m.programs == nil {
		s := m.access.support()
		m.programs = &s
	}
	return *m.programs
}

// Capabilities are those of a Linux host, without what this kernel lacks.
func (m *Mirror) Capabilities() models.Capabilities {
	return capabilitiesOn(m.kernel())
}

// Check gives what is refused of a session on any Linux host. What depends on the
// host's state, Render refuses.
func (m *Mirror) Check(s models.Session) []string { return check(s) }

// PortKind says that every interface is a port: a bond, too, is mirrored like one.
func (m *Mirror) PortKind(string) models.SourceKind { return models.SourcePort }

// read takes a snapshot.
func (m *Mirror) read(ctx context.Context) (s *snapshot, err error) {
	err = m.tap(ctx, "", func() error {
		if s, err = m.access.read(ctx); err != nil {
			return err
		}
		return m.routes(ctx, s)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range s.programs { // which know the names of their sessions
		for _, ses := range p.set.Sessions {
			if name, ours := strings.CutPrefix(ses.Name, copyName(m.dev, "")); ours {
				m.learn(name)
			}
		}
	}
	m.learn(s.namesInLinks(m.dev)...)
	return s, nil
}

// Observe gives our sessions, the mirrors of others as sessions "tc/...", and all
// interfaces.
func (m *Mirror) Observe(ctx context.Context) (models.DeviceState, error) {
	m.snap, m.ahead = nil, nil
	snap, err := m.read(ctx)
	if err != nil {
		return models.DeviceState{}, m.failed(drivers.PhaseObserve, err)
	}
	m.snap = snap
	return snap.state(m.dev, m.names), nil
}

// Counters gives the counters of all copies of our sessions.
func (m *Mirror) Counters(ctx context.Context) ([]Counter, error) {
	snap, err := m.read(ctx)
	if err != nil {
		return nil, m.failed(drivers.PhaseObserve, err)
	}
	return snap.counters(m.names), nil
}

// Render gives the tc commands for cs. It decides from what Observe saw last, as it
// will be after the change sets that were rendered since, so that the scripts of several
// change sets fit together in that order; the same set gives the same script again. It
// looks by itself when what was seen is out of date; it changes nothing. Options do not
// matter: the kernel names no edits and has no way back.
func (m *Mirror) Render(cs models.ChangeSet, _ drivers.RenderOptions) (transport.Script, error) {
	m.learnFrom(cs)
	if cs.Device != m.dev {
		return transport.Script{}, m.failed(drivers.PhaseRender, fmt.Errorf("the changes are for device %q", cs.Device))
	}
	if m.snap == nil {
		if _, err := m.Observe(context.Background()); err != nil {
			return transport.Script{}, m.failed(drivers.PhaseRender, err)
		}
	}
	if err := m.routes(context.Background(), m.snap, endsIn(cs)...); err != nil {
		return transport.Script{}, m.failed(drivers.PhaseRender, err)
	}
	base := m.snap
	for _, a := range m.ahead {
		if reflect.DeepEqual(a.changes, cs) {
			return a.script, nil
		}
		base = a.after
	}
	script, after, err := renderOn(m.dev, base, m.kernel(), cs)
	if err == nil {
		m.ahead = append(m.ahead, ahead{cs, script, after})
	}
	return script, err
}

// Advise gives what is worth knowing of cs, which was rendered before.
func (m *Mirror) Advise(cs models.ChangeSet) models.Findings {
	for _, a := range m.ahead {
		if reflect.DeepEqual(a.changes, cs) {
			return a.after.advise(m.dev, cs)
		}
	}
	return nil
}

// Confirm does nothing: there is no timer to stop.
func (m *Mirror) Confirm(context.Context, drivers.Checkpoint) error { return nil }

// Revert looks, plans back to what the checkpoint's sessions were before it, and
// applies that.
func (m *Mirror) Revert(ctx context.Context, cp drivers.Checkpoint) error {
	m.learnFrom(cp.Changes)
	return revert(ctx, m, m.dev, cp)
}

// failed makes err a drivers.Error; one that is stays as it is. What the kernel said
// is told apart from what it means.
func (m *Mirror) failed(phase drivers.Phase, err error) *drivers.Error {
	var have *drivers.Error
	if errors.As(err, &have) {
		return have
	}
	var said *transport.Error
	if errors.As(err, &said) && errors.As(drivers.WrapError(m.dev, phase, err), &have) {
		return have
	}
	e := &drivers.Error{Device: m.dev, Phase: phase, Kind: errnoKind(err), Hint: hint(err), Err: err}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Reply = err.Error()
		if _, words, ok := strings.Cut(e.Reply, errno.Error()+": "); ok {
			e.Reply = words
		}
		e.Err = kernelError{errno}
	}
	return e
}

// kernelError is an errno that is shown by its name, since its text is in the reply.
type kernelError struct{ errno syscall.Errno }

func (e kernelError) Error() string { return errnoName(e.errno) }
func (e kernelError) Unwrap() error { return e.errno }

func inPhase(err error, p drivers.Phase) error {
	var e *drivers.Error
	if errors.As(err, &e) {
		e.Phase = p
	}
	return err
}

// errnoKind sorts the kernel's answers by what can be done about them.
func errnoKind(err error) transport.Kind {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return transport.Canceled
	case errors.Is(err, drivers.ErrUnsupported), errors.Is(err, linknl.ErrLacking):
		return drivers.Unsupported
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return transport.Auth
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ETIMEDOUT):
		return transport.Timeout
	case errors.Is(err, syscall.EBUSY), errors.Is(err, tcnl.ErrDisturbed):
		return transport.Busy
	case errors.Is(err, tcnl.ErrMalformed), errors.Is(err, linknl.ErrMalformed):
		return transport.Protocol
	default:
		return transport.Rejected
	}
}

// errProgramRights says what rights programs need.
var errProgramRights = errors.New("BPF programs need CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")

func hint(err error) string {
	if errors.Is(err, errProgramRights) {
		return "run spanctl as root, or with these capabilities; what filters can copy needs CAP_NET_ADMIN alone"
	}
	if errors.Is(err, syscall.EPERM) {
		return "changing filters needs root or CAP_NET_ADMIN in the network namespace"
	}
	return ""
}
