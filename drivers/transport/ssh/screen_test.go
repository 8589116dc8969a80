package ssh

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settle gives cleaned output with the cancelled beginnings of lines taken away.
func settle(b []byte) string {
	s := newSplitter(testProfile())
	s.feed(b)
	return string(s.buf)
}

func TestScreen(t *testing.T) {
	tests := []struct{ name, give, want string }{
		{"plain", "abc\r\ndef", "abc\ndef"},
		{"several carriage returns", "abc\r\r\ndef\n\r", "abc\ndef\n"},
		{"overwrite", "abc\rX", "Xbc"},
		{"backspace", "abcd\b\b\b \b", "a cd"},
		{"backspace over a rune of two bytes", "aé\bo", "ao\xa9"},
		{"colours", "\x1b[1;32mok\x1b[0m done", "ok done"},
		{"erase to the end", "--More--\r\x1b[Kline", "line"},
		{"erase all", "--More--\x1b[2K\rline", "line"},
		{"erase by spaces", "--More--\r        \rline\n", "line\n"},
		{"typed and erased", "leaf1# x\b \by", "leaf1# y"},
		{"left", "---- More ----\x1b[14D              \x1b[14Dline\n", "line\n"},
		{"column", "abc\x1b[1GX", "Xbc"},
		{"right", "abc\r\x1b[2CX", "abX"},
		{"title", "\x1b]0;leaf1\aleaf1# ", "leaf1# "},
		{"title, ended by a string terminator", "\x1b]0;leaf1\x1b\\leaf1# ", "leaf1# "},
		{"bracketed paste, charset, keypad", "\x1b[?2004h\x1b(B\x1b=leaf1# ", "leaf1# "},
		{"sequence broken off", "\x1b[12\nx\x1b\x1b[1mz", "xz"},
		{"bell and null", "a\a\x00b", "ab"},
		{"a device cannot cancel", "abc\x18def", "abcdef"},
		{"tab stays", "a\tb", "a\tb"},
		{"utf-8", "naïve\r\n", "naïve\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var whole, single screen
			got := settle(whole.clean(nil, []byte(tt.give)))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("at once (-want +got):\n%s", d)
			}
			var b []byte
			for _, c := range []byte(tt.give) {
				b = single.clean(b, []byte{c})
			}
			if d := cmp.Diff(tt.want, settle(b)); d != "" {
				t.Errorf("byte by byte (-want +got):\n%s", d)
			}
		})
	}
}

// FuzzScreen: how the input is cut does not matter, and nothing but text and line
// feeds comes out.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("leaf1# sh\b\bhow\r\n\x1b[1mx\x1b[0m--More--\r\x1b[K\r\nleaf1# "), uint(3))
	f.Add([]byte("\x1b]0;t\x1b\\a\xc3\xa9\b\x1b[5D\x1b[2J\x1b[1K"), uint(1))
	f.Fuzz(func(t *testing.T, give []byte, size uint) {
		var whole, parts screen
		want := whole.clean(nil, give)
		n := int(size%16) + 1
		var got []byte
		for rest := give; len(rest) > 0; {
			k := min(n, len(rest))
			got = parts.clean(got, rest[:k])
			rest = rest[k:]
		}
		if d := cmp.Diff(settle(want), settle(got)); d != "" {
			t.Errorf("cut into %d bytes (-whole +parts):\n%s", n, d)
		}
		if i := bytes.IndexFunc(want, func(r rune) bool { return r < 0x20 && !strings.ContainsRune("\n\t\x18", r) }); i >= 0 {
			t.Errorf("control character in %q", want)
		}
	})
}
