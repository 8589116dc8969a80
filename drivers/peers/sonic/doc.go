// Package sonic simulates the management plane of a switch with community SONiC: a
// Linux shell over SSH in which the commands config and show of sonic-utilities are the
// only programs, over a CONFIG_DB that drives a switch of the packet model.
//
// It is written from public texts: sonic-utilities config/main.py and its tests (what
// "config mirror_session" takes, refuses and stores), doc/Command-Reference.md (the
// tables of "show"), and sonic-mirror-session.yang of sonic-buildimage. Known traps are
// kept: "add" of a name that exists says so and exits with 0, "remove" of one that does
// not says nothing, and a port counts as mirrored already when its name is part of the
// name of one that is (Ethernet1 and Ethernet10).
//
// Not simulated: redis, the other commands, rules of ACL tables (they are stored and
// shown, and copy nothing), multi-ASIC devices, interface aliases.
package sonic
