package fabric_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

func TestRefusedConfig(t *testing.T) {
	key := uint32(1)
	mirror := func(edit func(*fabric.Mirror)) fabric.Config {
		m := span("m", "e1", fabric.Rx, "e3")
		edit(&m)
		return fabric.Config{Mirrors: []fabric.Mirror{m}}
	}
	tunnel := func(tu fabric.Tunnel) fabric.Config {
		return mirror(func(m *fabric.Mirror) {
			m.Destinations[0] = fabric.MirrorDestination{Kind: fabric.DestinationTunnel, Tunnel: tu}
		})
	}
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	tests := []struct {
		name string
		give fabric.Config
		want string
	}{
		{"unknown port", fabric.Config{Ports: map[string]fabric.PortConfig{"e9": {Mode: fabric.Access}}}, `port "e9"`},
		{"no mode", fabric.Config{Ports: map[string]fabric.PortConfig{"e1": {}}}, "no mode"},
		{"no LAG", fabric.Config{Ports: map[string]fabric.PortConfig{"e1": {LAG: "po1"}}}, `no LAG "po1"`},
		{"LAG named as a port", fabric.Config{LAGs: map[string]fabric.PortConfig{"e1": {Mode: fabric.Access}}}, `LAG "e1"`},
		{"LAG in a LAG", fabric.Config{LAGs: map[string]fabric.PortConfig{"po1": {Mode: fabric.Access, LAG: "po2"}}}, "member of a LAG"},
		{"VLAN 0", fabric.Config{VLANs: map[uint16]fabric.VLAN{0: {}}}, "VLAN 0"},
		{"VLAN 4095", fabric.Config{VLANs: map[uint16]fabric.VLAN{4095: {}}}, "VLAN 4095"},
		{"access VLAN", fabric.Config{Ports: map[string]fabric.PortConfig{"e1": {Mode: fabric.Access, AccessVLAN: 4095}}}, "not from 1 to 4094"},
		{"trunk range", fabric.Config{Ports: map[string]fabric.PortConfig{"e1": {Mode: fabric.Trunk, TrunkVLANs: fabric.VLANSet{{20, 10}}}}}, "VLANs 20 to 10"},
		{"mirror twice", fabric.Config{Mirrors: []fabric.Mirror{span("m", "e1", fabric.Rx, "e3"), span("m", "e1", fabric.Rx, "e3")}}, "unique"},
		{"too many mirrors", fabric.Config{Limits: fabric.Limits{Mirrors: 1}, Mirrors: []fabric.Mirror{span("m", "e1", fabric.Rx, "e3"), span("n", "e1", fabric.Rx, "e3")}}, "2 mirrors, the switch can have 1"},
		{"too many sources", fabric.Config{Limits: fabric.Limits{DestinationsPerMirror: 1}, Mirrors: []fabric.Mirror{span("m", "e1", fabric.Rx, "e2", "e3")}}, `2 destinations of mirror "m"`},
		{"source unknown", mirror(func(m *fabric.Mirror) { m.Sources[0].Name = "e9" }), `source: no port "e9"`},
		{"source of no kind", mirror(func(m *fabric.Mirror) { m.Sources[0].Kind = 0 }), "no kind"},
		{"no direction", mirror(func(m *fabric.Mirror) { m.Sources[0].Direction = 0 }), "without direction"},
		{"source is destination", mirror(func(m *fabric.Mirror) { m.Sources[0].Name = "e3" }), "source and destination"},
		{"destination unknown", mirror(func(m *fabric.Mirror) { m.Destinations[0].Name = "e9" }), `destination: no port "e9"`},
		{"destination of no kind", mirror(func(m *fabric.Mirror) { m.Destinations[0].Kind = 0 }), "no kind"},
		{"destination in a LAG", func() fabric.Config {
			c := mirror(func(*fabric.Mirror) {})
			c.LAGs = map[string]fabric.PortConfig{"po1": {Mode: fabric.Access}}
			c.Ports = map[string]fabric.PortConfig{"e3": {LAG: "po1"}}
			return c
		}(), `member of LAG "po1"`},
		{"rule without action", mirror(func(m *fabric.Mirror) { m.Filter = fabric.Filter{{}} }), "without action"},
		{"RSPAN beside a port", mirror(func(m *fabric.Mirror) {
			m.Sources = append(m.Sources, fabric.MirrorSource{Kind: fabric.SourceRSPAN, VLAN: 9})
		}), "beside others"},
		{"RSPAN into a tunnel", mirror(func(m *fabric.Mirror) {
			m.Sources = []fabric.MirrorSource{{Kind: fabric.SourceRSPAN, VLAN: 9}}
			m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationRSPAN, VLAN: 10}}
		}), "only go to ports"},
		{"tunnel of no kind", tunnel(fabric.Tunnel{Source: v4, Destination: v4}), "no kind"},
		{"two families", tunnel(fabric.Tunnel{Kind: fabric.GRE, Source: v4, Destination: v6}), "one family"},
		{"no address", tunnel(fabric.Tunnel{Kind: fabric.GRE, Source: v4}), "one family"},
		{"key of ERSPAN", tunnel(fabric.Tunnel{Kind: fabric.ERSPAN2, Source: v4, Destination: v4, Key: &key}), "have a GRE key"},
		{"session id", tunnel(fabric.Tunnel{Kind: fabric.ERSPAN2, Source: v4, Destination: v4, SessionID: 1024}), "1023"},
		{"VNI", tunnel(fabric.Tunnel{Kind: fabric.VXLAN, Source: v4, Destination: v4, VNI: 1 << 24}), "VNI over 24"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, sw, _ := star(t, 3)
			err := sw.Configure(tt.give)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestAllFindingsAtOnce(t *testing.T) {
	_, sw, _ := star(t, 3)
	c := fabric.Config{
		Ports:   map[string]fabric.PortConfig{"nope": {Mode: fabric.Access}},
		Mirrors: []fabric.Mirror{span("m", "e8", fabric.Rx, "e9")},
	}
	err := sw.Configure(c)
	for _, want := range []string{"nope", "e8", "e9"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestMirrorLimitCountsActiveOnes(t *testing.T) {
	_, sw, _ := star(t, 3)
	off := span("off", "e1", fabric.Rx, "e3")
	off.Shutdown = true
	c := fabric.Config{Limits: fabric.Limits{Mirrors: 1}, Mirrors: []fabric.Mirror{off, span("on", "e1", fabric.Rx, "e3")}}
	if err := sw.Configure(c); err != nil {
		t.Error(err)
	}
}
