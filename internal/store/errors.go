package store

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNoRun        = errors.New("no such run")
	ErrExists       = errors.New("the run exists already")
	ErrFinished     = errors.New("the run is finished")
	ErrNotLocked    = errors.New("the device is not locked by this process")
	ErrLockLost     = errors.New("another process took the lock over, since this one had shown no sign of life")
	ErrNoCheckpoint = errors.New("no checkpoint was saved before the device is touched")
	ErrSecret       = errors.New("a secret cannot be stored")
	ErrReadOnly     = errors.New("the store is read-only")
	ErrCorrupt      = errors.New("the store is damaged")
	ErrForeign      = errors.New("not a store of spanctl")
	ErrNewer        = errors.New("the store was written by a newer spanctl")
	ErrBusy         = errors.New("the store is busy")
	ErrClosed       = errors.New("the store is closed")
)

// LockedError says which of the wanted devices somebody has already, sorted by
// device. There is at least one.
type LockedError struct{ Locks []Lock }

// Error names every device with its holder.
func (e *LockedError) Error() string {
	parts := make([]string, len(e.Locks))
	for i, l := range e.Locks {
		parts[i] = fmt.Sprintf("%s is locked by %v, run %s, since %s", l.Device, l.Holder, l.Run, l.Since.Format(time.RFC3339))
	}
	return strings.Join(parts, "; ")
}

// String gives USER@HOST pid PID.
func (p Process) String() string { return fmt.Sprintf("%s@%s pid %d", p.User, p.Host, p.PID) }

// UnsettledError says which devices of a run are unsettled. There is at least one.
type UnsettledError struct {
	Run     string
	Entries []Entry // the last of each device
}

// Error names every device with its group and step.
func (e *UnsettledError) Error() string {
	parts := make([]string, len(e.Entries))
	for i, en := range e.Entries {
		parts[i] = fmt.Sprintf("%s of %s is %v", en.Device, en.Group, en.Step)
	}
	return fmt.Sprintf("run %s stays open: %s (run spanctl recover)", e.Run, strings.Join(parts, "; "))
}

// FileError is about the file of a store. It wraps one of the errors above or
// one of the operating system.
type FileError struct {
	Path string
	Err  error
	Hint string // what to do
}

// Error gives store PATH: CAUSE (HINT).
func (e *FileError) Error() string {
	s := "store " + e.Path + ": " + e.Err.Error()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }
