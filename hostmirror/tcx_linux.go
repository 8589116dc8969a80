package hostmirror

import (
	"context"

	"github.com/cilium/ebpf"
	bpf "github.com/cilium/ebpf/link"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// tcxTypes are the attachment points of tcx, whose programs run before all filters of
// the same hook.
var tcxTypes = map[tcnl.Hook]ebpf.AttachType{
	tcnl.Ingress: ebpf.AttachTCXIngress,
	tcnl.Egress:  ebpf.AttachTCXEgress,
}

// readTCX counts the tcx programs on hooks that have filters of ours. What it cannot
// find out, on a kernel before 6.6 or without the rights to ask, counts as none.
func (n *netlinkAccess) readTCX(ctx context.Context, s *snapshot) {
	var hooks []point
	for _, f := range s.filters {
		if mk, ok := markOf(f); ok && mk.hook == f.Hook {
			hooks = append(hooks, point{f.Ifindex, f.Hook})
		}
	}
	if len(hooks) == 0 || ctx.Err() != nil {
		return
	}
	s.tcx = make(map[point]int)
	_ = n.conn.Do(func() error {
		for _, at := range hooks {
			if _, done := s.tcx[at]; done {
				continue
			}
			found, err := bpf.QueryPrograms(bpf.QueryOptions{Target: at.index, Attach: tcxTypes[at.hook]})
			if err != nil {
				return err
			}
			s.tcx[at] = len(found.Programs)
		}
		return nil
	})
}
