package plan

import (
	"slices"

	"github.com/spanctl/spanctl/models"
)

// MarkOwned gives st with Intent set on the sessions that records say are ours,
// and cleared on all others. It does not change st. Records of other devices do not
// count; who marks many devices gives each its own (RecordsByDevice), or marking
// takes time that grows with the square of their number.
func MarkOwned(st models.DeviceState, records []models.Record) models.DeviceState {
	owner := make(map[models.SessionID]string)
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

// RecordsByDevice sorts records by the device of their sessions, in the order given.
func RecordsByDevice(records []models.Record) map[models.DeviceID][]models.Record {
	out := make(map[models.DeviceID][]models.Record)
	for _, r := range records {
		out[r.Session.Device] = append(out[r.Session.Device], r)
	}
	return out
}
