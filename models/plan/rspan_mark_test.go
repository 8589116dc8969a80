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
