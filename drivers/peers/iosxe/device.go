package iosxe

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// Options describe a device. Hostname, Switch and Users are needed.
type Options struct {
	Hostname string
	// Switch is what the configuration drives. Its port names must be full IOS names
	// (GigabitEthernet1/0/1). It is reconfigured as a whole by New and by every line,
	// and must not be configured by others.
	Switch *fabric.Switch
	// Router makes it a router: routed ports, session numbers up to 1024, sessions
	// with a type only, "type local" among them.
	Router bool
	// Users and their passwords.
	Users map[string]string
	// PublicKeys that log a user in.
	PublicKeys map[string][]ssh.PublicKey
	// EnableSecret is asked by "enable"; empty means that none is.
	EnableSecret string
	// LoginPrivilege 15 logs in at the # prompt, anything less at the > prompt.
	LoginPrivilege int
	// StartupConfig is loaded by New; a line that is refused fails New.
	StartupConfig string
	// Archive configures an archive at boot ("archive", "path flash:archive"), as
	// "configure terminal revert" needs it. A StartupConfig may have one of its own.
	Archive bool
	// ChangeComments prints "! Last configuration change at ..." into the
	// configuration, as real devices do once something was changed. Off, the running
	// configuration depends on what is configured only.
	ChangeComments bool
	// Limits of sessions and ports.
	Limits Limits
	// HeaderTypeIII accepts "header-type 3". Off by default: the captured Catalyst 9000
	// supports type II only.
	HeaderTypeIII bool
	// HideShutdown prints no line for a session that is shut, as devices do with
	// defaults. Off, it prints "shutdown" (batfish's example has that line). Which of them
	// IOS-XE does is unverified, so that a reader must understand both.
	HideShutdown bool
	// RTT is added to everything that arrives from a client.
	RTT time.Duration
	// Banner is shown before the password is asked, MOTD after login.
	Banner, MOTD string
	// HostKey identifies the SSH server; nil = one key for the whole process.
	HostKey ssh.Signer
	// Clock drives the revert timer and the times shown; nil = the system's.
	Clock Clock
	// Model, Version and Serial are what "show version" says. Empty: "C9KV-UADP-8P" (a
	// router: "C8000V"), "17.09.04a" and a number made of the host name.
	Model, Version, Serial string
	// Neighbor says what LLDP learns at the far end of a cable; ok false for ends that
	// do not speak LLDP. nil = every end speaks, under its names in the fabric.
	Neighbor func(end fabric.End) (device, port string, ok bool)
}

// Device is a simulated switch's management plane. All its methods may be called
// from several goroutines.
type Device struct {
	opts   Options
	clock  Clock
	server *sshd.Server
	booted time.Time

	mu      sync.Mutex
	running *config
	startup string // the configuration of "show startup-config"; "" = none
	changed stamp  // of the running configuration
	saved   stamp
	revert  *revert // a change that waits to be confirmed
	backups int     // files written by revert timers
	serial  int     // of shells and commands
	wire    []WireLine
	faults  fault.Set
}

// stamp is when and by whom something was done; by nobody means never.
type stamp struct {
	at time.Time
	by string
}

