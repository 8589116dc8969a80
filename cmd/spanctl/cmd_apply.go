package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
)

type applyOptions struct {
	planOptions
	plan    string
	yes     bool
	confirm time.Duration
}

func (o *applyOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&o.confirm, "confirm", 0, "leave the devices' way back running for this `time`; spanctl confirm ends it")
	cmd.Flags().DurationVar(&o.wayBack, "way-back", 0, wayBackUsage)
	cmd.Flags().StringVar(&o.save, "save", string(engine.SaveAuto), saveUsage)
}

func newApply(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply [INTENTS...]",
		Short: "Make what intents ask for, on all their devices or on none",
		Long: `Make what intents ask for, on all their devices or on none. The plan is shown
and a question asked first; --yes leaves the question out.
Exit status: 0 done or nothing to do, 1 otherwise.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				req := engine.ApplyRequest{Command: commandLine(cmd, args)}
				var err error
				if o.plan != "" {
					if len(args) > 0 {
						return errors.New("give intents or --plan, not both")
					}
					req.Saved = new(engine.Plan)
					err = readJSON(o.plan, req.Saved)
				} else {
					req.Request, err = a.request(args, o.planOptions)
				}
				if err != nil {
					return err
				}
				return a.apply(cmd, s, req, o)
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.plan, "plan", "", "apply the plan saved in `file`, refused when a device has moved since")
	cmd.Flags().StringSliceVar(&o.remove, "remove", nil, "also take these intents away, by `name`")
	cmd.Flags().BoolVar(&o.keepGoing, "keep-going", false, "apply the other intents when one is refused")
	return cmd
}

// apply runs a request with plan, question and result.
func (a *app) apply(cmd *cobra.Command, s *site, req engine.ApplyRequest, o applyOptions) error {
	if o.confirm < 0 || o.wayBack < 0 {
		return errors.New("--confirm and --way-back must not be negative")
	}
	mode, err := o.saveMode()
	if err != nil {
		return err
	}
	if req.Saved != nil && mode != engine.SaveAuto {
		return errors.New("a plan that was made before says itself what is saved: give --save to spanctl plan; a rollback saves where what it takes back was saved")
	}
	req.Hold, req.Within, req.Save = o.confirm, o.wayBack, mode
	shown := false
	req.Approve = func(p *engine.Plan) (bool, error) {
		s.bar.stop()
		if o.yes {
			return true, nil
		}
		showPlan(a.err, p)
		shown = true
		return a.ask(cmd.Context(), "apply this?")
	}
	res, err := s.apply(cmd.Context(), req)
	s.bar.stop()
	if err != nil {
		return err
	}
	a.left = leftBy(res)
	err = a.print(res, func(w io.Writer) error {
		if !shown && (res.Plan.Failed() || len(res.Plan.Findings) > 0) {
			showFindings(w, res.Plan.Findings)
			for _, b := range res.Plan.Blocked {
				fmt.Fprintf(w, "left alone: intent %s: %s\n", b.Intent, withDevice(b.Device, b.Reason))
			}
		}
		if res.Outcome == engine.Untouched && len(res.Groups) == 0 {
			fmt.Fprintln(w, "nothing was sent")
			return nil
		}
		showResult(w, res)
		return nil
	})
	if err == nil && res.Failed() {
		return exit(exitError)
	}
	return err
}

// apply is the engine's Apply, and once more when this host's kernel has turned out to
// lack what the plan was made with: without CAP_SYS_ADMIN it could not be asked before.
func (s *site) apply(ctx context.Context, req engine.ApplyRequest) (*engine.Result, error) {
	for {
		before := s.dial.lacking.Len()
		res, err := s.engine.Apply(ctx, req)
		if err != nil || !res.Failed() || req.Saved != nil || s.dial.lacking.Len() == before {
			return res, err
		}
	}
}

// leftBy says in a few words what a run left behind; "" for one that sent nothing.
func leftBy(res *engine.Result) string {
	n := make(map[engine.Outcome]int)
	for _, g := range res.Groups {
		n[g.Outcome]++
	}
	var parts []string
	for _, o := range []struct {
		outcome engine.Outcome
		text    string
	}{
		{engine.Applied, "applied: it was too late to go back"},
		{engine.Held, "applied, to be confirmed by spanctl confirm"},
		{engine.Reverted, "begun: what was sent was taken back"},
		{engine.Untouched, "not begun: nothing was sent"},
		{engine.InDoubt, "in doubt: run spanctl recover"},
	} {
		if n[o.outcome] > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s %s", n[o.outcome], count(len(res.Groups), "intent"), o.text))
		}
	}
	return strings.Join(parts, "; ")
}

// ask asks a question that only "y" or "yes" answers with yes. Without a terminal
// and without an answer on standard input it is no. The end of ctx is an error.
func (a *app) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(a.err, question+" [y/N] ")
	type answer struct {
		line string
		err  error
	}
	came := make(chan answer, 1)
	go func() { // ends with the process if nobody ever answers: a read cannot be called off
		line, err := bufio.NewReader(a.in).ReadString('\n')
		came <- answer{line, err}
	}()
	var got answer
	select {
	case got = <-came:
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return false, errors.New("the question was not answered")
	}
	if got.err != nil && !errors.Is(got.err, io.EOF) {
		return false, got.err
	}
	if errors.Is(got.err, io.EOF) && got.line == "" {
		fmt.Fprintln(a.err)
		if f, ok := a.in.(*os.File); ok && !isTerminal(f) {
			return false, errors.New("nobody is there to answer: use --yes to apply without a question")
		}
	}
	switch strings.ToLower(strings.TrimSpace(got.line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

func newDelete(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Take intents away from all their devices",
		Args:  needNames("intent to delete"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				req := engine.ApplyRequest{Command: commandLine(cmd, args), Request: engine.Request{Remove: args}}
				return a.apply(cmd, s, req, o)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

func newExpire(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "expire",
		Short: "Take away the intents whose lease has ended; for a timer",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				due, err := s.engine.Due(cmd.Context())
				if err != nil {
					return err
				}
				// One intent that cannot be removed now must not keep the others alive.
				req := engine.ApplyRequest{Command: commandLine(cmd, args), Request: engine.Request{Remove: due, KeepGoing: true}}
				return a.apply(cmd, s, req, o)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

func newConfirm(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm [RUN]",
		Short: "Make a run stay that was applied with --confirm",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error {
				id := ""
				if len(args) > 0 {
					id = args[0]
				}
				res, err := s.engine.Confirm(cmd.Context(), id)
				if err != nil {
					return err
				}
				a.left = leftBy(res)
				if err := a.print(res, func(w io.Writer) error { showResult(w, res); return nil }); err != nil {
					return err
				}
				if res.Failed() {
					return exit(exitError)
				}
				return nil
			})
		},
	}
}
