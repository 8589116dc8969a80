// Package all is the one explicit list of platforms, and the support table that
// follows from what they claim. A new network OS is one entry here.
package all

import (
	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/eos"
	"github.com/spanctl/spanctl/drivers/iosxe"
	"github.com/spanctl/spanctl/drivers/nxos"
	"github.com/spanctl/spanctl/drivers/ovs"
	"github.com/spanctl/spanctl/drivers/sonic"
	"github.com/spanctl/spanctl/hostmirror"
)

//go:generate go test . -run ^TestSupportTable$ -update

// Platforms gives all platforms that are reached over a network, sorted by key.
func Platforms() []drivers.Platform {
	return []drivers.Platform{
		{Key: eos.Key, Name: "Arista EOS", Dialect: func() drivers.Dialect { return eos.Dialect{} }, Backup: eos.Backup(), Transports: []string{"ssh"}},
		{Key: iosxe.Key, Name: "Cisco IOS-XE", Dialect: func() drivers.Dialect { return iosxe.Dialect{} }, Backup: iosxe.Backup(), Transports: []string{"ssh"}},
		{Key: nxos.Key, Name: "Cisco NX-OS", Dialect: func() drivers.Dialect { return nxos.Dialect{} }, Backup: nxos.Backup(), Transports: []string{"ssh"}},
		{Key: ovs.Key, Name: "Open vSwitch", Dialect: func() drivers.Dialect { return ovs.Dialect{} }, Commands: true, Transports: []string{"ssh"}},
		{Key: sonic.Key, Name: "SONiC (community)", Dialect: func() drivers.Dialect { return sonic.Dialect{} }, Backup: sonic.Backup(), Transports: []string{"ssh"}},
	}
}

// Registry gives a registry of Platforms.
func Registry() (*drivers.Registry, error) { return drivers.NewRegistry(Platforms()...) }

// Planned is a platform as far as planning goes.
type Planned struct {
	Key, Name string
	Planner   drivers.Planner
}

// Planners gives the planners of all Platforms and of a Linux host, whose driver
// needs no connection.
func Planners() []Planned {
	var out []Planned
	for _, p := range Platforms() {
		out = append(out, Planned{p.Key, p.Name, p.Dialect()})
	}
	return append(out, Planned{hostmirror.Platform, "Linux", hostmirror.Planner{}})
}
