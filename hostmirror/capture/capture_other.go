//go:build !linux

package capture

import (
	"context"
	"errors"
	"io"
)

// Capture listens to an interface. On other systems than Linux Open makes none.
type Capture struct{}

var errLinux = errors.New("capturing copies needs Linux")

// Open gives an error.
func Open(Options) (*Capture, error) { return nil, errLinux }

// Run gives an error.
func (*Capture) Run(context.Context, io.Writer) (Result, error) { return Result{}, errLinux }

// Close does nothing.
func (*Capture) Close() error { return nil }
