package hostmirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// The conformance suite of all drivers, with this kernel as the device: tc tells what
// it has, its notifications tell what it was asked for, and frames are counted.
//
// An emulated processor takes minutes for each classifier. There the suite has the
// first of them, which not all machines have; the others are for the host's kernel.
func TestConformance(t *testing.T) {
	emulated := os.Getenv("SPANCTL_KERNELLAB") != ""
	eachKind(t, func(t *testing.T, kind string) {
		if emulated && kind != tcnl.MatchAll {
			t.Skip("SKIPPED inside the kernel lab: too slow for more than one classifier")
		}
		kerneltest.NeedIproute(t)
		why := (&netlinkAccess{}).probe(t.Context(), []string{kind})
		require.Need(t, "cls_"+kind, len(why.usable) == 1, why.reasons())
		on := filtersOnly((&netlinkAccess{}).probe(t.Context(), []string{kind, tcnl.BPF}).kernel(kind))
		on.noLinks = lackingLinks(t)
		drivertest.Run(t, drivertest.Subject{
			Planner: onKernel{Planner{}, on},
			Start: func(t testing.TB) *drivertest.Peer {
				p := newKernelPeer(t, kind)
				p.noLinks = on.noLinks
				return p.peer()
			},
			Ask: askLinks,
		})
	})
}

func filtersOnly(k kernel) kernel {
	k.method = MethodTC
	return k
}

// onKernel is a planner for this very kernel.
type onKernel struct {
	Planner
	kernel kernel
}

func (p onKernel) Capabilities() models.Capabilities { return capabilitiesOn(p.kernel) }

// kernelPeer is a network namespace that plays the device. Ports p0 to p2 are for
// sources, m0 and m1 for destinations, and f0 is mirrored by somebody else.
// The port x has its other end, x-o, in outside.
type kernelPeer struct {
	t             testing.TB
	kind          string
	host, outside *kerneltest.NS
	events        *nl.NetlinkSocket
	conn          *tcnl.Conn
	names         map[int]string

	noLinks      map[string]string
	refuse, hang string
	hangs        bool
	frames       int
}

var (
	peerSources      = []string{"p0", "p1", "p2"}
	peerDestinations = []string{"m0", "m1"}
	peerPorts        = slices.Concat(peerSources, peerDestinations, []string{"f0", peerWay})
)

func newKernelPeer(t testing.TB, kind string) *kernelPeer {
	p := &kernelPeer{t: t, kind: kind, host: kerneltest.NewNS(t), outside: kerneltest.NewNS(t), names: make(map[int]string)}
	for _, name := range peerPorts {
		kerneltest.Veth(t, p.host, name, p.outside, name+"-o")
		p.names[p.host.Index(name)] = name
	}
	p.host.Settle(peerPorts...)
	// The way to the collector is as narrow as the sources, but for the wrappers.
	p.host.Batch("ip", "link set dev "+peerWay+" mtu 1600", "address add "+peerTunnel+"/24 dev "+peerWay)
	p.names[1] = "lo"
	p.host.Batch("tc",
		"qdisc add dev f0 clsact",
		"filter add dev f0 ingress pref 7 protocol all u32 match u32 0 0 action mirred egress mirror dev lo pipe",
		// One of the sources has a stranger's filter, which does not mirror.
		"qdisc add dev p1 clsact",
		"filter add dev p1 ingress pref 21328 protocol ip u32 match ip dst 192.0.2.1 flowid 1:1",
	)
	var err error
	if p.events, err = nl.SubscribeAt(netns.NsHandle(p.host.FD()), netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_TC); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(p.events.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_LINK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.events.Close)
	if p.conn, err = tcnl.Open(p.host.FD()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.conn.Close)
	return p
}

func (p *kernelPeer) peer() *drivertest.Peer {
	var texts []string
	return &drivertest.Peer{
		Device:  host,
		Ports:   p.tunnelPorts(),
		Foreign: p.truth(),
		Open:    p.open,
		Truth:   p.truth,
		Config:  p.config,
		Wire: func() []string {
			texts = append(texts, p.wire()...)
			return texts
		},
		ResetWire: func() {
			p.wire()
			texts = nil
		},
		Lapse:  func(time.Duration) {}, // the kernel has no timer that could lapse
		Refuse: func(step string) { p.refuse = step },
		Hang:   func(text string) { p.hang, p.hangs = text, true },
		Frames: p.count,
	}
}

func (p *kernelPeer) open(ctx context.Context) (drivers.Driver, error) {
	p.hangs = false    // a slow machine may never have come to the step
	var known []string // what the records of a store would tell
	for i := range 6 {
		known = append(known, fmt.Sprintf("sp-c%d", i))
	}
	m, err := Open(ctx, Options{Device: host, Namespace: p.host.Path(), Prefer: slices.Compact([]string{p.kind, tcnl.BPF}), Method: MethodTC, Known: known})
	if err != nil {
		return nil, err
	}
	m.tap, m.classifiers.noLinks = p.tap, p.noLinks
	return m, nil
}

