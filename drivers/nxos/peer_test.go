package nxos_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/nxos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	peer "github.com/spanctl/spanctl/drivers/peers/nxos"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// These tests type lines into the simulated switch, whose grammar and whose running
// configuration are by another author.

func newDevice(t testing.TB, config string) (*peer.Device, *fabric.Switch) {
	t.Helper()
	sw, err := fabric.New().AddSwitch("sw1")
	must(t, err)
	for _, n := range slices.Concat(ports(1, 24), []string{"Ethernet2/1", "Ethernet2/2", "Ethernet2/3", "Ethernet2/4"}) {
		must(t, sw.AddPort(n))
	}
	dev, err := peer.New(peer.Options{Hostname: "sw1", Switch: sw, Users: map[string]string{"admin": "right"}, StartupConfig: config, Limits: peer.Limits{MTUMin: -1, MTUMax: 1 << 15}})
	must(t, err)
	t.Cleanup(dev.Close)
	return dev, sw
}

func editLines(t testing.TB, facts models.Facts, cs ...models.Change) []string {
	t.Helper()
	sc, err := nxos.Dialect{}.Render(models.ChangeSet{Device: "sw1", Changes: cs}, drivers.RenderOptions{Facts: facts})
	must(t, err)
	var out []string
	for _, s := range sc.Steps {
		if s.Phase == transport.Edit {
			out = append(out, s.Text)
		}
	}
	return out
}

// seen gives what the dialect reads in the running configuration.
func seen(t testing.TB, dev *peer.Device) models.DeviceState {
	t.Helper()
	var rs []transport.Reply
	for _, r := range (nxos.Dialect{}).Reads() {
		rs = append(rs, transport.Reply{Request: r, Err: "% Invalid command"})
	}
	rs[0].Text, rs[0].Err = dev.RunningConfig()+"sw1 \n", ""
	st, err := nxos.Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rs[0].Text)
	}
	return st
}

const bedConfig = `feature lacp
vlan 10,20
vrf context MGMT
interface Ethernet1/23
  channel-group 1
monitor erspan origin ip-address 198.51.100.1 global
`

// TestRandomSessions goes from one random session to another and compares what the
// switch has, and what the dialect reads, with what was wanted.
func TestRandomSessions(t *testing.T) {
	dev, sw := newDevice(t, bedConfig)
	b := &bed{dev: dev, sw: sw}
	empty := dev.RunningConfig()
	rnd := rand.New(rand.NewPCG(3, 4))
	var before *models.Session
	taken := 0
	for i := range 700 {
		after := randomSession(rnd).Normalize()
		if why := (nxos.Dialect{}).Check(after); len(why) > 0 {
			continue
		}
		taken++
		ch := models.Change{Op: models.Create, After: &after}
		if before != nil {
			ch = models.Change{Op: models.Update, Before: before, After: &after}
		}
		lines := editLines(t, seen(t, dev).Facts, ch)
		if err := dev.Configure(lines...); err != nil {
			t.Fatalf("session %d: %v\n%s", i, err, strings.Join(lines, "\n"))
		}
		got := seen(t, dev).Sessions
		if len(got) != 1 || !models.SameConfig(after, got[0]) {
			t.Fatalf("session %d is read as another (-want +got):\n%s\n%s", i, cmp.Diff([]models.Session{after}, got, cmpAddr), dev.RunningConfig())
		}
		has := b.truth(t)
		has[0].Device = "sw1"
		if !models.SameConfig(after, has[0]) {
			t.Fatalf("session %d is another on the switch (-want +got):\n%s\n%s", i, cmp.Diff(after, has[0].Normalize(), cmpAddr), strings.Join(lines, "\n"))
		}
		if rnd.IntN(10) == 0 {
			must(t, dev.Configure(editLines(t, models.Facts{}, models.Change{Op: models.Delete, Before: &got[0]})...))
			if d := cmp.Diff(empty, dev.RunningConfig()); d != "" {
				t.Fatalf("session %d left something behind (-before +after):\n%s", i, d)
			}
			before = nil
			continue
		}
		n := got[0].Normalize()
		before = &n
	}
	if taken < 200 {
		t.Errorf("only %d sessions were taken", taken)
	}
}

