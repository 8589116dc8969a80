package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Commands is a Conn of a host whose requests and steps are commands: each is run by
// itself, in order, and its exit status tells whether it was taken.
//
// A request is answered by what the command printed on its standard output; another
// status than 0 is a refusal. A step is accepted when its status is 0 and it printed
// nothing on its standard error, or nothing but what Step.Accept matches; what it
// printed on its standard output does not matter.
type Commands struct{ Runner Runner }

var _ Conn = Commands{}

// Close closes the Runner.
func (c Commands) Close() error { return c.Runner.Close() }

// Read runs the requests. The first one refused that is not Optional ends it.
func (c Commands) Read(ctx context.Context, reqs []Request) ([]Reply, error) {
	replies := make([]Reply, 0, len(reqs))
	for i := range reqs {
		step := &Step{Text: reqs[i].Text}
		res, err := c.Runner.Run(ctx, reqs[i].Text)
		if err != nil {
			e := atStep(err, step, i)
			e.InDoubt = false // it changes nothing
			return nil, e
		}
		r := Reply{Request: reqs[i], Text: res.Stdout}
		if res.Status != 0 {
			if !reqs[i].Optional {
				return nil, refused(step, i, res)
			}
			r.Text, r.Err = "", said(res)
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// Send runs the steps, and stops at the first that is not accepted.
func (c Commands) Send(ctx context.Context, steps []Step) error {
	for i := range steps {
		if _, err := steps[i].Accepts("x"); err != nil {
			return &Error{Kind: Protocol, Step: &steps[i], Err: err}
		}
	}
	for i := range steps {
		res, err := c.Runner.Run(ctx, steps[i].Text)
		if err != nil {
			return atStep(err, &steps[i], i)
		}
		ok, _ := steps[i].Accepts(strings.TrimSpace(res.Stderr))
		if res.Status != 0 || !ok {
			return refused(&steps[i], i, res)
		}
	}
	return nil
}

// atStep gives the failure of a Runner as one of the step.
func atStep(err error, step *Step, sent int) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Kind: Protocol, Step: step, Sent: sent, Err: err}
	}
	at := *e
	at.Step, at.Sent = step, sent
	if step.Secret && at.Reply != "" {
		at.Reply = withheld
	}
	return &at
}

// refused gives the error of a command that did not do what it should.
func refused(step *Step, sent int, res Result) *Error {
	e := &Error{Kind: Rejected, Step: step, Sent: sent, Reply: said(res)}
	if step.Secret {
		e.Reply = withheld
	}
	switch {
	case res.Status == 126 || res.Status == 127: // POSIX: cannot be run, not found
		e.Hint = "the program is not there for this login: look at what is installed and at the rights of the user"
	case res.Status > 128:
		e.Hint = "a signal ended it, such as that of its time limit"
	}
	return e
}

// withheld stands for what a host said to a step that must not be seen.
const withheld = "<withheld: the step is secret>"

// said gives what a command that failed said of it.
func said(res Result) string {
	if text := strings.TrimSpace(res.Stderr); text != "" {
		return text
	}
	if text := strings.TrimSpace(res.Stdout); text != "" && res.Status != 0 {
		return text
	}
	return fmt.Sprintf("exit status %d", res.Status)
}
