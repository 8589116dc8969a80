package iosxe_test

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
	"github.com/spanctl/spanctl/drivers/iosxe"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	peer "github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/models"
)

// TestConformance runs the suite against the simulated switch, over SSH.
func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Subject{Planner: iosxe.Dialect{}, Dialect: iosxe.Dialect{}, Ask: ask,
		Start: func(t testing.TB) *drivertest.Peer { return startSwitch(t).Peer }})
}

// ask truncates copies that are sent by ERSPAN: others stay whole.
func ask(f models.Feature, s *models.Session) {
	if f == models.FeatureTruncate {
		s.TruncateTo = 256
		s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: tunnel.Source, Destination: tunnel.Destination, Version: 2, SessionID: 7}}
	}
}

var tunnel = &models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("198.51.100.9"), VRF: "MGMT"}

// startup has sessions and access lists of strangers, some with lines that the
// neutral model has no field for.
const startup = `
vtp mode transparent
vlan 10
 name USERS
vlan 900
 remote-span
ip access-list extended CORP
 permit tcp 10.0.0.0 0.255.255.255 any eq www
 deny udp any any range 1000 2000
 permit ip any any
interface GigabitEthernet1/0/11
 channel-group 1 mode active
interface GigabitEthernet1/0/12
 channel-group 1 mode active
interface GigabitEthernet1/0/16
 no switchport
 ip address 198.51.100.1 255.255.255.0
monitor session 2 source interface Gi1/0/13
monitor session 2 destination interface Gi1/0/14
monitor session 2 filter ip access-group CORP
monitor session 5 source interface Gi1/0/13 rx
monitor session 5 destination interface Gi1/0/10 encapsulation replicate
monitor session 7 type erspan-source
 description of a stranger
 source interface Gi1/0/13 tx
 destination
  erspan-id 12
  ip address 198.51.100.12
  origin ip address 198.51.100.1
`

func port(n int) string { return fmt.Sprintf("GigabitEthernet1/0/%d", n) }

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
	dev   *peer.Device
	sw    *fabric.Switch
	hosts map[string]*fabric.Host
	clock *peer.ManualClock
	dial  func(ctx context.Context, enable ssh.Secret) (transport.Conn, error)
}

// startSwitch makes a switch, and SSH on loopback.
func startSwitch(t testing.TB, edits ...func(*peer.Options)) *bed {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fab := fabric.New()
	sw, err := fab.AddSwitch("sw1")
	must(err)
	hosts := make(map[string]*fabric.Host)
	for i, name := range ports(1, 16) {
		must(sw.AddPort(name))
		h, err := fab.AddHost("host" + strconv.Itoa(i+1))
		must(err)
		must(h.AddPort("eth0"))
		must(fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: name}, B: fabric.End{Node: h.Name(), Port: "eth0"}}))
		hosts[name] = h
	}
	clock := peer.NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	o := peer.Options{Hostname: "sw1", Switch: sw, Users: map[string]string{"admin": "right"}, EnableSecret: "more",
		StartupConfig: startup, Clock: clock, HeaderTypeIII: true}
	for _, e := range edits {
		e(&o)
	}
	dev, err := peer.New(o)
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() { _ = dev.Serve(ctx, l) })
	t.Cleanup(func() { stop(); dev.Close(); wg.Wait() })
	keys, err := ssh.NewHostKeys(ssh.AcceptNew, filepath.Join(t.TempDir(), "known_hosts"))
	must(err)
	dialWith := func(ctx context.Context, enable ssh.Secret) (transport.Conn, error) {
		return ssh.Dial(ctx, ssh.Options{Device: "sw1", Profile: iosxe.Dialect{}.Profile(), EnableSecret: enable, Endpoint: ssh.Endpoint{
			Address: l.Addr().String(), User: "admin", HostKeys: keys, Auth: ssh.Auth{Password: secret("right")},
		}})
	}
	dial := func(ctx context.Context) (transport.Conn, error) { return dialWith(ctx, secret("more")) }
	fault := func(line string, a peer.Fault) {
		t.Helper()
		if line != "" {
			a.Line = "^" + regexp.QuoteMeta(line) + "$"
		}
		a.Times = 1
		must(dev.SetFaults(peer.FaultSpec{Lines: []peer.Fault{a}}))
	}
	b := &bed{dev: dev, sw: sw, hosts: hosts, clock: clock, dial: dialWith}
	b.Peer = &drivertest.Peer{
		Device:  "sw1",
		Ports:   drivertest.Ports{Sources: ports(1, 4), Destinations: ports(5, 6), LAG: "Port-channel1", VLAN: 10, RemoteVLAN: 900, Tunnel: tunnel},
		Foreign: b.truth(t),
		Open: func(ctx context.Context) (drivers.Driver, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return drivers.Compose("sw1", iosxe.Dialect{}, c), nil
		},
		Dial:   dial,
		Truth:  func() []models.Session { return b.truth(t) },
		Config: dev.RunningConfig,
		Saved:  func() bool { return body(dev.StartupConfig()) == body(dev.RunningConfig()) },
		Wire: func() []string {
			p := iosxe.Dialect{}.Profile()
			return slices.DeleteFunc(dev.Wire(), func(l string) bool {
				return strings.TrimSpace(l) == "" || slices.Contains(p.Open, l) || l == p.Privilege.Command
			})
		},
		ResetWire: dev.ResetWire,
		Lapse:     clock.Advance,
		Refuse:    func(step string) { fault(step, peer.Fault{Action: "refuse"}) },
		Hang:      func(text string) { fault(text, peer.Fault{Action: "hang"}) },
		Frames: func(t testing.TB, port string, rx, tx int, to string) int {
			return b.frames(t, port, rx, tx, to)
		},
	}
	return b
}

