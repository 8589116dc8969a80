package transport

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Profile tells how the command line of one network OS is driven: how it asks,
// what it prints beside answers, and how to get where steps are taken. A dialect
// supplies it; it is plain data and may be shared by many connections.
//
// All patterns are of package regexp and are matched against one line, without
// its end, carriage returns and escape sequences removed.
type Profile struct {
	// Name is for messages: "Arista EOS".
	Name string

	// Prompt matches a whole prompt in any mode, nothing before or after it: begin
	// it with ^ and end it with $. A group named "host" is the part that stays the
	// same in all modes; it is learned from the first prompt that carries the echo
	// of a typed line, and a prompt of another host is then only text. A host name
	// that is cut in deeper modes may be shorter, not shorter than 10 bytes.
	Prompt *regexp.Regexp
	// Exec matches the prompts of the mode in which requests are made and scripts
	// begin. Nil means that all modes are alike.
	Exec *regexp.Regexp
	// Above matches lines directly above a prompt that belong to it ("[edit]").
	Above *regexp.Regexp

	// Open is typed once at the beginning: no paging, a wide terminal. A refusal of
	// such a line is logged and is no error.
	Open []string
	// Home brings the device back to exec mode from any other, typed after a
	// refused step. "" types nothing.
	Home string
	// Privilege is the way from a login without rights to one that has them; nil
	// where there is none.
	Privilege *Privilege

	// Refused matches lines by which the OS refuses a request. Only the first lines
	// of an answer are looked at. Answers to steps do not need it: every answer
	// that the step does not accept is a refusal.
	Refused []*regexp.Regexp
	// Busy matches refusals that mean that somebody else holds the configuration.
	Busy []*regexp.Regexp
	// Async matches whole lines that the OS prints by itself in the middle of
	// anything (logging to the terminal). They are removed from answers.
	Async *regexp.Regexp

	// Pager matches what the OS shows at the end of a page; PagerKey is typed then,
	// "" means a space.
	Pager    *regexp.Regexp
	PagerKey string
	// Questions are what the OS may ask in the middle of a step.
	Questions []Question

	// Return ends a typed line; "" means a line feed.
	Return string
	// Marker is typed as the last line after requests, so that the end of the last
	// answer is the echo of this line and not merely something like a prompt. It
	// must be a line that the OS ignores: spaces, or nothing.
	Marker string
	// Hot are characters that the OS acts on as soon as they are typed ("?" for
	// help). A line with one is refused before anything is typed.
	Hot string
	// OneAtATime types a line only when the one before is answered: for a command
	// line that loses what is typed ahead. It costs a round trip per line.
	OneAtATime bool
	// EarlyInput types the first lines without waiting for the first prompt. It
	// saves a round trip where the OS keeps what is typed before it is ready.
	EarlyInput bool
	// Columns is the width of the terminal that is asked for; 0 means 511, which is
	// what the old IOS family takes.
	Columns int
}

// Privilege is the way to more rights on the command line.
type Privilege struct {
	// Unprivileged matches the prompts of a login without the rights.
	Unprivileged *regexp.Regexp
	// Command asks for the rights ("enable"). It must be harmless where the rights
	// are there already.
	Command string
	// Question matches the request for the secret.
	Question *regexp.Regexp
}

// Question is something the OS asks and what is said to refuse.
type Question struct {
	Pattern *regexp.Regexp
	// Refuse is typed as the answer, with an Enter; "" types ^C instead.
	Refuse string
}

// DefaultColumns is the terminal width where Profile.Columns is 0.
const DefaultColumns = 511

// PromptHost is the name of the group of Profile.Prompt that stays the same.
const PromptHost = "host"

// Validate gives all that is wrong with the profile.
func (p *Profile) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("profile %q: "+format, append([]any{p.Name}, args...)...))
	}
	if p.Prompt == nil {
		bad("no prompt")
	}
	for name, re := range map[string]*regexp.Regexp{"prompt": p.Prompt, "exec": p.Exec} {
		if re != nil && (!strings.Contains(re.String(), "^") || !strings.HasSuffix(re.String(), "$")) {
			bad("%s %q is not anchored: a prompt is a whole line", name, re)
		}
	}
	for _, s := range slices.Concat(p.Open, []string{p.Home, p.Marker}) {
		if strings.ContainsAny(s, "\r\n") {
			bad("%q is more than one line", s)
		}
	}
	if strings.TrimSpace(p.Marker) != p.Marker && strings.TrimSpace(p.Marker) != "" {
		bad("marker %q begins or ends with a space", p.Marker)
	}
	if v := p.Privilege; v != nil && (v.Unprivileged == nil || v.Command == "" || v.Question == nil) {
		bad("privilege is incomplete")
	}
	for _, q := range p.Questions {
		if q.Pattern == nil {
			bad("a question without a pattern")
		}
	}
	if p.Columns < 0 || p.Columns > 1<<16 {
		bad("columns %d", p.Columns)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
