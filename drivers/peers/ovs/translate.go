package ovs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// translation is what a configuration of the packet model comes to in the words of
// ovs-vsctl.
type translation struct {
	plane      *Plane
	c          fabric.Config
	portArgs   []string
	mirrorArgs []string
	tunnels    []planeTunnel
	ids        int

	copiesBy map[string]string // mirrors by the port that their copies leave by
	rspan    map[uint16]string
	wire     map[string]wireForm // of destination ports
	errs     []error
}

// wireForm says how copies leave by a destination, so that they look as on the wire of
// the mirrored port.
type wireForm struct {
	plain    bool   // without a tag, whatever their VLAN
	untagged uint16 // else with a tag, but for those of this VLAN; 0 = none
}

// planeTunnel is a tunnel, and the port that is made for it.
type planeTunnel struct {
	fabric.Tunnel
	mirror, port, kind string
	options            []string
	form               wireForm
}

func (t *translation) refuse(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf(format, args...))
}

// vlans gives a port all VLANs, in the form of f.
func (f wireForm) vlans(port string) []string {
	args := []string{"--", "set", "Port", port, "trunks=[]"}
	switch {
	case f.plain: // an access port sends copies of all VLANs without tag
		return append(args, "tag=1", "vlan_mode=access")
	case f.untagged == 0:
		return append(args, "tag=[]", "vlan_mode=[]")
	default:
		return append(args, "tag="+strconv.Itoa(int(f.untagged)), "vlan_mode=native-untagged")
	}
}

// exists reports whether frames of a VLAN are forwarded at all.
func (t *translation) exists(vlan uint16) bool {
	_, ok := t.c.VLANs[vlan]
	return ok || vlan == 1
}

// config gives how a port switches; a port that is not named is an access port of VLAN 1.
func (t *translation) config(name string) fabric.PortConfig {
	pc, ok := t.c.Ports[name]
	if !ok {
		pc.Mode = fabric.Access
	}
	if pc.Mode == fabric.Access && pc.AccessVLAN == 0 {
		pc.AccessVLAN = 1
	}
	return pc
}

// ports tells what VLANs each port has.
func (t *translation) ports(up map[string]bool) {
	var flood []string
	for _, v := range slices.Sorted(maps.Keys(t.c.VLANs)) {
		if t.c.VLANs[v].RemoteSPAN {
			flood = append(flood, strconv.Itoa(int(v)))
		}
	}
	t.portArgs = append(t.portArgs, "--", "set", "Bridge", t.plane.bridge, "flood_vlans=["+strings.Join(flood, ",")+"]")
	for _, name := range t.plane.names {
		port := t.plane.port(name)
		if f, ok := t.wire[name]; ok {
			t.portArgs = append(t.portArgs, f.vlans(port)...)
			continue
		}
		pc := t.config(name)
		set := func(tag uint16, trunks []string, mode string) {
			tagText := "[]"
			if tag != 0 {
				tagText = strconv.Itoa(int(tag))
			}
			t.portArgs = append(t.portArgs, "--", "set", "Port", port, "tag="+tagText, "trunks=["+strings.Join(trunks, ",")+"]", "vlan_mode="+mode)
		}
		switch {
		case pc.LAG != "":
			t.refuse("port %s is a member of %s", name, pc.LAG)
		case !up[name], pc.Mode == fabric.Routed,
			pc.Mode == fabric.Access && (!t.exists(pc.AccessVLAN) || t.c.VLANs[pc.AccessVLAN].RemoteSPAN):
			set(0, []string{strconv.Itoa(isolated)}, "trunk")
		case pc.Mode == fabric.Access:
			set(pc.AccessVLAN, nil, "access")
		default:
			var trunks []string
			for _, v := range slices.Sorted(maps.Keys(t.c.VLANs)) {
				if pc.TrunkVLANs.Contains(v) {
					trunks = append(trunks, strconv.Itoa(int(v)))
				}
			}
			if _, has := t.c.VLANs[1]; !has && pc.TrunkVLANs.Contains(1) {
				trunks = append(trunks, "1")
			}
			if len(trunks) == 0 {
				trunks = []string{strconv.Itoa(isolated)}
			}
			if n := pc.NativeVLAN; n != 0 && pc.TrunkVLANs.Contains(n) && t.exists(n) {
				set(n, trunks, "native-untagged")
			} else {
				set(0, trunks, "trunk")
			}
		}
	}
}

