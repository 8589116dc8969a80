package nxos

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

// showLines are the outputs besides those of sessions.
func showLines(g *grammar) {
	show := func(pattern string, f func(d *Device, a args) string) {
		g.exec(pattern, func(x *cli, a args) answer { return say(f(x.d, a)) })
	}
	show("show version", func(d *Device, _ args) string { return d.showVersion() })
	show("show clock", func(d *Device, _ args) string {
		return d.opts.Clock.Now().UTC().Format("15:04:05.000 MST Mon Jan 02 2006") + "\n"
	})
	show("show hostname", func(d *Device, _ args) string { return d.running.fullHostname() + " \n" })
	show("show running-config", func(d *Device, _ args) string { return d.head("running-config") + d.running.render(d.version()) })
	show("show running-config monitor", func(d *Device, _ args) string {
		return d.head("running-config monitor") + d.part(d.running.monitorLines(false))
	})
	show("show running-config monitor all", func(d *Device, _ args) string {
		return d.head("running-config monitor all") + d.part(d.running.monitorLines(true))
	})
	show("show running-config interface name=PORT", func(d *Device, a args) string {
		return d.head("running-config interface "+a.ports[0]) + d.part(append([]string{"interface " + a.ports[0]}, d.running.ports[a.ports[0]].lines(a.ports[0])...))
	})
	show("show startup-config", func(d *Device, _ args) string {
		if d.startup == nil {
			return "No startup configuration\n" // unverified
		}
		return d.head("startup-config") + d.startup.render(d.version())
	})
	show("show interface brief", func(d *Device, _ args) string { return d.interfaceBrief() })
	show("show interface status", func(d *Device, _ args) string { return d.interfaceStatus() })
	show("show vlan [brief]", func(d *Device, _ args) string { return d.showVLAN() })
	show("show mac address-table", func(d *Device, _ args) string { return d.macTable() })
	g.exec("show lldp neighbors", func(x *cli, a args) answer {
		if !x.d.running.features["lldp"] {
			return x.complain(badCommand, len("show ")) // the command comes with its feature
		}
		return say(x.d.neighbors())
	})
}

// head of a configuration that is shown: recorded of both switches.
func (d *Device) head(what string) string {
	return "\n!Command: show " + what + "\n!Time: " + stamp(d.opts.Clock.Now()) + "\n\n"
}

func (d *Device) part(lines []string) string {
	return d.version() + "\n" + strings.Join(append(lines, ""), "\n") + "\n"
}

// showVersion has the lines that programs read of the recorded one.
func (d *Device) showVersion() string {
	up := d.opts.Clock.Now().Sub(d.booted)
	sum := sha256.Sum256([]byte(d.opts.Hostname))
	return fmt.Sprintf(`Cisco Nexus Operating System (NX-OS) Software
TAC support: http://www.cisco.com/tac

Software
  BIOS: version 07.69
  NXOS: version %s
  BIOS compile time:  04/07/2021
  NXOS image file is: bootflash:///nxos.%s.bin

Hardware
  cisco Nexus9000 %s Chassis 
  Intel(R) Xeon(R) CPU  with 24632580 kB of memory.
  Processor Board ID FDO%X
  Device name: %s
  bootflash:   53298520 kB

Kernel uptime is %d day(s), %d hour(s), %d minute(s), %d second(s)

Last reset at 0 usecs after %s
  Reason: Reset Requested by CLI command reload
  System version: %[2]s
  Service: 

plugin
  Core Plugin, Ethernet Plugin

Active Package(s):
`, d.opts.Version, d.opts.Version, d.opts.Model, sum[:4], d.running.hostname,
		int(up/(24*time.Hour)), int(up/time.Hour)%24, int(up/time.Minute)%60, int(up/time.Second)%60, stamp(d.booted))
}

// link tells whether a port carries frames, and else why not in words of "show interface brief".
func (d *Device) link(name string) (up bool, reason string) {
	p := d.running.ports[name]
	if p.shutdown {
		return false, "Administratively down"
	}
	if isLAG(name) {
		for _, m := range d.running.portNames() {
			if g := d.running.ports[m].group; g != 0 && lagName(g) == name {
				if ok, _ := d.link(m); ok {
					return true, "none"
				}
			}
		}
		return false, "No operational members"
	}
	if st, ok := d.opts.Switch.PortStatus(name); ok && !st.Up {
		return false, "Link not connected"
	}
	return true, "none"
}

func upDown(up bool) string { return map[bool]string{true: "up", false: "down"}[up] }

const rule = "--------------------------------------------------------------------------------\n"

// vlanColumn: "monitor" for destinations (ntc-templates' capture).
func (p *port) vlanColumn() string {
	switch {
	case p.routed:
		return "--"
	case p.monitor:
		return "monitor"
	case p.trunk:
		return strconv.Itoa(max(p.native, 1))
	default:
		return strconv.Itoa(max(p.access, 1))
	}
}

func (p *port) modeColumn() string {
	switch {
	case p.routed:
		return "routed"
	case p.trunk:
		return "trunk"
	default:
		return "access"
	}
}

