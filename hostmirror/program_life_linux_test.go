package hostmirror

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// Two names for the same host share its programs: each sees the other's sessions as
// such, and changes only its own.
func TestProgramOfTwoOwners(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		pins := kerneltest.Pins(t)
		other := b.openWith(Options{Device: "host2", Namespace: b.host.Path(), Method: method, Pins: pins})
		theirs := session("sp-a", []string{"m1"}, port("r0", models.Rx))
		theirs.Device = "host2"
		cs := create(theirs)
		cs.Device = "host2"
		b.run(other, cs)
		m := b.with(method, pins)
		c0, c1 := b.sensor.Capture("c0"), b.sensor.Capture("c1")
		mine := session("sp-a", []string{"m0"}, port("r0", models.Rx))
		b.run(m, create(mine))
		n, _ := b.flow("both", 7)
		b.expect(c0, "both", want{left: n})
		b.expect(c1, "both", want{left: n})
		st, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range st.Sessions {
			got = append(got, fmt.Sprint(s.Name, " ", s.Destination.Ports, " ", s.Extra))
		}
		if d := cmp.Diff([]string{
			hashOf("host2", "sp-a").name() + " [m1] [r0 ingress program: session host2/sp-a]", "sp-a [m0] []",
		}, got); d != "" {
			t.Errorf("sessions (-want +got):\n%s", d)
		}
		b.run(m, models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Delete, Before: &mine}}})
		n, _ = b.flow("theirs", 7)
		b.expect(c0, "theirs", want{})
		b.expect(c1, "theirs", want{left: n})
	})
}

// A destination that is gone is told, and whoever has its index then gets nothing once
// anything is changed; a destination made again is copied to again.
func TestProgramLosesDestination(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		pins := kerneltest.Pins(t)
		m := b.with(method, pins)
		a := session("sp-a", []string{"m0"}, port("r0", models.Rx))
		other := session("sp-b", []string{"m0", "m1"}, port("r0", models.Rx))
		b.to(m, a, other)
		index := b.host.Index("m0")
		if err := b.host.Netlink().LinkDel(b.host.Link("m0")); err != nil {
			t.Fatal(err)
		}
		b.veth("stranger", index, "c9")
		st, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range st.Sessions {
			if want := []string{"r0 ingress program: has lost its destination m0"}; cmp.Diff(want, s.Extra) != "" || s.Status.State != models.OperDown {
				t.Errorf("%s: %q, %+v; want %q and down", s.Name, s.Extra, s.Status, want)
			}
		}
		c9, c1 := b.sensor.Capture("c9"), b.sensor.Capture("c1")
		b.flow("danger", 3)
		b.expect(c9, "danger", want{left: 6}) // as proof of what must not stay

		b.veth("m0", 0, "c8")
		c8 := b.sensor.Capture("c8")
		cp := b.to(m, a) // sp-b goes
		if got := texts(cp.Script); len(got) != 2 || !strings.HasPrefix(got[0], "bpf copy del") && !strings.HasPrefix(got[1], "bpf copy del") {
			t.Errorf("steps %q, want a change and a delete", got)
		}
		n, _ := b.flow("again", 3)
		b.expect(c8, "again", want{left: n})
		b.expect(c9, "again", want{})
		b.expect(c1, "again", want{})
		b.copyTruth(pins, a)
	})
}

// A change of one session takes the dead destinations of another along, and tells of it
// by what is then missing.
func TestProgramChangeForgetsStrangers(t *testing.T) {
	b := newBed(t)
	needProgram(t, MethodBPF)
	pins := kerneltest.Pins(t)
	m := b.with(MethodBPF, pins)
	a := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	dead := session("sp-b", []string{"m0", "m1"}, port("r0", models.Rx))
	b.to(m, a, dead)
	if err := b.host.Netlink().LinkDel(b.host.Link("m0")); err != nil {
		t.Fatal(err)
	}
	moved := session("sp-a", []string{"m1"}, port("r0", models.Rx))
	b.run(m, models.ChangeSet{Device: host, Changes: []models.Change{{Op: models.Update, Before: &a, After: &moved}}})
	b.copyTruth(pins, moved, session("sp-b", []string{"m1"}, port("r0", models.Rx)))
	b.to(m)
}

// A source that is deleted, or moves to another namespace, is told; the program goes
// with the session.
func TestProgramLosesSource(t *testing.T) {
	for name, lose := range map[string]func(*bed){
		"deleted": func(b *bed) {
			if err := b.host.Netlink().LinkDel(b.host.Link("r0")); err != nil {
				b.t.Fatal(err)
			}
		},
		"moved": func(b *bed) {
			if err := b.host.Netlink().LinkSetNsFd(b.host.Link("r0"), b.right.FD()); err != nil {
				b.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			needProgram(t, MethodTCX)
			b := newBed(t)
			pins := kerneltest.Pins(t)
			m := b.with(MethodTCX, pins)
			b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)), session("sp-b", []string{"m1"}, port("r0", models.Rx), port("r1", models.Rx)))
			index := b.host.Index("r0")
			lose(b)
			st, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range st.Sessions {
				if len(s.Extra) == 0 || !strings.Contains(s.Extra[0], "r0 ingress program: copies nothing") || s.Status.State != models.OperDown {
					t.Errorf("%s: %q, %+v; want that r0 is gone", s.Name, s.Extra, s.Status)
				}
			}
			cp := b.to(m, session("sp-b", []string{"m1"}, port("r1", models.Rx)))
			if got, want := texts(cp.Script), fmt.Sprintf("bpf copy forget dev r0 index %d ingress", index); len(got) != 1 || got[0] != want {
				t.Errorf("steps %q, want %q", got, want)
			}
			b.copyTruth(pins, session("sp-b", []string{"m1"}, port("r1", models.Rx)))
			b.to(m)
			if files := left(pins); len(files) > 0 {
				t.Errorf("left over: %q", files)
			}
		})
	}
}

