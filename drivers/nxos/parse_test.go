package nxos

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

const head = "\n!Command: show running-config\n!Time: Mon Dec  1 14:37:04 2025\n\nversion 10.4(5) Bios:version 01.11 \nhostname sw1\n"

// replies gives a running configuration, and refusals of all else.
func replies(config string) []transport.Reply {
	var out []transport.Reply
	for _, r := range (Dialect{}).Reads() {
		out = append(out, transport.Reply{Request: r, Err: "% Invalid command at '^' marker."})
	}
	out[readConfig] = transport.Reply{Request: out[readConfig].Request, Text: config}
	return out
}

func parse(t testing.TB, body string) models.DeviceState {
	t.Helper()
	st, err := Dialect{}.Parse("sw1", replies(head+body+"\nsw1 \n"))
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

func eth(n int) string { return fmt.Sprintf("Ethernet1/%d", n) }

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

const (
	origin      = "monitor erspan origin ip-address 10.0.0.1 global\n"
	erspanLines = "  erspan-id 101\n  vrf default\n  destination ip 10.0.0.9\n"
	ready       = "interface Ethernet1/48\n  switchport\n  switchport monitor\n"
)

func TestParseSessions(t *testing.T) {
	base := func(f func(*models.Session)) []models.Session {
		s := models.Session{Device: "sw1", Number: 1, Role: models.RoleLocal, Shutdown: true}
		f(&s)
		return []models.Session{s}
	}
	sources := func(ss ...models.Source) []models.Session { return base(func(s *models.Session) { s.Sources = ss }) }
	extra := func(lines ...string) []models.Session { return base(func(s *models.Session) { s.Extra = lines }) }
	local := func(lines ...string) string { return "monitor session 1\n  " + strings.Join(lines, "\n  ") + "\n" }
	tests := []struct {
		name, give string
		want       []models.Session
	}{
		{"nothing is shut", local("source interface Ethernet1/1 rx"), sources(port(eth(1), models.Rx))},
		{"no shut", local("no shut"), base(func(s *models.Session) { s.Shutdown = false })},
		{"no shutdown, of other Nexus", local("no shutdown"), base(func(s *models.Session) { s.Shutdown = false })},
		{"shut", local("no shut", "shut"), base(func(*models.Session) {})},
		{"no direction is both", local("source interface Ethernet1/1"), sources(port(eth(1), models.Both))},
		{"lists and ranges", local("source interface Ethernet1/1,Ethernet1/3-4 , port-channel7 tx", "source interface Eth1/8-Eth1/9 rx", "source interface e1/10-1/11 rx"),
			sources(port(eth(1), models.Tx), port(eth(3), models.Tx), port(eth(4), models.Tx), port("port-channel7", models.Tx),
				port(eth(8), models.Rx), port(eth(9), models.Rx), port(eth(10), models.Rx), port(eth(11), models.Rx))},
		{"breakout and fabric extender", local("source interface Ethernet1/49/2 rx", "source interface Ethernet101/1/1 rx"),
			sources(port("Ethernet1/49/2", models.Rx), port("Ethernet101/1/1", models.Rx))},
		{"VLANs", local("source vlan 10,20-21 rx", "source vlan 30"), sources(vlan(10, models.Rx), vlan(20, models.Rx), vlan(21, models.Rx), vlan(30, models.Both))},
		{"type local", "monitor session 1 type local\n  source interface Ethernet1/1 rx\n", sources(port(eth(1), models.Rx))},
		{"destination that is ready", local("destination interface Ethernet1/48") + ready, base(func(s *models.Session) { s.Destination = toPorts(eth(48)) })},
		{"destination before the interfaces", ready + local("destination interface Ethernet1/48"), base(func(s *models.Session) { s.Destination = toPorts(eth(48)) })},
		{"destination that is not", local("destination interface Ethernet1/48"), base(func(s *models.Session) {
			s.Destination, s.Extra = toPorts(eth(48)), []string{"interface Ethernet1/48", "  no switchport monitor"}
		})},
		{"destination with more", local("destination interface Ethernet1/48") + "interface Ethernet1/48\n  switchport monitor ingress learning\n", base(func(s *models.Session) {
			s.Destination, s.Extra = toPorts(eth(48)), []string{"interface Ethernet1/48", "  switchport monitor ingress learning"}
		})},
		{"the CPU", local("destination interface sup-eth0", "source interface sup-eth0 rx"), base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationOther, Ports: []string{"sup-eth0"}}
			s.Extra = []string{"  source interface sup-eth0 rx"}
		})},
		{"truncation", local("mtu 320"), base(func(s *models.Session) { s.TruncateTo = 320 })},
		{"the default of truncation", local("mtu 10240"), base(func(*models.Session) {})},
		{"description of a stranger", local("description for the audit  team"), extra("  description for the audit  team")},
		{"description of ours", local("description spanctl ids-dmz"), base(func(*models.Session) {})},
		{"filter of VLANs", local("filter vlan 10,20-21", "filter vlan 22"), base(func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(10), {First: 20, Last: 22}}}}}
		})},
		{"filter", "ip access-list A\n  statistics per-entry\n  10 permit tcp 10.0.0.0/8 any eq www\n" + local("filter access-group A"), base(func(s *models.Session) {
			s.Extra = []string{"  filter access-group A"} // counting is outside of the model
		})},
		{"filter of all forms", "ip access-list A\n  10 permit tcp 10.0.0.0 0.255.255.255 any eq www\n  20 deny udp host 10.0.0.1 gt 1023 10.0.0.2/32 range 1 9\n  30 deny 112 any any\n  40 permit ip any any\n" + local("filter access-group A"),
			base(func(s *models.Session) {
				s.FilterName = "A"
				s.Filter = models.NormalizeRules([]models.Rule{
					{Action: models.Include, Match: models.Match{Proto: "tcp", Src: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(80)}}},
					{Action: models.Exclude, Match: models.Match{Proto: "udp", Src: pfx("10.0.0.1/32"), Sport: []models.Range{{First: 1024, Last: 65535}}, Dst: pfx("10.0.0.2/32"), Dport: []models.Range{{First: 1, Last: 9}}}},
					{Action: models.Exclude, Match: models.Match{Proto: "112", Src: pfx("0.0.0.0/0")}},
					{Action: models.Include, Match: models.Match{Src: pfx("0.0.0.0/0")}},
				})
			})},
		{"access list with more than the model", "ip access-list A\n  10 permit tcp any any established\n" + local("filter access-group A"), extra("  filter access-group A")},
		{"a wildcard with holes", "ip access-list A\n  10 permit ip 10.0.0.0 0.0.255.0 any\n" + local("filter access-group A"), extra("  filter access-group A")},
		{"access list that permits nothing", "ip access-list A\n  10 deny ip any any\n" + local("filter access-group A"), extra("  filter access-group A")},
		{"VLAN access map, or nothing", local("filter access-group MAP"), extra("  filter access-group MAP")},
		{"two filters", "ip access-list A\n  10 permit ip any any\n" + local("filter access-group A", "filter vlan 10"), extra("  filter access-group A", "  filter vlan 10")},
		{"access list with options", local("filter access-group A allow-sharing"), extra("  filter access-group A allow-sharing")},
		{"an own access list that the model cannot say", "ip access-list sp-session-1\n  10 permit ip any any log\n" + local("filter access-group sp-session-1"),
			extra("  filter access-group sp-session-1", "ip access-list sp-session-1", "  10 permit ip any any log")},
		{"an own access list without a session", "ip access-list sp-session-1\n  10 permit ip any any\n", extra("ip access-list sp-session-1", "  10 permit ip any any")},
		{"another access list without a session", "ip access-list sp-session-0\n  10 permit ip any any\n", nil},
		{"ERSPAN", origin + "monitor session 1 type erspan-source\n" + erspanLines + "  source interface Ethernet1/1 rx\n  no shut\n", base(func(s *models.Session) {
			s.Sources, s.Destination, s.Shutdown = []models.Source{port(eth(1), models.Rx)}, erspan(func(*models.Tunnel) {}), false
		})},
		{"ERSPAN, the origin comes last", "monitor session 1 type erspan-source\n" + erspanLines + "  header-type 3\n  ip ttl 33\n  ip dscp 10\n  vrf MGMT\n" + origin, base(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Version, t.TTL, t.DSCP, t.VRF = 3, 33, 10, "MGMT" })
		})},
		{"ERSPAN without an origin", "monitor session 1 type erspan-source\n" + erspanLines, base(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Source = netip.Addr{} })
		})},
		{"ERSPAN that is not complete", "monitor session 1 type erspan-source\n", base(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2}}
			s.Extra = []string{"  no vrf"}
		})},
		{"ERSPAN with more", origin + "monitor session 1 type erspan-source\n" + erspanLines + "  header-type 3 rfc-compliant\n  marker-packet 100\n  source forward-drops rx\n", base(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Version = 3 })
			s.Extra = []string{"  header-type 3 rfc-compliant", "  marker-packet 100", "  source forward-drops rx"}
		})},
		{"ERSPAN destination", "monitor session 1 type erspan-destination\n  erspan-id 7\n  vrf default\n  source ip 10.0.0.9\n  destination interface Ethernet1/48\n  no shut\n" + ready, base(func(s *models.Session) {
			s.Shutdown, s.Destination = false, toPorts(eth(48))
			s.Sources = []models.Source{{Kind: models.SourceOther, Name: "erspan-destination", Direction: models.Rx}}
			s.Extra = []string{"monitor session 1 type erspan-destination", "  erspan-id 7", "  vrf default", "  source ip 10.0.0.9", "  destination interface Ethernet1/48"}
		})},
		{"half a session", "monitor session 1 rx\n  source interface Ethernet1/1 rx\n", base(func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceOther, Name: "rx session", Direction: models.Rx}}
			s.Extra = []string{"monitor session 1 rx", "  source interface Ethernet1/1 rx"}
		})},
		{"Nexus 7000", local("mode extended", "rate-limit auto", "sampling 4", "multicast best-effort", "source exception all"),
			extra("  mode extended", "  rate-limit auto", "  sampling 4", "  multicast best-effort", "  source exception all")},
		{"by number", "monitor session 12\n  shut\nmonitor session 2\n", []models.Session{
			{Device: "sw1", Number: 2, Role: models.RoleLocal, Shutdown: true}, {Device: "sw1", Number: 12, Role: models.RoleLocal, Shutdown: true},
		}},
		{"free text", "banner motd ^\nmonitor session 1\n  bogus\n^\nbanner exec #monitor session#\n", nil},
		{"comments", "monitor session 1\n  ! yes\n\n  !\n  no shut\n", base(func(s *models.Session) { s.Shutdown = false })},
		{"carriage returns", "monitor session 1\r\n  no shut\r\n", base(func(s *models.Session) { s.Shutdown = false })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, parse(t, tt.give).Sessions, cmpAddr); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

