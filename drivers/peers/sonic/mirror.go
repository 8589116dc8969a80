package sonic

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

const table = "MIRROR_SESSION"

// mirrorSession is "config mirror_session".
func (d *Device) mirrorSession(words []string) (string, int) {
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch {
	case word(0) == "span" && word(1) == "add":
		return d.add(spanForm, words[2:])
	case word(0) == "erspan" && word(1) == "add":
		return d.add(erspanForm, words[2:])
	case word(0) == "add":
		return d.add(legacyForm, words[1:])
	case word(0) == "remove":
		if len(words) != 2 {
			return usage("config mirror_session remove [OPTIONS] <session_name>", "config mirror_session remove", "Missing argument \"<session_name>\".")
		}
		db := d.db.clone()
		db.remove(table, words[1]) // of one that is not there nothing is said
		return d.commit(db)
	}
	return noCommand("config mirror_session", words)
}

// form is what a command takes: words by their place, of which the first ones are
// needed, and options behind them.
type form struct {
	command string
	fields  []string // of MIRROR_SESSION, but "name"
	needed  int
	kind    string // of the session
	options bool   // --sample_rate and --truncate_size
}

var (
	spanForm   = form{"span add", []string{"name", "dst_port", "src_port", "direction", "queue"}, 2, "SPAN", false}
	erspanForm = form{"erspan add", []string{"name", "src_ip", "dst_ip", "dscp", "ttl", "gre_type", "queue", "src_port", "direction"}, 5, "ERSPAN", true}
	legacyForm = form{"add", []string{"name", "src_ip", "dst_ip", "dscp", "ttl", "gre_type", "queue"}, 5, "ERSPAN", false}
)

func (f form) fail(format string, args ...any) (string, int) {
	synopsis := "config mirror_session " + f.command + " [OPTIONS]"
	for i, name := range f.fields {
		mark := "[%s]"
		if i < f.needed {
			mark = "<%s>"
		}
		synopsis += " " + fmt.Sprintf(mark, map[bool]string{true: "session_name", false: name}[name == "name"])
	}
	return usage(synopsis, "config mirror_session "+f.command, format, args...)
}

// add makes a session.
func (d *Device) add(f form, words []string) (string, int) {
	options := map[string]string{}
	var plain []string
	for i := 0; i < len(words); i++ {
		name, isOption := strings.CutPrefix(words[i], "--")
		if !isOption {
			plain = append(plain, words[i])
			continue
		}
		known := name == "policer" || f.options && !d.opts.OldImage && (name == "sample_rate" || name == "truncate_size")
		if !known {
			return f.fail("no such option: --%s", name)
		}
		if i++; i == len(words) {
			return f.fail("--%s option requires an argument", name)
		}
		options[name] = words[i]
	}
	if len(plain) < f.needed {
		return f.fail("Missing argument \"<%s>\".", f.fields[len(plain)])
	}
	if len(plain) > len(f.fields) {
		return f.fail("Got unexpected extra argument (%s)", strings.Join(plain[len(f.fields):], " "))
	}
	row := map[string]string{"type": f.kind}
	for i, v := range plain {
		row[f.fields[i]] = v
	}
	name := row["name"]
	delete(row, "name")
	if why := d.valid(row, options); why != "" {
		return f.fail("%s", why)
	}
	if _, ok := d.db.row(table, name); ok {
		return fmt.Sprintf("Error: %s already exists\n", name), 0
	}
	if why := d.conflict(row); why != "" {
		return f.fail("Error: %s", why) // the code puts the word in front of a text that has it
	}
	maps.Copy(row, options)
	if row["src_port"] != "" {
		row["direction"] = strings.ToUpper(either(row["direction"], "both"))
	} else {
		delete(row, "direction")
	}
	if row["src_port"] == "" {
		delete(row, "src_port")
	}
	for _, key := range []string{"sample_rate", "truncate_size"} {
		if row[key] == "0" {
			delete(row, key)
		}
	}
	db := d.db.clone()
	db.set(table, name, row)
	return d.commit(db)
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// valid checks what click's types and callbacks check, and writes numbers as they are
// stored: the GRE type in decimals.
func (d *Device) valid(row, options map[string]string) string {
	for _, key := range []string{"src_ip", "dst_ip"} {
		if v, ok := row[key]; ok {
			if a, err := netip.ParseAddr(v); err != nil {
				return fmt.Sprintf("'%s' does not appear to be an IPv4 or IPv6 network", v)
			} else if !a.Is4() {
				return v + " is not a valid IPv4 address"
			}
		}
	}
	if v, ok := row["gre_type"]; ok {
		n, err := strconv.ParseUint(v, 0, 16)
		if err != nil {
			return v + " is not a valid GRE type"
		}
		row["gre_type"] = strconv.FormatUint(n, 10)
	}
	for _, r := range []struct {
		in        map[string]string
		key, name string
		low, high uint64
		or        bool // 0 as well
	}{
		{row, "dscp", "<dscp>", 0, 63, false}, {row, "ttl", "<ttl>", 0, 255, false}, {row, "queue", "[queue]", 0, 255, false},
		{options, "sample_rate", "--sample_rate", 2, 1<<32 - 1, true}, {options, "truncate_size", "--truncate_size", 64, 9216, true},
	} {
		v, ok := r.in[r.key]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return fmt.Sprintf("Invalid value for \"%s\": %s is not a valid integer", r.name, v)
		}
		if (n < r.low || n > r.high) && (!r.or || n != 0) {
			return fmt.Sprintf("Invalid value for \"%s\": %s is not in the valid range of %d to %d.", r.name, v, r.low, r.high)
		}
	}
	return ""
}

