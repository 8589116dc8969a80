package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/internal/require"
)

// TestLinuxPlaces mirrors ports of a container and of another network namespace, as
// people name them: planned, typed by hand into a shell as well, applied, proven by a
// frame, deleted.
func TestLinuxPlaces(t *testing.T) {
	t.Parallel()
	require.HaveRoot(t, "network namespaces, and traffic control in them")
	for _, tool := range []string{"ip", "tc", "nsenter"} {
		_, err := exec.LookPath(tool)
		require.Need(t, tool, err == nil, "steps of a plan are typed with it")
	}
	ns, box := fmt.Sprintf("spanctl-host-%d", os.Getpid()), fmt.Sprintf("spanctl-box-%d", os.Getpid())
	for _, name := range []string{ns, box} {
		command(t, "ip", "netns", "add", name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
	}
	in := func(args ...string) string {
		return command(t, "ip", append([]string{"netns", "exec", ns}, args...)...)
	}
	in("ip", "link", "add", "near0", "type", "veth", "peer", "name", "eth0", "netns", box)
	in("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
	command(t, "ip", "netns", "exec", box, "ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1")
	for ns, devs := range map[string][]string{ns: {"near0", "out0", "out1"}, box: {"eth0", "in0", "in1"}} {
		for _, dev := range devs {
			command(t, "ip", "netns", "exec", ns, "sysctl", "-q", "-w", "net.ipv6.conf."+dev+".disable_ipv6=1")
			command(t, "ip", "-n", ns, "link", "set", dev, "up", "txqueuelen", "1000")
		}
	}
	// The container is a process in the second namespace, and a service that knows it.
	sleep := exec.CommandContext(t.Context(), "ip", "netns", "exec", box, "sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Wait() })
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_ping":
			w.Header().Set("Api-Version", "1.43")
		case "/v1.43/containers/box/json":
			_ = json.NewEncoder(w).Encode(map[string]any{"Id": "0123", "Name": "/box", "HostConfig": map[string]any{"NetworkMode": "bridge"},
				"State": map[string]any{"Status": "running", "Running": true, "Pid": sleep.Process.Pid}})
		default:
			http.Error(w, `{"message":"No such container"}`, http.StatusNotFound)
		}
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })

	intent := func(name, source, dest string) string {
		return fmt.Sprintf(`apiVersion: spanctl/v1
kind: Mirror
metadata: {name: %s, owner: secops, reason: CHG-3}
spec:
  sources: [{device: probe, interfaces: ["%s"], direction: rx}]
  destination: {interface: {device: probe, name: "%s"}}
  expires: 1h
`, name, source, dest)
	}
	b := newBench(t, map[string]string{
		"host.yaml": "apiVersion: spanctl/v1\nkind: Inventory\ndevices:\n  - {name: probe, platform: linux, address: \"netns:" + ns + "\"}\n",
		"near.yaml": intent("near", "container:box/eth0", "out0"),
		"far.yaml":  intent("far", "container:box/in0", "container:box/eth0"),
		"name.yaml": intent("name", "netns:"+box+"/eth0", "netns:"+box+"/in1"),
		"cord.yaml": intent("cord", "container:box/in0", "out0"),
		"gone.yaml": intent("gone", "container:gone/eth0", "out0"),
		"used.yaml": intent("used", "near0", "container:box/in0"),
	})
	b.env = append(b.env, "SPANCTL_INVENTORY=host.yaml", "DOCKER_HOST=unix://"+socket)
	command(t, "ip", "-n", box, "address", "add", "192.0.2.1/24", "dev", "in0")

	if e := b.run("plan", "gone.yaml"); e.status == exitOK || !strings.Contains(e.out+e.err, "has no container of this name") {
		t.Errorf("a container that is not there: %+v", e)
	}
	if e := b.run("plan", "used.yaml"); e.status == exitOK || !strings.Contains(e.out+e.err, "192.0.2.1/24") {
		t.Errorf("a destination with an address, in a namespace that no record names: %+v", e)
	}
	e := b.run("plan", "near.yaml")
	says(t, e.out, "tc filter add dev near0 egress", "# container:box/eth0 rx")
	says(t, b.must("apply", "--yes", "near.yaml", "name.yaml").out, "intent near: applied", "intent name: applied")
	says(t, b.must("plan", "near.yaml", "name.yaml").out, "nothing to do")
	says(t, b.must("status").out, "sp-near", "sp-name")
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, bytes.Repeat([]byte("spanctl "), 12)...)
	// What near0 sends, the container's eth0 receives: one copy leaves by out0 to out1, one
	// by the container's in1 to in0.
	if n, err := copies(ns, "near0", "out1", frame); err != nil || n != 1 {
		t.Errorf("%d copies, %v; want 1", n, err)
	}
	says(t, b.must("delete", "--yes", "near").out, "intent near: applied")
	says(t, b.must("delete", "--yes", "name").out, "intent name: applied")

	// A port to which no cable leads: the plan, typed by hand, does what it says.
	e = b.run("plan", "cord.yaml")
	var typed []string
	for _, line := range strings.Split(e.out, "\n") {
		if _, step, ok := strings.Cut(line, "  "); ok && (strings.Contains(step, "ip link") || strings.Contains(step, "tc ")) {
			typed = append(typed, strings.TrimSpace(step))
		}
	}
	if len(typed) != 4 {
		t.Fatalf("steps %q in %s", typed, e.out)
	}
	for _, line := range typed {
		in("sh", "-c", line)
	}
	byHand := view(t, ns) + view(t, box)
	if strings.Count(byHand, "Egress Mirror to device") != 2 || strings.Count(byHand, "direct-action") != 1 {
		t.Errorf("typed by hand: %s", byHand)
	}
	cord := in("sh", "-c", "ip -o link show type veth | grep -o 'span-0[^@]*'")
	in("ip", "link", "del", strings.TrimSpace(cord))
	command(t, "ip", "netns", "exec", box, "tc", "qdisc", "del", "dev", "in0", "clsact")
	says(t, b.must("apply", "--yes", "cord.yaml").out, "intent cord: applied")
	if got := view(t, ns) + view(t, box); normal(got) != normal(byHand) {
		t.Errorf("applied:\n%s\ntyped by hand:\n%s", normal(got), normal(byHand))
	}
	says(t, b.must("plan", "cord.yaml").out, "nothing to do")
	says(t, b.must("delete", "--yes", "cord").out, "intent cord: applied")
	if got := in("ip", "-o", "link", "show"); strings.Contains(got, "span-") {
		t.Errorf("left: %s", got)
	}
}

// view gives all filters of a namespace, and its cables of ours.
func view(t *testing.T, ns string) string {
	t.Helper()
	return command(t, "ip", "netns", "exec", ns, "sh", "-c",
		`for d in $(ip -o link show | sed 's/^[0-9]*: \([^:@]*\).*/\1/'); do for s in ingress egress; do tc filter show dev $d $s 2>/dev/null; done; ip -d link show dev $d | grep -A2 span-; done; true`)
}

// normal leaves out what the kernel numbers anew each time.
func normal(s string) string {
	for _, n := range []string{`index \d+`, `ifindex \d+`, `^\d+: `, `@if\d+`, `link/ether \S+`, ` id \d+`, ` tag \S+`, ` jited`, `installed \d+ sec used \d+ sec`} {
		s = regexp.MustCompile("(?m)"+n).ReplaceAllString(s, "")
	}
	return s
}
