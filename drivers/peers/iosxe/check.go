package iosxe

import (
	"maps"
	"slices"
)

// Limits of a device; 0 is the default that stands with each field, a negative
// number no limit.
type Limits struct {
	// Sources are local and RSPAN source sessions together. 0 = 8: "a combined
	// maximum of 8 local SPAN sessions and RSPAN source sessions" (Catalyst 3650
	// command reference); that of a Catalyst 9000 is unverified.
	Sources int
	// ERSPANRx and ERSPANTx are ERSPAN source sessions that watch a direction, and
	// ERSPANDestinations the others. 0 = 8 each (show capability feature monitor, captured).
	ERSPANRx, ERSPANTx, ERSPANDestinations int
	// DestinationPorts of all sessions. 0 = 64 (Catalyst 3650 command reference).
	DestinationPorts int
}

func (l *Limits) defaults() {
	for field, value := range map[*int]int{&l.Sources: 8, &l.ERSPANRx: 8, &l.ERSPANTx: 8, &l.ERSPANDestinations: 8, &l.DestinationPorts: 64} {
		if *field == 0 {
			*field = value
		}
	}
}

// conflict returns why a configuration cannot run as a whole, in IOS's words
// without "% " where they are known; "" if it can.
func (c *config) conflict(o *Options) string {
	var sources, erspanRx, erspanTx, erspanDestinations, ports int
	count := func(n *int, when bool) {
		if when {
			*n++
		}
	}
	for _, s := range c.sessions {
		watches := func(d direction) bool {
			in := func(v direction) bool { return v&d != 0 }
			return slices.ContainsFunc(slices.Collect(maps.Values(s.sources)), in) || slices.ContainsFunc(slices.Collect(maps.Values(s.vlans)), in)
		}
		count(&sources, (s.kind == kindFlat || s.kind == kindLocal) && len(s.sources)+len(s.vlans) > 0)
		count(&erspanRx, s.kind == kindSource && watches(rx))
		count(&erspanTx, s.kind == kindSource && watches(tx))
		count(&erspanDestinations, s.kind == kindDestination)
		ports += len(s.destinations)
	}
	over := func(n, limit int) bool { return limit > 0 && n > limit }
	l := o.Limits
	switch {
	case over(sources, l.Sources):
		return "Local Session limit has been exceeded" // as a Catalyst 6500 says it ("Configuring SPAN": error messages)
	case over(erspanRx, l.ERSPANRx), over(erspanTx, l.ERSPANTx):
		return "ERSPAN Source Session limit has been exceeded" // words unverified
	case over(erspanDestinations, l.ERSPANDestinations):
		return "ERSPAN Destination Session limit has been exceeded" // words unverified
	case over(ports, l.DestinationPorts):
		return "Destination port limit has been exceeded" // words unverified
	}
	return ""
}
