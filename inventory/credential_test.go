package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"
	"go.yaml.in/yaml/v3"
)

func TestSecretNeverPrints(t *testing.T) {
	const text = "hunter2-secret"
	type holder struct {
		Public  Secret
		private Secret
		Pointer *Secret
		Any     any
	}
	s := NewSecret(text)
	h := holder{Public: s, private: s, Pointer: &s, Any: s}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "secret", s, "holder", h, "map", map[string]Secret{"a": s})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", h)
	j, err := json.Marshal(map[string]any{"a": s, "b": h, "c": &s})
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(map[string]any{"a": s})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{log.String(), string(j), string(y), s.String(), s.GoString(), fmt.Sprint(s, &s, h, &h), fmt.Errorf("bad: %v", s).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, o := range out {
		if strings.Contains(o, "hunter2") || strings.Contains(o, fmt.Sprintf("%x", text)) {
			t.Errorf("the secret is printed: %s", o)
		}
	}
	if !strings.Contains(string(j), redacted) {
		t.Errorf("JSON %s does not say that something was left out", j)
	}
	if s.Reveal() != text || !s.Equal(NewSecret(text)) || s.Equal(NewSecret("other")) || !NewSecret("").IsZero() || (Secret{}).String() != "" {
		t.Error("Reveal, Equal, IsZero or the zero value is wrong")
	}
}

func TestResolve(t *testing.T) {
	keyring.MockInit()
	if err := keyring.Set("spanctl", "ops", "from keyring"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SPANCTL_TEST_SECRET", "from env")
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return f
	}
	tests := []struct {
		name string
		give Reference
		want string
	}{
		{"env", Reference{Env: "SPANCTL_TEST_SECRET"}, "from env"},
		{"file", Reference{File: file("a", "from file\n", 0o600)}, "from file"},
		{"file with two line ends", Reference{File: file("b", "x\n\n", 0o600)}, "x\n"},
		{"file of Windows", Reference{File: file("c", "x\r\n", 0o600)}, "x"},
		{"command", Reference{Command: []string{"printf", "%s\\n", "from command; $HOME"}}, "from command; $HOME"},
		{"keyring", Reference{Service: "spanctl", User: "ops"}, "from keyring"},
		{"literal", Reference{Literal: NewSecret("text")}, "text"},
		{"none", Reference{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Credential{Password: tt.give}.Resolve(t.Context())
			if err != nil || l.Password.Reveal() != tt.want || len(l.Warnings) > 0 {
				t.Errorf("got %q, warnings %v, %v; want %q", l.Password.Reveal(), l.Warnings, err, tt.want)
			}
		})
	}
	bad := []struct {
		name string
		give Reference
		want string
	}{
		{"env not set", Reference{Env: "SPANCTL_TEST_NOT_SET"}, "password: environment variable SPANCTL_TEST_NOT_SET: is empty or not set"},
		{"no file", Reference{File: filepath.Join(dir, "none")}, "none: no such file or directory"},
		{"directory", Reference{File: dir}, "is a directory"},
		{"empty file", Reference{File: file("e", "\n", 0o600)}, "is empty or not set"},
		{"large file", Reference{File: file("l", strings.Repeat("x", maxSecret+1), 0o600)}, "is larger than 65536 bytes"},
		{"command fails", Reference{Command: []string{"sh", "-c", "echo secret-output; echo locked >&2; echo more >&2; exit 3"}}, "command sh: exit status 3: locked"},
		{"no command", Reference{Command: []string{"spanctl-no-such-program"}}, "executable file not found"},
		{"slow command", Reference{Command: []string{"sleep", "60"}, Timeout: 50 * time.Millisecond}, "command sleep: took longer than 50ms"},
		{"command whose child holds the pipe", Reference{Command: []string{"sh", "-c", "sleep 60 & sleep 60"}, Timeout: 50 * time.Millisecond}, "took longer than 50ms"},
		{"no keyring entry", Reference{Service: "spanctl", User: "nobody"}, "keyring entry nobody of spanctl: secret not found in keyring"},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, err := Credential{Password: tt.give}.Resolve(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret-output") {
				t.Errorf("got error %v, want one with %q and no output", err, tt.want)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func TestResolveStopsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Credential{Password: Reference{Command: []string{"sleep", "60"}}}).Resolve(ctx); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got error %v, want the context's", err)
	}
}

func TestSecretFileMode(t *testing.T) {
	for mode, warn := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o644: true} {
		f := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f, mode); err != nil {
			t.Fatal(err)
		}
		l, err := Credential{Username: Reference{File: f}}.Resolve(t.Context())
		if err != nil || (len(l.Warnings) == 1) != warn {
			t.Errorf("mode %04o: got warnings %v, %v; want one: %t", mode, l.Warnings, err, warn)
		}
	}
}
