package all

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// like gives the platforms that text looks like.
func like(text string) []string {
	var out []string
	for _, p := range Platforms() {
		if p.Backup != nil && p.Backup.Is(text) {
			out = append(out, p.Key)
		}
	}
	return out
}

// TestBackupIs: what backup tools keep looks like one platform and no other.
func TestBackupIs(t *testing.T) {
	for name, tt := range map[string]struct{ give, want string }{
		"RANCID, NX-OS":    {"!RANCID-CONTENT-TYPE: cisco-nx\n!\nhostname a\n", "cisco_nxos"},
		"RANCID, IOS":      {"!RANCID-CONTENT-TYPE: cisco\n!\nhostname a\n", "cisco_iosxe"},
		"RANCID, EOS":      {"!RANCID-CONTENT-TYPE: arista\n!\nhostname a\n", "arista_eos"},
		"Nexus 9000":       {"\n!Command: show running-config\n!Time: Mon Dec  1\n\nversion 9.3(10) Bios:version 07.69 \nhostname a\n", "cisco_nxos"},
		"Nexus 5000":       {"version 7.3(13)N1(1)\nhostname a\n", "cisco_nxos"},
		"IOS-XE":           {"Building configuration...\n\nCurrent configuration : 1585 bytes\n!\nversion 17.9\nhostname a\n", "cisco_iosxe"},
		"IOS, stripped":    {"! a comment of a tool\nversion 15.2\nhostname a\r\n", "cisco_iosxe"},
		"EOS":              {"! Command: show running-config\n! device: leaf1 (DCS-7050, EOS-4.29.2F)\n!\n! boot system flash:/EOS.swi\n", "arista_eos"},
		"Junos":            {"set version 21.4R3\nset system host-name a\n", ""},
		"nothing":          {"", ""},
		"a mirror alone":   {"monitor session 1\n", ""},
		"text of a banner": {"banner motd ^\nEOS and NX-OS\n^\n", ""},
	} {
		if got := strings.Join(like(tt.give), " "); got != tt.want {
			t.Errorf("%s looks like %q; want %q", name, got, tt.want)
		}
	}
}

// TestBackupTranscripts: the files of real configurations, and of parsers' tests, are
// guessed and read.
func TestBackupTranscripts(t *testing.T) {
	dir := require.Vendor(t, "transcripts")
	dialogs := map[string]string{
		"cisco_nxos/dialog_nxos_C93180YC-FX3J_10.4.5.yaml": "cisco_nxos", "cisco_nxos/dialog_nxos_N5548_7.3.13.yaml": "cisco_nxos",
		"cisco_iosxe/dialog_ios_C9200L-24P-4G_17.09.04a.yaml": "cisco_iosxe", "cisco_iosxe/dialog_ios_asr920_16.8.1b.yaml": "cisco_iosxe",
		"arista_eos/dialog_eos_DCS-7050SX3-48YC8_4.29.2F.yaml": "arista_eos",
	}
	for file, want := range dialogs {
		text := runningConfig(t, filepath.Join(dir, file))
		if got := like(text); !slices.Equal(got, []string{want}) {
			t.Errorf("%s looks like %q", file, got)
			continue
		}
		st, bad, err := backup(t, want).Lines("x", text)
		if err != nil || len(bad) > 0 || st.Facts.Hostname == "" || len(st.Sessions) > 0 {
			t.Errorf("%s: %v, %v, facts %+v, sessions %v", file, err, bad, st.Facts, st.Sessions)
		}
	}
	for file, want := range map[string][]int{"cisco_nxos/batfish_nxos_monitor.cfg": {1}, "cisco_nxos/batfish_nxos_interface_show_all_1.cfg": nil} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := like(string(text)); !slices.Equal(got, []string{"cisco_nxos"}) {
			t.Errorf("%s looks like %q", file, got)
		}
		st, bad, err := backup(t, "cisco_nxos").Lines("x", string(text))
		var numbers []int
		for _, s := range st.Sessions {
			numbers = append(numbers, s.Number)
		}
		if d := cmp.Diff(want, numbers); d != "" || err != nil || len(bad) > 0 {
			t.Errorf("%s: %v, %v, sessions (-want +got):\n%s", file, err, bad, d)
		}
	}
}

// TestBackupRead: the sessions of a file are those that the same configuration has on
// the device; what a tool wrote around them, and that it ends early, does not matter.
func TestBackupRead(t *testing.T) {
	for key, tt := range map[string]struct {
		give string
		bad  string // an unknown line in a session
		line int
	}{
		"arista_eos":  {"! a tool was here\nhostname leaf1\nmonitor session tap source Ethernet1 rx\nmonitor session tap destination Ethernet2\nend\n! and here\n", "monitor session tap bogus 1\n", 3},
		"cisco_iosxe": {"! a tool was here\nhostname leaf1\nmonitor session 1 source interface Gi1/0/1 rx\nmonitor session 1 destination interface Gi1/0/2\nend\n! and here\n", "monitor session 1 bogus 1\n", 3},
		"cisco_nxos":  {"! a tool was here\nhostname leaf1\nmonitor session 1\n  source interface Ethernet1/1 rx\n  destination interface Ethernet1/2\n  no shut\n! and here\n", "monitor session 1\n  bogus 1\n", 4},
	} {
		b := backup(t, key)
		for name, text := range map[string]string{"whole": tt.give, "carriage returns": strings.ReplaceAll(tt.give, "\n", "\r\n"), "cut": strings.Split(tt.give, "end\n")[0]} {
			st, bad, err := b.Lines("file", text)
			if err != nil || len(bad) > 0 {
				t.Errorf("%s, %s: %v, %v", key, name, err, bad)
				continue
			}
			if st.Facts.Hostname != "leaf1" || len(st.Sessions) != 1 || len(st.Sessions[0].Sources) != 1 || st.Sessions[0].Sources[0].Direction != models.Rx ||
				len(st.Sessions[0].Destination.Ports) != 1 || st.Sessions[0].Shutdown {
				t.Errorf("%s, %s: %+v", key, name, st.Sessions)
			}
		}
		broken := strings.Replace(tt.give, "monitor session", tt.bad+"monitor session", 1)
		if st, bad, err := b.Lines("file", broken); err != nil || len(bad) != 1 || bad[0].Line != tt.line || !strings.Contains(bad[0].Text, "bogus 1") || st.Sessions != nil {
			t.Errorf("%s: %v, %v, sessions %v", key, err, bad, st.Sessions)
		}
	}
}

func backup(t *testing.T, key string) *drivers.Backup {
	t.Helper()
	for _, p := range Platforms() {
		if p.Key == key && p.Backup != nil {
			return p.Backup
		}
	}
	t.Fatalf("%s reads no files", key)
	return nil
}

// runningConfig gives the answer to "show running-config" in a recorded dialog: the
// lines that are indented deeper below that command.
func runningConfig(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	in, depth, base := false, 0, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.Contains(line, `"show running-config`):
			in, depth, base = true, indent, 0
		case in && line != "" && indent <= depth:
			in = false
		case in:
			if base == 0 {
				base = indent // of the block
			}
			out = append(out, line[min(indent, base):])
		}
	}
	if len(out) < 5 {
		t.Fatalf("%s has no running-config", file)
	}
	return strings.NewReplacer(`\x20`, " ", `\"`, `"`, `\t`, "\t", `\r`, "").Replace(strings.Join(out, "\n"))
}
