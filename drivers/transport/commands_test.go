package transport

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scripted answers commands by their text and refuses to know others.
type scripted struct {
	results map[string]Result
	fails   map[string]error
	ran     []string
	closed  bool
}

func (s *scripted) Run(_ context.Context, command string) (Result, error) {
	s.ran = append(s.ran, command)
	if err := s.fails[command]; err != nil {
		return Result{}, err
	}
	res, ok := s.results[command]
	if !ok {
		return Result{Status: 127, Stderr: "sh: " + command + ": not found\n"}, nil
	}
	return res, nil
}

func (s *scripted) Close() error { s.closed = true; return nil }

func TestCommandsRead(t *testing.T) {
	r := &scripted{results: map[string]Result{
		"list":   {Stdout: "a\nb\n", Stderr: "a warning\n"},
		"broken": {Stdout: "half", Stderr: "broken: no\n", Status: 1},
		"dumb":   {Status: 142},
	}}
	c := Commands{r}
	got, err := c.Read(t.Context(), []Request{{Text: "list"}, {Text: "broken", Optional: true}, {Text: "dumb", Optional: true}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Reply{
		{Request: Request{Text: "list"}, Text: "a\nb\n"},
		{Request: Request{Text: "broken", Optional: true}, Err: "broken: no"},
		{Request: Request{Text: "dumb", Optional: true}, Err: "exit status 142"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	_, err = c.Read(t.Context(), []Request{{Text: "list"}, {Text: "broken"}, {Text: "list"}})
	var te *Error
	if !errors.As(err, &te) || te.Kind != Rejected || te.Reply != "broken: no" || te.Step == nil || te.Step.Text != "broken" {
		t.Errorf("refused: %#v", err)
	}
	if n := len(r.ran); n != 5 {
		t.Errorf("%d commands were run, want 5: %q", n, r.ran)
	}
	if _, err = c.Read(t.Context(), []Request{{Text: "missing"}}); !errors.As(err, &te) || te.Hint == "" {
		t.Errorf("a program that is not there: %#v", err)
	}
	if err := c.Close(); err != nil || !r.closed {
		t.Errorf("close: %v, %v", err, r.closed)
	}
}

func TestCommandsSend(t *testing.T) {
	gone := &Error{Kind: Unreachable, InDoubt: true, Err: errors.New("broke")}
	tests := []struct {
		name  string
		steps []Step
		want  *Error // Kind, Reply, Sent, InDoubt
		ran   []string
	}{
		{"output does not matter", []Step{{Text: "make"}, {Text: "quiet"}}, nil, []string{"make", "quiet"}},
		{"status", []Step{{Text: "quiet"}, {Text: "fail"}, {Text: "make"}}, &Error{Kind: Rejected, Reply: "no such thing", Sent: 1}, []string{"quiet", "fail"}},
		{"status without a word", []Step{{Text: "alarm"}}, &Error{Kind: Rejected, Reply: "exit status 142"}, []string{"alarm"}},
		{"complaint", []Step{{Text: "complain"}, {Text: "make"}}, &Error{Kind: Rejected, Reply: "Error detected"}, []string{"complain"}},
		{"accepted complaint", []Step{{Text: "complain", Accept: "^Error detected$"}}, nil, []string{"complain"}},
		{"a status is not accepted away", []Step{{Text: "fail", Accept: "."}}, &Error{Kind: Rejected, Reply: "no such thing"}, []string{"fail"}},
		{"secret", []Step{{Text: "fail", Secret: true}}, &Error{Kind: Rejected, Reply: withheld}, []string{"fail"}},
		{"lost", []Step{{Text: "make"}, {Text: "gone"}, {Text: "make"}}, &Error{Kind: Unreachable, Sent: 1, InDoubt: true}, []string{"make", "gone"}},
		{"bad pattern", []Step{{Text: "make"}, {Text: "quiet", Accept: "("}}, &Error{Kind: Protocol}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &scripted{results: map[string]Result{
				"make": {Stdout: "made\n"}, "quiet": {}, "fail": {Stdout: "x", Stderr: "no such thing\n", Status: 1},
				"complain": {Stderr: "Error detected\n"}, "alarm": {Status: 142},
			}, fails: map[string]error{"gone": gone}}
			err := Commands{r}.Send(t.Context(), tt.steps)
			if !slices.Equal(r.ran, tt.ran) {
				t.Errorf("ran %q, want %q", r.ran, tt.ran)
			}
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var te *Error
			if !errors.As(err, &te) {
				t.Fatalf("got %v", err)
			}
			got := Error{Kind: te.Kind, Reply: te.Reply, Sent: te.Sent, InDoubt: te.InDoubt}
			if d := cmp.Diff(*tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if te.Step == nil {
				t.Error("the error does not tell the step")
			}
			if gone.Step != nil {
				t.Error("the runner's error was written to")
			}
		})
	}
}
