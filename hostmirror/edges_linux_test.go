package hostmirror

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	bpf "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// TestEdges is a table of what hosts go through: what becomes of production, of the
// copies, and of what spanctl says.
func TestEdges(t *testing.T) {
	for _, row := range []struct {
		name string
		try  func(e *edge)
	}{
		{"destination down", destinationDown},
		{"destination's peer without carrier", destinationWithoutCarrier},
		{"destination deleted and made again", destinationDeleted},
		{"destination moved to another namespace and back", destinationMoved},
		{"destination renamed", destinationRenamed},
		{"source down and up", sourceDown},
		{"source moved to another namespace and back", sourceMoved},
		{"capture on source and destination", captures},
		{"XDP drops on the source", xdpDrops},
		{"sender bypasses queueing", bypass},
		{"frames of the host itself", ownFrames},
		{"two ports of a path, both directions", twoPorts},
		{"VLAN on a port", vlanOnPort},
		{"macvlan on a port", macvlanOnPort},
		{"bond and its member", bondAndMember},
		{"bridge as the source", bridgeSource},
		{"destination in the source's bridge", sameBridge},
		{"mirrored to each other", eachOther},
		{"mirrored to itself", itself},
		{"destination slower than the copies", slowDestination},
		{"frames longer than the destination takes", longFrames},
		{"sixteen destinations", sixteenDestinations},
		{"another's filter accepts before ours", verdictBefore},
	} {
		t.Run(row.name, func(t *testing.T) {
			kerneltest.NeedIproute(t)
			b := newBed(t)
			e := &edge{T: t, bed: b, m: b.open("")}
			e.production, e.back = b.right.Capture("d0"), b.left.Capture("s0")
			e.copies = b.sensor.Capture("c0")
			row.try(e)
		})
	}
}

// edge is a row's stage: production flows between left and right, and the copies that
// m0 sends arrive.
type edge struct {
	*testing.T
	*bed
	m                        *Mirror
	production, back, copies *kerneltest.Capture
	flows                    int
}

// flow sends frames through the host and wants all of production and so many copies of those
// from the left.
func (e *edge) flow(n, copies int) {
	e.Helper()
	e.flows++
	mark := fmt.Sprintf("flow%d", e.flows)
	e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 128), n)
	if got := e.production.Count(mark, n); got != n {
		e.Errorf("%s: production got %d of %d frames", mark, got, n)
	}
	if got := e.copies.Count(mark, copies); got != copies {
		e.Errorf("%s: %d copies, want %d", mark, got, copies)
	}
}

// mirror makes the plainest session: what r0 receives goes to m0.
func (e *edge) mirror() models.Session {
	e.Helper()
	ses := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	e.to(e.m, ses)
	return ses
}

