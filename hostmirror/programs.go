package hostmirror

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// program is one of our BPF programs: all that is copied by BPF of a port in a
// direction.
type program struct {
	at     point
	port   string // name of the interface when the program was made
	method bpfcopy.Method
	// elsewhere is set when the interface is gone or in another namespace: nothing is
	// copied here.
	elsewhere bool
	set       bpfcopy.Set
	hashes    []sessionHash     // of set.Sessions
	counters  []bpfcopy.Counter // of set.Sessions; none of a program that is only planned
}

// nameHash is the hash of a session's name as programs write it.
func nameHash(name string) sessionHash {
	sum := sha256.Sum256([]byte(name))
	return sessionHash(sum[:8])
}

func (p *program) index(name string) int {
	return slices.IndexFunc(p.set.Sessions, func(s bpfcopy.Session) bool { return s.Name == name })
}

func (p *program) clone() program {
	c := *p
	c.set.Sessions = slices.Clone(p.set.Sessions)
	c.set.Guard = slices.Clone(p.set.Guard)
	c.hashes = slices.Clone(p.hashes)
	return c
}

// clonePrograms copies programs so that sessions can be added and taken away.
func clonePrograms(list []program) []program {
	var out []program
	for i := range list {
		out = append(out, list[i].clone())
	}
	return out
}

// readPrograms takes over what is attached.
func (s *snapshot) readPrograms(list []bpfcopy.Attached) {
	for _, a := range list {
		p := program{
			at: point{a.Port.Ifindex, hookOf(a.Direction)}, port: a.Port.Name, method: a.Method,
			elsewhere: a.Elsewhere, set: a.Set, counters: a.Counters,
		}
		for _, ses := range a.Set.Sessions {
			p.hashes = append(p.hashes, nameHash(ses.Name))
		}
		s.programs = append(s.programs, p)
	}
}

func hookOf(d models.Direction) tcnl.Hook {
	if d == models.Tx {
		return tcnl.Egress
	}
	return tcnl.Ingress
}

// programAt gives the program of a hook that works there, nil where there is none.
func (s *snapshot) programAt(at point) *program {
	for i := range s.programs {
		if p := &s.programs[i]; p.at == at && !p.elsewhere {
			return p
		}
	}
	return nil
}

// share is a session's part of a program.
type share struct {
	program *program
	session bpfcopy.Session
	counter bpfcopy.Counter
}

// programsOf gives the portions of a session in programs.
func (s *snapshot) programsOf(h sessionHash) []share {
	var out []share
	for i := range s.programs {
		p := &s.programs[i]
		for j, g := range p.hashes {
			if g != h {
				continue
			}
			c := share{program: p, session: p.set.Sessions[j]}
			if j < len(p.counters) {
				c.counter = p.counters[j]
			}
			out = append(out, c)
		}
	}
	return out
}

// ways gives the ways of all copies; none of a program that is elsewhere.
func (p *program) ways() []mirrored {
	var out []mirrored
	for _, ses := range p.set.Sessions {
		for _, d := range ses.Destinations {
			if !p.elsewhere {
				out = append(out, mirrored{p.at, d.Ifindex})
			}
		}
	}
	return out
}

// sourceOf gives the name of the port, as it is called now.
func (s *snapshot) sourceOf(p *program) string {
	if l, ok := s.byIndex(p.at.index); ok && !p.elsewhere {
		return l.name
	}
	return p.port
}

// alive tells whether a destination is what it was: by its index alone it could be a
// stranger.
func (s *snapshot) alive(d bpfcopy.Device) bool {
	l, ok := s.byIndex(d.Ifindex)
	return ok && l.name == d.Name
}

// living gives a set without destinations that are gone or others, as the next change
// of the program leaves it.
func (s *snapshot) living(set bpfcopy.Set) bpfcopy.Set {
	out := bpfcopy.Set{Guard: slices.Clone(set.Guard)}
	for _, ses := range set.Sessions {
		ses.Destinations = slices.DeleteFunc(slices.Clone(ses.Destinations), func(d bpfcopy.Device) bool { return !s.alive(d) })
		if len(ses.Destinations) > 0 {
			out.Sessions = append(out.Sessions, ses)
		}
	}
	return out
}

// isProgram tells whether a filter of the classifier bpf is the carrier of one of our
// programs, on a kernel without tcx.
func (s *snapshot) isProgram(f tcnl.Filter) bool {
	if f.Kind != tcnl.BPF || !f.Direct {
		return false
	}
	switch f.Priority {
	case bpfcopy.TruncatePriority:
		return f.Name == bpfcopy.FilterName("cut")
	case bpfcopy.FilterPriority:
		p := s.programAt(point{f.Ifindex, f.Hook})
		return p != nil && p.method == bpfcopy.MethodFilter && f.Name == bpfcopy.FilterName(directionOf(f.Hook).String())
	default:
		return false
	}
}

// do carries out an operation on programs, as the kernel will. It checks that it fits
// what is there.
func (s *snapshot) do(o operation) error {
	if o.Verb == forgetCopy {
		n := slices.IndexFunc(s.programs, func(p program) bool {
			return p.elsewhere && p.at == point{o.Index, o.Hook} && p.port == o.Dev
		})
		if n < 0 {
			return fmt.Errorf("there is no program of an interface %s (index %d) that is gone; plan again", o.Dev, o.Index)
		}
		s.programs = slices.Delete(s.programs, n, n+1)
		return nil
	}
	dev, ok := s.byName(o.Dev)
	if !ok {
		return fmt.Errorf("interface %s: %w", o.Dev, syscall.ENODEV)
	}
	if o.Verb == addCopy || o.Verb == changeCopy {
		var err error
		if o.Copy, err = s.withIndexes(o.Copy); err != nil {
			return err
		}
	}
	at := point{dev.index, o.Hook}
	p := s.programAt(at)
	if p == nil {
		s.programs = append(s.programs, program{at: at, port: o.Dev, method: s.attach})
		p = &s.programs[len(s.programs)-1]
	}
	if err := merge(&p.set, o); err != nil {
		return err
	}
	p.counters = nil
	switch h := nameHash(o.Copy.Name); o.Verb {
	case addCopy:
		p.hashes = append(p.hashes, h)
	case delCopy:
		p.hashes = slices.DeleteFunc(p.hashes, func(g sessionHash) bool { return g == h })
	}
	if len(p.set.Sessions) == 0 {
		s.programs = slices.DeleteFunc(s.programs, func(q program) bool { return q.at == at && !q.elsewhere })
	}
	return nil
}

