//go:build !linux

package hostmirror

import (
	"context"
	"fmt"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Mirror is the driver of a Linux host. On other systems Open makes none.
type Mirror struct{}

var _ drivers.Driver = (*Mirror)(nil)

func unsupported() error {
	return fmt.Errorf("mirroring on this host needs Linux: %w", drivers.ErrUnsupported)
}

// Open gives an error that wraps drivers.ErrUnsupported.
func Open(context.Context, Options) (*Mirror, error) { return nil, unsupported() }

// Capabilities are those of a Linux host.
func (*Mirror) Capabilities() models.Capabilities { return capabilities() }

// Check gives what is refused of a session on any Linux host.
func (*Mirror) Check(s models.Session) []string { return check(s) }

// PortKind says that every interface is a port.
func (*Mirror) PortKind(string) models.SourceKind { return models.SourcePort }

// Observe gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Observe(context.Context) (models.DeviceState, error) {
	return models.DeviceState{}, unsupported()
}

// Counters gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Counters(context.Context) ([]Counter, error) { return nil, unsupported() }

// Render gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Render(models.ChangeSet, drivers.RenderOptions) (transport.Script, error) {
	return transport.Script{}, unsupported()
}

// Apply gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Apply(context.Context, drivers.Checkpoint) error { return unsupported() }

// Confirm gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Confirm(context.Context, drivers.Checkpoint) error { return unsupported() }

// Revert gives an error that wraps drivers.ErrUnsupported.
func (*Mirror) Revert(context.Context, drivers.Checkpoint) error { return unsupported() }

// Close does nothing.
func (*Mirror) Close() error { return nil }
