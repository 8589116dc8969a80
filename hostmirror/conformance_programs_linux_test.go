package hostmirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// The conformance suite with programs only: what is pinned tells what the host has, and
// how that changes tells what it was asked for. On an emulated processor it takes about
// four minutes and runs only when SPANCTL_LAB_PROGRAMS asks for it.
func TestConformanceOfPrograms(t *testing.T) {
	emulated := os.Getenv("SPANCTL_KERNELLAB") != ""
	eachProgram(t, func(t *testing.T, method Method) {
		if emulated && os.Getenv("SPANCTL_LAB_PROGRAMS") == "" {
			t.Skip("SKIPPED inside the kernel lab, as it is slow: set SPANCTL_LAB_PROGRAMS=1")
		}
		kerneltest.NeedIproute(t)
		lacking := lackingLinks(t)
		drivertest.Run(t, drivertest.Subject{
			Planner: onKernel{Planner{}, kernel{noLinks: lacking}},
			Ask:     askLinks,
			Start: func(t testing.TB) *drivertest.Peer {
				p := &programPeer{kernelPeer: newKernelPeer(t, tcnl.U32), method: method, pins: kerneltest.Pins(t)}
				p.noLinks = lacking
				peer := p.peer()
				peer.Open, peer.Truth, peer.Config, peer.Wire, peer.ResetWire = p.open, p.truth, p.config, p.wire, p.resetWire
				return peer
			},
		})
	})
}

// programPeer is a kernelPeer that is asked for programs.
type programPeer struct {
	*kernelPeer
	method Method
	pins   string
	last   []pinnedCopy
	texts  []string
}

func (p *programPeer) open(ctx context.Context) (drivers.Driver, error) {
	p.hangs = false // a slow machine may never have come to the step
	m, err := Open(ctx, Options{Device: host, Namespace: p.host.Path(), Method: p.method, Pins: p.pins})
	if err != nil {
		return nil, err
	}
	m.tap, m.classifiers.noLinks = p.tap, p.noLinks
	return m, nil
}

// tap notes what a step has changed, and makes the kernel refuse one.
func (p *programPeer) tap(ctx context.Context, what string, do func() error) error {
	defer p.note()
	if what != "" && what == p.refuse && strings.HasPrefix(what, "bpf copy ") && !strings.HasPrefix(what, "bpf copy del") {
		p.refuse = ""
		p.mount(unix.MS_RDONLY)
		defer p.mount(0)
		return do()
	}
	return p.kernelPeer.tap(ctx, what, do)
}

// mount makes the BPF file system one that nothing can be pinned in, or one as before.
func (p *programPeer) mount(flag uintptr) {
	p.t.Helper()
	if err := unix.Mount("", filepath.Dir(p.pins), "", unix.MS_REMOUNT|unix.MS_BIND|flag, ""); err != nil {
		p.t.Fatal(err)
	}
}

// note writes down what has come and gone since it was called last.
func (p *programPeer) note() {
	p.t.Helper()
	now := pinnedCopies(p.t, p.host, p.pins)
	p.texts = append(p.texts, p.kernelPeer.wire()...)
	find := func(list []pinnedCopy, c pinnedCopy) (pinnedCopy, bool) {
		i := slices.IndexFunc(list, func(o pinnedCopy) bool {
			return o.Dev == c.Dev && o.Direction == c.Direction && o.Session == c.Session
		})
		if i < 0 {
			return pinnedCopy{}, false
		}
		return list[i], true
	}
	for _, c := range now {
		old, was := find(p.last, c)
		switch {
		case !was:
			p.texts = append(p.texts, c.step("add"))
		case c.step("change") != old.step("change"):
			p.texts = append(p.texts, c.step("change"))
		}
	}
	for _, c := range p.last {
		if _, is := find(now, c); !is {
			p.texts = append(p.texts, fmt.Sprintf("bpf copy del dev %s %s session %s", c.Dev, c.hook(), c.Session))
		}
	}
	p.last = now
}

func (c pinnedCopy) hook() string {
	return map[string]string{"rx": "ingress", "tx": "egress"}[c.Direction]
}

// step writes the step that asks for a copy.
func (c pinnedCopy) step(verb string) string {
	text := fmt.Sprintf("bpf copy %s dev %s %s session %s", verb, c.Dev, c.hook(), c.Session)
	for _, to := range c.To {
		text += " to " + to
	}
	list := func(key string, rs []models.Range) {
		for i, r := range rs {
			text += map[bool]string{true: " " + key + " ", false: ","}[i == 0] + r.String()
		}
	}
	for _, r := range c.Filter {
		text += " " + r.Action.String()
		if r.Match.Proto != "" {
			text += " proto " + r.Match.Proto
		}
		if r.Match.Src.IsValid() {
			text += " src " + r.Match.Src.String()
		}
		if r.Match.Dst.IsValid() {
			text += " dst " + r.Match.Dst.String()
		}
		list("sport", r.Match.Sport)
		list("dport", r.Match.Dport)
		list("vlan", r.Match.VLANs)
	}
	if c.SampleOneIn > 1 {
		text += fmt.Sprint(" sample ", c.SampleOneIn)
	}
	if c.TruncateTo > 0 {
		text += fmt.Sprint(" truncate ", c.TruncateTo)
	}
	return text + " because '" + strings.ReplaceAll(c.Reason, "'", `'\''`) + "'"
}

func (p *programPeer) wire() []string { return slices.Clone(p.texts) }

func (p *programPeer) resetWire() {
	p.kernelPeer.wire()
	p.texts, p.last = nil, pinnedCopies(p.t, p.host, p.pins)
}

// truth reads what tc lists and what is pinned. It shares no code with the driver.
func (p *programPeer) truth() []models.Session {
	p.t.Helper()
	found := make(map[string]*models.Session)
	var names []string
	for _, c := range pinnedCopies(p.t, p.host, p.pins) {
		name := strings.TrimPrefix(c.Session, "host1/")
		ses := found[name]
		if ses == nil {
			ses = &models.Session{
				Device: host, Name: name, Role: models.RoleLocal, Filter: c.Filter, SampleOneIn: c.SampleOneIn, TruncateTo: c.TruncateTo,
				Destination: models.Destination{Kind: models.DestinationPort, Ports: c.To},
			}
			found[name] = ses
			names = append(names, name)
		}
		if !slices.Equal(ses.Destination.Ports, c.To) || fmt.Sprint(ses.Filter, ses.SampleOneIn, ses.TruncateTo) != fmt.Sprint(c.Filter, c.SampleOneIn, c.TruncateTo) {
			ses.Extra = append(ses.Extra, fmt.Sprint(c))
		}
		d := map[string]models.Direction{"rx": models.Rx, "tx": models.Tx}[c.Direction]
		ses.Sources = append(ses.Sources, models.Source{Kind: models.SourcePort, Name: c.Dev, Direction: d})
	}
	out := p.kernelPeer.truth()
	for _, name := range names {
		n := p.lifted(found[name].Normalize())
		if len(n.Filter) == 2 && n.Filter[1].Action == models.Exclude { // as of an RSPAN destination
			n.Filter, n.Extra = nil, []string{"program " + remoteProgram}
			n = remoteTruth(n)
		}
		out = append(out, n)
	}
	return out
}

// config is that of the kernelPeer, and what is pinned.
func (p *programPeer) config() string {
	p.t.Helper()
	text := ourPrograms.ReplaceAllString(p.kernelPeer.config(), "")
	return strings.ReplaceAll(text, "[,", "[") + fmt.Sprint(left(p.pins))
}