// A port that is renamed is copied as before, under its new name.
func TestProgramOfRenamedPort(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		kerneltest.NeedIproute(t)
		b := newBed(t)
		m := b.with(method, "")
		b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
		b.host.Run("ip link set r0 down")
		b.host.Run("ip link set r0 name new0")
		b.host.Run("ip link set new0 up")
		b.host.Settle("new0")
		wanted := session("sp-a", []string{"m0"}, port("new0", models.Rx))
		if cp := b.plan(m, wanted); !cp.Script.Empty() {
			t.Errorf("to do under the new name: %q", texts(cp.Script))
		}
		wanted.Destination.Ports = []string{"m1"}
		b.to(m, wanted)
		c1 := b.sensor.Capture("c1")
		n, _ := b.flow("x", 5)
		b.expect(c1, "x", want{left: n})
	})
}

// veth makes a device with an index, 0 for any, whose other end is the sensor's.
func (b *bed) veth(name string, index int, far string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = name, index
	if err := b.host.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: far, PeerNamespace: netlink.NsFd(b.sensor.FD())}); err != nil {
		b.t.Fatal(err)
	}
	b.host.Up(name)
	b.sensor.Up(far)
	b.host.Settle(name)
}

// Another process sees sessions by their names without being told: programs know them.
func TestProgramKnowsNames(t *testing.T) {
	needProgram(t, MethodBPF)
	b := newBed(t)
	pins := kerneltest.Pins(t)
	wanted := session("sp-a", []string{"m0"}, port("r0", models.Both))
	wanted.TruncateTo = 100
	b.to(b.with(MethodBPF, pins), wanted)
	st, err := b.with(MethodAuto, pins).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Sessions) != 1 || st.Sessions[0].Name != "sp-a" || !models.SameConfig(wanted, st.Sessions[0]) {
		t.Errorf("sessions %+v, want %+v", st.Sessions, wanted)
	}
}

// A step that fails takes the steps before it back, by whatever they were made.
func TestProgramFailureUndoes(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		b.foreigners("r0", "r1")
		pins := kerneltest.Pins(t)
		m := b.with(method, pins)
		first := session("sp-a", []string{"m0"}, port("r0", models.Both))
		first.TruncateTo = 100
		b.to(m, first)
		before := b.withoutPrograms()
		cp := b.plan(m, session("sp-b", []string{"m1"}, port("r0", models.Rx), port("r1", models.Both)))
		last := cp.Script.Steps[len(cp.Script.Steps)-1]
		m.tap = refuse(last.Text)
		wantKind(t, m.Apply(t.Context(), cp), transport.Rejected, last.Text)
		if d := cmp.Diff(before, b.withoutPrograms()); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
		b.copyTruth(pins, first)
		c0 := b.sensor.Capture("c0")
		left, right := b.flow("still", 5)
		b.expect(c0, "still", want{left, right})
	})
}

// Wherever ctx ends, Apply leaves all or nothing.
func TestProgramCancelAnywhere(t *testing.T) {
	needProgram(t, MethodBPF)
	b := newBed(t)
	m := b.with(MethodBPF, "")
	first := session("sp-a", []string{"m0"}, port("r0", models.Both))
	b.to(m, first)
	second := session("sp-a", []string{"m1"}, port("r0", models.Rx), port("r1", models.Tx))
	for n := 0; ; n++ {
		if n > 200 {
			t.Fatal("Apply never came to its end")
		}
		cp := b.plan(m, second)
		err := m.Apply(&cutAfter{t.Context(), n}, cp)
		if err == nil {
			break
		}
		wantKind(t, err, transport.Canceled, "context canceled")
		if left := b.plan(m, first); !left.Script.Empty() {
			t.Fatalf("cut at %d: to do to be as before: %q", n, texts(left.Script))
		}
	}
	if left := b.plan(m, second); !left.Script.Empty() {
		t.Errorf("to do after Apply: %q", texts(left.Script))
	}
}

// Revert takes back what was applied, from another connection too.
func TestProgramRevert(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		pins := kerneltest.Pins(t)
		m := b.with(method, pins)
		first := session("sp-a", []string{"m0"}, port("r0", models.Rx))
		b.to(m, first)
		cp := b.to(m, session("sp-a", []string{"m1"}, port("r0", models.Both)), session("sp-b", []string{"m1"}, port("r1", models.Tx)))
		for range 2 {
			if err := b.with(method, pins).Revert(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
		}
		b.copyTruth(pins, first)
	})
}
