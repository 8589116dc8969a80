package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// StatusReport is the result of status.
type StatusReport struct {
	Sessions []engine.SessionStatus `json:"sessions"`
	Failed   []DeviceFailure        `json:"failed,omitempty"`
}

// DeviceFailure is a device that could not be looked at.
type DeviceFailure struct {
	Device models.DeviceID `json:"device"`
	Err    string          `json:"err"`
}

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [DEVICES...]",
		Short: "All sessions of all devices: ours, adopted, strangers; what expires when",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				devs, err := s.devices(args)
				if err != nil {
					return err
				}
				rep := StatusReport{Sessions: []engine.SessionStatus{}}
				sessions, failed, err := s.engine.Status(cmd.Context(), devs)
				s.bar.stop()
				if err != nil {
					return err
				}
				rep.Sessions = append(rep.Sessions, sessions...)
				for _, f := range failed {
					rep.Failed = append(rep.Failed, DeviceFailure{f.Device, f.Err.Error()})
				}
				if err := a.print(rep, func(w io.Writer) error { showStatus(w, rep); return nil }); err != nil {
					return err
				}
				if len(failed) > 0 {
					return exit(exitError)
				}
				return nil
			})
		},
	}
}

func showStatus(w io.Writer, rep StatusReport) {
	t := newTable(w, "DEVICE", "SESSION", "WHOSE", "INTENT", "STATE", "EXPIRES", "WHAT")
	for _, s := range rep.Sessions {
		expires := ""
		switch {
		case s.Whose == engine.Foreign:
		case !s.Held.IsZero():
			expires = "goes back at " + s.Held.Local().Format(time.TimeOnly)
		case s.Expires.IsZero():
			expires = "never"
		case s.Due:
			expires = "due"
		default:
			expires = s.Expires.Local().Format(time.DateTime)
		}
		state := s.Session.Status.State.String()
		if s.Session.Status.Reason != "" {
			state += " (" + s.Session.Status.Reason + ")"
		}
		t.AppendRow([]any{s.Device, name(s.Session), s.Whose, s.Intent, state, expires, describe(s.Session)})
	}
	if len(rep.Sessions) > 0 {
		t.Render()
	} else {
		fmt.Fprintln(w, "no sessions")
	}
	told := make(map[string]bool)
	for _, s := range rep.Sessions {
		if s.Run != "" && !told[s.Run] {
			told[s.Run] = true
			fmt.Fprintf(w, "run %s waits for: spanctl confirm %s\n", s.Run, s.Run)
		}
	}
	for _, f := range rep.Failed {
		fmt.Fprintln(w, "error: "+withDevice(f.Device, f.Err))
	}
}

func newDrift(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "drift [DEVICES...]",
		Short: "What differs from what was applied",
		Long:  "What differs from what was applied.\nExit status: 0 nothing, 2 something does, 1 a device could not be looked at.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				var devs []models.DeviceID
				if len(args) > 0 {
					var err error
					if devs, err = s.devices(args); err != nil {
						return err
					}
				}
				found, err := s.engine.Drift(cmd.Context(), devs)
				s.bar.stop()
				if err != nil {
					return err
				}
				code := exitOK
				for _, d := range found {
					if d.Kind == "unknown" {
						code = exitError
					} else if code == exitOK {
						code = exitDiffers
					}
				}
				if found == nil {
					found = []engine.Drift{}
				}
				if err := a.print(found, func(w io.Writer) error { showDrift(w, found); return nil }); err != nil {
					return err
				}
				return exit(code)
			})
		},
	}
}