// conflict checks what validate_mirror_session_config checks, in its order.
func (d *Device) conflict(row map[string]string) string {
	to, isSpan := row["dst_port"]
	if isSpan {
		_, isPort := d.db.row("PORT", to)
		_, isLAG := d.db.row("PORTCHANNEL", to)
		switch {
		case isLAG:
			return fmt.Sprintf("Destination Interface %s is not supported", to)
		case !isPort:
			return fmt.Sprintf("Destination Interface %s is invalid", to)
		case d.member("VLAN_MEMBER", to) != "":
			return fmt.Sprintf("Destination Interface %s has vlan config", to)
		case d.member("PORTCHANNEL_MEMBER", to) != "":
			return fmt.Sprintf("Destination Interface %s has portchannel config", to)
		case d.routed(to):
			return fmt.Sprintf("Destination Interface %s is a L3 interface", to)
		}
	}
	var ports []string
	if row["src_port"] != "" {
		ports = strings.Split(row["src_port"], ",")
	}
	for _, p := range ports {
		_, isPort := d.db.row("PORT", p)
		_, isLAG := d.db.row("PORTCHANNEL", p)
		switch {
		case !isPort && !isLAG:
			return fmt.Sprintf("Source Interface %s is invalid", p)
		case p == to:
			return "Destination Interface can't be same as Source Interface"
		}
	}
	direction := strings.ToUpper(row["direction"])
	for _, name := range slices.Sorted(maps.Keys(d.db[table])) {
		other := d.db[table][name]
		for _, p := range ports {
			if other["dst_port"] == p {
				return fmt.Sprintf("Source Interface %s already has mirror config", p)
			}
			// A part of the list will do, as in the code: Ethernet1 is found in Ethernet10.
			if strings.Contains(other["src_port"], p) &&
				(direction == "" || direction == "BOTH" || other["direction"] == "BOTH" || other["direction"] == direction) {
				return fmt.Sprintf("Source Interface %s already has mirror config in same direction", p)
			}
		}
		if isSpan && (other["dst_port"] == to || strings.Contains(other["src_port"], to)) {
			return fmt.Sprintf("Destination Interface %s already has mirror config", to)
		}
	}
	if direction != "" && !slices.Contains([]string{"RX", "TX", "BOTH"}, direction) {
		return fmt.Sprintf("Direction %s is invalid", row["direction"])
	}
	return ""
}

// member gives what a port is a member of by a table, "" for nothing.
func (d *Device) member(name, port string) string {
	for key := range d.db[name] {
		if of, p, _ := strings.Cut(key, "|"); p == port {
			return of
		}
	}
	return ""
}

// routed reports whether a port has an address.
func (d *Device) routed(port string) bool {
	for key := range d.db["INTERFACE"] {
		if p, _, _ := strings.Cut(key, "|"); p == port {
			return true
		}
	}
	return false
}

// commit puts a changed CONFIG_DB in force.
func (d *Device) commit(db configDB) (string, int) {
	if err := d.activate(db); err != nil {
		return "Invalid ConfigDB. Error: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\n", 2
	}
	return "", 0
}

// activate makes db what holds, at once and as a whole. With an error nothing has
// changed. d.mu is held, except by New.
func (d *Device) activate(db configDB) error {
	fc, err := d.fabricConfig(db)
	if err != nil {
		return err
	}
	if err := d.opts.Switch.Configure(fc); err != nil {
		return err
	}
	d.db = db
	return nil
}

