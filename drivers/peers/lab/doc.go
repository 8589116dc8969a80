// Package lab joins fabrics, the nodes in them and their management servers to a
// lab, and serves it: each switch on an address of its own, and an HTTP interface
// for whoever drives a test.
//
// # Control interface
//
// It speaks JSON, listens on loopback only, and changes no switch configuration:
// that is what the management servers are for. Requests with unknown members,
// other methods or other content types are refused; every error is
// {"error": "..."} with a status of 4xx or 5xx. Frames are base64.
//
//	GET  /v1/nodes                      {"nodes": [Node...], "links": [Link...]}
//	POST /v1/frames                     SendRequest -> {"sent": N}
//	GET  /v1/captures?host=H[&port=P][&contains=TEXT][&reset=1]
//	                                    Captures: what the host has received
//	POST /v1/captures/reset             {"host": H}, {} for all hosts -> {}
//	POST /v1/faults                     {"node": N, "faults": {...}}, replaces the node's faults -> {}
//	POST /v1/links                      {"node": N, "port": P, "up": false} cuts or mends a cable,
//	                                    "loseOneIn": 10 makes it lose every tenth frame -> {}
//	GET  /v1/config?node=N              {"node": N, "config": "..."} as the switch prints it
//	GET  /v1/wire?node=N[&reset=1]      {"node": N, "lines": [...]} that the switch received
//	GET  /v1/counters?node=N            Counters
//
// A port that is left out is the host's only or first one. Faults are passed to
// the node's front end, whose package says what they can be; {} heals the node.
// When /v1/frames answers, the frames and all copies have arrived everywhere.
package lab