func showDrift(w io.Writer, found []engine.Drift) {
	if len(found) == 0 {
		fmt.Fprintln(w, "everything is as applied")
	}
	for _, d := range found {
		fmt.Fprintf(w, "%s: session %s of intent %s: %s\n", d.Device, d.Session, d.Intent, d.Kind)
		for _, line := range d.Details {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

func newHistory(a *app) *cobra.Command {
	var f store.Filter
	var device string
	cmd := &cobra.Command{
		Use:   "history [RUN]",
		Short: "What was run, newest first; or one run step by step",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.openStore(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer st.Close()
			if len(args) == 1 {
				rs, err := st.Run(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.print(rs, func(w io.Writer) error { showRun(w, rs); return nil })
			}
			f.Device = models.DeviceID(device)
			runs, err := st.History(cmd.Context(), f)
			if err != nil {
				return err
			}
			if runs == nil {
				runs = []store.Run{}
			}
			return a.print(runs, func(w io.Writer) error {
				t := newTable(w, "RUN", "STARTED", "USER", "OUTCOME", "COMMAND")
				for _, r := range runs {
					outcome := r.Outcome
					if r.Finished.IsZero() {
						outcome = "open"
					}
					t.AppendRow([]any{r.ID, r.Started.Local().Format(time.DateTime), r.User, outcome, r.Command})
				}
				t.Render()
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most so many; 0 is all")
	cmd.Flags().StringVar(&device, "device", "", "only runs that touched this device")
	cmd.Flags().StringVar(&f.Intent, "intent", "", "only runs of this intent")
	return cmd
}

func showRun(w io.Writer, rs store.RunState) {
	fmt.Fprintf(w, "run %s by %s@%s: %s\n", rs.ID, rs.User, rs.Host, rs.Command)
	t := newTable(w, "AT", "INTENT", "WAVE", "DEVICE", "STEP", "ERROR")
	for _, e := range rs.Entries {
		t.AppendRow([]any{e.At.Local().Format("15:04:05.000"), e.Group, e.Wave + 1, e.Device, e.Step, e.Err})
	}
	t.Render()
	switch {
	case !rs.Finished.IsZero():
		fmt.Fprintln(w, "ended: "+rs.Outcome)
	case rs.Interrupted:
		fmt.Fprintln(w, "not finished, and its process is gone: spanctl recover, or spanctl confirm if it waits for that")
	default:
		fmt.Fprintln(w, "at work")
	}
}

func newRecover(a *app) *cobra.Command {
	var revert bool
	cmd := &cobra.Command{
		Use:   "recover [RUN...]",
		Short: "Settle interrupted runs: every device to the old state or the new, never between",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				a.left = "run spanctl recover again for what is left"
				done, err := s.engine.Recover(cmd.Context(), revert, args...)
				if err != nil {
					return err
				}
				code := exitOK
				for _, r := range done {
					if r.Failed() {
						code = exitError
					}
				}
				if done == nil {
					done = []engine.Recovered{}
				}
				if err := a.print(done, func(w io.Writer) error { showRecovered(w, done); return nil }); err != nil {
					return err
				}
				return exit(code)
			})
		},
	}
	cmd.Flags().BoolVar(&revert, "revert", false, "also take back runs that wait for spanctl confirm")
	return cmd
}

func showRecovered(w io.Writer, done []engine.Recovered) {
	if len(done) == 0 {
		fmt.Fprintln(w, "no run is open")
	}
	for _, r := range done {
		for _, g := range r.Groups {
			fmt.Fprintf(w, "run %s: intent %s: %s\n", r.Run, g.Intent, g.Outcome)
			for _, d := range g.Devices {
				line := fmt.Sprintf("  %s: %s", d.Device, d.Outcome)
				if d.Err != "" {
					line += ": " + d.Err
				}
				fmt.Fprintln(w, line)
				showSaved(w, d)
			}
		}
		if r.Note != "" {
			fmt.Fprintf(w, "run %s %s\n", r.Run, r.Note)
		}
	}
}

func newRollback(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "rollback RUN",
		Short: "Take one finished run back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				p, err := s.engine.RollbackPlan(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.apply(cmd, s, engine.ApplyRequest{Saved: p, Command: commandLine(cmd, args)}, o)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
