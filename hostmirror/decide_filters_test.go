package hostmirror

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// some is a filter as we make it for rules, "" for every frame, and sampling, 1 for
// each frame.
func some(text string, oneIn uint16, f tcnl.Filter) tcnl.Filter {
	if text != "" {
		f.Kind, f.CatchAll, f.Program = tcnl.BPF, false, programFor(text)
	}
	f.Actions = actionsOf(taken{oneIn: uint32(oneIn)}, f.Actions[0].Mirred.Ifindex, tcnl.Cookie(f.Actions[0].Cookie))
	return f
}

// limited is a session with rules and sampling.
func limited(text string, oneIn uint32, s models.Session) models.Session {
	if text != "" {
		s.Filter = rules(text)
	}
	s.SampleOneIn = oneIn
	return s.Normalize()
}

func TestStateOfFilters(t *testing.T) {
	rx := copied("sp-a", 1, tcnl.Ingress, 21328, 3)
	tx := copied("sp-a", 1, tcnl.Egress, 21360, 3)
	both := session("sp-a", []string{"m0"}, port("r0", models.Both))
	byHand := func(change func(*tcnl.Filter)) tcnl.Filter {
		f := some("", 10, rx)
		chance := *f.Actions[0].Chance
		f.Actions[0].Chance = &chance
		change(&f)
		return f
	}
	tests := []struct {
		name    string
		filters []tcnl.Filter
		want    models.Session
		extra   []string
	}{
		{
			"rules", []tcnl.Filter{some("include vlan 100", 1, rx), some("include vlan 100", 1, tx)},
			limited("include vlan 100", 0, both), nil,
		},
		{"sampling", []tcnl.Filter{some("", 10, rx), some("", 10, tx)}, limited("", 10, both), nil},
		{
			"both", []tcnl.Filter{some("exclude tcp", 10, rx), some("exclude tcp", 10, tx)},
			limited("exclude tcp", 10, both), nil,
		},
		{
			"other rules for sent frames", []tcnl.Filter{some("include tcp", 1, rx), some("include udp", 1, tx)},
			limited("include tcp", 0, both), []string{"r0 egress pref 21360: takes other frames than r0 ingress pref 21328"},
		},
		{
			"no sampling of sent frames", []tcnl.Filter{some("", 10, rx), tx},
			limited("", 10, both), []string{"r0 egress pref 21360: takes other frames than r0 ingress pref 21328"},
		},
		{
			"a program of somebody else",
			[]tcnl.Filter{byHand(func(f *tcnl.Filter) {
				f.Kind, f.CatchAll, f.Program = tcnl.BPF, false, []tcnl.Instruction{{Code: opLoadHalf, K: 12}, {Code: opReturn}}
			})},
			limited("", 10, session("sp-a", []string{"m0"}, port("r0", models.Rx))),
			[]string{"r0 ingress pref 21328: has a program that spanctl does not make"},
		},
		{
			"sampling by random", []tcnl.Filter{byHand(func(f *tcnl.Filter) { f.Actions[0].Chance.Type = tcnl.NetRand })},
			limited("", 10, session("sp-a", []string{"m0"}, port("r0", models.Rx))),
			[]string{"r0 ingress pref 21328: does not sample as spanctl makes it"},
		},
		{
			"sampling that drops the others", []tcnl.Filter{byHand(func(f *tcnl.Filter) { f.Actions[0].Verdict = tcnl.Shot })},
			limited("", 10, session("sp-a", []string{"m0"}, port("r0", models.Rx))),
			[]string{"r0 ingress pref 21328: does not sample as spanctl makes it"},
		},
		{
			"a gact that lets all through", []tcnl.Filter{byHand(func(f *tcnl.Filter) { f.Actions[0].Chance = nil })},
			session("sp-a", []string{"m0"}, port("r0", models.Rx)),
			[]string{"r0 ingress pref 21328: has more than one action", "r0 ingress pref 21328: has the action gact"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.filters = tt.filters
			got := s.state(host, map[sessionHash]string{hashOf(host, "sp-a"): "sp-a"}).Sessions
			tt.want.Extra, tt.want.Status = tt.extra, models.Status{State: models.OperUp}
			if d := cmp.Diff([]models.Session{tt.want}, got, equalPrefix); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

func TestRenderFilters(t *testing.T) {
	plain := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	in := mark{session: hashOf(host, "sp-a"), hook: tcnl.Ingress}.cookie().String()
	mirred := " action mirred egress mirror dev m0 continue cookie " + in
	gact := func(n int) string {
		return fmt.Sprintf(" action gact continue random determ pipe %d cookie %s", n, in)
	}
	add := func(pref int, selector, comment string) string {
		return fmt.Sprintf("tc filter add dev r0 ingress pref %d protocol all %s%s%s", pref, selector, mirred, comment)
	}
	del := func(pref int, kind string) string {
		return fmt.Sprintf("tc filter del dev r0 ingress pref %d protocol all handle 0x1 %s # cookie %s", pref, kind, in)
	}
	vlan100, comment := "bpf bytecode '"+vlan100Text+"'", " # include VLAN 100; else exclude"
	have := copied("sp-a", 1, tcnl.Ingress, 21328, 3)
	tests := []struct {
		name string
		have []tcnl.Filter
		want models.Session
		give []string
	}{
		{"rules", nil, limited("include vlan 100", 0, plain), []string{add(21328, vlan100, comment)}},
		{"sampling", nil, limited("", 10, plain), []string{add(21328, "matchall"+gact(10), "")}},
		{"one in one is each", nil, limited("", 1, plain), []string{add(21328, "matchall", "")}},
		{"both", nil, limited("include vlan 100", 10, plain), []string{add(21328, vlan100+gact(10), comment)}},
		{"rules that are there", []tcnl.Filter{some("include vlan 100", 10, have)}, limited("include vlan 100", 10, plain), nil},
		{
			"rules instead of every frame", []tcnl.Filter{have}, limited("include vlan 100", 0, plain),
			[]string{add(21329, vlan100, comment), del(21328, "matchall")},
		},
		{
			"every frame instead of rules", []tcnl.Filter{some("include vlan 100", 1, have)}, plain,
			[]string{add(21329, "matchall", ""), del(21328, "bpf")},
		},
		{
			"other rules", []tcnl.Filter{some("include vlan 101", 1, have)}, limited("include vlan 100", 0, plain),
			[]string{add(21329, vlan100, comment), del(21328, "bpf")},
		},
		{
			"other sampling", []tcnl.Filter{some("", 11, have)}, limited("", 10, plain),
			[]string{add(21329, "matchall"+gact(10), ""), del(21328, "matchall")},
		},
		{
			"no sampling any more", []tcnl.Filter{some("", 11, have)}, plain,
			[]string{add(21329, "matchall", ""), del(21328, "matchall")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.filters = tt.have
			change := models.Change{Op: models.Create, After: &tt.want}
			if len(tt.have) > 0 {
				change.Op, change.Before = models.Update, &plain
			}
			got, err := render(host, s, kernel{method: MethodTC, kind: tcnl.MatchAll}, models.ChangeSet{Device: host, Changes: []models.Change{change}})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.give, texts(got)); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
		})
	}
}

// What the kernel lacks is refused with the kernel's words; other sessions are not.
func TestRenderOnLesserKernels(t *testing.T) {
	plain := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	noRules := kernel{method: MethodTC, kind: tcnl.U32, noRules: "TC classifier not found"}
	noSample := kernel{method: MethodTC, kind: tcnl.U32, noSample: "Failed to load TC action module"}
	tests := []struct {
		name string
		with kernel
		give models.Session
		want string // part of the refusal, "" for none
	}{
		{"every frame without rules", noRules, plain, ""},
		{"sampling without rules", noRules, limited("", 10, plain), ""},
		{"rules", noRules, limited("include tcp", 0, plain), "classifier bpf: TC classifier not found"},
		{"every frame without sampling", noSample, plain, ""},
		{"rules without sampling", noSample, limited("include tcp", 0, plain), ""},
		{"sampling", noSample, limited("include tcp", 2, plain), "action gact: Failed to load TC action module"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script, err := render(host, testHost(), tt.with, create(tt.give))
			if tt.want != "" {
				wantKind(t, err, drivers.Unsupported, tt.want)
				return
			}
			if err != nil || len(script.Steps) != 1 || !strings.HasPrefix(script.Steps[0].Text, "tc filter add") {
				t.Errorf("steps %q, %v", texts(script), err)
			}
		})
	}
}

func wantKind(t *testing.T, err error, kind transport.Kind, text string) {
	t.Helper()
	var e *drivers.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *drivers.Error of kind %s", err, kind)
	}
	if e.Kind != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want kind %s and %q", err, kind, text)
	}
}
