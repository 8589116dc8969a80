package iosxe

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// transcripts are the files of real outputs and how each is compared. Those without
// a test say why: the model has no field for what they tell, or their command is not
// asked.
var transcripts = map[string]string{
	"show_monitor_":                  "",
	"show_vlan_remote_span":          "",
	"show_capability_feature_":       "",
	"dialog_ios_":                    "",
	"batfish_cisco_monitor.cfg":      "",
	"dialog_config":                  "",
	"SOURCES.md":                     "tells where the files are from",
	"show_platform_software_monitor": "what is programmed; the session's number in the forwarding engine, and flags that no public text explains",
	"show_platform_software_fed_": "what is programmed, by the session's number in the forwarding engine: which session of the configuration it is, is not in it; " +
		"what an unused number answers is in no public source, so that it cannot be asked",
	"show_asic_insight":                "what the chip of a Catalyst 9610 has; its mirrors have no session number",
	"cisco_ios_show_interfaces_status": "the state of links; the command is not asked, since its text has no end that proves it whole",
}

// TestTranscripts: every file is compared below, or is in the table with the reason.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Vendor(t, "transcripts", "cisco_iosxe"), "*"))
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
	text, err := os.ReadFile(filepath.Join(require.Vendor(t, "transcripts", "cisco_iosxe"), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func expectation(t *testing.T, name string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(transcript(t, name)), into); err != nil {
		t.Fatal(err)
	}
}

// TestTranscriptMonitor compares every field that the other project has of "show
// monitor session". It keeps one session of a number that comes twice, with the
// fields of both.
func TestTranscriptMonitor(t *testing.T) {
	for _, n := range []int{1, 3, 4, 6} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			var want struct {
				Session map[string]map[string]any `json:"session"`
			}
			expectation(t, fmt.Sprintf("show_monitor_%d.json", n), &want)
			shown, err := parseShown(transcript(t, fmt.Sprintf("show_monitor_%d.txt", n)))
			if err != nil {
				t.Fatal(err)
			}
			compared := 0
			for number, fields := range want.Session {
				got := make(map[string]string)
				for _, s := range shown {
					if strconv.Itoa(s.Number) == number {
						for k, v := range s.Fields {
							got[snake(k)] = v
						}
					}
				}
				for key, v := range flatten("", fields) {
					compared++
					if got[key] != v {
						t.Errorf("session %s: %s is %q; want %q", number, key, got[key], v)
					}
				}
			}
			if compared < 6 {
				t.Errorf("only %d fields were compared", compared)
			}
		})
	}
}

// snake writes "Source Ports/RX Only" as source_ports/rx_only.
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

// TestTranscriptMonitorState: the sessions of a router, without a line that says
// whether they are shut, are on as the output says.
func TestTranscriptMonitorState(t *testing.T) {
	rs := replies(head + "monitor session 1 type erspan-source\n source interface Gi0/1/4 tx\n" + erspanBlock +
		"monitor session 2 type erspan-destination\n destination interface Gi0/1/6\nend\n")
	rs[readMonitor].Text, rs[readMonitor].Err = transcript(t, "show_monitor_1.txt"), ""
	st, err := Dialect{}.Parse("r1", rs)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Sessions {
		if s.Shutdown {
			t.Errorf("session %d is shut; the device says Admin Enabled", s.Number)
		}
	}
}

// TestTranscriptRemoteVLANs reads the list of RSPAN VLANs where it stands in "show
// vlan", which has the same section.
func TestTranscriptRemoteVLANs(t *testing.T) {
	var want struct {
		VLAN map[string]struct {
			Remote bool `json:"vlan_is_remote_span"`
		} `json:"vlan_id"`
	}
	expectation(t, "show_vlan_remote_span.json", &want)
	c := config{state: &models.DeviceState{}}
	text := "VLAN Name   Status\n1    default active\n\n" + transcript(t, "show_vlan_remote_span.txt") + "\n\nPrimary Secondary Type              Ports\n"
	if err := c.vlanTable(text); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for id, v := range c.state.VLANs {
		if v.RemoteSPAN {
			got[strconv.Itoa(int(id))] = true
		}
	}
	if len(got) != len(want.VLAN) {
		t.Errorf("%v; want %v", got, want.VLAN)
	}
	for id, v := range want.VLAN {
		if got[id] != v.Remote {
			t.Errorf("VLAN %s: %v; want %v", id, got[id], v.Remote)
		}
	}
}

// TestTranscriptCapability compares the header types; the other fields (numbers of
// sessions per direction, filters) are the device's own to keep, and it refuses
// what exceeds them.
func TestTranscriptCapability(t *testing.T) {
	var want struct {
		ERSPAN struct {
			HeaderType string `json:"header_type"`
		} `json:"erspan_capability"`
	}
	expectation(t, "show_capability_feature_monitor_3.json", &want)
	c := config{state: &models.DeviceState{}}
	if err := c.capability(transcript(t, "show_capability_feature_monitor_3.txt")); err != nil {
		t.Fatal(err)
	}
	if got := c.state.Facts.HasTrait(TraitTypeII); got != (want.ERSPAN.HeaderType == "II") {
		t.Errorf("sends type II only: %v; it says %q", got, want.ERSPAN.HeaderType)
	}
	// The other one answers another question.
	if err := c.capability(transcript(t, "show_capability_feature_monitor_1.txt")); err == nil {
		t.Error("what destinations can do is taken for what sources can")
	}
}

