// Package plan decides: from intents and observed states to the ordered changes of
// each device. Every function is pure; nothing here knows a vendor or does I/O.
//
// The order of use is Resolve, Check, MarkOwned, Allocate, CheckState, Diff, Order.
package plan

import (
	"github.com/spanctl/spanctl/models"
)

// Platform is what planning needs to know of a device's network OS. Dialects and
// drivers implement it.
type Platform interface {
	Capabilities() models.Capabilities
	// Check gives what the platform refuses of a wanted session beyond what
	// Capabilities can say: value ranges, odd rules. Each text says what would work.
	Check(s models.Session) []string
	// PortKind tells a port from a LAG by its name, as the device writes it.
	PortKind(name string) models.SourceKind
}

// Platforms finds the platform of a device; nil where it has no driver.
type Platforms func(models.DeviceID) Platform

// PortNames resolves what a person wrote to ports as the device writes them.
type PortNames interface {
	// Ports expands a name or a range. The error says what is wrong with it.
	Ports(device models.DeviceID, pattern string) ([]string, error)
}

// Group is the changes of one intent. They are applied all or not at all, wave by
// wave; within a wave in any order.
type Group struct {
	Intent string               `json:"intent"`
	Waves  [][]models.ChangeSet `json:"waves"`
}

// Devices gives the devices of the group, in the order of the waves.
func (g Group) Devices() []models.DeviceID {
	var ids []models.DeviceID
	for _, w := range g.Waves {
		for _, cs := range w {
			ids = append(ids, cs.Device)
		}
	}
	return ids
}