// form gives how copies of the frames of ports look on the wires of these: ok is false
// where one destination cannot show all of them so.
func (t *translation) form(ports []string, vlans []uint16) (wireForm, bool) {
	untagged, tagged := map[uint16]bool{}, map[uint16]bool{}
	for _, name := range ports {
		pc := t.config(name)
		for v := uint16(1); v <= 4094; v++ {
			if len(vlans) > 0 && !slices.Contains(vlans, v) {
				continue
			}
			switch {
			case pc.Mode == fabric.Access && pc.AccessVLAN == v, pc.Mode == fabric.Trunk && pc.NativeVLAN == v && pc.TrunkVLANs.Contains(v):
				untagged[v] = true
			case pc.Mode == fabric.Trunk && pc.TrunkVLANs.Contains(v) && t.exists(v):
				tagged[v] = true
			}
		}
	}
	if len(tagged) == 0 {
		return wireForm{plain: true}, true
	}
	var f wireForm
	for v := range untagged {
		if f.untagged != 0 || tagged[v] {
			return f, false
		}
		f.untagged = v
	}
	return f, true
}

// mirror translates an active mirror: one of Open vSwitch for each destination.
func (t *translation) mirror(m fabric.Mirror) {
	bad := func(format string, args ...any) {
		t.refuse("mirror %s: %s", m.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case len(m.Filter) > 0:
		bad("a filter")
	case m.SampleOneIn > 1:
		bad("sampling")
	case m.StripHeader > 0:
		bad("the removal of headers")
	case m.TruncateTo > 0 && m.TruncateTo < 14:
		bad("copies of %d bytes", m.TruncateTo)
	}
	ports := map[fabric.Direction][]string{}
	var named []string
	var vlans []uint16
	rspan := false
	for _, s := range m.Sources {
		if len(s.Filter) > 0 {
			bad("a filter of a source")
		}
		switch s.Kind {
		case fabric.SourcePort:
			named = append(named, s.Name)
			for _, d := range []fabric.Direction{fabric.Rx, fabric.Tx} {
				if s.Direction == d || s.Direction == fabric.Both {
					ports[d] = append(ports[d], s.Name)
				}
			}
		case fabric.SourceVLAN:
			vlans = append(vlans, s.VLAN)
			if s.Direction != fabric.Rx {
				bad("VLAN %d in the direction %s: a frame of a VLAN is copied once, when it comes in", s.VLAN, s.Direction)
			}
		case fabric.SourceRSPAN:
			vlans, rspan = append(vlans, s.VLAN), true
		default:
			bad("source %s, a LAG", s.Name)
		}
	}
	if len(vlans) > 0 && len(named) > 0 {
		bad("ports and VLANs as sources")
	}
	if len(m.Sources) == 0 || len(t.errs) > 0 {
		return
	}
	seen := named
	if len(named) == 0 {
		seen = t.plane.names
	}
	f, same := t.form(seen, vlans)
	switch {
	case rspan, m.StripTag: // the tag of an RSPAN VLAN is not the frame's
		f, same = wireForm{plain: true}, true
	}
	for _, d := range m.Destinations {
		t.destination(m, d, f, same, ports, vlans)
	}
}

// destination makes one mirror of Open vSwitch.
func (t *translation) destination(m fabric.Mirror, d fabric.MirrorDestination, f wireForm, same bool, ports map[fabric.Direction][]string, vlans []uint16) {
	bad := func(format string, args ...any) {
		t.refuse("mirror %s: %s", m.Name, fmt.Sprintf(format, args...))
	}
	if !same && d.Kind != fabric.DestinationRSPAN && d.Kind != fabric.DestinationCPU {
		bad("sources whose frames look different on the wire: copies are tagged as their destination is")
		return
	}
	var args []string
	id := func(port string) string {
		t.ids++
		name := fmt.Sprintf("@p%d", t.ids)
		args = append(args, "--", "--id="+name, "get", "Port", port)
		return name
	}
	var columns []string
	switch d.Kind {
	case fabric.DestinationCPU:
		return // counted and gone
	case fabric.DestinationPort:
		if other, taken := t.wire[d.Name]; taken && other != f {
			bad("port %s is the destination of sources that look different on the wire", d.Name)
			return
		}
		t.wire[d.Name] = f
		t.copiesBy[t.plane.port(d.Name)] = m.Name
		columns = append(columns, "output_port="+id(t.plane.port(d.Name)))
	case fabric.DestinationRSPAN:
		if d.InnerTag {
			bad("a tag below that of the RSPAN VLAN")
			return
		}
		t.rspan[d.VLAN] = m.Name
		columns = append(columns, "output_vlan="+strconv.Itoa(int(d.VLAN)))
	case fabric.DestinationTunnel:
		pt := planeTunnel{Tunnel: d.Tunnel, mirror: m.Name, port: fmt.Sprintf("%st%d", t.plane.bridge, len(t.tunnels)), form: f}
		if why := pt.translate(m.Sources); why != "" {
			bad("%s", why)
			return
		}
		t.tunnels = append(t.tunnels, pt)
		columns = append(columns, "output_port="+id(pt.port))
	default:
		bad("destination %s, a LAG", d.Name)
		return
	}
	for _, side := range []struct {
		column string
		dir    fabric.Direction
	}{{"select_src_port", fabric.Rx}, {"select_dst_port", fabric.Tx}} {
		var ids []string
		for _, name := range ports[side.dir] {
			ids = append(ids, id(t.plane.port(name)))
		}
		if len(ids) > 0 {
			columns = append(columns, side.column+"="+strings.Join(ids, ","))
		}
	}
	if len(vlans) > 0 {
		var texts []string
		for _, v := range vlans {
			texts = append(texts, strconv.Itoa(int(v)))
		}
		columns = append(columns, "select_all=true", "select_vlan="+strings.Join(texts, ","))
	}
	if m.TruncateTo > 0 {
		columns = append(columns, "snaplen="+strconv.Itoa(int(m.TruncateTo)))
	}
	t.ids++
	mirror := fmt.Sprintf("@m%d", t.ids)
	t.mirrorArgs = append(t.mirrorArgs, args...)
	t.mirrorArgs = append(t.mirrorArgs, "--", "--id="+mirror, "create", "Mirror", fmt.Sprintf("name=m%d", t.ids))
	t.mirrorArgs = append(t.mirrorArgs, columns...)
	t.mirrorArgs = append(t.mirrorArgs, "--", "add", "Bridge", t.plane.bridge, "mirrors", mirror)
}

// translate gives the interface type and options of a tunnel, or what it cannot do.
func (pt *planeTunnel) translate(sources []fabric.MirrorSource) string {
	six := ""
	if pt.Destination.Unmap().Is6() {
		six = "ip6"
	}
	add := func(key string, n uint64) {
		pt.options = append(pt.options, "options:"+key+"="+strconv.FormatUint(n, 10))
	}
	if pt.Protocol != 0 && (pt.Kind != fabric.GRE || pt.Protocol != 0x6558) {
		return fmt.Sprintf("GRE protocol %#x", pt.Protocol)
	}
	switch pt.Kind {
	case fabric.GRE:
		if pt.Sequence {
			return "GRE with sequence numbers"
		}
		pt.kind = six + "gre"
		if pt.Key != nil {
			add("key", uint64(*pt.Key))
		}
	case fabric.ERSPAN2:
		pt.kind = six + "erspan"
		add("erspan_ver", 1)
		add("key", uint64(pt.SessionID))
		add("erspan_idx", uint64(pt.Index))
	case fabric.ERSPAN3:
		pt.kind = six + "erspan"
		add("erspan_ver", 2)
		add("key", uint64(pt.SessionID))
		add("erspan_hwid", uint64(pt.HardwareID))
		var tx uint64 = 1
		for _, s := range sources {
			if s.Direction != fabric.Tx {
				tx = 0
			}
		}
		add("erspan_dir", tx)
	case fabric.VXLAN:
		pt.kind = "vxlan"
		add("key", uint64(pt.VNI))
	default:
		return "ERSPAN of type I"
	}
	if pt.TTL != 0 {
		add("ttl", uint64(pt.TTL))
	}
	if pt.DSCP != 0 {
		add("tos", uint64(pt.DSCP)<<2)
	}
	return ""
}
