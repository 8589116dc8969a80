package nxos

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// descriptionPrefix begins the descriptions of sessions of ours; the name of the
// intent follows, where there is room for it.
const descriptionPrefix = "spanctl "

// checkpointPrefix begins the names of checkpoints of ours; the tag of the edit
// follows. A name has up to 80 characters, 32 on Nexus 5000 [rb].
const checkpointPrefix = "spanctl-"

// What is said to steps that are taken. Dots before Done show that time passes [rb].
const (
	acceptEnter      = `^Enter configuration commands, one per line\. {1,2}End with CNTL/Z\.$`
	acceptCheckpoint = `^[.\s]*Done$`
	acceptRollback   = `(?m)^Rollback completed successfully\.$`
)

// acceptSave are the lines that "copy running-config startup-config" ends with, which
// not all releases print all of (public dialogs).
const acceptSave = `^\s*(\[#+\] 100%\s*)?(Copy complete, now saving to disk \(please wait\)\.\.\.\s*)?(Copy complete\.?)?$`

var intentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Render writes cs as lines of the configuration mode. Every line is live at once,
// and there is no timer. Where o asks for a way back, a checkpoint is made before,
// for a rollback where sessions cannot be brought back one by one, and removed when
// the change is confirmed. Where o.Facts tells something of the device, what its
// model, its ports and its ERSPAN origin do not allow is refused.
func (d Dialect) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	script := transport.Script{Encoding: transport.CLI}
	if cs.Empty() {
		return script, nil
	}
	w := writer{facts: o.Facts, held: map[string]bool{}}
	for _, c := range cs.Changes {
		if c.Before != nil {
			for _, p := range c.Before.Destination.Ports {
				w.held[p] = true
			}
		}
	}
	for _, c := range cs.Changes {
		if err := w.change(c); err != nil {
			return transport.Script{}, err
		}
	}
	if o.Within > 0 && o.Tag != "" {
		name := checkpointPrefix + o.Tag
		script.Steps = append(script.Steps, transport.Step{Phase: transport.Enter, Text: "checkpoint " + name, Accept: acceptCheckpoint})
		script.Restore = []transport.Step{{Phase: transport.Commit, Text: "rollback running-config checkpoint " + name + " atomic", Accept: acceptRollback}}
		script.Confirm = []transport.Step{{Phase: transport.Commit, Text: "no checkpoint " + name}}
		script.Forget = script.Confirm
	}
	script.Steps = append(script.Steps, transport.Step{Phase: transport.Enter, Text: "configure terminal", Accept: acceptEnter})
	script.Steps = append(script.Steps, w.steps...)
	script.Steps = append(script.Steps, transport.Step{Phase: transport.Leave, Text: "end"})
	if o.Save {
		script.Save = []transport.Step{{Phase: transport.Commit, Text: "copy running-config startup-config", Accept: acceptSave}}
	}
	return script, nil
}

// writer gathers the edit of a script.
type writer struct {
	facts models.Facts
	held  map[string]bool // destination ports of sessions that are removed here
	steps []transport.Step
	n     int // the session
}

func (w *writer) line(format string, args ...any) {
	w.steps = append(w.steps, transport.Step{Phase: transport.Edit, Text: fmt.Sprintf(format, args...), Session: strconv.Itoa(w.n)})
}

func (w *writer) change(c models.Change) error {
	refuse := func(n int, why ...string) error {
		return fmt.Errorf("%w: session %d: %s", drivers.ErrUnsupported, n, strings.Join(why, "; "))
	}
	if s := c.Before; s != nil {
		if s.Number < 1 {
			return refuse(s.Number, "it has no number")
		}
		// Nothing of what it is is written, but names of ports.
		if s.Number > maxSeen {
			return refuse(s.Number, "it has no number of NX-OS")
		}
		for _, p := range s.Destination.Ports {
			if s.Destination.Kind == models.DestinationPort && !portName.MatchString(p) {
				return refuse(s.Number, fmt.Sprintf("destination %q is no port of NX-OS", p))
			}
		}
		if _, bad := splitExtra(*s); bad != "" {
			return refuse(s.Number, fmt.Sprintf("line %q is not of the session", bad))
		}
	}
	if s := c.After; s != nil {
		// What is put back as the device showed it may be more than what is wanted of a
		// new one.
		bad := unsafe(*s)
		if len(s.Extra) == 0 && s.Destination.Kind != models.DestinationUnset && len(s.Sources) > 0 {
			bad = unsayable(*s)
		}
		if s.Number < 1 {
			bad.rule("it has no number")
		}
		w.device(*s, &bad)
		if len(bad.all()) > 0 {
			return refuse(s.Number, bad.all()...)
		}
	}
	switch {
	case c.Op == models.Create && c.After != nil:
		w.create(*c.After)
	case c.Op == models.Delete && c.Before != nil:
		w.delete(*c.Before)
	case c.Op == models.Update && c.Before != nil && c.After != nil && c.Before.Number == c.After.Number:
		w.delete(*c.Before)
		w.create(*c.After)
	default:
		return fmt.Errorf("change %q lacks a side or renumbers a session", c.Op)
	}
	return nil
}

