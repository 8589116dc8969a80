package iosxe

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// sessionShows are the outputs about sessions.
func sessionShows(g *grammar) {
	g.exec("show monitor [detail]", showSessions)
	g.exec("show monitor session (all|local|remote|erspan-source|erspan-destination|range ids=VLANSET|n=<1-1024>) [detail]", showSessions)
	for _, where := range []string{"switch active", "switch n=<1-9>", "active"} {
		g.exec("show platform software fed "+where+" monitor m=<0-65>", showFED)
	}
	g.exec("show platform software monitor session m=<1-1024>", showPlatformSession)
}

// showSessions is "show monitor". The short form is that of captured switches and
// routers, the long one that of a Catalyst 9500. " No SPAN configuration is present in
// the system" with and without a session: public captures.
func showSessions(x *cli, a args) answer {
	var chosen []int
	for _, n := range slices.Sorted(maps.Keys(x.d.running.sessions)) {
		s := x.d.running.sessions[n]
		_, inRange := slices.BinarySearch(a.vlans["ids"], n)
		fits := map[string]bool{
			"local": s.local(), "remote": s.remote(), kindSource: s.kind == kindSource, kindDestination: s.kind == kindDestination, "range": inRange,
		}
		which := a.oneOf("local", "remote", kindSource, kindDestination, "range")
		if which == "" && (!a.given("n") || a.num("n") == n) || fits[which] {
			chosen = append(chosen, n)
		}
	}
	if len(chosen) == 0 {
		if a.given("n") {
			return say(fmt.Sprintf(" No SPAN configuration is present in the system for session [%d].\n\n", a.num("n")))
		}
		return say(" No SPAN configuration is present in the system.\n\n")
	}
	var b strings.Builder
	for _, n := range chosen {
		title := "Session " + strconv.Itoa(n)
		b.WriteString(title + "\n" + strings.Repeat("-", len(title)) + "\n")
		v := view{Builder: &b, s: x.d.running.sessions[n], o: &x.d.opts, width: 23}
		if a.has("detail") {
			v.width, v.detail = 25, true
		}
		v.write()
		b.WriteString("\n\n")
	}
	return say(b.String())
}

// view writes one session of "show monitor".
type view struct {
	*strings.Builder
	s      *session
	o      *Options
	width  int
	detail bool
}

func (v view) line(label, value string) { fmt.Fprintf(v, "%-*s: %s\n", v.width, label, value) }

// field writes a line that the short form leaves out when there is nothing to say.
func (v view) field(label, value string) {
	switch {
	case value != "":
		v.line(label, value)
	case v.detail:
		v.line(label, "None")
	}
}

func (v view) write() {
	s := v.s
	v.line("Type", s.typeName())
	if s.kind != kindFlat {
		v.line("Status", map[bool]string{true: "Admin Enabled", false: "Admin Disabled"}[s.up])
	}
	switch {
	case v.detail && s.description == "":
		v.line("Description", "-")
	case s.description != "":
		v.line("Description", s.description)
	}
	if s.kind == kindDestination {
		v.destinations()
		v.tunnel("Source")
		return
	}
	v.block("Source Ports", func(d direction) string { return showPorts(s.sourcePorts(d)) })
	if v.detail {
		v.block("Source Subinterfaces", func(direction) string { return "" })
	}
	v.block("Source VLANs", func(d direction) string { return vlanSet(s.sourceVLANs(d)) })
	if v.detail {
		v.line("Source Drop-cause", "None")
		v.block("Source EFPs", func(direction) string { return "" })
	}
	v.field("Source RSPAN VLAN", number(s.remoteSource))
	if s.kind == kindSource {
		v.filters()
		v.tunnel("Destination")
		return
	}
	v.destinations()
	v.filters()
}

// block writes what is watched, by direction.
func (v view) block(label string, of func(direction) string) {
	if !v.detail && of(rx)+of(tx)+of(both) == "" {
		return
	}
	v.line(label, "")
	v.field("    RX Only", of(rx))
	v.field("    TX Only", of(tx))
	v.field("    Both", of(both))
}

