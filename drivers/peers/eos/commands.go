package eos

import (
	"crypto/sha512"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// grammars of the configuration modes. Access list modes have rules of their own.
var grammars = map[modeKind]*grammar{
	modeConfig: globalGrammar(), modeInterface: interfaceGrammar(), modeVLAN: vlanGrammar(), modeVRF: newVRFGrammar(), modeAPI: apiGrammar(),
}

// add registers a configuration line.
func (g *grammar) config(pattern string, run configFunc) { g.add(pattern, run) }

func globalGrammar() *grammar {
	g := newGrammar()
	exitCommands(g)
	g.config("hostname name=WORD", func(_ *cli, c *config, a args) string { c.hostname = a.str("name"); return "" })
	g.config("(no|default) hostname", func(_ *cli, c *config, _ args) string { c.hostname = ""; return "" })
	g.config("username name=WORD [privilege p=<0-15>] [role role=WORD] (nopassword|secret secret=LINE)", setUser)
	g.config("username name=WORD privilege p=<0-15>", setUser)
	g.config("no username name=WORD", func(_ *cli, c *config, a args) string { delete(c.users, a.str("name")); return "" })
	for _, l := range globalLines {
		g.config(l.pattern, func(_ *cli, c *config, a args) string { return keepGlobal(c, l.pattern, l.unique, a) })
		if strings.HasSuffix(l.pattern, "ip routing") {
			continue // its opposite is a line of its own
		}
		if p, negative := strings.CutPrefix(l.pattern, "no "); negative {
			g.config(p, func(_ *cli, c *config, _ args) string { delete(c.globals, l.pattern); return "" })
			continue
		}
		g.config("no "+strings.Replace(l.pattern, "x=WORD", "[x=WORD]", 1), func(_ *cli, c *config, a args) string {
			delete(c.globals, unique(l.pattern, l.unique, a))
			return ""
		})
	}
	g.config("vlan ids=VLANS", enterVLANs)
	g.config("no vlan ids=VLANS", func(_ *cli, c *config, a args) string {
		ids, _ := parseVLANs(a.str("ids"))
		for _, v := range ids {
			delete(c.vlans, v)
		}
		return ""
	})
	g.config("vrf instance name=WORD", func(x *cli, c *config, a args) string {
		c.vrfs[a.str("name")] = struct{}{}
		x.push(mode{kind: modeVRF, prompt: "vrf-" + a.str("name")})
		return ""
	})
	g.config("no vrf instance name=WORD", func(_ *cli, c *config, a args) string { delete(c.vrfs, a.str("name")); return "" })
	g.config("interface names=INTFS", enterInterfaces)
	g.config("interface Port-Channel id=<1-2000>", makeInterface("Port-Channel"))
	g.config("interface Vlan id=<1-4094>", makeInterface("Vlan"))
	g.config("interface Loopback id=<0-2000>", makeInterface("Loopback"))
	g.config("interface name=WORD", makeNamed)
	g.config("no interface names=INTFS", removeInterfaces)
	g.config("default interface names=INTFS", func(_ *cli, c *config, a args) string {
		for _, n := range a.list("names") {
			c.intfs[n] = &intf{}
		}
		return ""
	})
	for _, kind := range aclKinds {
		g.config(kind+" access-list name=WORD", enterACL(kind))
		g.config("no "+kind+" access-list name=WORD", func(_ *cli, c *config, a args) string {
			delete(c.acls, aclKey{kind, a.str("name")})
			return ""
		})
	}
	monitorCommands(g)
	for _, name := range []string{"http-commands", "gnmi", "netconf"} {
		g.config("management api "+name, func(x *cli, c *config, _ args) string {
			if c.apis[name] == nil {
				c.apis[name] = []string{}
			}
			x.push(mode{kind: modeAPI, prompt: "mgmt-api-" + strings.Replace(name, "commands", "cmds", 1), api: name})
			return ""
		})
		g.config("no management api "+name, func(_ *cli, c *config, _ args) string { delete(c.apis, name); return "" })
	}
	return g
}

// exitCommands are exit and end, which every configuration mode has.
func exitCommands(g *grammar) {
	g.config("exit", func(x *cli, _ *config, _ args) string {
		if len(x.modes) == 1 {
			x.modes = nil
		} else {
			x.modes = x.modes[:len(x.modes)-1]
		}
		return ""
	})
	g.config("end", func(x *cli, _ *config, _ args) string { x.modes = nil; return "" })
}

// keepGlobal keeps a line that means nothing to this switch.
func keepGlobal(c *config, pattern string, uniqueWords int, a args) string {
	line := lineOf(pattern, a)
	// "ip routing" and "no ip routing" are one switch in two positions.
	other := strings.TrimPrefix(line, "no ")
	delete(c.globals, other)
	delete(c.globals, "no "+other)
	c.globals[unique(pattern, uniqueWords, a)] = line
	return ""
}

// lineOf writes a matched line in full words.
func lineOf(pattern string, a args) string {
	var out []string
	for _, el := range lexPattern(pattern) {
		switch key, _, isParam := strings.Cut(el, "="); {
		case isParam:
			if v := a.str(key); v != "" {
				out = append(out, v)
			}
		case len(el) == 1 && strings.ContainsAny(el, "[]()|"):
		case a.has(strings.ToLower(el)):
			out = append(out, el)
		}
	}
	return strings.Join(out, " ")
}

func unique(pattern string, n int, a args) string {
	w := strings.Fields(lineOf(pattern, a))
	if len(w) > 0 && w[0] == "no" && !strings.HasPrefix(pattern, "no ") {
		w = w[1:]
	}
	return strings.Join(w[:min(n, len(w))], " ")
}

func setUser(_ *cli, c *config, a args) string {
	u := user{privilege: a.str("p"), role: a.str("role"), secret: "nopassword"}
	switch secret := a.str("secret"); {
	case a.has("nopassword"):
	case secret == "" && c.users[a.str("name")].secret != "":
		u.secret = c.users[a.str("name")].secret
	case secret == "":
		return "% " + errIncomplete + "\n"
	default:
		w := strings.Fields(secret)
		if len(w) == 2 && (w[0] == "5" || w[0] == "sha512" || w[0] == "*") {
			u.secret = "secret " + secret
			break
		}
		if len(w) == 2 && w[0] == "0" {
			w = w[1:]
		}
		if len(w) != 1 {
			return "% " + errInvalid + "\n"
		}
		// EOS prints a salted crypt(3) hash. This one is not crypt's, but like it is
		// no password.
		sum := sha512.Sum512([]byte(a.str("name") + "\x00" + w[0]))
		u.secret = "secret sha512 $6$" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	c.users[a.str("name")] = u
	return ""
}

func enterVLANs(x *cli, c *config, a args) string {
	ids, _ := parseVLANs(a.str("ids"))
	for _, v := range ids {
		if _, ok := c.vlans[v]; !ok && v != 1 {
			c.vlans[v] = vlan{}
		}
	}
	x.push(mode{kind: modeVLAN, prompt: "vlan-" + a.str("ids"), vlans: ids})
	return ""
}

func vlanGrammar() *grammar {
	g := newGrammar()
	exitCommands(g)
	name := func(x *cli, c *config, a args) string {
		m := x.modes[len(x.modes)-1]
		for _, v := range m.vlans {
			if v != 1 {
				c.vlans[v] = vlan{name: a.str("name")}
			}
		}
		return ""
	}
	g.config("name name=WORD", name)
	g.config("(no|default) name", name)
	g.config("state active", func(*cli, *config, args) string { return "" })
	return g
}

func newVRFGrammar() *grammar {
	g := newGrammar()
	exitCommands(g)
	return g
}

func apiGrammar() *grammar {
	g := newGrammar()
	exitCommands(g)
	for _, p := range []string{
		"no shutdown", "shutdown", "protocol (http|https|unix-socket) [port x=<1-65535>]", "no protocol (http|https|unix-socket)",
		"transport (grpc|ssh) x=WORD", "vrf x=WORD", "provider eos-native",
	} {
		g.config(p, func(x *cli, c *config, a args) string {
			m := x.modes[len(x.modes)-1]
			line := lineOf(p, a)
			lines := slices.Clone(c.apis[m.api])
			if line == "shutdown" {
				lines = slices.DeleteFunc(lines, func(l string) bool { return l == "no shutdown" }) // the default is not printed
			} else if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
			c.apis[m.api] = lines
			return ""
		})
	}
	return g
}

// enterACL opens a list's mode with a copy that is edited there.
func enterACL(kind string) configFunc {
	prompt := map[string]string{"ip": "acl-", "ipv6": "ipv6-acl-", "mac": "mac-acl-"}[kind]
	return func(x *cli, c *config, a args) string {
		k := aclKey{kind, a.str("name")}
		x.push(mode{kind: modeACL, prompt: prompt + k.name, key: k, list: c.acls[k].clone()})
		return ""
	}
}

// aclLine tries a line as a rule of the list that is being edited. ok false
// means that it belongs elsewhere.
func (x *cli) aclLine(depth int, toks []string, keep func(*parseError)) (out string, ok bool) {
	m := &x.modes[depth-1]
	w := &words{toks: toks}
	refuse := func(at int, why string) (string, bool) {
		at = min(at, len(toks)-1)
		keep(&parseError{kind: why, token: at, word: toks[at]})
		return "", false
	}
	switch strings.ToLower(toks[0]) {
	case "exit":
		return x.leaveTo(depth - 1), true
	case "abort": // gives up the edited list only
		m.list = nil
		return x.leaveTo(depth - 1), true
	}
	if k := w.keyword("counters", "statistics"); k != "" {
		if w.keyword("per-entry") == "" || !w.done() {
			return refuse(1, w.problem())
		}
		m.list.counters = k + " per-entry"
		return "", true
	}
	if w.keyword("no") == "" {
		e, at, why := parseEntry(m.key.kind, toks)
		if why != "" {
			return refuse(at, why)
		}
		m.list.put(e)
		return "", true
	}
	if k := w.keyword("counters", "statistics"); k != "" {
		m.list.counters = ""
		return "", true
	}
	var e entry
	if n, num := number(w.peek()); num && len(toks) == 2 {
		e.seq = n
	} else {
		var at int
		var why string
		if e, at, why = parseEntry(m.key.kind, toks[1:]); why != "" {
			return refuse(at+1, why)
		}
	}
	m.list.drop(e) // removing what is not there changes nothing (unverified)
	return "", true
}

// makeInterface makes a virtual interface that did not exist and enters it.
func makeInterface(kind string) configFunc {
	return func(x *cli, c *config, a args) string {
		return enter(x, c, []string{kind + a.str("id")})
	}
}

// makeNamed is makeInterface for names in one word: "Po1", "vlan10".
func makeNamed(x *cli, c *config, a args) string {
	names, used := parseInterfaces([]string{a.str("name")})
	if used != 1 || len(names) != 1 {
		return "% " + errInvalid + "\n"
	}
	kind, id := splitName(names[0])
	n, ok := number(id)
	limit := map[string]int{"Port-Channel": 2000, "Vlan": 4094, "Loopback": 2000}[kind]
	if !ok || n > limit || limit == 0 || n == 0 && kind != "Loopback" {
		return "% " + errInvalid + "\n"
	}
	return enter(x, c, names)
}

func enterInterfaces(x *cli, c *config, a args) string { return enter(x, c, a.list("names")) }

func enter(x *cli, c *config, names []string) string {
	for _, n := range names {
		if c.intfs[n] == nil {
			c.intfs[n] = &intf{}
		}
	}
	short := formatInterfaces(names)
	kind, rest := splitName(short)
	x.push(mode{kind: modeInterface, prompt: "if-" + shortName(kind+strings.ReplaceAll(rest, ", "+kind, ",")), names: names})
	return ""
}

func removeInterfaces(x *cli, c *config, a args) string {
	for _, n := range a.list("names") {
		kind, id := splitName(n)
		switch kind {
		case "Ethernet", "Management":
			return "% " + errInvalid + "\n" // real ports cannot be removed
		case "Port-Channel":
			group, _ := number(id)
			for _, port := range slices.Collect(maps.Keys(c.intfs)) {
				if c.intfs[port].group == group {
					i := c.edit(port)
					i.group, i.groupMode = 0, ""
				}
			}
		}
		delete(c.intfs, n)
	}
	return ""
}

// unsupported is what EOS says of a feature that the platform lacks
// (scrapli's list of failures).
func (x *cli) unsupported(fs ...Feature) string {
	for _, f := range fs {
		if slices.Contains(x.d.opts.Unsupported, f) {
			return "% Unavailable command (not supported on this hardware platform)\n"
		}
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }
