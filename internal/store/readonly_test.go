//go:build unix

package store_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReadOnlyForUser opens the stores of another user, as the file's modes allow.
// As root it becomes a user without rights; else it takes its own rights away.
func TestReadOnlyForUser(t *testing.T) {
	for _, tt := range []struct {
		name      string
		dir, file os.FileMode
		want      string // "" = cannot be opened
	}{
		{"file and folder read-only", 0o555, 0o444, "10 true true\n"},
		{"file read-only", 0o777, 0o444, "10 true true\n"},
		{"folder read-only", 0o555, 0o666, "10 true true\n"},
		{"all writable", 0o777, 0o666, "10 false false\n"},
		{"not readable", 0o777, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top, err := os.MkdirTemp("", "spanctl-store-*") // t.TempDir is closed to others
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(top, "store")
			t.Cleanup(func() {
				_ = os.Chmod(dir, 0o700)
				_ = os.RemoveAll(top)
			})
			path := filepath.Join(dir, "state.db")
			exe := filepath.Join(top, "child")
			copyFile(t, exe, must(os.Executable()), 0o755)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			copyFile(t, path, fill(t, 10), tt.file)
			for p, mode := range map[string]os.FileMode{top: 0o755, dir: tt.dir, path: tt.file, exe: 0o755} {
				if err := os.Chmod(p, mode); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childEnv+"=reading", pathEnv+"="+path)
			cmd.Dir = top
			if os.Geteuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.Output()
			if tt.want == "" {
				var ee *exec.ExitError
				if !errors.As(err, &ee) {
					t.Errorf("said %q, %v; want an error", out, err)
				} else if want := "store " + path + ": "; !containsAll(string(ee.Stderr), want, "permission denied", "writable for") {
					t.Errorf("said %q, want %q and what to do", ee.Stderr, want)
				}
				return
			}
			if err != nil || string(out) != tt.want {
				t.Errorf("said %q, %v; want %q", out, err, tt.want)
			}
		})
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

func copyFile(t *testing.T, to, from string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close(), os.Chmod(to, mode)); err != nil {
		t.Fatal(err)
	}
}
