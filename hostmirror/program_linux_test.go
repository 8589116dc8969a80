package hostmirror

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	bpf "github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// eachProgram runs a test with programs only, for every way to attach them that the
// kernel has.
func eachProgram(t *testing.T, f func(t *testing.T, method Method)) {
	for _, m := range []Method{MethodTCX, MethodClsBPF} {
		t.Run(string(m), func(t *testing.T) {
			needProgram(t, m)
			f(t, m)
		})
	}
}

// needProgram skips a test where the kernel has no such programs.
func needProgram(t testing.TB, m Method) {
	t.Helper()
	ns := kerneltest.NewNS(t)
	if m == MethodTCX {
		err := ns.Do(func() error {
			_, err := bpf.QueryPrograms(bpf.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
			return err
		})
		require.Need(t, "tcx", err == nil, fmt.Sprintf("Linux 6.6 or later (%v)", err))
	}
}

// with opens the driver with a method. Its programs are pinned where pins says; in a
// file system of their own when that is "".
func (b *bed) with(m Method, pins string) *Mirror {
	b.t.Helper()
	if pins == "" {
		pins = kerneltest.Pins(b.t)
	}
	return b.openWith(Options{Device: host, Namespace: b.host.Path(), Method: m, Pins: pins})
}

func (b *bed) openWith(o Options) *Mirror {
	b.t.Helper()
	d, err := Open(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return d
}

// pinnedCopy is what a program says of itself in the map that is pinned with it. The
// test reads it without any code of the driver.
type pinnedCopy struct {
	Dev, Direction, Session string
	To                      []string
	Filter                  []models.Rule
	SampleOneIn             uint32
	TruncateTo              uint16
	Reason                  string
}

// pinnedCopies reads all tables that are pinned in a folder, sorted. Of two generations
// the one counts whose program is attached.
func pinnedCopies(t testing.TB, ns *kerneltest.NS, pins string) []pinnedCopy {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pins, "*", "*-tables-*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []pinnedCopy
	for _, file := range files {
		prog, err := ebpf.LoadPinnedProgram(strings.Replace(file, "-tables-", "-prog-", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := prog.Info()
		_ = prog.Close()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		index, rest, _ := strings.Cut(filepath.Base(file), "-")
		ifindex, err := strconv.Atoi(index)
		if err != nil {
			t.Fatal(err)
		}
		direction, _, _ := strings.Cut(rest, "-")
		if !attachedProgram(t, ns, ifindex, direction, id) {
			continue
		}
		m, err := ebpf.LoadPinnedMap(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.LookupBytes(uint32(0))
		_ = m.Close()
		if err != nil {
			t.Fatal(err)
		}
		at, n := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])
		var c struct {
			Port struct{ Name string }
			Set  struct {
				Sessions []struct {
					Name         string
					Destinations []struct{ Name string }
					Filter       []models.Rule
					SampleOneIn  uint32
					TruncateTo   uint16
					Reason       string
				}
			}
		}
		if err := json.Unmarshal(b[at:at+n], &c); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Set.Sessions {
			p := pinnedCopy{
				Dev: c.Port.Name, Direction: direction, Session: s.Name,
				Filter: s.Filter, SampleOneIn: s.SampleOneIn, TruncateTo: s.TruncateTo, Reason: s.Reason,
			}
			for _, d := range s.Destinations {
				p.To = append(p.To, d.Name)
			}
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b pinnedCopy) int {
		return strings.Compare(a.Dev+" "+a.Direction, b.Dev+" "+b.Direction)
	})
	return out
}

// attachedProgram reports whether a program runs on an interface: by tcx, or as a
// filter.
func attachedProgram(t testing.TB, ns *kerneltest.NS, ifindex int, direction string, id ebpf.ProgramID) bool {
	t.Helper()
	attach, hook := ebpf.AttachTCXIngress, "ingress"
	if direction == "tx" {
		attach, hook = ebpf.AttachTCXEgress, "egress"
	}
	found := false
	_ = ns.Do(func() error { // a kernel without tcx has none
		list, err := bpf.QueryPrograms(bpf.QueryOptions{Target: ifindex, Attach: attach})
		if err != nil {
			return err
		}
		found = slices.ContainsFunc(list.Programs, func(p bpf.AttachedProgram) bool { return p.ID == id })
		return nil
	})
	if found {
		return true
	}
	l, err := ns.Netlink().LinkByIndex(ifindex)
	if err != nil {
		return false
	}
	out, err := ns.Command("tc", "filter", "show", "dev", l.Attrs().Name, hook)
	if err != nil {
		t.Fatalf("tc: %v\n%s", err, out)
	}
	return strings.Contains(out, fmt.Sprintf(" id %d ", id))
}

// copyTruth compares what programs say of themselves with what wanted sessions come to.
func (b *bed) copyTruth(pins string, wanted ...models.Session) {
	b.t.Helper()
	kerneltest.NeedIproute(b.t)
	got := make(map[string]pinnedCopy)
	for _, c := range pinnedCopies(b.t, b.host, pins) {
		c.Reason = ""
		got[c.Dev+" "+c.Direction+" "+c.Session] = c
	}
	want := make(map[string]pinnedCopy)
	for _, ses := range wanted {
		for _, src := range ses.Sources {
			for _, d := range map[models.Direction][]string{models.Rx: {"rx"}, models.Tx: {"tx"}, models.Both: {"rx", "tx"}}[src.Direction] {
				want[src.Name+" "+d+" host1/"+ses.Name] = pinnedCopy{
					Dev: src.Name, Direction: d, Session: "host1/" + ses.Name, To: ses.Destination.Ports,
					Filter: ses.Filter, SampleOneIn: ses.SampleOneIn, TruncateTo: ses.TruncateTo,
				}
			}
		}
	}
	if d := cmp.Diff(want, got, addresses); d != "" {
		b.t.Errorf("programs (-want +got):\n%s", d)
	}
}

func left(pins string) []string {
	files, _ := filepath.Glob(filepath.Join(pins, "*", "*"))
	return files
}

// Frames of a port are copied by a program in the directions that were asked for, each
// exactly once; production gets each exactly once too; after the delete there is silence
// and nothing is left.
func TestProgramFrames(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
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
				pins := kerneltest.Pins(t)
				m := b.with(method, pins)
				c0, c1, left_, right := b.sensor.Capture("c0"), b.sensor.Capture("c1"), b.left.Capture("s0"), b.right.Capture("d0")
				b.to(m, session("sp-a", []string{"m0", "m1"}, port("r0", tt.direction)))
				fromLeft, fromRight := b.flow("on", 20)
				copies := tt.copies(fromLeft, fromRight)
				b.expect(c0, "on", copies)
				b.expect(c1, "on", copies)
				b.expect(right, "on", want{left: fromLeft})
				b.expect(left_, "on", want{right: fromRight})
				counters, err := m.Counters(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var packets, lost uint64
				for _, c := range counters {
					packets, lost = packets+c.Packets, lost+c.Lost
					if c.Method != string(method) || c.Reason != "programs are asked for" || c.Destination != "m0 m1" {
						t.Errorf("counter %+v, want method %s, its reason and both destinations", c, method)
					}
				}
				if packets != uint64(2*(copies.left+copies.right)) || lost != 0 {
					t.Errorf("counters %+v, want %+v packets to each destination and none lost", counters, copies)
				}
				b.to(m)
				fromLeft, _ = b.flow("off", 20)
				b.expect(c0, "off", want{})
				b.expect(right, "off", want{left: fromLeft})
				if files := left(pins); len(files) > 0 {
					t.Errorf("left over: %q", files)
				}
			})
		}
	})
}

