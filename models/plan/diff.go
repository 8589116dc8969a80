package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// Diff gives what must change on one device: have is its marked state (MarkOwned),
// want the sessions wanted there, and scope tells which intents this run is about.
// Sessions of other intents and foreign ones are never in the result. Deletes come
// first, then updates, then creates, so that numbers and ports are free when they
// are needed.
//
// The caller has checked that no foreign session holds the identity of a wanted one
// (CheckState); Diff panics when one does, since a plan for it would be wrong.
func Diff(want []models.Session, have models.DeviceState, grain models.Grain, scope func(intent string) bool) models.ChangeSet {
	cs := models.ChangeSet{Device: have.Device}
	seen := make(map[models.SessionID]models.Session, len(have.Sessions))
	for _, s := range have.Sessions {
		seen[s.ID()] = s
	}
	wanted := make(map[models.SessionID]bool, len(want))
	var deletes, updates, creates []models.Change
	for _, w := range want {
		w = w.Normalize()
		wanted[w.ID()] = true
		h, exists := seen[w.ID()]
		switch {
		case !exists:
			creates = append(creates, models.Change{Op: models.Create, After: &w})
		case h.Intent == "":
			panic(fmt.Sprintf("plan: %s: foreign session %q in the way of a wanted one was not refused", have.Device, h.Name))
		case models.SameConfig(w, h):
		default:
			before := h.Normalize()
			if grain == models.GrainSession {
				deletes = append(deletes, models.Change{Op: models.Delete, Before: &before})
				creates = append(creates, models.Change{Op: models.Create, After: &w})
			} else {
				updates = append(updates, models.Change{Op: models.Update, Before: &before, After: &w})
			}
		}
	}
	for _, h := range have.Sessions {
		if h.Intent != "" && scope(h.Intent) && !wanted[h.ID()] {
			before := h.Normalize()
			deletes = append(deletes, models.Change{Op: models.Delete, Before: &before})
		}
	}
	cs.Changes = slices.Concat(deletes, updates, creates)
	return cs
}

// Apply gives the state that cs makes of st: what a device should show afterwards.
// It does not change st. Sessions that it adds come last.
func Apply(st models.DeviceState, cs models.ChangeSet) models.DeviceState {
	st.Sessions = slices.Clone(st.Sessions)
	for i := range st.Sessions {
		st.Sessions[i].Device = cs.Device
	}
	for _, c := range cs.Changes {
		id := c.Session().ID()
		i := slices.IndexFunc(st.Sessions, func(s models.Session) bool { return s.ID() == id })
		switch {
		case c.Op == models.Delete && i >= 0:
			st.Sessions = slices.Delete(st.Sessions, i, i+1)
		case c.Op != models.Delete && i >= 0:
			st.Sessions[i] = *c.After
		case c.Op != models.Delete:
			st.Sessions = append(st.Sessions, *c.After)
		}
	}
	return st
}

// Missing gives the changes of cs that st does not show: what is still to do.
func Missing(cs models.ChangeSet, st models.DeviceState) models.ChangeSet {
	return toward(cs, st, func(c models.Change) *models.Session { return c.After })
}

// Back gives the changes that bring the sessions of cs back to what they were
// before it, from whatever st shows of them now.
func Back(cs models.ChangeSet, st models.DeviceState) models.ChangeSet {
	return toward(cs.Reverse(), st, func(c models.Change) *models.Session { return c.After })
}

// toward gives the changes that bring each session of cs from what st shows to its
// end in cs. A session that cs deletes and creates ends as created.
func toward(cs models.ChangeSet, st models.DeviceState, end func(models.Change) *models.Session) models.ChangeSet {
	now := make(map[models.SessionID]models.Session, len(st.Sessions))
	for _, s := range st.Sessions {
		s.Device = cs.Device
		now[s.ID()] = s
	}
	goal := make(map[models.SessionID]*models.Session)
	var order []models.SessionID
	for _, c := range cs.Changes {
		id := c.Session().ID()
		if _, again := goal[id]; !again {
			order = append(order, id)
		}
		goal[id] = end(c)
	}
	out := models.ChangeSet{Device: cs.Device}
	var creates []models.Change
	for _, id := range order {
		have, exists := now[id]
		want := goal[id]
		before := have.Normalize()
		switch {
		case want == nil && exists:
			out.Changes = append(out.Changes, models.Change{Op: models.Delete, Before: &before})
		case want != nil && !exists:
			creates = append(creates, models.Change{Op: models.Create, After: want})
		case want != nil && !models.SameConfig(*want, have):
			out.Changes = append(out.Changes, models.Change{Op: models.Delete, Before: &before})
			creates = append(creates, models.Change{Op: models.Create, After: want})
		}
	}
	out.Changes = append(out.Changes, creates...)
	return out
}

// Fingerprint is a short text that changes when the configuration of any session
// of st changes, ours or not. Operation and ownership do not count.
func Fingerprint(st models.DeviceState) string {
	type entry struct {
		ID   models.SessionID
		Body models.Session
	}
	var all []entry
	for _, s := range st.Sessions {
		s.Device = st.Device
		s = s.Normalize()
		s.Status, s.Intent = models.Status{}, ""
		all = append(all, entry{s.ID(), s})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := models.CompareNatural(a.ID.Name, b.ID.Name); c != 0 {
			return c
		}
		return a.ID.Number - b.ID.Number
	})
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // plain data without cycles always encodes
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
