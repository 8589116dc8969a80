package iosxe

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// showLines are the operational outputs. Layouts follow captures in genieparser,
// ntc-templates and oxidized; where none was found it says so.
func showLines(g *grammar) {
	g.exec("show version", showVersion)
	g.exec("show clock", func(x *cli, _ args) answer {
		return say(x.d.clock.Now().UTC().Format("15:04:05.000 MST Mon Jan 2 2006") + "\n")
	})
	g.exec("show privilege", func(x *cli, _ args) answer { return say("Current privilege level is " + strconv.Itoa(x.priv) + "\n") })
	g.exec("show interfaces status", func(x *cli, _ args) answer { return say(x.d.status(nil)) })
	g.exec("show interfaces name=PORT status", func(x *cli, a args) answer { return say(x.d.status(a.ports["name"])) })
	g.exec("show vlan brief", func(x *cli, _ args) answer { return say(x.d.vlanBrief()) })
	g.exec("show vlan remote-span", func(x *cli, _ args) answer { return say(x.d.remoteVLANs()) })
	g.exec("show lldp neighbors", func(x *cli, _ args) answer { return say(x.d.neighbors()) })
	g.exec("show mac address-table", func(x *cli, _ args) answer { return say(x.d.macTable()) })
	g.exec("show ip access-lists [name=WORD]", func(x *cli, a args) answer { return say(x.d.lists("ip", a.text["name"])) })
	g.exec("show ipv6 access-list [name=WORD]", func(x *cli, a args) answer { return say(x.d.lists("ipv6", a.text["name"])) })
	g.exec("show capability feature monitor (erspan-source|erspan-destination)", showCapability)
	sessionShows(g)
}

// timestamp is what "terminal exec prompt timestamp" puts before an answer.
func (d *Device) timestamp() string {
	return "Load for five secs: 1%/0%; one minute: 1%; five minutes: 1%\nTime source is NTP, " +
		d.clock.Now().UTC().Format("15:04:05.000 MST Mon Jan 2 2006") + "\n\n"
}

// systemMAC is made of the serial number.
func (d *Device) systemMAC() fabric.MAC {
	sum := sha256.Sum256([]byte(d.opts.Serial))
	return fabric.MAC{0x52, 0x54, 0x00, sum[0], sum[1], sum[2]}
}

