package hostmirror

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// rules reads rules in short: "include tcp src 10.0.0.0/8 dport 80,443; exclude vlan 5".
func rules(text string) []models.Rule {
	var out []models.Rule
	for line := range strings.SplitSeq(text, ";") {
		words := strings.Fields(line)
		r := models.Rule{Action: map[string]models.Action{"include": models.Include, "exclude": models.Exclude}[words[0]]}
		for words = words[1:]; len(words) > 0; {
			if len(words) == 1 || len(words)%2 == 1 {
				r.Match.Proto, words = words[0], words[1:]
				continue
			}
			key, value := words[0], words[1]
			words = words[2:]
			switch key {
			case "src":
				r.Match.Src.Prefix = netip.MustParsePrefix(value)
			case "dst":
				r.Match.Dst.Prefix = netip.MustParsePrefix(value)
			default:
				list := map[string]*[]models.Range{"sport": &r.Match.Sport, "dport": &r.Match.Dport, "vlan": &r.Match.VLANs}[key]
				for v := range strings.SplitSeq(value, ",") {
					var one models.Range
					if err := one.UnmarshalText([]byte(v)); err != nil {
						panic(err)
					}
					*list = append(*list, one)
				}
			}
		}
		out = append(out, r)
	}
	return out
}

// tooMany is more rules than one program can hold.
func tooMany() []models.Rule {
	var out []models.Rule
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		out = append(out, models.Rule{Action: models.Action(1 + i%2), Match: models.Match{Src: models.Prefix{Prefix: p}}})
	}
	out[0].Action = models.Include
	return out
}

var equalPrefix = cmpopts.EquateComparable(netip.Prefix{})

