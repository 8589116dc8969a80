// Package all is the one explicit list of platforms that are reached over a
// network. A new network OS is one entry here.
package all

import (
	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/eos"
)

// Platforms gives all platforms, sorted by key.
func Platforms() []drivers.Platform {
	return []drivers.Platform{
		{Key: "arista_eos", Name: "Arista EOS", Dialect: func() drivers.Dialect { return eos.Dialect{} }, Transports: []string{"ssh"}},
	}
}

// Registry gives a registry of Platforms.
func Registry() (*drivers.Registry, error) { return drivers.NewRegistry(Platforms()...) }
