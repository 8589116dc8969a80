package iosxe_test

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
	"github.com/spanctl/spanctl/drivers/iosxe"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	peer "github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// These tests type lines into the simulated switch, whose grammar and whose
// running configuration are by another author.

func newDevice(t testing.TB, names []string, config string, edits ...func(*peer.Options)) (*peer.Device, *fabric.Switch) {
	t.Helper()
	sw, err := fabric.New().AddSwitch("sw1")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := sw.AddPort(n); err != nil {
			t.Fatal(err)
		}
	}
	o := peer.Options{Hostname: "sw1", Switch: sw, Users: map[string]string{"admin": "right"}, StartupConfig: config, HeaderTypeIII: true}
	for _, e := range edits {
		e(&o)
	}
	dev, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	return dev, sw
}

func editLines(t testing.TB, facts models.Facts, cs ...models.Change) []string {
	t.Helper()
	sc, err := iosxe.Dialect{}.Render(models.ChangeSet{Device: "sw1", Changes: cs}, drivers.RenderOptions{Facts: facts})
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
	for _, r := range (iosxe.Dialect{}).Reads() {
		rs = append(rs, transport.Reply{Request: r, Err: "% Invalid input"})
	}
	rs[0].Text, rs[0].Err = dev.RunningConfig(), ""
	st, err := iosxe.Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rs[0].Text)
	}
	return st
}

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

const bedConfig = `vtp mode transparent
vlan 10,20
vlan 900
 remote-span
interface GigabitEthernet1/0/23
 channel-group 1 mode on
`

// TestRandomSessions goes from one random session to another and compares what the
// switch has, and what the dialect reads, with what was wanted.
func TestRandomSessions(t *testing.T) {
	dev, sw := newDevice(t, ports(1, 24), bedConfig)
	b := &bed{dev: dev, sw: sw}
	empty := dev.RunningConfig()
	rnd := rand.New(rand.NewPCG(3, 4))
	var before *models.Session
	taken := 0
	for i := range 1500 {
		after := randomSession(rnd)
		if why := (iosxe.Dialect{}).Check(after); len(why) > 0 {
			continue
		}
		taken++
		ch := models.Change{Op: models.Create, After: &after}
		if before != nil {
			ch = models.Change{Op: models.Update, Before: before, After: &after}
		}
		lines := editLines(t, models.Facts{}, ch)
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
			lines := editLines(t, models.Facts{}, models.Change{Op: models.Delete, Before: &got[0]})
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
	if taken < 300 {
		t.Errorf("only %d sessions were taken", taken)
	}
}

func randomSession(rnd *rand.Rand) models.Session {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	s := models.Session{Device: "sw1", Number: 1, Intent: pick("", "a", "ids-dmz")}
	direction := func() models.Direction { return models.Direction(1 + rnd.IntN(3)) }
	switch rnd.IntN(5) {
	case 0:
		s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: direction()}, {Kind: models.SourceVLAN, VLAN: 20, Direction: direction()}}
	case 1:
		s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}
	default:
		for i := 1; i <= 15; i++ {
			if rnd.IntN(3) == 0 {
				s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: port(i), Direction: direction()})
			}
		}
		if len(s.Sources) == 0 || rnd.IntN(4) == 0 {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourceLAG, Name: "Port-channel1", Direction: models.Rx})
		}
	}
	switch rnd.IntN(4) {
	case 0:
		s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr(pick("10.0.0.9", "10.0.0.10")), Version: uint8(2 + rnd.IntN(2)),
			SessionID: uint16(1 + rnd.IntN(1023)), TTL: uint8(rnd.IntN(256)), DSCP: uint8(rnd.IntN(64)), VRF: pick("", "MGMT")}}
		s.TruncateTo = uint16((176 + rnd.IntN(2000)) * rnd.IntN(2))
	case 1:
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{port(20), port(21)}}
	case 2:
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
	default:
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{pick(port(20), port(21))}}
	}
	if rnd.IntN(2) == 0 {
		s.Filter = randomFilter(rnd)
	}
	return s.Normalize()
}