func randomSession(rnd *rand.Rand) models.Session {
	s := models.Session{Device: "sw1", Number: 1, Intent: []string{"", "a", "ids-dmz"}[rnd.IntN(3)], Shutdown: rnd.IntN(4) == 0}
	direction := func() models.Direction { return models.Direction(1 + rnd.IntN(3)) }
	filtered := rnd.IntN(4) == 0
	if filtered {
		direction = func() models.Direction { return models.Rx }
		for range 1 + rnd.IntN(4) {
			s.Filter = append(s.Filter, models.Rule{Action: models.Action(1 + rnd.IntN(2)), Match: randomMatch(rnd)})
		}
	} else if rnd.IntN(4) == 0 {
		s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(10), {First: 20, Last: 22}}}}}
	}
	for i := 1; i <= 15; i++ {
		if rnd.IntN(3) == 0 {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: port(i), Direction: direction()})
		}
	}
	if rnd.IntN(3) == 0 {
		s.Sources = append(s.Sources, models.Source{Kind: models.SourceLAG, Name: "port-channel1", Direction: direction()})
	}
	for _, v := range []uint16{10, 20} {
		if len(s.Sources) == 0 || rnd.IntN(3) == 0 {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourceVLAN, VLAN: v, Direction: direction()})
		}
	}
	if rnd.IntN(3) == 0 {
		s.TruncateTo = uint16(64 + rnd.IntN(10000))
	}
	if rnd.IntN(2) == 0 {
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{port(20 + rnd.IntN(2))}}
		return s
	}
	s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
		Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: uint8(2 + rnd.IntN(2)), SessionID: uint16(1 + rnd.IntN(1023)),
		TTL: []uint8{0, 1, 64}[rnd.IntN(3)], DSCP: uint8(rnd.IntN(64)), VRF: []string{"", "MGMT"}[rnd.IntN(2)]}}
	return s
}

func randomMatch(rnd *rand.Rand) models.Match {
	nets := []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32"}
	m := models.Match{Proto: []string{"", "tcp", "udp", "icmp", "gre", "ospf", "vrrp", "igmp", "pim", "ah", "99"}[rnd.IntN(11)]}
	m.Src = models.Prefix{Prefix: netip.MustParsePrefix(nets[rnd.IntN(len(nets))])}
	if rnd.IntN(2) == 0 {
		m.Dst = models.Prefix{Prefix: netip.MustParsePrefix(nets[rnd.IntN(len(nets))])}
	}
	if m.Proto == "tcp" || m.Proto == "udp" {
		for range rnd.IntN(3) {
			n := uint16(rnd.IntN(1000))
			m.Dport = append(m.Dport, models.Range{First: n, Last: n + uint16(rnd.IntN(3))})
		}
	}
	return m
}

// TestStrangersPutBack: every session of a configuration is read, removed by its
// rendering and written back by it, after which the configuration is the same, byte
// for byte; and a plan for the sessions as they are read changes nothing.
func TestStrangersPutBack(t *testing.T) {
	batfish, err := os.ReadFile(filepath.Join(require.Vendor(t, "transcripts", "cisco_nxos"), "batfish_nxos_monitor.cfg"))
	must(t, err)
	// The peer knows no direction behind a destination, which says nothing; and prints
	// the VLANs of one direction in one line.
	excerpt := strings.NewReplacer("2/1 both", "2/1", "2/2 tx", "2/2", "2/3 rx", "2/3").Replace(string(batfish))
	for name, config := range map[string]string{
		"bed": startup[:strings.Index(startup, "interface Ethernet1/61")] + "interface Ethernet1/14\n switchport monitor\nmonitor erspan origin ip-address 198.51.100.1 global\n" +
			"monitor session 2\n source interface e1/13 rx\n destination interface e1/14\n filter access-group CORP\n no shut\n" +
			"monitor session 5\n description of  a stranger\n source interface e1/13 rx\n destination interface e1/15\n filter access-group WITHOUT\n" +
			"monitor session 7 type erspan-source\n erspan-id 12\n vrf default\n destination ip 198.51.100.12\n source interface e1/13 tx\n" +
			"monitor session 8 type erspan-source\n source vlan 10 rx\n filter vlan 10\n mtu 400\n" +
			"monitor session 9 type erspan-destination\n erspan-id 13\n vrf MGMT\n source ip 198.51.100.1\n destination interface e1/16\n no shut\n",
		"batfish": excerpt,
	} {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDevice(t, strings.ReplaceAll(config, "hostname nxos_monitor", "hostname sw1"))
			first := dev.RunningConfig()
			st := seen(t, dev)
			if len(st.Sessions) == 0 {
				t.Fatal("no sessions")
			}
			for _, s := range st.Sessions {
				s = s.Normalize()
				back := s
				if len(s.Destination.Ports) > 1 && s.Destination.Kind == models.DestinationPort && len(s.Sources) > 1 {
					continue // of several ports, which only show that they are read
				}
				must(t, dev.Configure(editLines(t, st.Facts, models.Change{Op: models.Delete, Before: &s})...))
				if got := dev.RunningConfig(); strings.Contains(got, fmt.Sprintf("monitor session %d\n", s.Number)) {
					t.Fatalf("session %d is still there:\n%s", s.Number, got)
				}
				must(t, dev.Configure(editLines(t, st.Facts, models.Change{Op: models.Create, After: &back})...))
				if d := cmp.Diff(first, dev.RunningConfig()); d != "" {
					t.Errorf("session %d is put back as another (-before +after):\n%s", s.Number, d)
				}
			}
			var want []models.Session
			for _, s := range st.Sessions {
				s.Intent = "adopted"
				want = append(want, s.Normalize())
			}
			st.Sessions = want
			if cs := plan.Diff(want, st, models.GrainSession, func(string) bool { return true }); !cs.Empty() {
				t.Errorf("a plan for what is there has %d changes", len(cs.Changes))
			}
		})
	}
}

