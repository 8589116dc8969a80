package bpfcopy

import "github.com/cilium/ebpf"

// Counter is what became of the frames of one session of a port and direction.
type Counter struct {
	Session string `json:"session"`
	Matched uint64 `json:"matched"` // frames that the session's filter wants, before sampling
	Copied  uint64 `json:"copied"`  // copies that a destination took; each destination counts
	Failed  uint64 `json:"failed"`  // copies that a destination did not take: down, gone, queue full, MTU
}

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
