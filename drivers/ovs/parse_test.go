package ovs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Rows as ovs-vsctl --format=json of 3.1.0 prints them.
const (
	swLine = `{"data":[["3.1.0","debian","12",["map",[["hostname","hv1"],["system-id","x"]]]]],"headings":["ovs_version","system_type","system_version","external_ids"]}`

	brHead = `"headings":["_uuid","name","ports","mirrors"]}`
	poHead = `"headings":["_uuid","name","interfaces","tag","trunks","vlan_mode","external_ids"]}`
	ifHead = `"headings":["_uuid","name","type","options","ofport","admin_state","link_state","link_speed","mtu","error"]}`
	miHead = `"headings":["_uuid","external_ids","name","output_port","output_vlan","select_all","select_dst_port","select_src_port","select_vlan","snaplen","statistics"]}`

	none    = `["set",[]]`
	noneMap = `["map",[]]`
)

func id(n string) string { return `["uuid","00000000-0000-0000-0000-0000000000` + n + `"]` }

// hostText is a host with the bridges br0 (e1 to e4) and br1 (f1, f2), and mirrors.
func hostText(br0, br1 string, mirrors ...string) string {
	port := func(n, name, rest string) string {
		return "[" + id(n) + `,"` + name + `",` + id("1"+n[1:]) + "," + rest + "]"
	}
	iface := func(n, name, kind, options, rest string) string {
		return "[" + id(n) + `,"` + name + `","` + kind + `",` + options + "," + rest + "]"
	}
	up := `"up","up",10000000000,1500,` + none
	return strings.Join([]string{
		swLine,
		`{"data":[[` + id("90") + `,"br0",["set",[` + id("01") + "," + id("02") + "," + id("03") + "," + id("04") + "," + id("05") + `]],` + br0 + `],[` +
			id("91") + `,"br1",["set",[` + id("06") + "," + id("07") + `]],` + br1 + `]],` + brHead,
		`{"data":[` + strings.Join([]string{
			port("01", "e1", none+","+none+","+none+","+noneMap),
			port("02", "e2", `10,`+none+","+none+","+noneMap),
			port("03", "e3", none+`,["set",[10,11,12,20]],`+none+","+noneMap),
			port("04", "br0", none+","+none+","+none+","+noneMap),
			port("05", "sp-tun", none+","+none+","+none+`,["map",[["spanctl","sp-t"]]]`),
			port("06", "f1", none+","+none+`,"native-untagged",`+noneMap),
			port("07", "f2", none+","+none+","+none+","+noneMap),
		}, ",") + `],` + poHead,
		`{"data":[` + strings.Join([]string{
			iface("11", "e1", "", noneMap, `1,`+up),
			iface("12", "e2", "", noneMap, `2,"down","down",`+none+`,9000,`+none),
			iface("13", "e3", "", noneMap, `3,`+up),
			iface("14", "br0", "internal", noneMap, `65534,`+up),
			iface("15", "sp-tun", "erspan", `["map",[["erspan_ver","1"],["key","0x64"],["local_ip","192.0.2.1"],["remote_ip","192.0.2.9"],["tos","40"],["erspan_idx","0"],["csum","true"]]]`, `4,`+up),
			iface("16", "f1", "", noneMap, `-1,"up","up",`+none+`,1500,"could not open network device f1 (No such device)"`),
			iface("17", "f2", "", noneMap, `2,`+up),
		}, ",") + `],` + ifHead,
		`{"data":[` + strings.Join(mirrors, ",") + `],` + miHead,
	}, "\n") + "\n"
}

func mirror(n, ext, name, port, vlan, all, dst, src, vlans, snaplen string) string {
	return "[" + strings.Join([]string{id(n), ext, `"` + name + `"`, port, vlan, all, dst, src, vlans, snaplen, noneMap}, ",") + "]"
}

const fdbText = "bridge br0\n port  VLAN  MAC                Age\nLOCAL     0  02:00:00:00:00:0f    1\n    1     0  02:00:00:00:00:11    2\n    1    10  02:00:00:00:00:12    2\n    3    10  02:00:00:00:00:13   22\n" +
	"bridge br1\n port  VLAN  MAC                Age\n    2     0  02:00:00:00:00:21    0\nend of the list\n"

