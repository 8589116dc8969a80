package inventory

import (
	"fmt"
	"io"
	"log/slog"

	"go.yaml.in/yaml/v3"
)

const redacted = "[redacted]"

// Secret is a password or the like. It never prints, in whatever way it is printed,
// encoded or logged; Reveal gives the text. The zero value is no secret at all. Two
// secrets are compared with Equal.
type Secret struct {
	// A pointer, since fmt prints the fields of a struct that it meets in an
	// unexported field without calling methods: of a pointer it prints the address.
	text *string
}

// NewSecret makes a secret of s; of "" it makes the zero value.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{text: &s}
}

// Reveal gives the text, "" for the zero value. Never log it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether both have the same text.
func (s Secret) Equal(t Secret) bool { return s.Reveal() == t.Reveal() }

// String gives a fixed word, "" for the zero value.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString gives a fixed word.
func (s Secret) GoString() string { return "inventory.Secret(" + s.String() + ")" }

// Format prints the fixed word for every verb.
func (s Secret) Format(f fmt.State, verb rune) {
	word := s.String()
	if verb == 'v' && f.Flag('#') {
		word = s.GoString()
	}
	_, _ = io.WriteString(f, word) // fmt ignores errors of Formatters
}

// MarshalText gives the fixed word: JSON, YAML and others use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives the fixed word to slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// decodeNode reads the literal text, which only containerlab's files may hold; ours
// have a Reference there.
func (s *Secret) decodeNode(d *decoder, n *yaml.Node, p *path) {
	if n.Kind != yaml.ScalarNode {
		d.addf(n, p, "want text, got %s", kindName(n))
		return
	}
	*s = NewSecret(n.Value)
}
