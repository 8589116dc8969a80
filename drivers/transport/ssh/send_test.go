package ssh

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
)

// TestSendRefused: what is typed, what is not, and that the connection is in exec
// mode afterwards.
func TestSendRefused(t *testing.T) {
	live := []transport.Step{
		{Phase: transport.Enter, Text: "configure"},
		{Phase: transport.Edit, Text: "monitor session 1 source a"},
		{Phase: transport.Edit, Text: "monitor session 1 source b", Accept: `^% Warning`},
		{Phase: transport.Edit, Text: "monitor session 1 destination c"},
		{Phase: transport.Leave, Text: "end"},
	}
	hidden := apply()
	hidden[2].Secret = true
	yes := apply()
	yes[4].Text = "commit asking"
	tests := []struct {
		name  string
		steps []transport.Step
		say   answers
		want  failure
		typed []string // of the steps, and Home
	}{
		{
			"candidate", apply(), answers{apply()[2].Text: says("% Interface does not exist\n")},
			failure{Kind: transport.Rejected, Step: apply()[2].Text, Reply: "% Interface does not exist", Sent: 2},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text, "end"},
		},
		{
			"any answer is a refusal", apply(), answers{apply()[3].Text: says("Done.\n")},
			failure{Kind: transport.Rejected, Step: apply()[3].Text, Reply: "Done.", Sent: 3},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text, "end"},
		},
		{
			"commit", apply(), answers{"commit": says("% Cannot commit\n")},
			failure{Kind: transport.Rejected, Step: "commit", Reply: "% Cannot commit", Sent: 4},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text, "commit", "end"},
		},
		{
			"enter, busy", apply(), answers{apply()[0].Text: says("% Configuration is locked by admin\n")},
			failure{Kind: transport.Busy, Step: apply()[0].Text, Reply: "% Configuration is locked by admin"},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text},
		},
		{
			"live: nothing after the refusal", live, answers{live[1].Text: says("% In use\n"), live[2].Text: says("% Warning: x\n")},
			failure{Kind: transport.Rejected, Step: live[1].Text, Reply: "% In use", Sent: 1},
			[]string{live[0].Text, live[1].Text, "end"},
		},
		{
			"live: accepted answer", live, answers{live[2].Text: says("% Warning: x\n"), live[3].Text: says("% In use\n")},
			failure{Kind: transport.Rejected, Step: live[3].Text, Reply: "% In use", Sent: 3},
			[]string{live[0].Text, live[1].Text, live[2].Text, live[3].Text, "end"},
		},
		{
			"question", live, answers{live[1].Text: func(sh *testShell, _ *switchCLI) string {
				sh.print("This cuts a link. Go on? [y/n]")
				if s, _ := sh.read(true); s == "n" {
					return "aborted\n"
				}
				return "done\n"
			}},
			failure{Kind: transport.Rejected, Step: live[1].Text, Reply: "This cuts a link. Go on? [y/n]", Sent: 1},
			[]string{live[0].Text, live[1].Text, "n", "end"},
		},
		{
			"secret", hidden, answers{hidden[2].Text: says("% Invalid input 'Ethernet1'\n")},
			failure{Kind: transport.Rejected, Step: "<secret>", Reply: withheld, Sent: 2},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text, "end"},
		},
		{
			"secret in the answer to another step", hidden, answers{hidden[3].Text: says("% conflicts with " + hidden[2].Text + "\n")},
			failure{Kind: transport.Rejected, Step: hidden[3].Text, Reply: "% conflicts with <secret>", Sent: 3},
			[]string{apply()[0].Text, apply()[1].Text, apply()[2].Text, apply()[3].Text, "end"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, switchCLI{host: "leaf1", say: tt.say}.serve)
			var log bytes.Buffer
			o := optionsFor(t, srv)
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := dial(t, o)
			err := c.Send(t.Context(), tt.steps)
			if d := cmp.Diff(tt.want, failureOf(t, err)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(append(opening, tt.typed...), srv.lines()); d != "" {
				t.Errorf("typed (-want +got):\n%s", d)
			}
			for _, s := range tt.steps {
				if s.Secret && strings.Contains(err.Error()+log.String(), s.Text) {
					t.Errorf("the secret is in %q or %q", err, log.String())
				}
			}
			if strings.Contains(log.String(), "right") {
				t.Errorf("the password is in %q", log.String())
			}
			if _, err := c.Read(t.Context(), reqs("show version")); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestLastWords: an answer that came before the connection ended counts.
func TestLastWords(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1", say: answers{"commit": func(sh *testShell, _ *switchCLI) string {
		sh.print("leaf1#")
		_ = sh.raw.Close()
		return ""
	}}}.serve)
	for range 20 {
		c := dial(t, optionsFor(t, srv))
		if err := c.Send(t.Context(), apply()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if err := c.Send(t.Context(), apply()); failureOf(t, err).Kind != transport.Unreachable {
			t.Fatalf("afterwards: %v", err)
		}
	}
}

