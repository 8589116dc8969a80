//go:build !linux

package hostmirror

import (
	"fmt"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
)

func openNetlink(Options) (access, error) {
	return nil, fmt.Errorf("mirroring on this host needs Linux: %w", drivers.ErrUnsupported)
}

func errnoName(e syscall.Errno) string { return e.Error() }