// A ladder of wanted states: after each, the programs say exactly what was asked for,
// and what others have is as it was, byte for byte.
func TestProgramLadder(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		b.foreigners("r0", "r1")
		pins := kerneltest.Pins(t)
		m := b.with(method, pins)
		before := b.withoutPrograms()
		a := func(d models.Direction, to ...string) models.Session {
			return session("sp-a", to, port("r0", d))
		}
		two := session("sp-b", []string{"m1"}, port("r0", models.Rx), port("r1", models.Both))
		cut := a(models.Rx, "m0")
		cut.TruncateTo, cut.SampleOneIn = 128, 7
		some := a(models.Both, "m0")
		some.Filter = rules("include tcp dst 10.0.0.0/8 dport 443; exclude udp")
		some = some.Normalize()
		for i, rung := range [][]models.Session{
			{a(models.Rx, "m0")}, {a(models.Both, "m0")}, {a(models.Both, "m0"), two}, {cut, two}, {some, two},
			{a(models.Tx, "m1"), two}, {a(models.Tx, "m0", "m1")}, {two}, {},
		} {
			cp := b.to(m, rung...)
			b.copyTruth(pins, rung...)
			if t.Failed() {
				t.Fatalf("rung %d, steps:\n%s", i, strings.Join(texts(cp.Script), "\n"))
			}
			if d := cmp.Diff(before, b.withoutPrograms()); d != "" {
				t.Fatalf("rung %d: what others have is not as it was (-before +after):\n%s", i, d)
			}
		}
		if files := left(pins); len(files) > 0 {
			t.Errorf("left over: %q", files)
		}
	})
}

