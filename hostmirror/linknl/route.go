package linknl

import "net/netip"

// Route is how packets leave for a collector.
type Route struct {
	Ifindex int        // of the interface they leave by
	Dev     string     // its name
	Gateway netip.Addr // zero = the collector is on the link
	Source  netip.Addr // the source address that the kernel would choose
	// MTU is the longest packet: that of the route where it has one (set by hand, or
	// learned from the path), else that of the interface.
	MTU int
	// Local is set when the address is one of this host itself.
	Local bool
}
