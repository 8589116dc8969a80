package ovs_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// change makes a change by the driver, and looks that the database has it.
func (h *host) change(d drivers.Driver, c models.Change) {
	h.t.Helper()
	st, err := d.Observe(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	cs := models.ChangeSet{Device: "hv1", Changes: []models.Change{c}}
	sc, err := d.Render(cs, drivers.RenderOptions{Tag: "t", Facts: st.Facts})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := d.Apply(h.t.Context(), drivers.Checkpoint{Device: "hv1", Changes: cs, Script: sc}); err != nil {
		h.t.Fatal(err)
	}
}

func port(name string, d models.Direction) models.Source {
	return models.Source{Kind: models.SourcePort, Name: name, Direction: d}
}

func session(f func(*models.Session)) models.Session {
	s := models.Session{Device: "hv1", Name: "sp-x", Role: models.RoleLocal, Sources: []models.Source{port("e1", models.Rx)},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"tap"}}}
	f(&s)
	return s.Normalize()
}

// TestCopies makes mirrors by the driver on the real switch, sends frames and counts
// what comes out: that the database takes a mirror does not show that it copies. Both
// ways, flows are cached before the change; and the database is afterwards, byte for
// byte, what it was.
func TestCopies(t *testing.T) {
	vlan := func(v uint16) models.Source {
		return models.Source{Kind: models.SourceVLAN, VLAN: v, Direction: models.Rx}
	}
	// near (e1) sends 6 frames to far (e2), of 100 to 105 bytes, and receives 4; it sends 3
	// of VLAN 10 and 2 of VLAN 20 to far; and 2 of the RSPAN VLAN come by trunk and flood.
	// All ports but trunk carry all VLANs.
	tests := []struct {
		name   string
		give   func(*models.Session)
		copies int // at tap
		trunk  int // at trunk, beside the traffic
		look   func(t *testing.T, copies [][]byte)
	}{
		{"rx", func(*models.Session) {}, 11, 0, nil},
		{"tx", func(s *models.Session) { s.Sources[0].Direction = models.Tx }, 6, 0, nil},
		{"both", func(s *models.Session) { s.Sources[0].Direction = models.Both }, 17, 0, nil},
		{"in by one source and out by another is one copy", func(s *models.Session) {
			s.Sources = append(s.Sources, port("e2", models.Tx))
		}, 13, 0, nil},
		{"VLAN", func(s *models.Session) { s.Sources = []models.Source{vlan(10)} }, 3, 0, func(t *testing.T, copies [][]byte) {
			for _, c := range copies {
				if vlanOf(c) != 10 {
					t.Errorf("a copy of VLAN %d", vlanOf(c))
				}
			}
		}},
		{"two VLANs", func(s *models.Session) { s.Sources = []models.Source{vlan(10), vlan(20)} }, 5, 0, nil},
		{"port and VLAN", func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(20)}}}}
		}, 2, 0, nil},
		{"port that the VLAN does not come by", func(s *models.Session) {
			s.Sources = []models.Source{port("trunk", models.Rx)}
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(20)}}}}
		}, 0, 0, nil},
		{"truncated", func(s *models.Session) { s.TruncateTo = 64 }, 11, 0, func(t *testing.T, copies [][]byte) {
			for _, c := range copies {
				if len(c) != 64 {
					t.Errorf("a copy of %d bytes", len(c))
				}
			}
		}},
		{"RSPAN source", func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		}, 11, 11, func(t *testing.T, copies [][]byte) {
			for _, c := range copies {
				if vlanOf(c) != 900 {
					t.Errorf("a copy in VLAN %d", vlanOf(c))
				}
			}
		}},
		{"RSPAN destination", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}
		}, 2, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, "e1", "e2", "tap", "trunk")
			h.vsctl("set", "Port", "trunk", "trunks=900", "vlan_mode=trunk")
			d, err := h.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			// The traffic, and what came out by tap and trunk.
			traffic := func() (tap, trunk [][]byte) {
				t.Helper()
				n := make(map[string]int)
				send := func(from string, f []byte) {
					out := h.exchange(from, f)
					for p, fs := range out {
						n[p] += len(fs)
					}
					tap, trunk = append(tap, out["tap"]...), append(trunk, out["trunk"]...)
				}
				for i := range 6 {
					send("e1", frame(1, 2, byte(i), 100+i))
				}
				for i := range 4 {
					send("e2", frame(2, 1, byte(i), 100))
				}
				for i := range 5 {
					send("e1", tagged(frame(1, 2, byte(i), 100), []uint16{10, 20}[i/3]))
				}
				for i := range 2 {
					send("trunk", tagged(frame(5, 6, byte(i), 100), 900))
				}
				if n["e2"] < 11 || n["e1"] < 4 {
					t.Errorf("the traffic is hurt: %v", n)
				}
				return tap, trunk
			}
			// Addresses are learned in every VLAN, so that nothing floods but the frames of
			// the RSPAN VLAN, and all flows are cached.
			for _, v := range []uint16{0, 10, 20} {
				for _, p := range []struct{ port, a, b byte }{{1, 1, 2}, {2, 2, 1}, {1, 1, 2}} {
					f := frame(p.a, p.b, 0, 60)
					if v != 0 {
						f = tagged(f, v)
					}
					h.exchange([]string{"", "e1", "e2"}[p.port], f)
				}
			}
			h.purge()
			tap0, trunk0 := traffic()
			before := h.config()

			s := session(tt.give)
			h.change(d, models.Change{Op: models.Create, After: &s})
			tap, trunk := traffic()
			if s.Destination.Kind == models.DestinationPort {
				tap0 = nil // it is reserved for copies now
			}
			if got := len(tap) - len(tap0); got != tt.copies {
				t.Errorf("%d copies at tap; want %d", got, tt.copies)
			}
			if got := len(trunk) - len(trunk0); got != tt.trunk {
				t.Errorf("%d copies at trunk; want %d", got, tt.trunk)
			}
			if tt.look != nil {
				tt.look(t, slices.Concat(tap, trunk))
			}
			st, err := d.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Sessions) != 1 || !models.SameConfig(s, st.Sessions[0]) {
				t.Errorf("it is read as another (-want +got):\n%s", cmp.Diff([]models.Session{s}, st.Sessions, cmpAddr))
			}

			h.change(d, models.Change{Op: models.Delete, Before: &s})
			tapBack, trunkBack := traffic()
			// tap takes part in the traffic again: what floods comes out of it, and no more.
			if len(tapBack) != 2 || len(trunkBack) != len(trunk0) {
				t.Errorf("%d and %d frames at tap and trunk after the removal; want 2 and %d", len(tapBack), len(trunkBack), len(trunk0))
			}
			if after := h.config(); after != before {
				t.Errorf("the database is another (-before +after):\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
			}
		})
	}
}

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

