package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// way is a way to make copies. It changes a new bed, and gives the words in which it is
// shown when they say more than its name. An error says why it cannot be measured here.
type way struct {
	name string
	set  func(b *bed, d models.Direction) (string, error)
	base string // name of the way that it is compared with, "" for a bed without a mirror
}

const (
	control = "no mirror, once more (noise)"
	byHand  = "tc by hand: "
	device  = models.DeviceID("host1")
)

// where names the port that is mirrored for a direction, and its hook in the words of tc.
func where(d models.Direction) (port, hook string) {
	if d == models.Tx {
		return "r1", "egress"
	}
	return "r0", "ingress"
}

func nothing(*bed, models.Direction) (string, error) { return "", nil }

func emptyClsact(b *bed, d models.Direction) (string, error) {
	port, _ := where(d)
	return "", b.commands("tc qdisc add dev " + port + " clsact")
}

// spanctl makes a session with this destination.
func spanctl(to models.Destination, method hostmirror.Method) func(*bed, models.Direction) (string, error) {
	return func(b *bed, d models.Direction) (string, error) {
		port, _ := where(d)
		m, err := openMirror(b, method)
		if err != nil {
			return "", err
		}
		defer m.Close()
		if err := bring(b, m, []models.Session{wanted("sp-a", port, d, to, nil)}); err != nil {
			return "", err
		}
		report, err := m.Report(b.Context())
		if err != nil {
			return "", err
		}
		if len(report.Copies) != 1 {
			return "", fmt.Errorf("the host reports %d copies of one session", len(report.Copies))
		}
		asked := ""
		if method != hostmirror.MethodAuto {
			asked = ", programs asked for"
		}
		return "spanctl (" + report.Copies[0].Method + asked + ")", nil
	}
}

func wanted(name, port string, d models.Direction, to models.Destination, rules []models.Rule) models.Session {
	return models.Session{
		Device: device, Name: name, Role: models.RoleLocal, Filter: rules, Destination: to, Intent: "bench",
		Sources: []models.Source{{Kind: models.SourcePort, Name: port, Direction: d}},
	}.Normalize()
}

func toPort() models.Destination {
	return models.Destination{Kind: models.DestinationPort, Ports: []string{"m0"}}
}

func toTunnel(kind models.DestinationKind, t models.Tunnel) models.Destination {
	t.Source, t.Destination = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(collector)
	return models.Destination{Kind: kind, Tunnel: &t}
}

// openMirror opens the host, with a place of its own for programs.
func openMirror(b *bed, method hostmirror.Method) (*hostmirror.Mirror, error) {
	return hostmirror.Open(b.Context(), hostmirror.Options{
		Device: device, Namespace: b.host.Path(), Method: method, Pins: kerneltest.Pins(b),
	})
}

// bring gives the host these sessions of ours, as the engine would: look, check, plan,
// render, apply, look again. What spanctl refuses is an error.
func bring(b *bed, m *hostmirror.Mirror, want []models.Session) error {
	steps, err := change(b, m, want)
	if err != nil {
		return err
	}
	return steps.apply()
}

// changes is a change that was planned.
type changes struct {
	cp    drivers.Checkpoint
	apply func() error // and look again
}

func change(b *bed, m *hostmirror.Mirror, want []models.Session) (changes, error) {
	for _, s := range want {
		if texts := m.Check(s); len(texts) > 0 {
			return changes{}, fmt.Errorf("refused: %s", texts[0])
		}
	}
	cs, err := lacking(b, m, want)
	if err != nil {
		return changes{}, err
	}
	script, err := m.Render(cs, drivers.RenderOptions{})
	if e := (*drivers.Error)(nil); errors.As(err, &e) {
		return changes{}, fmt.Errorf("refused: %w", e.Err)
	}
	if err != nil {
		return changes{}, err
	}
	cp := drivers.Checkpoint{Device: device, Changes: cs, Script: script}
	return changes{cp, func() error {
		if err := m.Apply(b.Context(), cp); err != nil {
			return err
		}
		left, err := lacking(b, m, want)
		if err == nil && !left.Empty() {
			err = fmt.Errorf("after the apply %d sessions are not as wanted", len(left.Changes))
		}
		return err
	}}, nil
}

