package ssh

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
)

// maxPrompt bounds the length of a line that may be a prompt, a question or a
// pager, in bytes.
const maxPrompt = 512

// minCutHost is the least length of a host name that a prompt may have cut.
const minCutHost = 10

// splitter tells apart the answers to lines that were typed, from cleaned text
// (see screen) that may come in any pieces. It does no I/O.
//
// The rules: an answer begins after the line that is a prompt followed by what
// was typed, and ends before the next such line. The last answer ends at a prompt
// with nothing after it, once the echo of every typed line was seen. So the one
// thing that an answer cannot hold is the prompt of this very host followed by
// exactly the next line that was typed.
type splitter struct {
	p    *transport.Profile
	host string // learned from the first prompt that carried an echo

	buf  []byte // text not yet done with; between answers it is the waiting prompt
	scan int    // start in buf of the first line not looked at yet

	typed  []typedLine // lines not answered yet, in the order typed
	open   bool        // the echo of typed[0] was seen; its answer begins at start
	start  int         // of the open answer, in buf
	paged  int         // start in buf of a line that a pager was shown on, -1
	mark   int         // start in buf of what may be the echo of the marker, -1
	prompt string      // the prompt that typed[0] was typed at
}

type typedLine struct {
	text   string
	marker bool
}

type eventKind uint8

const (
	none      eventKind = iota // more input is needed
	answered                   // the answer to the oldest typed line
	paging                     // the device waits for a key to go on
	asked                      // the device waits for the answer to a question
	swallowed                  // it took a line that was typed ahead as that answer
)

type event struct {
	kind   eventKind
	text   string // the answer, or the question
	prompt string // answered: the prompt that the line was typed at
	refuse string // asked: what to type
	line   typedLine
}

func newSplitter(p *transport.Profile) *splitter { return &splitter{p: p, paged: -1, mark: -1} }

// expect notes that a line was typed.
func (s *splitter) expect(text string, marker bool) {
	s.typed = append(s.typed, typedLine{text: text, marker: marker})
}

// feed takes in cleaned text.
func (s *splitter) feed(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, cancel)
		if i < 0 {
			s.buf = append(s.buf, b...)
			return
		}
		s.buf = append(s.buf, b[:i]...)
		s.buf = s.buf[:lineStart(s.buf)]
		b = b[i+1:]
	}
}

func lineStart(b []byte) int { return bytes.LastIndexByte(b, '\n') + 1 }

// tail gives the last line, which has not ended.
func (s *splitter) tail() []byte { return s.buf[lineStart(s.buf):] }

// next gives the next thing that happened. What looks like a pager or a question
// may be the beginning of a longer line; it counts only when the device has been
// quiet.
func (s *splitter) next(quiet bool) event {
	for {
		i := bytes.IndexByte(s.buf[s.scan:], '\n')
		if i < 0 {
			return s.atTail(quiet)
		}
		s.paged = -1
		at := s.scan
		line := s.buf[at : at+i]
		s.scan = at + i + 1
		if e := s.look(at, line); e.kind != none {
			return e
		}
	}
}

// look judges the whole line that begins at offset at.
func (s *splitter) look(at int, line []byte) event {
	next, ok := s.awaited()
	if s.mark >= 0 && !s.between(line) {
		s.mark = -1 // the answer went on: that was not the echo of the marker
	}
	if q := s.secretQuestion(line); q != nil {
		return event{kind: asked, text: string(line), line: s.typed[0]}
	}
	if !ok {
		return event{}
	}
	before, echoed := cutEcho(line, next)
	if !echoed {
		return event{}
	}
	if p, isPrompt := s.isPrompt(before); isPrompt {
		return s.echo(at, p, next)
	}
	if len(before) == 0 && !next.marker && s.afterAsync(at) {
		return s.echo(at, s.prompt, next)
	}
	if s.open && !next.marker {
		if q := s.question(before); q != nil {
			return event{kind: swallowed, text: string(before), line: s.typed[0]}
		}
	}
	return event{}
}

// between reports whether a line may stand between two prompts without being an
// answer.
func (s *splitter) between(line []byte) bool {
	if len(line) == 0 || match(s.p.Async, line) || match(s.p.Above, line) {
		return true
	}
	_, ok := s.isPrompt(line)
	return ok
}

// awaited gives the oldest typed line whose echo was not seen.
func (s *splitter) awaited() (typedLine, bool) {
	i := 0
	if s.open {
		i = 1
	}
	if i >= len(s.typed) {
		return typedLine{}, false
	}
	return s.typed[i], true
}

// cutEcho takes the echo of a typed line off the end of line.
func cutEcho(line []byte, typed typedLine) (before []byte, ok bool) {
	if bytes.HasSuffix(line, []byte(typed.text)) {
		return line[:len(line)-len(typed.text)], true
	}
	if typed.marker {
		return nil, false
	}
	text := strings.TrimRight(typed.text, " ")
	line = bytes.TrimRight(line, " ")
	if bytes.HasSuffix(line, []byte(text)) {
		return line[:len(line)-len(text)], true
	}
	return nil, false
}

// echo handles the line at offset at, which is prompt and the echo of typed.
func (s *splitter) echo(at int, prompt string, typed typedLine) event {
	if typed.marker && s.open {
		s.mark = at
		return event{}
	}
	var e event
	if s.open {
		e = s.answer(at)
	}
	s.open, s.prompt = true, prompt
	s.drop(s.scan)
	s.start = 0
	return e
}

