package bpfcopy

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// slots is the number of counters of a port and direction: twice the sessions, so that
// those that come with a change do not take those of the ones that go.
const slots = 2 * MaxSessions

// loaded is a program with the one map that is its own.
type loaded struct {
	prog   *ebpf.Program
	tables *ebpf.Map
}

func (l *loaded) Close() error { return errors.Join(l.prog.Close(), l.tables.Close()) }

func newCounters() (*ebpf.Map, error) {
	return newMap(&ebpf.MapSpec{Name: "span_counters", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: cSize, MaxEntries: slots + 1})
}

func newTruncation() (*ebpf.Map, error) {
	return newMap(&ebpf.MapSpec{Name: "span_truncate", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: tSize, MaxEntries: 1})
}

func newMap(spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11 count maps as locked memory
		return nil, fmt.Errorf("limit of locked memory: %w", err)
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Name, err)
	}
	return m, nil
}

// load makes the program for tables. The caller closes what it gets.
func load(t *Tables, c config, counters, truncation *ebpf.Map) (_ *loaded, err error) {
	tables, classes, l, err := t.encode(c)
	if err != nil {
		return nil, err
	}
	var made []*ebpf.Map
	defer func() {
		for i, m := range made {
			if i > 0 || err != nil { // the program keeps them
				_ = m.Close()
			}
		}
	}()
	for _, spec := range []*ebpf.MapSpec{
		{
			Name: "span_tables", Type: ebpf.Array, KeySize: 4, ValueSize: l.size, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: tables}},
		},
		classSpec(classes, 8*(1+t.words)),
		{Name: "span_scratch", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: sSize, MaxEntries: 1},
	} {
		m, err := newMap(spec)
		if err != nil {
			return nil, err
		}
		made = append(made, m)
	}
	if err := mayLoop(); err != nil {
		return nil, err
	}
	fds := mapFDs{
		tables: made[0].FD(), classes: made[1].FD(), scratch: made[2].FD(),
		counters: counters.FD(), truncation: truncation.FD(),
	}
	prog, err := newProgram("spanctl_"+c.Direction, program(t, l, fds))
	if err != nil {
		return nil, err
	}
	return &loaded{prog: prog, tables: made[0]}, nil
}

// mayLoop tells whether the verifier trusts this thread with loops. Without CAP_PERFMON
// it also walks the ways that a processor takes when it guesses wrongly, out of the end
// of a loop into it again: seen on 6.18, it then gives up, after half a minute at worst.
func mayLoop() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for _, c := range []uint{unix.CAP_PERFMON, unix.CAP_SYS_ADMIN} {
		if data[c/32].Effective&(1<<(c%32)) != 0 {
			return nil
		}
	}
	return fmt.Errorf("a program with loops needs CAP_PERFMON, beside CAP_BPF and CAP_NET_ADMIN: %w", unix.EPERM)
}

func newProgram(name string, ins asm.Instructions) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: ins})
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	return prog, nil
}

func classSpec(classes [][]byte, size int) *ebpf.MapSpec {
	spec := &ebpf.MapSpec{Name: "span_classes", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(size), MaxEntries: uint32(len(classes))}
	for i, c := range classes {
		spec.Contents = append(spec.Contents, ebpf.MapKV{Key: uint32(i), Value: c})
	}
	return spec
}

// cutter is the program on a destination's egress hook that cuts the copies which are
// to be cut, and nothing else: the truncation map says whether the frame is such a copy.
// A copy that the kernel cannot cut is dropped, and counts as failed.
func cutter(truncation *ebpf.Map) asm.Instructions {
	e := &emitter{}
	e.emit(asm.Mov.Reg(asm.R6, asm.R1))
	e.single(truncation.FD(), "out")
	e.emit(
		asm.LoadMem(asm.R1, asm.R0, tIfindex, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, skbIfindex, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R2, "out"),
		asm.LoadMem(asm.R2, asm.R0, tBytes, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "out"),
		// A tag that is kept beside the frame will be 4 bytes of it.
		asm.LoadMem(asm.R1, asm.R6, skbVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "untagged"),
		asm.Sub.Imm(asm.R2, 4),
	)
	e.here("untagged")
	e.emit(
		asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word),
		asm.JLE.Reg(asm.R1, asm.R2, "out"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnSkbChangeTail.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R0, verdictShot),
		asm.Return(),
	)
	e.here("out")
	e.emit(asm.Mov.Imm(asm.R0, verdictNext), asm.Return())
	return e.ins
}
