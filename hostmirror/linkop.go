package hostmirror

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Verbs of links that a session needs, and of filters that are about them. Their texts
// are commands of ip and tc; a comment says what a link must have to be deleted.
//
//	ip link add name span-dtbhzx3u6j ... && ip link set dev span-dtbhzx3u6j ... up
//	ip link del dev span-dtbhzx3u6j # group 0x5350414e type erspan
//	tc filter add dev span-dtbhzx3u6j ingress pref 1 protocol all bpf bytecode '1,6 0 0 2' direct-action
//	tc filter add dev eth0 egress pref 21327 protocol all u32 match ... classid 5350:45
//	tc filter del dev eth0 egress pref 21327 protocol all handle 800::800 u32 # guard 192.0.2.9 gre
const (
	addLink        verb = "link add"
	delLink        verb = "link del"
	addDrop        verb = "drop add"
	addGuardFilter verb = "guard add"
	delGuardFilter verb = "guard del"
)

// link reports whether o makes or removes a link.
func (v verb) link() bool { return v == addLink || v == delLink }

// linkText is String for the verbs of this file; ok is false for others.
func (o operation) linkText() (text string, ok bool) {
	switch o.Verb {
	case addLink:
		return o.Link.String(), true
	case delLink:
		return fmt.Sprintf("ip link del dev %s # group %#x type %s", quote(o.Dev), uint32(linknl.Group), o.Kind), true
	case addDrop:
		return fmt.Sprintf("tc filter add dev %s ingress pref %d protocol all bpf %s", quote(o.Dev), dropPriority, tcnl.DropWords), true
	case addGuardFilter, delGuardFilter:
		return o.guardText(), true
	default:
		return "", false
	}
}

// readLink reads what linkText writes; ok is false for lines of other verbs. That String
// says the same, parseOperation sees to.
func readLink(line string) (o operation, ok bool, err error) {
	words, err := split(line)
	if err != nil {
		return operation{}, false, err
	}
	begins := func(s string) bool { return strings.HasPrefix(line, s) }
	has := func(s string) bool { return strings.Contains(line, s) }
	switch {
	case begins("ip link add "):
		spec, err := linknl.Parse(line)
		return operation{Verb: addLink, Dev: spec.Name, Link: spec}, true, err
	case begins("ip link del "):
		r := &reader{words: words}
		r.expect("ip", "link", "del", "dev")
		o = operation{Verb: delLink, Dev: r.next()}
		r.expect("#", "group")
		r.next()
		r.expect("type")
		o.Kind = r.next()
		if !strings.HasPrefix(o.Dev, linknl.Prefix) {
			r.fail("%q is not the name of a link that spanctl makes", o.Dev)
		}
		return o, true, r.end()
	case begins("tc filter add ") && has(" direct-action"):
		r := &reader{words: words}
		r.expect("tc", "filter", "add", "dev")
		o = operation{Verb: addDrop, Dev: r.next(), Hook: tcnl.Ingress, Priority: dropPriority}
		if !strings.HasPrefix(o.Dev, linknl.Prefix) {
			r.fail("%q is not the name of a link that spanctl makes", o.Dev)
		}
		return o, true, r.err
	case begins("tc filter add ") && has(" classid "):
		o, err = readGuard(words, addGuardFilter)
		return o, true, err
	case begins("tc filter del ") && has(" # guard "):
		o, err = readGuard(words, delGuardFilter)
		return o, true, err
	default:
		return operation{}, false, nil
	}
}

