package nxos

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// knownFeatures can be switched on; only lldp means anything here.
const knownFeatures = "{bash-shell,bfd,bgp,dhcp,eigrp,hsrp,interface-vlan,isis,lacp,lldp,netconf,nxapi,ospf,pim,privilege,ptp,restconf,scp-server,sftp-server,ssh,tacacs+,telnet,udld,vn-segment-vlan-based,vpc,vrrp}"

func newGlobalGrammar() *grammar {
	g := leaving(&grammar{})
	g.config("hostname name=WORD", func(_ *cli, c *config, a args) answer {
		if len(a.text["name"]) > 63 {
			return errorf("Hostname is too long") // unverified
		}
		c.hostname = a.text["name"]
		return done
	})
	g.config("no hostname [name=WORD]", func(_ *cli, c *config, _ args) answer { c.hostname = "switch"; return done })
	g.config("version x=LINE", func(*cli, *config, args) answer { return done }) // the head of a configuration that is loaded
	g.config("feature f="+knownFeatures, func(_ *cli, c *config, a args) answer { c.features[a.text["f"]] = true; return done })
	g.config("no feature f="+knownFeatures, func(_ *cli, c *config, a args) answer { delete(c.features, a.text["f"]); return done })
	g.config("vlan ids=VLANS", func(x *cli, c *config, a args) answer {
		for _, v := range a.vlans {
			if _, have := c.vlans[v]; !have && v != 1 {
				c.vlans[v] = ""
			}
		}
		x.enter(mode{kind: modeVLAN, vlans: a.vlans})
		return done
	})
	g.config("no vlan ids=VLANS", func(_ *cli, c *config, a args) answer {
		for _, v := range a.vlans {
			delete(c.vlans, v)
		}
		return done
	})
	g.config("vrf context name=WORD", func(x *cli, c *config, a args) answer {
		if !c.vrfExists(a.text["name"]) {
			c.vrfs[a.text["name"]] = true
		}
		x.enter(mode{kind: modeVRF})
		return done
	})
	g.config("no vrf context name=WORD", func(_ *cli, c *config, a args) answer { delete(c.vrfs, a.text["name"]); return done })
	g.config("interface names=ANYPORT", enterPorts)
	g.config("interface names=PORTS", enterPorts)
	g.config("no interface name=PORT", removePort)
	g.config("default interface name=PORT", func(_ *cli, c *config, a args) answer {
		name := a.ports[0]
		c.ports[name] = &port{routed: !isFront(name) && !isLAG(name)}
		return done
	})
	g.config("ip access-list name=WORD", func(x *cli, c *config, a args) answer {
		if c.acls[a.text["name"]] == nil {
			c.acls[a.text["name"]] = &acl{}
		}
		x.enter(mode{kind: modeACL, acl: a.text["name"]})
		return done
	})
	g.config("no ip access-list name=WORD", func(_ *cli, c *config, a args) answer { delete(c.acls, a.text["name"]); return done })
	monitorLines(g)
	for _, pattern := range keptLines {
		g.config(pattern, func(_ *cli, c *config, a args) answer { c.kept[typed(pattern, a)] = true; return done })
		if !strings.HasPrefix(pattern, "no ") {
			g.config("no "+pattern, func(_ *cli, c *config, a args) answer { delete(c.kept, typed(pattern, a)); return done })
		}
	}
	return g
}

// typed writes a kept line in full words.
func typed(pattern string, a args) string {
	words := strings.Fields(pattern)
	if last := len(words) - 1; strings.Contains(words[last], "=") {
		words[last] = a.text["x"]
	}
	return strings.Join(words, " ")
}

func newVLANGrammar() *grammar {
	g := leaving(&grammar{})
	name := func(x *cli, c *config, a args) answer {
		if len(x.mode().vlans) > 1 {
			return errorf("name cannot be set for a range of VLANs") // unverified
		}
		v := x.mode().vlans[0]
		if _, have := c.vlans[v]; !have && v != 1 {
			return errorf("VLAN %d does not exist", v) // unverified
		}
		c.vlans[v] = a.text["name"]
		return done
	}
	g.config("name name=WORD", name)
	g.config("no name", name)
	g.config("state active", func(*cli, *config, args) answer { return done })
	return g
}

