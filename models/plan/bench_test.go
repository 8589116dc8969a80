package plan

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/spanctl/spanctl/models"
)

// fleet is n devices with an intent and a recorded state each. Every tenth device
// has the session already, every tenth has one that differs, and all have a
// stranger's.
type fleet struct {
	net     *models.Network
	intents []models.Intent
	states  map[models.DeviceID]models.DeviceState
	records []models.Record
}

const fleetPorts = 48

func newFleet(n int) fleet {
	f := fleet{net: &models.Network{}, states: make(map[models.DeviceID]models.DeviceState, n)}
	f.net.RSPANVLANs = []models.Range{{First: 900, Last: 999}}
	f.net.Sensors = []models.Sensor{{Name: "ids1", At: models.End{Device: "d0", Port: "e40"}}}
	for i := range n {
		id := models.DeviceID(fmt.Sprintf("d%d", i))
		f.net.Devices = append(f.net.Devices, models.Device{
			ID: id, Platform: "fakeos", TunnelSource: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			Labels: map[string]string{"role": "leaf", "rack": fmt.Sprint(i / 40)},
		})
		if i > 0 { // 100 to a spine
			f.net.Links = append(f.net.Links, models.Link{A: models.End{Device: id, Port: "e47"}, B: models.End{Device: f.net.Devices[i/100].ID, Port: fmt.Sprint("u", i)}})
		}
		st := models.DeviceState{Device: id, Ports: make(map[string]models.Port, fleetPorts), VLANs: map[uint16]models.VLAN{900: {}}}
		for p := range fleetPorts {
			name := fmt.Sprintf("e%d", p+1)
			st.Ports[name] = models.Port{Name: name, Mode: models.PortAccess, AccessVLAN: 1, SpeedMbps: 10_000}
		}
		st.Ports["e47"] = models.Port{Name: "e47", Mode: models.PortTrunk}
		foreign := session(id, "", toPorts("e46"), port("e9"))
		foreign.Name = "theirs"
		st.Sessions = append(st.Sessions, foreign)
		in := intent(fmt.Sprintf("i%d", i), from(models.SourceSpec{Device: string(id), Interfaces: []string{"e1-4"}, Direction: models.Rx}),
			to(models.DestinationSpec{Interface: &models.InterfaceSpec{Device: string(id), Name: "e48"}}))
		f.intents = append(f.intents, in)
		if i%10 < 2 {
			s := session(id, in.Metadata.Name, toPorts("e48"), port("e1"), port("e2"), port("e3"), port("e4"))
			s.Intent = ""
			if i%10 == 1 {
				s.TruncateTo = 64
			}
			st.Sessions = append(st.Sessions, s)
			f.records = append(f.records, models.Record{Intent: in.Metadata.Name, Session: s})
		}
		f.states[id] = st
	}
	return f
}

// plan is the whole of a run's planning, as the engine does it. It gives the number
// of changes.
func (f fleet) plan(tb testing.TB, intents []models.Intent) int {
	tb.Helper()
	on := all(able().limit(models.FeatureSessions, 4))
	r, found := Resolve(f.net, on, names{}, intents)
	found = append(found, Check(f.net, on, intents, r.Sessions, Policy{}, now)...)
	byDev := RecordsByDevice(f.records)
	states := make(map[models.DeviceID]models.DeviceState, len(f.states))
	for id, st := range f.states {
		states[id] = MarkOwned(st, byDev[id])
	}
	sessions, more := Allocate(f.net, on, intents, r.Sessions, states, f.records)
	found = append(found, more...)
	found = append(found, CheckState(f.net, on, intents, sessions, states, func(string) bool { return false }, Policy{})...)
	if err := found.Err(); err != nil {
		tb.Fatal(err)
	}
	want := make(map[models.DeviceID][]models.Session)
	for _, s := range sessions {
		want[s.Device] = append(want[s.Device], s)
	}
	scope := make(map[string]bool)
	for _, in := range intents {
		scope[in.Metadata.Name] = true
	}
	var sets []models.ChangeSet
	for _, d := range f.net.Devices {
		if cs := Diff(want[d.ID], states[d.ID], models.GrainSession, func(i string) bool { return scope[i] }); !cs.Empty() {
			sets = append(sets, cs)
		}
	}
	changes := 0
	for _, g := range Order(sets) {
		for _, w := range g.Waves {
			for _, cs := range w {
				changes += len(cs.Changes)
			}
		}
	}
	return changes
}

