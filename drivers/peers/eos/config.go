package eos

import (
	"maps"
	"slices"
	"strings"
)

// config is a whole configuration. Values behind its maps are never changed in
// place: a line works on a clone and replaces what it changes, so that clones are
// cheap and a refused line leaves nothing behind.
type config struct {
	hostname string
	users    map[string]user
	globals  map[string]string   // accepted lines without effect here, by the part that is unique; see globalLines
	vlans    map[int]vlan        // VLAN 1 always exists and is not listed
	vrfs     map[string]struct{} //
	intfs    map[string]*intf
	acls     map[aclKey]*acl
	monitors map[string]*monitor
	payload  string              // of "monitor session default encapsulation gre payload"
	apis     map[string][]string // management api blocks by name: their lines
}

type user struct {
	privilege string // "" = not written
	role      string
	secret    string // "nopassword" or "secret ..."
}

type vlan struct{ name string }

func newConfig(ports []string, management string) *config {
	c := &config{
		users: map[string]user{}, globals: map[string]string{}, vlans: map[int]vlan{}, vrfs: map[string]struct{}{},
		intfs: map[string]*intf{}, acls: map[aclKey]*acl{}, monitors: map[string]*monitor{}, apis: map[string][]string{},
	}
	for _, p := range ports {
		c.intfs[p] = &intf{}
	}
	if management != "" {
		c.intfs[management] = &intf{}
	}
	return c
}

func (c *config) clone() *config {
	n := *c
	n.users, n.globals, n.vlans, n.vrfs = maps.Clone(c.users), maps.Clone(c.globals), maps.Clone(c.vlans), maps.Clone(c.vrfs)
	n.intfs, n.acls, n.monitors, n.apis = maps.Clone(c.intfs), maps.Clone(c.acls), maps.Clone(c.monitors), maps.Clone(c.apis)
	return &n
}

// intf is the configuration of one interface. The zero value is what an
// untouched Ethernet port has: an access port of VLAN 1.
type intf struct {
	description string
	shutdown    bool
	routed      bool   // no switchport
	mode        string // "trunk"; "" = access
	access      int    // 0 = 1
	native      int    // 0 = 1; -1 = tagged
	allowed     []int  // nil and limited false = all
	limited     bool   // allowed counts, even when empty
	vrf         string
	address     string // as printed after "ip address "
	group       int    // channel-group number, 0 = none
	groupMode   string
	// kept are accepted lines that change nothing here, by keyword; see keptLines.
	kept map[string]string
}

// edit returns a copy of the interface that belongs to c alone, making it if
// need be.
func (c *config) edit(name string) *intf {
	n := &intf{}
	if old := c.intfs[name]; old != nil {
		*n = *old
		n.allowed = slices.Clone(old.allowed)
		n.kept = maps.Clone(old.kept)
	}
	c.intfs[name] = n
	return n
}

// globalLines are the lines that a switch's startup configuration commonly has
// and that mean nothing to this one: they are kept and printed. The order is the
// place in the running configuration, in part seen in transcripts (no aaa root,
// transceiver, service, hostname, spanning-tree, snmp-server: oxidized's
// recording of a 7050SX3 with 4.29.2F), in part unverified.
var globalLines = []struct {
	pattern string // parameter x is free text
	unique  int    // words that identify the line; a second one with equal ones replaces the first
	late    bool   // printed after the interfaces
}{
	{"no aaa root", 3, false},
	{"aaa authorization exec default local", 3, false},
	{"aaa authentication policy local allow-nopassword-remote-login", 5, false},
	{"transceiver qsfp default-mode x=LINE", 3, false},
	{"service routing protocols model (ribd|multi-agent)", 4, false},
	{"switchport default mode (access|routed)", 3, false},
	{"agent x=LINE", 9, false},
	{"logging x=LINE", 9, false},
	{"lldp x=LINE", 9, false},
	{"ntp server x=LINE", 9, false},
	{"ip name-server x=LINE", 9, false},
	{"dns domain x=WORD", 2, false},
	{"sflow x=LINE", 9, false},
	{"snmp-server x=LINE", 9, false},
	{"spanning-tree mode (mstp|rstp|rapid-pvst|none)", 2, false},
	{"clock timezone x=WORD", 2, false},
	{"ip routing", 2, true},
	{"no ip routing", 3, true},
	{"ip routing vrf x=WORD", 4, true},
	{"ip route x=LINE", 9, true},
	{"ipv6 unicast-routing", 2, true},
	{"ipv6 route x=LINE", 9, true},
	{"ntp x=LINE", 9, true},
}

// keptLines are interface lines that are accepted, kept and printed, and change
// nothing in the packet model.
var keptLines = []string{
	"mtu x=<68-9416>",
	"speed (auto|forced|10g|25g|40g|50g|100g|400g|1g|100full|1000full|10000full) [x=WORD]",
	"flowcontrol (send|receive) (on|off|desired)",
	"load-interval x=<0-600>",
	"logging event link-status",
	"lldp (transmit|receive)",
	"spanning-tree (portfast|bpduguard|bpdufilter|link-type) [x=WORD]",
	"storm-control (broadcast|multicast|all|unknown-unicast) level x=WORD",
	"sflow enable",
	"mac-address x=WORD",
	"ipv6 enable",
	"ipv6 address x=WORD",
	"lacp timer (fast|normal)",
	"ptp enable",
	"error-correction encoding x=WORD",
}

// globalOrder is the place of a kept line.
func globalOrder(line string) (rank int, late bool) {
	words := strings.Fields(line)
	best, bestLen := len(globalLines), 0
	for i, g := range globalLines {
		fixed := 0
		for j, w := range strings.Fields(g.pattern) {
			if strings.ContainsAny(w, "=(") || j >= len(words) || words[j] != w {
				break
			}
			fixed++
		}
		if fixed > bestLen {
			best, bestLen, late = i, fixed, g.late
		}
	}
	return best, late
}

// render prints the configuration's lines, without header and "end".
//
// The order of the blocks is that of transcripts where one shows it (see
// globalLines; interfaces before monitor sessions: the vendor's generator), else
// unverified.
func (c *config) render(keepSources bool) string {
	var b blocks
	for _, name := range slices.Sorted(maps.Keys(c.users)) {
		b.more(c.users[name].line(name))
	}
	b.end()
	c.renderGlobals(&b, false)
	b.one("hostname "+c.hostname, c.hostname != "")
	c.renderVLANs(&b)
	for _, v := range slices.Sorted(maps.Keys(c.vrfs)) {
		b.one("vrf instance "+v, true)
	}
	for _, name := range slices.SortedFunc(maps.Keys(c.intfs), compareNames) {
		b.more("interface " + name)
		b.more(c.intfs[name].lines()...)
		b.end()
	}
	for _, k := range c.aclKeys() {
		b.more(k.header())
		b.more(c.acls[k].lines()...)
		b.end()
	}
	c.renderGlobals(&b, true)
	for _, name := range slices.SortedFunc(maps.Keys(c.monitors), naturalCompare) {
		b.more(c.monitors[name].lines(name, keepSources)...)
	}
	b.end()
	b.one("monitor session default encapsulation gre payload "+c.payload, c.payload != "")
	for _, name := range slices.Sorted(maps.Keys(c.apis)) {
		b.more("management api " + name)
		for _, l := range c.apis[name] {
			b.more("   " + l)
		}
		b.end()
	}
	return b.String()
}

// blocks writes groups of lines with "!" between them.
type blocks struct {
	strings.Builder
	open bool
}

func (b *blocks) more(lines ...string) {
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
		b.open = true
	}
}

func (b *blocks) end() {
	if b.open {
		b.WriteString("!\n")
		b.open = false
	}
}

func (b *blocks) one(line string, when bool) {
	if when {
		b.more(line)
		b.end()
	}
}

func (c *config) renderGlobals(b *blocks, late bool) {
	lines := slices.Sorted(maps.Values(c.globals))
	slices.SortStableFunc(lines, func(x, y string) int {
		xr, _ := globalOrder(x)
		yr, _ := globalOrder(y)
		return xr - yr
	})
	last := -1
	for _, l := range lines {
		rank, isLate := globalOrder(l)
		if isLate != late {
			continue
		}
		if rank != last {
			b.end()
		}
		last = rank
		b.more(l)
	}
	b.end()
}

// renderVLANs prints named VLANs one by one and the others as ranges
// (unverified: whether EOS joins only neighbours).
func (c *config) renderVLANs(b *blocks) {
	ids := slices.Sorted(maps.Keys(c.vlans))
	for i := 0; i < len(ids); {
		if name := c.vlans[ids[i]].name; name != "" {
			b.one("vlan "+formatVLANs(ids[i:i+1])+"\n   name "+name, true)
			i++
			continue
		}
		j := i
		for j < len(ids) && c.vlans[ids[j]].name == "" {
			j++
		}
		b.one("vlan "+formatVLANs(ids[i:j]), true)
		i = j
	}
}

func (u user) line(name string) string {
	s := "username " + name
	if u.privilege != "" {
		s += " privilege " + u.privilege
	}
	if u.role != "" {
		s += " role " + u.role
	}
	return s + " " + u.secret
}

// lines prints an interface's attributes. "switchport access vlan" before
// "switchport mode trunk" is seen on a 7150; "description", "mtu", "no switchport"
// on a 7020SR; the vendor's generator gives most of the rest.
func (i *intf) lines() []string {
	var out []string
	add := func(s string, when bool) {
		if when {
			out = append(out, "   "+s)
		}
	}
	kept := func(words ...string) {
		for _, k := range slices.Sorted(maps.Keys(i.kept)) {
			first, _, _ := strings.Cut(k, " ")
			add(i.kept[k], slices.Contains(words, first))
		}
	}
	add("description "+i.description, i.description != "")
	add("shutdown", i.shutdown)
	kept("load-interval", "mtu", "logging", "flowcontrol", "mac-address", "speed", "error-correction")
	add("switchport access vlan "+formatVLANs([]int{i.access}), i.access > 1)
	add("switchport trunk native vlan "+formatVLANs([]int{max(i.native, 1)}), i.native > 1)
	add("switchport trunk native vlan tag", i.native < 0)
	if i.limited {
		list := formatVLANs(i.allowed)
		if list == "" {
			list = "none"
		}
		add("switchport trunk allowed vlan "+list, true)
	}
	add("switchport mode "+i.mode, i.mode != "")
	add("no switchport", i.routed)
	add("vrf "+i.vrf, i.vrf != "")
	add("ip address "+i.address, i.address != "")
	kept("ipv6")
	add("channel-group "+formatVLANs([]int{i.group})+" mode "+i.groupMode, i.group != 0)
	kept("lacp", "lldp", "no", "ptp", "sflow", "spanning-tree", "storm-control")
	return out
}
