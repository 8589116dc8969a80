package nxos

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

// Dialect says and reads the CLI of NX-OS. The zero value is ready.
type Dialect struct{}

var _ drivers.Dialect = Dialect{}

// What Reads asks, by index.
const (
	readConfig = iota
	readMonitor
	readVersion
	readInterfaces
	readNeighbors
	readMACs
	readCount
)

// mark asks for the name of the host behind a text that has no end of its own:
// NX-OS takes several commands in a line [rb].
const mark = " ; show hostname"

// Reads asks for the whole running configuration and for what runs.
func (Dialect) Reads() []transport.Request {
	return []transport.Request{
		readConfig:     {Text: "show running-config" + mark},
		readMonitor:    {Text: "show monitor session all", Optional: true},
		readVersion:    {Text: "show version", Optional: true},
		readInterfaces: {Text: "show interface brief" + mark, Optional: true},
		readNeighbors:  {Text: "show lldp neighbors", Optional: true}, // there with feature lldp only
		readMACs:       {Text: "show mac address-table" + mark, Optional: true},
	}
}

// Parse reads the replies to Reads. The running configuration tells what sessions,
// ports and VLANs there are, the rest what they do now. Lines of other features are
// skipped; a line of a mirror session that it does not know, a configuration
// without its first line or without the name of the host behind it, and an answer
// that is cut or of another command are errors.
func (Dialect) Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error) {
	if len(replies) != readCount {
		return models.DeviceState{}, fmt.Errorf("%d replies to %d requests", len(replies), readCount)
	}
	if r := replies[readConfig]; r.Err != "" {
		return models.DeviceState{}, fmt.Errorf("%q was refused: %s", r.Request.Text, r.Err)
	}
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}, VLANs: map[uint16]models.VLAN{1: {}}}
	c := config{st: &st, monitor: map[string]string{}, lists: map[string]*accessList{}, sessions: map[int]*draft{}}
	if err := c.read(replies[readConfig].Text); err != nil {
		return models.DeviceState{}, fmt.Errorf("running-config: %w", err)
	}
	if err := c.operation(replies); err != nil {
		return models.DeviceState{}, err
	}
	st.Sessions = c.finish()
	if r := replies[readMonitor]; r.Err == "" {
		if err := states(st.Sessions, c.order, clean(r.Text)); err != nil {
			return models.DeviceState{}, fmt.Errorf("%q: %w", r.Request.Text, err)
		}
	}
	return st, nil
}

// clean takes carriage returns and the blanks at the ends of lines away.
func clean(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t")
	}
	return strings.Join(lines, "\n")
}

// config gathers the parts of a running configuration.
type config struct {
	st        *models.DeviceState
	origin    netip.Addr             // global address of ERSPAN
	switched  bool                   // ports are of a switch unless they say otherwise
	monitor   map[string]string      // ports with "switchport monitor", and the line
	lists     map[string]*accessList // of IPv4
	listOrder []string
	sessions  map[int]*draft
	order     []int
}

// Traits of a device, each with a blank and a word behind it.
const (
	traitOrigin  = "erspan-origin "  // the global address of ERSPAN
	traitMonitor = "monitor-unused " // a port with "switchport monitor" and no session
)

func (c *config) trait(t string) {
	if !slices.Contains(c.st.Facts.Traits, t) {
		c.st.Facts.Traits = append(c.st.Facts.Traits, t)
	}
}

// unmarked takes the answer to mark off the end of text, and checks that it names
// the host: alone or with its domain.
func unmarked(text, host string) (string, error) {
	text = strings.TrimRight(clean(text), "\n")
	at := strings.LastIndexByte(text, '\n') + 1
	name, _, _ := strings.Cut(text[at:], ".")
	short, _, _ := strings.Cut(host, ".")
	if text[at:] != host && name != short {
		return "", fmt.Errorf("the last line is not the name of the host: the text is cut")
	}
	return text[:at], nil
}

// banner is the line that begins free text, with the sign that ends it.
var banner = regexp.MustCompile(`^banner (?:motd|exec) (\S)(.*)$`)

func (c *config) read(text string) error {
	text = clean(text)
	if m := regexp.MustCompile(`(?m)^(?:hostname|switchname) (\S+)$`).FindStringSubmatch(text); m != nil {
		c.st.Facts.Hostname = strings.Trim(m[1], `"`)
	}
	if c.st.Facts.Hostname == "" {
		c.st.Facts.Hostname = "switch" // of a switch without a name
	}
	body, err := unmarked(text, c.st.Facts.Hostname)
	if err != nil {
		return err
	}
	return c.lines(body)
}

