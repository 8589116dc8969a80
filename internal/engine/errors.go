package engine

import (
	"errors"
	"strings"

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

// joinErrors gives one error of many, in one line, or nil.
func joinErrors(errs []error) error {
	var out joined
	for _, err := range errs {
		if err != nil {
			out = append(out, err)
		}
	}
	switch len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	}
	return out
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }
