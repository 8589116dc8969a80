package iosxe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// config is a whole configuration. What its maps hold is never changed in place:
// a line works on a clone and replaces what it changes, so that a refused line
// leaves nothing behind.
type config struct {
	router       bool // Options.Router
	hideShutdown bool // Options.HideShutdown
	hostname     string
	lldp         bool
	archive      archive
	kept         map[string]kept  // accepted lines without effect here, by what identifies them; see keptLines
	blocks       map[string]block // modes of such lines by their header; see keptBlocks
	vlans        map[int]vlan     // VLAN 1 and 1002 to 1005 exist always and are not listed
	ports        map[string]*port
	acls         map[aclKey]*acl
	sessions     map[int]*session
}

// kept is a line of the form keptLines[form].
type kept struct {
	form int
	text string
}

// block is a mode of the form keptBlocks[form].
type block struct {
	form  int
	lines []string
}

type vlan struct {
	name   string
	remote bool // remote-span
}

// archive is the "archive" block. Rolling back needs a path.
type archive struct {
	path        string
	maximum     int // 0 = not written
	period      int // time-period, 0 = not written
	writeMemory bool
}

// port is the configuration of an interface. The zero value is an untouched
// switch port: an access port of VLAN 1.
type port struct {
	description string
	shutdown    bool
	routed      bool   // no switchport
	mode        string // access or trunk; "" = dynamic, which is access here
	access      int    // 0 = 1
	native      int    // 0 = 1
	limited     bool   // allowed counts, also when it is empty
	allowed     []int
	vrf         string
	address     string // "10.0.0.1 255.255.255.0", "dhcp"
	group       int    // channel-group, 0 = none
	groupMode   string
	kept        map[string]string
}

func newConfig(ports []string, router bool) *config {
	c := &config{
		router: router, kept: map[string]kept{}, blocks: map[string]block{}, vlans: map[int]vlan{}, ports: map[string]*port{},
		acls: map[aclKey]*acl{}, sessions: map[int]*session{},
	}
	for _, p := range ports {
		c.ports[p] = &port{routed: router}
	}
	return c
}

func (c *config) clone() *config {
	n := *c
	n.kept, n.blocks, n.vlans, n.ports = maps.Clone(c.kept), maps.Clone(c.blocks), maps.Clone(c.vlans), maps.Clone(c.ports)
	n.acls, n.sessions = maps.Clone(c.acls), maps.Clone(c.sessions)
	return &n
}

// editPort returns a copy of an interface that belongs to c alone.
func (c *config) editPort(name string) *port {
	p := *c.ports[name]
	p.allowed = slices.Clone(p.allowed)
	p.kept = maps.Clone(p.kept)
	c.ports[name] = &p
	return &p
}

func (c *config) vlanExists(v int) bool {
	_, ok := c.vlans[v]
	return ok || v == 1
}

// members of a Port-channel, in order.
func (c *config) members(lag string) []string {
	var out []string
	for _, n := range slices.SortedFunc(maps.Keys(c.ports), comparePorts) {
		if g := c.ports[n].group; g != 0 && lagName(g) == lag {
			out = append(out, n)
		}
	}
	return out
}

func lagName(group int) string { return "Port-channel" + strconv.Itoa(group) }

// place is where a kept line stands in the running configuration.
type place int

const (
	placeService place = iota + 1 // before the host name
	placeEarly                    // between host name and VLANs
	placeLate                     // behind the interfaces
	placeTail                     // behind the access lists
)

