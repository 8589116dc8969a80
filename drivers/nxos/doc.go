// Package nxos is the CLI dialect of Cisco NX-OS: Nexus 9000, and what of it holds
// for older Nexus switches.
//
// Sources, by the keys used in comments here:
//
//	dev   Cisco-NX-OS-device.yang of 9.3(2), span-items: ranges, defaults, and the
//	      words of the reasons why a session is down
//	tfn   terraform-provider-nxos, span.yaml: what later releases add to it
//	dc    developer.cisco.com, NX-API REST guide 9.3(x), Configuring SPAN and ERSPAN:
//	      the lines that belong to the nodes of dev
//	g7    Cisco Nexus 9000 System Management Configuration Guide 7.x, Configuring SPAN:
//	      guidelines and limitations
//	g10   the same, 10.3(x), Configuring SPAN and Configuring ERSPAN
//	n7k   Cisco Nexus 7000 System Management guide 6.x, SPAN and ERSPAN
//	bf    batfish, grammar and test configuration nxos_monitor: forms of lines;
//	      "no shutdown" is not taken by a Nexus 9000, "no shut" is
//	zs    public notes on a Nexus 9000 with an ERSPAN session: lines and output
//	tac   a public letter of Cisco TAC and public notes: access lists of SPAN on a
//	      Nexus 9000
//	gp    genieparser, outputs of "show monitor session" of a Nexus 7000
//	ntc   ntc-templates, "show interface brief"
//	ox    recorded dialogs of oxidized: Nexus 9300 with 10.4(5), Nexus 5548 with 7.3(13)
//	rb    public notes on a Nexus 9000 with 10.2(2): checkpoint, rollback, and what
//	      they print; the Nexus 3548 guide: names and number of checkpoints
//	an    Ansible's nxos collection and annet: prompts, refusals, access lists
//	nap   napalm, nxos
//
// Nothing here has been run on NX-OS by this project. What no source says is marked
// unverified where it is used.
//
// # Oddities
//
//   - A session has a number and is shut until "no shut" [dev, bf].
//   - The destination of a local session must be a switch port with "switchport
//     monitor" [dev, dc]. The line is written after the session has the port, and
//     taken away while the session is shut and still has it: whatever fails between,
//     the session shows that there is something to take back. A port that has the
//     line without a session is refused, so that what is removed is what was written.
//     The other lines of the port stay as they are. A destination without the line,
//     or with more than it, shows that in Session.Extra.
//   - The address that ERSPAN is sent from is global [dev]. It belongs to no session:
//     it is neither written nor removed here, and has to be there.
//   - Lines add to a session, and its type stays what it is. So an update removes the
//     session and writes it again (models.GrainSession).
//   - An access list filters received frames only [tac].
//   - VLANs are sources in the direction rx only, but for some models [g10], which are
//     in a table (models.go) with what else differs.
//   - Every line is live at once and the device has no timer [nap]. Before a change a
//     checkpoint of the configuration is made, and removed when the change stays. The
//     way back removes and writes sessions; the checkpoint is for where that fails,
//     since a rollback takes back what anybody changed since.
//   - The running configuration has no last line [ox]. So that a cut text is not taken
//     for a whole one, the name of the host is asked for behind it, in the same line.
//   - What is not written to the startup configuration ends with a reload, and drift
//     then shows it. It is written where that is asked for (RenderOptions.Save): as a
//     whole, with what others changed.
package nxos
