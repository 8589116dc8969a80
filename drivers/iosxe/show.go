package iosxe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// operation adds to c what the show commands say. A command that the device refused
// leaves its part unknown; an answer without its beginning or end is an error.
func (c *config) operation(replies []transport.Reply) error {
	readers := []func(string) error{
		readMonitor: c.monitorState, readVersion: c.version, readVLANs: c.vlanTable, readNeighbors: c.neighbors, readMACs: c.macs,
		readCapability: c.capability,
	}
	for i := readMonitor; i < readCount; i++ {
		r := replies[i]
		if r.Err != "" {
			continue
		}
		if err := readers[i](strings.ReplaceAll(r.Text, "\r", "")); err != nil {
			return fmt.Errorf("%q: %w", r.Request.Text, err)
		}
	}
	return nil
}

// shownSession is a session as "show monitor session" shows it. Fields are by their
// path: "Type", "Source Ports/RX Only". Commands before and after it, and what
// "terminal exec prompt timestamp" adds, are not part of it.
type shownSession struct {
	Number int
	Fields map[string]string
}

var (
	sessionTitle = regexp.MustCompile(`^ *Session (\d+)$`)
	shownField   = regexp.MustCompile(`^( *)([A-Za-z][A-Za-z0-9/ -]*?) *: ?(.*)$`)
	noSessions   = regexp.MustCompile(`^ *No SPAN configuration is present in the system`)
	// groups are the fields under which others stand.
	groups = map[string]bool{"Source Ports": true, "Source Subinterfaces": true, "Source VLANs": true, "Source EFPs": true, "Destination Ports": true}
)

// parseShown reads the text of "show monitor session". Colons may be padded or not,
// the title may have a line below it, and a number may come twice (RSPAN source and
// destination) [gp]. A list that is too long goes on in the next line.
func parseShown(text string) ([]shownSession, error) {
	var out []shownSession
	group, last := "", ""
	none := false
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " ")
		if m := sessionTitle.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, err
			}
			out = append(out, shownSession{Number: n, Fields: map[string]string{}})
			group, last = "", ""
			continue
		}
		if noSessions.MatchString(line) {
			none = true
		}
		if len(out) == 0 || line == "" || strings.Trim(line, "-") == "" {
			continue
		}
		f := out[len(out)-1].Fields
		m := shownField.FindStringSubmatch(line)
		if m == nil {
			if last != "" && strings.HasPrefix(line, "  ") {
				f[last] = strings.TrimSpace(f[last] + " " + strings.TrimSpace(line))
			}
			continue
		}
		key := m[2]
		if m[1] == "" {
			group = ""
			if groups[key] {
				group = key
			}
		} else if group != "" {
			key = group + "/" + key
		}
		f[key] = strings.TrimSpace(m[3])
		last = key
	}
	if len(out) == 0 && !none {
		return nil, fmt.Errorf("there is neither a session nor the text that there is none")
	}
	return out, nil
}

// monitorState tells of sessions whose lines do not say it whether they are shut.
func (c *config) monitorState(text string) error {
	shown, err := parseShown(text)
	if err != nil {
		return err
	}
	for _, s := range shown {
		d := c.sessions[s.Number]
		if d == nil || d.kind == flat || d.shutdown != nil {
			continue
		}
		var off bool
		switch status := s.Fields["Status"]; status {
		case "Admin Enabled":
		case "Admin Disabled":
			off = true
		default:
			return fmt.Errorf("session %d has the status %q; want Admin Enabled or Admin Disabled", s.Number, status)
		}
		d.shutdown = &off
	}
	for _, n := range c.order {
		if d := c.sessions[n]; d.kind != flat && d.shutdown == nil {
			return fmt.Errorf("session %d is not there: the text is cut", n)
		}
	}
	return nil
}

var (
	xeVersion   = regexp.MustCompile(`(?m)^Cisco IOS XE Software, Version (\S+)$`)
	iosVersion  = regexp.MustCompile(`(?m)^Cisco IOS Software.*, Version ([^\s,]+)`)
	modelNumber = regexp.MustCompile(`(?m)^Model [Nn]umber +: (\S+)$`)
	processor   = regexp.MustCompile(`(?m)^cisco (\S+) \(.*processor`)
	serial      = regexp.MustCompile(`(?m)^System [Ss]erial [Nn]umber +: (\S+)$`)
	boardID     = regexp.MustCompile(`(?m)^Processor board ID (\S+)$`)
	register    = regexp.MustCompile(`(?m)^Configuration register is `)
)

func (c *config) version(text string) error {
	text = trimLines(text)
	if !register.MatchString(text) {
		return fmt.Errorf("the line of the configuration register is not there: the text is cut")
	}
	for _, f := range []struct {
		to  *string
		res []*regexp.Regexp
	}{
		{&c.state.Facts.Version, []*regexp.Regexp{xeVersion, iosVersion}},
		{&c.state.Facts.Model, []*regexp.Regexp{modelNumber, processor}},
		{&c.state.Facts.Serial, []*regexp.Regexp{serial, boardID}},
	} {
		for _, re := range f.res {
			if m := re.FindStringSubmatch(text); m != nil {
				*f.to = m[1]
				break
			}
		}
	}
	return nil
}

