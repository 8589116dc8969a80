package eos_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/drivers/eos"
	peer "github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/models"
)

// TestConformance runs the suite against the simulated switch, over SSH.
func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Subject{Planner: eos.Dialect{}, Dialect: eos.Dialect{}, Start: startSwitch})
}

// startup has sessions and access lists of strangers, some with lines that the
// neutral model has no field for.
const startup = `
vrf instance MGMT
vlan 10,20
ip access-list CORP
   10 permit tcp 10.0.0.0/8 any eq ssh www
   20 deny udp any any range 1000 2000
   30 permit ip any any
ip access-list other
   10 permit ip any any
interface Ethernet11
   channel-group 1 mode active
interface Ethernet12
   channel-group 1 mode active
interface Ethernet16
   no switchport
   ip address 198.51.100.1/24
monitor session theirs source Ethernet13 both
monitor session theirs destination Ethernet14
monitor session theirs ip access-group CORP
monitor session theirs truncate size 100
monitor session tap source Ethernet13 rx
monitor session tap destination Cpu
monitor session tap header remove size 4
`

var ownPorts = []string{"Ethernet1", "Ethernet2", "Ethernet3", "Ethernet4", "Ethernet5", "Ethernet6"}

// startSwitch makes a switch with a host on every port, and SSH on loopback.
func startSwitch(t testing.TB) *drivertest.Peer {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fab := fabric.New()
	sw, err := fab.AddSwitch("leaf1")
	must(err)
	hosts := make(map[string]*fabric.Host)
	for i := 1; i <= 16; i++ {
		name := fmt.Sprintf("Ethernet%d", i)
		must(sw.AddPort(name))
		h, err := fab.AddHost("host" + fmt.Sprint(i))
		must(err)
		must(h.AddPort("eth0"))
		must(fab.Connect(fabric.Link{A: fabric.End{Node: "leaf1", Port: name}, B: fabric.End{Node: h.Name(), Port: "eth0"}}))
		hosts[name] = h
	}
	clock := peer.NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	dev, err := peer.New(peer.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "right"}, StartupConfig: startup, Clock: clock})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() { _ = dev.Serve(ctx, l) })
	t.Cleanup(func() { stop(); dev.Close(); wg.Wait() })
	keys, err := ssh.NewHostKeys(ssh.AcceptNew, filepath.Join(t.TempDir(), "known_hosts"))
	must(err)
	dial := func(ctx context.Context) (transport.Conn, error) {
		return ssh.Dial(ctx, ssh.Options{Device: "leaf1", Profile: eos.Dialect{}.Profile(), Endpoint: ssh.Endpoint{
			Address: l.Addr().String(), User: "admin", HostKeys: keys,
			Auth: ssh.Auth{Password: func(context.Context) (string, error) { return "right", nil }},
		}})
	}
	fault := func(line string, a peer.Action) {
		t.Helper()
		if line != "" {
			line = "^" + regexp.QuoteMeta(line) + "$"
		}
		must(dev.AddFault(peer.Fault{Line: line, Action: a, Times: 1}))
	}
	return &drivertest.Peer{
		Device: "leaf1",
		Ports: drivertest.Ports{
			Sources: ownPorts[:4], Destinations: ownPorts[4:], LAG: "Port-Channel1",
			Tunnel: &models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("198.51.100.9"), VRF: "MGMT"},
		},
		Foreign: truth(t, dev, sw),
		Open: func(ctx context.Context) (drivers.Driver, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return drivers.Compose("leaf1", eos.Dialect{}, c), nil
		},
		Dial:   dial,
		Truth:  func() []models.Session { return truth(t, dev, sw) },
		Config: dev.RunningConfig,
		Saved:  func() bool { return body(dev.StartupConfig()) == body(dev.RunningConfig()) },
		Wire: func() []string {
			p := eos.Dialect{}.Profile()
			return slices.DeleteFunc(dev.Wire(), func(l string) bool {
				return strings.TrimSpace(l) == "" || slices.Contains(p.Open, l) || l == p.Home || l == p.Privilege.Command
			})
		},
		ResetWire: dev.ResetWire,
		Lapse:     clock.Advance,
		Refuse:    func(step string) { fault(step, peer.ActionRefuse) },
		Hang:      func(text string) { fault(text, peer.ActionHang) },
		Frames: func(t testing.TB, port string, rx, tx int, to string) int {
			return frames(t, hosts, port, rx, tx, to)
		},
	}
}

