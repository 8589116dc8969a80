package eos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// sessionState as "show configuration sessions | json" names it.
type sessionState string

const (
	statePending   sessionState = "pending"
	stateTimer     sessionState = "pendingCommitTimer"
	stateCompleted sessionState = "completed"
)

// maxCompleted sessions are remembered: "Maximum number of completed sessions: 1".
const maxCompleted = 1

// session is a configuration session. It starts as a copy of the running
// configuration and takes its place when it is committed ("Merge on commit is
// disabled", as EOS says by default; that changes made to the running
// configuration meanwhile are lost is inferred from that, unverified).
type session struct {
	name      string
	state     sessionState
	candidate *config
	completed time.Time
	by        string

	// while a commit timer runs:
	before *config
	timer  Timer
	due    time.Time
}

// enterSession opens a session, or makes it. "" as name makes one up.
func (x *cli) enterSession(name string) string {
	d := x.d
	s := d.sessions[name]
	if s == nil {
		pending := 0
		for _, o := range d.sessions {
			if o.state == statePending {
				pending++
			}
		}
		if pending >= d.opts.MaxPending {
			// The beginning is quoted in issue reports; the rest is remembered.
			return "% Maximum number of pending sessions has been reached. Please commit or abort previous sessions before creating a new one.\n"
		}
		if name == "" {
			d.serial++
			name = fmt.Sprintf("sess-%d--%d-%d", 2000+x.id, d.clock.Now().Unix(), d.serial)
		}
		s = &session{name: name, state: statePending, candidate: d.running.clone()}
		d.sessions[name] = s
		d.order = append(d.order, name)
	}
	if s.state != statePending {
		return fmt.Sprintf("%% Session %s is already %s\n", name, s.state) // unverified
	}
	if out := x.leaveAll(); out != "" {
		return out
	}
	x.modes = []mode{{kind: modeConfig, session: s}}
	return ""
}

