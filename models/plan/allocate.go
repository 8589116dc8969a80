package plan

import (
	"fmt"

	"github.com/spanctl/spanctl/models"
)

// Allocate gives sessions with the numbers and RSPAN VLANs that spanctl chooses
// itself. What a record says of a session is kept, its name too where it was
// adopted under another, so that a second plan finds nothing to do. A number that any other session holds, ours or foreign, is not
// given; nor is a VLAN that any session, record or port uses. states are marked.
func Allocate(net *models.Network, platforms Platforms, intents []models.Intent, sessions []models.Session,
	states map[models.DeviceID]models.DeviceState, records []models.Record) ([]models.Session, models.Findings) {
	c := newChecker(intents, Policy{})
	out := make([]models.Session, len(sessions))
	copy(out, sessions)
	kept := make(map[string]models.Session) // by device, intent and role
	key := func(s models.Session) string { return fmt.Sprintf("%s/%s/%s", s.Device, s.Intent, s.Role) }
	for _, r := range records {
		s := r.Session.Normalize()
		s.Intent = r.Intent
		kept[key(s)] = s
	}
	for i := range out {
		if k, ok := kept[key(out[i])]; ok && k.Name != "" {
			out[i].Name = k.Name
		}
	}
	c.numbers(out, platforms, states, func(s models.Session) int { return kept[key(s)].Number })
	c.vlans(net, out, states, records)
	for i := range out {
		out[i] = out[i].Normalize()
	}
	return out, c.found
}

// numbers gives numbers where the platform has them instead of names.
func (c *checker) numbers(sessions []models.Session, platforms Platforms, states map[models.DeviceID]models.DeviceState, kept func(models.Session) int) {
	type slot struct {
		dev models.DeviceID
		n   int
	}
	used := make(map[slot]bool)
	for dev, st := range states {
		for _, s := range st.Sessions {
			if s.Number > 0 {
				used[slot{dev, s.Number}] = true
			}
		}
	}
	var open []int
	for i := range sessions {
		s := &sessions[i]
		p := platforms(s.Device)
		if p == nil || !p.Capabilities().Numbered {
			continue
		}
		s.Name = "" // a description may carry it; it is no identity
		if n := kept(*s); n > 0 {
			s.Number = n
			used[slot{s.Device, n}] = true
			continue
		}
		open = append(open, i)
	}
	for _, i := range open {
		s := &sessions[i]
		limit := platforms(s.Device).Capabilities().Of(models.FeatureSessions).Limit
		if limit == 0 {
			limit = 4096
		}
		n := 1
		for n <= limit && used[slot{s.Device, n}] {
			n++
		}
		if n > limit {
			c.find(s.Intent, s.Device, "", "session-limit", "all %d session numbers are taken", limit)
			continue
		}
		s.Number = n
		used[slot{s.Device, n}] = true
	}
}

// vlans chooses the RSPAN VLAN of intents that leave it to spanctl: one per intent.
func (c *checker) vlans(net *models.Network, sessions []models.Session, states map[models.DeviceID]models.DeviceState, records []models.Record) {
	used := make(map[uint16]bool)
	chosen := make(map[string]uint16)
	for _, st := range states {
		for _, s := range st.Sessions {
			used[s.Destination.VLAN] = true
		}
		for _, p := range st.Ports {
			used[p.AccessVLAN] = true
		}
	}
	for _, s := range sessions {
		used[s.Destination.VLAN] = true
	}
	for _, r := range records {
		if v := r.Session.Destination.VLAN; v != 0 {
			used[v] = true
			chosen[r.Intent] = v
		}
	}
	for i := range sessions {
		s := &sessions[i]
		fromVLAN := len(s.Sources) == 1 && s.Sources[0].Kind == models.SourceRemoteVLAN && s.Sources[0].VLAN == 0
		toVLAN := s.Destination.Kind == models.DestinationRemoteVLAN && s.Destination.VLAN == 0
		if !fromVLAN && !toVLAN {
			continue
		}
		v := chosen[s.Intent]
		if v == 0 {
			if v = freeVLAN(net.RSPANVLANs, used); v == 0 {
				c.find(s.Intent, s.Device, "spec.destination.sensor", "no-rspan-vlan", "no RSPAN VLAN is free; the inventory gives %s", rangesText(net.RSPANVLANs))
				continue
			}
			used[v], chosen[s.Intent] = true, v
		}
		if fromVLAN {
			s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: v, Direction: models.Rx}}
		} else {
			s.Destination.VLAN = v
		}
	}
}

func freeVLAN(pool []models.Range, used map[uint16]bool) uint16 {
	for _, r := range models.MergeRanges(pool) {
		for n := int(r.First); n <= int(r.Last); n++ {
			if !used[uint16(n)] {
				return uint16(n)
			}
		}
	}
	return 0
}
