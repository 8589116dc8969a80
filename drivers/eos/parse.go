package eos

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

// Dialect says and reads the CLI of EOS. The zero value is ready.
type Dialect struct{}

var _ drivers.Dialect = Dialect{}

// What Reads asks, by index.
const (
	readConfig = iota
	readSessions
	readStatus
	readNeighbors
	readMACs
	readVersion
	readCount
)

// Reads asks for the whole running configuration and for what runs. The
// configuration is read whole: its last line, "end", is the proof that nothing is
// missing, which a section has not.
func (Dialect) Reads() []transport.Request {
	return []transport.Request{
		readConfig:    {Text: "show running-config"},
		readSessions:  {Text: "show monitor session | json", Optional: true},
		readStatus:    {Text: "show interfaces status | json", Optional: true},
		readNeighbors: {Text: "show lldp neighbors | json", Optional: true},
		readMACs:      {Text: "show mac address-table | json", Optional: true},
		readVersion:   {Text: "show version | json", Optional: true},
	}
}

// Parse reads the replies to Reads. The running configuration tells what sessions,
// ports and VLANs there are, the rest what they do now. Lines of other features are
// skipped; a line of a mirror session that it does not know, a configuration
// without its first or last line and text that is not JSON are errors.
func (Dialect) Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error) {
	if len(replies) != readCount {
		return models.DeviceState{}, fmt.Errorf("%d replies to %d requests", len(replies), readCount)
	}
	if r := replies[readConfig]; r.Err != "" {
		return models.DeviceState{}, fmt.Errorf("%q was refused: %s", r.Request.Text, r.Err)
	}
	st := models.DeviceState{Device: dev, VLANs: map[uint16]models.VLAN{1: {}}, Ports: map[string]models.Port{}}
	c := config{state: &st, acls: map[string]*accessList{}, sessions: map[string]*draft{}}
	if err := c.read(replies[readConfig].Text); err != nil {
		return models.DeviceState{}, fmt.Errorf("running-config: %w", err)
	}
	st.Sessions = c.finish()
	if err := operation(&st, replies); err != nil {
		return models.DeviceState{}, err
	}
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
	state    *models.DeviceState
	acls     map[string]*accessList // by first line
	aclOrder []string
	sessions map[string]*draft
	order    []string

	routed bool // ports are routed unless they say otherwise
	backup bool // of a file: nothing proves that it is whole
}

// deviceLine is the first thing that a running configuration says of its device
// [oxi].
var deviceLine = regexp.MustCompile(`^! device: (\S+) \((.*), EOS-(\S+?)\)$`)

