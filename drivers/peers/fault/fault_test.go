package fault

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTake(t *testing.T) {
	s := Set{RefuseText: "% Error", LogText: "%LOG"}
	spec := `{"delay": "1ms", "maxLogins": 2, "lines": [
		{"line": "^show", "action": "refuse", "times": 1},
		{"line": "^show", "action": "delay", "delay": "50ms"},
		{"line": "x$", "action": "log", "text": "hello\n"},
		{"line": "x$", "action": "log"},
		{"action": "forget", "times": 2}]}`
	var give Spec
	if err := json.Unmarshal([]byte(spec), &give); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(give); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line string
		want Outcome
	}{
		{"show x", Outcome{Refuse: "% Error\n", Log: "hello\n%LOG\n", Forget: true, Delay: 51 * time.Millisecond}},
		{"show y", Outcome{Forget: true, Delay: 51 * time.Millisecond}},
		{"other", Outcome{Delay: time.Millisecond}},
	} {
		if d := cmp.Diff(tt.want, s.Take(tt.line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
	}
	if !s.Admit(1) || s.Admit(2) {
		t.Error("want two connections admitted and no third")
	}
	for name, bad := range map[string]Fault{
		"action": {Action: "explode"}, "line": {Action: Hang, Line: "("}, "times": {Action: Hang, Times: -1},
	} {
		if err := s.Replace(Spec{Lines: []Fault{bad}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if d := cmp.Diff(Outcome{Delay: time.Millisecond}, s.Take("other")); d != "" {
		t.Errorf("after a spec that was refused (-want +got):\n%s", d)
	}
	if err := s.Replace(Spec{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Outcome{}, s.Take("show x")); d != "" || !s.Admit(99) {
		t.Errorf("healed (-want +got):\n%s", d)
	}
	if err := json.Unmarshal([]byte(`{"delay": "-1s"}`), &give); err == nil {
		t.Error("a negative delay: no error")
	}
}

func TestInterrupt(t *testing.T) {
	if got, want := interrupt("a\nb\nc\n", "LOG\n"), "a\nb\nLOG\nc\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
