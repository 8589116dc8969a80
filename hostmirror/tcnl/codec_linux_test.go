package tcnl

import (
	"encoding/binary"
	"errors"
	"math"
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

// vlanProgram copies frames with a tag that the kernel keeps beside them.
var vlanProgram = []Instruction{
	{Code: 0x20, K: 0xfffff030}, // A = is there a tag
	{Code: 0x15, JT: 1, JF: 0, K: 0},
	{Code: 0x06, K: 0xffffffff},
	{Code: 0x06, K: 0},
}

// A program and sampling are read as they are sent, with the same cookie on each action.
func TestAddMirrorOfSomeFrames(t *testing.T) {
	base := ID{Ifindex: 7, Hook: Egress, Priority: 21360, Protocol: ProtocolAll, Kind: BPF}
	mirred := Action{Kind: "mirred", Verdict: Continue, Cookie: someCookie[:], Mirred: &Mirred{Mode: EgressMirror, Ifindex: 9}}
	gact := func(n uint16) Action {
		return Action{Kind: "gact", Verdict: Continue, Cookie: someCookie[:], Chance: &Chance{Type: Determ, OneIn: n, Verdict: Pipe}}
	}
	tests := []struct {
		name    string
		program []Instruction
		oneIn   uint16
		want    Filter
	}{
		{"all", nil, 0, Filter{ID: base, CatchAll: true, Actions: []Action{mirred}}},
		{"one in one", nil, 1, Filter{ID: base, CatchAll: true, Actions: []Action{mirred}}},
		{"a program", vlanProgram, 0, Filter{ID: base, Program: vlanProgram, Actions: []Action{mirred}}},
		{"a program that takes all", bpfMatchAll, 0, Filter{ID: base, CatchAll: true, Actions: []Action{mirred}}},
		{"sampled", nil, 2, Filter{ID: base, CatchAll: true, Actions: []Action{gact(2), mirred}}},
		{"sampled as rarely as can be", nil, math.MaxUint16, Filter{ID: base, CatchAll: true, Actions: []Action{gact(math.MaxUint16), mirred}}},
		{"both", vlanProgram, 100, Filter{ID: base, Program: vlanProgram, Actions: []Action{gact(100), mirred}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Mirror{Ifindex: 7, Hook: Egress, Priority: 21360, Kind: BPF, Target: 9, Cookie: someCookie, Program: tt.program, OneIn: tt.oneIn}
			if err := m.Validate(); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeFilter(payload(t, addMirror(m)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if !got.isMirror(m) {
				t.Error("it is not taken for the filter that was asked for")
			}
			for name, other := range map[string]Mirror{
				"program":  {Target: 9, Cookie: someCookie, Program: vlanProgram[3:], OneIn: tt.oneIn},
				"sampling": {Target: 9, Cookie: someCookie, Program: tt.program, OneIn: tt.oneIn + 2},
				"target":   {Target: 8, Cookie: someCookie, Program: tt.program, OneIn: tt.oneIn},
				"cookie":   {Target: 9, Program: tt.program, OneIn: tt.oneIn},
			} {
				if got.isMirror(other) {
					t.Errorf("taken for one with another %s", name)
				}
			}
		})
	}
}

// Copies knows only what AddMirror makes.
func TestCopies(t *testing.T) {
	mirred := Action{Kind: "mirred", Verdict: Continue, Mirred: &Mirred{Mode: EgressMirror, Ifindex: 9}}
	gact := Action{Kind: "gact", Verdict: Continue, Chance: &Chance{Type: Determ, OneIn: 10, Verdict: Pipe}}
	with := func(a Action, change func(*Action)) Action {
		if a.Mirred != nil {
			m := *a.Mirred
			a.Mirred = &m
		}
		if a.Chance != nil {
			c := *a.Chance
			a.Chance = &c
		}
		change(&a)
		return a
	}
	type copies struct {
		Target int
		OneIn  uint16
		OK     bool
	}
	tests := []struct {
		name string
		give []Action
		want copies
	}{
		{"each", []Action{mirred}, copies{9, 1, true}},
		{"one in ten", []Action{gact, mirred}, copies{9, 10, true}},
		{"target gone", []Action{with(mirred, func(a *Action) { a.Mirred.Ifindex = 0 })}, copies{0, 1, true}},
		{"none", nil, copies{}},
		{"no copy", []Action{gact}, copies{}},
		{"two copies", []Action{mirred, mirred}, copies{}},
		{"wrong order", []Action{mirred, gact}, copies{}},
		{"a third action", []Action{gact, mirred, mirred}, copies{}},
		{"redirect", []Action{with(mirred, func(a *Action) { a.Mirred.Mode = EgressRedirect })}, copies{}},
		{"other verdict", []Action{with(mirred, func(a *Action) { a.Verdict = OK })}, copies{}},
		{"by random", []Action{with(gact, func(a *Action) { a.Chance.Type = NetRand }), mirred}, copies{}},
		{"the others are dropped", []Action{with(gact, func(a *Action) { a.Verdict = Shot }), mirred}, copies{}},
		{"the chosen end there", []Action{with(gact, func(a *Action) { a.Chance.Verdict = OK }), mirred}, copies{}},
		{"one in none", []Action{with(gact, func(a *Action) { a.Chance.OneIn = 0 }), mirred}, copies{}},
		{"one in one", []Action{with(gact, func(a *Action) { a.Chance.OneIn = 1 }), mirred}, copies{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got copies
			got.Target, got.OneIn, got.OK = Filter{Actions: tt.give}.Copies()
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
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

// gactOf is an action gact with its chance.
func gactOf(gen, chance []byte) *nl.RtAttr {
	a := nl.NewRtAttr(1, nil)
	a.AddRtAttr(actKind, nl.ZeroTerminated("gact"))
	o := a.AddRtAttr(actOptions|unix.NLA_F_NESTED, nil)
	o.AddRtAttr(gactParms, gen)
	o.AddRtAttr(gactProb, chance)
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
			Filter{ID: base, Keys: []Key{{Mask: 0xff000000, Value: 0x06000000, Offset: 8}}},
		},
		{
			"u32 with a class and a variable offset", sent(U32, 0x80000800, nl.NewRtAttr(u32ClassID, words(0x53500045)),
				nl.NewRtAttr(u32Sel, append([]byte{1, 4, 1, 15: 0}, words(0xff, 6, 8, 0)...))),
			Filter{ID: base, Class: 0x53500045, Keys: []Key{{Mask: 0xff000000, Value: 0x06000000, Offset: 8}}},
		},
		{
			"u32 that follows an offset of the packet", sent(U32, 0x80000800, nl.NewRtAttr(u32Sel, append([]byte{3, 0, 1, 15: 0}, words(0xff, 6, 8, 0)...))),
			Filter{ID: base},
		},
		{
			"bpf that drops all", sent(BPF, 1, nl.NewRtAttr(bpfFlags, words(1)), nl.NewRtAttr(bpfOps, encodeProgram([]Instruction{{Code: bpfRetK, K: 2}}))),
			Filter{ID: base, Direct: true, DropAll: true},
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
			"bpf that decides itself", sent(BPF, 1, nl.NewRtAttr(bpfFlags, words(1)), nl.NewRtAttr(bpfName, nl.ZeroTerminated("prog")), nl.NewRtAttr(bpfOps, encodeProgram(bpfMatchAll))),
			Filter{ID: base, Direct: true, Name: "prog"},
		},
		{
			"bpf of half an instruction", sent(BPF, 1, nl.NewRtAttr(bpfOps, encodeProgram(vlanProgram)[:12])),
			Filter{ID: base},
		},
		{
			"gact without chance", sent(MatchAll, 1, acts(2, gactOf(words(1, 0, shot, 1, 1), words(0, 0)))),
			Filter{ID: base, CatchAll: true, Actions: []Action{{Kind: "gact", Index: 1, Verdict: Shot}}},
		},
		{
			"gact by random", sent(MatchAll, 1, acts(2, gactOf(words(1, 0, shot, 1, 1), append(binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, 1), 500), words(3)...)))),
			Filter{ID: base, CatchAll: true, Actions: []Action{{
				Kind: "gact", Index: 1, Verdict: Shot, Chance: &Chance{Type: NetRand, OneIn: 500, Verdict: Pipe},
			}}},
		},
		{
			"gact with a chance cut short", sent(MatchAll, 1, acts(2, gactOf(words(1, 0, shot, 1, 1), words(2)))),
			Filter{ID: base, CatchAll: true, Actions: []Action{{Kind: "gact", Index: 1, Verdict: Shot}}},
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
		"no source":                       func(m *Mirror) { m.Ifindex = 0 },
		"no target":                       func(m *Mirror) { m.Target = 0 },
		"to itself":                       func(m *Mirror) { m.Target = 1 },
		"no hook":                         func(m *Mirror) { m.Hook = HookUnset },
		"no priority":                     func(m *Mirror) { m.Priority = 0 },
		"not catch-all":                   func(m *Mirror) { m.Kind = "flower" },
		"no classifier":                   func(m *Mirror) { m.Kind = "" },
		"negative index":                  func(m *Mirror) { m.Target = -1 },
		"program for another classifier":  func(m *Mirror) { m.Program = vlanProgram },
		"program too large":               func(m *Mirror) { m.Kind, m.Program = BPF, make([]Instruction, MaxProgram+1) },
		"program with a class of its own": func(m *Mirror) { m.Kind, m.Program = BPF, []Instruction{{Code: 6, K: 1}} },
		"program that returns A":          func(m *Mirror) { m.Kind, m.Program = BPF, []Instruction{{Code: 0x16}} },
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
	f.Add(payload(f, addMirror(Mirror{Ifindex: 1, Hook: Egress, Priority: 2, Kind: BPF, Target: 3, Cookie: someCookie, Program: vlanProgram, OneIn: 100})))
	f.Add(payload(f, addMirror(Mirror{Ifindex: 1, Hook: Egress, Priority: 2, Kind: MatchAll, Target: 3, Cookie: someCookie, OneIn: 2})))
	f.Add(sent(BPF, 1, nl.NewRtAttr(bpfOps, encodeProgram(vlanProgram)[:12])))
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
		if got.Program != nil && (got.CatchAll || got.Direct) {
			t.Errorf("a program of a filter that needs none: %+v", got)
		}
		if to, n, ok := got.Copies(); !ok && (to != 0 || n != 0) || ok && n == 0 {
			t.Errorf("copies to %d, one in %d, %v", to, n, ok)
		}
		for _, a := range got.Actions {
			if a.Kind == "mirred" && a.Mirred == nil && a.Verdict != OK {
				t.Errorf("mirred with a verdict but without parameters: %+v", a)
			}
		}
	})
}
