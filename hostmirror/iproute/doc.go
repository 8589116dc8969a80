// Package iproute reads what the commands of iproute2 print, into the types of
// package tcnl, for hosts whose kernel is reached by a shell only.
//
// Devices and addresses come from the JSON of ip and bridge. Qdiscs and filters come
// from the text of tc, not from its JSON, for what was seen in iproute2's history and
// in runs of 6.1:
//
//   - The JSON of u32 filters is no JSON before 5.18, that of bpf filters before 5.8,
//     and that of several qdiscs and actions still is none; one such object makes the
//     whole answer unreadable.
//   - The JSON of u32 repeats the key "match" for each match, and does not tell
//     whether the filter is terminal.
//   - The text has kept its form since 2017 and holds all that concerns us. It gives
//     cookies since 4.12; [Version] tells older ones.
//
// Lines of objects that a mirror has nothing to do with are passed over. What
// concerns us and cannot be read is an error that wraps tcnl.ErrMalformed.
package iproute
