package hostmirror

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// How each copy is made, and why.
func TestMethods(t *testing.T) {
	plain := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	with := func(change func(*models.Session)) models.Session {
		s := plain
		change(&s)
		return s.Normalize()
	}
	rule := with(func(s *models.Session) { s.Filter = rules("include tcp dport 443") })
	cut := with(func(s *models.Session) { s.TruncateTo = 100 })
	sampled := with(func(s *models.Session) { s.SampleOneIn = 10 })
	sent := session("sp-a", []string{"m0"}, port("m1", models.Tx)) // m1 has an ingress qdisc
	full := kernel{kind: tcnl.MatchAll}
	on := func(k kernel, change func(*kernel)) kernel { change(&k); return k }
	support := func(s bpfcopy.Support) func(*kernel) {
		return func(k *kernel) { k.support = func() bpfcopy.Support { return s } }
	}
	noTCX := on(full, support(bpfcopy.Support{}))
	denied := on(full, support(bpfcopy.Support{Err: fmt.Errorf("map span_counters: %w", syscall.EPERM), Missing: []string{"CAP_BPF"}}))
	only := func(m Method) func(*kernel) { return func(k *kernel) { k.method = m } }
	filters := func(n int, text string) func(*snapshot) {
		return func(s *snapshot) {
			for i := range n {
				f := copied(fmt.Sprint("x", i), 1, tcnl.Ingress, firstPriority+uint16(i), 4)
				s.filters = append(s.filters, some(text, 1, f))
			}
		}
	}
	front := func(s *snapshot) { s.filters = append(s.filters, foreign(1, tcnl.Ingress, 5, tcnl.Shot, nil)) }
	tcx := func(s *snapshot) { s.tcx = map[point][]tcxProgram{{1, tcnl.Ingress}: {{name: "stranger"}}} }
	nothing := func(*snapshot) {}
	const filter = ""
	tests := []struct {
		name   string
		kernel kernel
		change func(*snapshot)
		give   models.Session
		want   string // reason of a program; "" for a filter
		err    string
	}{
		{"nothing special", full, nothing, plain, filter, ""},
		{"rules", full, nothing, rule, filter, ""},
		{"sampling", full, nothing, sampled, filter, ""},
		{"cut", full, nothing, cut, "copies are cut, which filters do not do", ""},
		{"cut without rights", denied, nothing, cut, "", "copies are cut, which filters do not do: this needs a BPF program: map span_counters: operation not permitted"},
		{"cut, filters only", on(full, only(MethodTC)), nothing, cut, "", "copies are cut, which filters do not do, and programs may not be used"},
		{"stranger's tcx program", full, tcx, plain, "tcx program stranger runs before all filters", ""},
		{"stranger's tcx program, filters only", on(full, only(MethodTC)), tcx, plain, filter, ""},
		{"stranger's tcx program, no rights", denied, tcx, plain, filter, ""},
		{"our tcx program", full, func(s *snapshot) { s.tcx = map[point][]tcxProgram{{1, tcnl.Ingress}: {{ours: true}}} }, plain, filter, ""},
		{"stranger's verdict", full, front, plain, "flower filter pref 5 decides before ours", ""},
		{"stranger's verdict without tcx", noTCX, front, plain, filter, ""},
		{"stranger's filter that continues", full, func(s *snapshot) {
			s.filters = append(s.filters, foreign(1, tcnl.Ingress, 5, tcnl.Continue, nil))
		}, plain, filter, ""},
		{"stranger's verdict behind us", full, func(s *snapshot) {
			s.filters = append(s.filters, foreign(1, tcnl.Ingress, 60000, tcnl.Shot, nil))
		}, plain, filter, ""},
		{"stranger's verdict between ours", full, func(s *snapshot) {
			s.filters = append(s.filters, foreign(1, tcnl.Ingress, 21328, tcnl.Shot, nil))
		}, plain, "flower filter pref 21328 decides before ours", ""},
		{"few filters with rules", full, filters(maxFiltered-1, "include udp"), rule, filter, ""},
		{"many filters with rules", full, filters(maxFiltered, "include udp"), rule, "each filter with rules on one port and direction slows every frame down, and one program serves all", ""},
		{"many filters with rules, no rights", denied, filters(maxFiltered, "include udp"), rule, filter, ""},
		{"many filters without", full, filters(maxFiltered, ""), rule, filter, ""},
		{"many filters, one more without rules", full, filters(maxFiltered, "include udp"), plain, filter, ""},
		{"no priority left", full, filters(filtersPerHook, ""), plain, "r0 ingress has no free filter priority from 21328 to 21359", ""},
		{"no priority left, no rights", denied, filters(filtersPerHook, ""), plain, "", "no free filter priority"},
		{"ingress qdisc and sent frames", full, nothing, sent, "m1 has an ingress qdisc that is not ours, and the kernel takes no clsact beside it, so that filters only see what it receives", ""},
		{"ingress qdisc and sent frames, no tcx", noTCX, nothing, sent, "", "without tcx it would be a filter"},
		{"no gact", on(full, func(k *kernel) { k.noSample = "not found" }), nothing, sampled, "sampling by a filter needs the kernel's action gact: not found", ""},
		{"sampling beyond gact", full, nothing, with(func(s *models.Session) { s.SampleOneIn = maxSample + 1 }), "one frame in 10001 is sampled, and the action gact counts to 10000", ""},
		{"no cls_bpf", on(full, func(k *kernel) { k.noRules = "not found" }), nothing, rule, "rules in a filter need the kernel's classifier bpf: not found", ""},
		{"more rules than a filter holds", full, nothing, with(func(s *models.Session) { s.Filter = tooMany() }), "too large: ", ""},
		{"no classifier", kernel{noKind: "bpf: not found"}, nothing, plain, "the kernel has no classifier for a mirror: bpf: not found", ""},
		{"programs asked for", on(full, only(MethodBPF)), nothing, plain, "programs are asked for", ""},
		{"tcx asked for, not there", on(noTCX, only(MethodTCX)), nothing, plain, "", "no tcx"},
		{"programs that cannot be seen", full, func(s *snapshot) { tcx(s); s.hidden = "permission denied" }, plain, "", "whether they are spanctl's cannot be told: permission denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			tt.change(s)
			script, err := render(host, s, tt.kernel, create(tt.give))
			if tt.err != "" {
				var e *drivers.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.err) || e.Kind == "" {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				if errors.Is(err, syscall.EPERM) && e.Kind != transport.Auth {
					t.Errorf("kind %s of a lack of rights, want %s", e.Kind, transport.Auth)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			last, err := parseOperation(script.Steps[len(script.Steps)-1].Text)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == filter && last.Verb != addFilter:
				t.Errorf("%q, want a filter", last)
			case tt.want != filter && (last.Verb != addCopy || !strings.HasPrefix(last.Copy.Reason, tt.want)):
				t.Errorf("%q, want a program because %q", last, tt.want)
			}
		})
	}
}

// What works stays as it is made, until it has to be made otherwise.
func TestMethodsStay(t *testing.T) {
	plain := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	cut := plain
	cut.TruncateTo = 100
	wider := session("sp-a", []string{"m0", "m1"}, port("r0", models.Rx))
	in := mark{session: hashOf(host, "sp-a"), hook: tcnl.Ingress}.cookie().String()
	byFilter := func(s *snapshot) { s.filters = append(s.filters, copied("sp-a", 1, tcnl.Ingress, 21328, 3)) }
	byProgram := func(ses models.Session) func(*snapshot) {
		return func(s *snapshot) {
			c := bpfcopy.Session{Name: "host1/sp-a", Destinations: []bpfcopy.Device{{Name: "m0", Ifindex: 3}}, TruncateTo: ses.TruncateTo, Reason: "it was so"}
			s.readPrograms([]bpfcopy.Attached{{Port: bpfcopy.Device{Name: "r0", Ifindex: 1}, Direction: models.Rx, Method: bpfcopy.MethodTCX, Set: bpfcopy.Set{Sessions: []bpfcopy.Session{c}}}})
		}
	}
	tests := []struct {
		name         string
		method       Method
		have         func(*snapshot)
		before, want models.Session
		steps        []string
	}{
		{"a filter stays", MethodAuto, byFilter, plain, wider, []string{
			"tc filter add dev r0 ingress pref 21329 protocol all matchall action mirred egress mirror dev m1 continue cookie " + in,
		}},
		{"a program stays", MethodAuto, byProgram(plain), plain, wider, []string{
			"bpf copy change dev r0 ingress session host1/sp-a to m0 to m1 because 'it was so'",
		}},
		{"a program stays when copies are whole again", MethodAuto, byProgram(cut), cut, plain, []string{
			"bpf copy change dev r0 ingress session host1/sp-a to m0 because 'it was so'",
		}},
		{"a filter goes when copies are cut, after the program has come", MethodAuto, byFilter, plain, cut, []string{
			"bpf copy add dev r0 ingress session host1/sp-a to m0 truncate 100 because 'copies are cut, which filters do not do'",
			"tc filter del dev r0 ingress pref 21328 protocol all handle 0x1 matchall # cookie " + in,
		}},
		{"a program goes where it may not be used", MethodTC, byProgram(plain), plain, wider, []string{
			"tc filter add dev r0 ingress pref 21328 protocol all matchall action mirred egress mirror dev m0 continue cookie " + in,
			"tc filter add dev r0 ingress pref 21329 protocol all matchall action mirred egress mirror dev m1 continue cookie " + in,
			"bpf copy del dev r0 ingress session host1/sp-a",
		}},
		{"a filter goes where programs are asked for", MethodTCX, byFilter, plain, wider, []string{
			"bpf copy add dev r0 ingress session host1/sp-a to m0 to m1 because 'programs are asked for'",
			"tc filter del dev r0 ingress pref 21328 protocol all handle 0x1 matchall # cookie " + in,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			tt.have(s)
			if got := s.ourSessions(host, map[sessionHash]string{hashOf(host, "sp-a"): "sp-a"}); !models.SameConfig(got[0], tt.before) {
				t.Errorf("what is there reads as %+v, want %+v", got[0], tt.before)
			}
			script, err := render(host, s, kernel{kind: tcnl.MatchAll, method: tt.method}, models.ChangeSet{
				Device: host, Changes: []models.Change{{Op: models.Update, Before: &tt.before, After: &tt.want}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.steps, texts(script)); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
		})
	}
}

// Limits of a program are told when planning, and loops by programs are loops.
func TestProgramRefusals(t *testing.T) {
	many := func(n int) models.ChangeSet {
		cs := models.ChangeSet{Device: host}
		for i := range n {
			s := session(fmt.Sprintf("sp-%04d", i), []string{"m0"}, port("r0", models.Rx))
			cs.Changes = append(cs.Changes, models.Change{Op: models.Create, After: &s})
		}
		return cs
	}
	programs := kernel{kind: tcnl.MatchAll, method: MethodBPF}
	if _, err := render(host, testHost(), programs, many(bpfcopy.MaxSessions)); err != nil {
		t.Errorf("%d sessions: %v", bpfcopy.MaxSessions, err)
	}
	_, err := render(host, testHost(), programs, many(bpfcopy.MaxSessions+1))
	wantKind(t, err, drivers.Unsupported, "1025 sessions, want at most 1024")

	back := models.ChangeSet{Device: host, Changes: append(create(session("sp-a", []string{"m0"}, port("r0", models.Rx))).Changes,
		create(session("sp-b", []string{"r0"}, port("m0", models.Tx))).Changes...)}
	_, err = render(host, testHost(), programs, back)
	wantKind(t, err, transport.Rejected, "puts copies into production")
}

// The filters that carry our programs, where there is no tcx, decide over nothing.
func TestCarriersOfProgramsAreNoStrangers(t *testing.T) {
	carrier := func(priority uint16, name string) tcnl.Filter {
		return tcnl.Filter{
			ID:     tcnl.ID{Ifindex: 1, Hook: tcnl.Egress, Priority: priority, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Handle: 1},
			Direct: true, Name: name,
		}
	}
	for _, tt := range []struct {
		name string
		give tcnl.Filter
		want models.OperState
	}{
		{"one that cuts", carrier(bpfcopy.TruncatePriority, "spanctl/cut"), models.OperUp},
		{"a stranger's in its place", carrier(bpfcopy.TruncatePriority, "other"), models.OperUnknown},
		{"a stranger's with our name", carrier(100, "spanctl/cut"), models.OperUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.filters = []tcnl.Filter{tt.give, copied("sp-a", 1, tcnl.Egress, 21360, 3)}
			if got := s.ourSessions(host, nil)[0].Status; got.State != tt.want {
				t.Errorf("status %+v, want %s", got, tt.want)
			}
		})
	}
}

// A program is in front of filters and behind programs of strangers, where they came
// later.
func TestStateOfPrograms(t *testing.T) {
	at := point{1, tcnl.Ingress}
	tests := []struct {
		name   string
		method bpfcopy.Method
		change func(*snapshot)
		want   models.Status
	}{
		{"alone", bpfcopy.MethodTCX, func(*snapshot) {}, models.Status{State: models.OperUp}},
		{"stranger behind", bpfcopy.MethodTCX, func(s *snapshot) { s.tcx = map[point][]tcxProgram{at: {{ours: true}, {}}} }, models.Status{State: models.OperUp}},
		{"stranger in front", bpfcopy.MethodTCX, func(s *snapshot) { s.tcx = map[point][]tcxProgram{at: {{name: "x"}, {ours: true}}} },
			models.Status{Reason: "a tcx program x on r0 ingress runs before our program, and may take frames away"}},
		{"stranger's tcx before our filter", bpfcopy.MethodFilter, func(s *snapshot) { s.tcx = map[point][]tcxProgram{at: {{}}} },
			models.Status{Reason: "a tcx program on r0 ingress runs before our program, and may take frames away"}},
		{"stranger's verdict, by tcx", bpfcopy.MethodTCX, func(s *snapshot) { s.filters = append(s.filters, foreign(1, tcnl.Ingress, 5, tcnl.Shot, nil)) }, models.Status{State: models.OperUp}},
		{"stranger's verdict, by a filter", bpfcopy.MethodFilter, func(s *snapshot) { s.filters = append(s.filters, foreign(1, tcnl.Ingress, 5, tcnl.Shot, nil)) },
			models.Status{Reason: "flower filter pref 5 on r0 ingress decides over frames before they can be copied"}},
		{"XDP", bpfcopy.MethodTCX, func(s *snapshot) { s.links[0].xdp = true }, models.Status{Reason: "an XDP program on r0 sees frames before they can be copied, and may take them away"}},
		{"destination down", bpfcopy.MethodTCX, func(s *snapshot) { s.links[2].runs = false }, models.Status{State: models.OperDown, Reason: "destination m0 is down"}},
		{"destination renamed", bpfcopy.MethodTCX, func(s *snapshot) { s.links[2].name = "other" }, models.Status{State: models.OperDown, Reason: "a destination is gone"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			s.readPrograms([]bpfcopy.Attached{{
				Port: bpfcopy.Device{Name: "r0", Ifindex: 1}, Direction: models.Rx, Method: tt.method,
				Set: bpfcopy.Set{Sessions: []bpfcopy.Session{{Name: "host1/sp-a", Destinations: []bpfcopy.Device{{Name: "m0", Ifindex: 3}}}}},
			}})
			tt.change(s)
			got := s.ourSessions(host, map[sessionHash]string{hashOf(host, "sp-a"): "sp-a"})
			if d := cmp.Diff(tt.want, got[0].Status); d != "" {
				t.Errorf("status (-want +got):\n%s", d)
			}
		})
	}
}
