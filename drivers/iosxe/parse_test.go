package iosxe

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

const head = "Building configuration...\n\nCurrent configuration : 1585 bytes\n!\nversion 17.9\n!\nhostname sw1\n!\n"

// replies gives a running configuration, and refusals of all else.
func replies(config string) []transport.Reply {
	var out []transport.Reply
	for _, r := range (Dialect{}).Reads() {
		out = append(out, transport.Reply{Request: r, Err: "% Invalid input detected at '^' marker."})
	}
	out[readConfig] = transport.Reply{Request: out[readConfig].Request, Text: config}
	return out
}

func parse(t testing.TB, body string) models.DeviceState {
	t.Helper()
	st, err := Dialect{}.Parse("sw1", replies(head+body+"end\n"))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

func gi(n int) string { return fmt.Sprintf("GigabitEthernet1/0/%d", n) }

func port(name string, d models.Direction) models.Source {
	return models.Source{Kind: Dialect{}.PortKind(name), Name: name, Direction: d}
}

func vlan(v uint16, d models.Direction) models.Source {
	return models.Source{Kind: models.SourceVLAN, VLAN: v, Direction: d}
}

func toPorts(names ...string) models.Destination {
	return models.Destination{Kind: models.DestinationPort, Ports: names}
}

func pfx(s string) models.Prefix { return models.Prefix{Prefix: netip.MustParsePrefix(s)} }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func erspan(f func(*models.Tunnel)) models.Destination {
	tun := models.Tunnel{Source: addr("10.0.0.1"), Destination: addr("10.0.0.9"), Version: 2, SessionID: 101}
	f(&tun)
	return models.Destination{Kind: models.DestinationERSPAN, Tunnel: &tun}
}

const erspanBlock = " destination\n  erspan-id 101\n  ip address 10.0.0.9\n  origin ip address 10.0.0.1\n"

func TestParseSessions(t *testing.T) {
	base := func(f func(*models.Session)) []models.Session {
		s := models.Session{Device: "sw1", Number: 1, Role: models.RoleLocal}
		f(&s)
		return []models.Session{s}
	}
	tests := []struct {
		name, give string
		want       []models.Session
	}{
		{"rx", "monitor session 1 source interface Gi1/0/1 rx\n", base(func(s *models.Session) { s.Sources = []models.Source{port(gi(1), models.Rx)} })},
		{"no direction is both", "monitor session 1 source interface Gi1/0/1\n", base(func(s *models.Session) { s.Sources = []models.Source{port(gi(1), models.Both)} })},
		{"list and range", "monitor session 1 source interface Gi1/0/1 , Gi1/0/3 - 4 , Po7 tx\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port(gi(1), models.Tx), port(gi(3), models.Tx), port(gi(4), models.Tx), port("Port-channel7", models.Tx)}
		})},
		{"list without blanks", "monitor session 1 source interface Gi1/0/1,Gi1/0/3-4 tx\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port(gi(1), models.Tx), port(gi(3), models.Tx), port(gi(4), models.Tx)}
		})},
		{"range that repeats the name", "monitor session 1 source interface Gi1/0/1 - Gi1/0/2\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port(gi(1), models.Both), port(gi(2), models.Both)}
		})},
		{"all kinds of names", "monitor session 1 source interface Fa0/1 , Te1/1/1 , Twe1/0/1 , Fo1/1/1 , Hu1/0/1 , Tw1/0/1 , Gi2/2/0.100 , TenGigabitEthernet1/1/2 , Fi1/0/9 , Fif1/0/1 , Ap1/0/1\n",
			base(func(s *models.Session) {
				for _, n := range []string{"FastEthernet0/1", "TenGigabitEthernet1/1/1", "TwentyFiveGigE1/0/1", "FortyGigabitEthernet1/1/1", "HundredGigE1/0/1",
					"TwoGigabitEthernet1/0/1", "GigabitEthernet2/2/0.100", "TenGigabitEthernet1/1/2", "FiveGigabitEthernet1/0/9", "FiftyGigE1/0/1", "AppGigabitEthernet1/0/1"} {
					s.Sources = append(s.Sources, port(n, models.Both))
				}
			})},
		{"VLANs", "monitor session 1 source vlan 10 , 20 - 22 rx\nmonitor session 1 source vlan 30\n", base(func(s *models.Session) {
			s.Sources = []models.Source{vlan(10, models.Rx), vlan(20, models.Rx), vlan(21, models.Rx), vlan(22, models.Rx), vlan(30, models.Both)}
		})},
		{"two directions of one source", "monitor session 1 source interface Gi1/0/1 rx\nmonitor session 1 source interface Gi1/0/1 tx\n", base(func(s *models.Session) {
			s.Sources = []models.Source{port(gi(1), models.Rx), port(gi(1), models.Tx)}
		})},
		{"destinations", "monitor session 1 destination interface Gi1/0/47 - 48\n", base(func(s *models.Session) { s.Destination = toPorts(gi(47), gi(48)) })},
		{"options of the destination are outside of the model", "monitor session 1 destination interface Gi1/0/48 encapsulation replicate ingress untagged vlan 10\n", base(func(s *models.Session) {
			s.Destination = toPorts(gi(48))
			s.Extra = []string{"monitor session 1 destination interface Gi1/0/48 encapsulation replicate ingress untagged vlan 10"}
		})},
		{"ingress alone", "monitor session 1 destination interface Gi1/0/4 encapsulation dot1q ingress vlan 100\n", base(func(s *models.Session) {
			s.Destination = toPorts(gi(4))
			s.Extra = []string{"monitor session 1 destination interface Gi1/0/4 encapsulation dot1q ingress vlan 100"}
		})},
		{"RSPAN source", "monitor session 1 source interface Gi1/0/1\nmonitor session 1 destination remote vlan 900\n", base(func(s *models.Session) {
			s.Role, s.Sources = models.RoleSource, []models.Source{port(gi(1), models.Both)}
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		})},
		{"RSPAN destination", "monitor session 1 source remote vlan 900\nmonitor session 1 destination interface Gi1/0/48\n", base(func(s *models.Session) {
			s.Role, s.Sources = models.RoleDestination, []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}
			s.Destination = toPorts(gi(48))
		})},
		{"both ends of an RSPAN in one number", "monitor session 1 source interface Gi1/0/1\nmonitor session 1 destination remote vlan 900\nmonitor session 1 destination interface Gi1/0/48\n", base(func(s *models.Session) {
			s.Sources, s.Destination = []models.Source{port(gi(1), models.Both)}, toPorts(gi(48))
			s.Extra = []string{"monitor session 1 destination remote vlan 900"}
		})},
		{"reflector port", "monitor session 1 destination remote vlan 900 reflector-port Fa0/24\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 destination remote vlan 900 reflector-port Fa0/24"}
		})},
		{"filters outside of the model", "monitor session 1 filter vlan 10 , 20 - 30\nmonitor session 1 filter mac access-group M\nmonitor session 1 source cpu rx\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter vlan 10 , 20 - 30", "monitor session 1 filter mac access-group M", "monitor session 1 source cpu rx"}
		})},
		{"filter", "ip access-list extended A\n 10 permit tcp 10.0.0.0 0.255.255.255 any eq www 443\n 20 deny ip any any\n!\nmonitor session 1 filter ip access-group A\n", base(func(s *models.Session) {
			s.FilterName = "A"
			s.Filter = []models.Rule{
				{Action: models.Include, Match: models.Match{Proto: "tcp", Src: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(80), models.One(443)}}},
				{Action: models.Exclude, Match: models.Match{Src: pfx("0.0.0.0/0")}},
			}
		})},
		{"filter of IPv6, with the number first or last", "ipv6 access-list A\n sequence 10 permit icmp host 2001:DB8::1 any\n permit udp any 2001:DB8::/32 eq domain sequence 20\n!\nmonitor session 1 filter ipv6 access-group A\n", base(func(s *models.Session) {
			s.FilterName = "A"
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmpv6", Src: pfx("2001:db8::1/128")}},
				{Action: models.Include, Match: models.Match{Proto: "udp", Dst: pfx("2001:db8::/32"), Dport: []models.Range{models.One(53)}}}}
		})},
		{"an access list that the model cannot say", "ip access-list extended A\n 10 permit ip any any log\n!\nmonitor session 1 filter ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group A"}
		})},
		{"a wildcard with holes", "ip access-list extended A\n 10 permit ip 10.0.0.0 0.0.255.0 any\n!\nmonitor session 1 filter ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group A"}
		})},
		{"an address with bits behind its mask", "ip access-list extended A\n 10 permit ip 10.0.0.1 0.0.0.255 any\n!\nmonitor session 1 filter ip access-group A\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group A"}
		})},
		{"an access list that is not there", "monitor session 1 filter ip access-group 100\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group 100"}
		})},
		{"two filters", "ip access-list extended A\n 10 permit ip any any\n!\nipv6 access-list B\n sequence 10 permit ipv6 any any\n!\nmonitor session 1 filter ip access-group A\nmonitor session 1 filter ipv6 access-group B\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group A", "monitor session 1 filter ipv6 access-group B"}
		})},
		{"an own access list that the model cannot say goes along", "ip access-list extended sp-session-1\n 10 permit ip any any log\n!\nmonitor session 1 filter ip access-group sp-session-1\n", base(func(s *models.Session) {
			s.Extra = []string{"monitor session 1 filter ip access-group sp-session-1", "ip access-list extended sp-session-1", " 10 permit ip any any log"}
		})},
		{"an access list with a name of ours and no session", "ip access-list extended sp-session-1\n 10 permit ip any any\n!\n", base(func(s *models.Session) {
			s.Extra = []string{"ip access-list extended sp-session-1", " 10 permit ip any any"}
		})},
		{"any other access list", "ip access-list extended sp-session-0\n 10 permit ip any any\n!\nip access-list extended other\n 10 permit ip any any\n!\n", nil},
		{"ERSPAN", "monitor session 1 type erspan-source\n no shutdown\n source interface Gi1/0/1 rx\n" + erspanBlock, base(func(s *models.Session) {
			s.Sources, s.Destination = []models.Source{port(gi(1), models.Rx)}, erspan(func(*models.Tunnel) {})
		})},
		{"ERSPAN with all that the model has", "monitor session 1 type erspan-source\n description spanctl ids-dmz\n header-type 3\n source vlan 10\n filter ip access-group A\n destination\n  erspan-id 7\n  mtu 512\n  ip address 10.0.0.9\n" +
			"  origin ip address 10.0.0.1\n  ip ttl 33\n  ip dscp 10\n  vrf MGMT\n no shutdown\n!\nip access-list extended A\n 10 permit icmp any any\n",
			base(func(s *models.Session) {
				s.Sources, s.TruncateTo, s.FilterName = []models.Source{vlan(10, models.Both)}, 512, "A"
				s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Proto: "icmp"}}}
				s.Destination = erspan(func(t *models.Tunnel) { t.Version, t.SessionID, t.TTL, t.DSCP, t.VRF = 3, 7, 33, 10, "MGMT" })
			})},
		{"mtu 9000 is the whole frame", "monitor session 1 type erspan-source\n no shutdown\n" + erspanBlock + "  mtu 9000\n", base(func(s *models.Session) { s.Destination = erspan(func(*models.Tunnel) {}) })},
		{"ERSPAN over IPv6", "monitor session 1 type erspan-source\n no shutdown\n destination\n  erspan-id 101\n  ipv6 address 2001:DB8::9\n  origin ipv6 address 2001:DB8::1\n", base(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Source, t.Destination = addr("2001:db8::1"), addr("2001:db8::9") })
		})},
		{"ERSPAN that says nothing is shut", "monitor session 1 type erspan-source\n" + erspanBlock, base(func(s *models.Session) {
			s.Shutdown, s.Destination = true, erspan(func(*models.Tunnel) {})
		})},
		{"an empty ERSPAN", "monitor session 1 type erspan-source\n", base(func(s *models.Session) {
			s.Shutdown = true
			s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2}}
		})},
		{"lines of an ERSPAN outside of the model", "monitor session 1 type erspan-source\n buffer-size 12345\n description ntp debugging\n destination\n  erspan-id 101\n  ip address 10.0.0.9\n  ip prec 3\n  origin ip address 10.0.0.1\n" +
			" destination interface Gi1/3\n no shutdown\n source cpu rp\n filter access-group 100\n filter sgt 5\n", base(func(s *models.Session) {
			s.Destination = erspan(func(*models.Tunnel) {})
			s.Extra = []string{" buffer-size 12345", " description ntp debugging", "  ip prec 3", " destination interface Gi1/3", " source cpu rp", " filter access-group 100", " filter sgt 5"}
		})},
		{"local session of a router", "monitor session 1 type local\n source interface Gi0/0/1 tx\n destination interface Gi0/0/2\n no shutdown\n", base(func(s *models.Session) {
			s.Sources, s.Destination = []models.Source{port("GigabitEthernet0/0/1", models.Tx)}, toPorts("GigabitEthernet0/0/2")
		})},
		{"a type outside of the model is kept whole", "monitor session 1 type erspan-destination\n no shutdown\n destination interface Gi1/0/48\n source\n  erspan-id 101\n  ip address 10.0.0.9\n", base(func(s *models.Session) {
			s.Sources, s.Destination = []models.Source{{Kind: models.SourceOther, Name: "erspan-destination", Direction: models.Rx}}, toPorts(gi(48))
			s.Extra = []string{"monitor session 1 type erspan-destination", " no shutdown", " destination interface Gi1/0/48", " source", "  erspan-id 101", "  ip address 10.0.0.9"}
		})},
		{"by number", "monitor session 12 source interface Gi1/0/1\nmonitor session 2 source interface Gi1/0/2\nmonitor session 12 destination interface Gi1/0/9\n", []models.Session{
			{Device: "sw1", Number: 2, Role: models.RoleLocal, Sources: []models.Source{port(gi(2), models.Both)}},
			{Device: "sw1", Number: 12, Role: models.RoleLocal, Sources: []models.Source{port(gi(1), models.Both)}, Destination: toPorts(gi(9))},
		}},
		{"other monitor lines", "monitor event-trace cef enable\n!\nmonitor capture x\n!\n", nil},
		{"free text", "banner motd ^C\nmonitor session 1 source Bogus\nend\n^C\nbanner exec ^Cone line^C\nmacro name x\nmonitor session 1 bogus\n@\n", nil},
		{"carriage returns", "monitor session 1 source interface Gi1/0/1 rx\r\n", base(func(s *models.Session) { s.Sources = []models.Source{port(gi(1), models.Rx)} })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, parse(t, tt.give).Sessions, cmpAddr); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	in := func(body string) string { return head + body + "end\n" }
	block := func(line string) string { return in("monitor session 1 type erspan-source\n" + line + "\n") }
	tests := []struct{ name, give, want string }{
		{"empty", "", "cut"},
		{"no end", head + "monitor session 1 source interface Gi1/0/1\n", "cut"},
		{"cut in the last word", strings.TrimSuffix(in(""), "d\n"), "cut"},
		{"another system", "! device: leaf1 (DCS, EOS-4.29.2F)\nhostname x\nend\n", "not the configuration of an IOS-XE device"},
		{"unknown attribute", in("monitor session 1 bogus 1\n"), `"monitor session 1 bogus 1"`},
		{"no attribute", in("monitor session 1\n"), `"monitor session 1"`},
		{"number", in("monitor session 0 source interface Gi1/0/1\n"), "session 0"},
		{"number too high", in("monitor session 1025 source interface Gi1/0/1\n"), "1025"},
		{"source of another kind", in("monitor session 1 source interface Vlan10\n"), "not an interface"},
		{"source with a tail", in("monitor session 1 source interface Gi1/0/1 rx bogus\n"), "rx bogus"},
		{"direction", in("monitor session 1 source interface Gi1/0/1 out\n"), "out"},
		{"ambiguous name", in("monitor session 1 source interface F1/0/1\n"), "not an interface"},
		{"range backwards", in("monitor session 1 source interface Gi1/0/9 - 3\n"), "ends before"},
		{"range over two numbers", in("monitor session 1 source interface Gi1/0/1 - Gi2/0/3\n"), "more than its last number"},
		{"VLAN", in("monitor session 1 source vlan 4095\n"), "4094"},
		{"remote VLANs", in("monitor session 1 source remote vlan 10-11\n"), "10-11"},
		{"destination option", in("monitor session 1 destination interface Gi1/0/1 bogus\n"), "bogus"},
		{"filter", in("monitor session 1 filter bogus 1\n"), "filter bogus"},
		{"type after lines", in("monitor session 1 source interface Gi1/0/1\nmonitor session 1 type local\n"), "type local"},
		{"lines after a type", in("monitor session 1 type local\nmonitor session 1 source interface Gi1/0/1\n"), "source interface"},
		{"unknown line of a type", block(" bogus"), `" bogus"`},
		{"unknown line of a tunnel", block(" destination\n  bogus 1"), `"  bogus 1"`},
		{"deep line of nothing", block("  erspan-id 1"), "erspan-id"},
		{"header type", block(" header-type 1"), "header-type 1"},
		{"erspan id", block(" destination\n  erspan-id 1024"), "1024"},
		{"family of an address", block(" destination\n  ip address 2001:db8::1"), "IPv4 address"},
		{"dscp", block(" destination\n  ip dscp 64"), "64"},
		{"mtu", block(" destination\n  mtu 9001"), "9001"},
		{"unknown line of another type", in("monitor session 1 type erspan-destination\n bogus\n"), "bogus"},
		{"a banner that does not end", head + "banner login ^C\nhello\nend\n", "does not end"},
		{"a macro that does not end", head + "macro name x\nhello\nend\n", "does not end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, err := Dialect{}.Parse("sw1", replies(tt.give))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want one with %q", err, tt.want)
			}
			if d := cmp.Diff(models.DeviceState{}, st); d != "" {
				t.Errorf("a state came with the error:\n%s", d)
			}
		})
	}
}

