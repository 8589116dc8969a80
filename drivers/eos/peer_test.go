package eos_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/eos"
	peer "github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// These tests type lines into the simulated switch, whose grammar and whose
// running configuration are by another author, without a connection.

func newDevice(t testing.TB, ports int, config string) (*peer.Device, *fabric.Switch) {
	t.Helper()
	sw, err := fabric.New().AddSwitch("leaf1")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= ports; i++ {
		if err := sw.AddPort(fmt.Sprintf("Ethernet%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	dev, err := peer.New(peer.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "right"}, StartupConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	return dev, sw
}

func editLines(t testing.TB, cs ...models.Change) []string {
	t.Helper()
	sc, err := eos.Dialect{}.Render(models.ChangeSet{Device: "leaf1", Changes: cs}, drivers.RenderOptions{Tag: "t"})
	if err != nil {
		t.Fatal(err)
	}
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
	for _, r := range (eos.Dialect{}).Reads() {
		rs = append(rs, transport.Reply{Request: r, Err: "% Invalid input"})
	}
	rs[0].Text, rs[0].Err = dev.RunningConfig(), ""
	st, err := eos.Dialect{}.Parse("leaf1", rs)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rs[0].Text)
	}
	return st
}

// TestRandomSessions goes from one random session to another and compares what the
// switch has, and what the dialect reads, with what was wanted.
func TestRandomSessions(t *testing.T) {
	dev, sw := newDevice(t, 24, "vrf instance MGMT\ninterface Ethernet23\n channel-group 1 mode on\ninterface Ethernet24\n channel-group 2 mode on\n")
	empty := dev.RunningConfig()
	rnd := rand.New(rand.NewPCG(3, 4))
	var before *models.Session
	for i := range 1500 {
		after := randomSession(rnd)
		if why := (eos.Dialect{}).Check(after); len(why) > 0 {
			continue
		}
		ch := models.Change{Op: models.Create, After: &after}
		if before != nil {
			ch = models.Change{Op: models.Update, Before: before, After: &after}
		}
		lines := editLines(t, ch)
		if err := dev.Configure(lines...); err != nil {
			t.Fatalf("session %d: %v\n%s", i, err, strings.Join(lines, "\n"))
		}
		got := seen(t, dev).Sessions
		if len(got) != 1 || !models.SameConfig(after, got[0]) {
			t.Fatalf("session %d is read as another (-want +got):\n%s\n%s", i, cmp.Diff([]models.Session{after}, got, cmpAddr), dev.RunningConfig())
		}
		has := truth(t, dev, sw)
		has[0].Device = "leaf1"
		if !models.SameConfig(after, has[0]) {
			t.Fatalf("session %d is another on the switch (-want +got):\n%s\n%s", i, cmp.Diff(after, has[0].Normalize(), cmpAddr), strings.Join(lines, "\n"))
		}
		if rnd.IntN(10) == 0 {
			lines := editLines(t, models.Change{Op: models.Delete, Before: &got[0]})
			if err := dev.Configure(lines...); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(empty, dev.RunningConfig()); d != "" {
				t.Fatalf("session %d left something behind (-before +after):\n%s", i, d)
			}
			before = nil
			continue
		}
		n := got[0].Normalize()
		before = &n
	}
}

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

func randomSession(rnd *rand.Rand) models.Session {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	s := models.Session{Device: "leaf1", Name: "sp-x", Role: models.RoleLocal}
	for i := 1; i <= 15; i++ {
		if rnd.IntN(3) == 0 {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: fmt.Sprintf("Ethernet%d", i), Direction: models.Direction(1 + rnd.IntN(3))})
		}
	}
	if len(s.Sources) == 0 || rnd.IntN(4) == 0 {
		s.Sources = append(s.Sources, models.Source{Kind: models.SourceLAG, Name: "Port-Channel1", Direction: models.Rx})
	}
	switch rnd.IntN(4) {
	case 0:
		s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{
			Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr(pick("10.0.0.9", "10.0.0.10")),
			TTL: uint8(rnd.IntN(256)), DSCP: uint8(rnd.IntN(64)), VRF: pick("", "MGMT"), Key: rnd.Uint32() * uint32(rnd.IntN(2))}}
	case 1:
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet20", "Port-Channel2"}}
	default:
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{pick("Ethernet20", "Ethernet21")}}
	}
	if rnd.IntN(2) == 0 {
		s.Filter = randomFilter(rnd)
	}
	s.TruncateTo = uint16(rnd.IntN(200) * rnd.IntN(2))
	s.SampleOneIn = uint32(rnd.IntN(50) * rnd.IntN(2))
	return s.Normalize()
}

// randomFilter favours ports that EOS shows by name.
func randomFilter(rnd *rand.Rand) []models.Rule {
	ports := []uint16{22, 23, 53, 67, 68, 80, 123, 161, 179, 443, 520, 639, 3784, 8080}
	ranges := func() []models.Range {
		var out []models.Range
		for range rnd.IntN(3) {
			a := ports[rnd.IntN(len(ports))]
			out = append(out, models.Range{First: a, Last: a + uint16(rnd.IntN(2)*7)})
		}
		return out
	}
	nets := [][]string{{"0.0.0.0/0", "10.0.0.0/8", "10.1.1.1/32", "192.168.4.0/22"}, {"::/0", "2001:db8::/32", "2001:db8::1/128"}}[rnd.IntN(2)]
	var rules []models.Rule
	for range 1 + rnd.IntN(4) {
		m := models.Match{Proto: []string{"", "tcp", "udp", "gre", "ospf", "vrrp", "igmp", "pim", "ah", "99"}[rnd.IntN(10)]}
		m.Src = models.Prefix{Prefix: netip.MustParsePrefix(nets[rnd.IntN(len(nets))])}
		if rnd.IntN(2) == 0 {
			m.Dst = models.Prefix{Prefix: netip.MustParsePrefix(nets[rnd.IntN(len(nets))])}
		}
		if m.Proto == "tcp" || m.Proto == "udp" {
			m.Sport, m.Dport = ranges(), ranges()
		}
		rules = append(rules, models.Rule{Action: models.Action(1 + rnd.IntN(2)), Match: m})
	}
	return rules
}

