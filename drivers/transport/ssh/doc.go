// Package ssh carries steps and requests to a network OS's command line over
// SSH: a transport.Conn.
//
// The connection is made by golang.org/x/crypto/ssh, where host keys, jump hosts,
// agents and contexts are in our hands; the bytes of the shell go through
// scrapligo's channel over a transport of our own. Its SendCommand is not used: it
// waits for the echo of every line before it types the end of the line, two round
// trips each, and it polls. What is used instead:
//
//   - Lines that may be typed together are typed together, and the answers are told
//     apart by the echo: an answer ends at the line that is a prompt followed by the
//     next line that was typed. Text that looks like a prompt ends nothing.
//   - The channel's log is written after its queue is filled, and serves as the
//     signal that there is something to read: nothing polls.
//   - Escape sequences, carriage returns and backspaces are carried out as a
//     terminal does, before scrapligo sees them: it removes them chunk by chunk and
//     misses those that a chunk boundary cuts.
//
// An apply (open, observe, edit, commit, read back, confirm) costs six round
// trips after the SSH handshake where the profile allows early input.
//
// Hosts whose commands have an exit status, Linux above all, need no terminal: [Exec]
// runs each command on a channel of its own.
package ssh
