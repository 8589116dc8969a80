package eos

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// showCommands are the operational outputs. Their layouts follow captures in
// networktocode/ntc-templates and in public notes of real switches; their JSON
// follows eAPI answers recorded in napalm's tests and in public lab notes. Where
// neither was found it says so.
func showCommands(g *grammar) {
	g.exec("show version", showVersion)
	g.exec("show hostname", func(x *cli, _ args) answer {
		h := x.d.hostname()
		return answer{text: "Hostname: " + h + "\nFQDN:     " + h + "\n", json: map[string]any{"hostname": h, "fqdn": h}}
	})
	g.exec("show clock", func(x *cli, _ args) answer {
		now := x.d.clock.Now().UTC()
		return answer{text: now.Format("Mon Jan _2 15:04:05 2006") + "\nTimezone: UTC\nClock source: local\n",
			json: map[string]any{"utcTime": seconds(now), "timezone": "UTC", "clockSource": map[string]any{"local": true}}}
	})
	g.exec("show interfaces status", func(x *cli, _ args) answer { return x.interfaces(nil) })
	g.exec("show interfaces names=INTFS status", func(x *cli, a args) answer { return x.interfaces(a.list("names")) })
	g.exec("show interfaces status names=INTFS", func(x *cli, a args) answer { return x.interfaces(a.list("names")) })
	g.exec("show lldp neighbors [names=INTFS]", showLLDP)
	g.exec("show mac address-table", showMACs)
	g.exec("show monitor session [detail]", showMonitor)
	g.exec("show monitor session name=WORD [detail]", showMonitor)
	g.exec("show ip access-lists [name=WORD]", func(x *cli, a args) answer { return say(x.accessLists("ip", a.str("name"))) })
	g.exec("show ipv6 access-lists [name=WORD]", func(x *cli, a args) answer { return say(x.accessLists("ipv6", a.str("name"))) })
	g.exec("show mac access-lists [name=WORD]", func(x *cli, a args) answer { return say(x.accessLists("mac", a.str("name"))) })
}

func serialOf(hostname string) string {
	sum := sha256.Sum256([]byte(hostname))
	return strings.ToUpper(hex.EncodeToString(sum[:16]))
}

// systemMAC is made of the serial number, in Arista's 00:1c:73.
func (d *Device) systemMAC() fabric.MAC {
	sum := sha256.Sum256([]byte(d.opts.Serial))
	return fabric.MAC{0x00, 0x1c, 0x73, sum[0], sum[1], sum[2]}
}

func showVersion(x *cli, _ args) answer {
	d := x.d
	up := d.clock.Now().Sub(d.booted)
	mac := d.systemMAC()
	text := fmt.Sprintf(`Arista %s
Hardware version:      
Serial number:         %s
Hardware MAC address:  %s
System MAC address:    %s

Software image version: %s
Architecture:           x86_64
Internal build version: %s
Image format version:   1.0
Image optimization:     None

Uptime:                 %s
Total memory:           8155868 kB
Free memory:            5938664 kB

`, d.opts.Model, d.opts.Serial, macText(mac), macText(mac), d.opts.Version, d.opts.Version, uptime(up))
	return answer{text: text, json: map[string]any{
		"mfgName": "Arista", "modelName": d.opts.Model, "hardwareRevision": "", "serialNumber": d.opts.Serial,
		"systemMacAddress": colons(mac), "hwMacAddress": colons(mac), "configMacAddress": "00:00:00:00:00:00",
		"version": d.opts.Version, "architecture": "x86_64", "internalVersion": d.opts.Version, "internalBuildId": "",
		"imageFormatVersion": "1.0", "imageOptimization": "None", "bootupTimestamp": seconds(d.booted), "uptime": up.Seconds(),
		"memTotal": 8155868, "memFree": 5938664, "isIntlVersion": false,
	}}
}

func uptime(d time.Duration) string {
	m := int(d.Minutes())
	if h := m / 60; h > 0 {
		return fmt.Sprintf("%d hours and %d minutes", h, m%60)
	}
	return fmt.Sprintf("%d minutes", m)
}

