package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// fault is something that is wrong with a driver or a device, on purpose.
type fault string

const (
	sound              fault = ""
	swapped            fault = "rx and tx swapped in Render and in Parse"
	foreignOurs        fault = "Parse calls strangers' sessions ours"
	foreignHidden      fault = "Parse hides strangers' sessions"
	touchesForeign     fault = "Delete removes all sessions"
	rewritten          fault = "the connection sends something else than the script"
	unordered          fault = "Render gives lines in any order"
	timerForever       fault = "the device's timer never lapses"
	noTimer            fault = "Render forgets the timer"
	confirmNothing     fault = "Confirm says nothing"
	revertNothing      fault = "Revert does nothing"
	revertAll          fault = "Revert takes everything away"
	partialState       fault = "Parse takes cut text"
	stateWithError     fault = "Parse gives a state with an error"
	takesStrangers     fault = "Parse takes any text"
	leak               fault = "the connection leaves a goroutine"
	deaf               fault = "the connection does not hear that ctx ends"
	noDoubt            fault = "the connection does not say what is in doubt"
	answersIgnored     fault = "the connection takes refusals for answers"
	sessionUntold      fault = "steps do not say which session they serve"
	goesOn             fault = "the connection goes on after a refusal"
	unlimited          fault = "more sessions claimed than there can be"
	truncateClaimed    fault = "truncation claimed and not rendered"
	truncateRefused    fault = "truncation not claimed and rendered"
	sampleRendered     fault = "sampling not claimed, but rendered"
	operClaimed        fault = "a state claimed that the device does not tell"
	residue            fault = "Delete leaves something behind"
	updateAsRecreate   fault = "Update forgets the destination"
	silentSampleRefuse fault = "a refusal without a reason"
)

// toyCaps are the capabilities of a made-up platform.
func toyCaps(f fault) models.Capabilities {
	yes := func(limit int) models.Claim { return models.Claim{Support: models.Yes, Limit: limit} }
	c := models.Capabilities{Platform: "toy", Grain: models.GrainUpdate, Claims: map[models.Feature]models.Claim{
		models.FeatureSPAN: yes(0), models.FeatureRx: yes(0), models.FeatureTx: yes(0), models.FeatureBoth: yes(0),
		models.FeaturePortSource: yes(3), models.FeatureTruncate: yes(1000), models.FeatureSessions: yes(3),
		models.FeatureConfirm: yes(0), models.FeatureOperState: {},
	}}
	for _, feature := range models.Features() {
		claim := c.Claims[feature]
		if claim.Support == models.No {
			claim.Why = "a toy cannot"
			if f == silentSampleRefuse && feature == models.FeatureSample {
				claim.Why = ""
			}
			c.Claims[feature] = claim
		}
	}
	switch f {
	case unlimited:
		c.Claims[models.FeatureSessions] = yes(4)
	case truncateRefused:
		c.Claims[models.FeatureTruncate] = models.Claim{Why: "a toy cannot"}
	case operClaimed:
		c.Claims[models.FeatureOperState] = yes(0)
	}
	return c
}

// toy is the dialect. Its configuration has a line per attribute:
//
//	session NAME source PORT rx|tx|both
//	session NAME to PORT
//	session NAME truncate N
type toy struct {
	fault fault
	calls *int // shared, for faults that differ from call to call
}

func (d toy) Capabilities() models.Capabilities { return toyCaps(d.fault) }

func (d toy) PortKind(string) models.SourceKind { return models.SourcePort }

func (d toy) Check(s models.Session) []string {
	if limit := d.Capabilities().Of(models.FeatureTruncate).Limit; limit > 0 && int(s.TruncateTo) > limit {
		return []string{fmt.Sprintf("a toy keeps at most %d bytes", limit)}
	}
	return nil
}

func (d toy) Reads() []transport.Request { return []transport.Request{{Text: "show"}} }

func (d toy) turn(dir models.Direction) models.Direction {
	if d.fault == swapped && dir != models.Both {
		return models.Both &^ dir
	}
	return dir
}