// randomFilter favours ports that IOS shows by name.
func randomFilter(rnd *rand.Rand) []models.Rule {
	numbers := []uint16{20, 22, 23, 25, 49, 53, 67, 68, 69, 80, 110, 123, 161, 179, 443, 500, 514, 515, 520, 4500, 8080}
	ranges := func() []models.Range {
		var out []models.Range
		for range rnd.IntN(3) {
			a := numbers[rnd.IntN(len(numbers))]
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
// the next plan, and put back by the way back.
func TestByHand(t *testing.T) {
	flat := models.Session{Device: "sw1", Number: 3, Intent: "x",
		Sources:     []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(2)}},
		Filter:      []models.Rule{{Action: models.Include, Match: models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}},
	}.Normalize()
	typed := flat
	typed.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
		Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9"), Version: 2, SessionID: 9}}
	tests := []struct {
		name  string
		ours  models.Session
		lines []string
	}{
		{"a source", flat, []string{"monitor session 3 source interface Gi1/0/3 tx"}},
		{"another direction", flat, []string{"monitor session 3 source interface Gi1/0/1"}},
		{"a destination", flat, []string{"monitor session 3 destination interface Gi1/0/4"}},
		{"tags kept", flat, []string{"monitor session 3 destination interface Gi1/0/4 encapsulation replicate"}},
		{"ingress", flat, []string{"monitor session 3 destination interface Gi1/0/4 ingress untagged vlan 10"}},
		{"an entry of the access list", flat, []string{"ip access-list extended sp-session-3", "20 permit udp any any eq ntp"}},
		{"another access list", flat, []string{"ip access-list extended other", "permit ip any any", "exit", "monitor session 3 filter ip access-group other"}},
		{"no access list", flat, []string{"no monitor session 3 filter ip access-group sp-session-3"}},
		{"shut", typed, []string{"monitor session 3 type erspan-source", "shutdown"}},
		{"another receiver", typed, []string{"monitor session 3 type erspan-source", "destination", "ip address 10.0.0.10"}},
		{"shorter", typed, []string{"monitor session 3 type erspan-source", "destination", "mtu 200"}},
		{"a description", typed, []string{"monitor session 3 type erspan-source", "description mine now"}},
		{"no session, and its access list", flat, []string{"no monitor session 3"}},
	}
	all := func(string) bool { return true }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev, _ := newDevice(t, ports(1, 8), bedConfigWithout23)
			records := []models.Record{{Session: tt.ours, Intent: "x"}}
			configure := func(lines []string) {
				t.Helper()
				if err := dev.Configure(lines...); err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
				}
			}
			configure(editLines(t, models.Facts{}, models.Change{Op: models.Create, After: &tt.ours}))
			clean := dev.RunningConfig()
			configure(tt.lines)
			changed := dev.RunningConfig()
			if clean == changed {
				t.Fatal("the lines change nothing: the test is none")
			}
			cs := plan.Diff([]models.Session{tt.ours}, plan.MarkOwned(seen(t, dev), records), models.GrainSession, all)
			if cs.Empty() {
				t.Fatalf("the change is not seen:\n%s", changed)
			}
			configure(editLines(t, models.Facts{}, cs.Changes...))
			if left := plan.Diff([]models.Session{tt.ours}, plan.MarkOwned(seen(t, dev), records), models.GrainSession, all); !left.Empty() {
				t.Errorf("the change is not taken away:\n%s", dev.RunningConfig())
			}
			configure(editLines(t, models.Facts{}, plan.Back(cs, seen(t, dev)).Changes...))
			if d := cmp.Diff(changed, dev.RunningConfig()); d != "" {
				t.Errorf("the way back is not exact (-before +after):\n%s", d)
			}
		})
	}
}

const bedConfigWithout23 = "vlan 10,20\nvlan 900\n remote-span\n"

