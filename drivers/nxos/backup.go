package nxos

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// looks are lines of NX-OS and of no other system in backups: the mark of RANCID, what
// "show running-config" begins with, versions such as 10.4(5), and how it boots [ox, bf].
var looks = regexp.MustCompile(`(?m)^(!RANCID-CONTENT-TYPE: cisco-nx\w*|!Command: show (running|startup)-config.*|version \d+\.\d+\(\S+\)\S*( Bios:.*)?|boot (nxos|kickstart|system) bootflash:.*)\s*$`)

// Backup reads configurations of NX-OS in files.
func Backup() *drivers.Backup {
	return &drivers.Backup{Is: looks.MatchString, Read: readBackup}
}

func readBackup(dev models.DeviceID, text string) (models.DeviceState, error) {
	st := models.DeviceState{Device: dev, Ports: map[string]models.Port{}, VLANs: map[uint16]models.VLAN{1: {}}}
	c := config{st: &st, monitor: map[string]string{}, lists: map[string]*accessList{}, sessions: map[int]*draft{}}
	if err := c.lines(clean(text)); err != nil {
		return models.DeviceState{}, err
	}
	c.modes(false)
	st.Sessions = c.finish()
	return st, nil
}
