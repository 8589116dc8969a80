package hostmirror

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// links gives the relays that each namespace shows.
func (b *hostBed) relays() []string {
	b.t.Helper()
	var out []string
	for where, ns := range map[string]*kerneltest.NS{"host": b.host, "a": b.a, "b": b.b} {
		list, err := ns.Netlink().LinkList()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, l := range list {
			if strings.HasPrefix(l.Attrs().Name, relayPrefix) {
				out = append(out, fmt.Sprintf("%s %#x", where, l.Attrs().Group))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Copies of ports to which no cable leads come by a cable of ours: each frame once, in
// the directions that were asked for; afterwards the cable is gone.
func TestRelay(t *testing.T) {
	kerneltest.NeedIproute(t)
	tests := []struct {
		name    string
		session models.Session
		copies  map[string]int
		to      []string
		ends    []string
	}{
		{
			"from a lab's link to the host", session("sp-a", []string{"m0"}, port("container:b/eth1", models.Tx)),
			map[string]int{"into a:eth1": 5}, []string{"c0"}, []string{"b", "host"},
		},
		{
			"both directions, beside ports with a cable, to two ports",
			session("sp-a", []string{"m0", "m1"}, port("netns:a/eth1", models.Both), port("netns:a/eth0", models.Rx), port("vb0", models.Rx)),
			map[string]int{"into a:eth1": 5, "into a:eth0": 5, "out b:eth0": 5}, []string{"c0", "c1"}, []string{"a", "host"},
		},
		{
			"from two namespaces", session("sp-a", []string{"m0"}, port("netns:a/eth1", models.Rx), port("container:b/eth1", models.Rx)),
			map[string]int{"into a:eth1": 5}, []string{"c0"}, []string{"a", "b", "host", "host"},
		},
		{
			"from the host to a container", session("sp-a", []string{"container:b/mb"}, port("va0", models.Both)),
			map[string]int{"into a:eth0": 5, "out a:eth0": 5}, []string{"cb"}, []string{"b", "host"},
		},
		{
			"from one to another", session("sp-a", []string{"container:b/mb"}, port("netns:a/eth0", models.Tx)),
			map[string]int{"out a:eth0": 5}, []string{"cb"}, []string{"a", "b"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newHostBed(t)
			h := b.open()
			before := b.objects()
			b.to(h, tt.session)
			b.shows(b.open(tt.session), tt.session)
			var ends []string
			for _, where := range tt.ends {
				ends = append(ends, where+" 0x5350414e")
			}
			if d := cmp.Diff(ends, b.relays()); d != "" {
				t.Errorf("relays (-want +got):\n%s", d)
			}
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
			if got := changed(before, b.objects()); len(got) > 0 || len(b.relays()) > 0 {
				t.Errorf("after the delete %v is not as before, relays %q", got, b.relays())
			}
		})
	}
}

// broadcast is an IPv4 packet with a UDP datagram for every host on the link.
func broadcast(to uint16) []byte {
	b := append(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1}, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 255, 255, 255, 255}
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	udp := binary.BigEndian.AppendUint16([]byte{3, 232}, to)
	udp = append(udp, 0, 12, 0, 0, 's', 'p', 'a', 'n')
	return append(append(b, append(ip, udp...)...), make([]byte, 20)...)
}

// What comes by a relay never reaches the stack of the namespace that it comes to: not
// an answer to a request for its address, not a datagram for everybody; also while the
// destination is down. Without the filter that drops, datagrams come in: the session
// shows that, and is not changed before it is mended.
func TestRelayHarmsNothing(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newHostBed(t)
	b.host.Run("ip address add 192.0.2.1/24 dev m1")
	wanted := session("sp-a", []string{"m0"}, port("container:b/eth1", models.Rx))
	h := b.open()
	b.to(h, wanted)
	var fd int
	err := b.host.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrInet4{Port: 9999})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	datagrams := func() int {
		t.Helper()
		b.a.Send("eth1", broadcast(9999), 5)
		time.Sleep(200 * time.Millisecond)
		n := 0
		for {
			if _, _, err := unix.Recvfrom(fd, make([]byte, 100), unix.MSG_DONTWAIT); err != nil {
				return n
			}
			n++
		}
	}
	name := h.relaysOf("sp-a")[0].name
	// A request for the host's address, as ARP has it.
	arp := append(slices.Clone(broadcast(0)[:12]), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1)
	b.a.Send("eth1", append(arp, make([]byte, 20)...), 5)
	if n := datagrams(); n != 0 {
		t.Errorf("%d datagrams came into the host", n)
	}
	b.host.Run("ip link set m0 down")
	if n := datagrams(); n != 0 {
		t.Errorf("%d datagrams came into the host while the destination is down", n)
	}
	if n := b.b.Link(name).Attrs().Statistics.RxPackets; n != 0 {
		t.Errorf("the host has sent %d packets into the relay", n)
	}
	b.host.Run("ip link set m0 up")
	b.host.Run(fmt.Sprintf("tc filter del dev %s ingress pref %d", name, dropBehind))
	if n := datagrams(); n != 5 {
		t.Errorf("without the filter %d datagrams come in, want 5: the test would see no harm", n)
	}
	st, err := h.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(st.Sessions[0].Extra, "\n"); !strings.Contains(got, "copies come into the namespace itself") {
		t.Errorf("the session shows %q", got)
	}
	_, err = b.plan(h, wanted)
	wantKind(t, err, transport.Rejected, "mend it, or delete the session")
	b.to(h)
	if got := b.relays(); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// A change keeps the cable that it needs, and removes the one that it does not.
func TestRelayChanges(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	first := session("sp-a", []string{"m0"}, port("container:b/eth1", models.Rx))
	b.to(h, first)
	index := b.b.Index(h.relaysOf("sp-a")[0].name)
	b.to(h, session("sp-a", []string{"m1"}, port("container:b/eth1", models.Both)))
	if got := b.b.Index(h.relaysOf("sp-a")[0].name); got != index {
		t.Error("the cable was made anew")
	}
	cp := b.to(h, session("sp-a", []string{"m0"}, port("netns:a/eth1", models.Rx)))
	if d := cmp.Diff([]string{"a 0x5350414e", "host 0x5350414e"}, b.relays()); d != "" {
		t.Errorf("relays (-want +got):\n%s", d)
	}
	if err := b.open().Revert(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	b.shows(h, session("sp-a", []string{"m1"}, port("container:b/eth1", models.Both)))
	b.to(h, session("sp-a", []string{"m0"}, port("container:b/eth0", models.Rx)))
	if got := b.relays(); len(got) > 0 {
		t.Errorf("a cable is there, but none is needed: %q", got)
	}
}

// Whatever step fails, all is as before; and Revert sweeps away the cable of a process
// that died behind any step.
func TestRelayAllOrNothing(t *testing.T) {
	b := newHostBed(t)
	wanted := session("sp-a", []string{"m0"}, port("container:b/eth1", models.Both))
	cp, err := b.plan(b.open(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range cp.Script.Steps {
		plain := step.Text
		if !strings.Contains(plain, "ip link add") {
			plain = strings.TrimPrefix(plain, fmt.Sprintf("nsenter --net=/proc/%d/ns/net ", pidOfB))
		}
		h := b.open()
		h.base.m.tap = func(_ context.Context, what string, do func() error) error {
			if what == plain {
				return fmt.Errorf("%w: refused by the test", unix.EINVAL)
			}
			return do()
		}
		if err := h.Apply(t.Context(), cp); err == nil {
			t.Fatalf("step %d: no error", i)
		}
		if got := b.relays(); len(got) > 0 {
			t.Fatalf("step %d: left %q", i, got)
		}

		dead := b.open()
		dead.base.m.tap = func(_ context.Context, what string, do func() error) error {
			err := do()
			if what == plain {
				panic("killed")
			}
			return err
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("step %d was not reached", i)
				}
			}()
			_ = dead.Apply(t.Context(), cp)
		}()
		if err := b.open().Revert(t.Context(), cp); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := b.relays(); len(got) > 0 {
			t.Fatalf("step %d: Revert left %q", i, got)
		}
		b.shows(b.open())
	}
	b.to(b.open(), wanted)
}

// A link of somebody else that has the name of a relay is left alone.
func TestForeignRelay(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newHostBed(t)
	h := b.open()
	wanted := session("sp-a", []string{"m0"}, port("container:b/eth1", models.Rx))
	kerneltest.Veth(t, b.host, relayName(host, "sp-a", "container:b"), b.b, "other")
	before := b.host.Objects(relayName(host, "sp-a", "container:b"))
	cp, err := b.plan(h, wanted)
	if err == nil {
		err = h.Apply(t.Context(), cp)
	}
	if err == nil {
		t.Error("no error")
	}
	if d := cmp.Diff(before, b.host.Objects(relayName(host, "sp-a", "container:b"))); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

// What a program does to copies, cutting them, is done at the near end; also there the
// cable's copies go no further, and Revert leaves a cable that is in use.
func TestRelayWithProgram(t *testing.T) {
	b := newHostBed(t)
	h := b.open()
	cut := session("sp-a", []string{"m0"}, port("container:b/eth1", models.Rx), port("vb0", models.Rx))
	cut.TruncateTo = 80
	cp, err := b.plan(h, cut)
	require.Need(t, "BPF programs", err == nil, fmt.Sprint(err))
	if err := h.Apply(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	b.shows(h, cut)
	c := b.sensor.Capture("c0")
	b.a.Send("eth1", kerneltest.TestFrame(kerneltest.Broadcast, "long", 0, 200), 5)
	b.b.Send("eth0", kerneltest.TestFrame(kerneltest.Broadcast, "near", 0, 200), 5)
	for _, mark := range []string{"long", "near"} {
		if n := c.Count(mark, 5); n != 5 {
			t.Errorf("%d copies of frames %s, want 5", n, mark)
		}
		for _, f := range c.Received(mark) {
			if len(f.Data) != 80 {
				t.Errorf("a copy of frame %s has %d bytes, want 80", mark, len(f.Data))
			}
		}
	}
	sampled := session("sp-a", []string{"m1"}, port("container:b/eth1", models.Rx))
	sampled.SampleOneIn = 5
	more, err := b.plan(h, sampled)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Apply(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	b.shows(h, sampled)
	d := b.sensor.Capture("c1")
	b.a.Send("eth1", kerneltest.TestFrame(kerneltest.Broadcast, "many", 0, 100), 500)
	if n := d.Count("many", 60); n < 60 || n > 140 {
		t.Errorf("%d copies of 500 frames, want about 100: one in five, once", n)
	}
	if err := b.open().Revert(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if n := len(b.relays()); n != 2 {
		t.Errorf("%d ends of cables after Revert, want 2", n)
	}
	b.shows(b.open(cut), cut)
	b.to(h)
}
