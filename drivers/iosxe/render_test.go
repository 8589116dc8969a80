package iosxe

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// want gives a normalized local session 3, as edited.
func want(edits ...func(*models.Session)) *models.Session {
	s := models.Session{Device: "sw1", Number: 3, Intent: "ids-dmz", Role: models.RoleLocal,
		Sources: []models.Source{port(gi(1), models.Rx)}, Destination: toPorts(gi(48))}
	for _, e := range edits {
		e(&s)
	}
	s = s.Normalize()
	return &s
}

func toERSPAN(f func(*models.Tunnel)) func(*models.Session) {
	return func(s *models.Session) { s.Destination = erspan(f) }
}

func include(m models.Match) func(*models.Session) {
	return func(s *models.Session) { s.Filter = append(s.Filter, models.Rule{Action: models.Include, Match: m}) }
}

func exclude(m models.Match) func(*models.Session) {
	return func(s *models.Session) { s.Filter = append(s.Filter, models.Rule{Action: models.Exclude, Match: m}) }
}

func create(s *models.Session) models.Change { return models.Change{Op: models.Create, After: s} }

func remove(s *models.Session) models.Change { return models.Change{Op: models.Delete, Before: s} }

func render(t testing.TB, o drivers.RenderOptions, cs ...models.Change) transport.Script {
	t.Helper()
	sc, err := Dialect{}.Render(models.ChangeSet{Device: "sw1", Changes: cs}, o)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// edits gives the lines between those that enter and leave the configuration mode.
func edits(t testing.TB, o drivers.RenderOptions, cs ...models.Change) []string {
	t.Helper()
	steps := render(t, o, cs...).Steps
	if n := len(steps); steps[0].Phase != transport.Enter || steps[n-1].Phase != transport.Leave || steps[n-1].Text != "end" {
		t.Fatalf("steps %v", steps)
	}
	var out []string
	for _, s := range steps[1 : len(steps)-1] {
		if s.Phase != transport.Edit || s.Session == "" || s.Accept != "" {
			t.Errorf("step %+v", s)
		}
		out = append(out, s.Text)
	}
	return out
}

var (
	catalyst = models.Facts{Model: "C9300-24T"}
	router   = models.Facts{Model: "C8000V"}
)

func TestRender(t *testing.T) {
	update := models.Change{Op: models.Update, Before: want(), After: want(func(s *models.Session) { s.Sources[0].Direction = models.Tx })}
	tests := []struct {
		name  string
		give  models.Change
		facts models.Facts
		want  string
	}{
		{"local", create(want()), models.Facts{}, `
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"sources and destinations", create(want(func(s *models.Session) {
			s.Sources = append(s.Sources, port(gi(10), models.Both), port("Port-channel2", models.Tx))
			s.Destination.Ports = append(s.Destination.Ports, gi(47))
		})), catalyst, `
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 source interface GigabitEthernet1/0/10 both
monitor session 3 source interface Port-channel2 tx
monitor session 3 destination interface GigabitEthernet1/0/47
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"VLANs", create(want(func(s *models.Session) { s.Sources = []models.Source{vlan(10, models.Rx), vlan(20, models.Both)} })), catalyst, `
monitor session 3 source vlan 10 rx
monitor session 3 source vlan 20 both
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"RSPAN source", create(want(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		})), catalyst, `
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 destination remote vlan 900`},
		{"RSPAN destination", create(want(func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}
		})), catalyst, `
monitor session 3 source remote vlan 900
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"filter, before there is a destination", create(want(
			exclude(models.Match{Src: pfx("10.9.0.0/16"), Dst: pfx("10.1.1.1/32")}),
			include(models.Match{Proto: "tcp", Dst: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(80), {First: 8000, Last: 8080}}}),
			include(models.Match{Proto: "gre", Src: pfx("0.0.0.0/0")}))), catalyst, `
ip access-list extended sp-session-3
 deny ip 10.9.0.0 0.0.255.255 host 10.1.1.1
 permit tcp any 10.0.0.0 0.255.255.255 eq 80
 permit tcp any 10.0.0.0 0.255.255.255 range 8000 8080
 permit 47 any any
 exit
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 filter ip access-group sp-session-3
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"filter of IPv6", create(want(include(models.Match{Proto: "icmpv6", Src: pfx("2001:db8::/32")}))), catalyst, `
ipv6 access-list sp-session-3
 permit icmp 2001:db8::/32 any
 exit
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 filter ipv6 access-group sp-session-3
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"a list of somebody else stays", create(want(include(models.Match{Proto: "icmp"}), func(s *models.Session) { s.FilterName = "CORP" })), catalyst, `
monitor session 3 source interface GigabitEthernet1/0/1 rx
monitor session 3 filter ip access-group CORP
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"ERSPAN", create(want(toERSPAN(func(*models.Tunnel) {}))), catalyst, `
monitor session 3 type erspan-source
 description spanctl ids-dmz
 source interface GigabitEthernet1/0/1 rx
 destination
  erspan-id 101
  ip address 10.0.0.9
  origin ip address 10.0.0.1
 exit
 no shutdown
exit`},
		{"a router's ERSPAN would cut frames", create(want(toERSPAN(func(*models.Tunnel) {}))), router, `
monitor session 3 type erspan-source
 description spanctl ids-dmz
 source interface GigabitEthernet1/0/1 rx
 destination
  erspan-id 101
  ip address 10.0.0.9
  origin ip address 10.0.0.1
  mtu 9000
 exit
 no shutdown
exit`},
		{"ERSPAN with everything", create(want(toERSPAN(func(t *models.Tunnel) { t.Version, t.TTL, t.DSCP, t.VRF = 3, 33, 10, "MGMT" }),
			include(models.Match{Proto: "udp", Src: pfx("0.0.0.0/0")}), func(s *models.Session) { s.TruncateTo = 256 })), router, `
ip access-list extended sp-session-3
 permit udp any any
 exit
monitor session 3 type erspan-source
 header-type 3
 description spanctl ids-dmz
 source interface GigabitEthernet1/0/1 rx
 filter ip access-group sp-session-3
 destination
  erspan-id 101
  ip address 10.0.0.9
  origin ip address 10.0.0.1
  ip ttl 33
  ip dscp 10
  mtu 256
  vrf MGMT
 exit
 no shutdown
exit`},
		{"ERSPAN over IPv6, of nobody", create(want(toERSPAN(func(t *models.Tunnel) { t.Source, t.Destination = addr("2001:db8::1"), addr("2001:db8::9") }),
			func(s *models.Session) { s.Intent = "" })), catalyst, `
monitor session 3 type erspan-source
 source interface GigabitEthernet1/0/1 rx
 destination
  erspan-id 101
  ipv6 address 2001:db8::9
  origin ipv6 address 2001:db8::1
 exit
 no shutdown
exit`},
		{"local on a router", create(want()), router, `
monitor session 3 type local
 description spanctl ids-dmz
 source interface GigabitEthernet1/0/1 rx
 destination interface GigabitEthernet1/0/48
 no shutdown
exit`},
		{"delete", remove(want()), catalyst, "\nno monitor session 3"},
		{"delete with the list", remove(want(include(models.Match{Proto: "icmp"}), func(s *models.Session) { s.FilterName = "sp-session-3" })), catalyst, `
no monitor session 3
no ip access-list extended sp-session-3`},
		{"delete leaves the list of somebody else", remove(want(include(models.Match{Proto: "icmp"}), func(s *models.Session) { s.FilterName = "sp-session-4" })), catalyst,
			"\nno monitor session 3"},
		{"delete of a list without its session", remove(&models.Session{Number: 3, Extra: []string{"ipv6 access-list sp-session-3", " sequence 10 permit ipv6 any any"}}), catalyst,
			"\nno ipv6 access-list sp-session-3"},
		{"update", update, catalyst, `
no monitor session 3
monitor session 3 source interface GigabitEthernet1/0/1 tx
monitor session 3 destination interface GigabitEthernet1/0/48`},
		{"put back what the model has no field for", create(&models.Session{Number: 3, Sources: []models.Source{port(gi(1), models.Both), port(gi(2), models.Rx)}, Destination: toPorts(gi(47), gi(48)),
			Extra: []string{"monitor session 3 destination interface Gi1/0/48 encapsulation replicate", "monitor session 3 filter ip access-group sp-session-3",
				"ip access-list extended sp-session-3", " 10 permit ip any any log"}}), catalyst, `
ip access-list extended sp-session-3
 10 permit ip any any log
exit
monitor session 3 source interface GigabitEthernet1/0/1 both
monitor session 3 source interface GigabitEthernet1/0/2 rx
monitor session 3 destination interface GigabitEthernet1/0/47
monitor session 3 destination interface Gi1/0/48 encapsulation replicate
monitor session 3 filter ip access-group sp-session-3`},
		{"put back a shut ERSPAN session", create(&models.Session{Number: 3, Shutdown: true, Destination: erspan(func(*models.Tunnel) {}), TruncateTo: 1464,
			Extra: []string{" description ntp", "  ip prec 3", " source cpu rp"}}), catalyst, `
monitor session 3 type erspan-source
 description ntp
 source cpu rp
 destination
  erspan-id 101
  ip address 10.0.0.9
  origin ip address 10.0.0.1
  mtu 1464
  ip prec 3
 exit
exit`},
		{"put back a type outside of the model that ends deep", create(&models.Session{Number: 3, Sources: []models.Source{{Kind: models.SourceOther, Name: "erspan-destination"}},
			Extra: []string{"monitor session 3 type erspan-destination", " no shutdown", " source", "  erspan-id 1"}}), catalyst, `
monitor session 3 type erspan-destination
 no shutdown
 source
  erspan-id 1
 exit
exit`},
		{"put back a type outside of the model", create(&models.Session{Number: 3, Sources: []models.Source{{Kind: models.SourceOther, Name: "erspan-destination"}}, Destination: toPorts(gi(48)),
			Extra: []string{"monitor session 3 type erspan-destination", " destination interface Gi1/0/48", " source", "  erspan-id 1", "  ip address 10.0.0.9", " no shutdown"}}), catalyst, `
monitor session 3 type erspan-destination
 destination interface Gi1/0/48
 source
  erspan-id 1
  ip address 10.0.0.9
 exit
 no shutdown
exit`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := "\n" + strings.Join(edits(t, drivers.RenderOptions{Facts: tt.facts, Within: time.Minute}, tt.give), "\n")
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("lines (-want +got):\n%s", d)
			}
		})
	}
	if sc := render(t, drivers.RenderOptions{Within: time.Minute}); !sc.Empty() || sc.Within != 0 {
		t.Errorf("no change gives %v", sc)
	}
}

func TestRenderWayBack(t *testing.T) {
	archive := models.Facts{Traits: []string{TraitArchive}}
	tests := []struct {
		name   string
		o      drivers.RenderOptions
		enter  string
		within time.Duration
	}{
		{"no archive", drivers.RenderOptions{Within: time.Minute}, "configure terminal", 0},
		{"not asked for", drivers.RenderOptions{Facts: archive}, "configure terminal", 0},
		{"archive", drivers.RenderOptions{Within: 10 * time.Minute, Facts: archive}, "configure terminal revert timer 10", 10 * time.Minute},
		{"in whole minutes, never less", drivers.RenderOptions{Within: 61 * time.Second, Facts: archive}, "configure terminal revert timer 2", 2 * time.Minute},
		{"the longest", drivers.RenderOptions{Within: 2 * time.Hour, Facts: archive}, "configure terminal revert timer 120", 2 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := render(t, tt.o, create(want()))
			if sc.Steps[0].Text != tt.enter || sc.Within != tt.within {
				t.Errorf("%q within %s; want %q within %s", sc.Steps[0].Text, sc.Within, tt.enter, tt.within)
			}
			if timed := tt.within > 0; timed != (len(sc.Confirm) == 1) || timed != (len(sc.Cancel) == 1) || timed && (sc.Confirm[0].Text != "configure confirm" || sc.Cancel[0].Text != "configure revert now") {
				t.Errorf("confirm %v, cancel %v", sc.Confirm, sc.Cancel)
			}
		})
	}
	_, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{create(want())}}, drivers.RenderOptions{Within: 121 * time.Minute, Facts: archive})
	if !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("121 minutes give %v; want ErrUnsupported", err)
	}
}

// TestAccept: what a device says when all is well is accepted, a refusal is not.
func TestAccept(t *testing.T) {
	sc := render(t, drivers.RenderOptions{Within: time.Minute, Facts: models.Facts{Traits: []string{TraitArchive}}}, create(want()))
	enter, cancel := sc.Steps[0], sc.Cancel[0]
	tests := []struct {
		step transport.Step
		text string
		want bool
	}{
		{enter, "", true},
		{enter, "Enter configuration commands, one per line.  End with CNTL/Z.", true},
		{enter, "Rollback Confirmed Change: Backing up current running config to flash:archive-1\n\nEnter configuration commands, one per line.  End with CNTL/Z.", true},
		{enter, "% Error\nEnter configuration commands, one per line.  End with CNTL/Z.", false},
		{enter, "%Please turn config archive on", false},
		{cancel, "Rollback Confirmed Change: Rolling to: flash:archive-1\n\nTotal number of passes: 1\nRollback Done", true},
		{cancel, "Rollback Done", true},
		{cancel, "%No Rollback Confirmed Change pending", false},
		{sc.Steps[1], "% Local Session limit has been exceeded", false},
	}
	for _, tt := range tests {
		if got, err := tt.step.Accepts(tt.text); got != tt.want || err != nil {
			t.Errorf("%q accepts %q: %v, %v; want %v", tt.step.Text, tt.text, got, err, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	src := func(ss ...models.Source) func(*models.Session) { return func(s *models.Session) { s.Sources = ss } }
	dst := func(d models.Destination) func(*models.Session) { return func(s *models.Session) { s.Destination = d } }
	tests := []struct {
		name  string
		give  func(*models.Session)
		want  string
		claim bool // the capabilities refuse it, and Check does not say it again
	}{
		{"number", func(s *models.Session) { s.Number = 1025 }, "want 1 to 1024", false},
		{"port", src(port("Ethernet1 rx\nreload", models.Rx)), "no port of IOS-XE", false},
		{"port of another system", src(port("ge-0/0/1", models.Rx)), "no port of IOS-XE", false},
		{"kind of a port", src(models.Source{Kind: models.SourceLAG, Name: gi(1), Direction: models.Rx}), "no port of IOS-XE", false},
		{"no direction", src(models.Source{Kind: models.SourcePort, Name: gi(1)}), "no direction", false},
		{"ports and VLANs", src(port(gi(1), models.Rx), vlan(10, models.Rx)), "either ports or VLANs", false},
		{"RSPAN VLAN and ports", src(port(gi(1), models.Rx), models.Source{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}), "no other source", false},
		{"RSPAN VLAN", src(models.Source{Kind: models.SourceRemoteVLAN, VLAN: 1002, Direction: models.Rx}), "cannot be an RSPAN VLAN", false},
		{"RSPAN VLAN of the destination", dst(models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 1}), "cannot be an RSPAN VLAN", false},
		{"LAG as the destination", dst(toPorts("Port-channel1")), "physical ports", false},
		{"LAG and filter", func(s *models.Session) {
			s.Sources = []models.Source{port("Port-channel1", models.Rx)}
			include(models.Match{Proto: "icmp"})(s)
		}, "member ports", false},
		{"filter at the end of an RSPAN", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}
			include(models.Match{Proto: "icmp"})(s)
		}, "filter there", false},
		{"filter of both versions", include(models.Match{Proto: "tcp"}), "add src: 0.0.0.0/0 or src: ::/0", false},
		{"exclusions only", exclude(models.Match{Proto: "icmp"}), "end the filter with include", false},
		{"said twice", func(s *models.Session) {
			include(models.Match{Proto: "udp", Src: pfx("10.0.0.0/8")})(s)
			exclude(models.Match{Proto: "icmp"})(s)
			include(models.Match{Proto: "udp", Src: pfx("10.0.0.0/8")})(s)
		}, "twice", false},
		{"ports of SCTP", include(models.Match{Proto: "sctp", Src: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(1)}}), "leave the ports out", false},
		{"VLAN match", include(models.Match{Src: pfx("10.0.0.0/8"), VLANs: []models.Range{models.One(10)}}), "filter by addresses", true},
		{"sample", func(s *models.Session) { s.SampleOneIn = 10 }, "every frame", true},
		{"GRE", dst(models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{}}), "plain GRE", true},
		{"type I", toERSPAN(func(t *models.Tunnel) { t.Version, t.SessionID = 1, 0 }), "type I", true},
		{"key", toERSPAN(func(t *models.Tunnel) { t.Key = 1 }), "no key", true},
		{"no id", toERSPAN(func(t *models.Tunnel) { t.SessionID = 0 }), "a sessionId", false},
		{"id", toERSPAN(func(t *models.Tunnel) { t.SessionID = 1024 }), "1 to 1023", false},
		{"addresses", toERSPAN(func(t *models.Tunnel) { t.Source = addr("2001:db8::1") }), "different IP versions", false},
		{"TTL 1", toERSPAN(func(t *models.Tunnel) { t.TTL = 1 }), "2 to 255", false},
		{"hop limit", toERSPAN(func(t *models.Tunnel) { t.TTL, t.Source, t.Destination = 9, addr("2001:db8::1"), addr("2001:db8::9") }), "leave ttl out", false},
		{"VRF", toERSPAN(func(t *models.Tunnel) { t.VRF = "a b" }), "VRF", false},
		{"truncated to a port", func(s *models.Session) { s.TruncateTo = 256 }, "stay whole", false},
		{"truncated too much", func(s *models.Session) { toERSPAN(func(*models.Tunnel) {})(s); s.TruncateTo = 175 }, "176 to 8999", false},
		{"truncated too little", func(s *models.Session) { toERSPAN(func(*models.Tunnel) {})(s); s.TruncateTo = 9000 }, "176 to 8999", false},
		{"shut", func(s *models.Session) { s.Shutdown = true }, "delete it instead", false},
		{"line of another session", func(s *models.Session) { s.Extra = []string{"monitor session 4 source cpu"} }, "not of session 3", false},
		{"line of another feature", func(s *models.Session) { s.Extra = []string{"no ip routing"} }, "not of session 3", false},
		{"line with a newline", func(s *models.Session) { s.Extra = []string{"monitor session 3 source cpu\nreload"} }, "not of session 3", false},
		{"list of another session", func(s *models.Session) { s.Extra = []string{"ip access-list extended sp-session-4"} }, "not of session 3", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := want(tt.give)
			texts := strings.Join(Dialect{}.Check(*s), "\n")
			if tt.claim == strings.Contains(texts, tt.want) {
				t.Errorf("Check says %q, of which %q is claimed: %v", texts, tt.want, tt.claim)
			}
			sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{create(s)}}, drivers.RenderOptions{})
			if !errors.Is(err, drivers.ErrUnsupported) || !sc.Empty() || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Render gave %v, %v; want ErrUnsupported with %q, and nothing", sc, err, tt.want)
			}
		})
	}
	if got := (Dialect{}).Check(*want()); len(got) != 0 {
		t.Errorf("Check of a plain session says %q", got)
	}
}

// TestRefusedByFacts: what this model, or this device, has no form for.
func TestRefusedByFacts(t *testing.T) {
	tests := []struct {
		name  string
		give  *models.Session
		facts models.Facts
		want  string
	}{
		{"number of a Catalyst", want(func(s *models.Session) { s.Number = 67 }), catalyst, "up to 66"},
		{"RSPAN on a router", want(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		}), router, "use erspan"},
		{"local on an ASR 1000", want(), models.Facts{Model: "ASR1001-X"}, "no local sessions"},
		{"type III where there is only II", want(toERSPAN(func(t *models.Tunnel) { t.Version = 3 })), models.Facts{Traits: []string{TraitTypeII}}, "use version 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{create(tt.give)}}, drivers.RenderOptions{Facts: tt.facts})
			if !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Render gave %v; want ErrUnsupported with %q", err, tt.want)
			}
			if _, err := (Dialect{}).Render(models.ChangeSet{Changes: []models.Change{create(tt.give)}}, drivers.RenderOptions{}); err != nil {
				t.Errorf("without facts: %v", err)
			}
		})
	}
}

// TestFilterRoundTrip: any filter that Check lets through comes back from the
// device as it was.
func TestFilterRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	ranges := func() []models.Range {
		var out []models.Range
		for range rnd.IntN(4) {
			a := uint16(rnd.IntN(20) * 11)
			out = append(out, models.Range{First: a, Last: a + uint16(rnd.IntN(2)*5)})
		}
		return out
	}
	taken := 0
	for range 10000 {
		nets := [][]string{{"", "0.0.0.0/0", "10.0.0.0/8", "10.1.1.1/32"}, {"", "::/0", "2001:db8::/32", "2001:db8::1/128"}}[rnd.IntN(2)]
		var es []func(*models.Session)
		for range 1 + rnd.IntN(4) {
			m := models.Match{Proto: pick("", "tcp", "udp", "icmp", "icmpv6", "gre", "sctp", "99")}
			if p := pick(nets...); p != "" {
				m.Src = pfx(p)
			}
			if p := pick(nets...); p != "" {
				m.Dst = pfx(p)
			}
			if m.Proto == "tcp" || m.Proto == "udp" {
				m.Sport, m.Dport = ranges(), ranges()
			}
			es = append(es, []func(models.Match) func(*models.Session){include, exclude}[rnd.IntN(2)](m))
		}
		s := want(es...)
		if len((Dialect{}).Check(*s)) > 0 {
			continue
		}
		taken++
		var body strings.Builder
		for _, l := range edits(t, drivers.RenderOptions{}, create(s)) {
			if strings.TrimSpace(l) != "exit" {
				body.WriteString(l + "\n")
			}
		}
		got := parse(t, body.String()).Sessions[0]
		if !models.SameConfig(*s, got) {
			t.Fatalf("the filter comes back as another (-want +got):\n%s\n%s", cmp.Diff(s.Filter, got.Normalize().Filter, cmpAddr), body.String())
		}
	}
	if taken < 500 {
		t.Errorf("only %d filters were taken", taken)
	}
}
