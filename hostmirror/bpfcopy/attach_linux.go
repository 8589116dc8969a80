package bpfcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

const problemElsewhere = "the program is attached to an interface that is gone or in another network namespace"

// installed is what is at a place: nothing, a tcx link or a filter.
type installed struct {
	place      place
	method     Method // MethodAny when nothing is attached
	program    ebpf.ProgramID
	link       link.Link // of MethodTCX
	filter     tcnl.ID   // of MethodFilter
	generation string    // of the pins that belong to the program
	config     config    // zero of roleCut
	problems   []string
}

func (i *installed) attached() bool { return i.method != MethodAny }

func (i *installed) close() {
	if i.link != nil {
		_ = i.link.Close()
	}
}

func (r role) hook() tcnl.Hook {
	if r == roleRx {
		return tcnl.Ingress
	}
	return tcnl.Egress
}

func (r role) attachType() ebpf.AttachType {
	if r == roleRx {
		return ebpf.AttachTCXIngress
	}
	return ebpf.AttachTCXEgress
}

// find looks at a place. What is attached is ours when its program is one that we have
// pinned for the place; anything else under our names is ErrForeign.
func (h *Host) find(ctx context.Context, p place) (*installed, error) {
	i := &installed{place: p}
	if err := h.findLink(i); err != nil {
		return nil, err
	}
	if !i.attached() {
		if err := h.findFilter(ctx, i); err != nil {
			return nil, err
		}
	}
	if !i.attached() {
		return i, nil
	}
	if err := h.findGeneration(i); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (h *Host) findLink(i *installed) error {
	l, err := link.LoadPinnedLink(h.path(i.place.pin(partLink)), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pinned link: %w", err)
	}
	info, err := l.Info()
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("pinned link: %w", err)
	}
	tcx := info.TCX()
	if tcx == nil || ebpf.AttachType(tcx.AttachType) != i.place.role.attachType() {
		_ = l.Close()
		return fmt.Errorf("%w: pin %s is not a tcx link of this hook", ErrForeign, i.place.pin(partLink))
	}
	i.method, i.program, i.link = MethodTCX, info.Program, l
	// A device that moves to another namespace takes its programs along, and may have
	// any index there.
	here := false
	if int(tcx.Ifindex) == i.place.ifindex {
		list, err := h.query(i.place.ifindex, i.place.role.attachType())
		here = err == nil && slices.ContainsFunc(list.Programs, func(a link.AttachedProgram) bool {
			id, ok := a.LinkID()
			return ok && id == info.ID
		})
	}
	if !here {
		i.problems = append(i.problems, problemElsewhere)
	}
	return nil
}

func (h *Host) query(ifindex int, attach ebpf.AttachType) (res *link.QueryResult, err error) {
	err = h.within(func() error {
		res, err = link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: attach})
		return err
	})
	return res, err
}

func (h *Host) findFilter(ctx context.Context, i *installed) error {
	list, err := h.filters(ctx, i.place)
	if err != nil {
		return err
	}
	for _, f := range list {
		if i.attached() {
			return fmt.Errorf("%w: two filters %s on interface %d", ErrForeign, f.Name, i.place.ifindex)
		}
		i.method, i.program = MethodFilter, ebpf.ProgramID(f.Id)
		i.filter = tcnl.ID{
			Ifindex: i.place.ifindex, Hook: i.place.role.hook(), Priority: f.Priority,
			Protocol: f.Protocol, Kind: tcnl.BPF, Handle: f.Handle,
		}
	}
	return nil
}

// filters lists those with our name and priority.
func (h *Host) filters(ctx context.Context, p place) ([]*netlink.BpfFilter, error) {
	l, err := h.nl.LinkByIndex(p.ifindex)
	if err != nil {
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, nil
		}
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	list, err := h.nl.FilterList(l, p.role.hook().Parent())
	if err != nil {
		return nil, fmt.Errorf("list filters: %w", err)
	}
	var out []*netlink.BpfFilter
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == p.role.filterName() && b.Priority == p.role.priority() && b.DirectAction && b.Handle != 0 {
			out = append(out, b)
		}
	}
	return out, nil
}

func (h *Host) findGeneration(i *installed) error {
	for _, g := range generations {
		prog, err := ebpf.LoadPinnedProgram(h.path(i.place.pin(partProgram+g)), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("pinned program: %w", err)
		}
		id, err := programID(prog)
		_ = prog.Close()
		if err != nil {
			return err
		}
		if id != i.program {
			continue
		}
		i.generation = g
		if i.place.role == roleCut {
			return nil
		}
		return h.readConfig(i)
	}
	return fmt.Errorf("%w: program %d under our name on interface %d %s is none that we have pinned", ErrForeign, i.program, i.place.ifindex, i.place.role)
}

