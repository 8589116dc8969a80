package inventory

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder turns YAML nodes into Go values and collects what does not fit. Struct
// fields are named by their yaml tag. A field without omitempty must be given. The
// constraints of the jsonschema tag (enum, pattern, minimum, maximum, minLength,
// maxLength, minItems) hold here as in the schema made from the same tag. A struct
// field of type *yaml.Node with the tag "-" receives the node that it was read from.
type decoder struct {
	doc   *document
	found *findings
	// lax decodes as containerlab does with yaml.v2: any scalar is text, yes and on
	// are booleans, nothing must be given.
	lax bool
	// plaintext allows secrets as text.
	plaintext bool
	visits    int
	deep      bool // an alias went too far; said once
}

// nodeDecoder is implemented by types with a form of their own.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, p *path)
}

// decode reads the whole document into the struct that to points to.
func (d *decoder) decode(to any) {
	if d.doc.root == nil {
		return
	}
	d.value(d.doc.root, reflect.ValueOf(to).Elem(), nil)
}

// path is the way to a value; nil is the document.
type path struct {
	up    *path
	key   string // "" for an item of a list
	index int
}

func (p *path) child(key string) *path { return &path{up: p, key: key} }
func (p *path) item(i int) *path       { return &path{up: p, index: i} }

// String gives the path as people write it: topology.nodes.leaf1.ports[0].
func (p *path) String() string {
	if p == nil {
		return ""
	}
	up := p.up.String()
	if p.key == "" {
		return up + "[" + strconv.Itoa(p.index) + "]"
	}
	key := p.key
	if strings.ContainsAny(key, ". []") {
		key = strconv.Quote(key)
	}
	if up == "" {
		return key
	}
	return up + "." + key
}

func (d *decoder) addf(n *yaml.Node, p *path, format string, args ...any) {
	d.rulef(n, p, ruleValue, format, args...)
}

func (d *decoder) rulef(n *yaml.Node, p *path, rule, format string, args ...any) {
	d.found.add(d.doc.position(n), p.String(), rule, format, args...)
}

// enter follows aliases and bounds how much may be read: aliases, or a merge key
// that names itself, must not make a small file endless. (How deep a file may go is
// bounded by our types, which do not hold themselves.)
func (d *decoder) enter(n *yaml.Node, p *path) (*yaml.Node, bool) {
	d.visits++
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.visits > 10*d.doc.size+1000 {
		if !d.deep {
			d.deep = true
			d.addf(n, p, "aliases make more of the file than can be read")
		}
		return n, false
	}
	return n, true
}

