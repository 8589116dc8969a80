package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
)

// DeviceReport is one device of the inventory, and what it said.
type DeviceReport struct {
	Device    models.DeviceID   `json:"device"`
	Platform  string            `json:"platform"`
	Address   string            `json:"address"`
	Labels    map[string]string `json:"labels,omitempty"`
	Reachable bool              `json:"reachable"`
	Facts     models.Facts      `json:"facts,omitzero"`
	Sessions  int               `json:"sessions"`
	Err       string            `json:"err,omitempty"`
}

func newDevices(a *app) *cobra.Command {
	var record string
	var list bool
	cmd := &cobra.Command{
		Use:   "devices [DEVICES...]",
		Short: "Reach and identify devices; with --record, write their states down",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), false, func(s *site) error {
				devs, err := s.devices(args)
				if err != nil {
					return err
				}
				var obs []engine.Observation
				if !list {
					obs = s.engine.Observe(cmd.Context(), devs)
					s.bar.stop()
				}
				rep := s.reports(devs, obs)
				if record != "" {
					if list {
						return errors.New("--record needs the devices; leave --list out")
					}
					if err := recordStates(record, obs); err != nil {
						return err
					}
				}
				if err := a.print(rep, func(w io.Writer) error { showDevices(w, rep, list); return nil }); err != nil {
					return err
				}
				for _, r := range rep {
					if r.Err != "" {
						return exit(exitError)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&record, "record", "", "write each device's state to `folder`, for plan --offline")
	cmd.Flags().BoolVar(&list, "list", false, "only list the inventory, reach no device")
	return cmd
}

func (s *site) reports(devs []models.DeviceID, obs []engine.Observation) []DeviceReport {
	labels := make(map[models.DeviceID]map[string]string, len(s.network.Devices))
	for _, d := range s.network.Devices {
		labels[d.ID] = d.Labels
	}
	out := make([]DeviceReport, len(devs))
	for i, dev := range devs {
		r := &out[i]
		*r = DeviceReport{Device: dev, Platform: s.platform[dev], Labels: labels[dev]}
		if acc, err := s.inv.Access(dev); err == nil {
			r.Address = acc.Address
			if acc.Port != 0 {
				r.Address = net.JoinHostPort(acc.Address, strconv.Itoa(int(acc.Port)))
			}
		}
		if obs == nil {
			continue
		}
		if err := obs[i].Err; err != nil {
			r.Err = err.Error()
			continue
		}
		r.Reachable, r.Facts, r.Sessions = true, obs[i].State.Facts, len(obs[i].State.Sessions)
	}
	return out
}

func showDevices(w io.Writer, rep []DeviceReport, list bool) {
	t := newTable(w, "DEVICE", "PLATFORM", "ADDRESS", "REACHABLE", "MODEL", "VERSION", "SESSIONS")
	for _, r := range rep {
		if list {
			t.AppendRow([]any{r.Device, r.Platform, r.Address, "", "", "", ""})
			continue
		}
		sessions := ""
		if r.Reachable {
			sessions = strconv.Itoa(r.Sessions)
		}
		t.AppendRow([]any{r.Device, r.Platform, r.Address, yesNo(r.Reachable), r.Facts.Model, r.Facts.Version, sessions})
	}
	t.Render()
	for _, r := range rep {
		if r.Err != "" {
			fmt.Fprintln(w, "error: "+withDevice(r.Device, r.Err))
		}
	}
}

// recordStates writes a file per device. States hold no secret: they are parsed,
// never raw text.
func recordStates(dir string, obs []engine.Observation) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, o := range obs {
		if o.Err != nil {
			continue // said in the report
		}
		if err := writeJSON(filepath.Join(dir, fileName(o.Device)), o.State); err != nil {
			return err
		}
	}
	return nil
}
