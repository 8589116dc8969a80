// Package sonic is the dialect of community SONiC, over the Linux shell that a login
// gets: the commands config and show of sonic-utilities.
//
// # Sources
//
// Facts come from public texts; their keys are used in comments:
//
//	su    sonic-net/sonic-utilities: config/main.py, doc/Command-Reference.md, tests
//	yang  sonic-net/sonic-buildimage: sonic-mirror-session.yang, revision 2026-04-14
//
// # What is particular
//
// The configuration is read whole, as the JSON text of CONFIG_DB that "show
// runningconfiguration all" prints; tables for people tell only what runs. A session is
// changed by removing and adding it: there is no edit in place, and "add" of a name that
// exists says so and exits with 0, so that every answer to a step is a refusal [su].
//
// All ports of a session have one direction. A tunnel session needs DSCP, TTL, GRE type
// and queue as positional words; what an intent leaves open is written as TTL 64, GRE
// type 0x88be and queue 0, and read as open again.
package sonic
