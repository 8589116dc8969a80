package nxos

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// operation adds to c what the show commands say of the device and its ports. A
// command that the device refused leaves its part unknown; an answer without its
// beginning or end is an error.
func (c *config) operation(replies []transport.Reply) error {
	readers := []func(string) error{
		readVersion: c.version, readInterfaces: c.interfaces, readNeighbors: c.neighbors, readMACs: c.macs,
	}
	for i, read := range readers {
		if r := replies[i]; read != nil && r.Err == "" {
			if err := read(clean(r.Text)); err != nil {
				return fmt.Errorf("%q: %w", r.Request.Text, err)
			}
		}
	}
	c.modes(replies[readInterfaces].Err == "")
	return nil
}

// modes completes what ports are: what is not said follows from the default, which
// is in no configuration of old switches. asked tells that the switch itself said it.
func (c *config) modes(asked bool) {
	for name, p := range c.st.Ports {
		if p.Mode == "" && c.switched && !asked {
			p.Mode = models.PortAccess
		}
		if p.Mode == models.PortAccess {
			p.AccessVLAN = max(p.AccessVLAN, 1)
		} else {
			p.AccessVLAN = 0
		}
		if p.Mode != models.PortTrunk {
			p.TrunkVLANs = nil
		}
		c.st.Ports[name] = p
	}
}

// shownSession is a session as "show monitor session" shows it. Fields are by their
// path: "type", "source intf/rx".
type shownSession struct {
	Number int
	Fields map[string]string
}

var (
	title  = regexp.MustCompile(`^ *session (\d+)$`)
	field  = regexp.MustCompile(`^( *)([A-Za-z][A-Za-z0-9 -]*?) *: ?(.*)$`)
	groups = []string{"source intf", "source VLANs", "source VSANs", "source exception", "simple filter"}
	inner  = []string{"rx", "tx", "both", "src intf all", "trace-route", "eth-type", "frame-type", "dest-ip", "src-ip"}
	// tables follow the fields on Nexus 7000 [gp].
	tables = regexp.MustCompile(`^(Feature +Enabled|Legend:)`)
)

// parseShown reads the text of "show monitor session". A list that is too long goes
// on in the next line, which has no colon (unverified). Lines under a group may have
// lost their indent [gp]: those that only groups have belong to the last one.
func parseShown(text string) ([]shownSession, error) {
	var out []shownSession
	group, last := "", ""
	table := false
	for _, line := range strings.Split(text, "\n") {
		if m := title.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, err
			}
			out = append(out, shownSession{Number: n, Fields: map[string]string{}})
			group, last, table = "", "", false
			continue
		}
		table = table || tables.MatchString(line)
		if len(out) == 0 || table || line == "" || strings.Trim(line, "- ") == "" {
			continue
		}
		f := out[len(out)-1].Fields
		m := field.FindStringSubmatch(line)
		if m == nil {
			if last != "" && strings.HasPrefix(line, "  ") {
				f[last] = strings.TrimSpace(f[last] + " " + strings.TrimSpace(line))
			}
			continue
		}
		key := m[2]
		switch {
		case slices.Contains(groups, key):
			group = key
		case group != "" && (m[1] != "" || slices.Contains(inner, key)):
			key = group + "/" + key
		default:
			group = ""
		}
		f[key] = strings.TrimSpace(m[3])
		last = key
	}
	return out, nil
}

var state = regexp.MustCompile(`^(up|down|error)(?: \((.*)\))?$`)

// states tells of every session of the configuration what "show monitor session
// all" says of it.
func states(sessions []models.Session, configured []int, text string) error {
	shown, err := parseShown(text)
	if err != nil {
		return err
	}
	for i := range sessions {
		s := &sessions[i]
		if !slices.Contains(configured, s.Number) {
			continue // an access list without its session
		}
		at := slices.IndexFunc(shown, func(o shownSession) bool { return o.Number == s.Number })
		if at < 0 {
			return fmt.Errorf("session %d is not there: the text is cut", s.Number)
		}
		m := state.FindStringSubmatch(shown[at].Fields["state"])
		switch {
		case m == nil, m[1] != "up" && m[2] == "":
			return fmt.Errorf("session %d has the state %q; want up, or down (reason)", s.Number, shown[at].Fields["state"])
		case m[1] == "up":
			s.Status = models.Status{State: models.OperUp}
		default:
			s.Status = models.Status{State: models.OperDown, Reason: m[2]}
		}
	}
	return nil
}

