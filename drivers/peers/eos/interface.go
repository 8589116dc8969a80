package eos

import (
	"maps"
	"slices"
	"strings"
)

// interfaceGrammar has the lines below "interface".
func interfaceGrammar() *grammar {
	g := newGrammar()
	exitCommands(g)
	each := func(pattern string, set func(i *intf, a args)) {
		g.config(pattern, func(x *cli, c *config, a args) string {
			for _, n := range x.modes[len(x.modes)-1].names {
				set(c.edit(n), a)
			}
			return ""
		})
	}
	each("description text=LINE", func(i *intf, a args) { i.description = a.str("text") })
	each("(no|default) description", func(i *intf, _ args) { i.description = "" })
	each("shutdown", func(i *intf, _ args) { i.shutdown = true })
	each("(no|default) shutdown", func(i *intf, _ args) { i.shutdown = false })
	each("switchport", func(i *intf, _ args) { i.routed = false })
	each("default switchport", func(i *intf, _ args) { i.routed = false })
	each("no switchport", func(i *intf, _ args) { i.routed = true })
	each("switchport mode (access|trunk)", func(i *intf, a args) { i.mode = strings.TrimPrefix(a.oneOf("access", "trunk"), "access") })
	each("(no|default) switchport mode", func(i *intf, _ args) { i.mode = "" })
	each("switchport access vlan v=<1-4094>", func(i *intf, a args) { i.access = a.num("v") })
	each("(no|default) switchport access vlan [v=<1-4094>]", func(i *intf, _ args) { i.access = 0 })
	each("switchport trunk native vlan v=<1-4094>", func(i *intf, a args) { i.native = a.num("v") })
	each("switchport trunk native vlan tag", func(i *intf, _ args) { i.native = -1 })
	each("(no|default) switchport trunk native vlan", func(i *intf, _ args) { i.native = 0 })
	each("switchport trunk allowed vlan (all|none|[add|except|remove] ids=VLANS)", allowVLANs)
	each("(no|default) switchport trunk allowed vlan", func(i *intf, _ args) { i.limited, i.allowed = false, nil })
	each("vrf name=WORD", func(i *intf, a args) { i.vrf, i.address = a.str("name"), "" }) // changing the VRF removes the address
	each("(no|default) vrf [name=WORD]", func(i *intf, _ args) { i.vrf, i.address = "", "" })
	each("ip address (dhcp|p=PREFIX)", func(i *intf, a args) {
		i.address = a.str("p")
		if a.has("dhcp") {
			i.address = "dhcp"
		}
	})
	each("(no|default) ip address [p=WORD]", func(i *intf, _ args) { i.address = "" })
	g.config("channel-group n=<1-2000> mode (active|on|passive)", joinGroup)
	each("(no|default) channel-group [n=<1-2000> mode (active|on|passive)]", func(i *intf, _ args) { i.group, i.groupMode = 0, "" })
	for _, p := range keptLines {
		each(p, func(i *intf, a args) { keepLine(i, p, lineOf(p, a)) })
		first := strings.Join(fixedWords(p), " ")
		each("(no|default) "+first+" [rest=LINE]", func(i *intf, a args) {
			gone := strings.TrimSpace(first + " " + a.str("rest"))
			maps.DeleteFunc(i.kept, func(_, line string) bool { return line == gone || strings.HasPrefix(line, gone+" ") })
		})
	}
	return g
}

// fixedWords are the words of a pattern before its first choice or parameter.
func fixedWords(p string) []string {
	var out []string
	for _, w := range strings.Fields(p) {
		if strings.ContainsAny(w, "=([") {
			break
		}
		out = append(out, w)
	}
	return out
}

// keepLine keeps a line; it takes the place of one that differs only in its
// value.
func keepLine(i *intf, pattern, line string) {
	if i.kept == nil {
		i.kept = map[string]string{}
	}
	key := fixedWords(pattern)
	if w := strings.Fields(line); len(key) == 1 && len(w) > 1 && key[0] != "speed" && strings.Contains(pattern, "(") {
		key = w[:2] // "spanning-tree portfast", "lldp transmit"
	}
	i.kept[strings.Join(key, " ")] = line
}

func allowVLANs(i *intf, a args) {
	ids, _ := parseVLANs(a.str("ids"))
	have := i.allowed
	if !i.limited {
		have = allVLANs()
	}
	i.limited = true
	switch a.oneOf("all", "none", "add", "except", "remove") {
	case "all":
		i.limited, i.allowed = false, nil
	case "none":
		i.allowed = nil
	case "add":
		i.allowed = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(have), ids...))))
	case "except":
		i.allowed = without(allVLANs(), ids)
	case "remove":
		i.allowed = without(have, ids)
	default:
		i.allowed = ids
	}
	if len(i.allowed) == 4094 {
		i.limited, i.allowed = false, nil
	}
}

func allVLANs() []int {
	all := make([]int, 4094)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func without(ids, out []int) []int {
	return slices.DeleteFunc(slices.Clone(ids), func(v int) bool { _, found := slices.BinarySearch(out, v); return found })
}

// joinGroup makes the Port-Channel if there is none, as EOS does.
func joinGroup(x *cli, c *config, a args) string {
	for _, n := range x.modes[len(x.modes)-1].names {
		if !strings.HasPrefix(n, "Ethernet") {
			return "% " + errInvalid + "\n"
		}
		i := c.edit(n)
		i.group, i.groupMode = a.num("n"), a.oneOf("active", "on", "passive")
	}
	if name := lagName(a.num("n")); c.intfs[name] == nil {
		c.intfs[name] = &intf{}
	}
	return ""
}

// members of a Port-Channel, sorted.
func (c *config) members(lag string) []string {
	var out []string
	for _, n := range slices.SortedFunc(maps.Keys(c.intfs), compareNames) {
		if g := c.intfs[n].group; g != 0 && lagName(g) == lag {
			out = append(out, n)
		}
	}
	return out
}
