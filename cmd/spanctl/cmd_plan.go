package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// ValidateReport is the result of validate.
type ValidateReport struct {
	Intents  int             `json:"intents"`
	Sessions int             `json:"sessions"` // that the intents come to
	Findings models.Findings `json:"findings"`
	Notes    []plan.Note     `json:"notes,omitempty"`
}

func newValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [INTENTS...]",
		Short: "Check intents against inventory and capabilities; no device is reached",
		Long:  "Check intents against inventory and capabilities; no device is reached.\nExit status: 0 valid, 1 invalid.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), false, func(s *site) error { return a.validate(s, args) })
		},
	}
}

func (a *app) validate(s *site, args []string) error {
	intents, err := a.intents(args)
	found, err := a.asFindings(err)
	if err != nil {
		return err
	}
	rep := ValidateReport{Intents: len(intents), Findings: models.Findings{}} // never null
	if len(found) == 0 {
		var sessions []models.Session
		sessions, rep.Notes, found = s.engine.Check(intents)
		rep.Sessions = len(sessions)
	}
	found = append(rep.Findings, found...)
	rep.Findings = found
	err = a.print(rep, func(w io.Writer) error {
		showFindings(w, found)
		for _, n := range rep.Notes {
			fmt.Fprintf(w, "note: intent %s, %s: %s\n", n.Intent, n.Device, n.Text)
		}
		if n := len(found.Errors()); n > 0 {
			fmt.Fprintf(w, "invalid: %s in %s\n", count(n, "error"), count(len(intents), "intent"))
			return nil
		}
		_, err := fmt.Fprintf(w, "valid: %s, %s\n", count(len(intents), "intent"), count(rep.Sessions, "session"))
		return err
	})
	if err == nil && len(found.Errors()) > 0 {
		return exit(exitError)
	}
	return err
}

// asFindings gives what is wrong with files, for a report that a program reads. People
// read the error as it is.
func (a *app) asFindings(err error) (models.Findings, error) {
	var found models.Findings
	if a.set.Output != "table" && errors.As(err, &found) {
		return found, nil
	}
	return nil, err
}

// wayBackUsage explains a flag of plan, apply and all that applies.
const wayBackUsage = "`time` after which devices go back by themselves should spanctl die during the run (default 10m)"

type planOptions struct {
	offline   string
	out       string
	remove    []string
	keepGoing bool
	wayBack   time.Duration
	save      string
}

// saveMode checks --save; a command that has no such flag saves as by default.
func (o planOptions) saveMode() (engine.SaveMode, error) {
	switch m := engine.SaveMode(o.save); m {
	case "":
		return engine.SaveAuto, nil
	case engine.SaveAuto, engine.SaveAlways, engine.SaveNever:
		return m, nil
	}
	return "", fmt.Errorf("--save %s: want auto, always or never", o.save)
}

// saveUsage explains a flag of plan, apply and all that applies.
const saveUsage = "`mode` of writing to the configuration that devices boot with: auto keeps what never expires over a reboot, and removals of what was kept; or always or never"

func newPlan(a *app) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan [INTENTS...]",
		Short: "Show what would change, as the devices' own configuration lines; change nothing",
		Long: `Show what would change, as the devices' own configuration lines in the order of
execution; change nothing.
Exit status: 0 nothing to do, 2 changes, 1 error.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), true, func(s *site) error { return a.plan(cmd, s, args, o) })
		},
	}
	cmd.Flags().StringVar(&o.offline, "offline", "", "plan from the states recorded in `folder` (spanctl devices --record), reach no device")
	cmd.Flags().StringVar(&o.out, "out", "", "also save the plan to `file`, for apply --plan")
	cmd.Flags().StringSliceVar(&o.remove, "remove", nil, "also plan to take these intents away, by `name`")
	cmd.Flags().BoolVar(&o.keepGoing, "keep-going", false, "plan the other intents when one is refused")
	cmd.Flags().DurationVar(&o.wayBack, "way-back", 0, wayBackUsage)
	cmd.Flags().StringVar(&o.save, "save", string(engine.SaveAuto), saveUsage)
	return cmd
}

func (a *app) plan(cmd *cobra.Command, s *site, args []string, o planOptions) error {
	req, err := a.request(args, o)
	found, err := a.asFindings(err)
	if err != nil {
		return err
	}
	p := &engine.Plan{Version: engine.PlanVersion, Made: time.Now(), Findings: found}
	if len(found) == 0 {
		p, err = s.engine.Plan(cmd.Context(), req)
	}
	s.bar.stop()
	if err != nil {
		return err
	}
	if err := a.print(p, func(w io.Writer) error { showPlan(w, p); return nil }); err != nil {
		return err
	}
	switch {
	case p.Failed():
		return exit(exitError)
	case o.out != "":
		if err := writeJSON(o.out, p); err != nil {
			return err
		}
	}
	if p.Empty() && len(p.Gone) == 0 {
		return nil
	}
	return exit(exitDiffers)
}

func (a *app) request(args []string, o planOptions) (engine.Request, error) {
	req := engine.Request{Remove: o.remove, KeepGoing: o.keepGoing, Within: o.wayBack}
	var err error
	if req.Save, err = o.saveMode(); err != nil {
		return req, err
	}
	if len(args) > 0 || len(o.remove) == 0 {
		if req.Intents, err = a.intents(args); err != nil {
			return req, err
		}
	}
	if o.offline != "" {
		req.Offline, err = readStates(o.offline)
	}
	return req, err
}

// readStates reads the states that devices --record wrote, one file per device.
func readStates(dir string) (map[models.DeviceID]models.DeviceState, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no recorded states (*.json): record them with spanctl devices --record %s", dir, dir)
	}
	out := make(map[models.DeviceID]models.DeviceState, len(files))
	for _, f := range files {
		var st models.DeviceState
		if err := readJSON(f, &st); err != nil {
			return nil, err
		}
		if st.Device == "" {
			return nil, fmt.Errorf("%s: names no device", f)
		}
		if _, dup := out[st.Device]; dup {
			return nil, fmt.Errorf("%s: another file is about %s, too", f, st.Device)
		}
		out[st.Device] = st
	}
	return out, nil
}

// readJSON reads a file of one JSON value, strictly.
func readJSON(file string, v any) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows the value", file)
	}
	return nil
}

// writeJSON writes a file whole or not at all.
func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, append(text, '\n'), 0o600)
}

// writeFile writes a file whole or not at all.
func writeFile(file string, text []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// fileName makes a file name of a device name.
func fileName(dev models.DeviceID) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:`, r) || r < ' ' {
			return '_'
		}
		return r
	}, string(dev)) + ".json"
}
