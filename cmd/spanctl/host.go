package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

func newHost(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Mirror on the Linux host that spanctl runs on",
		Long: `Mirror on the Linux host that spanctl runs on, or in a network namespace of it.

No inventory is needed. The host is the device that --device names, else the
device of platform linux in the inventory that has an address of this host, else
its host name. The name is part of what marks sessions as spanctl's: under
another name they are not recognised.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHostApply(a), newHostCapture(a), newHostStatus(a), newHostUnit(a), newHostWatch(a))
	return cmd
}

// hostOptions say which host is meant.
type hostOptions struct {
	device    string
	namespace string
}

func (o *hostOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.device, "device", "", "`name` of this host as a device; see spanctl host --help for the default")
	cmd.Flags().StringVar(&o.namespace, "namespace", "", "the network namespace to work in: netns:NAME as ip netns has it, or a `path`")
}

// hostSite is a site whose only device at work is this host.
type hostSite struct {
	*site
	device models.DeviceID
	// namespace is the path of the network namespace, "" = that of spanctl.
	namespace string
}

// withHost runs f with the site of this host. The inventory of the settings is read
// if it is there; a host that is not in it, or without one, is a device all by itself.
func (a *app) withHost(cmd *cobra.Command, o hostOptions, f func(*hostSite) error) error {
	inv, dev, err := a.hostInventory(cmd, o)
	if err != nil {
		return err
	}
	s, err := a.openInventory(cmd.Context(), inv, true)
	if err != nil {
		return err
	}
	defer s.close()
	acc, err := inv.Access(dev)
	if err != nil {
		return err
	}
	h := &hostSite{site: s, device: dev, namespace: namespace(acc.Address)}
	if err := h.reachable(cmd.Context()); err != nil {
		return err
	}
	return f(h)
}

// hostOnly is the host as a list.
func hostOnly(h *hostSite) []models.DeviceID { return []models.DeviceID{h.device} }

// reachable says early, and once, that a namespace is not there.
func (h *hostSite) reachable(context.Context) error {
	if h.namespace == "" {
		return nil
	}
	if _, err := os.Stat(h.namespace); err != nil {
		return fmt.Errorf("%s: network namespace %s: %w", h.device, h.namespace, errors.Unwrap(err))
	}
	return nil
}

// hostInventory gives the inventory that this host is in, and its name in it.
func (a *app) hostInventory(cmd *cobra.Command, o hostOptions) (*inventory.Inventory, models.DeviceID, error) {
	if o.namespace != "" && namespace(o.namespace) == "" {
		return nil, "", fmt.Errorf("--namespace %q: want netns:NAME or a path such as /proc/PID/ns/net", o.namespace)
	}
	var inv *inventory.Inventory
	if cmd.Flags().Changed("inventory") || slices.ContainsFunc(a.set.Inventory, exists) {
		var err error
		if inv, err = a.inventory(); err != nil {
			return nil, "", err
		}
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, "", err
	}
	id, known, err := findHost(inv, o, hostname, localAddress)
	if err != nil {
		return nil, "", err
	}
	if !known {
		inv = inventory.OneHost(id, o.namespace)
	}
	return inv, id, nil
}

// findHost tells which device this host is, and whether it is one of inv, which may
// be nil.
func findHost(inv *inventory.Inventory, o hostOptions, hostname string, local func(string) bool) (models.DeviceID, bool, error) {
	var candidates []models.DeviceID
	var names []string
	if inv != nil {
		for dev := range inv.Devices() {
			acc, err := inv.Access(dev)
			if err != nil {
				return "", false, err
			}
			names = append(names, string(dev))
			if o.device == string(dev) {
				return dev, true, fits(acc, o.namespace)
			}
			if acc.Platform != inventory.PlatformLinux || acc.Transport != "" && acc.Transport != "local" {
				continue
			}
			if ns := namespace(acc.Address); ns != namespace(o.namespace) || ns == "" && acc.Address != hostname && !local(acc.Address) {
				continue
			}
			candidates = append(candidates, dev)
		}
	}
	switch {
	case o.device != "" && inv != nil:
		text := fmt.Sprintf("--device %s is no device of the inventory", o.device)
		if near := plan.Nearest(o.device, names); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return "", false, errors.New(text)
	case o.device != "":
		return models.DeviceID(o.device), false, nil
	case len(candidates) == 1:
		return candidates[0], true, nil
	case len(candidates) > 1:
		return "", false, fmt.Errorf("%v of the inventory have an address of this host: name one with --device", candidates)
	}
	name := hostname
	if o.namespace != "" {
		// Sessions of two namespaces must not have the same device.
		dir, base := filepath.Split(namespace(o.namespace))
		if dir != "/run/netns/" && dir != "/var/run/netns/" {
			return "", false, fmt.Errorf("--namespace %s: a path says no name that lasts: give one with --device", o.namespace)
		}
		name += "-" + base
	}
	if slices.Contains(names, name) { // it has another address or platform there
		return "", false, fmt.Errorf("device %s of the inventory has this host's name, but is not a linux device with an address of this host: say --device %s if it is this host", name, name)
	}
	return models.DeviceID(name), false, nil
}

// fits refuses a device of the inventory that is not here.
func fits(acc inventory.Access, ns string) error {
	switch {
	case acc.Platform != inventory.PlatformLinux:
		return fmt.Errorf("--device %s is of platform %s, not a Linux host", acc.Device, acc.Platform)
	case acc.Transport != "" && acc.Transport != "local":
		return fmt.Errorf("--device %s is reached by %s: spanctl host is for the host that spanctl runs on", acc.Device, acc.Transport)
	case ns != "" && namespace(acc.Address) != namespace(ns):
		return fmt.Errorf("--device %s has the address %s in the inventory, which is not --namespace %s: leave one of them out", acc.Device, acc.Address, ns)
	}
	return nil
}

// localAddress reports whether an address of an inventory is one of this host.
func localAddress(address string) bool {
	if strings.EqualFold(address, "localhost") || address == "local" {
		return true
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == ip.Unmap() {
			return true
		}
	}
	return false
}
