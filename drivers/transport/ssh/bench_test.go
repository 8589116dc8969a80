package ssh

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scrapli/scrapligo/driver/generic"
	"github.com/scrapli/scrapligo/driver/options"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/spanctl/spanctl/drivers/transport"
)

var (
	benchReads = reqs("show running-config section monitor session", "show monitor session", "show interfaces status")
	benchRun   atomic.Int64
)

// benchScript is a change and its confirmation, under a name that the switches
// have not seen.
func benchScript() (name string, apply, confirm []transport.Step) {
	name = fmt.Sprintf("%06d", benchRun.Add(1))
	return name, []transport.Step{
			{Phase: transport.Enter, Text: "configure session " + name},
			{Phase: transport.Edit, Text: "no monitor session web"},
			{Phase: transport.Edit, Text: "monitor session web source Ethernet1 rx"},
			{Phase: transport.Edit, Text: "monitor session web destination Ethernet4"},
			{Phase: transport.Commit, Text: "commit timer 00:05:00"},
		}, []transport.Step{
			{Phase: transport.Commit, Text: "configure session " + name + " commit"},
		}
}

// countConn counts round trips: reads that bring something after a write.
type countConn struct {
	net.Conn
	mu    sync.Mutex
	wrote bool
	trips int
}

func (c *countConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.wrote = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *countConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.wrote {
		c.trips++
		c.wrote = false
	}
	return n, err
}

func (c *countConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trips
}

