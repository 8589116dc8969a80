package ssh

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
)

// refusalLines is how many lines of an answer may hold the refusal of a request:
// the OS repeats the line, marks a column, and says what is wrong.
const refusalLines = 4

// login waits for the first prompt and gets the rights.
func (c *Conn) login(ctx context.Context) error {
	var prompt string
	for {
		c.sp.feed(c.st.take())
		var ok bool
		if prompt, ok = c.sp.waiting(); ok {
			break
		}
		select {
		case <-c.st.wake:
		case <-c.st.pipe.lost:
			return &transport.Error{Kind: transport.Unreachable, Reply: string(c.sp.tail()),
				Err: fmt.Errorf("the connection ended before the first prompt: %w", c.st.pipe.err)}
		case <-ctx.Done():
			return &transport.Error{Kind: transport.Timeout, Reply: string(c.sp.tail()), Err: errors.New("no prompt that the profile knows")}
		}
	}
	v := c.p.Privilege
	if v == nil || !v.Unprivileged.MatchString(prompt) {
		return nil
	}
	return c.privilege(ctx)
}

// privilege types the command for more rights, and the secret when it is asked
// for, once.
func (c *Conn) privilege(ctx context.Context) error {
	v := c.p.Privilege
	var said string
	var gone error
	tries := 0
	_, _, err := c.exchange(ctx, talk{
		lines:  []typedLine{{text: v.Command}},
		answer: func(_ int, text, _ string) bool { said = text; return true },
		question: func(_ int, text string) (string, bool) {
			if tries++; c.enable == nil || tries > 1 || !v.Question.MatchString(text) {
				return "", false
			}
			var secret string
			secret, gone = c.enable(ctx)
			return secret, gone == nil
		},
	})
	switch {
	case gone != nil:
		return &transport.Error{Kind: transport.Auth, Err: fmt.Errorf("enable secret: %w", gone)}
	case tries > 0 && c.enable == nil:
		return &transport.Error{Kind: transport.Auth, Err: fmt.Errorf("%q asks for a secret", v.Command), Hint: "give an enable secret for the device"}
	case tries > 1:
		return c.noRights("the enable secret was refused")
	case err != nil:
		return err
	}
	if prompt, ok := c.sp.waiting(); ok && v.Unprivileged.MatchString(prompt) {
		if said != "" {
			return c.noRights(said)
		}
		return c.noRights("the device did not say why")
	}
	return nil
}

func (c *Conn) noRights(why string) error {
	return &transport.Error{Kind: transport.Auth, Err: fmt.Errorf("%q did not give the rights: %s", c.p.Privilege.Command, firstLine(why)),
		Hint: "look at the enable secret and at the rights of the user"}
}

// opening gives the lines that prepare the terminal.
func (c *Conn) opening() []typedLine {
	var ls []typedLine
	if c.ready {
		return nil
	}
	if c.p.EarlyInput && c.p.Privilege != nil && c.enable == nil {
		ls = append(ls, typedLine{text: c.p.Privilege.Command})
	}
	for _, l := range c.p.Open {
		ls = append(ls, typedLine{text: l})
	}
	return ls
}

// opened handles the answer to an opening line.
func (c *Conn) opened(line, text string) {
	no, _ := c.refusal(text)
	if no && c.p.Privilege != nil && line == c.p.Privilege.Command {
		c.denied = text
		return
	}
	if no {
		c.log.Warn("the device does not let the terminal be prepared", "line", line, "reply", firstLine(text))
	}
}

// prepare types the opening lines and waits for the answers.
func (c *Conn) prepare(ctx context.Context) error {
	ls := c.opening()
	n, _, err := c.exchange(ctx, talk{lines: ls, together: !c.p.OneAtATime,
		answer: func(i int, text, _ string) bool { c.opened(ls[i].text, text); return true }})
	if err != nil {
		return c.openingError(ls, n, err)
	}
	c.ready = true
	return c.checkRights()
}

// checkRights gives an error when the waiting prompt is one without rights.
func (c *Conn) checkRights() error {
	v := c.p.Privilege
	if prompt, ok := c.sp.waiting(); v != nil && ok && v.Unprivileged.MatchString(prompt) {
		if c.denied != "" {
			return c.noRights(c.denied)
		}
		return c.noRights("the prompt is still " + prompt)
	}
	return nil
}

