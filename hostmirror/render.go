package hostmirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Priorities of our filters. 0x5350 is "SP". The hooks have ranges of their own
// because u32 lists the filters of a priority under both hooks of a device.
const (
	firstPriority   = 0x5350
	filtersPerHook  = 32
	egressPriority  = firstPriority + filtersPerHook
	maxOfOnePortHas = filtersPerHook // mirrors of one port and direction
)

func firstPriorityOf(h tcnl.Hook) uint16 {
	if h == tcnl.Egress {
		return egressPriority
	}
	return firstPriority
}

// kernel is what a kernel has for the copies that are made, and what may be used of it.
type kernel struct {
	kind     string // classifier that takes every frame
	noKind   string // why there is none
	noRules  string // why there is no classifier for rules; "" where there is one
	noSample string // why there is no sampling; "" where there is
	// noLinks tells why some types of links (linknl.Spec.TypeWord) cannot be made.
	noLinks map[string]string
	method  Method
	// support tells whether programs can be made. It is called when one is needed; nil
	// stands for a kernel that has all.
	support func() bpfcopy.Support
	// noPrograms is why programs cannot be made, nil where they can or nobody asked.
	noPrograms error
}

// lacks says why filters cannot copy what is to be copied, "" where they can.
func (k kernel) lacks(t taken) string {
	switch {
	case k.noKind != "":
		return "the kernel has no classifier for a mirror: " + k.noKind
	case t.truncate != 0:
		return "copies are cut, which filters do not do"
	case t.oneIn > 1 && k.noSample != "":
		return "sampling by a filter needs the kernel's action gact: " + k.noSample
	case t.oneIn > maxSample:
		return fmt.Sprintf("one frame in %d is sampled, and the action gact counts to %d", t.oneIn, maxSample)
	case len(t.rules) > 0 && k.noRules != "":
		return "rules in a filter need the kernel's classifier bpf: " + k.noRules
	}
	if _, err := compileRules(t.rules); err != nil {
		return strings.TrimPrefix(err.Error(), drivers.ErrUnsupported.Error()+": ")
	}
	return ""
}

// kindFor gives the classifier for the frames that are to be copied.
func (k kernel) kindFor(t taken) string {
	if len(t.rules) > 0 {
		return tcnl.BPF
	}
	return k.kind
}

// renderer works out the steps for a change set on a snapshot, which it keeps up to
// date: each step is decided from what the steps before it will have left.
type renderer struct {
	dev   models.DeviceID
	snap  snapshot
	with  kernel // what new filters can be made of
	steps []transport.Step
	ops   []operation // of the steps
	added []mirrored
	// touched are the programs that the steps change.
	touched map[point]bool
}

// render gives the script for cs. The first thing that cannot be done is an error;
// nothing is left out silently.
func render(dev models.DeviceID, snap *snapshot, with kernel, cs models.ChangeSet) (transport.Script, error) {
	script, _, err := renderOn(dev, snap, with, cs)
	return script, err
}

// renderOn is render that gives, too, what the kernel will hold then.
func renderOn(dev models.DeviceID, snap *snapshot, with kernel, cs models.ChangeSet) (transport.Script, *snapshot, error) {
	r := &renderer{dev: dev, snap: *snap, with: with, touched: make(map[point]bool)}
	r.snap.filters = slices.Clone(snap.filters)
	r.snap.qdiscs = slices.Clone(snap.qdiscs)
	r.snap.programs = clonePrograms(snap.programs)
	r.snap.links = slices.Clone(snap.links)
	for _, c := range cs.Changes {
		if err := r.change(c); err != nil {
			name := ""
			if ses := c.Session(); ses != nil {
				name = ses.Name
			}
			return transport.Script{}, nil, &drivers.Error{Device: dev, Phase: drivers.PhaseRender, Kind: kindOf(err), Session: name, Err: err}
		}
	}
	if len(cs.Changes) > 0 {
		if err := r.guard(cs.Changes[0].Session().Name); err != nil {
			return transport.Script{}, nil, &drivers.Error{Device: dev, Phase: drivers.PhaseRender, Kind: kindOf(err), Err: err}
		}
	}
	if err := r.snap.checkLoops(r.added); err != nil {
		return transport.Script{}, nil, &drivers.Error{Device: dev, Phase: drivers.PhaseRender, Kind: transport.Rejected, Err: err}
	}
	if err := r.checkPrograms(); err != nil {
		return transport.Script{}, nil, &drivers.Error{Device: dev, Phase: drivers.PhaseRender, Kind: kindOf(err), Err: err}
	}
	// Each script adds the qdiscs that it needs, in case those before it fail.
	r.snap.qdiscs = snap.qdiscs
	return transport.Script{Encoding: transport.TC, Steps: r.steps}, &r.snap, nil
}