func readGuard(words []string, v verb) (operation, error) {
	r := &reader{words: words}
	r.expect("tc", "filter")
	r.next()
	r.expect("dev")
	o := operation{Verb: v, Dev: r.next(), Hook: r.hook()}
	r.expect("pref")
	o.Priority = uint16(r.number(16))
	r.expect("protocol", "all")
	g := tcnl.Guard{Ifindex: 1, Hook: o.Hook, Priority: o.Priority, Class: guardClass(o.Hook)}
	if v == delGuardFilter {
		r.expect("handle")
		handle := r.next()
		o.Kind = r.next()
		var err error
		if o.Handle, err = parseHandle(o.Kind, handle); err != nil {
			return operation{}, err
		}
		r.expect("#", "guard")
		g.Collector = r.address(r.next())
		if r.next() == "udp" {
			g.Port = uint16(r.number(16))
		}
	} else {
		for r.err == nil && len(r.words) > 0 {
			switch r.next() {
			case "dst":
				to, _, _ := strings.Cut(r.next(), "/")
				g.Collector = r.address(to)
			case "dport":
				g.Port = uint16(r.number(16))
			}
		}
	}
	if o.Priority != guardPriority(o.Hook) {
		r.fail("pref %d is not that of a guard", o.Priority)
	}
	if r.err == nil {
		r.err = g.Validate()
	}
	g.Ifindex = 0
	o.Guard = g
	return o, r.err
}

func (r *reader) address(w string) netip.Addr {
	a, err := netip.ParseAddr(w)
	if err != nil {
		r.fail("%s is not an address", strconv.Quote(w))
	}
	return a
}

// wantLink adds the steps that make a link.
func (r *renderer) addLink(session string, spec linknl.Spec) {
	r.step(session, operation{Verb: addLink, Dev: spec.Name, Link: spec})
	made := r.snap.madeLink(spec)
	r.snap.links = append(r.snap.links, made)
	if spec.Kind != linknl.VLAN {
		return
	}
	// Frames of the VLAN that come in by the trunk are of no use here, and must not be
	// taken for traffic of the host.
	r.step(session, operation{Verb: addQdisc, Dev: spec.Name})
	r.step(session, operation{Verb: addDrop, Dev: spec.Name, Hook: tcnl.Ingress, Priority: dropPriority})
	r.snap.qdiscs = append(r.snap.qdiscs, tcnl.Qdisc{Ifindex: made.index, Kind: "clsact"})
	r.snap.filters = append(r.snap.filters, dropOf(made.index))
}

func dropOf(index int) tcnl.Filter {
	return tcnl.Filter{
		ID:      tcnl.ID{Ifindex: index, Hook: tcnl.Ingress, Priority: dropPriority, Protocol: tcnl.ProtocolAll, Kind: tcnl.BPF, Handle: 1},
		DropAll: true, Direct: true,
	}
}

// madeLink is a link as it will be once it is made.
func (s *snapshot) madeLink(spec linknl.Spec) link {
	index := 0
	for _, l := range s.links {
		index = max(index, l.index)
	}
	lower, _ := s.byName(spec.Lower)
	return link{
		index: index + 1, name: spec.Name, kind: spec.TypeWord(), up: true, runs: true, mtu: spec.MTU, parent: lower.index,
		as: linknl.Link{Spec: spec, Index: index + 1, KernelKind: spec.TypeWord(), Group: linknl.Group, Up: true},
	}
}

// delLink adds the step that removes a link of ours, and with it its qdiscs and filters.
func (r *renderer) delLink(session string, l link) {
	r.step(session, operation{Verb: delLink, Dev: l.name, Kind: l.as.KernelKind})
	r.snap.dropLink(l.index)
}

// towardLinks makes ses with the links that it needs. Those come first, and filters
// last; a link that must be made anew takes its copies away for that moment, since the
// kernel changes neither kind nor ends of one.
func (r *renderer) towardLinks(ses models.Session, have []portion) error {
	if texts := check(ses); len(texts) > 0 {
		return unsupported("%s", texts[0])
	}
	want := r.snap.linksOf(r.dev, ses)
	var lacking []linknl.Spec
	for _, spec := range want {
		if err := r.mayLink(ses, spec); err != nil {
			return err
		}
		l, there := r.snap.byName(spec.Name)
		if there && len(l.as.Differences(spec)) == 0 && (spec.Kind != linknl.VLAN || r.snap.deaf(l)) {
			continue
		}
		if there {
			var err error
			if have, err = r.empty(ses.Name, l, have); err != nil {
				return err
			}
			r.delLink(ses.Name, l)
		}
		lacking = append(lacking, spec)
	}
	for _, spec := range lacking {
		r.addLink(ses.Name, spec)
	}
	if err := r.toward(r.snap.plain(r.dev, ses), have); err != nil {
		return err
	}
	r.dropLinks(ses, want)
	return nil
}

