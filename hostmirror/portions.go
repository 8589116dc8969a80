package hostmirror

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// taken says what is copied of the frames that pass.
type taken struct {
	rules    []models.Rule // normalized; nil = all
	oneIn    uint32        // 1 = each of them
	truncate uint16        // bytes kept of a copy, 0 = all
	strange  bool          // something that spanctl does not make
}

func (t taken) equal(u taken) bool {
	return !t.strange && !u.strange && t.oneIn == u.oneIn && t.truncate == u.truncate && reflect.DeepEqual(t.rules, u.rules)
}

func takenBy(f tcnl.Filter) taken {
	t := taken{oneIn: 1}
	var err error
	t.rules, err = rulesOf(f.Program)
	t.strange = err != nil
	if c := f.Actions[0].Chance; c != nil {
		t.oneIn = uint32(c.OneIn)
	}
	return t
}

func takenByProgram(s bpfcopy.Session) taken {
	return taken{rules: models.NormalizeRules(s.Filter), oneIn: max(s.SampleOneIn, 1), truncate: s.TruncateTo}
}

func takenOf(ses models.Session) taken {
	return taken{rules: models.NormalizeRules(ses.Filter), oneIn: max(ses.SampleOneIn, 1), truncate: ses.TruncateTo}
}

// portion is one of the things in the kernel that a session consists of: a filter, or
// its share of a program.
type portion struct {
	at      point
	source  string   // "" once the interface is gone
	targets []string // "" for one that is gone
	which   taken
	filter  tcnl.Filter
	share   *share // nil of a filter
	faults  []string
}

// name says which part it is, for people.
func (p portion) name() string {
	if p.share != nil {
		return fmt.Sprintf("%s %s program", p.source, p.at.hook)
	}
	return fmt.Sprintf("%s %s pref %d", p.source, p.at.hook, p.filter.Priority)
}

// elsewhere reports whether the part is a program that copies nothing here.
func (p portion) elsewhere() bool { return p.share != nil && p.share.program.elsewhere }

// portions gives what a session consists of.
func (s *snapshot) portions(h sessionHash) []portion {
	var out []portion
	for _, f := range s.ours(h) {
		k := s.key(f)
		out = append(out, portion{
			at: point{f.Ifindex, f.Hook}, source: k.source, targets: []string{k.target}, which: takenBy(f), filter: f, faults: s.faults(f),
		})
	}
	for _, c := range s.programsOf(h) {
		p := portion{at: c.program.at, source: s.sourceOf(c.program), which: takenByProgram(c.session), share: &c}
		if c.program.elsewhere {
			p.faults = append(p.faults, "copies nothing: its interface is gone, or in another network namespace")
		}
		for _, d := range c.session.Destinations {
			if s.alive(d) {
				p.targets = append(p.targets, d.Name)
				continue
			}
			p.targets = append(p.targets, "")
			p.faults = append(p.faults, fmt.Sprintf("has lost its destination %s", d.Name))
		}
		out = append(out, p)
	}
	return out
}

// hashesOf gives the sessions that have portions, in the order of the kernel.
func (s *snapshot) hashesOf() []sessionHash {
	var out []sessionHash
	seen := make(map[sessionHash]bool)
	add := func(h sessionHash) {
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	for _, f := range s.filters {
		if m, ok := markOf(f); ok && m.hook == f.Hook {
			add(m.session)
		}
	}
	for _, p := range s.programs {
		for _, h := range p.hashes {
			add(h)
		}
	}
	return out
}

// blind says what may keep frames from a part, "" for nothing known.
func (s *snapshot) blind(p portion) string {
	if l, _ := s.byIndex(p.at.index); l.xdp && p.at.hook == tcnl.Ingress {
		return fmt.Sprintf("an XDP program on %s sees frames before they can be copied, and may take them away", l.name)
	}
	before := s.tcx[p.at]
	if p.share != nil && p.share.program.method == bpfcopy.MethodTCX {
		for n, t := range slices.Backward(before) {
			if t.ours {
				before = before[:n]
				break
			}
		}
	}
	for _, t := range before {
		if t.ours {
			continue
		}
		what := "our filter"
		if p.share != nil {
			what = "our program"
		}
		name := ""
		if t.name != "" {
			name = " " + t.name
		}
		return fmt.Sprintf("a tcx program%s on %s %s runs before %s, and may take frames away", name, p.source, p.at.hook, what)
	}
	priority := p.filter.Priority
	if p.share != nil {
		if p.share.program.method != bpfcopy.MethodFilter {
			return ""
		}
		priority = bpfcopy.FilterPriority
	}
	if f, ok := s.decider(p.at, priority); ok {
		return fmt.Sprintf("%s filter pref %d on %s %s decides over frames before they can be copied", f.Kind, f.Priority, p.source, p.at.hook)
	}
	return ""
}

// decider gives a filter that can end classification before priority is reached.
func (s *snapshot) decider(at point, priority uint16) (tcnl.Filter, bool) {
	for _, f := range s.on(at.index, at.hook) {
		if f.Priority < priority && decides(f) && !s.isProgram(f) {
			return f, true
		}
	}
	return tcnl.Filter{}, false
}