func vlanOf(f []byte) int {
	if binary.BigEndian.Uint16(f[12:]) != 0x8100 {
		return 0
	}
	return int(binary.BigEndian.Uint16(f[14:]) & 0xfff)
}

// TestTunnels sends copies into tunnels that the driver made, and lets tshark say what
// came out of the switch.
func TestTunnels(t *testing.T) {
	_, err := exec.LookPath("tshark")
	require.Need(t, require.Tshark, err == nil, "an independent decoder of tunnels")
	// Open vSwitch takes an outer source address that is one of the kernel's; any other
	// system than this test's has more of them than the loopback address.
	from, to := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.51.100.9")
	tests := []struct {
		name   string
		kind   models.DestinationKind
		tunnel models.Tunnel
		dir    models.Direction
		fields string // of tshark
		want   string // of each copy
		size   int    // of each copy, outer headers included
	}{
		{"erspan 2", models.DestinationERSPAN, models.Tunnel{Version: 2, SessionID: 100}, models.Rx,
			"gre.proto erspan.version erspan.spanid", "0x88be 1 100", 100 + 14 + 20 + 8 + 8},
		{"erspan 3 of received frames", models.DestinationERSPAN, models.Tunnel{Version: 3, SessionID: 1023}, models.Rx,
			"gre.proto erspan.version erspan.spanid erspan.direction", "0x22eb 2 1023 0", 100 + 14 + 20 + 8 + 12},
		{"erspan 3 of sent frames", models.DestinationERSPAN, models.Tunnel{Version: 3, SessionID: 7}, models.Tx,
			"gre.proto erspan.version erspan.spanid erspan.direction", "0x22eb 2 7 1", 100 + 14 + 20 + 8 + 12},
		{"gre", models.DestinationGRE, models.Tunnel{}, models.Rx, "gre.proto gre.flags.key", "0x6558 0", 100 + 14 + 20 + 4},
		{"gre with all", models.DestinationGRE, models.Tunnel{Key: 300, TTL: 9, DSCP: 10}, models.Rx,
			"gre.proto gre.key ip.dsfield.dscp", "0x6558 0x0000012c 10", 100 + 14 + 20 + 8},
		{"vxlan", models.DestinationVXLAN, models.Tunnel{VNI: 5000}, models.Rx, "udp.dstport vxlan.vni", "4789 5000", 100 + 14 + 20 + 8 + 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, "e1", "e2", "tap")
			if err := h.sw.AddUnderlay("under", "up", netip.MustParsePrefix("198.51.100.1/24"), "02:00:00:00:00:99", to); err != nil {
				t.Fatal(err)
			}
			d, err := h.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			before := h.config()
			s := session(func(s *models.Session) {
				tun := tt.tunnel
				tun.Source, tun.Destination = from, to
				s.Sources[0].Direction = tt.dir
				s.Destination = models.Destination{Kind: tt.kind, Tunnel: &tun}
			})
			h.change(d, models.Change{Op: models.Create, After: &s})
			st, err := d.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Sessions) != 1 || !models.SameConfig(s, st.Sessions[0]) {
				t.Errorf("it is read as another (-want +got):\n%s", cmp.Diff([]models.Session{s}, st.Sessions, cmpAddr))
			}
			if got := st.Sessions[0].Status; got.State != models.OperUp {
				t.Errorf("its state is %s (%s)", got.State, got.Reason)
			}
			h.exchange("e1", frame(1, 2, 0, 60))
			h.exchange("e2", frame(2, 1, 0, 60))
			h.exchange("e1", frame(1, 2, 0, 60))
			h.purge()
			var packets [][]byte
			for i := range 3 {
				packets = append(packets, h.exchange("e1", frame(1, 2, byte(i), 100))["up"]...)
				packets = append(packets, h.exchange("e2", frame(2, 1, byte(i), 100))["up"]...)
			}
			if len(packets) != 3 {
				t.Fatalf("%d copies; want 3", len(packets))
			}
			ttl := "64"
			if tt.tunnel.TTL != 0 {
				ttl = "9"
			}
			want := strings.TrimSpace(strings.Repeat("127.0.0.1 198.51.100.9 "+ttl+" "+tt.want+"\n", 3))
			if d := cmp.Diff(want, tshark(t, packets, "ip.src ip.dst ip.ttl "+tt.fields)); d != "" {
				t.Errorf("tshark reads (-want +got):\n%s", d)
			}
			for _, p := range packets {
				if len(p) != tt.size {
					t.Errorf("a copy has %d bytes with its headers; want %d", len(p), tt.size)
				}
			}
			h.change(d, models.Change{Op: models.Delete, Before: &s})
			if n := len(h.exchange("e1", frame(1, 2, 0, 60))["up"]); n != 0 {
				t.Errorf("%d copies after the removal", n)
			}
			if after := h.config(); after != before {
				t.Errorf("the database is another (-before +after):\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
			}
		})
	}
}

