package sonic

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Dialect says and reads the commands of community SONiC. The zero value is ready.
type Dialect struct{}

var _ drivers.Dialect = Dialect{}

// What Reads asks, by index.
const (
	readConfig = iota
	readSessions
	readStatus
	readNeighbors
	readMACs
	readVersion
	readCount
)

// Reads asks for the configuration and for what runs.
func (Dialect) Reads() []transport.Request {
	return []transport.Request{
		readConfig:    {Text: "show runningconfiguration all"},
		readSessions:  {Text: "show mirror_session", Optional: true},
		readStatus:    {Text: "show interfaces status", Optional: true},
		readNeighbors: {Text: "show lldp table", Optional: true},
		readMACs:      {Text: "show mac", Optional: true},
		readVersion:   {Text: "show version", Optional: true},
	}
}

// Parse reads the replies to Reads. CONFIG_DB tells what sessions and ports there are,
// the tables what they do now. Text that is not the JSON of CONFIG_DB is an error; so
// is a mirror session that cannot be read, and a table of sessions that is cut.
func (Dialect) Parse(dev models.DeviceID, replies []transport.Reply) (models.DeviceState, error) {
	if len(replies) != readCount {
		return models.DeviceState{}, fmt.Errorf("%d replies to %d requests", len(replies), readCount)
	}
	if r := replies[readConfig]; r.Err != "" {
		return models.DeviceState{}, fmt.Errorf("%q was refused: %s", r.Request.Text, r.Err)
	}
	st, err := parseConfig(dev, replies[readConfig].Text)
	if err != nil {
		return models.DeviceState{}, fmt.Errorf("%q: %w", replies[readConfig].Request.Text, err)
	}
	readers := map[int]func(string, *models.DeviceState) error{
		readSessions: sessionStates, readStatus: portStates, readNeighbors: neighbors, readMACs: macs, readVersion: version,
	}
	for i := readSessions; i < readCount; i++ {
		if replies[i].Err != "" {
			continue
		}
		if err := readers[i](strings.ReplaceAll(replies[i].Text, "\r", ""), &st); err != nil {
			return models.DeviceState{}, fmt.Errorf("%q: %w", replies[i].Request.Text, err)
		}
	}
	return st, nil
}

// configDB is the part of CONFIG_DB that mirroring is about, as sonic-cfggen prints it:
// tables of rows of fields, keys of several parts joined by "|".
type configDB struct {
	Metadata map[string]struct {
		Hostname string `json:"hostname"`
		Platform string `json:"platform"`
		SKU      string `json:"hwsku"`
	} `json:"DEVICE_METADATA"`
	Sessions map[string]map[string]json.RawMessage `json:"MIRROR_SESSION"`
	Ports    map[string]struct {
		Speed string `json:"speed"`
		MTU   string `json:"mtu"`
		Admin string `json:"admin_status"`
		Mode  string `json:"mode"`
	} `json:"PORT"`
	LAGs map[string]struct {
		MTU   string `json:"mtu"`
		Admin string `json:"admin_status"`
		Mode  string `json:"mode"`
	} `json:"PORTCHANNEL"`
	LAGMembers    map[string]json.RawMessage `json:"PORTCHANNEL_MEMBER"`
	Interfaces    map[string]json.RawMessage `json:"INTERFACE"`
	LAGInterfaces map[string]json.RawMessage `json:"PORTCHANNEL_INTERFACE"`
	VLANs         map[string]json.RawMessage `json:"VLAN"`
	VLANMembers   map[string]struct {
		Tagging string `json:"tagging_mode"`
	} `json:"VLAN_MEMBER"`
	Rules map[string]map[string]json.RawMessage `json:"ACL_RULE"`
}

func parseConfig(dev models.DeviceID, dump string) (models.DeviceState, error) {
	// sudo and Python may have something to say first.
	at := strings.Index(dump, "{")
	if at < 0 {
		return models.DeviceState{}, errors.New("there is no JSON text: this is not the configuration of a SONiC device")
	}
	var db configDB
	if err := json.Unmarshal([]byte(dump[at:]), &db); err != nil {
		return models.DeviceState{}, err
	}
	if len(db.Metadata) == 0 && len(db.Ports) == 0 {
		return models.DeviceState{}, errors.New("neither DEVICE_METADATA nor PORT is there: this is not the configuration of a SONiC device")
	}
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}, VLANs: map[uint16]models.VLAN{}}
	meta := db.Metadata["localhost"]
	st.Facts.Hostname, st.Facts.Model = meta.Hostname, meta.SKU
	db.ports(&st)
	for _, name := range slices.Sorted(maps.Keys(db.Sessions)) {
		s, err := session(dev, name, db.Sessions[name])
		if err != nil {
			return models.DeviceState{}, fmt.Errorf("MIRROR_SESSION %s: %w", name, err)
		}
		for _, key := range slices.Sorted(maps.Keys(db.Rules)) {
			for _, action := range mirrorActions {
				if text(db.Rules[key][action.field]) == name {
					s.Extra = append(s.Extra, fmt.Sprintf("ACL_RULE %s %s", key, action.text))
				}
			}
		}
		st.Sessions = append(st.Sessions, s.Normalize())
	}
	return st, nil
}

// mirrorActions are the fields by which a rule of an ACL table gives frames to a session
// (sonic-acl.yang; MIRROR_ACTION is the older word for ingress).
var mirrorActions = []struct{ field, text string }{
	{"MIRROR_ACTION", "mirrors what it matches"},
	{"MIRROR_INGRESS_ACTION", "mirrors what it matches on ingress"},
	{"MIRROR_EGRESS_ACTION", "mirrors what it matches on egress"},
}