// What is read out of a program is what it was made of, normalized; and the program for
// that is the same one.
func TestRulesOfReadsWhatCompileRulesWrote(t *testing.T) {
	tests := []string{
		"include",
		"exclude",
		"include vlan 100",
		"include vlan 0,1-4094",
		"include tcp",
		"include 253",
		"include icmp",
		"include icmpv6",
		"exclude icmp src 10.0.0.0/8",
		"include src 0.0.0.0/0",
		"include dst ::/0",
		"include src 0.0.0.0/0 dst 10.1.2.3/32",
		"include src 10.1.0.0/15 dst 128.0.0.0/1",
		"include src 2001:db8::/32 dst 2001:db8:1:2:3:4:5:6/128",
		"include src 2001:db8::/33 dst ::/1",
		"include src 2001:db8:0:1::/64",
		"include sport 0-65535",
		"include udp sport 1,3-5,65535 dport 53",
		"include tcp src 10.0.0.0/8 dport 443 vlan 100-200",
		"exclude udp dport 53; include src 10.0.0.0/8; exclude; include vlan 7",
		"exclude tcp dport 22; exclude dst 224.0.0.0/4",
	}
	for _, text := range tests {
		t.Run(text, func(t *testing.T) {
			program, err := compileRules(rules(text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := rulesOf(program)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(models.NormalizeRules(rules(text)), got, equalPrefix); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A program with one bit more or less is not read as rules, or as other ones: then the
// change shows as well.
func TestChangedProgramsShow(t *testing.T) {
	want := rules("exclude udp src 10.0.0.0/8 dport 53; include vlan 100 dst 2001:db8::/48; include tcp sport 1-5")
	program, err := compileRules(want)
	if err != nil {
		t.Fatal(err)
	}
	for i := range program {
		for bit := range 64 {
			changed := append([]tcnl.Instruction(nil), program...)
			in := &changed[i]
			switch {
			case bit < 32:
				in.K ^= 1 << bit
			case bit < 40:
				in.JT ^= 1 << (bit - 32)
			case bit < 48:
				in.JF ^= 1 << (bit - 40)
			default:
				in.Code ^= 1 << (bit - 48)
			}
			if got, err := rulesOf(changed); err == nil && cmp.Equal(models.NormalizeRules(want), got, equalPrefix) {
				t.Fatalf("bit %d of instruction %d does not show", bit, i)
			}
		}
		if got, err := rulesOf(program[:i]); i > 0 && err == nil && cmp.Equal(models.NormalizeRules(want), got, equalPrefix) {
			t.Fatalf("an end after %d instructions does not show", i)
		}
	}
}

func FuzzRulesOf(f *testing.F) {
	for _, text := range []string{"include", "exclude udp src 10.0.0.0/8 dport 53; include vlan 100 dst 2001:db8::/48"} {
		program, err := compileRules(rules(text))
		if err != nil {
			f.Fatal(err)
		}
		var b []byte
		for _, in := range program {
			b = binary.BigEndian.AppendUint16(b, in.Code)
			b = append(b, in.JT, in.JF)
			b = binary.BigEndian.AppendUint32(b, in.K)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var program []tcnl.Instruction
		for ; len(b) >= 8; b = b[8:] {
			program = append(program, tcnl.Instruction{
				Code: binary.BigEndian.Uint16(b), JT: b[2], JF: b[3], K: binary.BigEndian.Uint32(b[4:]),
			})
		}
		got, err := rulesOf(program)
		if err != nil {
			return
		}
		again, err := compileRules(got)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(program, again); d != "" {
			t.Errorf("rules %v are another program (-given +again):\n%s", got, d)
		}
	})
}

// Random rules and frames: the program, run by an interpreter of its own, takes what a
// plain reading of the rules takes, and reads back as the rules.
func TestProgramAgreesWithReference(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		list := randomRules(r)
		program, err := compileRules(list)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, err := rulesOf(program)
		if err != nil {
			t.Fatalf("seed %d: %v of %v", seed, err, list)
		}
		if d := cmp.Diff(models.NormalizeRules(list), back, equalPrefix); d != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, d)
		}
		for range 200 {
			f := randomFrame(r)
			if want, got := reference(list, f), run(t, program, f); want != got {
				t.Fatalf("seed %d: rules %+v, frame %+v: copied %t, want %t", seed, list, f, got, want)
			}
		}
	}
}

// testFrame is what a frame consists of.
type testFrame struct {
	beside   int // id of the tag that the kernel keeps beside the frame, -1 = none
	tags     []uint16
	ip       int // 4, 6 or 0
	options  int // words of IPv4 options
	headers  []byte
	proto    uint8
	src, dst netip.Addr
	sport    uint16
	dport    uint16
	fragment uint16 // offset in units of 8 bytes
	cut      bool   // ends within its last header
}

// bytes gives the frame. Its IP header is valid: a host that filters on bridges drops others.
func (f testFrame) bytes(payload string) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for i, tag := range f.tags {
		kind := uint16(etherVLAN)
		if i+1 < len(f.tags) {
			kind = etherQinQ
		}
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, tag|0x6000)
	}
	switch f.ip {
	case 4:
		b = binary.BigEndian.AppendUint16(b, etherIPv4)
		at := len(b)
		b = append(b, 0x40|byte(5+f.options), 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+4*f.options+4+len(payload)))
		b = binary.BigEndian.AppendUint16(b, 0)
		b = binary.BigEndian.AppendUint16(b, f.fragment)
		b = append(b, 64, f.proto, 0, 0)
		b = append(append(b, f.src.AsSlice()...), f.dst.AsSlice()...)
		b = append(b, make([]byte, 4*f.options)...)
		sum := uint32(0)
		for i := at; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		binary.BigEndian.PutUint16(b[at+10:], ^uint16(sum+sum>>16))
	case 6:
		b = binary.BigEndian.AppendUint16(b, etherIPv6)
		kinds := append(f.headers[:len(f.headers):len(f.headers)], f.proto)
		at := len(b)
		b = append(b, 0x60, 0, 0, 0, 0, 0, kinds[0], 64)
		b = append(append(b, f.src.AsSlice()...), f.dst.AsSlice()...)
		for i, kind := range f.headers {
			h := make([]byte, 16)
			h[1], h[2], h[3] = 1, 1, 12 // PadN over the rest
			if kind == fragmentKind {
				h = make([]byte, 8)
				binary.BigEndian.PutUint16(h[2:], f.fragment<<3|1)
			}
			h[0] = kinds[i+1]
			b = append(b, h...)
		}
		binary.BigEndian.PutUint16(b[at+4:], uint16(len(b)-at-40+4+len(payload)))
	default:
		b = binary.BigEndian.AppendUint16(b, 0x0806)
	}
	b = binary.BigEndian.AppendUint16(b, f.sport)
	b = binary.BigEndian.AppendUint16(b, f.dport)
	if f.cut {
		return b[:len(b)-1]
	}
	return append(b, payload...)
}

