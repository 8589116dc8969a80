package transport

import (
	"regexp"
	"strings"
	"testing"
)

func TestProfileValidate(t *testing.T) {
	good := Profile{Name: "x", Prompt: regexp.MustCompile(`^\S+# $`), Open: []string{"a"}, Marker: "  ",
		Questions: []Question{{Pattern: regexp.MustCompile(`\?$`)}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Profile{Name: "x", Exec: regexp.MustCompile(`#`), Open: []string{"a\nb"}, Marker: " !", Columns: -1,
		Questions: make([]Question, 1), Privilege: &Privilege{Command: "enable"}}
	err := bad.Validate()
	for _, want := range []string{"no prompt", "exec", "more than one line", "marker", "columns", "a question", "privilege"} {
		if err == nil || !strings.Contains(err.Error(), `profile "x": `) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
