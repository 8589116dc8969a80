//go:build !linux

package store

// processScope is "": a pid cannot be told from a reused one here, so that only
// the lease tells whether a process is gone.
func processScope() string { return "" }

func processStart(int) (start int64, running bool) { return 0, true }
