package hostmirror

import (
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Rules of what a host advises.
const (
	ruleDown       = "destination-down"
	ruleBlind      = "blind"
	ruleDuplicates = "duplicate-copies"
	ruleSameBridge = "same-bridge"
	ruleSmallMTU   = "small-mtu"
)

// advise gives what is worth knowing of the sessions that cs makes or changes. s is
// what the kernel will hold then.
func (s *snapshot) advise(dev models.DeviceID, cs models.ChangeSet) models.Findings {
	var out models.Findings
	for _, c := range cs.Changes {
		if c.After == nil {
			continue
		}
		warn := func(rule, format string, args ...any) {
			out = append(out, models.Finding{
				Device: dev, Rule: rule, Warning: true,
				Message: fmt.Sprintf("session %s: ", c.After.Name) + fmt.Sprintf(format, args...),
			})
		}
		if portions := s.portions(hashOf(dev, c.After.Name)); len(portions) > 0 {
			switch st := s.status(*c.After, portions); st.State {
			case models.OperDown:
				warn(ruleDown, "%s: no copy arrives until that is mended", st.Reason)
			case models.OperUnknown:
				warn(ruleBlind, "%s", st.Reason)
			}
		}
		s.adviseDuplicates(*c.After, warn)
		s.adviseDestinations(*c.After, warn)
	}
	return out
}

// adviseDuplicates tells of frames that pass two sources of a session: received by one
// port of a bridge, or of a host that routes, and sent by another one.
func (s *snapshot) adviseDuplicates(ses models.Session, warn func(rule, format string, args ...any)) {
	for i, a := range ses.Sources {
		for _, b := range ses.Sources[i+1:] {
			x, okX := s.byName(a.Name)
			y, okY := s.byName(b.Name)
			if !okX || !okY || x.index == y.index || !bothWays(a.Direction, b.Direction) {
				continue
			}
			bridge, _ := s.byIndex(x.master)
			switch {
			case bridge.kind == "bridge" && x.master == y.master:
				warn(ruleDuplicates, "frames that %s forwards between %s and %s are copied twice, when they come and when they leave: mirror rx only, on all its ports",
					bridge.name, x.name, y.name)
			case len(x.addrs) > 0 && len(y.addrs) > 0:
				warn(ruleDuplicates, "packets that this host routes between %s and %s are copied twice, when they come and when they leave: mirror rx only", x.name, y.name)
			}
		}
	}
}

// bothWays reports whether a frame that enters by one of two ports and leaves by the
// other is seen by both.
func bothWays(a, b models.Direction) bool {
	sees := func(d models.Direction, h tcnl.Hook) bool { return slices.Contains(hooksOf(d), h) }
	return sees(a, tcnl.Ingress) && sees(b, tcnl.Egress) || sees(b, tcnl.Ingress) && sees(a, tcnl.Egress)
}

// adviseDestinations tells of ports that make copies go astray or take less than the
// sources send.
func (s *snapshot) adviseDestinations(ses models.Session, warn func(rule, format string, args ...any)) {
	for _, name := range ses.Destination.Ports {
		to, ok := s.byName(name)
		if !ok {
			continue
		}
		bridge, _ := s.byIndex(to.master)
		for _, src := range ses.Sources {
			from, ok := s.byName(src.Name)
			if !ok {
				continue
			}
			if bridge.kind == "bridge" && to.master == from.master {
				warn(ruleSameBridge, "destination %s is a port of %s like source %s: what hangs on it gets production frames beside the copies", to.name, bridge.name, from.name)
			}
			if to.mtu > 0 && to.mtu < from.mtu {
				warn(ruleSmallMTU, "destination %s has MTU %d and source %s %d: copies of longer frames are lost (production is not)", to.name, to.mtu, from.name, from.mtu)
			}
		}
	}
}