// keptLines are global lines that configurations of labs and of real switches
// commonly have and that mean nothing to the packet model: they are kept and
// printed. "words" is how many of the line's words identify it; the second line
// with the same ones takes the place of the first. Places follow the recordings of
// a C9200L (17.9.4a) and an ASR920 (16.8.1b).
var keptLines = []struct {
	pattern string
	words   int
	place   place
}{
	{"version x=WORD", 1, placeService},
	{"service x=LINE", 2, placeService},
	{"platform x=LINE", 9, placeService},
	{"boot x=LINE", 9, placeEarly},
	{"logging x=LINE", 9, placeEarly},
	{"aaa x=LINE", 9, placeEarly},
	{"clock x=LINE", 2, placeEarly},
	{"switch n=<1-16> provision x=WORD", 3, placeEarly},
	{"ip routing", 2, placeEarly},
	{"ip name-server x=LINE", 9, placeEarly},
	{"ip domain x=LINE", 2, placeEarly},
	{"ip domain-name x=WORD", 2, placeEarly},
	{"ip multicast-routing", 2, placeEarly},
	{"ipv6 unicast-routing", 2, placeEarly},
	{"login x=LINE", 9, placeEarly},
	{"vtp x=LINE", 2, placeEarly},
	{"license x=LINE", 9, placeEarly},
	{"memory x=LINE", 9, placeEarly},
	{"diagnostic x=LINE", 9, placeEarly},
	{"spanning-tree x=LINE", 2, placeEarly},
	{"errdisable x=LINE", 9, placeEarly},
	{"enable (secret|password) x=LINE", 2, placeEarly},
	{"username x=LINE", 2, placeEarly},
	{"redundancy", 1, placeEarly},
	{"cdp run", 2, placeEarly},
	{"netconf-yang", 1, placeTail},
	{"ip forward-protocol x=LINE", 9, placeLate},
	{"ip default-gateway x=IP", 2, placeLate},
	{"ip http x=LINE", 2, placeLate},
	{"ip tftp x=LINE", 2, placeLate},
	{"ip ftp x=LINE", 2, placeLate},
	{"ip ssh x=LINE", 3, placeLate},
	{"ip route x=LINE", 9, placeLate},
	{"snmp-server x=LINE", 9, placeTail},
	{"ntp x=LINE", 9, placeTail},
}

// keptPortLines are interface lines of the same kind, in the order in which they
// are printed.
var keptPortLines = []string{
	"switchport nonegotiate",
	"switchport voice vlan x=<1-4094>",
	"load-interval x=<30-600>",
	"mtu x=<64-9216>",
	"speed (auto|10|100|1000|2500|5000|10000|nonegotiate)",
	"duplex (auto|full|half)",
	"negotiation auto",
	"bandwidth x=<1-100000000>",
	"keepalive x=<0-32767>",
	"snmp trap link-status",
	"lldp (transmit|receive)",
	"cdp enable",
	"ipv6 address x=LINE",
	"ipv6 enable",
	"storm-control x=LINE",
	"spanning-tree x=LINE",
}

// keptBlocks are modes whose lines are kept as they are typed.
var keptBlocks = []struct {
	pattern, prompt string
	place           place
	lines           []string
}{
	{"vrf definition x=WORD", "config-vrf", placeEarly, []string{
		"rd x=WORD", "description x=LINE", "address-family (ipv4|ipv6)", "exit-address-family"}},
	{"line (con|console) x=<0-0>", "config-line", placeTail, lineLines},
	{"line aux x=<0-0>", "config-line", placeTail, lineLines},
	{"line vty x=<0-97> [y=<1-97>]", "config-line", placeTail, lineLines},
}

var lineLines = []string{
	"exec-timeout x=<0-35791> [y=<0-2147483>]", "logging synchronous", "login [local]", "length x=<0-512>", "width x=<0-512>",
	"password x=LINE", "privilege level x=<0-15>", "stopbits x=<1-2>", "transport (input|output|preferred) x=LINE",
}

// groups writes groups of lines with "!" behind each.
type groups struct {
	strings.Builder
	open bool
}

func (g *groups) add(lines ...string) {
	for _, l := range lines {
		g.WriteString(l + "\n")
		g.open = true
	}
}

func (g *groups) end() {
	if g.open {
		g.WriteString("!\n")
		g.open = false
	}
}

// render prints the configuration from behind its header to "end". The order of
// the parts is that of the recordings of a C9200L (17.9.4a) and an ASR920 (16.8.1b):
// services, host name, VRFs, global lines, archive, VLANs, interfaces, ip lines,
// access lists, lines. Unverified: the place of monitor sessions, last here.
func (c *config) render(version string) string {
	var g groups
	if _, own := c.kept["version"]; !own {
		g.add("version " + majorMinor(version))
	}
	c.renderKept(&g, placeService)
	g.end()
	if c.hostname != "" {
		g.add("hostname " + c.hostname)
		g.end()
	}
	c.renderKept(&g, placeEarly)
	g.end()
	g.add(c.archive.lines()...)
	g.end()
	for _, v := range slices.Sorted(maps.Keys(c.vlans)) {
		g.add(c.vlans[v].lines(v)...)
		g.end()
	}
	if c.lldp {
		g.add("lldp run")
		g.end()
	}
	for _, name := range slices.SortedFunc(maps.Keys(c.ports), comparePorts) {
		g.add("interface " + name)
		g.add(c.ports[name].lines(name, c.router)...)
		g.end()
	}
	c.renderKept(&g, placeLate)
	g.end()
	for _, k := range c.aclKeys() {
		g.add(c.acls[k].header(k))
		g.add(c.acls[k].lines()...)
		g.end()
	}
	c.renderKept(&g, placeTail)
	g.end()
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		g.add(c.sessions[n].lines(n, c.hideShutdown)...)
	}
	g.end()
	return g.String() + "end\n"
}

