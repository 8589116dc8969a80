package nxos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func showMonitorLines(g *grammar) {
	g.exec("show monitor", func(x *cli, _ args) answer { return say(x.d.monitorTable()) })
	g.exec("show monitor session all", func(x *cli, _ args) answer {
		return say(x.d.monitorSessions(slices.Sorted(maps.Keys(x.d.running.sessions))))
	})
	g.exec("show monitor session n=1-"+strconv.Itoa(maxSession), func(x *cli, a args) answer {
		if x.d.running.sessions[a.num("n")] == nil {
			return say(fmt.Sprintf("session %d is not configured\n", a.num("n"))) // unverified
		}
		return say(x.d.monitorSessions([]int{a.num("n")}))
	})
}

// state tells why a session copies nothing, "" if it runs: what the configuration lacks,
// then the hardware, then links. "No operational src/dst" is a word of the same command
// family; when NX-OS says it is unverified.
func (d *Device) state(n int) string {
	c := d.running
	s := c.sessions[n]
	if why := c.down(s); why != "" {
		return why
	}
	if c.waiting(d.opts.Limits)[n] {
		return noHardware
	}
	up := func(names []string) bool {
		return slices.ContainsFunc(names, func(name string) bool { ok, _ := d.link(name); return ok })
	}
	if len(s.vlans) == 0 && len(s.sources) > 0 && !up(s.ports(0)) || s.kind != typeSource && !up(s.destinationPorts()) {
		return noneUp
	}
	return ""
}

func stateText(why string) string {
	if why == "" {
		return "up"
	}
	return "down (" + why + ")"
}

// monitorTable is "show monitor". Columns: the same table of vendors with this command
// family; that of NX-OS is unverified.
func (d *Device) monitorTable() string {
	var b strings.Builder
	b.WriteString("Session  State        Reason                  Description\n-------  -----------  ----------------------  --------------------------------\n")
	for _, n := range slices.Sorted(maps.Keys(d.running.sessions)) {
		why := d.state(n)
		state := "down"
		if why == "" {
			state, why = "up", "The session is up"
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-7d  %-11s  %-22s  %s", n, state, why, d.running.sessions[n].description), " ") + "\n")
	}
	return b.String()
}

// monitorSessions follows a capture of a Nexus 9000 (zSpan's notes) for ERSPAN sources,
// with "description" and local sessions from genieparser's and other captures. A source
// of both directions stands in three rows.
func (d *Device) monitorSessions(numbers []int) string {
	var b strings.Builder
	for _, n := range numbers {
		s := d.running.sessions[n]
		row := func(name, value string) { fmt.Fprintf(&b, "%-18s: %s\n", name, value) }
		fmt.Fprintf(&b, "   session %d\n---------------\n", n)
		if s.description != "" {
			row("description", s.description)
		}
		row("type", s.kind)
		if s.kind == typeSource {
			row("version", strconv.Itoa(max(s.headerType, 2)))
		}
		row("state", stateText(d.state(n)))
		if s.kind != typeLocal {
			row("erspan-id", number(s.erspanID))
			row("vrf-name", s.vrf)
		}
		acl := s.filterACL
		if acl == "" {
			acl = "acl-name not specified"
		}
		if s.kind != typeDestination {
			row("acl-name", acl)
		}
		if s.kind == typeSource {
			row("ip-ttl", strconv.Itoa(s.shownTTL()))
			row("ip-dscp", strconv.Itoa(max(s.dscp, 0)))
			row("header-type", strconv.Itoa(max(s.headerType, 2)))
		}
		if s.mtu != 0 {
			row("mtu", strconv.Itoa(s.mtu))
		}
		if s.kind != typeLocal {
			address, origin := "", ""
			if s.address.IsValid() {
				address = s.address.String()
			}
			if d.running.origin.IsValid() {
				origin = d.running.origin.String() + " (global)"
			}
			row(map[string]string{typeSource: "destination-ip", typeDestination: "source-ip"}[s.kind], address)
			if s.kind == typeSource {
				row("origin-ip", origin)
			}
		}
		if s.kind != typeDestination {
			d.sourceRows(&b, s)
		}
		if s.kind != typeSource {
			row("destination ports", shorts(s.destinationPorts()))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (d *Device) sourceRows(b *strings.Builder, s *session) {
	b.WriteString("source intf       : \n")
	for _, v := range []direction{rx, tx, both} {
		fmt.Fprintf(b, "    %-14s: %s\n", v, shorts(s.ports(v)))
	}
	b.WriteString("source VLANs      : \n")
	for _, v := range []direction{rx, tx, both} {
		fmt.Fprintf(b, "    %-14s: %s\n", v, vlanList(s.vlanIDs(v)))
	}
	filter := "filter not specified"
	if len(s.filterVLANs) > 0 {
		filter = vlanList(s.filterVLANs)
	}
	fmt.Fprintf(b, "%-18s: %s\n", "filter VLANs", filter)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
