package linknl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
)

// Attribute numbers (linux/if_link.h).
const (
	ifInfoSize = 16
	flagUp     = 0x1

	iflaName     = 3
	iflaMTU      = 4
	iflaLink     = 5
	iflaLinkInfo = 18
	iflaAlias    = 20
	iflaAFSpec   = 26
	iflaGroup    = 27
	iflaNetNS    = 37

	infoKind = 1
	infoData = 2

	inet6AddrGenMode = 8
	addrGenNone      = 1

	vlanID       = 1
	vlanFlags    = 2
	vlanProtocol = 5
	vlanReorder  = 0x1
	proto8021Q   = 0x8100

	vxlanID       = 1
	vxlanRemote   = 2
	vxlanLink     = 3
	vxlanLocal    = 4
	vxlanTTL      = 5
	vxlanTOS      = 6
	vxlanLearning = 7
	vxlanPort     = 15
	vxlanRemote6  = 16
	vxlanLocal6   = 17
	vxlanGBP      = 23
	vxlanMetadata = 25
	vxlanLabel    = 26
	vxlanGPE      = 27
	vxlanTTLCopy  = 28
	vxlanDF       = 29
)

// Attribute numbers of GRE and ERSPAN (linux/if_tunnel.h), and flags.
const (
	greLink       = 1
	greIFlags     = 2
	greOFlags     = 3
	greIKey       = 4
	greOKey       = 5
	greLocal      = 6
	greRemote     = 7
	greTTL        = 8
	greTOS        = 9
	grePMTUDisc   = 10
	greEncapLimit = 11
	greFlowInfo   = 12
	greFlags      = 13
	greEncapType  = 14
	greMetadata   = 18
	greIgnoreDF   = 19
	greFWMark     = 20
	erspanIndex   = 21
	erspanVer     = 22
	erspanDir     = 23
	erspanHWID    = 24
	greKeyFlag    = 0x2000    // GRE_KEY
	greSeqFlag    = 0x1000    // GRE_SEQ
	ignEncapLimit = 0x1       // IP6_TNL_F_IGN_ENCAP_LIMIT
	capabilities6 = 0x7 << 16 // IP6_TNL_F_CAP_XMIT, _RCV, _PER_PACKET: the kernel sets them by itself
	tclassShift   = 20
	flowLabelMask = 1<<20 - 1
	nlaTypeMask   = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

// ErrMalformed means a message of the kernel that cannot be read.
var ErrMalformed = errors.New("malformed netlink message")

var native = binary.NativeEndian

// Link is a link of the namespace, ours or not.
type Link struct {
	// Spec is what the link is. Of a kind that this package does not make, Kind is
	// KindUnset and only Name, Alias and MTU are set. The Lower link of a VLAN is ""
	// when it is in another namespace.
	Spec
	Index      int
	KernelKind string // such as erspan, veth; "" of a physical device
	Group      uint32
	Up         bool // by configuration

	// Odd tells what a link of a kind that this package makes has, and Spec cannot
	// say: such a link is none that this package made, or was changed since.
	Odd []string

	lower int // index of Lower
}

// Ours reports whether the link carries all our marks: name, group and a kind that
// this package makes.
func (l Link) Ours() bool { return len(l.foreign()) == 0 }

// foreign tells which of our marks the link lacks.
func (l Link) foreign() []string {
	var f []string
	if !ourName(l.Name) {
		f = append(f, fmt.Sprintf("its name %q is none of ours", l.Name))
	}
	if l.Group != Group {
		f = append(f, fmt.Sprintf("its group is %#x, not %#x", l.Group, uint32(Group)))
	}
	if l.Kind == KindUnset {
		f = append(f, fmt.Sprintf("its kind is %q", l.KernelKind))
	}
	return f
}

// Lookalike reports whether a link that is not ours has our name or our group: it was
// changed since we made it, or somebody uses our marks.
func (l Link) Lookalike() bool {
	return !l.Ours() && (strings.HasPrefix(l.Name, Prefix) || l.Group == Group)
}

type attr struct {
	typ   uint16
	value []byte
}

// attrList is a list of attributes. Reading keeps the first error of a chain in err:
// an attribute that is shorter than its type.
type attrList struct {
	list []attr
	err  error
}

// parseAttrs splits a list of netlink attributes. Every length is checked.
func parseAttrs(b []byte) (*attrList, error) {
	out := &attrList{}
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			return nil, fmt.Errorf("%w: attribute of %d bytes in %d", ErrMalformed, n, len(b))
		}
		out.list = append(out.list, attr{native.Uint16(b[2:]) & nlaTypeMask, b[4:n]})
		b = b[min(len(b), (n+3)&^3):]
	}
	return out, nil
}

func (l *attrList) has(typ uint16) bool {
	for _, a := range l.list {
		if a.typ == typ {
			return true
		}
	}
	return false
}

