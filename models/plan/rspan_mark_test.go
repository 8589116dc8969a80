package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// TestRSPANMark: an ordinary VLAN on a device that sets RSPAN VLANs apart is
// refused; where none is set apart, or the VLAN does not exist, nothing is said of
// the mark.
func TestRSPANMark(t *testing.T) {
	marks := able()
	marks.caps.RSPANMark = true
	with, plain := all(marks), all(able())
	vlan := func(v models.VLAN) map[uint16]models.VLAN { return map[uint16]models.VLAN{900: v} }
	const unmarked = "rspan-vlan-unmarked leaf1 spec.destination.remoteVlan.vlan"
	tests := []struct {
		name      string
		platforms Platforms
		vlans     map[uint16]models.VLAN
		want      []string
	}{
		{"unmarked", with, vlan(models.VLAN{Name: "x"}), []string{unmarked}},
		{"marked", with, vlan(models.VLAN{RemoteSPAN: true}), nil},
		{"no such mark on the platform", plain, vlan(models.VLAN{}), nil},
		{"no such VLAN", with, map[uint16]models.VLAN{1: {}}, []string{"rspan-path leaf1 spec.destination.remoteVlan.vlan"}},
	}
	sessions := []models.Session{
		session("leaf1", "a", toVLAN(900), port("e1")),
		session("leaf1", "a", toPorts("e48"), fromVLAN(900)),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newChecker(nil, Policy{})
			c.remoteVLANs(leafSpine(), tt.platforms, sessions, map[models.DeviceID]models.DeviceState{"leaf1": {Device: "leaf1", VLANs: tt.vlans}})
			if d := cmp.Diff(tt.want, brief(c.found)); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// TestRSPANFromHost: whether the VLAN exists on a host, and whether its port is a trunk,
// is no question: it tags copies by itself. The switches behind it are asked as ever.
func TestRSPANFromHost(t *testing.T) {
	sessions := []models.Session{
		session("leaf1", "a", toVLAN(900), port("e1")),
		session("leaf2", "a", toPorts("e48"), fromVLAN(900)),
	}
	routed := models.DeviceState{Device: "leaf1", Ports: map[string]models.Port{"e51": {Mode: models.PortRouted}, "e52": {Mode: models.PortRouted}}}
	trunk := models.Port{Mode: models.PortTrunk}
	vlans := map[uint16]models.VLAN{900: {}}
	states := map[models.DeviceID]models.DeviceState{
		"leaf1":  routed,
		"spine1": {Device: "spine1", Ports: map[string]models.Port{"e1": trunk, "e2": trunk}, VLANs: vlans},
		"leaf2":  {Device: "leaf2", Ports: map[string]models.Port{"e51": trunk, "e52": trunk}, VLANs: vlans},
	}
	look := func(p Platform) []string {
		c := newChecker(nil, Policy{})
		c.remoteVLANs(leafSpine(), byDevice(map[models.DeviceID]Platform{"leaf1": p}), sessions, states)
		return brief(c.found)
	}
	if d := cmp.Diff([]string(nil), look(host())); d != "" {
		t.Errorf("a host (-want +got):\n%s", d)
	}
	if got := look(able()); len(got) == 0 {
		t.Error("a switch with a routed port on the way is not refused")
	}
	states["spine1"].Ports["e2"] = models.Port{Mode: models.PortAccess}
	if got := look(host()); len(got) == 0 {
		t.Error("a switch behind the host that does not carry the VLAN is not refused")
	}
}