// observed gives our only session.
func (e *edge) observed() models.Session {
	e.Helper()
	st, err := e.m.Observe(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	for _, ses := range st.Sessions {
		if ses.Name == "sp-a" {
			return ses
		}
	}
	e.Fatalf("session sp-a is not there: %+v", st.Sessions)
	return models.Session{}
}

func (e *edge) wantStatus(state models.OperState, reason string) {
	e.Helper()
	if s := e.observed().Status; s.State != state || !strings.Contains(s.Reason, reason) {
		e.Errorf("status %+v, want %s and %q", s, state, reason)
	}
}

// wantLost compares the counters of sp-a: offered and lost.
func (e *edge) wantLost(offered, lost uint64) {
	e.Helper()
	list, err := e.m.Counters(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	var p, l uint64
	for _, c := range list {
		p, l = p+c.Packets, l+c.Lost
	}
	if p != offered || l != lost {
		e.Errorf("counters: %d offered, %d lost; want %d and %d", p, l, offered, lost)
	}
}

// refused wants Render to refuse a session with a text.
func (e *edge) refused(ses models.Session, text string) {
	e.Helper()
	if _, err := e.m.Observe(e.Context()); err != nil {
		e.Fatal(err)
	}
	_, err := e.m.Render(create(ses), drivers.RenderOptions{})
	if err == nil || !strings.Contains(err.Error(), text) {
		e.Errorf("error %v, want %q", err, text)
	}
}

// advised wants a warning about a session that is not refused.
func (e *edge) advised(ses models.Session, rule string) {
	e.Helper()
	if _, err := e.m.Observe(e.Context()); err != nil {
		e.Fatal(err)
	}
	if _, err := e.m.Render(create(ses), drivers.RenderOptions{}); err != nil {
		e.Fatal(err)
	}
	for _, f := range e.m.Advise(create(ses)) {
		if f.Rule == rule {
			return
		}
	}
	e.Errorf("no warning %s", rule)
}

// link makes a link of a kind that not all kernels have.
func (e *edge) link(l netlink.Link) {
	e.Helper()
	err := e.host.Netlink().LinkAdd(l)
	require.Need(e.T, "kind "+l.Type(), !errors.Is(err, unix.EOPNOTSUPP), "links of this kind")
	if err != nil {
		e.Fatal(err)
	}
	e.host.Up(l.Attrs().Name)
}

func destinationDown(e *edge) {
	e.mirror()
	e.host.Run("ip link set m0 down")
	e.flow(200, 0)
	e.wantLost(200, 200)
	e.wantStatus(models.OperDown, "destination m0 is down")
	e.host.Run("ip link set m0 up")
	e.host.Settle("m0")
	e.flow(20, 20)
	e.wantStatus(models.OperUp, "")
}

func destinationWithoutCarrier(e *edge) {
	e.mirror()
	e.sensor.Run("ip link set c0 down")
	e.flow(200, 0)
	e.wantStatus(models.OperDown, "destination m0 is down")
	e.sensor.Run("ip link set c0 up")
	e.host.Settle("m0")
	e.flow(20, 20)
}

func destinationDeleted(e *edge) {
	ses := e.mirror()
	index := e.host.Index("m0")
	e.host.Run("ip link del m0")
	e.flow(20, 0)
	e.wantStatus(models.OperDown, "a destination is gone")
	e.refused(session("sp-b", []string{"m0"}, port("r0", models.Rx)), "destination m0 does not exist")

	// The same name and the same index: the kernel has forgotten all the same.
	e.host.Run(fmt.Sprintf("ip link add m0 index %d type veth peer name c0x", index))
	e.host.Run("ip link set m0 up")
	if err := e.host.Netlink().LinkSetNsFd(e.host.Link("c0x"), e.sensor.FD()); err != nil {
		e.Fatal(err)
	}
	e.sensor.Up("c0x")
	e.host.Settle("m0")
	e.copies = e.sensor.Capture("c0x")
	e.flow(20, 0)
	e.to(e.m, ses)
	e.flow(20, 20)
}

func destinationMoved(e *edge) {
	ses := e.mirror()
	away := kerneltest.NewNS(e.T)
	if err := e.host.Netlink().LinkSetNsFd(e.host.Link("m0"), away.FD()); err != nil {
		e.Fatal(err)
	}
	e.flow(20, 0)
	e.wantStatus(models.OperDown, "a destination is gone")
	if err := away.Netlink().LinkSetNsFd(away.Link("m0"), e.host.FD()); err != nil {
		e.Fatal(err)
	}
	e.host.Up("m0")
	e.host.Settle("m0")
	e.flow(20, 0)
	e.to(e.m, ses)
	e.flow(20, 20)
}

func destinationRenamed(e *edge) {
	e.mirror()
	e.host.Run("ip link set m0 down") // before 6.3 a link that is up keeps its name
	e.host.Run("ip link set m0 name monitor")
	e.host.Run("ip link set monitor up")
	e.host.Settle("monitor")
	e.flow(20, 20)
	if to := e.observed().Destination.Ports; len(to) != 1 || to[0] != "monitor" {
		e.Errorf("destination %v, want the new name", to)
	}
}

func sourceDown(e *edge) {
	ses := e.mirror()
	before := e.host.Objects("r0")
	e.host.Run("ip link set r0 down")
	e.host.Run("ip link set r0 up")
	e.host.Settle("r0")
	if after := e.host.Objects("r0"); after != before {
		e.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if left := e.plan(e.m, ses); !left.Script.Empty() {
		e.Errorf("to do: %q", texts(left.Script))
	}
	e.flow(20, 20)
}

func sourceMoved(e *edge) {
	ses := e.mirror()
	away := kerneltest.NewNS(e.T)
	if err := e.host.Netlink().LinkSetNsFd(e.host.Link("r0"), away.FD()); err != nil {
		e.Fatal(err)
	}
	if err := away.Netlink().LinkSetNsFd(away.Link("r0"), e.host.FD()); err != nil {
		e.Fatal(err)
	}
	e.host.Run("ip link set r0 master br0")
	e.host.Up("r0")
	e.host.Settle("r0")
	e.flow(20, 0)
	e.to(e.m, ses)
	e.flow(20, 20)
}

func captures(e *edge) {
	e.mirror()
	source, destination := e.host.Capture("r0"), e.host.Capture("m0")
	e.flow(20, 20)
	if n := len(source.Received("flow1")); n != 20 {
		e.Errorf("on the source each frame is seen %d times of 20", n)
	}
	if n := len(destination.Sent("flow1")); n != 20 {
		e.Errorf("on the destination %d copies are seen leaving, of 20", n)
	}
}

func xdpDrops(e *edge) {
	e.mirror()
	drop, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, // XDP_DROP
	})
	if err != nil {
		e.Fatal(err)
	}
	defer drop.Close()
	var attached bpf.Link
	err = e.host.Do(func() (err error) {
		attached, err = bpf.AttachXDP(bpf.XDPOptions{Program: drop, Interface: e.host.Index("r0"), Flags: bpf.XDPGenericMode})
		return err
	})
	if err != nil {
		e.Fatal(err)
	}
	defer attached.Close()
	e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "dropped", 0, 128), 20)
	if n := e.copies.Count("dropped", 0); n != 0 {
		e.Errorf("%d copies of what XDP drops", n)
	}
	e.wantStatus(models.OperUnknown, "an XDP program on r0")
	e.advised(session("sp-b", []string{"m1"}, port("r0", models.Rx)), ruleBlind)
}