// text reads a field: CONFIG_DB has text everywhere, files made by people also numbers.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// session reads an entry of MIRROR_SESSION.
func session(dev models.DeviceID, name string, fields map[string]json.RawMessage) (models.Session, error) {
	s := models.Session{Device: dev, Name: name, Role: models.RoleLocal}
	kind, direction := "ERSPAN", models.Both // the defaults of the schema [yang]
	var ports []string
	var t models.Tunnel
	number := func(v string, bits int) (uint64, error) {
		n, err := strconv.ParseUint(v, 0, bits)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of %d bits", v, bits)
		}
		return n, nil
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		v := text(fields[key])
		var n uint64
		var err error
		switch key {
		case "type":
			kind = v
		case "direction":
			err = direction.UnmarshalText([]byte(strings.ToLower(v)))
		case "src_port":
			ports = strings.Split(v, ",")
		case "dst_port":
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{v}}
			if v == "CPU" {
				s.Destination.Kind = models.DestinationOther
			}
		case "src_ip":
			t.Source, err = netip.ParseAddr(v)
		case "dst_ip":
			t.Destination, err = netip.ParseAddr(v)
		case "dscp":
			n, err = number(v, 6)
			t.DSCP = uint8(n)
		case "ttl":
			if n, err = number(v, 8); n != defaultTTL {
				t.TTL = uint8(n)
			}
		case "gre_type":
			if n, err = number(v, 16); n != defaultGRE {
				t.Protocol = uint16(n)
			}
		case "sample_rate":
			n, err = number(v, 32)
			s.SampleOneIn = uint32(n)
		case "truncate_size":
			n, err = number(v, 16)
			s.TruncateTo = uint16(n)
		case "queue":
			if n, err = number(v, 8); n != 0 {
				s.Extra = append(s.Extra, fmt.Sprintf("queue %d", n))
			}
		case "NULL": // what redis holds for an entry without fields
		default:
			s.Extra = append(s.Extra, key+" "+v) // "policer NAME", and what is not known
		}
		if err != nil {
			return models.Session{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	switch kind {
	case "SPAN":
		if s.Destination.Kind == models.DestinationUnset {
			return models.Session{}, errors.New("a SPAN session without dst_port")
		}
	case "ERSPAN":
		if s.Destination.Kind != models.DestinationUnset {
			return models.Session{}, errors.New("an ERSPAN session with dst_port")
		}
		s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &t}
		if _, ok := fields["gre_type"]; !ok {
			s.Extra = append(s.Extra, ownGRE)
		}
	default:
		return models.Session{}, fmt.Errorf("type %q is neither SPAN nor ERSPAN", kind)
	}
	for _, p := range ports {
		p = strings.TrimSpace(p)
		if p == "" {
			continue
		}
		s.Sources = append(s.Sources, models.Source{Kind: (Dialect{}).PortKind(p), Name: p, Direction: direction})
	}
	return s, nil
}

func (db *configDB) ports(st *models.DeviceState) {
	number := func(s string) uint32 {
		n, _ := strconv.ParseUint(s, 10, 32) // 0 = unknown
		return uint32(n)
	}
	mode := func(s string) models.PortMode {
		switch m := models.PortMode(s); m {
		case models.PortAccess, models.PortTrunk, models.PortRouted:
			return m
		default:
			return ""
		}
	}
	for name, p := range db.Ports {
		st.Ports[name] = models.Port{Name: name, AdminDown: p.Admin != "up", SpeedMbps: number(p.Speed), MTU: number(p.MTU), Mode: mode(p.Mode)}
	}
	for name, p := range db.LAGs {
		st.Ports[name] = models.Port{Name: name, AdminDown: p.Admin == "down", MTU: number(p.MTU), Mode: mode(p.Mode)}
	}
	change := func(name string, f func(p *models.Port)) {
		if p, ok := st.Ports[name]; ok {
			f(&p)
			st.Ports[name] = p
		}
	}
	for key := range db.LAGMembers {
		lag, port, _ := strings.Cut(key, "|")
		change(port, func(p *models.Port) { p.LAG = lag })
	}
	for _, table := range []map[string]json.RawMessage{db.Interfaces, db.LAGInterfaces} {
		for _, key := range slices.Sorted(maps.Keys(table)) {
			port, addr, _ := strings.Cut(key, "|")
			change(port, func(p *models.Port) {
				p.Mode = models.PortRouted
				if a, err := netip.ParsePrefix(addr); err == nil {
					p.Addresses = append(p.Addresses, a)
				}
			})
		}
	}
	for name := range db.VLANs {
		if id, ok := vlanID(name); ok {
			st.VLANs[id] = models.VLAN{}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(db.VLANMembers)) {
		vlan, port, _ := strings.Cut(key, "|")
		id, ok := vlanID(vlan)
		if !ok {
			continue
		}
		tagged := db.VLANMembers[key].Tagging == "tagged"
		change(port, func(p *models.Port) {
			switch {
			case tagged:
				p.Mode = models.PortTrunk
				p.TrunkVLANs = models.MergeRanges(append(p.TrunkVLANs, models.One(id)))
			case p.Mode == models.PortTrunk:
				p.TrunkVLANs = models.MergeRanges(append(p.TrunkVLANs, models.One(id)))
			default:
				p.Mode, p.AccessVLAN = models.PortAccess, id
			}
		})
	}
}

func vlanID(name string) (uint16, bool) {
	digits, ok := strings.CutPrefix(name, "Vlan")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), ok && err == nil && n >= 1 && n <= 4094
}
