package iosxe

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

// maxNumber is the highest number of a session: routers go to 1024 [asr],
// Catalysts to 66 [cr9500, xe].
const maxNumber = 1024

// wholeMTU is the "mtu" of an ERSPAN session that keeps every frame whole: the
// highest there is, and the default of Catalysts [cg9300].
const wholeMTU = 9000

// Types of sessions, as they are written. flat has none.
const (
	flat         = ""
	erspanSource = "erspan-source"
	localSession = "local"
)

// draft is a session while its lines are read.
type draft struct {
	models.Session
	kind     string
	head     string // of a session with a type
	shutdown *bool  // as the lines say; nil where they do not
	ports    []string
	remote   uint16 // RSPAN VLAN of the destination
	tunnel   *models.Tunnel
	filters  []string // "ip NAME": access-groups of lists that may be read

	sub   string   // the mode within the mode that lines belong to, "" for none
	block []string // lines of a session with a type that are outside of the model, with their indent
	lines []string // flat lines outside of the model
	whole bool     // the type is outside of the model: block has every line
}

var errUnknown = errors.New("is not known as a line of a mirror session")

// monitorLine reads a line "monitor session N ..."; text is what follows the word
// session. A session with a type is returned, since lines of its own follow.
func (c *config) monitorLine(text, line string) (*draft, error) {
	id, rest, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > maxNumber || rest == "" {
		return nil, errUnknown
	}
	d := c.sessions[n]
	if d == nil {
		d = &draft{Session: models.Session{Device: c.state.Device, Number: n}}
		c.sessions[n] = d
		c.order = append(c.order, n)
	}
	what, rest, _ := strings.Cut(rest, " ")
	if what == "type" {
		if d.head != "" || len(d.Sources)+len(d.ports)+len(d.lines) > 0 || !word.MatchString(rest) {
			return nil, errUnknown
		}
		d.kind, d.head = rest, line
		d.whole = rest != erspanSource && rest != localSession
		return d, nil
	}
	if d.kind != flat {
		return nil, errUnknown
	}
	switch what {
	case "source":
		return nil, d.source(rest, line)
	case "destination":
		return nil, d.destination(rest, line)
	case "filter":
		return nil, d.filter(rest, line)
	}
	return nil, errUnknown
}

// outside keeps a line that the model has no field for.
func (d *draft) outside(line string) {
	if d.kind == flat {
		d.lines = append(d.lines, line)
	} else {
		d.block = append(d.block, line)
	}
}

// source reads "interface LIST [rx|tx|both]", "vlan LIST [rx|tx|both]", "remote
// vlan V" or "cpu ...".
func (d *draft) source(text, line string) error {
	what, rest, _ := strings.Cut(text, " ")
	switch what {
	case "cpu":
		d.outside(line)
		return nil
	case "remote":
		v, err := remoteVLAN(rest)
		if err != nil {
			return err
		}
		d.Sources = append(d.Sources, models.Source{Kind: models.SourceRemoteVLAN, VLAN: v, Direction: models.Rx})
		return nil
	case "interface", "vlan":
	default:
		return errUnknown
	}
	items, w := splitList(rest)
	dir := models.Both // where no direction is written [cr9500]
	switch len(w) {
	case 0:
	case 1:
		if err := dir.UnmarshalText([]byte(w[0])); err != nil || dir == models.DirectionUnset {
			return errUnknown
		}
	default:
		return errUnknown
	}
	if what == "vlan" {
		rs, err := parseVLANs(items...)
		if err != nil {
			return err
		}
		for _, r := range rs {
			for n := int(r.First); n <= int(r.Last); n++ {
				d.Sources = append(d.Sources, models.Source{Kind: models.SourceVLAN, VLAN: uint16(n), Direction: dir})
			}
		}
		return nil
	}
	names, err := expandInterfaces(items...)
	if err != nil {
		return err
	}
	for _, n := range names {
		d.Sources = append(d.Sources, models.Source{Kind: Dialect{}.PortKind(n), Name: n, Direction: dir})
	}
	return nil
}

func remoteVLAN(text string) (uint16, error) {
	v, ok := strings.CutPrefix(text, "vlan ")
	rs, err := parseVLANs(v)
	switch {
	case !ok:
		return 0, errUnknown
	case err != nil:
		return 0, err
	case rs[0].First != rs[0].Last:
		return 0, errUnknown
	}
	return rs[0].First, nil
}

// destination reads "interface LIST [options]" or "remote vlan V". Options of a
// port (encapsulation, ingress) are outside of the model: the line goes along.
func (d *draft) destination(text, line string) error {
	what, rest, _ := strings.Cut(text, " ")
	switch what {
	case "remote":
		v, more, _ := strings.Cut(rest, " reflector-port ")
		vlan, err := remoteVLAN(v)
		if err != nil {
			return err
		}
		if more != "" || d.remote != 0 && d.remote != vlan {
			d.outside(line)
			return nil
		}
		d.remote = vlan
		return nil
	case "interface":
	default:
		return errUnknown
	}
	items, options := splitList(rest)
	names, err := expandInterfaces(items...)
	if err != nil {
		return err
	}
	if len(options) > 0 {
		if !portOptions(options) {
			return errUnknown
		}
		d.outside(line)
	}
	d.ports = append(d.ports, names...)
	return nil
}

