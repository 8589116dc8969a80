package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

func TestDescribe(t *testing.T) {
	tn := &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: 2, SessionID: 100, VRF: "mgmt", TTL: 9, DSCP: 8}
	gre := &models.Tunnel{Source: tn.Source, Destination: tn.Destination, Key: 5, Protocol: 0x88be}
	vxlan := &models.Tunnel{Source: tn.Source, Destination: tn.Destination, VNI: 7}
	tests := []struct{ got, want string }{
		{SourceText(port("Ethernet1")), "Ethernet1 rx"},
		{SourceText(models.Source{Kind: models.SourceVLAN, VLAN: 5, Direction: models.Both}), "VLAN 5 both"},
		{SourceText(fromVLAN(900)), "RSPAN VLAN 900"},
		{DestinationText(models.Destination{}), ""},
		{DestinationText(toPorts("e47", "e48")), "e47, e48"},
		{DestinationText(toVLAN(900)), "RSPAN VLAN 900"},
		{DestinationText(models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 900, Ports: []string{"eth0"}}), "RSPAN VLAN 900 by eth0"},
		{SourceText(models.Source{Kind: models.SourceRemoteVLAN, VLAN: 900, Name: "eth0", Direction: models.Rx}), "RSPAN VLAN 900 by eth0"},
		{DestinationText(models.Destination{Kind: models.DestinationCapture}), "capture on the device"},
		{DestinationText(models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: tn.Source, Destination: tn.Destination, Oversize: models.OversizeFragment}}),
			"gre 10.0.0.1 -> 192.0.2.9 oversize fragment"},
		{DestinationText(models.Destination{Kind: models.DestinationERSPAN, Tunnel: tn}), "erspan type 2 id 100 10.0.0.1 -> 192.0.2.9 vrf mgmt ttl 9 dscp 8"},
		{DestinationText(models.Destination{Kind: models.DestinationGRE, Tunnel: gre}), "gre key 5 10.0.0.1 -> 192.0.2.9 protocol 0x88be"},
		{DestinationText(models.Destination{Kind: models.DestinationVXLAN, Tunnel: vxlan}), "vxlan vni 7 10.0.0.1 -> 192.0.2.9"},
		{DestinationText(models.Destination{Kind: models.DestinationGRE}), "gre"},
		{FilterText(nil), ""},
		{FilterText([]models.Rule{
			{Action: models.Include, Match: models.Match{Proto: "tcp", Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
				Sport: []models.Range{{First: 1, Last: 9}}, Dst: models.Prefix{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, Dport: []models.Range{models.One(80), models.One(443)}, VLANs: []models.Range{models.One(5)}}},
		}), "include tcp from 10.0.0.0/8 source port 1-9 to 192.0.2.0/24 port 80,443 VLAN 5; else exclude"},
		{FilterText([]models.Rule{{Action: models.Exclude}}), "exclude all; else include"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestDifferencesText(t *testing.T) {
	want := session("leaf1", "a", toPorts("e48"), port("e1"), port("e2"))
	have := session("leaf1", "a", toPorts("e47"), models.Source{Kind: models.SourcePort, Name: "e1", Direction: models.Tx}, port("e3"))
	have.TruncateTo, have.Extra = 64, []string{"rate-limit 1"}
	d := cmp.Diff([]string{
		"source e1: want rx, have tx", "source e2 rx: missing", "source e3 rx: not wanted", "destination: want e48, have e47",
		"truncate: want none, have 64", `not wanted: "rate-limit 1"`,
	}, Differences(want, have))
	if d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
