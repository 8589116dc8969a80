package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spanctl/spanctl/internal/require"
)

// hostBed is a network namespace that spanctl works in as on a host of its own: what
// comes in at in1 is received by in0, what out0 sends comes in at out1. There is no
// inventory.
type hostBed struct {
	*bench
	ns string
}

var beds atomic.Int32

func newHostBed(t *testing.T, files map[string]string) *hostBed {
	t.Helper()
	require.HaveRoot(t, "network namespaces, and traffic control in them")
	for _, tool := range []string{"ip", "tc"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "iproute2", err == nil, "the kernel's own view of its configuration")
	}
	b := &hostBed{bench: &bench{t: t, dir: t.TempDir()}, ns: fmt.Sprintf("spanctl-host-%d-%d", os.Getpid(), beds.Add(1))}
	for name, text := range files {
		b.write(name, text)
	}
	b.env = append(os.Environ(), "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "SPANCTL_STORE="+filepath.Join(b.dir, "store.db"))
	command(t, "ip", "netns", "add", b.ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", b.ns).Run() })
	b.veth("in0", "in1")
	b.veth("out0", "out1")
	return b
}

// in runs a command line without quotes in the namespace; it must succeed.
func (b *hostBed) in(line string) string {
	b.t.Helper()
	return command(b.t, "ip", append([]string{"netns", "exec", b.ns}, strings.Fields(line)...)...)
}

func (b *hostBed) veth(a, z string) {
	b.t.Helper()
	b.in("ip link add " + a + " type veth peer name " + z)
	b.up(a, z)
}

func (b *hostBed) up(names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.in("sysctl -q -w net.ipv6.conf." + name + ".disable_ipv6=1")
		b.in("ip link set " + name + " up")
	}
}

// host gives the arguments of a spanctl host command for the namespace.
func (b *hostBed) host(args ...string) []string {
	return append(append([]string{"host"}, args...), "--device", "probe", "--namespace", "netns:"+b.ns)
}

// filters gives what tc shows at the ports that are there.
func (b *hostBed) filters(devs ...string) string {
	var all strings.Builder
	for _, dev := range devs {
		for _, side := range []string{"ingress", "egress"} {
			out, err := exec.Command("ip", "netns", "exec", b.ns, "tc", "-j", "filter", "show", "dev", dev, side).Output()
			if err == nil { // else the port is gone, or has no such qdisc
				all.Write(bytes.TrimSpace(out))
			}
		}
	}
	return strings.ReplaceAll(all.String(), "[]", "")
}

var hostFrame = append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, bytes.Repeat([]byte("spanctl "), 12)...)

// copied fails unless n copies of a frame that in0 receives come in at a port.
func (b *hostBed) copied(to string, want int) {
	b.t.Helper()
	if n, err := copies(b.ns, "in1", to, hostFrame); err != nil || n != want {
		b.t.Errorf("%d copies at %s, %v; want %d", n, to, err, want)
	}
}