// bytes gives an attribute of at least size bytes, nil when absent.
func (l *attrList) bytes(typ uint16, size int) []byte {
	for _, a := range l.list {
		if a.typ != typ {
			continue
		}
		if len(a.value) < size {
			if l.err == nil {
				l.err = fmt.Errorf("%w: attribute %d of %d bytes, want %d", ErrMalformed, typ, len(a.value), size)
			}
			return nil
		}
		return a.value
	}
	return nil
}

func (l *attrList) u8(typ uint16) uint8 {
	if v := l.bytes(typ, 1); v != nil {
		return v[0]
	}
	return 0
}

func (l *attrList) u16(typ uint16) uint16 {
	if v := l.bytes(typ, 2); v != nil {
		return native.Uint16(v)
	}
	return 0
}

func (l *attrList) u32(typ uint16) uint32 {
	if v := l.bytes(typ, 4); v != nil {
		return native.Uint32(v)
	}
	return 0
}

func (l *attrList) be16(typ uint16) uint16 {
	if v := l.bytes(typ, 2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (l *attrList) be32(typ uint16) uint32 {
	if v := l.bytes(typ, 4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (l *attrList) text(typ uint16) string {
	s, _, _ := bytes.Cut(l.bytes(typ, 0), []byte{0})
	return string(s)
}

// addr gives an address, the zero Addr when it is absent or unspecified.
func (l *attrList) addr(typ uint16, size int) netip.Addr {
	v := l.bytes(typ, size)
	if v == nil {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(v[:size])
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// nested gives the list inside an attribute, an empty one when it is absent.
func (l *attrList) nested(typ uint16) (*attrList, error) {
	return parseAttrs(l.bytes(typ, 0))
}

// DecodeLink reads the payload of an RTM_NEWLINK message, the part behind the netlink
// header. Lower is not in the message; its index is.
func DecodeLink(b []byte) (Link, error) {
	if len(b) < ifInfoSize {
		return Link{}, fmt.Errorf("%w: link of %d bytes", ErrMalformed, len(b))
	}
	list, err := parseAttrs(b[ifInfoSize:])
	if err != nil {
		return Link{}, err
	}
	l := Link{
		Index: int(int32(native.Uint32(b[4:]))),
		Up:    native.Uint32(b[8:])&flagUp != 0,
		Group: list.u32(iflaGroup),
		Spec:  Spec{Name: list.text(iflaName), Alias: list.text(iflaAlias), MTU: int(list.u32(iflaMTU))},
	}
	info, err := list.nested(iflaLinkInfo)
	if err != nil {
		return Link{}, err
	}
	l.KernelKind = info.text(infoKind)
	data, err := info.nested(infoData)
	if err != nil {
		return Link{}, err
	}
	switch l.KernelKind {
	case "erspan", "gretap":
		l.gre(data)
	case "ip6erspan", "ip6gretap":
		l.gre6(data)
	case "vxlan":
		l.vxlan(data)
	case "vlan":
		l.vlan(data)
		if !list.has(iflaNetNS) { // with it, the index is one of another namespace
			l.lower = int(int32(list.u32(iflaLink)))
		}
	case "dummy":
		l.Kind = Dummy
	}
	return l, errors.Join(list.err, info.err, data.err)
}

func (l *Link) odd(is bool, format string, args ...any) {
	if is {
		l.Odd = append(l.Odd, fmt.Sprintf(format, args...))
	}
}

// greOut gives flags and key of the GRE header that the link sends.
func (s Spec) greOut() (flags uint16, key uint32) {
	switch {
	case s.Kind == ERSPAN2 || s.Kind == ERSPAN3:
		return greKeyFlag | greSeqFlag, uint32(s.Session)
	case s.Keyed:
		return greKeyFlag, s.Key
	default:
		return 0, 0
	}
}

// greIn gives flags and key of packets that would meet the link.
func (s Spec) greIn() (flags uint16, key uint32) {
	flags, key = s.greOut()
	if s.InKey != 0 {
		return flags | greKeyFlag, s.InKey
	}
	return flags, key
}

// greCommon reads what GRE over IPv4 and over IPv6 have in common.
func (l *Link) greCommon(d *attrList) {
	l.TTL = d.u8(greTTL)
	l.odd(l.TTL == 0, "the TTL is that of each packet")
	iflags, oflags, ikey, okey := d.be16(greIFlags), d.be16(greOFlags), d.be32(greIKey), d.be32(greOKey)
	if strings.HasSuffix(l.KernelKind, "gretap") {
		l.Kind = GRETap
		l.Keyed = oflags&greKeyFlag != 0
		if l.Keyed {
			l.Key = okey
		}
	} else {
		version := d.u8(erspanVer)
		switch version {
		case 0:
			l.Kind = ERSPAN1
		case 1:
			l.Kind, l.PortIndex = ERSPAN2, d.u32(erspanIndex)
		case 2:
			l.Kind, l.Egress, l.HWID = ERSPAN3, d.u8(erspanDir) != 0, uint8(d.u16(erspanHWID))
		}
		l.odd(version > 2, "ERSPAN version %d", version)
		if version > 0 {
			l.Session = uint16(okey)
			l.odd(okey > maxSession, "session id %d", okey)
		}
	}
	// The kernel forgets the key flag of a sending ERSPAN link over IPv6 while it
	// sends, and shows it all the same; of the receiving side it keeps it.
	if iflags&greKeyFlag != 0 && (ikey != okey || oflags&greKeyFlag == 0) {
		l.InKey = ikey
	}
	if l.Kind != KindUnset { // else nobody knows what they should be
		l.oddKeys(iflags, oflags, ikey)
	}
	l.odd(d.u32(greLink) != 0, "bound to link %d", d.u32(greLink))
	l.odd(d.u16(greEncapType) != 0, "wrapped once more (encapsulation %d)", d.u16(greEncapType))
	l.odd(d.u32(greFWMark) != 0, "firewall mark %#x", d.u32(greFWMark))
	l.odd(d.has(greMetadata), "external: it takes its headers from each packet's metadata")
}

func (l *Link) oddKeys(iflags, oflags uint16, ikey uint32) {
	want, _ := l.greOut()
	l.odd(oflags != want, "GRE flags %#04x, not %#04x", oflags, want)
	wantIn, wantKey := l.greIn()
	l.odd(iflags != wantIn, "GRE flags %#04x on receipt, not %#04x", iflags, wantIn)
	l.odd(ikey != wantKey, "key %d on receipt", ikey)
}

func (l *Link) gre(d *attrList) {
	l.greCommon(d)
	l.Local, l.Remote = d.addr(greLocal, 4), d.addr(greRemote, 4)
	l.setTOS(d.u8(greTOS))
	l.odd(d.u8(grePMTUDisc) != 0, "path MTU discovery is on")
	l.odd(d.u8(greIgnoreDF) == 0, "ignore-df is off: a full-size packet would harm its sender")
}

func (l *Link) gre6(d *attrList) {
	l.greCommon(d)
	l.Local, l.Remote = d.addr(greLocal, 16), d.addr(greRemote, 16)
	flow := d.be32(greFlowInfo)
	l.setTOS(uint8(flow >> tclassShift))
	l.odd(flow&flowLabelMask != 0, "flow label %#x", flow&flowLabelMask)
	flags := d.u32(greFlags) &^ capabilities6
	l.odd(flags&ignEncapLimit == 0, "encapsulation limit %d", d.u8(greEncapLimit))
	l.odd(flags&^ignEncapLimit != 0, "tunnel flags %#x", flags&^ignEncapLimit)
}

// setTOS takes a TOS that has no bit beside the DSCP. The kernel reads bit 0 as "that
// of each packet" (ip_tunnels, vxlan).
func (l *Link) setTOS(tos uint8) {
	l.TOS = tos
	l.odd(tos&3 != 0, "TOS %#02x", tos)
}

func (l *Link) vxlan(d *attrList) {
	l.Kind = VXLAN
	l.VNI, l.Port, l.TTL = d.u32(vxlanID), d.be16(vxlanPort), d.u8(vxlanTTL)
	l.setTOS(d.u8(vxlanTOS))
	if l.Remote = d.addr(vxlanRemote, 4); !l.Remote.IsValid() {
		l.Remote = d.addr(vxlanRemote6, 16)
	}
	if l.Local = d.addr(vxlanLocal, 4); !l.Local.IsValid() {
		l.Local = d.addr(vxlanLocal6, 16)
	}
	l.odd(l.TTL == 0 || d.u8(vxlanTTLCopy) != 0, "the TTL is not one of its own")
	l.odd(d.u8(vxlanLearning) != 0, "it learns where addresses are")
	l.odd(d.u8(vxlanDF) != 0, "it sets don't-fragment (%d)", d.u8(vxlanDF))
	l.odd(d.u32(vxlanLink) != 0, "bound to link %d", d.u32(vxlanLink))
	l.odd(d.be32(vxlanLabel) != 0, "flow label %#x", d.be32(vxlanLabel))
	l.odd(d.u8(vxlanMetadata) != 0, "external: it takes its headers from each packet's metadata")
	l.odd(d.has(vxlanGBP) || d.has(vxlanGPE), "a variant of the VXLAN header")
}

func (l *Link) vlan(d *attrList) {
	l.Kind, l.VLAN = VLAN, d.u16(vlanID)
	protocol := d.be16(vlanProtocol)
	l.odd(protocol != proto8021Q, "tag of protocol %#04x", protocol)
	flags := d.u32(vlanFlags)
	l.odd(flags != vlanReorder, "VLAN flags %#x", flags)
}

// Differences tells where the link is not what Create makes of want, in words for
// people; none when it is.
func (l Link) Differences(want Spec) []string {
	var d []string
	is, should := reflect.ValueOf(l.Spec), reflect.ValueOf(want)
	for i := range is.NumField() {
		if a, b := is.Field(i), should.Field(i); !a.Equal(b) {
			d = append(d, fmt.Sprintf("%s is %v, not %v", is.Type().Field(i).Name, a, b))
		}
	}
	if !l.Up {
		d = append(d, "is down")
	}
	return append(d, l.Odd...)
}
