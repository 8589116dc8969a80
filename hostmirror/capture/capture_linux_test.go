package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
)

// bed is a host with a port in0, whose other end is far's in1, and m0, to which what
// in0 receives or sends is copied. In far are in1 and m1.
func bed(t *testing.T, hook tcnl.Hook) (host, far *kerneltest.NS) {
	t.Helper()
	host, far = kerneltest.NewNS(t), kerneltest.NewNS(t)
	kerneltest.Veth(t, host, "in0", far, "in1")
	kerneltest.Veth(t, host, "m0", far, "m1")
	host.Settle("in0", "m0")
	tc, err := tcnl.Open(host.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tc.Close)
	if err := tc.AddClsact(t.Context(), host.Index("in0")); err != nil {
		t.Fatal(err)
	}
	if _, err := tc.AddMirror(t.Context(), tcnl.Mirror{Ifindex: host.Index("in0"), Hook: hook, Priority: 1, Kind: tcnl.U32, Target: host.Index("m0")}); err != nil {
		t.Fatal(err)
	}
	return host, far
}

func begin(t *testing.T, o Options) *Capture {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// framesOf reads a file back.
func framesOf(t *testing.T, file io.Reader) (out [][]byte) {
	t.Helper()
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
}

// TestTags: frames are in the file as they were sent, with one tag, with two, and
// without. What the interface receives is not.
func TestTags(t *testing.T) {
	host, far := bed(t, tcnl.Ingress)
	plain := kerneltest.TestFrame(kerneltest.Broadcast, "plain", 0, 100)
	tagged := kerneltest.TestFrame(kerneltest.Broadcast, "tagged", 100, 100)
	prio := kerneltest.TestFrame(kerneltest.Broadcast, "prio", 0xa064, 100) // priority 5
	double := append(append(bytes.Clone(tagged[:12]), 0x88, 0xa8, 0, 7), tagged[12:]...)
	want := [][]byte{plain, tagged, prio, double}
	c := begin(t, Options{Namespace: host.Path(), Interface: "m0", Name: "in0", Count: uint64(len(want))})
	far.Send("m1", plain, 3) // received by m0
	for _, f := range want {
		far.Send("in1", f, 1)
	}
	var file bytes.Buffer
	res, err := c.Run(t.Context(), &file)
	if err != nil || res.Captured != 4 || res.Dropped != 0 || res.Unsegmented != 0 || res.Bytes != 100*4+4 {
		t.Errorf("%+v, %v", res, err)
	}
	if d := cmp.Diff(want, framesOf(t, &file)); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
}

// TestOffloaded: what a host sends itself has unfinished checksums, and frames that
// are not cut yet. tshark finds no fault in the file, and all bytes.
func TestOffloaded(t *testing.T) {
	host, far := bed(t, tcnl.Egress)
	address := func(ns *kerneltest.NS, dev, addr string) {
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := ns.Netlink().AddrAdd(ns.Link(dev), a); err != nil {
			t.Fatal(err)
		}
	}
	address(host, "in0", "192.0.2.1/24")
	address(far, "in1", "192.0.2.2/24")
	c := begin(t, Options{Namespace: host.Path(), Interface: "m0", Name: "in0 tx", Description: "what in0 sends"})

	const size = 1 << 20
	var l net.Listener
	if err := far.Do(func() (err error) { l, err = net.Listen("tcp", "192.0.2.2:7000"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan int64, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer conn.Close()
		n, _ := io.Copy(io.Discard, conn)
		received <- n
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	name := filepath.Join(t.TempDir(), "tcp.pcapng")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	type ended struct {
		Result
		error
	}
	done := make(chan ended, 1)
	go func() {
		res, err := c.Run(ctx, file)
		done <- ended{res, err}
	}()
	var conn net.Conn
	if err := host.Do(func() (err error) { conn, err = net.Dial("tcp", "192.0.2.2:7000"); return err }); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if n := <-received; n != size {
		t.Fatalf("%d bytes came", n)
	}
	cancel() // what is in the buffer is written all the same
	end := <-done
	if end.error != nil || end.Dropped != 0 || end.Unsegmented == 0 {
		t.Errorf("%+v", end)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("tshark")
	if err != nil && os.Getenv("SPANCTL_KERNELLAB") != "" {
		t.Skip("SKIPPED inside the kernel lab: it has no tshark; the host's kernel runs this")
	}
	require.Need(t, require.Tshark, err == nil, "an independent reader of the file")
	out, err := exec.Command("tshark", "-r", name, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-T", "fields", "-E", "separator=/s", "-e", "tcp.checksum.status", "-e", "tcp.len", "-e", "frame.interface_name", "-Y", "tcp").Output()
	if err != nil {
		t.Fatal(err)
	}
	sum, frames := 0, 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != "1" || f[2]+" "+f[3] != "in0 tx" { // 1 = good
			t.Fatalf("tshark: %q", line)
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		sum, frames = sum+n, frames+1
	}
	if sum < size || frames >= size/1448 { // retransmissions can make it more
		t.Errorf("tshark sees %d bytes of payload in %d frames, want %d in fewer than %d", sum, frames, size, size/1448)
	}
	if out, err := exec.Command("tshark", "-r", name, "-Y", "_ws.malformed || _ws.expert.severity >= 8388608").CombinedOutput(); err != nil || strings.Contains(string(out), "192.0.2") {
		t.Errorf("tshark complains: %v\n%s", err, out)
	}
}

// TestDrops: what does not fit is counted, and the sum is what was there.
func TestDrops(t *testing.T) {
	host, far := bed(t, tcnl.Ingress)
	c := begin(t, Options{Namespace: host.Path(), Interface: "m0", Buffer: 64 << 10})
	const sent = 2000
	far.Send("in1", kerneltest.TestFrame(kerneltest.Broadcast, "many", 0, 1000), sent)
	time.Sleep(200 * time.Millisecond) // frames pass a veth in microseconds
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what is in the buffer is written all the same
	var file bytes.Buffer
	res, err := c.Run(ctx, &file)
	if err != nil || res.Dropped == 0 || res.Captured == 0 || res.Captured+res.Dropped != sent {
		t.Errorf("%+v, %v; want %d together", res, err, sent)
	}
	if n := len(framesOf(t, &file)); uint64(n) != res.Captured {
		t.Errorf("%d frames in the file, %d captured", n, res.Captured)
	}
}

// TestLive: a reader on a pipe need not wait for the end; one that goes away ends it.
func TestLive(t *testing.T) {
	host, far := bed(t, tcnl.Ingress)
	c := begin(t, Options{Namespace: host.Path(), Interface: "m0"})
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), w)
		done <- err
	}()
	ng, err := pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	frame := kerneltest.TestFrame(kerneltest.Broadcast, "live", 0, 100)
	far.Send("in1", frame, 1)
	got, _, err := ng.ReadPacketData()
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("%q, %v", got, err)
	}
	_ = r.Close()
	far.Send("in1", frame, 1)
	select {
	case err := <-done:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v, want a closed pipe", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on without a reader")
	}
}

// TestGone: the end of the interface ends the capture; setting it down does not.
func TestGone(t *testing.T) {
	host, far := bed(t, tcnl.Ingress)
	c := begin(t, Options{Namespace: host.Path(), Interface: "m0"})
	if err := host.Netlink().LinkSetDown(host.Link("m0")); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), &file)
		done <- err
	}()
	host.Up("m0")
	host.Settle("m0")
	far.Send("in1", kerneltest.TestFrame(kerneltest.Broadcast, "again", 0, 100), 1)
	time.Sleep(200 * time.Millisecond)
	if err := host.Netlink().LinkDel(host.Link("m0")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "m0: the interface is gone") {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on without an interface")
	}
	if n := len(framesOf(t, &file)); n != 1 {
		t.Errorf("%d frames, want the one sent after it was up again", n)
	}
}

func TestOpenErrors(t *testing.T) {
	host := kerneltest.NewNS(t)
	for _, o := range []Options{{Namespace: host.Path(), Interface: "nosuch0"}, {Namespace: "/nosuch", Interface: "lo"}} {
		_, err := Open(o)
		if err == nil || !strings.Contains(err.Error(), "capture on "+o.Interface) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
