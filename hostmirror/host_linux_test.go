package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/nsname"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// hostBed is a host with a namespace netns:a and a container:b, each with a cable to
// the host (eth0, of which va0 and vb0 are the near ends), and a cable between them
// (eth1, as containerlab makes it). The host has monitor ports m0 and m1, netns:a has
// ma, container:b has mb; what they send arrives at sensor's c0, c1, ca and cb.
type hostBed struct {
	t                  *testing.T
	host, a, b, sensor *kerneltest.NS
	finder             fakeFinder
}

// fakeFinder finds what a test says.
type fakeFinder map[string]*fakePlace

type fakePlace struct {
	ns     *kerneltest.NS
	pid    int
	paused bool
	err    error
}

func (f fakeFinder) Open(_ context.Context, place string) (*nsname.Namespace, error) {
	p := f[place]
	if p == nil {
		return nil, &nsname.Error{Place: place, Err: nsname.ErrGone, Hint: "start it"}
	}
	if p.err != nil {
		return nil, p.err
	}
	fd, err := unix.FcntlInt(uintptr(p.ns.FD()), unix.F_DUPFD_CLOEXEC, 0)
	return &nsname.Namespace{Place: place, File: os.NewFile(uintptr(fd), place), PID: p.pid, Paused: p.paused, Own: true}, err
}

func (f fakeFinder) Names() ([]string, error) {
	var out []string
	for place := range f {
		if strings.HasPrefix(place, models.PlaceNetNS) {
			out = append(out, place)
		}
	}
	return out, nil
}

const pidOfB = 4321

