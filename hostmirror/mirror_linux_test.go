package hostmirror

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// Frames of a port are copied in the directions that were asked for, each exactly
// once; production gets each exactly once too; after the delete there is silence.
func TestFrames(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		for _, tt := range []struct {
			direction models.Direction
			copies    func(left, right int) want
		}{
			{models.Rx, func(left, _ int) want { return want{left, 0} }},
			{models.Tx, func(_, right int) want { return want{0, right} }},
			{models.Both, func(left, right int) want { return want{left, right} }},
		} {
			t.Run(tt.direction.String(), func(t *testing.T) {
				b := newBed(t)
				m := b.open(kind)
				sensor, left, right := b.sensor.Capture("c0"), b.left.Capture("s0"), b.right.Capture("d0")

				b.to(m, session("sp-a", []string{"m0"}, port("r0", tt.direction)))
				fromLeft, fromRight := b.flow("on", 20)
				copies := tt.copies(fromLeft, fromRight)
				b.expect(sensor, "on", copies)
				b.expect(right, "on", want{left: fromLeft})
				b.expect(left, "on", want{right: fromRight})

				counters, err := m.Counters(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var packets, lost uint64
				for _, c := range counters {
					packets, lost = packets+c.Packets, lost+c.Lost
				}
				if packets != uint64(copies.left+copies.right) || lost != 0 {
					t.Errorf("counters %+v, want %+v packets and none lost", counters, copies)
				}

				b.to(m)
				fromLeft, fromRight = b.flow("off", 20)
				b.expect(sensor, "off", want{})
				b.expect(right, "off", want{left: fromLeft})
				b.expect(left, "off", want{right: fromRight})
			})
		}
	})
}

// Several sources and several destinations: every destination gets every frame, by a
// filter of its own with a single action.
func TestManySourcesAndDestinations(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		m := b.open(kind)
		c0, c1 := b.sensor.Capture("c0"), b.sensor.Capture("c1")
		wanted := session("sp-a", []string{"m0", "m1"}, port("r0", models.Rx), port("r1", models.Rx))
		b.to(m, wanted)
		b.truth(kind, []string{"sp-a"}, wanted)
		left, right := b.flow("x", 15)
		b.expect(c0, "x", want{left, right})
		b.expect(c1, "x", want{left, right})
	})
}

// VLAN tags come along, in both directions.
func TestTagsAreCopied(t *testing.T) {
	b := newBed(t)
	m := b.open("")
	c0 := b.sensor.Capture("c0")
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Both)))
	b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "tag-left", 0x6064, 128), 5)
	b.right.Send("d0", kerneltest.TestFrame(kerneltest.Broadcast, "tag-right", 0x6065, 128), 5)
	b.expect(c0, "tag", want{5, 5})
	for mark, tci := range map[string]uint16{"tag-left": 0x6064, "tag-right": 0x6065} {
		for _, f := range c0.Received(mark) {
			if f.VLAN != tci {
				t.Errorf("%s: tag %#04x, want %#04x (priority 3)", mark, f.VLAN, tci)
			}
		}
	}
}

// A ladder of wanted states: after each, tc shows exactly what was asked for, and what
// others have is as it was, byte for byte.
func TestLadder(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		b.foreigners("r0", "r1")
		m := b.open(kind)
		before := b.objects()
		a := func(d models.Direction, to ...string) models.Session {
			return session("sp-a", to, port("r0", d))
		}
		two := session("sp-b", []string{"m1"}, port("r0", models.Rx), port("r1", models.Both))
		for i, rung := range [][]models.Session{
			{a(models.Rx, "m0")},
			{a(models.Both, "m0")},
			{a(models.Both, "m0"), two},
			{a(models.Tx, "m1"), two},
			{a(models.Tx, "m0", "m1")},
			{two},
			{},
		} {
			cp := b.to(m, rung...)
			b.truth(kind, []string{"sp-a", "sp-b"}, rung...)
			if t.Failed() {
				t.Fatalf("rung %d, steps:\n%s", i, strings.Join(texts(cp.Script), "\n"))
			}
		}
		if d := cmp.Diff(before, b.objects()); d != "" {
			t.Errorf("what was there before is not as it was (-before +after):\n%s", d)
		}
	})
}

