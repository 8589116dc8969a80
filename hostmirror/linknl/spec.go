// Package linknl makes, reads and removes the links that mirror sessions of a Linux
// host send their copies into: ERSPAN of type I, II and III, GRE with Ethernet
// inside, VXLAN, an 802.1Q subinterface for an RSPAN tag, and a dummy for local
// capture. Tunnels run over IPv4 and IPv6.
//
// It speaks rtnetlink itself, because github.com/vishvananda/netlink v1.3.1 has no
// ERSPAN link and cannot set ignore-df on a GRE one. Without ignore-df the kernel
// answers a full-size mirrored packet with "fragmentation needed" to the sender of
// the production packet; a link made here never does that over IPv4. Over IPv6 the
// kernel has no such switch: see [Spec.Fate].
//
// A link is ours when its name begins with [Prefix], its group is [Group] and its
// kind is one that this package makes. Name and group are set in the request that
// makes the link, so that there is no moment in which a link of ours looks foreign.
// Other links are read, and never changed.
//
// A [Conn] works in the network namespace it was opened on, from any goroutine; the
// package keeps no global state. Numbers are those of linux/if_link.h,
// linux/if_tunnel.h, linux/ip6_tunnel.h and linux/rtnetlink.h.
package linknl

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Marks of a link of ours.
const (
	// Prefix begins its name. The kernel's own names erspan0, gretap0 and gre0, which
	// exist in every namespace once the module is loaded, cannot be meant.
	Prefix = "span-"
	// Group is its interface group, "SPAN" in ASCII.
	Group = 0x5350414e
)

const (
	maxName  = 15  // IFNAMSIZ without its end
	maxAlias = 255 // IFALIASZ without its end
)

// Kind is the kind of a link.
type Kind uint8

// Kinds. The zero value is invalid; a link that the package cannot make reads as it.
const (
	KindUnset Kind = iota
	ERSPAN1        // ERSPAN type I: GRE without sequence number, no ERSPAN header
	ERSPAN2        // ERSPAN type II
	ERSPAN3        // ERSPAN type III
	GRETap         // GRE with an Ethernet frame inside, with or without key
	VXLAN
	VLAN  // 802.1Q subinterface: frames leave by its lower link with a tag more
	Dummy // sends nowhere; captures on it see the copies
)

var kindWords = map[Kind]string{
	ERSPAN1: "ERSPAN type I", ERSPAN2: "ERSPAN type II", ERSPAN3: "ERSPAN type III",
	GRETap: "GRE", VXLAN: "VXLAN", VLAN: "VLAN", Dummy: "dummy",
}

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{ERSPAN1, ERSPAN2, ERSPAN3, GRETap, VXLAN, VLAN, Dummy} }