// withoutPrograms gives what is on the host's ports without filters that carry our
// programs and without qdiscs clsact.
func (b *bed) withoutPrograms() string {
	b.t.Helper()
	text := ourPrograms.ReplaceAllString(clsactText.ReplaceAllString(b.objects(), ""), "")
	return strings.ReplaceAll(text, "[,", "[")
}

// ourPrograms is a filter that carries a program of ours, and the priority that tc lists
// in front of it, in the words of tc -j.
var ourPrograms = regexp.MustCompile(`,?\{"protocol":"all","pref":(21392|21326),[^{}]*(\{[^{}]*(\{[^{}]*\}[^{}]*)*\}[^{}]*)?\}`)

// Copies are cut and sampled.
func TestProgramCutsAndSamples(t *testing.T) {
	eachProgram(t, func(t *testing.T, method Method) {
		b := newBed(t)
		m := b.with(method, "")
		c0, c1 := b.sensor.Capture("c0"), b.sensor.Capture("c1")
		cut, some := session("sp-a", []string{"m0"}, port("r0", models.Rx)), session("sp-b", []string{"m1"}, port("r0", models.Rx))
		cut.TruncateTo, some.SampleOneIn = 100, 4
		b.to(m, cut, some)
		b.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "long", 0, 1000), 400)
		if n := c0.Count("long", 400); n != 400 {
			t.Errorf("%d copies, want 400", n)
		}
		for _, f := range c0.Received("long") {
			if len(f.Data) != 100 {
				t.Fatalf("a copy of %d bytes, want 100", len(f.Data))
			}
		}
		if n := c1.Count("long", 48); n < 48 || n > 152 { // six standard deviations
			t.Errorf("%d sampled copies of 400, want about 100", n)
		}
	})
}

// What somebody else's filters and programs hide from filters, a program at the head of
// tcx sees. The choice is made by the driver.
func TestProgramBeforeStrangers(t *testing.T) {
	needProgram(t, MethodTCX)
	for name, hide := range map[string]func(*bed){
		"tcx program": func(b *bed) { b.strangersTCX("r0") },
		"filter with a verdict": func(b *bed) {
			b.host.Batch("tc", "qdisc add dev r0 clsact", "filter add dev r0 ingress pref 5 protocol all u32 match u32 0 0 flowid 1:1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.NeedIproute(t)
			b := newBed(t)
			hide(b)
			before := b.objects()
			m := b.with(MethodAuto, "")
			c0 := b.sensor.Capture("c0")
			wanted := session("sp-a", []string{"m0"}, port("r0", models.Rx))
			b.to(m, wanted)
			n, _ := b.flow("seen", 20)
			b.expect(c0, "seen", want{left: n})
			r, err := m.Report(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]Ability{{Name: "tcx", Has: Present}, {Name: "cls_bpf", Has: Present}}, r.Programs); d != "" {
				t.Errorf("programs (-want +got):\n%s", d)
			}
			if len(r.Copies) != 1 || r.Copies[0].Method != "tcx" || r.Copies[0].Status.State != models.OperUp || !strings.Contains(r.Copies[0].Reason, "before") {
				t.Errorf("copies %+v, want one by tcx that is up, with the reason", r.Copies)
			}
			if d := cmp.Diff(before, b.objects()); d != "" {
				t.Errorf("what others have is not as it was (-before +after):\n%s", d)
			}
			b.to(m)
			b.flow("off", 5)
			b.expect(c0, "off", want{})
		})
	}
}

func noPin(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v; want that nothing was made there", dir, err)
	}
}

// What filters can do is done by filters, and nothing of BPF is touched.
func TestFiltersAreTheRule(t *testing.T) {
	b := newBed(t)
	pins := filepath.Join(t.TempDir(), "pins") // no BPF file system: a program could not be made
	m := b.with(MethodAuto, pins)
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Both)))
	noPin(t, pins)
	r, err := m.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	not := "not asked: no copy is made by a program"
	if d := cmp.Diff([]Ability{{Name: "tcx", Why: not}, {Name: "cls_bpf", Why: not}}, r.Programs); d != "" {
		t.Errorf("programs (-want +got):\n%s", d)
	}
	for _, c := range r.Copies {
		if !strings.HasPrefix(c.Method, "tc ") || c.Reason != "" {
			t.Errorf("copy %+v, want a filter without a reason", c)
		}
	}
	// What needs a program is refused, and says why.
	cut := session("sp-b", []string{"m1"}, port("r0", models.Rx))
	cut.TruncateTo = 128
	_, err = b.render(m, cut)
	if err == nil || !strings.Contains(err.Error(), "copies are cut") || !strings.Contains(err.Error(), "BPF file system") {
		t.Errorf("truncation: %v, want what needs a program and why there is none", err)
	}
}