// What the steps say is what Apply does: tc, given the same text by a shell, makes
// and deletes the same filters.
func TestTextIsTruth(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		kerneltest.NeedIproute(t)
		make := func(run func(b *bed, m *Mirror, cp drivers.Checkpoint)) (made, gone string) {
			b := newBed(t)
			m := b.open(kind)
			wanted := []models.Session{session("sp-a", []string{"m0", "m1"}, port("r0", models.Both), port("r1", models.Rx))}
			if with := m.classifiers.kernel(kind); with.noRules == "" {
				wanted = append(wanted, limited("exclude udp dport 53; include vlan 100", 0, session("sp-b", []string{"m1"}, port("r0", models.Both))))
			}
			if with := m.classifiers.kernel(kind); with.noSample == "" {
				wanted = append(wanted, limited("", 10, session("sp-c", []string{"m1"}, port("r1", models.Both))))
			}
			run(b, m, b.plan(m, wanted...))
			made = b.host.Batch("tc", "filter show dev r0 ingress", "filter show dev r0 egress", "filter show dev r1 ingress", "filter show dev r1 egress")
			back := b.plan(m)
			run(b, m, back)
			st, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return made, fmt.Sprint(len(st.Sessions), " sessions left")
		}
		made, gone := make(func(b *bed, m *Mirror, cp drivers.Checkpoint) {
			if err := m.Apply(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
		})
		typed, typedGone := make(func(b *bed, m *Mirror, cp drivers.Checkpoint) {
			// The shell of busybox would take its own tc, which can less.
			tc := fmt.Sprintf("tc() { %s \"$@\"; }\n", pathOf(t, "tc"))
			if out, err := b.host.Command("sh", "-ec", tc+strings.Join(texts(cp.Script), "\n")); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
		if d := cmp.Diff(typed, made); d != "" {
			t.Errorf("Apply made something else than tc (-tc +Apply):\n%s", d)
		}
		if gone != "0 sessions left" || typedGone != gone {
			t.Errorf("after the deletes: Apply %s, tc %s", gone, typedGone)
		}
	})
}

func pathOf(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Another process sees a session as ours without its name, and by its name when told.
func TestSecondConnection(t *testing.T) {
	b := newBed(t)
	wanted := session("sp-a", []string{"m0"}, port("r0", models.Both))
	b.to(b.open(""), wanted)
	name := func(m *Mirror) string {
		t.Helper()
		st, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Sessions) != 1 {
			t.Fatalf("%d sessions, want 1", len(st.Sessions))
		}
		got := st.Sessions[0]
		if got.Status.State != models.OperUp {
			t.Errorf("status %+v, want up", got.Status)
		}
		n := got.Name
		got.Name, got.Status = "sp-a", models.Status{}
		if d := cmp.Diff(wanted, got); d != "" {
			t.Errorf("session (-want +got):\n%s", d)
		}
		return n
	}
	if n := name(b.open("")); n != hashOf(host, "sp-a").name() {
		t.Errorf("not told: %q", n)
	}
	if n := name(b.open("", "sp-b", "sp-a")); n != "sp-a" {
		t.Errorf("told: %q", n)
	}
}

// Revert takes back what was applied, from another connection too, and is content
// when there is nothing to take back.
func TestRevert(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		b.foreigners("r0", "r1")
		m := b.open(kind)
		first := session("sp-a", []string{"m0"}, port("r0", models.Rx))
		b.to(m, first)
		cp := b.to(m, session("sp-a", []string{"m1"}, port("r0", models.Both)), session("sp-b", []string{"m1"}, port("r1", models.Tx)))
		for range 2 {
			if err := b.open(kind).Revert(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
		}
		b.truth(kind, []string{"sp-a", "sp-b"}, first)
	})
}

// A step that fails takes the steps before it back; the error says which it was.
func TestFailureUndoes(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		b.foreigners("r0", "r1")
		m := b.open(kind)
		first := session("sp-a", []string{"m0"}, port("r0", models.Both))
		b.to(m, first)
		// What is made again has an action of another number and, of u32, a table of
		// another; it is the same else.
		numbers := regexp.MustCompile(`"(index|fh|key_ht)":[^,]+,`)
		objects := func() string { return numbers.ReplaceAllString(b.objects(), "") }
		before := objects()
		cp := b.plan(m, session("sp-b", []string{"m1"}, port("r0", models.Rx), port("r1", models.Both)))
		// Something takes a priority of the plan between plan and apply.
		last, err := parseOperation(cp.Script.Steps[len(cp.Script.Steps)-1].Text)
		if err != nil {
			t.Fatal(err)
		}
		b.host.Run(fmt.Sprintf("tc filter add dev %s %s pref %d protocol ip u32 match u32 0 0 flowid 1:1", last.Dev, last.Hook, last.Priority))
		err = m.Apply(t.Context(), cp)
		wantKind(t, err, transport.Rejected, last.String())
		b.host.Run(fmt.Sprintf("tc filter del dev %s %s pref %d", last.Dev, last.Hook, last.Priority))
		if d := cmp.Diff(before, objects()); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
		b.truth(kind, []string{"sp-a", "sp-b"}, first)
	})
}

// cutAfter ends a context when it has been asked n times whether it has ended.
type cutAfter struct {
	context.Context
	n int
}

