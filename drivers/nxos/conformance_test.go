package nxos_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/drivers/nxos"
	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	peer "github.com/spanctl/spanctl/drivers/peers/nxos"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/models"
)

// TestConformance runs the suite against the simulated switch, over SSH.
func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Subject{Planner: nxos.Dialect{}, Dialect: nxos.Dialect{}, Ask: ask,
		Start: func(t testing.TB) *drivertest.Peer { return startSwitch(t).Peer }})
}

// ask filters VLANs and nothing else.
func ask(f models.Feature, s *models.Session) {
	switch f {
	case models.FeatureFilterVLAN:
		s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(10), {First: 20, Last: 22}}}}}
	case models.FeatureTruncate:
		s.TruncateTo = 400
	}
}

var tunnel = &models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("198.51.100.9"), VRF: "MGMT"}

// startup has sessions and access lists of strangers, some with lines that the
// neutral model has no field for. What they send is of Ethernet1/53.
const startup = `
feature lacp
feature lldp
ip domain-name example.net
vlan 10,20-22
vrf context MGMT
ip access-list CORP
  permit tcp 10.0.0.0/8 any eq www
  deny udp any any range 1000 2000
  permit ip any any
interface Ethernet1/61
  channel-group 1 mode active
interface Ethernet1/62
  channel-group 1 mode active
interface Ethernet1/54
  switchport monitor
interface Ethernet1/64
  no switchport
  vrf member MGMT
  ip address 198.51.100.1/24
monitor erspan origin ip-address 198.51.100.1 global
monitor session 2
  source interface Ethernet1/53 rx
  destination interface Ethernet1/54
  filter access-group CORP
monitor session 5
  description of a stranger
  source interface Ethernet1/53 rx
  destination interface Ethernet1/55
  filter access-group WITHOUT
monitor session 7 type erspan-source
  erspan-id 12
  vrf default
  destination ip 198.51.100.12
  source interface Ethernet1/53 tx
monitor session 9 type erspan-destination
  erspan-id 13
  vrf default
  source ip 198.51.100.1
  destination interface Ethernet1/56
`

func port(n int) string { return fmt.Sprintf("Ethernet1/%d", n) }

func ports(from, to int) []string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, port(n))
	}
	return out
}

// bed is a simulated switch with a host on every port, and the suite's view of it.
type bed struct {
	*drivertest.Peer
	dev     *peer.Device
	sw      *fabric.Switch
	hosts   map[string]*fabric.Host
	profile *transport.Profile // of all connections; a test may change it
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startSwitch makes a switch, and SSH on loopback.
func startSwitch(t testing.TB, edits ...func(*peer.Options)) *bed {
	t.Helper()
	fab := fabric.New()
	sw, err := fab.AddSwitch("sw1")
	must(t, err)
	hosts := make(map[string]*fabric.Host)
	for i, name := range ports(1, 64) {
		must(t, sw.AddPort(name))
		h, err := fab.AddHost("host" + strconv.Itoa(i+1))
		must(t, err)
		must(t, h.AddPort("eth0"))
		must(t, fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: name}, B: fabric.End{Node: h.Name(), Port: "eth0"}}))
		hosts[name] = h
	}
	clock := eos.NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	o := peer.Options{Hostname: "sw1", Switch: sw, Users: map[string]string{"admin": "right"}, StartupConfig: startup, Clock: clock}
	for _, e := range edits {
		e(&o)
	}
	dev, err := peer.New(o)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() { _ = dev.Serve(ctx, l) })
	t.Cleanup(func() { stop(); dev.Close(); wg.Wait() })
	keys, err := ssh.NewHostKeys(ssh.AcceptNew, filepath.Join(t.TempDir(), "known_hosts"))
	must(t, err)
	profile := nxos.Dialect{}.Profile()
	dial := func(ctx context.Context) (transport.Conn, error) {
		return ssh.Dial(ctx, ssh.Options{Device: "sw1", Profile: profile, Endpoint: ssh.Endpoint{
			Address: l.Addr().String(), User: "admin", HostKeys: keys,
			Auth: ssh.Auth{Password: func(context.Context) (string, error) { return "right", nil }},
		}})
	}
	fault := func(line string, a eos.Fault) {
		t.Helper()
		if line != "" {
			a.Line = "^" + regexp.QuoteMeta(line) + "$"
		}
		a.Times = 1
		must(t, dev.SetFaults(eos.FaultSpec{Lines: []eos.Fault{a}}))
	}
	b := &bed{dev: dev, sw: sw, hosts: hosts, profile: profile}
	b.Peer = &drivertest.Peer{
		Device:  "sw1",
		Ports:   drivertest.Ports{Sources: ports(1, 49), Destinations: ports(50, 51), LAG: "port-channel1", VLAN: 10, Tunnel: tunnel},
		Foreign: b.truth(t),
		Open: func(ctx context.Context) (drivers.Driver, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return drivers.Compose("sw1", nxos.Dialect{}, c), nil
		},
		Dial:   dial,
		Truth:  func() []models.Session { return b.truth(t) },
		Config: dev.RunningConfig,
		Saved:  func() bool { return dev.StartupConfig() == dev.RunningConfig() },
		Wire: func() []string {
			p := nxos.Dialect{}.Profile()
			return slices.DeleteFunc(dev.Wire(), func(l string) bool { return strings.TrimSpace(l) == "" || slices.Contains(p.Open, l) })
		},
		ResetWire: dev.ResetWire,
		Lapse:     clock.Advance,
		Refuse:    func(step string) { fault(step, eos.Fault{Action: eos.ActionRefuse}) },
		Hang:      func(text string) { fault(text, eos.Fault{Action: eos.ActionHang}) },
		Frames: func(t testing.TB, port string, rx, tx int, to string) int {
			return b.frames(t, port, rx, tx, to)
		},
	}
	return b
}

