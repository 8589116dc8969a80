package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// The fake network OS speaks JSON change sets. Its devices keep sessions and have
// a timer of their own, so that the engine's promises can be checked against what
// the devices hold, not against what drivers say.

type fakePlatform struct{ confirm models.Support }

func (p fakePlatform) Capabilities() models.Capabilities {
	claims := make(map[models.Feature]models.Claim)
	for _, f := range models.Features() {
		claims[f] = models.Claim{Support: models.Yes}
	}
	claims[models.FeatureConfirm] = models.Claim{Support: p.confirm}
	return models.Capabilities{Platform: "fake", Claims: claims, Grain: models.GrainUpdate, Saves: true}
}
func (fakePlatform) Check(models.Session) []string     { return nil }
func (fakePlatform) PortKind(string) models.SourceKind { return models.SourcePort }

func (p fakePlatform) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	text, err := json.Marshal(cs)
	s := transport.Script{Encoding: transport.JSON, Steps: []transport.Step{
		{Phase: transport.Enter, Text: strings.TrimSpace("enter " + o.Tag + " " + o.Facts.Model)},
		{Phase: transport.Edit, Text: string(text), Session: cs.Changes[0].Session().Name},
		{Phase: transport.Commit, Text: "commit"},
	}}
	if p.confirm == models.Yes && o.Within > 0 {
		s.Within = o.Within
		s.Confirm = []transport.Step{{Phase: transport.Commit, Text: "confirm " + o.Tag}}
		s.Cancel = []transport.Step{{Phase: transport.Commit, Text: "cancel " + o.Tag}}
	}
	if p.confirm == models.Emulated && o.Within > 0 { // keeps a copy in place of a timer
		s.Confirm = []transport.Step{{Phase: transport.Commit, Text: "forget " + o.Tag}}
		s.Restore, s.Forget = []transport.Step{{Phase: transport.Commit, Text: "restore " + o.Tag}}, s.Confirm
	}
	if o.Save {
		s.Save = []transport.Step{{Phase: transport.Commit, Text: "save"}}
	}
	return s, err
}

// fakeDevice is a switch.
type fakeDevice struct {
	mu       sync.Mutex
	id       models.DeviceID
	facts    models.Facts
	sessions []models.Session
	startup  []models.Session // what it boots with
	vlans    map[uint16]models.VLAN
	back     []models.Session // what the timer goes back to
	deadline time.Time        // of the timer; zero = none runs
	tag      string
	changed  func(models.DeviceID) // told of every commit and every way back
	now      func() time.Time
	dead     bool
	fail     map[string]error // by verb: observe, edit, commit, confirm, cancel; once
	failAll  map[string]error // by verb, always
}

func (d *fakeDevice) trip(verb string) error {
	if d.dead {
		return &transport.Error{Kind: transport.Unreachable, Err: errors.New("connection refused")}
	}
	if err := d.failAll[verb]; err != nil {
		return err
	}
	err := d.fail[verb]
	delete(d.fail, verb)
	return err
}

// lapse goes back when the time is up.
func (d *fakeDevice) lapse() {
	if !d.deadline.IsZero() && !d.now().Before(d.deadline) {
		d.sessions, d.deadline, d.tag = d.back, time.Time{}, ""
	}
}

