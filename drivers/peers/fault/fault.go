// Package fault is what can go wrong with a simulated device, the same for all
// vendors, so that labs describe it in one way: lines that are refused, never answered,
// or answered with nothing done, and connections that break.
package fault

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// Action is what a fault does to a line.
type Action string

// Actions of faults.
const (
	Refuse      Action = "refuse"       // the line does nothing, Text is the answer
	Hang        Action = "hang"         // the line does nothing and is never answered
	HangAfter   Action = "hang-after"   // the line takes effect and is never answered
	CutBefore   Action = "cut-before"   // the connection breaks, the line does nothing
	CutAfter    Action = "cut-after"    // the line takes effect, the connection breaks instead of the answer
	Delay       Action = "delay"        // the answer comes Delay later
	Forget      Action = "forget"       // the answer is as ever, but configurations stay as they were
	IgnoreTimer Action = "ignore-timer" // a timed change is never taken back
	Log         Action = "log"          // Text comes in the middle of the answer, as a log message does
)

// Actions lists all actions.
func Actions() []Action {
	return []Action{Refuse, Hang, HangAfter, CutBefore, CutAfter, Delay, Forget, IgnoreTimer, Log}
}

// Fault is something that goes wrong when a line is received.
type Fault struct {
	// Line is a regular expression that must match somewhere in the line as received;
	// empty matches every line.
	Line   string `json:"line,omitempty"`
	Action Action `json:"action"`
	// Text of Refuse and Log; empty is the device's usual one. A final newline is added.
	Text string `json:"text,omitempty"`
	// Delay of Delay, in JSON as "50ms".
	Delay Duration `json:"delay,omitempty"`
	// Times the fault happens; 0 = always.
	Times int `json:"times,omitempty"`
}

// Spec is all that can go wrong with a device, as a control interface may pass it on.
type Spec struct {
	Lines []Fault `json:"lines,omitempty"`
	// Delay of every answer, besides the round-trip time of the device.
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
		err = fmt.Errorf("fault: duration %s is negative", b)
	}
	*d = Duration(v)
	return err
}

// Set is the faults of one device. Whoever owns it holds a lock around every call. The
// zero value is a healthy device.
type Set struct {
	// RefuseText and LogText are what the vendor's devices say when a fault has no text.
	RefuseText, LogText string

	delay     time.Duration
	maxLogins int
	armed     []*armed
}

type armed struct {
	Fault
	re   *regexp.Regexp
	done int // times it happened
}

// Replace replaces all faults. With an error nothing has changed. The zero Spec heals
// the device; lines that hang already stay so.
func (s *Set) Replace(spec Spec) error {
	next := Set{RefuseText: s.RefuseText, LogText: s.LogText, delay: time.Duration(spec.Delay), maxLogins: spec.MaxLogins}
	for _, f := range spec.Lines {
		if err := next.Add(f); err != nil {
			return err
		}
	}
	*s = next
	return nil
}

// Add adds one fault to those that are set.
func (s *Set) Add(f Fault) error {
	if !slices.Contains(Actions(), f.Action) {
		return fmt.Errorf("fault: no action %q", f.Action)
	}
	re, err := regexp.Compile(f.Line)
	if err != nil {
		return fmt.Errorf("fault: line: %w", err)
	}
	if f.Times < 0 {
		return fmt.Errorf("fault: %d times", f.Times)
	}
	s.armed = append(s.armed, &armed{Fault: f, re: re})
	return nil
}

// Admit reports whether one more connection is taken beside the open ones.
func (s *Set) Admit(open int) bool { return s.maxLogins == 0 || open < s.maxLogins }

// Outcome is what the faults make of one line.
type Outcome struct {
	Refuse, Log                                              string // "" = they do not happen
	Hang, HangAfter, CutBefore, CutAfter, Forget, TimerStuck bool
	Delay                                                    time.Duration
}

func (o Outcome) slow() bool {
	return o.Hang || o.HangAfter || o.CutBefore || o.CutAfter || o.Delay > 0
}

// Take gives what happens to a line, and counts it.
func (s *Set) Take(line string) Outcome {
	o := Outcome{Delay: s.delay}
	for _, a := range s.armed {
		if !a.re.MatchString(line) || a.Times > 0 && a.done == a.Times {
			continue
		}
		a.done++
		switch a.Action {
		case Refuse:
			o.Refuse = lineOr(a.Text, s.RefuseText)
		case Hang:
			o.Hang = true
		case HangAfter:
			o.HangAfter = true
		case CutBefore:
			o.CutBefore = true
		case CutAfter:
			o.CutAfter = true
		case Delay:
			o.Delay += time.Duration(a.Delay)
		case Forget:
			o.Forget = true
		case IgnoreTimer:
			o.TimerStuck = true
		case Log:
			o.Log += lineOr(a.Text, s.LogText)
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

// Answer runs a line under what happens to it, and gives the answer; ok false: the
// connection is gone. The device's lock mu is held at the call and while run works, and
// is free at the end. flush, which may be nil, sends what was answered to earlier lines:
// it is not held back by what happens to this one.
func Answer(s *sshd.Session, mu sync.Locker, o Outcome, flush func(), run func() string) (out string, ok bool) {
	if o.slow() && flush != nil {
		mu.Unlock()
		flush()
		mu.Lock()
	}
	switch {
	case o.CutBefore:
		mu.Unlock()
		s.Cut()
		return "", false
	case o.Hang:
		mu.Unlock()
		<-s.Context().Done()
		return "", false
	case o.Refuse != "":
		out = o.Refuse
	default:
		out = run()
	}
	mu.Unlock()
	if o.CutAfter {
		s.Cut()
		return "", false
	}
	if o.HangAfter {
		<-s.Context().Done()
		return "", false
	}
	if o.Log != "" {
		out = interrupt(out, o.Log)
	}
	return out, pause(s.Context(), o.Delay)
}

// interrupt puts a log message behind the first half of an answer's lines.
func interrupt(out, log string) string {
	lines := strings.SplitAfter(out, "\n")
	half := len(lines) / 2
	return strings.Join(lines[:half], "") + log + strings.Join(lines[half:], "")
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
