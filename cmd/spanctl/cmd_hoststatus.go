package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
)

// HostStatus is the result of host status.
type HostStatus struct {
	Device    models.DeviceID `json:"device"`
	Namespace string          `json:"namespace,omitempty"` // path of the network namespace, "" = that of spanctl
	Hostname  string          `json:"hostname"`
	Kernel    string          `json:"kernel"` // release

	Filters  []hostmirror.Ability `json:"filters"`  // classifiers of tc, best first
	Actions  []hostmirror.Ability `json:"actions"`  // of tc
	Programs []hostmirror.Ability `json:"programs"` // ways to attach BPF programs
	// Missing are capabilities that this spanctl lacks, each with what it is for.
	Missing []string `json:"missing,omitempty"`

	Sessions []HostSession `json:"sessions"`
	// Strangers are mirrors that are not spanctl's.
	Strangers []models.Session `json:"strangers,omitempty"`
	// Notes say what the numbers cannot tell.
	Notes []string `json:"notes,omitempty"`
}

// HostSession is a session of spanctl on this host, as it is, as it was recorded, or
// both.
type HostSession struct {
	Session string        `json:"session"`
	Intent  string        `json:"intent,omitempty"` // "" when no record says whose it is
	Expires time.Time     `json:"expires,omitzero"` // zero = never, or not known
	Due     bool          `json:"due,omitempty"`
	State   models.Status `json:"state,omitzero"`
	// Gone is set when the session is recorded and the host has nothing of it.
	Gone   bool                    `json:"gone,omitempty"`
	Copies []hostmirror.CopyReport `json:"copies,omitempty"`
	// Tunnels are the destinations that wrap copies: what they lose, the copies count
	// as delivered.
	Tunnels []TunnelStatus `json:"tunnels,omitempty"`
	// Delivered is what the copies' counters say less what the tunnels lost.
	Delivered uint64 `json:"delivered"`
}

// TunnelStatus is what a tunnel interface says of itself.
type TunnelStatus struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"` // of the kernel, such as erspan
	Sent   uint64 `json:"sent"` // frames since the interface was made
	Errors uint64 `json:"errors"`
	Drops  uint64 `json:"drops"`
}

