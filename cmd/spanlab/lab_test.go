package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

func leafSpine(t testing.TB) (*inventory.Topology, *built) {
	t.Helper()
	file := filepath.Join(require.ProjectRoot(t), "testdata", "labs", "leafspine.clab.yml")
	topology, err := inventory.LoadTopology(file, inventory.TopologyOptions{Data: "-"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(topology, filepath.Dir(file), buildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.warnings) > 0 {
		t.Errorf("warnings: %q", b.warnings)
	}
	return topology, b
}

func node(t testing.TB, b *built, name string) lab.Node {
	t.Helper()
	for _, n := range b.nodes {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no node %s", name)
	return lab.Node{}
}

func broadcast(t *testing.T, h *fabric.Host, port, payload string) {
	t.Helper()
	mac := h.MAC(port)
	f := append([]byte{255, 255, 255, 255, 255, 255}, mac[:]...)
	if err := h.Send(port, append(append(f, 0x88, 0xb5), payload...)); err != nil {
		t.Fatal(err)
	}
}

// TestLeafSpineHasNoLoop floods every VLAN from every host: each host of the same
// VLAN gets each frame once, and no switch drops one as a loop.
func TestLeafSpineHasNoLoop(t *testing.T) {
	_, b := leafSpine(t)
	vlans := map[string][]string{"10": {"h1", "h2", "collector:eth3"}, "20": {"h3", "h4"}, "1 of leaf1": {"collector:eth2"}, "1 of leaf3": {"collector:eth1"}}
	host := func(s string) (*fabric.Host, string) {
		name, port, ok := strings.Cut(s, ":")
		if !ok {
			port = "eth1"
		}
		return node(t, b, name).Host, port
	}
	want := map[string]int{}
	for _, members := range vlans {
		for _, m := range members {
			h, port := host(m)
			broadcast(t, h, port, m)
			want[m] = len(members) - 1
		}
	}
	have := map[string]int{}
	for m := range want {
		h, port := host(m)
		have[m] = len(h.Captured(port))
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
	for _, n := range b.nodes {
		if n.Switch == nil {
			continue
		}
		for _, p := range n.Switch.Ports() {
			if c, _ := n.Switch.Counters(p); c.Drops[fabric.DropLoop] != 0 {
				t.Errorf("%s %s dropped %d frames as loops", n.Name, p, c.Drops[fabric.DropLoop])
			}
		}
	}
}

// TestLeafSpineCarriesRSPAN puts RSPAN sessions into the packet model itself, since
// the simulated EOS has none: the way from leaf1 to leaf3 is there.
func TestLeafSpineCarriesRSPAN(t *testing.T) {
	_, b := leafSpine(t)
	edit := func(name string, mirrors ...fabric.Mirror) {
		sw := node(t, b, name).Switch
		c := sw.Config()
		if _, ok := c.VLANs[900]; !ok {
			t.Fatalf("%s has no VLAN 900", name)
		}
		c.VLANs[900] = fabric.VLAN{RemoteSPAN: true}
		c.Mirrors = mirrors
		if err := sw.Configure(c); err != nil {
			t.Fatal(err)
		}
	}
	edit("spine1")
	edit("leaf1", fabric.Mirror{Name: "source",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourcePort, Name: "Ethernet10", Direction: fabric.Rx}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationRSPAN, VLAN: 900}}})
	edit("leaf3", fabric.Mirror{Name: "destination",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourceRSPAN, VLAN: 900}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationPort, Name: "Ethernet12"}}})
	broadcast(t, node(t, b, "h1").Host, "eth1", "over 900")
	captured := node(t, b, "collector").Host.Captured("eth1")
	if len(captured) != 1 || !bytes.HasSuffix(captured[0].Frame, []byte("over 900")) {
		t.Errorf("captured %v", captured)
	}
}