func (d *fakeDevice) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lapse()
	var out []string
	for _, s := range d.sessions {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

// text is the device's configuration, for comparing byte by byte.
func (d *fakeDevice) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lapse()
	sorted := slices.Clone(d.sessions)
	slices.SortFunc(sorted, func(a, b models.Session) int { return models.CompareNatural(a.Name, b.Name) })
	for i := range sorted {
		sorted[i].Intent, sorted[i].Device = "", "" // a device knows neither
	}
	b, err := json.Marshal(sorted)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// conn gives a transport to the device.
type fakeConn struct {
	d    *fakeDevice
	kill func() error // non-nil error: the process is dead
	cs   models.ChangeSet
}

func (c *fakeConn) Read(context.Context, []transport.Request) ([]transport.Reply, error) {
	if err := c.kill(); err != nil {
		return nil, err
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.lapse()
	if err := c.d.trip("observe"); err != nil {
		return nil, err
	}
	st := models.DeviceState{Device: c.d.id, Facts: c.d.facts, Sessions: c.d.sessions, VLANs: c.d.vlans}
	text, err := json.Marshal(st)
	return []transport.Reply{{Text: string(text)}}, err
}

func (c *fakeConn) Send(_ context.Context, steps []transport.Step) error {
	for _, s := range steps {
		if err := c.kill(); err != nil {
			return err
		}
		if err := c.step(s); err != nil {
			var te *transport.Error
			if errors.As(err, &te) && te.Step == nil {
				te.Step = &s
			}
			return err
		}
	}
	return nil
}

func refused(format string, args ...any) error {
	return &transport.Error{Kind: transport.Rejected, Reply: fmt.Sprintf(format, args...)}
}

func (c *fakeConn) step(s transport.Step) error {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lapse()
	var verb, tag string
	_, _ = fmt.Sscan(s.Text, &verb, &tag)
	switch {
	case verb == "enter":
		if !d.deadline.IsZero() {
			return refused("an edit with a timer is pending")
		}
		d.tag = tag
		return d.trip("enter")
	case s.Phase == transport.Edit:
		if err := d.trip("edit"); err != nil {
			return err
		}
		c.cs = models.ChangeSet{} // what Unmarshal finds there, it changes
		return json.Unmarshal([]byte(s.Text), &c.cs)
	case verb == "commit":
		err := d.trip("commit")
		if err != nil && !inDoubt(err) {
			return err
		}
		d.back = slices.Clone(d.sessions)
		if c.cs.Device != "" {
			d.sessions = plan.Apply(models.DeviceState{Sessions: d.sessions}, c.cs).Sessions
		}
		for i := range d.sessions {
			d.sessions[i].Intent = ""
		}
		d.changed(d.id)
		return err
	case verb == "save":
		if err := d.trip(verb); err != nil {
			return err
		}
		d.startup = slices.Clone(d.sessions)
		return nil
	case verb == "forget":
		return d.trip(verb)
	case verb == "confirm" || verb == "cancel":
		if err := d.trip(verb); err != nil {
			return err
		}
		if d.tag != tag || d.deadline.IsZero() {
			return refused("no edit %s is pending", tag)
		}
		if verb == "cancel" {
			d.sessions = d.back
			d.changed(d.id)
		}
		d.deadline, d.tag = time.Time{}, ""
		return nil
	}
	return refused("unknown %q", s.Text)
}

func inDoubt(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.InDoubt
}

func (c *fakeConn) Close() error { return nil }

// fakeDialect reads what fakeConn sends.
type fakeDialect struct{ fakePlatform }

func (fakeDialect) Reads() []transport.Request { return []transport.Request{{Text: "show"}} }
func (fakeDialect) Parse(_ models.DeviceID, r []transport.Reply) (models.DeviceState, error) {
	var st models.DeviceState
	return st, json.Unmarshal([]byte(r[0].Text), &st)
}

// timed starts the device's timer, which the script asks for in a field and not in
// a step: the fake OS has no words for times.
type timed struct {
	drivers.Driver
	d *fakeDevice
}

func (t timed) Apply(ctx context.Context, cp drivers.Checkpoint) error {
	err := t.Driver.Apply(ctx, cp)
	if cp.Script.Within > 0 && (err == nil || inDoubt(err)) {
		t.d.mu.Lock()
		t.d.deadline = t.d.now().Add(cp.Script.Within)
		t.d.mu.Unlock()
	}
	return err
}

// site is a network of fake devices: a line of switches with trunks between.
type fakeSite struct {
	t       *testing.T
	net     models.Network
	devices map[models.DeviceID]*fakeDevice
	support models.Support
	clock   time.Time
	mu      sync.Mutex
	order   []string
	db      string
}

func newFakeSite(t *testing.T, ids ...string) *fakeSite {
	t.Helper()
	s := &fakeSite{t: t, devices: make(map[models.DeviceID]*fakeDevice), support: models.Yes,
		clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), db: filepath.Join(fastDir(t), "store.db")}
	for _, id := range ids {
		dev := models.DeviceID(id)
		s.net.Devices = append(s.net.Devices, models.Device{ID: dev, Platform: "fake", Labels: map[string]string{"role": "leaf"}})
		s.devices[dev] = &fakeDevice{id: dev, now: s.now, changed: s.changed,
			fail: map[string]error{}, failAll: map[string]error{},
			sessions: []models.Session{foreignSession()},
			vlans:    map[uint16]models.VLAN{900: {RemoteSPAN: true}}}
	}
	return s
}

// fastDir is a folder for stores that need not survive a power cut: in memory where
// the system has such a place. The tests here open thousands of them.
func fastDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "spanctl-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func foreignSession() models.Session {
	return models.Session{Name: "tap", Role: models.RoleLocal,
		Sources:     []models.Source{{Kind: models.SourcePort, Name: "Ethernet30", Direction: models.Rx}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet40"}}}
}

func (s *fakeSite) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

// changed keeps the order in which devices were changed.
func (s *fakeSite) changed(dev models.DeviceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, string(dev))
}

func (s *fakeSite) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

type names struct{}

func (names) Ports(_ models.DeviceID, pattern string) ([]string, error) {
	return []string{pattern}, nil
}

// process is one life of spanctl: an engine and a store handle, both of which stop
// working when it is killed.
type process struct {
	*Engine
	st *killable
}

// start begins a life. It ends, as by kill -9, at the n-th write to the store:
// before it when after is false. n = 0 lives.
func (s *fakeSite) start(n int, after bool) *process {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), s.db, store.Options{Now: s.now})
	if err != nil {
		s.t.Fatal(err)
	}
	st := &killable{Store: db, at: n, after: after}
	s.t.Cleanup(func() { _ = db.Close() })
	e := New(Config{
		Network:   &s.net,
		Platforms: func(models.DeviceID) plan.Platform { return fakePlatform{s.support} },
		Names:     names{}, Store: st, Now: s.now, Parallel: 4,
		Open: func(_ context.Context, dev models.DeviceID) (drivers.Driver, error) {
			if err := st.alive(); err != nil {
				return nil, err
			}
			d := s.devices[dev]
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.dead {
				return nil, &transport.Error{Kind: transport.Unreachable, Err: errors.New("connection refused")}
			}
			c := &fakeConn{d: d, kill: st.alive}
			return timed{drivers.Compose(dev, fakeDialect{fakePlatform{s.support}}, c), d}, nil
		},
	})
	return &process{Engine: e, st: st}
}

