package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/internal/require"
)

// newBareBed gives a hostBed that needs no program but spanctl, so that it works in the
// virtual machine of the kernel lab: in0 and in1.
func newBareBed(t *testing.T) (*hostBed, *netlink.Handle) {
	t.Helper()
	require.HaveRoot(t, "network namespaces, and traffic control in them")
	b := &hostBed{bench: &bench{t: t, dir: t.TempDir()}, ns: fmt.Sprintf("spanctl-bare-%d-%d", os.Getpid(), beds.Add(1))}
	b.env = append(os.Environ(), "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "SPANCTL_STORE="+filepath.Join(b.dir, "store.db"))
	made := make(chan error)
	var ns netns.NsHandle
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		if ns, err = netns.NewNamed(b.ns); err == nil {
			// The host shall say nothing by itself.
			err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
			if errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
				err = nil
			}
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ns.Close()
		_ = netns.DeleteNamed(b.ns)
	})
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "trial0"
	trial := &netlink.Dummy{LinkAttrs: attrs}
	err = h.LinkAdd(trial)
	require.Need(t, "dummy", err == nil, "an interface that leads nowhere: "+fmt.Sprint(err))
	attrs = netlink.NewLinkAttrs()
	attrs.Name = "in0"
	err = errors.Join(h.LinkDel(trial), h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "in1"}))
	for _, name := range []string{"in0", "in1"} {
		link, e := h.LinkByName(name)
		if err = errors.Join(err, e); err == nil {
			err = h.LinkSetUp(link)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b, h
}

// clean fails while something of a capture is left.
func clean(t *testing.T, h *netlink.Handle) {
	t.Helper()
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "span-") {
			t.Errorf("interface %s is left", l.Attrs().Name)
		}
		if l.Attrs().Name != "in0" {
			continue
		}
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, err := h.FilterList(l, parent)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range filters {
				t.Errorf("filter %s pref %d is left", f.Type(), f.Attrs().Priority)
			}
		}
	}
}

// captures starts a capture and waits until it listens.
func (b *hostBed) captures(args ...string) *process {
	b.t.Helper()
	p := b.start(nil, b.host(append([]string{"capture", "in0", "--yes"}, args...)...)...)
	b.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			p.wait()
		}
	})
	if !await(func() bool { return strings.Contains(p.err.String(), "Ctrl-C ends it") }) {
		_ = p.cmd.Process.Kill()
		b.t.Fatalf("no capture: %+v", p.wait())
	}
	return p
}

// sends sends frames out of in1.
func (b *hostBed) sends(frames ...[]byte) {
	b.t.Helper()
	for _, f := range frames {
		if _, err := copiesAs(b.ns, "in1", "in0", f, nil); err != nil {
			b.t.Fatal(err)
		}
	}
}

// tests gives those of a file's frames that are of this test: a host sends some itself.
func tests(t *testing.T, file string) (out [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
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
		if bytes.Contains(data, []byte("spanctl ")) {
			out = append(out, data)
		}
	}
}

func tagged(frame []byte, tags ...byte) []byte {
	return append(append(bytes.Clone(frame[:12]), tags...), frame[12:]...)
}

func TestHostCapture(t *testing.T) {
	b, h := newBareBed(t)
	file := filepath.Join(b.dir, "out.pcapng")
	want := [][]byte{hostFrame, tagged(hostFrame, 0x81, 0, 0, 100), tagged(hostFrame, 0x88, 0xa8, 0, 7, 0x81, 0, 0x60, 100)}

	// So many frames, and the report.
	p := b.captures("--direction", "rx", "-w", file, "--count", fmt.Sprint(len(want)), "-o", "json",
		"--filter", "{exclude: {proto: tcp, dport: [22]}}")
	b.sends(want...)
	e := p.wait()
	var rep CaptureReport
	if err := json.Unmarshal([]byte(e.out), &rep); err != nil || e.status != exitOK {
		t.Fatalf("%v: %+v", err, e)
	}
	if rep.Captured != 3 || rep.Dropped != 0 || rep.Ended != "count" || rep.File != file {
		t.Errorf("%+v", rep)
	}
	if d := cmp.Diff(want, tests(t, file)); d != "" {
		t.Errorf("frames (-sent +captured):\n%s", d)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a file for its owner", info, err)
	}
	clean(t, h)

	// What is there is not written over.
	e = b.run(b.host("capture", "in0", "--yes", "-w", file)...)
	if e.status != exitError || !strings.Contains(e.err, "is there already") || len(tests(t, file)) != 3 {
		t.Errorf("%+v", e)
	}

	// Ctrl-C.
	again := filepath.Join(b.dir, "again.pcapng")
	p = b.captures("-w", again)
	b.sends(hostFrame)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	e = p.wait()
	if e.status != exitOK {
		t.Errorf("status %d", e.status)
	}
	says(t, e.out, "captured", "0 dropped")
	says(t, e.err, "interrupted: ", "the mirror was taken away")
	if d := cmp.Diff([][]byte{hostFrame}, tests(t, again)); d != "" {
		t.Errorf("frames (-sent +captured):\n%s", d)
	}
	clean(t, h)

	// A while.
	p = b.captures("-w", filepath.Join(b.dir, "while.pcapng"), "--for", "1s")
	if e = p.wait(); e.status != exitOK {
		t.Errorf("%+v", e)
	}
	clean(t, h)
}