func (d toy) Parse(dev models.DeviceID, rs []transport.Reply) (models.DeviceState, error) {
	if len(rs) != 1 {
		return models.DeviceState{}, errors.New("want one reply")
	}
	st := models.DeviceState{Device: dev}
	bad := func(line string) (models.DeviceState, error) {
		if d.fault == stateWithError {
			return st, fmt.Errorf("line %q", line)
		}
		return models.DeviceState{}, fmt.Errorf("line %q", line)
	}
	lines := strings.Split(rs[0].Text, "\n")
	if lines[0] != "toy" && d.fault != takesStrangers {
		return bad(lines[0])
	}
	if last := lines[len(lines)-1]; last != "end" {
		if d.fault != partialState && d.fault != takesStrangers {
			return bad(last)
		}
	}
	at := map[string]int{}
	for _, line := range lines[1:] {
		w := strings.Fields(line)
		if len(w) < 4 || w[0] != "session" {
			if line != "end" && d.fault != partialState && d.fault != takesStrangers {
				return bad(line)
			}
			continue
		}
		i, ok := at[w[1]]
		if !ok {
			i = len(st.Sessions)
			at[w[1]] = i
			st.Sessions = append(st.Sessions, models.Session{Device: dev, Name: w[1], Role: models.RoleLocal})
		}
		s := &st.Sessions[i]
		switch w[2] {
		case "source":
			var dir models.Direction
			if len(w) != 5 || dir.UnmarshalText([]byte(w[4])) != nil {
				if d.fault == partialState {
					continue
				}
				return bad(line)
			}
			s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: w[3], Direction: d.turn(dir)})
		case "to":
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: append(s.Destination.Ports, w[3])}
		case "truncate":
			n, err := strconv.ParseUint(w[3], 10, 16)
			if err != nil {
				return bad(line)
			}
			s.TruncateTo = uint16(n)
		default:
			return bad(line)
		}
	}
	if d.fault == foreignOurs {
		for i := range st.Sessions {
			st.Sessions[i].Intent = strings.TrimPrefix(st.Sessions[i].Name, "sp-")
		}
	}
	if d.fault == foreignHidden {
		st.Sessions = slices.DeleteFunc(st.Sessions, func(s models.Session) bool { return !strings.HasPrefix(s.Name, "sp-") })
	}
	return st, nil
}

func (d toy) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	sc := transport.Script{Encoding: transport.CLI}
	if cs.Empty() {
		return sc, nil
	}
	edit := func(s *models.Session, format string, args ...any) {
		st := transport.Step{Phase: transport.Edit, Text: fmt.Sprintf(format, args...), Session: s.Name}
		if d.fault == sessionUntold {
			st.Session = ""
		}
		sc.Steps = append(sc.Steps, st)
	}
	sc.Steps = []transport.Step{{Phase: transport.Enter, Text: "edit " + o.Tag}}
	for _, c := range cs.Changes {
		if a := c.After; a != nil {
			if a.Destination.Kind != models.DestinationPort || len(a.Destination.Ports) != 1 || len(a.Filter) > 0 ||
				a.SampleOneIn > 0 && d.fault != sampleRendered || d.fault != truncateRefused && len(d.Check(*a)) > 0 ||
				slices.ContainsFunc(a.Sources, func(s models.Source) bool { return s.Kind != models.SourcePort || s.Name == "" }) {
				return transport.Script{}, fmt.Errorf("%w: session %s", drivers.ErrUnsupported, a.Name)
			}
		}
		if b := c.Before; b != nil {
			switch {
			case d.fault == touchesForeign && c.Op == models.Delete:
				edit(b, "no session *")
			case d.fault == residue && c.Op == models.Delete && len(b.Sources) > 0:
				for _, src := range b.Sources {
					edit(b, "no session %s source %s", b.Name, src.Name)
				}
			default:
				edit(b, "no session %s", b.Name)
			}
		}
		if a := c.After; a != nil {
			for _, src := range a.Sources {
				edit(a, "session %s source %s %s", a.Name, src.Name, d.turn(src.Direction))
			}
			if d.fault != updateAsRecreate || c.Op == models.Create {
				edit(a, "session %s to %s", a.Name, a.Destination.Ports[0])
			}
			if a.TruncateTo > 0 && d.fault != truncateClaimed {
				edit(a, "session %s truncate %d", a.Name, a.TruncateTo)
			}
		}
	}
	if d.fault == unordered {
		*d.calls++
		if *d.calls%2 == 0 && len(sc.Steps) > 2 {
			sc.Steps[1], sc.Steps[2] = sc.Steps[2], sc.Steps[1]
		}
	}
	commit := "commit"
	if o.Within > 0 && d.fault != noTimer {
		sc.Within = o.Within
		commit += fmt.Sprintf(" %d", int(o.Within.Seconds()))
		if d.fault != confirmNothing {
			sc.Confirm = []transport.Step{{Phase: transport.Commit, Text: "confirm " + o.Tag}}
		}
		sc.Cancel = []transport.Step{{Phase: transport.Enter, Text: "cancel " + o.Tag}}
	}
	sc.Steps = append(sc.Steps, transport.Step{Phase: transport.Commit, Text: commit})
	return sc, nil
}

// toyDevice is the device: it refuses what it does not know.
type toyDevice struct {
	mu      sync.Mutex
	fault   fault
	lines   []string // the configuration
	wire    []string
	now     time.Duration
	armed   string // the edit whose timer runs
	due     time.Duration
	back    []string
	refuse  string
	hang    *string
	stopped chan struct{} // closed with the test
}

type toyConn struct {
	d         *toyDevice
	tag       string
	candidate []string
	leak      chan struct{}
}

func (d *toyDevice) dial() *toyConn {
	c := &toyConn{d: d, leak: make(chan struct{})}
	if d.fault == leak {
		go func() { <-c.leak }()
	}
	return c
}

func (c *toyConn) Close() error { return nil }