// lacking looks at the host and gives what it lacks.
func lacking(b *bed, m *hostmirror.Mirror, want []models.Session) (models.ChangeSet, error) {
	st, err := m.Observe(b.Context())
	if err != nil {
		return models.ChangeSet{}, err
	}
	for i := range st.Sessions {
		st.Sessions[i].Intent = "bench" // there are no others in a bed
	}
	return plan.Diff(want, st, m.Capabilities().Grain, func(string) bool { return true }), nil
}

// commands runs command lines without quotes on the host, one after the other.
func (b *bed) commands(lines ...string) error {
	for _, line := range lines {
		f := strings.Fields(line)
		if _, err := exec.LookPath(f[0]); err != nil {
			return fmt.Errorf("absent: there is no program %s", f[0])
		}
		if _, err := b.host.Command(f[0], f[1:]...); err != nil {
			return fmt.Errorf("refused: %w", err)
		}
	}
	return nil
}

// typed is what a person types to mirror a port by a classifier of tc to a device, which
// other commands have made.
func typed(selector, to string, before ...string) func(*bed, models.Direction) (string, error) {
	return func(b *bed, d models.Direction) (string, error) {
		port, hook := where(d)
		return "", b.commands(append(before,
			"tc qdisc add dev "+port+" clsact",
			fmt.Sprintf("tc filter add dev %s %s protocol all %s action mirred egress mirror dev %s", port, hook, selector, to))...)
	}
}

func nftDup(b *bed, d models.Direction) (string, error) {
	port, hook := where(d)
	return "", b.commands(
		"nft add table netdev bench",
		fmt.Sprintf("nft add chain netdev bench c { type filter hook %s device %s priority 0 ; }", hook, port),
		"nft add rule netdev bench c dup to m0")
}

// plainWays are the ways to copy frames to a port.
func plainWays() []way {
	return []way{
		{name: control, set: nothing},
		{name: "empty clsact", set: emptyClsact},
		{name: "spanctl", set: spanctl(toPort(), hostmirror.MethodAuto)},
		{name: "spanctl by programs", set: spanctl(toPort(), hostmirror.MethodBPF)},
		{name: byHand + "matchall", set: typed("matchall", "m0")},
		{name: byHand + "u32", set: typed("u32 match u32 0 0", "m0")},
		{name: "nft dup", set: nftDup},
		{name: "copier in user space, TPACKET_V3", set: userCopier},
		{name: switchPlain, set: openVSwitch(false)},
		{name: "Open vSwitch, userspace datapath, with mirror", set: openVSwitch(true), base: switchPlain},
	}
}

const (
	makeVXLAN = "ip link add x0 type vxlan id 5 local 192.0.2.1 remote " + collector + " dstport 4789 nolearning"
	// What tc by hand needs to do production no harm, see the package's comment of linknl.
	makeERSPAN = "ip link add x0 type erspan seq key 5 local 192.0.2.1 remote " + collector + " erspan_ver 1 erspan 7 nopmtudisc ignore-df"
)

// tunnelWays are the ways to copy frames into a tunnel to the collector.
func tunnelWays(to models.Destination, create string) []way {
	up := []string{create, "ip link set x0 addrgenmode none", "ip link set x0 mtu 9000", "ip link set x0 up"}
	return []way{
		{name: control, set: nothing},
		{name: "spanctl", set: spanctl(to, hostmirror.MethodAuto)},
		{name: "spanctl by programs", set: spanctl(to, hostmirror.MethodBPF)},
		{name: byHand + "matchall", set: typed("matchall", "x0", up...)},
		{name: byHand + "u32", set: typed("u32 match u32 0 0", "x0", up...)},
	}
}

// contest is a destination for which ways are compared.
type contest struct {
	name, what string
	ways       []way
}

func tunnels() []contest {
	vxlan := toTunnel(models.DestinationVXLAN, models.Tunnel{VNI: 5})
	erspan := toTunnel(models.DestinationERSPAN, models.Tunnel{Version: 2, SessionID: 5})
	return []contest{
		{"vxlan", "VXLAN", tunnelWays(vxlan, makeVXLAN)},
		{"erspan", "ERSPAN type II", tunnelWays(erspan, makeERSPAN)},
	}
}
