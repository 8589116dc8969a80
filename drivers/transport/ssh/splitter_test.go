package ssh

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// split feeds what a device prints, in pieces of n bytes (0: at once), to a
// splitter that was told of lines. It gives what happened. A question or a pager
// counts at the end of the input only, where the device is quiet.
func split(lines []string, marker bool, printed string, n int) []string {
	s := newSplitter(testProfile())
	for _, l := range lines {
		s.expect(l, false)
	}
	if marker {
		s.expect(s.p.Marker, true)
	}
	var got []string
	note := func(quiet bool) {
		for {
			e := s.next(quiet)
			switch e.kind {
			case none:
				return
			case answered:
				got = append(got, e.prompt+" "+e.line.text+": "+e.text)
			case paging:
				got = append(got, "pager")
			case asked:
				got = append(got, "asked "+e.text)
			case swallowed:
				got = append(got, "swallowed "+e.text)
			}
		}
	}
	var scr screen
	if n == 0 {
		n = len(printed)
	}
	for rest := []byte(printed); len(rest) > 0; {
		k := min(n, len(rest))
		s.feed(scr.clean(nil, rest[:k]))
		rest = rest[k:]
		note(false)
	}
	note(true)
	return got
}

func TestSplitter(t *testing.T) {
	const login = "Welcome to leaf1#\r\nlast login from leaf1#\r\n"
	tests := []struct {
		name   string
		lines  []string
		marker bool
		give   string
		want   []string
	}{
		{
			"two answers and the marker", []string{"show a", "show b"}, true,
			login + "leaf1#show a\r\nA1\r\nA2\r\nleaf1#show b\r\nB\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a: A1\nA2", "leaf1# show b: B"},
		},
		{
			"no answer yet", []string{"show a", "show b"}, true,
			"leaf1#show a\r\nA1\r\nleaf1#",
			nil,
		},
		{
			"the end only with the marker", []string{"show a"}, true,
			"leaf1#show a\r\nA1\r\nleaf1#\r\nleaf1#",
			nil,
		},
		{
			"prompts and an echo inside an answer", []string{"show log", "show b"}, true,
			"leaf1#show log\r\nleaf1#\r\nspine1#show b\r\nleaf1# show c\r\nuser: show b\r\nleaf1#\r\nleaf1#show b\r\nB\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show log: leaf1#\nspine1#show b\nleaf1# show c\nuser: show b\nleaf1#", "leaf1# show b: B"},
		},
		{
			"what looks like the marker inside an answer", []string{"show a"}, true,
			"leaf1#show a\r\nleaf1#   \r\nmore\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a: leaf1#   \nmore"},
		},
		{
			"modes, without a marker", []string{"configure session x", "monitor session w source Et1", "end"}, false,
			"leaf1#configure session x\r\nleaf1(config-s-x)#monitor session w source Et1\r\n% Invalid input\r\nleaf1(config-s-x)#end\r\nleaf1#",
			[]string{"leaf1# configure session x: ", "leaf1(config-s-x)# monitor session w source Et1: % Invalid input", "leaf1(config-s-x)# end: "},
		},
		{
			"host name with prompt characters", []string{"show a"}, true,
			"sw#1>a#show a\r\nA\r\nsw#1>a#   \r\nsw#1>a#",
			[]string{"sw#1>a# show a: A"},
		},
		{
			"host name cut in a deeper mode", []string{"configure session x", "end"}, false,
			"a-very-long-host-name#configure session x\r\na-very-long-host(config-s-x)#end\r\na-very-long-host-name#",
			[]string{"a-very-long-host-name# configure session x: ", "a-very-long-host(config-s-x)# end: "},
		},
		{
			"log line in an answer", []string{"show a"}, true,
			"leaf1#show a\r\nA1\r\nNov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOT: x\r\nA2\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a: A1\nA2"},
		},
		{
			"log line at the waiting prompt, which is shown again", []string{"show a", "show b"}, true,
			"leaf1#show a\r\nA\r\nleaf1#\r\nNov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOT: x\r\nleaf1#show b\r\nB\r\nleaf1#   \r\nNov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOT: y\r\nleaf1#",
			[]string{"leaf1# show a: A", "leaf1# show b: B"},
		},
		{
			"log line at the waiting prompt, which is not shown again", []string{"show a", "show b"}, true,
			"leaf1#show a\r\nA\r\nleaf1#\r\nNov  3 10:00:00 leaf1 Stp: %SPANTREE-6-ROOT: x\r\nshow b\r\nB\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a: A", "leaf1# show b: B"},
		},
		{
			"escape sequences", []string{"show a"}, true,
			"\x1b[?2004h\x1b[1mleaf1#\x1b[0m\x1b[K" + "show a\r\n\x1b[32mA\x1b[0m\r\nleaf1#   \r\n\x1b[?2004hleaf1#",
			[]string{"leaf1# show a: A"},
		},
		{
			"pager, erased by spaces, then by backspaces", []string{"show a"}, false,
			"leaf1#show a\r\nA1\r\n --More-- \r          \rA2\r\n --More-- \b\b\b\b\b\b\b\b\b\b          \b\b\b\b\b\b\b\b\b\bleaf1#",
			[]string{"leaf1# show a: A1\nA2"},
		},
		{
			"pager, waiting", []string{"show a"}, false,
			"leaf1#show a\r\nA1\r\n --More-- ",
			[]string{"pager"},
		},
		{
			"question", []string{"reload"}, false,
			"leaf1#reload\r\nProceed with reload? [confirm]",
			[]string{"asked Proceed with reload? [confirm]"},
		},
		{
			"question answered by what was typed ahead", []string{"no monitor session a", "show b"}, false,
			"leaf1#no monitor session a\r\nSure? [y/n]show b\r\nleaf1#",
			[]string{"swallowed Sure? [y/n]"},
		},
		{
			"what looks like a question inside an answer", []string{"show a"}, false,
			"leaf1#show a\r\ndescription sure? [y/n]\r\nleaf1#",
			[]string{"leaf1# show a: description sure? [y/n]"},
		},
		{
			"empty lines and the indent", []string{"show a"}, true,
			"leaf1#show a\r\n\r\n  A1\r\n\r\n  A2\r\n\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a:   A1\n\n  A2"},
		},
		{
			"enable asks for a secret among typed lines", []string{"enable", "show a"}, true,
			"leaf1>enable\r\nPassword: \r\nPassword: \r\n% Bad secret\r\nleaf1>",
			[]string{"asked Password: ", "asked Password: "},
		},
		{
			"echo of early input before the prompt", []string{"show a", "show b"}, true,
			"show a\r\nshow b\r\n   \r\n" + login + "leaf1#show a\r\nA\r\nleaf1#show b\r\nB\r\nleaf1#   \r\nleaf1#",
			[]string{"leaf1# show a: A", "leaf1# show b: B"},
		},
	}
	for _, tt := range tests {
		for _, n := range []int{0, 1, 2, 3, 7, 64} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, n), func(t *testing.T) {
				if d := cmp.Diff(tt.want, split(tt.lines, tt.marker, tt.give, n)); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// FuzzSplitter: answers that a well-behaved device prints come back as they are,
// however they are cut, and any other text panics nowhere and invents no answers.
func FuzzSplitter(f *testing.F) {
	f.Add("A1\nA2", "B", "junk", uint(1))
	f.Add("leaf1#", "leaf1#show b\nx", "leaf1#show a\r\n[y/n]show b\r\n", uint(3))
	f.Add("leaf1#   \nx", "--More--", "\x1b[2K\x18leaf1#   ", uint(7))
	f.Fuzz(func(t *testing.T, a, b, junk string, size uint) {
		n := int(size%64) + 1
		if got := split([]string{"show a", "show b"}, true, junk, n); len(got) > 64+len(junk) {
			t.Fatalf("%d events from %d bytes", len(got), len(junk))
		}
		for _, s := range []string{a, b} {
			// What cannot be told apart: the very sequence of prompt and next line.
			if strings.Contains(s, "leaf1#show b") || strings.Contains(s, "leaf1#   ") || !plain(s) {
				t.Skip()
			}
		}
		text := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") + "\r\n" }
		printed := "leaf1#show a\r\n" + text(a) + "leaf1#show b\r\n" + text(b) + "leaf1#   \r\nleaf1#"
		s := newSplitter(testProfile())
		want := []string{"leaf1# show a: " + s.tidy([]byte(a)), "leaf1# show b: " + s.tidy([]byte(b))}
		if d := cmp.Diff(want, split([]string{"show a", "show b"}, true, printed, n)); d != "" {
			t.Errorf("printed %q (-want +got):\n%s", printed, d)
		}
	})
}

func plain(s string) bool {
	for _, r := range s {
		if r != '\n' && (r < 0x20 || r > 0x7e) {
			return false
		}
	}
	p := testProfile()
	for _, l := range strings.Split(s, "\n") {
		if p.Async.MatchString(l) {
			return false
		}
		// A question with the next line after it is taken for one that was answered.
		for _, q := range p.Questions {
			if q.Pattern.MatchString(strings.TrimSuffix(strings.TrimRight(l, " "), "show b")) {
				return false
			}
		}
	}
	return true
}