func isNull(n *yaml.Node) bool {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, p *path) {
	n, ok := d.enter(n, p)
	if !ok || isNull(n) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.CanAddr() {
		switch to := v.Addr().Interface().(type) {
		case nodeDecoder:
			to.decodeNode(d, n, p)
			return
		case encoding.TextUnmarshaler:
			d.text(n, to, p)
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, p)
	case reflect.Map:
		d.mapping(n, v, p)
	case reflect.Slice:
		d.sequence(n, v, p)
	case reflect.Interface:
		var x any
		if err := n.Decode(&x); err != nil {
			d.addf(n, p, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
			return
		}
		if x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(n, v, p)
	}
}

func (d *decoder) text(n *yaml.Node, to encoding.TextUnmarshaler, p *path) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.addf(n, p, "want text, got %s", kindName(n))
	case n.Tag == "!!bool" || n.Tag == "!!float" && !d.lax:
		d.addf(n, p, "want text, got %s", kindName(n))
	default:
		if err := to.UnmarshalText([]byte(n.Value)); err != nil {
			d.addf(n, p, "%s", err)
		}
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, p *path) {
	if n.Kind != yaml.ScalarNode {
		d.addf(n, p, "want %s, got %s", goKind(v), kindName(n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" && n.Tag != "!!timestamp" && !d.lax {
			d.addf(n, p, "want text, got %s; write %q", kindName(n), n.Value)
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		b, ok := boolean(n, d.lax)
		if !ok {
			d.addf(n, p, "want true or false, got %s", quote(n.Value))
			return
		}
		v.SetBool(b)
	default:
		if n.Tag != "!!int" && (n.Tag != "!!float" || v.Kind() != reflect.Float64) {
			d.addf(n, p, "want %s, got %s", goKind(v), quote(n.Value))
			return
		}
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.addf(n, p, "want %s, got %s", goKind(v), quote(n.Value))
		}
	}
}

// boolean reads true and false, and with lax the words that YAML 1.1 had too.
func boolean(n *yaml.Node, lax bool) (value, ok bool) {
	var b bool
	if n.Tag == "!!bool" && n.Decode(&b) == nil {
		return b, true
	}
	if !lax || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return false, false
	}
	switch n.Value {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, p *path) {
	if n.Kind != yaml.SequenceNode {
		d.addf(n, p, "want a list, got %s", kindName(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		if isNull(c) && !d.lax {
			d.addf(c, p.item(i), "the item is empty")
			continue
		}
		d.value(c, s.Index(i), p.item(i))
	}
	v.Set(s)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, p *path) {
	m := reflect.MakeMap(v.Type())
	d.pairs(n, p, func(key, val *yaml.Node) {
		if isNull(val) && !d.lax {
			d.rulef(key, p.child(key.Value), ruleMissing, "has no value")
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, e, p.child(key.Value))
		m.SetMapIndex(reflect.ValueOf(key.Value), e)
	})
	v.Set(m)
}

// pairs calls yield for each key of a mapping, with what "<<" brings in for keys
// that are not given. It reports wrong and repeated keys.
func (d *decoder) pairs(n *yaml.Node, p *path, yield func(key, val *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.addf(n, p, "want keys and values, got %s", kindName(n))
		return
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Tag == "!!merge" {
			merged = append(merged, val)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.addf(key, p, "want a word as key, got %s", kindName(key))
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.rulef(key, p.child(key.Value), ruleDuplicate, "given twice: first in line %d", d.doc.line(first.Line))
			continue
		}
		seen[key.Value] = key
		yield(key, val)
	}
	for len(merged) > 0 {
		from, ok := d.enter(merged[0], p)
		merged = merged[1:]
		switch {
		case !ok:
			return
		case from.Kind == yaml.SequenceNode:
			merged = append(slices.Clone(from.Content), merged...)
			continue
		case from.Kind != yaml.MappingNode:
			d.addf(from, p.child("<<"), "want keys and values to merge, got %s", kindName(from))
			continue
		}
		for i := 0; i+1 < len(from.Content); i += 2 {
			key, val := from.Content[i], from.Content[i+1]
			if key.Tag == "!!merge" {
				merged = append(merged, val)
				continue
			}
			if _, ok := seen[key.Value]; !ok && key.Kind == yaml.ScalarNode {
				seen[key.Value] = key
				yield(key, val)
			}
		}
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, p *path) {
	info := infoOf(v.Type())
	if info.node != nil {
		v.FieldByIndex(info.node).Set(reflect.ValueOf(n))
	}
	if n.Kind != yaml.MappingNode {
		d.addf(n, p, "want keys and values, got %s", kindName(n))
		return
	}
	var have [64]bool
	d.pairs(n, p, func(key, val *yaml.Node) {
		i, ok := info.byName[key.Value]
		if !ok {
			d.rulef(key, p.child(key.Value), ruleUnknownKey, "unknown key%s", didYouMean(key.Value, maps.Keys(info.byName)))
			return
		}
		f := &info.fields[i]
		q := p.child(key.Value)
		before := len(d.found.list)
		d.value(val, v.FieldByIndex(f.index), q)
		if d.lax {
			return
		}
		have[i] = true
		if isNull(val) {
			d.rulef(key, q, ruleMissing, "has no value")
			return
		}
		if len(d.found.list) == before {
			f.rules.check(d, val, q)
		}
	})
	if d.lax {
		return
	}
	for i := range info.fields {
		if info.fields[i].required && !have[i] {
			d.rulef(n, p.child(info.fields[i].name), ruleMissing, "is missing")
		}
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!int", "!!float":
			return "the number " + n.Value
		case "!!bool":
			return "the boolean " + n.Value
		case "!!null":
			return "nothing"
		case "!!str":
			return quote(n.Value)
		}
		return n.Tag + " " + quote(n.Value)
	}
	return "nothing"
}

func goKind(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<v.Type().Bits()-1)
	case reflect.Uint, reflect.Uint64:
		return "a whole number from 0"
	default:
		return "a whole number"
	}
}

// find gives the node below n that keys lead to: strings name keys, ints items.
// Where the way ends early, it gives the last node that is there.
func find(n *yaml.Node, keys ...any) *yaml.Node {
	for _, k := range keys {
		if n == nil {
			return nil
		}
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch k := k.(type) {
		case string:
			for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == k {
					next = n.Content[i+1]
				}
			}
		case int:
			if n.Kind == yaml.SequenceNode && k < len(n.Content) {
				next = n.Content[k]
			}
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// at reads n into the value that to points to, with the findings and bounds of d.
func (d *decoder) at(n *yaml.Node, to any, p *path) {
	d.value(n, reflect.ValueOf(to).Elem(), p)
}