// tap makes the kernel refuse a step, or be silent.
func (p *kernelPeer) tap(ctx context.Context, what string, do func() error) error {
	if p.hangs && (p.hang == "" || p.hang == what) {
		p.hangs = false
		<-ctx.Done()
		return ctx.Err()
	}
	if what == "" || what != p.refuse {
		return do()
	}
	p.refuse = ""
	o, err := parseOperation(what)
	if err != nil {
		return err
	}
	switch o.Verb {
	case addQdisc: // the kernel takes no clsact beside an ingress qdisc
		p.host.Run("tc qdisc add dev " + o.Dev + " ingress")
		defer p.host.Run("tc qdisc del dev " + o.Dev + " ingress")
	case addFilter: // a priority belongs to one kind and protocol
		at := fmt.Sprintf("dev %s %s pref %d", o.Dev, o.Hook, o.Priority)
		p.host.Run("tc filter add " + at + " protocol ip u32 match u32 0 0 flowid 1:1")
		defer p.host.Run("tc filter del " + at)
	default: // no way is known to make the kernel refuse an exact delete
		return fmt.Errorf("%w: refused by the test", unix.EINVAL)
	}
	return do()
}

// truth reads tc's own words. It shares no code with the driver.
func (p *kernelPeer) truth() []models.Session {
	p.t.Helper()
	names := make(map[string]string)
	for i := range 6 {
		name := fmt.Sprintf("sp-c%d", i)
		sum := sha256.Sum256([]byte("host1/" + name))
		names["53504e01"+hex.EncodeToString(sum[:8])] = name
	}
	var hooks []kerneltest.At
	for _, dev := range peerPorts {
		hooks = append(hooks, kerneltest.At{Dev: dev, Hook: "ingress"}, kerneltest.At{Dev: dev, Hook: "egress"})
	}
	found := make(map[string]*models.Session)
	filters := make(map[string]int)
	all := p.host.TCFilters(hooks...)
	for _, at := range hooks {
		for _, f := range all[at] {
			sample := 0
			for _, a := range f.Actions {
				if a.Kind == "gact" && a.Control.Type == "continue" && a.Random.Type == "determ" && a.Random.Control.Type == "pipe" {
					sample = a.Random.Value
					continue
				}
				name := fmt.Sprintf("tc/%s/%s/%d/%s", at.Dev, at.Hook, f.Pref, f.Handle)
				suffix := map[string]string{"ingress": "496d0000", "egress": "456d0000"}[at.Hook]
				ours := len(a.Cookie) == 32 && a.Cookie[24:] == suffix && names[a.Cookie[:24]] != ""
				if ours {
					name = names[a.Cookie[:24]]
				} else if a.Cookie != "" {
					name = "unknown cookie " + a.Cookie
				}
				ses := found[name]
				if ses == nil {
					ses = &models.Session{Device: host, Name: name, Role: models.RoleLocal, Destination: models.Destination{Kind: models.DestinationPort}}
					found[name] = ses
				}
				filters[name]++
				if !ours { // the one stranger takes all frames
					ses.Extra = []string{fmt.Sprintf("tc filter protocol %s %s, all frames, actions: %s %s", f.Protocol, f.Kind, a.Kind, a.Control.Type)}
				}
				d := map[string]models.Direction{"ingress": models.Rx, "egress": models.Tx}[at.Hook]
				ses.Sources = append(ses.Sources, models.Source{Kind: models.SourcePort, Name: at.Dev, Direction: d})
				ses.Destination.Ports = append(ses.Destination.Ports, a.To)
				what := fmt.Sprintf("%s %s %s %s %s", a.Kind, a.Direction, a.Mode, a.Control.Type, f.Protocol)
				kind, actions := p.kind, 1
				if text := tcProgram(f.Program); ours && f.Kind == "bpf" && text != "1,6 0 0 4294967295" {
					kind = "bpf"
					if ses.Filter = programs[text]; ses.Filter == nil {
						ses.Extra = append(ses.Extra, "program "+text)
					}
				}
				if sample > 0 {
					actions, ses.SampleOneIn = 2, uint32(sample)
				}
				if ours && (what != "mirred egress mirror continue all" || len(f.Actions) != actions || f.Kind != kind || f.Chain != 0) {
					ses.Extra = append(ses.Extra, what)
				}
			}
		}
	}
	var out []models.Session
	for name, ses := range found {
		n := ses.Normalize()
		want := 0
		for _, src := range n.Sources {
			want += map[models.Direction]int{models.Rx: 1, models.Tx: 1, models.Both: 2}[src.Direction] * len(n.Destination.Ports)
		}
		if filters[name] != want {
			n.Extra = append(n.Extra, fmt.Sprintf("%d filters, want %d", filters[name], want))
		}
		n = remoteTruth(p.lifted(n))
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b models.Session) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// clsactText is a clsact in the words of tc -j. A driver leaves those that it has
// made, since removing one would take the filters of others with it.
var clsactText = regexp.MustCompile(`,?\{"kind":"clsact"[^}]*\}\}`)

func (p *kernelPeer) config() string {
	p.t.Helper()
	return clsactText.ReplaceAllString(p.host.Objects(peerPorts...), "") + p.host.Run("ip -j address show")
}

// tcProgram writes the program that tc lists as tc takes it.
func tcProgram(list []kerneltest.TCInstruction) string {
	text := fmt.Sprint(len(list))
	for _, in := range list {
		text += fmt.Sprintf(",%d %d %d %d", in.Code, in.JT, in.JF, in.K)
	}
	return text
}

// wire gives the changes that the kernel has announced, as the tc commands that ask
// for them.
func (p *kernelPeer) wire() []string {
	p.t.Helper()
	var out []string
	buf := make([]byte, 1<<16)
	for {
		// The kernel announces a change before it answers the request for it.
		n, _, err := unix.Recvfrom(p.events.GetFd(), buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return out
		}
		if err != nil {
			p.t.Fatal(err)
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			p.t.Fatal(err)
		}
		for _, m := range msgs {
			if text := p.announced(m); text != "" {
				out = append(out, text)
			}
		}
	}
}

func (p *kernelPeer) announced(m syscall.NetlinkMessage) string {
	p.t.Helper()
	if text, ok := p.announcedLink(m); ok {
		return text
	}
	if m.Header.Type == unix.RTM_DELQDISC { // with its link
		return ""
	}
	if m.Header.Type == unix.RTM_NEWQDISC {
		q, err := tcnl.DecodeQdisc(m.Data)
		if err != nil {
			p.t.Fatal(err)
		}
		return fmt.Sprintf("tc qdisc add dev %s %s", p.names[q.Ifindex], q.Kind)
	}
	f, err := tcnl.DecodeFilter(m.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	if f.Handle == 0 && m.Header.Type == unix.RTM_NEWTFILTER {
		f = p.lookUp(f)
	}
	if f.DropAll && m.Header.Type == unix.RTM_NEWTFILTER {
		return fmt.Sprintf("tc filter add dev %s %s pref %d protocol all bpf bytecode '1,6 0 0 2' direct-action", p.names[f.Ifindex], f.Hook, f.Priority)
	}
	if f.Handle == 0 || f.Table || len(f.Actions) == 0 {
		return "" // a priority that vanishes when it is empty
	}
	a := f.Actions[len(f.Actions)-1]
	where := fmt.Sprintf("dev %s %s pref %d protocol all", p.names[f.Ifindex], f.Hook, f.Priority)
	if m.Header.Type == unix.RTM_DELTFILTER {
		handle := fmt.Sprintf("0x%x", f.Handle)
		if f.Kind == "u32" {
			handle = fmt.Sprintf("%x::%x", f.Handle>>20, f.Handle&0xfff)
		}
		return fmt.Sprintf("tc filter del %s handle %s %s # cookie %x", where, handle, f.Kind, a.Cookie)
	}
	program, comment, sample := "", "", ""
	if f.Program != nil {
		text := bytecode(f.Program)
		program = "bpf bytecode '" + text + "'"
		for _, p := range conformancePrograms {
			if p.program == text {
				comment = " # " + p.comment
			}
		}
		if text == remoteProgram {
			comment = " # include VLAN 900; exclude all; else exclude"
		}
	}
	if len(f.Actions) == 2 {
		sample = fmt.Sprintf("action gact %s random determ %s %d cookie %x ", f.Actions[0].Verdict, f.Actions[0].Chance.Verdict, f.Actions[0].Chance.OneIn, f.Actions[0].Cookie)
	}
	selector := map[string]string{"matchall": "matchall", "u32": "u32 match u32 0 0", "bpf": "bpf bytecode '1,6 0 0 4294967295'"}[f.Kind]
	if program != "" {
		selector = program
	}
	return fmt.Sprintf("tc filter add %s %s %saction mirred %s dev %s %s cookie %x%s", where, selector, sample, a.Mirred.Mode, p.names[a.Mirred.Ifindex], a.Verdict, a.Cookie, comment)
}

// lookUp completes what was announced without its details: cls_matchall of 6.1 tells
// of a new filter only at which priority it is.
func (p *kernelPeer) lookUp(announced tcnl.Filter) tcnl.Filter {
	p.t.Helper()
	list, err := p.conn.Filters(p.t.Context(), announced.Ifindex, announced.Hook)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range list {
		if f.Priority == announced.Priority {
			return f
		}
	}
	return announced
}

// count sends frames and counts the copies. A last frame, sent straight out of the
// destination, tells that those before it have come.
func (p *kernelPeer) count(t testing.TB, port string, rx, tx int, to string) int {
	t.Helper()
	p.frames++
	mark, end := fmt.Sprintf("frame%d", p.frames), fmt.Sprintf("end%d", p.frames)
	c := p.outside.Capture(to + "-o")
	frame := kerneltest.TestFrame(kerneltest.Broadcast, mark, 0, 128)
	p.outside.Send(port+"-o", frame, rx)
	p.host.Send(port, frame, tx)
	p.host.Send(to, kerneltest.TestFrame(kerneltest.Broadcast, end, 0, 128), 1)
	return c.Counts(map[string]int{end: 1, mark: 0})[mark]
}