func (v view) destinations() {
	s := v.s
	if len(s.destinations) == 0 && v.detail {
		v.line("Destination Ports", "None")
	}
	byForm := map[destination][]string{}
	for p, d := range s.destinations {
		byForm[d] = append(byForm[d], p)
	}
	forms := slices.SortedFunc(maps.Keys(byForm), func(a, b destination) int { return strings.Compare(a.suffix(), b.suffix()) })
	for _, d := range forms {
		v.line("Destination Ports", showPorts(byForm[d]))
		if s.kind == kindDestination {
			continue
		}
		v.line("    Encapsulation", map[string]string{"": "Native", "replicate": "Replicate", "dot1q": "DOT1Q"}[d.encapsulation])
		if d.ingress == "" {
			v.line("          Ingress", "Disabled")
			continue
		}
		// As older switches print it (Catalyst 3750 guide).
		words := strings.Fields(d.ingress)
		v.line("          Ingress", "Enabled, default VLAN = "+words[len(words)-1])
		v.line("    Ingress encap", map[string]string{"vlan": "Untagged", "untagged": "Untagged", "dot1q": "DOT1Q"}[words[0]])
	}
}

// filters; routers call it "Filter Access-Group" (captured). "IP Access-group" is the
// long form's name, in the short one unverified.
func (v view) filters() {
	s := v.s
	v.field("Filter VLANs", vlanSet(s.filterVLANs))
	if v.detail {
		v.line("Filter SGT", "None")
	}
	if s.kind == kindFlat {
		v.field("Dest RSPAN VLAN", number(s.remoteDest))
	}
	if s.filters[""] != "" {
		v.line("Filter Access-Group", s.filters[""])
	}
	v.field("IP Access-group", s.filters["ip"])
	if v.detail {
		v.line("MAC Access-group", "None")
	}
	v.field("IPv6 Access-group", s.filters["ipv6"])
}

// tunnel writes what is known of the far end, in the order of captured routers.
func (v view) tunnel(end string) {
	e := v.s.erspan
	mtu := e.mtu
	if mtu == 0 {
		mtu = v.o.mtu()
	}
	address := func(label string, a netip.Addr) {
		if a.IsValid() {
			v.line(strings.Replace(label, "IP", map[bool]string{true: "IP", false: "IPv6"}[a.Is4()], 1), a.String())
		}
	}
	address(end+" IP Address", e.address)
	if end == "Source" {
		v.field("Source ERSPAN ID", number(e.id))
		v.line("MTU", strconv.Itoa(mtu))
		return
	}
	v.line("MTU", strconv.Itoa(mtu))
	v.field("Destination ERSPAN ID", number(e.id))
	address("Origin IP Address", e.origin)
	v.field("IP TTL", number(e.ttl))   // label unverified
	v.field("IP DSCP", number(e.dscp)) // label unverified
	v.field("VRF", e.vrf)              // label unverified
}

// number is "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (s *session) typeName() string {
	switch {
	case s.kind == kindSource:
		return "ERSPAN Source Session"
	case s.kind == kindDestination:
		return "ERSPAN Destination Session"
	case s.remoteDest != 0:
		return "Remote Source Session"
	case s.remoteSource != 0:
		return "Remote Destination Session"
	}
	return "Local Session"
}

// mapped are the sessions that the forwarding engine driver knows: those with a
// source, and destination sessions with a port. Its own number of a session is the
// index here (unverified; captured: session 1 is "FED Session 0", and a session with
// nothing but destinations is "NotMapped").
func (c *config) mapped() []int {
	var out []int
	for _, n := range slices.Sorted(maps.Keys(c.sessions)) {
		s := c.sessions[n]
		if len(s.sources)+len(s.vlans)+s.remoteSource > 0 || s.kind == kindDestination && len(s.destinations) > 0 {
			out = append(out, n)
		}
	}
	return out
}