func bypass(e *edge) {
	e.to(e.m, session("sp-a", []string{"m0"}, port("r0", models.Tx)))
	send := func(mark string, bypass int) {
		e.Helper()
		index := e.host.Index("r0")
		err := e.host.Do(func() error {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, bypass); err != nil {
				return err
			}
			frame := kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 128)
			for range 10 {
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			e.Fatal(err)
		}
	}
	send("queued", 0)
	send("bypassed", 1)
	if n := e.copies.Counts(map[string]int{"queued": 10, "bypassed": 0}); n["queued"] != 10 || n["bypassed"] != 0 {
		e.Errorf("copies %v, want 10 of the queued frames and none of those that pass by all filters", n)
	}
	if n := e.back.Counts(map[string]int{"queued": 10, "bypassed": 10}); n["queued"] != 10 || n["bypassed"] != 10 {
		e.Errorf("production %v, want 10 of each", n)
	}
}

func ownFrames(e *edge) {
	e.to(e.m, session("sp-a", []string{"m0"}, port("r0", models.Tx)))
	e.host.Send("r0", kerneltest.TestFrame(kerneltest.Broadcast, "own", 0, 128), 5)
	if n := e.copies.Count("own", 5); n != 5 {
		e.Errorf("%d copies of the host's own 5 frames", n)
	}
}

