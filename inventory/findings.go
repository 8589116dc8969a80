package inventory

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// Position is a place in a file. Line and Column count from 1, Column in
// characters; 0 means unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives FILE:LINE:COLUMN without the parts that are unknown.
func (p Position) String() string {
	s := models.Origin{File: p.File, Line: p.Line}.String()
	if p.Line == 0 || p.Column == 0 {
		return s
	}
	return fmt.Sprintf("%s:%d", s, p.Column)
}

// Rules of findings that this package makes.
const (
	ruleFile       = "file"           // cannot be read
	ruleSyntax     = "syntax"         // is not YAML, or not UTF-8
	ruleValue      = "value"          // has a wrong type or is out of range
	ruleUnknownKey = "unknown-key"    //
	ruleMissing    = "missing"        //
	ruleDuplicate  = "duplicate"      //
	ruleUnknown    = "unknown-name"   // nothing defines what is named
	rulePlaintext  = "plaintext"      // a secret is written in the file
	ruleMode       = "file-mode"      // a secret's file that others can read
	ruleTemplate   = "template"       // a Go template where a topology is wanted
	ruleCycle      = "cycle"          //
	ruleEnv        = "environment"    // a variable reference that cannot be read
	ruleInterface  = "interface-name" //
)

// findings collects what is wrong.
type findings struct{ list models.Findings }

func (fs *findings) add(at Position, path, rule, format string, args ...any) {
	fs.list = append(fs.list, models.Finding{
		Origin: models.Origin{File: at.File, Line: at.Line}, Column: at.Column,
		Field: path, Rule: rule, Message: fmt.Sprintf(format, args...),
	})
}

func (fs *findings) warn(at Position, path, rule, format string, args ...any) {
	fs.add(at, path, rule, format, args...)
	fs.list[len(fs.list)-1].Warning = true
}

// all gives the findings in order: files as they were read; within a file, by line.
func (fs *findings) all() models.Findings {
	order := map[string]int{}
	for _, f := range fs.list {
		if _, ok := order[f.Origin.File]; !ok {
			order[f.Origin.File] = len(order)
		}
	}
	slices.SortStableFunc(fs.list, func(a, b models.Finding) int {
		return cmp.Or(cmp.Compare(order[a.Origin.File], order[b.Origin.File]),
			cmp.Compare(a.Origin.Line, b.Origin.Line), cmp.Compare(a.Column, b.Column))
	})
	return fs.list
}

// err gives the findings that are not warnings as an error.
func (fs *findings) err() error { return fs.all().Err() }

func (fs *findings) warnings() models.Findings {
	var out models.Findings
	for _, f := range fs.all() {
		if f.Warning {
			out = append(out, f)
		}
	}
	return out
}
