package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

type importOptions struct {
	out   string
	adopt bool
	all   bool

	offline  bool
	platform string
}

func newImport(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import [DEVICES...] | --offline FILES...",
		Short: "Write intents from the sessions found on devices, or in backups of configurations",
		Long: `Write intents from the sessions found on devices: those that are not spanctl's,
or with --all every one. With --adopt spanctl takes them over as they are: an
apply of the written intents then finds nothing to do.

With --offline the sessions are those in files, as Oxidized and RANCID keep the
configurations of devices; no device is reached, and neither inventory nor store is
needed. Lines of other features are skipped. A line of a mirror session that cannot
be read is an error with its file and number, and makes the exit status 1. With
--output json the sessions are written as they were read, those too that an intent
cannot say.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.offline && o.adopt:
				return errors.New("--adopt takes sessions over on devices; it does not go with --offline")
			case o.offline:
				return a.importFiles(args, o)
			case o.platform != "":
				return errors.New("--platform is for --offline: the platform of a device is in the inventory")
			}
			return a.with(cmd.Context(), true, func(s *site) error { return a.importSessions(cmd, s, args, o) })
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "write one file per intent into `folder` instead of standard output")
	cmd.Flags().BoolVar(&o.adopt, "adopt", false, "take the sessions over; changes no device")
	cmd.Flags().BoolVar(&o.all, "all", false, "also sessions that are spanctl's already")
	cmd.Flags().BoolVar(&o.offline, "offline", false, "read files with configurations instead of devices")
	cmd.Flags().StringVar(&o.platform, "platform", "", "`key` of the network OS of all files, such as cisco_nxos; default: what each looks like")
	return cmd
}

func (a *app) importSessions(cmd *cobra.Command, s *site, args []string, o importOptions) error {
	devs, err := s.devices(args)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	all, failed, err := s.engine.Status(ctx, devs)
	s.bar.stop()
	if err != nil {
		return err
	}
	var sessions []models.Session
	for _, st := range all {
		if st.Intent == "" || o.all {
			sessions = append(sessions, st.Session)
		}
	}
	imported, notes := plan.Import(sessions)
	for _, n := range notes {
		a.talk("not imported: %s: %s", n.Device, n.Text)
	}
	for _, f := range failed {
		a.talk("error: %s", withDevice(f.Device, f.Err.Error()))
	}
	if err := a.writeIntents(imported, o.out); err != nil {
		return err
	}
	if o.adopt {
		var put []models.Record
		now := time.Now()
		for _, im := range imported {
			for _, sess := range im.Sessions {
				sess.Status, sess.Intent = models.Status{}, im.Intent.Metadata.Name
				put = append(put, models.Record{Session: sess, Intent: im.Intent.Metadata.Name, Since: now, Adopted: true})
			}
		}
		if err := s.store.Apply(ctx, put, nil); err != nil {
			return err
		}
		a.talk("adopted %s in %s", count(len(put), "session"), count(len(imported), "intent"))
	}
	if len(failed) > 0 {
		return exit(exitError)
	}
	return nil
}

func (a *app) writeIntents(imported []plan.Imported, dir string) error {
	intents := make([]models.Intent, len(imported))
	for i, im := range imported {
		intents[i] = im.Intent
	}
	if dir == "" {
		return a.print(intents, func(w io.Writer) error {
			for i, in := range intents {
				if i > 0 {
					fmt.Fprintln(w, "---")
				}
				text, err := encodeIntent(in)
				if err != nil {
					return err
				}
				if _, err := w.Write(text); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, in := range intents {
		text, err := encodeIntent(in)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, in.Metadata.Name+".yaml")
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is there already; nothing was written over it", file)
		}
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	a.talk("wrote %s to %s", count(len(intents), "intent"), dir)
	return nil
}
