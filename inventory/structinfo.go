package inventory

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// structInfo is what the decoder needs to know of a struct type.
type structInfo struct {
	fields []fieldInfo
	byName map[string]int
	node   []int // index of the field that takes the node; nil = none
}

type fieldInfo struct {
	name     string
	index    []int
	required bool
	rules    rules
}

// rules are the constraints of a jsonschema tag.
type rules struct {
	enum                 []string
	pattern              *regexp.Regexp
	minimum, maximum     *int64
	minLength, maxLength *int64
	minItems             *int64
}

var structInfos sync.Map // reflect.Type -> *structInfo

func infoOf(t reflect.Type) *structInfo {
	if i, ok := structInfos.Load(t); ok {
		return i.(*structInfo)
	}
	info := &structInfo{byName: map[string]int{}}
	info.collect(t, nil)
	i, _ := structInfos.LoadOrStore(t, info)
	return i.(*structInfo)
}

func (info *structInfo) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case tag == "-":
			if f.Type == reflect.TypeFor[*yaml.Node]() {
				info.node = at
			}
			continue
		case strings.Contains(opts, "inline"):
			info.collect(f.Type, at) // also of an embedded type that is not exported
			continue
		case !f.IsExported():
			continue
		case tag == "":
			panic(fmt.Sprintf("inventory: field %s.%s has no yaml tag", t, f.Name)) // a slip in this package's types
		}
		info.byName[tag] = len(info.fields)
		info.fields = append(info.fields, fieldInfo{
			name: tag, index: at,
			required: !strings.Contains(opts, "omitempty"),
			rules:    parseRules(f.Tag.Get("jsonschema")),
		})
	}
}

// parseRules reads the constraints of a jsonschema tag as invopop/jsonschema does:
// parts are separated by commas that no backslash precedes.
func parseRules(tag string) rules {
	var r rules
	number := func(s string) *int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("inventory: jsonschema tag %q: %v", tag, err)) // a slip in a type
		}
		return &n
	}
	for _, part := range strings.Split(strings.ReplaceAll(tag, `\\,`, "\x00"), ",") {
		k, v, _ := strings.Cut(strings.ReplaceAll(part, "\x00", ","), "=")
		switch k {
		case "enum":
			r.enum = append(r.enum, v)
		case "pattern":
			r.pattern = regexp.MustCompile(v)
		case "minimum":
			r.minimum = number(v)
		case "maximum":
			r.maximum = number(v)
		case "minLength":
			r.minLength = number(v)
		case "maxLength":
			r.maxLength = number(v)
		case "minItems":
			r.minItems = number(v)
		}
	}
	return r
}

// check reports what of n is against the rules. n has the right type.
func (r *rules) check(d *decoder, n *yaml.Node, p *path) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		if r.minItems != nil && int64(len(n.Content)) < *r.minItems {
			d.addf(n, p, "want at least %d, got %d", *r.minItems, len(n.Content))
		}
		return
	}
	if n.Kind != yaml.ScalarNode {
		return
	}
	if len(r.enum) > 0 && !slices.Contains(r.enum, n.Value) {
		d.addf(n, p, "want %s, got %s%s", strings.Join(r.enum, " or "), quote(n.Value), didYouMean(n.Value, slices.Values(r.enum)))
		return
	}
	if r.pattern != nil && !r.pattern.MatchString(n.Value) {
		d.addf(n, p, "%s does not match %s", quote(n.Value), r.pattern)
	}
	if l := int64(utf8.RuneCountInString(n.Value)); r.maxLength != nil && l > *r.maxLength {
		d.addf(n, p, "%s is longer than %d characters", quote(n.Value), *r.maxLength)
	} else if r.minLength != nil && l < *r.minLength {
		d.addf(n, p, "want at least %d characters, got %s", *r.minLength, quote(n.Value))
	}
	if r.minimum == nil && r.maximum == nil {
		return
	}
	var i int64
	if n.Decode(&i) != nil {
		return
	}
	if r.minimum != nil && i < *r.minimum {
		d.addf(n, p, "%d is less than %d", i, *r.minimum)
	}
	if r.maximum != nil && i > *r.maximum {
		d.addf(n, p, "%d is more than %d", i, *r.maximum)
	}
}