func twoPorts(e *edge) {
	ses := session("sp-a", []string{"m0"}, port("r0", models.Both), port("r1", models.Both))
	e.advised(ses, ruleDuplicates)
	e.to(e.m, ses)
	e.flow(20, 40)
	once := session("sp-a", []string{"m0"}, port("r0", models.Rx), port("r1", models.Rx))
	e.to(e.m, once)
	e.flow(20, 20)
}

func vlanOnPort(e *edge) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "r0.100", e.host.Index("r0")
	e.host.Run("ip link set r0 nomaster")
	e.link(&netlink.Vlan{LinkAttrs: attrs, VlanId: 100})
	e.refused(session("sp-a", []string{"m0"}, port("r0", models.Rx), port("r0.100", models.Rx)), "sits on source r0")
	for source, tag := range map[string]uint16{"r0": 100, "r0.100": 0} {
		e.to(e.m, session("sp-a", []string{"m0"}, port(source, models.Rx)))
		e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, source, 100, 128), 10)
		if n := e.copies.Count(source, 10); n != 10 {
			e.Errorf("%s: %d copies of 10", source, n)
		}
		for _, f := range e.copies.Received(source) {
			if f.VLAN != tag {
				e.Errorf("%s: copy with tag %d, want %d", source, f.VLAN, tag)
			}
		}
	}
}

func macvlanOnPort(e *edge) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "mv0", e.host.Index("r0")
	e.host.Run("ip link set r0 nomaster")
	e.link(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE})
	e.refused(session("sp-a", []string{"m0"}, port("r0", models.Rx), port("mv0", models.Rx)), "sits on source r0")
	// The lower link sees what is for any of its upper ones, and once.
	e.to(e.m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	e.left.Send("s0", kerneltest.TestFrame(hardware(e.T, e.host, "mv0"), "lower", 0, 128), 10)
	if n := e.copies.Count("lower", 10); n != 10 {
		e.Errorf("lower: %d copies of 10", n)
	}
	e.to(e.m, session("sp-a", []string{"m0"}, port("mv0", models.Rx)))
	e.left.Send("s0", kerneltest.TestFrame(hardware(e.T, e.host, "mv0"), "upper", 0, 128), 10)
	e.left.Send("s0", kerneltest.TestFrame(hardware(e.T, e.host, "r0"), "other", 0, 128), 10)
	if n := e.copies.Counts(map[string]int{"upper": 10, "other": 0}); n["upper"] != 10 || n["other"] != 0 {
		e.Errorf("upper: copies %v, want 10 of its own frames only", n)
	}
}

func bondAndMember(e *edge) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bond0"
	bond := netlink.NewLinkBond(attrs)
	bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
	e.link(bond)
	e.host.Run("ip link set r0 nomaster")
	e.host.Run("ip link set r0 down")
	e.host.Run("ip link set r0 master bond0")
	e.host.Run("ip link set r0 up")
	e.host.Settle("r0", "bond0")
	e.refused(session("sp-a", []string{"m0"}, port("r0", models.Rx), port("bond0", models.Rx)), "source bond0 sits on source r0")
	for _, source := range []string{"r0", "bond0"} {
		e.to(e.m, session("sp-a", []string{"m0"}, port(source, models.Both)))
		e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, source+"-in", 0, 128), 10)
		e.host.Send("bond0", kerneltest.TestFrame(kerneltest.Broadcast, source+"-out", 0, 128), 10)
		if n := e.copies.Counts(map[string]int{source + "-in": 10, source + "-out": 10}); n[source+"-in"] != 10 || n[source+"-out"] != 10 {
			e.Errorf("%s: copies %v, want each frame once", source, n)
		}
	}
}

func bridgeSource(e *edge) {
	e.refused(session("sp-a", []string{"m0"}, port("br0", models.Rx)), "name its ports")
}