// showFED is the hardware's view, as captured on Catalyst 9000s. That nothing is
// printed for a number that is not in use is unverified.
func showFED(x *cli, a args) answer {
	mapped := x.d.running.mapped()
	m := a.num("m")
	if m >= len(mapped) {
		return done
	}
	s := x.d.running.sessions[mapped[m]]
	var b strings.Builder
	fmt.Fprintf(&b, "Session %d\n---------\n", m)
	line := func(label string, value any) { fmt.Fprintf(&b, "  %-21s: %v\n", label, value) }
	orNone := func(text string) string {
		if text == "" {
			return "None"
		}
		return text
	}
	ports := func(d direction) string {
		names := slices.DeleteFunc(slices.SortedFunc(maps.Keys(s.sources), comparePorts), func(p string) bool { return s.sources[p]&d == 0 })
		return orNone(strings.Join(names, " "))
	}
	vlans := func(d direction) string {
		var out []string
		for _, v := range slices.Sorted(maps.Keys(s.vlans)) {
			if s.vlans[v]&d != 0 {
				out = append(out, "VLAN-"+strconv.Itoa(v))
			}
		}
		return orNone(strings.Join(out, " "))
	}
	encap, ingress := "Native", "Disabled"
	for _, d := range s.destinations {
		if d.encapsulation == "replicate" {
			encap = "Replicate"
		}
		if d.ingress != "" {
			ingress = "Enabled"
		}
	}
	e := erspan{}
	enabled := s.kind == kindSource && s.up
	if enabled {
		e = s.erspan
	}
	protocol, ttl, mtu := "0", 0, 0
	if enabled && e.complete() {
		protocol, ttl, mtu = "88be", defaultTTL, x.d.opts.mtu()
		if e.ttl != 0 {
			ttl = e.ttl
		}
		if e.mtu != 0 {
			mtu = e.mtu
		}
	}
	flag := map[bool]int{true: 1}
	line("Session Type", s.typeName())
	line("Source Ports", "RX: "+ports(rx)+" TX: "+ports(tx))
	line("Destination Ports", orNone(strings.Join(s.destinationPorts(), " ")))
	line("Source VLANs", vlans(rx))
	line("Destination VLANs", vlans(tx))
	line("Source RSPAN VLAN", s.remoteSource)
	line("DST RSPAN VLAN", s.remoteDest)
	line("Encap", encap)
	line("Ingress Forwarding", ingress)
	line("Filter VLANs", orNone(vlanSet(s.filterVLANs)))
	line("ERSPAN Enable", flag[enabled])
	line("ERSPAN Hw Programmed", flag[enabled && s.programmed()])
	line("ERSPAN Mandatory Cfg", flag[enabled && e.complete()])
	line("ERSPAN Id", e.id)
	line("Gre Prot", protocol)
	line("MTU", mtu)
	line("Ip Tos", fmt.Sprintf("%d (DSCP:%d)", e.dscp<<2, e.dscp))
	line("Ip Ttl", ttl)
	line("Ipv6 flow label", 0)
	line("Cos", 0)
	line("Vrf Id", 0)
	line("Tunnel IfId", flag[enabled && s.programmed()]*(64+m))
	zero4, zero6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	family := func(a netip.Addr, want4 bool, zero netip.Addr) netip.Addr {
		if a.IsValid() && a.Is4() == want4 {
			return a
		}
		return zero
	}
	line("Dst Ip", family(e.address, true, zero4))
	line("Org Ip", family(e.origin, true, zero4))
	line("Dst Ipv6", family(e.address, false, zero6))
	line("Org Ipv6", family(e.origin, false, zero6))
	line("SGT count", 0)
	line("SGT Tag(s)", "")
	return say(b.String())
}

// showPlatformSession says which number the forwarding engine driver has for a session.
func showPlatformSession(x *cli, a args) answer {
	n := a.num("m")
	s := x.d.running.sessions[n]
	if s == nil {
		return done // unverified
	}
	fed, kind := "NotMapped", "Unknown"
	if i := slices.Index(x.d.running.mapped(), n); i >= 0 {
		fed, kind = strconv.Itoa(i), strings.TrimSuffix(s.typeName(), " Session")
	}
	var in, out []string
	for _, p := range slices.SortedFunc(maps.Keys(s.sources), comparePorts) {
		if s.sources[p]&rx != 0 {
			in = append(in, short(p))
		}
		if s.sources[p]&tx != 0 {
			out = append(out, short(p))
		}
	}
	var dests []string
	for _, p := range s.destinationPorts() {
		dests = append(dests, short(p))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Span Session %d (FED Session %s):\n  Type:      %s\n  Prev type: Unknown\n", n, fed, kind)
	fmt.Fprintf(&b, "  Ingress Src Ports: %s\n  Egress Src Ports: %s\n", strings.Join(in, " "), strings.Join(out, " "))
	fmt.Fprintf(&b, "  Destination Ports: %s\n", strings.Join(dests, " "))
	fmt.Fprintf(&b, "  RSPAN dst vlan: %d\n  RSPAN src vlan: %d\n", s.remoteDest, s.remoteSource)
	return say(b.String())
}
