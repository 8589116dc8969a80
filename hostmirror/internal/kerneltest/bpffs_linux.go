package kerneltest

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Pins mounts a BPF file system of its own for a test and gives a folder in it, which
// is not made.
func Pins(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "spanctl")
}