// empty takes the copies away that go into a link, and gives the other portions.
func (r *renderer) empty(session string, l link, have []portion) ([]portion, error) {
	var others []portion
	for _, p := range have {
		if !slices.Contains(p.targets, l.name) {
			others = append(others, p)
		} else if err := r.remove(session, p); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// dropLinks removes those links of a session that are not in keep.
func (r *renderer) dropLinks(ses models.Session, keep []linknl.Spec) {
	for _, l := range r.snap.ourLinks(hashOf(r.dev, ses.Name)) {
		if !slices.ContainsFunc(keep, func(k linknl.Spec) bool { return k.Name == l.name }) {
			r.delLink(ses.Name, l)
		}
	}
}

// mayLink refuses a link that cannot be made, or whose copies would not arrive.
func (r *renderer) mayLink(ses models.Session, spec linknl.Spec) error {
	if why := r.with.noLinks[spec.TypeWord()]; why != "" {
		return unsupported("links of type %s: %s", spec.TypeWord(), why)
	}
	if l, there := r.snap.byName(spec.Name); there && !l.as.Ours() {
		return fmt.Errorf("link %s is not as spanctl makes it (group %#x, kind %q), and is left alone: remove it by hand", l.name, l.as.Group, l.kind)
	}
	for _, l := range r.snap.links {
		if l.name != spec.Name && clash(l.as.Spec, spec) {
			return unsupported("link %s has the same %s already, and the kernel takes no second one", l.name, sameWhat(spec))
		}
	}
	if err := spec.Validate(); err != nil {
		return unsupported("%s", strings.TrimPrefix(err.Error(), linknl.ErrInvalid.Error()+": "))
	}
	return r.snap.checkUnderlay(ses, spec)
}

// clash reports whether the kernel refuses one link beside another.
func clash(have, want linknl.Spec) bool {
	switch want.Kind {
	case linknl.VXLAN:
		return have.Kind == linknl.VXLAN && have.VNI == want.VNI && have.Port == want.Port && have.V6() == want.V6()
	case linknl.VLAN:
		return have.Kind == linknl.VLAN && have.Lower == want.Lower && have.VLAN == want.VLAN
	case linknl.Dummy:
		return false
	default:
		return sameEnds(have, want)
	}
}

func sameWhat(s linknl.Spec) string {
	switch s.Kind {
	case linknl.VXLAN:
		return fmt.Sprintf("VNI %d", s.VNI)
	case linknl.VLAN:
		return fmt.Sprintf("VLAN %d on %s", s.VLAN, s.Lower)
	default:
		return "addresses and keys"
	}
}

// doLink makes or removes a link in s.
func (s *snapshot) doLink(o operation) error {
	l, there := s.byName(o.Dev)
	if o.Verb == addLink {
		if there {
			return fmt.Errorf("link %s is there already; plan again", o.Dev)
		}
		if _, ok := s.byName(o.Link.Lower); o.Link.Kind == linknl.VLAN && !ok {
			return fmt.Errorf("interface %s: %w", o.Link.Lower, syscall.ENODEV)
		}
		s.links = append(s.links, s.madeLink(o.Link))
		return nil
	}
	if !there {
		return fmt.Errorf("interface %s: %w", o.Dev, syscall.ENODEV)
	}
	if err := deletable(l.as, o); err != nil {
		return err
	}
	s.dropLink(l.index)
	return nil
}

// deletable looks whether a link is the one that a delete is about.
func deletable(l linknl.Link, o operation) error {
	if !l.Ours() || l.KernelKind != o.Kind {
		return fmt.Errorf("%w: %s has type %s and group %#x now; it is left alone", linknl.ErrForeign, l.Name, l.KernelKind, l.Group)
	}
	return nil
}

// endsOfLinks gives the tunnels that operations make.
func endsOfLinks(ops []operation) []ends {
	var out []ends
	for _, o := range ops {
		if o.Verb == addLink && o.Link.Kind.Tunnel() {
			out = append(out, endsOf(o.Link))
		}
	}
	return out
}
