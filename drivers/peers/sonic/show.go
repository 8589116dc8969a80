package sonic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// show is the program of that name.
func (d *Device) show(words []string) (string, int) {
	switch text := strings.Join(words, " "); {
	case text == "runningconfiguration all":
		return d.db.text(), 0
	case len(words) > 0 && words[0] == "mirror_session" && len(words) <= 2:
		return d.showSessions(strings.TrimPrefix(text, "mirror_session")), 0
	case text == "interfaces status":
		return d.showPorts(), 0
	case text == "lldp table":
		return d.showNeighbors(), 0
	case text == "mac":
		return d.showMACs(), 0
	case text == "version":
		return fmt.Sprintf("\nSONiC Software Version: %s\nDistribution: Debian 12.9\nKernel: 6.1.0-29-2-amd64\n\nPlatform: x86_64-kvm_x86_64-r0\nHwSKU: %s\nASIC: vs\nASIC Count: 1\nSerial Number: %s\n\nDocker images:\n",
			d.opts.Version, d.opts.SKU, d.opts.Serial), 0
	}
	return noCommand("show", words)
}

// tabulate prints a table as the module of that name does in its form "simple".
func tabulate(titles []string, rows [][]string) string {
	widths := make([]int, len(titles))
	for i, t := range titles {
		widths[i] = len(t) + 2
		for _, r := range rows {
			widths[i] = max(widths[i], len(r[i]))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		var s strings.Builder
		for i, c := range cells {
			fmt.Fprintf(&s, "%-*s  ", widths[i], c)
		}
		b.WriteString(strings.TrimRight(s.String(), " ") + "\n")
	}
	line(titles)
	dashes := make([]string, len(titles))
	for i, w := range widths {
		dashes[i] = strings.Repeat("-", w)
	}
	line(dashes)
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func (d *Device) showSessions(name string) string {
	name = strings.TrimSpace(name)
	erspan := []string{"Name", "Status", "SRC IP", "DST IP", "GRE", "DSCP", "TTL", "Queue", "Policer", "Monitor Port", "SRC Port", "Direction"}
	span := []string{"Name", "Status", "DST Port", "SRC Port", "Direction", "Queue", "Policer"}
	if !d.opts.OldImage {
		erspan = append(erspan, "Sample Rate", "Truncate Size")
	}
	var tunnels, ports [][]string
	for n, key := range slices.Sorted(maps.Keys(d.db[table])) {
		if name != "" && key != name {
			continue
		}
		r := d.db[table][key]
		state, direction := d.state(r, n), strings.ToLower(r["direction"])
		if r["type"] == "SPAN" {
			ports = append(ports, []string{key, state, r["dst_port"], r["src_port"], direction, r["queue"], r["policer"]})
			continue
		}
		row := []string{key, state, r["src_ip"], r["dst_ip"], r["gre_type"], r["dscp"], r["ttl"], r["queue"], r["policer"], "", r["src_port"], direction}
		if !d.opts.OldImage {
			row = append(row, r["sample_rate"], r["truncate_size"])
		}
		tunnels = append(tunnels, row)
	}
	return "ERSPAN Sessions\n" + tabulate(erspan, tunnels) + "\nSPAN Sessions\n" + tabulate(span, ports)
}

func (d *Device) showPorts() string {
	var rows [][]string
	for _, p := range slices.Sorted(maps.Keys(d.db["PORT"])) {
		r := d.db["PORT"][p]
		oper := "down"
		if st, ok := d.opts.Switch.PortStatus(p); ok && st.Up {
			oper = "up"
		}
		vlan := "routed"
		switch {
		case d.member("PORTCHANNEL_MEMBER", p) != "":
			vlan = d.member("PORTCHANNEL_MEMBER", p)
		case d.member("VLAN_MEMBER", p) != "":
			vlan = "trunk"
		}
		rows = append(rows, []string{p, r["lanes"], "100G", r["mtu"], "N/A", r["alias"], vlan, oper, either(r["admin_status"], "down"), "N/A", "N/A"})
	}
	return tabulate([]string{"Interface", "Lanes", "Speed", "MTU", "FEC", "Alias", "Vlan", "Oper", "Admin", "Type", "Asym PFC"}, rows)
}

func (d *Device) showNeighbors() string {
	var rows [][]string
	for _, p := range d.opts.Switch.Ports() {
		if d.opts.Neighbor == nil {
			break
		}
		st, _ := d.opts.Switch.PortStatus(p)
		if st.Peer.Node == "" {
			continue
		}
		if device, port, ok := d.opts.Neighbor(st.Peer); ok {
			rows = append(rows, []string{p, device, port, "BR", ""})
		}
	}
	return "Capability codes: (R) Router, (B) Bridge, (O) Other\n" +
		tabulate([]string{"LocalPort", "RemoteDevice", "RemotePortID", "Capability", "RemotePortDescr"}, rows) +
		strings.Repeat("-", 50) + "\nTotal entries displayed:  " + fmt.Sprint(len(rows)) + "\n"
}

func (d *Device) showMACs() string {
	var rows [][]string
	for i, e := range d.opts.Switch.MACs() {
		rows = append(rows, []string{fmt.Sprint(i + 1), fmt.Sprint(e.VLAN), macText(e.MAC), e.Port, "Dynamic"})
	}
	return tabulate([]string{"No.", "Vlan", "MacAddress", "Port", "Type"}, rows) + fmt.Sprintf("Total number of entries %d\n", len(rows))
}

func macText(m fabric.MAC) string {
	return fmt.Sprintf("%02X:%02X:%02X:%02X:%02X:%02X", m[0], m[1], m[2], m[3], m[4], m[5])
}
