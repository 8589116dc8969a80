package main

import (
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// tunnelKinds are the kinds of interfaces that wrap what they are given, and lose
// without telling who gave it.
var tunnelKinds = []string{"erspan", "ip6erspan", "gretap", "ip6gretap", "gre", "ip6gre", "vxlan", "geneve"}

// linkStatus gives a function that tells the state of an interface of a network
// namespace, and whether it is a tunnel. One that cannot be read is none.
func linkStatus(path string) func(name string) (TunnelStatus, bool) {
	return func(name string) (TunnelStatus, bool) {
		link, err := linkByName(path, name)
		if err != nil || !slices.Contains(tunnelKinds, link.Type()) || link.Attrs().Statistics == nil {
			return TunnelStatus{}, false
		}
		s := link.Attrs().Statistics
		return TunnelStatus{Name: name, Kind: link.Type(), Sent: s.TxPackets, Errors: s.TxErrors, Drops: s.TxDropped}, true
	}
}

func linkByName(path, name string) (netlink.Link, error) {
	if path == "" {
		return netlink.LinkByName(name)
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.LinkByName(name)
}