// portOptions reads [encapsulation {dot1q|replicate|isl}] [ingress [dot1q|untagged|isl]
// [vlan V]] [learning].
func portOptions(w []string) bool {
	take := func(words ...string) bool {
		if len(w) > 0 && slices.Contains(words, w[0]) {
			w = w[1:]
			return true
		}
		return false
	}
	if take("encapsulation") && !take("dot1q", "replicate", "isl") {
		return false
	}
	if take("ingress") {
		take("dot1q", "untagged", "isl")
		if take("vlan") {
			if len(w) == 0 {
				return false
			}
			if _, err := parseVLANs(w[0]); err != nil {
				return false
			}
			w = w[1:]
		}
	}
	take("learning")
	return len(w) == 0
}

// filter reads "{ip|ipv6} access-group NAME"; other filters (vlan, mac, sgt,
// packet-type, a router's access-group) are outside of the model.
func (d *draft) filter(text, line string) error {
	w := strings.Fields(text)
	if len(w) < 2 {
		return errUnknown
	}
	switch w[0] {
	case "ip", "ipv6":
		if len(w) != 3 || w[1] != "access-group" {
			return errUnknown
		}
		d.filters = append(d.filters, w[0]+" "+w[2])
		return nil
	case "vlan":
		items, rest := splitList(strings.TrimPrefix(text, "vlan "))
		if _, err := parseVLANs(items...); err != nil || len(rest) > 0 {
			return errUnknown
		}
	case "mac":
		if len(w) != 3 || w[1] != "access-group" {
			return errUnknown
		}
	case "access-group":
		if len(w) != 2 {
			return errUnknown
		}
	case "sgt", "packet-type":
	default:
		return errUnknown
	}
	d.outside(line)
	return nil
}

// blockLine reads a line below "monitor session N type ...".
func (d *draft) blockLine(line string) error {
	text := strings.TrimSpace(line)
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if d.whole {
		return d.foreignLine(line, text)
	}
	if indent >= 2 {
		if d.sub != "destination" || d.kind != erspanSource {
			return errUnknown
		}
		return d.tunnelLine(text, line)
	}
	d.sub = ""
	what, rest, _ := strings.Cut(text, " ")
	switch {
	case text == "destination" && d.kind == erspanSource:
		d.sub = "destination"
		if d.tunnel == nil {
			d.tunnel = &models.Tunnel{Version: 2}
		}
	case what == "source":
		return d.source(rest, line)
	case what == "destination" && d.kind == localSession:
		return d.destination(rest, line)
	case what == "destination":
		// A port beside the tunnel, as in one public example [bf].
		if err := new(draft).destination(rest, line); err != nil {
			return err
		}
		d.outside(line)
	case what == "filter":
		return d.filter(rest, line)
	case text == "shutdown", text == "no shutdown":
		off := text == "shutdown"
		d.shutdown = &off
	case what == "description":
		if _, ours := strings.CutPrefix(rest, descriptionPrefix); !ours {
			d.outside(line)
		}
	case what == "header-type" && d.kind == erspanSource:
		if rest != "2" && rest != "3" {
			return errUnknown
		}
		if d.tunnel == nil {
			d.tunnel = &models.Tunnel{}
		}
		d.tunnel.Version = rest[0] - '0'
	case what == "buffer-size", what == "rate-limit":
		d.outside(line)
	default:
		return errUnknown
	}
	return nil
}

// foreignLine reads a line of a session whose type is outside of the model, such as
// erspan-destination. All lines are kept; ports are seen as in use.
func (d *draft) foreignLine(line, text string) error {
	what, rest, _ := strings.Cut(text, " ")
	known := []string{"description", "source", "destination", "filter", "shutdown", "no", "erspan-id", "ip", "ipv6", "vrf", "mtu", "origin",
		"header-type", "buffer-size", "rate-limit", "mpls", "s-vlan", "c-vlan"}
	if !slices.Contains(known, what) || what == "no" && rest != "shutdown" {
		return errUnknown
	}
	if list, ok := strings.CutPrefix(text, "destination interface "); ok {
		items, options := splitList(list)
		names, err := expandInterfaces(items...)
		if err != nil {
			return err
		}
		if !portOptions(options) {
			return errUnknown
		}
		d.ports = append(d.ports, names...)
	}
	switch text {
	case "shutdown", "no shutdown":
		off := text == "shutdown"
		d.shutdown = &off
	}
	d.block = append(d.block, line)
	return nil
}

