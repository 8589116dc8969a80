package inventory

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compile(t *testing.T, text []byte, err error) *jsonschema.Schema {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON gives the YAML documents of a text as a JSON decoder would give them.
func asJSON(t *testing.T, text string) []any {
	t.Helper()
	var out []any
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var v any
		if err := dec.Decode(&v); err != nil {
			return out
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(testdata(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIntentSchema(t *testing.T) {
	text, err := IntentSchema()
	schema := compile(t, text, err)
	examples := read(t, "intents", "all.yml")
	for i, doc := range asJSON(t, examples) {
		if err := schema.Validate(doc); err != nil {
			t.Errorf("example %d: %v", i, err)
		}
	}
	first, _, _ := strings.Cut(examples, "\n---\n")
	// change replaces a part of the first example. Schema and decoder must agree on
	// what comes of it; semantic says that only Validate can know.
	tests := []struct {
		name, old, with string
		ok, semantic    bool
	}{
		{name: "as it is", ok: true},
		{name: "wrong version", old: "spanctl/v1", with: "spanctl/v2"},
		{name: "wrong kind", old: "kind: Mirror", with: "kind: Span"},
		{name: "no name", old: "  name: ids-dmz\n", with: ""},
		{name: "capitals in the name", old: "ids-dmz", with: "IDS"},
		{name: "long name", old: "ids-dmz", with: strings.Repeat("a", 41)},
		{name: "number as name", old: "ids-dmz", with: "12"},
		{name: "unknown key", old: "  owner:", with: "  ownr:"},
		{name: "unknown key in a source", old: "      direction: both", with: "      direction: both\n      vlan: [1]"},
		{name: "key without value", old: "owner: secops", with: "owner:"},
		{name: "no sources", old: "sources:", with: "sources: []\n  x:"},
		{name: "direction", old: "direction: both", with: "direction: in"},
		{name: "no direction", old: "      direction: both\n", with: ""},
		{name: "device and select", old: "- device: leaf1", with: "- device: leaf1\n      select: {a: b}"},
		{name: "neither interfaces nor vlans", old: "      interfaces: [Ethernet1, Ethernet5-8]\n", with: ""},
		{name: "vlan too large", old: "120]", with: "70000]"},
		{name: "vlan of no vlan", old: "120]", with: "5000]", semantic: true},
		{name: "vlan as text", old: "120]", with: `"120"]`, ok: true},
		{name: "vlan is no number", old: "120]", with: "all]"},
		{name: "include and exclude", old: "exclude: {src: 10.9.0.0/16}", with: "exclude: {src: 10.9.0.0/16}\n      include: {}"},
		{name: "no prefix", old: "10.9.0.0/16", with: "everywhere"},
		{name: "bits behind the prefix", old: "10.9.0.0/16", with: "10.9.1.0/16", semantic: true},
		{name: "address as prefix", old: "10.9.0.0/16", with: "10.9.0.1", ok: true},
		{name: "unknown protocol", old: "proto: tcp", with: "proto: tpc", semantic: true},
		{name: "protocol as number", old: "proto: tcp", with: "proto: 6"},
		{name: "two destinations", old: "sensor: ids1", with: "sensor: ids1\n    gre: {address: 192.0.2.1}"},
		{name: "no destination", old: "    sensor: ids1\n", with: "    {}\n"},
		{name: "vlan of RSPAN", old: "sensor: ids1", with: "remoteVlan: {vlan: 1, interface: {device: a, name: b}}"},
		{name: "session id", old: "sensor: ids1", with: "erspan: {address: 192.0.2.1, sessionId: 1024}"},
		{name: "version of ERSPAN", old: "sensor: ids1", with: "erspan: {address: 192.0.2.1, version: 4}"},
		{name: "TTL", old: "sensor: ids1", with: "gre: {address: 192.0.2.1, ttl: 256}"},
		{name: "DSCP", old: "sensor: ids1", with: "gre: {address: 192.0.2.1, dscp: 64}"},
		{name: "VNI", old: "sensor: ids1", with: "vxlan: {address: 192.0.2.1, vni: 16777216}"},
		{name: "no address", old: "sensor: ids1", with: "gre: {key: 1}"},
		{name: "bad address", old: "sensor: ids1", with: "gre: {address: host}"},
		{name: "truncate", old: "truncate: 128", with: "truncate: 65536"},
		{name: "truncate as text", old: "truncate: 128", with: `truncate: "128"`},
		{name: "negative sample", old: "sample: 1000", with: "sample: -1"},
		{name: "fraction", old: "sample: 1000", with: "sample: 1.5"},
		{name: "expiry", old: "expires: 2h", with: "expires: soon"},
		{name: "no expiry", old: "  expires: 2h", with: ""},
		{name: "days", old: "expires: 2h", with: "expires: 7d12h", ok: true},
		{name: "expiry without a unit", old: "expires: 2h", with: "expires: 2"},
		{name: "expiry that is nothing", old: "expires: 2h", with: "expires: 0s", semantic: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := first
			if tt.old != "" {
				if !strings.Contains(first, tt.old) {
					t.Fatalf("the example has no %q", tt.old)
				}
				text = strings.Replace(first, tt.old, tt.with, 1)
			}
			_, decoded := LoadIntents([]string{"-"}, Options{Stdin: strings.NewReader(text)})
			if (decoded == nil) != tt.ok {
				t.Errorf("decoder: got %v, want ok %t", decoded, tt.ok)
			}
			docs := asJSON(t, text)
			if len(docs) != 1 {
				t.Fatalf("got %d documents of\n%s", len(docs), text)
			}
			if err := schema.Validate(docs[0]); (err == nil) != (tt.ok || tt.semantic) {
				t.Errorf("schema: got %v, want ok %t", err, tt.ok || tt.semantic)
			}
		})
	}
}

func TestInventorySchema(t *testing.T) {
	text, err := InventorySchema()
	schema := compile(t, text, err)
	example := read(t, "network.yml")
	for _, doc := range asJSON(t, example) {
		if err := schema.Validate(doc); err != nil {
			t.Errorf("example: %v", err)
		}
	}
	const head = "apiVersion: spanctl/v1\nkind: Inventory\n"
	dev := func(s string) string {
		return head + "devices:\n  - {name: a, platform: arista_eos" + s + "}\n  - {name: b, platform: arista_eos}\n"
	}
	tests := []struct {
		name, give   string
		ok, semantic bool
	}{
		{name: "nothing", give: head, ok: true},
		{name: "no kind", give: "apiVersion: spanctl/v1\n"},
		{name: "unknown key", give: head + "device: []\n"},
		{name: "key without value", give: head + "devices:\n"},
		{name: "device", give: dev(""), ok: true},
		{name: "no name", give: head + "devices: [{platform: sonic}]\n"},
		{name: "empty name", give: head + "devices: [{name: \"\", platform: sonic}]\n"},
		{name: "unknown key in a device", give: dev(", prot: 22")},
		{name: "port", give: dev(", port: 22"), ok: true},
		{name: "port 0", give: dev(", port: 0")},
		{name: "port too large", give: dev(", port: 65536")},
		{name: "transport", give: dev(", transport: telnet")},
		{name: "become", give: dev(", become: sudo"), ok: true},
		{name: "become what", give: dev(", become: su")},
		{name: "label as number", give: dev(", labels: {a: 1}")},
		{name: "label without value", give: dev(", labels: {a: }")},
		{name: "legacy as text", give: dev(`, legacyAlgorithms: "true"`)},
		{name: "tunnel source", give: dev(", tunnelSource: 192.0.2.1"), ok: true},
		{name: "tunnel source with a length", give: dev(", tunnelSource: 192.0.2.0/24")},
		{name: "policy", give: dev(", hostKey: {policy: off}")},
		{name: "timeout", give: dev(", timeouts: {connect: 10s}"), ok: true},
		{name: "timeout without a unit", give: dev(", timeouts: {connect: 10}")},
		{name: "unknown group", give: dev(", groups: [x]"), semantic: true},
		{name: "unknown platform", give: head + "devices: [{name: a, platform: x}]\n", semantic: true},
		{name: "credentials in place", give: dev(", credentials: {username: u, password: {env: P}}"), ok: true},
		{name: "secret as text", give: dev(", credentials: {username: u, password: p}")},
		{name: "two references", give: dev(", credentials: {password: {env: P, file: p}}")},
		{name: "no reference", give: dev(", credentials: {password: {}}")},
		{name: "empty command", give: dev(", credentials: {password: {command: []}}")},
		{name: "command as text", give: dev(", credentials: {password: {command: pass show}}")},
		{name: "timeout of a file", give: dev(", credentials: {password: {file: p, timeout: 1s}}")},
		{name: "keyring without user", give: dev(", credentials: {password: {keyring: {service: s}}}")},
		{name: "jump host without address", give: head + "jumpHosts: {a: {port: 22}}\n"},
		{name: "group", give: head + "groups: {a: {}}\n", ok: true},
		{name: "group without value", give: head + "groups: {a: }\n"},
		{name: "sensor", give: head + "sensors: [{name: s, address: 192.0.2.1, accepts: [gre]}]\n", ok: true},
		{name: "sensor nowhere", give: head + "sensors: [{name: s}]\n"},
		{name: "unknown tunnel", give: head + "sensors: [{name: s, address: 192.0.2.1, accepts: [ipip]}]\n"},
		{name: "sensor's interface without name", give: head + "sensors: [{name: s, interface: {device: a}}]\n"},
		{name: "link", give: dev("") + "links: [[a:Et1, b:Et1]]\n", ok: true},
		{name: "link with one end", give: dev("") + "links: [[a:Et1]]\n"},
		{name: "end without port", give: dev("") + "links: [[a, b:Et1]]\n"},
		{name: "topology that is not there", give: head + "topology: none.clab.yml\n", semantic: true},
		{name: "topology as number", give: head + "topology: 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, decoded := LoadInventory([]string{"-"}, Options{Stdin: strings.NewReader(tt.give)})
			if (decoded == nil) != tt.ok {
				t.Errorf("decoder: got %v, want ok %t", decoded, tt.ok)
			}
			if err := schema.Validate(asJSON(t, tt.give)[0]); (err == nil) != (tt.ok || tt.semantic) {
				t.Errorf("schema: got %v, want ok %t", err, tt.ok || tt.semantic)
			}
		})
	}
}

// Every property of both schemas says what it is.
func TestSchemaDescriptions(t *testing.T) {
	for name, make := range map[string]func() ([]byte, error){"intent": IntentSchema, "inventory": InventorySchema} {
		text, err := make()
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			Title string
			Defs  map[string]struct {
				Properties map[string]struct{ Description string }
			} `json:"$defs"`
			Properties map[string]struct{ Description string }
		}
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		s.Defs["root"] = struct {
			Properties map[string]struct{ Description string }
		}{s.Properties}
		for def, d := range s.Defs {
			for p, v := range d.Properties {
				if v.Description == "" && p != "kind" && p != "metadata" && p != "spec" { // they say it themselves
					t.Errorf("%s: %s.%s has no description", name, def, p)
				}
			}
		}
		if s.Title == "" || len(s.Properties) == 0 {
			t.Errorf("%s: title %q, %d properties", name, s.Title, len(s.Properties))
		}
	}
}
