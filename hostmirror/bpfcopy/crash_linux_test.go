package bpfcopy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// A process can die between any two steps of a change. Whatever it leaves, the next one
// sees what is really attached, can change it, and leaves no trace when it takes it away.
func TestDeathBetweenSteps(t *testing.T) {
	eachMethod(t, func(t *testing.T, m Method) {
		// die ends put of the second set after some steps, by hand.
		for steps, want := range []string{"old", "old", "new"} {
			t.Run(fmt.Sprint("after step ", steps), func(t *testing.T) {
				b := newBed(t)
				h := b.open(m)
				c0 := b.sensor.Capture("c0")
				b.apply(h, "r0", models.Rx, b.session("old", "m0"))
				p := place{b.host.Index("r0"), roleRx}
				b.dieInPut(h, p, b.session("new", "m0"), steps)

				h = b.open(m)
				list, err := h.Observe(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if len(list) != 1 || list[0].Set.Sessions[0].Name != want {
					t.Fatalf("Observe %+v, want session %q", list, want)
				}
				b.send("left", "x", 0, 128, 3)
				count(t, c0, "c0", "x", 3)
				b.apply(h, "r0", models.Rx, b.session("next", "m0"))
				b.send("left", "y", 0, 128, 3)
				count(t, c0, "c0", "y", 3)
				if d := cmp.Diff([]Counter{{Session: "next", Matched: 3, Copied: 3}}, b.counters(h)); d != "" {
					t.Errorf("counters (-want +got):\n%s", d)
				}
				if err := h.Detach(t.Context(), p.ifindex, models.Rx); err != nil {
					t.Fatal(err)
				}
				if left := b.pinned(); len(left) > 0 {
					t.Errorf("pins left: %q", left)
				}
			})
		}
	})
}

// dieInPut does the first steps of a change: 0 loads and pins the program, 1 pins its
// tables too, 2 attaches it.
func (b *bed) dieInPut(h *Host, p place, s Session, steps int) {
	b.t.Helper()
	have, err := h.find(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	defer have.close()
	counters, err := h.pinnedMap(p.pin(partCounters), newCounters)
	if err != nil {
		b.t.Fatal(err)
	}
	defer counters.Close()
	truncation, err := h.pinnedMap(truncationPin, newTruncation)
	if err != nil {
		b.t.Fatal(err)
	}
	defer truncation.Close()
	set := Set{Sessions: []Session{s}}
	tables, err := Compile(set, func(string) uint32 { return 1 })
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := load(tables, config{Port: have.config.Port, Direction: "rx", Set: set, Slots: map[string]int{s.Name: 1}}, counters, truncation)
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	for i, step := range []func() error{
		func() error { return l.prog.Pin(h.path(p.pin(partProgram + "b"))) },
		func() error { return l.tables.Pin(h.path(p.pin(partTables + "b"))) },
		func() error { return h.attach(b.t.Context(), p, have, l.prog) },
	} {
		if i > steps {
			return
		}
		if err := step(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// An attachment that fails leaves nothing: here, an ingress qdisc is in the way, beside
// which there is no egress hook.
func TestFailureLeavesNothing(t *testing.T) {
	require.HaveRoot(t, "loading BPF programs")
	kerneltest.NeedIproute(t)
	b := newBed(t)
	h := b.open(MethodFilter)
	b.host.Run("tc qdisc add dev r0 ingress")
	before := b.host.Objects("r0", "m0")
	s := b.session("a", "m0")
	s.TruncateTo = 100
	err := h.Apply(t.Context(), b.device("r0"), models.Tx, Set{Sessions: []Session{s}})
	if !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "ingress") {
		t.Errorf("Apply: %v, want EEXIST and the reason", err)
	}
	if left := b.pinned(); len(left) > 0 {
		t.Errorf("pins left: %q", left)
	}
	if err := h.Detach(t.Context(), b.host.Index("r0"), models.Tx); err != nil {
		t.Errorf("Detach of nothing: %v", err)
	}
	// The qdisc clsact that m0 got for cutting stays: it may serve others by now.
	after := strings.ReplaceAll(b.host.Objects("r0", "m0"), `,{"kind":"clsact","handle":"ffff:","parent":"ffff:fff1","options":{}}`, "")
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("objects (-before +after):\n%s", d)
	}
}

// What only a user of the package can get wrong is told before anything is made.
func TestRefusals(t *testing.T) {
	require.HaveRoot(t, "loading BPF programs")
	b := newBed(t)
	h := b.open(MethodAny)
	ok := b.session("a", "m0")
	gone := Session{Name: "a", Destinations: []Device{{"gone", 9999}}}
	_, noTun := b.host.Command("ip", strings.Fields("tuntap add dev tun0 mode tun")...)
	tun := func() Device {
		if noTun != nil {
			return Device{}
		}
		return b.device("tun0")
	}()
	for name, tt := range map[string]struct {
		port      Device
		direction models.Direction
		session   Session
		want      string
	}{
		"both directions at once":        {b.device("r0"), models.Both, ok, "rx or tx"},
		"a port by another name":         {Device{"eth7", b.host.Index("r0")}, models.Rx, ok, "another interface"},
		"a destination that is gone":     {b.device("r0"), models.Rx, gone, "is gone"},
		"a port without Ethernet":        {tun, models.Rx, ok, "not Ethernet"},
		"a destination without Ethernet": {b.device("r0"), models.Rx, Session{Name: "a", Destinations: []Device{tun}}, "not Ethernet"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "not Ethernet" {
				require.Need(t, "tun", noTun == nil, fmt.Sprint("an interface without Ethernet headers: ", noTun))
			}
			err := h.Apply(t.Context(), tt.port, tt.direction, Set{Sessions: []Session{tt.session}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Apply: %v, want %q", err, tt.want)
			}
			if left := b.pinned(); len(left) > 0 {
				t.Errorf("pins left: %q", left)
			}
		})
	}
	dir := t.TempDir()
	if _, err := Open(Options{Namespace: b.host.Path(), Pins: dir}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "mount -t bpf") {
		t.Errorf("Open outside of a BPF file system: %v, want ErrUnsupported and the way out", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := Open(Options{Namespace: filepath.Join(dir, "none"), Pins: b.pins}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of no namespace: %v, want ErrNotExist", err)
	}
}

// CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are enough to load; that CAP_PERFMON is lacking
// is told at once.
func TestCapabilities(t *testing.T) {
	require.HaveRoot(t, "dropping capabilities")
	for _, tt := range []struct {
		name string
		give []uint
		want error
	}{
		{"enough", []uint{unix.CAP_NET_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON}, nil},
		{"without CAP_PERFMON", []uint{unix.CAP_NET_ADMIN, unix.CAP_BPF}, unix.EPERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				done <- errors.Join(restrict(tt.give), loadShapes())
			}()
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("load: %v, want %v", err, tt.want)
			}
		})
	}
}

// restrict leaves the calling thread some capabilities.
func restrict(to []uint) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range to {
		data[c/32].Effective |= 1 << (c % 32)
		data[c/32].Permitted |= 1 << (c % 32)
	}
	return unix.Capset(&header, &data[0])
}

// loadShapes loads programs of all kinds.
func loadShapes() error {
	counters, err := newCounters()
	if err != nil {
		return err
	}
	defer counters.Close()
	truncation, err := newTruncation()
	if err != nil {
		return err
	}
	defer truncation.Close()
	for _, s := range shapes {
		set := benchSet(100, s.rule, Device{"gone", 1 << 30})
		set.Sessions[0].TruncateTo = 100
		set.Sessions[1].SampleOneIn = 10
		tables, err := Compile(set, func(string) uint32 { return 0 })
		if err != nil {
			return err
		}
		l, err := load(tables, config{Direction: "rx"}, counters, truncation)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	cut, err := newProgram("spanctl_cut", cutter(truncation))
	if err != nil {
		return err
	}
	return cut.Close()
}
