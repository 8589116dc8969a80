package iosxe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/eos"
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

// actions that a fault can have here.
var actions = []eos.Action{
	eos.ActionRefuse, eos.ActionHang, eos.ActionHangAfter, eos.ActionCutBefore, eos.ActionCutAfter, eos.ActionDelay,
	eos.ActionForget, eos.ActionIgnoreTimer, eos.ActionLog,
}

type faults struct {
	delay     time.Duration
	maxLogins int
	lines     []*lineFault
}

type lineFault struct {
	Fault
	re   *regexp.Regexp
	done int // times it happened
}

// SetFaults replaces all faults. With an error nothing has changed. The zero
// FaultSpec heals the device; lines that hang already stay so.
func (d *Device) SetFaults(s FaultSpec) error {
	f := faults{delay: time.Duration(s.Delay), maxLogins: s.MaxLogins}
	for _, l := range s.Lines {
		re, err := regexp.Compile(l.Line)
		switch {
		case err != nil:
			return fmt.Errorf("iosxe: fault line: %w", err)
		case !slices.Contains(actions, l.Action):
			return fmt.Errorf("iosxe: no fault action %q", l.Action)
		case l.Times < 0:
			return fmt.Errorf("iosxe: fault %d times", l.Times)
		}
		f.lines = append(f.lines, &lineFault{Fault: l, re: re})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
	return nil
}

// outcome is what the faults make of one line.
type outcome struct {
	does  map[eos.Action]bool
	text  map[eos.Action]string
	delay time.Duration
}

// slow reports whether the line is not answered at once.
func (o outcome) slow() bool {
	return o.delay > 0 || o.does[eos.ActionHang] || o.does[eos.ActionHangAfter] || o.does[eos.ActionCutBefore] || o.does[eos.ActionCutAfter]
}

// take consumes the faults of a line. d.mu is held.
func (f *faults) take(line string) outcome {
	o := outcome{delay: f.delay}
	for _, l := range f.lines {
		if !l.re.MatchString(line) || l.Times > 0 && l.done == l.Times {
			continue
		}
		l.done++
		if o.does == nil {
			o.does, o.text = map[eos.Action]bool{}, map[eos.Action]string{}
		}
		o.does[l.Action] = true
		if l.Action == eos.ActionDelay {
			o.delay += time.Duration(l.Delay)
		}
		text := l.Text
		if text == "" {
			text = map[eos.Action]string{eos.ActionRefuse: "% Error", eos.ActionLog: "%SYS-5-CONFIG_I: Configured from console by console"}[l.Action]
		}
		o.text[l.Action] += strings.TrimRight(text, "\n") + "\n"
	}
	return o
}

// interrupt puts a log message into the middle of an answer.
func interrupt(out, log string) string {
	lines := strings.SplitAfter(out, "\n")
	half := len(lines) / 2
	return strings.Join(lines[:half], "") + log + strings.Join(lines[half:], "")
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
