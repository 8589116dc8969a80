package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"
)

type streams struct {
	in       io.Reader
	out, err io.Writer
}

// app is what commands share: the streams, and the settings once they are read.
type app struct {
	streams
	set settings
	// left says what an interrupted command left behind; "" when it sent nothing.
	left string
}

func newRoot(a *app) *cobra.Command {
	v := viper.New()
	root := &cobra.Command{
		Use:   "spanctl",
		Short: "Manage mirror sessions (SPAN, RSPAN, ERSPAN) on switches of many vendors",
		Long: `spanctl turns a neutral mirror intent (which traffic, copied to where, for how
long) into SPAN, RSPAN or ERSPAN configuration on switches of many vendors.

It shows the change before it makes it, makes it on all devices or on none,
proves that the copies arrive, and takes it away again on time.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.readSettings(v, cmd)
		},
	}
	addSettings(root, v)
	root.AddGroup(
		&cobra.Group{ID: "change", Title: "Change devices:"},
		&cobra.Group{ID: "look", Title: "Look, change nothing:"},
		&cobra.Group{ID: "repair", Title: "After the fact:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("change", newApply(a), newMirror(a), newDelete(a), newExpire(a), newConfirm(a), newHost(a))
	add("look", newValidate(a), newPlan(a), newVerify(a), newStatus(a), newDrift(a), newDevices(a), newImport(a), newHistory(a))
	add("repair", newRecover(a), newRollback(a))
	root.AddCommand(newSchema(a), newVersion(a))
	return root
}

// needNames is cobra.MinimumNArgs(1) with words that say what is missing.
func needNames(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name at least one %s", what)
		}
		return nil
	}
}