func enterPorts(x *cli, c *config, a args) answer {
	for _, name := range a.ports {
		if c.ports[name] == nil {
			c.ports[name] = &port{routed: !isLAG(name), shutdown: strings.HasPrefix(name, "Vlan")}
		}
	}
	x.enter(mode{kind: modePort, ports: a.ports})
	return done
}

// removePort removes a virtual interface, and a port-channel from its sessions.
func removePort(_ *cli, c *config, a args) answer {
	name := a.ports[0]
	if isFront(name) || name == "mgmt0" {
		return errorf("%s: Invalid range. Physical interfaces cannot be removed", name) // unverified
	}
	for _, m := range c.portNames() {
		if g := c.ports[m].group; g != 0 && lagName(g) == name {
			p := c.editPort(m)
			p.group, p.groupMode = 0, ""
		}
	}
	delete(c.ports, name)
	for n := range c.sessions {
		s := c.edit(n)
		delete(s.sources, name)
		delete(s.destinations, name)
	}
	return done
}

func newPortGrammar() *grammar {
	g := leaving(&grammar{})
	each := func(pattern string, set func(p *port, a args)) {
		g.config(pattern, func(x *cli, c *config, a args) answer {
			for _, n := range x.mode().ports {
				set(c.editPort(n), a)
			}
			return done
		})
	}
	bridged := func(pattern string, set func(p *port, a args)) {
		g.config(pattern, func(x *cli, c *config, a args) answer {
			for _, n := range x.mode().ports {
				if !isFront(n) && !isLAG(n) {
					return errorf("%s: switchport is not a command of this interface", n) // unverified
				}
				set(c.editPort(n), a)
			}
			return done
		})
	}
	each("description text=LINE", func(p *port, a args) { p.description = a.text["text"] })
	each("no description [text=LINE]", func(p *port, _ args) { p.description = "" })
	each("shutdown", func(p *port, _ args) { p.shutdown = true })
	each("no shutdown", func(p *port, _ args) { p.shutdown = false })
	bridged("switchport", func(p *port, _ args) { p.routed, p.address, p.vrf = false, "", "" })
	// What a port has of switching is gone with it (unverified).
	bridged("no switchport", func(p *port, _ args) {
		p.routed, p.trunk, p.access, p.native, p.limited, p.allowed, p.monitor = true, false, 0, 0, false, nil, false
	})
	bridged("switchport mode m={access,trunk}", func(p *port, a args) { p.trunk = a.text["m"] == "trunk" })
	bridged("no switchport mode [m={access,trunk}]", func(p *port, _ args) { p.trunk = false })
	bridged("switchport access vlan v=1-4094", func(p *port, a args) { p.access = a.num("v") })
	bridged("no switchport access vlan [v=1-4094]", func(p *port, _ args) { p.access = 0 })
	bridged("switchport trunk native vlan v=1-4094", func(p *port, a args) { p.native = a.num("v") })
	bridged("no switchport trunk native vlan [v=1-4094]", func(p *port, _ args) { p.native = 0 })
	bridged("switchport trunk allowed vlan how={add,all,except,none,remove} [ids=VLANS]", allow)
	bridged("switchport trunk allowed vlan ids=VLANS", allow)
	bridged("no switchport trunk allowed vlan [ids=VLANS]", func(p *port, _ args) { p.limited, p.allowed = false, nil })
	bridged("switchport monitor", func(p *port, _ args) { p.monitor = true })
	bridged("no switchport monitor", func(p *port, _ args) { p.monitor = false })
	each("mtu n=576-9216", func(p *port, a args) { p.mtu = a.num("n") })
	each("no mtu [n=576-9216]", func(p *port, _ args) { p.mtu = 0 })
	each("speed s={100,1000,10000,25000,40000,50000,100000,auto}", func(p *port, a args) { p.speed = a.text["s"] })
	each("no speed [s=WORD]", func(p *port, _ args) { p.speed = "" })
	g.config("vrf member name=WORD", routedLine(func(p *port, a args) { p.vrf, p.address = a.text["name"], "" }))
	each("no vrf member [name=WORD]", func(p *port, _ args) { p.vrf, p.address = "", "" })
	g.config("ip address p=PREFIX", routedLine(func(p *port, a args) { p.address = a.text["p"] }))
	g.config("ip address p=IP m=IP", func(x *cli, c *config, a args) answer {
		mask := netip.MustParseAddr(a.text["m"]).As4()
		n := binary.BigEndian.Uint32(mask[:])
		if n == 0 || ^n&(^n+1) != 0 {
			return errorf("Invalid mask") // unverified
		}
		return routedLine(func(p *port, a args) {
			p.address = a.text["p"] + "/" + strconv.Itoa(bits.OnesCount32(n))
		})(x, c, a)
	})
	each("no ip address [p=PREFIX]", func(p *port, _ args) { p.address = "" })
	g.config("channel-group n=1-4096", joinGroup)
	g.config("channel-group n=1-4096 mode m={active,on,passive}", joinGroup)
	each("no channel-group [n=1-4096]", func(p *port, _ args) { p.group, p.groupMode = 0, "" })
	for _, pattern := range keptPortLines {
		keep := func(no string) func(*port, args) {
			return func(p *port, a args) {
				if p.kept == nil {
					p.kept = map[string]bool{}
				}
				other := map[string]string{"": "no ", "no ": ""}[no]
				_, was := p.kept[other+typed(pattern, a)]
				delete(p.kept, other+typed(pattern, a))
				p.kept[no+typed(pattern, a)] = true
				if was && no != "" {
					delete(p.kept, no+typed(pattern, a))
				}
			}
		}
		each(pattern, keep(""))
		each("no "+pattern, keep("no "))
	}
	return g
}

