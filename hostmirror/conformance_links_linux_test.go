package hostmirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/models"
)

// Ends of the tunnels that the suite asks for; the way leads by peerWay.
const (
	peerWay       = "u0"
	peerTunnel    = "192.0.2.1"
	peerCollector = "192.0.2.9"
)

// lackingLinks tries to make each type of link in a namespace of its own, and gives
// those that this kernel has not, with its words. Tests may load modules; a host that
// is looked at may not get devices by that.
func lackingLinks(t testing.TB) map[string]string {
	t.Helper()
	n := kerneltest.NewNS(t)
	n.Run("ip link set dev lo up")
	n.Run("ip address add " + peerTunnel + "/24 dev lo")
	conn, err := linknl.Open(n.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	local, remote := netip.MustParseAddr(peerTunnel), netip.MustParseAddr(peerCollector)
	lacking := make(map[string]string)
	for i, s := range []linknl.Spec{
		{Kind: linknl.ERSPAN1, Local: local, Remote: remote, TTL: 1}, {Kind: linknl.GRETap, Local: local, Remote: remote, TTL: 1},
		{Kind: linknl.VXLAN, Local: local, Remote: remote, TTL: 1, Port: linknl.VXLANPort},
		{Kind: linknl.VLAN, Lower: "lo", VLAN: 5}, {Kind: linknl.Dummy},
	} {
		s.Name, s.MTU = fmt.Sprintf("%stry%d", linknl.Prefix, i), 1400
		// A VLAN on the loopback is refused by kernels that have VLANs.
		if _, err := conn.Create(t.Context(), s); errors.Is(err, linknl.ErrLacking) && s.Kind != linknl.VLAN ||
			s.Kind == linknl.VLAN && err != nil && strings.Contains(err.Error(), "Unknown device type") {
			lacking[s.TypeWord()] = err.Error()
		}
	}
	return lacking
}

// askLinks completes sessions of the suite by what a host has to be told.
func askLinks(f models.Feature, s *models.Session) {
	switch f {
	case models.FeatureRSPANSource:
		s.Destination.Ports = []string{peerWay}
	case models.FeatureRSPANDestination:
		s.Role = models.RoleDestination
		s.Sources[0].Name = peerSources[0]
	}
}

func (p *kernelPeer) tunnelPorts() drivertest.Ports {
	return drivertest.Ports{
		Sources: peerSources, Destinations: peerDestinations, RemoteVLAN: 900,
		Tunnel: &models.Tunnel{Source: netip.MustParseAddr(peerTunnel), Destination: netip.MustParseAddr(peerCollector)},
	}
}

// ipLink is a link in the words of "ip -d -j".
type ipLink struct {
	Name  string `json:"ifname"`
	Lower string `json:"link"`
	Alias string `json:"ifalias"`
	Group string `json:"group"`
	MTU   int    `json:"mtu"`
	Info  struct {
		Kind string         `json:"info_kind"`
		Data map[string]any `json:"info_data"`
	} `json:"linkinfo"`
	GenMode string `json:"inet6_addr_gen_mode"`
}

func (l ipLink) number(key string) int {
	switch v := l.Info.Data[key].(type) {
	case float64:
		return int(v)
	case string:
		if a, err := netip.ParseAddr(v); err == nil { // keys are written like addresses
			b := a.As4()
			return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		}
		n, _ := strconv.ParseInt(v, 0, 64)
		return int(n)
	}
	return 0
}

func (l ipLink) text(key string) string {
	s, _ := l.Info.Data[key].(string)
	return s
}

func (p *kernelPeer) ipLinks() map[string]ipLink {
	p.t.Helper()
	var list []ipLink
	if err := json.Unmarshal([]byte(p.host.Run("ip -d -j link show")), &list); err != nil {
		p.t.Fatal(err)
	}
	out := make(map[string]ipLink)
	for _, l := range list {
		out[l.Name] = l
	}
	return out
}

// destination reads a link as a destination, in the words of ip alone.
func (l ipLink) destination() models.Destination {
	switch l.Info.Kind {
	case "dummy":
		return models.Destination{Kind: models.DestinationCapture}
	case "vlan":
		return models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: uint16(l.number("id")), Ports: []string{l.Lower}}
	}
	t := &models.Tunnel{DSCP: uint8(l.number("tos") >> 2)}
	t.Source, _ = netip.ParseAddr(l.text("local"))
	t.Destination, _ = netip.ParseAddr(l.text("remote"))
	if ttl := l.number("ttl"); ttl != 64 {
		t.TTL = uint8(ttl)
	}
	if strings.Contains(l.Alias, " oversize=fragment") {
		t.Oversize = models.OversizeFragment
	}
	switch l.Info.Kind {
	case "erspan":
		t.Version, t.SessionID = uint8(l.number("erspan_ver"))+1, uint16(l.number("okey"))
		return models.Destination{Kind: models.DestinationERSPAN, Tunnel: t}
	case "gretap":
		t.Key = uint32(l.number("okey"))
		return models.Destination{Kind: models.DestinationGRE, Tunnel: t}
	case "vxlan":
		t.VNI = uint32(l.number("id"))
		return models.Destination{Kind: models.DestinationVXLAN, Tunnel: t}
	}
	return models.Destination{Kind: models.DestinationOther, Ports: []string{l.Name + " " + l.Info.Kind}}
}

