// Package iosxe simulates the management plane of a Cisco IOS-XE device, a Catalyst
// switch or (Options.Router) a router: a real SSH server with IOS's command line over
// the packet model of package fabric. What is configured moves frames.
//
//	fab := fabric.New()
//	sw, _ := fab.AddSwitch("access1")
//	_ = sw.AddPort("GigabitEthernet1/0/1")
//	d, err := iosxe.New(iosxe.Options{Hostname: "access1", Switch: sw, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15})
//	go d.Serve(ctx, listener)
//
// # Where its knowledge comes from
//
// Not from a driver. Layouts of show commands: device outputs in genieparser and
// ntc-templates, captures in public notes. Lines and refusals of sessions: genielibs
// (span/configure.py and its recorded dialogs), the SPAN, RSPAN and ERSPAN chapters of
// Cisco's configuration guides and command references, the native YANG of 17.18 for
// ranges and defaults. Running configuration: oxidized's recordings of a C9200L
// (17.9.4a) and an ASR920 (16.8.1b). Timed changes: the command reference, Cisco's NSO
// NED, public notes. Comments beside the code name the source; "unverified" marks what
// is inferred or remembered.
//
// # What it refuses
//
// Everything that it does not know, with IOS's texts. Lines of configurations of labs
// that mean nothing to the packet model are accepted and kept; keptLines, keptPortLines
// and keptBlocks list them. Of filters it has VLANs, ip and ipv6 access lists; not
// mac access lists and security group tags.
//
// # What is live
//
// Every line, at once, whole or not at all. A session of a type is shut until
// "no shutdown" and copies nothing before. "configure terminal revert timer" takes the
// configuration back to what it was, from any connection, unless it is confirmed.
//
// # What it cannot show
//
// The packet model unpacks no ERSPAN: a destination session claims its ports and stays
// silent. It forwards nothing that a destination port receives: "ingress" is kept and
// printed. Copies to a port with "encapsulation dot1q" keep their tag or its absence, as
// with "replicate".
//
// # Tests
//
// SetFaults makes it misbehave, Wire tells what it received, RunningConfig and
// MonitorSessions tell what it believes. ManualClock lets timers lapse at once.
package iosxe
