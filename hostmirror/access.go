package hostmirror

import (
	"context"
	"net/netip"
	"os"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// access is the way to the kernel whose ports are mirrored. It looks and does; what
// is to be done, and whether it still fits, is decided by those who use it.
type access interface {
	// read takes a snapshot. It changes nothing and needs no privilege.
	read(ctx context.Context) (*snapshot, error)
	// probe finds out which of the classifiers prefer the kernel has, best first. It
	// leaves no trace. What it cannot find out counts as there.
	probe(ctx context.Context, prefer []string) classifiers
	// do does one operation and gives the way back, nil where there is nothing to
	// undo. With an error there can be a way back too: of what was done in part, or
	// is in doubt.
	do(ctx context.Context, o operation) (func(context.Context) error, error)
	// route asks for the way to a collector from the source address local, or from
	// whichever when that is zero. The error wraps linknl.ErrNoRoute where there is none.
	route(ctx context.Context, collector, local netip.Addr) (linknl.Route, error)
	// clean takes away what a process that died between two steps can have left of
	// filters that it had deleted already; see snapshot.residue.
	clean(ctx context.Context, residue []tcnl.ID) error
	// support finds out whether copies can be made by BPF programs. It leaves no trace.
	support() bpfcopy.Support
	// change is do for operations that are about one program: they are one step.
	change(ctx context.Context, ops []operation) (func(context.Context) error, error)
	// close lets go of the kernel. What was made there stays.
	close() error
}

// namespaceNumbers is an access that can tell by which number its network namespace
// knows another, that of an open file. ok is false where it has none for it: no cable
// leads from one to the other then.
type namespaceNumbers interface {
	number(ctx context.Context, other *os.File) (id int, ok bool, err error)
}
