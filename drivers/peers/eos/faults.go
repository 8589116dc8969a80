package eos

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Action is what a fault does to a line.
type Action string

// Actions of faults.
const (
	ActionRefuse      Action = "refuse"       // the line does nothing, Text is the answer
	ActionHang        Action = "hang"         // the line does nothing and is never answered
	ActionHangAfter   Action = "hang-after"   // the line takes effect and is never answered
	ActionCutBefore   Action = "cut-before"   // the connection breaks, the line does nothing
	ActionCutAfter    Action = "cut-after"    // the line takes effect, the connection breaks instead of the answer
	ActionDelay       Action = "delay"        // the answer comes Delay later
	ActionForget      Action = "forget"       // the answer is as ever, but configurations stay as they were
	ActionIgnoreTimer Action = "ignore-timer" // a timed commit never lapses
	ActionLog         Action = "log"          // Text comes in the middle of the answer, as a log message does
)

var actions = []Action{ActionRefuse, ActionHang, ActionHangAfter, ActionCutBefore, ActionCutAfter, ActionDelay, ActionForget, ActionIgnoreTimer, ActionLog}

// Fault is something that goes wrong when a line is received.
type Fault struct {
	// Line is a regular expression that must match somewhere in the line as received;
	// empty matches every line.
	Line   string `json:"line,omitempty"`
	Action Action `json:"action"`
	// Text of refuse ("% Error" if empty) and log; a final newline is added.
	Text string `json:"text,omitempty"`
	// Delay of delay, in JSON as "50ms".
	Delay Duration `json:"delay,omitempty"`
	// Times the fault happens; 0 = always.
	Times int `json:"times,omitempty"`
}

// FaultSpec is all that can go wrong with a device, as a control interface may
// pass it on.
type FaultSpec struct {
	Lines []Fault `json:"lines,omitempty"`
	// Delay of every answer, besides the round-trip time of the Options.
	Delay Duration `json:"delay,omitempty"`
	// MaxLogins bounds the open connections; one too many is closed before the SSH
	// handshake. 0 = no bound.
	MaxLogins int `json:"maxLogins,omitempty"`
}

// Duration is a time.Duration that JSON writes as "1m30s".
type Duration time.Duration

// MarshalText writes it as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads; negative ones are refused.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = fmt.Errorf("eos: duration %s is negative", b)
	}
	*d = Duration(v)
	return err
}

type faults struct {
	delay     time.Duration
	maxLogins int
	armed     []*armedFault
}

type armedFault struct {
	Fault
	re   *regexp.Regexp
	left int // times; only if Times > 0
}

// SetFaults replaces all faults. With an error nothing has changed. The zero
// FaultSpec heals the device; lines that hang already stay so.
func (d *Device) SetFaults(s FaultSpec) error {
	f := faults{delay: time.Duration(s.Delay), maxLogins: s.MaxLogins}
	for _, l := range s.Lines {
		a, err := l.arm()
		if err != nil {
			return err
		}
		f.armed = append(f.armed, a)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
	return nil
}

// AddFault adds one fault to those that are set.
func (d *Device) AddFault(f Fault) error {
	a, err := f.arm()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.armed = append(d.faults.armed, a)
	return nil
}

func (f Fault) arm() (*armedFault, error) {
	if !slices.Contains(actions, f.Action) {
		return nil, fmt.Errorf("eos: no fault action %q", f.Action)
	}
	re, err := regexp.Compile(f.Line)
	if err != nil {
		return nil, fmt.Errorf("eos: fault line: %w", err)
	}
	if f.Times < 0 {
		return nil, fmt.Errorf("eos: fault %d times", f.Times)
	}
	return &armedFault{Fault: f, re: re, left: f.Times}, nil
}

// outcome is what the faults make of one line.
type outcome struct {
	delay                        time.Duration
	hang, hangAfter, cut, cutOff bool
	refuse, log                  string
	forget, ignoreTimer          bool
}

// slow reports whether the line is not answered at once.
func (o outcome) slow() bool { return o.hang || o.hangAfter || o.cut || o.cutOff || o.delay > 0 }

// take consumes the faults of a line. d.mu is held.
func (f *faults) take(line string) outcome {
	o := outcome{delay: f.delay}
	for _, a := range f.armed {
		if !a.re.MatchString(line) || a.Times > 0 && a.left == 0 {
			continue
		}
		a.left--
		switch a.Action {
		case ActionRefuse:
			o.refuse = lineOr(a.Text, "% Error")
		case ActionHang:
			o.hang = true
		case ActionHangAfter:
			o.hangAfter = true
		case ActionCutBefore:
			o.cut = true
		case ActionCutAfter:
			o.cutOff = true
		case ActionDelay:
			o.delay += time.Duration(a.Delay)
		case ActionForget:
			o.forget = true
		case ActionIgnoreTimer:
			o.ignoreTimer = true
		case ActionLog:
			o.log += lineOr(a.Text, "%SYS-5-CONFIG_I: Configured from console")
		}
	}
	return o
}

func lineOr(text, otherwise string) string {
	if text == "" {
		text = otherwise
	}
	return strings.TrimRight(text, "\n") + "\n"
}

// interrupt puts a log message behind the first half of an answer's lines.
func interrupt(out, log string) string {
	lines := strings.SplitAfter(out, "\n")
	half := len(lines) / 2
	return strings.Join(lines[:half], "") + log + strings.Join(lines[half:], "")
}