// TestByHand changes a session of ours by hand: the change is seen, taken away by
// the next plan, and put back verbatim by the way back.
func TestByHand(t *testing.T) {
	ours := models.Session{Device: "leaf1", Name: "sp-x", Role: models.RoleLocal, Intent: "x",
		Sources:     []models.Source{{Kind: models.SourcePort, Name: "Ethernet1", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet2"}},
		Filter:      []models.Rule{{Action: models.Include, Match: models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}},
	}.Normalize()
	tests := []struct {
		name  string
		lines []string
	}{
		{"a source", []string{"monitor session sp-x source Ethernet3 tx"}},
		{"another direction", []string{"monitor session sp-x source Ethernet1 both"}},
		{"a destination", []string{"monitor session sp-x destination Ethernet4"}},
		{"the CPU", []string{"monitor session sp-x destination Cpu"}},
		{"a line outside of the model", []string{"monitor session sp-x header remove size 14"}},
		{"a rate limit", []string{"monitor session sp-x rate-limit per-ingress-chip 100 kbps"}},
		{"truncation to the platform's size", []string{"monitor session sp-x truncate"}},
		{"an entry of the access list", []string{"ip access-list sp-x", "20 permit udp any any eq ntp"}},
		{"a remark in the access list", []string{"ip access-list sp-x", "5 remark mine"}},
		{"another access list", []string{"ip access-list other", "permit ip any any", "exit", "monitor session sp-x ip access-group other"}},
		{"no access list", []string{"no monitor session sp-x ip access-group"}},
		{"a source's own access list", []string{"no monitor session sp-x ip access-group", "no monitor session sp-x source Ethernet1", "monitor session sp-x source Ethernet1 rx ip access-group sp-x priority 5"}},
	}
	records := []models.Record{{Session: ours, Intent: "x"}}
	all := func(string) bool { return true }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev, _ := newDevice(t, 8, "")
			configure := func(lines []string) {
				t.Helper()
				if err := dev.Configure(lines...); err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
				}
			}
			configure(editLines(t, models.Change{Op: models.Create, After: &ours}))
			clean := dev.RunningConfig()
			configure(tt.lines)
			changed := dev.RunningConfig()
			if cmp.Equal(clean, changed) {
				t.Fatal("the lines change nothing: the test is none")
			}
			st := plan.MarkOwned(seen(t, dev), records)
			cs := plan.Diff([]models.Session{ours}, st, models.GrainUpdate, all)
			if cs.Empty() {
				t.Fatalf("the change is not seen:\n%s", changed)
			}
			configure(editLines(t, cs.Changes...))
			if left := plan.Diff([]models.Session{ours}, plan.MarkOwned(seen(t, dev), records), models.GrainUpdate, all); !left.Empty() {
				t.Errorf("the change is not taken away:\n%s", dev.RunningConfig())
			}
			configure(editLines(t, plan.Back(cs, seen(t, dev)).Changes...))
			if d := cmp.Diff(changed, dev.RunningConfig()); d != "" {
				t.Errorf("the way back is not exact (-before +after):\n%s", d)
			}
		})
	}
}

// TestStrangersAccessList: an access list with a name of ours that nobody uses is
// seen as a stranger, so that a plan is refused and does not add to it.
func TestStrangersAccessList(t *testing.T) {
	dev, _ := newDevice(t, 4, "ip access-list sp-x\n 10 permit ip any any\n")
	st := plan.MarkOwned(seen(t, dev), nil)
	want := models.Session{Device: "leaf1", Name: "sp-x", Intent: "x", Role: models.RoleLocal,
		Sources:     []models.Source{{Kind: models.SourcePort, Name: "Ethernet1", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet2"}}}
	net := &models.Network{Devices: []models.Device{{ID: "leaf1", Platform: eos.Key}}}
	found := plan.CheckState(net, func(models.DeviceID) plan.Platform { return eos.Dialect{} }, nil, []models.Session{want},
		map[models.DeviceID]models.DeviceState{"leaf1": st}, func(string) bool { return false }, plan.Policy{}).Errors()
	if len(found) != 1 || found[0].Rule != "foreign-session" {
		t.Errorf("found %v; want one foreign-session", found)
	}
	// Adopted, it can be deleted.
	for _, s := range st.Sessions {
		if err := dev.Configure(editLines(t, models.Change{Op: models.Delete, Before: &s})...); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(dev.RunningConfig(), "access-list") {
		t.Errorf("the access list is still there:\n%s", dev.RunningConfig())
	}
}

// TestGoldenIsAccepted types the scripts of the golden files into the switch.
func TestGoldenIsAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.ProjectRoot(t), "testdata", "golden", eos.Key, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	typed := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dev, _ := newDevice(t, 52, "vrf instance MGMT\ninterface Ethernet49\n channel-group 1 mode on\n")
			section := ""
			var lines []string
			for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				switch {
				case strings.HasPrefix(line, "-- "):
					section = line
				case section != "-- script --" && section != "-- undo --":
				case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "configure session "), strings.HasPrefix(line, "commit"):
				default:
					lines = append(lines, line)
				}
			}
			typed += len(lines)
			if err := dev.Configure(lines...); err != nil {
				t.Error(err)
			}
		})
	}
	if typed < 50 {
		t.Errorf("only %d lines were typed", typed)
	}
}