func replies(text string) []transport.Reply {
	rs := make([]transport.Reply, readCount)
	for i, r := range (Dialect{}).Reads() {
		rs[i].Request = r
	}
	rs[readDatabase].Text, rs[readMACs].Text = text, fdbText
	return rs
}

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestParse(t *testing.T) {
	text := hostText(`["set",[`+strings.Join([]string{id("a1"), id("a2"), id("a3"), id("a4"), id("a5"), id("a6"), id("a7")}, ",")+`]]`, `["set",[`+id("b1")+","+id("b2")+`]]`,
		mirror("a1", noneMap, "m1", id("03"), none, "false", id("01"), `["set",[`+id("01")+","+id("02")+`]]`, none, "96"),
		mirror("a2", `["map",[["spanctl","sp-r"],["spanctl-rspan","true"]]]`, "sp-r", id("01"), none, "true", none, none, "900", none),
		mirror("a3", `["map",[["owner","ids"],["note","a b"]]]`, "rspan", none, "99", "false", none, id("01"), `["set",[10,11,12,20]]`, none),
		mirror("a4", `["map",[["spanctl","sp-t"]]]`, "sp-t", id("05"), none, "false", none, id("01"), none, none),
		mirror("a5", noneMap, "all", id("02"), none, "true", none, id("01"), none, none),
		mirror("a6", noneMap, "gone", none, none, "false", none, id("01"), none, none),
		mirror("a7", noneMap, "twice", id("03"), none, "false", none, id("01"), "0", none),
		mirror("b1", noneMap, "twice", id("06"), none, "true", none, none, `["set",[10,11]]`, none),
		mirror("b2", noneMap, "sourceless", id("07"), none, "false", none, none, none, none),
	)
	st, err := Dialect{}.Parse("hv1", replies(text))
	if err != nil {
		t.Fatal(err)
	}
	src := func(name string, d models.Direction) models.Source {
		return models.Source{Kind: models.SourcePort, Name: name, Direction: d}
	}
	to := func(name string) models.Destination {
		return models.Destination{Kind: models.DestinationPort, Ports: []string{name}}
	}
	up := models.Status{State: models.OperUp}
	down := func(why string) models.Status { return models.Status{State: models.OperDown, Reason: why} }
	local := models.RoleLocal
	want := models.DeviceState{
		Device: "hv1",
		Facts: models.Facts{Hostname: "hv1", Version: "3.1.0", Model: "debian 12", MaxSessions: 9 + 32 - 7, Traits: []string{
			"bridge br0", "bridge br1", "mirror 00000000-0000-0000-0000-0000000000a7 br0", "mirror 00000000-0000-0000-0000-0000000000b1 br1",
			"mirror all br0", "mirror gone br0", "mirror m1 br0", "mirror rspan br0", "mirror sourceless br1", "mirror sp-r br0", "mirror sp-t br0",
			"port br0 br0", "port e1 br0", "port e2 br0", "port e3 br0", "port f1 br1", "port f2 br1", "port sp-tun br0",
		}},
		Sessions: []models.Session{
			{Name: "all", Role: local, Sources: []models.Source{{Kind: models.SourceOther, Name: "all ports of br0", Direction: models.Both}}, Destination: to("e2"),
				Extra: []string{"select_src_port=00000000-0000-0000-0000-000000000001"}, Status: down("e2 is down")},
			{Name: "gone", Role: local, Sources: []models.Source{src("e1", models.Rx)}, Status: down("no output: its port is gone")},
			{Name: "m1", Role: local, Sources: []models.Source{src("e1", models.Both), src("e2", models.Rx)}, Destination: to("e3"), TruncateTo: 96, Status: up},
			{Name: "rspan", Role: models.RoleSource, Sources: []models.Source{src("e1", models.Rx)}, Destination: models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: 99},
				Filter: []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{{First: 10, Last: 12}, models.One(20)}}}},
				Extra:  []string{`external_ids:note="a b"`, "external_ids:owner=ids"}, Status: up},
			{Name: "sp-r", Role: models.RoleDestination, Sources: []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: 900, Direction: models.Rx}}, Destination: to("e1"), Status: up},
			{Name: "sp-t", Role: local, Sources: []models.Source{src("e1", models.Rx)}, Destination: models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
				Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: 2, SessionID: 100, DSCP: 10}},
				Extra: []string{`tunnel options:csum="true"`}, Status: up},
			{Name: "00000000-0000-0000-0000-0000000000a7", Role: local, Sources: []models.Source{src("e1", models.Rx)}, Destination: to("e3"),
				Extra: []string{"name=twice", "select_vlan=0"}, Status: up},
			{Name: "sourceless", Role: local, Destination: to("f2"), Status: down("no source: its ports are gone")},
			{Name: "00000000-0000-0000-0000-0000000000b1", Role: local, Sources: []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx}, {Kind: models.SourceVLAN, VLAN: 11, Direction: models.Rx}},
				Destination: to("f1"), Extra: []string{"name=twice"}, Status: down("f1: could not open network device f1 (No such device)")},
		},
		Ports: map[string]models.Port{
			"e1":  {Name: "e1", Oper: models.OperUp, SpeedMbps: 10000, MTU: 1500, MACs: 2},
			"e2":  {Name: "e2", Mode: models.PortAccess, AccessVLAN: 10, AdminDown: true, Oper: models.OperDown, MTU: 9000},
			"e3":  {Name: "e3", Mode: models.PortTrunk, TrunkVLANs: []models.Range{{First: 10, Last: 12}, models.One(20)}, Oper: models.OperUp, SpeedMbps: 10000, MTU: 1500, MACs: 1},
			"br0": {Name: "br0", Mode: models.PortRouted, Oper: models.OperUp, SpeedMbps: 10000, MTU: 1500},
			"f1":  {Name: "f1", Mode: models.PortTrunk, Oper: models.OperUp, MTU: 1500},
			"f2":  {Name: "f2", Oper: models.OperUp, SpeedMbps: 10000, MTU: 1500, MACs: 1},
		},
	}
	for i := range want.Sessions {
		want.Sessions[i].Device = "hv1"
	}
	if d := cmp.Diff(want, st, cmpAddr); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestParseWithoutAppctl: the addresses are not known then, and no change is rendered.