// answer takes the answer to typed[0], which ends before offset end.
func (s *splitter) answer(end int) event {
	e := event{kind: answered, text: s.tidy(s.buf[s.start:end]), prompt: s.prompt, line: s.typed[0]}
	s.typed = s.typed[1:]
	s.open = false
	return e
}

// drop forgets the first n bytes of buf.
func (s *splitter) drop(n int) {
	s.buf = s.buf[n:]
	if n > 64<<10 { // do not keep a large answer for the sake of its end
		s.buf = bytes.Clone(s.buf)
	}
	s.scan -= n
	s.paged, s.mark = -1, -1
}

// atTail judges the line that has not ended.
func (s *splitter) atTail(quiet bool) event {
	t := s.buf[s.scan:]
	if len(t) == 0 || len(t) > maxPrompt || !s.open {
		return event{}
	}
	if quiet {
		if e := s.stops(t); e.kind != none {
			s.buf = s.buf[:s.scan]
			if e.kind == paging {
				s.paged = s.scan
			}
			return e
		}
	}
	end := s.scan
	if next, more := s.awaited(); more {
		if !next.marker || s.mark < 0 {
			return event{}
		}
		end = s.mark
	}
	if _, ok := s.isPrompt(t); !ok {
		return event{}
	}
	e := s.answer(end)
	s.typed = nil // with the marker
	s.drop(s.scan)
	return e
}

// unsure reports whether next would give more if the device were quiet.
func (s *splitter) unsure() bool {
	t := s.buf[s.scan:]
	return s.open && len(t) > 0 && len(t) <= maxPrompt && s.stops(t).kind != none
}

// stops reports whether text, which has not ended, is where the device waits for
// something other than a line.
func (s *splitter) stops(text []byte) event {
	if match(s.p.Pager, text) && s.paged != s.scan {
		return event{kind: paging, line: s.typed[0]}
	}
	if q := s.question(text); q != nil {
		return event{kind: asked, text: string(text), refuse: q.Refuse, line: s.typed[0]}
	}
	return event{}
}

// waiting reports whether a device that was asked nothing shows a prompt.
func (s *splitter) waiting() (prompt string, ok bool) {
	t := s.tail()
	if len(s.typed) > 0 || len(t) > maxPrompt {
		return "", false
	}
	return s.isPrompt(t)
}

// isPrompt reports whether text is a prompt of this host, and learns the host
// while it is unknown and an echo follows.
func (s *splitter) isPrompt(text []byte) (string, bool) {
	if len(text) == 0 || len(text) > maxPrompt {
		return "", false
	}
	m := s.p.Prompt.FindSubmatchIndex(text)
	if m == nil || m[0] != 0 || m[1] != len(text) {
		return "", false
	}
	if i := s.p.Prompt.SubexpIndex(transport.PromptHost); i > 0 && m[2*i] >= 0 {
		h := string(text[m[2*i]:m[2*i+1]])
		switch {
		case s.host == "":
			if len(s.typed) > 0 {
				s.host = h
			}
		case h == s.host:
		case len(h) >= minCutHost && strings.HasPrefix(s.host, h):
		default:
			return "", false
		}
	}
	return string(text), true
}

func (s *splitter) question(text []byte) *transport.Question {
	if len(text) > maxPrompt {
		return nil
	}
	for i := range s.p.Questions {
		if s.p.Questions[i].Pattern.Match(text) {
			return &s.p.Questions[i]
		}
	}
	return s.secretQuestion(text)
}

// secretQuestion reports whether text asks for the secret of the privileged mode,
// which it only does after the command for it.
func (s *splitter) secretQuestion(text []byte) *transport.Question {
	v := s.p.Privilege
	if v == nil || !s.open || s.typed[0].text != v.Command || len(text) > maxPrompt || !v.Question.Match(text) {
		return nil
	}
	return &transport.Question{Pattern: v.Question}
}

// afterAsync reports whether the line before offset at was printed by the OS in
// between, so that the prompt of the line at it stands further above.
func (s *splitter) afterAsync(at int) bool {
	if at == 0 || s.p.Async == nil {
		return false
	}
	b := s.buf[:at-1]
	return s.p.Async.Match(b[lineStart(b):])
}

func match(re *regexp.Regexp, line []byte) bool { return re != nil && re.Match(line) }

// tidy makes the answer that a caller sees: without what the OS printed in
// between, without the upper lines of a prompt, and without empty lines at both
// ends.
func (s *splitter) tidy(out []byte) string {
	if s.p.Async != nil {
		out = s.withoutAsync(out)
	}
	for {
		out = bytes.TrimRight(out, " \n")
		i := lineStart(out)
		if len(out) == 0 || !match(s.p.Above, out[i:]) {
			break
		}
		out = out[:i]
	}
	for len(out) > 0 { // empty lines above, but not the indent of the first line
		i := bytes.IndexByte(out, '\n')
		if i < 0 || len(bytes.TrimSpace(out[:i])) > 0 {
			break
		}
		out = out[i+1:]
	}
	return string(out)
}

func (s *splitter) withoutAsync(out []byte) []byte {
	var kept []byte
	last := -1 // start in kept of the last line
	for len(out) > 0 {
		line, rest, whole := bytes.Cut(out, []byte("\n"))
		out = rest
		if s.p.Async.Match(line) {
			// The waiting prompt that it broke.
			if last >= 0 {
				if _, ok := s.isPrompt(bytes.TrimSuffix(kept[last:], []byte("\n"))); ok {
					kept, last = kept[:last], -1
				}
			}
			continue
		}
		last = len(kept)
		kept = append(kept, line...)
		if whole {
			kept = append(kept, '\n')
		}
	}
	return kept
}
