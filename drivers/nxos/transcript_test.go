package nxos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// transcripts are the files of real outputs and how each is compared. One without a
// test says why.
var transcripts = map[string]string{
	"show_monitor_session_":                   "",
	"cisco_nxos_show_interface_brief_monitor": "",
	"dialog_nxos_":                            "",
	"batfish_nxos_monitor.cfg":                "",
	"batfish_nxos_interface_show_all_1.cfg":   "",
	"SOURCES.md":                              "tells where the files are from",
}

// TestTranscripts: every file is compared below, or is in the table with the reason.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Vendor(t, "transcripts", "cisco_nxos"), "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	used := make(map[string]bool)
	for _, f := range files {
		known := false
		for prefix := range transcripts {
			if strings.HasPrefix(filepath.Base(f), prefix) {
				known, used[prefix] = true, true
			}
		}
		if !known {
			t.Errorf("%s is neither compared nor in the table", filepath.Base(f))
		}
	}
	for prefix := range transcripts {
		if !used[prefix] {
			t.Errorf("there is no file %s*", prefix)
		}
	}
}

func transcript(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(require.Vendor(t, "transcripts", "cisco_nxos"), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// notCompared are the fields of the other project that are of tables behind the
// session, which tell what line cards can do.
var notCompared = []string{"feature/", "legend/"}

// otherNames are fields that the other project calls otherwise.
var otherNames = map[string]string{"src_intf_all": "source_exception/src_intf_all"}

// TestTranscriptMonitor compares every field that the other project has of "show
// monitor session", but for those of notCompared.
func TestTranscriptMonitor(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			var want struct {
				Session map[string]any `json:"session"`
			}
			if err := json.Unmarshal([]byte(transcript(t, fmt.Sprintf("show_monitor_session_%d.json", n))), &want); err != nil {
				t.Fatal(err)
			}
			shown, err := parseShown(clean(transcript(t, fmt.Sprintf("show_monitor_session_%d.txt", n))))
			if err != nil || len(shown) != 1 {
				t.Fatalf("%d sessions, %v", len(shown), err)
			}
			got := map[string]string{"session_number": strconv.Itoa(shown[0].Number)}
			for k, v := range shown[0].Fields {
				got[snake(k)] = v
			}
			compared := 0
		fields:
			for key, v := range flatten("", want.Session) {
				for _, prefix := range notCompared {
					if strings.HasPrefix(key, prefix) {
						continue fields
					}
				}
				if other, ok := otherNames[key]; ok {
					key = other
				}
				if _, inGroup := got["simple_filter/"+key]; inGroup {
					key = "simple_filter/" + key
				}
				compared++
				if got[key] != v {
					t.Errorf("%s is %q; want %q", key, got[key], v)
				}
			}
			if compared < 7 {
				t.Errorf("only %d fields were compared", compared)
			}
		})
	}
}

// snake writes "source intf/rx" as source_intf/rx.
func snake(key string) string {
	return regexp.MustCompile(`[ -]+`).ReplaceAllString(strings.ToLower(key), "_")
}

func flatten(prefix string, m map[string]any) map[string]string {
	out := make(map[string]string)
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			for k2, v2 := range flatten(prefix+k+"/", v) {
				out[k2] = v2
			}
		default:
			out[prefix+k] = fmt.Sprint(v)
		}
	}
	return out
}

// TestTranscriptStates: the sessions are up, as the outputs say.
func TestTranscriptStates(t *testing.T) {
	rs := replies(head + origin + "monitor session 1\nmonitor session 2 type erspan-source\nsw1\n")
	rs[readMonitor] = transport.Reply{Text: transcript(t, "show_monitor_session_1.txt") + "\n" + transcript(t, "show_monitor_session_3.txt")}
	st, err := Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Sessions {
		if s.Status.State != models.OperUp {
			t.Errorf("session %d: %+v", s.Number, s.Status)
		}
	}
}

