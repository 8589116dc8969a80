package capture

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// udp makes a frame with a right checksum, as gopacket works it out.
func udp(t testing.TB, payload string) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{192, 0, 2, 1}, DstIP: []byte{192, 0, 2, 2}}
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, u, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	return b[:udpStart+int(binary.BigEndian.Uint16(b[udpStart+4:]))] // without the padding to 60 bytes
}

const udpStart, udpCsum = 34, 6 // of the header in the frame, of the checksum in the header

// partial leaves the checksum as the kernel leaves it to hardware: the sum of the
// pseudo header.
func partial(frame []byte) {
	var sum uint32
	add := func(b []byte) {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	add(frame[26:34]) // addresses
	sum += 17 + uint32(len(frame)-udpStart)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(frame[udpStart+udpCsum:], uint16(sum))
}

func TestFinishChecksum(t *testing.T) {
	header := vnetHeader{flags: vnetNeedsCsum, csumStart: udpStart, csumOff: udpCsum}
	for _, payload := range []string{"even", "odd", "", "a longer one, with some text"} {
		want := udp(t, payload)
		got := bytes.Clone(want)
		partial(got)
		finishChecksum(got, header)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", payload, d)
		}
	}
	// What needs none, or cannot have one, stays.
	for _, h := range []vnetHeader{{csumStart: udpStart, csumOff: udpCsum}, {flags: vnetNeedsCsum, csumStart: 60000, csumOff: 6}, {flags: vnetNeedsCsum, csumStart: 40, csumOff: 60000}} {
		want := udp(t, "x")
		got := bytes.Clone(want)
		finishChecksum(got, h)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%+v (-want +got):\n%s", h, d)
		}
	}
}

func TestInsertTag(t *testing.T) {
	frame := udp(t, "tagged")
	buf := append(make([]byte, tagSize), frame...)
	insertTag(buf, tag{tpid: 0x88a8, tci: 0x6064})
	want := append(append(bytes.Clone(frame[:12]), 0x88, 0xa8, 0x60, 0x64), frame[12:]...)
	if d := cmp.Diff(want, buf); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func FuzzFinishChecksum(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint16(0), uint16(2))
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add([]byte{1}, uint16(65535), uint16(65535))
	f.Fuzz(func(t *testing.T, frame []byte, start, off uint16) {
		before := bytes.Clone(frame)
		finishChecksum(frame, vnetHeader{flags: vnetNeedsCsum, csumStart: start, csumOff: off})
		at := int(start) + int(off)
		for i := range frame {
			if frame[i] != before[i] && i != at && i != at+1 {
				t.Fatalf("byte %d changed, the field is at %d", i, at)
			}
		}
	})
}

func TestParseVnet(t *testing.T) {
	if _, err := parseVnet(make([]byte, vnetSize-1)); err == nil {
		t.Error("a cut header is none")
	}
	b := []byte{1, 3, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.NativeEndian.PutUint16(b[4:], 1448)
	binary.NativeEndian.PutUint16(b[6:], 34)
	binary.NativeEndian.PutUint16(b[8:], 16)
	got, err := parseVnet(b)
	if want := (vnetHeader{flags: 1, gsoType: 3, gsoSize: 1448, csumStart: 34, csumOff: 16}); got != want || err != nil || !got.gso() {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
