package iosxe

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Dialect says and reads the CLI of IOS-XE. The zero value is ready.
type Dialect struct{}

var _ drivers.Dialect = Dialect{}

// What Reads asks, by index.
const (
	readConfig = iota
	readMonitor
	readVersion
	readVLANs
	readNeighbors
	readMACs
	readCapability
	readCount
)

// Reads asks for the whole running configuration and for what runs. The
// configuration is read whole: its last line, "end", is the proof that nothing is
// missing, which a section has not.
func (Dialect) Reads() []transport.Request {
	return []transport.Request{
		readConfig:    {Text: "show running-config"},
		readMonitor:   {Text: "show monitor session all", Optional: true},
		readVersion:   {Text: "show version", Optional: true},
		readVLANs:     {Text: "show vlan", Optional: true},
		readNeighbors: {Text: "show lldp neighbors", Optional: true},
		readMACs:      {Text: "show mac address-table", Optional: true},
		// What the switch itself says that its ERSPAN can [gp].
		readCapability: {Text: "show capability feature monitor erspan-source", Optional: true},
	}
}

// Parse reads the replies to Reads. The running configuration tells what sessions,
// ports and VLANs there are, the rest what they do now. Lines of other features are
// skipped; a line of a mirror session that it does not know, a configuration
// without its first or last line and an answer that is cut or of another command
// are errors.
func (Dialect) Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error) {
	if len(replies) != readCount {
		return models.DeviceState{}, fmt.Errorf("%d replies to %d requests", len(replies), readCount)
	}
	if r := replies[readConfig]; r.Err != "" {
		return models.DeviceState{}, fmt.Errorf("%q was refused: %s", r.Request.Text, r.Err)
	}
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}}
	c := config{state: &st, vlans: map[uint16]models.VLAN{1: {}}, lists: map[string]*accessList{}, sessions: map[int]*draft{}}
	if err := c.read(replies[readConfig].Text); err != nil {
		return models.DeviceState{}, fmt.Errorf("running-config: %w", err)
	}
	if err := c.operation(replies); err != nil {
		return models.DeviceState{}, err
	}
	st.Sessions = c.finish()
	return st, nil
}

// lastEnd gives the place of the last line "end", -1 where there is none: in files, a
// tool may have written more behind it.
func lastEnd(lines []string) int {
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i] == "end" {
			return i
		}
	}
	return -1
}

// config gathers the parts of a running configuration.
type config struct {
	state     *models.DeviceState
	vlans     map[uint16]models.VLAN
	vtpOff    bool                   // VLANs are all in the configuration
	lists     map[string]*accessList // by first line
	listOrder []string
	sessions  map[int]*draft
	order     []int
	backup    bool // of a file: nothing proves that it is whole
}

// bannerSign stands around free text; IOS prints it so whatever was typed, as two
// characters or as one.
var bannerSign = regexp.MustCompile(`\^C|\x03`)