// TestTranscriptInterfaces compares mode, VLAN and state of every port and LAG with
// what the other project makes of them.
func TestTranscriptInterfaces(t *testing.T) {
	var want struct {
		Rows []struct {
			Interface string `yaml:"interface"`
			Mode      string `yaml:"mode"`
			Status    string `yaml:"status"`
			VLAN      string `yaml:"vlan_id"`
		} `yaml:"parsed_sample"`
	}
	if err := yaml.Unmarshal([]byte(transcript(t, "cisco_nxos_show_interface_brief_monitor.yml")), &want); err != nil {
		t.Fatal(err)
	}
	config := head
	for _, r := range want.Rows {
		if name, ok := longName(r.Interface); ok {
			config += "interface " + name + "\n"
		}
	}
	rs := replies(config + "sw1\n")
	rs[readInterfaces] = transport.Reply{Text: transcript(t, "cisco_nxos_show_interface_brief_monitor.txt") + "\nsw1\n"}
	st, err := Dialect{}.Parse("sw1", rs)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, r := range want.Rows {
		name, ok := longName(r.Interface)
		if !ok {
			continue // mgmt0, Vlan, loopback, nve: no ports of the switch
		}
		compared++
		p := models.Port{Name: name, Mode: map[string]models.PortMode{"access": models.PortAccess, "trunk": models.PortTrunk, "routed": models.PortRouted}[r.Mode],
			Oper: map[string]models.OperState{"up": models.OperUp, "down": models.OperDown}[r.Status]}
		if p.Mode == models.PortAccess {
			p.AccessVLAN = 1
			if n, err := strconv.ParseUint(r.VLAN, 10, 16); err == nil {
				p.AccessVLAN = uint16(n)
			}
		}
		if d := cmp.Diff(p, st.Ports[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if compared < 60 {
		t.Errorf("only %d ports were compared", compared)
	}
}

// dialog gives the answers of a recorded dialog by command. It has \x20 and the like
// where blanks at the end of a line count.
func dialog(t *testing.T, name string) map[string]string {
	t.Helper()
	var file struct {
		Commands []map[string]string `yaml:"commands"`
	}
	if err := yaml.Unmarshal([]byte(transcript(t, name)), &file); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, c := range file.Commands {
		for command, text := range c {
			text = strings.NewReplacer(`\x20`, " ", `\"`, `"`, `\t`, "\t", `\r`, "").Replace(text)
			lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
			out[strings.TrimSpace(command)] = strings.Join(lines[1:max(1, len(lines)-1)], "\n") // without echo and prompt
		}
	}
	return out
}

// TestTranscriptDialogs reads the facts of a Nexus 9300 and a Nexus 5548, whose
// configurations are shortened and have no sessions.
func TestTranscriptDialogs(t *testing.T) {
	tests := []struct {
		file  string
		facts models.Facts
	}{
		{"dialog_nxos_C93180YC-FX3J_10.4.5.yaml", models.Facts{Hostname: "TEST-12345", Version: "10.4(5)", Model: "C93180YC-FX3H", Serial: "FDO20000000"}},
		{"dialog_nxos_N5548_7.3.13.yaml", models.Facts{Hostname: "TEST-12345", Version: "7.3(13)N1(1)", Model: "Nexus5548", Serial: "FOC00000001"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			answers := dialog(t, tt.file)
			config := answers["show running-config"]
			if !strings.Contains(config, "version "+tt.facts.Version) {
				t.Fatalf("the configuration is another one: %q", config)
			}
			rs := replies(config + "\nTEST-12345 \n")
			rs[readVersion] = transport.Reply{Text: answers["show version"]}
			st, err := Dialect{}.Parse("x", rs)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.facts, st.Facts); d != "" {
				t.Errorf("facts (-want +got):\n%s", d)
			}
			if len(st.Sessions) > 0 {
				t.Errorf("sessions %v; it has none", st.Sessions)
			}
		})
	}
	// A model whose limits are known, as it says its name.
	if l, ok := limitsOf("C93180YC-FX3H"); !ok || !l.vlanTx {
		t.Errorf("limits %+v, %v", l, ok)
	}
}

// TestTranscriptBatfish reads a parser test's excerpts.
func TestTranscriptBatfish(t *testing.T) {
	got := parse(t, transcript(t, "batfish_nxos_monitor.cfg")).Sessions
	want := []models.Session{{Device: "sw1", Number: 1, Role: models.RoleLocal,
		Sources: []models.Source{port(eth(1), models.Both), port(eth(2), models.Tx), port(eth(3), models.Rx), port(eth(4), models.Both),
			vlan(1, models.Both), vlan(2, models.Both), vlan(3, models.Both)},
		Destination: toPorts("Ethernet2/1", "Ethernet2/2", "Ethernet2/3", "Ethernet2/4"),
		Extra: []string{"  description Monitor-Session-1", "interface Ethernet2/1", noMonitorLine, "interface Ethernet2/2", noMonitorLine,
			"interface Ethernet2/3", noMonitorLine, "interface Ethernet2/4", noMonitorLine}}}
	if d := cmp.Diff(want, got, cmpAddr); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
	// "no switchport monitor" of "show running-config all" is none.
	st := parse(t, transcript(t, "batfish_nxos_interface_show_all_1.cfg"))
	if d := cmp.Diff(models.Port{Name: "Ethernet1/21", Mode: models.PortAccess, AccessVLAN: 1, MTU: 1500}, st.Ports["Ethernet1/21"]); d != "" {
		t.Errorf("port (-want +got):\n%s", d)
	}
	if len(st.Facts.Traits) > 0 {
		t.Errorf("traits %q", st.Facts.Traits)
	}
}
