package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	bpf "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// programHost is the way to our BPF programs in a namespace. It is opened when it is
// needed first: who needs no programs needs no rights for them.
type programHost struct {
	options bpfcopy.Options
	host    *bpfcopy.Host
}

func (p *programHost) open() (*bpfcopy.Host, error) {
	if p.host != nil {
		return p.host, nil
	}
	var err error
	p.host, err = bpfcopy.Open(p.options)
	return p.host, programError(err)
}

func (p *programHost) close() error {
	if p.host == nil {
		return nil
	}
	return p.host.Close()
}

// programError says which rights are lacking where the kernel says only that some are,
// and marks what cannot be done here.
func programError(err error) error {
	switch {
	case errors.Is(err, errProgramRights):
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		if missing, e := bpfcopy.Missing(); e == nil && len(missing) > 0 {
			return fmt.Errorf("%w (%w; lacking: %s)", err, errProgramRights, strings.Join(missing, ", "))
		}
	case errors.Is(err, bpfcopy.ErrUnsupported) || errors.Is(err, bpfcopy.ErrLimit):
		return fmt.Errorf("%w: %w", drivers.ErrUnsupported, err)
	}
	return err
}

// readPrograms looks at our programs, where something is pinned for the namespace.
func (n *netlinkAccess) readPrograms(ctx context.Context, s *snapshot) error {
	some, err := bpfcopy.Pinned(n.programs.options)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.hidden = err.Error()
		if slices.ContainsFunc(s.filters, func(f tcnl.Filter) bool {
			return f.Direct && strings.HasPrefix(f.Name, bpfcopy.FilterName(""))
		}) {
			return programError(err)
		}
		return nil
	case err != nil || !some:
		return err
	}
	host, err := n.programs.open()
	if err != nil {
		return err
	}
	list, err := host.Observe(ctx)
	if err != nil {
		return programError(fmt.Errorf("BPF programs: %w", err))
	}
	s.readPrograms(list)
	return nil
}

// tcxTypes are the attachment points of tcx, whose programs run before all filters of
// the same hook.
var tcxTypes = map[tcnl.Hook]ebpf.AttachType{
	tcnl.Ingress: ebpf.AttachTCXIngress,
	tcnl.Egress:  ebpf.AttachTCXEgress,
}

// readTCX lists tcx programs. What it cannot find out, on a kernel before 6.6 or
// without the rights to ask, counts as none.
func (n *netlinkAccess) readTCX(ctx context.Context, s *snapshot) error {
	found := make(map[point]int)
	err := n.conn.Do(func() error {
		for _, l := range s.links {
			for hook, attach := range tcxTypes {
				list, err := bpf.QueryPrograms(bpf.QueryOptions{Target: l.index, Attach: attach})
				if errors.Is(err, unix.ENODEV) { // gone since it was listed
					continue
				}
				if err != nil {
					return err
				}
				if n := len(list.Programs); n > 0 {
					found[point{l.index, hook}] = n
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	s.tcx = make(map[point][]tcxProgram)
	for at, count := range found {
		s.tcx[at] = make([]tcxProgram, count)
		if len(s.programs) == 0 {
			continue
		}
		host, err := n.programs.open()
		if err != nil {
			return err
		}
		list, err := host.Programs(ctx, at.index, directionOf(at.hook))
		if err != nil {
			return programError(err)
		}
		s.tcx[at] = nil
		for _, p := range list {
			s.tcx[at] = append(s.tcx[at], tcxProgram{p.Name, p.Ours})
		}
	}
	return nil
}

// prune takes away what programs would copy to strangers.
func (n *netlinkAccess) prune(ctx context.Context) ([]string, error) {
	if some, err := bpfcopy.Pinned(n.programs.options); err != nil || !some {
		return nil, programError(err)
	}
	host, err := n.programs.open()
	if err != nil {
		return nil, err
	}
	done, err := host.Prune(ctx)
	return done, programError(err)
}

// support finds out whether programs can be made, by loading one that is attached
// nowhere.
func (n *netlinkAccess) support() bpfcopy.Support {
	host, err := n.programs.open()
	if err != nil {
		missing, _ := bpfcopy.Missing()
		return bpfcopy.Support{Err: err, Missing: missing}
	}
	s := host.Probe()
	s.Err = programError(s.Err)
	return s
}

// change does operations about one program in one step.
func (n *netlinkAccess) change(ctx context.Context, ops []operation) (func(context.Context) error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	host, err := n.programs.open()
	if err != nil {
		return nil, err
	}
	first := ops[0]
	d := directionOf(first.Hook)
	if first.Verb == forgetCopy {
		return nil, n.forget(ctx, host, first)
	}
	links, err := n.conn.Links(ctx)
	if err != nil {
		return nil, err
	}
	now := &snapshot{}
	for _, l := range links {
		now.links = append(now.links, link{index: l.Index, name: l.Name})
	}
	dev, ok := now.byName(first.Dev)
	if !ok {
		return nil, fmt.Errorf("interface %s: %w", first.Dev, unix.ENODEV)
	}
	port := bpfcopy.Device{Name: dev.name, Ifindex: dev.index}
	var before bpfcopy.Set
	asked := false
	err = host.Change(ctx, port, d, func(set bpfcopy.Set) (bpfcopy.Set, error) {
		before = now.living(set)
		for _, o := range ops {
			if o.Verb == addCopy || o.Verb == changeCopy {
				if o.Copy, err = now.withIndexes(o.Copy); err != nil {
					return bpfcopy.Set{}, err
				}
			}
			if err := merge(&set, o); err != nil {
				return bpfcopy.Set{}, err
			}
		}
		asked = true
		return set, nil
	})
	if !asked {
		return nil, programError(err)
	}
	// What failed in part is taken back, too.
	return func(ctx context.Context) error {
		return host.Change(ctx, port, d, undoing(before, ops))
	}, programError(err)
}

// forget detaches the program of an interface that is gone from the namespace.
func (n *netlinkAccess) forget(ctx context.Context, host *bpfcopy.Host, o operation) error {
	list, err := host.Observe(ctx)
	if err != nil {
		return programError(err)
	}
	s := &snapshot{}
	s.readPrograms(list)
	if err := s.do(o); err != nil {
		return err
	}
	// A program that copies nothing here counts as none: nothing is to be instead of it.
	gone := bpfcopy.Device{Name: o.Dev, Ifindex: o.Index}
	return programError(host.Change(ctx, gone, directionOf(o.Hook), func(set bpfcopy.Set) (bpfcopy.Set, error) { return set, nil }))
}
