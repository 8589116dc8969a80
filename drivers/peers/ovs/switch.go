package ovs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// programs are what must be there.
var programs = []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"}

// schemaFiles are where systems keep the schema of the database.
var schemaFiles = []string{"/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema"}

// Missing says what Open vSwitch lacks on this system to be run; "" when nothing does.
func Missing() string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return "no " + p + " (Debian: openvswitch-switch)"
		}
	}
	if schema() == "" {
		return "no " + schemaFiles[0]
	}
	return ""
}

func schema() string {
	for _, f := range schemaFiles {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return ""
}

// startTime bounds the start of a daemon, settleTime the way of a frame. Both are
// long: what they catch does not end at all.
const (
	startTime  = 20 * time.Second
	settleTime = 20 * time.Second
)

// Switch is a running Open vSwitch. Its methods may be called from several goroutines.
type Switch struct {
	dir     string
	daemons []*daemon
	ctl     *unixctl

	mu    sync.Mutex // over everything below: one exchange of frames at a time
	ports map[string]*port
	order []string
	sock  int // sockets made so far
	// planes is the number of NewPlane.
	planes int
}

// Start starts an Open vSwitch without bridges. ctx bounds only the call.
func Start(ctx context.Context) (*Switch, error) {
	if why := Missing(); why != "" {
		return nil, errors.New("Open vSwitch cannot be run: " + why)
	}
	// The paths of unix sockets have at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "ovs")
	if err != nil {
		return nil, err
	}
	s := &Switch{dir: dir, ports: make(map[string]*port)}
	if err := s.start(ctx); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "ovs-vswitchd.log"))
		return nil, errors.Join(fmt.Errorf("start Open vSwitch: %w\n%s", err, log), s.Close())
	}
	return s, nil
}

func (s *Switch) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	db := filepath.Join(s.dir, "conf.db")
	if _, err := s.run(ctx, "ovsdb-tool", "create", db, schema()); err != nil {
		return err
	}
	if err := s.daemon("ovsdb-server", db, "--remote=punix:"+filepath.Join(s.dir, "db.sock"), "--pidfile", "--log-file", "-vconsole:off"); err != nil {
		return err
	}
	// ovs-vsctl --retry would wait a second for what takes a few milliseconds.
	for {
		c, err := net.Dial("unix", filepath.Join(s.dir, "db.sock"))
		if err == nil {
			_ = c.Close()
			break
		}
		if pause(ctx) != nil {
			return fmt.Errorf("ovsdb-server does not listen: %w", err)
		}
	}
	if _, err := s.run(ctx, "ovs-vsctl", "--timeout=10", "--no-wait", "init"); err != nil {
		return err
	}
	return s.vswitchd(ctx)
}

// pause waits a moment, or less when ctx ends.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Millisecond):
		return nil
	}
}

// vswitchd starts ovs-vswitchd and waits until it answers.
func (s *Switch) vswitchd(ctx context.Context) error {
	if err := s.daemon("ovs-vswitchd", "--enable-dummy", "--disable-system", "--pidfile", "--log-file", "-vconsole:off"); err != nil {
		return err
	}
	for {
		ctl, err := s.dialControl(ctx)
		if err == nil {
			if _, err = ctl.call("version"); err == nil {
				s.ctl = ctl
				return nil
			}
			ctl.close()
		}
		if pause(ctx) != nil {
			return fmt.Errorf("ovs-vswitchd does not answer: %w", err)
		}
	}
}

// dialControl connects to ovs-vswitchd where ovs-appctl looks for it: the socket has
// the number of the process in its name.
func (s *Switch) dialControl(ctx context.Context) (*unixctl, error) {
	pid, err := os.ReadFile(filepath.Join(s.dir, "ovs-vswitchd.pid"))
	if err != nil {
		return nil, err
	}
	return dialUnixctl(ctx, filepath.Join(s.dir, "ovs-vswitchd."+strings.TrimSpace(string(pid))+".ctl"))
}

// daemon is a program that ends with this one, whatever that dies of.
type daemon struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
}

// untilEOF runs a program until its own standard input ends, as it does when whoever
// holds the other end of the pipe is gone.
const untilEOF = `"$@" & p=$!; cat >/dev/null; kill $p 2>/dev/null; wait $p`

func (s *Switch) daemon(name string, args ...string) error {
	cmd := exec.Command("sh", append([]string{"-c", untilEOF, "sh", name}, args...)...)
	cmd.Env, cmd.Dir = s.Env(), s.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.daemons = append(s.daemons, &daemon{name, cmd, in})
	return nil
}

func (d *daemon) stop() {
	_ = d.stdin.Close()
	_ = d.cmd.Wait()
}

// Stop ends one daemon, "ovs-vswitchd" or "ovsdb-server", as its death would. The rest
// goes on.
func (s *Switch) Stop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, d := range s.daemons {
		if d.name == name {
			d.stop()
			s.daemons = append(s.daemons[:i:i], s.daemons[i+1:]...)
			return
		}
	}
}

// Restart starts ovs-vswitchd again after Stop. Ports made by AddPorts before are of no
// more use to Exchange.
func (s *Switch) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	s.ctl.close()
	_ = os.Remove(filepath.Join(s.dir, "ovs-vswitchd.pid"))
	return s.vswitchd(ctx)
}

// Close ends the switch and removes what it kept.
func (s *Switch) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		p.close()
	}
	if s.ctl != nil {
		s.ctl.close()
	}
	for i := len(s.daemons) - 1; i >= 0; i-- {
		s.daemons[i].stop()
	}
	s.daemons = nil
	return os.RemoveAll(s.dir)
}

// Dir is the folder of the switch's sockets and database.
func (s *Switch) Dir() string { return s.dir }

// Env is the environment in which the commands of Open vSwitch are about this switch.
func (s *Switch) Env() []string {
	env := os.Environ()
	for _, k := range []string{"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"} {
		env = append(env, k+"="+s.dir)
	}
	return env
}

func (s *Switch) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = s.Env()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	if errs.Len() > 0 { // "Error detected while setting up ...", with status 0
		return "", fmt.Errorf("%s %s: %s", name, strings.Join(args, " "), strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Vsctl runs ovs-vsctl and gives what it prints.
func (s *Switch) Vsctl(args ...string) (string, error) {
	return s.run(context.Background(), "ovs-vsctl", append([]string{"--timeout=10"}, args...)...)
}

// Appctl gives the answer of ovs-vswitchd to an order, as ovs-appctl does.
func (s *Switch) Appctl(method string, params ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctl.call(method, params...)
}
