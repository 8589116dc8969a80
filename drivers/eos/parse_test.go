package eos

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

const head = "! device: leaf1 (DCS-7050SX3-48YC8, EOS-4.29.2F)\n!\n"

// replies gives a running configuration of body, and refusals of all else.
func replies(body string) []transport.Reply {
	var out []transport.Reply
	for _, r := range (Dialect{}).Reads() {
		out = append(out, transport.Reply{Request: r, Err: "% Invalid input"})
	}
	out[readConfig] = transport.Reply{Request: out[readConfig].Request, Text: body}
	return out
}

func parse(t testing.TB, body string) models.DeviceState {
	t.Helper()
	st, err := Dialect{}.Parse("leaf1", replies(head+body+"end\n"))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

var cmpPrefix = cmp.Comparer(func(a, b models.Prefix) bool { return a == b })
var cmpAddr = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpPrefix}

func port(name string, d models.Direction) models.Source {
	return models.Source{Kind: models.SourcePort, Name: name, Direction: d}
}

func TestParseSessions(t *testing.T) {
	base := func(f func(*models.Session)) []models.Session {
		s := models.Session{Device: "leaf1", Name: "s1", Role: models.RoleLocal}
		f(&s)
		return []models.Session{s}
	}
	gre := func(f func(*models.Tunnel)) models.Destination {
		tun := models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")}
		f(&tun)
		return models.Destination{Kind: models.DestinationGRE, Tunnel: &tun}
	}
	tests := []struct {
		name, give string
		want       []models.Session
	}{
		{"rx", "monitor session s1 source Ethernet1 rx\n", base(func(s *models.Session) { s.Sources = []models.Source{port("Ethernet1", models.Rx)} })},
		{"no direction is both", "monitor session s1 source Ethernet1\n", base(func(s *models.Session) { s.Sources = []models.Source{port("Ethernet1", models.Both)} })},
		{"list and range", "monitor session s1 source Ethernet3, Ethernet5-6 tx\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port("Ethernet3", models.Tx), port("Ethernet5", models.Tx), port("Ethernet6", models.Tx)}
		})},
		{"breakout range and bare number", "monitor session s1 source Ethernet1/1-2,4,Po7 both\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port("Ethernet1/1", models.Both), port("Ethernet1/2", models.Both), port("Ethernet4", models.Both),
				{Kind: models.SourceLAG, Name: "Port-Channel7", Direction: models.Both}}
		})},
		{"destinations", "monitor session s1 destination Ethernet48\nmonitor session s1 destination Port-Channel1\n", base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48", "Port-Channel1"}}
		})},
		{"cpu", "monitor session s1 destination Cpu\n", base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationOther, Ports: []string{"Cpu"}}
		})},
		{"cpu beside a port is outside of the model", "monitor session s1 destination Cpu\nmonitor session s1 destination Ethernet48\n", base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48"}}
			s.Extra = []string{"monitor session s1 destination Cpu"}
		})},
		{"gre", "monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9\n", base(func(s *models.Session) {
			s.Destination = gre(func(*models.Tunnel) {})
		})},
		{"gre with all options in another order", "monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 key 7 vrf MGMT protocol 0x6558 dscp 10 ttl 64\n", base(func(s *models.Session) {
			s.Destination = gre(func(t *models.Tunnel) { t.TTL, t.DSCP, t.Protocol, t.VRF, t.Key = 64, 10, 0x6558, "MGMT", 7 })
		})},
		{"a second tunnel is outside of the model", "monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9\nmonitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.8\n", base(func(s *models.Session) {
			s.Destination = gre(func(*models.Tunnel) {})
			s.Extra = []string{"monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.8"}
		})},
		{"a tunnel beside a port is outside of the model", "monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9\nmonitor session s1 destination Ethernet48\n", base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48"}}
			s.Extra = []string{"monitor session s1 destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9"}
		})},
		{"truncate and sample", "monitor session s1 truncate size 128\nmonitor session s1 sample 50\n", base(func(s *models.Session) { s.TruncateTo, s.SampleOneIn = 128, 50 })},
		{"lines outside of the model", "monitor session s1 truncate\nmonitor session s1 rate-limit per-ingress-chip 100 kbps\nmonitor session s1 header remove size 32\nmonitor session s1 encapsulation gre metadata tx\n",
			base(func(s *models.Session) {
				s.Extra = []string{"monitor session s1 truncate", "monitor session s1 rate-limit per-ingress-chip 100 kbps",
					"monitor session s1 header remove size 32", "monitor session s1 encapsulation gre metadata tx"}
			})},
		{"a source's own access list", "monitor session s1 source Ethernet5 rx ip access-group A priority 10\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port("Ethernet5", models.Rx)}
			s.Extra = []string{"monitor session s1 source Ethernet5 rx ip access-group A priority 10"}
		})},
		{"filter", "ip access-list A\n   10 permit tcp 10.0.0.0/8 any eq www https\n   20 deny ip any any\n!\nmonitor session s1 ip access-group A\n", base(func(s *models.Session) {
			s.FilterName = "A"
			s.Filter = []models.Rule{
				{Action: models.Include, Match: models.Match{Proto: "tcp", Src: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(80), models.One(443)}}},
				{Action: models.Exclude, Match: models.Match{Src: pfx("0.0.0.0/0")}},
			}
		})},
		{"filter of IPv6", "ipv6 access-list A\n   10 permit icmpv6 host 2001:db8::1 any\n!\nmonitor session s1 ipv6 access-group A\n", base(func(s *models.Session) {
			s.FilterName = "A"
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmpv6", Src: pfx("2001:db8::1/128")}}}
		})},
		{"an access list that the model cannot say", "ip access-list A\n   10 permit ip any any tracked\n!\nmonitor session s1 ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session s1 ip access-group A"}
		})},
		{"an access list that permits nothing", "ip access-list A\n   10 deny ip any any\n!\nmonitor session s1 ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session s1 ip access-group A"}
		})},
		{"an access list that is not there", "monitor session s1 ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session s1 ip access-group A"}
		})},
		{"an own access list that the model cannot say goes along", "ip access-list s1\n   10 permit ip any any log\n!\nmonitor session s1 ip access-group s1\n", base(func(s *models.Session) {
			s.Extra = []string{"ip access-list s1", "   10 permit ip any any log", "monitor session s1 ip access-group s1"}
		})},
		{"an access list with a name of ours and no session", "ip access-list sp-x\n   10 permit ip any any\n!\n", []models.Session{{
			Device: "leaf1", Name: "sp-x", Role: models.RoleLocal, Extra: []string{"ip access-list sp-x", "   10 permit ip any any"},
		}}},
		{"any other access list", "ip access-list other\n   10 permit ip any any\n!\n", nil},
		{"default is no session", "monitor session default encapsulation gre payload inner-packet\n", nil},
		{"other monitor lines", "monitor connectivity\n   vrf default\n!\n", nil},
		{"free text", "banner motd\nmonitor session s1 source Bogus\nEOF\n!\nevent-handler x\n   action bash\nmonitor session s1 bogus\n   EOF\n!\n", nil},
		{"carriage returns", "monitor session s1 source Ethernet1 rx\r\n", base(func(s *models.Session) { s.Sources = []models.Source{port("Ethernet1", models.Rx)} })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, parse(t, tt.give).Sessions, cmpAddr); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