// String gives the kind as people call it.
func (k Kind) String() string {
	if w, ok := kindWords[k]; ok {
		return w
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Tunnel reports whether links of the kind wrap frames into IP packets.
func (k Kind) Tunnel() bool { return k >= ERSPAN1 && k <= VXLAN }

func (k Kind) erspan() bool { return k >= ERSPAN1 && k <= ERSPAN3 }

// Spec is a link to be made, and what is read of one. Fields that do not belong to
// the kind are zero. What is not here is the same for every link of ours: path MTU
// discovery off, ignore-df on (of IPv4 GRE), no tunnel encapsulation limit (of IPv6
// GRE), no learning (of VXLAN), no IPv6 address of its own, up.
type Spec struct {
	Name  string // Prefix and 1 to 10 lower-case letters, digits, dots, dashes or underscores
	Kind  Kind
	Alias string // for people, up to 255 bytes of one line; "" = none
	MTU   int    // of the link, 68 and more; larger frames are cut by ERSPAN and sent by the others

	// Of tunnels.
	Local  netip.Addr // outer source, an address of this host; zero = the kernel's choice, not for GRE and ERSPAN over IPv6
	Remote netip.Addr // the collector; its family is that of the underlay
	TTL    uint8      // outer TTL or hop limit, 1 to 255; 0 would copy that of the mirrored packet
	TOS    uint8      // outer TOS or traffic class: the DSCP times 4; ERSPAN over IPv6 gives it to frames of untagged IP only

	Session   uint16 // ERSPAN II and III: session id, 0 to 1023
	PortIndex uint32 // ERSPAN II: index, 20 bits; by custom a number of the source port
	Egress    bool   // ERSPAN III: the direction bit, set for frames that the source sent
	HWID      uint8  // ERSPAN III: hardware id, 6 bits

	Keyed bool   // GRE: the header has a key; without it Key is 0
	Key   uint32 // GRE

	// InKey, of GRE and ERSPAN, is the key that a packet from the collector would have
	// to carry for the kernel to find the link by it; ERSPAN II and III: 10 bits. 0 is
	// the one that the link sends with, or none. Another one keeps links apart that send
	// alike, which the kernel else refuses (EEXIST); and what comes back from the
	// collector, frames as well as errors about the copies, then meets no link.
	InKey uint32

	VNI  uint32 // VXLAN: network identifier, 24 bits
	Port uint16 // VXLAN: destination port, usually VXLANPort

	Lower string // VLAN: the link that sends the tagged frames
	VLAN  uint16 // VLAN: 1 to 4094
}

// VXLANPort is the port that IANA assigned to VXLAN.
const VXLANPort = 4789

// Name gives the name of the link that an owner uses for a purpose, such as
// "leaf1/ids-dmz": Prefix and 50 bits of the SHA-256 of the purpose.
func Name(purpose string) string {
	sum := sha256.Sum256([]byte(purpose))
	text := base32.StdEncoding.EncodeToString(sum[:])
	return Prefix + strings.ToLower(text[:maxName-len(Prefix)])
}

// TOS gives the TOS of a DSCP (0 to 63; higher bits are lost).
func TOS(dscp uint8) uint8 { return dscp << 2 }

// V6 reports whether the link is a tunnel over IPv6.
func (s Spec) V6() bool { return s.Kind.Tunnel() && s.Remote.Is6() }

// TypeWord is the word of the kernel, and of ip-link(8), for the kind; "" of an invalid
// one.
func (s Spec) TypeWord() string {
	word := map[Kind]string{
		ERSPAN1: "erspan", ERSPAN2: "erspan", ERSPAN3: "erspan", GRETap: "gretap", VXLAN: "vxlan", VLAN: "vlan", Dummy: "dummy",
	}[s.Kind]
	if s.V6() && s.Kind != VXLAN {
		word = "ip6" + word
	}
	return word
}

// TypeWords lists those of all kinds, over IPv4 and IPv6.
func TypeWords() []string {
	return []string{"erspan", "ip6erspan", "gretap", "ip6gretap", "vxlan", "vlan", "dummy"}
}

// ErrInvalid means a link that is refused before the kernel is asked.
var ErrInvalid = errors.New("invalid link")

// Validate checks what must hold before a link is made. The error wraps ErrInvalid
// and tells of everything that is wrong.
func (s Spec) Validate() error {
	f := s.findings()
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(f, "; "))
}

func (s Spec) findings() []string {
	var f []string
	must := func(ok bool, format string, args ...any) {
		if !ok {
			f = append(f, fmt.Sprintf(format, args...))
		}
	}
	must(ourName(s.Name), "name %q is not %s and 1 to %d of a-z 0-9 . - _", s.Name, Prefix, maxName-len(Prefix))
	must(kindWords[s.Kind] != "", "%s is none to make", s.Kind)
	must(len(s.Alias) <= maxAlias, "alias of %d bytes, at most %d", len(s.Alias), maxAlias)
	must(oneLine(s.Alias), "alias %q is not one line of text", s.Alias)
	most := s.MostMTU()
	must(s.MTU >= minMTU && s.MTU <= most, "MTU %d is not %d to %d", s.MTU, minMTU, most)

	if s.Kind.Tunnel() {
		f = append(f, s.tunnelFindings()...)
	} else {
		must(s.Local == netip.Addr{} && s.Remote == netip.Addr{}, "%s has no addresses", s.Kind)
		must(s.TTL == 0 && s.TOS == 0, "%s has neither TTL nor TOS", s.Kind)
	}
	of := func(has bool, set bool, what string) {
		must(has || !set, "%s has no %s", s.Kind, what)
	}
	numbered := s.Kind == ERSPAN2 || s.Kind == ERSPAN3
	of(numbered, s.Session != 0, "session id")
	must(s.Session <= maxSession, "session id %d is above %d", s.Session, maxSession)
	of(s.Kind == ERSPAN2, s.PortIndex != 0, "index")
	must(s.PortIndex <= maxIndex, "index %d is above %d", s.PortIndex, maxIndex)
	of(s.Kind == ERSPAN3, s.Egress, "direction")
	of(s.Kind == ERSPAN3, s.HWID != 0, "hardware id")
	must(s.HWID <= maxHWID, "hardware id %d is above %d", s.HWID, maxHWID)
	of(s.Kind == GRETap, s.Keyed || s.Key != 0, "key")
	must(s.Keyed || s.Key == 0, "key %d of a header without key", s.Key)
	of(s.Kind.Tunnel() && s.Kind != VXLAN, s.InKey != 0, "key on receipt")
	must(!numbered || s.InKey <= maxSession, "key %d on receipt is above %d", s.InKey, maxSession)
	if flags, key := s.greOut(); flags&greKeyFlag != 0 {
		must(s.InKey == 0 || s.InKey != key, "key %d on receipt is the one of sending, which is written 0", s.InKey)
	}
	of(s.Kind == VXLAN, s.VNI != 0, "VNI")
	must(s.VNI <= maxVNI, "VNI %d is above %d", s.VNI, maxVNI)
	of(s.Kind == VXLAN, s.Port != 0, "port")
	must(s.Kind != VXLAN || s.Port != 0, "port 0")
	of(s.Kind == VLAN, s.Lower != "", "lower link")
	of(s.Kind == VLAN, s.VLAN != 0, "VLAN")
	if s.Kind == VLAN {
		must(linkName(s.Lower), "lower link %q is no name of one", s.Lower)
		must(s.Lower != s.Name, "lower link %q is itself", s.Lower)
		must(s.VLAN >= 1 && s.VLAN <= 4094, "VLAN %d is not 1 to 4094", s.VLAN)
	}
	return f
}

const (
	maxSession = 1<<10 - 1
	maxIndex   = 1<<20 - 1
	maxHWID    = 1<<6 - 1
	maxVNI     = 1<<24 - 1
)

func (s Spec) tunnelFindings() []string {
	var f []string
	host := func(what string, a netip.Addr) {
		switch {
		case a.Is4In6() || a.Zone() != "":
			f = append(f, fmt.Sprintf("%s %s is not written plainly", what, a))
		case a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			f = append(f, fmt.Sprintf("%s %s is no routed address of one host", what, a))
		}
	}
	if !s.Remote.IsValid() {
		f = append(f, "no remote address")
	} else {
		host("remote", s.Remote)
	}
	if s.Local.IsValid() {
		host("local", s.Local)
		if s.Local == s.Remote {
			f = append(f, fmt.Sprintf("local and remote are both %s", s.Local))
		}
		if s.Remote.IsValid() && s.Local.Is4() != s.Remote.Is4() {
			f = append(f, fmt.Sprintf("local %s and remote %s are of two families", s.Local, s.Remote))
		}
	}
	if s.TTL == 0 {
		f = append(f, "TTL 0 would be that of each mirrored packet")
	}
	if s.TOS&3 != 0 {
		f = append(f, fmt.Sprintf("TOS %#x has ECN bits; it is the DSCP times 4", s.TOS))
	}
	// The kernel makes such a link, but each frame is dropped (ip6_tnl_xmit_ctl).
	if s.V6() && s.Kind != VXLAN && !s.Local.IsValid() {
		f = append(f, "no local address, without which GRE over IPv6 sends nothing")
	}
	if s.Kind == ERSPAN1 && s.V6() {
		f = append(f, "the kernel has no ERSPAN type I over IPv6")
	}
	return f
}

func ourName(s string) bool {
	rest, ok := strings.CutPrefix(s, Prefix)
	return ok && rest != "" && len(s) <= maxName && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// linkName reports what the kernel takes as an interface's name (dev_valid_name),
// less the control characters and broken text, which no line could hold.
func linkName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxName && oneLine(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) })
}

func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
}