func newHostBed(t *testing.T) *hostBed {
	t.Helper()
	h := &hostBed{t: t, host: kerneltest.NewNS(t), a: kerneltest.NewNS(t), b: kerneltest.NewNS(t), sensor: kerneltest.NewNS(t)}
	// Some devices before, so that indexes in one namespace mean others elsewhere.
	kerneltest.Veth(t, h.a, "x0", h.a, "x1")
	kerneltest.Veth(t, h.a, "eth0", h.host, "va0")
	kerneltest.Veth(t, h.b, "eth0", h.host, "vb0")
	kerneltest.Veth(t, h.a, "eth1", h.b, "eth1")
	kerneltest.Veth(t, h.host, "m0", h.sensor, "c0")
	kerneltest.Veth(t, h.host, "m1", h.sensor, "c1")
	kerneltest.Veth(t, h.a, "ma", h.sensor, "ca")
	kerneltest.Veth(t, h.b, "mb", h.sensor, "cb")
	h.host.Settle("va0", "vb0", "m0", "m1")
	h.a.Settle("eth0", "eth1", "ma")
	// The kernel gives a device without a queue length one together with its first qdisc.
	for ns, devs := range map[*kerneltest.NS][]string{h.host: {"va0", "vb0", "m0", "m1"}, h.a: {"x0", "eth0", "eth1", "ma"}, h.b: {"eth0", "eth1", "mb"}} {
		for _, dev := range devs {
			if err := ns.Netlink().LinkSetTxQLen(ns.Link(dev), 1000); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.finder = fakeFinder{"netns:a": {ns: h.a}, "container:b": {ns: h.b, pid: pidOfB}}
	return h
}

func (b *hostBed) open(known ...models.Session) *Host {
	b.t.Helper()
	h, err := openHost(b.t.Context(), HostOptions{Options: Options{Device: host, Namespace: b.host.Path()}, Sessions: known}, b.finder)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := h.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return h
}

// plan looks and plans as the engine does.
func (b *hostBed) plan(h *Host, want ...models.Session) (drivers.Checkpoint, error) {
	b.t.Helper()
	h.Expect(want)
	st, err := h.Observe(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range st.Sessions {
		if !strings.HasPrefix(st.Sessions[i].Name, foreignPrefix) {
			st.Sessions[i].Intent = "test"
		}
	}
	cs := plan.Diff(want, st, h.Capabilities().Grain, func(string) bool { return true })
	script, err := h.Render(cs, drivers.RenderOptions{})
	return drivers.Checkpoint{Device: host, Changes: cs, Script: script}, err
}

// to makes the host have exactly want.
func (b *hostBed) to(h *Host, want ...models.Session) drivers.Checkpoint {
	b.t.Helper()
	cp, err := b.plan(h, want...)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := h.Apply(b.t.Context(), cp); err != nil {
		b.t.Fatal(err)
	}
	b.shows(h, want...)
	return cp
}

// shows checks what is read back.
func (b *hostBed) shows(h *Host, want ...models.Session) {
	b.t.Helper()
	st, err := h.Observe(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	got := []models.Session{}
	for _, s := range st.Sessions {
		if !strings.HasPrefix(s.Name, foreignPrefix) {
			s.Status = models.Status{}
			got = append(got, s)
		}
	}
	if d := cmp.Diff(append([]models.Session{}, want...), got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		b.t.Errorf("read back (-want +got):\n%s", d)
	}
}

// objects is what each namespace shows.
func (b *hostBed) objects() map[string]string {
	b.t.Helper()
	return map[string]string{
		"host": b.host.Objects("va0", "vb0", "m0", "m1"),
		"a":    b.a.Objects("x0", "eth0", "eth1", "ma"),
		"b":    b.b.Objects("eth0", "eth1", "mb"),
	}
}

func changed(before, after map[string]string) []string {
	var out []string
	for _, where := range []string{"host", "a", "b"} {
		if clsactText.ReplaceAllString(before[where], "") != clsactText.ReplaceAllString(after[where], "") {
			out = append(out, where)
		}
	}
	return out
}

// Frames of ports in other namespaces are copied in the directions that were asked
// for, each once; only the namespace of the session is touched; the session is read
// back by the names that it was asked for with, also by another driver.
func TestOtherNamespaces(t *testing.T) {
	kerneltest.NeedIproute(t)
	tests := []struct {
		name    string
		session models.Session
		into    map[string]int // frames sent into ports a:eth0, b:eth0, a:eth1
		out     map[string]int // frames sent out of them
		to      []string       // ports of the sensor that get copies
		copies  map[string]int // by port and "into" or "out"
		touched string
		steps   []string // that show, in part
	}{
		{
			name:    "a cable to the host, received",
			session: session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx)),
			copies:  map[string]int{"into a:eth0": 5}, to: []string{"c0"}, touched: "host",
			steps: []string{"tc qdisc add dev va0 clsact", "tc filter add dev va0 egress pref 21360 protocol all", " # netns:a/eth0 rx"},
		},
		{
			name:    "of a container, sent",
			session: session("sp-a", []string{"m0"}, port("container:b/eth0", models.Tx)),
			copies:  map[string]int{"out b:eth0": 5}, to: []string{"c0"}, touched: "host",
			steps: []string{"tc filter add dev vb0 ingress", " # container:b/eth0 tx"},
		},
		{
			name:    "both directions of both, and two destinations",
			session: session("sp-a", []string{"m0", "m1"}, port("container:b/eth0", models.Both), port("va0", models.Rx)),
			copies:  map[string]int{"into b:eth0": 5, "out b:eth0": 5, "out a:eth0": 5}, to: []string{"c0", "c1"}, touched: "host",
			steps: []string{" # container:b/eth0 tx", " # container:b/eth0 rx"},
		},
		{
			name:    "all in a named namespace",
			session: session("sp-a", []string{"netns:a/ma"}, port("netns:a/eth1", models.Rx), port("netns:a/eth0", models.Tx)),
			copies:  map[string]int{"into a:eth1": 5, "out a:eth0": 5}, to: []string{"ca"}, touched: "a",
			steps: []string{"ip netns exec a tc qdisc add dev eth1 clsact", "ip netns exec a tc filter add dev eth1 ingress"},
		},
		{
			name:    "all in a container",
			session: session("sp-a", []string{"container:b/mb"}, port("container:b/eth0", models.Both)),
			copies:  map[string]int{"into b:eth0": 5, "out b:eth0": 5}, to: []string{"cb"}, touched: "b",
			steps: []string{"nsenter --net=/proc/4321/ns/net tc filter add dev eth0 egress"},
		},
		{
			name:    "from the host into a namespace, by the cable",
			session: session("sp-a", []string{"netns:a/ma"}, port("va0", models.Rx)),
			copies:  map[string]int{"out a:eth0": 5}, to: []string{"ca"}, touched: "a",
			steps: []string{"ip netns exec a tc filter add dev eth0 egress", " # va0 rx"},
		},
		{
			name:    "from a container into a namespace, by the cable between them",
			session: session("sp-a", []string{"netns:a/ma"}, port("container:b/eth1", models.Tx)),
			copies:  map[string]int{"into a:eth1": 5}, to: []string{"ca"}, touched: "a",
			steps: []string{"ip netns exec a tc filter add dev eth1 ingress", " # container:b/eth1 tx"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newHostBed(t)
			h := b.open()
			before := b.objects()
			cp := b.to(h, tt.session)
			if got := changed(before, b.objects()); !slices.Equal(got, []string{tt.touched}) {
				t.Errorf("touched %v, want %s", got, tt.touched)
			}
			all := strings.Join(texts(cp.Script), "\n")
			for _, want := range tt.steps {
				if !strings.Contains(all, want) {
					t.Errorf("the script does not say %q:\n%s", want, all)
				}
			}
			b.shows(b.open(tt.session), tt.session)

			captures := make(map[string]*kerneltest.Capture)
			for _, port := range []string{"c0", "c1", "ca", "cb"} {
				captures[port] = b.sensor.Capture(port)
			}
			arrive := map[string]*kerneltest.Capture{"into a:eth0": b.a.Capture("eth0"), "into b:eth0": b.b.Capture("eth0"),
				"into a:eth1": b.a.Capture("eth1"), "out a:eth0": b.host.Capture("va0"), "out b:eth0": b.host.Capture("vb0")}
			b.send()
			for port, c := range captures {
				want := make(map[string]int)
				for mark := range arrive {
					want[mark] = 0
					if slices.Contains(tt.to, port) {
						want[mark] = tt.copies[mark]
					}
				}
				if d := cmp.Diff(want, c.Counts(want)); d != "" {
					t.Errorf("copies at %s (-want +got):\n%s", port, d)
				}
			}
			for mark, c := range arrive {
				if got := c.Count(mark, 5); got != 5 {
					t.Errorf("production: %d frames %s, want 5", got, mark)
				}
			}
			b.to(h)
			if got := changed(before, b.objects()); len(got) > 0 {
				t.Errorf("after the delete %v is not as before: %s", got, cmp.Diff(before, b.objects()))
			}
		})
	}
}

// send sends 5 frames into and out of each port.
func (b *hostBed) send() {
	frame := func(mark string) []byte { return kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 128) }
	b.host.Send("va0", frame("into a:eth0"), 5)
	b.host.Send("vb0", frame("into b:eth0"), 5)
	b.b.Send("eth1", frame("into a:eth1"), 5)
	b.a.Send("eth0", frame("out a:eth0"), 5)
	b.b.Send("eth0", frame("out b:eth0"), 5)
}

func TestHostRefuses(t *testing.T) {
	b := newHostBed(t)
	b.finder["container:still"] = &fakePlace{ns: b.b, pid: 7, paused: true}
	b.finder["container:secret"] = &fakePlace{err: &nsname.Error{Place: "container:secret", Err: fmt.Errorf("%w: %w", nsname.ErrUnknown, unix.EACCES), Hint: "run spanctl as root"}}
	b.finder["container:fake"] = &fakePlace{ns: b.host, pid: 9}
	h := b.open()
	tests := []struct {
		name string
		give models.Session
		kind transport.Kind
		text string
	}{
		{"paused, and far away", session("sp-a", []string{"m0"}, port("container:still/eth1", models.Rx)), transport.Rejected, "is paused: let it go on"},
		{"both ends of a cable", session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx), port("va0", models.Rx)), drivers.Unsupported, "are one cable"},
		{"two namespaces of destinations", session("sp-a", []string{"m0", "netns:a/ma"}, port("va0", models.Rx)), drivers.Unsupported, "in different network namespaces"},
		{"no such port", session("sp-a", []string{"m0"}, port("netns:a/eth9", models.Rx)), transport.Rejected, "source netns:a/eth9 does not exist"},
		{"no such destination", session("sp-a", []string{"netns:a/eth9"}, port("netns:a/eth0", models.Rx)), transport.Rejected, "destination netns:a/eth9 does not exist"},
		{"a copy into its own cable", session("sp-a", []string{"va0"}, port("netns:a/eth0", models.Rx)), drivers.Unsupported, "would be mirrored to itself"},
		{"gone", session("sp-a", []string{"m0"}, port("container:gone/eth0", models.Rx)), transport.Rejected, "container:gone: is not there (start it)"},
		{"paused", session("sp-a", []string{"container:still/mb"}, port("container:still/eth0", models.Rx)), transport.Rejected, "is paused: let it go on"},
		{"no permission", session("sp-a", []string{"m0"}, port("container:secret/eth0", models.Rx)), transport.Auth, "run spanctl as root"},
		{"a process number of elsewhere", session("sp-a", []string{"m0"}, port("container:fake/va0", models.Rx)), transport.Unreachable, "in the namespace of the host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.plan(h, tt.give)
			wantKind(t, err, tt.kind, tt.text)
		})
	}
	if _, err := b.plan(h, session("sp-b", []string{"m0"}, port("netns:a/eth0", models.Rx))); err != nil {
		t.Errorf("what is refused stands in the way of others: %v", err)
	}
}

