// Package bench measures what a mirror costs the traffic that it copies, beside other
// ways to make the same copies: the tc command by hand, nft, Open vSwitch, a copier in
// user space. It has tests and benchmarks only:
//
//	make bench-host          # on this kernel; needs root
//	make bench-host LAB=1    # on a distribution's kernel, in a virtual machine
//
// # How it is measured
//
// Each way has a bed of its own: a host that routes frames of 64 bytes from one veth
// to another, in fresh network namespaces, and a monitor port. A thread that stays on one
// processor sends frames one by one; the kernel does all its work for a frame, copy
// included, before the call returns. So one over the time of a call is the rate that one
// processor can forward, and what the mirror adds to the time is its cost. The time is
// the processor time of that thread where the kernel counts the work in it, and
// otherwise the time on the wall.
//
// A run is made of rounds. In each, every way is measured between two measurements of
// a bed without a mirror, so that what disturbs the machine for longer than some
// milliseconds disturbs both; a result is the median of the rounds' ratios. Which way
// comes first changes from round to round, and beds are made anew every few rounds,
// since where the kernel puts their memory matters by a percent. A second bed without a
// mirror is measured like a way: what it shows beside 100 % is noise.
//
// Programs in user space are judged by the processor time that they themselves take;
// what they do on another processor than the one that forwards is shown apart. Frames
// and copies are counted for every way: a way is not fast that loses them.
//
// Spanctl's mirrors are made through package hostmirror as the engine makes them. What it
// refuses, what this kernel or machine lacks, and why, is a line of the table.
package bench
