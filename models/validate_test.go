package models

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// valid gives an intent without fault, of each kind of destination but the sensor.
func valid() Intent {
	return Intent{
		APIVersion: APIVersion, Kind: KindMirror,
		Metadata: Metadata{Name: "ids-dmz", Owner: "secops", Reason: "CHG-1234: 漏洞"},
		Spec: Spec{
			Sources: []SourceSpec{
				{Device: "leaf1", Interfaces: []string{"Ethernet1", "Ethernet5-8"}, Direction: Both},
				{Select: map[string]string{"role": "leaf"}, VLANs: []Range{{100, 110}}, Direction: Rx},
			},
			Filter:      []RuleSpec{{Include: &Match{Proto: "tcp", Dst: prefix("10.0.0.0/8"), Dport: []Range{One(80)}}}},
			Destination: DestinationSpec{Interface: &InterfaceSpec{Device: "leaf1", Name: "Ethernet48"}},
			Truncate:    128, Sample: 1000, Expires: Expiry{After: time.Hour},
		},
		Origin: Origin{File: "a.yaml", Line: 2},
	}
}

func TestValidateGood(t *testing.T) {
	addr, src := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("192.0.2.1")
	tests := []struct {
		name string
		edit func(*Intent)
	}{
		{"SPAN", func(*Intent) {}},
		{"RSPAN", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{RemoteVLAN: &RemoteVLANSpec{VLAN: 4094, Interface: InterfaceSpec{"core1", "Eth1/10"}}}
		}},
		{"ERSPAN", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{ERSPAN: &ERSPANSpec{Address: addr, Source: src, Version: 3, SessionID: 1023, VRF: "mgmt", DSCP: 63, TTL: 255}}
		}},
		{"GRE", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{GRE: &GRESpec{Address: netip.MustParseAddr("2001:db8::9"), Key: 1}}
		}},
		{"VXLAN", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{VXLAN: &VXLANSpec{Address: addr, VNI: 1<<24 - 1}}
		}},
		{"sensor", func(in *Intent) { in.Spec.Destination = DestinationSpec{Sensor: "ids1"} }},
		{"never", func(in *Intent) { in.Spec.Expires = NeverExpires }},
		{"a time", func(in *Intent) { in.Spec.Expires = Expiry{At: time.Now()} }},
		{"the longest name", func(in *Intent) { in.Metadata.Name = strings.Repeat("a", MaxIntentName) }},
		{"ports of sctp by number", func(in *Intent) {
			in.Spec.Filter = []RuleSpec{{Exclude: &Match{Proto: "132", Sport: []Range{{0, 65535}}}}}
		}},
		{"a rule for all", func(in *Intent) { in.Spec.Filter = []RuleSpec{{Include: &Match{}}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := valid()
			tt.edit(&in)
			if got := in.Validate(); got != nil {
				t.Errorf("found %v", got)
			}
		})
	}
}

