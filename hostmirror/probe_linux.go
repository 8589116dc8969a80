package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// probe finds out which classifiers the kernel has by asking it to make the very
// filter that a mirror is, in a network namespace that exists for the time of the
// question only. There is no device to copy to in it: a kernel that gets as far as
// missing the device has the classifier and the action. Without the right to make a
// namespace all are taken to be there, and Apply finds out.
func (*netlinkAccess) probe(ctx context.Context, prefer []string) classifiers {
	done := make(chan classifiers, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and the namespace with it, ends here
		done <- probeHere(ctx, prefer)
	}()
	return <-done
}

func probeHere(ctx context.Context, prefer []string) classifiers {
	unknown := classifiers{usable: append([]string(nil), prefer...)}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return unknown
	}
	tc, err := tcnl.Open(-1)
	if err != nil {
		return unknown
	}
	defer tc.Close()
	const loopback, absent = 1, 1 << 20
	if err := tc.AddClsact(ctx, loopback); err != nil {
		return unknown
	}
	out := classifiers{asked: true}
	for i, kind := range prefer {
		_, err := tc.AddMirror(ctx, tcnl.Mirror{
			Ifindex: loopback, Hook: tcnl.Ingress, Priority: uint16(i + 1), Kind: kind, Target: absent,
		})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			out.why = append(out.why, fmt.Sprintf("%s: %v", kind, err))
			continue
		}
		out.usable = append(out.usable, kind)
	}
	if kind, ok := out.best(); ok {
		_, err := tc.AddMirror(ctx, tcnl.Mirror{
			Ifindex: loopback, Hook: tcnl.Ingress, Priority: uint16(len(prefer) + 1), Kind: kind, Target: absent, OneIn: 2,
		})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			out.noSample = err.Error()
		}
	}
	return out
}
