package iosxe

import (
	"slices"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fault"
)

// What goes wrong with a simulated device, and what its time is, is the same for all
// vendors, so that labs describe it in one way. ActionIgnoreTimer stands for a revert
// timer that never lapses.
type (
	Clock       = eos.Clock
	Timer       = eos.Timer
	ManualClock = eos.ManualClock
	Fault       = eos.Fault
	FaultSpec   = eos.FaultSpec
	WireLine    = eos.WireLine
)

// NewManualClock returns a clock that stands at now until Advance moves it.
func NewManualClock(now time.Time) *ManualClock { return eos.NewManualClock(now) }

type systemClock struct{}

func (systemClock) Now() time.Time                            { return time.Now() }
func (systemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// newFaults is a healthy device of this vendor.
func newFaults() fault.Set {
	return fault.Set{RefuseText: "% Error", LogText: "%SYS-5-CONFIG_I: Configured from console by console"}
}

// SetFaults replaces all faults. With an error nothing has changed. The zero
// FaultSpec heals the device; lines that hang already stay so.
func (d *Device) SetFaults(s FaultSpec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Replace(s)
}

// maxWire bounds the kept lines; the older half is dropped when it is reached.
const maxWire = 1 << 16

func (d *Device) log(x *cli, line string) {
	if len(d.wire) >= maxWire {
		d.wire = slices.Delete(d.wire, 0, maxWire/2)
	}
	d.wire = append(d.wire, WireLine{Conn: x.id, User: x.user, Prompt: x.prompt(), Line: line})
}

// Wire returns every line received, in the order of receipt over all connections.
// Passwords and answers to questions are no lines.
func (d *Device) Wire() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]string, len(d.wire))
	for i, l := range d.wire {
		out[i] = l.Line
	}
	return out
}

// WireLines is Wire with what belongs to the lines.
func (d *Device) WireLines() []WireLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wire)
}

// ResetWire forgets the lines received so far.
func (d *Device) ResetWire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wire = nil
}
