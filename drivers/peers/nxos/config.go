package nxos

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// config is a whole configuration. What its maps hold is never changed in place: a line
// works on a clone and replaces what it changes, so that a refused line leaves nothing.
type config struct {
	hostname string
	features map[string]bool
	kept     map[string]bool // lines without effect here; see keptLines
	vlans    map[int]string  // names, "" = default; VLAN 1 is always there
	vrfs     map[string]bool // beside default and management
	ports    map[string]*port
	acls     map[string]*acl
	origin   netip.Addr // monitor erspan origin ip-address, global
	sessions map[int]*session
}

// port is the configuration of an interface. The zero value is an untouched switch
// port: access VLAN 1, up, as the setup dialog's defaults (L2, noshut) leave it.
type port struct {
	description string
	shutdown    bool
	routed      bool
	trunk       bool
	access      int // 0 = 1
	native      int // 0 = 1
	limited     bool
	allowed     []int
	monitor     bool // switchport monitor
	vrf         string
	address     string // A.B.C.D/len
	mtu         int
	speed       string
	group       int
	groupMode   string // "" = on
	kept        map[string]bool
}

func newConfig(ports []string) *config {
	c := &config{
		features: map[string]bool{}, kept: map[string]bool{}, vlans: map[int]string{}, vrfs: map[string]bool{}, ports: map[string]*port{},
		acls: map[string]*acl{}, sessions: map[int]*session{},
	}
	for _, p := range ports {
		c.ports[p] = &port{}
	}
	c.ports["mgmt0"] = &port{routed: true, vrf: "management"}
	return c
}

func (c *config) clone() *config {
	n := *c
	n.features, n.kept, n.vlans, n.vrfs = maps.Clone(c.features), maps.Clone(c.kept), maps.Clone(c.vlans), maps.Clone(c.vrfs)
	n.ports, n.acls, n.sessions = maps.Clone(c.ports), maps.Clone(c.acls), maps.Clone(c.sessions)
	return &n
}

// editPort returns a copy of an interface that belongs to c alone.
func (c *config) editPort(name string) *port {
	p := *c.ports[name]
	p.kept = maps.Clone(p.kept)
	c.ports[name] = &p
	return &p
}

func (c *config) portNames() []string { return slices.SortedFunc(maps.Keys(c.ports), comparePorts) }

// fullHostname is the name with the domain behind it, as napalm's tests have it.
func (c *config) fullHostname() string {
	for line := range c.kept {
		if domain, ok := strings.CutPrefix(line, "ip domain-name "); ok {
			return c.hostname + "." + domain
		}
	}
	return c.hostname
}

// sessionOf is the session that has a port as its destination, 0 for none.
func (c *config) sessionOf(name string) int {
	for n, s := range c.sessions {
		if s.destinations[name] {
			return n
		}
	}
	return 0
}

// vrfExists: default and management are on every switch.
func (c *config) vrfExists(name string) bool {
	return name == "default" || name == "management" || c.vrfs[name]
}

// keptLines are global lines that configurations commonly have and that mean nothing to
// the packet model: they are kept and printed as typed, by how much the typed words say.
var keptLines = []string{
	"username x=LINE", "ip domain-lookup", "ip domain-name x=WORD", "ip route x=LINE", "snmp-server x=LINE", "ntp x=LINE", "clock x=LINE",
	"boot x=LINE", "logging x=LINE", "copp x=LINE", "spanning-tree x=LINE", "rmon x=LINE", "nxapi x=LINE", "no password strength-check",
	"hardware x=LINE", "system x=LINE", "cli alias x=LINE", "errdisable x=LINE",
}

// keptPortLines are interface lines of the same kind.
var keptPortLines = []string{"spanning-tree x=LINE", "lldp x=LINE", "cdp x=LINE", "load-interval x=LINE", "storm-control x=LINE", "negotiate x=LINE", "duplex x=WORD"}

