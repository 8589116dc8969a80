package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers/transport"
)

const (
	// window bounds the bytes typed ahead of the answers. A terminal holds 4096
	// bytes on Linux; longer scripts go on as the answers come.
	window = 3 << 10
	// quiet is how long a device must have said nothing for its last words to be
	// a question or a pager, rather than the beginning of a longer line.
	quiet = 150 * time.Millisecond
	// interrupt is ^C.
	interrupt = "\x03"
)

// Conn is a logged-in command line of one device.
type Conn struct {
	device      string
	p           *transport.Profile
	enable      Secret
	stepTimeout time.Duration

	hops
	st *stream
	sp *splitter

	ready  bool   // the terminal is prepared
	paged  bool   // it pages in spite of that
	denied string // how it refused more rights
}

var _ transport.Conn = (*Conn)(nil)

// Close ends the connection and waits for all that belongs to it. It may be
// called again.
func (c *Conn) Close() error {
	c.end(func() {
		if c.st != nil {
			c.st.close()
		}
	})
	return nil
}

// talk is a number of lines to type, and what is done with the answers.
type talk struct {
	lines    []typedLine
	together bool // type as much ahead as the window allows
	// answer is told each answer in order, and the prompt that its line was typed
	// at; false types no more. Answers to what was typed already are then dropped.
	answer func(i int, text, prompt string) bool
	// question is told what is asked in the middle of line i. It gives what to
	// type, with an Enter; false means to refuse.
	question func(i int, text string) (string, bool)
	// secrets removes what must not be seen from what the device said.
	secrets func(string) string
}

// exchange types lines and reads the answers. Where err is not nil, that many
// lines were answered and typed. err is a *transport.Error without a step; after
// one the connection is of no more use, except where the device only asked
// something and went on when that was refused: then answers equals typed.
func (c *Conn) exchange(ctx context.Context, t talk) (answers, typed int, err error) {
	if err := c.usable(); err != nil {
		return 0, 0, err
	}
	if ctx.Err() != nil {
		return 0, 0, &transport.Error{Kind: transport.Canceled, Err: context.Cause(ctx)}
	}
	if t.secrets == nil {
		t.secrets = func(s string) string { return s }
	}
	// A write may wait too: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { c.cut(context.Cause(ctx)) })
	defer stop()
	x := &exchange{Conn: c, talk: t, timer: time.NewTimer(c.stepTimeout)}
	defer x.timer.Stop()
	err = x.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = &transport.Error{Kind: transport.Canceled, Err: context.Cause(ctx)}
	}
	if err != nil {
		c.cut(err)
	}
	if x.refused != nil {
		return x.refusedAt, x.refusedAt, x.refused
	}
	return x.answers, x.typed, err
}

// exchange is one talk while it goes on.
type exchange struct {
	*Conn
	talk
	timer   *time.Timer
	answers int
	typed   int
	stopped bool // type no more
	asked   int  // questions, within the line being answered

	refused   error // a question was refused
	refusedAt int   // within this line
}

func (x *exchange) run(ctx context.Context) error {
	for {
		if err := x.typeAhead(); err != nil {
			return err
		}
		if x.answers == x.typed {
			return nil
		}
		if err := x.wait(ctx); err != nil {
			return err
		}
	}
}

// typeAhead types what may be typed now.
func (x *exchange) typeAhead() error {
	var out []byte
	ahead := 0
	for _, l := range x.lines[x.answers:x.typed] {
		ahead += len(l.text)
	}
	from := x.typed
	for x.typed < len(x.lines) && !x.stopped {
		l := x.lines[x.typed]
		if x.typed > x.answers && (!x.together || ahead+len(l.text) > window) {
			break
		}
		ahead += len(l.text)
		out = append(append(out, l.text...), x.enter()...)
		x.sp.expect(l.text, l.marker)
		x.typed++
	}
	if x.typed == from {
		return nil
	}
	if err := x.st.ch.Write(out, true); err != nil {
		return x.lost(err)
	}
	return nil
}

