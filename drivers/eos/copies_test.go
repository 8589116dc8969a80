package eos_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	peer "github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/models"
)

// ipv4 is a frame of size bytes from one host to another, with IPv4 and the ports
// of TCP or UDP.
func ipv4(from, to *fabric.Host, proto byte, src, dst string, dport uint16, size int) []byte {
	d, s := to.MAC("eth0"), from.MAC("eth0")
	b := make([]byte, size)
	copy(b, d[:])
	copy(b[6:], s[:])
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(size-14))
	a, z := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(ip[12:], a[:])
	copy(ip[16:], z[:])
	binary.BigEndian.PutUint16(ip[20:], 40000)
	binary.BigEndian.PutUint16(ip[22:], dport)
	return b
}

// TestCopies renders sessions, types them into the switch and counts what frames
// come out at the far end: that a line is taken does not show that it does what the
// session says.
func TestCopies(t *testing.T) {
	src := func(name string, d models.Direction) models.Source {
		kind := models.SourcePort
		if name == "Port-Channel1" {
			kind = models.SourceLAG
		}
		return models.Source{Kind: kind, Name: name, Direction: d}
	}
	gre := func(f func(*models.Tunnel)) models.Destination {
		tun := models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("192.0.2.9")}
		f(&tun)
		return models.Destination{Kind: models.DestinationGRE, Tunnel: &tun}
	}
	// Each member of the LAG receives some frames for far.
	const perMember = 3
	// near sends 40 frames to far and receives 20 from it, all of 300 bytes: TCP to
	// port 443, but every fourth of near's is UDP to port 53.
	tests := []struct {
		name   string
		give   func(*models.Session)
		copies int
		size   int // of each copy
	}{
		{"rx", func(*models.Session) {}, 40, 300},
		{"tx", func(s *models.Session) { s.Sources = []models.Source{src("Ethernet1", models.Tx)} }, 20, 300},
		{"both", func(s *models.Session) { s.Sources = []models.Source{src("Ethernet1", models.Both)} }, 60, 300},
		{"two sources see a frame twice", func(s *models.Session) {
			s.Sources = []models.Source{src("Ethernet1", models.Rx), src("Ethernet2", models.Tx)}
		}, 80 + 2*perMember, 300},
		{"LAG", func(s *models.Session) { s.Sources = []models.Source{src("Port-Channel1", models.Rx)} }, 2 * perMember, 300},
		{"filter", func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Proto: "udp", Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/24")}, Dport: []models.Range{models.One(53)}}}}
		}, 10, 300},
		{"filter with an exclusion", func(s *models.Session) {
			s.Filter = []models.Rule{
				{Action: models.Exclude, Match: models.Match{Proto: "udp", Dport: []models.Range{{First: 50, Last: 60}}}},
				{Action: models.Include, Match: models.Match{Dst: models.Prefix{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}},
			}
		}, 30, 300},
		{"filter of IPv6", func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("::/0")}}}}
		}, 0, 0},
		{"truncate", func(s *models.Session) { s.TruncateTo = 128 }, 40, 128},
		{"sample", func(s *models.Session) { s.SampleOneIn = 8 }, 5, 300},
		// Outer Ethernet, IPv4 and GRE headers, and the key.
		{"gre", func(s *models.Session) { s.Destination = gre(func(*models.Tunnel) {}) }, 40, 300 + 14 + 20 + 4},
		{"gre with a key, truncated", func(s *models.Session) {
			s.Destination, s.TruncateTo = gre(func(t *models.Tunnel) { t.Key = 7 }), 64
		}, 40, 64 + 14 + 20 + 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			s := models.Session{Device: "leaf1", Name: "sp-x", Role: models.RoleLocal, Sources: []models.Source{src("Ethernet1", models.Rx)},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet3"}}}
			tt.give(&s)
			s = s.Normalize()
			if err := b.dev.Configure(editLines(t, models.Change{Op: models.Create, After: &s})...); err != nil {
				t.Fatal(err)
			}
			sensor := b.hosts["Ethernet3"]
			if s.Destination.Kind == models.DestinationGRE {
				sensor = b.hosts["Ethernet4"]
			}
			near, far := b.hosts["Ethernet1"], b.hosts["Ethernet2"]
			for i := range 40 {
				if i%4 == 3 {
					b.send(near, ipv4(near, far, 17, "10.0.0.1", "10.0.0.2", 53, 300))
				} else {
					b.send(near, ipv4(near, far, 6, "10.0.0.1", "10.0.0.2", 443, 300))
				}
			}
			for range 20 {
				b.send(far, ipv4(far, near, 6, "10.0.0.2", "10.0.0.1", 443, 300))
			}
			for range perMember {
				for _, member := range []string{"Ethernet5", "Ethernet6"} {
					b.send(b.hosts[member], ipv4(b.hosts[member], far, 6, "10.0.0.5", "10.0.0.2", 443, 300))
				}
			}
			got := sensor.Captured("eth0")
			if len(got) != tt.copies {
				t.Errorf("%d copies; want %d", len(got), tt.copies)
			}
			for _, c := range got {
				if len(c.Frame) != tt.size {
					t.Fatalf("a copy has %d bytes; want %d", len(c.Frame), tt.size)
				}
			}
			// The traffic itself is unhurt.
			if n := len(far.Captured("eth0")); n != 40+2*perMember {
				t.Errorf("far received %d frames; want %d", n, 40+2*perMember)
			}
			if n := len(near.Captured("eth0")); n != 20 {
				t.Errorf("near received %d frames; want 20", n)
			}
		})
	}
}

// bed is a switch with hosts that it has learned. The one on Ethernet4 has the
// address to which tunnels lead; Ethernet5 and 6 are a LAG.
type bed struct {
	t     testing.TB
	dev   *peer.Device
	hosts map[string]*fabric.Host
}

func newBed(t testing.TB) bed {
	t.Helper()
	b := bed{t: t, hosts: map[string]*fabric.Host{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fab := fabric.New()
	sw, err := fab.AddSwitch("leaf1")
	must(err)
	for i := 1; i <= 6; i++ {
		port := fmt.Sprintf("Ethernet%d", i)
		must(sw.AddPort(port))
		h, err := fab.AddHost("host" + fmt.Sprint(i))
		must(err)
		var addrs []netip.Prefix
		if i == 4 {
			addrs = append(addrs, netip.MustParsePrefix("192.0.2.9/24"))
		}
		must(h.AddPort("eth0", addrs...))
		must(fab.Connect(fabric.Link{A: fabric.End{Node: "leaf1", Port: port}, B: fabric.End{Node: h.Name(), Port: "eth0"}}))
		b.hosts[port] = h
	}
	b.dev, err = peer.New(peer.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "right"},
		StartupConfig: "interface Ethernet5\n channel-group 1 mode on\ninterface Ethernet6\n channel-group 1 mode on\n"})
	must(err)
	t.Cleanup(b.dev.Close)
	broadcast := slices.Repeat([]byte{0xff}, 6)
	for _, h := range []*fabric.Host{b.hosts["Ethernet1"], b.hosts["Ethernet2"]} {
		mac := h.MAC("eth0")
		b.send(h, slices.Concat(broadcast, mac[:], make([]byte, 48)))
	}
	for _, h := range b.hosts {
		h.ResetCapture()
	}
	return b
}

func (b bed) send(from *fabric.Host, frame []byte) {
	b.t.Helper()
	if err := from.Send("eth0", frame); err != nil {
		b.t.Fatal(err)
	}
}
