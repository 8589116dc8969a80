// Package ovs is the dialect of Open vSwitch on a host: ovs-vsctl and ovs-appctl, run
// by SSH.
//
// Sources, by the keys used in comments here:
//
//	db      ovs-vswitchd.conf.db(5) and vswitch.ovsschema 8.3.1, of Open vSwitch 3.1.0
//	vsctl   ovs-vsctl(8) of 3.1.0
//	lab     ovs-vswitchd 3.1.0 of Debian 12 with its userspace datapath: the tests of
//	        this package and of drivers/peers/ovs
//	code    openvswitch/ovs, ofproto/ofproto-dpif-mirror.c and vswitchd/bridge.c
//
// # What is said
//
// All tables are read by one ovs-vsctl, so in one transaction, in the JSON of RFC 7047.
// A change set is one ovs-vsctl as well: the server takes all of it or nothing [vsctl].
// Of the login's shell nothing is asked but quotes, "&&", and lines that go on behind a
// backslash. The login needs the right to use the sockets of the database and of
// ovs-vswitchd, which is root's where nobody has changed it.
//
// # Whose is what
//
// Mirrors of ours, and the tunnel ports made for them, carry external_ids:spanctl with
// the name of the session. A mirror whose name begins with "sp-" is removed only while
// it carries the mark: the same transaction reads the mark, and fails without it. It
// also fails where two mirrors have the name. Mirrors that were adopted have other
// names and no mark. Rows are taken out one by one; a column is never cleared.
//
// # Oddities
//
//   - Flows that are cached keep doing what they did: they do not copy to a new mirror
//     and go on copying to one that was removed, for as long as the traffic lasts [lab].
//     So every change ends with ovs-appctl revalidator/purge, which forgets the cached
//     flows of the host: each flow costs ovs-vswitchd one look more. A login that may
//     not do this is refused any change, since its mirrors could not be removed.
//   - A frame is copied to a destination once, however many reasons there are [db]: what
//     comes in on one source and leaves by another gives one copy, where most switches
//     make two.
//   - Ports and VLANs of one mirror are an intersection [db]. So VLANs beside ports are
//     a filter of the session, and VLANs alone are sources, rx: each frame is copied
//     when it comes in. Ports and VLANs as sources of one session are refused.
//   - The tags of copies follow the destination port: an access port gets them without
//     tag, another with the tag of their VLAN, also those that came in without [lab].
//   - A tunnel is a port of its own, made and removed with the mirror. Where an ERSPAN
//     III header says one direction, it says egress when all sources are tx.
//   - The bridge is that of the ports. Where a session names none, there must be only
//     one bridge.
//   - A mirror without an output, or beyond the 32nd of a bridge, is in the database and
//     copies nothing; only a log tells [lab, code].
//   - ovs-vsctl ends with status 0 although ovs-vswitchd could not set an interface up,
//     and says so on its standard error [lab]: that is taken for a refusal.
//   - ovs-vsctl waits until ovs-vswitchd has done what the database says. Without
//     ovs-vswitchd it is ended after 10 seconds, with the change in the database [lab]:
//     a refusal that has to be taken back.
package ovs
