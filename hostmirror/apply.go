package hostmirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// Apply does the steps of the checkpoint's script, in order. Before the first one it
// reads all of them and looks whether they still fit what the kernel holds. When one
// fails, or ctx ends between two, it undoes those that it has done, last first; what
// it could not undo, the error's hint tells. A clsact that it made stays.
func (m *Mirror) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	_, err := m.apply(ctx, cp)
	return err
}

// ready reads the steps and looks whether they fit.
func (m *Mirror) ready(ctx context.Context, cp drivers.Checkpoint) ([]operation, error) {
	ops, err := m.parse(cp)
	if err != nil {
		return nil, err
	}
	snap, err := m.read(ctx)
	if err != nil {
		return nil, m.failed(drivers.PhaseApply, err)
	}
	if err := m.routes(ctx, snap, endsOfLinks(ops)...); err != nil {
		return nil, m.failed(drivers.PhaseApply, err)
	}
	if i, err := snap.fits(ops); err != nil {
		return nil, m.stepFailed(cp.Script.Steps, i, err)
	}
	if err := m.access.clean(ctx, snap.residue()); err != nil { // it does no harm where it is
		m.log.DebugContext(ctx, "an empty table stays", "device", m.dev, "error", err)
	}
	return ops, nil
}

// apply is Apply that tells how to take back what it has done: the ways back of its
// steps, in their order. With an error it has taken everything back itself.
func (m *Mirror) apply(ctx context.Context, cp drivers.Checkpoint) (undo []func(context.Context) error, err error) {
	m.learnFrom(cp.Changes)
	defer func() { m.snap, m.ahead = nil, nil }()
	ops, err := m.ready(ctx, cp)
	if err != nil {
		return nil, err
	}
	for _, batch := range batches(ops) {
		back, err := m.doBatch(ctx, cp.Script.Steps, ops, batch)
		if back != nil {
			undo = append(undo, back)
		}
		if err == nil {
			continue
		}
		i := batch[len(batch)-1]
		o := ops[i]
		failure := m.stepFailed(cp.Script.Steps, i, err)
		if o.Verb == addFilter && errors.Is(err, syscall.ENOENT) {
			if o.OneIn > 1 {
				m.classifiers.noSample = err.Error()
				m.lacking.add("gact", err)
			} else {
				m.classifiers.drop(o.Kind, err)
				m.lacking.add(o.Kind, err)
			}
			failure.Kind, failure.Hint = drivers.Unsupported, "plan again: the next classifier will be tried"
		}
		if o.Verb == addLink && errors.Is(err, linknl.ErrLacking) {
			m.classifiers.lackLink(o.Link.TypeWord(), err)
			m.lacking.add(lackingLink+o.Link.TypeWord(), err)
			failure.Hint = "this kernel has no such links: choose another kind of destination"
		}
		takeBack(ctx, undo, failure)
		return nil, failure
	}
	return undo, nil
}

// takeBack undoes, last first, also when ctx has ended. What it cannot undo, the hint
// of failure tells.
func takeBack(ctx context.Context, undo []func(context.Context) error, failure *drivers.Error) {
	for _, back := range slices.Backward(undo) {
		if err := back(context.WithoutCancel(ctx)); err != nil {
			failure.Hint = fmt.Sprintf("not all could be undone: %v; look at the host and plan again", err)
		}
	}
}

// doBatch does steps that are one change to the kernel, and gives the way back.
func (m *Mirror) doBatch(ctx context.Context, steps []transport.Step, ops []operation, batch []int) (back func(context.Context) error, err error) {
	var these []operation
	for _, i := range batch {
		m.log.DebugContext(ctx, "apply", "device", m.dev, "session", steps[i].Session, "step", steps[i].Text)
		these = append(these, ops[i])
	}
	do := func() (err error) {
		if these[0].Verb.program() {
			back, err = m.access.change(ctx, these)
		} else {
			back, err = m.access.do(ctx, these[0])
		}
		return err
	}
	for _, i := range slices.Backward(batch) {
		inner := do
		do = func() error { return m.tap(ctx, steps[i].Text, inner) }
	}
	err = do()
	return back, err
}

// parse reads all steps before anything is done.
func (m *Mirror) parse(cp drivers.Checkpoint) ([]operation, error) {
	if cp.Device != m.dev {
		return nil, m.failed(drivers.PhaseApply, fmt.Errorf("the checkpoint is of device %q", cp.Device))
	}
	if cp.Script.Encoding != transport.TC && !cp.Script.Empty() {
		return nil, m.failed(drivers.PhaseApply, fmt.Errorf("a script in %q, want %q", cp.Script.Encoding, transport.TC))
	}
	ops := make([]operation, len(cp.Script.Steps))
	for i, s := range cp.Script.Steps {
		var err error
		if ops[i], err = parseOperation(s.Text); err != nil {
			e := m.stepFailed(cp.Script.Steps, i, err)
			e.Kind = transport.Protocol
			return nil, e
		}
	}
	return ops, nil
}