// ipv4 is a frame of size bytes from one host to another, with IPv4 and the ports of
// TCP or UDP.
func ipv4(from, to *fabric.Host, proto byte, dport uint16, size int) []byte {
	d, s := to.MAC("eth0"), from.MAC("eth0")
	b := make([]byte, size)
	copy(b, d[:])
	copy(b[6:], s[:])
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(size-14))
	a, z := netip.MustParseAddr("10.0.0.1").As4(), netip.MustParseAddr("10.0.0.2").As4()
	copy(ip[12:], a[:])
	copy(ip[16:], z[:])
	binary.BigEndian.PutUint16(ip[20:], 40000)
	binary.BigEndian.PutUint16(ip[22:], dport)
	return b
}

// TestCopies renders sessions, types them into a switch and counts what frames come
// out at the far end: that a line is taken does not show that it does what the
// session says.
func TestCopies(t *testing.T) {
	src := func(n int, d models.Direction) models.Source {
		return models.Source{Kind: models.SourcePort, Name: port(n), Direction: d}
	}
	vlan := func(v uint16, d models.Direction) models.Source {
		return models.Source{Kind: models.SourceVLAN, VLAN: v, Direction: d}
	}
	match := func(m models.Match) []models.Rule { return []models.Rule{{Action: models.Include, Match: m}} }
	erspan := func(version uint8) models.Destination {
		return models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: version, SessionID: 9}}
	}
	all := models.Prefix{Prefix: netip.MustParsePrefix("0.0.0.0/0")}
	// near sends 40 frames to far and receives 20 from it, all of 300 bytes: TCP to port
	// 443, but every fourth of near's is UDP to port 53.
	tests := []struct {
		name   string
		give   func(*models.Session)
		at     string
		copies int
		size   int // of each copy
	}{
		{"rx", func(*models.Session) {}, "sensor", 40, 300},
		{"tx", func(s *models.Session) { s.Sources = []models.Source{src(1, models.Tx)} }, "sensor", 20, 300},
		{"both", func(s *models.Session) { s.Sources = []models.Source{src(1, models.Both)} }, "sensor", 60, 300},
		{"shut", func(s *models.Session) { s.Shutdown = true }, "sensor", 0, 0},
		{"VLAN", func(s *models.Session) { s.Sources = []models.Source{vlan(1, models.Rx)} }, "sensor", 60, 300},
		{"VLAN tx", func(s *models.Session) { s.Sources = []models.Source{vlan(1, models.Tx)} }, "sensor", 60, 300},
		{"another VLAN", func(s *models.Session) { s.Sources = []models.Source{vlan(2, models.Rx)} }, "sensor", 0, 0},
		{"filter", func(s *models.Session) {
			s.Filter = match(models.Match{Proto: "udp", Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/24")}, Dport: []models.Range{models.One(53)}})
		}, "sensor", 10, 300},
		{"filter with an exclusion", func(s *models.Session) {
			s.Filter = append([]models.Rule{{Action: models.Exclude, Match: models.Match{Proto: "udp", Dport: []models.Range{{First: 50, Last: 60}}}}}, match(models.Match{Dst: all})...)
		}, "sensor", 30, 300},
		{"filter of a VLAN", func(s *models.Session) { s.Filter = match(models.Match{VLANs: []models.Range{models.One(1)}}) }, "sensor", 40, 300},
		{"filter of another VLAN", func(s *models.Session) { s.Filter = match(models.Match{VLANs: []models.Range{models.One(2)}}) }, "sensor", 0, 0},
		{"truncated", func(s *models.Session) { s.TruncateTo = 200 }, "sensor", 40, 200},
		// Outer Ethernet, IPv4, GRE with a sequence number, and ERSPAN of type II or III.
		{"ERSPAN II", func(s *models.Session) { s.Destination = erspan(2) }, "receiver", 40, 300 + 14 + 20 + 8 + 8},
		{"ERSPAN III", func(s *models.Session) { s.Destination = erspan(3) }, "receiver", 40, 300 + 14 + 20 + 8 + 12},
		{"ERSPAN, truncated", func(s *models.Session) { s.Destination, s.TruncateTo = erspan(2), 200 }, "receiver", 40, 200 + 14 + 20 + 8 + 8},
		{"ERSPAN with a filter", func(s *models.Session) {
			s.Destination, s.Filter = erspan(2), match(models.Match{Proto: "udp", Src: all})
		}, "receiver", 10, 300 + 14 + 20 + 8 + 8},
		{"ERSPAN of another VRF", func(s *models.Session) { s.Destination = erspan(2); s.Destination.Tunnel.VRF = "MGMT" }, "receiver", 40, 300 + 14 + 20 + 8 + 8},
		{"ERSPAN, shut", func(s *models.Session) { s.Destination, s.Shutdown = erspan(2), true }, "receiver", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fab := fabric.New()
			sw, err := fab.AddSwitch("sw1")
			must(t, err)
			hosts := make(map[string]*fabric.Host)
			for i, name := range []string{"near", "far", "sensor", "receiver"} {
				must(t, sw.AddPort(port(i+1)))
				h, err := fab.AddHost(name)
				must(t, err)
				var addrs []netip.Prefix
				if name == "receiver" {
					addrs = append(addrs, netip.MustParsePrefix("192.0.2.9/24"))
				}
				must(t, h.AddPort("eth0", addrs...))
				must(t, fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: port(i + 1)}, B: fabric.End{Node: name, Port: "eth0"}}))
				hosts[name] = h
			}
			dev, err := peer.New(peer.Options{Hostname: "sw1", Switch: sw, Users: map[string]string{"admin": "right"}, Limits: peer.Limits{MTUMin: 64},
				StartupConfig: "vlan 2\nvrf context MGMT\nmonitor erspan origin ip-address 198.51.100.1 global\n"})
			must(t, err)
			t.Cleanup(dev.Close)
			a, b := hosts["near"], hosts["far"]
			for _, h := range []*fabric.Host{a, b} { // the switch learns them
				mac := h.MAC("eth0")
				must(t, h.Send("eth0", slices.Concat(slices.Repeat([]byte{0xff}, 6), mac[:], make([]byte, 48))))
			}
			s := models.Session{Device: "sw1", Number: 1, Sources: []models.Source{src(1, models.Rx)},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(3)}}}
			tt.give(&s)
			s = s.Normalize()
			must(t, dev.Configure(editLines(t, models.Facts{}, models.Change{Op: models.Create, After: &s})...))
			for _, h := range hosts {
				h.ResetCapture()
			}
			for i := range 40 {
				if i%4 == 3 {
					must(t, a.Send("eth0", ipv4(a, b, 17, 53, 300)))
				} else {
					must(t, a.Send("eth0", ipv4(a, b, 6, 443, 300)))
				}
			}
			for range 20 {
				must(t, b.Send("eth0", ipv4(b, a, 6, 443, 300)))
			}
			got := hosts[tt.at].Captured("eth0")
			if len(got) != tt.copies {
				t.Errorf("%d copies; want %d", len(got), tt.copies)
			}
			for _, c := range got {
				if len(c.Frame) != tt.size {
					t.Fatalf("a copy has %d bytes; want %d", len(c.Frame), tt.size)
				}
			}
			// The traffic itself is unhurt, and no other host receives a copy.
			for name, want := range map[string]int{"near": 20, "far": 40, "sensor": 0, "receiver": 0} {
				if n := len(hosts[name].Captured("eth0")); name != tt.at && n != want {
					t.Errorf("%s received %d frames; want %d", name, n, want)
				}
			}
		})
	}
}
