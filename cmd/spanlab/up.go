package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/inventory"
)

type upOptions struct {
	listen    string
	basePort  uint16
	control   string
	inventory string
	readyFile string
	dataPlane string
	build     buildOptions
}

func newUpCmd() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up TOPOLOGY",
		Short: "Simulate a containerlab topology until interrupted",
		Long: `Simulate a containerlab topology until interrupted.

Every switch gets a management server, every Linux node is a host whose frames the
other commands send and read. The inventory file makes spanctl find them: it refers
to the topology and adds addresses, and the host keys in a file beside it.

A startup-config of the topology is loaded as containerlab does. Ports are those
that links name. Links to anything but another node have no cable.

With --dataplane ovs the front ends stay what they are, and a real switch forwards the
frames behind them. What it cannot do (filters, sampling, LAGs, ERSPAN type I) it
refuses, and the simulated switch with it.

With --replicas the whole topology is there several times, each a network of its
own; nodes of the others than the first have "-2", "-3" and so on in their names,
and the inventory lists switches only, without links and sensors.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return up(cmd.Context(), args[0], o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1", "address of all management servers")
	f.Uint16Var(&o.basePort, "base-port", 0, "port of the first switch, the others follow; 0 = any that are free")
	f.StringVar(&o.control, "control", "127.0.0.1:0", "address of the control interface, on loopback")
	f.StringVar(&o.inventory, "inventory", "", "write a spanctl inventory to this file, and host keys beside it")
	f.StringVar(&o.readyFile, "ready-file", "", "write the addresses to this file, in JSON, when everything listens; removed at the end")
	f.StringVar(&o.dataPlane, "dataplane", "model", "what forwards and copies frames: model (in memory) or ovs (the system's Open vSwitch, in a process of its own, without root)")
	f.DurationVar(&o.build.rtt, "rtt", 0, "round-trip time to the management servers, such as 50ms")
	f.IntVar(&o.build.replicas, "replicas", 1, "how many times to bring the topology up")
	f.BoolVar(&o.build.skipUnknown, "skip-unknown", false, "leave out nodes that cannot be simulated instead of refusing the topology")
	return cmd
}

// readiness is the ready file.
type readiness struct {
	Control   string            `json:"control"`             // address of the control interface
	Inventory string            `json:"inventory,omitempty"` // absolute
	Nodes     map[string]string `json:"nodes"`               // addresses of management servers
}

func up(ctx context.Context, path string, o upOptions, stdout, stderr io.Writer) error {
	listen, err := netip.ParseAddr(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if o.build.replicas < 1 || o.build.rtt < 0 {
		return errors.New("--replicas must be at least 1, --rtt not negative")
	}
	t, err := inventory.LoadTopology(path, inventory.TopologyOptions{Data: "-"})
	if err != nil {
		return err
	}
	switch o.dataPlane {
	case "", "model":
	case "ovs":
		v, err := ovs.Start(ctx)
		if err != nil {
			return err
		}
		defer v.Close()
		o.build.vswitch = v
	default:
		return fmt.Errorf("--dataplane %q: want model or ovs", o.dataPlane)
	}
	b, err := build(t, filepath.Dir(t.File), o.build)
	if err != nil {
		return err
	}
	for _, w := range b.warnings {
		fmt.Fprintln(stderr, "spanlab: warning:", w)
	}
	l, err := lab.New(b.nodes)
	if err != nil {
		return err
	}
	if err := l.Start(ctx, lab.Options{Listen: listen, BasePort: o.basePort, Control: o.control}); err != nil {
		return err
	}
	err = announce(l, t, b, o, stdout)
	if err == nil {
		err = l.Wait()
	}
	if o.readyFile != "" {
		if rmErr := os.Remove(o.readyFile); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return errors.Join(err, l.Close())
}

// announce tells where everything is, the ready file last.
func announce(l *lab.Lab, t *inventory.Topology, b *built, o upOptions, stdout io.Writer) error {
	ready := readiness{Control: l.ControlAddress().String(), Nodes: map[string]string{}}
	for _, s := range b.switches {
		addr, ok := l.Address(s.name)
		if !ok {
			return fmt.Errorf("node %s has no address", s.name)
		}
		ready.Nodes[s.name] = addr.String()
	}
	if o.inventory != "" {
		abs, err := filepath.Abs(o.inventory)
		if err != nil {
			return err
		}
		ready.Inventory = abs
		if err := writeInventory(abs, t, b, ready.Nodes, o.build.replicas > 1); err != nil {
			return err
		}
	}
	if err := printTable(stdout, l, ready, o.inventory); err != nil {
		return err
	}
	if o.readyFile == "" {
		return nil
	}
	text, err := json.MarshalIndent(ready, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(o.readyFile, append(text, '\n'), 0o644)
}

func printTable(w io.Writer, l *lab.Lab, ready readiness, inventoryFile string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tKIND\tMANAGEMENT\tPORTS")
	for _, n := range l.Nodes() {
		management, ports := "-", []string{}
		if n.Host != nil {
			for _, p := range n.Host.Ports() {
				for _, a := range n.Host.Addresses(p) {
					p += " " + a.String()
				}
				ports = append(ports, p)
			}
		} else {
			management = ready.Nodes[n.Name]
			ports = n.Switch.Ports()
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", n.Name, n.Kind, management, strings.Join(ports, ", "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "control: %s\n", ready.Control)
	if inventoryFile != "" {
		fmt.Fprintf(w, "inventory: %s\n", inventoryFile)
	}
	return nil
}

// writeFile replaces a file in one step: whoever waits for it reads all of it.
func writeFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it has its name
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// waitFor polls for a ready file until ctx ends.
func waitFor(ctx context.Context, path string) (r readiness, err error) {
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			if err := json.Unmarshal(text, &r); err != nil {
				return r, fmt.Errorf("%s: %w", path, err)
			}
			return r, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("no lab is ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