func (c *cutAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// Wherever ctx ends, Apply leaves all or nothing.
func TestCancelAnywhere(t *testing.T) {
	b := newBed(t)
	m := b.open("")
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

// What has changed since the plan stops it before the first step.
func TestStalePlan(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	m := b.open("")
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	kind, _ := m.classifiers.best()
	foreigner := "tc filter add dev r0 ingress pref 21328 protocol all u32 match u32 0 0 action mirred egress mirror dev m1 continue"
	tests := []struct {
		name   string
		want   []models.Session
		change func()
		text   string
	}{
		{"filter gone", nil, func() { b.host.Run("tc filter del dev r0 ingress pref 21328") }, "no longer there"},
		{"another in its place", nil, func() {
			b.host.Run("tc filter del dev r0 ingress pref 21328")
			if kind == "u32" {
				b.host.Run(foreigner)
			} else {
				b.host.Run("tc filter add dev r0 ingress pref 21328 protocol all matchall action mirred egress mirror dev m1 continue")
			}
		}, "another filter has taken this place"},
		{"destination gone", []models.Session{session("sp-a", []string{"m1"}, port("r0", models.Rx))}, func() {
			b.host.Run("ip link del m1")
		}, "no such device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
			cp := b.plan(m, tt.want...)
			if cp.Script.Empty() {
				t.Fatal("nothing to do")
			}
			tt.change()
			before := b.host.Objects("r0")
			wantKind(t, m.Apply(t.Context(), cp), transport.Rejected, tt.text)
			if d := cmp.Diff(before, b.host.Objects("r0")); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
			b.host.Run("tc qdisc del dev r0 clsact")
		})
	}
}

// A script that is not ours to run is refused whole.
func TestApplyRefuses(t *testing.T) {
	b := newBed(t)
	m := b.open("")
	good := b.plan(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	tests := map[string]func(*drivers.Checkpoint){
		"other device":   func(cp *drivers.Checkpoint) { cp.Device = "host2" },
		"other encoding": func(cp *drivers.Checkpoint) { cp.Script.Encoding = transport.CLI },
		"bad last step": func(cp *drivers.Checkpoint) {
			cp.Script.Steps = append(slices.Clone(cp.Script.Steps), transport.Step{Text: "tc qdisc del dev r0 clsact"})
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cp := good
			change(&cp)
			if err := m.Apply(t.Context(), cp); err == nil {
				t.Error("no error")
			}
			if qdiscs, err := m.access.(*netlinkAccess).conn.Qdiscs(t.Context(), b.host.Index("r0")); err != nil || len(qdiscs) != 1 {
				t.Errorf("qdiscs %+v, %v: something was done", qdiscs, err)
			}
		})
	}
	if err := m.Apply(t.Context(), drivers.Checkpoint{Device: host}); err != nil {
		t.Errorf("an empty script: %v", err)
	}
}

// Addresses, groups and bridges of ports show.
func TestObservePorts(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newBed(t)
	b.host.Run("ip address add 192.0.2.1/24 dev m1")
	b.host.Run("ip link set m0 down")
	b.left.Send("s0", kerneltest.TestFrame(hardware(t, b.right, "d0"), "learn", 0, 64), 1)
	st, err := b.open("").Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m1 := st.Ports["m1"]
	if m1.Mode != models.PortRouted || len(m1.Addresses) != 1 || m1.Addresses[0].String() != "192.0.2.1/24" || m1.Oper != models.OperUp || m1.MTU != 1500 {
		t.Errorf("m1: %+v", m1)
	}
	if m0 := st.Ports["m0"]; !m0.AdminDown || m0.Oper != models.OperDown || m0.Mode != "" {
		t.Errorf("m0: %+v", m0)
	}
	if r0 := st.Ports["r0"]; r0.Mode != models.PortAccess || r0.MACs != 1 {
		t.Errorf("r0: %+v, want a bridge's port with one learned address", r0)
	}
	if st.Facts.Version == "" || st.Facts.Hostname == "" || st.Device != host {
		t.Errorf("facts %+v of %s", st.Facts, st.Device)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.Context(), Options{}); err == nil {
		t.Error("no device: no error")
	}
	if _, err := Open(t.Context(), Options{Device: host, Prefer: []string{"flower"}}); err == nil {
		t.Error("a classifier that cannot take every frame: no error")
	}
	_, err := Open(t.Context(), Options{Device: host, Namespace: filepath.Join(t.TempDir(), "none")})
	wantKind(t, err, transport.Rejected, "no such file")
}

// Scripts that were rendered one after the other fit together when they are applied in
// that order: several intents can be about one port.
func TestScriptsOfOnePlanFitTogether(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		b := newBed(t)
		m := b.open(kind)
		if _, err := m.Observe(t.Context()); err != nil {
			t.Fatal(err)
		}
		one, two := session("sp-a", []string{"m0"}, port("r0", models.Both)), session("sp-b", []string{"m1"}, port("r0", models.Both))
		var cps []drivers.Checkpoint
		for _, ses := range []models.Session{one, two} {
			script, err := m.Render(create(ses), drivers.RenderOptions{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := m.Render(create(ses), drivers.RenderOptions{})
			if d := cmp.Diff(script, again); err != nil || d != "" {
				t.Errorf("rendered again: %v, (-first +second):\n%s", err, d)
			}
			cps = append(cps, drivers.Checkpoint{Device: host, Changes: create(ses), Script: script})
		}
		if _, err := m.Render(create(session("sp-c", []string{"r0"}, port("m1", models.Rx))), drivers.RenderOptions{}); err == nil {
			t.Error("a loop with what was rendered before: no error")
		}
		for _, cp := range cps {
			if err := m.Apply(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
		}
		b.truth(kind, []string{"sp-a", "sp-b"}, one, two)
	})
}