func (m *Mirror) stepFailed(steps []transport.Step, i int, err error) *drivers.Error {
	e := m.failed(drivers.PhaseApply, err)
	if i < len(steps) {
		e.Session, e.Command = steps[i].Session, steps[i].Redacted()
	}
	e.InDoubt = inDoubt(err)
	return e
}

// fits looks whether ops can be done on s as they were planned. It gives the number
// of the operation that cannot.
func (s *snapshot) fits(ops []operation) (int, error) {
	after := *s
	after.filters = slices.Clone(s.filters)
	after.programs = clonePrograms(s.programs)
	after.links, after.qdiscs = slices.Clone(s.links), slices.Clone(s.qdiscs)
	var added []mirrored
	for i, o := range ops {
		if o.Verb.program() {
			if err := after.do(o); err != nil {
				return i, err
			}
			added = append(added, after.waysOf(o)...)
			continue
		}
		if o.Verb.link() {
			if err := after.doLink(o); err != nil {
				return i, err
			}
			continue
		}
		dev, ok := after.byName(o.Dev)
		if !ok {
			return i, fmt.Errorf("interface %s: %w", o.Dev, syscall.ENODEV)
		}
		switch o.Verb {
		case addQdisc:
		case addFilter:
			target, ok := after.byName(o.Target)
			if !ok {
				return i, fmt.Errorf("interface %s: %w", o.Target, syscall.ENODEV)
			}
			f := tcnl.Filter{
				ID:      tcnl.ID{Ifindex: dev.index, Hook: o.Hook, Priority: o.Priority, Protocol: o.Protocol, Kind: o.Kind},
				Actions: []tcnl.Action{{Cookie: o.Cookie[:], Mirred: &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: target.index}}},
			}
			added = append(added, mirroredBy(f)...)
			after.filters = append(after.filters, f)
		case delFilter:
			f, err := find(s.on(dev.index, o.Hook), o, dev.index)
			if err != nil {
				return i, err
			}
			after.filters = slices.DeleteFunc(after.filters, func(g tcnl.Filter) bool { return g.ID == f.ID })
		case addDrop:
			if !dev.as.Ours() {
				return i, fmt.Errorf("%s: %w", o.Dev, linknl.ErrForeign)
			}
			after.filters = append(after.filters, dropOf(dev.index))
		case addGuardFilter:
			after.filters = append(after.filters, after.guardAt(point{dev.index, o.Hook}, o.Guard))
		case delGuardFilter:
			f, err := findGuard(s.on(dev.index, o.Hook), o, dev.index)
			if err != nil {
				return i, err
			}
			after.filters = slices.DeleteFunc(after.filters, func(g tcnl.Filter) bool { return g.ID == f.ID })
		default:
			return i, fmt.Errorf("verb %q is not known", o.Verb)
		}
	}
	if err := after.checkLoops(added); err != nil {
		return len(ops), err
	}
	if err := after.unguarded(); err != nil {
		return len(ops), err
	}
	return 0, nil
}

// find finds the filter that a delete is about. It must be the very one that was
// planned for: ours, with the cookie that the command names.
func find(filters []tcnl.Filter, o operation, index int) (tcnl.Filter, error) {
	id := o.identity(index)
	for _, f := range filters {
		if f.ID != id {
			continue
		}
		if _, ours := markOf(f); !ours || !bytes.Equal(f.Actions[0].Cookie, o.Cookie[:]) {
			return tcnl.Filter{}, errOther
		}
		return f, nil
	}
	return tcnl.Filter{}, errGone
}

// identity is that of the filter that a delete is about, on a device.
func (o operation) identity(index int) tcnl.ID {
	return tcnl.ID{
		Ifindex: index, Hook: o.Hook, Chain: o.Chain, Priority: o.Priority, Protocol: o.Protocol, Kind: o.Kind, Handle: o.Handle,
	}
}

var (
	errOther = errors.New("another filter has taken this place since the plan was made; it is left alone")
	errGone  = errors.New("the filter is no longer there; plan again")
)

// inDoubt reports whether the kernel may have done what err is about.
func inDoubt(err error) bool {
	var said *transport.Error
	if errors.As(err, &said) {
		return said.InDoubt
	}
	for _, doubt := range []error{tcnl.ErrCut, tcnl.ErrUnseen, linknl.ErrCut, linknl.ErrLeft} {
		if errors.Is(err, doubt) {
			return true
		}
	}
	return err != nil && errnoKind(err) == transport.Timeout
}