// lines reads the lines of a configuration.
func (c *config) lines(text string) error {
	begun := false
	var section func(line string) error // reads the indented lines of a section; nil skips them
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := banner.FindStringSubmatch(line); m != nil {
			for first := line; !strings.Contains(m[2], m[1]); m[2] = lines[i] {
				if i++; i == len(lines) {
					return fmt.Errorf("the text after %q does not end", first)
				}
			}
			section = nil
			continue
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "!") {
			continue
		}
		if line[0] == ' ' {
			if section != nil {
				if err := section(line); err != nil {
					return &drivers.LineError{Line: i + 1, Text: line, Err: err}
				}
			}
			continue
		}
		section = nil
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "version":
			begun = true
			c.st.Facts.Version, _, _ = strings.Cut(rest, " ")
		case "hostname", "switchname":
			begun = true
			c.st.Facts.Hostname = strings.Trim(rest, `"`)
		case "system":
			if rest == "default switchport" {
				c.switched = true
			}
		case "interface":
			if name, ok := longName(rest); ok {
				c.st.Ports[name] = models.Port{Name: name}
				section = func(l string) error { return c.interfaceLine(name, strings.TrimSpace(l)) }
			}
		case "vlan":
			section = c.vlan(rest)
		case "ip":
			if m := listLine.FindStringSubmatch(line); m != nil {
				list := &accessList{name: m[1]}
				c.lists[list.name] = list
				c.listOrder = append(c.listOrder, list.name)
				section = func(l string) error { list.lines = append(list.lines, "  "+strings.TrimSpace(l)); return nil }
			}
		case "monitor":
			w := strings.Fields(rest)
			switch {
			case strings.HasPrefix(rest, "erspan origin ip-address ") && len(w) >= 4:
				a, err := netip.ParseAddr(w[3])
				if err != nil || !a.Is4() {
					return &drivers.LineError{Line: i + 1, Text: line, Err: fmt.Errorf("%q is not an IPv4 address", w[3])}
				}
				c.origin = a
				c.trait(traitOrigin + a.String())
			case len(w) > 1 && w[0] == "session":
				d, err := c.session(w[1:], line)
				if err != nil {
					return &drivers.LineError{Line: i + 1, Text: line, Err: err}
				}
				section = d.line
			}
		}
	}
	if !begun {
		return errors.New("there is neither a version nor a hostname: this is not the configuration of an NX-OS device")
	}
	return nil
}

// vlan reads a list of VLANs; the name of a single one stands below it.
func (c *config) vlan(ids string) func(string) error {
	rs, err := parseVLANs(ids)
	if err != nil {
		return nil // vlan access-map, vlan configuration and others
	}
	each := func(f func(*models.VLAN)) {
		for _, r := range rs {
			for n := int(r.First); n <= int(r.Last); n++ {
				v := c.st.VLANs[uint16(n)]
				f(&v)
				c.st.VLANs[uint16(n)] = v
			}
		}
	}
	each(func(*models.VLAN) {})
	return func(line string) error {
		switch name, named := strings.CutPrefix(strings.TrimSpace(line), "name "); {
		case named:
			each(func(v *models.VLAN) { v.Name = name })
		case strings.TrimSpace(line) == "remote-span": // of Nexus 7000 [n7k]
			each(func(v *models.VLAN) { v.RemoteSPAN = true })
		}
		return nil
	}
}

func (c *config) interfaceLine(name, l string) error {
	p := c.st.Ports[name]
	after := func(prefix string) (string, bool) { return strings.CutPrefix(l, prefix+" ") }
	switch {
	case l == "no switchport":
		p.Mode = models.PortRouted
	case l == "switchport" && p.Mode == "", l == "switchport mode access":
		p.Mode = models.PortAccess
	case l == "switchport mode trunk":
		p.Mode = models.PortTrunk
	case l == "switchport monitor", strings.HasPrefix(l, "switchport monitor "):
		c.monitor[name] = "  " + l
	case l == "shutdown":
		p.AdminDown = true
	case l == "no shutdown":
		p.AdminDown = false
	}
	if v, ok := after("switchport access vlan"); ok {
		if rs, err := parseVLANs(v); err == nil && len(rs) == 1 {
			p.AccessVLAN = rs[0].First
		}
	}
	if v, ok := after("switchport trunk allowed vlan"); ok {
		p.TrunkVLANs = allowed(p.TrunkVLANs, v)
	}
	if v, ok := after("channel-group"); ok {
		p.LAG = lagType + strings.Fields(v)[0]
	}
	if v, ok := after("mtu"); ok {
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			p.MTU = uint32(n)
		}
	}
	for _, prefix := range []string{"ip address", "ipv6 address"} {
		if v, ok := after(prefix); ok {
			if a, err := netip.ParsePrefix(strings.Fields(v)[0]); err == nil {
				p.Mode, p.Addresses = models.PortRouted, append(p.Addresses, a)
			}
		}
	}
	c.st.Ports[name] = p
	return nil
}

// allowed reads what follows "switchport trunk allowed vlan". none is an empty list
// that is not nil, since nil means all.
func allowed(have []models.Range, text string) []models.Range {
	switch text {
	case "none":
		return []models.Range{}
	case "all":
		return nil
	}
	more, added := strings.CutPrefix(text, "add ")
	rs, err := parseVLANs(more)
	switch {
	case err != nil:
		return have
	case added:
		return models.MergeRanges(append(slices.Clone(have), rs...))
	default:
		return models.MergeRanges(rs)
	}
}