func newHostStatus(a *app) *cobra.Command {
	var o hostOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What this host can do, its sessions, and what became of each copy",
		Long: `What the kernel of this host can do and, in its own words, cannot; which
privileges are missing; the sessions with, for each copy, how it is made, why so,
and how many frames were offered to the destination, delivered and lost.
It changes nothing; to learn whether BPF programs can be made, one is loaded and
attached nowhere. Looking needs no privilege but for another namespace.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withHost(cmd, o, func(h *hostSite) error {
				st, err := h.status(cmd.Context())
				h.bar.stop()
				if err != nil {
					return err
				}
				return a.print(st, func(w io.Writer) error { showHost(w, st); return nil })
			})
		},
	}
	o.flags(cmd)
	return cmd
}

func (h *hostSite) status(ctx context.Context) (*HostStatus, error) {
	drv, err := h.dial.open(ctx, h.device)
	if err != nil {
		return nil, err
	}
	defer drv.Close()
	mirror, ok := drv.(*hostmirror.Host)
	if !ok {
		return nil, fmt.Errorf("%s: is not mirrored on by this spanctl itself", h.device)
	}
	mirror.AskPrograms()
	rep, err := mirror.Report(ctx)
	if err != nil {
		return nil, err
	}
	sessions, failed, err := h.engine.Status(ctx, hostOnly(h))
	if err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		return nil, failed[0].Err
	}
	records, err := h.store.Records(ctx, h.device)
	if err != nil {
		return nil, err
	}
	st := &HostStatus{
		Device: h.device, Namespace: h.namespace, Hostname: rep.Hostname, Kernel: rep.Kernel,
		Filters: rep.Filters, Actions: rep.Actions, Programs: rep.Programs, Sessions: []HostSession{},
	}
	for _, c := range rep.Missing {
		st.Missing = append(st.Missing, c+": "+needFor(c))
	}
	st.arrange(rep.Copies, sessions, records)
	st.tunnels(linkStatus(h.namespace))
	st.notes()
	return st, nil
}

// needFor says what a capability is for.
func needFor(capability string) string {
	if capability == "CAP_NET_ADMIN" {
		return "making and taking away mirrors"
	}
	return "mirrors that are made by BPF programs"
}

// arrange puts copies, sessions and records together, in the order of the sessions.
func (st *HostStatus) arrange(copies []hostmirror.CopyReport, sessions []engine.SessionStatus, records []models.Record) {
	seen := make(map[string]bool)
	for _, s := range sessions {
		ours := slices.ContainsFunc(copies, func(c hostmirror.CopyReport) bool { return c.Session == s.Session.Name })
		if s.Whose == engine.Foreign && !ours {
			st.Strangers = append(st.Strangers, s.Session)
			continue
		}
		hs := HostSession{Session: s.Session.Name, Intent: s.Intent, Expires: s.Expires, Due: s.Due, State: s.Session.Status}
		for _, c := range copies {
			if c.Session == hs.Session {
				hs.Copies = append(hs.Copies, c)
				hs.Delivered += c.Delivered
			}
		}
		seen[hs.Session] = true
		st.Sessions = append(st.Sessions, hs)
	}
	for _, r := range records {
		if !seen[r.Session.Name] {
			st.Sessions = append(st.Sessions, HostSession{Session: r.Session.Name, Intent: r.Intent, Expires: r.Expires, Due: r.Due(time.Now()), Gone: true})
		}
	}
}

// tunnels adds what tunnel interfaces lost behind the copies' own counters. find gives
// the state of an interface, and whether it is a tunnel.
func (st *HostStatus) tunnels(find func(name string) (TunnelStatus, bool)) {
	for i := range st.Sessions {
		s := &st.Sessions[i]
		var names []string
		for _, c := range s.Copies {
			for _, to := range c.Destinations {
				if !slices.Contains(names, to) {
					names = append(names, to)
				}
			}
		}
		for _, to := range names {
			t, ok := find(to)
			if !ok {
				continue
			}
			s.Tunnels = append(s.Tunnels, t)
			s.Delivered -= min(s.Delivered, t.Errors+t.Drops)
		}
	}
}

func (st *HostStatus) notes() {
	tunnels, filters := false, false
	for _, s := range st.Sessions {
		tunnels = tunnels || len(s.Tunnels) > 0
		for _, c := range s.Copies {
			filters = filters || strings.HasPrefix(c.Method, "tc ") && c.Lost > 0
		}
	}
	if tunnels {
		st.Notes = append(st.Notes, "what is lost behind a tunnel interface, on the way to its receiver, this host cannot count; a tunnel's errors and drops are those of all that it was given")
	}
	if filters {
		st.Notes = append(st.Notes, "a frame that segmentation offload has not cut yet counts as its segments where it is offered, but as one where it is lost: with such frames delivered and lost are approximate")
	}
}

func showHost(w io.Writer, st *HostStatus) {
	where := ""
	if st.Namespace != "" {
		where = ", network namespace " + st.Namespace
	}
	fmt.Fprintf(w, "%s: Linux %s on %s%s\n", st.Device, st.Kernel, st.Hostname, where)
	showAbilities(w, "filters", st.Filters)
	showAbilities(w, "actions", st.Actions)
	showAbilities(w, "programs", st.Programs)
	for _, m := range st.Missing {
		fmt.Fprintln(w, "missing "+m)
	}
	if len(st.Sessions) == 0 {
		fmt.Fprintln(w, "no sessions")
	} else {
		showHostSessions(w, st.Sessions)
	}
	for _, s := range st.Strangers {
		fmt.Fprintf(w, "not spanctl's: %s: %s\n", name(s), describe(s))
	}
	for _, n := range st.Notes {
		fmt.Fprintln(w, "note: "+n)
	}
}

func showAbilities(w io.Writer, what string, list []hostmirror.Ability) {
	var has, unknown []string
	for _, a := range list {
		switch a.Has {
		case hostmirror.Present:
			has = append(has, a.Name)
		case hostmirror.Unknown:
			unknown = append(unknown, a.Name)
		}
	}
	if len(has) > 0 {
		fmt.Fprintf(w, "%s: %s\n", what, strings.Join(has, ", "))
	}
	for _, a := range list {
		if a.Has == hostmirror.Absent {
			fmt.Fprintf(w, "%s: no %s: %s\n", what, a.Name, a.Why)
		}
	}
	if len(unknown) > 0 {
		why := list[slices.IndexFunc(list, func(a hostmirror.Ability) bool { return a.Has == hostmirror.Unknown })].Why
		fmt.Fprintf(w, "%s: %s: %s\n", what, strings.Join(unknown, ", "), why)
	}
}

func showHostSessions(w io.Writer, sessions []HostSession) {
	t := newTable(w, "SESSION", "INTENT", "EXPIRES", "SOURCE", "DIRECTION", "DESTINATION", "METHOD", "OFFERED", "DELIVERED", "LOST", "STATE")
	for _, s := range sessions {
		expires := s.Expires.Local().Format(time.DateTime)
		switch {
		case s.Intent == "":
			expires = ""
		case s.Due:
			expires = "due"
		case s.Expires.IsZero():
			expires = "never"
		}
		if len(s.Copies) == 0 {
			t.AppendRow([]any{s.Session, s.Intent, expires, "", "", "", "", "", "", "", "not there"})
		}
		for _, c := range s.Copies {
			to := strings.Join(c.Destinations, " ")
			if to == "" {
				to = "gone"
			}
			t.AppendRow([]any{s.Session, s.Intent, expires, c.Source, c.Direction, to, c.Method, c.Offered, c.Delivered, c.Lost, s.State.State})
		}
	}
	t.Render()
	for _, s := range sessions {
		for _, line := range s.remarks() {
			fmt.Fprintf(w, "%s: %s\n", s.Session, line)
		}
	}
}

// remarks say what of a session does not fit into a table.
func (s HostSession) remarks() []string {
	var out []string
	if s.State.Reason != "" {
		out = append(out, s.State.Reason)
	}
	if s.Gone {
		out = append(out, "recorded, and the host has nothing of it: spanctl host apply makes it again while its lease lasts")
	} else if s.Intent == "" {
		out = append(out, "has spanctl's mark, and no record says whose it is: look with the --store that it was made with")
	}
	for _, c := range s.Copies {
		if c.Reason != "" {
			out = append(out, fmt.Sprintf("%s %s is copied by a program: %s", c.Source, c.Direction, c.Reason))
		}
	}
	for _, t := range s.Tunnels {
		out = append(out, fmt.Sprintf("tunnel %s (%s): sent %d, errors %d, dropped %d; so %d delivered", t.Name, t.Kind, t.Sent, t.Errors, t.Drops, s.Delivered))
	}
	return out
}
