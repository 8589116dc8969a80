package nxos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/fault"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// Options describe a switch. Hostname, Switch and Users are needed.
type Options struct {
	Hostname string
	// Switch is what the configuration drives. Its ports must be named Ethernet1/1 and so
	// on. New and every line reconfigure it as a whole; nobody else may.
	Switch *fabric.Switch
	// Users and their passwords.
	Users map[string]string
	// PublicKeys that log a user in.
	PublicKeys map[string][]ssh.PublicKey
	// StartupConfig is loaded by New; a line that is refused fails New.
	StartupConfig string
	// Limits of sessions.
	Limits Limits
	// RTT is added to everything that arrives from a client.
	RTT time.Duration
	// Banner is shown before the password is asked, MOTD after login; empty MOTD = NX-OS's own.
	Banner, MOTD string
	// HostKey identifies the SSH server; nil = one key for the whole process.
	HostKey ssh.Signer
	// Clock for the times shown; nil = the system's.
	Clock eos.Clock
	// Model and Version are what "show version" says. Empty: "C93180YC-EX", "9.3(10)".
	Model, Version string
	// Neighbor says what LLDP learns at the far end of a cable; ok false for ends that
	// do not speak LLDP. nil = every end speaks, under its names in the fabric.
	Neighbor func(end fabric.End) (device, port string, ok bool)
}

// Limits of a switch. 0 is the default that stands with a field, a negative number no limit.
type Limits struct {
	// Active sessions; 0 = 4: "a single forwarding engine instance supports four SPAN
	// sessions" (Nexus 9000 SPAN guide).
	Active int
	// Bidirectional sessions beside which one more may only watch rx; 0 = 3 (the same
	// guide, Nexus 9300).
	Bidirectional int
	// MTUMin and MTUMax bound "mtu" of a session; 0 = 320 and 1518 (the same guide, 9300-EX).
	MTUMin, MTUMax int
}

// Device is a simulated switch's management plane. Its methods may be called from
// several goroutines.
type Device struct {
	opts   Options
	front  []string // ports of the packet model
	server *sshd.Server
	booted time.Time

	mu          sync.Mutex
	running     *config
	startup     *config // nil: nothing was saved
	checkpoints map[string]checkpoint
	serial      int // of shells and commands
	wire        []eos.WireLine
	faults      fault.Set
}

type systemClock struct{}

func (systemClock) Now() time.Time                                { return time.Now() }
func (systemClock) AfterFunc(d time.Duration, f func()) eos.Timer { return time.AfterFunc(d, f) }

// New makes a switch and configures the packet model from the startup configuration.
func New(o Options) (*Device, error) {
	if o.Hostname == "" || o.Switch == nil || len(o.Users)+len(o.PublicKeys) == 0 {
		return nil, errors.New("nxos: a host name, a switch and a user are needed")
	}
	o.Model, o.Version = cmp.Or(o.Model, "C93180YC-EX"), cmp.Or(o.Version, "9.3(10)")
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	l := &o.Limits
	l.Active, l.Bidirectional, l.MTUMin, l.MTUMax = cmp.Or(l.Active, 4), cmp.Or(l.Bidirectional, 3), cmp.Or(l.MTUMin, 320), cmp.Or(l.MTUMax, 1518)
	d := &Device{opts: o, front: o.Switch.Ports(), booted: o.Clock.Now(), checkpoints: map[string]checkpoint{}, faults: newFaults()}
	for _, p := range d.front {
		if fullName(p) != p || !isFront(p) {
			return nil, fmt.Errorf("nxos: %s: port %q is not named as on NX-OS", o.Hostname, p)
		}
	}
	d.running = newConfig(d.front)
	d.running.hostname = o.Hostname
	c, err := d.load(o.StartupConfig)
	if err == nil {
		err = d.activate(c)
	}
	if err != nil {
		return nil, fmt.Errorf("nxos: %s: startup configuration: %w", o.Hostname, err)
	}
	if o.StartupConfig != "" {
		d.startup = c
	}
	d.server, err = sshd.New(sshd.Config{
		HostKey: o.HostKey,
		Password: func(user, password string) bool {
			want, ok := o.Users[user]
			return sshd.EqualSecret(want, password) && ok
		},
		PublicKey: d.publicKey,
		Banner:    o.Banner,
		Latency:   func() time.Duration { return o.RTT },
		Admit:     d.admit,
		Handler:   d.handle,
	})
	return d, err
}

func (d *Device) publicKey(user string, key ssh.PublicKey) bool {
	return slices.ContainsFunc(d.opts.PublicKeys[user], func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) })
}

// Serve accepts SSH connections on l until ctx ends or Close is called, and closes l.
func (d *Device) Serve(ctx context.Context, l net.Listener) error { return d.server.Serve(ctx, l) }