// device refuses what this device is not ready for. Of a device that was not looked
// at nothing is known.
func (w *writer) device(s models.Session, r *refusals) {
	if l, ok := limitsOf(w.facts.Model); ok {
		for _, src := range s.Sources {
			if src.Kind == models.SourceVLAN && src.Direction != models.Rx && !l.vlanTx {
				r.rule("source VLAN %d: %s (this is a %s)", src.VLAN, whyVLANRx, w.facts.Model)
			}
		}
		if n := int(s.TruncateTo); n > 0 && l.mtuMax > 0 && (n < l.mtuMin || n > l.mtuMax) {
			r.rule("truncate %d: a %s takes %d to %d bytes", n, w.facts.Model, l.mtuMin, l.mtuMax)
		}
	}
	if w.facts.Hostname == "" {
		return
	}
	if t := s.Destination.Tunnel; t != nil && t.Source.IsValid() {
		origin := ""
		for _, x := range w.facts.Traits {
			if a, ok := strings.CutPrefix(x, traitOrigin); ok {
				origin = a
			}
		}
		switch origin {
		case "":
			r.rule("the device has no ERSPAN origin, which is global and not spanctl's to set; configure \"monitor erspan origin ip-address %s global\"", t.Source)
		case t.Source.String():
		default:
			r.rule("the device sends all ERSPAN from %s, not from %s; give that as the source", origin, t.Source)
		}
	}
	for _, p := range s.Destination.Ports {
		if w.facts.HasTrait(traitMonitor+p) && !w.held[p] {
			r.rule("%s has \"switchport monitor\" without a session; remove it, since spanctl takes away what it writes", p)
		}
	}
}

func (w *writer) create(s models.Session) {
	w.n = s.Number
	x, _ := splitExtra(s)
	kind, _, _ := kindOf(s.Filter)
	if kind == aclFilter && filterName(s) == listName(s.Number) {
		// Before the session names it: no frame is copied that the filter excludes.
		w.line("%s%s", listHead, listName(s.Number))
		for _, e := range aclEntries(s.Filter) {
			w.line("  %s", e)
		}
	}
	for _, l := range x.lists {
		w.line("%s", l)
	}
	if listsOnly(s, x) {
		return
	}
	t := s.Destination.Tunnel
	switch {
	case x.head != "":
		w.line("%s", x.head)
	case t != nil:
		w.line("monitor session %d type %s", s.Number, erspanSource)
	default:
		w.line("monitor session %d", s.Number)
	}
	if x.head == "" {
		w.body(s, x, kind)
	}
	for _, l := range x.block {
		w.line("%s", l)
	}
	again := false // the session's mode was left
	if x.head == "" && s.Destination.Kind == models.DestinationPort {
		for _, p := range s.Destination.Ports {
			w.line("  destination interface %s", p)
		}
	}
	if s.Destination.Kind == models.DestinationPort {
		for _, p := range s.Destination.Ports {
			line, other := x.ports[p]
			if !other {
				line = monitorLine
			}
			if line != noMonitorLine {
				w.line("interface %s", p)
				w.line("%s", line)
				again = true
			}
		}
	}
	if !s.Shutdown {
		if again {
			w.line("monitor session %d", s.Number)
		}
		w.line("  no shut")
	}
	w.line("exit")
}

// body writes what the model has of a session, but for its destination port.
func (w *writer) body(s models.Session, x extra, kind filterKind) {
	if d := descriptionPrefix + s.Intent; intentName.MatchString(s.Intent) && len(d) <= maxDescription {
		w.line("  description %s", d)
	}
	if t := s.Destination.Tunnel; t != nil {
		if t.Version == 3 {
			w.line("  header-type 3")
		}
		if t.SessionID > 0 {
			w.line("  erspan-id %d", t.SessionID)
		}
		if !x.noVRF {
			vrf := t.VRF
			if vrf == "" {
				vrf = "default"
			}
			w.line("  vrf %s", vrf)
		}
		if t.Destination.IsValid() {
			w.line("  destination ip %s", t.Destination)
		}
		if t.TTL > 0 {
			w.line("  ip ttl %d", t.TTL)
		}
		if t.DSCP > 0 {
			w.line("  ip dscp %d", t.DSCP)
		}
	}
	if s.TruncateTo > 0 {
		w.line("  mtu %d", s.TruncateTo)
	}
	switch kind {
	case aclFilter:
		w.line("  filter access-group %s", filterName(s))
	case vlanFilter:
		w.line("  filter vlan %s", vlanList(s.Filter[0].Match.VLANs))
	}
	for _, src := range s.Sources {
		if src.Kind == models.SourceVLAN {
			w.line("  source vlan %d %s", src.VLAN, src.Direction)
		} else {
			w.line("  source interface %s %s", src.Name, src.Direction)
		}
	}
}

func (w *writer) delete(s models.Session) {
	w.n = s.Number
	x, _ := splitExtra(s)
	if !listsOnly(s, x) {
		if s.Destination.Kind == models.DestinationPort && len(s.Destination.Ports) > 0 {
			w.line("monitor session %d", s.Number)
			w.line("  shut")
			for _, p := range s.Destination.Ports {
				if x.ports[p] != noMonitorLine {
					w.line("interface %s", p)
					w.line("%s", noMonitorLine)
				}
			}
			w.line("exit")
		}
		w.line("no monitor session %d", s.Number)
	}
	kind, _, _ := kindOf(s.Filter)
	if kind == aclFilter && filterName(s) == listName(s.Number) || len(x.lists) > 0 {
		w.line("no %s%s", listHead, listName(s.Number))
	}
}

// listsOnly reports whether s stands for an access list without a session.
func listsOnly(s models.Session, x extra) bool {
	return len(s.Sources) == 0 && s.Destination.Kind == models.DestinationUnset && len(s.Filter) == 0 && s.TruncateTo == 0 &&
		x.head == "" && len(x.block) == 0 && len(x.lists) > 0
}

// filterName gives the access list that filters s: the one that it has, or will have.
func filterName(s models.Session) string {
	if s.FilterName != "" {
		return s.FilterName
	}
	return listName(s.Number)
}