// applyOurs does a whole apply: open, observe, edit, commit, read back, confirm.
func applyOurs(ctx context.Context, o Options) error {
	_, change, confirm := benchScript()
	c, err := Dial(ctx, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Read(ctx, benchReads); err != nil {
		return err
	}
	if err := c.Send(ctx, change); err != nil {
		return err
	}
	got, err := c.Read(ctx, benchReads)
	if err != nil {
		return err
	}
	if !strings.Contains(got[0].Text, "monitor session web destination Ethernet4") {
		return fmt.Errorf("read back: %q", got[0].Text)
	}
	return c.Send(ctx, confirm)
}

// applyBare sends the same bytes with nothing but package ssh, and knows what
// will come: the limit. It does not even parse.
func applyBare(ctx context.Context, addr string, conn net.Conn) error {
	nc, chans, rs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: "admin", Auth: []ssh.AuthMethod{ssh.Password("right")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the peer of a benchmark on loopback
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(nc, chans, rs)
	defer client.Close()
	ch, crs, err := client.OpenChannel("session", nil)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(crs)
	pty := struct {
		Term                  string
		Columns, Rows, Wx, Wy uint32
		Modes                 string
	}{"vt100", 32767, 1000, 0, 0, "\x00"}
	if _, err := ch.SendRequest("pty-req", false, ssh.Marshal(&pty)); err != nil {
		return err
	}
	if _, err := ch.SendRequest("shell", false, nil); err != nil {
		return err
	}
	reads := ""
	for _, r := range benchReads {
		reads += r.Text + "\n"
	}
	reads += "   \n"
	name, change, confirm := benchScript()
	edit := ""
	for _, s := range change[:4] {
		edit += s.Text + "\n"
	}
	buf := make([]byte, 4<<10)
	for _, x := range []struct{ say, until string }{
		{"enable\nterminal length 0\nterminal width 32767\n" + reads, "leaf1#   \r\nleaf1#"},
		{edit, "Ethernet4\r\nleaf1(config-s-" + name + ")#"},
		{change[4].Text + "\n", "commit timer 00:05:00\r\nleaf1#"},
		{reads, "leaf1#   \r\nleaf1#"},
		{confirm[0].Text + "\n", name + " commit\r\nleaf1#"},
	} {
		if _, err := ch.Write([]byte(x.say)); err != nil {
			return err
		}
		var got []byte
		for !bytes.HasSuffix(got, []byte(x.until)) {
			n, err := ch.Read(buf)
			if err != nil {
				return fmt.Errorf("after %q: %q: %w", x.say, got, err)
			}
			got = append(got, buf[:n]...)
		}
	}
	return ctx.Err()
}

// labProfile is compiled once, as drivers do.
var labProfile = eosProfile()

func labOptions(addr string, keys *HostKeys) Options {
	return Options{
		Device: "leaf1", Profile: labProfile, ConnectTimeout: time.Minute, StepTimeout: time.Minute,
		Endpoint: Endpoint{Address: addr, User: "admin", Auth: Auth{Password: secret("right")}, HostKeys: keys},
	}
}

func insecure(t testing.TB) *HostKeys {
	t.Helper()
	k, err := NewHostKeys(Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bareHandshakeTrips(t testing.TB, addr string) int {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	cc := &countConn{Conn: raw}
	c, chans, rs, err := ssh.NewClientConn(cc, addr, &ssh.ClientConfig{User: "admin", Auth: []ssh.AuthMethod{ssh.Password("right")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey()}) // the peer of a test on loopback
	if err != nil {
		t.Fatal(err)
	}
	n := cc.count()
	client := ssh.NewClient(c, chans, rs)
	_ = client.Close()
	_ = client.Wait()
	return n
}

func TestRoundTrips(t *testing.T) {
	const rtt = 30 * time.Millisecond
	addr := lab(t, 1, rtt)[0]
	o := labOptions(addr, insecure(t))
	var cc *countConn
	o.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		cc = &countConn{Conn: c}
		return cc, err
	}
	// On a busy machine the two directions of the handshake fall together in
	// different ways, which counts more or fewer trips: the least of some tries.
	least := 100
	for range 5 {
		handshake := bareHandshakeTrips(t, addr)
		start := time.Now()
		if err := applyOurs(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		got := cc.count() - handshake
		t.Logf("%d round trips after a handshake of %d; %v in all, %.1f times the RTT", got, handshake, took, float64(took)/float64(rtt))
		if least = min(least, got); least <= 6 {
			return
		}
	}
	t.Errorf("%d round trips after the handshake, want 6 at most", least)
}

type cost struct {
	wall, cpu time.Duration
	memory    uint64 // peak over the base, bytes
}

// measure runs f for every address, width at a time.
func measure(t testing.TB, addrs []string, width int, f func(ctx context.Context, addr string) error) cost {
	t.Helper()
	runtime.GC()
	base := inUse()
	var peak uint64
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				peak = max(peak, inUse())
			}
		}
	}()
	cpu, start := cpuTime(), time.Now()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(width)
	for _, a := range addrs {
		g.Go(func() error {
			if err := f(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
			return nil
		})
	}
	err := g.Wait()
	c := cost{wall: time.Since(start), cpu: cpuTime() - cpu}
	close(done)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	c.memory = peak - min(base, peak)
	return c
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply is a whole apply on many devices at 50 ms, beside a bare client
// that sends the same bytes.
func BenchmarkApply(b *testing.B) {
	for _, size := range []struct{ devices, width int }{{100, 50}, {1000, 200}} {
		b.Run(fmt.Sprintf("devices=%d/width=%d", size.devices, size.width), func(b *testing.B) {
			addrs := lab(b, size.devices, 50*time.Millisecond)
			keys := insecure(b)
			var ours, bare cost
			for b.Loop() {
				bare = measure(b, addrs, size.width, func(ctx context.Context, addr string) error {
					raw, err := net.Dial("tcp", addr)
					if err != nil {
						return err
					}
					return applyBare(ctx, addr, raw)
				})
				ours = measure(b, addrs, size.width, func(ctx context.Context, addr string) error {
					return applyOurs(ctx, labOptions(addr, keys))
				})
			}
			n := float64(size.devices)
			b.ReportMetric(ours.wall.Seconds(), "wall-s")
			b.ReportMetric(bare.wall.Seconds(), "bare-wall-s")
			b.ReportMetric(ours.wall.Seconds()/bare.wall.Seconds(), "wall-ratio")
			b.ReportMetric(ours.cpu.Seconds()*1000/n, "cpu-ms/device")
			b.ReportMetric(bare.cpu.Seconds()*1000/n, "bare-cpu-ms/device")
			b.ReportMetric(ours.cpu.Seconds()/bare.cpu.Seconds(), "cpu-ratio")
			b.ReportMetric(float64(ours.memory)/1024/float64(size.width), "KB/in-flight")
			b.ReportMetric(float64(bare.memory)/1024/float64(size.width), "bare-KB/in-flight")
		})
	}
}

// applyScrapligo is what the same apply costs with scrapligo's own driver.
func applyScrapligo(_ context.Context, addr string) error {
	_, change, confirm := benchScript()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	d, err := generic.NewDriver(host, options.WithPort(n), options.WithTransportType("standard"),
		options.WithAuthUsername("admin"), options.WithAuthPassword("right"), options.WithAuthNoStrictKey(),
		options.WithPromptPattern(regexp.MustCompile(`(?m)^leaf1(\(config[^)]*\))?[>#]\s?$`)))
	if err != nil {
		return err
	}
	if err := d.Open(); err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.GetPrompt(); err != nil { // else the first answer is a wrong one
		return err
	}
	lines := []string{"terminal length 0", "terminal width 32767"}
	for _, r := range benchReads {
		lines = append(lines, r.Text)
	}
	for _, s := range change {
		lines = append(lines, s.Text)
	}
	for _, r := range benchReads {
		lines = append(lines, r.Text)
	}
	lines = append(lines, confirm[0].Text)
	got, err := d.SendCommands(lines)
	if err != nil {
		return err
	}
	return got.Failed
}

// BenchmarkScrapligo is the reason why the lines are not typed by scrapligo.
func BenchmarkScrapligo(b *testing.B) {
	addrs := lab(b, 100, 50*time.Millisecond)
	keys := insecure(b)
	var theirs, ours cost
	for b.Loop() {
		theirs = measure(b, addrs, 50, applyScrapligo)
		ours = measure(b, addrs, 50, func(ctx context.Context, addr string) error { return applyOurs(ctx, labOptions(addr, keys)) })
	}
	b.ReportMetric(theirs.wall.Seconds()/ours.wall.Seconds(), "wall-ratio")
	b.ReportMetric(theirs.cpu.Seconds()/ours.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(theirs.cpu.Seconds()*10, "cpu-ms/device")
	b.ReportMetric(theirs.wall.Seconds(), "wall-s")
	b.ReportMetric(float64(theirs.memory)/1024/50, "KB/in-flight")
}
