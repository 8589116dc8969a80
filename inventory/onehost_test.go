package inventory

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/models"
)

func TestOneHost(t *testing.T) {
	inv := OneHost("probe", "netns:blue")
	want := models.Network{Devices: []models.Device{{ID: "probe", Platform: PlatformLinux}}}
	if d := cmp.Diff(want, inv.Network(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("network (-want +got):\n%s", d)
	}
	acc, err := inv.Access("probe")
	if err != nil {
		t.Fatal(err)
	}
	if acc.Address != "netns:blue" || acc.Platform != PlatformLinux || acc.Transport != "local" {
		t.Errorf("access %+v", acc)
	}
	ports, err := inv.Ports("probe", "eth0-2,br-lan.7")
	if d := cmp.Diff([]string{"eth0", "eth1", "eth2", "br-lan.7"}, ports); d != "" || err != nil {
		t.Errorf("ports: %v (-want +got):\n%s", err, d)
	}
	if _, err := inv.Access("prob"); err == nil {
		t.Error("another device is there")
	}
}
