package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/sonic"
	"github.com/spanctl/spanctl/inventory"
)

// A sonic-vm of a topology becomes a switch that boots with its config_db.json and
// copies frames.
func TestSONiC(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"s.clab.yml": `
name: s
topology:
  nodes:
    leaf: {kind: sonic-vm, startup-config: config_db.json}
    h1: {kind: linux}
    h2: {kind: linux}
    sniffer: {kind: linux}
  links:
    - endpoints: ["leaf:eth1", "h1:eth1"]
    - endpoints: ["leaf:eth2", "h2:eth1"]
    - endpoints: ["leaf:eth3", "sniffer:eth1"]
`,
		"config_db.json": `{
  "VLAN": {"Vlan10": {"vlanid": "10"}},
  "VLAN_MEMBER": {"Vlan10|Ethernet0": {"tagging_mode": "untagged"}, "Vlan10|Ethernet4": {"tagging_mode": "untagged"}}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	topology, err := inventory.LoadTopology(filepath.Join(dir, "s.clab.yml"), inventory.TopologyOptions{Data: "-"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(topology, dir, buildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	leaf := node(t, b, "leaf").FrontEnd.(faulted).device.(*sonic.Device)
	if c := leaf.RunningConfig(); !strings.Contains(c, `"hostname": "leaf"`) || !strings.Contains(c, `"Vlan10|Ethernet4"`) {
		t.Errorf("startup configuration:\n%s", c)
	}
	sniffer, other := node(t, b, "sniffer").Host, node(t, b, "h2").Host
	for _, tt := range []struct {
		session map[string]string
		copies  int
	}{
		{nil, 0},
		{map[string]string{"type": "SPAN", "src_port": "Ethernet0", "dst_port": "Ethernet8", "direction": "RX"}, 1},
		{map[string]string{"type": "SPAN", "src_port": "Ethernet0", "dst_port": "Ethernet8", "direction": "TX"}, 0},
	} {
		if err := leaf.SetRow("MIRROR_SESSION", "s", tt.session); err != nil {
			t.Fatal(err)
		}
		sniffer.ResetCapture()
		other.ResetCapture()
		broadcast(t, node(t, b, "h1").Host, "eth1", "copied")
		if got := sniffer.Captured("eth1"); len(got) != tt.copies {
			t.Errorf("with %v: %d copies; want %d", tt.session, len(got), tt.copies)
		}
		if got := other.Captured("eth1"); len(got) != 1 {
			t.Errorf("with %v: %d frames in the VLAN; want 1", tt.session, len(got))
		}
	}
	if err := node(t, b, "leaf").FrontEnd.SetFaults(json.RawMessage(`{"lines": [{"line": "mirror", "action": "hang", "times": 1}]}`)); err != nil {
		t.Error(err)
	}
	if err := node(t, b, "leaf").FrontEnd.SetFaults(json.RawMessage(`{"liness": []}`)); err == nil {
		t.Error("an unknown field of faults was taken")
	}
}