func (c *Conn) enter() string {
	if c.p.Return == "" {
		return "\n"
	}
	return c.p.Return
}

// wait waits until something came, and handles all that came.
func (x *exchange) wait(ctx context.Context) error {
	still := x.sp.unsure()
	limit := x.stepTimeout
	if still {
		limit = min(quiet, limit)
	}
	x.timer.Reset(limit)
	over := false
	select {
	case <-x.st.wake:
		still = false
	case <-x.st.pipe.lost:
		// What came before the end counts.
		over, still = true, false
	case <-x.timer.C:
		if !still {
			return &transport.Error{Kind: transport.Timeout, Reply: x.secrets(string(x.sp.tail())),
				Err: fmt.Errorf("the device said nothing for %v", x.stepTimeout)}
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	x.sp.feed(x.st.take())
	if len(x.sp.buf) > maxPending {
		return &transport.Error{Kind: transport.Protocol, Err: fmt.Errorf("an answer of more than %d MB", maxPending>>20)}
	}
	for x.answers < x.typed {
		e := x.sp.next(still)
		if e.kind == none {
			break
		}
		if err := x.handle(e); err != nil {
			return err
		}
	}
	if over && x.answers < x.typed {
		return x.lost(x.st.pipe.err)
	}
	return nil
}

func (x *exchange) handle(e event) error {
	i := x.answers
	switch e.kind {
	case answered:
		x.answers++
		x.asked = 0
		if x.answers < x.typed && x.lines[x.answers].marker {
			x.answers++ // the marker's echo was the end of this answer
		}
		if x.stopped {
			return nil
		}
		if !x.answer(i, e.text, e.prompt) {
			x.stopped = true
		}
	case paging:
		x.paged = true
		if x.typed-x.answers > 1 {
			return &transport.Error{Kind: transport.Protocol, Err: errors.New("the device pages its output, and took what was typed ahead for keys"),
				Hint: "its profile should turn paging off, or type one line at a time"}
		}
		key := x.p.PagerKey
		if key == "" {
			key = " "
		}
		if err := x.st.ch.Write([]byte(key), true); err != nil {
			return x.lost(err)
		}
	case asked:
		return x.asks(i, e)
	case swallowed:
		return &transport.Error{Kind: transport.Protocol, Reply: x.secrets(e.text),
			Err: errors.New("the device asked a question and took the next line for the answer")}
	}
	return nil
}

// maxAsked bounds the questions within one line.
const maxAsked = 4

func (x *exchange) asks(i int, e event) error {
	text := x.secrets(strings.TrimSpace(e.text))
	x.asked++
	if x.question != nil && x.typed-x.answers == 1 {
		if reply, ok := x.question(i, e.text); ok && x.asked <= maxAsked {
			if err := x.st.ch.Write([]byte(reply+x.enter()), true); err != nil {
				return x.lost(err)
			}
			return nil
		}
	}
	switch {
	case x.typed-x.answers > 1:
		return &transport.Error{Kind: transport.Protocol, Reply: text, Err: errors.New("the device asks a question, and lines that were typed ahead may answer it")}
	case x.asked > maxAsked:
		return &transport.Error{Kind: transport.Protocol, Reply: text, Err: errors.New("the device does not stop asking")}
	}
	reply := interrupt
	if e.refuse != "" {
		reply = e.refuse + x.enter()
	}
	if err := x.st.ch.Write([]byte(reply), true); err != nil {
		return x.lost(err)
	}
	// Go on to the prompt: the connection stays of use.
	x.stopped = true
	if x.refused == nil {
		x.refusedAt = i
		x.refused = &transport.Error{Kind: transport.Rejected, Reply: text, Err: errors.New("the device asks a question, which is answered by refusing")}
	}
	return nil
}
