package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/internal/hostkeep"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

const intentsUsage = "intent files or `folders`; those about other devices are passed over"

func newHostApply(a *app) *cobra.Command {
	var o hostOptions
	var paths, remove []string
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make what intents ask of this host, again after a reboot; for a timer",
		Long: `Make what the intents of --intents ask of this host, and make again what the host
has lost of sessions that spanctl has recorded, such as those of spanctl mirror,
while their lease lasts. Intents whose lease has ended are taken away. With
nothing to do nothing is sent.

A lease that counts from the apply (expires: 2h) counts from the first one: running
this again makes it no longer, and once it has ended the intent stays away until
its file gives it more time, or spanctl apply a new lease.

Intents about other devices are passed over; those about this host and others are
left alone and named, since an intent is made whole or not at all. Interrupted runs
on this host are settled first, as spanctl recover does.
Exit status: 0 done or nothing to do, 1 otherwise.`,
		Example: `  spanctl host apply --intents /etc/spanctl/intents --yes
  spanctl host apply --intents tap.yaml --namespace netns:blue`,
		Args: intentsByFlag,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHost(cmd, o, func(h *hostSite) error {
				done, err := a.settle(cmd.Context(), h)
				if len(done) > 0 {
					showRecovered(a.err, done)
				}
				if err != nil {
					return err
				}
				want, err := a.wanted(cmd.Context(), h, paths, remove)
				if err != nil {
					return err
				}
				if want.read > 0 && len(want.Intents)+len(want.Remove)+len(want.Notes) == 0 {
					a.talk("none of %s is about %s", count(want.read, "intent"), h.device)
				}
				for _, n := range want.Notes {
					a.talk("left alone: intent %s: %s", n.Intent, n.Text)
				}
				req := engine.ApplyRequest{Command: commandLine(cmd, args), Request: want.request()}
				return a.apply(cmd, h.site, req, applyOptions{yes: yes})
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&paths, "intents", nil, intentsUsage)
	cmd.Flags().StringSliceVar(&remove, "remove", nil, "also take these intents away, by `name`")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// intentsByFlag refuses arguments. Those of apply are intents; here, where leaving them
// out has a meaning, they belong to a flag.
func intentsByFlag(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("intents are named by --intents, as in --intents %s", strings.Join(args, ","))
	}
	return nil
}

// wanted is what this host shall have now.
type wanted struct {
	hostkeep.Decision
	read int // intents in the files
}

// request is the engine's: one intent that cannot be made must not keep the others
// away, nor alive.
func (w wanted) request() engine.Request {
	return engine.Request{Intents: w.Intents, Remove: w.Remove, KeepGoing: true}
}

// wanted reads the files and the records, anew each time.
func (a *app) wanted(ctx context.Context, h *hostSite, paths, remove []string) (wanted, error) {
	var w wanted
	var intents []models.Intent
	if len(paths) > 0 {
		var err error
		if intents, err = inventory.LoadIntents(paths, inventory.Options{AllowPlaintext: a.set.AllowPlaintext}); err != nil {
			return w, err
		}
	}
	records, err := h.store.Records(ctx)
	if err != nil {
		return w, err
	}
	ended, err := hostkeep.EndedLeases(ctx, h.store, h.device, intents)
	if err != nil {
		return w, err
	}
	w.read = len(intents)
	w.Decision = hostkeep.Decide(hostkeep.Input{
		Device: h.device, Network: &h.network, Intents: intents, Records: records, Ended: ended,
		Check: h.engine.Check, Remove: remove, Now: time.Now(),
	})
	return w, nil
}

// settle recovers the interrupted runs that touch this host and nothing else: after
// a crash or a power cut nobody may be there to do it.
func (a *app) settle(ctx context.Context, h *hostSite) ([]engine.Recovered, error) {
	open, err := h.store.Open(ctx)
	if err != nil {
		return nil, err
	}
	var runs []string
	for _, rs := range open {
		elsewhere := slices.ContainsFunc(rs.Entries, func(e store.Entry) bool { return e.Device != h.device })
		if rs.Interrupted && len(rs.Entries) > 0 && !elsewhere && !waits(rs) {
			runs = append(runs, rs.ID)
		}
	}
	if len(runs) == 0 {
		return nil, nil
	}
	done, err := h.engine.Recover(ctx, false, runs...)
	h.bar.stop()
	return done, err
}

// waits reports whether a run waits for spanctl confirm and has time left.
func waits(rs store.RunState) bool {
	for _, e := range rs.Unsettled() {
		if e.Checkpoint == nil || !e.Checkpoint.HeldUntil.After(time.Now()) {
			return false
		}
	}
	return len(rs.Unsettled()) > 0
}