// interfaceBrief has the columns of ntc-templates' capture. Speeds are made up.
func (d *Device) interfaceBrief() string {
	var b strings.Builder
	m := d.running.ports["mgmt0"]
	b.WriteString("\n" + rule + "Port   VRF          Status IP Address                              Speed    MTU\n" + rule)
	address, _, _ := strings.Cut(cmp.Or(m.address, "--"), "/")
	fmt.Fprintf(&b, "mgmt0  --           %-6s %-39s 1000     1500\n", upDown(!m.shutdown), address)
	b.WriteString("\n" + rule + "Ethernet      VLAN    Type Mode   Status  Reason                   Speed     Port\n")
	b.WriteString("Interface                                                                    Ch #\n" + rule)
	var lags []string
	for _, name := range d.running.portNames() {
		p := d.running.ports[name]
		if isLAG(name) {
			lags = append(lags, name)
		}
		if !isFront(name) {
			continue
		}
		up, reason := d.link(name)
		speed := map[bool]string{true: "10G(D)", false: "auto(D)"}[up]
		group := "--"
		if p.group != 0 {
			group = strconv.Itoa(p.group)
		}
		fmt.Fprintf(&b, "%-13s %-7s eth  %-6s %-7s %-23s %9s %s\n", short(name), p.vlanColumn(), p.modeColumn(), upDown(up), reason, speed, group)
	}
	if len(lags) > 0 {
		b.WriteString("\n" + rule + "Port-channel VLAN    Type Mode   Status  Reason                    Speed   Protocol\nInterface                                                                  \n" + rule)
	}
	for _, name := range lags {
		p := d.running.ports[name]
		up, reason := d.link(name)
		fmt.Fprintf(&b, "%-12s %-7s eth  %-6s %-7s %-23s %10s  %s\n", short(name), p.vlanColumn(), p.modeColumn(), upDown(up), reason, "a-10G(D)", "lacp")
	}
	return b.String()
}

// interfaceStatus: columns as remembered of NX-OS (unverified).
func (d *Device) interfaceStatus() string {
	var b strings.Builder
	b.WriteString("\n" + rule + "Port          Name               Status    Vlan      Duplex  Speed   Type\n" + rule)
	for _, name := range d.running.portNames() {
		p := d.running.ports[name]
		if !isFront(name) && !isLAG(name) {
			continue
		}
		state := "connected"
		if up, reason := d.link(name); !up {
			state = map[bool]string{true: "disabled", false: "notconnec"}[reason == "Administratively down"]
		}
		vlan := p.vlanColumn()
		switch {
		case p.routed:
			vlan = "routed"
		case p.trunk && !p.monitor:
			vlan = "trunk"
		}
		fmt.Fprintf(&b, "%-13s %-18.18s %-9s %-9s full    10G     10Gbase-SR\n", short(name), cmp.Or(p.description, "--"), state, vlan)
	}
	return b.String()
}

// showVLAN: columns of public captures.
func (d *Device) showVLAN() string {
	var b strings.Builder
	b.WriteString("\nVLAN Name                             Status    Ports\n---- -------------------------------- --------- -------------------------------\n")
	all := d.running.withDefaultVLAN()
	for _, v := range slices.Sorted(maps.Keys(all)) {
		var ports []string
		for _, name := range d.running.portNames() {
			p := d.running.ports[name]
			in := !p.routed && !p.monitor && p.group == 0 && (isFront(name) || isLAG(name))
			if in && (p.trunk && (!p.limited || slices.Contains(p.allowed, v)) || !p.trunk && max(p.access, 1) == v) {
				ports = append(ports, short(name))
			}
		}
		name := all[v]
		if name == "" {
			name = map[bool]string{true: "default", false: fmt.Sprintf("VLAN%04d", v)}[v == 1]
		}
		fmt.Fprintf(&b, "%-4d %-32s %-9s ", v, name, "active")
		for len(ports) > 4 {
			fmt.Fprintf(&b, "%s\n%48s", strings.Join(ports[:4], ", "), "")
			ports = ports[4:]
		}
		b.WriteString(strings.Join(ports, ", ") + "\n")
	}
	return b.String()
}

// macTable: columns of public captures; age is always 0.
func (d *Device) macTable() string {
	var b strings.Builder
	b.WriteString("Legend: \n        * - primary entry, G - Gateway MAC, (R) - Routed MAC, O - Overlay MAC\n")
	b.WriteString("   VLAN     MAC Address      Type      age     Secure NTFY Ports\n---------+-----------------+--------+---------+------+----+------------------\n")
	for _, e := range d.opts.Switch.MACs() {
		m := e.MAC
		fmt.Fprintf(&b, "* %4d     %02x%02x.%02x%02x.%02x%02x   dynamic  0         F      F    %s\n", e.VLAN, m[0], m[1], m[2], m[3], m[4], m[5], short(e.Port))
	}
	return b.String()
}

// neighbors: columns of public captures.
func (d *Device) neighbors() string {
	var b strings.Builder
	b.WriteString("Capability codes:\n  (R) Router, (B) Bridge, (T) Telephone, (C) DOCSIS Cable Device\n  (W) WLAN Access Point, (P) Repeater, (S) Station, (O) Other\n")
	b.WriteString("Device ID            Local Intf      Hold-time  Capability  Port ID  \n")
	n := 0
	for _, name := range d.front {
		st, _ := d.opts.Switch.PortStatus(name)
		if !st.Up || st.Peer == (fabric.End{}) {
			continue
		}
		device, far, ok := st.Peer.Node, st.Peer.Port, true
		if d.opts.Neighbor != nil {
			device, far, ok = d.opts.Neighbor(st.Peer)
		}
		if ok {
			n++
			fmt.Fprintf(&b, "%-20s %-15s %-10s %-11s %s\n", device, short(name), "120", "BR", far)
		}
	}
	fmt.Fprintf(&b, "Total entries displayed: %d\n", n)
	return b.String()
}
