package nxos

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

func create(s models.Session) models.Change { return models.Change{Op: models.Create, After: &s} }
func remove(s models.Session) models.Change { return models.Change{Op: models.Delete, Before: &s} }

func render(facts models.Facts, cs ...models.Change) (transport.Script, error) {
	return Dialect{}.Render(models.ChangeSet{Device: "sw1", Changes: cs}, drivers.RenderOptions{Facts: facts})
}

func texts(steps []transport.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Text)
	}
	return out
}

// span is an ordinary session.
func span(f func(*models.Session)) models.Session {
	s := models.Session{Device: "sw1", Number: 1, Intent: "ids", Sources: []models.Source{port(eth(1), models.Rx)}, Destination: toPorts(eth(48))}
	f(&s)
	return s.Normalize()
}

func TestRender(t *testing.T) {
	same := func(*models.Session) {}
	tests := []struct {
		name string
		give models.Change
		want string // steps of the edit, by " | "
	}{
		{"create", create(span(same)), "monitor session 1 |   description spanctl ids |   source interface Ethernet1/1 rx |   destination interface Ethernet1/48 | " +
			"interface Ethernet1/48 |   switchport monitor | monitor session 1 |   no shut | exit"},
		{"delete", remove(span(same)), "monitor session 1 |   shut | interface Ethernet1/48 |   no switchport monitor | exit | no monitor session 1"},
		{"shut", create(span(func(s *models.Session) { s.Shutdown = true })), "monitor session 1 |   description spanctl ids |   source interface Ethernet1/1 rx | " +
			"  destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor | exit"},
		{"the longest description that fits", create(span(func(s *models.Session) { s.Intent, s.Shutdown = strings.Repeat("a", 24), true })),
			"monitor session 1 |   description spanctl " + strings.Repeat("a", 24) + " |   source interface Ethernet1/1 rx |   destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor | exit"},
		{"a name that does not fit", create(span(func(s *models.Session) { s.Intent, s.Shutdown = strings.Repeat("a", 25), true })),
			"monitor session 1 |   source interface Ethernet1/1 rx |   destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor | exit"},
		{"a stranger's description stays", create(span(func(s *models.Session) { s.Intent, s.Shutdown, s.Extra = "", true, []string{"  description x  y"} })),
			"monitor session 1 |   source interface Ethernet1/1 rx |   description x  y |   destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor | exit"},
		{"a destination that was not ready", create(span(func(s *models.Session) { s.Intent, s.Extra = "", []string{"interface Ethernet1/48", noMonitorLine} })),
			"monitor session 1 |   source interface Ethernet1/1 rx |   destination interface Ethernet1/48 |   no shut | exit"},
		{"is not touched when it goes", remove(span(func(s *models.Session) { s.Extra = []string{"interface Ethernet1/48", noMonitorLine} })),
			"monitor session 1 |   shut | exit | no monitor session 1"},
		{"a destination that takes frames", create(span(func(s *models.Session) {
			s.Intent, s.Extra = "", []string{"interface Ethernet1/48", "  switchport monitor ingress"}
		})), "monitor session 1 |   source interface Ethernet1/1 rx |   destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor ingress | monitor session 1 |   no shut | exit"},
		{"all of ERSPAN", create(span(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Version, t.TTL, t.DSCP, t.VRF = 3, 64, 10, "MGMT" })
			s.Sources, s.TruncateTo = []models.Source{vlan(10, models.Rx), port("port-channel1", models.Both)}, 400
		})), "monitor session 1 type erspan-source |   description spanctl ids |   header-type 3 |   erspan-id 101 |   vrf MGMT |   destination ip 10.0.0.9 |   ip ttl 64 |   ip dscp 10 | " +
			"  mtu 400 |   source interface port-channel1 both |   source vlan 10 rx |   no shut | exit"},
		{"a filter", create(span(func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Exclude, Match: models.Match{Src: pfx("10.9.0.1/32")}}, {Action: models.Include, Match: models.Match{Proto: "gre", Dst: pfx("10.0.0.0/8")}}}
			s.Destination, s.Shutdown = erspan(func(*models.Tunnel) {}), true
		})), "ip access-list sp-session-1 |   deny ip 10.9.0.1/32 any |   permit 47 any 10.0.0.0/8 | monitor session 1 type erspan-source |   description spanctl ids |   erspan-id 101 | " +
			"  vrf default |   destination ip 10.0.0.9 |   filter access-group sp-session-1 |   source interface Ethernet1/1 rx | exit"},
		{"a filter of somebody", create(span(func(s *models.Session) {
			s.Filter, s.FilterName = []models.Rule{{Action: models.Include, Match: models.Match{Src: pfx("0.0.0.0/0")}}}, "CORP"
			s.Destination, s.Shutdown = erspan(func(*models.Tunnel) {}), true
		})), "monitor session 1 type erspan-source |   description spanctl ids |   erspan-id 101 |   vrf default |   destination ip 10.0.0.9 |   filter access-group CORP |   source interface Ethernet1/1 rx | exit"},
		{"a type outside of the model", create(models.Session{Number: 4, Shutdown: false, Destination: toPorts(eth(48)), Sources: []models.Source{{Kind: models.SourceOther, Name: "erspan-destination", Direction: models.Rx}},
			Extra: []string{"monitor session 4 type erspan-destination", "  erspan-id 7", "  destination interface Ethernet1/48"}}),
			"monitor session 4 type erspan-destination |   erspan-id 7 |   destination interface Ethernet1/48 | interface Ethernet1/48 |   switchport monitor | monitor session 4 |   no shut | exit"},
		{"an access list without a session", remove(models.Session{Number: 4, Extra: []string{"ip access-list sp-session-4", "  10 permit ip any any"}}), "no ip access-list sp-session-4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc, err := render(models.Facts{}, tt.give)
			if err != nil {
				t.Fatal(err)
			}
			got := texts(sc.Steps)
			if d := cmp.Diff("configure terminal | "+tt.want+" | end", strings.Join(got, " | ")); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
		})
	}
}

