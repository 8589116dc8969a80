package eos

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

func TestSessionPrefix(t *testing.T) {
	if SessionPrefix != plan.SessionPrefix {
		t.Errorf("prefix is %q; plans use %q", SessionPrefix, plan.SessionPrefix)
	}
}

func edits(t testing.TB, cs ...models.Change) []string {
	t.Helper()
	sc, err := Dialect{}.Render(models.ChangeSet{Device: "leaf1", Changes: cs}, drivers.RenderOptions{Tag: "t1"})
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

func renderCreate(s models.Session) ([]string, error) {
	sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{{Op: models.Create, After: &s}}}, drivers.RenderOptions{Tag: "t"})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, st := range sc.Steps {
		if st.Phase == transport.Edit {
			out = append(out, st.Text)
		}
	}
	return out, nil
}

func want(f func(*models.Session)) *models.Session {
	s := models.Session{Device: "leaf1", Name: "sp-a", Role: models.RoleLocal, Intent: "a",
		Sources:     []models.Source{port("Ethernet1", models.Rx)},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48"}}}
	f(&s)
	s = s.Normalize()
	return &s
}

func filterTCP(f func(*models.Match)) []models.Rule {
	m := models.Match{Proto: "tcp", Dst: pfx("10.0.0.0/8")}
	f(&m)
	return []models.Rule{{Action: models.Include, Match: m}}
}

func TestRenderEdits(t *testing.T) {
	plain := want(func(*models.Session) {})
	filtered := want(func(s *models.Session) { s.Filter = filterTCP(func(*models.Match) {}) })
	tests := []struct {
		name string
		give models.Change
		want []string
	}{
		{"create", models.Change{Op: models.Create, After: plain}, []string{
			"monitor session sp-a source Ethernet1 rx", "monitor session sp-a destination Ethernet48"}},
		{"create with all", models.Change{Op: models.Create, After: want(func(s *models.Session) {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourceLAG, Name: "Port-Channel2", Direction: models.Both})
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"),
				Destination: netip.MustParseAddr("10.0.0.9"), TTL: 64, DSCP: 8, VRF: "MGMT", Key: 77}}
			s.Filter = []models.Rule{
				{Action: models.Exclude, Match: models.Match{Src: pfx("10.9.0.1/32")}},
				{Action: models.Include, Match: models.Match{Proto: "tcp", Dst: pfx("10.0.0.0/8"), Dport: []models.Range{models.One(80), {First: 8000, Last: 8010}}}},
				{Action: models.Include, Match: models.Match{Proto: "gre", Src: pfx("0.0.0.0/0")}},
			}
			s.TruncateTo, s.SampleOneIn = 128, 10
		})}, []string{
			"ip access-list sp-a",
			"   10 deny ip host 10.9.0.1 any",
			"   20 permit tcp any 10.0.0.0/8 eq 80",
			"   30 permit tcp any 10.0.0.0/8 range 8000 8010",
			"   40 permit 47 any any",
			"   exit",
			"monitor session sp-a source Ethernet1 rx",
			"monitor session sp-a source Port-Channel2 both",
			"monitor session sp-a destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9 ttl 64 dscp 8 vrf MGMT key 77",
			"monitor session sp-a ip access-group sp-a",
			"monitor session sp-a truncate size 128",
			"monitor session sp-a sample 10",
		}},
		{"delete", models.Change{Op: models.Delete, Before: plain}, []string{"no monitor session sp-a"}},
		{"delete takes the own access list", models.Change{Op: models.Delete, Before: filtered}, []string{"no monitor session sp-a", "no ip access-list sp-a"}},
		{"delete leaves another's access list", models.Change{Op: models.Delete, Before: want(func(s *models.Session) {
			s.Filter, s.FilterName = filterTCP(func(*models.Match) {}), "CORP"
		})}, []string{"no monitor session sp-a"}},
		{"delete of access lists without a session", models.Change{Op: models.Delete, Before: &models.Session{Name: "sp-a", Extra: []string{"ip access-list sp-a", "   10 permit ip any any"}}},
			[]string{"no ip access-list sp-a"}},
		{"one source more", models.Change{Op: models.Update, Before: plain, After: want(func(s *models.Session) {
			s.Sources = append(s.Sources, port("Ethernet2", models.Tx))
		})}, []string{"monitor session sp-a source Ethernet2 tx"}},
		{"another direction", models.Change{Op: models.Update, Before: plain, After: want(func(s *models.Session) { s.Sources[0].Direction = models.Both })},
			[]string{"no monitor session sp-a source Ethernet1", "monitor session sp-a source Ethernet1 both"}},
		{"another destination", models.Change{Op: models.Update, Before: plain, After: want(func(s *models.Session) { s.Destination.Ports = []string{"Ethernet47"} })},
			[]string{"no monitor session sp-a destination Ethernet48", "monitor session sp-a destination Ethernet47"}},
		{"truncation and sampling come", models.Change{Op: models.Update, Before: plain, After: want(func(s *models.Session) { s.TruncateTo, s.SampleOneIn = 64, 2 })},
			[]string{"monitor session sp-a truncate size 64", "monitor session sp-a sample 2"}},
		{"truncation and sampling go", models.Change{Op: models.Update, Before: want(func(s *models.Session) { s.TruncateTo, s.SampleOneIn = 64, 2 }), After: plain},
			[]string{"no monitor session sp-a truncate", "no monitor session sp-a sample"}},
		{"filter comes", models.Change{Op: models.Update, Before: plain, After: filtered},
			[]string{"ip access-list sp-a", "   10 permit tcp any 10.0.0.0/8", "   exit", "monitor session sp-a ip access-group sp-a"}},
		{"filter goes", models.Change{Op: models.Update, Before: filtered, After: plain},
			[]string{"no monitor session sp-a ip access-group sp-a", "no ip access-list sp-a"}},
		{"filter leaves another's access list", models.Change{Op: models.Update, Before: want(func(s *models.Session) {
			s.Filter, s.FilterName = filterTCP(func(m *models.Match) { m.Proto = "udp" }), "CORP"
		}), After: filtered}, []string{
			"no monitor session sp-a ip access-group CORP",
			"ip access-list sp-a", "   10 permit tcp any 10.0.0.0/8", "   exit", "monitor session sp-a ip access-group sp-a"}},
		{"another kind of destination is a new session", models.Change{Op: models.Update, Before: filtered, After: want(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")}}
		})}, []string{
			"no monitor session sp-a", "no ip access-list sp-a",
			"monitor session sp-a source Ethernet1 rx",
			"monitor session sp-a destination tunnel mode gre source 10.0.0.1 destination 10.0.0.9"}},
		{"lines by hand go with a new session", models.Change{Op: models.Update, Before: want(func(s *models.Session) { s.Extra = []string{"monitor session sp-a header remove size 4"} }), After: plain},
			[]string{"no monitor session sp-a", "monitor session sp-a source Ethernet1 rx", "monitor session sp-a destination Ethernet48"}},
		{"a session with lines by hand on both sides is a new session", models.Change{Op: models.Update,
			Before: want(func(s *models.Session) { s.Extra, s.TruncateTo = []string{"monitor session sp-a destination Cpu"}, 64 }),
			After:  want(func(s *models.Session) { s.Extra = []string{"monitor session sp-a destination Cpu"} })},
			[]string{"no monitor session sp-a", "monitor session sp-a source Ethernet1 rx", "monitor session sp-a destination Ethernet48", "monitor session sp-a destination Cpu"}},
		{"put back verbatim", models.Change{Op: models.Create, After: want(func(s *models.Session) {
			s.Sources = []models.Source{port("Ethernet1", models.Rx), port("Ethernet5", models.Both)}
			s.Extra = []string{"monitor session sp-a source Ethernet5 rx ip access-group X", "ip access-list sp-a", "   10 permit ip any any log", "monitor session sp-a ip access-group sp-a"}
		})}, []string{
			"monitor session sp-a source Ethernet1 rx",
			"monitor session sp-a source Ethernet5 tx",
			"monitor session sp-a destination Ethernet48",
			"monitor session sp-a source Ethernet5 rx ip access-group X",
			"ip access-list sp-a", "   10 permit ip any any log", "   exit",
			"monitor session sp-a ip access-group sp-a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, edits(t, tt.give)); d != "" {
				t.Errorf("lines (-want +got):\n%s", d)
			}
		})
	}
}