// truth puts the switch's own view into the words of the suite. Filters are those
// that the packet model has, not text.
func (b *bed) truth(t testing.TB) []models.Session {
	t.Helper()
	mirrors := make(map[string]fabric.Mirror)
	for _, m := range b.sw.Config().Mirrors {
		mirrors[m.Name] = m
	}
	var out []models.Session
	for _, m := range b.dev.MonitorSessions() {
		s := models.Session{Number: m.Number, Shutdown: !m.Enabled, TruncateTo: uint16(m.MTU)}
		if m.Description != "" && !strings.HasPrefix(m.Description, "spanctl ") {
			s.Extra = append(s.Extra, "  description "+m.Description)
		}
		for _, src := range m.Sources {
			dir := map[string]models.Direction{"rx": models.Rx, "tx": models.Tx, "both": models.Both}[src.Direction]
			kind := models.SourcePort
			switch {
			case src.VLAN != 0:
				kind = models.SourceVLAN
			case strings.HasPrefix(src.Interface, "port-channel"):
				kind = models.SourceLAG
			}
			s.Sources = append(s.Sources, models.Source{Kind: kind, Name: src.Interface, VLAN: uint16(src.VLAN), Direction: dir})
		}
		vrf := func() string {
			if m.ERSPAN.VRF == "default" {
				return ""
			}
			return m.ERSPAN.VRF
		}
		switch m.Type {
		case "erspan-source":
			e := m.ERSPAN
			s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Source: e.Origin, Destination: e.Address,
				Version: uint8(e.HeaderType), SessionID: uint16(e.ID), TTL: uint8(e.TTL), DSCP: uint8(e.DSCP), VRF: vrf()}}
			if e.TTL == 255 {
				s.Destination.Tunnel.TTL = 0 // the default
			}
		case "erspan-destination":
			e := m.ERSPAN
			s.Sources = []models.Source{{Kind: models.SourceOther, Name: m.Type, Direction: models.Rx}}
			s.Extra = []string{fmt.Sprintf("monitor session %d type %s", m.Number, m.Type), fmt.Sprintf("  erspan-id %d", e.ID),
				"  vrf " + e.VRF, fmt.Sprintf("  source ip %s", e.Address)}
			for _, d := range m.Destinations {
				s.Extra = append(s.Extra, "  destination interface "+d.Interface)
			}
		}
		for _, d := range m.Destinations {
			s.Destination.Kind = models.DestinationPort
			s.Destination.Ports = append(s.Destination.Ports, d.Interface)
		}
		mirror, running := mirrors[strconv.Itoa(m.Number)]
		if !running && m.FilterACL != "" {
			t.Fatalf("session %d has a filter and no mirror", m.Number)
		}
		filter := mirror.Filter
		if n := len(filter); n > 0 && reflect.DeepEqual(filter[n-1], fabric.Rule{Action: fabric.Exclude}) {
			filter = filter[:n-1] // the implicit deny
		}
		for _, r := range filter {
			s.Filter = append(s.Filter, rule(t, r))
		}
		if m.FilterACL != "" && len(s.Filter) == 0 {
			s.Extra = append(s.Extra, "  filter access-group "+m.FilterACL)
		}
		if len(m.FilterVLANs) > 0 {
			var rs []models.Range
			for _, v := range m.FilterVLANs {
				rs = append(rs, models.One(uint16(v)))
			}
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: rs}}}
		}
		for _, d := range m.Destinations {
			if !d.Ready {
				s.Extra = append(s.Extra, "interface "+d.Interface, "  no switchport monitor")
			}
		}
		out = append(out, s)
	}
	return out
}

func rule(t testing.TB, r fabric.Rule) models.Rule {
	t.Helper()
	out := models.Rule{Action: models.Exclude}
	if r.Action == fabric.Include {
		out.Action = models.Include
	}
	if r.Protocol != 0 {
		out.Match.Proto = models.ProtocolName(r.Protocol)
	}
	ranges := func(in []fabric.PortRange) []models.Range {
		var rs []models.Range
		for _, p := range in {
			rs = append(rs, models.Range{First: p.From, Last: p.To})
		}
		return rs
	}
	out.Match.Src, out.Match.Dst = models.Prefix{Prefix: r.Src}, models.Prefix{Prefix: r.Dst}
	out.Match.Sport, out.Match.Dport = ranges(r.SrcPorts), ranges(r.DstPorts)
	if r.IPVersion != 4 {
		t.Fatalf("a rule of another IP version: %+v", r)
	}
	return out
}

// frames lets the host on port and one elsewhere learn each other, sends rx frames
// from the one and tx frames to it, and counts what the host on to receives.
func (b *bed) frames(t testing.TB, from string, rx, tx int, to string) int {
	t.Helper()
	near, far, sensor := b.hosts[from], b.hosts[port(60)], b.hosts[to]
	send := func(from, dst *fabric.Host, n int) {
		t.Helper()
		d, s := dst.MAC("eth0"), from.MAC("eth0")
		frame := slices.Concat(d[:], s[:], []byte{0x88, 0xb5}, make([]byte, 60))
		for range n {
			must(t, from.Send("eth0", frame))
		}
	}
	send(far, near, 1)
	send(near, far, 1)
	sensor.ResetCapture()
	send(near, far, rx)
	send(far, near, tx)
	return len(sensor.Captured("eth0"))
}
