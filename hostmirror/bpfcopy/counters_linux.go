package bpfcopy

import (
	"fmt"

	"github.com/cilium/ebpf"
)

func readCounter(m *ebpf.Map, slot uint32) (Counter, error) {
	var each [][cSize / 8]uint64
	if err := m.Lookup(slot, &each); err != nil {
		return Counter{}, err
	}
	var c Counter
	for _, n := range each {
		c.Matched += n[cMatched/8]
		c.Copied += n[cCopied/8]
		c.Failed += n[cFailed/8]
	}
	return c, nil
}

func zeroCounter(m *ebpf.Map, slot uint32) error {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	if err := m.Update(slot, make([][cSize / 8]uint64, n), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	return nil
}
