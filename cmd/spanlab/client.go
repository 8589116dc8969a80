package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/drivers/peers/lab"
)

// where says how to find the control interface of a running lab.
type where struct {
	control   string
	readyFile string
	wait      time.Duration
}

func (w *where) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.control, "control", "", "address of the lab's control interface")
	f.StringVar(&w.readyFile, "ready-file", "", "ready file of the lab, instead of --control")
	f.DurationVar(&w.wait, "wait", 0, "how long to wait for the ready file")
}

func (w *where) client(ctx context.Context) (lab.Client, error) {
	switch {
	case (w.control == "") == (w.readyFile == ""):
		return lab.Client{}, errors.New("give --control or --ready-file")
	case w.control != "":
		if _, _, err := net.SplitHostPort(w.control); err != nil {
			return lab.Client{}, fmt.Errorf("--control: %w", err)
		}
		return lab.Client{Address: w.control}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.wait)
	defer cancel()
	r, err := waitFor(ctx, w.readyFile)
	return lab.Client{Address: r.Control}, err
}

// clientCmd makes a command that asks a running lab.
func clientCmd(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, c lab.Client, args []string) error) *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := w.client(cmd.Context())
			if err != nil {
				return err
			}
			return run(cmd, c, args)
		},
	}
	w.flags(cmd)
	return cmd
}

func newNodesCmd() *cobra.Command {
	return clientCmd("nodes", "Show the nodes and links of a lab, in JSON", cobra.NoArgs, func(cmd *cobra.Command, c lab.Client, _ []string) error {
		r, err := c.Nodes(cmd.Context())
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), r)
	})
}

func newSendCmd() *cobra.Command {
	var g lab.Generator
	cmd := clientCmd("send FROM TO", "Send frames from one host to another, or to \"broadcast\"", cobra.ExactArgs(2),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			g.From, g.To = args[0], args[1]
			n, err := c.Send(cmd.Context(), lab.SendRequest{Generate: &g})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "sent %d\n", n)
			return err
		})
	f := cmd.Flags()
	f.IntVar(&g.Count, "count", 1, "number of frames")
	f.IntVar(&g.Size, "size", 0, "bytes of a frame without check sequence; 0 = as small as possible")
	f.Uint16Var(&g.VLAN, "vlan", 0, "802.1Q tag; 0 = none")
	f.Uint8Var(&g.Priority, "priority", 0, "priority of the tag")
	f.StringVar(&g.Marker, "marker", "", "text at the start of the payload")
	f.Uint16Var(&g.SourcePort, "source-port", 0, "UDP source port; 0 = 49152")
	f.Uint16Var(&g.DestinationPort, "destination-port", 0, "UDP destination port; 0 = 9")
	return cmd
}

func newCapturesCmd() *cobra.Command {
	var contains, pcapng string
	var reset, count, asJSON bool
	cmd := clientCmd("captures HOST[:PORT]", "Show the frames that a host has received", cobra.ExactArgs(1),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			host, port, _ := strings.Cut(args[0], ":")
			r, err := c.Captures(cmd.Context(), host, port, contains, reset)
			if err != nil {
				return err
			}
			if pcapng != "" {
				if err := writePcapng(pcapng, r); err != nil {
					return err
				}
			}
			w := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(w, r)
			case count:
				_, err := fmt.Fprintln(w, r.Count)
				return err
			}
			return printFrames(w, r)
		})
	f := cmd.Flags()
	f.StringVar(&contains, "contains", "", "only frames with this text in them")
	f.BoolVar(&reset, "reset", false, "forget all frames of the port afterwards")
	f.BoolVar(&count, "count", false, "print the number of frames only")
	f.StringVar(&pcapng, "pcapng", "", "also write the frames to this file, for Wireshark; each a microsecond after the other in the order of arrival")
	f.BoolVar(&asJSON, "json", false, "print the control interface's answer")
	return cmd
}

