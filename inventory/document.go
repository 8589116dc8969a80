package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	goccy "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"go.yaml.in/yaml/v3"
)

// document is one YAML document of a file.
type document struct {
	file string
	root *yaml.Node // content of the document; nil when it is empty
	size int        // bytes of the whole file
	// lines maps lines of the text that was parsed to lines of the file, for texts
	// that were changed before parsing; nil = they are the same.
	lines []int
}

func (d *document) position(n *yaml.Node) Position {
	if n == nil {
		return Position{File: d.file}
	}
	return Position{File: d.file, Line: d.line(n.Line), Column: n.Column}
}

func (d *document) line(n int) int {
	if d.lines != nil && n >= 1 && n <= len(d.lines) {
		return d.lines[n-1]
	}
	return n
}

// parseYAML splits text into documents. A syntax error is a finding, with the
// documents before it. Two libraries read YAML here: yaml/v3 is four times as fast
// and its nodes carry places; goccy/go-yaml, asked only after a syntax error, says
// at which column it is.
func parseYAML(file string, text []byte, lines []int, found *findings) []*document {
	at := func(line, col int) Position {
		d := document{file: file, lines: lines}
		return Position{File: file, Line: d.line(line), Column: col}
	}
	if line, col, ok := badUTF8(text); ok {
		found.add(at(line, col), "", ruleSyntax, "the file is not UTF-8 text")
		return nil
	}
	var docs []*document
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			line, col, msg := syntaxError(text, err)
			found.add(at(line, col), "", ruleSyntax, "%s", msg)
			return docs
		}
		d := &document{file: file, size: len(text), lines: lines}
		if len(n.Content) > 0 && n.Content[0].Tag != "!!null" {
			d.root = n.Content[0]
		}
		docs = append(docs, d)
	}
}

func badUTF8(text []byte) (line, col int, bad bool) {
	if utf8.Valid(text) {
		return 0, 0, false
	}
	line, col = 1, 1
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			return line, col, true
		case r == '\n':
			line, col = line+1, 1
		default:
			col++
		}
		text = text[n:]
	}
	return 0, 0, false
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntaxError gives the place and the words of a YAML syntax error.
func syntaxError(text []byte, err error) (line, col int, msg string) {
	line, col, msg = 1, 1, err.Error()
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1]) // digits by the pattern
		}
	}
	msg = fmt.Sprintf("not YAML: %s", msg)
	if strings.Contains(msg, "exceeded max depth") {
		return line, col, msg // the other library follows any depth, for gigabytes of memory
	}
	_, perr := parser.ParseBytes(text, 0)
	var se goccy.Error
	if errors.As(perr, &se) && se.GetToken() != nil && se.GetToken().Position != nil {
		p := se.GetToken().Position
		return p.Line, p.Column, fmt.Sprintf("not YAML: %s", se.GetMessage())
	}
	return line, col, msg
}
