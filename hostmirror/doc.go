// Package hostmirror mirrors ports of a Linux host, or of a network namespace on it,
// with the kernel's traffic control: clsact and, per mirrored port, direction and
// destination, one filter that takes every frame, or those that the session's rules
// include, and copies it with the action mirred. It is a [drivers.Driver] by itself.
//
// # What is ours
//
// The kernel keeps no session and no name, only filters. A filter is ours when each
// of its actions carries our 16-byte cookie:
//
//	0-3    "SPN" and 1, the version of this layout
//	4-11   first 8 bytes of SHA-256(device name "/" session name)
//	12     'I' or 'E': ingress or egress hook
//	13     'm': a mirror
//	14-15  0
//
// A session is all filters of one hash. Its name is not in the kernel: a cookie has no
// room for it, other places (interface aliases, additional actions) belong to somebody
// else or slow the path of production frames down. So names come from those who know
// them, [Options].Known (the store's records) and every change set that passes
// through, and are proven by the hash. A session of ours whose name nobody knows is
// reported as "cookie:" and its hash, and is left alone until somebody asks for it by
// that very name. A mirror without our cookie is reported as a session "tc/..." and
// is never changed.
//
// # What is sent
//
// A script's steps are tc commands that a person could type, but for those about
// programs. They are the source of
// truth: Apply reads the text back and does what it says, after it has looked at what
// the command is about to touch: a filter is deleted by its full identity, and only
// while it carries the cookie that the command names behind "#".
//
// Every copy is an egress mirror with the verdict "continue", so that filters behind
// it still see the frame. Filters have priorities 21328-21359 on the ingress and
// 21360-21391 on the egress hook, each its own, since matchall takes one filter a
// priority. A qdisc is added when there is none and never removed: an empty clsact
// costs nothing that can be measured, and removing it would take the filters of
// others with it. The kernel has no way back by itself; Apply undoes the steps that it
// has done when one fails.
//
// Kernels without cls_matchall are served by cls_u32 or by a classic one-instruction
// program of cls_bpf. Which of them there is, Open finds out in a network namespace
// of its own, where nobody else sees the attempt.
//
// # Rules and sampling
//
// The rules of a session become one classic program of cls_bpf: flower would need one
// filter per rule, cannot exclude what a later rule includes without ending
// classification, and is missing on lean kernels; u32 sees neither VLANs nor the real
// length of headers. A classic program needs no CAP_BPF, tc lists it as it was given,
// and it reads back as the rules: a filter says by itself what it copies. Programs that
// do not come from rules are reported as such. Sampling is the action gact in front of
// mirred, which lets each N-th frame through, by counting, and leaves the others to the
// filters behind ours.
//
// # Programs
//
// What filters cannot copy, or not well, a BPF program copies: one for each port and
// direction, with all of its sessions that need one; see package bpfcopy. Filters are the
// rule, since CAP_NET_ADMIN is enough for them and everybody can list them; as long as
// no copy needs a program, nothing of BPF is touched. The reasons: somebody else decides
// over frames before a filter of ours would see them; more than 4 filters with rules on
// one port and direction, which each frame would pay for; no free priority; copies that
// are cut; sampling without gact; rules without cls_bpf, or too many for one classic
// program; frames that are sent where a foreign ingress qdisc keeps clsact out; no
// classifier. Copies that work stay as they are made. The reason is kept with the
// session and shown by [Mirror.Report]. [Options].Method forces or forbids programs.
//
// A program knows its sessions by name, as "device/session", and keeps them in a map that
// is pinned beside it; that map is what Observe reads. Sessions of other devices' names
// in the same program are left alone. Steps about programs are lines that tc has no
// words for, "bpf copy add dev eth0 ingress session ...", and are as strict; those about
// one program are done by one change of it.
//
// A program copies to interface indexes, which the kernel gives to others when a device
// goes. Whoever has another name than the session says is told as a lost destination,
// and left out by every change of the program.
//
// # Other namespaces
//
// A [Mirror] works in one network namespace. A [Host] is the driver of a whole host: its
// sessions may name ports of containers and of other network namespaces. Where the
// copies of one have to cross namespaces, it makes a veth pair for them; that is ours by
// its name, which begins with "span-0", and its interface group.
//
// # Remote hosts
//
// [OpenRemote] is the same driver for a host that is reached by a shell. A look is one
// message to it, whose answer holds what ip, bridge and tc print (package iproute); a step
// is one message too, and its text is the command that runs, behind "sudo -n" where the
// login is not root. In front of a delete the shell asks tc whether the filter still has
// its cookie. Where a command was sent and no answer came, the step is in doubt: it is
// looked at again and taken back, over the same connection or, when that is gone, by
// Revert over a new one. Programs are refused.
//
// # Links
//
// Copies that go into a tunnel, an RSPAN VLAN or a capture go into a link of the
// session's own, which package linknl makes: its name comes from the session's hash,
// group and type are marks as well, and it is removed only while all three match. Links
// come before the filters and go after them. The alias names the session for people and
// says which options were asked for that the link cannot tell. Each link of GRE and
// ERSPAN has a key of its own on receipt, so that several can send alike, and so that
// errors about copies never reach the senders of production packets.
//
// The way to the collector is looked up when a plan is made: copies that it does not
// carry are refused with the numbers, unless the session says that they may be cut or
// fragmented; what would harm production is refused always. Where that way leads by a
// port that a session copies, a guard keeps the outer packets from being copied again:
// a u32 filter without an action at priority 21327 (egress; 21326 on ingress), known by
// its class 5350:45 (5350:49) and its exact shape. It ends classification for those
// packets. A link of an RSPAN VLAN drops all that comes in by it.
package hostmirror
