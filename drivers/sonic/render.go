package sonic

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// What is written where an intent leaves it open: the commands have no word for it.
const (
	defaultTTL = 64     // RFC 1700's default of IP
	defaultGRE = 0x88be // the default of the schema [yang]
)

// Render writes cs as commands of the shell. Each takes effect at once. Sessions that
// go are removed before those that come are added, since a port can be mirrored, in a
// direction, by one session only [su].
func (Dialect) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	script := transport.Script{Encoding: transport.CLI}
	for _, c := range cs.Changes {
		for _, s := range []*models.Session{c.Before, c.After} {
			if s == nil {
				continue
			}
			if bad := unsayable(*s); len(bad.all()) > 0 {
				return transport.Script{}, fmt.Errorf("%w: session %q: %s", drivers.ErrUnsupported, s.Name, strings.Join(bad.all(), "; "))
			}
		}
		if c.Before == nil && c.After == nil {
			return transport.Script{}, fmt.Errorf("change %q without a session", c.Op)
		}
	}
	line := func(s *models.Session, text string) {
		script.Steps = append(script.Steps, transport.Step{Phase: transport.Edit, Text: "sudo config mirror_session " + text, Session: s.Name})
	}
	for _, c := range cs.Changes {
		if c.Before != nil {
			line(c.Before, "remove "+c.Before.Name)
		}
	}
	for _, c := range cs.Changes {
		if c.After != nil {
			line(c.After, addWords(*c.After))
		}
	}
	if o.Save && !script.Empty() {
		script.Save = []transport.Step{{Phase: transport.Commit, Text: "sudo config save -y", Accept: acceptSave}}
	}
	return script, nil
}

// acceptSave is what "config save" says that it runs [su].
const acceptSave = `^Running command: \S*sonic-cfggen -d --print-data`

// addWords gives the words that make a session. All but those with "--" are told apart
// by their place, so that those in front of a needed one are given too.
func addWords(s models.Session) string {
	var ports []string
	for _, src := range s.Sources {
		ports = append(ports, src.Name)
	}
	where := ""
	if len(ports) > 0 {
		where = " " + strings.Join(ports, ",") + " " + s.Sources[0].Direction.String()
	}
	var x extra
	for _, l := range s.Extra {
		e, _ := readExtra(l) // unsayable has read it
		if e.queue != "" {
			x.queue = e.queue
		}
		if e.policer != "" {
			x.policer = e.policer
		}
		x.ownGRE = x.ownGRE || e.ownGRE
	}
	out := ""
	if t := s.Destination.Tunnel; s.Destination.Kind == models.DestinationGRE {
		ttl, protocol, queue := t.TTL, t.Protocol, x.queue
		if ttl == 0 {
			ttl = defaultTTL
		}
		if protocol == 0 {
			protocol = defaultGRE
		}
		if queue == "" {
			queue = "0"
		}
		out = fmt.Sprintf("erspan add %s %s %s %d %d", s.Name, t.Source, t.Destination, t.DSCP, ttl)
		if !x.ownGRE {
			out += fmt.Sprintf(" %#x %s%s", protocol, queue, where)
		}
	} else {
		out = fmt.Sprintf("span add %s %s%s", s.Name, s.Destination.Ports[0], where)
		if x.queue != "" && where != "" {
			out += " " + x.queue
		}
	}
	if x.policer != "" {
		out += " --policer " + x.policer
	}
	if s.SampleOneIn > 1 {
		out += " --sample_rate " + strconv.FormatUint(uint64(s.SampleOneIn), 10)
	}
	if s.TruncateTo > 0 {
		out += " --truncate_size " + strconv.Itoa(int(s.TruncateTo))
	}
	return out
}

// ownGRE is the line of a session without a GRE type: the switch takes its own, which is
// 0x8949 on Mellanox and 0x88be on the rest [su]. spanctl writes none such, and can put
// one back only where nothing follows the word that is left out.
const ownGRE = "gre_type of the switch"

// extra is what the neutral model has no field for.
type extra struct {
	queue, policer string
	ownGRE         bool
}

// readExtra reads a line of Session.Extra.
func readExtra(line string) (extra, error) {
	key, value, _ := strings.Cut(line, " ")
	switch {
	case line == ownGRE:
		return extra{ownGRE: true}, nil
	case key == "queue":
		if n, err := strconv.ParseUint(value, 10, 8); err != nil || strconv.FormatUint(n, 10) != value {
			return extra{}, fmt.Errorf("%q is not a queue", value)
		}
		return extra{queue: value}, nil
	case key == "policer" && plainWord.MatchString(value):
		return extra{policer: value}, nil
	default:
		return extra{}, fmt.Errorf("spanctl does not write it")
	}
}
