//go:build !linux

package main

// linkStatus knows of no tunnel: there are no mirrors on other systems.
func linkStatus(string) func(string) (TunnelStatus, bool) {
	return func(string) (TunnelStatus, bool) { return TunnelStatus{}, false }
}
