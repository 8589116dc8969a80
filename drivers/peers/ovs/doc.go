// Package ovs runs the real Open vSwitch of the system beside a test or a lab:
// ovsdb-server and ovs-vswitchd with a database and sockets of their own. It needs no
// root, no kernel module and no network namespace, and touches no other Open vSwitch.
//
// Switching is that of ovs-vswitchd with its userspace datapath; only the ports are
// not network devices but unix sockets (netdevs of type dummy, by which Open vSwitch
// tests itself): what a caller writes to one the switch receives there, and what the
// switch sends there the caller reads.
//
// [Switch] is the switch by itself: a peer for whoever speaks to Open vSwitch, and
// frames through it. [Plane] puts it behind a switch of a packet model, whose front end
// speaks another vendor's language.
package ovs
