// Package require lets a test state what it needs from the machine: root, a
// server, a kernel, the vendors' data.
//
// A need that is absent skips the test and says so. Where SPANCTL_REQUIRE names
// the need, as it does in CI, its absence is a failure: a run cannot go green by
// skipping.
package require

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Needs that SPANCTL_REQUIRE may name, comma-separated. A test may use others;
// these are the ones that .ci/run sets.
const (
	Root        = "root"        // effective user id 0: network namespaces, netlink writes
	KernelVM    = "kernel-vm"   // qemu and a distribution kernel with modules
	VendorData  = "vendor-data" // vendors' schemas, MIBs and transcripts
	OpenSSH     = "openssh"     // sshd and ssh-keygen from openssh-server
	Tshark      = "tshark"      // an independent decoder
	Systemd     = "systemd"     // systemd-analyze
	OpenVSwitch = "openvswitch" // the programs of openvswitch-switch; no service is needed
)

// Need skips t when have is false, naming the need and why it matters here. It
// fails t instead when SPANCTL_REQUIRE names the need.
func Need(t testing.TB, name string, have bool, why string) {
	t.Helper()
	if have {
		return
	}
	if Required(name) {
		t.Fatalf("SPANCTL_REQUIRE names %q, but it is absent: %s", name, why)
	}
	t.Skipf("SKIPPED, needs %q: %s", name, why)
}

// Required reports whether SPANCTL_REQUIRE names the need.
func Required(name string) bool {
	for _, n := range strings.Split(os.Getenv("SPANCTL_REQUIRE"), ",") {
		if strings.TrimSpace(n) == name {
			return true
		}
	}
	return false
}

// HaveRoot is Need for the effective user id 0.
func HaveRoot(t testing.TB, why string) {
	t.Helper()
	Need(t, Root, os.Geteuid() == 0, why)
}

// Vendor returns the folder of the vendors' data: SPANCTL_VENDOR_DATA, else
// "shared" beside the project. It skips or fails t when elem below it is absent.
func Vendor(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("SPANCTL_VENDOR_DATA")
	if root == "" {
		root = filepath.Join(ProjectRoot(t), "..", "shared")
	} else if !filepath.IsAbs(root) {
		root = filepath.Join(ProjectRoot(t), root)
	}
	p := filepath.Join(slices.Concat([]string{root}, elem)...)
	_, err := os.Stat(p)
	Need(t, VendorData, err == nil, "no vendors' data at "+p+" (set SPANCTL_VENDOR_DATA)")
	return p
}

// ProjectRoot returns the folder that holds go.mod.
func ProjectRoot(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no caller information")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}