func (c *config) read(text string) error {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	switch at := lastEnd(lines); {
	case c.backup && at >= 0:
		lines = lines[:at]
	case c.backup:
	case len(lines) == 0 || lines[len(lines)-1] != "end":
		return errors.New("the last line is not \"end\": the text is cut")
	default:
		lines = lines[:len(lines)-1]
	}
	begun := c.backup
	var section func(line string) error // reads the indented lines of a section; nil skips them
	var leave func()
	end := func() {
		if leave != nil {
			leave()
		}
		section, leave = nil, nil
	}
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " ")
		if n := len(bannerSign.FindAllString(line, -1)); n%2 == 1 {
			first := line
			for i++; i < len(lines) && !bannerSign.MatchString(lines[i]); i++ {
			}
			if i == len(lines) {
				return fmt.Errorf("the text after %q does not end", first)
			}
			continue
		}
		if strings.HasPrefix(line, "macro name ") {
			first := line
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "@"; i++ {
			}
			if i == len(lines) {
				return fmt.Errorf("the text after %q does not end", first)
			}
			continue
		}
		if line == "" || line[0] == '!' {
			continue // the "!" after a section; the next line that is not indented ends it
		}
		if line[0] == ' ' {
			if section != nil && strings.TrimSpace(line) != "!" {
				if err := section(line); err != nil {
					return &drivers.LineError{Line: i + 1, Text: line, Err: err}
				}
			}
			continue
		}
		end()
		head, rest, _ := strings.Cut(line, " ")
		if !begun {
			// "Building configuration...", "Current configuration : 20546 bytes" and
			// "Load for five secs: ..." come before.
			if head == "version" && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
				begun = true
				c.state.Facts.Version = rest
			}
			continue
		}
		switch head {
		case "version":
			c.state.Facts.Version = rest
		case "hostname":
			c.state.Facts.Hostname = rest
		case "license":
			if w := strings.Fields(rest); len(w) == 5 && w[0] == "udi" && w[1] == "pid" && w[3] == "sn" {
				c.state.Facts.Model, c.state.Facts.Serial = w[2], w[4]
			}
		case "archive":
			section = func(line string) error {
				if strings.HasPrefix(line, " path ") {
					c.trait(TraitArchive)
				}
				return nil
			}
		case "vtp":
			if rest == "mode transparent" || rest == "mode off" {
				c.vtpOff = true
			}
		case "vlan":
			if ids := c.vlanLine(rest); ids != nil {
				section = func(line string) error { c.vlanAttribute(ids, strings.TrimSpace(line)); return nil }
			}
		case "interface":
			name, ok := longName(rest)
			if !ok {
				break // Vlan1, Loopback0, Tunnel1
			}
			p := models.Port{Name: name}
			var l2 layer2
			section = func(line string) error { interfaceLine(&p, &l2, line); return nil }
			leave = func() { c.state.Ports[name] = l2.settle(p) }
		case "ip", "ipv6":
			if list := newList(line, rest); list != nil {
				c.lists[line] = list
				c.listOrder = append(c.listOrder, line)
				section = func(line string) error { list.lines = append(list.lines, line); return nil }
			}
		case "monitor":
			text, ok := strings.CutPrefix(line, "monitor session ")
			if !ok {
				break // monitor event-trace, monitor capture
			}
			d, err := c.monitorLine(text, line)
			if err != nil {
				return &drivers.LineError{Line: i + 1, Text: line, Err: err}
			}
			if d != nil {
				section = d.blockLine
			}
		}
	}
	end()
	if !begun {
		return errors.New("there is no line \"version NUMBER\": this is not the configuration of an IOS-XE device")
	}
	if c.vtpOff || len(c.vlans) > 1 {
		// A VTP server or client keeps its VLANs elsewhere and prints none of them.
		c.state.VLANs = c.vlans
	}
	return nil
}

func (c *config) trait(t string) {
	if !slices.Contains(c.state.Facts.Traits, t) {
		c.state.Facts.Traits = append(c.state.Facts.Traits, t)
		slices.Sort(c.state.Facts.Traits)
	}
}

// newList begins an access list: "ip access-list extended NAME" and "ipv6
// access-list NAME". Standard lists have no filter that could be read.
func newList(line, rest string) *accessList {
	w := strings.Fields(rest)
	switch {
	case len(w) == 3 && w[0] == "access-list" && w[1] == "extended" && strings.HasPrefix(line, "ip "):
		return &accessList{head: line, name: w[2], family: 4}
	case len(w) == 2 && w[0] == "access-list" && strings.HasPrefix(line, "ipv6 "):
		return &accessList{head: line, name: w[1], family: 6}
	}
	return nil
}

// layer2 is what an interface says of switching. A port that says nothing
// negotiates: whether it is a trunk is then not in the configuration.
type layer2 struct {
	routed bool
	mode   models.PortMode
	access uint16
}