// state is what STATE_DB says of a session: the n-th in the order of names.
func (d *Device) state(row map[string]string, n int) string {
	switch to, err := netip.ParseAddr(row["dst_ip"]); {
	case d.opts.MaxSessions > 0 && n >= d.opts.MaxSessions:
		return "error"
	case row["type"] != "SPAN" && (err != nil || d.opts.Reachable != nil &&
		!slices.ContainsFunc(d.opts.Reachable, func(p netip.Prefix) bool { return p.Contains(to) })):
		return "inactive"
	default:
		return "active"
	}
}

var directions = map[string]fabric.Direction{"RX": fabric.Rx, "TX": fabric.Tx, "BOTH": fabric.Both, "": fabric.Both}

// fabricConfig is what CONFIG_DB means to the packet model.
func (d *Device) fabricConfig(db configDB) (fabric.Config, error) {
	fc := fabric.Config{Ports: map[string]fabric.PortConfig{}, LAGs: map[string]fabric.PortConfig{}, VLANs: map[uint16]fabric.VLAN{}}
	port := func(fields map[string]string) fabric.PortConfig {
		// Outside of all VLANs a port bridges nothing.
		return fabric.PortConfig{Shutdown: fields["admin_status"] == "down", Mode: fabric.Routed}
	}
	for name, fields := range db["PORT"] {
		fc.Ports[name] = port(fields)
	}
	for name, fields := range db["PORTCHANNEL"] {
		fc.LAGs[name] = port(fields)
	}
	for key := range db["PORTCHANNEL_MEMBER"] {
		lag, name, _ := strings.Cut(key, "|")
		pc := fc.Ports[name]
		pc.LAG = lag
		fc.Ports[name] = pc
	}
	for _, key := range slices.Sorted(maps.Keys(db["VLAN_MEMBER"])) {
		vlan, name, _ := strings.Cut(key, "|")
		id, err := strconv.ParseUint(strings.TrimPrefix(vlan, "Vlan"), 10, 16)
		if err != nil {
			return fc, fmt.Errorf("VLAN_MEMBER %s: no VLAN", key)
		}
		fc.VLANs[uint16(id)] = fabric.VLAN{}
		all := fc.Ports
		if _, ok := fc.LAGs[name]; ok {
			all = fc.LAGs
		}
		pc, ok := all[name]
		if !ok {
			return fc, fmt.Errorf("VLAN_MEMBER %s: no port", key)
		}
		pc.Mode = fabric.Trunk
		pc.TrunkVLANs = append(pc.TrunkVLANs, fabric.VLANRange{From: uint16(id), To: uint16(id)})
		if db["VLAN_MEMBER"][key]["tagging_mode"] != "tagged" {
			pc.NativeVLAN = uint16(id)
		}
		all[name] = pc
	}
	for n, name := range slices.Sorted(maps.Keys(db[table])) {
		row := db[table][name]
		m := fabric.Mirror{Name: name, Shutdown: d.state(row, n) != "active"}
		for _, p := range strings.Split(row["src_port"], ",") {
			if p == "" {
				continue
			}
			src := fabric.MirrorSource{Kind: fabric.SourcePort, Name: p, Direction: directions[row["direction"]]}
			if _, ok := fc.LAGs[p]; ok {
				src.Kind = fabric.SourceLAG
			}
			m.Sources = append(m.Sources, src)
		}
		number := func(key string, otherwise uint64) uint64 {
			if n, err := strconv.ParseUint(row[key], 0, 32); err == nil {
				return n
			}
			return otherwise
		}
		if row["type"] == "SPAN" {
			to := fabric.MirrorDestination{Kind: fabric.DestinationPort, Name: row["dst_port"]}
			if row["dst_port"] == "CPU" {
				to = fabric.MirrorDestination{Kind: fabric.DestinationCPU}
			}
			m.Destinations = []fabric.MirrorDestination{to}
		} else {
			from, errFrom := netip.ParseAddr(row["src_ip"])
			to, errTo := netip.ParseAddr(row["dst_ip"])
			if errFrom != nil || errTo != nil {
				return fc, fmt.Errorf("%s %s: addresses %q and %q", table, name, row["src_ip"], row["dst_ip"])
			}
			m.Destinations = []fabric.MirrorDestination{{Kind: fabric.DestinationTunnel, Tunnel: fabric.Tunnel{
				Kind: fabric.GRE, Source: from, Destination: to, Protocol: uint16(number("gre_type", 0x88be)),
				TTL: uint8(number("ttl", 255)), DSCP: uint8(number("dscp", 8)),
			}}}
			m.SampleOneIn, m.TruncateTo = uint32(number("sample_rate", 0)), uint16(number("truncate_size", 0))
		}
		if len(m.Sources) == 0 {
			m.Shutdown = true // rules of ACL tables would give it frames
		}
		fc.Mirrors = append(fc.Mirrors, m)
	}
	return fc, nil
}