func colons(m fabric.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// port is what tables say of an interface.
type portView struct {
	name, description, status, vlan, duplex, speed, media string
	json                                                  map[string]any
}

// interfaces is "show interfaces status". The table is that of a 7150. Speeds
// are made up: the packet model has none.
func (x *cli) interfaces(names []string) answer {
	c := x.d.running
	if names == nil {
		for n := range c.intfs {
			if kind, _ := splitName(n); kind == "Ethernet" || kind == "Port-Channel" || kind == "Management" {
				names = append(names, n)
			}
		}
		slices.SortFunc(names, statusOrder)
	}
	views := make([]portView, len(names))
	width := len("Name")
	for i, n := range names {
		views[i] = x.d.view(n)
		width = max(width, len(views[i].description))
	}
	var b strings.Builder
	row := func(cells ...any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-10s %-*s %-12s %-8s %-6s %-6s %-12s %s", cells...), " ") + "\n")
	}
	row("Port", width, "Name", "Status", "Vlan", "Duplex", "Speed", "Type", "Flags Encapsulation")
	js := map[string]any{}
	for _, v := range views {
		row(shortName(v.name), width, v.description, v.status, v.vlan, v.duplex, v.speed, v.media, "")
		js[v.name] = v.json
	}
	return answer{text: b.String(), json: map[string]any{"interfaceStatuses": js}}
}

// statusOrder puts Ethernet first, then Management, then Port-Channel
// (ntc-templates' captures).
func statusOrder(a, b string) int {
	order := func(n string) int {
		k, _ := splitName(n)
		return slices.Index([]string{"Ethernet", "Management", "Port-Channel"}, k)
	}
	if d := order(a) - order(b); d != 0 {
		return d
	}
	return compareNames(a, b)
}

func (d *Device) up(name string) bool {
	if strings.HasPrefix(name, "Management") {
		return !d.running.intfs[name].shutdown
	}
	if isLAG(name) {
		return !d.running.intfs[name].shutdown && slices.ContainsFunc(d.running.members(name), d.up)
	}
	st, _ := d.opts.Switch.PortStatus(name)
	return st.Up
}

func (d *Device) view(name string) portView {
	i := d.running.intfs[name]
	v := portView{name: name, description: i.description, status: "notconnect", duplex: "full", speed: "10G", media: "10GBASE-CR", vlan: itoa(max(i.access, 1))}
	bandwidth := 10_000_000_000
	info := map[string]any{"interfaceMode": "bridged", "interfaceForwardingModel": "bridged", "vlanId": max(i.access, 1)}
	switch {
	case i.group != 0:
		v.vlan = "in Po" + itoa(i.group)
		info = map[string]any{"vlanExplanation": v.vlan, "interfaceForwardingModel": "dataLink"}
	case i.routed || strings.HasPrefix(name, "Management"):
		v.vlan = "routed"
		info = map[string]any{"interfaceMode": "routed", "interfaceForwardingModel": "routed"}
	case i.mode == "trunk":
		v.vlan = "trunk"
		info = map[string]any{"interfaceMode": "trunk", "interfaceForwardingModel": "bridged"}
	}
	switch {
	case isLAG(name):
		v.media = "N/A"
		bandwidth = 0
		for _, m := range d.running.members(name) {
			if d.up(m) {
				bandwidth += 10_000_000_000
			}
		}
		v.speed = itoa(bandwidth/1_000_000_000) + "G"
	case strings.HasPrefix(name, "Management"):
		v.duplex, v.speed, v.media, bandwidth = "a-full", "a-1G", "10/100/1000", 1_000_000_000
	}
	protocol := "down"
	switch {
	case i.shutdown:
		v.status = "disabled"
	case d.up(name):
		v.status, protocol = "connected", "up"
	}
	auto := v.duplex == "a-full"
	v.json = map[string]any{
		"description": i.description, "linkStatus": v.status, "lineProtocolStatus": protocol, "bandwidth": bandwidth,
		"interfaceType": v.media, "duplex": "duplexFull", "autoNegotiateActive": auto, "autoNegotigateActive": auto, // EOS spells it both ways
		"vlanInformation": info,
	}
	return v
}

func showLLDP(x *cli, a args) answer {
	d := x.d
	var b strings.Builder
	rows := []map[string]any{}
	var table [][4]string
	for _, name := range d.opts.Switch.Ports() {
		if a.given("names") && !slices.Contains(a.list("names"), name) {
			continue
		}
		st, _ := d.opts.Switch.PortStatus(name)
		if !st.Up {
			continue
		}
		device, port, ok := st.Peer.Node, st.Peer.Port, true
		if d.opts.Neighbor != nil {
			device, port, ok = d.opts.Neighbor(st.Peer)
		}
		if !ok {
			continue
		}
		rows = append(rows, map[string]any{"port": name, "neighborDevice": device, "neighborPort": port, "ttl": 120})
		table = append(table, [4]string{shortName(name), device, port, "120"})
	}
	ago := d.clock.Now().Sub(d.booted).Round(time.Second)
	fmt.Fprintf(&b, "Last table change time   : %d:%02d:%02d ago\n", int(ago.Hours()), int(ago.Minutes())%60, int(ago.Seconds())%60)
	fmt.Fprintf(&b, "Number of table inserts  : %d\nNumber of table deletes  : 0\nNumber of table drops    : 0\nNumber of table age-outs : 0\n\n", len(rows))
	fmt.Fprintf(&b, "%-10s %-24s %-22s %s\n%s %s %s %s\n", "Port", "  Neighbor Device ID", "  Neighbor Port ID", "TTL",
		strings.Repeat("-", 10), strings.Repeat("-", 24), strings.Repeat("-", 22), "---")
	for _, r := range table {
		fmt.Fprintf(&b, "%-13s %-23s %-19s %s\n", r[0], r[1], r[2], r[3])
	}
	return answer{text: b.String(), json: map[string]any{
		"tablesLastChangeTime": seconds(d.booted), "tablesInserts": len(rows), "tablesDeletes": 0, "tablesDrops": 0, "tablesAgeOuts": 0,
		"lldpNeighbors": rows,
	}}
}

func showMACs(x *cli, _ args) answer {
	d := x.d
	macs := d.opts.Switch.MACs()
	var b strings.Builder
	rule := strings.Repeat("-", 66)
	b.WriteString("          Mac Address Table\n" + rule + "\n\nVlan    Mac Address       Type        Ports      Moves   Last Move\n----    -----------       ----        -----      -----   ---------\n")
	rows := []map[string]any{}
	for _, m := range macs {
		fmt.Fprintf(&b, "%4d    %s    DYNAMIC     %-10s 1       0:00:00 ago\n", m.VLAN, macText(m.MAC), shortName(m.Port))
		rows = append(rows, map[string]any{"vlanId": m.VLAN, "macAddress": colons(m.MAC), "interface": m.Port, "entryType": "dynamic",
			"moves": 1, "lastMove": seconds(d.clock.Now())})
	}
	fmt.Fprintf(&b, "Total Mac Addresses for this criterion: %d\n\n          Multicast Mac Address Table\n%s\n\nVlan    Mac Address       Type        Ports\n----    -----------       ----        -----\nTotal Mac Addresses for this criterion: 0\n", len(macs), rule)
	return answer{text: b.String(), json: map[string]any{
		"unicastTable": map[string]any{"tableEntries": rows}, "multicastTable": map[string]any{"tableEntries": []any{}},
	}}
}

func (x *cli) accessLists(kind, only string) string {
	var b strings.Builder
	for _, k := range x.d.running.aclKeys() {
		if k.kind != kind || only != "" && k.name != only {
			continue
		}
		fmt.Fprintf(&b, "%s Access List %s\n", map[string]string{"ip": "IP", "ipv6": "IPV6", "mac": "MAC"}[kind], k.name)
		for _, l := range x.d.running.acls[k].lines() {
			b.WriteString("     " + l + "\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// showMonitor is "show monitor session". The text is that of a 7150 for Both, a
// port and its state, of public notes for Cpu, and of the manual's access list
// chapter for "Rx Only" and "(IP ACL: name)". Unverified: "Tx Only", the line of a
// GRE destination, all that "detail" adds, and that a destination that is down is
// called inactive.
//
// JSON: sourceRxInterfaces, sourceTxInterfaces, sourceBothInterfaces and
// targetInterfaces[].name are what a public eAPI tool reads; the rest is
// unverified.
func showMonitor(x *cli, a args) answer {
	c := x.d.running
	names := slices.SortedFunc(maps.Keys(c.monitors), naturalCompare)
	if a.given("name") {
		if c.monitors[a.str("name")] == nil {
			return answer{text: "Session " + a.str("name") + " not created\n", json: map[string]any{"sessions": map[string]any{}}} // unverified
		}
		names = []string{a.str("name")}
	}
	if len(names) == 0 {
		return answer{text: "No sessions created\n", json: map[string]any{"sessions": map[string]any{}}} // unverified
	}
	var parts []string
	sessions := map[string]any{}
	for i, n := range names {
		text, js := x.d.monitorView(n, c.monitors[n], i, a.has("detail"))
		parts = append(parts, text)
		sessions[n] = js
	}
	return answer{text: strings.Join(parts, "\n"), json: map[string]any{"sessions": sessions}}
}

func (d *Device) monitorView(name string, m *monitor, index int, detail bool) (string, map[string]any) {
	var b strings.Builder
	b.WriteString("Session " + name + "\n------------------------\n\nSource Ports:\n\n")
	js := map[string]any{}
	eff := m.effective()
	for _, dir := range []struct{ key, label, dir string }{
		{"sourceRxInterfaces", "  Rx Only:     ", "rx"}, {"sourceTxInterfaces", "  Tx Only:     ", "tx"}, {"sourceBothInterfaces", "  Both:        ", "both"},
	} {
		long, short := []string{}, []string{}
		for _, n := range slices.SortedFunc(maps.Keys(eff), compareNames) {
			if eff[n].dir != dir.dir {
				continue
			}
			long = append(long, n)
			s := shortName(n)
			if g := eff[n].group; g.kind != "" {
				s += fmt.Sprintf("(%s ACL: %s)", aclTitle(g.kind), g.name)
			}
			short = append(short, s)
		}
		js[dir.key] = long
		if len(long) > 0 {
			b.WriteString(dir.label + wrap(short, 80-len(dir.label), len(dir.label)) + "\n")
		}
	}
	b.WriteString("\nDestination Ports:\n\n")
	targets := []map[string]any{}
	for _, dst := range m.destinations {
		target, line := "", ""
		state := "active"
		switch dst.kind {
		case "Cpu":
			target = "Cpu"
			line = fmt.Sprintf("        Cpu :  active (mirror%d)", index)
		case "tunnel":
			t := dst.tunnel
			target = "Gre" + itoa(index)
			line = fmt.Sprintf("    status source dest TTL DSCP proto VRF\n    active %s %s %d %d 0x%04x %s", t.src, t.dst,
				defaultTo(t.ttl, defaultTTL), max(t.dscp, 0), defaultZero(t.protocol, defaultGREProtocol), orDefault(t.vrf))
		default:
			target = dst.name
			if !d.up(dst.name) {
				state = "inactive"
			}
			line = fmt.Sprintf("    %s :  %s", shortName(dst.name), state)
		}
		b.WriteString(line + "\n")
		targets = append(targets, map[string]any{"name": target, "status": state})
	}
	js["targetInterfaces"] = targets
	if m.group.kind != "" {
		js["mirrorAcl"] = m.group.name
		fmt.Fprintf(&b, "\n%s ACL: %s\n", aclTitle(m.group.kind), m.group.name)
	}
	if detail {
		for _, l := range m.lines(name, false) {
			b.WriteString("  " + l + "\n")
		}
	}
	return b.String(), js
}

func aclTitle(kind string) string {
	return map[string]string{"ip": "IP", "ipv6": "IPv6", "mac": "MAC"}[kind]
}

func defaultTo(v, d int) int {
	if v < 0 {
		return d
	}
	return v
}

func defaultZero(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

func orDefault(vrf string) string {
	if vrf == "" {
		return "default"
	}
	return vrf
}

// wrap joins words with ", ", breaking lines without a comma as the manual's
// example does.
func wrap(list []string, width, indent int) string {
	var lines []string
	line := ""
	for _, w := range list {
		switch {
		case line == "":
			line = w
		case len(line)+2+len(w) > width:
			lines = append(lines, line)
			line = w
		default:
			line += ", " + w
		}
	}
	return strings.Join(append(lines, line), "\n"+strings.Repeat(" ", indent))
}
