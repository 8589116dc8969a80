package drivers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// TestBackupLines: all lines of a file that cannot be read are told, in their order,
// up to a bound, and no state comes with them.
func TestBackupLines(t *testing.T) {
	whole := errors.New("no such system")
	b := Backup{Read: func(dev models.DeviceID, text string) (models.DeviceState, error) {
		if strings.HasPrefix(text, "other") {
			return models.DeviceState{}, whole
		}
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "bad") {
				return models.DeviceState{}, fmt.Errorf("wrapped: %w", &LineError{Line: i + 1, Text: line, Err: errors.New("unknown")})
			}
		}
		return models.DeviceState{Device: dev}, nil
	}}
	tests := []struct {
		name, give string
		lines      []int
		state      models.DeviceState
		err        error
	}{
		{"good", "a\nb", nil, models.DeviceState{Device: "x"}, nil},
		{"bad lines", "a\nbad 1\nb\nbad 2", []int{2, 4}, models.DeviceState{}, nil},
		{"another system", "other", nil, models.DeviceState{}, whole},
		{"very bad", strings.Repeat("bad\n", 100), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, models.DeviceState{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, bad, err := b.Lines("x", tt.give)
			var lines []int
			for _, e := range bad {
				lines = append(lines, e.Line)
			}
			if d := cmp.Diff(tt.lines, lines); d != "" || !errors.Is(err, tt.err) {
				t.Errorf("error %v, lines (-want +got):\n%s", err, d)
			}
			if d := cmp.Diff(tt.state, st); d != "" {
				t.Errorf("state (-want +got):\n%s", d)
			}
		})
	}
}
