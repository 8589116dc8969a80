package hostmirror

import (
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// Method says how copies are made: by filters of tc, which need CAP_NET_ADMIN only and
// which everybody can see and understand, or by BPF programs, which can more.
type Method string

// Methods.
const (
	MethodAuto   Method = ""        // filters, and programs where there is a reason
	MethodTC     Method = "tc"      // filters only; what they cannot do is refused
	MethodBPF    Method = "bpf"     // programs only, by tcx where the kernel has it, else by cls_bpf
	MethodTCX    Method = "tcx"     // programs only, by tcx
	MethodClsBPF Method = "cls_bpf" // programs only, as filters of the classifier bpf
)

// Methods lists all methods.
func Methods() []Method {
	return []Method{MethodAuto, MethodTC, MethodBPF, MethodTCX, MethodClsBPF}
}

// attach gives how programs are attached.
func (m Method) attach() bpfcopy.Method {
	switch m {
	case MethodTCX:
		return bpfcopy.MethodTCX
	case MethodClsBPF:
		return bpfcopy.MethodFilter
	default:
		return bpfcopy.MethodAny
	}
}

// maxFiltered is the number of filters with rules on one port and direction up to which
// filters are made: each of them runs its own program for every frame, while one program
// for all sessions costs the same for 1 and for 1,000. Measured on 6.18 by package
// bench, on a busy machine, for frames that none wants and that take 3700 ns: a filter
// 250 to 320 ns, a program 200 ns. Behind four filters and a program less than 85 % was
// left of the rate with one session.
const maxFiltered = 1

// way is how a session's copies of a port and direction are made.
type way struct {
	program bool
	reason  string // of a program
}

// choose decides how a session's copies of a port and direction are made. lacking is the number of
// filters that would have to be made; have tells what the session has there that copies
// as it is wanted: such copies stay as they are made.
func (r *renderer) choose(self sessionHash, source link, hook tcnl.Hook, which taken, lacking int, have way, filters bool) (way, error) {
	at := point{source.index, hook}
	if r.snap.hidden != "" && len(r.snap.tcx[at]) > 0 {
		return way{}, fmt.Errorf("%s %s has tcx programs, and whether they are spanctl's cannot be told: %s", source.name, hook, r.snap.hidden)
	}
	must := r.mustProgram(source, hook, which, lacking)
	switch {
	case r.with.method == MethodTC && must != "":
		return way{}, fmt.Errorf("%w: %s, and programs may not be used", drivers.ErrUnsupported, must)
	case r.with.method == MethodTC:
		return way{}, nil
	case must != "":
		return r.byProgram(source, hook, must)
	case r.with.method != MethodAuto:
		return r.byProgram(source, hook, "programs are asked for")
	case have.program:
		return r.byProgram(source, hook, have.reason)
	}
	should := r.shouldProgram(self, source, hook, which)
	if should == "" || filters && r.inFront(source, hook) == "" {
		return way{}, nil
	}
	if w, err := r.byProgram(source, hook, should); err == nil && (r.snap.attach == bpfcopy.MethodTCX || r.inFront(source, hook) == "") {
		return w, nil
	}
	return way{}, nil // slower, or told by the status, but copies as wanted
}

// mustProgram says why filters cannot make a copy, "" where they can.
func (r *renderer) mustProgram(source link, hook tcnl.Hook, which taken, lacking int) string {
	if why := r.with.lacks(which); why != "" {
		return why
	}
	if lacking == 0 {
		return ""
	}
	if hook == tcnl.Egress && !r.snap.hasQdisc(source.index, "clsact") && r.snap.hasQdisc(source.index, "ingress") {
		return fmt.Sprintf("%s has an ingress qdisc that is not ours, and the kernel takes no clsact beside it, so that filters only see what it receives", source.name)
	}
	if first := firstPriorityOf(hook); len(r.freePriorities(source, hook)) < lacking {
		return fmt.Sprintf("%s %s has no free filter priority from %d to %d", source.name, hook, first, first+filtersPerHook-1)
	}
	return ""
}

// shouldProgram says why a program is the better way, "" where it is not.
func (r *renderer) shouldProgram(self sessionHash, source link, hook tcnl.Hook, which taken) string {
	if why := r.inFront(source, hook); why != "" {
		return why
	}
	n := 0
	for _, f := range r.snap.on(source.index, hook) {
		if m, ours := markOf(f); ours && m.session != self && len(f.Program) > 0 {
			n++
		}
	}
	if len(which.rules) > 0 && n >= maxFiltered {
		return "each filter with rules on one port and direction slows every frame down, and one program serves all"
	}
	return ""
}

// inFront says what would keep frames from a filter of ours, but not from a program.
func (r *renderer) inFront(source link, hook tcnl.Hook) string {
	at := point{source.index, hook}
	for _, t := range r.snap.tcx[at] {
		if !t.ours {
			return strings.TrimSpace("tcx program "+t.name) + " runs before all filters"
		}
	}
	priority := firstPriorityOf(hook) + filtersPerHook
	if free := r.freePriorities(source, hook); len(free) > 0 {
		priority = free[0]
	}
	if f, ok := r.snap.decider(at, priority); ok {
		return fmt.Sprintf("%s filter pref %d decides before ours", f.Kind, f.Priority)
	}
	return ""
}

// byProgram says that a program makes the copy, where the kernel can.
func (r *renderer) byProgram(source link, hook tcnl.Hook, reason string) (way, error) {
	support := bpfcopy.Support{TCX: true}
	if r.with.support != nil {
		support = r.with.support()
	}
	lacking := func(err error) error {
		return fmt.Errorf("%s: this needs a BPF program: %w", reason, err)
	}
	if support.Err != nil {
		return way{}, lacking(support.Err)
	}
	if r.with.method == MethodTCX && !support.TCX {
		return way{}, lacking(fmt.Errorf("%w: the kernel has no tcx, which came with Linux 6.6", drivers.ErrUnsupported))
	}
	r.snap.attach = bpfcopy.MethodTCX
	if !support.TCX || r.with.method == MethodClsBPF {
		r.snap.attach = bpfcopy.MethodFilter
		if p := r.snap.programAt(point{source.index, hook}); p == nil && hook == tcnl.Egress && !r.snap.hasQdisc(source.index, "clsact") && r.snap.hasQdisc(source.index, "ingress") {
			return way{}, lacking(fmt.Errorf("%w: without tcx it would be a filter, and beside an ingress qdisc that is not ours there are none for what is sent", drivers.ErrUnsupported))
		}
	}
	return way{program: true, reason: reason}, nil
}
