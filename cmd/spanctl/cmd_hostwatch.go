package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/hostmirror/linkwatch"
	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/internal/hostkeep"
	"github.com/spanctl/spanctl/internal/store"
)

// WatchAction is one line of host watch.
type WatchAction struct {
	At time.Time `json:"at"`
	// Action is watching, changed (a session was made, changed or taken away), stopped
	// (copies by a program, before they reach a stranger with the index of an interface
	// that went), waiting
	// (an intent cannot be made now), well (an intent that waited needs nothing any
	// more), failed, recovered or ended.
	Action string `json:"action"`
	Intent string `json:"intent,omitempty"`
	Run    string `json:"run,omitempty"`
	Why    string `json:"why,omitempty"` // what happened before, such as an interface that came
	Text   string `json:"text,omitempty"`
}

func newHostWatch(a *app) *cobra.Command {
	var o hostOptions
	var paths []string
	every := time.Minute
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Keep this host as host apply makes it, whenever an interface comes, goes or changes",
		Long: `Do what host apply does, without a question, at once and again whenever an
interface comes, goes or is renamed, when a lease ends, and every --every.

A mirror of the kernel stays dead when its destination is made anew or comes back
from another network namespace, and filters vanish with their source; both are
made again here. Copies never go to a device that only has the index of the old
destination. A line is printed for each action (-o json: one JSON object a line).

Ctrl-C and SIGTERM end it; the sessions stay, and what stays is said.`,
		Example: `  spanctl host watch --intents /etc/spanctl/intents
  spanctl host watch --namespace netns:blue -o json`,
		Args: intentsByFlag,
		RunE: func(cmd *cobra.Command, args []string) error {
			if every < time.Second {
				return fmt.Errorf("--every is %s; want 1s or more", every)
			}
			return a.withHost(cmd, o, func(h *hostSite) error {
				w := &hostWatch{app: a, host: h, paths: paths, command: commandLine(cmd, args)}
				return w.run(cmd.Context(), every)
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&paths, "intents", nil, intentsUsage)
	cmd.Flags().DurationVar(&every, "every", every, "longest `time` without looking")
	return cmd
}

// hostWatch is one host watch at work.
type hostWatch struct {
	app     *app
	host    *hostSite
	paths   []string
	command string

	said map[string]string // what was said last, by intent; "" for what is about none
}

// busyAgain is how long another spanctl on this host is waited for before looking
// again, failedAgain how long after something went wrong.
const (
	busyAgain   = 2 * time.Second
	failedAgain = 10 * time.Second
)

func (w *hostWatch) run(ctx context.Context, every time.Duration) error {
	w.said = make(map[string]string)
	w.app.left = "nothing was looked at"
	// What is wrong with the files at the start, nobody shall have to find in a log.
	if _, err := w.app.wanted(ctx, w.host, w.paths, nil); err != nil {
		return err
	}
	w.say(WatchAction{Action: "watching", Text: fmt.Sprintf("%s: looking at changes of interfaces, and every %s", w.host.device, every)})
	err := hostkeep.Watcher{
		Events: func(ctx context.Context) (<-chan string, error) { return linkwatch.Open(ctx, w.host.namespace) },
		Look:   w.look,
		Alarm:  w.alarm,
		Settle: 200 * time.Millisecond, Most: 2 * time.Second, Every: every,
	}.Run(ctx)
	if err != nil {
		return err
	}
	w.app.left = w.leaves(context.WithoutCancel(ctx))
	w.say(WatchAction{Action: "ended", Text: w.app.left})
	return nil
}

// alarm takes copies by programs away at once whose destination went: the kernel may
// give its index to a stranger.
func (w *hostWatch) alarm(ctx context.Context, event string) {
	if err := w.prune(ctx, event); err != nil && ctx.Err() == nil {
		w.once("", WatchAction{Action: "failed", Why: event, Text: err.Error()})
	}
}

func (w *hostWatch) prune(ctx context.Context, why string) error {
	drv, err := w.host.dial.open(ctx, w.host.device)
	if err != nil {
		return err
	}
	defer drv.Close()
	p, ok := drv.(interface {
		Prune(context.Context) ([]string, error)
	})
	if !ok {
		return nil
	}
	release, err := w.host.store.Lock(ctx, store.NewRunID(time.Now()), hostOnly(w.host))
	if err != nil {
		var locked *store.LockedError
		if errors.As(err, &locked) {
			return nil // the look that follows waits for it
		}
		return err
	}
	defer func() { _ = release() }() // a lock that was lost is no longer held
	done, err := p.Prune(ctx)
	for _, text := range done {
		w.say(WatchAction{Action: "stopped", Why: why, Text: text})
	}
	return err
}

// look is one host apply.
func (w *hostWatch) look(ctx context.Context, why string) time.Time {
	next, err := w.apply(ctx, why)
	var locked *store.LockedError
	switch {
	case ctx.Err() != nil:
		return time.Time{}
	case errors.As(err, &locked):
		w.once("", WatchAction{Action: "waiting", Why: why, Text: err.Error()})
		return time.Now().Add(busyAgain)
	case err != nil:
		w.once("", WatchAction{Action: "failed", Why: why, Text: err.Error()})
		return time.Now().Add(failedAgain)
	}
	w.well("", why)
	return next
}

func (w *hostWatch) apply(ctx context.Context, why string) (time.Time, error) {
	if err := w.prune(ctx, why); err != nil {
		return time.Time{}, err
	}
	done, err := w.app.settle(ctx, w.host)
	for _, r := range done {
		w.say(WatchAction{Action: "recovered", Run: r.Run, Text: recoveredText(r)})
	}
	if err != nil {
		return time.Time{}, err
	}
	want, err := w.app.wanted(ctx, w.host, w.paths, nil)
	if err != nil {
		return time.Time{}, err
	}
	for _, n := range want.Notes {
		w.once(n.Intent, WatchAction{Action: "waiting", Intent: n.Intent, Text: "left alone: " + n.Text})
	}
	res, err := w.host.apply(ctx, engine.ApplyRequest{Command: w.command, Request: want.request()})
	if err != nil {
		return time.Time{}, err
	}
	again := w.report(ctx, res, want, why)
	for _, in := range want.Intents {
		if name := in.Metadata.Name; !blocked(res, name) {
			w.well(name, why)
		}
	}
	if next := want.Next; !again || !next.IsZero() && time.Until(next) < failedAgain {
		return next, nil
	}
	return time.Now().Add(failedAgain), nil
}

// report says what a run did. It gives true if something failed that may go better
// the next time, without an event.
func (w *hostWatch) report(ctx context.Context, res *engine.Result, want wanted, why string) (again bool) {
	for _, g := range res.Groups {
		line := WatchAction{Intent: g.Intent, Run: res.Run, Why: why}
		if slices.Contains(want.Remove, g.Intent) {
			line.Why = "its lease ended"
		}
		if g.Outcome == engine.Applied {
			line.Action, line.Text = "changed", strings.Join(changesOf(res.Plan, g.Intent), "; ")
			w.say(line)
			delete(w.said, g.Intent)
			continue
		}
		again = true
		line.Action, line.Text = "failed", fmt.Sprintf("%s: %s", g.Outcome, g.Err)
		w.once(g.Intent, line)
	}
	var named []string
	for _, b := range res.Plan.Blocked {
		if slices.Contains(named, b.Intent) {
			continue
		}
		named = append(named, b.Intent)
		text := withDevice(b.Device, b.Reason)
		line := WatchAction{Action: "waiting", Intent: b.Intent, Why: why, Text: text}
		if w.said[b.Intent] != text {
			if has := w.has(ctx, b.Intent); has != "" {
				line.Text += "; until then the host has " + has
			}
			w.say(line)
			w.said[b.Intent] = text
		}
	}
	return again
}

func blocked(res *engine.Result, intent string) bool {
	return slices.ContainsFunc(res.Plan.Blocked, func(b engine.Blocked) bool { return b.Intent == intent }) ||
		slices.ContainsFunc(res.Groups, func(g engine.GroupResult) bool { return g.Intent == intent && g.Outcome != engine.Applied })
}

// changesOf gives the changes of an intent in words.
func changesOf(p *engine.Plan, intent string) []string {
	var out []string
	for _, g := range p.Groups {
		if g.Intent != intent {
			continue
		}
		for _, wave := range g.Waves {
			for _, cp := range wave {
				for _, c := range cp.Changes.Changes {
					out = append(out, changeText(c))
				}
			}
		}
	}
	return out
}

// has says what the host has of an intent now, "" for nothing or what cannot be known.
func (w *hostWatch) has(ctx context.Context, intent string) string {
	sessions, _, err := w.host.engine.Status(ctx, hostOnly(w.host))
	if err != nil {
		return ""
	}
	var out []string
	for _, s := range sessions {
		if s.Intent == intent {
			out = append(out, fmt.Sprintf("%s: %s", name(s.Session), describe(s.Session)))
		}
	}
	return strings.Join(out, "; ")
}

// leaves says what stays when nobody watches any more.
func (w *hostWatch) leaves(ctx context.Context) string {
	records, err := w.host.store.Records(ctx, w.host.device)
	if err != nil || len(records) == 0 {
		return "no session of spanctl is recorded on this host"
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Intent)
	}
	return fmt.Sprintf("%s: %s; they are not watched now, and leases end when spanctl host apply or spanctl expire runs",
		map[bool]string{true: "1 session stays", false: fmt.Sprintf("%d sessions stay", len(names))}[len(names) == 1], strings.Join(names, ", "))
}

// once says a line unless it is what was said last about the same.
func (w *hostWatch) once(about string, line WatchAction) {
	if w.said[about] == line.Text {
		return
	}
	w.said[about] = line.Text
	w.say(line)
}

// well takes back what was said last.
func (w *hostWatch) well(about, why string) {
	if _, ok := w.said[about]; !ok {
		return
	}
	delete(w.said, about)
	w.say(WatchAction{Action: "well", Intent: about, Why: why, Text: "as it should be"})
}

func (w *hostWatch) say(line WatchAction) {
	line.At = time.Now()
	switch w.app.set.Output {
	case "json":
		_ = json.NewEncoder(w.app.out).Encode(line) // a reader that went away ends the process by SIGPIPE
	case "yaml":
		text, err := yaml.Marshal([]WatchAction{line})
		if err == nil {
			_, _ = w.app.out.Write(text)
		}
	default:
		text := line.At.Format(time.TimeOnly) + " " + line.Action
		if line.Intent != "" {
			text += " intent " + line.Intent
		}
		if line.Text != "" {
			text += ": " + line.Text
		}
		if line.Why != "" {
			text += " [" + line.Why + "]"
		}
		fmt.Fprintln(w.app.out, text)
	}
}

func recoveredText(r engine.Recovered) string {
	var parts []string
	for _, g := range r.Groups {
		text := fmt.Sprintf("intent %s: %s", g.Intent, g.Outcome)
		if g.Err != "" {
			text += ": " + g.Err
		}
		parts = append(parts, text)
	}
	if r.Note != "" {
		parts = append(parts, r.Note)
	}
	return strings.Join(parts, "; ")
}
