package inventory

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/spanctl/spanctl/models"
)

// IntentSchema gives the JSON Schema (2020-12) of an intent document, made from the
// types that LoadIntents decodes into.
func IntentSchema() ([]byte, error) {
	s := reflectSchema(&models.Intent{}, "intent", "spanctl intent")
	exactlyOne(definition(s, "SourceSpec"), "device", "select")
	atLeastOne(definition(s, "SourceSpec"), "interfaces", "vlans")
	exactlyOne(definition(s, "RuleSpec"), "include", "exclude")
	exactlyOne(definition(s, "DestinationSpec"), "interface", "remoteVlan", "erspan", "gre", "vxlan", "capture", "sensor")
	return json.MarshalIndent(s, "", "  ")
}

// InventorySchema gives the JSON Schema (2020-12) of an inventory document. It has
// no secrets as text: they are refused unless Options.AllowPlaintext is set.
func InventorySchema() ([]byte, error) {
	s := reflectSchema(&inventoryFile{}, "inventory", "spanctl inventory")
	atLeastOne(definition(s, "sensorSpec"), "interface", "address")
	exactlyOne(definition(s, "referenceSpec"), "env", "file", "command", "keyring")
	if r := definition(s, "referenceSpec"); r != nil {
		r.DependentRequired = map[string][]string{"timeout": {"command"}}
	}
	if links := property(s, "links"); links != nil {
		two := uint64(2)
		links.Items.MinItems, links.Items.MaxItems = &two, &two
		links.Items.Items.Pattern = `^[^:]+:.+$`
	}
	return json.MarshalIndent(s, "", "  ")
}

func reflectSchema(v any, id, title string) *jsonschema.Schema {
	r := &jsonschema.Reflector{FieldNameTag: "yaml", Anonymous: true, ExpandedStruct: true}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema { return mapped(t) }
	s := r.Reflect(v)
	// Types that the mapper refers to.
	for name, t := range map[string]any{"referenceSpec": &referenceSpec{}, "credentialSpec": &credentialSpec{}} {
		if _, ok := s.Definitions[name]; ok || !strings.Contains(id, "inventory") {
			continue
		}
		sub := r.Reflect(t)
		for n, d := range sub.Definitions {
			s.Definitions[n] = d
		}
		sub.Definitions, sub.Version = nil, ""
		s.Definitions[name] = sub
	}
	s.ID, s.Title = jsonschema.ID("urn:spanctl:v1:"+id), title
	return s
}

// mapped gives the schemas of types that have a form of their own in YAML.
func mapped(t reflect.Type) *jsonschema.Schema {
	text := func(pattern string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: pattern}
	}
	switch t {
	case reflect.TypeFor[models.Range]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0", Maximum: "65535"}, text(`^\s*[0-9]+\s*(-\s*[0-9]+\s*)?$`)}}
	case reflect.TypeFor[models.Prefix]():
		return text(`^[0-9A-Fa-f:.]*(/[0-9]+)?$`)
	case reflect.TypeFor[netip.Addr]():
		return text(`^[0-9A-Fa-f:.]*$`)
	case reflect.TypeFor[models.Direction]():
		return &jsonschema.Schema{Type: "string", Enum: []any{"rx", "tx", "both"}}
	case reflect.TypeFor[models.Oversize]():
		return &jsonschema.Schema{Type: "string", Enum: []any{"truncate", "fragment"}}
	case reflect.TypeFor[models.Expiry]():
		return text(`^\s*(never|([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*|[0-9]{4}-[0-9]{2}-[0-9]{2}T.+)\s*$`)
	case reflect.TypeFor[duration]():
		return text(`^([0-9.]+(ns|us|µs|ms|s|m|h))+$`)
	case reflect.TypeFor[encapsulation]():
		s := &jsonschema.Schema{Type: "string"}
		for _, e := range encapsulations {
			s.Enum = append(s.Enum, e)
		}
		return s
	case reflect.TypeFor[textList]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}}
	case reflect.TypeFor[Reference]():
		return &jsonschema.Schema{Ref: "#/$defs/referenceSpec"}
	case reflect.TypeFor[userRef]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Ref: "#/$defs/referenceSpec"}}}
	case reflect.TypeFor[credentialRef]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Ref: "#/$defs/credentialSpec"}}}
	}
	switch t.Kind() { // the library knows no bounds of unsigned types
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return &jsonschema.Schema{Type: "integer", Minimum: "0", Maximum: json.Number(strconv.FormatUint(1<<t.Bits()-1, 10))}
	}
	return nil
}

func definition(s *jsonschema.Schema, name string) *jsonschema.Schema { return s.Definitions[name] }

func property(s *jsonschema.Schema, name string) *jsonschema.Schema {
	p, _ := s.Properties.Get(name)
	return p
}

func exactlyOne(s *jsonschema.Schema, names ...string) {
	for _, n := range names {
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{n}})
	}
}

func atLeastOne(s *jsonschema.Schema, names ...string) {
	for _, n := range names {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Required: []string{n}})
	}
}
