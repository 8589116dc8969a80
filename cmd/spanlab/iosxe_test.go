package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/inventory"
)

const catalysts = `name: cat
topology:
  nodes:
    sw1:
      kind: cisco_cat9kv
      startup-config: sw1.cfg
      labels: {spanctl.archive: "yes"}
    sw2: {kind: cisco_cat9kv}
    h1: {kind: linux}
    h2: {kind: linux}
    sniffer: {kind: linux}
  links:
    - endpoints: ["sw1:eth1", "h1:eth1"]
    - endpoints: ["sw1:eth2", "h2:eth1"]
    - endpoints: ["sw1:Gi1/0/24", "sw2:Gi1/0/24"]
    - endpoints: ["sw2:eth1", "sniffer:eth1"]
`

const catalystConfig = `version 17.9
hostname {{ .ShortName }}
vlan 900
 remote-span
!
interface GigabitEthernet1/0/24
 switchport mode trunk
!
end
`

// TestCatalysts brings up two switches with RSPAN between them.
func TestCatalysts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"cat.clab.yml": catalysts, "sw1.cfg": catalystConfig} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	topology, err := inventory.LoadTopology(filepath.Join(dir, "cat.clab.yml"), inventory.TopologyOptions{Data: "-"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(topology, dir, buildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sw1, sw2 := node(t, b, "sw1").FrontEnd.(faulted).device.(*iosxe.Device), node(t, b, "sw2").FrontEnd.(faulted).device.(*iosxe.Device)
	if c := sw1.RunningConfig(); !strings.Contains(c, "hostname sw1\n!\narchive\n path flash:archive\n!\nvlan 900\n remote-span\n") {
		t.Errorf("startup configuration and archive:\n%s", c)
	}
	if err := sw1.Configure("monitor session 1 source interface Gi1/0/1 rx", "monitor session 1 destination remote vlan 900"); err != nil {
		t.Error(err)
	}
	if err := sw2.Configure("vlan 900", "remote-span", "interface Gi1/0/24", "switchport mode trunk", "monitor session 1 source remote vlan 900",
		"monitor session 1 destination interface Gi1/0/1"); err != nil {
		t.Error(err)
	}
	broadcast(t, node(t, b, "h1").Host, "eth1", "copied")
	if got := node(t, b, "sniffer").Host.Captured("eth1"); len(got) != 1 || !strings.HasSuffix(string(got[0].Frame), "copied") {
		t.Errorf("captured %v", got)
	}
	if err := node(t, b, "sw1").FrontEnd.SetFaults(json.RawMessage(`{"lines": [{"line": "monitor", "action": "refuse", "text": "% No", "times": 1}]}`)); err != nil {
		t.Error(err)
	}
	if err := node(t, b, "sw1").FrontEnd.SetFaults(json.RawMessage(`{"liness": []}`)); err == nil {
		t.Error("an unknown field of faults was taken")
	}
}