func (l layer2) settle(p models.Port) models.Port {
	switch {
	case l.routed:
		p.Mode = models.PortRouted
		p.TrunkVLANs = nil
		return p
	case l.mode == models.PortAccess:
		p.AccessVLAN = max(l.access, 1)
	}
	p.Mode = l.mode
	if l.mode != models.PortTrunk {
		p.TrunkVLANs = nil
	}
	return p
}

func interfaceLine(p *models.Port, l2 *layer2, line string) {
	if strings.HasPrefix(line, "  ") {
		return // of a service instance
	}
	text := strings.TrimSpace(line)
	w := strings.Fields(text)
	after := func(prefix string) (string, bool) { return strings.CutPrefix(text, prefix+" ") }
	switch {
	case text == "shutdown":
		p.AdminDown = true
	case text == "no switchport", strings.HasPrefix(text, "ip address"), text == "no ip address", strings.HasPrefix(text, "ipv6 address"), w[0] == "encapsulation":
		l2.routed = true
	case text == "switchport mode access":
		l2.mode = models.PortAccess
	case text == "switchport mode trunk":
		l2.mode = models.PortTrunk
	}
	if v, ok := after("switchport access vlan"); ok {
		if rs, err := parseVLANs(v); err == nil && len(rs) == 1 {
			l2.access = rs[0].First
		}
	}
	if v, ok := after("switchport trunk allowed vlan"); ok {
		p.TrunkVLANs = allowedVLANs(p.TrunkVLANs, v)
	}
	if v, ok := after("channel-group"); ok {
		p.LAG = lagType + strings.Fields(v)[0]
	}
	if v, ok := after("mtu"); ok {
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			p.MTU = uint32(n)
		}
	}
	if len(w) >= 4 && w[0] == "ip" && w[1] == "address" {
		if a, ok := maskedPrefix(w[2], w[3]); ok {
			p.Addresses = append(p.Addresses, a)
		}
	}
	if len(w) >= 3 && w[0] == "ipv6" && w[1] == "address" {
		if a, err := netip.ParsePrefix(w[2]); err == nil {
			p.Addresses = append(p.Addresses, a)
		}
	}
}

// maskedPrefix reads an IPv4 address and a mask such as 255.255.255.0.
func maskedPrefix(addr, mask string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(addr)
	m, err2 := netip.ParseAddr(mask)
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return netip.Prefix{}, false
	}
	b := m.As4()
	for i := range b {
		b[i] = ^b[i]
	}
	for bits := 0; bits <= 32; bits++ {
		if wildcard(bits) == netip.AddrFrom4(b) {
			return netip.PrefixFrom(a, bits), true
		}
	}
	return netip.Prefix{}, false
}

// allowedVLANs reads what follows "switchport trunk allowed vlan". none is an empty
// list that is not nil, since nil means all.
func allowedVLANs(have []models.Range, text string) []models.Range {
	switch text {
	case "none":
		return []models.Range{}
	case "all":
		return nil
	}
	more, added := strings.CutPrefix(text, "add ")
	rs, err := parseVLANs(strings.Split(more, ",")...)
	switch {
	case err != nil:
		return have
	case added:
		return models.MergeRanges(append(slices.Clone(have), rs...))
	default:
		return models.MergeRanges(rs)
	}
}

func (c *config) vlanLine(ids string) []models.Range {
	rs, err := parseVLANs(strings.Split(ids, ",")...)
	if err != nil {
		return nil // "vlan internal allocation policy ascending" and the like
	}
	for _, r := range rs {
		for n := int(r.First); n <= int(r.Last); n++ {
			c.vlans[uint16(n)] = models.VLAN{}
		}
	}
	return rs
}

func (c *config) vlanAttribute(ids []models.Range, line string) {
	name, named := strings.CutPrefix(line, "name ")
	remote := line == "remote-span"
	if !named && !remote {
		return
	}
	for _, r := range ids {
		for n := int(r.First); n <= int(r.Last); n++ {
			v := c.vlans[uint16(n)]
			if named {
				v.Name = name
			} else {
				v.RemoteSPAN = true
			}
			c.vlans[uint16(n)] = v
		}
	}
}
