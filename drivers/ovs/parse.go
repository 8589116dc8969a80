package ovs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Dialect is Open vSwitch by its command line.
type Dialect struct{}

var _ drivers.Dialect = Dialect{}

// The tables that are read, in this order.
const (
	tabSwitch = iota
	tabBridge
	tabPort
	tabInterface
	tabMirror
)

// tables are the lists that are asked for. Of mirrors all columns are read, so that a
// later release's are not overlooked; of the others those that are of use, which all
// releases have.
var tables = []struct {
	name    string
	columns []string
	every   bool
}{
	tabSwitch:    {"Open_vSwitch", []string{"ovs_version", "system_type", "system_version", "external_ids"}, false},
	tabBridge:    {"Bridge", []string{"_uuid", "name", "ports", "mirrors"}, false},
	tabPort:      {"Port", []string{"_uuid", "name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids"}, false},
	tabInterface: {"Interface", []string{"_uuid", "name", "type", "options", "ofport", "admin_state", "link_state", "link_speed", "mtu", "error"}, false},
	tabMirror:    {"Mirror", []string{"_uuid", "name", "select_all", "select_src_port", "select_dst_port", "select_vlan", "output_port", "output_vlan", "snaplen", "statistics", "external_ids"}, true},
}

// The requests, in this order.
const (
	readDatabase = iota
	readMACs
	readCount
)

// listEnd is the last line of the answer to macsCommand.
const listEnd = "end of the list"

// macsCommand looks whether ovs-vswitchd speaks to the login, and shows the learned
// addresses of each bridge under its name, whatever the login's shell is. Fake bridges
// have no table of their own, and a bridge that could not be set up has none at all.
const macsCommand = `sh -c 'ovs-appctl --timeout=10 version >/dev/null || exit; for b in $(ovs-vsctl --timeout=10 --real list-br); do echo "bridge $b"; ovs-appctl --timeout=10 fdb/show "$b" 2>/dev/null; done; echo ` + listEnd + `'`

// Reads gives one ovs-vsctl that lists all tables, in one transaction, and the
// addresses that the bridges have learned. Where the latter is refused the login may
// not speak to ovs-vswitchd.
func (Dialect) Reads() []transport.Request {
	var b strings.Builder
	b.WriteString("ovs-vsctl --timeout=10 --format=json")
	for _, t := range tables {
		b.WriteString(" --")
		if !t.every {
			b.WriteString(" --columns=" + strings.Join(t.columns, ","))
		}
		b.WriteString(" list " + t.name)
	}
	return []transport.Request{{Text: b.String()}, {Text: macsCommand, Optional: true}}
}

// Traits: "bridge NAME" for each bridge; where there are several, "port NAME BRIDGE"
// and "mirror NAME BRIDGE" for what they hold; and noAppctl.
const (
	traitBridge = "bridge"
	traitPort   = "port"
	traitMirror = "mirror"
	// noAppctl tells that ovs-vswitchd does not speak to the login.
	noAppctl = "no-appctl"
)

// database is what was read, by row.
type database struct {
	system     row
	bridges    []row
	ports      map[uuid]row
	interfaces map[uuid]row
	mirrors    map[uuid]row
	bridgeOf   map[uuid]string // of ports
}

// Parse reads the replies to Reads. Sessions come in the order of bridges and of the
// names of mirrors. A mirror without a name of its own has its UUID for a name.
func (d Dialect) Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error) {
	if len(replies) != readCount {
		return models.DeviceState{}, fmt.Errorf("%d replies to %d requests", len(replies), readCount)
	}
	db, err := readDB(replies[readDatabase].Text)
	if err != nil {
		return models.DeviceState{}, fmt.Errorf("ovs-vsctl: %w", err)
	}
	macs := make(map[string]int)
	appctl := replies[readMACs].Err == ""
	if appctl {
		if macs, err = db.readMACs(replies[readMACs].Text); err != nil {
			return models.DeviceState{}, fmt.Errorf("ovs-appctl fdb/show: %w", err)
		}
	}
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}}
	fullest := 0
	for _, b := range db.bridges {
		name, _ := one[string](b, "name")
		for _, id := range all[uuid](b, "ports") {
			if p, ok := db.ports[id]; ok && !db.ownTunnel(p) {
				port := db.port(p, name)
				port.MACs = macs[port.Name]
				st.Ports[port.Name] = port
			}
		}
		mine := db.sessions(dev, b)
		fullest = max(fullest, len(mine))
		st.Sessions = append(st.Sessions, mine...)
	}
	st.Facts = db.facts(st.Sessions, appctl)
	// The limit is that of a bridge: no more than fit into the fullest.
	st.Facts.MaxSessions = len(st.Sessions) + max(0, maxMirrors-fullest)
	return st, nil
}

