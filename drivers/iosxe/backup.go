package iosxe

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// looks are lines of IOS and IOS-XE and of no other system in backups: the mark of
// RANCID, what "show running-config" begins with, and versions such as 17.9.
var looks = regexp.MustCompile(`(?m)^(!RANCID-CONTENT-TYPE: cisco|Building configuration\.\.\.|Current configuration : \d+ bytes|! Last configuration change at .*|version \d+\.\d+)\s*$`)

// Backup reads configurations of IOS-XE, and of IOS, in files.
func Backup() *drivers.Backup {
	return &drivers.Backup{Is: looks.MatchString, Read: readBackup}
}

func readBackup(dev models.DeviceID, text string) (models.DeviceState, error) {
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}}
	c := config{state: &st, vlans: map[uint16]models.VLAN{1: {}}, lists: map[string]*accessList{}, sessions: map[int]*draft{}, backup: true}
	if err := c.read(text); err != nil {
		return models.DeviceState{}, err
	}
	st.Sessions = c.finish()
	return st, nil
}
