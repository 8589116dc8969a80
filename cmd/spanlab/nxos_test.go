package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/nxos"
	"github.com/spanctl/spanctl/inventory"
)

const nexuses = `name: n9k
topology:
  nodes:
    leaf: {kind: cisco_n9kv, startup-config: leaf.cfg}
    h1: {kind: linux}
    h2: {kind: linux}
    sniffer: {kind: linux}
  links:
    - endpoints: ["leaf:eth1", "h1:eth1"]
    - endpoints: ["leaf:Ethernet1/2", "h2:eth1"]
    - endpoints: ["leaf:eth48", "sniffer:eth1"]
`

// TestNexus brings up a switch from a startup configuration and mirrors a port.
func TestNexus(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"n9k.clab.yml": nexuses, "leaf.cfg": "hostname {{ .ShortName }}\ninterface Ethernet1/48\n  switchport monitor\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	topology, err := inventory.LoadTopology(filepath.Join(dir, "n9k.clab.yml"), inventory.TopologyOptions{Data: "-"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(topology, dir, buildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	leaf := node(t, b, "leaf").FrontEnd.(faulted).device.(*nxos.Device)
	if c := leaf.RunningConfig(); !strings.Contains(c, "hostname leaf\n") || !strings.Contains(c, "interface Ethernet1/48\n  switchport monitor\n") {
		t.Errorf("startup configuration:\n%s", c)
	}
	sniffer := node(t, b, "sniffer").Host
	for _, tt := range []struct {
		lines  []string
		copies int
	}{
		{[]string{"monitor session 1", "source interface Ethernet1/1 rx", "destination interface Ethernet1/48"}, 0}, // shut by default
		{[]string{"monitor session 1", "no shut"}, 1},
	} {
		if err := leaf.Configure(tt.lines...); err != nil {
			t.Fatal(err)
		}
		sniffer.ResetCapture()
		broadcast(t, node(t, b, "h1").Host, "eth1", "copied")
		if got := sniffer.Captured("eth1"); len(got) != tt.copies {
			t.Errorf("after %q: %d copies; want %d", tt.lines, len(got), tt.copies)
		}
	}
	if err := node(t, b, "leaf").FrontEnd.SetFaults(json.RawMessage(`{"lines": [{"line": "monitor", "action": "refuse", "text": "ERROR: no", "times": 1}]}`)); err != nil {
		t.Error(err)
	}
	if err := node(t, b, "leaf").FrontEnd.SetFaults(json.RawMessage(`{"liness": []}`)); err == nil {
		t.Error("an unknown field of faults was taken")
	}
}
