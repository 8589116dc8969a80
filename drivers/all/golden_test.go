package all

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

// ports tells how a platform spells the ports of the intents, which are written
// for EOS: a port and a LAG by number.
var ports = map[string]struct{ port, lag string }{
	"arista_eos":  {"Ethernet%s", "Port-Channel%s"},
	"cisco_iosxe": {"GigabitEthernet1/0/%s", "Port-channel%s"},
	"cisco_nxos":  {"Ethernet1/%s", "port-channel%s"},
	"linux":       {"eth%s", "bond%s"},
	"ovs":         {"eth%s", "bond%s"},
	"sonic":       {"Ethernet%s", "PortChannel%s"},
}

// TestGolden compares what every platform makes of every intent of testdata/intents
// with testdata/golden.
func TestGolden(t *testing.T) {
	root := filepath.Join(require.ProjectRoot(t), "testdata")
	intents, err := inventory.LoadIntents([]string{filepath.Join(root, "intents")}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := inventory.LoadIntents([]string{filepath.Join(root, "intents", "before")}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var cases []drivertest.GoldenCase
	used := 0
	for _, in := range intents {
		c := drivertest.GoldenCase{Intent: in}
		for i := range before {
			if before[i].Metadata.Name == in.Metadata.Name {
				c.Before = &before[i]
				used++
			}
		}
		cases = append(cases, c)
	}
	if used != len(before) {
		t.Errorf("%d intents were applied before; %d of them are not there now", len(before), len(before)-used)
	}
	inv, err := inventory.LoadInventory([]string{filepath.Join(root, "golden", "inventory.yml")}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Planners() {
		t.Run(p.Key, func(t *testing.T) {
			spell, ok := ports[p.Key]
			if !ok {
				t.Fatalf("say how %s spells ports", p.Key)
			}
			names := spelling{inv, spell.port, spell.lag}
			network := names.network(inv.Network(), p.Key)
			stranger := models.Session{Name: "theirs", Role: models.RoleLocal,
				Sources:     []models.Source{{Kind: models.SourcePort, Name: names.spell("Ethernet30"), Direction: models.Both}},
				Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{names.spell("Ethernet31")}}}
			if p.Planner.Capabilities().Numbered {
				stranger.Name, stranger.Number = "", 1
			}
			drivertest.Golden(t, filepath.Join(root, "golden", p.Key),
				drivertest.GoldenSite{Network: network, Names: names, Planner: p.Planner, Stranger: stranger}, cases)
		})
	}
}

// spelling resolves the ports of the intents and writes them as a platform does.
type spelling struct {
	inv       *inventory.Inventory
	port, lag string
}

var eosName = regexp.MustCompile(`^(Ethernet|Port-Channel)(\d+)$`)

func (s spelling) spell(name string) string {
	m := eosName.FindStringSubmatch(name)
	switch {
	case m == nil:
		return name
	case m[1] == "Ethernet":
		return fmt.Sprintf(s.port, m[2])
	default:
		return fmt.Sprintf(s.lag, m[2])
	}
}

func (s spelling) Ports(id models.DeviceID, pattern string) ([]string, error) {
	names, err := s.inv.Ports(id, pattern)
	for i := range names {
		names[i] = s.spell(names[i])
	}
	return names, err
}

// network gives net with all devices of one platform, and a pool of RSPAN VLANs.
func (s spelling) network(net models.Network, platform string) *models.Network {
	for i := range net.Devices {
		net.Devices[i].Platform = platform
	}
	for i := range net.Links {
		net.Links[i].A.Port, net.Links[i].B.Port = s.spell(net.Links[i].A.Port), s.spell(net.Links[i].B.Port)
	}
	for i := range net.Sensors {
		net.Sensors[i].At.Port = s.spell(net.Sensors[i].At.Port)
	}
	net.RSPANVLANs = []models.Range{{First: 3900, Last: 3909}}
	return &net
}
