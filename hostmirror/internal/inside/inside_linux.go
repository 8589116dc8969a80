package inside

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// Do runs f on a thread inside a network namespace. No other goroutine ever runs on that
// thread. It needs CAP_SYS_ADMIN where that is not the namespace of the process: a thread
// that is there already enters nothing.
func Do(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- enter(ns, f)
	}()
	return <-done
}

func enter(ns netns.NsHandle, f func() error) error {
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer here.Close()
	if !here.Equal(ns) {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
	}
	return f()
}