// reference reads rules as models describes them.
func reference(list []models.Rule, f testFrame) bool {
	for _, r := range list {
		if f.matches(r.Match) {
			return r.Action == models.Include
		}
	}
	return models.DefaultAction(list) == models.Include
}

func (f testFrame) matches(m models.Match) bool {
	vlan := f.beside
	if vlan < 0 && len(f.tags) > 0 {
		vlan = int(f.tags[0])
	}
	if len(m.VLANs) > 0 && (vlan < 0 || !models.RangesContain(m.VLANs, uint16(vlan))) {
		return false
	}
	if m.Proto != "" {
		n, _ := models.ProtocolNumber(m.Proto)
		if f.ip == 0 || n != f.proto || n == 1 && f.ip != 4 || n == 58 && f.ip != 6 {
			return false
		}
	}
	if m.Src.IsValid() && (f.ip == 0 || !m.Src.Contains(f.src)) || m.Dst.IsValid() && (f.ip == 0 || !m.Dst.Contains(f.dst)) {
		return false
	}
	ports := f.ip != 0 && (f.proto == 6 || f.proto == 17 || f.proto == 132) && f.fragment == 0 && !f.cut
	if len(m.Sport) > 0 && (!ports || !models.RangesContain(m.Sport, f.sport)) {
		return false
	}
	return len(m.Dport) == 0 || ports && models.RangesContain(m.Dport, f.dport)
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomAddr(r *rand.Rand, version int) netip.Addr {
	if version == 6 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[5], a[9], a[15] = pick[byte](r, 0, 1, 128), pick[byte](r, 0, 255), pick[byte](r, 0, 1, 2)
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{pick[byte](r, 0, 10, 255), pick[byte](r, 0, 1), pick[byte](r, 0, 128), pick[byte](r, 0, 1, 255)})
}

func randomRanges(r *rand.Rand, of ...uint16) []models.Range {
	var out []models.Range
	for range pick(r, 0, 0, 0, 1, 2, 3) {
		a, b := pick(r, of...), pick(r, of...)
		out = append(out, models.Range{First: min(a, b), Last: max(a, b)})
	}
	return out
}

func randomRules(r *rand.Rand) []models.Rule {
	out := make([]models.Rule, 1+r.IntN(8))
	for i := range out {
		m := &out[i].Match
		out[i].Action = pick(r, models.Include, models.Exclude)
		version := pick(r, 0, 4, 6)
		m.Proto = pick(r, "", "", "tcp", "udp", "sctp", "icmp", "icmpv6", "47", "0")
		if m.Proto == "icmp" && version == 6 || m.Proto == "icmpv6" && version == 4 {
			m.Proto = ""
		}
		for _, p := range []*models.Prefix{&m.Src, &m.Dst} {
			if version != 0 && r.IntN(2) == 0 {
				a := randomAddr(r, version)
				p.Prefix = netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked()
			}
		}
		m.Sport = randomRanges(r, 0, 1, 53, 80, 65535)
		m.Dport = randomRanges(r, 0, 1, 53, 80, 65535)
		m.VLANs = randomRanges(r, 0, 1, 100, 200, 4095)
	}
	return out
}

