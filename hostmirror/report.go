package hostmirror

import (
	"context"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/models"
)

// Report says what a host can do for mirrors, and how its copies are made.
type Report struct {
	Device   models.DeviceID `json:"device"`
	Hostname string          `json:"hostname,omitempty"`
	Kernel   string          `json:"kernel,omitempty"` // its release, such as "6.1.0-49-amd64"
	// Filters are the classifiers of tc that a copy can be made with, best first.
	// They need CAP_NET_ADMIN.
	Filters []Ability `json:"filters"`
	// Actions are the actions of tc that filters use: mirred for every copy, gact for
	// sampling.
	Actions []Ability `json:"actions"`
	// Programs are the ways to attach BPF programs, tcx and cls_bpf, best first; none
	// where programs may not be used. What was not asked of the kernel, as no copy needs
	// it, is Unknown.
	Programs []Ability `json:"programs"`
	// Missing are the capabilities that this process lacks for programs; CAP_NET_ADMIN
	// is needed for filters, too.
	Missing []string `json:"missing,omitempty"`
	// Copies are those of our sessions, in the order of their names.
	Copies []CopyReport `json:"copies"`
}

// Ability is something that a kernel has or lacks.
type Ability struct {
	Name string `json:"name"` // such as matchall, u32, tcx
	Has  Has    `json:"has"`
	Why  string `json:"why,omitempty"` // the kernel's words, where it lacks it or was not asked
}

// Has says whether something is there.
type Has string

// What is known of an ability. The zero value means that nobody has asked.
const (
	Unknown Has = ""
	Present Has = "yes"
	Absent  Has = "no"
)

// CopyReport is one copy of a session, what passes a port in a direction, with
// how it is made and what became of it.
type CopyReport struct {
	Session      string           `json:"session"`
	Source       string           `json:"source"`
	Direction    models.Direction `json:"direction"`
	Destinations []string         `json:"destinations"`
	Method       string           `json:"method"`           // "tc matchall", "tc u32", "tc bpf", "tcx" or "cls_bpf"
	Reason       string           `json:"reason,omitempty"` // why a program makes it; "" of a tc filter, which is the rule
	// Offered, Delivered and Lost are frames. Delivered were taken by the destination;
	// what becomes of them behind it, in a tunnel, is not known.
	Offered   uint64        `json:"offered"`
	Delivered uint64        `json:"delivered"`
	Lost      uint64        `json:"lost"`
	Status    models.Status `json:"status,omitzero"` // of the session
}

// Report looks at the host. It changes nothing.
func (m *Mirror) Report(ctx context.Context) (Report, error) {
	snap, err := m.read(ctx)
	if err != nil {
		return Report{}, m.failed(drivers.PhaseObserve, err)
	}
	r := Report{Device: m.dev, Hostname: snap.hostname, Kernel: snap.release}
	r.Filters, r.Actions = m.classifiers.abilities(), m.classifiers.actions()
	if m.method != MethodTC {
		r.Programs = m.attachments(snap)
	}
	r.Missing, _ = bpfcopy.Missing() // none is known to be lacking where nobody tells
	status := make(map[string]models.Status)
	for _, s := range snap.ourSessions(m.dev, m.names) {
		status[s.Name] = s.Status
	}
	for _, c := range snap.counters(m.names) {
		r.Copies = append(r.Copies, CopyReport{
			Session: c.Session, Source: c.Source, Direction: c.Direction, Destinations: destinations(c),
			Method: c.Method, Reason: c.Reason,
			Offered: c.Packets, Delivered: c.Packets - min(c.Lost, c.Packets), Lost: c.Lost, Status: status[c.Session],
		})
	}
	slices.SortStableFunc(r.Copies, func(a, b CopyReport) int { return strings.Compare(a.Session, b.Session) })
	return r, nil
}

// AskPrograms asks the kernel whether programs can be made, by loading one that is
// attached nowhere, so that Report can tell.
func (h *Host) AskPrograms() { h.base.m.support() }

// attachments tells what is known of the ways to attach programs. The kernel is asked
// only where programs are in use: the question itself loads one.
func (m *Mirror) attachments(s *snapshot) []Ability {
	tcx, filter := Ability{Name: "tcx"}, Ability{Name: "cls_bpf"}
	if m.programs == nil && len(s.programs) > 0 {
		m.support()
	}
	switch known := m.programs; {
	case known == nil:
		tcx.Why, filter.Why = "not asked: no copy is made by a program", "not asked: no copy is made by a program"
	case known.Err != nil:
		tcx.Has, filter.Has = Absent, Absent
		tcx.Why, filter.Why = known.Err.Error(), known.Err.Error()
	default:
		tcx.Has, filter.Has = Present, Present
		if !known.TCX {
			tcx.Has, tcx.Why = Absent, "it came with Linux 6.6"
		}
		for _, w := range m.classifiers.why {
			if text, ok := strings.CutPrefix(w, "bpf: "); ok {
				filter.Has, filter.Why = Absent, text
			}
		}
	}
	return []Ability{tcx, filter}
}

func destinations(c Counter) []string {
	if c.Destination == "" {
		return nil
	}
	return strings.Split(c.Destination, " ")
}

// notAsked is why nothing is known of filters and actions.
const notAsked = "not asked: it takes CAP_SYS_ADMIN to make a network namespace to ask in"

func (c classifiers) abilities() []Ability {
	var out []Ability
	for _, k := range c.usable {
		out = append(out, c.hoped(k))
	}
	for _, why := range c.why {
		name, text, _ := strings.Cut(why, ": ")
		out = append(out, Ability{Name: name, Has: Absent, Why: text})
	}
	return out
}

// hoped is an ability of which nothing bad is known.
func (c classifiers) hoped(name string) Ability {
	if c.asked {
		return Ability{Name: name, Has: Present}
	}
	return Ability{Name: name, Why: notAsked}
}

func (c classifiers) actions() []Ability {
	mirred, gact := c.hoped("mirred"), c.hoped("gact")
	if len(c.usable) == 0 { // mirred was asked for with each classifier
		mirred = Ability{Name: "mirred", Has: Absent, Why: c.reasons()}
	}
	if c.noSample != "" {
		gact = Ability{Name: "gact", Has: Absent, Why: c.noSample}
	}
	return []Ability{mirred, gact}
}
