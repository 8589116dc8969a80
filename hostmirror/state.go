package hostmirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// state reads a snapshot: our sessions with the names that names knows, the mirrors
// of others, all ports.
func (s *snapshot) state(dev models.DeviceID, names map[sessionHash]string) models.DeviceState {
	facts := models.Facts{Hostname: s.hostname, Version: s.release, Model: "Linux"}
	if s.tools != "" {
		facts.Traits = []string{s.tools}
	}
	return models.DeviceState{
		Device:   dev,
		Facts:    facts,
		Sessions: append(s.ourSessions(dev, names), s.foreignSessions(dev)...),
		Ports:    s.ports(),
	}
}

func (s *snapshot) ourSessions(dev models.DeviceID, names map[sessionHash]string) []models.Session {
	order := s.hashesOf()
	order = append(order, s.alone(order, names)...)
	bare := s.guardsMissing()
	var out []models.Session
	for _, h := range order {
		name, ok := names[h]
		if !ok {
			name = h.name()
		}
		out = append(out, s.lift(dev, h, s.session(dev, name, s.portions(h)), bare))
	}
	slices.SortFunc(out, func(a, b models.Session) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// session puts a session together from its portions. What the model cannot say, a copy
// that is missing or a filter that was changed, becomes a line of Extra.
func (s *snapshot) session(dev models.DeviceID, name string, portions []portion) models.Session {
	out := models.Session{Device: dev, Name: name, Role: models.RoleLocal, Destination: models.Destination{Kind: models.DestinationPort}}
	extra := func(format string, args ...any) { out.Extra = append(out.Extra, fmt.Sprintf(format, args...)) }
	made := make(map[copyKey]int)
	if len(portions) == 0 { // there is nothing but a link
		out.Status = models.Status{State: models.OperDown, Reason: "no copy is made"}
		return out
	}
	first := portions[0]
	all := first.which
	out.Filter, out.TruncateTo = all.rules, all.truncate
	if all.oneIn > 1 {
		out.SampleOneIn = all.oneIn
	}
	for _, p := range portions {
		switch {
		case p.which.truncate != all.truncate:
			extra("%s: cuts copies in another way than %s", p.name(), first.name())
		case !p.which.equal(all) && !p.which.strange:
			extra("%s: takes other frames than %s", p.name(), first.name())
		}
		if p.share != nil && strings.HasPrefix(name, unknownPrefix) { // of another device's name
			extra("%s: session %s", p.name(), p.share.session.Name)
		}
		for _, fault := range p.faults {
			extra("%s: %s", p.name(), fault)
		}
		if p.elsewhere() {
			continue
		}
		out.Sources = append(out.Sources, models.Source{Kind: models.SourcePort, Name: p.source, Direction: directionOf(p.at.hook)})
		for _, to := range p.targets {
			made[copyKey{p.source, p.at.hook, to}]++
			if to != "" {
				out.Destination.Ports = append(out.Destination.Ports, to)
			}
		}
	}
	out = out.Normalize()
	for _, k := range keysOf(out) {
		switch n := made[k]; {
		case n == 0:
			extra("%s %s: not copied to %s", k.source, k.hook, k.target)
		case n > 1:
			extra("%s %s: copied %d times to %s", k.source, k.hook, n, k.target)
		}
	}
	out.Status = s.status(out, portions)
	return out
}

// keysOf gives the copies that a session consists of, in its order of sources and
// destinations.
func keysOf(ses models.Session) []copyKey {
	var out []copyKey
	for _, src := range ses.Sources {
		for _, hook := range hooksOf(src.Direction) {
			for _, to := range targetsOf(ses.Destination.Ports, hook) {
				out = append(out, copyKey{src.Name, hook, to})
			}
		}
	}
	return out
}

func hooksOf(d models.Direction) []tcnl.Hook {
	switch d {
	case models.Rx:
		return []tcnl.Hook{tcnl.Ingress}
	case models.Tx:
		return []tcnl.Hook{tcnl.Egress}
	case models.Both:
		return []tcnl.Hook{tcnl.Ingress, tcnl.Egress}
	default:
		return nil
	}
}

func directionOf(h tcnl.Hook) models.Direction {
	if h == tcnl.Ingress {
		return models.Rx
	}
	return models.Tx
}

// status says whether copies can arrive: every destination runs, and nothing decides
// over frames before we see them.
func (s *snapshot) status(ses models.Session, portions []portion) models.Status {
	for _, p := range portions {
		if slices.Contains(p.targets, "") {
			return models.Status{State: models.OperDown, Reason: "a destination is gone"}
		}
		if p.elsewhere() {
			return models.Status{State: models.OperDown, Reason: fmt.Sprintf("source %s is gone", p.source)}
		}
	}
	for _, name := range ses.Destination.Ports {
		if l, ok := s.byName(name); !ok || !l.runs {
			return models.Status{State: models.OperDown, Reason: fmt.Sprintf("destination %s is down", name)}
		}
	}
	for _, p := range portions {
		if why := s.blind(p); why != "" {
			return models.Status{State: models.OperUnknown, Reason: why}
		}
	}
	return models.Status{State: models.OperUp}
}

// decides reports whether a filter can end classification: by a verdict of an
// action, by a program of its own, or by having no action at all.
func decides(f tcnl.Filter) bool {
	if _, guard := ourGuard(f); f.Table || guard {
		return false
	}
	if f.Direct || len(f.Actions) == 0 {
		return true
	}
	return f.Actions[len(f.Actions)-1].Verdict != tcnl.Continue
}

// foreignSessions gives every mirror that is not ours, a session for each filter.
func (s *snapshot) foreignSessions(dev models.DeviceID) []models.Session {
	var out []models.Session
	for _, f := range s.filters {
		if _, ours := markOf(f); ours {
			continue
		}
		var targets, words []string
		for _, a := range f.Actions {
			if a.Mirred == nil {
				continue
			}
			target := "a device that is gone"
			if l, ok := s.byIndex(a.Mirred.Ifindex); ok {
				target = l.name
			}
			targets = append(targets, target)
			if a.Mirred.Mode != tcnl.EgressMirror || target == "a device that is gone" {
				words = append(words, fmt.Sprintf("%s to %s", a.Mirred.Mode, target))
			}
		}
		if len(targets) == 0 {
			continue
		}
		source, _ := s.byIndex(f.Ifindex)
		ses := models.Session{
			Device:      dev,
			Name:        foreignName(source.name, f),
			Role:        models.RoleLocal,
			Sources:     []models.Source{{Kind: models.SourcePort, Name: source.name, Direction: directionOf(f.Hook)}},
			Destination: models.Destination{Kind: models.DestinationPort, Ports: targets},
			Extra:       []string{foreignLine(f)},
		}
		if len(words) > 0 {
			ses.Destination = models.Destination{Kind: models.DestinationOther, Ports: words}
		}
		out = append(out, ses.Normalize())
	}
	return out
}

// foreignPrefix begins the name of a mirror that is not ours.
const foreignPrefix = "tc/"

func foreignName(dev string, f tcnl.Filter) string {
	return fmt.Sprintf("%s%s/%s/%d/%s", foreignPrefix, dev, f.Hook, f.Priority, handleText(f.Kind, f.Handle))
}

// foreignLine says what the session model has no field for.
func foreignLine(f tcnl.Filter) string {
	frames := "some frames"
	if f.CatchAll {
		frames = "all frames"
	}
	var actions []string
	for _, a := range f.Actions {
		actions = append(actions, a.Kind+" "+a.Verdict.String())
	}
	return fmt.Sprintf("tc filter protocol %s %s, %s, actions: %s", protocolText(f.Protocol), f.Kind, frames, strings.Join(actions, ", "))
}

func (s *snapshot) ports() map[string]models.Port {
	out := make(map[string]models.Port, len(s.links))
	for _, l := range s.links {
		p := models.Port{
			Name: l.name, AdminDown: !l.up, Oper: models.OperDown,
			Addresses: l.addrs, MTU: uint32(max(l.mtu, 0)), MACs: l.macs,
		}
		if l.runs {
			p.Oper = models.OperUp
		}
		master, _ := s.byIndex(l.master)
		switch {
		case isLAG(master.kind):
			p.LAG = master.name
		case master.kind == "bridge":
			p.Mode = models.PortAccess
		case len(l.addrs) > 0:
			p.Mode = models.PortRouted
		}
		out[l.name] = p
	}
	return out
}

func isLAG(kind string) bool { return kind == "bond" || kind == "team" }

// counters gives the counters of our sessions' copies, in the order of the kernel.
// Programs count the copies of a port to all destinations together.
func (s *snapshot) counters(names map[sessionHash]string) []Counter {
	var out []Counter
	for _, h := range s.hashesOf() {
		name, ok := names[h]
		if !ok {
			name = h.name()
		}
		for _, p := range s.portions(h) {
			if p.elsewhere() {
				continue
			}
			c := Counter{Session: name, Source: p.source, Direction: directionOf(p.at.hook), Destination: strings.Join(p.targets, " ")}
			if p.share != nil {
				n := p.share.counter
				c.Method, c.Reason = attachName(p.share.program.method), p.share.session.Reason
				c.Packets, c.Lost = n.Copied+n.Failed, n.Failed
			} else {
				stats := p.filter.Actions[len(p.filter.Actions)-1].Stats // what sampling lets through
				c.Method = "tc " + p.filter.Kind
				c.Packets, c.Bytes, c.Lost = stats.Packets, stats.Bytes, uint64(stats.Overlimits)
			}
			out = append(out, c)
		}
	}
	return out
}