// tshark reads the fields of frames: a line for each, outermost values first and alone.
func tshark(t testing.TB, frames [][]byte, fields string) string {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0)
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	path := filepath.Join(t.TempDir(), "copies.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", path, "-T", "fields", "-E", "separator=/s", "-E", "occurrence=f"}
	for _, f := range strings.Fields(fields) {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// TestLimit: a bridge takes 32 mirrors, and of one more only a log tells, which is why
// the driver counts.
func TestLimit(t *testing.T) {
	h := newHost(t, "e1", "tap")
	args := []string{"--", "--id=@s", "get", "Port", "e1", "--", "--id=@o", "get", "Port", "tap"}
	for i := range 33 {
		id := fmt.Sprint("@m", i)
		args = append(args, "--", "--id="+id, "create", "Mirror", fmt.Sprint("name=m", i), "select_src_port=@s", "output_port=@o", "--", "add", "Bridge", "br0", "mirrors", id)
	}
	h.vsctl(args...)
	log, err := os.ReadFile(filepath.Join(h.sw.Dir(), "ovs-vswitchd.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "maximum of 32 port mirrors reached"); n != 1 {
		t.Errorf("the log tells of %d mirrors too many; want 1", n)
	}
	d, err := h.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	st, err := d.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Facts.MaxSessions != 33 {
		t.Errorf("%d mirrors fit, as the driver sees it; want no more than are there", st.Facts.MaxSessions)
	}
}
