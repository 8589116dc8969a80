package eos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// Feature is something that only some platforms have. See Options.Unsupported.
type Feature string

// Features that can be missing.
const (
	FeatureGRE                 Feature = "gre"                  // destination tunnel mode gre
	FeatureGREKey              Feature = "gre-key"              // its key option
	FeatureTruncate            Feature = "truncate"             // truncate, with and without size
	FeatureTruncateSize        Feature = "truncate-size"        // truncate size N
	FeatureSample              Feature = "sample"               // sample
	FeatureRateLimit           Feature = "rate-limit"           // rate-limit
	FeatureHeaderRemove        Feature = "header-remove"        // header remove
	FeatureGREMetadata         Feature = "gre-metadata"         // encapsulation gre metadata tx
	FeatureACL                 Feature = "acl"                  // any access-group
	FeatureSourceACL           Feature = "source-acl"           // an access-group of a source
	FeatureIPv6ACL             Feature = "ipv6-acl"             // ipv6 access-group
	FeatureMACACL              Feature = "mac-acl"              // mac access-group
	FeatureTx                  Feature = "tx"                   // directions tx and both
	FeatureCPUDestination      Feature = "cpu-destination"      // destination Cpu
	FeatureLAGDestination      Feature = "lag-destination"      // destination Port-Channel
	FeatureLAGSource           Feature = "lag-source"           // source Port-Channel
	FeatureSeveralDestinations Feature = "several-destinations" // more than one destination in a session
)

var features = []Feature{
	FeatureGRE, FeatureGREKey, FeatureTruncate, FeatureTruncateSize, FeatureSample, FeatureRateLimit, FeatureHeaderRemove,
	FeatureGREMetadata, FeatureACL, FeatureSourceACL, FeatureIPv6ACL, FeatureMACACL, FeatureTx, FeatureCPUDestination,
	FeatureLAGDestination, FeatureLAGSource, FeatureSeveralDestinations,
}

// Options describe a device. Hostname, Switch and Users are needed.
type Options struct {
	Hostname string
	// Switch is what the configuration drives. Its port names must be EOS names
	// (Ethernet1, Ethernet1/2). It is reconfigured as a whole by New and by every
	// change of the running configuration, and must not be configured by others.
	Switch *fabric.Switch
	// Users and their passwords.
	Users map[string]string
	// PublicKeys that log a user in, in authorized_keys form without options.
	PublicKeys map[string][]ssh.PublicKey
	// EnableSecret is asked by "enable"; empty means that none is.
	EnableSecret string
	// LoginPrivilege 15 logs in at the # prompt, as users of privilege 15 with exec
	// authorization do; anything less at the > prompt.
	LoginPrivilege int
	// StartupConfig is loaded by New; a line that EOS would refuse fails New.
	StartupConfig string
	// MaxSessions limits the monitor sessions of the running configuration; 0 = no
	// limit. Whether EOS refuses the one too many, and how, is unverified.
	MaxSessions int
	// MaxPending limits the pending configuration sessions; 0 = 5, which is what
	// EOS shows by default.
	MaxPending int
	// OneSessionPerDestination refuses a destination port in two sessions. Off by
	// default, because the vendor's own example configuration has one.
	OneSessionPerDestination bool
	// Unsupported features are refused as not supported by the hardware.
	Unsupported []Feature
	// TruncateSize is what "truncate" without a size keeps; 0 = 128 (unverified:
	// depends on the platform).
	TruncateSize int
	// KeepSourceLines prints monitor sources line by line as they were typed instead
	// of one line for all interfaces with equal attributes.
	KeepSourceLines bool
	// RTT is added to everything that arrives from a client.
	RTT time.Duration
	// Banner is shown before the password is asked, MOTD after login.
	Banner, MOTD string
	// HostKey identifies the SSH server; nil = one key for the whole process.
	HostKey ssh.Signer
	// Clock drives commit timers and times shown; nil = the system's.
	Clock Clock
	// Model, Version and Serial are what "show version" says. Empty: "cEOSLab",
	// "4.32.0F" and a number made of the host name.
	Model, Version, Serial string
	// Management is the name of the management interface; empty = "Management1".
	Management string
	// Neighbor says what LLDP learns at the far end of a cable; ok false for ends
	// that do not speak LLDP. nil = every end speaks, under its names in the fabric.
	Neighbor func(end fabric.End) (device, port string, ok bool)
}

// Device is a simulated switch's management plane. All its methods may be called
// from several goroutines.
type Device struct {
	opts   Options
	clock  Clock
	server *sshd.Server
	booted time.Time

	mu       sync.Mutex
	running  *config
	startup  string // as "show startup-config" prints it
	sessions map[string]*session
	order    []string          // names of sessions in the order of their making
	armed    *session          // the session with a running commit timer
	serial   int               // of unnamed sessions, terminals and connections
	users    map[*cli]struct{} // shells and commands that run now
	wire     []WireLine
	faults   fault.Set
}