func printFrames(w io.Writer, r lab.CapturesReply) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SEQ\tBYTES\tDESTINATION\tSOURCE\tTYPE\tVLAN")
	for _, c := range r.Frames {
		f := c.Frame
		if len(f) < 14 {
			fmt.Fprintf(tw, "%d\t%d\t-\t-\t-\t-\n", c.Seq, len(f))
			continue
		}
		kind, vlan := f[12:14], "-"
		if kind[0] == 0x81 && kind[1] == 0 && len(f) >= 18 {
			vlan = fmt.Sprint((int(f[14])<<8 | int(f[15])) & 0xfff)
			kind = f[16:18]
		}
		fmt.Fprintf(tw, "%d\t%d\t%s\t%s\t0x%x\t%s\n", c.Seq, len(f), net.HardwareAddr(f[0:6]), net.HardwareAddr(f[6:12]), kind, vlan)
	}
	return tw.Flush()
}

// writePcapng writes frames with their sequence numbers as time, since the fabric
// has no clock.
func writePcapng(path string, r lab.CapturesReply) error {
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		return err
	}
	for _, c := range r.Frames {
		info := gopacket.CaptureInfo{Timestamp: time.UnixMicro(int64(c.Seq)), CaptureLength: len(c.Frame), Length: len(c.Frame)}
		if err := w.WritePacket(info, c.Frame); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeFile(path, out.Bytes(), 0o644)
}

func newFaultCmd() *cobra.Command {
	cmd := clientCmd("fault NODE FAULTS", "Replace the faults of a switch", cobra.ExactArgs(2),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			text := []byte(args[1])
			if name, ok := strings.CutPrefix(args[1], "@"); ok {
				var err error
				if text, err = os.ReadFile(name); err != nil {
					return err
				}
			}
			return c.SetFaults(cmd.Context(), args[0], json.RawMessage(text))
		})
	cmd.Long = `Replace the faults of a switch.

FAULTS is JSON, or @FILE with JSON; {} heals the switch. For EOS:

  {"lines": [{"line": "^commit", "action": "cut-after", "times": 1}], "delay": "200ms", "maxLogins": 2}

"line" is a regular expression over what the switch receives; actions are refuse
(with "text"), hang, hang-after, cut-before, cut-after, delay (with "delay"), forget,
ignore-timer and log (with "text").`
	return cmd
}

func newLinkCmd() *cobra.Command {
	var loseOneIn int
	cmd := clientCmd("link NODE:PORT up|down", "Cut or mend a cable, or make it lose frames", cobra.ExactArgs(2),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			node, port, ok := strings.Cut(args[0], ":")
			if !ok || args[1] != "up" && args[1] != "down" {
				return errors.New("want NODE:PORT and up or down")
			}
			return c.SetLink(cmd.Context(), lab.LinkRequest{Node: node, Port: port, Up: args[1] == "up", LoseOneIn: loseOneIn})
		})
	cmd.Flags().IntVar(&loseOneIn, "lose-one-in", 0, "lose every Nth frame in each direction; 0 = none")
	return cmd
}

func newConfigCmd() *cobra.Command {
	return clientCmd("config NODE", "Show a switch's running configuration as it prints it itself", cobra.ExactArgs(1),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			text, err := c.Config(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		})
}

func newWireCmd() *cobra.Command {
	var reset bool
	cmd := clientCmd("wire NODE", "Show the lines that a switch has received", cobra.ExactArgs(1),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			lines, err := c.Wire(cmd.Context(), args[0], reset)
			if err != nil {
				return err
			}
			for _, l := range lines {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), l); err != nil {
					return err
				}
			}
			return nil
		})
	cmd.Flags().BoolVar(&reset, "reset", false, "forget them afterwards")
	return cmd
}

func newCountersCmd() *cobra.Command {
	return clientCmd("counters NODE", "Show the counters of a node's ports and mirrors", cobra.ExactArgs(1),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			r, err := c.Counters(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "PORT\tIN\tOUT\tDROPS")
			for _, name := range slices.Sorted(maps.Keys(r.Ports)) {
				p := r.Ports[name]
				var drops []string
				for _, why := range slices.Sorted(maps.Keys(p.Drops)) {
					drops = append(drops, fmt.Sprintf("%s %d", why, p.Drops[why]))
				}
				fmt.Fprintf(tw, "%s\t%d\t%d\t%s\n", name, p.InFrames, p.OutFrames, strings.Join(drops, ", "))
			}
			for _, name := range slices.Sorted(maps.Keys(r.Mirrors)) {
				m := r.Mirrors[name]
				fmt.Fprintf(tw, "mirror %s\tmatched %d\tcopied %d\tdropped %d\n", name, m.Matched, m.Copied, m.Dropped)
			}
			return tw.Flush()
		})
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
