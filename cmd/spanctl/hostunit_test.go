package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/internal/require"
)

// lines gives the values of a key of a unit file.
func lines(text, key string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), key+"="); ok {
			out = append(out, v)
		}
	}
	return out
}

func TestHostUnitFiles(t *testing.T) {
	dir := t.TempDir() // of /tmp, or wherever TMPDIR is
	intents := filepath.Join(dir, "100% of it")
	if err := os.Mkdir(intents, 0o700); err != nil {
		t.Fatal(err)
	}
	plain := hostUnit{Name: "spanctl-host", Binary: "/usr/bin/spanctl", Runs: "apply", Device: "probe", Every: time.Minute}
	with := func(change func(*hostUnit)) hostUnit { u := plain; change(&u); return u }
	tests := []struct {
		name string
		give hostUnit
		want map[string]string // by key of the service
	}{
		{"plain", plain, map[string]string{
			"ExecStart":             "/usr/bin/spanctl host apply --yes --no-progress --device probe --store /var/lib/spanctl/spanctl.db",
			"CapabilityBoundingSet": "CAP_NET_ADMIN", "AmbientCapabilities": "CAP_NET_ADMIN", "StateDirectory": "spanctl",
			"ReadWritePaths": "", "ProtectHome": "yes", "PrivateTmp": "yes", "RestrictNamespaces": "yes", "SystemCallFilter": "@system-service",
			"After": "network-online.target", "Wants": "network-online.target", "WantedBy": "multi-user.target", "Type": "oneshot",
		}},
		{"BPF", with(func(u *hostUnit) { u.BPF = true }), map[string]string{
			"CapabilityBoundingSet": "CAP_NET_ADMIN CAP_BPF CAP_PERFMON", "AmbientCapabilities": "CAP_NET_ADMIN CAP_BPF CAP_PERFMON",
			"ReadWritePaths": "-/sys/fs/bpf", "SystemCallFilter": "@system-service bpf", "LimitMEMLOCK": "infinity",
		}},
		{"another namespace", with(func(u *hostUnit) { u.Namespace = "/run/netns/blue" }), map[string]string{
			"ExecStart":             "/usr/bin/spanctl host apply --yes --no-progress --device probe --store /var/lib/spanctl/spanctl.db --namespace /run/netns/blue",
			"CapabilityBoundingSet": "CAP_NET_ADMIN CAP_SYS_ADMIN", "RestrictNamespaces": "net",
		}},
		{"a namespace that the inventory knows", with(func(u *hostUnit) {
			u.Namespace, u.Inventory = "/run/netns/blue", []string{"/etc/spanctl/inventory.yaml"}
		}), map[string]string{
			"ExecStart":             "/usr/bin/spanctl host apply --yes --no-progress --device probe --store /var/lib/spanctl/spanctl.db --inventory /etc/spanctl/inventory.yaml",
			"CapabilityBoundingSet": "CAP_NET_ADMIN CAP_SYS_ADMIN",
		}},
		{"odd places", with(func(u *hostUnit) { u.Store, u.Intents = "/home/op/a b/$x.db", []string{intents} }), map[string]string{
			"ExecStart": `/usr/bin/spanctl host apply --yes --no-progress --device probe --store "/home/op/a b/$$x.db" --intents "` +
				strings.ReplaceAll(intents, "%", "%%") + `"`,
			"StateDirectory": "", "ReadWritePaths": `"/home/op/a b"`, "ProtectHome": "read-only",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service, _, err := tt.give.files()
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for key := range tt.want {
				got[key] = strings.Join(lines(service, key), " AND ")
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("service (-want +got):\n%s", d)
			}
		})
	}
}

// TestHostUnit: what is written is what systemd takes without a word, and what its own
// judgement calls well protected.
func TestHostUnit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &bench{t: t, dir: dir, env: append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)}
	b.write("tap.yaml", hostIntent("tap", "in0", "out0", "1h"))
	b.write("host.yaml", "apiVersion: spanctl/v1\nkind: Inventory\ndevices:\n  - {name: probe, platform: linux, address: 127.0.0.1}\n")
	for _, args := range [][]string{
		{"--intents", "tap.yaml"},
		{"--intents", "tap.yaml", "--bpf", "--namespace", "netns:blue", "--name", "blue-mirrors", "--every", "90s"},
		{"--inventory", "host.yaml"},
	} {
		out := t.TempDir()
		e := b.must(append([]string{"host", "unit", "--device", "probe", "--output-dir", out}, args...)...)
		says(t, e.out, "wrote "+out, "systemctl daemon-reload")
		units, err := filepath.Glob(filepath.Join(out, "*"))
		if err != nil || len(units) != 2 {
			t.Fatalf("%v, %v", units, err)
		}
		_, err = exec.LookPath("systemd-analyze")
		require.Need(t, require.Systemd, err == nil, "systemd's own reading of the units")
		// Man pages and other units are not what this is about.
		verify := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
		if text, err := verify.CombinedOutput(); err != nil || len(bytes.TrimSpace(text)) > 0 {
			t.Errorf("systemd-analyze verify %v: %v\n%s", args, err, text)
		}
		service := units[0]
		// From 0 to 10: a service without any protection has 9.6, this one had 2.4.
		text, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", service).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, text)
		}
	}
	if e := b.run("host", "unit", "--every", "0s", "--intents", "absent", "--name", "a/b"); e.status != exitError {
		t.Errorf("status %d", e.status)
	} else {
		says(t, e.err, "--every is 0s", "absent is not there", `--name "a/b"`)
	}
	e := b.must("host", "unit", "--device", "probe", "-o", "json")
	if keys, err := keysOf("json", e.out); err != nil || cmp.Diff([]string{"service", "timer"}, keys) != "" {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// hostIntent is the text of an intent to copy what a port receives to another.
func hostIntent(name, from, to, expires string) string {
	return fmt.Sprintf(`apiVersion: spanctl/v1
kind: Mirror
metadata: {name: %s, owner: secops, reason: CHG-3}
spec:
  sources: [{device: probe, interfaces: [%s], direction: rx}]
  destination: {interface: {device: probe, name: %s}}
  expires: %s
`, name, from, to, expires)
}
