package linknl

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// head is the struct that a request begins with. (AddRawData would put it behind the
// attributes.)
type head []byte

func (h head) Len() int          { return len(h) }
func (h head) Serialize() []byte { return h }

// ifInfo is struct ifinfomsg. flags are set together with their mask.
func ifInfo(index int, flags uint32) head {
	b := make(head, ifInfoSize)
	native.PutUint32(b[4:], uint32(index))
	native.PutUint32(b[8:], flags)
	native.PutUint32(b[12:], flags)
	return b
}

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// addLink builds the request that makes the link, down, with name and group. lower is
// the index of the link that a VLAN sits on.
func addLink(s Spec, lower int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(ifInfo(0, 0))
	req.AddData(nl.NewRtAttr(iflaName, nl.ZeroTerminated(s.Name)))
	req.AddData(nl.NewRtAttr(iflaGroup, nl.Uint32Attr(Group)))
	req.AddData(nl.NewRtAttr(iflaMTU, nl.Uint32Attr(uint32(s.MTU))))
	if s.Kind == VLAN {
		req.AddData(nl.NewRtAttr(iflaLink, nl.Uint32Attr(uint32(lower))))
	}
	info := nl.NewRtAttr(iflaLinkInfo, nil)
	info.AddRtAttr(infoKind, nl.NonZeroTerminated(s.TypeWord()))
	if s.Kind != Dummy {
		s.addData(info.AddRtAttr(infoData, nil))
	}
	req.AddData(info)
	return req
}

func (s Spec) addData(d *nl.RtAttr) {
	switch s.Kind {
	case VLAN:
		d.AddRtAttr(vlanID, nl.Uint16Attr(s.VLAN))
		d.AddRtAttr(vlanProtocol, be16(proto8021Q))
	case VXLAN:
		d.AddRtAttr(vxlanID, nl.Uint32Attr(s.VNI))
		d.AddRtAttr(vxlanPort, be16(s.Port))
		d.AddRtAttr(vxlanTTL, []byte{s.TTL})
		d.AddRtAttr(vxlanTOS, []byte{s.TOS})
		d.AddRtAttr(vxlanLearning, []byte{0}) // the kernel learns unless told
		local, remote := vxlanLocal, vxlanRemote
		if s.V6() {
			local, remote = vxlanLocal6, vxlanRemote6
		}
		addAddr(d, local, s.Local)
		addAddr(d, remote, s.Remote)
	default:
		s.addGRE(d)
	}
}

func addAddr(d *nl.RtAttr, typ int, a netip.Addr) {
	if a.IsValid() {
		d.AddRtAttr(typ, a.AsSlice())
	}
}

func (s Spec) addGRE(d *nl.RtAttr) {
	oflags, okey := s.greOut()
	iflags, ikey := s.greIn()
	d.AddRtAttr(greIFlags, be16(iflags))
	d.AddRtAttr(greOFlags, be16(oflags))
	d.AddRtAttr(greIKey, be32(ikey))
	d.AddRtAttr(greOKey, be32(okey))
	addAddr(d, greLocal, s.Local)
	addAddr(d, greRemote, s.Remote)
	d.AddRtAttr(greTTL, []byte{s.TTL})
	if s.V6() {
		// Without the flag each packet gets a destination option of 8 bytes more.
		d.AddRtAttr(greFlags, nl.Uint32Attr(ignEncapLimit))
		d.AddRtAttr(greFlowInfo, be32(uint32(s.TOS)<<tclassShift))
	} else {
		d.AddRtAttr(greTOS, []byte{s.TOS})
		d.AddRtAttr(grePMTUDisc, []byte{0}) // on unless told, and ignore-df is refused with it
		d.AddRtAttr(greIgnoreDF, []byte{1})
	}
	switch s.Kind {
	case ERSPAN1:
		d.AddRtAttr(erspanVer, []byte{0})
	case ERSPAN2:
		d.AddRtAttr(erspanVer, []byte{1})
		d.AddRtAttr(erspanIndex, nl.Uint32Attr(s.PortIndex))
	case ERSPAN3:
		direction := byte(0)
		if s.Egress {
			direction = 1
		}
		d.AddRtAttr(erspanVer, []byte{2})
		d.AddRtAttr(erspanDir, []byte{direction})
		d.AddRtAttr(erspanHWID, nl.Uint16Attr(uint16(s.HWID)))
	}
}

func setLink(index int, flags uint32, attrs ...*nl.RtAttr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.AddData(ifInfo(index, flags))
	for _, a := range attrs {
		req.AddData(a)
	}
	return req
}

// noIPv6Address keeps a link from giving itself a link-local address, with which it
// would send router solicitations and multicast reports to the collector.
func noIPv6Address(index int) *nl.NetlinkRequest {
	spec := nl.NewRtAttr(iflaAFSpec, nil)
	spec.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(inet6AddrGenMode, []byte{addrGenNone})
	return setLink(index, 0, spec)
}

func getLink(index int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(ifInfo(index, 0))
	return req
}

func getLinkByName(name string) *nl.NetlinkRequest {
	req := getLink(0)
	req.AddData(nl.NewRtAttr(iflaName, nl.ZeroTerminated(name)))
	return req
}

func listLinks() *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(ifInfo(0, 0))
	return req
}

func deleteLink(index int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(ifInfo(index, 0))
	return req
}