func randomFrame(r *rand.Rand) testFrame {
	f := testFrame{beside: pick(r, -1, -1, 0, 1, 100, 200), ip: pick(r, 4, 4, 6, 6, 0), proto: pick[uint8](r, 1, 6, 17, 47, 58, 132)}
	for range pick(r, 0, 0, 1, 2) {
		f.tags = append(f.tags, pick[uint16](r, 0, 1, 100, 200, 4095))
	}
	f.src, f.dst = randomAddr(r, max(f.ip, 4)), randomAddr(r, max(f.ip, 4))
	f.sport, f.dport = pick[uint16](r, 0, 1, 2, 53, 80, 65535), pick[uint16](r, 0, 1, 2, 53, 80, 65535)
	f.cut = r.IntN(10) == 0
	switch f.ip {
	case 4:
		f.options = pick(r, 0, 0, 1, 10)
		f.fragment = pick[uint16](r, 0, 0, 0, 1, 0x1fff)
	case 6:
		for range pick(r, 0, 0, 1, 2, 4) {
			f.headers = append(f.headers, pick[byte](r, 0, 43, 60))
		}
		if len(f.headers) > 0 && r.IntN(2) == 0 {
			f.headers[len(f.headers)-1] = fragmentKind
			f.fragment = pick[uint16](r, 0, 1, 0x1fff)
		}
	}
	return f
}

// run executes a program as the kernel does (net/core/filter.c), the instructions that
// compileRules uses.
func run(t *testing.T, program []tcnl.Instruction, f testFrame) bool {
	t.Helper()
	frame := f.bytes("payload")
	var a, x uint32
	var mem [16]uint32
	load := func(at, size uint32) bool {
		if uint64(at)+uint64(size) > uint64(len(frame)) {
			return false
		}
		a = 0
		for _, b := range frame[at : at+size] {
			a = a<<8 | uint32(b)
		}
		return true
	}
	for pc := 0; pc < len(program); pc++ {
		in := program[pc]
		ok, condition := true, -1
		test := func(holds bool) {
			condition = int(in.JF)
			if holds {
				condition = int(in.JT)
			}
		}
		switch in.Code {
		case opLoadWord:
			switch in.K {
			case vlanPresent:
				a = 0
				if f.beside >= 0 {
					a = 1
				}
			case vlanTag:
				a = uint32(max(f.beside, 0)) | 0x6000
			default:
				ok = load(in.K, 4)
			}
		case opLoadHalf:
			ok = load(in.K, 2)
		case opWordAtX:
			ok = load(x+in.K, 4)
		case opHalfAtX:
			ok = load(x+in.K, 2)
		case opByteAtX:
			ok = load(x+in.K, 1)
		case opLength:
			a = uint32(len(frame))
		case opSet:
			a = in.K
		case opSetX:
			x = in.K
		case opRecall:
			a = mem[in.K]
		case opRecallX:
			x = mem[in.K]
		case opStore:
			mem[in.K] = a
		case opStoreX:
			mem[in.K] = x
		case opAdd:
			a += in.K
		case opAddX:
			a += x
		case opSubtractX:
			a -= x
		case opAnd:
			a &= in.K
		case opShiftLeft:
			a <<= in.K
		case opMoveToX:
			x = a
		case opMoveFromX:
			a = x
		case opGoto:
			pc += int(in.K)
		case opEqual:
			test(a == in.K)
		case opGreater:
			test(a > in.K)
		case opAtLeast:
			test(a >= in.K)
		case opAnyBit:
			test(a&in.K != 0)
		case opReturn:
			return in.K != 0
		default:
			t.Fatalf("instruction %d: code %#x", pc, in.Code)
		}
		if !ok {
			t.Errorf("instruction %d reads behind the end of the frame %+v", pc, f)
			return false
		}
		if condition >= 0 {
			pc += condition
		}
	}
	t.Fatal(fmt.Sprint("the program does not end: ", program))
	return false
}