// running starts "spanlab up" and waits until it is ready.
func running(t *testing.T, o upOptions, topology string) (readiness, func() error) {
	t.Helper()
	dir := t.TempDir()
	o.listen, o.control = "127.0.0.1", "127.0.0.1:0"
	o.readyFile, o.inventory = filepath.Join(dir, "ready.json"), filepath.Join(dir, "lab.yml")
	o.build.replicas = max(o.build.replicas, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- up(ctx, topology, o, io.Discard, io.Discard) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	wait, cancelWait := context.WithTimeout(ctx, 60*time.Second)
	defer cancelWait()
	r, err := waitFor(wait, o.readyFile)
	if err != nil {
		t.Fatal(err)
	}
	return r, stop
}

func TestInventory(t *testing.T) {
	topology, _ := leafSpine(t)
	ready, stop := running(t, upOptions{}, topology.File)
	inv, err := inventory.LoadInventory([]string{ready.Inventory}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	labels := func(role string) map[string]string { return map[string]string{"role": role, "site": "ams"} }
	addr := netip.MustParseAddr
	want := []models.Device{
		{ID: "leaf1", Platform: "arista_eos", TunnelSource: addr("10.10.0.11"), Labels: labels("leaf")},
		{ID: "leaf2", Platform: "arista_eos", TunnelSource: addr("10.10.0.12"), Labels: labels("leaf")},
		{ID: "leaf3", Platform: "arista_eos", TunnelSource: addr("10.10.0.13"), Labels: labels("leaf")},
		{ID: "spine1", Platform: "arista_eos", Labels: labels("spine")},
		{ID: "spine2", Platform: "arista_eos", Labels: labels("spine")},
	}
	compare := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}), cmpopts.SortSlices(func(a, b models.Device) bool { return a.ID < b.ID }),
		cmpopts.IgnoreMapEntries(func(k, _ string) bool { return strings.HasPrefix(k, "spanctl.") || k == "tunnel-source" })}
	network := inv.Network()
	if d := cmp.Diff(want, network.Devices, compare...); d != "" {
		t.Errorf("devices (-want +got):\n%s", d)
	}
	wantSensors := []models.Sensor{{Name: "collector", At: models.End{Device: "leaf3", Port: "Ethernet12"}, Address: addr("10.10.0.9"), Accepts: []string{"gre"}}}
	if d := cmp.Diff(wantSensors, network.Sensors, compare...); d != "" {
		t.Errorf("sensors (-want +got):\n%s", d)
	}
	if len(network.Links) != len(topology.Links) {
		t.Errorf("%d links, the topology has %d", len(network.Links), len(topology.Links))
	}
	for name, address := range ready.Nodes {
		a, err := inv.Access(models.DeviceID(name))
		if err != nil {
			t.Fatal(err)
		}
		have := netip.AddrPortFrom(addr(a.Address), a.Port).String()
		if have != address || a.HostKey.Policy != inventory.HostKeyStrict {
			t.Errorf("%s: %s with host key policy %q, want %s and strict", name, have, a.HostKey.Policy, address)
		}
		out, err := typed(t.Context(), ready.Inventory, name, "show hostname\n")
		if err != nil || !strings.Contains(out, "Hostname: "+name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	// Each switch has a key of its own, and one in the place of another is found out.
	text, err := os.ReadFile(strings.TrimSuffix(ready.Inventory, ".yml") + ".known_hosts")
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.NewReplacer(ready.Nodes["leaf1"][len("127.0.0.1:"):], ready.Nodes["leaf2"][len("127.0.0.1:"):]).Replace(string(text))
	first := strings.SplitAfter(swapped, "\n")[0]
	a, err := inv.Access("leaf2")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.HostKey.KnownHosts, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t.Context(), inv, "leaf2"); err == nil || !strings.Contains(err.Error(), "key mismatch") {
		t.Errorf("with the key of leaf1 for leaf2: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(ready.Inventory), "ready.json")); !os.IsNotExist(err) {
		t.Errorf("the ready file is left: %v", err)
	}
}

func TestRoundTripTime(t *testing.T) {
	const rtt = 100 * time.Millisecond
	topology, _ := leafSpine(t)
	ready, _ := running(t, upOptions{build: buildOptions{rtt: rtt}}, topology.File)
	inv, err := inventory.LoadInventory([]string{ready.Inventory}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), inv, "leaf1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < rtt {
		t.Errorf("one exchange took %s, with a round trip of %s", took, rtt)
	}
}

// TestStopsInSpiteOfClients: a client that waits for an answer does not hold the lab.
func TestStopsInSpiteOfClients(t *testing.T) {
	topology, _ := leafSpine(t)
	ready, stop := running(t, upOptions{}, topology.File)
	inv, err := inventory.LoadInventory([]string{ready.Inventory}, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	control := lab.Client{Address: ready.Control}
	if err := control.SetFaults(t.Context(), "leaf1", json.RawMessage(`{"lines":[{"line":"^show version","action":"hang"}]}`)); err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), inv, "leaf1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("show version\n")
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	for {
		lines, err := control.Wire(t.Context(), "leaf1", false)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

func TestBasePort(t *testing.T) {
	topology, _ := leafSpine(t)
	// A range that was free a moment ago; another process may take it, which is no
	// failure of this one.
	for range 5 {
		ready, stop := running(t, upOptions{}, topology.File)
		base := netip.MustParseAddrPort(ready.Nodes["spine2"]).Port() + 20
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		l, err := lab.New(mustBuild(t, topology).nodes)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Start(t.Context(), lab.Options{BasePort: base}); err != nil {
			t.Log(err)
			continue
		}
		defer l.Close()
		for i, name := range []string{"leaf1", "leaf2", "leaf3", "spine1", "spine2"} {
			if have, _ := l.Address(name); have.Port() != base+uint16(i) {
				t.Errorf("%s listens on %s, want port %d", name, have, base+uint16(i))
			}
		}
		return
	}
	t.Fatal("no free ports in five tries")
}

func mustBuild(t *testing.T, topology *inventory.Topology) *built {
	t.Helper()
	b, err := build(topology, filepath.Dir(topology.File), buildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaultsAreChecked(t *testing.T) {
	_, b := leafSpine(t)
	for give, want := range map[string]string{
		`{"delay":"fast"}`:                 "fast",
		`{"speed":1}`:                      `unknown field "speed"`,
		`{"lines":[{"action":"explode"}]}`: "explode",
		`{"delay":"1ms"}`:                  "",
	} {
		err := node(t, b, "leaf1").FrontEnd.SetFaults(json.RawMessage(give))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", give, err, want)
		}
	}
}

// BenchmarkUp builds, starts and stops 1,000 switches: 200 leaf-spines.
func BenchmarkUp(b *testing.B) {
	topology, _ := leafSpine(b)
	for b.Loop() {
		made, err := build(topology, filepath.Dir(topology.File), buildOptions{replicas: 200})
		if err != nil {
			b.Fatal(err)
		}
		l, err := lab.New(made.nodes)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Start(b.Context(), lab.Options{}); err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