func wantChanges(tb testing.TB, got, want int) {
	tb.Helper()
	if got != want {
		tb.Fatalf("%d changes, want %d", got, want)
	}
}

// perDevice reports the time for one device, by the clock and, where the system
// tells, of the processor: the same at every size means linear growth. On a busy
// machine only the latter says something. Call it first, and what it gives last.
func perDevice(b *testing.B, n int) func() {
	before := cpuTime()
	return func() {
		each := float64(b.N) * float64(n)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/each, "ns/device")
		if after := cpuTime(); after > 0 {
			b.ReportMetric(float64((after-before).Nanoseconds())/each, "cpu-ns/device")
		}
	}
}

var sizes = []int{1_000, 10_000, 100_000}

// BenchmarkPlan: an intent for each device.
func BenchmarkPlan(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			f := newFleet(n)
			report := perDevice(b, n)
			for b.Loop() {
				wantChanges(b, f.plan(b, f.intents), n/10*8+n/10*2)
			}
			report()
		})
	}
}

// BenchmarkSelectors: an intent for each device, each named by a selector.
func BenchmarkSelectors(b *testing.B) {
	for _, n := range sizes[:2] {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			f := newFleet(n)
			for i := range f.intents {
				src := &f.intents[i].Spec.Sources[0]
				src.Select = map[string]string{"role": "leaf", "rack": fmt.Sprint(i / 40), "name": src.Device}
				src.Device = ""
			}
			report := perDevice(b, n)
			for b.Loop() {
				wantChanges(b, f.plan(b, f.intents), n)
			}
			report()
		})
	}
}

// BenchmarkOneIntent: one intent with a selector over all devices, into a tunnel, by
// RSPAN to a sensor, and the removal of the latter.
func BenchmarkOneIntent(b *testing.B) {
	leafs := models.SourceSpec{Select: map[string]string{"role": "leaf"}, Interfaces: []string{"e1"}, Direction: models.Rx}
	for _, n := range sizes[:2] {
		f := newFleet(n)
		gre := intent("all", from(leafs), to(models.DestinationSpec{GRE: &models.GRESpec{Address: netip.MustParseAddr("192.0.2.9")}}))
		b.Run(fmt.Sprintf("tunnel/devices=%d", n), func(b *testing.B) {
			report := perDevice(b, n)
			for b.Loop() {
				wantChanges(b, f.plan(b, []models.Intent{gre}), n)
			}
			report()
		})
		f.net.Devices[0].Labels["role"] = "border" // the sensor's: it is not a source
		rspan := intent("all", from(leafs), to(models.DestinationSpec{Sensor: "ids1"}))
		b.Run(fmt.Sprintf("rspan/devices=%d", n), func(b *testing.B) {
			report := perDevice(b, n)
			for b.Loop() {
				wantChanges(b, f.plan(b, []models.Intent{rspan}), n)
			}
			report()
		})
		var sets []models.ChangeSet
		for _, d := range f.net.Devices[1:] {
			sets = append(sets, setsOf(remove(session(d.ID, "all", toVLAN(900), port("e1"))))...)
		}
		sets = append(sets, setsOf(remove(session("d0", "all", toPorts("e40"), fromVLAN(900))))...)
		b.Run(fmt.Sprintf("rspan-removal/devices=%d", n), func(b *testing.B) {
			report := perDevice(b, n)
			for b.Loop() {
				if g := Order(sets); len(g) != 1 || len(g[0].Waves) != 2 {
					b.Fatal("want one group of two waves")
				}
			}
			report()
		})
	}
}

// TestPlanOfFleet keeps the benchmark true: its fleet is planned without findings.
func TestPlanOfFleet(t *testing.T) {
	f := newFleet(100)
	wantChanges(t, f.plan(t, f.intents), 100)
}