func sameBridge(e *edge) {
	e.host.Run("ip link set m0 master br0")
	ses := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	e.advised(ses, ruleSameBridge)
	e.to(e.m, ses)
	// The bridge learns what is behind r1, so that it does not flood.
	hello := kerneltest.TestFrame(hardware(e.T, e.left, "s0"), "hello", 0, 64)
	copy(hello[6:], hardware(e.T, e.right, "d0"))
	e.right.Send("d0", hello, 1)
	e.left.Send("s0", kerneltest.TestFrame(hardware(e.T, e.right, "d0"), "learnt", 0, 128), 20)
	if n := e.production.Count("learnt", 20); n != 20 {
		e.Errorf("production got %d of 20", n)
	}
	if n := e.copies.Count("learnt", 20); n != 20 {
		e.Errorf("%d copies of 20", n)
	}
}

func eachOther(e *edge) {
	e.mirror()
	e.refused(session("sp-b", []string{"r0"}, port("m0", models.Rx)), "puts copies into production")
}

func itself(e *edge) {
	for _, d := range []models.Direction{models.Rx, models.Tx} {
		e.refused(session("sp-a", []string{"r0"}, port("r0", d)), "mirrored to itself")
	}
}

func slowDestination(e *edge) {
	e.mirror()
	_, err := e.host.Command("tc", "qdisc", "add", "dev", "m0", "root", "tbf", "rate", "8kbit", "burst", "4000", "limit", "4000")
	require.Need(e.T, "sch_tbf", err == nil, fmt.Sprint(err))
	e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "fast", 0, 1000), 200)
	if n := e.production.Count("fast", 200); n != 200 {
		e.Errorf("production got %d of 200", n)
	}
	list, err := e.m.Counters(e.Context())
	if err != nil || len(list) != 1 {
		e.Fatalf("%v, counters %+v", err, list)
	}
	c := list[0]
	if c.Packets != 200 || c.Lost == 0 || c.Lost >= 200 {
		e.Fatalf("%d offered, %d lost: want 200, and some of them", c.Packets, c.Lost)
	}
	// What was accepted waits in the queue; it comes once there is no limit any more.
	taken := int(c.Packets - c.Lost)
	e.host.Run("tc qdisc change dev m0 root tbf rate 1gbit burst 64000 limit 64000")
	if n := e.copies.Count("fast", taken); n != taken {
		e.Errorf("%d copies arrived; %d were offered and %d lost", n, c.Packets, c.Lost)
	}
}

func longFrames(e *edge) {
	ses := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	e.host.Run("ip link set m0 mtu 600")
	e.sensor.Run("ip link set c0 mtu 600") // a veth compares with its other end
	e.advised(ses, ruleSmallMTU)
	e.to(e.m, ses)
	e.left.Send("s0", kerneltest.TestFrame(kerneltest.Broadcast, "long", 0, 1000), 100)
	if n := e.production.Count("long", 100); n != 100 {
		e.Errorf("production got %d of 100", n)
	}
	if n := e.copies.Count("long", 0); n != 0 {
		e.Errorf("%d copies", n)
	}
	e.wantLost(100, 100)
	e.flow(20, 20)
}

func sixteenDestinations(e *edge) {
	to := []string{"m0"}
	for i := range 15 {
		name := fmt.Sprintf("x%d", i)
		kerneltest.Veth(e.T, e.host, name, e.sensor, name+"s")
		to = append(to, name)
	}
	last := e.sensor.Capture("x14s")
	e.to(e.m, session("sp-a", to, port("r0", models.Rx)))
	e.flow(20, 20)
	if n := last.Count("flow1", 20); n != 20 {
		e.Errorf("the last destination got %d copies of 20", n)
	}
}

func verdictBefore(e *edge) {
	e.host.Run("tc qdisc add dev r0 clsact")
	e.host.Run("tc filter add dev r0 ingress pref 5 protocol all u32 match u32 0 0 flowid 1:1")
	ses := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	e.advised(ses, ruleBlind)
	e.to(e.m, ses)
	e.flow(20, 0)
	e.wantStatus(models.OperUnknown, "u32 filter pref 5 on r0 ingress decides")
}
