package iosxe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// TraitArchive is the trait of a device whose configuration archive has a path:
// it can take a change back by itself [rcc].
const TraitArchive = "archive"

// TraitTypeII is the trait of a device that says that it sends ERSPAN of type II
// only [gp].
const TraitTypeII = "erspan-2-only"

// maxRevert is the longest time of "configure terminal revert timer" [rcc].
const maxRevert = 120 * time.Minute

// maxCatalyst is the highest number of a session on a Catalyst [cr9500, xe].
const maxCatalyst = 66

// descriptionPrefix begins the descriptions of sessions of ours; the name of the
// intent follows.
const descriptionPrefix = "spanctl "

// What is said to steps that are taken: the greeting of the configuration mode,
// with what "revert timer" says before it, and the end of a rollback. The wording of
// the last two is that of public texts [rcc], never seen by us.
const (
	acceptEnter    = `^(Rollback Confirmed Change: Backing up current running config to [^\n]+\s+)?Enter configuration commands, one per line\. {1,2}End with CNTL/Z\.$`
	acceptSave     = `(?m)^\s*\[OK\]$`
	acceptRollback = `(?s)^(Rollback Confirmed Change: Rolling to: ?\S+.*|.*\s)?Rollback Done$`
)

var (
	intentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	// routerModel are product ids of routers; what is not one takes the lines of a
	// Catalyst.
	routerModel = regexp.MustCompile(`^(ASR|ISR|CSR|VG|C8[0-9]{3}|C1[0-9]{3}|C9[0-9]{2}-)`)
	// asr1000 has no local sessions [asr].
	asr1000 = regexp.MustCompile(`^ASR1[0-9]{3}`)
)

// Render writes cs as lines of the configuration mode. Every line is live at once.
// Where o.Facts has TraitArchive, and o.Within asks for it, the device takes its
// whole configuration back to what it was unless the script is confirmed in time.
func (d Dialect) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	script := transport.Script{Encoding: transport.CLI}
	if cs.Empty() {
		return script, nil
	}
	w := writer{facts: o.Facts}
	for _, c := range cs.Changes {
		if err := w.change(c); err != nil {
			return transport.Script{}, err
		}
	}
	enter := "configure terminal"
	if o.Within > 0 && o.Facts.HasTrait(TraitArchive) {
		minutes := (o.Within + time.Minute - 1) / time.Minute
		script.Within = minutes * time.Minute
		if script.Within > maxRevert {
			return transport.Script{}, fmt.Errorf("%w: IOS-XE waits at most %s for a confirmation, not %s", drivers.ErrUnsupported, maxRevert, o.Within)
		}
		enter += fmt.Sprintf(" revert timer %d", minutes)
		script.Confirm = []transport.Step{{Phase: transport.Commit, Text: "configure confirm"}}
		script.Cancel = []transport.Step{{Phase: transport.Commit, Text: "configure revert now", Accept: acceptRollback}}
	}
	script.Steps = append(script.Steps, transport.Step{Phase: transport.Enter, Text: enter, Accept: acceptEnter})
	script.Steps = append(script.Steps, w.steps...)
	script.Steps = append(script.Steps, transport.Step{Phase: transport.Leave, Text: "end"})
	if o.Save {
		script.Save = []transport.Step{{Phase: transport.Commit, Text: "write memory", Accept: acceptSave}}
	}
	return script, nil
}