// openingError explains what went wrong with opening line n.
func (c *Conn) openingError(ls []typedLine, n int, err error) error {
	var te *transport.Error
	if !errors.As(err, &te) {
		return err
	}
	if n < len(ls) {
		te.Step = &transport.Step{Text: ls[n].text}
		if v := c.p.Privilege; v != nil && ls[n].text == v.Command && v.Question.MatchString(te.Reply) {
			c.cut(err)
			return &transport.Error{Kind: transport.Auth, Step: te.Step, Err: fmt.Errorf("%q asks for a secret", v.Command),
				Hint: "give an enable secret for the device"}
		}
	}
	return te
}

// Read types all requests at once and gives the answers, unless the profile has
// OneAtATime or the device pages.
//
// An answer of which one of the first lines matches Profile.Refused is a
// refusal: Reply.Err where the request is Optional, else an error of kind
// Rejected that names the request as its step. The other requests are made
// nevertheless, so that the connection stays of use.
func (c *Conn) Read(ctx context.Context, reqs []transport.Request) ([]transport.Reply, error) {
	for _, r := range reqs {
		if err := checkLine(c.p, r.Text); err != nil {
			return nil, &transport.Error{Kind: transport.Protocol, Step: &transport.Step{Text: r.Text}, Err: err}
		}
	}
	if len(reqs) == 0 {
		return nil, nil
	}
	together := !c.p.OneAtATime && !c.paged
	if !together && !c.ready {
		if err := c.prepare(ctx); err != nil {
			return nil, err
		}
	}
	ls := c.opening()
	first := len(ls)
	for _, r := range reqs {
		ls = append(ls, typedLine{text: r.Text})
	}
	if together {
		ls = append(ls, typedLine{text: c.p.Marker, marker: true})
	}
	replies := make([]transport.Reply, 0, len(reqs))
	var refused error
	n, _, err := c.exchange(ctx, talk{lines: ls, together: together, answer: func(i int, text, prompt string) bool {
		if i < first {
			c.opened(ls[i].text, text)
			return true
		}
		req := reqs[i-first]
		c.log.DebugContext(ctx, "read", "request", req.Text, "bytes", len(text))
		rep := transport.Reply{Request: req, Text: text}
		if no, busy := c.refusal(text); no {
			rep.Text, rep.Err = "", text
			if !req.Optional && refused == nil {
				refused = c.readRefused(req, text, prompt, busy)
			}
		}
		replies = append(replies, rep)
		return true
	}})
	if err != nil {
		var te *transport.Error
		if errors.As(err, &te) {
			if n < first {
				return nil, c.openingError(ls, n, err)
			}
			if i := n - first; i < len(reqs) {
				te.Step = &transport.Step{Text: reqs[i].Text}
			}
		}
		return nil, err
	}
	if !c.ready {
		c.ready = true
		if err := c.checkRights(); err != nil {
			return nil, err
		}
	}
	if refused != nil {
		return nil, refused
	}
	return replies, nil
}

func (c *Conn) readRefused(req transport.Request, text, prompt string, busy bool) error {
	e := &transport.Error{Kind: transport.Rejected, Step: &transport.Step{Text: req.Text}, Reply: text}
	if busy {
		e.Kind = transport.Busy
	}
	if v := c.p.Privilege; v != nil && v.Unprivileged.MatchString(prompt) {
		e.Kind, e.Hint = transport.Auth, "the login has too few rights: give an enable secret, or a user with more rights"
	}
	return e
}

// refusal reports whether an answer to a request is a refusal, and whether it
// says that somebody else is at it.
func (c *Conn) refusal(text string) (no, busy bool) {
	rest := text
	for range refusalLines {
		if rest == "" {
			break
		}
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if anyMatch(c.p.Busy, line) {
			return true, true
		}
		if anyMatch(c.p.Refused, line) {
			return true, anyMatch(c.p.Busy, text)
		}
	}
	return false, false
}

