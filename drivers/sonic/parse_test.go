package sonic

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b models.Prefix) bool { return a == b }),
}

// replies gives a configuration, and refusals of all else.
func replies(config string) []transport.Reply {
	var out []transport.Reply
	for _, r := range (Dialect{}).Reads() {
		out = append(out, transport.Reply{Request: r, Err: "-bash: show: command not found"})
	}
	out[readConfig] = transport.Reply{Request: out[readConfig].Request, Text: config}
	return out
}

// database is a configuration with a table MIRROR_SESSION.
func database(sessions string) string {
	return `{"DEVICE_METADATA": {"localhost": {"hostname": "leaf1", "hwsku": "X"}}, "MIRROR_SESSION": {` + sessions + `}}`
}

func TestParseSessions(t *testing.T) {
	gre := func(f func(*models.Tunnel)) models.Destination {
		tun := models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")}
		if f != nil {
			f(&tun)
		}
		return models.Destination{Kind: models.DestinationGRE, Tunnel: &tun}
	}
	both := []models.Source{{Kind: models.SourcePort, Name: "Ethernet0", Direction: models.Both}}
	tests := []struct {
		name, row string
		want      models.Session
	}{
		{"span", `"type": "SPAN", "dst_port": "Ethernet8", "src_port": "PortChannel1,Ethernet0", "direction": "RX"`, models.Session{
			Sources: []models.Source{
				{Kind: models.SourcePort, Name: "Ethernet0", Direction: models.Rx}, {Kind: models.SourceLAG, Name: "PortChannel1", Direction: models.Rx},
			},
			Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet8"}},
		}},
		{"to the CPU", `"type": "SPAN", "dst_port": "CPU", "src_port": "Ethernet0"`, models.Session{
			Sources: both, Destination: models.Destination{Kind: models.DestinationOther, Ports: []string{"CPU"}},
		}},
		{"erspan as it is written", `"type": "ERSPAN", "src_ip": "10.0.0.1", "dst_ip": "10.0.0.9", "dscp": "0", "ttl": "64", "gre_type": "35006", "queue": "0", "src_port": "Ethernet0", "direction": "BOTH"`,
			models.Session{Sources: both, Destination: gre(nil)}},
		{"erspan by hand, without a type", `"src_ip": "10.0.0.1", "dst_ip": "10.0.0.9", "dscp": "8", "ttl": "255", "gre_type": "0x6558", "queue": "3", "policer": "p1", "sample_rate": "500", "truncate_size": "128", "src_port": "Ethernet0"`,
			models.Session{
				Sources: both, SampleOneIn: 500, TruncateTo: 128, Extra: []string{"policer p1", "queue 3"},
				Destination: gre(func(t *models.Tunnel) { t.DSCP, t.TTL, t.Protocol = 8, 255, 0x6558 }),
			}},
		{"numbers that are no text", `"src_ip": "10.0.0.1", "dst_ip": "10.0.0.9", "dscp": 8, "ttl": 100`,
			models.Session{Destination: gre(func(t *models.Tunnel) { t.DSCP, t.TTL = 8, 100 }), Extra: []string{"gre_type of the switch"}}},
		{"a field of tomorrow", `"src_ip": "10.0.0.1", "dst_ip": "10.0.0.9", "vrf_name": "Vrf1"`,
			models.Session{Destination: gre(nil), Extra: []string{"vrf_name Vrf1", "gre_type of the switch"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, err := Dialect{}.Parse("leaf1", replies(database(`"s1": {`+tt.row+`}`)))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Device, tt.want.Name, tt.want.Role = "leaf1", "s1", models.RoleLocal
			if d := cmp.Diff([]models.Session{tt.want.Normalize()}, st.Sessions, cmpAddr); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, give := range map[string]string{
		"no JSON":                "Traceback (most recent call last):",
		"cut":                    `{"DEVICE_METADATA": {"localhost": {`,
		"another file":           `{"hello": 1}`,
		"span without a port":    database(`"s": {"type": "SPAN"}`),
		"erspan with a port":     database(`"s": {"type": "ERSPAN", "dst_port": "Ethernet0"}`),
		"another type":           database(`"s": {"type": "RSPAN"}`),
		"an address":             database(`"s": {"src_ip": "10.0.0"}`),
		"dscp":                   database(`"s": {"dscp": "64"}`),
		"gre type":               database(`"s": {"gre_type": "0x10000"}`),
		"direction":              database(`"s": {"direction": "UP"}`),
		"a session that is text": database(`"s": "SPAN"`),
	} {
		if st, err := (Dialect{}).Parse("leaf1", replies(give)); err == nil || len(st.Ports)+len(st.Sessions) > 0 {
			t.Errorf("%s: error %v, state %+v", name, err, st)
		}
	}
}

// TestBackup: a file tells the same, and an entry that cannot be read where it is.
func TestBackup(t *testing.T) {
	file := strings.ReplaceAll(database(`"s1": {"type": "SPAN", "dst_port": "Ethernet8", "src_port": "Ethernet0"},
"s2": {"dscp": "8"}`), "{\"s", "{\n\"s")
	b := Backup()
	if !b.Is(file) || b.Is(`{"hello": {}}`) || b.Is("hostname leaf1") {
		t.Error("files are not told apart")
	}
	st, err := b.Read("leaf1", file)
	if err != nil || len(st.Sessions) != 2 || st.Facts.Hostname != "leaf1" {
		t.Errorf("%v, state %+v", err, st)
	}
	if _, err := b.Read("leaf1", strings.Replace(file, `"dscp": "8"`, `"dscp": "99"`, 1)); err == nil || !strings.Contains(err.Error(), "line 3: MIRROR_SESSION s2: dscp") {
		t.Errorf("error %v, want one that names line and session", err)
	}
}

// TestPorts: what CONFIG_DB says of ports that must not become a destination.
func TestPorts(t *testing.T) {
	st, err := Dialect{}.Parse("leaf1", replies(`{
		"PORT": {"Ethernet0": {"speed": "25000", "mtu": "9100", "admin_status": "up"}, "Ethernet4": {}, "Ethernet8": {"admin_status": "up"}, "Ethernet12": {"admin_status": "up"}},
		"PORTCHANNEL": {"PortChannel1": {"admin_status": "up"}},
		"PORTCHANNEL_MEMBER": {"PortChannel1|Ethernet4": {}},
		"INTERFACE": {"Ethernet8": {}, "Ethernet8|192.0.2.1/31": {}, "Ethernet8|2001:db8::1/64": {}},
		"VLAN": {"Vlan10": {"vlanid": "10"}, "Vlan20": {}},
		"VLAN_MEMBER": {"Vlan10|Ethernet0": {"tagging_mode": "untagged"}, "Vlan10|Ethernet12": {"tagging_mode": "tagged"}, "Vlan20|Ethernet12": {"tagging_mode": "untagged"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]models.Port{
		"Ethernet0":    {Name: "Ethernet0", Mode: models.PortAccess, AccessVLAN: 10, SpeedMbps: 25000, MTU: 9100},
		"Ethernet4":    {Name: "Ethernet4", AdminDown: true, LAG: "PortChannel1"},
		"Ethernet8":    {Name: "Ethernet8", Mode: models.PortRouted, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/31"), netip.MustParsePrefix("2001:db8::1/64")}},
		"Ethernet12":   {Name: "Ethernet12", Mode: models.PortTrunk, TrunkVLANs: []models.Range{models.One(10), models.One(20)}},
		"PortChannel1": {Name: "PortChannel1"},
	}
	if d := cmp.Diff(want, st.Ports, cmpAddr); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(st.VLANs) != 2 {
		t.Errorf("VLANs %v", st.VLANs)
	}
}

// TestTranscripts reads what the project's own documentation and tests show.
func TestTranscripts(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(require.Vendor(t, "transcripts", "sonic"), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	state := func(text string, sessions ...string) map[string]models.Status {
		t.Helper()
		st := models.DeviceState{}
		for _, s := range sessions {
			st.Sessions = append(st.Sessions, models.Session{Name: s})
		}
		if err := sessionStates(text, &st); err != nil {
			t.Fatal(err)
		}
		out := map[string]models.Status{}
		for _, s := range st.Sessions {
			out[s.Name] = s.Status
		}
		return out
	}
	up := models.Status{State: models.OperUp}
	down := models.Status{State: models.OperDown, Reason: "inactive"}

	// The states of this table were put there by a test, and its cells are shifted.
	test := read("show_mirror_session_test.txt")
	_, test, _ = strings.Cut(test, "\"\"\"\\\n")
	want := map[string]models.Status{"test_session_db1": up, "test_session_sampled": up, "session1": up, "session2": up, "session11": up, "session15": up}
	if d := cmp.Diff(want, state(test, "test_session_db1", "test_session_sampled", "session1", "session2", "session11", "session15")); d != "" {
		t.Errorf("test (-want +got):\n%s", d)
	}
	all := tables(test)
	if len(all) != 2 || len(all[0].rows) != 2 || len(all[1].rows) != 4 {
		t.Fatalf("%d tables", len(all))
	}
	sampled := all[0].rows[1]
	for title, want := range map[string]string{
		"SRC IP": "10.0.0.1", "DST IP": "10.0.0.2", "GRE": "0x8949", "DSCP": "8", "TTL": "64", "Queue": "", "SRC Port": "Ethernet0",
		"Direction": "rx", "Sample Rate": "50000", "Truncate Size": "128",
	} {
		if got := all[0].cell(sampled, title); got != want {
			t.Errorf("%s: %q, want %q", title, got, want)
		}
	}

	// The examples of the documentation, each between fences.
	doc := strings.ReplaceAll(read("show_mirror_session_doc.md"), "\n  ", "\n")
	seen := map[string]models.Status{}
	for _, part := range strings.Split(doc, "```") {
		for _, example := range strings.Split(part, "show mirror_session\n")[1:] {
			for _, tab := range tables(example) {
				for _, row := range tab.rows {
					if name := tab.cell(row, "Name"); name != "" && tab.cell(row, "Status") != "" {
						seen[name] = state(example, name)[name]
					}
				}
			}
		}
	}
	wantDoc := map[string]models.Status{"everflow0": up, "port0": up, "mrr_legacy": down, "mrr_abcd": down, "mrr_port": down}
	if d := cmp.Diff(wantDoc, seen); d != "" {
		t.Errorf("documentation (-want +got):\n%s", d)
	}
}

func TestTables(t *testing.T) {
	lldp := `Capability codes: (R) Router, (B) Bridge, (O) Other
LocalPort    RemoteDevice           RemotePortID     Capability    RemotePortDescr
-----------  ---------------------  ---------------  ------------  -----------------
Ethernet0    ARISTA01T1             Ethernet1        BR            Ethernet1
Ethernet4                           00:11:22:33      O
--------------------------------------------------
Total entries displayed:  2
`
	st := models.DeviceState{Ports: map[string]models.Port{"Ethernet0": {Name: "Ethernet0"}, "Ethernet4": {Name: "Ethernet4"}}}
	readers := map[int]func(string, *models.DeviceState) error{readNeighbors: neighbors, readMACs: macs}
	if err := readers[readNeighbors](lldp, &st); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]string{{"ARISTA01T1 Ethernet1"}, {"00:11:22:33"}}, [][]string{st.Ports["Ethernet0"].Neighbors, st.Ports["Ethernet4"].Neighbors}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	old := "  No.    Vlan  MacAddress         Port\n-----  ------  -----------------  ---------\n    1    1000  E2:8C:56:85:4A:CD  Ethernet4\n    2    1000  A0:1B:5E:47:C9:76  Ethernet4\nTotal number of entries 2\n"
	if err := readers[readMACs](old, &st); err != nil || st.Ports["Ethernet4"].MACs != 2 {
		t.Errorf("%v, %d addresses on Ethernet4", err, st.Ports["Ethernet4"].MACs)
	}
	if err := readers[readMACs](strings.Replace(old, "entries 2", "entries 3", 1), &st); err == nil {
		t.Error("a table with less rows than it says: no error")
	}
}

func TestRender(t *testing.T) {
	ports := func(d models.Direction, names ...string) (out []models.Source) {
		for _, n := range names {
			out = append(out, models.Source{Kind: (Dialect{}).PortKind(n), Name: n, Direction: d})
		}
		return out
	}
	span := models.Session{Name: "s1", Sources: ports(models.Both, "Ethernet0", "PortChannel1"), Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet8"}}}
	erspan := models.Session{Name: "s2", Sources: ports(models.Rx, "Ethernet0"), Destination: models.Destination{
		Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")},
	}}
	odd := erspan
	odd.Destination.Tunnel = &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9"), TTL: 3, DSCP: 46, Protocol: 0x6558}
	odd.Extra, odd.SampleOneIn, odd.TruncateTo = []string{"policer p1", "queue 3"}, 100, 128
	own := models.Session{Name: "s3", Destination: erspan.Destination, Extra: []string{"gre_type of the switch", "policer p1"}}
	for _, tt := range []struct {
		name    string
		changes []models.Change
		want    []string
	}{
		{"put back with the switch's own GRE type", []models.Change{{Op: models.Create, After: &own}}, []string{"erspan add s3 10.0.0.1 10.0.0.9 0 64 --policer p1"}},
		{"span", []models.Change{{Op: models.Create, After: &span}}, []string{"span add s1 Ethernet8 Ethernet0,PortChannel1 both"}},
		{"erspan", []models.Change{{Op: models.Create, After: &erspan}}, []string{"erspan add s2 10.0.0.1 10.0.0.9 0 64 0x88be 0 Ethernet0 rx"}},
		{"all there is", []models.Change{{Op: models.Create, After: &odd}},
			[]string{"erspan add s2 10.0.0.1 10.0.0.9 46 3 0x6558 3 Ethernet0 rx --policer p1 --sample_rate 100 --truncate_size 128"}},
		{"delete", []models.Change{{Op: models.Delete, Before: &odd}}, []string{"remove s2"}},
		{"what goes, goes first", []models.Change{{Op: models.Create, After: &span}, {Op: models.Update, Before: &erspan, After: &odd}},
			[]string{"remove s2", "span add s1 Ethernet8 Ethernet0,PortChannel1 both",
				"erspan add s2 10.0.0.1 10.0.0.9 46 3 0x6558 3 Ethernet0 rx --policer p1 --sample_rate 100 --truncate_size 128"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script, err := Dialect{}.Render(models.ChangeSet{Device: "leaf1", Changes: tt.changes}, drivers.RenderOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range script.Steps {
				got = append(got, strings.TrimPrefix(s.Text, "sudo config mirror_session "))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestCheck: what a shell or the switch would take amiss is refused before it is sent.
func TestCheck(t *testing.T) {
	ok := models.Session{Name: "s1", Sources: []models.Source{{Kind: models.SourcePort, Name: "Ethernet0", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet8"}}}
	if got := (Dialect{}).Check(ok); len(got) > 0 {
		t.Errorf("a good session: %q", got)
	}
	tunnel := func(f func(*models.Tunnel)) func(*models.Session) {
		return func(s *models.Session) {
			t := &models.Tunnel{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.9")}
			f(t)
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: t}
		}
	}
	for text, change := range map[string]func(*models.Session){
		"session name":              func(s *models.Session) { s.Name = "s1;reboot" },
		"letters, digits":           func(s *models.Session) { s.Name = strings.Repeat("x", 33) },
		"is no port of SONiC; want": func(s *models.Session) { s.Sources[0].Name = "Ethernet0 $(reboot)" },
		"one direction": func(s *models.Session) {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: "Ethernet4", Direction: models.Tx})
		},
		"port channels cannot":   func(s *models.Session) { s.Destination.Ports[0] = "PortChannel1" },
		"source and destination": func(s *models.Session) { s.Destination.Ports[0] = "Ethernet0" },
		"name a port":            func(s *models.Session) { s.Sources = nil },
		"in GRE only":            func(s *models.Session) { s.TruncateTo = 128 },
		"leave ttl out":          tunnel(func(t *models.Tunnel) { t.TTL = 64 }),
		"IPv4 addresses": tunnel(func(t *models.Tunnel) {
			t.Source, t.Destination = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		}),
		"64 to 9216":                   func(s *models.Session) { tunnel(func(*models.Tunnel) {})(s); s.TruncateTo = 60 },
		"without a GRE type":           func(s *models.Session) { s.Extra = []string{"gre_type of the switch"} },
		"spanctl does not write it":    func(s *models.Session) { s.Extra = []string{"vrf_name Vrf1"} },
		`"policer p;reboot" cannot be`: func(s *models.Session) { s.Extra = []string{"policer p;reboot"} },
	} {
		s := ok
		s.Sources = append([]models.Source(nil), ok.Sources...)
		s.Destination.Ports = append([]string(nil), ok.Destination.Ports...)
		change(&s)
		if got := strings.Join((Dialect{}).Check(s), "\n"); !strings.Contains(got, text) {
			t.Errorf("%+v: %q, want %q", s, got, text)
		}
		if _, err := (Dialect{}).Render(models.ChangeSet{Changes: []models.Change{{Op: models.Create, After: &s}}}, drivers.RenderOptions{}); err == nil &&
			text != "leave ttl out" && text != "name a port" && text != "in GRE only" {
			t.Errorf("%q is rendered", text)
		}
	}
}

// FuzzParse: whatever the device prints, there is a state or an error, and what is read
// can be checked.
func FuzzParse(f *testing.F) {
	f.Add(database(`"s": {"type": "SPAN", "dst_port": "Ethernet8", "src_port": "Ethernet0"}`), "ERSPAN Sessions\nName    Status\n------  --------\n", "")
	f.Add(database(`"s": {"src_ip": "10.0.0.1", "dst_ip": "10.0.0.2"}`), "Name    Status\n------  --------\ns       active\n", "Total number of entries 0")
	f.Add(`{"PORT": {"Ethernet0": {}}}`, "-- --\n--", "No.\n---\n")
	f.Fuzz(func(t *testing.T, config, sessions, other string) {
		rs := replies(config)
		for i := range rs {
			rs[i].Err = ""
			switch i {
			case readConfig:
			case readSessions:
				rs[i].Text = sessions
			default:
				rs[i].Text = other
			}
		}
		st, err := Dialect{}.Parse("d", rs)
		if err != nil {
			if len(st.Ports)+len(st.Sessions) > 0 {
				t.Error("a state with an error")
			}
			rs = replies(config)
			if st, err = (Dialect{}).Parse("d", rs); err != nil {
				return
			}
		}
		for _, s := range st.Sessions {
			(Dialect{}).Check(s)
			if _, err := json.Marshal(s); err != nil {
				t.Error(err)
			}
		}
	})
}
