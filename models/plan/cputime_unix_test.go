//go:build unix

package plan

import (
	"syscall"
	"time"
)

// cpuTime gives the processor time that this process has used, garbage collection
// included.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