// New makes a device and configures its switch from the startup configuration.
func New(o Options) (*Device, error) {
	if o.Hostname == "" || o.Switch == nil || len(o.Users)+len(o.PublicKeys) == 0 {
		return nil, errors.New("iosxe: a host name, a switch and a user are needed")
	}
	o.defaults()
	d := &Device{opts: o, clock: o.Clock, booted: o.Clock.Now(), faults: newFaults()}
	ports := o.Switch.Ports()
	for _, p := range ports {
		if name, used := parsePort([]token{{text: p}}); used != 1 || name != p || !isFront(p) {
			return nil, fmt.Errorf("iosxe: %s: port %q is no IOS name", o.Hostname, p)
		}
	}
	d.running = newConfig(ports, o.Router)
	d.running.hideShutdown = o.HideShutdown
	d.running.hostname = o.Hostname
	if o.Archive {
		d.running.archive.path = "flash:archive"
	}
	c, err := d.load(o.StartupConfig)
	if err != nil {
		return nil, err
	}
	if err := d.activate(c, ""); err != nil {
		return nil, fmt.Errorf("iosxe: %s: startup configuration: %w", o.Hostname, err)
	}
	if o.StartupConfig != "" {
		d.startup = d.configText()
	}
	d.server, err = sshd.New(sshd.Config{
		HostKey:   o.HostKey,
		Password:  d.password,
		PublicKey: d.publicKey,
		Banner:    o.Banner,
		Latency:   func() time.Duration { return o.RTT },
		Admit:     d.admit,
		Handler:   d.handle,
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (o *Options) defaults() {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&o.Model, map[bool]string{false: "C9KV-UADP-8P", true: "C8000V"}[o.Router])
	set(&o.Version, "17.09.04a")
	sum := sha256.Sum256([]byte(o.Hostname))
	set(&o.Serial, strings.ToUpper(fmt.Sprintf("9%x", sum[:5])))
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	o.Limits.defaults()
}

// Serve accepts SSH connections on l until ctx ends or Close is called, and closes l.
func (d *Device) Serve(ctx context.Context, l net.Listener) error { return d.server.Serve(ctx, l) }

// Close cuts all connections and stops a running revert timer without reverting.
func (d *Device) Close() {
	d.server.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disarm()
}

// Hostname returns the host name that prompts show now.
func (d *Device) Hostname() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hostname()
}

func (d *Device) hostname() string {
	if d.running.hostname == "" {
		return map[bool]string{false: "Switch", true: "Router"}[d.opts.Router]
	}
	return d.running.hostname
}

// RunningConfig returns the running configuration as "show running-config" prints it,
// from "Building configuration..." to "end".
func (d *Device) RunningConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shownConfig()
}

// StartupConfig returns what the device would boot with; empty if nothing was saved.
func (d *Device) StartupConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.startup
}

// Configure enters configuration lines as a person at the console would: for tests
// that need a stranger's change. At the first line that is refused it returns an
// error, and nothing has changed.
func (d *Device) Configure(lines ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.load(strings.Join(lines, "\n"))
	if err != nil {
		return err
	}
	return d.activate(c, "console")
}

// activate makes c the running configuration, at once and as a whole. With an error
// nothing has changed. d.mu is held, except by New.
func (d *Device) activate(c *config, by string) error {
	if err := d.opts.Switch.Configure(c.fabricConfig(&d.opts)); err != nil {
		return err
	}
	d.running = c
	d.changed = stamp{d.clock.Now(), by}
	return nil
}

// load applies configuration lines to a copy of the running configuration.
func (d *Device) load(text string) (*config, error) {
	c := d.running.clone()
	x := &cli{d: d, priv: 15, scratch: c, modes: []mode{{kind: modeGlobal}}}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		header := strings.HasPrefix(trimmed, "Building configuration") || strings.HasPrefix(trimmed, "Current configuration")
		if trimmed == "" || trimmed[0] == '!' || header {
			continue
		}
		if len(x.modes) == 0 {
			return nil, fmt.Errorf("iosxe: %s: line %d: %q: behind the end", d.opts.Hostname, i+1, line)
		}
		if out := x.run(line); out.refused {
			return nil, fmt.Errorf("iosxe: %s: line %d: %q: %s", d.opts.Hostname, i+1, line, strings.TrimSpace(out.text))
		}
	}
	return c, nil
}

func (d *Device) password(user, password string) bool {
	want, ok := d.opts.Users[user]
	return sshd.EqualSecret(want, password) && ok
}

func (d *Device) publicKey(user string, key ssh.PublicKey) bool {
	for _, k := range d.opts.PublicKeys[user] {
		if string(k.Marshal()) == string(key.Marshal()) {
			return true
		}
	}
	return false
}

func (d *Device) admit(open int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Admit(open)
}

// configText is the running configuration from its first "!" to "end".
func (d *Device) configText() string {
	head := "!\n"
	if d.opts.ChangeComments && d.changed.by != "" {
		head += "! Last configuration change at " + d.changed.text() + "\n"
	}
	if d.opts.ChangeComments && d.saved.by != "" {
		head += "! NVRAM config last updated at " + d.saved.text() + "\n"
	}
	if head != "!\n" {
		head += "!\n"
	}
	return head + d.running.render(d.opts.Version)
}

// shownConfig is "show running-config". What exactly the device counts as bytes is
// unverified.
func (d *Device) shownConfig() string {
	text := d.configText()
	return fmt.Sprintf("Building configuration...\n\nCurrent configuration : %d bytes\n%s\n", len(text), text)
}

const clockLayout = "15:04:05 MST Mon Jan 2 2006"

func (s stamp) text() string { return s.at.UTC().Format(clockLayout) + " by " + s.by }
