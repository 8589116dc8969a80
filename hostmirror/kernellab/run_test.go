package kernellab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/internal/require"
)

// guest is a program that does what its argument says.
const guest = `package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	switch os.Args[1] {
	case "look":
		release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
		modules, _ := os.ReadFile("/proc/modules")
		fmt.Printf("uid %d\nrelease %sargument %q\nsetting %s\nhost %q\n%s", os.Getuid(), release, os.Args[2], os.Getenv("SPANCTL_LABTEST"), os.Getenv("PWD_OF_HOST"), modules)
		os.Exit(7)
	case "crash":
		os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "hang":
		time.Sleep(time.Hour)
	}
}
`

func lab(t *testing.T, timeout string, args ...string) (output string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./run.sh", args...)
	cmd.Env = append(os.Environ(), "LAB_TIMEOUT="+timeout, "SPANCTL_LABTEST=a b", "PWD_OF_HOST=x")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestRun(t *testing.T) {
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		t.Skip("SKIPPED, this is the inside of the kernel lab, and it has none of its own")
	}
	_, qemu := exec.LookPath("qemu-system-x86_64")
	_, cpio := exec.LookPath("cpio")
	kernels, _ := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	require.Need(t, require.KernelVM, qemu == nil && cpio == nil && len(kernels) > 0 && runtime.GOARCH == "amd64",
		"qemu-system-x86_64, cpio and a Debian cloud kernel; run.sh lists the packages")

	dir := t.TempDir()
	program := filepath.Join(dir, "guest")
	if err := os.WriteFile(program+".go", []byte(guest), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, program+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	t.Run("output, arguments, settings and status come and go", func(t *testing.T) {
		out, status := lab(t, "120", program, "look", "two words * $x")
		if status != 7 {
			t.Errorf("status %d, want 7", status)
		}
		for _, want := range []string{
			"uid 0\n", "-cloud-amd64\n", `argument "two words * $x"`, "setting a b\n", `host ""`, "cls_matchall ", "act_mirred ", "veth ",
		} {
			if !strings.Contains(strings.ReplaceAll(out, "\r", ""), want) {
				t.Errorf("the output lacks %q", want)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})
	t.Run("a crash is told with the kernel log", func(t *testing.T) {
		out, status := lab(t, "120", program, "crash")
		if status != 255 || !strings.Contains(out, "sysrq") {
			t.Errorf("status %d, want 255 and a kernel log with the cause:\n%s", status, out)
		}
	})
	t.Run("a guest that hangs is ended", func(t *testing.T) {
		out, status := lab(t, "15", program, "hang")
		if status != 255 || !strings.Contains(out, "LAB_TIMEOUT=15") {
			t.Errorf("status %d, want 255 and the limit:\n%s", status, out)
		}
	})
	t.Run("no kernel is an error of its own", func(t *testing.T) {
		t.Setenv("LAB_KERNEL", filepath.Join(dir, "none"))
		out, status := lab(t, "15", program, "look", "")
		if status != 2 || !strings.Contains(out, "no kernel image") {
			t.Errorf("status %d, want 2:\n%s", status, out)
		}
	})
}
