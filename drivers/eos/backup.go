package eos

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// looks are lines of EOS and of no other system in backups: the mark of RANCID, and
// what running configurations begin with [oxi].
var looks = regexp.MustCompile(`(?m)^(!RANCID-CONTENT-TYPE: arista|! device: \S+ \(.*, EOS-\S+\)|! boot system flash:.*|transceiver qsfp default-mode .*|service routing protocols model .*)\s*$`)

// Backup reads configurations of EOS in files.
func Backup() *drivers.Backup {
	return &drivers.Backup{Is: looks.MatchString, Read: readBackup}
}

func readBackup(dev models.DeviceID, text string) (models.DeviceState, error) {
	st := models.DeviceState{Device: dev, VLANs: map[uint16]models.VLAN{1: {}}, Ports: map[string]models.Port{}}
	c := config{state: &st, acls: map[string]*accessList{}, sessions: map[string]*draft{}, backup: true}
	if err := c.read(text); err != nil {
		return models.DeviceState{}, err
	}
	st.Sessions = c.finish()
	return st, nil
}
