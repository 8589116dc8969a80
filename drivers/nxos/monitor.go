package nxos

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

const (
	maxNumber = 32 // of a session [dev, tfn]
	maxSeen   = 48 // of a session in a configuration of any Nexus: 18 to 48 are those of Nexus 5000 and 7000 (unverified)
	wholeMTU  = 10240
)

// Types of sessions, as they are written. A session without one is local.
const (
	localSession = "local"
	erspanSource = "erspan-source"
)

// Lines of a destination port that a session depends on. A port without the first
// is told in Session.Extra by the second.
const (
	monitorLine   = "  switchport monitor"
	noMonitorLine = "  no switchport monitor"
	noVRFLine     = "  no vrf"
)

// draft is a session while its lines are read.
type draft struct {
	models.Session
	head  string // the first line, of a type outside of the model
	up    bool
	ports []string
	vrf   bool // a VRF is written
	vlans []models.Range
	acl   string
	block []string // lines outside of the model, with their indent
	bare  []int    // sources that say no direction, by index
}

var errUnknown = errors.New("is not known as a line of a mirror session")

// session begins a session; w are the words behind "monitor session".
func (c *config) session(w []string, line string) (*draft, error) {
	n, err := strconv.Atoi(w[0])
	if err != nil || n < 1 || n > maxSeen {
		return nil, errUnknown
	}
	d := c.sessions[n]
	if d == nil {
		d = &draft{Session: models.Session{Device: c.st.Device, Number: n}}
		c.sessions[n] = d
		c.order = append(c.order, n)
	}
	switch {
	case len(w) == 1, len(w) == 3 && w[1] == "type" && w[2] == localSession:
	case len(w) == 3 && w[1] == "type" && w[2] == erspanSource:
		d.Destination = models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{Version: 2}}
	case len(w) == 3 && w[1] == "type" && word.MatchString(w[2]):
		// erspan-destination, acl-capture and others
		d.head = line
		d.Sources = []models.Source{{Kind: models.SourceOther, Name: w[2], Direction: models.Rx}}
	case len(w) == 2 && (w[1] == "rx" || w[1] == "tx"):
		d.head = line // a session that takes a half of the hardware's (guide 9.3(x))
		d.Sources = []models.Source{{Kind: models.SourceOther, Name: w[1] + " session", Direction: models.Rx}}
	default:
		return nil, errUnknown
	}
	return d, nil
}

// outside are the first words of lines that the model has no field for, and which
// are kept as they are: of Nexus 9000 [dev, tfn, g10] and 7000 [n7k].
var outside = []string{
	"description", "source", "destination", "filter", "rate-limit", "sampling", "mode", "multicast", "marker-packet", "ip", "ipv6", "allow-pfc", "hardware", "buffer",
}

// line reads a line of the session's mode.
func (d *draft) line(line string) error {
	text := strings.TrimSpace(line)
	w := strings.Fields(text)
	keep := "  " + text
	switch text {
	case "no shut", "no shutdown":
		d.up = true
		return nil
	case "shut", "shutdown":
		d.up = false
		return nil
	}
	if d.head != "" {
		return d.foreignLine(text, w)
	}
	t := d.Destination.Tunnel
	last := w[len(w)-1]
	number := func(low, high uint64) (uint64, error) {
		n, err := strconv.ParseUint(last, 10, 16)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("%q is not a number from %d to %d", last, low, high)
		}
		return n, nil
	}
	var n uint64
	var err error
	switch key := strings.Join(w[:len(w)-1], " "); {
	case strings.HasPrefix(text, "description "+descriptionPrefix):
	case (w[0] == "source") && len(w) > 2 && (w[1] == "interface" || w[1] == "vlan"):
		return d.source(w[1], w[2:], keep)
	case w[0] == "destination" && len(w) > 2 && w[1] == "interface":
		if t != nil {
			return errUnknown
		}
		return d.destination(w[2:])
	case w[0] == "filter" && len(w) > 2 && w[1] == "vlan":
		rs, err := parseVLANs(strings.Join(w[2:], ""))
		d.vlans = append(d.vlans, rs...)
		return err
	case w[0] == "filter" && len(w) == 3 && w[1] == "access-group":
		if d.acl != "" || !word.MatchString(last) {
			return errUnknown
		}
		d.acl = last
	case key == "mtu":
		if n, err = number(64, wholeMTU); n < wholeMTU {
			d.TruncateTo = uint16(n)
		}
	case t != nil && key == "erspan-id":
		n, err = number(1, 1023)
		t.SessionID = uint16(n)
	case t != nil && key == "vrf":
		if d.vrf = true; last != "default" {
			t.VRF = last
		}
	case t != nil && key == "destination ip":
		if t.Destination, err = netip.ParseAddr(last); err == nil && !t.Destination.Is4() {
			err = fmt.Errorf("%q is not an IPv4 address", last)
		}
	case t != nil && key == "ip ttl":
		n, err = number(1, 255)
		t.TTL = uint8(n)
	case t != nil && key == "ip dscp":
		n, err = number(0, 63)
		t.DSCP = uint8(n)
	case t != nil && text == "header-type 2", t != nil && text == "header-type 3":
		t.Version = last[0] - '0'
	case t != nil && w[0] == "header-type" && len(w) > 2 && (w[1] == "3"): // rfc-compliant [dev]
		t.Version = 3
		d.block = append(d.block, keep)
	case slices.Contains(outside, w[0]) && len(w) > 1:
		d.block = append(d.block, keep)
	default:
		return errUnknown
	}
	return err
}