// die ends the life: the store handle goes, as with the process.
func (p *process) die() { _ = p.st.Store.Close() }

var errKilled = errors.New("killed")

// killable is a store of a process that dies at its n-th write.
type killable struct {
	store.Store
	at    int
	after bool

	mu     sync.Mutex
	writes int
	killed bool
}

func (k *killable) alive() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed {
		return errKilled
	}
	return nil
}

func (k *killable) write(f func() error) error {
	k.mu.Lock()
	if k.killed {
		k.mu.Unlock()
		return errKilled
	}
	k.writes++
	hit := k.writes == k.at
	if hit {
		k.killed = true
	}
	k.mu.Unlock()
	if hit && !k.after {
		return errKilled
	}
	if err := f(); err != nil {
		return err
	}
	if hit {
		return errKilled
	}
	return nil
}

func (k *killable) Begin(ctx context.Context, r store.Run) error {
	return k.write(func() error { return k.Store.Begin(ctx, r) })
}
func (k *killable) Save(ctx context.Context, run string, e store.Entry) error {
	return k.write(func() error { return k.Store.Save(ctx, run, e) })
}
func (k *killable) Commit(ctx context.Context, run, group string, put []models.Record, del []models.SessionID) error {
	return k.write(func() error { return k.Store.Commit(ctx, run, group, put, del) })
}
func (k *killable) Finish(ctx context.Context, run, outcome string) error {
	return k.write(func() error { return k.Store.Finish(ctx, run, outcome) })
}
func (k *killable) Apply(ctx context.Context, put []models.Record, del []models.SessionID) error {
	if len(put)+len(del) == 0 {
		return k.Store.Apply(ctx, put, del)
	}
	return k.write(func() error { return k.Store.Apply(ctx, put, del) })
}

// texts gives all configurations, by device.
func (s *fakeSite) texts() map[models.DeviceID]string {
	out := make(map[models.DeviceID]string)
	for id, d := range s.devices {
		out[id] = d.text()
	}
	return out
}

// spanIntent mirrors ports of one device.
func spanIntent(name, dev string, dir models.Direction, ports ...string) models.Intent {
	return models.Intent{APIVersion: models.APIVersion, Kind: models.KindMirror,
		Metadata: models.Metadata{Name: name, Owner: "secops"},
		Spec: models.Spec{
			Sources:     []models.SourceSpec{{Device: dev, Interfaces: ports, Direction: dir}},
			Destination: models.DestinationSpec{Interface: &models.InterfaceSpec{Device: dev, Name: "Ethernet48"}},
			Expires:     models.Expiry{After: 2 * time.Hour},
		}}
}

// rspanIntent mirrors a port of each source device to a port of to.
func rspanIntent(name, to string, from ...string) models.Intent {
	in := spanIntent(name, to, models.Rx)
	in.Spec.Sources = nil
	for _, dev := range from {
		in.Spec.Sources = append(in.Spec.Sources, models.SourceSpec{Device: dev, Interfaces: []string{"Ethernet1"}, Direction: models.Rx})
	}
	in.Spec.Destination = models.DestinationSpec{RemoteVLAN: &models.RemoteVLANSpec{VLAN: 900,
		Interface: models.InterfaceSpec{Device: to, Name: "Ethernet48"}}}
	return in
}

func deviceIDs(m map[models.DeviceID]*fakeDevice) []models.DeviceID {
	return slices.Sorted(maps.Keys(m))
}