func TestRenderFrame(t *testing.T) {
	cs := models.ChangeSet{Changes: []models.Change{{Op: models.Delete, Before: want(func(*models.Session) {})}}}
	abort := []transport.Step{{Phase: transport.Enter, Text: "configure session spanctl-t1 abort"}}
	tests := []struct {
		name   string
		within time.Duration
		commit string
		want   transport.Script
	}{
		{"without a timer", 0, "commit", transport.Script{Discard: abort}},
		{"with a timer", 90 * time.Minute, "commit timer 01:30:00", transport.Script{Within: 90 * time.Minute, Discard: abort, Cancel: abort,
			Confirm: []transport.Step{{Phase: transport.Commit, Text: "configure session spanctl-t1 commit"}}}},
		{"a timer is rounded up", 1200 * time.Millisecond, "commit timer 00:00:02", transport.Script{Within: 2 * time.Second, Discard: abort, Cancel: abort,
			Confirm: []transport.Step{{Phase: transport.Commit, Text: "configure session spanctl-t1 commit"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Encoding = transport.CLI
			tt.want.Steps = []transport.Step{
				{Phase: transport.Enter, Text: "configure session spanctl-t1"},
				{Phase: transport.Edit, Text: "no monitor session sp-a", Session: "sp-a"},
				{Phase: transport.Commit, Text: tt.commit},
			}
			got, err := Dialect{}.Render(cs, drivers.RenderOptions{Tag: "t1", Within: tt.within})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("script (-want +got):\n%s", d)
			}
		})
	}
	if _, err := (Dialect{}).Render(cs, drivers.RenderOptions{Tag: "t1", Within: 24 * time.Hour}); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("a timer of a day gave %v; want ErrUnsupported", err)
	}
	for _, tag := range []string{"", "a b", "a\nb", strings.Repeat("x", 25)} {
		if _, err := (Dialect{}).Render(cs, drivers.RenderOptions{Tag: tag}); err == nil {
			t.Errorf("tag %q was taken", tag)
		}
	}
	if sc, err := (Dialect{}).Render(models.ChangeSet{}, drivers.RenderOptions{}); err != nil || !sc.Empty() {
		t.Errorf("no change gave %v, %v", sc, err)
	}
}

