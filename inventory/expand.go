package inventory

import (
	"bytes"
	"os"
	"regexp"

	"github.com/a8m/envsubst/parse"
)

// Variables as containerlab finds them: $NAME, ${...} with what follows on the
// same line, and $$. A name that begins with a digit is text ("$1").
var variable = regexp.MustCompile(`\$\$|\$\{\P{Nd}[^}\r\n]*\}|\$\{\P{Nd}[^}\r\n]*|\$[\pL_][\pL\p{Nd}_]*`)

var plainVariable = regexp.MustCompile(`^\$(?:\{([\pL_][\pL\p{Nd}_]*)\}|([\pL_][\pL\p{Nd}_]*))$`)

var variableName = regexp.MustCompile(`^\$\{[\pL\p{Nd}_]*`)

// expandEnv replaces environment variables the way containerlab does before it
// reads the YAML: in the whole text, comments too; a variable without a value and
// without a default stays as "$NAME", so that passwords with a dollar survive.
// lines tells for each line of the result which line of the text it came from.
//
// Source: srl-labs/containerlab core/file.go (BytesRestrictedNoReplace(_, false,
// false, true, true)) and the fork hellt/envsubst that it uses. The library here is
// the fork's origin, which lacks the "stays as" part. Known difference: of
// ${A:-$B} with both unset the fork leaves "$B", this gives nothing.
func expandEnv(file string, text []byte, env []string, found *findings) (out []byte, lines []int) {
	if env == nil {
		env = os.Environ()
	}
	known := parse.Env(env)
	var buf bytes.Buffer
	for no, line := range bytes.SplitAfter(text, []byte("\n")) {
		if !bytes.ContainsRune(line, '$') {
			buf.Write(line)
			lines = append(lines, no+1)
			continue
		}
		expanded := variable.ReplaceAllFunc(line, func(v []byte) []byte {
			if string(v) == "$_" {
				return v
			}
			if m := plainVariable.FindSubmatch(v); m != nil {
				name := string(m[1]) + string(m[2])
				if val := known.Get(name); val != "" {
					return []byte(val)
				}
				return []byte("$" + name)
			}
			p := parse.New(file, env, &parse.Restrictions{NoDigit: true})
			s, err := p.Parse(string(v))
			if err != nil {
				col := 1 + len([]rune(string(line[:max(0, bytes.Index(line, v))])))
				name := variableName.FindString(string(v)) // not what follows: a default may be a secret
				found.add(Position{File: file, Line: no + 1, Column: col}, "", ruleEnv, "environment variable %s: %s", name, err)
				return v
			}
			return []byte(s)
		})
		buf.Write(expanded)
		lines = append(lines, no+1)
		for range bytes.Count(expanded, []byte("\n")) - bytes.Count(line, []byte("\n")) {
			lines = append(lines, no+1)
		}
	}
	return buf.Bytes(), lines
}
