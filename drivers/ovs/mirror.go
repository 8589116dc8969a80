package ovs

import (
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// mirrorsOf gives the mirrors of a bridge, by name.
func (db *database) mirrorsOf(bridge row) []row {
	var out []row
	for _, id := range all[uuid](bridge, "mirrors") {
		if m, ok := db.mirrors[id]; ok {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b row) int {
		x, _ := one[string](a, "name")
		y, _ := one[string](b, "name")
		if c := models.CompareNatural(x, y); c != 0 {
			return c
		}
		return strings.Compare(string(a.id()), string(b.id()))
	})
	return out
}

// sessions gives the mirrors of a bridge as sessions.
func (db *database) sessions(dev models.DeviceID, bridge row) []models.Session {
	named := make(map[string]int)
	for _, b := range db.bridges {
		for _, m := range db.mirrorsOf(b) {
			name, _ := one[string](m, "name")
			named[name]++
		}
	}
	bridgeName, _ := one[string](bridge, "name")
	var out []models.Session
	for _, m := range db.mirrorsOf(bridge) {
		s := models.Session{Device: dev}
		name, _ := one[string](m, "name")
		if isName(name) && !uuidText.MatchString(name) && named[name] == 1 {
			s.Name = name
		} else {
			s.Name = string(m.id())
			s.Extra = append(s.Extra, value{set: []any{name}}.settings("name")...)
		}
		db.mirror(&s, m, bridgeName)
		s.Role = s.Normalize().Role
		out = append(out, s)
	}
	return out
}

// mirror reads the columns of a mirror. What the model has no field for becomes lines
// of Extra, as ovs-vsctl takes them.
func (db *database) mirror(s *models.Session, m row, bridge string) {
	extra := func(column string, v value) { s.Extra = append(s.Extra, v.settings(column)...) }
	ids := m.entries("external_ids")
	everything, _ := one[bool](m, "select_all")
	vlans, odd := vlanRanges(all[int64](m, "select_vlan"))
	if odd {
		extra("select_vlan", m["select_vlan"])
	}
	remote := ids[rspanMark] == "true"
	switch {
	case everything && len(vlans) > 0:
		kind := models.SourceVLAN
		if remote {
			kind = models.SourceRemoteVLAN
		}
		for _, r := range vlans {
			for v := int(r.First); v <= int(r.Last); v++ {
				s.Sources = append(s.Sources, models.Source{Kind: kind, VLAN: uint16(v), Direction: models.Rx})
			}
		}
	case everything:
		s.Sources = []models.Source{{Kind: models.SourceOther, Name: "all ports of " + bridge, Direction: models.Both}}
	default:
		for column, dir := range map[string]models.Direction{"select_src_port": models.Rx, "select_dst_port": models.Tx} {
			for _, id := range all[uuid](m, column) {
				if name, ok := one[string](db.ports[id], "name"); ok {
					s.Sources = append(s.Sources, models.Source{Kind: (Dialect{}).PortKind(name), Name: name, Direction: dir})
				}
			}
		}
		if len(vlans) > 0 {
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: vlans}}}
		}
	}
	s.Sources = models.Session{Sources: s.Sources}.Normalize().Sources
	db.output(s, m, extra)
	if n, ok := one[int64](m, "snaplen"); ok && n > 0 && n <= 65535 {
		s.TruncateTo = uint16(n)
	}
	for _, p := range m["external_ids"].pairs {
		switch k, _ := p.key.(string); {
		case k == mark && ids[mark] == s.Name:
		case k == rspanMark && remote && everything && len(vlans) > 0:
		default:
			s.Extra = append(s.Extra, setting("external_ids", p.key, p.value))
		}
	}
	for column, v := range m {
		switch column {
		case "_uuid", "name", "select_all", "select_src_port", "select_dst_port", "select_vlan", "output_port", "output_vlan", "snaplen", "statistics", "external_ids":
			if everything && strings.HasSuffix(column, "_port") && strings.HasPrefix(column, "select_") && !v.empty() {
				extra(column, v) // not looked at beside select_all [code]
			}
		default:
			if !v.empty() {
				extra(column, v) // of a later release
			}
		}
	}
	slices.Sort(s.Extra)
	db.status(s, m, bridge)
}

// vlanRanges gives VLANs as ranges; odd is set when some are none: 0 stands for frames
// without a tag.
func vlanRanges(in []int64) (out []models.Range, odd bool) {
	for _, v := range in {
		if v < 1 || v > 4094 {
			return nil, true
		}
		out = append(out, models.One(uint16(v)))
	}
	return models.MergeRanges(out), false
}

// output reads where copies go. A port with the mark of the session was made for it.
func (db *database) output(s *models.Session, m row, extra func(string, value)) {
	if id, ok := one[uuid](m, "output_port"); ok {
		p := db.ports[id]
		name, _ := one[string](p, "name")
		if p.entries("external_ids")[mark] == s.Name && db.ownTunnel(p) {
			db.tunnel(s, p)
		} else {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{name}}
		}
		if !m["output_vlan"].empty() {
			extra("output_vlan", m["output_vlan"]) // not looked at beside output_port [code]
		}
		return
	}
	if v, ok := one[int64](m, "output_vlan"); ok {
		if v < 1 || v > 4094 {
			extra("output_vlan", m["output_vlan"])
			return
		}
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: uint16(v)}
	}
}

// status says whether the mirror copies, as far as the database tells.
func (db *database) status(s *models.Session, m row, bridge string) {
	down := func(why string) { s.Status = models.Status{State: models.OperDown, Reason: why} }
	id, hasPort := one[uuid](m, "output_port")
	switch {
	case !hasPort && m["output_vlan"].empty():
		down("no output: its port is gone")
		return
	case len(s.Sources) == 0:
		down("no source: its ports are gone")
		return
	}
	s.Status.State = models.OperUp
	if !hasPort {
		return
	}
	if db.bridgeOf[id] != bridge {
		down("its output port is not of bridge " + bridge)
		return
	}
	for _, iid := range all[uuid](db.ports[id], "interfaces") {
		i := db.interfaces[iid]
		name, _ := one[string](i, "name")
		failure, _ := one[string](i, "error")
		ofport, there := one[int64](i, "ofport")
		switch {
		case failure != "":
			down(name + ": " + failure)
		case !there || ofport < 0:
			down(name + " is not set up")
		case linkState(i) == models.OperDown:
			down(name + " is down")
		}
	}
}
