// Command spanlab brings a containerlab topology up as simulated switches: real
// management servers over a packet model, without root and without vendor images.
// Its other commands send and read frames there and make things go wrong.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run is main with an exit status, so that deferred calls happen.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCmd().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "spanlab:", err)
		return 1
	}
	return 0
}

func newRootCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "spanlab",
		Short:         "Simulated switches from a containerlab topology",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	cmd.AddCommand(newUpCmd(), newNodesCmd(), newSendCmd(), newCapturesCmd(), newFaultCmd(), newLinkCmd(), newConfigCmd(), newWireCmd(), newCountersCmd(), newCLICmd())
	return cmd
}