// Copies that would come round through the cables between namespaces are refused.
func TestLoopThroughNamespaces(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	first := session("sp-a", []string{"netns:a/eth1"}, port("netns:a/eth0", models.Rx))
	second := session("sp-b", []string{"container:b/eth0"}, port("container:b/eth1", models.Rx))
	last := session("sp-c", []string{"va0"}, port("vb0", models.Rx))
	b.to(h, first, second)
	_, err := b.plan(h, first, second, last)
	wantKind(t, err, transport.Rejected, "come past vb0 again")
	if _, err := b.plan(h, first, last); err != nil {
		t.Errorf("without the middle one: %v", err)
	}
}

// All or nothing holds across namespaces: what was done in one is undone when
// something fails in another, and the error has the step as it stands in the script.
func TestUndoAcrossNamespaces(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newHostBed(t)
	h := b.open()
	inA := session("sp-a", []string{"netns:a/ma"}, port("netns:a/eth0", models.Both))
	inB := session("sp-b", []string{"container:b/mb"}, port("container:b/eth0", models.Both))
	onHost := session("sp-c", []string{"m0"}, port("vb0", models.Both))
	b.to(h, onHost)
	before := b.objects()
	cp, err := b.plan(h, inA, inB)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(cp.Script.Steps); n < 8 {
		t.Fatalf("%d steps: %q", n, texts(cp.Script))
	}
	for i, step := range cp.Script.Steps {
		failing := step.Text
		for _, sp := range []string{"ip netns exec a ", fmt.Sprintf("nsenter --net=/proc/%d/ns/net ", pidOfB)} {
			failing = strings.TrimPrefix(failing, sp)
		}
		tap := func(_ context.Context, what string, do func() error) error {
			if what == failing {
				return fmt.Errorf("%w: refused by the test", unix.EINVAL)
			}
			return do()
		}
		h := b.open(onHost)
		h.base.m.tap = tap
		err := h.Apply(t.Context(), cp)
		var e *drivers.Error
		if !errors.As(err, &e) || e.Hint != "" {
			t.Fatalf("step %d: %v, want a plain failure", i, err)
		}
		if !slices.Contains(texts(cp.Script), e.Command) {
			t.Errorf("step %d: the command %q is none of the script", i, e.Command)
		}
		b.shows(b.open(onHost), onHost)
		if d := cmp.Diff(withoutNumbers(before), withoutNumbers(b.objects())); d != "" {
			t.Fatalf("step %d (-before +after):\n%s", i, d)
		}
	}
	b.to(h, inA, inB)
}

