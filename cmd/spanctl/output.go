package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"go.yaml.in/yaml/v3"
)

// print writes v as JSON or YAML, or calls people for the form that people read.
// v is a documented type of the engine or of this package.
func (a *app) print(v any, people func(io.Writer) error) error {
	switch a.set.Output {
	case "json":
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		// By way of JSON, so that both forms have the same keys.
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var plain any
		if err := yaml.Unmarshal(text, &plain); err != nil {
			return err
		}
		enc := yaml.NewEncoder(a.out)
		enc.SetIndent(2)
		if err := enc.Encode(plain); err != nil {
			return err
		}
		return enc.Close()
	default:
		return people(a.out)
	}
}

// talk writes a line for people to stderr.
func (a *app) talk(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// newTable makes a table with a header. The style is plain, so that a screen reader
// and a copy into a ticket do well.
func newTable(w io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.AppendHeader(table.Row(header))
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	t.SetStyle(style)
	return t
}

// count gives "1 intent", "2 intents".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