// TestRenderWayBack: a checkpoint is made where a way back is asked for, and only
// there.
func TestRenderWayBack(t *testing.T) {
	cs := models.ChangeSet{Changes: []models.Change{create(span(func(*models.Session) {}))}}
	sc, err := Dialect{}.Render(cs, drivers.RenderOptions{Tag: "0123456789", Within: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := [][]string{texts(sc.Steps)[:2], texts(sc.Confirm), texts(sc.Cancel), texts(sc.Restore), texts(sc.Forget)}
	want := [][]string{{"checkpoint spanctl-0123456789", "configure terminal"}, {"no checkpoint spanctl-0123456789"}, nil,
		{"rollback running-config checkpoint spanctl-0123456789 atomic"}, {"no checkpoint spanctl-0123456789"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("way back (-want +got):\n%s", d)
	}
	if sc.Within != 0 {
		t.Errorf("the device goes back after %s; it has no timer", sc.Within)
	}
	for answer, want := range map[string]bool{"Done": true, ".Done": true, "...........Done": true, "": true, "ERROR: no": false, "Checkpoint exists\nDone": false} {
		if ok, err := sc.Steps[0].Accepts(answer); ok != want || err != nil {
			t.Errorf("checkpoint that answers %q: %v, %v", answer, ok, err)
		}
	}
	for answer, want := range map[string]bool{"Collecting Running-Config\n\nRollback completed successfully.": true, "Rollback failed": false} {
		if ok, err := sc.Restore[0].Accepts(answer); ok != want || err != nil {
			t.Errorf("rollback that answers %q: %v, %v", answer, ok, err)
		}
	}
	if sc, err = (Dialect{}).Render(cs, drivers.RenderOptions{Tag: "x"}); err != nil || sc.Steps[0].Text != "configure terminal" || sc.Confirm != nil || sc.Restore != nil || sc.Forget != nil {
		t.Errorf("without a way back: %+v, %v", sc, err)
	}
	if sc, err = (Dialect{}).Render(models.ChangeSet{}, drivers.RenderOptions{Tag: "x", Within: time.Minute}); err != nil || !sc.Empty() {
		t.Errorf("without changes: %+v, %v", sc, err)
	}
}

func TestRenderRefuses(t *testing.T) {
	seen := models.Facts{Hostname: "sw1", Traits: []string{"erspan-origin 10.0.0.1"}}
	model := func(m string) models.Facts { f := seen; f.Model = m; return f }
	tests := []struct {
		name  string
		facts models.Facts
		give  models.Session
		want  string // "" = taken
	}{
		{"nothing seen", models.Facts{}, span(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Source = addr("10.0.0.2") })
		}), ""},
		{"origin", seen, span(func(s *models.Session) { s.Destination = erspan(func(*models.Tunnel) {}) }), ""},
		{"other origin", seen, span(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Source = addr("10.0.0.2") })
		}), "from 10.0.0.1, not from 10.0.0.2"},
		{"no origin", models.Facts{Hostname: "sw1"}, span(func(s *models.Session) { s.Destination = erspan(func(*models.Tunnel) {}) }), "monitor erspan origin ip-address 10.0.0.1 global"},
		{"port of others", models.Facts{Hostname: "sw1", Traits: []string{"monitor-unused Ethernet1/48"}}, span(func(*models.Session) {}), "without a session"},
		{"VLAN of an old model", model("C9372PX"), span(func(s *models.Session) { s.Sources = []models.Source{vlan(10, models.Tx)} }), "rx only"},
		{"VLAN rx of an old model", model("C9372PX"), span(func(s *models.Session) { s.Sources = []models.Source{vlan(10, models.Rx)} }), ""},
		{"VLAN of a new model", model("C93180YC-FX3"), span(func(s *models.Session) { s.Sources = []models.Source{vlan(10, models.Both)} }), ""},
		{"VLAN of an unknown model", model("C9504"), span(func(s *models.Session) { s.Sources = []models.Source{vlan(10, models.Both)} }), ""},
		{"truncate of a model", model("C93180YC-EX"), span(func(s *models.Session) { s.TruncateTo = 319 }), "320 to 1518"},
		{"truncate to the most", model("C93180YC-EX"), span(func(s *models.Session) { s.TruncateTo = 1518 }), ""},
		{"truncate of an unknown model", model("C9504"), span(func(s *models.Session) { s.TruncateTo = 319 }), ""},
		{"no number", seen, span(func(s *models.Session) { s.Number = 0 }), "no number"},
		{"number", seen, span(func(s *models.Session) { s.Number = 33 }), "1 to 32"},
		{"truncate", seen, span(func(s *models.Session) { s.TruncateTo = 63 }), "64 to 10239"},
		{"a line in a name", seen, span(func(s *models.Session) { s.Sources[0].Name = "Ethernet1/1\nreload" }), "no port of NX-OS"},
		{"LAG as the destination", seen, span(func(s *models.Session) { s.Destination = toPorts("port-channel1") }), "no physical port"},
		{"two destinations", seen, span(func(s *models.Session) { s.Destination = toPorts(eth(1), eth(2)) }), "one destination port"},
		{"filter of sent frames", seen, span(func(s *models.Session) {
			s.Sources[0].Direction = models.Both
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Src: pfx("0.0.0.0/0")}}}
		}), "received frames only"},
		{"filter of VLANs and addresses", seen, span(func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Src: pfx("10.0.0.0/8"), VLANs: []models.Range{models.One(10)}}}}
		}), "nothing else"},
		{"filter that excludes VLANs", seen, span(func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Exclude, Match: models.Match{VLANs: []models.Range{models.One(10)}}}}
		}), "nothing else"},
		{"VRF", seen, span(func(s *models.Session) { s.Destination = erspan(func(t *models.Tunnel) { t.VRF = "a b" }) }), "VRF"},
		{"erspan id", seen, span(func(s *models.Session) { s.Destination = erspan(func(t *models.Tunnel) { t.SessionID = 1024 }) }), "1 to 1023"},
		{"IPv6", seen, span(func(s *models.Session) {
			s.Destination = erspan(func(t *models.Tunnel) { t.Destination = addr("2001:db8::1") })
		}), "IPv4"},
		{"foreign line", seen, span(func(s *models.Session) { s.Extra = []string{"username x"} }), "is not of session 1"},
		{"foreign port", seen, span(func(s *models.Session) { s.Extra = []string{"interface Ethernet1/1", "  shutdown"} }), "is not of session 1"},
		{"foreign line of a port", seen, span(func(s *models.Session) { s.Extra = []string{"interface Ethernet1/48", "  shutdown"} }), "is not of session 1"},
		{"head of another session", seen, span(func(s *models.Session) { s.Extra = []string{"monitor session 2 type acl-capture"} }), "is not of session 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc, err := render(tt.facts, create(tt.give))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, drivers.ErrUnsupported)):
				t.Errorf("error is %v; want one with %q", err, tt.want)
			case tt.want != "" && !sc.Empty():
				t.Errorf("a script came with the error: %q", texts(sc.Steps))
			}
		})
	}
	if _, err := render(models.Facts{Hostname: "sw1", Traits: []string{"monitor-unused Ethernet1/48"}}, remove(span(func(*models.Session) {})), create(span(func(*models.Session) {}))); err != nil {
		t.Errorf("a port that becomes free in the same script: %v", err)
	}
	if _, err := render(models.Facts{}, models.Change{Op: models.Update}); err == nil {
		t.Error("a change without sides is taken")
	}
}
