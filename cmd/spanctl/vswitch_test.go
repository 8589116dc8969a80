package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/openssh"
	"github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/internal/require"
)

// TestOpenVSwitch mirrors on a real Open vSwitch behind a real SSH server, as an
// inventory names it: planned, applied, proven by frames of a flow that was there
// before, deleted, silent, and the database as before.
func TestOpenVSwitch(t *testing.T) {
	t.Parallel()
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	why = openssh.Missing()
	require.Need(t, require.OpenSSH, why == "", why)
	sw, err := ovs.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(sw.AddBridge("br0"))
	must(sw.AddPorts("br0", "vm1", "vm2", "tap"))
	dir := t.TempDir()
	wrapper := filepath.Join(dir, "wrapper")
	must(os.WriteFile(wrapper, []byte("#!/bin/sh\nexport OVS_RUNDIR="+sw.Dir()+"\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n"), 0o700))
	srv, err := openssh.Start(dir, wrapper)
	must(err)
	t.Cleanup(srv.Close)
	host, port, err := net.SplitHostPort(srv.Address)
	must(err)

	b := newBench(t, map[string]string{
		"known_hosts": fmt.Sprintf("[%s]:%s %s\n", host, port, srv.HostKey),
		"host.yaml": fmt.Sprintf(`apiVersion: spanctl/v1
kind: Inventory
credentials:
  key: {username: %s, keyFile: %s}
devices:
  - {name: hv1, platform: ovs, address: %s, port: %s, credentials: key}
`, srv.User, srv.KeyFile, host, port),
		"vm.yaml": `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: vm, owner: secops, reason: CHG-4}
spec:
  sources: [{device: hv1, interfaces: [vm1], direction: both}]
  destination: {interface: {device: hv1, name: tap}}
  truncate: 64
  expires: 1h
`})
	b.env = append(b.env, "SPANCTL_INVENTORY=host.yaml", "SPANCTL_KNOWN_HOSTS="+filepath.Join(b.dir, "known_hosts"))
	frame := func(from, to byte) []byte {
		return append([]byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5}, make([]byte, 100)...)
	}
	// One frame each way, and the lengths of what came out of tap.
	copies := func() string {
		t.Helper()
		var got []string
		for from := byte(1); from <= 2; from++ {
			out, err := sw.Exchange(fmt.Sprint("vm", from), frame(from, 3-from))
			must(err)
			for _, f := range out {
				if f.Port == "tap" {
					got = append(got, fmt.Sprint(len(f.Data)))
				}
			}
		}
		return strings.Join(got, " ")
	}
	mirrors := func() string {
		t.Helper()
		out, err := sw.Vsctl("--columns=name,external_ids,snaplen", "list", "Mirror")
		must(err)
		return out
	}
	copies() // learned
	_, err = sw.Appctl("revalidator/purge")
	must(err)
	if got := copies(); got != "" {
		t.Fatalf("copies before there is a mirror: %s", got)
	}

	says(t, b.must("devices").out, "hv1", "ovs", "yes")
	if e := b.run("plan", "vm.yaml"); e.status != exitDiffers || !strings.Contains(e.out, "      ovs-vsctl --timeout=10 \\\n        -- --id=@p0 get Port vm1 \\\n") ||
		!strings.Contains(e.out, "revalidator/purge") || !strings.Contains(e.out, "no way back of their own: hv1") {
		t.Errorf("plan: %+v", e)
	}
	if got := mirrors(); got != "" {
		t.Fatalf("plan made %s", got)
	}
	says(t, b.must("apply", "--yes", "vm.yaml").out, "intent vm: applied")
	if got := mirrors(); !strings.Contains(got, "spanctl=sp-vm") || !strings.Contains(got, ": 64") {
		t.Errorf("ovs-vsctl shows %s", got)
	}
	if got := copies(); got != "64 64" {
		t.Errorf("copies: %q; want two of 64 bytes", got)
	}
	says(t, b.must("plan", "vm.yaml").out, "nothing to do")
	says(t, b.must("verify", "vm.yaml").out, "configured as intended", "operation up")
	says(t, b.must("status").out, "sp-vm", "ours")
	says(t, b.must("delete", "--yes", "vm").out, "intent vm: applied")
	if got := copies(); got != "" {
		t.Errorf("copies after delete: %s", got)
	}
	if got := mirrors(); got != "" {
		t.Errorf("delete left %s", got)
	}
}
