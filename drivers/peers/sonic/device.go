package sonic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
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
	// Switch is what CONFIG_DB drives. Its port names must be SONiC's (Ethernet0). It is
	// reconfigured as a whole by New and by every command, and must not be configured by
	// others.
	Switch *fabric.Switch
	// Users and their passwords. All may use sudo without being asked.
	Users map[string]string
	// PublicKeys that log a user in.
	PublicKeys map[string][]ssh.PublicKey
	// ConfigDB is the configuration to boot with, in the JSON of config_db.json; "" = only
	// what the ports of Switch come to. Ports that it does not name are added, up.
	ConfigDB string
	// OldImage makes it an image before May 2026, whose commands know neither
	// --sample_rate nor --truncate_size, and whose tables lack their columns.
	OldImage bool
	// Reachable are the networks that the switch knows the way to: sessions to receivers
	// elsewhere stay inactive. nil = it knows the way to everything.
	Reachable []netip.Prefix
	// MaxSessions is what the ASIC takes; more are there, in state error. 0 = no bound.
	MaxSessions int
	// RTT is added to everything that arrives from a client.
	RTT time.Duration
	// Banner is shown before the password is asked, MOTD after login.
	Banner, MOTD string
	// HostKey identifies the SSH server; nil = one key for the whole process.
	HostKey ssh.Signer
	// Version, SKU and Serial are what the device says of itself. Empty:
	// "SONiC.20260531.07", "Force10-S6000" and a number.
	Version, SKU, Serial string
	// Neighbor says what LLDP learns at the far end of a cable; ok false for ends that
	// do not speak LLDP. nil = no end speaks.
	Neighbor func(end fabric.End) (device, port string, ok bool)
}

// Device is a simulated switch's management plane. All its methods may be called from
// several goroutines.
type Device struct {
	opts   Options
	server *sshd.Server

	mu      sync.Mutex
	db      configDB
	startup configDB // what was saved
	wire    []string
	faults  fault.Set
}

// configDB is CONFIG_DB: tables of rows of fields. Keys of rows join their parts by "|".
type configDB map[string]map[string]map[string]string

func (db configDB) clone() configDB {
	out := make(configDB, len(db))
	for name, t := range db {
		rows := make(map[string]map[string]string, len(t))
		for key, fields := range t {
			rows[key] = maps.Clone(fields)
		}
		out[name] = rows
	}
	return out
}

// row gives a row, and whether it is there.
func (db configDB) row(table, key string) (map[string]string, bool) {
	r, ok := db[table][key]
	return r, ok
}

func (db configDB) set(table, key string, fields map[string]string) {
	if db[table] == nil {
		db[table] = map[string]map[string]string{}
	}
	db[table][key] = fields
}

func (db configDB) remove(table, key string) {
	delete(db[table], key)
	if len(db[table]) == 0 {
		delete(db, table)
	}
}

// text is the JSON that sonic-cfggen prints: sorted, four blanks a level.
func (db configDB) text() string {
	b, err := json.MarshalIndent(db, "", "    ")
	if err != nil {
		panic(err) // maps of text always encode
	}
	return string(b) + "\n"
}

var portName = regexp.MustCompile(`^Ethernet[0-9]{1,4}$`)

// New makes a device and configures its switch.
func New(o Options) (*Device, error) {
	if o.Hostname == "" || o.Switch == nil || len(o.Users)+len(o.PublicKeys) == 0 {
		return nil, errors.New("sonic: a host name, a switch and a user are needed")
	}
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&o.Version, "SONiC.20260531.07")
	set(&o.SKU, "Force10-S6000")
	set(&o.Serial, "SIM0000001")
	d := &Device{opts: o, faults: fault.Set{RefuseText: "Error: Invalid ConfigDB. Error", LogText: "Broadcast message from root@sonic (somewhere):"}}
	db := configDB{}
	if o.ConfigDB != "" {
		if err := json.Unmarshal([]byte(o.ConfigDB), &db); err != nil {
			return nil, fmt.Errorf("sonic: %s: configuration: %w", o.Hostname, err)
		}
	}
	meta, ok := db.row("DEVICE_METADATA", "localhost")
	if !ok {
		meta = map[string]string{}
	}
	meta["hostname"] = o.Hostname
	if meta["hwsku"] == "" {
		meta["hwsku"] = o.SKU
	}
	db.set("DEVICE_METADATA", "localhost", meta)
	for _, p := range o.Switch.Ports() {
		if !portName.MatchString(p) {
			return nil, fmt.Errorf("sonic: %s: port %q is no name of SONiC", o.Hostname, p)
		}
		if _, ok := db.row("PORT", p); !ok {
			db.set("PORT", p, map[string]string{"admin_status": "up", "alias": p, "lanes": p[len("Ethernet"):], "mtu": "9100", "speed": "100000"})
		}
	}
	if err := d.activate(db); err != nil {
		return nil, fmt.Errorf("sonic: %s: configuration: %w", o.Hostname, err)
	}
	d.startup = db
	var err error
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

// Serve accepts SSH connections on l until ctx ends or Close is called, and closes l.
func (d *Device) Serve(ctx context.Context, l net.Listener) error { return d.server.Serve(ctx, l) }

// Close cuts all connections.
func (d *Device) Close() { d.server.Close() }

// RunningConfig returns CONFIG_DB as JSON.
func (d *Device) RunningConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.db.text()
}

// StartupConfig returns what was saved last, or what the device booted with.
func (d *Device) StartupConfig() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.startup.text()
}

// Row gives a row of CONFIG_DB, nil where there is none; the row is the caller's.
func (d *Device) Row(table, key string) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, _ := d.db.row(table, key)
	return maps.Clone(r)
}

// Keys gives the keys of a table of CONFIG_DB, sorted.
func (d *Device) Keys(table string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.db[table]))
}

// SetRow writes a row of CONFIG_DB as a program beside the commands would: nothing is
// checked but what the switch refuses. nil removes it.
func (d *Device) SetRow(table, key string, fields map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	db := d.db.clone()
	if fields == nil {
		db.remove(table, key)
	} else {
		db.set(table, key, maps.Clone(fields))
	}
	return d.activate(db)
}

// Wire returns every line received, in the order of receipt over all connections.
func (d *Device) Wire() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wire)
}

// ResetWire forgets the lines received so far.
func (d *Device) ResetWire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wire = nil
}

// SetFaults replaces all faults. With an error nothing has changed. The zero Spec heals
// the device; lines that hang already stay so.
func (d *Device) SetFaults(s fault.Spec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Replace(s)
}

// AddFault adds one fault to those that are set.
func (d *Device) AddFault(f fault.Fault) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Add(f)
}

func (d *Device) password(user, password string) bool {
	want, ok := d.opts.Users[user]
	return sshd.EqualSecret(want, password) && ok
}

func (d *Device) publicKey(user string, key ssh.PublicKey) bool {
	return slices.ContainsFunc(d.opts.PublicKeys[user], func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) })
}

func (d *Device) admit(open int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.Admit(open)
}
