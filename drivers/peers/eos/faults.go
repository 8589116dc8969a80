package eos

import "github.com/spanctl/spanctl/drivers/peers/fault"

// What can go wrong with a device; see package fault. ActionIgnoreTimer stands for a
// timed commit that never lapses.
type (
	Action    = fault.Action
	Fault     = fault.Fault
	FaultSpec = fault.Spec
	Duration  = fault.Duration
)

// Actions of faults.
const (
	ActionRefuse      = fault.Refuse
	ActionHang        = fault.Hang
	ActionHangAfter   = fault.HangAfter
	ActionCutBefore   = fault.CutBefore
	ActionCutAfter    = fault.CutAfter
	ActionDelay       = fault.Delay
	ActionForget      = fault.Forget
	ActionIgnoreTimer = fault.IgnoreTimer
	ActionLog         = fault.Log
)

// newFaults is a healthy device of this vendor.
func newFaults() fault.Set {
	return fault.Set{RefuseText: "% Error", LogText: "%SYS-5-CONFIG_I: Configured from console"}
}

// SetFaults replaces all faults. With an error nothing has changed. The zero
// FaultSpec heals the device; lines that hang already stay so.
func (d *Device) SetFaults(s FaultSpec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Replace(s)
}

// AddFault adds one fault to those that are set.
func (d *Device) AddFault(f Fault) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Add(f)
}
