package models

import (
	"fmt"
	"strings"
)

// Finding is something that is wrong, or worth a warning, with what a person
// wrote or with what it would do. Findings are returned together: one run, all of
// them.
type Finding struct {
	Origin  Origin   `json:"origin,omitzero"`
	Column  int      `json:"column,omitempty"` // from 1; 0 = not known
	Intent  string   `json:"intent,omitempty"`
	Field   string   `json:"field,omitempty"` // path in the file, such as spec.sources[0].device
	Device  DeviceID `json:"device,omitempty"`
	Rule    string   `json:"rule"` // short stable name, such as unknown-device
	Message string   `json:"message"`
	Warning bool     `json:"warning,omitempty"` // does not stop anything by itself
}

// String gives one line: place, intent, device, field, message.
func (f Finding) String() string {
	var b strings.Builder
	if o := f.Origin.String(); o != "" {
		b.WriteString(o)
		if f.Column > 0 {
			fmt.Fprintf(&b, ":%d", f.Column)
		}
		b.WriteString(": ")
	}
	if f.Intent != "" {
		fmt.Fprintf(&b, "intent %s: ", f.Intent)
	}
	if f.Device != "" {
		fmt.Fprintf(&b, "device %s: ", f.Device)
	}
	if f.Field != "" {
		fmt.Fprintf(&b, "%s: ", f.Field)
	}
	b.WriteString(f.Message)
	return b.String()
}

// Findings is a list that can be returned as one error.
type Findings []Finding

// Error gives a line per finding.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Errors gives the findings that are not warnings.
func (fs Findings) Errors() Findings {
	var out Findings
	for _, f := range fs {
		if !f.Warning {
			out = append(out, f)
		}
	}
	return out
}

// Err gives the findings as an error, or nil when all are warnings.
func (fs Findings) Err() error {
	if e := fs.Errors(); len(e) > 0 {
		return e
	}
	return nil
}