// New makes a device and configures its switch from the startup configuration.
func New(o Options) (*Device, error) {
	if o.Hostname == "" || o.Switch == nil || len(o.Users) == 0 && len(o.PublicKeys) == 0 {
		return nil, errors.New("eos: a host name, a switch and a user are needed")
	}
	for _, f := range o.Unsupported {
		if !slices.Contains(features, f) {
			return nil, fmt.Errorf("eos: no feature %q", f)
		}
	}
	o.defaults()
	d := &Device{opts: o, clock: o.Clock, booted: o.Clock.Now(), faults: newFaults(), sessions: map[string]*session{}, users: map[*cli]struct{}{}}
	ports := o.Switch.Ports()
	for _, p := range ports {
		if names, used := parseInterfaces([]string{p}); used != 1 || len(names) != 1 || names[0] != p || !strings.HasPrefix(p, "Ethernet") {
			return nil, fmt.Errorf("eos: %s: port %q is no EOS name", o.Hostname, p)
		}
	}
	d.running = newConfig(ports, o.Management)
	d.running.hostname = o.Hostname
	c, err := d.load(d.running.clone(), o.StartupConfig)
	if err != nil {
		return nil, err
	}
	if why := c.conflict(&d.opts); why != "" {
		return nil, fmt.Errorf("eos: %s: startup configuration: %s", o.Hostname, why)
	}
	if err := d.activate(c); err != nil {
		return nil, fmt.Errorf("eos: %s: startup configuration: %w", o.Hostname, err)
	}
	if o.StartupConfig != "" {
		d.startup = d.configText("show startup-config", d.running)
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
	set(&o.Model, "cEOSLab")
	set(&o.Version, "4.32.0F")
	set(&o.Serial, serialOf(o.Hostname))
	set(&o.Management, "Management1")
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.MaxPending == 0 {
		o.MaxPending = 5
	}
	if o.TruncateSize == 0 {
		o.TruncateSize = 128
	}
}

// Serve accepts SSH connections on l until ctx ends or Close is called, and
// closes l.
func (d *Device) Serve(ctx context.Context, l net.Listener) error { return d.server.Serve(ctx, l) }

// Close cuts all connections and stops a running commit timer without rolling
// back.
func (d *Device) Close() {
	d.server.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed != nil {
		d.armed.stop()
		d.armed = nil
	}
}

// Hostname returns the host name that prompts show now.
func (d *Device) Hostname() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hostname()
}

func (d *Device) hostname() string {
	if d.running.hostname == "" {
		return "localhost"
	}
	return d.running.hostname
}

// RunningConfig returns the running configuration as "show running-config" prints
// it, header and "end" included.
func (d *Device) RunningConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.configText("show running-config", d.running)
}

// StartupConfig returns what the device would boot with; empty if nothing was
// ever saved.
func (d *Device) StartupConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.startup
}

// Configure enters configuration lines as a person at the console would in
// "configure terminal": for tests that need a stranger's change. It stops at the
// first line that is refused.
func (d *Device) Configure(lines ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.load(d.running.clone(), strings.Join(lines, "\n"))
	if err != nil {
		return err
	}
	if why := c.conflict(&d.opts); why != "" {
		return fmt.Errorf("eos: %s: %s", d.opts.Hostname, why)
	}
	return d.activate(c)
}

// activate makes c the running configuration, at once and as a whole. With an
// error nothing has changed. d.mu is held, except by New.
func (d *Device) activate(c *config) error {
	if err := d.opts.Switch.Configure(c.fabricConfig(d.opts.TruncateSize)); err != nil {
		return err
	}
	d.running = c
	return nil
}

// load applies lines to c as configuration mode would and returns the result.
func (d *Device) load(c *config, text string) (*config, error) {
	x := &cli{d: d, priv: 15}
	x.modes = []mode{{kind: modeConfig, scratch: &c}}
	for i, line := range strings.Split(text, "\n") {
		if len(x.modes) == 0 { // behind "end"
			if l := strings.TrimSpace(line); l != "" && l[0] != '!' {
				return nil, fmt.Errorf("eos: %s: line %d: %q: behind the end", d.opts.Hostname, i+1, line)
			}
			continue
		}
		if out := x.run(strings.TrimRight(line, "\r")); strings.HasPrefix(out, "%") {
			return nil, fmt.Errorf("eos: %s: line %d: %q: %s", d.opts.Hostname, i+1, line, strings.TrimSpace(out))
		}
	}
	if out := x.leaveAll(); out != "" {
		return nil, fmt.Errorf("eos: %s: %s", d.opts.Hostname, strings.TrimSpace(out))
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

// configText prints a configuration with the header of the command that asked.
//
// "! device:" as in oxidized's recording of a 7050SX3; the Command line as in
// eAPI answers. "end" closes it.
func (d *Device) configText(command string, c *config) string {
	return fmt.Sprintf("! Command: %s\n! device: %s (%s, EOS-%s)\n!\n%send\n",
		command, d.hostname(), d.opts.Model, d.opts.Version, c.render(d.opts.KeepSourceLines))
}