// render prints the configuration behind the comments of its head. Order: version,
// host name, features, lines of the system, access lists, VLANs, VRFs, interfaces (the
// recordings in oxidized and public configurations); the place of the monitor lines,
// last here, is unverified.
func (c *config) render(version string) string {
	var b strings.Builder
	group := func(lines ...string) {
		if len(lines) > 0 {
			b.WriteString(strings.Join(lines, "\n") + "\n\n")
		}
	}
	group(version, "hostname "+c.hostname)
	features := slices.Sorted(maps.Keys(c.features))
	for i, f := range features {
		features[i] = "feature " + f
	}
	group(features...)
	group(slices.Sorted(maps.Keys(c.kept))...)
	for _, name := range slices.Sorted(maps.Keys(c.acls)) {
		b.WriteString("ip access-list " + name + "\n")
		for _, e := range c.acls[name].entries {
			b.WriteString("  " + e.String() + "\n")
		}
	}
	if len(c.acls) > 0 {
		b.WriteString("\n")
	}
	// One line has all VLANs, then each with a name has a block.
	lines := []string{"vlan " + vlanList(slices.Sorted(maps.Keys(c.withDefaultVLAN())))}
	for _, v := range slices.Sorted(maps.Keys(c.vlans)) {
		if c.vlans[v] != "" {
			lines = append(lines, "vlan "+strconv.Itoa(v), "  name "+c.vlans[v])
		}
	}
	group(lines...)
	lines = nil
	for _, v := range slices.Sorted(maps.Keys(c.vrfs)) {
		lines = append(lines, "vrf context "+v)
	}
	group(append(lines, "vrf context management")...)
	for _, name := range c.portNames() {
		group(append([]string{"interface " + name}, c.ports[name].lines(name)...)...)
	}
	group(c.monitorLines(false)...)
	return b.String()
}

func (c *config) withDefaultVLAN() map[int]string {
	all := maps.Clone(c.vlans)
	if _, ok := all[1]; !ok {
		all[1] = ""
	}
	return all
}

// monitorLines are the sessions and the global origin.
func (c *config) monitorLines(all bool) []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		out = append(out, c.sessions[n].lines(n, all)...)
	}
	if c.origin.IsValid() {
		out = append(out, "monitor erspan origin ip-address "+c.origin.String()+" global")
	}
	return out
}

// lines prints what is below "interface". "no shutdown" stands with routed ports, whose
// default is shut, "shutdown" with ports that are shut (unverified for routed ones).
func (p *port) lines(name string) []string {
	var out []string
	add := func(when bool, text string) {
		if when {
			out = append(out, "  "+text)
		}
	}
	bridged := isFront(name) || isLAG(name)
	add(p.description != "", "description "+p.description)
	add(bridged && p.routed, "no switchport")
	add(p.trunk, "switchport mode trunk")
	add(p.access > 1, "switchport access vlan "+strconv.Itoa(p.access))
	add(p.native > 1, "switchport trunk native vlan "+strconv.Itoa(p.native))
	if p.limited {
		allowed := vlanList(p.allowed)
		if allowed == "" {
			allowed = "none"
		}
		add(true, "switchport trunk allowed vlan "+allowed)
	}
	add(p.monitor, "switchport monitor")
	add(p.speed != "", "speed "+p.speed)
	add(p.mtu != 0, "mtu "+strconv.Itoa(p.mtu))
	for _, k := range slices.Sorted(maps.Keys(p.kept)) {
		add(true, k)
	}
	add(p.vrf != "", "vrf member "+p.vrf)
	add(p.address != "", "ip address "+p.address)
	mode := ""
	if p.groupMode != "" {
		mode = " mode " + p.groupMode
	}
	add(p.group != 0, "channel-group "+strconv.Itoa(p.group)+mode)
	add(p.shutdown, "shutdown")
	add(!p.shutdown && bridged && p.routed, "no shutdown")
	return out
}
