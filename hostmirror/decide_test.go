package hostmirror

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

const host models.DeviceID = "host1"

// testHost has ports r0 and r1 in a bridge, two monitor ports, a bond with a member,
// a VLAN interface on r0, and a veth pair of which both ends are here.
func testHost() *snapshot {
	return &snapshot{
		hostname: "h", release: "6.1.0",
		links: []link{
			{index: 1, name: "r0", up: true, runs: true, mtu: 1500, master: 8, macs: 3},
			{index: 2, name: "r1", up: true, runs: true, mtu: 1500, master: 8},
			{index: 3, name: "m0", up: true, runs: true, mtu: 1500},
			{index: 4, name: "m1", up: true, runs: true, mtu: 1500},
			{index: 5, name: "bond0", kind: "bond", up: true, runs: true},
			{index: 6, name: "b1", up: true, runs: true, master: 5},
			{index: 7, name: "r0.100", kind: "vlan", parent: 1, up: true, runs: true},
			{index: 8, name: "br0", kind: "bridge", up: true, runs: true},
			{index: 9, name: "v0", kind: "veth", up: true, runs: true, peer: 10},
			{index: 10, name: "v1", kind: "veth", up: true, runs: true, peer: 9},
		},
		qdiscs: []tcnl.Qdisc{{Ifindex: 1, Kind: "clsact"}, {Ifindex: 4, Kind: "ingress"}},
	}
}

// copied is a filter as we make it.
func copied(session string, source int, hook tcnl.Hook, priority uint16, target int) tcnl.Filter {
	c := mark{session: hashOf(host, session), hook: hook}.cookie()
	return tcnl.Filter{
		ID:       tcnl.ID{Ifindex: source, Hook: hook, Priority: priority, Protocol: tcnl.ProtocolAll, Kind: tcnl.MatchAll, Handle: 1},
		CatchAll: true,
		Actions: []tcnl.Action{{
			Kind: "mirred", Verdict: tcnl.Continue, Cookie: c[:], Mirred: &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: target},
		}},
	}
}

// foreign is a filter without a cookie.
func foreign(source int, hook tcnl.Hook, priority uint16, verdict tcnl.Verdict, m *tcnl.Mirred) tcnl.Filter {
	f := copied("", source, hook, priority, 0)
	f.Kind = "flower"
	f.CatchAll = false
	f.Actions[0].Cookie, f.Actions[0].Verdict, f.Actions[0].Mirred = nil, verdict, m
	if m == nil {
		f.Actions[0].Kind = "gact"
	}
	return f
}

func session(name string, to []string, sources ...models.Source) models.Session {
	return models.Session{
		Device: host, Name: name, Role: models.RoleLocal, Sources: sources,
		Destination: models.Destination{Kind: models.DestinationPort, Ports: to},
	}.Normalize()
}

func port(name string, d models.Direction) models.Source {
	return models.Source{Kind: models.SourcePort, Name: name, Direction: d}
}

func create(s models.Session) models.ChangeSet {
	return models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Create, After: &s}}}
}

func texts(s transport.Script) []string {
	var out []string
	for _, step := range s.Steps {
		out = append(out, step.Text)
	}
	return out
}