// Close cuts all connections.
func (d *Device) Close() { d.server.Close() }

// Hostname returns the host name that prompts show now.
func (d *Device) Hostname() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running.hostname
}

// RunningConfig returns the running configuration as "show running-config" prints it
// from the version line on: without the command and the time above, which never repeat.
func (d *Device) RunningConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running.render(d.version())
}

// StartupConfig is what the switch would boot with, as RunningConfig has it; empty if
// nothing was saved.
func (d *Device) StartupConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.startup == nil {
		return ""
	}
	return d.startup.render(d.version())
}

// Checkpoints returns the names of the checkpoints that are there.
func (d *Device) Checkpoints() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.checkpoints))
}

// version is the first line of configurations (recorded of a Nexus 9300; the BIOS is made up).
func (d *Device) version() string { return "version " + d.opts.Version + " Bios:version 07.69 " }

// Configure enters configuration lines as a person at the console would. At the first
// line that is refused it returns an error, and nothing has changed.
func (d *Device) Configure(lines ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.load(strings.Join(lines, "\n"))
	if err != nil {
		return fmt.Errorf("nxos: %s: %w", d.opts.Hostname, err)
	}
	return d.activate(c)
}

// activate makes c the running configuration. With an error nothing has changed. d.mu is
// held, except by New.
func (d *Device) activate(c *config) error {
	if err := d.opts.Switch.Configure(c.fabricConfig(d.front, d.opts.Limits)); err != nil {
		return err
	}
	d.running = c
	return nil
}

// load applies configuration lines to a copy of the running configuration. Commands of
// exec mode are refused.
func (d *Device) load(text string) (*config, error) {
	c := d.running.clone()
	x := &cli{d: d, scratch: c, modes: []mode{{kind: modeGlobal}}}
	for i, line := range strings.Split(text, "\n") {
		toks := tokenize(line)
		if len(toks) == 0 {
			continue
		}
		if len(x.modes) == 0 {
			return nil, fmt.Errorf("line %d: %q: behind the end", i+1, line)
		}
		out := x.run(line)
		if _, _, why := execGrammar.match(toks, x.exists); why == nil && toks[0].text != "exit" && toks[0].text != "end" {
			out = x.complain(badCommand, 0)
		}
		if out.refused {
			return nil, fmt.Errorf("line %d: %q: %s", i+1, line, strings.TrimSpace(out.text))
		}
	}
	return c, nil
}

// MonitorSession is a session of the running configuration as the switch understands it.
type MonitorSession struct {
	Number       int
	Type         string // local, erspan-source, erspan-destination
	Description  string
	Enabled      bool   // no shut
	Down         string // why no copies are made, in words of "show monitor"; "" = up
	Sources      []MonitorSource
	Destinations []MonitorDestination
	FilterVLANs  []int
	FilterACL    string
	MTU          int     // 0 = whole frames
	ERSPAN       *ERSPAN // nil for local sessions
}

// MonitorDestination is a port that copies come out of.
type MonitorDestination struct {
	Interface string // full name
	Ready     bool   // it has "switchport monitor"
}

// MonitorSource is a watched interface, or a VLAN; the other one is zero.
type MonitorSource struct {
	Interface string // full name
	VLAN      int
	Direction string // rx, tx, both
}

// ERSPAN is the tunnel of a session; what is not configured is zero, but for the TTL.
type ERSPAN struct {
	ID              int
	VRF             string
	Address, Origin netip.Addr
	TTL, DSCP       int
	HeaderType      int // 2 or 3
}

// MonitorSessions returns the sessions by number.
func (d *Device) MonitorSessions() []MonitorSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []MonitorSession
	for _, n := range slices.Sorted(maps.Keys(d.running.sessions)) {
		s := d.running.sessions[n]
		t := MonitorSession{
			Number: n, Type: s.kind, Description: s.description, Enabled: s.up, Down: d.state(n), FilterVLANs: slices.Clone(s.filterVLANs), FilterACL: s.filterACL, MTU: s.mtu,
		}
		for _, p := range s.destinationPorts() {
			t.Destinations = append(t.Destinations, MonitorDestination{p, d.running.ports[p].monitor})
		}
		for _, p := range s.ports(0) {
			t.Sources = append(t.Sources, MonitorSource{Interface: p, Direction: s.sources[p].String()})
		}
		for _, v := range s.vlanIDs(0) {
			t.Sources = append(t.Sources, MonitorSource{VLAN: v, Direction: s.vlans[v].String()})
		}
		if s.kind != typeLocal {
			t.ERSPAN = &ERSPAN{
				ID: s.erspanID, VRF: s.vrf, Address: s.address, Origin: d.running.origin, TTL: s.shownTTL(), DSCP: max(s.dscp, 0), HeaderType: max(s.headerType, 2),
			}
		}
		out = append(out, t)
	}
	return out
}
