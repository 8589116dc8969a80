package linknl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/internal/require"
)

// host is a namespace with an underlay interface u0, and a Conn in it. The peer u1 is
// the collector's.
type host struct {
	*kerneltest.NS
	conn      *Conn
	collector *kerneltest.NS
}

func newHost(t *testing.T, underlay int) host {
	t.Helper()
	h := host{NS: kerneltest.NewNS(t), collector: kerneltest.NewNS(t)}
	kerneltest.Veth(t, h.NS, "u0", h.collector, "u1")
	conn, err := Open(h.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	h.conn = conn
	for _, end := range []struct {
		ns        *kerneltest.NS
		dev       string
		has, peer []string
		peerNS    *kerneltest.NS
		peerDev   string
	}{
		{h.NS, "u0", []string{addr4.String() + "/24", addr6.String() + "/64"}, []string{peer4.String(), peer6.String()}, h.collector, "u1"},
		{h.collector, "u1", []string{peer4.String() + "/24", peer6.String() + "/64"}, []string{addr4.String(), addr6.String()}, h.NS, "u0"},
	} {
		end.ns.Run(fmt.Sprintf("ip link set dev %s mtu %d", end.dev, underlay))
		for _, a := range end.has {
			end.ns.Run("ip address add " + a + " dev " + end.dev + " nodad")
		}
		mac := end.peerNS.Link(end.peerDev).Attrs().HardwareAddr
		for _, a := range end.peer { // so that nothing has to be asked for on the wire
			end.ns.Run(fmt.Sprintf("ip neighbour add %s lladdr %s dev %s", a, mac, end.dev))
		}
	}
	h.Settle("u0")
	return h
}

// create makes a link, or skips with the words of a kernel that lacks the kind.
func (h host) create(t *testing.T, s Spec) Link {
	t.Helper()
	l, err := h.conn.Create(t.Context(), s)
	needKind(t, s, err)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (h host) remove(t *testing.T, l Link) {
	t.Helper()
	if err := h.conn.Delete(context.WithoutCancel(t.Context()), l); err != nil {
		t.Error(err)
	}
}

func needKind(t *testing.T, s Spec, err error) {
	t.Helper()
	require.Need(t, s.TypeWord(), !errors.Is(err, ErrLacking), fmt.Sprint(err))
}

func (h host) links(t *testing.T) []Link {
	t.Helper()
	list, err := h.conn.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ours gives the links of ours, without what is another one in each namespace.
func (h host) ours(t *testing.T) []Link {
	t.Helper()
	var out []Link
	for _, l := range h.links(t) {
		if l.Ours() {
			l.Index = 0
			out = append(out, l)
		}
	}
	return out
}

// detail is what "ip -d -j" says of a link.
type detail struct {
	Name  string   `json:"ifname"`
	Alias string   `json:"ifalias"`
	MTU   int      `json:"mtu"`
	Group string   `json:"group"`
	Flags []string `json:"flags"`
	Info  struct {
		Kind string         `json:"info_kind"`
		Data map[string]any `json:"info_data"`
	} `json:"linkinfo"`
	GenMode string `json:"inet6_addr_gen_mode"`
}

func (h host) detail(t *testing.T, dev string) detail {
	t.Helper()
	var d []detail
	if err := json.Unmarshal([]byte(h.Run("ip -d -j link show dev "+dev)), &d); err != nil || len(d) != 1 {
		t.Fatalf("ip -d -j: %v, %d links", err, len(d))
	}
	return d[0]
}

// What Create makes is read back the same, by us and by ip; the line of String makes
// the very same; Delete leaves what was before.
func TestCreateOnKernel(t *testing.T) {
	kerneltest.NeedIproute(t)
	h, byLine := newHost(t, 1600), newHost(t, 1600)
	for _, n := range []host{h, byLine} {
		n.line(t, `ip link add name 'a'\''b' type veth peer name x && ip link set dev 'a'\''b' addrgenmode none && ip link set dev x addrgenmode none && ip link set dev 'a'\''b' up && ip link set dev x up`)
	}
	for _, tt := range specs("a'b") {
		t.Run(tt.name, func(t *testing.T) {
			before := h.Run("ip -d -j link show")
			l := h.create(t, tt.Spec)
			want := Link{Spec: tt.Spec, Index: l.Index, KernelKind: tt.TypeWord(), Group: Group, Up: true}
			if d := cmp.Diff(want, without(l), compareDecoded); d != "" {
				t.Errorf("read back (-want +got):\n%s", d)
			}
			checkDetail(t, tt.Spec, h.detail(t, tt.Name))

			byLine.line(t, tt.String())
			defer byLine.Run("ip link delete dev " + tt.Name)
			if d := cmp.Diff(h.ours(t), byLine.ours(t), compareDecoded); d != "" {
				t.Errorf("by netlink (-), by the line (+):\n%s", d)
			}
			a, b := h.detail(t, tt.Name), byLine.detail(t, tt.Name)
			if d := cmp.Diff(a, b); d != "" {
				t.Errorf("in the words of ip, by netlink (-), by the line (+):\n%s", d)
			}

			if _, err := h.conn.Create(t.Context(), tt.Spec); !errors.Is(err, syscall.EEXIST) {
				t.Errorf("again: %v, want EEXIST", err)
			}
			if err := h.conn.Delete(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if after := h.Run("ip -d -j link show"); after != before {
				t.Errorf("links before:\n%s\nafter:\n%s", before, after)
			}
			if err := h.conn.Delete(t.Context(), l); !errors.Is(err, syscall.ENODEV) {
				t.Errorf("deleted again: %v, want ENODEV", err)
			}
		})
	}
}

// Links that send alike can be there side by side when their keys on receipt differ.
func TestLinksThatSendAlike(t *testing.T) {
	h := newHost(t, 1600)
	for _, base := range []Spec{
		tunnel(ERSPAN1, false), tunnel(ERSPAN2, false), tunnel(ERSPAN3, false), tunnel(GRETap, false),
		tunnel(ERSPAN2, true), tunnel(ERSPAN3, true), tunnel(GRETap, true),
	} {
		t.Run(base.TypeWord()+" "+base.Kind.String(), func(t *testing.T) {
			base.Alias = ""
			defer h.remove(t, h.create(t, base))
			for i := range 3 {
				other := base
				other.Name = fmt.Sprintf("span-other%d", i)
				if _, err := h.conn.Create(t.Context(), other); !errors.Is(err, syscall.EEXIST) {
					t.Errorf("without a key of its own on receipt: %v, want EEXIST", err)
				}
				other.InKey = uint32(500 + i)
				defer h.remove(t, h.create(t, other))
			}
		})
	}
}

// line runs commands of ip that a shell would take apart. The shell itself is left
// out: that of a kernel lab is busybox's, which prefers its own small ip.
func (h host) line(t *testing.T, s string) {
	t.Helper()
	for _, command := range strings.Split(s, " && ") {
		words, err := split(command)
		if err == nil {
			_, err = h.Command(words[0], words[1:]...)
		}
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// without leaves out the index behind Lower, which is another one in each namespace.
func without(l Link) Link {
	l.lower = 0
	return l
}

// checkDetail compares with ip, in a table of ip's own words.
func checkDetail(t *testing.T, s Spec, d detail) {
	t.Helper()
	want := map[string]any{}
	on := func(set bool, key string, value any) {
		if set {
			want[key] = value
		}
	}
	gre := s.Kind.Tunnel() && s.Kind != VXLAN
	on(s.Kind.Tunnel(), "ttl", float64(s.TTL))
	remote := "remote"
	if s.Kind == VXLAN && s.V6() {
		remote = "remote6"
	}
	on(s.Kind.Tunnel(), remote, s.Remote.String())
	if s.Local.IsValid() {
		key := "local"
		if s.Kind == VXLAN && s.V6() {
			key = "local6"
		}
		want[key] = s.Local.String()
	}
	on(gre && !s.V6(), "pmtudisc", false)
	on(gre && !s.V6(), "ignore_df", true)
	numbered := s.Kind == ERSPAN2 || s.Kind == ERSPAN3
	dotted := func(n uint32) string { return fmt.Sprintf("%d.%d.%d.%d", n>>24, n>>16&255, n>>8&255, n&255) }
	on(numbered, "okey", dotted(uint32(s.Session)))
	on(numbered && s.InKey == 0, "ikey", dotted(uint32(s.Session)))
	on(s.InKey != 0, "ikey", dotted(s.InKey))
	on(s.Keyed, "okey", dotted(s.Key))
	on(s.Kind == ERSPAN1, "erspan_ver", 0.0)
	on(s.Kind == ERSPAN2, "erspan_ver", 1.0)
	on(s.Kind == ERSPAN2, "erspan_index", float64(s.PortIndex))
	on(s.Kind == ERSPAN3, "erspan_ver", 2.0)
	on(s.Kind == ERSPAN3, "erspan_dir", directionWord(s.Egress))
	on(s.Kind == ERSPAN3, "erspan_hwid", cHex(s.HWID))
	on(s.Kind == VXLAN, "id", float64(s.VNI))
	on(s.Kind == VXLAN, "port", float64(s.Port))
	on(s.Kind == VXLAN, "learning", false)
	on(s.Kind == VLAN, "id", float64(s.VLAN))
	on(s.Kind == VLAN, "protocol", "802.1Q")
	got := map[string]any{}
	for k := range want {
		got[k] = d.Info.Data[k]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the words of ip (-want +got):\n%s\nof %v", diff, d.Info.Data)
	}
	genMode := "none"
	if s.MTU < minIPv6MTU {
		genMode = ""
	}
	gotOuter := []any{d.Name, d.Alias, d.MTU, d.Group, d.Info.Kind, d.GenMode, strings.Contains(strings.Join(d.Flags, " "), "UP")}
	if diff := cmp.Diff([]any{s.Name, s.Alias, s.MTU, fmt.Sprint(uint32(Group)), s.TypeWord(), genMode, true}, gotOuter); diff != "" {
		t.Errorf("name, alias, MTU, group, kind, address generation, up, in the words of ip (-want +got):\n%s", diff)
	}
}

// cHex is the # flag of C's printf, which writes no 0x before a zero.
func cHex(n uint8) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", n)
}

// A link that lacks one of our marks is told of, and not deleted.
func TestForeignLinks(t *testing.T) {
	kerneltest.NeedIproute(t)
	group := fmt.Sprintf(" group %d ", Group)
	tests := []struct {
		name, make, dev string
		lookalike       bool
	}{
		{"nothing of ours", "ip link add name other type vxlan id 1 remote 192.0.2.9 dstport 4789 ttl 9", "other", false},
		{"our name", "ip link add name span-x type vxlan id 1 remote 192.0.2.9 dstport 4789 ttl 9", "span-x", true},
		{"our group", "ip link add name other" + group + "type vxlan id 1 remote 192.0.2.9 dstport 4789 ttl 9", "other", true},
		{"name and group, another kind", "ip link add name span-x" + group + "type veth peer name y", "span-x", true},
	}
	h := newHost(t, 1500)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.line(t, tt.make)
			defer h.Run("ip link delete dev " + tt.dev)
			before := h.Run("ip -d -j link show")
			l, err := h.conn.LinkByName(t.Context(), tt.dev)
			if err != nil {
				t.Fatal(err)
			}
			if l.Ours() || l.Lookalike() != tt.lookalike {
				t.Errorf("ours %t, lookalike %t; want false, %t", l.Ours(), l.Lookalike(), tt.lookalike)
			}
			if err := h.conn.Delete(t.Context(), l); !errors.Is(err, ErrForeign) {
				t.Errorf("delete: %v, want ErrForeign", err)
			}
			if after := h.Run("ip -d -j link show"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// Delete looks again: what was ours when it was read may be another's now.
func TestDeleteLooksAgain(t *testing.T) {
	kerneltest.NeedIproute(t)
	tests := []struct {
		name, change, now string
		claim             func(*Link)
	}{
		{"renamed", "ip link set dev span-test down && ip link set dev span-test name span-other", "span-other", func(*Link) {}},
		{"renamed by a stranger", "ip link set dev span-test down && ip link set dev span-test name mine", "mine", func(*Link) {}},
		{"another group", "ip link set dev span-test group 7", "span-test", func(*Link) {}},
		{"another kind", "", "span-test", func(l *Link) { l.Kind, l.KernelKind = Dummy, "dummy" }},
		{"another index", "", "span-test", func(l *Link) { l.Index-- }},
		{"no index", "", "span-test", func(l *Link) { l.Index = 0 }},
	}
	h := newHost(t, 1500)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := h.create(t, tunnel(VXLAN, false))
			if tt.change != "" {
				h.line(t, tt.change)
			}
			defer h.Run("ip link delete dev " + tt.now)
			before := h.Run("ip -d -j link show")
			tt.claim(&l)
			err := h.conn.Delete(t.Context(), l)
			if !errors.Is(err, ErrForeign) && !errors.Is(err, syscall.ENODEV) {
				t.Errorf("delete: %v, want ErrForeign or ENODEV", err)
			}
			if after := h.Run("ip -d -j link show"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// What somebody changes on a link of ours shows, as another Spec or as Odd.
func TestChangedLinks(t *testing.T) {
	kerneltest.NeedIproute(t)
	tests := []struct {
		base   Spec
		change string
		want   string
	}{
		{tunnel(VXLAN, false), "ip link set dev span-test type vxlan id 11259375 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 learning", "it learns where addresses are"},
		{tunnel(VXLAN, false), "ip link set dev span-test mtu 1234", "MTU is 1234, not 9000"},
		{tunnel(VXLAN, false), "ip link set dev span-test alias other", "Alias is other, not spanctl ids-dmz"},
		{tunnel(VXLAN, false), "ip link set dev span-test down", "is down"},
		{tunnel(GRETap, false), "ip link set dev span-test type gretap key 4275878552 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc noignore-df", "ignore-df is off: a full-size packet would harm its sender"},
		{tunnel(GRETap, false), "ip link set dev span-test type gretap key 4275878552 local 192.0.2.1 remote 192.0.2.2 ttl inherit tos 0x28 nopmtudisc ignore-df", "the TTL is that of each packet"},
		{tunnel(GRETap, false), "ip link set dev span-test type gretap key 4275878552 local 192.0.2.1 remote 192.0.2.2 ttl 61 tos inherit nopmtudisc ignore-df", "TOS 0x01"},
		{tunnel(GRETap, false), "ip link set dev span-test type gretap key 4275878552 ocsum local 192.0.2.1 remote 192.0.2.2 ttl 61 tos 0x28 nopmtudisc ignore-df", "GRE flags 0xa000, not 0x2000"},
		{tunnel(GRETap, true), "ip link set dev span-test type ip6gretap key 4275878552 local 2001:db8::1 remote 2001:db8::2 hoplimit 61 tclass 0x28 encaplimit 4", "encapsulation limit 4"},
		{tunnel(GRETap, true), "ip link set dev span-test type ip6gretap key 4275878552 local 2001:db8::1 remote 2001:db8::2 hoplimit 61 tclass inherit encaplimit none", "tunnel flags 0x2"},
		{tunnel(ERSPAN2, false), "ip link set dev span-test group 0", "-"},
	}
	h := newHost(t, 1500)
	for _, tt := range tests {
		t.Run(tt.base.TypeWord()+"/"+tt.want, func(t *testing.T) {
			l := h.create(t, tt.base)
			defer h.Run("ip link delete dev span-test")
			if d := l.Differences(tt.base); len(d) > 0 {
				t.Errorf("differences of an unchanged link: %q", d)
			}
			h.line(t, tt.change)
			now, err := h.conn.Link(t.Context(), l.Index)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "-" {
				if now.Ours() {
					t.Error("still ours")
				}
				return
			}
			if got := strings.Join(now.Differences(tt.base), "; "); !strings.Contains(got, tt.want) {
				t.Errorf("differences %q, want %q among them", got, tt.want)
			}
		})
	}
}

// The kernel's errors keep their number and its words, and leave nothing behind.
func TestCreateErrors(t *testing.T) {
	kerneltest.NeedIproute(t)
	h := newHost(t, 1500)
	h.Run("ip link add name small mtu 1300 type veth peer name small1")
	vlan := Spec{Name: "span-v", Kind: VLAN, MTU: 1500, Lower: "small", VLAN: 900}
	nowhere, down := vlan, vlan
	down.MTU = 1300
	nowhere.Lower = "nowhere"
	zero := tunnel(VXLAN, false)
	zero.TTL = 0
	tests := []struct {
		name string
		give Spec
		want error
		text string
	}{
		{"no lower link", nowhere, syscall.ENODEV, "nowhere"},
		{"MTU above that of the lower link", vlan, syscall.EINVAL, "span-v"},
		{"lower link down", down, syscall.ENETDOWN, "span-v"},
		{"invalid", zero, ErrInvalid, "TTL 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := h.Run("ip -d -j link show")
			_, err := h.conn.Create(t.Context(), tt.give)
			needKind(t, tt.give, err)
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.text) {
				t.Errorf("%v, want %v and %q", err, tt.want, tt.text)
			}
			if after := h.Run("ip -d -j link show"); after != before {
				t.Errorf("links before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
	t.Run("the same tunnel under another name", func(t *testing.T) {
		s := tunnel(VXLAN, false)
		h.create(t, s)
		s.Name = "span-other"
		_, err := h.conn.Create(t.Context(), s)
		// "A VXLAN device with the specified VNI already exists" is the kernel's text.
		if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("%v, want EEXIST with the kernel's words", err)
		}
	})
	t.Run("a kind that no kernel has", func(t *testing.T) {
		req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
		req.AddData(ifInfo(0, 0))
		info := nl.NewRtAttr(iflaLinkInfo, nil)
		info.AddRtAttr(infoKind, nl.NonZeroTerminated("spanctl-none"))
		req.AddData(info)
		_, err := h.conn.execute(t.Context(), req, 0)
		if !lacking(err) || !strings.Contains(err.Error(), "Unknown device type") {
			t.Errorf("%v, want EOPNOTSUPP with the kernel's words", err)
		}
	})
}

// A link that cannot be finished is taken away again. Here ctx
// ends once the link is there, with its name for people.
func TestCreateTakesBack(t *testing.T) {
	kerneltest.NeedIproute(t)
	h := newHost(t, 1500)
	before := h.Run("ip -d -j link show")
	s := tunnel(VXLAN, false)
	s.Alias = "cut"
	ctx := &endsAfter{Context: t.Context(), calls: 2} // for the link and for its alias
	_, err := h.conn.Create(ctx, s)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrLeft) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if after := h.Run("ip -d -j link show"); after != before {
		t.Errorf("links before:\n%s\nafter:\n%s", before, after)
	}
}

// endsAfter is a Context that is over once it was asked a number of times.
type endsAfter struct {
	context.Context
	calls int
}

func (c *endsAfter) Err() error {
	if c.calls--; c.calls < 0 {
		return context.Canceled
	}
	return nil
}

// A request that the kernel does not answer ends with its ctx, and the Conn can still
// be used.
func TestCutRequest(t *testing.T) {
	c, err := Open(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50e6)
	defer cancel()
	// The kernel takes a NOOP without a word.
	_, err = c.execute(ctx, nl.NewNetlinkRequest(unix.NLMSG_NOOP, 0), 0)
	if !errors.Is(err, ErrCut) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want ErrCut and context.DeadlineExceeded", err)
	}
	if list, err := c.Links(t.Context()); err != nil || len(list) == 0 {
		t.Errorf("afterwards: %d links, %v", len(list), err)
	}
	if _, err := c.Create(ctx, tunnel(VXLAN, false)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrCut) {
		t.Errorf("with an ended ctx: %v, want it before anything is sent", err)
	}
}
