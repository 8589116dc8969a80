// Package transport is how things are said to a device: scripts of steps, and the
// connection that carries them. What is said belongs to a dialect.
package transport

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// Encoding is the language of a script's steps.
type Encoding string

// Encodings.
const (
	CLI     Encoding = "cli"     // lines for a shell
	XML     Encoding = "xml"     // NETCONF
	JSON    Encoding = "json"    // gNMI
	VarBind Encoding = "varbind" // SNMP
	TC      Encoding = "tc"      // Linux traffic control
)

// Phase is the part of a script that a step belongs to.
type Phase string

// Phases, in the order in which they are sent.
const (
	Enter  Phase = "enter"  // opens a place for the edit, changes nothing
	Edit   Phase = "edit"   // the change itself
	Commit Phase = "commit" // makes the edit live; absent where every line is live at once
	Leave  Phase = "leave"  // returns to the mode that the connection began in
)

// Step is one message to a device.
type Step struct {
	Phase   Phase  `json:"phase"`
	Text    string `json:"text"`              // a CLI line, an XML document, a JSON update, a tc operation
	Session string `json:"session,omitempty"` // the session that it serves, for messages
	Secret  bool   `json:"secret,omitempty"`  // never logged, never shown

	// Accept matches answers to this step that are harmless (regular expression of
	// package regexp, matched anywhere in the answer). An answer that is neither
	// empty nor accepted is an error.
	Accept string `json:"accept,omitempty"`
}

// Redacted gives the text for messages and logs.
func (s Step) Redacted() string {
	if s.Secret {
		return "<secret>"
	}
	return s.Text
}

// Accepts reports whether answer is harmless: empty, or matched by Accept.
func (s Step) Accepts(answer string) (bool, error) {
	if answer == "" {
		return true, nil
	}
	if s.Accept == "" {
		return false, nil
	}
	re, err := regexp.Compile(s.Accept)
	if err != nil {
		return false, fmt.Errorf("step %q: accept: %w", s.Redacted(), err)
	}
	return re.MatchString(answer), nil
}

// Script is all that is sent to one device for one change set, and what ends it.
// It is plain data: what a plan shows is what is sent.
type Script struct {
	Encoding Encoding `json:"encoding"`
	Steps    []Step   `json:"steps,omitempty"`

	// Within is how long the device waits for Confirm before it takes the steps
	// back by itself; 0 where it does not.
	Within time.Duration `json:"within,omitempty"`
	// Confirm makes the steps stay, or removes what was kept for Restore; Cancel takes
	// them back. Both work from another connection. Cancel is empty where Within is 0.
	Confirm []Step `json:"confirm,omitempty"`
	Cancel  []Step `json:"cancel,omitempty"`
	// Discard cleans up an edit that was entered and not committed, from another
	// connection, where the device keeps it (EOS configuration sessions). Errors of
	// its steps mean that there was nothing to clean up.
	Discard []Step `json:"discard,omitempty"`
	// Restore takes the whole configuration of the device back to what it was before
	// the steps, by a copy that they began with (an NX-OS checkpoint). What others
	// changed since is lost, so that it is the last resort: for where the sessions
	// cannot be brought back one by one. Forget removes the copy; errors of its steps
	// mean that there is none. Both work from another connection.
	Restore []Step `json:"restore,omitempty"`
	Forget  []Step `json:"forget,omitempty"`
	// Save writes the running configuration to the one that the device boots with: all
	// of it, with what others changed and did not save. It is sent when the change
	// stays, after Confirm.
	Save []Step `json:"save,omitempty"`
}

// Empty reports whether there is nothing to send.
func (s Script) Empty() bool { return len(s.Steps) == 0 }

// Request asks a device for something.
type Request struct {
	Text string `json:"text"` // a show command, a filter, a path, a subtree of OIDs
	// Optional is set where an error text from the device is an answer too (an old
	// release without the command); the reply then has Err set.
	Optional bool `json:"optional,omitempty"`
}

// Reply is the answer to a Request.
type Reply struct {
	Request Request `json:"request"`
	Text    string  `json:"text"`
	Err     string  `json:"err,omitempty"` // the device's refusal of an Optional request
}

// Conn is one authenticated connection to one device. It is used by one goroutine
// at a time. Every method returns soon after ctx ends; a connection whose ctx
// ended in the middle of a call is closed and of no more use.
//
// Errors are *Error where the device answered or the connection failed.
type Conn interface {
	// Read sends requests and gives the replies in the same order.
	Read(ctx context.Context, reqs []Request) ([]Reply, error)
	// Send sends steps, in order, and stops at the first that the device refuses.
	// Steps before a Commit may be sent together; a Commit step is sent only after
	// all steps before it were accepted.
	Send(ctx context.Context, steps []Step) error
	Close() error
}

// Kind sorts failures by what can be done about them.
type Kind string

// Kinds of failure.
const (
	Unreachable Kind = "unreachable" // no connection, or it broke
	Auth        Kind = "auth"        // the device does not know us, or we not the device
	Timeout     Kind = "timeout"     // no answer in time
	Busy        Kind = "busy"        // somebody else holds the device's configuration
	Rejected    Kind = "rejected"    // the device refused what was said
	Protocol    Kind = "protocol"    // the answer is not understood
	Canceled    Kind = "canceled"    // the caller's ctx ended
)

// Error is a failure of a connection.
type Error struct {
	Kind  Kind
	Step  *Step  // the step that failed, where there is one
	Reply string // what the device said, secrets removed
	// Sent tells how many steps the device had accepted before the failure.
	Sent int
	// InDoubt is set when the step may or may not have taken effect: the connection
	// broke or the time ran out after it was sent.
	InDoubt bool
	Hint    string // what the user can do
	Err     error
}

// Error gives kind, step, reply and cause in one line.
func (e *Error) Error() string {
	s := string(e.Kind)
	if e.Step != nil {
		s += fmt.Sprintf(": %q", e.Step.Redacted())
	}
	if e.Reply != "" {
		s += ": " + e.Reply
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	// Status is the exit status as a shell gives it: 0 to 255, of a command that a
	// signal ended 128 and more.
	Status int
}

// Runner runs commands on one host, each by itself and without a terminal. It is
// used by one goroutine at a time.
//
// Run gives a Result of every command that ended, whatever its status. An error is
// an *Error: there is no result, and InDoubt is set when the command may run or have
// run. A call returns soon after ctx ends. The command is then asked to end, and the
// Runner stays of use; after another error it is of no more use.
type Runner interface {
	Run(ctx context.Context, command string) (Result, error)
	Close() error
}