func readDB(text string) (*database, error) {
	wanted := make([][]string, len(tables))
	for i, t := range tables {
		wanted[i] = t.columns
	}
	rows, err := readTables(text, wanted)
	if err != nil {
		return nil, err
	}
	if len(rows[tabSwitch]) != 1 {
		return nil, fmt.Errorf("%d rows of Open_vSwitch, want one: is the database initialized?", len(rows[tabSwitch]))
	}
	db := &database{system: rows[tabSwitch][0], bridges: rows[tabBridge], bridgeOf: make(map[uuid]string)}
	for _, t := range []struct {
		n  int
		to *map[uuid]row
	}{{tabPort, &db.ports}, {tabInterface, &db.interfaces}, {tabMirror, &db.mirrors}} {
		*t.to = make(map[uuid]row, len(rows[t.n]))
		for _, r := range rows[t.n] {
			if r.id() == "" {
				return nil, fmt.Errorf("a row of %s without an identity", tables[t.n].name)
			}
			(*t.to)[r.id()] = r
		}
	}
	slices.SortFunc(db.bridges, func(a, b row) int {
		x, _ := one[string](a, "name")
		y, _ := one[string](b, "name")
		return models.CompareNatural(x, y)
	})
	for _, b := range db.bridges {
		name, ok := one[string](b, "name")
		if !ok {
			return nil, errors.New("a bridge without a name")
		}
		for _, id := range all[uuid](b, "ports") {
			db.bridgeOf[id] = name
		}
	}
	return db, nil
}

// facts gives what the host says of itself, and where things are.
func (db *database) facts(sessions []models.Session, appctl bool) models.Facts {
	var f models.Facts
	f.Version, _ = one[string](db.system, "ovs_version")
	f.Hostname = db.system.entries("external_ids")["hostname"]
	kind, _ := one[string](db.system, "system_type")
	release, _ := one[string](db.system, "system_version")
	f.Model = strings.TrimSpace(kind + " " + release)
	for _, b := range db.bridges {
		name, _ := one[string](b, "name")
		f.Traits = append(f.Traits, traitBridge+" "+name)
	}
	if len(db.bridges) > 1 {
		for id, bridge := range db.bridgeOf {
			if name, ok := one[string](db.ports[id], "name"); ok {
				f.Traits = append(f.Traits, traitPort+" "+name+" "+bridge)
			}
		}
		n := 0
		for _, b := range db.bridges {
			name, _ := one[string](b, "name")
			for range db.mirrorsOf(b) {
				f.Traits = append(f.Traits, traitMirror+" "+sessions[n].Name+" "+name)
				n++
			}
		}
	}
	if !appctl {
		f.Traits = append(f.Traits, noAppctl)
	}
	slices.Sort(f.Traits)
	return f
}

// port gives a port as it is configured and runs. Of a bond the first interface tells.
func (db *database) port(p row, bridge string) models.Port {
	name, _ := one[string](p, "name")
	out := models.Port{Name: name}
	mode, _ := one[string](p, "vlan_mode")
	tag, tagged := one[int64](p, "tag")
	for _, v := range all[int64](p, "trunks") {
		if v >= 0 && v <= 4095 {
			out.TrunkVLANs = append(out.TrunkVLANs, models.One(uint16(v)))
		}
	}
	out.TrunkVLANs = models.MergeRanges(out.TrunkVLANs)
	switch {
	case name == bridge:
		out.Mode = models.PortRouted // the host's own port
	case mode == "access" || mode == "dot1q-tunnel" || mode == "" && tagged:
		out.Mode, out.TrunkVLANs = models.PortAccess, nil
		if tag > 0 && tag < 4095 {
			out.AccessVLAN = uint16(tag)
		}
	case mode != "" || out.TrunkVLANs != nil:
		out.Mode = models.PortTrunk
	}
	// A port about which nothing is said carries all VLANs, as every new port does:
	// that tells nothing of its duty, so its mode is not known.
	ids := all[uuid](p, "interfaces")
	if len(ids) == 0 {
		return out
	}
	i := db.interfaces[ids[0]]
	if admin, _ := one[string](i, "admin_state"); admin == "down" {
		out.AdminDown = true
	}
	out.Oper = linkState(i)
	if speed, ok := one[int64](i, "link_speed"); ok && speed >= 1e6 && speed < 1e15 {
		out.SpeedMbps = uint32(speed / 1e6)
	}
	if mtu, ok := one[int64](i, "mtu"); ok && mtu > 0 && mtu < 1<<17 {
		out.MTU = uint32(mtu)
	}
	return out
}

func linkState(i row) models.OperState {
	switch link, _ := one[string](i, "link_state"); link {
	case "up":
		return models.OperUp
	case "down":
		return models.OperDown
	}
	return models.OperUnknown
}

// readMACs counts the learned addresses of each port in the answer to macsCommand:
// under "bridge NAME" the table of fdb/show, whose lines are OpenFlow port, VLAN,
// address and age in seconds.
func (db *database) readMACs(text string) (map[string]int, error) {
	body, ok := strings.CutSuffix(strings.TrimRight(text, "\r\n"), listEnd)
	if !ok {
		return nil, errors.New("the list has no end")
	}
	type place struct {
		bridge string
		ofport int64
	}
	at := make(map[place]string)
	for id, bridge := range db.bridgeOf {
		p := db.ports[id]
		name, _ := one[string](p, "name")
		for _, i := range all[uuid](p, "interfaces") {
			if n, ok := one[int64](db.interfaces[i], "ofport"); ok {
				at[place{bridge, n}] = name
			}
		}
	}
	out := make(map[string]int)
	bridge := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "bridge "); ok {
			bridge = name
			continue
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && f[0] == "port" && f[1] == "VLAN":
			continue
		case len(f) < 4 || bridge == "":
			return nil, fmt.Errorf("%.80q is no line of the table", line)
		case f[0] == "LOCAL":
			continue // the bridge's own port, which is no destination anyway
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%.80q is no line of the table", line)
		}
		if name, ok := at[place{bridge, n}]; ok {
			out[name]++
		}
	}
	return out, nil
}
