package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
)

// VerifyReport is the result of verify.
type VerifyReport struct {
	Findings models.Findings  `json:"findings,omitempty"`
	Sessions []engine.Verdict `json:"sessions"`
	Traffic  []TrafficCheck   `json:"traffic,omitempty"`
	Proven   bool             `json:"proven"` // everything is as intended, and frames showed it where they were sent
}

func newVerify(a *app) *cobra.Command {
	var lab string
	cmd := &cobra.Command{
		Use:   "verify [INTENTS...]",
		Short: "Compare configuration and operation with intents; with a lab, send frames and count the copies",
		Long: `Compare configuration and operation with intents. With --lab, send marked frames
of small, middle and full size through the mirrored ports and count at the sensor:
copies arrived, lost, doubled, damaged; original traffic unhurt.
Exit status: 0 as intended, 2 not as intended, 1 could not be looked at.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error { return a.verify(cmd.Context(), s, args, lab) })
		},
	}
	cmd.Flags().StringVar(&lab, "lab", "", "`address` of the control interface of spanlab")
	return cmd
}

func (a *app) verify(ctx context.Context, s *site, args []string, lab string) error {
	intents, err := a.intents(args)
	if err != nil {
		return err
	}
	verdicts, sessions, found, err := s.engine.Verify(ctx, intents)
	s.bar.stop()
	if err != nil {
		return err
	}
	rep := VerifyReport{Findings: found, Sessions: verdicts}
	if rep.Sessions == nil {
		rep.Sessions = []engine.Verdict{}
	}
	code := exitOK
	for _, v := range verdicts {
		switch {
		case v.Err != "":
			code = exitError
		case !v.OK() && code == exitOK:
			code = exitDiffers
		}
	}
	if len(found.Errors()) > 0 {
		code = exitError
	} else if lab != "" {
		if rep.Traffic, err = traffic(ctx, lab, intents, sessions); err != nil {
			return err
		}
		for _, t := range rep.Traffic {
			if !t.OK() && code == exitOK {
				code = exitDiffers
			}
		}
	}
	rep.Proven = code == exitOK
	if err := a.print(rep, func(w io.Writer) error { showVerify(w, rep, lab != ""); return nil }); err != nil {
		return err
	}
	return exit(code)
}

func traffic(ctx context.Context, lab string, intents []models.Intent, sessions []models.Session) ([]TrafficCheck, error) {
	t, err := newTrafficTest(ctx, newLabClient(lab))
	if err != nil {
		return nil, err
	}
	var out []TrafficCheck
	for _, in := range intents {
		var mine []models.Session
		for _, s := range sessions {
			if s.Intent == in.Metadata.Name {
				mine = append(mine, s)
			}
		}
		checks, err := t.check(ctx, in.Metadata.Name, mine)
		if err != nil {
			return nil, err
		}
		out = append(out, checks...)
	}
	return out, nil
}

func showVerify(w io.Writer, rep VerifyReport, withTraffic bool) {
	showFindings(w, rep.Findings)
	for _, v := range rep.Sessions {
		switch {
		case v.Err != "":
			fmt.Fprintf(w, "%s: session %s of %s: not known: %s\n", v.Device, v.Session, v.Intent, v.Err)
			continue
		case !v.Config:
			fmt.Fprintf(w, "%s: session %s of %s: not as intended\n", v.Device, v.Session, v.Intent)
		default:
			fmt.Fprintf(w, "%s: session %s of %s: configured as intended, operation %s\n", v.Device, v.Session, v.Intent, stateText(v.State))
		}
		for _, d := range v.Details {
			fmt.Fprintln(w, "  "+d)
		}
	}
	for _, t := range rep.Traffic {
		if t.Note != "" {
			fmt.Fprintf(w, "%s %s (%s): not tested: %s\n", t.Device, t.Port, t.Intent, t.Note)
			continue
		}
		verdict := "proven"
		if !t.OK() {
			verdict = "NOT as intended"
		}
		fmt.Fprintf(w, "%s %s %s (%s): %s: %d frames %s (%s to %s), %d delivered unhurt; %d copies at %s, want %d; lost %d, doubled %d, damaged %d\n",
			t.Device, t.Port, t.Direction, t.Intent, verdict, t.Sent, t.Frames, t.From, t.To, t.Delivered, t.Copies, t.Sensor, t.Want, t.Lost, t.Doubled, t.Damaged)
	}
	switch {
	case !rep.Proven:
		fmt.Fprintln(w, "verify: not as intended")
	case withTraffic:
		fmt.Fprintln(w, "verify: proven by frames")
	default:
		fmt.Fprintln(w, "verify: configured as intended; no frames were sent (use --lab to send some)")
	}
}

func stateText(s models.Status) string {
	if s.Reason != "" {
		return fmt.Sprintf("%s (%s)", s.State, s.Reason)
	}
	return s.State.String()
}