// foreignLine reads a line of a session whose type is outside of the model. All are
// kept; ports are seen as in use.
func (d *draft) foreignLine(text string, w []string) error {
	if !slices.Contains(outside, w[0]) && !slices.Contains([]string{"erspan-id", "vrf", "mtu", "header-type"}, w[0]) || len(w) < 2 {
		return errUnknown
	}
	if w[0] == "destination" && w[1] == "interface" && len(w) > 2 {
		if err := d.destination(w[2:]); err != nil {
			return err
		}
	}
	d.block = append(d.block, "  "+text)
	return nil
}

// source reads a list of interfaces or VLANs, and a direction.
func (d *draft) source(what string, w []string, keep string) error {
	dir := models.DirectionUnset
	for _, known := range []models.Direction{models.Rx, models.Tx, models.Both} {
		if len(w) > 1 && w[len(w)-1] == known.String() {
			dir, w = known, w[:len(w)-1]
			break
		}
	}
	list := strings.Join(w, "")
	add := func(src models.Source) {
		if src.Direction = dir; dir == models.DirectionUnset {
			d.bare = append(d.bare, len(d.Sources))
		}
		d.Sources = append(d.Sources, src)
	}
	switch {
	case what == "vlan":
		rs, err := parseVLANs(list)
		for _, r := range rs {
			for n := int(r.First); n <= int(r.Last); n++ {
				add(models.Source{Kind: models.SourceVLAN, VLAN: uint16(n)})
			}
		}
		return err
	case strings.HasPrefix(list, "sup-eth"), strings.HasPrefix(list, "fc"), strings.HasPrefix(list, "vfc"):
		d.block = append(d.block, keep) // the inband interface; Fibre Channel of Nexus 5000
		return nil
	}
	names, err := expand(list)
	for _, n := range names {
		add(models.Source{Kind: Dialect{}.PortKind(n), Name: n})
	}
	return err
}

// destination reads a list of ports; a direction behind it, which some configurations
// have [bf], says nothing.
func (d *draft) destination(w []string) error {
	if last := w[len(w)-1]; len(w) > 1 && (last == "rx" || last == "tx" || last == "both") {
		w = w[:len(w)-1]
	}
	list := strings.Join(w, "")
	if list == cpu {
		d.Destination = models.Destination{Kind: models.DestinationOther, Ports: []string{cpu}}
		return nil
	}
	names, err := expand(list)
	d.ports = append(d.ports, names...)
	return err
}

// finish gives the sessions by number. What the model has no place for is in Extra,
// verbatim, so that it counts as a difference and can be put back: lines of the
// session, then of its destination ports, then of an access list of its own.
func (c *config) finish() []models.Session {
	used := make(map[string]bool)
	var out []models.Session
	for _, n := range c.order {
		out = append(out, c.settle(c.sessions[n], used))
	}
	// An access list with a name of ours and without its session is in the way of one:
	// it is shown as a session that has nothing else.
	for _, name := range c.listOrder {
		n, ours := listNumber(name)
		if used[name] || !ours {
			continue
		}
		i := slices.IndexFunc(out, func(s models.Session) bool { return s.Number == n })
		if i < 0 {
			out = append(out, models.Session{Device: c.st.Device, Number: n, Role: models.RoleLocal, Shutdown: true})
			i = len(out) - 1
		}
		out[i].Extra = append(out[i].Extra, c.lists[name].block()...)
	}
	slices.SortStableFunc(out, func(a, b models.Session) int { return cmp.Compare(a.Number, b.Number) })
	for p := range c.monitor {
		c.trait(traitMonitor + p)
	}
	slices.Sort(c.st.Facts.Traits)
	return out
}

// settle makes a session of its draft. used notes the access lists that are in it.
func (c *config) settle(d *draft, used map[string]bool) models.Session {
	s := d.Session
	s.Shutdown = !d.up // [dev]: the default is down
	if len(d.ports) > 0 {
		s.Destination.Kind = models.DestinationPort
		s.Destination.Ports = d.ports
	}
	for _, i := range d.bare {
		s.Sources[i].Direction = models.Both // [dev]
		if l, ok := limitsOf(c.st.Facts.Model); ok && !l.vlanTx && s.Sources[i].Kind == models.SourceVLAN {
			s.Sources[i].Direction = models.Rx
		}
	}
	if t := s.Destination.Tunnel; t != nil {
		t.Source = c.origin
		if !d.vrf {
			d.block = append(d.block, noVRFLine)
		}
	}
	var lists []string
	if d.acl != "" {
		list := c.lists[d.acl]
		rules, ok := list.rules()
		if ok && len(d.vlans) == 0 {
			s.Filter, s.FilterName = rules, d.acl
			used[d.acl] = true
		} else {
			d.block = append(d.block, "  filter access-group "+d.acl)
			if d.acl == listName(s.Number) && list != nil {
				used[d.acl] = true
				lists = list.block()
			}
		}
	}
	if rs := models.MergeRanges(d.vlans); len(rs) > 0 {
		if d.acl == "" {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: rs}}}
		} else {
			d.block = append(d.block, "  filter vlan "+vlanList(rs))
		}
	}
	if d.head != "" {
		s.Extra = append([]string{d.head}, d.block...)
	} else {
		s.Extra = d.block
	}
	for _, p := range d.ports {
		switch line := c.monitor[p]; line {
		case monitorLine:
		case "":
			s.Extra = append(s.Extra, "interface "+p, noMonitorLine)
		default:
			s.Extra = append(s.Extra, "interface "+p, line)
		}
		delete(c.monitor, p)
	}
	if s.Extra = append(s.Extra, lists...); len(s.Extra) == 0 {
		s.Extra = nil
	}
	s.Role = s.Normalize().Role
	return s
}