// trimLines takes the blanks off the ends of lines.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t")
	}
	return strings.Join(lines, "\n")
}

var vlanRow = regexp.MustCompile(`^(\d{1,4}) +(\S+) +(active|suspended|act/lshut|sus/lshut|act/unsup|sus/ishut|act/ishut)\b`)

// vlanTable reads "show vlan": its first table, the list of RSPAN VLANs, and the
// head of its last table, which is the proof that nothing is missing.
func (c *config) vlanTable(text string) error {
	lines := strings.Split(trimLines(text), "\n")
	vlans := map[uint16]models.VLAN{}
	const begin, rows, remote, end = 0, 1, 2, 3
	at := begin
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "VLAN Name "):
			at = rows
		case strings.HasPrefix(line, "VLAN Type "):
			at = begin
		case line == "Remote SPAN VLANs":
			at = remote
		case strings.HasPrefix(line, "Primary Secondary Type "):
			at = end
		case at == rows:
			m := vlanRow.FindStringSubmatch(line)
			if m == nil {
				continue // more ports of the VLAN above
			}
			if n, err := strconv.ParseUint(m[1], 10, 16); err == nil && n >= 1 && n <= 4094 {
				vlans[uint16(n)] = models.VLAN{Name: m[2]}
			}
		case at == remote && line != "" && strings.Trim(line, "-") != "":
			rs, err := parseVLANs(strings.Split(strings.TrimRight(line, ","), ",")...)
			if err != nil {
				return err
			}
			for _, r := range rs {
				for n := int(r.First); n <= int(r.Last); n++ {
					v := vlans[uint16(n)]
					v.RemoteSPAN = true
					vlans[uint16(n)] = v
				}
			}
		}
	}
	if at != end || len(vlans) == 0 {
		return fmt.Errorf("the tables of VLANs are not all there: the text is cut")
	}
	c.state.VLANs = vlans
	return nil
}

var lldpTotal = regexp.MustCompile(`(?m)^Total entries displayed: (\d+)$`)

func (c *config) neighbors(text string) error {
	m := lldpTotal.FindStringSubmatch(trimLines(text))
	if m == nil {
		return fmt.Errorf("the number of entries is not there: the text is cut")
	}
	begun, n := false, 0
	for _, line := range strings.Split(trimLines(text), "\n") {
		switch {
		case strings.HasPrefix(line, "Device ID "):
			begun = true
			continue
		case !begun || line == "" || lldpTotal.MatchString(line):
			continue
		}
		n++
		// The first column is 20 wide and may be full.
		if len(line) < 21 {
			continue
		}
		w := strings.Fields(line[20:])
		if len(w) < 3 {
			continue
		}
		name, ok := longName(w[0])
		if !ok {
			continue
		}
		if p, ok := c.state.Ports[name]; ok {
			p.Neighbors = append(p.Neighbors, strings.TrimSpace(line[:20])+" "+w[len(w)-1])
			c.state.Ports[name] = p
		}
	}
	if m[1] != strconv.Itoa(n) {
		return fmt.Errorf("there are %d of %s entries: the text is cut", n, m[1])
	}
	return nil
}

var (
	macTotal = regexp.MustCompile(`(?m)^Total Mac Addresses for this criterion: (\d+)$`)
	macRow   = regexp.MustCompile(`^ *(\d+|All|N/A) +[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4} +([A-Z]+) +(\S+)`)
)

func (c *config) macs(text string) error {
	text = trimLines(text)
	m := macTotal.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("the number of addresses is not there: the text is cut")
	}
	n := 0
	for _, line := range strings.Split(text, "\n") {
		row := macRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		n++
		name, ok := longName(row[3])
		if !ok || row[2] != "DYNAMIC" {
			continue
		}
		if p, ok := c.state.Ports[name]; ok {
			p.MACs++
			c.state.Ports[name] = p
		}
	}
	if m[1] != strconv.Itoa(n) {
		return fmt.Errorf("there are %d of %s addresses: the text is cut", n, m[1])
	}
	return nil
}

var headerTypes = regexp.MustCompile(`(?m)^ERSPAN Header Type supported: (II|III|II and III)\n[A-Z]`)

// capability reads what the switch says that its ERSPAN sources can: which headers.
// The numbers of sessions in it are those that copy received and sent frames; the
// device keeps them itself.
func (c *config) capability(text string) error {
	text = trimLines(text)
	m := headerTypes.FindStringSubmatch(text)
	if m == nil || !strings.Contains(text, "ERSPAN Source Session Supported: ") {
		return fmt.Errorf("the header types are not there: the text is cut")
	}
	if m[1] == "II" {
		c.trait(TraitTypeII)
	}
	return nil
}
