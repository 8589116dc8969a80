package hostmirror

import (
	"context"
	"fmt"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// revert looks, plans back to what the sessions of cp were before it, and has d do
// that.
func revert(ctx context.Context, d drivers.Driver, dev models.DeviceID, cp drivers.Checkpoint) error {
	wayBack := func() (models.ChangeSet, error) {
		st, err := d.Observe(ctx)
		if err != nil {
			return models.ChangeSet{}, inPhase(err, drivers.PhaseRevert)
		}
		return plan.Back(cp.Changes, st), nil
	}
	back, err := wayBack()
	if err != nil || back.Empty() {
		return err
	}
	script, err := d.Render(back, drivers.RenderOptions{})
	if err != nil {
		return inPhase(err, drivers.PhaseRevert)
	}
	if err := d.Apply(ctx, drivers.Checkpoint{Device: dev, Changes: back, Script: script}); err != nil {
		return inPhase(err, drivers.PhaseRevert)
	}
	left, err := wayBack()
	if err != nil || left.Empty() {
		return err
	}
	return &drivers.Error{
		Device: dev, Phase: drivers.PhaseRevert, Kind: drivers.Mismatch, Session: left.Changes[0].Session().Name,
		Err: fmt.Errorf("the kernel took the way back, but %d sessions are not as before", len(left.Changes)),
	}
}