// line is the command that makes the link, as far as the suite asks for links.
func (l ipLink) line() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	b.WriteString("ip link add")
	if l.Info.Kind == "vlan" {
		add("link %s", l.Lower)
	}
	group, _ := strconv.Atoi(l.Group)
	add("name %s mtu %d group %#x type %s", l.Name, l.MTU, group, l.Info.Kind)
	if l.Info.Data["oseq"] == true {
		add("seq")
	}
	if _, ok := l.Info.Data["ikey"]; ok {
		add("ikey %d", l.number("ikey"))
	}
	if _, ok := l.Info.Data["okey"]; ok {
		add("okey %d", l.number("okey"))
	}
	switch l.Info.Kind {
	case "vxlan":
		add("id %d", l.number("id"))
	case "vlan":
		add("protocol %s id %d", l.text("protocol"), l.number("id"))
	}
	if l.text("remote") != "" {
		add("local %s remote %s ttl %d tos %#02x", l.text("local"), l.text("remote"), l.number("ttl"), l.number("tos"))
	}
	switch l.Info.Kind {
	case "vxlan":
		add("dstport %d nolearning", l.number("port"))
	case "erspan", "gretap":
		add("nopmtudisc ignore-df")
	}
	if l.Info.Kind == "erspan" {
		add("erspan_ver %d", l.number("erspan_ver"))
		if l.number("erspan_ver") == 2 {
			add("erspan_dir %s erspan_hwid %d", l.text("erspan_dir"), l.number("erspan_hwid"))
		}
	}
	fmt.Fprintf(&b, " && ip link set dev %s alias '%s' addrgenmode %s && ip link set dev %s up", l.Name, l.Alias, l.GenMode, l.Name)
	return b.String()
}

// announcedLink gives the command for an announced link; ok is false for messages about
// something else.
func (p *kernelPeer) announcedLink(m syscall.NetlinkMessage) (text string, ok bool) {
	p.t.Helper()
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return "", false
	}
	l, err := linknl.DecodeLink(m.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	_, known := p.names[l.Index]
	switch {
	case m.Header.Type == unix.RTM_DELLINK && strings.HasPrefix(l.Name, linknl.Prefix):
		delete(p.names, l.Index)
		return fmt.Sprintf("ip link del dev %s # group %#x type %s", l.Name, l.Group, l.KernelKind), true
	case m.Header.Type == unix.RTM_NEWLINK && !known:
		p.names[l.Index] = l.Name
		if now, there := p.ipLinks()[l.Name]; there {
			return now.line(), true
		}
	}
	return "", true
}

// remoteProgram takes the frames of RSPAN VLAN 900, and has the end by which that role
// is known.
const remoteProgram = "26,0 0 0 4096,2 0 0 0,32 0 0 4294963248,21 0 1 0,5 0 0 2,32 0 0 4294963244,5 0 0 9,128 0 0 0,53 1 0 18,5 0 0 8,40 0 0 12," +
	"21 0 1 33024,5 0 0 2,21 1 0 34984,5 0 0 3,40 0 0 14,84 0 0 4095,2 0 0 0,96 0 0 0,53 0 2 900,37 1 0 900,5 0 0 1,5 0 0 1," +
	"6 0 0 4294967295,6 0 0 0,6 0 0 0"

// remoteTruth makes an RSPAN destination of a session with that program.
func remoteTruth(s models.Session) models.Session {
	if len(s.Extra) != 1 || s.Extra[0] != "program "+remoteProgram {
		return s
	}
	s.Extra = nil
	for i := range s.Sources {
		s.Sources[i] = models.Source{Kind: models.SourceRemoteVLAN, Name: s.Sources[i].Name, VLAN: 900, Direction: models.Rx}
	}
	return s.Normalize()
}

// lifted gives a session whose copies go into a link of ours with what that link is.
func (p *kernelPeer) lifted(s models.Session) models.Session {
	p.t.Helper()
	if to := s.Destination.Ports; len(to) == 1 && strings.HasPrefix(to[0], "span-") {
		s.Destination = p.ipLinks()[to[0]].destination()
	}
	return s.Normalize()
}
