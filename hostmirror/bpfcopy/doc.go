// Package bpfcopy mirrors with one BPF program for each port and direction. The
// program looks at every frame, finds all sessions of the port that want it, and
// clones it to their destinations. Its verdict is always TCX_NEXT (TC_ACT_UNSPEC):
// what happens to the frame itself is never decided here.
//
// It is attached at the head of tcx where the kernel has that (6.6), else as a
// direct-action filter of the classifier bpf. Programs are made with the assembler of
// cilium/ebpf, for exactly what the sessions ask for; there is no C and no generated
// file. A change of sessions is a new program with new tables, put in place of the old
// one in one step, so that no frame sees half of a change.
//
// # Cost
//
// All rules of all sessions of a port are one table of bit vectors, one vector for
// each class of values of a field (the "bit vector" packet classification of Lakshman
// and Stiliadis, SIGCOMM 1998, with the summaries of Baboescu and Varghese, SIGCOMM
// 2001). A frame is looked up once per field, by index or, for addresses, by binary
// search. The vectors are combined, and what is left are the rules that the frame
// matches. A frame that no session wants costs about the same with 1 session as with
// 1,000: only the binary searches become longer, by one step whenever the number of
// prefixes doubles. Every copy costs what a copy costs.
//
// # What is matched
//
// The VLAN of a frame is its outermost tag, whether the kernel keeps it beside the
// frame or not. IP is looked for behind up to two tags in the frame. IPv4 is read with
// its real header length. IPv6 is read behind up to four extension headers of the kinds
// hop-by-hop, routing, destination options and fragment; what comes behind more of them
// counts as the protocol of the fifth. Ports are those of TCP, UDP and SCTP in the first
// fragment: a later fragment has none and matches no rule about ports. A rule that says
// nothing about IP matches other frames (ARP) as well.
package bpfcopy