func TestParseWithoutAppctl(t *testing.T) {
	rs := replies(hostText(none, none))
	rs[readMACs].Text, rs[readMACs].Err = "", "ovs-appctl: cannot connect (Permission denied)"
	st, err := Dialect{}.Parse("hv1", rs)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Facts.HasTrait(noAppctl) || st.Ports["e1"].MACs != 0 {
		t.Errorf("traits %q, %d addresses", st.Facts.Traits, st.Ports["e1"].MACs)
	}
	s := models.Session{Name: "sp-x", Sources: []models.Source{{Kind: models.SourcePort, Name: "e1", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"e2"}}}
	_, err = Dialect{}.Render(models.ChangeSet{Changes: []models.Change{{Op: models.Create, After: &s}}}, drivers.RenderOptions{Facts: st.Facts})
	if err == nil || !strings.Contains(err.Error(), "ovs-appctl") {
		t.Errorf("a change is rendered: %v", err)
	}
}

// TestLaterColumns: what a later release has in a mirror is shown, not overlooked.
func TestLaterColumns(t *testing.T) {
	m := mirror("a1", noneMap, "m1", id("03"), none, "false", none, id("01"), none, none)
	text := hostText(id("a1"), none, strings.TrimSuffix(m, "]")+`,"icmp"]`)
	text = strings.Replace(text, `"snaplen","statistics"]`, `"snaplen","statistics","filter"]`, 1)
	st, err := Dialect{}.Parse("hv1", replies(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"filter=icmp"}, st.Sessions[0].Extra); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := hostText(none, none)
	lines := strings.Split(strings.TrimSpace(whole), "\n")
	tests := map[string]string{
		"no table":          "",
		"a table less":      strings.Join(lines[:4], "\n"),
		"a table more":      whole + lines[0] + "\n",
		"tables exchanged":  strings.Join([]string{lines[0], lines[2], lines[1], lines[3], lines[4]}, "\n"),
		"not initialized":   strings.Replace(whole, `[["3.1.0","debian","12",["map",[["hostname","hv1"],["system-id","x"]]]]]`, `[]`, 1),
		"a value less":      strings.Replace(whole, `"br1",`, ``, 1),
		"no identity":       strings.Replace(whole, "["+id("11")+`,"e1",""`, `["x","e1",""`, 1),
		"a strange value":   strings.Replace(whole, id("11"), `{"a":1}`, 1),
		"a strange kind":    strings.Replace(whole, id("11"), `["blob","x"]`, 1),
		"a bad identity":    strings.Replace(whole, id("11"), `["uuid","x"]`, 1),
		"null":              strings.Replace(whole, id("11"), `null`, 1),
		"something follows": strings.Replace(whole, brHead, brHead+` x`, 1),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if text == whole {
				t.Fatal("the text is the whole one")
			}
			if st, err := (Dialect{}).Parse("hv1", replies(text)); err == nil {
				t.Errorf("it gives %+v", st)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "no end": strings.TrimSuffix(fdbText, "end of the list\n"), "no bridge": " 1 0 02:00:00:00:00:11 2\nend of the list\n",
		"an error": "bridge br0\novs-appctl: no such bridge\nend of the list\n",
	} {
		t.Run("addresses: "+name, func(t *testing.T) {
			rs := replies(whole)
			rs[readMACs].Text = text
			if st, err := (Dialect{}).Parse("hv1", rs); err == nil {
				t.Errorf("it gives %+v", st)
			}
		})
	}
}

// FuzzParse: no text makes the reader panic, and what it reads can be looked at and
// rendered away without panic too.
func FuzzParse(f *testing.F) {
	f.Add(hostText(none, none), fdbText)
	f.Add(hostText(id("a1"), none, mirror("a1", noneMap, "m", id("03"), none, "true", none, none, `["set",[1,4095]]`, "96")), "end of the list")
	f.Add(`{"data":[[["set",[["map",[[1,2]]]]]]],"headings":["a"]}`, "bridge b\n")
	f.Fuzz(func(t *testing.T, text, macs string) {
		rs := replies(text)
		rs[readMACs].Text = macs
		st, err := Dialect{}.Parse("hv1", rs)
		if err != nil {
			if len(st.Sessions) > 0 || st.Ports != nil {
				t.Error("a state with an error")
			}
			return
		}
		for i := range st.Sessions {
			s := st.Sessions[i].Normalize()
			for _, c := range []models.Change{{Op: models.Delete, Before: &s}, {Op: models.Create, After: &s}} {
				sc, err := Dialect{}.Render(models.ChangeSet{Device: "hv1", Changes: []models.Change{c}}, drivers.RenderOptions{Facts: st.Facts})
				if err == nil && len(sc.Steps) != 1 {
					t.Errorf("%d steps", len(sc.Steps))
				}
			}
		}
	})
}