// showVersion has the lines that programs read of a C9200L's "show version"
// (17.9.4a).
func showVersion(x *cli, _ args) answer {
	d := x.d
	software := "Catalyst L3 Switch Software (CAT9K_IOSXE)"
	if d.opts.Router {
		software = "Virtual XE Software (X86_64_LINUX_IOSD-UNIVERSALK9-M)"
	}
	front := 0
	for name := range d.running.ports {
		if isFront(name) {
			front++
		}
	}
	mac := d.systemMAC()
	var b strings.Builder
	fmt.Fprintf(&b, "Cisco IOS XE Software, Version %s\n", d.opts.Version)
	fmt.Fprintf(&b, "Cisco IOS Software [Cupertino], %s, Version %s, RELEASE SOFTWARE (fc3)\n\n", software, strings.ReplaceAll(d.opts.Version, ".0", "."))
	fmt.Fprintf(&b, "ROM: IOS-XE ROMMON\n%s uptime is %s\nUptime for this control processor is %s\n", d.hostname(), d.uptime(), d.uptime())
	fmt.Fprintf(&b, "System image file is \"flash:packages.conf\"\nLast reload reason: Reload Command\n\n")
	fmt.Fprintf(&b, "cisco %s (VXE) processor with 2006048K/3075K bytes of memory.\nProcessor board ID %s\n%d Gigabit Ethernet interfaces\n\n", d.opts.Model, d.opts.Serial, front)
	fmt.Fprintf(&b, "Base Ethernet MAC Address          : %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
	fmt.Fprintf(&b, "Model Number                       : %s\nSystem Serial Number               : %s\n\n", d.opts.Model, d.opts.Serial)
	if !d.opts.Router {
		b.WriteString("\nSwitch Ports Model              SW Version        SW Image              Mode   \n")
		b.WriteString("------ ----- -----              ----------        ----------            ----   \n")
		fmt.Fprintf(&b, "*    1 %-5d %-18s %-17s %-21s %s\n\n\n", front, d.opts.Model, d.opts.Version, "CAT9K_IOSXE", "INSTALL")
	}
	b.WriteString("Configuration register is 0x102\n\n")
	return say(b.String())
}

func (d *Device) uptime() string {
	m := int(d.clock.Now().Sub(d.booted) / time.Minute)
	if m < 60 {
		return fmt.Sprintf("%d minutes", m)
	}
	return fmt.Sprintf("%d hours, %d minutes", m/60, m%60)
}

// up reports whether a port carries frames.
func (d *Device) up(name string) bool {
	p := d.running.ports[name]
	switch {
	case p.shutdown:
		return false
	case isLAG(name):
		return slices.ContainsFunc(d.running.members(name), d.up)
	}
	st, _ := d.opts.Switch.PortStatus(name)
	return st.Up
}

// status is "show interfaces status"; columns of a Catalyst 9000's capture in
// ntc-templates. Duplex, speed and type are made up: the packet model has none.
func (d *Device) status(names []string) string {
	var b strings.Builder
	b.WriteString("\nPort         Name               Status       Vlan       Duplex  Speed Type\n")
	if names == nil {
		for n := range d.running.ports {
			if isFront(n) || isLAG(n) {
				names = append(names, n)
			}
		}
		slices.SortFunc(names, tableOrder)
	}
	claimed := d.running.claimed()
	for _, n := range names {
		p := d.running.ports[n]
		state, duplex, speed := "notconnect", "auto", "auto"
		if d.up(n) {
			state, duplex, speed = "connected", "a-full", "a-1000"
		}
		switch s := d.running.sessions[claimed[n]]; {
		case p.shutdown:
			state = "disabled"
		case s != nil && s.up:
			state = "monitoring"
		}
		vlan := strconv.Itoa(max(p.access, 1))
		switch {
		case p.routed:
			vlan = "routed"
		case p.mode == "trunk":
			vlan = "trunk"
		}
		media := "10/100/1000BaseTX"
		if isLAG(n) {
			media = "N/A"
		}
		fmt.Fprintf(&b, "%-12s %-18.18s %-12s %-10s %6s %6s %s\n", short(n), p.description, state, vlan, duplex, speed, media)
	}
	return b.String()
}

// accessPorts of a VLAN, as "show vlan brief" lists them: not trunks, routed ports,
// members of Port-channels nor destination ports.
func (d *Device) accessPorts(v int) []string {
	var out []string
	claimed := d.running.claimed()
	for n, p := range d.running.ports {
		if (isFront(n) || isLAG(n)) && !p.routed && p.mode != "trunk" && p.group == 0 && claimed[n] == 0 && max(p.access, 1) == v {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, tableOrder)
	for i := range out {
		out[i] = short(out[i])
	}
	return out
}

// tableOrder has physical ports before Port-channels, unlike the running configuration.
func tableOrder(a, b string) int {
	if isLAG(a) != isLAG(b) {
		return map[bool]int{true: 1, false: -1}[isLAG(a)]
	}
	return comparePorts(a, b)
}

func (d *Device) vlanBrief() string {
	var b strings.Builder
	b.WriteString("\nVLAN Name                             Status    Ports\n---- -------------------------------- --------- -------------------------------\n")
	names := map[int]string{1: "default", 1002: "fddi-default", 1003: "token-ring-default", 1004: "fddinet-default", 1005: "trnet-default"}
	for v, o := range d.running.vlans {
		names[v] = cmp.Or(o.name, fmt.Sprintf("VLAN%04d", v))
	}
	for _, v := range slices.Sorted(maps.Keys(names)) {
		state := "active"
		if reservedVLAN(v) && v != 1 {
			state = "act/unsup"
		}
		ports := d.accessPorts(v)
		fmt.Fprintf(&b, "%-4d %-32s %-9s %s\n", v, names[v], state, strings.Join(ports[:min(4, len(ports))], ", "))
		for i := 4; i < len(ports); i += 4 {
			fmt.Fprintf(&b, "%-47s %s\n", "", strings.Join(ports[i:min(i+4, len(ports))], ", "))
		}
	}
	return b.String()
}

func (d *Device) remoteVLANs() string {
	var ids []int
	for v, o := range d.running.vlans {
		if o.remote {
			ids = append(ids, v)
		}
	}
	slices.Sort(ids)
	return "\nRemote SPAN VLANs\n" + strings.Repeat("-", 78) + "\n" + vlanSet(ids) + "\n"
}

func (d *Device) neighbors() string {
	if !d.running.lldp {
		return "% LLDP is not enabled\n"
	}
	var b strings.Builder
	b.WriteString("\nCapability codes:\n    (R) Router, (B) Bridge, (T) Telephone, (C) DOCSIS Cable Device\n" +
		"    (W) WLAN Access Point, (P) Repeater, (S) Station, (O) Other\n\n" +
		"Device ID           Local Intf     Hold-time  Capability      Port ID\n")
	n := 0
	claimed := d.running.claimed()
	for _, name := range slices.SortedFunc(slices.Values(d.opts.Switch.Ports()), comparePorts) {
		st, _ := d.opts.Switch.PortStatus(name)
		if !st.Up || claimed[name] != 0 {
			continue
		}
		device, port, ok := st.Peer.Node, st.Peer.Port, true
		if d.opts.Neighbor != nil {
			device, port, ok = d.opts.Neighbor(st.Peer)
		}
		if !ok {
			continue
		}
		// Names of 20 characters and more are cut.
		fmt.Fprintf(&b, "%-20.20s%-15s%-11d%-16s%s\n", device, short(name), 120, "B", short(port))
		n++
	}
	fmt.Fprintf(&b, "\nTotal entries displayed: %d\n\n", n)
	return b.String()
}

func macText(m fabric.MAC) string {
	return fmt.Sprintf("%02x%02x.%02x%02x.%02x%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func (d *Device) macTable() string {
	var b strings.Builder
	b.WriteString("          Mac Address Table\n-------------------------------------------\n\n" +
		"Vlan    Mac Address       Type        Ports\n----    -----------       --------    -----\n")
	macs := d.opts.Switch.MACs()
	for _, m := range macs {
		fmt.Fprintf(&b, "%4d    %s    DYNAMIC     %s\n", m.VLAN, macText(m.MAC), short(m.Port))
	}
	fmt.Fprintf(&b, "Total Mac Addresses for this criterion: %d\n", len(macs))
	return b.String()
}

func (d *Device) lists(kind, only string) string {
	var b strings.Builder
	for _, k := range d.running.aclKeys() {
		if k.kind != kind || only != "" && k.name != only {
			continue
		}
		title := map[string]string{"ip": "Extended IP access list ", "ipv6": "IPv6 access list "}[kind]
		if d.running.acls[k].standard {
			title = "Standard IP access list "
		}
		b.WriteString(title + k.name + "\n")
		for _, l := range d.running.acls[k].lines() {
			b.WriteString("   " + l + "\n")
		}
	}
	return b.String()
}

// showCapability as captured on a Catalyst 9000.
func showCapability(x *cli, a args) answer {
	l := x.d.opts.Limits
	if a.has("erspan-destination") {
		return say(fmt.Sprintf("ERSPAN Destination Session:ERSPAN Destination Session Supported: TRUE\n"+
			"Maximum No of ERSPAN destination session: %d\nERSPAN Header Type supported: II and III\n", l.ERSPANDestinations))
	}
	return say(fmt.Sprintf(`ERSPAN Source Session:ERSPAN Source Session Supported: TRUE
No of Rx ERSPAN source session: %d
No of Tx ERSPAN source session: %d
ERSPAN Header Type supported: %s
ACL filter Supported: TRUE
SGT filter Supported: FALSE
Fragmentation Supported: TRUE
Truncation Supported: TRUE
Sequence number Supported: FALSE
QOS Supported: FALSE
`, l.ERSPANRx, l.ERSPANTx, map[bool]string{false: "II", true: "II and III"}[x.d.opts.HeaderTypeIII]))
}
