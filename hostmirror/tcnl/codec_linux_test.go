package tcnl

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// payload gives what a request says behind its netlink header. Requests and
// listings have the same form there.
func payload(t testing.TB, req *nl.NetlinkRequest) []byte {
	t.Helper()
	return req.Serialize()[unix.SizeofNlMsghdr:]
}

var someCookie = Cookie{'S', 'P', 'N', 1, 0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44, 'I', 'm', 0, 1}

func TestAddMirrorSaysWhatDecodeReads(t *testing.T) {
	for _, kind := range Kinds() {
		for _, hook := range []Hook{Ingress, Egress} {
			t.Run(kind+" "+hook.String(), func(t *testing.T) {
				m := Mirror{Ifindex: 7, Hook: hook, Priority: 21330, Kind: kind, Target: 9, Cookie: someCookie}
				got, err := DecodeFilter(payload(t, addMirror(m)))
				if err != nil {
					t.Fatal(err)
				}
				want := Filter{
					ID: ID{Ifindex: 7, Hook: hook, Priority: 21330, Protocol: ProtocolAll, Kind: kind},
					// matchall is known to be one only by its handle, which the kernel gives
					CatchAll: kind != MatchAll,
					Actions: []Action{{
						Kind: "mirred", Verdict: Continue, Cookie: someCookie[:],
						Mirred: &Mirred{Mode: EgressMirror, Ifindex: 9},
					}},
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

func TestAddMirrorNeverReplaces(t *testing.T) {
	m := Mirror{Ifindex: 1, Hook: Ingress, Priority: 1, Kind: U32, Target: 2}
	for name, req := range map[string]*nl.NetlinkRequest{"filter": addMirror(m), "clsact": addClsact(1)} {
		if req.Flags&unix.NLM_F_EXCL == 0 || req.Flags&unix.NLM_F_REPLACE != 0 {
			t.Errorf("%s: flags %#x, want NLM_F_EXCL and not NLM_F_REPLACE", name, req.Flags)
		}
	}
}

func TestDeleteSaysFullIdentity(t *testing.T) {
	tests := []ID{
		{Ifindex: 3, Hook: Ingress, Priority: 21328, Protocol: ProtocolAll, Kind: U32, Handle: 0x80000800},
		{Ifindex: 4, Hook: Egress, Chain: 5, Priority: 1, Protocol: 0x0800, Kind: "flower", Handle: 1},
	}
	for _, want := range tests {
		got, err := DecodeFilter(payload(t, deleteFilter(want)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.ID); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// sent is a filter as a kernel lists it, put together from its attributes.
func sent(kind string, handle uint32, options ...*nl.RtAttr) []byte {
	req := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, 0)
	req.AddData(&nl.TcMsg{Ifindex: 2, Handle: handle, Parent: Egress.Parent(), Info: info(100, 0x0800)})
	req.AddData(nl.NewRtAttr(tcaKind, nl.ZeroTerminated(kind)))
	req.AddData(nl.NewRtAttr(tcaChain, nl.Uint32Attr(7)))
	o := nl.NewRtAttr(tcaOptions|unix.NLA_F_NESTED, nil)
	for _, a := range options {
		o.AddChild(a)
	}
	req.AddData(o)
	return req.Serialize()[unix.SizeofNlMsghdr:]
}

func action(kind string, parms int, gen []byte, stats ...*nl.RtAttr) *nl.RtAttr {
	a := nl.NewRtAttr(1, nil)
	a.AddRtAttr(actKind, nl.ZeroTerminated(kind))
	s := a.AddRtAttr(actStats|unix.NLA_F_NESTED, nil)
	for _, x := range stats {
		s.AddChild(x)
	}
	a.AddRtAttr(actOptions|unix.NLA_F_NESTED, nil).AddRtAttr(parms, gen)
	return a
}

func words(n ...uint32) []byte {
	var b []byte
	for _, w := range n {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func TestDecodeFilter(t *testing.T) {
	base := ID{Ifindex: 2, Hook: Egress, Chain: 7, Priority: 100, Protocol: 0x0800, Handle: 1}
	basic := nl.NewRtAttr(statsBasic, append(binary.NativeEndian.AppendUint64(nil, 6000), words(100, 0)...))
	queue := nl.NewRtAttr(statsQueue, words(1, 2, 3, 4, 5))
	pkt64 := nl.NewRtAttr(statsPkt64, binary.NativeEndian.AppendUint64(nil, 1<<32+100))
	acts := func(at int, list ...*nl.RtAttr) *nl.RtAttr {
		a := nl.NewRtAttr(at|unix.NLA_F_NESTED, nil)
		for _, x := range list {
			a.AddChild(x)
		}
		return a
	}
	shot := uint32(Shot)
	tests := []struct {
		name string
		give []byte
		want Filter
	}{
		{
			"redirect with counters", sent("flower", 1, acts(3, action("mirred", 2, words(12, 0, uint32(Stolen), 1, 1, 1, 44), basic, queue))),
			Filter{ID: base, Actions: []Action{{
				Kind: "mirred", Index: 12, Verdict: Stolen, Mirred: &Mirred{Mode: EgressRedirect, Ifindex: 44},
				Stats: Stats{Bytes: 6000, Packets: 100, Qlen: 1, Backlog: 2, Drops: 3, Requeues: 4, Overlimits: 5},
			}}},
		},
		{
			"64-bit packet counter wins", sent(MatchAll, 1, acts(2, action("gact", 2, words(1, 0, shot, 1, 1), basic, pkt64))),
			Filter{ID: base, CatchAll: true, Actions: []Action{{
				Kind: "gact", Index: 1, Verdict: Shot, Stats: Stats{Bytes: 6000, Packets: 1<<32 + 100},
			}}},
		},
		{
			"u32 that looks at a bit", sent(U32, 0x80000800, nl.NewRtAttr(u32Sel, append([]byte{1, 0, 1, 15: 0}, words(0xff, 6, 8, 0)...))),
			Filter{ID: base},
		},
		{
			"u32 with fewer keys than it says", sent(U32, 0x80000800, nl.NewRtAttr(u32Sel, []byte{1, 0, 1, 15: 0})),
			Filter{ID: base},
		},
		{
			"u32 hash table", sent(U32, 0x80000000, nl.NewRtAttr(u32Divisor, words(1))),
			Filter{ID: base, Table: true},
		},
		{
			"bpf that decides itself", sent(BPF, 1, nl.NewRtAttr(bpfFlags, words(1)), nl.NewRtAttr(bpfName, nl.ZeroTerminated("prog")), nl.NewRtAttr(bpfOps, bpfMatchAll())),
			Filter{ID: base, Direct: true, Name: "prog"},
		},
		{"unknown classifier", sent("fancy", 1, acts(3)), Filter{ID: base}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeFilter(tt.give)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Kind = got.Kind
			tt.want.Handle = got.Handle
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDecodeSharedBlock(t *testing.T) {
	req := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, 0)
	req.AddData(&nl.TcMsg{Ifindex: -1, Handle: 1, Parent: 22, Info: info(1, ProtocolAll)})
	got, err := DecodeFilter(payload(t, req))
	if err != nil {
		t.Fatal(err)
	}
	if got.Block != 22 || got.Ifindex != 0 {
		t.Errorf("block %d, ifindex %d; want 22, 0", got.Block, got.Ifindex)
	}
}

func TestDecodeRefusesBroken(t *testing.T) {
	whole := payload(t, addMirror(Mirror{Ifindex: 1, Hook: Ingress, Priority: 1, Kind: U32, Target: 2}))
	tooLong := append([]byte(nil), whole...)
	binary.NativeEndian.PutUint16(tooLong[tcMsgSize:], 60000)
	tests := map[string][]byte{
		"empty":                   nil,
		"short header":            whole[:tcMsgSize-1],
		"attribute beyond end":    tooLong,
		"cut":                     whole[:len(whole)-8],
		"mirred without its size": sent(MatchAll, 1, nl.NewRtAttr(2, action("mirred", 2, words(1, 0, 0)).Serialize())),
		"mirred without parms":    sent(MatchAll, 1, nl.NewRtAttr(2, action("mirred", 9, words(1, 0, 0)).Serialize())),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := DecodeFilter(b); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want ErrMalformed", err)
			}
		})
	}
}

func TestMirrorValidate(t *testing.T) {
	ok := Mirror{Ifindex: 1, Hook: Ingress, Priority: 1, Kind: U32, Target: 2}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Mirror){
		"no source":      func(m *Mirror) { m.Ifindex = 0 },
		"no target":      func(m *Mirror) { m.Target = 0 },
		"to itself":      func(m *Mirror) { m.Target = 1 },
		"no hook":        func(m *Mirror) { m.Hook = HookUnset },
		"no priority":    func(m *Mirror) { m.Priority = 0 },
		"not catch-all":  func(m *Mirror) { m.Kind = "flower" },
		"no classifier":  func(m *Mirror) { m.Kind = "" },
		"negative index": func(m *Mirror) { m.Target = -1 },
	}
	for name, change := range tests {
		m := ok
		change(&m)
		if err := m.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestParseCookie(t *testing.T) {
	got, err := ParseCookie(someCookie.String())
	if err != nil || got != someCookie {
		t.Errorf("ParseCookie(%q) = %v, %v", someCookie, got, err)
	}
	for _, s := range []string{"", "53", someCookie.String() + "00", "zz" + someCookie.String()[2:]} {
		if _, err := ParseCookie(s); err == nil {
			t.Errorf("ParseCookie(%q): no error", s)
		}
	}
}

func FuzzDecodeFilter(f *testing.F) {
	for _, k := range Kinds() {
		f.Add(payload(f, addMirror(Mirror{Ifindex: 1, Hook: Egress, Priority: 2, Kind: k, Target: 3, Cookie: someCookie})))
	}
	f.Add(sent(U32, 0x80000000, nl.NewRtAttr(u32Divisor, words(1))))
	f.Add(sent("flower", 1, nl.NewRtAttr(3, action("mirred", 2, words(12, 0, 4, 1, 1, 1, 44), nl.NewRtAttr(statsQueue, words(1, 2, 3, 4, 5))).Serialize())))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodeFilter(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			if d := cmp.Diff(Filter{}, got); d != "" {
				t.Errorf("a filter with an error: %s", d)
			}
			return
		}
		for _, a := range got.Actions {
			if a.Kind == "mirred" && a.Mirred == nil && a.Verdict != OK {
				t.Errorf("mirred with a verdict but without parameters: %+v", a)
			}
		}
	})
}
