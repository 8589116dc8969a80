// Package kerneltest gives tests the Linux kernel as their peer: network namespaces
// of their own, veth pairs between them, frames sent and captured on AF_PACKET
// sockets, and the tc and ip commands as a second opinion on what the kernel holds.
// It needs root and Linux; without them tests skip or fail as package require says.
package kerneltest