// TestQuestionTypedAhead: lines that were typed ahead may have answered; the
// connection must not go on.
func TestQuestionTypedAhead(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1", say: answers{apply()[1].Text: func(sh *testShell, _ *switchCLI) string {
		sh.print("Sure? [y/n]")
		_, _ = sh.read(true)
		return ""
	}}}.serve)
	c := dial(t, optionsFor(t, srv))
	err := c.Send(t.Context(), apply())
	want := failure{Kind: transport.Protocol, Step: apply()[1].Text, Reply: "Sure? [y/n]", Sent: 1, InDoubt: true}
	if d := cmp.Diff(want, failureOf(t, err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := c.Send(t.Context(), apply()); failureOf(t, err).Kind != transport.Unreachable || failureOf(t, err).InDoubt {
		t.Errorf("afterwards: %v", err)
	}
}

// TestBroken: hangs and cuts, before and after a step took effect.
func TestBroken(t *testing.T) {
	cut := func(sh *testShell, _ *switchCLI) string { _ = sh.raw.Close(); return "" }
	bye := func(sh *testShell, _ *switchCLI) string {
		sh.print("% Goodbye\n")
		_ = sh.raw.Close()
		return ""
	}
	hang := func(sh *testShell, _ *switchCLI) string { _, _ = sh.in.ReadByte(); return "" }
	steps := apply()
	tests := []struct {
		name string
		say  answers
		want failure
	}{
		{"cut in an edit", answers{steps[2].Text: cut}, failure{Kind: transport.Unreachable, Step: steps[2].Text, Sent: 2, InDoubt: true}},
		{"cut at the commit", answers{"commit": cut}, failure{Kind: transport.Unreachable, Step: "commit", Sent: 4, InDoubt: true}},
		{"last words", answers{"commit": bye}, failure{Kind: transport.Unreachable, Step: "commit", Sent: 4, InDoubt: true}},
		{"hang in the commit", answers{"commit": hang}, failure{Kind: transport.Timeout, Step: "commit", Sent: 4, InDoubt: true}},
		{"hang in an edit", answers{steps[1].Text: func(sh *testShell, _ *switchCLI) string { time.Sleep(time.Second); return "" }},
			failure{Kind: transport.Timeout, Step: steps[1].Text, Sent: 1, InDoubt: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := optionsFor(t, serve(t, switchCLI{host: "leaf1", say: tt.say}.serve))
			o.StepTimeout = 300 * time.Millisecond
			c := dial(t, o)
			err := c.Send(t.Context(), steps)
			if d := cmp.Diff(tt.want, failureOf(t, err)); d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
			if err := c.Send(t.Context(), steps); failureOf(t, err).Kind != transport.Unreachable || failureOf(t, err).InDoubt {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestLongScript types more than a terminal holds.
func TestLongScript(t *testing.T) {
	ahead := 0
	srv := serve(t, switchCLI{host: "leaf1", say: answers{apply()[0].Text: func(sh *testShell, c *switchCLI) string {
		time.Sleep(100 * time.Millisecond)
		_, _ = sh.in.Peek(1)
		ahead = sh.in.Buffered()
		return c.answer(apply()[0].Text)
	}}}.serve)
	c := dial(t, optionsFor(t, srv))
	steps := []transport.Step{apply()[0]}
	var want []string
	for i := range 2000 {
		steps = append(steps, transport.Step{Phase: transport.Edit, Text: fmt.Sprintf("monitor session s%d source Ethernet%d", i, i)})
	}
	steps = append(steps, apply()[4])
	for _, s := range steps {
		want = append(want, s.Text)
	}
	if err := c.Send(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(append(opening, want...), srv.lines()); d != "" {
		t.Errorf("typed (-want +got):\n%.1000s", d)
	}
	if ahead < 1000 || ahead > 4096 {
		t.Errorf("%d bytes were typed ahead; a terminal holds 4096", ahead)
	}
}