// writer gathers the edit of a script.
type writer struct {
	facts models.Facts
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
		if bad := unsafe(*s); len(bad.all()) > 0 {
			return refuse(s.Number, bad.all()...)
		}
	}
	if s := c.After; s != nil {
		// What is put back as the device showed it may be more than what is wanted of
		// a new one.
		bad := unsafe(*s)
		if len(s.Extra) == 0 && s.Destination.Kind != models.DestinationUnset && len(s.Sources) > 0 {
			bad = unsayable(*s)
		}
		if s.Number < 1 {
			bad.rule("it has no number")
		}
		w.formRules(*s, &bad)
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

func (w *writer) router() bool { return routerModel.MatchString(w.facts.Model) }

// formRules refuses what the model of this device has no form for.
func (w *writer) formRules(s models.Session, r *refusals) {
	if t := s.Destination.Tunnel; t != nil && t.Version == 3 && w.facts.HasTrait(TraitTypeII) {
		r.rule("the device says that it sends ERSPAN of type II only (show capability feature monitor erspan-source); use version 2")
	}
	if w.facts.Model == "" {
		return
	}
	ports := s.Destination.Kind == models.DestinationPort
	remote := s.Normalize().Role != models.RoleLocal
	switch {
	case !w.router() && s.Number > maxCatalyst:
		r.rule("%s has session numbers up to %d", w.facts.Model, maxCatalyst)
	case w.router() && remote:
		r.rule("RSPAN on a router (%s) is in no public source; use erspan", w.facts.Model)
	case asr1000.MatchString(w.facts.Model) && ports && len(s.Extra) == 0:
		r.rule("an ASR 1000 (%s) has no local sessions; use erspan", w.facts.Model)
	}
}

func (w *writer) create(s models.Session) {
	w.n = s.Number
	x, _ := splitExtra(s)
	w.filterList(s)
	w.verbatim(x.lists, 0)
	switch {
	case x.head != "":
		w.line("%s", x.head)
		w.verbatim(x.block, 1)
		w.line("exit")
	case s.Destination.Kind == models.DestinationERSPAN:
		w.line("monitor session %d type %s", s.Number, erspanSource)
		w.erspan(s, x)
	case w.router() && s.Destination.Kind == models.DestinationPort && len(x.flat) == 0, len(x.block) > 0:
		w.line("monitor session %d type %s", s.Number, localSession)
		w.local(s, x)
	default:
		w.flat(s, x)
	}
}

// flat writes a local or RSPAN session of a Catalyst.
func (w *writer) flat(s models.Session, x extra) {
	prefix := fmt.Sprintf("monitor session %d ", s.Number)
	for _, src := range sourceLines(s) {
		w.line("%s%s", prefix, src)
	}
	if f := filterLine(s); f != "" {
		// Before there is a destination: no frame is copied that the filter excludes.
		w.line("%s%s", prefix, f)
	}
	for _, dst := range portLines(s, x) {
		w.line("%s%s", prefix, dst)
	}
	if s.Destination.Kind == models.DestinationRemoteVLAN {
		w.line("%sdestination remote vlan %d", prefix, s.Destination.VLAN)
	}
	for _, l := range x.flat {
		w.line("%s", l)
	}
}

// common writes what all sessions with a type begin with.
func (w *writer) common(s models.Session, x extra) {
	if intentName.MatchString(s.Intent) {
		w.line(" description %s%s", descriptionPrefix, s.Intent)
	}
	for _, src := range sourceLines(s) {
		w.line(" %s", src)
	}
	if f := filterLine(s); f != "" {
		w.line(" %s", f)
	}
	for _, l := range x.block {
		if !strings.HasPrefix(l, "  ") {
			w.line("%s", l)
		}
	}
}

func (w *writer) local(s models.Session, x extra) {
	w.common(s, x)
	for _, dst := range portLines(s, x) {
		w.line(" %s", dst)
	}
	w.on(s)
}

func (w *writer) erspan(s models.Session, x extra) {
	t := s.Destination.Tunnel
	if t.Version == 3 {
		w.line(" header-type 3")
	}
	w.common(s, x)
	w.line(" destination")
	ip := "ip"
	if t.Destination.Is6() {
		ip = "ipv6"
	}
	if t.SessionID > 0 {
		w.line("  erspan-id %d", t.SessionID)
	}
	if t.Destination.IsValid() {
		w.line("  %s address %s", ip, t.Destination)
	}
	if t.Source.IsValid() {
		w.line("  origin %s address %s", ip, t.Source)
	}
	if t.TTL > 0 {
		w.line("  %s ttl %d", ip, t.TTL)
	}
	if t.DSCP > 0 {
		w.line("  %s dscp %d", ip, t.DSCP)
	}
	switch {
	case s.TruncateTo > 0:
		w.line("  mtu %d", s.TruncateTo)
	case w.router():
		w.line("  mtu %d", wholeMTU) // its default cuts full-size frames
	}
	if t.VRF != "" {
		w.line("  vrf %s", t.VRF)
	}
	for _, l := range x.block {
		if strings.HasPrefix(l, "  ") {
			w.line("%s", l)
		}
	}
	w.line(" exit")
	w.on(s)
}

// on starts a session with a type, which is shut when it is new, and leaves its
// mode.
func (w *writer) on(s models.Session) {
	if !s.Shutdown {
		w.line(" no shutdown")
	}
	w.line("exit")
}

// verbatim writes lines as the device showed them, leaves modes as their indent
// shrinks, and in the end all but the mode whose lines are indented by base.
func (w *writer) verbatim(lines []string, base int) {
	depth := base
	to := func(n int) {
		for ; depth > n; depth-- {
			w.line("%sexit", strings.Repeat(" ", depth-1))
		}
	}
	for _, l := range lines {
		n := len(l) - len(strings.TrimLeft(l, " "))
		to(n)
		depth = n
		w.line("%s", l)
	}
	to(base)
}

func (w *writer) delete(s models.Session) {
	w.n = s.Number
	if !listsOnly(s) {
		w.line("no monitor session %d", s.Number)
	}
	if len(s.Filter) > 0 && filterName(s) == listName(s.Number) {
		fam, _ := filterFamily(s.Filter)
		w.line("no %s", listHead(fam, listName(s.Number)))
	}
	for _, line := range s.Extra {
		if isOwnHead(line, s.Number) {
			w.line("no %s", line)
		}
	}
}

// listsOnly reports whether s stands for access lists without a session.
func listsOnly(s models.Session) bool {
	x, _ := splitExtra(s)
	return len(s.Sources) == 0 && s.Destination.Kind == models.DestinationUnset && len(s.Filter) == 0 &&
		x.head == "" && len(x.block)+len(x.flat) == 0 && len(x.lists) > 0
}

// filterName gives the access list that filters s: the one that it has, or will
// have.
func filterName(s models.Session) string {
	if s.FilterName != "" {
		return s.FilterName
	}
	return listName(s.Number)
}

// filterList writes the access list of s where it is its own. Lists of other names
// belong to somebody else and stay as they are.
func (w *writer) filterList(s models.Session) {
	if len(s.Filter) == 0 || filterName(s) != listName(s.Number) {
		return
	}
	fam, _ := filterFamily(s.Filter)
	w.line("%s", listHead(fam, listName(s.Number)))
	for _, e := range aclEntries(s.Filter, fam) {
		w.line(" %s", e)
	}
	w.line(" exit")
}

func filterLine(s models.Session) string {
	if len(s.Filter) == 0 {
		return ""
	}
	fam, _ := filterFamily(s.Filter)
	return map[int]string{4: "filter ip", 6: "filter ipv6"}[fam] + " access-group " + filterName(s)
}

// sourceLines gives the sources of s, a line each.
func sourceLines(s models.Session) []string {
	var out []string
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourceRemoteVLAN:
			out = append(out, fmt.Sprintf("source remote vlan %d", src.VLAN))
		case models.SourceVLAN:
			out = append(out, fmt.Sprintf("source vlan %d %s", src.VLAN, src.Direction))
		default:
			out = append(out, fmt.Sprintf("source interface %s %s", src.Name, src.Direction))
		}
	}
	return out
}

// portLines gives the destination ports of s, a line each, but for those that lines
// outside of the model name.
func portLines(s models.Session, x extra) []string {
	if s.Destination.Kind != models.DestinationPort {
		return nil
	}
	covered := make(map[string]bool)
	for _, p := range x.covers.ports {
		covered[p] = true
	}
	var out []string
	for _, p := range s.Destination.Ports {
		if !covered[p] {
			out = append(out, "destination interface "+p)
		}
	}
	return out
}
