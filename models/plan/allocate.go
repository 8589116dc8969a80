package plan

import (
	"fmt"
	"slices"

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
	c.numbers(out, platforms, states, records, func(s models.Session) int { return kept[key(s)].Number })
	c.vlans(net, out, states, records)
	for i := range out {
		out[i] = out[i].Normalize()
	}
	return out, c.found
}

// numbers gives numbers where the platform has them instead of names.
func (c *checker) numbers(sessions []models.Session, platforms Platforms, states map[models.DeviceID]models.DeviceState,
	records []models.Record, kept func(models.Session) int) {
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
	for _, r := range records {
		// Also one that the device has lost: its intent, when applied again, keeps it.
		used[slot{r.Session.Device, r.Session.Number}] = true
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
			c.find(s.Intent, s.Device, "", "session-limit", "all %d session numbers are taken: delete an intent with a session here first", limit)
			continue
		}
		s.Number = n
		used[slot{s.Device, n}] = true
	}
}

// vlans chooses the RSPAN VLAN of intents that leave it to spanctl: one per intent.
func (c *checker) vlans(net *models.Network, sessions []models.Session, states map[models.DeviceID]models.DeviceState, records []models.Record) {
	if !slices.ContainsFunc(sessions, wantsVLAN) {
		return
	}
	used := make(map[uint16]bool)
	for _, st := range states {
		for _, s := range st.Sessions {
			markVLANs(used, s)
		}
		for _, p := range st.Ports {
			used[p.AccessVLAN] = true
		}
	}
	for _, s := range sessions {
		markVLANs(used, s)
	}
	chosen := make(map[string]uint16)
	for _, r := range records {
		markVLANs(used, r.Session)
		if v := remoteVLAN(r.Session); v != 0 {
			chosen[r.Intent] = v
		}
	}
	free := freeVLANs(net.RSPANVLANs, used)
	without := make(map[string]bool)
	for i := range sessions {
		s := &sessions[i]
		from := slices.IndexFunc(s.Sources, func(src models.Source) bool { return src.Kind == models.SourceRemoteVLAN && src.VLAN == 0 })
		toVLAN := s.Destination.Kind == models.DestinationRemoteVLAN && s.Destination.VLAN == 0
		if from < 0 && !toVLAN || without[s.Intent] {
			continue
		}
		v := chosen[s.Intent]
		if v == 0 {
			if v = free(); v == 0 {
				without[s.Intent] = true
				c.find(s.Intent, s.Device, "spec.destination.sensor", "no-rspan-vlan",
					"no RSPAN VLAN is free; the inventory gives %s: add one, or delete an intent that has one", rangesText(net.RSPANVLANs))
				continue
			}
			chosen[s.Intent] = v
		}
		if from >= 0 {
			s.Sources = slices.Clone(s.Sources)
			s.Sources[from].VLAN = v
		}
		if toVLAN {
			s.Destination.VLAN = v
		}
	}
}

// wantsVLAN reports whether the RSPAN VLAN of s is still to be chosen.
func wantsVLAN(s models.Session) bool {
	return s.Destination.Kind == models.DestinationRemoteVLAN && s.Destination.VLAN == 0 ||
		slices.ContainsFunc(s.Sources, func(src models.Source) bool { return src.Kind == models.SourceRemoteVLAN && src.VLAN == 0 })
}

// markVLANs marks the VLANs that s copies from and to.
func markVLANs(used map[uint16]bool, s models.Session) {
	used[s.Destination.VLAN] = true
	for _, src := range s.Sources {
		used[src.VLAN] = true
	}
}

// remoteVLAN gives the RSPAN VLAN into which s copies, or out of which; 0 when it
// has none.
func remoteVLAN(s models.Session) uint16 {
	if s.Destination.Kind == models.DestinationRemoteVLAN {
		return s.Destination.VLAN
	}
	for _, src := range s.Sources {
		if src.Kind == models.SourceRemoteVLAN {
			return src.VLAN
		}
	}
	return 0
}

// freeVLANs gives a function that takes the next VLAN of pool that is not used; 0
// when none is left.
func freeVLANs(pool []models.Range, used map[uint16]bool) func() uint16 {
	rs := models.MergeRanges(pool)
	next := 0
	return func() uint16 {
		for len(rs) > 0 {
			next = max(next, int(rs[0].First), 2) // 1 is every switch's default VLAN
			for next <= min(int(rs[0].Last), 4094) {
				v := uint16(next)
				next++
				if !used[v] {
					return v
				}
			}
			rs = rs[1:]
		}
		return 0
	}
}
