package hostmirror

import (
	"slices"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Planner plans for a Linux host that is out of reach. What it renders is meant for
// people: it is right for a host that has cls_matchall, cls_bpf, act_gact and tcx, on whose
// ports nobody else has filters, and whose sessions are as the changes say. The script
// for a host comes from its [Mirror], which looks.
type Planner struct{}

var _ drivers.Planner = Planner{}

// Capabilities are those of a Linux host.
func (Planner) Capabilities() models.Capabilities { return capabilities() }

// Check gives what is refused of a session on any Linux host.
func (Planner) Check(s models.Session) []string { return check(s) }

// PortKind says that every interface is a port: a bond, too, is mirrored like one.
func (Planner) PortKind(string) models.SourceKind { return models.SourcePort }

// Render gives the tc commands for cs.
func (Planner) Render(cs models.ChangeSet, _ drivers.RenderOptions) (transport.Script, error) {
	return render(cs.Device, supposed(cs), kernel{kind: tcnl.MatchAll}, cs)
}

// supposed is a host as cs says that it is.
func supposed(cs models.ChangeSet) *snapshot {
	s := &snapshot{}
	index := make(map[string]int)
	indexOf := func(name string) int {
		if index[name] == 0 {
			index[name] = len(s.links) + 1
			s.links = append(s.links, link{index: index[name], name: name, up: true, runs: true})
		}
		return index[name]
	}
	for _, c := range cs.Changes {
		for _, ses := range []*models.Session{c.Before, c.After} {
			if ses == nil {
				continue
			}
			for _, src := range ses.Sources {
				indexOf(src.Name)
			}
			if ses.Destination.Kind == models.DestinationRemoteVLAN && len(ses.Destination.Ports) > 0 {
				indexOf(ses.Destination.Ports[0])
			}
			links := s.linksOf(cs.Device, *ses)
			plain := s.plain(cs.Device, *ses)
			if ses == c.Before {
				for _, spec := range links {
					l := s.madeLink(spec)
					s.links, index[l.name] = append(s.links, l), l.index
					if spec.Kind == linknl.VLAN {
						s.filters = append(s.filters, dropOf(l.index))
					}
				}
			}
			which := takenOf(plain)
			byProgram := kernel{}.lacks(which) != ""
			program, _ := compileRules(which.rules) // what it refuses is left to programs
			for _, k := range keysOf(plain) {
				if ses == c.After && slices.ContainsFunc(links, func(l linknl.Spec) bool { return l.Name == k.target }) {
					indexOf(k.source)
					continue // it is still to be made
				}
				source, target := indexOf(k.source), indexOf(k.target)
				if ses != c.Before || source == target {
					continue
				}
				if byProgram {
					s.suppose(cs.Device, *ses, point{source, k.hook}, bpfcopy.Device{Name: k.target, Ifindex: target})
					continue
				}
				if !s.hasQdisc(source, "clsact") {
					s.qdiscs = append(s.qdiscs, tcnl.Qdisc{Ifindex: source, Kind: "clsact"})
				}
				cookie := mark{session: hashOf(cs.Device, ses.Name), hook: k.hook}.cookie()
				kind := kernel{kind: tcnl.MatchAll}.kindFor(which)
				s.filters = append(s.filters, tcnl.Filter{
					ID: tcnl.ID{
						Ifindex: source, Hook: k.hook, Priority: firstPriorityOf(k.hook) + uint16(len(s.on(source, k.hook))),
						Protocol: tcnl.ProtocolAll, Kind: kind, Handle: 1,
					},
					CatchAll: len(program) == 0,
					Program:  program,
					Actions:  actionsOf(which, target, cookie),
				})
			}
		}
	}
	return s
}

// suppose puts a copy into a program.
func (s *snapshot) suppose(dev models.DeviceID, ses models.Session, at point, to bpfcopy.Device) {
	name := copyName(dev, ses.Name)
	p := s.programAt(at)
	if p == nil {
		source, _ := s.byIndex(at.index)
		s.programs = append(s.programs, program{at: at, port: source.name, method: bpfcopy.MethodTCX})
		p = &s.programs[len(s.programs)-1]
	}
	n := p.index(name)
	if n < 0 {
		n = len(p.set.Sessions)
		p.set.Sessions = append(p.set.Sessions, bpfcopy.Session{
			Name: name, Filter: ses.Filter, SampleOneIn: ses.SampleOneIn, TruncateTo: ses.TruncateTo,
		})
		p.hashes = append(p.hashes, nameHash(name))
	}
	p.set.Sessions[n].Destinations = append(p.set.Sessions[n].Destinations, to)
}
