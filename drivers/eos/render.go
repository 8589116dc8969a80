package eos

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// maxWithin is the longest time that "commit timer HH:MM:SS" is asked for; what EOS
// takes beyond a day is unverified.
const maxWithin = 24*time.Hour - time.Second

var tagWord = regexp.MustCompile(`^[A-Za-z0-9-]{1,24}$`)

// Render writes cs as one configuration session: all of it becomes live at the
// commit, or nothing. With o.Within the commit is timed; confirming and cancelling
// name the configuration session, so both work from any connection [napalm].
func (d Dialect) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	script := transport.Script{Encoding: transport.CLI}
	if cs.Empty() {
		return script, nil
	}
	if !tagWord.MatchString(o.Tag) {
		return transport.Script{}, fmt.Errorf("tag %q: want 1 to 24 letters, digits and hyphens", o.Tag)
	}
	commit := "commit"
	if o.Within > 0 {
		script.Within = o.Within.Round(time.Second)
		if script.Within < o.Within {
			script.Within += time.Second
		}
		if script.Within > maxWithin {
			return transport.Script{}, fmt.Errorf("%w: EOS is asked for a commit timer of at most %s, not %s", drivers.ErrUnsupported, maxWithin, o.Within)
		}
		commit += " timer " + clock(script.Within)
	}
	w := writer{}
	for _, c := range cs.Changes {
		if err := w.change(c); err != nil {
			return transport.Script{}, err
		}
	}
	name := "configure session spanctl-" + o.Tag
	script.Steps = append([]transport.Step{{Phase: transport.Enter, Text: name}}, w.steps...)
	script.Steps = append(script.Steps, transport.Step{Phase: transport.Commit, Text: commit})
	abort := []transport.Step{{Phase: transport.Enter, Text: name + " abort"}}
	script.Discard = abort
	if o.Within > 0 {
		script.Confirm = []transport.Step{{Phase: transport.Commit, Text: name + " commit"}}
		script.Cancel = abort
	}
	if o.Save {
		script.Save = []transport.Step{{Phase: transport.Commit, Text: "write memory", Accept: acceptSave}}
	}
	return script, nil
}

// acceptSave is what is said to a configuration that is written (public dialogs).
const acceptSave = `^Copy completed successfully\.$`

