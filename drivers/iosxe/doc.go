// Package iosxe is the CLI dialect of Cisco IOS-XE: Catalyst switches and, where
// they say what they are, routers.
//
// Sources, by the keys used in comments here:
//
//	cg9300  Catalyst 9300 Network Management Configuration Guide, IOS XE 17.17,
//	        "Configuring ERSPAN" (steps and ranges)
//	cg9500  the same for Catalyst 9500, IOS XE 17.3, "Restrictions for Configuring
//	        ERSPAN"
//	cr9500  Catalyst 9500 and 9400 Command Reference, IOS XE 16.12 and 17.12, monitor
//	        session destination, source and filter
//	cr3650  Catalyst 3650 Command Reference, IOS XE 3SE, monitor session
//	fspan   Catalyst 2960-X guide, "Restrictions for SPAN and RSPAN", and Cisco
//	        document 116133 (flow-based SPAN with an extended access list)
//	cg3750  Catalyst 3750-E guide, "Configuring SPAN and RSPAN"
//	tac     Cisco document 218111, verify SPAN and ERSPAN on Catalyst 9000
//	asr     "Configuring ERSPAN", IOS XE 17, ASR 1000
//	xe      Cisco-IOS-XE-native.yang of IOS XE 17.18.1: ranges and defaults
//	rcc     "Configuration Rollback Confirmed Change", IOS XE 17; napalm ios.py
//	gp, gl  outputs and configuration calls of Cisco's own test libraries
//	        (genieparser, genielibs)
//	un, sg  unicon.plugins and scrapligo: prompts
//	ntc     ntc-templates: outputs
//	bf      a configuration in batfish's parser tests
//
// Nothing here has been run on IOS-XE by this project. What no source says is
// marked unverified where it is used.
//
// # Oddities
//
//   - A session has a number and no name. Numbers are shared by all kinds of
//     sessions. Ownership is what the records say of the number. Sessions with a
//     type have a description, which then names the intent for people who look at
//     the device; it is no proof of anything.
//   - Local and RSPAN sessions of a Catalyst are flat lines and copy as soon as they
//     have a source and a destination. Sessions with a type (ERSPAN; local ones on
//     routers) are shut until "no shutdown" [xe].
//   - Lines add to a session; writing a session anew does not remove what it had
//     [cg3750], and number and type cannot be changed [cg9500]. So an update removes
//     the session and writes it again (models.GrainSession): what a second line for
//     the same source does with its direction is in no public source.
//   - Every line is live at once. The way back is the device's own where
//     "archive" has a path (configure terminal revert timer) [rcc], which Render is
//     told by RenderOptions.Facts; else spanctl plans it. The device's own takes the
//     whole running configuration back, not only our lines.
//   - A session has either ports or VLANs as sources [cr9500, cg9500].
//   - A filter is one access list of one IP version, of the session's own. Frames of
//     the other version are then not copied [fspan].
//   - ERSPAN copies are cut at "mtu", whose default of 1464 on routers is 1500 less
//     the outer IP, GRE and ERSPAN headers: it counts the bytes of the copied frame.
//     9000 is the default of Catalysts and keeps every frame whole [cg9300]; a router
//     is told it.
//   - What a session of strangers has beyond the model is kept in Session.Extra, so
//     that it is put back as it was where it was adopted. Only the form of a local
//     session is not: it is that of the model of the switch.
//   - What is not written to the startup configuration ends with a reload, and drift
//     then shows it. It is written where that is asked for (RenderOptions.Save), by
//     "write memory": as a whole, with what others changed.
package iosxe
