package inventory

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// LoadIntents reads intents from files, directories and, for "-", standard input;
// a file may hold several documents. The error is models.Findings with everything
// that is wrong: form, unknown keys, what models.Intent.Validate finds, and names
// that are given twice. Intents come in the order of the files, with their origin.
func LoadIntents(paths []string, opts Options) ([]models.Intent, error) {
	var found findings
	var intents []models.Intent
	names := map[string]Position{}
	for _, in := range readInputs(paths, opts, &found) {
		if in.inDir && (in.isClab || looksLikeClab(in.text)) {
			continue // a lab beside the intents
		}
		for _, doc := range documentsOf(in, models.KindMirror, &found) {
			intent := readIntent(doc, &found)
			if name := intent.Metadata.Name; name != "" {
				at := doc.position(find(doc.root, "metadata", "name"))
				if first, ok := names[name]; ok {
					found.add(at, "metadata.name", ruleDuplicate, "%s is the name of the intent at %s already", quote(name), first)
				} else {
					names[name] = at
				}
			}
			intents = append(intents, intent)
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return intents, nil
}

// readIntent decodes and validates one document. What the decoder has found is not
// said again by Validate.
func readIntent(doc *document, found *findings) models.Intent {
	var intent models.Intent
	first := len(found.list)
	d := decoder{doc: doc, found: found}
	d.decode(&intent)
	decoded := found.list[first:len(found.list):len(found.list)]
	intent.Origin = models.Origin{File: doc.file, Line: doc.line(doc.root.Line)}
	for i := range decoded {
		decoded[i].Intent = intent.Metadata.Name
	}
	for _, f := range intent.Validate() {
		if overlaps(decoded, f.Field) {
			continue
		}
		at := doc.position(findPath(doc.root, f.Field))
		f.Origin.Line, f.Column = at.Line, at.Column
		found.list = append(found.list, f)
	}
	return intent
}

// overlaps reports whether a finding is about field, a part of it, or what it is
// part of.
func overlaps(fs models.Findings, field string) bool {
	within := func(outer, inner string) bool {
		rest, ok := strings.CutPrefix(inner, outer)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	for _, f := range fs {
		if f.Rule != ruleUnknownKey && (within(f.Field, field) || within(field, f.Field)) {
			return true
		}
	}
	return false
}

// findPath gives the node of a path such as spec.sources[0].vlans[1], or the last
// node on the way that is there.
func findPath(root *yaml.Node, path string) *yaml.Node {
	var keys []any
	for _, part := range strings.Split(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		if key != "" {
			keys = append(keys, key)
		}
		for rest != "" {
			var index string
			index, rest, _ = strings.Cut(rest, "]")
			rest = strings.TrimPrefix(rest, "[")
			n, err := strconv.Atoi(index)
			if err != nil {
				return find(root, keys...)
			}
			keys = append(keys, n)
		}
	}
	return find(root, keys...)
}
