package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// TestCheckFeatures: each feature is asked for by a session that uses it, and by
// that one only.
func TestCheckFeatures(t *testing.T) {
	addr := netip.MustParseAddr
	tunnel := func(kind models.DestinationKind, edit func(*models.Tunnel)) models.Session {
		tn := models.Tunnel{Source: addr("10.0.0.1"), Destination: addr("192.0.2.9")}
		edit(&tn)
		return session("leaf1", "a", models.Destination{Kind: kind, Tunnel: &tn}, port("e1"))
	}
	version := func(v uint8) models.Session {
		return tunnel(models.DestinationERSPAN, func(tn *models.Tunnel) { tn.Version = v })
	}
	span := func(edit func(*models.Session)) models.Session {
		s := session("leaf1", "a", toPorts("e48"), port("e1"))
		edit(&s)
		return s.Normalize()
	}
	source := func(kind models.SourceKind, d models.Direction) models.Session {
		src := models.Source{Kind: kind, Name: "e1", Direction: d}
		if kind == models.SourceVLAN {
			src = models.Source{Kind: kind, VLAN: 5, Direction: d}
		}
		return session("leaf1", "a", toPorts("e48"), src)
	}
	filter := func(m ...models.Match) models.Session {
		return span(func(s *models.Session) {
			for _, m := range m {
				s.Filter = append(s.Filter, models.Rule{Action: models.Include, Match: m})
			}
		})
	}
	pfx := func(s string) models.Prefix { return models.Prefix{Prefix: netip.MustParsePrefix(s)} }
	nothing := func(*models.Tunnel) {}
	const (
		ps, rx = models.FeaturePortSource, models.FeatureRx
		span1  = models.FeatureSPAN
	)
	tests := []struct {
		name string
		give models.Session
		want []models.Feature
	}{
		{"SPAN", span(func(*models.Session) {}), []models.Feature{span1, rx, ps}},
		{"tx", source(models.SourcePort, models.Tx), []models.Feature{span1, models.FeatureTx, ps}},
		{"both", source(models.SourcePort, models.Both), []models.Feature{span1, models.FeatureBoth, ps}},
		{"LAG", source(models.SourceLAG, models.Rx), []models.Feature{span1, rx, models.FeatureLAGSource}},
		{"VLAN", source(models.SourceVLAN, models.Rx), []models.Feature{span1, rx, models.FeatureVLANSource}},
		{"two destinations", span(func(s *models.Session) { s.Destination.Ports = []string{"e47", "e48"} }), []models.Feature{span1, rx, ps, models.FeatureManyDestinations}},
		{"RSPAN source", session("leaf1", "a", toVLAN(9), port("e1")), []models.Feature{models.FeatureRSPANSource, rx, ps}},
		{"RSPAN destination", session("leaf1", "a", toPorts("e48"), fromVLAN(9)), []models.Feature{models.FeatureRSPANDestination}},
		{"ERSPAN 1", version(1), []models.Feature{models.FeatureERSPAN1, rx, ps}},
		{"ERSPAN 2", version(2), []models.Feature{models.FeatureERSPAN2, rx, ps}},
		{"ERSPAN 3", version(3), []models.Feature{models.FeatureERSPAN3, rx, ps}},
		{"ERSPAN without a version is 2", models.Session{Device: "leaf1", Destination: models.Destination{Kind: models.DestinationERSPAN}}, []models.Feature{models.FeatureERSPAN2}},
		{"ERSPAN 9 is nobody's", version(9), []models.Feature{"erspan-9", rx, ps}},
		{"GRE", tunnel(models.DestinationGRE, nothing), []models.Feature{models.FeatureGRE, rx, ps}},
		{"VXLAN", tunnel(models.DestinationVXLAN, nothing), []models.Feature{models.FeatureVXLAN, rx, ps}},
		{"capture", span(func(s *models.Session) { s.Destination = models.Destination{Kind: models.DestinationCapture} }), []models.Feature{models.FeatureCapture, rx, ps}},
		{"tunnel with a choice for long copies", tunnel(models.DestinationGRE, func(tn *models.Tunnel) { tn.Oversize = models.OversizeFragment }), []models.Feature{models.FeatureGRE, rx, ps, models.FeatureOversize}},
		{"tunnel in a VRF", tunnel(models.DestinationGRE, func(tn *models.Tunnel) { tn.VRF = "v" }), []models.Feature{models.FeatureGRE, rx, ps, models.FeatureTunnelVRF}},
		{"tunnel with all", tunnel(models.DestinationGRE, func(tn *models.Tunnel) { tn.VRF, tn.TTL, tn.DSCP, tn.Key = "v", 1, 1, 1 }),
			[]models.Feature{models.FeatureGRE, rx, ps, models.FeatureTunnelVRF, models.FeatureTunnelTTL, models.FeatureTunnelDSCP, models.FeatureTunnelKey}},
		{"truncation", span(func(s *models.Session) { s.TruncateTo = 64 }), []models.Feature{span1, rx, ps, models.FeatureTruncate}},
		{"sampling", span(func(s *models.Session) { s.SampleOneIn = 2 }), []models.Feature{span1, rx, ps, models.FeatureSample}},
		{"one in one is no sampling", span(func(s *models.Session) { s.SampleOneIn = 1 }), []models.Feature{span1, rx, ps}},
		{"IPv4 filter", filter(models.Match{Src: pfx("10.0.0.0/8")}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4}},
		{"IPv6 filter", filter(models.Match{Dst: pfx("2001:db8::/32")}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv6}},
		{"ICMP is IPv4", filter(models.Match{Proto: "icmp"}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4}},
		{"VLAN filter", filter(models.Match{VLANs: []models.Range{models.One(5)}}), []models.Feature{span1, rx, ps, models.FeatureFilterVLAN}},
		{"a protocol is of both versions", filter(models.Match{Proto: "tcp"}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4, models.FeatureFilterIPv6}},
		{"unless restricted", filter(models.Match{Proto: "tcp", Src: pfx("0.0.0.0/0")}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4}},
		{"a filter of nothing is still a filter", filter(models.Match{}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4}},
		{"two rules, each once", filter(models.Match{Src: pfx("10.0.0.0/8")}, models.Match{Dst: pfx("10.0.0.0/8")}), []models.Feature{span1, rx, ps, models.FeatureFilterIPv4}},
	}
	asked := make(map[models.Feature]bool)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, f := range tt.want {
				want = append(want, fmt.Sprintf("fakeos cannot do %s: the chip has no %s", f, f))
				asked[f] = true
			}
			none := able(models.Features()...)
			none.caps.Claims["erspan-9"] = models.Claim{Why: "the chip has no erspan-9"}
			var got []string
			for _, f := range Check(leafSpine(), all(none), nil, []models.Session{tt.give}, Policy{}, now) {
				if f.Rule != "unsupported" || f.Field == "" || f.Device != "leaf1" {
					t.Errorf("finding %+v", f)
				}
				msg, _, _ := strings.Cut(f.Message, " (")
				got = append(got, msg)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("refused (-want +got):\n%s", d)
			}
			if tt.want[0] == "erspan-9" {
				return
			}
			if found := Check(leafSpine(), all(able()), nil, []models.Session{tt.give}, Policy{}, now); len(found) > 0 {
				t.Errorf("refused by a platform that can do all: %v", found)
			}
		})
	}
	for _, f := range models.Features() {
		switch f {
		case models.FeatureSessions, models.FeatureConfirm, models.FeatureOperState:
			continue // of the device, not of a session
		}
		if !asked[f] {
			t.Errorf("no session of this test asks for %s", f)
		}
	}
}