func TestParsePortsAndFacts(t *testing.T) {
	st := parse(t, `license udi pid C9300-24T sn FOC1
archive
 path flash:archive
 maximum 5
!
vtp mode transparent
vlan 10,20-21
 name DMZ
!
vlan 900
 remote-span
!
vlan internal allocation policy ascending
interface Port-channel1
 switchport trunk allowed vlan 10
 switchport trunk allowed vlan add 20
 switchport mode trunk
!
interface GigabitEthernet0/0
 vrf forwarding Mgmt-vrf
 no ip address
!
interface GigabitEthernet1/0/1
 switchport access vlan 10
 switchport mode access
!
interface GigabitEthernet1/0/2
 switchport mode trunk
 channel-group 1 mode active
!
interface GigabitEthernet1/0/3
 mtu 9100
 no switchport
 ip address 10.0.0.1 255.255.255.254
 ip address 10.1.0.1 255.255.0.0 secondary
 ipv6 address 2001:DB8::1/64
!
interface GigabitEthernet1/0/4
 shutdown
!
interface GigabitEthernet1/0/5
 switchport mode access
 service instance 1 ethernet
  no ip address
!
interface GigabitEthernet1/0/3.100
 encapsulation dot1Q 100
!
interface Vlan10
 ip address 10.9.0.1 255.255.255.0
!
`)
	want := models.DeviceState{
		Device: "sw1",
		Facts:  models.Facts{Hostname: "sw1", Version: "17.9", Model: "C9300-24T", Serial: "FOC1", Traits: []string{TraitArchive}},
		Ports: map[string]models.Port{
			"Port-channel1":            {Name: "Port-channel1", Mode: models.PortTrunk, TrunkVLANs: []models.Range{models.One(10), models.One(20)}},
			"GigabitEthernet0/0":       {Name: "GigabitEthernet0/0", Mode: models.PortRouted},
			"GigabitEthernet1/0/1":     {Name: gi(1), Mode: models.PortAccess, AccessVLAN: 10},
			"GigabitEthernet1/0/2":     {Name: gi(2), Mode: models.PortTrunk, LAG: "Port-channel1"},
			"GigabitEthernet1/0/3":     {Name: gi(3), Mode: models.PortRouted, MTU: 9100, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/31"), netip.MustParsePrefix("10.1.0.1/16"), netip.MustParsePrefix("2001:db8::1/64")}},
			"GigabitEthernet1/0/4":     {Name: gi(4), AdminDown: true},
			"GigabitEthernet1/0/5":     {Name: gi(5), Mode: models.PortAccess, AccessVLAN: 1},
			"GigabitEthernet1/0/3.100": {Name: gi(3) + ".100", Mode: models.PortRouted},
		},
		VLANs: map[uint16]models.VLAN{1: {}, 10: {Name: "DMZ"}, 20: {Name: "DMZ"}, 21: {Name: "DMZ"}, 900: {RemoteSPAN: true}},
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	for _, mode := range []string{"transparent", "off"} {
		if d := cmp.Diff(map[uint16]models.VLAN{1: {}}, parse(t, "vtp mode "+mode+"\n").VLANs); d != "" {
			t.Errorf("VTP %s (-want +got):\n%s", mode, d)
		}
	}
	// A VTP server keeps its VLANs to itself.
	if st := parse(t, "vtp domain x\n"); st.VLANs != nil {
		t.Errorf("without VLANs in the configuration: %v; want unknown", st.VLANs)
	}
}

func TestParseOperation(t *testing.T) {
	rs := replies(head + "interface GigabitEthernet1/0/1\n!\ninterface GigabitEthernet1/0/24\n!\n" +
		"monitor session 3 type erspan-source\n" + erspanBlock + "monitor session 4 type local\n source interface Gi1/0/1\n!\nend\n")
	set := func(i int, text string) { rs[i] = transport.Reply{Request: rs[i].Request, Text: text} }
	set(readMonitor, "Load for five secs: 1%/0%; one minute: 2%; five minutes: 2%\nSession 3\n---------\nType                   : ERSPAN Source Session\nStatus                 : Admin Disabled\n\n\nSession 4\n---------\nType: Local Session\nStatus: Admin Enabled\n")
	set(readVersion, "Cisco IOS XE Software, Version 17.09.04a\nCisco IOS Software [Cupertino], ..., Version 17.9.4a, RELEASE SOFTWARE (fc3)\n\nModel Number                       : C9200L-24P-4G\nSystem Serial Number               : JAE24FFFFFF\n\nConfiguration register is 0x102\n")
	set(readVLANs, `
VLAN Name                             Status    Ports
---- -------------------------------- --------- -------------------------------
1    default                          active    Gi1/0/1, Gi1/0/2
                                                Gi1/0/3
10   DMZ                              active    
900  VLAN0900                         active    
1002 fddi-default                     act/unsup 

VLAN Type  SAID       MTU   Parent RingNo BridgeNo Stp  BrdgMode Trans1 Trans2
---- ----- ---------- ----- ------ ------ -------- ---- -------- ------ ------
1    enet  100001     1500  -      -      -        -    -        0      0   

Remote SPAN VLANs
------------------------------------------------------------------------------
900

Primary Secondary Type              Ports
------- --------- ----------------- ------------------------------------------
`)
	set(readNeighbors, `
Capability codes:
    (R) Router, (B) Bridge

Device ID           Local Intf     Hold-time  Capability      Port ID
core1               Gi1/0/24       120        B,R             Te1/1/1
a-name-of-20-lettersGi0/0          120        B               Gi1/0/2

Total entries displayed: 2
`)
	set(readMACs, `          Mac Address Table
-------------------------------------------

Vlan    Mac Address       Type        Ports
----    -----------       --------    -----
 All    0100.0ccc.cccc    STATIC      CPU
   1    0011.2233.4455    DYNAMIC     Gi1/0/1
   1    0011.2233.4456    DYNAMIC     Gi1/0/1
   1    0011.2233.4457    STATIC      Gi1/0/1
Total Mac Addresses for this criterion: 4
`)
	set(readCapability, "ERSPAN Source Session:ERSPAN Source Session Supported: TRUE\nERSPAN Header Type supported: II\nACL filter Supported: TRUE\n")
	st, err := Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatal(err)
	}
	want := models.DeviceState{
		Device: "sw1",
		Facts:  models.Facts{Hostname: "sw1", Version: "17.09.04a", Model: "C9200L-24P-4G", Serial: "JAE24FFFFFF", Traits: []string{TraitTypeII}},
		Sessions: []models.Session{
			{Device: "sw1", Number: 3, Role: models.RoleLocal, Destination: erspan(func(*models.Tunnel) {}), Shutdown: true},
			{Device: "sw1", Number: 4, Role: models.RoleLocal, Sources: []models.Source{port(gi(1), models.Both)}},
		},
		Ports: map[string]models.Port{
			gi(1):  {Name: gi(1), MACs: 2},
			gi(24): {Name: gi(24), Neighbors: []string{"core1 Te1/1/1"}},
		},
		VLANs: map[uint16]models.VLAN{1: {Name: "default"}, 10: {Name: "DMZ"}, 900: {Name: "VLAN0900", RemoteSPAN: true}, 1002: {Name: "fddi-default"}},
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	// A text is whole or an error. A few of its last characters mean nothing.
	for i := readMonitor; i < readCount; i++ {
		text := rs[i].Text
		for n := range text {
			rs[i].Text = text[:n]
			got, err := Dialect{}.Parse("sw1", rs)
			if err == nil && cmp.Diff(st, got, cmpAddr) != "" {
				t.Errorf("%q cut after %d of %d bytes gives another state", rs[i].Request.Text, n, len(text))
				break
			}
		}
		rs[i].Text = text
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head+"monitor session 1 source interface Gi1/0/1 , Gi1/0/3 - 4 rx\nmonitor session 1 destination interface Gi1/0/48 encapsulation replicate\nmonitor session 1 filter ip access-group A\nend\n", "Session 1\n")
	f.Add(head+"monitor session 1 type erspan-source\n no shutdown\n source vlan 10\n"+erspanBlock+"end\n", "Session 1\nStatus : Admin Enabled\n")
	f.Add(head+"monitor session 1 type erspan-destination\n source\n  erspan-id 1\nend\n", "No SPAN configuration is present in the system.")
	f.Add(head+"ip access-list extended sp-session-1\n 10 permit tcp any eq www 10.0.0.0 0.255.255.255\n!\nmonitor session 1 type erspan-source\n buffer-size 1\n description x y\n source interface Gi1/0/1 , Po1 tx\n filter ip access-group sp-session-1\n"+erspanBlock+"  ip prec 3\n  mtu 200\nend\n", "Session 1\nStatus : Admin Enabled\n")
	f.Add(head+"monitor session 1 source remote vlan 900\nmonitor session 1 destination interface Gi1/0/48 ingress untagged vlan 10\nmonitor session 1 filter vlan 1 , 3 - 4\nmonitor session 1 source cpu rx\nend\n", "Session 1\n")
	f.Add(head+"ipv6 access-list sp-session-9\n sequence 10 permit udp any any\nend\n", "")
	f.Fuzz(func(t *testing.T, config, shown string) {
		rs := replies(config)
		rs[readMonitor].Text, rs[readMonitor].Err = shown, ""
		st, err := Dialect{}.Parse("sw1", rs)
		if err != nil {
			if d := cmp.Diff(models.DeviceState{}, st); d != "" {
				t.Errorf("a state came with the error:\n%s", d)
			}
			return
		}
		for _, s := range st.Sessions {
			if s.Number < 1 || s.Intent != "" {
				t.Errorf("session %+v", s)
			}
			// What can be written reads back as it was.
			s = s.Normalize()
			own := s.FilterName == "" || s.FilterName == listName(s.Number)
			if bad := unsafe(s); !own || len(bad.all()) > 0 {
				continue
			}
			sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{create(&s)}}, drivers.RenderOptions{})
			if err != nil {
				continue // such as a session that nobody could want
			}
			body := head
			for _, step := range sc.Steps[1 : len(sc.Steps)-1] {
				if strings.TrimSpace(step.Text) != "exit" {
					body += step.Text + "\n"
				}
			}
			again, err := Dialect{}.Parse("sw1", replies(body+"end\n"))
			if err != nil {
				t.Fatalf("%v in\n%s", err, body)
			}
			if len(again.Sessions) != 1 || !models.SameConfig(s, again.Sessions[0]) {
				t.Errorf("it reads back as another (-first +again):\n%s\n%s", cmp.Diff([]models.Session{s}, again.Sessions, cmpAddr), body)
			}
		}
	})
}
