package eos

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// SessionPrefix begins the names of the sessions and access lists that are ours to
// make (models/plan.SessionPrefix, which a dialect may not import).
const SessionPrefix = "sp-"

// draft is a session while its lines are read.
type draft struct {
	models.Session
	ports   []string // destination ports
	words   []string // destinations that are no ports: Cpu
	tunnel  *models.Tunnel
	tunnels int
	acl     string   // "ip NAME" of the whole session
	lines   []string // lines outside of the model
}

var errUnknown = errors.New("is not known as a line of a mirror session")

// monitorLine reads a line "monitor session NAME ...", in any form of the vendor's
// generator [avd]. Other lines "monitor ..." are other features.
func (c *config) monitorLine(line string) error {
	rest, ok := strings.CutPrefix(line, "monitor session ")
	if !ok {
		return nil
	}
	w := strings.Fields(rest)
	if len(w) < 2 {
		return errUnknown
	}
	name, w := w[0], w[1:]
	text := strings.Join(w, " ")
	if name == "default" {
		// What GRE copies hold, for all sessions: no session of that name.
		if text == "encapsulation gre payload inner-packet" || text == "encapsulation gre payload full-packet" {
			return nil
		}
		return errUnknown
	}
	d := c.sessions[name]
	if d == nil {
		d = &draft{Session: models.Session{Device: c.state.Device, Name: name, Role: models.RoleLocal}}
		c.sessions[name] = d
		c.order = append(c.order, name)
	}
	switch w[0] {
	case "source":
		return d.source(w[1:], line)
	case "destination":
		return d.destination(w[1:], line)
	case "ip", "ipv6", "mac":
		if len(w) != 3 || w[1] != "access-group" || d.acl != "" {
			return errUnknown
		}
		d.acl = w[0] + " " + w[2]
		return nil
	case "truncate":
		if len(w) == 1 {
			d.lines = append(d.lines, line) // to a size that only the platform knows
			return nil
		}
		n, err := number(w[1:], "size", 65535)
		d.TruncateTo = uint16(n)
		return err
	case "sample":
		n, err := number(w, "sample", 1<<32-1)
		if n == 1 { // every frame, as without the line
			d.lines = append(d.lines, line)
			return nil
		}
		d.SampleOneIn = uint32(n)
		return err
	case "rate-limit":
		if len(w) != 4 || w[1] != "per-ingress-chip" && w[1] != "per-egress-chip" {
			return errUnknown
		}
		d.lines = append(d.lines, line)
		return nil
	case "header":
		if len(w) != 4 || w[1] != "remove" || w[2] != "size" {
			return errUnknown
		}
		d.lines = append(d.lines, line)
		return nil
	case "encapsulation":
		if text != "encapsulation gre metadata tx" {
			return errUnknown
		}
		d.lines = append(d.lines, line)
		return nil
	}
	return errUnknown
}

// number reads "KEYWORD N" with 1 <= N <= limit.
func number(w []string, keyword string, limit uint64) (uint64, error) {
	if len(w) != 2 || w[0] != keyword {
		return 0, errUnknown
	}
	n, err := strconv.ParseUint(w[1], 10, 64)
	if err != nil || n < 1 || n > limit {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", w[1], limit)
	}
	return n, nil
}

// source reads INTERFACES [rx|tx|both] [{ip|ipv6|mac} access-group ACL [priority N]].
// Without a direction it is both (unverified). A source with an access list of its
// own stays a source; the line goes along, since the model has no such thing.
func (d *draft) source(w []string, line string) error {
	i := slices.IndexFunc(w, func(s string) bool {
		return slices.Contains([]string{"rx", "tx", "both", "ip", "ipv6", "mac"}, s)
	})
	if i < 0 {
		i = len(w)
	}
	names, err := expandInterfaces(strings.Join(w[:i], " "))
	if err != nil {
		return err
	}
	w = w[i:]
	dir := models.Both
	if len(w) > 0 {
		if err := dir.UnmarshalText([]byte(w[0])); err == nil {
			w = w[1:]
		}
	}
	switch {
	case len(w) == 0:
	case (len(w) == 3 || len(w) == 5 && w[3] == "priority") && w[1] == "access-group" && slices.Contains([]string{"ip", "ipv6", "mac"}, w[0]):
		d.lines = append(d.lines, line)
	default:
		return errUnknown
	}
	for _, n := range names {
		d.Sources = append(d.Sources, models.Source{Kind: Dialect{}.PortKind(n), Name: n, Direction: dir})
	}
	return nil
}

