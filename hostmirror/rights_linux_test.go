package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Names of environment variables that make TestRights a process with few rights: what it
// is to do, which capabilities it keeps, whether it has dropped the others.
const (
	rightsTask = "SPANCTL_TEST_RIGHTS"
	rightsKept = "SPANCTL_TEST_KEPT"
	rightsDone = "SPANCTL_TEST_DROPPED"
	rightsPins = "SPANCTL_TEST_RIGHTS_PINS"
)

// What a process with few capabilities can do, in its own network namespace: filters
// need CAP_NET_ADMIN alone, and programs three more words.
func TestRights(t *testing.T) {
	if os.Getenv(rightsTask) != "" {
		withFewRights(t)
		return
	}
	netAdmin := []int{unix.CAP_NET_ADMIN}
	all := []int{unix.CAP_NET_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Seen on 6.1 and 6.18: whoever may open a pin may look, whatever the setting
	// kernel.unprivileged_bpf_disabled says.
	looking := "done"
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(unix.ByteSliceToString(uts.Release[:]), "5.") {
		looking = "lacking: CAP_BPF, CAP_PERFMON)"
	}
	for _, tt := range []struct {
		name, task string
		keep       []int
		program    bool // one of root's is there already
		hidden     bool // the pins are in a folder of somebody else
		want       string
	}{
		{"nothing looks", "look", nil, false, false, "done"},
		{"nothing changes", "plain", nil, false, false, "EPERM (changing filters needs root or CAP_NET_ADMIN in the network namespace)"},
		{"CAP_NET_ADMIN and filters", "plain", netAdmin, false, false, "done"},
		{"CAP_NET_ADMIN and cut copies", "cut", netAdmin, false, false, "BPF programs need CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; lacking: CAP_BPF, CAP_PERFMON)"},
		{"without CAP_PERFMON", "cut", all[:2], false, false, "lacking: CAP_PERFMON)"},
		{"all three and cut copies", "cut", all, false, false, "done"},
		{"CAP_NET_ADMIN looks at programs", "look", netAdmin, true, false, looking},
		{"all three look at programs", "look", all, true, false, "done"},
		{"CAP_NET_ADMIN and pins that are hidden", "plain", netAdmin, false, true, "done"},
		{"CAP_NET_ADMIN and programs that are hidden", "plain", netAdmin, true, true, "r0 ingress has tcx programs, and whether they are spanctl's cannot be told"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			pins := kerneltest.Pins(t)
			if tt.program {
				needProgram(t, MethodBPF)
				if tt.hidden {
					needProgram(t, MethodTCX)
				}
				b.to(b.with(MethodBPF, pins), session("sp-z", []string{"m1"}, port("r0", models.Rx)))
			}
			if tt.hidden {
				const nobody = 65534
				if err := os.Chown(filepath.Dir(pins), nobody, nobody); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(filepath.Dir(pins), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var keep []string
			for _, c := range tt.keep {
				keep = append(keep, fmt.Sprint(c))
			}
			cmd := exec.Command(self, "-test.run=^TestRights$", "-test.v")
			cmd.Env = append(os.Environ(), rightsTask+"="+tt.task, rightsKept+"="+strings.Join(keep, ","), rightsPins+"="+pins)
			var out []byte
			err := b.host.Do(func() (err error) {
				out, err = cmd.CombinedOutput()
				return err
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if _, got, _ := strings.Cut(string(out), "result: "); !strings.Contains(got, tt.want) {
				t.Errorf("want %q of\n%s", tt.want, out)
			}
			if _, err := os.Stat(pins); !tt.program && tt.task != "cut" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v; want that nothing of BPF was touched", pins, err)
			}
		})
	}
}

// withFewRights drops capabilities, starts itself again so that no thread has them, and
// does what it was told.
func withFewRights(t *testing.T) {
	if os.Getenv(rightsDone) == "" {
		runtime.LockOSThread()
		for c := range unix.CAP_LAST_CAP + 1 {
			if !strings.Contains(","+os.Getenv(rightsKept)+",", fmt.Sprintf(",%d,", c)) {
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
					t.Fatal(err)
				}
			}
		}
		t.Fatal(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), rightsDone+"=1")))
	}
	err := fewRights(t.Context(), os.Getenv(rightsTask))
	if err == nil {
		fmt.Println("result: done")
		return
	}
	fmt.Println("result:", err)
}

func fewRights(ctx context.Context, task string) error {
	m, err := Open(ctx, Options{Device: host, Prefer: []string{tcnl.U32}, Pins: filepath.Clean(os.Getenv(rightsPins))})
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Observe(ctx); err != nil || task == "look" {
		return err
	}
	s := session("sp-a", []string{"m0"}, port("r0", models.Both))
	if task == "cut" {
		s.TruncateTo = 100
	}
	for _, cs := range []models.ChangeSet{create(s), {Device: host, Changes: []models.Change{{Op: models.Delete, Before: &s}}}} {
		script, err := m.Render(cs, drivers.RenderOptions{})
		if err != nil {
			return err
		}
		if err := m.Apply(ctx, drivers.Checkpoint{Device: host, Changes: cs, Script: script}); err != nil {
			return err
		}
		st, err := m.Observe(ctx)
		if err != nil {
			return err
		}
		if n := len(st.Sessions); n != len(cs.Changes) && cs.Changes[0].Op == models.Create {
			return fmt.Errorf("%d sessions afterwards", n)
		}
	}
	return nil
}
