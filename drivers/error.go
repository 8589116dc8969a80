package drivers

import (
	"context"
	"errors"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Phase is what a driver or the engine was doing when something failed.
type Phase string

// Phases.
const (
	PhaseConnect Phase = "connect"
	PhaseObserve Phase = "observe"
	PhaseRender  Phase = "render"
	PhaseApply   Phase = "apply"
	PhaseVerify  Phase = "verify"
	PhaseConfirm Phase = "confirm"
	PhaseRevert  Phase = "revert"
	PhaseSave    Phase = "save" // to the configuration that the device boots with
)

// Mismatch is the kind of a device that said yes and did something else.
const Mismatch transport.Kind = "mismatch"

// Unsupported is the kind of something that cannot be done on the device; nothing
// was sent.
const Unsupported transport.Kind = "unsupported"

// Error is a failure of doing, as a user sees it.
type Error struct {
	Device  models.DeviceID
	Phase   Phase
	Kind    transport.Kind
	Session string // "" where the failure is not about one session
	Command string // what was said, secrets removed
	Reply   string // first line of what the device answered
	Hint    string // what to do
	InDoubt bool   // the device may or may not have taken the step
	Err     error
}

// Error gives DEVICE: PHASE: KIND: session "S": "COMMAND": REPLY: CAUSE (HINT).
func (e *Error) Error() string {
	var parts []string
	if e.Device != "" {
		parts = append(parts, string(e.Device))
	}
	parts = append(parts, string(e.Phase), string(e.Kind))
	if e.Session != "" {
		parts = append(parts, `session "`+e.Session+`"`)
	}
	if e.Command != "" {
		parts = append(parts, `"`+e.Command+`"`)
	}
	if e.Reply != "" {
		parts = append(parts, e.Reply)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	s := strings.Join(parts, ": ")
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether trying again, after observing, can help.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case transport.Unreachable, transport.Timeout, transport.Busy:
		return true
	}
	return false
}

// WrapError makes err an *Error of dev and phase. What a transport.Error knows is
// kept. nil stays nil, and an *Error stays as it is but for an empty device.
func WrapError(dev models.DeviceID, phase Phase, err error) error {
	if err == nil {
		return nil
	}
	var have *Error
	if errors.As(err, &have) {
		if have.Device == "" {
			have.Device = dev
		}
		return err
	}
	e := &Error{Device: dev, Phase: phase, Kind: transport.Protocol, Err: err}
	var te *transport.Error
	switch {
	case errors.As(err, &te):
		e.Kind, e.Hint, e.InDoubt, e.Err = te.Kind, te.Hint, te.InDoubt, te.Err
		e.Reply = firstLine(te.Reply)
		if te.Step != nil {
			e.Session, e.Command = te.Step.Session, te.Step.Redacted()
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = transport.Canceled
	case errors.Is(err, ErrUnsupported):
		e.Kind = Unsupported
	}
	return e
}

func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return strings.TrimSpace(s[:i])
	}
	return s
}
