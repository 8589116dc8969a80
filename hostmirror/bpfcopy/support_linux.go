package bpfcopy

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/models"
)

// Missing gives the capabilities for programs that the calling thread lacks. It asks
// the kernel for nothing else.
func Missing() ([]string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	has := func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	var out []string
	for _, c := range []struct {
		name string
		is   bool
	}{
		// CAP_SYS_ADMIN holds what CAP_BPF and CAP_PERFMON were split from in Linux 5.8.
		{"CAP_BPF", has(unix.CAP_BPF) || has(unix.CAP_SYS_ADMIN)},
		{"CAP_PERFMON", has(unix.CAP_PERFMON) || has(unix.CAP_SYS_ADMIN)},
		{"CAP_NET_ADMIN", has(unix.CAP_NET_ADMIN)},
	} {
		if !c.is {
			out = append(out, c.name)
		}
	}
	return out, nil
}

// Probe finds out whether programs can be made, by loading one as sessions come to. It
// leaves nothing behind, and attaches nothing.
func (h *Host) Probe() Support {
	var s Support
	if s.Missing, s.Err = Missing(); s.Err != nil {
		return s
	}
	if s.Err = loadSample(); s.Err != nil {
		return s
	}
	_, err := h.query(loopback, ebpf.AttachTCXIngress)
	s.TCX = err == nil
	if err != nil && !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, unix.EINVAL) {
		s.Err = fmt.Errorf("tcx: %w", err)
	}
	return s
}

// loopback is the index that the kernel gives to lo of every network namespace.
const loopback = 1

// loadSample loads a program with all that sessions can ask for, and the one that cuts.
func loadSample() error {
	counters, err := newCounters()
	if err != nil {
		return err
	}
	defer counters.Close()
	truncation, err := newTruncation()
	if err != nil {
		return err
	}
	defer truncation.Close()
	set := Set{Sessions: []Session{{
		Name: "probe", Destinations: []Device{{"none", 1 << 30}}, SampleOneIn: 2, TruncateTo: MinTruncate,
		Filter: []models.Rule{{Action: models.Include, Match: models.Match{Proto: "tcp", Dport: []models.Range{models.One(443)}}}},
	}}}
	tables, err := Compile(set, func(string) uint32 { return 0 })
	if err != nil {
		return err
	}
	l, err := load(tables, config{Direction: "rx"}, counters, truncation)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	cut, err := newProgram("spanctl_cut", cutter(truncation))
	if err != nil {
		return err
	}
	return cut.Close()
}
