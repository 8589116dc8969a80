package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

// dialer connects to devices as the inventory says.
type dialer struct {
	app  *app
	site *site

	mu       sync.Mutex
	hostKeys map[string]*ssh.HostKeys // by policy and file: one is shared by many devices
	logins   map[string]inventory.Login

	lacking       hostmirror.Lacking                      // what this host's kernel has turned out to lack
	remoteLacking map[models.DeviceID]*hostmirror.Lacking // and those of hosts reached by ssh
}

func (a *app) newDialer(s *site) (*dialer, error) {
	return &dialer{app: a, site: s, hostKeys: make(map[string]*ssh.HostKeys), logins: make(map[string]inventory.Login),
		remoteLacking: make(map[models.DeviceID]*hostmirror.Lacking)}, nil
}

// open is the engine's Opener.
func (d *dialer) open(ctx context.Context, dev models.DeviceID) (drivers.Driver, error) {
	acc, err := d.site.inv.Access(dev)
	if err != nil {
		return nil, err
	}
	p, err := d.site.registry.Platform(acc.Platform)
	if err != nil {
		return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseConnect, Kind: drivers.Unsupported, Err: err}
	}
	if p.Local != nil {
		if acc.Transport == "ssh" {
			return d.remote(ctx, acc)
		}
		return d.local(ctx, acc)
	}
	if acc.Transport != "" && acc.Transport != "ssh" {
		return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseConnect, Kind: drivers.Unsupported,
			Err: fmt.Errorf("transport %q is not there for %s", acc.Transport, p.Name), Hint: "use ssh"}
	}
	dialect := p.Dialect()
	if p.Commands {
		return d.commands(ctx, dev, acc, dialect)
	}
	cli, ok := dialect.(interface{ Profile() *transport.Profile })
	if !ok {
		return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseConnect, Kind: drivers.Unsupported,
			Err: fmt.Errorf("%s has no command line profile", p.Name)}
	}
	opts, err := d.options(ctx, dev, acc, cli.Profile())
	if err != nil {
		return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseConnect, Kind: transport.Auth, Err: err}
	}
	conn, err := ssh.Dial(ctx, opts)
	if err != nil {
		return nil, drivers.WrapError(dev, drivers.PhaseConnect, err)
	}
	return drivers.Compose(dev, dialect, conn), nil
}

// commands opens a host that is spoken to by commands.
func (d *dialer) commands(ctx context.Context, dev models.DeviceID, acc inventory.Access, dialect drivers.Dialect) (drivers.Driver, error) {
	opts, err := d.options(ctx, dev, acc, nil)
	if err != nil {
		return nil, &drivers.Error{Device: dev, Phase: drivers.PhaseConnect, Kind: transport.Auth, Err: err}
	}
	run, err := ssh.DialExec(ctx, opts)
	if err != nil {
		return nil, drivers.WrapError(dev, drivers.PhaseConnect, err)
	}
	return drivers.Compose(dev, dialect, transport.Commands{Runner: run}), nil
}

// local opens this host's kernel. Names of sessions, and of the ports in containers and
// other network namespaces that they were asked for with, are known from the records:
// the kernel keeps only a hash.
func (d *dialer) local(ctx context.Context, acc inventory.Access) (drivers.Driver, error) {
	if acc.Transport != "" && acc.Transport != "local" {
		return nil, &drivers.Error{Device: acc.Device, Phase: drivers.PhaseConnect, Kind: drivers.Unsupported,
			Err: fmt.Errorf("a Linux host is reached by transport local or ssh, not by %s", acc.Transport), Hint: "use ssh, or run spanctl on the host itself"}
	}
	records, err := d.site.store.Records(ctx, acc.Device)
	if err != nil {
		return nil, err
	}
	o := hostmirror.HostOptions{Options: hostmirror.Options{Device: acc.Device, Namespace: namespace(acc.Address), Lacking: &d.lacking, Logger: d.app.set.log}}
	for _, r := range records {
		o.Sessions = append(o.Sessions, r.Session)
	}
	return hostmirror.OpenHost(ctx, o)
}

// remote opens a Linux host that is reached by SSH and on which spanctl need not be.
func (d *dialer) remote(ctx context.Context, acc inventory.Access) (drivers.Driver, error) {
	fail := func(kind transport.Kind, err error, hint string) error {
		return &drivers.Error{Device: acc.Device, Phase: drivers.PhaseConnect, Kind: kind, Err: err, Hint: hint}
	}
	if namespace(acc.Address) != "" {
		return nil, fail(drivers.Unsupported, fmt.Errorf("the address %s is a network namespace of this host, and transport ssh asks for another", acc.Address),
			"use transport local, or the host's address")
	}
	records, err := d.site.store.Records(ctx, acc.Device)
	if err != nil {
		return nil, err
	}
	opts, err := d.options(ctx, acc.Device, acc, nil)
	if err != nil {
		return nil, fail(transport.Auth, err, "")
	}
	run, err := ssh.DialExec(ctx, opts)
	if err != nil {
		return nil, drivers.WrapError(acc.Device, drivers.PhaseConnect, err)
	}
	o := hostmirror.Options{Device: acc.Device, Sudo: acc.Become == "sudo", Lacking: d.lackingOf(acc.Device), Logger: d.app.set.log}
	for _, r := range records {
		o.Known = append(o.Known, r.Session.Name)
	}
	m, err := hostmirror.OpenRemote(ctx, o, run)
	if err != nil {
		return nil, errors.Join(err, run.Close())
	}
	return m, nil
}

