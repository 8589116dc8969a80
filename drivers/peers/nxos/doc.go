// Package nxos simulates the management plane of a Cisco Nexus 9000: a real SSH server
// with NX-OS's command line over the packet model of package fabric. What is configured
// moves frames.
//
// # Where its knowledge comes from
//
// Not from a driver. Prompts, heads and the text of an unknown command: oxidized's
// recordings of a Nexus 9300 (10.4(5)) and 5548 (7.3(13)N1(1)). "show monitor session":
// genieparser's captures, a capture of a Nexus 9000 in the public project zSpan, notes on
// a Nexus 5000. "show interface brief": ntc-templates. Lines of sessions: Cisco's
// SPAN and ERSPAN guides, batfish's test configurations; ranges and the reasons why a
// session is down: Cisco-NX-OS-device.yang of 9.3(2), terraform-provider-nxos. Checkpoint
// and rollback: public notes on 10.2(2), the Nexus 3548 guide.
// "unverified" beside the code marks what is inferred or remembered.
//
// # What it refuses
//
// Everything that it does not know, with NX-OS's texts. Lines of configurations that mean
// nothing to the packet model are kept; keptLines and keptPortLines list them. RSPAN, ipv6
// and mac access lists and "| json" are not there.
//
// # What is live
//
// Every line, at once, whole or not at all. A session is shut until "no shut"; its
// destination must be a switch port with "switchport monitor", else the session is down.
// There is no timed commit: "checkpoint" and "rollback" are the way back.
package nxos
