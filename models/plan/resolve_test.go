package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

func TestResolve(t *testing.T) {
	leafs := models.SourceSpec{Select: map[string]string{"role": "leaf", "site": "ams"}, VLANs: []models.Range{{First: 10, Last: 11}}, Direction: models.Rx}
	leaf := func(id string) models.SourceSpec {
		return models.SourceSpec{Device: id, Interfaces: []string{"e1"}, Direction: models.Rx}
	}
	vlans := []models.Source{
		{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx}, {Kind: models.SourceVLAN, VLAN: 11, Direction: models.Rx},
	}
	receiver, own := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("10.9.9.9")
	lo := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
	tunnel := func(kind models.DestinationKind, tn models.Tunnel) models.Destination {
		return models.Destination{Kind: kind, Tunnel: &tn}
	}
	toRSPAN := to(models.DestinationSpec{RemoteVLAN: &models.RemoteVLANSpec{VLAN: 900, Interface: models.InterfaceSpec{Device: "leaf2", Name: "e48"}}})
	noTunnels := able(models.FeatureERSPAN1, models.FeatureERSPAN2, models.FeatureERSPAN3, models.FeatureGRE, models.FeatureVXLAN)
	tests := []struct {
		name  string
		give  models.Intent
		on    Platform // nil = one that can do all
		want  []models.Session
		notes []string
	}{
		{name: "SPAN", give: intent("a"), want: []models.Session{session("leaf1", "a", toPorts("e48"), port("e1"))}},
		{
			name: "ranges, LAGs and what is said twice",
			give: intent("a", from(
				models.SourceSpec{Device: "leaf1", Interfaces: []string{"e2-3", "po1"}, Direction: models.Rx},
				models.SourceSpec{Device: "leaf1", Interfaces: []string{"e3"}, Direction: models.Tx},
			)),
			want: []models.Session{session("leaf1", "a", toPorts("e48"), port("e2"),
				models.Source{Kind: models.SourcePort, Name: "e3", Direction: models.Both},
				models.Source{Kind: models.SourceLAG, Name: "po1", Direction: models.Rx})},
		},
		{
			name: "filter, truncation and sampling",
			give: intent("a", func(s *models.Spec) {
				s.Filter = []models.RuleSpec{{Exclude: &models.Match{Proto: "6"}}, {Include: &models.Match{Proto: "UDP"}}}
				s.Truncate, s.Sample = 128, 10
			}),
			want: func() []models.Session {
				s := session("leaf1", "a", toPorts("e48"), port("e1"))
				s.Filter = []models.Rule{{Action: models.Exclude, Match: models.Match{Proto: "tcp"}}, {Action: models.Include, Match: models.Match{Proto: "udp"}}}
				s.TruncateTo, s.SampleOneIn = 128, 10
				return []models.Session{s}
			}(),
		},
		{
			name: "RSPAN from two devices, filtered where copies are made",
			give: intent("a", from(leaf("spine1"), leaf("leaf1")), toRSPAN, func(s *models.Spec) { s.Truncate = 64 }),
			want: func() []models.Session {
				a, b := session("leaf1", "a", toVLAN(900), port("e1")), session("spine1", "a", toVLAN(900), port("e1"))
				a.TruncateTo, b.TruncateTo = 64, 64
				return []models.Session{a, b, session("leaf2", "a", toPorts("e48"), fromVLAN(900))}
			}(),
		},
		{
			name: "RSPAN between hosts names the ports on the way",
			give: intent("a", from(leaf("spine1"), leaf("leaf1")), toRSPAN),
			on:   host(),
			want: func() []models.Session {
				a, b := session("leaf1", "a", toVLAN(900), port("e1")), session("spine1", "a", toVLAN(900), port("e1"))
				a.Destination.Ports, b.Destination.Ports = []string{"e51"}, []string{"e2"}
				end := fromVLAN(900)
				end.Name = "e51"
				return []models.Session{a, b, session("leaf2", "a", toPorts("e48"), end)}
			}(),
		},
		{
			name: "a capture on the device",
			give: intent("a", to(models.DestinationSpec{Capture: &models.CaptureSpec{Device: "leaf1"}})),
			want: []models.Session{session("leaf1", "a", models.Destination{Kind: models.DestinationCapture}, port("e1"))},
		},
		{
			name: "what becomes of long copies",
			give: intent("a", to(models.DestinationSpec{ERSPAN: &models.ERSPANSpec{Address: receiver, Oversize: models.OversizeTruncate}})),
			want: []models.Session{session("leaf1", "a", tunnel(models.DestinationERSPAN, models.Tunnel{Source: lo(1), Destination: receiver, Version: 2, Oversize: models.OversizeTruncate}), port("e1"))},
		},
		{
			name: "ERSPAN of a selector, source address of the device",
			give: intent("a", from(leafs), to(models.DestinationSpec{ERSPAN: &models.ERSPANSpec{Address: receiver, SessionID: 7, VRF: "v", TTL: 9, DSCP: 8}})),
			want: []models.Session{
				session("leaf1", "a", tunnel(models.DestinationERSPAN, models.Tunnel{Source: lo(1), Destination: receiver, Version: 2, SessionID: 7, VRF: "v", TTL: 9, DSCP: 8}), vlans...),
				session("leaf2", "a", tunnel(models.DestinationERSPAN, models.Tunnel{Source: lo(2), Destination: receiver, Version: 2, SessionID: 7, VRF: "v", TTL: 9, DSCP: 8}), vlans...),
			},
		},
		{
			name: "GRE with its own source address",
			give: intent("a", from(leaf("leaf3")), to(models.DestinationSpec{GRE: &models.GRESpec{Address: receiver, Source: own, Key: 5, VRF: "v", TTL: 9, DSCP: 8}})),
			want: []models.Session{session("leaf3", "a", tunnel(models.DestinationGRE, models.Tunnel{Source: own, Destination: receiver, Key: 5, VRF: "v", TTL: 9, DSCP: 8}), port("e1"))},
		},
		{
			name: "VXLAN",
			give: intent("a", to(models.DestinationSpec{VXLAN: &models.VXLANSpec{Address: receiver, VNI: 5, VRF: "v", TTL: 9, DSCP: 8}})),
			want: []models.Session{session("leaf1", "a", tunnel(models.DestinationVXLAN, models.Tunnel{Source: lo(1), Destination: receiver, VNI: 5, VRF: "v", TTL: 9, DSCP: 8}), port("e1"))},
		},
		{
			name:  "a sensor on the device: SPAN",
			give:  intent("a", from(leaf("leaf2")), to(models.DestinationSpec{Sensor: "ids1"})),
			want:  []models.Session{session("leaf2", "a", toPorts("e48"), port("e1"))},
			notes: []string{"SPAN: sensor ids1 hangs on its port e48"},
		},
		{
			name:  "a sensor elsewhere without an address: RSPAN, VLAN not yet chosen",
			give:  intent("a", to(models.DestinationSpec{Sensor: "ids1"})),
			want:  []models.Session{session("leaf1", "a", toVLAN(0), port("e1")), session("leaf2", "a", toPorts("e48"), fromVLAN(0))},
			notes: []string{"RSPAN: sensor ids1 hangs on leaf2 port e48, and no tunnel is common to sensor and platform"},
		},
		{
			name:  "a sensor with an address: the best tunnel that it takes",
			give:  intent("a", to(models.DestinationSpec{Sensor: "cloud"})),
			want:  []models.Session{session("leaf1", "a", tunnel(models.DestinationERSPAN, models.Tunnel{Source: lo(1), Destination: receiver, Version: 3, VRF: "mgmt"}), port("e1"))},
			notes: []string{"erspan3: sensor cloud is elsewhere, takes it at 192.0.2.9, and the platform has it"},
		},
		{
			name:  "the best that the platform has",
			give:  intent("a", to(models.DestinationSpec{Sensor: "cloud"})),
			on:    able(models.FeatureERSPAN3, models.FeatureERSPAN2),
			want:  []models.Session{session("leaf1", "a", tunnel(models.DestinationGRE, models.Tunnel{Source: lo(1), Destination: receiver, VRF: "mgmt"}), port("e1"))},
			notes: []string{"gre: sensor cloud is elsewhere, takes it at 192.0.2.9, and the platform has it"},
		},
		{
			name:  "VXLAN as the last",
			give:  intent("a", to(models.DestinationSpec{Sensor: "cloud"})),
			on:    able(models.FeatureERSPAN3, models.FeatureERSPAN2, models.FeatureGRE),
			want:  []models.Session{session("leaf1", "a", tunnel(models.DestinationVXLAN, models.Tunnel{Source: lo(1), Destination: receiver, VRF: "mgmt"}), port("e1"))},
			notes: []string{"vxlan: sensor cloud is elsewhere, takes it at 192.0.2.9, and the platform has it"},
		},
		{
			name:  "a sensor that names no tunnel takes ERSPAN type 2",
			give:  intent("a", to(models.DestinationSpec{Sensor: "plain"})),
			want:  []models.Session{session("leaf1", "a", tunnel(models.DestinationERSPAN, models.Tunnel{Source: lo(1), Destination: receiver, Version: 2}), port("e1"))},
			notes: []string{"erspan2: sensor plain is elsewhere, takes it at 192.0.2.9, and the platform has it"},
		},
		{
			name:  "no common tunnel: RSPAN",
			give:  intent("a", to(models.DestinationSpec{Sensor: "ids1"})),
			on:    noTunnels,
			want:  []models.Session{session("leaf1", "a", toVLAN(0), port("e1")), session("leaf2", "a", toPorts("e48"), fromVLAN(0))},
			notes: []string{"RSPAN: sensor ids1 hangs on leaf2 port e48, and no tunnel is common to sensor and platform"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on := tt.on
			if on == nil {
				on = able()
			}
			got, found := Resolve(leafSpine(), all(on), names{}, []models.Intent{tt.give})
			if len(found) > 0 {
				t.Fatalf("found %v", found)
			}
			if d := cmp.Diff(tt.want, got.Sessions, plain); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
			var notes []string
			for _, n := range got.Notes {
				notes = append(notes, n.Text)
			}
			if d := cmp.Diff(tt.notes, notes); d != "" {
				t.Errorf("notes (-want +got):\n%s", d)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	src := func(dev string, ports ...string) func(*models.Spec) {
		return from(models.SourceSpec{Device: dev, Interfaces: ports, Direction: models.Rx})
	}
	sensor := func(name string) func(*models.Spec) { return to(models.DestinationSpec{Sensor: name}) }
	dest := func(dev, name string) func(*models.Spec) {
		return to(models.DestinationSpec{Interface: &models.InterfaceSpec{Device: dev, Name: name}})
	}
	gre := func(g models.GRESpec) func(*models.Spec) { return to(models.DestinationSpec{GRE: &g}) }
	receiver := netip.MustParseAddr("192.0.2.9")
	tests := []struct {
		name string
		give []models.Intent
		on   Platforms
		edit func(*models.Network)
		want []string
		text string
	}{
		{name: "unknown device", give: []models.Intent{intent("a", src("leaf11", "e1"))},
			want: []string{"unknown-device  spec.sources[0].device"}, text: `"leaf11" is not a device of the inventory; did you mean "leaf1"?`},
		{name: "unknown destination", give: []models.Intent{intent("a", dest("x", "e1"))},
			want: []string{"unknown-device  spec.destination.interface.device"}},
		{name: "bad port", give: []models.Intent{intent("a", src("leaf1", "e1", "bad"))},
			want: []string{"unknown-port leaf1 spec.sources[0].interfaces[1]"}, text: "name one that it has"},
		{name: "a pattern without ports", give: []models.Intent{intent("a", src("leaf1", "none"))},
			want: []string{"unknown-port leaf1 spec.sources[0].interfaces[0]"}, text: `"none" names no port`},
		{name: "bad destination port", give: []models.Intent{intent("a", dest("leaf1", "bad"))},
			want: []string{"unknown-port leaf1 spec.destination.interface.name"}},
		{name: "a range as destination", give: []models.Intent{intent("a", dest("leaf1", "e1-2"))},
			want: []string{"destination leaf1 spec.destination.interface.name"}, text: "names 2 ports; want one"},
		{name: "a selector for nothing", give: []models.Intent{intent("a", from(models.SourceSpec{
			Select: map[string]string{"role": "leaf", "site": "lon"}, Interfaces: []string{"e1"}, Direction: models.Rx}))},
			want: []string{"empty-selector  spec.sources[0].select"}, text: "matches no device: role=leaf, site=lon"},
		{name: "a selector for an unknown label", give: []models.Intent{intent("a", from(models.SourceSpec{
			Select: map[string]string{"rule": "leaf"}, Interfaces: []string{"e1"}, Direction: models.Rx}))},
			want: []string{"empty-selector  spec.sources[0].select"}},
		{name: "SPAN from another switch", give: []models.Intent{intent("a", src("leaf2", "e1"))},
			want: []string{"destination leaf2 spec.destination.interface"}, text: "use remoteVlan, erspan or a sensor"},
		{name: "RSPAN within one switch", give: []models.Intent{intent("a", to(models.DestinationSpec{
			RemoteVLAN: &models.RemoteVLANSpec{VLAN: 9, Interface: models.InterfaceSpec{Device: "leaf1", Name: "e48"}}}))},
			want: []string{"destination leaf1 spec.destination.remoteVlan"}, text: "use destination.interface"},
		{name: "RSPAN to an unknown device", give: []models.Intent{intent("a", to(models.DestinationSpec{
			RemoteVLAN: &models.RemoteVLANSpec{VLAN: 9, Interface: models.InterfaceSpec{Device: "leaf9", Name: "e48"}}}))},
			want: []string{"unknown-device  spec.destination.remoteVlan.interface.device"}},
		{name: "RSPAN of a host of which nobody knows the port", give: []models.Intent{intent("a", src("leaf3", "e1"), to(models.DestinationSpec{
			RemoteVLAN: &models.RemoteVLANSpec{VLAN: 9, Interface: models.InterfaceSpec{Device: "leaf1", Name: "e48"}}}))},
			on: byDevice(map[models.DeviceID]Platform{"leaf1": able(), "leaf3": host()}), want: []string{"rspan-port leaf3 spec.destination.remoteVlan"}, text: "gives as uplinks none"},
		{name: "RSPAN of a host with two uplinks", give: []models.Intent{intent("a", src("leaf3", "e1"), to(models.DestinationSpec{
			RemoteVLAN: &models.RemoteVLANSpec{VLAN: 9, Interface: models.InterfaceSpec{Device: "leaf1", Name: "e48"}}}))},
			on: byDevice(map[models.DeviceID]Platform{"leaf1": able(), "leaf3": host()}), edit: func(n *models.Network) { n.Devices[2].Uplinks = []string{"e51", "e52"} },
			want: []string{"rspan-port leaf3 spec.destination.remoteVlan"}, text: "gives as uplinks e51, e52"},
		{name: "capture on another device", give: []models.Intent{intent("a", src("leaf2", "e1"), to(models.DestinationSpec{Capture: &models.CaptureSpec{Device: "leaf1"}}))},
			want: []string{"destination leaf2 spec.destination.capture"}, text: "takes those of its own ports only"},
		{name: "capture on an unknown device", give: []models.Intent{intent("a", to(models.DestinationSpec{Capture: &models.CaptureSpec{Device: "leaf9"}}))},
			want: []string{"unknown-device  spec.destination.capture.device"}},
		{name: "no source address", give: []models.Intent{intent("a", src("leaf3", "e1"), gre(models.GRESpec{Address: receiver}))},
			want: []string{"tunnel-source leaf3 spec.destination.gre.source"}, text: "tunnelSource"},
		{name: "source address of another version", give: []models.Intent{intent("a", gre(models.GRESpec{Address: netip.MustParseAddr("2001:db8::9")}))},
			want: []string{"tunnel-source leaf1 spec.destination.gre.source"}, text: "same IP version"},
		{name: "unknown sensor", give: []models.Intent{intent("a", sensor("ids"))},
			want: []string{"unknown-sensor  spec.destination.sensor"}, text: `did you mean "ids1"?`},
		{name: "a sensor out of reach", give: []models.Intent{intent("a", sensor("cloud"))}, on: all(able(
			models.FeatureERSPAN2, models.FeatureERSPAN3, models.FeatureGRE, models.FeatureVXLAN)),
			want: []string{"unreachable-sensor leaf1 spec.destination.sensor"}, text: "it takes erspan3, erspan2, gre, vxlan at 192.0.2.9"},
		{name: "no RSPAN at the source", give: []models.Intent{intent("a", sensor("ids1"))}, on: all(able(models.FeatureRSPANSource)),
			want: []string{"unreachable-sensor leaf1 spec.destination.sensor"}, text: "at no address"},
		{name: "no RSPAN at the destination", give: []models.Intent{intent("a", sensor("ids1"))},
			on:   byDevice(map[models.DeviceID]Platform{"leaf1": able(), "leaf2": able(models.FeatureRSPANDestination)}),
			want: []string{"unreachable-sensor leaf1 spec.destination.sensor"}},
		{name: "no driver at the destination", give: []models.Intent{intent("a", sensor("ids1"))},
			on:   byDevice(map[models.DeviceID]Platform{"leaf1": able()}),
			want: []string{"unreachable-sensor leaf1 spec.destination.sensor"}},
		{name: "no VLAN to choose", give: []models.Intent{intent("a", sensor("ids1"))}, edit: func(n *models.Network) { n.RSPANVLANs = nil },
			want: []string{"unreachable-sensor leaf1 spec.destination.sensor"}},
		{name: "a sensor needs a driver", give: []models.Intent{intent("a", sensor("cloud"))}, on: byDevice(nil),
			want: []string{"no-driver leaf1 spec.destination.sensor"}, text: `platform "fakeos" has no driver`},
		{name: "one name twice", give: []models.Intent{intent("a"), intent("b"), intent("a", src("leaf9", "e1"))},
			want: []string{"duplicate-intent  metadata.name"}, text: "(a.yaml:1)"},
		{name: "findings of all intents at once", give: []models.Intent{intent("a", sensor("")), intent("b", src("x", "e1")), intent("")},
			want: []string{"destination  spec.destination", "unknown-device  spec.sources[0].device", "name  metadata.name"}},
		{name: "two without a name are missing names", give: []models.Intent{intent(""), intent("")},
			want: []string{"name  metadata.name", "name  metadata.name"}},
		{name: "all faults of one intent", give: []models.Intent{intent("a", from(
			models.SourceSpec{Device: "x", Interfaces: []string{"e1"}, Direction: models.Rx},
			models.SourceSpec{Device: "leaf1", Interfaces: []string{"bad", "none"}, Direction: models.Rx}))},
			want: []string{"unknown-device  spec.sources[0].device", "unknown-port leaf1 spec.sources[1].interfaces[0]", "unknown-port leaf1 spec.sources[1].interfaces[1]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			net, on := leafSpine(), tt.on
			if tt.edit != nil {
				tt.edit(net)
			}
			if on == nil {
				on = all(able())
			}
			got, found := Resolve(net, on, names{}, tt.give)
			if d := cmp.Diff(tt.want, brief(found)); d != "" {
				t.Errorf("(-want +got):\n%s\n%s", d, found.Error())
			}
			wantText(t, found, tt.text)
			for _, f := range found {
				if f.Origin.File == "" || f.Intent == "" && f.Rule != "name" {
					t.Errorf("finding without a place: %+v", f)
				}
				for _, s := range got.Sessions {
					if s.Intent == f.Intent && f.Rule != "duplicate-intent" {
						t.Errorf("intent %s has findings, but also a session", f.Intent)
					}
				}
			}
		})
	}
}

// TestResolveUplink: without a way through the topology the only uplink of a host is
// the port by which it reaches an RSPAN VLAN.
func TestResolveUplink(t *testing.T) {
	net := leafSpine()
	net.Devices[2].Uplinks = []string{"e53"}
	in := intent("a", from(models.SourceSpec{Device: "leaf3", Interfaces: []string{"e1"}, Direction: models.Rx}),
		to(models.DestinationSpec{RemoteVLAN: &models.RemoteVLANSpec{VLAN: 9, Interface: models.InterfaceSpec{Device: "leaf1", Name: "e48"}}}))
	got, found := Resolve(net, byDevice(map[models.DeviceID]Platform{"leaf1": able(), "leaf3": host()}), names{}, []models.Intent{in})
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := session("leaf3", "a", toVLAN(9), port("e1"))
	want.Destination.Ports = []string{"e53"}
	if d := cmp.Diff([]models.Session{want, session("leaf1", "a", toPorts("e48"), fromVLAN(9))}, got.Sessions, plain); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestResolveMixed: a sensor reached by SPAN from its own device and by RSPAN from
// the other gives three sessions.
func TestResolveMixed(t *testing.T) {
	in := intent("a", from(models.SourceSpec{Select: map[string]string{"site": "ams"}, Interfaces: []string{"e1"}, Direction: models.Rx}),
		to(models.DestinationSpec{Sensor: "ids1"}))
	got, found := Resolve(leafSpine(), all(able()), names{}, []models.Intent{in})
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := []models.Session{
		session("leaf2", "a", toPorts("e48"), port("e1")),
		session("leaf1", "a", toVLAN(0), port("e1")),
		session("leaf2", "a", toPorts("e48"), fromVLAN(0)),
	}
	if d := cmp.Diff(want, got.Sessions, plain); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	found = Check(leafSpine(), all(able()), []models.Intent{in}, got.Sessions, Policy{}, now)
	if d := cmp.Diff([]string{"shared-destination leaf2 spec.destination"}, brief(found)); d != "" {
		t.Errorf("check (-want +got):\n%s", d)
	}
	wantText(t, found, "two sessions of this intent")
}

// TestHintsEnd: a wrong inventory does not compare each unknown device with all.
func TestHintsEnd(t *testing.T) {
	var ins []models.Intent
	for range maxHints + 2 {
		name := "leaf" + string(rune('a'+len(ins)%26)) + string(rune('a'+len(ins)/26))
		ins = append(ins, intent(name, from(models.SourceSpec{Device: name, Interfaces: []string{"e1"}, Direction: models.Rx})))
	}
	_, found := Resolve(leafSpine(), all(able()), names{}, ins)
	hints := 0
	for _, f := range found {
		if f.Message != `"`+f.Intent+`" is not a device of the inventory` {
			hints++
		}
	}
	if len(found) != maxHints+2 || hints != maxHints {
		t.Errorf("%d findings, %d of them with a hint; want %d and %d", len(found), hints, maxHints+2, maxHints)
	}
}

func TestSelects(t *testing.T) {
	d := models.Device{ID: "leaf1", Platform: "fakeos", Labels: map[string]string{"role": "leaf", "platform": "labelled"}}
	tests := []struct {
		name string
		give map[string]string
		want bool
	}{
		{"nothing", nil, true},
		{"a label", map[string]string{"role": "leaf"}, true},
		{"another value", map[string]string{"role": "spine"}, false},
		{"two labels, one wrong", map[string]string{"role": "leaf", "site": "ams"}, false},
		{"name", map[string]string{"name": "leaf1"}, true},
		{"other name", map[string]string{"name": "leaf2"}, false},
		{"a label hides the platform", map[string]string{"platform": "labelled"}, true},
		{"the hidden platform", map[string]string{"platform": "fakeos"}, false},
		{"an unknown key, even empty", map[string]string{"zone": ""}, false},
	}
	for _, tt := range tests {
		if got := Selects(tt.give, d); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if !Selects(map[string]string{"platform": "x"}, models.Device{Platform: "x"}) {
		t.Error("the platform is not a label")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"leaf1", "leaf2", "spine1", "border-leaf-ams-1"}
	tests := []struct{ give, want string }{
		{"leaf1", "leaf1"}, {"laef1", "leaf1"}, {"leaf", "leaf1"}, {"spin1", "spine1"}, {"border-leaf-ams1", "border-leaf-ams-1"},
		{"", ""}, {"x", ""}, {"core", ""}, {"border-leaf-fra-22", ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.give, known); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.give, got, tt.want)
		}
	}
	if got := Nearest("a", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