// commit makes a session the running configuration. With a timer it is undone
// unless it is committed again in time; without one, a session whose timer runs is
// confirmed.
func (d *Device) commit(s *session, user string, timer time.Duration, ignoreTimer bool) string {
	if s.state == stateCompleted {
		return fmt.Sprintf("%% Session %s is already completed\n", s.name) // unverified
	}
	if s.state == stateTimer {
		if timer > 0 {
			// A second timed commit starts the time anew (unverified).
			d.arm(s, timer)
			return ""
		}
		s.stop()
		d.armed = nil
		d.finish(s, user)
		return ""
	}
	if d.armed != nil {
		// Unverified: that EOS has one timed commit at a time.
		return fmt.Sprintf("%% Cannot commit session %s: session %s has a pending commit timer\n", s.name, d.armed.name)
	}
	if why := s.candidate.conflict(&d.opts); why != "" {
		return fmt.Sprintf("%% Cannot commit session %s: %s\n", s.name, why)
	}
	before := d.running
	if err := d.activate(s.candidate.clone()); err != nil {
		return fmt.Sprintf("%% Cannot commit session %s: %s\n", s.name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if timer == 0 {
		d.finish(s, user)
		return ""
	}
	s.state, s.before, s.by = stateTimer, before, user
	s.completed = d.clock.Now()
	d.armed = s
	if ignoreTimer {
		s.due = d.clock.Now().Add(timer)
		return ""
	}
	d.arm(s, timer)
	return ""
}

func (d *Device) arm(s *session, after time.Duration) {
	s.stop()
	s.due = d.clock.Now().Add(after)
	// due tells this timer from one that a later commit replaced.
	due := s.due
	s.timer = d.clock.AfterFunc(after, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.armed == s && s.due.Equal(due) {
			d.rollBack(s)
		}
	})
}

// stop ends the commit timer, if there is one.
func (s *session) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// rollBack puts the configuration from before a timed commit back. The session
// is gone then (unverified: that EOS does not show it any longer).
func (d *Device) rollBack(s *session) string {
	s.stop()
	d.armed = nil
	d.forgetSession(s)
	if err := d.activate(s.before); err != nil {
		// It ran before on the same switch; only someone else's hand on the switch
		// can be the reason.
		return "% Error: " + err.Error() + "\n"
	}
	return ""
}

// finish remembers a session as completed, and forgets older ones.
func (d *Device) finish(s *session, user string) {
	s.state, s.by, s.completed = stateCompleted, user, d.clock.Now()
	s.before, s.timer, s.candidate = nil, nil, nil
	var done []*session
	for _, name := range d.order {
		if o := d.sessions[name]; o.state == stateCompleted {
			done = append(done, o)
		}
	}
	slices.SortStableFunc(done, func(a, b *session) int { return a.completed.Compare(b.completed) })
	for len(done) > maxCompleted {
		d.forgetSession(done[0])
		done = done[1:]
	}
}

func (d *Device) forgetSession(s *session) {
	s.state = stateCompleted
	delete(d.sessions, s.name)
	d.order = slices.DeleteFunc(d.order, func(n string) bool { return n == s.name })
}

// abort gives a session up; one whose commit timer runs is rolled back.
func (d *Device) abort(s *session) string {
	if s.state == stateTimer {
		return d.rollBack(s)
	}
	d.forgetSession(s)
	return ""
}

// named finds a session for "configure session NAME commit|abort".
func (d *Device) named(name string) (*session, string) {
	if s := d.sessions[name]; s != nil {
		return s, ""
	}
	return nil, fmt.Sprintf("%% Session %s not found\n", name) // unverified
}

// sessionGrammar has what can be typed only inside a session.
var sessionGrammar = newSessionGrammar()

func newSessionGrammar() *grammar {
	g := newGrammar()
	g.add("commit [timer t=TIME]", execFunc(func(x *cli, a args) answer {
		if out := x.leaveTo(1); out != "" {
			return say(out)
		}
		out := x.commitSession(x.modes[0].session, a)
		if !strings.HasPrefix(out, "%") {
			x.modes = nil
		}
		return say(out)
	}))
	g.add("abort", execFunc(func(x *cli, _ args) answer {
		s := x.modes[0].session
		x.modes = nil
		if x.d.sessions[s.name] != s {
			return say("")
		}
		return say(x.d.abort(s))
	}))
	g.add("rollback clean-config", execFunc(func(x *cli, _ args) answer {
		return say(x.replace(newConfig(x.d.opts.Switch.Ports(), x.d.opts.Management)))
	}))
	g.add("copy running-config session-config", execFunc(func(x *cli, _ args) answer {
		return say(x.replace(x.d.running.clone()))
	}))
	g.add("show session-config", execFunc(func(x *cli, _ args) answer {
		s := x.modes[0].session
		return say(x.d.configText("show session-configuration named "+s.name, s.shown()))
	}))
	g.add("show session-config diffs", execFunc(func(x *cli, _ args) answer { return say(x.d.diffs(x.modes[0].session)) }))
	return g
}

// replace puts another configuration into the session.
func (x *cli) replace(c *config) string {
	if out := x.leaveTo(1); out != "" {
		return out
	}
	return x.store(x.modes[0], c)
}

// shown is what the session holds; nothing once it was committed.
func (s *session) shown() *config {
	if s.candidate == nil {
		return newConfig(nil, "")
	}
	return s.candidate
}

func (x *cli) commitSession(s *session, a args) string {
	after, timed := time.Duration(0), a.given("t")
	if timed {
		after, _ = parseHMS(a.str("t"))
		if after == 0 {
			return "% " + errInvalid + "\n"
		}
	}
	ignore := x.ignoreTimer
	x.ignoreTimer = false
	return x.d.commit(s, x.user, after, ignore)
}

// diffs is empty when nothing differs, else a unified diff. Both headers are as
// in published examples.
func (d *Device) diffs(s *session) string {
	keep := d.opts.KeepSourceLines
	a, b := strings.SplitAfter(d.running.render(keep), "\n"), strings.SplitAfter(s.shown().render(keep), "\n")
	body := unified(a, b, 3)
	if body == "" {
		return ""
	}
	return "--- system:/running-config\n+++ session:/" + s.name + "-session-config\n" + body
}

// sessionsAnswer is "show configuration sessions [detail]". Layout: the header
// lines and columns of published outputs (4.2x to 4.35); the state "committed" of a
// session whose timer runs is that of one such output, and its place in the plain
// table is unverified. JSON: keys as documented for the eAPI answer.
func (d *Device) sessionsAnswer(detail bool, x *cli) answer {
	var b strings.Builder
	fmt.Fprintf(&b, "Maximum number of completed sessions: %d\nMaximum number of pending sessions: %d\n", maxCompleted, d.opts.MaxPending)
	b.WriteString("Merge on commit is disabled\nAutosave to startup-config on commit is disabled\n\n")
	if s := d.armed; s != nil {
		left := max(s.due.Sub(d.clock.Now()), 0).Round(time.Second)
		fmt.Fprintf(&b, "Session with pending commit timer: %s\nTime left until commit timer expiry: in %d:%02d:%02d\n\n",
			s.name, int(left.Hours()), int(left.Minutes())%60, int(left.Seconds())%60)
	}
	cols := []string{"Name", "State", "User", "Terminal"}
	if detail {
		cols = append(cols, "Completed Time", "Committed By")
	}
	rows := [][]string{}
	sessions := map[string]any{}
	for _, name := range d.order {
		s := d.sessions[name]
		mark, user, terminal := " ", "", ""
		instances := map[string]any{}
		for _, u := range slices.SortedFunc(maps.Keys(d.users), func(a, b *cli) int { return a.id - b.id }) {
			if len(u.modes) == 0 || u.modes[0].session != s {
				continue
			}
			if user == "" || u == x {
				user, terminal = u.user, u.terminal
			}
			if u == x {
				mark = "*"
			}
			instances[itoa(u.id)] = map[string]any{"user": u.user, "terminal": u.terminal, "currentTerminal": u == x}
		}
		state := string(s.state)
		if s.state == stateTimer {
			state = "committed"
		}
		row := []string{mark, name, state, user, terminal}
		js := map[string]any{"state": s.state, "commitUser": s.by, "description": "", "instances": instances}
		when := ""
		if !s.completed.IsZero() {
			when = s.completed.UTC().Format("2006-01-02 15:04:05")
			js["completedTime"] = seconds(s.completed)
		}
		if detail {
			row = append(row, when, s.by)
		}
		rows = append(rows, row)
		sessions[name] = js
	}
	sessionTable(&b, cols, rows)
	return answer{text: b.String(), json: map[string]any{
		"sessions": sessions, "maxSavedSessions": maxCompleted, "maxOpenSessions": d.opts.MaxPending,
		"mergeOnCommit": false, "saveToStartupConfigOnCommit": false,
	}}
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func sessionTable(b *strings.Builder, cols []string, rows [][]string) {
	line := func(mark string, cells []string, width []int) {
		s := mark
		for i, c := range cells {
			s += fmt.Sprintf(" %-*s", width[i], c)
		}
		b.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	width := make([]int, len(cols))
	rule := make([]string, len(cols))
	for i := range cols {
		width[i] = len(cols[i])
		for _, r := range rows {
			width[i] = max(width[i], len(r[i+1]))
		}
		rule[i] = strings.Repeat("-", width[i])
	}
	line(" ", cols, width)
	line("-", rule, width)
	slices.SortStableFunc(rows, func(x, y []string) int { return cmp.Compare(x[1], y[1]) })
	for _, r := range rows {
		line(r[0], r[1:], width)
	}
}