var (
	uptime   = regexp.MustCompile(`(?m)^Kernel uptime is `)
	software = regexp.MustCompile(`(?m)^ +(?:NXOS|system): +version (\S+)`)
	chassis  = regexp.MustCompile(`(?m)^ +cisco (Nexus ?\S*)(?: (\S+))? [Cc]hassis`)
	board    = regexp.MustCompile(`(?m)^ +Processor Board ID (\S+)$`)
)

// version reads "show version": "cisco Nexus9000 C93180YC-EX Chassis" and "cisco
// Nexus5548 Chassis (...)". What is read stands before the uptime.
func (c *config) version(text string) error {
	at := uptime.FindStringIndex(text)
	if at == nil || !software.MatchString(text) {
		return errors.New("version or uptime are not there: the text is cut")
	}
	text = text[:at[0]]
	f := &c.st.Facts
	f.Version = software.FindStringSubmatch(text)[1]
	if m := chassis.FindStringSubmatch(text); m != nil {
		if f.Model = m[1]; m[2] != "" {
			f.Model = m[2]
		}
	}
	if m := board.FindStringSubmatch(text); m != nil {
		f.Serial = m[1]
	}
	return nil
}

// briefRow is a port in "show interface brief": name, VLAN, type, mode, status [ntc].
var briefRow = regexp.MustCompile(`^((?:Eth|Po)[0-9/]+) +(\S+) +\S+ +(access|trunk|routed|fabric|pvlan|f-path|vntag|--) +(up|down)\b`)

// interfaces reads what ports are and whether they have a link.
func (c *config) interfaces(text string) error {
	body, err := unmarked(text, c.st.Facts.Hostname)
	if err != nil {
		return err
	}
	if !strings.Contains(body, "Interface") || !strings.Contains(body, "Reason") {
		return errors.New("the table of ports is not there")
	}
	for _, line := range strings.Split(body, "\n") {
		m := briefRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name, ok := longName(m[1])
		p, there := c.st.Ports[name]
		if !ok || !there {
			continue
		}
		switch m[3] {
		case "access":
			p.Mode = models.PortAccess
			if rs, err := parseVLANs(m[2]); err == nil && p.AccessVLAN == 0 {
				p.AccessVLAN = rs[0].First // "monitor" of a destination is none
			}
		case "trunk":
			p.Mode = models.PortTrunk
		case "routed":
			p.Mode = models.PortRouted
		}
		p.Oper = models.OperDown
		if m[4] == "up" {
			p.Oper = models.OperUp
		}
		c.st.Ports[name] = p
	}
	return nil
}

var lldpTotal = regexp.MustCompile(`(?m)^Total entries displayed: (\d+)$`)

func (c *config) neighbors(text string) error {
	m := lldpTotal.FindStringSubmatch(text)
	if m == nil {
		return errors.New("the number of entries is not there: the text is cut")
	}
	begun, n := false, 0
	for _, line := range strings.Split(text, "\n") {
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
		if name, ok := longName(w[0]); ok {
			if p, ok := c.st.Ports[name]; ok {
				p.Neighbors = append(p.Neighbors, strings.TrimSpace(line[:20])+" "+w[len(w)-1])
				c.st.Ports[name] = p
			}
		}
	}
	if m[1] != strconv.Itoa(n) {
		return fmt.Errorf("there are %d of %s entries: the text is cut", n, m[1])
	}
	return nil
}

// macRow is an address that was learned: VLAN, address, type, age, two flags, port.
var macRow = regexp.MustCompile(`^[*+GCO ] +(?:\d+|-) +[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4} +dynamic +\S+ +\S+ +\S+ +(\S+)`)

func (c *config) macs(text string) error {
	body, err := unmarked(text, c.st.Facts.Hostname)
	if err != nil {
		return err
	}
	if !strings.Contains(body, "MAC Address") {
		return errors.New("the head of the table is not there")
	}
	for _, line := range strings.Split(body, "\n") {
		if m := macRow.FindStringSubmatch(line); m != nil {
			if name, ok := longName(m[1]); ok {
				if p, ok := c.st.Ports[name]; ok {
					p.MACs++
					c.st.Ports[name] = p
				}
			}
		}
	}
	return nil
}
