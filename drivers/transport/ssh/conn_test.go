package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
)

func reqs(texts ...string) []transport.Request {
	var rs []transport.Request
	for _, s := range texts {
		rs = append(rs, transport.Request{Text: s})
	}
	return rs
}

func texts(rs []transport.Reply) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Text)
	}
	return out
}

// apply is a change with a commit.
func apply() []transport.Step {
	return []transport.Step{
		{Phase: transport.Enter, Text: "configure session sp-web"},
		{Phase: transport.Edit, Text: "no monitor session web", Session: "web"},
		{Phase: transport.Edit, Text: "monitor session web source Ethernet1 rx", Session: "web"},
		{Phase: transport.Edit, Text: "monitor session web destination Ethernet48", Session: "web"},
		{Phase: transport.Commit, Text: "commit"},
	}
}

var opening = []string{"enable", "terminal length 0", "terminal width 32767"}

// says makes a fixed answer.
func says(text string) func(*testShell, *switchCLI) string {
	return func(*testShell, *switchCLI) string { return text }
}

type answers = map[string]func(*testShell, *switchCLI) string

// failure is what is compared of a *transport.Error.
type failure struct {
	Kind    transport.Kind
	Step    string
	Reply   string
	Sent    int
	InDoubt bool
}

func failureOf(t testing.TB, err error) failure {
	t.Helper()
	var te *transport.Error
	if !errors.As(err, &te) {
		t.Fatalf("got %v (%T), want a *transport.Error", err, err)
	}
	f := failure{Kind: te.Kind, Reply: te.Reply, Sent: te.Sent, InDoubt: te.InDoubt}
	if te.Step != nil {
		f.Step = te.Step.Redacted()
	}
	return f
}

func TestReadAndSend(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1", banner: "Welcome to leaf1#\n"}.serve)
	c := dial(t, optionsFor(t, srv))
	got, err := c.Read(t.Context(), reqs("show version", "show running-config"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Version 4.30\nUptime: 3 days", "you asked for running-config"}
	if d := cmp.Diff(want, texts(got)); d != "" {
		t.Errorf("Read (-want +got):\n%s", d)
	}
	if err := c.Send(t.Context(), apply()); err != nil {
		t.Error(err)
	}
	want = append(opening, "show version", "show running-config", "   ")
	for _, s := range apply() {
		want = append(want, s.Text)
	}
	if d := cmp.Diff(want, srv.lines()); d != "" {
		t.Errorf("typed (-want +got):\n%s", d)
	}
}

// TestOutputs reads what is hard to read. The answer to "show x" is followed by
// another, which must come back whole.
func TestOutputs(t *testing.T) {
	big := strings.Repeat(strings.Repeat("interface Ethernet1/1 ", 10)+"\n", 10<<20/221)
	tests := []struct {
		name string
		say  func(sh *testShell, c *switchCLI) string
		cli  switchCLI
		edit func(o *Options)
		want string
	}{
		{name: "prompts", say: says("leaf1#\nleaf2#show y\nleaf1#show z\nleaf1>\n"), want: "leaf1#\nleaf2#show y\nleaf1#show z\nleaf1>"},
		{name: "host name with prompt characters", cli: switchCLI{host: "a#b>c"}, say: says("a#b>c#\n"), want: "a#b>c#"},
		{name: "prompt, then a pause", say: func(sh *testShell, _ *switchCLI) string {
			sh.print("one\nleaf1#")
			time.Sleep(300 * time.Millisecond)
			sh.print("\nleaf1#\nleaf1#")
			time.Sleep(300 * time.Millisecond)
			return "\ntwo\n"
		}, want: "one\nleaf1#\nleaf1#\nleaf1#\ntwo"},
		{name: "question and pager, then a pause", say: func(sh *testShell, _ *switchCLI) string {
			sh.print("description [y/n]")
			time.Sleep(50 * time.Millisecond)
			sh.print(" or\n--More--")
			time.Sleep(50 * time.Millisecond)
			return " or less\n"
		}, want: "description [y/n] or\n--More-- or less"},
		{name: "byte by byte", say: func(sh *testShell, _ *switchCLI) string {
			for _, c := range []byte("leaf1#\r\n\x1b[1mbold\x1b[0m\r\nxy\b\bab\r\n") {
				_, _ = sh.ch.Write([]byte{c})
				time.Sleep(2 * time.Millisecond)
			}
			return ""
		}, want: "leaf1#\nbold\nab"},
		{name: "log line", say: says("one\nNov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOT: leaf1#\ntwo\n"), want: "one\ntwo"},
		{name: "10 MB", say: says(big), want: strings.TrimSuffix(strings.TrimRight(big, "\n"), " ")},
		{name: "10 MB in one line", say: says(strings.Repeat("x", 10<<20) + "\n"), want: strings.Repeat("x", 10<<20)},
		{name: "nothing", say: says("")},
		{name: "one line at a time", say: says("leaf1\n"), edit: func(o *Options) { o.Profile.OneAtATime = true }, want: "leaf1"},
		{name: "no early input", say: says("leaf1#\n"), cli: switchCLI{banner: "Do not type too early!#\n\nleaf1# is mine\n"},
			edit: func(o *Options) { o.Profile.EarlyInput = false }, want: "leaf1#"},
		{name: "carriage return", say: says("a\n"), edit: func(o *Options) { o.Profile.Return = "\r" }, want: "a"},
		{name: "plain marker", say: says("leaf1#\nb\n"), edit: func(o *Options) { o.Profile.Marker = "" }, want: "leaf1#\nb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cli.host == "" {
				tt.cli.host = "leaf1"
			}
			tt.cli.say = answers{"show x": tt.say}
			o := optionsFor(t, serve(t, tt.cli.serve))
			if tt.edit != nil {
				tt.edit(&o)
			}
			c := dial(t, o)
			for range 2 {
				got, err := c.Read(t.Context(), reqs("show x", "show y"))
				if err != nil {
					t.Fatal(err)
				}
				want := []string{tt.want, "you asked for y"}
				if d := cmp.Diff(want, texts(got)); d != "" {
					t.Errorf("(-want +got):\n%.2000s", d)
				}
			}
		})
	}
}

