package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/eos"
)

// TestTwoAtOnce runs a second spanctl on a switch that a first one is changing: it
// is refused at once, says by whom, and asks the switch nothing. On another switch
// it may work meanwhile.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	other := strings.NewReplacer("name: web", "name: other", "leaf1", "leaf2").Replace(webIntent)
	b := newBench(t, map[string]string{"web.yaml": webIntent, "far.yaml": farIntent, "other.yaml": other})
	d := b.lab.switches["leaf1"]
	slow := eos.FaultSpec{Lines: []eos.Fault{{Line: "^commit timer", Action: eos.ActionDelay, Delay: eos.Duration(2 * time.Second), Times: 1}}}
	if err := d.SetFaults(slow); err != nil {
		t.Fatal(err)
	}
	first := b.start(nil, "apply", "--yes", "web.yaml")
	if !await(func() bool { return b.lab.wired("leaf1", "commit timer") }) {
		t.Fatal("no commit")
	}
	asked := len(d.Wire())
	second := b.run("apply", "--yes", "far.yaml")
	if second.status != exitError {
		t.Errorf("the second: %+v", second)
	}
	says(t, second.err, "leaf1", fmt.Sprintf("pid %d", first.cmd.Process.Pid))
	if got := len(d.Wire()); got != asked {
		t.Errorf("leaf1 was asked %q by the second", d.Wire()[asked:])
	}
	says(t, b.must("recover").out, "is at work")
	says(t, b.must("apply", "--yes", "other.yaml").out, "intent other: applied")
	if e := first.wait(); e.status != exitOK {
		t.Errorf("the first: %+v", e)
	}
	b.must("drift")
	b.must("delete", "--yes", "web", "other")
	b.as(b.lab.before)
}

// TestReadOnlyStore looks with a store that it may not write, and changes nothing.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"web.yaml": webIntent})
	b.must("apply", "--yes", "web.yaml")
	applied := b.lab.configs()
	run := b.unprivileged()
	for _, d := range b.lab.switches {
		d.ResetWire()
	}
	for _, args := range [][]string{{"apply", "--yes", "web.yaml"}, {"delete", "--yes", "web"}} {
		e := run(args...)
		if e.status != exitError {
			t.Errorf("%v: %+v", args, e)
		}
		says(t, e.err, "store.db", "read-only")
	}
	for name, d := range b.lab.switches {
		if lines := d.Wire(); len(lines) > 0 {
			t.Errorf("%s was asked %q", name, lines)
		}
	}
	if e := run("status"); e.status != exitOK || !strings.Contains(e.out, "ours") {
		t.Errorf("status: %+v", e)
	}
	b.as(applied)
}

// unprivileged gives what runs spanctl as a user that may read everything in the
// folder and write nothing. Root is nobody there; others lose the right to write.
func (b *bench) unprivileged() func(args ...string) ended {
	b.t.Helper()
	check := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	path, err := exec.LookPath("spanctl")
	check(err)
	binary, err := os.ReadFile(path)
	check(err)
	own := filepath.Join(b.dir, "spanctl")
	check(os.WriteFile(own, binary, 0o755))
	files, err := filepath.Glob(filepath.Join(b.dir, "*"))
	check(err)
	for _, f := range files {
		if f != own {
			check(os.Chmod(f, 0o444))
		}
	}
	check(os.Chmod(filepath.Dir(b.dir), 0o755))
	check(os.Chmod(b.dir, 0o555))
	b.t.Cleanup(func() { _ = os.Chmod(b.dir, 0o755) })
	return func(args ...string) ended {
		b.t.Helper()
		p := &process{cmd: exec.Command(own, args...)}
		p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = b.dir, b.env, &p.out, &p.err
		if os.Geteuid() == 0 {
			const nobody = 65534
			p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		check(p.cmd.Start())
		return p.wait()
	}
}
