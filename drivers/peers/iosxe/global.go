package iosxe

import (
	"crypto/sha512"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// Grammars of the configuration modes. They are filled by init, because handlers
// lead back to them.
var (
	globalGrammars map[bool]*grammar // by Options.Router
	grammars       map[modeKind]*grammar
	blockGrammars  []*grammar
)

func init() {
	globalGrammars = map[bool]*grammar{false: newGlobalGrammar(false), true: newGlobalGrammar(true)}
	grammars = map[modeKind]*grammar{
		modePort: newPortGrammar(), modeVLAN: newVLANGrammar(), modeArchive: newArchiveGrammar(),
		modeACL: aclGrammar("ip", false), modeStandardACL: aclGrammar("ip", true), modeACL6: aclGrammar("ipv6", false),
		modeSource: newSourceGrammar(), modeSourceTunnel: newTunnelGrammar(true),
		modeDestination: newDestinationGrammar(), modeDestinationTunnel: newTunnelGrammar(false), modeLocal: newLocalGrammar(),
	}
	grammars[modePortRange] = grammars[modePort]
	for _, b := range keptBlocks {
		blockGrammars = append(blockGrammars, newBlockGrammar(b.lines))
	}
}

func (g *grammar) config(pattern string, run configFunc) { g.add(pattern, run) }

// leaveLines are exit and end.
func leaveLines(g *grammar) {
	g.exec("exit", func(x *cli, _ args) answer { x.modes = x.modes[: len(x.modes)-1 : len(x.modes)-1]; return done })
	g.exec("end", func(x *cli, _ args) answer { x.modes = nil; return done })
}

func newGlobalGrammar(router bool) *grammar {
	g := &grammar{}
	leaveLines(g)
	g.config("hostname name=WORD", func(_ *cli, c *config, a args) answer { c.hostname = a.text["name"]; return done })
	g.config("(no|default) hostname [name=WORD]", func(_ *cli, c *config, _ args) answer { c.hostname = ""; return done })
	g.config("lldp run", func(_ *cli, c *config, _ args) answer { c.lldp = true; return done })
	g.config("no lldp run", func(_ *cli, c *config, _ args) answer { c.lldp = false; return done })
	g.config("archive", func(x *cli, _ *config, _ args) answer { x.enter(mode{kind: modeArchive}); return done })
	g.config("no archive", func(_ *cli, c *config, _ args) answer { c.archive = archive{}; return done })
	g.config("vlan ids=VLANSET", enterVLANs)
	g.config("no vlan ids=VLANSET", func(_ *cli, c *config, a args) answer {
		for _, v := range a.vlans["ids"] {
			if reservedVLAN(v) {
				return refusef("Default VLAN %d may not be deleted.", v)
			}
			delete(c.vlans, v)
		}
		return done
	})
	g.config("interface name=ANYPORT", func(x *cli, c *config, a args) answer {
		name := a.ports["name"][0]
		if c.ports[name] == nil {
			c.ports[name] = &port{routed: x.d.opts.Router || !isLAG(name)}
		}
		x.enter(mode{kind: modePort, ports: []string{name}})
		return done
	})
	g.config("interface range names=PORTS", func(x *cli, _ *config, a args) answer {
		x.enter(mode{kind: modePortRange, ports: a.ports["names"]})
		return done
	})
	g.config("no interface name=PORT", removePort)
	g.config("default interface name=PORT", func(x *cli, c *config, a args) answer {
		name := a.ports["name"][0]
		c.ports[name] = &port{routed: x.d.opts.Router || !isFront(name) && !isLAG(name)}
		// As on a switch.
		return say("Interface " + name + " set to default configuration\n")
	})
	for _, l := range []struct {
		kind, pattern string
		mode          modeKind
	}{
		{"ip", "ip access-list extended name=WORD", modeACL}, {"ip", "ip access-list standard name=WORD", modeStandardACL},
		{"ipv6", "ipv6 access-list name=WORD", modeACL6},
	} {
		standard := l.mode == modeStandardACL
		g.config(l.pattern, func(x *cli, c *config, a args) answer {
			k := aclKey{l.kind, a.text["name"]}
			if c.acls[k] == nil {
				c.acls[k] = &acl{standard: standard}
			}
			if c.acls[k].standard != standard {
				// One list has a name. Words as older IOS has them (unverified).
				return refusef("A named %s IP access list with this name already exists", map[bool]string{true: "standard", false: "extended"}[!standard])
			}
			x.enter(mode{kind: l.mode, list: k})
			return done
		})
		g.config("no "+l.pattern, func(_ *cli, c *config, a args) answer {
			delete(c.acls, aclKey{l.kind, a.text["name"]})
			return done
		})
	}
	sessionLines(g, router)
	keepLines(g)
	return g
}

// keepLines accepts what means nothing to this switch.
func keepLines(g *grammar) {
	for form, k := range keptLines {
		keep := func(negative string) configFunc {
			return func(_ *cli, c *config, a args) answer {
				text := lineOf(k.pattern, a)
				words := strings.Fields(text)
				id := strings.Join(words[:min(k.words, len(words))], " ")
				delete(c.kept, "no "+id)
				delete(c.kept, id)
				c.kept[negative+id] = kept{form, hideSecret(negative + text)}
				return done
			}
		}
		g.config(k.pattern, keep(""))
		// Negations of what is on by default stand in configurations too ("no ip http
		// server"): one that removes nothing is kept.
		negate := keep("no ")
		g.config("no "+k.pattern, func(x *cli, c *config, a args) answer {
			words := strings.Fields(lineOf(k.pattern, a))
			id := strings.Join(words[:min(k.words, len(words))], " ")
			if _, was := c.kept[id]; was {
				delete(c.kept, id)
				return done
			}
			return negate(x, c, a)
		})
	}
	for form, b := range keptBlocks {
		g.config(b.pattern, func(x *cli, c *config, a args) answer {
			header := lineOf(b.pattern, a)
			if _, ok := c.blocks[header]; !ok {
				c.blocks[header] = block{form: form}
			}
			x.enter(mode{kind: modeBlock, block: header, form: form})
			return done
		})
		g.config("no "+b.pattern, func(_ *cli, c *config, a args) answer { delete(c.blocks, lineOf(b.pattern, a)); return done })
	}
}

// hideSecret replaces a typed password by what is no password, as "service
// password-encryption" and secrets of type 9 do; the hash is not Cisco's.
func hideSecret(line string) string {
	words := strings.Fields(line)
	i := slices.IndexFunc(words, func(w string) bool { return w == "secret" || w == "password" })
	if i < 0 || i+1 >= len(words) || len(words) > i+2 && words[i+1] != "0" {
		return line
	}
	sum := sha512.Sum512([]byte(line))
	return strings.Join(words[:i+1], " ") + " 9 $9$" + base64.RawStdEncoding.EncodeToString(sum[:32])
}

// lineOf writes a matched line in full words.
func lineOf(pattern string, a args) string {
	var out []string
	for _, el := range patternTokens(pattern) {
		key, _, parameter := strings.Cut(el, "=")
		switch {
		case parameter:
			if v := a.text[key]; v != "" {
				out = append(out, v)
			}
		case strings.Contains("[]()|", el):
		case a.has(strings.ToLower(el)):
			out = append(out, el)
		}
	}
	return strings.Join(out, " ")
}

func newBlockGrammar(patterns []string) *grammar {
	g := &grammar{}
	leaveLines(g)
	for _, p := range patterns {
		edit := func(negative string) configFunc {
			return func(x *cli, c *config, a args) answer {
				b := block{x.mode().form, c.blocks[x.mode().block].lines}
				text := lineOf(p, a)
				first := strings.Join(fixedWords(p), " ")
				b.lines = slices.DeleteFunc(slices.Clone(b.lines), func(l string) bool {
					l = strings.TrimPrefix(l, "no ")
					return l == text || first != "address-family" && first != "transport" && (l == first || strings.HasPrefix(l, first+" "))
				})
				if negative == "" {
					b.lines = append(b.lines, text)
				}
				c.blocks[x.mode().block] = b
				return done
			}
		}
		g.config(p, edit(""))
		g.config("no "+p, edit("no "))
	}
	return g
}

func reservedVLAN(v int) bool { return v == 1 || v >= 1002 && v <= 1005 }

func enterVLANs(x *cli, c *config, a args) answer {
	for _, v := range a.vlans["ids"] {
		if _, ok := c.vlans[v]; !ok && !reservedVLAN(v) {
			c.vlans[v] = vlan{}
		}
	}
	x.enter(mode{kind: modeVLAN, vlans: a.vlans["ids"]})
	return done
}

// newVLANGrammar has the lines below "vlan". Here they are live at once; on a
// switch most take effect when the mode is left.
func newVLANGrammar() *grammar {
	g := &grammar{}
	leaveLines(g)
	each := func(pattern string, set func(v *vlan, a args)) {
		g.config(pattern, func(x *cli, c *config, a args) answer {
			for _, id := range x.mode().vlans {
				if reservedVLAN(id) {
					return refusef("Default VLAN %d may not have its %s changed.", id, "attributes") // unverified
				}
				v := c.vlans[id]
				set(&v, a)
				c.vlans[id] = v
			}
			return done
		})
	}
	each("name name=WORD", func(v *vlan, a args) { v.name = a.text["name"] })
	each("no name [name=WORD]", func(v *vlan, _ args) { v.name = "" })
	each("remote-span", func(v *vlan, _ args) { v.remote = true })
	each("no remote-span", func(v *vlan, _ args) { v.remote = false })
	each("state active", func(*vlan, args) {})
	return g
}

func newArchiveGrammar() *grammar {
	g := &grammar{}
	leaveLines(g)
	set := func(pattern string, f func(v *archive, a args)) {
		g.config(pattern, func(_ *cli, c *config, a args) answer { f(&c.archive, a); return done })
	}
	set("path p=WORD", func(v *archive, a args) { v.path = a.text["p"] })
	set("no path [p=WORD]", func(v *archive, _ args) { v.path = "" })
	set("maximum n=<1-14>", func(v *archive, a args) { v.maximum = a.num("n") })
	set("no maximum [n=<1-14>]", func(v *archive, _ args) { v.maximum = 0 })
	set("time-period n=<1-525600>", func(v *archive, a args) { v.period = a.num("n") })
	set("no time-period [n=<1-525600>]", func(v *archive, _ args) { v.period = 0 })
	set("write-memory", func(v *archive, _ args) { v.writeMemory = true })
	set("no write-memory", func(v *archive, _ args) { v.writeMemory = false })
	return g
}

// removePort removes a virtual interface; front ports stay.
func removePort(_ *cli, c *config, a args) answer {
	name := a.ports["name"][0]
	if isFront(name) {
		return refusef("Removal of physical interfaces is not permitted.")
	}
	for _, m := range c.members(name) {
		p := c.editPort(m)
		p.group, p.groupMode = 0, ""
	}
	delete(c.ports, name)
	for n, s := range c.sessions {
		if _, watched := s.sources[name]; watched {
			delete(c.editSession(n).sources, name)
		}
	}
	return done
}

func newPortGrammar() *grammar {
	g := &grammar{}
	leaveLines(g)
	each := func(pattern string, set func(p *port, a args)) {
		g.config(pattern, func(x *cli, c *config, a args) answer {
			for _, n := range x.mode().ports {
				set(c.editPort(n), a)
			}
			return done
		})
	}
	each("description text=LINE", func(p *port, a args) { p.description = a.text["text"] })
	each("no description [text=LINE]", func(p *port, _ args) { p.description = "" })
	each("shutdown", func(p *port, _ args) { p.shutdown = true })
	each("no shutdown", func(p *port, _ args) { p.shutdown = false })
	g.config("switchport", bridge(false))
	g.config("no switchport", bridge(true))
	each("switchport mode (access|trunk)", func(p *port, a args) { p.mode = a.oneOf("access", "trunk") })
	each("switchport mode dynamic (auto|desirable)", func(p *port, _ args) { p.mode = "" })
	each("no switchport mode [(access|trunk)]", func(p *port, _ args) { p.mode = "" })
	g.config("switchport access vlan v=<1-4094>", func(x *cli, c *config, a args) answer {
		for _, n := range x.mode().ports {
			c.editPort(n).access = a.num("v")
		}
		if v := a.num("v"); !c.vlanExists(v) {
			c.vlans[v] = vlan{}
			return say("% Access VLAN does not exist. Creating vlan " + strconv.Itoa(v) + "\n") // as IOS does
		}
		return done
	})
	each("no switchport access vlan [v=<1-4094>]", func(p *port, _ args) { p.access = 0 })
	each("switchport trunk native vlan v=<1-4094>", func(p *port, a args) { p.native = a.num("v") })
	each("no switchport trunk native vlan [v=<1-4094>]", func(p *port, _ args) { p.native = 0 })
	each("switchport trunk allowed vlan (all|none|[(add|except|remove)] ids=VLANSET)", allowVLANs)
	each("no switchport trunk allowed vlan [ids=VLANSET]", func(p *port, _ args) { p.limited, p.allowed = false, nil })
	each("vrf forwarding name=WORD", func(p *port, a args) { p.vrf, p.address = a.text["name"], "" })
	each("no vrf forwarding [name=WORD]", func(p *port, _ args) { p.vrf, p.address = "", "" })
	g.config("ip address (dhcp|p=IP m=IP)", func(x *cli, c *config, a args) answer {
		for _, n := range x.mode().ports {
			p := c.editPort(n)
			if !p.routed {
				return unknown // a switch port has no such line
			}
			p.address = strings.TrimSpace(a.text["p"] + " " + a.text["m"])
			if a.has("dhcp") {
				p.address = "dhcp"
			}
		}
		return done
	})
	each("no ip address [p=IP m=IP]", func(p *port, _ args) { p.address = "" })
	g.config("channel-group n=<1-"+strconv.Itoa(maxGroup)+"> mode (active|on|passive|auto|desirable)", joinGroup)
	each("no channel-group [n=<1-128>]", func(p *port, _ args) { p.group, p.groupMode = 0, "" })
	for _, pattern := range keptPortLines {
		for _, negative := range []string{"", "no "} {
			each(negative+pattern, func(p *port, a args) { keepPortLine(p, pattern, negative, lineOf(pattern, a)) })
		}
		if first := strings.Join(fixedWords(pattern), " "); first != pattern && first != "spanning-tree" {
			each("no "+first, func(p *port, _ args) { delete(p.kept, first) })
		}
	}
	return g
}

// keepPortLine keeps a line. Its negation removes it; one that removes nothing is
// kept, since it is written where the line is the default.
func keepPortLine(p *port, pattern, negative, line string) {
	if p.kept == nil {
		p.kept = map[string]string{}
	}
	id := strings.Join(fixedWords(pattern), " ")
	if words := strings.Fields(line); strings.Contains(pattern, "LINE") && len(words) > 1 {
		id = words[0] + " " + words[1] // "spanning-tree portfast"
	}
	_, was := p.kept[id]
	delete(p.kept, id)
	if negative == "" || !was {
		p.kept[id] = negative + line
	}
}

func bridge(routed bool) configFunc {
	return func(x *cli, c *config, _ args) answer {
		for _, n := range x.mode().ports {
			if x.d.opts.Router || !isFront(n) && !isLAG(n) {
				return unknown
			}
			p := c.editPort(n)
			if p.routed != routed {
				p.address, p.vrf = "", ""
			}
			p.routed = routed
		}
		return done
	}
}

func allowVLANs(p *port, a args) {
	ids := a.vlans["ids"]
	have := p.allowed
	if !p.limited {
		have = allVLANs()
	}
	isIn := func(v int) bool { _, found := slices.BinarySearch(ids, v); return found }
	p.limited = true
	switch a.oneOf("all", "none", "add", "except", "remove") {
	case "all":
		p.allowed = allVLANs()
	case "none":
		p.allowed = nil
	case "add":
		p.allowed = slices.Concat(have, ids)
		slices.Sort(p.allowed)
		p.allowed = slices.Compact(p.allowed)
	case "except":
		p.allowed = slices.DeleteFunc(allVLANs(), isIn)
	case "remove":
		p.allowed = slices.DeleteFunc(slices.Clone(have), isIn)
	default:
		p.allowed = ids
	}
	if len(p.allowed) == 4094 {
		p.limited, p.allowed = false, nil
	}
}

func allVLANs() []int {
	all := make([]int, 4094)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// joinGroup makes the Port-channel if there is none, and says so as IOS does.
func joinGroup(x *cli, c *config, a args) answer {
	n := a.num("n")
	for _, name := range x.mode().ports {
		if !isFront(name) {
			return unknown
		}
		p := c.editPort(name)
		p.group, p.groupMode = n, a.oneOf("active", "on", "passive", "auto", "desirable")
	}
	if c.ports[lagName(n)] != nil {
		return done
	}
	c.ports[lagName(n)] = &port{routed: c.ports[x.mode().ports[0]].routed}
	return say("Creating a port-channel interface " + strings.Replace(lagName(n), "channel", "channel ", 1) + "\n")
}
