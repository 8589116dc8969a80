package hostmirror

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// needSSH says in the kernel lab, which has no SSH server, that the test is for the host.
func needSSH(t *testing.T) {
	t.Helper()
	kerneltest.NeedIproute(t)
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		t.Skip("SKIPPED inside the kernel lab: it has no SSH server; the host's kernel runs this")
	}
}

// needShell says in the kernel lab, whose shell is busybox's, that the test is for the host.
func needShell(t *testing.T) {
	t.Helper()
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		t.Skip("SKIPPED inside the kernel lab: its shell is busybox's, which takes its own tc; the host's kernel runs this")
	}
}

func (b *bed) remote(h *sshHost, known ...string) *Mirror {
	b.t.Helper()
	m, err := h.open(b.t.Context(), Options{Device: host, Known: known})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = m.Close() })
	return m
}

// What the login's shell is given to change something is the plan's text, to the letter;
// a delete has a look in front of it in the same message.
func TestRemoteSendsThePlan(t *testing.T) {
	needSSH(t)
	b := newBed(t)
	h := startSSH(t, b.host)
	m := b.remote(h)
	var sent []string
	first := b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Both)))
	second := b.to(m, session("sp-a", []string{"m1"}, port("r0", models.Rx)))
	for _, s := range slices.Concat(first.Script.Steps, second.Script.Steps) {
		sent = append(sent, s.Text)
	}
	var got []string
	for _, c := range h.commands() {
		_, step, guarded := strings.Cut(c, " && ")
		switch {
		case strings.HasPrefix(c, "tc "):
			got = append(got, c)
		case guarded && strings.HasPrefix(step, "tc filter del") && strings.Contains(step, "# cookie"):
			if !strings.Contains(c, "tc filter get dev r0") {
				t.Errorf("no look before %q", step)
			}
			got = append(got, step)
		}
	}
	if d := cmp.Diff(sent, got); d != "" || len(sent) < 5 {
		t.Errorf("(-plan +sent):\n%s", d)
	}
}

// A copy arrives, counters and facts are told, and what others have stays as it is.
func TestRemoteMirror(t *testing.T) {
	needSSH(t)
	b := newBed(t)
	b.foreigners("r0", "r1")
	before := b.objects()
	m := b.remote(startSSH(t, b.host))
	wanted := session("sp-a", []string{"m0"}, port("r0", models.Both))
	b.to(m, wanted)
	c := b.sensor.Capture("c0")
	left, right := b.flow("one", 20)
	b.expect(c, "one", want{left, right})
	counters, err := m.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	local, err := b.open("", "sp-a").Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(local, counters); d != "" || len(counters) != 2 {
		t.Errorf("counters (-netlink +shell):\n%s", d)
	}
	st, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same, err := b.open("", "sp-a").Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Facts.Traits) != 1 || !strings.HasPrefix(st.Facts.Traits[0], "iproute2 ") || st.Facts.Hostname == "" {
		t.Errorf("facts %+v", st.Facts)
	}
	st.Facts.Traits = same.Facts.Traits
	if d := cmp.Diff(same, st, equalPrefix); d != "" {
		t.Errorf("the host by a shell is another than by netlink (-netlink +shell):\n%s", d)
	}
	b.to(m)
	if d := cmp.Diff(before, b.objects()); d != "" {
		t.Errorf("not as before (-before +after):\n%s", d)
	}
}