func kindOf(err error) transport.Kind {
	if errors.Is(err, drivers.ErrUnsupported) {
		return drivers.Unsupported
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return transport.Auth
	}
	return transport.Rejected
}

func (r *renderer) change(c models.Change) error {
	ses := c.Session()
	if ses == nil {
		return errors.New("a change without a session")
	}
	if _, foreign := cutForeign(ses.Name); foreign {
		return errors.New("is a mirror that spanctl did not make; it is never changed")
	}
	have := r.snap.portions(hashOf(r.dev, ses.Name))
	switch c.Op {
	case models.Create:
		if len(have) > 0 {
			return errors.New("is there already; look at the device again before changing it")
		}
		return r.towardLinks(*c.After, nil)
	case models.Update:
		return r.towardLinks(*c.After, have)
	case models.Delete:
		for _, p := range have {
			if err := r.remove(ses.Name, p); err != nil {
				return err
			}
		}
		r.dropLinks(*ses, nil)
		return nil
	default:
		return fmt.Errorf("operation %s is not known", c.Op)
	}
}

func (r *renderer) step(session string, o operation) {
	r.ops = append(r.ops, o)
	r.steps = append(r.steps, transport.Step{Phase: transport.Edit, Text: o.String(), Session: session})
}

func (r *renderer) add(session string, k copyKey, which taken) error {
	program, err := compileRules(which.rules)
	if err != nil {
		return err
	}
	kind := r.with.kindFor(which)
	source, _ := r.snap.byName(k.source) // checkPorts has found both
	target, _ := r.snap.byName(k.target)
	if err := r.qdisc(session, source, k.hook); err != nil {
		return err
	}
	priority := r.freePriorities(source, k.hook)[0] // choose has counted them
	cookie := mark{session: hashOf(r.dev, session), hook: k.hook}.cookie()
	r.step(session, operation{
		Verb: addFilter, Dev: k.source, Hook: k.hook, Priority: priority, Protocol: tcnl.ProtocolAll,
		Kind: kind, Target: k.target, Cookie: cookie, Program: program, OneIn: sampleOf(which),
	})
	f := tcnl.Filter{
		ID:       tcnl.ID{Ifindex: source.index, Hook: k.hook, Priority: priority, Protocol: tcnl.ProtocolAll, Kind: kind},
		CatchAll: len(program) == 0,
		Program:  program,
		Actions:  actionsOf(which, target.index, cookie),
	}
	r.snap.filters = append(r.snap.filters, f)
	r.added = append(r.added, mirroredBy(f)...)
	return nil
}

// sampleOf gives the OneIn of an operation: 0 stands for every frame there.
func sampleOf(t taken) uint16 {
	if t.oneIn > 1 {
		return uint16(t.oneIn)
	}
	return 0
}

