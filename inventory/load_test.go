package inventory

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

func testdata(t testing.TB, elem ...string) string {
	t.Helper()
	return filepath.Join(append([]string{require.ProjectRoot(t), "testdata", "inventory"}, elem...)...)
}

func loadNetwork(t testing.TB) *Inventory {
	t.Helper()
	inv, err := LoadInventory([]string{testdata(t, "network.yml")}, Options{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func cmpAddr() cmp.Option { return cmpopts.EquateComparable(netip.Addr{}) }

func TestNetwork(t *testing.T) {
	got := loadNetwork(t).Network()
	want := models.Network{
		Devices: []models.Device{
			{ID: "leaf1", Platform: "arista_eos", Labels: map[string]string{"role": "border", "spanctl.role": "leaf", "site": "lab"}, TunnelSource: netip.MustParseAddr("198.51.100.2")},
			{ID: "leaf2", Platform: "cisco_nxos", Labels: map[string]string{"role": "leaf", "spanctl.role": "leaf", "site": "lab"}},
			{ID: "leaf3", Platform: "juniper_junos", Labels: map[string]string{"site": "lab"}},
			{ID: "spine1", Platform: "nokia_srl", Labels: map[string]string{"role": "spine", "spanctl.role": "spine", "site": "lab"}},
			{ID: "sw1", Platform: "cisco_iosxe", Labels: map[string]string{"rack": "12", "role": "access", "site": "ams", "region": "eu"}, Uplinks: []string{"TenGigabitEthernet1/1/1", "TenGigabitEthernet1/1/2"}},
			{ID: "sw2", Platform: "cisco_iosxe", Labels: map[string]string{"role": "access", "site": "ams", "region": "eu"}, Uplinks: []string{"TenGigabitEthernet1/1/1", "TenGigabitEthernet1/1/2"}},
			{ID: "core1", Platform: "arista_eos", Labels: map[string]string{"site": "ams", "region": "eu"}, TunnelSource: netip.MustParseAddr("198.51.100.1")},
		},
		Links: []models.Link{
			{A: models.End{Device: "spine1", Port: "ethernet-1/1"}, B: models.End{Device: "leaf1", Port: "Ethernet49"}},
			{A: models.End{Device: "spine1", Port: "ethernet-1/2"}, B: models.End{Device: "leaf2", Port: "Ethernet1/49"}},
			{A: models.End{Device: "spine1", Port: "ethernet-1/3/1"}, B: models.End{Device: "leaf3", Port: "xe-0/0/3"}},
			{A: models.End{Device: "leaf1", Port: "Ethernet1"}, B: models.End{Device: "h1", Port: "eth1"}},
			{A: models.End{Device: "leaf1", Port: "Ethernet48"}, B: models.End{Device: "ids1", Port: "eth1"}},
			{A: models.End{Device: "leaf2", Port: "Ethernet1/2"}, B: models.End{Device: "host", Port: "leaf2-tap"}},
			{A: models.End{Device: "ids1", Port: "eth9"}, B: models.End{Device: "mgmt-net", Port: "ids-mgmt"}},
			{A: models.End{Device: "h1", Port: "eth2"}, B: models.End{Device: "host", Port: "eno1"}},
			{A: models.End{Device: "leaf1", Port: "Ethernet7"}, B: models.End{Device: "host"}},
			{A: models.End{Device: "sw1", Port: "TenGigabitEthernet1/1/1"}, B: models.End{Device: "core1", Port: "Ethernet1"}},
			{A: models.End{Device: "sw2", Port: "TenGigabitEthernet1/1/1"}, B: models.End{Device: "core1", Port: "Ethernet2"}},
			{A: models.End{Device: "core1", Port: "Ethernet3"}, B: models.End{Device: "fw1", Port: "eth0"}},
		},
		Sensors: []models.Sensor{
			{Name: "ids9", At: models.End{Device: "core1", Port: "Ethernet48"}, Address: netip.MustParseAddr("192.0.2.99"), Accepts: []string{"erspan3", "erspan2"}, VRF: "mgmt"},
			{Name: "tap", At: models.End{Device: "sw1", Port: "GigabitEthernet1/0/24"}},
			{Name: "ids1", At: models.End{Device: "leaf1", Port: "Ethernet48"}, Address: netip.MustParseAddr("192.0.2.9"), Accepts: []string{"erspan3", "gre"}},
		},
	}
	if d := cmp.Diff(want, got, cmpAddr()); d != "" {
		t.Errorf("Network() (-want +got):\n%s", d)
	}
}

func TestAccess(t *testing.T) {
	inv := loadNetwork(t)
	key := Credential{Name: "key", Username: Reference{Env: "USER"}, KeyFile: testdata(t, "keys", "id_ed25519"), Passphrase: Reference{Service: "spanctl", User: "netops"}}
	jump := []Jump{
		{Name: "bastion", Address: "bastion.example.net", Credential: key},
		{Name: "inner", Address: "10.255.0.1", Port: 2222, Credential: Credential{Username: Reference{Literal: NewSecret("hop")}, Agent: true}},
	}
	ops := Credential{Name: "ops", Username: Reference{Literal: NewSecret("netops")}, Password: Reference{Env: "SPANCTL_OPS_PASSWORD"}}
	want := map[models.DeviceID]Access{
		"sw1": {Device: "sw1", Platform: "cisco_iosxe", Address: "192.0.2.11", Credential: ops, Jump: jump, LegacyAlgorithms: true,
			ConnectTimeout: 10 * time.Second, CommandTimeout: 2 * time.Minute},
		"sw2": {Device: "sw2", Platform: "cisco_iosxe", Address: "192.0.2.12", Port: 8022, Transport: "ssh", Jump: jump,
			Credential:     Credential{Name: "vault", Username: Reference{Literal: NewSecret("backup")}, Password: Reference{Command: []string{"pass", "show", "network/backup"}, Timeout: 10 * time.Second}},
			HostKey:        HostKey{Policy: HostKeyAcceptNew, Fingerprints: []string{"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}},
			ConnectTimeout: 10 * time.Second, CommandTimeout: time.Minute},
		"core1": {Device: "core1", Platform: "arista_eos", Address: "core1.example.net", Credential: ops, Jump: jump, ConnectTimeout: 10 * time.Second, CommandTimeout: 5 * time.Second},
		"leaf1": {Device: "leaf1", Platform: "arista_eos", Address: "172.30.0.21", Lab: "fabric", ConnectTimeout: 10 * time.Second, CommandTimeout: time.Minute,
			Credential: ops},
		"leaf2": {Device: "leaf2", Platform: "cisco_nxos", Address: "172.30.0.22", Lab: "fabric", ConnectTimeout: 10 * time.Second, CommandTimeout: time.Minute,
			Credential: Credential{Username: Reference{Literal: NewSecret("netops")}, Password: Reference{Literal: NewSecret("admin")}}},
		"leaf3": {Device: "leaf3", Platform: "juniper_junos", Address: "clab-fabric-leaf3", Lab: "fabric", ConnectTimeout: 10 * time.Second, CommandTimeout: time.Minute,
			Credential: ops},
	}
	for id, w := range want {
		got, err := inv.Access(id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, got, cmpopts.IgnoreUnexported(Access{})); d != "" {
			t.Errorf("Access(%s) (-want +got):\n%s", id, d)
		}
	}
	if _, err := inv.Access("laef1"); err == nil || !strings.Contains(err.Error(), `did you mean "leaf1"?`) {
		t.Errorf("Access(laef1): got error %v, want a suggestion", err)
	}
}

func TestInventoryFindings(t *testing.T) {
	const head = "apiVersion: spanctl/v1\nkind: Inventory\n"
	dev := func(s string) string { return head + "devices:\n  - {name: a, platform: arista_eos}\n" + s }
	tests := []struct {
		name, give string
		want       []string // FILE is the file
	}{
		{"empty", "", []string{"FILE: has no inventory in it"}},
		{"not YAML", head + "devices: [\n", []string{"FILE:3:10: not YAML: sequence end token ']' not found"}},
		{"not UTF-8", head + "# \xff\n", []string{"FILE:3:3: the file is not UTF-8 text"}},
		{"wrong kind", "apiVersion: spanctl/v1\nkind: Mirror\n", []string{"FILE:2:7: kind: want Inventory here, got \"Mirror\""}},
		{"no kind", "devices: []\n", []string{"FILE:1:1: apiVersion: is missing", "FILE:1:1: kind: is missing"}},
		{"old version", "apiVersion: spanctl/v0\nkind: Inventory\n", []string{`FILE:1:13: apiVersion: want spanctl/v1, got "spanctl/v0"; did you mean "spanctl/v1"?`}},
		{"all at once", head + "device: []\ndevices:\n  - nmae: a\n    port: 70000\n    legacyAlgorithms: yes\n    labels: {a: 1, b: [x]}\n  - {name: b, platfrom: x}\nsensor: []\n", []string{
			`FILE:3:1: device: unknown key; did you mean "devices"?`,
			`FILE:5:5: devices[0].nmae: unknown key; did you mean "name"?`,
			`FILE:5:5: devices[0].name: is missing`,
			`FILE:6:11: devices[0].port: want a whole number from 0 to 65535, got "70000"`,
			`FILE:7:23: devices[0].legacyAlgorithms: want true or false, got "yes"`,
			`FILE:8:17: devices[0].labels.a: want text, got the number 1; write "1"`,
			`FILE:8:23: devices[0].labels.b: want text, got a list`,
			`FILE:9:15: devices[1].platfrom: unknown key; did you mean "platform"?`,
			`FILE:9:12: devices[1].platform: device b has no platform, neither itself nor from a group or the defaults`,
			`FILE:10:1: sensor: unknown key; did you mean "sensors"?`}},
		{"key twice", head + "devices: []\ndevices: []\n", []string{"FILE:4:1: devices: given twice: first in line 3"}},
		{"no value", head + "devices:\n", []string{"FILE:3:1: devices: has no value"}},
		{"unknown platform", head + "devices:\n  - {name: a, platform: arista_eso}\n", []string{`FILE:4:25: devices[0].platform: "arista_eso" is no platform that spanctl knows; did you mean "arista_eos"?`}},
		{"duplicate device", dev("  - {name: a, platform: sonic}\n"), []string{`FILE:5:12: devices[1].name: the name "a" is taken at FILE:4:12 already`}},
		{"unknown references", dev("  - {name: b, platform: sonic, groups: [lef], credentials: osp, jump: bastian}\ngroups: {leaf: {}}\ncredentials: {ops: {username: x}}\njumpHosts: {bastion: {address: x}}\n"), []string{
			`FILE:5:41: devices[1].groups[0]: there is no group "lef"; did you mean "leaf"?`,
			`FILE:5:60: devices[1].credentials: there are no credentials "osp"; did you mean "ops"?`,
			`FILE:5:71: devices[1].jump: there is no jump host "bastian"; did you mean "bastion"?`}},
		{"group circle", dev("groups:\n  x: {groups: [y]}\n  y: {groups: [z]}\n  z: {groups: [x]}\n"), []string{"FILE:6:3: groups.x: the group leads back to itself: x -> y -> z -> x"}},
		{"jump circle", dev("jumpHosts:\n  x: {address: a, jump: x}\n"), []string{"FILE:6:3: jumpHosts.x: the jump host leads back to itself: x -> x"}},
		{"plaintext", dev("credentials:\n  ops:\n    username: u\n    password: s3cret-text\n"), []string{
			"FILE:8:15: credentials.ops.password: a secret must not stand in the file: give {env: NAME}, {file: NAME}, {command: [...]} or {keyring: {...}}, or allow it with --allow-plaintext"}},
		{"two references", dev("credentials: {ops: {password: {env: A, file: B}}}\n"), []string{"FILE:5:31: credentials.ops.password: want exactly one of env, file, command, keyring"}},
		{"timeout of no command", dev("credentials: {ops: {password: {env: A, timeout: 1s}}}\n"), []string{"FILE:5:31: credentials.ops.password.timeout: is for commands only"}},
		{"bad port", head + "devices:\n  - {name: a, platform: cisco_nxos, uplinks: [Ethernet1], ports: [Ethernet1/4-2]}\n", []string{
			`FILE:4:47: devices[0].uplinks[0]: device a: interface "Ethernet1": want names such as Ethernet1/1, port-channel10`,
			`FILE:4:67: devices[0].ports[0]: device a: "Ethernet1/4-2": the range 4-2 ends before it begins`}},
		{"uplink that is not there", head + "devices:\n  - {name: a, platform: arista_eos, uplinks: [Et49], ports: [Et1-48]}\n", []string{
			`FILE:4:47: devices[0].uplinks[0]: device a: a has no interface "Ethernet49"; did you mean "Ethernet19"?`}},
		{"links", dev("links:\n  - [a:Et1]\n  - [a:Et1, b:Et1]\n  - [a, a:Et2]\n  - [\"a:Et3-4\", a:Et5]\n  - [a:Et6, \"a:Ethernet6\"]\n"), []string{
			"FILE:6:5: links[0]: want two ends, got 1",
			`FILE:7:13: links[1][1]: "b" is no device of the inventory; a neighbour that spanctl does not manage is listed under external`,
			`FILE:8:6: links[2][0]: "a": want NODE:INTERFACE`,
			`FILE:9:6: links[3][0]: device a: want one port, got 2 with "Et3-4"`,
			`FILE:10:13: links[4][1]: a:Ethernet6 is used by another link already, at FILE:10:6`}},
		{"sensors", dev("sensors:\n  - {name: s}\n  - {name: t, address: 192.0.2.300}\n  - {name: u, interface: {device: A, name: Et1}}\n  - {name: u, address: 192.0.2.1}\n  - {name: v, accepts: [erspan9], interface: {device: a, name: Et1}}\n"), []string{
			`FILE:6:5: sensors[0]: sensor "s" needs an interface, an address, or both`,
			`FILE:7:24: sensors[1].address: ParseAddr("192.0.2.300"): IPv4 field has value >255`,
			`FILE:7:5: sensors[1]: sensor "t" needs an interface, an address, or both`,
			`FILE:8:35: sensors[2].interface.device: "A" is no device of the inventory; did you mean "a"?`,
			`FILE:9:12: sensors[3].name: the name "u" is taken at FILE:8:12 already`,
			`FILE:10:25: sensors[4].accepts[0]: tunnel "erspan9": want erspan1, erspan2, erspan3, gre or vxlan`,
			`FILE:10:24: sensors[4].accepts: tunnels need an address`}},
		{"no topology", head + "topology: lab.clab.yml\n", []string{`FILE:3:11: topology: there is no file "DIR/lab.clab.yml"`}},
		{"alias bomb", dev("groups:\n  a: &a {labels: &b {x: y}}\n  c: &c {groups: [*c]}\n"), []string{"FILE:7:6: groups.c.groups[0]: want text, got keys and values"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, "inv.yml", tt.give)
			_, err := LoadInventory([]string{file}, Options{})
			if d := cmp.Diff(tt.want, lines(t, err, file), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// lines gives the findings of an error with the file's name as FILE.
func lines(t *testing.T, err error, file string) []string {
	t.Helper()
	var out []string
	for _, f := range asFindings(t, err) {
		s := strings.ReplaceAll(f.String(), file, "FILE")
		out = append(out, strings.ReplaceAll(s, filepath.Dir(file), "DIR"))
	}
	return out
}

// Findings come in the order of the lines, whatever found them.
func TestFindingsAreOrdered(t *testing.T) {
	file := write(t, "inv.yml", "apiVersion: spanctl/v1\nkind: Inventory\nx: 1\ndevices:\n  - {name: a, platform: nope}\ny: 1\n")
	_, err := LoadInventory([]string{file}, Options{})
	var got []int
	for _, f := range asFindings(t, err) {
		got = append(got, f.Origin.Line)
	}
	if d := cmp.Diff([]int{3, 5, 6}, got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

func TestGroupPrecedence(t *testing.T) {
	file := write(t, "inv.yml", `apiVersion: spanctl/v1
kind: Inventory
defaults: {platform: sonic, labels: {from: defaults, d: "1"}}
groups:
  base: {platform: nokia_srl, port: 1, labels: {from: base, b: "1"}}
  left: {groups: [base], port: 2, labels: {from: left}}
  right: {platform: arista_eos, port: 3, labels: {from: right, r: "1"}}
devices:
  - {name: lr, groups: [left, right]}
  - {name: rl, groups: [right, left]}
  - {name: own, groups: [left], port: 9, labels: {from: own}}
  - {name: none}
`)
	inv, err := LoadInventory([]string{file}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[models.DeviceID]string{
		"lr":   "nokia_srl 2 map[b:1 d:1 from:left r:1]", // left's own groups come before right
		"rl":   "arista_eos 3 map[b:1 d:1 from:right r:1]",
		"own":  "nokia_srl 9 map[b:1 d:1 from:own]",
		"none": "sonic 0 map[d:1 from:defaults]",
	}
	n := inv.Network()
	for id, w := range want {
		a, err := inv.Access(id)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := n.Device(id)
		if got := fmt.Sprintf("%s %d %v", a.Platform, a.Port, d.Labels); got != w {
			t.Errorf("%s: got %s, want %s", id, got, w)
		}
	}
}

// What a device says wins over its groups, false and empty too.
func TestDeviceWins(t *testing.T) {
	file := write(t, "inv.yml", `apiVersion: spanctl/v1
kind: Inventory
defaults: {legacyAlgorithms: true}
groups: {g: {legacyAlgorithms: true, uplinks: [Et1], hostKey: {policy: ignore, knownHosts: k}}}
devices:
  - {name: a, platform: arista_eos, groups: [g], legacyAlgorithms: false, uplinks: [], hostKey: {policy: strict}}
`)
	inv, err := LoadInventory([]string{file}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := inv.Access("a")
	if err != nil {
		t.Fatal(err)
	}
	if n := inv.Network(); a.LegacyAlgorithms || len(n.Devices[0].Uplinks) > 0 || a.HostKey.Policy != HostKeyStrict || a.HostKey.KnownHosts != filepath.Join(filepath.Dir(file), "k") {
		t.Errorf("got %+v with uplinks %v", a, n.Devices[0].Uplinks)
	}
}

// Aliases must not make a small file endless.
func TestAliasesAreBounded(t *testing.T) {
	const head = "apiVersion: spanctl/v1\nkind: Inventory\n"
	var bomb strings.Builder
	bomb.WriteString(head + "defaults: {labels: &l {")
	for i := range 2000 {
		fmt.Fprintf(&bomb, "k%d: v, ", i)
	}
	bomb.WriteString("}}\ngroups: {")
	for i := range 2000 {
		fmt.Fprintf(&bomb, "g%d: {labels: *l}, ", i)
	}
	bomb.WriteString("}\n")
	for name, give := range map[string]string{
		"many":          bomb.String(),
		"merges itself": head + "devices: [&a {name: x, platform: sonic, <<: *a}]\n",
		"merges twice":  head + "groups: {a: &a {labels: {x: y}}, b: &b {<<: [*a, *a]}, c: &c {<<: [*b, *b, *b]}, d: {<<: [*c, *c, *c]}}\n",
	} {
		start := time.Now()
		_, err := LoadInventory([]string{write(t, "inv.yml", give)}, Options{})
		if name != "merges twice" && (err == nil || !strings.Contains(err.Error(), "aliases make more of the file than can be read")) {
			t.Errorf("%s: got error %.200v", name, err)
		}
		if name == "merges twice" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %s", name, d)
		}
	}
}

func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"a.yml":        "apiVersion: spanctl/v1\nkind: Inventory\ngroups: {g: {platform: sonic}}\ndevices: [{name: a, groups: [g]}]\n",
		"b.yaml":       "apiVersion: spanctl/v1\nkind: Inventory\ndevices: [{name: b, groups: [g]}]\n---\napiVersion: spanctl/v1\nkind: Inventory\ndevices: [{name: c, groups: [g]}]\n",
		"i.yml":        "apiVersion: spanctl/v1\nkind: Mirror\n", // an intent beside them, wrong even: not our business
		"l.clab.yml":   "name: l\ntopology: {nodes: {x: {kind: ceos}}}\n",
		"notes.txt":    "not YAML: [",
		"unnamed.yaml": "name: m\ntopology:\n  nodes: {y: {kind: srl}}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := LoadInventory([]string{dir, "-"}, Options{Stdin: strings.NewReader("apiVersion: spanctl/v1\nkind: Inventory\ndevices: [{name: s, groups: [g]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[models.DeviceID]string{}
	for id := range inv.Devices() {
		a, _ := inv.Access(id)
		got[id] = a.Platform
	}
	want := map[models.DeviceID]string{"a": "sonic", "b": "sonic", "c": "sonic", "s": "sonic", "x": "arista_eos", "y": "nokia_srl"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("devices (-want +got):\n%s", d)
	}
	if _, err := LoadInventory([]string{filepath.Join(dir, "none.yml")}, Options{}); err == nil || !strings.Contains(err.Error(), "none.yml: no such file") {
		t.Errorf("missing file: got error %v", err)
	}
}

// A Linux node of a lab that a device names is that device: the lab tells its address,
// the inventory how it is reached.
func TestLinuxNodeByName(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"l.clab.yml": "name: l\ntopology: {nodes: {h: {kind: linux, mgmt-ipv4: 172.20.20.9}, g: {kind: linux}, b: {kind: bridge}}, links: [{endpoints: [h:eth1, g:eth1]}]}\n",
		"inv.yml": `apiVersion: spanctl/v1
kind: Inventory
topology: [l.clab.yml]
defaults: {transport: ssh}
devices:
  - {name: h, become: sudo, credentials: {username: ops, agent: true}}
  - {name: b, platform: linux}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := LoadInventory([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := inv.Access("h")
	if err != nil {
		t.Fatal(err)
	}
	want := Access{Device: "h", Platform: PlatformLinux, Address: "172.20.20.9", Transport: "ssh", Become: "sudo", Lab: "l",
		Credential: Credential{Username: Reference{Literal: NewSecret("ops")}, Agent: true}}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Access{})); d != "" || inv.Len() != 2 {
		t.Errorf("%d devices (-want +got):\n%s", inv.Len(), d)
	}
	if bridge, err := inv.Access("b"); err != nil || bridge.Lab != "" || bridge.Address != "b" {
		t.Errorf("a bridge of the lab's host is no host: %+v, %v", bridge, err)
	}
}

// A topology that an inventory includes and its directory holds too is one lab; a
// Linux node is a device only where its role says so.
func TestLabInInventory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"l.clab.yml": "name: l\ntopology: {nodes: {sw: {kind: linux, labels: {spanctl-role: switch}}, h: {kind: linux}}, links: [{endpoints: [sw:eth1, h:eth1]}]}\n",
		"inv.yml":    "apiVersion: spanctl/v1\nkind: Inventory\ntopology: [l.clab.yml]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := LoadInventory([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := inv.Network()
	if inv.Len() != 1 || n.Devices[0].ID != "sw" || n.Devices[0].Platform != PlatformLinux || len(n.Links) != 1 || len(inv.Topologies) != 1 {
		t.Errorf("got %+v of %d topologies, want the one device sw and one link", n, len(inv.Topologies))
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "pw")
	if err := os.WriteFile(secret, []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "inv.yml")
	if err := os.WriteFile(file, []byte("apiVersion: spanctl/v1\nkind: Inventory\ncredentials: {c: {password: {file: pw}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := LoadInventory([]string{file}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Warnings) != 1 || !strings.Contains(inv.Warnings[0].String(), "pw can be read by others (mode 0644)") || inv.Warnings[0].Origin.Line != 3 {
		t.Errorf("got warnings %v, want one of the file's mode in line 3", inv.Warnings)
	}
}

// An inventory in logs, JSON or a dump shows no secret.
func TestAccessHidesSecrets(t *testing.T) {
	file := write(t, "inv.yml", "apiVersion: spanctl/v1\nkind: Inventory\ndevices:\n  - {name: a, platform: sonic, credentials: {username: u, password: \"hunter2-secret\"}}\n")
	inv, err := LoadInventory([]string{file}, Options{AllowPlaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := inv.Access("a")
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(j), fmt.Sprintf("%v %+v %#v %q", a, a, a, a.Credential.Password), fmt.Sprintf("%v %+v %#v", inv, inv, inv), fmt.Sprintf("%+v", *inv.devices[0])} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("the secret is printed: %s", s)
		}
	}
	login, err := a.Credential.Resolve(t.Context())
	if err != nil || login.Password.Reveal() != "hunter2-secret" || login.Username != "u" {
		t.Errorf("Resolve: got %q %v, %v", login.Username, login.Password, err)
	}
}

// Findings about secrets, and about what a password was mistyped as, do not show it.
func TestFindingsHideSecrets(t *testing.T) {
	for _, give := range []string{"hunter2", "[hunter2]", "{hunter2x: 1, env: {hunter2: hunter2}}"} {
		for _, plain := range []bool{false, true} {
			file := write(t, "inv.yml", "apiVersion: spanctl/v1\nkind: Inventory\ncredentials: {c: {password: "+give+"}}\n")
			_, err := LoadInventory([]string{file}, Options{AllowPlaintext: plain})
			if err != nil && strings.Contains(strings.ReplaceAll(err.Error(), "hunter2x", ""), "hunter2") {
				t.Errorf("%s: the secret is printed: %v", give, err)
			}
		}
	}
	file := write(t, "inv.yml", "apiVersion: spanctl/v1\nkind: Inventory\ndevices: [{name: a, platform: sonic, credentials: {password: 8151}}]\n")
	inv, err := LoadInventory([]string{file}, Options{AllowPlaintext: true})
	if err != nil {
		t.Fatalf("a number as password: %v", err)
	}
	if a, _ := inv.Access("a"); a.Credential.Password.Literal.Reveal() != "8151" {
		t.Error("a number as password was not taken as text")
	}
}

func BenchmarkLoadInventory(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var sb strings.Builder
			sb.WriteString("apiVersion: spanctl/v1\nkind: Inventory\ncredentials: {ops: {username: u, password: {env: P}}}\n" +
				"groups:\n  leaf: {platform: arista_eos, uplinks: [Ethernet49-52], labels: {role: leaf}}\n  ams: {labels: {site: ams}, credentials: ops}\ndevices:\n")
			for i := range n {
				fmt.Fprintf(&sb, "  - name: leaf%d\n    address: 10.%d.%d.%d\n    groups: [leaf, ams]\n    labels: {rack: \"%d\"}\n", i, i>>16, i>>8&255, i&255, i/40)
			}
			file := write(b, "inv.yml", sb.String())
			b.SetBytes(int64(sb.Len()))
			b.ReportAllocs()
			for b.Loop() {
				inv, err := LoadInventory([]string{file}, Options{})
				if err != nil || inv.Len() != n {
					b.Fatalf("got %v, %v", inv, err)
				}
			}
		})
	}
}
