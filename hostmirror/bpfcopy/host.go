package bpfcopy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Method is how a program is attached.
type Method uint8

// Methods.
const (
	MethodAny    Method = iota // tcx where the kernel has it, else a filter
	MethodTCX                  // a pinned tcx link at the head, from Linux 6.6
	MethodFilter               // a direct-action filter of classifier bpf
)

// String gives "any", "tcx" or "cls_bpf".
func (m Method) String() string {
	switch m {
	case MethodAny:
		return "any"
	case MethodTCX:
		return "tcx"
	case MethodFilter:
		return "cls_bpf"
	default:
		return fmt.Sprintf("method(%d)", uint8(m))
	}
}

// DefaultPins is the folder for pins, in the file system where the kernel keeps BPF
// objects by name.
const DefaultPins = "/sys/fs/bpf/spanctl"

// Priorities of our filters where there is no tcx: of programs that cut, before
// everything that could copy a copy, and of those that copy. A priority belongs to one
// classifier, so these are not those of filters that other packages of this module make:
// guards have 21327, mirrors 21328 to 21391.
const (
	TruncatePriority = 21326
	FilterPriority   = 21392
)

// Options say where to work.
type Options struct {
	// Namespace is a path to a network namespace; "" is the calling thread's.
	Namespace string
	// Pins is a folder in a BPF file system; "" is DefaultPins. It is made when absent.
	// Each network namespace has a folder of its own there.
	Pins   string
	Method Method
}

// Validate checks o.
func (o Options) Validate() error {
	if o.Method > MethodFilter {
		return fmt.Errorf("%w: %s", ErrInvalid, o.Method)
	}
	return nil
}

// Attached is a program of ours that is there.
type Attached struct {
	Port      Device           `json:"port"` // as it was called when the program was made
	Direction models.Direction `json:"direction"`
	Method    Method           `json:"method"`
	Program   uint32           `json:"program"` // the kernel's number
	Set       Set              `json:"set"`
	Counters  []Counter        `json:"counters"` // in the order of Set.Sessions
	// Looped counts frames that came back to the program while it made copies, and were
	// not copied again.
	Looped uint64 `json:"looped"`
	// Elsewhere is set for a program whose interface is gone or in another network
	// namespace: it copies nothing here.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Problems says what is wrong: interfaces that are gone, or are others by now.
	Problems []string `json:"problems,omitempty"`
}

// Counter is what became of the frames of one session of a port and direction.
type Counter struct {
	Session string `json:"session"`
	Matched uint64 `json:"matched"` // frames that the session's filter wants, before sampling
	Copied  uint64 `json:"copied"`  // copies that a destination took; each destination counts
	Failed  uint64 `json:"failed"`  // copies that a destination did not take: down, gone, queue full, MTU
}

// Program is a tcx program on an interface.
type Program struct {
	ID   uint32 `json:"id"`
	Name string `json:"name,omitempty"` // "" where looking needs more rights than we have
	Ours bool   `json:"ours"`
}

// place is a hook of an interface and what we use it for.
type place struct {
	ifindex int
	role    role
}

type role string

const (
	roleRx  role = "rx"
	roleTx  role = "tx"
	roleCut role = "cut"
)

func roleOf(d models.Direction) (role, error) {
	switch d {
	case models.Rx:
		return roleRx, nil
	case models.Tx:
		return roleTx, nil
	default:
		return "", fmt.Errorf("%w: direction %q, want rx or tx: each is a program of its own", ErrInvalid, d)
	}
}

func (r role) direction() models.Direction {
	if r == roleRx {
		return models.Rx
	}
	return models.Tx
}

// filterName is the name of our filters; the hook tells the rest.
func (r role) filterName() string { return FilterName(string(r)) }

// FilterName is the name of the filters that carry our programs where there is no tcx.
// What is "rx" or "tx" for those that copy, "cut" for those that cut copies.
func FilterName(what string) string { return "spanctl/" + what }

func (r role) priority() uint16 {
	if r == roleCut {
		return TruncatePriority
	}
	return FilterPriority
}

// Parts of a place that are pinned. Programs and tables have two pins that are used in
// turn, so that a process which dies between two steps leaves what is attached and its
// tables together.
const (
	partLink     = "link"
	partCounters = "counters"
	partProgram  = "prog-" // and the generation
	partTables   = "tables-"
)

var generations = []string{"a", "b"}

func (p place) pin(part string) string { return fmt.Sprintf("%d-%s-%s", p.ifindex, p.role, part) }

// parsePin reads what pin gives.
func parsePin(name string) (place, string, error) {
	var p place
	var rest string
	if _, err := fmt.Sscanf(name, "%d-%s", &p.ifindex, &rest); err != nil || p.ifindex <= 0 {
		return place{}, "", errors.New("not a pin of a program")
	}
	for _, r := range []role{roleRx, roleTx, roleCut} {
		if part, ok := strings.CutPrefix(rest, string(r)+"-"); ok {
			p.role = r
			if p.pin(part) == name {
				return p, part, nil
			}
		}
	}
	return place{}, "", errors.New("not a pin of a program")
}

// assignSlots gives each session a number for its counters: the one that it has, else
// one that nobody has now.
func assignSlots(sessions []Session, have map[string]int) map[string]int {
	out, used := make(map[string]int), make(map[int]bool)
	for _, n := range have {
		used[n] = true
	}
	free := 0
	for _, s := range sessions {
		n, ok := have[s.Name]
		if !ok {
			for used[free] {
				free++
			}
			n = free
			used[n] = true
		}
		out[s.Name] = n
	}
	return out
}
