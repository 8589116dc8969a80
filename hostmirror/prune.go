package hostmirror

import (
	"context"

	"github.com/spanctl/spanctl/drivers"
)

// pruner is an access whose copies go to an interface by its index alone, which the
// kernel may give to another one.
type pruner interface {
	prune(ctx context.Context) ([]string, error)
}

// Prune takes away copies by programs whose source or destination is gone or another
// interface by now, also one with another name: a program knows interfaces by index,
// and the kernel gives an index anew. It says what it did. Filters need none of this:
// they let go of a destination that goes. Who calls it holds the device's lock.
func (m *Mirror) Prune(ctx context.Context) ([]string, error) {
	p, ok := m.access.(pruner)
	if !ok {
		return nil, nil
	}
	m.snap, m.ahead = nil, nil
	done, err := p.prune(ctx)
	if err != nil {
		return done, m.failed(drivers.PhaseApply, err)
	}
	return done, nil
}

// Prune is that of all namespaces in which sessions are known.
func (h *Host) Prune(ctx context.Context) ([]string, error) {
	if err := h.look(ctx, h.places()); err != nil {
		return nil, h.failed(drivers.PhaseApply, err)
	}
	var out []string
	for _, sp := range h.spaces() {
		done, err := sp.m.Prune(ctx)
		out = append(out, done...)
		if err != nil {
			return out, h.inPlace(sp, err)
		}
	}
	return out, nil
}
