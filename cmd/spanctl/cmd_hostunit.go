package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/inventory"
)

// UnitReport is what host unit prints as JSON or YAML.
type UnitReport struct {
	Service UnitFile `json:"service"`
	Timer   UnitFile `json:"timer"`
}

// UnitFile is a file of systemd.
type UnitFile struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"` // where it was written, "" when it was not
	Text string `json:"text"`
}

func newHostUnit(a *app) *cobra.Command {
	var o hostOptions
	u := hostUnit{Name: "spanctl-host", Every: time.Minute, Runs: "apply"}
	var dir string
	cmd := &cobra.Command{
		Use:   "unit",
		Short: "Print a systemd service and timer that run host apply at boot and then on",
		Long: `Print a systemd service that runs host apply at boot, when the network is online,
and a timer that runs it again: filters of the kernel do not outlive a reboot, and
a lease ends when somebody looks.

The service runs as root with no capability but CAP_NET_ADMIN; --bpf adds CAP_BPF and
CAP_PERFMON, --namespace CAP_SYS_ADMIN, which entering another network namespace
takes. What it
remembers is in /var/lib/spanctl/spanctl.db unless --store says otherwise: give
other commands on this host the same --store.`,
		Example: `  sudo spanctl host unit --intents /etc/spanctl/intents --output-dir /etc/systemd/system
  sudo systemctl daemon-reload && sudo systemctl enable --now spanctl-host.service spanctl-host.timer`,
		Args: intentsByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			inv, dev, err := a.hostInventory(cmd, o)
			if err != nil {
				return err
			}
			acc, err := inv.Access(dev)
			if err != nil {
				return err
			}
			u.Device, u.Namespace = string(dev), namespace(acc.Address)
			if at, err := inv.Origin(dev); err == nil && at != (inventory.Position{}) {
				u.Inventory = a.set.Inventory
			}
			if cmd.Flags().Changed("store") || os.Getenv("SPANCTL_STORE") != "" {
				u.Store = a.set.Store
			}
			if u.Binary, err = os.Executable(); err != nil {
				return err
			}
			service, timer, err := u.files()
			if err != nil {
				return err
			}
			rep := UnitReport{Service: UnitFile{Name: u.Name + ".service", Text: service}, Timer: UnitFile{Name: u.Name + ".timer", Text: timer}}
			return a.unit(rep, dir)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&u.Intents, "intents", nil, intentsUsage)
	cmd.Flags().StringVar(&u.Name, "name", u.Name, "`name` of the service and the timer")
	cmd.Flags().DurationVar(&u.Every, "every", u.Every, "`time` between two runs of the timer")
	cmd.Flags().BoolVar(&u.BPF, "bpf", false, "allow BPF programs, which some mirrors need (spanctl host status tells)")
	cmd.Flags().StringVar(&dir, "output-dir", "", "write both files to `folder`, such as /etc/systemd/system, instead of printing them")
	return cmd
}

var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.-]*$`)

func (u *hostUnit) check() error {
	var errs []error
	if !unitName.MatchString(u.Name) {
		errs = append(errs, fmt.Errorf("--name %q: want letters, digits, and :_.- behind the first", u.Name))
	}
	if u.Every < time.Second {
		errs = append(errs, fmt.Errorf("--every is %s; want 1s or more", u.Every))
	}
	for _, p := range u.Intents {
		if p == "-" {
			errs = append(errs, errors.New("--intents -: a service has no standard input"))
		} else if !exists(p) {
			errs = append(errs, fmt.Errorf("--intents: %s is not there", p))
		}
	}
	return errors.Join(errs...)
}

// unit prints or writes the files, both or none.
func (a *app) unit(rep UnitReport, dir string) error {
	if dir == "" {
		return a.print(rep, func(w io.Writer) error {
			for i, f := range []UnitFile{rep.Service, rep.Timer} {
				if i > 0 {
					fmt.Fprintln(w)
				}
				fmt.Fprintf(w, "# %s\n%s", f.Name, f.Text)
			}
			return nil
		})
	}
	for _, f := range []*UnitFile{&rep.Service, &rep.Timer} {
		f.Path = filepath.Join(dir, f.Name)
		if err := writeFile(f.Path, []byte(f.Text), 0o644); err != nil {
			return err
		}
	}
	return a.print(rep, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s and %s; now run:\n  systemctl daemon-reload\n  systemctl enable --now %s %s\n",
			rep.Service.Path, rep.Timer.Path, rep.Service.Name, rep.Timer.Name)
		return err
	})
}
