package drivers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Backup reads configurations as backup tools (RANCID, Oxidized) keep them in files:
// with comments of theirs, and without what a device prints around them.
type Backup struct {
	// Is reports whether text looks like a configuration of the platform.
	Is func(text string) bool
	// Read gives the sessions and ports in text. A mirror line that is not known is a
	// *LineError. That a file ends too early cannot always be told.
	Read func(dev models.DeviceID, text string) (models.DeviceState, error)
}

// LineError is a line of a mirror session that cannot be read.
type LineError struct {
	Line int // from 1
	Text string
	Err  error
}

// Error gives line N: "TEXT": CAUSE.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %q: %v", e.Line, e.Text, e.Err) }

// Unwrap gives the cause.
func (e *LineError) Unwrap() error { return e.Err }

// maxLineErrors bounds what is told of one file.
const maxLineErrors = 20

// Lines reads text and, where lines of it cannot be read, gives all of them (up to
// 20), in their order, and no state. Another error is about the file as a whole.
func (b Backup) Lines(dev models.DeviceID, text string) (models.DeviceState, []*LineError, error) {
	var found []*LineError
	lines := strings.Split(text, "\n")
	for {
		st, err := b.Read(dev, strings.Join(lines, "\n"))
		var bad *LineError
		switch {
		case err == nil && len(found) == 0:
			return st, nil, nil
		case err == nil:
			return models.DeviceState{}, found, nil
		case !errors.As(err, &bad), bad.Line < 1, bad.Line > len(lines):
			return models.DeviceState{}, found, err
		}
		found = append(found, bad)
		if len(found) == maxLineErrors || lines[bad.Line-1] == "" {
			return models.DeviceState{}, found, nil
		}
		lines[bad.Line-1] = "" // and look for the next
	}
}