func TestState(t *testing.T) {
	s := testHost()
	up := models.Status{State: models.OperUp}
	tests := []struct {
		name    string
		filters []tcnl.Filter
		want    []models.Session
	}{
		{"nothing", nil, nil},
		{
			"both directions, two destinations",
			[]tcnl.Filter{
				copied("sp-a", 1, tcnl.Ingress, 21328, 3), copied("sp-a", 1, tcnl.Ingress, 21329, 4),
				copied("sp-a", 1, tcnl.Egress, 21360, 3), copied("sp-a", 1, tcnl.Egress, 21361, 4),
			},
			[]models.Session{func() models.Session {
				x := session("sp-a", []string{"m0", "m1"}, port("r0", models.Both))
				x.Status = up
				return x
			}()},
		},
		{
			"a copy that is missing, and one twice",
			[]tcnl.Filter{
				copied("sp-a", 1, tcnl.Ingress, 21328, 3), copied("sp-a", 1, tcnl.Ingress, 21329, 3),
				copied("sp-a", 2, tcnl.Ingress, 21328, 4),
			},
			[]models.Session{func() models.Session {
				x := session("sp-a", []string{"m0", "m1"}, port("r0", models.Rx), port("r1", models.Rx))
				x.Extra = []string{
					"r0 ingress: copied 2 times to m0", "r0 ingress: not copied to m1", "r1 ingress: not copied to m0",
				}
				x.Status = up
				return x
			}()},
		},
		{
			"changed by hand",
			[]tcnl.Filter{func() tcnl.Filter {
				f := copied("sp-a", 1, tcnl.Ingress, 21328, 3)
				f.CatchAll = false
				f.Actions[0].Verdict = tcnl.Pipe
				f.Actions[0].Mirred.Mode = tcnl.EgressRedirect
				return f
			}()},
			[]models.Session{func() models.Session {
				x := session("sp-a", []string{"m0"}, port("r0", models.Rx))
				x.Extra = []string{
					"r0 ingress pref 21328: does not take every frame",
					"r0 ingress pref 21328: does an egress redirect",
					"r0 ingress pref 21328: ends with pipe",
				}
				x.Status = up
				return x
			}()},
		},
		{
			"destination gone, name unknown",
			[]tcnl.Filter{copied("sp-unheard", 1, tcnl.Egress, 21360, 0)},
			[]models.Session{func() models.Session {
				x := session(hashOf(host, "sp-unheard").name(), nil, port("r0", models.Tx))
				x.Extra = []string{"r0 egress pref 21360: has lost its destination"}
				x.Status = models.Status{State: models.OperDown, Reason: "a destination is gone"}
				return x
			}()},
		},
		{
			"somebody decides before us",
			[]tcnl.Filter{copied("sp-a", 1, tcnl.Ingress, 21328, 3), foreign(1, tcnl.Ingress, 100, tcnl.Shot, nil)},
			[]models.Session{func() models.Session {
				x := session("sp-a", []string{"m0"}, port("r0", models.Rx))
				x.Status = models.Status{State: models.OperUnknown, Reason: "flower filter pref 100 on r0 ingress decides over frames before they can be copied"}
				return x
			}()},
		},
		{
			"u32 lists a filter under the other hook too",
			[]tcnl.Filter{
				copied("sp-a", 1, tcnl.Ingress, 21328, 3),
				func() tcnl.Filter { f := copied("sp-a", 1, tcnl.Ingress, 21328, 3); f.Hook = tcnl.Egress; return f }(),
			},
			[]models.Session{func() models.Session {
				x := session("sp-a", []string{"m0"}, port("r0", models.Rx))
				x.Status = up
				return x
			}()},
		},
		{
			"mirrors of others",
			[]tcnl.Filter{
				foreign(1, tcnl.Egress, 7, tcnl.Pipe, &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: 3}),
				foreign(2, tcnl.Ingress, 8, tcnl.Stolen, &tcnl.Mirred{Mode: tcnl.EgressRedirect, Ifindex: 4}),
				foreign(2, tcnl.Ingress, 9, tcnl.Shot, nil),
			},
			[]models.Session{
				func() models.Session {
					x := session("tc/r0/egress/7/0x1", []string{"m0"}, port("r0", models.Tx))
					x.Extra = []string{"tc filter protocol all flower, some frames, actions: mirred pipe"}
					return x
				}(),
				func() models.Session {
					x := session("tc/r1/ingress/8/0x1", nil, port("r1", models.Rx))
					x.Destination = models.Destination{Kind: models.DestinationOther, Ports: []string{"egress redirect to m1"}}
					x.Extra = []string{"tc filter protocol all flower, some frames, actions: mirred stolen"}
					return x
				}(),
			},
		},
		{
			"one of two actions is foreign",
			[]tcnl.Filter{func() tcnl.Filter {
				f := copied("sp-a", 1, tcnl.Ingress, 21328, 3)
				f.Actions = append(f.Actions, tcnl.Action{Kind: "gact"})
				return f
			}()},
			[]models.Session{func() models.Session {
				x := session("tc/r0/ingress/21328/0x1", []string{"m0"}, port("r0", models.Rx))
				x.Extra = []string{"tc filter protocol all matchall, all frames, actions: mirred continue, gact pass"}
				return x
			}()},
		},
	}
	names := map[sessionHash]string{hashOf(host, "sp-a"): "sp-a"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.filters = tt.filters
			if d := cmp.Diff(tt.want, s.state(host, names).Sessions); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

func TestStateOfDestination(t *testing.T) {
	s := testHost()
	s.links[2].runs = false
	s.filters = []tcnl.Filter{copied("sp-a", 1, tcnl.Ingress, 21328, 3)}
	got := s.state(host, nil).Sessions[0].Status
	if want := (models.Status{State: models.OperDown, Reason: "destination m0 is down"}); got != want {
		t.Errorf("status %+v, want %+v", got, want)
	}
}

// Programs that run before our filter can hide frames from it.
func TestStateWithProgramsBeforeUs(t *testing.T) {
	tests := []struct {
		name   string
		hook   tcnl.Hook
		change func(*snapshot)
		want   models.OperState
	}{
		{"XDP and rx", tcnl.Ingress, func(s *snapshot) { s.links[0].xdp = true }, models.OperUnknown},
		{"XDP and tx", tcnl.Egress, func(s *snapshot) { s.links[0].xdp = true }, models.OperUp},
		{"tcx on the hook", tcnl.Egress, func(s *snapshot) { s.tcx = map[point][]tcxProgram{{1, tcnl.Egress}: {{}}} }, models.OperUnknown},
		{"tcx on the other hook", tcnl.Ingress, func(s *snapshot) { s.tcx = map[point][]tcxProgram{{1, tcnl.Egress}: {{}}} }, models.OperUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.filters = []tcnl.Filter{copied("sp-a", 1, tt.hook, 21328, 3)}
			tt.change(s)
			if got := s.state(host, nil).Sessions[0].Status; got.State != tt.want || (got.Reason == "") != (tt.want == models.OperUp) {
				t.Errorf("status %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	got := testHost().ports()
	want := map[string]models.Port{
		"r0": {Name: "r0", Mode: models.PortAccess, Oper: models.OperUp, MTU: 1500, MACs: 3},
		"m0": {Name: "m0", Oper: models.OperUp, MTU: 1500},
		"b1": {Name: "b1", Oper: models.OperUp, LAG: "bond0"},
	}
	for name, w := range want {
		if d := cmp.Diff(w, got[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if len(got) != len(testHost().links) {
		t.Errorf("%d ports of %d", len(got), len(testHost().links))
	}
}

// TestAddresses: what the kernel gives to every device by itself makes no routed port.
func TestAddresses(t *testing.T) {
	var s snapshot
	s.setLinks([]tcnl.Link{{Index: 1, Name: "m0"}, {Index: 2, Name: "r0"}}, []tcnl.Addr{
		{Ifindex: 1, Prefix: netip.MustParsePrefix("fe80::1/64")}, {Ifindex: 2, Prefix: netip.MustParsePrefix("fe80::2/64")},
		{Ifindex: 2, Prefix: netip.MustParsePrefix("2001:db8::1/64")}, {Ifindex: 2, Prefix: netip.MustParsePrefix("169.254.0.1/16")},
	}, nil)
	got := s.ports()
	if m := got["m0"]; m.Mode == models.PortRouted || len(m.Addresses) != 0 {
		t.Errorf("m0 %+v", m)
	}
	if r := got["r0"]; r.Mode != models.PortRouted || len(r.Addresses) != 2 {
		t.Errorf("r0 %+v", r)
	}
}

func TestRender(t *testing.T) {
	a := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	cookie := func(name string, h tcnl.Hook) string {
		return mark{session: hashOf(host, name), hook: h}.cookie().String()
	}
	in, out := cookie("sp-a", tcnl.Ingress), cookie("sp-a", tcnl.Egress)
	add := func(dev, hook string, pref int, to, cookie string) string {
		return fmt.Sprintf("tc filter add dev %s %s pref %d protocol all matchall action mirred egress mirror dev %s continue cookie %s", dev, hook, pref, to, cookie)
	}
	del := func(dev, hook string, pref int, cookie string) string {
		return fmt.Sprintf("tc filter del dev %s %s pref %d protocol all handle 0x1 matchall # cookie %s", dev, hook, pref, cookie)
	}
	wider := session("sp-a", []string{"m0"}, port("r0", models.Both), port("r1", models.Rx))
	moved := session("sp-a", []string{"m1"}, port("r0", models.Rx))
	unheard := session(hashOf(host, "sp-unheard").name(), []string{"m0"}, port("r0", models.Rx))
	tests := []struct {
		name    string
		filters []tcnl.Filter
		changes []models.Change
		want    []string
	}{
		{"nothing", nil, nil, nil},
		{
			"create where clsact is", nil, []models.Change{{Op: models.Create, After: &a}},
			[]string{add("r0", "ingress", 21328, "m0", in)},
		},
		{
			"create on several ports", nil, []models.Change{{Op: models.Create, After: &wider}},
			[]string{
				add("r0", "ingress", 21328, "m0", in), add("r0", "egress", 21360, "m0", out),
				"tc qdisc add dev r1 clsact", add("r1", "ingress", 21328, "m0", in),
			},
		},
		{
			"the priority is somebody else's", []tcnl.Filter{foreign(1, tcnl.Ingress, 21328, tcnl.Shot, nil)},
			[]models.Change{{Op: models.Create, After: &a}}, []string{add("r0", "ingress", 21329, "m0", in)},
		},
		{
			"update adds what is lacking only", []tcnl.Filter{copied("sp-a", 1, tcnl.Ingress, 21328, 3)},
			[]models.Change{{Op: models.Update, Before: &a, After: &wider}},
			[]string{
				add("r0", "egress", 21360, "m0", out),
				"tc qdisc add dev r1 clsact", add("r1", "ingress", 21328, "m0", in),
			},
		},
		{
			"update makes before it breaks", []tcnl.Filter{copied("sp-a", 1, tcnl.Ingress, 21328, 3)},
			[]models.Change{{Op: models.Update, Before: &a, After: &moved}},
			[]string{add("r0", "ingress", 21329, "m1", in), del("r0", "ingress", 21328, in)},
		},
		{
			"update replaces what was changed by hand", []tcnl.Filter{func() tcnl.Filter {
				f := copied("sp-a", 1, tcnl.Ingress, 21328, 3)
				f.Actions[0].Verdict = tcnl.OK
				return f
			}()},
			[]models.Change{{Op: models.Update, Before: &a, After: &a}},
			[]string{add("r0", "ingress", 21329, "m0", in), del("r0", "ingress", 21328, in)},
		},
		{
			"delete takes ours only", []tcnl.Filter{
				copied("sp-a", 1, tcnl.Ingress, 21328, 3), copied("sp-b", 1, tcnl.Ingress, 21329, 3),
				foreign(1, tcnl.Ingress, 21330, tcnl.Pipe, &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: 3}),
			},
			[]models.Change{{Op: models.Delete, Before: &a}}, []string{del("r0", "ingress", 21328, in)},
		},
		{"delete of what is gone", nil, []models.Change{{Op: models.Delete, Before: &a}}, nil},
		{
			"delete and create again", []tcnl.Filter{copied("sp-a", 1, tcnl.Ingress, 21328, 3)},
			[]models.Change{{Op: models.Delete, Before: &a}, {Op: models.Create, After: &moved}},
			[]string{del("r0", "ingress", 21328, in), add("r0", "ingress", 21328, "m1", in)},
		},
		{
			"an unknown one is deleted by its hash", []tcnl.Filter{copied("sp-unheard", 1, tcnl.Ingress, 21328, 3)},
			[]models.Change{{Op: models.Delete, Before: &unheard}}, []string{del("r0", "ingress", 21328, cookie("sp-unheard", tcnl.Ingress))},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.filters = tt.filters
			before := slices.Clone(tt.filters)
			got, err := render(host, s, kernel{kind: tcnl.MatchAll, method: MethodTC}, models.ChangeSet{Device: host, Changes: tt.changes})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, texts(got)); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, s.filters); d != "" {
				t.Errorf("the snapshot was changed:\n%s", d)
			}
			for _, step := range got.Steps {
				if _, err := parseOperation(step.Text); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	a := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	with := func(change func(*models.Session)) models.Session {
		s := session("sp-a", []string{"m0"}, port("r0", models.Rx))
		change(&s)
		return s
	}
	full := func(s *snapshot) {
		for p := range uint16(filtersPerHook) {
			s.filters = append(s.filters, foreign(1, tcnl.Ingress, firstPriority+p, tcnl.Continue, nil))
		}
	}
	mirrored := func(from, to int) func(*snapshot) {
		return func(s *snapshot) { s.filters = append(s.filters, copied("sp-other", from, tcnl.Ingress, 21340, to)) }
	}
	tests := []struct {
		name  string
		state func(*snapshot)
		cs    models.ChangeSet
		kind  transport.Kind
		want  string
	}{
		{"exists already", mirroredAs("sp-a"), create(a), transport.Rejected, "is there already"},
		{"foreign", nil, models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Delete, Before: new(session("tc/r0/ingress/1/0x1", []string{"m0"}, port("r0", models.Rx)))}}}, transport.Rejected, "never changed"},
		{"no operation", nil, models.ChangeSet{Device: host, Changes: []models.Change{{After: &a}}}, transport.Rejected, "not known"},
		{"empty change", nil, models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Create}}}, transport.Rejected, "without a session"},
		{"no such source", nil, create(session("sp-a", []string{"m0"}, port("r9", models.Rx))), transport.Rejected, "source r9 does not exist"},
		{"no such destination", nil, create(session("sp-a", []string{"m9"}, port("r0", models.Rx))), transport.Rejected, "destination m9 does not exist"},
		{"bridge as source", nil, create(session("sp-a", []string{"m0"}, port("br0", models.Rx))), drivers.Unsupported, "name its ports"},
		{"VLAN and its port", nil, create(session("sp-a", []string{"m0"}, port("r0", models.Rx), port("r0.100", models.Rx))), drivers.Unsupported, "copied twice"},
		{"bond and its member", nil, create(session("sp-a", []string{"m0"}, port("b1", models.Rx), port("bond0", models.Rx))), drivers.Unsupported, "copied twice"},
		{"tx beside an ingress qdisc", nil, create(session("sp-a", []string{"m0"}, port("m1", models.Tx))), drivers.Unsupported, "ingress qdisc that is not ours"},
		{"no priority left", full, create(a), drivers.Unsupported, "no free filter priority"},
		{"to itself", nil, create(session("sp-a", []string{"r0"}, port("r0", models.Rx))), drivers.Unsupported, "mirrored to itself"},
		{"to each other", mirrored(3, 1), create(a), transport.Rejected, "copies into production"},
		{"to each other, through a third", func(s *snapshot) { mirrored(3, 4)(s); mirrored(4, 1)(s) }, create(a), transport.Rejected, "copies into production"},
		{"to each other, in one script", nil, models.ChangeSet{Device: host, Changes: []models.Change{
			{Op: models.Create, After: &a}, {Op: models.Create, After: new(session("sp-b", []string{"r0"}, port("m0", models.Rx)))},
		}}, transport.Rejected, "copies into production"},
		{"foreign mirror the other way", func(s *snapshot) {
			s.filters = append(s.filters, foreign(3, tcnl.Egress, 5, tcnl.Pipe, &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: 1}))
		}, create(a), transport.Rejected, "copies into production"},
		{"out of the mirrored port by its VLAN", nil, create(session("sp-a", []string{"r0.100"}, port("r0", models.Tx))), transport.Rejected, "without end"},
		{"out of the mirrored port by its bridge", nil, create(session("sp-a", []string{"br0"}, port("r0", models.Tx))), transport.Rejected, "without end"},
		{"out of the member by its bond", nil, create(session("sp-a", []string{"bond0"}, port("b1", models.Tx))), transport.Rejected, "without end"},
		{"back by the other end of a veth", nil, create(session("sp-a", []string{"v1"}, port("v0", models.Rx))), transport.Rejected, "without end"},
		{"filter of two IP versions", nil, create(with(func(s *models.Session) { s.Filter = rules("include src 10.0.0.0/8 dst ::/0") })), drivers.Unsupported, "different IP versions"},
		{"filter too large", nil, create(with(func(s *models.Session) { s.Filter = tooMany() })), drivers.Unsupported, "instructions"},
		{"named filter", nil, create(with(func(s *models.Session) { s.FilterName = "x" })), drivers.Unsupported, "no names"},
		{"truncate", nil, create(with(func(s *models.Session) { s.TruncateTo = 64 })), drivers.Unsupported, "80 is the least"},
		{"truncate without programs", nil, create(with(func(s *models.Session) { s.TruncateTo = 80 })), drivers.Unsupported, "cut"},
		{"sample", nil, create(with(func(s *models.Session) { s.SampleOneIn = 10001 })), drivers.Unsupported, "counts to 10000"},
		{"shutdown", nil, create(with(func(s *models.Session) { s.Shutdown = true })), drivers.Unsupported, "switched off"},
		{"number", nil, create(with(func(s *models.Session) { s.Number = 1 })), drivers.Unsupported, "no numbers"},
		{"extra", nil, create(with(func(s *models.Session) { s.Extra = []string{"x"} })), drivers.Unsupported, "cannot make"},
		{"no name", nil, create(with(func(s *models.Session) { s.Name = "" })), drivers.Unsupported, "needs a name"},
		{"a name of ours that is not one", nil, create(with(func(s *models.Session) { s.Name = "cookie:x" })), drivers.Unsupported, "stand for"},
		{"no source", nil, create(with(func(s *models.Session) { s.Sources = nil })), drivers.Unsupported, "needs a source"},
		{"no direction", nil, create(session("sp-a", []string{"m0"}, port("r0", models.DirectionUnset))), drivers.Unsupported, "no direction"},
		{"VLAN source", nil, create(session("sp-a", []string{"m0"}, models.Source{Kind: models.SourceVLAN, VLAN: 5, Direction: models.Rx})), drivers.Unsupported, "kind vlan"},
		{"tunnel", nil, create(with(func(s *models.Session) { s.Destination = models.Destination{Kind: models.DestinationGRE} })), drivers.Unsupported, "needs addresses"},
		{"no destination", nil, create(session("sp-a", nil, port("r0", models.Rx))), drivers.Unsupported, "must be an interface"},
		{"impossible names", nil, create(session("sp-a", []string{"m0"}, port("r0; reboot", models.Rx))), drivers.Unsupported, "cannot be the name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			if tt.state != nil {
				tt.state(s)
			}
			script, err := render(host, s, kernel{kind: tcnl.MatchAll, method: MethodTC}, tt.cs)
			var e *drivers.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *drivers.Error; script %q", err, texts(script))
			}
			if e.Kind != tt.kind || e.Phase != drivers.PhaseRender || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want kind %s and %q", err, tt.kind, tt.want)
			}
			if !script.Empty() {
				t.Errorf("a script with an error: %q", texts(script))
			}
		})
	}
}

func mirroredAs(name string) func(*snapshot) {
	return func(s *snapshot) { s.filters = append(s.filters, copied(name, 1, tcnl.Ingress, 21328, 3)) }
}

// What looks like a loop at first sight and is none is not refused.
func TestRenderAllows(t *testing.T) {
	tests := []struct {
		name  string
		state func(*snapshot)
		give  models.Session
	}{
		{"two sources, one destination", mirroredOf(2, 3), session("sp-a", []string{"m0"}, port("r0", models.Both))},
		{"another port of the same bridge", nil, session("sp-a", []string{"r1"}, port("r0", models.Both))},
		{"a veth whose other end is here", nil, session("sp-a", []string{"v0"}, port("r0", models.Both))},
		{"an ingress qdisc and rx", nil, session("sp-a", []string{"m0"}, port("m1", models.Rx))},
		{"a bond alone", nil, session("sp-a", []string{"m0"}, port("bond0", models.Both))},
		{"a VLAN interface alone", nil, session("sp-a", []string{"m0"}, port("r0.100", models.Both))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			if tt.state != nil {
				tt.state(s)
			}
			if _, err := render(host, s, kernel{kind: tcnl.U32}, create(tt.give)); err != nil {
				t.Error(err)
			}
		})
	}
}

func mirroredOf(from, to int) func(*snapshot) {
	return func(s *snapshot) {
		s.filters = append(s.filters, copied("sp-other", from, tcnl.Ingress, 21328, to), copied("sp-other", from, tcnl.Egress, 21360, to))
	}
}