// TestHostCapturePipe: the file goes to a reader, which may go away.
func TestHostCapturePipe(t *testing.T) {
	b, h := newBareBed(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: b.command(b.host("capture", "in0", "--yes", "-w", "-")...)}
	p.cmd.Stdout, p.cmd.Stderr = w, &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	ng, err := pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	b.sends(hostFrame)
	for {
		data, _, err := ng.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(data, hostFrame) {
			break
		}
	}
	_ = r.Close()
	gone := make(chan ended, 1)
	go func() { gone <- p.wait() }()
	for end := time.Now().Add(20 * time.Second); ; {
		b.sends(hostFrame) // it learns of it when it writes
		select {
		case e := <-gone:
			if e.status != exitOK {
				t.Errorf("%+v", e)
			}
			says(t, e.err, "the reader of standard output has gone")
			clean(t, h)
			return
		default:
		}
		if time.Now().After(end) {
			t.Fatal("it goes on without a reader")
		}
	}
}

// TestHostCaptureKilled: what a kill -9 leaves is on record, and goes on request; the
// capture that comes next is not disturbed.
func TestHostCaptureKilled(t *testing.T) {
	b, h := newBareBed(t)
	p := b.captures("-w", filepath.Join(b.dir, "a.pcapng"))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if e := p.wait(); e.signal != syscall.SIGKILL {
		t.Fatalf("%+v", e)
	}
	st := b.status()
	if len(st.Sessions) != 1 || !strings.HasPrefix(st.Sessions[0].Intent, "capture-") || st.Sessions[0].Expires.IsZero() {
		t.Fatalf("%+v", st.Sessions)
	}
	next := b.captures("-w", filepath.Join(b.dir, "b.pcapng"), "--count", "1")
	b.sends(hostFrame)
	if e := next.wait(); e.status != exitOK {
		t.Errorf("%+v", e)
	}
	says(t, b.must(b.host("apply", "--yes", "--remove", st.Sessions[0].Intent)...).out, st.Sessions[0].Intent+": applied")
	clean(t, h)
}

func TestHostCaptureRefuses(t *testing.T) {
	b, h := newBareBed(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"in00"}, "the device has no port in00; did you mean in0?"},
		{[]string{"in0", "--filter", "{includ: {proto: tcp}}"}, "--filter: "},
		{[]string{"in0", "--filter", "{include: {proto: tcp, dport: [http]}}"}, "--filter: "},
		{[]string{"in0", "--filter", "include: ["}, `--filter "include: ["`},
		{[]string{"in0", "--direction", "up"}, "--direction"},
		{[]string{"in0", "--for", "0s"}, "--for is 0s"},
		{[]string{"in0", "-w", "/nosuch/file"}, "/nosuch/file"},
	} {
		e := b.run(b.host(append([]string{"capture", "--yes"}, tt.args...)...)...)
		if e.status != exitError || !strings.Contains(e.err, tt.want) {
			t.Errorf("%q: %+v; want %q", tt.args, e, tt.want)
		}
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "*.pcapng"))
	if err != nil || len(files) > 0 {
		t.Errorf("left: %v, %v", files, err)
	}
	clean(t, h)
}