func (d *draft) destination(w []string, line string) error {
	switch {
	case len(w) == 1 && strings.EqualFold(w[0], "cpu"):
		d.words = append(d.words, "Cpu")
		return nil
	case len(w) > 3 && w[0] == "tunnel" && w[1] == "mode" && w[2] == "gre":
		t, err := parseTunnel(w[3:])
		if err != nil {
			return err
		}
		if d.tunnels++; d.tunnels > 1 {
			d.lines = append(d.lines, line)
			return nil
		}
		d.tunnel = t
		return nil
	}
	names, err := expandInterfaces(strings.Join(w, " "))
	if err != nil {
		return err
	}
	d.ports = append(d.ports, names...)
	return nil
}

// parseTunnel reads the options of "tunnel mode gre", in any order: the order in
// which EOS shows them is unverified.
func parseTunnel(w []string) (*models.Tunnel, error) {
	var t models.Tunnel
	for ; len(w) >= 2; w = w[2:] {
		var err error
		var n uint64
		switch w[0] {
		case "source":
			t.Source, err = netip.ParseAddr(w[1])
		case "destination":
			t.Destination, err = netip.ParseAddr(w[1])
		case "ttl":
			n, err = strconv.ParseUint(w[1], 10, 8)
			t.TTL = uint8(n)
		case "dscp":
			n, err = strconv.ParseUint(w[1], 10, 6)
			t.DSCP = uint8(n)
		case "protocol":
			n, err = strconv.ParseUint(w[1], 0, 16)
			t.Protocol = uint16(n)
		case "key":
			n, err = strconv.ParseUint(w[1], 0, 32)
			t.Key = uint32(n)
		case "vrf":
			t.VRF = w[1]
		default:
			return nil, errUnknown
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", w[0], w[1], err)
		}
	}
	if len(w) != 0 || !t.Source.IsValid() || !t.Destination.IsValid() {
		return nil, errUnknown
	}
	return &t, nil
}

// finish gives the sessions in the order of the configuration. What the model has
// no place for is in Extra, verbatim, so that it counts as a difference and can be
// put back: lines first, then the access lists.
func (c *config) finish() []models.Session {
	used := make(map[string]bool)
	var out []models.Session
	for _, name := range c.order {
		d := c.sessions[name]
		s := d.Session
		s.Extra = d.lines
		prefix := "monitor session " + name + " "
		switch {
		case len(d.ports) > 0:
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: d.ports}
			for _, w := range d.words {
				s.Extra = append(s.Extra, prefix+"destination "+w)
			}
			if d.tunnel != nil {
				s.Extra = append(s.Extra, prefix+"destination "+tunnelWords(d.tunnel))
			}
		case d.tunnel != nil:
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: d.tunnel}
			for _, w := range d.words {
				s.Extra = append(s.Extra, prefix+"destination "+w)
			}
		case len(d.words) > 0:
			s.Destination = models.Destination{Kind: models.DestinationOther, Ports: d.words}
		}
		if d.acl != "" {
			family, acl, _ := strings.Cut(d.acl, " ")
			head := family + " access-list " + acl
			list := c.acls[head]
			used[head] = true
			if rules, ok := list.filter(); ok {
				s.Filter, s.FilterName = rules, acl
			} else {
				if acl == name && list != nil {
					s.Extra = append(s.Extra, list.block()...)
				}
				s.Extra = append(s.Extra, prefix+family+" access-group "+acl)
			}
		}
		for _, family := range []string{"ip", "ipv6", "mac"} {
			if head := family + " access-list " + name; c.acls[head] != nil && !used[head] {
				used[head] = true
				s.Extra = append(s.Extra, c.acls[head].block()...)
			}
		}
		out = append(out, s)
	}
	// An access list with a name of ours and without its session is in the way of
	// one: it is shown as a session that has nothing else.
	for _, head := range c.aclOrder {
		name := head[strings.LastIndexByte(head, ' ')+1:]
		if used[head] || !strings.HasPrefix(name, SessionPrefix) {
			continue
		}
		i := slices.IndexFunc(out, func(s models.Session) bool { return s.Name == name })
		if i < 0 {
			out = append(out, models.Session{Device: c.state.Device, Name: name, Role: models.RoleLocal})
			i = len(out) - 1
		}
		out[i].Extra = append(out[i].Extra, c.acls[head].block()...)
	}
	return out
}

func (a *accessList) filter() ([]models.Rule, bool) {
	if a == nil {
		return nil, false
	}
	return a.rules()
}

// block gives the access list as lines of its own.
func (a *accessList) block() []string { return append([]string{a.head}, a.lines...) }