// dialog gives the answers of a recorded dialog by command. It has \x20 and the like
// where blanks at the end of a line count.
func dialog(t *testing.T, name string) map[string]string {
	t.Helper()
	var file struct {
		Commands yaml.Node `yaml:"commands"`
	}
	if err := yaml.Unmarshal([]byte(transcript(t, name)), &file); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	add := func(n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			command := strings.TrimSpace(n.Content[i].Value)
			text := strings.NewReplacer(`\x20`, " ", `\"`, `"`, `\t`, "\t", `\r`, "").Replace(n.Content[i+1].Value)
			lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
			out[command] = strings.Join(lines[1:max(1, len(lines)-1)], "\n") // without echo and prompt
		}
	}
	switch file.Commands.Kind {
	case yaml.SequenceNode:
		for _, n := range file.Commands.Content {
			add(n)
		}
	default:
		add(&file.Commands)
	}
	return out
}

// TestTranscriptDialogs reads the configurations and facts of a Catalyst and of a
// router, which have no sessions.
func TestTranscriptDialogs(t *testing.T) {
	tests := []struct {
		file  string
		facts models.Facts
		ports map[string]models.Port // some of them
		vlans map[uint16]models.VLAN
	}{
		{"dialog_ios_C9200L-24P-4G_17.09.04a.yaml", models.Facts{Hostname: "LAB-SW123_9200L", Version: "17.09.04a", Model: "C9200L-24P-4G", Serial: "JAE24FFFFFF"},
			map[string]models.Port{
				gi(1):                  {Name: gi(1), Mode: models.PortAccess, AccessVLAN: 2},
				gi(24):                 {Name: gi(24), Mode: models.PortTrunk, TrunkVLANs: []models.Range{{First: 2, Last: 3}}},
				"GigabitEthernet0/0":   {Name: "GigabitEthernet0/0", Mode: models.PortRouted},
				"GigabitEthernet1/1/4": {Name: "GigabitEthernet1/1/4"},
			},
			map[uint16]models.VLAN{1: {}, 2: {Name: "two"}, 3: {Name: "three"}}},
		{"dialog_ios_asr920_16.8.1b.yaml", models.Facts{Hostname: "hostname", Version: "16.08.01b", Model: "ASR-920-24TZ-M", Serial: "CAT12345699"},
			map[string]models.Port{
				"GigabitEthernet0/0/0": {Name: "GigabitEthernet0/0/0", Mode: models.PortRouted, AdminDown: true},
				"GigabitEthernet0/0/1": {Name: "GigabitEthernet0/0/1", Mode: models.PortRouted},
			}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			answers := dialog(t, tt.file)
			rs := replies(answers["show running-config"])
			rs[readVersion] = transport.Reply{Request: rs[readVersion].Request, Text: answers["show version"]}
			st, err := Dialect{}.Parse("x", rs)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.facts, st.Facts); d != "" {
				t.Errorf("facts (-want +got):\n%s", d)
			}
			for name, want := range tt.ports {
				if d := cmp.Diff(want, st.Ports[name], cmpAddr); d != "" {
					t.Errorf("%s (-want +got):\n%s", name, d)
				}
			}
			if d := cmp.Diff(tt.vlans, st.VLANs); d != "" {
				t.Errorf("VLANs (-want +got):\n%s", d)
			}
			if len(st.Sessions) > 0 {
				t.Errorf("sessions %v; it has none", st.Sessions)
			}
		})
	}
}

// TestTranscriptBatfish reads a parser test's excerpt. Its last lines are of IOS-XR.
func TestTranscriptBatfish(t *testing.T) {
	text, _, found := strings.Cut(transcript(t, "batfish_cisco_monitor.cfg"), "monitor-session ")
	if !found {
		t.Fatal("the excerpt is another one")
	}
	got := parse(t, text).Sessions
	want := []models.Session{{Device: "sw1", Number: 1, Role: models.RoleLocal, Shutdown: true, TruncateTo: 1464,
		Sources: []models.Source{port("GigabitEthernet1/2", models.Both)},
		Destination: models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2, SessionID: 1,
			Source: netip.MustParseAddr("2.3.4.5"), Destination: netip.MustParseAddr("1.2.3.4")}},
		Extra: []string{" buffer-size 12345", " description ntp debugging", " destination interface Gi1/3", " source cpu rp"}}}
	if d := cmp.Diff(want, got, cmpAddr); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

// TestTranscriptLines: each line of a mirror session that was typed into a Catalyst
// is one that the parser knows. The recorder left modes and blanks out.
func TestTranscriptLines(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Vendor(t, "transcripts", "cisco_iosxe"), "dialog_config*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	typed := 0
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			var file struct {
				Configure struct {
					Commands map[string]any `yaml:"commands"`
				} `yaml:"configure"`
			}
			if err := yaml.Unmarshal([]byte(transcript(t, filepath.Base(f))), &file); err != nil {
				t.Fatal(err)
			}
			var heads, first, second []string
			for line := range file.Configure.Commands {
				line = strings.Join(strings.Fields(line), " ")
				switch {
				case strings.HasPrefix(line, "monitor session "):
					heads = append(heads, line)
				case strings.HasPrefix(line, "mtu "):
					second = append(second, "  "+line)
				case line == "end", strings.HasPrefix(line, "line "), line == "no logging console":
				default:
					first = append(first, " "+line)
				}
			}
			typed += len(heads) + len(first) + len(second)
			lines := slices.Concat(heads, first, second)
			if got := parse(t, strings.Join(lines, "\n")+"\n").Sessions; len(got) != 1 {
				t.Errorf("%q gives %v", lines, got)
			}
		})
	}
	if typed < 9 {
		t.Errorf("only %d lines", typed)
	}
}
