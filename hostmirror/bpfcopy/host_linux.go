package bpfcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/inside"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Host attaches programs to the interfaces of one network namespace. It is used by one
// goroutine at a time, and by one process at a time: a caller that cannot be sure of
// that holds a lock.
type Host struct {
	ns     netns.NsHandle
	nl     *netlink.Handle
	tc     *tcnl.Conn
	dir    string
	method Method
}

// Open opens a network namespace. It changes nothing but making the folder for pins.
// To look and to change needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and, to enter
// another namespace than that of the process, CAP_SYS_ADMIN.
func Open(o Options) (_ *Host, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	h := &Host{method: o.Method, ns: netns.None()}
	defer func() {
		if err != nil {
			_ = h.Close()
		}
	}()
	if h.ns, err = namespace(o.Namespace); err != nil {
		return nil, err
	}
	if err = h.within(func() (err error) {
		h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		return nil, err
	}
	if h.tc, err = tcnl.Open(int(h.ns)); err != nil {
		return nil, err
	}
	if h.dir, err = folder(o.Pins, h.ns); err != nil {
		return nil, err
	}
	return h, h.makeDir()
}

// folder gives where the pins of a namespace are.
func folder(pins string, ns netns.NsHandle) (string, error) {
	if pins == "" {
		pins = DefaultPins
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(ns), &st); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return filepath.Join(pins, strconv.FormatUint(st.Ino, 10)), nil
}

// Pinned tells whether there may be programs in a namespace: whether anything is pinned
// for it. It changes nothing, and needs no more than the right to read the folder.
func Pinned(o Options) (bool, error) {
	ns, err := namespace(o.Namespace)
	if err != nil {
		return false, err
	}
	defer ns.Close()
	dir, err := folder(o.Pins, ns)
	if err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

func namespace(path string) (ns netns.NsHandle, err error) {
	if path == "" {
		ns, err = netns.Get()
	} else {
		ns, err = netns.GetFromPath(path)
	}
	if err != nil {
		return netns.None(), fmt.Errorf("network namespace %s: %w", path, err)
	}
	return ns, nil
}

// makeDir makes the folder for pins. Outside of a BPF file system the kernel would
// refuse to pin anything, so this is told first.
func (h *Host) makeDir() error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("folder for BPF pins: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(h.dir, &st); err != nil {
		return fmt.Errorf("folder for BPF pins %s: %w", h.dir, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		_ = os.Remove(h.dir)
		return fmt.Errorf("%w: %s is not in a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf", ErrUnsupported, h.dir)
	}
	return nil
}

// Close releases what h holds. What is attached stays and works.
func (h *Host) Close() error {
	if h.tc != nil {
		h.tc.Close()
	}
	if h.nl != nil {
		h.nl.Close()
	}
	if unlock, err := h.tryLock(); err == nil {
		_ = os.Remove(h.dir) // goes when nothing is pinned there
		unlock()
	}
	if h.ns.IsOpen() {
		return h.ns.Close()
	}
	return nil
}

// within runs f on a thread in the namespace.
func (h *Host) within(f func() error) error { return inside.Do(h.ns, f) }

// check tells whether d is what it was when somebody looked.
func (h *Host) check(d Device) (netlink.Link, error) {
	l, err := h.nl.LinkByIndex(d.Ifindex)
	switch {
	case err != nil && errors.As(err, &netlink.LinkNotFoundError{}):
		return nil, fmt.Errorf("interface %s is gone", d)
	case err != nil:
		return nil, fmt.Errorf("interface %s: %w", d, err)
	case l.Attrs().Name != d.Name:
		return nil, fmt.Errorf("interface %s: %w, %s, has this index", d, ErrReplaced, l.Attrs().Name)
	}
	return l, nil
}

// ethernet is check for an interface whose frames have Ethernet headers. Others (tun,
// sit) give frames that mean nothing on an Ethernet.
func (h *Host) ethernet(d Device) error {
	l, err := h.check(d)
	if err != nil {
		return err
	}
	if kind := l.Attrs().EncapType; kind != "ether" && kind != "loopback" {
		return fmt.Errorf("%w: interface %s has frames of kind %s, not Ethernet", ErrUnsupported, d, kind)
	}
	return nil
}

// Apply makes port copy exactly what set says in a direction, which is models.Rx or
// models.Tx. The change is one step: every frame is treated by what was or by what
// shall be. Counters of sessions that stay are kept. A set without sessions is Detach.
// Loops over several ports are not looked for here; see Attached.Looped.
func (h *Host) Apply(ctx context.Context, port Device, d models.Direction, set Set) error {
	r, err := roleOf(d)
	if err != nil {
		return err
	}
	if err := set.Validate(port); err != nil {
		return err
	}
	if len(set.Sessions) == 0 {
		return h.Detach(ctx, port.Ifindex, d)
	}
	if err := h.ethernet(port); err != nil {
		return err
	}
	checked := make(map[Device]bool)
	for _, s := range set.Sessions {
		for _, to := range s.Destinations {
			if checked[to] {
				continue
			}
			if err := h.ethernet(to); err != nil {
				return fmt.Errorf("session %s: %w", s.Name, err)
			}
			checked[to] = true
		}
	}
	if err := h.makeDir(); err != nil {
		return err
	}
	for _, to := range truncated(set) {
		if err := h.attachCutter(ctx, to); err != nil {
			return fmt.Errorf("cutting on %s: %w", to, err)
		}
	}
	if err := h.apply(ctx, place{port.Ifindex, r}, config{Port: port, Direction: string(r), Set: set}); err != nil {
		return errors.Join(err, h.dropCutters(ctx))
	}
	return h.dropCutters(ctx)
}

func truncated(set Set) []Device {
	var out []Device
	for _, s := range set.Sessions {
		if s.TruncateTo == 0 {
			continue
		}
		for _, d := range s.Destinations {
			if !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	return out
}

func (h *Host) apply(ctx context.Context, p place, c config) error {
	have, err := h.find(ctx, p)
	if err != nil {
		return err
	}
	defer have.close()
	if len(have.problems) > 0 {
		if err := h.detach(ctx, p); err != nil {
			return err
		}
		have = &installed{place: p}
	}
	if !have.attached() { // counters that a process left when it died are nobody's
		if err := h.unpin(p.pin(partCounters)); err != nil {
			return err
		}
	}
	counters, err := h.pinnedMap(p.pin(partCounters), newCounters)
	if err != nil {
		return err
	}
	defer counters.Close()
	truncation, err := h.pinnedMap(truncationPin, newTruncation)
	if err != nil {
		return err
	}
	defer truncation.Close()

	c.Slots = assignSlots(c.Set.Sessions, have.config.Slots)
	for name, n := range c.Slots {
		if _, ok := have.config.Slots[name]; !ok {
			if err := zeroCounter(counters, uint32(n)); err != nil {
				return err
			}
		}
	}
	tables, err := Compile(c.Set, func(name string) uint32 { return uint32(c.Slots[name]) })
	if err != nil {
		return err
	}
	l, err := load(tables, c, counters, truncation)
	if err != nil {
		return err
	}
	defer l.Close()
	return h.put(ctx, p, have, l)
}

// put pins a program under the generation that is not in use, attaches it in place of
// what is there, and takes the pins of the old one away.
func (h *Host) put(ctx context.Context, p place, have *installed, l *loaded) error {
	g := generations[0]
	if have.generation == g {
		g = generations[1]
	}
	err := errors.Join(h.unpin(p.pin(partProgram+g)), h.unpin(p.pin(partTables+g)))
	if err == nil {
		err = l.prog.Pin(h.path(p.pin(partProgram + g)))
	}
	if err == nil && l.tables != nil {
		err = l.tables.Pin(h.path(p.pin(partTables + g)))
	}
	if err == nil {
		err = h.attach(ctx, p, have, l.prog)
	}
	if err != nil {
		left := []string{p.pin(partProgram + g), p.pin(partTables + g)}
		if !have.attached() {
			left = append(left, p.pin(partCounters))
		}
		return errors.Join(append([]error{err}, h.unpinAll(left)...)...)
	}
	if have.generation == "" {
		return nil
	}
	return errors.Join(h.unpinAll([]string{p.pin(partProgram + have.generation), p.pin(partTables + have.generation)})...)
}

func (h *Host) unpinAll(names []string) []error {
	var out []error
	for _, n := range names {
		if err := h.unpin(n); err != nil {
			out = append(out, err)
		}
	}
	return out
}

// Detach takes our program away from an interface, by its index: the interface itself
// may be gone. It is no error when there is none.
func (h *Host) Detach(ctx context.Context, ifindex int, d models.Direction) error {
	r, err := roleOf(d)
	if err != nil {
		return err
	}
	if err := h.detach(ctx, place{ifindex, r}); err != nil {
		return err
	}
	return h.dropCutters(ctx)
}

func (h *Host) detach(ctx context.Context, p place) error {
	have, err := h.find(ctx, p)
	if err != nil {
		return err
	}
	defer have.close()
	if err := h.remove(ctx, have); err != nil {
		return err
	}
	names := []string{p.pin(partLink), p.pin(partCounters)}
	for _, g := range generations {
		names = append(names, p.pin(partProgram+g), p.pin(partTables+g))
	}
	return errors.Join(h.unpinAll(names)...)
}

// Observe gives all that is attached, by interface index and direction.
func (h *Host) Observe(ctx context.Context) ([]Attached, error) {
	places, err := h.places()
	if err != nil {
		return nil, err
	}
	var out []Attached
	for _, p := range places {
		if p.role == roleCut {
			continue
		}
		a, ok, err := h.observe(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("interface %d %s: %w", p.ifindex, p.role, err)
		}
		if ok {
			out = append(out, a)
		}
	}
	return out, nil
}

func (h *Host) observe(ctx context.Context, p place) (Attached, bool, error) {
	have, err := h.find(ctx, p)
	if err != nil {
		return Attached{}, false, err
	}
	defer have.close()
	if !have.attached() {
		return Attached{}, false, nil
	}
	a := Attached{
		Port: have.config.Port, Direction: p.role.direction(), Method: have.method,
		Program: uint32(have.program), Set: have.config.Set, Problems: have.problems,
		Elsewhere: slices.Contains(have.problems, problemElsewhere),
	}
	problem := func(err error) {
		if err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
	}
	_, err = h.check(a.Port)
	problem(err)
	checked := make(map[Device]error)
	for _, s := range a.Set.Sessions {
		for _, d := range s.Destinations {
			err, done := checked[d]
			if !done {
				_, err = h.check(d)
				checked[d] = err
			}
			if err != nil {
				problem(fmt.Errorf("session %s: destination %w", s.Name, err))
			}
		}
	}
	counters, err := ebpf.LoadPinnedMap(h.path(p.pin(partCounters)), nil)
	if err != nil {
		return Attached{}, false, fmt.Errorf("counters: %w", err)
	}
	defer counters.Close()
	for _, s := range a.Set.Sessions {
		c, err := readCounter(counters, uint32(have.config.Slots[s.Name]))
		if err != nil {
			return Attached{}, false, err
		}
		c.Session = s.Name
		a.Counters = append(a.Counters, c)
	}
	if looped, err := readCounter(counters, slots); err == nil {
		a.Looped = looped.Matched
	}
	return a, true, nil
}

// Prune takes away what could reach a stranger: programs whose interface is gone or
// another by now, and destinations that are; an interface that was renamed counts as
// another. Sessions that have no destination left go, and so do pins of programs that
// are no longer attached. It says what it did.
func (h *Host) Prune(ctx context.Context) ([]string, error) {
	unlock, err := h.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	list, err := h.Observe(ctx)
	if err != nil {
		return nil, err
	}
	var done []string
	for _, a := range list {
		if len(a.Problems) == 0 {
			continue
		}
		if _, err := h.check(a.Port); err != nil || slices.Contains(a.Problems, problemElsewhere) {
			if err := h.Detach(ctx, a.Port.Ifindex, a.Direction); err != nil {
				return done, err
			}
			done = append(done, fmt.Sprintf("%s %s: detached: %s", a.Port, a.Direction, a.Problems[0]))
			continue
		}
		left := Set{Guard: a.Set.Guard}
		for _, s := range a.Set.Sessions {
			n := len(s.Destinations)
			s.Destinations = slices.DeleteFunc(slices.Clone(s.Destinations), func(d Device) bool { return h.ethernet(d) != nil })
			if len(s.Destinations) < n {
				done = append(done, fmt.Sprintf("%s %s: session %s keeps %d of %d destinations", a.Port, a.Direction, s.Name, len(s.Destinations), n))
			}
			if len(s.Destinations) > 0 {
				left.Sessions = append(left.Sessions, s)
			}
		}
		if err := h.Apply(ctx, a.Port, a.Direction, left); err != nil {
			return done, err
		}
	}
	return done, h.dropLeftovers(ctx)
}

// dropLeftovers unpins what belongs to programs that are attached nowhere: a filter goes
// with its interface.
func (h *Host) dropLeftovers(ctx context.Context) error {
	places, err := h.places()
	if err != nil {
		return err
	}
	for _, p := range places {
		have, err := h.find(ctx, p)
		if err != nil {
			return err
		}
		have.close()
		if have.attached() && len(have.problems) == 0 {
			continue
		}
		if err := h.detach(ctx, p); err != nil {
			return err
		}
	}
	return h.dropCutters(ctx)
}

// attachCutter puts the program that cuts copies on a destination, unless it is there.
func (h *Host) attachCutter(ctx context.Context, to Device) error {
	p := place{to.Ifindex, roleCut}
	have, err := h.find(ctx, p)
	if err != nil {
		return err
	}
	defer have.close()
	if len(have.problems) > 0 {
		if err := h.detach(ctx, p); err != nil {
			return err
		}
		have = &installed{place: p}
	}
	if have.attached() {
		return nil
	}
	truncation, err := h.pinnedMap(truncationPin, newTruncation)
	if err != nil {
		return err
	}
	defer truncation.Close()
	prog, err := newProgram("spanctl_cut", cutter(truncation))
	if err != nil {
		return err
	}
	defer prog.Close()
	return h.put(ctx, p, have, &loaded{prog: prog})
}

// dropCutters takes those away that no session asks for any more, and the map that they
// share when it was the last.
func (h *Host) dropCutters(ctx context.Context) error {
	places, err := h.places()
	if err != nil {
		return err
	}
	wanted, others := make(map[int]bool), false
	for _, p := range places {
		if p.role == roleCut {
			continue
		}
		have, err := h.find(ctx, p)
		if err != nil {
			return err
		}
		have.close()
		others = others || have.attached()
		for _, d := range truncated(have.config.Set) {
			wanted[d.Ifindex] = true
		}
	}
	for _, p := range places {
		if p.role != roleCut {
			continue
		}
		if wanted[p.ifindex] {
			others = true
			continue
		}
		if err := h.detach(ctx, p); err != nil {
			return err
		}
	}
	if others {
		return nil
	}
	return h.unpin(truncationPin)
}
