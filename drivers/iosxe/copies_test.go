package iosxe_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	peer "github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/models"
)

// ipv4 is a frame of size bytes from one host to another, with IPv4 and the ports
// of TCP or UDP.
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

// pair is two switches with a trunk between them, and hosts: near, far and a sensor
// on sw1, a sensor on sw2, and a receiver of tunnels.
type pair struct {
	t     testing.TB
	dev   map[string]*peer.Device
	hosts map[string]*fabric.Host
}

func newPair(t testing.TB) pair {
	t.Helper()
	p := pair{t: t, dev: map[string]*peer.Device{}, hosts: map[string]*fabric.Host{}}
	fab := fabric.New()
	switches := make(map[string]*fabric.Switch)
	for _, name := range []string{"sw1", "sw2"} {
		sw, err := fab.AddSwitch(name)
		p.must(err)
		for _, n := range ports(1, 8) {
			p.must(sw.AddPort(n))
		}
		switches[name] = sw
	}
	for _, h := range []struct{ name, sw, port string }{
		{"near", "sw1", port(1)}, {"far", "sw1", port(2)}, {"sensor", "sw1", port(3)}, {"receiver", "sw1", port(4)}, {"remote", "sw2", port(3)},
	} {
		host, err := fab.AddHost(h.name)
		p.must(err)
		var addrs []netip.Prefix
		if h.name == "receiver" {
			addrs = append(addrs, netip.MustParsePrefix("192.0.2.9/24"))
		}
		p.must(host.AddPort("eth0", addrs...))
		p.must(fab.Connect(fabric.Link{A: fabric.End{Node: h.sw, Port: h.port}, B: fabric.End{Node: h.name, Port: "eth0"}}))
		p.hosts[h.name] = host
	}
	p.must(fab.Connect(fabric.Link{A: fabric.End{Node: "sw1", Port: port(8)}, B: fabric.End{Node: "sw2", Port: port(8)}}))
	for name, sw := range switches {
		dev, err := peer.New(peer.Options{Hostname: name, Switch: sw, Users: map[string]string{"admin": "right"}, HeaderTypeIII: true,
			StartupConfig: "vlan 900\n remote-span\ninterface " + port(8) + "\n switchport mode trunk\n"})
		p.must(err)
		t.Cleanup(dev.Close)
		p.dev[name] = dev
	}
	near, far := p.hosts["near"], p.hosts["far"]
	for _, h := range []*fabric.Host{near, far} { // the switch learns them
		mac := h.MAC("eth0")
		p.send(h, slices.Concat(slices.Repeat([]byte{0xff}, 6), mac[:], make([]byte, 48)))
	}
	for _, h := range p.hosts {
		h.ResetCapture()
	}
	return p
}

func (p pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p pair) send(from *fabric.Host, frame []byte) {
	p.t.Helper()
	p.must(from.Send("eth0", frame))
}

// TestCopies renders sessions, types them into the switches and counts what frames
// come out at the far end: that a line is taken does not show that it does what the
// session says.
func TestCopies(t *testing.T) {
	src := func(n int, d models.Direction) models.Source {
		return models.Source{Kind: models.SourcePort, Name: port(n), Direction: d}
	}
	match := func(f models.Match) []models.Rule { return []models.Rule{{Action: models.Include, Match: f}} }
	erspan := func(version uint8) models.Destination {
		return models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: version, SessionID: 9}}
	}
	// near sends 40 frames to far and receives 20 from it, all of 300 bytes: TCP to
	// port 443, but every fourth of near's is UDP to port 53.
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
		{"two sources see a frame twice", func(s *models.Session) { s.Sources = []models.Source{src(1, models.Rx), src(2, models.Tx)} }, "sensor", 80, 300},
		{"VLAN", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 1, Direction: models.Rx}}
		}, "sensor", 60, 300},
		{"another VLAN", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 2, Direction: models.Rx}}
		}, "sensor", 0, 0},
		{"filter", func(s *models.Session) {
			s.Filter = match(models.Match{Proto: "udp", Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/24")}, Dport: []models.Range{models.One(53)}})
		}, "sensor", 10, 300},
		{"filter with an exclusion", func(s *models.Session) {
			s.Filter = append([]models.Rule{{Action: models.Exclude, Match: models.Match{Proto: "udp", Dport: []models.Range{{First: 50, Last: 60}}}}},
				match(models.Match{Dst: models.Prefix{Prefix: netip.MustParsePrefix("0.0.0.0/0")}})...)
		}, "sensor", 30, 300},
		{"filter of IPv6", func(s *models.Session) {
			s.Filter = match(models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("::/0")}})
		}, "sensor", 0, 0},
		// Outer Ethernet, IPv4, GRE with a sequence number, and ERSPAN of type II or III.
		{"ERSPAN II", func(s *models.Session) { s.Destination = erspan(2) }, "receiver", 40, 300 + 14 + 20 + 8 + 8},
		{"ERSPAN III", func(s *models.Session) { s.Destination = erspan(3) }, "receiver", 40, 300 + 14 + 20 + 8 + 12},
		{"ERSPAN, truncated", func(s *models.Session) { s.Destination, s.TruncateTo = erspan(2), 200 }, "receiver", 40, 200 + 14 + 20 + 8 + 8},
		{"ERSPAN with a filter", func(s *models.Session) {
			s.Destination, s.Filter = erspan(2), match(models.Match{Proto: "udp", Src: models.Prefix{Prefix: netip.MustParsePrefix("0.0.0.0/0")}})
		}, "receiver", 10, 300 + 14 + 20 + 8 + 8},
		{"ERSPAN, shut", func(s *models.Session) { s.Destination, s.Shutdown = erspan(2), true }, "receiver", 0, 0},
		{"RSPAN", func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		}, "remote", 40, 300},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			s := models.Session{Device: "sw1", Number: 1, Sources: []models.Source{src(1, models.Rx)},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(3)}}}
			tt.give(&s)
			s = s.Normalize()
			far := models.Session{Device: "sw2", Number: 1, Sources: []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(3)}}}.Normalize()
			for name, s := range map[string]*models.Session{"sw1": &s, "sw2": &far} {
				p.must(p.dev[name].Configure(editLines(t, models.Facts{}, models.Change{Op: models.Create, After: s})...))
			}
			a, b := p.hosts["near"], p.hosts["far"]
			for i := range 40 {
				if i%4 == 3 {
					p.send(a, ipv4(a, b, 17, 53, 300))
				} else {
					p.send(a, ipv4(a, b, 6, 443, 300))
				}
			}
			for range 20 {
				p.send(b, ipv4(b, a, 6, 443, 300))
			}
			got := p.hosts[tt.at].Captured("eth0")
			if len(got) != tt.copies {
				t.Errorf("%d copies; want %d", len(got), tt.copies)
			}
			for _, c := range got {
				if len(c.Frame) != tt.size {
					t.Fatalf("a copy has %d bytes; want %d", len(c.Frame), tt.size)
				}
			}
			// The traffic itself is unhurt, and no other host receives a copy.
			for name, want := range map[string]int{"near": 20, "far": 40, "sensor": 0, "receiver": 0, "remote": 0} {
				if n := len(p.hosts[name].Captured("eth0")); name != tt.at && n != want {
					t.Errorf("%s received %s frames; want %d", name, strconv.Itoa(n), want)
				}
			}
		})
	}
}