// TestParseBareVLAN: what a VLAN without a direction means depends on the model.
func TestParseBareVLAN(t *testing.T) {
	for model, want := range map[string]models.Direction{"C93180YC-EX": models.Both, "C9372PX": models.Rx, "C9504": models.Both} {
		rs := replies(head + "monitor session 1\n  source vlan 10\nsw1\n")
		rs[readVersion] = transport.Reply{Text: "Software\n  NXOS: version 9.3(2)\nHardware\n  cisco Nexus9000 " + model + " Chassis \nKernel uptime is 1 day(s)\n"}
		st, err := Dialect{}.Parse("sw1", rs)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]models.Source{vlan(10, want)}, st.Sessions[0].Sources); d != "" {
			t.Errorf("%s (-want +got):\n%s", model, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	in := func(body string) string { return head + body + "\nsw1\n" }
	block := func(line string) string { return in("monitor session 1\n  " + line + "\n") }
	tunnel := func(line string) string { return in("monitor session 1 type erspan-source\n  " + line + "\n") }
	tests := []struct{ name, give, want string }{
		{"empty", "", "cut"},
		{"no name behind it", head + "monitor session 1\n", "cut"},
		{"another name", head + "\nsw2\n", "cut"},
		{"cut in the name", head + "\nsw\n", "cut"},
		{"another system", "! device: leaf1 (DCS, EOS-4.29.2F)\nend\nswitch\n", "not the configuration of an NX-OS device"},
		{"unknown line", block("bogus 1"), `line 8: "  bogus 1"`},
		{"unknown word alone", block("source"), "source"},
		{"number", in("monitor session 0\n"), "session 0"},
		{"number too high", in("monitor session 49\n"), "49"},
		{"unknown form", in("monitor session 1 type\n"), "session 1 type"},
		{"source of another kind", block("source interface Vlan10 rx"), "not an interface"},
		{"subinterface", block("source interface Ethernet1/1.10 rx"), "not an interface"},
		{"source with a tail", block("source interface Ethernet1/1 rx bogus"), "not an interface"},
		{"direction", block("source interface Ethernet1/1 out"), "not an interface"},
		{"range backwards", block("source interface Ethernet1/9-3"), "no range"},
		{"VLAN", block("source vlan 4095"), "4094"},
		{"filter VLAN", block("filter vlan 0"), "4094"},
		{"two access lists", block("filter access-group A\n  filter access-group B"), "access-group B"},
		{"mtu", block("mtu 63"), "from 64 to 10240"},
		{"tunnel in a local session", block("erspan-id 1"), "erspan-id 1"},
		{"port in a tunnel", tunnel("destination interface Ethernet1/1"), "destination interface"},
		{"erspan id", tunnel("erspan-id 1024"), "1 to 1023"},
		{"ttl", tunnel("ip ttl 0"), "1 to 255"},
		{"dscp", tunnel("ip dscp 64"), "0 to 63"},
		{"address", tunnel("destination ip 2001:db8::1"), "not an IPv4 address"},
		{"no address", tunnel("destination ip x"), "x"},
		{"header type", tunnel("header-type 1"), "header-type 1"},
		{"unknown line of another type", in("monitor session 1 type erspan-destination\n  bogus 1\n"), "bogus"},
		{"origin", in("monitor erspan origin ip-address x global\n"), "not an IPv4 address"},
		{"a banner that does not end", in("banner motd ^\nhello\n"), "does not end"},
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
	st := parse(t, `system default switchport
vlan 1,10,20-21
vlan 10
  name DMZ
vlan 900
  remote-span
vlan access-map x 10
interface port-channel1
  switchport mode trunk
  switchport trunk allowed vlan 10
  switchport trunk allowed vlan add 20
interface Ethernet1/1
interface Ethernet1/2
  switchport access vlan 10
  shutdown
interface Ethernet1/3
  no switchport
  mtu 9216
  ip address 10.0.0.1/31
  ipv6 address 2001:db8::1/64
interface Ethernet1/4
  switchport mode trunk
  switchport trunk allowed vlan none
  channel-group 1 mode active
interface Ethernet1/48
  switchport monitor
interface mgmt0
  ip address 192.0.2.1/24
interface Vlan10
  no shutdown
monitor erspan origin ip-address 10.0.0.1 global
`)
	want := models.DeviceState{
		Device: "sw1",
		Facts:  models.Facts{Hostname: "sw1", Version: "10.4(5)", Traits: []string{"erspan-origin 10.0.0.1", "monitor-unused Ethernet1/48"}},
		Ports: map[string]models.Port{
			"port-channel1": {Name: "port-channel1", Mode: models.PortTrunk, TrunkVLANs: []models.Range{models.One(10), models.One(20)}},
			eth(1):          {Name: eth(1), Mode: models.PortAccess, AccessVLAN: 1},
			eth(2):          {Name: eth(2), Mode: models.PortAccess, AccessVLAN: 10, AdminDown: true},
			eth(3):          {Name: eth(3), Mode: models.PortRouted, MTU: 9216, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/31"), netip.MustParsePrefix("2001:db8::1/64")}},
			eth(4):          {Name: eth(4), Mode: models.PortTrunk, TrunkVLANs: []models.Range{}, LAG: "port-channel1"},
			eth(48):         {Name: eth(48), Mode: models.PortAccess, AccessVLAN: 1},
		},
		VLANs: map[uint16]models.VLAN{1: {}, 10: {Name: "DMZ"}, 20: {}, 21: {}, 900: {RemoteSPAN: true}},
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	// Without the line the default is the model's, and not known.
	if p := parse(t, "interface Ethernet1/1\n").Ports[eth(1)]; p.Mode != "" {
		t.Errorf("port %+v", p)
	}
}

func TestParseOperation(t *testing.T) {
	rs := replies(head + "ip domain-name example.net\ninterface Ethernet1/1\ninterface Ethernet1/2\n  switchport access vlan 10\ninterface Ethernet1/48\n  switchport monitor\ninterface port-channel1\n" +
		"monitor session 1\n  destination interface Ethernet1/48\nmonitor session 3 type erspan-source\nsw1.example.net \n")
	set := func(i int, text string) { rs[i] = transport.Reply{Request: rs[i].Request, Text: text} }
	set(readMonitor, "   session 1\n---------------\ntype              : local\nstate             : down (Dst in wrong mode)\nsource intf       : \n    rx            : Eth1/1\n"+
		"   session 3\n---------------\ntype              : erspan-source\nversion           : 2\nstate             : up\n")
	set(readVersion, "Software\n  NXOS: version 10.4(5) [Maintenance Release]\n  Host NXOS: version 10.4(5)\n\nHardware\n  cisco Nexus9300 C93180YC-FX3H Chassis \n  Processor Board ID FDO20000000\n  Device name: sw1\n\nKernel uptime is 217 day(s)\n  System version: 10.3(2)\n")
	set(readInterfaces, `
--------------------------------------------------------------------------------
Ethernet      VLAN    Type Mode   Status  Reason                   Speed     Port
Interface                                                                    Ch #
--------------------------------------------------------------------------------
Eth1/1        --      eth  routed down    Administratively down      auto(D) --
Eth1/2        10      eth  access up      none                        10G(D) --
Eth1/48       monitor eth  access up      none                       1000(D) --
Po1          1       eth  trunk  up      none                       a-10G(D)  lacp
Eth1/99       1       eth  trunk  up      none                        10G(D) 19
sw1.example.net 
`)
	set(readNeighbors, `Capability codes:
  (R) Router, (B) Bridge
Device ID            Local Intf      Hold-time  Capability  Port ID  
spine1               Eth1/1          120        BR          Ethernet1/4
a-name-of-20-lettersmgmt0           120        B           Gi1/0/2
Total entries displayed: 2
`)
	set(readMACs, `Legend: 
        * - primary entry, G - Gateway MAC, (R) - Routed MAC, O - Overlay MAC
   VLAN     MAC Address      Type      age     Secure NTFY Ports
---------+-----------------+--------+---------+------+----+------------------
*    1     0011.2233.4455   dynamic  0         F      F    Eth1/2
+   10     0011.2233.4456   dynamic  ~~~       F      F    Eth1/2
G    -     0011.2233.4457   static   -         F      F    sup-eth1(R)
sw1
`)
	st, err := Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatal(err)
	}
	want := models.DeviceState{
		Device: "sw1",
		Facts:  models.Facts{Hostname: "sw1", Version: "10.4(5)", Model: "C93180YC-FX3H", Serial: "FDO20000000"},
		Sessions: []models.Session{
			{Device: "sw1", Number: 1, Role: models.RoleLocal, Shutdown: true, Destination: toPorts(eth(48)), Status: models.Status{State: models.OperDown, Reason: "Dst in wrong mode"}},
			{Device: "sw1", Number: 3, Role: models.RoleLocal, Shutdown: true, Extra: []string{"  no vrf"},
				Destination: models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2}}, Status: models.Status{State: models.OperUp}},
		},
		Ports: map[string]models.Port{
			eth(1):          {Name: eth(1), Mode: models.PortRouted, Oper: models.OperDown, Neighbors: []string{"spine1 Ethernet1/4"}},
			eth(2):          {Name: eth(2), Mode: models.PortAccess, AccessVLAN: 10, Oper: models.OperUp, MACs: 2},
			eth(48):         {Name: eth(48), Mode: models.PortAccess, AccessVLAN: 1, Oper: models.OperUp},
			"port-channel1": {Name: "port-channel1", Mode: models.PortTrunk, Oper: models.OperUp},
		},
		VLANs: map[uint16]models.VLAN{1: {}},
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	// A text is whole or an error. A few of its last characters mean nothing.
	for i := range readCount {
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
	f.Add(head+origin+"monitor session 1 type erspan-source\n  erspan-id 1\n  vrf default\n  source vlan 1,2-3\n  no shut\nsw1\n", " session 1\nstate : up\n")
	f.Add(head+ready+"ip access-list sp-session-1\n  10 permit tcp any eq www 10.0.0.0/8\nmonitor session 1\n  description x y\n  source interface Eth1/1-3 , po1 rx\n  destination interface Ethernet1/48\n  filter access-group sp-session-1\nsw1\n",
		" session 1\nstate : down (Session admin shut)\n")
	f.Add(head+"monitor session 1 type erspan-destination\n  source ip 10.0.0.1\nsw1\n", " session 1\nstate : up\n")
	f.Add(head+"monitor session 1\n  filter vlan 10,20-30\n  mtu 400\n  destination interface Ethernet1/48\n  rate-limit auto\nsw1\n", " session 1\nstate : up\n")
	f.Add(head+"ip access-list sp-session-9\n  10 permit udp any any\nsw1\n", "")
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
			if s.FilterName != "" && s.FilterName != listName(s.Number) {
				continue
			}
			sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{{Op: models.Create, After: &s}}}, drivers.RenderOptions{})
			if err != nil {
				continue // such as a session that nobody could want
			}
			again, err := Dialect{}.Parse("sw1", replies(head+"monitor erspan origin ip-address "+originOf(st)+" global\n"+typed(sc)+"sw1\n"))
			if err != nil {
				t.Fatalf("%v in\n%s", err, typed(sc))
			}
			if len(again.Sessions) != 1 || !models.SameConfig(s, again.Sessions[0]) {
				t.Errorf("it reads back as another (-first +again):\n%s\n%s", cmp.Diff([]models.Session{s}, again.Sessions, cmpAddr), typed(sc))
			}
		}
	})
}

// originOf gives the origin of ERSPAN; some address where there is none.
func originOf(st models.DeviceState) string {
	for _, x := range st.Facts.Traits {
		if a, ok := strings.CutPrefix(x, traitOrigin); ok {
			return a
		}
	}
	return "192.0.2.1"
}

// typed gives the lines of a script as a configuration has them.
func typed(sc transport.Script) string {
	out := ""
	for _, step := range sc.Steps {
		if step.Phase == transport.Edit && strings.TrimSpace(step.Text) != "exit" {
			out += step.Text + "\n"
		}
	}
	return out
}