// actionsOf gives the actions as the kernel will show them.
func actionsOf(t taken, target int, cookie tcnl.Cookie) []tcnl.Action {
	var out []tcnl.Action
	if t.oneIn > 1 {
		out = append(out, tcnl.Action{
			Kind: "gact", Verdict: tcnl.Continue, Cookie: cookie[:],
			Chance: &tcnl.Chance{Type: tcnl.Determ, OneIn: uint16(t.oneIn), Verdict: tcnl.Pipe},
		})
	}
	return append(out, tcnl.Action{
		Kind: "mirred", Verdict: tcnl.Continue, Cookie: cookie[:],
		Mirred: &tcnl.Mirred{Mode: tcnl.EgressMirror, Ifindex: target},
	})
}

// qdisc sees to it that the hook exists.
func (r *renderer) qdisc(session string, source link, hook tcnl.Hook) error {
	switch {
	case r.snap.hasQdisc(source.index, "clsact"):
		return nil
	case r.snap.hasQdisc(source.index, "ingress"):
		if hook == tcnl.Ingress {
			return nil
		}
		return fmt.Errorf("%w: %s has an ingress qdisc that is not ours; the kernel takes no clsact beside it, so only frames that it receives can be mirrored",
			drivers.ErrUnsupported, source.name)
	}
	r.step(session, operation{Verb: addQdisc, Dev: source.name})
	r.snap.qdiscs = append(r.snap.qdiscs, tcnl.Qdisc{Ifindex: source.index, Kind: "clsact"})
	return nil
}

// freePriorities gives those of our priorities that nobody has on the hook, lowest first.
func (r *renderer) freePriorities(source link, hook tcnl.Hook) []uint16 {
	used := make(map[uint16]bool)
	for _, f := range r.snap.on(source.index, hook) {
		used[f.Priority] = true
	}
	var out []uint16
	first := firstPriorityOf(hook)
	for p := first; p < first+filtersPerHook; p++ {
		if !used[p] {
			out = append(out, p)
		}
	}
	return out
}

func (r *renderer) remove(session string, p portion) error {
	if p.share != nil {
		return r.removeCopy(session, p)
	}
	f := p.filter
	m, _ := markOf(f)
	source, _ := r.snap.byIndex(f.Ifindex)
	r.step(session, operation{
		Verb: delFilter, Dev: source.name, Hook: f.Hook, Chain: f.Chain, Priority: f.Priority, Protocol: f.Protocol,
		Kind: f.Kind, Handle: f.Handle, Cookie: m.cookie(),
	})
	r.snap.filters = slices.DeleteFunc(r.snap.filters, func(g tcnl.Filter) bool { return g.ID == f.ID })
	return nil
}

// checkPorts refuses ports that are not there, and ports that cannot be what they
// shall be.
func (r *renderer) checkPorts(ses models.Session) error {
	var sources []link
	for _, src := range ses.Sources {
		l, ok := r.snap.byName(src.Name)
		switch {
		case !ok:
			return absent("source", src.Name)
		case l.kind == "bridge":
			return fmt.Errorf("%w: source %s is a bridge, and frames that it forwards do not pass it: name its ports", drivers.ErrUnsupported, src.Name)
		}
		sources = append(sources, l)
	}
	for _, a := range sources {
		for _, b := range sources {
			if r.sitsOn(a, b) {
				return fmt.Errorf("%w: source %s sits on source %s: each frame would be copied twice, so name one of them", drivers.ErrUnsupported, a.name, b.name)
			}
		}
	}
	for _, name := range ses.Destination.Ports {
		if _, ok := r.snap.byName(name); !ok {
			return absent("destination", name)
		}
	}
	return nil
}

// sitsOn reports whether frames of the upper device pass the lower one: a VLAN and
// its port, a bond and its member.
func (r *renderer) sitsOn(upper, lower link) bool {
	for range len(r.snap.links) {
		if upper.parent == 0 {
			break
		}
		if upper.parent == lower.index {
			return true
		}
		upper, _ = r.snap.byIndex(upper.parent)
	}
	master, ok := r.snap.byIndex(lower.master)
	return ok && isLAG(master.kind) && master.index == upper.index
}