func TestValidateBad(t *testing.T) {
	addr := netip.MustParseAddr
	erspan := func(e ERSPANSpec) func(*Intent) {
		return func(in *Intent) { in.Spec.Destination = DestinationSpec{ERSPAN: &e} }
	}
	gre := func(g GRESpec) func(*Intent) {
		return func(in *Intent) { in.Spec.Destination = DestinationSpec{GRE: &g} }
	}
	filter := func(rs ...RuleSpec) func(*Intent) { return func(in *Intent) { in.Spec.Filter = rs } }
	include := func(m Match) func(*Intent) { return filter(RuleSpec{Include: &m}) }
	source := func(s SourceSpec) func(*Intent) { return func(in *Intent) { in.Spec.Sources = []SourceSpec{s} } }
	ports := []string{"e1"}
	tests := []struct {
		name  string
		edit  func(*Intent)
		field string
		rule  string
		text  string // part of the message
	}{
		{"no version", func(in *Intent) { in.APIVersion = "" }, "apiVersion", "api-version", `want "spanctl/v1"`},
		{"other kind", func(in *Intent) { in.Kind = "mirror" }, "kind", "kind", `want "Mirror"`},
		{"no name", func(in *Intent) { in.Metadata.Name = "" }, "metadata.name", "name", "is missing"},
		{"long name", func(in *Intent) { in.Metadata.Name = strings.Repeat("a", 41) }, "metadata.name", "name", "at most 40"},
		{"upper case", func(in *Intent) { in.Metadata.Name = "Ids" }, "metadata.name", "name", "lower-case"},
		{"outer hyphen", func(in *Intent) { in.Metadata.Name = "ids-" }, "metadata.name", "name", "inner hyphens"},
		{"line end in a name", func(in *Intent) { in.Metadata.Name = "ids\n" }, "metadata.name", "name", "lower-case"},
		{"line end in the owner", func(in *Intent) { in.Metadata.Owner = "a\nb" }, "metadata.owner", "text", "one line"},
		{"control character in the reason", func(in *Intent) { in.Metadata.Reason = "a\x1b[2J" }, "metadata.reason", "text", "printable"},
		{"no source", func(in *Intent) { in.Spec.Sources = nil }, "spec.sources", "no-source", "name at least one"},
		{"no device", source(SourceSpec{Interfaces: ports, Direction: Rx}), "spec.sources[0]", "source-device", "give device or select"},
		{"empty select", source(SourceSpec{Select: map[string]string{}, Interfaces: ports, Direction: Rx}), "spec.sources[0]", "source-device", "give device or select"},
		{"device and select", source(SourceSpec{Device: "a", Select: map[string]string{"a": "b"}, Interfaces: ports, Direction: Rx}), "spec.sources[0]", "source-device", "give one"},
		{"nothing to copy", source(SourceSpec{Device: "a", Direction: Rx}), "spec.sources[0]", "no-source", "give interfaces or vlans"},
		{"empty interface", source(SourceSpec{Device: "a", Interfaces: []string{"e1", ""}, Direction: Rx}), "spec.sources[0].interfaces[1]", "no-source", "is empty"},
		{"line end in an interface", source(SourceSpec{Device: "a", Interfaces: []string{"e1\nreload"}, Direction: Rx}), "spec.sources[0].interfaces[0]", "text", "one line"},
		{"VLAN 0", source(SourceSpec{Device: "a", VLANs: []Range{One(0)}, Direction: Rx}), "spec.sources[0].vlans[0]", "range", "1 to 4094"},
		{"VLAN 4095", source(SourceSpec{Device: "a", VLANs: []Range{One(1), {4000, 4095}}, Direction: Rx}), "spec.sources[0].vlans[1]", "range", "4000-4095"},
		{"VLANs turned round", source(SourceSpec{Device: "a", VLANs: []Range{{9, 5}}, Direction: Rx}), "spec.sources[0].vlans[0]", "range", "9-5"},
		{"no direction", source(SourceSpec{Device: "a", Interfaces: ports}), "spec.sources[0].direction", "direction", "want rx, tx or both"},
		{"other direction", source(SourceSpec{Device: "a", Interfaces: ports, Direction: 9}), "spec.sources[0].direction", "direction", "want rx, tx or both"},
		{"empty rule", filter(RuleSpec{}), "spec.filter[0]", "filter", "want include or exclude"},
		{"include and exclude", filter(RuleSpec{Include: &Match{}, Exclude: &Match{}}), "spec.filter[0]", "filter", "make two rules"},
		{"protocol", include(Match{Proto: "ip"}), "spec.filter[0].include.proto", "filter", "want tcp, udp"},
		{"protocol 256", filter(RuleSpec{Exclude: &Match{Proto: "256"}}), "spec.filter[0].exclude.proto", "filter", "up to 255"},
		{"ports without protocol", include(Match{Dport: []Range{One(80)}}), "spec.filter[0].include", "filter", "need proto tcp"},
		{"ports of icmp", include(Match{Proto: "icmp", Sport: []Range{One(80)}}), "spec.filter[0].include", "filter", "need proto tcp"},
		{"mixed families", include(Match{Src: prefix("10.0.0.0/8"), Dst: prefix("::/0")}), "spec.filter[0].include", "filter", "no frame can match"},
		{"ports turned round", include(Match{Proto: "tcp", Dport: []Range{{9, 5}}}), "spec.filter[0].include.dport[0]", "range", "9-5"},
		{"source ports turned round", include(Match{Proto: "tcp", Sport: []Range{{9, 5}}}), "spec.filter[0].include.sport[0]", "range", "9-5"},
		{"VLAN of a rule", include(Match{VLANs: []Range{One(4095)}}), "spec.filter[0].include.vlans[0]", "range", "4095"},
		{"no destination", func(in *Intent) { in.Spec.Destination = DestinationSpec{} }, "spec.destination", "destination", "has 0 destinations"},
		{"two destinations", func(in *Intent) { in.Spec.Destination.Sensor = "x" }, "spec.destination", "destination", "has 2 destinations"},
		{"destination without device", func(in *Intent) { in.Spec.Destination.Interface.Device = "" }, "spec.destination.interface.device", "destination", "is missing"},
		{"destination without port", func(in *Intent) { in.Spec.Destination.Interface.Name = "" }, "spec.destination.interface.name", "destination", "is missing"},
		{"line end in the destination", func(in *Intent) { in.Spec.Destination.Interface.Name = "e1\r" }, "spec.destination.interface.name", "text", "one line"},
		{"RSPAN VLAN 1", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{RemoteVLAN: &RemoteVLANSpec{VLAN: 1, Interface: InterfaceSpec{"a", "e1"}}}
		}, "spec.destination.remoteVlan.vlan", "range", "from 2 to 4094"},
		{"RSPAN VLAN 4095", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{RemoteVLAN: &RemoteVLANSpec{VLAN: 4095, Interface: InterfaceSpec{"a", "e1"}}}
		}, "spec.destination.remoteVlan.vlan", "range", "from 2 to 4094"},
		{"RSPAN without port", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{RemoteVLAN: &RemoteVLANSpec{VLAN: 900, Interface: InterfaceSpec{"a", ""}}}
		}, "spec.destination.remoteVlan.interface.name", "destination", "is missing"},
		{"no address", gre(GRESpec{}), "spec.destination.gre.address", "destination", "is missing"},
		{"unspecified address", gre(GRESpec{Address: addr("0.0.0.0")}), "spec.destination.gre.address", "destination", "unicast"},
		{"multicast address", gre(GRESpec{Address: addr("ff02::1")}), "spec.destination.gre.address", "destination", "unicast"},
		{"loopback address", gre(GRESpec{Address: addr("::ffff:127.0.0.1")}), "spec.destination.gre.address", "destination", "unicast"},
		{"broadcast address", gre(GRESpec{Address: addr("255.255.255.255")}), "spec.destination.gre.address", "destination", "unicast"},
		{"address with a zone", gre(GRESpec{Address: addr("fe80::1%eth0")}), "spec.destination.gre.address", "destination", "unicast"},
		{"multicast source", gre(GRESpec{Address: addr("192.0.2.9"), Source: addr("224.0.0.1")}), "spec.destination.gre.source", "destination", "unicast"},
		{"other IP version", gre(GRESpec{Address: addr("192.0.2.9"), Source: addr("2001:db8::1")}), "spec.destination.gre.source", "destination", "same IP version"},
		{"DSCP of GRE", gre(GRESpec{Address: addr("192.0.2.9"), DSCP: 64}), "spec.destination.gre.dscp", "range", "at most 63"},
		{"spaces in a VRF", gre(GRESpec{Address: addr("192.0.2.9"), VRF: "a b"}), "spec.destination.gre.vrf", "text", "without spaces"},
		{"line end in a VRF", erspan(ERSPANSpec{Address: addr("192.0.2.9"), VRF: "a\nreload"}), "spec.destination.erspan.vrf", "text", "without spaces"},
		{"ERSPAN type 4", erspan(ERSPANSpec{Address: addr("192.0.2.9"), Version: 4}), "spec.destination.erspan.version", "range", "want 1, 2 or 3"},
		{"ERSPAN session id", erspan(ERSPANSpec{Address: addr("192.0.2.9"), SessionID: 1024}), "spec.destination.erspan.sessionId", "range", "at most 1023"},
		{"ERSPAN type 1 has no id", erspan(ERSPANSpec{Address: addr("192.0.2.9"), Version: 1, SessionID: 1}), "spec.destination.erspan.sessionId", "erspan", "no session id"},
		{"VNI", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{VXLAN: &VXLANSpec{Address: addr("192.0.2.9"), VNI: 1 << 24}}
		}, "spec.destination.vxlan.vni", "range", "16777215"},
		{"DSCP of VXLAN", func(in *Intent) {
			in.Spec.Destination = DestinationSpec{VXLAN: &VXLANSpec{Address: addr("192.0.2.9"), DSCP: 64}}
		}, "spec.destination.vxlan.dscp", "range", "at most 63"},
		{"capture without device", func(in *Intent) { in.Spec.Destination = DestinationSpec{Capture: &CaptureSpec{}} }, "spec.destination.capture.device", "destination", "is missing"},
		{"capture and a port", func(in *Intent) { in.Spec.Destination.Capture = &CaptureSpec{Device: "a"} }, "spec.destination", "destination", "has 2 destinations"},
		{"oversize", gre(GRESpec{Address: addr("192.0.2.9"), Oversize: 9}), "spec.destination.gre.oversize", "oversize", "want truncate or fragment"},
		{"truncation", func(in *Intent) { in.Spec.Truncate = 65536 }, "spec.truncate", "range", "at most 65535"},
		{"no expiry", func(in *Intent) { in.Spec.Expires = Expiry{} }, "spec.expires", "no-expiry", "or never"},
		{"negative expiry", func(in *Intent) { in.Spec.Expires = Expiry{After: -1} }, "spec.expires", "expiry", "longer than nothing"},
		{"two expiries", func(in *Intent) { in.Spec.Expires = Expiry{Never: true, After: 1} }, "spec.expires", "expiry", "more than one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := valid()
			tt.edit(&in)
			got := in.Validate()
			want := Findings{{Origin: in.Origin, Intent: in.Metadata.Name, Field: tt.field, Rule: tt.rule}}
			for i := range got {
				if !strings.Contains(got[i].Message, tt.text) {
					t.Errorf("message %q, want one with %q", got[i].Message, tt.text)
				}
				got[i].Message = ""
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestValidateAll: an intent with nothing in it gets all findings at once, in the
// order of the file.
func TestValidateAll(t *testing.T) {
	var fields []string
	for _, f := range (Intent{}).Validate() {
		fields = append(fields, f.Field)
	}
	want := []string{"apiVersion", "kind", "metadata.name", "spec.sources", "spec.destination", "spec.expires"}
	if d := cmp.Diff(want, fields); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestOriginString(t *testing.T) {
	for _, tt := range []struct {
		give Origin
		want string
	}{{Origin{}, ""}, {Origin{"f", 0}, "f"}, {Origin{"f", 3}, "f:3"}, {Origin{"", 3}, ""}} {
		if got := tt.give.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.give, got, tt.want)
		}
	}
}