func TestCheck(t *testing.T) {
	a := session("leaf1", "a", toPorts("e48"), port("e1"))
	vlan := func(n uint16) models.Source {
		return models.Source{Kind: models.SourceVLAN, VLAN: n, Direction: models.Rx}
	}
	lag := models.Source{Kind: models.SourceLAG, Name: "po1", Direction: models.Rx}
	expired, future := intent("a"), intent("a")
	expired.Spec.Expires, future.Spec.Expires = models.Expiry{At: now}, models.Expiry{At: now.Add(time.Second)}
	edit := func(e func(*models.Session)) models.Session { s := a; e(&s); return s.Normalize() }
	silent := able()
	delete(silent.caps.Claims, models.FeatureSPAN)
	short := able()
	short.caps.NameMax = 3
	odd := able()
	odd.refuse = []string{"rx only on Tuesdays"}
	tests := []struct {
		name string
		give []models.Session
		ins  []models.Intent
		on   Platforms
		edit func(*models.Network)
		pol  Policy
		want []string
		text string
	}{
		{name: "nothing wrong", give: []models.Session{a}},
		{name: "no sessions"},
		{name: "expired", ins: []models.Intent{expired}, want: []string{"expired  spec.expires"}, text: "a.yaml:1: intent a: spec.expires: the lease ended at 2026-01-01T00:00:00Z"},
		{name: "not yet expired", ins: []models.Intent{future}},
		{name: "no driver", give: []models.Session{a}, on: byDevice(nil), want: []string{"no-driver leaf1 "}, text: `platform "fakeos" has no driver`},
		{name: "silence is no", give: []models.Session{a}, on: all(silent), want: []string{"unsupported leaf1 spec.destination.interface"}, text: "nothing is known that says it could"},
		{name: "hint for a filter of one version", give: []models.Session{edit(func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{Proto: "tcp"}}}
		})}, on: all(able(models.FeatureFilterIPv6)), want: []string{"unsupported leaf1 spec.filter"}, text: "src or dst 0.0.0.0/0 restricts it to IPv4"},
		{name: "sources at the limit", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("e1"), port("e2"))}, on: all(able().limit(models.FeaturePortSource, 2))},
		{name: "sources over it", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("e1"), port("e2"), vlan(5))}, on: all(able().limit(models.FeaturePortSource, 2)),
			want: []string{"limit leaf1 spec.sources"}, text: "has 3 sources; fakeos takes 2"},
		{name: "VLANs alone over it", give: []models.Session{session("leaf1", "a", toPorts("e48"), vlan(4), vlan(5), vlan(6))}, on: all(able().limit(models.FeaturePortSource, 2)),
			want: []string{"limit leaf1 spec.sources"}},
		{name: "VLAN sources", give: []models.Session{session("leaf1", "a", toPorts("e48"), vlan(4), vlan(5), port("e1"))}, on: all(able().limit(models.FeatureVLANSource, 1)),
			want: []string{"limit leaf1 spec.sources"}, text: "has 2 VLANs; fakeos takes 1"},
		{name: "LAG sources at the limit", give: []models.Session{session("leaf1", "a", toPorts("e48"), lag, port("e1"))}, on: all(able().limit(models.FeatureLAGSource, 1))},
		{name: "destinations", give: []models.Session{session("leaf1", "a", toPorts("e46", "e47", "e48"), port("e1"))}, on: all(able().limit(models.FeatureManyDestinations, 2)),
			want: []string{"limit leaf1 spec.destination"}, text: "has 3 destinations; fakeos takes 2"},
		{name: "truncation", give: []models.Session{edit(func(s *models.Session) { s.TruncateTo = 256 })}, on: all(able().limit(models.FeatureTruncate, 255)),
			want: []string{"limit leaf1 spec.truncate"}, text: "keeps 256 bytes; fakeos keeps at most 255"},
		{name: "sampling", give: []models.Session{edit(func(s *models.Session) { s.SampleOneIn = 1001 })}, on: all(able().limit(models.FeatureSample, 1000)),
			want: []string{"limit leaf1 spec.sample"}, text: "at most one in 1000"},
		{name: "name", give: []models.Session{a}, on: all(short), want: []string{"limit leaf1 metadata.name"}, text: `"sp-a" has 4 characters; fakeos takes 3`},
		{name: "the platform's own rules", give: []models.Session{a}, on: all(odd), want: []string{"platform-rule leaf1 "}, text: "rx only on Tuesdays"},
		{name: "a port to itself", give: []models.Session{session("leaf1", "a", toPorts("e1"), port("e1"))}, want: []string{"self leaf1 spec.destination"}, text: "port e1 is a source and the destination"},
		{name: "a LAG to itself", give: []models.Session{session("leaf1", "a", toPorts("po1"), lag)}, want: []string{"self leaf1 spec.destination"}},
		{name: "a linked port", give: []models.Session{session("leaf1", "a", toPorts("e51"), port("e1"))}, want: []string{"uplink leaf1 spec.destination"}, text: "port e51 is the link to spine1 e1"},
		{name: "the other end of a link", give: []models.Session{session("spine1", "a", toPorts("e2"), port("e1"))}, want: []string{"uplink spine1 spec.destination"}, text: "the link to leaf2 e51"},
		{name: "a declared uplink", give: []models.Session{a}, edit: func(n *models.Network) { n.Devices[0].Uplinks = []string{"e48"} },
			want: []string{"uplink leaf1 spec.destination"}, text: "an uplink by the inventory"},
		{name: "a host's port is free", give: []models.Session{session("leaf1", "a", toPorts("e10"), port("e1"))}},
		{name: "an uplink, forced", give: []models.Session{session("leaf1", "a", toPorts("e51"), port("e1"))}, pol: Policy{Force: true},
			want: []string{"warning uplink leaf1 spec.destination"}, text: "as forced"},
		{name: "an uplink as RSPAN destination", give: []models.Session{session("leaf1", "a", toPorts("e51"), fromVLAN(9))}, want: []string{"uplink leaf1 spec.destination"}},
		{name: "one destination for two", give: []models.Session{a, session("leaf1", "b", toPorts("e47", "e48"), port("e2"))},
			want: []string{"shared-destination leaf1 spec.destination"}, text: "port e48 is already the destination of intent a"},
		{name: "that port of another device", give: []models.Session{a, session("leaf2", "b", toPorts("e48"), port("e2"))}},
		{name: "a source that is a destination elsewhere", give: []models.Session{session("leaf1", "b", toPorts("e47"), port("e48")), a},
			want: []string{"source-is-destination leaf1 spec.sources"}, text: "port e48 is the destination of intent a"},
		{name: "one RSPAN VLAN for two", give: []models.Session{session("leaf1", "a", toVLAN(9), port("e1")), session("leaf2", "b", toVLAN(9), port("e1"))},
			want: []string{"shared-vlan leaf2 spec.destination.remoteVlan.vlan"}, text: "RSPAN VLAN 9 is already that of intent a"},
		{name: "one RSPAN VLAN for one intent", give: []models.Session{session("leaf1", "a", toVLAN(9), port("e1")), session("leaf2", "a", toVLAN(9), port("e1"))}},
		{name: "two that are not chosen yet", give: []models.Session{session("leaf1", "a", toVLAN(0), port("e1")), session("leaf2", "b", toVLAN(0), port("e1"))}},
		{name: "copying an RSPAN VLAN", give: []models.Session{session("leaf1", "a", toVLAN(9), port("e1")), session("leaf2", "b", toPorts("e48"), vlan(9))},
			want: []string{"source-is-destination leaf2 spec.sources"}, text: "VLAN 9 is the RSPAN VLAN of intent a"},
		{name: "one session name for two", give: []models.Session{session("leaf1", "a", toPorts("e48"), fromVLAN(9)), session("leaf1", "a-rx", toPorts("e47"), port("e1"))},
			want: []string{"duplicate-session leaf1 metadata.name"}, text: `"sp-a-rx" is also that of intent a`},
		{name: "sessions without names do not meet", give: []models.Session{edit(func(s *models.Session) { s.Name = "" }), func() models.Session {
			s := session("leaf1", "b", toPorts("e47"), port("e1"))
			s.Name = ""
			return s
		}()}},
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
			found := Check(net, on, tt.ins, tt.give, tt.pol, now)
			if d := cmp.Diff(tt.want, brief(found)); d != "" {
				t.Errorf("(-want +got):\n%s\n%s", d, found.Error())
			}
			wantText(t, found, tt.text)
		})
	}
}