// TestRefused shows that what cannot be said is refused by Check, with what would
// work, and by Render, so that nothing odd can reach a device.
func TestRefused(t *testing.T) {
	rules := func(rs ...models.Rule) func(*models.Session) { return func(s *models.Session) { s.Filter = rs } }
	in := func(m models.Match) models.Rule { return models.Rule{Action: models.Include, Match: m} }
	ex := func(m models.Match) models.Rule { return models.Rule{Action: models.Exclude, Match: m} }
	gre := func(f func(*models.Tunnel)) func(*models.Session) {
		return func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")}}
			f(s.Destination.Tunnel)
		}
	}
	tests := []struct {
		name string
		give func(*models.Session)
		want string
	}{
		{"newline in the name", func(s *models.Session) { s.Name = "sp-a\nno monitor session x" }, "letters"},
		{"semicolon", func(s *models.Session) { s.Name = "sp-a;reload" }, "letters"},
		{"comment", func(s *models.Session) { s.Name = "!sp" }, "letters"},
		{"quote", func(s *models.Session) { s.Name = `sp"a` }, "letters"},
		{"space", func(s *models.Session) { s.Name = "sp a" }, "letters"},
		{"pipe", func(s *models.Session) { s.Name = "a|b" }, "letters"},
		{"no name", func(s *models.Session) { s.Name = "" }, "letters"},
		{"default", func(s *models.Session) { s.Name = "default" }, "all sessions"},
		{"source name", func(s *models.Session) { s.Sources[0].Name = "Ethernet1 rx\nreload" }, "no port of EOS"},
		{"short source name", func(s *models.Session) { s.Sources[0].Name = "Et1" }, "Ethernet1"},
		{"LAG as a port", func(s *models.Session) { s.Sources[0].Name = "Port-Channel1" }, "no port of EOS"},
		{"no direction", func(s *models.Session) { s.Sources[0].Direction = 0 }, "direction"},
		{"VLAN source", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx}}
		}, "name the ports"},
		{"destination name", func(s *models.Session) { s.Destination.Ports = []string{"Ethernet1;x"} }, "no port of EOS"},
		{"shutdown", func(s *models.Session) { s.Shutdown = true }, "delete it"},
		{"RSPAN", func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900}
		}, "use gre"},
		{"ERSPAN", func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2}}
		}, "use gre"},
		{"VXLAN", func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationVXLAN, Tunnel: &models.Tunnel{}}
		}, "use gre"},
		{"VRF", gre(func(t *models.Tunnel) { t.VRF = "a\nb" }), "VRF"},
		{"DSCP", gre(func(t *models.Tunnel) { t.DSCP = 64 }), "63"},
		{"session id in GRE", gre(func(t *models.Tunnel) { t.SessionID = 1 }), "key"},
		{"filter of both versions", rules(in(models.Match{Proto: "tcp"})), "add src: 0.0.0.0/0"},
		{"mixed families", rules(in(models.Match{Src: pfx("10.0.0.0/8")}), in(models.Match{Src: pfx("2001:db8::/32")})), "a mirror for each version"},
		{"exclusions only", rules(ex(models.Match{Src: pfx("10.0.0.0/8")})), "end the filter with include"},
		{"VLAN match", rules(in(models.Match{Src: pfx("10.0.0.0/8"), VLANs: []models.Range{models.One(10)}})), "filter by addresses"},
		{"access list name", func(s *models.Session) { s.Filter, s.FilterName = filterTCP(func(*models.Match) {}), "A B" }, "access list name"},
		{"line of another session", func(s *models.Session) { s.Extra = []string{"monitor session other destination Cpu"} }, "not of session"},
		{"line of another feature", func(s *models.Session) { s.Extra = []string{"no ip routing"} }, "not of session"},
		{"line with a newline", func(s *models.Session) { s.Extra = []string{"monitor session sp-a truncate\nreload"} }, "not of session"},
		{"indented line of nothing", func(s *models.Session) { s.Extra = []string{"   10 permit ip any any"} }, "not of session"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := want(tt.give)
			// What the capabilities refuse already, Check does not say again.
			claim := s.Destination.Kind != models.DestinationPort && s.Destination.Kind != models.DestinationGRE ||
				s.Sources[0].Kind == models.SourceVLAN || len(s.Filter) > 0 && len(s.Filter[0].Match.VLANs) > 0
			texts := strings.Join(Dialect{}.Check(*s), "\n")
			if claim == strings.Contains(texts, tt.want) {
				t.Errorf("Check says %q, of which %q is claimed: %v", texts, tt.want, claim)
			}
			sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{{Op: models.Create, After: s}}}, drivers.RenderOptions{Tag: "t"})
			if !errors.Is(err, drivers.ErrUnsupported) || !sc.Empty() || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Render gave %v, %v; want ErrUnsupported with %q, and nothing", sc, err, tt.want)
			}
		})
	}
	if got := (Dialect{}).Check(*want(gre(func(t *models.Tunnel) {
		t.Source, t.Destination = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9")
	}))); len(got) != 1 {
		t.Errorf("Check of an IPv6 tunnel says %q; want one refusal", got)
	}
	if got := (Dialect{}).Check(*want(gre(func(t *models.Tunnel) { t.VRF = "default" }))); len(got) != 1 {
		t.Errorf("Check of VRF default says %q; want one refusal", got)
	}
	if got := (Dialect{}).Check(*want(func(*models.Session) {})); len(got) != 0 {
		t.Errorf("Check of a plain session says %q", got)
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
	for range 20000 {
		var rules []models.Rule
		nets := [][]string{{"", "0.0.0.0/0", "10.0.0.0/8", "10.1.1.1/32"}, {"", "::/0", "2001:db8::/32", "2001:db8::1/128"}}[rnd.IntN(2)]
		for range 1 + rnd.IntN(4) {
			m := models.Match{Proto: pick("", "tcp", "udp", "icmp", "icmpv6", "gre", "99")}
			if p := pick(nets...); p != "" {
				m.Src = pfx(p)
			}
			if p := pick(nets...); p != "" {
				m.Dst = pfx(p)
			}
			if m.Proto == "tcp" || m.Proto == "udp" {
				m.Sport, m.Dport = ranges(), ranges()
			}
			rules = append(rules, models.Rule{Action: models.Action(1 + rnd.IntN(2)), Match: m})
		}
		s := want(func(s *models.Session) { s.Filter = rules })
		if len((Dialect{}).Check(*s)) > 0 {
			continue
		}
		taken++
		var body strings.Builder
		for _, l := range edits(t, models.Change{Op: models.Create, After: s}) {
			if l != "   exit" {
				body.WriteString(l + "\n")
			}
		}
		got := parse(t, body.String()).Sessions[0]
		if !models.SameConfig(*s, got) {
			t.Fatalf("filter %+v comes back as another (-want +got):\n%s\n%s", rules, cmp.Diff(s.Filter, got.Normalize().Filter, cmpPrefix), body.String())
		}
	}
	if taken < 1000 {
		t.Errorf("only %d filters were taken", taken)
	}
}