// truth puts the switch's own view into the words of the suite. Filters are those
// that the packet model has, not text.
func truth(t testing.TB, dev *peer.Device, sw *fabric.Switch) []models.Session {
	t.Helper()
	mirrors := make(map[string]fabric.Mirror)
	for _, m := range sw.Config().Mirrors {
		mirrors[m.Name] = m
	}
	var out []models.Session
	for _, m := range dev.MonitorSessions() {
		s := models.Session{Name: m.Name, TruncateTo: uint16(m.TruncateSize), SampleOneIn: uint32(m.Sample)}
		for _, src := range m.Sources {
			kind := models.SourcePort
			if strings.HasPrefix(src.Interface, "Port-Channel") {
				kind = models.SourceLAG
			}
			dir := map[string]models.Direction{"rx": models.Rx, "tx": models.Tx, "both": models.Both}[src.Direction]
			s.Sources = append(s.Sources, models.Source{Kind: kind, Name: src.Interface, Direction: dir})
		}
		for _, d := range m.Destinations {
			switch {
			case d.CPU:
				s.Destination = models.Destination{Kind: models.DestinationOther, Ports: []string{"Cpu"}}
			case d.GRE != nil:
				tun := &models.Tunnel{Source: d.GRE.Source, Destination: d.GRE.Destination, TTL: uint8(max(d.GRE.TTL, 0)), DSCP: uint8(max(d.GRE.DSCP, 0)),
					Protocol: d.GRE.Protocol, VRF: d.GRE.VRF}
				if d.GRE.Key != nil {
					tun.Key = *d.GRE.Key
				}
				s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: tun}
			default:
				s.Destination.Kind = models.DestinationPort
				s.Destination.Ports = append(s.Destination.Ports, d.Interface)
			}
		}
		if m.HeaderRemove > 0 {
			s.Extra = append(s.Extra, fmt.Sprintf("monitor session %s header remove size %d", m.Name, m.HeaderRemove))
		}
		filter := mirrors[m.Name].Filter
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
	ports := func(in []fabric.PortRange) []models.Range {
		var rs []models.Range
		for _, p := range in {
			rs = append(rs, models.Range{First: p.From, Last: p.To})
		}
		return rs
	}
	out.Match.Src, out.Match.Dst = models.Prefix{Prefix: r.Src}, models.Prefix{Prefix: r.Dst}
	out.Match.Sport, out.Match.Dport = ports(r.SrcPorts), ports(r.DstPorts)
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
func frames(t testing.TB, hosts map[string]*fabric.Host, port string, rx, tx int, to string) int {
	t.Helper()
	near, far, sensor := hosts[port], hosts["Ethernet15"], hosts[to]
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

// TestConnectionAfterRefusal: a refused step leaves the connection of use, and its
// configuration session can be discarded and made again.
func TestConnectionAfterRefusal(t *testing.T) {
	p := startSwitch(t)
	d, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want := models.Session{Device: "leaf1", Name: "sp-x", Role: models.RoleLocal,
		Sources:     []models.Source{{Kind: models.SourcePort, Name: "Ethernet1", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet5"}},
		Filter:      []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmp"}}},
	}
	cs := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Create, After: &want}}}
	sc, err := d.Render(cs, drivers.RenderOptions{Tag: "x"})
	if err != nil {
		t.Fatal(err)
	}
	cp := drivers.Checkpoint{Device: "leaf1", Changes: cs, Script: sc}
	p.Refuse("   10 permit icmp any any") // in the middle of an access list
	if err := d.Apply(t.Context(), cp); err == nil {
		t.Fatal("the refusal is no error")
	}
	if _, err := d.Observe(t.Context()); err != nil {
		t.Errorf("observe on the same connection: %v", err)
	}
	if err := d.Revert(t.Context(), cp); err != nil {
		t.Errorf("revert on the same connection: %v", err)
	}
	if err := d.Apply(t.Context(), cp); err != nil {
		t.Errorf("apply on the same connection: %v", err)
	}
	if n := len(p.Truth()); n != len(p.Foreign)+1 {
		t.Errorf("the switch has %d sessions; want one more than %d", n, len(p.Foreign))
	}
}

// body gives a configuration without the comments at its head, which tell of commands
// and times.
func body(config string) string {
	_, after, _ := strings.Cut(config, "\nhostname ")
	return strings.TrimRight(after, "\n")
}