// lackingOf is what a remote host's kernel has turned out to lack.
func (d *dialer) lackingOf(dev models.DeviceID) *hostmirror.Lacking {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.remoteLacking[dev]
	if !ok {
		l = new(hostmirror.Lacking)
		d.remoteLacking[dev] = l
	}
	return l
}

// namespace gives the path of the network namespace that a local device's address
// names: netns:NAME as ip netns has it, or a path. Any other address means the one
// that spanctl runs in.
func namespace(address string) string {
	if name, ok := strings.CutPrefix(address, "netns:"); ok {
		return "/run/netns/" + name
	}
	if strings.HasPrefix(address, "/") {
		return address
	}
	return ""
}

func (d *dialer) options(ctx context.Context, dev models.DeviceID, acc inventory.Access, profile *transport.Profile) (ssh.Options, error) {
	o := ssh.Options{Device: string(dev), Profile: profile, Logger: d.app.set.log,
		ConnectTimeout: orDefault(acc.ConnectTimeout, d.app.set.ConnectTimeout),
		StepTimeout:    orDefault(acc.CommandTimeout, d.app.set.Timeout),
		KeepAlive:      30 * time.Second,
	}
	var err error
	if o.Endpoint, err = d.endpoint(ctx, acc.Address, acc.Port, acc.Credential, acc.HostKey); err != nil {
		return o, err
	}
	o.Legacy = acc.LegacyAlgorithms
	for _, j := range acc.Jump {
		e, err := d.endpoint(ctx, j.Address, j.Port, j.Credential, j.HostKey)
		if err != nil {
			return o, fmt.Errorf("jump host %s: %w", j.Name, err)
		}
		o.Jumps = append(o.Jumps, e)
	}
	return o, nil
}

func (d *dialer) endpoint(ctx context.Context, address string, port uint16, cred inventory.Credential, hk inventory.HostKey) (ssh.Endpoint, error) {
	if port == 0 {
		port = 22
	}
	e := ssh.Endpoint{Address: net.JoinHostPort(address, strconv.Itoa(int(port)))}
	login, err := d.login(ctx, cred)
	if err != nil {
		return e, err
	}
	e.User = login.Username
	if e.User == "" {
		e.User = userName()
	}
	if login.KeyFile != "" {
		e.Auth.PrivateKey = func(context.Context) (string, error) {
			b, err := os.ReadFile(login.KeyFile)
			return string(b), err
		}
		if !login.Passphrase.IsZero() {
			e.Auth.Passphrase = reveal(login.Passphrase)
		}
	}
	if !login.Password.IsZero() {
		e.Auth.Password = reveal(login.Password)
	}
	if login.Agent {
		e.Auth.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
		if e.Auth.AgentSocket == "" {
			return e, errors.New("the SSH agent is asked for, and SSH_AUTH_SOCK names none")
		}
	}
	e.HostKeys, err = d.keys(hk)
	return e, err
}

func reveal(s inventory.Secret) ssh.Secret {
	return func(context.Context) (string, error) { return s.Reveal(), nil }
}

// login follows a credential's references, once for all devices that share it by
// name.
func (d *dialer) login(ctx context.Context, c inventory.Credential) (inventory.Login, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.logins[c.Name]; ok && c.Name != "" {
		return l, nil
	}
	l, err := c.Resolve(ctx)
	if err != nil {
		return l, fmt.Errorf("credentials: %w", err)
	}
	for _, w := range l.Warnings {
		d.app.set.log.Warn(w)
	}
	if c.Name != "" {
		d.logins[c.Name] = l
	}
	return l, nil
}

// keys gives the known host keys for a device: its own settings, else the tool's.
func (d *dialer) keys(hk inventory.HostKey) (*ssh.HostKeys, error) {
	policy := ssh.HostKeyPolicy(hk.Policy)
	switch hk.Policy {
	case "":
		policy = ssh.HostKeyPolicy(d.app.set.HostKey)
	case inventory.HostKeyIgnore:
		policy = ssh.Insecure
	}
	if len(hk.Fingerprints) > 0 {
		return ssh.PinHostKeys(hk.Fingerprints...)
	}
	files := d.app.set.KnownHosts
	switch {
	case hk.KnownHosts != "":
		files = []string{hk.KnownHosts}
	case len(files) == 0:
		f := userFile(".ssh", "known_hosts")
		if f == "" {
			return nil, errors.New("no home folder and no --known-hosts: host keys cannot be checked")
		}
		files = []string{f}
	}
	key := fmt.Sprint(policy, files)
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.hostKeys[key]; ok {
		return k, nil
	}
	k, err := ssh.NewHostKeys(policy, files...)
	if err == nil {
		d.hostKeys[key] = k
	}
	return k, err
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}
