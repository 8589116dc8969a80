package engine

import (
	"errors"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
)

// connectionLost reports whether err leaves the connection of no use.
func connectionLost(err error) bool {
	var e *drivers.Error
	if !errors.As(err, &e) {
		return true // unknown: a new connection is the safe choice
	}
	switch e.Kind {
	case transport.Unreachable, transport.Timeout, transport.Canceled, transport.Auth, transport.Protocol:
		return true
	}
	return false
}

// ErrMoved means that a device is no longer as it was when the plan was made.
var ErrMoved = errors.New("the device has moved since the plan was made")
