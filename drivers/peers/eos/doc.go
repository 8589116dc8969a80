// Package eos simulates the management plane of an Arista EOS switch: a real SSH
// server with EOS's command line, its configuration sessions and commit timers,
// over the packet model of package fabric. What is configured moves frames.
//
//	fab := fabric.New()
//	sw, _ := fab.AddSwitch("leaf1")
//	_ = sw.AddPort("Ethernet1")
//	d, err := eos.New(eos.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "admin"}})
//	go d.Serve(ctx, listener)
//
// # Where its knowledge comes from
//
// Not from a driver. Prompts, session prompts with the first six characters of
// the name, "show session-config diffs" and "show configuration sessions": public
// notes of real switches (4.15 to 4.35) and the eAPI answers quoted in
// aristanetworks/anta. Monitor sessions: the vendor's own generator
// (aristanetworks/avd, monitor-sessions.j2) for the lines and their order, a
// captured 7150 for "show monitor session" and for a source line without
// direction, the manual's access list chapter for filtered sources. Access lists
// and tables: networktocode/ntc-templates. JSON: napalm's and anta's recorded
// answers. Errors: scrapli's list of failures and eAPI's texts. Comments beside
// the code name the source; "unverified" marks what is inferred or remembered.
//
// # What it refuses
//
// Everything that it does not know, with EOS's texts. Startup configurations of
// labs have lines that mean nothing to the packet model; globalLines and keptLines
// list those that are accepted and kept.
//
// # Sessions, and live lines
//
// A session works on a copy and touches nothing until it is committed; the switch
// is then reconfigured in one step. Lines of "configure terminal" are live one by
// one; access lists when their mode is left. A session outlives the connection
// that made it. One with a commit timer is rolled back when the timer lapses
// unless "configure session NAME commit" confirms it, from any connection.
//
// # Tests
//
// SetFaults makes it misbehave, Wire tells what it received, RunningConfig and
// MonitorSessions tell what it believes. ManualClock lets timers lapse at once.
package eos
