// Package inventory reads everything that people write in files: devices, groups,
// sensors and links in spanctl's own YAML, containerlab topologies as they are, and
// intents.
//
// Files are decoded strictly: an unknown key, a wrong type, a missing value or a
// name that nothing defines is a [Finding] with file, line and column, and all
// findings of a run come back together as [Findings].
//
// Interface names have two sides. A lab names a port as its Linux interface
// ("eth1", "e1-1"), the network OS has its own name ("Ethernet1", "ethernet-1/1").
// Both name one port here; what leaves this package is always the device's own
// name. See [Inventory.Ports] for the grammar of ranges.
//
// Secrets are references (environment, file, command, keyring) that
// [Credential.Resolve] follows when they are needed. A [Secret] never prints.
package inventory
