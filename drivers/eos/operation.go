package eos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// operation adds to st what the show commands say. A command that the device
// refused leaves its part unknown; text that is not a JSON object is an error. Keys
// are those of eAPI: public captures of EOS 4.26.14M and napalm's use of them.
func operation(st *models.DeviceState, replies []transport.Reply) error {
	readers := map[int]func(map[string]json.RawMessage, *models.DeviceState){
		readSessions: sessionStatus, readStatus: portStatus, readNeighbors: neighbors, readMACs: macs, readVersion: version,
	}
	for i := readSessions; i < readCount; i++ {
		r := replies[i]
		if r.Err != "" {
			continue
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal([]byte(r.Text), &top); err != nil {
			return fmt.Errorf("%q: %w", r.Request.Text, err)
		}
		readers[i](top, st)
	}
	return nil
}

// sessionStatus reads sessions.NAME.targetInterfaces[].{name,status}. That a
// destination has a status, "active" when it copies, is unverified; without one the
// state stays unknown.
func sessionStatus(top map[string]json.RawMessage, st *models.DeviceState) {
	var sessions map[string]json.RawMessage
	if json.Unmarshal(top["sessions"], &sessions) != nil {
		return
	}
	for i := range st.Sessions {
		s := &st.Sessions[i]
		var body struct {
			TargetInterfaces []struct {
				Name   string `json:"name"`
				Status string `json:"status"`
			} `json:"targetInterfaces"`
		}
		if json.Unmarshal(sessions[s.Name], &body) != nil {
			continue
		}
		for _, t := range body.TargetInterfaces {
			switch {
			case t.Status == "":
			case strings.EqualFold(t.Status, "active"):
				if s.Status.State == models.OperUnknown {
					s.Status.State = models.OperUp
				}
			default:
				s.Status = models.Status{State: models.OperDown, Reason: strings.TrimSpace(t.Name + " " + t.Status)}
			}
		}
	}
}

func portStatus(top map[string]json.RawMessage, st *models.DeviceState) {
	var ports map[string]struct {
		Bandwidth  float64 `json:"bandwidth"` // bit/s
		LinkStatus string  `json:"linkStatus"`
	}
	if json.Unmarshal(top["interfaceStatuses"], &ports) != nil {
		return
	}
	for name, s := range ports {
		if !isPort(name) {
			continue
		}
		p, ok := st.Ports[name]
		if !ok {
			p = models.Port{Name: name}
		}
		if s.Bandwidth >= 1e6 && s.Bandwidth < 1e15 {
			p.SpeedMbps = uint32(s.Bandwidth / 1e6)
		}
		switch s.LinkStatus {
		case "connected":
			p.Oper = models.OperUp
		case "notconnect", "disabled", "errdisabled":
			p.Oper = models.OperDown
		}
		st.Ports[name] = p
	}
}

func neighbors(top map[string]json.RawMessage, st *models.DeviceState) {
	var list []struct {
		Port   string `json:"port"`
		Device string `json:"neighborDevice"`
		Remote string `json:"neighborPort"`
	}
	if json.Unmarshal(top["lldpNeighbors"], &list) != nil {
		return
	}
	for _, n := range list {
		p, ok := st.Ports[n.Port]
		if !ok {
			continue
		}
		p.Neighbors = append(slices.Clone(p.Neighbors), strings.TrimSpace(n.Device+" "+n.Remote))
		st.Ports[n.Port] = p
	}
}

func macs(top map[string]json.RawMessage, st *models.DeviceState) {
	var table struct {
		Entries []struct {
			Interface string `json:"interface"`
		} `json:"tableEntries"`
	}
	if json.Unmarshal(top["unicastTable"], &table) != nil {
		return
	}
	for _, e := range table.Entries {
		if p, ok := st.Ports[e.Interface]; ok {
			p.MACs++
			st.Ports[e.Interface] = p
		}
	}
}

func version(top map[string]json.RawMessage, st *models.DeviceState) {
	for key, to := range map[string]*string{
		"version": &st.Facts.Version, "modelName": &st.Facts.Model, "serialNumber": &st.Facts.Serial,
	} {
		var v string
		if json.Unmarshal(top[key], &v) == nil && v != "" {
			*to = v
		}
	}
}
