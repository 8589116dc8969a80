package inventory

import "github.com/spanctl/spanctl/models"

// OneHost gives an inventory of one device: a Linux host that spanctl runs on and
// that no file describes. address is that of Access: netns:NAME or a path for a
// network namespace, "" for the one that spanctl runs in.
func OneHost(id models.DeviceID, address string) *Inventory {
	d := &device{
		id:     id,
		access: Access{Device: id, Platform: PlatformLinux, Address: address, Transport: "local"},
		model:  models.Device{ID: id, Platform: PlatformLinux},
	}
	return &Inventory{devices: []*device{d}, byID: map[models.DeviceID]*device{id: d}}
}
