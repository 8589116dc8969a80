package hostmirror

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// toward adds what ses, which is plain, lacks and then removes what it has too much, so that copies
// which stay are never interrupted.
func (r *renderer) toward(ses models.Session, have []portion) error {
	if err := r.checkPorts(ses); err != nil {
		return err
	}
	kept := make(map[int]bool)
	for _, src := range ses.Sources {
		source, _ := r.snap.byName(src.Name) // checkPorts has found it
		for _, hook := range hooksOf(src.Direction) {
			if err := r.settle(ses, source, hook, have, kept); err != nil {
				return err
			}
		}
	}
	for i, p := range have {
		if !kept[i] {
			if err := r.remove(ses.Name, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle makes what ses wants of a port and direction. It tells which of the portions in
// have are part of it.
func (r *renderer) settle(ses models.Session, source link, hook tcnl.Hook, have []portion, kept map[int]bool) error {
	at, which := point{source.index, hook}, takenOf(ses)
	ses.Destination.Ports = targetsOf(ses.Destination.Ports, hook)
	good := make(map[string]int) // filters by destination
	mine := -1                   // share of a program
	for i, p := range have {
		switch {
		case p.at != at || p.elsewhere():
		case p.share != nil:
			mine = i
		case p.which.equal(which) && len(p.faults) == 0 && slices.Contains(ses.Destination.Ports, p.targets[0]):
			if _, twice := good[p.targets[0]]; !twice {
				good[p.targets[0]] = i
			}
		}
	}
	var now way
	if mine >= 0 {
		now = way{program: true, reason: have[mine].share.session.Reason}
	}
	w, err := r.choose(hashOf(r.dev, ses.Name), source, hook, which, len(ses.Destination.Ports)-len(good), now, len(good) > 0)
	if err != nil {
		return err
	}
	if w.program {
		if mine >= 0 {
			kept[mine] = true
		}
		return r.putCopy(ses, source, hook, which, w.reason, have, mine)
	}
	for _, to := range ses.Destination.Ports {
		if i, ok := good[to]; ok {
			kept[i] = true
		} else if err := r.add(ses.Name, copyKey{source.name, hook, to}, which); err != nil {
			return err
		}
	}
	return nil
}

// putCopy makes the share of a program that ses wants. mine is the one in have that is
// there, -1 where there is none.
func (r *renderer) putCopy(ses models.Session, source link, hook tcnl.Hook, which taken, reason string, have []portion, mine int) error {
	o := operation{Verb: addCopy, Dev: source.name, Hook: hook, Copy: bpfcopy.Session{
		Name: copyName(r.dev, ses.Name), Filter: which.rules, TruncateTo: which.truncate, Reason: reason,
	}}
	if which.oneIn > 1 {
		o.Copy.SampleOneIn = which.oneIn
	}
	for _, to := range ses.Destination.Ports {
		o.Copy.Destinations = append(o.Copy.Destinations, bpfcopy.Device{Name: to})
	}
	if mine >= 0 {
		p := have[mine]
		if p.which.equal(which) && len(p.faults) == 0 && sameNames(p.targets, ses.Destination.Ports) {
			return nil
		}
		o.Verb = changeCopy
	}
	if r.snap.attach == bpfcopy.MethodFilter {
		if err := r.qdisc(ses.Name, source, hook); err != nil {
			return err
		}
		for _, to := range ses.Destination.Ports {
			if l, _ := r.snap.byName(to); which.truncate != 0 {
				if err := r.qdisc(ses.Name, l, tcnl.Egress); err != nil {
					return err
				}
			}
		}
	}
	return r.program(ses.Name, o)
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// program adds a step about a program.
func (r *renderer) program(session string, o operation) error {
	r.step(session, o)
	if err := r.snap.do(o); err != nil {
		return err
	}
	r.added = append(r.added, r.snap.waysOf(o)...)
	if dev, ok := r.snap.byName(o.Dev); ok && o.Verb != forgetCopy {
		r.touched[point{dev.index, o.Hook}] = true
	}
	return nil
}

// removeCopy takes a share of a program away, or the whole program of an interface that
// is gone.
func (r *renderer) removeCopy(session string, p portion) error {
	if p.elsewhere() {
		return r.program(session, operation{Verb: forgetCopy, Dev: p.share.program.port, Index: p.at.index, Hook: p.at.hook})
	}
	return r.program(session, operation{Verb: delCopy, Dev: p.source, Hook: p.at.hook, Copy: bpfcopy.Session{Name: p.share.session.Name}})
}

// checkPrograms looks whether the programs that were changed can hold what they shall.
func (r *renderer) checkPrograms() error {
	for i := range r.snap.programs {
		p := &r.snap.programs[i]
		if p.elsewhere || !r.touched[p.at] {
			continue
		}
		set := r.snap.living(p.set)
		err := set.Validate(bpfcopy.Device{Name: r.snap.sourceOf(p), Ifindex: p.at.index})
		if err == nil {
			_, err = bpfcopy.Compile(set, func(string) uint32 { return 0 })
		}
		if errors.Is(err, bpfcopy.ErrLimit) {
			err = fmt.Errorf("%w: %w", drivers.ErrUnsupported, err)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.snap.sourceOf(p), p.at.hook, err)
		}
	}
	return nil
}
