package hostmirror

import (
	"errors"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// deviceBed is a host with a cable from its r0 to left's s0, and a monitor port m0.
type deviceBed struct {
	*bed
	tap *os.File // the far side of a tap
}

const tag = 100

// The kinds of devices that people have are mirrored by their plain names, each frame
// once and each direction right.
func TestKindsOfDevices(t *testing.T) {
	tests := []struct {
		name string
		make func(b *deviceBed) error // nil = nothing to make
		port string
		// in is sent to the host by left, with a tag or not; out is sent by out.
		tagged bool
		out    string
		// want is the tag of copies: with the frame (tag), or not (0).
		wantIn, wantOut uint16
	}{
		{name: "a bond", make: addBond, port: "bond0", out: "bond0"},
		{name: "a bond's member", make: addBond, port: "r0", out: "bond0"},
		{name: "a VLAN", make: addVLAN, port: "r0.100", out: "r0.100", tagged: true},
		{name: "a VLAN's port", make: addVLAN, port: "r0", out: "r0.100", tagged: true, wantIn: tag, wantOut: tag},
		{name: "a macvlan", make: addMACVLAN, port: "mac0", out: "mac0"},
		{name: "a macvlan's port", make: addMACVLAN, port: "r0", out: "mac0"},
		{name: "a tap", make: addTap, port: "tap0", out: "tap0"},
		{name: "a bridge's port", make: addBridge, port: "r0", out: "r0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &bed{t: t, host: kerneltest.NewNS(t), left: kerneltest.NewNS(t), sensor: kerneltest.NewNS(t)}
			kerneltest.Veth(t, h.host, "r0", h.left, "s0")
			kerneltest.Veth(t, h.host, "m0", h.sensor, "c0")
			b := &deviceBed{bed: h}
			err := tt.make(b)
			absent := errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
			require.Need(t, "devices: "+tt.name, !absent, "the kernel has no such device")
			if err != nil {
				t.Fatal(err)
			}
			b.host.Up(tt.port)
			b.host.Up(tt.out)
			b.host.Settle("r0", "m0")
			m := b.open("")
			for _, d := range []models.Direction{models.Rx, models.Tx, models.Both} {
				b.to(m, session("sp-a", []string{"m0"}, port(tt.port, d)))
				c := b.sensor.Capture("c0")
				in, out := "in "+d.String(), "out "+d.String()
				b.sendIn(tt.tagged, in)
				b.host.Send(tt.out, kerneltest.TestFrame(kerneltest.Broadcast, out, 0, 128), 5)
				want := map[string]int{in: 0, out: 0}
				if d.Has(models.Rx) {
					want[in] = 5
				}
				if d.Has(models.Tx) {
					want[out] = 5
				}
				got := c.Counts(want)
				if got[in] != want[in] || got[out] != want[out] {
					t.Errorf("%s: copies %v, want %v", d, got, want)
				}
				for mark, tci := range map[string]uint16{in: tt.wantIn, out: tt.wantOut} {
					for _, f := range c.Received(mark) {
						if f.VLAN != tci {
							t.Errorf("%s: a copy has tag %d, want %d", mark, f.VLAN, tci)
						}
					}
				}
			}
			b.to(m)
		})
	}
}

// sendIn has the host receive 5 frames.
func (b *deviceBed) sendIn(tagged bool, mark string) {
	b.t.Helper()
	vlan := uint16(0)
	if tagged {
		vlan = tag
	}
	frame := kerneltest.TestFrame(kerneltest.Broadcast, mark, vlan, 128)
	if b.tap == nil {
		b.left.Send("s0", frame, 5)
		return
	}
	for range 5 {
		if _, err := b.tap.Write(frame); err != nil {
			b.t.Fatal(err)
		}
	}
}

func named(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func addBond(b *deviceBed) error {
	bond := netlink.NewLinkBond(named("bond0"))
	bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
	nl := b.host.Netlink()
	if err := nl.LinkAdd(bond); err != nil {
		return err
	}
	return errors.Join(nl.LinkSetDown(b.host.Link("r0")), nl.LinkSetMaster(b.host.Link("r0"), b.host.Link("bond0")), nl.LinkSetUp(b.host.Link("r0")))
}

func addVLAN(b *deviceBed) error {
	a := named("r0.100")
	a.ParentIndex = b.host.Index("r0")
	err := b.host.Netlink().LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: tag, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if err == nil {
		b.host.Up("r0.100")
	}
	return err
}

func addMACVLAN(b *deviceBed) error {
	a := named("mac0")
	a.ParentIndex = b.host.Index("r0")
	err := b.host.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE})
	if err == nil {
		b.host.Up("mac0")
	}
	return err
}

func addBridge(b *deviceBed) error {
	off := false
	if err := b.host.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: named("br0"), MulticastSnooping: &off}); err != nil {
		return err
	}
	b.host.Up("br0")
	return b.host.Netlink().LinkSetMaster(b.host.Link("r0"), b.host.Link("br0"))
}

// addTap makes a tap as a hypervisor does, and plays the virtual machine.
func addTap(b *deviceBed) error {
	return b.host.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("tap0")
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		b.tap = os.NewFile(uintptr(fd), "tap0")
		b.t.Cleanup(func() { _ = b.tap.Close() })
		return nil
	})
}