// What has taken a filter's place since the plan was made is left alone, also when it
// came after Apply had looked.
func TestRemoteLooksBeforeDelete(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	const foreigner = "tc filter add dev r0 ingress pref 21328 protocol all u32 match u32 0 0 action mirred egress mirror dev m1 continue cookie 0102"
	for _, tt := range []struct {
		name   string
		change []string
		text   string
	}{
		{"gone", []string{"tc filter del dev r0 ingress pref 21328"}, "no longer there"},
		{"another in its place", []string{"tc filter del dev r0 ingress pref 21328", foreigner}, "another filter has taken this place"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			m, err := OpenRemote(t.Context(), Options{Device: host, Prefer: []string{tcnl.U32}}, &localShell{ns: b.host})
			if err != nil {
				t.Fatal(err)
			}
			b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
			cp := b.plan(m)
			m.tap = func(_ context.Context, what string, do func() error) error {
				if what != "" { // Apply has looked
					for _, line := range tt.change {
						b.host.Run(line)
					}
				}
				return do()
			}
			var objects string
			m.tap = after(m.tap, func() { objects = b.objects() })
			wantKind(t, m.Apply(t.Context(), cp), transport.Rejected, tt.text)
			if d := cmp.Diff(objects, b.objects()); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

// after calls f when a step was tried.
func after(tap func(context.Context, string, func() error) error, f func()) func(context.Context, string, func() error) error {
	return func(ctx context.Context, what string, do func() error) error {
		err := tap(ctx, what, do)
		if what != "" {
			f()
		}
		return err
	}
}

// A step that fails in the middle: the steps before it are undone, by the same shell.
func TestRemoteUndo(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	for _, kind := range []string{tcnl.MatchAll, tcnl.U32, tcnl.BPF} {
		t.Run(kind, func(t *testing.T) {
			b := newBed(t)
			prober := &remoteAccess{run: &localShell{ns: b.host}, mark: "@test"}
			why := prober.probe(t.Context(), []string{kind})
			require.Need(t, "cls_"+kind, len(why.usable) == 1, why.reasons())
			b.foreigners("r0", "r1")
			m, err := OpenRemote(t.Context(), Options{Device: host, Prefer: []string{kind}}, &localShell{ns: b.host})
			if err != nil {
				t.Fatal(err)
			}
			sampled := session("sp-a", []string{"m0"}, port("r0", models.Both))
			b.to(m, sampled)
			before := renumbered.ReplaceAllString(b.objects(), "")
			cp := b.plan(m, session("sp-b", []string{"m1"}, port("r1", models.Both)))
			if n := len(cp.Script.Steps); n != 4 {
				t.Fatalf("%d steps, want two filters made and two deleted", n)
			}
			last := cp.Script.Steps[3].Text
			m.tap = func(_ context.Context, what string, do func() error) error {
				if what == last {
					return errors.New("refused by the test")
				}
				return do()
			}
			err = m.Apply(t.Context(), cp)
			wantKind(t, err, transport.Rejected, "refused by the test")
			if strings.Contains(err.Error(), "not all could be undone") {
				t.Error(err)
			}
			if d := cmp.Diff(before, renumbered.ReplaceAllString(b.objects(), "")); d != "" {
				t.Errorf("(-before +after):\n%s", d)
			}
		})
	}
}

// ctx ends while the host is silent on a step: it is not known whether it was done, and
// looking settles it.
func TestRemoteSilentStep(t *testing.T) {
	needSSH(t)
	b := newBed(t)
	h := startSSH(t, b.host)
	m := b.remote(h)
	cp := b.plan(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	ctx, cancel := context.WithCancel(t.Context())
	step := cp.Script.Steps[len(cp.Script.Steps)-1].Text
	h.hang(step)
	m.tap = func(_ context.Context, what string, do func() error) error {
		if what == step {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
		return do()
	}
	from := time.Now()
	err := m.Apply(ctx, cp)
	var de *drivers.Error
	if !errors.As(err, &de) || de.Kind != transport.Canceled || !de.InDoubt || de.Command != step || de.Hint != "" {
		t.Errorf("got %#v: %v", de, err)
	}
	if took := time.Since(from); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
	if left := b.host.Run("tc filter show dev r0 ingress"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// The connection breaks in the middle of Apply: the step may have been done, nothing can
// be undone, and a new connection brings the host back.
func TestRemoteConnectionCut(t *testing.T) {
	needSSH(t)
	b := newBed(t)
	h := startSSH(t, b.host)
	way := &cutter{}
	h.options.NetDial = way.dial
	m := b.remote(h)
	before := b.host.Run("tc filter show dev r0 ingress")
	cp := b.plan(m, session("sp-a", []string{"m0", "m1"}, port("r0", models.Rx)))
	last := cp.Script.Steps[len(cp.Script.Steps)-1].Text
	h.hang(last)
	m.tap = func(_ context.Context, what string, do func() error) error {
		if what == last {
			time.AfterFunc(200*time.Millisecond, way.cut)
		}
		return do()
	}
	err := m.Apply(t.Context(), cp)
	var de *drivers.Error
	if !errors.As(err, &de) || de.Kind != transport.Unreachable || !de.InDoubt || de.Command != last || !strings.Contains(de.Hint, "not all could be undone") {
		t.Errorf("got %#v: %v", de, err)
	}
	if left := b.host.Run("tc filter show dev r0 ingress"); !strings.Contains(left, "mirred") {
		t.Error("the test is to break off between two steps, and nothing was done")
	}
	if _, err := m.Observe(t.Context()); err == nil {
		t.Error("a connection that broke still gives a state")
	}
	again := b.remote(h, "sp-a")
	if err := again.Revert(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, b.host.Run("tc filter show dev r0 ingress")); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// cutter makes connections that can be cut, with a path of some length.
type cutter struct {
	late time.Duration // each answer
	mu   sync.Mutex
	last net.Conn
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = raw
	if c.late > 0 {
		return slowed(raw, c.late), nil
	}
	return raw, nil
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.last.Close()
}

// slowed gives what raw receives some time later, as a long path does.
func slowed(raw net.Conn, late time.Duration) net.Conn {
	type piece struct {
		due time.Time
		b   []byte
	}
	pieces := make(chan piece, 1024)
	r, w := io.Pipe()
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := raw.Read(b)
			if n > 0 {
				pieces <- piece{time.Now().Add(late), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			_, _ = w.Write(p.b)
		}
		_ = w.Close()
	}()
	return slowConn{raw, r}
}

type slowConn struct {
	net.Conn
	r io.Reader
}

func (c slowConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// A long path: a look costs one round trip more than on a short one. The path is much
// longer than what a busy machine adds.
func TestRemoteLongPath(t *testing.T) {
	needSSH(t)
	const rtt = 200 * time.Millisecond
	b := newBed(t)
	h := startSSH(t, b.host)
	near := b.remote(h)
	h.options.NetDial = (&cutter{late: rtt}).dial
	far := b.remote(h)
	look := func(m *Mirror) time.Duration {
		time.Sleep(2 * rtt) // the next channel opens
		from := time.Now()
		if _, err := m.Observe(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(from)
	}
	here, there := time.Hour, time.Hour
	for range 5 {
		here, there = min(here, look(near)), min(there, look(far))
	}
	t.Logf("a look takes %v, %v with a round trip of %v", here, there, rtt)
	if more := there - here; more < rtt*4/5 || more > rtt*9/5 {
		t.Errorf("a look takes %v more at %v, want one round trip", more, rtt)
	}
}