// silent waits where the device is to be silent at text.
func (c *toyConn) silent(ctx context.Context, text string, step *transport.Step) error {
	c.d.mu.Lock()
	hang := c.d.hang != nil && (*c.d.hang == "" || *c.d.hang == text)
	if hang {
		c.d.hang = nil
	}
	c.d.mu.Unlock()
	if !hang {
		return nil
	}
	if c.d.fault == deaf {
		<-c.d.stopped
	}
	<-ctx.Done()
	return &transport.Error{Kind: transport.Canceled, Step: step, InDoubt: step != nil && c.d.fault != noDoubt, Err: ctx.Err()}
}

func (c *toyConn) Read(ctx context.Context, reqs []transport.Request) ([]transport.Reply, error) {
	var out []transport.Reply
	for _, r := range reqs {
		if err := c.silent(ctx, r.Text, nil); err != nil {
			return nil, err
		}
		out = append(out, transport.Reply{Request: r, Text: c.d.config()})
	}
	return out, nil
}

func (c *toyConn) Send(ctx context.Context, steps []transport.Step) error {
	for i, s := range steps {
		if err := c.silent(ctx, s.Text, &steps[i]); err != nil {
			return err
		}
		text := s.Text
		if c.d.fault == rewritten {
			text = strings.ReplaceAll(text, " to ", "  to ")
		}
		if answer := c.line(text); answer != "" && c.d.fault != answersIgnored {
			err := &transport.Error{Kind: transport.Rejected, Step: &steps[i], Reply: answer, Sent: i}
			if c.d.fault == goesOn {
				for _, later := range steps[i+1:] {
					c.line(later.Text)
				}
			}
			return err
		}
	}
	return nil
}

func (d *toyDevice) config() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "toy\n" + strings.Join(append(slices.Clone(d.lines), "end"), "\n")
}

// line takes one line and gives the answer, "" where it is taken.
func (c *toyConn) line(text string) string {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wire = append(d.wire, text)
	if d.refuse != "" && d.refuse == text {
		d.refuse = ""
		return "% refused"
	}
	w := strings.Fields(text)
	switch {
	case len(w) == 2 && w[0] == "edit":
		c.tag, c.candidate = w[1], slices.Clone(d.lines)
	case w[0] == "commit" && len(w) <= 2 && c.tag != "":
		if names := sessionsOf(c.candidate); len(names) > 3 {
			return "% too many sessions"
		}
		if len(w) == 2 {
			n, err := strconv.Atoi(w[1])
			if err != nil {
				return "% not a time"
			}
			d.armed, d.due, d.back = c.tag, d.now+time.Duration(n)*time.Second, d.lines
		}
		d.lines, c.tag = c.candidate, ""
		slices.Sort(d.lines)
	case len(w) == 2 && (w[0] == "confirm" || w[0] == "cancel"):
		if d.armed != w[1] {
			return "% no such edit"
		}
		if w[0] == "cancel" {
			d.lines = d.back
		}
		d.armed = ""
	case c.tag == "":
		return "% not in an edit"
	case len(w) >= 3 && w[0] == "no" && w[1] == "session":
		prefix := "session " + strings.Join(w[2:], " ") + " "
		c.candidate = slices.DeleteFunc(slices.Clone(c.candidate), func(l string) bool { return w[2] == "*" || strings.HasPrefix(l, prefix) })
	case len(w) >= 4 && w[0] == "session" && (w[2] == "to" || w[2] == "truncate") && len(w) == 4, len(w) == 5 && w[0] == "session" && w[2] == "source":
		c.candidate = append(slices.Clone(c.candidate), strings.Join(w, " "))
	default:
		return "% unknown"
	}
	return ""
}

func sessionsOf(lines []string) []string {
	var names []string
	for _, l := range lines {
		if n := strings.Fields(l)[1]; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// truth gives the sessions as the device means them. It shares no code with the
// dialect.
func (d *toyDevice) truth() []models.Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []models.Session
	for _, name := range sessionsOf(d.lines) {
		s := models.Session{Name: name}
		for _, l := range d.lines {
			w := strings.Fields(l)
			if w[1] != name {
				continue
			}
			switch w[2] {
			case "source":
				dir := map[string]models.Direction{"rx": models.Rx, "tx": models.Tx, "both": models.Both}[w[4]]
				s.Sources = append(s.Sources, models.Source{Kind: models.SourcePort, Name: w[3], Direction: dir})
			case "to":
				s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{w[3]}}
			case "truncate":
				n, _ := strconv.Atoi(w[3])
				s.TruncateTo = uint16(n)
			}
		}
		out = append(out, s)
	}
	return out
}

func (d *toyDevice) lapse(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now += t
	if d.armed != "" && d.now >= d.due && d.fault != timerForever {
		d.lines, d.armed = d.back, ""
	}
}

// lazy is a driver that does not go back as it should.
type lazy struct {
	drivers.Driver
	fault fault
	d     *toyDevice
}

func (l lazy) Revert(ctx context.Context, cp drivers.Checkpoint) error {
	switch l.fault {
	case revertNothing:
		return nil
	case revertAll:
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		l.d.lines, l.d.armed = nil, ""
		return nil
	}
	return l.Driver.Revert(ctx, cp)
}
