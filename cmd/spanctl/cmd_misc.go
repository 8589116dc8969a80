package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/inventory"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:       "schema [intent|inventory]",
		Short:     "Print the JSON Schema of intents, or of inventories",
		ValidArgs: []string{"intent", "inventory"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			schema := inventory.IntentSchema
			if len(args) == 1 && args[0] == "inventory" {
				schema = inventory.InventorySchema
			}
			text, err := schema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		},
	}
}

// Version is what spanctl version prints.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

// version is set by the Makefile for releases.
var version = "dev"

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := Version{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Commit = s.Value
					}
				}
			}
			return a.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "spanctl %s %s %s %s\n", v.Version, v.Commit, v.Go, v.System)
				return err
			})
		},
	}
}