func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, fmt.Errorf("program: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("%w: the kernel gives programs no numbers", ErrUnsupported)
	}
	return id, nil
}

func (h *Host) readConfig(i *installed) error {
	m, err := ebpf.LoadPinnedMap(h.path(i.place.pin(partTables+i.generation)), nil)
	if err != nil {
		return fmt.Errorf("pinned tables: %w", err)
	}
	defer m.Close()
	b, err := m.LookupBytes(uint32(0))
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	i.config, err = decodeConfig(b)
	return err
}

// attach puts prog at a place, in place of what is there.
func (h *Host) attach(ctx context.Context, p place, have *installed, prog *ebpf.Program) error {
	switch {
	case have.method == MethodTCX:
		if err := have.link.Update(prog); err != nil {
			return fmt.Errorf("replace tcx program: %w", err)
		}
		return nil
	case have.method == MethodFilter:
		return h.setFilter(p, have.filter.Handle, prog)
	}
	if h.method != MethodFilter {
		err := h.attachTCX(p, prog)
		if h.method == MethodTCX || !errors.Is(err, ebpf.ErrNotSupported) {
			return err
		}
	}
	if err := h.tc.AddClsact(ctx, p.ifindex); err != nil {
		return fmt.Errorf("qdisc clsact: %w", err)
	}
	if err := h.setFilter(p, 0, prog); err != nil {
		return err
	}
	// A filter that the kernel took but does not show could never be taken away again.
	if list, err := h.filters(context.WithoutCancel(ctx), p); err != nil || len(list) != 1 {
		return fmt.Errorf("%w (%d of them: %w)", tcnl.ErrUnseen, len(list), err)
	}
	return nil
}

// setFilter makes a filter, or gives the one with the handle another program, which the
// kernel does in one step.
func (h *Host) setFilter(p place, handle uint32, prog *ebpf.Program) error {
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: p.ifindex, Parent: p.role.hook().Parent(), Handle: handle,
			Priority: p.role.priority(), Protocol: unix.ETH_P_ALL,
		},
		Fd: prog.FD(), Name: p.role.filterName(), DirectAction: true,
	}
	do := h.nl.FilterAdd
	if handle != 0 {
		do = h.nl.FilterReplace
	}
	if err := do(f); err != nil {
		return fmt.Errorf("filter of classifier bpf: %w", err)
	}
	return nil
}

// attachTCX attaches at the head, or right behind our program that cuts.
func (h *Host) attachTCX(p place, prog *ebpf.Program) error {
	anchor := link.Head()
	if p.role == roleTx {
		cut := &installed{place: place{p.ifindex, roleCut}}
		if err := h.findLink(cut); err != nil {
			return err
		}
		defer cut.close()
		if cut.attached() && len(cut.problems) == 0 {
			anchor = link.AfterLink(cut.link)
		}
	}
	return h.within(func() error {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: p.ifindex, Program: prog, Attach: p.role.attachType(), Anchor: anchor,
		})
		if err != nil {
			return err
		}
		defer l.Close() // the pin keeps it
		if err := l.Pin(h.path(p.pin(partLink))); err != nil {
			return fmt.Errorf("pin of the tcx link: %w", err)
		}
		return nil
	})
}

func (h *Host) remove(ctx context.Context, have *installed) error {
	switch have.method {
	case MethodTCX:
		if err := have.link.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
			return fmt.Errorf("detach tcx link: %w", err)
		}
	case MethodFilter:
		if err := h.tc.DeleteFilter(ctx, have.filter); err != nil {
			return fmt.Errorf("delete filter: %w", err)
		}
	}
	return nil
}

// Programs lists the tcx programs of an interface in the order in which they run. One in
// front of ours that returns a verdict hides frames from us; those behind are not
// disturbed by us. Before Linux 6.6 there are none.
func (h *Host) Programs(ctx context.Context, ifindex int, d models.Direction) ([]Program, error) {
	r, err := roleOf(d)
	if err != nil {
		return nil, err
	}
	list, err := h.query(ifindex, r.attachType())
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ours := make(map[ebpf.ProgramID]bool)
	for _, r := range []role{r, roleCut} {
		have, err := h.find(ctx, place{ifindex, r})
		if err != nil {
			return nil, err
		}
		if have.attached() {
			ours[have.program] = true
		}
		have.close()
	}
	var out []Program
	for _, a := range list.Programs {
		p := Program{ID: uint32(a.ID), Ours: ours[a.ID]}
		if prog, err := ebpf.NewProgramFromID(a.ID); err == nil {
			if info, err := prog.Info(); err == nil {
				p.Name = info.Name
			}
			_ = prog.Close()
		}
		out = append(out, p)
	}
	return out, nil
}
