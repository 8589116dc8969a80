// Package eos is the CLI dialect of Arista EOS.
//
// Sources, by the keys used in comments here:
//
//	avd     aristanetworks/avd, monitor-sessions.j2 with its schema, and
//	        queue-monitor-length.j2 for GRE destinations: the vendor's own generator;
//	        its output is configuration that EOS accepts
//	toi     titles and summaries of Arista's release notes ("TOI"), tag mirroring
//	manual  EOS user manual, chapter ACLs and Route Maps, "Configuring Mirror
//	        Access Control Lists"
//	napalm  napalm-automation/napalm, napalm/eos/eos.py: configuration sessions
//	eapi    ievgen-kostiukevych/eAPI-port-mirroring-tool, and
//	        TechBlueprints/switch-to-unifi (captures of EOS 4.26.14M): JSON of show
//	        commands, and "EOS refuses to remove a session that does not exist"
//	un      CiscoTestAutomation/unicon.plugins and scrapli/scrapligo: prompts
//	oxi     recorded dialog of a 7050SX3 with EOS 4.29.2F (ytti/oxidized)
//	gre     a public capture of what "tunnel mode gre" sends: GRE without key or
//	        sequence number, protocol 0x88be, the frame behind it
//
// Nothing here has been run on EOS by this project. What no source says is marked
// unverified where it is used.
//
// # Oddities
//
//   - A mirror session is a set of lines "monitor session NAME ..." and has a name
//     but neither a number nor a description.
//   - A session copies as soon as it has a source and a destination. There is no
//     shutdown.
//   - The filter of a session is one access list of one family. Frames of another
//     family are then not copied, so a filter must name the family that it means.
//     On some platforms such lists look at received frames only [manual].
//   - Sessions of ours have an access list of their own, with the session's name.
//     It is made and removed with the session.
//   - What is not written to the startup configuration ends with a reload, and drift
//     then shows it. It is written where that is asked for (RenderOptions.Save), by
//     "write memory": as a whole, with what others changed.
//   - "commit timer" of a configuration session takes the whole running
//     configuration back when it lapses, not only our lines [napalm].
package eos
