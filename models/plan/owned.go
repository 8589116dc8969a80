package plan

import (
	"slices"

	"github.com/spanctl/spanctl/models"
)

// MarkOwned gives st with Intent set on the sessions that records say are ours,
// and cleared on all others. It does not change st.
func MarkOwned(st models.DeviceState, records []models.Record) models.DeviceState {
	owner := make(map[models.SessionID]string, len(records))
	for _, r := range records {
		if r.Session.Device == st.Device {
			owner[r.ID()] = r.Intent
		}
	}
	st.Sessions = slices.Clone(st.Sessions)
	for i := range st.Sessions {
		s := &st.Sessions[i]
		s.Device = st.Device
		s.Intent = owner[s.ID()]
	}
	return st
}
