package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
)

type mirrorOptions struct {
	applyOptions
	to, direction, lease string
	name, reason         string
}

func newMirror(a *app) *cobra.Command {
	var o mirrorOptions
	cmd := &cobra.Command{
		Use:   "mirror DEVICE:PORTS... --to WHERE --for TIME",
		Short: "In one line: an intent, a plan, a question, an apply",
		Example: `  spanctl mirror leaf1:Ethernet1 leaf1:Ethernet5-8 --to leaf1:Ethernet48 --for 2h
  spanctl mirror leaf1:Ethernet1 --to sensor:ids1 --for 30m --direction rx
  spanctl mirror leaf1:vlan100 --to gre:192.0.2.9 --for 2h`,
		Long: `In one line: an intent, a plan, a question, an apply.

WHERE is DEVICE:PORT, sensor:NAME, capture:DEVICE, or erspan:ADDRESS, gre:ADDRESS, vxlan:ADDRESS.
A source vlanN is VLAN N. spanctl delete NAME ends it early.`,
		Args: needNames("source, as DEVICE:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := o.intent(args, time.Now())
			if err != nil {
				return err
			}
			text, err := encodeIntent(in)
			if err != nil {
				return err
			}
			a.talk("%s", strings.TrimRight(string(text), "\n"))
			return a.with(cmd.Context(), true, func(s *site) error {
				if err := s.unused(cmd.Context(), in.Metadata.Name); err != nil {
					return err
				}
				req := engine.ApplyRequest{Command: commandLine(cmd, args), Request: engine.Request{Intents: []models.Intent{in}}}
				return a.apply(cmd, s, req, o.applyOptions)
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.to, "to", "", "`where` the copies go")
	cmd.Flags().StringVar(&o.lease, "for", "", "`how long`: a duration such as 2h, a time, or never")
	cmd.Flags().StringVar(&o.direction, "direction", "both", "rx, tx or both, seen from the switch")
	cmd.Flags().StringVar(&o.name, "name", "", "name of the intent; default: made of user and time")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, such as a ticket")
	return cmd
}

// intent makes the intent of the command line. All that is wrong with it is said
// at once.
func (o mirrorOptions) intent(args []string, now time.Time) (models.Intent, error) {
	var errs []error
	in := models.Intent{APIVersion: models.APIVersion, Kind: models.KindMirror,
		Metadata: models.Metadata{Name: o.name, Owner: userName(), Reason: o.reason}}
	if in.Metadata.Name == "" {
		var some [3]byte // two may be made in one second
		_, _ = rand.Read(some[:])
		in.Metadata.Name = fmt.Sprintf("mirror-%s-%x", now.Format("20060102-150405"), some)
	}
	var dir models.Direction
	if err := dir.UnmarshalText([]byte(o.direction)); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	for _, arg := range args {
		dev, port, ok := strings.Cut(arg, ":")
		if !ok || dev == "" || port == "" {
			errs = append(errs, fmt.Errorf("source %q: want DEVICE:PORT, such as leaf1:Ethernet1", arg))
			continue
		}
		src := models.SourceSpec{Device: dev, Direction: dir}
		if vlan, is := strings.CutPrefix(strings.ToLower(port), "vlan"); is {
			var r models.Range
			if err := r.UnmarshalText([]byte(vlan)); err != nil {
				errs = append(errs, fmt.Errorf("source %q: %w", arg, err))
				continue
			}
			src.VLANs = []models.Range{r}
		} else {
			src.Interfaces = []string{port}
		}
		in.Spec.Sources = append(in.Spec.Sources, src)
	}
	if o.lease == "" {
		errs = append(errs, errors.New("--for is missing: say how long, such as --for 2h, or --for never"))
	} else if err := in.Spec.Expires.UnmarshalText([]byte(o.lease)); err != nil {
		errs = append(errs, fmt.Errorf("--for: %w", err))
	}
	dest, err := destination(o.to)
	if err != nil {
		errs = append(errs, err)
	}
	in.Spec.Destination = dest
	return in, errors.Join(errs...)
}

// unused refuses a name that an intent has: the new one would take its place.
func (s *site) unused(ctx context.Context, name string) error {
	records, err := s.store.Records(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Intent == name {
			return fmt.Errorf("--name %s is the name of a mirror on %s already: choose another, or take that away first: spanctl delete %s", name, r.Session.Device, name)
		}
	}
	return nil
}

func destination(to string) (models.DestinationSpec, error) {
	var d models.DestinationSpec
	kind, rest, ok := strings.Cut(to, ":")
	if !ok || kind == "" || rest == "" {
		return d, fmt.Errorf("--to %q: want DEVICE:PORT, sensor:NAME, capture:DEVICE, or erspan:, gre:, vxlan: with an address", to)
	}
	switch kind {
	case "sensor":
		d.Sensor = rest
		return d, nil
	case "capture":
		d.Capture = &models.CaptureSpec{Device: rest}
		return d, nil
	case "erspan", "gre", "vxlan":
		addr, err := netip.ParseAddr(rest)
		if err != nil {
			return d, fmt.Errorf("--to %q: %q is no address", to, rest)
		}
		switch kind {
		case "erspan":
			d.ERSPAN = &models.ERSPANSpec{Address: addr}
		case "gre":
			d.GRE = &models.GRESpec{Address: addr}
		default:
			d.VXLAN = &models.VXLANSpec{Address: addr}
		}
		return d, nil
	}
	d.Interface = &models.InterfaceSpec{Device: kind, Name: rest}
	return d, nil
}
