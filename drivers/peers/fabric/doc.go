// Package fabric is a packet model: switches, hosts and the cables between them,
// in memory. It needs no root, knows no vendor, has no clock and no randomness:
// the same calls in the same order give the same frames.
//
// # What is modelled
//
// A switch learns source addresses per VLAN, forwards known unicast to one port
// and floods the rest. Access and trunk ports add and remove 802.1Q tags. A LAG
// sends each flow by one of its members that are up. Mirrors copy frames as they
// are on the wire of the mirrored port; see [Mirror] for the rules.
//
// There is no time: no rates, no queues, nothing is lost by load, learned addresses
// do not age. What is to be lost is lost by [Fabric.SetLoss], [Fabric.SetLink] and
// the MTU of a [Link].
//
// # Loops
//
// There is no spanning tree. Instead a switch forwards one frame at most once in
// each VLAN: what comes back to it is dropped and counted ([DropLoop]). So a flood
// reaches every switch by the way that is shortest, and always ends.
//
// # Copies
//
// Copies are never mirrored again, on no switch; the exception is an RSPAN VLAN,
// from which a mirror with an RSPAN source takes them. Such a mirror can only lead
// to ports, so copies of copies end there. A mirror copies all that its port
// receives, also what forwarding then drops.
//
// # Tunnels
//
// There is no routing protocol. A tunnel packet leaves by the shortest way over
// links that are up, through switches, to the host that owns the destination
// address; equal ways are decided by the order in which ports were added. VLANs,
// VRFs and modes of the ports on the way do not matter. Every switch after the
// first counts as a router: it lowers the TTL and rewrites the Ethernet addresses.
package fabric