// TestPager reads from a device that pages although it was told not to.
func TestPager(t *testing.T) {
	page := func(sh *testShell, _ *switchCLI) string {
		for i := range 3 {
			sh.print(fmt.Sprintf("line %d\n --More-- ", i))
			if c, err := sh.in.ReadByte(); err != nil || c != ' ' {
				return "Q\n"
			}
			sh.print([]string{"\b\b\b\b\b\b\b\b\b\b          \b\b\b\b\b\b\b\b\b\b", "\r\x1b[K", "\r          \r"}[i])
		}
		return ""
	}
	srv := serve(t, switchCLI{host: "leaf1", say: answers{"show x": page}}.serve)
	o := optionsFor(t, srv)
	o.Profile.OneAtATime = true
	c := dial(t, o)
	got, err := c.Read(t.Context(), reqs("show x", "show x", "show y"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"line 0\nline 1\nline 2", "line 0\nline 1\nline 2", "you asked for y"}
	if d := cmp.Diff(want, texts(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	// Typed ahead, the next lines would be keys to the pager.
	o.Profile.OneAtATime = false
	c = dial(t, o)
	_, err = c.Read(t.Context(), reqs("show x", "show y"))
	if got := failureOf(t, err); got.Kind != transport.Protocol && got.Kind != transport.Timeout || got.Step != "show x" {
		t.Errorf("typed ahead: %v", err)
	}
}

func TestReadRefused(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1", say: answers{
		"show a": says("          ^\n% Invalid input at '^' marker.\n"),
		"show b": says("config\n1\n2\n3\n4\n% not a refusal\n"),
		"show c": says("% Configuration is locked by admin\n"),
	}}.serve)
	c := dial(t, optionsFor(t, srv))
	rs := append([]transport.Request{{Text: "show a", Optional: true}}, reqs("show b", "show y")...)
	got, err := c.Read(t.Context(), rs)
	if err != nil {
		t.Fatal(err)
	}
	want := []transport.Reply{
		{Request: rs[0], Err: "          ^\n% Invalid input at '^' marker."},
		{Request: rs[1], Text: "config\n1\n2\n3\n4\n% not a refusal"},
		{Request: rs[2], Text: "you asked for y"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("optional (-want +got):\n%s", d)
	}
	for _, tt := range []struct {
		give string
		want failure
	}{
		{"show a", failure{Kind: transport.Rejected, Step: "show a", Reply: "          ^\n% Invalid input at '^' marker."}},
		{"show c", failure{Kind: transport.Busy, Step: "show c", Reply: "% Configuration is locked by admin"}},
		{"show\ty", failure{Kind: transport.Protocol, Step: "show\ty"}},
		{"show ?", failure{Kind: transport.Protocol, Step: "show ?"}},
	} {
		_, err := c.Read(t.Context(), reqs("show y", tt.give, "show y"))
		if d := cmp.Diff(tt.want, failureOf(t, err)); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.give, d)
		}
	}
	if _, err := c.Read(t.Context(), reqs("show y")); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestReadBroken(t *testing.T) {
	cases := answers{
		"cut":  func(sh *testShell, _ *switchCLI) string { sh.print("half\n"); _ = sh.raw.Close(); return "" },
		"hang": func(sh *testShell, _ *switchCLI) string { sh.print("half\n"); time.Sleep(time.Second); return "" },
	}
	for name, say := range cases {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, serve(t, switchCLI{host: "leaf1", say: answers{"show x": say}}.serve))
			o.StepTimeout = 200 * time.Millisecond
			c := dial(t, o)
			got, err := c.Read(t.Context(), reqs("show y", "show x"))
			want := failure{Kind: map[string]transport.Kind{"cut": transport.Unreachable, "hang": transport.Timeout}[name], Step: "show x"}
			if d := cmp.Diff(want, failureOf(t, err)); d != "" || got != nil {
				t.Errorf("%v, %v (-want +got):\n%s", got, err, d)
			}
			if _, err := c.Read(t.Context(), reqs("show y")); failureOf(t, err).Kind != transport.Unreachable {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestEndless: an answer without an end does not eat the memory.
func TestEndless(t *testing.T) {
	c := dial(t, optionsFor(t, serve(t, switchCLI{host: "leaf1", say: answers{"show x": func(sh *testShell, _ *switchCLI) string {
		for b := bytes.Repeat([]byte("a long line of nothing in particular\r\n"), 1<<10); ; {
			if _, err := sh.ch.Write(b); err != nil {
				return ""
			}
		}
	}}}.serve)))
	_, err := c.Read(t.Context(), reqs("show x"))
	if got := failureOf(t, err); got.Kind != transport.Protocol || got.Step != "show x" {
		t.Errorf("got %v", err)
	}
}

// TestCancel ends ctx in every phase. goleak sees to what is left behind.
func TestCancel(t *testing.T) {
	hang := func(entered chan<- struct{}) func(*testShell, *switchCLI) string {
		return func(sh *testShell, _ *switchCLI) string {
			close(entered)
			for {
				if _, err := sh.in.ReadByte(); err != nil {
					return ""
				}
			}
		}
	}
	send := func(ctx context.Context, c *Conn) error { return c.Send(ctx, apply()) }
	read := func(ctx context.Context, c *Conn) error {
		_, err := c.Read(ctx, reqs("show x", "show y"))
		return err
	}
	tests := []struct {
		line string
		do   func(context.Context, *Conn) error
		want failure
	}{
		{"terminal length 0", read, failure{Kind: transport.Canceled, Step: "terminal length 0"}},
		{"terminal length 0", send, failure{Kind: transport.Canceled, Step: "terminal length 0"}},
		{"show y", read, failure{Kind: transport.Canceled, Step: "show y"}},
		{apply()[0].Text, send, failure{Kind: transport.Canceled, Step: apply()[0].Text, InDoubt: true}},
		{apply()[3].Text, send, failure{Kind: transport.Canceled, Step: apply()[3].Text, Sent: 3, InDoubt: true}},
		{"commit", send, failure{Kind: transport.Canceled, Step: "commit", Sent: 4, InDoubt: true}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			entered := make(chan struct{})
			c := dial(t, optionsFor(t, serve(t, switchCLI{host: "leaf1", say: answers{tt.line: hang(entered)}}.serve)))
			ctx, cancel := context.WithCancel(t.Context())
			var start time.Time
			go func() {
				<-entered
				time.Sleep(100 * time.Millisecond) // for the answers before it to arrive
				start = time.Now()
				cancel()
			}()
			err := tt.do(ctx, c)
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("returned %v after ctx ended", took)
			}
			if d := cmp.Diff(tt.want, failureOf(t, err)); d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v is not context.Canceled", err)
			}
			if err := tt.do(t.Context(), c); failureOf(t, err).Kind != transport.Unreachable {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	t.Run("before", func(t *testing.T) {
		c := dial(t, optionsFor(t, serve(t, switchCLI{host: "leaf1"}.serve)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if d := cmp.Diff(failure{Kind: transport.Canceled, Step: "enable"}, failureOf(t, read(ctx, c))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if err := read(t.Context(), c); err != nil {
			t.Errorf("nothing was sent, so the connection is of use: %v", err)
		}
	})
}

func TestPrivilege(t *testing.T) {
	asks := func(right string) func(*testShell, *switchCLI) string {
		return func(sh *testShell, c *switchCLI) string {
			for range 3 {
				sh.print("Password: ")
				s, _ := sh.read(false)
				if s == right {
					c.mark = "#"
					return ""
				}
				if s == "\x03" {
					return ""
				}
			}
			return "% Bad secret\n"
		}
	}
	tests := []struct {
		name   string
		mark   string
		say    answers
		secret Secret
		want   string // in the error, "" for none
	}{
		{"has the rights", "#", nil, nil, ""},
		{"without a secret", ">", nil, nil, ""},
		{"with a secret", ">", answers{"enable": asks("hush")}, secret("hush"), ""},
		{"with a secret, not needed", ">", nil, secret("hush"), ""},
		{"with a secret, has the rights", "#", answers{"enable": asks("hush")}, secret("hush"), ""},
		{"no secret is known", ">", answers{"enable": asks("hush")}, nil, `"enable" asks for a secret`},
		{"wrong secret", ">", answers{"enable": asks("hush")}, secret("wrong"), "the enable secret was refused"},
		{"refused", ">", answers{"enable": says("% Not for you\n")}, nil, "% Not for you"},
		{"refused, with a secret", ">", answers{"enable": says("% Not for you\n")}, secret("hush"), "% Not for you"},
		{"secret not to be had", ">", answers{"enable": asks("hush")},
			func(context.Context) (string, error) { return "", errors.New("the keyring is locked") }, "the keyring is locked"},
	}
	for _, tt := range tests {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, early), func(t *testing.T) {
				o := optionsFor(t, serve(t, switchCLI{host: "leaf1", mark: tt.mark, say: tt.say}.serve))
				o.EnableSecret, o.Profile.EarlyInput, o.StepTimeout = tt.secret, early, time.Second
				c, err := Dial(t.Context(), o)
				if err == nil {
					defer c.Close()
					_, err = c.Read(t.Context(), reqs("show x"))
				}
				if tt.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) || failureOf(t, err).Kind != transport.Auth {
					t.Errorf("got %v, want auth with %q", err, tt.want)
				}
				if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "wrong\"")) {
					t.Errorf("the secret is in %v", err)
				}
			})
		}
	}
}

// TestAbovePrompt drives a command line whose prompt has two lines.
func TestAbovePrompt(t *testing.T) {
	srv := serve(t, func(sh *testShell) {
		sh.print("\n[edit]\nadmin@r1# ")
		for {
			line, ok := sh.read(true)
			if !ok {
				return
			}
			if line == "show x" {
				sh.print("x {\n    y;\n}\n")
			}
			sh.print("\n[edit]\nadmin@r1# ")
		}
	})
	o := optionsFor(t, srv)
	o.Profile = &transport.Profile{Name: "two", Prompt: regexp.MustCompile(`^(?P<host>[\w@]+)# $`), Above: regexp.MustCompile(`^\[edit.*\]$`), EarlyInput: true}
	c := dial(t, o)
	got, err := c.Read(t.Context(), reqs("show x", "show y"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"x {\n    y;\n}", ""}, texts(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := c.Send(t.Context(), []transport.Step{{Phase: transport.Edit, Text: "set a"}, {Phase: transport.Commit, Text: "commit"}}); err != nil {
		t.Error(err)
	}
}