// majorMinor is what the "version" line has of "17.09.04a": "17.9".
func majorMinor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	minor := strings.TrimLeft(parts[1], "0")
	if minor == "" {
		minor = "0"
	}
	return parts[0] + "." + minor
}

func (c *config) renderKept(g *groups, at place) {
	for _, header := range slices.Sorted(maps.Keys(c.blocks)) {
		b := c.blocks[header]
		if keptBlocks[b.form].place != at {
			continue
		}
		g.add(header)
		for _, l := range b.lines {
			g.add(" " + l)
		}
		g.end()
	}
	for form := range keptLines {
		for _, id := range slices.Sorted(maps.Keys(c.kept)) {
			if k := c.kept[id]; k.form == form && keptLines[form].place == at {
				g.add(k.text)
			}
		}
	}
}

// fixedWords are the words of a pattern before its first choice or parameter.
func fixedWords(pattern string) []string {
	var out []string
	for _, w := range strings.Fields(pattern) {
		if strings.ContainsAny(w, "=([") {
			break
		}
		out = append(out, w)
	}
	return out
}

func (a archive) lines() []string {
	if a == (archive{}) {
		return nil
	}
	out := []string{"archive"}
	if a.path != "" {
		out = append(out, " path "+a.path)
	}
	if a.maximum != 0 {
		out = append(out, " maximum "+strconv.Itoa(a.maximum))
	}
	if a.writeMemory {
		out = append(out, " write-memory")
	}
	if a.period != 0 {
		out = append(out, " time-period "+strconv.Itoa(a.period))
	}
	return out
}

func (v vlan) lines(id int) []string {
	out := []string{"vlan " + strconv.Itoa(id)}
	if v.name != "" {
		out = append(out, " name "+v.name)
	}
	if v.remote {
		out = append(out, " remote-span")
	}
	return out
}

// lines prints what is below "interface". The order of "description", "switchport
// access vlan", "switchport mode" and of the trunk lines is that of the C9200L's
// recording, "description", "ip address", "shutdown" that of the ASR920's; the rest
// is unverified.
func (p *port) lines(name string, router bool) []string {
	var out []string
	add := func(when bool, words ...string) {
		if when {
			out = append(out, " "+strings.Join(words, " "))
		}
	}
	bridged := !p.routed && (isFront(name) || isLAG(name))
	add(p.description != "", "description", p.description)
	add(p.routed && !router && (isFront(name) || isLAG(name)), "no switchport")
	add(bridged && p.access > 1, "switchport access vlan", strconv.Itoa(p.access))
	add(bridged && p.native > 1, "switchport trunk native vlan", strconv.Itoa(p.native))
	if bridged && p.limited {
		list := vlanSet(p.allowed)
		if list == "" {
			list = "none"
		}
		add(true, "switchport trunk allowed vlan", list)
	}
	add(bridged && p.mode != "", "switchport mode", p.mode)
	add(p.vrf != "", "vrf forwarding", p.vrf)
	switch {
	case bridged:
	case p.address == "":
		add(true, "no ip address")
	default:
		add(true, "ip address", p.address)
	}
	add(p.shutdown, "shutdown")
	for _, pattern := range keptPortLines {
		first := strings.Join(fixedWords(pattern), " ")
		for _, id := range slices.Sorted(maps.Keys(p.kept)) {
			if id == first || strings.HasPrefix(id, first+" ") && first != "switchport" {
				add(true, p.kept[id])
			}
		}
	}
	add(p.group != 0, "channel-group", strconv.Itoa(p.group), "mode", p.groupMode)
	return out
}
