package store

import "fmt"

// Step is how far a device of a group has come. The zero value is invalid.
type Step uint8

// Steps. Sending, Confirming and Reverting are saved before the device is spoken
// to, the others after.
const (
	_          Step = iota
	Planned         // nothing was sent
	Sending         // the script is about to be sent
	Applied         // the device has accepted the script
	Verified        // the device has shown what was wanted
	Confirming      // the confirmation is about to be sent
	Confirmed       // done, and recorded
	Reverting       // the way back is about to be gone
	Reverted        // the device is as before
	Failed          // what the last step was about to do went wrong; Err tells
	InDoubt         // nobody knows; Err tells why
	Abandoned       // a person has said that spanctl shall not care any more
)

var stepWords = []string{"", "planned", "sending", "applied", "verified", "confirming", "confirmed",
	"reverting", "reverted", "failed", "in-doubt", "abandoned"}

// String gives the word of the step.
func (s Step) String() string {
	if !s.valid() {
		return fmt.Sprintf("step(%d)", uint8(s))
	}
	return stepWords[s]
}

// Touches reports whether the device is about to be spoken to.
func (s Step) Touches() bool { return s == Sending || s == Confirming || s == Reverting }

// MarshalText gives the word of String. An invalid step is an error.
func (s Step) MarshalText() ([]byte, error) {
	if !s.valid() {
		return nil, fmt.Errorf("%v is not a step", s)
	}
	return []byte(stepWords[s]), nil
}

// UnmarshalText reads the word of String.
func (s *Step) UnmarshalText(b []byte) error {
	for i, w := range stepWords {
		if i > 0 && w == string(b) {
			*s = Step(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a step", b)
}

func (s Step) valid() bool { return s > 0 && int(s) < len(stepWords) }
