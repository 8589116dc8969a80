package tcnl

import (
	"fmt"
	"net/netip"
)

// Numbers of linux/if_link.h, linux/if_addr.h and linux/neighbour.h.
const (
	ifInfoSize = 16
	iflaName   = 3
	iflaMTU    = 4
	iflaLink   = 5
	iflaMaster = 10
	iflaInfo   = 18
	iflaNetNS  = 37
	iflaXDP    = 43

	infoKind    = 1
	xdpAttached = 2

	flagUp      = 0x1
	flagRunning = 0x40

	ifAddrSize = 8
	ifaAddress = 1
	ifaLocal   = 2

	ndMsgSize    = 12
	ndaMaster    = 9
	nudPermanent = 0x80
)

// Link is a network device.
type Link struct {
	Index  int
	Name   string
	Kind   string // such as veth, bond, vlan; "" of a physical device
	Up     bool   // set up by configuration
	Runs   bool   // up, with carrier
	MTU    int
	Master int  // the bridge or bond that it belongs to, 0 = none
	Lower  int  // the device that it sits on, or the other end of a veth; 0 = none, or in another namespace
	Far    *Far // the other end of a veth, or the device that it sits on, in another namespace; nil = none there
	XDP    bool // a program looks at frames before any filter does
}

// Far is a device in another network namespace.
type Far struct {
	Index int
	NSID  int // the number by which this namespace knows the other; see Conn.NamespaceID
}

// Addr is an address of a device.
type Addr struct {
	Ifindex int
	Prefix  netip.Prefix
}

// Neigh is an address that a bridge knows on a port.
type Neigh struct {
	Ifindex   int
	Master    int  // the bridge
	Permanent bool // the port's own or configured, not learned
}

// DecodeLink reads the payload of an RTM_NEWLINK message.
func DecodeLink(b []byte) (Link, error) {
	if len(b) < ifInfoSize {
		return Link{}, fmt.Errorf("%w: link of %d bytes", ErrMalformed, len(b))
	}
	list, err := attrs(b[ifInfoSize:])
	if err != nil {
		return Link{}, err
	}
	flags := native.Uint32(b[8:])
	l := Link{
		Index: int(native.Uint32(b[4:])), Up: flags&flagUp != 0, Runs: flags&flagUp != 0 && flags&flagRunning != 0,
		MTU: number(list, iflaMTU), Master: number(list, iflaMaster),
	}
	if v, ok := find(list, iflaName); ok {
		l.Name = text(v)
	}
	// With a namespace id the index in IFLA_LINK is of another namespace.
	if _, elsewhere := find(list, iflaNetNS); elsewhere {
		l.Far = &Far{Index: number(list, iflaLink), NSID: number(list, iflaNetNS)}
	} else if lower := number(list, iflaLink); lower != l.Index {
		l.Lower = lower
	}
	if v, ok := find(list, iflaInfo); ok {
		info, err := attrs(v)
		if err != nil {
			return Link{}, err
		}
		if kind, ok := find(info, infoKind); ok {
			l.Kind = text(kind)
		}
	}
	if v, ok := find(list, iflaXDP); ok {
		xdp, err := attrs(v)
		if err != nil {
			return Link{}, err
		}
		if mode, ok := find(xdp, xdpAttached); ok && len(mode) > 0 {
			l.XDP = mode[0] != 0
		}
	}
	return l, nil
}

// number gives a 32-bit attribute, 0 when absent.
func number(list []attr, typ uint16) int {
	if v, ok := find(list, typ); ok && len(v) >= 4 {
		return int(native.Uint32(v))
	}
	return 0
}

// DecodeAddr reads the payload of an RTM_NEWADDR message. An address that is neither
// IPv4 nor IPv6 gives an invalid Prefix.
func DecodeAddr(b []byte) (Addr, error) {
	if len(b) < ifAddrSize {
		return Addr{}, fmt.Errorf("%w: address of %d bytes", ErrMalformed, len(b))
	}
	list, err := attrs(b[ifAddrSize:])
	if err != nil {
		return Addr{}, err
	}
	a := Addr{Ifindex: int(native.Uint32(b[4:]))}
	v, ok := find(list, ifaLocal) // of a point-to-point link IFA_ADDRESS is the other side
	if !ok {
		v, _ = find(list, ifaAddress)
	}
	if ip, ok := netip.AddrFromSlice(v); ok {
		a.Prefix = netip.PrefixFrom(ip, int(b[1]))
	}
	return a, nil
}

// DecodeNeigh reads the payload of an RTM_NEWNEIGH message of the bridge family.
func DecodeNeigh(b []byte) (Neigh, error) {
	if len(b) < ndMsgSize {
		return Neigh{}, fmt.Errorf("%w: neighbour of %d bytes", ErrMalformed, len(b))
	}
	list, err := attrs(b[ndMsgSize:])
	if err != nil {
		return Neigh{}, err
	}
	return Neigh{
		Ifindex: int(native.Uint32(b[4:])), Master: number(list, ndaMaster),
		Permanent: native.Uint16(b[8:])&nudPermanent != 0,
	}, nil
}
