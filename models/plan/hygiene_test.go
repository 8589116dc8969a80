package plan

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/models"
)

// free gives ports that have no duty.
func free(names ...string) map[string]models.Port {
	out := make(map[string]models.Port)
	for _, n := range names {
		out[n] = models.Port{Name: n, Mode: models.PortAccess, AccessVLAN: 1}
	}
	return out
}

func TestCheckState(t *testing.T) {
	a := session("leaf1", "a", toPorts("e48"), port("e1"))
	both := models.Source{Kind: models.SourcePort, Name: "e1", Direction: models.Both}
	own := func(s models.Session, intent string) models.Session { s.Intent = intent; return s }
	with := func(name string, p models.Port) map[string]models.Port {
		ports := free("e1", "e2", "e47", "e48")
		p.Name = name
		ports[name] = p
		return ports
	}
	// speeds gives e1 and e2 10G and e48 the given one.
	speeds := func(mbps uint32) map[string]models.Port {
		ports := free("e1", "e2", "e48")
		for n, p := range ports {
			p.SpeedMbps = 10_000
			ports[n] = p
		}
		p := ports["e48"]
		p.SpeedMbps = mbps
		ports["e48"] = p
		return ports
	}
	stranger := func(name string, dest models.Destination, src ...models.Source) models.Session {
		s := session("leaf1", "", dest, src...)
		s.Name = name
		return s
	}
	deletes := func(names ...string) func(string) bool {
		return func(i string) bool { return slices.Contains(names, i) }
	}
	const dest = " leaf1 spec.destination"
	tests := []struct {
		name    string
		give    []models.Session // nil = a
		st      models.DeviceState
		on      *fake
		deleted func(string) bool
		pol     Policy
		want    []string
		text    string
	}{
		{name: "nothing is known of ports", st: models.DeviceState{}},
		{name: "free ports", st: models.DeviceState{Ports: free("e1", "e48")}},
		{name: "unknown source", st: models.DeviceState{Ports: free("e11", "e48")},
			want: []string{"unknown-port leaf1 spec.sources"}, text: "the device has no port e1; did you mean e11?"},
		{name: "in a namespace that nobody looked into", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("container:web/eth0"))}, st: models.DeviceState{Ports: free("e48")}},
		{name: "unknown in a namespace", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("container:web/eth0"))},
			st: models.DeviceState{Ports: free("e48", "container:web/eth1")}, want: []string{"unknown-port leaf1 spec.sources"}},
		{name: "unknown destination", st: models.DeviceState{Ports: free("e1")}, want: []string{"unknown-port" + dest}},
		{name: "unknown LAG", give: []models.Session{session("leaf1", "a", toPorts("e48"), models.Source{Kind: models.SourceLAG, Name: "po1", Direction: models.Rx})},
			st: models.DeviceState{Ports: free("e48")}, want: []string{"unknown-port leaf1 spec.sources"}},
		{name: "unknown VLAN", give: []models.Session{session("leaf1", "a", toPorts("e48"), models.Source{Kind: models.SourceVLAN, VLAN: 5, Direction: models.Rx})},
			st: models.DeviceState{Ports: free("e48"), VLANs: map[uint16]models.VLAN{6: {}}}, want: []string{"unknown-vlan leaf1 spec.sources"}, text: "no VLAN 5"},
		{name: "VLANs that were not asked for", give: []models.Session{session("leaf1", "a", toPorts("e48"), models.Source{Kind: models.SourceVLAN, VLAN: 5, Direction: models.Rx})},
			st: models.DeviceState{Ports: free("e48")}},

		{name: "trunk", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortTrunk})}, want: []string{"trunk" + dest}, text: "port e48 is a trunk; as a destination it would lose that duty: choose a free port, or force it"},
		{name: "LAG member", st: models.DeviceState{Ports: with("e48", models.Port{LAG: "po7"})}, want: []string{"lag-member" + dest}, text: "a member of po7"},
		{name: "address", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortRouted, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/31")}})},
			want: []string{"routed-port" + dest}, text: "with address 10.0.0.1/31"},
		{name: "routed without address", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortRouted})}, want: []string{"routed-port" + dest}},
		{name: "neighbour", st: models.DeviceState{Ports: with("e48", models.Port{Neighbors: []string{"core1 Eth1", "core2 Eth1"}})}, want: []string{"neighbor" + dest}, text: "connected to core1 Eth1, core2 Eth1"},
		{name: "MAC addresses", st: models.DeviceState{Ports: with("e48", models.Port{MACs: 3})}, want: []string{"mac-addresses" + dest}, text: "3 learned MAC addresses"},
		{name: "all of them at once", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortTrunk, LAG: "po7", MACs: 1, Neighbors: []string{"x"}})},
			want: []string{"lag-member" + dest, "trunk" + dest, "neighbor" + dest, "mac-addresses" + dest}},
		{name: "forced", pol: Policy{Force: true}, st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortTrunk, MACs: 1})},
			want: []string{"warning trunk" + dest, "warning mac-addresses" + dest}},
		{name: "force does not make ports", pol: Policy{Force: true}, st: models.DeviceState{Ports: free("e1")}, want: []string{"unknown-port" + dest}},
		{name: "a trunk as source", st: models.DeviceState{Ports: with("e1", models.Port{Mode: models.PortTrunk, MACs: 9})}},
		{name: "what the session does already", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortTrunk}), Sessions: []models.Session{a}}},
		{name: "what a stranger of its name does already", st: models.DeviceState{Ports: with("e48", models.Port{Mode: models.PortTrunk}), Sessions: []models.Session{own(a, "")}},
			want: []string{"foreign-session leaf1 metadata.name", "trunk" + dest}, text: `session "sp-a", which is not spanctl's already exists; adopt it`},
		{name: "a source in the LAG that is the destination", give: []models.Session{session("leaf1", "a", toPorts("po1"), port("e1"))},
			st: models.DeviceState{Ports: with("e1", models.Port{LAG: "po1"})}, want: []string{"self" + dest, "unknown-port" + dest}, text: "po1 is the destination and holds the source e1"},

		{name: "another intent's name", st: models.DeviceState{Sessions: []models.Session{own(a, "b")}}, want: []string{"duplicate-session leaf1 metadata.name"}, text: `session "sp-a" of intent b already exists`},
		{name: "the same, but deleted", st: models.DeviceState{Sessions: []models.Session{own(a, "b")}}, deleted: deletes("b")},
		{name: "a stranger's destination", st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e48"), port("e2"))}},
			want: []string{"shared-destination" + dest}, text: `port e48 is already the destination of session "x", which is not spanctl's`},
		{name: "a stranger's source", st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e47"), port("e48"))}}, want: []string{"destination-is-source" + dest}},
		{name: "from a stranger's destination", st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e1"), port("e2"))}}, want: []string{"source-is-destination leaf1 spec.sources"}},
		{name: "a source is shared in peace", st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e47"), port("e1"))}}},
		{name: "a stranger by number", st: models.DeviceState{Sessions: []models.Session{{Number: 4, Destination: toPorts("e48")}}}, want: []string{"shared-destination" + dest}, text: `session "4"`},
		{name: "another intent's destination", st: models.DeviceState{Sessions: []models.Session{session("leaf1", "b", toPorts("e48"), port("e2"))}},
			want: []string{"shared-destination" + dest}, text: `session "sp-b" of intent b`},
		{name: "which is deleted", st: models.DeviceState{Sessions: []models.Session{session("leaf1", "b", toPorts("e48"), port("e2"))}}, deleted: deletes("b")},
		{name: "which moves elsewhere in this run", give: []models.Session{a, session("leaf2", "b", toPorts("e48"), port("e2"))},
			st: models.DeviceState{Sessions: []models.Session{session("leaf1", "b", toPorts("e48"), port("e2"))}}},
		{name: "a stranger's RSPAN VLAN", give: []models.Session{session("leaf1", "a", toVLAN(9), port("e1"))},
			st: models.DeviceState{Sessions: []models.Session{stranger("x", toVLAN(9), port("e2"))}}, want: []string{"shared-vlan leaf1 spec.destination.remoteVlan.vlan"}},
		{name: "where a stranger takes it out", give: []models.Session{session("leaf1", "a", toPorts("e48"), fromVLAN(9))},
			st:   models.DeviceState{VLANs: map[uint16]models.VLAN{9: {}}, Sessions: []models.Session{stranger("x", toPorts("e47"), fromVLAN(9))}},
			want: []string{"shared-vlan leaf1 spec.destination.remoteVlan.vlan"}},

		{name: "as much as the destination carries", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("e1"), port("e2"))}, st: models.DeviceState{Ports: speeds(20_000)}},
		{name: "more than it carries", give: []models.Session{session("leaf1", "a", toPorts("e48"), port("e1"), port("e2"))}, st: models.DeviceState{Ports: speeds(10_000)},
			want: []string{"warning oversubscription leaf1 spec.sources"}, text: "offer 20000 Mbit/s and e48 carries 10000"},
		{name: "both directions count twice", give: []models.Session{session("leaf1", "a", toPorts("e48"), both)}, st: models.DeviceState{Ports: speeds(10_000)},
			want: []string{"warning oversubscription leaf1 spec.sources"}},
		{name: "by policy", pol: Policy{RefuseOversubscription: true}, give: []models.Session{session("leaf1", "a", toPorts("e48"), both)}, st: models.DeviceState{Ports: speeds(10_000)},
			want: []string{"oversubscription leaf1 spec.sources"}},
		{name: "sampled", give: []models.Session{func() models.Session {
			s := session("leaf1", "a", toPorts("e48"), both)
			s.SampleOneIn = 100
			return s
		}()}, st: models.DeviceState{Ports: speeds(10_000)}},
		{name: "unknown speed", give: []models.Session{session("leaf1", "a", toPorts("e48"), both)}, st: models.DeviceState{Ports: speeds(0)}},

		{name: "at the limit", on: able().limit(models.FeatureSessions, 2), st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e47"))}}},
		{name: "over the limit with strangers", on: able().limit(models.FeatureSessions, 1), st: models.DeviceState{Sessions: []models.Session{stranger("x", toPorts("e47"))}},
			want: []string{"session-limit leaf1 "}, text: "the device takes 1 sessions; 1 others are there and 1 are wanted"},
		{name: "its own session does not count twice", on: able().limit(models.FeatureSessions, 1), st: models.DeviceState{Sessions: []models.Session{a}}},
		{name: "nor one that is deleted", on: able().limit(models.FeatureSessions, 1), deleted: deletes("b"),
			st: models.DeviceState{Sessions: []models.Session{session("leaf1", "b", toPorts("e47"), port("e2"))}}},
		{name: "the device knows better", on: able().limit(models.FeatureSessions, 1),
			st: models.DeviceState{Facts: models.Facts{MaxSessions: 2}, Sessions: []models.Session{stranger("x", toPorts("e47"))}}},
		{name: "and worse", on: able(), st: models.DeviceState{Facts: models.Facts{MaxSessions: 1}, Sessions: []models.Session{stranger("x", toPorts("e47"))}},
			want: []string{"session-limit leaf1 "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			give, on, deleted := tt.give, tt.on, tt.deleted
			if give == nil {
				give = []models.Session{a}
			}
			if on == nil {
				on = able()
			}
			if deleted == nil {
				deleted = deletes()
			}
			tt.st.Device = "leaf1"
			found := CheckState(leafSpine(), all(on), nil, give, map[models.DeviceID]models.DeviceState{"leaf1": tt.st}, deleted, tt.pol)
			found = slices.DeleteFunc(found, func(f models.Finding) bool { return f.Rule == "rspan-path" }) // TestRemoteVLANs
			if d := cmp.Diff(tt.want, brief(found)); d != "" {
				t.Errorf("(-want +got):\n%s\n%s", d, found.Error())
			}
			wantText(t, found, tt.text)
		})
	}
	if found := CheckState(leafSpine(), all(able()), nil, []models.Session{a}, nil, deletes(), Policy{}); len(found) > 0 {
		t.Errorf("a device without a state: %v", found)
	}
}