// TestStrangersAccessList: an access list with a name of ours that nobody uses is
// seen as a stranger, so that its number is not taken.
func TestStrangersAccessList(t *testing.T) {
	dev, _ := newDevice(t, ports(1, 4), "ip access-list extended sp-session-1\n 10 permit ip any any\n")
	st := plan.MarkOwned(seen(t, dev), nil)
	platforms := func(models.DeviceID) plan.Platform { return iosxe.Dialect{} }
	net := &models.Network{Devices: []models.Device{{ID: "sw1", Platform: iosxe.Key}}}
	wanted := []models.Session{{Device: "sw1", Intent: "x", Name: "sp-x",
		Sources:     []models.Source{{Kind: models.SourcePort, Name: port(1), Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{port(2)}}}}
	got, found := plan.Allocate(net, platforms, nil, wanted, map[models.DeviceID]models.DeviceState{"sw1": st}, nil)
	if len(found) > 0 || got[0].Number != 2 {
		t.Errorf("number %d, %v; want 2", got[0].Number, found)
	}
	for _, s := range st.Sessions { // adopted, it can be deleted
		if err := dev.Configure(editLines(t, models.Facts{}, models.Change{Op: models.Delete, Before: &s})...); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(dev.RunningConfig(), "access-list") {
		t.Errorf("the access list is still there:\n%s", dev.RunningConfig())
	}
}

// TestStrangersPutBack: what strangers have, once taken away, can be put back byte
// for byte.
func TestStrangersPutBack(t *testing.T) {
	dev, _ := newDevice(t, ports(1, 16), strings.TrimPrefix(startup, "\nvtp mode transparent")+`
 mtu 1000
 ip ttl 9
monitor session 8 source remote vlan 900
monitor session 8 destination interface Gi1/0/8 ingress untagged vlan 10
monitor session 9 type erspan-destination
 no shutdown
 destination interface Gi1/0/9
 source
  erspan-id 9
  ip address 198.51.100.1
monitor session 10 source vlan 10 rx
monitor session 10 filter ip access-group nowhere
monitor session 10 destination remote vlan 900
`)
	first := dev.RunningConfig()
	sessions := seen(t, dev).Sessions
	if len(sessions) != 6 {
		t.Errorf("%d sessions; want 6", len(sessions))
	}
	for _, s := range sessions {
		s := s.Normalize()
		if err := dev.Configure(editLines(t, models.Facts{}, models.Change{Op: models.Delete, Before: &s})...); err != nil {
			t.Fatal(err)
		}
		if dev.RunningConfig() == first {
			t.Errorf("session %d is still there", s.Number)
		}
		lines := editLines(t, models.Facts{}, models.Change{Op: models.Create, After: &s})
		if err := dev.Configure(lines...); err != nil {
			t.Fatalf("session %d: %v\n%s", s.Number, err, strings.Join(lines, "\n"))
		}
		if d := cmp.Diff(first, dev.RunningConfig()); d != "" {
			t.Errorf("session %d is not what it was (-before +after):\n%s", s.Number, d)
		}
	}
}

// TestRouter: the form of routers is chosen by what the device says of itself, and
// reads back.
func TestRouter(t *testing.T) {
	var names []string
	for i := 1; i <= 4; i++ {
		names = append(names, fmt.Sprintf("GigabitEthernet%d", i))
	}
	dev, _ := newDevice(t, names, "", func(o *peer.Options) { o.Router = true })
	empty := dev.RunningConfig()
	for _, dst := range []models.Destination{
		{Kind: models.DestinationPort, Ports: names[3:]},
		{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9"), Version: 2, SessionID: 5}},
	} {
		s := models.Session{Device: "sw1", Number: 700, Intent: "x", Destination: dst,
			Sources: []models.Source{{Kind: models.SourcePort, Name: names[0], Direction: models.Both}}}.Normalize()
		facts := models.Facts{Model: "C8000V"}
		if err := dev.Configure(editLines(t, facts, models.Change{Op: models.Create, After: &s})...); err != nil {
			t.Fatal(err)
		}
		st := seen(t, dev)
		if len(st.Sessions) != 1 || !models.SameConfig(s, st.Sessions[0]) {
			t.Errorf("read as another (-want +got):\n%s", cmp.Diff([]models.Session{s}, st.Sessions, cmpAddr))
		}
		if m := dev.MonitorSessions()[0]; !m.Enabled || m.Description != "spanctl x" {
			t.Errorf("the device has %+v", m)
		}
		if err := dev.Configure(editLines(t, facts, models.Change{Op: models.Delete, Before: &st.Sessions[0]})...); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(empty, dev.RunningConfig()); d != "" {
			t.Errorf("something is left (-before +after):\n%s", d)
		}
	}
}

// TestGoldenIsAccepted types the scripts of the golden files into the switch.
func TestGoldenIsAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.ProjectRoot(t), "testdata", "golden", iosxe.Key, "*.txtar"))
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
			devs := make(map[string]*peer.Device)
			var dev *peer.Device
			var lines []string
			section := ""
			for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				name, isDevice := strings.CutPrefix(line, "# ")
				switch {
				case strings.HasPrefix(line, "-- "):
					section = line
				case section != "-- script --" && section != "-- undo --":
				case isDevice:
					if devs[name] == nil {
						devs[name], _ = newDevice(t, ports(1, 52), "vlan 100,101,102\nvlan 900\n remote-span\ninterface GigabitEthernet1/0/49\n channel-group 1 mode on\n"+
							"monitor session 1 source interface Gi1/0/30\nmonitor session 1 destination interface Gi1/0/31\n")
						if _, updated, _ := strings.Cut(string(text), "-- script --"); strings.Contains(updated, "no monitor session 2\nmonitor session 2") {
							// What was there before the update.
							if err := devs[name].Configure("ip access-list extended sp-session-2", "exit", "monitor session 2 source interface Gi1/0/1"); err != nil {
								t.Fatal(err)
							}
						}
					}
					dev = devs[name]
				case line == "configure terminal":
				case line == "end":
					typed += len(lines)
					if err := dev.Configure(lines...); err != nil {
						t.Error(err)
					}
					lines = nil
				default:
					lines = append(lines, line)
				}
			}
		})
	}
	if typed < 50 {
		t.Errorf("only %d lines were typed", typed)
	}
}
