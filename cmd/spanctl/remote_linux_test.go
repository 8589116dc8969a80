package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanctl/spanctl/internal/require"
)

// TestLinuxHostBySSH mirrors on a Linux host that is reached by OpenSSH and has no
// spanctl: the login's commands run in a network namespace of the test.
func TestLinuxHostBySSH(t *testing.T) {
	t.Parallel()
	require.HaveRoot(t, "network namespaces, and traffic control in them")
	for _, tool := range []string{"ip", "tc", "bridge"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "iproute2", err == nil, "the host's own commands")
	}
	_, err := os.Stat("/usr/sbin/sshd")
	require.Need(t, require.OpenSSH, err == nil, "a host that is reached by a server that is not ours")
	ns := fmt.Sprintf("spanctl-ssh-%d", os.Getpid())
	command(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", ns).Run() })
	in := func(args ...string) string {
		return command(t, "ip", append([]string{"netns", "exec", ns}, args...)...)
	}
	for _, pair := range [][2]string{{"in0", "in1"}, {"out0", "out1"}} {
		in("ip", "link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
		for _, name := range pair {
			in("sysctl", "-q", "-w", "net.ipv6.conf."+name+".disable_ipv6=1")
			in("ip", "link", "set", name, "up")
		}
	}
	port, key := sshInto(t, ns)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, map[string]string{
		"host.yaml": `apiVersion: spanctl/v1
kind: Inventory
devices:
  - name: probe
    platform: linux
    transport: ssh
    address: 127.0.0.1
    port: ` + port + `
    credentials: {username: ` + me.Username + `, keyFile: ` + key + `}
    hostKey: {policy: accept-new, knownHosts: known_hosts}
`,
		"tap.yaml": `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: tap, owner: secops, reason: CHG-3}
spec:
  sources: [{device: probe, interfaces: [in0], direction: rx}]
  destination: {interface: {device: probe, name: out0}}
  expires: 1h
`})
	b.env = append(b.env, "SPANCTL_INVENTORY=host.yaml")
	says(t, b.must("devices").out, "probe", "linux", "yes")
	if e := b.run("plan", "tap.yaml"); e.status != exitDiffers || !strings.Contains(e.out, "tc filter add dev in0 ingress") {
		t.Errorf("plan: %+v", e)
	}
	if got := in("tc", "qdisc", "show", "dev", "in0"); strings.Contains(got, "clsact") {
		t.Fatalf("plan changed the host: %s", got)
	}
	says(t, b.must("apply", "--yes", "tap.yaml").out, "intent tap: applied")
	says(t, b.must("plan", "tap.yaml").out, "nothing to do")
	says(t, b.must("verify", "tap.yaml").out, "configured as intended")
	says(t, b.must("status").out, "sp-tap", "ours")
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, bytes.Repeat([]byte("spanctl "), 12)...)
	if n, err := copies(ns, "in1", "out1", frame); err != nil || n != 1 {
		t.Errorf("%d copies of a frame, %v; want 1", n, err)
	}
	says(t, b.must("delete", "--yes", "tap").out, "intent tap: applied")
	if got := in("tc", "filter", "show", "dev", "in0", "ingress"); got != "" {
		t.Errorf("after delete: %s", got)
	}

	// What this program alone can do is refused before anything is sent.
	b.write("short.yaml", `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: short, owner: secops, reason: CHG-3}
spec:
  sources: [{device: probe, interfaces: [in0], direction: rx}]
  destination: {interface: {device: probe, name: out0}}
  truncate: 128
  expires: 1h
`)
	if e := b.run("apply", "--yes", "short.yaml"); e.status == 0 || !strings.Contains(e.out+e.err, "on the host itself") {
		t.Errorf("apply of what only programs can do: %+v", e)
	}
	if got := in("tc", "filter", "show", "dev", "in0", "ingress"); got != "" {
		t.Errorf("after what was refused: %s", got)
	}
}

// sshInto starts OpenSSH's server on loopback, whose login's commands run in ns. It gives
// the port and the file with the login's key.
func sshInto(t *testing.T, ns string) (port, key string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"host", "login"} {
		command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file(name))
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // what the service's start script makes
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // sshd takes the port over
	_, port, _ = net.SplitHostPort(addr)
	config := strings.Join([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + file("host"), "PidFile none", "AuthorizedKeysFile " + file("login.pub"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
		`ForceCommand ip netns exec ` + ns + ` /bin/sh -c "$SSH_ORIGINAL_COMMAND"`,
		"SetEnv SHLVL=3", // keeps bash from the start file of whoever runs the test
		"",
	}, "\n")
	if err := os.WriteFile(file("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", file("config"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return port, file("login")
		}
		if time.Now().After(end) {
			t.Fatal("sshd does not listen")
		}
	}
}