func anyMatch(res []*regexp.Regexp, s string) bool {
	for _, re := range res {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// Send types steps. The script decides how:
//
//   - Where it has a Commit, the steps before it only fill a candidate: they are
//     typed together and each answer is checked. When one is refused, those after it
//     may have been typed already; the Commit is not. The steps after a Commit, up
//     to the next, are typed with it.
//   - Where it has none, an Edit is live at once: each step is typed when the one
//     before was accepted.
//
// An answer that is neither empty nor accepted by the step is an error of kind
// Rejected, or Busy by Profile.Busy. The device is then brought back to exec mode
// by Profile.Home, and the connection stays of use.
func (c *Conn) Send(ctx context.Context, steps []transport.Step) error {
	for i := range steps {
		if err := checkLine(c.p, steps[i].Text); err != nil {
			return &transport.Error{Kind: transport.Protocol, Step: &steps[i], Err: err}
		}
		if _, err := steps[i].Accepts("x"); err != nil {
			return &transport.Error{Kind: transport.Protocol, Step: &steps[i], Err: err}
		}
	}
	if len(steps) == 0 {
		return nil
	}
	if !c.ready {
		if err := c.prepare(ctx); err != nil {
			return err
		}
	}
	together := !c.p.OneAtATime && !c.paged && !live(steps)
	for from := 0; from < len(steps); {
		to := from + 1
		for to < len(steps) && steps[to].Phase != transport.Commit {
			to++
		}
		if err := c.sendBatch(ctx, steps, from, to, together); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// live reports whether steps change the device line by line, with nothing that
// holds them back until all were accepted.
func live(steps []transport.Step) bool {
	edit := false
	for _, s := range steps {
		switch s.Phase {
		case transport.Commit:
			return false
		case transport.Edit:
			edit = true
		}
	}
	return edit
}

func (c *Conn) sendBatch(ctx context.Context, steps []transport.Step, from, to int, together bool) error {
	ls := make([]typedLine, 0, to-from)
	for _, s := range steps[from:to] {
		ls = append(ls, typedLine{text: s.Text})
	}
	var refused *transport.Error
	n, typed, err := c.exchange(ctx, talk{
		lines: ls, together: together,
		secrets: func(s string) string { return scrub(steps, s) },
		answer: func(i int, text, _ string) bool {
			step := &steps[from+i]
			ok, _ := step.Accepts(text)
			c.log.DebugContext(ctx, "send", "step", step.Redacted(), "phase", string(step.Phase), "session", step.Session, "accepted", ok)
			if ok {
				return true
			}
			refused = &transport.Error{Kind: transport.Rejected, Step: step, Sent: from + i, Reply: scrub(steps, text)}
			if step.Secret {
				refused.Reply = withheld
			}
			if anyMatch(c.p.Busy, text) {
				refused.Kind, refused.Hint = transport.Busy, "somebody else holds the configuration; try again later"
			}
			return false
		},
	})
	var te *transport.Error
	if errors.As(err, &te) && refused == nil {
		te.Sent = from + n
		te.InDoubt = typed > n
		if from+n < to {
			te.Step = &steps[from+n]
			if te.Step.Secret && te.Reply != "" {
				te.Reply = withheld
			}
		}
		refused = te
	}
	if refused == nil {
		return err
	}
	if c.usable() == nil {
		c.goHome(ctx)
	}
	return refused
}

// withheld stands for what a device said to a step that must not be seen.
const withheld = "<withheld: the step is secret>"

// goHome brings the device back to exec mode. What goes wrong ends the
// connection; the caller has an error to return already.
func (c *Conn) goHome(ctx context.Context) {
	prompt, ok := c.sp.waiting()
	if c.p.Home == "" || c.p.Exec == nil || ok && c.p.Exec.MatchString(prompt) {
		return
	}
	_, _, err := c.exchange(ctx, talk{lines: []typedLine{{text: c.p.Home}}, answer: func(int, string, string) bool { return true }})
	if err == nil {
		if prompt, ok := c.sp.waiting(); ok && c.p.Exec.MatchString(prompt) {
			return
		}
		err = fmt.Errorf("%q did not lead back to exec mode", c.p.Home)
	}
	c.log.Warn("cannot leave the configuration mode", "error", err)
	c.cut(err)
}

// scrub takes the secret parts of steps out of what a device said.
func scrub(steps []transport.Step, said string) string {
	for _, s := range steps {
		if s.Secret && s.Text != "" {
			said = strings.ReplaceAll(said, s.Text, s.Redacted())
		}
	}
	return said
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}