func pfx(s string) models.Prefix { return models.Prefix{Prefix: netip.MustParsePrefix(s)} }

func TestParseErrors(t *testing.T) {
	cut := head + "monitor session s1 source Ethernet1 rx\nend\n"
	tests := []struct{ name, give, want string }{
		{"empty", "", "cut"},
		{"no end", head + "monitor session s1 source Ethernet1 rx\n", "cut"},
		{"cut in the last word", cut[:len(cut)-2], "cut"},
		{"another system", "Building configuration...\n!\nhostname x\n!\nend\n", "not the configuration of an EOS device"},
		{"unknown attribute", head + "monitor session s1 bogus 1\nend\n", `"monitor session s1 bogus 1"`},
		{"no attribute", head + "monitor session s1\nend\n", `"monitor session s1"`},
		{"source of another kind", head + "monitor session s1 source vlan 10 rx\nend\n", "not an interface"},
		{"source with a tail", head + "monitor session s1 source Ethernet1 rx bogus\nend\n", "source Ethernet1 rx bogus"},
		{"range backwards", head + "monitor session s1 source Ethernet9-3\nend\n", "Ethernet9-3"},
		{"range over two numbers", head + "monitor session s1 source Ethernet1/1-2/4\nend\n", "more than its last number"},
		{"tunnel of another mode", head + "monitor session s1 destination tunnel mode vxlan source 1.1.1.1 destination 2.2.2.2\nend\n", "not an interface"},
		{"tunnel option", head + "monitor session s1 destination tunnel mode gre source 1.1.1.1 destination 2.2.2.2 bogus 1\nend\n", "not known"},
		{"tunnel value", head + "monitor session s1 destination tunnel mode gre source 1.1.1.1 destination 2.2.2.2 dscp 64\nend\n", "dscp"},
		{"two filters", head + "monitor session s1 ip access-group A\nmonitor session s1 ipv6 access-group A\nend\n", "ipv6 access-group A"},
		{"truncate zero", head + "monitor session s1 truncate size 0\nend\n", "number"},
		{"a banner that does not end", head + "banner login\nhello\nend\n", "does not end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, err := Dialect{}.Parse("leaf1", replies(tt.give))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want one with %q", err, tt.want)
			}
			if d := cmp.Diff(models.DeviceState{}, st); d != "" {
				t.Errorf("a state came with the error:\n%s", d)
			}
		})
	}
}

