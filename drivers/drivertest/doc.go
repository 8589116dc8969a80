// Package drivertest is the conformance suite of drivers: what every driver must do
// to be believed. It looks at a device through the device's own view (Peer.Truth),
// never only through what the driver reads back, and at what the device received
// (Peer.Wire), never only at what the driver says it sent.
//
// [Run] is called once per driver and peer. Its points:
//
//	ladder   wanted states, one after the other: create, direction, second source,
//	         second session, other destination, drop one, empty; after each rung
//	         the device has exactly that and what strangers had, a second plan is
//	         empty, and where copies can be counted their number is exact
//	claims   what is claimed works up to its limit; what is not is refused with
//	         nothing sent
//	script   the same changes give the same script, and the device receives
//	         exactly the script (checked on every rung)
//	refusal  each step refused in turn: the error says which, nothing is left
//	timer    a confirm timer that lapses takes the change back; a confirmed change
//	         stays; a stored checkpoint is enough to go back from a second
//	         connection
//	context  a read and a send whose ctx ends return soon and leave nothing running
//	text     cut and strange text is an error, never part of a state
//
// [Golden] compares what a platform makes of an intent with a file.
package drivertest