func secret(s string) ssh.Secret {
	return func(context.Context) (string, error) { return s, nil }
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
		s := models.Session{Number: m.Number, Shutdown: !m.Enabled}
		for _, src := range m.Sources {
			dir := map[string]models.Direction{"rx": models.Rx, "tx": models.Tx, "both": models.Both}[src.Direction]
			kind := models.SourcePort
			switch {
			case src.VLAN != 0:
				kind = models.SourceVLAN
			case strings.HasPrefix(src.Interface, "Port-channel"):
				kind = models.SourceLAG
			}
			s.Sources = append(s.Sources, models.Source{Kind: kind, Name: src.Interface, VLAN: uint16(src.VLAN), Direction: dir})
		}
		if m.SourceRSPAN != 0 {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourceRemoteVLAN, VLAN: uint16(m.SourceRSPAN), Direction: models.Rx})
		}
		switch {
		case m.ERSPAN != nil:
			e := m.ERSPAN
			s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Source: e.Origin, Destination: e.Address,
				Version: uint8(e.HeaderType), SessionID: uint16(e.ID), TTL: uint8(e.TTL), DSCP: uint8(e.DSCP), VRF: e.VRF}}
			if e.MTU < 9000 {
				s.TruncateTo = uint16(e.MTU)
			}
			if m.Description != "" && !strings.HasPrefix(m.Description, "spanctl ") {
				s.Extra = append(s.Extra, " description "+m.Description)
			}
		case m.DestRSPAN != 0:
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: uint16(m.DestRSPAN)}
		case len(m.Destinations) > 0:
			s.Destination.Kind = models.DestinationPort
		}
		for _, d := range m.Destinations {
			s.Destination.Ports = append(s.Destination.Ports, d.Interface)
			if d.Encapsulation != "" {
				s.Extra = append(s.Extra, fmt.Sprintf("monitor session %d destination interface Gi%s encapsulation %s", m.Number,
					strings.TrimPrefix(d.Interface, "GigabitEthernet"), d.Encapsulation))
			}
		}
		mirror, running := mirrors[strconv.Itoa(m.Number)]
		if !running && m.FilterIP+m.FilterIPv6 != "" {
			t.Fatalf("session %d has a filter and no mirror", m.Number)
		}
		filter := mirror.Filter
		if n := len(filter); n > 0 && reflect.DeepEqual(filter[n-1], fabric.Rule{Action: fabric.Exclude}) {
			filter = filter[:n-1] // the implicit deny
		}
		for _, r := range filter {
			s.Filter = append(s.Filter, rule(t, r))
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
	if out.Match.Family() == 0 {
		all := map[uint8]string{4: "0.0.0.0/0", 6: "::/0"}[r.IPVersion]
		if all == "" {
			t.Fatalf("a rule of no IP version: %+v", r)
		}
		out.Match.Src = models.Prefix{Prefix: netip.MustParsePrefix(all)}
	}
	return out
}

// frames lets the host on port and one elsewhere learn each other, sends rx frames
// from the one and tx frames to it, and counts what the host on to receives.
func (b *bed) frames(t testing.TB, from string, rx, tx int, to string) int {
	t.Helper()
	near, far, sensor := b.hosts[from], b.hosts[port(15)], b.hosts[to]
	send := func(from, dst *fabric.Host, n int) {
		t.Helper()
		d, s := dst.MAC("eth0"), from.MAC("eth0")
		frame := slices.Concat(d[:], s[:], []byte{0x88, 0xb5}, make([]byte, 60))
		for range n {
			if err := from.Send("eth0", frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(far, near, 1)
	send(near, far, 1)
	sensor.ResetCapture()
	send(near, far, rx)
	send(far, near, tx)
	return len(sensor.Captured("eth0"))
}

// body gives a configuration without the comments at its head, which tell of commands
// and times.
func body(config string) string {
	_, after, _ := strings.Cut(config, "\nhostname ")
	return strings.TrimRight(after, "\n")
}
