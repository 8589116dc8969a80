package linknl

import "errors"

// Errors of this package. Errors of the kernel wrap a syscall.Errno and carry the
// kernel's own words where it gave any.
var (
	// ErrLacking means that the kernel cannot make links of the kind: its module is
	// absent, or it was built without. It wraps EOPNOTSUPP or ENOENT, of IPv6 also
	// EAFNOSUPPORT.
	ErrLacking = errors.New("the kernel lacks it")
	// ErrForeign means a link that is not ours, or no longer what it was.
	ErrForeign = errors.New("not a link of ours")
	// ErrAltered means that the kernel made another link than it was asked for. The
	// link is gone again.
	ErrAltered = errors.New("the kernel made another link")
	// ErrLeft means that a link could not be finished, and not be removed either.
	ErrLeft = errors.New("an unfinished link is left")
	// ErrCut means that ctx ended before the kernel answered: what was asked for may
	// have been done.
	ErrCut = errors.New("no answer yet when the time was up")
	// ErrNoRoute means that no packet can leave for an address.
	ErrNoRoute = errors.New("no route")
)