func clock(d time.Duration) string {
	s := int(d / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// writer gathers the edit of a script.
type writer struct {
	steps   []transport.Step
	session string
}

func (w *writer) line(format string, args ...any) {
	w.steps = append(w.steps, transport.Step{Phase: transport.Edit, Text: fmt.Sprintf(format, args...), Session: w.session})
}

func (w *writer) monitor(rest string) { w.line("monitor session %s %s", w.session, rest) }

func (w *writer) noMonitor(rest string) { w.line("no monitor session %s %s", w.session, rest) }

func (w *writer) change(c models.Change) error {
	for _, s := range []*models.Session{c.Before, c.After} {
		if s == nil {
			continue
		}
		if bad := unsayable(*s); len(bad.all()) > 0 {
			return fmt.Errorf("%w: session %q: %s", drivers.ErrUnsupported, s.Name, strings.Join(bad.all(), "; "))
		}
		w.session = s.Name
	}
	switch {
	case c.Op == models.Create && c.After != nil:
		w.create(*c.After)
	case c.Op == models.Delete && c.Before != nil:
		w.delete(*c.Before)
	case c.Op == models.Update && c.Before != nil && c.After != nil && c.Before.Name == c.After.Name:
		w.update(*c.Before, *c.After)
	default:
		return fmt.Errorf("change %q lacks a side or renames a session", c.Op)
	}
	return nil
}

func (w *writer) create(s models.Session) {
	w.filterList(s)
	covered := extraSources(s)
	for _, src := range s.Sources {
		if dir := src.Direction &^ covered[src.Name]; dir != models.DirectionUnset {
			w.monitor("source " + src.Name + " " + dir.String())
		}
	}
	switch s.Destination.Kind {
	case models.DestinationPort, models.DestinationOther:
		for _, p := range s.Destination.Ports {
			w.monitor("destination " + p)
		}
	case models.DestinationGRE:
		w.monitor("destination " + tunnelWords(s.Destination.Tunnel))
	}
	w.filterUse(s)
	w.size(s)
	w.sample(s)
	w.extra(s)
}

// extra puts back lines outside of the model, as the device showed them.
func (w *writer) extra(s models.Session) {
	inList := false
	for _, line := range s.Extra {
		indented := strings.HasPrefix(line, " ")
		if inList && !indented {
			w.line("   exit")
		}
		w.line("%s", line)
		inList = indented || isListHead(line, s.Name)
	}
	if inList {
		w.line("   exit")
	}
}

// extraSources gives the directions in which lines of Extra name sources.
func extraSources(s models.Session) map[string]models.Direction {
	out := make(map[string]models.Direction)
	for _, line := range s.Extra {
		rest, ok := strings.CutPrefix(line, "monitor session "+s.Name+" source ")
		if !ok {
			continue
		}
		var d draft
		if d.source(strings.Fields(rest), line) != nil {
			continue
		}
		for _, src := range d.Sources {
			out[src.Name] = out[src.Name].Join(src.Direction)
		}
	}
	return out
}

func (w *writer) delete(s models.Session) {
	if !listsOnly(s) { // EOS refuses to remove a session that does not exist [eapi]
		w.line("no monitor session %s", s.Name)
	}
	w.dropLists(s)
}

// listsOnly reports whether s stands for access lists without a session.
func listsOnly(s models.Session) bool {
	return len(s.Sources) == 0 && s.Destination.Kind == models.DestinationUnset && s.FilterName == "" && len(s.Filter) == 0 &&
		s.TruncateTo == 0 && s.SampleOneIn == 0 && len(s.Extra) > 0 &&
		!slices.ContainsFunc(s.Extra, func(l string) bool { return strings.HasPrefix(l, "monitor ") })
}

// dropLists removes the access lists of s that are its own: those with its name.
func (w *writer) dropLists(s models.Session) {
	if len(s.Filter) > 0 && listName(s) == s.Name {
		w.line("no %s access-list %s", listFamily(s), s.Name)
	}
	for _, line := range s.Extra {
		if isListHead(line, s.Name) {
			w.line("no %s", line)
		}
	}
}

// listName gives the access list that filters s: the one that it has, or will have.
func listName(s models.Session) string {
	if s.FilterName != "" {
		return s.FilterName
	}
	return s.Name
}

func listFamily(s models.Session) string {
	fam, _ := filterFamily(s.Filter)
	return aclFamilies[fam]
}

// filterList writes the access list of s where it is its own. Lists of other names
// belong to somebody else and stay as they are.
func (w *writer) filterList(s models.Session) {
	if len(s.Filter) == 0 || listName(s) != s.Name {
		return
	}
	fam, _ := filterFamily(s.Filter)
	w.line("%s access-list %s", aclFamilies[fam], s.Name)
	for _, e := range aclEntries(s.Filter, fam) {
		w.line("   %s", e)
	}
	w.line("   exit")
}

func (w *writer) filterUse(s models.Session) {
	if len(s.Filter) > 0 {
		w.monitor(listFamily(s) + " access-group " + listName(s))
	}
}

func (w *writer) size(s models.Session) {
	if s.TruncateTo > 0 {
		w.monitor(fmt.Sprintf("truncate size %d", s.TruncateTo))
	}
}

func (w *writer) sample(s models.Session) {
	if s.SampleOneIn > 1 {
		w.monitor(fmt.Sprintf("sample %d", s.SampleOneIn))
	}
}

// update changes what differs. Tunnels and lines outside of the model are not
// changed in place: the session is removed and written anew in the same
// configuration session, so nothing is lost in between.
func (w *writer) update(b, a models.Session) {
	if !slices.Equal(b.Extra, a.Extra) || b.Destination.Kind != a.Destination.Kind ||
		b.Destination.Kind != models.DestinationPort && !reflect.DeepEqual(b.Destination, a.Destination) ||
		len(b.Extra) > 0 {
		w.delete(b)
		w.create(a)
		return
	}
	for _, src := range b.Sources {
		if !slices.Contains(a.Sources, src) {
			w.noMonitor("source " + src.Name)
		}
	}
	for _, src := range a.Sources {
		if !slices.Contains(b.Sources, src) {
			w.monitor("source " + src.Name + " " + src.Direction.String())
		}
	}
	for _, p := range b.Destination.Ports {
		if !slices.Contains(a.Destination.Ports, p) {
			w.noMonitor("destination " + p)
		}
	}
	for _, p := range a.Destination.Ports {
		if !slices.Contains(b.Destination.Ports, p) {
			w.monitor("destination " + p)
		}
	}
	if !reflect.DeepEqual(b.Filter, a.Filter) {
		if len(b.Filter) > 0 {
			w.noMonitor(listFamily(b) + " access-group " + listName(b))
			w.dropLists(b)
		}
		w.filterList(a)
		w.filterUse(a)
	}
	if b.TruncateTo != a.TruncateTo {
		if a.TruncateTo == 0 {
			w.noMonitor("truncate")
		}
		w.size(a)
	}
	if b.SampleOneIn != a.SampleOneIn {
		if a.SampleOneIn <= 1 {
			w.noMonitor("sample")
		}
		w.sample(a)
	}
}

// tunnelWords gives a GRE destination in the order of the vendor's generator [avd].
func tunnelWords(t *models.Tunnel) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tunnel mode gre source %s destination %s", t.Source, t.Destination)
	if t.TTL > 0 {
		fmt.Fprintf(&b, " ttl %d", t.TTL)
	}
	if t.DSCP > 0 {
		fmt.Fprintf(&b, " dscp %d", t.DSCP)
	}
	if t.Protocol > 0 {
		fmt.Fprintf(&b, " protocol %#x", t.Protocol)
	}
	if t.VRF != "" {
		fmt.Fprintf(&b, " vrf %s", t.VRF)
	}
	if t.Key > 0 {
		fmt.Fprintf(&b, " key %d", t.Key)
	}
	return b.String()
}