// withoutNumbers leaves out what differs in a filter that was made again, and a clsact,
// which stays.
func withoutNumbers(objects map[string]string) map[string]string {
	out := make(map[string]string)
	for where, text := range objects {
		out[where] = actionNumbers.ReplaceAllString(clsactText.ReplaceAllString(text, ""), "")
	}
	return out
}

var actionNumbers = regexp.MustCompile(`"(index|fh|key_ht)":[^,]+,`)

// A change moves a session from one namespace to another, and Revert takes it back,
// from another driver too.
func TestMoveBetweenNamespaces(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	first := session("sp-a", []string{"m0"}, port("netns:a/eth0", models.Rx))
	second := session("sp-a", []string{"netns:a/ma"}, port("netns:a/eth0", models.Rx))
	third := session("sp-a", []string{"container:b/mb"}, port("container:b/eth0", models.Rx), port("container:b/eth1", models.Tx))
	b.to(h, first)
	b.to(h, second)
	cp := b.to(h, third)
	for range 2 {
		if err := b.open().Revert(t.Context(), cp); err != nil {
			t.Fatal(err)
		}
	}
	b.shows(b.open(third, second), second)
	c := b.sensor.Capture("ca")
	b.send()
	if got := c.Count("into a:eth0", 5); got != 5 {
		t.Errorf("%d copies after Revert, want 5", got)
	}
}
