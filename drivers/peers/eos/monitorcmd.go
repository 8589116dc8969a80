package eos

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// monitorCommands adds "monitor session" in all its forms: those that the
// vendor's generator writes, and their "no" forms per attribute and for the whole
// session (the latter seen in public configurations, the former unverified).
func monitorCommands(g *grammar) {
	const (
		p     = "monitor session name=WORD "
		group = "(ip|ipv6|mac) access-group acl=WORD"
	)
	set := func(pattern string, run func(x *cli, c *config, m *monitor, a args) string) {
		g.config(p+pattern, func(x *cli, c *config, a args) string { return run(x, c, c.editMonitor(a.str("name")), a) })
	}
	// A session whose last attribute goes is gone.
	unset := func(pattern string, run func(m *monitor, a args)) {
		g.config("(no|default) "+p+pattern, func(_ *cli, c *config, a args) string {
			name := a.str("name")
			if c.monitors[name] == nil {
				return "" // unverified: that removing what is not there is silent
			}
			m := c.editMonitor(name)
			run(m, a)
			if m.empty() {
				delete(c.monitors, name)
			}
			return ""
		})
	}
	set("source names=ETHS [rx|tx|both] ["+group+" [priority prio=<0-65535>]]", addSource)
	set(group, func(x *cli, _ *config, m *monitor, a args) string {
		m.group = groupOf(a)
		return x.unsupported(groupFeatures(m.group)...)
	})
	set("destination names=ETHS", addPortDestination)
	set("destination Cpu", func(x *cli, _ *config, m *monitor, _ args) string {
		return addDestination(x, m, destination{kind: "Cpu", tunnel: noTunnel}, FeatureCPUDestination)
	})
	set("destination tunnel mode gre source src=IP destination dst=IP [rest=LINE]", addTunnel)
	set("truncate [size n=<1-65535>]", func(x *cli, _ *config, m *monitor, a args) string {
		m.truncate, m.size = true, a.num("n")
		fs := []Feature{FeatureTruncate}
		if m.size != 0 {
			fs = append(fs, FeatureTruncateSize)
		}
		return x.unsupported(fs...)
	})
	set("sample n=<1-4294967295>", func(x *cli, _ *config, m *monitor, a args) string {
		m.sample = a.num("n")
		return x.unsupported(FeatureSample)
	})
	set("rate-limit (per-ingress-chip|per-egress-chip) n=<1-4294967295> (bps|kbps|mbps)", func(x *cli, _ *config, m *monitor, a args) string {
		if m.rates == nil {
			m.rates = map[string]string{}
		}
		m.rates[a.oneOf("per-ingress-chip", "per-egress-chip")] = a.str("n") + " " + a.oneOf("bps", "kbps", "mbps")
		return x.unsupported(FeatureRateLimit)
	})
	set("header remove size n=<1-65535>", func(x *cli, _ *config, m *monitor, a args) string {
		m.strip = a.num("n")
		return x.unsupported(FeatureHeaderRemove)
	})
	set("encapsulation gre metadata tx", func(x *cli, _ *config, m *monitor, _ args) string {
		m.metadata = true
		return x.unsupported(FeatureGREMetadata)
	})

	unset("source names=ETHS [rx|tx|both] ["+group+" [priority prio=<0-65535>]]", func(m *monitor, a args) { m.removeSources(a.list("names")) })
	unset("(ip|ipv6|mac) access-group [acl=WORD]", func(m *monitor, _ args) { m.group = groupNone })
	unset("destination [names=ETHS]", func(m *monitor, a args) {
		m.destinations = slices.DeleteFunc(m.destinations, func(d destination) bool {
			return !a.given("names") || slices.Contains(a.list("names"), d.name)
		})
	})
	unset("destination Cpu", func(m *monitor, _ args) { m.dropKind("Cpu") })
	unset("destination tunnel mode gre [rest=LINE]", func(m *monitor, _ args) { m.dropKind("tunnel") })
	unset("truncate [size n=<1-65535>]", func(m *monitor, _ args) { m.truncate, m.size = false, 0 })
	unset("sample [n=<1-4294967295>]", func(m *monitor, _ args) { m.sample = 0 })
	unset("rate-limit (per-ingress-chip|per-egress-chip) [rest=LINE]", func(m *monitor, a args) {
		delete(m.rates, a.oneOf("per-ingress-chip", "per-egress-chip"))
	})
	unset("header remove [size n=<1-65535>]", func(m *monitor, _ args) { m.strip = 0 })
	unset("encapsulation gre metadata tx", func(m *monitor, _ args) { m.metadata = false })
	g.config("(no|default) monitor session name=WORD", func(_ *cli, c *config, a args) string {
		delete(c.monitors, a.str("name"))
		return ""
	})

	g.config("monitor session default encapsulation gre payload (full-packet|inner-packet)", func(x *cli, c *config, a args) string {
		// The full packet is what is mirrored anyway, so that it is not printed
		// (unverified).
		c.payload = strings.TrimPrefix(a.oneOf("full-packet", "inner-packet"), "full-packet")
		return x.unsupported(FeatureGRE)
	})
	g.config("(no|default) monitor session default encapsulation gre payload [full-packet|inner-packet]", func(_ *cli, c *config, _ args) string {
		c.payload = ""
		return ""
	})
}

