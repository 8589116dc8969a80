package store

import (
	"os"
	"os/user"
	"strconv"
	"time"
)

// process is one opened store, as other processes judge it.
type process struct {
	Process
	id    string // of this opening of the store
	scope string // where pids mean something; "" = they mean nothing to others
	start int64  // start time of the pid, in a unit of the scope, 0 = unknown; tells reused pids apart
}

func thisProcess(id string, now time.Time) process {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	pid := os.Getpid()
	start, _ := processStart(pid)
	return process{Process: Process{User: userName(), Host: host, PID: pid, Seen: now}, id: id, scope: processScope(), start: start}
}

// dead tells whether p runs no more, seen from a process in scope at now.
func (p process) dead(scope string, now time.Time, lease time.Duration) bool {
	if p.scope != "" && p.scope == scope {
		start, running := processStart(p.PID)
		return !running || start != 0 && p.start != 0 && start != p.start
	}
	return now.Sub(p.Seen) > lease
}

// userName gives the login name, or the user id where there is no name for it.
func userName() string {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "uid " + strconv.Itoa(os.Getuid())
	}
	return u.Username
}
