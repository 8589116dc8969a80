// Command spanctl manages mirror sessions (SPAN, RSPAN, ERSPAN) on switches of
// many vendors: what is copied, to where, and for how long.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as the README promises them.
const (
	exitOK      = 0 // done, or nothing to do
	exitError   = 1
	exitDiffers = 2 // plan: changes; drift, verify: not as intended
)

func main() { os.Exit(Main()) }

// Main runs the command line and gives the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the run in good order; from then on a second one kills.
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// statusError ends the command with a code of its own. Its text, if any, is
// printed like that of an error.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// exit gives an error that ends the command with code and prints nothing more.
func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return &statusError{code: code}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{streams: streams{in: stdin, out: stdout, err: stderr}}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		if text := err.Error(); text != "" {
			fmt.Fprintln(stderr, "spanctl: "+text)
		}
	}
	if ctx.Err() != nil {
		left := a.left
		if left == "" {
			left = "nothing was sent to any device"
		}
		fmt.Fprintln(stderr, "spanctl: interrupted: "+left)
	}
	if err == nil {
		return exitOK
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.code
	}
	return exitError
}