func (c *config) read(text string) error {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	switch at := lastEnd(lines); {
	case c.backup && at >= 0:
		lines = lines[:at+1]
	case c.backup:
		lines = append(lines, "end")
	case len(lines) == 0 || lines[len(lines)-1] != "end":
		return errors.New("the last line is not \"end\": the text is cut")
	}
	begun := c.backup
	var port *models.Port
	var acl *accessList
	var vlans []models.Range
	leave := func() {
		if port != nil {
			c.state.Ports[port.Name] = *port
		}
		port, acl, vlans = nil, nil, nil
	}
	for i := 0; i < len(lines)-1; i++ {
		line := lines[i]
		if m := deviceLine.FindStringSubmatch(line); m != nil && (!begun || c.backup) {
			begun = true
			c.state.Facts.Hostname, c.state.Facts.Model, c.state.Facts.Version = m[1], m[2], m[3]
			continue
		}
		if !begun {
			continue
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "banner" || line != "" && line[0] == ' ' && word == "action" && rest == "bash" {
			// Free text up to a line EOF; it may look like anything.
			for i++; i < len(lines)-1 && strings.TrimSpace(lines[i]) != "EOF"; i++ {
			}
			if i == len(lines)-1 {
				return fmt.Errorf("the text after %q does not end", line)
			}
			continue
		}
		if line != "" && line[0] == ' ' {
			switch {
			case acl != nil:
				acl.lines = append(acl.lines, line)
			case port != nil:
				c.interfaceLine(port, line)
			case vlans != nil:
				c.vlanName(vlans, strings.TrimSpace(line))
			}
			continue
		}
		leave()
		switch word {
		case "hostname":
			c.state.Facts.Hostname = rest
		case "switchport":
			c.routed = c.routed || rest == "default mode routed"
		case "interface":
			if isPort(rest) {
				port = &models.Port{Name: rest, Mode: models.PortAccess, AccessVLAN: 1}
				if c.routed {
					port.Mode, port.AccessVLAN = models.PortRouted, 0
				}
			}
		case "ip", "ipv6", "mac":
			if name, ok := strings.CutPrefix(rest, "access-list "); ok && !strings.Contains(name, " ") {
				acl = &accessList{family: word, head: line}
				c.acls[line] = acl
				c.aclOrder = append(c.aclOrder, line)
			}
		case "vlan":
			vlans = c.vlanLine(rest)
		case "monitor":
			if err := c.monitorLine(line); err != nil {
				return &drivers.LineError{Line: i + 1, Text: line, Err: err}
			}
		}
	}
	leave()
	if !begun {
		return errors.New("there is no line \"! device: NAME (MODEL, EOS-VERSION)\": this is not the configuration of an EOS device")
	}
	return nil
}

func (c *config) interfaceLine(p *models.Port, line string) {
	w := strings.Fields(line)
	text := strings.Join(w, " ")
	after := func(prefix string) (string, bool) { return strings.CutPrefix(text, prefix+" ") }
	switch {
	case text == "shutdown":
		p.AdminDown = true
	case text == "no switchport":
		p.Mode, p.AccessVLAN, p.TrunkVLANs = models.PortRouted, 0, nil
	case text == "switchport":
		if p.Mode == models.PortRouted {
			p.Mode, p.AccessVLAN = models.PortAccess, 1
		}
	case text == "switchport mode access":
		p.Mode = models.PortAccess
	case text == "switchport mode trunk":
		p.Mode, p.AccessVLAN = models.PortTrunk, 0
	}
	if v, ok := after("switchport mode"); ok && v != "access" && v != "trunk" {
		p.Mode, p.AccessVLAN = "", 0
	}
	if v, ok := after("switchport access vlan"); ok && p.Mode == models.PortAccess {
		if rs, ok := parseVLANs(v); ok && len(rs) == 1 {
			p.AccessVLAN = rs[0].First
		}
	}
	if v, ok := after("switchport trunk allowed vlan"); ok {
		p.TrunkVLANs = allowedVLANs(p.TrunkVLANs, v)
	}
	if v, ok := after("channel-group"); ok {
		p.LAG = "Port-Channel" + strings.Fields(v)[0]
	}
	if v, ok := after("mtu"); ok {
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			p.MTU = uint32(n)
		}
	}
	for _, prefix := range []string{"ip address", "ipv6 address"} {
		if v, ok := after(prefix); ok {
			if a, err := netip.ParsePrefix(strings.Fields(v)[0]); err == nil {
				p.Addresses = append(p.Addresses, a)
			}
		}
	}
}

// allowedVLANs reads what follows "switchport trunk allowed vlan". none is an empty
// list that is not nil, since nil means all.
func allowedVLANs(have []models.Range, text string) []models.Range {
	if text == "none" {
		return []models.Range{}
	}
	more, added := strings.CutPrefix(text, "add ")
	rs, ok := parseVLANs(more)
	switch {
	case !ok:
		return have
	case added:
		return models.MergeRanges(append(slices.Clone(have), rs...))
	default:
		return rs
	}
}

// parseVLANs reads "10,20-30".
func parseVLANs(text string) ([]models.Range, bool) {
	var out []models.Range
	for _, item := range strings.Split(text, ",") {
		var r models.Range
		if err := r.UnmarshalText([]byte(item)); err != nil || r.First < 1 || r.Last > 4094 {
			return nil, false
		}
		out = append(out, r)
	}
	return models.MergeRanges(out), true
}

func (c *config) vlanLine(ids string) []models.Range {
	rs, ok := parseVLANs(ids)
	if !ok {
		return nil // "vlan internal order ..." and the like
	}
	for _, r := range rs {
		for n := int(r.First); n <= int(r.Last); n++ {
			c.state.VLANs[uint16(n)] = models.VLAN{}
		}
	}
	return rs
}

func (c *config) vlanName(ids []models.Range, line string) {
	name, ok := strings.CutPrefix(line, "name ")
	if !ok {
		return
	}
	for _, r := range ids {
		for n := int(r.First); n <= int(r.Last); n++ {
			c.state.VLANs[uint16(n)] = models.VLAN{Name: name}
		}
	}
}
