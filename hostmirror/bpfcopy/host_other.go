//go:build !linux

package bpfcopy

import (
	"context"
	"fmt"

	"github.com/spanctl/spanctl/models"
)

// Host attaches programs to interfaces. On this system Open makes none.
type Host struct{}

func unsupported() error { return fmt.Errorf("mirroring by BPF needs Linux: %w", ErrUnsupported) }

// Open gives an error that wraps ErrUnsupported.
func Open(Options) (*Host, error) { return nil, unsupported() }

// Close does nothing.
func (*Host) Close() error { return nil }

// Apply gives an error that wraps ErrUnsupported.
func (*Host) Apply(context.Context, Device, models.Direction, Set) error { return unsupported() }

// Detach gives an error that wraps ErrUnsupported.
func (*Host) Detach(context.Context, int, models.Direction) error { return unsupported() }

// Observe gives an error that wraps ErrUnsupported.
func (*Host) Observe(context.Context) ([]Attached, error) { return nil, unsupported() }

// Prune gives an error that wraps ErrUnsupported.
func (*Host) Prune(context.Context) ([]string, error) { return nil, unsupported() }

// Programs gives an error that wraps ErrUnsupported.
func (*Host) Programs(context.Context, int, models.Direction) ([]Program, error) {
	return nil, unsupported()
}

// Change gives an error that wraps ErrUnsupported.
func (*Host) Change(context.Context, Device, models.Direction, func(Set) (Set, error)) error {
	return unsupported()
}

// Probe says that there are no programs here.
func (*Host) Probe() Support { return Support{Err: unsupported()} }

// Missing gives an error that wraps ErrUnsupported.
func Missing() ([]string, error) { return nil, unsupported() }

// Pinned gives an error that wraps ErrUnsupported.
func Pinned(Options) (bool, error) { return false, unsupported() }