// tunnelLine reads a line below "destination" of an ERSPAN source.
func (d *draft) tunnelLine(text, line string) error {
	t := d.tunnel
	w := strings.Fields(text)
	key, value := strings.Join(w[:len(w)-1], " "), w[len(w)-1]
	number := func(low, high uint64) (uint64, error) {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("%q is not a number from %d to %d", value, low, high)
		}
		return n, nil
	}
	address := func(family int) (netip.Addr, error) {
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" || a.Is4() != (family == 4) {
			return netip.Addr{}, fmt.Errorf("%q is not an IPv%d address", value, family)
		}
		return a, nil
	}
	var n uint64
	var err error
	switch key {
	case "erspan-id":
		n, err = number(1, 1023)
		t.SessionID = uint16(n)
	case "ip address", "ipv6 address":
		t.Destination, err = address(familyOf(w[0]))
	case "origin ip address", "origin ipv6 address":
		t.Source, err = address(familyOf(w[1]))
	case "ip ttl", "ipv6 ttl":
		n, err = number(1, 255)
		t.TTL = uint8(n)
	case "ip dscp", "ipv6 dscp":
		n, err = number(0, 63)
		t.DSCP = uint8(n)
	case "mtu":
		if n, err = number(64, wholeMTU); n < wholeMTU {
			d.TruncateTo = uint16(n)
		}
	case "vrf":
		t.VRF = value
	case "ip prec", "ipv6 prec", "ip tos", "ipv6 flow-label":
		if _, err = number(0, 1<<20); err == nil {
			d.block = append(d.block, line)
		}
	default:
		return errUnknown
	}
	return err
}

func familyOf(w string) int {
	if w == "ipv6" {
		return 6
	}
	return 4
}

// finish gives the sessions in the order of the configuration. What the model has
// no place for is in Extra, verbatim, so that it counts as a difference and can be
// put back: lines of the session's mode, then flat lines, then access lists.
func (c *config) finish() []models.Session {
	used := make(map[string]bool)
	var out []models.Session
	for _, n := range c.order {
		out = append(out, c.session(c.sessions[n], used))
	}
	// An access list with a name of ours and without its session is in the way of
	// one: it is shown as a session that has nothing else.
	for _, head := range c.listOrder {
		n, ours := listNumber(c.lists[head].name)
		if used[head] || !ours {
			continue
		}
		i := slices.IndexFunc(out, func(s models.Session) bool { return s.Number == n })
		if i < 0 {
			out = append(out, models.Session{Device: c.state.Device, Number: n, Role: models.RoleLocal})
			i = len(out) - 1
		}
		out[i].Extra = append(out[i].Extra, c.lists[head].block()...)
	}
	slices.SortStableFunc(out, func(a, b models.Session) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// session makes a session of its draft. used notes the access lists that are in it.
func (c *config) session(d *draft, used map[string]bool) models.Session {
	s := d.Session
	flatLine := func(text string) string { return fmt.Sprintf("monitor session %d %s", s.Number, text) }
	if d.kind != flat {
		s.Shutdown = d.shutdown == nil || *d.shutdown // the default is shut [xe]
	}
	if d.whole {
		s.Role = models.RoleLocal
		s.Sources = []models.Source{{Kind: models.SourceOther, Name: d.kind, Direction: models.Rx}}
		if len(d.ports) > 0 {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: d.ports}
		}
		s.Extra = append([]string{d.head}, d.block...)
		return s
	}
	switch {
	case d.kind == erspanSource:
		s.Destination.Kind = models.DestinationERSPAN
		if d.tunnel == nil {
			d.tunnel = &models.Tunnel{Version: 2}
		}
		s.Destination.Tunnel = d.tunnel
	case len(d.ports) > 0:
		s.Destination = models.Destination{Kind: models.DestinationPort, Ports: d.ports}
		if d.remote != 0 {
			d.lines = append(d.lines, flatLine(fmt.Sprintf("destination remote vlan %d", d.remote)))
		}
	case d.remote != 0:
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: d.remote}
	}
	var lists []string
	for i, f := range d.filters {
		family, name, _ := strings.Cut(f, " ")
		head := listHead(familyOf(family), name)
		list := c.lists[head]
		if rules, ok := list.rules(); ok && i == 0 && len(d.filters) == 1 {
			s.Filter, s.FilterName = rules, name
			used[head] = true
			continue
		}
		if name == listName(s.Number) && list != nil && !used[head] {
			used[head] = true
			lists = append(lists, list.block()...)
		}
		line := "filter " + family + " access-group " + name
		if d.kind == flat {
			d.lines = append(d.lines, flatLine(line))
		} else {
			d.block = append(d.block, " "+line)
		}
	}
	s.Extra = slices.Concat(d.block, d.lines, lists)
	if len(s.Extra) == 0 {
		s.Extra = nil
	}
	s.Role = s.Normalize().Role
	return s
}
