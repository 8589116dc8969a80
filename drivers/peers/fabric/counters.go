package fabric

import "maps"

// Traffic counts frames and their bytes, without preamble and check sequence.
type Traffic struct{ Frames, Bytes uint64 }

// Drop is why a frame was not forwarded.
type Drop string

// Reasons for drops. "in" and "out" say on which side of the port it happened.
const (
	DropMalformed         Drop = "malformed"          // in: shorter than an Ethernet header
	DropVLAN              Drop = "vlan"               // in: the port does not carry the frame's VLAN
	DropRouted            Drop = "routed"             // in: a routed port bridges nothing
	DropMirrorDestination Drop = "mirror-destination" // in: the port carries copies only
	DropLoop              Drop = "loop"               // in: the switch has forwarded this frame in this VLAN already
	DropTTL               Drop = "ttl"                // in: a tunnel packet ran out of hops
	DropCaptureFull       Drop = "capture-full"       // in, hosts: counted but not kept
	DropDown              Drop = "down"               // out: the port is down
	DropMTU               Drop = "mtu"                // out: longer than the link's MTU
	DropLoss              Drop = "loss"               // out: sent and lost on the wire, see SetLoss
)

// Counters of a port.
type Counters struct {
	In, Out Traffic // what passed the wire, dropped afterwards or not
	Drops   map[Drop]uint64
}

// MirrorCounters of a mirror. They start anew when its definition changes.
type MirrorCounters struct {
	Matched uint64 // frames that passed the filters
	Copied  uint64 // copies sent, one per destination
	Dropped uint64 // copies not sent: destination down, absent or without a way, over its MTU, or nothing left of the frame
}

func (p *port) counters() Counters {
	return Counters{In: p.in, Out: p.out, Drops: maps.Clone(p.drops)}
}