func TestParsePortsAndOperation(t *testing.T) {
	rs := replies(head + `hostname leaf-1
!
vlan 10,20-21
   name DMZ
!
interface Port-Channel1
   switchport trunk allowed vlan 10,20
   switchport mode trunk
!
interface Ethernet1
   switchport access vlan 10
!
interface Ethernet2
   channel-group 1 mode active
!
interface Ethernet3
   mtu 9214
   no switchport
   ip address 10.0.0.1/31
   ipv6 address 2001:db8::/127
!
interface Ethernet4
   shutdown
!
interface Ethernet3.100
   ip address 10.9.0.1/24
!
interface Management1
   ip address 192.0.2.10/24
!
monitor session s1 source Ethernet1 rx
monitor session s1 destination Ethernet4
monitor session s2 destination Ethernet5
!
end
`)
	js := func(i int, text string) { rs[i] = transport.Reply{Request: rs[i].Request, Text: text} }
	js(readSessions, `{"sessions": {"s1": {"targetInterfaces": [{"name": "Ethernet4", "status": "active"}]}, "s2": {"targetInterfaces": [{"name": "Ethernet5", "status": "notConnected"}]}}}`)
	js(readStatus, `{"interfaceStatuses": {"Ethernet1": {"bandwidth": 10000000000, "linkStatus": "connected"}, "Ethernet4": {"bandwidth": 0, "linkStatus": "disabled"}, "Management1": {"bandwidth": 1000000000}}}`)
	js(readNeighbors, `{"lldpNeighbors": [{"port": "Ethernet3", "neighborDevice": "spine1", "neighborPort": "Ethernet1", "ttl": 120}]}`)
	js(readMACs, `{"unicastTable": {"tableEntries": [{"interface": "Ethernet1", "vlanId": 10}, {"interface": "Ethernet1", "vlanId": 20}, {"interface": "Cpu"}]}}`)
	js(readVersion, `{"version": "4.29.2F", "modelName": "DCS-7050SX3-48YC8-F", "serialNumber": "SSJ1"}`)
	st, err := Dialect{}.Parse("leaf1", rs)
	if err != nil {
		t.Fatal(err)
	}
	want := models.DeviceState{
		Device: "leaf1",
		Facts:  models.Facts{Hostname: "leaf-1", Version: "4.29.2F", Model: "DCS-7050SX3-48YC8-F", Serial: "SSJ1"},
		Sessions: []models.Session{
			{Device: "leaf1", Name: "s1", Role: models.RoleLocal, Sources: []models.Source{port("Ethernet1", models.Rx)},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet4"}}, Status: models.Status{State: models.OperUp}},
			{Device: "leaf1", Name: "s2", Role: models.RoleLocal,
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet5"}},
				Status:      models.Status{State: models.OperDown, Reason: "Ethernet5 notConnected"}},
		},
		Ports: map[string]models.Port{
			"Port-Channel1": {Name: "Port-Channel1", Mode: models.PortTrunk, TrunkVLANs: []models.Range{models.One(10), models.One(20)}},
			"Ethernet1":     {Name: "Ethernet1", Mode: models.PortAccess, AccessVLAN: 10, Oper: models.OperUp, SpeedMbps: 10000, MACs: 2},
			"Ethernet2":     {Name: "Ethernet2", Mode: models.PortAccess, AccessVLAN: 1, LAG: "Port-Channel1"},
			"Ethernet3": {Name: "Ethernet3", Mode: models.PortRouted, MTU: 9214, Neighbors: []string{"spine1 Ethernet1"},
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/31"), netip.MustParsePrefix("2001:db8::/127")}},
			"Ethernet4": {Name: "Ethernet4", Mode: models.PortAccess, AccessVLAN: 1, AdminDown: true, Oper: models.OperDown},
		},
		VLANs: map[uint16]models.VLAN{1: {}, 10: {Name: "DMZ"}, 20: {Name: "DMZ"}, 21: {Name: "DMZ"}},
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	for i := readSessions; i < readCount; i++ {
		broken := slices.Clone(rs)
		broken[i].Text = broken[i].Text[:len(broken[i].Text)-1]
		if _, err := (Dialect{}).Parse("leaf1", broken); err == nil {
			t.Errorf("cut JSON of %q gave no error", rs[i].Request.Text)
		}
	}
}

// TestParseTranscript compares with the input from which the vendor's generator
// wrote the configuration.
func TestParseTranscript(t *testing.T) {
	dir := require.Vendor(t, "transcripts", "arista_eos")
	text, err := os.ReadFile(filepath.Join(dir, "monitor-sessions.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	input, err := os.ReadFile(filepath.Join(dir, "monitor-sessions.yml"))
	if err != nil {
		t.Fatal(err)
	}
	type group struct {
		Type, Name string
		Priority   int
	}
	var in struct {
		Sessions []struct {
			Name    string `yaml:"name"`
			Sources []struct {
				Name      string `yaml:"name"`
				Direction string `yaml:"direction"`
				Group     *group `yaml:"access_group"`
			} `yaml:"sources"`
			Destinations []string `yaml:"destinations"`
			Metadata     bool     `yaml:"encapsulation_gre_metadata_tx"`
			HeaderRemove int      `yaml:"header_remove_size"`
			Truncate     struct {
				Enabled bool `yaml:"enabled"`
				Size    int  `yaml:"size"`
			} `yaml:"truncate"`
			Group  *group `yaml:"access_group"`
			Sample uint32 `yaml:"sample"`
		} `yaml:"monitor_sessions"`
	}
	if err := yaml.Unmarshal(input, &in); err != nil {
		t.Fatal(err)
	}
	// The generator writes no header and no end; a device does.
	got := parse(t, string(text)).Sessions
	if len(got) != len(in.Sessions) {
		t.Fatalf("%d sessions; want %d", len(got), len(in.Sessions))
	}
	for i, want := range in.Sessions {
		s := got[i].Normalize()
		prefix := "monitor session " + want.Name + " "
		w := models.Session{Device: "leaf1", Name: want.Name, SampleOneIn: want.Sample}
		var extra []string
		for _, src := range want.Sources {
			names, err := expandInterfaces(src.Name)
			if err != nil {
				t.Fatal(err)
			}
			dir := models.Both
			if src.Direction != "" {
				if err := dir.UnmarshalText([]byte(src.Direction)); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range names {
				w.Sources = append(w.Sources, port(n, dir))
			}
			if g := src.Group; g != nil && want.Group == nil {
				extra = append(extra, g.Type+" access-group "+g.Name)
			}
		}
		for _, d := range want.Destinations {
			if d == "Cpu" {
				extra = append(extra, prefix+"destination Cpu")
				continue
			}
			w.Destination.Kind = models.DestinationPort
			w.Destination.Ports = append(w.Destination.Ports, d)
		}
		if want.Truncate.Enabled && want.Truncate.Size == 0 {
			extra = append(extra, prefix+"truncate")
		}
		if want.HeaderRemove > 0 {
			extra = append(extra, prefix+"header remove size 32")
		}
		if want.Metadata {
			extra = append(extra, prefix+"encapsulation gre metadata tx")
		}
		if g := want.Group; g != nil {
			extra = append(extra, prefix+g.Type+" access-group "+g.Name)
		}
		if d := cmp.Diff(w.Normalize(), s, cmpAddr, cmpopts.IgnoreFields(models.Session{}, "Extra")); d != "" {
			t.Errorf("session %s (-want +got):\n%s", want.Name, d)
		}
		if len(extra) != len(s.Extra) {
			t.Errorf("session %s: lines outside of the model are %q; want %d of them", want.Name, s.Extra, len(extra))
		}
		for _, e := range extra {
			if !slices.ContainsFunc(s.Extra, func(l string) bool { return strings.Contains(l, e) }) {
				t.Errorf("session %s: no line with %q in %q", want.Name, e, s.Extra)
			}
		}
	}
}

func TestParseDeviceTranscript(t *testing.T) {
	dir := require.Vendor(t, "transcripts", "arista_eos")
	raw, err := os.ReadFile(filepath.Join(dir, "dialog_eos_DCS-7050SX3-48YC8_4.29.2F.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var dialog struct {
		Commands map[string]string `yaml:"commands"`
	}
	if err := yaml.Unmarshal(raw, &dialog); err != nil {
		t.Fatal(err)
	}
	text := dialog.Commands["show running-config | no-more | exclude ! Time:\n"]
	_, text, _ = strings.Cut(text, "\n") // the echo
	text = text[:strings.LastIndex(strings.TrimSpace(text), "\n")]
	st, err := Dialect{}.Parse("x", replies(text))
	if err != nil {
		t.Fatal(err)
	}
	want := models.Facts{Hostname: "eos-test-01", Version: "4.29.2F", Model: "DCS-7050SX3-48YC8"}
	if d := cmp.Diff(want, st.Facts); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
}

// FuzzParse looks for panics, states beside errors, and sessions that cannot be
// put back as they were.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"monitor session s1 source Ethernet1/1-3, Port-Channel2 rx\nmonitor session s1 destination Ethernet48\n",
		"ip access-list sp-a\n   10 permit tcp any eq bgp host 10.0.0.1\n!\nmonitor session sp-a ip access-group sp-a\nmonitor session sp-a source Et1\n",
		"monitor session a source Ethernet5 tx mac access-group m priority 100\nmonitor session a destination Cpu\n",
		"monitor session a destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 ttl 3 vrf X\nmonitor session a truncate size 9\n",
		"banner motd\nEOF\nvlan 10,20-30\n   name x\ninterface Ethernet1\n   switchport trunk allowed vlan none\n",
		"ipv6 access-list sp-b\n   10 permit tcp 2001:db8::/32 gt 1023 any lt 3\n   remark x\nmonitor session sp-b sample 7\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		st, err := Dialect{}.Parse("leaf1", replies(head+body+"\nend\n"))
		if err != nil {
			if d := cmp.Diff(models.DeviceState{}, st); d != "" {
				t.Fatalf("a state came with the error:\n%s", d)
			}
			return
		}
		if _, err := json.Marshal(st); err != nil {
			t.Fatal(err)
		}
		for _, s := range st.Sessions {
			again, ok := putBack(t, s, body)
			if !ok {
				continue
			}
			if !models.SameConfig(s, again) {
				t.Fatalf("put back, session %q is another (-was +is):\n%s", s.Name, cmp.Diff(s.Normalize(), again.Normalize(), cmpAddr))
			}
		}
	})
}

// putBack renders s and parses the lines as a configuration that has the access
// lists of others as before. ok is false where s cannot be rendered.
func putBack(t *testing.T, s models.Session, body string) (models.Session, bool) {
	t.Helper()
	sc, err := renderCreate(s.Normalize())
	if err != nil {
		return models.Session{}, false
	}
	text := lists(body, s.Name)
	for _, l := range sc {
		if l != "   exit" {
			text += l + "\n"
		}
	}
	for _, got := range parse(t, text).Sessions {
		if got.Name == s.Name {
			return got, true
		}
	}
	t.Fatalf("put back, session %q is not there:\n%s", s.Name, text)
	return models.Session{}, false
}

// lists gives the access lists of body whose name is not the given one.
func lists(body, not string) string {
	c := config{state: &models.DeviceState{VLANs: map[uint16]models.VLAN{}, Ports: map[string]models.Port{}}, acls: map[string]*accessList{}, sessions: map[string]*draft{}}
	if err := c.read(head + body + "\nend\n"); err != nil {
		return ""
	}
	var b strings.Builder
	for _, h := range c.aclOrder {
		if strings.HasSuffix(h, " access-list "+not) {
			continue
		}
		b.WriteString(strings.Join(c.acls[h].block(), "\n") + "\n")
	}
	return b.String()
}