var (
	groupNone = group{}
	noTunnel  = tunnel{}
)

func (m *monitor) dropKind(kind string) {
	m.destinations = slices.DeleteFunc(m.destinations, func(d destination) bool { return d.kind == kind })
}

func groupOf(a args) group {
	return group{kind: a.oneOf("ip", "ipv6", "mac"), name: a.str("acl"), priority: a.num("prio")}
}

func groupFeatures(g group) []Feature {
	return map[string][]Feature{
		"ip": {FeatureACL}, "ipv6": {FeatureACL, FeatureIPv6ACL}, "mac": {FeatureACL, FeatureMACACL},
	}[g.kind]
}

// addSource takes a source line. With an access-group on the whole session a
// source cannot have one of its own: the vendor's generator leaves it out then;
// that EOS refuses it is unverified.
func addSource(x *cli, _ *config, m *monitor, a args) string {
	s := source{names: slices.Clone(a.list("names")), dir: a.oneOf("rx", "tx", "both")}
	slices.SortFunc(s.names, compareNames)
	s.names = slices.Compact(s.names)
	s.text = formatInterfaces(s.names)
	s.said = s.dir != ""
	if !s.said {
		s.dir = "both"
	}
	var fs []Feature
	if s.dir != "rx" {
		fs = append(fs, FeatureTx)
	}
	if a.given("acl") {
		s.group = groupOf(a)
		fs = append(append(fs, FeatureSourceACL), groupFeatures(s.group)...)
	}
	if slices.ContainsFunc(s.names, isLAG) {
		fs = append(fs, FeatureLAGSource)
	}
	if out := x.unsupported(fs...); out != "" {
		return out
	}
	if s.group.kind != "" && m.group.kind != "" {
		return "% Cannot configure an access-group on a source of a session that has one\n"
	}
	m.addSource(s)
	return ""
}

func isLAG(name string) bool { return strings.HasPrefix(name, "Port-Channel") }

func addPortDestination(x *cli, _ *config, m *monitor, a args) string {
	for _, n := range a.list("names") {
		var fs []Feature
		if isLAG(n) {
			fs = append(fs, FeatureLAGDestination)
		}
		if out := addDestination(x, m, destination{name: n, tunnel: noTunnel}, fs...); out != "" {
			return out
		}
	}
	return ""
}

// addDestination adds to the session's destinations. On platforms that have one
// per session only, the new one takes the place of the old (unverified).
func addDestination(x *cli, m *monitor, d destination, fs ...Feature) string {
	if out := x.unsupported(fs...); out != "" {
		return out
	}
	if d.kind == "tunnel" {
		m.dropKind("tunnel")
	}
	if x.unsupported(FeatureSeveralDestinations) != "" {
		m.destinations = nil
	}
	m.addDestination(d)
	return ""
}

// addTunnel reads the options of a GRE destination, in any order, each once.
func addTunnel(x *cli, _ *config, m *monitor, a args) string {
	t := tunnel{ttl: -1, dscp: -1, key: -1}
	t.src, _ = netip.ParseAddr(a.str("src"))
	t.dst, _ = netip.ParseAddr(a.str("dst"))
	if t.src.Is4() != t.dst.Is4() {
		return "% " + errInvalid + "\n"
	}
	fs := []Feature{FeatureGRE}
	w := &words{toks: strings.Fields(a.str("rest"))}
	for seen := map[string]bool{}; !w.done(); {
		opt := w.keyword("ttl", "dscp", "protocol", "vrf", "key")
		if opt == "" || seen[opt] {
			return "% " + errInvalid + "\n"
		}
		seen[opt] = true
		if w.done() {
			return "% " + errIncomplete + "\n"
		}
		v := w.toks[w.i]
		w.i++
		ok := true
		switch opt {
		case "ttl":
			t.ttl, ok = within(v, 1, 255)
		case "dscp":
			t.dscp, ok = within(v, 0, 63)
		case "protocol":
			t.protocol, ok = within(v, 1, 0xffff)
			ok = ok && strings.HasPrefix(strings.ToLower(v), "0x")
		case "vrf":
			t.vrf = v
		case "key":
			t.key, ok = wide(v)
			fs = append(fs, FeatureGREKey)
		}
		if !ok {
			return "% " + errInvalid + "\n"
		}
	}
	return addDestination(x, m, destination{kind: "tunnel", tunnel: t}, fs...)
}

func within(s string, lo, hi int) (int, bool) {
	n, err := strconv.ParseInt(s, 0, 32)
	return int(n), err == nil && int(n) >= lo && int(n) <= hi
}

func wide(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 0, 32)
	return int64(n), err == nil
}
