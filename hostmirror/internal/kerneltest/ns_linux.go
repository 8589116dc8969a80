package kerneltest

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/internal/require"
)

// NS is a network namespace without a name. It goes away with the test.
type NS struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

// NewNS makes a namespace with nothing but its loopback device. IPv6 is switched off
// for links made later, so that the kernel sends nothing by itself.
func NewNS(t testing.TB) *NS {
	t.Helper()
	require.HaveRoot(t, "network namespaces and netlink writes")
	n := &NS{t: t}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		n.ns, err = netns.Get()
		return err
	})
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { _ = n.ns.Close() })
	if n.nl, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.nl.Close)
	return n
}

// onOwnThread runs f on a thread that is thrown away afterwards, so that no other
// goroutine ever sees what f did to it.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// FD is the namespace's file descriptor, owned by the NS.
func (n *NS) FD() int { return int(n.ns) }

// Path is a path to the namespace that works in this process.
func (n *NS) Path() string { return fmt.Sprintf("/proc/self/fd/%d", int(n.ns)) }

// Netlink is a handle that works in the namespace.
func (n *NS) Netlink() *netlink.Handle { return n.nl }

// Do runs f on a thread inside the namespace.
func (n *NS) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return err
		}
		return f()
	})
}

// Command runs a program in the namespace and gives its standard output.
func (n *NS) Command(name string, args ...string) (string, error) {
	return n.feed("", name, args...)
}

func (n *NS) feed(input, name string, args ...string) (string, error) {
	var out, errOut strings.Builder
	err := n.Do(func() error { // a child is born in the namespace of the thread that starts it
		cmd := exec.Command(name, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
		return cmd.Run()
	})
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), err
}

// Run is Command for a line without quotes that has to succeed.
func (n *NS) Run(line string) string {
	n.t.Helper()
	f := strings.Fields(line)
	out, err := n.Command(f[0], f[1:]...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// Batch gives lines to one run of tc or ip, as in "tc -j". They have to succeed.
func (n *NS) Batch(program string, lines ...string) string {
	n.t.Helper()
	f := strings.Fields(program)
	out, err := n.feed(strings.Join(lines, "\n")+"\n", f[0], append(f[1:], "-batch", "-")...)
	if err != nil {
		n.t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	return out
}

// NeedIproute skips or fails the test where the tc and ip commands are absent.
func NeedIproute(t testing.TB) {
	t.Helper()
	_, tcErr := exec.LookPath("tc")
	_, ipErr := exec.LookPath("ip")
	require.Need(t, "iproute2", tcErr == nil && ipErr == nil, "tc and ip are the second opinion on what the kernel holds")
}

// TCAction is an action in the words of "tc -j".
type TCAction struct {
	Kind      string `json:"kind"`
	Mode      string `json:"mirred_action"`
	Direction string `json:"direction"`
	To        string `json:"to_dev"`
	Control   struct {
		Type string `json:"type"`
	} `json:"control_action"`
	Random struct {
		Type    string `json:"random_type"`
		Control struct {
			Type string `json:"type"`
		} `json:"control_action"`
		Value int `json:"val"`
	} `json:"prob"` // of gact
	Cookie string  `json:"cookie"`
	Stats  TCStats `json:"stats"`
}

// TCStats are the counters of an action in the words of "tc -j -s".
type TCStats struct {
	Bytes      uint64 `json:"bytes"`
	Packets    uint64 `json:"packets"`
	Drops      uint64 `json:"drops"`
	Overlimits uint64 `json:"overlimits"`
}

// TCFilter is a filter in the words of "tc -j".
type TCFilter struct {
	Protocol string
	Pref     uint16
	Kind     string
	Chain    uint32
	Handle   string          // "0x1", or "800::800" of u32
	Program  []TCInstruction // of bpf with a classic program
	Actions  []TCAction
}

// TCInstruction is an instruction of a classic program in the words of "tc -j".
type TCInstruction struct {
	Code uint16 `json:"code"`
	JT   uint8  `json:"jt"`
	JF   uint8  `json:"jf"`
	K    uint32 `json:"k"`
}

// At is a hook of a device, in the words of tc: "ingress" or "egress".
type At struct{ Dev, Hook string }

// TCFilters asks tc for the filters of hooks. Entries without a handle, which stand
// for a priority as such, and u32 hash tables are left out.
func (n *NS) TCFilters(hooks ...At) map[At][]TCFilter {
	n.t.Helper()
	var lines []string
	for _, at := range hooks {
		lines = append(lines, "filter show dev "+at.Dev+" "+at.Hook)
	}
	out := n.Batch("tc -j -s", lines...)
	texts := json.NewDecoder(strings.NewReader(out))
	all := make(map[At][]TCFilter)
	for _, at := range hooks {
		var raw []struct {
			Protocol string `json:"protocol"`
			Pref     uint16 `json:"pref"`
			Kind     string `json:"kind"`
			Chain    uint32 `json:"chain"`
			Options  struct {
				Handle  json.RawMessage `json:"handle"` // a number of matchall, text of the others
				FH      string          `json:"fh"`
				Divisor int             `json:"ht_divisor"`
				Actions []TCAction      `json:"actions"`
				Program struct {
					Instructions []TCInstruction `json:"insns"`
				} `json:"bytecode"`
			} `json:"options"`
		}
		if err := texts.Decode(&raw); err != nil {
			n.t.Fatalf("tc -j: %v\n%s", err, out)
		}
		for _, r := range raw {
			handle := strings.Trim(string(r.Options.Handle), `"`) + r.Options.FH
			if handle == "" || r.Options.Divisor != 0 {
				continue
			}
			all[at] = append(all[at], TCFilter{r.Protocol, r.Pref, r.Kind, r.Chain, handle, r.Options.Program.Instructions, r.Options.Actions})
		}
	}
	return all
}

// timers matches the running clocks of a bridge.
var timers = regexp.MustCompile(`"[a-z_]+_timer":[0-9.]+,`)

// Objects gives, byte for byte, what tc and ip say of devices: qdiscs, filters of both
// hooks, and the link itself, without counters and clocks.
func (n *NS) Objects(devs ...string) string {
	n.t.Helper()
	var tc, ip []string
	for _, dev := range devs {
		tc = append(tc, "qdisc show dev "+dev, "filter show dev "+dev+" ingress", "filter show dev "+dev+" egress")
		ip = append(ip, "address show dev "+dev)
	}
	return n.Batch("tc -j", tc...) + timers.ReplaceAllString(n.Batch("ip -j -d", ip...), "")
}

// Veth makes a pair of devices, one end in each namespace, both up.
func Veth(t testing.TB, a *NS, aName string, b *NS, bName string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.FD())}
	if err := a.nl.LinkAdd(link); err != nil {
		t.Fatalf("veth %s %s: %v", aName, bName, err)
	}
	a.Up(aName)
	b.Up(bName)
}

// Up sets a device up, without an IPv6 address of its own.
func (n *NS) Up(dev string) {
	n.t.Helper()
	l := n.Link(dev)
	// EOPNOTSUPP: a kernel without IPv6 sends nothing by itself anyway.
	if err := n.nl.LinkSetIP6AddrGenMode(l, 1); err != nil && err != unix.EOPNOTSUPP && err != unix.EAFNOSUPPORT {
		n.t.Fatalf("%s: address generation mode: %v", dev, err)
	}
	if err := n.nl.LinkSetUp(l); err != nil {
		n.t.Fatalf("%s: up: %v", dev, err)
	}
}

// Settle waits until devices show that they are up: the kernel tells of it a moment
// after it is so.
func (n *NS) Settle(devs ...string) {
	n.t.Helper()
	deadline := time.Now().Add(arriveWithin)
	for _, dev := range devs {
		for n.Link(dev).Attrs().OperState != netlink.OperUp {
			if time.Now().After(deadline) {
				n.t.Fatalf("%s does not come up", dev)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// Link finds a device.
func (n *NS) Link(dev string) netlink.Link {
	n.t.Helper()
	l, err := n.nl.LinkByName(dev)
	if err != nil {
		n.t.Fatalf("%s: %v", dev, err)
	}
	return l
}

// Index gives the interface index of a device.
func (n *NS) Index(dev string) int {
	n.t.Helper()
	return n.Link(dev).Attrs().Index
}
