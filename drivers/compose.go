package drivers

import (
	"context"
	"errors"
	"fmt"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Compose makes a Driver of a dialect and a connection; every remote driver is
// made this way. Close closes the connection.
func Compose(dev models.DeviceID, d Dialect, c transport.Conn) Driver {
	return &composed{dev: dev, dialect: d, conn: c}
}

type composed struct {
	dev     models.DeviceID
	dialect Dialect
	conn    transport.Conn
}

var _ Driver = (*composed)(nil)

func (c *composed) Capabilities() models.Capabilities { return c.dialect.Capabilities() }

func (c *composed) Observe(ctx context.Context) (models.DeviceState, error) {
	replies, err := c.conn.Read(ctx, c.dialect.Reads())
	if err != nil {
		return models.DeviceState{}, WrapError(c.dev, PhaseObserve, err)
	}
	st, err := c.dialect.Parse(c.dev, replies)
	if err != nil {
		return models.DeviceState{}, WrapError(c.dev, PhaseObserve, err)
	}
	return st, nil
}

func (c *composed) Render(cs models.ChangeSet, o RenderOptions) (transport.Script, error) {
	s, err := c.dialect.Render(cs, o)
	return s, WrapError(c.dev, PhaseRender, err)
}

func (c *composed) Apply(ctx context.Context, cp Checkpoint) error {
	return WrapError(c.dev, PhaseApply, c.conn.Send(ctx, cp.Script.Steps))
}

func (c *composed) Confirm(ctx context.Context, cp Checkpoint) error {
	if len(cp.Script.Confirm) == 0 {
		return nil
	}
	return WrapError(c.dev, PhaseConfirm, c.conn.Send(ctx, cp.Script.Confirm))
}

func (c *composed) Revert(ctx context.Context, cp Checkpoint) error {
	// The device's own way back first. A refusal means that it is closed: the
	// script never got that far, was confirmed, or the time is up. What the device
	// holds then decides.
	for _, steps := range [][]transport.Step{cp.Script.Cancel, cp.Script.Discard} {
		if len(steps) == 0 {
			continue
		}
		var te *transport.Error
		if err := c.conn.Send(ctx, steps); err != nil && (!errors.As(err, &te) || te.Kind != transport.Rejected) {
			return WrapError(c.dev, PhaseRevert, err)
		}
	}
	err := c.back(ctx, cp)
	if len(cp.Script.Restore) > 0 && hopeless(err) {
		c.restore(ctx, cp)
		if again := c.back(ctx, cp); again == nil || !hopeless(again) {
			err = again
		}
	}
	if err == nil && len(cp.Script.Forget) > 0 {
		var te *transport.Error
		if err := c.conn.Send(ctx, cp.Script.Forget); err != nil && (!errors.As(err, &te) || te.Kind != transport.Rejected) {
			return WrapError(c.dev, PhaseRevert, err)
		}
	}
	return err
}

// hopeless reports whether trying again to bring the sessions back would end alike.
func hopeless(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Kind == transport.Rejected || e.Kind == Mismatch || e.Kind == Unsupported)
}

// restore takes the whole configuration back. Whether it did shows in what is seen
// after it.
func (c *composed) restore(ctx context.Context, cp Checkpoint) {
	_ = c.conn.Send(ctx, cp.Script.Restore)
}

// back brings the sessions of cp back to what they were, from whatever they are.
func (c *composed) back(ctx context.Context, cp Checkpoint) error {
	st, err := c.Observe(ctx)
	if err != nil {
		return inPhase(err, PhaseRevert)
	}
	back := plan.Back(cp.Changes, st)
	if back.Empty() {
		return nil
	}
	s, err := c.dialect.Render(back, RenderOptions{Tag: revertTag(cp), Facts: st.Facts})
	if err != nil {
		return WrapError(c.dev, PhaseRevert, err)
	}
	if err := c.conn.Send(ctx, s.Steps); err != nil {
		return WrapError(c.dev, PhaseRevert, err)
	}
	if st, err = c.Observe(ctx); err != nil {
		return inPhase(err, PhaseRevert)
	}
	if left := plan.Back(cp.Changes, st); !left.Empty() {
		return &Error{Device: c.dev, Phase: PhaseRevert, Kind: Mismatch, Session: left.Changes[0].Session().Name,
			Err:  fmt.Errorf("the device accepted the way back, but %d of its sessions are not as before", len(left.Changes)),
			Hint: "look at the device and run spanctl recover"}
	}
	return nil
}

func (c *composed) Close() error { return c.conn.Close() }

// revertTag names the edit that goes back, so that it cannot meet the edit it
// undoes under the same name.
func revertTag(cp Checkpoint) string {
	for _, s := range cp.Script.Steps {
		if s.Phase == transport.Enter {
			return "back-" + shortHash(s.Text)
		}
	}
	return "back"
}

func inPhase(err error, p Phase) error {
	var e *Error
	if errors.As(err, &e) {
		e.Phase = p
	}
	return err
}
