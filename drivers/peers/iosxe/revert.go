package iosxe

import (
	"fmt"
	"strings"
	"time"
)

// revert is a change that the device takes back unless it is confirmed.
type revert struct {
	before  *config
	file    string // that the archive has of it
	minutes int
	since   time.Time
	user    string
	timer   Timer
}

// noRevert is what the commands of a pending change say when there is none.
const noRevert = "%No Rollback Confirmed Change pending\n"

// enterTimed is "configure terminal revert timer N". That it needs an archive and
// what it says without one: Cisco's IOS NED (the text that it waits for), public
// notes. "%Please turn config archive on" is what "configure replace" says.
func (x *cli) enterTimed(minutes int) answer {
	d := x.d
	if d.running.archive.path == "" {
		return answer{text: "%Turn config archive on before using Rollback Confirmed Change\n", refused: true}
	}
	if d.revert != nil {
		// Unverified: that a second one is refused, and the words.
		return answer{text: "%Rollback Confirmed Change already pending\n", refused: true}
	}
	now := d.clock.Now()
	// Names of files in public captures: "flash:archive-Feb-15-15-56-38.517-1",
	// "bootflash:/Backup/backup-May--4-13-16-19.360-0".
	at := strings.ReplaceAll(now.UTC().Format("Jan-_2-15-04-05.000"), " ", "-")
	file := fmt.Sprintf("%s-%s-%d", d.running.archive.path, at, d.backups)
	d.backups++
	d.revert = &revert{before: d.running, file: file, user: x.user}
	d.arm(minutes, x.ignoreTimer)
	x.modes = []mode{{kind: modeGlobal}}
	return say("Rollback Confirmed Change: Backing up current running config to " + file + "\n\n" + enterText)
}

// arm starts the timer of the pending change anew.
func (d *Device) arm(minutes int, ignore bool) {
	r := d.revert
	d.stopTimer()
	r.minutes, r.since = minutes, d.clock.Now()
	if ignore {
		return
	}
	r.timer = d.clock.AfterFunc(time.Duration(minutes)*time.Minute, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.revert == r {
			_ = d.takeBack() // what ran before can run again
		}
	})
}

func (d *Device) stopTimer() {
	if d.revert != nil && d.revert.timer != nil {
		d.revert.timer.Stop()
		d.revert.timer = nil
	}
}

func (d *Device) disarm() {
	d.stopTimer()
	d.revert = nil
}

// takeBack makes the configuration from before the pending change the running one.
func (d *Device) takeBack() error {
	r := d.revert
	d.disarm()
	return d.activate(r.before, r.user)
}

// confirm is "configure confirm". It says nothing (what it logs goes to the log).
func confirm(x *cli, _ args) answer {
	if x.d.revert == nil {
		return answer{text: noRevert, refused: true}
	}
	x.d.disarm()
	return done
}

// revertNow is "configure revert now". What it prints is unverified: the first line is
// of public notes, the others are those of "configure replace" in the guides.
func revertNow(x *cli, _ args) answer {
	r := x.d.revert
	if r == nil {
		return answer{text: noRevert, refused: true}
	}
	if err := x.d.takeBack(); err != nil {
		return refusef("Error: %s", err)
	}
	return say("Rollback Confirmed Change: Rolling to:" + r.file + "\n\nTotal number of passes: 1\nRollback Done\n\n")
}

// resetTimer is "configure revert timer N".
func resetTimer(x *cli, a args) answer {
	if x.d.revert == nil {
		return answer{text: noRevert, refused: true}
	}
	x.d.arm(a.num("n"), x.ignoreTimer)
	return done
}

// showTimer is "show archive config rollback timer", as the command reference has it.
func showTimer(x *cli, _ args) answer {
	r := x.d.revert
	if r == nil {
		return say(noRevert)
	}
	return say(fmt.Sprintf("Time configured(or reconfigured): %s\nTimer type: absolute timer\nTimer value: %d min\nUser: %s\n",
		r.since.UTC().Format(clockLayout), r.minutes, r.user))
}

// PendingRevert reports whether a change waits to be confirmed, and when it is taken
// back otherwise.
func (d *Device) PendingRevert() (due time.Time, pending bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.revert == nil {
		return time.Time{}, false
	}
	return d.revert.since.Add(time.Duration(d.revert.minutes) * time.Minute), true
}
