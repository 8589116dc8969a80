package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spanctl/spanctl/models"
)

const switchPlain = "Open vSwitch, userspace datapath, without mirror"

// openVSwitch gives the forwarding to a switch in user space, which stays on the other
// processor, and lets it mirror. Settings: ovs-vswitchd.conf.db(5), table Mirror.
func openVSwitch(mirror bool) func(*bed, models.Direction) (string, error) {
	return func(b *bed, d models.Direction) (string, error) {
		schema := "/usr/share/openvswitch/vswitch.ovsschema"
		for _, program := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"} {
			if _, err := exec.LookPath(program); err != nil {
				return "", fmt.Errorf("absent: there is no program %s", program)
			}
		}
		if _, err := os.Stat(schema); err != nil {
			return "", fmt.Errorf("absent: %w", err)
		}
		dir, err := os.MkdirTemp("", "ovs")
		if err != nil {
			return "", err
		}
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		o := ovs{b: b, dir: dir}
		db := "unix:" + filepath.Join(dir, "db.sock")
		if err := o.run("ovsdb-tool", "create", "conf.db", schema); err != nil {
			return "", err
		}
		if _, err := o.start("ovsdb-server", "conf.db", "--remote=p"+db, "--unixctl="+filepath.Join(dir, "db.ctl"), "--log-file"); err != nil {
			return "", err
		}
		ctl := func(args ...string) error {
			return o.run("ovs-vsctl", append([]string{"--db=" + db, "--timeout=10"}, args...)...)
		}
		if err := o.until(func() error { return ctl("--no-wait", "init") }); err != nil {
			return "", err
		}
		pid, err := o.start("ovs-vswitchd", db, "--unixctl="+filepath.Join(dir, "vs.ctl"), "--log-file", "--disable-system")
		if err != nil {
			return "", err
		}
		add := strings.Fields("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=standalone -- add-port br0 r0 -- add-port br0 r1")
		if mirror {
			port, _ := where(d)
			column := map[models.Direction]string{models.Rx: "select-src-port", models.Tx: "select-dst-port"}[d]
			add = append(add, strings.Fields("-- add-port br0 m0 -- --id=@s get port "+port+" -- --id=@o get port m0"+
				" -- --id=@m create mirror name=bench "+column+"=@s output-port=@o -- set bridge br0 mirrors=@m")...)
		}
		if err := ctl(add...); err != nil {
			return "", err
		}
		b.frame = b.udp("d0")
		b.switched, b.helper = true, []int{pid}
		// The first frames teach the switch the flow.
		return "", o.until(func() error {
			if s := b.push(10, func() time.Duration { return 0 }); s.delivered < 10 || mirror && s.copies < 10 {
				return fmt.Errorf("of 10 frames the switch delivered %d and copied %d", s.delivered, s.copies)
			}
			return o.pinAll(pid)
		})
	}
}

// ovs are the daemons of one bed, with files and sockets of their own.
type ovs struct {
	b   *bed
	dir string
}

func (o ovs) environment() []string {
	out := os.Environ()
	for _, name := range []string{"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"} {
		out = append(out, name+"="+o.dir)
	}
	return out
}

func (o ovs) command(name string, args ...string) (*exec.Cmd, *strings.Builder) {
	cmd, text := exec.Command(name, args...), new(strings.Builder)
	cmd.Dir, cmd.Env, cmd.Stderr = o.dir, o.environment(), text
	return cmd, text
}

func (o ovs) run(name string, args ...string) error {
	return o.b.host.Do(func() error {
		cmd, text := o.command(name, args...)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(text.String()))
		}
		return nil
	})
}

// start starts a daemon of ours, which ends with the bed.
func (o ovs) start(name string, args ...string) (pid int, err error) {
	cmd, _ := o.command(name, args...)
	if err := o.b.host.Do(cmd.Start); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	o.b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	})
	return cmd.Process.Pid, nil
}

func (o ovs) until(f func() error) (err error) {
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

func (o ovs) pinAll(pid int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			if err := pin(id, besideOn); err != nil {
				return err
			}
		}
	}
	return nil
}
