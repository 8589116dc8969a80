package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/internal/require"
)

// TestLinuxHost mirrors on this host's kernel, in a network namespace of the test,
// as an inventory names it: applied, seen by tc, proven by a frame, deleted, and
// everything as before.
func TestLinuxHost(t *testing.T) {
	t.Parallel()
	require.HaveRoot(t, "network namespaces, and traffic control in them")
	for _, tool := range []string{"ip", "tc"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "iproute2", err == nil, "the kernel's own view of its configuration")
	}
	ns := fmt.Sprintf("spanctl-cmd-%d", os.Getpid())
	command(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", ns).Run() })
	in := func(args ...string) string {
		return command(t, "ip", append([]string{"netns", "exec", ns}, args...)...)
	}
	for _, pair := range [][2]string{{"in0", "in1"}, {"out0", "out1"}} {
		in("ip", "link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
		for _, name := range pair {
			in("sysctl", "-q", "-w", "net.ipv6.conf."+name+".disable_ipv6=1")
			in("ip", "link", "set", name, "up")
		}
	}
	// A stranger's filter on another port of the same kind.
	in("tc", "qdisc", "add", "dev", "in1", "clsact")
	in("tc", "filter", "add", "dev", "in1", "egress", "pref", "7", "protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1")
	view := func() string {
		var all strings.Builder
		for _, dev := range []string{"in0", "in1", "out0", "out1"} {
			all.WriteString(in("tc", "-j", "qdisc", "show", "dev", dev))
			for _, side := range []string{"ingress", "egress"} {
				out, err := exec.Command("ip", "netns", "exec", ns, "tc", "-j", "filter", "show", "dev", dev, side).Output()
				if err != nil {
					out = nil // the port has no such qdisc
				}
				all.Write(out)
			}
		}
		return all.String()
	}
	before := view()

	b := newBench(t, map[string]string{
		"host.yaml": "apiVersion: spanctl/v1\nkind: Inventory\ndevices:\n  - {name: probe, platform: linux, address: \"netns:" + ns + "\"}\n",
		"tap.yaml": `apiVersion: spanctl/v1
kind: Mirror
metadata: {name: tap, owner: secops, reason: CHG-3}
spec:
  sources: [{device: probe, interfaces: [in0], direction: rx}]
  destination: {interface: {device: probe, name: out0}}
  expires: 1h
`})
	b.env = append(b.env, "SPANCTL_INVENTORY=host.yaml")
	says(t, b.must("devices").out, "probe", "linux", "yes")
	if e := b.run("plan", "tap.yaml"); e.status != exitDiffers || !strings.Contains(e.out, "mirred") || !strings.Contains(e.out, "no way back of their own: probe") {
		t.Errorf("plan: %+v", e)
	}
	if got := view(); got != before {
		t.Fatalf("plan changed the kernel:\n%s\nwas:\n%s", got, before)
	}
	says(t, b.must("apply", "--yes", "tap.yaml").out, "intent tap: applied")
	if got := in("tc", "-j", "filter", "show", "dev", "in0", "ingress"); !strings.Contains(got, `"mirred"`) || !strings.Contains(got, `"out0"`) {
		t.Errorf("tc shows no mirror on in0: %s", got)
	}
	says(t, b.must("plan", "tap.yaml").out, "nothing to do")
	says(t, b.must("verify", "tap.yaml").out, "configured as intended")
	says(t, b.must("status").out, "sp-tap", "ours")
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, bytes.Repeat([]byte("spanctl "), 12)...)
	if n, err := copies(ns, "in1", "out1", frame); err != nil || n != 1 {
		t.Errorf("%d copies of a frame, %v; want 1", n, err)
	}
	says(t, b.must("delete", "--yes", "tap").out, "intent tap: applied")
	// An empty clsact stays, since others may have come to use it (package hostmirror).
	const empty = `,{"kind":"clsact","handle":"ffff:","parent":"ffff:fff1","options":{}}`
	if got := strings.Replace(view(), empty, "", 1); got != before {
		t.Errorf("after delete:\n%s\nbefore apply:\n%s", got, before)
	}
	if n, err := copies(ns, "in1", "out1", frame); err != nil || n != 0 {
		t.Errorf("%d copies of a frame after delete, %v; want none", n, err)
	}
}

// command runs a tool of the system that must succeed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copies sends a frame at one port of a network namespace and counts how often it
// comes in at another.
func copies(ns, from, to string, frame []byte) (int, error) {
	return copiesAs(ns, from, to, frame, frame)
}

// copiesAs is copies for copies that are not as the frame.
func copiesAs(ns, from, to string, frame, want []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its namespace with it
		n, err := copiesHere(ns, from, to, frame, want)
		done <- result{n, err}
	}()
	r := <-done
	return r.n, r.err
}

func copiesHere(ns, from, to string, frame, want []byte) (int, error) {
	h, err := netns.GetFromName(ns)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	if err := netns.Set(h); err != nil {
		return 0, err
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	open := func(name string) (int, error) {
		ifc, err := net.InterfaceByName(name)
		if err != nil {
			return -1, err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		if err != nil {
			return -1, err
		}
		return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index})
	}
	rx, err := open(to)
	if err != nil {
		return 0, err
	}
	defer unix.Close(rx)
	tx, err := open(from)
	if err != nil {
		return 0, err
	}
	defer unix.Close(tx)
	wait := unix.NsecToTimeval(int64(300 * time.Millisecond))
	if err := unix.SetsockoptTimeval(rx, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return 0, err
	}
	if _, err := unix.Write(tx, frame); err != nil {
		return 0, err
	}
	n := 0
	for buf := make([]byte, 2048); ; {
		k, err := unix.Read(rx, buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if bytes.Equal(buf[:k], want) {
			n++
		}
	}
}