// TestRemoteVLANs: RSPAN VLAN 900 from leaf1 over the spines to leaf2. e51 leads to
// spine1, e52 to spine2; LAG po1 of spine1 holds its e2.
func TestRemoteVLANs(t *testing.T) {
	trunk := models.Port{Mode: models.PortTrunk}
	states := func(edit func(map[models.DeviceID]models.DeviceState)) map[models.DeviceID]models.DeviceState {
		out := make(map[models.DeviceID]models.DeviceState)
		for dev, ports := range map[models.DeviceID][]string{
			"leaf1": {"e51", "e52"}, "leaf2": {"e51", "e52"}, "spine1": {"e1", "po1"}, "spine2": {"e1", "e2"},
		} {
			st := models.DeviceState{Device: dev, Ports: free("e9", "e10", "e48", "e1"), VLANs: map[uint16]models.VLAN{1: {}, 900: {}}}
			for _, p := range ports {
				st.Ports[p] = trunk
			}
			out[dev] = st
		}
		out["spine1"].Ports["e2"] = models.Port{LAG: "po1"}
		if edit != nil {
			edit(out)
		}
		return out
	}
	type stateMap = map[models.DeviceID]models.DeviceState
	only := func(vlans ...uint16) models.Port {
		p := models.Port{Mode: models.PortTrunk, TrunkVLANs: []models.Range{}}
		for _, v := range vlans {
			p.TrunkVLANs = append(p.TrunkVLANs, models.One(v))
		}
		return p
	}
	without := func(dev models.DeviceID) func(stateMap) {
		return func(m stateMap) { delete(m[dev].VLANs, 900) }
	}
	const (
		path = " leaf1 spec.destination.remoteVlan"
		vlan = " spec.destination.remoteVlan.vlan"
	)
	tests := []struct {
		name  string
		edit  func(stateMap)
		from  models.DeviceID // "" = leaf1
		links bool            // only the links of spine1
		want  []string
		text  string
	}{
		{name: "all carry it"},
		{name: "one way is enough", edit: func(m stateMap) { m["leaf1"].Ports["e51"] = only(1) }},
		{name: "also where a transit switch lacks the VLAN", edit: without("spine1")},
		{name: "also where nothing is known of the other", edit: func(m stateMap) { delete(m, "spine1") }},
		{name: "no way: what is on the shortest", edit: func(m stateMap) { m["leaf1"].Ports["e51"], m["leaf1"].Ports["e52"] = only(1, 5), only() },
			want: []string{"rspan-path" + path}, text: "leaf1 e51 on the way does not carry VLAN 900 (it carries 1,5)"},
		{name: "a trunk with a range", links: true, edit: func(m stateMap) {
			m["spine1"].Ports["e1"] = models.Port{Mode: models.PortTrunk, TrunkVLANs: []models.Range{{First: 890, Last: 910}}}
		}},
		{name: "the far end of the first link", links: true, edit: func(m stateMap) { m["spine1"].Ports["e1"] = only() },
			want: []string{"rspan-path" + path}, text: "spine1 e1 on the way does not carry VLAN 900 (it carries none)"},
		{name: "the LAG decides, not its member", links: true, edit: func(m stateMap) { m["spine1"].Ports["po1"] = only(1) },
			want: []string{"rspan-path" + path}, text: "spine1 e2 on the way does not carry VLAN 900"},
		{name: "a LAG that is not there", links: true, edit: func(m stateMap) { delete(m["spine1"].Ports, "po1") },
			want: []string{"warning rspan-path" + path}, text: "spine1 has no port e2: the topology and the device disagree"},
		{name: "no trunk", links: true, edit: func(m stateMap) { m["leaf2"].Ports["e51"] = models.Port{Mode: models.PortRouted} },
			want: []string{"rspan-path" + path}, text: "leaf2 e51 on the way is no trunk (routed)"},
		{name: "mode not known", links: true, edit: func(m stateMap) { m["leaf2"].Ports["e51"] = models.Port{} },
			want: []string{"warning rspan-path" + path}, text: "whether leaf2 e51 carries VLAN 900 is not known"},
		{name: "VLAN missing on the way", links: true, edit: without("spine1"), want: []string{"rspan-path spine1" + vlan}, text: "VLAN 900 does not exist here; create it on the whole path"},
		{name: "VLAN missing at the source", edit: without("leaf1"), want: []string{"rspan-path leaf1" + vlan}},
		{name: "VLAN missing at the destination", edit: without("leaf2"), want: []string{"rspan-path leaf2" + vlan}},
		{name: "a switch on the only way without state", links: true, edit: func(m stateMap) { delete(m, "spine1") },
			want: []string{"warning rspan-path" + path, "warning rspan-path spine1" + vlan, "warning rspan-path" + path}, text: "whether VLAN 900 exists here is not known"},
		{name: "VLANs not asked for", edit: func(m stateMap) { st := m["leaf2"]; st.VLANs = nil; m["leaf2"] = st }, want: []string{"warning rspan-path leaf2" + vlan}},
		{name: "in use on a port", edit: func(m stateMap) {
			m["leaf2"].Ports["e10"] = models.Port{Mode: models.PortAccess, AccessVLAN: 900}
			m["leaf2"].Ports["e9"] = models.Port{Mode: models.PortAccess, AccessVLAN: 900}
		}, want: []string{"rspan-vlan-in-use leaf2" + vlan, "rspan-vlan-in-use leaf2" + vlan}, text: "VLAN 900 is the access VLAN of port e9"},
		{name: "no path", from: "leaf3", want: []string{"warning rspan-path leaf3" + vlan, "warning rspan-path leaf3 spec.destination.remoteVlan"}, text: "the topology shows no path to leaf2"},
		{name: "a device that the inventory does not know", from: "leaf9", want: []string{"warning rspan-path leaf9" + vlan, "warning rspan-path leaf9 spec.destination.remoteVlan"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			net := leafSpine()
			if tt.links {
				net.Links = net.Links[:2]
			}
			from := tt.from
			if from == "" {
				from = "leaf1"
			}
			give := []models.Session{session(from, "a", toVLAN(900), port("e1")), session("leaf2", "a", toPorts("e48"), fromVLAN(900))}
			for range 3 { // in the same order every time
				found := CheckState(net, all(able()), nil, give, states(tt.edit), func(string) bool { return false }, Policy{})
				if d := cmp.Diff(tt.want, brief(found)); d != "" {
					t.Fatalf("(-want +got):\n%s\n%s", d, found.Error())
				}
				wantText(t, found, tt.text)
			}
		})
	}
}

