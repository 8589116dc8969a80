package linknl

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// internetSum is the checksum of RFC 1071 over b and a pseudo header's sum.
func internetSum(b []byte, sum uint32) uint16 {
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// unreachable is the answer of a router or the collector to a copy: destination
// unreachable, of the code given, quoting it.
func unreachable(dstMAC, copied []byte, code byte) []byte {
	quoted := copied[14:]
	v6 := ipProtocolFamily(copied) == 6
	icmp := append([]byte{3, code, 0, 0, 0, 0, 0, 0}, quoted...)
	f := append(append([]byte{}, dstMAC...), 0x02, 0, 0, 0, 0, 0x03)
	if v6 {
		icmp[0] = 1
		ip := make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, protoICMPv6, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(len(icmp)))
		copy(ip[8:], peer6.AsSlice())
		copy(ip[24:], addr6.AsSlice())
		pseudo := uint32(^internetSum(ip[8:], 0)) + uint32(len(icmp)) + protoICMPv6
		binary.BigEndian.PutUint16(icmp[2:], internetSum(icmp, pseudo))
		return append(append(append(f, 0x86, 0xdd), ip...), icmp...)
	}
	binary.BigEndian.PutUint16(icmp[2:], internetSum(icmp, 0))
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, protoICMP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(icmp)))
	copy(ip[12:], peer4.AsSlice())
	copy(ip[16:], addr4.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], internetSum(ip, 0))
	return append(append(append(f, 0x08, 0x00), ip...), icmp...)
}

func ipProtocolFamily(f []byte) int {
	if binary.BigEndian.Uint16(f[12:]) == 0x86dd {
		return 6
	}
	return 4
}

// When a router or the collector answers copies with "unreachable", some tunnels pass
// that on to the senders of the production packets that are mirrored on egress, once
// for each answer. PassesErrors says which.
func TestUnreachableCollector(t *testing.T) {
	kerneltest.NeedIproute(t)
	const answers, n = 3, 10
	unkeyed := func(v6 bool) Spec {
		s := tunnel(GRETap, v6)
		s.Keyed, s.Key = false, 0
		return s
	}
	inKey := func(s Spec) Spec { s.InKey = 77; return s }
	tests := []struct {
		name string
		give Spec
		code byte
		want bool
	}{
		{"GRE with key, network", tunnel(GRETap, false), 0, true},
		{"GRE with key, host", tunnel(GRETap, false), 1, true},
		{"GRE with key, protocol", tunnel(GRETap, false), 2, true},
		{"GRE with key, prohibited", tunnel(GRETap, false), 13, true},
		{"GRE, host", unkeyed(false), 1, true},
		{"ERSPAN I, host", tunnel(ERSPAN1, false), 1, true},
		{"ERSPAN II, host", tunnel(ERSPAN2, false), 1, false},
		{"ERSPAN III, host", tunnel(ERSPAN3, false), 1, false},
		{"VXLAN, host", tunnel(VXLAN, false), 1, false},
		{"GRE with key over IPv6, address", tunnel(GRETap, true), 3, true},
		{"GRE over IPv6, address", unkeyed(true), 3, true},
		{"ERSPAN II over IPv6, address", tunnel(ERSPAN2, true), 3, true},
		{"ERSPAN III over IPv6, address", tunnel(ERSPAN3, true), 3, true},
		{"GRE with another key on receipt, host", inKey(unkeyed(false)), 1, false},
		{"GRE with key and another on receipt, network", inKey(tunnel(GRETap, false)), 0, false},
		{"ERSPAN I with a key on receipt, host", inKey(tunnel(ERSPAN1, false)), 1, false},
		{"GRE over IPv6 with a key on receipt, address", inKey(unkeyed(true)), 3, false},
		{"GRE with key over IPv6 and another on receipt, address", inKey(tunnel(GRETap, true)), 3, false},
		{"ERSPAN II over IPv6 with another key on receipt, address", inKey(tunnel(ERSPAN2, true)), 3, false},
		{"VXLAN over IPv6, address", tunnel(VXLAN, true), 3, false},
	}
	r := newRouter(t)
	mac := r.Link("u0").Attrs().HardwareAddr
	small := udpFrame(r.Link("r0").Attrs().HardwareAddr, inSrc, inDst, 0, 0, 100)
	all := func([]byte) bool { return true }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.give.PassesErrors(); got != tt.want {
				t.Errorf("PassesErrors says %t, this table %t", got, tt.want)
			}
			l := r.create(t, tt.give)
			defer r.remove(t, l)
			defer r.mirror(t, l.Name)()
			r.sender.Send("s0", small, 1)
			copies := r.copies.take(t, 1, isTunnel)
			if len(copies) != 1 {
				t.Fatalf("%d copies of one packet", len(copies))
			}
			r.icmp.take(t, 0, all)
			r.collector.Send("u1", unreachable(mac, copies[0], tt.code), answers)
			r.sender.Send("s0", small, n)
			want := 0
			if tt.want {
				want = answers
			}
			toldHost := 0
			for _, f := range r.icmp.take(t, want, func(f []byte) bool { return ipProtocol(f) == protoICMP }) {
				from := netip.AddrFrom4([4]byte(f[26:30]))
				if f[34] != 3 || f[35] != 1 {
					t.Errorf("ICMP type %d code %d from %s to the sender", f[34], f[35], from)
				}
				toldHost++
			}
			if toldHost != want {
				t.Errorf("the sender is told %d times that its receiver is unreachable, want %d", toldHost, want)
			}
			if got := len(r.copies.take(t, n, isTunnel)); got != n {
				t.Errorf("%d copies of %d packets", got, n)
			}
		})
	}
}
