package tcnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Guard is a filter that hides the outer packets of a tunnel from all filters behind it
// on the hook, so that copies which leave by a mirrored port are not copied again. It
// has no action and therefore no cookie; its class, which means nothing on these hooks,
// is what it can be known by. Its classifier is U32, its protocol ProtocolAll, so that
// it also sees packets that leave with a VLAN tag, and its chain 0.
type Guard struct {
	Ifindex   int
	Hook      Hook
	Priority  uint16
	Collector netip.Addr // destination of the outer packets
	// Port is the UDP destination port of the outer packets; 0 takes GRE. Later
	// fragments have no port and pass.
	Port  uint16
	Class uint32 // major and minor, 16 bits each; not 0
}

// Key is a comparison of a u32 filter with 4 bytes of a packet. Values are as on the
// wire, read as big-endian numbers (struct tc_u32_key of linux/pkt_cls.h).
type Key struct {
	Value, Mask uint32
	Offset      int32 // from the network header
	OffsetMask  int32 // of an offset that the packet gives; 0 = none
}

const (
	protoGRE = 47
	protoUDP = 17
)

// Validate checks what must hold before g is sent. All errors wrap ErrInvalid.
func (g Guard) Validate() error {
	switch {
	case g.Ifindex <= 0:
		return fmt.Errorf("%w: interface index %d", ErrInvalid, g.Ifindex)
	case g.Hook.Parent() == 0:
		return fmt.Errorf("%w: %s", ErrInvalid, g.Hook)
	case g.Priority == 0:
		return fmt.Errorf("%w: priority 0 lets the kernel choose", ErrInvalid)
	case !g.Collector.IsValid() || g.Collector.IsUnspecified() || g.Collector.Is4In6() || g.Collector.Zone() != "":
		return fmt.Errorf("%w: collector %s", ErrInvalid, g.Collector)
	case g.Class == 0:
		return fmt.Errorf("%w: a guard without a class cannot be recognised", ErrInvalid)
	}
	return nil
}

// Keys gives the comparisons: the version of IP, its protocol, the destination and the
// port. Outer headers have no options. Those in the same word are one, as tc does it.
func (g Guard) Keys() []Key {
	proto := uint32(protoGRE)
	if g.Port != 0 {
		proto = protoUDP
	}
	port := func(keys []Key, at int32) []Key {
		if g.Port == 0 {
			return keys
		}
		return append(keys, Key{Value: uint32(g.Port), Mask: 0xffff, Offset: at})
	}
	addr := g.Collector.AsSlice()
	if g.Collector.Is4() {
		keys := []Key{
			{Value: 0x40000000, Mask: 0xf0000000},
			{Value: proto << 16, Mask: 0xff0000, Offset: 8},
			{Value: binary.BigEndian.Uint32(addr), Mask: 0xffffffff, Offset: 16},
		}
		return port(keys, 20)
	}
	keys := []Key{
		{Value: 0x60000000, Mask: 0xf0000000},
		{Value: proto << 8, Mask: 0xff00, Offset: 4},
	}
	for i := range 4 {
		keys = append(keys, Key{Value: binary.BigEndian.Uint32(addr[4*i:]), Mask: 0xffffffff, Offset: int32(24 + 4*i)})
	}
	return port(keys, 40)
}

// Selector gives the words with which the tc command makes the filter, behind its kind.
func (g Guard) Selector() string {
	version, family, bits := "0x40", "ip", 32
	if g.Collector.Is6() {
		version, family, bits = "0x60", "ip6", 128
	}
	proto, port := protoGRE, ""
	if g.Port != 0 {
		proto, port = protoUDP, fmt.Sprintf(" match %s dport %d 0xffff", family, g.Port)
	}
	return fmt.Sprintf("match u8 %s 0xf0 at 0 match %s protocol %d 0xff match %s dst %s/%d%s classid %x:%x",
		version, family, proto, family, g.Collector, bits, port, g.Class>>16, g.Class&0xffff)
}

// Guards reads a filter as a guard. ok is false for one that is not exactly what
// AddGuard makes. The class is the caller's to compare.
func (f Filter) Guards() (g Guard, ok bool) {
	if f.Kind != U32 || f.Table || f.Protocol != ProtocolAll || f.Chain != 0 || f.Block != 0 || len(f.Actions) > 0 || len(f.Keys) < 3 {
		return Guard{}, false
	}
	g = Guard{Ifindex: f.Ifindex, Hook: f.Hook, Priority: f.Priority, Class: f.Class}
	word := func(i int) uint32 {
		if i < len(f.Keys) {
			return f.Keys[i].Value
		}
		return 0
	}
	switch f.Keys[0].Value {
	case 0x40000000:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], word(2))
		g.Collector, g.Port = netip.AddrFrom4(a), uint16(word(3))
	case 0x60000000:
		var a [16]byte
		for i := range 4 {
			binary.BigEndian.PutUint32(a[4*i:], word(2+i))
		}
		g.Collector, g.Port = netip.AddrFrom16(a), uint16(word(6))
	default:
		return Guard{}, false
	}
	return g, g.Validate() == nil && slices.Equal(g.Keys(), f.Keys)
}

// DropWords are those with which the tc command makes the filter of AddDrop, behind
// its kind.
const DropWords = "bytecode '1,6 0 0 2' direct-action"

// u32Keys reads the keys of a selector, struct tc_u32_sel. A selector that does more
// than compare gives none.
func u32Keys(sel []byte) []Key {
	if len(sel) < u32SelSize || sel[0] != u32Terminal || len(sel) < u32SelSize+int(sel[2])*u32KeySize {
		return nil
	}
	for _, b := range sel[3:u32SelSize] { // variable offsets and hashing
		if b != 0 {
			return nil
		}
	}
	var out []Key
	for i := range int(sel[2]) {
		k := sel[u32SelSize+i*u32KeySize:]
		out = append(out, Key{
			Mask: binary.BigEndian.Uint32(k), Value: binary.BigEndian.Uint32(k[4:]),
			Offset: int32(native.Uint32(k[8:])), OffsetMask: int32(native.Uint32(k[12:])),
		})
	}
	return out
}
