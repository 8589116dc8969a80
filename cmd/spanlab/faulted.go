package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/spanctl/spanctl/drivers/peers/fault"
)

// device is a simulated switch of any vendor.
type device interface {
	Serve(ctx context.Context, l net.Listener) error
	Close()
	RunningConfig() string
	Wire() []string
	ResetWire()
	SetFaults(s fault.Spec) error
}

// faulted lets the lab pass faults to a device.
type faulted struct{ device }

// SetFaults takes a fault.Spec.
func (f faulted) SetFaults(spec json.RawMessage) error {
	var s fault.Spec
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	return f.device.SetFaults(s)
}