// routedLine is a line that a switch port does not have.
func routedLine(set func(p *port, a args)) configFunc {
	return func(x *cli, c *config, a args) answer {
		for _, n := range x.mode().ports {
			p := c.editPort(n)
			if !p.routed {
				return errorf("%s: this is a switch port", n) // unverified
			}
			set(p, a)
		}
		return done
	}
}

func allow(p *port, a args) {
	have := p.allowed
	if !p.limited {
		have = allVLANs()
	}
	isIn := func(v int) bool { _, found := slices.BinarySearch(a.vlans, v); return found }
	p.limited = true
	switch a.text["how"] {
	case "all":
		p.allowed = allVLANs()
	case "none":
		p.allowed = nil
	case "add":
		p.allowed = merged(have, a.vlans)
	case "except":
		p.allowed = slices.DeleteFunc(allVLANs(), isIn)
	case "remove":
		p.allowed = slices.DeleteFunc(slices.Clone(have), isIn)
	default:
		p.allowed = a.vlans
	}
	if len(p.allowed) == maxVLAN {
		p.limited, p.allowed = false, nil
	}
}

func allVLANs() []int {
	all := make([]int, maxVLAN)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func merged(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// joinGroup makes the port-channel if there is none. LACP modes need its feature.
func joinGroup(x *cli, c *config, a args) answer {
	n, how := a.num("n"), a.text["m"]
	if how != "" && how != "on" && !c.features["lacp"] {
		return errorf("channel-group mode %s needs feature lacp", how) // unverified
	}
	for _, name := range x.mode().ports {
		if !isFront(name) || c.sessionOf(name) != 0 || slices.ContainsFunc(slices.Collect(maps.Values(c.sessions)), func(s *session) bool { return s.sources[name] != 0 }) {
			return errorf("%s: the interface cannot be a member of a port-channel", name) // unverified
		}
		p := c.editPort(name)
		p.group, p.groupMode = n, strings.Replace(how, "on", "", 1)
	}
	if c.ports[lagName(n)] == nil {
		first := *c.ports[x.mode().ports[0]]
		c.ports[lagName(n)] = &port{routed: first.routed, trunk: first.trunk, access: first.access, native: first.native, limited: first.limited, allowed: first.allowed}
	}
	return done
}
