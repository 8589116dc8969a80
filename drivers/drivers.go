// Package drivers makes devices look alike: a Driver observes and changes the
// mirror sessions of one device. A remote driver is composed of a Dialect, which
// knows one network OS and does no I/O, and a transport.Conn.
package drivers

import (
	"context"
	"errors"
	"time"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// ErrUnsupported means that a driver cannot do what was asked on this device or
// on this system. Nothing was sent.
var ErrUnsupported = errors.New("not supported")

// RenderOptions are what a script depends on beside the changes.
type RenderOptions struct {
	// Tag names the edit on the device, where it has names for edits (an EOS
	// configuration session, a NETCONF persist id). Letters, digits and hyphens,
	// at most 24 bytes. The same tag gives the same bytes.
	Tag string
	// Within asks for an automatic way back: the device undoes the script unless
	// Confirm comes in time. 0 asks for none. Ignored where the platform has none;
	// Script.Within tells.
	Within time.Duration
	// Save asks for Script.Save, where the platform has a configuration that it boots
	// with beside the one that runs (models.Capabilities.Saves).
	Save bool
	// Facts are what the device said of itself (DeviceState.Facts), where it was
	// asked: they choose among the forms that releases and models take, and tell
	// whether the device has a way back of its own. The zero value gives the most
	// common form, without such a way back.
	Facts models.Facts
}

// Planner is what planning needs of a platform, with no device in reach: no I/O,
// no clock, no randomness; the same input gives the same output.
type Planner interface {
	plan.Platform
	// Render gives the script for cs. Sessions in cs are normalized.
	Render(cs models.ChangeSet, o RenderOptions) (transport.Script, error)
}

// Dialect is the pure half of a driver of a device that is reached over a
// transport.Conn.
type Dialect interface {
	Planner
	// Reads gives what to ask in order to see all sessions and ports.
	Reads() []transport.Request
	// Parse reads the replies to Reads. Text that it does not know inside a mirror
	// section is an error; no state is returned with an error.
	Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error)
}

// Checkpoint is what is needed to confirm, revert or look into an applied script,
// also from another process. It is made, and stored, before the script is sent.
type Checkpoint struct {
	Device  models.DeviceID  `json:"device"`
	Changes models.ChangeSet `json:"changes"`
	Script  transport.Script `json:"script"`

	// Prior are the records of the sessions before the change, Next those that hold
	// once it is confirmed. They make a checkpoint enough to recover and to roll
	// back, ownership included.
	Prior []models.Record `json:"prior,omitempty"`
	Next  []models.Record `json:"next,omitempty"`

	// HeldUntil is set when a person, not the run, is to confirm: the moment at which
	// the change goes back unless they have.
	HeldUntil time.Time `json:"heldUntil,omitzero"`
}

// Adviser is a Driver that knows more of changes than that they can be made.
type Adviser interface {
	// Advise gives what a person should know before cs is made on the device as it was
	// observed last, such as copies that will be lost or doubled. All findings are
	// warnings: what must not be made, Render refuses.
	Advise(cs models.ChangeSet) models.Findings
}

// Expecter is a Driver that does not look everywhere by itself: a Linux host has network
// namespaces without number.
type Expecter interface {
	// Expect tells of sessions that are wanted on the device, so that Observe looks at
	// all that they name. What cannot be found is for Render to refuse.
	Expect(sessions []models.Session)
}

// Save writes the device's running configuration to the one that it boots with, by
// the steps of the checkpoint's script. It does nothing where there are none.
func Save(ctx context.Context, d Driver, cp Checkpoint) error {
	if len(cp.Script.Save) == 0 {
		return nil
	}
	err := d.Apply(ctx, Checkpoint{Device: cp.Device, Script: transport.Script{Encoding: cp.Script.Encoding, Steps: cp.Script.Save}})
	return inPhase(WrapError(cp.Device, PhaseSave, err), PhaseSave)
}

// Driver is what the engine sees: one device, connected. It is used by one
// goroutine at a time. Errors are *Error.
type Driver interface {
	Capabilities() models.Capabilities
	// Observe gives all sessions, ours or not, and the ports.
	Observe(ctx context.Context) (models.DeviceState, error)
	Render(cs models.ChangeSet, o RenderOptions) (transport.Script, error)
	// Apply sends the checkpoint's script, byte for byte. When it returns an error
	// the device may hold part of the change only where the platform has no
	// transactions; Revert takes that back.
	Apply(ctx context.Context, cp Checkpoint) error
	// Confirm stops the device's timer. It does nothing where there is none.
	Confirm(ctx context.Context, cp Checkpoint) error
	// Revert brings the sessions of the checkpoint back to what they were before,
	// whether the script was applied, partly applied or not: by the device's own
	// way back where it is still open, else by looking and planning back.
	Revert(ctx context.Context, cp Checkpoint) error
	Close() error
}