// waysOf gives the ways of copies that an operation adds, once it is done.
func (s *snapshot) waysOf(o operation) []mirrored {
	var out []mirrored
	dev, _ := s.byName(o.Dev)
	for _, d := range o.Copy.Destinations { // none of what is deleted
		to, _ := s.byName(d.Name)
		out = append(out, mirrored{point{dev.index, o.Hook}, to.index})
	}
	return out
}

// withIndexes gives ses with the indexes of its destinations.
func (s *snapshot) withIndexes(ses bpfcopy.Session) (bpfcopy.Session, error) {
	ses.Destinations = slices.Clone(ses.Destinations)
	for i := range ses.Destinations {
		d := &ses.Destinations[i]
		l, ok := s.byName(d.Name)
		if !ok {
			return ses, fmt.Errorf("interface %s: %w", d.Name, syscall.ENODEV)
		}
		d.Ifindex = l.index
	}
	return ses, nil
}

var (
	errCopyThere = errors.New("the port copies that session already; plan again")
	errCopyGone  = errors.New("the port no longer copies that session; plan again")
)

// merge changes a set as an operation says, whose destinations have indexes.
func merge(set *bpfcopy.Set, o operation) error {
	n := slices.IndexFunc(set.Sessions, func(s bpfcopy.Session) bool { return s.Name == o.Copy.Name })
	switch o.Verb {
	case addCopy:
		if n >= 0 {
			return errCopyThere
		}
		set.Sessions = append(set.Sessions, o.Copy)
	case changeCopy:
		if n < 0 {
			return errCopyGone
		}
		set.Sessions[n] = o.Copy
	case delCopy:
		if n < 0 {
			return errCopyGone
		}
		set.Sessions = slices.Delete(set.Sessions, n, n+1)
	case addGuard:
		if !slices.Contains(set.Guard, o.Tunnel) {
			set.Guard = append(set.Guard, o.Tunnel)
		}
	case delGuard:
		set.Guard = slices.DeleteFunc(set.Guard, func(t bpfcopy.Tunnel) bool { return t == o.Tunnel })
	default:
		return fmt.Errorf("verb %q is not one of programs", o.Verb)
	}
	return nil
}

// batches puts together the steps that are done at once, since each change of a program
// takes milliseconds: those about one program. A step is brought forward past filters of
// other sessions only, so that a session that goes from filters to a program or back is
// never without copies, and past no step of another kind. A batch holds the numbers of
// its steps.
func batches(ops []operation) [][]int {
	type place struct {
		dev   string
		index int
		hook  tcnl.Hook
	}
	var out [][]int
	open := make(map[place]int)         // batches that can be joined
	behind := make(map[sessionHash]int) // the first batch behind the last filter of a session
	last := 0                           // and behind any filter
	for i, o := range ops {
		if !o.Verb.program() {
			out = append(out, []int{i})
			m, ours := parseMark(o.Cookie[:])
			if ours && (o.Verb == addFilter || o.Verb == delFilter) {
				behind[m.session], last = len(out), len(out)
			} else {
				clear(open)
			}
			continue
		}
		earliest := last // a guard is about all sessions
		if o.Copy.Name != "" {
			earliest = behind[nameHash(o.Copy.Name)]
		}
		at := place{o.Dev, o.Index, o.Hook}
		n, ok := open[at]
		if !ok || n < earliest {
			n = len(out)
			open[at] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], i)
	}
	return out
}

// undoing gives the change that takes ops back, from what was there before: what they
// were about is as it was, and nothing else is touched. What was added to a destination
// that is gone by now stays away.
func undoing(before bpfcopy.Set, ops []operation) func(bpfcopy.Set) (bpfcopy.Set, error) {
	return func(now bpfcopy.Set) (bpfcopy.Set, error) {
		for _, o := range slices.Backward(ops) {
			switch o.Verb {
			case addGuard, delGuard:
				now.Guard = slices.DeleteFunc(now.Guard, func(t bpfcopy.Tunnel) bool { return t == o.Tunnel })
				if slices.Contains(before.Guard, o.Tunnel) {
					now.Guard = append(now.Guard, o.Tunnel)
				}
				continue
			}
			same := func(s bpfcopy.Session) bool { return s.Name == o.Copy.Name }
			was, is := slices.IndexFunc(before.Sessions, same), slices.IndexFunc(now.Sessions, same)
			switch {
			case was >= 0 && is >= 0:
				now.Sessions[is] = before.Sessions[was]
			case was >= 0:
				now.Sessions = append(now.Sessions, before.Sessions[was])
			case is >= 0:
				now.Sessions = slices.Delete(now.Sessions, is, is+1)
			}
		}
		return now, nil
	}
}

// attachName is how a way to attach programs is called.
func attachName(m bpfcopy.Method) string {
	return cmp.Or(map[bpfcopy.Method]string{bpfcopy.MethodTCX: "tcx", bpfcopy.MethodFilter: "cls_bpf"}[m], "bpf")
}