// TestRemoteVLANsOrder: findings of many intents come in the order of the intents.
func TestRemoteVLANsOrder(t *testing.T) {
	var give []models.Session
	var want []string
	for _, name := range []string{"z", "m", "a", "q", "b", "k"} {
		v := uint16(100 + name[0])
		give = append(give, session("leaf1", name, toVLAN(v), port("e1")), session("leaf2", name, toPorts("e"+name), fromVLAN(v)))
		want = append(want, name, name)
	}
	st := func(dev models.DeviceID) models.DeviceState {
		return models.DeviceState{Device: dev, VLANs: map[uint16]models.VLAN{}}
	}
	net := leafSpine()
	net.Links = nil
	for range 5 {
		var got []string
		for _, f := range CheckState(net, all(able()), nil, give, map[models.DeviceID]models.DeviceState{"leaf1": st("leaf1"), "leaf2": st("leaf2")}, func(string) bool { return false }, Policy{}).Errors() {
			got = append(got, f.Intent)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	}
}

// TestRemoteVLANsOddSessions: sessions that Resolve would not make are no reason to
// panic.
func TestRemoteVLANsOddSessions(t *testing.T) {
	give := []models.Session{
		{Device: "leaf1", Intent: "a", Role: models.RoleDestination},
		{Device: "leaf1", Intent: "a", Role: models.RoleSource},
		{Device: "leaf1", Intent: "b", Role: models.RoleSource, Destination: toVLAN(9)},
		{Device: "leaf2", Intent: "c", Role: models.RoleDestination, Sources: []models.Source{port("e1"), fromVLAN(9)}},
	}
	found := CheckState(leafSpine(), all(able()), nil, give, nil, func(string) bool { return false }, Policy{})
	if d := cmp.Diff([]string{"warning rspan-path leaf2 spec.destination.remoteVlan.vlan"}, brief(found)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
